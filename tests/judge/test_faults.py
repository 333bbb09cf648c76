"""Faults on the toy: a storage that is right holds, and each wrong one breaks its clause."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace
from typing_extensions import override

from plumbline_spec import toy
from plumbline_spec.atomic import write_atomically
from plumbline_spec.case import Case
from plumbline_spec.clause_table import ClauseBroken, silent
from plumbline_spec.codec import canonical
from plumbline_spec.disk import Create, Image, Reach, Sync, SyncFailed, Write
from plumbline_spec.faults import courses_of, run_faults
from plumbline_spec.host import Attempt, Fault, FaultKind, RequestId, Setting, Strikes, Threat
from plumbline_spec.kept import broken_again
from plumbline_spec.lockstep import Effort, lockstep
from plumbline_spec.model_storage import FILE, SETTINGS, Content, ModelSession, ModelStorage
from plumbline_spec.power import Tally
from plumbline_spec.profiles import FaultEffort
from plumbline_spec.publishing import (
    CARELESS,
    NAME,
    Careless,
    RecordingFiles,
    publish,
    recorded,
)
from plumbline_spec.report import EngineReport, Verdict
from plumbline_spec.sweeping import CLAUSES, Sweeps
from plumbline_spec.toy import Clear, Deposit, Event, Outcome, Scope, State, machine
from plumbline_spec.traces import read
from plumbline_spec.unreliable import Unreliable, unreliable
from tests.judge.hosts import plan_in, trace_of

ToyCase = Case[State, Event, Outcome, Scope]
ToySession = ModelSession[State, Event, Outcome, Scope]
ToyStorage = ModelStorage[State, Event, Outcome, Scope]

SYNCED = SETTINGS[0]
COURSE = (Deposit(coins=2), Deposit(coins=1))
EFFORT = FaultEffort(every_pair=False, subsets=6, drawn=4, recoveries=4, strikes=100, histories=3)
WRITER = Reach(subsets=10, drawn=4)


def run(case: ToyCase, spec: Path) -> EngineReport:
    return run_faults(case, plan_in(spec), silent)


def broken_by(storage: ToyStorage, setting: Setting = SYNCED) -> str:
    """Return the clause that a storage breaks along a course; "" for none."""
    sweeps = Sweeps(machine(), storage, setting, EFFORT, Random(1))
    try:
        sweeps.create()
        sweeps.open(COURSE)
        for end in range(1, len(COURSE) + 1):
            sweeps.take(COURSE[:end])
    except ClauseBroken as breach:
        return breach.broken.clause
    return ""


def stored_by(session: type[ToySession]) -> ToyStorage:
    """Return a storage that opens such sessions."""

    class Wrong(ToyStorage):
        @override
        def open(self, setting: Setting, image: Image) -> ToySession:
            return session(machine(), setting, image, honest=True)

    return Wrong(machine())


class AnswersLater(ToySession):
    """Stores the state, and the answer after it."""

    @override
    def put(self, content: Content) -> None:
        super().put(replace(content, answers=self.content.answers))
        super().put(content)


class WritesOnOpening(ToySession):
    """Writes the file in place when it is opened."""

    def __init__(self, of: toy.Machine, setting: Setting, image: Image, *, honest: bool) -> None:
        super().__init__(of, setting, image, honest=honest)
        if FILE in image:
            half = len(image[FILE]) // 2
            self.log += [Write(FILE, 0, bytes(half)), Write(FILE, 0, image[FILE]), Sync(FILE)]


class Jams(ToySession):
    """Takes no event any more once one of them met an error."""

    jammed = False

    @override
    def step(self, event: Event, request: RequestId | None = None) -> Outcome:
        try:
            if self.jammed:
                raise RuntimeError("the door is stuck")
            return super().step(event, request)
        except OSError:
            self.jammed = True
            raise


class Mistells(ToySession):
    """Answers an event that met an error as if it had been refused."""

    @override
    def step(self, event: Event, request: RequestId | None = None) -> Outcome:
        try:
            return super().step(event, request)
        except OSError:
            return toy.Refused(reason=toy.Reason.FULL)


class Raises(ToySession):
    """Lets an error of the disk out as one of its own."""

    @override
    def step(self, event: Event, request: RequestId | None = None) -> Outcome:
        try:
            return super().step(event, request)
        except OSError as error:
            raise KeyError("state") from error


# The engine


def test_every_event_holds_and_every_control_is_caught(toy_spec: Path) -> None:
    report = run(toy.case(), toy_spec)
    assert report.verdict is Verdict.HOLDS, report.details
    assert {pair.event for pair in report.pairs} == {"Deposit", "Withdraw", "Clear"}
    assert report.figures["distinct_states"] > 50
    assert report.figures["errors"] > 20
    assert report.figures["threatened_histories"] >= 1
    assert report.figures["controls_caught"] == report.figures["controls"] == 7
    assert report.clauses == tuple(CLAUSES)


def test_the_same_seed_does_the_same(toy_spec: Path) -> None:
    once, again = run(toy.case(), toy_spec), run(toy.case(), toy_spec)
    assert once.figures == again.figures


@pytest.mark.parametrize(
    ("by_steps", "why"),
    [
        (False, "the host stores nothing"),
        (True, "to be killed between two steps is an event of the machine"),
    ],
)
def test_a_host_that_stores_nothing_is_not_applicable(
    toy_spec: Path, *, by_steps: bool, why: str
) -> None:
    report = run(replace(toy.case(), storage=None, by_steps=by_steps), toy_spec)
    assert (report.verdict, report.summary) == (Verdict.NOT_APPLICABLE, why)


def test_a_control_that_is_not_caught_breaks_the_engine(toy_spec: Path) -> None:
    """An unsafe setting that nothing tells from a safe one."""

    class Safe(ToyStorage):
        settings = (SYNCED, Setting(name="said to be unsafe", ships=False))

    case = replace(toy.case(), storage=lambda: Safe(machine()), builds=())
    report = run(case, toy_spec)
    assert report.verdict is Verdict.BROKEN
    assert report.details == ("control not caught: setting: said to be unsafe",)


def test_a_build_that_breaks_another_clause_than_its_own_is_not_caught(toy_spec: Path) -> None:
    (build,) = [one for one in toy.case().builds if one.engine == "faults"]
    case = replace(toy.case(), builds=(replace(build, breaks="FLT-1"),))
    assert run(case, toy_spec).details == (f"control not caught: build: {build.name}",)


def test_a_finding_is_short_and_is_found_again(toy_spec: Path, tmp_path: Path) -> None:
    """Its trace is named for the clause, so it goes through every fault again."""
    case = toy.dishonest_case()
    report = run(case, toy_spec)
    assert report.verdict is Verdict.BROKEN
    (finding,) = report.findings
    assert finding.name == "FLT-5"
    assert len(finding.rows) == 1
    file = tmp_path / "kept.jsonl"
    file.write_text(finding.trace)
    (trace,) = read(file, lambda header: case.rules(header.rules))
    assert trace.header.environment is not None
    assert trace.header.environment.fault is not None
    assert trace.header.environment.fault.kind in ("input/output", "sync")
    assert [one.clause for one in broken_again(case, trace)] == ["FLT-5"]
    assert broken_again(toy.case(), trace) == []


def test_the_very_call_that_failed_fails_first_when_a_trace_is_taken_again() -> None:
    taken = list[Fault]()

    class Watched(ToySession):
        @override
        def arm(self, fault: Fault) -> None:
            taken.append(fault)
            super().arm(fault)

    first = Fault(kind="sync", at=1, lasting=True)
    sweeps = Sweeps(machine(), stored_by(Watched), SYNCED, EFFORT, Random(1))
    sweeps.failing.take(COURSE, first)
    assert taken[0] == first
    assert {fault.kind for fault in taken[1:]} == {"sync"}


@pytest.mark.parametrize(
    "events", [pytest.param(0, id="a store is made"), pytest.param(1, id="a store is opened")]
)
def test_an_opening_that_fails_is_kept_short_with_the_call_and_found_again(
    toy_spec: Path, tmp_path: Path, events: int
) -> None:
    class Liar(Attempts):
        @override
        def attempt(self, setting: Setting, image: Image, fault: Fault) -> Attempt:
            if fault.at != 1 or (FILE in image) != bool(events):
                fault = replace(fault, at=-1)
            return super().attempt(setting, image, fault)

    wrong = replace(toy.case(), storage=lambda: Liar(KeyError("state")), builds=())
    (finding,) = run(wrong, toy_spec).findings
    file = tmp_path / "kept.jsonl"
    file.write_text(finding.trace)
    (trace,) = read(file, lambda header: wrong.rules(header.rules))
    assert len(trace.steps) == events
    assert trace.header.environment is not None
    assert trace.header.environment.fault is not None
    assert trace.header.environment.fault.at == 1
    assert [one.clause for one in broken_again(wrong, trace)] == ["FLT-5"]
    assert broken_again(toy.case(), trace) == []


def test_a_history_that_was_drawn_is_kept_with_what_happened_to_it(
    toy_spec: Path, tmp_path: Path
) -> None:
    """The courses hold, so only histories find it: a door that jams a while after an error."""

    class JamsLater(ToySession):
        since: int | None = None

        @override
        def step(self, event: Event, request: RequestId | None = None) -> Outcome:
            if self.since is not None:
                self.since += 1
                if self.since > 1:
                    raise RuntimeError("the door is stuck")
            try:
                return super().step(event, request)
            except OSError:
                self.since = 0
                raise

    wrong = replace(toy.case(), storage=lambda: stored_by(JamsLater), builds=())
    plan = plan_in(toy_spec)
    effort = replace(plan.profile.faults, histories=40)
    plan = replace(plan, profile=replace(plan.profile, faults=effort))
    (finding,) = run_faults(wrong, plan, silent).findings
    file = tmp_path / "kept.jsonl"
    file.write_text(finding.trace)
    (trace,) = read(file, lambda header: wrong.rules(header.rules))
    assert trace.header.environment is not None
    assert trace.header.environment.threat is not None
    assert len(trace.steps) <= 3
    assert len(broken_again(wrong, trace)) == 1
    assert broken_again(toy.case(), trace) == []


def test_a_kind_of_error_that_never_strikes_breaks_the_engine(toy_spec: Path) -> None:
    class Immune(ToyStorage):
        kinds = (*ToyStorage.kinds, FaultKind(name="earthquake"))

    case = replace(toy.case(), storage=lambda: Immune(machine()), builds=())
    report = run(case, toy_spec)
    assert report.verdict is Verdict.BROKEN
    assert report.details == ("no error of kind earthquake struck",)


def test_a_kept_trace_of_a_host_that_stores_nothing_shows_nothing() -> None:
    trace = trace_of(*COURSE, name="FLT-1")
    assert broken_again(replace(toy.case(), storage=None), trace) == []


def test_courses_are_shortest_and_change_something() -> None:
    traces = [
        trace_of(Clear(), Deposit(coins=1)),
        trace_of(Deposit(coins=1), Deposit(coins=1), Clear()),
        trace_of(Deposit(coins=2), Clear()),
    ]
    found = courses_of(machine(), traces, every_pair=False)
    assert {one.pair for one in found} == {("Clear", "Cleared"), ("Deposit", "Deposited")}
    assert sorted(len(one.events) for one in found) == [1, 2]
    every = courses_of(machine(), traces, every_pair=True)
    assert {one.pair for one in every} == {one.pair for one in found} | {
        ("Clear", "Refused(empty)")
    }


# The clauses


def test_a_storage_that_is_right_breaks_nothing() -> None:
    assert broken_by(ModelStorage(machine())) == ""


@pytest.mark.parametrize(
    ("storage", "setting", "clause"),
    [
        pytest.param(lambda: stored_by(AnswersLater), "synced", "FLT-1", id="answers later"),
        pytest.param(
            lambda: ModelStorage(machine()), "folder not synced", "FLT-2", id="folder not synced"
        ),
        pytest.param(lambda: ModelStorage(machine()), "syncs lie", "FLT-3", id="syncs lie"),
        pytest.param(
            lambda: ModelStorage(machine()), "file not synced", "FLT-3", id="file not synced"
        ),
        pytest.param(lambda: stored_by(WritesOnOpening), "synced", "FLT-4", id="writes on opening"),
        pytest.param(
            lambda: ModelStorage(machine(), honest=False), "synced", "FLT-5", id="dishonest"
        ),
        pytest.param(lambda: stored_by(Mistells), "synced", "FLT-5", id="mistells"),
        pytest.param(lambda: stored_by(Raises), "synced", "FLT-5", id="raises"),
        pytest.param(lambda: stored_by(Jams), "synced", "FLT-6", id="jams"),
    ],
)
def test_a_wrong_storage_breaks_its_clause(
    storage: Callable[[], ToyStorage], setting: str, clause: str
) -> None:
    """FLT-1 to FLT-6."""
    (chosen,) = [one for one in SETTINGS if one.name == setting]
    assert broken_by(storage(), chosen) == clause


def test_an_answer_that_a_killed_process_left_is_synced_before_it_is_given_again() -> None:
    """FLT-2: the second process sees what the first one wrote and did not sync."""

    class Trusts(ToySession):
        @override
        def put(self, content: Content) -> None:
            if content is not self.content:
                super().put(content)

    assert broken_by(stored_by(Trusts)) == "FLT-2"


class Attempts(ToyStorage):
    """Ends every opening that fails in this way."""

    def __init__(self, error: Exception, left: Callable[[Image], Image] = dict) -> None:
        super().__init__(machine())
        self.error, self.left = error, left

    @override
    def attempt(self, setting: Setting, image: Image, fault: Fault) -> Attempt:
        struck = fault.at in range(3)
        log = (SyncFailed(FILE),) if struck and fault.kind == "sync" and image else ()
        return Attempt(
            error=self.error if struck else None,
            met=Strikes(calls=3, struck=struck),
            log=log,
            image=self.left(image) if struck else image,
        )


def forgetful(image: Image) -> Image:
    return {name: content for name, content in image.items() if name != FILE}


def test_an_opening_that_fails_may_say_so() -> None:
    assert broken_by(Attempts(OSError("the disk is away"))) == ""


@pytest.mark.parametrize(
    "storage",
    [
        pytest.param(lambda: Attempts(KeyError("state")), id="an error of its own"),
        pytest.param(lambda: Attempts(OSError("away"), forgetful), id="forgets"),
    ],
)
def test_an_opening_that_fails_says_so_truly_and_loses_nothing(
    storage: Callable[[], ToyStorage],
) -> None:
    """FLT-5."""
    assert broken_by(storage()) == "FLT-5"


# Histories


def test_lockstep_holds_while_the_environment_fails() -> None:
    effort = Effort(examples=20, steps=30, seed=1)
    host = unreliable(lambda: ModelStorage(machine()), SYNCED)
    found = lockstep(machine(), host, Scope(coins=2), effort)
    assert found.failure is None
    assert found.steps > 300


@pytest.mark.parametrize(
    ("storage", "clause"),
    [
        (lambda: ModelStorage(machine(), honest=False), "FLT-5"),
        (lambda: stored_by(Jams), "RuntimeError"),
    ],
)
def test_lockstep_finds_what_goes_wrong_and_shortens_it(
    storage: Callable[[], ToyStorage], clause: str
) -> None:
    effort = Effort(examples=400, steps=30, seed=1)
    found = lockstep(machine(), unreliable(storage, SYNCED), Scope(coins=2), effort)
    assert found.failure is not None
    assert found.failure.name.endswith(clause)
    assert len(found.events) == 1


@pytest.mark.parametrize("setting", [one.name for one in SETTINGS[1:]])
def test_lockstep_finds_what_an_unsafe_setting_loses(setting: str) -> None:
    (chosen,) = [one for one in SETTINGS if one.name == setting]
    effort = Effort(examples=60, steps=30, seed=1)
    found = lockstep(
        machine(), unreliable(lambda: ModelStorage(machine()), chosen), Scope(coins=2), effort
    )
    assert found.failure is not None


def test_a_threat_comes_to_the_next_event_alone_unless_it_comes_to_all() -> None:
    host = Unreliable(ModelStorage(machine()), SYNCED)
    host.reset()
    host.threaten(Threat(kind=0, at=0, lasting=False, draw=0))
    assert host.step(Deposit(coins=1)) == toy.Deposited(held=1)
    assert [key for key, _ in host.parts()] == [""]
    assert canonical(host.observe()) == canonical(State(held=1))
    host.close()


# Files outside the database


def test_a_file_is_published_whole_and_durably() -> None:
    """FLT-7."""
    tally = Tally()
    publish(WRITER, Random(1), tally)
    assert tally.distinct > 50


@pytest.mark.parametrize("careless", CARELESS, ids=lambda one: one.name)
def test_a_careless_writer_is_caught(careless: Careless) -> None:
    """FLT-7: the missing sync of the folder among them."""
    with pytest.raises(ClauseBroken, match=r"^FLT-7 file kept/trace\.jsonl, power lost after "):
        publish(WRITER, Random(1), Tally(), careless=careless)


class ForgetsFolder(RecordingFiles):
    """Does not sync the folder: a build of the files that traces are written through."""

    @override
    def sync_folder(self, folder: Path) -> None:
        del folder


def test_a_build_that_does_not_sync_the_folder_is_caught() -> None:
    """FLT-7."""

    def recording(path: Path, content: bytes, files: RecordingFiles) -> None:
        forgets = ForgetsFolder(files.root)
        write_atomically(path, content, forgets)
        files.log += forgets.log

    with pytest.raises(ClauseBroken, match=r"the old file is there|there is no file"):
        publish(WRITER, Random(1), Tally(), writer=recording)


def test_an_error_while_publishing_removes_the_temporary_file(tmp_path: Path) -> None:
    class Full(RecordingFiles):
        @override
        def replace(self, source: Path, target: Path) -> None:
            raise OSError("no space left")

    files = Full(tmp_path)
    with pytest.raises(OSError, match="no space left"):
        write_atomically(tmp_path / NAME, b"new", files)
    assert [one.name for one in (tmp_path / NAME).parent.iterdir()] == []
    assert [type(one).__name__ for one in files.log][-1] == "Unlink"


def test_what_is_recorded_is_what_was_done() -> None:
    log = recorded(write_atomically, {})
    assert [type(one).__name__ for one in log][:2] == ["MakeFolder", "SyncFolder"]
    assert sum(isinstance(one, Create) for one in log) == 1
