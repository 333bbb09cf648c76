"""Shrink: short traces that still fail in the same way, within a bound on replays."""

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from plumbline_spec.host import RequestId
from plumbline_spec.shrink import shrink, shrink_failure
from plumbline_spec.toy import (
    LOSES,
    ONE_TOO_MANY,
    Clear,
    Cleared,
    Deposit,
    Event,
    Outcome,
    Scope,
    Withdraw,
    machine,
)
from plumbline_spec.trial import Trial, judge
from tests.judge.hosts import SCOPE, Locker, MisAnswers, Raises

Ints = tuple[int, ...]


def contains(*wanted: int) -> Callable[[Ints], bool]:
    """Return whether a trace has these events in this order, with anything between."""

    def fails(trace: Ints) -> bool:
        rest = iter(trace)
        return all(one in rest for one in wanted)

    return fails


@pytest.mark.parametrize("wanted", [(), (5,), (3, 7), (0, 8, 16, 24, 31), tuple(range(32))])
def test_a_trace_is_shrunk_to_the_events_that_it_needs(wanted: Ints) -> None:
    assert shrink(contains(*wanted), tuple(range(32))) == wanted


@given(st.data())
def test_no_event_of_a_shrunk_trace_can_be_left_out(data: st.DataObject) -> None:
    trace = tuple(data.draw(st.lists(st.integers(0, 5), max_size=30)))
    kept = data.draw(st.lists(st.sampled_from(range(len(trace))), unique=True)) if trace else []
    fails = contains(*(trace[at] for at in sorted(kept)))
    short = shrink(fails, trace)
    assert fails(short)
    assert not any(fails(short[:at] + short[at + 1 :]) for at in range(len(short)))


def test_an_event_is_exchanged_for_the_first_shorter_one_that_still_fails() -> None:
    def simpler(trace: Ints, index: int) -> Iterable[int]:
        del trace, index
        return (7, 100_000, 60, 61)

    def fails(trace: Ints) -> bool:
        return len(trace) == 2 and trace[0] == 1_000 and trace[1] > 8

    assert shrink(fails, (1_000, 2_000), simpler) == (1_000, 60)


def test_what_an_exchange_makes_needless_is_deleted_after_it() -> None:
    def simpler(trace: Ints, index: int) -> Iterable[int]:
        del trace, index
        return (1,)

    def fails(trace: Ints) -> bool:
        return trace == (10, 20) or trace[:1] == (1,)

    assert shrink(fails, (10, 20), simpler) == (1,)


@pytest.mark.parametrize("most", [0, 1, 2, 5, 17])
def test_the_bound_on_replays_is_kept_and_what_is_left_still_fails(most: int) -> None:
    replays: list[Ints] = []

    def fails(trace: Ints) -> bool:
        replays.append(trace)
        return contains(3, 30)(trace)

    short = shrink(fails, tuple(range(32)), max_replays=most)
    assert len(replays) <= most
    assert contains(3, 30)(short)


def test_shrinking_ends_before_its_bound_on_a_trace_of_usual_length() -> None:
    replays = 0

    def fails(trace: Ints) -> bool:
        nonlocal replays
        replays += 1
        return contains(20, 40)(trace)

    assert shrink(fails, tuple(range(60))) == (20, 40)
    assert replays < 60


LONG: tuple[Event, ...] = (
    Deposit(coins=1),
    Withdraw(coins=2),
    Deposit(coins=1),
    Deposit(coins=1),
    Withdraw(coins=1),
    Deposit(coins=1),
    Clear(),
)


def test_any_subsequence_of_a_trace_is_a_trace() -> None:
    trial = Trial(machine(), Locker.make())
    for chosen in range(2 ** len(LONG)):
        part = [event for at, event in enumerate(LONG) if chosen >> at & 1]
        assert judge(trial, part) is None


def test_a_failure_on_a_host_is_shrunk_to_what_it_needs() -> None:
    found = judge(Trial(machine(), MisAnswers.make()), LONG)
    assert found is not None
    events, failure = shrink_failure(machine(), MisAnswers.make, *found, Scope(coins=3))
    assert events == (Deposit(coins=1), Deposit(coins=1), Deposit(coins=1), Clear())
    assert failure == found[1]


def test_a_failure_of_the_machine_alone_is_shrunk_without_a_host() -> None:
    """TOY-2."""
    wrong = machine(LOSES)
    trace = (
        Clear(),
        Deposit(coins=12),
        Deposit(coins=2),
        Clear(),
        Deposit(coins=2),
        Withdraw(coins=30),
    )
    found = judge(Trial(wrong), trace)
    assert found is not None
    events, failure = shrink_failure(wrong, None, *found, SCOPE)
    assert events == (Deposit(coins=2), Withdraw(coins=30))
    assert failure.identity == ("clause", "TOY-2")


def test_events_are_exchanged_for_shorter_ones_that_the_machine_offers_there() -> None:
    wrong = machine(LOSES)
    found = judge(Trial(wrong), (Deposit(coins=2), Withdraw(coins=300)))
    assert found is not None
    events, _ = shrink_failure(wrong, None, *found, Scope(coins=4))
    assert events == (Deposit(coins=2), Withdraw(coins=3))


class TwoBugs(Raises):
    """Fails when a full locker is cleared, and mis-answers the clearing of one coin."""

    @override
    def step(self, event: Event, request: RequestId | None = None) -> Outcome:
        outcome = super().step(event, request)
        return Cleared(coins=2) if outcome == Cleared(coins=1) else outcome


def test_shrinking_does_not_slip_to_another_bug() -> None:
    trace = (Deposit(coins=2), Deposit(coins=1), Clear())
    found = judge(Trial(machine(), TwoBugs.make()), trace)
    assert found is not None
    events, failure = shrink_failure(machine(), TwoBugs.make, *found, Scope(coins=1))
    assert events == trace
    assert failure.identity == ("raised", "Clear: RuntimeError")
    other = judge(Trial(machine(), TwoBugs.make()), trace[1:])
    assert other is not None
    assert other[1].identity == ("outcome", "Clear: Cleared, host Cleared")


def test_the_witness_is_that_of_the_short_trace() -> None:
    """TOY-1."""
    wrong = machine(ONE_TOO_MANY)
    long = (Clear(), Deposit(coins=4))
    found = judge(Trial(wrong), long)
    assert found is not None
    events, failure = shrink_failure(wrong, None, *found, SCOPE)
    assert events == (Deposit(coins=4),)
    assert failure.detail == "the locker: holds 4 coins, the limit is 3"


def test_a_failure_that_does_not_come_again_is_left_as_it_was_found() -> None:
    found = judge(Trial(machine(), MisAnswers.make()), LONG)
    assert found is not None
    assert shrink_failure(machine(), Locker.make, *found, SCOPE) == found
