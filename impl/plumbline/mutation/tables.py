"""Mistakes in the tables that forbid too much; the others no event can feel.

A constraint that is missing or too weak is never met by a right implementation, so no history
tells it: TAB-9 of an audit does. One that forbids more, or a default that is another one, stops or
changes what events do.

========  ==================================================================
operator  what it does
========  ==================================================================
check     flips a comparison of a CHECK or of a trigger's WHEN; ``AND`` for ``OR``
choice    leaves out one of the values that a CHECK allows
default   adds one to a DEFAULT
null      forbids NULL in a column
key       leaves out a column of a key
========  ==================================================================
"""

import ast
from collections.abc import Iterator
from itertools import pairwise

import apsw

from plumbline.mutation.edits import Change, Edit, Source, applied
from plumbline.mutation.sql import Mistake, Token, tokens_of

_STRICTER = {">=": ">", "<": "<=", "<>": "=", "=": "<>", "OR": "AND"}
_TYPES = frozenset({"TEXT", "INTEGER", "BLOB"})
"""As they are written; ``text`` is the name of a column."""
_QUOTES = len('"""')


def mistakes_of(source: Source) -> Iterator[Change]:
    """Yield every mistake in the scripts of a module that SQLite takes; they run in their order."""
    scripts = [one for one in source.tree.body if isinstance(one, ast.Assign) and _is_script(one)]
    spans = [_inside(source, one) for one in scripts]
    for start, end in spans:
        for operator, edits in mistakes_in(source.text[start:end]):
            moved = tuple(Edit(one.start + start, one.end + start, one.text) for one in edits)
            texts = [
                applied(source.text[a:b], (one for one in moved if a <= one.start < b), a)
                for a, b in spans
            ]
            if _runs(texts):
                yield source.change(f"table {operator}", moved)


def _is_script(node: ast.Assign) -> bool:
    value = node.value
    return isinstance(value, ast.Constant) and "CREATE " in str(value.value)


def _inside(source: Source, node: ast.Assign) -> tuple[int, int]:
    start, end = source.span(node.value)
    return start + _QUOTES, end - _QUOTES


def _runs(scripts: list[str]) -> bool:
    db = apsw.Connection(":memory:")
    try:
        for script in scripts:
            db.execute(script)
    except apsw.Error:
        return False
    finally:
        db.close()
    return True


def mistakes_in(script: str) -> Iterator[Mistake]:
    """Yield every mistake of the table above in a script that makes tables."""
    tokens = tokens_of(script)
    for number, token in enumerate(tokens):
        before = tokens[number - 1].upper if number else ""
        match token.upper:
            case "CHECK":
                yield from _conditions(_in_parentheses(tokens, number + 1))
            case "WHEN":
                yield from _conditions(_until(tokens, number + 1, "BEGIN"))
            case "DEFAULT":
                value = tokens[number + 1]
                yield "default", (Edit(value.start, value.end, str(int(value.said) + 1)),)
            case "KEY" | "UNIQUE" if tokens[number + 1].said == "(":
                yield from _shorter("key", _in_parentheses(tokens, number + 1))
            case "INDEX" if before == "UNIQUE":
                columns = next(at for at in range(number, len(tokens)) if tokens[at].said == "(")
                yield from _shorter("key", _in_parentheses(tokens, columns))
            case _ if token.said in _TYPES:
                column = _until(tokens, number + 1, ",", ")", ";", depth=token.depth)
                if not any(one.upper in ("NOT", "PRIMARY") for one in column):
                    yield "null", (Edit(token.end, token.end, " NOT NULL"),)
            case _:
                pass


def _in_parentheses(tokens: list[Token], number: int) -> list[Token]:
    """Return the tokens in the parentheses that open at this number."""
    inner = tokens[number].depth + 1
    found: list[Token] = []
    for token in tokens[number + 1 :]:
        if token.depth < inner:
            break
        found.append(token)
    return found


def _until(tokens: list[Token], number: int, *ends: str, depth: int | None = None) -> list[Token]:
    """Return the tokens from this number up to one of these at a depth, or at any."""
    found: list[Token] = []
    for token in tokens[number:]:
        outside = depth is not None and token.depth < depth
        if outside or (token.upper in ends and depth in (None, token.depth)):
            break
        found.append(token)
    return found


def _conditions(tokens: list[Token]) -> Iterator[Mistake]:
    for number, token in enumerate(tokens):
        following = tokens[number + 1].upper if number + 1 < len(tokens) else ""
        if token.upper in _STRICTER:
            yield "check", (Edit(token.start, token.end, _STRICTER[token.upper]),)
        elif token.upper == "IS" and following == "NOT":
            yield "check", (Edit(token.end, tokens[number + 1].end, ""),)
        elif token.upper == "IS":
            yield "check", (Edit(token.end, token.end, " NOT"),)
        elif token.upper == "IN":
            yield from _shorter("choice", _in_parentheses(tokens, number + 1))


def _shorter(operator: str, listed: list[Token]) -> Iterator[Mistake]:
    """Leave out each member of a list, with the comma behind it or the one before the last."""
    members = [one for one in listed if one.said != ","]
    if len(members) > 1:
        for one, following in pairwise(members):
            yield operator, (Edit(one.start, following.start, ""),)
        yield operator, (Edit(members[-2].end, members[-1].end, ""),)
