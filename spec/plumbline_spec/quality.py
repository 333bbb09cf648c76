"""Quality: whether the clause that it breaks catches each variant, and whether a clause is idle.

Two ways. *Stored*: each variant is taken along its stored trace, which is quick. *Afresh*: each is
explored in its scope and the trace is found again. Either way the unchanged machine goes along and
must break nothing, and for each clause some variant must pass unnoticed when that one clause is
left out; a clause without one is idle.
"""

from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from plumbline_models.contract import Machine, SometimesClause, StepClause, Witness
from plumbline_models.history import Variant
from plumbline_spec.clause_table import ClauseTable, Progress, silent
from plumbline_spec.explore import Exploration, explore
from plumbline_spec.traces import FORMAT, Header, Trace, record

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")


class VariantVerdict(Struct, Generic[E], frozen=True, kw_only=True):
    """What became of one variant."""

    variant: str
    breaks: str
    source: str
    caught_by: tuple[str, ...]
    """The clauses broken at the first broken step, or the reachability clauses never reached."""
    engine: str
    """``trace`` or ``explore``."""
    effort: int
    """Steps taken, or states visited, until it was caught."""
    events: tuple[E, ...]
    """The trace along which it is caught."""
    escapes: bool | None
    """Whether it passes unnoticed without the clause; None when it does not claim to."""

    @property
    def caught(self) -> bool:
        """Whether the clause that it is said to break is among those that caught it."""
        return self.breaks in self.caught_by


class Quality(Struct, Generic[E], frozen=True, kw_only=True):
    """What became of all variants."""

    verdicts: tuple[VariantVerdict[E], ...]
    idle: tuple[str, ...]
    """Clauses that no variant needs."""
    unchanged: tuple[str, ...]
    """What the unchanged machine broke in the same run; must be empty."""
    misplaced: tuple[str, ...] = ()
    """Variants whose stored trace is missing."""

    @property
    def escaped(self) -> tuple[str, ...]:
        """Variants that were not caught by their clause."""
        return tuple(one.variant for one in self.verdicts if not one.caught)

    @property
    def shared(self) -> tuple[str, ...]:
        """Variants that claim to be sole although another clause notices them."""
        return tuple(one.variant for one in self.verdicts if one.escapes is False)

    @property
    def holds(self) -> bool:
        """Whether every variant was caught, no clause is idle and the machine broke nothing."""
        return not (self.escaped or self.shared or self.idle or self.unchanged or self.misplaced)


class Along(Struct, frozen=True, kw_only=True):
    """What breaks first along a trace, and which reachability clauses it reaches."""

    steps: int
    broken: tuple[str, ...]
    reached: frozenset[str]


def along(
    machine: Machine[S, E, O, C], events: Iterable[E], without: frozenset[str] = frozenset()
) -> Along:
    """Take events until a step breaks clauses."""
    table: ClauseTable[S, E, O] = ClauseTable(machine.clauses, without=without)
    state, steps, reached = machine.initial, 0, set[str]()
    broken = table.broken_by_state(state)
    for event in events:
        if broken:
            break
        after, outcome = machine.step(state, event)
        steps += 1
        reached |= {one.id for one in table.sometimes if one.reached(state, event, outcome, after)}
        broken = table.broken_by_step(state, event, outcome, after) + table.broken_by_state(after)
        state = after
    names = tuple(dict.fromkeys(one.clause for one in broken))
    return Along(steps=steps, broken=names, reached=frozenset(reached))


def on_stored_traces(
    machine: Machine[S, E, O, C],
    variants: Sequence[Variant[S, E, O, C]],
    traces: Sequence[Trace[S, E, O]],
) -> Quality[E]:
    """Judge each variant on its stored trace."""
    stored = {trace.header.name: trace.events for trace in traces}
    verdicts = [
        _on_trace(machine, variant, stored[variant.name])
        for variant in variants
        if variant.name in stored
    ]
    unchanged = [
        f"{name}: {clause}"
        for name, events in stored.items()
        for clause in along(machine, events).broken
    ]
    missing = tuple(variant.name for variant in variants if variant.name not in stored)
    return _quality(machine, verdicts, unchanged, missing)


def _on_trace(
    machine: Machine[S, E, O, C], variant: Variant[S, E, O, C], events: tuple[E, ...]
) -> VariantVerdict[E]:
    wrong, granted = variant.machine(), frozenset(variant.grants)
    found = along(wrong, events, granted)
    unreached = along(machine, events).reached - found.reached
    caught_by = found.broken or tuple(sorted(unreached))
    escapes = None
    if variant.sole:
        rest = along(wrong, events, granted | {variant.breaks})
        escapes = not rest.broken
    return VariantVerdict(
        variant=variant.name,
        breaks=variant.breaks,
        source=variant.source,
        caught_by=caught_by,
        engine="trace",
        effort=found.steps,
        events=events,
        escapes=escapes,
    )


def afresh(
    machine: Machine[S, E, O, C],
    variants: Sequence[Variant[S, E, O, C]],
    *,
    progress: Progress = silent,
) -> Quality[E]:
    """Explore each variant in its scope, and the unchanged machine in the same scopes."""
    search = _Search(machine, progress)
    verdicts = [search.verdict(variant) for variant in variants]
    unchanged = [
        f"{one.clause} in {scope}"
        for scope, walk in search.explored
        if walk.counterexample is not None
        for one in walk.counterexample.broken
    ]
    return _quality(machine, verdicts, unchanged, ())


class _Search(Generic[S, E, O, C]):
    """Explorations of the unchanged machine, kept by scope."""

    def __init__(self, machine: Machine[S, E, O, C], progress: Progress) -> None:
        self.machine = machine
        self.progress = progress
        self.explored: list[tuple[C, Exploration[S, E, O, C]]] = []

    def unchanged(self, scope: C) -> Exploration[S, E, O, C]:
        """Explore the unchanged machine in a scope, once."""
        for known, walk in self.explored:
            if known == scope:
                return walk
        walk = explore(self.machine, scope)
        self.explored.append((scope, walk))
        return walk

    def verdict(self, variant: Variant[S, E, O, C]) -> VariantVerdict[E]:
        """Explore one variant; with its clause, and without it when it claims to need it."""
        self.progress(variant.name)
        wrong, granted = variant.machine(), frozenset(variant.grants)
        usual = self.unchanged(variant.scope)
        walk = explore(wrong, variant.scope, without=granted)
        found = walk.counterexample
        caught_by, events = self._unreached(walk, usual, variant)
        if found is not None:
            caught_by = tuple(dict.fromkeys(one.clause for one in found.broken))
            events = found.events
        return VariantVerdict(
            variant=variant.name,
            breaks=variant.breaks,
            source=variant.source,
            caught_by=caught_by,
            engine="explore",
            effort=walk.states,
            events=events,
            escapes=self._escapes(wrong, variant, usual) if variant.sole else None,
        )

    def _unreached(
        self,
        walk: Exploration[S, E, O, C],
        usual: Exploration[S, E, O, C],
        variant: Variant[S, E, O, C],
    ) -> tuple[tuple[str, ...], tuple[E, ...]]:
        """Return what a completed walk never reached, and how the unchanged machine reaches it."""
        if not walk.complete:
            return (), ()
        unreached = tuple(one for one in walk.never_reached if one not in usual.never_reached)
        if variant.breaks not in unreached:
            return unreached, ()
        return unreached, shortest_to(self.machine, variant.breaks, variant.scope)

    def _escapes(
        self,
        wrong: Machine[S, E, O, C],
        variant: Variant[S, E, O, C],
        usual: Exploration[S, E, O, C],
    ) -> bool:
        without = frozenset({*variant.grants, variant.breaks})
        walk = explore(wrong, variant.scope, without=without)
        return walk.complete and set(walk.never_reached) <= set(usual.never_reached)


def shortest_to(machine: Machine[S, E, O, C], clause: str, scope: C) -> tuple[E, ...]:
    """Return a shortest trace that reaches a reachability clause; () when none does."""
    (sought,) = [
        one for one in machine.clauses if isinstance(one, SometimesClause) and one.id == clause
    ]

    def breaks(before: S, event: E, outcome: O, after: S) -> Witness | None:
        reached = sought.reached(before, event, outcome, after)
        return Witness(row=clause, found="reached") if reached else None

    probe: StepClause[S, E, O] = StepClause(
        id=clause, title="", sentence="", breaks=breaks, inert=True
    )
    found = explore(replace(machine, clauses=(probe,)), scope).counterexample
    return () if found is None else found.events


def _quality(
    machine: Machine[S, E, O, C],
    verdicts: list[VariantVerdict[E]],
    unchanged: list[str],
    misplaced: tuple[str, ...],
) -> Quality[E]:
    needed = {one.breaks for one in verdicts if one.caught and one.escapes}
    return Quality(
        verdicts=tuple(verdicts),
        idle=tuple(clause.id for clause in machine.own_clauses if clause.id not in needed),
        unchanged=tuple(unchanged),
        misplaced=misplaced,
    )


def to_store(
    machine: Machine[S, E, O, C],
    variants: Sequence[Variant[S, E, O, C]],
    quality: Quality[E],
    versions: dict[str, str],
) -> list[Trace[S, E, O]]:
    """Return a trace for each variant, as its wrong machine answers along it."""
    by_name = {variant.name: variant for variant in variants}
    return [
        record(
            by_name[one.variant].machine(),
            one.events,
            Header(
                format=FORMAT,
                plumbline="variant",
                machine=machine.name,
                rules=one.variant,
                name=one.variant,
                about=by_name[one.variant].story,
                scope=str(by_name[one.variant].scope),
                versions=versions,
                clauses=one.caught_by,
            ),
        )
        for one in quality.verdicts
    ]
