"""Quality: every variant caught by its clause, on stored traces and afresh, and no clause idle."""

import pytest
from msgspec.structs import replace

from plumbline_models.history import Variant
from plumbline_spec.explore import Exploration, explore
from plumbline_spec.quality import (
    Quality,
    VariantVerdict,
    afresh,
    along,
    on_stored_traces,
    shortest_to,
    to_store,
)
from plumbline_spec.toy import (
    LIMIT,
    NEVER_FULL,
    ONE_TOO_MANY,
    SPEC,
    VARIANTS,
    Deposit,
    Event,
    Machine,
    Outcome,
    Rules,
    Scope,
    State,
    Withdraw,
    machine,
    step,
)
from tests.judge.hosts import FULL_DAY, SCOPE, ToyTrace, ToyVariant, trace_of, variant_of


@pytest.fixture(name="stored", scope="module")
def made() -> list[ToyTrace]:
    return to_store(machine(), VARIANTS, afresh(machine(), VARIANTS), {"toy": "1"})


def verdict_of(quality: Quality[Event], clause: str) -> VariantVerdict[Event]:
    (one,) = [verdict for verdict in quality.verdicts if verdict.breaks == clause]
    return one


@pytest.mark.parametrize(
    ("clause", "events"),
    [
        ("TOY-1", (Deposit(coins=2), Deposit(coins=2))),
        ("TOY-2", (Deposit(coins=1), Withdraw(coins=2))),
        ("TOY-3", (Withdraw(coins=1),)),
        ("TOY-4", (Deposit(coins=1), Deposit(coins=2))),
    ],
)
def test_each_variant_is_caught_afresh_by_its_own_clause_alone(
    clause: str, events: tuple[Event, ...]
) -> None:
    """TOY-1, TOY-2, TOY-3, TOY-4."""
    one = verdict_of(afresh(machine(), VARIANTS), clause)
    assert (one.caught, one.escapes, one.caught_by) == (True, True, (clause,))
    assert (one.engine, one.events) == ("explore", events)
    assert 2 <= one.effort <= 5


def test_each_variant_is_caught_on_its_stored_trace(stored: list[ToyTrace]) -> None:
    """TOY-1, TOY-2, TOY-3, TOY-4."""
    quality = on_stored_traces(machine(), VARIANTS, stored)
    assert quality.holds
    assert {one.engine for one in quality.verdicts} == {"trace"}
    assert [one.caught_by for one in quality.verdicts] == [(one.breaks,) for one in VARIANTS]
    assert [one.effort for one in quality.verdicts] == [len(one.steps) for one in stored]


def test_a_stored_trace_says_what_it_shows(stored: list[ToyTrace]) -> None:
    header = stored[0].header
    assert (header.plumbline, header.machine, header.rules) == ("variant", "toy", "ONE_TOO_MANY")
    assert (header.about, header.scope) == (VARIANTS[0].story, "Scope(coins=2)")
    assert (header.clauses, header.versions) == (("TOY-1",), {"toy": "1"})


def test_a_variant_without_its_trace_is_named(stored: list[ToyTrace]) -> None:
    quality = on_stored_traces(machine(), VARIANTS, stored[1:])
    assert quality.misplaced == ("ONE_TOO_MANY",)
    assert quality.idle == ("TOY-1",)
    assert not quality.holds


def harmless(**changes: object) -> ToyVariant:
    """Return a variant that is not wrong at all, with changes."""
    return replace(variant_of("TOY-1"), name="HARMLESS", machine=machine, **changes)


def test_a_variant_that_is_not_wrong_escapes() -> None:
    for quality in (
        afresh(machine(), [harmless()]),
        on_stored_traces(machine(), [harmless()], [trace_of(*FULL_DAY, name="HARMLESS")]),
    ):
        assert quality.escaped == ("HARMLESS",)
        assert not quality.holds


def test_a_variant_caught_by_another_clause_than_it_says_escapes() -> None:
    quality = afresh(machine(), [replace(variant_of("TOY-3"), breaks="TOY-2")])
    assert (quality.verdicts[0].caught_by, quality.escaped) == (("TOY-3",), ("PARTLY",))


def test_a_clause_that_no_variant_needs_is_idle() -> None:
    assert afresh(machine(), VARIANTS[1:]).idle == ("TOY-1",)
    modest = [replace(one, sole=False) for one in VARIANTS]
    stored = to_store(machine(), VARIANTS, afresh(machine(), VARIANTS), {})
    for quality in (afresh(machine(), modest), on_stored_traces(machine(), modest, stored)):
        assert quality.idle == ("TOY-1", "TOY-2", "TOY-3", "TOY-4")
        assert {one.escapes for one in quality.verdicts} == {None}


def twice_wrong(state: State, event: Event) -> tuple[State, Outcome]:
    """Take a fourth coin and lose the coins at a refusal."""
    after, outcome = step(Rules(name="TWICE", limit=LIMIT + 1, loses=True), state, event)
    return after, outcome


def test_a_variant_that_another_clause_notices_as_well_is_not_sole() -> None:
    variant: ToyVariant = replace(
        variant_of("TOY-1"), name="TWICE", machine=lambda: replace(machine(), step=twice_wrong)
    )
    stored = trace_of(Deposit(coins=4), Withdraw(coins=9), name="TWICE")
    quality = on_stored_traces(machine(), [*VARIANTS, variant], [stored])
    assert quality.verdicts[0].caught
    assert quality.shared == ("TWICE",)
    assert not quality.holds


def test_a_machine_that_is_wrong_itself_is_named() -> None:
    """TOY-1."""
    wrong = machine(ONE_TOO_MANY)
    quality = afresh(wrong, VARIANTS)
    assert quality.unchanged == ("TOY-1 in Scope(coins=2)",)
    stored = to_store(machine(), VARIANTS, afresh(machine(), VARIANTS), {})
    assert on_stored_traces(wrong, VARIANTS, stored).unchanged == ("ONE_TOO_MANY: TOY-1",)
    assert not quality.holds


def test_a_clause_that_the_seeded_state_breaks_may_be_granted() -> None:
    """TOY-1."""
    seeded: ToyVariant = Variant(
        name="SEEDED",
        machine=lambda: replace(machine(SPEC), initial=State(held=9)),
        breaks="TOY-4",
        source="constructed",
        story="",
        scope=Scope(coins=1),
        grants=("TOY-1",),
    )
    (one,) = afresh(machine(), [seeded]).verdicts
    assert one.caught_by == ()
    (other,) = afresh(machine(), [replace(seeded, grants=())]).verdicts
    assert other.caught_by == ("TOY-1",)


def test_what_both_never_reach_is_not_held_against_a_variant() -> None:
    """TOY-4: nothing is ever full when no event names a coin."""
    empty = replace(variant_of("TOY-4"), scope=Scope(coins=0))
    (one,) = afresh(machine(), [empty]).verdicts
    assert (one.caught, one.caught_by, one.events) == (False, (), ())


def test_another_unreached_clause_than_the_one_named_has_no_trace() -> None:
    """TOY-4."""
    (one,) = afresh(machine(), [replace(variant_of("TOY-4"), breaks="TOY-1")]).verdicts
    assert (one.caught, one.caught_by, one.events) == (False, ("TOY-4",), ())


def test_the_shortest_way_to_reach_is_found_or_there_is_none() -> None:
    """TOY-4."""
    assert shortest_to(machine(), "TOY-4", SCOPE) == (Deposit(coins=1), Deposit(coins=2))
    assert shortest_to(machine(NEVER_FULL), "TOY-4", SCOPE) == ()


def test_the_machine_is_explored_once_in_each_scope(monkeypatch: pytest.MonkeyPatch) -> None:
    scopes: list[tuple[str, Scope]] = []

    def counted(
        judged: Machine, scope: Scope, *, without: frozenset[str] = frozenset()
    ) -> Exploration[State, Event, Outcome, Scope]:
        scopes.append((judged.rules_name, scope))
        return explore(judged, scope, without=without)

    monkeypatch.setattr("plumbline_spec.quality.explore", counted)
    told: list[str] = []
    wider = replace(VARIANTS[1], scope=Scope(coins=3))
    afresh(machine(), [VARIANTS[0], wider, VARIANTS[2]], progress=told.append)
    assert told == ["ONE_TOO_MANY", "LOSES", "PARTLY"]
    assert [scope for name, scope in scopes if name == "SPEC"] == [SCOPE, Scope(coins=3)]


def test_a_trace_is_taken_up_to_its_first_broken_step() -> None:
    """TOY-1, TOY-4."""
    whole = along(machine(), FULL_DAY)
    assert (whole.steps, whole.broken, set(whole.reached)) == (5, (), {"TOY-4"})
    wrong = along(machine(ONE_TOO_MANY), (Deposit(coins=4), *FULL_DAY))
    assert (wrong.steps, wrong.broken, len(wrong.reached)) == (1, ("TOY-1",), 0)
    none = along(replace(machine(), initial=State(held=4)), FULL_DAY)
    assert (none.steps, none.broken) == (0, ("TOY-1",))
