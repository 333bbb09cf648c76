"""The envelope: one transaction an event, answers kept by request id, nothing lost by reopening."""

import pytest
from msgspec.structs import replace

from plumbline_spec.chapters import clauses_in
from plumbline_spec.data import spec_folder
from plumbline_spec.envelope import CLAUSES, Envelope, envelope
from plumbline_spec.errors import CouldNotFinish, RequestReused
from plumbline_spec.host import RequestId
from plumbline_spec.toy import Deposit, Event, Withdraw, host, machine
from tests.judge.hosts import (
    FULL_DAY,
    AnswersIdsOtherwise,
    Busy,
    CannotReopen,
    Crumbles,
    Forgetful,
    ForgetsOnReopen,
    HidesOne,
    Leaks,
    Locker,
    LosesOnCrash,
    LosesOnReopen,
    NoClear,
    Obliging,
    Raises,
    Repeats,
    Touchy,
    ToyFactory,
    WearsOut,
    trace_of,
    traced,
    unseen,
    without_clear,
)

DAY = (trace_of(*FULL_DAY), trace_of(Deposit(coins=1), Withdraw(coins=2), Withdraw(coins=1)))
RIGHT = ("BEGIN IMMEDIATE", "UPDATE locker SET held = 1", "COMMIT")


def judged(make: ToyFactory) -> Envelope[Event]:
    return envelope(machine(), make, DAY)


def test_a_right_host_keeps_every_clause_that_it_can_be_judged_by() -> None:
    """ENV-2, ENV-3."""
    found = judged(host)
    assert (found.broken, found.events) == (None, ())
    assert found.clauses == ("ENV-2", "ENV-3")
    assert (found.steps, found.statements) == (8, 0)


def test_a_traced_host_is_judged_by_its_statements() -> None:
    """ENV-1."""
    found = judged(traced(*RIGHT))
    assert found.broken is None
    assert found.clauses == ("ENV-1", "ENV-2")
    assert found.statements == 3 * found.steps


def test_a_clause_that_a_host_cannot_be_judged_by_is_not_applicable() -> None:
    found = judged(unseen)
    assert (found.broken, found.clauses) == (None, ("ENV-2",))


@pytest.mark.parametrize(
    "script",
    [
        ("begin immediate;", "select 1", "commit;"),
        (" BEGIN  IMMEDIATE\n", "COMMIT ;"),
        ("BEGIN IMMEDIATE TRANSACTION", "", "END TRANSACTION"),
        ("BEGIN IMMEDIATE", "SAVEPOINT one", "ROLLBACK TO one", "RELEASE one", "END"),
        ("BEGIN IMMEDIATE", "UPDATE commits SET rollback = 1", "COMMIT"),
    ],
    ids=["small letters", "white space", "long forms", "a savepoint", "words inside"],
)
def test_one_immediate_transaction_is_right_however_it_is_written(script: tuple[str, ...]) -> None:
    """ENV-1."""
    assert judged(traced(*script)).broken is None


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ((), "begins with 'nothing'"),
        (("BEGIN", *RIGHT[1:]), "begins with 'BEGIN'"),
        (("BEGIN DEFERRED", *RIGHT[1:]), "begins with 'BEGIN DEFERRED'"),
        (("BEGIN EXCLUSIVE", *RIGHT[1:]), "begins with 'BEGIN EXCLUSIVE'"),
        (("SELECT held FROM locker", *RIGHT), "begins with 'SELECT held FROM locker'"),
        (RIGHT[1:2], "begins with 'UPDATE locker SET held = 1'"),
        ((*RIGHT, "INSERT INTO log"), "ends with 'INSERT INTO log'"),
        (RIGHT[:2], "ends with 'UPDATE locker SET held = 1'"),
        ((*RIGHT[:2], "ROLLBACK"), "ends with 'ROLLBACK'"),
        (RIGHT + RIGHT, "has COMMIT between"),
        ((*RIGHT[:2], "END", *RIGHT), "has COMMIT between"),
        ((RIGHT[0], *RIGHT), "has BEGIN IMMEDIATE between"),
        ((RIGHT[0], "ROLLBACK", *RIGHT), "has ROLLBACK between"),
        (("BEGIN IMMEDIATE",), "ends with 'BEGIN IMMEDIATE'"),
    ],
    ids=[
        "no statement",
        "deferred by default",
        "deferred",
        "exclusive",
        "a statement before",
        "no transaction",
        "a statement after",
        "no commit",
        "rolled back",
        "two transactions",
        "two with END",
        "begun twice",
        "begun again",
        "begun alone",
    ],
)
def test_anything_but_one_immediate_transaction_is_caught(
    script: tuple[str, ...], found: str
) -> None:
    """ENV-1."""
    walk = judged(traced(*script))
    assert walk.broken is not None
    assert walk.broken.clause == "ENV-1"
    assert found in walk.broken.witness.found
    assert walk.broken.witness.row == "event Deposit"
    assert walk.events == FULL_DAY[:1]


@pytest.mark.parametrize(
    ("kind", "clause", "row", "found"),
    [
        (Forgetful, "ENV-2", "event Deposit, id request-0", "answered "),
        (Repeats, "ENV-2", "event Deposit, id request-4", "the state changed when"),
        (Touchy, "ENV-2", "event Deposit, id request-0", "raised RequestReused"),
        (Obliging, "ENV-2", "event Deposit, id request-1", "answered Deposited although"),
        (Leaks, "ENV-2", "event Deposit, id request-2", "the state changed although"),
        (Crumbles, "ENV-2", "event Deposit, id request-1", "raised KeyError"),
        (AnswersIdsOtherwise, "ENV-2", "event Clear, id request-2", "the machine"),
        (Raises, "ENV-2", "event Clear, id request-2", "raised RuntimeError: the door"),
        (LosesOnReopen, "ENV-3", "observed state", "is another one when reopened"),
        (LosesOnCrash, "ENV-3", "observed state", "is another one when reopened after a crash"),
        (ForgetsOnReopen, "ENV-3", "id request-0", "is answered otherwise when reopened"),
        (WearsOut, "ENV-3", "observed state", "changed when stored answers were asked for"),
        (CannotReopen, "ENV-3", "opening the host again", "raised OSError: malformed"),
    ],
)
def test_a_wrong_host_is_caught_by_its_clause(
    kind: type[Locker], clause: str, row: str, found: str
) -> None:
    """ENV-2, ENV-3."""
    walk = judged(kind.make)
    assert walk.broken is not None
    assert walk.broken.clause == clause
    assert walk.broken.witness.row.startswith(row)
    assert found in walk.broken.witness.found
    assert walk.events == FULL_DAY[: len(walk.events)]


def test_a_host_is_compared_with_itself_where_it_hides_what_the_machine_has() -> None:
    """ENV-2: what the state is, is not the envelope's matter."""
    assert judged(HidesOne.make).broken is None


def test_a_trace_ends_before_an_event_that_the_host_lacks_and_what_it_did_is_kept() -> None:
    """ENV-3."""
    walk = judged(without_clear)
    assert (walk.broken, walk.steps) == (None, 5)
    found = judged(lambda: replace(LosesOnReopen.make(), lacks=frozenset({"Clear"})))
    assert found.broken is not None
    assert found.broken.clause == "ENV-3"
    assert found.events == FULL_DAY[:2]


def test_a_host_that_lacks_an_event_and_does_not_say_so_is_caught() -> None:
    walk = judged(NoClear.make)
    assert walk.broken is not None
    assert walk.broken.witness.found == "raised NotImplementedError: Clear"


def test_what_the_environment_does_breaks_no_clause() -> None:
    with pytest.raises(CouldNotFinish):
        judged(Busy.make)


def test_a_request_id_with_its_own_event_again_is_not_tried_as_another() -> None:
    same = trace_of(Deposit(coins=1), Deposit(coins=1), Deposit(coins=1))
    assert envelope(machine(), Obliging.make, [same]).broken is None


def test_progress_is_told_trace_by_trace() -> None:
    told: list[str] = []
    envelope(machine(), host, DAY, progress=told.append)
    assert told == ["1 of 2 traces", "2 of 2 traces"]


def test_the_clauses_are_those_of_the_chapter() -> None:
    """ENV-1, ENV-2, ENV-3."""
    chapter = clauses_in(spec_folder() / "README.md")
    assert {one.id: (one.title, one.sentence) for one in chapter} == CLAUSES


def test_a_machine_as_a_host_keeps_its_answers_by_id() -> None:
    """ENV-2."""
    locker, request = Locker(), RequestId("one")
    first = locker.step(Deposit(coins=2), request)
    assert locker.step(Deposit(coins=2), request) == first
    with pytest.raises(RequestReused, match="'one' was already used") as caught:
        locker.step(Deposit(coins=1), request)
    assert caught.value.request == "one"
    assert locker.observe().held == 2
