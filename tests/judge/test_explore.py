"""Explore: shortest traces to broken clauses, bounds, and what was never reached."""

import gc

import pytest
from msgspec.structs import replace

from plumbline_models.contract import Witness
from plumbline_spec.clause_table import Broken, ClauseTable
from plumbline_spec.explore import MAX_STATES, explore
from plumbline_spec.toy import (
    LOSES,
    NEVER_FULL,
    ONE_TOO_MANY,
    PARTLY,
    Clear,
    Cleared,
    Deposit,
    Event,
    Reason,
    Refused,
    Rules,
    Scope,
    State,
    Withdraw,
    machine,
)
from tests.judge.hosts import SCOPE


@pytest.mark.parametrize(
    ("rules", "events", "broken"),
    [
        (ONE_TOO_MANY, (Deposit(coins=2), Deposit(coins=2)), "TOY-1 the locker: holds 4 coins"),
        (LOSES, (Deposit(coins=1), Withdraw(coins=2)), "TOY-2 the locker: holds 0 coins"),
        (PARTLY, (Withdraw(coins=1),), "TOY-3 the locker: holds 0 coins and not -1"),
    ],
    ids=["state", "step", "step at once"],
)
def test_a_broken_clause_comes_with_a_shortest_trace_and_a_witness(
    rules: Rules, events: tuple[Event, ...], broken: str
) -> None:
    """TOY-1, TOY-2, TOY-3."""
    found = explore(machine(rules), SCOPE)
    assert found.counterexample is not None
    assert found.counterexample.events == events
    (one,) = found.counterexample.broken
    assert str(one).startswith(broken)
    assert not found.complete
    assert not found.holds


def test_a_clause_about_reach_is_broken_by_a_completed_scope() -> None:
    """TOY-4."""
    found = explore(machine(NEVER_FULL), SCOPE)
    assert (found.never_reached, found.complete, found.holds) == (("TOY-4",), True, False)


def test_a_broken_initial_state_is_a_trace_of_no_events() -> None:
    """TOY-1."""
    found = explore(replace(machine(), initial=State(held=9)), SCOPE)
    assert found.counterexample is not None
    assert found.counterexample.events == ()
    assert [one.clause for one in found.counterexample.broken] == ["TOY-1"]


def test_a_clause_that_is_left_out_breaks_nothing() -> None:
    """TOY-1."""
    found = explore(machine(ONE_TOO_MANY), SCOPE, without=frozenset({"TOY-1"}))
    assert found.holds
    assert "TOY-1" not in found.clauses
    assert found.states == 5


@pytest.mark.parametrize("most", [1, 2, 3])
def test_a_bound_on_states_is_reported_and_never_as_complete(most: int) -> None:
    found = explore(machine(), Scope(coins=1), max_states=most)
    assert found.bound == f"{most} states"
    assert not found.complete
    assert not found.holds
    assert found.states > most


def test_a_scope_as_large_as_the_bound_is_complete() -> None:
    assert explore(machine(), SCOPE, max_states=4).holds
    assert MAX_STATES >= 4_000_000


def test_an_event_that_nothing_accepts_is_named() -> None:
    found = explore(machine(), Scope(coins=0))
    assert found.never_enabled == ("Deposit", "Withdraw", "Clear")
    assert (found.states, found.transitions, found.depth) == (1, 1, 0)


def test_the_fingerprint_tells_sets_of_states_apart_whatever_the_way() -> None:
    whole = explore(machine(), Scope(coins=3), fingerprint=True)
    slow = explore(machine(), Scope(coins=1), fingerprint=True)
    less = explore(machine(NEVER_FULL), Scope(coins=1), fingerprint=True)
    assert whole.depth < slow.depth
    assert whole.fingerprint == slow.fingerprint != less.fingerprint
    assert explore(machine(), SCOPE).fingerprint is None


def test_progress_is_told_level_by_level() -> None:
    told: list[str] = []
    explore(machine(), Scope(coins=1), progress=told.append)
    assert told[0].startswith("depth 0: 1 states")
    assert len(told) == 4


def test_progress_is_told_within_a_level_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plumbline_spec.explore.PROGRESS_STATES", 2)
    told: list[str] = []
    explore(machine(), SCOPE, progress=told.append)
    assert [line.startswith("depth") for line in told] == [True, True, False, True]


@pytest.mark.parametrize("collects", [True, False])
def test_garbage_collection_is_left_as_it_was(collects: bool) -> None:  # noqa: FBT001 - a parameter
    was = gc.isenabled()
    try:
        (gc.enable if collects else gc.disable)()
        explore(machine(), SCOPE)
        assert gc.isenabled() is collects
    finally:
        (gc.enable if was else gc.disable)()


def test_the_table_of_clauses_knows_which_apply_to_a_step() -> None:
    table = ClauseTable(machine().clauses)
    refused, cleared = Refused(reason=Reason.EMPTY), Cleared(coins=1)
    assert [one.id for one in table.of_step(Clear(), refused)] == ["TOY-2"]
    assert [one.id for one in table.of_step(Clear(), cleared)] == ["TOY-3"]
    assert table.ids == ["TOY-1", "TOY-2", "TOY-3", "TOY-4"]


def test_a_broken_clause_reads_as_clause_row_and_find() -> None:
    broken = Broken(clause="TOY-1", witness=Witness(row="the locker", found="is gone"))
    assert str(broken) == "TOY-1 the locker: is gone"
