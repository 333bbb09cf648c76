"""Diff: two rule sets in product, equal or told apart by a shortest trace."""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from plumbline_spec.diff import diff
from plumbline_spec.toy import (
    BY_ROOM,
    NEVER_FULL,
    ONE_TOO_MANY,
    PARTLY,
    Clear,
    Deposit,
    Event,
    Outcome,
    Reason,
    Refused,
    Rules,
    Scope,
    State,
    Withdraw,
    machine,
    step,
)
from plumbline_spec.trial import Difference
from tests.judge.hosts import SCOPE


def test_rule_sets_that_are_equal_are_equal_over_the_whole_scope() -> None:
    found = diff(machine(), machine(BY_ROOM), SCOPE)
    assert found.equal
    assert (found.left, found.right) == ("SPEC", "BY_ROOM")
    assert (found.states, found.transitions, found.bound) == (4, 20, None)
    assert (found.events, found.differences) == ((), ())


@pytest.mark.parametrize(
    ("rules", "events", "path"),
    [
        (PARTLY, (Withdraw(coins=1),), "outcome.reason"),
        (NEVER_FULL, (Deposit(coins=1), Deposit(coins=2)), "outcome.held"),
        (ONE_TOO_MANY, (Deposit(coins=2), Deposit(coins=2)), "outcome.reason"),
    ],
)
def test_rule_sets_that_differ_are_told_apart_by_a_shortest_trace(
    rules: Rules, events: tuple[Event, ...], path: str
) -> None:
    found = diff(machine(), machine(rules), SCOPE)
    assert not found.equal
    assert (found.events, found.differences[0].path) == (events, path)


def test_a_difference_in_the_state_alone_is_found() -> None:
    def hidden(state: State, event: Event) -> tuple[State, Outcome]:
        after, outcome = step(Rules(name="HIDDEN"), state, event)
        return (State(held=9) if isinstance(event, Clear) else after), outcome

    found = diff(machine(), replace(machine(), step=hidden), SCOPE)
    assert found.events == (Clear(),)
    assert found.differences == (Difference(path="state.held", machine="0", host="9"),)


def test_true_is_not_one() -> None:
    def truthful(state: State, event: Event) -> tuple[State, Outcome]:
        after, outcome = step(Rules(name="TRUTHFUL"), state, event)
        return (State(held=True) if after.held == 1 else after), outcome

    other = replace(machine(), step=truthful)
    assert other.step(State(), Deposit(coins=1)) == machine().step(State(), Deposit(coins=1))
    assert diff(machine(), other, SCOPE).differences == (
        Difference(path="state.held", machine="1", host="true"),
    )


def test_machines_that_begin_otherwise_differ_before_any_event() -> None:
    found = diff(machine(), replace(machine(), initial=State(held=1)), SCOPE)
    assert not found.equal
    assert (found.events, found.transitions) == ((), 0)


def test_an_event_that_only_one_of_them_offers_is_taken_on_both() -> None:
    def nothing(state: State, scope: Scope) -> Iterator[Event]:
        del state, scope
        return iter(())

    quiet = replace(machine(), events=nothing)
    found = diff(quiet, machine(PARTLY), SCOPE)
    assert found.events == (Withdraw(coins=1),)
    assert diff(quiet, machine(BY_ROOM), SCOPE).transitions == 20
    assert diff(machine(), quiet, SCOPE).transitions == 20


@pytest.mark.parametrize("most", [1, 2])
def test_a_bound_is_reported_and_never_as_equal(most: int) -> None:
    found = diff(machine(), machine(BY_ROOM), Scope(coins=1), max_states=most)
    assert found.bound == f"{most} pairs of states"
    assert not found.equal
    assert not found.differences


def test_progress_is_told_before_each_level() -> None:
    told: list[str] = []
    diff(machine(), machine(BY_ROOM), SCOPE, progress=told.append)
    assert told[0] == "1 pairs, 0 transitions"


def test_a_refusal_for_another_reason_is_a_difference() -> None:
    def vague(state: State, event: Event) -> tuple[State, Outcome]:
        after, outcome = step(Rules(name="VAGUE"), state, event)
        return after, Refused(reason=Reason.EMPTY) if after is state else outcome

    found = diff(machine(), replace(machine(), step=vague), SCOPE)
    assert found.differences == (
        Difference(path="outcome.reason", machine='"short"', host='"empty"'),
    )
