"""What can be asked of a state of anchoring, recounted from the log each time."""

from collections.abc import Iterable

from msgspec.structs import replace

from plumbline_models.anchoring.values import (
    Key,
    KeyStatistics,
    Known,
    Lease,
    Link,
    Live,
    Logged,
    OpenGate,
    OutcomeId,
    PinId,
    Position,
    Refresh,
    Snapshot,
    SnapshotId,
    State,
    Table,
    Torn,
)
from plumbline_models.decisions.chaining import START, chained
from plumbline_models.decisions.refreshing import Sight, Way
from plumbline_models.decisions.statistics import Statistics, merge, of_one


def snapshot_of(state: State, snapshot: SnapshotId | None) -> Snapshot | None:
    """Return a snapshot that is stored, or None."""
    return next((one for one in state.snapshots if one.id == snapshot), None)


def current_of(state: State) -> Snapshot | None:
    """Return the snapshot that the manifest names, or None."""
    return snapshot_of(state, state.current)


def foundation_of(state: State) -> Snapshot | None:
    """Return the snapshot that stands for what was truncated, or None."""
    return snapshot_of(state, state.foundation)


def pin_of(state: State, pin: PinId) -> Lease | None:
    """Return a pin, or None."""
    return next((one for one in state.pins if one.id == pin), None)


def known_of(state: State, outcome: OutcomeId) -> Logged | Known | None:
    """Return where an outcome is logged, or what is left of it, or None."""
    every: tuple[Logged | Known, ...] = (*state.log, *state.truncated)
    return next((one for one in every if one.outcome == outcome), None)


def beginning_of(state: State) -> Position:
    """Return the position behind which the log holds rows."""
    foundation = foundation_of(state)
    return Position(0) if foundation is None else foundation.watermark


def end_of(state: State) -> Position:
    """Return the last position of the log."""
    return Position(beginning_of(state) + len(state.log))


def chain_at(state: State, position: Position) -> str | None:
    """Return the chain of the log at a position; None where there is no row."""
    foundation = foundation_of(state)
    if position == beginning_of(state):
        return START if foundation is None else foundation.chain
    return next((one.chain for one in state.log if one.position == position), None)


def chain_of(row: Logged, before: str) -> str:
    """Return the chain at a row, whatever it says itself."""
    return chained(
        before,
        Link(
            position=row.position,
            outcome=row.outcome,
            key=row.key,
            reward=row.reward,
            source=row.source,
            under=row.under,
            epoch=row.epoch,
        ),
    )


def merged(*tables: Table) -> Table:
    """Return the statistics of the outcomes of all tables."""
    found: dict[Key, Statistics] = {}
    for table in tables:
        for one in table:
            at = found.get(one.key)
            found[one.key] = one.statistics if at is None else merge(at, one.statistics)
    return tuple(KeyStatistics(key=key, statistics=found[key]) for key in sorted(found))


def fold(rows: Iterable[Logged]) -> Table:
    """Return the statistics of rows; those that were retracted count nothing."""
    return merged(
        tuple(
            KeyStatistics(key=row.key, statistics=of_one(row.reward))
            for row in rows
            if row.reward is not None
        )
    )


def recounted(state: State, upto: Position) -> Table:
    """Return the statistics of all outcomes up to a position: foundation and rows."""
    foundation = foundation_of(state)
    base = () if foundation is None else foundation.statistics
    return merged(base, fold(row for row in state.log if row.position <= upto))


def comparable(state: State, snapshot: Snapshot) -> bool:
    """Tell whether what a snapshot counts can be counted again: its epoch, and its rows."""
    return snapshot.epoch == state.epoch and snapshot.watermark >= beginning_of(state)


def drifted(state: State, snapshot: Snapshot) -> bool:
    """Tell whether a comparable snapshot is not what the log makes."""
    return snapshot.statistics != recounted(state, snapshot.watermark)


def superseding(state: State, snapshot: Snapshot) -> SnapshotId | None:
    """Return the next exact snapshot that is what the log makes, or None."""
    return next(
        (
            one.id
            for one in state.snapshots
            if one.id > snapshot.id
            and one.way is Way.FULL_REBUILD
            and comparable(state, one)
            and not drifted(state, one)
        ),
        None,
    )


def live_drifted(state: State) -> bool:
    """Tell whether the live delta is not what the log makes of what it covers."""
    live = state.live
    if not isinstance(live, Live) or live.epoch != state.epoch:
        return False
    if live.lo < beginning_of(state):
        return False
    return live.statistics != fold(row for row in state.log if live.lo < row.position <= live.hi)


def doubtful(state: State, event: Refresh | OpenGate) -> bool:
    """Tell whether the current snapshot is known to be another than the log of its epoch makes."""
    at = current_of(state)
    if at is None:
        return False
    rewritten = at.epoch == state.epoch and chain_at(state, at.watermark) != at.chain
    return event.drift or rewritten


def sight(state: State, event: Refresh | OpenGate) -> Sight:
    """Return what a refresh sees of the log, of the current snapshot and of the live delta."""
    at, live, end = current_of(state), state.live, end_of(state)
    if at is None:
        return Sight(snapshot=state.issued > 0, manifest=False)
    seen = Sight(
        snapshot=True,
        live=live is not None,
        readable=not isinstance(live, Torn),
        config=at.config == event.config,
        merged=at.merged,
        age=abs(event.now - at.generated_at),
        exact_age=abs(event.now - at.exact_at),
    )
    if not isinstance(live, Live):
        return seen
    changed = chain_at(state, at.watermark) != at.chain or chain_at(state, live.hi) != live.chain
    return replace(
        seen,
        anchored=live.anchor == at.id,
        epoch=live.epoch == at.epoch == state.epoch,
        covered=live.lo == at.watermark and live.hi == end,
        drift=event.drift or changed,
        new=max(0, live.hi - live.lo),
    )
