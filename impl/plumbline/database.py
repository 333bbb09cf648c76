"""Connections, transactions, versions, stored answers: what every machine over SQLite stands on."""

from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol, TypeVar
from weakref import WeakSet

import apsw
from msgspec import Struct

from plumbline.schema import MIGRATIONS
from plumbline_spec.codec import canonical, digest
from plumbline_spec.errors import (
    CouldNotFinish,
    OutcomeUnknown,
    PlumblineError,
    RequestReused,
    UnusableInput,
)
from plumbline_spec.host import RequestId

E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract

BUSY_TIMEOUT_MS = 30_000
MEMORY = ":memory:"
OFF, NORMAL, FULL, EXTRA = range(4)
"""The levels of ``PRAGMA synchronous``."""


class Durability(Struct, frozen=True):
    """A journal mode, and the level of ``PRAGMA synchronous``."""

    journal_mode: str
    synchronous: int


WRITE_AHEAD = Durability("wal", FULL)
ROLLBACK = Durability("delete", EXTRA)
SHIPPED = (WRITE_AHEAD, ROLLBACK)
"""What Plumbline promises durability with: the first, or where a file system has no shared memory
for its index, the second (``spec/faults.md``)."""


def wait_for_others(db: apsw.Connection) -> None:
    """Let a connection wait while another holds the database."""
    db.set_busy_timeout(BUSY_TIMEOUT_MS)


class Opening(Struct, frozen=True, kw_only=True):
    """How a database is opened. The default is what ships; the judge's engines ask for more."""

    vfs: str | None = None
    """The name of a VFS; None for the default one."""
    durability: Durability | None = None
    """None for the first of ``SHIPPED`` that the file system keeps."""
    attend: Callable[[apsw.Connection], None] = wait_for_others
    """Called with a new connection before its first statement: how it waits, who watches it."""


USUAL = Opening()


class SettingNotKept(PlumblineError):  # noqa: N818 - named for what happened
    """SQLite answered another value for a setting than the one that was asked for."""

    def __init__(self, setting: str, wanted: object, answered: object) -> None:
        super().__init__(
            f"{setting} is {answered!r} and not {wanted!r}: this file system or this build of "
            "SQLite cannot keep the durability that is promised; put the database on a local disk"
        )
        self.setting = setting
        self.wanted = wanted
        self.answered = answered

    def __reduce__(self) -> tuple[type["SettingNotKept"], tuple[str, object, object]]:
        return SettingNotKept, (self.setting, self.wanted, self.answered)


def open_database(
    path: str,
    migrations: tuple[str, ...] = MIGRATIONS,
    *,
    create: bool = True,
    opening: Opening = USUAL,
) -> apsw.Connection:
    """Open or create a Plumbline database and bring it to the current version.

    WAL with ``synchronous=FULL``, or where there is no WAL a rollback journal with
    ``synchronous=EXTRA``, and foreign keys; each read back. Raises ``UnusableInput`` for a file
    that cannot be opened, is not a Plumbline database or has a newer version, and without
    ``create`` for one that is not there or is empty, and leaves it as it was; raises
    ``SettingNotKept``, ``CouldNotFinish`` when the file stayed busy, ``apsw.Error``.
    """
    if not path:
        raise UnusableInput("a database without a name keeps nothing; name a file")
    if Path(path).is_dir():
        raise UnusableInput(f"{path} is a folder; name a file in it")
    try:
        flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if create else 0)
        db = apsw.Connection(path, flags=flags, vfs=opening.vfs)
    except apsw.CantOpenError as error:
        raise UnusableInput(f"{path} cannot be opened ({error}); name a file") from error
    try:
        opening.attend(db)
        # A log that was left behind is not moved into a file that is refused.
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, int(Path(f"{path}-wal").exists()))
        _recognise(db, path, len(migrations), create=create)
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
        _settle(db, path, opening.durability)
        _migrate(db, path, migrations)
    except apsw.BusyError as error:
        db.close()
        raise _busy() from error
    except BaseException:
        db.close()
        raise
    return db


def _busy() -> CouldNotFinish:
    return CouldNotFinish(
        f"the database stayed busy for {BUSY_TIMEOUT_MS} ms; nothing was done: try again"
    )


def _settle(db: apsw.Connection, path: str, asked: Durability | None) -> None:
    if asked is not None:
        wanted = asked
    else:
        wanted = Durability("memory", FULL) if path == MEMORY else _kept_by(db)
    _set(db, "journal_mode", wanted.journal_mode)
    _set(db, "synchronous", wanted.synchronous)
    _set(db, "foreign_keys", 1)
    _set(db, "trusted_schema", 0)


def _kept_by(db: apsw.Connection) -> Durability:
    """Return the first of what ships that this file system can keep."""
    db.pragma("journal_mode", WRITE_AHEAD.journal_mode)
    answered: object = db.pragma("journal_mode")
    return WRITE_AHEAD if answered == WRITE_AHEAD.journal_mode else ROLLBACK


def _set(db: apsw.Connection, setting: str, value: str | int) -> None:
    db.pragma(setting, value)
    answered: object = db.pragma(setting)
    if answered != value:
        raise SettingNotKept(setting, value, answered)


def version_of(db: apsw.Connection) -> int:
    """Return the number of the last migration of a Plumbline database; 0 for an empty file.

    Raises ``UnusableInput`` when the file holds tables and does not say a version.
    """
    # One statement tells both, for another client may make the tables between two.
    count, ours = db.execute(
        "SELECT count(*), total(type = 'table' AND lower(name) = 'plumbline_meta')"
        " FROM sqlite_schema"
    ).fetchall()[0]
    if not count:
        return 0
    if not ours:
        raise UnusableInput("it holds tables that are not Plumbline's")
    version = db.execute("SELECT value FROM plumbline_meta WHERE key = 'version'").get
    if isinstance(version, int) and version > 0:
        return version
    raise UnusableInput("its version is missing")


def _recognise(db: apsw.Connection, path: str, newest: int, *, create: bool = True) -> int:
    try:
        version = version_of(db)
    except (UnusableInput, apsw.NotADBError, apsw.SQLError) as error:
        raise UnusableInput(
            f"{path} is not a Plumbline database ({error}); "
            "name another file, or one that does not exist yet"
        ) from error
    if version > newest:
        raise UnusableInput(
            f"{path} has version {version} and this Plumbline knows versions up to {newest}; "
            "nothing was changed: install a newer Plumbline to open it"
        )
    if version == 0 and not create:
        raise UnusableInput(f"{path} is empty; name a Plumbline database")
    return version


def _migrate(db: apsw.Connection, path: str, migrations: tuple[str, ...]) -> None:
    if _recognise(db, path, len(migrations)) == len(migrations):
        return
    with transaction(db):
        version = _recognise(db, path, len(migrations))
        db.execute(
            "CREATE TABLE IF NOT EXISTS plumbline_meta"
            " (key TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID"
        )
        for migration in migrations[version:]:
            db.execute(migration)
        db.execute(
            "INSERT OR REPLACE INTO plumbline_meta VALUES ('version', ?)", (len(migrations),)
        )


@contextmanager
def transaction(db: apsw.Connection) -> Generator[None]:
    """Run a block in one transaction: committed on success, rolled back when anything is raised.

    The outermost begins IMMEDIATE, so no writer is refused half-way; inside another it is a
    savepoint. Raises ``OutcomeUnknown`` when the COMMIT itself ends in an error, but for one that
    says that another holds the database: then nothing was done.
    """
    _take_back_first(db)
    if db.in_transaction:
        with _savepoint(db):
            yield
        return
    try:
        # An error of BEGIN itself, such as an interrupt, may come when it has begun.
        db.execute("BEGIN IMMEDIATE")
        yield
    except BaseException:
        _take_back(db)
        raise
    try:
        db.execute("COMMIT")
    except apsw.BusyError:
        _take_back(db)
        raise
    except (apsw.Error, MemoryError) as error:
        _take_back(db)
        raise OutcomeUnknown(str(error)) from error


@contextmanager
def _savepoint(db: apsw.Connection) -> Generator[None]:
    db.execute("SAVEPOINT inner")
    try:
        yield
    except BaseException:
        # SQLite ends the whole transaction by itself for some errors of the environment.
        if db.in_transaction:
            db.execute("ROLLBACK TO inner; RELEASE inner")
        raise
    db.execute("RELEASE inner")


def _take_back(db: apsw.Connection) -> None:
    """Roll back what is open; an error of the roll-back does not hide the one before it."""
    with suppress(apsw.Error):
        if db.in_transaction:
            _left_open.add(db)
            db.execute("ROLLBACK")
            _left_open.discard(db)


_left_open: WeakSet[apsw.Connection] = WeakSet()
"""Connections whose roll-back itself ended in an error: what they hold open was given up."""


def _take_back_first(db: apsw.Connection) -> None:
    """Roll back what was given up, so that nothing is added to it. Raises ``apsw.Error``."""
    if db in _left_open:
        if db.in_transaction:
            db.execute("ROLLBACK")
        _left_open.discard(db)


@contextmanager
def snapshot(db: apsw.Connection) -> Generator[None]:
    """Run a block that reads, so that all of it reads one state of the database."""
    _take_back_first(db)
    if db.in_transaction:
        yield
        return
    try:
        db.execute("BEGIN DEFERRED")
        yield
    finally:
        _take_back(db)


class Answer(Protocol):
    """How a host takes an event: ``answered``, or what the judge puts in its place."""

    def __call__(
        self,
        db: apsw.Connection,
        request: RequestId | None,
        event: E,
        apply: Callable[[apsw.Connection, E], O],
        decode: Callable[[bytes], O],
    ) -> O:
        """Apply an event in its envelope."""
        ...


def answered(
    db: apsw.Connection,
    request: RequestId | None,
    event: E,
    apply: Callable[[apsw.Connection, E], O],
    decode: Callable[[bytes], O],
) -> O:
    """Apply one event in one transaction, or answer its request id again (ENV-1, ENV-2).

    Raises ``OutcomeUnknown`` when the COMMIT ended in an error: the event was done or not, and the
    same request id says which. Raises ``RequestReused`` when the id was used for another event,
    ``CouldNotFinish`` when the database stayed busy, ``UnusableInput`` for a text that is not
    Unicode, and ``apsw.Error``; nothing was done then.
    """
    try:
        with transaction(db):
            if request is None:
                return apply(db, event)
            return _once(db, request, event, apply, decode)
    except apsw.BusyError as error:
        raise _busy() from error
    except UnicodeEncodeError as error:
        raise UnusableInput(
            f"a text of the event holds half of a surrogate pair at code point {error.start}, which"
            " no UTF-8 has; nothing was done: replace it"
        ) from error


def _once(
    db: apsw.Connection,
    request: RequestId,
    event: E,
    apply: Callable[[apsw.Connection, E], O],
    decode: Callable[[bytes], O],
) -> O:
    name = digest(event)
    rows = db.execute("SELECT event, outcome FROM requests WHERE request = ?", (request,))
    for stored, outcome in rows:
        if stored != name:
            raise RequestReused(request)
        assert isinstance(outcome, bytes)
        _sync_first(db)
        return decode(outcome)
    fresh = apply(db, event)
    db.execute("INSERT INTO requests VALUES (?, ?, ?)", (request, name, canonical(fresh)))
    return fresh


def _sync_first(db: apsw.Connection) -> None:
    """Count an answer that is given again, so that this COMMIT syncs what was written before it.

    What is stored may be the work of a process that was killed before it synced, and to answer it
    is to promise that it is durable. A write that changes no byte would not be one to SQLite.
    """
    db.execute(
        "INSERT INTO plumbline_meta VALUES ('answered again', 1)"
        " ON CONFLICT (key) DO UPDATE SET value = value + 1"
    )


def integer(db: apsw.Connection, query: str, bindings: tuple[str | int | None, ...] = ()) -> int:
    """Return the one integer that a query answers."""
    value = db.execute(query, bindings).get
    assert isinstance(value, int)
    return value
