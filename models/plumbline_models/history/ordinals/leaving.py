"""Pruning, forgetting and evicting that lose more than they record, or record too much."""

from msgspec.structs import replace

from plumbline_models.history import CONSTRUCTED, Variant
from plumbline_models.history.ordinals.making import (
    ONE,
    WHOLE,
    OrdinalsVariant,
    accepting,
    items_of,
    listed,
    recorded,
    refusing,
    right,
    ruled,
    stepping,
    tampered,
    with_summaries,
)
from plumbline_models.ordinals.queries import expand
from plumbline_models.ordinals.values import (
    Append,
    Cause,
    Conversation,
    Event,
    Forget,
    Forgotten,
    MessageItem,
    Open,
    Opened,
    Outcome,
    Prune,
    Reason,
    Replace,
    RollBack,
    Rules,
    State,
    SummaryItem,
)

_ROOM = 2
"""Items that the context of an evicting variant has room for."""


def _items_only(at: Conversation, then: Conversation, event: Forget) -> Conversation:
    del event
    return replace(then, messages=at.messages, losses=at.losses)


def _although_covered(at: Conversation, event: Forget) -> tuple[Conversation, Outcome]:
    """Delete the messages and leave the lineage that names them."""
    lost = at
    for message in event.messages:
        lost = recorded(lost, Cause.FORGOTTEN, MessageItem(id=message))
    kept = tuple(one for one in at.messages if one.id not in event.messages)
    standing = [item for item in items_of(at) if item.id not in event.messages]
    removed = tuple(one for one in event.messages if MessageItem(id=one) in items_of(at))
    return replace(listed(lost, standing), messages=kept), Forgotten(removed=removed)


def _rows_deleted(at: Conversation, then: Conversation, event: Prune) -> Conversation:
    del event
    gone = set(items_of(at)) - set(items_of(then))
    return with_summaries(
        then, (one for one in then.summaries if SummaryItem(id=one.id) not in gone)
    )


def _sources_deleted(at: Conversation, then: Conversation, event: Prune) -> Conversation:
    """Delete every summary that is too shallow, but those that were pruned themselves."""
    del at
    spared = {*items_of(then), *(loss.item for loss in then.losses)}
    least = 0 if event.retain_depth is None else event.retain_depth
    return with_summaries(
        then,
        (one for one in then.summaries if one.depth >= least or SummaryItem(id=one.id) in spared),
    )


def _oldest_unrecorded(at: Conversation, then: Conversation, event: Append) -> Conversation:
    del at, event
    return listed(then, items_of(then)[-_ROOM:])


def _oldest_summary_as_pruned(at: Conversation, then: Conversation, event: Append) -> Conversation:
    del at, event
    items = items_of(then)
    summaries = [item for item in items if isinstance(item, SummaryItem)]
    if len(items) <= _ROOM or not summaries:
        return then
    kept = (item for item in items if item != summaries[0])
    return listed(recorded(then, Cause.PRUNED, summaries[0]), kept)


def _brought_back(at: Conversation, event: Open) -> tuple[Conversation, Outcome] | None:
    """Place what was pruned again, and drop the records of it."""
    del event
    pruned = [loss for loss in at.losses if loss.cause is Cause.PRUNED]
    if not pruned:
        return None
    kept = tuple(loss for loss in at.losses if loss not in pruned)
    items = (*(loss.item for loss in pruned), *items_of(at))
    return replace(listed(at, items), losses=kept), Opened()


def _deeply_recorded(at: Conversation, then: Conversation, event: Prune) -> Conversation:
    """Record also what the pruned summaries cover, as if each of it had left the context now."""
    del event
    lost = then
    for item in items_of(at):
        if isinstance(item, SummaryItem) and item not in items_of(then):
            for message in expand(at, item):
                lost = recorded(lost, Cause.PRUNED, MessageItem(id=message))
    return lost


def _or_none(state: State, event: Event) -> tuple[State, Outcome]:
    """Take the step with a retain depth of 0 taken for none."""
    if isinstance(event, Prune) and event.retain_depth == 0:
        return right(state, replace(event, retain_depth=None))
    return right(state, event)


def _unrecorded(at: Conversation, then: Conversation, event: Forget) -> Conversation:
    del event
    return replace(then, losses=at.losses)


def _has_lost(at: Conversation, event: Replace | RollBack) -> bool:
    del event
    return bool(at.losses)


VARIANTS: tuple[OrdinalsVariant, ...] = (
    Variant(
        name="PRUNED_UNRECORDED",
        machine=ruled(Rules(name="PRUNED_UNRECORDED", prune_records=False)),
        breaks="ORD-5",
        source="lossless-claw, all releases",
        story="A new session takes items out of the context and writes down nothing, so that"
        " afterwards a loss cannot be told from a prune.",
        scope=ONE,
    ),
    Variant(
        name="PRUNED_ROWS",
        machine=stepping("PRUNED_ROWS", tampered(Prune, _rows_deleted)),
        breaks="ORD-5",
        source="hermes-lcm, session reset",
        story="A reset deletes the rows of the summaries that leave: the record names a summary"
        " that expands to nothing, and nobody knows any more which messages left with it.",
        scope=ONE,
    ),
    Variant(
        name="PRUNED_SOURCES",
        machine=stepping("PRUNED_SOURCES", tampered(Prune, _sources_deleted)),
        breaks="ORD-6",
        source="hermes-lcm, session reset",
        story="A reset deletes every summary that is too shallow, the sources of those that it"
        " keeps included: what was carried over expands to nothing.",
        scope=ONE,
    ),
    Variant(
        name="BROUGHT_BACK",
        machine=stepping(
            "BROUGHT_BACK", accepting(Open, Reason.CONVERSATION_EXISTS, _brought_back)
        ),
        breaks="ORD-17",
        source="lossless-claw PR #957",
        story="A repair takes a deliberate reset for damage: what was put away stands in the"
        " context again, and nothing tells any more that it was put away.",
        scope=ONE,
    ),
    Variant(
        name="RECORDED_TWICE",
        machine=stepping("RECORDED_TWICE", tampered(Prune, _deeply_recorded)),
        breaks="ORD-17",
        source=CONSTRUCTED,
        story="Pruning a summary records the messages that it covers as well. They did not leave"
        " the context now, and who counts the records counts them twice.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="ZERO_IS_NONE",
        machine=stepping("ZERO_IS_NONE", _or_none),
        breaks="ORD-25",
        source="hermes-lcm, session reset",
        story="A retain depth of 0, which keeps all summaries, is taken for no retain depth,"
        " which keeps none.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="EVICTED",
        machine=stepping("EVICTED", tampered(Append, _oldest_summary_as_pruned)),
        breaks="ORD-17",
        source="Volt, mode dolt",
        story="When an append makes the context too long, the oldest summary is evicted and"
        " passes as pruned, though nobody asked for a prune.",
        scope=ONE,
    ),
    Variant(
        name="CAPPED",
        machine=stepping("CAPPED", tampered(Append, _oldest_unrecorded)),
        breaks="ORD-5",
        source="hermes-lcm 0.21, assembly cap",
        story="Items over the cap leave the list at the next append; no summary covers them, and"
        " nothing says so.",
        scope=ONE,
    ),
    Variant(
        name="FORGOT_THE_PLACE_ONLY",
        machine=stepping("FORGOT_THE_PLACE_ONLY", tampered(Forget, _items_only)),
        breaks="ORD-5",
        source="lossless-agent 0.1.0",
        story="Forgetting removes the item from the context and keeps the message: it is stored,"
        " not in the context, not covered, and nobody recorded that it was to be forgotten.",
        scope=ONE,
    ),
    Variant(
        name="FORGOT_UNRECORDED",
        machine=stepping("FORGOT_UNRECORDED", tampered(Forget, _unrecorded)),
        breaks="ORD-22",
        source="lossless-claw, all releases",
        story="Forgetting deletes the rows of messages and writes down nothing; the numbers that"
        " are missing afterwards may as well be a loss.",
        scope=ONE,
    ),
    Variant(
        name="FORGOT_THE_COVERED",
        machine=stepping(
            "FORGOT_THE_COVERED", accepting(Forget, Reason.COVERED_ITEM, _although_covered)
        ),
        breaks="ORD-6",
        source=CONSTRUCTED,
        story="A covered message is deleted. The lineage still names it, and a rollback would"
        " restore what is gone.",
        scope=ONE,
    ),
    Variant(
        name="FROZEN",
        machine=stepping(
            "FROZEN",
            refusing(
                RollBack,
                Reason.NOT_IN_CONTEXT,
                _has_lost,
                refusing(Replace, Reason.STALE_RANGE, _has_lost),
            ),
        ),
        breaks="ORD-20",
        source="lossless-claw issue #1055; #687, #860",
        story="After a new session the conversation is frozen for good: nothing is replaced or"
        " rolled back in it any more. (There it is ingestion that freezes.)",
        scope=WHOLE,
        sole=True,
    ),
)
