"""Questions about a state of ordinals, asked by its step, its clauses and its variants."""

from collections.abc import Callable, Iterable

from plumbline_models.ordinals.values import (
    Conversation,
    ConversationId,
    Item,
    MessageId,
    MessageItem,
    Ordinal,
    Placed,
    Sequence,
    State,
    Summary,
    SummaryId,
)


def find(state: State, conversation: ConversationId) -> Conversation | None:
    """Return the conversation of that id, or None."""
    for one in state.conversations:
        if one.id == conversation:
            return one
    return None


def settle(state: State, changed: Conversation) -> State:
    """Return the state with ``changed`` for the conversation of its id; all others stay."""
    settled = [changed if one.id == changed.id else one for one in state.conversations]
    return State(conversations=tuple(settled))


def ranked(items: Iterable[Item]) -> tuple[Placed, ...]:
    """Place items at their ranks 0..n-1: what a host that stores no ordinals observes."""
    return tuple([Placed(ordinal=Ordinal(rank), item=item) for rank, item in enumerate(items)])


def summary_of(at: Conversation, summary: SummaryId) -> Summary | None:
    """Return the stored summary of that id, or None."""
    for one in at.summaries:
        if one.id == summary:
            return one
    return None


def expand(at: Conversation, item: Item) -> tuple[MessageId, ...]:
    """Return the messages that an item stands for; see ``expansion``, which is for several."""
    return (item.id,) if isinstance(item, MessageItem) else expansion(at)(item)


def expansion(at: Conversation) -> Callable[[Item], tuple[MessageId, ...]]:
    """Return a function that expands items; the summaries of the conversation are looked up once.

    It returns the messages that an item stands for, through its lineage and in its order. A message
    that is not stored stands for itself and a summary that is not stored for nothing. A lineage
    that leads back to itself is followed once.
    """
    sources = {one.id: one.sources for one in at.summaries}

    def expanded(item: Item) -> tuple[MessageId, ...]:
        if isinstance(item, MessageItem):
            return (item.id,)
        found: list[MessageId] = []
        waiting: list[Item] = [item]
        seen: set[SummaryId] = set()
        while waiting:
            one = waiting.pop()
            if isinstance(one, MessageItem):
                found.append(one.id)
            elif one.id not in seen:
                seen.add(one.id)
                waiting.extend(reversed(sources.get(one.id, ())))
        return tuple(found)

    return expanded


def position(at: Conversation, item: Item) -> Sequence:
    """Return the sequence number of the first message that an item covers, or 0."""
    for message in expand(at, item)[:1]:
        for stored in at.messages:
            if stored.id == message:
                return stored.sequence
    return Sequence(0)


def coverers(at: Conversation) -> dict[Item, list[SummaryId]]:
    """Return, for each item that is a source, the summaries that name it."""
    found: dict[Item, list[SummaryId]] = {}
    for summary in at.summaries:
        for item in summary.sources:
            found.setdefault(item, []).append(summary.id)
    return found
