"""The released engine: passes, the leaf, the sweep, the rounds.

Chapter ``spec/compaction.md``, "The released engine".

Theory of operation. Each operation is a coroutine: it yields what it asks of a summariser and is
sent the answer together with the conversation as it is then, for anything may have happened
meanwhile. It returns the conversation and what a caller is told. Ordinals that were read before a
call are used after it, as the releases do; what that loses is what the specification forbids.
"""

from collections.abc import Callable, Generator

from msgspec import Struct
from msgspec.structs import replace

from plumbline_models.closing import Failure as Collision
from plumbline_models.closing import close_up
from plumbline_models.decisions.counting import estimate
from plumbline_models.decisions.sources import files_in
from plumbline_models.lossless_claw import selection
from plumbline_models.lossless_claw.configuration import Resolved
from plumbline_models.lossless_claw.selection import Chunk, total
from plumbline_models.lossless_claw.texts import Written, summarise
from plumbline_models.lossless_claw.values import (
    Answer,
    Call,
    ConstraintError,
    Message,
    Row,
    Rules,
    Store,
    Summary,
    Totals,
)

COLLIDED = "UNIQUE constraint failed: context_items.conversation_id, context_items.ordinal"
NAMED_ALREADY = "UNIQUE constraint failed: summaries.summary_id"
GONE = "FOREIGN KEY constraint failed"

Asking = tuple[Store, Answer]


def numbered(store: Store, text: str) -> str:
    """Name a summary by its number; releases name it by its text and the time, or at random."""
    del text
    return f"S{len(store.summaries) + 1}"


class Engine(Struct, frozen=True, kw_only=True):
    """A release with its configuration."""

    rules: Rules
    settings: Resolved
    naming: Callable[[Store, str], str] = numbered
    """Returns the id of a summary with some text."""


class Passed(Struct, frozen=True, kw_only=True):
    """What a pass did; ``summary`` is None when the caller was not authenticated."""

    store: Store
    summary: Summary | None = None
    level: str = ""
    removed: int = 0
    skipped: bool = False
    """Whether the source was empty, so that nothing was asked."""


class Told(Struct, frozen=True, kw_only=True):
    """What a caller is told of one leaf or one sweep."""

    acted: bool
    before: int
    after: int
    summary: str | None = None
    condensed: bool = False
    level: str | None = None
    denied: bool = False
    stopped: bool = False
    """Whether the bound on passes was reached (the 0.15 line)."""


class Rounds(Struct, frozen=True, kw_only=True):
    """What a caller is told of rounds of sweeps."""

    success: bool
    rounds: int
    final: int
    denied: bool = False


PassTalk = Generator[Call, Asking, Passed]
ToldTalk = Generator[Call, Asking, tuple[Store, Told]]
RoundsTalk = Generator[Call, Asking, tuple[Store, Rounds]]


# The list


def append_row(store: Store, *, message: int | None = None, summary: str | None = None) -> Store:
    """Put an item behind the greatest ordinal."""
    ordinal = max((row.ordinal for row in store.rows), default=-1) + 1
    return replace(
        store, rows=(*store.rows, Row(ordinal=ordinal, message=message, summary=summary))
    )


def replace_range(rules: Rules, store: Store, first: int, last: int, summary: str) -> Store:
    """Delete what stands at these ordinals, put a summary at the first, and close up.

    Raises ``ConstraintError``.
    """
    rows = {row.ordinal: row for row in store.rows if not first <= row.ordinal <= last}
    if first in rows:
        raise ConstraintError(COLLIDED)
    rows[first] = Row(ordinal=first, summary=summary)
    closed = close_up(rules.closing, rows, sorted(rows), first, last)
    if isinstance(closed, Collision):
        raise ConstraintError(COLLIDED)
    moved = tuple(replace(closed[ordinal], ordinal=ordinal) for ordinal in sorted(closed))
    return replace(store, rows=moved)


def prune(store: Store, retain_depth: float | None) -> Store:
    """Take out the messages, and the summaries below a depth; every one of them for None."""
    if retain_depth is not None and retain_depth < 0:
        return store

    def stays(row: Row) -> bool:
        summary = store.summary(row)
        if summary is None or retain_depth is None:
            return False
        return summary.depth >= int(retain_depth)

    return replace(store, rows=tuple(row for row in store.rows if stays(row)))


# Passes


def leaf_pass(engine: Engine, store: Store, chunk: Chunk, previous: str) -> PassTalk:
    """Summarise messages and put the summary in their place."""
    messages = [store.message(row) for row in chunk.rows]
    found = [one for one in messages if one is not None]
    source = "\n\n".join(_said(engine.rules, one) for one in found if _shown(engine.rules, one))
    if engine.rules.current and not source:
        return Passed(store=store, skipped=True)
    asked = Call(
        source=source,
        aggressive=False,
        condensed=False,
        depth=None,
        previous=previous,
        target=engine.settings.leaf_target,
    )
    store, written = yield from _summarise(engine, store, asked)
    if written is None:
        return Passed(store=store)
    removed = sum(max(0, selection.message_tokens(engine.rules, one)) for one in found)
    summary = Summary(
        id=engine.naming(store, written.text),
        level=written.level,
        leaf=True,
        depth=0,
        content=written.text,
        tokens=estimate(engine.rules.measure, written.text),
        source_tokens=removed,
        files=_unique([name for one in found for name in files_in(one.content)]),
        messages=tuple(dict.fromkeys(one.id for one in found)),
        earliest=min(one.at for one in found) if found else "",
        latest=max(one.at for one in found) if found else "",
    )
    return _put(engine, store, chunk, summary, written, removed)


def _shown(rules: Rules, message: Message) -> bool:
    return bool(message.content.strip()) or not rules.current


def _said(rules: Rules, message: Message) -> str:
    role = f" | {message.role}" if rules.current else ""
    return f"[{message.at}{role}]\n{message.content}"


def condensed_pass(
    engine: Engine, store: Store, chunk: Chunk, depth: int, previous: str
) -> PassTalk:
    """Condense summaries of one depth and put the summary in their place."""
    found = [one for one in (store.summary(row) for row in chunk.rows) if one is not None]
    texts = [(one, _condensable(engine.rules, one)) for one in found]
    blocks = [f"[{one.earliest} - {one.latest}]\n{text}" for one, text in texts]
    source = "\n\n".join(blocks)
    asked = Call(
        source=source,
        aggressive=False,
        condensed=True,
        depth=depth + 1,
        previous=previous,
        target=engine.settings.condensed_target,
    )
    store, written = yield from _summarise(engine, store, asked)
    if written is None:
        return Passed(store=store)
    removed = sum(max(0, one.tokens) for one in found)
    named = [name for one in found for name in (*one.files, *files_in(one.content))]
    summary = Summary(
        id=engine.naming(store, written.text),
        level=written.level,
        leaf=False,
        depth=depth + 1,
        content=written.text,
        tokens=estimate(engine.rules.measure, written.text),
        descendants=sum(one.descendants + 1 for one in found),
        descendant_tokens=sum(max(0, one.tokens) + one.descendant_tokens for one in found),
        source_tokens=sum(one.source_tokens for one in found),
        files=_unique(named),
        sources=tuple(dict.fromkeys(one.id for one in found)),
        earliest=min(one.earliest for one in found),
        latest=max(one.latest for one in found),
    )
    return _put(engine, store, chunk, summary, written, removed)


def _condensable(rules: Rules, summary: Summary) -> str:
    return selection.told(rules, summary) if rules.current else summary.content


def _summarise(
    engine: Engine, store: Store, asked: Call
) -> Generator[Call, Asking, tuple[Store, Written | None]]:
    settings = engine.settings
    return (
        yield from summarise(engine.rules, store, asked, settings.overage, settings.fallback_cap)
    )


def _put(
    engine: Engine, store: Store, chunk: Chunk, summary: Summary, written: Written, removed: int
) -> Passed:
    """Store a summary at the ordinals that were read before it was asked for."""
    first, last = chunk.rows[0].ordinal, chunk.rows[-1].ordinal
    if summary.id in {one.id for one in store.summaries}:
        raise ConstraintError(NAMED_ALREADY)
    if not _are_stored(store, summary):
        raise ConstraintError(GONE)
    store = replace(store, summaries=(*store.summaries, summary))
    store = replace_range(engine.rules, store, first, last, summary.id)
    return Passed(store=store, summary=summary, level=written.level, removed=removed)


def _are_stored(store: Store, summary: Summary) -> bool:
    """Tell whether what a summary links to is there still."""
    messages, summaries = {one.id for one in store.messages}, {one.id for one in store.summaries}
    return messages.issuperset(summary.messages) and summaries.issuperset(summary.sources)


def _unique(names: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


class Running:
    """The size of the context as the engine follows it."""

    def __init__(self, rules: Rules, store: Store) -> None:
        self.rules = rules
        self.before = self.size = total(store)

    def passed(self, passed: Passed) -> int:
        """Follow a pass that was made; return the size after it."""
        assert passed.summary is not None
        if self.rules.totals is Totals.READ:
            self.size = total(passed.store)
        else:
            self.size += passed.summary.tokens - passed.removed
            if self.rules.totals is Totals.CLAMPED:
                self.size = max(0, self.size)
        return self.size


# The leaf


def compact_leaf(
    engine: Engine, store: Store, budget: int, *, force: bool, previous: str | None = None
) -> ToldTalk:
    """Make one leaf pass, and condensed passes below the configured depth."""
    rules, settings, running = engine.rules, engine.settings, Running(engine.rules, store)
    before = running.before
    nothing = Told(acted=False, before=before, after=before)
    raw = selection.raw_outside(rules, store, store.rows, settings)
    if not force and before <= settings.limit(budget) and raw < settings.leaf_chunk:
        return store, nothing
    chunk = selection.leaf_chunk(rules, store, store.rows, settings)
    if not chunk.rows:
        return store, nothing
    if previous is None:
        previous = selection.leaf_context(rules, store, store.rows, chunk)
    passed = yield from leaf_pass(engine, store, chunk, previous)
    store = passed.store
    if passed.skipped:
        return store, nothing
    if passed.summary is None:
        return store, replace(nothing, denied=True)
    running.passed(passed)
    last, condensed, depth = passed, False, 0
    while depth < settings.depth:
        chunk = selection.depth_chunk(rules, store, store.rows, settings, depth)
        fanout = settings.condensed_fanout if depth else settings.leaf_fanout
        if chunk.meaningful < fanout or chunk.tokens < settings.least_condensed:
            break
        size = running.size
        passed = yield from condense(engine, store, chunk, depth)
        store = passed.store
        if passed.summary is None:
            break
        last, condensed, depth = passed, True, depth + 1
        if running.passed(passed) >= size:
            break
    assert last.summary is not None
    return store, Told(
        acted=True,
        before=before,
        after=running.size,
        summary=last.summary.id,
        condensed=condensed,
        level=last.level,
    )


def condense(engine: Engine, store: Store, chunk: Chunk, depth: int) -> PassTalk:
    """Make a condensed pass; over leaves, tell the summariser what stands before."""
    previous = ""
    if depth == 0:
        previous = selection.condensed_context(engine.rules, store, store.rows, chunk)
    return (yield from condensed_pass(engine, store, chunk, depth, previous))
