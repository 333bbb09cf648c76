"""Mistakes in a statement of SQL: a flipped comparison, a term too few, one too many.

Theory of operation. A statement is cut into tokens; each token knows how deep it stands in
parentheses and which clause it belongs to. A mistake is an edit of the text that keeps its
parameters, so that what is bound still fits: a term is dropped by ``(term OR 1)``. Whether SQLite
takes the statement is for the caller to try.

=========  =========================================================================
operator   what it does
=========  =========================================================================
compare    flips ``=`` ``<`` ``<=`` ``IS NULL`` ``IN`` ``BETWEEN`` and their opposites
term       drops a term of WHERE or ON: ``(term OR 1)``, and in a disjunction ``(term AND 0)``
constant   adds one to an integer; empties a text
end        moves an end of BETWEEN inwards by one
sign       swaps ``+`` and ``-``, and ``/`` and ``%``
order      turns a key of ORDER BY round
unordered  drops ORDER BY
limit      drops LIMIT
join       makes of a LEFT JOIN a JOIN
or ignore  drops OR IGNORE
column     swaps two neighbours of the columns that are selected
default    forgets what ``coalesce`` is for
deferred   begins a transaction DEFERRED
half       leaves out one of several statements
=========  =========================================================================
"""

import re
from collections.abc import Iterator
from itertools import pairwise

from msgspec import Struct

from plumbline.mutation.edits import Edit

_TOKENS = re.compile(
    r"(?P<space>\s+|--[^\n]*)"
    r"|(?P<text>'(?:[^']|'')*')"
    r"|(?P<number>\d+)"
    r"|(?P<parameter>\?\d*)"
    r"|(?P<word>[A-Za-z_][\w.]*|\{[^}]*\})"
    r"|(?P<mark><>|<=|>=|\|\||[-+*/%=<>(),;])"
)
_CLAUSES = frozenset(
    {"SELECT", "FROM", "ON", "WHERE", "SET", "VALUES", "ORDER", "LIMIT", "RETURNING", "INTO"}
)
_ENDS_TERMS = _CLAUSES | {"LEFT", "JOIN", "GROUP", "HAVING", ";"}
_OPPOSITES = {"=": "<>", "<>": "=", "<": "<=", "<=": "<", ">": ">=", ">=": ">"}
_SIGNS = {"+": "-", "-": "+", "/": "%", "%": "/"}

Mistake = tuple[str, tuple[Edit, ...]]
"""The operator, and edits of the statement's text."""


class Token(Struct, frozen=True, kw_only=True):
    """A word, a number, a text, a parameter or a mark of a statement."""

    kind: str
    said: str
    start: int
    depth: int
    """How many parentheses are open around it."""
    clause: str
    """The word that began the clause around it, ``""`` before the first."""

    @property
    def end(self) -> int:
        """Where the next one may begin."""
        return self.start + len(self.said)

    @property
    def upper(self) -> str:
        """The token in capitals; a text is no word."""
        return self.said.upper() if self.kind != "text" else ""


def tokens_of(statement: str) -> list[Token]:
    """Cut a statement into tokens; spaces and comments are left out. Raises ``ValueError``."""
    found: list[Token] = []
    clauses, at = [""], 0
    while at < len(statement):
        match = _TOKENS.match(statement, at)
        if match is None:
            raise ValueError(f"not SQL at {at}: {statement[at : at + 20]!r}")
        kind, said, at = match.lastgroup or "", match[0], match.end()
        if kind == "space":
            continue
        if said == ")" and len(clauses) > 1:
            clauses.pop()
        if kind == "word" and said.upper() in _CLAUSES:
            clauses[-1] = said.upper()
        elif said == ";":
            clauses = [""]
        depth = len(clauses) - 1
        token = Token(kind=kind, said=said, start=match.start(), depth=depth, clause=clauses[-1])
        found.append(token)
        if said == "(":
            clauses.append(clauses[-1])
    return found


def mistakes_in(statement: str) -> Iterator[Mistake]:
    """Yield every mistake of the table above in a statement, or in several with ``;`` between."""
    tokens = tokens_of(statement)
    for number, token in enumerate(tokens):
        yield from _comparisons(tokens, number)
        yield from _constants(tokens, number)
        yield from _arithmetic(tokens, number)
        yield from _words(tokens, number)
        if token.upper in ("WHERE", "ON"):
            yield from _terms(tokens, number + 1)
    yield from _columns(statement, tokens)
    yield from _halves(tokens)


def _replaced(token: Token, text: str) -> tuple[Edit, ...]:
    return (Edit(token.start, token.end, text),)


def _said(tokens: list[Token], number: int) -> str:
    return tokens[number].upper if number < len(tokens) else ""


def _comparisons(tokens: list[Token], number: int) -> Iterator[Mistake]:
    token, following = tokens[number], _said(tokens, number + 1)
    assigns = token.clause == "SET" and token.depth == 0
    if token.kind == "mark" and token.said in _OPPOSITES and not assigns:
        yield "compare", _replaced(token, _OPPOSITES[token.said])
    elif token.upper == "IS" and following == "NULL":
        yield "compare", (Edit(token.end, token.end, " NOT"),)
    elif token.upper == "IS" and following == "NOT":
        yield "compare", (Edit(token.end, tokens[number + 1].end, ""),)
    elif token.upper in ("IN", "BETWEEN"):
        yield "compare", (Edit(token.start, token.start, "NOT "),)


def _constants(tokens: list[Token], number: int) -> Iterator[Mistake]:
    """Change a constant; not one that stands for a row or a bound, which ``limit`` drops."""
    token, before = tokens[number], tokens[number - 1].upper if number else ""
    stands_for_a_row = before == "SELECT" and _said(tokens, number + 1) == "FROM"
    if token.kind == "number" and not stands_for_a_row and before != "LIMIT":
        yield "constant", _replaced(token, str(int(token.said) + 1))
    elif token.kind == "text" and token.said != "''":
        yield "constant", _replaced(token, "''")


def _arithmetic(tokens: list[Token], number: int) -> Iterator[Mistake]:
    token = tokens[number]
    if token.said in _SIGNS:
        yield "sign", _replaced(token, _SIGNS[token.said])
    if token.upper == "BETWEEN":
        low, high = tokens[number + 1], tokens[number + 3]
        yield "end", (Edit(low.end, low.end, " + 1"),)
        yield "end", (Edit(high.end, high.end, " - 1"),)


def _words(tokens: list[Token], number: int) -> Iterator[Mistake]:
    token, following = tokens[number], _said(tokens, number + 1)
    match token.upper, following:
        case "ORDER", "BY":
            yield from _orders(tokens, number)
        case "LIMIT", _:
            yield "limit", _replaced(tokens[number + 1], f"-1 + 0 * {tokens[number + 1].said}")
        case "LEFT", "JOIN":
            yield "join", (Edit(token.start, tokens[number + 1].start, ""),)
        case "OR", "IGNORE":
            yield "or ignore", (Edit(token.start, tokens[number + 2].start, ""),)
        case "COALESCE", _:
            yield "default", _replaced(token, "max")
        case "IMMEDIATE", _:
            yield "deferred", _replaced(token, "DEFERRED")
        case _:
            pass


def _orders(tokens: list[Token], number: int) -> Iterator[Mistake]:
    """Drop an ORDER BY, and turn round each of its keys; a key is a name."""
    order = tokens[number]
    rest = [one for one in tokens[number + 2 :] if one.depth >= order.depth]
    keys: list[Token] = []
    for place, token in enumerate(rest):
        if token.upper in ("LIMIT", ";"):
            break
        keys.append(token)
        if token.kind == "word" and token.upper != "DESC":
            following = _said(rest, place + 1)
            if following == "DESC":
                yield "order", (Edit(token.end, rest[place + 1].end, ""),)
            else:
                yield "order", (Edit(token.end, token.end, " DESC"),)
    yield "unordered", (Edit(order.start, keys[-1].end, ""),)


def _terms(tokens: list[Token], number: int) -> Iterator[Mistake]:
    """Drop each term of the condition that begins here, and of a condition in parentheses."""
    depth = tokens[number].depth
    part: list[Token] = []
    terms: list[list[Token]] = [part]
    between, word = 0, "AND"
    for token in tokens[number:]:
        if token.depth < depth or (token.depth == depth and token.upper in _ENDS_TERMS):
            break
        joins = token.depth == depth and token.upper in ("AND", "OR")
        between += token.depth == depth and token.upper == "BETWEEN"
        if joins and token.upper == "AND" and between:
            between -= 1
        elif joins:
            word, part = token.upper, []
            terms.append(part)
            continue
        part.append(token)
    inert = " OR 1)" if word == "AND" else " AND 0)"
    for term in terms:
        first, last = term[0], term[-1]
        yield "term", (Edit(first.start, first.start, "("), Edit(last.end, last.end, inert))
        if first.said == "(" and any(one.upper in ("AND", "OR") for one in term):
            yield from _terms(tokens, tokens.index(first) + 1)


def _columns(statement: str, tokens: list[Token]) -> Iterator[Mistake]:
    """Swap neighbours among the columns of a SELECT."""
    for number, token in enumerate(tokens):
        if token.upper == "SELECT":
            for left, right in pairwise(_selected(tokens, number)):
                said, other = (statement[start:end] for start, end in (left, right))
                if "?" not in said + other:  # a parameter without a number is known by its place
                    yield "column", (Edit(*left, other), Edit(*right, said))


def _selected(tokens: list[Token], number: int) -> list[tuple[int, int]]:
    """Return where each column of the SELECT at this token begins and ends."""
    depth = tokens[number].depth
    columns: list[list[Token]] = [[]]
    for token in tokens[number + 1 :]:
        if token.depth < depth or (token.depth == depth and token.clause != "SELECT"):
            break
        if token.depth == depth and token.said == ",":
            columns.append([])
        else:
            columns[-1].append(token)
    return [(part[0].start, part[-1].end) for part in columns]


def _halves(tokens: list[Token]) -> Iterator[Mistake]:
    begins = [0, *(number + 1 for number, one in enumerate(tokens) if one.said == ";")]
    begins = [number for number in begins if number < len(tokens)]
    if len(begins) > 1:
        for first, following in zip(begins, [*begins[1:], len(tokens)], strict=True):
            yield "half", (Edit(tokens[first].start, tokens[following - 1].end, ""),)
