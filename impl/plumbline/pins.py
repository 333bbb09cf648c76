"""Pins and gates of anchoring over SQLite, and what nobody needs any more.

Chapter ``spec/anchoring.md``.
"""

from collections.abc import Iterator

import apsw

from plumbline.replay_log import Manifest, manifest_of
from plumbline.snapshots import refreshed
from plumbline_models.anchoring import (
    CloseGate,
    Collect,
    Collected,
    GateClosed,
    GateOpened,
    Ineligible,
    OpenGate,
    Outcome,
    Pin,
    PinId,
    Pinned,
    Refusal,
    Refused,
    Renew,
    SnapshotId,
    Unpin,
    Unpinned,
)


def pin(db: apsw.Connection, event: Pin) -> Outcome:
    """Pin a snapshot."""
    if _pinned(db, event.pin) is not None:
        return Refused(reason=Refusal.PIN_EXISTS)
    if _over(event.expires, event.now):
        return Refused(reason=Refusal.LEASE_OVER)
    wanted = manifest_of(db).current if event.snapshot is None else event.snapshot
    if db.execute("SELECT 1 FROM snapshots WHERE snapshot = ?", (wanted,)).get is None:
        return Refused(reason=Refusal.UNKNOWN_SNAPSHOT)
    assert wanted is not None
    _hold(db, event.pin, wanted, event.owner, event.expires, gate=False)
    return Pinned(snapshot=SnapshotId(wanted))


def renew(db: apsw.Connection, event: Renew) -> Outcome:
    """Give a pin another lease."""
    found = _pinned(db, event.pin)
    if found is None:
        return Refused(reason=Refusal.UNKNOWN_PIN)
    if _over(event.expires, event.now):
        return Refused(reason=Refusal.LEASE_OVER)
    db.execute("UPDATE pins SET expires = ? WHERE pin = ?", (event.expires, event.pin))
    return Pinned(snapshot=found[0])


def unpin(db: apsw.Connection, event: Unpin) -> Outcome:
    """Let a pinned snapshot go."""
    found = _pinned(db, event.pin)
    if found is None:
        return Refused(reason=Refusal.UNKNOWN_PIN)
    db.execute("DELETE FROM pins WHERE pin = ?", (event.pin,))
    return Unpinned(snapshot=found[0])


def open_gate(db: apsw.Connection, event: OpenGate) -> Outcome:
    """Refresh, and pin what is current then."""
    if _judged(db, event.gate) or _pinned(db, PinId(event.gate)) is not None:
        return Refused(reason=Refusal.GATE_EXISTS)
    if _over(event.expires, event.now):
        return Refused(reason=Refusal.LEASE_OVER)
    done = refreshed(db, event)
    if isinstance(done, Ineligible):
        return done
    _hold(db, event.gate, done.snapshot, event.owner, event.expires, gate=True)
    return GateOpened(
        snapshot=done.snapshot, way=done.way, reason=done.reason, doubted=done.doubted
    )


def close_gate(db: apsw.Connection, event: CloseGate) -> Outcome:
    """Record what a gate's run came to, and unpin its snapshot."""
    if _judged(db, event.gate):
        return Refused(reason=Refusal.GATE_EXISTS)
    found = _pinned(db, PinId(event.gate))
    if found is None or not found[1] or found[0] != event.snapshot:
        return Refused(reason=Refusal.NOT_PINNED)
    db.execute(
        "INSERT INTO verdicts VALUES (?, ?, ?, ?, ?)",
        (event.gate, found[0], event.candidate, event.result, event.promoted),
    )
    db.execute("DELETE FROM pins WHERE pin = ?", (event.gate,))
    return GateClosed(snapshot=found[0])


def _pinned(db: apsw.Connection, name: PinId) -> tuple[SnapshotId, bool] | None:
    """Return what a pin holds, and whether it is a gate's; None when there is none."""
    row = db.execute("SELECT snapshot, gate FROM pins WHERE pin = ?", (name,)).fetchone()
    if row is None:
        return None
    snapshot, gate = row
    assert isinstance(snapshot, int)
    return SnapshotId(snapshot), bool(gate)


def _judged(db: apsw.Connection, gate: str) -> bool:
    return db.execute("SELECT 1 FROM verdicts WHERE gate = ?", (gate,)).get is not None


def _over(expires: int | None, now: int) -> bool:
    return expires is not None and expires <= now


def _hold(
    db: apsw.Connection, name: str, snapshot: int, owner: str, expires: int | None, *, gate: bool
) -> None:
    db.execute("INSERT INTO pins VALUES (?, ?, ?, ?, ?)", (name, snapshot, owner, expires, gate))


def collect(db: apsw.Connection, event: Collect) -> Outcome:
    """Let pins go whose lease is over, and snapshots that nobody needs."""
    expired = db.execute(
        "SELECT pin FROM pins WHERE expires <= ? ORDER BY pin", (event.now,)
    ).fetchall()
    db.execute("DELETE FROM pins WHERE expires <= ?", (event.now,))
    gone = [*_needless(db, manifest_of(db), event.keep)]
    # The newest go first, for each may be what the ones behind it were merged from.
    for snapshot in reversed(gone):
        db.execute("DELETE FROM snapshots WHERE snapshot = ?", (snapshot,))
    return Collected(snapshots=tuple(gone), pins=tuple(PinId(str(one)) for (one,) in expired))


def _needless(db: apsw.Connection, manifest: Manifest, keep: int) -> Iterator[SnapshotId]:
    """Yield the snapshots behind which there is none of their lineage that somebody needs."""
    query = (
        "WITH needed (snapshot) AS (SELECT ?1 UNION SELECT ?2"
        " UNION SELECT snapshot FROM pins UNION SELECT snapshot FROM verdicts"
        " UNION SELECT * FROM"
        " (SELECT snapshot FROM snapshots ORDER BY snapshot DESC LIMIT ?3)),"
        " lineages (exact, upto) AS (SELECT exact, max(snapshot) FROM needed"
        " JOIN snapshots USING (snapshot) GROUP BY exact)"
        " SELECT snapshot FROM snapshots LEFT JOIN lineages USING (exact)"
        " WHERE upto IS NULL OR snapshot > upto ORDER BY snapshot"
    )
    for (snapshot,) in db.execute(query, (manifest.current, manifest.foundation, keep)):
        assert isinstance(snapshot, int)
        yield SnapshotId(snapshot)
