"""Ingest: agent transcripts into a database, each file whole or not at all.

Theory of operation. A file is read twice: once to validate every line and to find the branch of its
leaf, and once to hand its entries over in batches, as events of intake. All batches of a file run
in one transaction, so a row that is refused takes the whole file back, and a file that changed
while it was read too. The conversation and the source are both named by the session's id; an entry
is the row of its id, or of its number in the file. A file that was ingested before is handed over
again in full: what is stored is known, and what is new is added.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, Literal

import apsw
from msgspec import Struct

from plumbline.database import integer, open_database, transaction
from plumbline.intake import apply
from plumbline.transcript import Survey, Transcript, TranscriptEntry, UnusableTranscript
from plumbline_models.intake import (
    Digest,
    EntryId,
    Fate,
    Place,
    Reason,
    Refused,
    Row,
    SourceId,
    Standing,
    Take,
    Taken,
)
from plumbline_models.ordinals import ConversationId, MessageId, Open
from plumbline_spec.errors import CouldNotFinish, UnusableInput

BATCH_ROWS: Final = 512
"""The most rows of one event."""
BATCH_CHARACTERS: Final = 4 * 1024 * 1024
"""An event ends with the row that makes its texts this long, in code points."""

NOT_KEPT: Final = ("", ":memory:")
"""Names under which SQLite makes a database that goes when it is closed."""

Told = Callable[[str, str], None]
"""Called with a file and what was done with it so far."""


class Failure(Struct, frozen=True, kw_only=True):
    """A file of which nothing was stored."""

    file: str
    line: int | None
    reason: str
    """Why, and what to do."""
    verdict: Literal["unusable", "refused", "unfinished"]
    """It is no transcript; the specification refuses a row of it; it could not be read whole."""


class Ingested(Struct, frozen=True, kw_only=True):
    """What became of the files."""

    files: int
    """Files that are stored now."""
    entries: int
    """Entries in them, the session line included."""
    messages: int
    """Entries in them that are messages."""
    added: int
    """Entries that were not stored before."""
    already: int
    """Entries that were."""
    tokens: int
    """What the contexts of their conversations weigh together."""
    seconds: float
    failures: tuple[Failure, ...] = ()


class _Refusal(Exception):  # noqa: N818 - it never leaves this module
    """The specification refuses a row of a file."""

    def __init__(self, entry: TranscriptEntry, reason: str) -> None:
        super().__init__(reason)
        self.line = entry.line
        self.reason = reason


class _Counts:
    """What was counted so far."""

    def __init__(self) -> None:
        self.files = self.entries = self.messages = self.added = self.already = 0
        self.sessions: dict[str, None] = {}


def ingest(database: str, files: Iterable[Path], told: Told) -> Ingested:
    """Store transcripts in a database, which is created if there is none.

    A file is stored whole or not at all; one that cannot be stored is a failure of the report and
    does not keep the others out. Raises ``UnusableInput`` and ``CouldNotFinish`` for the database.
    """
    started = time.perf_counter()
    if database in NOT_KEPT:
        raise UnusableInput(f"{database!r} names no file; name one that keeps what is stored")
    counts, failures = _Counts(), list[Failure]()
    db: apsw.Connection | None = None
    try:
        for file in files:
            try:
                transcript = Transcript(file)
                survey = transcript.survey(_following(told, file, "reading"))
                db = open_database(database) if db is None else db
                _store(db, transcript, survey, counts, told)
            except apsw.Error as error:
                reason = f"SQLite could not go on with the database ({error})"
                failures.append(_failed(file, None, reason, "unfinished"))
                break
            except UnusableTranscript as error:
                reason = f"{error.what}; {error.advice}"
                failures.append(_failed(file, error.line, reason, "unusable"))
            except CouldNotFinish as error:
                failures.append(_failed(file, None, str(error), "unfinished"))
            except _Refusal as error:
                failures.append(_failed(file, error.line, error.reason, "refused"))
        tokens = 0 if db is None else sum(_total(db, one) for one in counts.sessions)
    finally:
        if db is not None:
            db.close()
    return Ingested(
        files=counts.files,
        entries=counts.entries,
        messages=counts.messages,
        added=counts.added,
        already=counts.already,
        tokens=tokens,
        seconds=round(time.perf_counter() - started, 3),
        failures=tuple(failures),
    )


def _failed(
    file: Path, line: int | None, reason: str, verdict: Literal["unusable", "refused", "unfinished"]
) -> Failure:
    return Failure(file=str(file), line=line, reason=reason, verdict=verdict)


def _total(db: apsw.Connection, session: str) -> int:
    query = "SELECT coalesce(sum(tokens), 0) FROM conversations WHERE conversation = ?"
    return integer(db, query, (session,))


def _store(
    db: apsw.Connection, transcript: Transcript, survey: Survey, counts: _Counts, told: Told
) -> None:
    """Store one file in one transaction."""
    entries = transcript.entries(_following(told, transcript.file, "storing"))
    added = already = 0
    with transaction(db):
        apply(db, Open(conversation=ConversationId(survey.session)))
        for first, batch in _batches(entries):
            outcome = apply(db, _handed_over(survey, first, batch))
            if not isinstance(outcome, Taken):
                raise _refusal(batch, outcome)
            added += outcome.fates.count(Fate.ADDED)
            already += outcome.fates.count(Fate.KNOWN)
    counts.files += 1
    counts.entries += survey.entries
    counts.messages += survey.messages
    counts.added += added
    counts.already += already
    counts.sessions[survey.session] = None


def _following(told: Told, file: Path, what: str) -> Callable[[int, int], None]:
    def follow(done: int, total: int) -> None:
        told(str(file), f"{what}, {done:,} of {total:,} bytes")

    return follow


def _batches(
    entries: Iterable[TranscriptEntry],
) -> Iterator[tuple[Place, list[TranscriptEntry]]]:
    """Yield the entries in batches, each with the number of its first one, counted from 1."""
    first, size = 1, 0
    batch: list[TranscriptEntry] = []
    for entry in entries:
        batch.append(entry)
        size += len(entry.text)
        if len(batch) == BATCH_ROWS or size >= BATCH_CHARACTERS:
            yield Place(first), batch
            first, size, batch = first + len(batch), 0, []
    if batch:
        yield Place(first), batch


def _handed_over(survey: Survey, first: Place, batch: list[TranscriptEntry]) -> Take:
    rows = (_row(survey.session, first + at, entry) for at, entry in enumerate(batch))
    return Take(
        conversation=ConversationId(survey.session),
        source=SourceId(survey.session),
        rows=tuple(rows),
        first=first,
    )


def _row(session: str, number: int, entry: TranscriptEntry) -> Row:
    name = f"{session}#{number}" if entry.entry is None else f"{session}/{entry.entry}"
    return Row(
        message=MessageId(name),
        entry=None if entry.entry is None else EntryId(entry.entry),
        parent=None if entry.parent is None else EntryId(entry.parent),
        standing=Standing(entry.standing),
        digest=Digest(entry.digest),
        role=entry.role,
        text=entry.text,
        time=entry.time,
        parts=entry.parts,
    )


_ADVICE = {
    Reason.CHANGED_ROW: "it is not what was stored under its id or at its place, so lines were"
    " changed, inserted, removed or reordered; ingest the file as it was, or into another"
    " database",
    Reason.FORKED: "the leaf has left the branch that was ingested; ingest the file into another"
    " database",
    Reason.MISSING_ROWS: "entries before it were never stored; ingest the whole file",
    Reason.MISPLACED_PARTS: "its parts do not lie in its text",
    Reason.UNDECIDABLE: "it may be stored already, without what would tell; ingest the file into"
    " another database",
}


def _refusal(batch: list[TranscriptEntry], outcome: object) -> _Refusal:
    """Return why a batch was refused, at the first row that it is refused for."""
    if isinstance(outcome, Refused):
        forked = outcome.reason is Reason.FORKED
        fork = f" at entry {outcome.fork}" if outcome.fork is not None else ""
        fork = " at a new root" if forked and outcome.fork is None else fork
        reason = f"{outcome.reason.value}{fork}: {_ADVICE[outcome.reason]}"
        return _Refusal(batch[outcome.rows[0]], reason)
    return _Refusal(batch[0], f"refused: {outcome}")
