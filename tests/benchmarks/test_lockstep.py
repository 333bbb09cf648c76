"""What judging costs a step: model, host, clauses and comparison over the same recorded history."""

import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from plumbline import ordinals as sqlite_ordinals
from plumbline.history_of import history
from plumbline.sqlite_host import judged
from plumbline.transcript import Transcript, TranscriptMessage
from plumbline_models import ordinals
from plumbline_models.ordinals import Event, Outcome, Scope, State
from plumbline_spec.trial import Trial
from tests.benchmarks.figures import Benchmark, cpu_seconds, show

MODEL = ordinals.machine()
SEED = 1
ROUNDS = 7
TURNS = 120
SMALL = Path(__file__).parents[1] / "data" / "small-session.jsonl"


def long_session() -> Iterator[TranscriptMessage]:
    """Yield a question, an answer, a tool's result and another answer, turn by turn."""
    roles = ("user", "assistant", "toolResult", "assistant")
    for number in range(TURNS * len(roles)):
        role = roles[number % len(roles)]
        yield TranscriptMessage(
            line=number + 2, id=f"m{number}", role=role, text=f"{role} says {number} " * 8
        )


def recorded(messages: Iterator[TranscriptMessage]) -> list[Event]:
    """Return the history that the model's states lead a memory keeper to."""
    taken: list[Event] = []
    state, keeper = MODEL.initial, history(messages, SEED)
    event = next(keeper, None)
    while event is not None:
        taken.append(event)
        state, _ = MODEL.step(state, event)
        event = _next(keeper, state)
    return taken


def _next(keeper: Generator[Event, State, None], state: State) -> Event | None:
    try:
        return keeper.send(state)
    except StopIteration:
        return None


HISTORIES = {
    "small session": lambda: Transcript(SMALL).messages(),
    "long session": long_session,
}


class Replayed:
    """One history, taken by a part of what judges it; keeps the processor time of every run."""

    def __init__(self, events: list[Event]) -> None:
        self.events = events
        self.judged = judged(sqlite_ordinals.PROGRAM)
        self.trial = Trial(MODEL, self.judged)
        self.seconds: dict[str, list[float]] = {
            "model": [],
            "host": [],
            "model and clauses": [],
            "all": [],
        }

    def parts(self) -> None:
        """Take the history on the model, on the host, and on the model with its clauses."""
        self.judged.host.reset()
        unaccompanied = Trial(MODEL)
        assert unaccompanied.begin() is None
        self.seconds["model"].append(cpu_seconds(self._on_model))
        self.seconds["host"].append(cpu_seconds(self._on_host))
        self.seconds["model and clauses"].append(cpu_seconds(lambda: self._judge(unaccompanied)))
        assert self.trial.begin() is None

    def whole(self) -> None:
        """Take it as lockstep does: both sides, every clause, outcomes and states compared."""
        self.seconds["all"].append(cpu_seconds(lambda: self._judge(self.trial)))

    def _on_model(self) -> None:
        state = MODEL.initial
        for event in self.events:
            state, _ = MODEL.step(state, event)

    def _on_host(self) -> None:
        for event in self.events:
            self.judged.host.step(event)

    def _judge(self, trial: Trial[State, Event, Outcome, Scope]) -> None:
        for event in self.events:
            assert trial.take(event) is None

    def microseconds(self, part: str) -> float:
        """Return what a step of that part takes in the fastest run."""
        return 1e6 * min(self.seconds[part]) / len(self.events)


@pytest.mark.benchmark(group="lockstep", timer=time.process_time)
@pytest.mark.parametrize("name", HISTORIES)
def test_overhead_of_the_judge_for_each_step(benchmark: Benchmark, name: str) -> None:
    replayed = Replayed(recorded(HISTORIES[name]()))
    try:
        benchmark.pedantic(replayed.whole, setup=replayed.parts, rounds=ROUNDS)
    finally:
        replayed.judged.host.close()
    model, host = replayed.microseconds("model"), replayed.microseconds("host")
    clauses = replayed.microseconds("model and clauses") - model
    whole = replayed.microseconds("all")
    figures = {
        "steps": len(replayed.events),
        "model_us": model,
        "host_us": host,
        "clauses_us": clauses,
        "comparison_us": whole - model - host - clauses,
        "overhead_us": whole - model - host,
        "all_us": whole,
    }
    benchmark.extra_info.update(figures)
    show(f"{name}: microseconds a step", list(figures), [list(figures.values())])
