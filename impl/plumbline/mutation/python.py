"""Mistakes in the Python of a module: a flipped comparison, a guard too few, a statement left out.

Theory of operation. Operators look at one node of the syntax tree and edit the text where it
stands, so nothing is formatted anew and a diff shows the mistake alone. What no event can feel is
left out: types, docstrings, messages, assertions, ``strict=`` (they state what only a bug can
break), and what another operator does already.

==========  =====================================================================
operator    what it does
==========  =====================================================================
compare     flips ``==`` ``<`` ``<=`` ``is`` ``in`` and their opposites
guard       turns a condition round: ``not (...)``
term        drops a term of ``and`` or ``or``
and or      makes of ``and`` an ``or``, and the reverse
not         drops a ``not``
sign        swaps ``+`` and ``-``
constant    adds one to an integer; turns a truth value round
member      takes another member of an enumeration
neighbours  swaps two neighbours in a tuple
call        ``max`` for ``min``, ``list`` for ``sorted`` and ``set``, ``all`` for ``any``
drop        leaves out a statement: a call, a guard, a loop, a raise, an assignment made again
block       leaves out a ``with``: the transaction, the savepoint; its block stays
handler     raises again what was caught
==========  =====================================================================

Others were looked at: mutmut and cosmic-ray write mutants to files and run a test command for each,
know no SQL, and give no module to make a host from.
"""

import ast
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TypeGuard

from plumbline.mutation.edits import Change, Edit, Source

_OPPOSITES: tuple[tuple[type[ast.cmpop], str, str], ...] = (
    (ast.Eq, "==", "!="),
    (ast.NotEq, "!=", "=="),
    (ast.Lt, "<", "<="),
    (ast.LtE, "<=", "<"),
    (ast.Gt, ">", ">="),
    (ast.GtE, ">=", ">"),
    (ast.IsNot, "is not", "is"),
    (ast.Is, "is", "is not"),
    (ast.NotIn, "not in", "in"),
    (ast.In, "in", "not in"),
)
_ORDERS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_CALLS = {"max": "min", "min": "max", "any": "all", "all": "any", "sorted": "list", "set": "list"}
_KEYWORDS_WITHOUT_MISTAKES = frozenset({"strict"})

Mistakes = Iterator[tuple[str, tuple[Edit, ...]]]
"""Operators, and edits of the source."""


def mistakes_of(source: Source) -> Iterator[Change]:
    """Yield every mistake in the functions of a module."""
    members = _members(source)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef):
            for inner in _felt(node):
                for operator in _OPERATORS:
                    for name, edits in operator(source, inner):
                        yield source.change(f"python {name}", edits)
                for name, edits in _member(source, inner, members):
                    yield source.change(f"python {name}", edits)
            for name, edits in _dropped(source, node):
                yield source.change(f"python {name}", edits)


def _felt(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a function in which a mistake can be felt; functions in it are apart."""
    match node:
        case ast.FunctionDef(body=body):
            children: list[ast.AST] = [*body]
        case ast.match_case(guard=guard, body=body):
            children = [*([guard] if guard else []), *body]
        case ast.AnnAssign(value=value):
            children = [value] if value else []
        case _:
            children = [*ast.iter_child_nodes(node)]
    for child in children:
        if not _is_unfelt(child):
            yield child
            yield from _felt(child)


def _is_unfelt(node: ast.AST) -> bool:
    match node:
        case ast.FunctionDef() | ast.ClassDef() | ast.Assert() | ast.JoinedStr():
            return True
        case ast.keyword(arg=name):
            return name in _KEYWORDS_WITHOUT_MISTAKES
        case ast.Expr(value=ast.Constant()):
            return True
        case ast.Expr(value=ast.Call(func=ast.Name(id="assert_never"))):
            return True
        case ast.Call(func=ast.Name(id="isinstance")):
            return True
        case _:
            return False


def _replaced(source: Source, node: ast.expr | ast.stmt, text: str) -> tuple[Edit, ...]:
    return (Edit(*source.span(node), text),)


def _wrapped(source: Source, node: ast.expr, before: str, after: str) -> tuple[Edit, ...]:
    start, end = source.span(node)
    return (Edit(start, start, before), Edit(end, end, after))


def _between(
    source: Source, left: ast.expr, right: ast.expr, word: str, other: str
) -> tuple[Edit, ...]:
    """Return the edit of an operator between two expressions, which may stand in parentheses."""
    start, end = source.span(left)[1], source.span(right)[0]
    at = source.text.find(word, start, end)
    assert at >= 0
    return (Edit(at, at + len(word), other),)


def _compare(source: Source, node: ast.AST) -> Mistakes:
    if isinstance(node, ast.Compare):
        sides = pairwise((node.left, *node.comparators))
        for operator, (left, right) in zip(node.ops, sides, strict=True):
            for kind, word, other in _OPPOSITES:
                if isinstance(operator, kind):
                    yield "compare", _between(source, left, right, word, other)


def _guard(source: Source, node: ast.AST) -> Mistakes:
    match node:
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
            tests = [test]
        case ast.comprehension(ifs=ifs):
            tests = ifs
        case _:
            return
    for test in tests:
        flips = isinstance(test, ast.Compare) and not isinstance(test.ops[0], _ORDERS)
        if not flips and not _is_not(test):
            yield "guard", _wrapped(source, test, "not (", ")")


def _is_not(node: ast.expr) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)


def _logic(source: Source, node: ast.AST) -> Mistakes:
    match node:
        case ast.BoolOp(op=op, values=values):
            word, other, inert = ("and", "or", "True")
            if isinstance(op, ast.Or):
                word, other, inert = ("or", "and", "False")
            for value in values:
                yield "term", _replaced(source, value, inert)
            for left, right in pairwise(values):
                yield "and or", _between(source, left, right, word, other)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield "not", (Edit(source.span(node)[0], source.span(operand)[0], ""),)
        case _:
            return


def _arithmetic(source: Source, node: ast.AST) -> Mistakes:
    match node:
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as op, right=right):
            texts = (one for one in (left, right) if isinstance(one, ast.Constant))
            if not any(isinstance(one.value, str) for one in texts):
                word, other = ("+", "-") if isinstance(op, ast.Add) else ("-", "+")
                yield "sign", _between(source, left, right, word, other)
        case ast.Constant(value=bool() as value):
            yield "constant", _replaced(source, node, str(not value))
        case ast.Constant(value=int() as value):
            yield "constant", _replaced(source, node, str(value + 1))
        case _:
            return


def _tuple(source: Source, node: ast.AST) -> Mistakes:
    if isinstance(node, ast.Compare | ast.ExceptHandler):
        return
    for one in ast.iter_child_nodes(node):
        if isinstance(one, ast.Tuple) and isinstance(one.ctx, ast.Load):
            for left, right in pairwise(one.elts):
                starred = isinstance(left, ast.Starred) or isinstance(right, ast.Starred)
                said, other = source.said(left), source.said(right)
                if not starred and said != other:
                    edits = _replaced(source, left, other) + _replaced(source, right, said)
                    yield "neighbours", edits


def _call(source: Source, node: ast.AST) -> Mistakes:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args):
        return
    other = _CALLS.get(node.func.id)
    if other == "list":
        yield "call", _replaced(source, node, f"list({source.said(node.args[0])})")
    elif other is not None:
        yield "call", _replaced(source, node.func, other)


def _block(source: Source, node: ast.AST) -> Mistakes:
    if isinstance(node, ast.With) and all(one.optional_vars is None for one in node.items):
        last = source.span(node.items[-1].context_expr)[1]
        yield "block", (Edit(source.span(node)[0], last, "if True"),)


def _handler(source: Source, node: ast.AST) -> Mistakes:
    if isinstance(node, ast.ExceptHandler):
        first, last = node.body[0], node.body[-1]
        if not (isinstance(first, ast.Raise) and first.exc is None):
            yield "handler", (Edit(source.span(first)[0], source.span(last)[1], "raise"),)


_OPERATORS: tuple[Callable[[Source, ast.AST], Mistakes], ...] = (
    _compare,
    _guard,
    _logic,
    _arithmetic,
    _tuple,
    _call,
    _block,
    _handler,
)


def _members(source: Source) -> dict[tuple[str, str], str]:
    """Return for each member of an enumeration the next one that the module names."""
    named: dict[str, dict[str, None]] = {}
    found = [one for one in ast.walk(source.tree) if _is_member(one)]
    found.sort(key=lambda one: (one.lineno, one.col_offset))
    for node in found:
        assert isinstance(node.value, ast.Name)
        named.setdefault(node.value.id, {})[node.attr] = None
    return {
        (name, one): other
        for name, members in named.items()
        for one, other in zip(members, [*list(members)[1:], next(iter(members))], strict=True)
        if one != other
    }


def _is_member(node: ast.AST) -> TypeGuard[ast.Attribute]:
    if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)):
        return False
    return node.attr.isupper() and node.value.id[0].isupper()


def _member(source: Source, node: ast.AST, members: dict[tuple[str, str], str]) -> Mistakes:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        other = members.get((node.value.id, node.attr))
        if other is not None:
            yield "member", _replaced(source, node, f"{node.value.id}.{other}")


def _dropped(source: Source, function: ast.FunctionDef) -> Mistakes:
    """Leave out each statement without which the function can still run."""
    yields = sum(isinstance(one, ast.Yield | ast.YieldFrom) for one in ast.walk(function))
    assigned: set[str] = {one.arg for one in function.args.args}
    for node in _felt(function):
        match node:
            case ast.Expr(value=ast.Yield() | ast.YieldFrom()):
                drops = yields > 1
            case ast.Expr() | ast.AugAssign() | ast.For() | ast.Continue():
                drops = True
            case ast.If(orelse=orelse):
                drops = not orelse
            case ast.Raise(exc=raised):
                drops = raised is not None
            case ast.Assign(targets=[ast.Name(id=name)]):
                drops = name in assigned
                assigned.add(name)
            case _:
                drops = False
        if isinstance(node, ast.stmt) and drops and not _is_all_of_a_guard(function, node):
            yield "drop", _replaced(source, node, "pass")


def _is_all_of_a_guard(function: ast.FunctionDef, node: ast.stmt) -> bool:
    """Tell whether it is the one statement of a guard, which is left out itself."""
    return any(
        isinstance(one, ast.If) and one.body == [node] and not one.orelse
        for one in ast.walk(function)
    )
