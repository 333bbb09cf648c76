"""Write a file whole or not at all, and durably: how traces, vectors and schemas are published."""

import os
import secrets
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path``; a crash leaves the old file or the new one, never part of one.

    A temporary file beside it is written, synced and renamed over it, and the folder is synced.
    A symbolic link at ``path`` is replaced and not followed. Raises ``OSError``; the old file is
    then untouched, unless it was the sync of the folder that failed: then the new one stands there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":  # pragma: no cover - a folder cannot be opened elsewhere
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
