"""Intake over SQLite: held to the model, across reopening, and bugs planted in it are found."""

from collections.abc import Callable, Generator
from contextlib import contextmanager

import apsw
import pytest
from msgspec.structs import replace

from plumbline import intake as sqlite_intake
from plumbline.registry import intake_case
from plumbline.sqlite_host import SqliteHost
from plumbline_models import intake, tokens
from plumbline_models.intake import (
    Event,
    Fate,
    Outcome,
    Place,
    Reason,
    Refused,
    Reopen,
    Reopened,
    Row,
    Scope,
    SourceId,
    State,
    Take,
    Taken,
)
from plumbline_models.intake.scope import row
from plumbline_models.ordinals import ConversationId, Forget, MessageId, Open
from plumbline_spec.case import Scopes
from plumbline_spec.clause_table import silent
from plumbline_spec.codec import canonical
from plumbline_spec.descend import descend
from plumbline_spec.engines import run_descend, run_lockstep
from plumbline_spec.explore import explore
from plumbline_spec.lockstep import Effort, lockstep
from plumbline_spec.report import EngineReport, Verdict
from tests.mutants import Mutant, plant
from tests.plans import PLAN

MACHINE = intake.machine()
Host = SqliteHost[State, Event, Outcome]
C = ConversationId("c")

ALONE = tokens.Scope(
    conversations=1, messages=0, summaries=0, refusals=False, weighings=False, counts=(None,)
)
BY_ID = Scope(ledger=ALONE, rows=2)
BY_PLACE = Scope(ledger=ALONE, rows=2, ids=False)
BESIDE = Scope(ledger=replace(ALONE, conversations=2), rows=1, departures=False)


@contextmanager
def hosting(*events: Event, durable: bool = False) -> Generator[Host]:
    """Return a host that has taken events, each answered as the model answers it."""
    host = Host(sqlite_intake.PROGRAM, durable=durable)
    try:
        state = MACHINE.initial
        for event in events:
            state, outcome = MACHINE.step(state, event)
            assert host.step(event) == outcome
        assert canonical(host.observe()) == canonical(state)
        yield host
    finally:
        host.close()


def taking(*rows: Row, first: int | None = None, source: str = "one") -> Take:
    """Return a handover of rows."""
    place = None if first is None else Place(first)
    return Take(conversation=C, source=SourceId(source), rows=rows, first=place)


def listed(first: int, last: int, *, ids: bool = True) -> tuple[Row, ...]:
    return tuple(row(C, number, ids=ids) for number in range(first, last + 1))


OPEN = Open(conversation=C)


@pytest.mark.parametrize("scope", [BY_ID, BY_PLACE, BESIDE])
def test_every_transition_of_a_small_scope_is_the_same_on_sqlite(scope: Scope) -> None:
    found = descend(MACHINE, scope, intake_case().host)
    usual = explore(MACHINE, scope, fingerprint=True)
    assert found is not None
    assert found.failure is None
    assert (found.states, found.fingerprint) == (usual.states, usual.fingerprint)


@pytest.mark.parametrize("durable", [False, True])
def test_random_histories_are_the_same_on_sqlite(*, durable: bool) -> None:
    """INT-16: on a file, reopening and crashing really happen."""
    case = intake_case()
    effort = Effort(examples=4 if durable else 12, steps=25, seed=11)
    run = lockstep(MACHINE, case.durable if durable else case.host, BY_ID, effort)
    assert run.failure is None
    assert run.steps > 20


@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize("ids", [False, True])
def test_the_same_list_after_a_reopening_is_known(*, crash: bool, ids: bool) -> None:
    """INT-8, INT-16."""
    whole = taking(*listed(1, 4, ids=ids), first=1)
    with hosting(OPEN, whole, durable=True) as host:
        before, connection = canonical(host.observe()), host.connection
        assert host.step(Reopen(crash=crash)) == Reopened()
        assert host.connection is not connection
        assert canonical(host.observe()) == before
        assert host.step(whole) == Taken(fates=(Fate.KNOWN,) * 4, posted=None)
        assert canonical(host.observe()) == before


def test_a_second_writer_adds_only_what_is_new() -> None:
    """INT-5, INT-23."""
    with hosting(OPEN, taking(*listed(1, 3), first=1)) as host:
        answer = host.step(taking(*listed(2, 4), source="other"))
        assert isinstance(answer, Taken)
        assert answer.fates == (Fate.KNOWN, Fate.KNOWN, Fate.ADDED)


def test_a_forgotten_message_is_not_brought_back_by_its_row() -> None:
    """INT-15."""
    whole = taking(*listed(1, 3), first=1)
    forget = Forget(conversation=C, messages=(MessageId("c/2"),))
    with hosting(OPEN, whole, forget) as host:
        assert host.step(whole) == Taken(fates=(Fate.KNOWN,) * 3, posted=None)


def test_a_refused_row_takes_the_rows_before_it_back() -> None:
    """INT-17: also the parts, which have no event of their own."""
    rows = (*listed(1, 2), replace(row(C, 3, ids=True), tokens=-1))
    with hosting(OPEN) as host:
        refused = host.step(taking(*rows, first=1))
        assert refused == tokens.Refused(reason=tokens.Doubt.NEGATIVE_COUNT, index=2)
        assert host.observe().logs == ()
        assert host.connection.execute("SELECT count(*) FROM parts").get == 0


@pytest.mark.parametrize("stored", [10, 1_000])
def test_a_row_costs_the_same_however_many_are_stored(stored: int) -> None:
    """A known row reads two rows by index, its place and its id."""
    with hosting(OPEN, taking(*listed(1, stored), first=1)) as host:
        with host.statements() as ran:
            host.step(taking(row(C, stored // 2, ids=True), first=stored // 2))
        read = [sql for sql in ran if sql.startswith("SELECT")]
        assert len(read) == len(ran) - 4 == 4
        for sql in read:
            plan = host.connection.execute(
                f"EXPLAIN QUERY PLAN {sql}", ("c", "one", 1)[: sql.count("?")]
            ).fetchall()
            assert all("SEARCH" in str(step) for step in plan), plan


def undecidable(index: int) -> Refused:
    return Refused(reason=Reason.UNDECIDABLE, rows=(index,))


def missing(index: int) -> Refused:
    return Refused(reason=Reason.MISSING_ROWS, rows=(index,))


@pytest.mark.parametrize(
    ("stored", "event", "refusal"),
    [
        (taking(*listed(1, 2, ids=False), first=1), taking(*listed(1, 1)), undecidable(0)),
        (
            taking(*listed(1, 2)),
            taking(*listed(1, 2), *listed(3, 3, ids=False), first=1),
            undecidable(2),
        ),
        (
            taking(*listed(1, 2), first=1),
            taking(*listed(1, 2), *listed(3, 3, ids=False), first=1),
            None,
        ),
        (taking(*listed(1, 2), first=1), taking(*listed(2, 4)), None),
        (taking(*listed(1, 2), first=1), taking(*listed(4, 4)), missing(0)),
        (taking(*listed(1, 2), first=1), taking(*listed(4, 5), first=4), missing(0)),
        (taking(*listed(1, 2), first=1), taking(*listed(2, 3), first=2), None),
        (taking(*listed(1, 2)), taking(*listed(3, 4), first=3), missing(0)),
        (taking(*listed(1, 2)), taking(*listed(2, 3), first=2), None),
        (taking(*listed(1, 2)), taking(*listed(3, 3), source="other", first=3), missing(0)),
    ],
)
def test_a_new_row_is_refused_while_its_like_or_its_beginning_is_missing(
    stored: Take, event: Take, refusal: Refused | None
) -> None:
    """INT-10, INT-12: each refusal, and beside it a list that is taken."""
    state = MACHINE.step(MACHINE.step(MACHINE.initial, OPEN)[0], stored)[0]
    expected = MACHINE.step(state, event)[1]
    with hosting(OPEN, stored) as host:
        before = canonical(host.observe())
        found = host.step(event)
        assert found == expected
        if refusal is None:
            assert isinstance(found, Taken)
        else:
            assert found == refusal
            assert canonical(host.observe()) == before


REFUSED_BY_THE_TABLES = {
    "an entry is changed": "UPDATE entries SET digest = 'other'",
    "an entry is removed": "DELETE FROM entries",
    "a part is changed": "UPDATE parts SET length = 0",
    "a part is removed": "DELETE FROM parts",
    "an id is stored twice": "INSERT INTO entries (conversation, source, entry, standing, digest,"
    " role, text) VALUES ('c', 'two', 'e1', 'aside', 'd', 'user', '')",
    "a place holds two": "INSERT INTO entries (conversation, source, place, standing, digest,"
    " role, text) VALUES ('c', 'one', 1, 'aside', 'd', 'user', '')",
    "a placed entry has no message": "INSERT INTO entries (conversation, source, standing, digest,"
    " role, text) VALUES ('c', 'one', 'placed', 'd', 'user', '')",
}


@pytest.mark.parametrize("what", REFUSED_BY_THE_TABLES)
def test_the_tables_refuse_what_no_event_does(what: str) -> None:
    with hosting(OPEN, taking(*listed(1, 2), first=1)) as host:
        before = canonical(host.observe())
        with pytest.raises(apsw.ConstraintError):
            host.connection.execute(REFUSED_BY_THE_TABLES[what])
        assert canonical(host.observe()) == before


# Bugs planted in the implementation

MUTANTS = (
    Mutant(
        name="an id is looked up in every conversation",
        part="WHERE conversation = ? AND entry = ?",
        wrong="WHERE ?1 = ?1 AND entry = ?2",
    ),
    Mutant(
        name="a place is looked up in every source",
        part="AND source = ? AND place = ?",
        wrong="AND ?2 = ?2 AND place = ?3",
        found_by=("lockstep",),
    ),
    Mutant(
        name="a row aside moves the tip",
        part=" AND standing <> 'aside'",
        wrong="",
        found_by=("descend",),
    ),
    Mutant(
        name="the tip is the first entry",
        part="ORDER BY number DESC LIMIT 1",
        wrong="ORDER BY number LIMIT 1",
        found_by=("descend", "lockstep"),
    ),
    Mutant(
        name="nobody asks for entries without a place",
        part="AND place IS NULL LIMIT 1",
        wrong="AND place IS NULL AND 0 LIMIT 1",
        found_by=("descend",),
    ),
    Mutant(
        name="nobody asks for entries without an id",
        part="AND entry IS NULL LIMIT 1",
        wrong="AND entry IS NULL AND 0 LIMIT 1",
        found_by=("lockstep",),
    ),
    Mutant(
        name="parts are lost",
        part="INSERT INTO parts VALUES (?, ?, ?, ?, ?, ?, ?)",
        wrong="SELECT ?, ?, ?, ?, ?, ?, ?",
        found_by=("descend", "lockstep"),
    ),
    Mutant(
        name="a row is known by what it says",
        part="WHERE conversation = ? AND entry = ?",
        wrong="WHERE conversation = ?1 AND role = (SELECT role FROM entries WHERE entry = 'e1')"
        " AND ?2 = ?2",
        found_by=("descend", "lockstep"),
    ),
)
CASE = replace(
    intake_case(),
    scopes={"quick": Scopes(explore=(BY_ID,), descend=(BY_ID, BY_PLACE, BESIDE), diff=BY_ID)},
)
LONG = replace(PLAN, profile=replace(PLAN.profile, examples=120, steps=60))
"""Many long histories: a row that nobody can decide is rare among what a host hands over."""
ENGINES: dict[str, Callable[[], EngineReport]] = {
    "descend": lambda: run_descend(CASE, PLAN, silent),
    "lockstep": lambda: run_lockstep(CASE, LONG, silent),
}


@pytest.mark.parametrize(
    ("mutant", "engine"),
    [(mutant, engine) for mutant in MUTANTS for engine in mutant.found_by if engine in ENGINES],
    ids=lambda one: one.name if isinstance(one, Mutant) else one,
)
def test_a_planted_bug_is_found(
    mutant: Mutant, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = plant(monkeypatch, mutant)
    found = ENGINES[engine]()
    assert planted.met
    assert found.verdict is Verdict.BROKEN
    assert found.findings


def test_rows_without_ids_and_places_are_named() -> None:
    """INT-10."""
    rows = (row(C, 1, ids=True), row(C, 2, ids=False), row(C, 3, ids=False))
    with hosting(OPEN) as host:
        assert host.step(taking(*rows)) == Refused(reason=Reason.UNDECIDABLE, rows=(1, 2))
