"""Repeating: a run that broke a clause is shrunk, told, kept as a trace, and taken again.

A trace of a meeting holds the events up to the start and then those of the clients, client by
client; its header says in which mode they met, what each client asked, and the schedule. So the
same file repeats the same run, statement by statement (``plumbline replay``).
"""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from plumbline_spec.brief import brief
from plumbline_spec.campaigns import Bench, Found, first_breach
from plumbline_spec.case import Case
from plumbline_spec.errors import UnusableInput
from plumbline_spec.host import RequestId
from plumbline_spec.meetings import OBSERVE, OPEN, Ask, Meeting, Seen, Send
from plumbline_spec.report import Finding, Row
from plumbline_spec.schedules import Schedule
from plumbline_spec.shrink import shrink
from plumbline_spec.traces import FORMAT, Concurrent, Header, Trace, encode, record

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")

SHRINK_SCHEDULES = 160
"""Schedules in which a shorter start must break the same clause."""
SHRINK_REPLAYS = 60
MAX_CLIENTS = 8
MAX_STATEMENT = 90
"""Characters of a statement that are shown."""


def shrunk(bench: Bench[S, E, O, C], found: Found[E]) -> Found[E]:
    """Shorten the start as long as the same clause is broken; take the fewest switches."""
    meeting, mode, clause = found.meeting, found.mode, found.breach.clause

    def broken(start: tuple[E, ...] | None) -> Found[E] | None:
        changed = Meeting(
            name=meeting.name, form=meeting.form, start=start, clients=meeting.clients
        )
        return first_breach(bench.campaign(changed, mode), clause, SHRINK_SCHEDULES)

    if broken(meeting.start) is None:
        return _fewer(bench, found)
    start = meeting.start
    if start:
        start = shrink(lambda events: broken(events) is not None, start, max_replays=SHRINK_REPLAYS)
    shortest = broken(start)
    return found if shortest is None else shortest


def _fewer(bench: Bench[S, E, O, C], found: Found[E]) -> Found[E]:
    """Leave out decisions of a drawn schedule as long as the same clause is broken."""

    def seen(schedule: Schedule) -> Seen[O]:
        return bench.once(found.meeting, found.mode, schedule)

    def fails(schedule: Schedule) -> bool:
        breach = seen(schedule).breach
        return breach is not None and breach.clause == found.breach.clause

    if not fails(found.schedule):
        return found
    last = seen(shrink(fails, found.schedule, max_replays=SHRINK_SCHEDULES))
    assert last.breach is not None
    return Found(
        meeting=found.meeting, mode=found.mode, schedule=last.run.schedule, breach=last.breach
    )


def finding(bench: Bench[S, E, O, C], found: Found[E]) -> Finding:
    """Return a finding: the events up to the start, then every statement in its order."""
    machine, meeting = bench.machine, found.meeting
    seen = bench.once(meeting, found.mode, found.schedule)
    start = meeting.start or ()
    header = Header(
        format=FORMAT,
        plumbline="regression",
        machine=machine.name,
        rules=machine.rules_name,
        name=found.breach.clause,
        about=found.breach.detail,
        scope=f"found by interleave: {meeting.name}, {found.mode}",
        concurrent=Concurrent(
            mode=found.mode,
            schedule=found.schedule,
            clients=tuple(tuple(_written(ask) for ask in client) for client in meeting.clients),
            new=meeting.start is None,
        ),
    )
    trace = record(machine, (*start, *meeting.events), header)
    before = [
        Row(step=number, event=brief(step.event), outcome=machine.outcome_name(step.outcome))
        for number, step in enumerate(trace.steps[: len(start)], 1)
    ]
    return Finding(
        name=found.breach.clause,
        detail=f"{meeting.name}, {found.mode}: {found.breach.detail}",
        rows=(*before, *_statements(len(start), seen)),
        trace=encode(trace).decode(),
    )


def _statements(start: int, seen: Seen[O]) -> Iterator[Row]:
    """Yield a row for each turn: who, which statement, and what the client was told after it."""
    said = {call.turn: call.said for call in seen.calls}
    for place, turn in enumerate(seen.run.turns):
        told = [turn.outcome, said.get(place, "")]
        yield Row(
            step=start + place + 1,
            event=f"{'│ ' * turn.client}client {turn.client}: {_short(turn.statement)}",
            outcome=" → ".join(part for part in told if part),
        )


def _short(statement: str) -> str:
    """Return a statement on one line."""
    text = " ".join(statement.split())
    return text if len(text) <= MAX_STATEMENT else text[: MAX_STATEMENT - 1] + "…"


def _written(ask: Ask[E]) -> str:
    """Return what a header says for what is asked: for an event its request id."""
    if isinstance(ask, Send):
        return "" if ask.request is None else ask.request
    return ask


def met_in(trace: Trace[S, E, O]) -> Meeting[E] | None:
    """Return the meeting that a kept trace is about, or None. Raises ``UnusableInput``."""
    about = trace.header.concurrent
    if about is None:
        return None
    sent = sum(ask not in (OPEN, OBSERVE) for client in about.clients for ask in client)
    split = len(trace.events) - sent
    if not 1 <= len(about.clients) <= MAX_CLIENTS:
        raise UnusableInput(f"{len(about.clients)} clients meet; there are 1 to {MAX_CLIENTS}")
    if split < 0:
        raise UnusableInput(f"clients send {sent} events and the trace has {len(trace.events)}")
    if any(OPEN in client[1:] for client in about.clients):
        raise UnusableInput(f"a client asks {OPEN} after something else")
    events = iter(trace.events[split:])
    clients: tuple[tuple[Ask[E], ...], ...] = tuple(
        _asks(client, events) for client in about.clients
    )
    start = None if about.new else trace.events[:split]
    return Meeting(name=trace.header.name, form="kept", start=start, clients=clients)


def _asks(written: Sequence[str], events: Iterator[E]) -> tuple[Ask[E], ...]:
    return tuple(_ask(one, events) for one in written)


def _ask(written: str, events: Iterator[E]) -> Ask[E]:
    if written == OPEN:
        return OPEN
    if written == OBSERVE:
        return OBSERVE
    return Send(event=next(events), request=RequestId(written) if written else None)


def scheduled(case: Case[S, E, O, C], trace: Trace[S, E, O]) -> Seen[O] | None:
    """Repeat the schedule of a kept trace; None when it has none, or the host has one client."""
    meeting, about = met_in(trace), trace.header.concurrent
    if meeting is None or about is None or case.shared is None:
        return None
    with Bench(case.machine, case.shared()) as bench:
        if about.mode not in bench.shared.modes:
            known = ", ".join(bench.shared.modes)
            raise UnusableInput(f"clients meet in the mode {about.mode!r}; there is {known}")
        return bench.once(meeting, about.mode, about.schedule)


def rows_of(case: Case[S, E, O, C], trace: Trace[S, E, O]) -> list[Row]:
    """Return the steps of a trace, and in place of those that clients took at once, every turn."""
    steps = [
        Row(
            step=number,
            event=brief(step.event),
            outcome=case.machine.outcome_name(step.outcome),
        )
        for number, step in enumerate(trace.steps, 1)
    ]
    seen, meeting = scheduled(case, trace), met_in(trace)
    if seen is None or meeting is None:
        return steps
    start = meeting.start or ()
    return [*steps[: len(start)], *_statements(len(start), seen)]
