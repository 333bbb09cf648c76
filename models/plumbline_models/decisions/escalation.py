"""What one pass asks of a summariser, what it makes of the answers, and what it does without one.

Chapter ``spec/compaction.md``, "Escalation".

Theory of operation. A pass may ask twice: for a summary of some length, then for half of it. The
first answer that is shorter than what it stands for is taken, and cut if it is far longer than was
asked for. If there is none, the source itself is cut, without a model: the *fallback*. It is a
function of the source and of the stored counts alone, and like every other text it is shorter than
what it stands for; so a pass over two tokens or more always has a text to commit, whatever the
summariser answers. Only a caller that is not authenticated, or a call that fails, ends a pass.

``escalate`` is a coroutine that yields calls and is sent answers. So a script of answers, a
subprocess and a summariser that takes minutes are the same to it, and anything may happen between a
call and its answer.
"""

from bisect import bisect_right
from collections.abc import Generator, Iterator
from enum import Enum
from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from plumbline_models.contract import MAX_INTEGER
from plumbline_models.decisions.counting import QUARTERS, Measure, estimate

ELLIPSIS = "…"
"""Stands at the end of every text that was cut; one token by itself."""

_Milliseconds = Annotated[int, Meta(ge=0, le=MAX_INTEGER, description="in milliseconds")]


class Text(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="text"
):
    """A summary, which may be empty or longer than its source."""

    text: Annotated[str, Meta(max_length=16_777_216)]
    took: _Milliseconds = 0
    """How long the call took."""


class Unauthenticated(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="unauthenticated",
):
    """The provider did not accept the caller."""

    took: _Milliseconds = 0


class Failed(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="failed"
):
    """The call failed otherwise: an error, a time-out, no answer at all."""

    took: _Milliseconds = 0


Answer: TypeAlias = Text | Unauthenticated | Failed


class Level(Enum):
    """Where the text of a summary comes from. The values are stable: vectors name them."""

    NORMAL = "normal"
    """The first call."""
    AGGRESSIVE = "aggressive"
    """The second call, which asked for half as much."""
    FALLBACK = "fallback"
    """The source, cut."""


class Call(Struct, frozen=True, kw_only=True):
    """What a summariser is asked for: a summary of the source of about so many tokens."""

    level: Level
    target: int


class Budget(Struct, frozen=True, kw_only=True):
    """How long the text of a pass may be; every number is in tokens."""

    target: int
    """What the first call asks for; at least 1."""
    limit: int
    """An answer that is longer is cut to this; at least 1."""
    fallback: int
    """A fallback is at most this long; at least 1."""


def budget(target: int, overage_percent: int, fallback_cap: int) -> Budget:
    """Return how long a text may be of which ``target`` tokens are asked for."""
    limit = -(-target * overage_percent // 100)
    return Budget(target=target, limit=limit, fallback=fallback_cap)


class Summarised(Struct, frozen=True, kw_only=True):
    """A text that is shorter than what it stands for."""

    text: str
    tokens: int
    """The estimate of the whole text; it is stored as the count of the summary."""
    level: Level
    capped: bool
    """Whether the answer was longer than its limit, and was cut."""
    calls: int


class Failure(Enum):
    """Why a pass has no text."""

    AUTHENTICATION = "authentication"
    SUMMARISER_ERROR = "summariser_error"


class Abandoned(Struct, frozen=True, kw_only=True):
    """The pass has no text and nothing is written."""

    failure: Failure
    calls: int


def measured(text: str) -> int:
    """Return the estimate of a text, in tokens."""
    return estimate(Measure.CODE_POINTS, text)


def escalate(
    source: str, replaced: int, lengths: Budget
) -> Generator[Call, Answer, Summarised | Abandoned]:
    """Ask for a text that stands for ``source``, which counts ``replaced`` (CMP-5, CMP-14).

    Yields at most two calls. What it returns counts fewer tokens than ``replaced``, which is at
    least 2.
    """
    targets = {Level.NORMAL: lengths.target, Level.AGGRESSIVE: max(1, lengths.target // 2)}
    calls = 0
    for level, target in targets.items():
        answer = yield Call(level=level, target=target)
        calls += 1
        if not isinstance(answer, Text):
            refused = isinstance(answer, Unauthenticated)
            failure = Failure.AUTHENTICATION if refused else Failure.SUMMARISER_ERROR
            return Abandoned(failure=failure, calls=calls)
        text = answer.text.strip()
        if not text:
            break
        if measured(text) < replaced:
            whole, text = text, cut(text, lengths.limit)
            return Summarised(
                text=text,
                tokens=measured(text),
                level=level,
                capped=text != whole,
                calls=calls,
            )
    text = fallback(source, replaced, lengths)
    return Summarised(
        text=text, tokens=measured(text), level=Level.FALLBACK, capped=False, calls=calls
    )


def conducted(
    source: str, replaced: int, lengths: Budget, answers: Iterator[Answer]
) -> tuple[Summarised | Abandoned, int]:
    """Return what ``escalate`` does with these answers, and how long the calls took.

    A call beyond the last answer fails.
    """
    talk = escalate(source, replaced, lengths)
    took = 0
    next(talk)
    while True:
        answer = next(answers, Failed())
        took += answer.took
        try:
            talk.send(answer)
        except StopIteration as done:
            made: Summarised | Abandoned = done.value
            return made, took


def fallback(source: str, replaced: int, lengths: Budget) -> str:
    """Return the source, cut so that it is short and counts fewer tokens than ``replaced``."""
    return cut(source, min(lengths.fallback, replaced - 1))


def cut(text: str, tokens: int) -> str:
    """Return a text of at most so many tokens: the whole, or a beginning and an ellipsis.

    Where not even the ellipsis fits, the empty text.
    """
    if measured(text) <= tokens:
        return text
    if tokens < measured(ELLIPSIS):
        return ""
    # The estimate of a longer beginning is never less, and no code point weighs under a quarter.
    room = range(min(len(text), tokens * QUARTERS) + 1)
    length = bisect_right(room, tokens, key=lambda size: measured(text[:size] + ELLIPSIS)) - 1
    return text[:length] + ELLIPSIS
