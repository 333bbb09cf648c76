"""Ids and numbers given twice, wrong appends and openings, conversations that touch each other."""

from collections.abc import Iterator

from msgspec.structs import replace

from plumbline_models.history import CONSTRUCTED, Variant
from plumbline_models.history.ordinals.making import (
    ONE,
    TWO,
    WHOLE,
    OrdinalsVariant,
    accepting,
    each,
    items_of,
    listed,
    offered,
    right,
    ruled,
    standing,
    stepping,
    summarised,
    tampered,
)
from plumbline_models.ordinals.queries import find, settle
from plumbline_models.ordinals.values import (
    Append,
    Appended,
    Conversation,
    Draft,
    Event,
    Failed,
    Forget,
    Message,
    MessageId,
    MessageItem,
    Numbering,
    Open,
    Opened,
    Ordinal,
    Outcome,
    Reason,
    Refused,
    Replace,
    Replaced,
    Rules,
    Sequence,
    State,
    SummaryItem,
)

_PREVIEW = 4
"""Code points that are left of the text of an older message."""
_MOST = 2
"""The sequence number at which a burning variant stops burning, so that its scope has an end."""


def _alone(state: State, event: Event) -> tuple[State, Outcome]:
    """Take the step in the conversation's part of the state, as if there were no other."""
    at = find(state, event.conversation)
    if at is None:
        return right(state, event)
    part, outcome = right(State(conversations=(at,)), event)
    return settle(state, part.conversations[0]), outcome


def _counting_together(state: State, event: Event) -> tuple[State, Outcome]:
    """Take the step; an append moves the counter of every other conversation as well."""
    after, outcome = right(state, event)
    if not isinstance(outcome, Appended) or not isinstance(event, Append):
        return after, outcome
    by = len(event.messages)

    def counted(at: Conversation) -> Conversation:
        return at if at.id == event.conversation else _further(at, by)

    return each(after, counted), outcome


def _further(at: Conversation, by: int) -> Conversation:
    return replace(at, next_sequence=Sequence(at.next_sequence + by))


def _in_every_list(state: State, event: Event) -> tuple[State, Outcome]:
    """Take the step; what is appended here is placed in every other context too."""
    after, outcome = right(state, event)
    if not isinstance(outcome, Appended) or not isinstance(event, Append):
        return after, outcome
    placed = tuple(MessageItem(id=draft.id) for draft in event.messages)

    def shared(at: Conversation) -> Conversation:
        return at if at.id == event.conversation else listed(at, (*items_of(at), *placed))

    return each(after, shared), outcome


def _burning(state: State, event: Event) -> tuple[State, Outcome]:
    """Take the step; a refused append keeps the number that it had taken."""
    after, outcome = right(state, event)
    at = find(state, event.conversation)
    if not isinstance(event, Append) or not isinstance(outcome, Refused) or at is None:
        return after, outcome
    return (state if at.next_sequence >= _MOST else settle(state, _further(at, 1))), outcome


def _no_second(state: State, event: Event) -> tuple[State, Outcome]:
    """Take the step; a second conversation is refused."""
    after, outcome = right(state, event)
    if isinstance(outcome, Opened) and state.conversations:
        return state, Refused(reason=Reason.CONVERSATION_EXISTS)
    return after, outcome


def _carrying_over(state: State, event: Event) -> tuple[State, Outcome]:
    """Take the step; a new conversation begins with the summaries of the others."""
    after, outcome = right(state, event)
    opened = find(after, event.conversation)
    if not isinstance(outcome, Opened) or opened is None:
        return after, outcome
    carried = (SummaryItem(id=one.id) for at in state.conversations for one in standing(at))
    return settle(after, listed(opened, carried)), outcome


def _constraint(at: Conversation, event: Open) -> tuple[Conversation, Outcome]:
    del event
    return at, Failed(constraint="conversations.session_key")


def _same_summary(at: Conversation, event: Replace) -> tuple[Conversation, Outcome]:
    del event
    return at, Failed(constraint="summaries.summary_id")


def _stored_again(at: Conversation, event: Append) -> tuple[Conversation, Outcome]:
    """Store and place the messages once more."""
    numbers = range(at.next_sequence, at.next_sequence + len(event.messages))
    again = tuple(
        Message(id=draft.id, sequence=Sequence(number), text=draft.text)
        for draft, number in zip(event.messages, numbers, strict=True)
    )
    items = (*items_of(at), *(MessageItem(id=one.id) for one in again))
    after = replace(listed(at, items), messages=(*at.messages, *again))
    return _further(after, len(again)), _appended(at)


def _appended(at: Conversation) -> Appended:
    return Appended(ordinal=Ordinal(len(at.context)), sequence=at.next_sequence)


def _placed_here(at: Conversation, event: Append) -> tuple[Conversation, Outcome]:
    """Place messages that are stored in another conversation."""
    items = (MessageItem(id=draft.id) for draft in event.messages)
    return listed(at, (*items_of(at), *items)), _appended(at)


def _covering_elsewhere(at: Conversation, event: Replace) -> tuple[Conversation, Outcome] | None:
    """Append a summary of items that are stored in another conversation."""
    if any(one.id == event.summary for one in at.summaries):
        return None
    after = listed(summarised(at, event), (*items_of(at), SummaryItem(id=event.summary)))
    (depth,) = [one.depth for one in after.summaries if one.id == event.summary]
    return after, Replaced(depth=depth)


def _tail_again(at: Conversation, event: Open) -> tuple[Conversation, Outcome] | None:
    """Store the newest message once more, under a new id."""
    del event
    if not at.messages:
        return None
    newest = at.messages[-1]
    copy = replace(newest, id=MessageId(f"{newest.id} again"), sequence=at.next_sequence)
    items = (*items_of(at), MessageItem(id=copy.id))
    after = replace(listed(at, items), messages=(*at.messages, copy))
    return _further(after, 1), Refused(reason=Reason.CONVERSATION_EXISTS)


def _one_number(at: Conversation, then: Conversation, event: Append) -> Conversation:
    """Give all messages of a batch the number of the first."""
    new = len(event.messages)
    numbered = (replace(one, sequence=at.next_sequence) for one in then.messages[-new:])
    return replace(then, messages=(*then.messages[:-new], *numbered))


def _back_to_the_last(at: Conversation, then: Conversation, event: Forget) -> Conversation:
    """Make the next number one more than the greatest that is stored."""
    del at, event
    last = max((one.sequence for one in then.messages), default=0)
    return replace(then, next_sequence=Sequence(last + 1))


def _backwards(state: State, event: Event) -> tuple[State, Outcome]:
    """Take the step with the messages of a batch in the opposite order."""
    if isinstance(event, Append):
        return right(state, replace(event, messages=event.messages[::-1]))
    return right(state, event)


def _as_replayed(at: Conversation, then: Conversation, event: Append) -> Conversation:
    """Store nothing when the batch says again what was said last."""
    texts = [draft.text for draft in event.messages]
    return at if texts == [one.text for one in at.messages[-len(texts) :]] else then


def _as_previews(at: Conversation, then: Conversation, event: Append) -> Conversation:
    """Cut the texts of the messages that were stored before this append."""
    old = len(at.messages)
    del event
    cut = (replace(one, text=one.text[:_PREVIEW]) for one in then.messages[:old])
    return replace(then, messages=(*cut, *then.messages[old:]))


def _said_again(state: State) -> Iterator[Event]:
    """Yield for each conversation with one message a new one with the same text."""
    for at in state.conversations:
        if len(at.messages) == 1:
            (only,) = at.messages
            draft = Draft(id=MessageId("said again"), text=only.text)
            yield Append(conversation=at.id, messages=(draft,))


def _first_again(state: State) -> Iterator[Event]:
    """Yield the first message of a conversation, for one in which nothing was said yet."""
    named = [at.messages[0].id for at in state.conversations if at.messages]
    for at in state.conversations:
        for message in named if at == Conversation(id=at.id) else ():
            yield Append(conversation=at.id, messages=(Draft(id=message, text="again"),))


def _nothing(state: State) -> Iterator[Event]:
    for at in state.conversations:
        yield Append(conversation=at.id, messages=())


def _open_again(state: State) -> Iterator[Event]:
    for at in state.conversations:
        yield Open(conversation=at.id)


KEPT_CHARACTERS = 6


def _cut_short(at: Conversation, then: Conversation, event: Append) -> Conversation:
    del at
    named = {draft.id for draft in event.messages}
    messages = (
        replace(one, text=one.text[:KEPT_CHARACTERS]) if one.id in named else one
        for one in then.messages
    )
    return replace(then, messages=tuple(messages))


def _repaired(at: Conversation, then: Conversation, event: Append) -> Conversation:
    del at, event
    return replace(then, summaries=tuple(replace(one, text="repaired") for one in then.summaries))


def _ordinal_from_number(state: State, event: Event) -> tuple[State, Outcome]:
    after, outcome = right(state, event)
    if isinstance(outcome, Appended):
        return after, replace(outcome, ordinal=Ordinal(outcome.sequence - 1))
    return after, outcome


VARIANTS: tuple[OrdinalsVariant, ...] = (
    Variant(
        name="MAX_PLUS_ONE",
        machine=ruled(Rules(name="MAX_PLUS_ONE", numbering=Numbering.MAX_PLUS_ONE)),
        breaks="ORD-2",
        source=CONSTRUCTED,
        story="The next number is one more than the last position of the context. A summary at"
        " the end has the position of the first message that it covers, so numbers are given out"
        " again.",
        scope=ONE,
    ),
    Variant(
        name="ONE_NUMBER",
        machine=stepping("ONE_NUMBER", tampered(Append, _one_number)),
        breaks="ORD-2",
        source="hermes-lcm #260",
        story="The messages of a batch get the same number (there: the same time), and nothing"
        " that is stored tells their order.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="NUMBER_REUSED",
        machine=stepping("NUMBER_REUSED", tampered(Forget, _back_to_the_last)),
        breaks="ORD-23",
        source="lossless-claw, all releases",
        story="The next number is one more than the greatest that is stored. After the newest"
        " message is deleted, another one gets its number.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="BATCH_TURNED",
        machine=stepping("BATCH_TURNED", _backwards),
        breaks="ORD-24",
        source=CONSTRUCTED,
        story="A batch is stored and placed newest first. What is stored agrees with itself; only"
        " the caller knows better.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="TAKEN_FOR_REPLAY",
        machine=offered(stepping("TAKEN_FOR_REPLAY", tampered(Append, _as_replayed)), _said_again),
        breaks="ORD-24",
        source="hermes-lcm #113",
        story="A message that says what the last one said is taken for a replay of it: it is"
        " answered and not stored.",
        scope=ONE,
    ),
    Variant(
        name="PREVIEWS",
        machine=stepping("PREVIEWS", tampered(Append, _as_previews)),
        breaks="ORD-22",
        source=CONSTRUCTED,
        story="Once something newer was said, only a preview is kept of what was said before.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="CUT_SHORT",
        machine=stepping("CUT_SHORT", tampered(Append, _cut_short)),
        breaks="ORD-26",
        source="lossless-claw, all releases: oversized results are stored as a placeholder",
        story="What is too long is stored as its beginning.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="REPAIRED_IN_PLACE",
        machine=stepping("REPAIRED_IN_PLACE", tampered(Append, _repaired)),
        breaks="ORD-27",
        source="lossless-claw, all releases: doctor apply",
        story="Stored summaries are rewritten in place while the conversation goes on.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="ORDINAL_FROM_NUMBER",
        machine=stepping("ORDINAL_FROM_NUMBER", _ordinal_from_number),
        breaks="ORD-28",
        source=CONSTRUCTED,
        story="An append reports the ordinal that its messages would have if nothing had ever left"
        " the context.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="IDS_BY_CONVERSATION",
        machine=offered(stepping("IDS_BY_CONVERSATION", _alone), _first_again),
        breaks="ORD-8",
        source=CONSTRUCTED,
        story="Ids are unique within a conversation only; an id without its conversation names"
        " two items.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="STORED_AGAIN",
        machine=stepping("STORED_AGAIN", accepting(Append, Reason.ALREADY_PLACED, _stored_again)),
        breaks="ORD-8",
        source="hermes-lcm issue #599",
        story="No key tells a known message from a new one: what the host delivers again is"
        " stored again. In one database two rows of three were such duplicates.",
        scope=ONE,
    ),
    Variant(
        name="TAIL_AGAIN",
        machine=stepping("TAIL_AGAIN", accepting(Open, Reason.CONVERSATION_EXISTS, _tail_again)),
        breaks="ORD-15",
        source="hermes-lcm #109, #111; lossless-hermes #130",
        story="After a restart the conversation is known, and its newest messages are stored once"
        " more all the same.",
        scope=ONE,
    ),
    Variant(
        name="BURNT_NUMBER",
        machine=offered(stepping("BURNT_NUMBER", _burning), _nothing),
        breaks="ORD-15",
        source=CONSTRUCTED,
        story="A refused append keeps the sequence number that it had taken.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="KEY_TAKEN",
        machine=offered(
            stepping("KEY_TAKEN", accepting(Open, Reason.CONVERSATION_EXISTS, _constraint)),
            _open_again,
        ),
        breaks="ORD-16",
        source="lossless-claw PR #415",
        story="Two callers open the same conversation. The second is stopped by the unique key of"
        " the table, and what it gets is the database's error.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="SAME_SUMMARY_ID",
        machine=stepping(
            "SAME_SUMMARY_ID", accepting(Replace, Reason.ALREADY_PLACED, _same_summary)
        ),
        breaks="ORD-16",
        source="lossless-claw PR #295 (probed)",
        story="A summary's id is a hash of its text and the millisecond. The same text in the"
        " same millisecond runs into the primary key, in the middle of a sweep.",
        scope=ONE,
    ),
    Variant(
        name="ONE_COUNTER",
        machine=stepping("ONE_COUNTER", _counting_together),
        breaks="ORD-14",
        source=CONSTRUCTED,
        story="Conversations share a counter: appending to one moves the next number of all"
        " others.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="ONE_LIST",
        machine=stepping("ONE_LIST", _in_every_list),
        breaks="ORD-14",
        source="hermes-lcm PR #247",
        story="One engine, with its session and its list, serves several agents: what is said in"
        " one conversation lands in the others.",
        scope=TWO,
    ),
    Variant(
        name="CARRIED_OVER",
        machine=stepping("CARRIED_OVER", _carrying_over),
        breaks="ORD-6",
        source="hermes-lcm issue #78, PR #79",
        story="A session is split and its summaries are carried over, while their rows stay with"
        " the old one.",
        scope=TWO,
    ),
    Variant(
        name="PLACED_ELSEWHERE",
        machine=stepping("PLACED_ELSEWHERE", accepting(Append, Reason.FOREIGN_ITEM, _placed_here)),
        breaks="ORD-6",
        source="lossless-claw, all releases",
        story="Nothing asks whether an item belongs to the conversation in whose context it is"
        " placed.",
        scope=TWO,
    ),
    Variant(
        name="COVERED_ELSEWHERE",
        machine=stepping(
            "COVERED_ELSEWHERE", accepting(Replace, Reason.FOREIGN_ITEM, _covering_elsewhere)
        ),
        breaks="ORD-6",
        source="hermes-lcm #55, #127",
        story="A session is bound to a foreign one, and a summary here covers what was said there.",
        scope=TWO,
    ),
    Variant(
        name="NO_SECOND",
        machine=stepping("NO_SECOND", _no_second),
        breaks="ORD-21",
        source=CONSTRUCTED,
        story="A second conversation cannot be opened, so nothing ever shows that two stay apart.",
        scope=WHOLE,
        sole=True,
    ),
)
