"""What the released engine selects from the list that it read."""

from collections.abc import Callable

from msgspec import Struct

from plumbline_models.decisions.counting import estimate
from plumbline_models.lossless_claw.configuration import Resolved
from plumbline_models.lossless_claw.texts import trim
from plumbline_models.lossless_claw.values import Message, Row, Rules, Store, Summary

NOWHERE = 2**53
"""The boundary when nothing is protected."""
USER = "user"


def message_tokens(rules: Rules, message: Message | None) -> int:
    """Return what a message is taken for: its count, or an estimate where that is not positive."""
    if message is None:
        return 0
    return message.tokens if message.tokens > 0 else estimate(rules.measure, message.content)


def summary_tokens(rules: Rules, summary: Summary) -> int:
    """Return what a summary is taken for when chunks are made."""
    return summary.tokens if summary.tokens > 0 else estimate(rules.measure, summary.content)


def total(store: Store) -> int:
    """Return the sum of the stored counts of what stands in the context."""
    counts = 0
    for row in store.rows:
        message, summary = store.message(row), store.summary(row)
        counts += message.tokens if message else 0
        counts += summary.tokens if summary else 0
    return counts


def boundary(rules: Rules, store: Store, rows: tuple[Row, ...], settings: Resolved) -> int:
    """Return the ordinal from which on everything is protected."""
    messages = [row for row in rows if row.message is not None]
    if not rules.current:
        if settings.fresh_tail <= 0 or not messages:
            return NOWHERE
        return messages[max(0, len(messages) - settings.fresh_tail)].ordinal
    return _current_boundary(rules, store, messages, settings)


def _current_boundary(rules: Rules, store: Store, messages: list[Row], settings: Resolved) -> int:
    """Walk from the newest message until the tail is full and the newest of a user is in it."""
    if settings.fresh_tail <= 0 or not messages:
        return NOWHERE
    asked = any(_is_user(store, row) for row in messages)
    first, kept, tokens, user = NOWHERE, 0, 0, not asked
    for row in reversed(messages):
        if kept >= settings.fresh_tail and user:
            break
        count = message_tokens(rules, store.message(row))
        cap = settings.fresh_tail_tokens
        if cap is not None and user and kept > 0 and tokens + count > cap:
            break
        first, kept, tokens = row.ordinal, kept + 1, tokens + count
        user = user or _is_user(store, row)
    return first


def _is_user(store: Store, row: Row) -> bool:
    message = store.message(row)
    return message is not None and message.role == USER


def raw_outside(rules: Rules, store: Store, rows: tuple[Row, ...], settings: Resolved) -> int:
    """Return what the messages before the boundary are taken for together."""
    end, tokens = boundary(rules, store, rows, settings), 0
    for row in rows:
        if row.ordinal >= end:
            break
        if row.message is not None:
            tokens += message_tokens(rules, store.message(row))
    return tokens


class Chunk(Struct, frozen=True, kw_only=True):
    """Rows that a pass replaces."""

    rows: tuple[Row, ...] = ()
    tokens: int = 0
    meaningful: int = 0
    """Rows whose text is not empty."""


def leaf_chunk(
    rules: Rules,
    store: Store,
    rows: tuple[Row, ...],
    settings: Resolved,
    after: int | None = None,
) -> Chunk:
    """Return the oldest messages that stand side by side, up to the size of a chunk."""
    end = boundary(rules, store, rows, settings)
    chunk: list[Row] = []
    tokens = 0
    for row in rows:
        if row.ordinal >= end:
            break
        if after is not None and row.ordinal <= after:
            continue
        if row.message is None:
            if chunk:
                break
            continue
        count = message_tokens(rules, store.message(row))
        if chunk and tokens + count > settings.leaf_chunk:
            break
        chunk.append(row)
        tokens += count
        if tokens >= settings.leaf_chunk:
            break
    return Chunk(rows=tuple(chunk), tokens=tokens, meaningful=len(chunk))


def depth_chunk(
    rules: Rules, store: Store, rows: tuple[Row, ...], settings: Resolved, depth: int
) -> Chunk:
    """Return the oldest summaries of a depth that stand side by side: the first run alone."""
    end = boundary(rules, store, rows, settings)
    chunk: list[Row] = []
    tokens = meaningful = 0
    for row in rows:
        if row.ordinal >= end:
            break
        summary = store.summary(row)
        if summary is None or summary.depth != depth:
            if chunk:
                break
            continue
        says = bool(trim(summary.content))
        if rules.current and not says and not chunk:
            continue
        count = summary_tokens(rules, summary) if says or not rules.current else 0
        if chunk and tokens + count > settings.leaf_chunk:
            break
        chunk.append(row)
        tokens += count
        meaningful += says or not rules.current
        if tokens >= settings.leaf_chunk:
            break
    return Chunk(rows=tuple(chunk), tokens=tokens, meaningful=meaningful)


def condensable(
    rules: Rules,
    store: Store,
    rows: tuple[Row, ...],
    settings: Resolved,
    fanout: Callable[[int], int],
    below: int = NOWHERE,
) -> tuple[int, Chunk] | None:
    """Return the shallowest depth that has a chunk to condense, and the chunk."""
    end = boundary(rules, store, rows, settings)
    found = [store.summary(row) for row in store.rows if row.ordinal < end]
    for depth in sorted({one.depth for one in found if one is not None}):
        if depth >= below:
            break
        chunk = depth_chunk(rules, store, rows, settings, depth)
        if chunk.meaningful >= fanout(depth) and chunk.tokens >= settings.least_condensed:
            return depth, chunk
    return None


def prefix_tokens(store: Store, rows: tuple[Row, ...], end: int) -> int:
    """Return what the summaries before a boundary count."""
    found = [store.summary(row) for row in rows if row.ordinal < end]
    return sum(one.tokens for one in found if one is not None)


def leaf_context(rules: Rules, store: Store, rows: tuple[Row, ...], chunk: Chunk) -> str:
    """Return what a leaf pass by itself tells the summariser: the nearest two summaries before."""
    before = [store.summary(row) for row in rows if row.ordinal < chunk.rows[0].ordinal]
    texts = [told(rules, one) for one in before if one is not None][-2:]
    return "\n\n".join(text for text in texts if text)


def told(rules: Rules, summary: Summary) -> str:
    """Return what a summariser is told of an earlier summary; the 0.15 line drops empty lines."""
    text = trim(summary.content)
    return "\n".join(line for line in text.split("\n") if trim(line)) if rules.current else text


def condensed_context(rules: Rules, store: Store, rows: tuple[Row, ...], chunk: Chunk) -> str:
    """Return what a pass over leaves tells it: the nearest two leaves of those near before."""
    before = [store.summary(row) for row in rows if row.ordinal < chunk.rows[0].ordinal]
    near = [one for one in before if one is not None]
    near = near if rules.current else near[-4:]
    texts = [told(rules, one) for one in near if one.depth == 0][-2:]
    return "\n\n".join(text for text in texts if text)
