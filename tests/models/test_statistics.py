"""Statistics of outcomes: exact, mergeable in any way, and within the numbers that JSON keeps."""

import random
import statistics
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plumbline_models.contract import MAX_INTEGER
from plumbline_models.decisions.statistics import (
    LIMB,
    MOST,
    MOST_OUTCOMES,
    NOTHING,
    Ratio,
    Statistics,
    difference,
    fold,
    is_reward,
    mean,
    merge,
    of_one,
    variance,
)
from tests.benchmarks.figures import show

REWARDS = st.lists(st.integers(-MOST, MOST), max_size=30)


def as_fraction(ratio: Ratio | None) -> Fraction | None:
    return None if ratio is None else Fraction(ratio.numerator, ratio.denominator)


@given(REWARDS, REWARDS)
def test_a_snapshot_with_a_delta_is_a_recount(before: list[int], after: list[int]) -> None:
    assert merge(fold(before), fold(after)) == fold(before + after)


@given(REWARDS, REWARDS, REWARDS)
def test_merging_has_no_order_and_nothing_changes_nothing(
    one: list[int], other: list[int], third: list[int]
) -> None:
    a, b, c = fold(one), fold(other), fold(third)
    assert merge(a, b) == merge(b, a)
    assert merge(merge(a, b), c) == merge(a, merge(b, c))
    assert merge(a, NOTHING) == merge(NOTHING, a) == a


@given(REWARDS)
def test_every_number_is_what_its_name_says(rewards: list[int]) -> None:
    found = fold(rewards)
    assert (found.count, found.total) == (len(rewards), sum(rewards))
    assert (found.least, found.greatest) == (
        min(rewards, default=None),
        max(rewards, default=None),
    )
    assert found.squares == sum(one * one for one in rewards)
    assert 0 <= found.squares_low < LIMB


@given(REWARDS.filter(bool))
def test_mean_and_variance_are_not_rounded(rewards: list[int]) -> None:
    exact = [Fraction(one) for one in rewards]
    assert as_fraction(mean(fold(rewards))) == statistics.mean(exact)
    assert as_fraction(variance(fold(rewards))) == statistics.pvariance(exact)


def test_a_difference_is_the_first_number_in_which_two_differ() -> None:
    one, other = fold([1, 2]), fold([1, 3])
    assert difference(one, other) == "total 3, logged is 4"
    assert difference(fold([0, 3]), fold([1, 2])) == "least 0, logged is 1"
    assert difference(None, one) == "nothing, logged is 2 outcomes"
    assert difference(one, None) == "2 outcomes, logged is nothing"
    assert (difference(one, one), difference(None, None)) == ("", "")


def test_nothing_has_neither_mean_nor_variance() -> None:
    assert (mean(NOTHING), variance(NOTHING)) == (None, None)


def test_as_many_of_the_greatest_as_are_allowed_fit_into_every_number() -> None:
    """2**31 outcomes of a key: doubling what one is, thirty-one times."""
    found = of_one(-MOST)
    for _ in range(31):
        found = merge(found, found)
    assert found.count == MOST_OUTCOMES
    assert found == Statistics(
        count=MOST_OUTCOMES,
        total=-MOST * MOST_OUTCOMES,
        least=-MOST,
        greatest=-MOST,
        squares_high=MOST * MOST // LIMB * MOST_OUTCOMES,
        squares_low=0,
    )
    assert max(abs(found.total), found.squares_high) <= MAX_INTEGER
    assert found.squares > 2**63


@pytest.mark.parametrize("value", [0, MOST, -MOST, 7])
def test_what_is_a_reward(value: object) -> None:
    assert is_reward(value)


@pytest.mark.parametrize("value", [MOST + 1, -MOST - 1, 0.5, 1.0, "1", None, True])
def test_what_is_none(value: object) -> None:
    assert not is_reward(value)


def test_sums_of_floating_point_are_not_merged_to_what_a_recount_makes() -> None:
    """Why rewards are whole numbers; ``pytest -s`` prints in how many of 1,000 logs it shows."""
    draw, logs = random.Random(12), 1_000
    apart = 0
    for _ in range(logs):
        log = [draw.uniform(-1, 1) for _ in range(20)]
        published, delta = left_to_right(log[:13]), left_to_right(log[13:])
        apart += published + delta != left_to_right(log)
    show("sums of floating-point rewards", ("logs", "snapshot and delta differ"), [(logs, apart)])
    assert apart > logs / 10


def left_to_right(rewards: list[float]) -> float:
    """Return a sum as a running total makes it."""
    total = 0.0
    for one in rewards:
        total += one
    return total
