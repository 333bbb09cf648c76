"""The recording VFS: what it records is all that the disk was asked for."""

from collections.abc import Iterator
from random import Random

import apsw
import pytest

from plumbline.ordinals import PROGRAM
from plumbline.recording import STRIKES, RecordingVfs
from plumbline.sqlite_storage import KINDS, SETTINGS, SqliteStorage
from plumbline_models.ordinals import Event, Outcome, State, machine
from plumbline_spec.codec import canonical
from plumbline_spec.disk import Disk, Reach, SyncFailed, SyncFolder, Unlink, Write
from plumbline_spec.errors import OutcomeUnknown
from plumbline_spec.host import Fault, RequestId, Setting
from tests.ordinals import WORLD

Storage = SqliteStorage[State, Event, Outcome]


@pytest.fixture
def storage() -> Iterator[Storage]:
    made = SqliteStorage(PROGRAM)
    yield made
    made.close()


def setting_of(storage: Storage, name: str) -> Setting:
    (found,) = [one for one in storage.settings if one.name == name]
    return found


@pytest.mark.parametrize("name", [one.name for one in SETTINGS if not one.lies])
def test_the_log_replayed_is_what_stands_on_the_disk(storage: Storage, name: str) -> None:
    """After every event, and after closing: nothing is written that is not recorded."""
    setting = setting_of(storage, name)
    session = storage.open(setting, {})
    disk, replayed = Disk({}), 0
    for number, event in enumerate(WORLD):
        session.step(event, RequestId(str(number)))
        for operation in session.log[replayed:]:
            disk.apply(operation)
        replayed = len(session.log)
        assert disk.now() == session.image()
    session.close()
    for operation in session.log[replayed:]:
        disk.apply(operation)
    assert disk.now() == session.image()


@pytest.mark.parametrize("name", [one.name for one in SETTINGS])
def test_a_setting_is_what_its_name_says(storage: Storage, name: str) -> None:
    session = storage.open(setting_of(storage, name), {})
    journal, level = name.partition(",")[0].split("/")
    levels = ("off", "normal", "full", "extra")
    found = (session.connection.pragma("journal_mode"), session.connection.pragma("synchronous"))
    assert found == (journal, levels.index(level))
    session.close()


def test_what_ships_is_what_open_database_chooses() -> None:
    assert [one.name for one in SETTINGS if one.ships] == [
        "wal/full",
        "wal/full, small log",
        "delete/extra",
    ]


def test_an_event_of_a_small_log_moves_it_into_the_database(storage: Storage) -> None:
    session = storage.open(setting_of(storage, "wal/full, small log"), {})
    session.log.clear()
    for number, event in enumerate(WORLD[:3]):
        session.step(event, RequestId(str(number)))
    files = {one.file for one in session.log if isinstance(one, Write)}
    assert files == {"plumbline.db", "plumbline.db-wal"}
    session.close()


@pytest.mark.parametrize("kind", sorted(STRIKES))
def test_a_fault_strikes_once_or_from_then_on(storage: Storage, kind: str) -> None:
    # With a log the lock of the file is held already.
    setting = setting_of(storage, "delete/extra" if kind == "busy" else "wal/full")
    for lasting in (False, True):
        session = storage.open(setting, {})
        session.arm(Fault(kind=kind, at=0, lasting=lasting))
        # What stands in memory is not read; an open statement elsewhere made it stale here.
        session.connection.release_memory()
        with pytest.raises(storage.errors):
            session.step(WORLD[0], RequestId("r"))
        assert session.disarm().struck
        assert session.observe() == machine().initial
        session.close()


def test_calls_are_counted_by_a_fault_that_never_strikes(storage: Storage) -> None:
    for kind in KINDS:
        session = storage.open(storage.settings[0], {})
        session.arm(Fault(kind=kind.name, at=-1))
        session.step(WORLD[0], RequestId("r"))
        met = session.disarm()
        assert not met.struck
        assert kind.name in ("read", "busy") or met.calls > 0
        session.close()


def test_a_disk_that_is_full_takes_a_part_of_a_write(storage: Storage) -> None:
    whole = storage.open(storage.settings[0], {})
    start = len(whole.log)
    whole.step(WORLD[0], RequestId("r"))
    written = len(whole.log) - start
    whole.close()
    sizes = set[int]()
    for at in range(written):
        session = storage.open(storage.settings[0], {})
        start = len(session.log)
        session.arm(Fault(kind="disk full", at=at))
        try:
            session.step(WORLD[0], RequestId("r"))
        except storage.errors:
            last = session.log[-1]
            sizes.add(len(last.content) if isinstance(last, Write) else 0)
        session.disarm()
        session.close()
    assert 2048 in sizes


def test_a_sync_of_the_folder_that_fails_leaves_the_journal_unlinked(storage: Storage) -> None:
    """COMMIT ends in an error although the event is there: nobody knows, and the id tells."""
    setting = setting_of(storage, "delete/extra")
    calls = storage.open(setting, {})
    calls.arm(Fault(kind="sync", at=-1))
    calls.step(WORLD[0], RequestId("r"))
    last = calls.disarm().calls - 1
    calls.close()
    session = storage.open(setting, {})
    session.log.clear()
    session.arm(Fault(kind="sync", at=last))
    with pytest.raises(Exception, match="the commit ended in an error"):
        session.step(WORLD[0], RequestId("r"))
    session.disarm()
    assert isinstance(session.log[-1], Unlink)
    assert sum(isinstance(one, SyncFolder) for one in session.log) == 1
    after, outcome = machine().step(machine().initial, WORLD[0])
    assert canonical(session.observe()) == canonical(after)
    assert session.step(WORLD[0], RequestId("r")) == outcome
    session.close()


def test_a_sync_that_fails_is_recorded_as_such(storage: Storage) -> None:
    session = storage.open(storage.settings[0], {})
    session.arm(Fault(kind="sync", at=0))
    with pytest.raises(OutcomeUnknown):
        session.step(WORLD[0])
    session.disarm()
    assert any(isinstance(one, SyncFailed) for one in session.log)
    session.close()


def test_temporary_files_are_not_recorded() -> None:
    vfs = RecordingVfs()
    temporary = apsw.Connection("", vfs=vfs.name)
    temporary.pragma("cache_size", 1)
    temporary.execute("CREATE TABLE t (x)")
    temporary.executemany("INSERT INTO t VALUES (zeroblob(4000))", [()] * 50)
    temporary.close()
    vfs.unregister()
    assert vfs.log == []


def test_recovery_tells_what_it_found(storage: Storage) -> None:
    setting = storage.settings[0]
    session = storage.open(setting, {})
    outcome = session.step(WORLD[0], RequestId("r"))
    image = session.image()
    session.close()
    found = storage.recover(setting, image)
    assert (found.broken, found.answers) == ("", (("r", canonical(outcome)),))
    assert canonical(found.state) == canonical(machine().step(machine().initial, WORLD[0])[0])
    assert storage.recover(setting, image) is found
    whole = session.image()["plumbline.db"]
    torn = {"plumbline.db": whole[:4096] + bytes(4096) + whole[8192:]}
    assert storage.recover(setting, torn).broken


def test_most_durable_states_lead_to_one_of_two_contents(storage: Storage) -> None:
    """So a content is checked and read once, and a durable state is only recovered."""
    setting = storage.settings[0]
    made = storage.open(setting, {})
    made.close()
    start = made.image()
    session = storage.open(setting, start)
    session.step(WORLD[0], RequestId("r"))
    disk, keys, states = Disk(start), set[bytes](), 0
    for operation in session.log:
        disk.apply(operation)
        for state in disk.durable_states(Reach(subsets=3, drawn=3), Random(1)):
            keys.add(storage.recover(setting, state.image()).key)
            states += 1
    session.close()
    assert len(keys) == 2
    assert states > 50
