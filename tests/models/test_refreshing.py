"""The table of a refresh: every combination of what can be seen, and the edges of its windows."""

from collections.abc import Iterator
from itertools import product

import pytest
from msgspec.structs import replace

from plumbline_models.decisions.refreshing import (
    Choice,
    Ineligible,
    Mode,
    Reason,
    Sight,
    Way,
    Windows,
    choose,
)

USUAL = Windows(reuse=300, merges=3, exact=900)
RIGHT = Sight(snapshot=True, new=1)
"""A delta that may be merged."""
WRONG: dict[Reason, dict[str, object]] = {
    Reason.NO_SNAPSHOT: {"snapshot": False},
    Reason.MANIFEST_INVALID: {"manifest": False},
    Reason.LIVE_ABSENT: {"live": False},
    Reason.LIVE_CORRUPT: {"readable": False},
    Reason.ANCHOR_MISMATCH: {"anchored": False},
    Reason.EPOCH_MISMATCH: {"epoch": False},
    Reason.CONFIG_MISMATCH: {"config": False},
    Reason.COVERAGE_GAP: {"covered": False},
    Reason.COMPACTION_DUE_TO_DELTA_COUNT: {"merged": 3},
    Reason.COMPACTION_DUE_TO_EXACT_LINEAGE_AGE: {"exact_age": 901},
    Reason.DRIFT_DETECTED: {"drift": True},
}
"""What makes a delta one that may not be merged, in the order of the table without ``FORCED``."""


def sights() -> Iterator[tuple[Sight, Reason | None]]:
    """Yield every combination of what is wrong, and the first of it."""
    for chosen in product((False, True), repeat=len(WRONG)):
        wrong = [reason for reason, holds in zip(WRONG, chosen, strict=True) if holds]
        changed = {name: value for reason in wrong for name, value in WRONG[reason].items()}
        yield replace(RIGHT, **changed), next(iter(wrong), None)


def test_the_first_row_that_holds_is_the_reason() -> None:
    before_forced = [*WRONG][:8]
    for sight, reason in sights():
        auto, delta, full = (choose(mode, sight, USUAL) for mode in Mode)
        if reason is None:
            merged = Choice(way=Way.DELTA_MERGE, reason=Reason.LIVE_DELTA)
            assert (auto, delta) == (merged, merged)
        else:
            assert auto == Choice(way=Way.FULL_REBUILD, reason=reason)
            assert delta == Ineligible(reason=reason)
        asked = reason if reason in before_forced else Reason.FORCED
        assert full == Choice(way=Way.FULL_REBUILD, reason=asked)


def test_the_table_has_the_rows_of_the_reasons_in_their_order() -> None:
    rows = [*WRONG]
    rows.insert(8, Reason.FORCED)
    assert rows == [*Reason][: len(rows)]


@pytest.mark.parametrize(
    ("sight", "windows", "way", "reason"),
    [
        (replace(RIGHT, merged=2), USUAL, Way.DELTA_MERGE, Reason.LIVE_DELTA),
        (replace(RIGHT, exact_age=900), USUAL, Way.DELTA_MERGE, Reason.LIVE_DELTA),
        (
            replace(RIGHT, new=0, age=299),
            USUAL,
            Way.REUSED_SNAPSHOT,
            Reason.WITHIN_REUSE_WINDOW,
        ),
        (
            replace(RIGHT, new=0, age=300),
            USUAL,
            Way.FULL_REBUILD,
            Reason.COMPACTION_DUE_TO_SNAPSHOT_AGE,
        ),
        (
            replace(RIGHT, new=0, merged=3),
            USUAL,
            Way.REUSED_SNAPSHOT,
            Reason.WITHIN_REUSE_WINDOW,
        ),
        (
            replace(RIGHT, new=0, merged=4),
            USUAL,
            Way.FULL_REBUILD,
            Reason.COMPACTION_DUE_TO_DELTA_COUNT,
        ),
        (
            replace(RIGHT, new=0),
            replace(USUAL, reuse=0),
            Way.FULL_REBUILD,
            Reason.COMPACTION_DUE_TO_SNAPSHOT_AGE,
        ),
        (
            RIGHT,
            replace(USUAL, merges=0),
            Way.FULL_REBUILD,
            Reason.COMPACTION_DUE_TO_DELTA_COUNT,
        ),
        (RIGHT, replace(USUAL, exact=0), Way.DELTA_MERGE, Reason.LIVE_DELTA),
        (
            replace(RIGHT, exact_age=1),
            replace(USUAL, exact=0),
            Way.FULL_REBUILD,
            Reason.COMPACTION_DUE_TO_EXACT_LINEAGE_AGE,
        ),
    ],
)
def test_the_edges_of_the_windows_and_zero_in_each(
    sight: Sight, windows: Windows, way: Way, reason: Reason
) -> None:
    assert choose(Mode.AUTO, sight, windows) == Choice(way=way, reason=reason)


def test_a_merge_of_nothing_is_the_snapshot_or_is_refused() -> None:
    young, old = replace(RIGHT, new=0), replace(RIGHT, new=0, age=300)
    reused = Choice(way=Way.REUSED_SNAPSHOT, reason=Reason.WITHIN_REUSE_WINDOW)
    assert choose(Mode.DELTA, young, USUAL) == reused
    refused = Ineligible(reason=Reason.COMPACTION_DUE_TO_SNAPSHOT_AGE)
    assert choose(Mode.DELTA, old, USUAL) == refused


def test_the_lineage_of_rebuilds_is_not_the_age_of_the_snapshot() -> None:
    """A merge renews the snapshot, and a rebuild that goes by its age never comes."""
    sight = replace(RIGHT, age=0, exact_age=10_000)
    assert choose(Mode.AUTO, sight, USUAL).reason is Reason.COMPACTION_DUE_TO_EXACT_LINEAGE_AGE
