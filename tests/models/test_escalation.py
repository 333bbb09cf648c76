"""What a pass asks of a summariser, what it makes of the answers, and the texts of both."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plumbline_models.decisions.escalation import (
    ELLIPSIS,
    Abandoned,
    Answer,
    Call,
    Failed,
    Failure,
    Level,
    Summarised,
    Text,
    Unauthenticated,
    budget,
    conducted,
    cut,
    escalate,
    fallback,
    measured,
)
from plumbline_models.decisions.sources import Block, files_in, source_of

SOURCE = "a source that says one thing and another, at some length " * 5
TOKENS = measured(SOURCE)
LENGTHS = budget(20, 300, 12)
SHORT, LONG = Text(text=" in short \n", took=3), Text(text="words " * 400, took=4)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=60)


def made(*answers: Answer, replaced: int = TOKENS) -> Summarised | Abandoned:
    return conducted(SOURCE, replaced, LENGTHS, iter(answers))[0]


def test_the_first_answer_that_is_shorter_is_taken() -> None:
    """CMP-14."""
    assert made(SHORT) == Summarised(
        text="in short", tokens=2, level=Level.NORMAL, capped=False, calls=1
    )
    second = made(LONG, SHORT)
    assert isinstance(second, Summarised)
    assert (second.level, second.calls, second.text) == (Level.AGGRESSIVE, 2, "in short")


def test_the_second_call_asks_for_half() -> None:
    """CMP-10."""
    talk = escalate(SOURCE, TOKENS, LENGTHS)
    assert next(talk) == Call(level=Level.NORMAL, target=20)
    assert talk.send(LONG) == Call(level=Level.AGGRESSIVE, target=10)
    least = escalate(SOURCE, TOKENS, budget(1, 100, 1))
    next(least)
    assert least.send(LONG).target == 1


def test_a_fallback_is_made_of_the_source_alone() -> None:
    """CMP-11."""
    expected = fallback(SOURCE, TOKENS, LENGTHS)
    assert measured(expected) <= 12
    assert expected.endswith(ELLIPSIS)
    assert SOURCE.startswith(expected.removesuffix(ELLIPSIS))
    for answers, calls in (((LONG, LONG), 2), ((Text(text=" "),), 1), ((LONG, Text(text="")), 2)):
        found = made(*answers)
        assert isinstance(found, Summarised)
        assert (found.text, found.level, found.calls) == (expected, Level.FALLBACK, calls)


@pytest.mark.parametrize(
    ("answers", "failure", "calls"),
    [
        ((Unauthenticated(),), Failure.AUTHENTICATION, 1),
        ((LONG, Unauthenticated()), Failure.AUTHENTICATION, 2),
        ((Failed(),), Failure.SUMMARISER_ERROR, 1),
        ((), Failure.SUMMARISER_ERROR, 1),
        ((LONG,), Failure.SUMMARISER_ERROR, 2),
    ],
)
def test_a_failure_ends_the_pass(answers: tuple[Answer, ...], failure: Failure, calls: int) -> None:
    assert made(*answers) == Abandoned(failure=failure, calls=calls)


def test_an_answer_beyond_its_limit_is_cut() -> None:
    """CMP-12."""
    answer = Text(text="some words " * 26)
    found = conducted(SOURCE * 9, 9 * TOKENS, LENGTHS, iter([answer]))[0]
    assert isinstance(found, Summarised)
    assert found.capped
    assert measured(found.text) == found.tokens <= LENGTHS.limit == 60


def test_the_time_of_all_calls_is_added_up() -> None:
    assert conducted(SOURCE, TOKENS, LENGTHS, iter([LONG, SHORT]))[1] == 7


@given(TEXTS, st.integers(2, 60), st.lists(TEXTS, max_size=2), st.integers(1, 20))
def test_what_is_made_is_shorter_than_what_it_stands_for(
    source: str, replaced: int, answers: list[str], target: int
) -> None:
    """CMP-5: whatever is answered."""
    lengths = budget(target, 150, target)
    texts = [Text(text=answer) for answer in answers]
    found, _ = conducted(source, replaced, lengths, iter(texts))
    if isinstance(found, Summarised):
        assert measured(found.text) == found.tokens < replaced
        assert found.calls <= 2
    else:
        assert len(answers) < 2


@given(TEXTS, st.integers(0, 40))
def test_a_cut_is_the_longest_beginning_that_fits(text: str, tokens: int) -> None:
    found = cut(text, tokens)
    assert measured(found) <= tokens
    if measured(text) <= tokens:
        assert found == text
    elif tokens:
        length = len(found) - len(ELLIPSIS)
        assert found == text[:length] + ELLIPSIS
        assert measured(text[: length + 1] + ELLIPSIS) > tokens


def test_where_nothing_fits_nothing_is_left() -> None:
    assert cut("words", 0) == ""
    assert cut("漢字とかな", 1) == ELLIPSIS


# Sources


def test_a_source_has_a_line_about_each_text() -> None:
    blocks = (
        Block(text="asked", role="user", since="t1", until="t1"),
        Block(text="", role="tool"),
        Block(text="answered"),
        Block(text="a summary", since="t1", until="t9"),
        Block(text="said", role="assistant"),
    )
    assert source_of(blocks) == (
        "[t1 | user]\nasked\n\nanswered\n\n[t1 - t9]\na summary\n\n[assistant]\nsaid"
    )
    assert source_of(blocks[1:2]) == ""


def test_files_are_found_in_order_and_once() -> None:
    one, other = "file_0123456789abcdef", "file_fedcba9876543210"
    assert files_in(f"{other}, {one.upper()} and {other}") == (other, one)
    assert files_in("file_0123 and no more") == ()
