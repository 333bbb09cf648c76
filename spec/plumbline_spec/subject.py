"""A subject: a case with its types closed over, so that a registry can hold every machine."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from plumbline_models.contract import Clause, Machine, SometimesClause, StateClause
from plumbline_spec import engines
from plumbline_spec.breaking import every_broken
from plumbline_spec.brief import brief
from plumbline_spec.case import Case, Plan
from plumbline_spec.clause_table import Progress
from plumbline_spec.codec import schema
from plumbline_spec.diff import Comparison, diff
from plumbline_spec.errors import UnusableInput
from plumbline_spec.faults import run_faults
from plumbline_spec.interleave import run_interleave
from plumbline_spec.kept import broken_again
from plumbline_spec.mutants import run_quality_with_mutants
from plumbline_spec.quality import afresh, to_store
from plumbline_spec.repeating import rows_of
from plumbline_spec.report import ClauseInfo, EngineReport, Row
from plumbline_spec.traces import Mismatch, Trace, encode, read, replay, validate
from plumbline_spec.vectors import fill

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")


class ScopeDiff(Struct, frozen=True, kw_only=True):
    """Whether two rule sets are equal in a scope, and a shortest trace that tells them apart."""

    where: str
    """What can happen in this scope; "" for the profile's own."""
    equal: bool
    states: int
    transitions: int
    bound: str | None
    rows: tuple[tuple[int, str, str, str], ...]
    """Step, event, what the left one answers, what the right one answers."""
    differences: tuple[tuple[str, str, str], ...]
    """Place, left, right, after the last step."""


class RuleDiff(Struct, frozen=True, kw_only=True):
    """Whether two rule sets are equal, scope by scope."""

    machine: str
    left: str
    right: str
    equal: bool
    """Whether they are in every scope."""
    scopes: tuple[ScopeDiff, ...]

    @property
    def bound(self) -> str | None:
        """What stopped a scope before its end while none has told them apart; None otherwise."""
        if any(one.differences for one in self.scopes):
            return None
        return next((one.bound for one in self.scopes if one.bound is not None), None)


class Replayed(Struct, frozen=True, kw_only=True):
    """One trace, taken again."""

    name: str
    rules: str
    rows: tuple[Row, ...]
    mismatches: tuple[Mismatch, ...]


class Explored(Protocol):
    """Explores a rule set or a variant in the scopes of a profile, up to a number of states."""

    def __call__(
        self, rules: str, profile: str, most: int, progress: Progress, *, processes: int = 1
    ) -> EngineReport:
        """Explore with so many processes and report."""
        ...


class Generated(Struct, frozen=True, kw_only=True):
    """A generated file: where it belongs below the specification's folder, and what it holds."""

    path: str
    content: bytes


class Subject(Struct, frozen=True, kw_only=True):
    """A machine and its hosts, for those who do not care about its types."""

    name: str
    weight: int
    events: tuple[str, ...]
    clauses: tuple[ClauseInfo, ...]
    pairs: tuple[tuple[str, str], ...]
    rule_sets: tuple[str, ...]
    variants: tuple[str, ...]
    schema: bytes
    run: Callable[[str, Plan, Progress], EngineReport]
    """Run one engine by name."""
    diff: Callable[[str, str, str, Progress], RuleDiff]
    """Compare two rule sets in the scope of a profile."""
    replay: Callable[[Path], list[Replayed]]
    explored: "Explored"
    broken_by: Callable[[str, str, Progress], EngineReport]
    """Find every clause that a rule set or a variant breaks in the scopes of a profile."""
    generate: Callable[[Plan, Progress], list[Generated]]
    """Make the machine's schema, variant traces and vectors afresh."""


def subject(case: Case[S, E, O, C]) -> Subject:
    """Close over a case's types."""
    machine = case.machine
    return Subject(
        name=machine.name,
        weight=case.weight,
        events=tuple(kind.__name__ for kind in machine.kinds),
        clauses=tuple(_info(clause) for clause in machine.own_clauses),
        pairs=machine.pairs,
        rule_sets=tuple(case.rule_sets),
        variants=tuple(variant.name for variant in case.variants),
        schema=schema(machine.record, f"{machine.name}: event, outcome and state"),
        run=lambda engine, plan, progress: _run(case, engine, plan, progress),
        diff=lambda left, right, profile, progress: _diff(case, left, right, profile, progress),
        replay=lambda path: _replay(case, path),
        explored=partial(_explored, case),
        broken_by=lambda rules, profile, progress: _broken_by(case, rules, profile, progress),
        generate=lambda plan, progress: _generate(case, plan, progress),
    )


def _info(clause: Clause[S, E, O]) -> ClauseInfo:
    if isinstance(clause, StateClause):
        about = "state"
    else:
        about = "reach" if isinstance(clause, SometimesClause) else "step"
    return ClauseInfo(id=clause.id, title=clause.title, sentence=clause.sentence, about=about)


def _run(case: Case[S, E, O, C], engine: str, plan: Plan, progress: Progress) -> EngineReport:
    started = time.perf_counter()

    def quality(case: Case[S, E, O, C], plan: Plan, progress: Progress) -> EngineReport:
        return run_quality_with_mutants(case, plan, progress, _run)

    runs: dict[str, Callable[[Case[S, E, O, C], Plan, Progress], EngineReport]] = {
        "regressions": engines.run_regressions,
        "explore": engines.run_explore,
        "descend": engines.run_descend,
        "lockstep": engines.run_lockstep,
        "durable": engines.run_durable,
        "diff": engines.run_diff,
        "vectors": engines.run_vectors,
        "envelope": engines.run_envelope,
        "interleave": run_interleave,
        "faults": run_faults,
        "quality": quality,
    }
    report = runs[engine](case, plan, progress)
    seconds = time.perf_counter() - started
    return replace(report, seconds=seconds, share_seconds=plan.share_seconds)


def _diff(
    case: Case[S, E, O, C], left: str, right: str, profile: str, progress: Progress
) -> RuleDiff:
    one, other = case.rules(left), case.rules(right)
    found = tuple(
        _diff_in(one, other, where, scope, progress)
        for where, scope in _compared_in(case, left, right, profile)
    )
    return RuleDiff(
        machine=case.machine.name,
        left=one.rules_name,
        right=other.rules_name,
        equal=all(part.equal for part in found),
        scopes=found,
    )


def _compared_in(
    case: Case[S, E, O, C], left: str, right: str, profile: str
) -> Iterator[tuple[str, C]]:
    """Yield the scopes in which two rule sets are compared, each with what can happen in it."""
    names = (case.rules(left).rules_name, case.rules(right).rules_name)
    own = [one for one in case.compared if (one.left, one.right) == names]
    if own:
        yield from ((one.where, one.scope) for one in own)
    else:
        usual = case.scopes[profile].diff
        yield "", next((own for name in names for own in _scopes(case, name, ())[0]), usual)


def _diff_in(
    one: Machine[S, E, O, C],
    other: Machine[S, E, O, C],
    where: str,
    scope: C,
    progress: Progress,
) -> ScopeDiff:
    found: Comparison[E] = diff(one, other, scope, progress=progress)
    rows: list[tuple[int, str, str, str]] = []
    state, then = one.initial, other.initial
    for number, event in enumerate(found.events, 1):
        (state, said), (then, answered) = one.step(state, event), other.step(then, event)
        rows.append(
            (
                number,
                brief(event),
                one.outcome_name(said),
                other.outcome_name(answered),
            )
        )
    return ScopeDiff(
        where=where,
        equal=found.equal,
        states=found.states,
        transitions=found.transitions,
        bound=found.bound,
        rows=tuple(rows),
        differences=tuple((at.path, at.machine, at.host) for at in found.differences),
    )


def _replay(case: Case[S, E, O, C], path: Path) -> list[Replayed]:
    judged = case.host()
    try:
        return [
            Replayed(
                name=trace.header.name,
                rules=trace.header.rules,
                rows=tuple(rows_of(case, trace)),
                mismatches=(
                    *validate(case.rules(trace.header.rules), trace),
                    *replay(case.rules(trace.header.rules), judged, trace),
                    *_broken_again(case, trace),
                ),
            )
            for trace in read(path, lambda header: case.rules(header.rules))
        ]
    finally:
        judged.host.close()


def _broken_again(case: Case[S, E, O, C], trace: Trace[S, E, O]) -> list[Mismatch]:
    return [
        Mismatch(step=len(one.events), what=one.clause, recorded="holds", found=one.found)
        for one in broken_again(case, trace)
    ]


def _explored(
    case: Case[S, E, O, C],
    rules: str,
    profile: str,
    most: int,
    progress: Progress,
    *,
    processes: int = 1,
) -> EngineReport:
    scopes, granted = _scopes(case, rules, case.scopes[profile].explore)
    return engines.explored(
        case.rules(rules),
        scopes,
        max_states=most,
        without=granted,
        processes=processes,
        progress=progress,
    )


def _broken_by(
    case: Case[S, E, O, C], rules: str, profile: str, progress: Progress
) -> EngineReport:
    scopes, granted = _scopes(case, rules, case.scopes[profile].explore)
    return every_broken(case.rules(rules), scopes, without=granted, progress=progress)


def _scopes(
    case: Case[S, E, O, C], name: str, usual: tuple[C, ...]
) -> tuple[tuple[C, ...], frozenset[str]]:
    """Return the scopes for a rule set, or a variant's own, and the clauses that are not judged."""
    for variant in case.variants:
        if variant.name == name:
            return (variant.scope,), frozenset(variant.grants)
    return usual, frozenset()


def _generate(case: Case[S, E, O, C], plan: Plan, progress: Progress) -> list[Generated]:
    machine = case.machine
    # Whether a variant needs its clause is judged by the engine quality and changes no file.
    caught = [replace(variant, sole=False) for variant in case.variants]
    quality = afresh(machine, caught, progress=progress)
    if quality.escaped or quality.unchanged:
        raise UnusableInput(
            f"the variants of {machine.name} are not all caught; "
            f"see `plumbline quality {machine.name}`"
        )
    variants = to_store(machine, case.variants, quality, plan.versions)
    vectors = fill(
        machine, case.vectors_scopes, case.variants, variants, plan.versions, progress=progress
    )
    name = machine.name
    return [
        Generated(
            path=f"schemas/{name}.schema.json",
            content=schema(machine.record, f"{name}: event, outcome and state"),
        ),
        Generated(path=f"variants/{name}.jsonl", content=b"".join(map(encode, variants))),
        Generated(path=f"vectors/{name}.jsonl", content=b"".join(map(encode, vectors))),
    ]
