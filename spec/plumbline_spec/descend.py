"""Descend: the same scope as ``explore``, depth first, on a host as well.

Theory of operation. The host is taken along by savepoints: before each event one is opened, and
when the state that the event led to is done, the host returns to it. So every transition of every
reachable state is taken on the host exactly once and compared: outcome with outcome, observed state
with the machine's. Events that the host lacks are not offered. The walk keeps its own stack, and
its depth is bounded by memory and not by recursion. Committing is not exercised here; lockstep does
that.
"""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from msgspec import Struct

from plumbline_models.contract import Machine
from plumbline_spec.clause_table import Progress, silent
from plumbline_spec.explore import fingerprint_of
from plumbline_spec.host import Judged, Reversible, offered
from plumbline_spec.trial import Failure, Trial

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")

MAX_TRANSITIONS = 20_000_000
PROGRESS_TRANSITIONS = 500


class Descent(Struct, Generic[E], frozen=True, kw_only=True):
    """What a walk over savepoints found."""

    states: int
    transitions: int
    deepest: int
    """The greatest number of savepoints that were open at once."""
    bound: str | None
    """The bound that stopped the walk, or None when the scope was completed."""
    fingerprint: int
    """Equal to the one of ``explore`` when the same states were reached."""
    lacks: frozenset[str]
    """Names of events that the host does not have and that were not offered."""
    failure: Failure | None
    events: tuple[E, ...] = ()
    """The events up to the failure."""

    @property
    def complete(self) -> bool:
        """Whether every transition of every reachable state was taken on the host."""
        return self.bound is None and self.failure is None


def descend(
    machine: Machine[S, E, O, C],
    scope: C,
    host: Callable[[], Judged[S, E, O]],
    *,
    max_transitions: int = MAX_TRANSITIONS,
    progress: Progress = silent,
) -> Descent[E] | None:
    """Take every transition of the scope on machine and host; None for an irreversible host."""
    judged = host()
    try:
        if judged.reversible is None:
            return None
        walk = _Walk(machine, scope, judged, judged.reversible)
        return walk.run(max_transitions, progress)
    finally:
        judged.host.close()


class _Walk(Generic[S, E, O, C]):
    """A depth-first walk in progress."""

    def __init__(
        self,
        machine: Machine[S, E, O, C],
        scope: C,
        judged: Judged[S, E, O],
        reversible: Reversible,
    ) -> None:
        every = frozenset(clause.id for clause in machine.clauses)
        self.machine, self.scope = offered(machine, judged.lacks), scope
        self.lacks = judged.lacks
        self.reversible = reversible
        self.trial = Trial(machine, judged, without=every)  # the clauses were judged breadth first
        self.seen: dict[S, int] = {machine.initial: 0}
        self.path: list[E] = []
        self.transitions = 0
        self.deepest = 0

    def run(self, max_transitions: int, progress: Progress) -> Descent[E]:
        """Walk until the scope is done, a step fails or the bound is reached."""
        failure = self.trial.begin()
        stack = [(self.machine.initial, self._events(self.machine.initial))]
        while stack and failure is None and self.transitions < max_transitions:
            state, events = stack[-1]
            event = next(events, None)
            if event is None:
                stack.pop()
                self._leave()
                continue
            failure, new = self._enter(state, event)
            if new:
                stack.append((self.trial.state, self._events(self.trial.state)))
                self.deepest = max(self.deepest, len(self.path))
            if self.transitions % PROGRESS_TRANSITIONS == 0:
                progress(f"{len(self.seen):,} states, {self.transitions:,} transitions on the host")
        stopped = stack and failure is None
        return Descent(
            states=len(self.seen),
            transitions=self.transitions,
            deepest=self.deepest,
            bound=f"{max_transitions:,} transitions" if stopped else None,
            fingerprint=fingerprint_of(self.seen),
            lacks=self.lacks,
            failure=failure,
            events=tuple(self.path) if failure is not None else (),
        )

    def _events(self, state: S) -> Iterator[E]:
        return self.machine.events(state, self.scope)

    def _enter(self, state: S, event: E) -> tuple[Failure | None, bool]:
        """Take one event from ``state``; stay behind it when it led to a new state, else return."""
        self.trial.state = state
        self.transitions += 1
        self.reversible.mark()
        self.path.append(event)
        failure = self.trial.take(event)
        if failure is not None:
            return failure, False
        after = self.trial.state
        if after in self.seen:
            self._leave()
            return None, False
        self.seen[after] = len(self.seen)
        return None, True

    def _leave(self) -> None:
        if self.path:
            self.path.pop()
            self.reversible.back()
