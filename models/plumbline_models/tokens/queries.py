"""Questions about a state of tokens, asked by its step, its clauses and its variants."""

from collections.abc import Iterable

from plumbline_models import ordinals
from plumbline_models.ordinals import Conversation, ConversationId, Item, MessageItem, SummaryItem
from plumbline_models.tokens.values import Append, Event, Ledger, Replace, State, Weigh


def ledger_of(state: State, conversation: ConversationId) -> Ledger:
    """Return the ledger of a conversation; an empty one when there is none."""
    for one in state.ledgers:
        if one.conversation == conversation:
            return one
    return Ledger(conversation=conversation)


def with_ledger(ledgers: Iterable[Ledger], changed: Ledger) -> tuple[Ledger, ...]:
    """Return the ledgers with ``changed`` for the one of its conversation, by id."""
    others = [one for one in ledgers if one.conversation != changed.conversation]
    return tuple(sorted((*others, changed), key=lambda one: one.conversation))


def counts_of(ledger: Ledger) -> dict[Item, int]:
    """Return the stored counts of a ledger by item."""
    return {count.item: count.tokens for count in ledger.counts}


def texts_of(at: Conversation) -> dict[Item, str]:
    """Return the text of every stored item: messages oldest first, then summaries by id."""
    texts: dict[Item, str] = {MessageItem(id=one.id): one.text for one in at.messages}
    return texts | {SummaryItem(id=one.id): one.text for one in at.summaries}


def standing(at: Conversation | None) -> list[Item]:
    """Return the items of a context, oldest first; none of a conversation that does not exist."""
    return [] if at is None else [entry.item for entry in at.context]


def plain(event: Event) -> ordinals.Event | None:
    """Return the event of ordinals that an event of tokens contains; None when there is none."""
    match event:
        case Append():
            drafts = tuple(ordinals.Draft(id=one.id, text=one.text) for one in event.messages)
            return ordinals.Append(conversation=event.conversation, messages=drafts)
        case Replace():
            return ordinals.Replace(
                conversation=event.conversation,
                summary=event.summary,
                text=event.text,
                items=event.items,
                first=event.first,
                last=event.last,
            )
        case Weigh():
            return None
        case _:
            return event
