"""What a replacement costs, in counts that no other load can move: statements, rows, steps.

A statement is one call of APSW's execution trace; BEGIN, COMMIT and savepoints are not counted.
Rows written are SQLite's total changes, and every row that is read takes steps of its virtual
machine. ``pytest -s`` prints the table.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple, Protocol

import apsw
import pytest

from plumbline import ordinals
from plumbline.database import MEMORY, answered, open_database
from plumbline_models.ordinals import (
    Append,
    ConversationId,
    Draft,
    Event,
    MessageId,
    MessageItem,
    Open,
    Ordinal,
    Replace,
    Replaced,
    SummaryId,
)
from tests.benchmarks.figures import show

CONVERSATION = ConversationId("c")
LENGTHS = (100, 1_000, 10_000, 100_000)
REMOVED = 8
CONTROL = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE", "ROLLBACK")


class Cost(NamedTuple):
    """What one event made SQLite do."""

    statements: int
    rows_written: int
    machine_steps: int


def context_of(length: int) -> apsw.Connection:
    """Return a database whose one context has this many messages."""
    db = open_database(MEMORY)
    drafts = tuple(Draft(id=MessageId(f"m{at}"), text="said") for at in range(length))
    with db:
        ordinals.apply(db, Open(conversation=CONVERSATION))
        ordinals.apply(db, Append(conversation=CONVERSATION, messages=drafts))
    return db


def replacing(start: int, removed: int, *, ordinal: bool) -> Replace:
    """Return the replacement of some messages, with or without the ordinals where they stand."""
    named = tuple(MessageItem(id=MessageId(f"m{at}")) for at in range(start, start + removed))
    return Replace(
        conversation=CONVERSATION,
        summary=SummaryId("s"),
        text="in short",
        items=named,
        first=Ordinal(start) if ordinal else None,
        last=Ordinal(start + removed - 1) if ordinal else None,
    )


def cost_of(db: apsw.Connection, event: Event) -> Cost:
    """Return the cost of an event, and leave the database as it was."""
    statements: list[str] = []
    steps: list[int] = []

    def traced(_cursor: apsw.Cursor, sql: str, _bindings: object) -> bool:
        if not sql.startswith(CONTROL):
            statements.append(sql)
        return True

    def profiled(report: dict[str, dict[str, int]]) -> None:
        steps.append(report["stmt_status"]["SQLITE_STMTSTATUS_VM_STEP"])

    db.execute("SAVEPOINT measured")
    before = db.total_changes()
    db.exec_trace = traced
    profile(db, profiled)
    outcome = answered(db, None, event, ordinals.apply, ordinals.PROGRAM.decode_outcome)
    profile(db, None)
    db.exec_trace = None
    written = db.total_changes() - before
    db.execute("ROLLBACK TO measured; RELEASE measured")
    assert isinstance(outcome, Replaced)
    return Cost(len(statements), written, sum(steps))


class Profiler(Protocol):
    """The part of a connection that tells what each statement took."""

    def trace_v2(
        self, mask: int, callback: Callable[[dict[str, dict[str, int]]], None] | None, /
    ) -> None:
        """Call back after each statement."""
        ...


def profile(
    profiler: Profiler, callback: Callable[[dict[str, dict[str, int]]], None] | None
) -> None:
    """Have a connection tell what each statement took; None stops it."""
    profiler.trace_v2(0 if callback is None else apsw.SQLITE_TRACE_PROFILE, callback)


class Ends(NamedTuple):
    """The cost of one replacement at three places of a context."""

    oldest: Cost
    middle: Cost
    newest: Cost


def at_ends(db: apsw.Connection, length: int, removed: int, *, ordinal: bool) -> Ends:
    """Measure at the oldest end, in the middle, and one item short of the newest end."""
    starts = (0, length // 2, length - removed - 1)
    return Ends(*(cost_of(db, replacing(at, removed, ordinal=ordinal)) for at in starts))


@pytest.fixture(scope="module")
def measured() -> dict[tuple[int, bool], Ends]:
    """Measure every length, with and without ordinals, and print the table."""
    table: dict[tuple[int, bool], Ends] = {}
    for length in LENGTHS:
        db = context_of(length)
        for ordinal in (False, True):
            table[length, ordinal] = at_ends(db, length, REMOVED, ordinal=ordinal)
        db.close()
    rows = [
        (length, "given" if ordinal else "none", place, *cost)
        for (length, ordinal), ends in table.items()
        for place, cost in zip(Ends._fields, ends, strict=True)
    ]
    columns = ("length", "ordinals", "place", *Cost._fields)
    show(f"a replacement of {REMOVED} items", columns, rows)
    return table


def test_without_ordinals_the_cost_is_the_same_anywhere_in_any_list(
    measured: dict[tuple[int, bool], Ends],
) -> None:
    costs = {cost for length in LENGTHS for cost in measured[length, False]}
    assert len(costs) == 1


def test_with_ordinals_statements_and_rows_written_do_not_depend_on_the_list(
    measured: dict[tuple[int, bool], Ends],
) -> None:
    costs = {cost[:2] for length in LENGTHS for cost in measured[length, True]}
    assert len(costs) == 1


def test_with_ordinals_the_ends_cost_the_same_and_the_middle_grows_with_the_list(
    measured: dict[tuple[int, bool], Ends],
) -> None:
    oldest = {measured[length, True].oldest for length in LENGTHS}
    newest = {measured[length, True].newest for length in LENGTHS}
    middle = [measured[length, True].middle.machine_steps for length in LENGTHS]
    assert (len(oldest), len(newest)) == (1, 1)
    assert middle == sorted(set(middle))
    assert middle[-1] > 100 * middle[0]


def test_each_further_item_costs_the_same() -> None:
    db = context_of(1_000)
    costs = [cost_of(db, replacing(500, removed, ordinal=False)) for removed in (2, 3, 4, 5, 6)]
    db.close()
    further = {
        tuple(after - before for before, after in zip(one, other, strict=True))
        for one, other in pairwise(costs)
    }
    assert len(further) == 1
    ((statements, rows, steps),) = further
    assert (statements, rows) == (1, 2)
    assert steps > 0
