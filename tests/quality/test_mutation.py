"""Mutants are made by rule: each operator on an example, and sources that are left as they were."""

import ast
from collections.abc import Iterable

import pytest

from plumbline.mutation import python, sql, statements, tables
from plumbline.mutation.edits import Change, Edit, Source, applied


def source_of(text: str) -> Source:
    return Source("plumbline.example", "plumbline/example.py", text)


def made(text: str, operator: str, changes: Iterable[Change]) -> list[str]:
    """Return what an operator makes of a source."""
    return [applied(text, one.edits) for one in changes if one.operator == operator]


# Statements


@pytest.mark.parametrize(
    ("operator", "statement", "mistakes"),
    [
        ("compare", "SELECT a FROM t WHERE b = ?", ["SELECT a FROM t WHERE b <> ?"]),
        ("compare", "SELECT a FROM t WHERE b < ?", ["SELECT a FROM t WHERE b <= ?"]),
        ("compare", "SELECT a FROM t WHERE b IS NULL", ["SELECT a FROM t WHERE b IS NOT NULL"]),
        ("compare", "SELECT a FROM t WHERE b IS NOT NULL", ["SELECT a FROM t WHERE b IS NULL"]),
        ("compare", "SELECT a FROM t WHERE b IN (?)", ["SELECT a FROM t WHERE b NOT IN (?)"]),
        ("compare", "UPDATE t SET a = ? WHERE b = ?", ["UPDATE t SET a = ? WHERE b <> ?"]),
        (
            "term",
            "SELECT a FROM t WHERE b = ? AND (c OR d > 1)",
            [
                "SELECT a FROM t WHERE (b = ? OR 1) AND (c OR d > 1)",
                "SELECT a FROM t WHERE b = ? AND ((c OR d > 1) OR 1)",
                "SELECT a FROM t WHERE b = ? AND ((c AND 0) OR d > 1)",
                "SELECT a FROM t WHERE b = ? AND (c OR (d > 1 AND 0))",
            ],
        ),
        (
            "term",
            "SELECT a FROM t JOIN u ON t.a = u.a WHERE b BETWEEN ? AND ? ORDER BY a",
            [
                "SELECT a FROM t JOIN u ON (t.a = u.a OR 1) WHERE b BETWEEN ? AND ? ORDER BY a",
                "SELECT a FROM t JOIN u ON t.a = u.a WHERE (b BETWEEN ? AND ? OR 1) ORDER BY a",
            ],
        ),
        (
            "end",
            "DELETE FROM t WHERE a BETWEEN ? AND ?",
            [
                "DELETE FROM t WHERE a BETWEEN ? + 1 AND ?",
                "DELETE FROM t WHERE a BETWEEN ? AND ? - 1",
            ],
        ),
        ("constant", "SELECT a, -1 FROM t", ["SELECT a, -2 FROM t"]),
        ("constant", "SELECT a FROM t WHERE b = 'x'", ["SELECT a FROM t WHERE b = ''"]),
        ("constant", "SELECT 1 FROM t LIMIT 1", []),
        ("sign", "UPDATE t SET a = a + ?", ["UPDATE t SET a = a - ?"]),
        (
            "order",
            "SELECT a FROM t ORDER BY a, b DESC",
            ["SELECT a FROM t ORDER BY a DESC, b DESC", "SELECT a FROM t ORDER BY a, b"],
        ),
        ("unordered", "SELECT a FROM t ORDER BY a LIMIT ?", ["SELECT a FROM t  LIMIT ?"]),
        ("limit", "SELECT a FROM t LIMIT ?", ["SELECT a FROM t LIMIT -1 + 0 * ?"]),
        ("join", "SELECT a FROM t LEFT JOIN u", ["SELECT a FROM t JOIN u"]),
        ("or ignore", "INSERT OR IGNORE INTO t VALUES (?)", ["INSERT INTO t VALUES (?)"]),
        (
            "column",
            "SELECT a, count(b, c), d FROM t",
            ["SELECT count(b, c), a, d FROM t", "SELECT a, d, count(b, c) FROM t"],
        ),
        ("column", "SELECT ?, a FROM t", []),
        ("default", "SELECT coalesce(a, 0) FROM t", ["SELECT max(a, 0) FROM t"]),
        ("deferred", "BEGIN IMMEDIATE", ["BEGIN DEFERRED"]),
        ("half", "ROLLBACK TO a; RELEASE a", [" RELEASE a", "ROLLBACK TO a; "]),
        ("half", "RELEASE a", []),
    ],
)
def test_a_statement_is_made_wrong_by_rule(
    operator: str, statement: str, mistakes: list[str]
) -> None:
    found = [
        applied(statement, edits) for name, edits in sql.mistakes_in(statement) if name == operator
    ]
    assert found == mistakes


def test_what_is_no_sql_is_not_taken_for_it() -> None:
    with pytest.raises(ValueError, match="not SQL at 7"):
        sql.tokens_of("SELECT @ FROM t")


# Statements in a source

WRITTEN = '''
_FOUND = "SELECT standing FROM entries WHERE entry = ? AND "


def known(db):
    """SELECT nothing."""
    return db.execute(_FOUND + "place = ?"), db.execute(_FOUND + "number "
        "= ?")


def lacking(db, place):
    if place:
        missing = "place IS NULL"
    else:
        missing = "entry IS NULL"
    return db.execute(f"SELECT 1 FROM entries WHERE {missing} LIMIT 1")


def other(db, name):
    db.execute("SELECT 'a\\\\b' FROM entries")
    db.execute("SELECT " + name)
    return "SELECT is a word"
'''


def test_a_statement_is_read_however_it_is_put_together() -> None:
    said = [one.said for one in statements.statements_of(source_of(WRITTEN))]
    assert said == [
        "SELECT standing FROM entries WHERE entry = ? AND ",
        "SELECT standing FROM entries WHERE entry = ? AND place = ?",
        "SELECT standing FROM entries WHERE entry = ? AND number = ?",
        "SELECT 1 FROM entries WHERE place IS NULL LIMIT 1",
        "SELECT 1 FROM entries WHERE entry IS NULL LIMIT 1",
        "SELECT is a word",
    ]


def test_a_mistake_is_an_edit_where_the_statement_is_written() -> None:
    changes = [
        *statements.mistakes_of(source_of(WRITTEN), prepares=statements.Prepares()),
    ]
    compared = [
        (one.scope, one.edits[0].text, WRITTEN[one.edits[0].start - 8 : one.edits[0].end])
        for one in changes
        if one.operator == "sql compare"
    ]
    assert compared == [
        ("_FOUND", "<>", "E entry ="),
        ("known", "<>", ' "place ='),
        ("known", "<>", '       "='),
        ("lacking", " NOT", "place IS"),
        ("lacking", " NOT", "entry IS"),
    ]
    assert len({(one.operator, one.edits) for one in changes}) == len(changes)


def test_a_range_over_two_pieces_is_an_edit_of_each() -> None:
    text = 'def f(db):\n    db.execute("SELECT place FROM entries ORDER"\n        " BY place")\n'
    (change,) = [
        one
        for one in statements.mistakes_of(source_of(text), prepares=statements.Prepares())
        if one.operator == "sql unordered"
    ]
    assert applied(text, change.edits) == (
        'def f(db):\n    db.execute("SELECT place FROM entries "\n        "")\n'
    )


def test_what_sqlite_does_not_take_is_no_mutant() -> None:
    prepares = statements.Prepares()
    assert prepares("SELECT place FROM entries; BEGIN IMMEDIATE")
    assert not prepares("SELECT nothing FROM nowhere")
    assert not prepares("SELECT place FROM entries; SELEKT")
    text = 'def f(db):\n    db.execute("SELECT max(DISTINCT part) FROM parts")\n'
    assert list(statements.mistakes_of(source_of(text), prepares=lambda _: False)) == []


# Python


@pytest.mark.parametrize(
    ("operator", "body", "mistakes"),
    [
        ("compare", "return a == b", ["return a != b"]),
        ("compare", "return (a) <= b < c", ["return (a) < b < c", "return (a) <= b <= c"]),
        ("compare", "return a is not b", ["return a is b"]),
        ("compare", "return a not in b", ["return a in b"]),
        ("guard", "return b if a else c", ["return b if not (a) else c"]),
        ("guard", "return b if a is c else c", []),
        ("guard", "return [a for a in b if a]", ["return [a for a in b if not (a)]"]),
        ("term", "return a and b", ["return True and b", "return a and True"]),
        ("term", "return a or b", ["return False or b", "return a or False"]),
        ("and or", "return a and b and c", ["return a or b and c", "return a and b or c"]),
        ("not", "return not a", ["return a"]),
        ("sign", "return a + b", ["return a - b"]),
        ("sign", "return a - b", ["return a + b"]),
        ("sign", "return _FOUND + 'entry = ?'", []),
        ("constant", "return a[0], True", ["return a[1], True", "return a[0], False"]),
        ("constant", "return zip(a, strict=True)", []),
        ("constant", "assert a == 1, f'{a + 1}'", []),
        ("neighbours", "return (a, b, *c)", ["return (b, a, *c)"]),
        ("neighbours", "return (a, a)", []),
        ("neighbours", "return a in (b, c)", []),
        ("call", "return max(a, b)", ["return min(a, b)"]),
        ("call", "return sorted(a, key=b)", ["return list(a)"]),
        ("call", "return any(a)", ["return all(a)"]),
        ("drop", "a.append(b)", ["pass"]),
        ("drop", "a += b", ["pass"]),
        ("drop", "raise ValueError", ["pass"]),
        ("drop", "d = a", []),
        ("drop", "a = b", ["pass"]),
        ("drop", "if a: return b", ["pass"]),
        ("drop", "return b", []),
        ("drop", "assert_never(a)", []),
        ("drop", "yield a", []),
        ("block", "with transaction(a): b()", ["if True: b()"]),
        ("block", "with open(a) as b: b()", []),
        ("handler", "try: a()\n    except KeyError: b()", ["try: a()\n    except KeyError: raise"]),
        ("handler", "try: a()\n    except KeyError: raise", []),
    ],
)
def test_a_function_is_made_wrong_by_rule(operator: str, body: str, mistakes: list[str]) -> None:
    text = f"def f(a: Literal[1], b: int = 0, c=()) -> int:\n    {body}\n"
    found = made(text, f"python {operator}", python.mistakes_of(source_of(text)))
    assert found == [text.replace(body, wrong) for wrong in mistakes]


def test_another_member_is_taken_of_those_that_the_module_names() -> None:
    text = "def f():\n    return Reason.A, Reason.B, apsw.OPEN, Only.ONE\n"
    assert made(text, "python member", python.mistakes_of(source_of(text))) == [
        text.replace("Reason.A", "Reason.B"),
        text.replace("Reason.B", "Reason.A"),
    ]


def test_a_mistake_is_named_for_the_function_that_it_is_in() -> None:
    inner = "        def g():\n            return not self\n        return g\n"
    text = f"class A:\n    def f(self):\n{inner}"
    changes = [*python.mistakes_of(source_of(text))]
    assert [(one.scope, one.operator) for one in changes] == [("A.f.g", "python not")]


def test_places_are_counted_in_code_points() -> None:
    text = 'def f(a):\n    return "漢字😀", a == 1\n'
    source = source_of(text)
    (change,) = [one for one in python.mistakes_of(source) if one.operator == "python compare"]
    assert source.changed(change) == text.replace("==", "!=")
    assert source.line(change) == 2
    assert source.diff(change).splitlines() == [
        "--- plumbline/example.py",
        "+++ plumbline/example.py",
        "@@ -1,2 +1,2 @@",
        " def f(a):",
        '-    return "漢字😀", a == 1',
        '+    return "漢字😀", a != 1',
    ]


# Tables


@pytest.mark.parametrize(
    ("operator", "part", "mistakes"),
    [
        ("check", "a TEXT CHECK (a >= 1)", ["a TEXT CHECK (a > 1)"]),
        (
            "check",
            "a TEXT CHECK (a IS NULL OR a = 1)",
            [
                "a TEXT CHECK (a IS NOT NULL OR a = 1)",
                "a TEXT CHECK (a IS NULL AND a = 1)",
                "a TEXT CHECK (a IS NULL OR a <> 1)",
            ],
        ),
        ("check", "a TEXT CHECK (a IS NOT NULL)", ["a TEXT CHECK (a IS NULL)"]),
        (
            "choice",
            "a TEXT CHECK (a IN ('b', 'c'))",
            [
                "a TEXT CHECK (a IN ('c'))",
                "a TEXT CHECK (a IN ('b'))",
            ],
        ),
        ("default", "a INTEGER NOT NULL DEFAULT 0", ["a INTEGER NOT NULL DEFAULT 1"]),
        ("null", "a TEXT, text TEXT NOT NULL", ["a TEXT NOT NULL, text TEXT NOT NULL"]),
        ("null", "a INTEGER PRIMARY KEY", []),
        (
            "key",
            "a INTEGER, b TEXT, UNIQUE (a, b)",
            ["a INTEGER, b TEXT, UNIQUE (b)", "a INTEGER, b TEXT, UNIQUE (a)"],
        ),
        ("key", "a TEXT UNIQUE", []),
    ],
)
def test_a_table_is_made_to_forbid_too_much(operator: str, part: str, mistakes: list[str]) -> None:
    text = f'TABLES = """\nCREATE TABLE t ({part}) STRICT;\n"""\n'
    found = made(text, f"table {operator}", tables.mistakes_of(source_of(text)))
    assert found == [text.replace(part, wrong) for wrong in mistakes]


def test_a_unique_index_and_a_trigger_are_made_to_forbid_too_much() -> None:
    text = (
        'ONE = """\nCREATE TABLE t (a TEXT NOT NULL, b TEXT NOT NULL);\n"""\n'
        'TWO = """\nCREATE UNIQUE INDEX i ON t (a, b) WHERE a = \'x\';\n'
        "CREATE TRIGGER u BEFORE UPDATE ON t\nWHEN new.a < old.a\n"
        'BEGIN SELECT RAISE(ABORT, \'no = b\'); END;\n"""\n'
    )
    changes = [*tables.mistakes_of(source_of(text))]
    assert [(one.scope, one.operator) for one in changes] == [
        ("TWO", "table key"),
        ("TWO", "table key"),
        ("TWO", "table check"),
    ]
    assert "new.a <= old.a" in applied(text, changes[-1].edits)


def test_a_table_that_sqlite_does_not_take_is_no_mutant() -> None:
    text = 'T = """\nCREATE TABLE t (a TEXT PRIMARY KEY DEFAULT 0) WITHOUT ROWID;\n"""\n'
    changes = [*tables.mistakes_of(source_of(text))]
    assert [one.operator for one in changes] == ["table default"]
    broken = text.replace("WITHOUT ROWID", "WITHOUT ROW")
    assert [*tables.mistakes_of(source_of(broken))] == []


# Edits


def test_edits_are_made_from_behind_and_leave_the_rest_as_it_is() -> None:
    edits = (Edit(0, 1, "x"), Edit(2, 2, "-"), Edit(3, 4, ""))
    assert applied("abcd", edits) == "xb-c"
    assert applied("cd", (Edit(12, 13, "x"),), begins=12) == "xd"


def test_a_change_outside_of_functions_and_constants_has_no_name() -> None:
    source = source_of("print(1)\nX = 2\n")
    assert source.change("any", (Edit(0, 0, ""),)).scope == ""
    assert source.change("any", (Edit(13, 14, "3"),)).scope == "X"
    assert isinstance(source.tree, ast.Module)
