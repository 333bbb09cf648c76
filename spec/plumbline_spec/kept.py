"""Kept: what a stored trace is judged by beside its steps.

A trace that was kept because a clause of the envelope, of a schedule or of faults was broken is
named for that clause. Its steps alone, one after another, would show nothing; so the judge of those
clauses takes it again. A new kind of judge is a row of the table in ``broken_again``.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Generic, TypeVar

from msgspec import Struct

from plumbline_spec.case import Case
from plumbline_spec.envelope import CLAUSES as ENVELOPE_CLAUSES
from plumbline_spec.envelope import envelope
from plumbline_spec.meetings import CLAUSES as SCHEDULE_CLAUSES
from plumbline_spec.repeating import scheduled
from plumbline_spec.sweeping import CLAUSES as FAULT_CLAUSES
from plumbline_spec.sweeping import swept_again
from plumbline_spec.traces import Trace

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")


class Again(Struct, Generic[E], frozen=True, kw_only=True):
    """A clause that a stored trace still breaks."""

    clause: str
    found: str
    events: tuple[E, ...]
    engine: str


def broken_again(case: Case[S, E, O, C], trace: Trace[S, E, O]) -> list[Again[E]]:
    """Take a trace in the way that the clause asks for which it is named; () for other traces."""
    judges: tuple[
        tuple[
            Collection[str],
            Callable[[Case[S, E, O, C], Trace[S, E, O]], Iterator[Again[E]]],
        ],
        ...,
    ] = (
        (ENVELOPE_CLAUSES, _in_envelope),
        (SCHEDULE_CLAUSES, _under_schedule),
        (FAULT_CLAUSES, _through_faults),
    )
    about = trace.header.name
    named = [judge for clauses, judge in judges if about in clauses]
    if trace.header.environment is not None and _through_faults not in named:
        named.append(_through_faults)
    return [again for judge in named for again in judge(case, trace)]


def _in_envelope(case: Case[S, E, O, C], trace: Trace[S, E, O]) -> Iterator[Again[E]]:
    found = envelope(case.machine, case.durable, [trace])
    if found.broken is not None:
        yield Again(
            clause=found.broken.clause,
            found=str(found.broken.witness),
            events=found.events,
            engine="envelope",
        )


def _under_schedule(case: Case[S, E, O, C], trace: Trace[S, E, O]) -> Iterator[Again[E]]:
    seen = scheduled(case, trace)
    if seen is not None and seen.breach is not None:
        breach = seen.breach
        yield Again(
            clause=breach.clause, found=breach.detail, events=trace.events, engine="interleave"
        )


def _through_faults(case: Case[S, E, O, C], trace: Trace[S, E, O]) -> Iterator[Again[E]]:
    breach = swept_again(case, trace)
    if breach is not None:
        broken = breach.broken
        yield Again(
            clause=broken.clause, found=str(broken.witness), events=trace.events, engine="faults"
        )
