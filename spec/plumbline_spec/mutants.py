"""Mutants: whether the engines kill a build of the implementation that is wrong in one place.

Theory of operation. A case brings its mutants; the judge knows neither what they were made from nor
how. Each goes up the ladder, the cheapest engine first, with a small seeded effort, until one
engine breaks: that engine killed it. What reaches the end has survived, and is either proven
equivalent in a kept table or named with its diff. The shipped build goes up the same ladder first
and must break nothing; a kept proof is held to its mutant, so a stale one is a fault.

A profile judges a seeded sample at least, more while its share of the budget lasts, and a greater
one all of them. A sample passes over those that are proven equivalent, because they cost the whole
ladder; a run of all of them holds each proof to its mutant. The floor is about the others.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from plumbline_spec.case import Case, Equivalent, Mutant, Mutants, Plan, Scopes
from plumbline_spec.clause_table import Progress
from plumbline_spec.codec import digest
from plumbline_spec.engines import ENGINES, run_quality
from plumbline_spec.errors import OutOfSteps
from plumbline_spec.profiles import PROFILES, FaultEffort
from plumbline_spec.report import EngineReport, Fate, Verdict

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")

FLOOR = 95
"""Per cent of the mutants judged, without those proven equivalent, that must be killed."""
LADDER = ("vectors", "envelope", "descend", "lockstep", "durable", "interleave", "faults")
"""The engines that judge a host, by what they cost."""
EFFORT = replace(
    PROFILES["quick"],
    examples=120,
    steps=30,
    durable_examples=4,
    histories_floor=0,
    schedules=4,
    crowds=0,
    faults=FaultEffort(
        every_pair=False,
        settings=3,
        subsets=1,
        drawn=0,
        omitted=0,
        recoveries=0,
        closings=0,
        moments=1,
        strikes=40,
        histories=0,
    ),
)
"""What an engine does for one mutant: with faults many errors, which meet what seldom runs."""
MAX_SHOWN = 200
"""Characters of what broke that a report shows."""


class Runs(Protocol):
    """Runs an engine by name on a case, as ``plumbline check`` does."""

    def __call__(
        self, case: Case[S, E, O, C], engine: str, plan: Plan, progress: Progress
    ) -> EngineReport:
        """Return the engine's report."""
        ...


class Judgement(Struct, frozen=True, kw_only=True):
    """What became of the mutants that were judged."""

    every: int
    fates: tuple[Fate, ...]
    faults: tuple[str, ...]
    """What makes the judgement itself unsound: a shipped build that breaks, a stale proof."""

    @property
    def killed(self) -> int:
        """How many an engine killed."""
        return sum(one.killed_by is not None for one in self.fates)

    @property
    def equivalent(self) -> int:
        """How many survived and are proven equivalent."""
        return sum(one.proof is not None for one in self.fates)

    @property
    def survivors(self) -> tuple[Fate, ...]:
        """Those that survived without a proof."""
        return tuple(one for one in self.fates if one.killed_by is None and one.proof is None)

    @property
    def per_cent(self) -> int:
        """How many of those that are not proven equivalent were killed, rounded down."""
        judged = len(self.fates) - self.equivalent
        return 100 * self.killed // judged if judged else 100

    @property
    def holds(self) -> bool:
        """Whether the floor is reached and the judgement is sound."""
        return self.per_cent >= FLOOR and not self.faults


def run_quality_with_mutants(
    case: Case[S, E, O, C], plan: Plan, progress: Progress, run: Runs
) -> EngineReport:
    """Judge every variant, and then the mutants that the profile asks for."""
    report = run_quality(case, plan, progress)
    if case.mutants is None:
        return report
    if not plan.profile.mutants:
        said = f"{report.summary}; no mutants, which ci and nightly judge"
        return replace(report, summary=said)
    found = judge_mutants(case.mutants, plan, progress, run)
    wrong = len(found.fates) - found.equivalent
    said = f"{found.killed} of {wrong} mutants killed, {found.equivalent} more equivalent"
    sampled = f" (a sample of {found.every})" if len(found.fates) < found.every else ""
    faults = [*found.faults]
    if found.per_cent < FLOOR:
        faults.append(f"{found.per_cent} % of the mutants killed, the floor is {FLOOR} %")
    figures = {
        "mutants": len(found.fates),
        "mutants_killed": found.killed,
        "mutants_equivalent": found.equivalent,
    }
    return replace(
        report,
        verdict=Verdict.BROKEN if faults else report.verdict,
        summary=f"{report.summary}; {said}{sampled}",
        figures={**report.figures, **figures},
        details=(*report.details, *faults, *(_survived(one) for one in found.survivors)),
        mutants=found.fates,
    )


def _survived(fate: Fate) -> str:
    return f"mutant survived: {fate.id} ({fate.place})\n{fate.diff}"


def judge_mutants(
    mutants: Mutants[S, E, O, C], plan: Plan, progress: Progress, run: Runs
) -> Judgement:
    """Judge a sample of a case's mutants, or all of them; in every run the same for one seed."""
    ladder = _Ladder(mutants, plan, progress, run)
    every = mutants.every()
    known = {one.id: one for one in mutants.equivalents()}
    faults = [*_unsound(every, known), *ladder.unchanged()]
    whole = plan.profile.mutants >= len(every)
    fates: list[Fate] = []
    for mutant in sample(every, plan):
        if mutant.id in known and not whole:
            continue
        if len(fates) >= plan.profile.mutants and ladder.is_late():
            break
        ladder.doing = f"{len(fates)} of {len(every)} mutants: {mutant.id}"
        fates.append(ladder.fate(mutant, known.get(mutant.id)))
    faults += [
        f"proven equivalent and killed by {one.killed_by}: {one.id} ({one.witness})"
        for one in fates
        if one.killed_by is not None and one.id in known
    ]
    return Judgement(every=len(every), fates=tuple(fates), faults=tuple(faults))


def sample(every: Sequence[Mutant[S, E, O, C]], plan: Plan) -> list[Mutant[S, E, O, C]]:
    """Return the mutants in an order that the seed decides and no change of another one moves."""
    return sorted(every, key=lambda one: digest([plan.seed, one.id]))


def _unsound(every: Sequence[Mutant[S, E, O, C]], known: Mapping[str, Equivalent]) -> Iterator[str]:
    changes = {one.id: one.change for one in every}
    if not changes:
        yield "there are no mutants"
    if len(changes) < len(every):
        yield "two mutants have one id"
    for one in known.values():
        if one.id not in changes:
            yield f"proven equivalent and no longer a mutant: {one.id}"
        elif one.change != changes[one.id]:
            yield f"proven equivalent and changed since: {one.id}\n{changes[one.id]}"


class _Ladder(Generic[S, E, O, C]):
    """The engines that judge a mutant, with what they need."""

    def __init__(
        self,
        mutants: Mutants[S, E, O, C],
        plan: Plan,
        progress: Progress,
        run: Runs,
    ) -> None:
        self._mutants, self._run = mutants, run
        self._whole = plan
        self._plan = replace(plan, profile=EFFORT, until=None, regressions=(), database=None)
        self._progress = progress
        self.doing = "mutants: the unchanged build"

    def is_late(self) -> bool:
        """Tell whether the time for more than the minimum is over."""
        until = self._whole.until
        return until is None or time.monotonic() >= until

    def unchanged(self) -> Iterator[str]:
        """Yield what the shipped build breaks, made in the way of a mutant; it must be nothing."""
        for engine, witness in self._broken(self._mutants.unchanged):
            yield f"the unchanged build is killed by {engine}: {witness}"

    def fate(self, mutant: Mutant[S, E, O, C], known: Equivalent | None) -> Fate:
        """Judge one mutant."""
        engine, witness = next(self._broken(mutant.case), (None, ""))
        return Fate(
            id=mutant.id,
            operator=mutant.operator,
            place=mutant.place,
            killed_by=engine,
            witness=witness,
            proof=None if known is None or engine is not None else known.proof,
            diff=mutant.diff,
        )

    def _broken(self, build: Callable[[], Case[S, E, O, C]]) -> Iterator[tuple[str, str]]:
        """Yield the engines that break on a build, and what broke."""
        small = self._mutants.scopes
        scopes = {EFFORT.name: Scopes(explore=small, descend=small, diff=small[0])}
        for engine in LADDER:
            if engine in ENGINES:
                made = replace(build(), scopes=scopes, variants=(), builds=(), mutants=None)
                witness = self._witness(self._offering(made), engine)
                if witness is not None:
                    endless = OutOfSteps.__name__ in witness
                    yield f"{engine}, out of steps" if endless else engine, witness[:MAX_SHOWN]

    def _offering(self, case: Case[S, E, O, C]) -> Case[S, E, O, C]:
        """Return a case whose machine offers what mutants are judged with."""
        offers = self._mutants.offers
        if offers is None:
            return case
        return replace(case, machine=replace(case.machine, events=offers))

    def _witness(self, case: Case[S, E, O, C], engine: str) -> str | None:
        """Return what breaks when an engine runs on a build, or None."""
        told = _Told(self._progress, self.doing)
        try:
            report = self._run(case, engine, self._plan, told)
        except Exception as error:  # what a build raises while it is opened kills it as well
            if told.ended is error:
                raise
            return f"raised {type(error).__name__}: {error}"
        if report.verdict is not Verdict.BROKEN:
            return None
        said = [*(f"{one.name}: {one.detail}" for one in report.findings), *report.details]
        return said[0] if said else report.summary


class _Told:
    """Says what the whole run does while an engine works on a build; remembers what stopped it."""

    def __init__(self, progress: Progress, doing: str) -> None:
        self._progress, self._doing = progress, doing
        self.ended: Exception | None = None

    def __call__(self, message: str) -> None:
        """Pass on that something goes on."""
        del message
        try:
            self._progress(self._doing)
        except Exception as error:
            self.ended = error
            raise
