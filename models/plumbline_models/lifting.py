"""Lifting: the clauses of one machine judged along the steps of another that contains it.

Theory of operation. A machine that stands on another has the other's state in its own, and each of
its accepted events contains one event of the other, or none; one that contains several has a clause
of its own that it is exactly those. ``lifted`` returns the other's clauses as clauses of this one.
They keep their ids, so a broken one is found under the same name, and they are *inherited*: their
vectors and variants are those of the machine that they come from.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from msgspec import Struct

from plumbline_models.contract import Clause, StateClause, StepClause, Witness

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
T = TypeVar("T")
F = TypeVar("F")
P = TypeVar("P")


class Seen(Struct, Generic[S, E, O, T, F, P], frozen=True, kw_only=True):
    """How the states and steps of one machine are seen as those of another."""

    state: Callable[[S], T]
    step: Callable[[S, E, O, S], tuple[F, P] | None]
    """The contained event and its outcome; None when the step contains none, or several."""
    events: Mapping[type[F], tuple[type[E], ...]]
    """For each event of the other machine, the events that may contain it."""
    outcomes: Mapping[type[P], tuple[type[O], ...]]
    """For each outcome of the other machine, the outcomes that may contain it."""


def lifted(
    clauses: Iterable[Clause[T, F, P]], seen: Seen[S, E, O, T, F, P]
) -> Iterator[Clause[S, E, O]]:
    """Yield the state and step clauses as clauses of the machine that contains the other."""
    for clause in clauses:
        if isinstance(clause, StateClause):
            yield _about_states(clause, seen)
        elif isinstance(clause, StepClause):
            yield _about_steps(clause, seen)


def _about_states(clause: StateClause[T], seen: Seen[S, E, O, T, F, P]) -> StateClause[S]:
    return StateClause(
        id=clause.id,
        title=clause.title,
        sentence=clause.sentence,
        witnesses=lambda state: clause.witnesses(seen.state(state)),
        between_parts=clause.between_parts,
        inherited=True,
    )


def _about_steps(clause: StepClause[T, F, P], seen: Seen[S, E, O, T, F, P]) -> StepClause[S, E, O]:
    def breaks(before: S, event: E, outcome: O, after: S) -> Witness | None:
        contained = seen.step(before, event, outcome, after)
        if contained is None or not clause.applies(type(contained[0]), type(contained[1])):
            return None
        return clause.breaks(seen.state(before), *contained, seen.state(after))

    return StepClause(
        id=clause.id,
        title=clause.title,
        sentence=clause.sentence,
        breaks=breaks,
        events=_containing(clause.events, seen.events),
        outcomes=_containing(clause.outcomes, seen.outcomes),
        inert=clause.inert,
        inherited=True,
    )


K = TypeVar("K")
L = TypeVar("L")


def _containing(
    kinds: tuple[type[K], ...], seen: Mapping[type[K], tuple[type[L], ...]]
) -> tuple[type[L], ...]:
    """Return the types that may contain one of ``kinds``; () stays every type."""
    return tuple(dict.fromkeys(one for kind in kinds for one in seen[kind]))
