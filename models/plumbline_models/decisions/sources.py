"""The text that a summariser is given, and the files that a text names.

Chapter ``spec/compaction.md``, "The source of a pass".

Theory of operation. The source of a pass is one block for each item that says something: a line
that tells who said it and when, as far as that is known, and the text itself. It is made of what is
stored and of nothing else, so it is the same on every host.
"""

import re
from collections.abc import Iterable

from msgspec import Struct

_FILE = re.compile(r"file_[0-9a-f]{16}", re.ASCII | re.IGNORECASE)


class Block(Struct, frozen=True, kw_only=True):
    """One item of a source."""

    text: str
    role: str | None = None
    """Who said a message; None for a summary, or when it is not known."""
    since: str | None = None
    """When it was said, or when the first message was that a summary covers."""
    until: str | None = None


def source_of(blocks: Iterable[Block]) -> str:
    """Return the source of a pass over these items, oldest first; those that are empty say nothing.

    The source of items that are all empty is empty.
    """
    return "\n\n".join(_block(one) for one in blocks if one.text)


def _block(one: Block) -> str:
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
