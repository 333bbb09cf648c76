"""Ordinals over SQLite; must match ``plumbline_models.ordinals`` (chapter ``spec/ordinals.md``).

Positions and tables are explained in ``plumbline.schema``. Every function here runs inside a
transaction that ``plumbline.database.answered`` opened. Guards stand in the chapter's order. What a
replacement reads and writes depends on the items that it removes and not on the length of the
context; only an ordinal, when the event gives one, is verified by counting from the nearer end.
"""

from collections.abc import Iterable, Iterator
from typing import assert_never

import apsw
import msgspec

from plumbline.damaged import Value, as_number, as_text, every_row
from plumbline.database import integer
from plumbline.sqlite_host import Program
from plumbline_models.ordinals import (
    Append,
    Appended,
    Cause,
    Conversation,
    ConversationId,
    Depth,
    Event,
    Forget,
    Forgotten,
    Item,
    Loss,
    Message,
    MessageId,
    MessageItem,
    Open,
    Opened,
    Ordinal,
    Outcome,
    Placed,
    Prune,
    Pruned,
    Reason,
    Refused,
    Replace,
    Replaced,
    RollBack,
    RolledBack,
    Sequence,
    State,
    Summary,
    SummaryId,
    SummaryItem,
)


class _Refusal(Exception):  # noqa: N818 - it never leaves this module
    """A guard that does not hold; becomes the outcome ``Refused``."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


Counts = tuple[int, ...]
"""The counts to store with what an event brings: one for each message, or one for the summary."""


def apply(db: apsw.Connection, event: Event, counts: Counts = ()) -> Outcome:
    """Apply one event inside an open transaction; a refused event has written nothing.

    Without counts none are stored: a list that nobody keeps a ledger for.
    """
    try:
        return _apply(db, event, counts)
    except _Refusal as refusal:
        return Refused(reason=refusal.reason)


def _apply(db: apsw.Connection, event: Event, counts: Counts) -> Outcome:
    match event:
        case Open():
            return _open(db, event)
        case Append():
            return _append(db, event, counts)
        case Replace():
            return _replace(db, event, counts)
        case RollBack():
            return _roll_back(db, event)
        case Prune():
            return _prune(db, event)
        case Forget():
            return _forget(db, event)
        case _:
            assert_never(event)


def exists(db: apsw.Connection, conversation: ConversationId) -> bool:
    """Tell whether a conversation was opened."""
    query = "SELECT 1 FROM conversations WHERE conversation = ?"
    return db.execute(query, (conversation,)).get is not None


def _open(db: apsw.Connection, event: Open) -> Outcome:
    db.execute(
        "INSERT OR IGNORE INTO conversations (conversation) VALUES (?)", (event.conversation,)
    )
    _refuse_unless(db.changes() == 1, Reason.CONVERSATION_EXISTS)
    return Opened()


def _append(db: apsw.Connection, event: Append, counts: Counts) -> Outcome:
    items, sequence = _conversation(db, event.conversation)
    _refuse_unless(bool(event.messages), Reason.EMPTY_BATCH)
    named = [draft.id for draft in event.messages]
    _refuse_unless(len(set(named)) == len(named), Reason.DUPLICATE_ITEM)
    for message in named:
        _refuse_known(db, event.conversation, message)
    stored: tuple[int | None, ...] = counts or (None,) * len(named)
    drafts = zip(event.messages, stored, strict=True)
    for number, (draft, tokens) in enumerate(drafts, sequence):
        row = (draft.id, event.conversation, number, draft.text, tokens)
        db.execute("INSERT INTO messages VALUES (?, ?, ?, ?, ?)", row)
        db.execute(
            "INSERT INTO context (conversation, position, message) VALUES (?, ?, ?)",
            (event.conversation, number, draft.id),
        )
    db.execute(
        "UPDATE conversations SET next_sequence = next_sequence + ?1, items = items + ?1"
        " WHERE conversation = ?2",
        (len(named), event.conversation),
    )
    return Appended(ordinal=Ordinal(items), sequence=Sequence(sequence))


def _refuse_known(db: apsw.Connection, here: ConversationId, message: MessageId) -> None:
    stored = db.execute("SELECT conversation FROM messages WHERE message = ?", (message,)).get
    if stored is not None:
        raise _Refusal(Reason.ALREADY_PLACED if stored == here else Reason.FOREIGN_ITEM)
    _refuse_forgotten(db, here, message)


def _refuse_forgotten(db: apsw.Connection, here: ConversationId, message: MessageId) -> None:
    forgotten = _forgotten_in(db, message)
    if forgotten is not None:
        raise _Refusal(Reason.FORGOTTEN_ITEM if forgotten == here else Reason.FOREIGN_ITEM)


def _replace(db: apsw.Connection, event: Replace, counts: Counts) -> Outcome:
    length, _ = _conversation(db, event.conversation)
    _refuse_unless(bool(event.items), Reason.EMPTY_RANGE)
    _refuse_unless(len(set(event.items)) == len(event.items), Reason.DUPLICATE_ITEM)
    _refuse_unless(len({type(item) for item in event.items}) == 1, Reason.MIXED_ITEMS)
    owner = db.execute("SELECT conversation FROM summaries WHERE summary = ?", (event.summary,)).get
    if owner is not None:
        raise _Refusal(
            Reason.ALREADY_PLACED if owner == event.conversation else Reason.FOREIGN_ITEM
        )
    found = [_stand(db, event.conversation, item) for item in event.items]
    positions = [at for at, _ in found if at is not None]
    _refuse_unless(len(positions) == len(found), Reason.STALE_RANGE)
    _refuse_unless(positions == sorted(positions), Reason.STALE_RANGE)
    _verify_range(db, event, positions, length)
    depth = 1 + max(depth for _, depth in found)
    put_summary(db, event, (positions[0], positions[-1]), depth, *counts)
    return Replaced(depth=Depth(depth))


def _stand(db: apsw.Connection, here: ConversationId, item: Item) -> tuple[int | None, int]:
    """Return where an item stands, None if not in the context, and its depth, -1 for a message."""
    match item:
        case MessageItem(id=message):
            row = db.execute(
                "SELECT m.conversation, c.position, -1 FROM messages AS m"
                " LEFT JOIN context AS c ON c.message = m.message WHERE m.message = ?",
                (message,),
            ).fetchone()
            forgotten = _forgotten_in(db, message) if row is None else None
            if forgotten == here:
                return None, -1
            _refuse_unless(forgotten is None, Reason.FOREIGN_ITEM)
        case SummaryItem(id=summary):
            row = db.execute(
                "SELECT s.conversation, c.position, s.depth FROM summaries AS s"
                " LEFT JOIN context AS c ON c.summary = s.summary WHERE s.summary = ?",
                (summary,),
            ).fetchone()
        case _:
            assert_never(item)
    if row is None:
        raise _Refusal(Reason.UNKNOWN_ITEM)
    conversation, position, depth = row
    _refuse_unless(conversation == here, Reason.FOREIGN_ITEM)
    assert position is None or isinstance(position, int)
    assert isinstance(depth, int)
    return position, depth


def _forgotten_in(db: apsw.Connection, message: MessageId) -> object:
    """Return the conversation in which a message was forgotten, or None."""
    return db.execute(
        "SELECT conversation FROM losses WHERE cause = 'forgotten' AND message = ?", (message,)
    ).get


def _verify_range(db: apsw.Connection, event: Replace, positions: list[int], length: int) -> None:
    """Refuse a range with a hole, or one that does not stand where the event expects it."""
    between = integer(
        db,
        "SELECT count(*) FROM (SELECT 1 FROM context"
        " WHERE conversation = ? AND position BETWEEN ? AND ? LIMIT ?)",
        (event.conversation, positions[0], positions[-1], len(positions) + 1),
    )
    _refuse_unless(between == len(positions), Reason.NOT_ADJACENT)
    for expected, position in ((event.first, positions[0]), (event.last, positions[-1])):
        if expected is not None:
            at = _stands_at(db, event.conversation, position, expected, length)
            _refuse_unless(at, Reason.STALE_RANGE)


def _stands_at(
    db: apsw.Connection, conversation: ConversationId, position: int, rank: int, length: int
) -> bool:
    """Tell whether the item at ``position`` has this rank, counting from the nearer end."""
    if not 0 <= rank < length:
        return False
    older, newer = rank, length - 1 - rank
    if older <= newer:
        query, expected = _OLDER, older
    else:
        query, expected = _NEWER, newer
    return integer(db, query, (conversation, position, expected + 1)) == expected


_OLDER = (
    "SELECT count(*) FROM (SELECT 1 FROM context WHERE conversation = ? AND position < ? LIMIT ?)"
)
_NEWER = (
    "SELECT count(*) FROM (SELECT 1 FROM context WHERE conversation = ? AND position > ? LIMIT ?)"
)


def put_summary(
    db: apsw.Connection,
    event: Replace,
    ends: tuple[int, int],
    depth: int,
    tokens: int | None = None,
) -> None:
    """Store a summary and put it where its sources stand, at positions ``ends`` and between."""
    db.execute(
        "INSERT INTO summaries VALUES (?, ?, ?, ?, ?)",
        (event.summary, event.conversation, depth, event.text, tokens),
    )
    db.execute(
        "INSERT INTO lineage SELECT ?, position, message, summary FROM context"
        " WHERE conversation = ? AND position BETWEEN ? AND ?",
        (event.summary, event.conversation, *ends),
    )
    db.execute(
        "DELETE FROM context WHERE conversation = ? AND position BETWEEN ? AND ?",
        (event.conversation, *ends),
    )
    db.execute(
        "INSERT INTO context (conversation, position, summary) VALUES (?, ?, ?)",
        (event.conversation, ends[0], event.summary),
    )
    _resize(db, event.conversation, 1 - len(event.items))


def _roll_back(db: apsw.Connection, event: RollBack) -> Outcome:
    _conversation(db, event.conversation)
    position, _ = _stand(db, event.conversation, SummaryItem(id=event.summary))
    _refuse_unless(position is not None, Reason.NOT_IN_CONTEXT)
    restored = _lineage(db, event.summary)
    db.execute("DELETE FROM context WHERE summary = ?", (event.summary,))
    db.execute(
        "INSERT INTO context SELECT ?, position, message, source FROM lineage WHERE summary = ?",
        (event.conversation, event.summary),
    )
    db.execute("DELETE FROM lineage WHERE summary = ?", (event.summary,))
    db.execute("DELETE FROM summaries WHERE summary = ?", (event.summary,))
    _resize(db, event.conversation, len(restored) - 1)
    return RolledBack(restored=restored)


def _prune(db: apsw.Connection, event: Prune) -> Outcome:
    _conversation(db, event.conversation)
    rows = db.execute(
        "SELECT c.position, c.message, c.summary FROM context AS c LEFT JOIN summaries AS s"
        " ON s.summary = c.summary WHERE c.conversation = ?1"
        " AND (c.message IS NOT NULL OR ?2 IS NULL OR s.depth < ?2) ORDER BY c.position",
        (event.conversation, event.retain_depth),
    ).fetchall()
    for position, message, summary in rows:
        db.execute(
            "INSERT INTO losses VALUES (?, ?, 'pruned', ?, ?)",
            (event.conversation, position, message, summary),
        )
        db.execute(
            "DELETE FROM context WHERE conversation = ? AND position = ?",
            (event.conversation, position),
        )
    _resize(db, event.conversation, -len(rows))
    return Pruned(removed=tuple(_item(message, summary) for _, message, summary in rows))


def _forget(db: apsw.Connection, event: Forget) -> Outcome:
    _conversation(db, event.conversation)
    _refuse_unless(bool(event.messages), Reason.EMPTY_BATCH)
    _refuse_unless(len(set(event.messages)) == len(event.messages), Reason.DUPLICATE_ITEM)
    sequences = {
        message: _forgettable(db, event.conversation, message) for message in event.messages
    }
    removed: list[MessageId] = []
    for message in sorted(sequences, key=lambda one: sequences[one]):
        db.execute("DELETE FROM context WHERE message = ?", (message,))
        if db.changes():
            removed.append(message)
        db.execute(
            "INSERT INTO losses VALUES (?, ?, 'forgotten', ?, NULL)",
            (event.conversation, sequences[message], message),
        )
        db.execute("DELETE FROM messages WHERE message = ?", (message,))
    _resize(db, event.conversation, -len(removed))
    return Forgotten(removed=tuple(removed))


def _forgettable(db: apsw.Connection, here: ConversationId, message: MessageId) -> int:
    """Return the sequence number of a message that may be forgotten; refuse any other."""
    row = db.execute(
        "SELECT m.conversation, m.sequence, l.summary FROM messages AS m"
        " LEFT JOIN lineage AS l ON l.message = m.message WHERE m.message = ?",
        (message,),
    ).fetchone()
    if row is None:
        _refuse_forgotten(db, here, message)
        raise _Refusal(Reason.UNKNOWN_ITEM)
    conversation, sequence, covered_by = row
    _refuse_unless(conversation == here, Reason.FOREIGN_ITEM)
    _refuse_unless(covered_by is None, Reason.COVERED_ITEM)
    assert isinstance(sequence, int)
    return sequence


def _refuse_unless(holds: bool, reason: Reason) -> None:  # noqa: FBT001 - a guard and its reason
    if not holds:
        raise _Refusal(reason)


def _conversation(db: apsw.Connection, conversation: ConversationId) -> tuple[int, int]:
    """Return the length of the context and the next sequence number."""
    row = db.execute(
        "SELECT items, next_sequence FROM conversations WHERE conversation = ?", (conversation,)
    ).fetchone()
    if row is None:
        raise _Refusal(Reason.UNKNOWN_CONVERSATION)
    items, sequence = row
    assert isinstance(items, int)
    assert isinstance(sequence, int)
    return items, sequence


def _resize(db: apsw.Connection, conversation: ConversationId, by: int) -> None:
    db.execute(
        "UPDATE conversations SET items = items + ? WHERE conversation = ?", (by, conversation)
    )


# Abstraction: from tables to the state of the model.
# It shows what it can of rows that break a constraint; see ``plumbline.damaged``.


def observe(db: apsw.Connection) -> State:
    """Return the abstract state of the whole database."""
    return State(conversations=tuple(_conversations(db)))


def parts(db: apsw.Connection) -> Iterator[tuple[str, State]]:
    """Yield the abstract state of one conversation after the other, by id."""
    for conversation in _conversations(db):
        yield conversation.id, State(conversations=(conversation,))


def _conversations(db: apsw.Connection) -> Iterator[Conversation]:
    query = "SELECT conversation, next_sequence FROM conversations ORDER BY conversation"
    for conversation, sequence in every_row(db, query):
        yield Conversation(
            id=ConversationId(as_text(conversation)),
            next_sequence=Sequence(as_number(sequence)),
            messages=tuple(_messages(db, conversation)),
            summaries=tuple(_summaries(db, conversation)),
            context=tuple(_context(db, conversation)),
            losses=tuple(_losses(db, conversation)),
        )


def _messages(db: apsw.Connection, conversation: Value) -> Iterator[Message]:
    query = "SELECT message, sequence, text FROM messages WHERE conversation = ? ORDER BY sequence"
    for message, sequence, said in every_row(db, query, (conversation,)):
        yield Message(
            id=MessageId(as_text(message)),
            sequence=Sequence(as_number(sequence)),
            text=as_text(said),
        )


def _summaries(db: apsw.Connection, conversation: Value) -> Iterator[Summary]:
    query = "SELECT summary, depth, text FROM summaries WHERE conversation = ? ORDER BY summary"
    for summary, depth, said in every_row(db, query, (conversation,)):
        yield Summary(
            id=SummaryId(as_text(summary)),
            depth=Depth(as_number(depth)),
            text=as_text(said),
            sources=_lineage(db, summary),
        )


def _lineage(db: apsw.Connection, summary: Value) -> tuple[Item, ...]:
    query = "SELECT message, source FROM lineage WHERE summary = ? ORDER BY position"
    return tuple(_items(every_row(db, query, (summary,))))


def _context(db: apsw.Connection, conversation: Value) -> Iterator[Placed]:
    query = "SELECT message, summary FROM context WHERE conversation = ? ORDER BY position"
    for rank, item in enumerate(_items(every_row(db, query, (conversation,)))):
        yield Placed(ordinal=Ordinal(rank), item=item)


def _losses(db: apsw.Connection, conversation: Value) -> Iterator[Loss]:
    query = (
        "SELECT position, cause, message, summary FROM losses"
        " WHERE conversation = ? ORDER BY position, cause"
    )
    for position, cause, message, summary in every_row(db, query, (conversation,)):
        known = _CAUSES.get(as_text(cause))
        for item in _items([(message, summary)]):
            if known is not None:
                yield Loss(position=Sequence(as_number(position)), cause=known, item=item)


_CAUSES = {cause.value: cause for cause in Cause}


def _items(named: Iterable[tuple[Value, ...]]) -> Iterator[Item]:
    """Yield the item that each row names, a message or a summary; a row may name none."""
    for message, summary in named:
        if message is not None or summary is not None:
            yield _item(message, summary)


def _item(message: object, summary: object) -> Item:
    if message is not None:
        return MessageItem(id=MessageId(as_text(message)))
    return SummaryItem(id=SummaryId(as_text(summary)))


_outcomes: msgspec.json.Decoder[Outcome] = msgspec.json.Decoder(Outcome)

PROGRAM: Program[State, Event, Outcome] = Program(
    apply=apply, observe=observe, parts=parts, decode_outcome=_outcomes.decode
)
