"""Strategies made from types: what can be decoded as an event can be drawn as one.

Bounds come from the types' ``Meta``, so a strategy never draws what the codec would refuse.
``Blend`` draws mostly values that occur in a state, which makes events that are accepted, and now
and then lets one field slip.
"""

from collections.abc import Mapping
from typing import Generic, TypeVar

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from plumbline_models.contract import Choices

E = TypeVar("E")

MAX_DRAWN_INTEGER = 2**53 - 1
MAX_DRAWN_LENGTH = 6
SLIPS = 12
"""One draw in this many takes one field from another group, and one in this many from its type."""

Draw = st.DrawFn
FieldsBy = Mapping[str, Mapping[str, st.SearchStrategy[object]]]
"""The strategies of every event's fields, by the event's name."""
Candidates = Mapping[str, tuple[object, ...]]
NOTHING: Candidates = {}
"""A group without candidates: every field is drawn from its type."""


def from_type(described: inspect.Type) -> st.SearchStrategy[object]:
    """Return a strategy for plain values of a type that ``msgspec.inspect`` described.

    Raises ``NotImplementedError`` for a kind of type that no state or event uses.
    """
    match described:
        case inspect.Metadata(type=inner):
            return from_type(inner)
        case inspect.VarTupleType(item_type=inner, min_length=shortest, max_length=longest):
            least, greatest = _lengths(shortest, longest)
            return st.lists(from_type(inner), min_size=least, max_size=greatest)
        case inspect.UnionType(types=members):
            return st.one_of([from_type(member) for member in members])
        case inspect.StructType(array_like=False):
            return _struct(described)
        case _:
            return _scalar(described)


def _scalar(described: inspect.Type) -> st.SearchStrategy[object]:
    match described:
        case inspect.NoneType():
            return st.none()
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType(multiple_of=None):
            return _integers(described)
        case inspect.StrType():
            return _texts(described)
        case inspect.EnumType(cls=members):
            return st.sampled_from([member.value for member in members])
        case inspect.LiteralType(values=values):
            return st.sampled_from(values)
        case _:
            raise NotImplementedError(f"no strategy for {described!r}")


def _integers(described: inspect.IntType) -> st.SearchStrategy[int]:
    least = described.ge if described.gt is None else described.gt + 1
    greatest = described.le if described.lt is None else described.lt - 1
    return st.integers(
        -MAX_DRAWN_INTEGER if least is None else least,
        MAX_DRAWN_INTEGER if greatest is None else greatest,
    )


def _texts(described: inspect.StrType) -> st.SearchStrategy[str]:
    least, greatest = _lengths(described.min_length, described.max_length)
    if described.pattern is None:
        return st.text(min_size=least, max_size=greatest)
    matching = st.from_regex(described.pattern)
    longest = described.max_length
    return matching.filter(
        lambda text: least <= len(text) and (longest is None or len(text) <= longest)
    )


def _lengths(shortest: int | None, longest: int | None) -> tuple[int, int]:
    """Return the bounds of a length that is drawn: the type's, and about ``MAX_DRAWN_LENGTH``."""
    least = 0 if shortest is None else shortest
    greatest = max(least, MAX_DRAWN_LENGTH)
    return least, greatest if longest is None else min(longest, greatest)


def _struct(described: inspect.StructType) -> st.SearchStrategy[object]:
    fields = {field.encode_name: from_type(field.type) for field in described.fields}
    if described.tag_field is not None:
        fields[described.tag_field] = st.just(described.tag)
    return st.fixed_dictionaries(fields)


def fields_of(kind: type[E]) -> dict[str, st.SearchStrategy[object]]:
    """Return a strategy for each field of an event type, by the name that it has in JSON."""
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType), f"{kind} is not a struct"
    return {field.encode_name: from_type(field.type) for field in described.fields}


class Blend(Generic[E]):
    """Draws events: fields that go together, and now and then one that does not."""

    def __init__(self, kinds: tuple[type[E], ...]) -> None:
        self._fields = {kind.__name__: fields_of(kind) for kind in kinds}

    def event(self, kind: type[E], choices: Choices) -> st.SearchStrategy[E]:
        """Return a strategy whose fields come from one group, but for a field that slips."""
        return _near(self._fields, kind, _groups(choices))

    def any_event(self, kinds: tuple[type[E], ...], choices: Choices) -> st.SearchStrategy[E]:
        """Return a strategy whose every field comes from its type or from any group."""
        return _far(self._fields, kinds, _groups(choices))


@st.composite
def _near(draw: Draw, fields_by: FieldsBy, kind: type[E], groups: tuple[Candidates, ...]) -> E:
    fields = fields_by[kind.__name__]
    group, slip = groups[_index(draw, len(groups))], _index(draw, SLIPS)
    slipping = _index(draw, len(fields)) if fields and slip >= SLIPS - 2 else None
    values: dict[str, object] = {}
    for number, (name, strategy) in enumerate(fields.items()):
        source = group
        if number == slipping:
            source = groups[_index(draw, len(groups))] if slip == SLIPS - 1 else NOTHING
        values[name] = _value(draw, name, kind, source, strategy)
    return msgspec.convert(values, kind)


@st.composite
def _far(
    draw: Draw, fields_by: FieldsBy, kinds: tuple[type[E], ...], groups: tuple[Candidates, ...]
) -> E:
    kind = kinds[_index(draw, len(kinds))]
    values: dict[str, object] = {}
    for name, strategy in fields_by[kind.__name__].items():
        source = groups[_index(draw, len(groups))] if _index(draw, 2) else NOTHING
        values[name] = _value(draw, name, kind, source, strategy)
    return msgspec.convert(values, kind)


def _groups(choices: Choices) -> tuple[Candidates, ...]:
    return choices.groups or (NOTHING,)


def _index(draw: Draw, length: int) -> int:
    drawn = draw(st.integers(0, length - 1))
    assert isinstance(drawn, int)
    return drawn


def _value(
    draw: Draw, name: str, kind: type[E], group: Candidates, strategy: st.SearchStrategy[object]
) -> object:
    candidates = group.get(f"{name}:{kind.__name__}", group.get(name, ()))
    if not candidates:
        return draw(strategy)
    return candidates[_index(draw, len(candidates))]
