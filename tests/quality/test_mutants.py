"""The mutants of this implementation: made anew beside what ships, stopped, sampled, accounted for.

All of them are judged by ``plumbline quality --profile nightly``; here a seeded sample is.
"""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import TypeVar

import apsw
import pytest
from msgspec.structs import replace

from plumbline import database, ordinals, registry
from plumbline.mutation import mutants as making
from plumbline.mutation.loading import FUEL_STEPS, World, text_of
from plumbline.registry import (
    anchoring_case,
    anchoring_steps_case,
    compaction_case,
    context_cache_case,
    intake_case,
    ordinals_case,
    tokens_case,
)
from plumbline.screen import mutants_table
from plumbline_models.ordinals import ConversationId, Open
from plumbline_spec.case import Case, Equivalent, Plan
from plumbline_spec.clause_table import Progress, silent
from plumbline_spec.errors import OutOfSteps
from plumbline_spec.mutants import Judgement, judge_mutants
from plumbline_spec.report import EngineReport, Fate, Verdict
from plumbline_spec.subject import subject
from tests.plans import PLAN
from tests.test_layout import host_modules

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")

FEW = 6
"""Mutants of each machine that are judged here."""
QUICK = frozenset({"vectors", "descend"})
"""The engines that judge them here; the others kill what these do not."""
MOST_PER_CENT = 80
"""What these two kill of what an event writes and answers."""
NOT_MUTATED = frozenset({"plumbline.damaged", "plumbline.sqlite_host"})
"""What a host is made of and no event can tell; the package says why."""
HERE = ConversationId("c1")


# What is made


def test_every_module_that_a_host_is_made_of_is_mutated_or_said_to_be_left_out() -> None:
    mutated = {part.module for parts in making.PARTS.values() for part in parts}
    of_the_machines = {one for one in host_modules() if one != "plumbline"}
    assert mutated <= of_the_machines
    assert of_the_machines - mutated - NOT_MUTATED == set()


def test_what_opens_a_database_is_named_and_the_rest_of_it_is_the_envelope() -> None:
    parts = [part for part in making.PARTS["intake"] if part.module == "plumbline.database"]
    scopes = {one.change.scope.partition(".")[0] for part in parts for one in making.made_of(part)}
    assert all(hasattr(database, name) for name in making.OPENING)
    assert {"transaction", "answered", "snapshot", "_once"} <= scopes
    assert not scopes & making.OPENING


@pytest.mark.parametrize("machine", list(making.PARTS))
def test_every_mutant_has_a_name_of_its_own_and_compiles(machine: str) -> None:
    made = [one for part in making.PARTS[machine] for one in making.made_of(part)]
    assert len({one.id for one in made}) == len(made)
    for one in made:
        text = one.source.changed(one.change)
        assert text != one.source.text
        compile(text, one.id, "exec")
    tables = {"table" for part in making.PARTS[machine] if part.module == making.SCHEMA}
    queries: set[str] = {"sql"} if machine != "anchoring_steps" else set()
    assert {one.change.operator.split(" ")[0] for one in made} == {"python", *queries, *tables}


def test_a_mutant_says_what_it_changes_and_where() -> None:
    mutants = ordinals_case().mutants
    assert mutants is not None
    (one,) = [one for one in mutants.every() if one.id == "ordinals._prune sql join 1"]
    assert one.place.startswith("plumbline/ordinals.py:")
    gone, come = one.change.split("\n")
    assert "LEFT JOIN summaries" in gone
    assert come == gone.replace("LEFT JOIN", "JOIN").replace("-", "+", 1)


def test_what_only_another_machine_can_feel_is_judged_there() -> None:
    parts = [part for parts in making.PARTS.values() for part in parts]
    assert making.FELT_ELSEWHERE.keys() <= {
        one.id for part in parts for one in making.made_of(part)
    }
    mutants = intake_case().mutants
    assert mutants is not None
    assert "ordinals.exists sql term 1" in {one.id for one in mutants.every()}
    assert making.machine_of("ordinals.exists sql term 1") == "intake"
    assert making.machine_of("ordinals._open python drop 1") == "ordinals"
    assert making.machine_of("nothing.at all 1") is None


# How it is made


def test_a_world_changes_nothing_outside_of_it() -> None:
    before = dict(sys.modules)
    shipped = (registry.ordinals_case, ordinals.PROGRAM, apsw.Connection)
    made = World({}).module("plumbline.registry")
    assert made is not registry
    assert made.sqlite_ordinals is not ordinals
    assert made.sqlite_tokens.lists is made.sqlite_ordinals
    assert made.sqlite_intake.ledgers is made.sqlite_tokens
    assert dict(sys.modules) == before
    assert shipped == (registry.ordinals_case, ordinals.PROGRAM, apsw.Connection)


def test_a_mistake_in_a_list_is_in_the_ledger_and_in_the_intake_that_stand_on_it() -> None:
    _, text = text_of("plumbline.ordinals")
    wrong = text.replace("return Opened()", "return 'a mistake'")
    world = World({"plumbline.ordinals": wrong})
    for name in ("ordinals", "tokens", "intake"):
        db = world.module("plumbline.database").open_database(":memory:")
        apply = world.module(f"plumbline.{name}").PROGRAM.apply
        said = str(apply(db, Open(conversation=HERE)))
        assert "a mistake" in said
        db.close()


def test_a_module_that_fails_when_it_is_imported_says_so() -> None:
    with pytest.raises(ZeroDivisionError):
        World({"plumbline.ordinals": "1 / 0"}).module("plumbline.intake")


ENDLESS = """
import apsw

def turns():
    while True:
        pass

def items(numbers):
    for number in numbers:
        numbers.append(number)

def rows():
    query = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    return apsw.Connection(":memory:").execute(query).get
"""


def test_what_never_ends_runs_out_of_steps() -> None:
    for name, arguments in (("turns", ()), ("items", ([1],)), ("rows", ())):
        module = World({"plumbline.damaged": ENDLESS}, steps=1_000).module("plumbline.damaged")
        with pytest.raises(OutOfSteps):
            _function(module, name)(*arguments)


def _function(module: ModuleType, name: str) -> Callable[..., object]:
    found: object = getattr(module, name)
    assert callable(found)
    return found


def test_some_connections_turn_round_an_order_that_nobody_asked_for() -> None:
    opened = World({}).module("plumbline.database").open_database
    found: list[object] = []
    for _ in range(3):
        made = opened(":memory:")
        made.execute("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2), (3)")
        found.append([row[0] for row in made.execute("SELECT a FROM t")])
        assert made.execute("SELECT a FROM t ORDER BY a").fetchall() == [(1,), (2,), (3,)]
        made.close()
    assert found == [[3, 2, 1], [3, 2, 1], [1, 2, 3]]


def test_the_unchanged_build_gets_a_tenth_of_the_steps_of_a_mutant() -> None:
    used = FUEL_STEPS // making.UNCHANGED_PART
    assert World({}).fuel.left == FUEL_STEPS
    assert used * 10 == FUEL_STEPS


# How it is judged


def test_most_mutants_of_every_machine_are_killed_by_the_engines_that_are_quick() -> None:
    judged = (
        _judged(ordinals_case()),
        _judged(tokens_case()),
        _judged(intake_case()),
        _judged(compaction_case()),
        _judged(context_cache_case()),
        _judged(anchoring_case()),
        _judged(anchoring_steps_case()),
    )
    for found in judged:
        assert len(found.fates) == FEW < found.every
        assert found.faults == ()
        assert found.per_cent >= MOST_PER_CENT, found.survivors


def _judged(case: Case[S, E, O, C]) -> Judgement:
    """Judge a sample, but for those of the envelope, which need engines that commit."""
    mutants = case.mutants
    assert mutants is not None
    rows = [one for one in mutants.every() if not one.id.startswith("database.")]
    proofs = [one for one in mutants.equivalents() if not one.id.startswith("database.")]
    less = replace(mutants, every=lambda: rows, equivalents=lambda: proofs)
    return judge_mutants(less, _sampling(1), silent, quickly)


def _sampling(seed: int) -> Plan:
    return replace(PLAN, profile=replace(PLAN.profile, mutants=FEW), seed=seed)


def quickly(case: Case[S, E, O, C], engine: str, plan: Plan, progress: Progress) -> EngineReport:
    """Run the engines that are quick."""
    if engine in QUICK:
        return subject(case).run(engine, plan, progress)
    return EngineReport(machine="", engine=engine, verdict=Verdict.NOT_APPLICABLE, summary="")


def test_a_proof_that_does_not_hold_is_noticed() -> None:
    case = tokens_case()
    mutants = case.mutants
    assert mutants is not None
    killed = [one for one in mutants.every() if one.id == "tokens.move python sign 1"]
    claim = Equivalent(id=killed[0].id, change=killed[0].change, proof="It looks so.")
    wrong = replace(mutants, every=lambda: killed, equivalents=lambda: (claim,))
    found = judge_mutants(wrong, _sampling(1), silent, quickly)
    (fault,) = found.faults
    assert fault.startswith("proven equivalent and killed by vectors: tokens.move python sign 1")


# Proofs that are kept


def test_every_proof_that_is_kept_is_of_a_mutant_that_is_made() -> None:
    changes: dict[str, str] = {}
    changes |= _changes_of(ordinals_case())
    changes |= _changes_of(tokens_case())
    changes |= _changes_of(intake_case())
    changes |= _changes_of(compaction_case())
    changes |= _changes_of(context_cache_case())
    changes |= _changes_of(anchoring_case())
    changes |= _changes_of(anchoring_steps_case())
    kept = making.equivalents()
    assert {one.id: one.change for one in kept} == {one.id: changes.get(one.id) for one in kept}
    assert len({one.id for one in kept}) == len(kept)
    assert [one.id for one in kept] == sorted(one.id for one in kept)
    assert all(one.proof.endswith(".") for one in kept)


def _changes_of(case: Case[S, E, O, C]) -> dict[str, str]:
    assert case.mutants is not None
    return {one.id: one.change for one in case.mutants.every()}


# How it is shown


def test_survivors_are_shown_first_with_their_diff_and_equivalents_with_their_proof() -> None:
    killed = Fate(
        id="a.f python not 1",
        operator="python not",
        place="a.py:1",
        killed_by="vectors",
        witness="Open: Opened, host Refused",
        proof=None,
        diff="-not a\n+a",
    )
    survived = replace(killed, id="a.g sql limit 1", killed_by=None, witness="", place="a.py:9")
    proven = replace(survived, id="a.h sql limit 1", proof="The same answer.")
    heading, *rows = mutants_table([killed, proven, survived])
    assert heading[0] == "mutant"
    assert [row[3] for row in rows] == ["SURVIVED", "equivalent", "vectors"]
    assert [row[4] for row in rows] == [
        "-not a\n+a",
        "The same answer.\n-not a\n+a",
        "Open: Opened, host Refused",
    ]
