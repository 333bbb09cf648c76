"""Connections, transactions, versions, stored answers: what every machine over SQLite stands on."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import apsw

from plumbline.schema import MIGRATIONS
from plumbline_spec.codec import canonical, digest
from plumbline_spec.errors import CouldNotFinish, PlumblineError, RequestReused, UnusableInput
from plumbline_spec.host import RequestId

E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract

BUSY_TIMEOUT_MS = 30_000
MEMORY = ":memory:"
SYNCHRONOUS_FULL = 2


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
    path: str, migrations: tuple[str, ...] = MIGRATIONS, *, create: bool = True
) -> apsw.Connection:
    """Open or create a Plumbline database and bring it to the current version.

    WAL with ``synchronous=FULL`` and foreign keys, each read back. Raises ``UnusableInput`` for a
    file that cannot be opened, is not a Plumbline database or has a newer version, and without
    ``create`` for one that is not there or is empty, and leaves it as it was; raises
    ``SettingNotKept``, ``CouldNotFinish`` when the file stayed busy, ``apsw.Error``.
    """
    try:
        flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if create else 0)
        db = apsw.Connection(path, flags=flags)
    except apsw.CantOpenError as error:
        raise UnusableInput(f"{path} cannot be opened ({error}); name a file") from error
    try:
        db.set_busy_timeout(BUSY_TIMEOUT_MS)
        db.transaction_mode = "IMMEDIATE"
        # A log that was left behind is not moved into a file that is refused.
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, int(Path(f"{path}-wal").exists()))
        _recognise(db, path, len(migrations), create=create)
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
        _settle(db, path)
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


def _settle(db: apsw.Connection, path: str) -> None:
    wanted: dict[str, str | int] = {
        "journal_mode": "memory" if path == MEMORY else "wal",
        "synchronous": SYNCHRONOUS_FULL,
        "foreign_keys": 1,
        "trusted_schema": 0,
    }
    for setting, value in wanted.items():
        db.pragma(setting, value)
        answered: object = db.pragma(setting)
        if answered != value:
            raise SettingNotKept(setting, value, answered)


def version_of(db: apsw.Connection) -> int:
    """Return the number of the last migration of a Plumbline database; 0 for an empty file.

    Raises ``UnusableInput`` when the file holds tables and does not say a version.
    """
    if db.table_exists("main", "plumbline_meta"):
        version = db.execute("SELECT value FROM plumbline_meta WHERE key = 'version'").get
        if isinstance(version, int) and version > 0:
            return version
        raise UnusableInput("its version is missing")
    if integer(db, "SELECT count(*) FROM sqlite_schema"):
        raise UnusableInput("it holds tables that are not Plumbline's")
    return 0


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
    savepoint.
    """
    with db:
        yield


def answered(
    db: apsw.Connection,
    request: RequestId | None,
    event: E,
    apply: Callable[[apsw.Connection, E], O],
    decode: Callable[[bytes], O],
) -> O:
    """Apply one event in one transaction, or answer its request id again (ENV-1, ENV-2).

    Raises ``RequestReused`` when the id was used for another event, ``CouldNotFinish`` when the
    database stayed busy, and ``UnusableInput`` for a text that is not Unicode. Nothing was done
    then.
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
        return decode(outcome)
    fresh = apply(db, event)
    db.execute("INSERT INTO requests VALUES (?, ?, ?)", (request, name, canonical(fresh)))
    return fresh


def integer(db: apsw.Connection, query: str, bindings: tuple[str | int | None, ...] = ()) -> int:
    """Return the one integer that a query answers."""
    value = db.execute(query, bindings).get
    assert isinstance(value, int)
    return value
