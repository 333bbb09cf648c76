"""Contexts that were read, kept for as long as somebody compacts.

Chapter ``spec/compaction.md``, "The context cache".

Theory of operation. A list is worth keeping between the passes of a compaction and dangerous at any
other time. So the cache counts who uses it and is empty when nobody does; it is asked for a list by
those alone who compact, and hands out what it has only together with the revision of the
conversation at which that was read. Whether a list still is what stands there is decided where it
is used: a commit is made at that revision or not from this list.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager

from msgspec import Struct

from plumbline.window import Standing
from plumbline_models.ordinals import ConversationId


class Kept(Struct, frozen=True):
    """A list, and the revision and the total of its conversation when it was read."""

    revision: int
    total: int
    rows: list[Standing]


class ContextCache:
    """The lists of an engine, by conversation."""

    def __init__(self) -> None:
        self._users = 0
        self._kept: dict[ConversationId, Kept] = {}

    @property
    def users(self) -> int:
        """How many compactions use it now."""
        return self._users

    @contextmanager
    def using(self) -> Generator[None]:
        """Keep lists for as long as this block, and those inside it and beside it, run."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._kept.clear()

    def get(self, conversation: ConversationId, read: Callable[[], Kept]) -> Kept:
        """Return the list of a conversation, an empty one too, and read it when it is not here.

        Nothing is kept while nobody compacts.
        """
        if not self._users:
            return read()
        if conversation not in self._kept:
            self._kept[conversation] = read()
        return self._kept[conversation]

    def committed(self, conversation: ConversationId, kept: Kept) -> None:
        """Keep the list that a commit left behind; call it after the commit and never before."""
        if self._users:
            self._kept[conversation] = kept

    def stale(self, conversation: ConversationId) -> None:
        """Forget the list of a conversation, which somebody else has changed."""
        self._kept.pop(conversation, None)
