"""A context, read once: what stands in it, what of it is protected, and what a pass may replace.

Chapter ``spec/compaction.md``, "Selection"; must match ``plumbline_models.compaction.selection``.

Theory of operation. One query brings the list with its stored counts and no text. The boundary of
what is protected is found once, from the newest entry backwards; every pass replaces entries before
it and moves it by as many as it takes out. A tail of so many tokens is found anew after each: what
did not fit may be gone. Messages are taken from the oldest on, so the search for
the next chunk of them begins where the last one was found. Nothing of this outlives the
transaction, or the revision, that the list was read in.
"""

from collections.abc import Iterator

import apsw
from msgspec import Struct

from plumbline_models.compaction import Reason, Settings
from plumbline_models.ordinals import (
    ConversationId,
    Item,
    MessageId,
    MessageItem,
    SummaryId,
    SummaryItem,
)

USER = "user"
"""The role of those whom an agent answers."""
LEAST = 2
"""Tokens that a chunk has at least: one that counts less has no text that is shorter."""
PRIOR = 2
"""Summaries before a chunk that a summariser may be told."""


class Standing(Struct, frozen=True):
    """One entry of a context."""

    position: int
    message: str | None
    summary: str | None
    tokens: int
    depth: int | None
    role: str | None
    """Who said a message, where a row brought it."""
    time: str | None
    says: bool

    @property
    def item(self) -> Item:
        """What stands here."""
        if self.message is not None:
            return MessageItem(id=MessageId(self.message))
        assert self.summary is not None
        return SummaryItem(id=SummaryId(self.summary))


class Span(Struct, frozen=True):
    """A chunk: entries ``first`` to ``last`` of the list, ``last`` excluded."""

    first: int
    last: int
    tokens: int


_LIST = """
SELECT c.position, c.message, c.summary, coalesce(m.tokens, s.tokens, 0), s.depth,
    e.role, e.time, coalesce(octet_length(m.text), octet_length(s.text), 0) > 0
FROM context AS c
LEFT JOIN messages AS m ON m.message = c.message
LEFT JOIN summaries AS s ON s.summary = c.summary
LEFT JOIN entries AS e ON e.message = c.message
WHERE c.conversation = ? ORDER BY c.position
"""


def read(db: apsw.Connection, conversation: ConversationId) -> list[Standing]:
    """Return the context of a conversation, oldest first, in one query."""
    return [
        Standing(position, message, summary, tokens, depth, role, time, bool(says))
        for position, message, summary, tokens, depth, role, time, says in db.execute(
            _LIST, (conversation,)
        )
    ]


class Window:
    """A context under the settings of one event, as its passes change it."""

    def __init__(self, rows: list[Standing], settings: Settings) -> None:
        self.rows = rows
        self.settings = settings
        self.boundary = _boundary(rows, settings)
        self._raw_from = 0
        """No chunk of messages that is fit begins before this entry."""

    @property
    def protected(self) -> int:
        """The counts of what is protected, in tokens."""
        return sum(row.tokens for row in self.rows[self.boundary :])

    @property
    def raw(self) -> int:
        """The counts of the messages that are not protected, in tokens."""
        return sum(row.tokens for row in self.rows[: self.boundary] if row.depth is None)

    def leaf(self) -> Span | None:
        """Return the oldest chunk of messages that is fit."""
        for span in self._chunks(None, self._raw_from):
            if self._is_fit(span):
                self._raw_from = span.first
                return span
        return None

    def at_depth(self, depth: int, fanout: int) -> Span | None:
        """Return the oldest chunk of a depth with enough summaries and tokens."""
        least = max(self.settings.condensed_target, self.settings.leaf_chunk // 10)
        for span in self._chunks(depth, 0):
            many = span.last - span.first >= fanout
            if many and span.tokens >= least and self._is_fit(span):
                return span
        return None

    def condensed(self, *, hard: bool) -> Span | None:
        """Return the chunk of the shallowest depth that has one."""
        depths = {row.depth for row in self.rows[: self.boundary] if row.depth is not None}
        for depth in sorted(depths):
            fanout = self.settings.hard_fanout if hard else self.fanout(depth)
            span = self.at_depth(depth, fanout)
            if span is not None:
                return span
        return None

    def fanout(self, depth: int) -> int:
        """Return how many summaries of a depth a pass has at least when it is not urgent."""
        return self.settings.condensed_fanout if depth else self.settings.leaf_fanout

    def unprotected(self) -> Span:
        """Return all before the boundary."""
        tokens = sum(row.tokens for row in self.rows[: self.boundary])
        return Span(0, self.boundary, tokens)

    def says(self, span: Span) -> bool:
        """Tell whether some entry of a chunk is not empty."""
        return any(row.says for row in self.rows[span.first : span.last])

    def raw_runs(self) -> list[Span]:
        """Return the unprotected runs of messages, oldest first."""
        return [self._span(first, last) for first, last in self._runs()]

    def is_mixed(self) -> bool:
        """Tell whether both messages and summaries are unprotected."""
        return len({row.depth is None for row in self.rows[: self.boundary]}) > 1

    def found(self, items: tuple[Item, ...]) -> Span | None:
        """Return where these items stand in this order and side by side; None if they do not."""
        for first, row in enumerate(self.rows):
            if row.item == items[0]:
                last = first + len(items)
                here = tuple(row.item for row in self.rows[first:last])
                return self._span(first, last) if here == items else None
        return None

    def is_even(self, span: Span) -> bool:
        """Tell whether a chunk is of messages alone, or of summaries of one depth."""
        return len({row.depth for row in self.rows[span.first : span.last]}) == 1

    def refusal(self, span: Span) -> Reason | None:
        """Return why items that stand in the context cannot be replaced; None when they can."""
        if not self.is_even(span):
            return Reason.UNEVEN
        if span.last > self.boundary:
            return Reason.PROTECTED
        if not self.says(span):
            return Reason.EMPTY_SOURCE
        return Reason.NO_PROGRESS if span.tokens < LEAST else None

    def items(self, span: Span) -> tuple[Item, ...]:
        """Return the items of a chunk, oldest first."""
        return tuple(row.item for row in self.rows[span.first : span.last])

    def prior(self, span: Span) -> tuple[SummaryItem, ...]:
        """Return the nearest summaries before a chunk, oldest first."""
        found = list[SummaryItem]()
        for row in reversed(self.rows[: span.first]):
            if row.summary is not None and len(found) < PRIOR:
                found.append(SummaryItem(id=SummaryId(row.summary)))
        return tuple(reversed(found))

    def replace(self, span: Span, summary: str, tokens: int, depth: int, *, says: bool) -> None:
        """Put a summary in the place of a chunk."""
        at = self.rows[span.first].position
        row = Standing(at, None, summary, tokens, depth, None, None, says)
        self.rows[span.first : span.last] = [row]
        if self.settings.fresh_tail_tokens is None:
            self.boundary -= span.last - span.first - 1
        else:  # what did not fit the tail may be gone, and what is older may fit it
            self.boundary = _boundary(self.rows, self.settings)
        self._raw_from = min(self._raw_from, span.first)

    def _runs(self) -> Iterator[tuple[int, int]]:
        """Yield where runs of messages begin and end."""
        first: int | None = None
        for index in range(self.boundary):
            if self.rows[index].depth is not None:
                if first is not None:
                    yield first, index
                first = None
            elif first is None:
                first = index
        if first is not None:
            yield first, self.boundary

    def _chunks(self, depth: int | None, since: int) -> Iterator[Span]:
        """Yield the chunks of every run of a depth, None for messages; no further than is asked."""
        size, first, tokens = self.settings.leaf_chunk, None, 0
        for index in range(since, self.boundary):
            row = self.rows[index]
            ends = row.depth != depth or tokens >= size or tokens + row.tokens > size
            if first is not None and ends:
                yield Span(first, index, tokens)
                first = None
            if row.depth == depth:
                first, tokens = (index, 0) if first is None else (first, tokens)
                tokens += row.tokens
        if first is not None:
            yield Span(first, self.boundary, tokens)

    def _span(self, first: int, last: int) -> Span:
        return Span(first, last, sum(row.tokens for row in self.rows[first:last]))

    def _is_fit(self, span: Span) -> bool:
        return span.tokens >= LEAST and self.says(span)


def _boundary(rows: list[Standing], settings: Settings) -> int:
    """Return the index of the first protected entry."""
    boundary, kept, room = len(rows), 0, settings.fresh_tail_tokens
    tail, user = settings.fresh_tail > 0, True
    for index in range(len(rows) - 1, -1, -1):
        row = rows[index]
        if row.depth is not None:
            continue
        if tail:
            room = None if room is None else room - row.tokens
            tail = kept == 0 or room is None or room >= 0
        if tail:
            boundary, kept = index, kept + 1
            tail = kept < settings.fresh_tail
        if user and row.role == USER:
            boundary, user = index, False
        if not tail and not user:
            break
    return boundary
