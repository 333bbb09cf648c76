"""Two copies of one database: what fails when the later one cannot follow from the earlier one."""

from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from plumbline.schema import MIGRATIONS
from plumbline_models import ordinals
from plumbline_models.contract import StepClause
from plumbline_models.ordinals import Event, State
from plumbline_models.ordinals.conditions import conditions
from plumbline_spec.audit import compare
from plumbline_spec.report import Verdict
from plumbline_spec.strategies import Blend
from tests.audit.planting import HISTORY, compared, copied, drive, failed, tampering
from tests.ordinals import (
    appending,
    forgetting,
    opening,
    pruning,
    replacing,
    rolling_back,
    taken,
)

MACHINE = ordinals.machine()
BLEND: Blend[Event] = Blend(MACHINE.kinds)


class Change(Struct, frozen=True, kw_only=True):
    """What no event does to a database, and the conditions that then fail."""

    what: str
    do: tuple[str, ...]
    fails: frozenset[str]
    witness: tuple[str, str, str, str]
    """Of one of the conditions: its title, a part of the row, and what stands on either side."""


def change(what: str, fails: str, witness: tuple[str, str, str, str], *do: str) -> Change:
    names = frozenset(name.strip() for name in fails.split(","))
    return Change(what=what, do=do, fails=names, witness=witness)


CHANGES = (
    change(
        "a conversation is gone",
        "conversation",
        ("conversation", "conversation d", "2 messages, 2 items in the context", "gone"),
        *(
            f"DELETE FROM {table} WHERE {where}"  # noqa: S608 - names of this test
            for table, where in {
                "lineage": "summary = 'sx'",
                "context": "conversation = 'd'",
                "messages": "conversation = 'd'",
                "summaries": "conversation = 'd'",
                "losses": "conversation = 'd'",
                "conversations": "conversation = 'd'",
            }.items()
        ),
    ),
    change(
        "a message is lost from the store and from the context",
        "messages",
        ("messages", "message m5", "sequence 5, 'text of m5'", "neither stored nor forgotten"),
        "DELETE FROM context WHERE message = 'm5'",
        "DELETE FROM messages WHERE message = 'm5'",
        "UPDATE conversations SET items = 3 WHERE conversation = 'c'",
    ),
    change(
        "a message was appended and lost between the copies",
        "messages",
        ("messages", "sequences 7 to 8", "not issued", "issued, neither stored nor forgotten"),
        "UPDATE conversations SET next_sequence = 9 WHERE conversation = 'f'",
        "INSERT INTO messages (message, conversation, sequence, text) VALUES ('z5', 'f', 5, '')",
        "INSERT INTO messages (message, conversation, sequence, text) VALUES ('z6', 'f', 6, '')",
        "INSERT INTO context (conversation, position, message) VALUES ('f', 5, 'z5')",
        "INSERT INTO context (conversation, position, message) VALUES ('f', 6, 'z6')",
        "UPDATE conversations SET items = 6 WHERE conversation = 'f'",
    ),
    change(
        "two messages have changed places with their numbers",
        "order",
        ("order", "message 3 of those reached", "message m4", "message m5"),
        "UPDATE messages SET sequence = 50 WHERE message = 'm4'",
        "UPDATE messages SET sequence = 4 WHERE message = 'm5'",
        "UPDATE messages SET sequence = 5 WHERE message = 'm4'",
        "UPDATE context SET message = 'm9' WHERE message = 'm4'",
        "UPDATE context SET message = 'm4' WHERE message = 'm5'",
        "UPDATE context SET message = 'm5' WHERE message = 'm9'",
    ),
    change(
        "a message was put among those that were there",
        "order",
        ("order", "message m0", "not stored, next sequence 8", "sequence 7"),
        "INSERT INTO messages (message, conversation, sequence, text) VALUES ('m0', 'c', 7, '')",
        "INSERT INTO context (conversation, position, message) VALUES ('c', 7, 'm0')",
        "UPDATE conversations SET items = 5 WHERE conversation = 'c'",
    ),
    change(
        "an item stands in the context twice",
        "one place, clauses",
        ("one place", "message m6", "1 places", "2 places"),
        "INSERT INTO context (conversation, position, message) VALUES ('c', 66, 'm6')",
        "UPDATE conversations SET items = 5 WHERE conversation = 'c'",
    ),
    change(
        "a message is stored twice",
        "one place, order, texts, clauses",
        ("one place", "message z4", "1 rows", "2 rows"),
        "INSERT INTO messages (message, conversation, sequence, text) VALUES ('z4', 'f', 5, '')",
        "UPDATE conversations SET next_sequence = 6 WHERE conversation = 'f'",
    ),
    change(
        "the text of a message was changed",
        "texts",
        ("texts", "message m1", "'text of m1'", "'another'"),
        "UPDATE messages SET text = 'another' WHERE message = 'm1'",
    ),
    change(
        "a summary that was pruned was written anew",
        "texts",
        ("texts", "summary sy", "depth 0, 'text of sy', of message y1", "'better', of message y1"),
        "UPDATE summaries SET text = 'better' WHERE summary = 'sy'",
    ),
    change(
        "a summary has lost its sources",
        "sources, context, clauses",
        ("sources", "summary sx", "1 sources", "no source"),
        "DELETE FROM lineage WHERE summary = 'sx'",
    ),
    change(
        "a summary has a source that is not stored",
        "sources, clauses",
        ("sources", "summary s3", "2 sources", "source summary s9 is not stored"),
        "INSERT INTO lineage (summary, position, source) VALUES ('s3', 33, 's9')",
    ),
    change(
        "a summary has another depth",
        "clauses",
        ("clauses", "ORD-7, conversation c, summary s3", "the clause holds", "depth 4, 1 expected"),
        "UPDATE summaries SET depth = 4 WHERE summary = 's3'",
    ),
    change(
        "the record of a forgotten message is gone",
        "losses",
        ("losses", "loss of message m7", "forgotten at 7", "not recorded"),
        "DELETE FROM losses WHERE message = 'm7'",
    ),
    change(
        "the record of a loss was altered",
        "losses",
        ("losses", "loss of message x3", "forgotten at 3", "forgotten at 30"),
        "UPDATE losses SET position = 30 WHERE message = 'x3'",
    ),
    change(
        "a loss was recorded that nobody can have had",
        "losses",
        ("losses", "loss of message m9", "not stored, next sequence 8", "forgotten at 6"),
        "INSERT INTO losses VALUES ('c', 6, 'forgotten', 'm9', NULL)",
    ),
    change(
        "what a pruned summary covers was pruned",
        "losses",
        ("losses", "loss of message y1", "covered for good", "pruned at 11"),
        "INSERT INTO losses VALUES ('e', 11, 'pruned', 'y1', NULL)",
    ),
    change(
        "a message that was forgotten is back",
        "losses, messages, order",
        ("messages", "message x3", "forgotten", "sequence 3, ''"),
        "DELETE FROM losses WHERE message = 'x3'",
        "INSERT INTO messages (message, conversation, sequence, text) VALUES ('x3', 'd', 3, '')",
        "INSERT INTO context (conversation, position, message) VALUES ('d', 3, 'x3')",
    ),
    change(
        "a message that was pruned is back",
        "context, clauses",
        ("context", "message w2", "pruned", "reached by the context"),
        "INSERT INTO context (conversation, position, message) VALUES ('g', 2, 'w2')",
    ),
    change(
        "the counter has gone back",
        "counter",
        ("counter", "next sequence", "4", "3"),
        "UPDATE conversations SET next_sequence = 3 WHERE conversation = 'd'",
    ),
    change(
        "an item was pruned and no record says so",
        "context, clauses",
        ("context", "message m5", "reached by the context or pruned", "neither reached by"),
        "DELETE FROM context WHERE message = 'm5'",
        "UPDATE conversations SET items = 3 WHERE conversation = 'c'",
    ),
    change(
        "the record of what was pruned is gone",
        "losses, context, clauses",
        ("losses", "loss of summary sy", "pruned at 1", "not recorded"),
        "DELETE FROM losses WHERE summary = 'sy'",
    ),
    change(
        "an answer was changed",
        "answers",
        ("answers", "request healthy.db 0", '{"type":"ordinals.Opened"}', "{} to event"),
        "UPDATE requests SET outcome = x'7b7d' WHERE request = 'healthy.db 0'",
    ),
    change(
        "an answer is gone",
        "answers",
        ("answers", "request healthy.db 0", '{"type":"ordinals.Opened"} to event', "gone"),
        "DELETE FROM requests WHERE request = 'healthy.db 0'",
    ),
)

LATER: tuple[Event, ...] = (
    rolling_back("s3"),
    rolling_back("s1"),
    replacing("m1 m2", "s1"),
    forgetting("m6"),
    appending("m8 m9"),
    pruning(1),
    appending("m10"),
    pruning(at="f"),
    forgetting("z2", "f"),
    opening("i"),
    appending("v1 v2", "i"),
    forgetting("v2", "i"),
)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("healthy") / "healthy.db"
    drive(file, HISTORY)
    return file


def test_a_database_follows_from_itself(healthy: Path) -> None:
    found = compared(healthy, copied(healthy, "same.db")).comparison
    assert {one.verdict for one in found.conditions} == {Verdict.HOLDS}
    assert found.verdict is Verdict.HOLDS
    assert found.parts == 6


def test_what_events_did_fails_no_condition(healthy: Path) -> None:
    later = copied(healthy, "later.db")
    drive(later, LATER)
    assert failed(compared(healthy, later)) == set()


def test_time_does_not_go_back(healthy: Path) -> None:
    later = copied(healthy, "later.db")
    drive(later, LATER)
    found = failed(compared(later, healthy))
    assert found >= {"conversation", "losses", "counter", "messages", "answers", "context"}


@pytest.mark.parametrize("one", CHANGES, ids=lambda one: one.what)
def test_what_no_event_does_fails_its_conditions_and_no_other(healthy: Path, one: Change) -> None:
    after = copied(healthy, "changed.db")
    with tampering(after) as db:
        for statement in one.do:
            db.execute(statement)
            assert db.changes() > 0, statement
    found = compared(healthy, after)
    assert failed(found) == one.fails
    title, row, before, then = one.witness
    (result,) = [each for each in found.comparison.conditions if each.condition == title]
    assert result.count >= len(result.discrepancies) > 0
    shown = [(each.row, each.before, each.after) for each in result.discrepancies]
    assert [
        sides for sides in shown if row in sides[0] and before in sides[1] and then in sides[2]
    ], shown


def test_what_was_broken_before_is_not_held_against_the_later_copy(healthy: Path) -> None:
    before = copied(healthy, "broken.db")
    with tampering(before) as db:
        db.execute("DELETE FROM lineage WHERE summary = 'sx'")
        db.execute("DELETE FROM context WHERE message IN ('m5', 'w4')")
        db.execute("UPDATE conversations SET items = items - 1 WHERE conversation IN ('c', 'g')")
    after = copied(before, "later.db")
    drive(after, (appending("m8"), appending("x4", "d"), appending("w5", "g"), pruning(at="g")))
    assert failed(compared(before, after)) == set()


def test_an_older_version_does_not_follow_from_a_newer_one(healthy: Path) -> None:
    older = healthy.with_name("older.db")
    drive(older, (), MIGRATIONS[:2])
    assert "version" in failed(compared(healthy, older))
    assert failed(compared(older, healthy)) == set()


def test_every_condition_fails_on_some_change(healthy: Path) -> None:
    known = {one.condition for one in compared(healthy, healthy).comparison.conditions}
    assert {title for one in CHANGES for title in one.fails} | {"version"} == known


def test_conditions_name_clauses_that_exist() -> None:
    about = {one.id for one in MACHINE.clauses}
    named = {clause for one in conditions() for clause in one.clauses}
    assert named <= about
    assert {one.id for one in MACHINE.clauses if isinstance(one, StepClause)} & named


# Any two states of one history


@st.composite
def histories(draw: st.DrawFn) -> list[State]:
    """Draw the states of a history; most of its events are accepted."""
    state, found = MACHINE.initial, [MACHINE.initial]
    for event in (opening("c"), appending("m1 m2 m3 m4"), opening("d"), appending("n1 n2", "d")):
        state = MACHINE.step(state, event)[0]
    found.append(state)
    for _ in range(draw(st.integers(1, 12))):
        kind = draw(st.sampled_from(MACHINE.kinds))
        state = MACHINE.step(state, draw(BLEND.event(kind, MACHINE.choices(state))))[0]
        if state is not found[-1]:
            found.append(state)
    return found


@settings(max_examples=60)
@given(histories())
def test_any_two_states_of_a_history_fail_no_condition(states: list[State]) -> None:
    """ORD-5 to ORD-28 as conditions: what steps keep, any number of them keeps."""
    for before, after in combinations(states, 2):
        assert discrepancies(before, after) == []


def test_every_pair_of_states_of_a_long_history_fails_no_condition() -> None:
    events = (*HISTORY, *LATER)
    states = [taken(MACHINE, *events[:count])[0] for count in range(len(events) + 1)]
    for before, after in combinations(states, 2):
        assert discrepancies(before, after) == []


def discrepancies(before: State, after: State) -> list[str]:
    split = MACHINE.partition
    assert split is not None
    found = compare(MACHINE, iter(split(before).items()), iter(split(after).items()), conditions())
    return [f"{one.condition}: {each}" for one in found.conditions for each in one.discrepancies]
