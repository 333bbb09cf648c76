"""The sweep of a release, and rounds of sweeps.

Theory of operation. A sweep has two phases, messages and then summaries, and each ends when a pass
did not lower the size that the engine follows. The pass that did not is committed all the same. The
0.15 line drains what is raw, keeps a cursor behind the messages that say nothing, condenses while
the summaries weigh too much, and is bounded.
"""

from collections.abc import Generator

from plumbline_models.lossless_claw import selection
from plumbline_models.lossless_claw.engine import (
    Asking,
    Engine,
    Passed,
    Rounds,
    RoundsTalk,
    Running,
    Told,
    ToldTalk,
    condense,
    leaf_pass,
)
from plumbline_models.lossless_claw.selection import NOWHERE, Chunk, total
from plumbline_models.lossless_claw.values import Call, Store

Steps = Generator[Call, Asking, None]


class Sweeping:
    """A sweep in progress."""

    def __init__(self, engine: Engine, store: Store, limit: int, *, force: bool) -> None:
        self.engine, self.store, self.limit, self.force = engine, store, limit, force
        self.running = Running(engine.rules, store)
        self.reached = self.running.before
        """The size after the last pass that lowered it."""
        self.last: Passed | None = None
        self.condensed = self.denied = self.stuck = self.stopped = False
        self.passes = 0
        self.said = ""
        """The text of the last leaf of this sweep."""

    def follow(self, passed: Passed, *, condensed: bool) -> bool:
        """Take note of a pass; tell whether to go on."""
        self.store = passed.store
        if passed.summary is None:
            self.denied = True
            return False
        size = self.running.size
        self.last, self.condensed = passed, self.condensed or condensed
        self.passes += 1
        after = self.running.passed(passed)
        if self.is_enough(after):
            self.reached = after
            return False
        if after >= size or after >= self.reached:
            self.stuck = True
            return False
        self.reached = after
        return True

    def is_enough(self, after: int) -> bool:
        """Tell whether a release before the 0.15 line stops at this size."""
        return not self.engine.rules.current and not self.force and after <= self.limit

    def told(self) -> Told:
        """Return what a caller is told."""
        last = None if self.last is None else self.last.summary
        return Told(
            acted=last is not None,
            before=self.running.before,
            after=self.running.size,
            summary=None if last is None else last.id,
            condensed=self.condensed,
            level=None if self.last is None else self.last.level,
            denied=self.denied,
            stopped=self.stopped,
        )


def sweep(
    engine: Engine,
    store: Store,
    budget: int,
    *,
    force: bool,
    hard: bool,
    stop_at: int | None = None,
) -> ToldTalk:
    """Compact messages, then summaries."""
    limit = engine.settings.limit(budget)
    before = total(store)
    nothing = Told(acted=False, before=before, after=before)
    if engine.rules.current:
        due = before > limit
    else:
        raw = selection.raw_outside(engine.rules, store, store.rows, engine.settings)
        due = before > limit or raw >= engine.settings.leaf_chunk
    if not store.rows or (not force and not due):
        return store, nothing
    going = Sweeping(engine, store, limit, force=force)
    if engine.rules.current:
        yield from _drain(going, stop_at)
        yield from _relieve(going, hard=hard, stop_at=stop_at)
    else:
        yield from _leaves(going)
        yield from _condensed(going, hard=hard)
    return going.store, going.told()


def _leaves(going: Sweeping) -> Steps:
    """Summarise messages until the size is within its limit or does not fall."""
    engine = going.engine
    while True:
        chunk = selection.leaf_chunk(engine.rules, going.store, going.store.rows, engine.settings)
        if not chunk.rows:
            return
        passed = yield from leaf_pass(engine, going.store, chunk, going.said)
        if not going.follow(passed, condensed=False):
            return
        assert passed.summary is not None
        going.said = passed.summary.content


def _condensed(going: Sweeping, *, hard: bool) -> Steps:
    """Condense while the size is above its limit, or for as long as it is forced."""
    while going.force or going.reached > going.limit:
        found = _candidate(going, hard=hard)
        if found is None:
            return
        depth, chunk = found
        passed = yield from condense(going.engine, going.store, chunk, depth)
        if not going.follow(passed, condensed=True):
            return


def _candidate(going: Sweeping, *, hard: bool, below: int = NOWHERE) -> tuple[int, Chunk] | None:
    settings = going.engine.settings

    def fanout(depth: int) -> int:
        if hard:
            return settings.hard_fanout
        return settings.condensed_fanout if depth else settings.leaf_fanout

    rows = going.store.rows
    return selection.condensable(going.engine.rules, going.store, rows, settings, fanout, below)


# The 0.15 line


def _drain(going: Sweeping, stop_at: int | None) -> Steps:
    """Summarise all messages outside the tail; a cursor stays behind those that say nothing."""
    engine, after, skipped = going.engine, None, False
    while True:
        rows = going.store.rows
        chunk = selection.leaf_chunk(engine.rules, going.store, rows, engine.settings, after)
        if not chunk.rows:
            return
        if going.passes >= engine.settings.passes:
            going.stopped = True
            return
        previous = (
            selection.leaf_context(engine.rules, going.store, rows, chunk)
            if skipped
            else going.said
        )
        passed = yield from leaf_pass(engine, going.store, chunk, previous)
        if passed.skipped:
            after, skipped = chunk.rows[-1].ordinal, True
            continue
        if not going.follow(passed, condensed=False) or _is_stopped(going, stop_at):
            return
        assert passed.summary is not None
        going.said, skipped = passed.summary.content, False


def _is_stopped(going: Sweeping, stop_at: int | None) -> bool:
    return stop_at is not None and going.running.size <= stop_at


def _relieve(going: Sweeping, *, hard: bool, stop_at: int | None) -> Steps:
    """Condense shallow summaries, then any, while the summaries weigh too much."""
    settings = going.engine.settings
    going.stuck = False
    for stage, below, urgent in ((1, settings.sweep_depth, hard), (2, NOWHERE, True)):
        if stage == 2 and (going.denied or going.stuck or going.stopped):  # noqa: PLR2004
            return
        while _is_heavy(going, stop_at):
            found = _candidate(going, hard=urgent, below=below)
            if found is None:
                break
            if going.passes >= settings.passes:
                going.stopped = True
                return
            depth, chunk = found
            passed = yield from condense(going.engine, going.store, chunk, depth)
            if not going.follow(passed, condensed=True):
                return


def _is_heavy(going: Sweeping, stop_at: int | None) -> bool:
    """Tell whether to condense: the size is above what is asked for, or the summaries are."""
    if stop_at is not None and going.running.size > stop_at:
        return True
    engine, rows = going.engine, going.store.rows
    settings = engine.settings
    target = settings.prefix_target
    if target is None:
        half = int(max(1, going.limit) * 0.5 // 1)
        target = max(settings.condensed_target, min(settings.leaf_chunk, half))
    end = selection.boundary(engine.rules, going.store, rows, settings)
    return selection.prefix_tokens(going.store, rows, end) > target


# Rounds


def compact_until(
    engine: Engine, store: Store, budget: int, target: int, current: int
) -> RoundsTalk:
    """Sweep, forced, round by round, until the size is at most the target."""
    target = target if target > 0 else budget
    last = max(total(store), 0, current)
    if last < target:
        return store, Rounds(success=True, rounds=0, final=last)
    for number in range(1, engine.settings.rounds + 1):
        store, told = yield from sweep(engine, store, budget, force=True, hard=False)
        if told.denied:
            return store, Rounds(success=False, rounds=number, final=told.after, denied=True)
        if told.after <= target:
            return store, Rounds(success=True, rounds=number, final=told.after)
        if not told.acted or told.after >= last:
            return store, Rounds(success=False, rounds=number, final=told.after)
        last = told.after
    return store, Rounds(success=last <= target, rounds=engine.settings.rounds, final=last)
