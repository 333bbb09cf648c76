"""What judging costs a step: model, host, clauses and comparison over the same recorded history."""

import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from plumbline import ordinals as sqlite_ordinals
from plumbline.scripted import history
from plumbline.sqlite_host import SqliteHost
from plumbline.transcript import Transcript, TranscriptMessage
from plumbline_models import ordinals
from plumbline_models.ordinals import Event, Outcome, Scope, State
from plumbline_spec.host import Judged
from plumbline_spec.trial import Trial
from tests.benchmarks.figures import Benchmark, cpu_seconds, show

MODEL = ordinals.machine()
SEED = 1
ROUNDS = 15
TURNS = 60
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


PARTS = ("model", "model and clauses", "host", "host and observation", "all")


class Replayed:
    """One history, taken by parts of what judges it; keeps the processor time of every run."""

    def __init__(self, events: list[Event]) -> None:
        self.events = events
        self.host = SqliteHost(sqlite_ordinals.PROGRAM)
        self.trial = Trial(MODEL, Judged(host=self.host, observable=self.host))
        self.seconds: dict[str, list[float]] = {part: [] for part in PARTS}

    def parts(self) -> None:
        """Take the history on the model and on the host, alone and with what the judge adds."""
        alone = Trial(MODEL)
        assert alone.begin() is None
        self._time("model", self._on_model)
        self._time("model and clauses", lambda: self._judge(alone))
        self.host.reset()
        self._time("host", self._on_host)
        self.host.reset()
        self._time("host and observation", self._observed)
        assert self.trial.begin() is None

    def whole(self) -> None:
        """Take it as lockstep does: both sides, every clause, outcomes and states compared."""
        self._time("all", lambda: self._judge(self.trial))

    def _time(self, part: str, work: Callable[[], None]) -> None:
        self.seconds[part].append(cpu_seconds(work))

    def _on_model(self) -> None:
        state = MODEL.initial
        for event in self.events:
            state, _ = MODEL.step(state, event)

    def _on_host(self) -> None:
        for event in self.events:
            self.host.step(event)

    def _observed(self) -> None:
        for event in self.events:
            self.host.step(event)
            self.host.observe()

    def _judge(self, trial: Trial[State, Event, Outcome, Scope]) -> None:
        for event in self.events:
            assert trial.take(event) is None

    def figures(self) -> dict[str, float]:
        """Return the microseconds that a step takes, by what takes them, in the fastest runs."""
        fastest = {part: 1e6 * min(runs) / len(self.events) for part, runs in self.seconds.items()}
        model, clauses, host, observed, whole = (fastest[part] for part in PARTS)
        return {
            "model_us": model,
            "host_us": host,
            "clauses_us": clauses - model,
            "observation_us": observed - host,
            "comparison_us": whole - clauses - observed,
            "overhead_us": whole - model - host,
        }


@pytest.mark.benchmark(group="lockstep", timer=time.process_time)
@pytest.mark.parametrize("name", HISTORIES)
def test_overhead_of_the_judge_for_each_step(benchmark: Benchmark, name: str) -> None:
    """It is what clauses, observation and comparison add to the steps of model and host."""
    replayed = Replayed(recorded(HISTORIES[name]()))
    try:
        benchmark.pedantic(replayed.whole, setup=replayed.parts, rounds=ROUNDS)
    finally:
        replayed.host.close()
    figures = {"steps": len(replayed.events), **replayed.figures()}
    benchmark.extra_info.update(figures)
    show(f"{name}: microseconds a step", list(figures), [list(figures.values())])
