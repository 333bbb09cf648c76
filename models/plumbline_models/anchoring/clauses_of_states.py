"""The clauses of anchoring about states (chapter ``spec/anchoring.md``, "About states")."""

from collections import Counter
from collections.abc import Iterator

from plumbline_models.anchoring import queries
from plumbline_models.anchoring.values import (
    Known,
    Live,
    Logged,
    Snapshot,
    SnapshotId,
    State,
    Table,
)
from plumbline_models.contract import StateClause, Witness
from plumbline_models.decisions.refreshing import Way
from plumbline_models.decisions.statistics import difference


def about_states() -> tuple[StateClause[State], ...]:
    """Return the clauses about states."""
    return (
        StateClause(
            id="ANC-1",
            title="exact",
            sentence="A snapshot of this epoch MUST hold the statistics of the outcomes up to its"
            " watermark, each once, unless the log is another one than it was.",
            witnesses=_inexact,
            between_parts=True,
        ),
        StateClause(
            id="ANC-2",
            title="no loss, no double",
            sentence="The live delta MUST hold the statistics of the outcomes that it covers, each"
            " once, unless the log is another one than it was.",
            witnesses=_miscounted,
            between_parts=True,
        ),
        StateClause(
            id="ANC-3",
            title="logged once",
            sentence="An outcome MUST be logged once, and positions MUST follow each other without"
            " a gap.",
            witnesses=_logged,
            between_parts=True,
        ),
        StateClause(
            id="ANC-4",
            title="chained",
            sentence="The chain of a row MUST be the hash of the row and of the chain before it.",
            witnesses=_unchained,
            between_parts=True,
        ),
        StateClause(
            id="ANC-5",
            title="needed",
            sentence="What is current, pinned, judged, or stands for what was truncated MUST be"
            " stored, and so MUST every snapshot back to the last exact one of its lineage.",
            witnesses=_missing,
        ),
        StateClause(
            id="ANC-6",
            title="lineage",
            sentence="A rebuild MUST be its own exact snapshot, of its own moment and without"
            " merges; a merge MUST have those of its parent, and one merge more.",
            witnesses=_lineage,
        ),
    )


def differing(table: str, row: str, found: Table, right: Table) -> Iterator[Witness]:
    """Yield a witness for each key of which two tables hold other statistics."""
    one = {each.key: each.statistics for each in found}
    other = {each.key: each.statistics for each in right}
    for key in sorted({*one, *other}):
        said = difference(one.get(key), other.get(key))
        if said:
            name = f"{row}, key {key.family}/{key.plan}/{key.mode}"
            yield Witness(table=table, row=name, found=said)


def _inexact(state: State) -> Iterator[Witness]:
    for one in state.snapshots:
        same = queries.chain_at(state, one.watermark) == one.chain
        if same and queries.comparable(state, one):
            right = queries.recounted(state, one.watermark)
            yield from differing("snapshots", f"snapshot {one.id}", one.statistics, right)


def _miscounted(state: State) -> Iterator[Witness]:
    live = state.live
    if not isinstance(live, Live) or live.lo < queries.beginning_of(state):
        return
    if live.chain == queries.chain_at(state, live.hi):
        covered = (row for row in state.log if live.lo < row.position <= live.hi)
        right = queries.fold(covered)
        yield from differing("live", "the live delta", live.statistics, right)


def _logged(state: State) -> Iterator[Witness]:
    rows: tuple[Known | Logged, ...] = (*state.truncated, *state.log)
    expected = 1
    for one in rows:
        if one.position != expected:
            found = f"is at {one.position}, expected {expected}"
            yield Witness(table="log", row=f"outcome {one.outcome}", found=found)
        expected = one.position + 1
    for outcome, times in Counter(one.outcome for one in rows).items():
        if times > 1:
            yield Witness(table="log", row=f"outcome {outcome}", found="is logged more than once")


def _unchained(state: State) -> Iterator[Witness]:
    chain = queries.chain_at(state, queries.beginning_of(state))
    for row in state.log:
        right = queries.chain_of(row, "" if chain is None else chain)
        if row.chain != right:
            found = f"chain {row.chain[:8]}, expected {right[:8]}"
            yield Witness(table="log", row=f"position {row.position}", found=found)
        chain = row.chain


def _missing(state: State) -> Iterator[Witness]:
    stored = {one.id: one for one in state.snapshots}
    named: list[tuple[str, str, SnapshotId | None]] = [
        ("manifest", "the manifest", state.current),
        ("log", "the foundation", state.foundation),
        *(("pins", f"pin {one.id}", one.snapshot) for one in state.pins),
        *(("verdicts", f"gate {one.gate}", one.snapshot) for one in state.verdicts),
    ]
    for table, row, name in named:
        if name is not None and name not in stored:
            yield Witness(table=table, row=row, found=f"names snapshot {name}, which is gone")
    for one in state.snapshots:
        if one.way is Way.DELTA_MERGE and one.parent not in stored:
            found = f"was merged into {one.parent}, which is gone"
            yield Witness(table="snapshots", row=f"snapshot {one.id}", found=found)


def _lineage(state: State) -> Iterator[Witness]:
    stored = {one.id: one for one in state.snapshots}
    for one in state.snapshots:
        right = (one.id, 0, one.generated_at)
        parent = None if one.parent is None else stored.get(one.parent)
        if one.way is Way.DELTA_MERGE:
            if parent is None:
                continue
            right = (parent.exact, parent.merged + 1, parent.exact_at)
        if _line(one) != right:
            found = "exact {}, merges {}, exact at {}".format(*_line(one))
            wanted = "{}, {}, {}".format(*right)
            yield Witness(
                table="snapshots", row=f"snapshot {one.id}", found=f"{found}; expected {wanted}"
            )


def _line(one: Snapshot) -> tuple[SnapshotId, int, int]:
    return one.exact, one.merged, one.exact_at
