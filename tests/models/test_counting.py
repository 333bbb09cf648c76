"""Counting: what a text is estimated at, and which counts of a host are believed."""

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plumbline_models.decisions.counting import (
    ALLOWANCE,
    LONGEST_TOKEN,
    MOST_PER_CODE_POINT,
    QUARTERS,
    Counted,
    Door,
    Doubt,
    Measure,
    admitted,
    estimate,
    least,
    most,
)

CJK = (
    (0x3000, 0x303F),
    (0x3040, 0x30FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xAC00, 0xD7AF),
    (0xFF00, 0xFFEF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0x2CEB0, 0x2EBEF),
)
"""First and last code point of each range that is taken for CJK."""
LAST_OF_PLANE = 0xFFFF
LAST = 0x10FFFF

edges = st.sampled_from([edge for pair in CJK for edge in (*pair, pair[0] - 1, pair[1] + 1)])
code_points = (
    st.integers(0, LAST) | st.integers(0, 0x7F) | edges | st.sampled_from((0xD800, 0xDFFF, 0x10000))
)
texts = st.lists(code_points.map(chr), max_size=24).map("".join)
"""Texts of every range, lone surrogates included."""
measures = st.sampled_from(Measure)


def by_code_points(text: str) -> int:
    return estimate(Measure.CODE_POINTS, text)


def by_utf16(text: str) -> int:
    return estimate(Measure.UTF16, text)


def weight(code_point: int) -> Fraction:
    """Return what a code point weighs, in tokens: the rule as it is written down."""
    if any(first <= code_point <= last for first, last in CJK):
        return Fraction(3, 2)
    return Fraction(2) if code_point > LAST_OF_PLANE else Fraction(1, 4)


def quarters(character: str) -> int:
    """Return what one code point weighs, in quarters of a token, from the estimate of four."""
    return by_code_points(character * QUARTERS)


# Estimates


@pytest.mark.parametrize(
    ("text", "tokens", "units"),
    [
        ("", 0, 0),
        ("a", 1, 1),
        ("four", 1, 1),
        ("fives", 2, 2),
        ("\0" * 8, 2, 2),
        ("é", 1, 1),
        ("ñandú " * 2, 3, 3),
        ("漢", 2, 1),
        ("漢字", 3, 1),
        ("漢字漢字", 6, 1),
        ("한국어", 5, 1),
        ("、。", 3, 1),
        ("\uff01", 2, 1),
        ("\U00020000", 2, 1),
        ("\U00020000\U0002ebef", 3, 1),
        ("😀", 2, 1),
        ("😀😀", 4, 1),
        ("a😀", 3, 1),
        ("漢a", 2, 1),
        ("\ud83d", 1, 1),
        ("\ud83d\ude00", 1, 1),
        ("\udfff" * 5, 2, 2),
        ("漢字とかな 😀", 10, 2),
    ],
)
def test_a_text_is_estimated_at(text: str, tokens: int, units: int) -> None:
    """By code points, and by the older rule of UTF-16 units. A pair of surrogates is two units."""
    assert (by_code_points(text), by_utf16(text)) == (tokens, units)


@pytest.mark.parametrize(("first", "last"), CJK, ids=lambda one: f"{one:X}")
def test_a_range_of_cjk_weighs_six_quarters_from_its_first_to_its_last(
    first: int, last: int
) -> None:
    for code_point in (first, (first + last) // 2, last):
        assert quarters(chr(code_point)) == 6
    for code_point in (first - 1, last + 1):
        assert quarters(chr(code_point)) == weight(code_point) * QUARTERS


@pytest.mark.parametrize(
    ("code_point", "expected"),
    [
        (0x0, 1),
        (0x7F, 1),
        (0x80, 1),
        (0x2FFF, 1),
        (0x3100, 1),
        (0x33FF, 1),
        (0x4DC0, 1),
        (0xA000, 1),
        (0xABFF, 1),
        (0xD7B0, 1),
        (0xD800, 1),
        (0xDFFF, 1),
        (0xFEFF, 1),
        (0xFFF0, 1),
        (0xFFFF, 1),
        (0x10000, 8),
        (0x1F600, 8),
        (0x1FFFF, 8),
        (0x2A6E0, 8),
        (0x2A6FF, 8),
        (0x2EBF0, 8),
        (0x10FFFF, 8),
    ],
)
def test_beside_the_ranges_a_code_point_weighs(code_point: int, expected: int) -> None:
    assert quarters(chr(code_point)) == expected


@given(texts)
def test_an_estimate_is_the_sum_of_its_code_points_rounded_up_once(text: str) -> None:
    """TOK-9: the rule of the chapter, with fractions and one code point after the other."""
    assert by_code_points(text) == ceil(sum((weight(ord(one)) for one in text), Fraction()))


@given(texts)
def test_the_older_rule_counts_four_utf16_units_to_a_token(text: str) -> None:
    units = sum(2 if ord(one) > LAST_OF_PLANE else 1 for one in text)
    assert by_utf16(text) == ceil(Fraction(units, 4))


@given(measures, texts, texts)
def test_a_whole_is_never_more_than_its_parts(measure: Measure, one: str, other: str) -> None:
    """TOK-6."""
    whole = estimate(measure, one + other)
    assert whole <= estimate(measure, one) + estimate(measure, other)


@given(measures, texts, texts)
def test_more_text_is_never_less(measure: Measure, text: str, more: str) -> None:
    assert estimate(measure, text) <= estimate(measure, text + more)


@given(measures, texts)
def test_the_empty_text_alone_is_estimated_at_nothing(measure: Measure, text: str) -> None:
    """TOK-4."""
    assert (estimate(measure, text) == 0) == (text == "")


@given(st.text(st.characters(max_codepoint=0x7F)))
def test_both_rules_agree_on_ascii(text: str) -> None:
    assert by_code_points(text) == by_utf16(text)


@given(st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF), min_size=1))
def test_the_older_rule_takes_cjk_for_a_sixth(text: str) -> None:
    """The defect of lossless-claw before its pull request 344; rounding up aside."""
    assert by_code_points(text) == ceil(Fraction(len(text) * 6, QUARTERS))
    assert by_utf16(text) == ceil(Fraction(len(text), QUARTERS))


# What is believed


@pytest.mark.parametrize(
    ("length", "fewest", "greatest"),
    [
        (0, 0, ALLOWANCE),
        (1, 1, MOST_PER_CODE_POINT + ALLOWANCE),
        (LONGEST_TOKEN, 1, 4 * LONGEST_TOKEN + ALLOWANCE),
        (LONGEST_TOKEN + 1, 2, 4 * (LONGEST_TOKEN + 1) + ALLOWANCE),
        (10 * LONGEST_TOKEN, 10, 40 * LONGEST_TOKEN + ALLOWANCE),
    ],
)
def test_the_bounds_of_belief_depend_on_the_length(length: int, fewest: int, greatest: int) -> None:
    assert (least("x" * length), most("x" * length)) == (fewest, greatest)


@given(measures, texts)
def test_an_estimate_is_believed(measure: Measure, text: str) -> None:
    """TOK-5: what the door makes itself it would let in."""
    assert least(text) <= estimate(measure, text) <= most(text)


LONG = "漢" * (LONGEST_TOKEN + 1)
"""Two tokens at the least, 580 at the most, and estimated at 194."""


@pytest.mark.parametrize(
    ("text", "given_count", "expected"),
    [
        # Content.
        (LONG, None, 194),
        (LONG, 0, 194),
        (LONG, -1, Doubt.NEGATIVE_COUNT),
        (LONG, -(2**53) + 1, Doubt.NEGATIVE_COUNT),
        (LONG, 1, Doubt.ABSURD_COUNT),
        (LONG, 2, 2),
        (LONG, 193, 193),
        (LONG, 580, 580),
        (LONG, 581, Doubt.ABSURD_COUNT),
        (LONG, 2**53 - 1, Doubt.ABSURD_COUNT),
        ("a", None, 1),
        ("a", 1, 1),
        ("a", 68, 68),
        ("a", 69, Doubt.ABSURD_COUNT),
        # No content: a message still has a role and separators.
        ("", None, 0),
        ("", 0, 0),
        ("", -1, Doubt.NEGATIVE_COUNT),
        ("", 1, 1),
        ("", 64, 64),
        ("", 65, Doubt.ABSURD_COUNT),
    ],
)
def test_the_door_stores_estimates_or_doubts(
    text: str, given_count: int | None, expected: int | Doubt
) -> None:
    """TOK-8, TOK-9, TOK-10."""
    found = admitted(Door.GUARDED, Measure.CODE_POINTS, text, given_count)
    assert (found.tokens if found.doubt is None else found.doubt) == expected


@pytest.mark.parametrize("given_count", [0, -1, 1, 581, 2**53 - 1])
def test_an_open_door_stores_whatever_is_given(given_count: int) -> None:
    found = admitted(Door.OPEN, Measure.CODE_POINTS, LONG, given_count)
    assert found == Counted(tokens=given_count)


@pytest.mark.parametrize("door", Door)
@pytest.mark.parametrize(("measure", "tokens"), [(Measure.CODE_POINTS, 194), (Measure.UTF16, 33)])
def test_every_door_estimates_a_missing_count_in_its_measure(
    door: Door, measure: Measure, tokens: int
) -> None:
    assert admitted(door, measure, LONG, None) == Counted(tokens=tokens)


@given(texts, st.none() | st.integers(-5, 200))
def test_what_the_guarded_door_lets_in_is_plausible(text: str, given_count: int | None) -> None:
    """TOK-3, TOK-4, TOK-5."""
    found = admitted(Door.GUARDED, Measure.CODE_POINTS, text, given_count)
    if found.doubt is None:
        assert least(text) <= found.tokens <= most(text)
        assert (found.tokens > 0) or not text
    else:
        assert given_count is not None
        assert given_count < 0 or not least(text) <= given_count <= most(text)
