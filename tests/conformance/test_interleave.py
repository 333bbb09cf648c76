"""Several clients of one database: what ships is linearizable, and every faulty build is caught.

The engine that is used here is tried on planted faults in ``tests/judge/test_interleave.py``.
"""

from collections.abc import Callable, Generator
from contextlib import closing
from typing import TypeVar

import apsw
import pytest

from plumbline import ordinals as sqlite_ordinals
from plumbline import tokens as sqlite_tokens
from plumbline.builds import begins_deferred, reads_then_writes
from plumbline.database import Answer
from plumbline.registry import intake_case, ordinals_case, tokens_case
from plumbline.sqlite_shared import MODES, SqliteShared
from plumbline_models import tokens
from plumbline_models.ordinals import (
    Append,
    ConversationId,
    Draft,
    Event,
    MessageId,
    Open,
    Outcome,
    Scope,
    State,
)
from plumbline_spec.campaigns import Bench, Campaign
from plumbline_spec.clause_table import silent
from plumbline_spec.codec import canonical
from plumbline_spec.errors import CouldNotFinish
from plumbline_spec.host import RequestId
from plumbline_spec.interleave import run_interleave
from plumbline_spec.meetings import OBSERVE, OPEN, Ask, Meeting, Seen, Send
from plumbline_spec.pairing import pair_up
from plumbline_spec.report import Verdict
from plumbline_spec.schedules import GIVES_UP, WAITS
from tests.plans import PLAN

C1 = ConversationId("c1")
OPENED = Open(conversation=C1)
ONE = Append(conversation=C1, messages=(Draft(id=MessageId("m1"), text="one"),))
TWO = Append(conversation=C1, messages=(Draft(id=MessageId("m2"), text="two"),))
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract

Ordinals = Bench[State, Event, Outcome, Scope]


@pytest.fixture
def bench() -> Generator[Ordinals]:
    """Return what ships, with clients in threads."""
    with Bench(ordinals_case().machine, SqliteShared(sqlite_ordinals.PROGRAM)) as found:
        yield found


def built(answer: Answer) -> Ordinals:
    """Return a build that answers in another way."""
    shared = SqliteShared(sqlite_ordinals.PROGRAM, answer=answer)
    return Bench(ordinals_case().machine, shared)


def meeting(
    *clients: Ask[Event] | tuple[Ask[Event], ...], start: tuple[Event, ...] | None = (OPENED,)
) -> Meeting[Event]:
    asks: tuple[tuple[Ask[Event], ...], ...] = tuple(
        one if isinstance(one, tuple) else (one,) for one in clients
    )
    return Meeting(name="a test", form="events", start=start, clients=asks)


def whole(
    bench: Ordinals, met: Meeting[Event], mode: str, most: int = 3_000
) -> Campaign[State, Event, Outcome, Scope]:
    """Take every schedule; nothing may be broken in any of them."""
    campaign = bench.campaign(met, mode, most)
    assert campaign.go_on(most) is None
    return campaign


# What ships


@pytest.mark.parametrize("mode", MODES)
def test_two_writers_are_served_one_after_the_other_in_every_schedule(
    bench: Ordinals, mode: str
) -> None:
    """SCH-1, SCH-2."""
    campaign = whole(bench, meeting(Send(event=ONE), Send(event=TWO)), mode)
    assert campaign.complete
    assert campaign.schedules >= 30
    assert campaign.pairs == {("Append", "Appended"): sum(campaign.pairs.values())}


@pytest.mark.parametrize("mode", MODES)
def test_a_reader_sees_one_moment_of_a_writer_in_every_schedule(bench: Ordinals, mode: str) -> None:
    """SCH-5."""
    campaign = whole(bench, meeting(Send(event=OPENED), OBSERVE, start=()), mode)
    assert campaign.complete
    assert campaign.together.histories > 1


def test_a_reader_never_waits_in_the_mode_that_ships_first(bench: Ordinals) -> None:
    met = meeting(Send(event=ONE), OBSERVE)
    log, journal = (bench.campaign(met, mode) for mode in MODES)
    assert log.go_on(200) is None
    assert journal.go_on(200) is None
    assert (log.told["waits"], log.gave_up) == (0, 0)
    assert min(journal.told["waits"], journal.gave_up) > 0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("other", [ONE, TWO], ids=["the same event", "another event"])
def test_one_request_from_two_clients_is_applied_once(
    bench: Ordinals, mode: str, other: Event
) -> None:
    """SCH-4."""
    (request,) = {one.request for one in asked_in("Append, one request twice")}
    met = meeting(Send(event=ONE, request=request), Send(event=other, request=request))
    campaign = whole(bench, met, mode)
    assert campaign.complete
    assert campaign.pairs["Append", "Appended"] > 0


def asked_in(name: str) -> list[Send[Event]]:
    (met,) = [
        one
        for one in pair_up(ordinals_case().machine, ordinals_case().meeting_scopes).meetings
        if one.name == name
    ]
    return [ask for client in met.clients for ask in client if isinstance(ask, Send)]


@pytest.mark.parametrize("mode", MODES)
def test_clients_that_open_a_new_database_at_once_find_one(bench: Ordinals, mode: str) -> None:
    """SCH-6.

    The second client had looked for the tables before the first one made them, and counted them
    after: it took the database for somebody else's.
    """
    met = meeting((OPEN, Send(event=OPENED)), (OPEN, OBSERVE), start=None)
    campaign = bench.campaign(met, mode)
    assert campaign.go_on(120) is None


@pytest.mark.parametrize("mode", MODES)
def test_a_client_may_open_a_database_that_another_writes(bench: Ordinals, mode: str) -> None:
    """SCH-1, SCH-2."""
    campaign = bench.campaign(meeting(Send(event=ONE), (OPEN, Send(event=TWO), OBSERVE)), mode)
    assert campaign.go_on(150) is None
    assert campaign.told[WAITS] > 0


@pytest.mark.parametrize("mode", MODES)
def test_a_commit_that_gives_up_before_a_reader_has_done_nothing(
    bench: Ordinals, mode: str
) -> None:
    """SCH-3; with a log there is nothing to wait for."""
    campaign = bench.campaign(meeting(Send(event=ONE), OBSERVE), mode)
    gave_up = 0
    for _ in range(60):
        assert campaign.go_on(1) is None
        assert campaign.seen is not None
        turns = campaign.seen.run.turns
        gave_up += any(turn.outcome == GIVES_UP and turn.statement == "COMMIT" for turn in turns)
    assert (gave_up > 0) is (mode == "delete")


def test_three_clients_are_in_order_under_schedules_that_are_drawn(bench: Ordinals) -> None:
    met = meeting(Send(event=ONE), Send(event=TWO), (OBSERVE, OBSERVE))
    for mode in MODES:
        campaign = bench.campaign(met, mode)
        assert campaign.draw(40, 1) is None
        assert campaign.together.histories > 5


def test_the_same_schedule_gives_the_same_statements_and_answers(bench: Ordinals) -> None:
    """Whatever ran before it on the same connections."""
    met = meeting(Send(event=ONE), (OBSERVE, Send(event=TWO)))
    for mode in MODES:
        campaign = bench.campaign(met, mode)
        runs = list[Seen[Outcome]]()
        for _ in range(25):
            assert campaign.go_on(1) is None
            assert campaign.seen is not None
            runs.append(campaign.seen)
        for seen in reversed(runs):
            again = bench.once(met, mode, seen.run.schedule)
            assert (again.run.turns, again.calls) == (seen.run.turns, seen.calls)
            assert again.left == seen.left


# Builds with a fault


def test_every_build_with_a_fault_is_caught_by_its_clause() -> None:
    """In the engine's own run; a build that was not caught would make it broken."""
    case = ordinals_case()
    report = run_interleave(case, PLAN, silent)
    assert report.verdict is Verdict.HOLDS, (report.details, report.findings)
    controls = [build for build in case.builds if build.engine == "interleave"]
    rows = {row[0].partition(" · ")[0]: row[-1] for row in report.table}
    for build in controls:
        assert rows[f"control: {build.name}"] == f"caught by {build.breaks}"
    assert {build.breaks for build in controls} == {"SCH-1", "SCH-2", "SCH-4", "SCH-5", "SCH-6"}
    assert {pair.event for pair in report.pairs} == {kind.__name__ for kind in case.machine.kinds}


@pytest.mark.parametrize(
    ("mode", "codes"),
    [("wal", {"SQLITE_BUSY", "SQLITE_BUSY_SNAPSHOT"}), ("delete", {"SQLITE_BUSY"})],
)
def test_an_upgrade_is_refused_without_waiting(mode: str, codes: set[str]) -> None:
    """SCH-2: while the other writes, and with a log after it has written as well."""
    told = set[str]()
    with built(begins_deferred) as found:
        campaign = found.campaign(meeting(Send(event=ONE), Send(event=TWO)), mode)
        for _ in range(60):
            broken = campaign.go_on(1)
            assert campaign.seen is not None
            assert broken is None or broken.breach.clause == "SCH-2"
            told |= campaign.seen.run.told.keys() - {WAITS} if broken else set[str]()
    assert told == codes


def test_statements_that_commit_by_themselves_lose_an_update() -> None:
    """SCH-1: both read that the next sequence number is free."""
    with built(reads_then_writes) as found:
        broken = found.campaign(meeting(Send(event=ONE), Send(event=TWO)), "wal").go_on(200)
    assert broken is not None
    assert broken.breach.clause == "SCH-1"


@pytest.mark.parametrize("mode", MODES)
def test_an_observation_in_no_transaction_is_torn_where_a_machine_reads_twice(mode: str) -> None:
    """SCH-5: ordinals reads all within one query, tokens reads its totals after it."""

    def outside(
        db: apsw.Connection, observe: Callable[[apsw.Connection], tokens.State]
    ) -> tokens.State:
        return observe(db)

    case = tokens_case()
    (met,) = [
        one
        for one in pair_up(case.machine, case.meeting_scopes).meetings
        if one.name == f"Append · {OBSERVE}"
    ]
    with Bench(case.machine, SqliteShared(sqlite_tokens.PROGRAM, reading=outside)) as found:
        broken = found.campaign(met, mode).go_on(100)
    assert broken is not None
    assert broken.breach.clause == "SCH-5"


# The shared store


def test_a_store_is_put_back_between_two_runs() -> None:
    shared = SqliteShared(sqlite_ordinals.PROGRAM)
    try:
        for mode in (*MODES, *MODES):
            for events in ((OPENED,), (OPENED, ONE), (), (OPENED,)):
                shared.begin(mode, events)
                client = shared.client(None)
                state = ordinals_case().machine.initial
                for event in events:
                    state, _ = ordinals_case().machine.step(state, event)
                assert canonical(client.observe()) == canonical(state)
                client.step(OPENED if not events else TWO)
                client.close()
    finally:
        shared.close()


def test_a_client_that_stops_in_the_middle_leaves_nothing_open() -> None:
    def breaks_off(
        db: apsw.Connection,
        request: RequestId | None,
        event: E,
        apply: Callable[[apsw.Connection, E], O],
        decode: Callable[[bytes], O],
    ) -> O:
        del request, event, apply, decode
        db.execute("BEGIN IMMEDIATE")
        raise CouldNotFinish("it stops here")

    shared = SqliteShared(sqlite_ordinals.PROGRAM, answer=breaks_off)
    try:
        shared.begin("wal", ())
        client = shared.client(None)
        with pytest.raises(CouldNotFinish, match="stops here"):
            client.step(OPENED)
        client.close()
        shared.begin("wal", (OPENED,))
        assert len(shared.client(None).observe().conversations) == 1
    finally:
        shared.close()


def test_a_reader_that_cannot_wait_says_that_it_could_not_finish() -> None:
    shared = SqliteShared(sqlite_ordinals.PROGRAM)
    try:
        shared.begin("delete", (OPENED,))
        client = shared.client(None)
        file = next(shared.folder.rglob("delete/*.db"))
        with closing(apsw.Connection(str(file))) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(CouldNotFinish, match="while it was read"):
                client.observe()
        client.close()
    finally:
        shared.close()


def test_the_folder_of_a_store_goes_with_it() -> None:
    shared = SqliteShared(sqlite_ordinals.PROGRAM)
    folder = shared.folder
    shared.begin("wal", ())
    shared.begin("delete", None)
    shared.client(None).close()
    assert folder.is_dir()
    shared.close()
    assert not folder.exists()


# Every machine


def test_the_events_of_lower_machines_meet_in_the_upper_ones() -> None:
    """Machines that share rows are layers: intake's events include those of the others."""
    names = [
        {kind.__name__ for kind in kinds}
        for kinds in (
            ordinals_case().machine.kinds,
            tokens_case().machine.kinds,
            intake_case().machine.kinds,
        )
    ]
    assert names[0] < names[1] < names[2]
    case = intake_case()
    found = pair_up(case.machine, case.meeting_scopes)
    met = {one.name for one in found.meetings if one.form == "events"}
    kinds = case.machine.kinds
    for place, one in enumerate(kinds):
        for other in kinds[place:]:
            readers = one in case.machine.reading and other in case.machine.reading
            assert (f"{one.__name__} · {other.__name__}" in met) is not readers
    assert found.missing == ()
