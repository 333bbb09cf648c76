"""What any two states of one history of anchoring have in common: conditions of an audit.

Chapter ``spec/anchoring.md``. They are about what was published; what became of the log is asked of
its rows.
"""

from collections.abc import Iterator

from plumbline_models.anchoring.values import Snapshot, State, Verdict
from plumbline_models.contract import Condition, Discrepancy


def conditions() -> tuple[Condition[State], ...]:
    """Return the conditions that an earlier and a later state of one history keep."""
    return (
        Condition(
            title="snapshots",
            sentence="A snapshot of the earlier state is as it was, or was collected.",
            clauses=("ANC-13",),
            discrepancies=_altered,
        ),
        Condition(
            title="new snapshots",
            sentence="A snapshot that is new has a greater id than every one that was issued.",
            clauses=("ANC-12",),
            discrepancies=_misnumbered,
        ),
        Condition(
            title="verdicts",
            sentence="Every verdict of the earlier state is in the later one, as it was.",
            clauses=("ANC-22", "ANC-23"),
            discrepancies=_overturned,
        ),
        Condition(
            title="epoch",
            sentence="Neither the epoch nor the greatest id that was issued goes back.",
            clauses=("ANC-12", "ANC-19"),
            discrepancies=_back,
        ),
    )


def _altered(before: State, after: State) -> Iterator[Discrepancy]:
    now = {one.id: one for one in after.snapshots}
    for one in before.snapshots:
        other = now.get(one.id, one)
        if other != one:
            said = (_said(one), _said(other))
            yield Discrepancy(
                table="snapshots", row=f"snapshot {one.id}", before=said[0], after=said[1]
            )


def _said(one: Snapshot) -> str:
    outcomes = sum(each.statistics.count for each in one.statistics)
    return f"{one.way.value} up to {one.watermark}, {outcomes} outcomes, chain {one.chain[:8]}"


def _misnumbered(before: State, after: State) -> Iterator[Discrepancy]:
    old = {one.id for one in before.snapshots}
    for one in after.snapshots:
        if one.id not in old and one.id <= before.issued:
            yield Discrepancy(
                table="snapshots",
                row=f"snapshot {one.id}",
                before=f"not stored, {before.issued} was issued",
                after="stored",
            )


def _overturned(before: State, after: State) -> Iterator[Discrepancy]:
    now = {one.gate: one for one in after.verdicts}
    for one in before.verdicts:
        other = now.get(one.gate)
        if other != one:
            yield Discrepancy(
                table="verdicts",
                row=f"gate {one.gate}",
                before=_judged(one),
                after="gone" if other is None else _judged(other),
            )


def _judged(one: Verdict) -> str:
    promoted = "promoted" if one.promoted else "not promoted"
    return f"{promoted}, {one.result}, snapshot {one.snapshot}, candidate {one.candidate}"


def _back(before: State, after: State) -> Iterator[Discrepancy]:
    pairs = (
        ("epoch", before.epoch, after.epoch),
        ("greatest id", before.issued, after.issued),
    )
    for row, was, now in pairs:
        if now < was:
            yield Discrepancy(table="manifest", row=row, before=str(was), after=str(now))
