"""Strategies made from types: what can be decoded as an event can be drawn as one.

Bounds come from the types' ``Meta``, so a strategy never draws what the codec would refuse. ``blended`` draws mostly
values that occur in a state, which makes events that are accepted, and now and then lets one field slip.
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
Candidates = Mapping[str, tuple[object, ...]]


def from_type(described: inspect.Type) -> st.SearchStrategy[object]:
    """Return a strategy for plain values of a type that ``msgspec.inspect`` described.

    Raises ``NotImplementedError`` for a kind of type that no state or event uses.
    """
    match described:
        case inspect.Metadata(type=inner):
            return from_type(inner)
        case inspect.NoneType():
            return st.none()
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType(ge=least, le=greatest):
            return st.integers(
                -MAX_DRAWN_INTEGER if least is None else least,
                MAX_DRAWN_INTEGER if greatest is None else greatest,
            )
        case inspect.StrType(min_length=shortest, max_length=longest):
            return st.text(
                min_size=shortest or 0, max_size=min(longest or MAX_DRAWN_LENGTH, MAX_DRAWN_LENGTH)
            )
        case inspect.EnumType(cls=members):
            return st.sampled_from([member.value for member in members])
        case inspect.LiteralType(values=values):
            return st.sampled_from(values)
        case inspect.VarTupleType(item_type=inner):
            return st.lists(from_type(inner), max_size=MAX_DRAWN_LENGTH)
        case inspect.UnionType(types=members):
            return st.one_of([from_type(member) for member in members])
        case inspect.StructType():
            return _struct(described)
        case _:
            raise NotImplementedError(f"no strategy for {described!r}")


def _struct(described: inspect.StructType) -> st.SearchStrategy[object]:
    fields = {field.encode_name: from_type(field.type) for field in described.fields}
    if described.tag_field is not None:
        fields[described.tag_field] = st.just(described.tag)
    return st.fixed_dictionaries(fields)


def fields_of(kind: type[E]) -> dict[str, st.SearchStrategy[object]]:
    """Return a strategy for each field of an event type."""
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType), f"{kind} is not a struct"
    return {field.name: from_type(field.type) for field in described.fields}


class Blend(Generic[E]):
    """Draws events: fields that go together, and now and then one that does not."""

    def __init__(self, kinds: tuple[type[E], ...]) -> None:
        self._fields = {kind.__name__: fields_of(kind) for kind in kinds}

    def event(self, kind: type[E], choices: Choices) -> st.SearchStrategy[E]:
        """Return a strategy whose fields come from one group; one event in ``SLIPS`` has a field that slips."""

        @st.composite
        def events(draw: Draw) -> E:
            return msgspec.convert(self._near(draw, kind.__name__, choices), kind)

        return events()

    def any_event(self, kinds: tuple[type[E], ...], choices: Choices) -> st.SearchStrategy[E]:
        """Return a strategy whose every field comes from its type or from any group."""

        @st.composite
        def events(draw: Draw) -> E:
            kind = kinds[_index(draw, len(kinds))]
            return msgspec.convert(self._far(draw, kind.__name__, choices), kind)

        return events()

    def _near(self, draw: Draw, kind: str, choices: Choices) -> dict[str, object]:
        fields, groups = self._fields[kind], choices.groups
        group, slip = groups[_index(draw, len(groups))], _index(draw, SLIPS)
        slipping = _index(draw, len(fields)) if slip >= SLIPS - 2 else None
        values: dict[str, object] = {}
        for number, (name, strategy) in enumerate(fields.items()):
            source = group
            if number == slipping:
                source = groups[_index(draw, len(groups))] if slip == SLIPS - 1 else {}
            values[name] = _value(draw, name, kind, source, strategy)
        return values

    def _far(self, draw: Draw, kind: str, choices: Choices) -> dict[str, object]:
        groups = choices.groups
        values: dict[str, object] = {}
        for name, strategy in self._fields[kind].items():
            source = groups[_index(draw, len(groups))] if _index(draw, 2) else {}
            values[name] = _value(draw, name, kind, source, strategy)
        return values


def _index(draw: Draw, length: int) -> int:
    drawn = draw(st.integers(0, length - 1))
    assert isinstance(drawn, int)
    return drawn


def _value(
    draw: Draw, name: str, kind: str, group: Candidates, strategy: st.SearchStrategy[object]
) -> object:
    candidates = group.get(f"{name}:{kind}", group.get(name, ()))
    if not candidates:
        return draw(strategy)
    return candidates[_index(draw, len(candidates))]
