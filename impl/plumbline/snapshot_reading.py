"""What is stored of snapshots, read without a change: what status, audit and export stand on."""

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final, TypeVar

import apsw
from msgspec.structs import replace

from plumbline.anchoring import named
from plumbline.damaged import Value, as_number, as_text, every_row
from plumbline.database import version_of
from plumbline.reading import WrittenMeanwhile, reading, reading_beside_writers
from plumbline.replay_log import Counts, as_hex
from plumbline.schema import ANCHORING, MIGRATIONS
from plumbline.snapshots import contents, live_contents, live_delta, torn
from plumbline_models.anchoring import Epoch, Live, Position, Snapshot, SnapshotId, Torn
from plumbline_models.decisions.refreshing import Reason, Way
from plumbline_spec.errors import CouldNotFinish, UnusableInput

VERSION: Final = MIGRATIONS.index(ANCHORING) + 1
"""The first version of a database that has a log of outcomes."""

R = TypeVar("R")


def read_log(database: Path, asked: Callable[[apsw.Connection], R]) -> R:
    """Return what is asked of one state of a database that has a log of outcomes.

    No byte of its folder changes. When it is written meanwhile, it is asked once more, as one of
    those who use it. Raises ``UnusableInput`` for a file that is no Plumbline database or an older
    one, and ``CouldNotFinish`` when it stayed busy or cannot be read to its end.
    """
    try:
        with _log_of(database, reading(database)) as db:
            return asked(db)
    except WrittenMeanwhile:
        with _log_of(database, reading_beside_writers(database)) as db:
            return asked(db)


@contextmanager
def _log_of(
    database: Path, opening: AbstractContextManager[apsw.Connection]
) -> Generator[apsw.Connection]:
    with opening as db:
        try:
            version = version_of(db)
            if version < VERSION:
                raise UnusableInput(
                    f"{database} has version {version}, which holds no log of outcomes; plumbline"
                    " snapshot record brings it up to date"
                )
            yield db
        except (apsw.Error, UnicodeDecodeError) as error:
            raise CouldNotFinish(
                f"{database} cannot be read to its end ({error}); "
                "plumbline audit says what is wrong with it"
            ) from error


def headers(db: apsw.Connection) -> Iterator[Snapshot]:
    """Yield the stored snapshots, the newest first, without their statistics."""
    return _snapshots(db, f"{_HEADERS} ORDER BY snapshot DESC", ())


def header(db: apsw.Connection, snapshot: int | None) -> Snapshot | None:
    """Return a stored snapshot without its statistics, or None."""
    return next(_snapshots(db, f"{_HEADERS} WHERE snapshot = ?", (snapshot,)), None)


def whole(db: apsw.Connection, snapshot: int | None) -> Snapshot | None:
    """Return a stored snapshot, or None."""
    found = header(db, snapshot)
    if found is None:
        return None
    return replace(found, statistics=named(db, Counts(contents(db, found.id))))


def live_of(db: apsw.Connection) -> Live | Torn | None:
    """Return the live delta."""
    delta = live_delta(db)
    if delta is None:
        return None
    if torn(delta):
        return Torn()
    return Live(
        anchor=SnapshotId(delta.anchor),
        epoch=Epoch(delta.epoch),
        lo=Position(delta.lo),
        hi=Position(delta.hi),
        chain=delta.chain.hex(),
        statistics=named(db, Counts(live_contents(db))),
    )


_HEADERS: Final = (
    "SELECT snapshot, epoch, watermark, chain, way, reason, parent, exact, merged,"
    " generated_at, exact_at, config FROM snapshots"
)
_WAYS: Final = {one.value: one for one in Way}
_REASONS: Final = {one.value: one for one in Reason}


def _snapshots(db: apsw.Connection, query: str, bindings: tuple[Value, ...]) -> Iterator[Snapshot]:
    for row in every_row(db, query, bindings):
        (
            name,
            epoch,
            watermark,
            chain,
            way,
            reason,
            parent,
            exact,
            merged,
            made,
            exact_at,
            config,
        ) = row
        yield Snapshot(
            id=SnapshotId(as_number(name)),
            epoch=Epoch(as_number(epoch)),
            watermark=Position(as_number(watermark)),
            chain=as_hex(chain),
            statistics=(),
            way=_WAYS.get(as_text(way), Way.FULL_REBUILD),
            reason=_REASONS.get(as_text(reason), Reason.FORCED),
            parent=None if parent is None else SnapshotId(as_number(parent)),
            exact=SnapshotId(as_number(exact)),
            merged=as_number(merged),
            generated_at=as_number(made),
            exact_at=as_number(exact_at),
            config=as_text(config),
        )
