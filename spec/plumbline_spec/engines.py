"""The engines as ``plumbline check`` runs them: each makes a report of a case and a plan."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from plumbline_models.contract import Machine
from plumbline_spec.brief import brief
from plumbline_spec.case import Case, Plan
from plumbline_spec.clause_table import Broken, Progress, silent
from plumbline_spec.coverage import Covered
from plumbline_spec.descend import Descent, descend
from plumbline_spec.diff import Comparison, diff
from plumbline_spec.envelope import envelope
from plumbline_spec.explore import MAX_STATES, Counterexample, Exploration, explore
from plumbline_spec.host import Judged, offered
from plumbline_spec.kept import broken_again
from plumbline_spec.lockstep import Effort, lockstep
from plumbline_spec.quality import Quality, afresh, on_stored_traces
from plumbline_spec.report import EngineReport, Finding, PairSteps, Row, Verdict
from plumbline_spec.shrink import shrink_failure
from plumbline_spec.traces import (
    FORMAT,
    Environment,
    Header,
    Mismatch,
    Trace,
    encode,
    headers,
    read,
    record,
    replay,
    validate,
)
from plumbline_spec.trial import Failure
from plumbline_spec.vectors import own_pairs, verify

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")

MAX_DETAILS = 12


def run_regressions(case: Case[S, E, O, C], plan: Plan, progress: Progress) -> EngineReport:
    """Take the events of every stored trace on machine and host again, every clause judged.

    What was recorded beside them is what was wrong then, so it is not compared; vectors are.
    """
    name = case.machine.name
    named = (file for folder in plan.regressions for file in folder.glob(f"{name}*.jsonl"))
    files = sorted(file for file in named if _is_about(file, name))
    findings: list[Finding] = []
    traces = 0
    judged = case.host()
    try:
        for file in files:
            progress(file.name)
            for trace in read(file, lambda header: case.rules(header.rules)):
                traces += 1
                machine = case.rules(trace.header.rules)
                again = record(machine, trace.events, trace.header)
                found = validate(machine, again) or replay(machine, judged, again)
                findings += _mismatched(machine, again, found[:1], f"{file.name} ")
                findings += [
                    _finding(machine, one.clause, one.found, one.events, one.engine)
                    for one in broken_again(case, again)
                ]
    finally:
        judged.host.close()
    return _report(
        case.machine.name,
        "regressions",
        f"{traces:,} stored traces replayed",
        findings,
        figures={"traces": traces},
    )


def finding_of_broken(
    machine: Machine[S, E, O, C],
    broken: Broken,
    events: tuple[E, ...],
    engine: str = "envelope",
    environment: Environment | None = None,
) -> Finding:
    """Return the finding of a clause about hosts that an engine found broken."""
    return _finding(machine, broken.clause, str(broken.witness), events, engine, environment)


def _is_about(file: Path, machine: str) -> bool:
    """Tell whether a file is of this machine, and not of one whose name begins as this one's."""
    return any(header.machine == machine for header in headers(file))


def run_explore(case: Case[S, E, O, C], plan: Plan, progress: Progress) -> EngineReport:
    """Explore every scope of the profile; together they must reach everything."""
    return explored(
        case.machine,
        case.scopes[plan.profile.name].explore,
        processes=plan.profile.processes,
        progress=progress,
    )


def explored(
    machine: Machine[S, E, O, C],
    scopes: Sequence[C],
    *,
    max_states: int = MAX_STATES,
    without: frozenset[str] = frozenset(),
    processes: int = 1,
    progress: Progress = silent,
) -> EngineReport:
    """Explore a machine in several scopes and report what all of them together never did."""
    walks = [
        explore(
            machine,
            scope,
            max_states=max_states,
            without=without,
            processes=processes,
            progress=progress,
        )
        for scope in scopes
    ]
    found = [walk.counterexample for walk in walks if walk.counterexample is not None]
    findings = [finding for one in found for finding in findings_of(machine, one)]
    bounds = [walk.bound for walk in walks if walk.bound is not None]
    covered = _together(walks)
    report = _report(
        machine.name,
        "explore",
        _walked(walks, bounds),
        findings,
        [] if found or bounds else _never(machine, walks, covered),
        unfinished=bool(bounds),
        figures={
            "states": sum(walk.states for walk in walks),
            "transitions": sum(walk.transitions for walk in walks),
            "depth": max(walk.depth for walk in walks),
            "complete": int(not bounds and not found),
        },
    )
    return _covering(report, covered)


def _walked(walks: Sequence[Exploration[S, E, O, C]], bounds: Sequence[str]) -> str:
    whole = "complete" if all(walk.complete for walk in walks) else "stopped at a broken clause"
    if bounds:
        whole = f"stopped at {bounds[0]}"
    return (
        f"{sum(walk.states for walk in walks):,} states, "
        f"{sum(walk.transitions for walk in walks):,} transitions, "
        f"depth {max(walk.depth for walk in walks)}, {whole}, {len(walks[0].clauses)} clauses"
    )


def _never(
    machine: Machine[S, E, O, C], walks: Sequence[Exploration[S, E, O, C]], covered: Covered
) -> list[str]:
    """Return what no walk reached, enabled or exercised."""
    unreached = _in_all([walk.never_reached for walk in walks])
    idle = _in_all([walk.never_enabled for walk in walks])
    return [
        *_missing(machine, covered),
        *(f"never reached: {clause}" for clause in unreached),
        *(f"never enabled: {event}" for event in idle),
    ]


def _in_all(names: Sequence[tuple[str, ...]]) -> list[str]:
    return sorted(set(names[0]).intersection(*names[1:]))


def _together(walks: Sequence[Exploration[S, E, O, C]]) -> Covered:
    coverage = walks[0].coverage
    for walk in walks[1:]:
        coverage.add(walk.coverage)
    return coverage.result()


def run_descend(case: Case[S, E, O, C], plan: Plan, progress: Progress) -> EngineReport:
    """Take every transition of the profile's host scopes on the host; find ``explore``'s states."""
    walks: list[Descent[E]] = []
    differing: list[str] = []
    for scope in case.scopes[plan.profile.name].descend:
        walk = descend(case.machine, scope, case.host, progress=progress)
        if walk is None:
            return not_applicable(case, "descend", "the host cannot return to a savepoint")
        walks.append(_shortened(case, scope, walk))
        differing += _other_states(case.machine, scope, walk, progress) if walk.complete else []
    states, transitions = sum(one.states for one in walks), sum(one.transitions for one in walks)
    return _report(
        case.machine.name,
        "descend",
        f"{states:,} states, {transitions:,} transitions on the host, {_said(walks, differing)}",
        [
            finding_of(case.machine, one.failure, one.events, "descend")
            for one in walks
            if one.failure is not None
        ],
        differing,
        unfinished=any(one.bound is not None for one in walks),
        figures={"host_states": states, "host_transitions": transitions},
    )


def _shortened(case: Case[S, E, O, C], scope: C, walk: Descent[E]) -> Descent[E]:
    """Shrink the trace of a failure, which is as long as the walk was deep."""
    if walk.failure is None:
        return walk
    unjudged = frozenset(clause.id for clause in case.machine.clauses)
    events, failure = shrink_failure(
        case.machine, case.host, walk.events, walk.failure, scope, without=unjudged
    )
    return replace(walk, events=events, failure=failure)


def _other_states(
    machine: Machine[S, E, O, C], scope: C, walk: Descent[E], progress: Progress
) -> list[str]:
    """Walk breadth first as well; return what it found otherwise."""
    usual = explore(offered(machine, walk.lacks), scope, fingerprint=True, progress=progress)
    if (usual.states, usual.transitions, usual.fingerprint) == (
        walk.states,
        walk.transitions,
        walk.fingerprint,
    ):
        return []
    return [f"{walk.states:,} states depth first, {usual.states:,} breadth first in {scope}"]


def _said(walks: Sequence[Descent[E]], differing: Sequence[str]) -> str:
    if differing:
        return "NOT the same states as breadth first"
    bounds = [walk.bound for walk in walks if walk.bound is not None]
    if bounds:
        return f"stopped at {bounds[0]}"
    complete = all(walk.complete for walk in walks)
    return "the same states as breadth first" if complete else "stopped where they differ"


def run_lockstep(case: Case[S, E, O, C], plan: Plan, progress: Progress) -> EngineReport:
    """Run histories in memory: the seeded minimum, then more until the share is used up."""
    effort = Effort(
        examples=plan.profile.examples, steps=plan.profile.steps, seed=plan.seed, until=plan.until
    )
    return _lockstep(
        case, case.host, "lockstep", effort, plan, progress, plan.profile.histories_floor
    )


def run_durable(case: Case[S, E, O, C], plan: Plan, progress: Progress) -> EngineReport:
    """Run histories on a file, with every commit synced."""
    effort = Effort(
        examples=plan.profile.durable_examples, steps=plan.profile.steps, seed=plan.seed + 1
    )
    return _lockstep(case, case.durable, "durable", effort, plan, progress, 0)


def _lockstep(
    case: Case[S, E, O, C],
    host: Callable[[], Judged[S, E, O]],
    engine: str,
    effort: Effort,
    plan: Plan,
    progress: Progress,
    floor: int,
) -> EngineReport:
    scope = case.opening_of(plan.profile)
    run = lockstep(case.machine, host, scope, effort, database=plan.database, progress=progress)
    covered = run.coverage.result()
    possible = [pair for pair in own_pairs(case.machine) if pair[0] not in run.lacks]
    reached = sum(pair not in covered.missing_pairs for pair in possible)
    per_cent = 100 * reached // max(1, len(possible))
    findings = []
    if run.failure is not None:
        findings = [finding_of(case.machine, run.failure, run.events, engine)]
    details = [f"pair outside the table: {pair}" for pair in covered.unlisted_pairs]
    short = per_cent < floor and run.failure is None
    if short:
        details.append(f"{per_cent} % of the pairs reached, the floor is {floor} %")
    done = run.examples + run.extra_examples
    report = _report(
        case.machine.name,
        engine,
        f"{done:,} histories ({run.examples:,} seeded), {run.steps:,} steps, {per_cent} % of pairs",
        findings,
        details if covered.unlisted_pairs else [],
        unfinished=short,
        figures={"examples": done, "steps": run.steps},
    )
    return _covering(replace(report, details=tuple(details)), covered)


def run_diff(case: Case[S, E, O, C], plan: Plan, progress: Progress) -> EngineReport:
    """Hold rule sets to each other: those that must be equal, and those that must not."""
    scope = case.scopes[plan.profile.name].diff

    def compared(pairs: Sequence[tuple[str, str]]) -> list[Comparison[E]]:
        return [
            diff(case.rules(left), case.rules(right), scope, progress=progress)
            for left, right in pairs
        ]

    def claimed(equal: bool) -> list[Comparison[E]]:  # noqa: FBT001 - one of two lists
        return [
            diff(case.rules(one.left), case.rules(one.right), one.scope, progress=progress)
            for one in case.compared
            if one.equal is equal
        ]

    equal, different = compared(case.equal_rule_sets), compared(case.different_rule_sets)
    said = [f"{one.left} = {one.right}" for one in equal if one.equal]
    said += [
        f"{one.left} ≠ {one.right} in {len(one.events)} events"
        for one in different
        if one.differences
    ]
    alike, apart = claimed(equal=True), claimed(equal=False)
    for left, right in dict.fromkeys((one.left, one.right) for one in case.compared):
        same = sum((one.left, one.right) == (left, right) and one.equal for one in alike)
        other = sum((one.left, one.right) == (left, right) and not one.equal for one in apart)
        said.append(f"{left} = {right} in {same} scopes and ≠ in {other}")
    equal, different = [*equal, *alike], [*different, *apart]
    states = sum(one.states for one in (*equal, *different))
    return _report(
        case.machine.name,
        "diff",
        f"{states:,} pairs of states; {', '.join(said) or 'nothing equal'}",
        [_told_apart(case, one) for one in equal if one.differences],
        [f"equal in this scope: {one.left} and {one.right}" for one in different if one.equal],
        unfinished=any(one.bound for one in (*equal, *different)),
        figures={"pairs_of_states": states},
    )


def _told_apart(case: Case[S, E, O, C], found: Comparison[E]) -> Finding:
    """Return the finding of two rule sets that were said to be equal and are not."""
    at = found.differences[0]
    return _finding(
        case.rules(found.left),
        f"{found.left} = {found.right}",
        f"{at.path}: {at.machine} or {at.host}",
        found.events,
        "diff",
    )


def run_vectors(case: Case[S, E, O, C], plan: Plan, progress: Progress) -> EngineReport:
    """Hold machine and host to the vectors, and the vectors to their goals."""
    traces = _stored(case, plan, "vectors")
    progress(f"{len(traces)} vectors")
    found = verify(case.machine, case.host, case.variants, traces)
    by_name = {trace.header.name: trace for trace in traces}
    findings = [
        one
        for name, mismatch in found.mismatches
        for one in _mismatched(case.machine, by_name[name], [mismatch], f"vector {name} ")
    ]
    details = [f"no vector reaches {' '.join(goal)}" for goal in found.unreached]
    return _report(
        case.machine.name,
        "vectors",
        f"{found.vectors:,} vectors, {found.steps:,} steps",
        findings,
        details,
        figures={"vectors": found.vectors},
    )


def run_envelope(case: Case[S, E, O, C], plan: Plan, progress: Progress) -> EngineReport:
    """Judge transactions and request ids along the vectors, on a file."""
    found = envelope(case.machine, case.durable, _stored(case, plan, "vectors"), progress=progress)
    findings = []
    if found.broken is not None:
        broken: Broken = found.broken
        findings = [finding_of_broken(case.machine, broken, found.events)]
    report = _report(
        case.machine.name,
        "envelope",
        f"{found.steps:,} events, {found.statements:,} statements; {', '.join(found.clauses)}",
        findings,
        figures={"statements": found.statements},
    )
    return replace(report, clauses=found.clauses)


def run_quality(case: Case[S, E, O, C], plan: Plan, progress: Progress) -> EngineReport:
    """Judge every variant: on its stored trace, or searched for afresh."""
    found = (
        afresh(case.machine, case.variants, progress=progress)
        if plan.profile.afresh
        else on_stored_traces(case.machine, case.variants, _stored(case, plan, "variants"))
    )
    caught = sum(one.caught for one in found.verdicts)
    report = _report(
        case.machine.name,
        "quality",
        f"{caught} of {len(case.variants)} variants caught, {len(found.idle)} clauses idle",
        [],
        _poor(found),
        figures={"variants": len(case.variants), "variants_caught": caught},
    )
    return replace(report, table=tuple(quality_table(found)))


def _poor(found: Quality[E]) -> list[str]:
    return [
        *(f"variant not caught by its clause: {name}" for name in found.escaped),
        *(f"variant noticed by another clause as well: {name}" for name in found.shared),
        *(f"no variant needs clause {clause}" for clause in found.idle),
        *(f"the unchanged machine breaks {clause}" for clause in found.unchanged),
        *(f"variant without a stored trace: {name}" for name in found.misplaced),
    ]


def quality_table(found: Quality[E]) -> list[tuple[str, ...]]:
    """Return the table of what caught what: a heading and a row for each variant."""
    heading = ("variant", "source", "breaks", "caught by", "engine", "effort", "trace", "sole")
    rows = [
        (
            one.variant,
            one.source,
            one.breaks,
            ", ".join(one.caught_by) if one.caught_by else "NOT CAUGHT",
            one.engine,
            f"{one.effort:,} {'steps' if one.engine == 'trace' else 'states'}",
            str(len(one.events)),
            {None: "", True: "yes", False: "NO"}[one.escapes],
        )
        for one in found.verdicts
    ]
    return [heading, *rows]


ENGINES: Mapping[str, int] = {
    "regressions": 1,
    "explore": 6,
    "descend": 8,
    "lockstep": 14,
    "durable": 3,
    "diff": 4,
    "vectors": 2,
    "envelope": 3,
    "interleave": 6,
    "faults": 7,
    "quality": 10,
}
"""Every engine and its weight in the budget; those that write nothing come in this order."""


def _stored(case: Case[S, E, O, C], plan: Plan, folder: str) -> list[Trace[S, E, O]]:
    file = plan.spec / folder / f"{case.machine.name}.jsonl"
    return read(file, lambda header: case.rules(header.rules))


def _report(
    machine: str,
    engine: str,
    summary: str,
    findings: list[Finding],
    faults: list[str] | None = None,
    *,
    unfinished: bool = False,
    figures: dict[str, int] | None = None,
) -> EngineReport:
    broken = findings or faults
    verdict = Verdict.UNFINISHED if unfinished else Verdict.HOLDS
    return EngineReport(
        machine=machine,
        engine=engine,
        verdict=Verdict.BROKEN if broken else verdict,
        summary=summary,
        figures=figures or {},
        details=tuple((faults or [])[:MAX_DETAILS]),
        findings=tuple(findings),
    )


def not_applicable(case: Case[S, E, O, C], engine: str, why: str) -> EngineReport:
    """Return the report of an engine that needs what the host does not have."""
    return EngineReport(
        machine=case.machine.name, engine=engine, verdict=Verdict.NOT_APPLICABLE, summary=why
    )


def _missing(machine: Machine[S, E, O, C], covered: Covered) -> list[str]:
    """Return what is missing of a table; what is exercised on the machine below may be."""
    own = own_pairs(machine)
    missing = [pair for pair in covered.missing_pairs if pair in own]
    below = {one.id for one in machine.clauses} - {one.id for one in machine.own_clauses}
    idle = [one for one in covered.idle_clauses if not machine.inherited_pairs or one not in below]
    return [
        *(f"never exercised: {event}, {outcome}" for event, outcome in missing),
        *(f"outside the table: {event}, {outcome}" for event, outcome in covered.unlisted_pairs),
        *(f"idle clause: {clause}" for clause in idle),
    ]


def _covering(report: EngineReport, covered: Covered) -> EngineReport:
    return replace(
        report,
        pairs=tuple(
            PairSteps(event=one.event, outcome=one.outcome, steps=one.steps)
            for one in covered.pairs
        ),
        clauses=tuple(one.clause for one in covered.clauses if one.steps),
    )


def findings_of(machine: Machine[S, E, O, C], found: Counterexample[E]) -> list[Finding]:
    """Return the finding of a counterexample: the clauses that its last step breaks."""
    names = ", ".join(one.clause for one in found.broken)
    witnesses = "\n  ".join(f"{one.clause} {one.witness}" for one in found.broken)
    return [_finding(machine, names, witnesses, found.events, "explore")]


def finding_of(
    machine: Machine[S, E, O, C],
    failure: Failure,
    events: tuple[E, ...],
    engine: str,
    environment: Environment | None = None,
) -> Finding:
    """Return the finding of a step that failed on a host."""
    finding = _finding(machine, failure.name, failure.detail, events, engine, environment)
    return replace(finding, differences=failure.differences)


def _mismatched(
    machine: Machine[S, E, O, C], trace: Trace[S, E, O], found: list[Mismatch], where: str
) -> list[Finding]:
    return [
        _finding(
            machine,
            f"{where}{one.what}",
            f"step {one.step}: recorded {one.recorded}, found {one.found}",
            trace.events,
            "replay",
        )
        for one in found
    ]


def _finding(
    machine: Machine[S, E, O, C],
    name: str,
    detail: str,
    events: tuple[E, ...],
    engine: str,
    environment: Environment | None = None,
) -> Finding:
    header = Header(
        format=FORMAT,
        plumbline="regression",
        machine=machine.name,
        rules=machine.rules_name,
        name=name,
        about=detail,
        scope=f"found by {engine}",
        environment=environment,
    )
    trace = record(machine, events, header)
    rows = [
        Row(
            step=number,
            event=brief(step.event),
            outcome=machine.outcome_name(step.outcome),
        )
        for number, step in enumerate(trace.steps, 1)
    ]
    return Finding(name=name, detail=detail, rows=tuple(rows), trace=encode(trace).decode())
