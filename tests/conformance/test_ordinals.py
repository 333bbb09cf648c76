"""Ordinals over SQLite: held to the model, to its tables, and bugs planted in it are found."""

import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from itertools import pairwise, product
from pathlib import Path

import apsw
import pytest
from msgspec.structs import replace

from plumbline import ordinals as sqlite_ordinals
from plumbline.registry import ordinals_case
from plumbline.sqlite_host import SqliteHost, judged
from plumbline_models import ordinals
from plumbline_models.ordinals import (
    Append,
    Appended,
    ConversationId,
    Draft,
    Event,
    MessageId,
    Open,
    Opened,
    Ordinal,
    Outcome,
    Reason,
    Refused,
    Replace,
    Scope,
    Sequence,
    State,
)
from plumbline_spec.case import Scopes
from plumbline_spec.clause_table import silent
from plumbline_spec.codec import canonical
from plumbline_spec.descend import descend
from plumbline_spec.engines import run_descend, run_lockstep, run_vectors
from plumbline_spec.explore import explore
from plumbline_spec.host import RequestId
from plumbline_spec.lockstep import Effort, lockstep
from plumbline_spec.report import EngineReport, Finding, Verdict
from plumbline_spec.subject import subject
from tests.mutants import MUTANTS, Mutant, plant
from tests.ordinals import (
    REFUSED,
    WORLD,
    appending,
    forgetting,
    opening,
    pruning,
    replacing,
    rolling_back,
    shown,
)
from tests.plans import PLAN

MACHINE = ordinals.machine()
Host = SqliteHost[State, Event, Outcome]

THREE = Scope(conversations=1, messages=3, summaries=2)
TWO = Scope(conversations=2, messages=2, summaries=1)


@contextmanager
def hosting(*events: Event, durable: bool = False) -> Generator[Host]:
    """Return a host that has taken events, each answered as the model answers it."""
    host = SqliteHost(sqlite_ordinals.PROGRAM, durable=durable)
    try:
        state = MACHINE.initial
        for event in events:
            state, outcome = MACHINE.step(state, event)
            assert host.step(event) == outcome
        assert canonical(host.observe()) == canonical(state)
        yield host
    finally:
        host.close()


@pytest.fixture(scope="module")
def world() -> Iterator[Host]:
    with hosting(*WORLD) as host:
        host.step(opening(), RequestId("kept"))
        yield host


# Held to the model


def test_every_refusal_is_that_of_the_model() -> None:
    """ORD-15."""
    with hosting(*WORLD) as host:
        before = canonical(host.observe())
        answers = [(event, host.step(event)) for event, _ in REFUSED]
        assert answers == [(event, Refused(reason=reason)) for event, reason in REFUSED]
        assert canonical(host.observe()) == before


ACCEPTED = (
    appending("m8 m9"),
    appending("y3", "e"),
    replacing("m4 m5", "s", first=1, last=2),
    replacing("m4 m5 m6", "s"),
    replacing("m6", "s", first=3, last=3),
    replacing("s3", "s"),
    rolling_back("s3"),
    rolling_back("sx", "d"),
    pruning(),
    pruning(0),
    pruning(1),
    pruning(2),
    pruning(2**53 - 1),
    pruning(at="e"),
    forgetting("m6 m4"),
    forgetting("y2", "e"),
)


def test_accepted_events_have_the_effect_of_the_model() -> None:
    for event in ACCEPTED:
        after = (event, appending("z1 z2 z3"), replacing("z1 z2", "sz"), pruning(0))
        with hosting(*WORLD, *after) as host:
            assert shown(host.observe()).endswith("sz")


def test_every_transition_of_a_small_scope_is_the_same_on_sqlite() -> None:
    for scope in (THREE, TWO):
        found = descend(MACHINE, scope, ordinals_case().host)
        usual = explore(MACHINE, scope, fingerprint=True)
        assert found is not None
        assert found.failure is None
        assert (found.states, found.fingerprint) == (usual.states, usual.fingerprint)


@pytest.mark.parametrize("durable", [False, True])
def test_random_histories_are_the_same_on_sqlite(*, durable: bool) -> None:
    case = ordinals_case()
    effort = Effort(examples=3 if durable else 12, steps=25, seed=11)
    run = lockstep(MACHINE, case.durable if durable else case.host, THREE, effort)
    assert run.failure is None
    assert run.steps > 20


def test_every_expectation_of_ordinals_is_verified_from_both_ends() -> None:
    """ORD-1: of a list of eight, each run of one or two, expected at each place."""
    names = [f"m{number}" for number in range(1, 9)]
    runs = [*((name,) for name in names), *pairwise(names)]
    with hosting(opening(), appending(" ".join(names))) as host:
        state = host.observe()
        for run, first, last in product(runs, (None, *range(-1, 9)), (None, *range(-1, 9))):
            event = replacing(" ".join(run), "s", first=first, last=last)
            host.mark()
            assert host.step(event) == MACHINE.step(state, event)[1]
            host.back()


def test_the_parts_of_a_database_are_those_of_its_state(world: Host) -> None:
    assert MACHINE.partition is not None
    assert dict(world.parts()) == dict(MACHINE.partition(world.observe()))


# Text and ids

TEXTS = (
    "",
    "\x00",
    "before\x00after",
    "'; DROP TABLE messages; --",
    "日本語 ça va 🪶 \u200d\ufeff",
    "\uffff\U0001f9f5\U0010ffff",
    "e\u0301 is not \u00e9",
    "line\r\nline\u2028line",
    "x" * 1_000_000,
    "🧵" * 300_000,
)
IDS = (
    "it's",
    'say "hi"',
    "with space",
    " ",
    "ünï\U0001f600",
    "\uffff",
    "\U00010000",
    "a\x00b",
    "%_",
)


def test_texts_come_back_as_they_were_given() -> None:
    """ORD-22, ORD-26."""
    drafts = tuple(
        Draft(id=MessageId(f"m{number}"), text=text) for number, text in enumerate(TEXTS)
    )
    append = Append(conversation=ConversationId("c"), messages=drafts)
    summarise = replace(replacing("m0 m1", "s"), text="\x00".join(TEXTS[:8]))
    with hosting(opening(), append, summarise) as host:
        (at,) = host.observe().conversations
        assert [message.text for message in at.messages] == list(TEXTS)
        assert at.summaries[0].text == summarise.text


def test_ids_may_hold_whatever_a_text_may() -> None:
    """ORD-8: and conversations are observed in the order of their code points."""
    events: list[Event] = []
    for name in IDS:
        here = ConversationId(name)
        message = Draft(id=MessageId(name), text="")
        events += [
            Open(conversation=here),
            Append(conversation=here, messages=(message,)),
            Replace(
                conversation=here,
                summary=ordinals.SummaryId(name),
                text="",
                items=(ordinals.MessageItem(id=message.id),),
            ),
        ]
    with hosting(*events) as host:
        assert [at.id for at in host.observe().conversations] == sorted(IDS)


def test_messages_and_summaries_have_name_spaces_of_their_own() -> None:
    both = replace(replacing("s", "s"), items=(ordinals.MessageItem(id=MessageId("s")),))
    with hosting(opening(), appending("s"), both) as host:
        assert shown(host.observe()) == "s"


# Bugs planted in the implementation


CASE = replace(
    ordinals_case(),
    scopes={"quick": Scopes(explore=(THREE,), descend=(THREE, TWO), diff=TWO)},
)
LONG = replace(PLAN, profile=replace(PLAN.profile, examples=100, steps=30))
LONGEST = 12
"""Events in the longest trace that a planted bug is shrunk to, or in the vector that finds it."""


def the_finding(report: EngineReport) -> Finding:
    """Return the first finding of an engine that must have one."""
    assert report.verdict is Verdict.BROKEN
    return report.findings[0]


def mismatches(file: Path) -> list[str]:
    """Replay a file as ``plumbline replay`` does; return what is not as it says."""
    return [one.what for trace in subject(CASE).replay(file) for one in trace.mismatches]


ENGINES: dict[str, Callable[[], EngineReport]] = {
    "descend": lambda: run_descend(CASE, PLAN, silent),
    "lockstep": lambda: run_lockstep(CASE, LONG, silent),
    "vectors": lambda: run_vectors(CASE, PLAN, silent),
}


@pytest.mark.parametrize(
    ("mutant", "engine"),
    [(mutant, engine) for mutant in MUTANTS for engine in mutant.found_by],
    ids=lambda one: one.name if isinstance(one, Mutant) else one,
)
def test_a_planted_bug_is_found_and_its_trace_shows_it_again(
    mutant: Mutant, engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = plant(monkeypatch, mutant)
    finding = the_finding(ENGINES[engine]())
    assert planted.met
    assert finding.name
    assert finding.detail
    assert 0 < len(finding.rows) <= LONGEST
    file = tmp_path / "failing.jsonl"
    file.write_text(finding.trace, encoding="utf-8")
    assert {what.partition(" ")[0] for what in mismatches(file)} == {"host"}
    monkeypatch.undo()
    assert mismatches(file) == []


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_bug_is_met_by_the_tests_of_this_module(
    mutant: Mutant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no engine finds soon, some test here does."""
    plant(monkeypatch, mutant)
    tests = (
        test_every_expectation_of_ordinals_is_verified_from_both_ends,
        test_accepted_events_have_the_effect_of_the_model,
        test_every_refusal_is_that_of_the_model,
    )
    assert [test.__name__ for test in tests if fails(test)]


def fails(test: Callable[[], None]) -> bool:
    try:
        test()
    except (AssertionError, apsw.Error):
        return True
    return False


@pytest.mark.parametrize(
    ("bug", "name", "place"),
    [
        ("its last row", "state.conversations.context", "state.conversations[0].context[1]"),
        ("records nothing", "state.conversations.losses", "state.conversations[0].losses[0]"),
        ("adjacent", "Replace: Refused(not_adjacent), host Replaced", "outcome.reason"),
        ("covered message", "Forget: ConstraintError", ""),
    ],
)
def test_a_finding_names_what_differs_and_where(
    bug: str, name: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (mutant,) = [one for one in MUTANTS if bug in one.name]
    plant(monkeypatch, mutant)
    finding = the_finding(run_descend(CASE, PLAN, silent))
    assert finding.name == name
    assert [one.path for one in finding.differences][:1] == ([place] if place else [])
    for one in finding.differences:
        assert one.machine != one.host


# What the tables refuse, whoever asks

REFUSED_BY_THE_TABLES = {
    "a message is changed": "UPDATE messages SET text = 'other'",
    "a message is renumbered": "UPDATE messages SET sequence = sequence + 100",
    "a summary is changed": "UPDATE summaries SET text = 'other'",
    "a lineage is changed": "UPDATE lineage SET position = position + 100",
    "a loss is changed": "UPDATE losses SET cause = 'pruned'",
    "a loss is removed": "DELETE FROM losses",
    "an answer is changed": "UPDATE requests SET outcome = x'00'",
    "the counter goes back": "UPDATE conversations SET next_sequence = next_sequence - 1",
    "the length is negative": "UPDATE conversations SET items = -1",
    "a covered message is deleted": "DELETE FROM messages WHERE message = 'm1'",
    "a standing message is deleted": "DELETE FROM messages WHERE message = 'm4'",
    "a summary is deleted": "DELETE FROM summaries WHERE summary = 's1'",
    "a conversation is deleted": "DELETE FROM conversations WHERE conversation = 'c'",
    "an item is both": "INSERT INTO context VALUES ('c', 50, 'm1', 's1')",
    "an item is neither": "INSERT INTO context VALUES ('c', 50, NULL, NULL)",
    "an item stands twice": "INSERT INTO context VALUES ('c', 50, 'm4', NULL)",
    "a summary stands twice": "INSERT INTO context VALUES ('d', 50, NULL, 's3')",
    "an item is not stored": "INSERT INTO context VALUES ('c', 50, 'm9', NULL)",
    "a place is taken": "INSERT INTO context VALUES ('c', 4, 'm1', NULL)",
    "a place is not a number": "INSERT INTO context VALUES ('c', 'last', 'm1', NULL)",
    "a summary covers itself": "INSERT INTO lineage VALUES ('s3', 50, NULL, 's3')",
    "a message is covered twice": "INSERT INTO lineage VALUES ('s3', 50, 'm1', NULL)",
    "a summary is covered twice": "INSERT INTO lineage VALUES ('sx', 50, NULL, 's1')",
    "a source is both": "INSERT INTO lineage VALUES ('s3', 50, 'm4', 'sx')",
    "a source is not stored": "INSERT INTO lineage VALUES ('s3', 50, 'm9', NULL)",
    "a loss is both": "INSERT INTO losses VALUES ('c', 50, 'pruned', 'm4', 's3')",
    "a loss has another cause": "INSERT INTO losses VALUES ('c', 50, 'lost', 'm4', NULL)",
    "a summary is forgotten": "INSERT INTO losses VALUES ('c', 50, 'forgotten', NULL, 's3')",
    "a message is forgotten twice": "INSERT INTO losses VALUES ('d', 50, 'forgotten', 'm7', NULL)",
    "a text is no text": "INSERT INTO messages VALUES ('m9', 'c', 50, x'00', NULL)",
    "a number is used twice": "INSERT INTO messages VALUES ('m9', 'c', 4, '', NULL)",
    "an id is used twice": "INSERT INTO messages VALUES ('m1', 'd', 50, '', NULL)",
    "an id is missing": "INSERT INTO messages VALUES (NULL, 'c', 50, '', NULL)",
    "a conversation is not stored": "INSERT INTO messages VALUES ('m9', 'nowhere', 50, '', NULL)",
    "a depth is negative": "INSERT INTO summaries VALUES ('s9', 'c', -1, '', NULL)",
}


@pytest.mark.parametrize("what", REFUSED_BY_THE_TABLES)
def test_the_tables_refuse_what_no_event_does(world: Host, what: str) -> None:
    before = canonical(world.observe())
    with pytest.raises(apsw.ConstraintError):
        world.connection.execute(REFUSED_BY_THE_TABLES[what])
    assert canonical(world.observe()) == before


# Requests and storage


def test_a_request_is_answered_again_and_changes_nothing() -> None:
    """ENV-2: a refusal too, even when the event would be accepted by now."""
    request = RequestId("again")
    with hosting(opening()) as host:
        refused = host.step(replacing("m1", "s1"), request)
        assert refused == Refused(reason=Reason.UNKNOWN_ITEM)
        first = host.step(appending("m1"), RequestId("first"))
        assert host.step(replacing("m1", "s1"), request) == refused
        assert host.step(appending("m1"), RequestId("first")) == first
        assert host.step(appending("m1")) == Refused(reason=Reason.ALREADY_PLACED)
        assert shown(host.observe()) == "m1"


@pytest.mark.parametrize("crash", [False, True])
def test_what_was_answered_outlives_the_process(*, crash: bool) -> None:
    """ENV-3."""
    with hosting(*WORLD, durable=True) as host:
        answer = host.step(appending("m8"), RequestId("eight"))
        before = canonical(host.observe())
        if crash:
            host.crash()
        host.reopen()
        assert canonical(host.observe()) == before
        assert host.step(appending("m8"), RequestId("eight")) == answer
        assert canonical(host.observe()) == before
        assert answer == Appended(ordinal=Ordinal(4), sequence=Sequence(8))


def test_every_event_is_one_transaction() -> None:
    """ENV-1: refused ones too."""
    with hosting(*WORLD) as host:
        for event in (appending("m8"), rolling_back("s3"), *(event for event, _ in REFUSED)):
            with host.statements() as ran:
                host.step(event)
            assert (ran[0], ran[-1]) == ("BEGIN IMMEDIATE", "COMMIT")
            assert not [sql for sql in ran[1:-1] if sql.startswith(("BEGIN", "COMMIT", "SAVE"))]


def test_an_event_that_fails_half_way_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    half = Mutant(name="half", part="UPDATE conversations SET items", wrong="UPDATE nowhere SET x")
    with monkeypatch.context() as patch:
        planted = plant(patch, half)
        with hosting(*WORLD[:2]) as host:
            before = canonical(host.observe())
            with pytest.raises(apsw.SQLError, match="nowhere"):
                host.step(replacing("m1 m2", "s1"), RequestId("half"))
            assert planted.met
            assert canonical(host.observe()) == before
            answer = host.step(opening("d"), RequestId("half"))
            assert answer == Opened()


def test_a_host_that_is_reset_or_closed_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    host = SqliteHost(sqlite_ordinals.PROGRAM, durable=True)
    host.step(opening())
    host.reset()
    assert host.observe() == State()
    host.crash()
    host.reopen()
    assert len(list(tmp_path.iterdir())) == 1
    host.close()
    assert list(tmp_path.iterdir()) == []


def test_only_a_host_on_a_file_can_crash() -> None:
    memory, durable = judged(sqlite_ordinals.PROGRAM), judged(sqlite_ordinals.PROGRAM, durable=True)
    assert memory.crashable is None
    assert durable.crashable is not None
    for one in (memory, durable):
        assert None not in (one.observable, one.reversible, one.traced)
        one.host.close()
