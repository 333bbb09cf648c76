"""What an event costs on SQLite, counted: statements, rows that it writes, steps.

A statement is one call of the execution trace; those that begin, end or nest a transaction are not
counted. A row is one that was inserted, updated or deleted. A step is one instruction of SQLite's
virtual machine, which takes several for each row that it reads; this build tells no closer how
many rows those are.
"""

from collections.abc import Callable
from typing import Protocol, TypeAlias, TypeVar

import apsw
from msgspec import Struct

from plumbline.sqlite_host import SqliteHost

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
Told: TypeAlias = dict[str, str | dict[str, int]]

TRANSACTION = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")


class Cost(Struct, frozen=True, kw_only=True):
    """What one event did."""

    statements: int
    rows: int
    """Rows written."""
    steps: int
    """Instructions of the virtual machine."""
    scanned: int
    """Times that a statement moved on to the next row of a whole table."""


class Profiler(Protocol):
    """The part of a connection that tells what each statement took."""

    def trace_v2(self, mask: int, callback: Callable[[Told], None] | None, /) -> None:
        """Call back after each statement."""
        ...


def profile(profiler: Profiler, callback: Callable[[Told], None] | None) -> None:
    """Have a connection tell what each statement took; None stops it."""
    profiler.trace_v2(0 if callback is None else apsw.SQLITE_TRACE_PROFILE, callback)


class Machine:
    """Adds up what SQLite's virtual machine tells of each statement that has run."""

    def __init__(self) -> None:
        self.statements = self.steps = self.scanned = 0

    def note(self, run: Told) -> None:
        """Count one statement; called by APSW when it is done."""
        sql, status = run["sql"], run["stmt_status"]
        assert isinstance(sql, str)
        assert isinstance(status, dict)
        if sql.startswith(TRANSACTION):
            return
        self.statements += 1
        self.steps += status["SQLITE_STMTSTATUS_VM_STEP"]
        self.scanned += status["SQLITE_STMTSTATUS_FULLSCAN_STEP"]


def cost(host: SqliteHost[S, E, O], event: E) -> tuple[Cost, O]:
    """Take an event, return what it did and its outcome, and take it back."""
    machine, db = Machine(), host.connection
    host.mark()
    written = db.total_changes()
    profile(db, machine.note)
    with host.statements() as ran:
        outcome = host.step(event)
    profile(db, None)
    rows = db.total_changes() - written
    host.back()
    statements = sum(not sql.startswith(TRANSACTION) for sql in ran)
    assert statements == machine.statements, "a statement escaped one of the two traces"
    found = Cost(statements=statements, rows=rows, steps=machine.steps, scanned=machine.scanned)
    return found, outcome
