"""What is worth trying in a state of tokens: events of a scope, values for strategies."""

from collections.abc import Iterator
from typing import TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from plumbline_models import ordinals
from plumbline_models.contract import Choices
from plumbline_models.decisions.limits import Limits
from plumbline_models.ordinals.scope import choices as choices_of_ordinals
from plumbline_models.ordinals.scope import in_scope as in_scope_of_ordinals
from plumbline_models.ordinals.values import ConversationId, MessageId
from plumbline_models.tokens.queries import ledger_of
from plumbline_models.tokens.values import Append, Draft, Event, Ledger, Replace, State, Weigh

NEGATIVE, ABSURD, TOO_FEW = -3, 10_000, 1
LONG_TEXT = "a long text of one message, " * 20
CJK_TEXT = "漢字とかな 😀"
"""Five code points of CJK, a blank, an emoji: 10 tokens by code points and 2 by UTF-16."""


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
    weighings: bool = True
    """Whether to offer weighings, at the thresholds and beside them."""
    counts: tuple[int | None, ...] = (None, 5, 0)
    """What hosts give as the count of a message, and of a summary."""


def in_scope(state: State, scope: Scope) -> Iterator[Event]:
    """Yield every event worth trying in ``state``."""
    lists = ordinals.Scope(
        conversations=scope.conversations,
        messages=scope.messages,
        summaries=scope.summaries,
        batch=scope.batch,
        refusals=scope.refusals,
    )
    for event in in_scope_of_ordinals(state.lists, lists):
        match event:
            case ordinals.Append():
                yield from _counted_appends(event, scope.counts)
            case ordinals.Replace():
                yield from _counted_replaces(event, scope.counts)
            case _:
                yield event
    if scope.weighings:
        for ledger in state.ledgers:
            yield from _weighings(ledger)
    if scope.refusals:
        yield from _doubted(state)


def _counted_appends(event: ordinals.Append, counts: tuple[int | None, ...]) -> Iterator[Event]:
    """Yield an append with each count on its first message; the others get none."""
    drafts = tuple(_draft(one) for one in event.messages)
    given = counts if drafts else (None,)
    for tokens in given:
        messages = tuple(
            replace(one, tokens=tokens if number == 0 else None)
            for number, one in enumerate(drafts)
        )
        yield Append(conversation=event.conversation, messages=messages)


def _draft(draft: ordinals.Draft) -> Draft:
    """Return a message of which every third is empty and every third not ASCII."""
    text = {"m2": CJK_TEXT, "m3": ""}.get(draft.id, draft.text)
    return Draft(id=draft.id, text=text)


def _counted_replaces(event: ordinals.Replace, counts: tuple[int | None, ...]) -> Iterator[Event]:
    counted = replaced(event)
    given = counts if event.first is None and event.text else (None,)
    for tokens in given:
        yield replace(counted, tokens=tokens)


def replaced(event: ordinals.Replace) -> Replace:
    """Return a replacement of tokens that contains one of ordinals."""
    return Replace(
        conversation=event.conversation,
        summary=event.summary,
        text=event.text,
        items=event.items,
        first=event.first,
        last=event.last,
    )


def _weighings(ledger: Ledger) -> Iterator[Event]:
    """Yield weighings at both thresholds, beside them, without room, and with what was observed."""
    total = max(0, ledger.total)
    here = ledger.conversation
    yield Weigh(conversation=here, limits=Limits(window=2 * total, soft_percent=50))
    yield Weigh(conversation=here, limits=Limits(window=total + 1, soft_percent=50, reserve=1))
    if total:
        yield Weigh(conversation=here, limits=Limits(window=2 * total - 1, soft_percent=50))
        yield Weigh(conversation=here, limits=Limits(window=total - 1, soft_percent=50))
    yield Weigh(conversation=here, limits=Limits(window=10, overhead=8, reserve=4))
    room = Limits(window=4 * total + 2, soft_percent=25, overhead=1, reserve=1)
    yield Weigh(conversation=here, limits=room, observed=total + 2)
    yield Weigh(conversation=here, limits=room, observed=total // 2)


def _doubted(state: State) -> Iterator[Event]:
    """Yield events whose counts are not believed, and a weighing of nothing."""
    nowhere = ConversationId("nowhere")
    if not state.ledgers:
        yield Weigh(conversation=nowhere, limits=Limits(window=1))
        drafts = (Draft(id=MessageId("m0"), text="text", tokens=NEGATIVE),)
        yield Append(conversation=nowhere, messages=drafts)
        return
    for ledger in state.ledgers[:1]:
        for text, tokens in (("text", NEGATIVE), ("text", ABSURD), (LONG_TEXT, TOO_FEW)):
            first = Draft(id=MessageId("m0"), text="text")
            doubted = Draft(id=MessageId("m00"), text=text, tokens=tokens)
            yield Append(conversation=ledger.conversation, messages=(first, doubted))
            yield Replace(
                conversation=ledger.conversation,
                summary=ordinals.SummaryId("refused"),
                text=text,
                items=(),
                tokens=tokens,
            )


Values: TypeAlias = dict[str, tuple[object, ...]]
"""Candidates for the fields of an event, by field, or by field and event."""


def choices(state: State) -> Choices:
    """Return values that occur here and near misses: groups for each conversation."""
    groups = choices_of_ordinals(state.lists).groups
    return Choices(groups=tuple(_counting(state, dict(group)) for group in groups))


def _counting(state: State, group: Values) -> Values:
    """Return a group of ordinals with counts, limits and observations beside its values."""
    batches: list[object] = []
    for candidate in group.get("messages:Append", ()):
        batches += _batches(msgspec.convert(candidate, tuple[ordinals.Draft, ...]))
    (*_, here) = (one for one in group["conversation"] if isinstance(one, str))
    total = max(0, ledger_of(state, ConversationId(here)).total)
    if batches:
        group["messages:Append"] = tuple(batches)
    group["tokens"] = (None, None, None, 7, 0, 40, NEGATIVE, ABSURD)
    group["observed"] = (None, None, 0, total, total + 3)
    group["limits"] = (
        Limits(window=2 * total, soft_percent=50),
        Limits(window=total, soft_percent=50),
        Limits(window=2 * total + 5, overhead=3, reserve=2),
        Limits(window=max(0, total - 1), overhead=total + 1),
    )
    return group


def _batches(drafts: tuple[ordinals.Draft, ...]) -> Iterator[tuple[Draft, ...]]:
    """Yield a batch without counts, and one whose counts are what a careless host gives."""
    plain = tuple(Draft(id=one.id, text=one.text) for one in drafts)
    yield plain
    yield tuple(
        replace(one, tokens=None if number % 2 else len(one.text) // 4 + 1)
        for number, one in enumerate(plain)
    )
    if len(plain) == 1:
        yield (replace(plain[0], tokens=0),)
        yield (replace(plain[0], text="", tokens=3),)
        yield (replace(plain[0], text=CJK_TEXT),)
        yield (replace(plain[0], tokens=ABSURD),)
        yield (replace(plain[0], tokens=NEGATIVE),)
