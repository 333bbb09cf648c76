"""The model of tokens by itself: the door, totals, decisions, clauses, and released rule sets."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from plumbline_models import ordinals, tokens
from plumbline_models.contract import SometimesClause, StateClause, StepClause, Witness
from plumbline_models.ordinals import ConversationId, MessageId, Ordinal, Reason, SummaryId
from plumbline_models.ordinals.queries import find
from plumbline_models.tokens import (
    Append,
    Count,
    Door,
    Doubt,
    Draft,
    Event,
    Ledger,
    Limits,
    Measure,
    Outcome,
    Posted,
    Posting,
    Refused,
    Regime,
    Replace,
    Rules,
    Scope,
    State,
    Weigh,
    Weighed,
)
from plumbline_models.tokens.queries import ledger_of, plain, texts_of
from plumbline_models.tokens.scope import ABSURD, CJK_TEXT, LONG_TEXT, NEGATIVE
from plumbline_spec.explore import explore
from tests.ordinals import (
    REFUSED,
    WORLD,
    forgetting,
    item,
    items,
    opening,
    pruning,
    rolling_back,
)

MACHINE = tokens.machine()
BY_NAME = {rules.name: tokens.machine(rules) for rules in tokens.RULE_SETS}


def appending(names: str, *given: int | None, at: str = "c", text: str | None = None) -> Append:
    """Append messages; ``given`` are counts of the first ones, the others have none."""
    messages = tuple(
        Draft(
            id=MessageId(name),
            text=f"text of {name}" if text is None else text,
            tokens=given[number] if number < len(given) else None,
        )
        for number, name in enumerate(names.split())
    )
    return Append(conversation=ConversationId(at), messages=messages)


def replacing(
    names: str,
    summary: str,
    given: int | None = None,
    *,
    at: str = "c",
    text: str | None = None,
    first: int | None = None,
) -> Replace:
    return Replace(
        conversation=ConversationId(at),
        summary=SummaryId(summary),
        text=f"text of {summary}" if text is None else text,
        items=items(names),
        first=None if first is None else Ordinal(first),
        tokens=given,
    )


def weighing(limits: Limits, observed: int | None = None, at: str = "c") -> Weigh:
    return Weigh(conversation=ConversationId(at), limits=limits, observed=observed)


def over(event: ordinals.Event) -> Event:
    """Return the event of tokens that contains an event of ordinals and gives no count."""
    match event:
        case ordinals.Append():
            drafts = tuple(Draft(id=one.id, text=one.text) for one in event.messages)
            return Append(conversation=event.conversation, messages=drafts)
        case ordinals.Replace():
            return Replace(
                conversation=event.conversation,
                summary=event.summary,
                text=event.text,
                items=event.items,
                first=event.first,
                last=event.last,
            )
        case _:
            return event


def taken(machine: tokens.Machine, *events: Event) -> tuple[State, tuple[Outcome, ...]]:
    state, outcomes = machine.initial, list[Outcome]()
    for event in events:
        state, outcome = machine.step(state, event)
        outcomes.append(outcome)
    return state, tuple(outcomes)


def total(state: State, at: str = "c") -> int:
    return ledger_of(state, ConversationId(at)).total


def counts(state: State, at: str = "c") -> str:
    """Return the stored counts of a conversation in their order: ``m1:3 m2:12 s1:3``."""
    ledger = ledger_of(state, ConversationId(at))
    return " ".join(f"{one.item.id}:{one.tokens}" for one in ledger.counts)


HERE = taken(MACHINE, *(over(event) for event in WORLD))[0]
"""The world of ordinals, whose texts are all estimated at three tokens."""

GOOD = taken(
    MACHINE,
    opening(),
    appending("m1 m2 m3", 5),
    replacing("m1 m2", "s1", 4),
    opening("d"),
    appending("x1", at="d"),
)[0]
"""``s1 m3`` in c, where s1 (4) covers m1 (5) and m2 (3), and m3 has 3; ``x1`` (3) in d."""

RAW = taken(MACHINE, opening(), appending("m1 m2 m3", 5), opening("d"), appending("x1", at="d"))[0]
"""The same before the replacement."""


# Guards


@pytest.mark.parametrize(("event", "reason"), REFUSED, ids=str)
def test_what_ordinals_refuses_is_refused_for_the_same_reason(
    event: ordinals.Event, reason: Reason
) -> None:
    """TOK-13, ORD-15: the refused state is the one before, itself."""
    state, outcome = MACHINE.step(HERE, over(event))
    assert outcome == ordinals.Refused(reason=reason)
    assert state is HERE


LONG = LONG_TEXT * 2


@pytest.mark.parametrize(
    ("event", "doubt", "index"),
    [
        (appending("m8", NEGATIVE), Doubt.NEGATIVE_COUNT, 0),
        (appending("m8", ABSURD), Doubt.ABSURD_COUNT, 0),
        (appending("m8", 1, text=LONG), Doubt.ABSURD_COUNT, 0),
        (appending("m8 m9", None, NEGATIVE), Doubt.NEGATIVE_COUNT, 1),
        (appending("m8 m9 m10", 3, ABSURD, NEGATIVE), Doubt.ABSURD_COUNT, 1),
        (appending("m8", 65, text=""), Doubt.ABSURD_COUNT, 0),
        (replacing("m4 m5", "s", NEGATIVE), Doubt.NEGATIVE_COUNT, 0),
        (replacing("m4 m5", "s", ABSURD), Doubt.ABSURD_COUNT, 0),
        (replacing("m4 m5", "s", 1, text=LONG), Doubt.ABSURD_COUNT, 0),
        # The door comes before every guard of ordinals.
        (appending("m8", NEGATIVE, at="nowhere"), Doubt.NEGATIVE_COUNT, 0),
        (appending("m4 m4", ABSURD), Doubt.ABSURD_COUNT, 0),
        (appending("m7 x1", None, NEGATIVE), Doubt.NEGATIVE_COUNT, 1),
        (replacing("", "s3", NEGATIVE, at="nowhere"), Doubt.NEGATIVE_COUNT, 0),
        (replacing("", "s3", ABSURD), Doubt.ABSURD_COUNT, 0),
        (replacing("m1 unknown", "sx", NEGATIVE), Doubt.NEGATIVE_COUNT, 0),
    ],
    ids=str,
)
def test_the_first_count_that_is_not_believed_decides(
    event: Event, doubt: Doubt, index: int
) -> None:
    """TOK-10, TOK-13."""
    state, outcome = MACHINE.step(HERE, event)
    assert outcome == Refused(reason=doubt, index=index)
    assert state is HERE


def test_a_believed_count_does_not_help_what_ordinals_refuses() -> None:
    refused = ordinals.Refused(reason=Reason.ALREADY_PLACED)
    assert MACHINE.step(HERE, appending("m4", 3)) == (HERE, refused)


def test_weighing_nothing_is_refused() -> None:
    event = weighing(Limits(window=100), at="nowhere")
    refused = ordinals.Refused(reason=Reason.UNKNOWN_CONVERSATION)
    for state in (State(), HERE):
        assert MACHINE.step(state, event) == (state, refused)


# Counts and totals

STORY: tuple[tuple[Event, tuple[int, int, int, int], str], ...] = (
    (opening(), (0, 0, 0, 0), ""),
    (appending("m1 m2", 7), (0, 0, 10, 10), "m1:7 m2:3"),
    (appending("m3", 0), (10, 0, 3, 13), "m1:7 m2:3 m3:3"),
    (appending("m4", text=CJK_TEXT), (13, 0, 10, 23), "m1:7 m2:3 m3:3 m4:10"),
    (appending("m5", text=""), (23, 0, 0, 23), "m1:7 m2:3 m3:3 m4:10 m5:0"),
    (appending("m6", 4, text=""), (23, 0, 4, 27), "m1:7 m2:3 m3:3 m4:10 m5:0 m6:4"),
    (
        replacing("m1 m2", "s2", 2),
        (27, 10, 2, 19),
        "m1:7 m2:3 m3:3 m4:10 m5:0 m6:4 s2:2",
    ),
    (
        replacing("m5", "s1"),
        (19, 0, 3, 22),
        "m1:7 m2:3 m3:3 m4:10 m5:0 m6:4 s1:3 s2:2",
    ),
    (
        replacing("s2", "s3", 40, first=0),
        (22, 2, 40, 60),
        "m1:7 m2:3 m3:3 m4:10 m5:0 m6:4 s1:3 s2:2 s3:40",
    ),
    (
        rolling_back("s3"),
        (60, 40, 2, 22),
        "m1:7 m2:3 m3:3 m4:10 m5:0 m6:4 s1:3 s2:2",
    ),
    (rolling_back("s2"), (22, 2, 10, 30), "m1:7 m2:3 m3:3 m4:10 m5:0 m6:4 s1:3"),
    (forgetting("m3 m6"), (30, 7, 0, 23), "m1:7 m2:3 m4:10 m5:0 s1:3"),
    (pruning(0), (23, 20, 0, 3), "m1:7 m2:3 m4:10 m5:0 s1:3"),
    (forgetting("m4"), (3, 0, 0, 3), "m1:7 m2:3 m5:0 s1:3"),
    (pruning(), (3, 3, 0, 0), "m1:7 m2:3 m5:0 s1:3"),
    (pruning(), (0, 0, 0, 0), "m1:7 m2:3 m5:0 s1:3"),
)
"""Events one after the other; (before, removed, added, after) and the stored counts of each."""


def test_a_total_follows_what_leaves_and_what_comes() -> None:
    """TOK-1, TOK-2, TOK-7, TOK-8, TOK-9, TOK-11."""
    state = State()
    for event, (before, removed, added, after), stored in STORY:
        listed = plain(event)
        assert listed is not None
        lists, outcome = ordinals.machine().step(state.lists, listed)
        state, posted = MACHINE.step(state, event)
        assert isinstance(posted, Posted)
        assert posted.outcome == outcome
        found = (posted.before, posted.removed, posted.added, posted.after)
        assert found == (before, removed, added, after), event
        assert (total(state), counts(state)) == (after, stored)
        assert state.lists == lists


def test_the_story_has_every_event_that_moves_a_total() -> None:
    assert {type(event) for event, _, _ in STORY} == {*MACHINE.kinds} - {Weigh}


def test_ledgers_are_kept_by_id_and_apart() -> None:
    """TOK-12."""
    state, _ = taken(MACHINE, opening("b"), opening("a"), appending("m1", 9, at="a"))
    assert [(one.conversation, one.total) for one in state.ledgers] == [("a", 9), ("b", 0)]
    after, _ = MACHINE.step(state, appending("m2", at="b"))
    assert after.ledgers[0] is state.ledgers[0]
    assert total(after, "b") == 3


def test_a_rolled_back_summary_can_be_stored_again_with_another_count() -> None:
    """TOK-11: the count goes with the row."""
    state = MACHINE.step(GOOD, rolling_back("s1"))[0]
    assert (total(state), counts(state)) == (11, "m1:5 m2:3 m3:3")
    assert total(MACHINE.step(state, replacing("m1 m2", "s1", 6))[0]) == 9


def test_a_conversation_without_a_ledger_weighs_nothing() -> None:
    assert ledger_of(State(), ConversationId("c")) == Ledger(conversation=ConversationId("c"))


# Decisions

AT_11 = taken(MACHINE, opening(), appending("m1", 11))[0]


@pytest.mark.parametrize(
    ("limits", "observed", "size", "soft", "hard", "regime"),
    [
        (Limits(window=100), None, 11, 75, 100, Regime.WITHIN),
        # Both edges of both thresholds.
        (Limits(window=24, soft_percent=50), None, 11, 12, 24, Regime.WITHIN),
        (Limits(window=22, soft_percent=50), None, 11, 11, 22, Regime.WITHIN),
        (Limits(window=20, soft_percent=50), None, 11, 10, 20, Regime.SOFT),
        (Limits(window=12, soft_percent=50), None, 11, 6, 12, Regime.SOFT),
        (Limits(window=11, soft_percent=50), None, 11, 5, 11, Regime.SOFT),
        (Limits(window=10, soft_percent=50), None, 11, 5, 10, Regime.HARD),
        # Room for what is sent beside the context.
        (Limits(window=21, overhead=6, reserve=4), None, 11, 9, 11, Regime.SOFT),
        (Limits(window=21, overhead=6, reserve=5), None, 11, 9, 10, Regime.HARD),
        (Limits(window=21, overhead=20, reserve=20), None, 11, 0, 0, Regime.HARD),
        # What the host observed.
        (Limits(window=22, soft_percent=50), 0, 11, 11, 22, Regime.WITHIN),
        (Limits(window=22, soft_percent=50), 11, 11, 11, 22, Regime.WITHIN),
        (Limits(window=22, soft_percent=50), 12, 12, 11, 22, Regime.SOFT),
        (Limits(window=22, soft_percent=50), 23, 23, 11, 22, Regime.HARD),
    ],
)
def test_a_decision_reads_the_stored_total(
    limits: Limits, observed: int | None, size: int, soft: int, hard: int, regime: Regime
) -> None:
    """TOK-13 to TOK-17."""
    state, outcome = MACHINE.step(AT_11, weighing(limits, observed))
    assert outcome == Weighed(total=11, size=size, soft=soft, hard=hard, regime=regime)
    assert state is AT_11


# Clauses

STATE_CLAUSES = {one.id: one for one in MACHINE.clauses if isinstance(one, StateClause)}
STEP_CLAUSES = {one.id: one for one in MACHINE.clauses if isinstance(one, StepClause)}
OWN = {one.id for one in MACHINE.own_clauses}


def test_the_clauses_of_ordinals_are_inherited_but_for_those_about_reach() -> None:
    inherited = [one.id for one in MACHINE.clauses if one.id not in OWN]
    listed = ordinals.machine().clauses
    assert inherited == [one.id for one in listed if not isinstance(one, SometimesClause)]
    assert {one.partition("-")[0] for one in OWN} == {"TOK"}


def bent(change: Callable[[Ledger], Ledger], state: State = GOOD) -> State:
    """Return a state with a change to the ledger of its first conversation."""
    return replace(state, ledgers=(change(state.ledgers[0]), *state.ledgers[1:]))


def bent_d(change: Callable[[Ledger], Ledger], state: State = GOOD) -> State:
    """Return a state with a change to the ledger of its second conversation."""
    return replace(state, ledgers=(state.ledgers[0], change(state.ledgers[1])))


def totalling(number: int) -> Callable[[Ledger], Ledger]:
    return lambda ledger: replace(ledger, total=number)


def counted(**changed: int) -> Callable[[Ledger], Ledger]:
    """Return the change that gives items these counts; the total stays."""

    def change(ledger: Ledger) -> Ledger:
        stored = (
            replace(one, tokens=changed.get(one.item.id, one.tokens)) for one in ledger.counts
        )
        return replace(ledger, counts=tuple(stored))

    return change


def without(name: str) -> Callable[[Ledger], Ledger]:
    """Return the change that removes the counts of an item."""

    def change(ledger: Ledger) -> Ledger:
        kept = (one for one in ledger.counts if one.item.id != name)
        return replace(ledger, counts=tuple(kept))

    return change


def also(name: str, number: int) -> Callable[[Ledger], Ledger]:
    """Return the change that adds a count of an item behind the others."""

    def change(ledger: Ledger) -> Ledger:
        return replace(ledger, counts=(*ledger.counts, Count(item=item(name), tokens=number)))

    return change


def both(*changes: Callable[[Ledger], Ledger]) -> Callable[[Ledger], Ledger]:
    def change(ledger: Ledger) -> Ledger:
        for one in changes:
            ledger = one(ledger)
        return ledger

    return change


SHORT_WORDS = taken(MACHINE, opening(), appending("a", 1, text="ab"), appending("b", 1, text="cd"))[
    0
]

BAD_STATES: tuple[tuple[str, State, Witness], ...] = (
    (
        "TOK-1",
        bent(totalling(8)),
        Witness(
            table="conversations",
            row="conversation c, total",
            found="8 stored, the counts make 7",
        ),
    ),
    (
        "TOK-1",
        bent_d(totalling(0)),
        Witness(
            table="conversations",
            row="conversation d, total",
            found="0 stored, the counts make 3",
        ),
    ),
    (
        "TOK-2",
        bent(without("m1")),
        Witness(table="messages", row="conversation c, message m1", found="has no count"),
    ),
    (
        "TOK-2",
        bent(without("s1")),
        Witness(table="summaries", row="conversation c, summary s1", found="has no count"),
    ),
    (
        "TOK-2",
        replace(GOOD, ledgers=GOOD.ledgers[1:]),
        Witness(table="conversations", row="conversation c", found="has no ledger"),
    ),
    (
        "TOK-2",
        bent(also("m9", 3)),
        Witness(
            table="messages",
            row="conversation c, message m9",
            found="has a count and is not stored",
        ),
    ),
    (
        "TOK-2",
        bent(also("m3", 3)),
        Witness(table="messages", row="conversation c, message m3", found="has 2 counts"),
    ),
    (
        "TOK-3",
        bent(totalling(-1)),
        Witness(table="conversations", row="conversation c, total", found="is -1"),
    ),
    (
        "TOK-3",
        bent(counted(m1=-5)),
        Witness(table="messages", row="conversation c, message m1", found="count -5"),
    ),
    (
        "TOK-4",
        bent(counted(s1=0)),
        Witness(
            table="summaries",
            row="conversation c, summary s1",
            found="count 0 for 10 code points",
        ),
    ),
    (
        "TOK-5",
        bent(counted(m1=105)),
        Witness(
            table="messages",
            row="conversation c, message m1",
            found="count 105 for 10 code points, 1 to 104 believed",
        ),
    ),
    (
        "TOK-5",
        bent(counted(m1=8), taken(MACHINE, opening(), appending("m1", 9, text="x" * 1152))[0]),
        Witness(
            table="messages",
            row="conversation c, message m1",
            found="count 8 for 1152 code points, 9 to 4672 believed",
        ),
    ),
)
"""For TOK-6 it is the estimate that is bad and not a state."""


@pytest.mark.parametrize(("clause", "state", "expected"), BAD_STATES)
def test_a_bad_state_breaks_its_clause_at_its_row(
    clause: str, state: State, expected: Witness
) -> None:
    assert STATE_CLAUSES[clause].breaks(state) == expected


def test_an_estimate_that_rounds_down_breaks_its_clause_where_two_texts_stand_together() -> None:
    """TOK-6."""
    floored = tokens.assembled("FLOORED", MACHINE.step, measured=lambda text: len(text) // 4)
    (clause,) = [one for one in floored.clauses if one.id == "TOK-6"]
    assert isinstance(clause, StateClause)
    assert clause.breaks(SHORT_WORDS) == Witness(
        table="context",
        row="conversation c, message a and message b",
        found="estimated 1 together and 0 apart",
    )
    assert STATE_CLAUSES["TOK-6"].breaks(SHORT_WORDS) is None


def test_every_clause_about_states_has_a_bad_state() -> None:
    tried = {clause for clause, _, _ in BAD_STATES} | {"TOK-6"}
    assert tried == OWN & STATE_CLAUSES.keys()


@pytest.mark.parametrize(
    ("clause", "state"),
    [
        ("TOK-3", bent(both(counted(s1=0, m3=0), totalling(0)))),
        ("TOK-4", bent(counted(m1=1))),
        ("TOK-4", taken(MACHINE, opening(), appending("m1", text=""))[0]),
        ("TOK-5", bent(counted(m1=1))),
        ("TOK-5", bent(counted(m1=104))),
        ("TOK-5", bent(counted(m1=0))),
        ("TOK-5", taken(MACHINE, opening(), appending("m1", 9, text="x" * 1152))[0]),
    ],
)
def test_the_edge_of_a_clause_about_states_breaks_nothing(clause: str, state: State) -> None:
    assert STATE_CLAUSES[clause].breaks(state) is None


@pytest.mark.parametrize("clause", STATE_CLAUSES.values(), ids=lambda clause: clause.id)
def test_good_states_break_no_clause(clause: StateClause[State]) -> None:
    for state in (State(), GOOD, RAW, HERE, SHORT_WORDS):
        assert clause.breaks(state) is None


def posted(outcome: tokens.Listed, before: int, removed: int, added: int, after: int) -> Posted:
    return Posted(outcome=outcome, before=before, removed=removed, added=added, after=after)


TO_S1 = replacing("m1 m2", "s1", 4)
REPLACED = ordinals.Replaced(depth=ordinals.Depth(0))
APPENDED = ordinals.Appended(ordinal=Ordinal(3), sequence=ordinals.Sequence(4))
OPENED = ordinals.Opened()
PRUNED = ordinals.Pruned(removed=())
APPEND_M4 = appending("m4", 6)
WITH_M4 = MACHINE.step(RAW, APPEND_M4)[0]
UNCOUNTED = appending("m4")
WITH_ESTIMATE = MACHINE.step(RAW, UNCOUNTED)[0]
IN_THREE = Limits(window=30, overhead=4, reserve=6, soft_percent=50)
"""Thresholds 11 and 20; the total of ``RAW`` is 11."""
WEIGH = weighing(IN_THREE)
OBSERVING = weighing(IN_THREE, 15)


def weighed(
    total: int = 11, size: int = 11, soft: int = 11, hard: int = 20, regime: Regime = Regime.WITHIN
) -> Weighed:
    return Weighed(total=total, size=size, soft=soft, hard=hard, regime=regime)


BAD_STEPS: tuple[tuple[str, State, Event, Outcome, State, str, str], ...] = (
    (
        "TOK-7",
        RAW,
        TO_S1,
        posted(REPLACED, 11, 9, 4, 6),
        bent(totalling(6)),
        "conversation c, total",
        "11 - 9 + 4 = 6, expected 11 - 8 + 4 = 7",
    ),
    (
        "TOK-7",
        RAW,
        TO_S1,
        posted(REPLACED, 11, 8, 4, 8),
        bent(totalling(8)),
        "conversation c, total",
        "11 - 8 + 4 = 8, expected 11 - 8 + 4 = 7",
    ),
    (
        "TOK-7",
        RAW,
        TO_S1,
        posted(REPLACED, 11, 8, 4, 7),
        bent(totalling(11)),
        "conversation c, total",
        "11 stored, 7 reported",
    ),
    (
        "TOK-7",
        State(),
        opening(),
        posted(OPENED, 0, 0, 2, 2),
        bent(totalling(2), taken(MACHINE, opening())[0]),
        "conversation c, total",
        "0 - 0 + 2 = 2, expected 0 - 0 + 0 = 0",
    ),
    (
        "TOK-8",
        RAW,
        APPEND_M4,
        posted(APPENDED, 11, 0, 3, 14),
        bent(counted(m4=3), WITH_M4),
        "conversation c, message m4",
        "count 3, 6 given",
    ),
    (
        "TOK-8",
        RAW,
        TO_S1,
        posted(REPLACED, 11, 8, 4, 7),
        bent(without("s1")),
        "conversation c, summary s1",
        "count None, 4 given",
    ),
    (
        "TOK-9",
        RAW,
        UNCOUNTED,
        posted(APPENDED, 11, 0, 2, 13),
        bent(counted(m4=2), WITH_ESTIMATE),
        "conversation c, message m4",
        "count 2, estimated 3",
    ),
    (
        "TOK-9",
        RAW,
        appending("m4", 0),
        posted(APPENDED, 11, 0, 0, 11),
        bent(counted(m4=0), WITH_ESTIMATE),
        "conversation c, message m4",
        "count 0, estimated 3",
    ),
    (
        "TOK-9",
        RAW,
        replacing("m1 m2", "s1"),
        posted(REPLACED, 11, 8, 4, 7),
        GOOD,
        "conversation c, summary s1",
        "count 4, estimated 3",
    ),
    (
        "TOK-10",
        RAW,
        appending("m4", NEGATIVE),
        posted(APPENDED, 11, 0, 3, 14),
        WITH_ESTIMATE,
        "conversation c, message m4",
        "-3 given, not refused, not number 0",
    ),
    (
        "TOK-10",
        RAW,
        replacing("m1 m2", "s1", ABSURD),
        ordinals.Refused(reason=Reason.STALE_RANGE),
        RAW,
        "conversation c, summary s1",
        "10000 given, not refused, not number 0",
    ),
    (
        "TOK-10",
        RAW,
        APPEND_M4,
        Refused(reason=Doubt.ABSURD_COUNT, index=0),
        RAW,
        "conversation c, counts",
        "0 given, number 0 refused as absurd_count, not number None",
    ),
    (
        "TOK-10",
        RAW,
        appending("m4 m5 m6", None, NEGATIVE, ABSURD),
        Refused(reason=Doubt.ABSURD_COUNT, index=2),
        RAW,
        "conversation c, message m5",
        "-3 given, number 2 refused as absurd_count, not number 1",
    ),
    (
        "TOK-11",
        RAW,
        TO_S1,
        posted(REPLACED, 11, 8, 4, 7),
        bent(counted(m1=1)),
        "conversation c, message m1",
        "count 1, 5 before",
    ),
    (
        "TOK-11",
        GOOD,
        pruning(1),
        posted(PRUNED, 7, 7, 0, 0),
        bent(without("m2")),
        "conversation c, message m2",
        "count None, 3 before",
    ),
    (
        "TOK-12",
        RAW,
        TO_S1,
        posted(REPLACED, 11, 8, 4, 7),
        bent_d(totalling(7)),
        "conversation d, ledger",
        "was changed by an event of another conversation",
    ),
    (
        "TOK-12",
        RAW,
        TO_S1,
        posted(REPLACED, 11, 8, 4, 7),
        replace(GOOD, ledgers=GOOD.ledgers[:1]),
        "other ledgers",
        "1 before, 0 after",
    ),
    (
        "TOK-12",
        HERE,
        WEIGH,
        weighed(),
        replace(HERE, ledgers=(*HERE.ledgers[:2], totalling(1)(HERE.ledgers[2]))),
        "conversation e, ledger",
        "was changed by an event of another conversation",
    ),
    ("TOK-13", RAW, WEIGH, weighed(), GOOD, "conversation c", "changed although it was weighed"),
    (
        "TOK-13",
        RAW,
        appending("m4", NEGATIVE),
        Refused(reason=Doubt.NEGATIVE_COUNT, index=0),
        WITH_ESTIMATE,
        "conversation c",
        "changed although it was refused",
    ),
    (
        "TOK-13",
        RAW,
        rolling_back("s1"),
        ordinals.Refused(reason=Reason.UNKNOWN_ITEM),
        bent(totalling(12), RAW),
        "conversation c",
        "changed although it was refused",
    ),
    ("TOK-14", RAW, WEIGH, weighed(12, 12), RAW, "conversation c, total", "12 read, 11 stored"),
    (
        "TOK-15",
        RAW,
        OBSERVING,
        weighed(size=26, regime=Regime.HARD),
        RAW,
        "conversation c, total",
        "26 compared, of 11 and 15",
    ),
    (
        "TOK-15",
        RAW,
        WEIGH,
        weighed(size=10),
        RAW,
        "conversation c, total",
        "10 compared, of 11",
    ),
    (
        "TOK-16",
        RAW,
        WEIGH,
        weighed(hard=26),
        RAW,
        "conversation c, total",
        "thresholds 11 and 26, a share of 11 and room for 20",
    ),
    (
        "TOK-16",
        RAW,
        WEIGH,
        weighed(soft=21),
        RAW,
        "conversation c, total",
        "thresholds 21 and 20, a share of 11 and room for 20",
    ),
    (
        "TOK-16",
        RAW,
        WEIGH,
        weighed(soft=-1, regime=Regime.SOFT),
        RAW,
        "conversation c, total",
        "thresholds -1 and 20, a share of 11 and room for 20",
    ),
    (
        "TOK-16",
        RAW,
        weighing(Limits(window=5, overhead=6)),
        weighed(soft=-1, hard=-1, regime=Regime.HARD),
        RAW,
        "conversation c, total",
        "thresholds -1 and -1, a share of -3 and room for -1",
    ),
    (
        "TOK-17",
        RAW,
        WEIGH,
        weighed(regime=Regime.SOFT),
        RAW,
        "conversation c, total",
        "11 with thresholds 11 and 20 is soft and not within",
    ),
    (
        "TOK-17",
        RAW,
        weighing(IN_THREE, 20),
        weighed(size=20, regime=Regime.HARD),
        RAW,
        "conversation c, total",
        "20 with thresholds 11 and 20 is hard and not soft",
    ),
    (
        "TOK-17",
        RAW,
        weighing(IN_THREE, 12),
        weighed(size=12),
        RAW,
        "conversation c, total",
        "12 with thresholds 11 and 20 is within and not soft",
    ),
    (
        "TOK-17",
        RAW,
        weighing(IN_THREE, 21),
        weighed(size=21, regime=Regime.SOFT),
        RAW,
        "conversation c, total",
        "21 with thresholds 11 and 20 is soft and not hard",
    ),
)


@pytest.mark.parametrize(
    ("clause", "before", "event", "outcome", "then", "row", "found"), BAD_STEPS
)
def test_a_bad_step_breaks_its_clause_at_its_row(
    clause: str, before: State, event: Event, outcome: Outcome, then: State, row: str, found: str
) -> None:
    assert STEP_CLAUSES[clause].applies(type(event), type(outcome))
    witness = STEP_CLAUSES[clause].breaks(before, event, outcome, then)
    assert witness is not None
    assert (witness.row, witness.found) == (row, found)


def test_every_clause_about_steps_has_a_bad_step() -> None:
    assert {clause for clause, *_ in BAD_STEPS} == OWN & STEP_CLAUSES.keys()


def broken_by(before: State, event: Event, outcome: Outcome, after: State) -> dict[str, Witness]:
    found = {
        clause.id: clause.breaks(before, event, outcome, after)
        for clause in STEP_CLAUSES.values()
        if clause.applies(type(event), type(outcome))
    }
    return {name: witness for name, witness in found.items() if witness is not None}


ACCEPTED: tuple[Event, ...] = (
    opening("f"),
    appending("m8 m9", 3),
    appending("m8", 0),
    appending("m8", 64, text=""),
    appending("m8", text=CJK_TEXT),
    appending("m8", text=""),
    replacing("m4 m5", "s", 100),
    replacing("m4 m5", "s"),
    rolling_back("s3"),
    pruning(1),
    forgetting("m5"),
    WEIGH,
    OBSERVING,
    weighing(Limits(window=0)),
)


def test_right_steps_break_no_clause() -> None:
    doubted = (
        appending("m8", NEGATIVE),
        appending("m8", 65, text=""),
        replacing("m4", "s", ABSURD),
    )
    for event in (*ACCEPTED, *doubted, *(over(event) for event, _ in REFUSED)):
        after, outcome = MACHINE.step(HERE, event)
        assert broken_by(HERE, event, outcome, after) == {}
        if event in ACCEPTED:
            assert isinstance(outcome, Posted | Weighed)


# What is inherited


def test_a_clause_of_ordinals_is_judged_on_the_lists() -> None:
    """ORD-1: with the witness that ordinals names."""
    (at, other) = GOOD.lists.conversations
    shifted = (replace(at.context[0], ordinal=Ordinal(5)), *at.context[1:])
    lists = ordinals.State(conversations=(replace(at, context=shifted), other))
    witness = STATE_CLAUSES["ORD-1"].breaks(replace(GOOD, lists=lists))
    (expected,) = [one for one in ordinals.machine().clauses if one.id == "ORD-1"]
    assert isinstance(expected, StateClause)
    assert witness == expected.breaks(lists)
    assert witness is not None


def test_a_clause_of_ordinals_is_judged_on_the_step_that_is_contained() -> None:
    """ORD-28: the depth that is reported inside of what is posted."""
    wrong = posted(ordinals.Replaced(depth=ordinals.Depth(7)), 11, 8, 4, 7)
    assert [*broken_by(RAW, TO_S1, wrong, GOOD)] == ["ORD-28"]
    refused = ordinals.Refused(reason=Reason.STALE_RANGE)
    assert "ORD-15" in broken_by(RAW, TO_S1, refused, GOOD)
    failed = ordinals.Failed(constraint="context.ordinal")
    assert [*broken_by(RAW, TO_S1, failed, RAW)] == ["ORD-16"]


def test_no_clause_of_ordinals_is_about_a_weighing_or_a_doubt() -> None:
    """They contain no event of ordinals; TOK-13 is about them."""
    assert [*broken_by(RAW, WEIGH, weighed(), GOOD)] == ["TOK-13"]
    doubted = Refused(reason=Doubt.NEGATIVE_COUNT, index=0)
    assert {*broken_by(RAW, appending("m4", NEGATIVE), doubted, WITH_ESTIMATE)} == {"TOK-13"}


# Clauses about reach


@pytest.mark.parametrize(
    ("clause", "before", "event", "reached"),
    [
        ("TOK-18", RAW, WEIGH, True),
        ("TOK-18", RAW, weighing(replace(IN_THREE, window=28)), False),
        ("TOK-18", RAW, weighing(Limits(window=11, soft_percent=100)), False),
        ("TOK-18", State(), WEIGH, False),
        ("TOK-18", taken(MACHINE, opening())[0], weighing(Limits(window=1)), False),
        ("TOK-19", RAW, weighing(Limits(window=11)), True),
        ("TOK-19", RAW, weighing(Limits(window=11, soft_percent=100)), False),
        ("TOK-19", RAW, weighing(Limits(window=12)), False),
        ("TOK-19", taken(MACHINE, opening())[0], weighing(Limits(window=0)), False),
        ("TOK-20", RAW, replacing("m1 m2", "s1", 9), True),
        ("TOK-20", RAW, replacing("m1 m2", "s1", 8), False),
        ("TOK-20", RAW, appending("m4"), False),
        ("TOK-20", RAW, replacing("m1 m3", "s1", 9), False),
        ("TOK-20", GOOD, rolling_back("s1"), False),
        ("TOK-21", RAW, appending("m4", text=CJK_TEXT), True),
        ("TOK-21", RAW, replacing("m1", "s1", text="é"), True),
        ("TOK-21", RAW, appending("m4", 9, text=CJK_TEXT), False),
        ("TOK-21", RAW, appending("m4"), False),
        ("TOK-21", RAW, appending("m1", text=CJK_TEXT), False),
        ("TOK-21", RAW, opening("f"), False),
        ("TOK-22", RAW, appending("m4"), True),
        ("TOK-22", RAW, appending("x2", at="d"), True),
        ("TOK-22", RAW, appending("m4", text=""), False),
        ("TOK-22", taken(MACHINE, opening(), opening("d"))[0], appending("m4"), False),
        ("TOK-22", RAW, WEIGH, False),
    ],
)
def test_a_clause_about_reach_is_reached_by_what_it_says(
    clause: str, before: State, event: Event, *, reached: bool
) -> None:
    (sought,) = [one for one in MACHINE.clauses if one.id == clause]
    assert isinstance(sought, SometimesClause)
    state, outcome = MACHINE.step(before, event)
    assert sought.reached(before, event, outcome, state) is reached


# Pairs, parts, names


def test_exploring_meets_every_row_of_the_event_table_and_no_other() -> None:
    """One scope has two conversations, the other a range with a hole in it."""
    met: set[tuple[str, str]] = set()
    for conversations, messages in ((2, 2), (1, 3)):
        scope = Scope(conversations=conversations, messages=messages, summaries=1)
        walk = explore(MACHINE, scope)
        assert walk.counterexample is None
        met |= {*walk.coverage.pairs}
    assert met == {*tokens.PAIRS}
    assert len(met) == len(tokens.PAIRS)


@pytest.mark.parametrize(
    ("outcome", "name"),
    [
        (posted(REPLACED, 11, 8, 4, 7), "Posted(Replaced)"),
        (weighed(), "Weighed(within)"),
        (weighed(regime=Regime.HARD), "Weighed(hard)"),
        (Refused(reason=Doubt.ABSURD_COUNT, index=0), "Refused(absurd_count)"),
        (ordinals.Refused(reason=Reason.STALE_RANGE), "Refused(stale_range)"),
        (ordinals.Failed(constraint="context"), "Failed"),
    ],
)
def test_an_outcome_is_named_with_what_happened(outcome: Outcome, name: str) -> None:
    assert MACHINE.outcome_name(outcome) == name


def in_parts(state: State) -> dict[str, State]:
    assert MACHINE.partition is not None
    return dict(MACHINE.partition(state))


def test_a_state_is_the_sum_of_its_parts() -> None:
    parts = in_parts(HERE)
    assert list(parts) == ["c", "d", "e"]
    lists = tuple(one for part in parts.values() for one in part.lists.conversations)
    ledgers = tuple(one for part in parts.values() for one in part.ledgers)
    assert State(lists=ordinals.State(conversations=lists), ledgers=ledgers) == HERE


@pytest.mark.parametrize("clause", sorted(OWN & STATE_CLAUSES.keys()))
def test_a_clause_agrees_on_the_whole_and_part_by_part(clause: str) -> None:
    judged = STATE_CLAUSES[clause]
    for state in (*(bad for _, bad, _ in BAD_STATES), GOOD, HERE, State()):
        parts = [judged.breaks(part) for part in in_parts(state).values()]
        assert judged.breaks(state) == next((one for one in parts if one is not None), None)


def test_the_event_of_ordinals_inside_an_event_is_that_event() -> None:
    for event in (*WORLD, *(event for event, _ in REFUSED)):
        assert plain(over(event)) == event
    assert plain(WEIGH) is None


def test_texts_come_as_counts_do() -> None:
    at = find(GOOD.lists, ConversationId("c"))
    assert at is not None
    assert list(texts_of(at)) == [one.item for one in GOOD.ledgers[0].counts]


# Released rule sets

LONG_ZERO = appending("m1", 0, text="x" * 4_000)
SUMMARY_OF_50 = replacing("m1", "s1", text="y" * 200)


@pytest.mark.parametrize(
    ("name", "after"), [("BEFORE_295", 50), ("PR295", -950), ("CLAMPED", 0), ("SPEC", 50)]
)
def test_a_message_stored_at_zero_splits_the_released_rules(name: str, after: int) -> None:
    """TOK-7: 4,000 characters at zero are estimated when they leave, and a summary has 50."""
    state, outcomes = taken(BY_NAME[name], opening(), LONG_ZERO, SUMMARY_OF_50)
    last = outcomes[-1]
    assert isinstance(last, Posted)
    assert (last.after, total(state)) == (after, after)
    before, _ = taken(BY_NAME[name], opening(), LONG_ZERO)
    wrong = "TOK-7" in broken_by(before, SUMMARY_OF_50, last, state)
    assert wrong == (name in ("PR295", "CLAMPED"))


def test_an_empty_message_at_zero_splits_nothing() -> None:
    """The common zero: a message of tool calls alone has no text, and its estimate is zero too."""
    events = (opening(), appending("m1", 0, text=""), appending("m2"), replacing("m1 m2", "s1", 4))
    totals = {name: total(taken(BY_NAME[name], *events)[0]) for name in BY_NAME}
    assert set(totals.values()) == {4}


def test_a_negative_summary_is_removed_as_nothing_by_the_released_deltas() -> None:
    """A summary has no estimate to fall back to: what was negative counts as zero when it goes."""
    events = (opening(), appending("m1", 9), replacing("m1", "s1", -5), replacing("s1", "s2", 2))
    totals = {name: total(taken(BY_NAME[name], *events)[0]) for name in ("BEFORE_295", "PR295")}
    assert totals == {"BEFORE_295": 2, "PR295": -3}


def test_a_clamped_total_stays_wrong_until_everything_is_added_up_again() -> None:
    clamped, events = BY_NAME["CLAMPED"], (opening(), LONG_ZERO, SUMMARY_OF_50)
    assert total(taken(clamped, *events)[0]) == 0
    assert total(taken(clamped, *events, appending("m2"))[0]) == 53


@pytest.mark.parametrize("name", ["DELTAS", "CLAMPED_DELTAS"])
def test_deltas_agree_with_adding_up_behind_a_guarded_door(name: str) -> None:
    """Every count of content is positive there, so nothing falls back to an estimate."""
    scope = Scope(conversations=1, messages=2, summaries=2)
    walk = explore(BY_NAME[name], scope, fingerprint=True)
    assert walk.counterexample is None
    assert walk.fingerprint == explore(MACHINE, scope, fingerprint=True).fingerprint


def test_the_older_measure_is_that_of_the_released_rule_sets() -> None:
    events = (opening(), appending("m1", text=CJK_TEXT))
    totals = {name: total(taken(BY_NAME[name], *events)[0]) for name in BY_NAME}
    older = {"BEFORE_295", "PR295", "UTF16"}
    assert totals == {name: 2 if name in older else 10 for name in BY_NAME}


@pytest.mark.parametrize("given", [0, NEGATIVE, ABSURD, 9])
def test_an_open_door_stores_what_it_is_given(given: int) -> None:
    released = tokens.machine(Rules(name="RELEASED", door=Door.OPEN))
    state, _ = taken(released, opening(), appending("m1", given))
    assert (total(state), counts(state)) == (given, f"m1:{given}")


def test_rule_sets_have_names_of_their_own_and_the_specification_is_first() -> None:
    assert tokens.RULE_SETS[0] is tokens.SPEC
    assert len(BY_NAME) == len(tokens.RULE_SETS)
    spec = tokens.SPEC
    assert (spec.door, spec.measure) == (Door.GUARDED, Measure.CODE_POINTS)
    assert (spec.posting, spec.lists) == (Posting.COUNTS, ordinals.SPEC)


# Scope


def kinds(state: State, scope: Scope) -> set[str]:
    return {type(event).__name__ for event in MACHINE.events(state, scope)}


def test_a_scope_bounds_what_is_offered() -> None:
    none = Scope(conversations=0, messages=0, summaries=0, refusals=False)
    assert kinds(State(), none) == set()
    full = Scope(conversations=3, messages=12, summaries=3, refusals=False)
    assert kinds(HERE, full) == {"Prune", "RollBack", "Forget", "Weigh"}
    assert kinds(HERE, replace(full, weighings=False)) == {"Prune", "RollBack", "Forget"}
    more = Scope(conversations=4, messages=13, summaries=4, refusals=False)
    assert kinds(HERE, more) == {kind.__name__ for kind in MACHINE.kinds}


def test_a_scope_offers_the_counts_that_hosts_give() -> None:
    scope = Scope(conversations=1, messages=4, summaries=2, counts=(None, 8), refusals=False)
    opened = taken(MACHINE, opening())[0]
    offered = [event for event in MACHINE.events(opened, scope) if isinstance(event, Append)]
    assert {event.messages[0].tokens for event in offered} == {None, 8}
    assert {draft.tokens for event in offered for draft in event.messages[1:]} == {None}
    replaced = [event for event in MACHINE.events(AT_11, scope) if isinstance(event, Replace)]
    assert {event.tokens for event in replaced if event.first is None} == {None, 8}


def test_weighings_are_offered_on_both_sides_of_both_thresholds() -> None:
    """TOK-17, TOK-18, TOK-19."""
    scope = Scope(conversations=2, messages=4, summaries=1, refusals=False)
    found = {
        (
            (outcome.size > outcome.soft) - (outcome.size < outcome.soft),
            (outcome.size > outcome.hard) - (outcome.size < outcome.hard),
        )
        for event in MACHINE.events(RAW, scope)
        for outcome in (MACHINE.step(RAW, event)[1],)
        if isinstance(outcome, Weighed)
    }
    assert found >= {(0, -1), (1, -1), (1, 0), (1, 1)}


def test_choices_hold_counts_limits_and_observations() -> None:
    groups = MACHINE.choices(GOOD).groups
    assert {group["conversation"] for group in groups} == {("c",), ("d",)}
    for group in groups:
        assert {*group["tokens"]} >= {None, 0, NEGATIVE, ABSURD}
        assert all(isinstance(one, Limits) for one in group["limits"])
        (at,) = group["conversation"]
        assert isinstance(at, str)
        assert total(GOOD, at) in group["observed"]
        batches = group["messages:Append"]
        assert all(isinstance(one, tuple) for one in batches)
    assert MACHINE.choices(State()).groups[0]["conversation"] == ("c1",)
