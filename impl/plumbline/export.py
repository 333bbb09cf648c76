"""Snapshots as files, for readers that have no SQLite.

Theory of operation. A snapshot is a folder with one file, ``policy_snapshots/<id>/snapshot.json``,
which is written beside its place, synced and renamed, and never changed after that. The live delta,
``policy_stats_live.json``, and last the manifest, ``policy_snapshot.json``, are put in the place of
those that were there. So a reader that begins with the manifest finds all that it names, whole and
of the digest that it says, whatever else happens meanwhile. The two are read of one state of the
database; a reader that finds a live delta with another anchor than the snapshot of the manifest has
come between two exports, or behind one that was killed: it reads again, and then goes by the
snapshot alone.

Exports into one folder come one after the other, and each reads the database when it is its turn,
so the manifest of a database does not go back while the database does not. What an export that was
killed has left beside its place is swept by the next one. Folders that no manifest names are left
alone, and so is a folder whose manifest is of something else.
"""

import hashlib
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw
import msgspec
from msgspec import Struct

from plumbline.database import snapshot as one_state
from plumbline.replay_log import manifest_of
from plumbline.snapshot_reading import header, live_of, read_log, whole
from plumbline_models.anchoring import Live, Snapshot, SnapshotId
from plumbline_spec.atomic import SYSTEM, Files, write_atomically
from plumbline_spec.codec import canonical
from plumbline_spec.errors import CouldNotFinish, UnusableInput

SNAPSHOTS: Final = "policy_snapshots"
CONTENT: Final = "snapshot.json"
LIVE: Final = "policy_stats_live.json"
MANIFEST: Final = "policy_snapshot.json"

WAIT_TRIES: Final = 300
WAIT_SECONDS: Final = 0.1
"""Between two tries to be the only one that exports into a folder."""
_NO_LINK: Final[int] = getattr(os, "O_NOFOLLOW", 0)


class ManifestFile(Struct, frozen=True, kw_only=True):
    """What ``policy_snapshot.json`` says: which snapshot is current, and where it is."""

    id: SnapshotId
    path: str
    """Of its content, from the folder of the manifest."""
    digest: str
    """SHA-256 of the bytes of the content, in hexadecimal."""
    epoch: int
    watermark: int
    chain: str


class ExportReport(Struct, frozen=True, kw_only=True):
    """What was written."""

    directory: str
    snapshot_id: int
    folder: str
    written: bool
    """False when the folder was there, with the same content."""
    digest: str
    watermark: int
    chain: str
    current: bool
    """Whether the snapshot is the current one; only then manifest and live delta are written."""
    live: bool
    """Whether there is a live delta; a file of one is removed when there is none that is whole."""


class Publication(Struct, frozen=True, kw_only=True):
    """What is to be written, read of one state of a database."""

    content: bytes
    manifest: ManifestFile
    current: bool
    live: Live | None


def export(
    database: Path, directory: Path, *, snapshot: int | None = None, files: Files = SYSTEM
) -> ExportReport:
    """Write a snapshot, the current one unless one is named, and what is current.

    Of another than the current one the folder alone is written. No byte of the database's folder
    changes. Raises ``UnusableInput`` for what is no Plumbline database, for a snapshot that is not
    stored and for a folder of its name with other content; ``CouldNotFinish`` and ``OSError``.
    """

    def found(db: apsw.Connection) -> Publication:
        return publication(db, snapshot)

    if not directory.is_dir():
        # No folder is made for what cannot be exported.
        read_log(database, lambda db: _asked_for(db, snapshot))
    with alone_in(directory, files):
        return publish(directory, read_log(database, found), files)


def export_from(
    db: apsw.Connection, directory: Path, snapshot: int, files: Files = SYSTEM
) -> ExportReport:
    """Do the same over an open database."""
    with alone_in(directory, files):
        with one_state(db):
            found = publication(db, snapshot)
        return publish(directory, found, files)


def publication(db: apsw.Connection, snapshot: int | None) -> Publication:
    """Read what is to be written. Raises ``UnusableInput`` for a snapshot that is not stored."""
    current = manifest_of(db).current
    found = whole(db, _asked_for(db, snapshot).id)
    assert found is not None, "it is read of one state"
    content = canonical(found) + b"\n"
    live = live_of(db)
    return Publication(
        content=content,
        manifest=ManifestFile(
            id=found.id,
            path=f"{SNAPSHOTS}/{found.id}/{CONTENT}",
            digest=hashlib.sha256(content).hexdigest(),
            epoch=found.epoch,
            watermark=found.watermark,
            chain=found.chain,
        ),
        current=found.id == current,
        live=live if isinstance(live, Live) else None,
    )


def _asked_for(db: apsw.Connection, snapshot: int | None) -> Snapshot:
    """Return the header of what is to be written. Raises ``UnusableInput`` when it is not there."""
    found = header(db, manifest_of(db).current if snapshot is None else snapshot)
    if found is None and snapshot is None:
        raise UnusableInput(
            "the manifest names no snapshot; plumbline snapshot refresh publishes one"
        )
    if found is None:
        raise UnusableInput(
            f"there is no snapshot {snapshot}; plumbline snapshot status says which is current"
        )
    return found


def publish(directory: Path, found: Publication, files: Files = SYSTEM) -> ExportReport:
    """Write the content, then the live delta, then the manifest."""
    folder = directory / SNAPSHOTS / str(found.manifest.id)
    _refuse_another_manifest(directory)
    _durable_folder(folder.parent, files)
    _sweep(directory, files)
    written = _publish_folder(folder, found.content, files)
    if found.current:
        if found.live is None:
            files.remove(directory / LIVE)
        else:
            write_atomically(directory / LIVE, canonical(found.live) + b"\n", files)
        write_atomically(directory / MANIFEST, canonical(found.manifest) + b"\n", files)
    return ExportReport(
        directory=str(directory),
        snapshot_id=found.manifest.id,
        folder=str(folder),
        written=written,
        digest=found.manifest.digest,
        watermark=found.manifest.watermark,
        chain=found.manifest.chain,
        current=found.current,
        live=found.live is not None,
    )


def _refuse_another_manifest(directory: Path) -> None:
    """Raise ``UnusableInput`` where a manifest of this name is none of ours, and no link."""
    try:
        handle = os.open(directory / MANIFEST, os.O_RDONLY | _NO_LINK)
    except OSError:
        return
    with os.fdopen(handle, "rb") as file:
        try:
            msgspec.json.decode(file.read(), type=ManifestFile)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise UnusableInput(
                f"{directory / MANIFEST} is of something else ({error}); nothing was written: "
                "export into a folder of its own"
            ) from error


def _sweep(directory: Path, files: Files) -> None:
    """Remove what exports have left that were killed; the caller is alone in the folder."""
    for one in directory.iterdir():
        if _LEFT_FILE.fullmatch(one.name):
            files.remove(one)
    for one in (directory / SNAPSHOTS).iterdir():
        if _LEFT_FOLDER.fullmatch(one.name):
            shutil.rmtree(one, ignore_errors=True)


_LEFT_FILE: Final = re.compile(
    rf"\.(?:{re.escape(LIVE)}|{re.escape(MANIFEST)})\.[0-9a-f]{{16}}", re.ASCII
)
_LEFT_FOLDER: Final = re.compile(r"\.[0-9]+\.[0-9a-f]{16}", re.ASCII)


def _publish_folder(folder: Path, content: bytes, files: Files) -> bool:
    """Put a folder with the content in its place; return whether there was none."""
    if _is_there(folder):
        _refuse_other_content(folder, content)
        # Whoever renamed it may have ended before the name was durable.
        files.sync_folder(folder.parent)
        return False
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(8)}")
    try:
        files.make_folder(temporary)
        with files.create(temporary / CONTENT) as file:
            files.write(file, content)
            files.sync(file)
        files.sync_folder(temporary)
        files.replace(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    files.sync_folder(folder.parent)
    return True


def _is_there(path: Path) -> bool:
    """Tell whether a name is taken, be it by a link that leads nowhere."""
    return os.path.lexists(path)


def _refuse_other_content(folder: Path, content: bytes) -> None:
    """Raise ``UnusableInput`` unless a folder holds this content; no link is followed."""
    _refuse_what_is_no_folder(folder)
    try:
        handle = os.open(folder / CONTENT, os.O_RDONLY | _NO_LINK)
        with os.fdopen(handle, "rb") as file:
            same = file.read(len(content) + 1) == content
    except OSError as error:
        raise UnusableInput(
            f"{folder / CONTENT} cannot be read ({error.strerror}), and a snapshot is never"
            " written twice: move the folder away, or export into another one"
        ) from error
    if not same:
        raise UnusableInput(
            f"{folder / CONTENT} is of another snapshot with the same id: another database was"
            " exported there, or the file was changed; nothing was written: export into another"
            " folder"
        )


def _refuse_what_is_no_folder(folder: Path) -> None:
    if not stat.S_ISDIR(folder.lstat().st_mode):
        what = "a symbolic link" if folder.is_symlink() else "not a folder"
        raise UnusableInput(f"{folder} is {what}; move it away, or export into another folder")


def _durable_folder(folder: Path, files: Files) -> None:
    """Make a folder and those that it is in, outermost first, each durable."""
    if _is_there(folder):
        _refuse_what_is_no_folder(folder)
        return
    if not folder.parent.is_dir():
        _durable_folder(folder.parent, files)
    files.make_folder(folder)
    files.sync_folder(folder.parent)


@contextmanager
def alone_in(directory: Path, files: Files = SYSTEM) -> Generator[None]:
    """Make a folder if there is none, and let no other export into it while a block runs.

    Raises ``CouldNotFinish`` when another one does not end.
    """
    if not directory.is_dir():
        _durable_folder(directory, files)
    if os.name != "posix":  # pragma: no cover - a folder cannot be locked elsewhere
        yield
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        _lock(handle, directory)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, directory: Path) -> None:
    import fcntl  # noqa: PLC0415 - there is none where there is no such lock

    for _ in range(WAIT_TRIES):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(WAIT_SECONDS)
        else:
            return
    raise CouldNotFinish(
        f"another export into {directory} did not end in {WAIT_TRIES * WAIT_SECONDS:g} s; "
        "nothing was written: try again"
    )
