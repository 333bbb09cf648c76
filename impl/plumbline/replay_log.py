"""The log of anchoring over SQLite: logging, rewriting, truncating, counting.

Chapter ``spec/anchoring.md``. Rows are counted by SQLite in one pass and merged by
``plumbline_models.decisions.statistics``; a batch of outcomes reads and writes what the live delta
has of its keys once.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice

import apsw
from msgspec import Struct
from msgspec.structs import replace

from plumbline.damaged import Value, as_bytes, as_number, as_text, every_row
from plumbline_models.anchoring import (
    Answer,
    Correction,
    Draft,
    Epoch,
    Key,
    Link,
    Outcome,
    OutcomeId,
    Placed,
    Position,
    Record,
    Recorded,
    Refusal,
    Refused,
    Rejected,
    Rewrite,
    Rewritten,
    SnapshotId,
    Source,
    Truncate,
    Truncated,
)
from plumbline_models.decisions.chaining import START, chained, digest
from plumbline_models.decisions.refreshing import Way
from plumbline_models.decisions.statistics import LIMB, Statistics, fold, is_reward, merge

RECHAINED_ROWS = 1_000
"""Rows of the log that are held at once while their chain is made anew."""

Counts = dict[int, Statistics]
"""Statistics by the number of their key."""


class Manifest(Struct, frozen=True, kw_only=True):
    """The one row that says what is current."""

    current: int | None
    foundation: int | None
    epoch: int
    issued: int
    reused: bool


def manifest_of(db: apsw.Connection) -> Manifest:
    """Return the manifest."""
    query = "SELECT current, foundation, epoch, issued, reused FROM manifest"
    for current, foundation, epoch, issued, reused in every_row(db, query):
        return Manifest(
            current=None if current is None else as_number(current),
            foundation=None if foundation is None else as_number(foundation),
            epoch=as_number(epoch),
            issued=as_number(issued),
            reused=bool(reused),
        )
    return Manifest(current=None, foundation=None, epoch=1, issued=0, reused=False)


def foundation_of(db: apsw.Connection, manifest: Manifest) -> tuple[int, bytes]:
    """Return the position behind which the log has rows, and the chain there."""
    query = "SELECT watermark, chain FROM snapshots WHERE snapshot = ?"
    for watermark, chain in every_row(db, query, (manifest.foundation,)):
        return as_number(watermark), as_bytes(chain)
    return 0, b""


def end_of(db: apsw.Connection, manifest: Manifest) -> tuple[int, bytes]:
    """Return the last position of the log, and the chain there."""
    query = "SELECT position, chain FROM log ORDER BY position DESC LIMIT 1"
    for position, chain in every_row(db, query):
        return as_number(position), as_bytes(chain)
    return foundation_of(db, manifest)


def chain_at(db: apsw.Connection, manifest: Manifest, position: int) -> bytes | None:
    """Return the chain of the log at a position; None where there is no row."""
    beginning, chain = foundation_of(db, manifest)
    if position == beginning:
        return chain
    found = db.execute("SELECT chain FROM log WHERE position = ?", (position,)).get
    return None if found is None else as_bytes(found)


# Logging


class _Batch:
    """A batch that is being logged: where the log ends, and what the live delta is to count."""

    def __init__(self, db: apsw.Connection) -> None:
        self.db = db
        self.manifest = manifest_of(db)
        self.end, chain = end_of(db, self.manifest)
        self.chain = chain
        self.begun_at = self.end, chain
        self.rewards: dict[int, list[int]] = {}
        self.key = keys_of(db)

    def log(self, draft: Draft) -> Answer:
        """Log one outcome, or say why not."""
        name = bytes.fromhex(digest(draft))
        known = self.db.execute(_KNOWN, (draft.outcome,)).fetchone()
        if known is not None:
            position, handed = known
            assert isinstance(position, int)
            if handed != name:
                return Rejected(reason=Refusal.OUTCOME_CONFLICT)
            return Placed(position=Position(position), repeated=True)
        reason = self._reason_against(draft)
        return Rejected(reason=reason) if reason is not None else self._append(draft, name)

    def _reason_against(self, draft: Draft) -> Refusal | None:
        if draft.source is Source.GATE:
            return Refusal.GATE_OUTCOME
        if not is_reward(draft.reward):
            return Refusal.REWARD_OUT_OF_RANGE
        if draft.under is not None and not 0 < draft.under <= self.manifest.issued:
            return Refusal.UNKNOWN_SNAPSHOT
        return None

    def _append(self, draft: Draft, name: bytes) -> Answer:
        position = self.end + 1
        link = Link(
            position=Position(position),
            outcome=draft.outcome,
            key=draft.key,
            reward=draft.reward,
            source=draft.source,
            under=draft.under,
            epoch=Epoch(self.manifest.epoch),
        )
        self.chain = bytes.fromhex(chained(self.chain.hex(), link))
        key = self.key(draft.key)
        self.db.execute(
            "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                position,
                draft.outcome,
                key,
                draft.reward,
                draft.source.value,
                draft.under,
                self.manifest.epoch,
                name,
                self.chain,
            ),
        )
        self.end = position
        self.rewards.setdefault(key, []).append(draft.reward)
        return Placed(position=Position(position))

    def count(self) -> None:
        """Count what was logged in the live delta, if that covers the log up to there."""
        if not self.rewards:
            return
        self.db.execute(
            "UPDATE live SET hi = ?, chain = ? WHERE hi = ? AND chain = ?",
            (self.end, self.chain, *self.begun_at),
        )
        if self.db.changes():
            for key, rewards in self.rewards.items():
                _add(self.db, key, fold(rewards))


_KNOWN = (
    "SELECT position, digest FROM log WHERE outcome = ?1"
    " UNION ALL SELECT position, digest FROM truncated WHERE outcome = ?1"
)


def record(db: apsw.Connection, event: Record) -> Outcome:
    """Log outcomes, each by itself."""
    if not event.drafts:
        return Refused(reason=Refusal.EMPTY_BATCH)
    batch = _Batch(db)
    answers = tuple(batch.log(draft) for draft in event.drafts)
    batch.count()
    return Recorded(answers=answers)


def keys_of(db: apsw.Connection) -> Callable[[Key], int]:
    """Return what gives the number of a key, and remembers it; a new key is stored."""
    known: dict[Key, int] = {}

    def number(key: Key) -> int:
        found = known.get(key)
        if found is None:
            found = known[key] = _stored(db, key)
        return found

    return number


def _stored(db: apsw.Connection, key: Key) -> int:
    named = (key.family, key.plan, key.mode)
    query = "SELECT key FROM keys WHERE family = ? AND plan = ? AND mode = ?"
    found = db.execute(query, named).get
    if found is None:
        db.execute("INSERT INTO keys (family, plan, mode) VALUES (?, ?, ?)", named)
        found = db.last_insert_rowid()
    assert isinstance(found, int)
    return found


def _add(db: apsw.Connection, key: int, new: Statistics) -> None:
    """Add outcomes of a key to the live delta."""
    query = f"SELECT {COLUMNS} FROM live_statistics WHERE key = ?"  # noqa: S608 - names of columns
    row = db.execute(query, (key,)).fetchone()
    counted = new if row is None else merge(statistics_of(row), new)
    db.execute(
        "INSERT OR REPLACE INTO live_statistics VALUES (?, ?, ?, ?, ?, ?, ?)",
        (key, *columns_of(counted)),
    )


# Statistics


COLUMNS = "outcomes, total, least, greatest, squares_high, squares_low"
"""The statistics of a row, in the order of ``statistics_of``."""


def statistics_of(row: Iterable[object]) -> Statistics:
    """Return the statistics of a row of ``COLUMNS``."""
    count, total, least, greatest, high, low = map(as_number, row)
    return Statistics(
        count=count,
        total=total,
        least=least,
        greatest=greatest,
        squares_high=high,
        squares_low=low,
    )


def columns_of(of: Statistics) -> tuple[int | None, ...]:
    """Return statistics as a row of ``COLUMNS``."""
    return of.count, of.total, of.least, of.greatest, of.squares_high, of.squares_low


def counted(db: apsw.Connection, where: str, bindings: tuple[int, ...]) -> Counts:
    """Count rows of the log in one pass, and return the statistics of each key.

    Both limbs of the squares are summed apart, and stay below 2**51 for 2**31 rows.
    """
    query = (  # the condition is one of this package's
        "SELECT key, count(reward), sum(reward), min(reward), max(reward),"  # noqa: S608
        f" sum(reward * reward / {LIMB}), sum(reward * reward % {LIMB})"
        f" FROM log WHERE {where} GROUP BY key HAVING count(reward) > 0"
    )
    found = Counts()
    for key, *numbers in every_row(db, query, bindings):
        raw = statistics_of(numbers)
        carry, low = divmod(raw.squares_low, LIMB)
        found[as_number(key)] = replace(raw, squares_high=raw.squares_high + carry, squares_low=low)
    return found


def merged(one: Mapping[int, Statistics], other: Mapping[int, Statistics]) -> Counts:
    """Return the statistics of the outcomes of both."""
    found = dict(one)
    for key, new in other.items():
        at = found.get(key)
        found[key] = new if at is None else merge(at, new)
    return found


# Rewriting


def rewrite(db: apsw.Connection, event: Rewrite) -> Outcome:
    """Change rows in place, all or none."""
    names = [one.outcome for one in event.corrections]
    if not names:
        return Refused(reason=Refusal.EMPTY_BATCH)
    if len(set(names)) < len(names):
        return Refused(reason=Refusal.REPEATED_OUTCOME)
    changes = list[tuple[int, Correction]]()
    for one in event.corrections:
        found = _correctable(db, one)
        if isinstance(found, Refusal):
            return Refused(reason=found)
        position, same = found
        if not same:
            changes.append((position, one))
    manifest = manifest_of(db)
    if not changes:
        return Rewritten(epoch=Epoch(manifest.epoch), changed=0)
    epoch = manifest.epoch + 1
    db.execute("UPDATE manifest SET epoch = ?", (epoch,))
    number = keys_of(db)
    for position, one in changes:
        db.execute(
            "UPDATE log SET key = ?, reward = ?, epoch = ? WHERE position = ?",
            (number(one.key), one.reward, epoch, position),
        )
    rechain(db, manifest, min(position for position, _ in changes))
    return Rewritten(epoch=Epoch(epoch), changed=len(changes))


def _correctable(db: apsw.Connection, one: Correction) -> Refusal | tuple[int, bool]:
    """Return where an outcome stands and whether it is so already; or why it stays as it is."""
    row = db.execute(
        "SELECT l.position, l.reward, k.family, k.plan, k.mode FROM log AS l JOIN keys AS k"
        " ON k.key = l.key WHERE l.outcome = ?",
        (one.outcome,),
    ).fetchone()
    if row is None:
        return absent(db, one.outcome)
    if one.reward is not None and not is_reward(one.reward):
        return Refusal.REWARD_OUT_OF_RANGE
    position, *stands = row
    assert isinstance(position, int)
    return position, stands == [one.reward, one.key.family, one.key.plan, one.key.mode]


def absent(db: apsw.Connection, outcome: OutcomeId) -> Refusal:
    """Say why an outcome is not in the log."""
    query = "SELECT 1 FROM truncated WHERE outcome = ?"
    gone = db.execute(query, (outcome,)).get is not None
    return Refusal.TRUNCATED_OUTCOME if gone else Refusal.UNKNOWN_OUTCOME


def rechain(db: apsw.Connection, manifest: Manifest, first: int) -> None:
    """Make the chain anew from a position on, some rows at a time."""
    before = chain_at(db, manifest, first - 1)
    chain = START if before is None else before.hex()
    while rows := list(islice(links_from(db, first), RECHAINED_ROWS)):
        for link, _ in rows:
            chain = chained(chain, link)
            db.execute(
                "UPDATE log SET chain = ? WHERE position = ?",
                (bytes.fromhex(chain), link.position),
            )
        first = rows[-1][0].position + 1


def links_from(db: apsw.Connection, first: int) -> Iterator[tuple[Link, str]]:
    """Yield what of each row goes into the chain, and its chain, from a position on."""
    query = (
        "SELECT l.position, l.outcome, k.family, k.plan, k.mode, l.reward, l.source, l.under,"
        " l.epoch, l.chain FROM log AS l LEFT JOIN keys AS k ON k.key = l.key"
        " WHERE l.position >= ? ORDER BY l.position"
    )
    for row in every_row(db, query, (first,)):
        position, outcome, family, plan, mode, reward, source, under, epoch, chain = row
        link = Link(
            position=Position(as_number(position)),
            outcome=OutcomeId(as_text(outcome)),
            key=Key(family=as_text(family), plan=as_text(plan), mode=as_text(mode)),
            reward=None if reward is None else as_number(reward),
            source=SOURCES.get(as_text(source), Source.LIVE),
            under=None if under is None else SnapshotId(as_number(under)),
            epoch=Epoch(as_number(epoch)),
        )
        yield link, as_hex(chain)


SOURCES = {one.value: one for one in Source}


def as_hex(value: Value) -> str:
    """Return bytes in hexadecimal."""
    return value.hex() if isinstance(value, bytes) else as_text(value)


# Truncating


def truncate(db: apsw.Connection, event: Truncate) -> Outcome:
    """Drop the rows that an exact snapshot counts."""
    manifest = manifest_of(db)
    row = db.execute(
        "SELECT way, epoch, watermark, chain FROM snapshots WHERE snapshot = ?", (event.snapshot,)
    ).fetchone()
    if row is None:
        return Refused(reason=Refusal.UNKNOWN_SNAPSHOT)
    way, epoch, watermark, chain = row
    assert isinstance(watermark, int)
    guards = (
        (Refusal.MANIFEST_INVALID, manifest.current is None),
        (Refusal.NOT_EXACT, way != Way.FULL_REBUILD.value),
        (Refusal.OLD_EPOCH, epoch != manifest.epoch),
        (Refusal.BELOW_FOUNDATION, watermark < foundation_of(db, manifest)[0]),
        (Refusal.DRIFTED, chain_at(db, manifest, watermark) != chain),
    )
    for reason, holds in guards:
        if holds:
            return Refused(reason=reason)
    db.execute(
        "INSERT INTO truncated SELECT outcome, position, digest FROM log WHERE position <= ?",
        (watermark,),
    )
    db.execute("UPDATE manifest SET foundation = ?", (event.snapshot,))
    db.execute("DELETE FROM log WHERE position <= ?", (watermark,))
    return Truncated(removed=db.changes())
