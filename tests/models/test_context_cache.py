"""The model of the context cache by itself: guards, its clauses broken by hand, rule sets."""

import pytest
from msgspec.structs import replace

from plumbline_models import context_cache
from plumbline_models.context_cache import (
    Begin,
    Begun,
    Change,
    Changed,
    Commit,
    Committed,
    Conversation,
    End,
    Ended,
    Event,
    Kept,
    Listed,
    Open,
    Outcome,
    Read,
    Reason,
    Refused,
    RolledBack,
    Stale,
    State,
)
from plumbline_models.contract import StateClause, StepClause
from plumbline_models.ordinals import ConversationId

C, D = ConversationId("c"), ConversationId("d")
MACHINE = context_cache.machine()
RULES = {one.name: context_cache.machine(one) for one in context_cache.RULE_SETS}
BEGUN = (Open(conversation=C), Begin())
READ = Read(conversation=C, compacting=True)
OUTSIDE = Read(conversation=C, compacting=False)


def taken(*events: Event, rules: str = "SPEC") -> tuple[State, list[Outcome]]:
    state, outcomes = MACHINE.initial, list[Outcome]()
    for event in events:
        state, outcome = RULES[rules].step(state, event)
        outcomes.append(outcome)
    return state, outcomes


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ((Open(conversation=C), Open(conversation=C)), Reason.CONVERSATION_EXISTS),
        ((Change(conversation=C),), Reason.UNKNOWN_CONVERSATION),
        ((READ,), Reason.UNKNOWN_CONVERSATION),
        ((Commit(conversation=C),), Reason.UNKNOWN_CONVERSATION),
        ((End(),), Reason.NOBODY_COMPACTS),
        ((Open(conversation=C), READ, Commit(conversation=C)), Reason.NOBODY_COMPACTS),
        ((*BEGUN, Commit(conversation=C)), Reason.NOTHING_READ),
        ((*BEGUN, READ, Commit(conversation=C)), Reason.NOTHING_TO_REPLACE),
    ],
)
def test_what_cannot_be_done_is_refused(events: tuple[Event, ...], reason: Reason) -> None:
    before, _ = taken(*events[:-1])
    after, outcomes = taken(*events)
    assert outcomes[-1] == Refused(reason=reason)
    assert after is before or after == before


def test_a_list_is_kept_and_used_again_after_a_commit() -> None:
    state, outcomes = taken(*BEGUN, Change(conversation=C), READ, Commit(conversation=C), READ)
    assert outcomes[2:] == [
        Changed(revision=2),
        Listed(revision=2, items=("c/m2",), read=True),
        Committed(revision=3),
        Listed(revision=3, items=("c/s3",), read=False),
    ]
    assert state.kept == (Kept(conversation=C, revision=3, items=("c/s3",)),)


def test_a_list_that_others_changed_is_stale_and_read_again() -> None:
    events = (*BEGUN, READ, Change(conversation=C), Commit(conversation=C), READ)
    _, outcomes = taken(*events)
    assert outcomes[-2:] == [Stale(revision=2), Listed(revision=2, items=("c/m2",), read=True)]


def test_the_last_compaction_leaves_nothing_and_any_other_everything() -> None:
    state, outcomes = taken(*BEGUN, Begin(), READ, End(raised=True))
    assert (outcomes[-1], len(state.kept)) == (Ended(users=1), 1)
    state, outcomes = taken(*BEGUN, Begin(), READ, End(raised=True), End())
    assert (outcomes[-1], state.kept) == (Ended(users=0), ())


def test_who_does_not_compact_is_given_what_is_stored() -> None:
    """Probe 51, and what releases answer."""
    events = (*BEGUN, READ, Change(conversation=C), Change(conversation=C), OUTSIDE)
    assert taken(*events)[1][-1] == Listed(revision=3, items=("c/m2", "c/m3"), read=True)
    assert taken(*events, rules="RELEASED")[1][-1] == Listed(revision=1, items=(), read=False)


def test_a_flag_goes_down_with_whoever_ends_first() -> None:
    events = (*BEGUN, Begin(), READ, End())
    assert len(taken(*events)[0].kept) == 1
    assert taken(*events, rules="FLAG")[0].kept == ()


AT = Conversation(id=C, revision=2, messages=("c/m2",))
RIGHT = State(
    conversations=(AT,), users=1, kept=(Kept(conversation=C, revision=2, items=("c/m2",)),)
)


@pytest.mark.parametrize(
    ("clause", "state", "found"),
    [
        ("CCH-1", replace(RIGHT, users=0), "is kept and no compaction runs"),
        (
            "CCH-2",
            replace(RIGHT, kept=(Kept(conversation=C, revision=3, items=()),)),
            "is of revision 3, stored is revision 2",
        ),
        (
            "CCH-2",
            replace(RIGHT, kept=(Kept(conversation=D, revision=1, items=()),)),
            "is of revision 1, stored is nothing",
        ),
        (
            "CCH-2",
            replace(RIGHT, kept=(Kept(conversation=C, revision=2, items=()),)),
            "has nothing, stored is c/m2",
        ),
    ],
)
def test_a_state_that_is_wrong_is_seen(clause: str, state: State, found: str) -> None:
    (one,) = [each for each in MACHINE.clauses if each.id == clause]
    assert isinstance(one, StateClause)
    assert one.breaks(RIGHT) is None
    witness = one.breaks(state)
    assert witness is not None
    assert found in str(witness)


NOTHING_KEPT = replace(RIGHT, kept=())


@pytest.mark.parametrize(
    ("clause", "before", "event", "outcome", "after", "found"),
    [
        ("CCH-3", RIGHT, Begin(), Begun(users=1), RIGHT, "expected 2"),
        (
            "CCH-4",
            replace(RIGHT, users=2),
            End(),
            Ended(users=1),
            NOTHING_KEPT,
            "1 before and 0 after",
        ),
        (
            "CCH-5",
            RIGHT,
            OUTSIDE,
            Listed(revision=1, items=(), read=False),
            RIGHT,
            "revision 1 was given, stored is 2",
        ),
        (
            "CCH-5",
            NOTHING_KEPT,
            OUTSIDE,
            Listed(revision=2, items=("c/m2",), read=True),
            RIGHT,
            "is kept for somebody",
        ),
        (
            "CCH-6",
            RIGHT,
            READ,
            Listed(revision=2, items=("c/m2",), read=True),
            RIGHT,
            "is read although it is kept",
        ),
        (
            "CCH-6",
            NOTHING_KEPT,
            READ,
            Listed(revision=2, items=("c/m2",), read=False),
            RIGHT,
            "is not read",
        ),
        ("CCH-6", RIGHT, READ, Listed(revision=2, items=(), read=False), RIGHT, "otherwise"),
        (
            "CCH-6",
            NOTHING_KEPT,
            READ,
            Listed(revision=2, items=("c/m2",), read=True),
            NOTHING_KEPT,
            "is not kept",
        ),
        ("CCH-7", RIGHT, Commit(conversation=C), Stale(revision=2), NOTHING_KEPT, "Stale"),
        ("CCH-8", RIGHT, Commit(conversation=C), Committed(revision=3), RIGHT, "the commit left"),
        ("CCH-8", RIGHT, Commit(conversation=C), RolledBack(), RIGHT, "is kept after RolledBack"),
        (
            "CCH-9",
            RIGHT,
            Change(conversation=D),
            Changed(revision=2),
            NOTHING_KEPT,
            "1 before and 0 after",
        ),
        (
            "CCH-10",
            RIGHT,
            Commit(conversation=C),
            RolledBack(),
            replace(RIGHT, conversations=()),
            "is another one after RolledBack",
        ),
    ],
)
def test_a_step_that_is_wrong_is_seen(
    clause: str, before: State, event: Event, outcome: Outcome, after: State, found: str
) -> None:
    (one,) = [each for each in MACHINE.clauses if each.id == clause]
    assert isinstance(one, StepClause)
    assert one.applies(type(event), type(outcome))
    witness = one.breaks(before, event, outcome, after)
    assert witness is not None
    assert found in str(witness)
    right, answer = MACHINE.step(before, event)
    assert not one.applies(type(event), type(answer)) or (
        one.breaks(before, event, answer, right) is None
    )
