"""Closing up: how a table of ordinals is made dense again after a range was replaced.

Theory of operation. Real systems store the ordinal in a table whose ``(conversation, ordinal)`` is
unique, and SQLite checks that constraint after each row and not at the end of a statement. Here a
table is a mapping from ordinal to item in which no two rows can share an ordinal, so an assignment
that collides fails as it does there. ``visit`` is the order in which a statement comes to its rows:
a table with a rowid is visited in the order of insertion, and a summary is inserted after the
messages around it.

=========================  ======================================================================
``Closing``                source
=========================  ======================================================================
``RANKS``                  the specification: the ordinal is the rank
``RESEQUENCE``             lossless-claw before PR #295: two passes through negative temporaries
``UNLESS_CONTIGUOUS``      lossless-claw PR #295: the same, skipped when every ordinal is its rank
``MINUS_GAP``              PR #295, second commit: minus what was removed; wrong over older gaps
``CORRELATED``             PR #295, fourth commit: one UPDATE that counts half-updated rows
``SHIFTING``               one UPDATE of the tail; collides when it comes to rows out of order
=========================  ======================================================================
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TypeVar, assert_never

from msgspec import Struct

T = TypeVar("T")

CONSTRAINT = "context.conversation, context.ordinal"


class Closing(Enum):
    """A way to close up; the module's table names where each comes from."""

    RANKS = "ranks"
    RESEQUENCE = "resequence"
    UNLESS_CONTIGUOUS = "unless_contiguous"
    MINUS_GAP = "minus_gap"
    CORRELATED = "correlated"
    SHIFTING = "shifting"


class Failure(Struct, frozen=True, kw_only=True):
    """A row was given an ordinal that another row held at that moment."""

    constraint: str = CONSTRAINT


def close_up(
    closing: Closing, table: Mapping[int, T], visit: Sequence[int], first: int, last: int
) -> dict[int, T] | Failure:
    """Return the table after the statements of ``closing``, or the constraint that stopped them.

    ``table`` already holds the summary at ``first`` and no other row of ``first..last``; ``visit``
    are its ordinals in the order in which one statement would come to the rows.
    """
    match closing:
        case Closing.RANKS:
            return {rank: table[ordinal] for rank, ordinal in enumerate(sorted(table))}
        case Closing.RESEQUENCE:
            return _resequence(table)
        case Closing.UNLESS_CONTIGUOUS:
            contiguous = sorted(table) == list(range(len(table)))
            return dict(table) if contiguous else _resequence(table)
        case Closing.MINUS_GAP:
            return _minus_gap(table, last, last - first)
        case Closing.CORRELATED:
            return _correlated(table, visit)
        case Closing.SHIFTING:
            moves = [(ordinal, ordinal - (last - first)) for ordinal in visit if ordinal > last]
            return _update(dict(table), moves)
        case _:
            assert_never(closing)


def _resequence(table: Mapping[int, T]) -> dict[int, T] | Failure:
    """Move the i-th row to -(i+1), one row a statement, then each of those to i."""
    ordinals = sorted(table)
    negative = _update(dict(table), [(old, -(rank + 1)) for rank, old in enumerate(ordinals)])
    if isinstance(negative, Failure):
        return negative
    return _update(negative, [(-(rank + 1), rank) for rank in range(len(ordinals))])


def _minus_gap(table: Mapping[int, T], last: int, gap: int) -> dict[int, T] | Failure:
    """Shift the tail by what was removed, in two statements through negative temporaries."""
    tail = [ordinal for ordinal in sorted(table) if ordinal > last]
    negative = _update(dict(table), [(old, -(old - gap) - 1) for old in tail])
    if isinstance(negative, Failure):
        return negative
    return _update(negative, [(-(old - gap) - 1, old - gap) for old in tail])


def _correlated(table: Mapping[int, T], visit: Sequence[int]) -> dict[int, T] | Failure:
    """Set every ordinal to minus the count of rows up to it, counted while the rows change."""
    rows = dict(table)
    for ordinal in visit:
        count = sum(other <= ordinal for other in rows)
        moved = _update(rows, [(ordinal, -count)])
        if isinstance(moved, Failure):
            return moved
        rows = moved
    return _update(rows, [(old, -old - 1) for old in sorted(rows, reverse=True)])


def _update(rows: dict[int, T], moves: Sequence[tuple[int, int]]) -> dict[int, T] | Failure:
    """Move rows one after the other; fail at the first ordinal that is taken."""
    for old, new in moves:
        if new != old and new in rows:
            return Failure()
        rows[new] = rows.pop(old)
    return rows
