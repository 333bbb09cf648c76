"""The statements of SQL in the source of a module, and mistakes in them.

Theory of operation. A statement is written as a text constant, as a sum of constants, or as an
f-string with a constant in its hole; a constant may stand elsewhere in the module or the function.
Each way to put the pieces together is a ``Statement``, whose every code point knows where it stands
in the source; so a mistake in the statement is an edit of the source. One that SQLite does not take
is none: every statement that the edited constant is part of is prepared, in a database in memory
with the tables of this version.
"""

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import product

import apsw
import apsw.ext
from msgspec import Struct

from plumbline.database import MEMORY, open_database
from plumbline.mutation.edits import Change, Edit, Source
from plumbline.mutation.sql import mistakes_in

_PIECE = re.compile(r'[fF]?"((?:[^"\\]|\\.)*)"', re.DOTALL)
_BEGINS = re.compile(
    r"(SELECT|INSERT|UPDATE|DELETE|WITH|BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE)\b"
)
_HOLE = re.compile(r"\{(\w+)\}")


class Statement(Struct, frozen=True):
    """One statement, or several with ``;`` between, and where each code point stands."""

    said: str
    places: tuple[int, ...]

    def edits_of(self, edits: tuple[Edit, ...]) -> tuple[Edit, ...]:
        """Return edits of the statement as edits of the source; a range may fall into several."""
        return tuple(sorted(one for edit in edits for one in self._edits_of(edit)))

    def _edits_of(self, edit: Edit) -> Iterator[Edit]:
        if edit.start == edit.end:
            at = self._insertion(edit.start)
            yield Edit(at, at, edit.text)
            return
        text, start = edit.text, edit.start
        for here in range(edit.start + 1, edit.end + 1):
            if here == edit.end or self.places[here] != self.places[here - 1] + 1:
                yield Edit(self.places[start], self.places[here - 1] + 1, text)
                text, start = "", here

    def _insertion(self, at: int) -> int:
        """Return where an insertion goes: before the word that follows, else behind the last."""
        if at < len(self.said) and not self.said[at].isspace() and self.said[at] not in ",)":
            return self.places[at]
        return self.places[at - 1] + 1

    def edited(self, edits: tuple[Edit, ...]) -> str:
        """Return the statement as it is after edits of the source."""
        inserted = {one.start: one.text for one in edits}
        ends = {one.end: one.text for one in edits if one.start == one.end}
        said: list[str] = []
        for place, char in zip(self.places, self.said, strict=True):
            said.append(inserted.pop(place, ""))
            said += [] if any(one.start <= place < one.end for one in edits) else [char]
            if place + 1 not in self.places:
                inserted.pop(place + 1, None)
                said.append(ends.pop(place + 1, ""))
        return "".join(said)

    def holds(self, edits: tuple[Edit, ...]) -> bool:
        """Tell whether some edit is inside this statement."""
        mine = {*self.places}
        return any(one.start in mine or one.start - 1 in mine for one in edits)


Pieces = tuple[tuple[str, int], ...]
"""Code points and where they stand."""


def statements_of(source: Source) -> list[Statement]:
    """Return every statement of a module, in the order of the source."""
    return [
        Statement("".join(char for char, _ in one), tuple(place for _, place in one))
        for node, named in _texts(source)
        for one in _readings(source, node, named)
        if _BEGINS.match("".join(char for char, _ in one))
    ]


def mistakes_of(source: Source, *, prepares: Callable[[str], bool]) -> Iterator[Change]:
    """Yield every mistake in a statement of the module that SQLite takes, as ``prepares`` tells."""
    statements = [one for one in statements_of(source) if prepares(one.said)]
    seen: set[tuple[str, tuple[Edit, ...]]] = set()
    for statement in statements:
        for operator, edits in mistakes_in(statement.said):
            placed = statement.edits_of(edits)
            if (operator, placed) in seen:
                continue
            seen.add((operator, placed))
            others = [one.edited(placed) for one in statements if one.holds(placed)]
            if all(prepares(one) for one in others):
                yield source.change(f"sql {operator}", placed)


class Prepares:
    """Tells whether SQLite takes statements, in a database with the tables of this version."""

    def __init__(self) -> None:
        self._db = open_database(MEMORY)

    def __call__(self, statements: str) -> bool:
        """Prepare statements without running them."""
        rest: str | None = statements
        while rest is not None:
            try:
                rest = apsw.ext.query_info(self._db, rest).query_remaining
            except (apsw.Error, apsw.ExecTraceAbort):
                return False
        return True


Named = dict[str, tuple[ast.expr, ...]]
"""The constant texts that a name stands for."""


def _texts(source: Source) -> Iterator[tuple[ast.expr, Named]]:
    """Yield the outermost texts of the module, with the names that are known there."""
    yield from _texts_of(source.tree.body, _named(source.tree.body))


def _texts_of(body: list[ast.stmt], known: Named) -> Iterator[tuple[ast.expr, Named]]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield from _texts_of(node.body, {**known, **_named(ast.walk(node))})
        elif not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Constant):
            yield from ((one, known) for one in _outermost(node))


def _named(nodes: Iterable[ast.AST]) -> Named:
    found: Named = {}
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            found[name] = (*found.get(name, ()), node.value) if _is_text(node.value) else ()
    return found


def _is_text(node: ast.AST) -> bool:
    sums = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add)
    constant = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return sums or constant or isinstance(node, ast.JoinedStr)


def _outermost(node: ast.AST) -> Iterator[ast.expr]:
    """Yield the texts in a node that are no part of a greater one."""
    if isinstance(node, ast.expr) and _is_text(node):
        yield node
        return
    for child in ast.iter_child_nodes(node):
        yield from _outermost(child)


def _readings(source: Source, node: ast.expr, named: Named) -> Iterator[Pieces]:
    """Yield each way to put a text together; none when a part of it is not constant."""
    match node:
        case ast.BinOp(left=left, right=right):
            sides = (_readings(source, one, named) for one in (left, right))
            yield from (one + other for one, other in product(*sides))
        case ast.Name(id=name):
            for value in named.get(name, ()):
                yield from _readings(source, value, named)
        case ast.Constant() | ast.JoinedStr():
            yield from _filled(source, _written(source, node), named)
        case _:
            return


def _written(source: Source, node: ast.expr) -> Pieces:
    """Return the code points of a text as it is written; nothing for one with escapes."""
    start, end = source.span(node)
    found = [*_PIECE.finditer(source.text, start, end)]
    if any("\\" in one[1] for one in found):
        return ()
    return tuple(
        (source.text[place], place) for one in found for place in range(one.start(1), one.end(1))
    )


def _filled(source: Source, text: Pieces, named: Named) -> Iterator[Pieces]:
    hole = _HOLE.search("".join(char for char, _ in text))
    if hole is None:
        yield text
        return
    for value in named.get(hole[1], ()):
        for inner in _readings(source, value, named):
            yield from _filled(source, text[: hole.start()] + inner + text[hole.end() :], named)
