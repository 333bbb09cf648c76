"""Machines that stand on others: a mistake below is caught above, by the clause that it breaks."""

import pytest
from msgspec.structs import replace

from plumbline.registry import intake_case, ordinals_case, tokens_case
from plumbline_models import intake, ordinals, tokens
from plumbline_models.closing import Closing
from plumbline_models.decisions.counting import Door
from plumbline_models.ordinals import Numbering
from plumbline_spec.explore import explore

BELOW = (
    (ordinals.Rules(name="MINUS_GAP", closing=Closing.MINUS_GAP, prune_closes=False), "ORD-1"),
    (ordinals.Rules(name="UNCHECKED_RANGE", stale_check=False), "ORD-11"),
    (ordinals.Rules(name="PRUNE_GAPS", prune_closes=False), "ORD-1"),
    (ordinals.Rules(name="PRUNED_UNRECORDED", prune_records=False), "ORD-5"),
    (ordinals.Rules(name="MAX_PLUS_ONE", numbering=Numbering.MAX_PLUS_ONE), "ORD-2"),
    (ordinals.Rules(name="CORRELATED", closing=Closing.CORRELATED), "ORD-16"),
)
TOKENS = tokens.Scope(conversations=1, messages=3, summaries=1, counts=(None,), weighings=False)
INTAKE = intake.Scope(ledger=replace(TOKENS, messages=0, refusals=True), rows=3, ids=False)


@pytest.mark.parametrize(("rules", "clause"), BELOW)
def test_a_wrong_list_is_caught_under_a_ledger(rules: ordinals.Rules, clause: str) -> None:
    machine = tokens.machine(tokens.Rules(name=rules.name, lists=rules))
    found = explore(machine, TOKENS).counterexample
    assert found is not None
    assert clause in {one.clause for one in found.broken}


@pytest.mark.parametrize(("rules", "clause"), BELOW)
def test_a_wrong_list_is_caught_under_intake(rules: ordinals.Rules, clause: str) -> None:
    ledger = tokens.Rules(name=rules.name, lists=rules)
    found = explore(
        intake.machine(intake.Rules(name=rules.name, ledger=ledger)), INTAKE
    ).counterexample
    assert found is not None
    assert clause in {one.clause for one in found.broken}


@pytest.mark.parametrize("door", [Door.OPEN])
def test_an_open_door_is_caught_under_intake(door: Door) -> None:
    """TOK-5: rows bring counts that nobody believes."""
    ledger = tokens.Rules(name="OPEN", door=door)
    machine = intake.machine(intake.Rules(name="OPEN", ledger=ledger))
    found = explore(machine, INTAKE).counterexample
    assert found is not None
    assert {one.clause for one in found.broken} & {"TOK-3", "TOK-5", "TOK-10"}


def test_every_clause_of_the_machine_below_is_inherited() -> None:
    """All but those about reach, which are about the machine's own scope."""
    stack = (ordinals_case().machine, tokens_case().machine, intake_case().machine)
    ids = [{clause.id for clause in machine.clauses} for machine in stack]
    own = [{clause.id for clause in machine.own_clauses} for machine in stack]
    reach = {clause for clause in ids[0] if clause in {"ORD-18", "ORD-19", "ORD-20", "ORD-21"}}
    assert ids[0] == own[0]
    assert ids[1] == own[1] | (ids[0] - reach)
    assert ids[2] >= own[2] | (ids[0] - reach)
    assert not own[1] & ids[0]
    assert not own[2] & ids[1]
