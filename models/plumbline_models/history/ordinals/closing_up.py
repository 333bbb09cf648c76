"""Ordinals closed up wrongly: behind a replacement, behind a prune, in a reordering."""

from msgspec.structs import replace

from plumbline_models.closing import CONSTRAINT, Closing
from plumbline_models.history import CONSTRUCTED, Variant
from plumbline_models.history.ordinals.making import (
    ONE,
    WHOLE,
    OrdinalsVariant,
    disguised,
    items_of,
    listed,
    right,
    ruled,
    stepping,
    tampered,
)
from plumbline_models.ordinals import Scope
from plumbline_models.ordinals.queries import find
from plumbline_models.ordinals.values import (
    Appended,
    Conversation,
    ConversationId,
    Event,
    Failed,
    Item,
    Message,
    MessageId,
    MessageItem,
    Ordinal,
    Outcome,
    Placed,
    Replace,
    Replaced,
    Rules,
    Sequence,
    State,
    SummaryItem,
)

_LONGER = Scope(conversations=1, messages=4, summaries=2)


def _seeded(*ordinals: int) -> State:
    """Return a conversation whose messages stand at these ordinals."""
    numbers = range(1, len(ordinals) + 1)
    messages = tuple(
        Message(id=MessageId(f"m{number}"), sequence=Sequence(number), text=f"text of m{number}")
        for number in numbers
    )
    context = tuple(
        Placed(ordinal=Ordinal(ordinal), item=MessageItem(id=message.id))
        for ordinal, message in zip(ordinals, messages, strict=True)
    )
    seeded = Conversation(
        id=ConversationId("c1"),
        next_sequence=Sequence(len(ordinals) + 1),
        messages=messages,
        context=context,
    )
    return State(conversations=(seeded,))


def _moved(at: Conversation, by: int) -> Conversation:
    context = tuple(
        Placed(ordinal=Ordinal(entry.ordinal + by), item=entry.item) for entry in at.context
    )
    return replace(at, context=context)


def _expected(_state: State, event: Event) -> Event:
    if not isinstance(event, Replace):
        return event
    first, last = (None if one is None else Ordinal(one - 1) for one in (event.first, event.last))
    return replace(event, first=first, last=last)


def _answered(outcome: Outcome) -> Outcome:
    if not isinstance(outcome, Appended):
        return outcome
    return replace(outcome, ordinal=Ordinal(outcome.ordinal + 1))


_from_one = disguised(
    lambda at: _moved(at, 1), lambda at: _moved(at, -1), heard=_expected, said=_answered
)


def _overwriting(at: Conversation, then: Conversation, event: Replace) -> Conversation:
    """Shift the tail one row after the other, messages first; a row in the way is deleted."""
    removed = [entry.ordinal for entry in at.context if entry.item in event.items]
    rows = {int(entry.ordinal): entry.item for entry in at.context if entry.ordinal not in removed}
    rows[removed[0]] = SummaryItem(id=event.summary)
    tail = [ordinal for ordinal in rows if ordinal > removed[-1]]
    for ordinal in sorted(tail, key=lambda one: isinstance(rows[one], SummaryItem)):
        if ordinal in rows:
            rows[ordinal - len(removed) + 1] = rows.pop(ordinal)
    return listed(then, [rows[ordinal] for ordinal in sorted(rows)])


def _summaries_first(at: Conversation, then: Conversation, event: Replace) -> Conversation:
    """Reorder as the transplant does: summaries by falling depth and id, then the messages."""
    del at, event
    depths = {one.id: one.depth for one in then.summaries}

    def place(item: Item) -> tuple[int, str]:
        return (-depths[item.id], item.id) if isinstance(item, SummaryItem) else (1, "")

    return listed(then, sorted(items_of(then), key=place))


def _colliding(state: State, event: Event) -> tuple[State, Outcome]:
    """Fail where summaries are moved to low ordinals that other rows still hold."""
    after, outcome = right(state, event)
    then = find(after, event.conversation)
    if then is None or not isinstance(outcome, Replaced):
        return after, outcome
    kinds = [isinstance(item, SummaryItem) for item in items_of(then)]
    if kinds == sorted(kinds, reverse=True):
        return after, outcome
    return state, Failed(constraint=CONSTRAINT)


VARIANTS: tuple[OrdinalsVariant, ...] = (
    Variant(
        name="FROM_ONE",
        machine=stepping("FROM_ONE", _from_one),
        breaks="ORD-1",
        source=CONSTRUCTED,
        story="Ordinals are counted from 1. Everything else is right, so only the law about ranks"
        " can tell.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="PRUNE_GAPS",
        machine=ruled(Rules(name="PRUNE_GAPS", prune_closes=False)),
        breaks="ORD-1",
        source="lossless-claw, all releases",
        story="Pruning and forgetting delete rows and close nothing up; the next replacement"
        " renumbers the whole list, before the range too, and every ordinal that a caller still"
        " holds is wrong.",
        scope=ONE,
    ),
    Variant(
        name="MINUS_GAP",
        machine=ruled(Rules(name="MINUS_GAP", closing=Closing.MINUS_GAP), _seeded(0, 2)),
        breaks="ORD-12",
        source="lossless-claw PR #295, second commit",
        story="The tail is shifted by what this replacement removed. A gap that an earlier prune"
        " left stays for ever, so the same replacement gives other ordinals than it gave before"
        " its rollback.",
        scope=ONE,
        grants=("ORD-1", "ORD-11"),
    ),
    Variant(
        name="CORRELATED",
        machine=ruled(Rules(name="CORRELATED", closing=Closing.CORRELATED)),
        breaks="ORD-16",
        source="lossless-claw PR #295, fourth commit",
        story="One UPDATE sets each ordinal to the count of the rows at or below it, and the"
        " count sees the rows that it has already changed: two rows come to the same ordinal.",
        scope=ONE,
    ),
    Variant(
        name="SHIFTING",
        machine=ruled(Rules(name="SHIFTING", closing=Closing.SHIFTING)),
        breaks="ORD-16",
        source=CONSTRUCTED,
        story="One UPDATE shifts the tail down. SQLite visits the rows as they were inserted and"
        " checks each, so a message runs into a summary that was inserted later and has not moved"
        " yet.",
        scope=_LONGER,
    ),
    Variant(
        name="UPDATE_OR_REPLACE",
        machine=stepping("UPDATE_OR_REPLACE", tampered(Replace, _overwriting)),
        breaks="ORD-5",
        source=CONSTRUCTED,
        story="The same shift with OR REPLACE: nothing fails any more, and the row in the way is"
        " deleted instead.",
        scope=_LONGER,
    ),
    Variant(
        name="NEGATIVES",
        machine=ruled(Rules(name="NEGATIVES", closing=Closing.RESEQUENCE), _seeded(-3, -1)),
        breaks="ORD-16",
        source="lossless-claw, all releases (probed)",
        story="Resequencing goes through -1, -2, and so on. A row that stands at a negative"
        " ordinal already is in the way of one that passes.",
        scope=ONE,
        grants=("ORD-1", "ORD-11"),
    ),
    Variant(
        name="SUMMARIES_FIRST",
        machine=stepping("SUMMARIES_FIRST", tampered(Replace, _summaries_first)),
        breaks="ORD-5",
        source="lossless-claw TUI, transplant",
        story="After copying summaries the list is put in order: all summaries, deepest first,"
        " then all messages. What was said between two summaries is read after both.",
        scope=ONE,
    ),
    Variant(
        name="REORDER_IN_PLACE",
        machine=stepping("REORDER_IN_PLACE", _colliding),
        breaks="ORD-16",
        source="lossless-claw #666",
        story="The same reordering in place: a summary is moved to a low ordinal that its owner"
        " has not left.",
        scope=ONE,
    ),
)
