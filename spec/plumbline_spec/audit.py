"""Audit: what a host holds now, held to every clause that can be judged without a history.

Theory of operation. A host yields its abstract state part by part (``Observable.parts``), so memory
is bounded by the largest part, whose size is reported. Each clause about states is judged on each
part. A clause that compares parts cannot be judged on one of them: the host supplies a query for
it. Further clauses may be about rows that the abstraction function does not show, such as a stored
sum; the host supplies these whole. Every witness is counted and the first few of each clause are
kept. Clauses about steps and about reach need a history and are *not applicable*.

``compare`` takes two hosts of which the second is said to follow from the first, and judges the
conditions that any two states of one history keep.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from msgspec import Struct
from msgspec.structs import asdict, replace
from typing_extensions import TypeIs

from plumbline_models.contract import (
    Condition,
    Discrepancy,
    Machine,
    SometimesClause,
    StateClause,
    Witness,
)
from plumbline_spec.clause_table import Progress, silent
from plumbline_spec.codec import canonical
from plumbline_spec.errors import CouldNotFinish
from plumbline_spec.report import Verdict

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")
T = TypeVar("T")
W = TypeVar("W")

KEPT_WITNESSES = 5
PROGRESS_PARTS = 100
MANY = 1_000
"""Members of a tuple that are encoded at once to learn how long they are."""
NULL = b"null"

Query = Callable[[], Iterable[Witness]]
"""Every witness against one clause, from the rows of a host."""
Parts = Iterator[tuple[str, S]]
"""The state of a host part by part, by ascending key."""

NEEDS_STEPS = "it is about steps; a stored state has no history"
NEEDS_RUN = "it is about what a run reaches; a stored state has no history"
NEEDS_QUERY = "it compares parts, and the host has no query for it"


class RowClause(Struct, frozen=True, kw_only=True):
    """A clause about the rows of one kind of host, which no abstract state shows."""

    id: str
    title: str
    sentence: str
    query: Query | None
    lacks: str = ""
    """Why there is no query: what the host lacks."""


class RowCondition(Struct, frozen=True, kw_only=True):
    """A condition on the rows of two hosts, which no abstract state shows."""

    title: str
    sentence: str
    clauses: tuple[str, ...]
    discrepancies: Callable[[], Iterable[Discrepancy]]


class Part(Struct, frozen=True, kw_only=True):
    """One part of a host's state, and how large it is."""

    key: str
    size_bytes: int
    """Of the canonical form of its state."""


class ClauseResult(Struct, frozen=True, kw_only=True):
    """What an audit says about one clause."""

    clause: str
    title: str
    verdict: Verdict
    count: int = 0
    """How many witnesses there are."""
    witnesses: tuple[Witness, ...] = ()
    """The first of them."""
    why: str = ""
    """Why the clause is not applicable, or was not judged to the end."""


class Audit(Struct, frozen=True, kw_only=True):
    """What an audit found."""

    machine: str
    parts: int
    largest: Part | None
    clauses: tuple[ClauseResult, ...]
    verdict: Verdict


class ConditionResult(Struct, frozen=True, kw_only=True):
    """What a comparison says about one condition."""

    condition: str
    sentence: str
    clauses: tuple[str, ...]
    verdict: Verdict
    count: int = 0
    discrepancies: tuple[Discrepancy, ...] = ()
    """The first of them."""
    why: str = ""
    """Why the condition was not judged to the end."""


class Comparison(Struct, frozen=True, kw_only=True):
    """Which conditions fail that are necessary for one state to follow from another."""

    machine: str
    parts: int
    largest: Part | None
    """The largest of both sides."""
    conditions: tuple[ConditionResult, ...]
    verdict: Verdict


class Tally(Generic[W]):
    """Counts what it is given and keeps the first few."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.count = 0
        self.kept: list[W] = []
        self.why = ""

    def take(self, found: Iterable[W]) -> None:
        """Count every one; a host that could not finish is noted and not raised."""
        try:
            for one in found:
                self.count += 1
                if len(self.kept) < self._most:
                    self.kept.append(one)
        except CouldNotFinish as error:
            self.stop(str(error))

    def stop(self, why: str) -> None:
        """Note that there may be more than what was counted."""
        self.why = self.why or why

    @property
    def verdict(self) -> Verdict:
        """Broken when anything was found; unfinished when something may have been missed."""
        if self.count:
            return Verdict.BROKEN
        return Verdict.UNFINISHED if self.why else Verdict.HOLDS


class _Sizes:
    """How many parts there were, and which was the largest."""

    def __init__(self, progress: Progress) -> None:
        self.parts = 0
        self.largest: Part | None = None
        self._progress = progress

    def take(self, key: str, *states: object) -> None:
        """Take the states of one key."""
        self.parts += 1
        size = max(size_bytes(state) for state in states)
        if self.largest is None or size > self.largest.size_bytes:
            self.largest = Part(key=key, size_bytes=size)
        if self.parts % PROGRESS_PARTS == 0:
            self._progress(f"{self.parts:,} parts")


def size_bytes(value: object) -> int:
    """Return how long the canonical form of a value is, without ever holding all of it."""
    if _is_tuple(value):
        if len(value) <= MANY:
            return max(2, 1 + sum(size_bytes(one) + 1 for one in value))
        slices = (value[start : start + MANY] for start in range(0, len(value), MANY))
        return 1 + sum(len(canonical(one)) - 1 for one in slices)
    if isinstance(value, Struct):
        fields: dict[str, object] = asdict(value)
        large = [name for name, one in fields.items() if isinstance(one, tuple | Struct)]
        rest = canonical(replace(value, **dict.fromkeys(large)))
        return len(rest) + sum(size_bytes(fields[name]) - len(NULL) for name in large)
    return len(canonical(value))


def _is_tuple(value: object) -> TypeIs[tuple[object, ...]]:
    return isinstance(value, tuple)


def audit(
    machine: Machine[S, E, O, C],
    parts: Parts[S],
    *,
    queries: Mapping[str, Query] | None = None,
    rows: Sequence[RowClause] = (),
    lacks: Mapping[str, str] | None = None,
    keep: int = KEPT_WITNESSES,
    progress: Progress = silent,
) -> Audit:
    """Judge a machine's clauses on the parts of a host, and the host's own clauses on its rows.

    ``queries`` has a query for each clause between parts, by its id. ``lacks`` says of clauses, by
    id, why the host has nothing to judge them on. A host that cannot go on raises
    ``CouldNotFinish``; what could then not be judged is *unfinished*, and the rest goes on.
    """
    lacks, queries = lacks or {}, queries or {}
    judged = [
        clause
        for clause in machine.clauses
        if isinstance(clause, StateClause)
        and clause.id not in lacks
        and (not clause.between_parts or clause.id in queries)
    ]
    tallies: dict[str, Tally[Witness]] = {clause.id: Tally(keep) for clause in judged}
    within = [clause for clause in judged if not clause.between_parts]
    sizes = _judge_parts(within, parts, tallies, progress)
    for clause in judged:
        if clause.between_parts:
            tallies[clause.id].take(queries[clause.id]())
    results = [
        _result(one.id, one.title, tallies[one.id])
        if one.id in tallies
        else _unjudged(one.id, one.title, lacks.get(one.id) or _not_applicable(one))
        for one in machine.clauses
    ]
    results += [_row_result(clause, keep, progress) for clause in rows]
    return Audit(
        machine=machine.name,
        parts=sizes.parts,
        largest=sizes.largest,
        clauses=tuple(results),
        verdict=_worst(one.verdict for one in results),
    )


def together(
    audits: Sequence[Audit], rows: Sequence[RowClause], keep: int, progress: Progress
) -> Audit:
    """Return the audits of several machines of one host as one, with the host's own clauses."""
    results = [result for one in audits for result in one.clauses]
    results += [_row_result(clause, keep, progress) for clause in rows]
    return Audit(
        machine=" and ".join(one.machine for one in audits),
        parts=sum(one.parts for one in audits),
        largest=_largest(one.largest for one in audits),
        clauses=tuple(results),
        verdict=_worst(one.verdict for one in results),
    )


def compared_together(
    found: Sequence[Comparison], rows: Sequence[RowCondition], keep: int
) -> Comparison:
    """Return the comparisons of several machines of one host as one, with conditions on rows."""
    by_title: dict[str, ConditionResult] = {}
    for result in (result for one in found for result in one.conditions):
        same = by_title.get(result.condition)
        by_title[result.condition] = result if same is None else _both(same, result, keep)
    results = [*by_title.values()]
    results += [_kept_rows(row, keep) for row in rows]
    return Comparison(
        machine=" and ".join(one.machine for one in found),
        parts=sum(one.parts for one in found),
        largest=_largest(one.largest for one in found),
        conditions=tuple(results),
        verdict=_worst(one.verdict for one in results),
    )


def _both(one: ConditionResult, other: ConditionResult, keep: int) -> ConditionResult:
    """Return what is said of a condition that two machines have."""
    return replace(
        one,
        clauses=(*one.clauses, *other.clauses),
        verdict=_worst((one.verdict, other.verdict)),
        count=one.count + other.count,
        discrepancies=(*one.discrepancies, *other.discrepancies)[:keep],
        why=one.why or other.why,
    )


def _largest(parts: Iterable[Part | None]) -> Part | None:
    there = [one for one in parts if one is not None]
    return max(there, key=lambda one: one.size_bytes, default=None)


def _kept_rows(row: RowCondition, keep: int) -> ConditionResult:
    tally = Tally[Discrepancy](keep)
    tally.take(row.discrepancies())
    return _kept(row, tally)


def _judge_parts(
    clauses: Sequence[StateClause[S]],
    parts: Parts[S],
    tallies: Mapping[str, Tally[Witness]],
    progress: Progress,
) -> _Sizes:
    sizes = _Sizes(progress)
    try:
        for key, state in parts:
            for clause in clauses:
                tallies[clause.id].take(clause.witnesses(state))
            # Encoding a text leaves a second form of it in memory, so this comes last.
            sizes.take(key, state)
    except CouldNotFinish as error:
        for clause in clauses:
            tallies[clause.id].stop(str(error))
    return sizes


def _not_applicable(clause: object) -> str:
    if isinstance(clause, StateClause):
        return NEEDS_QUERY
    return NEEDS_RUN if isinstance(clause, SometimesClause) else NEEDS_STEPS


def _unjudged(clause: str, title: str, why: str) -> ClauseResult:
    return ClauseResult(clause=clause, title=title, verdict=Verdict.NOT_APPLICABLE, why=why)


def _result(clause: str, title: str, tally: Tally[Witness]) -> ClauseResult:
    return ClauseResult(
        clause=clause,
        title=title,
        verdict=tally.verdict,
        count=tally.count,
        witnesses=tuple(tally.kept),
        why=tally.why,
    )


def _row_result(clause: RowClause, keep: int, progress: Progress) -> ClauseResult:
    if clause.query is None:
        return _unjudged(clause.id, clause.title, clause.lacks)
    progress(f"{clause.id} {clause.title}")
    tally = Tally[Witness](keep)
    tally.take(clause.query())
    return _result(clause.id, clause.title, tally)


def _worst(verdicts: Iterable[Verdict]) -> Verdict:
    found = set(verdicts)
    for verdict in (Verdict.BROKEN, Verdict.UNFINISHED):
        if verdict in found:
            return verdict
    return Verdict.HOLDS


def compare(
    machine: Machine[S, E, O, C],
    before: Parts[S],
    after: Parts[S],
    conditions: Sequence[Condition[S]],
    *,
    rows: Sequence[RowCondition] = (),
    keep: int = KEPT_WITNESSES,
    progress: Progress = silent,
) -> Comparison:
    """Judge conditions on each part of an earlier and of a later state, taken side by side.

    A part that one side lacks is the machine's initial state there. One more condition belongs to
    every machine: a part that broke no clause about states breaks none later.
    """
    judged = (*conditions, _still_clean(machine))
    tallies = [Tally[Discrepancy](keep) for _ in judged]
    sizes = _Sizes(progress)
    try:
        for key, was, now in _side_by_side(before, after, machine.initial):
            for condition, tally in zip(judged, tallies, strict=True):
                tally.take(condition.discrepancies(was, now))
            sizes.take(key, was, now)
    except CouldNotFinish as error:
        for tally in tallies:
            tally.stop(str(error))
    results = [_kept(*pair) for pair in zip(judged, tallies, strict=True)]
    results += [_kept_rows(row, keep) for row in rows]
    return Comparison(
        machine=machine.name,
        parts=sizes.parts,
        largest=sizes.largest,
        conditions=tuple(results),
        verdict=_worst(one.verdict for one in results),
    )


def _kept(one: Condition[S] | RowCondition, tally: Tally[Discrepancy]) -> ConditionResult:
    return ConditionResult(
        condition=one.title,
        sentence=one.sentence,
        clauses=one.clauses,
        verdict=tally.verdict,
        count=tally.count,
        discrepancies=tuple(tally.kept),
        why=tally.why,
    )


def through(conditions: Iterable[Condition[S]], view: Callable[[T], S]) -> tuple[Condition[T], ...]:
    """Return conditions of one machine for another, whose states are seen as its own."""
    return tuple(_through(one, view) for one in conditions)


def _through(one: Condition[S], view: Callable[[T], S]) -> Condition[T]:
    return Condition(
        title=one.title,
        sentence=one.sentence,
        clauses=one.clauses,
        discrepancies=lambda before, after: one.discrepancies(view(before), view(after)),
    )


def _side_by_side(before: Parts[S], after: Parts[S], nothing: S) -> Iterator[tuple[str, S, S]]:
    """Yield every key of two ascending iterators with the part that each side has there."""
    was, now = next(before, None), next(after, None)
    while was is not None or now is not None:
        if now is None or (was is not None and was[0] < now[0]):
            assert was is not None
            yield was[0], was[1], nothing
            was = next(before, None)
        elif was is None or now[0] < was[0]:
            yield now[0], nothing, now[1]
            now = next(after, None)
        else:
            yield was[0], was[1], now[1]
            was, now = next(before, None), next(after, None)


def _still_clean(machine: Machine[S, E, O, C]) -> Condition[S]:
    clauses = [
        clause
        for clause in machine.clauses
        if isinstance(clause, StateClause) and not clause.between_parts
    ]

    def newly_broken(before: S, after: S) -> Iterator[Discrepancy]:
        if any(clause.breaks(before) is not None for clause in clauses):
            return
        for clause in clauses:
            for witness in clause.witnesses(after):
                yield Discrepancy(
                    table=witness.table,
                    row=f"{clause.id}, {witness.row}",
                    before="the clause holds",
                    after=witness.found,
                )

    return Condition(
        title="clauses",
        sentence="Where every clause about states held before, every one of them holds after.",
        clauses=tuple(clause.id for clause in clauses),
        discrepancies=newly_broken,
    )
