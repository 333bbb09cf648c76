"""The context cache as the judge's host: the shipped cache, over conversations in SQLite.

Chapter ``spec/context_cache.md``.

Theory of operation. A change is an append of tokens, a commit the replacement that a pass makes, so
revisions are those that every other event moves. The cache is the one of an engine, and goes back
with the database when the judge returns to a savepoint. It belongs to the process: a host that is
opened again has an empty one.
"""

from collections.abc import Iterator
from contextlib import suppress

import apsw
import msgspec

from plumbline import ordinals as lists
from plumbline import tokens as ledgers
from plumbline.chunk import put, read_chunk
from plumbline.context_cache import ContextCache, Kept, is_at, read_kept
from plumbline.sqlite_host import Program, SqliteHost
from plumbline.window import Standing, Window, read
from plumbline_models.compaction import Kind, Settings
from plumbline_models.context_cache import (
    Begin,
    Begun,
    Change,
    Changed,
    Commit,
    Committed,
    Conversation,
    End,
    Ended,
    Event,
    Listed,
    Open,
    Opened,
    Outcome,
    Read,
    Reason,
    Refused,
    RolledBack,
    Stale,
    State,
)
from plumbline_models.context_cache import Kept as KeptInState
from plumbline_models.decisions.escalation import Level, Summarised, measured
from plumbline_models.ordinals import ConversationId, MessageId, SummaryId
from plumbline_models.ordinals import Open as OpenList
from plumbline_models.tokens import Append, Draft, Posted
from plumbline_spec.host import Judged

IN_SHORT = "in short"


class _StaleError(Exception):
    """The list was changed after it was read."""


class _FailedError(Exception):
    """The transaction failed at its end, or a compaction did."""


class CacheHost(SqliteHost[State, Event, Outcome]):
    """A database and the cache of one engine."""

    def __init__(self) -> None:
        self._cache = ContextCache()
        self._marks: list[ContextCache] = []
        program: Program[State, Event, Outcome] = Program(
            apply=self._apply,
            observe=self._observed,
            parts=lambda db: iter([("", self._observed(db))]),
            decode_outcome=_outcomes.decode,
        )
        super().__init__(program)

    def reset(self) -> None:
        """Begin again with an empty database and an empty cache."""
        self._cache = ContextCache()
        self._marks.clear()
        super().reset()

    def mark(self) -> None:
        """Open a savepoint."""
        self._marks.append(self._cache.copy())
        super().mark()

    def back(self) -> None:
        """Return to the latest savepoint and close it."""
        self._cache = self._marks.pop()
        super().back()

    def _apply(self, db: apsw.Connection, event: Event) -> Outcome:
        match event:
            case Open():
                opened = ledgers.apply(db, OpenList(conversation=event.conversation))
                if isinstance(opened, Posted):
                    return Opened()
                return Refused(reason=Reason.CONVERSATION_EXISTS)
            case Begin():
                self._cache.begin()
                return Begun(users=self._cache.users)
            case End():
                return self._end(event)
            case Change() | Read() | Commit():
                if not lists.exists(db, event.conversation):
                    return Refused(reason=Reason.UNKNOWN_CONVERSATION)
                return self._about(db, event)

    def _end(self, event: End) -> Outcome:
        if not self._cache.users:
            return Refused(reason=Reason.NOBODY_COMPACTS)
        if event.raised:
            with suppress(_FailedError), self._cache.using():
                raise _FailedError
        self._cache.end()
        return Ended(users=self._cache.users)

    def _about(self, db: apsw.Connection, event: Change | Read | Commit) -> Outcome:
        match event:
            case Change(conversation=here):
                revision = read_kept(db, here).revision + 1
                name = f"{here}/m{revision}"
                draft = Draft(id=MessageId(name), text=name)
                ledgers.apply(db, Append(conversation=here, messages=(draft,)))
                return Changed(revision=revision)
            case Read():
                return self._read(db, event)
            case Commit():
                return self._commit(db, event)

    def _read(self, db: apsw.Connection, event: Read) -> Outcome:
        read_now = list[Kept]()

        def reading() -> Kept:
            read_now.append(read_kept(db, event.conversation))
            return read_now[-1]

        kept = self._cache.get(event.conversation, reading) if event.compacting else reading()
        return Listed(revision=kept.revision, items=_ids(kept.rows), read=bool(read_now))

    def _commit(self, db: apsw.Connection, event: Commit) -> Outcome:
        here, cache = event.conversation, self._cache
        if not cache.users:
            return Refused(reason=Reason.NOBODY_COMPACTS)
        if here not in cache.kept:
            return Refused(reason=Reason.NOTHING_READ)
        kept = cache.kept[here]
        window = Window(list(kept.rows), _NO_TAIL)
        try:
            with cache.committing(db, here):
                total = _replaced(db, event, kept.revision, window)
        except _StaleError:
            return Stale(revision=read_kept(db, here).revision)
        except _FailedError:
            return RolledBack()
        if total is None:
            return Refused(reason=Reason.NOTHING_TO_REPLACE)
        cache.committed(here, Kept(kept.revision + 1, total, window.rows))
        return Committed(revision=kept.revision + 1)

    def _observed(self, db: apsw.Connection) -> State:
        kept = [
            KeptInState(conversation=here, revision=one.revision, items=_ids(one.rows))
            for here, one in sorted(self._cache.kept.items())
        ]
        stored = tuple(_conversations(db))
        return State(conversations=stored, users=self._cache.users, kept=tuple(kept))


_outcomes: msgspec.json.Decoder[Outcome] = msgspec.json.Decoder(Outcome)
_NO_TAIL = Settings(fresh_tail=0)


def _replaced(db: apsw.Connection, event: Commit, revision: int, window: Window) -> int | None:
    """Put a summary in the place of messages, as a pass does; return the total then.

    Returns None when there are no messages. Raises when the list is stale, and when it is to fail.
    """
    here, runs = event.conversation, window.raw_runs()
    if not is_at(db, here, revision):
        raise _StaleError
    if not runs:
        return None
    made = Summarised(
        text=IN_SHORT, tokens=measured(IN_SHORT), level=Level.NORMAL, capped=False, calls=1
    )
    chunk, name = read_chunk(db, here, window, runs[-1]), SummaryId(f"{here}/s{revision + 1}")
    after = put(db, here, window, chunk, Kind.LEAF, name, made).after
    if event.fails:
        raise _FailedError
    return after


def _ids(rows: list[Standing]) -> tuple[str, ...]:
    return tuple(one.item.id for one in rows)


def _conversations(db: apsw.Connection) -> Iterator[Conversation]:
    query = "SELECT conversation, revision FROM conversations ORDER BY conversation"
    for here, revision in list(db.execute(query)):
        assert isinstance(here, str)
        assert isinstance(revision, int)
        rows = read(db, ConversationId(here))
        yield Conversation(
            id=ConversationId(here),
            revision=revision,
            summaries=_ids([one for one in rows if one.depth is not None]),
            messages=_ids([one for one in rows if one.depth is None]),
        )


def judged_cache() -> Judged[State, Event, Outcome]:
    """Return a fresh host with its capabilities; what is kept does not survive a crash."""
    host = CacheHost()
    return Judged(host=host, observable=host, reversible=host, traced=host)
