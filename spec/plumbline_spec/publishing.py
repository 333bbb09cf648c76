"""Publishing: a file outside the database, written while the power may go (FLT-7).

Theory of operation. ``write_atomically`` writes a file in a private folder through a recorder. Its
log is replayed on ``Disk`` from a folder with an older file and from an empty one, and after every
operation each durable state must hold the old file or the new one, and the new one once the writer
returned. The same log with one step left out is what careless writers do; each must be caught.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import BinaryIO

from msgspec import Struct

from plumbline_spec.atomic import SYSTEM, write_atomically
from plumbline_spec.clause_table import ClauseBroken
from plumbline_spec.disk import (
    Create,
    Disk,
    Image,
    MakeFolder,
    Operation,
    Reach,
    Rename,
    Sync,
    SyncFolder,
    Unlink,
    Write,
    brief,
)
from plumbline_spec.power import Tally

FOLDER, NAME = "kept", "kept/trace.jsonl"
OLD, NEW = b"old" * 700, b"new" * 900
PIECE_BYTES = 1024
"""A write is recorded in pieces of this size, as a system may carry it out."""


class RecordingFiles:
    """Writes files below a folder and records what was asked of the disk."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log: list[Operation] = []
        self._places: dict[int, tuple[str, int]] = {}
        """The name of an open file and where it ends, by its descriptor."""

    def _name(self, path: Path) -> str:
        name = path.relative_to(self.root).as_posix()
        return "" if name == "." else name

    def make_folder(self, folder: Path) -> None:
        """Make a folder."""
        SYSTEM.make_folder(folder)
        self.log.append(MakeFolder(self._name(folder)))

    def create(self, path: Path) -> BinaryIO:
        """Make a file."""
        file = SYSTEM.create(path)
        self._places[file.fileno()] = (self._name(path), 0)
        self.log.append(Create(self._name(path)))
        return file

    def write(self, file: BinaryIO, content: bytes) -> None:
        """Write to the end of a file."""
        SYSTEM.write(file, content)
        name, end = self._places[file.fileno()]
        for start in range(0, len(content), PIECE_BYTES):
            self.log.append(Write(name, end + start, content[start : start + PIECE_BYTES]))
        self._places[file.fileno()] = (name, end + len(content))

    def sync(self, file: BinaryIO) -> None:
        """Sync a file."""
        SYSTEM.sync(file)
        self.log.append(Sync(self._places[file.fileno()][0]))

    def replace(self, source: Path, target: Path) -> None:
        """Rename a file."""
        SYSTEM.replace(source, target)
        self.log.append(Rename(self._name(source), self._name(target)))

    def remove(self, path: Path) -> None:
        """Unlink a file."""
        SYSTEM.remove(path)
        self.log.append(Unlink(self._name(path)))

    def sync_folder(self, folder: Path) -> None:
        """Sync a folder."""
        SYSTEM.sync_folder(folder)
        self.log.append(SyncFolder(self._name(folder)))


Writer = Callable[[Path, bytes, RecordingFiles], None]


class Careless(Struct, frozen=True, kw_only=True):
    """A writer that leaves something out."""

    name: str
    writes: Callable[[Sequence[Operation]], list[Operation]]
    """What is left of the log of one that does not."""


def _without(kind: type[Operation]) -> Callable[[Sequence[Operation]], list[Operation]]:
    return lambda log: [one for one in log if not isinstance(one, kind)]


def _in_place(log: Sequence[Operation]) -> list[Operation]:
    """Write into the file itself."""
    kept = [one for one in log if isinstance(one, Write)]
    return [*(Write(NAME, one.offset, one.content) for one in kept), Sync(NAME), SyncFolder(FOLDER)]


CARELESS = (
    Careless(name="folder not synced", writes=_without(SyncFolder)),
    Careless(name="file not synced", writes=_without(Sync)),
    Careless(name="written in place", writes=_in_place),
)
"""Ways to replace a file that lose it, the old one or the new one."""


def recorded(writer: Writer, start: Image) -> list[Operation]:
    """Return what a writer asks of the disk to put the new file where these files are."""
    with tempfile.TemporaryDirectory(prefix="plumbline-publishing-") as root:
        files = RecordingFiles(Path(root))
        for name, content in start.items():
            (files.root / name).parent.mkdir(exist_ok=True)
            (files.root / name).write_bytes(content)
        writer(files.root / NAME, NEW, files)
        return files.log


def publish(
    reach: Reach,
    random: Random,
    tally: Tally,
    writer: Writer = write_atomically,
    careless: Careless | None = None,
) -> None:
    """Judge a writer from an older file and from nothing, or one that leaves something out.

    Raises ``ClauseBroken`` when FLT-7 is broken.
    """
    for start in ({NAME: OLD}, dict[str, bytes]()):
        log = recorded(writer, start)
        if careless is not None and (start or careless.writes is not _in_place):
            log = careless.writes(log)
        _judge(Disk(start), log, start.get(NAME), reach, random, tally)


def _judge(
    disk: Disk,
    log: Sequence[Operation],
    old: bytes | None,
    reach: Reach,
    random: Random,
    tally: Tally,
) -> None:
    for number, operation in enumerate(log, 1):
        disk.apply(operation)
        tally.operations += 1
        where = f"after operation {number} of {len(log)} ({brief(operation)})"
        _judge_states(disk, (old, NEW), where, reach, random, tally)
    _judge_states(disk, (NEW,), "after the writer returned", reach, random, tally)


def _judge_states(
    disk: Disk,
    allowed: tuple[bytes | None, ...],
    where: str,
    reach: Reach,
    random: Random,
    tally: Tally,
) -> None:
    seen = set[bytes]()
    for state in disk.durable_states(reach, random):
        tally.states += 1
        tally.distinct += state.digest not in seen
        seen.add(state.digest)
        content = state.image().get(NAME)
        if content not in allowed:
            row = f"file {NAME}, power lost {where}"
            broken = ClauseBroken("FLT-7", row, _found(content))
            fates = disk.fates(state.arrival)
            broken.arrived = tuple((brief(operation), fate) for operation, fate in fates)
            raise broken


def _found(content: bytes | None) -> str:
    if content is None:
        return "there is no file"
    if content == OLD:
        return "the old file is there"
    return f"a file of {len(content)} bytes is there that is neither the old one nor the new one"
