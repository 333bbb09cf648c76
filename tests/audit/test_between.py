"""What compares parts, and how the queries of an audit reach their rows."""

import re
from collections import Counter
from pathlib import Path

import apsw
import apsw.ext
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from plumbline import audit as audits
from plumbline.audit import same_identity
from plumbline.database import MEMORY, open_database
from plumbline.ordinals import PROGRAM
from plumbline.schema import MIGRATIONS
from plumbline.tables import checks, plan
from plumbline_models import ordinals
from plumbline_models.contract import StateClause
from plumbline_models.ordinals import (
    Cause,
    Conversation,
    ConversationId,
    Depth,
    Item,
    Loss,
    Message,
    MessageId,
    MessageItem,
    Ordinal,
    Placed,
    Sequence,
    State,
    Summary,
    SummaryId,
    SummaryItem,
)
from plumbline_spec.audit import audit
from plumbline_spec.codec import canonical
from plumbline_spec.errors import UnusableInput
from plumbline_spec.report import Verdict
from tests.audit.planting import HISTORY, audited, drive, tampering

MACHINE = ordinals.machine()
ABOUT_STATES = tuple(one for one in MACHINE.clauses if isinstance(one, StateClause))

names = st.sampled_from(["a", "b", "ü"])
items: st.SearchStrategy[Item] = st.one_of(
    st.builds(MessageItem, id=st.builds(MessageId, names)),
    st.builds(SummaryItem, id=st.builds(SummaryId, names)),
)


@st.composite
def conversations(draw: st.DrawFn, name: str) -> Conversation:
    """Draw a conversation that may break every clause, as far as tables can hold it."""
    messages = draw(st.lists(names, max_size=3))
    numbers = draw(st.lists(st.integers(0, 5), min_size=3, max_size=3))
    summaries = sorted(draw(st.lists(names, max_size=2, unique=True)))
    lost = draw(st.lists(names, max_size=2))
    rows = sorted(zip(numbers, messages, strict=False))
    return Conversation(
        id=ConversationId(name),
        next_sequence=Sequence(draw(st.integers(0, 6))),
        messages=tuple(
            Message(id=MessageId(one), sequence=Sequence(number), text=one) for number, one in rows
        ),
        summaries=tuple(
            Summary(
                id=SummaryId(one),
                depth=Depth(draw(st.integers(0, 2))),
                text="",
                sources=tuple(draw(st.lists(items, max_size=2))),
            )
            for one in summaries
        ),
        context=tuple(
            Placed(ordinal=Ordinal(rank), item=one)
            for rank, one in enumerate(draw(st.lists(items, max_size=3)))
        ),
        losses=tuple(
            Loss(
                position=Sequence(number),
                cause=Cause.FORGOTTEN,
                item=MessageItem(id=MessageId(one)),
            )
            for number, one in enumerate(lost, 1)
        ),
    )


@st.composite
def states(draw: st.DrawFn) -> State:
    """Draw two conversations; a summary of both has the same sources in both."""
    one, other = draw(conversations("c")), draw(conversations("d"))
    known = {summary.id: summary for summary in one.summaries}
    shared = tuple(known.get(summary.id, summary) for summary in other.summaries)
    return State(conversations=(one, replace(other, summaries=shared)))


def written(db: apsw.Connection, state: State) -> None:
    """Write a state into tables without constraints."""
    lineages = dict[str, tuple[Item, ...]]()
    for at in state.conversations:
        row = (at.id, int(at.next_sequence), len(at.context))
        db.execute("INSERT INTO conversations VALUES (?, ?, ?)", row)
        for message in at.messages:
            stored = (message.id, at.id, int(message.sequence), message.text)
            db.execute("INSERT INTO messages VALUES (?, ?, ?, ?)", stored)
        for summary in at.summaries:
            made = (summary.id, at.id, int(summary.depth), summary.text)
            db.execute("INSERT INTO summaries VALUES (?, ?, ?, ?)", made)
            lineages[summary.id] = summary.sources
        for place, entry in enumerate(at.context, 1):
            db.execute(
                "INSERT INTO context VALUES (?, ?, ?, ?)", (at.id, place, *named(entry.item))
            )
        for loss in at.losses:
            lost = (at.id, int(loss.position), loss.cause.value, *named(loss.item))
            db.execute("INSERT INTO losses VALUES (?, ?, ?, ?, ?)", lost)
    for name, sources in lineages.items():
        for place, source in enumerate(sources, 1):
            db.execute("INSERT INTO lineage VALUES (?, ?, ?, ?)", (name, place, *named(source)))


def named(one: Item) -> tuple[str | None, str | None]:
    return (one.id, None) if isinstance(one, MessageItem) else (None, one.id)


def loose_tables() -> apsw.Connection:
    """Return a database with the columns of ordinals and nothing that forbids anything."""
    db = apsw.Connection(MEMORY)
    db.execute(
        "CREATE TABLE conversations (conversation, next_sequence, items);"
        "CREATE TABLE messages (message, conversation, sequence, text);"
        "CREATE TABLE summaries (summary, conversation, depth, text);"
        "CREATE TABLE lineage (summary, position, message, source);"
        "CREATE TABLE context (conversation, position, message, summary);"
        "CREATE TABLE losses (conversation, position, cause, message, summary)"
    )
    return db


@given(states())
def test_an_audit_part_by_part_says_what_the_model_says_of_the_whole(state: State) -> None:
    """ORD-1 to ORD-9; the query for ORD-8 finds every row that the model finds."""
    db = loose_tables()
    written(db, state)
    assert canonical(PROGRAM.observe(db)) == canonical(state)
    found = audit(
        MACHINE, PROGRAM.parts(db), queries={"ORD-8": lambda: same_identity(db)}, keep=100
    )
    results = {one.clause: one.witnesses for one in found.clauses}
    for clause in ABOUT_STATES:
        assert Counter(results[clause.id]) == Counter(clause.witnesses(state)), clause.id
    db.close()


# Queries


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the queries of an audit, each with a plan that SQLite would follow."""
    file = tmp_path / "healthy.db"
    drive(file, HISTORY)
    statements: list[str] = []

    def note(_cursor: apsw.Cursor, sql: str, _bindings: object) -> bool:
        statements.append(sql)
        return True

    def hook(db: apsw.Connection) -> None:
        db.exec_trace = note

    monkeypatch.setattr(apsw, "connection_hooks", [hook])
    audited(file)
    monkeypatch.undo()
    return statements


def plan_of(db: apsw.Connection, query: str) -> list[tuple[object, object, str]]:
    """Return the number, the parent and the text of each part of a query's plan."""
    count = apsw.ext.query_info(db, query).bindings_count
    rows = db.execute(f"EXPLAIN QUERY PLAN {query}", (None,) * count)
    return [(number, parent, str(detail)) for number, parent, _, detail in rows]


def nested(found: list[tuple[object, object, str]]) -> list[str]:
    """Return the parts of a plan that are done once for each row of another."""
    inside, parts = set[object](), list[str]()
    for number, parent, detail in found:
        if parent in inside or "CORRELATED" in detail:
            inside.add(number)
            parts.append(detail)
    return parts


def test_queries_reach_their_rows_by_indexes(ran: list[str]) -> None:
    """No table is sorted, indexed for the query, or read for each row of another."""
    db = open_database(MEMORY)
    db.create_scalar_function("is_utf8", lambda *_: 1, 1)
    queries = {one for one in ran if re.match(r"\s*(SELECT|WITH)", one)}
    assert len(queries) > 30
    looked_up = 0
    for query in queries:
        if "pragma_" in query or "sqlite_schema" in query:
            continue
        found = plan_of(db, query)
        slow = [text for _, _, text in found if "AUTOMATIC" in text or "TEMP B-TREE" in text]
        assert slow == [], query
        assert [text for text in nested(found) if text.startswith("SCAN")] == [], query
        looked_up += sum(text.startswith("SEARCH") for text in nested(found))
    assert looked_up > 20
    db.close()


# What the tables should be


def test_every_reference_that_sqlite_finds_broken_is_reported(tmp_path: Path) -> None:
    """TAB-6 and TAB-7 together are ``PRAGMA foreign_key_check``."""
    file = tmp_path / "plumbline.db"
    drive(file, HISTORY)
    with tampering(file) as db:
        db.execute("DELETE FROM conversations WHERE conversation IN ('d', 'f')")
        db.execute("DELETE FROM summaries WHERE summary IN ('s3', 's1')")
        db.execute("DELETE FROM messages WHERE message IN ('m3', 'm4', 'z1')")
    db = apsw.Connection(str(file))
    wanted = Counter(row[0] for row in db.execute("PRAGMA foreign_key_check"))
    db.close()
    assert len(wanted) == 5
    results = {one.clause: one for one in audited(file, keep=100).audit.clauses}
    assert results["TAB-6"].count > 10
    found = (*results["TAB-6"].witnesses, *results["TAB-7"].witnesses)
    assert Counter(one.table for one in found) == wanted


def test_every_check_of_the_schema_is_found() -> None:
    """TAB-8."""
    wanted = sum(migration.count("CHECK (") for migration in MIGRATIONS)
    assert sum(len(table.checks) for table in plan(len(MIGRATIONS)).tables) == wanted
    assert wanted > 10
    text = "CREATE TABLE t (a CHECK (a IN (1, (2)))  -- it's CHECK (a)\n, CHECK (a <> 3))"
    assert list(checks(text)) == ["a IN (1, (2))", "a <> 3"]


def test_a_plan_has_the_tables_of_its_version() -> None:
    assert [one.name for one in plan(1).tables] == ["plumbline_meta", "requests"]
    lineage = next(one for one in plan(2).tables if one.name == "lineage")
    assert lineage.key == ("summary", "position")
    references = {(one.column, one.table, one.to, one.owns) for one in lineage.references}
    assert references == {
        ("summary", "summaries", "summary", True),
        ("message", "messages", "message", False),
        ("source", "summaries", "summary", False),
    }


# Versions


def test_a_machine_that_came_later_is_not_applicable(tmp_path: Path) -> None:
    file = tmp_path / "older.db"
    db = open_database(str(file), MIGRATIONS[:2])
    db.execute("INSERT INTO conversations (conversation) VALUES ('c')")
    db.close()
    (known,) = [one for one in audits.auditables() if one.name == "ordinals"]
    later = replace(known, name="later", since=3, clauses=(*known.clauses, ("LAT-1", "later")))
    found = audits.audit_file(file, known=(known, later))
    assert (found.version, found.audit.machine, found.audit.parts) == (2, "ordinals", 1)
    (result,) = [one for one in found.audit.clauses if one.clause == "LAT-1"]
    assert result.verdict is Verdict.NOT_APPLICABLE
    assert result.why == "the file has version 2, and the tables of later come with 3"
    assert found.audit.verdict is Verdict.HOLDS


def test_a_version_before_every_machine_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "first.db"
    open_database(str(file), MIGRATIONS[:1]).close()
    with pytest.raises(UnusableInput, match="version 1, which holds no machine"):
        audited(file)
