"""Strategies made from types: every type that events use, within its bounds."""

from enum import Enum
from functools import partial
from operator import eq
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st
from msgspec import Meta, Struct, inspect

from plumbline_models.contract import MAX_INTEGER, Choices
from plumbline_spec.codec import canonical
from plumbline_spec.strategies import MAX_DRAWN_LENGTH, SLIPS, Blend, fields_of, from_type
from plumbline_spec.toy import Clear, Deposit, Event, State, Withdraw, choices, machine

KINDS: tuple[type[Event], ...] = (Deposit, Withdraw, Clear)


class Colour(Enum):
    RED = "red"
    GREEN = "green"


class Inner(Struct, frozen=True, kw_only=True, tag_field="kind", tag="inner"):
    number: Annotated[int, Meta(gt=0, lt=4)]


class Other(Struct, frozen=True, kw_only=True, tag_field="kind", tag="other"):
    flag: bool


class Everything(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A field for each type that a strategy is made of."""

    nothing: None
    flag: bool
    any_integer: int
    bounded: Annotated[int, Meta(ge=-2, le=2)]
    open_bounds: Annotated[int, Meta(gt=5, lt=8)]
    text: str
    short: Annotated[str, Meta(max_length=0)]
    long: Annotated[str, Meta(min_length=9, max_length=12)]
    named: Annotated[str, Meta(pattern=r"^[A-Z]{3}$")]
    named_short: Annotated[str, Meta(pattern="x", min_length=2, max_length=3)]
    colour: Colour
    word: Literal["yes", "no"]
    items: tuple[Inner | Other, ...]
    several: Annotated[tuple[int, ...], Meta(min_length=8, max_length=9)]
    few: Annotated[tuple[int, ...], Meta(max_length=1)]
    maybe: int | None


@settings(max_examples=40, suppress_health_check=[HealthCheck.filter_too_much])
@given(from_type(inspect.type_info(Everything)))
def test_what_is_drawn_of_a_type_is_what_the_codec_reads(value: object) -> None:
    made = msgspec.convert(value, Everything)
    assert msgspec.json.decode(canonical(made), type=Everything) == made
    assert abs(made.any_integer) <= MAX_INTEGER
    assert len(made.text) <= MAX_DRAWN_LENGTH


@pytest.mark.parametrize(
    ("kind", "extremes"),
    [
        (int, (-MAX_INTEGER, MAX_INTEGER)),
        (Annotated[int, Meta(ge=3, le=4)], (3, 4)),
        (Annotated[int, Meta(gt=3, lt=6)], (4, 5)),
    ],
    ids=["open", "closed", "exclusive"],
)
def test_the_bounds_of_an_integer_are_reached(kind: object, extremes: tuple[int, int]) -> None:
    drawn = from_type(inspect.type_info(kind))
    for extreme in extremes:
        assert find(drawn, partial(eq, extreme)) == extreme


@pytest.mark.parametrize(
    "kind",
    [
        float,
        bytes,
        list[int],
        dict[str, int],
        frozenset[int],
        tuple[int, str],
        Annotated[int, Meta(multiple_of=2)],
    ],
    ids=["float", "bytes", "list", "dict", "frozenset", "tuple", "multiple"],
)
def test_a_type_that_no_event_uses_has_no_strategy(kind: object) -> None:
    with pytest.raises(NotImplementedError, match="no strategy"):
        from_type(inspect.type_info(kind))


class Row(Struct, frozen=True, array_like=True):
    number: int


def test_a_struct_that_is_an_array_in_json_has_no_strategy() -> None:
    with pytest.raises(NotImplementedError):
        from_type(inspect.type_info(Row))


def test_the_fields_of_an_event_are_those_of_its_type() -> None:
    assert fields_of(Deposit).keys() == {"coins"}
    assert fields_of(Clear) == {}


BLEND = Blend(KINDS)
CHOICES = choices(State(held=1))


@given(st.data())
def test_every_event_that_is_drawn_can_be_taken(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(KINDS))
    near = data.draw(BLEND.event(kind, CHOICES))
    far = data.draw(BLEND.any_event(KINDS, CHOICES))
    assert type(near) is kind
    for event in (near, far):
        assert machine().decode(canonical(event)) == event


def test_an_event_without_fields_is_drawn() -> None:
    """A slip has no field to take there."""

    @settings(max_examples=10 * SLIPS, database=None)
    @given(BLEND.event(Clear, CHOICES))
    def drawn(event: Event) -> None:
        assert event == Clear()

    drawn()


def test_an_event_mostly_takes_what_occurs_in_the_state() -> None:
    met: list[Event] = []

    @settings(max_examples=20, database=None, derandomize=True)
    @given(st.lists(BLEND.event(Deposit, CHOICES), min_size=20, max_size=20))
    def drawn(events: list[Event]) -> None:
        met.extend(events)

    drawn()
    fitting = sum(event in [Deposit(coins=coins) for coins in (1, 2, 3)] for event in met)
    assert len(met) / 2 < fitting < len(met)


def test_a_choice_for_one_event_goes_before_a_choice_for_all() -> None:
    several = Choices(groups=({"coins": (5,), "coins:Deposit": (6,)},))
    find(BLEND.event(Deposit, several), lambda event: event == Deposit(coins=6))
    find(BLEND.event(Withdraw, several), lambda event: event == Withdraw(coins=5))


def test_a_field_slips_to_another_group_now_and_then() -> None:
    groups = Choices(groups=({"coins": (5,)}, {"coins": (6,)}))
    for wanted in (Deposit(coins=5), Deposit(coins=6)):
        assert find(BLEND.any_event(KINDS, groups), partial(eq, wanted)) == wanted


def test_a_state_without_choices_gives_events_of_the_type() -> None:
    nothing = Choices(groups=())
    assert find(BLEND.event(Deposit, nothing), lambda _: True) == Deposit(coins=1)
    assert find(BLEND.any_event((Deposit,), nothing), lambda _: True) == Deposit(coins=1)
