"""A machine over SQLite as a store that several clients use at once (chapter ``spec/faults.md``).

Theory of operation. Clients are connections that ``open_database`` opened, and what they do is what
ships. APSW calls a connection's execution trace before every statement, and its busy handler when
a lock is held: there the client passes its gate, or gives way.

Thousands of runs begin from the same few states. So a database is opened once for each journal
mode, its connections are used again, and a *keeper*, a connection of its own, puts the rows of
every table back between two runs. Only opening a database that is not there yet, which is an event
as well, begins each time from an empty folder.
"""

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import apsw
from msgspec import Struct

from plumbline.database import (
    MEMORY,
    ROLLBACK,
    WRITE_AHEAD,
    Answer,
    Durability,
    Opening,
    answered,
    open_database,
    snapshot,
)
from plumbline.sqlite_host import FILE, Program
from plumbline_spec.codec import canonical
from plumbline_spec.errors import CouldNotFinish
from plumbline_spec.host import Client, Gate, RequestId

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract

MODES: Mapping[str, Durability] = {"wal": WRITE_AHEAD, "delete": ROLLBACK}
"""The journal modes that ship: the usual one, and the fallback."""
QUICK_FOLDER = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
"""A file system in memory, where there is one: a sync costs nothing there."""

SNAPSHOT = apsw.SQLITE_BUSY_SNAPSHOT

Reading = Callable[[apsw.Connection, Callable[[apsw.Connection], S]], S]
"""How a client observes: in one transaction, or however a faulty build does it."""


class Opens(Protocol):
    """How a client opens a database: ``open_database``, or what a faulty build does."""

    def __call__(self, path: str, /, *, opening: Opening) -> apsw.Connection:
        """Open or create a database."""
        ...


def in_one_transaction(db: apsw.Connection, observe: Callable[[apsw.Connection], S]) -> S:
    """Observe a state, all of it as of one moment."""
    with snapshot(db):
        return observe(db)


class _Seat:
    """A connection's place at its gate; without a gate it never waits for anybody."""

    def __init__(self, gate: Gate | None) -> None:
        self.gate = gate

    def attend(self, db: apsw.Connection) -> None:
        """Pass the gate before every statement and whenever a lock is held."""
        db.exec_trace = self._enter
        db.set_busy_handler(self._wait)

    def _enter(self, _cursor: apsw.Cursor, sql: str, _bindings: object) -> bool:
        if self.gate is not None:
            self.gate.enter(sql)
        return True

    def _wait(self, _attempts: int) -> bool:
        return self.gate is not None and self.gate.wait()


class _Store(Struct, frozen=True, kw_only=True):
    """A database that was opened once, with what puts it back."""

    path: str
    keeper: apsw.Connection
    differing: str
    """The query for the tables whose rows are not those of ``base``."""
    idle: list[tuple[apsw.Connection, _Seat]]
    """Connections that no client has."""


class SharedClient(Generic[S, E, O]):
    """A connection that passes a gate."""

    def __init__(
        self,
        program: Program[S, E, O],
        answer: Answer,
        reading: Reading[S],
        db: apsw.Connection,
        seat: _Seat,
        idle: list[tuple[apsw.Connection, _Seat]] | None,
    ) -> None:
        self._program, self._answer, self._reading = program, answer, reading
        self._db, self._seat, self._idle = db, seat, idle

    def step(self, event: E, request: RequestId | None = None) -> O:
        """Apply one event as the host does; see ``plumbline.database.answered``."""
        program = self._program
        try:
            return self._answer(self._db, request, event, program.apply, program.decode_outcome)
        except CouldNotFinish as error:
            self._tell(error.__cause__)
            raise

    def observe(self) -> S:
        """Return the abstract state. Raises ``CouldNotFinish`` when the database stayed busy."""
        try:
            return self._reading(self._db, self._program.observe)
        except apsw.BusyError as error:
            self._tell(error)
            raise CouldNotFinish("the database stayed busy while it was read") from error

    def _tell(self, why: BaseException | None) -> None:
        if self._seat.gate is not None and isinstance(why, apsw.BusyError):
            code: object = getattr(why, "extendedresult", None)
            self._seat.gate.tell("SQLITE_BUSY_SNAPSHOT" if code == SNAPSHOT else "SQLITE_BUSY")

    def close(self) -> None:
        """Take back what is open, and give the connection back or close it."""
        self._seat.gate = None
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        if self._idle is None:
            self._db.close()
        else:
            self._idle.append((self._db, self._seat))


class SqliteShared(Generic[S, E, O]):
    """Databases in a temporary folder, one for each journal mode and one that is new."""

    def __init__(
        self,
        program: Program[S, E, O],
        *,
        answer: Answer = answered,
        reading: Reading[S] = in_one_transaction,
        opens: Opens = open_database,
    ) -> None:
        self._program, self._answer, self._reading = program, answer, reading
        self._opens = opens
        quick = QUICK_FOLDER if QUICK_FOLDER.is_dir() else None
        self.folder = Path(tempfile.mkdtemp(prefix="plumbline-", dir=quick))
        """Where the databases are; it goes when the store is closed."""
        self._stores: dict[str, _Store] = {}
        self._begun: dict[str, bytes] = {}
        self._mode = next(iter(MODES))
        self._fresh = False

    @property
    def modes(self) -> tuple[str, ...]:
        """The journal modes that ship."""
        return tuple(MODES)

    def begin(self, mode: str, events: Sequence[E] | None) -> None:
        """Put back what these events make of an empty database; None for one that is not there."""
        self._mode = mode
        self._fresh = events is None
        if events is None:
            shutil.rmtree(self.folder / "new", ignore_errors=True)
            (self.folder / "new").mkdir()
            return
        store = self._store(mode)
        wanted = canonical(events)
        if self._begun.get(mode) != wanted:
            self._begun.pop(mode, None)
            self._make(store, events)
            self._begun[mode] = wanted
        _put_back(store)

    def _make(self, store: _Store, events: Sequence[E]) -> None:
        """Make the rows that the keeper puts back."""
        program = self._program
        source = open_database(MEMORY)
        for event in events:
            answered(source, None, event, program.apply, program.decode_outcome)
        with store.keeper.backup("base", source, "main") as backup:
            backup.step()
        source.close()

    def _store(self, mode: str) -> _Store:
        if mode not in self._stores:
            path = str(self.folder / mode / FILE)
            Path(path).parent.mkdir()
            idle = [self._open(path, mode, None)]
            keeper = apsw.Connection(path)
            keeper.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
            if mode != "wal":
                keeper.pragma("journal_mode", "memory")
            keeper.pragma("synchronous", "off")
            keeper.execute("ATTACH ':memory:' AS base")
            differing = _differing(keeper)
            self._stores[mode] = _Store(path=path, keeper=keeper, differing=differing, idle=idle)
        return self._stores[mode]

    def _open(self, path: str, mode: str, gate: Gate | None) -> tuple[apsw.Connection, _Seat]:
        seat = _Seat(gate)
        opening = Opening(durability=MODES[mode], attend=seat.attend)
        return self._opens(path, opening=opening), seat

    def client(self, gate: Gate | None) -> Client[S, E, O]:
        """Return a connection that passes the gate; one that was used before, where there is."""
        if self._fresh:
            db, seat = self._open(self._path(), self._mode, None)
            idle = None
        else:
            idle = self._stores[self._mode].idle
            db, seat = idle.pop() if idle else self._open(self._path(), self._mode, None)
        seat.gate = gate
        return SharedClient(self._program, self._answer, self._reading, db, seat, idle)

    def opening(self, gate: Gate) -> Client[S, E, O]:
        """Open a connection that passes the gate from its first statement."""
        db, seat = self._open(self._path(), self._mode, gate)
        return SharedClient(self._program, self._answer, self._reading, db, seat, None)

    def _path(self) -> str:
        if self._fresh:
            return str(self.folder / "new" / FILE)
        return self._stores[self._mode].path

    def close(self) -> None:
        """Close every connection and delete the folder."""
        for store in self._stores.values():
            for db, _ in store.idle:
                db.close()
            store.keeper.close()
        self._stores.clear()
        shutil.rmtree(self.folder, ignore_errors=True)


def _differing(keeper: apsw.Connection) -> str:
    """Return the query for the tables that hold other rows than they began with."""
    tables = keeper.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    queries = [  # the names of tables are those of the schema
        f"SELECT '{name}'"  # noqa: S608
        f' WHERE EXISTS (SELECT * FROM main."{name}" EXCEPT SELECT * FROM base."{name}")'
        f' OR EXISTS (SELECT * FROM base."{name}" EXCEPT SELECT * FROM main."{name}")'
        for (name,) in tables.fetchall()
    ]
    return " UNION ALL ".join(queries)


def _put_back(store: _Store) -> None:
    """Give every table the rows that it began with, and move what is in the log."""
    keeper = store.keeper
    differing = keeper.execute(store.differing).fetchall()
    if differing:
        keeper.execute("BEGIN IMMEDIATE")
        for (name,) in differing:
            keeper.execute(f'DELETE FROM main."{name}"')  # noqa: S608 - a name of the schema
            keeper.execute(f'INSERT INTO main."{name}" SELECT * FROM base."{name}"')  # noqa: S608
        keeper.execute("COMMIT")
    keeper.execute("PRAGMA main.wal_checkpoint(TRUNCATE)")
