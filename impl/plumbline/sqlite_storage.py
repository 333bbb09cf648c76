"""A machine over SQLite as the storage that ``faults`` judges: recorded, failing, recovered.

Theory of operation. A session runs the shipped functions on files in a private folder, through a
``RecordingVfs``. An image is recovered through the usual VFS and in two steps. First SQLite alone
opens the files, which makes it roll back or apply what a log holds, and closes them; what is left
of the database file is hashed. Only what was not seen before is then opened as the shipped code
opens it, checked for integrity and read; most images lead to one of two contents.
"""

import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Generic, TypeVar

import apsw
from msgspec import Struct
from msgspec.structs import replace

from plumbline.database import (
    EXTRA,
    FULL,
    NORMAL,
    OFF,
    ROLLBACK,
    WRITE_AHEAD,
    Answer,
    Durability,
    Opening,
    answered,
    open_database,
    snapshot,
    wait_for_others,
)
from plumbline.recording import STRIKES, RecordingVfs
from plumbline.sqlite_host import FILE, Program
from plumbline_spec.disk import Image, Operation, digest_of
from plumbline_spec.errors import CouldNotFinish, UnusableInput
from plumbline_spec.host import (
    Attempt,
    Fault,
    FaultKind,
    Recovered,
    RequestId,
    Setting,
    Strikes,
)

# ruff: noqa: PTH108, PTH123, PTH208
# Paths are texts here: thousands of them are made in a second.

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract

SMALL_LOG_PAGES = 4
"""A log of so many pages is moved into the database, so that this happens within an event."""
USUAL_LOG_PAGES = 1_000
MEMORY_STEP_BYTES = 512
"""Out of memory, at call n, is a heap that may grow by n times this."""
MAX_RECOVERED = 20_000
"""Recovered contents that are remembered."""


class SqliteSetting(Struct, frozen=True, kw_only=True):
    """A setting, and what it is in SQLite."""

    name: str
    durability: Durability
    log_pages: int = USUAL_LOG_PAGES
    lies: bool = False
    ships: bool = False
    survives_lost_writes: bool = True


SETTINGS: Final = (
    SqliteSetting(name="wal/full", durability=WRITE_AHEAD, ships=True),
    SqliteSetting(
        name="wal/full, small log", durability=WRITE_AHEAD, log_pages=SMALL_LOG_PAGES, ships=True
    ),
    SqliteSetting(name="delete/extra", durability=ROLLBACK, ships=True, survives_lost_writes=False),
    SqliteSetting(name="delete/full", durability=Durability("delete", FULL)),
    SqliteSetting(name="delete/normal", durability=Durability("delete", NORMAL)),
    SqliteSetting(name="delete/off", durability=Durability("delete", OFF)),
    SqliteSetting(name="wal/normal", durability=Durability("wal", NORMAL)),
    SqliteSetting(name="wal/off", durability=Durability("wal", OFF), log_pages=SMALL_LOG_PAGES),
    SqliteSetting(name="memory/extra", durability=Durability("memory", EXTRA)),
    SqliteSetting(name="wal/full, syncs lie", durability=WRITE_AHEAD, lies=True),
    SqliteSetting(name="delete/extra, syncs lie", durability=ROLLBACK, lies=True),
)
"""What ships, and the controls: settings that are known to be unsafe, and a disk that lies."""

KINDS: Final = (
    *(FaultKind(name=name) for name in STRIKES),
    FaultKind(name="interrupt"),
    FaultKind(name="out of memory", lasting=(True,)),
)
SCRATCH: Final = "/dev/shm"  # noqa: S108 - a private folder is made in it
PREFIX: Final = "plumbline-faults-"
SESSION, RECOVERY = "session", "recovery"
"""The private folders: of what is driven, and of what is recovered."""


class SqliteSession(Generic[S, E, O]):
    """A connection through a recording VFS."""

    def __init__(
        self, program: Program[S, E, O], answer: Answer, vfs: RecordingVfs, opening: Opening
    ) -> None:
        self._program, self._answer, self._vfs, self._opening = program, answer, vfs, opening
        self._folder = Path()
        self._db: apsw.Connection | None = None
        self._fault: Fault | None = None
        self._steps = self._heap = 0
        self._interrupted = False

    def open(self, folder: Path) -> None:
        """Open the database of a folder; what is recorded begins here."""
        self._vfs.arm(None)
        self._open(folder, self._opening)

    def _open(self, folder: Path, opening: Opening) -> None:
        self._folder = folder
        self._vfs.log.clear()
        self._db = open_database(str(folder / FILE), opening=opening)

    @property
    def connection(self) -> apsw.Connection:
        """The connection in use, for those who look at it."""
        assert self._db is not None, "the session was closed"
        return self._db

    @property
    def log(self) -> list[Operation]:
        """The operations so far."""
        return self._vfs.log

    def step(self, event: E, request: RequestId | None = None) -> O:
        """Apply one event in its envelope."""
        program = self._program
        return self._answer(self.connection, request, event, program.apply, program.decode_outcome)

    def observe(self) -> S:
        """Return the abstract state of the tables."""
        with snapshot(self.connection):
            return self._program.observe(self.connection)

    def attempt(self, folder: Path, fault: Fault) -> Attempt:
        """Open the database of a folder and close it, the fault armed from the first call on."""
        usual = self._opening.attend

        def attend(db: apsw.Connection) -> None:
            usual(db)
            self._arm_connection(db, fault)

        failing, error = replace(self._opening, attend=attend), None
        self._arm(fault)
        try:
            self._open(folder, failing)
            self.close()
        except Exception as met:  # noqa: BLE001 - the judge says which errors may come
            # A file that cannot be opened is told to a user; SQLite's own error is its cause.
            cause = met.__cause__
            error = cause if isinstance(cause, apsw.CantOpenError) else met
        strikes = self.disarm()
        with suppress(apsw.Error):
            self.close()
        return Attempt(error=error, met=strikes, log=tuple(self.log), image=self.image())

    def arm(self, fault: Fault) -> None:
        """Let a fault strike from now on."""
        self._arm(fault)
        self._arm_connection(self.connection, fault)

    def _arm(self, fault: Fault) -> None:
        self._fault, self._steps, self._interrupted = fault, 0, False
        self._vfs.arm(fault)
        if fault.kind == "out of memory":
            self._heap = apsw.memory_used()
            apsw.memory_high_water(reset=True)
            if fault.at >= 0:
                apsw.hard_heap_limit(self._heap + fault.at * MEMORY_STEP_BYTES)

    def _arm_connection(self, db: apsw.Connection, fault: Fault) -> None:
        if fault.kind == "busy":
            db.set_busy_timeout(0)
        elif fault.kind == "interrupt":
            db.set_progress_handler(self._interrupts, 1)

    def _interrupts(self) -> bool:
        """Count a step of SQLite's virtual machine; tell whether to end the statement here."""
        fault = self._fault
        assert fault is not None
        number = self._steps
        self._steps += 1
        strikes = number == fault.at or (fault.lasting and 0 <= fault.at < number)
        self._interrupted = self._interrupted or strikes
        return strikes

    def disarm(self) -> Strikes:
        """Let nothing fail any more; return what the fault met."""
        fault, self._fault = self._fault, None
        met = Strikes(calls=self._vfs.calls, struck=self._vfs.struck)
        self._vfs.arm(None)
        if fault is not None and fault.kind == "busy" and self._db is not None:
            wait_for_others(self._db)
        elif fault is not None and fault.kind == "interrupt":
            if self._db is not None:
                self._db.set_progress_handler(None)
            met = Strikes(calls=self._steps, struck=self._interrupted)
        elif fault is not None and fault.kind == "out of memory":
            apsw.hard_heap_limit(0)
            apsw.soft_heap_limit(0)  # else SQLite goes on as if memory were short, and spills
            # Whether an allocation failed is told by what the session raised.
            grown = apsw.memory_high_water() - self._heap
            met = Strikes(calls=max(0, grown) // MEMORY_STEP_BYTES + 1, struck=False)
        return met

    def image(self) -> Image:
        """Return the files as they are now."""
        return _image(self._folder)

    def close(self) -> None:
        """Close the connection; what is in the log is moved into the database."""
        if self._db is not None:
            self._db.close()
            self._db = None


def _image(folder: Path) -> Image:
    return {
        file.name: file.read_bytes() for file in folder.iterdir() if not file.name.endswith("-shm")
    }


class SqliteStorage(Generic[S, E, O]):
    """The storage of one machine; with another ``answer``, of a build with a fault in it."""

    settings = tuple(
        Setting(
            name=one.name,
            ships=one.ships,
            lies=one.lies,
            survives_lost_writes=one.survives_lost_writes,
        )
        for one in SETTINGS
    )
    kinds = KINDS
    errors: tuple[type[BaseException], ...] = (apsw.Error, CouldNotFinish, MemoryError)

    def __init__(self, program: Program[S, E, O], answer: Answer = answered) -> None:
        self._program, self._answer = program, answer
        scratch = SCRATCH if os.access(SCRATCH, os.W_OK) else None
        self._folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=scratch))
        for name in (SESSION, RECOVERY):
            (self._folder / name).mkdir()
        self._vfs = RecordingVfs()
        self._session: SqliteSession[S, E, O] | None = None
        self._recovered: dict[bytes, Recovered[S]] = {}

    def open(self, setting: Setting, image: Image) -> SqliteSession[S, E, O]:
        """Open what an image holds."""
        folder, session = self._holding(SESSION, image), self._new_session(setting)
        session.open(folder)
        return session

    def attempt(self, setting: Setting, image: Image, fault: Fault) -> Attempt:
        """Open what an image holds and close it, the fault armed from the first call on."""
        return self._new_session(setting).attempt(self._holding(SESSION, image), fault)

    def _new_session(self, setting: Setting) -> SqliteSession[S, E, O]:
        chosen = _chosen(setting)

        def attend(db: apsw.Connection) -> None:
            wait_for_others(db)
            db.wal_autocheckpoint(chosen.log_pages)

        opening = Opening(vfs=self._vfs.name, durability=chosen.durability, attend=attend)
        return SqliteSession(self._program, self._answer, self._vfs, opening)

    def _holding(self, name: str, image: Image) -> Path:
        """Return a folder that holds just these files."""
        folder = self._folder / name
        for file in os.listdir(folder):
            if file not in image:
                os.unlink(f"{folder}/{file}")
        for file, content in image.items():
            _put(f"{folder}/{file}", content)
        return folder

    def recover(self, setting: Setting, image: Image) -> Recovered[S]:
        """Open an image as after a power loss and return what it holds."""
        folder = self._holding(RECOVERY, image)
        key = _settled(folder)
        known = self._recovered.get(key)
        if known is None:
            known = self._read(folder, key, _chosen(setting))
            if len(self._recovered) < MAX_RECOVERED:
                self._recovered[key] = known
        return known

    def _read(self, folder: Path, key: bytes, chosen: SqliteSetting) -> Recovered[S]:
        try:
            with _opened(folder, Opening(durability=chosen.durability)) as db:
                for check in ("integrity_check", "foreign_key_check"):
                    found: object = db.pragma(check)
                    if found not in ("ok", None):
                        return Recovered(key=key, broken=f"{check}: {found}")
                rows = db.execute("SELECT request, outcome FROM requests ORDER BY request")
                answers = tuple((str(request), bytes(outcome)) for request, outcome in rows)
                return Recovered(key=key, state=self._program.observe(db), answers=answers)
        except (apsw.Error, UnusableInput, UnicodeDecodeError) as error:
            return Recovered(key=key, broken=f"{type(error).__name__}: {error}")

    def close(self) -> None:
        """Delete the folder."""
        self._vfs.unregister()
        shutil.rmtree(self._folder, ignore_errors=True)


def _chosen(setting: Setting) -> SqliteSetting:
    (found,) = (one for one in SETTINGS if one.name == setting.name)
    return found


def _put(file: str, content: bytes) -> None:
    handle = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.ftruncate(handle, len(content))
        os.pwrite(handle, content, 0)
    finally:
        os.close(handle)


def _settled(folder: Path) -> bytes:
    """Let SQLite roll back or apply what a log holds, and return a digest of the files then.

    A journal that begins with a zero holds nothing that SQLite would ever look at, and a log that
    was moved into the database nothing more.
    """
    applied = False
    with suppress(apsw.Error):
        db = apsw.Connection(f"{folder}/{FILE}")
        try:
            db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            db.pragma("locking_mode", "exclusive")  # the index of a log needs no file then
            db.pragma("schema_version")
            pages, moved = db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            applied = pages == moved
        finally:
            db.close()
    found = list[bytes]()
    for file in sorted(os.listdir(folder)):
        if not (file.endswith("-shm") or (applied and file.endswith("-wal"))):
            content = _content(f"{folder}/{file}")
            if not file.endswith("-journal") or content[:1] not in (b"", b"\0"):
                found += (file.encode(), digest_of(content))
    return b"\0".join(found)


def _content(file: str) -> bytes:
    with open(file, "rb", buffering=0) as opened:
        return opened.read()


@contextmanager
def _opened(folder: Path, opening: Opening) -> Generator[apsw.Connection]:
    db = open_database(str(folder / FILE), opening=opening)
    try:
        yield db
    finally:
        db.close()
