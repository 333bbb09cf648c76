"""Databases: settings, versions and migrations, stored answers, a busy file."""

import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from plumbline import database
from plumbline.database import MEMORY, SettingNotKept, answered, open_database, version_of
from plumbline.ordinals import PROGRAM
from plumbline.schema import MIGRATIONS
from plumbline_models.ordinals import Event, Outcome, Reason, Refused
from plumbline_spec.codec import canonical, digest
from plumbline_spec.errors import CouldNotFinish, PlumblineError, RequestReused, UnusableInput
from plumbline_spec.host import RequestId
from tests.ordinals import WORLD, appending, opening, replacing

NEWER = (*MIGRATIONS, "CREATE TABLE more (x INTEGER) STRICT")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "databases"
    folder.mkdir()
    return folder / "plumbline.db"


@pytest.fixture
def opened(file: Path) -> Iterator[Callable[..., apsw.Connection]]:
    """Return a function that opens the file; what it opened is closed at the end."""
    connections: list[apsw.Connection] = []

    def opens(migrations: tuple[str, ...] = MIGRATIONS) -> apsw.Connection:
        connections.append(open_database(str(file), migrations))
        return connections[-1]

    yield opens
    for one in connections:
        one.close()


def take(db: apsw.Connection, event: Event, request: str | None = None) -> Outcome:
    named = None if request is None else RequestId(request)
    return answered(db, named, event, PROGRAM.apply, PROGRAM.decode_outcome)


def left_in(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder with its bytes, but for the index of a log."""
    return {
        one.name: one.read_bytes()
        for one in sorted(folder.iterdir())
        if not one.name.endswith("-shm")
    }


def stored_by(file: Path, *events: Event, migrations: tuple[str, ...] = MIGRATIONS) -> None:
    """Write events to a file and close it."""
    db = open_database(str(file), migrations)
    for event in events:
        take(db, event)
    db.close()


# Settings


@pytest.mark.parametrize("memory", [False, True])
def test_settings_are_read_back(file: Path, *, memory: bool) -> None:
    db = open_database(MEMORY if memory else str(file))
    settings = ("journal_mode", "synchronous", "foreign_keys", "trusted_schema")
    found = [db.pragma(setting) for setting in settings]
    assert found == ["memory" if memory else "wal", 2, 1, 0]
    db.close()


def test_a_setting_that_is_not_kept_is_an_error() -> None:
    """A database in memory cannot have a write-ahead log."""
    asked = database.Opening(durability=database.WRITE_AHEAD)
    with pytest.raises(SettingNotKept, match=r"^journal_mode is 'memory' and not 'wal': .* put"):
        open_database(MEMORY, opening=asked)
    assert issubclass(SettingNotKept, PlumblineError)


def test_where_there_is_no_shared_memory_a_rollback_journal_is_kept(file: Path) -> None:
    """The VFS ``unix-none`` has no index for a write-ahead log."""
    db = open_database(str(file), opening=database.Opening(vfs="unix-none"))
    found = [db.pragma(setting) for setting in ("journal_mode", "synchronous", "foreign_keys")]
    assert found == ["delete", database.EXTRA, 1]
    db.close()


def test_a_database_without_a_name_is_refused() -> None:
    """It would be a temporary one, which goes when it is closed."""
    with pytest.raises(UnusableInput, match="a database without a name keeps nothing"):
        open_database("")


def test_a_setting_that_is_not_kept_can_be_told_by_another_process() -> None:
    error = SettingNotKept("journal_mode", "wal", "delete")
    told = pickle.loads(pickle.dumps(error))  # noqa: S301 - what was dumped here
    assert (str(told), told.setting, told.answered) == (str(error), "journal_mode", "delete")


def test_each_setting_is_compared_with_what_was_asked_for(file: Path) -> None:
    asked = database.Opening(durability=database.Durability("wal", 7))  # there is no such level
    with pytest.raises(SettingNotKept, match=r"^synchronous is [0-3] and not 7: "):
        open_database(str(file), opening=asked)


# Versions


def test_a_fresh_file_has_the_newest_version_and_no_conversation(
    file: Path, opened: Callable[..., apsw.Connection]
) -> None:
    db = opened()
    assert version_of(db) == len(MIGRATIONS)
    assert PROGRAM.observe(db).conversations == ()
    assert file.exists()


def test_a_file_that_is_opened_again_holds_what_was_answered(
    opened: Callable[..., apsw.Connection],
) -> None:
    """ENV-3."""
    first = opened()
    for event in WORLD:
        take(first, event)
    before = canonical(PROGRAM.observe(first))
    first.close()
    assert canonical(PROGRAM.observe(opened())) == before


def test_a_file_of_version_1_is_migrated_and_keeps_its_answers(
    opened: Callable[..., apsw.Connection],
) -> None:
    old = opened(MIGRATIONS[:1])
    assert version_of(old) == 1
    event, outcome = opening(), Refused(reason=Reason.CONVERSATION_EXISTS)
    old.execute("INSERT INTO requests VALUES ('kept', ?, ?)", (digest(event), canonical(outcome)))
    old.close()
    new = opened()
    assert version_of(new) == len(MIGRATIONS)
    assert take(new, event, "kept") == outcome
    assert PROGRAM.observe(new).conversations == ()


def test_a_file_of_the_newest_version_is_migrated_forward_and_keeps_its_rows(
    opened: Callable[..., apsw.Connection],
) -> None:
    first = opened()
    for event in WORLD:
        take(first, event)
    before = canonical(PROGRAM.observe(first))
    first.close()
    newer = opened(NEWER)
    assert (version_of(newer), newer.table_exists("main", "more")) == (len(NEWER), True)
    assert canonical(PROGRAM.observe(newer)) == before


def test_two_who_open_a_fresh_file_migrate_it_once(opened: Callable[..., apsw.Connection]) -> None:
    one, other = opened(), opened()
    take(one, opening())
    assert take(other, opening()) == Refused(reason=Reason.CONVERSATION_EXISTS)


@pytest.mark.parametrize("version", [0, 1])
def test_a_migration_that_fails_leaves_the_version_before_it(
    file: Path, opened: Callable[..., apsw.Connection], version: int
) -> None:
    if version:
        opened(MIGRATIONS[:1]).close()
    broken = (*MIGRATIONS, "CREATE TABLE more (x INTEGER) STRICT; INSERT INTO nowhere VALUES (1)")
    with pytest.raises(apsw.SQLError, match="nowhere"):
        open_database(str(file), broken)
    db = apsw.Connection(str(file))
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    assert version_of(db) == version
    assert set(tables) == ({"plumbline_meta", "requests"} if version else set())
    db.close()
    assert version_of(opened()) == len(MIGRATIONS)


# Files that are refused and left alone


def test_a_newer_version_is_refused_and_unchanged(file: Path) -> None:
    stored_by(file, *WORLD, migrations=NEWER)
    before = left_in(file.parent)
    with pytest.raises(UnusableInput, match=r"has version 7 .* up to 6; nothing was changed"):
        open_database(str(file))
    assert left_in(file.parent) == before


def test_a_newer_version_is_refused_with_the_log_that_a_crash_left(
    file: Path, tmp_path: Path
) -> None:
    db = open_database(str(file), NEWER)
    take(db, opening())
    crashed = tmp_path / "crashed"
    shutil.copytree(file.parent, crashed)
    db.close()
    before = left_in(crashed)
    assert len(before) == 2
    with pytest.raises(UnusableInput, match="nothing was changed"):
        open_database(str(crashed / file.name))
    assert left_in(crashed) == before
    again = open_database(str(crashed / file.name), NEWER)
    assert take(again, opening()) == Refused(reason=Reason.CONVERSATION_EXISTS)
    again.close()
    assert list(left_in(crashed)) == [file.name]


def foreign(*statements: str) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        db = apsw.Connection(str(file))
        for statement in statements:
            db.execute(statement)
        db.close()

    return write


def holding(content: bytes) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        file.write_bytes(content)

    return write


FOREIGN: dict[str, Callable[[Path], None]] = {
    "another program's tables": foreign("CREATE TABLE notes (text)"),
    "another program's log": foreign("PRAGMA journal_mode = wal", "CREATE TABLE notes (text)"),
    "a table of that name": foreign("CREATE TABLE plumbline_meta (x)"),
    "no version": foreign("CREATE TABLE plumbline_meta (key, value)"),
    "version 0": foreign(
        "CREATE TABLE plumbline_meta (key, value)",
        "INSERT INTO plumbline_meta VALUES ('version', 0)",
    ),
    "a version in words": foreign(
        "CREATE TABLE plumbline_meta (key, value)",
        "INSERT INTO plumbline_meta VALUES ('version', 'two')",
    ),
    "text": holding(b"Dear diary, " * 500),
    "bytes": holding(bytes(range(256)) * 64),
    "a few bytes": holding(b"no"),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_file_that_is_not_plumblines_is_refused_and_unchanged(file: Path, what: str) -> None:
    FOREIGN[what](file)
    before = left_in(file.parent)
    with pytest.raises(UnusableInput, match=r"is not a Plumbline database \(.*; name another"):
        open_database(str(file))
    assert left_in(file.parent) == before


def test_a_path_that_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableInput, match="cannot be opened"):
        open_database(str(tmp_path / "missing" / "plumbline.db"))
    with pytest.raises(UnusableInput, match="is a folder; name a file in it"):
        open_database(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


# Requests


def test_an_answer_is_stored_as_canonical_bytes_and_answered_again(
    opened: Callable[..., apsw.Connection],
) -> None:
    """ENV-2."""
    db = opened()
    answers = [take(db, event, f"request {number}") for number, event in enumerate(WORLD)]
    before = canonical(PROGRAM.observe(db))
    asked = "SELECT outcome FROM requests WHERE request = ?"
    stored = [db.execute(asked, (f"request {number}",)).get for number in range(len(WORLD))]
    assert stored == [canonical(answer) for answer in answers]
    again = [take(db, event, f"request {number}") for number, event in enumerate(WORLD)]
    assert again == answers
    assert canonical(PROGRAM.observe(db)) == before


def test_an_id_that_comes_with_another_event_is_refused(
    opened: Callable[..., apsw.Connection],
) -> None:
    """ENV-2."""
    db = opened()
    take(db, opening(), "one")
    before = canonical(PROGRAM.observe(db))
    with pytest.raises(RequestReused, match="'one' was already used") as caught:
        take(db, opening("d"), "one")
    assert caught.value.request == "one"
    assert canonical(PROGRAM.observe(db)) == before
    assert take(db, opening("d"), "another") != Refused(reason=Reason.CONVERSATION_EXISTS)


@pytest.mark.parametrize("request_id", ["", "it's", "a\x00b", "ünï 🪶", "r" * 10_000])
def test_an_id_may_be_any_text(opened: Callable[..., apsw.Connection], request_id: str) -> None:
    db = opened()
    answer = take(db, opening(), request_id)
    assert take(db, opening(), request_id) == answer


def test_the_effect_and_the_answer_are_kept_together_or_not_at_all(
    opened: Callable[..., apsw.Connection],
) -> None:
    """ENV-2: an event that raises leaves its id free."""
    db = opened()
    take(db, opening())

    def half(connection: apsw.Connection, event: Event) -> Outcome:
        PROGRAM.apply(connection, event)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        answered(db, RequestId("half"), appending("m1"), half, PROGRAM.decode_outcome)
    assert PROGRAM.observe(db).conversations[0].messages == ()
    take(db, replacing("m1", "s1"), "half")


# A busy file


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 1)


@pytest.mark.usefixtures("impatient")
def test_a_file_that_stays_busy_is_not_written(opened: Callable[..., apsw.Connection]) -> None:
    db, other = opened(), opened()
    take(db, opening())
    before = canonical(PROGRAM.observe(db))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(CouldNotFinish, match="busy for 1 ms; nothing was done: try again"):
        take(db, appending("m1"), "one")
    assert canonical(PROGRAM.observe(db)) == before
    other.execute("ROLLBACK")
    take(db, appending("m1"), "one")
    assert canonical(PROGRAM.observe(other)) != before


@pytest.mark.usefixtures("impatient")
def test_a_file_that_stays_busy_is_not_migrated(opened: Callable[..., apsw.Connection]) -> None:
    old = opened(MIGRATIONS[:1])
    old.execute("BEGIN IMMEDIATE")
    with pytest.raises(CouldNotFinish, match="busy"):
        opened()
    old.execute("ROLLBACK")
    assert version_of(old) == 1
    assert version_of(opened()) == len(MIGRATIONS)
