"""Rows that may hold anything: reading tables whose constraints were not kept.

An abstraction function reads through these helpers, so that an audit goes on where a row is broken;
that the row is broken is said by the clauses about tables (``plumbline.tables``). A value of the
wrong type is shown as the nearest one of the right type.
"""

from collections.abc import Iterator
from itertools import islice

import apsw
import apsw.ext

Value = str | int | float | bytes | None

MOST = 2**53 - 1
"""The greatest integer that a state may hold."""


def every_row(
    db: apsw.Connection, query: str, bindings: tuple[Value, ...] = ()
) -> Iterator[tuple[Value, ...]]:
    """Yield the rows of a SELECT; from the first text that is not UTF-8 on, texts come as bytes."""
    taken = 0
    try:
        for row in db.execute(query, bindings):
            yield row
            taken += 1
    except UnicodeDecodeError:
        width = len(apsw.ext.query_info(db, query).description)
        columns = [f"c{number}" for number in range(width)]
        shown = [f"iif(typeof({one}) = 'text', CAST({one} AS BLOB), {one})" for one in columns]
        lenient = (
            f"WITH damaged ({', '.join(columns)}) AS ({query})"  # noqa: S608 - a query of this package
            f" SELECT {', '.join(shown)} FROM damaged"
        )
        yield from islice(db.execute(lenient, bindings), taken, None)


def as_text(value: object) -> str:
    """Return a value as a text: itself when it is one; odd bytes are escaped."""
    match value:
        case str():
            return value
        case bytes():
            return value.decode("utf-8", "backslashreplace")
        case None:
            return ""
        case _:
            return str(value)


def as_number(value: object) -> int:
    """Return a value as an integer: itself when it is one that a state may hold, else 0."""
    return value if isinstance(value, int) and abs(value) <= MOST else 0


def as_bytes(value: object) -> bytes:
    """Return a value as bytes: itself when it is some, else none at all."""
    return value if isinstance(value, bytes) else b""
