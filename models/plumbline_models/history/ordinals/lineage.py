"""Lineage kept wrongly: what a summary stands for, its depth, and the rows of its messages."""

from collections.abc import Iterator

from msgspec.structs import replace

from plumbline_models.history import CONSTRUCTED, Variant
from plumbline_models.history.ordinals.making import (
    ONE,
    WHOLE,
    OrdinalsVariant,
    accepting,
    disguised,
    items_of,
    listed,
    offered,
    standing,
    stepping,
    summarised,
    tampered,
    with_summaries,
)
from plumbline_models.ordinals import Machine, Scope
from plumbline_models.ordinals.queries import coverers, find, summary_of
from plumbline_models.ordinals.scope import in_scope
from plumbline_models.ordinals.values import (
    Conversation,
    Depth,
    Event,
    Item,
    Message,
    MessageId,
    MessageItem,
    Outcome,
    Reason,
    Replace,
    Replaced,
    RollBack,
    Sequence,
    State,
    Summary,
    SummaryId,
    SummaryItem,
)

_DEEP = Scope(conversations=2, messages=3, summaries=3, refusals=False)
_UNEVEN = Scope(conversations=1, messages=2, summaries=4, refusals=False)

_PENDING = "pending of "
_REJECTED = " rejected"
_UNSTORED = "unstored of "
_MARK = " [summarised]"


def _not_ours(_state: State, event: Event) -> Event:
    """Turn a replacement by the id of a row of the variant's own into one that is refused."""
    taken = isinstance(event, Replace) and (
        event.summary.startswith(_PENDING) or event.summary.endswith(_REJECTED)
    )
    return replace(event, items=()) if taken else event


def _with_pending(at: Conversation) -> Conversation:
    raw = [item for item in items_of(at) if isinstance(item, MessageItem)]
    if not raw:
        return at
    pending = Summary(
        id=SummaryId(f"{_PENDING}{at.id}"), depth=Depth(0), text="", sources=(raw[0],)
    )
    return with_summaries(at, (*at.summaries, pending))


def _without_pending(at: Conversation) -> Conversation:
    return with_summaries(at, (one for one in at.summaries if not one.id.startswith(_PENDING)))


def _with_rejected(at: Conversation) -> Conversation:
    rejected = (replace(one, id=SummaryId(f"{one.id}{_REJECTED}")) for one in at.summaries)
    return with_summaries(at, (*at.summaries, *rejected))


def _without_rejected(at: Conversation) -> Conversation:
    return with_summaries(at, (one for one in at.summaries if not one.id.endswith(_REJECTED)))


def _turned(at: Conversation) -> Conversation:
    return with_summaries(at, (replace(one, sources=one.sources[::-1]) for one in at.summaries))


def _in_any_order(state: State, event: Event) -> Event:
    """Put the items of a replacement into the order of the context, if they stand in it."""
    at = find(state, event.conversation)
    if at is None or not isinstance(event, Replace) or len(set(event.items)) < len(event.items):
        return event
    if not set(event.items) <= set(items_of(at)):
        return event
    return replace(event, items=tuple(item for item in items_of(at) if item in event.items))


def _with_unstored(at: Conversation) -> Conversation:
    return with_summaries(
        at,
        (
            replace(one, sources=(*one.sources, SummaryItem(id=SummaryId(f"{_UNSTORED}{one.id}"))))
            for one in at.summaries
        ),
    )


def _known(items: tuple[Item, ...]) -> tuple[Item, ...]:
    return tuple(item for item in items if not item.id.startswith(_UNSTORED))


def _without_unstored(at: Conversation) -> Conversation:
    return with_summaries(at, (replace(one, sources=_known(one.sources)) for one in at.summaries))


def _naming_known(_state: State, event: Event) -> Event:
    return replace(event, items=_known(event.items)) if isinstance(event, Replace) else event


def _marked(at: Conversation) -> Conversation:
    covered = coverers(at)
    return replace(
        at,
        messages=tuple(
            replace(one, text=one.text + _MARK) if MessageItem(id=one.id) in covered else one
            for one in at.messages
        ),
    )


def _unmarked(at: Conversation) -> Conversation:
    def plain(one: Message) -> Message:
        return replace(one, text=one.text.removesuffix(_MARK))

    return replace(at, messages=tuple(plain(one) for one in at.messages))


def _two_kinds(at: Conversation, then: Conversation, event: Replace) -> Conversation:
    del at, event
    return with_summaries(
        then, (replace(one, depth=Depth(min(one.depth, 1))) for one in then.summaries)
    )


def _shallow(state: State, event: Event) -> tuple[State, Outcome]:
    after, outcome = tampered(Replace, _two_kinds)(state, event)
    if isinstance(outcome, Replaced):
        return after, Replaced(depth=Depth(min(outcome.depth, 1)))
    return after, outcome


def _from_the_first(at: Conversation, then: Conversation, event: Replace) -> Conversation:
    first = event.items[0]
    source = summary_of(at, first.id) if isinstance(first, SummaryItem) else None
    depth = Depth(0 if source is None else source.depth + 1)
    return with_summaries(
        then,
        (replace(one, depth=depth) if one.id == event.summary else one for one in then.summaries),
    )


def _bare(at: Conversation, event: Replace) -> tuple[Conversation, Outcome] | None:
    """Place a summary without sources before all items, once in a conversation."""
    if not all(one.sources and one.id != event.summary for one in at.summaries):
        return None
    after = listed(summarised(at, event), (SummaryItem(id=event.summary), *items_of(at)))
    return after, Replaced(depth=Depth(0))


def _of_nothing(state: State) -> Iterator[Event]:
    """Yield a replacement of nothing for the first conversation, while there is nothing else."""
    for at in state.conversations:
        if state == State(conversations=(Conversation(id=at.id),)):
            yield Replace(conversation=at.id, summary=SummaryId("bare"), text="", items=())


def _last_only(at: Conversation, then: Conversation, event: Replace) -> Conversation:
    del at
    cut = event.items[-1:]
    return with_summaries(
        then,
        (replace(one, sources=cut) if one.id == event.summary else one for one in then.summaries),
    )


def _of_itself(at: Conversation, event: Replace) -> tuple[Conversation, Outcome] | None:
    """Store a summary whose only source is the summary of the same id, over that one."""
    summary = summary_of(at, event.summary)
    if summary is None or event.items != (SummaryItem(id=summary.id),):
        return None
    depth = Depth(summary.depth + 1)
    itself = replace(summary, depth=depth, sources=event.items)
    others = (one for one in at.summaries if one is not summary)
    return with_summaries(at, (*others, itself)), Replaced(depth=depth)


def _summaries_again(state: State) -> Iterator[Event]:
    """Yield a replacement of each summary of the context by itself."""
    for at in state.conversations:
        for one in standing(at):
            yield Replace(
                conversation=at.id, summary=one.id, text="", items=(SummaryItem(id=one.id),)
            )


def _rows_deleted(at: Conversation, then: Conversation, event: Replace) -> Conversation:
    del at
    kept = (one for one in then.messages if MessageItem(id=one.id) not in event.items)
    return replace(then, messages=tuple(kept))


def _row_of(event: Replace | RollBack) -> MessageId:
    return MessageId(f"event of {event.summary}")


def _with_row(at: Conversation, then: Conversation, event: Replace) -> Conversation:
    """Store a row about the replacement of the newest items, as one more source of its summary."""
    if items_of(at)[-1] != event.items[-1]:
        return then
    row = Message(id=_row_of(event), sequence=at.next_sequence, text="compacted")
    sources = (*event.items, MessageItem(id=row.id))
    stored = replace(
        then,
        next_sequence=Sequence(at.next_sequence + 1),
        messages=(*then.messages, row),
    )
    return with_summaries(
        stored,
        (
            replace(one, sources=sources) if one.id == event.summary else one
            for one in then.summaries
        ),
    )


def _without_row(at: Conversation, then: Conversation, event: RollBack) -> Conversation:
    del at
    row = MessageItem(id=_row_of(event))
    if row not in items_of(then):
        return then
    return replace(
        listed(then, (item for item in items_of(then) if item != row)),
        next_sequence=Sequence(then.next_sequence - 1),
        messages=tuple(one for one in then.messages if one.id != row.id),
    )


def _event_rows() -> Machine:
    """Return the machine without rollbacks in its scope: the system that was wrong so has none."""
    both = tampered(RollBack, _without_row, tampered(Replace, _with_row))
    made = stepping("EVENT_ROWS", both)()

    def events(state: State, scope: Scope) -> Iterator[Event]:
        offers = in_scope(state, scope)
        return (event for event in offers if not isinstance(event, RollBack))

    return replace(made, events=events)


VARIANTS: tuple[OrdinalsVariant, ...] = (
    Variant(
        name="BETWEEN_COMMITS",
        machine=stepping(
            "BETWEEN_COMMITS", disguised(_with_pending, _without_pending, heard=_not_ours)
        ),
        breaks="ORD-3",
        source="lossless-claude/lcm 0.9",
        story="A pass commits the summary with its lineage first and the replacement afterwards."
        " In between, a message stands in the context and is covered as well.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="REJECTED_ATTEMPTS",
        machine=stepping(
            "REJECTED_ATTEMPTS", disguised(_with_rejected, _without_rejected, heard=_not_ours)
        ),
        breaks="ORD-4",
        source="Volt 944c7943",
        story="A summary that came out too long is rejected after it was stored, and its row and"
        " lineage stay: two summaries cover the same items, and a search cannot say which of them"
        " stands for a message.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="NEWEST_FIRST",
        machine=stepping("NEWEST_FIRST", disguised(_turned, _turned, heard=_in_any_order)),
        breaks="ORD-5",
        source=CONSTRUCTED,
        story="Lineage is kept newest first and a replacement takes its items in any order."
        " Rolling back is still right; expanding a summary tells the conversation backwards.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="LINEAGE_CUT",
        machine=stepping("LINEAGE_CUT", tampered(Replace, _last_only)),
        breaks="ORD-5",
        source="hermes-lcm #176",
        story="A marker moved while a range was summarised, and the lineage of 2 to 9 was cut to"
        " 9 alone.",
        scope=ONE,
    ),
    Variant(
        name="DANGLING_SOURCE",
        machine=stepping(
            "DANGLING_SOURCE",
            disguised(_with_unstored, _without_unstored, heard=_naming_known),
        ),
        breaks="ORD-6",
        source=CONSTRUCTED,
        story="A lineage names a summary that is stored nowhere. Expanding passes over it without"
        " a word.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="TWO_KINDS",
        machine=stepping("TWO_KINDS", _shallow),
        breaks="ORD-7",
        source=CONSTRUCTED,
        story="Depth only tells leaves from condensed summaries: whatever covers summaries has"
        " depth 1.",
        scope=_DEEP,
        sole=True,
    ),
    Variant(
        name="DEPTH_OF_THE_FIRST",
        machine=stepping("DEPTH_OF_THE_FIRST", tampered(Replace, _from_the_first)),
        breaks="ORD-7",
        source=CONSTRUCTED,
        story="The depth of a summary is one more than that of its first source, as if all had"
        " the same.",
        scope=_UNEVEN,
    ),
    Variant(
        name="SELF_LINEAGE",
        machine=offered(
            stepping("SELF_LINEAGE", accepting(Replace, Reason.ALREADY_PLACED, _of_itself)),
            _summaries_again,
        ),
        breaks="ORD-7",
        source="hermes-lcm #252",
        story="A summary is summarised again and stored over itself: its only source is itself,"
        " and it expands to nothing.",
        scope=ONE,
    ),
    Variant(
        name="BARE_SUMMARY",
        machine=offered(
            stepping("BARE_SUMMARY", accepting(Replace, Reason.EMPTY_RANGE, _bare)), _of_nothing
        ),
        breaks="ORD-9",
        source="lossless-claw before #1011",
        story="A chunk whose messages cannot be read is summarised all the same: a summary"
        " without sources enters the context, which grows, and there is nothing to roll back to.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="EVENT_ROWS",
        machine=_event_rows,
        breaks="ORD-10",
        source="lossless-claude/lcm 0.9",
        story="Each pass writes a row about itself among the messages. Nobody said it, and a"
        " search finds it.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="REWRITTEN_ROWS",
        machine=stepping("REWRITTEN_ROWS", disguised(_marked, _unmarked)),
        breaks="ORD-10",
        source="hermes-lcm before 0.19, #298",
        story="Collecting what is summarised rewrites the stored rows of covered messages, and"
        " text around the payload is rewritten with it. A search that found a message finds"
        " nothing.",
        scope=ONE,
    ),
    Variant(
        name="DELETED_ROWS",
        machine=stepping("DELETED_ROWS", tampered(Replace, _rows_deleted)),
        breaks="ORD-10",
        source=CONSTRUCTED,
        story="The messages that a summary covers are deleted, and only the summary is left of"
        " them.",
        scope=ONE,
    ),
)
