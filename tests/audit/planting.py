"""Databases for audits: a healthy one with a rich history, and damage planted in copies of it.

Damage is done with every constraint out of the way and the schema put back as it was, so that what
an audit reports is the damage and not the way it was done.
"""

import re
import shutil
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

import apsw

from plumbline.audit import Auditable, FileAudit, FileComparison, auditables
from plumbline.audit import audit_file as audit_any
from plumbline.audit import compare_files as compare_any
from plumbline.database import answered, open_database
from plumbline.ordinals import PROGRAM
from plumbline.schema import MIGRATIONS
from plumbline_models.ordinals import Event
from plumbline_spec.host import RequestId
from plumbline_spec.report import Verdict
from tests.ordinals import (
    WORLD,
    appending,
    forgetting,
    opening,
    pruning,
    replacing,
    rolling_back,
)

HISTORY: tuple[Event, ...] = (
    *WORLD,
    forgetting("y2", "e"),
    appending("y3 y4 y5", "e"),
    replacing("y3 y4", "sy2", "e"),
    opening("f"),
    appending("z1 z2 z3 z4", "f"),
    replacing("z2 z3", "sz", "f"),
    rolling_back("sz", "f"),
    opening("g"),
    appending("w1 w2 w3", "g"),
    pruning(at="g"),
    appending("w4", "g"),
    opening("h"),
)
"""Leads to the following; what stands in brackets left the context on purpose.

========  ==================  ===========================================
c         ``s3 m4 m5 m6``     s3 of s1 and s2, s1 of m1 and m2, s2 of m3; (m7 forgotten)
d         ``sx x2``           sx of x1; (x3 forgotten)
e         ``sy2 y5``          sy2 of y3 and y4; (sy of y1 pruned; y2 pruned, then forgotten)
f         ``z1 z2 z3 z4``     sz was rolled back
g         ``w4``              (w1 w2 w3 pruned)
h         nothing             nothing was said
========  ==================  ===========================================
"""


def drive(file: Path, events: Iterable[Event], migrations: tuple[str, ...] = MIGRATIONS) -> None:
    """Take events on a file; each in a request of its own."""
    db = open_database(str(file), migrations)
    for number, event in enumerate(events):
        request = RequestId(f"{file.name} {number}")
        answered(db, request, event, PROGRAM.apply, PROGRAM.decode_outcome)
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


def ordinals() -> tuple[Auditable, ...]:
    """Return the one machine that these files were driven by."""
    return tuple(one for one in auditables() if one.name == "ordinals")


def audited(file: Path, keep: int = 5) -> FileAudit:
    """Audit a file as one of ordinals."""
    return audit_any(file, known=ordinals(), keep=keep)


def compared(before: Path, after: Path, keep: int = 5) -> FileComparison:
    """Compare two files as ones of ordinals."""
    return compare_any(before, after, known=ordinals(), keep=keep)


def broken(found: FileAudit) -> set[str]:
    """Return the clauses that an audit found broken; what it could not judge counts as well."""
    unwanted = (Verdict.BROKEN, Verdict.UNFINISHED)
    return {one.clause for one in found.audit.clauses if one.verdict in unwanted}


def failed(found: FileComparison) -> set[str]:
    """Return the conditions that a comparison found broken."""
    unwanted = (Verdict.BROKEN, Verdict.UNFINISHED)
    return {one.condition for one in found.comparison.conditions if one.verdict in unwanted}
