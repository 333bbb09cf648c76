"""Edits of a source text: what is changed where, and how that is shown."""

import ast
from collections.abc import Iterable
from difflib import unified_diff
from itertools import accumulate

from msgspec import Struct

CONTEXT_LINES = 1
"""Lines that a diff shows before and after a change."""


class Edit(Struct, frozen=True, order=True):
    """A range of a text and what stands there instead; an empty range is an insertion."""

    start: int
    """In code points, counted from 0."""
    end: int
    text: str


class Change(Struct, frozen=True, kw_only=True):
    """One mistake in one place: the edits that make it."""

    operator: str
    scope: str
    """The function, or the constant of the module, that it is in."""
    edits: tuple[Edit, ...]
    """In the order of the text; they do not overlap."""


def applied(text: str, edits: Iterable[Edit], begins: int = 0) -> str:
    """Return a text with edits; ``begins`` is the place at which its first code point stands."""
    for edit in sorted(edits, reverse=True):
        text = text[: edit.start - begins] + edit.text + text[edit.end - begins :]
    return text


class Source:
    """The source of a module, with its syntax tree and the places of its nodes."""

    def __init__(self, name: str, path: str, text: str) -> None:
        self.name, self.path, self.text = name, path, text
        self.tree = ast.parse(text)
        self._lines = text.splitlines(keepends=True)
        self._starts = [0, *accumulate(len(line) for line in self._lines)]

    def at(self, line: int, column_bytes: int) -> int:
        """Return the place in the text of a line, counted from 1, and a column in bytes."""
        prefix = self._lines[line - 1].encode()[:column_bytes]
        return self._starts[line - 1] + len(prefix.decode())

    def span(self, node: ast.expr | ast.stmt | ast.excepthandler) -> tuple[int, int]:
        """Return where a node begins and ends."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = self.at(node.lineno, node.col_offset)
        return start, self.at(node.end_lineno, node.end_col_offset)

    def said(self, node: ast.expr | ast.stmt) -> str:
        """Return the text of a node."""
        start, end = self.span(node)
        return self.text[start:end]

    def change(self, operator: str, edits: tuple[Edit, ...]) -> Change:
        """Return edits as a change, with the name of what they are in."""
        return Change(operator=operator, scope=self._scope_at(edits[0].start), edits=edits)

    def _scope_at(self, at: int) -> str:
        """Return the function or the constant of the module around a place."""
        names: list[str] = []
        body: list[ast.stmt] = self.tree.body
        while True:
            around = [one for one in body if self.span(one)[0] <= at < self.span(one)[1]]
            if not around:
                return ".".join(names)
            match around[0]:
                case ast.FunctionDef(name=name, body=body) | ast.ClassDef(name=name, body=body):
                    names.append(name)
                case (
                    ast.Assign(targets=[ast.Name(id=name)])
                    | ast.AnnAssign(target=ast.Name(id=name))
                ) if not names:
                    return name
                case _:
                    return ".".join(names)

    def line(self, change: Change) -> int:
        """Return the number of the line on which a change begins."""
        return self.text.count("\n", 0, change.edits[0].start) + 1

    def changed(self, change: Change) -> str:
        """Return the text with a change."""
        return applied(self.text, change.edits)

    def diff(self, change: Change) -> str:
        """Return a change as a unified diff."""
        after = self.changed(change).splitlines()
        lines = unified_diff(
            self.text.splitlines(), after, self.path, self.path, n=CONTEXT_LINES, lineterm=""
        )
        return "\n".join(lines)
