"""Bugs to plant in the SQLite implementation: statements that are wrong in one place.

A mutant lives in the connection, so nothing of the implementation is touched, and planting one that
no statement has is an error and not a pass.
"""

from typing import TYPE_CHECKING

import apsw
import pytest
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apsw import Bindings

SOON = ("descend", "lockstep", "vectors")
"""What finds a mutant that some hundred random steps are enough for."""


class Mutant(Struct, frozen=True, kw_only=True):
    """A part of a statement, and what stands there instead."""

    name: str
    part: str
    wrong: str
    found_by: tuple[str, ...] = ("descend", "vectors")
    """The engines that must find it within little time."""


MUTANTS = (
    Mutant(
        name="a range of more than two is deleted but for its last row",
        part="DELETE FROM context WHERE conversation = ? AND position BETWEEN ? AND ?",
        wrong="DELETE FROM context"
        " WHERE conversation = ?1 AND position BETWEEN ?2 AND ?3 - (?3 - ?2 > 1)",
        found_by=("descend", "lockstep"),
    ),
    Mutant(
        name="nobody looks whether the items are adjacent",
        part="SELECT count(*) FROM (SELECT 1 FROM context"
        " WHERE conversation = ? AND position BETWEEN ? AND ? LIMIT ?)",
        wrong="SELECT ?4 - 1 FROM (SELECT ?1, ?2, ?3)",
    ),
    Mutant(
        name="nobody looks at the ordinals from the older end",
        part="SELECT count(*) FROM (SELECT 1 FROM context"
        " WHERE conversation = ? AND position < ? LIMIT ?)",
        wrong="SELECT ?3 - 1 FROM (SELECT ?1, ?2)",
        found_by=("descend",),
    ),
    Mutant(
        name="the ordinals are counted from one at the newer end",
        part="AND position > ? LIMIT ?",
        wrong="AND position >= ? LIMIT ?",
        found_by=(),
    ),
    Mutant(
        name="the length of the context is not kept",
        part="SET items = items + ? WHERE",
        wrong="SET items = items + 0 * ? WHERE",
        found_by=SOON,
    ),
    Mutant(
        name="a rollback restores the sources backwards",
        part="SELECT ?, position, message, source FROM lineage WHERE summary = ?",
        wrong="SELECT ?1, (SELECT min(position) + max(position) FROM lineage WHERE summary = ?2)"
        " - position, message, source FROM lineage WHERE summary = ?2",
    ),
    Mutant(
        name="a prune records nothing",
        part="INSERT INTO losses VALUES (?, ?, 'pruned', ?, ?)",
        wrong="SELECT ?, ?, 'pruned', ?, ?",
        found_by=SOON,
    ),
    Mutant(
        name="a forgotten message may come back",
        part="cause = 'forgotten' AND message = ?",
        wrong="cause = 'forgotten' AND message = ? AND 0",
        found_by=SOON,
    ),
    Mutant(
        name="a covered message is forgotten",
        part="LEFT JOIN lineage AS l ON l.message = m.message",
        wrong="LEFT JOIN lineage AS l ON l.message = m.message AND 0",
    ),
    Mutant(
        name="numbers are taken from the context",
        part="SELECT items, next_sequence FROM conversations WHERE conversation = ?",
        wrong="SELECT items, (SELECT coalesce(max(position), 0) + 1 FROM context"
        " WHERE conversation = ?1) FROM conversations WHERE conversation = ?1",
        found_by=SOON,
    ),
    Mutant(
        name="the retained depth is one too much",
        part="s.depth < ?2",
        wrong="s.depth <= ?2",
    ),
)


class Planted:
    """A bug that every database has which is opened while it is planted."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant
        self.met = 0
        """How many statements had the part."""

    def mutated(self, statements: str) -> str:
        """Return the statements with the bug."""
        self.met += self.mutant.part in statements
        return statements.replace(self.mutant.part, self.mutant.wrong)


def plant(monkeypatch: pytest.MonkeyPatch, mutant: Mutant) -> Planted:
    """Plant a bug until ``monkeypatch`` undoes it."""
    planted = Planted(mutant)

    class Mutating(apsw.Connection):
        def execute(
            self,
            statements: str,
            bindings: "Bindings | None" = None,
            *,
            can_cache: bool = True,
            prepare_flags: int = 0,
            explain: int = -1,
        ) -> apsw.Cursor:
            wrong = planted.mutated(statements)
            return super().execute(
                wrong, bindings, can_cache=can_cache, prepare_flags=prepare_flags, explain=explain
            )

        def executemany(
            self,
            statements: str,
            sequenceofbindings: "Iterable[Bindings]",
            *,
            can_cache: bool = True,
            prepare_flags: int = 0,
            explain: int = -1,
        ) -> apsw.Cursor:
            return super().executemany(
                planted.mutated(statements),
                sequenceofbindings,
                can_cache=can_cache,
                prepare_flags=prepare_flags,
                explain=explain,
            )

    monkeypatch.setattr(apsw, "Connection", Mutating)
    return planted
