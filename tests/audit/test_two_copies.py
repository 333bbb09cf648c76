"""Two copies of one database: what fails when the later one cannot follow from the earlier one."""

from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from plumbline.audit import compare_files, intake_and_below
from plumbline.schema import MIGRATIONS
from plumbline_models import intake
from plumbline_models.contract import StepClause
from plumbline_models.intake import Event, State
from plumbline_spec.audit import compare
from plumbline_spec.report import Verdict
from plumbline_spec.strategies import Blend
from tests.audit.planting import (
    HISTORY,
    Short,
    aside,
    bare,
    copied,
    counted,
    drive,
    drive_all,
    failed,
    label,
    row,
    taking,
    tampering,
)
from tests.ordinals import (
    appending,
    forgetting,
    opening,
    pruning,
    replacing,
    rolling_back,
)

MACHINE = intake.machine()
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
        "messages, total, clauses",
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
        "INSERT INTO messages VALUES ('z5', 'f', 5, '', 0)",
        "INSERT INTO messages VALUES ('z6', 'f', 6, '', 0)",
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
        "INSERT INTO messages VALUES ('m0', 'c', 7, '', 0)",
        "INSERT INTO context (conversation, position, message) VALUES ('c', 7, 'm0')",
        "UPDATE conversations SET items = 5 WHERE conversation = 'c'",
    ),
    change(
        "an item stands in the context twice",
        "one place, total, clauses",
        ("one place", "message m6", "1 places", "2 places"),
        "INSERT INTO context (conversation, position, message) VALUES ('c', 66, 'm6')",
        "UPDATE conversations SET items = 5 WHERE conversation = 'c'",
    ),
    change(
        "a message is stored twice",
        "one place, order, texts, counts, total, clauses",
        ("one place", "message z4", "1 rows", "2 rows"),
        "INSERT INTO messages VALUES ('z4', 'f', 5, '', 0)",
        "UPDATE conversations SET next_sequence = 6 WHERE conversation = 'f'",
    ),
    change(
        "the text of a message was changed",
        "texts",
        ("texts", "message m1", "'text of m1'", "'another text'"),
        "UPDATE messages SET text = 'another text' WHERE message = 'm1'",
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
        "losses, clauses",
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
        "losses, messages, order, clauses",
        ("messages", "message x3", "forgotten", "sequence 3, ''"),
        "DELETE FROM losses WHERE message = 'x3'",
        "INSERT INTO messages VALUES ('x3', 'd', 3, '', 0)",
        "INSERT INTO context (conversation, position, message) VALUES ('d', 3, 'x3')",
    ),
    change(
        "a message that was pruned is back",
        "context, total, clauses",
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
        "context, total, clauses",
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
        "a total does not follow",
        "total, clauses",
        ("total", "total", "16 stored, the counts make 16", "99 stored, the counts make 16"),
        "UPDATE conversations SET tokens = 99 WHERE conversation = 'c'",
    ),
    change(
        "the count of a message was changed with the total",
        "counts",
        ("counts", "message m5", "count 3", "count 4"),
        "UPDATE messages SET tokens = 4 WHERE message = 'm5'",
        "UPDATE conversations SET tokens = 17 WHERE conversation = 'c'",
    ),
    change(
        "the count of a message is gone",
        "counts, clauses",
        ("counts", "message w1", "count 3", "no count"),
        "UPDATE messages SET tokens = NULL WHERE message = 'w1'",
    ),
    change(
        "the count of a summary that was pruned was changed",
        "counts",
        ("counts", "summary sy", "count 3", "count 5"),
        "UPDATE summaries SET tokens = 5 WHERE summary = 'sy'",
    ),
    change(
        "the last of all entries is gone",
        "entries",
        ("entries", "conversation f, entry e-z4", "placed, user, message z4", "gone"),
        "DELETE FROM parts WHERE number = 15",
        "DELETE FROM entries WHERE number = 15",
    ),
    change(
        "an entry without an id is gone",
        "entries",
        ("entries", "conversation d, source one, place 2", "placed, user, message x2", "gone"),
        "DELETE FROM entries WHERE message = 'x2'",
    ),
    change(
        "an entry was changed",
        "entries",
        ("entries", "entry e-m3", "digest digest of m3", "digest another"),
        "UPDATE entries SET digest = 'another' WHERE entry = 'e-m3'",
    ),
    change(
        "the text of an entry was changed",
        "entries",
        ("entries", "entry e-l1", "text 'text of l1'", "text 'another'"),
        "UPDATE entries SET text = 'another' WHERE entry = 'e-l1'",
    ),
    change(
        "a part was changed",
        "entries",
        ("entries", "entry e-m3", "text at 0, 4 long", "thinking at 0, 4 long"),
        "UPDATE parts SET kind = 'thinking' WHERE number = 4 AND part = 0",
    ),
    change(
        "entries have changed places",
        "entry order, clauses",
        ("entry order", "conversation f, entry 2 of those", "entry e-z3", "entry e-z4"),
        "UPDATE entries SET number = 99 WHERE entry = 'e-z3'",
        "UPDATE entries SET number = 14 WHERE entry = 'e-z4'",
        "UPDATE entries SET number = 15 WHERE entry = 'e-z3'",
        "UPDATE parts SET number = 99 WHERE number = 14",
        "UPDATE parts SET number = 14 WHERE number = 15",
        "UPDATE parts SET number = 15 WHERE number = 99",
    ),
    change(
        "an entry was moved to another conversation",
        "entries, entry order",
        ("entry order", "conversation f, entry e-l1", "not stored", "before 4 older ones"),
        "UPDATE entries SET conversation = 'f', place = 9 WHERE entry = 'e-l1'",
    ),
    change(
        "an entry was made for a message that was there",
        "entry message",
        ("entry message", "conversation g, entry e-w4", "message w4 stored", "brings message w4"),
        "INSERT INTO entries VALUES (16, 'g', 'one', 'e-w4', 1, 'placed', 'digest', 'user', 'w4',"
        " NULL, NULL)",
    ),
    change(
        "an answer was changed",
        "answers",
        ("answers", "request healthy.db 0", '{"added":0', "{} to event"),
        "UPDATE requests SET outcome = x'7b7d' WHERE request = 'healthy.db 0'",
    ),
    change(
        "an answer is gone",
        "answers",
        ("answers", "request healthy.db 0", '{"added":0', "gone"),
        "DELETE FROM requests WHERE request = 'healthy.db 0'",
    ),
    change(
        "a snapshot was edited",
        "snapshots",
        ("snapshots", "snapshot 4", "delta_merge up to 5", "delta_merge up to 5"),
        "UPDATE snapshots SET config = 'another' WHERE snapshot = 4",
    ),
    change(
        "a snapshot that was collected is there again",
        "new snapshots",
        ("new snapshots", "snapshot 1", "not stored, 4 was issued", "stored"),
        "INSERT INTO snapshots"
        " VALUES (1, 1, 0, x'', 'full_rebuild', 'forced', NULL, 1, 0, 0, 0, '')",
    ),
    change(
        "a verdict is gone",
        "verdicts",
        ("verdicts", "gate g1", "promoted, 100/100/0, snapshot 3, candidate c1", "gone"),
        "DELETE FROM verdicts",
    ),
    change(
        "a number may be issued again",
        "epoch",
        ("epoch", "greatest id", "4", "3"),
        "UPDATE manifest SET issued = 3",
    ),
    change(
        "an outcome is forgotten",
        "outcomes",
        ("outcomes", "outcome o1", "digest ", "gone"),
        "DELETE FROM truncated WHERE position = 1",
    ),
    change(
        "an outcome is another one than was handed",
        "outcomes",
        ("outcomes", "outcome o6", "digest ", "digest 00000000"),
        "UPDATE log SET digest = zeroblob(16) WHERE position = 6",
    ),
)

LATER: tuple[Event, ...] = tuple(
    counted(event)
    for event in (
        rolling_back("s3"),
        rolling_back("s1"),
        replacing("m1 m2", "s1"),
        forgetting("m6"),
        taking(row("m6", "m4"), row("m7", "m6"), row("m8", "m7", 9), at="c", source="two"),
        appending("m9"),
        taking(label("l2"), aside("a2", "m3"), at="c", source="two"),
        pruning(1),
        appending("m10"),
        taking(bare("x3"), bare("x4"), at="d", first=3),
        pruning(at="f"),
        forgetting("z2", "f"),
        opening("i"),
        appending("v1 v2", "i"),
        taking(row("v3"), at="i"),
        forgetting("v2", "i"),
    )
)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("healthy") / "healthy.db"
    drive_all(file)
    return file


def test_a_database_follows_from_itself(healthy: Path) -> None:
    found = compare_files(healthy, copied(healthy, "same.db")).comparison
    assert {one.verdict for one in found.conditions} == {Verdict.HOLDS}
    assert found.verdict is Verdict.HOLDS
    assert found.parts == 7


def test_what_events_did_fails_no_condition(healthy: Path) -> None:
    later = copied(healthy, "later.db")
    drive(later, LATER)
    assert failed(compare_files(healthy, later)) == set()


def test_time_does_not_go_back(healthy: Path) -> None:
    later = copied(healthy, "later.db")
    drive(later, LATER)
    found = failed(compare_files(later, healthy))
    assert found >= {
        "conversation",
        "losses",
        "counter",
        "messages",
        "answers",
        "context",
        "entries",
    }


@pytest.mark.parametrize("one", CHANGES, ids=lambda one: one.what)
def test_what_no_event_does_fails_its_conditions_and_no_other(healthy: Path, one: Change) -> None:
    after = copied(healthy, "changed.db")
    with tampering(after) as db:
        for statement in one.do:
            db.execute(statement)
            assert db.changes() > 0, statement
    found = compare_files(healthy, after)
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
        db.execute("UPDATE conversations SET tokens = tokens + 7 WHERE conversation = 'e'")
        db.execute("UPDATE messages SET tokens = NULL WHERE message = 'x2'")
        db.execute("DELETE FROM entries WHERE entry = 'e-m4'")
    after = copied(before, "later.db")
    drive(
        after,
        (
            appending("m8"),
            appending("x4", "d"),
            appending("w5", "g"),
            pruning(at="g"),
            replacing("y5", "sy3", "e"),
            pruning(at="d"),
            taking(label("l2"), at="c", source="two"),
        ),
    )
    assert failed(compare_files(before, after)) == set()


def test_an_older_version_does_not_follow_from_a_newer_one(healthy: Path) -> None:
    older = healthy.with_name("older.db")
    drive(older, (), MIGRATIONS[:2])
    assert "version" in failed(compare_files(healthy, older))
    assert failed(compare_files(older, healthy)) == set()


def test_every_condition_fails_on_some_change(healthy: Path) -> None:
    known = {one.condition for one in compare_files(healthy, healthy).comparison.conditions}
    assert {title for one in CHANGES for title in one.fails} | {"version"} == known


def test_conditions_name_clauses_that_exist() -> None:
    about = {one.id for one in MACHINE.clauses}
    named = {clause for one in intake_and_below() for clause in one.clauses}
    assert named <= about
    assert {one.id for one in MACHINE.clauses if isinstance(one, StepClause)} & named


# Any two states of one history


@st.composite
def histories(draw: st.DrawFn) -> list[State]:
    """Draw the states of a history; most of its events are accepted."""
    found = states_of(tuple(map(counted, START)))
    for _ in range(draw(st.integers(1, 12))):
        kind = draw(st.sampled_from(MACHINE.kinds))
        event = draw(BLEND.event(kind, MACHINE.choices(found[-1])))
        state = MACHINE.step(found[-1], event)[0]
        if state != found[-1]:
            found.append(state)
    return found


START: tuple[Short, ...] = (
    opening("c"),
    taking(row("m1"), label("l1"), at="c", first=1),
    appending("m2 m3 m4"),
    opening("d"),
    taking(bare("n1"), bare("n2"), at="d", first=1),
)


def states_of(events: tuple[Event, ...]) -> list[State]:
    """Return the state before events and the one after each of them."""
    found = [MACHINE.initial]
    for event in events:
        found.append(MACHINE.step(found[-1], event)[0])
    return found


@settings(max_examples=60, deadline=None)
@given(histories())
def test_any_two_states_of_a_history_fail_no_condition(states: list[State]) -> None:
    """Conditions from clauses about steps: what steps keep, any number of them keeps."""
    for before, after in combinations(states, 2):
        assert discrepancies(before, after) == []


def test_every_pair_of_states_of_a_long_history_fails_no_condition() -> None:
    for before, after in combinations(states_of((*HISTORY, *LATER)), 2):
        assert discrepancies(before, after) == []


def discrepancies(before: State, after: State) -> list[str]:
    split = MACHINE.partition
    assert split is not None
    parts = iter(split(before).items()), iter(split(after).items())
    found = compare(MACHINE, *parts, intake_and_below())
    return [f"{one.condition}: {each}" for one in found.conditions for each in one.discrepancies]
