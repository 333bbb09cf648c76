"""Builds with a fault: what an engine of the judge must find, or it sees nothing.

Each is the shipped implementation with one function in another's place: how an event is answered,
how a client observes, how a database is opened. None of them is ever used but to be caught.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Self, TypeVar

import apsw
from msgspec import Struct
from msgspec.structs import replace

from plumbline.database import USUAL, Answer, Opening, answered, open_database, transaction
from plumbline.schema import MIGRATIONS
from plumbline.sqlite_host import Program
from plumbline.sqlite_shared import Opens, Reading, SqliteShared, in_one_transaction
from plumbline.sqlite_storage import SqliteStorage
from plumbline_spec.case import Build, Case
from plumbline_spec.codec import canonical, digest
from plumbline_spec.errors import CouldNotFinish, OutcomeUnknown, RequestReused
from plumbline_spec.host import RequestId, Shared

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")


def interleaved_builds(
    case: Callable[[], Case[S, E, O, C]], program: Program[S, E, O]
) -> Iterable[Build[S, E, O, C]]:
    """Yield the builds that ``interleave`` must catch, each by the clause that it breaks."""

    def build(
        name: str,
        breaks: str,
        story: str,
        *,
        answer: Answer = answered,
        reading: Reading[S] = in_one_transaction,
        opens: Opens = open_database,
        meeting: str = "",
    ) -> Build[S, E, O, C]:
        def shared() -> Shared[S, E, O]:
            return SqliteShared(program, answer=answer, reading=reading, opens=opens)

        return Build(
            name=name,
            engine="interleave",
            breaks=breaks,
            meeting=meeting,
            story=story,
            case=lambda: replace(case(), shared=shared),
        )

    yield build(
        "read, then write",
        "SCH-1",
        "Every statement commits by itself, so another may write between a guard and its effect.",
        answer=reads_then_writes,
        meeting="same",
    )
    yield build(
        "decided before",
        "SCH-1",
        "An event is decided in one transaction and written in the next one.",
        answer=decides_before,
        meeting="same",
    )
    yield build(
        "a handler that swallows busy",
        "SCH-1",
        "A COMMIT that finds a reader inside and gives up is taken for done.",
        answer=swallows_busy,
        meeting="observe",
    )
    yield build(
        "deferred begin",
        "SCH-2",
        "The transaction takes its lock at the first write, when what it read may be old.",
        answer=begins_deferred,
    )
    yield build(
        "two transactions for one event",
        "SCH-4",
        "The effect is committed first and the answer to the request id after it.",
        answer=commits_twice,
    )
    yield build(
        "observed in many moments",
        "SCH-5",
        "An observation reads table after table, each as it is by then.",
        reading=reads_many_moments,
    )
    yield build(
        "made without a lock",
        "SCH-6",
        "A new database is made by whoever finds it empty, in no transaction.",
        opens=makes_unlocked,
    )


def faulted_builds(
    case: Callable[[], Case[S, E, O, C]],
    program: Program[S, E, O],
    apart: Callable[[], "Apart"] | None = None,
) -> Iterable[Build[S, E, O, C]]:
    """Yield the builds that ``faults`` must catch, the last of them what a machine may do apart."""

    def build(name: str, breaks: str, story: str, answer: Answer = answered) -> Build[S, E, O, C]:
        return Build(
            name=name,
            engine="faults",
            breaks=breaks,
            story=story,
            case=lambda: replace(case(), storage=lambda: SqliteStorage(program, answer)),
        )

    yield build(
        "no transaction",
        "FLT-1",
        "Every statement commits by itself, and the power may go between two of them.",
        reads_then_writes,
    )
    yield build(
        "two transactions for one event",
        "FLT-1",
        "The effect is committed first and the answer to the request id after it.",
        commits_twice,
    )
    yield build(
        "no request id",
        "FLT-1",
        "The answer to a request id is not stored, and the event is done again.",
        forgets_requests,
    )
    yield build(
        "retry of a commit that had committed",
        "FLT-5",
        "An error of COMMIT is taken for a roll-back, and the event is applied once more.",
        retries_commit,
    )
    yield build(
        "unknown told as undone",
        "FLT-5",
        "An error of COMMIT is told as if nothing had been done.",
        tells_undone,
    )
    yield build(
        "an answer given again without a sync",
        "FLT-2",
        "What a killed process wrote and did not sync is answered as if it were durable.",
        answers_unsynced,
    )
    if apart is not None:
        one = apart()
        yield build(one.name, "FLT-1", one.story, one.answer)


class Apart(Struct, frozen=True, kw_only=True):
    """What a build commits in a transaction of its own, after that of the event."""

    name: str
    story: str
    answer: Answer


def totals_apart() -> Apart:
    """Return the build that moves totals later."""
    return Apart(
        name="total outside the transaction",
        story="The rows are committed first, and the total that weighs them after it.",
        answer=totals_later,
    )


def live_apart() -> Apart:
    """Return the build that counts and resets the live delta later."""
    return Apart(
        name="live delta outside the transaction",
        story="Log and snapshots are committed first, and the live delta after them.",
        answer=live_later,
    )


def reads_then_writes(
    db: apsw.Connection,
    request: RequestId | None,
    event: E,
    apply: Callable[[apsw.Connection, E], O],
    decode: Callable[[bytes], O],
) -> O:
    """Apply an event in no transaction."""
    try:
        return _once(db, request, event, apply, decode)
    except apsw.BusyError as error:
        raise _busy() from error


def decides_before(
    db: apsw.Connection,
    request: RequestId | None,
    event: E,
    apply: Callable[[apsw.Connection, E], O],
    decode: Callable[[bytes], O],
) -> O:
    """Decide in one transaction, which is taken back, and write in another."""
    try:
        db.execute("BEGIN IMMEDIATE")
        try:
            decided = _once(db, request, event, apply, decode)
        finally:
            db.execute("ROLLBACK")
        with transaction(db):
            _once(db, request, event, apply, decode)
    except apsw.BusyError as error:
        raise _busy() from error
    return decided


def swallows_busy(
    db: apsw.Connection,
    request: RequestId | None,
    event: E,
    apply: Callable[[apsw.Connection, E], O],
    decode: Callable[[bytes], O],
) -> O:
    """Answer what was decided even when the COMMIT was refused."""
    decided: list[O] = []
    try:
        with transaction(db):
            decided.append(_once(db, request, event, apply, decode))
    except apsw.BusyError as error:
        if not decided:
            raise _busy() from error
    return decided[0]


def begins_deferred(
    db: apsw.Connection,
    request: RequestId | None,
    event: E,
    apply: Callable[[apsw.Connection, E], O],
    decode: Callable[[bytes], O],
) -> O:
    """Apply an event in a transaction that begins by reading."""
    db.execute("BEGIN DEFERRED")
    try:
        outcome = _once(db, request, event, apply, decode)
        db.execute("COMMIT")
    except BaseException as error:
        db.execute("ROLLBACK")
        if isinstance(error, apsw.BusyError):
            raise _busy() from error
        raise
    return outcome


def commits_twice(
    db: apsw.Connection,
    request: RequestId | None,
    event: E,
    apply: Callable[[apsw.Connection, E], O],
    decode: Callable[[bytes], O],
) -> O:
    """Commit the effect, and then the answer to the request id."""
    try:
        with transaction(db):
            stored = _stored(db, request, event, decode)
            if stored is not None:
                return stored
            outcome = apply(db, event)
        with transaction(db):
            _keep(db, request, event, outcome)
    except apsw.BusyError as error:
        raise _busy() from error
    return outcome


class _Hasty:
    """A cursor that has read every row when it has run, and so holds nothing open."""

    def __init__(self, db: apsw.Connection) -> None:
        self._cursor = apsw.Cursor(db)
        self._rows: Iterator[tuple[object, ...]] = iter(())

    def execute(self, statements: str, bindings: tuple[str | int | None, ...] = ()) -> Self:
        """Run statements and read every row."""
        self._rows = iter(self._cursor.execute(statements, bindings).fetchall())
        return self

    def __iter__(self) -> Iterator[tuple[object, ...]]:
        return self._rows

    def fetchall(self) -> list[tuple[object, ...]]:
        """Return the rows that are left."""
        return [*self._rows]

    def close(self) -> None:
        """Close the cursor, which holds nothing."""
        self._cursor.close()


def reads_many_moments(db: apsw.Connection, observe: Callable[[apsw.Connection], S]) -> S:
    """Observe a state in no transaction, each statement by itself."""
    db.cursor_factory = _Hasty
    try:
        return observe(db)
    finally:
        db.cursor_factory = apsw.Cursor


def makes_unlocked(
    path: str,
    migrations: tuple[str, ...] = MIGRATIONS,
    *,
    create: bool = True,
    opening: Opening = USUAL,
) -> apsw.Connection:
    """Open a database; make its tables one by one when it has none."""
    db = apsw.Connection(path)
    opening.attend(db)
    if create and not db.table_exists("main", "plumbline_meta"):
        for migration in migrations:
            db.execute(migration)
        db.execute("CREATE TABLE plumbline_meta (key TEXT PRIMARY KEY, value INTEGER)")
    return db


def _busy() -> CouldNotFinish:
    return CouldNotFinish("the database stayed busy")


def _once(
    db: apsw.Connection,
    request: RequestId | None,
    event: E,
    apply: Callable[[apsw.Connection, E], O],
    decode: Callable[[bytes], O],
) -> O:
    stored = _stored(db, request, event, decode)
    if stored is not None:
        return stored
    outcome = apply(db, event)
    _keep(db, request, event, outcome)
    return outcome


def _stored(
    db: apsw.Connection, request: RequestId | None, event: object, decode: Callable[[bytes], O]
) -> O | None:
    """Return the answer that is stored for a request id."""
    query = "SELECT event, outcome FROM requests WHERE request = ?"
    for stored, outcome in db.execute(query, (request,)).fetchall():
        if stored != digest(event):
            raise RequestReused(str(request))
        assert isinstance(outcome, bytes)
        return decode(outcome)
    return None


def _keep(db: apsw.Connection, request: RequestId | None, event: object, outcome: object) -> None:
    if request is not None:
        row = (request, digest(event), canonical(outcome))
        db.execute("INSERT OR REPLACE INTO requests VALUES (?, ?, ?)", row)


def forgets_requests(
    db: apsw.Connection,
    request: RequestId | None,
    event: E,
    apply: Callable[[apsw.Connection, E], O],
    decode: Callable[[bytes], O],
) -> O:
    """Apply an event whether its request id came before or not."""
    del request
    return answered(db, None, event, apply, decode)


def retries_commit(
    db: apsw.Connection,
    request: RequestId | None,
    event: E,
    apply: Callable[[apsw.Connection, E], O],
    decode: Callable[[bytes], O],
) -> O:
    """Apply the event once more when its COMMIT ended in an error."""
    try:
        return answered(db, request, event, apply, decode)
    except OutcomeUnknown:
        with transaction(db):
            outcome = apply(db, event)
            _keep(db, request, event, outcome)
        return outcome


def tells_undone(
    db: apsw.Connection,
    request: RequestId | None,
    event: E,
    apply: Callable[[apsw.Connection, E], O],
    decode: Callable[[bytes], O],
) -> O:
    """Say that nothing was done when nobody knows."""
    try:
        return answered(db, request, event, apply, decode)
    except OutcomeUnknown as error:
        raise CouldNotFinish("nothing was done") from error


def answers_unsynced(
    db: apsw.Connection,
    request: RequestId | None,
    event: E,
    apply: Callable[[apsw.Connection, E], O],
    decode: Callable[[bytes], O],
) -> O:
    """Answer a request id again and write nothing."""
    with transaction(db):
        return _once(db, request, event, apply, decode)


def totals_later(
    db: apsw.Connection,
    request: RequestId | None,
    event: E,
    apply: Callable[[apsw.Connection, E], O],
    decode: Callable[[bytes], O],
) -> O:
    """Commit an event with the totals that were there before, and then the new ones."""
    query = "SELECT conversation, tokens FROM conversations"
    totals = list[tuple[object, ...]]()

    def without_totals(db: apsw.Connection, event: E) -> O:
        before = db.execute(query).fetchall()
        outcome = apply(db, event)
        totals.extend(db.execute(query).fetchall())
        _put_totals(db, before)
        return outcome

    outcome = answered(db, request, event, without_totals, decode)
    _put_totals(db, totals)
    return outcome


def _put_totals(db: apsw.Connection, totals: Iterable[tuple[object, ...]]) -> None:
    for conversation, tokens in totals:
        assert isinstance(conversation, str)
        assert isinstance(tokens, int)
        db.execute(
            "UPDATE conversations SET tokens = ? WHERE conversation = ?", (tokens, conversation)
        )


def live_later(
    db: apsw.Connection,
    request: RequestId | None,
    event: E,
    apply: Callable[[apsw.Connection, E], O],
    decode: Callable[[bytes], O],
) -> O:
    """Commit an event with the live delta that was there before, and then the new one."""
    moved = list[Rows]()

    def without_live(db: apsw.Connection, event: E) -> O:
        before = _live_rows(db)
        outcome = apply(db, event)
        moved.append(_live_rows(db))
        _put_live(db, before)
        return outcome

    outcome = answered(db, request, event, without_live, decode)
    for rows in moved:
        with transaction(db):
            _put_live(db, rows)
    return outcome


Rows = tuple[Sequence[tuple[object, ...]], Sequence[tuple[object, ...]]]
"""The rows of the live delta, and those of its statistics."""


def _live_rows(db: apsw.Connection) -> Rows:
    header = db.execute("SELECT * FROM live").fetchall()
    return header, db.execute("SELECT * FROM live_statistics").fetchall()


def _put_live(db: apsw.Connection, rows: Rows) -> None:
    db.execute("DELETE FROM live_statistics; DELETE FROM live")
    for header in rows[0]:
        db.execute("INSERT INTO live VALUES (?, ?, ?, ?, ?, ?)", _plain(header))
    for row in rows[1]:
        db.execute("INSERT INTO live_statistics VALUES (?, ?, ?, ?, ?, ?, ?)", _plain(row))


def _plain(row: tuple[object, ...]) -> tuple[int | bytes, ...]:
    return tuple(one for one in row if isinstance(one, int | bytes))
