"""What is worth trying in a state of intake: events of a scope, values for strategies."""

from collections.abc import Iterator
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from plumbline_models import ordinals, tokens
from plumbline_models.contract import Choices
from plumbline_models.intake.queries import log_of
from plumbline_models.intake.values import (
    Digest,
    EntryId,
    Event,
    Part,
    Place,
    Reopen,
    Row,
    SourceId,
    Standing,
    State,
    Take,
)
from plumbline_models.ordinals.queries import find
from plumbline_models.ordinals.values import ConversationId, MessageId
from plumbline_models.tokens.scope import ABSURD, CJK_TEXT
from plumbline_models.tokens.scope import choices as choices_of_tokens
from plumbline_models.tokens.scope import in_scope as in_scope_of_tokens

_DEPARTURES = (ordinals.Prune, ordinals.Forget)

ONE, OTHER = SourceId("one"), SourceId("other")


class Scope(Struct, frozen=True, kw_only=True):
    """How far ``events`` reaches; every field bounds what can exist at once."""

    ledger: tokens.Scope
    """How far the events of tokens reach; rows are taken whatever it says of messages."""
    rows: int = 0
    """Length of a source; 0 for no source."""
    ids: bool = True
    """Whether its rows have ids and name their parents."""
    appends: int = 0
    """Messages that are appended and that no row brings, where ``ledger`` appends none."""
    departures: bool = True
    """Whether messages are pruned and forgotten."""
    refusals: bool = True
    """Whether to offer rows that are refused: about one list for each reason."""


def in_scope(state: State, scope: Scope) -> Iterator[Event]:
    """Yield every event worth trying in ``state``."""
    for event in in_scope_of_tokens(state.ledger, scope.ledger):
        if scope.departures or not isinstance(event, _DEPARTURES):
            yield event
    if state.ledger.ledgers:
        yield Reopen()
    if not scope.rows:
        return
    for at in state.ledger.lists.conversations:
        yield from _appends(state, at.id, scope)
        yield from _takes(at.id, scope)
        if scope.refusals:
            yield from _refusals(at.id, scope)
    if scope.refusals and not state.ledger.ledgers:
        yield Take(conversation=ConversationId("nowhere"), source=ONE, rows=())


def row(here: ConversationId, number: int, *, ids: bool) -> Row:
    """Return row ``number`` of a source: the first two say the same, and the third nothing."""
    text = {1: "ok", 2: "ok", 3: "", 4: CJK_TEXT}.get(number, f"text of row {number}")
    return Row(
        message=MessageId(f"{here}/{number}"),
        entry=EntryId(f"e{number}") if ids else None,
        parent=EntryId(f"e{number - 1}") if ids and number > 1 else None,
        digest=Digest(f"d{number}"),
        role="user" if number % 2 else "assistant",
        text=text,
        time=f"2025-01-01T00:00:{number:02}Z",
        parts=(Part(kind="text", start=0, length=len(text)),) if text else (),
    )


def _source(here: ConversationId, first: int, last: int, *, ids: bool) -> tuple[Row, ...]:
    return tuple(row(here, number, ids=ids) for number in range(first, last + 1))


def _takes(here: ConversationId, scope: Scope) -> Iterator[Event]:
    """Yield the list up to each row, its tails, and the same from another source."""
    for last in range(scope.rows + 1):
        rows = _source(here, 1, last, ids=scope.ids)
        yield Take(conversation=here, source=ONE, rows=rows, first=Place(1))
    for first in range(2, scope.rows + 1):
        rows = _source(here, first, first, ids=scope.ids)
        yield Take(conversation=here, source=ONE, rows=rows, first=Place(first))
    if not scope.ids:
        return
    rows = _source(here, 1, scope.rows, ids=True)
    yield Take(conversation=here, source=OTHER, rows=rows[1:])
    yield Take(conversation=here, source=ONE, rows=rows[-1:])
    if scope.rows == 1:
        return
    label = replace(
        row(here, 2, ids=True), standing=Standing.CARRIED, role="label", text="kept", parts=()
    )
    yield Take(conversation=here, source=ONE, rows=(label,))
    yield Take(conversation=here, source=ONE, rows=(_aside(here),))
    if scope.rows == 2:  # noqa: PLR2004 - the third row comes in the next list
        return
    mixed = (rows[0], label, _aside(here), row(here, 3, ids=True))
    yield Take(conversation=here, source=ONE, rows=mixed)


def _aside(here: ConversationId) -> Row:
    """Return a row of an abandoned branch that began at the first row."""
    return replace(
        row(here, 9, ids=True),
        standing=Standing.ASIDE,
        parent=EntryId("e1"),
        text="abandoned",
        parts=(),
    )


def _appends(state: State, here: ConversationId, scope: Scope) -> Iterator[Event]:
    """Yield an append beside the rows; its message has its number among all such messages."""
    brought = sum(one.message is not None for log in state.logs for one in log.entries)
    used = sum(
        len(at.messages) + sum(loss.cause.value == "forgotten" for loss in at.losses)
        for at in state.ledger.lists.conversations
    )
    if used - brought < scope.appends:
        draft = tokens.Draft(id=MessageId(f"m{used - brought + 1}"), text="beside")
        yield tokens.Append(conversation=here, messages=(draft,))


def _refusals(here: ConversationId, scope: Scope) -> Iterator[Event]:
    """Yield about one event for each reason to refuse."""
    first = row(here, 1, ids=scope.ids)
    bare = replace(row(here, 2, ids=False), message=MessageId("bare"))
    yield Take(conversation=here, source=ONE, rows=(first, bare))
    changed = replace(first, digest=Digest("changed"), text="changed", parts=())
    yield Take(conversation=here, source=ONE, rows=(changed,), first=Place(1))
    far = replace(bare, message=MessageId("far"))
    yield Take(conversation=here, source=ONE, rows=(far,), first=Place(scope.rows + 2))
    doubted = replace(first, tokens=ABSURD)
    yield Take(conversation=here, source=ONE, rows=(doubted,), first=Place(1))
    second = replace(row(here, 2, ids=scope.ids), tokens=ABSURD)
    yield Take(conversation=here, source=ONE, rows=(first, second), first=Place(1))
    negative = replace(first, tokens=-1)
    yield Take(conversation=here, source=ONE, rows=(negative,), first=Place(1))
    parts = (Part(kind="text", start=1, length=len(first.text)),)
    misplaced = replace(first, parts=parts)
    yield Take(conversation=here, source=ONE, rows=(misplaced,), first=Place(1))
    if scope.ids:
        named = replace(first, entry=None, parent=None)
        yield Take(conversation=here, source=ONE, rows=(named,), first=Place(1))
        moved = replace(_aside(here), standing=Standing.PLACED, message=MessageId(f"{here}/9"))
        yield Take(conversation=here, source=ONE, rows=(moved,))
        second = row(here, 2, ids=True)
        same = replace(second, message=first.message)
        yield Take(conversation=here, source=ONE, rows=(first, same))
        for message in (first.message, MessageId("c1/1")):
            again = replace(row(here, 8, ids=True), parent=None, message=message)
            yield Take(conversation=here, source=ONE, rows=(again,))


def in_scope_with_odd_rows(state: State, scope: Scope) -> Iterator[Event]:
    """Yield what ``in_scope`` does, and rows that hosts write seldom and a mistake may be about.

    They are in parts or without a time, renamed, moved, behind a hole, or some without an id.
    """
    yield from in_scope(state, scope)
    for at in state.ledger.lists.conversations:
        stored = [one for one in log_of(state, at.id).entries if one.source == ONE]
        yield from _seldom(at.id, len(stored), scope)


def _seldom(here: ConversationId, reached: int, scope: Scope) -> Iterator[Event]:
    first, fresh = (row(here, number, ids=scope.ids) for number in (1, reached + 1))
    following = Place(reached + 1)
    if reached < scope.rows:
        whole = Part(kind="text", start=0, length=len(fresh.text))
        empty = Part(kind="call", start=len(fresh.text), length=0, call="c", name="n")
        parts = replace(fresh, time=None, parts=(whole, empty))
        yield Take(conversation=here, source=ONE, rows=(parts,), first=following)
        yield Take(conversation=here, source=ONE, rows=(fresh,), first=Place(reached + 2))
    if reached and scope.ids:
        renamed = replace(first, entry=EntryId("renamed"), message=MessageId(f"{here}/renamed"))
        yield Take(conversation=here, source=ONE, rows=(renamed,), first=Place(1))
        yield Take(conversation=here, source=ONE, rows=(first,), first=following)
        yield Take(conversation=here, source=OTHER, rows=(first,), first=following)
    if not reached and scope.ids:
        bare = replace(row(here, 2, ids=False), message=MessageId(f"{here}/bare"))
        third = replace(row(here, 3, ids=True), parent=first.entry)
        yield Take(conversation=here, source=ONE, rows=(first, bare, third), first=Place(1))
        yield Take(conversation=here, source=ONE, rows=(first, bare), first=Place(1))
        yield Take(conversation=here, source=ONE, rows=(third,), first=Place(3))


Values: TypeAlias = dict[str, tuple[object, ...]]
"""Candidates for the fields of an event, by field, or by field and event."""


def choices(state: State) -> Choices:
    """Return values that occur here and near misses: groups for each conversation."""
    groups: list[Values] = []
    for group in choices_of_tokens(state.ledger).groups:
        here = [one for one in group["conversation"] if isinstance(one, str)][-1]
        opened = find(state.ledger.lists, ConversationId(here)) is not None
        lists = _lists(state, ConversationId(here)) if opened else ()
        groups += [{**group, **values} for values in lists] or [dict(group)]
    return Choices(groups=tuple(groups))


def _lists(state: State, here: ConversationId) -> Iterator[Values]:
    """Yield what a source hands over: with ids and places, ids alone, places alone, and neither."""
    stored = log_of(state, here).entries
    ids = not any(one.entry is None for one in stored)
    reached = len([one for one in stored if one.source == ONE])
    for last in (reached + 1, reached + 3):
        rows = _source(here, 1, last, ids=ids)
        for first in sorted({0, reached // 2, max(0, reached - 1), reached}):
            yield {
                "rows": (rows[first:], rows[first:], rows[first:reached]),
                "source": (ONE, ONE, OTHER) if ids else (ONE,),
                "first": (Place(first + 1), Place(first + 1), None if ids else Place(first + 1)),
            }
    yield from _clashing(state, here, row(here, reached + 1, ids=ids), Place(reached + 1))
    places = (Place(reached + 1), Place(reached + 2), Place(1), None)
    odd = {"source": (ONE, OTHER), "first": places}
    yield {**odd, "rows": tuple(_odd_rows(here, reached, ids=ids))}
    yield {"rows": ((_named_aside(here, reached),),), "source": (ONE, OTHER), "first": (None,)}
    doubtful = replace(row(here, 1, ids=not ids), message=MessageId(f"{here}/other"))
    yield {"rows": ((doubtful,),), "source": (ONE,), "first": (None, Place(1), Place(reached + 1))}


def _clashing(state: State, here: ConversationId, fresh: Row, following: Place) -> Iterator[Values]:
    """Yield rows and batches with an id that another has: elsewhere, forgotten, beside it."""
    lists = state.ledger.lists.conversations
    elsewhere = [one.id for at in lists if at.id != here for one in at.messages[:1]]
    gone = [
        MessageId(loss.item.id)
        for at in lists
        for loss in at.losses
        if at.id == here and loss.cause is ordinals.Cause.FORGOTTEN
    ]
    behind: Values = {"source": (ONE,), "first": (following,)}
    for name in (*elsewhere[:1], *gone[:1]):
        draft = tokens.Draft(id=name, text="text")
        yield {
            **behind,
            "rows": ((replace(fresh, message=name),),),
            "messages:Append": ((draft,), (draft, draft)),
        }


def _named_aside(here: ConversationId, number: int) -> Row:
    """Return a row of an abandoned branch with an id of its own."""
    return replace(_aside(here), entry=EntryId(f"a{number}"), message=MessageId(f"{here}/a"))


def _odd_rows(here: ConversationId, reached: int, *, ids: bool) -> Iterator[tuple[Row, ...]]:
    """Yield rows stored, changed, merged, in parts, aside, of another branch, of another host."""
    fresh = row(here, reached + 1, ids=ids)
    yield (row(here, 1, ids=ids),)
    yield (replace(row(here, 1, ids=ids), entry=EntryId("renamed")),)
    yield (replace(row(here, 1, ids=ids), digest=Digest("changed")),)
    merged = replace(row(here, 1, ids=ids), text="okok", parts=(), digest=Digest("merged"))
    yield (merged, fresh)
    yield (replace(fresh, parent=EntryId("e1")),)
    yield (replace(fresh, standing=Standing.CARRIED, role="label", text="kept", parts=()),)
    yield (_named_aside(here, reached), _named_aside(here, reached))
    yield (replace(fresh, entry=None, parent=None),)
    yield (replace(row(here, 1, ids=not ids), message=MessageId(f"{here}/other")),)
    whole = Part(kind="text", start=0, length=len(fresh.text))
    empty = Part(kind="call", start=len(fresh.text), length=0, call="c", name="n")
    yield (replace(fresh, time=None, parts=(whole, empty)),)
    twice = Part(kind="text", start=0, length=len(fresh.text))
    yield (replace(fresh, parts=(twice, twice)),)
    yield (replace(fresh, tokens=ABSURD),)
    yield (replace(fresh, tokens=7),)
