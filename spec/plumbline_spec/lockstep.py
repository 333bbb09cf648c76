"""Lockstep: long random histories on machine and host together, found by Hypothesis and shrunk by the judge.

Theory of operation. From any machine and any host factory a rule-based state machine is built: one rule for each
event type, because Hypothesis chooses a subset of rules in each example (its swarm), so that some histories have no
prune and some hardly anything else; and one wide rule whose events are mostly refused. Arguments are values that
occur in the state (``Machine.choices``) blended with any value of the type. After each step outcome, observed state
and clauses are judged by ``Trial``. Hypothesis only finds; ``plumbline_spec.shrink`` shrinks, because deleting a step
of a stateful example changes every later draw, while any subsequence of a trace is a trace.
"""

import time
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Generic, TypeVar

from hypothesis import HealthCheck, Phase, Verbosity, event, seed, settings, target
from hypothesis import strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase
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
from plumbline_spec.host import Judged
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
OPENING = "opening"
MAX_OPENING = 6
"""Events of the scope that a history may begin with, whatever rules the swarm leaves out."""
MAX_OFFERS = 30
PROGRESS_EXAMPLES = 10


class Effort(Struct, frozen=True, kw_only=True):
    """How much to do: a fixed seeded minimum, then more of the same until a deadline."""

    examples: int
    """The minimum, whatever the time; the floors of coverage apply to it."""
    steps: int
    """Steps in one example."""
    seed: int
    until: float | None = None
    """A reading of ``time.monotonic`` after which no further batch begins; None for the minimum alone."""


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
    failure: Failure | None = None
    events: tuple[E, ...] = ()
    """The shrunk trace to the failure."""
    found_steps: int = 0
    """Steps of the trace as it was found, before shrinking."""


class Disagreement(AssertionError):
    """Raised inside a rule when a step fails; Hypothesis records the example under it."""


class Log(Generic[E]):
    """What the examples of one run report to the engine."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.examples = 0
        self.steps = 0
        self.left_out: Counter[str] = Counter()
        self.failure: Failure | None = None
        self.events: tuple[E, ...] = ()

    def finish(self, rules: tuple[str, ...], ran: Counter[str], full: int) -> None:
        """Count one example that is over."""
        self.examples += 1
        self.steps += ran.total()
        if ran.total() >= full:
            self.left_out.update(name for name in rules if name not in ran)
        if self.examples % PROGRESS_EXAMPLES == 0:
            self.progress(f"{self.examples:,} histories, {self.steps:,} steps")


def rule_machine(
    machine: Machine[S, E, O, C],
    judged: Judged[S, E, O],
    scope: C,
    coverage: Coverage[S, E, O, C] | None,
    log: Log[E],
    full: int,
) -> type[RuleBasedStateMachine]:
    """Build the state machine: one rule for each event that the host has, and one wide rule."""
    kinds = tuple(kind for kind in machine.kinds if kind.__name__ not in judged.lacks)
    names = (*(kind.__name__ for kind in kinds), WIDE)
    blend = Blend(kinds)

    class History(RuleBasedStateMachine):
        """One history; Hypothesis makes one of these for each example."""

        def __init__(self) -> None:
            super().__init__()
            self.trial = Trial(machine, judged, coverage=coverage)
            self.taken: list[E] = []
            self.ran: Counter[str] = Counter()
            self.met: set[tuple[str, str]] = set()
            self.check(self.trial.begin())

        def take(self, name: str, chosen: E) -> None:
            self.taken.append(chosen)
            self.ran[name] += 1
            self.check(self.trial.take(chosen))
            assert self.trial.outcome is not None
            pair = (type(chosen).__name__, machine.outcome_name(self.trial.outcome))
            if pair not in self.met:
                self.met.add(pair)
                event(f"{pair[0]}: {pair[1]}")

        def check(self, failure: Failure | None) -> None:
            if failure is not None:
                log.failure, log.events = failure, tuple(self.taken)
                raise Disagreement(str(failure))

        def teardown(self) -> None:
            target(float(len(self.met)), label="pairs of event and outcome")
            log.finish(names, self.ran, full)

    def taking(kind: type[E]) -> Callable[[History, st.DataObject], None]:
        def take(self: History, data: st.DataObject) -> None:
            choices = machine.choices(self.trial.state)
            self.take(kind.__name__, data.draw(blend.event(kind, choices)))

        take.__name__ = f"take_{kind.__name__}"  # the swarm tells rules apart by this name
        return take

    def wide(self: History, data: st.DataObject) -> None:
        choices = machine.choices(self.trial.state)
        self.take(WIDE, data.draw(blend.any_event(kinds, choices)))

    def begin(self: History, data: st.DataObject) -> None:
        for _ in range(MAX_OPENING - data.draw(st.integers(0, MAX_OPENING))):
            offers = [*islice(machine.events(self.trial.state, scope), MAX_OFFERS)]
            if offers:
                self.take(OPENING, offers[data.draw(st.integers(0, len(offers) - 1))])

    rules = {f"take_{kind.__name__}": rule(data=st.data())(taking(kind)) for kind in kinds}
    return type(
        "Lockstep",
        (History,),
        {
            **rules,
            "take_wide": rule(data=st.data())(wide),
            "begin": initialize(data=st.data())(begin),
        },
    )


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

    ``scope`` bounds the simpler events that shrinking tries. ``database`` keeps examples that failed between runs.
    """
    log: Log[E] = Log(progress)
    coverage = Coverage(machine)
    judged = host()
    try:
        _run(machine, judged, scope, coverage, log, effort, effort.seed, effort.examples, database)
        minimum = log.examples
        for batch in range(1, MAX_BATCHES):
            if log.failure or effort.until is None or time.monotonic() >= effort.until:
                break
            again = effort.seed + batch
            _run(machine, judged, scope, None, log, effort, again, BATCH_EXAMPLES, database)
    finally:
        judged.host.close()
    found = log.events
    events, failure = found, log.failure
    if failure is not None:
        events, failure = shrink_failure(machine, host, found, failure, scope)
    return Lockstep(
        examples=minimum,
        steps=log.steps,
        extra_examples=log.examples - minimum,
        coverage=coverage,
        left_out=log.left_out,
        failure=failure,
        events=events,
        found_steps=len(found),
    )


def _run(
    machine: Machine[S, E, O, C],
    judged: Judged[S, E, O],
    scope: C,
    coverage: Coverage[S, E, O, C] | None,
    log: Log[E],
    effort: Effort,
    with_seed: int,
    examples: int,
    database: Path | None,
) -> None:
    built = rule_machine(machine, judged, scope, coverage, log, effort.steps)
    chosen = settings(
        max_examples=examples,
        stateful_step_count=effort.steps,
        phases=(Phase.reuse, Phase.generate),
        database=None if database is None else DirectoryBasedExampleDatabase(database),
        deadline=None,
        derandomize=False,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
        print_blob=False,
    )
    try:
        run_state_machine_as_test(seed(with_seed)(built), settings=chosen, _min_steps=effort.steps)
    except Disagreement:
        assert log.failure is not None
