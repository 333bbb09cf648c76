"""Outcomes from a file or a stream into the log, batch by batch.

Theory of operation. A batch of lines is one ``Record``, one transaction. A file that can be read
twice is read to its end before anything is recorded, so one with a line that is no outcome records
nothing. Of a stream the batches before such a line are recorded, and how many lines they had is
said; running it again is harmless, because an outcome that is logged is answered as repeated.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sized
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Final

import apsw
from msgspec import Struct
from msgspec.structs import replace

from plumbline.outcome_lines import Handed, UnreadableOutcome, batches, outcomes
from plumbline.policy_snapshot import ONCE, Envelope, ask, opened
from plumbline.replay_log import end_of, manifest_of
from plumbline.snapshot_reasons import REFUSED
from plumbline_models.anchoring import Answer, OutcomeId, Placed, Record, Recorded
from plumbline_spec.errors import CouldNotFinish, UnusableInput

BATCH: Final = 1_000
"""Lines of one event, if nothing else is said."""
SURVEYED: Final = 10_000
"""Lines of a survey between two words about it."""
STREAM: Final = "standard input"
NO_REWARD: Final = "reward_not_whole"
NO_REWARD_BECAUSE: Final = (
    "a reward is a whole number of micro-units from -1,000,000 to 1,000,000, such as 500000 for a"
    " half"
)

Told = Callable[[str], None]
"""Called with what was done so far."""


class NewLines(Struct, frozen=True, kw_only=True):
    """Outcomes of lines without a gap between them, logged one behind the other."""

    first: int
    """The first line."""
    last: int
    position: int
    """Of the outcome in the first line."""


class RepeatedLine(Struct, frozen=True, kw_only=True):
    """An outcome that was logged before."""

    line: int
    outcome: OutcomeId
    position: int


class RejectedLine(Struct, frozen=True, kw_only=True):
    """An outcome that is not logged."""

    line: int
    outcome: OutcomeId
    reason: str
    because: str


class RecordReport(Struct, frozen=True, kw_only=True):
    """What became of the lines."""

    database: str
    file: str
    lines: int
    """Those that were read; blank ones do not count."""
    batches: int
    new: int
    repeated: int
    rejected: int
    log_ends_at: int
    """The last position of the log."""
    new_lines: tuple[NewLines, ...]
    repeated_lines: tuple[RepeatedLine, ...]
    rejected_lines: tuple[RejectedLine, ...]


class _Counts:
    """What was recorded so far; the first ``keep`` lines of either list are kept, None for all."""

    def __init__(self, keep: int | None) -> None:
        self.keep = keep
        self.lines = self.batches = self.new = self.repeated = self.rejected = 0
        self.last_line = 0
        self.new_lines: list[NewLines] = []
        self.repeated_lines: list[RepeatedLine] = []
        self.rejected_lines: list[RejectedLine] = []

    def add(self, batch: list[Handed], answers: Iterable[Answer]) -> None:
        """Count a batch, given the answers to those of it that are drafts."""
        answer = iter(answers)
        for handed in batch:
            if handed.draft is None:
                self._reject(handed, NO_REWARD, NO_REWARD_BECAUSE)
            else:
                self._add(handed, next(answer))
        self.lines += len(batch)
        self.batches += 1
        self.last_line = batch[-1].line

    def _add(self, handed: Handed, answer: Answer) -> None:
        if not isinstance(answer, Placed):
            self._reject(handed, answer.reason.value, REFUSED[answer.reason])
        elif answer.repeated:
            self.repeated += 1
            if self._has_room(self.repeated_lines):
                self.repeated_lines.append(
                    RepeatedLine(line=handed.line, outcome=handed.outcome, position=answer.position)
                )
        else:
            self.new += 1
            self._run_on(handed.line, answer.position)

    def _run_on(self, line: int, position: int) -> None:
        last = self.new_lines[-1] if self.new_lines else None
        if (
            last is not None
            and line == last.last + 1
            and position - last.position == line - last.first
        ):
            self.new_lines[-1] = replace(last, last=line)
        elif self._has_room(self.new_lines):
            self.new_lines.append(NewLines(first=line, last=line, position=position))

    def _has_room(self, lines: Sized) -> bool:
        return self.keep is None or len(lines) < self.keep

    def _reject(self, handed: Handed, reason: str, because: str) -> None:
        self.rejected += 1
        if self._has_room(self.rejected_lines):
            self.rejected_lines.append(
                RejectedLine(
                    line=handed.line, outcome=handed.outcome, reason=reason, because=because
                )
            )

    def told(self) -> str:
        """Return what was done so far, in a line."""
        return (
            f"{_outcomes(self.lines)}: {self.new:,} new, {self.repeated:,} repeated,"
            f" {self.rejected:,} rejected"
        )

    def __str__(self) -> str:
        if not self.lines:
            return "nothing was recorded"
        return (
            f"up to line {self.last_line:,} and not further, {self.told()}; what is recorded is"
            " answered as repeated when it is run again"
        )


def _outcomes(number: int) -> str:
    return f"{number:,} outcome{'' if number == 1 else 's'}"


def record(
    database: Path,
    source: Path | BinaryIO,
    *,
    batch: int = BATCH,
    keep: int | None = None,
    envelope: Envelope = ONCE,
    told: Told = lambda _said: None,
) -> RecordReport:
    """Log the outcomes of a file or a stream; the database is made if there is none (ANC-17).

    ``keep`` is how many lines are named of those repeated, and of those rejected, and how many runs
    of new ones; None names all.
    With a request id each batch has one, made of it, so the same lines in the same batches are
    answered as they were. Raises ``UnusableInput`` for a line that is no outcome and for what is no
    database, ``RequestReused``, and ``CouldNotFinish``; each says what was recorded.
    """
    counts = _Counts(keep)
    name = str(source) if isinstance(source, Path) else STREAM
    try:
        with _reading(source) as stream:
            _survey(name, stream, told)
            pieces = batches(outcomes(name, stream), batch)
            first = [*_first(pieces)]
            with opened(database, create=True) as db:
                for piece in chain(first, pieces):
                    _take(db, piece, envelope, counts)
                    told(counts.told())
                end, _ = end_of(db, manifest_of(db))
    except UnreadableOutcome as error:
        raise UnusableInput(f"{error}\n{counts}") from error
    except CouldNotFinish as error:
        raise CouldNotFinish(f"{error}\n{counts}") from error
    except KeyboardInterrupt as error:
        error.add_note(str(counts))
        raise
    return RecordReport(
        database=str(database),
        file=name,
        lines=counts.lines,
        batches=counts.batches,
        new=counts.new,
        repeated=counts.repeated,
        rejected=counts.rejected,
        log_ends_at=end,
        new_lines=tuple(counts.new_lines),
        repeated_lines=tuple(counts.repeated_lines),
        rejected_lines=tuple(counts.rejected_lines),
    )


@contextmanager
def _reading(source: Path | BinaryIO) -> Generator[BinaryIO]:
    """Open a file; a stream is the caller's and stays open."""
    if not isinstance(source, Path):
        yield source
        return
    try:
        file = source.open("rb")
    except OSError as error:
        raise UnusableInput(
            f"{source} cannot be read ({error.strerror}); name a file of outcomes, or - for"
            " standard input"
        ) from error
    with file:
        yield file


def _survey(name: str, stream: BinaryIO, told: Told) -> None:
    """Read what can be read twice to its end, and return to where it was."""
    if not stream.seekable():
        return
    start = stream.tell()
    for number, _ in enumerate(outcomes(name, stream), start=1):
        if number % SURVEYED == 0:
            told(f"{number:,} lines read")
    stream.seek(start)


def _first(pieces: Iterator[list[Handed]]) -> Iterable[list[Handed]]:
    """Return the first batch, before there is a database."""
    first = next(pieces, None)
    return () if first is None else (first,)


def _take(db: apsw.Connection, piece: list[Handed], envelope: Envelope, counts: _Counts) -> None:
    event = Record(drafts=tuple(one.draft for one in piece if one.draft is not None))
    if not event.drafts:
        counts.add(piece, ())
        return
    outcome = ask(db, lambda _now: event, envelope.of(str(counts.batches + 1)))
    assert isinstance(outcome, Recorded), outcome
    counts.add(piece, outcome.answers)
