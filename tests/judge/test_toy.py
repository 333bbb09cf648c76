"""The toy machine goes through every engine, and is what the judge's documentation says."""

import ast
import doctest
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from plumbline_spec import toy
from plumbline_spec.clause_table import silent
from plumbline_spec.codec import canonical
from plumbline_spec.engines import ENGINES
from plumbline_spec.explore import explore
from plumbline_spec.model_host import ModelHost, model_host
from plumbline_spec.profiles import PROFILES
from plumbline_spec.quality import along
from plumbline_spec.report import Verdict
from plumbline_spec.subject import subject
from plumbline_spec.toy import Event, Outcome, Scope, State
from tests.judge.hosts import SCOPE, plan_in

EVENTS = tuple(toy.events(State(), Scope(coins=5)))


@pytest.mark.parametrize("engine", ENGINES)
def test_the_toy_holds_in_every_engine(engine: str, toy_spec: Path) -> None:
    """TOY-1 to TOY-4."""
    report = subject(toy.case()).run(engine, plan_in(toy_spec), silent)
    assert (report.verdict, report.findings, report.details) == (Verdict.HOLDS, (), ())
    assert report.seconds > 0


@pytest.mark.parametrize("profile", PROFILES)
def test_the_toy_holds_in_the_engines_that_differ_by_profile(profile: str, toy_spec: Path) -> None:
    one = subject(toy.case())
    plan = plan_in(toy_spec, profile)
    assert one.run("quality", plan, silent).verdict is Verdict.HOLDS
    assert one.run("lockstep", plan, silent).verdict is Verdict.HOLDS


def test_the_examples_of_the_documentation_are_true() -> None:
    tried = doctest.testmod(toy)
    assert tried.attempted >= 8
    assert tried.failed == 0


def test_the_toy_imports_nothing_but_the_judge_and_the_contract() -> None:
    tree = ast.parse(Path(toy.__file__).read_text(encoding="utf-8"))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    ours = {name for name in modules if name and name.startswith("plumbline")}
    models = {name for name in ours if not name.startswith("plumbline_spec.")}
    assert models == {
        "plumbline_models",
        "plumbline_models.contract",
        "plumbline_models.history",
    }


@given(st.lists(st.sampled_from(EVENTS)))
def test_every_clause_holds_along_any_history(history: list[Event]) -> None:
    """TOY-1, TOY-2, TOY-3."""
    machine = toy.machine()
    assert along(machine, history).broken == ()
    state = machine.initial
    for event in history:
        state, outcome = machine.step(state, event)
        assert (type(event).__name__, toy.outcome_name(outcome)) in toy.PAIRS


@pytest.mark.parametrize(
    ("held", "event", "outcome", "left"),
    [
        (1, toy.Deposit(coins=2), toy.Deposited(held=3), 3),
        (2, toy.Deposit(coins=2), toy.Refused(reason=toy.Reason.FULL), 2),
        (2, toy.Withdraw(coins=2), toy.Withdrawn(held=0), 0),
        (1, toy.Withdraw(coins=2), toy.Refused(reason=toy.Reason.SHORT), 1),
        (3, toy.Clear(), toy.Cleared(coins=3), 0),
        (0, toy.Clear(), toy.Refused(reason=toy.Reason.EMPTY), 0),
    ],
)
def test_a_step_is_decided_at_its_boundary(
    held: int, event: Event, outcome: Outcome, left: int
) -> None:
    assert toy.step(toy.SPEC, State(held=held), event) == (State(held=left), outcome)


def test_what_is_written_is_read_back() -> None:
    machine = toy.machine()
    for event in EVENTS:
        state, outcome = machine.step(State(held=2), event)
        assert machine.decode(canonical(event)) == event
        assert machine.decode_outcome(canonical(outcome)) == outcome
        assert machine.decode_state(canonical(state)) == state


def test_choices_name_what_just_fits_and_what_does_not() -> None:
    (group,) = toy.choices(State(held=1)).groups
    assert group == {"coins:Deposit": (1, 2, 3), "coins:Withdraw": (1, 1, 2)}
    (empty,) = toy.choices(State()).groups
    assert empty["coins:Withdraw"] == (1, 1)


def test_a_machine_as_a_host_has_one_part_unless_it_has_a_partition() -> None:
    machine = toy.machine()
    whole = model_host(machine).observable
    assert whole is not None
    assert list(whole.parts()) == [("", State())]
    parts = ModelHost(replace(machine, partition=halves)).parts()
    assert list(parts) == [("left", State()), ("right", State(held=9))]


def halves(state: State) -> dict[str, State]:
    return {"left": state, "right": State(held=9)}


def test_the_scope_of_the_toy_is_what_the_judge_counts() -> None:
    found = explore(toy.machine(), SCOPE)
    assert (found.states, found.transitions, found.depth) == (4, 20, 2)
