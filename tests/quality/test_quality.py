"""Tests of the tests: every variant is caught, no clause is idle, a blind judge is noticed."""

from collections.abc import Callable
from functools import partial

from msgspec.structs import replace

from plumbline.registry import ordinals_case
from plumbline_models.contract import Clause, StateClause, StepClause
from plumbline_models.history.ordinals import VARIANTS
from plumbline_models.history.ordinals.making import OrdinalsVariant
from plumbline_models.ordinals import Event, Machine, Outcome, Scope, State
from plumbline_spec.case import Case
from plumbline_spec.data import spec_folder
from plumbline_spec.explore import explore
from plumbline_spec.host import Judged
from plumbline_spec.lockstep import Effort, lockstep
from plumbline_spec.model_host import model_host
from plumbline_spec.quality import on_stored_traces
from plumbline_spec.traces import Trace, read

CASE: Case[State, Event, Outcome, Scope] = ordinals_case()
TRACES: list[Trace[State, Event, Outcome]] = read(
    spec_folder() / "variants" / "ordinals.jsonl", lambda header: CASE.rules(header.rules)
)


def test_every_variant_is_caught_on_its_stored_trace_and_no_clause_is_idle() -> None:
    found = on_stored_traces(CASE.machine, VARIANTS, TRACES)
    assert found.holds, (found.escaped, found.idle, found.unchanged, found.misplaced)
    assert len(found.verdicts) == len(VARIANTS)


def test_a_clause_weakened_to_true_is_reported_as_idle() -> None:
    def weaken(clause_id: str) -> Case[State, Event, Outcome, Scope]:
        variants = tuple(
            replace(variant, machine=_without(variant.machine, clause_id)) for variant in VARIANTS
        )
        return replace(CASE, variants=variants)

    for clause in ("ORD-1", "ORD-12", "ORD-17", "ORD-28"):
        case = weaken(clause)
        found = on_stored_traces(case.machine, case.variants, TRACES)
        assert clause in found.idle
        assert any(verdict.breaks == clause and not verdict.caught for verdict in found.verdicts)


def _without(maker: Callable[[], Machine], weak: str) -> Callable[[], Machine]:
    def weakened() -> Machine:
        machine = maker()
        return replace(machine, clauses=tuple(_weak(clause, weak) for clause in machine.clauses))

    return weakened


def _weak(clause: Clause[State, Event, Outcome], weak: str) -> Clause[State, Event, Outcome]:
    match clause:
        case StateClause(id=name) if name == weak:
            return replace(clause, witnesses=_none)
        case StepClause(id=name) if name == weak:
            return replace(clause, breaks=_never)
        case _:
            return clause


def _none(*_anything: object) -> tuple[()]:
    return ()


def _never(*_anything: object) -> None:
    return None


def test_the_unchanged_machine_breaks_nothing_along_any_stored_trace() -> None:
    assert on_stored_traces(CASE.machine, VARIANTS, TRACES).unchanged == ()


def test_lockstep_tells_variants_from_the_machine_when_they_are_the_host() -> None:
    scope = CASE.scopes["quick"].descend[0]
    named = {variant.name: variant for variant in VARIANTS}
    for name in ("PRUNE_GAPS", "LAST_LEFT", "MAX_PLUS_ONE", "ONE_COUNTER", "ROLLED_BACKWARDS"):
        variant = named[name]
        effort = Effort(examples=200, steps=30, seed=1)
        run = lockstep(CASE.machine, partial(_host, variant), scope, effort)
        assert run.failure is not None, name
        assert len(run.events) <= 6


def _host(variant: OrdinalsVariant) -> Judged[State, Event, Outcome]:
    return model_host(variant.machine())


def test_an_exploration_without_the_clause_of_a_sole_variant_is_clean() -> None:
    (variant,) = [variant for variant in VARIANTS if variant.name == "NO_SECOND"]
    walk = explore(variant.machine(), variant.scope)
    assert walk.never_reached == ("ORD-21",)
    assert walk.counterexample is None
