"""What an event of ordinals costs on SQLite, counted: it does not grow with the length of the list.

What is counted is said in ``tests.costs``. ``pytest -s`` shows the figures.
"""

from collections.abc import Iterator
from itertools import product

import pytest

from plumbline import ordinals as sqlite_ordinals
from plumbline.sqlite_host import SqliteHost
from plumbline_models.ordinals import (
    Appended,
    Depth,
    Event,
    Outcome,
    Refused,
    Replace,
    Replaced,
    RolledBack,
    State,
)
from tests.benchmarks.figures import show
from tests.costs import Cost, cost
from tests.ordinals import appending, opening, replacing, rolling_back

Host = SqliteHost[State, Event, Outcome]

LENGTHS = (100, 1_000, 10_000, 100_000)
REMOVED = (1, 2, 8, 40)
PLACES = ("oldest", "middle", "newest")


@pytest.fixture(scope="module")
def hosts() -> Iterator[dict[int, Host]]:
    """Return a host for each length, whose one conversation has a list of so many messages."""
    filled: dict[int, Host] = {}
    for length in LENGTHS:
        filled[length] = host = Host(sqlite_ordinals.PROGRAM)
        host.step(opening())
        host.step(appending(" ".join(f"m{number}" for number in range(length))))
    yield filled
    for host in filled.values():
        host.close()


def replacement(length: int, place: str, removed: int, *, ordinals: bool = False) -> Replace:
    """Return a replacement of adjacent messages at one of the places."""
    first = {"oldest": 0, "middle": (length - removed) // 2, "newest": length - removed}[place]
    names = " ".join(f"m{number}" for number in range(first, first + removed))
    if not ordinals:
        return replacing(names, "s")
    return replacing(names, "s", first=first, last=first + removed - 1)


def replaced(host: Host, event: Replace) -> Cost:
    """Return the cost of a replacement that is accepted."""
    found, outcome = cost(host, event)
    assert outcome == Replaced(depth=Depth(0))
    assert found.scanned == 0
    return found


def named(hosts: dict[int, Host], removed: int, place: str) -> set[Cost]:
    """Return the costs of replacements that name items alone, one for each length."""
    return {replaced(host, replacement(length, place, removed)) for length, host in hosts.items()}


@pytest.mark.parametrize(("removed", "place"), list(product(REMOVED, PLACES)))
def test_a_replacement_costs_the_same_at_every_length(
    hosts: dict[int, Host], removed: int, place: str
) -> None:
    (found,) = named(hosts, removed, place)
    assert (found.statements, found.rows) == (8 + removed, 3 + 2 * removed)


def test_a_replacement_costs_as_much_for_every_further_item(hosts: dict[int, Host]) -> None:
    """Away from the newest end, behind which a range has no next row to stop at."""
    steps = {
        removed: replaced(host, replacement(length, "middle", removed)).steps
        for length, host in hosts.items()
        for removed in (1, 2, 3, 21, 40)
    }
    each = steps[3] - steps[2]
    assert steps[21] - steps[3] == 18 * each
    assert steps[40] - steps[21] == 19 * each


@pytest.mark.parametrize("removed", REMOVED)
def test_ordinals_add_two_statements_that_read_from_the_nearer_end(
    hosts: dict[int, Host], removed: int
) -> None:
    """Nothing at the ends, and half of the list in the middle, for the first and the last."""
    steps: dict[str, list[int]] = {place: [] for place in PLACES}
    rows: list[tuple[object, ...]] = []
    for length, place in product(LENGTHS, PLACES):
        plain = replaced(hosts[length], replacement(length, place, removed))
        found = replaced(hosts[length], replacement(length, place, removed, ordinals=True))
        assert (found.statements, found.rows) == (plain.statements + 2, plain.rows)
        steps[place].append(found.steps - plain.steps)
        rows.append((length, place, found.statements, found.rows, plain.steps, found.steps))
    columns = ("length", "place", "statements", "rows written", "steps", "steps with ordinals")
    show(f"Replacement of {removed}, with both ordinals", columns, rows)
    assert len(set(steps["oldest"])) == 1
    assert len(set(steps["newest"])) == 1
    assert steps["middle"] == sorted(set(steps["middle"]))


@pytest.mark.parametrize(("removed", "end"), list(product(REMOVED, ("oldest", "newest"))))
def test_a_wrong_ordinal_is_refused_at_no_greater_cost(
    hosts: dict[int, Host], removed: int, end: str
) -> None:
    """An ordinal near an end is refuted there, wherever the items stand."""
    costs: set[Cost] = set()
    for length, host in hosts.items():
        middle = replacement(length, "middle", removed)
        names = " ".join(item.id for item in middle.items)
        first = 1 if end == "oldest" else length - 2
        found, outcome = cost(host, replacing(names, "s", first=first))
        assert isinstance(outcome, Refused)
        costs.add(found)
    (found,) = costs
    assert (found.rows, found.scanned) == (0, 0)


def test_a_hole_is_refused_at_no_greater_cost(hosts: dict[int, Host]) -> None:
    """It is known when there is one item too many, however many more there are."""
    costs: set[Cost] = set()
    for length, host in hosts.items():
        found, outcome = cost(host, replacing(f"m0 m{length - 1}", "s"))
        assert isinstance(outcome, Refused)
        costs.add(found)
    (found,) = costs
    assert (found.rows, found.scanned) == (0, 0)


@pytest.mark.parametrize("removed", REMOVED)
def test_a_rollback_costs_the_same_at_every_length(hosts: dict[int, Host], removed: int) -> None:
    costs: set[Cost] = set()
    for length, host in hosts.items():
        host.mark()
        host.step(replacement(length, "middle", removed))
        found, outcome = cost(host, rolling_back("s"))
        assert isinstance(outcome, RolledBack)
        costs.add(found)
        host.back()
    (found,) = costs
    assert (found.rows, found.scanned) == (3 + 2 * removed, 0)


@pytest.mark.parametrize("added", [1, 8])
def test_an_append_costs_the_same_at_every_length(hosts: dict[int, Host], added: int) -> None:
    costs: set[Cost] = set()
    for host in hosts.values():
        found, outcome = cost(host, appending(" ".join(f"n{number}" for number in range(added))))
        assert isinstance(outcome, Appended)
        costs.add(found)
    (found,) = costs
    assert (found.rows, found.scanned) == (1 + 2 * added, 0)
