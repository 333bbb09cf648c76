"""Texts as JavaScript handles them, and what the engine makes of answers that do not shorten.

Theory of operation. A length is a number of UTF-16 code units and a cut may halve a pair of them.
What is white space at the ends of a text is what JavaScript takes for it, the byte order mark and
the no-break space included.
"""

from collections.abc import Generator

from msgspec import Struct

from plumbline_models.decisions.counting import estimate
from plumbline_models.lossless_claw.values import (
    Answer,
    Call,
    Denied,
    Failure,
    Raised,
    Rules,
    Store,
)

_SPACE = "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
SPACE = _SPACE + "\u2028\u2029\u202f\u205f\u3000\ufeff"
UNITS_OF_FALLBACK = 2048
UNITS_OF_TOKEN = 4


def length16(text: str) -> int:
    """Return the length of a text in UTF-16 code units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def slice16(text: str, units: int) -> str:
    """Return the first code units of a text; half a surrogate pair may be the last."""
    whole = text.encode("utf-16-le", "surrogatepass")
    return whole[: 2 * max(0, units)].decode("utf-16-le", "surrogatepass")


def trim(text: str) -> str:
    """Take off what JavaScript takes for white space, at both ends."""
    return text.strip(SPACE)


class Written(Struct, frozen=True, kw_only=True):
    """The text of a summary, and how it came about."""

    text: str
    level: str
    """normal, aggressive, fallback or capped."""


Talk = Generator[Call, tuple[Store, Answer], tuple[Store, Written | None]]


def summarise(rules: Rules, store: Store, call: Call, overage: float, fallback_cap: int) -> Talk:
    """Ask once, ask again, cut: return the store as it is then, and the text.

    None when the caller is not authenticated. Raises ``Failure`` when the summariser raised.
    """
    source = trim(call.source)
    if not source:
        return store, Written(text="[Truncated from 0 tokens]", level="fallback")
    tokens = max(1, estimate(rules.measure, source))
    written: Written | None = None
    for aggressive, level in ((False, "normal"), (True, "aggressive")):
        asked = Call(
            source=source,
            aggressive=aggressive,
            condensed=call.condensed,
            depth=call.depth,
            previous=call.previous,
            target=call.target,
            store=store,
        )
        store, answer = yield asked
        if isinstance(answer, Denied):
            return store, None
        if isinstance(answer, Raised):
            raise Failure(answer.message)
        text = trim(answer.text)
        if not text:
            break
        if estimate(rules.measure, text) < tokens:
            written = Written(text=text, level=level)
            break
    if written is None:
        text = _fallback(rules, source, tokens, fallback_cap)
        return store, Written(text=text, level="fallback")
    return store, _capped(rules, written, call.target, overage)


def _fallback(rules: Rules, source: str, tokens: int, cap: int) -> str:
    note = f"\n[Truncated from {tokens} tokens]"
    if not rules.current:
        return slice16(source, UNITS_OF_FALLBACK) + note
    room = max(0, cap - estimate(rules.measure, note))
    return _within(rules, source, room).rstrip(SPACE) + note


def _within(rules: Rules, text: str, tokens: int) -> str:
    """Return the longest beginning of a text that counts at most so many tokens."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if estimate(rules.measure, text[:middle]) <= tokens:
            low = middle
        else:
            high = middle - 1
    return text[:low]


def _capped(rules: Rules, written: Written, target: int, overage: float) -> Written:
    """Cut a text that is much longer than was asked for, and say so where there is room."""
    most = -int(-target * overage // 1)
    count = estimate(rules.measure, written.text)
    if count <= most:
        return written
    text = written.text
    for note in _notes(count, most):
        if rules.current:
            room = most - estimate(rules.measure, note)
            text = _within(rules, written.text, max(0, room)) + note
        else:
            units = max(0, UNITS_OF_TOKEN * most - length16(note))
            text = slice16(written.text, units) + note
        if estimate(rules.measure, text) <= most:
            break
    return Written(text=text, level="capped")


def _notes(count: int, most: int) -> tuple[str, ...]:
    """Return what is written behind a text that was cut, the longest first."""
    whole = f"\n[Capped from {count} tokens to ~{most}]"
    return whole, f"\n[Capped to ~{most}]", "\n[Capped]", ""
