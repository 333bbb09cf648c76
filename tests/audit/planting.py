"""Databases for audits: a healthy one with a rich history, and damage planted in copies of it.

Damage is done with every constraint out of the way and the schema put back as it was, so that what
an audit reports is the damage and not the way it was done.
"""

import re
import shutil
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import apsw
from msgspec.structs import replace

from plumbline.anchoring import PROGRAM as SNAPSHOTS
from plumbline.audit import FileAudit, FileComparison
from plumbline.compaction import PROGRAM
from plumbline.database import answered, open_database
from plumbline.schema import MIGRATIONS
from plumbline_models import anchoring, ordinals, tokens
from plumbline_models.decisions.refreshing import Mode
from plumbline_models.intake import (
    Digest,
    EntryId,
    Event,
    Part,
    Place,
    Row,
    SourceId,
    Standing,
    Take,
)
from plumbline_models.ordinals import ConversationId, MessageId
from plumbline_spec.host import RequestId
from plumbline_spec.report import Verdict
from tests.ordinals import (
    appending,
    forgetting,
    opening,
    pruning,
    replacing,
    rolling_back,
)

Short: TypeAlias = Event | ordinals.Append | ordinals.Replace
"""An event, or one of ordinals whose texts get the counts that are estimated."""


def counted(event: Short) -> Event:
    """Return the event of intake that an event of ordinals stands for; any other is itself."""
    match event:
        case ordinals.Append(conversation=at, messages=messages):
            drafts = tuple(tokens.Draft(id=one.id, text=one.text) for one in messages)
            return tokens.Append(conversation=at, messages=drafts)
        case ordinals.Replace():
            return tokens.Replace(
                conversation=event.conversation,
                summary=event.summary,
                text=event.text,
                items=event.items,
                first=event.first,
                last=event.last,
            )
        case _:
            return event


def row(name: str, parent: str | None = None, count: int | None = None) -> Row:
    """Return a row with an id, of two parts; it says what a message of that name says."""
    text = f"text of {name}"
    return Row(
        message=MessageId(name),
        entry=EntryId(f"e-{name}"),
        parent=None if parent is None else EntryId(f"e-{parent}"),
        digest=Digest(f"digest of {name}"),
        role="user",
        text=text,
        tokens=count,
        time="2025-01-01T00:00:00Z",
        parts=(
            Part(kind="text", start=0, length=4),
            Part(kind="call", start=5, length=len(text) - 5, call=f"call of {name}", name="read"),
        ),
    )


def bare(name: str) -> Row:
    """Return a row that the host gave no id."""
    return replace(row(name), entry=None)


def label(name: str) -> Row:
    """Return a row that is carried along."""
    return replace(row(name), standing=Standing.CARRIED, role="label", parts=())


def aside(name: str, parent: str) -> Row:
    """Return a row of another branch."""
    return replace(row(name, parent), standing=Standing.ASIDE)


def taking(*rows: Row, at: str, first: int | None = None, source: str = "one") -> Take:
    return Take(
        conversation=ConversationId(at),
        source=SourceId(source),
        rows=rows,
        first=None if first is None else Place(first),
    )


HISTORY: tuple[Event, ...] = tuple(
    counted(event)
    for event in (
        opening("c"),
        taking(row("m1"), row("m2", "m1"), at="c", first=1),
        taking(label("l1"), row("m3", "l1"), aside("a1", "m1"), at="c", first=3),
        taking(row("m3"), aside("a1", "m1"), row("m4", "m3", 7), at="c", first=4),
        appending("m5"),
        taking(row("m6", "m4"), row("m7", "m6"), at="c", source="two"),
        replacing("m1 m2", "s1"),
        replacing("m3", "s2"),
        replacing("s1 s2", "s3"),
        forgetting("m7"),
        opening("d"),
        taking(bare("x1"), bare("x2"), at="d", first=1),
        taking(bare("x2"), bare("x3"), at="d", first=2),
        replacing("x1", "sx", "d"),
        forgetting("x3", "d"),
        opening("e"),
        appending("y1 y2", "e"),
        replacing("y1", "sy", "e"),
        pruning(at="e"),
        forgetting("y2", "e"),
        appending("y3 y4 y5", "e"),
        replacing("y3 y4", "sy2", "e"),
        opening("f"),
        taking(row("z1"), row("z2"), row("z3"), row("z4"), at="f", first=1),
        replacing("z2 z3", "sz", "f"),
        rolling_back("sz", "f"),
        opening("g"),
        appending("w1 w2 w3", "g"),
        pruning(at="g"),
        appending("w4", "g"),
        opening("h"),
    )
)
"""Leads to the following; what stands in brackets left the context on purpose.

=====  ===================  ============================================================  ======
c      ``s3 m4 m5 m6``      s3 of s1 and s2, s1 of m1 and m2, s2 of m3; (m7 forgotten)    16
d      ``sx x2``            sx of x1; (x3 forgotten)                                      6
e      ``sy2 y5``           sy2 of y3 and y4; (sy of y1 pruned; y2 pruned, forgotten)     6
f      ``z1 z2 z3 z4``      sz was rolled back                                            12
g      ``w4``               (w1 w2 w3 pruned)                                             3
h      nothing              nothing was said                                              0
=====  ===================  ============================================================  ======

The last column is the total: a text counts 3, and m4 counts 7. Rows brought m1 to m4, m6, m7 and
z1 to z4, with ids, and x1 to x3, without; l1 is carried and a1 stands aside in c.
"""


def logging(*numbers: int, under: int | None = None) -> anchoring.Record:
    """Return the logging of outcomes o1, o2 and so on, of two keys by turns."""
    drafts = (
        anchoring.Draft(
            outcome=anchoring.OutcomeId(f"o{number}"),
            key=anchoring.Key(family="recall" if number % 2 else "plan"),
            reward=100 * number,
            under=None if under is None else anchoring.SnapshotId(under),
        )
        for number in numbers
    )
    return anchoring.Record(drafts=tuple(drafts))


GATE = anchoring.GateId("g1")
PUBLISHED: tuple[anchoring.Event, ...] = (
    anchoring.Refresh(now=0),
    logging(1, 2),
    anchoring.Refresh(now=1, mode=Mode.FULL),
    logging(3, 4, under=2),
    anchoring.Refresh(now=2),
    anchoring.OpenGate(gate=GATE, owner="judge", now=3),
    anchoring.CloseGate(
        gate=GATE,
        snapshot=anchoring.SnapshotId(3),
        candidate="c1",
        result="100/100/0",
        promoted=True,
    ),
    anchoring.Truncate(snapshot=anchoring.SnapshotId(2)),
    anchoring.Collect(now=4),
    logging(5, under=3),
    anchoring.Refresh(now=5),
    anchoring.Pin(pin=anchoring.PinId("p1"), owner="reader", now=5, expires=500),
    logging(6),
)
"""Leads to snapshot 2, which was rebuilt and stands for o1 and o2; to 3, a merge of o3 and o4,
which gate g1 judged; and to 4, a merge of o5, which is current and pinned. The live delta knows of
o6, and snapshot 1 was collected."""


def drive_all(file: Path) -> None:
    """Take the events of all machines on a file; none is refused."""
    drive(file, HISTORY)
    db = open_database(str(file))
    for number, event in enumerate(PUBLISHED):
        request = RequestId(f"{file.name} anchoring {number}")
        outcome = answered(db, request, event, SNAPSHOTS.apply, SNAPSHOTS.decode_outcome)
        assert not isinstance(outcome, anchoring.Refused | anchoring.Ineligible), (event, outcome)
    db.close()


def drive(file: Path, events: Iterable[Short], migrations: tuple[str, ...] = MIGRATIONS) -> None:
    """Take events on a file; each in a request of its own, and none is refused."""
    db = open_database(str(file), migrations)
    for number, event in enumerate(events):
        request = RequestId(f"{file.name} {number}")
        outcome = answered(db, request, counted(event), PROGRAM.apply, PROGRAM.decode_outcome)
        assert not type(outcome).__name__.startswith("Refused"), (event, outcome)
    db.close()


def copied(file: Path, name: str) -> Path:
    """Return a copy of a database beside it."""
    copy = file.with_name(name)
    shutil.copyfile(file, copy)
    return copy


@contextmanager
def tampering(file: Path) -> Generator[apsw.Connection]:
    """Open a database with no constraint in force, and put the schema back as it was."""
    db = apsw.Connection(str(file))
    db.pragma("foreign_keys", 0)
    db.pragma("ignore_check_constraints", 1)
    was = list(db.execute("SELECT rowid, name, sql FROM sqlite_schema"))
    triggers = [
        (name, sql)
        for name, sql in db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
    ]
    for name, _ in triggers:
        db.execute(f"DROP TRIGGER {name}")
    _rewrite(db, [(rowid, *_loose(db, str(name), sql)) for rowid, name, sql in was])
    try:
        yield db
    finally:
        _rewrite(db, was)
        for _, sql in triggers:
            db.execute(str(sql))
        db.close()


def _loose(db: apsw.Connection, name: str, sql: object) -> tuple[str, str | None]:
    """Return the name and the text of an object without what it forbids."""
    if name.startswith("sqlite_autoindex_"):
        columns = [
            str(column)
            for _, _, column in db.execute("SELECT * FROM pragma_index_info(?)", (name,))
        ]
        table = name.removeprefix("sqlite_autoindex_").rpartition("_")[0]
        loose = name.replace("sqlite_", "loose_")
        return loose, f"CREATE INDEX {loose} ON {table} ({', '.join(columns)})"
    text = str(sql)
    if text.startswith("CREATE TABLE"):
        text = re.sub(r"--[^\n]*", "", text)
        text = text.replace("STRICT, WITHOUT ROWID", "WITHOUT ROWID").replace(" STRICT", "")
        if "WITHOUT ROWID" not in text:
            text = re.sub(r"(?<!INTEGER) PRIMARY KEY", "", text)
        text = re.sub(r",\s*UNIQUE \([^)]*\)", "", text).replace(" UNIQUE", "")
        text = re.sub(r"(?<! IS) NOT NULL", "", text)
    return name, text.replace("CREATE UNIQUE INDEX", "CREATE INDEX")


def _rewrite(db: apsw.Connection, objects: Iterable[tuple[object, ...]]) -> None:
    db.pragma("writable_schema", 1)
    for rowid, name, sql in objects:
        db.execute(
            "UPDATE sqlite_schema SET name = ?, sql = ? WHERE rowid = ?",
            (str(name), sql if sql is None else str(sql), int(str(rowid))),
        )
    db.execute("PRAGMA writable_schema = RESET")


def broken(found: FileAudit) -> set[str]:
    """Return the clauses that an audit found broken; what it could not judge counts as well."""
    unwanted = (Verdict.BROKEN, Verdict.UNFINISHED)
    return {one.clause for one in found.audit.clauses if one.verdict in unwanted}


def failed(found: FileComparison) -> set[str]:
    """Return the conditions that a comparison found broken."""
    unwanted = (Verdict.BROKEN, Verdict.UNFINISHED)
    return {one.condition for one in found.comparison.conditions if one.verdict in unwanted}
