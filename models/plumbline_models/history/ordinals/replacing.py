"""Replacements that take or place the wrong items, or never happen, and wrong rollbacks."""

from collections.abc import Iterator

from msgspec.structs import replace

from plumbline_models.history import CONSTRUCTED, Variant
from plumbline_models.history.ordinals.making import (
    ONE,
    WHOLE,
    OrdinalsVariant,
    accepting,
    items_of,
    listed,
    offered,
    refusing,
    ruled,
    standing,
    stepping,
    summarised,
    tampered,
    with_summaries,
)
from plumbline_models.ordinals.queries import coverers, summary_of
from plumbline_models.ordinals.values import (
    Conversation,
    Event,
    Item,
    MessageItem,
    Ordinal,
    Outcome,
    Reason,
    Replace,
    Replaced,
    RollBack,
    RolledBack,
    Rules,
    State,
    Summary,
    SummaryId,
    SummaryItem,
)

_SHORT = 2
"""Items of a range that is removed whole even where a longer one is not."""


def _stale(state: State) -> Iterator[Event]:
    """Yield what a caller asks for who read the context when every message stood in it."""
    for at in state.conversations:
        items = tuple(MessageItem(id=one.id) for one in at.messages)
        for stop in range(1, len(items) + 1):
            yield Replace(
                conversation=at.id,
                summary=SummaryId("stale"),
                text="",
                items=items[:stop],
                first=Ordinal(0),
                last=Ordinal(stop - 1),
            )


def _beside(at: Conversation, then: Conversation, event: Replace) -> Conversation:
    """Put the summary before the items and leave them where they are."""
    items = items_of(at)
    start = items.index(event.items[0])
    return listed(then, (*items[:start], SummaryItem(id=event.summary), *items[start:]))


def _last_left(at: Conversation, then: Conversation, event: Replace) -> Conversation:
    """Leave the last item of a longer range where it was: a range that ends one row early."""
    del at
    if len(event.items) <= _SHORT:
        return then
    items = items_of(then)
    behind = items.index(SummaryItem(id=event.summary)) + 1
    return listed(then, (*items[:behind], event.items[-1], *items[behind:]))


def _untouched(at: Conversation, then: Conversation, event: Replace) -> Conversation:
    of_summaries = isinstance(event.items[0], SummaryItem)
    return replace(then, context=at.context) if of_summaries else then


def _at_the_end(at: Conversation, then: Conversation, event: Replace) -> Conversation:
    del at
    summary = SummaryItem(id=event.summary)
    return listed(then, (*(item for item in items_of(then) if item != summary), summary))


def _in_their_place(at: Conversation, event: Replace, removed: set[Item]) -> Conversation:
    summary = SummaryItem(id=event.summary)
    items = [summary if item == event.items[0] else item for item in items_of(at)]
    return listed(summarised(at, event), (item for item in items if item not in removed))


def _around_holes(at: Conversation, event: Replace) -> tuple[Conversation, Outcome]:
    after = _in_their_place(at, event, set(event.items))
    return after, _replaced(after, event)


def _from_least_to_greatest(at: Conversation, event: Replace) -> tuple[Conversation, Outcome]:
    items = items_of(at)
    span = items[items.index(event.items[0]) : items.index(event.items[-1]) + 1]
    after = _in_their_place(at, event, set(span))
    return after, _replaced(after, event)


def _replaced(after: Conversation, event: Replace) -> Replaced:
    (depth,) = [one.depth for one in after.summaries if one.id == event.summary]
    return Replaced(depth=depth)


def _all_before(at: Conversation, then: Conversation, event: Replace) -> Conversation:
    """Take everything before the summary out of the context: it is behind the frontier."""
    del at
    items = items_of(then)
    return listed(then, items[items.index(SummaryItem(id=event.summary)) :])


def _again(at: Conversation, event: Replace) -> tuple[Conversation, Outcome] | None:
    """Cover items that are covered already by a second summary beside the first."""
    if not set(event.items) <= set(coverers(at)):
        return None
    after = listed(summarised(at, event), (*items_of(at), SummaryItem(id=event.summary)))
    return after, _replaced(after, event)


def _oldest_one(at: Conversation, then: Conversation, event: Replace) -> Conversation:
    """Keep the oldest summary of the context, as a query with a limit of one does."""
    del at, event
    newer = [item for item in items_of(then) if isinstance(item, SummaryItem)][1:]
    return listed(then, (item for item in items_of(then) if item not in newer))


def _summary_behind(at: Conversation, event: Replace) -> bool:
    items = items_of(at)
    behind = items[items.index(event.items[-1]) + 1 :]
    return any(isinstance(item, SummaryItem) for item in behind)


def _not_the_oldest(at: Conversation, event: Replace) -> bool:
    return items_of(at)[0] != event.items[0]


def _of_summaries(at: Conversation, event: Replace) -> bool:
    del at
    return isinstance(event.items[0], SummaryItem)


def _leaf(at: Conversation, event: RollBack) -> bool:
    summary = summary_of(at, event.summary)
    return summary is not None and summary.depth == 0


def _toggled(then: Conversation, spared: set[Item]) -> Conversation:
    """Add a mark to the text of the other summaries of the context, or take it away."""
    marked = {one.id for one in standing(then) if SummaryItem(id=one.id) not in spared}

    def toggle(one: Summary) -> Summary:
        text = one.text.removesuffix("*") if one.text.endswith("*") else f"{one.text}*"
        return replace(one, text=text) if one.id in marked else one

    return with_summaries(then, (toggle(one) for one in then.summaries))


def _after_replacement(at: Conversation, then: Conversation, event: Replace) -> Conversation:
    del at
    return _toggled(then, {SummaryItem(id=event.summary)})


def _after_rollback(at: Conversation, then: Conversation, event: RollBack) -> Conversation:
    return _toggled(then, set(_sources(at, event)))


def _sources(at: Conversation, event: RollBack) -> tuple[Item, ...]:
    summary = summary_of(at, event.summary)
    return () if summary is None else summary.sources


def _backwards(at: Conversation, then: Conversation, event: RollBack) -> Conversation:
    sources = _sources(at, event)
    turned = iter(sources[::-1])
    return listed(then, (next(turned) if item in sources else item for item in items_of(then)))


def _last_of_all(at: Conversation, then: Conversation, event: RollBack) -> Conversation:
    sources = _sources(at, event)
    return listed(then, (*(item for item in items_of(then) if item not in sources), *sources))


def _row_kept(at: Conversation, then: Conversation, event: RollBack) -> Conversation:
    del event
    return replace(then, summaries=at.summaries)


def _row_deleted(at: Conversation, event: RollBack) -> tuple[Conversation, Outcome]:
    others = (one for one in at.summaries if one.id != event.summary)
    return with_summaries(at, others), RolledBack(restored=())


VARIANTS: tuple[OrdinalsVariant, ...] = (
    Variant(
        name="UNCHECKED_RANGE",
        machine=offered(ruled(Rules(name="UNCHECKED_RANGE", stale_check=False)), _stale),
        breaks="ORD-5",
        source="lossless-claw, all releases (probed)",
        story="A range is read, summarised for a while, and then replaced by its ordinals,"
        " whatever stands there by now. A message that came to stand there leaves the context, and"
        " no summary covers it.",
        scope=ONE,
    ),
    Variant(
        name="NEVER_REMOVED",
        machine=stepping("NEVER_REMOVED", tampered(Replace, _beside)),
        breaks="ORD-3",
        source="lossless-claw issue #203",
        story="Summaries are made and placed, and the messages that they cover stay in the"
        " context, which grows.",
        scope=ONE,
    ),
    Variant(
        name="LAST_LEFT",
        machine=stepping("LAST_LEFT", tampered(Replace, _last_left)),
        breaks="ORD-3",
        source=CONSTRUCTED,
        story="A range of more than two items ends one row early: the last item is covered and"
        " stays in the context.",
        scope=ONE,
    ),
    Variant(
        name="CONDENSED_BESIDE",
        machine=stepping("CONDENSED_BESIDE", tampered(Replace, _untouched)),
        breaks="ORD-3",
        source="lossless-agent 0.1.0",
        story="Condensing stores a summary of summaries and leaves the context alone: the sources"
        " still stand there.",
        scope=ONE,
    ),
    Variant(
        name="AT_THE_END",
        machine=stepping("AT_THE_END", tampered(Replace, _at_the_end)),
        breaks="ORD-5",
        source="lossless-agent 0.1.0",
        story="The summary of the oldest messages gets the greatest ordinal and one more: it is"
        " read after the newest.",
        scope=ONE,
    ),
    Variant(
        name="AROUND_HOLES",
        machine=stepping("AROUND_HOLES", accepting(Replace, Reason.NOT_ADJACENT, _around_holes)),
        breaks="ORD-5",
        source="Volt",
        story="Items that are not adjacent become one summary at the earliest place. What stood"
        " between them is read after what followed it.",
        scope=ONE,
    ),
    Variant(
        name="LEAST_TO_GREATEST",
        machine=stepping(
            "LEAST_TO_GREATEST", accepting(Replace, Reason.NOT_ADJACENT, _from_least_to_greatest)
        ),
        breaks="ORD-5",
        source="Forge, forge_domain compaction",
        story="Some items are selected and everything from the first to the last of them is"
        " removed, the others included; no summary covers those.",
        scope=ONE,
    ),
    Variant(
        name="FRONTIER_JUMP",
        machine=stepping("FRONTIER_JUMP", tampered(Replace, _all_before)),
        breaks="ORD-5",
        source="hermes-lcm issue #466",
        story="What is compacted is one number, the frontier. A row that selection skipped lies"
        " behind it after the next pass: not in the context and in no summary.",
        scope=ONE,
    ),
    Variant(
        name="COVERED_TWICE",
        machine=stepping("COVERED_TWICE", accepting(Replace, Reason.STALE_RANGE, _again)),
        breaks="ORD-4",
        source="hermes-lcm #300",
        story="A second engine compacts a range while the first still summarises it, and both"
        " summaries are kept; later they are condensed, and each message is told twice.",
        scope=ONE,
    ),
    Variant(
        name="LIMITED_QUERY",
        machine=stepping("LIMITED_QUERY", tampered(Replace, _oldest_one)),
        breaks="ORD-5",
        source="hermes-lcm; lcm-x before 0.25.0, #750",
        story="The summaries of the context are read by a query with a limit (100 there, one"
        " here). Those beyond it are in no context.",
        scope=ONE,
    ),
    Variant(
        name="TEXTS_TOUCHED",
        machine=stepping(
            "TEXTS_TOUCHED",
            tampered(RollBack, _after_rollback, tampered(Replace, _after_replacement)),
        ),
        breaks="ORD-13",
        source=CONSTRUCTED,
        story="A replacement writes a note into every other summary of the context, and a"
        " rollback takes it out.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="NEVER_CONDENSED",
        machine=stepping("NEVER_CONDENSED", refusing(Replace, Reason.STALE_RANGE, _of_summaries)),
        breaks="ORD-18",
        source=CONSTRUCTED,
        story="Summaries are never replaced. Nothing is lost, and the context grows without an"
        " end.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="OLDEST_RUN_ONLY",
        machine=stepping("OLDEST_RUN_ONLY", refusing(Replace, Reason.STALE_RANGE, _not_the_oldest)),
        breaks="ORD-19",
        source="lossless-claw, all releases",
        story="Only the oldest run is ever looked at: while it is not worth a summary, all later"
        " ones wait.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="FORWARD_ONLY",
        machine=stepping("FORWARD_ONLY", refusing(Replace, Reason.STALE_RANGE, _summary_behind)),
        breaks="ORD-12",
        source="lcm-x #559, #581, #594",
        story="The frontier only moves forward: items with a summary behind them are refused as a"
        " conflict, in every later pass, and what a rollback restored cannot be replaced again.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="CONDENSED_ONLY",
        machine=stepping("CONDENSED_ONLY", refusing(RollBack, Reason.NOT_IN_CONTEXT, _leaf)),
        breaks="ORD-11",
        source="lossless-claw TUI, dissolve",
        story="Dissolving puts the sources of a condensed summary back. For a summary of messages"
        " there is nothing that does it.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="ROLLED_BACKWARDS",
        machine=stepping("ROLLED_BACKWARDS", tampered(RollBack, _backwards)),
        breaks="ORD-11",
        source=CONSTRUCTED,
        story="The sources stand in the right place again and in the wrong order.",
        scope=ONE,
    ),
    Variant(
        name="ROLLED_TO_THE_END",
        machine=stepping("ROLLED_TO_THE_END", tampered(RollBack, _last_of_all)),
        breaks="ORD-11",
        source=CONSTRUCTED,
        story="The place is not remembered: what is restored is appended.",
        scope=ONE,
    ),
    Variant(
        name="ROW_KEPT",
        machine=stepping("ROW_KEPT", tampered(RollBack, _row_kept)),
        breaks="ORD-11",
        source="lossless-claw TUI, dissolve without purge",
        story="The sources stand in the context again, and the summary is still stored with its"
        " lineage over them.",
        scope=ONE,
    ),
    Variant(
        name="ROLLED_BACK_ANYWHERE",
        machine=stepping(
            "ROLLED_BACK_ANYWHERE", accepting(RollBack, Reason.NOT_IN_CONTEXT, _row_deleted)
        ),
        breaks="ORD-5",
        source=CONSTRUCTED,
        story="A summary is deleted although it does not stand in the context: what covers it, or"
        " records its loss, expands to nothing.",
        scope=ONE,
    ),
)
