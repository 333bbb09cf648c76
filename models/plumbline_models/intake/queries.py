"""Questions about a state of intake, asked by its step, its clauses and its variants."""

from collections.abc import Iterable, Sequence

from plumbline_models import tokens
from plumbline_models.intake.values import (
    Entry,
    EntryId,
    Fate,
    Log,
    Place,
    Row,
    SourceId,
    Standing,
    State,
    Take,
    Taken,
)
from plumbline_models.ordinals import ConversationId


def log_of(state: State, conversation: ConversationId) -> Log:
    """Return the log of a conversation; an empty one when there is none."""
    for one in state.logs:
        if one.conversation == conversation:
            return one
    return Log(conversation=conversation)


def with_log(logs: Iterable[Log], changed: Log) -> tuple[Log, ...]:
    """Return the logs with ``changed`` for the one of its conversation, by id."""
    others = [one for one in logs if one.conversation != changed.conversation]
    return tuple(sorted((*others, changed), key=lambda one: one.conversation))


def place_of(event: Take, index: int) -> Place | None:
    """Return where a row of an event stands in its source; None when that is not said."""
    return None if event.first is None else Place(event.first + index)


def at_place(entries: Sequence[Entry], source: SourceId, place: Place | None) -> Entry | None:
    """Return the entry that stands at a place of a source, or None."""
    for one in entries:
        if place is not None and one.source == source and one.place == place:
            return one
    return None


def entry_of(
    entries: Sequence[Entry], source: SourceId, row: Row, place: Place | None
) -> Entry | None:
    """Return the stored entry that a row is: by its id, else by its place; None when it is new.

    A place decides only where the row or the entry has no id.
    """
    for one in entries:
        if row.entry is not None and one.entry == row.entry:
            return one
    there = at_place(entries, source, place)
    if there is not None and (row.entry is None or there.entry is None):
        return there
    return None


def is_doubtful(entries: Sequence[Entry], source: SourceId, row: Row, place: Place | None) -> bool:
    """Tell whether a row that seems new may be an entry that lacks what would tell.

    A row with an id and no place may be one that was stored by its place, and a row with a place
    and no id may be one that was stored by its id.
    """
    listed = [one for one in entries if one.source == source]
    if row.entry is None:
        return any(one.place is None for one in listed)
    return place is None and any(one.entry is None for one in listed)


def has(entries: Sequence[Entry], entry: EntryId) -> bool:
    """Tell whether an entry of this id is stored."""
    return any(one.entry == entry for one in entries)


def is_same(stored: Entry, source: SourceId, row: Row, place: Place | None) -> bool:
    """Tell whether a row is, byte for byte, the one that was stored, named and placed as it was."""
    if stored.digest != row.digest or (stored.entry is None) != (row.entry is None):
        return False
    return stored.source != source or None in (stored.place, place) or stored.place == place


def tip_of(entries: Sequence[Entry]) -> EntryId | None:
    """Return the last entry of the branch that has an id; None when there is none."""
    for one in reversed(entries):
        if one.standing is not Standing.ASIDE and one.entry is not None:
            return one.entry
    return None


def draft_of(row: Row) -> tokens.Draft:
    """Return the message of a row that is placed."""
    return tokens.Draft(id=row.message, text=row.text, tokens=row.tokens)


def added(event: Take, outcome: Taken) -> list[Row]:
    """Return the rows of an event that its outcome reports as added."""
    pairs = zip(event.rows, outcome.fates, strict=False)
    return [row for row, fate in pairs if fate is Fate.ADDED]
