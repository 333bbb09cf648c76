"""The step of anchoring step by step (chapter ``spec/anchoring_steps.md``, "Events")."""

from typing import assert_never

from msgspec.structs import replace

from plumbline_models.anchoring.values import Epoch, Position, SnapshotId
from plumbline_models.anchoring_steps.values import (
    Advance,
    Appended,
    Begun,
    Computed,
    Event,
    Kill,
    Killed,
    Live,
    LiveLeft,
    LiveRead,
    LiveReset,
    LiveWritten,
    Manifest,
    Outcome,
    Process,
    ProcessId,
    Published,
    Reason,
    Record,
    Recorder,
    Recording,
    Refresh,
    Refresher,
    Refreshing,
    Refused,
    Rewrite,
    Rewritten,
    Row,
    Rules,
    Seen,
    State,
    Superseded,
    Torn,
    Way,
)
from plumbline_models.decisions.statistics import Statistics, fold, merge, of_one

Step = tuple[State, Outcome]


def step(rules: Rules, state: State, event: Event) -> Step:
    """Apply one event.

    Total: every event in every state has an outcome. A refusal returns ``state`` itself.
    """
    match event:
        case Record() | Refresh():
            return _begin(rules, state, event)
        case Advance() | Kill():
            at = process_of(state, event.process)
            if at is None:
                return state, Refused(reason=Reason.UNKNOWN_PROCESS)
            return (
                _kill(rules, state, at, event) if isinstance(event, Kill) else _go(rules, state, at)
            )
        case Rewrite():
            return _rewrite(state, event)
        case _:
            assert_never(event)


def process_of(state: State, process: ProcessId) -> Process | None:
    """Return a process that runs, or None."""
    return next((one for one in state.running if one.process == process), None)


def with_process(state: State, at: Process) -> State:
    """Return the state in which a process is where it is."""
    every = sorted((*without(state, at).running, at), key=lambda one: one.process)
    return replace(state, running=tuple(every))


def without(state: State, at: Process) -> State:
    """Return the state in which a process does not run."""
    return replace(state, running=tuple(one for one in state.running if one.process != at.process))


def counted(rows: tuple[Row, ...]) -> Statistics:
    """Return the statistics of rows."""
    return fold(row.reward for row in rows)


def covered(
    rules: Rules, state: State, manifest: Manifest | None, live: Live | Torn | None
) -> bool:
    """Tell whether a delta may be merged into what is published."""
    if manifest is None or not isinstance(live, Live) or live.anchor != manifest.id:
        return False
    if rules.epochs and not live.epoch == manifest.epoch == state.epoch:
        return False
    ends = live.lo == manifest.watermark and live.hi == len(state.log)
    return ends or not rules.coverage


def computed(
    rules: Rules, state: State, manifest: Manifest | None, live: Live | Torn | None
) -> Manifest:
    """Return what a refresher publishes that saw this, but for its id."""
    if manifest is not None and isinstance(live, Live) and covered(rules, state, manifest, live):
        return Manifest(
            id=SnapshotId(0),
            epoch=state.epoch,
            watermark=Position(manifest.watermark + live.hi - live.lo),
            statistics=merge(manifest.statistics, live.statistics),
            way=Way.DELTA_MERGE,
        )
    return Manifest(
        id=SnapshotId(0),
        epoch=state.epoch,
        watermark=Position(len(state.log)),
        statistics=counted(state.log),
        way=Way.FULL_REBUILD,
    )


def anchored(made: Manifest) -> Live:
    """Return the live delta behind a snapshot, with nothing in it."""
    return Live(anchor=made.id, epoch=made.epoch, lo=made.watermark, hi=made.watermark)


def _begin(rules: Rules, state: State, event: Record | Refresh) -> Step:
    if process_of(state, event.process) is not None:
        return state, Refused(reason=Reason.PROCESS_RUNS)
    if rules.lock and state.running:
        return state, Refused(reason=Reason.SOMEBODY_RUNS)
    if isinstance(event, Refresh):
        return with_process(state, Refresher(process=event.process)), Begun()
    recorders = [one.row.outcome for one in state.running if isinstance(one, Recorder)]
    if event.outcome in recorders or any(row.outcome == event.outcome for row in state.log):
        return state, Refused(reason=Reason.KNOWN_OUTCOME)
    row = Row(outcome=event.outcome, reward=event.reward)
    return with_process(state, Recorder(process=event.process, row=row)), Begun()


def _kill(rules: Rules, state: State, at: Process, event: Kill) -> Step:
    after = without(state, at)
    if not event.torn:
        return after, Killed()
    if at.following not in (Recording.WRITE, Refreshing.RESET):
        return state, Refused(reason=Reason.NOT_WRITING)
    left: Live | Torn | None = Torn()
    if not rules.readable and state.manifest is not None:
        end = Position(len(state.log))
        left = replace(anchored(state.manifest), epoch=state.epoch, hi=end)
    return replace(after, live=left), Killed()


def _rewrite(state: State, event: Rewrite) -> Step:
    if state.running:
        return state, Refused(reason=Reason.SOMEBODY_RUNS)
    if all(row.outcome != event.outcome for row in state.log):
        return state, Refused(reason=Reason.UNKNOWN_OUTCOME)
    log = tuple(
        replace(row, reward=event.reward) if row.outcome == event.outcome else row
        for row in state.log
    )
    epoch = Epoch(state.epoch + 1)
    return replace(state, log=log, epoch=epoch), Rewritten(epoch=epoch)


def _go(rules: Rules, state: State, at: Process) -> Step:
    return _record(rules, state, at) if isinstance(at, Recorder) else _refresh(rules, state, at)


def _record(rules: Rules, state: State, at: Recorder) -> Step:
    match at.following:
        case Recording.APPEND:
            position = Position(len(state.log) + 1)
            after = replace(state, log=(*state.log, at.row))
            if rules.one_record:
                live = extended(rules, state.live, at.row, position)
                after = replace(after, live=state.live if live is None else live)
                return without(after, at), Appended(position=position)
            following = replace(at, following=Recording.READ, position=position)
            return with_process(after, following), Appended(position=position)
        case Recording.READ:
            following = replace(at, following=Recording.WRITE, read=state.live)
            return with_process(state, following), LiveRead()
        case Recording.WRITE:
            live = extended(rules, at.read, at.row, at.position)
            if live is None:
                return without(state, at), LiveLeft()
            return replace(without(state, at), live=live), LiveWritten()


def extended(rules: Rules, live: Live | Torn | None, row: Row, position: Position) -> Live | None:
    """Return a live delta with an outcome; None when it does not end right before it."""
    if not isinstance(live, Live) or (rules.coverage and live.hi != position - 1):
        return None
    statistics = merge(live.statistics, of_one(row.reward))
    return replace(live, hi=Position(live.hi + 1), statistics=statistics)


def _refresh(rules: Rules, state: State, at: Refresher) -> Step:
    match at.following:
        case Refreshing.SEE:
            following = replace(
                at, following=Refreshing.COMPUTE, seen=state.manifest, live=state.live
            )
            return with_process(state, following), Seen()
        case Refreshing.COMPUTE:
            made = computed(rules, state, at.seen, at.live)
            following = replace(at, following=Refreshing.PUBLISH, live=None, made=made)
            return with_process(state, following), Computed(way=made.way, watermark=made.watermark)
        case Refreshing.PUBLISH:
            return _publish(rules, state, at)
        case Refreshing.RESET:
            assert at.made is not None
            return replace(without(state, at), live=anchored(at.made)), LiveReset()


def _publish(rules: Rules, state: State, at: Refresher) -> Step:
    assert at.made is not None
    if rules.swap and at.seen != state.manifest:
        return without(state, at), Superseded()
    number = state.issued + 1
    made = replace(at.made, id=SnapshotId(number if rules.unique else (number + 1) // 2))
    after = replace(state, manifest=made, issued=SnapshotId(number))
    if rules.one_publication:
        return replace(without(after, at), live=anchored(made)), Published(snapshot=made.id)
    following = replace(at, following=Refreshing.RESET, seen=None, made=made)
    return with_process(after, following), Published(snapshot=made.id)
