"""Variants as records: each can be named, traced to its source, and told from the others."""

import pytest

from plumbline_models import ordinals
from plumbline_models.contract import StateClause
from plumbline_models.history import CONSTRUCTED
from plumbline_models.history.ordinals import VARIANTS
from plumbline_models.history.ordinals.making import OrdinalsVariant

MACHINE = ordinals.machine()
CLAUSES = {clause.id for clause in MACHINE.clauses}

each_variant = pytest.mark.parametrize("variant", VARIANTS, ids=lambda one: one.name)


def test_every_variant_has_a_name_of_its_own() -> None:
    names = [variant.name for variant in VARIANTS]
    assert len(set(names)) == len(names)
    assert not set(names) & {rules.name for rules in ordinals.RULE_SETS}


@each_variant
def test_a_variant_has_a_source_a_story_and_a_clause(variant: OrdinalsVariant) -> None:
    assert variant.name == variant.name.upper()
    assert variant.source.strip()
    assert variant.story.strip()
    assert variant.breaks in CLAUSES
    assert variant.breaks not in variant.grants
    assert set(variant.grants) <= CLAUSES


@each_variant
def test_the_machine_of_a_variant_has_its_name_and_every_clause(variant: OrdinalsVariant) -> None:
    wrong = variant.machine()
    assert (wrong.name, wrong.rules_name) == (MACHINE.name, variant.name)
    assert [clause.id for clause in wrong.clauses] == [clause.id for clause in MACHINE.clauses]
    assert wrong.kinds == MACHINE.kinds


@each_variant
def test_a_clause_is_granted_only_where_the_first_state_breaks_one(
    variant: OrdinalsVariant,
) -> None:
    initial = variant.machine().initial
    broken = {
        clause.id
        for clause in MACHINE.clauses
        if isinstance(clause, StateClause) and clause.breaks(initial) is not None
    }
    assert broken <= set(variant.grants)
    assert bool(broken) == bool(variant.grants)


def test_every_clause_has_a_variant_that_no_other_clause_catches() -> None:
    assert {variant.breaks for variant in VARIANTS if variant.sole} == CLAUSES


def test_what_no_system_got_wrong_is_said_to_be_constructed() -> None:
    assert any(variant.source == CONSTRUCTED for variant in VARIANTS)
    assert any("lossless-claw" in variant.source for variant in VARIANTS)
