"""What is worth trying in a state of ordinals: events of a scope, values for strategies."""

from collections.abc import Iterator
from itertools import pairwise
from typing import TypeAlias, assert_never

from msgspec import Struct
from msgspec.structs import replace

from plumbline_models.contract import Choices
from plumbline_models.ordinals.values import (
    Append,
    Cause,
    Conversation,
    ConversationId,
    Draft,
    Event,
    Forget,
    Item,
    MessageId,
    MessageItem,
    Open,
    Ordinal,
    Prune,
    Replace,
    RollBack,
    State,
    Summary,
    SummaryId,
    SummaryItem,
)


class Scope(Struct, frozen=True, kw_only=True):
    """How far ``events`` reaches; every field bounds what can exist at once."""

    conversations: int
    messages: int
    """Messages ever appended, forgotten ones included."""
    summaries: int
    batch: int = 2
    """Messages in one append."""
    refusals: bool = True
    """Whether to offer events that are refused: about one for each reason."""


def in_scope(state: State, scope: Scope) -> Iterator[Event]:
    """Yield every event worth trying in ``state``; fresh ids are the least unused ones."""
    if len(state.conversations) < scope.conversations:
        yield Open(conversation=ConversationId(f"c{len(state.conversations) + 1}"))
    summary = _fresh_summary(state, scope.summaries)
    for at in state.conversations:
        yield from _appends(state, at, scope)
        if summary is not None:
            yield from _replaces(at, summary)
        yield from _departures(at)
    if scope.refusals:
        yield from _refusals(state)


def _issued(state: State) -> int:
    return sum(
        len(at.messages) + sum(loss.cause is Cause.FORGOTTEN for loss in at.losses)
        for at in state.conversations
    )


def _draft(number: int) -> Draft:
    return Draft(id=MessageId(f"m{number}"), text=f"text of m{number}")


def _fresh_summary(state: State, limit: int) -> SummaryId | None:
    used = {one.id for at in state.conversations for one in at.summaries}
    names = (SummaryId(f"s{number}") for number in range(1, limit + 1))
    return next((name for name in names if name not in used), None)


def _appends(state: State, at: Conversation, scope: Scope) -> Iterator[Event]:
    issued = _issued(state)
    for size in range(1, min(scope.batch, scope.messages - issued) + 1):
        drafts = tuple(_draft(issued + number) for number in range(1, size + 1))
        yield Append(conversation=at.id, messages=drafts)


def _replaces(at: Conversation, summary: SummaryId) -> Iterator[Event]:
    items = [entry.item for entry in at.context]
    for start in range(len(items)):
        for stop in range(start + 1, len(items) + 1):
            run = tuple(items[start:stop])
            if len({type(item) for item in run}) > 1:
                break
            text = f"text of {summary}"
            named = Replace(conversation=at.id, summary=summary, text=text, items=run)
            yield named
            first, last = at.context[start].ordinal, at.context[stop - 1].ordinal
            yield replace(named, first=first, last=last)


def _departures(at: Conversation) -> Iterator[Event]:
    for entry in at.context:
        match entry.item:
            case SummaryItem(id=summary):
                yield RollBack(conversation=at.id, summary=summary)
            case MessageItem(id=message):
                yield Forget(conversation=at.id, messages=(message,))
            case _:
                assert_never(entry.item)
    stored = {message.id for message in at.messages}
    for loss in at.losses:
        if isinstance(loss.item, MessageItem) and loss.item.id in stored:
            yield Forget(conversation=at.id, messages=(loss.item.id,))
    if at.context:
        yield Prune(conversation=at.id, retain_depth=None)
        yield Prune(conversation=at.id, retain_depth=0)
        yield Prune(conversation=at.id, retain_depth=1)


def _refusals(state: State) -> Iterator[Event]:
    """Yield about one event for each reason to refuse."""
    nowhere = ConversationId("nowhere")
    unknown = MessageItem(id=MessageId("unknown"))
    summary = SummaryId("refused")
    if not state.conversations:
        yield Append(conversation=nowhere, messages=(_draft(0),))
        yield Replace(conversation=nowhere, summary=summary, text="", items=(unknown,))
        yield RollBack(conversation=nowhere, summary=summary)
        yield Prune(conversation=nowhere, retain_depth=None)
        yield Forget(conversation=nowhere, messages=(unknown.id,))
    for at in state.conversations:
        yield Open(conversation=at.id)
        yield Append(conversation=at.id, messages=())
        yield Append(conversation=at.id, messages=(_draft(0), _draft(0)))
        yield Replace(conversation=at.id, summary=summary, text="", items=())
        yield Replace(conversation=at.id, summary=summary, text="", items=(unknown, unknown))
        yield Replace(conversation=at.id, summary=summary, text="", items=(unknown,))
        yield RollBack(conversation=at.id, summary=summary)
        yield Forget(conversation=at.id, messages=())
        yield Forget(conversation=at.id, messages=(unknown.id, unknown.id))
        yield Forget(conversation=at.id, messages=(unknown.id,))
        yield from _misplaced(at, summary)
        for other in state.conversations:
            yield from _known(at.id, other, summary)


def _misplaced(at: Conversation, summary: SummaryId) -> Iterator[Event]:
    """Yield replacements of what stands here, named in a wrong order or at wrong ordinals."""
    items = tuple(entry.item for entry in at.context)
    if not items:
        return
    kinds = {type(item) for item in items}
    if len(kinds) > 1:
        yield Replace(conversation=at.id, summary=summary, text="", items=items)
        return
    named = Replace(conversation=at.id, summary=summary, text="", items=items)
    first, last = at.context[0].ordinal, at.context[-1].ordinal
    yield replace(named, first=Ordinal(first + 1))
    yield replace(named, last=Ordinal(last + 1))
    if len(items) > 1:
        yield replace(named, items=items[::-1])
    if len(items) > 2:  # noqa: PLR2004 - the least list that has a hole
        yield replace(named, items=(items[0], items[-1]))


def _known(here: ConversationId, at: Conversation, summary: SummaryId) -> Iterator[Event]:
    """Yield events of ``here`` that name what is, or was, stored in ``at``."""
    for message in [one.id for one in at.messages[:1]]:
        yield Append(conversation=here, messages=(Draft(id=message, text="again"),))
    for loss in at.losses[:1]:
        if loss.cause is Cause.FORGOTTEN and isinstance(loss.item, MessageItem):
            yield Append(conversation=here, messages=(Draft(id=loss.item.id, text="again"),))
            yield Forget(conversation=here, messages=(loss.item.id,))
        yield Replace(conversation=here, summary=summary, text="", items=(loss.item,))
    for one in at.summaries:
        yield from _naming(here, one, summary)
    if here != at.id:
        for entry in at.context[:1]:
            yield Replace(conversation=here, summary=summary, text="", items=(entry.item,))
            if isinstance(entry.item, MessageItem):
                yield Forget(conversation=here, messages=(entry.item.id,))


def _naming(here: ConversationId, one: Summary, summary: SummaryId) -> Iterator[Event]:
    """Yield events that name a stored summary, or what it covers, where they must not."""
    yield RollBack(conversation=here, summary=one.id)
    yield Replace(conversation=here, summary=one.id, text="", items=one.sources)
    yield Replace(conversation=here, summary=summary, text="", items=one.sources)
    for item in one.sources[:1]:
        if isinstance(item, MessageItem):
            yield Forget(conversation=here, messages=(item.id,))


Values: TypeAlias = dict[str, tuple[object, ...]]
"""Candidates for the fields of an event, by field, or by field and event."""

OPEN_AT_ONCE = 2
"""Conversations that strategies open; more of them would stay empty."""
ELSEWHERE = ConversationId("elsewhere")
ODD_TEXT = "a nul \0, 漢字, 😀, " + "and many words " * 300


def choices(state: State) -> Choices:
    """Return values that occur here and near misses: groups for each conversation."""
    fresh = ConversationId(f"c{len(state.conversations) + 1}")
    if not state.conversations:
        return Choices(groups=({"conversation": (fresh,)},))
    opens = (fresh,) if len(state.conversations) < OPEN_AT_ONCE else ()
    groups: list[Values] = []
    for at in state.conversations:
        common: Values = {**_common(state, at), "conversation:Open": (*opens, at.id)}
        groups += [{**common, **values} for values in _ranges(at)]
        groups.append({**common, "items": _no_runs(at)})
    return Choices(groups=tuple(groups))


def _common(state: State, at: Conversation) -> Values:
    """Return the values that go with any range of a conversation."""
    issued = _issued(state)
    drafts = tuple(_draft(issued + number) for number in range(1, 13))
    odd = (Draft(id=drafts[0].id, text=ODD_TEXT),)
    items = [entry.item for entry in at.context]
    raw = tuple((item.id,) for item in items if isinstance(item, MessageItem))
    backwards = tuple(later + earlier for earlier, later in pairwise(raw[:3]))
    standing = tuple(item.id for item in items if isinstance(item, SummaryItem))
    stored = tuple(one.id for one in at.summaries)
    gone = tuple((item.id,) for item in _gone(at) if isinstance(item, MessageItem))
    known = [one.id for other in state.conversations for one in other.messages][:1]
    used = sum(len(other.summaries) for other in state.conversations)
    fresh = _fresh_summary(state, used + 1)
    again = tuple((Draft(id=name, text="again"),) for (name,) in (*gone[-1:], *raw[:1]))
    return {
        "conversation": (at.id,),
        "conversation:Prune": (at.id, ELSEWHERE, ELSEWHERE),
        "messages:Append": (drafts[:1], drafts[:2], drafts[:4], drafts[:6], drafts, odd, *again),
        "messages:Forget": (
            *raw,
            *backwards,
            tuple(known),
            *gone[:3],
            *((pair * 2) for pair in raw[:1]),
        ),
        "summary:Replace": (() if fresh is None else (fresh,) * 6) + stored[:1],
        "summary:RollBack": (*standing, *standing, *stored[:1]),
        "retain_depth": (None, 0, 1),
        "text:Replace": ("in short", "", ODD_TEXT),
    }


def _ranges(at: Conversation) -> Iterator[Values]:
    """Yield, for some places in the context, the runs that begin there and where they stand."""
    items = tuple(entry.item for entry in at.context)
    length = len(items)
    for start in sorted({0, 1, length // 2, length - 3, length - 1} & set(range(length))):
        for stop in sorted({start + 1, start + 2, start + 3, length} & set(range(length + 1))):
            if len({type(item) for item in items[start:stop]}) == 1:
                yield {
                    "items": (items[start:stop],),
                    "first": (None, None, at.context[start].ordinal),
                    "last": (None, None, at.context[stop - 1].ordinal),
                }


def _gone(at: Conversation) -> tuple[Item, ...]:
    """Return items that stood in the context once: covered, pruned or forgotten."""
    covered = (item for one in at.summaries for item in one.sources[:1])
    return (*covered, *(loss.item for loss in at.losses))


def _no_runs(at: Conversation) -> tuple[tuple[Item, ...], ...]:
    """Return what is no run: with a hole, backwards, named twice, or gone from the context."""
    items = tuple(entry.item for entry in at.context)
    hole = ((items[0], items[2]),) if len(items) > 2 else ()  # noqa: PLR2004 - the least list with a hole
    backwards = (items[1::-1],) if len(items) > 1 else ()
    twice = ((items[0], items[0]),) if items else ()
    return (*hole, *backwards, *twice, *((item,) for item in _gone(at)[:2]))
