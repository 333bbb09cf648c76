"""Coverage: pairs and clauses counted over steps, and what was never exercised."""

import pytest
from msgspec.structs import replace

from plumbline_models.contract import SometimesClause
from plumbline_spec.coverage import ClauseCount, Coverage, PairCount
from plumbline_spec.explore import explore
from plumbline_spec.toy import (
    CLAUSES,
    PAIRS,
    Clear,
    Deposit,
    Event,
    Machine,
    Outcome,
    Scope,
    State,
    Withdraw,
    machine,
)
from tests.judge.hosts import FULL_DAY, SCOPE


def covering(*events: Event, of: Machine | None = None) -> Coverage[State, Event, Outcome, Scope]:
    judged = machine() if of is None else of
    coverage = Coverage(judged)
    state = judged.initial
    for event in events:
        before, (state, outcome) = state, judged.step(state, event)
        coverage.step(before, event, outcome, state)
    return coverage


def test_pairs_are_counted_by_event_and_outcome() -> None:
    covered = covering(*FULL_DAY).result()
    assert covered.pairs == (
        PairCount(event="Clear", outcome="Cleared", steps=1),
        PairCount(event="Clear", outcome="Refused(empty)", steps=1),
        PairCount(event="Deposit", outcome="Deposited", steps=3),
    )
    assert covered.missing_pairs == (
        ("Deposit", "Refused(full)"),
        ("Withdraw", "Withdrawn"),
        ("Withdraw", "Refused(short)"),
    )
    assert covered.unlisted_pairs == ()


def test_clauses_are_counted_by_the_steps_that_they_apply_to() -> None:
    """TOY-1, TOY-2, TOY-3, TOY-4."""
    assert covering(*FULL_DAY).result().clauses == (
        ClauseCount(clause="TOY-1", steps=5, effective=5),
        ClauseCount(clause="TOY-2", steps=1, effective=0),
        ClauseCount(clause="TOY-3", steps=4, effective=4),
        ClauseCount(clause="TOY-4", steps=1, effective=1),
    )


@pytest.mark.parametrize(
    ("events", "idle"),
    [
        ((), ("TOY-1", "TOY-2", "TOY-3", "TOY-4")),
        ((Clear(),), ("TOY-3", "TOY-4")),
        ((Deposit(coins=1),), ("TOY-2", "TOY-4")),
        ((Deposit(coins=3),), ("TOY-2",)),
        ((Deposit(coins=3), Clear(), Clear()), ()),
    ],
    ids=["nothing", "a refusal", "a deposit", "a full one", "all"],
)
def test_a_clause_that_was_not_exercised_is_idle(
    events: tuple[Event, ...], idle: tuple[str, ...]
) -> None:
    """A clause about refusals needs a step that changes nothing; the others need one that does."""
    assert covering(*events).result().idle_clauses == idle


def test_a_pair_outside_the_table_is_named() -> None:
    narrow = replace(machine(), pairs=PAIRS[:1])
    covered = covering(Deposit(coins=1), Clear(), Withdraw(coins=1), of=narrow).result()
    assert covered.unlisted_pairs == (("Clear", "Cleared"), ("Withdraw", "Refused(short)"))
    assert covered.missing_pairs == ()


def test_coverages_of_one_machine_add_up() -> None:
    first, second = covering(*FULL_DAY[:2]), covering(*FULL_DAY)
    first.add(second)
    counted = {pair.event + pair.outcome: pair.steps for pair in first.result().pairs}
    assert counted == {"ClearCleared": 1, "ClearRefused(empty)": 1, "DepositDeposited": 5}
    assert first.states == 7
    assert first.result().clauses[3].steps == 2


def test_a_walk_counts_each_transition_once() -> None:
    found = explore(machine(), SCOPE)
    covered = found.coverage.result()
    assert sum(pair.steps for pair in covered.pairs) == found.transitions
    assert (covered.missing_pairs, covered.unlisted_pairs, covered.idle_clauses) == ((), (), ())
    assert covered.clauses[0].steps == found.states


def test_a_clause_that_nothing_reaches_is_idle() -> None:
    def never(*_: object) -> bool:
        return False

    beyond = SometimesClause[State, Event, Outcome](
        id="TOY-5", title="", sentence="", reached=never
    )
    found = explore(replace(machine(), clauses=(*CLAUSES, beyond)), SCOPE)
    assert found.coverage.result().idle_clauses == found.never_reached == ("TOY-5",)
