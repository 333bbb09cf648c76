"""Explore: every reachable state of a small scope, breadth first.

Theory of operation. From the initial state, every event that ``Machine.events`` offers is taken; a
state that was not seen before joins the next level. State clauses are judged once in each state,
step clauses once on each transition that they apply to. Because the walk is breadth first, the
trace to the first broken clause is a shortest one. A refusal hands back the very state it got, so
it costs a comparison of identity and no more. A large walk may be taken by several processes, which
changes nothing that is reported (``plumbline_spec.walking_together``).
"""

import gc
from collections.abc import Container, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Generic, TypeVar

from msgspec import Struct

from plumbline_models.contract import Machine, SometimesClause, StepClause
from plumbline_spec.clause_table import Broken, ClauseTable, Progress, silent
from plumbline_spec.codec import digest
from plumbline_spec.coverage import Coverage
from plumbline_spec.walking_together import TOGETHER_FROM, Team

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")

MAX_STATES = 4_000_000
PROGRESS_STATES = 250
FINGERPRINT_BITS = 128


class Counterexample(Struct, Generic[E], frozen=True, kw_only=True):
    """A shortest trace whose last step breaks clauses."""

    events: tuple[E, ...]
    broken: tuple[Broken, ...]


class Exploration(Struct, Generic[S, E, O, C], frozen=True, kw_only=True):
    """What a walk found."""

    states: int
    transitions: int
    depth: int
    """The greatest number of events that a state is away from the initial one."""
    bound: str | None
    """The bound that stopped the walk, or None when the scope was completed."""
    clauses: tuple[str, ...]
    """The clauses judged."""
    never_enabled: tuple[str, ...]
    """Events that the scope offered and that no step accepted: none changed the state."""
    never_reached: tuple[str, ...]
    """Reachability clauses that no step reached; a failure when the scope was completed."""
    counterexample: Counterexample[E] | None
    coverage: Coverage[S, E, O, C]
    fingerprint: int | None = None
    """The sum of the digests of all states, equal for equal sets; None when not asked for."""

    @property
    def complete(self) -> bool:
        """Whether every reachable state of the scope was visited."""
        return self.bound is None and self.counterexample is None

    @property
    def holds(self) -> bool:
        """Whether the scope was completed and nothing is broken or unreached."""
        return self.complete and not self.never_reached


class Kind(Generic[S, E, O]):
    """Steps of one type of event with one outcome: all change the state, or none does."""

    __slots__ = ("judges", "steps")

    def __init__(self, judges: list[StepClause[S, E, O]]) -> None:
        self.judges = judges
        self.steps = 0


class Mark(Struct, Generic[S, E, O], frozen=True, kw_only=True):
    """Where a walk stands."""

    states: int
    tally: dict[tuple[type, O, bool], int]
    """Steps by type of event, outcome and whether it changed the state."""
    unreached: list[SometimesClause[S, E, O]]


class Walk(Generic[S, E, O, C]):
    """A breadth-first walk in progress: the states seen, and how each was reached first."""

    def __init__(self, machine: Machine[S, E, O, C], without: frozenset[str] = frozenset()) -> None:
        self.machine = machine
        self.table: ClauseTable[S, E, O] = ClauseTable(machine.clauses, without=without)
        self.seen: dict[S, int] = {machine.initial: 0}
        self.parents: list[tuple[int, E] | None] = [None]
        self.kinds: dict[tuple[type, O, bool], Kind[S, E, O]] = {}
        self.unreached = self.table.sometimes

    @property
    def transitions(self) -> int:
        """The number of steps judged."""
        return sum(kind.steps for kind in self.kinds.values())

    def trace_to(self, index: int) -> tuple[E, ...]:
        """Return the events by which the state of that number was reached first."""
        events: list[E] = []
        while (step := self.parents[index]) is not None:
            index, event = step
            events.append(event)
        return tuple(reversed(events))

    def expand(self, state: S, scope: C) -> Iterator[tuple[E, O, S, bool]]:
        """Take every event in ``state``; yield the steps, and whether each leads to a new state."""
        index = self.seen[state]
        for event in self.machine.events(state, scope):
            after, outcome = self.machine.step(state, event)
            new = after is not state and self._is_new(after, index, event)
            yield event, outcome, after, new

    def _is_new(self, after: S, index: int, event: E) -> bool:
        """Tell whether a state was not seen before; if so, note how it was reached."""
        number = len(self.parents)
        if self.seen.setdefault(after, number) != number:
            return False
        self.parents.append((index, event))
        return True

    def take(
        self,
        states: Iterable[S],
        scope: C,
        following: list[S],
        max_states: int,
        progress: Progress = silent,
    ) -> Counterexample[E] | None:
        """Judge every event in each of the states, as ``judge`` does.

        Ends early at a broken clause, and when more than ``max_states`` were seen.
        """
        for number, state in enumerate(states):
            if number % PROGRESS_STATES == PROGRESS_STATES - 1:
                progress(f"{len(self.seen):,} states, {self.transitions:,} transitions")
            found = self.judge(state, scope, following)
            if found is not None or len(self.seen) > max_states:
                return found
        return None

    def judge(self, state: S, scope: C, following: list[S]) -> Counterexample[E] | None:
        """Take and judge every event in ``state``; add new states to ``following``.

        This loop is where the time goes, so one look-up answers all that a step's kind decides.
        """
        step, kinds, index = self.machine.step, self.kinds, self.seen[state]
        for event in self.machine.events(state, scope):
            after, outcome = step(state, event)
            key = type(event), outcome, after is not state
            kind = kinds.get(key) or self._kind(key)
            kind.steps += 1
            broken: list[Broken] = []
            for clause in kind.judges:
                witness = clause.breaks(state, event, outcome, after)
                if witness is not None:
                    broken.append(Broken(clause=clause.id, witness=witness))
            for sought in self.unreached:
                if sought.reached(state, event, outcome, after):
                    self.unreached = [one for one in self.unreached if one is not sought]
            new = after is not state and self._is_new(after, index, event)
            if new:
                broken += self._broken_by(after)
            if broken:
                events = (*self.trace_to(index), event)
                return Counterexample(events=events, broken=tuple(broken))
            if new:
                following.append(after)
        return None

    def _broken_by(self, state: S) -> list[Broken]:
        return [
            Broken(clause=clause.id, witness=witness)
            for clause in self.table.about_states
            if (witness := clause.breaks(state)) is not None
        ]

    def _kind(self, key: tuple[type, O, bool]) -> Kind[S, E, O]:
        event, outcome, changes = key
        judges = [one for one in self.table.of_types(event, type(outcome)) if one.inert or changes]
        return self.kinds.setdefault(key, Kind(judges))

    def mark(self) -> "Mark[S, E, O]":
        """Return where the walk stands, to come back to."""
        tally = {key: kind.steps for key, kind in self.kinds.items()}
        return Mark(states=len(self.parents), tally=tally, unreached=self.unreached)

    def back_to(self, mark: "Mark[S, E, O]") -> None:
        """Forget all that was found and judged since."""
        while len(self.parents) > mark.states:
            self.seen.popitem()
            self.parents.pop()
        self.kinds = {key: self.kinds[key] for key in mark.tally}
        for key, steps in mark.tally.items():
            self.kinds[key].steps = steps
        self.unreached = mark.unreached

    def add(self, state: S, index: int, event: E, following: list[S]) -> None:
        """Add a state that was judged elsewhere to ``following`` if it is new here."""
        if self._is_new(state, index, event):
            following.append(state)

    def count(self, tally: Mapping[tuple[type, O, bool], int], unreached: Container[str]) -> None:
        """Count steps that were judged elsewhere, and left these clauses unreached."""
        for key, steps in tally.items():
            kind = self.kinds.get(key) or self._kind(key)
            kind.steps += steps
        self.unreached = [clause for clause in self.unreached if clause.id in unreached]


def explore(
    machine: Machine[S, E, O, C],
    scope: C,
    *,
    max_states: int = MAX_STATES,
    without: frozenset[str] = frozenset(),
    fingerprint: bool = False,
    processes: int = 1,
    together_from: int = TOGETHER_FROM,
    progress: Progress = silent,
) -> Exploration[S, E, O, C]:
    """Visit every state that is reachable within ``scope``, up to ``max_states`` of them.

    ``without`` names clauses that are not judged. Stops at the first step that breaks a clause.
    With ``processes`` a walk goes on in so many, as far as there are cores, from the first level of
    ``together_from`` states; the result is the same. Raises ``CouldNotFinish`` when one of these
    processes is ended from outside.
    """
    walk = Walk(machine, without)
    level, depth = [machine.initial], 0
    broken = tuple(walk.table.broken_by_state(machine.initial))
    found: Counterexample[E] | None = Counterexample(events=(), broken=broken) if broken else None
    bound = None
    with _no_collection(), Team(walk, scope, processes, together_from) as team:
        while level and found is None and bound is None:
            progress(f"depth {depth}: {len(walk.seen):,} states, {walk.transitions:,} transitions")
            level, found = team.next_level(level, max_states, progress)
            depth += 1 if level else 0
            if len(walk.seen) > max_states:
                bound = f"{max_states:,} states"
    return _result(walk, depth, bound, found, fingerprint=fingerprint)


def _result(
    walk: Walk[S, E, O, C],
    depth: int,
    bound: str | None,
    found: Counterexample[E] | None,
    *,
    fingerprint: bool,
) -> Exploration[S, E, O, C]:
    coverage = Coverage(walk.machine)
    tally = {key: kind.steps for key, kind in walk.kinds.items()}
    unreached = tuple(one.id for one in walk.unreached)
    reached = [one.id for one in walk.table.sometimes if one.id not in unreached]
    coverage.count(tally, reached, len(walk.seen))
    accepted = {event for event, _, changes in walk.kinds if changes}
    accepted.update(walk.machine.reading)
    return Exploration(
        states=len(walk.seen),
        transitions=walk.transitions,
        depth=depth,
        bound=bound,
        clauses=tuple(walk.table.ids),
        never_enabled=tuple(kind.__name__ for kind in walk.machine.kinds if kind not in accepted),
        never_reached=unreached,
        counterexample=found,
        coverage=coverage,
        fingerprint=fingerprint_of(walk.seen) if fingerprint else None,
    )


def fingerprint_of(states: dict[S, int]) -> int:
    """Return a number that is equal for equal sets of states, in whatever order they were found."""
    return sum(int(digest(state), 16) for state in states) % (1 << FINGERPRINT_BITS)


@contextmanager
def _no_collection() -> Generator[None]:
    """Suspend cyclic garbage collection: states are trees, and there are many of them."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
