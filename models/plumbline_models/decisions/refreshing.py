"""How a snapshot is refreshed, and why: the first row of a table that holds.

Theory of operation. A refresh that merges a delta is right only when the delta is all that the log
has behind the snapshot and nothing else; everything that may make it something else is a row of the
table and costs a rebuild. Exact rebuilds come in time as well: after so many merges, and so many
seconds after the last one, both counted from the last rebuild and not from the last refresh, which
every merge renews. An age is the distance of two moments, so a clock that was once far ahead keeps
nothing fresh for ever. Windows hold of what is returned, so a snapshot with more merges than are
allowed now is not reused. Zero is a value like any other: no merge at all, or no second.

Whoever asks for a merge that may not be made is refused with the row, and is never given a rebuild
in its place.
"""

from enum import Enum
from typing import Annotated

from msgspec import Meta, Struct

from plumbline_models.contract import MAX_INTEGER

_Seconds = Annotated[int, Meta(ge=0, le=MAX_INTEGER, description="in seconds")]
_Merges = Annotated[int, Meta(ge=0, le=MAX_INTEGER, description="merges")]


class Mode(Enum):
    """What a refresh is asked for."""

    AUTO = "auto"
    DELTA = "delta"
    FULL = "full"


class Way(Enum):
    """What a refresh does. The values are stable: vectors and hosts name them."""

    FULL_REBUILD = "full_rebuild"
    """The log is recounted."""
    DELTA_MERGE = "delta_merge"
    """The live delta is merged into the current snapshot."""
    REUSED_SNAPSHOT = "reused_snapshot"
    """Nothing is new, and the current snapshot stays."""


class Reason(Enum):
    """Why, in the order in which it is asked. The values are stable: vectors and hosts name them.

    Those up to ``DRIFT_DETECTED`` make a rebuild.
    """

    NO_SNAPSHOT = "no_snapshot"
    MANIFEST_INVALID = "manifest_invalid"
    LIVE_ABSENT = "live_absent"
    LIVE_CORRUPT = "live_corrupt"
    ANCHOR_MISMATCH = "anchor_mismatch"
    EPOCH_MISMATCH = "epoch_mismatch"
    CONFIG_MISMATCH = "config_mismatch"
    COVERAGE_GAP = "coverage_gap"
    FORCED = "forced"
    COMPACTION_DUE_TO_DELTA_COUNT = "compaction_due_to_delta_count"
    COMPACTION_DUE_TO_EXACT_LINEAGE_AGE = "compaction_due_to_exact_lineage_age"
    DRIFT_DETECTED = "drift_detected"
    COMPACTION_DUE_TO_SNAPSHOT_AGE = "compaction_due_to_snapshot_age"
    """Nothing is new, and the snapshot is older than the reuse window."""
    WITHIN_REUSE_WINDOW = "within_reuse_window"
    """Nothing is new, and the snapshot is not."""
    LIVE_DELTA = "live_delta"
    """There is something new, and the live delta is all of it."""


class Windows(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a snapshot is good for."""

    reuse: _Seconds = 300
    """A snapshot younger than this is reused when nothing is new; 0 reuses none."""
    merges: _Merges = 32
    """Merges between two exact rebuilds at most; 0 merges nothing."""
    exact: _Seconds = 86_400
    """Seconds between two exact rebuilds at most; 0 merges only in the second of the rebuild."""


class Sight(Struct, frozen=True, kw_only=True):
    """What a refresh sees of the log, of the current snapshot and of the live delta."""

    snapshot: bool
    """Whether one was ever published."""
    manifest: bool = True
    """Whether the manifest can be read and names a stored snapshot."""
    live: bool = True
    """Whether there is a live delta."""
    readable: bool = True
    """Whether it can be read."""
    anchored: bool = True
    """Whether it is anchored to the current snapshot."""
    epoch: bool = True
    """Whether snapshot, delta and log are of one epoch."""
    config: bool = True
    """Whether snapshot and refresh are of one configuration."""
    covered: bool = True
    """Whether the delta begins where the snapshot ends and ends where the log does."""
    drift: bool = False
    """Whether a chain hash, or an audit, says that the snapshot is not what the log makes."""
    new: Annotated[int, Meta(ge=0, le=MAX_INTEGER, description="outcomes in the delta")] = 0
    merged: _Merges = 0
    """Merges since the last exact rebuild."""
    age: _Seconds = 0
    """Between the moments of the refresh and of the snapshot, whichever is later."""
    exact_age: _Seconds = 0
    """Between those of the refresh and of the last exact rebuild in its lineage."""


class Choice(Struct, frozen=True, kw_only=True):
    """What to do, and why."""

    way: Way
    reason: Reason


class Ineligible(Struct, frozen=True, kw_only=True):
    """A merge was asked for and may not be made."""

    reason: Reason


def choose(mode: Mode, sight: Sight, windows: Windows) -> Choice | Ineligible:
    """Return what a refresh does; only one that asks for a merge can be refused."""
    reason = rebuild_reason(mode, sight, windows)
    if reason is not None:
        if mode is Mode.DELTA:
            return Ineligible(reason=reason)
        return Choice(way=Way.FULL_REBUILD, reason=reason)
    if sight.new:
        return Choice(way=Way.DELTA_MERGE, reason=Reason.LIVE_DELTA)
    if sight.age < windows.reuse:
        return Choice(way=Way.REUSED_SNAPSHOT, reason=Reason.WITHIN_REUSE_WINDOW)
    if mode is Mode.DELTA:
        return Ineligible(reason=Reason.COMPACTION_DUE_TO_SNAPSHOT_AGE)
    return Choice(way=Way.FULL_REBUILD, reason=Reason.COMPACTION_DUE_TO_SNAPSHOT_AGE)


def rebuild_reason(mode: Mode, sight: Sight, windows: Windows) -> Reason | None:
    """Return the first row of the table that asks for a rebuild; None when no row does."""
    merging = 1 if sight.new else 0
    rows = (
        (Reason.NO_SNAPSHOT, not sight.snapshot),
        (Reason.MANIFEST_INVALID, not sight.manifest),
        (Reason.LIVE_ABSENT, not sight.live),
        (Reason.LIVE_CORRUPT, not sight.readable),
        (Reason.ANCHOR_MISMATCH, not sight.anchored),
        (Reason.EPOCH_MISMATCH, not sight.epoch),
        (Reason.CONFIG_MISMATCH, not sight.config),
        (Reason.COVERAGE_GAP, not sight.covered),
        (Reason.FORCED, mode is Mode.FULL),
        (Reason.COMPACTION_DUE_TO_DELTA_COUNT, sight.merged + merging > windows.merges),
        (Reason.COMPACTION_DUE_TO_EXACT_LINEAGE_AGE, sight.exact_age > windows.exact),
        (Reason.DRIFT_DETECTED, sight.drift),
    )
    return next((reason for reason, holds in rows if holds), None)
