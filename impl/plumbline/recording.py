"""A VFS that records what SQLite asks of the disk, and lets one of its calls fail.

Theory of operation. ``RecordingVfs`` stands between SQLite and the usual VFS and passes everything
on. Every call that changes what a disk holds is appended to ``log`` as an operation of
``plumbline_spec.disk``; temporary files, which have no name, are not. The shared-memory index of a
write-ahead log goes past it unseen, and is nothing that survives. Calls are counted while a fault
is armed, and the one that it names fails with the code that the disk would give.
"""

import itertools
from pathlib import Path
from typing import Literal, TypeAlias

import apsw
from typing_extensions import Buffer, override

from plumbline_spec.disk import (
    SECTOR_BYTES,
    Create,
    Operation,
    Sync,
    SyncFailed,
    SyncFolder,
    Truncate,
    Unlink,
    Write,
)
from plumbline_spec.host import Fault

Call: TypeAlias = Literal["open", "write", "truncate", "sync", "delete", "read", "lock"]

CODES: dict[Call, int] = {
    "open": apsw.SQLITE_CANTOPEN,
    "write": apsw.SQLITE_IOERR_WRITE,
    "truncate": apsw.SQLITE_IOERR_TRUNCATE,
    "sync": apsw.SQLITE_IOERR_FSYNC,
    "delete": apsw.SQLITE_IOERR_DELETE,
    "read": apsw.SQLITE_IOERR_READ,
    "lock": apsw.SQLITE_BUSY,
}
"""What a call that fails answers. A short read is none of them: it means the end of the file."""

STRIKES: dict[str, frozenset[Call]] = {
    "input/output": frozenset({"open", "write", "truncate", "sync", "delete"}),
    "disk full": frozenset({"write"}),
    "read": frozenset({"read"}),
    "sync": frozenset({"sync"}),
    "busy": frozenset({"lock"}),
}
"""The kinds of fault of a disk, and the calls that each can strike."""

SYNCS_ITS_FOLDER = (
    apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL | apsw.SQLITE_OPEN_WAL
)
"""A file of these kinds that is opened to be made, even if it is there, has its folder synced with
its own first sync."""

_numbers = itertools.count()


class RecordingVfs(apsw.VFS):
    """Passes calls on, records those that change the disk, and fails the one that it is told to."""

    def __init__(self) -> None:
        self.name = f"plumbline-recording-{next(_numbers)}"
        self.log: list[Operation] = []
        self.struck = False
        self._fault: Fault | None = None
        self.calls = 0
        super().__init__(self.name, "")

    def arm(self, fault: Fault | None) -> None:
        """Count calls from here, and fail those that the fault names; None for none."""
        self._fault, self.calls, self.struck = fault, 0, False

    def strikes(self, call: Call) -> bool:
        """Count a call; tell whether it is to fail."""
        fault = self._fault
        if fault is None or call not in STRIKES.get(fault.kind, ()):
            return False
        number = self.calls
        self.calls += 1
        if number != fault.at and not (fault.lasting and 0 <= fault.at < number):
            return False
        self.struck = True
        return True

    def error(self, call: Call) -> Exception:
        """Return what a call that fails raises."""
        full = self._fault is not None and self._fault.kind == "disk full"
        return apsw.exception_for(apsw.SQLITE_FULL if full else CODES[call])

    @override
    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> "RecordingFile":
        if self.strikes("open"):
            raise self.error("open")
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        fresh = path is not None and not Path(path).exists()
        recorded = None if path is None else Path(path).name
        file = RecordingFile(self, name, flags, recorded)
        if fresh and recorded is not None:
            self.log.append(Create(recorded))
        return file

    @override
    def xDelete(self, filename: str, syncdir: bool) -> None:
        if self.strikes("delete"):
            raise self.error("delete")
        super().xDelete(filename, syncdir)
        self.log.append(Unlink(Path(filename).name))
        if syncdir:
            if self.strikes("sync"):
                raise apsw.exception_for(apsw.SQLITE_IOERR_DIR_FSYNC)
            self.log.append(SyncFolder())


class RecordingFile(apsw.VFSFile):
    """One file; without a name it is temporary, and nothing of it is recorded."""

    def __init__(
        self,
        vfs: RecordingVfs,
        name: str | apsw.URIFilename | None,
        flags: list[int],
        recorded: str | None,
    ) -> None:
        self._vfs, self._recorded = vfs, recorded
        made = flags[0] & SYNCS_ITS_FOLDER and flags[0] & apsw.SQLITE_OPEN_CREATE
        self._syncs_folder = bool(made)
        super().__init__("", name, flags)

    @override
    def xLock(self, level: int) -> None:
        if self._vfs.strikes("lock"):
            raise self._vfs.error("lock")
        super().xLock(level)

    @override
    def xRead(self, amount: int, offset: int) -> bytes:
        if self._vfs.strikes("read"):
            raise self._vfs.error("read")
        return super().xRead(amount, offset)

    @override
    def xWrite(self, data: Buffer, offset: int) -> None:
        content = bytes(data)
        if self._vfs.strikes("write"):
            # What still had room is written: whole sectors of the first half.
            torn = content[: len(content) // 2 // SECTOR_BYTES * SECTOR_BYTES]
            if torn:
                self._write(torn, offset)
            raise self._vfs.error("write")
        self._write(content, offset)

    def _write(self, content: bytes, offset: int) -> None:
        super().xWrite(content, offset)
        if self._recorded is not None:
            self._vfs.log.append(Write(self._recorded, offset, content))

    @override
    def xTruncate(self, newsize: int) -> None:
        if self._vfs.strikes("truncate"):
            raise self._vfs.error("truncate")
        super().xTruncate(newsize)
        if self._recorded is not None:
            self._vfs.log.append(Truncate(self._recorded, newsize))

    @override
    def xSync(self, flags: int) -> None:
        del flags  # the files are copies that nobody needs after a real power loss
        if self._vfs.strikes("sync"):
            if self._recorded is not None:
                self._vfs.log.append(SyncFailed(self._recorded))
            raise self._vfs.error("sync")
        if self._recorded is not None:
            self._vfs.log.append(Sync(self._recorded))
            if self._syncs_folder:
                self._vfs.log.append(SyncFolder())
                self._syncs_folder = False
