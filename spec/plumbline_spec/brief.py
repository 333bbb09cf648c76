"""Brief: an event or an outcome on one line, for people; programs read the canonical bytes."""

from plumbline_spec.codec import plain
from plumbline_spec.strict import JsonValue

MAX_TEXT = 24
MAX_ITEMS = 6


def brief(value: object) -> str:
    """Return a struct as ``Name(field=value, ...)``: no null fields, long texts and lists cut.

    A struct inside is written as its values alone: ``message m1`` for an item.
    """
    fields = plain(value)
    if not isinstance(fields, dict):
        return _short(fields)
    name = str(fields.pop("type", "")).rpartition(".")[2]
    said = ", ".join(f"{key}={_short(one)}" for key, one in fields.items() if one is not None)
    return f"{name}({said})"


def _short(value: JsonValue) -> str:
    match value:
        case dict():
            return " ".join(_short(value[key]) for key in sorted(value, key=_kind_first))
        case list():
            shown = [_short(one) for one in value[:MAX_ITEMS]]
            more = [f"and {len(value) - MAX_ITEMS} more"] if len(value) > MAX_ITEMS else []
            return f"[{', '.join(shown + more)}]"
        case str():
            text = value if len(value) <= MAX_TEXT else value[: MAX_TEXT - 1] + "…"
            return text if text.isprintable() and " " not in text and text else repr(text)
        case _:
            return str(value)


def _kind_first(key: str) -> tuple[bool, str]:
    return key != "kind", key
