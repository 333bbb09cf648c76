"""What a refresh costs on SQLite, counted: a merge goes by the keys of its delta and by no log.

What is counted is said in ``tests.costs``. ``pytest -s`` shows the figures.
"""

from collections.abc import Iterator

import pytest

from plumbline import anchoring as sqlite_anchoring
from plumbline.snapshots import contents
from plumbline.sqlite_host import SqliteHost
from plumbline_models.anchoring import (
    Audit,
    Audited,
    Draft,
    Event,
    Outcome,
    Record,
    Refresh,
    Refreshed,
    State,
)
from plumbline_models.decisions.refreshing import Mode, Way, Windows
from tests.anchoring import draft, recording
from tests.benchmarks.figures import show
from tests.costs import Cost, cost

Host = SqliteHost[State, Event, Outcome]

LENGTHS = (1_000, 10_000, 100_000)
KEYS = 100
DELTAS = (1, 10, 100)
"""Keys in a delta."""
DEPTHS = (0, 1, 8, 32)
SNAPSHOTS = (50, 100, 200)
BATCH = 10_000
STATEMENTS_OF_A_MERGE = 14
STATEMENTS_OF_A_REBUILD = 14


def filled(length: int, keys: int = KEYS) -> Host:
    """Return a host with a log of so many outcomes of so many keys, and an exact snapshot."""
    host = Host(sqlite_anchoring.PROGRAM)
    for first in range(0, length, BATCH):
        host.step(recording(range(first, min(first + BATCH, length)), keys=keys))
    host.step(Refresh(now=0))
    return host


@pytest.fixture(scope="module")
def hosts() -> Iterator[dict[int, Host]]:
    """Return a host for each length of a log."""
    found = {length: filled(length) for length in LENGTHS}
    yield found
    for host in found.values():
        host.close()


def merge_after(host: Host, record: Record) -> tuple[Cost, Refreshed]:
    """Log outcomes, refresh, and take both back; return what the refresh cost and answered."""
    host.mark()
    host.step(record)
    found, outcome = cost(host, Refresh(now=1))
    host.back()
    assert isinstance(outcome, Refreshed)
    return found, outcome


def test_a_merge_goes_by_the_keys_of_its_delta_and_not_by_the_log(hosts: dict[int, Host]) -> None:
    rows: list[tuple[object, ...]] = []
    for keys in DELTAS:
        costs: list[Cost] = []
        for length, host in hosts.items():
            found, outcome = merge_after(host, recording(range(length, length + keys), keys=KEYS))
            assert outcome.way is Way.DELTA_MERGE
            assert (outcome.rows_read, outcome.rows_written) == (keys, keys)
            costs.append(found)
            rows.append((length, keys, found.statements, found.rows, found.steps))
        assert len(set(costs)) == 1
        assert costs[0].statements <= STATEMENTS_OF_A_MERGE + keys
        assert costs[0].rows <= 2 * keys + 3
    show("a merge", ("log", "keys", "statements", "rows written", "steps"), rows)


def test_a_merge_does_not_go_by_the_keys_of_its_snapshot() -> None:
    found = set[Cost]()
    for keys in (10, 100, 1_000):
        host = filled(1_000, keys)
        spent, outcome = merge_after(host, recording(range(1_000, 1_001), keys=keys))
        assert (outcome.way, outcome.rows_written) == (Way.DELTA_MERGE, 1)
        found.add(spent)
        host.close()
    assert len(found) == 1


def test_a_merge_does_not_go_by_the_outcomes_of_its_delta(hosts: dict[int, Host]) -> None:
    host = hosts[LENGTHS[0]]
    found = {
        outcomes: merge_after(host, Record(drafts=tuple(_of_one_key(outcomes))))[0]
        for outcomes in (1, 100, 10_000)
    }
    assert len(set(found.values())) == 1


def _of_one_key(outcomes: int) -> Iterator[Draft]:
    yield from (draft(7 * KEYS + KEYS * 1_000 * n, keys=KEYS) for n in range(1, outcomes + 1))


def test_a_rebuild_reads_each_row_once(hosts: dict[int, Host]) -> None:
    rows: list[tuple[object, ...]] = []
    for length, host in hosts.items():
        found, outcome = cost(host, Refresh(now=1, mode=Mode.FULL))
        assert isinstance(outcome, Refreshed)
        assert outcome.way is Way.FULL_REBUILD
        assert (outcome.rows_read, outcome.rows_written) == (length, KEYS)
        assert found.scanned <= length
        assert found.statements <= STATEMENTS_OF_A_REBUILD
        rows.append((length, found.statements, found.rows, found.steps, found.steps / length))
    show("a rebuild", ("log", "statements", "rows written", "steps", "steps a row"), rows)


def test_a_snapshot_is_read_in_one_statement_however_deep_it_is() -> None:
    windows = Windows(merges=max(DEPTHS))
    host = filled(1_000)
    before = host.observe().snapshots[-1].statistics
    for depth in range(1, max(DEPTHS) + 1):
        host.step(recording(range(1_000 + depth, 1_001 + depth), keys=KEYS))
        outcome = host.step(Refresh(now=1, windows=windows))
        assert isinstance(outcome, Refreshed)
        assert outcome.way is Way.DELTA_MERGE
        with host.statements() as ran:
            found = dict(contents(host.connection, outcome.snapshot))
        assert len(ran) == 1
        assert len(found) == len(before) == KEYS
        assert sum(one.count for one in found.values()) == 1_000 + depth
    host.close()


def test_an_audit_goes_by_what_is_stored_and_not_by_its_product_with_the_keys() -> None:
    """Each snapshot is compared where it changed: all of it is read of the first of a lineage."""
    rows: list[tuple[object, ...]] = []
    windows = Windows(merges=max(DEPTHS))
    host = filled(1_000)
    made, steps = 1, list[int]()
    for snapshots in SNAPSHOTS:
        for number in range(made, snapshots):
            host.step(recording(range(1_000 + number, 1_001 + number), keys=KEYS))
            host.step(Refresh(now=1, windows=windows))
        made = snapshots
        found, outcome = cost(host, Audit())
        assert outcome == Audited(judged=snapshots, drifted=(), live_drifted=False)
        steps.append(found.steps)
        rows.append((snapshots, found.statements, found.steps, found.steps // snapshots))
    host.close()
    show("an audit", ("snapshots", "statements", "steps", "steps a snapshot"), rows)
    assert steps[2] - steps[1] < 2.5 * (steps[1] - steps[0])
    assert steps[2] < SNAPSHOTS[2] * KEYS * 5
