"""Anchoring over plain files, step by step; must match ``plumbline_models.anchoring_steps``.

Chapter ``spec/anchoring_steps.md``. Three files hold what there is, under the names that hosts use:
``replay.jsonl`` the log, a line an outcome; ``policy_stats_live.json`` the live delta;
``policy_snapshot.json`` the manifest. A fourth says the epoch of the log. Each function here is one
step of a recorder or a refresher; whoever takes them one after the other may be killed between any
two, beside others who do the same. A lock is held within a step that looks first and then writes,
or that reads rows and their epoch, never from one step to the next; a process that is killed lets
it go.
"""

import fcntl
import os
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec.structs import replace

from plumbline_models.anchoring_steps import (
    Epoch,
    Live,
    Manifest,
    Position,
    Row,
    SnapshotId,
    Torn,
    Way,
)
from plumbline_models.decisions.statistics import fold, merge, of_one
from plumbline_spec.atomic import SYSTEM, write_atomically
from plumbline_spec.codec import canonical

LOG = "replay.jsonl"
EPOCH = "replay_epoch.json"
LIVE = "policy_stats_live.json"
MANIFEST = "policy_snapshot.json"
LOCK = "policy_snapshot.lock"

UNDER_THE_LOCK = frozenset({LOG, EPOCH, MANIFEST})
"""What is written by whoever has looked first, and under the lock."""

FIRST_EPOCH = 1


class Store(Protocol):
    """Named files, each read and written whole but for the log, which grows by lines."""

    def read(self, name: str) -> bytes | None:
        """Return what a file holds; None when it is not there."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Put a content in the place of a file, whole or not at all, and durably."""
        ...

    def lines(self, name: str) -> list[bytes]:
        """Return the lines of a file; a last one that was written half is none."""
        ...

    def append(self, name: str, line: bytes) -> None:
        """Add a line to a file, durably; what was written half before it is cut off."""
        ...

    def locked(self) -> AbstractContextManager[None]:
        """Keep others from appending and swapping meanwhile."""
        ...


class _Lockable:
    """Whether a store is locked; what needs the lock is used so alone.

    That is what is written in ``UNDER_THE_LOCK``, and the epoch, which is read with the rows that
    it is about.
    """

    def __init__(self) -> None:
        self._held = False

    @contextmanager
    def holding(self) -> Generator[None]:
        """Be locked."""
        self._held = True
        try:
            yield
        finally:
            self._held = False

    def before_reading(self, name: str) -> None:
        """Raise ``RuntimeError`` for what is read under the lock alone."""
        self._refuse(name, needed=name == EPOCH)

    def before_writing(self, name: str) -> None:
        """Raise ``RuntimeError`` for what is written under the lock alone."""
        self._refuse(name, needed=name in UNDER_THE_LOCK)

    def _refuse(self, name: str, *, needed: bool) -> None:
        if needed and not self._held:
            raise RuntimeError(f"{name} is used without the lock")


class MemoryStore(_Lockable):
    """Files in memory, which can be copied as they are."""

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        super().__init__()
        self.files = dict(files or {})

    def read(self, name: str) -> bytes | None:
        """Return what a file holds."""
        self.before_reading(name)
        return self.files.get(name)

    def write(self, name: str, content: bytes) -> None:
        """Put a content in the place of a file."""
        self.before_writing(name)
        self.files[name] = content

    def lines(self, name: str) -> list[bytes]:
        """Return the lines of a file."""
        return self.files.get(name, b"").splitlines()

    def append(self, name: str, line: bytes) -> None:
        """Add a line to a file."""
        self.before_writing(name)
        self.files[name] = self.files.get(name, b"") + line + b"\n"

    def locked(self) -> AbstractContextManager[None]:
        """Keep nobody: there is one thread."""
        return self.holding()


class FolderStore(_Lockable):
    """Files in a folder; one of them is for one thread."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def read(self, name: str) -> bytes | None:
        """Return what a file holds. Raises ``OSError``."""
        self.before_reading(name)
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Put a content in the place of a file. Raises ``OSError``."""
        self.before_writing(name)
        write_atomically(self.folder / name, content)

    def lines(self, name: str) -> list[bytes]:
        """Return the whole lines of a file. Raises ``OSError``."""
        return self._whole_lines(self.read(name) or b"").splitlines()

    def append(self, name: str, line: bytes) -> None:
        """Add a line to a file, behind the last whole one. Raises ``OSError``.

        Nobody else may append meanwhile: what is behind the last whole line is cut off.
        """
        self.before_writing(name)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
        with os.fdopen(os.open(self.folder / name, flags, 0o644), "r+b") as file:
            whole = len(self._whole_lines(file.read()))
            file.truncate(whole)
            file.seek(whole)
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())
        if not whole:
            # It is new, or whoever made it may have ended before its name was durable.
            SYSTEM.sync_folder(self.folder)

    @contextmanager
    def locked(self) -> Generator[None]:
        """Hold a lock that the system lets go with the process. Raises ``OSError``."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
        with os.fdopen(os.open(self.folder / LOCK, flags, 0o644), "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            with self.holding():
                yield

    @staticmethod
    def _whole_lines(content: bytes) -> bytes:
        """Return a content without a last line that was written half."""
        return content[: content.rfind(b"\n") + 1]


# What is there


def read_log(store: Store) -> tuple[Row, ...]:
    """Return the outcomes of the log, in order. Raises ``msgspec.MsgspecError`` for a bad line."""
    return tuple(_rows.decode(line) for line in store.lines(LOG))


def read_epoch(store: Store) -> Epoch:
    """Return the epoch of the log."""
    content = store.read(EPOCH)
    return Epoch(FIRST_EPOCH if content is None else _numbers.decode(content))


def read_live(store: Store) -> Live | Torn | None:
    """Return the live delta, None when there is none.

    It is torn when it cannot be read, or counts other outcomes than it covers.
    """
    content = store.read(LIVE)
    if content is None:
        return None
    try:
        found = _lives.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Torn()
    return found if found.statistics.count == found.hi - found.lo else Torn()


def read_manifest(store: Store) -> Manifest | None:
    """Return what is published. Raises ``msgspec.MsgspecError`` for a file that is none."""
    content = store.read(MANIFEST)
    return None if content is None else _manifests.decode(content)


_rows: msgspec.json.Decoder[Row] = msgspec.json.Decoder(Row)
_lives: msgspec.json.Decoder[Live] = msgspec.json.Decoder(Live)
_manifests: msgspec.json.Decoder[Manifest] = msgspec.json.Decoder(Manifest)
_numbers: msgspec.json.Decoder[int] = msgspec.json.Decoder(int)


# A recorder's steps


def append(store: Store, row: Row) -> Position:
    """Log an outcome, or find it; return its position.

    Whoever was killed before it knew may ask again. Raises ``ValueError`` when something else is
    logged under the id, and what ``read_log`` raises.
    """
    with store.locked():
        rows = read_log(store)
        known = logged_at(rows, row)
        if known is not None:
            return known
        store.append(LOG, canonical(row))
    return Position(len(rows) + 1)


def logged_at(rows: tuple[Row, ...], row: Row) -> Position | None:
    """Return where an outcome is logged; None when it is not. Raises ``ValueError``."""
    for position, known in enumerate(rows, start=1):
        if known.outcome == row.outcome:
            if known != row:
                raise ValueError(f"another outcome is logged under the id {row.outcome!r}")
            return Position(position)
    return None


def extend(store: Store, read: Live | Torn | None, row: Row, position: Position) -> bool:
    """Count an outcome in the live delta that was read, if it ends right before it; say whether."""
    if not isinstance(read, Live) or read.hi + 1 != position:
        return False
    counted = merge(read.statistics, of_one(row.reward))
    store.write(LIVE, canonical(replace(read, hi=position, statistics=counted)))
    return True


# A refresher's steps


def compute(store: Store, seen: Manifest | None, live: Live | Torn | None) -> Manifest:
    """Return what to publish, but for its id: the delta merged if it covers all, or a recount."""
    with store.locked():
        rows, epoch = read_log(store), read_epoch(store)
    if seen is not None and isinstance(live, Live):
        anchored = live.anchor == seen.id and live.lo == seen.watermark
        current = {live.epoch, seen.epoch} == {epoch} and live.hi == len(rows)
        if anchored and current:
            return replace(
                seen,
                id=SnapshotId(0),
                watermark=live.hi,
                statistics=merge(seen.statistics, live.statistics),
                way=Way.DELTA_MERGE,
            )
    return Manifest(
        id=SnapshotId(0),
        epoch=epoch,
        watermark=Position(len(rows)),
        statistics=fold(row.reward for row in rows),
        way=Way.FULL_REBUILD,
    )


def publish(store: Store, seen: Manifest | None, made: Manifest) -> Manifest | None:
    """Put a snapshot in the place of the one that was seen; None when another one is there."""
    with store.locked():
        if read_manifest(store) != seen:
            return None
        published = replace(made, id=SnapshotId(1 if seen is None else seen.id + 1))
        store.write(MANIFEST, canonical(published))
        return published


def reset(store: Store, published: Manifest) -> None:
    """Anchor an empty live delta to what was published."""
    end = published.watermark
    store.write(LIVE, canonical(Live(anchor=published.id, epoch=published.epoch, lo=end, hi=end)))


# A script's step


def rewrite(store: Store, rows: tuple[Row, ...]) -> Epoch:
    """Put other outcomes in the place of the log, and begin an epoch; return it.

    The rows are those of a log that nobody has added to since it was read. The epoch is there
    first: who is killed in between costs a rebuild. It is a new one though the file of epochs was
    lost.
    """
    with store.locked():
        epoch = Epoch(max(read_epoch(store), *_epochs_in_use(store)) + 1)
        store.write(EPOCH, canonical(epoch))
        store.write(LOG, b"".join(canonical(row) + b"\n" for row in rows))
    return epoch


def _epochs_in_use(store: Store) -> tuple[int, int]:
    manifest, live = read_manifest(store), read_live(store)
    return (
        FIRST_EPOCH if manifest is None else manifest.epoch,
        live.epoch if isinstance(live, Live) else FIRST_EPOCH,
    )
