"""The step of ordinals: one function an event, guards in the chapter's order.

Chapter ``spec/ordinals.md``, "Events".
"""

from collections.abc import Iterable
from typing import assert_never

from msgspec.structs import replace

from plumbline_models.closing import Closing, Failure, close_up
from plumbline_models.ordinals.queries import coverers, find, position, ranked, settle, summary_of
from plumbline_models.ordinals.values import (
    Append,
    Appended,
    Cause,
    Conversation,
    Depth,
    Event,
    Failed,
    Forget,
    Forgotten,
    Item,
    Loss,
    Message,
    MessageId,
    MessageItem,
    Numbering,
    Open,
    Opened,
    Ordinal,
    Outcome,
    Placed,
    Prune,
    Pruned,
    Reason,
    Refused,
    Replace,
    Replaced,
    RollBack,
    RolledBack,
    Rules,
    Sequence,
    State,
    Summary,
    SummaryId,
    SummaryItem,
)


def step(rules: Rules, state: State, event: Event) -> tuple[State, Outcome]:
    """Apply one event (chapter, "Events").

    Total: every event in every state has an outcome. ``Refused`` and ``Failed`` return ``state``
    itself.
    """
    if isinstance(event, Open):
        return _open(state, event)
    at = find(state, event.conversation)
    if at is None:
        return state, Refused(reason=Reason.UNKNOWN_CONVERSATION)
    match event:
        case Append():
            return _append(rules, state, at, event)
        case Replace():
            return _replace(rules, state, at, event)
        case RollBack():
            return _roll_back(state, at, event)
        case Prune():
            return _prune(rules, state, at, event)
        case Forget():
            return _forget(rules, state, at, event)
        case _:
            assert_never(event)


def _open(state: State, event: Open) -> tuple[State, Outcome]:
    if find(state, event.conversation) is not None:
        return state, Refused(reason=Reason.CONVERSATION_EXISTS)
    opened = (*state.conversations, Conversation(id=event.conversation))
    return State(conversations=tuple(sorted(opened, key=lambda one: one.id))), Opened()


def _append(rules: Rules, state: State, at: Conversation, event: Append) -> tuple[State, Outcome]:
    reason = _append_refusal(state, at, event)
    if reason is not None:
        return state, Refused(reason=reason)
    sequence = _next_sequence(rules, at)
    ordinal = Ordinal(max((entry.ordinal for entry in at.context), default=-1) + 1)
    messages = tuple(
        Message(id=draft.id, sequence=Sequence(sequence + index), text=draft.text)
        for index, draft in enumerate(event.messages)
    )
    placed = tuple(
        Placed(ordinal=Ordinal(ordinal + index), item=MessageItem(id=draft.id))
        for index, draft in enumerate(event.messages)
    )
    after = replace(
        at,
        next_sequence=Sequence(sequence + len(messages)),
        messages=at.messages + messages,
        context=at.context + placed,
    )
    return settle(state, after), Appended(ordinal=ordinal, sequence=sequence)


def _append_refusal(state: State, at: Conversation, event: Append) -> Reason | None:
    named = [draft.id for draft in event.messages]
    if not named:
        return Reason.EMPTY_BATCH
    if len(set(named)) < len(named):
        return Reason.DUPLICATE_ITEM
    for message in named:
        reason = _message_standing(state, at, message)
        if reason is not Reason.UNKNOWN_ITEM:
            return Reason.ALREADY_PLACED if reason is None else reason
    return None


def _next_sequence(rules: Rules, at: Conversation) -> Sequence:
    match rules.numbering:
        case Numbering.COUNTER:
            return at.next_sequence
        case Numbering.MAX_PLUS_ONE:
            return Sequence(max((position(at, entry.item) for entry in at.context), default=0) + 1)
        case _:
            assert_never(rules.numbering)


def _replace(rules: Rules, state: State, at: Conversation, event: Replace) -> tuple[State, Outcome]:
    reason = _replace_refusal(rules, state, at, event)
    if reason is not None:
        return state, Refused(reason=reason)
    depth = Depth(1 + max(_depth(at, item) for item in event.items))
    summary = Summary(id=event.summary, depth=depth, text=event.text, sources=event.items)
    removed = _removed(rules, at, event)
    if not removed:
        return state, Refused(reason=Reason.STALE_RANGE)
    first, *others = removed
    entry = Placed(ordinal=first.ordinal, item=SummaryItem(id=event.summary))
    rows = [entry if kept == first else kept for kept in at.context if kept not in others]
    context = _close_up(rules.closing, rows, first.ordinal, removed[-1].ordinal)
    if isinstance(context, Failed):
        return state, context
    summaries = tuple(sorted((*at.summaries, summary), key=lambda one: one.id))
    return settle(state, replace(at, summaries=summaries, context=context)), Replaced(depth=depth)


def _depth(at: Conversation, item: Item) -> int:
    if isinstance(item, MessageItem):
        return -1
    summary = summary_of(at, item.id)
    return -1 if summary is None else summary.depth


def _removed(rules: Rules, at: Conversation, event: Replace) -> list[Placed]:
    """Return the entries named; without the stale check, those that stand there now."""
    if rules.stale_check or event.first is None or event.last is None:
        return [entry for entry in at.context if entry.item in event.items]
    return [entry for entry in at.context if event.first <= entry.ordinal <= event.last]


def _replace_refusal(rules: Rules, state: State, at: Conversation, event: Replace) -> Reason | None:
    """Return the first reason of the chapter's list that holds, or None."""
    if not event.items:
        return Reason.EMPTY_RANGE
    if len(set(event.items)) < len(event.items):
        return Reason.DUPLICATE_ITEM
    if len(set(map(type, event.items))) > 1:
        return Reason.MIXED_ITEMS
    for one in state.conversations:
        if summary_of(one, event.summary) is not None:
            return Reason.ALREADY_PLACED if one is at else Reason.FOREIGN_ITEM
    for item in event.items:
        reason = _item_standing(state, at, item)
        if reason is not None and reason is not Reason.FORGOTTEN_ITEM:
            return reason
    return _range_refusal(at, event) if rules.stale_check else None


def _range_refusal(at: Conversation, event: Replace) -> Reason | None:
    ordinals = {entry.item: entry.ordinal for entry in at.context}
    found = [ordinals[item] for item in event.items if item in ordinals]
    if len(found) < len(event.items) or found != sorted(found):
        return Reason.STALE_RANGE
    first, last = found[0], found[-1]
    if sum([first <= entry.ordinal <= last for entry in at.context]) != len(event.items):
        return Reason.NOT_ADJACENT
    if event.first not in (None, first) or event.last not in (None, last):
        return Reason.STALE_RANGE
    return None


def _item_standing(state: State, at: Conversation, item: Item) -> Reason | None:
    """Return why an item cannot be named in this conversation, or None when it is stored here."""
    match item:
        case MessageItem(id=message):
            return _message_standing(state, at, message)
        case SummaryItem(id=summary):
            return _summary_standing(state, at, summary)
        case _:
            assert_never(item)


def _message_standing(state: State, at: Conversation, message: MessageId) -> Reason | None:
    item = MessageItem(id=message)
    for one in state.conversations:
        for stored in one.messages:
            if stored.id == message:
                return None if one is at else Reason.FOREIGN_ITEM
        for loss in one.losses:
            if loss.item == item and loss.cause is Cause.FORGOTTEN:
                return Reason.FORGOTTEN_ITEM if one is at else Reason.FOREIGN_ITEM
    return Reason.UNKNOWN_ITEM


def _summary_standing(state: State, at: Conversation, summary: SummaryId) -> Reason | None:
    for one in state.conversations:
        if summary_of(one, summary) is not None:
            return None if one is at else Reason.FOREIGN_ITEM
    return Reason.UNKNOWN_ITEM


def _roll_back(state: State, at: Conversation, event: RollBack) -> tuple[State, Outcome]:
    reason = _summary_standing(state, at, event.summary)
    if reason is not None:
        return state, Refused(reason=reason)
    item = SummaryItem(id=event.summary)
    if all(entry.item != item for entry in at.context):
        return state, Refused(reason=Reason.NOT_IN_CONTEXT)
    (sources,) = [one.sources for one in at.summaries if one.id == event.summary]
    restored = [
        one for entry in at.context for one in (sources if entry.item == item else (entry.item,))
    ]
    summaries = tuple(one for one in at.summaries if one.id != event.summary)
    after = replace(at, summaries=summaries, context=ranked(restored))
    return settle(state, after), RolledBack(restored=sources)


def _prune(rules: Rules, state: State, at: Conversation, event: Prune) -> tuple[State, Outcome]:
    def stays(item: Item) -> bool:
        return (
            isinstance(item, SummaryItem)
            and event.retain_depth is not None
            and _depth(at, item) >= event.retain_depth
        )

    removed = tuple([entry.item for entry in at.context if not stays(entry.item)])
    after = _lose(at, Cause.PRUNED, removed) if rules.prune_records else at
    return _leave(rules, state, after, removed), Pruned(removed=removed)


def _forget(rules: Rules, state: State, at: Conversation, event: Forget) -> tuple[State, Outcome]:
    reason = _forget_refusal(state, at, event)
    if reason is not None:
        return state, Refused(reason=reason)
    named = tuple(MessageItem(id=message) for message in event.messages)
    removed = tuple(
        entry.item.id
        for entry in at.context
        if isinstance(entry.item, MessageItem) and entry.item in named
    )
    lost = _lose(at, Cause.FORGOTTEN, named)
    kept = tuple(stored for stored in at.messages if stored.id not in event.messages)
    return _leave(rules, state, replace(lost, messages=kept), named), Forgotten(removed=removed)


def _forget_refusal(state: State, at: Conversation, event: Forget) -> Reason | None:
    if not event.messages:
        return Reason.EMPTY_BATCH
    if len(set(event.messages)) < len(event.messages):
        return Reason.DUPLICATE_ITEM
    for message in event.messages:
        reason = _message_standing(state, at, message)
        if reason is None and MessageItem(id=message) in coverers(at):
            reason = Reason.COVERED_ITEM
        if reason is not None:
            return reason
    return None


def _lose(at: Conversation, cause: Cause, items: Iterable[Item]) -> Conversation:
    """Return the conversation with a loss recorded for each item."""
    recorded = [Loss(position=position(at, item), cause=cause, item=item) for item in items]
    losses = sorted(
        (*at.losses, *recorded), key=lambda loss: (loss.position, loss.cause is Cause.PRUNED)
    )
    return replace(at, losses=tuple(losses))


def _leave(rules: Rules, state: State, at: Conversation, items: tuple[Item, ...]) -> State:
    """Return the state in which the items have left the context of a conversation."""
    kept = [entry for entry in at.context if entry.item not in items]
    context = ranked([entry.item for entry in kept]) if rules.prune_closes else tuple(kept)
    return settle(state, replace(at, context=context))


def _close_up(
    closing: Closing, rows: list[Placed], first: Ordinal, last: Ordinal
) -> tuple[Placed, ...] | Failed:
    table = {int(row.ordinal): row.item for row in rows}
    visit = sorted(table, key=lambda ordinal: isinstance(table[ordinal], SummaryItem))
    closed = close_up(closing, table, visit, first, last)
    if isinstance(closed, Failure):
        return Failed(constraint=closed.constraint)
    placed = [Placed(ordinal=Ordinal(ordinal), item=closed[ordinal]) for ordinal in sorted(closed)]
    return tuple(placed)
