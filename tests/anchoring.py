"""Events of anchoring, in short: what tests log and publish."""

from collections.abc import Iterable

import apsw

from plumbline_models.anchoring import Draft, Key, OutcomeId, Record, SnapshotId

KEYS_A_FAMILY = 10


def key(number: int) -> Key:
    """Return the key of a number; ten of them are of one family."""
    return Key(family=f"family {number // KEYS_A_FAMILY}", plan=f"plan {number}", mode="auto")


def draft(
    number: int, *, keys: int = 2, reward: int | None = None, under: int | None = None
) -> Draft:
    """Return the outcome of a number; its key and its reward come by turns."""
    return Draft(
        outcome=OutcomeId(f"o{number}"),
        key=key(number % keys),
        reward=(number * 7_919) % 2_000_001 - 1_000_000 if reward is None else reward,
        under=None if under is None else SnapshotId(under),
    )


def recording(numbers: Iterable[int], *, keys: int = 2, under: int | None = None) -> Record:
    """Return the logging of the outcomes of these numbers."""
    return Record(drafts=tuple(draft(number, keys=keys, under=under) for number in numbers))


def drop_triggers(db: apsw.Connection) -> None:
    """Let anything be written that no trigger of the tables would let pass."""
    for (trigger,) in db.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'trigger'"
    ).fetchall():
        db.execute(f"DROP TRIGGER {trigger}")
