"""The text that a summariser is given, and the files that a text names.

Chapter ``spec/compaction.md``, "Escalation".

Theory of operation. The source of a pass is one block for each item that says something: a line
that tells who said it and when, as far as that is known, and the text itself. It is made of what is
stored and of nothing else, so it is the same on every host.
"""

import re
from collections.abc import Iterable
from typing import Protocol

from msgspec import Struct

_FILE = re.compile(r"file_[0-9a-f]{16}", re.ASCII | re.IGNORECASE)


class Said(Protocol):
    """One item of a source: what it says, and what is known of who said it when."""

    @property
    def text(self) -> str:
        """What it says; what is empty says nothing."""
        ...

    @property
    def role(self) -> str | None:
        """Who said a message; None for a summary, or when it is not known."""
        ...

    @property
    def since(self) -> str | None:
        """When it was said, or when the first message was that a summary covers."""
        ...

    @property
    def until(self) -> str | None:
        """The same of the last one."""
        ...


class Block(Struct, frozen=True, kw_only=True):
    """``Said`` as a value."""

    text: str
    role: str | None = None
    since: str | None = None
    until: str | None = None


def source_of(blocks: Iterable[Said]) -> str:
    """Return the source of a pass over these items, oldest first; those that are empty say nothing.

    The source of items that are all empty is empty.
    """
    return "\n\n".join(_block(one) for one in blocks if one.text)


def _block(one: Said) -> str:
    times = one.since or one.until or ""
    if one.since != one.until and one.since and one.until:
        times = f"{one.since} - {one.until}"
    header = f"{times} | {one.role}" if times and one.role else times or one.role
    return f"[{header}]\n{one.text}" if header else one.text


def files_in(text: str) -> tuple[str, ...]:
    """Return the ids of files that a text names, each once, in the order of their first mention.

    An id is ``file_`` and 16 hexadecimal digits (lossless-claw); case does not matter.
    """
    if "_" not in text:
        return ()
    return tuple(dict.fromkeys(found.lower() for found in _FILE.findall(text)))
