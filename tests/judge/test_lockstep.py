"""Lockstep: histories that Hypothesis finds, the swarm, the seeded minimum, and shrunk failures."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import TypeAlias

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky
from hypothesis.stateful import rule, run_state_machine_as_test
from msgspec.structs import replace
from typing_extensions import override

from plumbline_models.contract import Choices
from plumbline_spec.errors import CouldNotFinish
from plumbline_spec.host import Judged, RequestId
from plumbline_spec.lockstep import (
    BATCH_EXAMPLES,
    MAX_OPENING,
    WIDE,
    Bench,
    Effort,
    History,
    Lockstep,
    lockstep,
    rule_machine,
)
from plumbline_spec.model_host import model_host
from plumbline_spec.toy import (
    LOSES,
    ONE_TOO_MANY,
    PAIRS,
    PARTLY,
    Clear,
    Event,
    Outcome,
    Scope,
    State,
    host,
    machine,
)
from plumbline_spec.trial import Trial, judge
from tests.judge.hosts import (
    SCOPE,
    AnswersTrue,
    Busy,
    HidesOne,
    Jammed,
    Locker,
    MisAnswers,
    Moody,
    Raises,
    ToyFactory,
    ToyJudged,
    unseen,
    viewed,
    without_clear,
)

EFFORT = Effort(examples=25, steps=20, seed=4)
ToyRun: TypeAlias = Lockstep[State, Event, Outcome, Scope]
ToyHistory: TypeAlias = History[State, Event, Outcome, Scope]
ToyBench: TypeAlias = Bench[State, Event, Outcome, Scope]


def run(make: ToyFactory, effort: Effort = EFFORT, scope: Scope = SCOPE) -> ToyRun:
    return lockstep(machine(), make, scope, effort)


def test_a_right_host_holds_and_every_pair_is_met() -> None:
    found = run(host)
    assert (found.failure, found.events, found.found_steps) == (None, (), 0)
    assert found.examples >= EFFORT.examples
    assert found.extra_examples == 0
    assert found.steps >= EFFORT.examples * EFFORT.steps
    assert found.coverage.result().missing_pairs == ()
    assert set(found.coverage.pairs) == set(PAIRS)


@pytest.mark.parametrize(
    ("make", "identity"),
    [
        (
            lambda: model_host(machine(ONE_TOO_MANY)),
            "outcome Deposit: Refused(full), host Deposited",
        ),
        (lambda: model_host(machine(PARTLY)), "outcome Withdraw: Refused(short), host Withdrawn"),
        (lambda: model_host(machine(LOSES)), "state state.held"),
        (MisAnswers.make, "outcome Clear: Cleared, host Cleared"),
        (HidesOne.make, "state state.held"),
        (AnswersTrue.make, "outcome Deposit: Deposited, host Deposited"),
        (Raises.make, "raised Clear: RuntimeError"),
    ],
    ids=["one too many", "partly", "loses", "mis-answers", "hides", "true for one", "raises"],
)
def test_a_wrong_host_is_caught_and_no_event_of_its_trace_can_be_left_out(
    make: ToyFactory, identity: str
) -> None:
    found = run(make)
    assert found.failure is not None
    assert " ".join(found.failure.identity) == identity
    assert len(found.events) <= found.found_steps
    trial = Trial(machine(), make())
    again = judge(trial, found.events)
    assert again == (found.events, found.failure)
    for at in range(len(found.events)):
        rest = judge(trial, found.events[:at] + found.events[at + 1 :])
        assert rest is None or rest[1].identity != found.failure.identity


def test_a_wrong_machine_is_caught_by_its_clause() -> None:
    """TOY-2."""
    wrong = machine(LOSES)
    found = lockstep(wrong, lambda: model_host(wrong), SCOPE, EFFORT)
    assert found.failure is not None
    assert found.failure.identity == ("clause", "TOY-2")
    assert len(found.events) == 2


def test_a_host_that_begins_wrong_is_caught_before_any_event() -> None:
    found = run(Jammed.make)
    assert found.failure is not None
    assert found.failure.identity == ("raised", "reset: OSError")
    assert (found.events, found.examples) == ((), 0)


def test_a_failure_that_does_not_come_again_is_reported_all_the_same() -> None:
    kept = Moody()
    found = run(lambda: Judged(host=kept))
    assert found.failure is not None
    assert found.failure.name == "Clear: Cleared, host Cleared"
    assert found.events[-1] == Clear()


class Recorder(Locker):
    """Keeps every event that it ever took, with a mark for each beginning."""

    def __init__(self) -> None:
        super().__init__()
        self.took: list[Event | None] = []
        self.closed = 0

    @override
    def reset(self) -> None:
        self.took.append(None)
        super().reset()

    @override
    def step(self, event: Event, request: RequestId | None = None) -> Outcome:
        assert request is None
        self.took.append(event)
        return super().step(event)

    @override
    def close(self) -> None:
        self.closed += 1


def taken(seed: int) -> list[Event | None]:
    recorder = Recorder()
    run(lambda: Judged(host=recorder), replace(EFFORT, seed=seed, examples=6))
    assert recorder.closed == 1
    return recorder.took


def test_the_same_seed_gives_the_same_histories() -> None:
    assert taken(1) == taken(1) != taken(2)


def test_histories_begin_with_a_few_events_of_the_scope_or_none() -> None:
    lengths = {len(history) for history in split(taken(3))}
    assert min(lengths) >= EFFORT.steps
    assert EFFORT.steps < max(lengths) <= EFFORT.steps + MAX_OPENING


def split(took: list[Event | None]) -> Iterator[list[Event]]:
    history: list[Event] = []
    for event in took[1:]:
        if event is None:
            yield history
            history = []
        else:
            history.append(event)


def test_a_scope_that_offers_nothing_opens_no_history() -> None:
    def nothing(state: State, scope: Scope) -> Iterator[Event]:
        del state, scope
        return iter(())

    quiet = replace(machine(), events=nothing)
    found = lockstep(quiet, host, SCOPE, replace(EFFORT, examples=5))
    assert found.failure is None


# The clock and the minimum.


def ticking(readings: Iterator[int]) -> SimpleNamespace:
    return SimpleNamespace(monotonic=lambda: float(next(readings)))


def test_time_that_is_left_adds_examples_and_the_minimum_stays_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alone = run(host)
    monkeypatch.setattr("plumbline_spec.lockstep.time", ticking(count()))
    longer = run(host, replace(EFFORT, until=1.0))
    assert alone.examples == longer.examples
    assert longer.extra_examples >= BATCH_EXAMPLES
    assert longer.coverage.pairs == alone.coverage.pairs
    assert longer.steps > alone.steps == alone.coverage.states


def test_a_deadline_that_is_over_leaves_the_minimum_whole() -> None:
    found = run(host, replace(EFFORT, until=time.monotonic() - 1))
    assert (found.examples >= EFFORT.examples, found.extra_examples) == (True, 0)


def test_batches_are_bounded_however_much_time_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plumbline_spec.lockstep.MAX_BATCHES", 2)
    found = run(host, Effort(examples=1, steps=2, seed=1, until=float("inf")))
    assert BATCH_EXAMPLES <= found.extra_examples < 2 * BATCH_EXAMPLES


def test_a_failure_ends_the_extra_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plumbline_spec.lockstep.time", ticking(count()))
    few = Effort(examples=1, steps=2, seed=1, until=10.0)
    found = run(MisAnswers.make, few, Scope(coins=3))
    assert found.failure is not None
    assert found.extra_examples <= 10 * BATCH_EXAMPLES


# What is not applicable.


@pytest.mark.parametrize("make", [unseen, lambda: viewed(Locker())], ids=["not observed", "viewed"])
def test_a_right_host_that_shows_less_holds(make: ToyFactory) -> None:
    assert run(make).failure is None


def test_a_wrong_host_is_caught_through_its_view() -> None:
    found = run(lambda: viewed(HidesOne()))
    assert found.failure is not None
    assert found.failure.identity == ("state", "state.held")


def test_events_that_a_host_lacks_are_never_taken() -> None:
    found = run(without_clear)
    assert found.failure is None
    assert found.lacks == {"Clear"}
    assert {event for event, _ in found.coverage.pairs} == {"Deposit", "Withdraw"}


# What stops a run.


def test_a_host_kept_by_its_environment_stops_the_run_without_a_failure() -> None:
    with pytest.raises(CouldNotFinish, match="busy"):
        run(Busy.make)
    assert run(host).failure is None


def test_progress_can_stop_a_run_at_any_history() -> None:
    def deadline(message: str) -> None:
        raise CouldNotFinish(f"out of time after {message}")

    with pytest.raises(CouldNotFinish, match="after 10 histories"):
        lockstep(machine(), host, SCOPE, EFFORT, progress=deadline)


def test_the_host_is_closed_when_the_run_is_stopped() -> None:
    class Stuck(Recorder):
        @override
        def step(self, event: Event, request: RequestId | None = None) -> Outcome:
            raise CouldNotFinish("stuck")

    recorder = Stuck()
    with pytest.raises(CouldNotFinish):
        run(lambda: Judged(host=recorder))
    assert recorder.closed == 1


def test_a_machine_that_draws_otherwise_each_time_is_no_failure_of_the_host() -> None:
    turns = count(1)

    def fickle(state: State) -> Choices:
        del state
        return Choices(groups=({"coins": (1,)},) * (next(turns) % 5 + 1))

    with pytest.raises(Flaky):
        lockstep(replace(machine(), choices=fickle), host, SCOPE, replace(EFFORT, examples=600))


# The example database.


def test_an_example_that_failed_is_kept_and_tried_first(tmp_path: Path) -> None:
    def partly() -> ToyJudged:
        return model_host(machine(PARTLY))

    first = lockstep(machine(), partly, SCOPE, EFFORT, database=tmp_path)
    assert first.failure is not None
    assert any(tmp_path.iterdir())
    once = Effort(examples=1, steps=EFFORT.steps, seed=99)
    again = lockstep(machine(), partly, SCOPE, once, database=tmp_path)
    assert (again.failure, again.found_steps) == (first.failure, first.found_steps)
    assert run(partly, once).failure is None


# Labels.


def test_histories_are_labelled_by_what_they_met(monkeypatch: pytest.MonkeyPatch) -> None:
    labels: set[str] = set()
    targets: list[float] = []

    def kept(value: float, *, label: str) -> None:
        assert label == "pairs of event and outcome"
        targets.append(value)

    monkeypatch.setattr("plumbline_spec.lockstep.event", labels.add)
    monkeypatch.setattr("plumbline_spec.lockstep.target", kept)
    run(host)
    assert labels == {f"{event}: {outcome}" for event, outcome in PAIRS}
    assert len(targets) >= EFFORT.examples
    assert max(targets) == len(PAIRS)


# The swarm.


def left_out(build: Callable[[ToyBench], type[ToyHistory]]) -> Counter[str]:
    """Return in how many histories of forty each event's rule never ran."""
    bench = Bench(machine(), host(), SCOPE, 30)
    few = settings(
        max_examples=40,
        stateful_step_count=30,
        database=None,
        phases=(Phase.generate,),
        deadline=None,
        derandomize=True,
    )
    run_state_machine_as_test(build(bench), settings=few, _min_steps=30)
    del bench.left_out[WIDE]
    return bench.left_out


def one_rule(bench: ToyBench) -> type[ToyHistory]:
    """Build a control: a single rule draws the type of the event."""

    def draw(self: ToyHistory, data: st.DataObject) -> None:
        self.take_near(bench.kinds[data.draw(st.integers(0, 2))], data)

    return type("OneRule", (History,), {"bench": bench, "draw": rule(data=st.data())(draw)})


def one_name(bench: ToyBench) -> type[ToyHistory]:
    """Build a control: a rule for each event, and every rule's function has the same name."""

    def drawing(kind: type[Event]) -> Callable[[ToyHistory, st.DataObject], None]:
        def draw(self: ToyHistory, data: st.DataObject) -> None:
            self.take_near(kind, data)

        return draw

    rules = {kind.__name__: rule(data=st.data())(drawing(kind)) for kind in bench.kinds}
    return type("OneName", (History,), {"bench": bench, **rules})


def test_the_swarm_leaves_whole_rules_out_of_some_histories() -> None:
    """A rule for each event makes histories that have none of it; a rule for all does not.

    The controls keep a few histories in which Hypothesis draws the simplest value everywhere.
    """
    swarm, single, same = left_out(rule_machine), left_out(one_rule), left_out(one_name)
    assert min(swarm[name] for name in ("Deposit", "Withdraw", "Clear")) >= 4
    assert swarm.total() > 2 * max(single.total(), same.total())


def test_every_rule_has_a_name_of_its_own() -> None:
    """Hypothesis tells rules apart by the names of their functions."""
    built = rule_machine(Bench(machine(), host(), SCOPE, 30))
    names = [one.function.__name__ for one in built.setup_state().rules]
    assert sorted(names) == ["take_Clear", "take_Deposit", "take_Withdraw", "wide"]


def test_no_rule_is_made_for_an_event_that_the_host_lacks() -> None:
    bench = Bench(machine(), without_clear(), SCOPE, 30)
    assert not hasattr(rule_machine(bench), "take_Clear")
    assert list(bench.machine.events(State(), Scope(coins=0))) == []
