"""Sweeps over SQLite: one event of several passes, with a script of answers.

Chapter ``spec/compaction.md``, "Sweeps"; must match ``plumbline_models.compaction.sweeps``.
"""

from collections.abc import Callable, Iterator

import apsw
import msgspec
from msgspec import Struct

from plumbline.chunk import Chunk, lengths, put, read_chunk
from plumbline.window import Span, Window, read
from plumbline_models.compaction import (
    CompactLeaf,
    Interference,
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
    Failed,
    Failure,
    Level,
    Summarised,
    conducted,
    cut,
    measured,
)
from plumbline_models.ordinals import ConversationId, Item, SummaryId

CALLS_OF_A_PASS = 2
STOPS = {
    Failure.AUTHENTICATION: Stop.AUTHENTICATION,
    Failure.SUMMARISER_ERROR: Stop.SUMMARISER_ERROR,
}

Event = CompactLeaf | Sweep | SweepUntil
Find = Callable[[], Span | None]
Host = Callable[[Interference], object]
"""Applies an event of the host in the open transaction."""


class Beginning(Struct, frozen=True, kw_only=True):
    """A conversation before a sweep."""

    total: int
    revision: int
    names: set[str]
    """Names of summaries that begin as the new ones will."""


def begin(
    db: apsw.Connection, conversation: ConversationId, summary: SummaryId
) -> Beginning | None:
    """Return what a sweep must know beside the list, in one query; None without a conversation."""
    # Names that begin so sort between those that go on with "-" and those that go on with ".".
    row = db.execute(
        "SELECT tokens, revision, (SELECT json_group_array(summary) FROM summaries"
        " WHERE summary > ?2 || '-' AND summary < ?2 || '.')"
        " FROM conversations WHERE conversation = ?1",
        (conversation, summary),
    ).fetchone()
    if row is None:
        return None
    total, revision, names = row
    assert isinstance(total, int)
    assert isinstance(revision, int)
    assert isinstance(names, str)
    return Beginning(total=total, revision=revision, names=set(_names.decode(names)))


_names: msgspec.json.Decoder[list[str]] = msgspec.json.Decoder(list[str])


class Run:
    """A sweep in progress: the list as its passes leave it, and what they cost.

    Here it is one event with a script of answers, inside one transaction. ``plumbline.compacting``
    has the other kind, whose summariser is asked between transactions.
    """

    def __init__(
        self,
        db: apsw.Connection,
        event: Event,
        total: int,
        names: set[str],
        window: Window,
        host: Host,
    ) -> None:
        self.db, self.event, self.names, self.window = db, event, names, window
        self.host = host
        self.before = self.total = total
        self.passes = list[Pass]()
        self.calls = self.took = self.number = self.stale = 0
        """``stale`` counts the selections since the last pass that others made stale."""
        self._waiting = sorted(event.meanwhile, key=lambda one: one.call)

    def either(self, *, hard: bool) -> Span | None:
        """Return messages while there are any to take, and summaries then."""
        return self.window.leaf() or self.window.condensed(hard=hard)

    def attempt(self, find: Find, most: int) -> Stop | None:
        """Make one pass, or return why not."""
        span, settings = find(), self.event.settings
        if span is None:
            return Stop.NOTHING_TO_COMPACT
        if len(self.passes) >= most or self.calls + CALLS_OF_A_PASS > settings.calls:
            return Stop.BOUND_REACHED
        if settings.deadline is not None and self.took >= settings.deadline:
            return Stop.DEADLINE
        condense = self.window.rows[span.first].depth is not None
        return self.make(span, condense=condense)

    def attempt_anew(self, find: Find) -> Stop | None:
        """Make one pass, selected anew for as long as others make it stale."""
        stop = self.attempt(find, self.event.settings.passes)
        while stop is None and self.stale:
            stop = self.attempt(find, self.event.settings.passes)
        return stop

    def make(self, span: Span, *, condense: bool) -> Stop | None:
        """Summarise a chunk and put the summary in its place, or return why not."""
        chunk = read_chunk(self.db, self.event.conversation, self.window, span)
        budget = lengths(self.event.settings, condense=condense)
        made, took = conducted(chunk.text, span.tokens, budget, self._answers())
        self.calls += made.calls
        self.took += took
        was = self.window
        interfered = self._meanwhile()
        if isinstance(made, Abandoned):
            return STOPS[made.failure]
        if interfered:
            again = self.found_again(was.items(span), chunk)
            if again is None:
                return self.selected_in_vain()
            chunk = again
        self.put(chunk, Kind.CONDENSED if condense else Kind.LEAF, made)
        return None

    def found_again(self, items: tuple[Item, ...], chunk: Chunk) -> Chunk | None:
        """Return a chunk in the list as it is now; None when it is stale.

        It is stale when it may not be replaced any more, and when it says something else: a summary
        may have been rolled back and another one made under its name.
        """
        found = self.window.found(items)
        if found is None or self.window.refusal(found) is not None:
            return None
        again = read_chunk(self.db, self.event.conversation, self.window, found)
        return again if again.sources == chunk.sources else None

    def selected_in_vain(self) -> Stop | None:
        """Count a selection that others made stale; give up when there were too many in a row."""
        self.stale += 1
        return Stop.STALE if self.stale >= self.event.settings.stale else None

    def _meanwhile(self) -> bool:
        """Let others do what they do during the calls so far; if they do, read the list again."""
        interfered = False
        while self._waiting and self._waiting[0].call <= self.calls:
            self.host(self._waiting.pop(0).event)
            interfered = True
        if interfered:
            found = begin(self.db, self.event.conversation, self.event.summary)
            assert found is not None
            self.total, self.names = found.total, found.names
            rows = read(self.db, self.event.conversation)
            self.window = Window(rows, self.event.settings)
        return interfered

    def _answers(self) -> Iterator[Answer]:
        """Yield what the summariser answers from the next call on."""
        script, number = self.event.script, self.calls
        while True:
            yield script[number % len(script)] if script else Failed()
            number += 1

    def name(self) -> SummaryId:
        """Return the next name that no summary has."""
        self.number += 1
        while f"{self.event.summary}-{self.number}" in self.names:
            self.number += 1
        return SummaryId(f"{self.event.summary}-{self.number}")

    def put(self, chunk: Chunk, kind: Kind, made: Summarised) -> None:
        """Replace a chunk."""
        name = self.name()
        made_pass = put(self.db, self.event.conversation, self.window, chunk, kind, name, made)
        self.passes.append(made_pass)
        self.total, self.stale = made_pass.after, 0

    def round(self, target: int | None, *, hard: bool) -> Stop:
        """Make passes until there is a reason to stop; with a target of None, none is enough."""
        most = len(self.passes) + self.event.settings.passes
        stop: Stop | None = None
        while stop is None:
            if target is not None and self.total <= target:
                return Stop.UNDER_TARGET
            stop = self.attempt(lambda: self.either(hard=hard), most)
        return stop

    def last_resort(self) -> Stop | None:
        """Put one cut text in the place of all that is not protected, or return why not."""
        window, cap = self.window, self.event.settings.fallback_cap
        span = window.unprotected()
        if span.tokens <= cap or not window.says(span):
            return None
        if window.is_mixed():
            for run in window.raw_runs():
                self._cut(_moved(run, window, span.last), Kind.WRAP, min(cap, run.tokens))
        span = window.unprotected()
        if span.tokens > 1:
            self._cut(span, Kind.PREFIX, min(cap, span.tokens - 1))
        return None

    def _cut(self, span: Span, kind: Kind, size: int) -> None:
        chunk = read_chunk(self.db, self.event.conversation, self.window, span)
        text = cut(chunk.text, size)
        made = Summarised(
            text=text, tokens=measured(text), level=Level.FALLBACK, capped=False, calls=0
        )
        self.put(chunk, kind, made)

    def swept(self, stop: Stop, rounds: int, *, missed: bool = False) -> Swept:
        """Return what the sweep did."""
        return Swept(
            compacted=bool(self.passes),
            before=self.before,
            after=self.total,
            passes=tuple(self.passes),
            rounds=rounds,
            calls=self.calls,
            stop=stop,
            floor=self.window.protected if missed else None,
        )


def _moved(run: Span, window: Window, length: int) -> Span:
    """Return where a run stands now that the prefix of so many entries is shorter."""
    by = length - window.boundary
    return Span(run.first - by, run.last - by, run.tokens)


def sweep(run: Run, event: Sweep, threshold: int) -> Swept:
    """Make leaf passes, then condensed passes, until the context is within its threshold."""
    stop = run.round(None if event.force else threshold, hard=event.hard)
    return run.swept(stop, min(1, len(run.passes)))


def compact_leaf(run: Run, event: CompactLeaf, threshold: int) -> Swept:
    """Make one leaf pass where it is due, then at most one condensed pass for each depth."""
    settings, depth = event.settings, 0
    stop: Stop | None = None
    if event.force or run.total > threshold or run.window.raw >= settings.leaf_chunk:
        stop = run.attempt_anew(lambda: run.window.leaf())  # noqa: PLW0108 - of the list as it is then
        while stop is None and (settings.depth is None or depth < settings.depth):
            stop = run.attempt_anew(_at(run, depth))
            depth += 1
    if stop in {None, Stop.NOTHING_TO_COMPACT}:
        if run.total <= threshold:
            stop = Stop.UNDER_TARGET
        else:
            left = run.either(hard=False) is not None
            stop = Stop.BOUND_REACHED if left else Stop.NOTHING_TO_COMPACT
    assert stop is not None
    return run.swept(stop, min(1, len(run.passes)))


def _at(run: Run, depth: int) -> Find:
    return lambda: run.window.at_depth(depth, run.window.fanout(depth))


def sweep_until(run: Run, event: SweepUntil) -> Swept:
    """Sweep in rounds, and take the last resort, until the context is within the target."""
    rounds, stop = 0, Stop.BOUND_REACHED
    for _ in range(event.settings.rounds):
        before = len(run.passes)
        stop = run.round(event.target, hard=True)
        rounds += len(run.passes) > before
        if stop is not Stop.BOUND_REACHED:
            break
    if run.total > event.target:
        stop = run.last_resort() or stop
    missed = run.total > event.target
    return run.swept(stop if missed else Stop.UNDER_TARGET, rounds, missed=missed)
