"""Diff: two rule sets of one machine in product.

Both take the same events from their initial states, breadth first. They are equal within the scope
when every outcome and every state is; otherwise the trace found is a shortest one that tells them
apart.
"""

from typing import Generic, TypeVar

from msgspec import Struct

from plumbline_models.contract import Machine
from plumbline_spec.clause_table import Progress, silent
from plumbline_spec.codec import canonical, plain
from plumbline_spec.trial import Difference, differ

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")

MAX_STATES = 1_000_000
PROGRESS_PAIRS = 1_000


class Comparison(Struct, Generic[E], frozen=True, kw_only=True):
    """What the product found."""

    left: str
    right: str
    states: int
    """Distinct pairs of states."""
    transitions: int
    bound: str | None
    events: tuple[E, ...] = ()
    """A shortest trace that tells the rule sets apart; () when they are equal within the scope."""
    differences: tuple[Difference, ...] = ()
    """Where they differ after it; ``machine`` is the left one and ``host`` the right one."""

    @property
    def equal(self) -> bool:
        """Whether the scope was completed without a difference."""
        return self.bound is None and not self.differences


def diff(
    left: Machine[S, E, O, C],
    right: Machine[S, E, O, C],
    scope: C,
    *,
    max_states: int = MAX_STATES,
    progress: Progress = silent,
) -> Comparison[E]:
    """Compare two machines over every event that either offers within the scope."""
    product = _Product(left, right, progress)
    level = [(left.initial, right.initial)]
    bound = None
    while level and not product.differences and bound is None:
        level = product.next_level(level, scope)
        if len(product.traces) > max_states:
            bound = f"{max_states:,} pairs of states"
    return Comparison(
        left=left.rules_name,
        right=right.rules_name,
        states=len(product.traces),
        transitions=product.transitions,
        bound=bound,
        events=product.events,
        differences=product.differences,
    )


class _Product(Generic[S, E, O, C]):
    """A breadth-first walk of two machines in progress; it ends at the first difference."""

    def __init__(
        self, left: Machine[S, E, O, C], right: Machine[S, E, O, C], progress: Progress
    ) -> None:
        self.left, self.right, self.progress = left, right, progress
        self.traces: dict[tuple[S, S], tuple[E, ...]] = {(left.initial, right.initial): ()}
        self.transitions = 0
        self.events: tuple[E, ...] = ()
        self.differences = tuple(_differ(left.initial, right.initial, "state"))

    def next_level(self, level: list[tuple[S, S]], scope: C) -> list[tuple[S, S]]:
        """Take every event in every pair of a level; return the pairs that are new."""
        following: list[tuple[S, S]] = []
        for number, pair in enumerate(level):
            if number % PROGRESS_PAIRS == 0:
                self.progress(f"{len(self.traces):,} pairs, {self.transitions:,} transitions")
            for event in self._offers(pair, scope):
                events = (*self.traces[pair], event)
                after = self._take(pair, event)
                if self.differences:
                    self.events = events
                    return following
                if after not in self.traces:
                    self.traces[after] = events
                    following.append(after)
        return following

    def _offers(self, pair: tuple[S, S], scope: C) -> list[E]:
        offers = [*self.left.events(pair[0], scope)]
        if pair[0] != pair[1] or self.left.events is not self.right.events:
            others = self.right.events(pair[1], scope)
            offers += [event for event in others if event not in offers]
        return offers

    def _take(self, pair: tuple[S, S], event: E) -> tuple[S, S]:
        self.transitions += 1
        left, said = self.left.step(pair[0], event)
        right, answered = self.right.step(pair[1], event)
        self.differences = (*_differ(said, answered, "outcome"), *_differ(left, right, "state"))
        return left, right


def _differ(left: object, right: object, path: str) -> list[Difference]:
    if canonical(left) == canonical(right):
        return []
    return differ(plain(left), plain(right), path)
