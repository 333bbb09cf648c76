"""What summaries cover: read from lineage, recomputed each time, as the model does.

Chapter ``spec/compaction.md``, "State".
"""

from collections.abc import Iterable

from plumbline_models import intake
from plumbline_models.compaction.selection import said_of
from plumbline_models.compaction.values import Extent, State
from plumbline_models.decisions.sources import Block, files_in, source_of
from plumbline_models.ordinals.queries import summary_of
from plumbline_models.ordinals.values import (
    Conversation,
    Item,
    MessageItem,
    Summary,
    SummaryId,
    SummaryItem,
)
from plumbline_models.tokens.queries import counts_of, ledger_of, texts_of


def extent_of(state: State, at: Conversation, summary: Summary) -> Extent:
    """Return the extent that follows from the lineage of a stored summary."""
    counts = counts_of(ledger_of(state.taken.ledger, at.id))
    below = _below(at, summary)
    messages = [one for one in below if isinstance(one, MessageItem)]
    summaries = [one for one in below if isinstance(one, SummaryItem)]
    said = said_of(state, at.id)
    times = [said[one.id].time for one in messages if one.id in said]
    known = [time for time in times if time is not None]
    return Extent(
        summary=summary.id,
        earliest=known[0] if known else None,
        latest=known[-1] if known else None,
        descendants=len(summaries),
        descendant_tokens=sum(counts.get(one, 0) for one in summaries),
        source_tokens=sum(counts.get(one, 0) for one in messages),
        files=_files(at, below),
    )


def _below(at: Conversation, summary: Summary) -> list[Item]:
    """Return everything below a summary, oldest first; each summary follows what it covers.

    A lineage that leads back to itself is followed once.
    """
    found: list[Item] = []
    seen = {summary.id}
    waiting: list[tuple[Item, bool]] = [(one, False) for one in reversed(summary.sources)]
    while waiting:
        item, opened = waiting.pop()
        source = summary_of(at, item.id) if isinstance(item, SummaryItem) else None
        if opened or source is None or source.id in seen:
            found.append(item)
            continue
        seen.add(source.id)
        waiting.append((item, True))
        waiting += [(one, False) for one in reversed(source.sources)]
    return found


def _files(at: Conversation, below: list[Item]) -> tuple[str, ...]:
    texts = texts_of(at)
    return tuple(dict.fromkeys(name for item in below for name in files_in(texts.get(item, ""))))


def with_extents(state: State, after: intake.State) -> State:
    """Return the state after a step of intake: extents of what is new, none of what is gone."""
    known = {one.summary: one for one in state.extents}
    moved = State(taken=after, extents=state.extents)
    extents = [
        known[summary.id] if summary.id in known else extent_of(moved, at, summary)
        for at in after.ledger.lists.conversations
        for summary in at.summaries
    ]
    return State(taken=after, extents=tuple(sorted(extents, key=lambda one: one.summary)))


def extent_named(state: State, summary: SummaryId) -> Extent | None:
    """Return the extent of a summary, or None."""
    return next((one for one in state.extents if one.summary == summary), None)


def source(state: State, at: Conversation, items: Iterable[Item]) -> str:
    """Return the text that stands for items when a summariser is asked, or when it is cut."""
    texts, said = texts_of(at), said_of(state, at.id)
    blocks: list[Block] = []
    for item in items:
        if isinstance(item, MessageItem):
            entry = said.get(item.id)
            role, time = (None, None) if entry is None else (entry.role, entry.time)
            blocks.append(Block(text=texts.get(item, ""), role=role, since=time, until=time))
        else:
            extent = extent_named(state, item.id)
            since, until = (None, None) if extent is None else (extent.earliest, extent.latest)
            blocks.append(Block(text=texts.get(item, ""), since=since, until=until))
    return source_of(blocks)
