"""Vectors: the portable traces of a machine, the fewest that reach everything.

Goals are every (event, outcome) of the machine's table, every clause about a step in a step that
changes something, every reachability clause, and for every variant a trace along which a host with
that mistake answers or observes otherwise than the specification. ``fill`` finds a shortest trace
to each goal and keeps a set from which none can be taken away; ``verify`` holds machine and host to
the file.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from msgspec import Struct

from plumbline_models.contract import Machine
from plumbline_models.history import Variant
from plumbline_spec.clause_table import ClauseTable, Progress, silent
from plumbline_spec.codec import canonical
from plumbline_spec.diff import diff
from plumbline_spec.explore import Walk
from plumbline_spec.host import Judged
from plumbline_spec.traces import FORMAT, Header, Mismatch, Trace, record, replay, validate

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")

Goal = tuple[str, ...]
"""``("pair", event, outcome)``, ``("clause", id)`` or ``("variant", name)``."""


def goals_of(
    machine: Machine[S, E, O, C], variants: Sequence[Variant[S, E, O, C]]
) -> frozenset[Goal]:
    """Return everything that a machine's vectors must reach."""
    pairs: set[Goal] = {("pair", *pair) for pair in own_pairs(machine)}
    clauses: set[Goal] = {("clause", clause.id) for clause in machine.own_clauses}
    told: set[Goal] = {("variant", name) for name in tellable(machine, variants)}
    return frozenset(pairs | clauses | told)


def own_pairs(machine: Machine[S, E, O, C]) -> list[tuple[str, str]]:
    """Return the pairs that are to be exercised on this machine and not on one below."""
    return [pair for pair in machine.pairs if pair not in machine.inherited_pairs]


Wrong = Mapping[str, Machine[S, E, O, C]]
"""Machines that are wrong, by the names of their variants."""


def tellable(
    machine: Machine[S, E, O, C], variants: Sequence[Variant[S, E, O, C]]
) -> Wrong[S, E, O, C]:
    """Return the machines of the variants that begin where the machine does.

    A seeded one has no portable trace.
    """
    made = {one.name: one.machine() for one in variants}
    begins = canonical(machine.initial)
    return {name: one for name, one in made.items() if canonical(one.initial) == begins}


def reached_by(
    machine: Machine[S, E, O, C], wrong: Wrong[S, E, O, C], events: Sequence[E]
) -> frozenset[Goal]:
    """Return the goals that a trace reaches: pairs, clauses, and the wrong machines it tells."""
    table = ClauseTable(machine.own_clauses)
    found: set[Goal] = set()
    state = machine.initial
    run: list[tuple[bytes, bytes]] = []
    before = canonical(state)
    for event in events:
        after, outcome = machine.step(state, event)
        run.append((canonical(outcome), canonical(after)))
        found.add(("pair", type(event).__name__, machine.outcome_name(outcome)))
        changes = run[-1][1] != before
        for clause in table.of_step(event, outcome):
            if changes or clause.inert:
                found.add(("clause", clause.id))
        if changes:
            found |= {("clause", one.id) for one in table.about_states}
        for one in table.sometimes:
            if one.reached(state, event, outcome, after):
                found.add(("clause", one.id))
        state, before = after, run[-1][1]
    told = {("variant", name) for name, one in wrong.items() if _parts(one, events, run)}
    return frozenset(found | told)


def tells(machine: Machine[S, E, O, C], wrong: Machine[S, E, O, C], events: Sequence[E]) -> bool:
    """Tell whether a trace catches a host with a mistake: by an outcome or a state."""
    run: list[tuple[bytes, bytes]] = []
    state = machine.initial
    for event in events:
        state, outcome = machine.step(state, event)
        run.append((canonical(outcome), canonical(state)))
    return _parts(wrong, events, run)


def _parts(
    wrong: Machine[S, E, O, C], events: Sequence[E], run: Sequence[tuple[bytes, bytes]]
) -> bool:
    """Tell whether a machine parts from a run: outcomes and states as canonical bytes."""
    state = wrong.initial
    for event, right in zip(events, run, strict=True):
        state, outcome = wrong.step(state, event)
        if (canonical(outcome), canonical(state)) != right:
            return True
    return False


def shortest(
    machine: Machine[S, E, O, C], scope: C, progress: Progress = silent
) -> dict[Goal, tuple[E, ...]]:
    """Return a shortest trace to every pair and every clause of the scope, breadth first."""
    walk = Walk(machine)
    found: dict[Goal, tuple[E, ...]] = {}
    level = [machine.initial]
    while level:
        progress(f"{len(walk.seen):,} states, {len(found)} goals")
        following: list[S] = []
        for state in level:
            for event, outcome, after, new in walk.expand(state, scope):
                goals: list[Goal] = [("pair", type(event).__name__, machine.outcome_name(outcome))]
                goals += [
                    ("clause", one.id)
                    for one in walk.table.of_step(event, outcome)
                    if one.inert or after is not state
                ]
                goals += [
                    ("clause", one.id)
                    for one in walk.table.sometimes
                    if ("clause", one.id) not in found and one.reached(state, event, outcome, after)
                ]
                for goal in goals:
                    if goal not in found:
                        found[goal] = (*walk.trace_to(walk.seen[state]), event)
                if new:
                    following.append(after)
        level = following
    return found


def fill(
    machine: Machine[S, E, O, C],
    scopes: Sequence[C],
    variants: Sequence[Variant[S, E, O, C]],
    stored: Sequence[Trace[S, E, O]],
    versions: dict[str, str],
    *,
    progress: Progress = silent,
) -> list[Trace[S, E, O]]:
    """Return the vectors of a machine: shortest traces, none of which can be left out.

    ``stored`` are the variants' traces. One that a clause alone catches, and no outcome or state
    along it, gets a trace of its own from ``diff``.
    """
    candidates = [
        *(events for scope in scopes for events in shortest(machine, scope, progress).values()),
        *(one.events for one in stored),
        *_telling(machine, variants, stored),
    ]
    wrong = tellable(machine, variants)
    reach = {events: reached_by(machine, wrong, events) for events in dict.fromkeys(candidates)}
    chosen = cover(reach, goals_of(machine, variants))
    return [
        record(machine, events, _header(machine, reach[events], number, versions), states=True)
        for number, events in enumerate(chosen, 1)
    ]


def _telling(
    machine: Machine[S, E, O, C],
    variants: Sequence[Variant[S, E, O, C]],
    stored: Sequence[Trace[S, E, O]],
) -> list[tuple[E, ...]]:
    """Return a shortest telling trace for each variant that no stored trace tells."""
    scopes = {one.name: one.scope for one in variants}
    return [
        diff(machine, wrong, scopes[name]).events
        for name, wrong in tellable(machine, variants).items()
        if not any(tells(machine, wrong, trace.events) for trace in stored)
    ]


def cover(
    reach: dict[tuple[E, ...], frozenset[Goal]], goals: frozenset[Goal]
) -> list[tuple[E, ...]]:
    """Choose traces that together reach what can be reached, then drop those not needed."""
    open_goals = set(goals & frozenset[Goal]().union(*reach.values()))
    chosen: list[tuple[E, ...]] = []
    while open_goals:
        best = max(reach, key=lambda events: (len(reach[events] & open_goals), -len(events)))
        chosen.append(best)
        open_goals -= reach[best]
    for events in sorted(chosen, key=len, reverse=True):
        others = frozenset[Goal]().union(*(reach[one] for one in chosen if one != events))
        if reach[events] & goals <= others:
            chosen.remove(events)
    return sorted(chosen, key=lambda events: (len(events), [canonical(event) for event in events]))


def _header(
    machine: Machine[S, E, O, C],
    reached: frozenset[Goal],
    number: int,
    versions: dict[str, str],
) -> Header:
    return Header(
        format=FORMAT,
        plumbline="vector",
        machine=machine.name,
        rules=machine.rules_name,
        name=str(number),
        versions=versions,
        clauses=tuple(sorted((goal[1] for goal in reached if goal[0] == "clause"), key=_by_number)),
        pairs=tuple(sorted((goal[1], goal[2]) for goal in reached if goal[0] == "pair")),
        variants=tuple(sorted(goal[1] for goal in reached if goal[0] == "variant")),
    )


def _by_number(clause: str) -> tuple[str, int]:
    prefix, _, number = clause.partition("-")
    return prefix, int(number)


class Verification(Struct, Generic[E], frozen=True, kw_only=True):
    """What holding machine and host to vectors found."""

    vectors: int
    steps: int
    mismatches: tuple[tuple[str, Mismatch], ...]
    """By the vector's name."""
    unreached: tuple[Goal, ...]
    """Goals that no vector reaches."""
    events: tuple[E, ...] = ()
    """The vector of the first mismatch."""

    @property
    def holds(self) -> bool:
        """Whether every vector agrees and every goal is reached."""
        return not (self.mismatches or self.unreached)


def verify(
    machine: Machine[S, E, O, C],
    host: Callable[[], Judged[S, E, O]],
    variants: Sequence[Variant[S, E, O, C]],
    traces: Sequence[Trace[S, E, O]],
) -> Verification[E]:
    """Hold machine and host to vectors, and the vectors to their goals."""
    judged, wrong = host(), tellable(machine, variants)
    reached = frozenset[Goal]()
    mismatches: list[tuple[str, Mismatch]] = []
    events: tuple[E, ...] = ()
    try:
        for trace in traces:
            reached |= reached_by(machine, wrong, trace.events)
            found = validate(machine, trace) or replay(machine, judged, trace)
            events = events or (trace.events if found else ())
            mismatches += [(trace.header.name, one) for one in found]
    finally:
        judged.host.close()
    return Verification(
        vectors=len(traces),
        steps=sum(len(trace.steps) for trace in traces),
        mismatches=tuple(mismatches),
        unreached=tuple(sorted(goals_of(machine, variants) - reached)),
        events=events,
    )
