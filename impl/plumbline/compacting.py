"""Compacting with a summariser that takes its time: select, summarise, commit.

Chapter ``spec/compaction.md``, "Sweeps" and "Why a pass is three events".

Theory of operation. This is the sweep of ``plumbline.sweeps`` with another way to make a pass: the
chunk is read, the summariser is asked with nothing held, and the commit is one transaction that
first asks whether the conversation is at the revision at which its list was read. If it is, the
pass is made from that list. If not, the list is read again, and the pass is made when the selected
items still stand there in that order and may be replaced; else it is stale, and the sweep selects
anew. So without interference a sweep reads the list once, and each interference costs one reading.
"""

from collections.abc import Callable
from time import monotonic

import apsw

from plumbline.chunk import Chunk, lengths, put, read_chunk
from plumbline.context_cache import ContextCache, Kept, is_at, read_kept
from plumbline.database import snapshot
from plumbline.sweeps import (
    STOPS,
    Event,
    Run,
    begin,
    compact_leaf,
    sweep,
    sweep_until,
)
from plumbline.window import Span, Window, read
from plumbline_models.compaction import (
    CompactLeaf,
    Kind,
    Pass,
    Stop,
    Sweep,
    SweepUntil,
    Swept,
)
from plumbline_models.decisions.escalation import (
    Abandoned,
    Answer,
    Call,
    Summarised,
    escalate,
)
from plumbline_models.ordinals import SummaryId

MILLISECONDS = 1_000

Summariser = Callable[[str, Call, tuple[str, ...]], Answer]
"""Answers a source, what is asked of it, and the texts of this sweep's summaries before it."""
Told = Callable[[Pass], None]


class _StaleError(Exception):
    """The items are not there any more, or may not be replaced any more."""


class Engine:
    """Compacts the conversations of one database: in one thread, and one inside another."""

    def __init__(self, db: apsw.Connection, summariser: Summariser) -> None:
        self.db, self.summariser = db, summariser
        self.cache = ContextCache()

    def compact(self, event: Event, told: Told = lambda _pass: None) -> Swept | None:
        """Take an event of compaction with a live summariser; its script is not looked at.

        Returns None when there is no such conversation. Raises ``OutcomeUnknown`` when a COMMIT
        ended in an error, ``apsw.Error``, and what the summariser raises; the passes that were
        committed stay.
        """
        with self.cache.using():
            with snapshot(self.db):
                found = begin(self.db, event.conversation, event.summary)
                if found is None:
                    return None
                kept = self.cache.get(
                    event.conversation,
                    lambda: Kept(found.revision, found.total, read(self.db, event.conversation)),
                )
                if kept.revision != found.revision:
                    rows = read(self.db, event.conversation)
                    kept = Kept(found.revision, found.total, rows)
                    self.cache.committed(event.conversation, kept)
            run = _LiveRun(self, event, found.names, kept, told)
            match event:
                case CompactLeaf(settings=settings, budget=budget):
                    threshold = budget * settings.threshold_percent // 100
                    return compact_leaf(run, event, threshold)
                case Sweep(settings=settings, budget=budget):
                    threshold = budget * settings.threshold_percent // 100
                    return sweep(run, event, threshold)
                case SweepUntil():
                    return sweep_until(run, event)


class _LiveRun(Run):
    """A sweep whose summariser is asked between transactions."""

    def __init__(
        self,
        engine: Engine,
        event: Event,
        names: set[str],
        kept: Kept,
        told: Told,
    ) -> None:
        window = Window(list(kept.rows), event.settings)
        super().__init__(engine.db, event, kept.total, names, window, lambda _other: None)
        self.engine, self.told = engine, told
        self.revision = kept.revision
        self.texts = dict[str, str]()
        """Of the summaries that this sweep made."""

    def make(self, span: Span, *, condense: bool) -> Stop | None:
        """Summarise a chunk and commit, or return why not; what is stale is selected again."""
        chunk = read_chunk(self.db, self.event.conversation, self.window, span)
        if not _is_of(chunk, self.window):
            return self._again()
        made = self._asked(chunk, span, condense=condense)
        if isinstance(made, Abandoned):
            self._look_again()
            return STOPS[made.failure]
        try:
            self.put(chunk, Kind.CONDENSED if condense else Kind.LEAF, made)
        except _StaleError:
            return self.selected_in_vain()
        return None

    def _again(self) -> Stop | None:
        """Read the list again, or give up when others come first again and again."""
        self.engine.cache.stale(self.event.conversation)
        with snapshot(self.db):
            self._hold(read_kept(self.db, self.event.conversation))
        return self.selected_in_vain()

    def _look_again(self) -> None:
        """Read the list again if others changed it, to say what is stored."""
        with snapshot(self.db):
            found = begin(self.db, self.event.conversation, self.event.summary)
            if found is not None and found.revision != self.revision:
                self.engine.cache.stale(self.event.conversation)
                self._hold(read_kept(self.db, self.event.conversation))

    def _hold(self, kept: Kept) -> None:
        self.window = Window(list(kept.rows), self.event.settings)
        self.revision, self.total = kept.revision, kept.total

    def _asked(self, chunk: Chunk, span: Span, *, condense: bool) -> Summarised | Abandoned:
        """Ask the summariser as often as it takes; nothing is held meanwhile."""
        budget = lengths(self.event.settings, condense=condense)
        talk = escalate(chunk.text, span.tokens, budget)
        prior = self._prior(span)
        call = next(talk)
        while True:
            began = monotonic()
            answer = self.engine.summariser(chunk.text, call, prior)
            self.calls += 1
            self.took += int((monotonic() - began) * MILLISECONDS)
            try:
                call = talk.send(answer)
            except StopIteration as done:
                made: Summarised | Abandoned = done.value
                return made

    def _prior(self, span: Span) -> tuple[str, ...]:
        """Return the texts of the nearest summaries before a chunk, where this sweep made them."""
        near = self.window.prior(span)
        return tuple(self.texts[one.id] for one in near if one.id in self.texts)

    def last_resort(self) -> Stop | None:
        """Put one cut text in the place of all that is not protected, as it is then."""
        stop: Stop | None = None
        assert isinstance(self.event, SweepUntil)
        while stop is None and self.total > self.event.target:
            try:
                return super().last_resort()
            except _StaleError:
                stop = self.selected_in_vain()
        return stop

    def put(self, chunk: Chunk, kind: Kind, made: Summarised) -> None:
        """Replace a chunk in a transaction of its own. Raises when it is stale."""
        name, record = self._put(chunk, kind, made)
        conversation = self.event.conversation
        self.revision += 1
        self.total, self.stale = record.after, 0
        kept = Kept(self.revision, self.total, self.window.rows)
        self.engine.cache.committed(conversation, kept)
        self.texts[name] = made.text
        self.passes.append(record)
        self.told(record)

    def _put(self, chunk: Chunk, kind: Kind, made: Summarised) -> tuple[SummaryId, Pass]:
        """Replace a chunk under the first name that nobody took, not even meanwhile."""
        conversation = self.event.conversation
        while True:
            name = self.name()
            try:
                with self.engine.cache.committing(self.db, conversation):
                    if not is_at(self.db, conversation, self.revision):
                        chunk = self._found_again(chunk, kind)
                    return name, put(self.db, conversation, self.window, chunk, kind, name, made)
            except _StaleError:
                self.number -= 1  # the name was not used
                raise
            except apsw.ConstraintError:
                if not self._is_taken(name):
                    raise

    def _is_taken(self, name: SummaryId) -> bool:
        """Look again which names are taken, of which somebody took some; tell whether this is."""
        found = begin(self.db, self.event.conversation, self.event.summary)
        assert found is not None
        self.names |= found.names
        return name in found.names

    def _found_again(self, chunk: Chunk, kind: Kind) -> Chunk:
        """Return the chunk in the list as it is now. Raises when it may not be replaced any more.

        A last resort is about all that is not protected, so it is planned anew.
        """
        items = self.window.items(chunk.span)
        self._hold(read_kept(self.db, self.event.conversation))
        again = None if kind in {Kind.WRAP, Kind.PREFIX} else self.found_again(items, chunk)
        if again is None:
            raise _StaleError
        return again


def _is_of(chunk: Chunk, window: Window) -> bool:
    """Tell whether a chunk that was read is what the list has there."""
    rows = window.rows[chunk.span.first : chunk.span.last]
    listed = [(row.message, row.summary, row.tokens, row.depth) for row in rows]
    return listed == [(one.message, one.summary, one.tokens, one.depth) for one in chunk.sources]
