"""Audit of Plumbline's databases: which machine, which queries and which conditions belong to one.

Theory of operation. Machines stand on each other, and the state of the topmost that a file has
tables for contains those of all below; its clauses contain theirs. So a file is read once, by the
parts of that machine, and a machine that came with a later migration is not applicable. The clauses
of the tables (``plumbline.tables``) come last.

Anchoring stands apart from conversations and is audited beside them.

To add a machine, put an ``auditable`` of it at the end of the family that it belongs to.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import apsw
from msgspec import Struct
from msgspec.structs import replace

from plumbline import anchoring as sqlite_anchoring
from plumbline import compaction as sqlite_compaction
from plumbline import intake as sqlite_intake
from plumbline import ordinals as sqlite_ordinals
from plumbline import tokens as sqlite_tokens
from plumbline.damaged import as_text, every_row
from plumbline.database import version_of
from plumbline.log_clauses import QUERIES as LOG_QUERIES
from plumbline.reading import reading
from plumbline.replay_log import as_hex
from plumbline.sqlite_host import Program
from plumbline.tables import (
    ANCHORING,
    COMPACTION,
    INTAKE,
    ORDINALS,
    SHOWN,
    TOKENS,
    Plan,
    TableClause,
    plan,
    table_clauses,
)
from plumbline_models import anchoring, compaction, intake, ordinals, tokens
from plumbline_models.anchoring.conditions import conditions as conditions_of_anchoring
from plumbline_models.contract import Condition, Discrepancy, Machine, Witness
from plumbline_models.intake.conditions import conditions as conditions_of_intake
from plumbline_models.ordinals.conditions import conditions as conditions_of_ordinals
from plumbline_models.tokens.conditions import conditions as conditions_of_tokens
from plumbline_spec import audit as judge
from plumbline_spec.audit import Audit, ClauseResult, Comparison, RowClause, RowCondition, through
from plumbline_spec.clause_table import Progress, silent
from plumbline_spec.errors import CouldNotFinish, UnusableInput
from plumbline_spec.report import Verdict

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")
T = TypeVar("T")

Find = Callable[[apsw.Connection], Iterator[Witness]]
"""Every witness against a clause between parts, from the tables."""


class FileAudit(Struct, frozen=True, kw_only=True):
    """What an audit of one file found."""

    file: str
    version: int
    audit: Audit


class FileComparison(Struct, frozen=True, kw_only=True):
    """What a comparison of two files found."""

    before: str
    after: str
    comparison: Comparison


class Auditable(Struct, frozen=True, kw_only=True):
    """A machine over SQLite, for those who do not care about its types."""

    name: str
    since: int
    """The migration from which a database has its tables."""
    clauses: tuple[tuple[str, str], ...]
    """Ids and titles."""
    audit: Callable[[apsw.Connection, tuple[RowClause, ...], int, Progress], Audit]
    compare: Callable[
        [apsw.Connection, apsw.Connection, tuple[RowCondition, ...], int, Progress], Comparison
    ]


Family = tuple[Auditable, ...]
"""Machines that stand on each other, each after those below it."""


def families() -> tuple[Family, ...]:
    """Return every machine over SQLite."""
    return (_about_conversations(), _about_snapshots())


def _about_snapshots() -> Family:
    return (
        auditable(
            anchoring.machine(),
            sqlite_anchoring.PROGRAM,
            since=ANCHORING,
            queries=LOG_QUERIES,
            conditions=conditions_of_anchoring(),
        ),
    )


def _about_conversations() -> Family:
    return (
        auditable(
            ordinals.machine(),
            sqlite_ordinals.PROGRAM,
            since=ORDINALS,
            queries=_BETWEEN_PARTS,
            conditions=conditions_of_ordinals(),
        ),
        auditable(
            tokens.machine(),
            sqlite_tokens.PROGRAM,
            since=TOKENS,
            queries=_BETWEEN_PARTS,
            conditions=tokens_and_below(),
        ),
        auditable(
            intake.machine(),
            sqlite_intake.PROGRAM,
            since=INTAKE,
            queries=_BETWEEN_PARTS,
            conditions=intake_and_below(),
        ),
        auditable(
            compaction.machine(),
            sqlite_compaction.PROGRAM,
            since=COMPACTION,
            queries=_BETWEEN_PARTS,
            conditions=compaction_and_below(),
        ),
    )


def tokens_and_below() -> tuple[Condition[tokens.State], ...]:
    """Return the conditions of tokens and those of ordinals."""
    return (*through(conditions_of_ordinals(), _lists), *conditions_of_tokens())


def intake_and_below() -> tuple[Condition[intake.State], ...]:
    """Return the conditions of intake and those of tokens and ordinals."""
    return (*through(tokens_and_below(), _ledger), *conditions_of_intake())


def compaction_and_below() -> tuple[Condition[compaction.State], ...]:
    """Return the conditions of intake and below: an extent follows from what they speak of."""
    return through(intake_and_below(), _taken)


def _lists(state: tokens.State) -> ordinals.State:
    return state.lists


def _taken(state: compaction.State) -> intake.State:
    return state.taken


def _ledger(state: intake.State) -> tokens.State:
    return state.ledger


def auditable(
    machine: Machine[S, E, O, C],
    program: Program[S, E, O],
    *,
    since: int,
    queries: Mapping[str, Find],
    conditions: tuple[Condition[S], ...],
) -> Auditable:
    """Close over a machine's types; ``queries`` has one for each clause between parts, by id."""

    def parts(db: apsw.Connection) -> Iterator[tuple[str, S]]:
        return _told(lambda: program.parts(db))

    def audited(
        db: apsw.Connection, rows: tuple[RowClause, ...], keep: int, progress: Progress
    ) -> Audit:
        asked = {clause: _query(find, db) for clause, find in queries.items()}
        return judge.audit(
            machine, parts(db), queries=asked, rows=rows, keep=keep, progress=progress
        )

    def compared(
        before: apsw.Connection,
        after: apsw.Connection,
        rows: tuple[RowCondition, ...],
        keep: int,
        progress: Progress,
    ) -> Comparison:
        return judge.compare(
            machine,
            parts(before),
            parts(after),
            conditions,
            rows=rows,
            keep=keep,
            progress=progress,
        )

    return Auditable(
        name=machine.name,
        since=since,
        clauses=tuple((clause.id, clause.title) for clause in machine.clauses),
        audit=audited,
        compare=compared,
    )


def audit_file(
    path: Path,
    *,
    known: tuple[Family, ...] | None = None,
    keep: int = judge.KEPT_WITNESSES,
    progress: Progress = silent,
    scratch: Path | None = None,
) -> FileAudit:
    """Audit one database; no byte of its folder changes.

    Raises ``UnusableInput`` for a file that is no Plumbline database, ``CouldNotFinish`` when it
    was written meanwhile.
    """
    known = families() if known is None else known
    with reading(path, scratch=scratch) as db:
        version = version_of(db)
        wanted = plan(version)
        rows = tuple(_row_clause(db, wanted, clause) for clause in table_clauses())
        audits = [one.audit(db, (), keep, progress) for one in _topmost(known, version, path)]
        found = judge.together(audits, rows, keep, progress)
    absent = tuple(one for family in known for one in _absent(family, version))
    return FileAudit(
        file=str(path), version=version, audit=replace(found, clauses=found.clauses + absent)
    )


def compare_files(
    before: Path,
    after: Path,
    *,
    known: tuple[Family, ...] | None = None,
    keep: int = judge.KEPT_WITNESSES,
    progress: Progress = silent,
    scratch: Path | None = None,
) -> FileComparison:
    """Judge whether one database can have become another; no byte of their folders changes.

    Raises as ``audit_file`` does.
    """
    known = families() if known is None else known
    with reading(before, scratch=scratch) as was, reading(after, scratch=scratch) as now:
        versions = version_of(was), version_of(now)
        found = judge.compared_together(
            [
                one.compare(was, now, (), keep, progress)
                for one in _topmost(known, min(versions), before)
            ],
            tuple(_row_conditions(was, now)),
            keep,
        )
    return FileComparison(before=str(before), after=str(after), comparison=found)


def _topmost(known: tuple[Family, ...], version: int, path: Path) -> list[Auditable]:
    """Return of each family the machine that a version has tables for and that stands on top."""
    there = [[one for one in family if one.since <= version] for family in known]
    tops = [family[-1] for family in there if family]
    if not tops:
        raise UnusableInput(f"{path} has version {version}, which holds no machine to audit")
    return tops


def _absent(family: Family, version: int) -> Iterator[ClauseResult]:
    """Yield the clauses that the machine of a version does not have, as not applicable.

    Those of a machine below it that it did not inherit are about what a run reaches; the others are
    of machines that came with a later version.
    """
    there = [one for one in family if one.since <= version]
    seen = {clause for top in there[-1:] for clause, _ in top.clauses}
    for one in family:
        later = (
            f"the file has version {version}, and the tables of {one.name} come with {one.since}"
        )
        why = judge.NEEDS_RUN if one in there else later
        for clause, title in [pair for pair in one.clauses if pair[0] not in seen]:
            seen.add(clause)
            yield ClauseResult(clause=clause, title=title, verdict=Verdict.NOT_APPLICABLE, why=why)


def _row_clause(db: apsw.Connection, wanted: Plan, clause: TableClause) -> RowClause:
    there = clause.since <= wanted.version
    return RowClause(
        id=clause.id,
        title=clause.title,
        sentence=clause.sentence,
        query=_query(lambda at: clause.find(at, wanted), db) if there else None,
        lacks=f"the file has version {wanted.version}, and its tables come with {clause.since}",
    )


def _query(find: Find, db: apsw.Connection) -> judge.Query:
    return lambda: _told(lambda: find(db))


def _told(rows: Callable[[], Iterable[T]]) -> Iterator[T]:
    """Yield rows; what SQLite refuses ends them as ``CouldNotFinish``."""
    try:
        yield from rows()
    except apsw.Error as error:
        raise CouldNotFinish(f"SQLite could not read on: {error}") from error


# Clauses and conditions that compare parts


def same_identity(db: apsw.Connection) -> Iterator[Witness]:
    """Yield every further row that an id names, of messages and of summaries (ORD-8).

    A range and not an equation finds the rows, for SQLite believes that a unique key has one.
    """
    for kind, repeated, places in (
        ("message", _REPEATED_MESSAGES, _PLACES_OF_A_MESSAGE),
        ("summary", _REPEATED_SUMMARIES, _PLACES_OF_A_SUMMARY),
    ):
        names = dict.fromkeys(name for query in repeated for (name,) in every_row(db, query))
        for name in names:
            named = [(as_text(at), as_text(table)) for at, table in every_row(db, places, (name,))]
            for conversation, table in named[1:]:
                row = f"conversation {conversation}, {kind} {as_text(name)}"
                yield Witness(table=table, row=row, found="the id names another item as well")


_REPEATED_MESSAGES = (
    "SELECT message FROM messages GROUP BY message HAVING count(*) > 1",
    """
    SELECT message FROM losses WHERE cause = 'forgotten' AND message IS NOT NULL
        GROUP BY message HAVING count(*) > 1
    """,
    """
    SELECT message FROM losses AS l WHERE cause = 'forgotten'
        AND EXISTS (SELECT 1 FROM messages AS m WHERE m.message = l.message)
    """,
)
_PLACES_OF_A_MESSAGE = """
    SELECT conversation, 'messages' AS stored_in FROM messages WHERE message BETWEEN ?1 AND ?1
    UNION ALL
    SELECT conversation, 'losses' FROM losses WHERE cause = 'forgotten'
        AND message BETWEEN ?1 AND ?1
    ORDER BY conversation, stored_in DESC
"""
_REPEATED_SUMMARIES = ("SELECT summary FROM summaries GROUP BY summary HAVING count(*) > 1",)
_PLACES_OF_A_SUMMARY = """
    SELECT conversation, 'summaries' FROM summaries WHERE summary BETWEEN ?1 AND ?1
    ORDER BY conversation
"""


_BETWEEN_PARTS: Mapping[str, Find] = {"ORD-8": same_identity}
"""The queries of ordinals, which the machines that stand on it inherit; they have none more."""


def _row_conditions(was: apsw.Connection, now: apsw.Connection) -> Iterator[RowCondition]:
    yield RowCondition(
        title="version",
        sentence="The version of the tables does not go back.",
        clauses=(),
        discrepancies=lambda: _told(lambda: _older(was, now)),
    )
    yield RowCondition(
        title="answers",
        sentence="The answer to a request id stays as it is.",
        clauses=("ENV-2", "ENV-3"),
        discrepancies=lambda: _told(lambda: _answers(was, now)),
    )
    if version_of(was) >= ANCHORING:
        yield RowCondition(
            title="outcomes",
            sentence="Every outcome that was logged is known, with what was handed.",
            clauses=("ANC-17", "ANC-20"),
            discrepancies=lambda: _told(lambda: _forgotten(was, now)),
        )


def _older(was: apsw.Connection, now: apsw.Connection) -> Iterator[Discrepancy]:
    before, after = version_of(was), version_of(now)
    if after < before:
        yield Discrepancy(
            table="plumbline_meta", row="version", before=str(before), after=str(after)
        )


def _answers(was: apsw.Connection, now: apsw.Connection) -> Iterator[Discrepancy]:
    """Look up every stored answer of the earlier side on the later one."""
    query = "SELECT request, event, outcome FROM requests ORDER BY request"
    answer = "SELECT event, outcome FROM requests WHERE request = ?"
    for request, event, outcome in every_row(was, query):
        found = next(iter(every_row(now, answer, (request,))), None)
        if found != (event, outcome):
            yield Discrepancy(
                table="requests",
                row=f"request {as_text(request)}",
                before=_shown(event, outcome),
                after="gone" if found is None else _shown(*found),
            )


def _forgotten(was: apsw.Connection, now: apsw.Connection) -> Iterator[Discrepancy]:
    """Look up every outcome of the earlier side on the later one, in its log or truncated."""
    every = "SELECT outcome, digest FROM log UNION ALL SELECT outcome, digest FROM truncated"
    one = (
        "SELECT digest FROM log WHERE outcome = ?1"
        " UNION ALL SELECT digest FROM truncated WHERE outcome = ?1"
    )
    for outcome, digest in every_row(was, every):
        found = next(iter(every_row(now, one, (outcome,))), None)
        if found != (digest,):
            yield Discrepancy(
                table="log",
                row=f"outcome {as_text(outcome)}",
                before=f"digest {as_hex(digest)[:SHOWN_DIGEST]}",
                after="gone" if found is None else f"digest {as_hex(found[0])[:SHOWN_DIGEST]}",
            )


SHOWN_DIGEST = 8
"""Digits of a digest that a discrepancy shows."""


def _shown(event: object, outcome: object) -> str:
    said = as_text(outcome)
    return f"{said if len(said) <= SHOWN else said[: SHOWN - 1] + '…'} to event {as_text(event)}"
