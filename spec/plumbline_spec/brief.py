"""Brief: an event or an outcome on one line, for people; programs read the canonical bytes."""

from collections.abc import Sequence
from enum import Enum
from typing import cast

from msgspec import NODEFAULT, Struct
from msgspec.structs import fields

MAX_TEXT = 24
MAX_ITEMS = 6
MAX_UNNAMED = 4
"""Fields of a struct inside that are understood without their names."""


def brief(value: object) -> str:
    """Return a struct as ``Name(field=value, ...)``: no null fields, long texts and lists cut.

    A struct inside is written as its values alone: ``message m1`` for an item. One of many fields
    is written with their names, without those that have their defaults: ``(passes=2, rounds=2)``.
    """
    if not isinstance(value, Struct):
        return _short(value)
    name = str(_tag(value, "type") or "").rpartition(".")[2]
    said = (f"{key}={_short(one)}" for key, one in _fields(value) if one is not None)
    return f"{name}({', '.join(said)})"


def _short(value: object) -> str:
    match value:
        case Struct():
            return _inside(value)
        case Enum():
            return _short(value.value)
        case str():
            text = value if len(value) <= MAX_TEXT else value[: MAX_TEXT - 1] + "…"
            return text if text.isprintable() and " " not in text and text else repr(text)
        case tuple() | list():
            return _several(cast("Sequence[object]", value))
        case _:
            return str(value)


def _several(values: Sequence[object]) -> str:
    shown = [_short(one) for one in values[:MAX_ITEMS]]
    more = [f"and {len(values) - MAX_ITEMS} more"] if len(values) > MAX_ITEMS else []
    return f"[{', '.join(shown + more)}]"


def _inside(value: Struct) -> str:
    kind = _tag(value, "kind")
    begins = [] if kind is None else [str(kind)]
    if len(value.__struct_fields__) <= MAX_UNNAMED:
        return " ".join(begins + [_short(one) for _, one in _fields(value)])
    defaults = {one.name: one.default for one in fields(value) if one.default is not NODEFAULT}
    said = [
        f"{key}={_short(one)}"
        for key, one in _fields(value)
        if key not in defaults or one != defaults[key]
    ]
    return f"({', '.join(begins + said)})"


def _fields(value: Struct) -> list[tuple[str, object]]:
    """Return the fields of a struct by name."""
    return [(key, getattr(value, key)) for key in sorted(value.__struct_fields__)]


def _tag(value: Struct, field: str) -> object:
    """Return what a struct is tagged with in a field of its JSON; None without it."""
    config = value.__struct_config__
    return config.tag if config.tag_field == field else None
