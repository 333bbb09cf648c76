"""The engines as a check runs them: verdicts, findings that can be kept, floors and bounds."""

from functools import partial
from pathlib import Path
from typing import TypeAlias

import pytest
from msgspec.structs import replace

from plumbline_spec import engines, toy
from plumbline_spec.case import Case, Compared, Plan
from plumbline_spec.clause_table import silent
from plumbline_spec.descend import descend
from plumbline_spec.diff import diff
from plumbline_spec.engines import ENGINES, explored
from plumbline_spec.errors import CouldNotFinish, UnusableInput
from plumbline_spec.explore import explore
from plumbline_spec.host import Judged
from plumbline_spec.model_host import model_host
from plumbline_spec.profiles import PROFILES
from plumbline_spec.report import EngineReport, Verdict, worst
from plumbline_spec.subject import subject
from plumbline_spec.toy import (
    ONE_TOO_MANY,
    PARTLY,
    VARIANTS,
    Clear,
    Deposit,
    Event,
    Outcome,
    Scope,
    State,
    machine,
)
from plumbline_spec.traces import read, write
from plumbline_spec.vectors import goals_of
from tests.judge.hosts import (
    SCOPE,
    Busy,
    HidesOne,
    Locker,
    LosesOnReopen,
    MisAnswers,
    ToyFactory,
    plan_in,
    trace_of,
    traced,
    unseen,
    without_clear,
)

ToyCase: TypeAlias = Case[State, Event, Outcome, Scope]


def case_of(make: ToyFactory) -> ToyCase:
    """Return the toy's case with another host."""
    return replace(toy.case(), host=make, durable=make)


def ran(engine: str, case: ToyCase, plan: Plan) -> EngineReport:
    return subject(case).run(engine, plan, silent)


@pytest.mark.parametrize(
    ("engine", "make", "name"),
    [
        ("descend", MisAnswers.make, "Clear: Cleared, host Cleared"),
        ("lockstep", MisAnswers.make, "Clear: Cleared, host Cleared"),
        ("durable", HidesOne.make, "state.held"),
        ("vectors", partial(model_host, machine(ONE_TOO_MANY)), "host outcome"),
        ("envelope", LosesOnReopen.make, "ENV-3"),
        ("envelope", traced("BEGIN DEFERRED", "COMMIT"), "ENV-1"),
    ],
    ids=["descend", "lockstep", "durable", "vectors", "envelope", "envelope, traced"],
)
def test_a_wrong_host_breaks_every_engine_that_has_a_host(
    engine: str, make: ToyFactory, name: str, toy_spec: Path, tmp_path: Path
) -> None:
    report = ran(engine, case_of(make), plan_in(toy_spec))
    assert report.verdict is Verdict.BROKEN
    assert not report.holds
    finding = report.findings[0]
    assert name in finding.name
    assert [row.step for row in finding.rows] == list(range(1, len(finding.rows) + 1))
    kept = tmp_path / "toy-finding.jsonl"
    kept.write_text(finding.trace, encoding="utf-8")
    (trace,) = read(kept, lambda header: toy.case().rules(header.rules))
    assert (trace.header.plumbline, trace.header.name) == ("regression", finding.name)
    assert trace.header.about == finding.detail
    assert engine in trace.header.scope or engine == "vectors"


def test_a_finding_can_be_replayed_on_the_host_that_it_was_found_on(toy_spec: Path) -> None:
    report = ran("lockstep", case_of(HidesOne.make), plan_in(toy_spec))
    (finding,) = report.findings
    assert finding.differences[0].path == "state.held"
    assert finding.rows[-1].outcome == "Deposited"
    assert finding.rows[-1].event.startswith("Deposit(coins=")


# Regressions.


def test_stored_traces_are_replayed_on_machine_and_host(tmp_path: Path) -> None:
    write(tmp_path / "toy-one.jsonl", [trace_of(Deposit(coins=3), Clear()), trace_of(Clear())])
    write(tmp_path / "toy-two.jsonl", [trace_of(Deposit(coins=1))])
    plan = replace(plan_in(tmp_path), regressions=(tmp_path, tmp_path / "missing"))
    report = ran("regressions", toy.case(), plan)
    assert (report.verdict, report.figures) == (Verdict.HOLDS, {"traces": 3})
    wrong = ran("regressions", case_of(MisAnswers.make), plan)
    assert wrong.verdict is Verdict.BROKEN
    assert wrong.findings[0].name == "toy-one.jsonl host outcome"
    assert "step 2" in wrong.findings[0].detail


def test_a_stored_trace_that_recorded_a_wrong_model_passes_once_the_model_is_right(
    tmp_path: Path,
) -> None:
    stored = trace_of(Deposit(coins=1))
    steps = (replace(stored.steps[0], digest="0" * 32),)
    write(tmp_path / "toy.jsonl", [replace(stored, steps=steps)])
    plan = replace(plan_in(tmp_path), regressions=(tmp_path,))
    assert ran("regressions", toy.case(), plan).verdict is Verdict.HOLDS


def test_a_trace_of_a_machine_whose_name_begins_alike_is_left_alone(tmp_path: Path) -> None:
    other = trace_of(Clear())
    write(
        tmp_path / "toy-box-one.jsonl",
        [replace(other, header=replace(other.header, machine="toy-box"))],
    )
    plan = replace(plan_in(tmp_path), regressions=(tmp_path,))
    assert ran("regressions", toy.case(), plan).figures == {"traces": 0}


def test_a_malformed_stored_trace_is_unusable_and_no_pass(tmp_path: Path) -> None:
    (tmp_path / "toy-bad.jsonl").write_text("{", encoding="utf-8")
    plan = replace(plan_in(tmp_path), regressions=(tmp_path,))
    with pytest.raises(UnusableInput, match="line 1"):
        ran("regressions", toy.case(), plan)


# Explore.


def test_a_broken_clause_is_a_finding_with_its_witness(toy_spec: Path) -> None:
    """TOY-1."""
    report = ran("explore", replace(toy.case(), machine=machine(ONE_TOO_MANY)), plan_in(toy_spec))
    assert report.verdict is Verdict.BROKEN
    (finding,) = report.findings
    assert finding.name == "TOY-1"
    assert "holds 4 coins" in finding.detail
    assert [row.event for row in finding.rows] == ["Deposit(coins=2)"] * 2
    assert report.figures["complete"] == 0


def test_what_no_scope_reaches_is_broken() -> None:
    """TOY-4."""
    report = explored(machine(), [Scope(coins=0)])
    assert report.verdict is Verdict.BROKEN
    assert "never reached: TOY-4" in report.details
    assert "never enabled: Clear" in report.details
    assert "never exercised: Deposit, Deposited" in report.details
    assert "idle clause: TOY-3" in report.details


def test_a_refusal_of_the_machine_below_is_exercised_there() -> None:
    """It is missing here and no fault, nor is it a goal of vectors."""
    pair = ("Deposit", "Deposited")
    above = replace(machine(), inherited_pairs=(pair,))
    report = explored(above, [Scope(coins=0)])
    assert "never exercised: Deposit, Deposited" not in report.details
    assert "never reached: TOY-4" in report.details
    assert ("pair", *pair) in goals_of(machine(), ())
    assert goals_of(machine(), ()) - goals_of(above, ()) == {("pair", *pair)}


def test_drawn_histories_begin_in_a_scope_of_their_own(toy_spec: Path) -> None:
    plan = plan_in(toy_spec)
    first = toy.case().scopes[plan.profile.name].descend[0]
    assert toy.case().opening_of(plan.profile) == first
    other = Scope(coins=1)
    assert replace(toy.case(), opening=other).opening_of(plan.profile) == other


def test_what_one_of_several_scopes_reaches_is_reached() -> None:
    report = explored(machine(), [Scope(coins=0), SCOPE])
    assert (report.verdict, report.details) == (Verdict.HOLDS, ())
    assert report.figures == {"states": 5, "transitions": 21, "depth": 2, "complete": 1}


def test_a_pair_outside_the_table_is_broken() -> None:
    report = explored(replace(machine(), pairs=toy.PAIRS[1:]), [SCOPE])
    assert report.details == ("outside the table: Deposit, Deposited",)


@pytest.mark.parametrize("most", [1, 3])
def test_a_bound_is_unfinished_and_never_complete(most: int) -> None:
    report = explored(machine(), [Scope(coins=1)], max_states=most)
    assert report.verdict is Verdict.UNFINISHED
    assert not report.holds
    assert f"stopped at {most} states" in report.summary
    assert report.figures["complete"] == 0


# Descend.


def test_other_states_depth_first_are_broken(
    toy_spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def less(judged: toy.Machine, scope: Scope, **options: object) -> object:
        del scope, options
        return explore(judged, Scope(coins=0), fingerprint=True)

    monkeypatch.setattr(engines, "explore", less)
    report = ran("descend", toy.case(), plan_in(toy_spec))
    assert report.verdict is Verdict.BROKEN
    assert report.summary.endswith("NOT the same states as breadth first")
    assert report.details == ("4 states depth first, 1 breadth first in Scope(coins=2)",)


def test_the_same_states_are_said_to_be_the_same(toy_spec: Path) -> None:
    report = ran("descend", toy.case(), plan_in(toy_spec))
    assert report.summary == (
        "4 states, 20 transitions on the host, the same states as breadth first"
    )
    wrong = ran("descend", case_of(MisAnswers.make), plan_in(toy_spec))
    assert wrong.summary.endswith("stopped where they differ")


def test_a_bound_of_descend_is_unfinished(toy_spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "descend", partial(descend, max_transitions=3))
    report = ran("descend", toy.case(), plan_in(toy_spec))
    assert report.verdict is Verdict.UNFINISHED
    assert report.summary.endswith("stopped at 3 transitions")


def test_a_host_without_savepoints_is_not_applicable(toy_spec: Path) -> None:
    report = ran("descend", case_of(unseen), plan_in(toy_spec))
    assert report.verdict is Verdict.NOT_APPLICABLE
    assert report.holds


@pytest.mark.parametrize("engine", ENGINES)
def test_a_host_that_lacks_an_event_breaks_no_engine(engine: str, toy_spec: Path) -> None:
    plan = plan_in(toy_spec, histories_floor=100)
    report = ran(engine, case_of(without_clear), plan)
    assert (report.verdict, report.details) == (Verdict.HOLDS, ())


# Lockstep.


def test_a_minimum_below_its_floor_is_unfinished(toy_spec: Path) -> None:
    plan = plan_in(toy_spec, examples=1, steps=1, histories_floor=100)
    report = ran("lockstep", toy.case(), plan)
    assert report.verdict is Verdict.UNFINISHED
    assert "% of the pairs reached, the floor is 100 %" in report.details[0]
    assert ran("durable", toy.case(), plan).verdict is Verdict.HOLDS


@pytest.mark.parametrize("profile", PROFILES)
def test_the_floor_of_each_profile_is_reached(profile: str, toy_spec: Path) -> None:
    report = ran("lockstep", toy.case(), plan_in(toy_spec, profile))
    assert report.verdict is Verdict.HOLDS
    assert "100 % of pairs" in report.summary
    assert {(one.event, one.outcome) for one in report.pairs} == set(toy.PAIRS)


def test_a_failure_goes_before_a_floor(toy_spec: Path) -> None:
    plan = plan_in(toy_spec, histories_floor=100)
    report = ran("lockstep", case_of(MisAnswers.make), plan)
    assert (report.verdict, report.details) == (Verdict.BROKEN, ())


def test_a_pair_outside_the_table_is_broken_in_histories(toy_spec: Path) -> None:
    narrow = replace(toy.case(), machine=replace(machine(), pairs=toy.PAIRS[1:]))
    report = ran("lockstep", narrow, plan_in(toy_spec))
    assert report.verdict is Verdict.BROKEN
    assert report.details == ("pair outside the table: ('Deposit', 'Deposited')",)


def test_the_seed_of_the_durable_histories_is_another(toy_spec: Path) -> None:
    plan = plan_in(toy_spec, durable_examples=12)
    first, second = (ran(engine, toy.case(), plan) for engine in ("lockstep", "durable"))
    assert first.pairs != second.pairs
    assert ran("lockstep", toy.case(), replace(plan, seed=2)).pairs == second.pairs


# Diff.


def test_rule_sets_that_are_called_equal_and_differ_are_broken(toy_spec: Path) -> None:
    claims = replace(toy.case(), equal_rule_sets=(("SPEC", "BY_ROOM"), ("SPEC", "PARTLY")))
    report = ran("diff", claims, plan_in(toy_spec))
    assert report.verdict is Verdict.BROKEN
    (finding,) = report.findings
    assert finding.name == "SPEC = PARTLY"
    assert finding.detail.startswith("outcome.reason: ")
    assert report.summary == "6 pairs of states; SPEC = BY_ROOM"


def test_what_is_claimed_of_a_scope_is_held_to_it(toy_spec: Path) -> None:
    def claim(right: str, *, equal: bool) -> Compared[toy.Scope]:
        return Compared(left="SPEC", right=right, where="here", scope=SCOPE, equal=equal)

    case = replace(toy.case(), equal_rule_sets=(), different_rule_sets=())
    right = replace(case, compared=(claim("BY_ROOM", equal=True), claim("PARTLY", equal=False)))
    report = ran("diff", right, plan_in(toy_spec))
    assert report.verdict is Verdict.HOLDS
    assert "SPEC = BY_ROOM in 1 scopes and ≠ in 0" in report.summary
    assert "SPEC = PARTLY in 0 scopes and ≠ in 1" in report.summary
    wrong = replace(case, compared=(claim("BY_ROOM", equal=False), claim("PARTLY", equal=True)))
    report = ran("diff", wrong, plan_in(toy_spec))
    assert report.verdict is Verdict.BROKEN
    assert [one.name for one in report.findings] == ["SPEC = PARTLY"]
    assert report.details == ("equal in this scope: SPEC and BY_ROOM",)


def test_a_bound_of_diff_is_unfinished(toy_spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "diff", partial(diff, max_states=1))
    report = ran("diff", toy.case(), plan_in(toy_spec))
    assert report.verdict is Verdict.UNFINISHED
    assert report.summary.endswith("nothing equal")


# Vectors, envelope, quality.


def test_goals_that_no_vector_reaches_are_broken(tmp_path: Path) -> None:
    write(tmp_path / "vectors" / "toy.jsonl", [trace_of(Clear())])
    report = ran("vectors", toy.case(), plan_in(tmp_path))
    assert report.verdict is Verdict.BROKEN
    assert report.findings == ()
    assert "no vector reaches clause TOY-1" in report.details


def test_missing_vectors_are_unusable_and_no_pass(tmp_path: Path) -> None:
    for engine in ("vectors", "envelope", "quality"):
        with pytest.raises(UnusableInput, match="cannot be read"):
            ran(engine, toy.case(), plan_in(tmp_path))


def test_the_envelope_reports_the_clauses_that_it_judged(toy_spec: Path) -> None:
    """ENV-1, ENV-2, ENV-3."""
    plan = plan_in(toy_spec)
    assert ran("envelope", toy.case(), plan).clauses == ("ENV-2", "ENV-3")
    right = traced("BEGIN IMMEDIATE", "COMMIT")
    assert ran("envelope", case_of(right), plan).clauses == ("ENV-1", "ENV-2")
    assert ran("envelope", case_of(unseen), plan).clauses == ("ENV-2",)


@pytest.mark.parametrize("profile", ["quick", "ci"])
def test_every_variant_is_in_the_table_of_quality(profile: str, toy_spec: Path) -> None:
    report = ran("quality", toy.case(), plan_in(toy_spec, profile))
    heading, *rows = report.table
    assert heading[0] == "variant"
    assert [row[0] for row in rows] == [one.name for one in VARIANTS]
    assert {row[-1] for row in rows} == {"yes"}
    assert {row[4] for row in rows} == {"trace" if profile == "quick" else "explore"}
    assert report.figures == {"variants": 4, "variants_caught": 4}


def test_poor_quality_is_broken_and_says_why(toy_spec: Path) -> None:
    harmless = replace(VARIANTS[0], name="HARMLESS", machine=machine, sole=False)
    shared = replace(VARIANTS[1], name="SHARED", machine=twice_wrong)
    poor = replace(toy.case(), machine=machine(PARTLY), variants=(harmless, shared, *VARIANTS[2:]))
    report = ran("quality", poor, plan_in(toy_spec, "ci"))
    assert report.verdict is Verdict.BROKEN
    assert "variant not caught by its clause: HARMLESS" in report.details
    assert "variant noticed by another clause as well: SHARED" in report.details
    assert "no variant needs clause TOY-1" in report.details
    assert "the unchanged machine breaks TOY-3 in Scope(coins=2)" in report.details
    cells = {row[0]: row for row in report.table}
    assert (cells["HARMLESS"][3], cells["HARMLESS"][-1]) == ("NOT CAUGHT", "")
    assert cells["SHARED"][-1] == "NO"
    more = replace(toy.case(), variants=(*VARIANTS, harmless))
    stored = ran("quality", more, plan_in(toy_spec))
    assert "variant without a stored trace: HARMLESS" in stored.details


def twice_wrong() -> toy.Machine:
    """Return a machine that loses the coins at a refusal and takes a fourth one."""
    rules = toy.Rules(name="SHARED", limit=4, loses=True)
    return replace(machine(rules), step=partial(toy.step, rules))


def test_what_the_environment_does_ends_the_engine(toy_spec: Path) -> None:
    for engine in ("descend", "lockstep", "durable", "vectors", "envelope"):
        with pytest.raises(CouldNotFinish, match="busy"):
            ran(engine, case_of(Busy.make), plan_in(toy_spec))


@pytest.mark.parametrize("engine", ["regressions", "descend", "lockstep", "vectors", "envelope"])
def test_the_host_is_closed_whatever_happens(engine: str, toy_spec: Path) -> None:
    opened: list[Locker] = []
    closed: list[Locker] = []

    class Counted(MisAnswers):
        def close(self) -> None:
            closed.append(self)

    def make() -> Judged[State, Event, Outcome]:
        opened.append(Counted())
        return Judged(host=opened[-1], observable=opened[-1], reversible=opened[-1])

    ran(engine, case_of(make), plan_in(toy_spec))
    assert closed == opened != []


def test_the_worst_verdict_of_several_reports_counts() -> None:
    def of(verdict: Verdict) -> EngineReport:
        return EngineReport(machine="toy", engine="none", verdict=verdict, summary="")

    broken, unfinished = of(Verdict.BROKEN), of(Verdict.UNFINISHED)
    holds, absent = of(Verdict.HOLDS), of(Verdict.NOT_APPLICABLE)
    assert worst([holds, unfinished, broken, absent]) is Verdict.BROKEN
    assert worst([holds, unfinished, absent]) is Verdict.UNFINISHED
    assert worst([absent, holds]) is Verdict.HOLDS
    assert worst([]) is Verdict.HOLDS
    assert [one.holds for one in (broken, unfinished, holds, absent)] == [False, False, True, True]


def test_profiles_ask_for_more_and_more() -> None:
    quick, ci, nightly = (PROFILES[name] for name in ("quick", "ci", "nightly"))
    for less, more in ((quick, ci), (ci, nightly)):
        assert less.seconds < more.seconds
        assert less.examples < more.examples
        assert less.durable_examples < more.durable_examples
        assert less.histories_floor < more.histories_floor
    assert nightly.histories_floor == 100
