"""Anchoring over SQLite; must match ``plumbline_models.anchoring`` (chapter ``spec/anchoring.md``).

Tables are explained in ``plumbline.schema``. Every function here runs inside a transaction that
``plumbline.database.answered`` opened: logging counts in the live delta, and publishing anchors it
anew, in one transaction each, so a power loss never comes between.
"""

from collections.abc import Iterator
from typing import assert_never

import apsw
import msgspec

from plumbline.damaged import Value, as_number, as_text, every_row
from plumbline.misfortunes import backfill, lose
from plumbline.pins import close_gate, collect, open_gate, pin, renew, unpin
from plumbline.recounting import audit
from plumbline.replay_log import (
    Counts,
    as_hex,
    counted,
    links_from,
    manifest_of,
    record,
    rewrite,
    statistics_of,
    truncate,
)
from plumbline.snapshots import refresh
from plumbline.sqlite_host import Program
from plumbline_models.anchoring import (
    Audit,
    Backfill,
    CloseGate,
    Collect,
    Credit,
    Credited,
    Epoch,
    Event,
    GateId,
    Key,
    KeyStatistics,
    Known,
    Lease,
    Live,
    Logged,
    Lose,
    OpenGate,
    Outcome,
    OutcomeId,
    Pin,
    PinId,
    Position,
    Record,
    Refresh,
    Refusal,
    Refused,
    Renew,
    Rewrite,
    Snapshot,
    SnapshotId,
    State,
    Table,
    Torn,
    Truncate,
    Unpin,
    Verdict,
)
from plumbline_models.decisions.refreshing import Reason, Way


def apply(db: apsw.Connection, event: Event) -> Outcome:
    """Apply one event inside an open transaction; a refused event has written nothing."""
    match event:
        case Record():
            return record(db, event)
        case Refresh():
            return refresh(db, event)
        case Rewrite():
            return rewrite(db, event)
        case Truncate():
            return truncate(db, event)
        case Pin() | Renew() | Unpin() | OpenGate() | CloseGate() | Collect():
            return _for_readers(db, event)
        case Audit():
            return audit(db)
        case Credit():
            return _credit(db, event)
        case Lose():
            return lose(db, event)
        case Backfill():
            return backfill(db, event)
        case _:
            assert_never(event)


def _for_readers(
    db: apsw.Connection, event: Pin | Renew | Unpin | OpenGate | CloseGate | Collect
) -> Outcome:
    match event:
        case Pin():
            return pin(db, event)
        case Renew():
            return renew(db, event)
        case Unpin():
            return unpin(db, event)
        case OpenGate():
            return open_gate(db, event)
        case CloseGate():
            return close_gate(db, event)
        case Collect():
            return collect(db, event)


def _credit(db: apsw.Connection, event: Credit) -> Outcome:
    if not 0 < event.snapshot <= manifest_of(db).issued:
        return Refused(reason=Refusal.UNKNOWN_SNAPSHOT)
    found = counted(db, "under = ?", (event.snapshot,))
    return Credited(statistics=named(db, found))


def named(db: apsw.Connection, found: Counts) -> Table:
    """Return statistics by the key itself, sorted."""
    query = "SELECT family, plan, mode FROM keys WHERE key = ?"
    rows = ((db.execute(query, (key,)).fetchone(), one) for key, one in found.items())
    named_rows = [
        KeyStatistics(key=_key(*row), statistics=one) for row, one in rows if row is not None
    ]
    return tuple(sorted(named_rows, key=lambda one: one.key))


def _key(family: Value, plan: Value, mode: Value) -> Key:
    return Key(family=as_text(family), plan=as_text(plan), mode=as_text(mode))


# Abstraction: from tables to the state of the model.
# It shows what it can of rows that break a constraint; see ``plumbline.damaged``.


def observe(db: apsw.Connection) -> State:
    """Return the abstract state of the tables."""
    return _state(db, tuple(_log(db)), tuple(_truncated(db)))


def _state(db: apsw.Connection, log: tuple[Logged, ...], gone: tuple[Known, ...]) -> State:
    manifest = manifest_of(db)
    return State(
        log=log,
        truncated=gone,
        foundation=_snapshot_id(manifest.foundation),
        epoch=Epoch(manifest.epoch),
        snapshots=tuple(_snapshots(db)),
        current=_snapshot_id(manifest.current),
        issued=SnapshotId(manifest.issued),
        reused=manifest.reused,
        live=_live(db),
        pins=tuple(_pins(db)),
        verdicts=tuple(_verdicts(db)),
    )


def parts(db: apsw.Connection) -> Iterator[tuple[str, State]]:
    """Yield the abstract state without the log, which may be larger than memory."""
    yield "snapshots", _state(db, (), ())


def _snapshot_id(value: Value) -> SnapshotId | None:
    return None if value is None else SnapshotId(as_number(value))


def _log(db: apsw.Connection) -> Iterator[Logged]:
    digests = every_row(db, "SELECT digest FROM log ORDER BY position")
    for (link, chain), (digest,) in zip(links_from(db, 1), digests, strict=True):
        yield Logged(
            position=link.position,
            outcome=link.outcome,
            key=link.key,
            reward=link.reward,
            source=link.source,
            under=link.under,
            epoch=link.epoch,
            digest=as_hex(digest),
            chain=chain,
        )


_WAYS = {one.value: one for one in Way}
_REASONS = {one.value: one for one in Reason}


def _truncated(db: apsw.Connection) -> Iterator[Known]:
    query = "SELECT position, outcome, digest FROM truncated ORDER BY position"
    for position, outcome, digest in every_row(db, query):
        yield Known(
            position=Position(as_number(position)),
            outcome=OutcomeId(as_text(outcome)),
            digest=as_hex(digest),
        )


def _snapshots(db: apsw.Connection) -> Iterator[Snapshot]:
    query = (
        "SELECT snapshot, epoch, watermark, chain, way, reason, parent, exact, merged,"
        " generated_at, exact_at, config FROM snapshots ORDER BY snapshot"
    )
    for row in every_row(db, query):
        (
            name,
            epoch,
            watermark,
            chain,
            way,
            reason,
            parent,
            exact,
            merges,
            made,
            exact_at,
            config,
        ) = row
        yield Snapshot(
            id=SnapshotId(as_number(name)),
            epoch=Epoch(as_number(epoch)),
            watermark=Position(as_number(watermark)),
            chain=as_hex(chain),
            statistics=_table(db, _CONTENTS, (name, exact)),
            way=_WAYS.get(as_text(way), Way.FULL_REBUILD),
            reason=_REASONS.get(as_text(reason), Reason.FORCED),
            parent=_snapshot_id(parent),
            exact=SnapshotId(as_number(exact)),
            merged=as_number(merges),
            generated_at=as_number(made),
            exact_at=as_number(exact_at),
            config=as_text(config),
        )


_CONTENTS = (
    "SELECT k.family, k.plan, k.mode, s.outcomes, s.total, s.least, s.greatest, s.squares_high,"
    " s.squares_low, max(s.snapshot) FROM statistics AS s LEFT JOIN keys AS k ON k.key = s.key"
    " WHERE s.exact = ?2 AND s.snapshot <= ?1 GROUP BY s.key"
)
_LIVE = (
    "SELECT k.family, k.plan, k.mode, s.outcomes, s.total, s.least, s.greatest, s.squares_high,"
    " s.squares_low FROM live_statistics AS s LEFT JOIN keys AS k ON k.key = s.key"
)


def _table(db: apsw.Connection, query: str, bindings: tuple[Value, ...]) -> Table:
    rows = (
        KeyStatistics(key=_key(*row[:3]), statistics=statistics_of(row[3:9]))
        for row in every_row(db, query, bindings)
    )
    return tuple(sorted(rows, key=lambda one: one.key))


def _live(db: apsw.Connection) -> Live | Torn | None:
    for anchor, epoch, lo, hi, chain in every_row(
        db, "SELECT anchor, epoch, lo, hi, chain FROM live"
    ):
        table = _table(db, _LIVE, ())
        if sum(one.statistics.count for one in table) != as_number(hi) - as_number(lo):
            return Torn()
        return Live(
            anchor=SnapshotId(as_number(anchor)),
            epoch=Epoch(as_number(epoch)),
            lo=Position(as_number(lo)),
            hi=Position(as_number(hi)),
            chain=as_hex(chain),
            statistics=table,
        )
    return None


def _pins(db: apsw.Connection) -> Iterator[Lease]:
    query = "SELECT pin, snapshot, owner, expires, gate FROM pins ORDER BY pin"
    for name, snapshot, owner, expires, gate in every_row(db, query):
        yield Lease(
            id=PinId(as_text(name)),
            snapshot=SnapshotId(as_number(snapshot)),
            owner=as_text(owner),
            expires=None if expires is None else as_number(expires),
            gate=bool(gate),
        )


def _verdicts(db: apsw.Connection) -> Iterator[Verdict]:
    query = "SELECT gate, snapshot, candidate, result, promoted FROM verdicts ORDER BY gate"
    for gate, snapshot, candidate, result, promoted in every_row(db, query):
        yield Verdict(
            gate=GateId(as_text(gate)),
            snapshot=SnapshotId(as_number(snapshot)),
            candidate=as_text(candidate),
            result=as_text(result),
            promoted=bool(promoted),
        )


_outcomes: msgspec.json.Decoder[Outcome] = msgspec.json.Decoder(Outcome)

PROGRAM: Program[State, Event, Outcome] = Program(
    apply=apply, observe=observe, parts=parts, decode_outcome=_outcomes.decode
)
