"""A machine's clauses, sorted for use: by what they are about, and by event and outcome."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Generic, TypeVar

from msgspec import Struct

from plumbline_models.contract import (
    Clause,
    SometimesClause,
    StateClause,
    StepClause,
    Witness,
)

if TYPE_CHECKING:
    from plumbline_spec.host import Fault

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract


class Broken(Struct, frozen=True, kw_only=True):
    """A clause that is broken, and where."""

    clause: str
    witness: Witness

    def __str__(self) -> str:
        return f"{self.clause} {self.witness}"


class ClauseBroken(Exception):  # noqa: N818 - it names what happened
    """A clause about hosts is broken; raised where it is seen, reported by the engine."""

    def __init__(self, clause: str, row: str, found: str) -> None:
        super().__init__(f"{clause} {row}: {found}")
        self.broken = Broken(clause=clause, witness=Witness(row=row, found=found))
        self.fault: Fault | None = None
        """The error that struck before; None for none."""
        self.arrived: tuple[tuple[str, str], ...] = ()
        """Each operation that was pending when the power went, and what became of it."""


class ClauseTable(Generic[S, E, O]):
    """The clauses of a machine, less some that are not judged."""

    def __init__(
        self, clauses: tuple[Clause[S, E, O], ...], *, without: frozenset[str] = frozenset()
    ) -> None:
        judged = [clause for clause in clauses if clause.id not in without]
        self.about_states: list[StateClause[S]] = [
            clause for clause in judged if isinstance(clause, StateClause)
        ]
        self.about_steps: list[StepClause[S, E, O]] = [
            clause for clause in judged if isinstance(clause, StepClause)
        ]
        self.sometimes: list[SometimesClause[S, E, O]] = [
            clause for clause in judged if isinstance(clause, SometimesClause)
        ]
        self.ids = [clause.id for clause in judged]
        self._by_types: dict[tuple[type, type], list[StepClause[S, E, O]]] = {}

    def of_step(self, event: E, outcome: O) -> list[StepClause[S, E, O]]:
        """Return the step clauses that apply to this event and this outcome."""
        return self.of_types(type(event), type(outcome))

    def of_types(self, event: type, outcome: type) -> list[StepClause[S, E, O]]:
        """Return the step clauses that apply to events and outcomes of these types."""
        key = (event, outcome)
        found = self._by_types.get(key)
        if found is None:
            found = [one for one in self.about_steps if one.applies(*key)]
            self._by_types[key] = found
        return found

    def broken_by_state(self, state: S) -> list[Broken]:
        """Return every state clause that ``state`` breaks."""
        return list(_broken((one.id, one.breaks(state)) for one in self.about_states))

    def broken_by_step(self, before: S, event: E, outcome: O, after: S) -> list[Broken]:
        """Return every step clause that the step breaks."""
        applying = self.of_step(event, outcome)
        return list(
            _broken((one.id, one.breaks(before, event, outcome, after)) for one in applying)
        )


def _broken(judged: Iterator[tuple[str, Witness | None]]) -> Iterator[Broken]:
    for clause, witness in judged:
        if witness is not None:
            yield Broken(clause=clause, witness=witness)


Progress = Callable[[str], None]
"""Called now and then with what an engine has done so far."""


def silent(message: str) -> None:
    """Report nothing."""
    del message
