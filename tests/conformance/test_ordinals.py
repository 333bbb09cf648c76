"""Ordinals over SQLite: held to the model, to its tables, and bugs planted in it are found."""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import apsw
import msgspec
import pytest
from msgspec.structs import replace

from plumbline import ordinals as sqlite_ordinals
from plumbline.database import integer
from plumbline.registry import ordinals_case
from plumbline.sqlite_host import SqliteHost, judged
from plumbline_models import ordinals
from plumbline_models.ordinals import (
    Append,
    Appended,
    ConversationId,
    Draft,
    Event,
    Message,
    MessageId,
    Open,
    Outcome,
    Prune,
    Pruned,
    Reason,
    Refused,
    Replace,
    RollBack,
    RolledBack,
    Scope,
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
from plumbline_spec.traces import read
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
        yield host


# Held to the model


@pytest.mark.parametrize(("event", "reason"), REFUSED, ids=str)
def test_the_first_guard_that_holds_decides(world: Host, event: Event, reason: Reason) -> None:
    """ORD-15."""
    before = canonical(world.observe())
    assert world.step(event) == Refused(reason=reason)
    assert canonical(world.observe()) == before


@pytest.mark.parametrize(
    "event",
    [
        appending("m8 m9"),
        appending("y3", "e"),
        replacing("m4 m5", "s", first=1, last=2),
        replacing("m6", "s", first=3, last=3),
        replacing("s3", "s"),
        rolling_back("s3"),
        rolling_back("sx", "d"),
        pruning(),
        pruning(0),
        pruning(2),
        pruning(2**53 - 1),
        pruning(at="e"),
        forgetting("m6 m4"),
        forgetting("y2", "e"),
    ],
    ids=str,
)
def test_an_accepted_event_has_the_effect_of_the_model(event: Event) -> None:
    with hosting(*WORLD, event, pruning(1), appending("z1 z2"), replacing("z1", "sz")) as host:
        assert shown(host.observe()).endswith("sz z2")


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
    runs = [*((name,) for name in names), *zip(names, names[1:], strict=False)]
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


def keep_one_more(db: apsw.Connection, event: Replace, ends: tuple[int, int], depth: int) -> None:
    """Delete one row too few from a range of more than two."""
    PUT_SUMMARY(db, event, ends, depth)
    if len(event.items) > 2:
        db.execute(
            "INSERT INTO context SELECT ?, position, message, source FROM lineage"
            " WHERE summary = ? AND position = ?",
            (event.conversation, event.summary, ends[1]),
        )


def skip_adjacency(db: apsw.Connection, event: Replace, positions: list[int], length: int) -> None:
    """Find the positions and do not look between them."""
    del db, event, positions, length


def believe(
    db: apsw.Connection, conversation: ConversationId, position: int, rank: int, length: int
) -> bool:
    """Believe every ordinal that a caller expects."""
    del db, conversation, position, rank, length
    return True


def forget_the_length(db: apsw.Connection, conversation: ConversationId, by: int) -> None:
    """Do not update the counter of items."""
    del db, conversation, by


def restore_backwards(db: apsw.Connection, event: RollBack) -> Outcome:
    """Put the first two sources back in each other's place."""
    outcome = ROLL_BACK(db, event)
    if isinstance(outcome, RolledBack) and len(outcome.restored) > 1:
        one, other = (source.id for source in outcome.restored[:2])
        at, to = (place(db, name) for name in (one, other))
        for name, position in ((one, 10**9), (other, at), (one, to)):
            db.execute(
                "UPDATE context SET position = ? WHERE ? IN (message, summary)", (position, name)
            )
    return outcome


def place(db: apsw.Connection, name: str) -> int:
    return integer(db, "SELECT position FROM context WHERE ? IN (message, summary)", (name,))


def prune_without_record(db: apsw.Connection, event: Prune) -> Outcome:
    """Take everything out of the context and record nothing."""
    if event.retain_depth is not None:
        return PRUNE(db, event)
    removed = tuple(entry.item for entry in sqlite_ordinals._context(db, event.conversation))
    db.execute("DELETE FROM context WHERE conversation = ?", (event.conversation,))
    sqlite_ordinals._resize(db, event.conversation, -len(removed))
    return Pruned(removed=removed)


def forget_what_is_covered(db: apsw.Connection, here: ConversationId, message: MessageId) -> int:
    """Do not ask whether a summary covers the message."""
    try:
        return FORGETTABLE(db, here, message)
    except sqlite_ordinals._Refusal as refusal:
        if refusal.reason is not Reason.COVERED_ITEM:
            raise
        return integer(db, "SELECT sequence FROM messages WHERE message = ?", (message,))


def forget_who_was_forgotten(db: apsw.Connection, here: ConversationId, message: MessageId) -> None:
    """Let a forgotten message be appended again."""
    del db, here, message


def number_from_the_context(db: apsw.Connection, conversation: ConversationId) -> tuple[int, int]:
    """Take one more than the greatest position instead of the counter."""
    length, _ = CONVERSATION(db, conversation)
    greatest = "SELECT coalesce(max(position), 0) FROM context WHERE conversation = ?"
    return length, integer(db, greatest, (conversation,)) + 1


PUT_SUMMARY = sqlite_ordinals._put_summary
ROLL_BACK = sqlite_ordinals._roll_back
PRUNE = sqlite_ordinals._prune
CONVERSATION = sqlite_ordinals._conversation
FORGETTABLE = sqlite_ordinals._forgettable
NEWER = sqlite_ordinals._NEWER.replace("position > ?", "position >= ?")

CASE = replace(
    ordinals_case(),
    scopes={"quick": Scopes(explore=(THREE,), descend=(THREE, TWO), diff=TWO)},
)
LONG = replace(PLAN, profile=replace(PLAN.profile, examples=150, steps=30))
LONGEST = 8
"""Events in the longest trace that a planted bug is shrunk to."""

BUGS: dict[str, tuple[str, object]] = {
    "keep one more": ("_put_summary", keep_one_more),
    "skip adjacency": ("_verify_range", skip_adjacency),
    "believe": ("_stands_at", believe),
    "forget the length": ("_resize", forget_the_length),
    "restore backwards": ("_roll_back", restore_backwards),
    "prune without record": ("_prune", prune_without_record),
    "forget what is covered": ("_forgettable", forget_what_is_covered),
    "count the newer end from one": ("_NEWER", NEWER),
    "forget who was forgotten": ("_refuse_forgotten", forget_who_was_forgotten),
    "number from the context": ("_conversation", number_from_the_context),
}


@pytest.fixture(params=BUGS)
def bug(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Plant one bug and return its name."""
    name = str(request.param)
    monkeypatch.setattr(sqlite_ordinals, *BUGS[name])
    return name


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
}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_planted_bug_is_found_and_its_trace_shows_it_again(
    bug: str, engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finding = the_finding(ENGINES[engine]())
    assert finding.name
    assert finding.detail
    assert 0 < len(finding.rows) <= LONGEST
    file = tmp_path / "failing.jsonl"
    file.write_text(finding.trace, encoding="utf-8")
    found = mismatches(file)
    assert {what.partition(" ")[0] for what in found} == {"host"}
    monkeypatch.undo()
    assert mismatches(file) == []
    print(bug, engine, len(finding.rows), finding.name, "|", finding.detail)
