"""Snapshots of anchoring, counted once more: what each holds, beside what the log makes.

Chapter ``spec/anchoring.md``. The log is counted in one pass, piece by piece between watermarks. A
snapshot is read from what it changed in its lineage, and only keys that it changed, or that the
piece counts, are compared again; so an audit takes time in proportion to what is stored.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import apsw
from msgspec import Struct

from plumbline.damaged import Value, as_number, as_text, every_row
from plumbline.replay_log import (
    COLUMNS,
    Counts,
    chain_at,
    counted,
    foundation_of,
    manifest_of,
    merged,
    statistics_of,
)
from plumbline.snapshots import Delta, contents, live_contents, live_delta, torn
from plumbline_models.anchoring import Audited, Drift, GateId, PinId, SnapshotId
from plumbline_models.decisions.statistics import Statistics


class Pair(Struct, frozen=True, kw_only=True):
    """The statistics of a key, twice; None of no outcome."""

    held: Statistics | None
    """By a snapshot, or by the live delta."""
    right: Statistics | None
    """What the log makes."""


class Recount(Struct, frozen=True, kw_only=True):
    """A snapshot of this epoch that can be counted once more."""

    snapshot: int
    exact: int
    """The last exact rebuild of its lineage."""
    same: bool
    """Whether the chain at its watermark is still the log's."""
    wrong: Mapping[int, Pair]
    """By key: where it holds something else than the log makes."""


class _Held:
    """What the snapshots of one lineage hold, one after the other."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self._exact, self._upto = 0, 0
        self.statistics = Counts()

    def go_to(self, snapshot: int, exact: int) -> set[int]:
        """Go on to a later snapshot; return the keys that may be others than before."""
        before = set[int]() if exact == self._exact else set(self.statistics)
        if exact == self._exact:
            bindings = (exact, self._upto, snapshot)
            changed = {
                as_number(key): statistics_of(row)
                for key, *row in every_row(self._db, _CHANGED, bindings)
            }
            self.statistics.update(changed)
        else:
            changed = self.statistics = dict(contents(self._db, snapshot))
        self._exact, self._upto = exact, snapshot
        return before | set(changed)


_CHANGED: Final = (
    f"SELECT key, {COLUMNS} FROM statistics INDEXED BY statistics_of_snapshots"  # noqa: S608 - names
    " WHERE exact = ? AND snapshot > ? AND snapshot <= ? ORDER BY snapshot"
)


def recounts(db: apsw.Connection) -> Iterator[Recount]:
    """Yield every snapshot that can be counted once more, by id (``comparable`` in the model)."""
    manifest = manifest_of(db)
    beginning, _ = foundation_of(db, manifest)
    base = Counts() if manifest.foundation is None else dict(contents(db, manifest.foundation))
    held, right, reached = _Held(db), dict(base), beginning
    wrong = _compared(base, held.statistics, right)
    asked: tuple[Value, ...] = (manifest.epoch, beginning)
    for snapshot, exact, watermark, chain in every_row(db, _COMPARABLE, asked):
        name, upto = as_number(snapshot), as_number(watermark)
        changed = held.go_to(name, as_number(exact))
        piece = counted(db, "position > ? AND position <= ?", (reached, upto))
        right |= merged({key: right[key] for key in piece if key in right}, piece)
        reached = max(reached, upto)
        touched = {*changed, *piece, *wrong}
        found = wrong = _differing(_compared(touched, held.statistics, right))
        if upto < reached:
            # No lawful watermark goes back; what does is held to the log by itself.
            piece = counted(db, "position > ? AND position <= ?", (beginning, upto))
            alone = merged(base, piece)
            found = _differing(_compared({*held.statistics, *alone}, held.statistics, alone))
        same = chain_at(db, manifest, upto) == chain
        yield Recount(snapshot=name, exact=as_number(exact), same=same, wrong=found)


def _compared(keys: Iterable[int], held: Counts, right: Counts) -> dict[int, Pair]:
    return {key: Pair(held=held.get(key), right=right.get(key)) for key in keys}


def _differing(pairs: Mapping[int, Pair]) -> dict[int, Pair]:
    return {key: one for key, one in pairs.items() if one.held != one.right}


_COMPARABLE: Final = (
    "SELECT snapshot, exact, watermark, chain FROM snapshots WHERE epoch = ? AND watermark >= ?"
    " ORDER BY snapshot"
)


def audit(db: apsw.Connection) -> Audited:
    """Count the log once more and compare (ANC-26)."""
    drifted, holding, judged = list[int](), list[int](), 0
    for one in recounts(db):
        judged += 1
        if one.wrong:
            drifted.append(one.snapshot)
        elif one.snapshot == one.exact:
            holding.append(one.snapshot)
    return Audited(
        judged=judged,
        drifted=tuple(_drift(db, name, holding) for name in drifted),
        live_drifted=_live_drifted(db),
    )


def _drift(db: apsw.Connection, name: int, holding: list[int]) -> Drift:
    """Return whom a snapshot concerns that has drifted, given the exact ones that have not."""
    place = bisect_right(holding, name)
    gates = db.execute("SELECT gate FROM verdicts WHERE snapshot = ? ORDER BY gate", (name,))
    pins = db.execute("SELECT pin FROM pins WHERE snapshot = ? ORDER BY pin", (name,))
    return Drift(
        snapshot=SnapshotId(name),
        superseded_by=SnapshotId(holding[place]) if place < len(holding) else None,
        gates=tuple(GateId(as_text(gate)) for (gate,) in gates),
        pins=tuple(PinId(as_text(pin)) for (pin,) in pins),
    )


def _live_drifted(db: apsw.Connection) -> bool:
    delta, manifest = live_delta(db), manifest_of(db)
    if delta is None or torn(delta) or delta.epoch != manifest.epoch:
        return False
    return delta.lo >= foundation_of(db, manifest)[0] and bool(live_recount(db, delta))


def live_recount(db: apsw.Connection, delta: Delta) -> dict[int, Pair]:
    """Return, by key, where the live delta holds something else than the log makes."""
    held = dict(live_contents(db))
    right = counted(db, "position > ? AND position <= ?", (delta.lo, delta.hi))
    return _differing(_compared({*held, *right}, held, right))
