"""Walking together: several processes report what one reports, and none of them is left behind."""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from msgspec.structs import replace

from plumbline_models import ordinals
from plumbline_spec import toy
from plumbline_spec.clause_table import silent
from plumbline_spec.engines import explored, run_explore
from plumbline_spec.errors import CouldNotFinish
from plumbline_spec.explore import Exploration, Walk, explore
from plumbline_spec.profiles import PROFILES
from plumbline_spec.subject import subject
from plumbline_spec.toy import (
    LOSES,
    NEVER_FULL,
    ONE_TOO_MANY,
    PARTLY,
    SPEC,
    Rules,
    Scope,
)
from tests.judge.hosts import SCOPE, plan_in

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")

RULES = (SPEC, ONE_TOO_MANY, LOSES, PARTLY, NEVER_FULL)
SLOW = Scope(coins=1)
ORDINALS = ordinals.Scope(conversations=2, messages=2, summaries=2)
SECONDS = 60
FORKS = "fork" in multiprocessing.get_all_start_methods()

pytestmark = pytest.mark.skipif(not FORKS, reason="a walk has one process where there is no fork")


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plumbline_spec.walking_together.cores", lambda: 4)


@pytest.fixture(autouse=True)
def short_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plumbline_spec.walking_together.ROUND_STATES", 5)


def said(walk: Exploration[S, E, O, C]) -> tuple[object, ...]:
    """Return everything that a walk reports."""
    return (
        *(walk.states, walk.transitions, walk.depth, walk.bound, walk.clauses),
        *(walk.never_enabled, walk.never_reached, walk.counterexample, walk.fingerprint),
        walk.coverage.result(),
    )


def helpers() -> int:
    return len(multiprocessing.active_children())


class StepError(Exception):
    """A fault of a machine."""


def failing_at(held: int) -> toy.Machine:
    """Return a machine whose step is at fault in a state."""
    machine = toy.machine()

    def step(state: toy.State, event: toy.Event) -> tuple[toy.State, toy.Outcome]:
        if state.held == held:
            raise StepError(str(held))
        return machine.step(state, event)

    return replace(machine, step=step)


@pytest.mark.parametrize("processes", [2, 3])
@pytest.mark.parametrize("scope", [SCOPE, SLOW, Scope(coins=0), Scope(coins=9)], ids=str)
@pytest.mark.parametrize("rules", RULES, ids=lambda rules: rules.name)
def test_several_processes_report_what_one_reports(
    rules: Rules, scope: Scope, processes: int
) -> None:
    """TOY-1, TOY-2, TOY-3, TOY-4."""
    walked = partial(explore, toy.machine(rules), scope, fingerprint=True)
    assert said(walked(processes=processes, together_from=0)) == said(walked())
    assert helpers() == 0


@pytest.mark.parametrize("processes", [2, 3])
@pytest.mark.parametrize("rules", ordinals.RULE_SETS, ids=lambda rules: rules.name)
def test_several_processes_report_what_one_reports_of_a_machine(
    rules: ordinals.Rules, processes: int
) -> None:
    walked = partial(explore, ordinals.machine(rules), ORDINALS, fingerprint=True)
    assert said(walked(processes=processes, together_from=20)) == said(walked())


@pytest.mark.parametrize("helps_first", [True, False])
def test_a_clause_is_broken_for_the_caller_whoever_meets_it(
    helps_first: bool,  # noqa: FBT001 - a parameter
) -> None:
    """TOY-1, from every state that is one event away; one process waits for the other."""
    machine, caller = toy.machine(ONE_TOO_MANY), multiprocessing.current_process().name
    begun = multiprocessing.get_context("fork").Event()

    def step(state: toy.State, event: toy.Event) -> tuple[toy.State, toy.Outcome]:
        helps = multiprocessing.current_process().name != caller
        if state.held and helps is helps_first:
            begun.set()
        elif state.held:
            begun.wait(SECONDS)
        return machine.step(state, event)

    wide = Scope(coins=3)
    found = explore(replace(machine, step=step), wide, processes=2, together_from=2)
    assert begun.is_set()
    assert said(found) == said(explore(machine, wide))
    assert found.counterexample is not None
    assert found.counterexample.events == (toy.Deposit(coins=1), toy.Deposit(coins=3))


@pytest.mark.parametrize("most", [1, 2, 50, 200, 451, 452])
def test_a_bound_stops_several_processes_where_it_stops_one(most: int) -> None:
    walked = partial(explore, ordinals.machine(), ORDINALS, max_states=most, fingerprint=True)
    together = walked(processes=3, together_from=10)
    assert said(together) == said(walked())
    assert together.complete is (most == 452)


def test_every_state_gets_the_number_and_the_trace_that_one_process_gives_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    walks: list[Walk[ordinals.State, ordinals.Event, ordinals.Outcome, ordinals.Scope]] = []

    class Kept(Walk[ordinals.State, ordinals.Event, ordinals.Outcome, ordinals.Scope]):
        def __init__(self, machine: ordinals.Machine, without: frozenset[str]) -> None:
            super().__init__(machine, without)
            walks.append(self)

    monkeypatch.setattr("plumbline_spec.explore.Walk", Kept)
    for processes in (1, 3):
        explore(ordinals.machine(), ORDINALS, processes=processes, together_from=0)
    alone, together = walks
    assert together.parents == alone.parents
    assert list(together.seen.items()) == list(alone.seen.items())


@pytest.mark.parametrize("held", [0, 1, 2, 3])
def test_a_fault_of_a_machine_reaches_the_caller_wherever_it_is_met(held: int) -> None:
    with pytest.raises(StepError, match=str(held)):
        explore(failing_at(held), SCOPE, processes=2, together_from=0)
    assert helpers() == 0


def test_a_fault_that_only_a_helper_has_is_made_up_for() -> None:
    here = multiprocessing.current_process().name
    machine = toy.machine()

    def step(state: toy.State, event: toy.Event) -> tuple[toy.State, toy.Outcome]:
        if multiprocessing.current_process().name != here:
            raise StepError
        return machine.step(state, event)

    found = explore(replace(machine, step=step), SCOPE, processes=3, together_from=0)
    assert said(found) == said(explore(machine, SCOPE))
    assert helpers() == 0


def test_a_small_walk_starts_no_process() -> None:
    most: list[int] = []
    explore(toy.machine(), SCOPE, processes=2, progress=lambda _: most.append(helpers()))
    assert set(most) == {0}


@pytest.mark.parametrize("cores", [1, 2])
def test_there_are_no_more_processes_than_cores(
    cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plumbline_spec.walking_together.cores", lambda: cores)
    most: list[int] = []
    explore(
        toy.machine(),
        SLOW,
        processes=3,
        together_from=0,
        progress=lambda _: most.append(helpers()),
    )
    assert max(most) == cores - 1


def test_a_walk_has_one_process_where_there_is_no_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    most: list[int] = []
    found = explore(
        toy.machine(),
        SLOW,
        processes=2,
        together_from=0,
        progress=lambda _: most.append(helpers()),
    )
    assert found.holds
    assert set(most) == {0}


class GivenUp(Exception):  # noqa: N818 - it names what happened
    """The caller has had enough."""


def when_helped(then: Callable[[], None]) -> Callable[[str], None]:
    """Return a progress that does something once there are helpers."""

    def progress(message: str) -> None:
        del message
        if helpers():
            then()

    return progress


@pytest.mark.parametrize("reason", [GivenUp, CouldNotFinish, KeyboardInterrupt])
def test_a_progress_that_raises_ends_every_process(reason: type[BaseException]) -> None:
    def give_up() -> None:
        raise reason

    with pytest.raises(reason):
        explore(toy.machine(), SLOW, processes=3, together_from=0, progress=when_helped(give_up))
    assert helpers() == 0


def test_progress_is_told_while_a_helper_is_waited_for() -> None:
    """The caller waits until the helper has begun, and the helper until progress is told."""
    machine, caller = toy.machine(), multiprocessing.current_process().name
    begun, goes_on = (multiprocessing.get_context("fork").Event() for _ in range(2))

    def step(state: toy.State, event: toy.Event) -> tuple[toy.State, toy.Outcome]:
        if multiprocessing.current_process().name != caller:
            begun.set()
            goes_on.wait(SECONDS)
        elif state.held:
            begun.wait(SECONDS)
        return machine.step(state, event)

    def progress(message: str) -> None:
        if begun.is_set() and not message.startswith("depth"):
            goes_on.set()

    slow = replace(machine, step=step)
    assert explore(slow, SCOPE, processes=2, together_from=2, progress=progress).holds
    assert goes_on.is_set()


def test_a_helper_that_is_ended_from_outside_leaves_a_walk_unfinished() -> None:
    def end_one() -> None:
        helper = multiprocessing.active_children()[0]
        helper.kill()
        helper.join()

    with pytest.raises(CouldNotFinish, match="ended from outside"):
        explore(toy.machine(), SLOW, processes=3, together_from=0, progress=when_helped(end_one))
    assert helpers() == 0


KILLED = """
import multiprocessing, os, signal
from plumbline_spec import toy, walking_together
from plumbline_spec.explore import explore

def progress(message):
    if len(multiprocessing.active_children()) == 2:
        print("helped", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

walking_together.cores = lambda: 3
explore(toy.machine(), toy.Scope(coins=1), processes=3, together_from=0, progress=progress)
"""


def test_helpers_end_when_their_caller_is_killed() -> None:
    """They hold its output open, so that is read to its end only when they have ended."""
    unmeasured = {name: one for name, one in os.environ.items() if not name.startswith("COVERAGE_")}
    ended = subprocess.run(  # noqa: S603 - this interpreter, and the text above
        [sys.executable, "-c", KILLED],
        env=unmeasured,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGKILL, "helped\n", "")


def states_and_helpers(processes: int) -> tuple[int, int, int]:
    """Return the states of a walk, how many helpers it had, and how many are left."""
    most: list[int] = []
    found = explore(
        toy.machine(),
        SLOW,
        processes=processes,
        together_from=0,
        progress=lambda _: most.append(helpers()),
    )
    return found.states, max(most), helpers()


def test_a_worker_of_a_pool_has_helpers_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``plumbline check`` runs its engines, where there are two cores at least."""
    monkeypatch.undo()
    from plumbline_spec.walking_together import cores

    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        states, most, left = pool.submit(states_and_helpers, 2).result(SECONDS)
    assert (states, most, left) == (4, min(2, cores()) - 1, 0)


def test_a_process_that_may_have_no_children_walks_alone() -> None:
    pipe, theirs = multiprocessing.get_context("fork").Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(
        target=lambda: theirs.send(states_and_helpers(2)), daemon=True
    )
    process.start()
    with pipe, theirs:
        assert pipe.recv() == (4, 0, 0)
    process.join()


def test_the_processes_of_a_profile_make_the_same_report(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """TOY-4."""
    monkeypatch.setattr("plumbline_spec.engines.explore", partial(explore, together_from=0))
    case, plan = toy.case(), plan_in(tmp_path)
    two = replace(plan, profile=replace(plan.profile, processes=2))
    assert run_explore(case, two, silent) == run_explore(case, plan, silent)
    machine = toy.machine(NEVER_FULL)
    assert explored(machine, [SCOPE], processes=2) == explored(machine, [SCOPE])
    assert subject(case).explored("SPEC", "quick", 9, silent, processes=2).holds
    assert {name: one.processes for name, one in PROFILES.items()} == {
        "quick": 1,
        "ci": 2,
        "nightly": 2,
    }
