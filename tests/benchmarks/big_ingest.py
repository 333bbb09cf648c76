"""How fast a long transcript goes into a database, and with how much memory.

``python -m tests.benchmarks.big_ingest TRANSCRIPT`` makes a transcript of 256 MB by repeating the
messages of another one with fresh ids, ingests it, ingests it again, and audits the database. Each
is a process of its own, because the most memory that a process had does not go down again.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from plumbline.audit import audit_file
from plumbline.ingest import ingest
from plumbline_spec.clause_table import silent
from tests.benchmarks.big_transcript import MEGABYTE, SIZE_MB, SMALL, write_big
from tests.benchmarks.figures import show

Told = list[tuple[str, object]]


def ingested(database: Path, file: Path) -> Told:
    """Ingest a file and tell what the report says."""
    found = ingest(str(database), [file], lambda _file, _said: None)
    return [("entries", found.entries), ("added", found.added), ("already", found.already)]


def audited(database: Path, file: Path) -> Told:
    """Audit the database and tell what it says."""
    del file
    found = audit_file(database, keep=1, progress=silent)
    return [("verdict", found.audit.verdict.value)]


def measured(what: Callable[[Path, Path], Told], database: Path, file: Path) -> Told:
    """Run one thing in this process; tell how long it took and how much memory it had at most."""
    started = time.perf_counter()
    told = what(database, file)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MEGABYTE
    size = file.stat().st_size / MEGABYTE
    return [
        *told,
        ("seconds", seconds),
        ("MB of transcript a second", size / seconds),
        ("peak memory, MB", peak),
        ("database, MB", database.stat().st_size / MEGABYTE),
    ]


def main() -> None:
    """Make the transcript, ingest it twice, audit the database, and show the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("transcript", nargs="?", type=Path, default=SMALL)
    parser.add_argument("--size-mb", type=int, default=SIZE_MB)
    options = parser.parse_args(namespace=_Options())
    fresh = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        file, database = Path(folder) / "big.jsonl", Path(folder) / "big.db"
        write_big(options.transcript, file, options.size_mb * MEGABYTE)
        for title, what in (("ingest", ingested), ("ingest again", ingested), ("audit", audited)):
            with fresh.Pool(1) as process:
                show(title, ["figure", "value"], process.apply(measured, (what, database, file)))


class _Options(argparse.Namespace):
    transcript: Path
    size_mb: int


if __name__ == "__main__":
    main()
