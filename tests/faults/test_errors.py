"""Errors of the environment: what they leave, what they are told as, what comes after them."""

from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from plumbline import database
from plumbline.database import answered, open_database, snapshot, transaction
from plumbline.ordinals import PROGRAM
from plumbline_models.ordinals import Outcome, machine
from plumbline_spec.codec import canonical
from plumbline_spec.errors import CouldNotFinish, OutcomeUnknown
from plumbline_spec.host import RequestId
from tests.ordinals import WORLD, opening


def take(db: apsw.Connection, number: int = 0) -> Outcome:
    request = RequestId(str(number))
    return answered(db, request, WORLD[number], PROGRAM.apply, PROGRAM.decode_outcome)


def interrupting(db: apsw.Connection, *, lasting: bool, at: int) -> Callable[[], int]:
    """Interrupt a connection at one step of SQLite's machine; return how many there were."""
    steps = 0

    def interrupts() -> bool:
        nonlocal steps
        steps += 1
        return steps > at if lasting else steps == at + 1

    db.set_progress_handler(interrupts, 1)
    return lambda: steps


def others(file: Path) -> bytes:
    """Return the state that another connection sees: what was committed."""
    db = open_database(str(file))
    try:
        return canonical(PROGRAM.observe(db))
    finally:
        db.close()


@pytest.mark.parametrize("lasting", [False, True])
def test_what_is_answered_after_an_interrupt_is_committed(tmp_path: Path, *, lasting: bool) -> None:
    """FLT-6: nothing is added to a transaction that was given up, whatever could not end it.

    An interrupt can end BEGIN when it has begun, and one that lasts ends ROLLBACK as well.
    """
    after = canonical(machine().step(machine().initial, WORLD[0])[0])
    for at in range(0, 200, 1 if not lasting else 3):
        file = tmp_path / f"{lasting}-{at}.db"
        db = open_database(str(file))
        counted = interrupting(db, lasting=lasting, at=at)
        try:
            take(db)
            interrupted = False
        except (apsw.InterruptError, OutcomeUnknown):
            interrupted = True
        db.set_progress_handler(None)
        take(db)
        assert not db.in_transaction
        assert others(file) == after
        db.close()
        if not interrupted and counted() <= at:
            break
    else:
        pytest.fail("the event has more steps than were tried")


def test_reading_after_a_transaction_that_was_given_up_reads_what_is_committed(
    tmp_path: Path,
) -> None:
    db = open_database(str(tmp_path / "given-up.db"))

    def given_up() -> None:
        with transaction(db):
            PROGRAM.apply(db, opening())
            interrupting(db, lasting=True, at=0)
            db.execute("SELECT 1").fetchall()

    with pytest.raises(apsw.InterruptError):
        given_up()
    assert db.in_transaction
    db.set_progress_handler(None)
    with snapshot(db):
        assert PROGRAM.observe(db) == machine().initial
    assert not db.in_transaction
    db.close()


def test_a_commit_that_fails_is_told_as_unknown(tmp_path: Path) -> None:
    """FLT-5."""
    db = open_database(str(tmp_path / "unknown.db"))
    db.set_commit_hook(lambda: True)
    with pytest.raises(OutcomeUnknown, match="ask again with the same request id"):
        take(db)
    assert issubclass(OutcomeUnknown, CouldNotFinish)
    db.set_commit_hook(None)
    assert PROGRAM.observe(db) == machine().initial
    take(db)
    db.close()


def test_a_commit_that_finds_others_inside_is_busy_and_not_unknown(tmp_path: Path) -> None:
    """With a rollback journal a reader keeps a COMMIT out; nothing was done then."""
    opening_ = database.Opening(durability=database.ROLLBACK, attend=lambda _: None)
    file = str(tmp_path / "busy.db")
    db, reader = open_database(file, opening=opening_), open_database(file, opening=opening_)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM conversations").fetchall()
    with pytest.raises(CouldNotFinish, match="stayed busy") as caught:
        take(db)
    assert not isinstance(caught.value, OutcomeUnknown)
    assert not db.in_transaction
    reader.execute("COMMIT")
    take(db)
    reader.close()
    db.close()


def test_an_answer_given_again_is_written_down_first(tmp_path: Path) -> None:
    """FLT-2: it may be what a killed process wrote and did not sync."""
    db = open_database(str(tmp_path / "again.db"))
    first = take(db)
    before = db.total_changes()
    assert take(db) == first
    assert db.total_changes() == before + 1
    db.close()


def test_the_outcome_of_an_unknown_commit_can_be_told_by_another_process() -> None:
    import pickle

    error = OutcomeUnknown("disk I/O error")
    told = pickle.loads(pickle.dumps(error))  # noqa: S301 - what was dumped here
    assert (str(told), told.why) == (str(error), "disk I/O error")
