"""The traces of faults that are kept: each finds again what it was kept for."""

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import apsw
import pytest
from msgspec.structs import replace

from plumbline.builds import answers_unsynced
from plumbline.database import Answer, answered
from plumbline.ordinals import PROGRAM
from plumbline.registry import ordinals_case
from plumbline.sqlite_storage import SqliteStorage
from plumbline_spec.errors import OutcomeUnknown
from plumbline_spec.host import RequestId
from plumbline_spec.kept import broken_again
from plumbline_spec.traces import read
from tests.plans import ROOT

E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract

KEPT = ROOT / "tests" / "regressions"


def begins_outside(
    db: apsw.Connection,
    request: RequestId | None,
    event: E,
    apply: Callable[[apsw.Connection, E], O],
    decode: Callable[[bytes], O],
) -> O:
    """Roll nothing back when BEGIN ends in an error; what is open then is taken for another's."""
    if not db.in_transaction:
        db.execute("BEGIN IMMEDIATE")
    else:
        db.execute("SAVEPOINT inner")
    try:
        outcome = answered(db, request, event, apply, decode)
    except BaseException:
        with suppress(apsw.Error):
            db.execute("ROLLBACK")
        raise
    _commit(db)
    return outcome


def _commit(db: apsw.Connection) -> None:
    """Commit what this event began, and nothing that an earlier one left open."""
    try:
        db.execute("RELEASE inner")
    except apsw.SQLError:
        try:
            db.execute("COMMIT")
        except apsw.Error as error:
            with suppress(apsw.Error):
                db.execute("ROLLBACK")
            raise OutcomeUnknown(str(error)) from error


MISTAKES: tuple[tuple[str, Answer, str], ...] = (
    ("ordinals-flt-5-begin-interrupted", begins_outside, "FLT-5"),
    ("ordinals-flt-5-roll-back-interrupted", begins_outside, "FLT-5"),
    ("ordinals-flt-2-answered-again-unsynced", answers_unsynced, "FLT-2"),
)
"""Each kept trace, a build with the mistake, and the clause that it breaks."""


@pytest.mark.parametrize(("file", "answer", "clause"), MISTAKES)
def test_a_kept_trace_finds_the_mistake_again(file: str, answer: Answer, clause: str) -> None:
    case = ordinals_case()
    (trace,) = read(KEPT / f"{file}.jsonl", lambda header: case.rules(header.rules))
    assert trace.header.name == clause
    wrong = replace(case, storage=lambda: SqliteStorage(PROGRAM, answer))
    assert [one.clause for one in broken_again(wrong, trace)] == [clause]
    assert broken_again(case, trace) == []


def test_every_kept_trace_of_a_fault_is_tried_here() -> None:
    assert {file for file, *_ in MISTAKES} == {file.stem for file in KEPT.glob("*-flt-*.jsonl")}
