"""Reading means reading: what a reading command leaves of the folder that it is pointed at.

Every command is declared as reading or writing. The reading ones run here over a VFS that refuses
every write, create and delete outside a scratch folder of its own, on databases with and without a
log, and every file of the folder is compared before and after.
"""

import hashlib
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import click
import pytest
from msgspec import Struct
from typing_extensions import Buffer

from plumbline.anchoring import PROGRAM as SNAPSHOTS
from plumbline.command import COMMANDS, Access, cli, guarded
from plumbline.compaction import PROGRAM
from plumbline.database import answered, open_database
from plumbline.reading import PREFIX, reading
from plumbline.schema import MIGRATIONS
from plumbline_spec import profiles
from plumbline_spec.errors import CouldNotFinish, UnusableInput
from tests.audit.planting import HISTORY, PUBLISHED, counted, drive, drive_all
from tests.ordinals import WORLD, appending
from tests.plans import SPEC, TINY

DATABASE = "{database}"
TRACE = "{trace}"
OPERATIONS, ANSWERS = "{operations}", "{answers}"
EXPORTED = "{exported}"

CALLS: dict[str, tuple[tuple[str, ...], ...]] = {
    "audit": (
        ("audit", DATABASE),
        ("audit", DATABASE, "--json"),
        ("audit", "--before", DATABASE, "--after", DATABASE),
    ),
    "calibrate lossless-claw": (
        (
            "calibrate",
            "lossless-claw",
            "--operations",
            OPERATIONS,
            "--answers",
            ANSWERS,
            "--release",
            "head",
        ),
    ),
    "context show": (
        ("context", "show", DATABASE),
        ("context", "show", DATABASE, "c", "--limit", "2"),
        ("context", "show", DATABASE, "c", "--json"),
    ),
    "context tree": (
        ("context", "tree", DATABASE),
        ("context", "tree", DATABASE, "c"),
        ("context", "tree", DATABASE, "c", "--json"),
    ),
    "replay": (("replay", TRACE),),
    "snapshot audit": (
        ("snapshot", "audit", DATABASE),
        ("snapshot", "audit", DATABASE, "--json"),
    ),
    "snapshot export": (("snapshot", "export", DATABASE, EXPORTED),),
    "snapshot status": (
        ("snapshot", "status", DATABASE),
        ("snapshot", "status", DATABASE, "--snapshot", "4", "--json"),
    ),
}
"""How each reading command that takes a file is called."""

CREATE = apsw.SQLITE_OPEN_CREATE


# The declaration


def paths(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield every command of a group with its path."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from paths(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def takes_a_file(command: click.Command) -> bool:
    return any(isinstance(one.type, click.Path) for one in command.params)


def test_every_command_is_declared_as_reading_or_writing() -> None:
    assert {path for path, _ in paths(cli)} == COMMANDS.keys()


def test_every_reading_command_that_takes_a_file_is_called_here() -> None:
    reads = {
        path
        for path, command in paths(cli)
        if COMMANDS[path] is Access.READING and takes_a_file(command)
    }
    assert reads == CALLS.keys()


# A file system that refuses


class Refusing(apsw.VFS):
    """Refuses every write, create and delete outside one folder, and remembers that it did."""

    def __init__(self, name: str, usual: str, scratch: Path) -> None:
        super().__init__(name, "")
        self.usual = usual
        self.scratch = scratch.resolve()
        self.refused: list[str] = []

    def refuses(self, path: str | None) -> bool:
        """Tell whether a file is outside; one without a name is temporary, and outside too."""
        return path is None or self.scratch not in Path(path).resolve().parents

    def refuse(self, what: str) -> None:
        self.refused.append(what)
        raise apsw.ReadOnlyError(what)

    def xOpen(  # noqa: N802 - the name is SQLite's
        self, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> apsw.VFSFile:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        outside = self.refuses(path)
        if outside and flags[0] & CREATE and not (path and Path(path).exists()):
            self.refuse(f"create {path}")
        return RefusingFile(self, name, flags, outside=outside)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802, FBT001 - as above
        if self.refuses(filename):
            self.refuse(f"delete {filename}")
        super().xDelete(filename, syncdir)


class RefusingFile(apsw.VFSFile):
    """A file of that file system; one in the scratch folder may be written."""

    def __init__(
        self,
        owner: Refusing,
        name: str | apsw.URIFilename | None,
        flags: list[int],
        *,
        outside: bool,
    ) -> None:
        super().__init__(owner.usual, name, flags)
        self._owner = owner
        self._outside = outside

    def xWrite(self, data: Buffer, offset: int) -> None:  # noqa: N802 - the name is SQLite's
        if self._outside:
            self._owner.refuse(f"write at {offset}")
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - as above
        if self._outside:
            self._owner.refuse(f"truncate to {newsize}")
        super().xTruncate(newsize)


@contextmanager
def refusing(scratch: Path) -> Generator[Refusing]:
    """Make it the default file system of SQLite for a while."""
    usual = apsw.vfs_names()[0]
    vfs = Refusing("refusing", usual, scratch)
    apsw.set_default_vfs("refusing")
    try:
        yield vfs
    finally:
        apsw.set_default_vfs(usual)
        vfs.unregister()


# Folders


class Seen(Struct, frozen=True):
    """What a folder entry was."""

    size: int
    mtime_ns: int
    sha256: str


def seen(folder: Path) -> dict[str, Seen]:
    """Return every file of a folder as it is."""
    found: dict[str, Seen] = {}
    for file in sorted(folder.iterdir()):
        stat, content = file.stat(), file.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        found[file.name] = Seen(stat.st_size, stat.st_mtime_ns, digest)
    return found


def plain(file: Path) -> None:
    """Leave a database in rollback mode."""
    drive_all(file)
    db = apsw.Connection(str(file))
    assert db.pragma("journal_mode", "delete") == "delete"
    db.close()


def applied(file: Path) -> None:
    """Leave a database in WAL mode whose log was applied and is gone."""
    drive_all(file)


def emptied(file: Path) -> None:
    """Leave a database in WAL mode beside a log of no bytes."""
    drive_all(file)
    file.with_name(f"{file.name}-wal").touch()


def unapplied(file: Path) -> None:
    """Leave a database in WAL mode beside a log that holds most of it."""
    source = file.with_name("source")
    source.mkdir()
    db = open_database(str(source / "open.db"))
    for event in HISTORY:
        answered(db, None, event, PROGRAM.apply, PROGRAM.decode_outcome)
    for published in PUBLISHED:
        answered(db, None, published, SNAPSHOTS.apply, SNAPSHOTS.decode_outcome)
    for suffix in ("", "-wal"):
        shutil.copyfile(source / f"open.db{suffix}", f"{file}{suffix}")
    db.close()
    shutil.rmtree(source)
    assert file.with_name(f"{file.name}-wal").stat().st_size > 0


def in_a_journal(file: Path) -> None:
    """Leave a database beside the journal of a transaction that a crash interrupted."""
    plain(file)
    source = file.with_name("source")
    source.mkdir()
    shutil.copyfile(file, source / "open.db")
    db = apsw.Connection(str(source / "open.db"))
    db.pragma("cache_size", 1)
    db.pragma("cache_spill", 1)
    db.execute("BEGIN; DROP TRIGGER messages_stay; UPDATE messages SET text = hex(zeroblob(9000))")
    for suffix in ("", "-journal"):
        shutil.copyfile(source / f"open.db{suffix}", f"{file}{suffix}")
    db.execute("ROLLBACK")
    db.close()
    shutil.rmtree(source)


FOLDERS: dict[str, Callable[[Path], None]] = {
    "a plain database": plain,
    "a log that was applied": applied,
    "an empty log": emptied,
    "an unapplied log": unapplied,
    "an interrupted transaction": in_a_journal,
}


class Place(Struct, frozen=True):
    """A folder with a database and a trace, and a scratch folder elsewhere."""

    database: Path
    trace: Path
    operations: Path
    answers: Path
    exported: Path
    scratch: Path


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    folder, scratch, elsewhere = (tmp_path / name for name in ("folder", "scratch", "elsewhere"))
    for one in (folder, scratch, elsewhere):
        one.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    monkeypatch.chdir(elsewhere)
    trace = folder / "trace.jsonl"
    lines = (SPEC / "vectors" / "ordinals.jsonl").read_bytes().splitlines(keepends=True)
    trace.write_bytes(b"".join(lines[:2]))
    operations, answers = folder / "operations.jsonl", folder / "answers.jsonl"
    operations.write_text('{"op": "conv", "session": "s", "conv": 1}\n', encoding="utf-8")
    answers.write_text('{"op": "conv", "result": 1, "context": [], "total": 0}\n', encoding="utf-8")
    exported = tmp_path / "exported"
    return Place(folder / "plumb line?.db", trace, operations, answers, exported, scratch)


@pytest.mark.parametrize("call", [call for calls in CALLS.values() for call in calls], ids=" ".join)
@pytest.mark.parametrize("kind", FOLDERS)
def test_a_reading_command_changes_nothing_in_the_folder(
    place: Place, capsys: pytest.CaptureFixture[str], kind: str, call: tuple[str, ...]
) -> None:
    FOLDERS[kind](place.database)
    before = seen(place.database.parent)
    names = {
        DATABASE: str(place.database),
        TRACE: str(place.trace),
        OPERATIONS: str(place.operations),
        ANSWERS: str(place.answers),
        EXPORTED: str(place.exported),
    }
    with refusing(place.scratch) as vfs:
        code = guarded(cli, [names.get(word, word) for word in call])
    assert (code, capsys.readouterr().err.count("internal")) == (0, 0)
    assert seen(place.database.parent) == before
    assert vfs.refused == []
    assert list(place.scratch.iterdir()) == []
    assert list(Path.cwd().iterdir()) == []


def test_what_is_refused_is_refused(place: Place) -> None:
    """The control: over the same VFS no event can be written, and no database made."""
    drive(place.database, WORLD)
    with refusing(place.scratch) as vfs:
        db = apsw.Connection(str(place.database))
        with pytest.raises((apsw.ReadOnlyError, apsw.CantOpenError, apsw.IOError)):
            answered(db, None, counted(appending("m8")), PROGRAM.apply, PROGRAM.decode_outcome)
        with pytest.raises(apsw.Error):
            open_database(str(place.database.with_name("new.db")))
        assert vfs.refused
        db.close()


@pytest.mark.parametrize(
    "call",
    [
        ("check", "ordinals", "--engine", "durable", "--jobs", "1", "--out", "kept"),
        ("context", "rollback", DATABASE, "c", "s3"),
        ("snapshot", "refresh", DATABASE),
        ("snapshot", "gc", DATABASE),
    ],
    ids=" ".join,
)
def test_a_writing_command_fails_where_nothing_may_be_written(
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    call: tuple[str, ...],
) -> None:
    """The control for commands: one that writes to a database does not get far."""
    plain(place.database)
    monkeypatch.setattr(profiles, "PROFILES", dict.fromkeys(profiles.PROFILES, TINY))
    with refusing(place.scratch / "not there") as vfs:
        assert guarded(cli, [word.replace(DATABASE, str(place.database)) for word in call]) != 0
    capsys.readouterr()
    assert vfs.refused


# Opening


def length(db: apsw.Connection) -> object:
    return db.execute("SELECT count(*) FROM messages").get


@pytest.mark.parametrize("kind", FOLDERS)
def test_every_kind_of_database_is_read_whole(place: Place, kind: str) -> None:
    FOLDERS[kind](place.database)
    with reading(place.database) as db:
        assert (
            PROGRAM.observe(db).taken.ledger.lists.conversations[0].messages[0].text == "text of m1"
        )
        assert length(db) == 20
        with pytest.raises(apsw.Error):
            db.execute("UPDATE conversations SET items = 9")


def test_the_private_copy_is_made_where_it_is_said_and_goes(place: Place, tmp_path: Path) -> None:
    unapplied(place.database)
    scratch = tmp_path / "said"
    scratch.mkdir()
    with reading(place.database, scratch=scratch) as db:
        (folder,) = scratch.iterdir()
        assert folder.name.startswith(PREFIX)
        assert (folder.stat().st_mode & 0o777) == 0o700
        assert length(db) == 20
    assert list(scratch.iterdir()) == []


def test_the_private_copy_is_not_made_in_the_folder_of_the_database(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    unapplied(place.database)
    folder = place.database.parent
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setattr("plumbline.reading.SCRATCH", (str(folder), str(place.scratch)))
    before = seen(folder)
    with reading(place.database):
        assert len(list(place.scratch.iterdir())) == 1
        assert seen(folder) == before
    no_folder = pytest.raises(CouldNotFinish, match="no folder for a private copy; set TMPDIR")
    with no_folder, reading(place.database, scratch=folder):
        raise AssertionError


def test_the_log_stands_beside_the_file_that_a_link_leads_to(place: Place, tmp_path: Path) -> None:
    unapplied(place.database)
    link = tmp_path / "link.db"
    link.symlink_to(place.database)
    with reading(link) as db:
        assert length(db) == 20


# Writers


WRITTEN = "was written while it was read; nothing that was found is reliable"


@pytest.mark.parametrize("stumbles", [False, True])
def test_a_file_that_is_written_meanwhile_gives_no_answer(place: Place, *, stumbles: bool) -> None:
    """Whatever a reader then stumbles over is no fault of its own."""
    applied(place.database)

    def interrupted() -> None:
        with reading(place.database):
            drive(place.database, [appending("m8")])
            if stumbles:
                raise ZeroDivisionError

    with pytest.raises(CouldNotFinish, match=WRITTEN):
        interrupted()


@pytest.mark.parametrize("gone", [False, True])
def test_a_log_that_changes_while_it_is_copied_gives_no_answer(
    place: Place, monkeypatch: pytest.MonkeyPatch, *, gone: bool
) -> None:
    unapplied(place.database)
    log = place.database.with_name(f"{place.database.name}-wal")
    usual = shutil.copyfile

    def copyfile(source: str, target: str) -> None:
        usual(source, target)
        if source == str(place.database):
            if gone:
                log.unlink()
            else:
                log.write_bytes(log.read_bytes()[:-1])

    monkeypatch.setattr("plumbline.reading.shutil.copyfile", copyfile)
    with pytest.raises(CouldNotFinish, match=WRITTEN), reading(place.database):
        raise AssertionError
    assert list(place.scratch.iterdir()) == []


# What cannot be read


def foreign(file: Path) -> None:
    db = apsw.Connection(str(file))
    db.execute("CREATE TABLE notes (text)")
    db.close()


def newer(file: Path) -> None:
    drive(file, WORLD, (*MIGRATIONS, "CREATE TABLE more (x INTEGER) STRICT"))


def unversioned(file: Path) -> None:
    db = apsw.Connection(str(file))
    db.execute("CREATE TABLE plumbline_meta (key, value)")
    db.close()


def torn(file: Path) -> None:
    drive(file, WORLD)
    file.write_bytes(file.read_bytes()[:5000])


def without_a_table(file: Path) -> None:
    db = apsw.Connection(str(file))
    db.execute("PRAGMA user_version = 7")
    db.close()


UNUSABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda _file: None, "there is no file"),
    "a folder": (Path.mkdir, "is a folder"),
    "an empty file": (Path.touch, "is empty"),
    "a database of nothing": (without_a_table, "is empty"),
    "text": (lambda file: file.write_text("Dear diary, " * 500), "is not a Plumbline database"),
    "a few bytes": (lambda file: file.write_bytes(b"SQLite format 3"), "not a Plumbline database"),
    "a page that was torn": (torn, "is not a Plumbline database"),
    "another program's": (foreign, "it holds tables that are not Plumbline's"),
    "one without a version": (unversioned, "its version is missing"),
    "a newer version": (newer, "install a newer Plumbline to read it"),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_what_is_no_database_is_refused_with_a_reason_and_left_alone(
    place: Place, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    make, reason = UNUSABLE[what]
    make(place.database)
    before = {one.name for one in place.database.parent.iterdir()}
    with pytest.raises(UnusableInput, match=reason), reading(place.database):
        raise AssertionError
    assert guarded(cli, ["audit", str(place.database)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert reason in captured.err
    assert {one.name for one in place.database.parent.iterdir()} == before


@pytest.mark.parametrize("make", [None, Path.touch], ids=["nothing", "an empty file"])
def test_a_database_that_may_not_be_made_is_not_made(
    place: Place, make: Callable[[Path], None] | None
) -> None:
    if make is not None:
        make(place.database)
    before = seen(place.database.parent)
    with pytest.raises(UnusableInput, match=r"cannot be opened|is empty"):
        open_database(str(place.database), create=False)
    assert seen(place.database.parent) == before


def test_a_database_that_is_there_is_opened_without_making_one(place: Place) -> None:
    plain(place.database)
    db = open_database(str(place.database), create=False)
    assert length(db) == 20
    db.close()
