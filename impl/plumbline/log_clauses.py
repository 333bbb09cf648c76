"""The clauses of anchoring that compare the log with what was counted of it, as queries.

A log may be longer than memory is large, so an audit of a file reads it in one pass, row by row or
piece by piece between watermarks, and holds the statistics of one snapshot at a time.
"""

from collections.abc import Callable, Iterator, Mapping

import apsw

from plumbline.damaged import as_number, as_text, every_row
from plumbline.recounting import Pair, live_recount, recounts
from plumbline.replay_log import chain_at, foundation_of, links_from, manifest_of
from plumbline.snapshots import live_delta, torn
from plumbline_models.contract import Witness
from plumbline_models.decisions.chaining import chained
from plumbline_models.decisions.statistics import difference

SHOWN_CHAIN = 8
"""Digits of a chain that a witness shows."""


def inexact(db: apsw.Connection) -> Iterator[Witness]:
    """Yield every key of which a snapshot of this log holds something else (ANC-1)."""
    for one in recounts(db):
        if one.same:
            yield from _differing(db, "snapshots", f"snapshot {one.snapshot}", one.wrong)


def miscounted(db: apsw.Connection) -> Iterator[Witness]:
    """Yield every key of which the live delta holds something else than it covers (ANC-2)."""
    delta, manifest = live_delta(db), manifest_of(db)
    if delta is None or torn(delta) or delta.lo < foundation_of(db, manifest)[0]:
        return
    if chain_at(db, manifest, delta.hi) == delta.chain:
        yield from _differing(db, "live", "the live delta", live_recount(db, delta))


def _differing(
    db: apsw.Connection, table: str, row: str, pairs: Mapping[int, Pair]
) -> Iterator[Witness]:
    for name, key in sorted((_named(db, key), key) for key in pairs):
        said = difference(pairs[key].held, pairs[key].right)
        if said:
            yield Witness(table=table, row=f"{row}, key {name}", found=said)


def _named(db: apsw.Connection, key: int) -> str:
    query = "SELECT family || '/' || plan || '/' || mode FROM keys WHERE key = ?"
    return next((as_text(name) for (name,) in every_row(db, query, (key,))), f"number {key}")


def logged_twice(db: apsw.Connection) -> Iterator[Witness]:
    """Yield every gap between positions, and every outcome that is there twice (ANC-3)."""
    expected = 1
    for position, outcome in every_row(db, _POSITIONS):
        number = as_number(position)
        if number != expected:
            row, found = f"outcome {as_text(outcome)}", f"is at {number}, expected {expected}"
            yield Witness(table="log", row=row, found=found)
        expected = number + 1
    for query in _REPEATED:
        for (outcome,) in every_row(db, query):
            row = f"outcome {as_text(outcome)}"
            yield Witness(table="log", row=row, found="is logged more than once")


_POSITIONS = (
    "SELECT position, outcome FROM truncated UNION ALL SELECT position, outcome FROM log ORDER BY 1"
)
_REPEATED = (
    "SELECT outcome FROM log GROUP BY outcome HAVING count(*) > 1",
    "SELECT outcome FROM truncated GROUP BY outcome HAVING count(*) > 1",
    (
        "SELECT outcome FROM log AS l"
        " WHERE EXISTS (SELECT 1 FROM truncated AS t WHERE t.outcome = l.outcome)"
    ),
)


def unchained(db: apsw.Connection) -> Iterator[Witness]:
    """Yield every row whose chain is not the hash of itself and of the chain before (ANC-4)."""
    manifest = manifest_of(db)
    beginning, before = foundation_of(db, manifest)
    chain = before.hex()
    for link, kept in links_from(db, beginning + 1):
        right = chained(chain, link)
        if kept != right:
            shown = f"chain {kept[:SHOWN_CHAIN]}, expected {right[:SHOWN_CHAIN]}"
            yield Witness(table="log", row=f"position {link.position}", found=shown)
        chain = kept


QUERIES: Mapping[str, Callable[[apsw.Connection], Iterator[Witness]]] = {
    "ANC-1": inexact,
    "ANC-2": miscounted,
    "ANC-3": logged_twice,
    "ANC-4": unchained,
}
"""By the id of the clause."""
