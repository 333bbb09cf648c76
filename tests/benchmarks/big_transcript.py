"""A big transcript, made of a small one by repetition, and what it takes to read it.

``python -m tests.benchmarks.big_transcript [TRANSCRIPT] [--size-mb N]`` makes one of 256 MB in a
temporary folder, reads it twice as an ingest does, and shows rates and the peak of memory.
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from plumbline.transcript import Transcript
from plumbline_spec.strict import JsonValue, read
from tests.benchmarks.figures import show

SMALL = Path(__file__).parents[1] / "data" / "small-session.jsonl"
SIZE_MB = 256
MEGABYTE = 1_000_000


def write_big(source: Path, file: Path, size_bytes: int) -> None:
    """Write the session of ``source`` and its entries over and over, until the file is so big.

    Every entry gets an id of its own and follows the one before it, so all are on the branch.
    """
    with file.open("wb") as stream:
        for line in repeated(source):
            stream.write(line)
            if stream.tell() >= size_bytes:
                break


def repeated(source: Path) -> Iterator[bytes]:
    """Yield the lines of such a file, without an end."""
    session, *lines = source.read_bytes().splitlines(keepends=True)
    yield session
    entries = [_fields(line) for line in lines]
    ids = (f"{number:08x}" for number in count(1))
    parent: str | None = None
    while entries:
        for entry in entries:
            own = next(ids)
            fresh = {**entry, "id": own, "parentId": parent}
            yield json.dumps(fresh, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
            parent = own


def _fields(line: bytes) -> dict[str, JsonValue]:
    value = read(line, floats=True)
    assert isinstance(value, dict)
    return value


def _measure(file: Path) -> None:
    transcript = Transcript(file)
    before = _peak_mb()
    started = time.perf_counter()
    survey = transcript.survey()
    surveyed = time.perf_counter() - started
    characters = sum(len(entry.text) for entry in transcript.entries())
    both = time.perf_counter() - started
    size = survey.size_bytes / MEGABYTE
    figures: dict[str, object] = {
        "MB": size,
        "entries": survey.entries,
        "characters": characters,
        "survey, MB/s": size / surveyed,
        "entries, MB/s": size / (both - surveyed),
        "both, MB/s": size / both,
        "peak before, MB": before,
        "peak after, MB": _peak_mb(),
    }
    show(f"reading {file.name}", ["figure", "value"], figures.items())


def _peak_mb() -> float:
    """Return the most memory that this process has had so far; Linux counts it in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MEGABYTE


def main() -> None:
    """Make the transcript, read it, and show the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("transcript", nargs="?", type=Path, default=SMALL)
    parser.add_argument("--size-mb", type=int, default=SIZE_MB)
    options = parser.parse_args(namespace=_Options())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "big.jsonl"
        write_big(options.transcript, file, options.size_mb * MEGABYTE)
        _measure(file)


class _Options(argparse.Namespace):
    transcript: Path
    size_mb: int


if __name__ == "__main__":
    main()
