"""Variants as records: each can be named, traced to its source, and told from the others."""

from collections.abc import Sequence
from typing import TypeVar

import pytest
from msgspec import Struct

from plumbline_models import (
    anchoring,
    anchoring_steps,
    compaction,
    context_cache,
    intake,
    ordinals,
    tokens,
)
from plumbline_models.contract import Machine, StateClause
from plumbline_models.history import CONSTRUCTED, Variant
from plumbline_models.history.anchoring import VARIANTS as OF_ANCHORING
from plumbline_models.history.anchoring_steps import VARIANTS as OF_ANCHORING_STEPS
from plumbline_models.history.compaction import VARIANTS as OF_COMPACTION
from plumbline_models.history.context_cache import VARIANTS as OF_CONTEXT_CACHE
from plumbline_models.history.intake import VARIANTS as OF_INTAKE
from plumbline_models.history.ordinals import VARIANTS as OF_ORDINALS
from plumbline_models.history.tokens import VARIANTS as OF_TOKENS

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")


class Made(Struct, frozen=True, kw_only=True):
    """What a machine shows of itself, whatever its states are."""

    machine: str
    rules: str
    clauses: tuple[str, ...]
    own: frozenset[str]
    kinds: tuple[type, ...]
    broken_at_first: frozenset[str]
    """Clauses that its initial state breaks."""


class Recorded(Struct, frozen=True, kw_only=True):
    """A variant beside the machine that is right."""

    name: str
    breaks: str
    source: str
    story: str
    sole: bool
    grants: frozenset[str]
    right: Made
    wrong: Made

    def __str__(self) -> str:
        return f"{self.right.machine}-{self.name}"


class History(Struct, frozen=True, kw_only=True):
    """A machine with its rule sets and its variants."""

    right: Made
    rule_sets: frozenset[str]
    variants: tuple[Recorded, ...]


def made(machine: Machine[S, E, O, C]) -> Made:
    return Made(
        machine=machine.name,
        rules=machine.rules_name,
        clauses=tuple(clause.id for clause in machine.clauses),
        own=frozenset(clause.id for clause in machine.own_clauses),
        kinds=machine.kinds,
        broken_at_first=frozenset(
            clause.id
            for clause in machine.clauses
            if isinstance(clause, StateClause) and clause.breaks(machine.initial) is not None
        ),
    )


def history(
    machine: Machine[S, E, O, C],
    rule_sets: Sequence[str],
    variants: Sequence[Variant[S, E, O, C]],
) -> History:
    right = made(machine)
    return History(
        right=right,
        rule_sets=frozenset(rule_sets),
        variants=tuple(
            Recorded(
                name=one.name,
                breaks=one.breaks,
                source=one.source,
                story=one.story,
                sole=one.sole,
                grants=frozenset(one.grants),
                right=right,
                wrong=made(one.machine()),
            )
            for one in variants
        ),
    )


HISTORIES = (
    history(ordinals.machine(), [one.name for one in ordinals.RULE_SETS], OF_ORDINALS),
    history(tokens.machine(), [one.name for one in tokens.RULE_SETS], OF_TOKENS),
    history(compaction.machine(), [one.name for one in compaction.RULE_SETS], OF_COMPACTION),
    history(
        context_cache.machine(), [one.name for one in context_cache.RULE_SETS], OF_CONTEXT_CACHE
    ),
    history(intake.machine(), [one.name for one in intake.RULE_SETS], OF_INTAKE),
    history(anchoring.machine(), [one.name for one in anchoring.RULE_SETS], OF_ANCHORING),
    history(
        anchoring_steps.machine(),
        [one.name for one in anchoring_steps.RULE_SETS],
        OF_ANCHORING_STEPS,
    ),
)

each_machine = pytest.mark.parametrize("known", HISTORIES, ids=lambda one: one.right.machine)
each_variant = pytest.mark.parametrize(
    "variant", [one for known in HISTORIES for one in known.variants], ids=str
)


@each_machine
def test_every_variant_has_a_name_of_its_own(known: History) -> None:
    names = [variant.name for variant in known.variants]
    assert len(set(names)) == len(names)
    assert not set(names) & known.rule_sets


@each_variant
def test_a_variant_has_a_source_a_story_and_a_clause(variant: Recorded) -> None:
    assert variant.name == variant.name.upper()
    assert variant.source.strip()
    assert variant.story.strip()
    assert variant.breaks in variant.right.own
    assert variant.breaks not in variant.grants
    assert variant.grants <= {*variant.right.clauses}


@each_variant
def test_the_machine_of_a_variant_has_its_name_and_every_clause(variant: Recorded) -> None:
    assert (variant.wrong.machine, variant.wrong.rules) == (variant.right.machine, variant.name)
    assert variant.wrong.clauses == variant.right.clauses
    assert variant.wrong.own == variant.right.own
    assert variant.wrong.kinds == variant.right.kinds


@each_variant
def test_a_clause_is_granted_only_where_the_first_state_breaks_one(variant: Recorded) -> None:
    broken = variant.wrong.broken_at_first
    assert broken <= variant.grants
    assert bool(broken) == bool(variant.grants)


@each_machine
def test_every_clause_has_a_variant_that_no_other_clause_catches(known: History) -> None:
    assert {variant.breaks for variant in known.variants if variant.sole} == known.right.own


@each_machine
def test_what_no_system_got_wrong_is_said_to_be_constructed(known: History) -> None:
    assert any(variant.source == CONSTRUCTED for variant in known.variants)
    systems = ("lossless-claw", "openclaw-intelligence-core")
    assert any(name in variant.source for variant in known.variants for name in systems)
