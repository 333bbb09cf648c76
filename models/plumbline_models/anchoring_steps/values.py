"""The values of anchoring step by step: state, events, outcomes and rules.

Chapter ``spec/anchoring_steps.md``.
"""

from enum import Enum
from typing import Annotated, NewType, TypeAlias

from msgspec import Meta, Struct

from plumbline_models.anchoring.values import (
    Epoch,
    EpochField,
    OutcomeField,
    Position,
    PositionField,
    SnapshotField,
    SnapshotId,
)
from plumbline_models.decisions.statistics import NOTHING, Reward, Statistics

ProcessId = NewType("ProcessId", str)
ProcessField = Annotated[
    ProcessId, Meta(min_length=1, max_length=256, description="names a process that runs")
]


class Row(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An outcome in the log; its position is its place there."""

    outcome: OutcomeField
    reward: Reward


class Live(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="live"
):
    """The file with the live delta, as it can be read."""

    anchor: SnapshotField
    epoch: EpochField
    lo: PositionField
    """It counts the outcomes behind this position,"""
    hi: PositionField
    """and up to this one."""
    statistics: Statistics = NOTHING


class Torn(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="torn"
):
    """The file with the live delta, written half."""


class Way(Enum):
    """What a refresher computes. The values are stable: vectors name them."""

    FULL_REBUILD = "full_rebuild"
    DELTA_MERGE = "delta_merge"


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file that says what is published."""

    id: SnapshotField
    epoch: EpochField
    watermark: PositionField
    statistics: Statistics
    way: Way


class Recording(Enum):
    """The next step of a recorder."""

    APPEND = "append"
    READ = "read"
    WRITE = "write"


class Refreshing(Enum):
    """The next step of a refresher."""

    SEE = "see"
    COMPUTE = "compute"
    PUBLISH = "publish"
    RESET = "reset"


class Recorder(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="recorder"
):
    """A process that logs an outcome, and what it has in memory."""

    process: ProcessField
    row: Row
    following: Recording = Recording.APPEND
    position: PositionField = Position(0)
    """Of its outcome, once it is appended."""
    read: Live | Torn | None = None
    """The live delta that it read."""


class Refresher(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="refresher"
):
    """A process that publishes a snapshot, and what it has in memory."""

    process: ProcessField
    following: Refreshing = Refreshing.SEE
    seen: Manifest | None = None
    live: Live | Torn | None = None
    """The live delta that it saw with the manifest."""
    made: Manifest | None = None
    """What it computed; with its id once it is published."""


Process: TypeAlias = Recorder | Refresher


class State(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The files, and the processes that run."""

    log: tuple[Row, ...] = ()
    epoch: EpochField = Epoch(1)
    live: Live | Torn | None = None
    manifest: Manifest | None = None
    issued: SnapshotField = SnapshotId(0)
    """How many snapshots were published."""
    running: tuple[Process, ...] = ()
    """By name."""


class Record(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring_steps.Record"
):
    """A recorder begins; it has done nothing yet."""

    process: ProcessField
    outcome: OutcomeField
    reward: Reward


class Refresh(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring_steps.Refresh"
):
    """A refresher begins; it has done nothing yet."""

    process: ProcessField


class Advance(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring_steps.Advance"
):
    """A process takes its next step."""

    process: ProcessField


class Kill(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring_steps.Kill"
):
    """A process ends between two steps, or in the middle of its write of the live delta."""

    process: ProcessField
    torn: bool = False
    """Whether it was writing the live delta."""


class Rewrite(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring_steps.Rewrite"
):
    """A script rewrites an outcome in place while nobody runs; a new epoch begins."""

    outcome: OutcomeField
    reward: Reward


Event: TypeAlias = Record | Refresh | Advance | Kill | Rewrite


class Begun(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring_steps.Begun"
):
    """The process runs."""


class Appended(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring_steps.Appended"
):
    """The outcome stands at the end of the log."""

    position: PositionField


class LiveRead(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring_steps.LiveRead"
):
    """The recorder knows the live delta."""


class LiveWritten(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring_steps.LiveWritten"
):
    """The live delta counts the outcome; the recorder is done."""


class LiveLeft(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring_steps.LiveLeft"
):
    """The live delta does not end before the outcome, or cannot be read; the recorder is done."""


class Seen(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring_steps.Seen"
):
    """The refresher knows manifest and live delta."""


class Computed(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring_steps.Computed"
):
    """The refresher knows what to publish."""

    way: Way
    watermark: PositionField


class Published(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring_steps.Published"
):
    """The manifest names the snapshot."""

    snapshot: SnapshotField


class Superseded(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring_steps.Superseded"
):
    """The manifest is another one than was seen; the refresher has done nothing and ends."""


class LiveReset(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring_steps.LiveReset"
):
    """The live delta is empty and anchored to what was published; the refresher is done."""


class Killed(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring_steps.Killed"
):
    """The process is gone, with what it had in memory."""


class Rewritten(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring_steps.Rewritten"
):
    """The log is another one, of this epoch."""

    epoch: EpochField


class Reason(Enum):
    """Why an event was refused. The values are stable: vectors name them."""

    PROCESS_RUNS = "process_runs"
    UNKNOWN_PROCESS = "unknown_process"
    KNOWN_OUTCOME = "known_outcome"
    UNKNOWN_OUTCOME = "unknown_outcome"
    NOT_WRITING = "not_writing"
    SOMEBODY_RUNS = "somebody_runs"


class Refused(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring_steps.Refused"
):
    """The state is as it was."""

    reason: Reason


Outcome: TypeAlias = (
    Begun
    | Appended
    | LiveRead
    | LiveWritten
    | LiveLeft
    | Seen
    | Computed
    | Published
    | Superseded
    | LiveReset
    | Killed
    | Rewritten
    | Refused
)


class Rules(Struct, frozen=True, kw_only=True):
    """The decision points at which systems differ; ``SPEC`` is the specification's."""

    name: str
    coverage: bool = True
    """False: a delta is right when it is anchored to the published snapshot (issue 12)."""
    epochs: bool = True
    """False: nobody asks for epochs (issue 12)."""
    swap: bool = True
    """False: a manifest is written whatever it is by then."""
    unique: bool = True
    """False: an id is a second of the clock, which two publications may share."""
    readable: bool = True
    """False: a live delta that cannot be read is taken for an empty one."""
    one_record: bool = False
    """True: log and live delta are written in one step."""
    one_publication: bool = False
    """True: manifest and live delta are written in one step."""
    lock: bool = False
    """True: recorders and refreshers exclude each other; one that was killed lets go."""


SPEC = Rules(name="SPEC")
"""Two files, no lock: the decisions of the specification."""
