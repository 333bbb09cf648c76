"""Brief: what people read of an event."""

import pytest
from msgspec import Struct

from plumbline_spec.brief import MAX_ITEMS, MAX_TEXT, brief
from plumbline_spec.strict import JsonValue
from plumbline_spec.toy import Clear, Deposit, State


class Part(Struct, frozen=True, kw_only=True, tag_field="kind", tag="part"):
    id: str
    at: int | None = None


class Shelve(Struct, frozen=True, kw_only=True, tag="shop.Shelve"):
    parts: tuple[Part, ...] = ()
    note: str | None = None


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Clear(), "Clear()"),
        (Deposit(coins=2), "Deposit(coins=2)"),
        (State(held=1), "(held=1)"),
        (Shelve(), "Shelve(parts=[])"),
        (Shelve(note="two words"), "Shelve(note='two words', parts=[])"),
        (Shelve(note=""), "Shelve(note='', parts=[])"),
        (Shelve(note="a\tb"), "Shelve(note='a\\tb', parts=[])"),
        (Shelve(parts=(Part(id="p1", at=3),)), "Shelve(parts=[part 3 p1])"),
        ("word", "word"),
        (7, "7"),
        (None, "None"),
    ],
    ids=str,
)
def test_an_event_is_one_line(value: object, said: str) -> None:
    assert brief(value) == said


def test_long_texts_and_long_lists_are_cut() -> None:
    parts = tuple(Part(id=f"p{number}", at=0) for number in range(MAX_ITEMS + 2))
    said = brief(Shelve(parts=parts, note="x" * 100))
    assert said.endswith("part 0 p5, and 2 more])")
    assert f"note={'x' * (MAX_TEXT - 1)}…," in said


@pytest.mark.parametrize("value", ["x" * MAX_TEXT, list(range(MAX_ITEMS))], ids=["text", "list"])
def test_what_just_fits_is_shown_whole(value: JsonValue) -> None:
    assert "…" not in brief(value)
    assert "more" not in brief(value)
