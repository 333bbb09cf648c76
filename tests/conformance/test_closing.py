"""Ways to close up against SQLite: the statements that the model of each one stands for."""

from random import Random

import apsw
import pytest

from plumbline_models.closing import Closing, Failure, close_up

SEEDS = range(60)


def stored(table: dict[int, str], visit: list[int]) -> apsw.Connection:
    """Return a database with the rows of a table, inserted in the order of ``visit``."""
    db = apsw.Connection(":memory:")
    db.execute(
        "CREATE TABLE context (conversation INTEGER, ordinal INTEGER, item TEXT,"
        " UNIQUE (conversation, ordinal))"
    )
    for ordinal in visit:
        db.execute("INSERT INTO context VALUES (1, ?, ?)", (ordinal, table[ordinal]))
    return db


MOVE = "UPDATE context SET ordinal = ?2 WHERE conversation = 1 AND ordinal = ?1"
SHIFT = "UPDATE context SET ordinal = ordinal - ?2 WHERE conversation = 1 AND ordinal > ?1"
COUNT = """
    UPDATE context SET ordinal = -(
        SELECT count(*) FROM context AS other
        WHERE other.conversation = 1 AND other.ordinal <= context.ordinal
    )
"""
NEGATE = "UPDATE context SET ordinal = -ordinal - 1"

Statements = list[tuple[str, tuple[int, ...]]]


def statements(closing: Closing, table: dict[int, str], first: int, last: int) -> Statements:
    """Return the statements by which a system closes up, with their bindings."""
    match closing:
        case Closing.RESEQUENCE:
            ranks = list(enumerate(sorted(table)))
            away = [(MOVE, (old, -(rank + 1))) for rank, old in ranks]
            return [*away, *((MOVE, (-(rank + 1), rank)) for rank, _ in ranks)]
        case Closing.MINUS_GAP:
            tail = [(old, old - (last - first)) for old in sorted(table) if old > last]
            away = [(MOVE, (old, -new - 1)) for old, new in tail]
            return [*away, *((MOVE, (-new - 1, new)) for _, new in tail)]
        case Closing.CORRELATED:
            return [(COUNT, ()), (NEGATE, ())]
        case Closing.SHIFTING:
            return [(SHIFT, (last, last - first))]
        case Closing.RANKS | Closing.UNLESS_CONTIGUOUS:
            raise NotImplementedError


def closed_by_sqlite(db: apsw.Connection, wanted: Statements) -> dict[int, str] | str:
    """Run statements; return the table, or the message of the constraint that stopped them."""
    try:
        for sql, bindings in wanted:
            db.execute(sql, bindings)
    except apsw.ConstraintError as error:
        return str(error)
    rows = db.execute("SELECT ordinal, item FROM context").fetchall()
    return {int(str(ordinal)): str(item) for ordinal, item in rows}


def example(seed: int) -> tuple[dict[int, str], list[int], int, int]:
    """Return a table after a replacement with some gaps, the order of its rows, and the range."""
    random = Random(seed)
    ordinals = sorted(random.sample(range(-3 if seed % 3 == 0 else 0, 24), 14))
    if seed % 2:
        ordinals = list(range(14))
    first = random.randrange(12)
    last = random.randrange(first, 14)
    ends = ordinals[first], ordinals[last]
    kept = [one for one in ordinals if not ends[0] <= one <= ends[1]]
    late = random.sample(kept, len(kept) // 4)
    visit = [*(one for one in kept if one not in late), *late, ends[0]]
    return {one: f"item {one}" for one in visit}, visit, *ends


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "closing", [Closing.RESEQUENCE, Closing.MINUS_GAP, Closing.CORRELATED, Closing.SHIFTING]
)
def test_a_way_to_close_up_ends_as_its_statements_do(closing: Closing, seed: int) -> None:
    table, visit, first, last = example(seed)
    db = stored(table, visit)
    found = closed_by_sqlite(db, statements(closing, table, first, last))
    db.close()
    wanted = close_up(closing, table, visit, first, last)
    if isinstance(wanted, Failure):
        assert found == f"UNIQUE constraint failed: {wanted.constraint}"
    else:
        assert found == wanted


@pytest.mark.parametrize("closing", [Closing.CORRELATED, Closing.SHIFTING])
def test_the_examples_have_failures_and_successes(closing: Closing) -> None:
    ended = {isinstance(close_up(closing, *example(seed)), Failure) for seed in SEEDS}
    assert ended == {True, False}
