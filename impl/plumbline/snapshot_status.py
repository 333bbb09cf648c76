"""How it stands with the snapshots of a database, and whether they are what the log makes.

Theory of operation. Everything is read of one state of the database, and no byte of its folder
changes. What the next refresh would do is what the table of a refresh says now
(``plumbline_models.decisions.refreshing``), so status and refresh cannot disagree; what is wrong
with the live delta is what that table says when no window is ever over.
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Final

import apsw
from msgspec import Struct

from plumbline.anchoring import PROGRAM
from plumbline.damaged import MOST, as_number, as_text, every_row
from plumbline.database import integer
from plumbline.policy_snapshot import clock
from plumbline.recounting import audit as recount
from plumbline.replay_log import Manifest, end_of, foundation_of, manifest_of
from plumbline.snapshot_reading import header, headers, read_log, whole
from plumbline.snapshots import live_delta, published, sight
from plumbline_models.anchoring import (
    Credit,
    Credited,
    Drift,
    Key,
    Refresh,
    Snapshot,
    SnapshotId,
    Table,
)
from plumbline_models.decisions.refreshing import (
    Choice,
    Mode,
    Reason,
    Sight,
    Way,
    Windows,
    choose,
    rebuild_reason,
)
from plumbline_models.decisions.statistics import Ratio, Statistics, mean, variance
from plumbline_spec.errors import UnusableInput

PLACES: Final = 3
"""Digits behind the point of a mean and of a variance, where they are shown."""
NEVER_OVER: Final = Windows(reuse=MOST, merges=MOST, exact=MOST)


class Published(Struct, frozen=True, kw_only=True):
    """A snapshot, without its statistics."""

    snapshot_id: int
    mode: Way
    """How it was made."""
    reason: Reason
    parent: int | None
    watermark: int
    epoch: int
    chain: str
    exact: int
    """The last exact rebuild of its lineage."""
    merges: int
    """Since then."""
    generated_at: int
    age_seconds: int
    """Below 0 when its moment is still to come."""
    exact_age_seconds: int
    """Likewise."""
    config: str


class LogStatus(Struct, frozen=True, kw_only=True):
    """The log."""

    outcomes: int
    """Rows that are there."""
    begins_behind: int
    """The watermark of the foundation; 0 when nothing was truncated."""
    ends_at: int
    epoch: int
    foundation: int | None


class LiveStatus(Struct, frozen=True, kw_only=True):
    """The live delta."""

    anchor: int
    epoch: int
    lo: int
    hi: int
    outcomes: int
    """That it counts."""
    keys: int


class RefreshStatus(Struct, frozen=True, kw_only=True):
    """What a refresh did, or would do now."""

    mode: Way
    reason: Reason


class PinStatus(Struct, frozen=True, kw_only=True):
    """A pin."""

    pin: str
    snapshot_id: int
    owner: str
    expires: int | None
    """None for never."""
    over: bool
    """Whether its lease is over, so that it holds nothing."""
    gate: bool


class VerdictStatus(Struct, frozen=True, kw_only=True):
    """What a gate came to that went by a snapshot."""

    gate: str
    candidate: str
    result: str
    promoted: bool


class KeyStatus(Struct, frozen=True, kw_only=True):
    """The statistics of a key, exact, and rounded to be looked at."""

    key: Key
    statistics: Statistics
    mean: str
    """In micro-units, rounded; "" of no outcome."""
    variance: str
    """In squared micro-units, rounded."""


class SnapshotStatus(Struct, frozen=True, kw_only=True):
    """One snapshot, and what became of the decisions under it."""

    published: Published
    statistics: tuple[KeyStatus, ...]
    credit: tuple[KeyStatus, ...]
    """Of the outcomes in the log that were decided under it."""
    verdicts: tuple[VerdictStatus, ...]
    """Of the gates that went by it."""


class StatusReport(Struct, frozen=True, kw_only=True):
    """How it stands with the snapshots of a database."""

    database: str
    now: int
    current: Published | None
    """What the manifest names."""
    last: Published | None
    """What was published last; the same one unless the manifest was damaged."""
    last_refresh: RefreshStatus | None
    """What the last refresh did; None when there was none."""
    log: LogStatus
    live: LiveStatus | None
    live_trouble: Reason | None
    """Why the live delta could not be merged however wide the windows are; None if it could."""
    next: RefreshStatus
    """What a refresh with mode auto would do."""
    pins: tuple[PinStatus, ...]
    snapshots: int
    verdicts: int
    snapshot: SnapshotStatus | None
    """The one that was asked for."""


class AuditReport(Struct, frozen=True, kw_only=True):
    """What a recount found."""

    database: str
    judged: int
    drifted: tuple[Drift, ...]
    live_drifted: bool

    @property
    def repairable(self) -> bool:
        """Whether there is something in the place of which a refresh can publish what is right."""
        return self.live_drifted or any(one.superseded_by is None for one in self.drifted)

    @property
    def holds(self) -> bool:
        """Whether everything that is read is what the log makes.

        A snapshot that was superseded and that no pin holds is kept for its verdicts alone.
        """
        return not self.repairable and not any(one.pins for one in self.drifted)


def status(
    database: Path,
    *,
    now: int | None = None,
    windows: Windows = Windows(),  # noqa: B008 - immutable
    config: str | None = None,
    snapshot: int | None = None,
) -> StatusReport:
    """Return how it stands; no byte of the database's folder changes.

    ``config`` None stands for that of the current snapshot. Raises ``UnusableInput`` for what is no
    Plumbline database and for a snapshot that is not stored, and ``CouldNotFinish`` when the
    database was written meanwhile.
    """
    moment = clock() if now is None else now

    def asked(db: apsw.Connection) -> StatusReport:
        manifest = manifest_of(db)
        current = header(db, manifest.current)
        own = "" if current is None else current.config
        event = Refresh(now=moment, windows=windows, config=own if config is None else config)
        seen = sight(db, manifest, event, published(db, manifest.current))
        choice = choose(Mode.AUTO, seen, windows)
        assert isinstance(choice, Choice), "only one that asks for a merge can be refused"
        last = next(headers(db), None)
        return StatusReport(
            database=str(database),
            now=moment,
            current=None if current is None else _published(current, moment),
            last=None if last is None else _published(last, moment),
            last_refresh=None if last is None else _last_refresh(manifest, last),
            log=_log(db, manifest),
            live=_live(db),
            live_trouble=_trouble(seen),
            next=RefreshStatus(mode=choice.way, reason=choice.reason),
            pins=tuple(_pins(db, moment)),
            snapshots=integer(db, "SELECT count(*) FROM snapshots"),
            verdicts=integer(db, "SELECT count(*) FROM verdicts"),
            snapshot=None if snapshot is None else _one(db, database, snapshot, moment),
        )

    return read_log(database, asked)


def audit(database: Path) -> AuditReport:
    """Count the log once more and compare (ANC-26). Changes nothing and raises as ``status``."""
    found = read_log(database, recount)
    return AuditReport(
        database=str(database),
        judged=found.judged,
        drifted=found.drifted,
        live_drifted=found.live_drifted,
    )


def _last_refresh(manifest: Manifest, last: Snapshot) -> RefreshStatus:
    if manifest.reused:
        return RefreshStatus(mode=Way.REUSED_SNAPSHOT, reason=Reason.WITHIN_REUSE_WINDOW)
    return RefreshStatus(mode=last.way, reason=last.reason)


def _published(one: Snapshot, now: int) -> Published:
    return Published(
        snapshot_id=one.id,
        mode=one.way,
        reason=one.reason,
        parent=one.parent,
        watermark=one.watermark,
        epoch=one.epoch,
        chain=one.chain,
        exact=one.exact,
        merges=one.merged,
        generated_at=one.generated_at,
        age_seconds=now - one.generated_at,
        exact_age_seconds=now - one.exact_at,
        config=one.config,
    )


def _log(db: apsw.Connection, manifest: Manifest) -> LogStatus:
    beginning, _ = foundation_of(db, manifest)
    end, _ = end_of(db, manifest)
    return LogStatus(
        outcomes=integer(db, "SELECT count(*) FROM log"),
        begins_behind=beginning,
        ends_at=end,
        epoch=manifest.epoch,
        foundation=manifest.foundation,
    )


def _live(db: apsw.Connection) -> LiveStatus | None:
    delta = live_delta(db)
    if delta is None:
        return None
    return LiveStatus(
        anchor=delta.anchor,
        epoch=delta.epoch,
        lo=delta.lo,
        hi=delta.hi,
        outcomes=delta.outcomes,
        keys=integer(db, "SELECT count(*) FROM live_statistics"),
    )


def _trouble(seen: Sight) -> Reason | None:
    return rebuild_reason(Mode.AUTO, seen, NEVER_OVER)


def _pins(db: apsw.Connection, now: int) -> Iterator[PinStatus]:
    query = "SELECT pin, snapshot, owner, expires, gate FROM pins ORDER BY pin"
    for name, snapshot, owner, expires, gate in every_row(db, query):
        until = None if expires is None else as_number(expires)
        yield PinStatus(
            pin=as_text(name),
            snapshot_id=as_number(snapshot),
            owner=as_text(owner),
            expires=until,
            over=until is not None and until <= now,
            gate=bool(gate),
        )


# One snapshot


def _one(db: apsw.Connection, database: Path, snapshot: int, now: int) -> SnapshotStatus:
    found = whole(db, snapshot)
    if found is None:
        raise UnusableInput(f"{database} has no snapshot {snapshot}; {_which(db)}")
    credit = PROGRAM.apply(db, Credit(snapshot=SnapshotId(snapshot)))
    return SnapshotStatus(
        published=_published(found, now),
        statistics=_keys(found.statistics),
        credit=_keys(credit.statistics) if isinstance(credit, Credited) else (),
        verdicts=tuple(_verdicts(db, snapshot)),
    )


def _verdicts(db: apsw.Connection, snapshot: int) -> Iterator[VerdictStatus]:
    query = (
        "SELECT gate, candidate, result, promoted FROM verdicts WHERE snapshot = ? ORDER BY gate"
    )
    for gate, candidate, result, promoted in every_row(db, query, (snapshot,)):
        yield VerdictStatus(
            gate=as_text(gate),
            candidate=as_text(candidate),
            result=as_text(result),
            promoted=bool(promoted),
        )


def _which(db: apsw.Connection) -> str:
    newest = next(headers(db), None)
    if newest is None:
        return "none was published yet: plumbline snapshot refresh publishes one"
    return (
        f"the newest is {newest.id}, and those that nobody needed went with plumbline snapshot gc"
    )


def _keys(table: Table) -> tuple[KeyStatus, ...]:
    return tuple(
        KeyStatus(
            key=one.key,
            statistics=one.statistics,
            mean=rounded(mean(one.statistics)),
            variance=rounded(variance(one.statistics)),
        )
        for one in table
    )


def rounded(ratio: Ratio | None) -> str:
    """Return a quotient with ``PLACES`` digits behind the point, half to even; "" for None."""
    if ratio is None:
        return ""
    scaled = round(Fraction(ratio.numerator, ratio.denominator) * 10**PLACES)
    whole_part, behind = divmod(abs(scaled), 10**PLACES)
    return f"{'-' if scaled < 0 else ''}{whole_part}.{behind:0{PLACES}}"
