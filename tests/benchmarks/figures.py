"""What the benchmarks share: the fixture of pytest-benchmark as they use it, and tables of figures.

The figures go into the extra information of a benchmark (``--benchmark-json FILE``), and are shown
as a table under ``pytest -s``.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from rich.console import Console
from rich.table import Table

T = TypeVar("T")

WIDTH = 100


class Benchmark(Protocol):
    """The part of the fixture ``benchmark`` that is used here."""

    extra_info: dict[str, object]
    group: str | None

    def __call__(self, function_to_benchmark: Callable[[], T]) -> T:
        """Call a function often and time it."""
        ...

    def pedantic(
        self,
        target: Callable[[], T],
        *,
        setup: Callable[[], None],
        rounds: int,
    ) -> T:
        """Time a function once after each call of ``setup``."""
        ...


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the processor time that some work takes, which other programs hardly disturb."""
    started = time.process_time()
    work()
    return time.process_time() - started


def show(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table of figures; numbers stand to the right."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*(_said(value) for value in row))
    Console(width=WIDTH).print(table)


def _said(value: object) -> str:
    match value:
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.2f}"
        case _:
            return str(value)
