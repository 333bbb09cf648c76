"""What was exercised: pairs of event and outcome, and clauses, counted over steps."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

from msgspec import Struct

from plumbline_models.contract import Machine
from plumbline_spec.clause_table import ClauseTable

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")


class PairCount(Struct, frozen=True, kw_only=True):
    """How often an event had an outcome."""

    event: str
    outcome: str
    steps: int


class ClauseCount(Struct, frozen=True, kw_only=True):
    """How often a clause was exercised: in how many states or steps, and how many changed."""

    clause: str
    steps: int
    effective: int


class Covered(Struct, frozen=True, kw_only=True):
    """The result of a ``Coverage``: what was exercised, and what of the table never was."""

    pairs: tuple[PairCount, ...] = ()
    clauses: tuple[ClauseCount, ...] = ()
    missing_pairs: tuple[tuple[str, str], ...] = ()
    """Rows of the machine's table that no step had."""
    unlisted_pairs: tuple[tuple[str, str], ...] = ()
    """Pairs that occurred and are not in the table: a fault of the table or of the machine."""
    idle_clauses: tuple[str, ...] = ()
    """Clauses that applied to no step which changed something, and clauses never reached."""


class Coverage(Generic[S, E, O, C]):
    """Counts steps of one machine."""

    def __init__(self, machine: Machine[S, E, O, C]) -> None:
        self._machine = machine
        self._table: ClauseTable[S, E, O] = ClauseTable(machine.clauses)
        self.pairs: Counter[tuple[str, str]] = Counter()
        self.typed: Counter[tuple[type, type, bool]] = Counter()
        self.states = 0
        self.reached: Counter[str] = Counter()

    def step(self, before: S, event: E, outcome: O, after: S) -> None:
        """Count one step."""
        self.pairs[type(event).__name__, self._machine.outcome_name(outcome)] += 1
        changes = after is not before and after != before
        self.typed[type(event), type(outcome), changes] += 1
        self.states += 1
        for clause in self._table.sometimes:
            if clause.reached(before, event, outcome, after):
                self.reached[clause.id] += 1

    def add(self, other: "Coverage[S, E, O, C]") -> None:
        """Count the steps of another coverage of the same machine as well."""
        self.pairs.update(other.pairs)
        self.typed.update(other.typed)
        self.reached.update(other.reached)
        self.states += other.states

    def count(
        self, pairs: Mapping[tuple[type, O, bool], int], reached: Iterable[str], states: int
    ) -> None:
        """Count steps that an engine tallied by event type, outcome and whether it changed."""
        for (event, outcome, changes), steps in pairs.items():
            self.pairs[event.__name__, self._machine.outcome_name(outcome)] += steps
            self.typed[event, type(outcome), changes] += steps
        self.reached.update(reached)
        self.states += states

    def result(self) -> Covered:
        """Return what was covered so far."""
        listed = self._machine.pairs
        clauses = tuple(self._clauses())
        inert = {clause.id for clause in self._table.about_steps if clause.inert}
        return Covered(
            pairs=tuple(
                PairCount(event=event, outcome=outcome, steps=steps)
                for (event, outcome), steps in sorted(self.pairs.items())
            ),
            clauses=clauses,
            missing_pairs=tuple(pair for pair in listed if pair not in self.pairs),
            unlisted_pairs=tuple(sorted(pair for pair in self.pairs if pair not in listed)),
            idle_clauses=tuple(
                one.clause
                for one in clauses
                if (one.steps == 0 if one.clause in inert else one.effective == 0)
            ),
        )

    def _clauses(self) -> Iterable[ClauseCount]:
        for clause in self._table.about_states:
            yield ClauseCount(clause=clause.id, steps=self.states, effective=self.states)
        for one in self._table.about_steps:
            judged = {
                changes: sum(
                    steps
                    for (event, outcome, changed), steps in self.typed.items()
                    if changed == changes and one.applies(event, outcome)
                )
                for changes in (False, True)
            }
            yield ClauseCount(
                clause=one.id, steps=judged[False] + judged[True], effective=judged[True]
            )
        for sometimes in self._table.sometimes:
            steps = self.reached[sometimes.id]
            yield ClauseCount(clause=sometimes.id, steps=steps, effective=steps)
