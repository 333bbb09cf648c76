"""A chunk of a context, and the pass that replaces it by a summary.

Chapter ``spec/compaction.md``, "State" and "Escalation".
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import cast

import apsw
import msgspec
from msgspec import Struct

from plumbline import ordinals as lists
from plumbline import tokens as ledgers
from plumbline.damaged import Value
from plumbline.window import Span, Standing, Window
from plumbline_models.compaction import Extent, Kind, Pass, Settings
from plumbline_models.decisions.escalation import Budget, Summarised, budget
from plumbline_models.decisions.sources import files_in, source_of
from plumbline_models.ordinals import ConversationId, Replace, SummaryId


class Source(Struct, frozen=True):
    """One item of a chunk, with what a summary of it inherits."""

    text: str
    tokens: int
    role: str | None
    since: str | None
    until: str | None
    depth: int | None
    descendants: int
    descendant_tokens: int
    source_tokens: int
    files: tuple[str, ...]
    message: str | None = None
    summary: str | None = None


class Chunk(Struct, frozen=True):
    """What a pass replaces: entries of the list, and what their rows say."""

    span: Span
    sources: tuple[Source, ...]

    @property
    def text(self) -> str:
        """The source of the pass."""
        return source_of(self.sources)

    @property
    def depth(self) -> int:
        """The depth of its summary."""
        return 1 + max(-1 if one.depth is None else one.depth for one in self.sources)


_files: msgspec.json.Decoder[tuple[str, ...]] = msgspec.json.Decoder(tuple[str, ...])

_SOURCE = """
    coalesce(m.text, s.text), coalesce(m.tokens, s.tokens, 0), e.role,
    coalesce(e.time, x.earliest), coalesce(e.time, x.latest), s.depth,
    coalesce(x.descendants, 0), coalesce(x.descendant_tokens, 0), coalesce(x.source_tokens, 0),
    coalesce(x.files, '[]'), m.message, s.summary
"""
_STANDING = f"""
SELECT {_SOURCE} FROM context AS c
LEFT JOIN messages AS m ON m.message = c.message
LEFT JOIN summaries AS s ON s.summary = c.summary
LEFT JOIN extents AS x ON x.summary = c.summary
LEFT JOIN entries AS e ON e.message = c.message
WHERE c.conversation = ? AND c.position BETWEEN ? AND ? ORDER BY c.position
"""  # noqa: S608 - texts of this module
_SAID = """
SELECT c.message, m.text FROM context AS c CROSS JOIN messages AS m ON m.message = c.message
WHERE c.conversation = ? AND c.position BETWEEN ? AND ? ORDER BY c.position
"""
_REPLACED = f"""
SELECT {_SOURCE} FROM lineage AS c
LEFT JOIN messages AS m ON m.message = c.message
LEFT JOIN summaries AS s ON s.summary = c.source
LEFT JOIN extents AS x ON x.summary = c.source
LEFT JOIN entries AS e ON e.message = c.message
WHERE c.summary = ? ORDER BY c.position
"""  # noqa: S608 - texts of this module


def read_chunk(
    db: apsw.Connection, conversation: ConversationId, window: Window, span: Span
) -> Chunk:
    """Return a chunk with its texts, in one query.

    Of messages the list knows all but their texts.
    """
    rows = window.rows[span.first : span.last]
    place = (conversation, rows[0].position, rows[-1].position)
    if {row.depth for row in rows} != {None}:
        return Chunk(span, tuple(_sources(db.execute(_STANDING, place))))
    said = cast("Iterable[tuple[str, str]]", db.execute(_SAID, place))
    known = {row.message: row for row in rows}
    return Chunk(span, tuple(_messages(said, known)))


def _messages(
    said: Iterable[tuple[str, str]], known: Mapping[str | None, Standing]
) -> Iterator[Source]:
    """Yield messages as sources; one that the list does not know has no count and nobody said it.

    Then the list is an old one, and whoever reads with a list that may be old looks for that.
    """
    for message, text in said:
        row = known.get(message, _UNKNOWN)
        yield Source(
            text, row.tokens, row.role, row.time, row.time, None, 0, 0, 0, (), message, None
        )


_UNKNOWN = Standing(0, None, None, 0, None, None, None, says=False)


def read_lineage(db: apsw.Connection, summary: SummaryId) -> tuple[Source, ...]:
    """Return what a stored summary replaced, in one query."""
    return tuple(_sources(db.execute(_REPLACED, (summary,))))


def _sources(rows: Iterable[tuple[Value, ...]]) -> Iterator[Source]:
    # The tables are STRICT, so columns have the types that they were declared with.
    typed = cast("Iterable[_Row]", rows)
    for (
        text,
        tokens,
        role,
        since,
        until,
        depth,
        count,
        below,
        raw,
        files,
        message,
        summary,
    ) in typed:
        named = () if files == "[]" else _files.decode(files)
        yield Source(
            text, tokens, role, since, until, depth, count, below, raw, named, message, summary
        )


_Row = tuple[
    str,
    int,
    str | None,
    str | None,
    str | None,
    int | None,
    int,
    int,
    int,
    str,
    str | None,
    str | None,
]
"""As ``_SOURCE`` names its columns."""


def lengths(settings: Settings, *, condense: bool) -> Budget:
    """Return how long the text of a pass may be."""
    target = settings.condensed_target if condense else settings.leaf_target
    return budget(target, settings.overage_percent, settings.fallback_cap)


def extent_of(summary: SummaryId, sources: tuple[Source, ...]) -> Extent:
    """Return the extent of a summary of these: from their extents, and no further down."""
    below = [one for one in sources if one.depth is not None]
    tokens_below = sum([one.tokens for one in below])
    named = list[str]()
    for one in sources:
        named += one.files
        named += files_in(one.text)
    return Extent(
        summary=summary,
        earliest=next((one.since for one in sources if one.since is not None), None),
        latest=next((one.until for one in reversed(sources) if one.until is not None), None),
        descendants=len(below) + sum([one.descendants for one in below]),
        descendant_tokens=tokens_below + sum([one.descendant_tokens for one in below]),
        source_tokens=sum([one.tokens for one in sources])
        - tokens_below
        + sum([one.source_tokens for one in below]),
        files=tuple(dict.fromkeys(named)),
    )


def put_extent(db: apsw.Connection, extent: Extent) -> None:
    """Store the extent of a new summary."""
    db.execute(
        "INSERT INTO extents VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            extent.summary,
            extent.earliest,
            extent.latest,
            extent.descendants,
            extent.descendant_tokens,
            extent.source_tokens,
            msgspec.json.encode(extent.files).decode(),
        ),
    )


def put(
    db: apsw.Connection,
    conversation: ConversationId,
    window: Window,
    chunk: Chunk,
    kind: Kind,
    summary: SummaryId,
    made: Summarised,
) -> Pass:
    """Replace a chunk, in the tables and in the list that was read."""
    span, items = chunk.span, window.items(chunk.span)
    ends = window.rows[span.first].position, window.rows[span.last - 1].position
    replaced = Replace(conversation=conversation, summary=summary, text=made.text, items=items)
    lists.put_summary(db, replaced, ends, chunk.depth, made.tokens)
    put_extent(db, extent_of(summary, chunk.sources))
    before, after = ledgers.move(db, conversation, span.tokens, made.tokens)
    window.replace(span, summary, made.tokens, chunk.depth, says=bool(made.text))
    return Pass(
        kind=kind,
        summary=summary,
        sources=items,
        level=made.level,
        capped=made.capped,
        calls=made.calls,
        before=before,
        removed=span.tokens,
        added=made.tokens,
        after=after,
    )
