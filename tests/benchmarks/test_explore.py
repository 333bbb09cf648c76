"""The explorer beside its peer over bare tuples, and on two processes beside one, in one run."""

import time
from collections.abc import Callable

import pytest

from plumbline.registry import ordinals_case
from plumbline_models import ordinals
from plumbline_models.ordinals import Scope
from plumbline_spec.explore import explore
from plumbline_spec.walking_together import cores
from tests.benchmarks import bare_ordinals as bare
from tests.benchmarks.figures import Benchmark, show

MODEL = ordinals.machine()
ROUNDS = 5
MOST = 2.0
"""The explorer is to stay within so many times the time of the bare peer."""

SCOPES = (
    Scope(conversations=2, messages=3, summaries=2),
    Scope(conversations=1, messages=4, summaries=3),
    Scope(conversations=2, messages=3, summaries=3, refusals=False),
)


class Timed:
    """A search that keeps the processor time of each of its runs, and what it counted."""

    def __init__(self, search: Callable[[], tuple[int, int, int]]) -> None:
        self._search = search
        self.seconds: list[float] = []
        self.counts = (0, 0, 0)

    def __call__(self) -> None:
        started = time.process_time()
        self.counts = self._search()
        self.seconds.append(time.process_time() - started)


def judged(scope: Scope) -> tuple[int, int, int]:
    """Return states, transitions and depth that the judge's explorer counts."""
    found = explore(MODEL, scope)
    assert found.complete
    return found.states, found.transitions, found.depth


@pytest.mark.benchmark(group="explore", timer=time.process_time)
@pytest.mark.parametrize("scope", SCOPES, ids=str)
def test_exploring_takes_less_than_twice_the_time_of_bare_tuples(
    benchmark: Benchmark, scope: Scope
) -> None:
    """Judge and peer take turns, so that what slows the machine down slows both."""
    judge, peer = Timed(lambda: judged(scope)), Timed(lambda: bare.explore(scope))
    benchmark.pedantic(judge, setup=peer, rounds=ROUNDS)
    assert judge.counts == peer.counts
    states, transitions, _ = judge.counts
    fastest, peers_fastest = min(judge.seconds), min(peer.seconds)
    figures = {
        "states": states,
        "transitions": transitions,
        "judge_ms": 1e3 * fastest,
        "bare_ms": 1e3 * peers_fastest,
        "ratio": fastest / peers_fastest,
        "states_per_second": int(states / fastest),
        "transitions_per_second": int(transitions / fastest),
    }
    benchmark.extra_info.update(figures)
    show(str(scope), list(figures), [list(figures.values())])
    assert fastest / peers_fastest < MOST


class Walked:
    """A walk of a scope on so many processes, with its time on the clock and on a processor."""

    def __init__(self, scope: Scope, processes: int) -> None:
        self._scope = scope
        self._processes = processes
        self.seconds = 0.0
        self.processor_seconds = 0.0
        """Those of the calling process."""
        self.counts = (0, 0, 0)

    def __call__(self) -> None:
        started, before = time.perf_counter(), time.process_time()
        found = explore(MODEL, self._scope, processes=self._processes)
        self.seconds = time.perf_counter() - started
        self.processor_seconds = time.process_time() - before
        assert found.complete
        self.counts = found.states, found.transitions, found.depth


@pytest.mark.benchmark(group="explore together")
def test_two_processes_walk_what_one_walks(benchmark: Benchmark) -> None:
    """The largest scope of the registry; the clock is fair only while both cores are idle."""
    scope = ordinals_case().scopes["nightly"].explore[-1]
    one, two = Walked(scope, 1), Walked(scope, 2)
    benchmark.pedantic(two, setup=one, rounds=1)
    assert two.counts == one.counts
    states, transitions, _ = two.counts
    figures = {
        "cores": cores(),
        "states": states,
        "transitions": transitions,
        "one_seconds": one.seconds,
        "two_seconds": two.seconds,
        "ratio": one.seconds / two.seconds,
        "processor_ratio": one.processor_seconds / two.processor_seconds,
    }
    benchmark.extra_info.update(figures)
    show(str(scope), list(figures), [list(figures.values())])
