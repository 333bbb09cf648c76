"""The released engines on the states of compaction: what they do to events of this machine."""

import pytest
from msgspec.structs import replace

from plumbline.registry import compaction_case
from plumbline_models import compaction, lossless_claw, ordinals, tokens
from plumbline_models.compaction import (
    CompactLeaf,
    Event,
    Meanwhile,
    Outcome,
    Select,
    Selected,
    Settings,
    State,
    Stop,
    Sweep,
    SweepUntil,
    Swept,
)
from plumbline_models.compaction.released import read_back, resolved, written
from plumbline_models.compaction.scope import SCRIPTS, SMALL, row
from plumbline_models.decisions.escalation import Failed, Text, Unauthenticated
from plumbline_models.intake import Place, SourceId, Take
from plumbline_models.lossless_claw.configuration import Configuration
from plumbline_models.lossless_claw.configuration import resolved as as_released
from plumbline_models.ordinals import ConversationId, MessageId, MessageItem, SummaryId
from plumbline_spec.breaking import every_broken
from plumbline_spec.report import Verdict

C = ConversationId("c")
RELEASES = ("BEFORE_295", "PR295", "HEAD")
CASE = compaction_case()


def after(rules: str, *events: Event) -> tuple[State, list[Outcome]]:
    """Return the state and the answers of a machine after these events."""
    machine, outcomes = CASE.rules(rules), list[Outcome]()
    state = machine.initial
    for event in events:
        state, outcome = machine.step(state, event)
        outcomes.append(outcome)
    return state, outcomes


def said(kinds: str) -> tuple[Event, ...]:
    rows = tuple(row(C, number, kind) for number, kind in enumerate(kinds, 1))
    taken = Take(conversation=C, source=SourceId("chat"), rows=rows, first=Place(1))
    return ordinals.Open(conversation=C), taken


def sweep(settings: Settings = SMALL, **changed: object) -> Sweep:
    event = Sweep(
        conversation=C,
        settings=settings,
        budget=0,
        force=True,
        hard=True,
        summary=SummaryId("t"),
        script=SCRIPTS[0],
    )
    return replace(event, **changed)


def total_of(state: State) -> int:
    return state.taken.ledger.ledgers[0].total


def raw_in(state: State) -> int:
    (at,) = state.taken.ledger.lists.conversations
    return sum(isinstance(one.item, MessageItem) for one in at.context)


def late(size: int = 40) -> tokens.Append:
    draft = tokens.Draft(id=MessageId("late"), text="x" * size)
    return tokens.Append(conversation=C, messages=(draft,))


@pytest.mark.parametrize("rules", RELEASES)
@pytest.mark.parametrize("kinds", ["lalElu", "llflu", "cczlu", ""])
def test_what_is_written_as_a_store_is_read_back_as_it_was(rules: str, kinds: str) -> None:
    state, _ = after(rules, *said(kinds), sweep())
    assert read_back(state, C, written(state, C)) == state


@pytest.mark.parametrize(
    ("rules", "told"), [("BEFORE_295", True), ("PR295", False), ("HEAD", False)]
)
def test_what_is_appended_during_a_call_is_missing_from_a_total_of_deltas(
    rules: str, *, told: bool
) -> None:
    """Probe 46."""
    event = sweep(meanwhile=(Meanwhile(call=1, event=late()),))
    state, (*_, outcome) = after(rules, *said("llu"), event)
    assert isinstance(outcome, Swept)
    assert (outcome.after == total_of(state)) is told


@pytest.mark.parametrize(
    ("rules", "told"), [("BEFORE_295", True), ("PR295", False), ("HEAD", False)]
)
def test_a_count_of_zero_makes_deltas_false(rules: str, *, told: bool) -> None:
    """Probe 27."""
    state, (*_, outcome) = after(rules, *said("00lu"), sweep())
    assert isinstance(outcome, Swept)
    assert (outcome.after == total_of(state)) is told


@pytest.mark.parametrize("rules", RELEASES)
def test_a_range_that_became_stale_takes_a_message_that_no_summary_covers(rules: str) -> None:
    """Probe 56."""
    pair = tuple(MessageItem(id=MessageId(f"c/{number}")) for number in (1, 2))
    other = tokens.Replace(conversation=C, summary=SummaryId("h"), text="by another", items=pair)
    event = sweep(
        replace(SMALL, leaf_chunk=60, passes=1), meanwhile=(Meanwhile(call=1, event=other),)
    )
    state, _ = after(rules, *said("lllllau"), event)
    (at,) = state.taken.ledger.lists.conversations
    covered = {item for one in at.summaries for item in one.sources}
    standing = {one.item for one in at.context}
    lost = [one.id for one in at.messages if MessageItem(id=one.id) not in covered | standing]
    right, _ = after("SPEC", *said("lllllau"), event)
    (here,) = right.taken.ledger.lists.conversations
    kept = {item for one in here.summaries for item in one.sources}
    kept |= {one.item for one in here.context}
    assert lost
    assert all(MessageItem(id=one.id) in kept for one in here.messages)


@pytest.mark.parametrize(
    ("rules", "fails"), [("BEFORE_295", True), ("PR295", True), ("HEAD", False), ("SPEC", False)]
)
def test_equal_texts_in_a_millisecond_have_one_id_before_the_0_15_line(
    rules: str, *, fails: bool
) -> None:
    """Probe 74: the sweep ends in a constraint, and the first pass stays."""
    event = sweep(replace(SMALL, passes=9, calls=40), script=(Text(text="in short"),))
    state, (*_, outcome) = after(rules, *said("lllu"), event)
    assert isinstance(outcome, ordinals.Failed) is fails
    if isinstance(outcome, ordinals.Failed):
        assert outcome.constraint == "summaries.summary"
        assert len(state.extents) == 1


def test_a_cursor_over_a_renumbering_leaves_messages_behind() -> None:
    """Probes 64 and 69: the 0.15 line, when what stood before is forgotten first."""
    forgotten = tuple(MessageId(f"c/{number}") for number in (1, 2, 3))
    events = (*said("lllzlllu"), ordinals.Forget(conversation=C, messages=forgotten))
    event = sweep(replace(SMALL, passes=9, calls=40))
    state, (*_, outcome) = after("HEAD", *events, event)
    assert isinstance(outcome, Swept)
    whole, _ = after("HEAD", *said("zlllu"), event)
    assert raw_in(state) > raw_in(whole)


@pytest.mark.parametrize("rules", RELEASES)
def test_what_a_summariser_refuses_ends_as_the_engine_ends(rules: str) -> None:
    for script, stop in (
        ((Unauthenticated(),), Stop.AUTHENTICATION),
        ((Failed(),), Stop.SUMMARISER_ERROR),
        ((), Stop.SUMMARISER_ERROR),
    ):
        state, (*_, outcome) = after(rules, *said("lu"), sweep(script=script))
        assert isinstance(outcome, Swept)
        assert (outcome.stop, outcome.passes, state.extents) == (stop, (), ())


@pytest.mark.parametrize("rules", RELEASES)
def test_a_leaf_and_rounds_are_operations_of_the_engine(rules: str) -> None:
    leaf = CompactLeaf(
        conversation=C, settings=SMALL, budget=0, summary=SummaryId("t"), script=SCRIPTS[0]
    )
    until = SweepUntil(
        conversation=C, settings=SMALL, target=8, summary=SummaryId("u"), script=SCRIPTS[0]
    )
    _, (*_, first, second) = after(rules, *said("llllu"), leaf, until)
    assert isinstance(first, Swept)
    assert isinstance(second, Swept)
    assert (len(first.passes), first.rounds) == (1, 1)
    assert second.stop is Stop.UNDER_TARGET


def test_settings_mean_to_the_engine_what_its_own_configuration_means() -> None:
    mine = resolved(replace(Settings(), fallback_cap=512))
    theirs = as_released(Configuration())
    assert replace(mine, sweep_depth=theirs.sweep_depth) == theirs


def test_a_release_selects_what_the_specification_protects() -> None:
    select = Select(conversation=C, settings=replace(SMALL, leaf_chunk=60))
    _, (*_, outcome) = after("PR295", *said("lua"), select)
    _, (*_, right) = after("SPEC", *said("lua"), select)
    assert isinstance(outcome, Selected)
    assert isinstance(right, Selected)
    assert len(outcome.items) > len(right.items)


def test_every_clause_that_a_release_breaks_is_said_in_full() -> None:
    scopes = CASE.scopes["quick"].explore
    found = every_broken(CASE.rules("pr295"), (scopes[0], scopes[9]))
    assert found.verdict is Verdict.BROKEN
    assert {"CMP-5", "CMP-8", "CMP-9", "CMP-13", "CMP-18", "CMP-22", "ORD-3"} <= {*found.clauses}
    text = "\n".join(one.detail for one in found.findings)
    assert "CMP-5 (shorter). A pass MUST put fewer tokens into the context" in text
    assert "Found: conversation c1, summary s1: counts 16 tokens in the place of 4." in text


def test_the_rules_of_a_release_are_its_engine_with_its_lists() -> None:
    for name, release in (("PR295", lossless_claw.PR295), ("HEAD", lossless_claw.HEAD)):
        (rules,) = [one for one in compaction.RULE_SETS if one.name == name]
        assert rules.release == release
        assert rules.log.ledger.lists.closing is release.closing
        assert not rules.log.ledger.lists.prune_closes
