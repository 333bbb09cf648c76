"""A strict reader for JSON that someone else wrote.

Theory of operation. A typed decoder does not see everything: of two equal keys it keeps the last,
and a lone surrogate passes for text until it meets a database. So untrusted text comes through
``read`` first, which gives plain values or raises ``UnreadableJson``. The standard library parses;
what it would let pass is refused here:

======================================  ==================================================
refused                                 noticed
======================================  ==================================================
more than ``max_bytes``                 before anything is decoded
invalid UTF-8, a byte order mark        when the bytes are decoded
nesting deeper than ``max_depth``       by a scan before the parser recurses
a key twice in one object               by the parser, when it closes the object
NaN, Infinity, a float beyond range     by the parser, at the number
a float, unless ``floats`` is true      by the parser, at the number
an integer beyond ±(2**53 - 1)          by the parser, at the number, before it is converted
a lone surrogate                        by a scan of the escapes of a text that parsed
======================================  ==================================================

Of a ``foreign`` text the last three are read; see ``read``.

Every scan is linear in the text.
"""

import json
import math
import re
from collections import Counter
from typing import Final

from typing_extensions import TypeAliasType

from plumbline_models.contract import MAX_INTEGER
from plumbline_spec.errors import UnusableInput

JsonValue = TypeAliasType(
    "JsonValue", "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
)
"""What JSON can say; every float is finite."""

MAX_BYTES: Final = 16 * 1024 * 1024
"""The longest text that ``read`` takes unless told otherwise, in bytes."""

MAX_DEPTH: Final = 64
"""The deepest nesting that ``read`` takes unless told otherwise; a number is 0 deep, ``[]`` 1."""


MAX_DIGITS: Final = 400
"""The longest integer of a foreign text, in characters; no float is longer."""


class UnreadableJson(UnusableInput):
    """A text is not JSON, or not JSON that every reader would understand alike."""

    def __init__(self, what: str, *, offset: int | None = None, line: int | None = None) -> None:
        self.what = what
        """What is wrong."""
        self.offset = offset
        """Where, in bytes from the start; None when it is not known."""
        self.line = line
        """On which line, counted from 1; None when it is not known."""
        super().__init__(what if offset is None else f"{what} (line {line}, byte {offset})")


def read(
    text: bytes,
    *,
    max_bytes: int = MAX_BYTES,
    max_depth: int = MAX_DEPTH,
    floats: bool = False,
    foreign: bool = False,
) -> JsonValue:
    """Read one JSON value from untrusted bytes.

    A ``foreign`` one is what JavaScript and others write: it has floats, integers of any size up to
    ``MAX_DIGITS``, and lone surrogates, each of which becomes the six characters of its escape.
    Raises ``UnreadableJson`` and nothing else; the module's table lists what is refused.
    """
    if len(text) > max_bytes:
        raise UnreadableJson(f"{len(text)} bytes long, at most {max_bytes} are read")
    decoded = _decoded(text)
    _refuse_depth(decoded, max_depth)
    if foreign:
        return _parsed(_with_escapes_of_halves(decoded), _FOREIGN)
    value = _parsed(decoded, _FLOATS if floats else _NO_FLOATS)
    _refuse_lone_surrogates(decoded)
    return value


def _decoded(text: bytes) -> str:
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise UnreadableJson("invalid UTF-8", offset=error.start, line=line) from None
    if decoded.startswith("\ufeff"):
        raise _at(decoded, 0, "a byte order mark where a value is expected")
    return decoded


_TOKEN = re.compile(
    r'"(?:[^"\\]++|\\.)*+"?'
    r"|[\[\]{}]"
    r"|NaN|-?Infinity|-?[0-9]++(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?",
    re.DOTALL,
)
"""A string (an unfinished one reaches to the end), a bracket, or a number as the parser sees it."""


def _refuse_depth(text: str, max_depth: int) -> None:
    if text.count("[") + text.count("{") <= max_depth:
        return
    depth = 0
    for token in _TOKEN.finditer(text):
        match token[0]:
            case "[" | "{":
                depth += 1
            case "]" | "}":
                depth -= 1
            case _:
                continue
        if depth > max_depth:
            raise _at(text, token.start(), f"nested deeper than {max_depth}")


class _BadNumber(Exception):  # noqa: N818 - it never leaves this module
    """The parser met a number that is refused, written as ``literal``."""

    def __init__(self, literal: str, what: str) -> None:
        self.literal = literal
        self.what = what


def _parsed(text: str, decoder: json.JSONDecoder) -> JsonValue:
    try:
        value: JsonValue = decoder.decode(text)
    except json.JSONDecodeError as error:
        raise _at(text, error.pos, error.msg) from None
    except _BadNumber as error:
        raise _at(text, _find(text, error.literal), error.what) from None
    except RecursionError:
        raise UnreadableJson("nested deeper than the stack that is left") from None
    return value


def _object(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    value = dict(pairs)
    if len(value) < len(pairs):
        times = Counter(key for key, _ in pairs)
        twice = next(key for key, count in times.items() if count > 1)
        raise UnreadableJson(f"the key {_short(twice)} stands twice in one object")
    return value


def _integer(literal: str) -> int:
    # The length is looked at first: converting a long literal takes more than linear time.
    if len(literal.lstrip("-")) > len(str(MAX_INTEGER)) or abs(int(literal)) > MAX_INTEGER:
        raise _BadNumber(literal, f"the integer {_short(literal)} is beyond ±(2**53 - 1)")
    return int(literal)


def _any_integer(literal: str) -> int:
    if len(literal) > MAX_DIGITS:
        raise _BadNumber(
            literal, f"the integer {_short(literal)} has more than {MAX_DIGITS} digits"
        )
    return int(literal)


def _float(literal: str) -> float:
    value = float(literal)
    if not math.isfinite(value):
        raise _BadNumber(literal, f"the number {_short(literal)} is beyond the range of floats")
    return value


def _no_float(literal: str) -> float:
    raise _BadNumber(literal, f"the number {_short(literal)} is not an integer")


def _constant(literal: str) -> float:
    raise _BadNumber(literal, f"{literal} is not JSON")


_FLOATS = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant
)
_FOREIGN = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_any_integer,
    parse_float=_float,
    parse_constant=_constant,
)
_NO_FLOATS = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_no_float, parse_constant=_constant
)

_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
"""One escape, or a pair of them that makes one character; ``lone`` is half of such a pair."""


def _refuse_lone_surrogates(text: str) -> None:
    if "\\ud" not in text and "\\uD" not in text:
        return
    for escape in _ESCAPE.finditer(text):
        if escape["lone"] is not None:
            raise _at(text, escape.start(), f"a lone surrogate, {escape[0]}")


def _with_escapes_of_halves(text: str) -> str:
    """Return the text with each lone surrogate as a backslash and the five characters behind it."""
    if "\\ud" not in text and "\\uD" not in text:
        return text
    if all(escape["lone"] is None for escape in _ESCAPE.finditer(text)):
        return text
    return _ESCAPE.sub(lambda escape: "\\" * (escape["lone"] is not None) + escape[0], text)


def _find(text: str, literal: str) -> int:
    """Return where the number first stands outside a string."""
    return next(token.start() for token in _TOKEN.finditer(text) if token[0] == literal)


def _at(text: str, place: int, what: str) -> UnreadableJson:
    """Return the error for what stands at a place, counted in code points."""
    before = text[:place]
    return UnreadableJson(what, offset=len(before.encode()), line=before.count("\n") + 1)


_SHOWN = 40


def _short(words: str) -> str:
    shown = words if len(words) <= _SHOWN else f"{words[:_SHOWN]}…"
    return repr(shown)
