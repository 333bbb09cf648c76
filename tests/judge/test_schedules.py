"""Schedules: one client at a time, every schedule once, the same run for the same schedule."""

import os
import threading
from collections.abc import Callable, Sequence
from math import comb
from pathlib import Path

import pytest

from plumbline_spec import schedules
from plumbline_spec.errors import CouldNotFinish
from plumbline_spec.host import Gate
from plumbline_spec.schedules import (
    GIVES_UP,
    GOES_ON,
    STUCK,
    WAITS,
    Chooser,
    Play,
    Run,
    Search,
    Stage,
    drawn,
    following,
    on_one_core,
    switches,
)


def steps(name: str, count: int, log: list[str] | None = None) -> Play:
    """Return a client that runs so many statements."""

    def play(gate: Gate) -> None:
        for number in range(count):
            gate.enter(f"{name}{number}")
            if log is not None:
                log.append(f"{name}{number}")

    return play


class Lock:
    """What one client holds at a time."""

    def __init__(self) -> None:
        self.holder: str | None = None

    def take(self, name: str, gate: Gate) -> bool:
        """Take the lock; return False when the client gave up."""
        gate.enter(f"{name} locks")
        while self.holder not in (None, name):
            if not gate.wait():
                return False
        self.holder = name
        return True


def locking(name: str, lock: Lock, inside: int, served: list[str] | None = None) -> Play:
    """Return a client that takes a lock, runs statements, and lets the lock go."""

    def play(gate: Gate) -> None:
        if lock.take(name, gate):
            steps(name, inside)(gate)
            gate.enter(f"{name} unlocks")
            lock.holder = None
            if served is not None:
                served.append(name)

    return play


def search(
    plays: Callable[[], Sequence[Play]], *, most: int = 10_000, may_give_up: int = 1
) -> tuple[list[Run], Search]:
    """Run every schedule of some clients."""
    with Stage(len(plays()), may_give_up=may_give_up) as stage:
        found = Search(lambda choose: stage.run(plays(), choose), most=most)
        return list(found), found


def run(plays: Sequence[Play], choose: Chooser) -> Run:
    """Run one schedule of some clients."""
    with Stage(len(plays)) as stage:
        return stage.run(plays, choose)


def order(one: Run) -> list[str]:
    return [turn.statement for turn in one.turns]


# One at a time


def test_clients_run_one_at_a_time() -> None:
    """Between two gates a client sees nobody else, whatever the schedule."""
    inside = list[int]()

    def play(gate: Gate) -> None:
        for number in range(3):
            gate.enter(str(number))
            inside.append(1)
            for _ in range(50):
                assert len(inside) == 1
            inside.pop()

    found, _ = search(lambda: (play, play))
    assert len(found) == comb(6, 3)


def test_every_client_runs_in_a_thread_of_its_own() -> None:
    threads = list[int]()

    def play(gate: Gate) -> None:
        gate.enter("look")
        threads.append(threading.get_ident())

    run((play, play), following(()))
    assert len({*threads, threading.get_ident()}) == 3


def test_the_threads_end_with_the_stage() -> None:
    before = threading.active_count()
    with Stage(3) as stage:
        assert threading.active_count() == before + 3
        stage.run([steps("a", 1)] * 3, following(()))
    assert threading.active_count() == before


# Schedules


def test_a_schedule_says_whose_turn_it_is() -> None:
    found = run((steps("a", 2), steps("b", 2)), following((1, 0, 0, 1)))
    assert order(found) == ["b0", "a0", "a1", "b1"]
    assert found.schedule == (1, 0, 0, 1)


def test_the_same_schedule_gives_the_same_run() -> None:
    def plays() -> tuple[Play, Play, Play]:
        lock = Lock()
        return locking("a", lock, 2), locking("b", lock, 1), steps("c", 3)

    found, _ = search(plays, most=300)
    for one in found[::7]:
        again = run(plays(), following(one.schedule))
        assert (again.turns, again.schedule) == (one.turns, one.schedule)


def test_a_schedule_that_names_a_client_that_has_ended_goes_on_with_another() -> None:
    found = run((steps("a", 1), steps("b", 2)), following((0, 0, 0)))
    assert order(found) == ["a0", "b0", "b1"]


def test_a_run_goes_on_with_the_client_that_was_named_last() -> None:
    found = run((steps("a", 3), steps("b", 3)), following((0, 1)))
    assert order(found) == ["a0", "b0", "b1", "b2", "a1", "a2"]


def test_numbers_that_are_drawn_choose_among_those_that_may_go_on() -> None:
    plays = steps("a", 2), steps("b", 2)
    assert order(run(plays, drawn((1, 3, 4)))) == ["b0", "b1", "a0", "a1"]
    assert order(run(plays, drawn((1, 2)))) == ["b0", "a0", "a1", "b1"]


def test_a_client_without_statements_ends_at_once() -> None:
    found = run((steps("a", 0), steps("b", 1)), following(()))
    assert order(found) == ["b0"]


# Every schedule


@pytest.mark.parametrize(("one", "other"), [(1, 1), (2, 3), (4, 4)])
def test_every_schedule_of_two_clients_is_run_once(one: int, other: int) -> None:
    found, whole = search(lambda: (steps("a", one), steps("b", other)))
    assert len(found) == whole.runs == comb(one + other, one)
    assert len({run.turns for run in found}) == len(found)
    assert whole.complete


def test_every_schedule_of_three_clients_is_run_once() -> None:
    found, whole = search(lambda: (steps("a", 2), steps("b", 2), steps("c", 1)))
    assert len(found) == whole.runs == 30
    assert whole.complete


def test_schedules_with_few_switches_come_first() -> None:
    found, _ = search(lambda: (steps("a", 3), steps("b", 3)))
    assert [order(one)[0] for one in found[:2]] == ["a0", "b0"]
    taken = [switches(one.schedule) for one in found]
    assert taken[0] == taken[1] == 1
    assert max(taken[:6]) < max(taken)


def test_a_bound_leaves_a_search_incomplete() -> None:
    found, whole = search(lambda: (steps("a", 4), steps("b", 4)), most=20)
    assert len(found) == whole.runs == 20
    assert not whole.complete
    assert whole.switches == 1


def test_a_search_forgets_what_its_bound_leaves_no_room_for() -> None:
    """Memory is bounded as the runs are, and the runs are the same as without."""
    clients = steps("a", 12), steps("b", 12)
    few, whole = search(lambda: clients, most=30)
    more, _ = search(lambda: clients, most=300)
    assert [one.turns for one in few] == [one.turns for one in more[:30]]
    assert not whole.complete


def test_switches_are_counted_between_clients() -> None:
    assert switches(()) == 0
    assert switches((0, 0, 1, 1, 0)) == 2
    assert switches((0, ~0, 1)) == 1


# Waiting


def test_a_client_that_waits_is_served_when_the_other_has_moved_on() -> None:
    served = list[str]()

    def plays() -> tuple[Play, Play]:
        lock = Lock()
        return locking("a", lock, 2, served), locking("b", lock, 2, served)

    found, whole = search(plays, may_give_up=0)
    assert whole.complete
    assert len(served) == 2 * len(found)
    assert not any(one.stuck for one in found)
    assert any(turn.outcome == WAITS for one in found for turn in one.turns)
    assert any(turn.outcome == GOES_ON for one in found for turn in one.turns)


def test_an_attempt_that_is_vain_is_no_part_of_the_schedule() -> None:
    """Two that lock first have two orders, and each may begin to wait at any statement."""

    def plays() -> tuple[Play, Play]:
        lock = Lock()
        return locking("a", lock, 3), locking("b", lock, 3)

    found, whole = search(plays, may_give_up=0)
    assert whole.complete
    assert len(found) == whole.runs == 2 + 2 * 4
    attempts = max(one.told[WAITS] for one in found)
    waits = max(sum(turn.outcome == WAITS for turn in one.turns) for one in found)
    assert (attempts, waits) == (4, 1)


def test_a_client_may_give_up_where_it_waits_and_nowhere_else() -> None:
    gave_up = list[Run]()

    def plays() -> tuple[Play, Play]:
        lock = Lock()
        return locking("a", lock, 1), locking("b", lock, 1)

    found, _ = search(plays)
    for one in found:
        outcomes = [turn.outcome for turn in one.turns]
        if GIVES_UP in outcomes:
            gave_up.append(one)
            assert outcomes[outcomes.index(GIVES_UP) - 1] == WAITS
            assert outcomes.count(GIVES_UP) == 1
    assert len(gave_up) == len(found) // 2 - 1


def test_clients_that_wait_for_each_other_are_stuck_and_one_is_told() -> None:
    told = list[bool]()

    def plays() -> tuple[Play, Play]:
        left, right = Lock(), Lock()

        def crossing(name: str, first: Lock, second: Lock) -> Play:
            def play(gate: Gate) -> None:
                assert first.take(name, gate)
                told.append(second.take(name, gate))
                gate.enter(f"{name} unlocks")
                for lock in (first, second):
                    lock.holder = None if lock.holder == name else lock.holder

            return play

        return crossing("a", left, right), crossing("b", right, left)

    with Stage(2, may_give_up=0) as stage:
        free = stage.run(plays(), following((0, 0, 0, 1)))
        assert (free.stuck, told) == (False, [True, True])
        told.clear()
        stuck = stage.run(plays(), following((0, 1, 0, 1)))
    assert stuck.stuck
    assert sorted(told) == [False, True]
    assert [turn.outcome for turn in stuck.turns].count(STUCK) == 1


def test_what_a_client_tells_is_counted() -> None:
    def play(gate: Gate) -> None:
        gate.enter("one")
        gate.tell("refused")

    assert run((play, play), following(())).told == {"refused": 2}


# Ends that are no ends


def test_a_client_that_never_ends_is_not_waited_for() -> None:
    def endless(gate: Gate) -> None:
        while True:
            gate.enter("again")

    with Stage(2, max_turns=50) as stage:
        with pytest.raises(CouldNotFinish, match="within 50 statements"):
            stage.run((endless, steps("b", 2)), following((0, 1)))
        assert order(stage.run((steps("a", 1), steps("b", 1)), following(()))) == ["a0", "b0"]


def test_clients_are_ended_where_they_wait_as_well() -> None:
    lock, ended = Lock(), list[str]()

    def endless(gate: Gate) -> None:
        lock.take("a", gate)
        while True:
            gate.enter("again")

    def waiting(gate: Gate) -> None:
        try:
            lock.take("b", gate)
        finally:
            ended.append("b")

    with Stage(2, max_turns=50) as stage, pytest.raises(CouldNotFinish, match="did not end"):
        stage.run((endless, waiting), following((0, 1)))
    assert ended == ["b"]


def test_what_a_client_raises_is_raised_when_all_have_ended() -> None:
    ended = list[str]()

    def broken(gate: Gate) -> None:
        gate.enter("one")
        raise LookupError("nothing there")

    def patient(gate: Gate) -> None:
        try:
            steps("b", 9)(gate)
        finally:
            ended.append("b")

    with Stage(2) as stage:
        with pytest.raises(LookupError, match="nothing there"):
            stage.run((broken, patient), following((1, 0)))
        assert ended == ["b"]
        assert order(stage.run((steps("a", 1), steps("b", 1)), following(()))) == ["a0", "b0"]


def test_a_client_that_waits_without_telling_is_not_waited_for() -> None:
    door = threading.Event()

    def silent(gate: Gate) -> None:
        gate.enter("one")
        door.wait()

    with Stage(2, max_seconds=0.05) as stage:
        with pytest.raises(CouldNotFinish, match="did not come back"):
            stage.run((silent, steps("b", 1)), following((1, 0)))
        door.set()


def test_an_interrupt_ends_every_client(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        def __init__(self, lock: threading.Lock) -> None:
            self._lock, self._times = lock, 0

        def acquire(self, *, timeout: float) -> bool:
            self._times += 1
            if self._times == 1:
                raise KeyboardInterrupt
            return self._lock.acquire(timeout=timeout)

        def release(self) -> None:
            self._lock.release()

    def endless(gate: Gate) -> None:
        while True:
            gate.enter("again")

    with Stage(2) as stage:
        monkeypatch.setattr(stage, "_over", Interrupted(vars(stage)["_over"]))
        with pytest.raises(KeyboardInterrupt):
            stage.run((endless, endless), following(()))
        assert order(stage.run((steps("a", 1), steps("b", 1)), following(()))) == ["a0", "b0"]


def test_one_core_is_used_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[set[int]]()

    def allowed(_process: int) -> set[int]:
        return {0, 1}

    def keep(_process: int, cores: set[int]) -> None:
        asked.append(cores)

    monkeypatch.setattr(os, "sched_getaffinity", allowed, raising=False)
    monkeypatch.setattr(os, "sched_setaffinity", keep, raising=False)
    with on_one_core():
        assert [len(cores) for cores in asked] in ([1], [2], [])
    assert asked[-1:] in ([{0, 1}], [])


def test_a_system_that_cannot_keep_a_core_goes_on_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedules, "STAT", Path("/nowhere/stat"))
    with on_one_core():
        assert not schedules.STAT.exists()
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    with on_one_core():
        assert not hasattr(os, "sched_setaffinity")
