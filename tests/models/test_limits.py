"""Limits: where the thresholds lie, and the regime at both edges of each."""

from fractions import Fraction
from math import floor

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plumbline_models.decisions.limits import Limits, Regime, Thresholds, regime, thresholds

sizes = st.integers(0, 2_000) | st.integers(0, 2**53 - 1)
limits = st.builds(
    Limits,
    window=sizes,
    overhead=sizes,
    reserve=sizes,
    soft_percent=st.integers(0, 100),
)


# Thresholds


@pytest.mark.parametrize(
    ("window", "overhead", "reserve", "percent", "soft", "hard"),
    [
        (1_000, 0, 0, 75, 750, 1_000),
        (1_000, 100, 0, 75, 650, 900),
        (1_000, 100, 200, 75, 650, 700),
        (1_000, 0, 300, 75, 700, 700),
        (1_000, 0, 250, 75, 750, 750),
        (1_000, 0, 249, 75, 750, 751),
        (1_000, 750, 0, 75, 0, 250),
        (1_000, 751, 0, 75, 0, 249),
        (1_000, 600, 399, 75, 1, 1),
        (1_000, 600, 400, 75, 0, 0),
        (1_000, 600, 401, 75, 0, 0),
        (1_000, 5_000, 0, 75, 0, 0),
        (0, 0, 0, 75, 0, 0),
        (1, 0, 0, 75, 0, 1),
        (1, 0, 0, 100, 1, 1),
        (1_000, 0, 0, 0, 0, 1_000),
        (1_000, 0, 0, 100, 1_000, 1_000),
        (7, 0, 0, 50, 3, 7),
        (2**53 - 1, 0, 0, 75, (2**53 - 1) * 3 // 4, 2**53 - 1),
    ],
)
def test_thresholds_leave_room_for_what_is_not_the_context(
    window: int, overhead: int, reserve: int, percent: int, soft: int, hard: int
) -> None:
    """TOK-16."""
    given_limits = Limits(window=window, overhead=overhead, reserve=reserve, soft_percent=percent)
    assert thresholds(given_limits) == Thresholds(soft=soft, hard=hard)


def test_three_quarters_of_the_window_are_the_usual_share() -> None:
    assert thresholds(Limits(window=400)) == Thresholds(soft=300, hard=400)


@given(limits)
def test_no_threshold_is_negative_and_soft_is_at_most_hard(given_limits: Limits) -> None:
    """TOK-16."""
    found = thresholds(given_limits)
    assert 0 <= found.soft <= found.hard <= given_limits.window


@given(limits)
def test_a_context_at_the_hard_threshold_fits_with_everything_beside_it(
    given_limits: Limits,
) -> None:
    """TOK-16: unless nothing at all would fit."""
    beside = given_limits.overhead + given_limits.reserve
    hard = thresholds(given_limits).hard
    assert hard == 0 or hard + beside == given_limits.window
    assert hard > 0 or beside >= given_limits.window


@given(limits)
def test_the_soft_threshold_is_a_share_of_the_window_less_the_overhead(
    given_limits: Limits,
) -> None:
    share = floor(Fraction(given_limits.window * given_limits.soft_percent, 100))
    found = thresholds(given_limits)
    assert found.soft == min(found.hard, max(0, share - given_limits.overhead))


@given(limits, st.integers(0, 1_000))
def test_a_greater_overhead_never_raises_a_threshold(given_limits: Limits, more: int) -> None:
    before = thresholds(given_limits)
    after = thresholds(msgspec.structs.replace(given_limits, overhead=given_limits.overhead + more))
    assert after.soft <= before.soft
    assert after.hard <= before.hard


# Regimes


@pytest.mark.parametrize(
    ("soft", "hard", "size", "expected"),
    [
        (750, 1_000, 0, Regime.WITHIN),
        (750, 1_000, 749, Regime.WITHIN),
        (750, 1_000, 750, Regime.WITHIN),
        (750, 1_000, 751, Regime.SOFT),
        (750, 1_000, 999, Regime.SOFT),
        (750, 1_000, 1_000, Regime.SOFT),
        (750, 1_000, 1_001, Regime.HARD),
        (700, 700, 700, Regime.WITHIN),
        (700, 700, 701, Regime.HARD),
        (0, 0, 0, Regime.WITHIN),
        (0, 0, 1, Regime.HARD),
        (0, 10, 1, Regime.SOFT),
        (0, 0, -1, Regime.WITHIN),
    ],
)
def test_a_size_at_a_threshold_is_below_it(
    soft: int, hard: int, size: int, expected: Regime
) -> None:
    """TOK-17."""
    assert regime(size, Thresholds(soft=soft, hard=hard)) is expected


def test_a_window_of_512000_takes_a_context_that_leaves_room_for_the_answer() -> None:
    """TOK-16: the case of gents' pull request 999, rejected at 512,001 of 512,000."""
    at = thresholds(Limits(window=512_000, reserve=8_000))
    assert regime(504_000, at) is not Regime.HARD
    assert regime(504_001, at) is Regime.HARD


@given(limits, sizes)
def test_regimes_follow_each_other_as_a_context_grows(given_limits: Limits, size: int) -> None:
    order = list(Regime)
    at = thresholds(given_limits)
    assert order.index(regime(size, at)) <= order.index(regime(size + 1, at))


@given(limits)
def test_an_empty_context_is_within_its_limits(given_limits: Limits) -> None:
    assert regime(0, thresholds(given_limits)) is Regime.WITHIN


# Fields


@pytest.mark.parametrize(
    "written",
    [
        b'{"window": -1}',
        b'{"window": 9007199254740992}',
        b'{"window": 1, "overhead": -1}',
        b'{"window": 1, "reserve": -1}',
        b'{"window": 1, "soft_percent": -1}',
        b'{"window": 1, "soft_percent": 101}',
        b'{"overhead": 1}',
        b'{"window": 1, "unknown": 1}',
    ],
)
def test_limits_out_of_range_are_not_read(written: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(written, type=Limits)


def test_limits_at_the_ends_of_their_ranges_are_read() -> None:
    written = b'{"window": 9007199254740991, "overhead": 0, "reserve": 0, "soft_percent": 100}'
    assert msgspec.json.decode(written, type=Limits) == Limits(window=2**53 - 1, soft_percent=100)
