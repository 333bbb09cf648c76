"""Snapshots of anchoring over SQLite: what a refresh sees, does and publishes.

Chapter ``spec/anchoring.md``. A rebuild counts the log in one pass; a merge reads and writes the
keys of the live delta and no others.
"""

from collections.abc import Iterator
from typing import Final

import apsw
from msgspec import Struct

from plumbline.damaged import as_bytes, as_number, as_text, every_row
from plumbline.replay_log import (
    COLUMNS,
    Counts,
    Manifest,
    chain_at,
    columns_of,
    end_of,
    foundation_of,
    manifest_of,
    merged,
    statistics_of,
)
from plumbline_models.anchoring import (
    GateId,
    Ineligible,
    OpenGate,
    Outcome,
    Position,
    Refresh,
    Refreshed,
    Refusal,
    Refused,
    SnapshotId,
)
from plumbline_models.decisions.refreshing import Choice, Sight, Way, choose
from plumbline_models.decisions.statistics import LIMB, Statistics


class Published(Struct, frozen=True, kw_only=True):
    """A stored snapshot, without its statistics."""

    id: int
    epoch: int
    watermark: int
    chain: bytes
    exact: int
    merged: int
    generated_at: int
    exact_at: int
    config: str


class Delta(Struct, frozen=True, kw_only=True):
    """The live delta, without its statistics."""

    anchor: int
    epoch: int
    lo: int
    hi: int
    chain: bytes
    outcomes: int
    """Those that its statistics count; others than it covers when it is torn."""


def published(db: apsw.Connection, snapshot: int | None) -> Published | None:
    """Return a stored snapshot, or None."""
    query = (
        "SELECT snapshot, epoch, watermark, exact, merged, generated_at, exact_at, chain, config"
        " FROM snapshots WHERE snapshot = ?"
    )
    for *numbers, chain, config in every_row(db, query, (snapshot,)):
        name, epoch, watermark, exact, merges, generated_at, exact_at = map(as_number, numbers)
        return Published(
            id=name,
            epoch=epoch,
            watermark=watermark,
            chain=as_bytes(chain),
            exact=exact,
            merged=merges,
            generated_at=generated_at,
            exact_at=exact_at,
            config=as_text(config),
        )
    return None


def live_delta(db: apsw.Connection) -> Delta | None:
    """Return the live delta, torn or not; None when there is none."""
    query = (
        "SELECT anchor, epoch, lo, hi, (SELECT sum(outcomes) FROM live_statistics), chain FROM live"
    )
    for *numbers, chain in every_row(db, query):
        anchor, epoch, lo, hi, outcomes = map(as_number, numbers)
        return Delta(
            anchor=anchor, epoch=epoch, lo=lo, hi=hi, chain=as_bytes(chain), outcomes=outcomes
        )
    return None


def torn(delta: Delta) -> bool:
    """Tell whether a live delta counts other outcomes than it says."""
    return delta.outcomes != delta.hi - delta.lo


def sight(
    db: apsw.Connection, manifest: Manifest, event: Refresh | OpenGate, current: Published | None
) -> Sight:
    """Return what a refresh sees."""
    return seen(db, manifest, event, current)[0]


def seen(
    db: apsw.Connection, manifest: Manifest, event: Refresh | OpenGate, current: Published | None
) -> tuple[Sight, bool]:
    """Return what a refresh sees, and whether the current snapshot is known to be wrong."""
    if current is None:
        return Sight(snapshot=manifest.issued > 0, manifest=False), False
    delta, (end, last) = live_delta(db), end_of(db, manifest)
    whole = delta is not None and not torn(delta)
    at = delta if whole and delta is not None else None
    rewritten = chain_at(db, manifest, current.watermark) != current.chain
    found = Sight(
        snapshot=True,
        live=delta is not None,
        readable=whole,
        anchored=at is None or at.anchor == current.id,
        epoch=at is None or at.epoch == current.epoch == manifest.epoch,
        config=current.config == event.config,
        covered=at is None or (at.lo == current.watermark and at.hi == end),
        drift=event.drift or rewritten or (at is not None and at.hi == end and at.chain != last),
        new=0 if at is None else at.hi - at.lo,
        merged=current.merged,
        age=abs(event.now - current.generated_at),
        exact_age=abs(event.now - current.exact_at),
    )
    return found, event.drift or (rewritten and current.epoch == manifest.epoch)


def refresh(db: apsw.Connection, event: Refresh) -> Outcome:
    """Publish a snapshot of the whole log, or stay with the current one."""
    current = manifest_of(db).current
    if event.expects is not None and event.expects != (0 if current is None else current):
        return Refused(reason=Refusal.SUPERSEDED)
    return refreshed(db, event)


def refreshed(db: apsw.Connection, event: Refresh | OpenGate) -> Refreshed | Ineligible:
    """Do what the table says."""
    manifest = manifest_of(db)
    current = published(db, manifest.current)
    found, doubtful = seen(db, manifest, event, current)
    choice = choose(event.mode, found, event.windows)
    if not isinstance(choice, Choice):
        return Ineligible(reason=choice.reason)
    if choice.way is Way.REUSED_SNAPSHOT:
        assert current is not None
        return _reused(db, choice, current)
    if choice.way is Way.DELTA_MERGE:
        assert current is not None
        return _merge(db, event, choice, manifest, current)
    doubted = tuple(_verdicts_upon(db, current.exact)) if doubtful and current else ()
    return _rebuild(db, event, choice, manifest, doubted)


def _reused(db: apsw.Connection, choice: Choice, current: Published) -> Refreshed:
    db.execute("UPDATE manifest SET reused = 1 WHERE reused = 0")
    return Refreshed(
        way=choice.way,
        reason=choice.reason,
        snapshot=SnapshotId(current.id),
        previous=SnapshotId(current.id),
        watermark=Position(current.watermark),
        rows_read=0,
        rows_written=0,
    )


def _merge(
    db: apsw.Connection,
    event: Refresh | OpenGate,
    choice: Choice,
    manifest: Manifest,
    current: Published,
) -> Refreshed:
    """Publish what the keys of the live delta come to; all others are those of the lineage."""
    delta = dict(live_contents(db))
    found = merged(dict(_bases(db, current)), delta)
    name = manifest.issued + 1
    _store(db, current.exact, name, found)
    line = (current.exact, current.merged + 1, event.now, current.exact_at, event.config)
    watermark = _publish(db, manifest, choice, line)
    return Refreshed(
        way=choice.way,
        reason=choice.reason,
        snapshot=SnapshotId(name),
        previous=SnapshotId(current.id),
        watermark=Position(watermark),
        rows_read=len(delta),
        rows_written=len(found),
    )


def _bases(db: apsw.Connection, current: Published) -> Iterator[tuple[int, Statistics]]:
    """Yield what the current snapshot, the newest of its lineage, holds of the delta's keys."""
    query = (
        "SELECT l.key, s.outcomes, s.total, s.least, s.greatest, s.squares_high, s.squares_low"
        " FROM live_statistics AS l CROSS JOIN statistics AS s ON s.exact = ?1 AND s.key = l.key"
        " AND s.snapshot = (SELECT max(snapshot) FROM statistics"
        " WHERE exact = ?1 AND key = l.key)"
    )
    return _statistics(db, query, (current.exact,))


_REBUILDING: Final = (
    "INSERT INTO statistics SELECT ?1, key, ?1, sum(outcomes), sum(total), min(least),"
    " max(greatest), sum(high) + sum(low) / ?3, sum(low) % ?3 FROM ("
    "SELECT key, count(reward) AS outcomes, sum(reward) AS total, min(reward) AS least,"
    " max(reward) AS greatest, sum(reward * reward / ?3) AS high,"
    " sum(reward * reward % ?3) AS low FROM log GROUP BY key HAVING count(reward) > 0"
    " UNION ALL SELECT key, outcomes, total, least, greatest, squares_high, squares_low"
    " FROM statistics WHERE exact = ?2 AND snapshot = ?2) GROUP BY key"
)
"""Stores the statistics of all rows and of the foundation: one pass, and no number leaves SQLite.
Limbs of squares are summed apart, and stay below 2**51 for 2**31 rows."""


def _rebuild(
    db: apsw.Connection,
    event: Refresh | OpenGate,
    choice: Choice,
    manifest: Manifest,
    doubted: tuple[GateId, ...],
) -> Refreshed:
    """Publish what all rows come to, and what the foundation stands for."""
    name, (beginning, _) = manifest.issued + 1, foundation_of(db, manifest)
    db.execute(_REBUILDING, (name, manifest.foundation, LIMB))
    written = db.changes()
    line = (name, 0, event.now, event.now, event.config)
    watermark = _publish(db, manifest, choice, line)
    return Refreshed(
        way=choice.way,
        reason=choice.reason,
        snapshot=SnapshotId(name),
        previous=_name(manifest.current),
        watermark=Position(watermark),
        rows_read=watermark - beginning,
        rows_written=written,
        foundation=_name(manifest.foundation),
        doubted=doubted,
    )


def _name(snapshot: int | None) -> SnapshotId | None:
    return None if snapshot is None else SnapshotId(snapshot)


def _verdicts_upon(db: apsw.Connection, exact: int) -> Iterator[GateId]:
    query = (
        "SELECT gate FROM verdicts JOIN snapshots USING (snapshot) WHERE exact = ? ORDER BY gate"
    )
    for (gate,) in db.execute(query, (exact,)):
        yield GateId(str(gate))


def _store(db: apsw.Connection, exact: int, name: int, found: Counts) -> None:
    db.executemany(
        "INSERT INTO statistics VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ((exact, key, name, *columns_of(one)) for key, one in found.items()),
    )


def _publish(
    db: apsw.Connection,
    manifest: Manifest,
    choice: Choice,
    line: tuple[int, int, int, int, str],
) -> int:
    """Store a snapshot, make it current if what was seen is so still, and anchor the live delta."""
    name, (watermark, chain) = manifest.issued + 1, end_of(db, manifest)
    exact, merges, generated_at, exact_at, config = line
    db.execute(
        "INSERT INTO snapshots VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            name,
            manifest.epoch,
            watermark,
            chain,
            choice.way.value,
            choice.reason.value,
            manifest.current,
            exact,
            merges,
            generated_at,
            exact_at,
            config,
        ),
    )
    db.execute(
        "UPDATE manifest SET current = ?1, issued = ?1, reused = 0 WHERE current IS ?2"
        " OR NOT EXISTS (SELECT 1 FROM snapshots WHERE snapshot = current)",
        (name, manifest.current),
    )
    assert db.changes() == 1, "the manifest was read in this transaction"
    db.execute("DELETE FROM live_statistics")
    db.execute(
        "INSERT OR REPLACE INTO live VALUES (1, ?, ?, ?, ?, ?)",
        (name, manifest.epoch, watermark, watermark, chain),
    )
    return watermark


def contents(db: apsw.Connection, snapshot: int) -> Iterator[tuple[int, Statistics]]:
    """Yield the statistics of a snapshot by the number of their key, in one query."""
    query = (
        "SELECT key, outcomes, total, least, greatest, squares_high, squares_low, max(snapshot)"
        " FROM statistics WHERE exact = (SELECT exact FROM snapshots WHERE snapshot = ?1)"
        " AND snapshot <= ?1 GROUP BY key"
    )
    return _statistics(db, query, (snapshot,))


def live_contents(db: apsw.Connection) -> Iterator[tuple[int, Statistics]]:
    """Yield the statistics of the live delta by the number of their key."""
    query = f"SELECT key, {COLUMNS} FROM live_statistics"  # noqa: S608 - names of columns
    return _statistics(db, query, ())


def _statistics(
    db: apsw.Connection, query: str, bindings: tuple[int, ...]
) -> Iterator[tuple[int, Statistics]]:
    for key, *row in every_row(db, query, bindings):
        yield as_number(key), statistics_of(row[:6])
