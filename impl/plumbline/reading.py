"""Reading a database without changing a byte of its folder.

Opening a database in WAL mode, even for reading, creates a ``-wal`` and a ``-shm`` beside it and
may leave them there. So a file without a log is opened as immutable: SQLite then takes no lock and
looks for no log. A file that has a log beside it is copied with the log into a private folder, and
the copy is read. In either case nothing keeps a writer out; whether one came is seen from the files
themselves, before and after, and what was read is then thrown away.
"""

import os
import shutil
import stat
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import apsw

from plumbline.database import version_of
from plumbline.schema import MIGRATIONS
from plumbline_spec.errors import CouldNotFinish, UnusableInput

LOGS = ("-wal", "-journal")
"""What SQLite writes beside a database; one that is not empty may hold what the file does not."""
SCRATCH = ("/var/tmp", "/dev/shm")  # noqa: S108 - a private folder is made in one of them
PREFIX = "plumbline-reading-"

WAIT_MS = 5_000
"""For whoever holds the database, where it is read beside writers."""

Signature = tuple[tuple[int, int, int] | None, ...]
"""Inode, size and time of change of a file and of its logs; None for one that is not there."""


class WrittenMeanwhile(CouldNotFinish):
    """A writer changed the database while it was read."""


@contextmanager
def reading(
    path: Path, *, newest: int = len(MIGRATIONS), scratch: Path | None = None
) -> Generator[apsw.Connection]:
    """Open a Plumbline database for reading; no byte of its folder changes.

    A database with a log is copied into a folder below ``scratch``, which is the system's temporary
    folder unless given, and never the folder of the database. Raises ``UnusableInput`` for what is
    no Plumbline database or a newer one, and ``WrittenMeanwhile`` when a writer changed the file.
    """
    file = _real(path)
    before = _signature(file)
    if any(one is not None and one[1] > 0 for one in before[1:]):
        with (
            _copied(path, file, before, scratch) as copy,
            _opened(path, newest, str(copy), apsw.SQLITE_OPEN_READWRITE) as db,
        ):
            yield db
        return
    name = f"file:{quote(str(file))}?mode=ro&immutable=1"
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    try:
        with _opened(path, newest, name, flags) as db:
            yield db
    except Exception:
        _unchanged(path, file, before)
        raise
    _unchanged(path, file, before)


@contextmanager
def reading_beside_writers(
    path: Path, *, newest: int = len(MIGRATIONS)
) -> Generator[apsw.Connection]:
    """Open a Plumbline database that others write, and read one state of it in one transaction.

    SQLite notes the reader in what stands beside the database; the database is not changed. Raises
    ``UnusableInput`` as ``reading``, and ``CouldNotFinish`` when a writer would not let it in.
    """
    with _opened(path, newest, str(_real(path)), apsw.SQLITE_OPEN_READWRITE) as db:
        db.execute("BEGIN DEFERRED")
        yield db


def _real(path: Path) -> Path:
    """Return the file that a path leads to: its log stands beside it and not beside a link."""
    try:
        file = path.resolve(strict=True)
        mode = file.stat().st_mode
    except FileNotFoundError as error:
        raise UnusableInput(f"there is no file {path}; name a Plumbline database") from error
    except (OSError, RuntimeError) as error:
        raise UnusableInput(f"{path} cannot be opened ({error})") from error
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "not a file"
        raise UnusableInput(f"{path} is {what}; name a Plumbline database")
    if not os.access(file, os.R_OK):
        raise UnusableInput(f"{path} cannot be read; you have no permission")
    return file


def _signature(file: Path) -> Signature:
    return tuple([_stamp(Path(f"{file}{suffix}")) for suffix in ("", *LOGS)])


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _unchanged(path: Path, file: Path, before: Signature) -> None:
    """Raise ``WrittenMeanwhile`` when the database or its log is not what it was."""
    if _signature(file) != before:
        raise WrittenMeanwhile(
            f"{path} was written while it was read; nothing that was found is reliable: "
            "try again, or read a copy"
        )


@contextmanager
def _copied(path: Path, file: Path, before: Signature, scratch: Path | None) -> Generator[Path]:
    """Copy a database and its logs into a private folder, which goes at the end."""
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=_elsewhere(file, scratch)) as folder:
        copy = Path(folder) / "copy.db"
        try:
            for suffix, stamp in zip(("", *LOGS), before, strict=True):
                if stamp is not None:
                    shutil.copyfile(f"{file}{suffix}", f"{copy}{suffix}")
        except FileNotFoundError:
            _unchanged(path, file, before)
            raise
        _unchanged(path, file, before)
        yield copy


def _elsewhere(file: Path, scratch: Path | None) -> Path:
    """Return a folder for private copies that is not the database's own."""
    usual = (Path(tempfile.gettempdir()), *map(Path, SCRATCH), Path.home())
    for folder in usual if scratch is None else (scratch,):
        if folder.is_dir() and os.access(folder, os.W_OK) and not folder.samefile(file.parent):
            return folder
    raise CouldNotFinish(
        f"{file} has a log beside it and there is no folder for a private copy; "
        "set TMPDIR to a folder that is not the database's own"
    )


@contextmanager
def _opened(path: Path, newest: int, name: str, flags: int) -> Generator[apsw.Connection]:
    try:
        db = apsw.Connection(name, flags=flags)
    except apsw.CantOpenError as error:
        raise UnusableInput(f"{path} cannot be opened ({error})") from error
    try:
        db.set_busy_timeout(WAIT_MS)
        db.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        db.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
        _recognise(db, path, newest)
        db.pragma("query_only", 1)
        yield db
    finally:
        db.close()


def _recognise(db: apsw.Connection, path: Path, newest: int) -> None:
    try:
        version = version_of(db)
    except (apsw.BusyError, apsw.LockedError) as error:
        raise CouldNotFinish(f"{path} is held by somebody else ({error}): try again") from error
    except (UnusableInput, apsw.Error, UnicodeDecodeError) as error:
        raise UnusableInput(f"{path} is not a Plumbline database ({error})") from error
    if version == 0:
        raise UnusableInput(f"{path} is empty; it is not a Plumbline database")
    if version > newest:
        raise UnusableInput(
            f"{path} has version {version} and this Plumbline knows versions up to {newest}; "
            "install a newer Plumbline to read it"
        )
