"""Contexts that were read, kept for as long as somebody compacts.

Chapter ``spec/context_cache.md``; must match ``plumbline_models.context_cache``.

Theory of operation. A list is worth keeping between the passes of a compaction and dangerous at any
other time. So the cache counts who uses it and is empty when nobody does; it is asked for a list by
those alone who compact, and hands out what it has only together with the revision of the
conversation at which that was read. Whether a list still is what stands there is decided where it
is used: a commit is made at that revision or not from this list.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Self

import apsw
from msgspec import Struct

from plumbline.database import transaction
from plumbline.window import Standing, read
from plumbline_models.ordinals import ConversationId


class Kept(Struct, frozen=True):
    """A list, and the revision and the total of its conversation when it was read."""

    revision: int
    total: int
    rows: list[Standing]


class ContextCache:
    """The lists of an engine, by conversation."""

    def __init__(
        self,
        users: int = 0,
        kept: Mapping[ConversationId, Kept] = {},
    ) -> None:
        self._users = users
        self._kept = dict(kept)

    @property
    def users(self) -> int:
        """How many compactions use it now."""
        return self._users

    @property
    def kept(self) -> Mapping[ConversationId, Kept]:
        """The lists that are kept now."""
        return self._kept

    def begin(self) -> None:
        """Count a compaction that begins."""
        self._users += 1

    def end(self) -> None:
        """Count a compaction that ends; the last one leaves nothing."""
        self._users -= 1
        if not self._users:
            self._kept.clear()

    @contextmanager
    def using(self) -> Generator[None]:
        """Keep lists for as long as this block, and those inside it and beside it, run."""
        self.begin()
        try:
            yield
        finally:
            self.end()

    @contextmanager
    def committing(self, db: apsw.Connection, conversation: ConversationId) -> Generator[None]:
        """Run a block in one transaction; when anything is raised, forget the list."""
        try:
            with transaction(db):
                yield
        except BaseException:
            # The list may be as it would be after a commit that did not happen.
            self.stale(conversation)
            raise

    def copy(self) -> Self:
        """Return a cache with the same compactions and lists, for those who come back to it."""
        return type(self)(self._users, self._kept)

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


def read_kept(db: apsw.Connection, conversation: ConversationId) -> Kept:
    """Return the list of a conversation, its revision and its total, as of one moment."""
    (revision, total), *_ = db.execute(
        "SELECT revision, tokens FROM conversations WHERE conversation = ?", (conversation,)
    )
    assert isinstance(revision, int)
    assert isinstance(total, int)
    return Kept(revision, total, read(db, conversation))


def is_at(db: apsw.Connection, conversation: ConversationId, revision: int) -> bool:
    """Tell whether nothing has changed a context since this revision.

    It writes, so it takes its turn among those that write, and is no reading.
    """
    db.execute(
        "UPDATE conversations SET revision = revision WHERE conversation = ? AND revision = ?",
        (conversation, revision),
    )
    return db.changes() == 1
