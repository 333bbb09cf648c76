"""How many tokens a text is taken for, and which counts of a host are believed.

Chapter ``spec/tokens.md``, "Counting".

Theory of operation. An estimate adds up what each code point weighs and rounds up once, at the end,
so that the estimate of a whole is never more than the estimates of its parts together. Weights are
in quarters of a token, hence no fraction is ever held. The rule by code point is that of
lossless-claw's current releases; the older one counted UTF-16 code units, four to a token, and took
CJK text for a sixth of what it is (its pull request 344).
"""

import re
from enum import Enum

from msgspec import Struct

QUARTERS = 4
"""Quarters in a token."""
QUARTERS_OF_CJK = 6
QUARTERS_OF_ASTRAL = 8
"""What a code point beyond U+FFFF weighs that is not CJK: emoji above all."""

_CJK = re.compile(
    "["
    "\u3000-\u303f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uff00-\uffef"
    "\U00020000-\U0002a6df\U0002a700-\U0002b73f\U0002b740-\U0002b81f"
    "\U0002b820-\U0002ceaf\U0002ceb0-\U0002ebef"
    "]+"
)
_ASTRAL = re.compile(
    "[\U00010000-\U0001ffff\U0002a6e0-\U0002a6ff\U0002ebf0-\U0010ffff]+"  # what is not CJK
)

ALLOWANCE = 64
"""Tokens that a host may add to a message for its role, its name and its separators."""
MOST_PER_CODE_POINT = 4
"""A token of a byte-level vocabulary is at least a byte; UTF-8 has at most four to a code point."""
LONGEST_TOKEN = 128
"""Code points in the longest token of a known vocabulary: a run of blanks."""


class Measure(Enum):
    """A way to estimate how many tokens a text has."""

    CODE_POINTS = "code_points"
    """Six quarters for CJK, eight for others beyond U+FFFF, one for the rest (current releases)."""
    UTF16 = "utf16"
    """One quarter for each UTF-16 code unit (lossless-claw before its pull request 344)."""


class Door(Enum):
    """What happens to the count that a host gives with a text."""

    GUARDED = "guarded"
    """A missing or zero count of content is estimated; a negative or absurd one is refused."""
    OPEN = "open"
    """Whatever is given is stored; only a missing count is estimated (all releases)."""


class Doubt(Enum):
    """Why a count is not believed. The values are stable: vectors name them."""

    NEGATIVE_COUNT = "negative_count"
    ABSURD_COUNT = "absurd_count"


class Counted(Struct, frozen=True, kw_only=True):
    """The count to store, or why there is none."""

    tokens: int = 0
    doubt: Doubt | None = None


def estimate(measure: Measure, text: str) -> int:
    """Return the estimate of a text, in tokens; 0 for the empty text alone."""
    match measure:
        case Measure.CODE_POINTS:
            return -(-_quarters(text) // QUARTERS)
        case Measure.UTF16:
            return -(-len(text.encode("utf-16-le", "surrogatepass")) // (2 * QUARTERS))


def _quarters(text: str) -> int:
    if text.isascii():
        return len(text)
    cjk, astral = _length_of(_CJK, text), _length_of(_ASTRAL, text)
    plain = len(text) - cjk - astral
    return plain + cjk * QUARTERS_OF_CJK + astral * QUARTERS_OF_ASTRAL


def _length_of(runs: re.Pattern[str], text: str) -> int:
    return sum(run.end() - run.start() for run in runs.finditer(text))


def least(text: str) -> int:
    """Return the least count that is believed of a text, in tokens."""
    return -(-len(text) // LONGEST_TOKEN)


def most(text: str) -> int:
    """Return the greatest count that is believed of a text, in tokens."""
    return len(text) * MOST_PER_CODE_POINT + ALLOWANCE


def admitted(door: Door, measure: Measure, text: str, given: int | None) -> Counted:
    """Return the count to store for a text when a host gives ``given``, or the doubt about it.

    ``text`` is the whole text that is stored, with headers, ids and notes.
    """
    if given is None:
        return Counted(tokens=estimate(measure, text))
    if door is Door.OPEN:
        return Counted(tokens=given)
    if given < 0:
        return Counted(doubt=Doubt.NEGATIVE_COUNT)
    if given == 0:
        return Counted(tokens=estimate(measure, text))
    if not least(text) <= given <= most(text):
        return Counted(doubt=Doubt.ABSURD_COUNT)
    return Counted(tokens=given)
