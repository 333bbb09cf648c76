"""What the environment does to the tables of anchoring, as events (chapter ``spec/anchoring.md``).

A live delta or a manifest is lost, damaged, or comes back from an old copy, and a script rewrites
the log and tells nobody. The judge has them happen between two events; nothing else calls this.
"""

import apsw

from plumbline.replay_log import absent, manifest_of, rechain
from plumbline.snapshots import Delta, live_delta, published, torn
from plumbline_models.anchoring import (
    Backfill,
    Backfilled,
    Lose,
    Loss,
    Lost,
    Outcome,
    Refusal,
    Refused,
)


def backfill(db: apsw.Connection, event: Backfill) -> Outcome:
    """Rewrite an outcome in place, the chain with it, in the epoch that it is of."""
    position = db.execute("SELECT position FROM log WHERE outcome = ?", (event.outcome,)).get
    if position is None:
        return Refused(reason=absent(db, event.outcome))
    assert isinstance(position, int)
    db.execute("UPDATE log SET reward = ? WHERE position = ?", (event.reward, position))
    rechain(db, manifest_of(db), position)
    return Backfilled()


def lose(db: apsw.Connection, event: Lose) -> Outcome:
    """Damage the manifest or the live delta, if there is anything to damage."""
    if event.what is Loss.MANIFEST:
        db.execute("UPDATE manifest SET current = NULL WHERE current IS NOT NULL")
        return _lost(db)
    delta = live_delta(db)
    if delta is None:
        return Refused(reason=Refusal.NOTHING_TO_LOSE)
    if event.what is Loss.LIVE_ABSENT:
        db.execute("DELETE FROM live")
        return Lost()
    if torn(delta):
        return Refused(reason=Refusal.NOTHING_TO_LOSE)
    return _damage(db, delta, event.what)


def _damage(db: apsw.Connection, delta: Delta, what: Loss) -> Outcome:
    anchor = published(db, delta.anchor)
    match what:
        case Loss.LIVE_TORN:
            db.execute("UPDATE live SET hi = hi + 1")
        case Loss.LIVE_STALE:
            if anchor is None or anchor.watermark != delta.lo:
                return Refused(reason=Refusal.NOTHING_TO_LOSE)
            db.execute("DELETE FROM live_statistics")
            db.execute(
                "UPDATE live SET hi = ?1, chain = ?2 WHERE hi <> ?1 OR chain <> ?2",
                (delta.lo, anchor.chain),
            )
        case _:
            other = _parent(db, delta.anchor)
            db.execute("UPDATE live SET anchor = ?1 WHERE anchor <> ?1", (other,))
    return _lost(db)


def _parent(db: apsw.Connection, snapshot: int) -> int:
    parent = db.execute("SELECT parent FROM snapshots WHERE snapshot = ?", (snapshot,)).get
    return parent if isinstance(parent, int) else 0


def _lost(db: apsw.Connection) -> Outcome:
    return Lost() if db.changes() else Refused(reason=Refusal.NOTHING_TO_LOSE)
