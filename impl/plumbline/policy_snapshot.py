"""Policy snapshots for hosts and for people: log outcomes, publish, pin, collect.

Theory of operation. Every function here opens a database, takes one event of anchoring in one
transaction (chapter ``spec/anchoring.md``), and answers with a report, or with a ``Refusing`` that
has changed nothing. Moments are those of the caller, or of the clock.

A request id makes an event idempotent: the same one again is answered as it was the first time. An
event of which the caller says no moment is the same one whenever it is asked again; so the id
stands for the event at moment 0, and what is done is done at the moment of the first time.
"""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw
import msgspec
from msgspec import Struct
from msgspec.structs import replace

from plumbline.anchoring import PROGRAM
from plumbline.damaged import MOST, as_number, every_row
from plumbline.database import MEMORY, SettingNotKept, answered, open_database, transaction
from plumbline.snapshot_reasons import Refusing, refusing
from plumbline_models.anchoring import (
    Collect,
    Collected,
    Event,
    GateId,
    Ineligible,
    Outcome,
    Pin,
    PinId,
    Pinned,
    Refresh,
    Refreshed,
    Refused,
    Renew,
    SnapshotId,
    Unpin,
    Unpinned,
)
from plumbline_models.decisions.refreshing import Mode, Reason, Way, Windows
from plumbline_spec.codec import canonical
from plumbline_spec.errors import CouldNotFinish, UnusableInput
from plumbline_spec.host import RequestId

NOT_KEPT: Final = ("", MEMORY)
"""Names under which SQLite makes a database that goes when it is closed."""
MAX_REQUEST: Final = 256
"""The longest id of a request, in code points."""


class Envelope(Struct, frozen=True, kw_only=True):
    """When something is asked, and under which request id."""

    now: int | None = None
    """In seconds; None for the moment of the clock."""
    request: str | None = None
    """None for a request that is made once."""
    part: str = ""
    """Which of several events that are one request."""

    def of(self, part: str) -> "Envelope":
        """Return the envelope of one of several events that are one request."""
        return replace(self, part=part)


class Terms(Struct, frozen=True, kw_only=True):
    """How a snapshot is refreshed."""

    mode: Mode = Mode.AUTO
    windows: Windows = Windows()
    config: str = ""
    drift: bool = False


class Lease(Struct, frozen=True, kw_only=True):
    """How long a pin holds; for ever if nothing is said."""

    seconds: int | None = None
    """From now on; 0 is a lease that is over at once."""
    moment: int | None = None

    def expires(self, now: int) -> int | None:
        """Return the moment from which it holds nothing; None for never."""
        if self.seconds is not None:
            return min(MOST, now + self.seconds)
        return self.moment


ONCE: Final = Envelope()
USUAL_TERMS: Final = Terms()
FOR_EVER: Final = Lease()


class RefreshReport(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a refresh did; the last two are left out when there is nothing in them."""

    mode: Way
    """What was done."""
    reason: Reason
    snapshot_id: int
    """The snapshot that is current now."""
    previous_snapshot_id: int | None
    watermark: int
    rows_read: int
    """Of the log, for a rebuild; of the live delta, for a merge."""
    rows_written: int
    foundation: int | None = None
    """What a rebuild began with, where the log was truncated."""
    doubted: tuple[GateId, ...] = ()
    """When drift was detected: gates with a verdict about a snapshot of that lineage."""


class PinReport(Struct, frozen=True, kw_only=True):
    """What a pin holds."""

    pin: str
    snapshot_id: int
    held: bool
    """Whether the pin is there now; a request that is answered again may be about one that went."""
    expires: int | None
    """None for never, and for a pin that went."""


class CollectReport(Struct, frozen=True, kw_only=True):
    """What went."""

    snapshots: tuple[SnapshotId, ...]
    pins: tuple[PinId, ...]


def refresh(
    database: Path,
    terms: Terms = USUAL_TERMS,
    *,
    expects: int | None = None,
    envelope: Envelope = ONCE,
) -> RefreshReport | Refusing:
    """Publish a snapshot of the whole log, or stay with the current one (ANC-7, ANC-8).

    With ``expects``, only if this snapshot is current, or none if it is 0. Raises ``UnusableInput``
    for a file that is no Plumbline database, ``RequestReused`` and ``CouldNotFinish``.
    """

    def at(now: int) -> Refresh:
        return Refresh(
            now=now,
            mode=terms.mode,
            windows=terms.windows,
            config=terms.config,
            drift=terms.drift,
            expects=None if expects is None else SnapshotId(expects),
        )

    with opened(database) as db:
        outcome = ask(db, at, envelope)
    if not isinstance(outcome, Refreshed):
        return _refused(outcome)
    return RefreshReport(
        mode=outcome.way,
        reason=outcome.reason,
        snapshot_id=outcome.snapshot,
        previous_snapshot_id=outcome.previous,
        watermark=outcome.watermark,
        rows_read=outcome.rows_read,
        rows_written=outcome.rows_written,
        foundation=outcome.foundation,
        doubted=outcome.doubted,
    )


def pin(
    database: Path,
    name: str,
    owner: str,
    *,
    snapshot: int | None = None,
    lease: Lease = FOR_EVER,
    envelope: Envelope = ONCE,
) -> PinReport | Refusing:
    """Hold a snapshot, the current one unless one is named (ANC-25). Raises as ``refresh`` does."""

    def at(now: int) -> Pin:
        return Pin(
            pin=PinId(name),
            owner=owner,
            now=now,
            snapshot=None if snapshot is None else SnapshotId(snapshot),
            expires=lease.expires(now),
        )

    return _about_a_pin(database, name, at, envelope)


def renew(
    database: Path, name: str, *, lease: Lease = FOR_EVER, envelope: Envelope = ONCE
) -> PinReport | Refusing:
    """Give a pin another lease. Raises as ``refresh`` does."""

    def at(now: int) -> Renew:
        return Renew(pin=PinId(name), now=now, expires=lease.expires(now))

    return _about_a_pin(database, name, at, envelope)


def unpin(database: Path, name: str, *, envelope: Envelope = ONCE) -> PinReport | Refusing:
    """Let a pinned snapshot go. Raises as ``refresh`` does."""
    return _about_a_pin(database, name, lambda _now: Unpin(pin=PinId(name)), envelope)


def _about_a_pin(
    database: Path, name: str, at: Callable[[int], Pin | Renew | Unpin], envelope: Envelope
) -> PinReport | Refusing:
    with opened(database) as db, transaction(db):
        outcome = ask(db, at, envelope)
        there, expires = _stands(db, name)
    if not isinstance(outcome, Pinned | Unpinned):
        return _refused(outcome)
    return PinReport(pin=name, snapshot_id=outcome.snapshot, held=there, expires=expires)


def _stands(db: apsw.Connection, name: str) -> tuple[bool, int | None]:
    """Return whether there is a pin, and until when it holds."""
    for (expires,) in every_row(db, "SELECT expires FROM pins WHERE pin = ?", (name,)):
        return True, None if expires is None else as_number(expires)
    return False, None


def collect(database: Path, *, keep: int = 0, envelope: Envelope = ONCE) -> CollectReport:
    """Let pins go whose lease is over, and snapshots that nobody needs but the newest (ANC-24).

    Raises as ``refresh`` does.
    """
    with opened(database) as db:
        outcome = ask(db, lambda now: Collect(now=now, keep=keep), envelope)
    assert isinstance(outcome, Collected), outcome
    return CollectReport(snapshots=outcome.snapshots, pins=outcome.pins)


def _refused(outcome: Outcome) -> Refusing:
    assert isinstance(outcome, Refused | Ineligible), outcome
    return refusing(outcome)


# What commands stand on


@contextmanager
def opened(database: Path, *, create: bool = False) -> Generator[apsw.Connection]:
    """Open a database for writing.

    Raises ``UnusableInput`` for a file that is no Plumbline database, which is left as it was, and
    without ``create`` for one that is not there; ``CouldNotFinish`` when it stayed busy or cannot
    be written, or when nobody knows whether a commit was made.
    """
    if str(database) in NOT_KEPT:
        raise UnusableInput(f"{str(database)!r} names no file; name one that keeps what is stored")
    if not create and not database.exists():
        raise UnusableInput(
            f"{database} does not exist; name a Plumbline database, or make one with"
            " plumbline snapshot record"
        )
    db: apsw.Connection | None = None
    try:
        db = open_database(str(database), create=create)
        yield db
    except (apsw.Error, SettingNotKept, UnicodeDecodeError) as error:
        raise CouldNotFinish(
            f"{database} could not be written ({error}); plumbline snapshot status says what"
            " stands there: try again"
        ) from error
    finally:
        if db is not None:
            db.close()


def ask(db: apsw.Connection, at: Callable[[int], Event], envelope: Envelope) -> Outcome:
    """Take an event at the moment of its envelope, in one transaction.

    Raises ``UnusableInput`` for a text or a number that no event may have, and what ``answered``
    raises.
    """
    done = at(clock() if envelope.now is None else envelope.now)
    named = at(0 if envelope.now is None else envelope.now)
    refuse_odd(done)

    def apply(open_db: apsw.Connection, _event: Event) -> Outcome:
        return PROGRAM.apply(open_db, done)

    request = request_of(envelope)
    return answered(db, request, named, apply, PROGRAM.decode_outcome)


def clock() -> int:
    """Return the moment, in whole seconds."""
    return int(time.time())


def request_of(envelope: Envelope) -> RequestId | None:
    """Return the request id. Raises ``UnusableInput`` for one that cannot be stored."""
    if envelope.request is None:
        return None
    try:
        envelope.request.encode()
    except UnicodeEncodeError as error:
        raise UnusableInput(f"the request id {envelope.request!a} is not UTF-8") from error
    if not 0 < len(envelope.request) <= MAX_REQUEST:
        raise UnusableInput(f"a request id has from 1 to {MAX_REQUEST} characters")
    return RequestId(f"{envelope.request}/{envelope.part}" if envelope.part else envelope.request)


_events: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def refuse_odd(event: Event) -> None:
    """Raise ``UnusableInput`` for an event that has what its schema does not allow."""
    try:
        _events.decode(canonical(event))
    except UnicodeEncodeError as error:
        raise UnusableInput(f"{error.object!a} is not UTF-8; nothing was done") from error
    except msgspec.ValidationError as error:
        raise UnusableInput(f"{error}; nothing was done") from error
