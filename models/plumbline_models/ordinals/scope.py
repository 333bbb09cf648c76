"""What is worth trying in a state of ordinals: events of a scope, values for strategies."""

from collections.abc import Iterator
from itertools import groupby
from typing import assert_never

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
            yield Replace(conversation=at.id, summary=summary, text=f"text of {summary}", items=run)


def _departures(at: Conversation) -> Iterator[Event]:
    for entry in at.context:
        match entry.item:
            case SummaryItem(id=summary):
                yield RollBack(conversation=at.id, summary=summary)
            case MessageItem(id=message):
                yield Forget(conversation=at.id, messages=(message,))
            case _:
                assert_never(entry.item)
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


OPEN_AT_ONCE = 3
"""Conversations that strategies open; more of them would stay empty."""


def choices(state: State) -> Choices:
    """Return values that occur here and near misses: a group for each conversation."""
    issued = _issued(state)
    fresh = ConversationId(f"c{len(state.conversations) + 1}")
    if not state.conversations:
        return Choices(groups=({"conversation": (fresh,)},))
    opens = (fresh,) if len(state.conversations) < OPEN_AT_ONCE else ()
    known = tuple(one.id for at in state.conversations for one in at.messages)
    groups = (_group(state, at, issued, known[:1]) for at in state.conversations)
    return Choices(
        groups=tuple({**one, "conversation:Open": (*opens, *one["conversation"])} for one in groups)
    )


def _group(
    state: State, at: Conversation, issued: int, foreign: tuple[MessageId, ...]
) -> dict[str, tuple[object, ...]]:
    drafts = tuple(_draft(issued + number) for number in range(1, 4))
    items = [entry.item for entry in at.context]
    raw = tuple((item.id,) for item in items if isinstance(item, MessageItem))
    standing = tuple(item.id for item in items if isinstance(item, SummaryItem))
    stored = tuple(one.id for one in at.summaries)
    gone = tuple((item.id,) for item in _gone(at) if isinstance(item, MessageItem))
    again = tuple((Draft(id=one.id, text="again"),) for one in at.messages[:2])
    fresh = _fresh_summary(state, len(state.conversations) + _summaries(state) + 1)
    return {
        "conversation": (at.id,),
        "messages:Append": (drafts[:1], drafts[:2], drafts, drafts[:1], drafts, *again[:1]),
        "messages:Forget": (*raw, (*foreign,), *gone[:3], *((pair * 2) for pair in raw[:1])),
        "summary:Replace": (() if fresh is None else (fresh,) * 6) + stored[:1],
        "summary:RollBack": (*standing, *stored[:1]),
        "items": (*_runs(at), *_near_runs(at)),
        "first": (None, None, None, *(entry.ordinal for entry in at.context[:1])),
        "last": (None, None, None, *(entry.ordinal for entry in at.context[-1:])),
        "retain_depth": (None, 0, 1, 2),
    }


def _gone(at: Conversation) -> tuple[Item, ...]:
    """Return items that stood in the context once: covered, pruned or forgotten."""
    covered = (item for one in at.summaries for item in one.sources[:1])
    return (*covered, *(loss.item for loss in at.losses))


def _near_runs(at: Conversation) -> tuple[tuple[Item, ...], ...]:
    """Return what is no run: with a hole, backwards, named twice, or gone from the context."""
    items = tuple(entry.item for entry in at.context)
    hole = ((items[0], items[2]),) if len(items) > 2 else ()  # noqa: PLR2004 - the least list with a hole
    backwards = (items[1::-1],) if len(items) > 1 else ()
    twice = ((items[0], items[0]),) if items else ()
    return (*hole, *backwards, *twice, *((item,) for item in _gone(at)[:2]))


def _summaries(state: State) -> int:
    return sum(len(at.summaries) for at in state.conversations)


def _runs(at: Conversation) -> tuple[tuple[Item, ...], ...]:
    """Return runs of one kind: of up to three items from everywhere, and the longest ones."""
    items = tuple(entry.item for entry in at.context)
    short = [
        items[start : start + size]
        for start in range(len(items))
        for size in (1, 2, 3)
        if start + size <= len(items)
    ]
    whole = [tuple(group) for _, group in groupby(items, key=type)]
    return tuple(run for run in (*short, *whole) if len({type(item) for item in run}) == 1)
