"""The clauses of the tables: what rows keep that no abstract state shows (``spec/tables.md``).

Theory of operation. An abstraction function shows what tables mean; it cannot show a stored sum, a
position that nothing reads, a row that belongs to nobody, or a table without its constraints. Each
clause here is a query over indexes that yields a witness for every row that breaks it. What tables,
columns, keys, references and checks there should be is read from a fresh database in memory with
the same migrations, so a further migration needs no word here.

SQLite believes its schema: it looks for one row by a unique key and for no NULL in a NOT NULL
column, whatever the table holds. So a key that should be unique is looked up as a range here, and
NULL is asked for by its type.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

import apsw
from msgspec import Struct

from plumbline.damaged import MOST, Value, as_number, as_text, every_row
from plumbline.database import MEMORY, open_database
from plumbline.schema import MIGRATIONS
from plumbline_models.contract import Witness

ORDINALS, TOKENS, INTAKE, COMPACTION, ANCHORING = 2, 3, 4, 5, 6
"""The migrations that make the tables of these machines."""

SHOWN = 40
"""Characters of a value that a witness shows."""
MAX_LINES = 1_000_000
"""Lines of ``PRAGMA integrity_check``, which otherwise ends after a hundred."""

Find: TypeAlias = Callable[[apsw.Connection, "Plan"], Iterator[Witness]]


class TableClause(Struct, frozen=True, kw_only=True):
    """A clause about the rows of Plumbline's tables."""

    id: str
    title: str
    sentence: str
    """The normative sentence; ``spec/tables.md`` has the same one."""
    since: int
    """The migration from which there is something to judge."""
    find: Find


class Reference(Struct, frozen=True, kw_only=True):
    """A foreign key of one column."""

    column: str
    table: str
    to: str
    owns: bool
    """Whether it says to what the row belongs: it is never NULL."""


class TablePlan(Struct, frozen=True, kw_only=True):
    """What a table should be."""

    name: str
    key: tuple[str, ...]
    columns: tuple[tuple[str, str, bool], ...]
    """Name, type, and whether NULL is forbidden."""
    checks: tuple[str, ...]
    """The expressions of its CHECK constraints."""
    references: tuple[Reference, ...]


class Plan(Struct, frozen=True, kw_only=True):
    """What a database of one version should be."""

    version: int
    objects: dict[str, tuple[str, str]]
    """Type and text of each table, index and trigger, by its name."""
    tables: tuple[TablePlan, ...]


def table_clauses() -> tuple[TableClause, ...]:
    """Return the clauses of the tables; a further machine adds those of its own columns."""
    return (
        TableClause(
            id="TAB-1",
            title="position",
            sentence="A row of `context` MUST stand at the sequence number of its message, or at"
            " the least position in the lineage of its summary.",
            since=ORDINALS,
            find=_context_positions,
        ),
        TableClause(
            id="TAB-2",
            title="position in a lineage",
            sentence="A row of `lineage` MUST stand at the sequence number of its message, or at"
            " the least position in the lineage of its source.",
            since=ORDINALS,
            find=_lineage_positions,
        ),
        TableClause(
            id="TAB-3",
            title="position of a loss",
            sentence="A row of `losses` MUST stand at the position of its item, or at the one at"
            " which the item was forgotten.",
            since=ORDINALS,
            find=_loss_positions,
        ),
        TableClause(
            id="TAB-4",
            title="length",
            sentence="The `items` of a conversation MUST be the number of its rows in `context`.",
            since=ORDINALS,
            find=_lengths,
        ),
        TableClause(
            id="TAB-5",
            title="issued",
            sentence="The numbers below the `next_sequence` of a conversation MUST be the numbers"
            " of its stored and its forgotten messages, each of them once.",
            since=ORDINALS,
            find=_issued,
        ),
        TableClause(
            id="TAB-6",
            title="owner",
            sentence="A row MUST belong to a row that is stored.",
            since=1,
            find=_owners,
        ),
        TableClause(
            id="TAB-7",
            title="reference",
            sentence="A row that refers to another MUST refer to one that is stored.",
            since=1,
            find=_others,
        ),
        TableClause(
            id="TAB-8",
            title="values",
            sentence="A value MUST have the type of its column and keep the checks of its table.",
            since=1,
            find=_values,
        ),
        TableClause(
            id="TAB-9",
            title="schema",
            sentence="Tables, indexes and triggers MUST be those of the migrations.",
            since=1,
            find=_schema,
        ),
        TableClause(
            id="TAB-10",
            title="file",
            sentence="`PRAGMA integrity_check` MUST find nothing.",
            since=1,
            find=_integrity,
        ),
        TableClause(
            id="TAB-11",
            title="number of an entry",
            sentence="The numbers of all entries MUST be those from 1 on, each of them once and"
            " none left out.",
            since=INTAKE,
            find=_entry_numbers,
        ),
        TableClause(
            id="TAB-12",
            title="number of a part",
            sentence="The numbers of the parts of an entry MUST be those from 0 on, none left out.",
            since=INTAKE,
            find=_part_numbers,
        ),
    )


def plan(version: int, migrations: tuple[str, ...] = MIGRATIONS) -> Plan:
    """Return what the migrations up to a version make."""
    db = open_database(MEMORY, migrations[:version])
    try:
        objects = dict(_objects(db))
        names = [name for name, (kind, _) in objects.items() if kind == "table"]
        tables = tuple(_table(db, name, objects[name][1]) for name in names)
        return Plan(version=version, objects=objects, tables=tables)
    finally:
        db.close()


def _objects(db: apsw.Connection) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield the objects of a schema; what ANALYZE keeps is not a part of it."""
    query = "SELECT name, type, sql FROM sqlite_schema WHERE name NOT GLOB 'sqlite_stat[0-9]'"
    for name, kind, sql in every_row(db, query):
        yield as_text(name), (as_text(kind), as_text(sql))


def _table(db: apsw.Connection, name: str, sql: str) -> TablePlan:
    query = 'SELECT name, type, "notnull", pk FROM pragma_table_info(?)'
    columns = [
        (as_text(column), as_text(kind), bool(notnull), as_number(place))
        for column, kind, notnull, place in every_row(db, query, (name,))
    ]
    key = tuple(one for _, one in sorted((place, one) for one, _, _, place in columns if place))
    needed = {column for column, _, notnull, _ in columns if notnull} | {*key}
    return TablePlan(
        name=name,
        key=key,
        columns=tuple((column, kind, column in needed) for column, kind, _, _ in columns),
        checks=tuple(checks(sql)),
        references=tuple(_references(db, name, needed)),
    )


def _references(db: apsw.Connection, name: str, needed: set[str]) -> Iterator[Reference]:
    query = 'SELECT "from", "table" FROM pragma_foreign_key_list(?) ORDER BY id DESC'
    for column, parent in every_row(db, query, (name,)):
        keys = "SELECT name FROM pragma_table_info(?) WHERE pk = 1"
        ((key,),) = every_row(db, keys, (parent,))
        yield Reference(
            column=as_text(column),
            table=as_text(parent),
            to=as_text(key),
            owns=as_text(column) in needed,
        )


def checks(sql: str) -> Iterator[str]:
    """Yield the expressions of the CHECK constraints in the text of a CREATE TABLE."""
    plain = re.sub(r"--[^\n]*", "", sql)
    for found in re.finditer(r"\bCHECK \(", plain):
        depth, end = 1, found.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(plain[end], 0)
            end += 1
        yield plain[found.end() : end - 1]


# Clauses


def _context_positions(db: apsw.Connection, _: Plan) -> Iterator[Witness]:
    query = """
        SELECT conversation, position, message, summary, given FROM (
            SELECT c.*, iif(c.message IS NULL,
                (SELECT min(l.position) FROM lineage AS l WHERE l.summary = c.summary),
                coalesce(
                    (SELECT m.sequence FROM messages AS m
                        WHERE m.message BETWEEN c.message AND c.message
                        AND m.conversation = c.conversation AND m.sequence = c.position),
                    (SELECT min(m.sequence) FROM messages AS m
                        WHERE m.message BETWEEN c.message AND c.message
                        AND m.conversation = c.conversation))) AS given
            FROM context AS c)
        WHERE given IS NOT NULL AND given IS NOT position
    """
    for conversation, position, message, summary, given in every_row(db, query):
        row = f"conversation {_show(conversation)}, position {_show(position)}"
        found = f"{_item(message, summary)} stands here, its lineage gives {_show(given)}"
        yield Witness(table="context", row=row, found=found)


def _lineage_positions(db: apsw.Connection, _: Plan) -> Iterator[Witness]:
    query = """
        SELECT summary, position, message, source, given FROM (
            SELECT c.*, iif(c.message IS NULL,
                (SELECT min(l.position) FROM lineage AS l WHERE l.summary = c.source),
                coalesce(
                    (SELECT m.sequence FROM messages AS m
                        WHERE m.message BETWEEN c.message AND c.message
                        AND m.sequence = c.position),
                    (SELECT min(m.sequence) FROM messages AS m
                        WHERE m.message BETWEEN c.message AND c.message
                        AND m.conversation IN
                            (SELECT conversation FROM summaries AS s WHERE s.summary = c.summary)
                    ))) AS given
            FROM lineage AS c)
        WHERE given IS NOT NULL AND given IS NOT position
    """
    for summary, position, message, source, given in every_row(db, query):
        row = f"summary {_show(summary)}, position {_show(position)}"
        found = f"{_item(message, source)} stands here, its lineage gives {_show(given)}"
        yield Witness(table="lineage", row=row, found=found)


def _loss_positions(db: apsw.Connection, _: Plan) -> Iterator[Witness]:
    query = """
        SELECT conversation, position, cause, message, summary, given FROM (
            SELECT c.*, iif(c.message IS NULL,
                (SELECT min(l.position) FROM lineage AS l WHERE l.summary = c.summary),
                coalesce(
                    (SELECT m.sequence FROM messages AS m
                        WHERE m.message BETWEEN c.message AND c.message
                        AND m.conversation = c.conversation),
                    (SELECT f.position FROM losses AS f WHERE f.cause = 'forgotten'
                        AND f.message = c.message AND f.conversation = c.conversation))) AS given
            FROM losses AS c)
        WHERE given IS NOT NULL AND given IS NOT position
    """
    for conversation, position, cause, message, summary, given in every_row(db, query):
        row = f"conversation {_show(conversation)}, position {_show(position)}, {_show(cause)}"
        found = f"{_item(message, summary)} stood here, its position is {_show(given)}"
        yield Witness(table="losses", row=row, found=found)


def _lengths(db: apsw.Connection, _: Plan) -> Iterator[Witness]:
    query = """
        SELECT conversation, items, length FROM (
            SELECT c.*, (SELECT count(*) FROM context AS x WHERE x.conversation = c.conversation)
                AS length
            FROM conversations AS c)
        WHERE items IS NOT length
    """
    for conversation, items, length in every_row(db, query):
        found = f"items {_show(items)}, the context has {_show(length)}"
        row = f"conversation {_show(conversation)}"
        yield Witness(table="conversations", row=row, found=found)


def _issued(db: apsw.Connection, _: Plan) -> Iterator[Witness]:
    for conversation, following in every_row(
        db, "SELECT conversation, next_sequence FROM conversations ORDER BY conversation"
    ):
        numbers = every_row(
            db,
            "SELECT sequence, message FROM messages WHERE conversation = ?1 UNION ALL"
            " SELECT position, message FROM losses WHERE conversation = ?1"
            " AND cause = 'forgotten' ORDER BY 1",
            (conversation,),
        )
        for table, row, found in _misnumbered(numbers, as_number(following)):
            whose = f"conversation {_show(conversation)}, {row}"
            yield Witness(table=table, row=whose, found=found)


def _misnumbered(
    numbers: Iterable[tuple[Value, ...]], following: int
) -> Iterator[tuple[str, str, str]]:
    """Yield the table, the row and what is wrong for each number that is missing or too many."""
    expected = 1
    for value, message in numbers:
        number = as_number(value)
        if number < expected:
            row = f"message {_show(message)}"
            yield "messages", row, f"sequence {_show(value)}, at least {expected} expected"
            continue
        if number > expected:
            yield "messages", _run(expected, number), "issued, neither stored nor forgotten"
        expected = number + 1
    if expected < following:
        yield "messages", _run(expected, following), "issued, neither stored nor forgotten"
    if expected > following:
        row = f"next sequence {following}"
        yield "conversations", row, f"sequence {expected - 1} was issued"


def _run(first: int, stop: int) -> str:
    return f"sequence {first}" if stop - first == 1 else f"sequences {first} to {stop - 1}"


def _owners(db: apsw.Connection, wanted: Plan) -> Iterator[Witness]:
    yield from _dangling(db, wanted, owns=True)


def _others(db: apsw.Connection, wanted: Plan) -> Iterator[Witness]:
    yield from _dangling(db, wanted, owns=False)


def _dangling(db: apsw.Connection, wanted: Plan, *, owns: bool) -> Iterator[Witness]:
    for table in wanted.tables:
        for one in [reference for reference in table.references if reference.owns is owns]:
            column = f't."{one.column}"'
            same = f'SELECT 1 FROM {one.table} AS p WHERE p."{one.to}" = {column}'  # noqa: S608
            joined = f"{column} IS NULL OR" if owns else f"{column} IS NOT NULL AND"
            names = ", ".join(f't."{name}"' for name in (*table.key, one.column))
            query = f"SELECT {names} FROM {table.name} AS t WHERE {joined} NOT EXISTS ({same})"  # noqa: S608 - names of our own tables
            for *key, value in every_row(db, query):
                found = f"{one.column} {_show(value)} is not in {one.table}"
                yield Witness(table=table.name, row=_key(table, key), found=found)


def _values(db: apsw.Connection, wanted: Plan) -> Iterator[Witness]:
    """Read each table once; a row says by itself which of the rules it breaks."""
    db.create_scalar_function("is_utf8", _is_utf8, 1, deterministic=True)
    for table in wanted.tables:
        rules = [*(rule for column in table.columns for rule in _rules(*column)), *_checked(table)]
        names = [f't."{name}"' for name, _, _ in table.columns]
        flags = [f"iif({rule.broken}, {rule.kind}, NULL)" for rule in rules]
        query = (
            f"SELECT {', '.join((*names, *flags))} FROM {table.name} AS t"  # noqa: S608 - as above
            f" WHERE {' OR '.join(f'({rule.broken})' for rule in rules)}"
        )
        for row in every_row(db, query):
            values = dict(zip([name for name, _, _ in table.columns], row, strict=False))
            key = _key(table, [values[name] for name in table.key])
            for rule, kind in zip(rules, row[len(names) :], strict=True):
                if kind is not None:
                    found = rule.wanted
                    if rule.column:
                        value = f"{as_text(kind)} {_show(values[rule.column])}"
                        found = f"{rule.column} is {value}, {rule.wanted}"
                    yield Witness(table=table.name, row=key, found=found)


class _Rule(Struct, frozen=True):
    """A condition that no row fulfils, in SQL, and what is wanted instead."""

    column: str
    """"" for a rule about several."""
    broken: str
    wanted: str

    @property
    def kind(self) -> str:
        """What the column holds, in SQL; never NULL."""
        return f'typeof(t."{self.column}")' if self.column else "'row'"


def _rules(column: str, kind: str, needed: bool) -> Iterator[_Rule]:  # noqa: FBT001 - a column
    name, stored = f't."{column}"', kind.lower()
    other = f"typeof({name}) NOT IN ('{stored}', 'null')"
    if needed:
        yield _Rule(column, f"typeof({name}) = 'null'", "a value expected")
    if stored == "integer":
        most = f"integer within ±{MOST} expected"
        yield _Rule(column, f"{other} OR {name} NOT BETWEEN -{MOST} AND {MOST}", most)
    else:
        yield _Rule(column, other, f"{stored} expected")
    if stored == "text":
        odd = f"typeof({name}) = 'text' AND NOT is_utf8(CAST({name} AS BLOB))"
        yield _Rule(column, odd, "UTF-8 expected")


def _checked(table: TablePlan) -> Iterator[_Rule]:
    for check in table.checks:
        yield _Rule("", f"({check}) IS FALSE", f"CHECK ({check}) fails")


def _is_utf8(*values: object) -> int:
    try:
        texts = [value.decode() for value in values if isinstance(value, bytes)]
    except UnicodeDecodeError:
        return 0
    return int(len(texts) == len(values))


def _schema(db: apsw.Connection, wanted: Plan) -> Iterator[Witness]:
    found = dict(_objects(db))
    for name, (kind, sql) in wanted.objects.items():
        if name not in found:
            yield Witness(table="sqlite_schema", row=f"{kind} {name}", found="is missing")
        elif found[name] != (kind, sql):
            yield Witness(
                table="sqlite_schema", row=f"{kind} {name}", found=f"is {_show(found[name][1])}"
            )
    for name in sorted(found.keys() - wanted.objects.keys()):
        row = f"{found[name][0]} {name}"
        yield Witness(table="sqlite_schema", row=row, found="is not Plumbline's")


def _integrity(db: apsw.Connection, _: Plan) -> Iterator[Witness]:
    # SQLite skips CHECK constraints in a file that was opened for reading; TAB-8 has them.
    db.pragma("ignore_check_constraints", 1)
    for (line,) in every_row(db, f"PRAGMA integrity_check({MAX_LINES})"):
        if line != "ok":
            yield Witness(row="the file", found=as_text(line))


def _entry_numbers(db: apsw.Connection, _: Plan) -> Iterator[Witness]:
    query = """
        SELECT number, conversation, before FROM (
            SELECT e.number, e.conversation,
                (SELECT max(x.number) FROM entries AS x WHERE x.number < e.number) AS before
            FROM entries AS e)
        WHERE coalesce(before, 0) <> number - 1
    """
    for value, conversation, before in every_row(db, query):
        number, first = as_number(value), as_number(before) + 1
        row = f"conversation {_show(conversation)}, number {_show(value)}"
        found = f"{_numbers(first, number)} not there" if number > first else "1 or more expected"
        yield Witness(table="entries", row=row, found=found)


def _part_numbers(db: apsw.Connection, _: Plan) -> Iterator[Witness]:
    query = """
        SELECT number, part FROM parts AS p WHERE part <> 0 AND NOT EXISTS
            (SELECT 1 FROM parts AS x WHERE x.number = p.number AND x.part = p.part - 1)
    """
    for number, part in every_row(db, query):
        row = f"number {_show(number)}, part {_show(part)}"
        yield Witness(table="parts", row=row, found="the part before it is not there")


def _numbers(first: int, stop: int) -> str:
    return f"number {first} is" if stop - first == 1 else f"numbers {first} to {stop - 1} are"


def _key(table: TablePlan, values: Iterable[Value]) -> str:
    pairs = zip(table.key, values, strict=True)
    return ", ".join(f"{column} {_show(value)}" for column, value in pairs)


def _item(message: Value, summary: Value) -> str:
    return f"summary {_show(summary)}" if message is None else f"message {_show(message)}"


def _show(value: Value) -> str:
    """Return a value for a witness: short, and odd bytes and characters escaped."""
    shown = "NULL" if value is None else as_text(value)
    shown = shown if len(shown) <= SHOWN else shown[: SHOWN - 1] + "…"
    return shown if shown.isprintable() and shown else repr(shown)
