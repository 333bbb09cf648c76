"""Tokens over SQLite: held to the model, counted, and bugs planted in it are found."""

from collections.abc import Callable, Generator
from contextlib import contextmanager

import apsw
import pytest
from msgspec.structs import replace

from plumbline import tokens as sqlite_tokens
from plumbline.registry import tokens_case
from plumbline.sqlite_host import SqliteHost
from plumbline_models import tokens
from plumbline_models.decisions.limits import Limits
from plumbline_models.ordinals import ConversationId, MessageId, Open, Prune, RollBack, SummaryId
from plumbline_models.tokens import (
    Append,
    Draft,
    Event,
    Outcome,
    Posted,
    Refused,
    Replace,
    Scope,
    State,
    Weigh,
    Weighed,
)
from plumbline_spec.case import Scopes
from plumbline_spec.clause_table import silent
from plumbline_spec.codec import canonical
from plumbline_spec.descend import descend
from plumbline_spec.engines import run_descend, run_lockstep
from plumbline_spec.explore import explore
from plumbline_spec.lockstep import Effort, lockstep
from plumbline_spec.report import EngineReport, Verdict
from tests.mutants import Mutant, plant
from tests.ordinals import items, rolling_back
from tests.plans import PLAN

MACHINE = tokens.machine()
Host = SqliteHost[State, Event, Outcome]
C = ConversationId("c")

SMALL = Scope(conversations=1, messages=2, summaries=1)
TWO = Scope(conversations=2, messages=2, summaries=1, counts=(None, 5))
DEEP = Scope(conversations=1, messages=3, summaries=2, counts=(None,))


@contextmanager
def hosting(*events: Event) -> Generator[Host]:
    """Return a host that has taken events, each answered as the model answers it."""
    host = Host(sqlite_tokens.PROGRAM)
    try:
        state = MACHINE.initial
        for event in events:
            state, outcome = MACHINE.step(state, event)
            assert host.step(event) == outcome
        assert canonical(host.observe()) == canonical(state)
        yield host
    finally:
        host.close()


def appending(*texts: str, at: str = "c", first: int = 1) -> Append:
    """Return an append of messages m1, m2 and so on, without counts."""
    drafts = (
        Draft(id=MessageId(f"m{number}"), text=text) for number, text in enumerate(texts, first)
    )
    return Append(conversation=ConversationId(at), messages=tuple(drafts))


def replacing(names: str, summary: str, text: str = "in short") -> Replace:
    """Return a replacement of the items of these names."""
    return Replace(conversation=C, summary=SummaryId(summary), text=text, items=items(names))


def weighing(window: int = 100) -> Weigh:
    return Weigh(conversation=C, limits=Limits(window=window))


def test_every_transition_of_a_small_scope_is_the_same_on_sqlite() -> None:
    for scope in (SMALL, TWO):
        found = descend(MACHINE, scope, tokens_case().host)
        usual = explore(MACHINE, scope, fingerprint=True)
        assert found is not None
        assert found.failure is None
        assert (found.states, found.fingerprint) == (usual.states, usual.fingerprint)


@pytest.mark.parametrize("durable", [False, True])
def test_random_histories_are_the_same_on_sqlite(*, durable: bool) -> None:
    case = tokens_case()
    effort = Effort(examples=3 if durable else 12, steps=25, seed=11)
    run = lockstep(MACHINE, case.durable if durable else case.host, SMALL, effort)
    assert run.failure is None
    assert run.steps > 20


def test_the_parts_of_a_database_are_those_of_its_state() -> None:
    other = Open(conversation=ConversationId("d"))
    with hosting(Open(conversation=C), other, appending("one", "two")) as host:
        assert MACHINE.partition is not None
        assert dict(host.parts()) == dict(MACHINE.partition(host.observe()))


def test_a_ledger_follows_replacement_and_rollback() -> None:
    """TOK-1, TOK-7: 3 + 3 tokens, then 2, then 3 + 3 again."""
    with hosting(Open(conversation=C), appending("text of m1", "text of m2")) as host:
        down = host.step(replacing("m1 m2", "s"))
        up = host.step(rolling_back("s"))
        assert isinstance(down, Posted)
        assert isinstance(up, Posted)
        assert (down.before, down.removed, down.added, down.after) == (6, 6, 2, 2)
        assert (up.before, up.removed, up.added, up.after) == (2, 2, 6, 6)


# What a reading costs


@pytest.mark.parametrize("length", [1, 100, 5_000])
def test_a_decision_reads_one_row_at_every_length(length: int) -> None:
    """TOK-14: no path that reads a total adds anything up."""
    with hosting(Open(conversation=C), appending(*["text"] * length)) as host:
        with host.statements() as ran:
            found = host.step(weighing(window=4 * length))
        assert isinstance(found, Weighed)
        assert found.total == length
        read = [sql for sql in ran if not sql.startswith(("BEGIN", "COMMIT"))]
        assert read == ["SELECT tokens FROM conversations WHERE conversation = ?"]


def test_a_total_moves_in_the_transaction_of_its_event() -> None:
    """ENV-1: one BEGIN and one COMMIT around the list and its ledger."""
    with hosting(Open(conversation=C)) as host:
        for event in (appending("a", "b"), replacing("m1 m2", "s"), rolling_back("s")):
            with host.statements() as ran:
                host.step(event)
            moved = [at for at, sql in enumerate(ran) if "SET tokens = tokens +" in sql]
            assert len(moved) == 1
            assert (ran[0], ran[-1]) == ("BEGIN IMMEDIATE", "COMMIT")
            assert 0 < moved[0] < len(ran) - 1


def test_a_refused_count_has_written_nothing() -> None:
    """TOK-10."""
    with hosting(Open(conversation=C), appending("a")) as host:
        before, changes = canonical(host.observe()), host.connection.total_changes()
        good, bad = (
            Draft(id=MessageId("m2"), text="b"),
            Draft(id=MessageId("m3"), text="c", tokens=-1),
        )
        answer = host.step(Append(conversation=C, messages=(good, bad)))
        assert answer == Refused(reason=tokens.Doubt.NEGATIVE_COUNT, index=1)
        assert (canonical(host.observe()), host.connection.total_changes()) == (before, changes)


# What the tables refuse, whoever asks

REFUSED_BY_THE_TABLES = {
    "a total is negative": "UPDATE conversations SET tokens = -1",
    "content counts zero": "INSERT INTO messages VALUES ('m9', 'c', 9, 'text', 0)",
    "a count is negative": "INSERT INTO messages VALUES ('m9', 'c', 9, '', -1)",
    "a summary counts zero": "INSERT INTO summaries VALUES ('s9', 'c', 0, 'text', 0)",
    "a count is changed": "UPDATE messages SET tokens = 7",
    "the count of a summary is changed": "UPDATE summaries SET tokens = 7",
}


@pytest.mark.parametrize("what", REFUSED_BY_THE_TABLES)
def test_the_tables_refuse_what_no_event_does(what: str) -> None:
    with hosting(Open(conversation=C), appending("a", "b"), replacing("m1", "s")) as host:
        before = canonical(host.observe())
        with pytest.raises(apsw.ConstraintError):
            host.connection.execute(REFUSED_BY_THE_TABLES[what])
        assert canonical(host.observe()) == before


# Bugs planted in the implementation

MUTANTS = (
    Mutant(
        name="what leaves is not posted",
        part="SET tokens = tokens + ?, revision = revision + 1",
        wrong="SET tokens = tokens + max(0, ?), revision = revision + 1",
        found_by=("descend", "lockstep"),
    ),
    Mutant(
        name="a total is shared by all conversations",
        part="WHERE conversation = ? RETURNING tokens",
        wrong="WHERE ? IS NOT NULL RETURNING tokens",
    ),
    Mutant(
        name="sources of a summary that are summaries are left out",
        part="coalesce(m.tokens, s.tokens)",
        wrong="coalesce(m.tokens, 0 * s.tokens)",
        found_by=("descend",),
    ),
    Mutant(
        name="a forgotten message counts although it stands nowhere",
        part="FROM context AS c JOIN messages AS m ON m.message = c.message WHERE c.message = ?",
        wrong="FROM messages AS m WHERE m.message = ?",
        found_by=("descend",),
    ),
    Mutant(
        name="a decision adds the counts up",
        part="SELECT tokens FROM conversations WHERE conversation = ?",
        wrong="SELECT sum(tokens) FROM messages WHERE conversation = ?",
        found_by=("descend", "lockstep"),
    ),
    Mutant(
        name="a summary counts as nothing when it leaves",
        part="SELECT coalesce(sum(tokens), 0) FROM summaries",
        wrong="SELECT 0 * coalesce(sum(tokens), 0) FROM summaries",
        found_by=("descend", "lockstep"),
    ),
)
CASE = replace(
    tokens_case(),
    scopes={"quick": Scopes(explore=(SMALL,), descend=(SMALL, TWO, DEEP), diff=SMALL)},
)
LONG = replace(PLAN, profile=replace(PLAN.profile, examples=60, steps=30))
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


def test_a_pruned_summary_leaves_with_its_own_count() -> None:
    """TOK-7: what it covers was taken out of the total when it was replaced."""
    with hosting(
        Open(conversation=C), appending("text of m1", "b" * 400), replacing("m1 m2", "s")
    ) as host:
        assert host.step(RollBack(conversation=C, summary=SummaryId("s"))) is not None
        host.step(replacing("m1 m2", "s"))
        found = host.step(Prune(conversation=C, retain_depth=None))
        assert isinstance(found, Posted)
        assert (found.before, found.removed, found.after) == (2, 2, 0)
