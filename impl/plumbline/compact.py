"""Compact: one conversation of a database, for people and for schedulers.

Theory of operation. The event, the settings and the summariser are made of what the command was
given; ``plumbline.compacting`` does the rest. Each pass is a transaction of its own, so a run that
is interrupted leaves whole passes and nothing else, and may be run again.
"""

import tomllib
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import apsw
import msgspec
from msgspec import Struct

from plumbline.compacting import Engine, Summariser
from plumbline.database import SettingNotKept, open_database
from plumbline.summarisers import Command
from plumbline_models.compaction import (
    CompactLeaf,
    Kind,
    Pass,
    Settings,
    Stop,
    Sweep,
    SweepUntil,
)
from plumbline_models.ordinals import ConversationId, SummaryId
from plumbline_spec.errors import CouldNotFinish, OutcomeUnknown, UnusableInput

Way = Literal["leaf", "sweep", "until"]
READS = ("SELECT", "WITH")
WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE")


class Statements(Struct, frozen=True, kw_only=True):
    """How many statements a run executed; those that begin or end a transaction do not count."""

    reads: int
    writes: int


class CompactReport(Struct, frozen=True, kw_only=True):
    """What a run did, and why it did nothing more."""

    file: str
    conversation: str
    compacted: bool
    passes: int
    rounds: int
    calls: int
    tokens_before: int
    tokens_after: int
    stop_reason: Stop
    floor: int | None
    """Where a target was missed, what the protected entries count."""
    trouble: str
    """What the summariser said when it failed last; "" when it did not."""
    statements: Statements

    @property
    def done(self) -> bool:
        """Whether nothing is left to do that was asked for."""
        if self.stop_reason is Stop.UNDER_TARGET:
            return True
        return self.stop_reason is Stop.NOTHING_TO_COMPACT and self.floor is None


class Asked(Struct, frozen=True, kw_only=True):
    """What a run is asked for."""

    way: Way
    budget: int = 0
    """In tokens; for the threshold of a leaf or a sweep."""
    target: int = 0
    """In tokens; for a sweep until a target."""
    force: bool = False


def read_settings(path: Path | None) -> Settings:
    """Return the settings of a TOML file, the default ones for None. Raises ``UnusableInput``."""
    if path is None:
        return Settings()
    try:
        with path.open("rb") as file:
            given = tomllib.load(file)
    except OSError as error:
        raise UnusableInput(f"{path} cannot be read ({error.strerror}); name a file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UnusableInput(f"{path} is not TOML: {error}") from error
    try:
        return msgspec.convert(given, Settings)
    except msgspec.ValidationError as error:
        known = ", ".join(Settings.__struct_fields__)
        raise UnusableInput(f"{path}: {error}; the settings are {known}") from error


def compact(
    path: Path,
    conversation: str,
    asked: Asked,
    settings: Settings,
    summariser: Summariser,
    told: Callable[[str], None] = lambda _said: None,
) -> CompactReport:
    """Compact a conversation.

    Raises ``UnusableInput`` for a file that is no Plumbline database, which is left as it was, for
    a conversation that it has not and for a summariser that cannot be run; ``CouldNotFinish`` when
    the file stayed busy, cannot be written, or nobody knows whether a commit was made.
    """
    if not path.exists():
        raise UnusableInput(f"{path} does not exist; name a Plumbline database")
    db: apsw.Connection | None = None
    try:
        db = open_database(str(path), create=False)
        counts = {"reads": 0, "writes": 0}
        with _counting(db, counts):
            engine = Engine(db, summariser)
            event = _event(conversation, asked, settings)
            found = engine.compact(event, lambda one: told(_said(one)))
    except OutcomeUnknown as error:
        raise CouldNotFinish(
            f"nobody knows whether the last pass was committed ({error}); "
            "plumbline context show says what stands there: run it again"
        ) from error
    except (apsw.Error, SettingNotKept) as error:
        raise CouldNotFinish(
            f"{path} could not be written ({error}); the passes before it are there: run it again"
        ) from error
    finally:
        if db is not None:
            db.close()
    if found is None:
        raise UnusableInput(
            f"{path} has no conversation {conversation!r}; plumbline context show lists them"
        )
    return CompactReport(
        file=str(path),
        conversation=conversation,
        compacted=found.compacted,
        passes=len(found.passes),
        rounds=found.rounds,
        calls=found.calls,
        tokens_before=found.before,
        tokens_after=found.after,
        stop_reason=found.stop,
        floor=found.floor,
        trouble=summariser.trouble if isinstance(summariser, Command) else "",
        statements=Statements(**counts),
    )


def _event(conversation: str, asked: Asked, settings: Settings) -> CompactLeaf | Sweep | SweepUntil:
    """Return the event that is asked for; its summaries get names that nobody has."""
    here, name = ConversationId(conversation), SummaryId(f"sum-{uuid.uuid4().hex}")
    match asked.way:
        case "leaf":
            return CompactLeaf(
                conversation=here,
                settings=settings,
                budget=asked.budget,
                force=asked.force,
                summary=name,
                script=(),
            )
        case "sweep":
            return Sweep(
                conversation=here,
                settings=settings,
                budget=asked.budget,
                force=asked.force,
                summary=name,
                script=(),
            )
        case "until":
            return SweepUntil(
                conversation=here, settings=settings, target=asked.target, summary=name, script=()
            )


def _said(one: Pass) -> str:
    what = "messages" if one.kind in {Kind.LEAF, Kind.WRAP} else "items"
    return (
        f"{one.kind.value} pass of {len(one.sources):,} {what}: {one.removed:,} to"
        f" {one.added:,} tokens ({one.level.value}), the context has {one.after:,}"
    )


@contextmanager
def _counting(db: apsw.Connection, counts: dict[str, int]) -> Generator[None]:
    """Count reads and writes while a block runs."""

    def note(_cursor: apsw.Cursor, sql: str, _bindings: object) -> bool:
        word = sql.lstrip()[:8].upper()
        counts["reads"] += word.startswith(READS)
        counts["writes"] += word.startswith(WRITES)
        return True

    db.exec_trace = note
    try:
        yield
    finally:
        db.exec_trace = None
