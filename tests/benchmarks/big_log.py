"""What anchoring takes on long logs: logging, rebuilds beside a bare aggregate, merges.

``python -m tests.benchmarks.big_log 10000 1000000`` fills a log of each length, a process each,
because the most memory that a process had does not go down again. A bare loop writes the same rows
to a table without a chain, a digest's look-up or a live delta; a bare aggregate, of counts and sums
or of all statistics, reads the same rows as a rebuild does, in the same run, and so does one of
counts, sums and ends whose result is stored as a snapshot's is.
``--keys`` says by how many keys the outcomes are. Of several runs of a rebuild the shortest counts.
Steps are instructions of SQLite's virtual machine, counted in a run of their own.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import apsw

from plumbline.anchoring import PROGRAM
from plumbline.database import answered, open_database
from plumbline_models.anchoring import Event, Outcome, Refresh, Refreshed
from plumbline_models.decisions.refreshing import Mode, Way, Windows
from tests.anchoring import recording
from tests.benchmarks.figures import show
from tests.costs import Machine, profile

T = TypeVar("T")

LENGTHS = (10_000, 100_000, 1_000_000, 10_000_000)
DELTAS = (1, 10, 1_000, 100_000)
KEYS = 1_000
RUNS = 3
BATCH = 1_000
MEGABYTE = 1 << 20
BARE = "SELECT key, count(*), sum(reward) FROM log GROUP BY key"
EVERY = (
    "SELECT key, count(reward), sum(reward), min(reward), max(reward),"
    " sum(reward * reward / 1000000), sum(reward * reward % 1000000) FROM log GROUP BY key"
)
BARE_STATISTICS = (
    "CREATE TABLE bare_statistics (exact INTEGER, key INTEGER, snapshot INTEGER, outcomes INTEGER,"
    " total INTEGER, least INTEGER, greatest INTEGER, squares_high INTEGER, squares_low INTEGER,"
    " PRIMARY KEY (exact, key, snapshot)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX bare_of_snapshots ON bare_statistics (snapshot)"
)
STORED = (
    "INSERT INTO bare_statistics SELECT 1, key, 1, count(*), sum(reward), min(reward), max(reward),"
    " 0, 0 FROM log GROUP BY key"
)
WINDOWS = Windows(reuse=1_000, merges=1_000, exact=1_000)

Told = list[tuple[str, object]]


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Return the seconds that some work takes, and what it returns."""
    started = time.perf_counter()
    found = work()
    return time.perf_counter() - started, found


def take(db: apsw.Connection, event: Event) -> Outcome:
    """Take one event in one transaction."""
    return answered(db, None, event, PROGRAM.apply, PROGRAM.decode_outcome)


def shortest(work: Callable[[], object]) -> float:
    """Return the seconds of the shortest of several runs."""
    return min(timed(work)[0] for _ in range(RUNS))


def steps_of(db: apsw.Connection, event: Event) -> int:
    """Return the steps that an event takes, and take it back."""
    machine = Machine()
    db.execute("SAVEPOINT counted")
    profile(db, machine.note)
    take(db, event)
    profile(db, None)
    db.execute("ROLLBACK TO counted; RELEASE counted")
    return machine.steps


def aggregate_and_store(db: apsw.Connection) -> None:
    """Keep what a bare aggregate finds in a table and an index like those of a snapshot."""
    with db:
        db.execute("DELETE FROM bare_statistics")
        db.execute(STORED)


def batches(first: int, length: int) -> Iterator[range]:
    """Yield the numbers of outcomes by batches."""
    for start in range(first, first + length, BATCH):
        yield range(start, min(start + BATCH, first + length))


def fill(db: apsw.Connection, first: int, length: int, keys: int) -> None:
    """Log so many outcomes."""
    for numbers in batches(first, length):
        take(db, recording(numbers, keys=keys))


def fill_bare(file: Path, length: int, keys: int) -> None:
    """Write so many rows, a transaction a batch, with the settings that ship."""
    db = open_database(str(file))
    db.execute(
        "CREATE TABLE bare (position INTEGER PRIMARY KEY, outcome TEXT NOT NULL UNIQUE,"
        " key INTEGER, reward INTEGER, source TEXT, under INTEGER, epoch INTEGER,"
        " digest BLOB, chain BLOB) STRICT"
    )
    hashed = bytes(16)
    for numbers in batches(0, length):
        drafts = recording(numbers, keys=keys).drafts
        with db:
            db.executemany(
                "INSERT INTO bare VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    (
                        number + 1,
                        one.outcome,
                        number % keys,
                        one.reward,
                        one.source.value,
                        None,
                        1,
                        hashed,
                        hashed,
                    )
                    for number, one in zip(numbers, drafts, strict=True)
                ),
            )
    db.close()


def measured(length: int, keys: int) -> Told:
    """Fill a log, rebuild and merge; tell what each took."""
    full = Refresh(now=0, mode=Mode.FULL)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "log.db"
        db = open_database(str(file))
        filling, _ = timed(lambda: fill(db, 0, length, keys))
        bare_filling, _ = timed(lambda: fill_bare(Path(folder) / "bare.db", length, keys))
        db.execute(BARE_STATISTICS)
        take(db, Refresh(now=0))
        rebuild = shortest(lambda: take(db, full))
        aggregate = shortest(lambda: db.execute(BARE).fetchall())
        every = shortest(lambda: db.execute(EVERY).fetchall())
        stored = shortest(lambda: aggregate_and_store(db))
        told: Told = [
            ("outcomes logged a second", length / filling),
            ("rows a second in a bare loop", length / bare_filling),
            ("rebuild, ms", 1_000 * rebuild),
            ("bare aggregate, ms", 1_000 * aggregate),
            ("rebuild by bare aggregate", rebuild / aggregate),
            ("rebuild by aggregate of all statistics", rebuild / every),
            ("rebuild by aggregate that is stored", rebuild / stored),
            ("rebuild, steps for each outcome", steps_of(db, full) / length),
            *merges(db, length, keys),
            ("peak memory, MB", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            ("database, MB", file.stat().st_size / MEGABYTE),
        ]
        db.close()
    return told


def merges(db: apsw.Connection, length: int, keys: int) -> Told:
    """Merge deltas of growing length."""
    told: Told = []
    merge = Refresh(now=1, windows=WINDOWS)
    for delta in DELTAS:
        fill(db, length, delta, keys)
        length += delta
        steps = steps_of(db, merge)
        seconds, outcome = timed(lambda: take(db, merge))
        assert isinstance(outcome, Refreshed)
        assert outcome.way is Way.DELTA_MERGE
        told.append((f"merge of {delta:,}: ms", 1_000 * seconds))
        told.append((f"merge of {delta:,}: steps", steps))
        told.append((f"merge of {delta:,}: rows written", outcome.rows_written))
    return told


def main() -> None:
    """Measure each length in a process of its own, and show the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lengths", nargs="*", type=int, default=list(LENGTHS))
    parser.add_argument("--keys", type=int, default=KEYS)
    options = parser.parse_args(namespace=_Options())
    fresh = multiprocessing.get_context("spawn")
    for length in options.lengths:
        with fresh.Pool(1) as process:
            told = process.apply(measured, (length, options.keys))
            show(f"{length:,} outcomes, {options.keys:,} keys", ["figure", "value"], told)


class _Options(argparse.Namespace):
    lengths: list[int]
    keys: int


if __name__ == "__main__":
    main()
