"""What a pass may replace: entries of a context, the boundary of what is protected, and chunks.

Chapter ``spec/compaction.md``, "Selection".

Theory of operation. Everything is read from the context as it stands, with stored counts. The
*boundary* is the index of the first protected entry; all behind it is protected. Before it, entries
of one kind that stand next to each other are a *run*; a run is divided into *chunks* from its
oldest entry on, each of which ends when it is full. The oldest chunk that is fit is selected.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from msgspec import Struct

from plumbline_models.compaction.values import Rules, Settings, State
from plumbline_models.intake.queries import log_of
from plumbline_models.intake.values import Entry as LogEntry
from plumbline_models.ordinals.queries import find
from plumbline_models.ordinals.values import (
    ConversationId,
    Item,
    MessageId,
    MessageItem,
    SummaryItem,
)
from plumbline_models.tokens.queries import counts_of, ledger_of, standing, texts_of

USER = "user"
"""The role of those whom an agent answers."""
LEAST = 2
"""Tokens that a chunk has at least: one that counts less has no text that is shorter."""
PRIOR = 2
"""Summaries before a chunk that a summariser may be told."""


class Entry(Struct, frozen=True, kw_only=True):
    """One entry of a context, as a selection sees it."""

    item: Item
    tokens: int
    depth: int | None
    """Of a summary; None for a message."""
    user: bool
    """Whether it is a message of a user."""
    says: bool
    """Whether its text is not empty."""


Chunk = tuple[Entry, ...]


def said_of(state: State, conversation: ConversationId) -> dict[MessageId, LogEntry]:
    """Return the entry of each message of a conversation that came as a row."""
    entries = log_of(state.taken, conversation).entries
    return {one.message: one for one in entries if one.message is not None}


def entries_of(state: State, conversation: ConversationId) -> Chunk:
    """Return the context, oldest first."""
    at = find(state.taken.ledger.lists, conversation)
    if at is None:
        return ()
    said = said_of(state, conversation)
    counts, texts = counts_of(ledger_of(state.taken.ledger, conversation)), texts_of(at)
    depths = {one.id: int(one.depth) for one in at.summaries}
    return tuple(
        Entry(
            item=item,
            tokens=counts.get(item, 0),
            depth=depths.get(item.id) if isinstance(item, SummaryItem) else None,
            user=isinstance(item, MessageItem) and item.id in said and said[item.id].role == USER,
            says=bool(texts.get(item)),
        )
        for item in standing(at)
    )


def tokens_in(entries: Sequence[Entry]) -> int:
    """Return the sum of the stored counts."""
    return sum(one.tokens for one in entries)


def boundary(rules: Rules, entries: Chunk, settings: Settings) -> int:
    """Return the index of the first entry that is protected (CMP-8, CMP-9).

    Protected are the newest messages, as many as the fresh tail has and, beside the newest one, no
    more than its tokens; the newest message of a user; and everything behind a protected entry.
    """
    first, room = len(entries), settings.fresh_tail_tokens
    messages = [index for index, one in enumerate(entries) if one.depth is None]
    for number, index in enumerate(reversed(messages)):
        if number == settings.fresh_tail:
            break
        if room is not None:
            room -= entries[index].tokens
            if room < 0 and number > 0:
                break
        first = index
    users = [index for index in messages if entries[index].user]
    return min(first, users[-1]) if users and rules.newest_user else first


def raw(entries: Sequence[Entry]) -> int:
    """Return the counts of the messages among these entries, in tokens."""
    return tokens_in([one for one in entries if one.depth is None])


def runs(entries: Sequence[Entry], depth: int | None) -> Iterator[Chunk]:
    """Yield the longest rows of neighbours of a depth, None for messages, oldest first."""
    run: list[Entry] = []
    for one in entries:
        if one.depth == depth:
            run.append(one)
        elif run:
            yield tuple(run)
            run = []
    if run:
        yield tuple(run)


def chunks(run: Chunk, size: int) -> Iterator[Chunk]:
    """Divide a run: a chunk ends before the entry that would make it more than ``size`` tokens.

    It has one entry at least, and ends as soon as it is full.
    """
    chunk: list[Entry] = []
    for one in run:
        if chunk and (tokens_in(chunk) >= size or tokens_in(chunk) + one.tokens > size):
            yield tuple(chunk)
            chunk = []
        chunk.append(one)
    yield tuple(chunk)


def is_fit(rules: Rules, chunk: Chunk) -> bool:
    """Tell whether a chunk says something and something shorter can be said."""
    if not rules.skips_empty:
        return True
    return tokens_in(chunk) >= LEAST and any(one.says for one in chunk)


def leaf(rules: Rules, entries: Chunk, settings: Settings) -> Chunk:
    """Return the oldest chunk of messages that is fit and not protected; () when there is none."""
    before = entries[: boundary(rules, entries, settings)]
    for run in runs(before, None):
        for chunk in chunks(run, settings.leaf_chunk):
            if is_fit(rules, chunk):
                return chunk
    return ()


def at_depth(rules: Rules, entries: Chunk, settings: Settings, depth: int, fanout: int) -> Chunk:
    """Return the oldest chunk of a depth with enough summaries and tokens; () without one."""
    before = entries[: boundary(rules, entries, settings)]
    for run in runs(before, depth):
        for chunk in chunks(run, settings.leaf_chunk):
            enough = len(chunk) >= fanout and tokens_in(chunk) >= least_condensed(settings)
            if enough and is_fit(rules, chunk):
                return chunk
            if not rules.later_runs:
                return ()
    return ()


def condensed(rules: Rules, entries: Chunk, settings: Settings, *, hard: bool) -> Chunk:
    """Return the chunk of the shallowest depth that has one; () when none has."""
    before = entries[: boundary(rules, entries, settings)]
    for depth in sorted({one.depth for one in before if one.depth is not None}):
        fanout = settings.hard_fanout if hard else usual_fanout(settings, depth)
        chunk = at_depth(rules, entries, settings, depth, fanout)
        if chunk:
            return chunk
    return ()


def usual_fanout(settings: Settings, depth: int) -> int:
    """Return how many summaries of a depth a pass has at least when it is not urgent."""
    return settings.condensed_fanout if depth else settings.leaf_fanout


def least_condensed(settings: Settings) -> int:
    """Return how many tokens the sources of a condensed pass have at least."""
    return max(settings.condensed_target, settings.leaf_chunk // 10)


def prior(entries: Chunk, chunk: Chunk) -> tuple[SummaryItem, ...]:
    """Return the nearest summaries before a chunk, oldest first."""
    before = entries[: entries.index(chunk[0])]
    return tuple(one.item for one in before if isinstance(one.item, SummaryItem))[-PRIOR:]


def found_at(entries: Chunk, items: tuple[Item, ...]) -> int | None:
    """Return where these items begin to stand, in order and side by side; None if they do not."""
    every = [one.item for one in entries]
    starts = range(len(every) - len(items) + 1)
    return next((at for at in starts if tuple(every[at : at + len(items)]) == items), None)


def is_even(chunk: Chunk) -> bool:
    """Tell whether a chunk is of messages alone, or of summaries of one depth."""
    return all(one.depth == other.depth for one, other in pairwise(chunk))
