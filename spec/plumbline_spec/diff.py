"""Diff: two rule sets of one machine in product.

Both take the same events from their initial states, breadth first. They are equal within the scope when every outcome
and every state is; otherwise the trace found is a shortest one that tells them apart.
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
    start = (left.initial, right.initial)
    traces: dict[tuple[S, S], tuple[E, ...]] = {start: ()}
    level, transitions, bound = [start], 0, None
    found = tuple(_differ(left.initial, right.initial, "state"))
    events: tuple[E, ...] = ()
    while level and not found and bound is None:
        progress(f"{len(traces):,} pairs of states, {transitions:,} transitions")
        following: list[tuple[S, S]] = []
        for pair in level:
            for event in _offers(left, right, pair, scope):
                transitions += 1
                (one, said), (other, answered) = (
                    left.step(pair[0], event),
                    right.step(pair[1], event),
                )
                found = (*_differ(said, answered, "outcome"), *_differ(one, other, "state"))
                if found:
                    events = (*traces[pair], event)
                    break
                if (one, other) not in traces:
                    traces[one, other] = (*traces[pair], event)
                    following.append((one, other))
            if found:
                break
        level = following
        if len(traces) > max_states:
            bound = f"{max_states:,} pairs of states"
    return Comparison(
        left=left.rules_name,
        right=right.rules_name,
        states=len(traces),
        transitions=transitions,
        bound=bound,
        events=events,
        differences=found,
    )


def _offers(
    left: Machine[S, E, O, C], right: Machine[S, E, O, C], pair: tuple[S, S], scope: C
) -> list[E]:
    offers = [*left.events(pair[0], scope)]
    if pair[0] != pair[1] or left.events is not right.events:
        offers += [event for event in right.events(pair[1], scope) if event not in offers]
    return offers


def _differ(left: object, right: object, path: str) -> list[Difference]:
    if left == right or canonical(left) == canonical(right):
        return []
    return differ(plain(left), plain(right), path)
