"""The values of anchoring: state, events, outcomes and rules (chapter ``spec/anchoring.md``)."""

from enum import Enum
from typing import Annotated, NewType, TypeAlias

from msgspec import Meta, Struct

from plumbline_models.contract import MAX_INTEGER
from plumbline_models.decisions.chaining import ChainField, DigestField
from plumbline_models.decisions.refreshing import Mode, Reason, Way, Windows
from plumbline_models.decisions.statistics import Reward, Statistics

OutcomeId = NewType("OutcomeId", str)
SnapshotId = NewType("SnapshotId", int)
PinId = NewType("PinId", str)
GateId = NewType("GateId", str)
Position = NewType("Position", int)
Epoch = NewType("Epoch", int)

_ID = Meta(min_length=1, max_length=256)
OutcomeField = Annotated[OutcomeId, _ID, Meta(description="names one outcome of a decision")]
SnapshotField = Annotated[
    SnapshotId,
    Meta(ge=0, le=MAX_INTEGER, description="number of a snapshot in the order of publication"),
]
PinField = Annotated[PinId, _ID, Meta(description="names one pin")]
GateField = Annotated[GateId, _ID, Meta(description="names one run of a gate, and its pin")]
PositionField = Annotated[
    Position, Meta(ge=0, le=MAX_INTEGER, description="place in the log; the first outcome is at 1")
]
EpochField = Annotated[
    Epoch, Meta(ge=1, le=MAX_INTEGER, description="1, and one more with each rewriting of the log")
]
Moment = Annotated[
    int, Meta(ge=0, le=MAX_INTEGER, description="in seconds of the host's clock, which may go back")
]
_Text = Annotated[str, Meta(max_length=256)]
_Handed = Annotated[
    int,
    Meta(ge=-MAX_INTEGER, le=MAX_INTEGER, description="in micro-units; refused if it is no reward"),
]
_Rows = Annotated[int, Meta(ge=0, le=MAX_INTEGER, description="rows")]
_Merges = Annotated[
    int, Meta(ge=0, le=MAX_INTEGER, description="merges since the last exact rebuild")
]


class Key(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, order=True):
    """What statistics are kept by."""

    family: _Text
    plan: _Text = ""
    mode: _Text = ""


class Source(Enum):
    """Where an outcome comes from. The values are stable: hosts name them."""

    LIVE = "live"
    BACKFILL = "backfill"
    GATE = "gate"
    """A gate's run, whose outcomes are not logged."""


class Draft(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An outcome of a decision, as it is handed to be logged."""

    outcome: OutcomeField
    key: Key
    reward: _Handed
    source: Source = Source.LIVE
    under: SnapshotField | None = None
    """The snapshot that the decision was made under; None for none."""


class Logged(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row of the log."""

    position: PositionField
    outcome: OutcomeField
    key: Key
    reward: Reward | None
    """None when it was retracted."""
    source: Source
    under: SnapshotField | None
    epoch: EpochField
    """In which it was written last."""
    digest: DigestField
    """Of what was handed; a rewriting leaves it."""
    chain: ChainField


class Link(Struct, frozen=True, kw_only=True):
    """What of a row goes into the chain: all but the chain itself and what was handed once."""

    position: Position
    outcome: OutcomeId
    key: Key
    reward: Reward | None
    source: Source
    under: SnapshotId | None
    epoch: Epoch


class Known(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is left of an outcome when the log was truncated behind it."""

    position: PositionField
    outcome: OutcomeField
    digest: DigestField


class KeyStatistics(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The statistics of a key."""

    key: Key
    statistics: Statistics


Table = tuple[KeyStatistics, ...]
"""By key; a key without outcomes is not there."""


class Snapshot(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was published; it never changes."""

    id: SnapshotField
    epoch: EpochField
    watermark: PositionField
    """The last position that it counts."""
    chain: ChainField
    """At the watermark, when it was published."""
    statistics: Table
    way: Way
    reason: Reason
    parent: SnapshotField | None
    """The current snapshot before it."""
    exact: SnapshotField
    """The last exact rebuild of its lineage: itself, or its base."""
    merged: _Merges
    generated_at: Moment
    exact_at: Moment
    """When ``exact`` was generated."""
    config: _Text


class Live(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="live"
):
    """The outcomes behind a snapshot, counted as they come."""

    anchor: SnapshotField
    epoch: EpochField
    lo: PositionField
    """It counts the outcomes behind this position,"""
    hi: PositionField
    """and up to this one."""
    chain: ChainField
    """At ``hi``."""
    statistics: Table = ()


class Torn(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="torn"
):
    """A live delta that does not hold what it says."""


class Lease(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A pin: somebody reads a snapshot, which must not go."""

    id: PinField
    snapshot: SnapshotField
    owner: _Text
    expires: Moment | None
    """From this moment on it holds nothing; None for never."""
    gate: bool = False
    """Whether it is of a gate's run."""


class Verdict(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a gate's run came to."""

    gate: GateField
    snapshot: SnapshotField
    candidate: _Text
    """Hash of the candidate that was judged."""
    result: _Text
    """Three numbers such as ``100/100/0``, of which nothing is made here."""
    promoted: bool


class State(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The log, what was published of it, and what is counted since."""

    log: tuple[Logged, ...] = ()
    """By position, without a gap; behind the watermark of the foundation where there is one."""
    truncated: tuple[Known, ...] = ()
    """By position."""
    foundation: SnapshotField | None = None
    """The exact snapshot that stands for what was truncated; None when nothing was."""
    epoch: EpochField = Epoch(1)
    snapshots: tuple[Snapshot, ...] = ()
    """By id."""
    current: SnapshotField | None = None
    """What the manifest names; None when there is none, or when it cannot be read."""
    issued: SnapshotField = SnapshotId(0)
    """The greatest id that was ever given to a snapshot."""
    reused: bool = False
    """Whether the last refresh stayed with the current snapshot."""
    live: Live | Torn | None = None
    pins: tuple[Lease, ...] = ()
    """By id."""
    verdicts: tuple[Verdict, ...] = ()
    """By gate."""


class Record(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring.Record"):
    """Log outcomes, each by itself: one that is refused leaves the others."""

    drafts: tuple[Draft, ...]


class Refresh(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring.Refresh"
):
    """Publish a snapshot of the whole log, or stay with the current one."""

    now: Moment
    mode: Mode = Mode.AUTO
    windows: Windows = Windows()
    config: _Text = ""
    """Names how outcomes are counted; a snapshot of another configuration is not merged into."""
    drift: bool = False
    """Whether an audit found the current snapshot to be another than the log makes."""
    expects: SnapshotField | None = None
    """The snapshot that must be current, 0 for none at all; None for whichever is."""


class Correction(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an outcome in the log is to become."""

    outcome: OutcomeField
    key: Key
    reward: _Handed | None
    """None retracts it: it is counted no more."""


class Rewrite(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring.Rewrite"
):
    """Change rows of the log in place, all or none; a new epoch begins."""

    corrections: tuple[Correction, ...]


class Truncate(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring.Truncate"
):
    """Drop the rows that an exact snapshot counts; it stands for them from then on."""

    snapshot: SnapshotField


class Pin(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring.Pin"):
    """Pin a snapshot."""

    pin: PinField
    owner: _Text
    now: Moment
    snapshot: SnapshotField | None = None
    """None for the current one."""
    expires: Moment | None = None


class Renew(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring.Renew"):
    """Give a pin another lease."""

    pin: PinField
    now: Moment
    expires: Moment | None = None


class Unpin(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring.Unpin"):
    """Let a pinned snapshot go."""

    pin: PinField


class OpenGate(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring.OpenGate"
):
    """Refresh, and pin what is current then, in one step."""

    gate: GateField
    owner: _Text
    now: Moment
    expires: Moment | None = None
    mode: Mode = Mode.AUTO
    windows: Windows = Windows()
    config: _Text = ""
    drift: bool = False


class CloseGate(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring.CloseGate"
):
    """Record what a gate's run came to, and unpin its snapshot."""

    gate: GateField
    snapshot: SnapshotField
    """The one that it went by."""
    candidate: _Text
    result: _Text
    promoted: bool


class Collect(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring.Collect"
):
    """Let pins go whose lease is over, and snapshots that nobody needs."""

    now: Moment
    keep: Annotated[
        int, Meta(ge=0, le=MAX_INTEGER, description="newest snapshots that stay, 0 for none")
    ] = 0


class Audit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring.Audit"):
    """Recount the log and compare; nothing changes."""


class Credit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring.Credit"):
    """Ask what became of the decisions that were made under a snapshot."""

    snapshot: SnapshotField


class Loss(Enum):
    """What the environment can do to what is not the log."""

    LIVE_ABSENT = "live_absent"
    LIVE_TORN = "live_torn"
    LIVE_STALE = "live_stale"
    """It is as it was when the snapshot was published."""
    LIVE_FOREIGN = "live_foreign"
    """It is anchored to another snapshot than the current one."""
    MANIFEST = "manifest"
    """It names no snapshot."""


class Lose(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring.Lose"):
    """The live delta or the manifest is damaged, or comes back from an old copy."""

    what: Loss


class Backfill(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring.Backfill"
):
    """A script rewrites an outcome in place and begins no epoch."""

    outcome: OutcomeField
    reward: Reward


Event: TypeAlias = (
    Record
    | Refresh
    | Rewrite
    | Truncate
    | Pin
    | Renew
    | Unpin
    | OpenGate
    | CloseGate
    | Collect
    | Audit
    | Credit
    | Lose
    | Backfill
)


class Refusal(Enum):
    """Why something was refused. The values are stable: vectors name them."""

    EMPTY_BATCH = "empty_batch"
    OUTCOME_CONFLICT = "outcome_conflict"
    GATE_OUTCOME = "gate_outcome"
    REWARD_OUT_OF_RANGE = "reward_out_of_range"
    UNKNOWN_SNAPSHOT = "unknown_snapshot"
    SUPERSEDED = "superseded"
    REPEATED_OUTCOME = "repeated_outcome"
    UNKNOWN_OUTCOME = "unknown_outcome"
    TRUNCATED_OUTCOME = "truncated_outcome"
    MANIFEST_INVALID = "manifest_invalid"
    NOT_EXACT = "not_exact"
    OLD_EPOCH = "old_epoch"
    BELOW_FOUNDATION = "below_foundation"
    DRIFTED = "drifted"
    PIN_EXISTS = "pin_exists"
    UNKNOWN_PIN = "unknown_pin"
    LEASE_OVER = "lease_over"
    GATE_EXISTS = "gate_exists"
    NOT_PINNED = "not_pinned"
    NOTHING_TO_LOSE = "nothing_to_lose"


class Placed(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="placed"
):
    """The outcome is in the log."""

    position: PositionField
    repeated: bool = False
    """Whether it was there before."""


class Rejected(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="rejected"
):
    """The outcome is not in the log."""

    reason: Refusal


Answer: TypeAlias = Placed | Rejected


class Recorded(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring.Recorded"
):
    """What became of each draft, in their order."""

    answers: tuple[Answer, ...]


class Refreshed(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring.Refreshed"
):
    """The current snapshot counts the whole log."""

    way: Way
    reason: Reason
    snapshot: SnapshotField
    previous: SnapshotField | None
    """The current snapshot before; the same one when it is reused."""
    watermark: PositionField
    rows_read: _Rows
    """Of the log, for a rebuild; of the live delta, for a merge."""
    rows_written: _Rows
    """Statistics: of every key for a rebuild, of the keys in the delta for a merge."""
    foundation: SnapshotField | None = None
    """What a rebuild began with, where the log was truncated."""
    doubted: tuple[GateField, ...] = ()
    """After a rebuild in the place of what was wrong: gates that judged by its lineage."""


class Ineligible(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring.Ineligible"
):
    """A merge was asked for and may not be made; the state is as it was."""

    reason: Reason


class Rewritten(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring.Rewritten"
):
    """So many rows are others now, in this epoch."""

    epoch: EpochField
    changed: _Rows


class Truncated(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring.Truncated"
):
    """So many rows went."""

    removed: _Rows


class Pinned(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring.Pinned"):
    """The snapshot stays."""

    snapshot: SnapshotField


class Unpinned(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring.Unpinned"
):
    """The pin is gone."""

    snapshot: SnapshotField


class GateOpened(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring.GateOpened"
):
    """The run goes by this snapshot, which is pinned."""

    snapshot: SnapshotField
    way: Way
    reason: Reason
    doubted: tuple[GateField, ...] = ()
    """As of a refresh."""


class GateClosed(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring.GateClosed"
):
    """The verdict names this snapshot."""

    snapshot: SnapshotField


class Collected(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring.Collected"
):
    """What went."""

    snapshots: tuple[SnapshotField, ...]
    pins: tuple[PinField, ...]


class Drift(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A snapshot that is not what the log makes, and whom that concerns."""

    snapshot: SnapshotField
    superseded_by: SnapshotField | None
    """The next exact snapshot that is what the log makes; None when none is stored."""
    gates: tuple[GateField, ...]
    """With a verdict about it."""
    pins: tuple[PinField, ...]
    """That hold it."""


class Audited(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring.Audited"
):
    """What a recount found."""

    judged: _Rows
    """Snapshots of this epoch whose outcomes are in the log, or in its foundation."""
    drifted: tuple[Drift, ...]
    """Those of them that are not what the log makes, by id."""
    live_drifted: bool
    """Whether the live delta is not what the log makes of what it covers."""


class Credited(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring.Credited"
):
    """What became of the decisions under a snapshot, of those in the log."""

    statistics: Table


class Lost(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring.Lost"):
    """It is damaged."""


class Backfilled(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring.Backfilled"
):
    """The row is another one, and nobody was told."""


class Refused(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="anchoring.Refused"
):
    """The state is as it was."""

    reason: Refusal


Outcome: TypeAlias = (
    Recorded
    | Refreshed
    | Ineligible
    | Rewritten
    | Truncated
    | Pinned
    | Unpinned
    | GateOpened
    | GateClosed
    | Collected
    | Audited
    | Credited
    | Lost
    | Backfilled
    | Refused
)


class Rules(Struct, frozen=True, kw_only=True):
    """The decision points at which systems differ; ``SPEC`` is the specification's."""

    name: str
    coverage: bool = True
    """False: a delta is right when it is anchored to the current snapshot (issue 12)."""
    epochs: bool = True
    """False: nobody asks for epochs (issue 12)."""
    chains: bool = True
    """False: nobody asks for chain hashes (issue 12)."""
    reuse: bool = True
    """False: an empty delta is merged too, and makes a snapshot (issue 12)."""
    rebuilds: bool = True
    """False: no window is ever over (issues 12 and 13)."""
    zeros: bool = True
    """False: a window of 0 is the default one (issue 14, before its repair)."""
    lineage: bool = True
    """False: the age of exactness is that of the last snapshot (issue 14)."""


SPEC = Rules(name="SPEC")
"""The decisions of the specification."""
