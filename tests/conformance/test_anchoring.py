"""Anchoring over SQLite: held to the model, kept by constraints, and planted bugs are found."""

from collections.abc import Callable, Generator
from contextlib import contextmanager

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from plumbline import anchoring as sqlite_anchoring
from plumbline import replay_log
from plumbline.log_clauses import QUERIES
from plumbline.registry import anchoring_case
from plumbline.snapshots import contents
from plumbline.sqlite_host import SqliteHost
from plumbline.sqlite_shared import MODES, SqliteShared
from plumbline_models import anchoring
from plumbline_models.anchoring import (
    Audit,
    Audited,
    Backfill,
    CloseGate,
    Correction,
    Drift,
    Event,
    GateId,
    Lose,
    Loss,
    OpenGate,
    Outcome,
    OutcomeId,
    Pin,
    PinId,
    Record,
    Refresh,
    Refreshed,
    Rewrite,
    SnapshotId,
    State,
    Truncate,
    Truncated,
    queries,
)
from plumbline_models.contract import StateClause
from plumbline_models.decisions.refreshing import Mode, Way, Windows
from plumbline_models.decisions.statistics import MOST
from plumbline_spec.campaigns import Bench
from plumbline_spec.case import Scopes
from plumbline_spec.clause_table import silent
from plumbline_spec.codec import canonical
from plumbline_spec.descend import descend
from plumbline_spec.engines import run_descend, run_lockstep
from plumbline_spec.explore import explore
from plumbline_spec.meetings import OBSERVE, Ask, Meeting, Send
from plumbline_spec.report import EngineReport, Verdict
from tests.anchoring import draft, drop_triggers, recording
from tests.mutants import Mutant, plant
from tests.plans import PLAN

MACHINE = anchoring.machine()
Host = SqliteHost[State, Event, Outcome]
AUTO, FULL = Refresh(now=0), Refresh(now=0, mode=Mode.FULL)
GATE = GateId("g")
CASE = anchoring_case()
CLAUSES = {one.id: one for one in MACHINE.clauses if isinstance(one, StateClause)}


@contextmanager
def hosting(*events: Event) -> Generator[Host]:
    """Return a host that has taken events, each answered as the model answers it."""
    host = Host(sqlite_anchoring.PROGRAM)
    try:
        state = MACHINE.initial
        for event in events:
            state, outcome = MACHINE.step(state, event)
            assert host.step(event) == outcome
        assert canonical(host.observe()) == canonical(state)
        yield host
    finally:
        host.close()


EVERYTHING: tuple[Event, ...] = (
    recording([1, 2]),
    FULL,
    recording([3, 4], under=1),
    AUTO,
    OpenGate(gate=GATE, owner="judge", now=0),
    CloseGate(gate=GATE, snapshot=SnapshotId(2), candidate="c", result="100/100/0", promoted=True),
    Truncate(snapshot=SnapshotId(1)),
    Pin(pin=PinId("p"), owner="reader", now=0),
    recording([5]),
)


def test_every_transition_of_small_scopes_is_the_same_on_sqlite() -> None:
    for scope in CASE.scopes["quick"].descend:
        found = descend(MACHINE, scope, CASE.host)
        usual = explore(MACHINE, scope, fingerprint=True)
        assert found is not None
        assert found.failure is None
        assert (found.states, found.fingerprint) == (usual.states, usual.fingerprint)


# What nobody can do, with SQL


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("UPDATE snapshots SET config = 'x'", "a snapshot is never changed"),
        ("UPDATE statistics SET total = 0", "a snapshot is never changed"),
        ("DELETE FROM statistics", "a snapshot is never changed"),
        (
            "INSERT INTO statistics SELECT exact, key, 2, 1, 1, 1, 1, 1, 1 FROM statistics",
            "a snapshot is never changed",
        ),
        ("DELETE FROM snapshots WHERE snapshot = 1", "another snapshot was merged from this one"),
        ("DELETE FROM snapshots WHERE snapshot = 2", "FOREIGN KEY constraint failed"),
        ("UPDATE verdicts SET promoted = 0", "a verdict is never changed"),
        ("DELETE FROM verdicts", "a verdict is never removed"),
        ("UPDATE manifest SET issued = 0", "the number of a snapshot is never issued again"),
        ("UPDATE manifest SET epoch = 0", "an epoch does not come back"),
        ("DELETE FROM manifest", "there is one manifest"),
        ("UPDATE manifest SET current = 9", "FOREIGN KEY constraint failed"),
        ("UPDATE log SET outcome = 'x'", "a rewriting changes the key and the reward"),
        ("UPDATE log SET under = NULL", "a rewriting changes the key and the reward"),
        ("UPDATE log SET digest = zeroblob(16)", "a rewriting changes the key and the reward"),
        ("DELETE FROM log", "an outcome is never forgotten"),
        ("DELETE FROM truncated", "an outcome is never forgotten"),
        ("UPDATE truncated SET digest = zeroblob(16)", "what is known of an outcome"),
        ("UPDATE log SET reward = 1000001", "CHECK constraint failed"),
        ("UPDATE log SET reward = 0.5", "cannot store REAL value in INTEGER column"),
        ("INSERT INTO pins VALUES ('q', 9, 'x', NULL, 0)", "FOREIGN KEY constraint failed"),
    ],
)
def test_constraints_and_triggers_forbid_it(statement: str, why: str) -> None:
    """ANC-5, ANC-12, ANC-13, ANC-23."""
    with hosting(*EVERYTHING) as host:
        before = canonical(host.observe())
        with pytest.raises(apsw.ConstraintError, match=why):
            host.connection.execute(statement)
        assert canonical(host.observe()) == before


# Statistics


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(-MOST, MOST), min_size=1, max_size=9), min_size=1, max_size=5))
def test_rebuilds_and_merges_count_as_the_model_does(pieces: list[list[int]]) -> None:
    """Sums of squares too, whose limbs SQLite sums apart."""
    events, number = list[Event](), 0
    for rewards in pieces:
        drafts = [draft(number + at, reward=one) for at, one in enumerate(rewards)]
        number += len(rewards)
        events += [Record(drafts=tuple(drafts)), AUTO]
    with hosting(*events, FULL):
        pass


def test_the_squares_of_the_greatest_rewards_keep_their_carry() -> None:
    odd = Record(drafts=tuple(draft(n, keys=1, reward=MOST - 1) for n in range(1, 5)))
    with hosting(odd, FULL) as host:
        (one,) = host.observe().snapshots[0].statistics
        assert one.statistics.squares == 4 * (MOST - 1) ** 2
        assert 0 <= one.statistics.squares_low < 10**6


def test_a_long_chain_is_made_anew_some_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_log, "RECHAINED_ROWS", 3)
    changed = Correction(outcome=OutcomeId("o2"), key=draft(2).key, reward=5)
    with hosting(recording(range(1, 12)), FULL, Rewrite(corrections=(changed,)), AUTO):
        pass


def test_a_snapshot_is_read_as_it_was_when_later_ones_were_merged() -> None:
    """ANC-13."""
    windows = Windows(merges=9)
    with hosting(recording([1, 2]), AUTO) as host:
        read = [dict(contents(host.connection, 1))]
        for number in range(3, 9):
            host.step(recording([number]))
            assert isinstance(host.step(replace(AUTO, windows=windows)), Refreshed)
            read.append(dict(contents(host.connection, number - 1)))
            assert [dict(contents(host.connection, n + 1)) for n in range(len(read))] == read
        assert sum(one.count for one in read[-1].values()) == 8


# Audits by queries


@pytest.mark.parametrize(
    ("clause", "statement"),
    [
        ("ANC-1", "UPDATE statistics SET greatest = 1000000 WHERE snapshot = 2"),
        ("ANC-1", "UPDATE log SET reward = 5 WHERE position = 3"),
        ("ANC-2", "UPDATE live_statistics SET squares_low = squares_low + 1"),
        ("ANC-3", "UPDATE log SET position = 9 WHERE position = 5"),
        ("ANC-4", "UPDATE log SET chain = zeroblob(16) WHERE position = 5"),
        ("ANC-4", "UPDATE log SET epoch = 7 WHERE position = 3"),
    ],
)
def test_queries_find_what_the_clauses_find(clause: str, statement: str) -> None:
    """ANC-1 to ANC-4 of a file are asked of its rows, and of a state of the whole."""
    with hosting(*EVERYTHING) as host:
        db = host.connection
        assert [*QUERIES[clause](db)] == []
        drop_triggers(db)
        db.execute(statement)
        found = [str(one) for one in QUERIES[clause](db)]
        assert found
        assert found == [str(one) for one in CLAUSES[clause].witnesses(host.observe())]


def test_an_audit_sees_a_snapshot_that_was_edited_by_hand() -> None:
    with hosting(*EVERYTHING) as host:
        host.connection.execute("DROP TRIGGER statistics_stay")
        host.connection.execute("UPDATE statistics SET total = total + 1 WHERE snapshot = 2")
        found = host.step(Audit())
        about = Drift(snapshot=SnapshotId(2), superseded_by=None, gates=(GATE,), pins=(PinId("p"),))
        assert found == Audited(judged=2, drifted=(about,), live_drifted=False)
        fresh = host.step(replace(AUTO, drift=True))
        assert isinstance(fresh, Refreshed)
        assert (fresh.way, fresh.doubted) == (Way.FULL_REBUILD, (GATE,))


DAMAGES = (
    "UPDATE statistics SET total = total + 1 WHERE snapshot = 1",
    "DELETE FROM statistics WHERE snapshot = 1 AND key = 1",
    "DELETE FROM statistics WHERE snapshot = 2",
    "UPDATE snapshots SET watermark = 1 WHERE snapshot = 3",
    "UPDATE snapshots SET watermark = 5 WHERE snapshot = 2",
    "UPDATE log SET reward = 7 WHERE position = 5",
    "UPDATE live_statistics SET total = total + 1",
)


@pytest.mark.parametrize("statements", [(), *((one,) for one in DAMAGES), DAMAGES[1:4]])
@pytest.mark.parametrize("truncated", [True, False])
def test_an_audit_of_rows_is_that_of_the_state(
    statements: tuple[str, ...], *, truncated: bool
) -> None:
    """ANC-26, ANC-1: rows are compared where they changed, the model compares whole snapshots."""
    more = (replace(AUTO, now=5), recording([6, 7]), AUTO, FULL, recording([8]), AUTO)
    before = (one for one in EVERYTHING if truncated or not isinstance(one, Truncate))
    with hosting(*before, *more) as host:
        db = host.connection
        drop_triggers(db)
        for statement in statements:
            db.execute(statement)
        state = host.observe()
        assert host.step(Audit()) == MACHINE.step(state, Audit())[1]
        for clause in ("ANC-1", "ANC-2"):
            found = [str(one) for one in QUERIES[clause](db)]
            assert found == [str(one) for one in CLAUSES[clause].witnesses(state)]


@pytest.mark.parametrize("statement", ["", "UPDATE statistics SET total = 0 WHERE key = 1"])
def test_an_audit_sees_a_key_that_the_foundation_alone_holds(statement: str) -> None:
    """A retracted outcome comes back by a script, is rebuilt, and its row is truncated."""
    retracted = Rewrite(
        corrections=(Correction(outcome=OutcomeId("o1"), key=draft(1).key, reward=None),)
    )
    back = Backfill(outcome=OutcomeId("o1"), reward=5)
    with hosting(recording([1]), retracted, AUTO, back, FULL) as host:
        assert isinstance(host.step(Truncate(snapshot=SnapshotId(2))), Truncated)
        if statement:
            host.connection.execute("DROP TRIGGER statistics_stay")
            host.connection.execute(statement)
        found = host.step(Audit())
        assert found == MACHINE.step(host.observe(), Audit())[1]
        assert isinstance(found, Audited)
        assert [one.snapshot for one in found.drifted] == [1]


def test_a_rebuild_adds_what_is_near_the_bounds_of_a_number() -> None:
    """2**31 outcomes of a key, of the greatest reward, and of one whose squares carry."""
    many = 2**31 - 2
    with hosting(recording([1, 2]), FULL, Truncate(snapshot=SnapshotId(1))) as host:
        db = host.connection
        db.execute("DROP TRIGGER statistics_stay")
        db.execute(
            "UPDATE statistics SET outcomes = ?, total = ?, greatest = ?, squares_high = ?,"
            " squares_low = ?",
            (many, many * MOST, MOST, many * MOST, 999_999),
        )
        host.step(recording([3, 4]))
        assert isinstance(host.step(FULL), Refreshed)
        state = host.observe()
        found, base = state.snapshots[-1].statistics, state.snapshots[0].statistics
        assert found == queries.merged(base, queries.fold(state.log))
        assert max(one.statistics.count for one in found) >= many
        assert max(one.statistics.squares_low for one in found) < MOST


def test_what_is_refused_writes_nothing() -> None:
    """Not even a key that nobody has."""
    fresh = Correction(outcome=OutcomeId("o5"), key=draft(7, keys=99).key, reward=1)
    gone = Correction(outcome=OutcomeId("o1"), key=fresh.key, reward=1)
    with hosting(*EVERYTHING) as host:
        written = host.connection.total_changes()
        assert isinstance(host.step(Rewrite(corrections=(fresh, gone))), anchoring.Refused)
        assert isinstance(host.step(Lose(what=Loss.LIVE_FOREIGN)), anchoring.Lost)
        assert host.connection.total_changes() == written + 1


# Clients at once


@pytest.mark.parametrize("mode", MODES)
def test_recorders_refreshers_and_a_gate_in_between_are_in_one_order(mode: str) -> None:
    """SCH-1: whatever comes between what, every outcome is counted once, and one order says how."""
    gate = OpenGate(gate=GATE, owner="judge", now=0)
    clients: tuple[tuple[Ask[Event], ...], ...] = (
        (Send(event=recording([2, 3])), Send(event=recording([4]))),
        (Send(event=AUTO), Send(event=replace(AUTO, expects=SnapshotId(1)))),
        (Send(event=gate), OBSERVE),
    )
    start: tuple[Event, ...] = (recording([1]), AUTO)
    met = Meeting(name="a test", form="events", start=start, clients=clients)
    with Bench(MACHINE, SqliteShared(sqlite_anchoring.PROGRAM)) as bench:
        campaign = bench.campaign(met, mode, 300)
        assert campaign.go_on(300) is None
        assert campaign.together.histories > 5
        assert {pair for pair in campaign.pairs if pair[0] == "Refresh"} > {
            ("Refresh", "Refused(superseded)"),
            ("Refresh", "Refreshed(live_delta)"),
        }


# Bugs planted in the implementation

MUTANTS = (
    Mutant(
        name="a delta that ends elsewhere is extended",
        part="WHERE hi = ? AND chain = ?",
        wrong="WHERE ? IS NOT NULL AND ? IS NOT NULL",
        found_by=("descend", "lockstep"),
    ),
    Mutant(
        name="a delta of a log that was rewritten is extended",
        part="WHERE hi = ? AND chain = ?",
        wrong="WHERE hi = ? AND ? IS NOT NULL",
        found_by=("descend",),
    ),
    Mutant(
        name="a merge does not empty the live delta",
        part="DELETE FROM live_statistics",
        wrong="SELECT 1",
        found_by=("descend", "lockstep"),
    ),
    Mutant(
        name="a merge goes by the oldest statistics of its lineage",
        part="SELECT max(snapshot) FROM statistics",
        wrong="SELECT min(snapshot) FROM statistics",
        found_by=("descend",),
    ),
    Mutant(
        name="a snapshot is read with what was merged later",
        part="AND s.snapshot <= ?1 GROUP BY s.key",
        wrong="AND ?1 IS NOT NULL GROUP BY s.key",
        found_by=("descend",),
    ),
    Mutant(
        name="a collection forgets what was judged",
        part="UNION SELECT snapshot FROM verdicts",
        wrong="",
        found_by=(),
    ),
    Mutant(
        name="a collection spares the newest of a lineage alone",
        part="WHERE upto IS NULL OR snapshot > upto",
        wrong="WHERE upto IS NULL OR snapshot <> upto",
        found_by=(),
    ),
    Mutant(
        name="outcomes that were truncated are forgotten",
        part="SELECT position, digest FROM truncated WHERE outcome = ?1",
        wrong="SELECT position, digest FROM truncated WHERE outcome = ?1 AND 0",
        found_by=("descend",),
    ),
    Mutant(
        name="a pin holds one second too long",
        part="SELECT pin FROM pins WHERE expires <= ?",
        wrong="SELECT pin FROM pins WHERE expires < ?",
        found_by=("descend",),
    ),
)
LONG = replace(PLAN, profile=replace(PLAN.profile, examples=150))
FEW = CASE.scopes["quick"].descend
SMALL = replace(CASE, scopes={"quick": Scopes(explore=FEW, descend=FEW, diff=FEW[0])})
ENGINES: dict[str, Callable[[], EngineReport]] = {
    "descend": lambda: run_descend(SMALL, PLAN, silent),
    "lockstep": lambda: run_lockstep(SMALL, LONG, silent),
}


@pytest.mark.parametrize(
    ("mutant", "engine"),
    [(mutant, engine) for mutant in MUTANTS for engine in mutant.found_by],
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


@pytest.mark.parametrize(
    "mutant", [one for one in MUTANTS if not one.found_by], ids=lambda one: one.name
)
def test_constraints_stop_a_collection_that_takes_too_much(
    mutant: Mutant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ANC-5: such a build cannot even answer."""
    plant(monkeypatch, mutant)
    events = (*EVERYTHING[:6], recording([5]), AUTO, FULL)
    with hosting(*events) as host, pytest.raises(apsw.ConstraintError):
        host.step(anchoring.Collect(now=0))
