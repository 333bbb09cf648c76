"""Mutants: who kills them, what survives, and what makes the judgement itself unsound."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import pytest
from msgspec.structs import replace

from plumbline_spec import toy
from plumbline_spec.case import Case, Equivalent, Mutant, Mutants, Plan
from plumbline_spec.clause_table import Progress, silent
from plumbline_spec.errors import CouldNotFinish, OutOfSteps
from plumbline_spec.host import Judged, RequestId
from plumbline_spec.mutants import Judgement, judge_mutants, run_quality_with_mutants, sample
from plumbline_spec.report import EngineReport, Fate, Verdict
from plumbline_spec.subject import subject
from plumbline_spec.toy import Event, Outcome, Scope, State, machine
from tests.judge.hosts import Locker, ToyFactory, ToyJudged, plan_in

ToyCase: TypeAlias = Case[State, Event, Outcome, Scope]
ToyMutants: TypeAlias = Mutants[State, Event, Outcome, Scope]
ToyMutant: TypeAlias = Mutant[State, Event, Outcome, Scope]

MUTANTS: ToyMutants = toy.mutants()
WRONG, LOSES, EQUAL = MUTANTS.every()
(PROOF,) = MUTANTS.equivalents()
ENGINES = ("vectors", "envelope", "descend", "lockstep", "durable")


class Ran:
    """An engine that breaks on nothing, or on builds of some kind, and remembers who asked."""

    def __init__(self, *breaks: str, witness: str = "broken") -> None:
        self.breaks, self.witness = breaks, witness
        self.asked: list[str] = []

    def __call__(self, case: object, engine: str, plan: Plan, progress: Progress) -> EngineReport:
        """Break when asked by name; the unchanged build comes first and is spared."""
        del case, plan
        progress("at work")
        self.asked.append(engine)
        first_again = self.asked.count(engine) > 1
        broken = engine in self.breaks and first_again
        return EngineReport(
            machine="toy",
            engine=engine,
            verdict=Verdict.BROKEN if broken else Verdict.HOLDS,
            summary=self.witness,
        )


def plan_for(spec: Path, mutants: int = 10) -> Plan:
    return plan_in(spec, "ci", mutants=mutants)


def judged(mutants: ToyMutants, run: Ran, mutants_at_least: int = 10) -> Judgement:
    return judge_mutants(mutants, plan_for(Path(), mutants_at_least), silent, run)


def with_every(*every: ToyMutant, known: Sequence[Equivalent] = ()) -> ToyMutants:
    return replace(MUTANTS, every=lambda: every, equivalents=lambda: known)


def fate_of(found: Judgement, mutant: ToyMutant) -> Fate:
    (one,) = [fate for fate in found.fates if fate.id == mutant.id]
    return one


def built(mutant: ToyMutant, make: ToyFactory) -> ToyMutant:
    """Return a mutant with other hosts."""
    return replace(mutant, case=lambda: replace(toy.case(), host=make, durable=make))


# The whole way, through the engines


def test_the_mistakes_of_the_toy_are_killed_and_what_is_proven_equal_survives(
    toy_spec: Path,
) -> None:
    report = subject(toy.case()).run("quality", plan_for(toy_spec), silent)
    assert report.verdict is Verdict.HOLDS, report.details
    assert {one.id: one.killed_by for one in report.mutants} == {
        WRONG.id: "vectors",
        LOSES.id: "vectors",
        EQUAL.id: None,
    }
    figures = {name: value for name, value in report.figures.items() if "mutants" in name}
    assert figures == {"mutants": 3, "mutants_killed": 2, "mutants_equivalent": 1}
    assert report.summary.endswith("2 of 2 mutants killed, 1 more equivalent")


def test_a_quick_run_judges_no_mutant_and_says_so(toy_spec: Path) -> None:
    report = subject(toy.case()).run("quality", plan_in(toy_spec), silent)
    assert report.mutants == ()
    assert report.summary.endswith("no mutants, which ci and nightly judge")


def test_a_case_without_mutants_is_judged_by_its_variants_alone(toy_spec: Path) -> None:
    case = replace(toy.case(), mutants=None)
    report = run_quality_with_mutants(case, plan_for(toy_spec), silent, Ran())
    assert "mutants" not in report.summary
    assert report.verdict is Verdict.HOLDS


def test_an_entry_that_is_not_equivalent_is_noticed(toy_spec: Path) -> None:
    claim = replace(PROOF, id=WRONG.id, change=WRONG.change)
    mutants = replace(MUTANTS, equivalents=lambda: (PROOF, claim))
    case = replace(toy.case(), mutants=mutants)
    report = subject(case).run("quality", plan_for(toy_spec), silent)
    assert report.verdict is Verdict.BROKEN
    (said,) = [one for one in report.details if one.startswith("proven equivalent and killed")]
    assert WRONG.id in said


def test_blind_engines_leave_survivors_below_the_floor(toy_spec: Path) -> None:
    report = run_quality_with_mutants(toy.case(), plan_for(toy_spec), silent, Ran())
    assert report.verdict is Verdict.BROKEN
    assert report.details[0] == "0 % of the mutants killed, the floor is 95 %"
    assert [one for one in report.details if WRONG.id in one and WRONG.diff in one]
    assert [one for one in report.details if LOSES.id in one and LOSES.diff in one]


class Endless(Locker):
    """Never comes to an end, but for its bound of steps."""

    def step(self, event: Event, request: RequestId | None = None) -> Outcome:
        del event, request
        raise OutOfSteps("too many")


class Busy(Locker):
    """Is always busy."""

    def step(self, event: Event, request: RequestId | None = None) -> Outcome:
        del event, request
        raise CouldNotFinish("busy")


def made(kind: Callable[[], Locker]) -> ToyFactory:
    def make() -> ToyJudged:
        host = kind()
        return Judged(host=host, observable=host, reversible=host, crashable=host)

    return make


def unopened() -> ToyJudged:
    raise OSError("cannot be opened")


@pytest.mark.parametrize(
    ("make", "killed_by", "witness"),
    [
        (made(Endless), "vectors, out of steps", "OutOfSteps"),
        (made(Busy), "vectors", "raised CouldNotFinish: busy"),
        (unopened, "vectors", "raised OSError: cannot be opened"),
    ],
)
def test_a_build_that_does_not_end_cannot_finish_or_cannot_be_opened_is_killed(
    make: ToyFactory, killed_by: str, witness: str, toy_spec: Path
) -> None:
    case = replace(toy.case(), mutants=with_every(built(WRONG, make)))
    (one,) = subject(case).run("quality", plan_for(toy_spec), silent).mutants
    assert one.killed_by == killed_by
    assert witness in one.witness


# The ladder


def test_the_first_engine_that_breaks_kills_and_no_other_is_asked() -> None:
    run = Ran("descend", "durable", witness="it answers otherwise")
    found = judged(with_every(WRONG), run)
    one = fate_of(found, WRONG)
    assert (one.killed_by, one.witness, one.proof) == ("descend", "it answers otherwise", None)
    asked = [engine for engine in run.asked if engine in ENGINES]
    assert asked == [*ENGINES, "vectors", "envelope", "descend"]


def test_what_no_engine_breaks_has_survived_with_its_proof_or_without() -> None:
    found = judged(MUTANTS, Ran())
    assert {one.id for one in found.survivors} == {WRONG.id, LOSES.id}
    assert fate_of(found, EQUAL).proof == PROOF.proof
    assert (found.killed, found.equivalent, found.per_cent, found.holds) == (0, 1, 0, False)


def test_the_floor_leaves_out_what_is_proven_equivalent() -> None:
    found = judged(MUTANTS, Ran("vectors"))
    assert (found.killed, found.equivalent, found.per_cent) == (3, 0, 100)
    spared = replace(found, fates=tuple(_spared(found.fates)))
    assert (spared.killed, spared.equivalent, spared.per_cent) == (2, 1, 100)
    assert Judgement(every=0, fates=(), faults=()).per_cent == 100


def _spared(fates: Sequence[Fate]) -> Iterator[Fate]:
    for one in fates:
        equal = one.id == EQUAL.id
        yield replace(one, killed_by=None, proof=PROOF.proof) if equal else one


def test_the_unchanged_build_must_break_nothing() -> None:
    class Nervous(Ran):
        """Breaks on whatever comes."""

        def __call__(
            self, case: object, engine: str, plan: Plan, progress: Progress
        ) -> EngineReport:
            report = super().__call__(case, engine, plan, progress)
            return replace(report, verdict=Verdict.BROKEN)

    found = judged(with_every(WRONG), Nervous())
    assert not found.holds
    assert "the unchanged build is killed by vectors: broken" in found.faults


# Proofs that are kept


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (replace(PROOF, id="toy.step GONE"), "no longer a mutant: toy.step GONE"),
        (replace(PROOF, change="-held\n+coins"), f"changed since: {EQUAL.id}"),
    ],
)
def test_a_proof_of_another_mutant_is_stale(known: Equivalent, said: str) -> None:
    found = judged(replace(MUTANTS, equivalents=lambda: (known,)), Ran("vectors"))
    assert [one for one in found.faults if said in one]
    assert not found.holds


def test_no_mutants_and_two_of_one_name_are_faults() -> None:
    assert judged(with_every(), Ran()).faults == ("there are no mutants",)
    twice = judged(with_every(WRONG, WRONG), Ran("vectors"))
    assert "two mutants have one id" in twice.faults


def test_a_change_is_what_comes_and_goes_wherever_it_stands() -> None:
    elsewhere = WRONG.diff.replace("\n-", "\n@@ -7 +7 @@\n unchanged\n-", 1)
    assert replace(WRONG, diff=elsewhere).change == WRONG.change


# A sample


def test_a_sample_is_the_same_for_one_seed_and_another_for_the_next() -> None:
    every = [replace(WRONG, id=f"toy.step {number}") for number in range(50)]
    plan = plan_for(Path())
    orders = [[one.id for one in sample(every, replace(plan, seed=seed))] for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2])
    fewer = [one.id for one in sample(every[:-1], replace(plan, seed=1))]
    assert fewer == [one for one in orders[0] if one != every[-1].id]


def test_the_minimum_is_judged_and_more_while_there_is_time() -> None:
    every = tuple(replace(WRONG, id=f"toy.step {number}") for number in range(5))
    assert len(judged(with_every(*every), Ran("vectors"), 2).fates) == 2
    plan = replace(plan_for(Path(), 2), until=float("inf"))
    longer = judge_mutants(with_every(*every), plan, silent, Ran("vectors"))
    assert len(longer.fates) == longer.every == 5


def test_a_sample_passes_over_what_is_proven_equivalent() -> None:
    found = judged(MUTANTS, Ran("vectors"), 2)
    assert {one.id for one in found.fates} == {WRONG.id, LOSES.id}
    assert (found.every, found.equivalent, found.holds) == (3, 0, True)


def test_a_sample_says_that_it_is_one(toy_spec: Path) -> None:
    run = Ran("vectors")
    case = replace(toy.case(), mutants=with_every(WRONG, LOSES))
    report = run_quality_with_mutants(case, plan_for(toy_spec, 1), silent, run)
    assert report.summary.endswith("1 of 1 mutants killed, 0 more equivalent (a sample of 2)")


def test_a_run_that_is_out_of_time_is_no_kill() -> None:
    def over(message: str) -> None:
        if message.startswith("0 of 1 mutants"):
            raise CouldNotFinish("60 s are over")

    with pytest.raises(CouldNotFinish, match="60 s are over"):
        judge_mutants(with_every(WRONG), plan_for(Path()), over, Ran())


def test_the_machine_that_is_judged_by_stays_right_in_every_build() -> None:
    for mutant in MUTANTS.every():
        case = mutant.case()
        assert case.machine.rules_name == machine().rules_name == "SPEC"
