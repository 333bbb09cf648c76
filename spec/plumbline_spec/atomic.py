"""Write a file whole or not at all, and durably: how traces, vectors and schemas are published.

What is asked of the disk goes through ``Files``, so that ``plumbline_spec.faults`` can record it
and take the power away at every moment of it (FLT-7).
"""

import os
import secrets
from pathlib import Path
from typing import BinaryIO, Protocol


class Files(Protocol):
    """What is asked of a disk, one thing at a time."""

    def make_folder(self, folder: Path) -> None:
        """Make a folder that is not there, in one that is. Raises ``OSError``."""
        ...

    def create(self, path: Path) -> BinaryIO:
        """Make a file that is not there, for writing. Raises ``OSError``."""
        ...

    def write(self, file: BinaryIO, content: bytes) -> None:
        """Write a content to the end of a file. Raises ``OSError``."""
        ...

    def sync(self, file: BinaryIO) -> None:
        """Make durable what was written to a file. Raises ``OSError``."""
        ...

    def replace(self, source: Path, target: Path) -> None:
        """Put a file in the place of another, or where none was. Raises ``OSError``."""
        ...

    def remove(self, path: Path) -> None:
        """Remove a file, if it is there. Raises ``OSError``."""
        ...

    def sync_folder(self, folder: Path) -> None:
        """Make the entries of a folder durable. Raises ``OSError``."""
        ...


class SystemFiles:
    """The files of the system."""

    def make_folder(self, folder: Path) -> None:
        """Make a folder; one that another made meanwhile is as good."""
        folder.mkdir(exist_ok=True)

    def create(self, path: Path) -> BinaryIO:
        """Make a file; a link in its place is not followed."""
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        return os.fdopen(handle, "wb")

    def write(self, file: BinaryIO, content: bytes) -> None:
        """Write and leave nothing in a buffer."""
        file.write(content)
        file.flush()

    def sync(self, file: BinaryIO) -> None:
        """Sync a file."""
        os.fsync(file.fileno())

    def replace(self, source: Path, target: Path) -> None:
        """Rename a file."""
        source.replace(target)

    def remove(self, path: Path) -> None:
        """Unlink a file."""
        path.unlink(missing_ok=True)

    def sync_folder(self, folder: Path) -> None:
        """Sync a folder."""
        if os.name != "posix":  # pragma: no cover - a folder cannot be opened elsewhere
            return
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


SYSTEM = SystemFiles()


def write_atomically(path: Path, content: bytes, files: Files = SYSTEM) -> None:
    """Put ``content`` at ``path``; a crash leaves the old file or the new one, never part of one.

    A temporary file beside it is written, synced and renamed over it, and the folder is synced;
    so are the folders that are made for it. A symbolic link at ``path`` is replaced and not
    followed. Raises ``OSError``; the old file is then untouched, unless it was the sync of the
    folder that failed: then the new one stands there.
    """
    _make_folders(path.parent, files)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with files.create(temporary) as file:
            files.write(file, content)
            files.sync(file)
        files.replace(temporary, path)
    except BaseException:
        files.remove(temporary)
        raise
    files.sync_folder(path.parent)


def _make_folders(folder: Path, files: Files) -> None:
    """Make a folder and those that it is in, outermost first, each durable."""
    if folder.is_dir():
        return
    _make_folders(folder.parent, files)
    files.make_folder(folder)
    files.sync_folder(folder.parent)
