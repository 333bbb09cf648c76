"""Contexts for people to look at: what stands in one, the lineage below it, and a rollback.

Theory of operation. Rows come from one indexed query, and no text is read further than its first
words. What a summary spans is found by a recursive query inside that one, over the lineage of this
summary alone. A lineage is walked with a stack and not by recursion: one indexed query for each
summary that is opened, and none for a message. Damage does not stop a walk: a summary that was
opened before is not opened again, so a cycle ends where it closes. A database of an earlier version
is read as one whose counts and entries are not known.
"""

from codecs import getincrementaldecoder
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import Final

import apsw
from msgspec import Struct

from plumbline.damaged import Value, as_number, as_text, every_row
from plumbline.database import SettingNotKept, answered, open_database, transaction, version_of
from plumbline.intake import PROGRAM
from plumbline.reading import LOGS, reading
from plumbline.schema import INTAKE, MIGRATIONS, ORDINALS, TOKENS
from plumbline_models.ordinals import (
    ConversationId,
    Item,
    MessageId,
    MessageItem,
    Reason,
    Refused,
    RollBack,
    RolledBack,
    SummaryId,
    SummaryItem,
)
from plumbline_models.tokens import Posted
from plumbline_spec.errors import CouldNotFinish, UnusableInput

MAX_WORDS: Final = 200
"""Code points of a text that are given as its first words."""
MAX_WORDS_BYTES: Final = 4 * MAX_WORDS
"""Bytes of a text that are read for them."""
TEMP_IN_MEMORY: Final = 2
FIRST_POSITION: Final = -(2**63)
LAST_POSITION: Final = 2**63 - 1


class Totals(Struct, frozen=True, kw_only=True):
    """One conversation in figures."""

    conversation: str
    items: int
    """Length of the context, as stored."""
    tokens: int | None
    """Size of the context, as stored; None in a version that has no counts."""
    messages: int
    """Messages that are stored."""
    covered: int
    """Messages that a summary replaced."""
    lost: int
    """Items that were pruned, forgotten, or both."""
    pruned: int
    forgotten: int
    entries: int
    """Entries that a host handed over, whether they became messages or not."""


class ContextItem(Struct, frozen=True, kw_only=True):
    """One entry of a context."""

    ordinal: int
    item: Item
    role: str | None
    """Of a message that an entry brought."""
    depth: int | None
    """Of a summary."""
    tokens: int | None
    first_time: str | None
    """When the first message that it covers and that has a time was said, as its host wrote it."""
    last_time: str | None
    words: str
    """How its text begins, on one line."""


class Trouble(Enum):
    """What is wrong with an item of a lineage."""

    CYCLE = "cycle"
    """The summary is a source of itself, over others perhaps."""
    REPEATED = "repeated"
    """The summary is a source twice; its sources are listed where it comes first."""
    MISSING = "missing"
    """Nothing is stored under its id."""


class LineageItem(Struct, frozen=True, kw_only=True):
    """One item of a lineage; those with a higher level that follow are below it."""

    level: int
    """0 for an item of the context."""
    ordinal: int | None
    """Of an item of the context."""
    item: Item
    role: str | None
    depth: int | None
    tokens: int | None
    time: str | None
    """Of a message that an entry brought."""
    words: str
    not_listed: int
    """How many sources it has of which none follows."""
    trouble: Trouble | None


class ContextReport(Struct, frozen=True, kw_only=True):
    """The conversations of a file, and the context of one."""

    file: str
    conversations: tuple[Totals, ...]
    """The one that was named, or all."""
    context: tuple[ContextItem, ...] | None
    """None when there are several conversations, or none at all."""


class LineageReport(Struct, frozen=True, kw_only=True):
    """The conversations of a file, and the lineage of the context of one."""

    file: str
    conversations: tuple[Totals, ...]
    lineage: tuple[LineageItem, ...] | None
    """Each item before those below it; None where ``ContextReport.context`` would be None."""


class Size(Struct, frozen=True, kw_only=True):
    """How large a context is, as stored."""

    items: int
    tokens: int


class RollBackReport(Struct, frozen=True, kw_only=True):
    """What a rollback did, or why it did nothing."""

    file: str
    conversation: str
    summary: str
    refused: Reason | None
    because: str | None
    """The same in a sentence."""
    restored: tuple[ContextItem, ...]
    """What stands in the context again, oldest first."""
    before: Size | None
    """None when there is no such conversation."""
    after: Size | None


def show(path: Path, conversation: str | None = None, limit: int | None = None) -> ContextReport:
    """Return the context of a conversation, or the list of conversations if there are several.

    With a limit, the newest items alone. No byte of the file's folder changes. Raises
    ``UnusableInput`` for a file that is no Plumbline database or a conversation that it has not,
    ``CouldNotFinish`` when it was written meanwhile or cannot be read to its end.
    """
    with _reading(path) as (db, older):
        found = _named(db, older, path, conversation)
        rows = None
        if len(found) == 1:
            here = found[0].conversation
            since = FIRST_POSITION if limit is None else _since(db, here, limit)
            rows = tuple(_context(db, older, here, since))
    return ContextReport(file=str(path), conversations=found, context=rows)


def tree(path: Path, conversation: str | None = None, levels: int | None = None) -> LineageReport:
    """Return the lineage of a context down to its messages, or down to so many levels below it.

    Changes nothing and raises as ``show`` does.
    """
    with _reading(path) as (db, older):
        found = _named(db, older, path, conversation)
        rows = None
        if len(found) == 1:
            rows = tuple(_lineage(db, older, found[0].conversation, levels))
    return LineageReport(file=str(path), conversations=found, lineage=rows)


def roll_back(path: Path, conversation: str, summary: str) -> RollBackReport:
    """Delete a summary and put its sources back in its place, in one transaction.

    A refusal is an answer and has written nothing. Raises ``UnusableInput`` for a file that is no
    Plumbline database, which is then left as it was and never made, and ``CouldNotFinish``.
    """
    for name in (conversation, summary):
        _refuse_odd_text(name)
    _refuse_what_is_no_database(path)
    db: apsw.Connection | None = None
    try:
        db = open_database(str(path), create=False)
        with transaction(db):
            return _rolled_back(db, str(path), conversation, summary)
    except (apsw.Error, SettingNotKept) as error:
        raise CouldNotFinish(
            f"{path} could not be written ({error}); "
            "see with plumbline context show whether the summary still stands"
        ) from error
    finally:
        if db is not None:
            db.close()


# Reading


@contextmanager
def _reading(path: Path) -> Generator[tuple[apsw.Connection, str]]:
    """Open a database, with the tables that its version lacks as common table expressions."""
    with reading(path) as db:
        try:
            # What a summary spans may be more than a cache holds; no file is made for it.
            db.pragma("temp_store", TEMP_IN_MEMORY)
            version = version_of(db)
            if version < _version(ORDINALS):
                raise UnusableInput(f"{path} has version {version}, which holds no context")
            yield db, _older(version)
        except apsw.Error as error:
            raise CouldNotFinish(
                f"{path} cannot be read to its end ({error}); "
                "plumbline audit says what is wrong with it"
            ) from error


def _version(migration: str) -> int:
    return MIGRATIONS.index(migration) + 1


def _older(version: int) -> str:
    """Return how a query begins that reads a database of this version."""
    tables = list[str]()
    if version < _version(TOKENS):
        tables += [
            f"{one} AS (SELECT *, NULL AS tokens FROM main.{one})"  # noqa: S608 - named here
            for one in ("conversations", "messages", "summaries")
        ]
    if version < _version(INTAKE):
        columns = "number, conversation, message, role, time"
        tables.append(f"entries ({columns}) AS (SELECT NULL, NULL, NULL, NULL, NULL WHERE 0)")
    return f"WITH {', '.join(tables)}" if tables else ""


def _named(
    db: apsw.Connection, older: str, path: Path, conversation: str | None
) -> tuple[Totals, ...]:
    """Return the conversation of that name, or all of them."""
    if conversation is None:
        return tuple(map(_totals, every_row(db, older + _TOTALS + "ORDER BY c.conversation")))
    _refuse_odd_text(conversation)
    rows = every_row(db, older + _TOTALS + "WHERE c.conversation = ?", (conversation,))
    found = tuple(map(_totals, rows))
    if not found:
        raise UnusableInput(
            f"{path} has no conversation {conversation!r}; "
            "plumbline context show without a conversation lists them"
        )
    return found


def _refuse_odd_text(name: str) -> None:
    """Raise ``UnusableInput`` for a name that no database can hold."""
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise UnusableInput(f"{name!a} is not a name: it is not UTF-8") from error


_TOTALS: Final = """
SELECT c.conversation, c.items, c.tokens,
    (SELECT count(*) FROM messages AS m WHERE m.conversation = c.conversation),
    (SELECT count(l.message) FROM summaries AS s JOIN lineage AS l ON l.summary = s.summary
        WHERE s.conversation = c.conversation),
    (SELECT count(DISTINCT x.position) FROM losses AS x WHERE x.conversation = c.conversation),
    (SELECT count(*) FROM losses AS x
        WHERE x.conversation = c.conversation AND x.cause = 'pruned'),
    (SELECT count(*) FROM losses AS x
        WHERE x.conversation = c.conversation AND x.cause = 'forgotten'),
    (SELECT count(*) FROM entries AS e WHERE e.conversation = c.conversation)
FROM conversations AS c
"""


def _totals(row: tuple[Value, ...]) -> Totals:
    conversation, items, tokens, messages, covered, lost, pruned, forgotten, entries = row
    return Totals(
        conversation=as_text(conversation),
        items=as_number(items),
        tokens=_number(tokens),
        messages=as_number(messages),
        covered=as_number(covered),
        lost=as_number(lost),
        pruned=as_number(pruned),
        forgotten=as_number(forgotten),
        entries=as_number(entries),
    )


def _since(db: apsw.Connection, conversation: str, limit: int) -> int:
    """Return the position of the oldest of the newest items; ``limit`` is at least 1."""
    query = (
        "SELECT position FROM context WHERE conversation = ?"
        " ORDER BY position DESC LIMIT 1 OFFSET ?"
    )
    for (position,) in every_row(db, query, (conversation, limit - 1)):
        return as_number(position)
    return FIRST_POSITION


_ABOUT: Final = f"""
    i.message, i.summary, e.role, s.depth, coalesce(m.tokens, s.tokens),
    substr(CAST(ltrim(coalesce(m.text, s.text), char(9, 10, 13, 32)) AS BLOB), 1, {MAX_WORDS_BYTES})
"""
_OF_ITEMS: Final = """
LEFT JOIN messages AS m ON m.message = i.message
LEFT JOIN summaries AS s ON s.summary = i.summary
LEFT JOIN entries AS e
    ON e.number = (SELECT min(x.number) FROM entries AS x WHERE x.message = i.message)
ORDER BY i.position
"""
_SPANNED: Final = """
    (
        WITH RECURSIVE
            below (message, source) AS (
                SELECT NULL, i.summary
                UNION  -- A pair that came before does not come again, so a cycle ends.
                SELECT l.message, l.source FROM below
                    JOIN lineage AS l ON l.summary = below.source
            ),
            said (moment) AS (
                SELECT printf('%019d', m.sequence) || e.time FROM below
                    CROSS JOIN messages AS m ON m.message = below.message
                    CROSS JOIN entries AS e ON e.message = m.message
            )
        SELECT substr(min(moment), 20) || char(31) || substr(max(moment), 20) FROM said
    )
"""
_CONTEXT: Final = f"""
SELECT {_ABOUT}, CASE WHEN i.message IS NOT NULL THEN e.time ELSE {_SPANNED} END
FROM (
    SELECT position, message, summary FROM context
    WHERE conversation = ?1 AND position BETWEEN ?2 AND ?3
) AS i {_OF_ITEMS}
"""  # noqa: S608 - texts of this module
_BEFORE: Final = "SELECT count(*) FROM context WHERE conversation = ? AND position < ?"


def _context(
    db: apsw.Connection,
    older: str,
    conversation: str,
    since: int = FIRST_POSITION,
    until: int = LAST_POSITION,
) -> Iterator[ContextItem]:
    """Yield the items of a context that stand between two positions, oldest first."""
    ((before,),) = every_row(db, _BEFORE, (conversation, since))
    rows = every_row(db, older + _CONTEXT, (conversation, since, until))
    for ordinal, row in enumerate(rows, as_number(before)):
        message, summary, role, depth, tokens, words, spanned = row
        first, _, last = as_text(spanned).partition("\x1f")
        yield ContextItem(
            ordinal=ordinal,
            item=_item(message, summary),
            role=None if role is None else as_text(role),
            depth=_number(depth),
            tokens=_number(tokens),
            first_time=first or None,
            last_time=last or first or None,
            words=_words(words),
        )


def _item(message: Value, summary: Value) -> Item:
    if message is not None:
        return MessageItem(id=MessageId(as_text(message)))
    return SummaryItem(id=SummaryId(as_text(summary)))


def _number(value: Value) -> int | None:
    return value if isinstance(value, int) else None


def _words(begins: Value) -> str:
    """Return the beginning of a text as one line; what was cut within a character is left out."""
    if not isinstance(begins, bytes):
        return ""
    whole = len(begins) < MAX_WORDS_BYTES
    text = getincrementaldecoder("utf-8")("backslashreplace").decode(begins, whole)
    return " ".join(text.split())[:MAX_WORDS]


# Lineage

_LINEAGE: Final = f"""
SELECT {_ABOUT}, e.time, coalesce(m.message, s.summary) IS NULL,
    (SELECT count(*) FROM lineage AS l WHERE l.summary = i.summary)
"""  # noqa: S608 - texts of this module
_TOP: Final = f"""{_LINEAGE}
FROM (SELECT position, message, summary FROM context WHERE conversation = ?) AS i {_OF_ITEMS}
"""  # noqa: S608 - texts of this module
_BELOW: Final = f"""{_LINEAGE}
FROM (SELECT position, message, source AS summary FROM lineage WHERE summary = ?) AS i {_OF_ITEMS}
"""  # noqa: S608 - texts of this module


def _lineage(
    db: apsw.Connection, older: str, conversation: str, levels: int | None
) -> Iterator[LineageItem]:
    """Yield every item of a context before those below it."""
    rows = [every_row(db, older + _TOP, (conversation,))]
    path, opened, ordinal = list[Value](), set[Value](), 0
    while rows:
        row = next(rows[-1], None)
        if row is None:
            rows.pop()
            del path[-1:]
            continue
        level, summary, sources = len(rows) - 1, row[1], as_number(row[-1])
        trouble = _trouble(row, path, opened)
        opens = bool(sources) and trouble in (None, Trouble.MISSING)
        opens = opens and (levels is None or level < levels)
        yield _lineage_item(
            row, level, ordinal if level == 0 else None, 0 if opens else sources, trouble
        )
        ordinal += level == 0
        if opens:
            path.append(summary)
            opened.add(summary)
            rows.append(iter([*every_row(db, older + _BELOW, (summary,))]))


def _trouble(row: tuple[Value, ...], path: list[Value], opened: set[Value]) -> Trouble | None:
    summary, missing = row[1], row[7]
    if summary is not None and summary in opened:
        return Trouble.CYCLE if summary in path else Trouble.REPEATED
    return Trouble.MISSING if missing else None


def _lineage_item(
    row: tuple[Value, ...],
    level: int,
    ordinal: int | None,
    not_listed: int,
    trouble: Trouble | None,
) -> LineageItem:
    message, summary, role, depth, tokens, words, time, _, _ = row
    return LineageItem(
        level=level,
        ordinal=ordinal,
        item=_item(message, summary),
        role=None if role is None else as_text(role),
        depth=_number(depth),
        tokens=_number(tokens),
        time=None if time is None else as_text(time),
        words=_words(words),
        not_listed=not_listed,
        trouble=trouble,
    )


# Rolling back


def _refuse_what_is_no_database(path: Path) -> None:
    """Raise ``UnusableInput`` unless there is a Plumbline database: opening one creates it.

    A file with a log beside it was a database; the open for writing says whether it is Plumbline's.
    """
    logs = (Path(f"{path.resolve()}{suffix}") for suffix in LOGS)
    there = path.is_file() and path.stat().st_size > 0
    if not there or not any(_size(log) for log in logs):
        with reading(path):
            pass


def _size(file: Path) -> int:
    with suppress(FileNotFoundError):
        return file.stat().st_size
    return 0


def _rolled_back(db: apsw.Connection, file: str, conversation: str, summary: str) -> RollBackReport:
    """Roll a summary back inside an open transaction."""
    event = RollBack(conversation=ConversationId(conversation), summary=SummaryId(summary))
    before = _size_of(db, conversation)
    ((since, until),) = every_row(db, _REACH, (summary,))
    outcome = answered(db, None, event, PROGRAM.apply, PROGRAM.decode_outcome)
    restored: tuple[ContextItem, ...] = ()
    refused = because = None
    match outcome:
        case Refused(reason=reason):
            refused, because = reason, _because(db, conversation, summary, reason)
        case Posted(outcome=RolledBack()) if since is not None:
            between = as_number(since), as_number(until)
            restored = tuple(_context(db, "", conversation, *between))
        case _:
            assert isinstance(outcome, Posted), outcome
    return RollBackReport(
        file=file,
        conversation=conversation,
        summary=summary,
        refused=refused,
        because=because,
        restored=restored,
        before=before,
        after=_size_of(db, conversation),
    )


_REACH: Final = "SELECT min(position), max(position) FROM lineage WHERE summary = ?"


def _size_of(db: apsw.Connection, conversation: str) -> Size | None:
    query = "SELECT items, tokens FROM conversations WHERE conversation = ?"
    for items, tokens in every_row(db, query, (conversation,)):
        return Size(items=as_number(items), tokens=as_number(tokens))
    return None


def _because(db: apsw.Connection, conversation: str, summary: str, reason: Reason) -> str:
    """Return why a summary cannot be rolled back, and what can be done."""
    match reason:
        case Reason.UNKNOWN_CONVERSATION:
            return f"there is no conversation {conversation}"
        case Reason.UNKNOWN_ITEM:
            return f"there is no summary {summary}; one that was rolled back is gone"
        case Reason.FOREIGN_ITEM:
            return f"the summary {summary} belongs to another conversation"
        case _:
            return _why_absent(db, summary)


def _why_absent(db: apsw.Connection, summary: str) -> str:
    rows = every_row(db, "SELECT summary FROM lineage WHERE source = ?", (summary,))
    for (by,) in rows:
        return f"the summary {as_text(by)} covers {summary}; roll it back first"
    return f"the summary {summary} does not stand in the context; it was pruned"
