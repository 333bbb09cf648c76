"""Interleave on the toy: every fault of a shared store is found, told, kept and repeated."""

import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from plumbline_spec import toy
from plumbline_spec.campaigns import Bench
from plumbline_spec.case import Build
from plumbline_spec.clause_table import silent
from plumbline_spec.errors import CouldNotFinish, UnusableInput
from plumbline_spec.interleave import run_interleave
from plumbline_spec.meetings import CLAUSES, OBSERVE, OPEN, Meeting, Send
from plumbline_spec.pairing import BEST, pair_up
from plumbline_spec.profiles import PROFILES
from plumbline_spec.repeating import SHRINK_SCHEDULES, shrunk
from plumbline_spec.report import EngineReport, Verdict
from plumbline_spec.schedules import following, switches
from plumbline_spec.subject import subject
from plumbline_spec.toy import Deposit, Event, Withdraw, careless_case, machine
from plumbline_spec.traces import read
from tests.judge.hosts import SCOPE, plan_in
from tests.judge.shared import (
    Confident,
    Crossed,
    Endless,
    Forgets,
    Impatient,
    Jams,
    Peeks,
    Rhythmic,
    Stale,
    ToyCase,
    Undecided,
    Unsure,
    opening_fails,
    sharing,
)

NOWHERE = Path("nowhere")


def ran(case: ToyCase, schedules: int = 8, drawn_beyond: int = 0, crowds: int = 1) -> EngineReport:
    plan = plan_in(NOWHERE, schedules=schedules, drawn_beyond=drawn_beyond, crowds=crowds)
    return run_interleave(case, plan, silent)


def thorough(case: ToyCase) -> EngineReport:
    return ran(case, schedules=200, crowds=4)


# What is right holds


def test_a_store_under_one_lock_holds_in_every_schedule() -> None:
    """SCH-1 to SCH-6."""
    report = thorough(toy.case())
    assert report.verdict is Verdict.HOLDS, report.findings
    assert report.clauses == tuple(CLAUSES)
    assert report.figures["complete_searches"] == report.figures["searches"]
    assert report.figures["controls_caught"] == report.figures["controls"] == 1


def test_every_event_of_the_machine_is_taken() -> None:
    report = ran(toy.case())
    assert {pair.event for pair in report.pairs} == {"Deposit", "Withdraw", "Clear"}


def test_the_same_seed_gives_the_same_figures() -> None:
    one, other = (thorough(toy.case()) for _ in range(2))
    assert (one.figures, one.table) == (other.figures, other.table)


@pytest.mark.parametrize(
    ("by_steps", "why"),
    [
        (False, "the host has one client at a time"),
        (True, "its events are steps of several processes already"),
    ],
)
def test_a_host_with_one_client_is_not_applicable(*, by_steps: bool, why: str) -> None:
    report = ran(replace(toy.case(), shared=None, by_steps=by_steps))
    assert (report.verdict, report.holds) == (Verdict.NOT_APPLICABLE, True)
    assert report.summary == why


def test_an_outcome_that_is_unknown_is_no_fault() -> None:
    """SCH-1."""
    assert ran(sharing(Unsure), schedules=40).verdict is Verdict.HOLDS


# What is wrong is found


@pytest.mark.parametrize(
    ("case", "clause"),
    [
        (careless_case(), "SCH-1"),
        (sharing(Jams), "SCH-1"),
        (sharing(Confident), "SCH-1"),
        (sharing(Impatient), "SCH-2"),
        (sharing(Crossed), "SCH-2"),
        (sharing(Undecided), "SCH-3"),
        (sharing(Forgets), "SCH-4"),
        (sharing(Peeks), "SCH-5"),
        (sharing(Stale), "SCH-5"),
        (opening_fails(), "SCH-6"),
    ],
    ids=[
        "read, then write",
        "raises",
        "takes what it gave up for done",
        "does not wait",
        "waits for each other",
        "busy and done",
        "no request id",
        "two moments",
        "a moment that is over",
        "opened by one alone",
    ],
)
def test_a_fault_of_a_shared_store_breaks_its_clause(case: ToyCase, clause: str) -> None:
    report = ran(case, schedules=60)
    assert report.verdict is Verdict.BROKEN
    assert [found.name for found in report.findings] == [clause]


def test_a_finding_shows_who_ran_what_and_what_they_were_told() -> None:
    (found,) = ran(careless_case()).findings
    assert [(row.event, row.outcome) for row in found.rows] == [
        ("client 0: read", ""),
        ("│ client 1: read", ""),
        ("│ client 1: write", "Deposited"),
        ("client 0: write", "Deposited"),
    ]
    assert "no order explains" in found.detail
    assert 'what is left is {"held":1}' in found.detail


def test_the_start_of_a_finding_is_shrunk() -> None:
    """The coins that were there before have nothing to do with it."""
    case, events = careless_case(), (Deposit(coins=1), Withdraw(coins=1), Deposit(coins=1))
    clients = tuple((Send[Event](event=Deposit(coins=1)),) for _ in range(2))
    long = Meeting[Event](name="two coins", form="events", start=events, clients=clients)
    assert case.shared is not None
    with Bench(case.machine, case.shared()) as bench:
        found = bench.campaign(long, "one lock").go_on(50)
        assert found is not None
        short = shrunk(bench, found)
    assert (short.meeting.start, short.schedule) == ((), (0, 1, 1, 0))


def test_a_schedule_that_was_drawn_is_shrunk() -> None:
    case = careless_case()
    client = (Send[Event](event=Deposit(coins=1)),)
    crowd = Meeting[Event](name="three", form="crowd", start=(), clients=(client,) * 3)
    assert case.shared is not None
    with Bench(case.machine, case.shared()) as bench:
        found = bench.campaign(crowd, "one lock").draw(100, 1)
        assert found is not None
        short = shrunk(bench, found)
        assert short.breach.clause == "SCH-1"
        assert bench.once(crowd, "one lock", short.schedule).breach == short.breach
    assert len(short.schedule) == 6


def test_a_schedule_that_only_drawing_finds_is_shrunk_by_its_decisions() -> None:
    """The fault takes more switches than the searches of shrinking go to."""
    case, client = sharing(Rhythmic), (Send[Event](event=Deposit(coins=1)),)
    crowd = Meeting[Event](name="three", form="crowd", start=(), clients=(client,) * 3)
    assert case.shared is not None
    with Bench(case.machine, case.shared()) as bench:
        campaign = bench.campaign(crowd, "one lock")
        assert campaign.go_on(SHRINK_SCHEDULES) is None
        found = campaign.draw(400, 1)
        assert found is not None
        short = shrunk(bench, found)
        assert bench.once(crowd, "one lock", short.schedule).breach == short.breach
    assert short.breach.clause == found.breach.clause
    assert switches(short.schedule) <= switches(found.schedule)
    assert short.schedule != found.schedule


# Controls


def test_a_control_that_is_not_caught_makes_the_engine_broken() -> None:
    right = Build(
        name="nothing wrong",
        engine="interleave",
        breaks="SCH-1",
        story="It is the shipped one.",
        case=lambda: replace(toy.case(), builds=()),
    )
    report = ran(replace(toy.case(), builds=(right,)))
    assert report.verdict is Verdict.BROKEN
    assert report.details == ("control not caught: nothing wrong",)
    assert report.table[-1][0] == "control: nothing wrong"
    assert report.table[-1][-1] == "NOT CAUGHT"


def test_a_control_that_breaks_another_clause_is_not_caught() -> None:
    other = replace(toy.CARELESS, breaks="SCH-3")
    report = ran(replace(toy.case(), builds=(other,)))
    assert report.details == ("control not caught: read, then write",)


def test_controls_of_other_engines_are_left_to_them() -> None:
    report = ran(replace(toy.case(), builds=(replace(toy.CARELESS, engine="faults"),)))
    assert (report.verdict, report.figures["controls"]) == (Verdict.HOLDS, 0)


# Bounds


def test_a_client_that_never_ends_is_unfinished_and_never_a_pass() -> None:
    with pytest.raises(CouldNotFinish, match="did not end"):
        ran(sharing(Endless))


def test_a_client_that_never_ends_is_unfinished_when_schedules_are_drawn() -> None:
    case = sharing(Endless)
    client = (Send[Event](event=Deposit(coins=1)),)
    meeting = Meeting[Event](name="two", form="events", start=(), clients=(client, client))
    assert case.shared is not None
    with (
        Bench(case.machine, case.shared()) as bench,
        pytest.raises(CouldNotFinish, match="did not end"),
    ):
        bench.campaign(meeting, "one lock").draw(3, 1)


def test_time_that_is_left_is_used_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock moves with every look at it."""
    moments = iter(range(1_000))
    usual = ran(toy.case())
    monkeypatch.setattr(time, "monotonic", lambda: float(next(moments)))
    plan = replace(plan_in(NOWHERE, crowds=1), until=6.0)
    longer = run_interleave(toy.case(), plan, silent)
    assert longer.figures["schedules"] > usual.figures["schedules"]
    assert next(moments) == 7


def test_a_search_that_was_cut_off_is_drawn_from() -> None:
    few = ran(toy.case(), schedules=2)
    more = ran(toy.case(), schedules=2, drawn_beyond=15)
    assert more.figures["schedules"] > few.figures["schedules"]
    assert more.verdict is Verdict.HOLDS


# Kept traces


def test_a_kept_trace_repeats_its_schedule(tmp_path: Path) -> None:
    """The trace is right step by step; only the schedule shows the fault."""
    case = careless_case()
    (found,) = ran(case).findings
    file = tmp_path / "toy-sch-1.jsonl"
    file.write_text(found.trace, encoding="utf-8")
    (replayed,) = subject(case).replay(file)
    assert [one.what for one in replayed.mismatches] == ["SCH-1"]
    (trace,) = read(file, lambda header: case.rules(header.rules))
    assert trace.header.concurrent is not None
    assert trace.header.concurrent.schedule == (0, 1, 1, 0)
    (mended,) = subject(toy.case()).replay(file)
    assert mended.mismatches == ()


def test_a_kept_trace_is_among_the_regressions(tmp_path: Path) -> None:
    (found,) = ran(careless_case()).findings
    (tmp_path / "toy-sch-1.jsonl").write_text(found.trace, encoding="utf-8")
    plan = replace(plan_in(NOWHERE), regressions=(tmp_path,))
    broken = subject(careless_case()).run("regressions", plan, silent)
    assert [one.name for one in broken.findings] == ["SCH-1"]
    assert subject(toy.case()).run("regressions", plan, silent).verdict is Verdict.HOLDS


@pytest.mark.parametrize(
    ("case", "clause"),
    [(sharing(Peeks), "SCH-5"), (opening_fails(), "SCH-6"), (sharing(Undecided), "SCH-3")],
    ids=["observing", "opening", "giving up"],
)
def test_what_clients_ask_beside_events_is_kept_too(
    case: ToyCase, clause: str, tmp_path: Path
) -> None:
    (found,) = ran(case, schedules=60).findings
    file = tmp_path / "toy-kept.jsonl"
    file.write_text(found.trace, encoding="utf-8")
    (replayed,) = subject(case).replay(file)
    assert [one.what for one in replayed.mismatches] == [clause]


def test_a_schedule_is_not_applicable_to_a_host_with_one_client(tmp_path: Path) -> None:
    (found,) = ran(careless_case()).findings
    file = tmp_path / "toy-kept.jsonl"
    file.write_text(found.trace, encoding="utf-8")
    (replayed,) = subject(replace(careless_case(), shared=None)).replay(file)
    assert replayed.mismatches == ()


def test_a_replayed_trace_shows_every_turn(tmp_path: Path) -> None:
    (found,) = ran(careless_case()).findings
    file = tmp_path / "toy-kept.jsonl"
    file.write_text(found.trace, encoding="utf-8")
    (replayed,) = subject(careless_case()).replay(file)
    assert replayed.rows == found.rows


@pytest.mark.parametrize(
    ("clients", "complaint"),
    [
        ('[["request-1"],["request-2"],["request-3"]]', "send 3 events and the trace has 2"),
        ("[]", "0 clients meet"),
        (f"[{'[],' * 8}[]]", "9 clients meet"),
        ('[["(observe)","(open)"]]', "after something else"),
    ],
    ids=["too many events", "no client", "too many clients", "opening late"],
)
def test_a_trace_that_nobody_can_repeat_is_refused(
    clients: str, complaint: str, tmp_path: Path
) -> None:
    (found,) = ran(careless_case()).findings
    file = tmp_path / "toy-kept.jsonl"
    was = '[["request-1"],["request-2"]]'
    assert was in found.trace
    file.write_text(found.trace.replace(was, clients), encoding="utf-8")
    with pytest.raises(UnusableInput, match=complaint):
        subject(careless_case()).replay(file)


def test_a_trace_in_a_mode_that_a_store_does_not_have_is_refused(tmp_path: Path) -> None:
    (found,) = ran(careless_case()).findings
    file = tmp_path / "toy-kept.jsonl"
    file.write_text(found.trace.replace('"one lock"', '"no lock"'), encoding="utf-8")
    with pytest.raises(UnusableInput, match="'no lock'; there is one lock"):
        subject(careless_case()).replay(file)


# Meetings


def test_every_two_types_of_events_meet_and_the_order_of_the_two_matters() -> None:
    found = pair_up(machine(), [SCOPE])
    met = {
        tuple(sorted(type(event).__name__ for event in meeting.events))
        for meeting in found.meetings
        if meeting.form == "events"
    }
    names = ["Clear", "Deposit", "Withdraw"]
    assert met == {(one, other) for one in names for other in names if one <= other}
    assert found.missing == ()
    for meeting in found.meetings:
        if meeting.form == "events":
            assert order_matters(meeting), meeting.name


def order_matters(meeting: Meeting[Event]) -> bool:
    one, other = meeting.events
    state = machine().initial
    for event in meeting.start or ():
        state, _ = machine().step(state, event)
    first, said = machine().step(state, one)
    second, answered = machine().step(state, other)
    end, later = machine().step(first, other)
    tail, earlier = machine().step(second, one)
    return (later, earlier, end) != (answered, said, tail)


def test_every_writing_event_meets_an_observer_and_itself_in_one_request() -> None:
    found = pair_up(machine(), [SCOPE])
    observed = [one for one in found.meetings if one.form == "observe"]
    assert {type(one.events[0]).__name__ for one in observed} == {"Deposit", "Withdraw", "Clear"}
    assert all(one.clients[1] == (OBSERVE,) for one in observed)
    for form, same in (("request", True), ("reuse", False)):
        for one in (one for one in found.meetings if one.form == form):
            (first, *_), (second, *_) = one.clients
            assert isinstance(first, Send)
            assert isinstance(second, Send)
            assert first.request == second.request
            assert (first.event == second.event) is same


def test_an_event_that_reads_meets_those_that_write_and_no_other_reader() -> None:
    reading = replace(machine(), reading=(toy.Withdraw, toy.Clear))
    found = pair_up(reading, [SCOPE])
    names = {one.name for one in found.meetings}
    assert {"Deposit · Withdraw", "Deposit · Clear"} < names
    assert "Withdraw · Clear" not in names
    assert f"Clear · {OBSERVE}" not in names


def test_an_event_that_no_pair_can_be_made_of_is_a_fault() -> None:
    """A scope of no coins offers clearing alone."""
    nothing = toy.Scope(coins=0)
    case = replace(toy.case(), meeting_scopes=(nothing,), builds=())
    report = ran(case)
    assert report.verdict is Verdict.BROKEN
    assert report.details[:2] == (
        "no meeting for the event Deposit",
        "no meeting for the event Withdraw",
    )


def test_meetings_are_looked_for_until_the_best_are_found() -> None:
    crowds = pair_up(machine(), [SCOPE]).crowds
    assert len(crowds) == 2 * len(
        [one for one in pair_up(machine(), [SCOPE]).meetings if one.form == "events"]
    )
    assert BEST == 7


def test_opening_is_an_event_too() -> None:
    found = [one for one in pair_up(machine(), [SCOPE]).meetings if one.form == "open"]
    assert [one.start for one in found] == [None, None]
    assert found[0].clients == ((OPEN, OBSERVE), (OPEN, OBSERVE))


def test_a_store_is_opened_beside_a_writer_too() -> None:
    (found,) = [one for one in pair_up(machine(), [SCOPE]).meetings if one.form == "open beside"]
    assert found.start
    (writer,), (opens, sends, observes) = found.clients
    assert isinstance(writer, Send)
    assert isinstance(sends, Send)
    assert (opens, observes) == (OPEN, OBSERVE)


def test_profiles_grow() -> None:
    quick, ci, nightly = (PROFILES[name] for name in ("quick", "ci", "nightly"))
    assert quick.schedules < ci.schedules < nightly.schedules
    assert quick.crowds < ci.crowds < nightly.crowds


def test_a_state_that_cannot_be_observed_at_the_end_is_a_fault() -> None:
    class Blind(Forgets):
        def observe(self) -> toy.State:
            raise OSError("no light")

    case = sharing(Blind)
    assert case.shared is not None
    meeting = Meeting[Event](
        name="one", form="events", start=(), clients=((Send(event=Deposit(coins=1)),),)
    )
    with Bench(case.machine, case.shared()) as bench:
        seen = bench.once(meeting, "one lock", ())
    assert seen.breach is not None
    assert "OSError: no light" in seen.breach.detail


def test_a_schedule_is_followed_by_a_bench() -> None:
    case = toy.case()
    assert case.shared is not None
    clients = tuple((Send[Event](event=Deposit(coins=1)),) for _ in range(2))
    meeting = Meeting[Event](name="two", form="events", start=(), clients=clients)
    with Bench(case.machine, case.shared()) as bench:
        campaign = bench.campaign(meeting, "one lock")
        seen = campaign.together.run(following((1,)))
    assert [call.client for call in seen.calls] == [1, 0]
    assert seen.left == b'{"held":2}'
