"""Sweeps: passes one after the other, with a script of answers, until there is a reason to stop.

Chapter ``spec/compaction.md``, "Sweeps".

Theory of operation. A sweep asks before each pass, in this order: is the context small enough; is
there anything to replace; is a bound reached; is the time over. It reads the context anew for each
pass. While the summariser is asked, others may change the context. A pass is made when its items
still stand there and may be replaced; else it is *stale*, and what is there now is selected. The
*last resort* makes no calls: it puts one cut text in the place of all that is not
protected, so its size is known whatever a summariser would answer.
"""

from collections.abc import Callable, Iterator

from msgspec import Struct
from msgspec.structs import replace

from plumbline_models.compaction import selection
from plumbline_models.compaction.extents import source
from plumbline_models.compaction.passes import (
    exists,
    host_step,
    items_of,
    put,
    summarised,
    threshold,
    total,
    unknown,
)
from plumbline_models.compaction.selection import Chunk, entries_of
from plumbline_models.compaction.values import (
    CompactLeaf,
    Extent,
    Interference,
    Kind,
    Outcome,
    Pass,
    Rules,
    Settings,
    State,
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
    cut,
    measured,
)
from plumbline_models.ordinals.queries import find
from plumbline_models.ordinals.values import SummaryId

Plan = Callable[[Chunk], Chunk]
"""What to replace next in a context; () for nothing."""

CALLS_OF_A_PASS = 2
STOPS = {
    Failure.AUTHENTICATION: Stop.AUTHENTICATION,
    Failure.SUMMARISER_ERROR: Stop.SUMMARISER_ERROR,
}


class Run(Struct, frozen=True, kw_only=True):
    """How far a sweep is."""

    state: State
    passes: tuple[Pass, ...] = ()
    calls: int = 0
    took: int = 0
    """How long the calls took, in milliseconds."""
    number: int = 0
    """Of the last name that was given."""
    stop: Stop | None = None
    """Why the round ended; None while it goes on."""
    stale: int = 0
    """Selections since the last pass that others made stale."""


def sweep(
    rules: Rules, state: State, event: Sweep, plan: Plan | None = None
) -> tuple[State, Outcome]:
    """Make leaf passes, then condensed passes, until the context is within its threshold."""
    if not exists(state, event.conversation):
        return state, unknown()
    target = None if event.force else threshold(event.settings, event.budget)
    plan = plan or either(rules, event.settings, hard=event.hard)
    run = _round(rules, Run(state=state), event, plan, target)
    return run.state, _swept(rules, state, run, event, rounds=min(1, len(run.passes)))


def compact_leaf(rules: Rules, state: State, event: CompactLeaf) -> tuple[State, Outcome]:
    """Make one leaf pass where it is due, then at most one condensed pass for each depth."""
    if not exists(state, event.conversation):
        return state, unknown()
    settings = event.settings
    target = threshold(settings, event.budget)
    entries = entries_of(state, event.conversation)
    raw = selection.raw(entries[: selection.boundary(rules, entries, settings)])
    run, depth = Run(state=state), 0
    if event.force or total(state, event.conversation) > target or raw >= settings.leaf_chunk:
        run = _fresh(rules, run, event, lambda found: selection.leaf(rules, found, settings))
        while run.stop is None and (settings.depth is None or depth < settings.depth):
            run = _fresh(rules, run, event, _of_depth(rules, settings, depth))
            depth += 1
    if run.stop in {None, Stop.NOTHING_TO_COMPACT}:
        run = replace(run, stop=_rest(rules, run, event, target))
    return run.state, _swept(rules, state, run, event, rounds=min(1, len(run.passes)))


def _of_depth(rules: Rules, settings: Settings, depth: int) -> Plan:
    fanout = selection.usual_fanout(settings, depth)
    return lambda found: selection.at_depth(rules, found, settings, depth, fanout)


def _rest(rules: Rules, run: Run, event: CompactLeaf, target: int) -> Stop:
    """Return what is left for another event after one leaf pass and what followed from it."""
    if total(run.state, event.conversation) <= target:
        return Stop.UNDER_TARGET
    plan = either(rules, event.settings, hard=False)
    left = plan(entries_of(run.state, event.conversation))
    return Stop.BOUND_REACHED if left else Stop.NOTHING_TO_COMPACT


def sweep_until(rules: Rules, state: State, event: SweepUntil) -> tuple[State, Outcome]:
    """Sweep in rounds, and take the last resort, until the context is within the target."""
    if not exists(state, event.conversation):
        return state, unknown()
    plan = either(rules, event.settings, hard=True)
    run, rounds = Run(state=state), 0
    for _ in range(event.settings.rounds):
        before = len(run.passes)
        run = _round(rules, replace(run, stop=None), event, plan, event.target)
        rounds += len(run.passes) > before
        if run.stop is not Stop.BOUND_REACHED:
            break
    if rules.last_resort and total(run.state, event.conversation) > event.target:
        run = _last_resort(rules, run, event)
    missed = total(run.state, event.conversation) > event.target
    run = run if missed else replace(run, stop=Stop.UNDER_TARGET)
    return run.state, _swept(rules, state, run, event, rounds=rounds, missed=missed)


def either(rules: Rules, settings: Settings, *, hard: bool) -> Plan:
    """Return a plan that takes messages while it can, and summaries then."""

    def plan(entries: Chunk) -> Chunk:
        leaf = selection.leaf(rules, entries, settings)
        return leaf or selection.condensed(rules, entries, settings, hard=hard)

    return plan


def _round(
    rules: Rules, run: Run, event: Sweep | SweepUntil, plan: Plan, target: int | None
) -> Run:
    """Make passes until there is a reason to stop; with a target of None, none is small enough."""
    most = len(run.passes) + event.settings.passes
    while run.stop is None:
        if target is not None and total(run.state, event.conversation) <= target:
            return replace(run, stop=Stop.UNDER_TARGET)
        run = _pass(rules, run, event, plan, most)
    return run


def _fresh(rules: Rules, run: Run, event: CompactLeaf, plan: Plan) -> Run:
    """Make one pass, selected anew for as long as others make it stale."""
    run = _pass(rules, run, event, plan)
    while run.stop is None and run.stale:
        run = _pass(rules, run, event, plan)
    return run


def _pass(
    rules: Rules,
    run: Run,
    event: CompactLeaf | Sweep | SweepUntil,
    plan: Plan,
    most: int | None = None,
) -> Run:
    """Make one pass, or return the run with the reason why not; a stale one is neither."""
    settings = event.settings
    chunk = plan(entries_of(run.state, event.conversation))
    if not chunk:
        return replace(run, stop=Stop.NOTHING_TO_COMPACT)
    passes = settings.passes if most is None else most
    if len(run.passes) >= passes or run.calls + CALLS_OF_A_PASS > settings.calls:
        return replace(run, stop=Stop.BOUND_REACHED)
    if settings.deadline is not None and run.took >= settings.deadline:
        return replace(run, stop=Stop.DEADLINE)
    answers = _answers(event.script, run.calls)
    made, took = summarised(rules, run.state, event.conversation, settings, chunk, answers)
    before, state = (
        run.state,
        interfered(rules, run.state, event, run.calls, run.calls + made.calls),
    )
    run = replace(run, state=state, calls=run.calls + made.calls, took=run.took + took)
    if isinstance(made, Abandoned):
        return replace(run, stop=STOPS[made.failure])
    if not _stands(rules, before, state, event, chunk):
        stale = run.stale + 1
        return replace(run, stale=stale, stop=Stop.STALE if stale >= settings.stale else None)
    kind = Kind.LEAF if chunk[0].depth is None else Kind.CONDENSED
    return _put(rules, run, event, kind, chunk, made)


def interfered(
    rules: Rules, state: State, event: CompactLeaf | Sweep | SweepUntil, before: int, calls: int
) -> State:
    """Apply what others do during the calls after the first ``before`` and up to ``calls``."""
    for one in during(event, before, calls):
        state, _ = host_step(rules, state, one)
    return state


def during(
    event: CompactLeaf | Sweep | SweepUntil, before: int, calls: int
) -> Iterator[Interference]:
    """Yield what others do during these calls, in the order in which it happens."""
    for one in sorted(event.meanwhile, key=lambda one: one.call):
        if before < one.call <= calls:
            yield one.event


def _stands(
    rules: Rules,
    before: State,
    state: State,
    event: CompactLeaf | Sweep | SweepUntil,
    chunk: Chunk,
) -> bool:
    """Tell whether a selected chunk may be replaced still, and says what it said."""
    entries = entries_of(state, event.conversation)
    at = selection.found_at(entries, items_of(chunk))
    end = selection.boundary(rules, entries, event.settings)
    if at is None or at + len(chunk) > end or entries[at : at + len(chunk)] != chunk:
        return False
    return _said(before, event, chunk) == _said(state, event, chunk)


def _said(
    state: State, event: CompactLeaf | Sweep | SweepUntil, chunk: Chunk
) -> tuple[str, tuple[Extent, ...]]:
    """Return the source of a chunk, and the extents of its summaries."""
    at = find(state.taken.ledger.lists, event.conversation)
    assert at is not None
    items = items_of(chunk)
    ids = {one.id for one in items}
    return source(state, at, items), tuple(one for one in state.extents if one.summary in ids)


def _answers(script: tuple[Answer, ...], calls: int) -> Iterator[Answer]:
    """Yield what the summariser answers from the next call on."""
    while True:
        yield script[calls % len(script)] if script else Failed()
        calls += 1


def _put(
    rules: Rules,
    run: Run,
    event: CompactLeaf | Sweep | SweepUntil,
    kind: Kind,
    chunk: Chunk,
    made: Summarised,
) -> Run:
    """Replace a chunk under the next name that no summary has."""
    names = {one.summary for one in run.state.extents}
    number = run.number + 1
    while f"{event.summary}-{number}" in names:
        number += 1
    name = SummaryId(f"{event.summary}-{number}")
    after, record = put(rules, run.state, event.conversation, kind, name, chunk, made)
    assert isinstance(record, Pass)
    return replace(run, state=after, passes=(*run.passes, record), number=number, stale=0)


def _last_resort(rules: Rules, run: Run, event: SweepUntil) -> Run:
    """Put one cut text in the place of all that is not protected (CMP-22).

    Messages that stand among summaries are wrapped first, each run of them for itself.
    """
    chunk = _unprotected(rules, run.state, event)
    cap = event.settings.fallback_cap
    if selection.tokens_in(chunk) <= cap or not any(one.says for one in chunk):
        return run
    if any(one.depth is None for one in chunk) and any(one.depth is not None for one in chunk):
        for messages in list(selection.runs(chunk, None)):
            size = min(cap, selection.tokens_in(messages))
            run = _cut(rules, run, event, Kind.WRAP, messages, size)
        chunk = _unprotected(rules, run.state, event)
    size = min(cap, selection.tokens_in(chunk) - 1)
    return _cut(rules, run, event, Kind.PREFIX, chunk, size) if size > 0 else run


def _unprotected(rules: Rules, state: State, event: SweepUntil) -> Chunk:
    entries = entries_of(state, event.conversation)
    return entries[: selection.boundary(rules, entries, event.settings)]


def _cut(rules: Rules, run: Run, event: SweepUntil, kind: Kind, chunk: Chunk, size: int) -> Run:
    """Replace a chunk by its own text, cut to a size."""
    at = find(run.state.taken.ledger.lists, event.conversation)
    assert at is not None
    text = cut(source(run.state, at, items_of(chunk)), size)
    made = Summarised(text=text, tokens=measured(text), level=Level.FALLBACK, capped=False, calls=0)
    return _put(rules, run, event, kind, chunk, made)


def _swept(
    rules: Rules,
    state: State,
    run: Run,
    event: CompactLeaf | Sweep | SweepUntil,
    *,
    rounds: int,
    missed: bool = False,
) -> Swept:
    """Return what a sweep did; a target that was missed names what is protected."""
    conversation = event.conversation
    assert run.stop is not None
    protected = 0
    if missed:
        entries = entries_of(run.state, conversation)
        protected = selection.tokens_in(
            entries[selection.boundary(rules, entries, event.settings) :]
        )
    return Swept(
        compacted=bool(run.passes),
        before=total(state, conversation),
        after=total(run.state, conversation),
        passes=run.passes,
        rounds=rounds,
        calls=run.calls,
        stop=run.stop,
        floor=protected if missed else None,
    )
