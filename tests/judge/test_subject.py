"""Subjects: what a registry and the command see of a machine."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from plumbline_spec import toy
from plumbline_spec.clause_table import silent
from plumbline_spec.errors import UnusableInput
from plumbline_spec.report import ClauseInfo, Verdict
from plumbline_spec.subject import subject
from plumbline_spec.toy import VARIANTS, Clear, Deposit, Withdraw, machine
from plumbline_spec.traces import headers, write
from tests.judge.hosts import MisAnswers, plan_in, trace_of

TOY = subject(toy.case())


def test_a_subject_lists_what_a_machine_has() -> None:
    assert (TOY.name, TOY.weight) == ("toy", 1)
    assert TOY.events == ("Deposit", "Withdraw", "Clear")
    assert TOY.pairs == toy.PAIRS
    assert TOY.rule_sets == ("SPEC", "BY_ROOM", "PARTLY")
    assert TOY.variants == ("ONE_TOO_MANY", "LOSES", "PARTLY", "NEVER_FULL")
    assert [one.about for one in TOY.clauses] == ["state", "step", "step", "reach"]
    assert TOY.clauses[1] == ClauseInfo(
        id="TOY-2",
        title="refusal",
        sentence="A refusal MUST leave the locker as it was.",
        about="step",
    )
    assert json.loads(TOY.schema)["title"] == "toy: event, outcome and state"


def test_a_case_knows_its_rule_sets_and_its_variants_by_name() -> None:
    case = toy.case()
    assert case.rules("BY_ROOM").rules_name == "BY_ROOM"
    assert case.rules("LOSES").rules_name == "LOSES"
    with pytest.raises(UnusableInput, match="toy has no rule set 'NONE'; it has SPEC, BY_ROOM"):
        case.rules("NONE")


def test_a_rule_set_is_found_by_a_beginning_that_no_other_has() -> None:
    names = {"SPEC": machine, "BEFORE_295": machine, "BEFORE_344": machine, "BY": machine}
    case = replace(toy.case(), rule_sets=names)
    assert case.rule_sets_named("sp") == ["SPEC"]
    assert case.rule_sets_named("before_2") == ["BEFORE_295"]
    assert case.rule_sets_named("by") == ["BY"]
    assert case.rule_sets_named("nobody") == []
    with pytest.raises(UnusableInput, match="has BEFORE_295 and BEFORE_344; 'before' may be"):
        case.rules("before")


# Diff.


def test_equal_rule_sets_have_no_rows() -> None:
    found = TOY.diff("SPEC", "BY_ROOM", "quick", silent)
    (one,) = found.scopes
    assert (found.equal, one.rows, one.differences, found.bound) == (True, (), (), None)
    assert (found.machine, found.left, found.right) == ("toy", "SPEC", "BY_ROOM")
    assert (one.where, one.equal, one.states, one.transitions) == ("", True, 4, 20)


def test_the_rows_of_a_difference_are_what_both_answer() -> None:
    found = TOY.diff("SPEC", "LOSES", "quick", silent)
    assert not found.equal
    (one,) = found.scopes
    assert one.rows == (
        (1, "Deposit(coins=1)", "Deposited", "Deposited"),
        (2, "Withdraw(coins=2)", "Refused(short)", "Refused(short)"),
    )
    assert one.differences == (("state.held", "1", "0"),)


def test_a_difference_from_an_unknown_rule_set_is_unusable() -> None:
    with pytest.raises(UnusableInput):
        TOY.diff("SPEC", "NONE", "quick", silent)


# Replay.


def test_a_trace_is_shown_with_what_is_untrue_of_it(tmp_path: Path) -> None:
    path = tmp_path / "toy.jsonl"
    write(path, [trace_of(Deposit(coins=3), Clear(), name="right"), trace_of(name="empty")])
    right, empty = TOY.replay(path)
    assert (right.name, right.rules, right.mismatches) == ("right", "SPEC", ())
    assert [(row.step, row.event, row.outcome) for row in right.rows] == [
        (1, "Deposit(coins=3)", "Deposited"),
        (2, "Clear()", "Cleared"),
    ]
    assert (empty.rows, empty.mismatches) == ((), ())
    case = replace(toy.case(), host=MisAnswers.make)
    wrong, _ = subject(case).replay(path)
    assert [(one.step, one.what) for one in wrong.mismatches] == [(2, "host outcome")]


def test_a_variants_trace_shows_where_a_right_host_differs(toy_spec: Path) -> None:
    """TOY-3."""
    shown = {one.rules: one for one in TOY.replay(toy_spec / "variants" / "toy.jsonl")}
    partly = shown["PARTLY"]
    assert [(one.step, one.what) for one in partly.mismatches] == [
        (1, "TOY-3"),
        (1, "host outcome"),
    ]


# Explore.


def test_a_rule_set_is_explored_in_the_scopes_of_a_profile() -> None:
    report = TOY.explored("BY_ROOM", "quick", 1_000, silent)
    assert report.verdict is Verdict.HOLDS
    assert report.summary == "4 states, 20 transitions, depth 2, complete, 4 clauses"


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda one: one.name)
def test_a_variant_is_explored_in_its_own_scope_and_is_broken(variant: object) -> None:
    """TOY-1, TOY-2, TOY-3, TOY-4."""
    (one,) = [known for known in VARIANTS if known is variant]
    report = TOY.explored(one.name, "quick", 1_000, silent)
    assert report.verdict is Verdict.BROKEN
    said = [finding.name for finding in report.findings] + list(report.details)
    assert any(one.breaks in word for word in said)


def test_a_bound_on_states_is_unfinished() -> None:
    assert TOY.explored("SPEC", "quick", 2, silent).verdict is Verdict.UNFINISHED


def test_what_is_granted_to_a_variant_is_not_judged() -> None:
    """TOY-1."""
    granted = replace(VARIANTS[0], grants=("TOY-1",))
    case = replace(toy.case(), variants=(granted,))
    report = subject(case).explored("ONE_TOO_MANY", "quick", 1_000, silent)
    assert report.findings == ()


# Generate.


def test_what_is_generated_is_the_same_each_time(toy_spec: Path) -> None:
    for file in TOY.generate(plan_in(toy_spec), silent):
        assert (toy_spec / file.path).read_bytes() == file.content
    names = [header.name for header in headers(toy_spec / "variants" / "toy.jsonl")]
    assert names == list(TOY.variants)
    assert (toy_spec / "schemas" / "toy.schema.json").read_bytes() == TOY.schema


def test_nothing_is_generated_of_variants_that_are_not_caught(tmp_path: Path) -> None:
    harmless = replace(VARIANTS[0], machine=machine)
    case = replace(toy.case(), variants=(harmless,))
    with pytest.raises(UnusableInput, match="not all caught; see `plumbline quality toy`"):
        subject(case).generate(plan_in(tmp_path), silent)


def test_a_vector_of_withdrawals_is_among_those_generated(toy_spec: Path) -> None:
    pairs = {pair for one in headers(toy_spec / "vectors" / "toy.jsonl") for pair in one.pairs}
    assert pairs == set(toy.PAIRS)
    assert trace_of(Withdraw(coins=1)).steps[0].outcome == toy.Refused(reason=toy.Reason.SHORT)
