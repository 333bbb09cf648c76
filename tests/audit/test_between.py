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
from plumbline.audit import audit_file, compare_files, same_identity
from plumbline.database import MEMORY, open_database
from plumbline.intake import PROGRAM
from plumbline.schema import MIGRATIONS
from plumbline.tables import checks, plan, table_clauses
from plumbline_models import anchoring, compaction, intake, ordinals, tokens
from plumbline_models.contract import StateClause
from plumbline_models.intake import (
    Digest,
    Entry,
    EntryId,
    Log,
    Part,
    Place,
    SourceId,
    Standing,
    State,
)
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
    Summary,
    SummaryId,
    SummaryItem,
)
from plumbline_models.tokens import Count, Ledger
from plumbline_spec.audit import audit, size_bytes
from plumbline_spec.codec import canonical
from plumbline_spec.errors import UnusableInput
from plumbline_spec.report import Verdict
from tests.audit.planting import HISTORY, drive, tampering

MACHINE = intake.machine()
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


tokens_of_one = st.sampled_from([-1, 0, 1, 2, 500])
small = st.integers(0, 2)
parts = st.builds(Part, kind=st.just("text"), start=small, length=small, name=st.none() | names)


@st.composite
def ledgers(draw: st.DrawFn, at: Conversation) -> Ledger:
    """Draw a ledger that may lack counts."""
    stored: list[Item] = [MessageItem(id=one.id) for one in at.messages]
    stored += [SummaryItem(id=one.id) for one in at.summaries]
    kept = [item for item in stored if draw(st.booleans())]
    return Ledger(
        conversation=at.id,
        total=draw(tokens_of_one),
        counts=tuple(Count(item=item, tokens=draw(tokens_of_one)) for item in kept),
    )


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    """Draw an entry of anything."""
    return Entry(
        source=SourceId(draw(names)),
        entry=draw(st.none() | st.builds(EntryId, names)),
        place=draw(st.none() | st.builds(Place, small)),
        standing=draw(st.sampled_from(Standing)),
        digest=Digest(draw(names)),
        role=draw(names),
        message=draw(st.none() | st.builds(MessageId, names)),
        text=draw(st.none() | names),
        time=draw(st.none() | names),
        parts=tuple(draw(st.lists(parts, max_size=2))),
    )


@st.composite
def states(draw: st.DrawFn) -> State:
    """Draw two conversations; a summary of both has the same sources in both."""
    one, other = draw(conversations("c")), draw(conversations("d"))
    known = {summary.id: summary for summary in one.summaries}
    shared = tuple(known.get(summary.id, summary) for summary in other.summaries)
    both = (one, replace(other, summaries=shared))
    logs = [
        Log(conversation=at.id, entries=tuple(draw(st.lists(entries(), max_size=3)))) for at in both
    ]
    ledger = tokens.State(
        lists=ordinals.State(conversations=both), ledgers=tuple(draw(ledgers(at)) for at in both)
    )
    return State(ledger=ledger, logs=tuple(log for log in logs if log.entries))


def written(db: apsw.Connection, state: State) -> None:
    """Write a state into tables without constraints."""
    for at, ledger in zip(state.ledger.lists.conversations, state.ledger.ledgers, strict=True):
        write_conversation(db, at, ledger)
    lineages = {one.id: one for at in state.ledger.lists.conversations for one in at.summaries}
    for summary in lineages.values():
        for place, source in enumerate(summary.sources, 1):
            row = (summary.id, place, *named(source))
            db.execute("INSERT INTO lineage VALUES (?, ?, ?, ?)", row)
    for log in state.logs:
        for one in log.entries:
            write_entry(db, log.conversation, one)


def write_conversation(db: apsw.Connection, at: Conversation, ledger: Ledger) -> None:
    """Write what a conversation holds, each stored row with the next count that is its own."""
    counts = list(ledger.counts)

    def count(item: Item) -> int | None:
        return counts.pop(0).tokens if counts and counts[0].item == item else None

    row = (at.id, int(at.next_sequence), len(at.context), ledger.total)
    db.execute("INSERT INTO conversations VALUES (?, ?, ?, ?)", row)
    for one in at.messages:
        stored = (one.id, at.id, int(one.sequence), one.text, count(MessageItem(id=one.id)))
        db.execute("INSERT INTO messages VALUES (?, ?, ?, ?, ?)", stored)
    for summary in at.summaries:
        tokens = count(SummaryItem(id=summary.id))
        made = (summary.id, at.id, int(summary.depth), summary.text, tokens)
        db.execute("INSERT INTO summaries VALUES (?, ?, ?, ?, ?)", made)
    for place, entry in enumerate(at.context, 1):
        standing = (at.id, place, *named(entry.item))
        db.execute("INSERT INTO context VALUES (?, ?, ?, ?)", standing)
    for loss in at.losses:
        lost = (at.id, int(loss.position), loss.cause.value, *named(loss.item))
        db.execute("INSERT INTO losses VALUES (?, ?, ?, ?, ?)", lost)


def write_entry(db: apsw.Connection, at: ConversationId, one: Entry) -> None:
    place = None if one.place is None else int(one.place)
    row = (at, one.source, one.entry, place, one.standing.value, one.digest, one.role)
    said = (one.message, one.text, one.time)
    db.execute("INSERT INTO entries VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*row, *said))
    number = db.last_insert_rowid()
    for rank, part in enumerate(one.parts):
        span = (number, rank, part.kind, part.start, part.length, part.call, part.name)
        db.execute("INSERT INTO parts VALUES (?, ?, ?, ?, ?, ?, ?)", span)


def named(one: Item) -> tuple[str | None, str | None]:
    return (one.id, None) if isinstance(one, MessageItem) else (None, one.id)


def loose_tables() -> apsw.Connection:
    """Return a database with the columns of every machine and nothing that forbids anything."""
    db = apsw.Connection(MEMORY)
    db.execute(
        "CREATE TABLE conversations (conversation, next_sequence, items, tokens);"
        "CREATE TABLE messages (message, conversation, sequence, text, tokens);"
        "CREATE TABLE summaries (summary, conversation, depth, text, tokens);"
        "CREATE TABLE entries (number INTEGER PRIMARY KEY, conversation, source, entry, place,"
        " standing, digest, role, message, text, time);"
        "CREATE TABLE parts (number, part, kind, start, length, call, name);"
        "CREATE TABLE lineage (summary, position, message, source);"
        "CREATE TABLE context (conversation, position, message, summary);"
        "CREATE TABLE losses (conversation, position, cause, message, summary)"
    )
    return db


@given(states())
def test_an_audit_part_by_part_says_what_the_model_says_of_the_whole(state: State) -> None:
    """ORD-1 to ORD-9, TOK-1 to TOK-6, INT-1 to INT-4; ORD-8 by a query, every row of it."""
    db = loose_tables()
    written(db, state)
    assert canonical(PROGRAM.observe(db)) == canonical(state)
    assert size_bytes(state) == len(canonical(state))
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
    audit_file(file)
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
    """No table is sorted, indexed for the query, or read for each row of another.

    To count the log by keys once more its rows are sorted by key, as every GROUP BY sorts.
    """
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
        counting = "FROM log WHERE" in query and "GROUP BY key" in query
        assert slow == (["USE TEMP B-TREE FOR GROUP BY"] if counting else []), query
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
    assert len(wanted) == 7
    results = {one.clause: one for one in audit_file(file, keep=100).audit.clauses}
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
    (known,) = [one for family in audits.families() for one in family if one.name == "ordinals"]
    later = replace(known, name="later", since=3, clauses=(*known.clauses, ("LAT-1", "later")))
    found = audits.audit_file(file, known=((known, later),))
    assert (found.version, found.audit.machine, found.audit.parts) == (2, "ordinals", 1)
    (result,) = [one for one in found.audit.clauses if one.clause == "LAT-1"]
    assert result.verdict is Verdict.NOT_APPLICABLE
    assert result.why == "the file has version 2, and the tables of later come with 3"
    assert found.audit.verdict is Verdict.HOLDS


@pytest.mark.parametrize("version", [2, 3, 4, 5, 6])
def test_every_version_is_audited_once_as_the_topmost_machine(tmp_path: Path, version: int) -> None:
    file = tmp_path / "some.db"
    db = open_database(str(file), MIGRATIONS[:version])
    db.execute("INSERT INTO conversations (conversation) VALUES ('c')")
    db.close()
    found = audit_file(file).audit
    tops = {2: "ordinals", 3: "tokens", 4: "intake", 5: "compaction", 6: "compaction and anchoring"}
    assert found.machine == tops[version]
    assert found.verdict is Verdict.HOLDS
    seen = [one.clause for one in found.clauses]
    assert len(set(seen)) == len(seen)
    machines = (ordinals.machine(), tokens.machine(), MACHINE, compaction.machine())
    every = {clause.id for one in machines for clause in one.clauses}
    every |= {clause.id for clause in anchoring.machine().clauses}
    assert set(seen) == every | {one.id for one in table_clauses()}
    reasons = {one.clause: one.why for one in found.clauses}
    later = {"TOK-1": 3, "INT-1": 4, "TAB-11": 4, "CMP-1": 5, "ANC-1": 6}
    for clause, since in later.items():
        assert (f"come with {since}" in reasons[clause]) == (version < since), clause


def test_two_versions_are_compared_as_the_older_one(tmp_path: Path) -> None:
    older, newer = tmp_path / "older.db", tmp_path / "newer.db"
    open_database(str(older), MIGRATIONS[:3]).close()
    open_database(str(newer)).close()
    assert compare_files(older, newer).comparison.machine == "tokens"


def test_a_version_before_every_machine_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "first.db"
    open_database(str(file), MIGRATIONS[:1]).close()
    with pytest.raises(UnusableInput, match="version 1, which holds no machine"):
        audit_file(file)
