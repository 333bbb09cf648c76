"""Vectors: few traces that reach every goal, and hold machine and host to the file."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from plumbline_models.contract import StepClause
from plumbline_spec.explore import explore
from plumbline_spec.model_host import model_host
from plumbline_spec.quality import afresh, to_store
from plumbline_spec.toy import (
    CLAUSES,
    NEVER_FULL,
    ONE_TOO_MANY,
    PAIRS,
    VARIANTS,
    Clear,
    Deposit,
    Scope,
    State,
    Withdraw,
    case,
    host,
    machine,
)
from plumbline_spec.traces import read
from plumbline_spec.vectors import (
    Goal,
    cover,
    fill,
    goals_of,
    reached_by,
    shortest,
    tellable,
    tells,
    verify,
)
from tests.judge.hosts import (
    FULL_DAY,
    SCOPE,
    HidesOne,
    MisAnswers,
    Raises,
    ToyFactory,
    ToyTrace,
    ToyVariant,
    trace_of,
    unseen,
    variant_of,
    without_clear,
)

WRONG = tellable(machine(), VARIANTS)
SEEDED: ToyVariant = replace(
    variant_of("TOY-1"),
    name="SEEDED",
    machine=lambda: replace(machine(), initial=State(held=9)),
)


@pytest.fixture(name="vectors", scope="module")
def filled() -> list[ToyTrace]:
    stored = to_store(machine(), VARIANTS, afresh(machine(), VARIANTS), {})
    return fill(machine(), (SCOPE,), VARIANTS, stored, {"toy": "1"})


def test_the_goals_are_every_pair_every_clause_and_every_variant() -> None:
    goals = goals_of(machine(), VARIANTS)
    assert {goal[1:] for goal in goals if goal[0] == "pair"} == set(PAIRS)
    assert {goal[1] for goal in goals if goal[0] == "clause"} == {
        "TOY-1",
        "TOY-2",
        "TOY-3",
        "TOY-4",
    }
    assert {goal[1] for goal in goals if goal[0] == "variant"} == {one.name for one in VARIANTS}


def test_a_variant_that_begins_elsewhere_has_no_portable_trace() -> None:
    assert ("variant", "SEEDED") not in goals_of(machine(), [SEEDED])
    assert ("variant", "SEEDED") not in reached_by(
        machine(), tellable(machine(), [SEEDED]), FULL_DAY
    )


def test_vectors_reach_every_goal_and_none_can_be_left_out(vectors: list[ToyTrace]) -> None:
    """TOY-1, TOY-2, TOY-3, TOY-4."""
    goals = goals_of(machine(), VARIANTS)
    reach = [reached_by(machine(), WRONG, trace.events) for trace in vectors]
    assert frozenset[tuple[str, ...]]().union(*reach) == goals
    for at in range(len(vectors)):
        rest = reach[:at] + reach[at + 1 :]
        assert not goals <= frozenset[tuple[str, ...]]().union(*rest)


def test_a_vector_says_what_it_reaches(vectors: list[ToyTrace]) -> None:
    assert [trace.header.name for trace in vectors] == [
        str(number) for number in range(1, len(vectors) + 1)
    ]
    for trace in vectors:
        reached = reached_by(machine(), WRONG, trace.events)
        header = trace.header
        assert {("clause", name) for name in header.clauses} <= reached
        assert {("pair", *pair) for pair in header.pairs} <= reached
        assert {("variant", name) for name in header.variants} <= reached
        assert (header.plumbline, header.versions) == ("vector", {"toy": "1"})
        assert all(step.state is not None for step in trace.steps)


def test_filling_again_gives_the_same_vectors(vectors: list[ToyTrace]) -> None:
    stored = to_store(machine(), VARIANTS, afresh(machine(), VARIANTS), {})
    assert fill(machine(), (SCOPE,), VARIANTS, stored[::-1], {"toy": "1"}) == vectors


def test_a_variant_that_no_stored_trace_tells_gets_one_of_its_own() -> None:
    alone = fill(machine(), (SCOPE,), VARIANTS, [], {})
    assert verify(machine(), host, VARIANTS, alone).unreached == ()


def test_a_shortest_trace_leads_to_each_goal() -> None:
    found = shortest(machine(), SCOPE)
    assert found["pair", "Clear", "Cleared"] == (Deposit(coins=1), Clear())
    assert found["clause", "TOY-2"] == (Withdraw(coins=1),)
    assert found["clause", "TOY-3"] == (Deposit(coins=1),)
    assert found["clause", "TOY-4"] == (Deposit(coins=1), Deposit(coins=2))
    assert set(found) >= {("pair", *pair) for pair in PAIRS}


def test_a_refusal_exercises_no_clause_about_what_changes() -> None:
    """TOY-2."""
    assert reached_by(machine(), {}, (Clear(),)) == {
        ("pair", "Clear", "Refused(empty)"),
        ("clause", "TOY-2"),
    }


def test_a_clause_about_change_is_not_exercised_by_a_step_that_changes_nothing() -> None:
    """TOY-2."""
    (refusal,) = [one for one in CLAUSES if isinstance(one, StepClause) and one.inert]
    strict = replace(machine(), clauses=(replace(refusal, inert=False),))
    assert reached_by(strict, {}, (Clear(),)) == {("pair", "Clear", "Refused(empty)")}


def test_a_trace_that_others_make_needless_is_dropped() -> None:
    """The first one reaches most, and is not needed once the other two are there."""
    first, second, third = (1, 1), (2,), (3,)
    reach: dict[tuple[int, ...], frozenset[Goal]] = {
        first: frozenset({("a",), ("b",), ("c",), ("d",)}),
        second: frozenset({("a",), ("b",), ("e",)}),
        third: frozenset({("c",), ("d",), ("f",)}),
    }
    goals = frozenset((letter,) for letter in "abcdefg")
    assert cover(reach, goals) == [second, third]


def test_a_trace_tells_a_variant_by_an_outcome_or_a_state() -> None:
    assert tells(machine(), variant_of("TOY-4").machine(), (Deposit(coins=3),))
    assert not tells(machine(), variant_of("TOY-4").machine(), (Deposit(coins=2), Clear()))
    assert not tells(machine(), variant_of("TOY-1").machine(), FULL_DAY)


def test_a_right_host_holds(vectors: list[ToyTrace]) -> None:
    found = verify(machine(), host, VARIANTS, vectors)
    assert found.holds
    assert (found.mismatches, found.unreached, found.events) == ((), (), ())
    assert found.vectors == len(vectors)
    assert found.steps == sum(len(trace.steps) for trace in vectors)


@pytest.mark.parametrize("make", [unseen, without_clear], ids=["unseen", "without an event"])
def test_a_right_host_that_can_less_holds(make: ToyFactory, vectors: list[ToyTrace]) -> None:
    assert verify(machine(), make, VARIANTS, vectors).holds


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: model_host(machine(ONE_TOO_MANY)), "host outcome"),
        (lambda: model_host(machine(NEVER_FULL)), "host outcome"),
        (MisAnswers.make, "host outcome"),
        (HidesOne.make, "host state"),
        (Raises.make, "host outcome"),
    ],
    ids=["one too many", "never full", "mis-answers", "hides", "raises"],
)
def test_a_wrong_host_is_caught(make: ToyFactory, what: str, vectors: list[ToyTrace]) -> None:
    whole = [*vectors, trace_of(*FULL_DAY, name="a full day")]
    found = verify(machine(), make, VARIANTS, whole)
    assert not found.holds
    name, first = found.mismatches[0]
    assert first.what == what
    assert found.events == next(one.events for one in whole if one.header.name == name)


def test_a_wrong_machine_is_caught_by_what_the_vectors_record(vectors: list[ToyTrace]) -> None:
    wrong = machine(ONE_TOO_MANY)
    found = verify(wrong, lambda: model_host(wrong), VARIANTS, vectors)
    assert {one.what for _, one in found.mismatches} >= {"outcome", "digest", "state", "TOY-1"}


def test_a_goal_that_no_vector_reaches_is_named(vectors: list[ToyTrace]) -> None:
    found = verify(machine(), host, VARIANTS, vectors[1:])
    assert not found.holds
    assert found.mismatches == ()
    assert found.unreached == tuple(
        sorted(reached_by(machine(), WRONG, vectors[0].events) - reached_by_all(vectors[1:]))
    )


def reached_by_all(traces: list[ToyTrace]) -> frozenset[tuple[str, ...]]:
    reach = (reached_by(machine(), WRONG, trace.events) for trace in traces)
    return frozenset[tuple[str, ...]]().union(*reach)


def test_a_scope_that_reaches_less_leaves_goals_open() -> None:
    few = fill(machine(), (Scope(coins=0),), [], [], {})
    assert [trace.events for trace in few] == [(Clear(),)]
    unreached = verify(machine(), host, [], few).unreached
    assert ("clause", "TOY-1") in unreached
    assert ("pair", "Deposit", "Deposited") in unreached


def test_the_stored_vectors_of_the_toy_are_read_back(toy_spec: Path) -> None:
    stored = read(toy_spec / "vectors" / "toy.jsonl", lambda header: case().rules(header.rules))
    assert verify(machine(), host, VARIANTS, stored).holds
    wide = explore(machine(), SCOPE)
    assert sum(len(trace.steps) for trace in stored) < 2 * wide.transitions
