"""Intake over SQLite; must match ``plumbline_models.intake`` (chapter ``spec/intake.md``).

An entry is found by a unique index, by its id or by its place, so a row costs the same whether ten
or ten million are stored. The rows of one event are looked up and stored one after the other inside
a savepoint; the first that cannot be taken rolls it back, and nothing of the event is stored.
"""

from collections.abc import Iterator
from typing import Literal

import apsw
import msgspec
from msgspec import Struct

from plumbline import ordinals as lists
from plumbline import tokens as ledgers
from plumbline.damaged import Value, as_number, as_text, every_row
from plumbline.database import transaction
from plumbline.sqlite_host import Program
from plumbline_models.decisions.spans import in_order
from plumbline_models.intake import (
    Digest,
    Entry,
    EntryId,
    Event,
    Fate,
    Log,
    Outcome,
    Part,
    Place,
    Reason,
    Refused,
    Reopen,
    Reopened,
    Row,
    SourceId,
    Standing,
    State,
    Take,
    Taken,
)
from plumbline_models.ordinals import ConversationId, MessageId
from plumbline_models.ordinals import Reason as ListReason
from plumbline_models.ordinals import Refused as RefusedByList
from plumbline_models.tokens import Append, Draft, Posted
from plumbline_models.tokens import Outcome as LedgerOutcome
from plumbline_models.tokens import Refused as RefusedByLedger


class _Refusal(Exception):  # noqa: N818 - it never leaves this module
    """Rows cannot be taken; becomes an outcome, and takes back what the event stored."""

    def __init__(self, outcome: Refused | LedgerOutcome) -> None:
        super().__init__(str(outcome))
        self.outcome = outcome


class _Known(Struct, frozen=True):
    """What is compared of an entry that is stored."""

    entry: str | None
    digest: str
    standing: Standing
    source: str
    place: int | None


def apply(db: apsw.Connection, event: Event) -> Outcome:
    """Apply one event inside an open transaction; a refused event has written nothing."""
    match event:
        case Reopen():
            return Reopened()
        case Take():
            try:
                with transaction(db):
                    return _take(db, event)
            except _Refusal as refusal:
                return refusal.outcome
        case _:
            return ledgers.apply(db, event)


def _take(db: apsw.Connection, event: Take) -> Outcome:
    if not lists.exists(db, event.conversation):
        raise _Refusal(RefusedByList(reason=ListReason.UNKNOWN_CONVERSATION))
    if event.first is None:
        lost = tuple(index for index, row in enumerate(event.rows) if row.entry is None)
        if lost:
            raise _Refusal(Refused(reason=Reason.UNDECIDABLE, rows=lost))
    fates: list[Fate] = []
    placed: list[int] = []
    tip = _tip(db, event.conversation)
    for index, row in enumerate(event.rows):
        place = None if event.first is None else event.first + index
        there = _at_place(db, event, place)
        stored = _entry_of(db, event.conversation, row, there)
        _refuse_other(event, index, stored, place)
        if stored is None and there is not None:
            raise _Refusal(Refused(reason=Reason.CHANGED_ROW, rows=(index,)))
        fates.append(Fate.ADDED if stored is None else Fate.KNOWN)
        if stored is None:
            _refuse_new(db, event, index, place, tip)
            if row.standing is not Standing.ASIDE and row.entry is not None:
                tip = row.entry
            _put_entry(db, event, row, place)
            placed += [index] if row.standing is Standing.PLACED else []
    return Taken(fates=tuple(fates), posted=_append(db, event, placed))


def _tip(db: apsw.Connection, conversation: ConversationId) -> str | None:
    tip = db.execute(
        "SELECT entry FROM entries WHERE conversation = ? AND entry IS NOT NULL"
        " AND standing <> 'aside' ORDER BY number DESC LIMIT 1",
        (conversation,),
    ).get
    assert tip is None or isinstance(tip, str)
    return tip


_FOUND = "SELECT entry, digest, standing, source, place FROM entries WHERE conversation = ? AND "


def _at_place(db: apsw.Connection, event: Take, place: int | None) -> _Known | None:
    if place is None:
        return None
    bindings = (event.conversation, event.source, place)
    return _known(db, _FOUND + "source = ? AND place = ?", bindings)


def _entry_of(
    db: apsw.Connection, conversation: ConversationId, row: Row, there: _Known | None
) -> _Known | None:
    """Return the stored entry that a row is: by its id, else the one at its place."""
    if row.entry is not None:
        by_id = _known(db, _FOUND + "entry = ?", (conversation, row.entry))
        if by_id is not None:
            return by_id
    if there is not None and (row.entry is None or there.entry is None):
        return there
    return None


def _known(
    db: apsw.Connection, query: str, bindings: tuple[str | int | None, ...]
) -> _Known | None:
    row = db.execute(query, bindings).fetchone()
    if row is None:
        return None
    entry, digest, standing, source, place = row
    assert entry is None or isinstance(entry, str)
    assert isinstance(digest, str)
    assert isinstance(source, str)
    assert place is None or isinstance(place, int)
    return _Known(entry, digest, Standing(standing), source, place)


def _refuse_other(event: Take, index: int, stored: _Known | None, place: int | None) -> None:
    """Refuse a row that is stored with other bytes, at another place or with another standing."""
    if stored is None:
        return
    row = event.rows[index]
    moved = stored.source == event.source and None not in (stored.place, place)
    if (
        stored.digest != row.digest
        or (stored.entry is None) != (row.entry is None)
        or (moved and stored.place != place)
    ):
        raise _Refusal(Refused(reason=Reason.CHANGED_ROW, rows=(index,)))
    if stored.standing is not row.standing:
        raise _Refusal(_fork(event, index))


def _refuse_new(
    db: apsw.Connection, event: Take, index: int, place: int | None, tip: str | None
) -> None:
    """Refuse a new row that may be stored, has none before it, or is on another branch."""
    row = event.rows[index]
    if _is_doubtful(db, event, row, place):
        raise _Refusal(Refused(reason=Reason.UNDECIDABLE, rows=(index,)))
    first = index == 0 and place is not None and place > 1
    if first and place is not None and _at_place(db, event, place - 1) is None:
        raise _Refusal(Refused(reason=Reason.MISSING_ROWS, rows=(index,)))
    elsewhere = row.parent is not None and row.parent != tip
    if elsewhere and _known(db, _FOUND + "entry = ?", (event.conversation, row.parent)) is None:
        raise _Refusal(Refused(reason=Reason.MISSING_ROWS, rows=(index,)))
    if not in_order(((part.start, part.length) for part in row.parts), len(row.text)):
        raise _Refusal(Refused(reason=Reason.MISPLACED_PARTS, rows=(index,)))
    if elsewhere and row.standing is not Standing.ASIDE:
        raise _Refusal(_fork(event, index))


def _is_doubtful(db: apsw.Connection, event: Take, row: Row, place: int | None) -> bool:
    """Tell whether the source has an entry that lacks just what this row has."""
    if row.entry is None:
        lacking = "place IS NULL"
    elif place is None:
        lacking = "entry IS NULL"
    else:
        return False
    query = f"SELECT 1 FROM entries WHERE conversation = ? AND source = ? AND {lacking} LIMIT 1"  # noqa: S608 - one of two constants
    return db.execute(query, (event.conversation, event.source)).get is not None


def _fork(event: Take, index: int) -> Refused:
    return Refused(reason=Reason.FORKED, rows=(index,), fork=event.rows[index].parent)


def _put_entry(db: apsw.Connection, event: Take, row: Row, place: int | None) -> None:
    placed = row.standing is Standing.PLACED
    db.execute(
        "INSERT INTO entries (conversation, source, entry, place, standing, digest, role, message,"
        " text, time) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            event.conversation,
            event.source,
            row.entry,
            place,
            row.standing.value,
            row.digest,
            row.role,
            row.message if placed else None,
            None if placed else row.text,
            row.time,
        ),
    )
    number = db.last_insert_rowid()
    db.executemany(
        "INSERT INTO parts VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            (number, at, part.kind, part.start, part.length, part.call, part.name)
            for at, part in enumerate(row.parts)
        ),
    )


def _append(db: apsw.Connection, event: Take, placed: list[int]) -> Posted | None:
    """Append the messages of the rows at these indices; None when there are none."""
    if not placed:
        return None
    rows = [event.rows[index] for index in placed]
    drafts = tuple(Draft(id=row.message, text=row.text, tokens=row.tokens) for row in rows)
    append = Append(conversation=event.conversation, messages=drafts)
    outcome = ledgers.apply(db, append)
    match outcome:
        case Posted():
            return outcome
        case RefusedByLedger(reason=reason, index=index):
            raise _Refusal(RefusedByLedger(reason=reason, index=placed[index]))
        case _:
            raise _Refusal(outcome)


# Abstraction: from tables to the state of the model.
# It shows what it can of rows that break a constraint; see ``plumbline.damaged``.


def observe(db: apsw.Connection) -> State:
    """Return the abstract state of the whole database."""
    logs = tuple(one for one in _logs(db) if one.entries)
    return State(ledger=ledgers.observe(db), logs=logs)


def parts(db: apsw.Connection) -> Iterator[tuple[str, State]]:
    """Yield the abstract state of one conversation after the other, by id."""
    for (key, ledger), log in zip(ledgers.parts(db), _logs(db), strict=True):
        yield key, State(ledger=ledger, logs=(log,) if log.entries else ())


def _logs(db: apsw.Connection) -> Iterator[Log]:
    """Yield what each conversation was handed, as it is stored, in the order of their ids."""
    query = "SELECT conversation FROM conversations ORDER BY conversation"
    for (conversation,) in every_row(db, query):
        yield Log(
            conversation=ConversationId(as_text(conversation)),
            entries=tuple(_entries(db, conversation)),
        )


def _entries(db: apsw.Connection, conversation: Value) -> Iterator[Entry]:
    query = (
        "SELECT number, source, entry, place, standing, digest, role, message, text, time"
        " FROM entries WHERE conversation = ? ORDER BY number"
    )
    rows = every_row(db, query, (conversation,))
    words = _Words()
    for number, source, entry, place, standing, digest, role, message, said, time in rows:
        known = _STANDINGS.get(as_text(standing))
        if known is not None:
            yield Entry(
                source=SourceId(words.of(source)),
                entry=None if entry is None else EntryId(as_text(entry)),
                place=None if place is None else Place(as_number(place)),
                standing=known,
                digest=Digest(as_text(digest)),
                role=words.of(role),
                message=None if message is None else MessageId(as_text(message)),
                text=_text(said),
                time=_text(time),
                parts=tuple(_parts(db, number, words)),
            )


_STANDINGS = {standing.value: standing for standing in Standing}


class _Words:
    """The texts of columns in which few texts come again and again; each is held once."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def of(self, value: Value) -> str:
        word = as_text(value)
        return self._known.setdefault(word, word)


def _parts(db: apsw.Connection, number: Value, words: _Words) -> Iterator[Part]:
    query = "SELECT kind, start, length, call, name FROM parts WHERE number = ? ORDER BY part"
    for kind, start, length, call, name in every_row(db, query, (number,)):
        yield Part(
            kind=words.of(kind),
            start=as_number(start),
            length=as_number(length),
            call=_text(call),
            name=None if name is None else words.of(name),
        )


def _text(value: Value) -> str | None:
    return None if value is None else as_text(value)


def reopens(event: Event) -> Literal["reopen", "crash"] | None:
    """Tell whether an event is about the process, and which way it stops."""
    if not isinstance(event, Reopen):
        return None
    return "crash" if event.crash else "reopen"


_outcomes: msgspec.json.Decoder[Outcome] = msgspec.json.Decoder(Outcome)

PROGRAM: Program[State, Event, Outcome] = Program(
    apply=apply,
    observe=observe,
    parts=parts,
    decode_outcome=_outcomes.decode,
    reopens=reopens,
)
