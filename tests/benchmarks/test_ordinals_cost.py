"""What an append and a replacement take on SQLite, by the length of the list.

What they do there, in statements, rows and steps of the virtual machine, is counted and asserted in
``tests/conformance/test_ordinals_cost.py``.
"""

from collections.abc import Callable, Iterator
from itertools import count, product, repeat

import pytest

from plumbline import ordinals as sqlite_ordinals
from plumbline.sqlite_host import SqliteHost
from plumbline_models.ordinals import Appended, Depth, Event, Outcome, Replaced, State
from tests.benchmarks.figures import Benchmark
from tests.ordinals import appending, forgetting, opening, replacing, rolling_back

Host = SqliteHost[State, Event, Outcome]

LENGTHS = (100, 1_000, 10_000, 100_000)
REMOVED = 8
ROUNDS = 100
ANYWHERE = "anywhere"
PLACES: dict[str, Callable[[int], int]] = {
    ANYWHERE: lambda length: length // 3,
    "oldest": lambda _: 0,
    "middle": lambda length: (length - REMOVED) // 2,
    "newest": lambda length: length - REMOVED,
}
"""Where the first of the removed items stands, by the length of the list."""


class Turns:
    """Events of which each is taken, and then taken back by another before the next."""

    def __init__(self, host: Host, turns: Iterator[tuple[Event, Event]]) -> None:
        self._host = host
        self._turns = turns
        self._event, self._undo = next(turns)
        self._taken = False

    def prepare(self) -> None:
        """Take the last event back and bring up the next."""
        if self._taken:
            self._host.step(self._undo)
            self._event, self._undo = next(self._turns)
            self._taken = False

    def take(self) -> Outcome:
        """Take the event that is up."""
        self._taken = True
        return self._host.step(self._event)


def timed(benchmark: Benchmark, host: Host, turns: Iterator[tuple[Event, Event]]) -> Outcome:
    """Time each first event; the list is in the end as it was before."""
    taking = Turns(host, turns)
    outcome = benchmark.pedantic(taking.take, setup=taking.prepare, rounds=ROUNDS)
    taking.prepare()
    return outcome


@pytest.fixture(
    scope="module",
    params=list(product(("memory", "file"), LENGTHS)),
    ids=lambda one: f"{one[0]}, {one[1]:,} items",
)
def filled(request: pytest.FixtureRequest) -> Iterator[tuple[Host, str, int]]:
    """Return a host that holds a list of messages, where it is stored, and how long the list is."""
    storage, length = request.param
    host = Host(sqlite_ordinals.PROGRAM, durable=storage == "file")
    host.step(opening())
    host.step(appending(" ".join(f"m{number}" for number in range(length))))
    yield host, storage, length
    host.close()


def test_append_of_one_message(benchmark: Benchmark, filled: tuple[Host, str, int]) -> None:
    host, storage, length = filled
    benchmark.group = f"append, {storage}"
    benchmark.extra_info.update({"storage": storage, "length": length})
    turns = ((appending(f"n{number}"), forgetting(f"n{number}")) for number in count())
    assert isinstance(timed(benchmark, host, turns), Appended)


@pytest.mark.parametrize("place", PLACES)
def test_replacement_of_eight_messages(
    benchmark: Benchmark, filled: tuple[Host, str, int], place: str
) -> None:
    """``anywhere`` names items alone; at the other places the event gives both ordinals."""
    host, storage, length = filled
    benchmark.group = f"replace, {storage}, {place}"
    benchmark.extra_info.update({"storage": storage, "length": length, "place": place})
    first = PLACES[place](length)
    names = " ".join(f"m{number}" for number in range(first, first + REMOVED))
    event = replacing(names, "s")
    if place != ANYWHERE:
        event = replacing(names, "s", first=first, last=first + REMOVED - 1)
    assert timed(benchmark, host, repeat((event, rolling_back("s")))) == Replaced(depth=Depth(0))
