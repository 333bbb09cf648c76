"""What a machine is: a frozen record of pure functions over immutable values.

Theory of operation. A module ``plumbline_models.<name>`` has one function ``machine(rules) ->
Machine``. It closes over the decision points of ``rules`` and returns a ``Machine``: an initial
state, a total ``step``, the events worth trying, and the clauses that must hold. The judge
(``plumbline_spec``) sees a machine only through this record, so every engine works on every
machine.

States, events and outcomes are ``msgspec.Struct(frozen=True, kw_only=True)``, holding tuples and
never lists, dicts or floats. Two values are equal when their canonical bytes are equal
(``plumbline_spec.codec``).

A clause is about one of three things, and each has its record here:

===================  ======================================  ======================================
record               is about                                is broken when
===================  ======================================  ======================================
``StateClause``      a state                                 ``witnesses`` yields one or more
``StepClause``       a step (before, event, outcome, after)  ``breaks`` returns a witness
``SometimesClause``  what can be reached                     no step of the whole scope reaches it
===================  ======================================  ======================================

A ``Condition`` is about two states with an unknown history between them: what the clauses about
steps leave of themselves when the steps cannot be seen.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Generic, TypeAlias, TypeVar

from msgspec import Meta, Struct

MAX_INTEGER = 2**53 - 1
"""The greatest integer that every JSON reader keeps exactly; it bounds every integer of a state."""

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - S, E, O, C are the four letters of the contract
C = TypeVar("C")

ClauseId = Annotated[
    str,
    Meta(pattern=r"^[A-Z]{3}-[1-9][0-9]*$", description="chapter prefix and number, never reused"),
]


class Witness(Struct, frozen=True, kw_only=True):
    """Where a clause is broken, and what was found there."""

    table: str = ""
    """The collection of the state that the row is in; a host's table has the same name."""
    row: str
    """The row in the words of the chapter: ``conversation c1, ordinal 3``."""
    found: str
    """What stands there, and what the clause asks for."""

    def __str__(self) -> str:
        return f"{self.row}: {self.found}"


class StateClause(Struct, Generic[S], frozen=True, kw_only=True):
    """A clause that every reachable state keeps."""

    id: str
    title: str
    sentence: str
    """The normative sentence; the chapter has the same one."""
    witnesses: Callable[[S], Iterable[Witness]]
    """Every witness against the clause, lazily: whoever asks for the first pays for no other."""
    between_parts: bool = False
    """True when the clause compares parts (``Machine.partition``): one of them does not tell."""
    inherited: bool = False
    """True when the clause is another machine's, lifted; its variants and vectors are there."""

    def breaks(self, state: S) -> Witness | None:
        """Return the first witness against the clause, or None when it holds."""
        return next(iter(self.witnesses(state)), None)


class StepClause(Struct, Generic[S, E, O], frozen=True, kw_only=True):
    """A clause that every step keeps to which it applies."""

    id: str
    title: str
    sentence: str
    breaks: Callable[[S, E, O, S], Witness | None]
    """The first witness against the clause in (before, event, outcome, after), or None."""
    events: tuple[type[E], ...] = ()
    """The events it is about; () means every event."""
    outcomes: tuple[type[O], ...] = ()
    """The outcomes it is about; () means every outcome."""
    inert: bool = False
    """True when the clause is about steps that leave the state as it was, such as refusals."""
    inherited: bool = False
    """True when the clause is another machine's, lifted; its variants and vectors are there."""

    def applies(self, event: type[object], outcome: type[object]) -> bool:
        """Tell whether a step with this event and this outcome is the clause's subject."""
        return (not self.events or event in self.events) and (
            not self.outcomes or outcome in self.outcomes
        )


class SometimesClause(Struct, Generic[S, E, O], frozen=True, kw_only=True):
    """A clause that some step must reach, so that the others are not kept by nothing happening."""

    id: str
    title: str
    sentence: str
    reached: Callable[[S, E, O, S], bool]


Clause: TypeAlias = StateClause[S] | StepClause[S, E, O] | SometimesClause[S, E, O]


class Discrepancy(Struct, frozen=True, kw_only=True):
    """Where a later state cannot follow from an earlier one, and what stands on either side."""

    table: str = ""
    """The collection of the state that the row is in; a host's table has the same name."""
    row: str
    """The row in the words of the chapter."""
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.row}: {self.before} before, {self.after} after"


class Condition(Struct, Generic[S], frozen=True, kw_only=True):
    """What must hold of two states of one history, whatever events lie between them."""

    title: str
    sentence: str
    clauses: tuple[str, ...]
    """The clauses about steps that it follows from."""
    discrepancies: Callable[[S, S], Iterable[Discrepancy]]
    """Every discrepancy between an earlier state and a later one, lazily."""


class Choices(Struct, frozen=True, kw_only=True):
    """Values that occur in a state, and near misses: what strategies blend into events.

    ``groups`` are values that go together (one conversation, its items, its next ordinal), keyed by
    the field of the event that takes them. A strategy that draws every field from one group mostly
    draws an event that is accepted; mixing groups gives near misses.
    """

    groups: tuple[Mapping[str, tuple[object, ...]], ...]


class Machine(Struct, Generic[S, E, O, C], frozen=True, kw_only=True):
    """A machine: pure functions over immutable values.

    ``step`` is total and deterministic; time, identifiers and everything random come in with the
    event. A refusal that the chapter foresees is an outcome and leaves the state as it was.
    """

    name: str
    rules_name: str
    initial: S
    kinds: tuple[type[E], ...]
    """The members of the event union; strategies and schemas come from these."""
    reading: tuple[type[E], ...] = ()
    """Those of them that change no state, whatever their outcome."""
    decode: Callable[[bytes], E]
    """Read one event from JSON; raises ``msgspec.DecodeError`` or ``msgspec.ValidationError``."""
    step: Callable[[S, E], tuple[S, O]]
    events: Callable[[S, C], Iterator[E]]
    """Every event worth trying here within the scope, refusals sparingly; serves ``explore``."""
    choices: Callable[[S], Choices]
    """Values that occur here, and near misses; serves the strategies of ``lockstep``."""
    clauses: tuple[Clause[S, E, O], ...]
    outcome_name: Callable[[O], str]
    """The name of an outcome in tables: its type, with the reason of a refusal in brackets."""
    pairs: tuple[tuple[str, str], ...]
    """Every (event, outcome) name that can occur: the rows of the chapter's event table."""
    inherited_pairs: tuple[tuple[str, str], ...] = ()
    """Refusals of the machine below that are exercised there and need not be here."""
    decode_outcome: Callable[[bytes], O]
    decode_state: Callable[[bytes], S]
    record: type[Struct]
    """A struct with the fields ``event``, ``outcome``, ``state``; the JSON Schema describes it."""
    partition: Callable[[S], Mapping[str, S]] | None = None
    """Independent parts (one conversation, one row) by key; audits go part by part."""

    @property
    def own_clauses(self) -> tuple[Clause[S, E, O], ...]:
        """The clauses of the machine's own chapter: those that are not inherited."""
        return tuple(
            clause
            for clause in self.clauses
            if isinstance(clause, SometimesClause) or not clause.inherited
        )
