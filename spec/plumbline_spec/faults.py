"""Faults: every crash and every error of every event, in every way to keep what is stored.

Theory of operation. Courses are beginnings of the vectors, each of which ends with an event that is
to be judged. For each setting that ships, the storage is created, each course is taken and the
power lost at every moment of its last event (``power``), and then every call of that event is
struck by an error (``failing``). Then come the controls: settings that are known to be unsafe,
disks that lie, builds with a fault in them and writers that are careless; the same sweeps must find
each, or they see nothing and the engine is broken. Histories in which Hypothesis chooses the faults
(``unreliable``) use up what is left of the time.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from plumbline_models.contract import Machine
from plumbline_spec.case import Build, Case, Plan
from plumbline_spec.clause_table import ClauseBroken, Progress
from plumbline_spec.disk import Reach
from plumbline_spec.engines import finding_of, finding_of_broken, not_applicable
from plumbline_spec.host import Setting, Storage
from plumbline_spec.lockstep import Effort, lockstep
from plumbline_spec.power import CREATING, OPENING, Tally
from plumbline_spec.profiles import FaultEffort
from plumbline_spec.publishing import CARELESS, publish
from plumbline_spec.report import EngineReport, Finding, PairSteps, Row, Verdict
from plumbline_spec.shrink import shrink
from plumbline_spec.sweeping import CLAUSES, Sweeps
from plumbline_spec.traces import Environment, Trace, read
from plumbline_spec.unreliable import unreliable

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")

ENGINE = "faults"
PUBLISHING = "(publish)"
POWER = ("FLT-1", "FLT-2", "FLT-4")
"""The clauses that only a power loss breaks."""
HEADING = (
    "event",
    "setting",
    "operations",
    "durable states",
    "distinct",
    "in recovery",
    "repairs",
    "errors",
    "distinct/s",
    "verdict",
)
CONTROL = FaultEffort(
    every_pair=False,
    subsets=2,
    drawn=2,
    omitted=3,
    recoveries=0,
    closings=0,
    moments=2,
    strikes=40,
    histories=0,
)
"""How much is done to find a control."""
WRITER_REACH = Reach(subsets=10, drawn=20)
MAX_REPLAYS = 40
"""How often a course is taken again while it is shortened."""


class Course(Struct, Generic[E], frozen=True, kw_only=True):
    """Events of which the last is judged, and what it is answered."""

    events: tuple[E, ...]
    pair: tuple[str, str]


class Control(Struct, frozen=True, kw_only=True):
    """Something unsafe, and the clause by which it was found; "" when it was not."""

    name: str
    clause: str


def courses_of(
    machine: Machine[S, E, O, C], traces: Sequence[Trace[S, E, O]], *, every_pair: bool
) -> list[Course[E]]:
    """Return a shortest course of the traces for each pair of event and outcome, or each event.

    For an event alone it is one that changes the state, when there is one.
    """
    found: dict[object, Course[E]] = {}
    effective = set[str]()
    for trace in sorted(traces, key=lambda one: len(one.steps)):
        state = machine.initial
        for number, step in enumerate(trace.steps, 1):
            before, (state, outcome) = state, machine.step(state, step.event)
            name = type(step.event).__name__
            course = Course(
                events=trace.events[:number], pair=(name, machine.outcome_name(outcome))
            )
            if every_pair:
                _shorter(found, course.pair, course)
            elif before == state:
                found.setdefault(name, course)
            elif name not in effective:
                effective.add(name)
                found[name] = course
            else:
                _shorter(found, name, course)
    return list(found.values())


def _shorter(found: dict[object, Course[E]], key: object, course: Course[E]) -> None:
    known = found.get(key)
    if known is None or len(course.events) < len(known.events):
        found[key] = course


class _Ended(Exception):  # noqa: N818 - it never leaves this module
    """A clause is broken; nothing more is taken."""


class _Run(Generic[S, E, O, C]):
    """One run of the engine on one machine."""

    def __init__(self, case: Case[S, E, O, C], plan: Plan, progress: Progress) -> None:
        self.case, self.plan, self.progress = case, plan, progress
        self.effort = plan.profile.faults
        self.random = Random(plan.seed)  # noqa: S311 - repeats with its seed, no secret
        traces = read(
            plan.spec / "vectors" / f"{case.machine.name}.jsonl",
            lambda header: case.rules(header.rules),
        )
        self.courses = courses_of(case.machine, traces, every_pair=self.effort.every_pair)
        self.tallies: dict[tuple[str, str], Tally] = {}
        self.pairs: Counter[tuple[str, str]] = Counter()
        self.controls: list[Control] = []
        self.findings: list[Finding] = []
        self.broken: set[tuple[str, str]] = set()
        """Events and settings in which a clause was broken."""
        self.histories = 0
        self.never = set[str]()
        """Kinds of error of which none struck in a setting that ships."""

    def shipped(self, storage: Storage[S, E, O]) -> None:
        """Take courses in the settings that ship: the minimum, then the others in the time left."""
        settings = [one for one in storage.settings if one.ships]
        sweeps = [
            Sweeps(self.case.machine, storage, setting, self.effort, self.random)
            for setting in settings
        ]
        each = min(self.effort.settings, len(settings))
        pairs = [
            (sweeps[(first + turn) % len(settings)], course)
            for turn in range(len(settings))
            for first, course in enumerate(self.courses, self.plan.seed)
        ]
        least = each * len(self.courses)
        try:
            longest = max((course.events for course in self.courses), key=len, default=())
            for one in sweeps:
                self._judge(one, ())
                self._judge(one, longest, opening=True)
            for number, (one, course) in enumerate(pairs):
                if number >= least and not self._has_time():
                    break
                self.progress(f"{number} of {len(pairs)} courses, {course.pair[0]}")
                self._judge(one, course.events)
                self.pairs[course.pair] += 1
        except _Ended:
            pass
        struck = Counter[str]()
        for one in sweeps:
            struck.update(one.failing.struck)
            for name, tally in one.tallies.items():
                self.tallies.setdefault((name, one.setting.name), Tally()).add(tally)
        self.never = {kind.name for kind in storage.kinds if not struck[kind.name]}

    def _has_time(self) -> bool:
        return self.plan.until is not None and time.monotonic() < self.plan.until

    def _judge(
        self, sweeps: Sweeps[S, E, O, C], events: tuple[E, ...], *, opening: bool = False
    ) -> None:
        """Take a course, open after it, or create a store; a broken clause ends it all."""
        name = CREATING
        try:
            if not events:
                sweeps.create()
            elif opening:
                name = OPENING
                sweeps.open(events)
            else:
                name = type(events[-1]).__name__
                sweeps.take(events)
        except ClauseBroken as breach:
            self.broken.add((name, sweeps.setting.name))
            found = self._found(breach, events, sweeps.setting, opening=opening)
            self.findings.append(found)
            raise _Ended from breach

    def published(self) -> None:
        """Take the writer of files outside the database, and the careless ones."""
        tally = self.tallies.setdefault((PUBLISHING, ""), Tally())
        started = time.perf_counter()
        try:
            publish(WRITER_REACH, self.random, tally)
        except ClauseBroken as breach:
            self.findings.append(self._finding(breach, (), ""))
        tally.seconds += time.perf_counter() - started
        for careless in CARELESS:
            clause = ""
            try:
                publish(WRITER_REACH, self.random, Tally(), careless=careless)
            except ClauseBroken as breach:
                clause = breach.broken.clause
            self.controls.append(Control(name=f"writer: {careless.name}", clause=clause))

    def unsafe(self, storage: Storage[S, E, O], setting: Setting) -> None:
        """Find what is wrong with a setting that does not ship."""
        breach = self._breach(storage, setting, [course.events for course in self.courses])
        self.controls.append(_control(f"setting: {setting.name}", breach))

    def built(self, build: Build[S, E, O, C]) -> None:
        """Find what is wrong with a build."""
        self.progress(f"build: {build.name}")
        make = build.case().storage
        assert make is not None, "a build for this engine has a storage"
        storage = make()
        try:
            courses = [course.events for course in self.courses]
            breach = self._breach(storage, storage.settings[0], courses, build.breaks)
        finally:
            storage.close()
        self.controls.append(_control(f"build: {build.name}", breach))

    def _breach(
        self,
        storage: Storage[S, E, O],
        setting: Setting,
        courses: Sequence[tuple[E, ...]],
        clause: str = "",
        *,
        opening: bool = False,
    ) -> tuple[ClauseBroken, tuple[E, ...]] | None:
        """Return how a clause is broken first, any or this one, and along which course.

        With ``opening`` it is looked for where a store is opened after a course.
        """
        sweeps = Sweeps(self.case.machine, storage, setting, CONTROL, self.random)
        for events in courses:
            self.progress(f"{setting.name}, a control")
            try:
                if opening:
                    sweeps.open(events)
                elif clause in POWER:
                    sweeps.power.take(events, last=True)
                else:
                    sweeps.take(events)
            except ClauseBroken as breach:
                if clause in ("", breach.broken.clause):
                    return breach, events
        return None

    def _found(
        self, breach: ClauseBroken, events: tuple[E, ...], setting: Setting, *, opening: bool
    ) -> Finding:
        """Shorten the course along which a clause is broken, and return it as a finding."""
        latest = breach

        def fails(shorter: tuple[E, ...]) -> bool:
            nonlocal latest
            make = self.case.storage
            assert make is not None
            storage = make()
            try:
                courses = [shorter] if shorter else []
                found = self._breach(storage, setting, courses, opening=opening)
            finally:
                storage.close()
            if found is None or found[0].broken.clause != breach.broken.clause:
                return False
            latest = found[0]
            return True

        short = events
        if len(events) > 1 and fails(events):
            short = shrink(fails, events, max_replays=MAX_REPLAYS)
            fails(short)
        return self._finding(latest, short, setting.name)

    def _finding(self, breach: ClauseBroken, events: tuple[E, ...], setting: str) -> Finding:
        environment = Environment(setting=setting, fault=breach.fault)
        found = finding_of_broken(self.case.machine, breach.broken, events, ENGINE, environment)
        disk = tuple(
            Row(step=len(events) + number, event=f"the disk: {operation}", outcome=fate)
            for number, (operation, fate) in enumerate(breach.arrived, 1)
        )
        return replace(found, rows=(*found.rows, *disk))

    def drawn(self, make: Callable[[], Storage[S, E, O]], settings: Sequence[Setting]) -> None:
        """Take histories in which Hypothesis chooses the faults, until the time is up."""
        for number, setting in enumerate(settings):
            if self.findings or not self.effort.histories:
                return
            until = self.plan.until
            if until is not None:
                now = time.monotonic()
                until = now + max(0.0, until - now) / (len(settings) - number)
            effort = Effort(
                examples=self.effort.histories,
                steps=self.plan.profile.steps,
                seed=self.plan.seed + number,
                until=until,
            )
            run = lockstep(
                self.case.machine,
                unreliable(make, setting),
                self.case.opening_of(self.plan.profile),
                effort,
                database=self.plan.database,
                progress=self.progress,
            )
            self.histories += run.examples + run.extra_examples
            if run.failure is not None:
                environment = Environment(setting=setting.name, threat=run.threat)
                found = finding_of(self.case.machine, run.failure, run.events, ENGINE, environment)
                said = f"in {setting.name}, while the environment failed: {found.detail}"
                self.findings.append(replace(found, detail=said))

    def report(self) -> EngineReport:
        """Return what was seen."""
        total = Tally()
        for tally in self.tallies.values():
            total.add(tally)
        missed = [one.name for one in self.controls if not one.clause]
        figures = {
            "operations": total.operations,
            "durable_states": total.states,
            "distinct_states": total.distinct,
            "recoveries": total.recoveries,
            "repairs": total.repairs,
            "errors": total.errors,
            "threatened_histories": self.histories,
            "controls": len(self.controls),
            "controls_caught": len(self.controls) - len(missed),
        }
        # What a build that is broken itself makes of a control says nothing about the engine.
        faults = [] if self.findings else [f"control not caught: {name}" for name in missed]
        kinds = {kind.__name__ for kind in self.case.machine.kinds}
        unseen = kinds - {event for event, _ in self.pairs} if not self.findings else set[str]()
        faults += [f"no course ends with the event {name}" for name in sorted(unseen)]
        if not self.findings:
            faults += [f"no error of kind {name} struck" for name in sorted(self.never)]
            if self.effort.recoveries and not total.repairs:
                faults.append("no recovery wrote anything, so none was disturbed")
        return EngineReport(
            machine=self.case.machine.name,
            engine=ENGINE,
            verdict=Verdict.BROKEN if self.findings or faults else Verdict.HOLDS,
            summary=_summary(figures, total),
            figures=figures,
            details=tuple(faults),
            table=tuple(self._table()),
            pairs=tuple(
                PairSteps(event=event, outcome=outcome, steps=steps)
                for (event, outcome), steps in sorted(self.pairs.items())
            ),
            clauses=tuple(CLAUSES),
            findings=tuple(self.findings),
        )

    def _table(self) -> Iterator[tuple[str, ...]]:
        yield HEADING
        for (name, setting), tally in self.tallies.items():
            counted = (
                tally.operations,
                tally.states,
                tally.distinct,
                tally.recoveries,
                tally.repairs,
                tally.errors,
                _rate(tally),
            )
            verdict = "BROKEN" if (name, setting) in self.broken else "holds"
            yield (name, setting, *(f"{count:,}" for count in counted), verdict)
        for control in self.controls:
            missed = "not judged" if self.findings else "NOT CAUGHT"
            found = f"caught by {control.clause}" if control.clause else missed
            yield (control.name, *[""] * (len(HEADING) - 2), found)


def _control(name: str, breach: tuple[ClauseBroken, tuple[object, ...]] | None) -> Control:
    return Control(name=name, clause="" if breach is None else breach[0].broken.clause)


def _rate(tally: Tally) -> int:
    return int(tally.distinct / tally.seconds) if tally.seconds else 0


def _summary(figures: dict[str, int], total: Tally) -> str:
    return (
        f"{figures['operations']:,} operations, {figures['distinct_states']:,} distinct durable"
        f" states ({_rate(total):,}/s), {figures['errors']:,} errors,"
        f" {figures['threatened_histories']:,} histories,"
        f" {figures['controls_caught']} of {figures['controls']} controls caught"
    )


def run_faults(case: Case[S, E, O, C], plan: Plan, progress: Progress) -> EngineReport:
    """Take every event through power losses and errors, and hold the engine to its controls."""
    if case.storage is None:
        by_steps = "to be killed between two steps is an event of the machine"
        return not_applicable(
            case, ENGINE, by_steps if case.by_steps else "the host stores nothing"
        )
    run = _Run(case, plan, progress)
    storage = case.storage()
    try:
        run.published()
        for setting in storage.settings:
            if not setting.ships:
                run.unsafe(storage, setting)
        for build in case.builds:
            if build.engine == ENGINE:
                run.built(build)
        run.shipped(storage)
        run.drawn(case.storage, [one for one in storage.settings if one.ships])
    finally:
        storage.close()
    return run.report()
