"""Ways to close up, each on gaps, on negative ordinals, and where an assignment collides."""

from collections.abc import Sequence
from random import Random

import pytest

from plumbline_models.closing import CONSTRAINT, Closing, Failure, close_up

FAILED = Failure(constraint=CONSTRAINT)
ALL_BUT_TWO = [one for one in Closing if one not in (Closing.CORRELATED, Closing.SHIFTING)]


def after_replacing(
    closing: Closing, ordinals: Sequence[int], first: int, last: int, *, late: Sequence[int] = ()
) -> str | Failure:
    """Replace ``first..last`` by S among items named for their ordinals, and close up.

    ``late`` are ordinals of summaries that were inserted after the messages around them. Returns
    the names by ordinal; one that stands at a wrong ordinal has it before its name.
    """
    kept = [one for one in ordinals if not first <= one <= last]
    table = {**{one: str(one) for one in kept}, first: "S"}
    visit = [*(one for one in kept if one not in late), *late, first]
    closed = close_up(closing, table, visit, first, last)
    if isinstance(closed, Failure):
        return closed
    places = enumerate(sorted(closed))
    return " ".join(closed[at] if at == rank else f"{at}:{closed[at]}" for rank, at in places)


@pytest.mark.parametrize("closing", Closing)
@pytest.mark.parametrize(("first", "last"), [(0, 0), (0, 9), (7, 9), (9, 9)])
def test_every_way_is_right_where_nothing_must_move(
    closing: Closing, first: int, last: int
) -> None:
    kept = [str(one) for one in range(10)]
    expected = " ".join([*kept[:first], "S", *kept[last + 1 :]])
    found = after_replacing(closing, range(10), first, last)
    assert found == (FAILED if (closing, last) == (Closing.CORRELATED, 0) else expected)


@pytest.mark.parametrize("closing", [one for one in Closing if one is not Closing.CORRELATED])
def test_three_of_ten_are_replaced_in_the_middle(closing: Closing) -> None:
    assert after_replacing(closing, range(10), 2, 4) == "0 1 S 5 6 7 8 9"


def test_a_count_of_half_updated_rows_gives_two_rows_one_ordinal() -> None:
    """The tail has moved to negative ordinals before the summary in front of it is counted."""
    assert after_replacing(Closing.CORRELATED, range(10), 2, 4) == FAILED


def test_a_single_shift_is_right_as_long_as_rows_come_in_the_order_of_their_ordinals() -> None:
    assert after_replacing(Closing.SHIFTING, range(8), 0, 1, late=[4]) == FAILED
    assert after_replacing(Closing.SHIFTING, range(8), 0, 1) == "S 2 3 4 5 6 7"
    assert after_replacing(Closing.SHIFTING, range(8), 0, 1, late=[7]) == "S 2 3 4 5 6 7"


@pytest.mark.parametrize(
    ("closing", "found"),
    [
        (Closing.RANKS, "0 S 5 6 8"),
        (Closing.RESEQUENCE, "0 S 5 6 8"),
        (Closing.UNLESS_CONTIGUOUS, "0 S 5 6 8"),
        (Closing.MINUS_GAP, "0 2:S 4:5 5:6 7:8"),
        (Closing.CORRELATED, FAILED),
        (Closing.SHIFTING, "0 2:S 4:5 5:6 7:8"),
    ],
)
def test_older_gaps_are_healed_or_stay(closing: Closing, found: str | Failure) -> None:
    """Ordinals 1, 4 and 7 were pruned before the replacement of 2 and 3."""
    assert after_replacing(closing, [0, 2, 3, 5, 6, 8], 2, 3) == found


@pytest.mark.parametrize(
    ("ordinals", "closing", "found"),
    [
        ([-1, 0, 1], Closing.RESEQUENCE, "-1 S 1"),
        ([-1, 0, 1], Closing.UNLESS_CONTIGUOUS, "-1 S 1"),
        ([-5, 0], Closing.RESEQUENCE, "-5 S"),
        ([-3, -1, 0], Closing.RESEQUENCE, FAILED),
        ([-3, -1, 0], Closing.UNLESS_CONTIGUOUS, FAILED),
        ([-2, -1, 0], Closing.RESEQUENCE, FAILED),
        ([-3, -2, 0], Closing.RESEQUENCE, "-3 -2 S"),
        ([-9, -8, 0], Closing.RESEQUENCE, "-9 -8 S"),
        ([-3, -1, 0], Closing.RANKS, "-3 -1 S"),
    ],
)
def test_one_negative_ordinal_heals_and_two_near_zero_are_in_the_way(
    ordinals: list[int], closing: Closing, found: str | Failure
) -> None:
    assert after_replacing(closing, ordinals, 0, 0) == found


def test_a_shift_of_the_tail_runs_into_negative_ordinals() -> None:
    assert after_replacing(Closing.MINUS_GAP, [-3, 0, 1, 2, 3], 0, 1) == FAILED
    assert after_replacing(Closing.MINUS_GAP, [-1, 0, 1, 2, 3], 0, 1) == "-1:-1 0:S 1:2 2:3"


def histories(count: int) -> list[list[tuple[list[int], int, int, list[int]]]]:
    """Return histories of replacements: the list before each, its range, and where summaries stand.

    Each is a list that was replaced in up to four times; names do not matter, only which ordinals
    hold summaries, because a summary has a later row than every message.
    """
    found: list[list[tuple[list[int], int, int, list[int]]]] = []
    for seed in range(count):
        random = Random(seed)
        length, summaries, steps = random.randint(6, 30), list[int](), 4
        history: list[tuple[list[int], int, int, list[int]]] = []
        for _ in range(steps):
            first = random.randrange(length - 1)
            last = min(length - 1, first + random.randint(1, 4))
            late = [one for one in summaries if not first <= one <= last]
            history.append((list(range(length)), first, last, late))
            gap = last - first
            summaries = [*(one if one < first else one - gap for one in late), first]
            length -= gap
            if length < steps:
                break
        found.append(history)
    return found


def test_two_passes_never_fail_and_a_single_update_often_does() -> None:
    """Of 200 histories of up to four replacements, many have one at which the shift collides."""
    failed = dict.fromkeys(Closing, 0)
    for history in histories(200):
        for closing in Closing:
            failed[closing] += any(
                after_replacing(closing, ordinals, first, last, late=late) == FAILED
                for ordinals, first, last, late in history
            )
    assert [failed[one] for one in ALL_BUT_TWO] == [0] * len(ALL_BUT_TWO)
    assert failed[Closing.SHIFTING] > 50
    assert failed[Closing.CORRELATED] > 100


def test_all_ways_that_never_fail_agree_without_older_gaps() -> None:
    for history in histories(50):
        for ordinals, first, last, late in history:
            found = {after_replacing(one, ordinals, first, last, late=late) for one in ALL_BUT_TWO}
            assert len(found) == 1
