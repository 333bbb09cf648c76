"""Compaction by itself: selections, passes, sweeps, extents, and clauses broken by hand."""

import pytest
from msgspec.structs import replace

from plumbline_models import intake, ordinals, tokens
from plumbline_models.compaction import (
    SPEC,
    Commit,
    Committed,
    CompactLeaf,
    Evaluate,
    Evaluated,
    Event,
    Idle,
    Kind,
    Machine,
    Outcome,
    Pass,
    Reason,
    Refused,
    Rules,
    Select,
    Selected,
    Settings,
    State,
    Stop,
    Sweep,
    SweepUntil,
    Swept,
    machine,
)
from plumbline_models.compaction.scope import NO_TAIL, SMALL, row
from plumbline_models.compaction.selection import boundary, chunks, entries_of
from plumbline_models.compaction.values import Extent
from plumbline_models.contract import StateClause
from plumbline_models.decisions.escalation import (
    Answer,
    Failed,
    Level,
    Text,
    Unauthenticated,
    measured,
)
from plumbline_models.intake import Place, Row, SourceId, Take
from plumbline_models.ordinals import ConversationId, Item, MessageId, MessageItem, SummaryId
from plumbline_models.ordinals.values import SummaryItem
from plumbline_models.tokens.queries import ledger_of

MACHINE = machine()
C = ConversationId("c")
CHAT = SourceId("chat")
SHORT = Text(text="in short")
LONG = Text(text="far longer than all that it stands for " * 9)


def taking(kinds: str) -> Take:
    rows = tuple(row(C, number, kind) for number, kind in enumerate(kinds, 1))
    return Take(conversation=C, source=CHAT, rows=rows, first=Place(1))


def said(kinds: str, *events: Event) -> State:
    """Return the state in which these rows were handed over and these events taken."""
    state = MACHINE.initial
    for event in (ordinals.Open(conversation=C), taking(kinds), *events):
        state, outcome = MACHINE.step(state, event)
        assert not isinstance(outcome, Refused | ordinals.Refused), outcome
    return state


def message(number: int) -> MessageItem:
    return MessageItem(id=MessageId(f"c/{number}"))


def messages(*numbers: int) -> tuple[Item, ...]:
    return tuple(message(number) for number in numbers)


def committing(
    items: tuple[Item, ...], name: str, *answers: Answer, settings: Settings = SMALL
) -> Commit:
    return Commit(
        conversation=C, settings=settings, items=items, summary=SummaryId(name), answers=answers
    )


def committed(state: State, event: Commit) -> tuple[State, Pass]:
    after, outcome = MACHINE.step(state, event)
    assert isinstance(outcome, Committed), outcome
    return after, outcome.record


def until(state: State, target: int, *script: Answer, **given: int) -> tuple[State, Swept]:
    settings = replace(SMALL, **given)
    event = SweepUntil(
        conversation=C, settings=settings, target=target, summary=SummaryId("s"), script=script
    )
    after, outcome = MACHINE.step(state, event)
    assert isinstance(outcome, Swept)
    return after, outcome


def swept(
    state: State, *script: Answer, budget: int = 0, force: bool = True, settings: Settings = SMALL
) -> tuple[State, Swept]:
    event = Sweep(
        conversation=C,
        settings=settings,
        budget=budget,
        force=force,
        hard=True,
        summary=SummaryId("s"),
        script=script,
    )
    after, outcome = MACHINE.step(state, event)
    assert isinstance(outcome, Swept)
    return after, outcome


def context(state: State) -> list[str]:
    return [str(one.item.id) for one in entries_of(state, C)]


def total(state: State) -> int:
    return ledger_of(state.taken.ledger, C).total


# The boundary


@pytest.mark.parametrize(
    ("kinds", "settings", "first"),
    [
        ("aaaa", SMALL, 3),
        ("aaaa", NO_TAIL, 4),
        ("auaa", SMALL, 1),
        ("auaa", NO_TAIL, 1),
        ("uaaa", replace(SMALL, fresh_tail=2), 0),
        ("aaaa", replace(SMALL, fresh_tail=9), 0),
        ("aaaa", replace(SMALL, fresh_tail=3, fresh_tail_tokens=8), 2),
        ("aaal", replace(SMALL, fresh_tail=3, fresh_tail_tokens=8), 3),
        ("", SMALL, 0),
    ],
)
def test_the_newest_user_and_the_fresh_tail_are_protected(
    kinds: str, settings: Settings, first: int
) -> None:
    """CMP-8, CMP-9."""
    assert boundary(SPEC, entries_of(said(kinds), C), settings) == first


def test_a_chunk_ends_when_it_is_full() -> None:
    entries = entries_of(said("aaalaa"), C)
    counts = [[one.tokens for one in chunk] for chunk in chunks(entries, 8)]
    assert counts == [[4, 4], [4], [entries[3].tokens], [4, 4]]
    assert [len(chunk) for chunk in chunks(entries, 1)] == [1] * 6


# Evaluations and selections


def test_an_evaluation_compares_the_greater_size_with_the_threshold() -> None:
    """CMP-16."""
    state = said("aaa")
    event = Evaluate(conversation=C, settings=SMALL, budget=16)
    assert MACHINE.step(state, event) == (
        state,
        Evaluated(total=12, size=12, threshold=12, compact=False, raw=8, leaf=False),
    )
    _, seen = MACHINE.step(state, replace(event, observed=13))
    assert isinstance(seen, Evaluated)
    assert (seen.size, seen.compact) == (13, True)


def test_what_says_nothing_does_not_stand_in_the_way() -> None:
    """CMP-17, CMP-31."""
    select = Select(conversation=C, settings=SMALL)
    state = said("Elau")
    assert MACHINE.step(state, select)[1] == Selected(
        items=messages(2), removed=entries_of(state, C)[1].tokens, prior=()
    )
    assert MACHINE.step(said("Eou"), select)[1] == Idle()


def test_a_short_run_does_not_hide_a_later_one() -> None:
    """CMP-17, CMP-32."""
    commits = [committing(messages(at), f"s{at}", SHORT) for at in (1, 3, 4)]
    state = said("lEllu", *commits)
    select = Select(conversation=C, settings=SMALL, condense=True)
    found = MACHINE.step(state, select)[1]
    assert isinstance(found, Selected)
    assert [one.id for one in found.items] == ["s3", "s4"]
    assert [one.id for one in found.prior] == ["s1"]
    assert MACHINE.step(state, replace(select, settings=replace(SMALL, leaf_fanout=3)))[1] == Idle()


# Commits


def test_a_pass_has_every_field_of_its_summary() -> None:
    """CMP-1 to CMP-6."""
    state = said("fclu")
    before = total(state)
    state, record = committed(state, committing(messages(1, 2), "s1", SHORT))
    assert record == Pass(
        kind=Kind.LEAF,
        summary=SummaryId("s1"),
        sources=messages(1, 2),
        level=Level.NORMAL,
        capped=False,
        calls=1,
        before=before,
        removed=20,
        added=2,
        after=before - 18,
    )
    state, _ = committed(state, committing(messages(3), "s2", LONG, SHORT))
    state, record = committed(
        state,
        committing((SummaryItem(id=SummaryId("s1")), SummaryItem(id=SummaryId("s2"))), "s3", SHORT),
    )
    assert (record.kind, record.removed, record.added) == (Kind.CONDENSED, 4, 2)
    assert state.extents[-1] == Extent(
        summary=SummaryId("s3"),
        earliest="2025-01-01T00:00:01Z",
        latest="2025-01-01T00:00:03Z",
        descendants=2,
        descendant_tokens=4,
        source_tokens=20 + entries_of(said("fclu"), C)[2].tokens,
        files=("file_0000000000000001",),
    )


@pytest.mark.parametrize(
    ("items", "reason"),
    [
        (messages(9), Reason.STALE),
        (messages(1, 3), Reason.STALE),
        (messages(2, 1), Reason.STALE),
        (messages(1, 1), Reason.STALE),
        (messages(5), Reason.PROTECTED),
        (messages(4, 5), Reason.PROTECTED),
        (messages(3), Reason.EMPTY_SOURCE),
        (messages(4), Reason.NO_PROGRESS),
    ],
)
def test_a_commit_that_cannot_be_made_is_refused(items: tuple[Item, ...], reason: Reason) -> None:
    """CMP-13."""
    state = said("aaEou")
    event = committing(items, "s", SHORT)
    assert MACHINE.step(state, event) == (state, Refused(reason=reason))


def test_a_commit_of_two_kinds_is_refused() -> None:
    state = said("lau", committing(messages(1), "s1", SHORT))
    items = (SummaryItem(id=SummaryId("s1")), message(2))
    assert MACHINE.step(state, committing(items, "s2", SHORT))[1] == Refused(reason=Reason.UNEVEN)
    empty = committing((), "s2", SHORT)
    assert MACHINE.step(state, empty)[1] == ordinals.Refused(reason=ordinals.Reason.EMPTY_RANGE)
    used = committing(messages(2), "s1", SHORT)
    assert MACHINE.step(state, used)[1] == ordinals.Refused(reason=ordinals.Reason.ALREADY_PLACED)


def test_what_was_selected_and_summarised_before_somebody_else_did_is_stale() -> None:
    """CMP-13, CMP-27: no range is covered twice, and the pass after a refusal makes progress."""
    state = said("aaau")
    selected = MACHINE.step(state, Select(conversation=C, settings=SMALL))[1]
    assert isinstance(selected, Selected)
    state, _ = committed(state, committing(selected.items[:1], "other", SHORT))
    mine = committing(selected.items, "mine", SHORT)
    assert MACHINE.step(state, mine) == (state, Refused(reason=Reason.STALE))
    again = MACHINE.step(state, Select(conversation=C, settings=SMALL))[1]
    assert isinstance(again, Selected)
    state, _ = committed(state, replace(mine, items=again.items))
    assert context(state) == ["other", "mine", "c/4"]


def test_an_append_meanwhile_is_in_the_totals() -> None:
    """CMP-6."""
    state = said("aau")
    late = tokens.Append(
        conversation=C, messages=(tokens.Draft(id=MessageId("late"), text="x" * 400),)
    )
    state, _ = MACHINE.step(state, late)
    _, record = committed(state, committing(messages(1, 2), "s", SHORT))
    assert (record.before, record.after) == (112, 106)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Unauthenticated(), Reason.AUTHENTICATION),
        (Failed(), Reason.SUMMARISER_ERROR),
    ],
)
def test_a_call_in_vain_leaves_nothing(answer: Answer, reason: Reason) -> None:
    """CMP-14, CMP-15."""
    state = said("aau")
    event = committing(messages(1, 2), "s", answer)
    assert MACHINE.step(state, event) == (state, Refused(reason=reason))


# Sweeps


def test_a_sweep_takes_messages_first_and_then_summaries() -> None:
    """CMP-7, CMP-35."""
    state, found = swept(said("llllu"), SHORT, settings=replace(SMALL, passes=9, calls=40))
    assert [one.kind for one in found.passes] == [Kind.LEAF] * 4 + [Kind.CONDENSED]
    assert (found.stop, found.rounds, found.calls) == (Stop.NOTHING_TO_COMPACT, 1, 5)
    assert context(state) == ["s-5", "c/5"]
    assert found.after == total(state)


def test_a_sweep_within_its_threshold_asks_nobody() -> None:
    """CMP-21."""
    state = said("llu")
    after, found = swept(state, SHORT, budget=2 * total(state), force=False)
    assert (after, found.calls, found.stop) == (state, 0, Stop.UNDER_TARGET)
    assert not found.compacted


@pytest.mark.parametrize(
    ("given", "stop"),
    [
        ({"passes": 1}, Stop.BOUND_REACHED),
        ({"calls": 3}, Stop.BOUND_REACHED),
        ({"deadline": 5}, Stop.DEADLINE),
        ({"passes": 9, "calls": 40}, Stop.NOTHING_TO_COMPACT),
    ],
)
def test_a_sweep_is_bounded(given: dict[str, int], stop: Stop) -> None:
    """CMP-19, CMP-20."""
    script = Text(text="in short", took=5)
    _, found = swept(said("lllu"), script, settings=replace(SMALL, **given))
    assert found.stop is stop


def test_names_that_are_taken_are_passed_over() -> None:
    """Summary ids never collide."""
    state = said("llu", committing(messages(1), "s-1", SHORT))
    state, found = swept(state, SHORT, settings=replace(SMALL, passes=1))
    assert [one.summary for one in found.passes] == ["s-2"]


def test_one_leaf_and_what_follows_from_it() -> None:
    event = CompactLeaf(
        conversation=C, settings=SMALL, budget=0, summary=SummaryId("s"), script=(SHORT,)
    )
    state, outcome = MACHINE.step(said("llu", committing(messages(1), "one", SHORT)), event)
    assert isinstance(outcome, Swept)
    assert [one.kind for one in outcome.passes] == [Kind.LEAF, Kind.CONDENSED]
    assert outcome.stop is Stop.NOTHING_TO_COMPACT
    assert context(state) == ["s-2", "c/3"]
    _, within = MACHINE.step(said("au"), replace(event, budget=100))
    assert isinstance(within, Swept)
    assert (within.stop, within.compacted) == (Stop.UNDER_TARGET, False)


@pytest.mark.parametrize("answer", [Unauthenticated(), Failed(), LONG, Text(text="")])
def test_a_target_that_leaves_room_for_the_cap_is_reached(answer: Answer) -> None:
    """CMP-22, CMP-28: whatever is answered."""
    state = said("lalEu")
    protected = 4
    after, found = until(state, protected + SMALL.fallback_cap, answer)
    assert (found.stop, found.floor) == (Stop.UNDER_TARGET, None)
    assert total(after) <= protected + SMALL.fallback_cap


def test_the_last_resort_wraps_what_is_raw_among_summaries() -> None:
    """CMP-29."""
    state = said("lEau", committing(messages(1), "one", LONG, LONG))
    after, found = until(state, 8, Unauthenticated())
    assert [one.kind for one in found.passes] == [Kind.WRAP, Kind.PREFIX]
    assert [one.added <= one.removed for one in found.passes] == [True, True]
    assert context(after) == ["s-2", "c/4"]


def test_a_target_that_is_out_of_reach_is_missed_and_its_floor_named() -> None:
    """CMP-22, CMP-30."""
    _, found = until(said("lau"), 3, SHORT)
    assert (found.stop, found.floor) == (Stop.NOTHING_TO_COMPACT, 4)


def test_a_prefix_that_says_nothing_is_left() -> None:
    state = said("EEu")
    after, found = until(state, 8, SHORT)
    assert (after, found.stop, found.floor) == (state, Stop.NOTHING_TO_COMPACT, 4)


@pytest.mark.parametrize("kinds", ["lllu", "aaaalu", "lElEu"])
def test_the_same_sweep_again_changes_nothing(kinds: str) -> None:
    """CMP-23."""
    settings = replace(SMALL, passes=20, calls=60)
    state, first = swept(said(kinds), LONG, settings=settings)
    again, second = swept(state, LONG, settings=settings)
    assert (again, second.stop, second.passes) == (state, first.stop, ())


def test_more_than_a_thousand_summaries_are_all_seen() -> None:
    """Released ports lose sight of what is beyond the first hundred or thousand."""
    count = 1_100
    rows = tuple(
        Row(
            message=MessageId(f"c/{number}"),
            entry=intake.EntryId(f"e{number}"),
            digest=intake.Digest(f"d{number}"),
            role="assistant",
            text="some words to say",
        )
        for number in range(1, count + 2)
    )
    state, _ = MACHINE.step(MACHINE.initial, ordinals.Open(conversation=C))
    state, _ = MACHINE.step(state, Take(conversation=C, source=CHAT, rows=rows, first=Place(1)))
    lists = state.taken.ledger.lists.conversations[0]
    summaries = tuple(
        ordinals.Summary(
            id=SummaryId(f"s{number:04}"),
            depth=ordinals.Depth(0),
            text="x" * 16,
            sources=messages(number),
        )
        for number in range(1, count + 1)
    )
    placed = [SummaryItem(id=one.id) for one in summaries] + [message(count + 1)]
    lists = replace(
        lists,
        summaries=summaries,
        context=tuple(
            ordinals.Placed(ordinal=ordinals.Ordinal(rank), item=item)
            for rank, item in enumerate(placed)
        ),
    )
    counts = tuple(
        tokens.Count(item=item, tokens=4)
        for item in (*messages(*range(1, count + 2)), *placed[:-1])
    )
    ledger = tokens.Ledger(conversation=C, total=4 * (count + 1), counts=counts)
    whole = tokens.State(lists=ordinals.State(conversations=(lists,)), ledgers=(ledger,))
    state = State(taken=replace(state.taken, ledger=whole))
    settings = replace(SMALL, leaf_chunk=8_000)
    select = Select(conversation=C, settings=settings, condense=True)
    found = MACHINE.step(state, select)[1]
    assert isinstance(found, Selected)
    assert (len(found.items), found.removed) == (count, 4 * count)


# What is not there


@pytest.mark.parametrize(
    "event",
    [
        Evaluate(conversation=C, settings=SMALL, budget=0),
        Select(conversation=C, settings=SMALL),
        committing(messages(1), "s"),
        CompactLeaf(conversation=C, settings=SMALL, budget=0, summary=SummaryId("s"), script=()),
        Sweep(conversation=C, settings=SMALL, budget=0, summary=SummaryId("s"), script=()),
        SweepUntil(conversation=C, settings=SMALL, target=0, summary=SummaryId("s"), script=()),
    ],
    ids=lambda event: type(event).__name__,
)
def test_a_conversation_that_was_not_opened_is_refused(event: Event) -> None:
    assert MACHINE.step(MACHINE.initial, event) == (
        MACHINE.initial,
        ordinals.Refused(reason=ordinals.Reason.UNKNOWN_CONVERSATION),
    )


# Clauses about states, broken by hand

COVERED = said("fau", committing(messages(1, 2), "s", SHORT))


@pytest.mark.parametrize(
    ("clause", "extents"),
    [
        ("CMP-1", ()),
        ("CMP-1", COVERED.extents * 2),
        ("CMP-1", (*COVERED.extents, replace(COVERED.extents[0], summary=SummaryId("t")))),
        ("CMP-2", (replace(COVERED.extents[0], source_tokens=1),)),
        ("CMP-2", (replace(COVERED.extents[0], descendants=1),)),
        ("CMP-3", (replace(COVERED.extents[0], earliest=None),)),
        ("CMP-3", (replace(COVERED.extents[0], latest="later"),)),
        ("CMP-4", (replace(COVERED.extents[0], files=()),)),
    ],
)
def test_an_extent_that_is_wrong_is_seen(clause: str, extents: tuple[Extent, ...]) -> None:
    state = replace(COVERED, extents=extents)
    broken = {
        one.id
        for one in MACHINE.own_clauses
        if isinstance(one, StateClause) and one.breaks(state) is not None
    }
    assert broken == {clause}


def test_a_state_falls_into_conversations() -> None:
    state, _ = MACHINE.step(COVERED, ordinals.Open(conversation=ConversationId("d")))
    assert MACHINE.partition is not None
    parts = MACHINE.partition(state)
    assert [(key, len(part.extents)) for key, part in parts.items()] == [("c", 1), ("d", 0)]


@pytest.mark.parametrize(
    "rules",
    [Rules(name="RELEASED", stale_check=False), Rules(name="TAIL_ALONE", newest_user=False)],
    ids=lambda rules: rules.name,
)
def test_released_decisions_replace_what_the_specification_protects(rules: Rules) -> None:
    released: Machine = machine(rules)
    state = said("auaa")
    items = messages(1, 3) if not rules.stale_check else messages(2)
    settings = NO_TAIL if not rules.stale_check else SMALL
    event = committing(items, "s", SHORT, settings=settings)
    refused: Outcome = MACHINE.step(state, event)[1]
    assert isinstance(refused, Refused)
    if rules.newest_user:
        assert released.step(state, event)[1] == Refused(reason=Reason.PROTECTED)
        behind = replace(event, items=messages(1, 1))
        assert released.step(state, behind)[1] != Refused(reason=Reason.STALE)
    else:
        assert isinstance(released.step(state, event)[1], Committed)


def test_the_counts_of_the_kinds_of_rows_are_what_the_tests_take_them_for() -> None:
    found = [one.tokens for one in entries_of(said("aoeEcfl"), C)]
    assert found[:4] == [4, 1, 3, 9]
    assert measured("in short") == 2
