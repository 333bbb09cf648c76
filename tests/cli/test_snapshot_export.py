"""The command ``snapshot export``: files that a reader finds whole, whatever else happens."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import apsw
import msgspec
import pytest
from msgspec import Struct
from typing_extensions import override

from plumbline import export as exporting
from plumbline.anchoring import PROGRAM
from plumbline.command import cli, guarded
from plumbline.database import answered, open_database
from plumbline.export import ExportReport, ManifestFile, alone_in, export
from plumbline.policy_snapshot import Terms, refresh
from plumbline.reading import reading
from plumbline.snapshot_reading import live_of
from plumbline_models.anchoring import Event, Live, Lose, Loss, Snapshot, State, Torn
from plumbline_models.decisions.refreshing import Mode
from plumbline_spec.atomic import SystemFiles
from plumbline_spec.errors import CouldNotFinish, UnusableInput
from tests.anchoring import recording

CONTENT, LIVE, MANIFEST = "snapshot.json", "policy_stats_live.json", "policy_snapshot.json"


class Ran(Struct, frozen=True, kw_only=True):
    """What a command did."""

    code: int
    out: str
    err: str


Runs = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Runs:
    """Return a function that runs ``plumbline snapshot export``."""

    def runs(*args: object) -> Ran:
        capsys.readouterr()
        code = guarded(cli, ["snapshot", "export", *(str(one) for one in args)])
        captured = capsys.readouterr()
        assert code != 70, captured.err
        return Ran(code=code, out=captured.out, err=captured.err)

    return runs


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Return a database with a rebuilt snapshot, a merged one, and something new behind it."""
    file = tmp_path / "policy.db"
    take(file, recording(range(4)))
    refresh(file)
    take(file, recording(range(4, 6)))
    refresh(file)
    take(file, recording(range(6, 7)))
    return file


def take(file: Path, *events: Event) -> None:
    db = open_database(str(file))
    for event in events:
        answered(db, None, event, PROGRAM.apply, PROGRAM.decode_outcome)
    db.close()


def observed(file: Path) -> State:
    with reading(file) as db:
        return PROGRAM.observe(db)


def files_in(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, by its path."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def read_whole(folder: Path) -> tuple[Snapshot, Live]:
    """Read as a reader does, the manifest first; everything is as it says."""
    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=ManifestFile)
    content = (folder / manifest.path).read_bytes()
    assert hashlib.sha256(content).hexdigest() == manifest.digest
    snapshot = msgspec.json.decode(content, type=Snapshot)
    assert (snapshot.id, snapshot.epoch) == (manifest.id, manifest.epoch)
    assert (snapshot.watermark, snapshot.chain) == (manifest.watermark, manifest.chain)
    live = msgspec.json.decode((folder / LIVE).read_bytes(), type=Live)
    return snapshot, live


def test_what_is_exported_is_what_is_stored(run: Runs, database: Path, tmp_path: Path) -> None:
    """ANC-1, ANC-2."""
    out = tmp_path / "deep" / "out"
    ran = run(database, out, "--json")
    assert ran.code == 0
    found = msgspec.convert(json.loads(ran.out), ExportReport)
    assert (found.snapshot_id, found.watermark, found.written) == (2, 6, True)
    assert (found.current, found.live) == (True, True)
    assert files_in(out).keys() == {LIVE, MANIFEST, f"policy_snapshots/2/{CONTENT}"}
    assert [*out.rglob(".*")] == []
    state = observed(database)
    assert read_whole(out) == (state.snapshots[1], state.live)
    shown = run(database, out).out
    assert shown.splitlines()[0] == f"directory: {out}"
    assert "written: no" in shown


def test_numbers_in_the_files_are_whole(database: Path, tmp_path: Path) -> None:
    export(database, tmp_path / "out")
    for content in files_in(tmp_path / "out").values():
        json.loads(content, parse_float=pytest.fail)


def test_the_same_again_changes_nothing(run: Runs, database: Path, tmp_path: Path) -> None:
    """ANC-13."""
    out = tmp_path / "out"
    export(database, out)
    before = files_in(out)
    stamp = (out / "policy_snapshots" / "2" / CONTENT).stat()
    ran = run(database, out, "--json")
    assert (ran.code, json.loads(ran.out)["written"]) == (0, False)
    assert files_in(out) == before
    after = (out / "policy_snapshots" / "2" / CONTENT).stat()
    assert (after.st_ino, after.st_mtime_ns) == (stamp.st_ino, stamp.st_mtime_ns)


def test_a_later_export_adds_a_folder_and_moves_the_manifest(
    database: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    export(database, out)
    orphan = out / "policy_snapshots" / "77"
    orphan.mkdir()
    refresh(database)
    assert export(database, out).snapshot_id == 3
    assert sorted(one.name for one in (out / "policy_snapshots").iterdir()) == ["2", "3", "77"]
    snapshot, live = read_whole(out)
    assert (snapshot.id, live.anchor, live.statistics) == (3, 3, ())


def test_of_an_older_snapshot_the_folder_alone_is_written(
    run: Runs, database: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    ran = run(database, out, "--snapshot", 1, "--json")
    assert (ran.code, json.loads(ran.out)["current"]) == (0, False)
    assert files_in(out).keys() == {f"policy_snapshots/1/{CONTENT}"}
    named = export(database, out, snapshot=2)
    assert (named.current, read_whole(out)[0].id) == (True, 2)
    before = files_in(out)
    export(database, out, snapshot=1)
    assert files_in(out) == before


def test_a_live_delta_that_is_lost_is_taken_away(database: Path, tmp_path: Path) -> None:
    """An older one would be taken for it."""
    out = tmp_path / "out"
    for loss in (Loss.LIVE_TORN, Loss.LIVE_ABSENT):
        export(database, out)
        assert (out / LIVE).exists()
        take(database, Lose(what=loss))
        assert not export(database, out).live
        assert not (out / LIVE).exists()
        assert not export(database, out).live
        refresh(database, Terms(mode=Mode.FULL))
        take(database, recording([10]))


# What cannot be exported


def test_a_snapshot_that_is_not_there_is_said(run: Runs, database: Path, tmp_path: Path) -> None:
    ran = run(database, tmp_path / "out", "--snapshot", 9)
    assert (ran.code, "there is no snapshot 9" in ran.err) == (2, True)
    assert not (tmp_path / "out").exists()
    take(database, Lose(what=Loss.MANIFEST))
    ran = run(database, tmp_path / "out")
    assert (ran.code, "the manifest names no snapshot" in ran.err) == (2, True)
    assert run(database, tmp_path / "out", "--snapshot", 2).code == 0


def test_what_was_left_beside_its_place_is_swept(database: Path, tmp_path: Path) -> None:
    """An export that was killed may leave a file, or a folder."""
    out = tmp_path / "out"
    export(database, out)
    usual = files_in(out)
    left = (f".{MANIFEST}.{'0' * 16}", f".{LIVE}.{'f' * 16}")
    for name in left:
        (out / name).write_text("half")
    folder = out / exporting.SNAPSHOTS / f".7.{'a' * 16}"
    folder.mkdir()
    (folder / "snapshot.json").write_text("half")
    mine = out / ".policy_snapshot.json.mine"
    mine.write_text("mine")
    export(database, out)
    assert files_in(out) == {**usual, ".policy_snapshot.json.mine": b"mine"}
    assert not folder.exists()


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"id":1,"epoch":1}'])
def test_a_manifest_of_something_else_is_left_alone(
    run: Runs, database: Path, tmp_path: Path, content: bytes
) -> None:
    """Such as that of the machine over plain files, which has the same names."""
    out = tmp_path / "out"
    out.mkdir()
    (out / MANIFEST).write_bytes(content)
    ran = run(database, out)
    assert (ran.code, "is of something else" in ran.err) == (2, True)
    assert [(one.name, one.read_bytes()) for one in out.iterdir()] == [(MANIFEST, content)]


def test_what_is_no_database_makes_no_folder(run: Runs, tmp_path: Path) -> None:
    ran = run(tmp_path / "missing.db", tmp_path / "out")
    assert (ran.code, "there is no file" in ran.err) == (2, True)
    assert [*tmp_path.iterdir()] == []


def test_a_folder_of_the_same_id_with_other_content_is_an_error(
    run: Runs, database: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    export(database, out)
    other = tmp_path / "other.db"
    for start in (20, 30):
        take(other, recording(range(start, start + 3)))
        refresh(other)
    before = files_in(out)
    ran = run(other, out)
    assert (ran.code, ran.out) == (2, "")
    assert "is of another snapshot with the same id" in ran.err
    assert "export into another folder" in ran.err
    assert files_in(out) == before
    file = out / "policy_snapshots" / "2" / CONTENT
    file.write_bytes(file.read_bytes() + b" ")
    assert run(database, out).code == 2
    file.unlink()
    ran = run(database, out)
    assert (ran.code, f"{file} cannot be read" in ran.err) == (2, True)


@pytest.mark.parametrize("place", ["policy_snapshots", "policy_snapshots/2", "out"])
@pytest.mark.parametrize("kind", ["link", "loose link", "file"])
def test_no_link_is_followed(
    run: Runs, database: Path, tmp_path: Path, place: str, kind: str
) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    at = out if place == "out" else out / place
    at.parent.mkdir(parents=True, exist_ok=True)
    if kind == "link":
        elsewhere.mkdir()
    if kind == "file":
        at.write_text("in the way")
    else:
        at.symlink_to(elsewhere)
    ran = run(database, out)
    if place == "out" and kind == "link":
        assert ran.code == 0  # it is where the caller wants it
        return
    assert (ran.code, ran.out) == (2, "")
    assert f"{at} is {'not a folder' if kind == 'file' else 'a symbolic link'}" in ran.err
    assert not elsewhere.exists() or not [*elsewhere.iterdir()]


def test_a_link_in_the_place_of_a_file_is_not_followed(database: Path, tmp_path: Path) -> None:
    out, precious = tmp_path / "out", tmp_path / "precious"
    precious.write_text("precious")
    out.mkdir()
    for name in (LIVE, MANIFEST):
        (out / name).symlink_to(precious)
    export(database, out)
    assert precious.read_text() == "precious"
    assert not any((out / name).is_symlink() for name in (LIVE, MANIFEST))
    content = out / "policy_snapshots" / "2" / CONTENT
    kept = tmp_path / "kept"
    content.rename(kept)
    content.symlink_to(kept)
    with pytest.raises(UnusableInput, match="cannot be read"):
        export(database, out)


# Whole or not at all


class Failing(SystemFiles):
    """Files of which the call of a number fails; all calls are counted."""

    def __init__(self, at: int | None = None) -> None:
        self.at = at
        self.calls: list[str] = []

    def count(self, what: str) -> None:
        if len(self.calls) == self.at:
            raise OSError(28, "No space left on device")
        self.calls.append(what)

    @override
    def make_folder(self, folder: Path) -> None:
        self.count("make")
        super().make_folder(folder)

    @override
    def create(self, path: Path) -> BinaryIO:
        self.count("create")
        return super().create(path)

    @override
    def write(self, file: BinaryIO, content: bytes) -> None:
        self.count("write")
        super().write(file, content)

    @override
    def sync(self, file: BinaryIO) -> None:
        self.count("sync")
        super().sync(file)

    @override
    def replace(self, source: Path, target: Path) -> None:
        self.count(f"replace {target.name}")
        super().replace(source, target)

    @override
    def sync_folder(self, folder: Path) -> None:
        self.count(f"sync {folder.name}" if folder.name[0] != "." else "sync folder")
        super().sync_folder(folder)


EVERY_CALL = [
    "make",
    "create",
    "write",
    "sync",
    "sync folder",
    "replace 3",
    "sync policy_snapshots",
    "create",
    "write",
    "sync",
    f"replace {LIVE}",
    "sync out",
    "create",
    "write",
    "sync",
    f"replace {MANIFEST}",
    "sync out",
]


def test_content_live_delta_and_manifest_are_durable_in_this_order(
    database: Path, tmp_path: Path
) -> None:
    out, files = tmp_path / "out", Failing()
    export(database, out)
    refresh(database)
    export(database, out, files=files)
    assert files.calls == EVERY_CALL


@pytest.mark.parametrize("at", range(len(EVERY_CALL)))
def test_an_export_that_fails_leaves_a_manifest_that_is_true(
    database: Path, tmp_path: Path, at: int
) -> None:
    """Whatever fails, the manifest names a folder that is there, and the next export goes on."""
    out = tmp_path / "out"
    export(database, out)
    refresh(database)
    with pytest.raises(OSError, match="No space left"):
        export(database, out, files=Failing(at))
    snapshot, _ = read_whole(out)
    assert snapshot.id == (3 if at > EVERY_CALL.index(f"replace {MANIFEST}") else 2)
    assert [*out.rglob(".*")] == []
    export(database, out)
    assert read_whole(out) == (observed(database).snapshots[2], observed(database).live)


def test_a_full_disk_ends_with_4(
    run: Runs, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting, "write_atomically", full)
    ran = run(database, tmp_path / "out")
    assert (ran.code, "No space left on device" in ran.err) == (4, True)


# One after the other


def test_two_exports_into_one_folder_come_one_after_the_other(
    run: Runs, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "WAIT_TRIES", 2)
    monkeypatch.setattr(exporting, "WAIT_SECONDS", 0.0)
    out = tmp_path / "out"
    with alone_in(out):
        ran = run(database, out)
        assert (ran.code, f"another export into {out} did not end" in ran.err) == (4, True)
        with pytest.raises(CouldNotFinish), alone_in(out):
            raise AssertionError
    assert run(database, out).code == 0


def test_whoever_waits_reads_the_database_when_it_is_its_turn(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A manifest does not go back."""
    out, waited = tmp_path / "out", list[float]()
    other = alone_in(out)
    other.__enter__()

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        refresh(database)
        other.__exit__(None, None, None)

    monkeypatch.setattr("plumbline.export.time.sleep", sleep)
    assert export(database, out).snapshot_id == 3
    assert len(waited) == 1


def test_the_manifest_and_the_live_delta_are_of_one_state(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over an open database, a refresh comes between the two and is not seen."""

    def later(db: apsw.Connection) -> Live | Torn | None:
        refresh(database, Terms(mode=Mode.FULL))
        return live_of(db)

    monkeypatch.setattr(exporting, "live_of", later)
    db = open_database(str(database))
    exporting.export_from(db, tmp_path / "out", 2)
    db.close()
    snapshot, live = read_whole(tmp_path / "out")
    assert (snapshot.id, live.anchor) == (2, 2)
    assert observed(database).current == 3
    found = export(database, tmp_path / "out")
    snapshot, live = read_whole(tmp_path / "out")
    assert (found.snapshot_id, snapshot.id, live.anchor) == (4, 4, 4)
    assert observed(database).current == 5


def test_the_folder_of_the_database_may_be_written_into(database: Path) -> None:
    export(database, database.parent)
    assert read_whole(database.parent)[0].id == 2
    assert os.path.lexists(database)
