"""Short ways to write ordinals in tests, a world with one of everything, and what it refuses.

A name that begins with ``s`` names a summary and any other a message. ``c`` is the conversation
that a short event is about unless another is given with ``at``.
"""

from plumbline_models.ordinals import (
    Append,
    ConversationId,
    Draft,
    Event,
    Forget,
    Item,
    Machine,
    MessageId,
    MessageItem,
    Open,
    Ordinal,
    Outcome,
    Prune,
    Reason,
    Replace,
    RollBack,
    State,
    SummaryId,
    SummaryItem,
)


def item(name: str) -> Item:
    """Return the item of that name."""
    if name.startswith("s"):
        return SummaryItem(id=SummaryId(name))
    return MessageItem(id=MessageId(name))


def items(names: str) -> tuple[Item, ...]:
    """Return the items of these names, which stand apart."""
    return tuple(item(name) for name in names.split())


def opening(at: str = "c") -> Open:
    return Open(conversation=ConversationId(at))


def appending(names: str, at: str = "c") -> Append:
    drafts = tuple(Draft(id=MessageId(name), text=f"text of {name}") for name in names.split())
    return Append(conversation=ConversationId(at), messages=drafts)


def replacing(
    names: str, summary: str, at: str = "c", first: int | None = None, last: int | None = None
) -> Replace:
    return Replace(
        conversation=ConversationId(at),
        summary=SummaryId(summary),
        text=f"text of {summary}",
        items=items(names),
        first=None if first is None else Ordinal(first),
        last=None if last is None else Ordinal(last),
    )


def rolling_back(summary: str, at: str = "c") -> RollBack:
    return RollBack(conversation=ConversationId(at), summary=SummaryId(summary))


def pruning(retain_depth: int | None = None, at: str = "c") -> Prune:
    return Prune(conversation=ConversationId(at), retain_depth=retain_depth)


def forgetting(names: str, at: str = "c") -> Forget:
    return Forget(
        conversation=ConversationId(at), messages=tuple(MessageId(name) for name in names.split())
    )


def taken(machine: Machine, *events: Event) -> tuple[State, tuple[Outcome, ...]]:
    """Take events from the initial state; return the last state and every outcome."""
    state, outcomes = machine.initial, list[Outcome]()
    for event in events:
        state, outcome = machine.step(state, event)
        outcomes.append(outcome)
    return state, tuple(outcomes)


def shown(state: State, at: str = "c") -> str:
    """Return the names that stand in a context; one after a gap has its ordinal: ``m1 2:m2``."""
    (here,) = [one for one in state.conversations if one.id == at]
    names, expected = list[str](), 0
    for entry in here.context:
        place = "" if entry.ordinal == expected else f"{entry.ordinal}:"
        names.append(f"{place}{entry.item.id}")
        expected = entry.ordinal + 1
    return " ".join(names)


WORLD: tuple[Event, ...] = (
    opening("c"),
    appending("m1 m2 m3 m4 m5 m6 m7"),
    replacing("m1 m2", "s1"),
    replacing("m3", "s2"),
    replacing("s1 s2", "s3"),
    forgetting("m7"),
    opening("d"),
    appending("x1 x2 x3", "d"),
    replacing("x1", "sx", "d"),
    forgetting("x3", "d"),
    opening("e"),
    appending("y1 y2", "e"),
    replacing("y1", "sy", "e"),
    pruning(at="e"),
)
"""Leads to ``s3 m4 m5 m6`` in c (m1 m2 m3 are covered twice over, m7 is forgotten), ``sx x2`` in d
(x3 is forgotten), and nothing in e (sy and y2 are pruned)."""

REFUSED: tuple[tuple[Event, Reason], ...] = (
    (opening("c"), Reason.CONVERSATION_EXISTS),
    # An append; where several guards hold, the first of them decides.
    (appending("", "nowhere"), Reason.UNKNOWN_CONVERSATION),
    (appending("m1 m1", "nowhere"), Reason.UNKNOWN_CONVERSATION),
    (appending(""), Reason.EMPTY_BATCH),
    (appending("new new"), Reason.DUPLICATE_ITEM),
    (appending("x1 m1 m1"), Reason.DUPLICATE_ITEM),
    (appending("m4"), Reason.ALREADY_PLACED),
    (appending("m1"), Reason.ALREADY_PLACED),
    (appending("y2", "e"), Reason.ALREADY_PLACED),
    (appending("new m4 x1 m7"), Reason.ALREADY_PLACED),
    (appending("x2"), Reason.FOREIGN_ITEM),
    (appending("x3"), Reason.FOREIGN_ITEM),
    (appending("x1 m4"), Reason.FOREIGN_ITEM),
    (appending("m7"), Reason.FORGOTTEN_ITEM),
    (appending("new m7 m4"), Reason.FORGOTTEN_ITEM),
    # A replacement.
    (replacing("", "s3", "nowhere"), Reason.UNKNOWN_CONVERSATION),
    (replacing("", "s3"), Reason.EMPTY_RANGE),
    (replacing("m4 s3 m4", "s3"), Reason.DUPLICATE_ITEM),
    (replacing("s3 m4", "s3"), Reason.MIXED_ITEMS),
    (replacing("s3 unknown", "sx"), Reason.MIXED_ITEMS),
    (replacing("unknown", "s3"), Reason.ALREADY_PLACED),
    (replacing("m4", "s1"), Reason.ALREADY_PLACED),
    (replacing("y1", "sy", "e"), Reason.ALREADY_PLACED),
    (replacing("unknown", "sx"), Reason.FOREIGN_ITEM),
    (replacing("unknown x2", "s"), Reason.UNKNOWN_ITEM),
    (replacing("m1 unknown", "s"), Reason.UNKNOWN_ITEM),
    (replacing("s-unknown", "s"), Reason.UNKNOWN_ITEM),
    (replacing("x2 unknown", "s"), Reason.FOREIGN_ITEM),
    (replacing("m6 m1 x3", "s"), Reason.FOREIGN_ITEM),
    (replacing("sx", "s"), Reason.FOREIGN_ITEM),
    (replacing("m1", "s"), Reason.STALE_RANGE),
    (replacing("s1", "s"), Reason.STALE_RANGE),
    (replacing("m7", "s"), Reason.STALE_RANGE),
    (replacing("y2", "s", "e"), Reason.STALE_RANGE),
    (replacing("sy", "s", "e"), Reason.STALE_RANGE),
    (replacing("m4 m6 m7", "s"), Reason.STALE_RANGE),
    (replacing("m5 m4", "s"), Reason.STALE_RANGE),
    (replacing("m6 m4", "s"), Reason.STALE_RANGE),
    (replacing("m4 m6", "s"), Reason.NOT_ADJACENT),
    (replacing("m4 m6", "s", first=0, last=0), Reason.NOT_ADJACENT),
    (replacing("m4 m5", "s", first=0), Reason.STALE_RANGE),
    (replacing("m4 m5", "s", last=3), Reason.STALE_RANGE),
    (replacing("m4 m5", "s", first=1, last=1), Reason.STALE_RANGE),
    (replacing("m4 m5", "s", first=2, last=2), Reason.STALE_RANGE),
    (replacing("m6", "s", first=4), Reason.STALE_RANGE),
    (replacing("m6", "s", last=2), Reason.STALE_RANGE),
    (replacing("s3", "s", first=-1), Reason.STALE_RANGE),
    (replacing("s3", "s", last=2**53 - 1), Reason.STALE_RANGE),
    # A rollback.
    (rolling_back("s3", "nowhere"), Reason.UNKNOWN_CONVERSATION),
    (rolling_back("s-unknown"), Reason.UNKNOWN_ITEM),
    (rolling_back("sx"), Reason.FOREIGN_ITEM),
    (rolling_back("s3", "d"), Reason.FOREIGN_ITEM),
    (rolling_back("s1"), Reason.NOT_IN_CONTEXT),
    (rolling_back("sy", "e"), Reason.NOT_IN_CONTEXT),
    # A prune.
    (pruning(at="nowhere"), Reason.UNKNOWN_CONVERSATION),
    # A forget.
    (forgetting("", "nowhere"), Reason.UNKNOWN_CONVERSATION),
    (forgetting(""), Reason.EMPTY_BATCH),
    (forgetting("unknown unknown"), Reason.DUPLICATE_ITEM),
    (forgetting("unknown x1 m7 m1"), Reason.UNKNOWN_ITEM),
    (forgetting("m4 unknown"), Reason.UNKNOWN_ITEM),
    (forgetting("x2 unknown"), Reason.FOREIGN_ITEM),
    (forgetting("x3"), Reason.FOREIGN_ITEM),
    (forgetting("m7 m1"), Reason.FORGOTTEN_ITEM),
    (forgetting("m1 m7"), Reason.COVERED_ITEM),
    (forgetting("y1", "e"), Reason.COVERED_ITEM),
    (forgetting("m4 m3"), Reason.COVERED_ITEM),
)
"""Events that the world refuses, and why; most of them hold more than one guard."""
