"""Lockstep: long random histories on machine and host, found by Hypothesis, shrunk by the judge.

Theory of operation. From any machine and any host factory a rule-based state machine is built: one
rule for each event type, because Hypothesis chooses a subset of rules in each example (its swarm),
so that some histories have no prune and some hardly anything else; and one wide rule whose events
are mostly refused. Arguments are values that occur in the state (``Machine.choices``) blended with
any value of the type. After each step outcome, observed state and clauses are judged by ``Trial``.
Hypothesis only finds; ``plumbline_spec.shrink`` shrinks, because deleting a step of a stateful
example changes every later draw, while any subsequence of a trace is a trace.
"""

import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Generic, TypeVar
from unittest import SkipTest

from hypothesis import HealthCheck, Phase, Verbosity, event, seed, settings, target
from hypothesis import strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase
from hypothesis.errors import Flaky
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)
from msgspec import Struct

from plumbline_models.contract import Machine
from plumbline_spec.clause_table import Progress, silent
from plumbline_spec.coverage import Coverage
from plumbline_spec.errors import CouldNotFinish
from plumbline_spec.host import Judged, Threat, offered, threatening
from plumbline_spec.shrink import shrink_failure
from plumbline_spec.strategies import Blend
from plumbline_spec.trial import Failure, Trial

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")

BATCH_EXAMPLES = 25
"""Examples between two looks at the clock, once the minimum was done."""
MAX_BATCHES = 100_000
WIDE = "wide"
THREATENED = "threatened"
OPENING = "opening"
MIN_OPENING, MAX_OPENING = 3, 12
"""Events of the scope that a history may begin with, whatever rules the swarm leaves out."""
OPENINGS = 1
"""Hypothesis counts the opening as one step, however many events it takes."""
MAX_OFFERS = 30
PROGRESS_EXAMPLES = 10
KEPT = (Phase.reuse,)
"""Examples that failed before come first and apart: the seeded minimum does not depend on them."""
MINIMUM = (Phase.generate,)
EXTRA = (Phase.generate, Phase.target)
"""Beyond the minimum, histories that met many pairs of event and outcome are varied."""


MAX_DRAWN, MAX_DRAWN_CALL = 255, 1023
THREATS = st.builds(
    Threat,
    kind=st.integers(0, MAX_DRAWN),
    at=st.integers(0, MAX_DRAWN_CALL),
    lasting=st.booleans(),
    draw=st.integers(0, MAX_DRAWN),
)


class Effort(Struct, frozen=True, kw_only=True):
    """How much to do: a fixed seeded minimum, then more of the same until a deadline."""

    examples: int
    """The minimum, whatever the time; the floors of coverage apply to it."""
    steps: int
    """Steps in one example."""
    seed: int
    until: float | None = None
    """A reading of ``time.monotonic`` after which no batch begins; None for the minimum alone."""


class Lockstep(Struct, Generic[S, E, O, C], frozen=True, kw_only=True):
    """What the histories found."""

    examples: int
    steps: int
    extra_examples: int
    """Examples beyond the minimum, done in the time that was left."""
    coverage: Coverage[S, E, O, C]
    """What the minimum exercised."""
    left_out: Counter[str]
    """In how many examples of full length each rule never ran: the swarm at work."""
    lacks: frozenset[str]
    """Names of events that the host does not have and that were not taken."""
    failure: Failure | None = None
    events: tuple[E, ...] = ()
    """The shrunk trace to the failure."""
    found_steps: int = 0
    """Steps of the trace as it was found, before shrinking."""
    threat: Threat | None = None
    """What the environment did last before a failure, and in ``events`` to each event."""


class Disagreement(AssertionError):  # noqa: N818 - the word of the judge for a step that fails
    """Raised inside a rule when a step fails; Hypothesis records the example under it."""


class _Stopped(BaseException):
    """Carries ``CouldNotFinish`` past Hypothesis, which takes exceptions for failing examples."""

    def __init__(self, error: CouldNotFinish) -> None:
        super().__init__(str(error))
        self.error = error


@contextmanager
def _past_hypothesis() -> Generator[None]:
    try:
        yield
    except CouldNotFinish as error:
        raise _Stopped(error) from error


class Bench(Generic[S, E, O, C]):
    """What the histories of one run share, and what they report."""

    def __init__(
        self,
        machine: Machine[S, E, O, C],
        judged: Judged[S, E, O],
        scope: C,
        full: int,
        progress: Progress = silent,
    ) -> None:
        self.machine, self.judged = offered(machine, judged.lacks), judged
        self.scope, self.full, self.progress = scope, full, progress
        self.kinds = tuple(kind for kind in machine.kinds if kind.__name__ not in judged.lacks)
        self.blend = Blend(self.kinds)
        self.coverage = Coverage(machine)
        self.counts = True
        """Whether the coverage counts the steps of this example: those of the minimum alone."""
        self.examples = self.steps = 0
        self.left_out: Counter[str] = Counter()
        self.failure: Failure | None = None
        self.events: tuple[E, ...] = ()
        self.threat: Threat | None = None
        """What the environment did last in this history."""

    def finish(self, ran: Counter[str]) -> None:
        """Count one example that is over."""
        self.examples += 1
        self.steps += ran.total()
        if ran.total() >= self.full:
            names = (*(kind.__name__ for kind in self.kinds), WIDE)
            self.left_out.update(name for name in names if name not in ran)
        if self.examples % PROGRESS_EXAMPLES == 0:
            self.progress(f"{self.examples:,} histories, {self.steps:,} steps")


class History(RuleBasedStateMachine, Generic[S, E, O, C]):
    """One history; Hypothesis makes one for each example, of the class that has the rules."""

    bench: Bench[S, E, O, C]

    def __init__(self) -> None:
        super().__init__()
        bench = self.bench
        counting = bench.coverage if bench.counts else None
        self.trial = Trial(bench.machine, bench.judged, coverage=counting)
        self.taken: list[E] = []
        self.ran: Counter[str] = Counter()
        self.met: set[tuple[str, str]] = set()
        bench.threat = None
        with _past_hypothesis():
            self.check(self.trial.begin())

    def take(self, name: str, chosen: E, threat: Threat | None = None) -> None:
        """Take one event on both sides, for the rule of that name."""
        self.taken.append(chosen)
        self.bench.threat = threat or self.bench.threat
        self.ran[name] += 1
        with _past_hypothesis():
            self.check(self.trial.take(chosen))
        outcome = self.trial.outcome
        assert outcome is not None
        pair = (type(chosen).__name__, self.bench.machine.outcome_name(outcome))
        if pair not in self.met:
            self.met.add(pair)
            event(f"{pair[0]}: {pair[1]}")

    def check(self, failure: Failure | None) -> None:
        """Raise ``Disagreement`` for a failure."""
        if failure is not None:
            self.bench.failure, self.bench.events = failure, tuple(self.taken)
            raise Disagreement(str(failure))

    def take_near(self, kind: type[E], data: st.DataObject) -> None:
        """Take an event of one type that mostly fits the state."""
        choices = self.bench.machine.choices(self.trial.state)
        self.take(kind.__name__, data.draw(self.bench.blend.event(kind, choices)))

    def take_any(self, data: st.DataObject) -> None:
        """Take an event that mostly does not fit."""
        choices = self.bench.machine.choices(self.trial.state)
        self.take(WIDE, data.draw(self.bench.blend.any_event(self.bench.kinds, choices)))

    def take_threatened(self, data: st.DataObject) -> None:
        """Take an event that mostly fits, while the environment of the host fails."""
        threatened = self.bench.judged.threatened
        assert threatened is not None
        threat = data.draw(THREATS)
        threatened.threaten(threat)
        kinds, choices = self.bench.kinds, self.bench.machine.choices(self.trial.state)
        kind = kinds[data.draw(st.integers(0, len(kinds) - 1))]
        self.take(THREATENED, data.draw(self.bench.blend.event(kind, choices)), threat)

    def take_offered(self, data: st.DataObject) -> None:
        """Begin with a few events of the scope, whatever rules the swarm leaves out."""
        machine, scope = self.bench.machine, self.bench.scope
        for _ in range(MAX_OPENING - data.draw(st.integers(0, MAX_OPENING - MIN_OPENING))):
            offers = [*islice(machine.events(self.trial.state, scope), MAX_OFFERS)]
            if offers:
                self.take(OPENING, offers[data.draw(st.integers(0, len(offers) - 1))])

    def teardown(self) -> None:
        """Report to the bench."""
        target(float(len(self.met)), label="pairs of event and outcome")
        with _past_hypothesis():
            self.bench.finish(self.ran)


def rule_machine(bench: Bench[S, E, O, C]) -> type[History[S, E, O, C]]:
    """Build the state machine: one rule for each event that the host has, and one wide rule."""

    def taking(kind: type[E]) -> Callable[[History[S, E, O, C], st.DataObject], None]:
        def take(self: History[S, E, O, C], data: st.DataObject) -> None:
            self.take_near(kind, data)

        take.__name__ = f"take_{kind.__name__}"  # the swarm tells rules apart by this name
        return take

    def wide(self: History[S, E, O, C], data: st.DataObject) -> None:
        self.take_any(data)

    def begin(self: History[S, E, O, C], data: st.DataObject) -> None:
        self.take_offered(data)

    def threatened(self: History[S, E, O, C], data: st.DataObject) -> None:
        self.take_threatened(data)

    rules = {f"take_{kind.__name__}": rule(data=st.data())(taking(kind)) for kind in bench.kinds}
    others = {"wide": rule(data=st.data())(wide), "begin": initialize(data=st.data())(begin)}
    if bench.judged.threatened is not None:
        others["threatened"] = rule(data=st.data())(threatened)
    return type("Lockstep", (History,), {"bench": bench, **rules, **others})


def lockstep(
    machine: Machine[S, E, O, C],
    host: Callable[[], Judged[S, E, O]],
    scope: C,
    effort: Effort,
    *,
    database: Path | None = None,
    progress: Progress = silent,
) -> Lockstep[S, E, O, C]:
    """Run histories on machine and host; shrink the first failure.

    ``scope`` bounds the simpler events that shrinking tries. ``database`` keeps examples that
    failed between runs. Raises ``CouldNotFinish`` when the host or ``progress`` does.
    """
    judged = host()
    bench = Bench(machine, judged, scope, effort.steps, progress)
    try:
        minimum = _run_all(bench, effort, database)
    finally:
        judged.host.close()
    events, failure = bench.events, bench.failure
    if failure is not None:
        again = host if bench.threat is None else threatening(host, bench.threat)
        events, failure = shrink_failure(machine, again, events, failure, scope)
    return Lockstep(
        examples=minimum,
        steps=bench.steps,
        extra_examples=bench.examples - minimum,
        coverage=bench.coverage,
        left_out=bench.left_out,
        lacks=judged.lacks,
        failure=failure,
        events=events,
        found_steps=len(bench.events),
        threat=bench.threat if failure is not None else None,
    )


def _run_all(bench: Bench[S, E, O, C], effort: Effort, database: Path | None) -> int:
    """Run the minimum and then batches until the time is up; return the examples of the minimum."""
    built = rule_machine(bench)
    if database is not None:
        bench.counts = False
        _run(bench, built, effort.seed, _settings(effort.examples, bench.full, KEPT, database))
    reused, bench.counts = bench.examples, True
    if bench.failure is None:
        chosen = _settings(effort.examples, bench.full, MINIMUM, database)
        _run(bench, built, effort.seed, chosen)
    minimum, bench.counts = bench.examples - reused, False
    chosen = _settings(BATCH_EXAMPLES, bench.full, EXTRA, database)
    for batch in range(1, MAX_BATCHES):
        if bench.failure or effort.until is None or time.monotonic() >= effort.until:
            break
        try:
            _run(bench, built, effort.seed + batch, chosen)
        except CouldNotFinish:
            if time.monotonic() < effort.until:
                raise
    return minimum


def _settings(
    examples: int, steps: int, phases: tuple[Phase, ...], database: Path | None
) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps + OPENINGS,
        phases=phases,
        database=None if database is None else DirectoryBasedExampleDatabase(database),
        deadline=None,
        derandomize=False,
        report_multiple_bugs=False,
        suppress_health_check=(
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.filter_too_much,
            HealthCheck.large_base_example,
        ),
        verbosity=Verbosity.quiet,
        print_blob=False,
    )


def _run(
    bench: Bench[S, E, O, C], built: type[History[S, E, O, C]], with_seed: int, chosen: settings
) -> None:
    try:
        run_state_machine_as_test(
            seed(with_seed)(built), settings=chosen, _min_steps=bench.full + OPENINGS
        )
    except SkipTest:  # there is no example to try again
        return
    except (Disagreement, Flaky):
        if bench.failure is None:
            raise
    except _Stopped as stopped:
        raise stopped.error from None
