"""The model of ordinals by itself: guards, effects, clauses, lineage, and what was recorded."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from plumbline_models import ordinals
from plumbline_models.closing import CONSTRAINT
from plumbline_models.contract import SometimesClause, StateClause, StepClause, Witness
from plumbline_models.ordinals import (
    Append,
    Appended,
    Cause,
    Conversation,
    ConversationId,
    Depth,
    Event,
    Failed,
    Forgotten,
    Loss,
    Message,
    MessageId,
    Opened,
    Ordinal,
    Outcome,
    Placed,
    Pruned,
    Reason,
    Refused,
    Replaced,
    RolledBack,
    Sequence,
    State,
    Summary,
    SummaryId,
)
from plumbline_models.ordinals.queries import coverers, expand, find, position, ranked
from tests.ordinals import (
    REFUSED,
    WORLD,
    appending,
    forgetting,
    item,
    items,
    opening,
    pruning,
    replacing,
    rolling_back,
    shown,
    taken,
)

MACHINE = ordinals.machine()
BEFORE_295, PR295 = (
    ordinals.machine(rules) for rules in ordinals.RULE_SETS if rules.name in ("BEFORE_295", "PR295")
)
HERE = taken(MACHINE, *WORLD)[0]

TEN = appending(" ".join(f"m{number}" for number in range(10)))


def after(*events: Event) -> State:
    """Return the state after more events of the world."""
    return taken(MACHINE, *WORLD, *events)[0]


def outcome_of(event: Event, *events: Event) -> Outcome:
    """Return the outcome of an event in the world, after more of its events."""
    return MACHINE.step(after(*events), event)[1]


def here(state: State, at: str = "c") -> Conversation:
    found = find(state, ConversationId(at))
    assert found is not None
    return found


# Guards


@pytest.mark.parametrize(("event", "reason"), REFUSED, ids=str)
def test_the_first_guard_that_holds_decides(event: Event, reason: Reason) -> None:
    """ORD-15: the refused state is the one before, itself."""
    state, outcome = MACHINE.step(HERE, event)
    assert outcome == Refused(reason=reason)
    assert state is HERE


def test_every_refusal_of_the_table_is_tried() -> None:
    tried = {
        (type(event).__name__, MACHINE.outcome_name(Refused(reason=reason)))
        for event, reason in REFUSED
    }
    assert tried == {pair for pair in MACHINE.pairs if pair[1].startswith("Refused")}


# Effects


def test_the_world_has_one_of_everything() -> None:
    assert (shown(HERE), shown(HERE, "d"), shown(HERE, "e")) == ("s3 m4 m5 m6", "sx x2", "")
    assert [one.depth for one in here(HERE).summaries] == [0, 0, 1]


def test_conversations_are_kept_by_id() -> None:
    state, outcomes = taken(MACHINE, opening("b"), opening("a"))
    assert [one.id for one in state.conversations] == ["a", "b"]
    assert outcomes == (Opened(), Opened())


def test_an_append_goes_behind_the_last_item_with_numbers_that_were_never_used() -> None:
    """ORD-23, ORD-24: m7 had number 7 and was forgotten."""
    assert outcome_of(appending("m8 m9")) == Appended(ordinal=Ordinal(4), sequence=Sequence(8))
    assert shown(after(appending("m8 m9"))) == "s3 m4 m5 m6 m8 m9"
    assert here(after(appending("m8 m9"))).next_sequence == 10


def test_an_append_to_a_pruned_context_begins_at_ordinal_0() -> None:
    assert outcome_of(appending("y3", "e")) == Appended(ordinal=Ordinal(0), sequence=Sequence(3))


@pytest.mark.parametrize(
    ("names", "first", "last", "depth", "context"),
    [
        ("m4", None, None, 0, "s3 s m5 m6"),
        ("m4 m5", 1, 2, 0, "s3 s m6"),
        ("m5 m6", 2, None, 0, "s3 m4 s"),
        ("m4 m5 m6", None, 3, 0, "s3 s"),
        ("s3", 0, 0, 2, "s m4 m5 m6"),
    ],
)
def test_a_replacement_takes_the_place_of_its_items(
    names: str, first: int | None, last: int | None, depth: int, context: str
) -> None:
    """ORD-1, ORD-7, ORD-13."""
    event = replacing(names, "s", first=first, last=last)
    assert outcome_of(event) == Replaced(depth=Depth(depth))
    assert shown(after(event)) == context


def test_the_depth_is_one_more_than_the_deepest_source() -> None:
    """ORD-7: s1 and s2 have depth 0, and s has 1."""
    state = after(rolling_back("s3"), replacing("s2", "s"))
    assert MACHINE.step(state, replacing("s1 s", "t"))[1] == Replaced(depth=Depth(2))


def test_a_rollback_puts_the_sources_back_and_leaves_nothing_behind() -> None:
    """ORD-11."""
    assert outcome_of(rolling_back("s3")) == RolledBack(restored=items("s1 s2"))
    state = after(rolling_back("s3"), rolling_back("s2"))
    assert shown(state) == "s1 m3 m4 m5 m6"
    assert [one.id for one in here(state).summaries] == ["s1"]
    assert after(rolling_back("s3"), replacing("s1 s2", "s3")) == HERE


@pytest.mark.parametrize(
    ("retain_depth", "context"), [(None, ""), (0, "s3"), (1, "s3"), (2, ""), (2**53 - 1, "")]
)
def test_a_prune_retains_summaries_of_at_least_a_depth(
    retain_depth: int | None, context: str
) -> None:
    """ORD-25."""
    state = after(pruning(retain_depth))
    assert shown(state) == context
    pruned = [loss.item for loss in here(state).losses if loss.cause is Cause.PRUNED]
    assert outcome_of(pruning(retain_depth)) == Pruned(removed=tuple(pruned))
    assert len(pruned) == 4 - len(context.split())


def test_a_prune_that_finds_nothing_is_pruned_of_nothing() -> None:
    assert outcome_of(pruning(at="e")) == Pruned(removed=())
    assert outcome_of(pruning(0), pruning(0)) == Pruned(removed=())


def test_what_is_forgotten_is_recorded_and_what_stood_in_the_context_is_named() -> None:
    """ORD-17, ORD-22: m5 is forgotten after it was pruned, so it has two records."""
    event = forgetting("m6 m5")
    assert outcome_of(event) == Forgotten(removed=(MessageId("m5"), MessageId("m6")))
    assert outcome_of(event, pruning()) == Forgotten(removed=())
    losses = here(after(pruning(), event)).losses
    assert [(loss.position, loss.cause.value) for loss in losses if loss.item == item("m5")] == [
        (5, "forgotten"),
        (5, "pruned"),
    ]


def test_a_pruned_summary_is_recorded_where_its_first_message_was() -> None:
    losses = here(HERE, "e").losses
    assert [(loss.position, loss.item) for loss in losses] == [(1, item("sy")), (2, item("y2"))]


def test_an_id_that_was_rolled_back_is_free_again_and_one_that_was_forgotten_is_not() -> None:
    """ORD-8, ORD-12."""
    state = after(rolling_back("s3"), replacing("m4", "s3"))
    assert shown(state) == "s1 s2 s3 m5 m6"
    assert outcome_of(appending("m7", "d")) == Refused(reason=Reason.FOREIGN_ITEM)


# Lineage


def chain(**sources: str) -> Conversation:
    """Return a conversation of summaries with these sources; it need not be a good one."""
    summaries = tuple(
        Summary(id=SummaryId(name), depth=Depth(0), text="", sources=items(names))
        for name, names in sources.items()
    )
    return Conversation(id=ConversationId("c"), summaries=summaries)


@pytest.mark.parametrize(
    ("at", "found"),
    [
        (chain(s="m1 m2"), "m1 m2"),
        (chain(s="s1 m3", s1="m1 m2"), "m1 m2 m3"),
        (chain(s="s"), ""),
        (chain(s="m1 s1 m3", s1="m2 s"), "m1 m2 m3"),
        (chain(s="s1 s2", s1="m1", s2="s1 m2"), "m1 m2"),
        (chain(s="s-unknown m1"), "m1"),
        (chain(), ""),
    ],
)
def test_lineage_is_expanded_in_order_and_a_cycle_is_followed_once(
    at: Conversation, found: str
) -> None:
    """ORD-5, ORD-7."""
    assert list(expand(at, item("s"))) == found.split()


def test_a_message_expands_to_itself_even_when_it_is_not_stored() -> None:
    assert expand(chain(), item("m1")) == ("m1",)


def test_a_position_is_the_number_of_the_first_message_and_0_without_one() -> None:
    at = here(HERE)
    assert [position(at, item(name)) for name in ("m4", "s3", "s2", "m7", "s-unknown")] == [
        4,
        1,
        3,
        0,
        0,
    ]


def test_the_coverers_of_an_item_are_all_that_name_it() -> None:
    found = coverers(chain(s1="m1 m2", s2="m2 s1"))
    assert {one.id: names for one, names in found.items()} == {
        "m1": ["s1"],
        "m2": ["s1", "s2"],
        "s1": ["s2"],
    }


# Clauses about states

GOOD = taken(MACHINE, opening(), appending("m1 m2 m3"), replacing("m1 m2", "s1"))[0]


def bent(change: Callable[[Conversation], Conversation]) -> State:
    """Return the good state (``s1 m3``, where s1 covers m1 and m2) with a change."""
    return State(conversations=(change(GOOD.conversations[0]),))


def listing(names: str) -> Callable[[Conversation], Conversation]:
    return lambda at: replace(at, context=ranked(items(names)))


def standing_at(*ordinals: int) -> Callable[[Conversation], Conversation]:
    def change(at: Conversation) -> Conversation:
        placed = zip(at.context, ordinals, strict=True)
        return replace(
            at, context=tuple(replace(entry, ordinal=Ordinal(rank)) for entry, rank in placed)
        )

    return change


def summary(name: str, names: str, depth: int = 0) -> Summary:
    return Summary(
        id=SummaryId(name), depth=Depth(depth), text=f"text of {name}", sources=items(names)
    )


def with_summaries(*summaries: Summary) -> Callable[[Conversation], Conversation]:
    return lambda at: replace(at, summaries=summaries)


def numbered(*sequences: int, following: int) -> Callable[[Conversation], Conversation]:
    def change(at: Conversation) -> Conversation:
        pairs = zip(at.messages, sequences, strict=True)
        messages = tuple(replace(one, sequence=Sequence(number)) for one, number in pairs)
        return replace(at, messages=messages, next_sequence=Sequence(following))

    return change


def twice(other: Conversation) -> State:
    return State(conversations=(*GOOD.conversations, replace(other, id=ConversationId("d"))))


def lost(name: str, cause: Cause = Cause.PRUNED, at: int = 0) -> Loss:
    return Loss(position=Sequence(at), cause=cause, item=item(name))


EMPTY = Conversation(id=ConversationId("d"))

BAD_STATES: tuple[tuple[str, State, str], ...] = (
    ("ORD-1", bent(standing_at(0, 2)), "conversation c, ordinal 2"),
    ("ORD-1", bent(standing_at(1, 2)), "conversation c, ordinal 1"),
    ("ORD-1", bent(standing_at(-1, 0)), "conversation c, ordinal -1"),
    ("ORD-2", bent(numbered(1, 1, 2, following=3)), "conversation c, message m2"),
    ("ORD-2", bent(numbered(0, 1, 2, following=3)), "conversation c, message m1"),
    ("ORD-2", bent(numbered(1, 3, 2, following=4)), "conversation c, message m3"),
    ("ORD-2", bent(numbered(1, 2, 3, following=3)), "conversation c, next sequence 3"),
    ("ORD-3", bent(listing("s1 m3 m3")), "conversation c, message m3"),
    ("ORD-3", bent(listing("s1 m2 m3")), "conversation c, message m2"),
    (
        "ORD-4",
        bent(with_summaries(summary("s1", "m1 m2"), summary("s2", "m2"))),
        "conversation c, message m2",
    ),
    ("ORD-5", bent(listing("s1")), "conversation c, expanded message 2"),
    ("ORD-5", bent(listing("m3 s1")), "conversation c, expanded message 0"),
    (
        "ORD-5",
        bent(with_summaries(summary("s1", "m2 m1"))),
        "conversation c, expanded message 0",
    ),
    ("ORD-5", bent(listing("s1 m3 s1")), "conversation c, expanded message 3"),
    (
        "ORD-5",
        bent(lambda at: replace(at, losses=(lost("m3"),))),
        "conversation c, expanded message 2",
    ),
    ("ORD-6", bent(listing("s1 m3 m9")), "conversation c, ordinal 2"),
    (
        "ORD-6",
        bent(with_summaries(summary("s1", "m1 m2 m9"))),
        "conversation c, summary s1",
    ),
    ("ORD-7", bent(with_summaries(summary("s1", "m1 m2", 1))), "conversation c, summary s1"),
    (
        "ORD-7",
        bent(with_summaries(summary("s1", "s2", 1), summary("s2", "s1", 2))),
        "conversation c, summary s1",
    ),
    ("ORD-8", twice(replace(EMPTY, messages=GOOD.conversations[0].messages[:1])), "message m1"),
    ("ORD-8", twice(replace(EMPTY, summaries=GOOD.conversations[0].summaries)), "summary s1"),
    (
        "ORD-8",
        twice(replace(EMPTY, losses=(lost("m3", Cause.FORGOTTEN),))),
        "conversation d, message m3",
    ),
    ("ORD-9", bent(with_summaries(summary("s1", ""))), "conversation c, summary s1"),
)

STATE_CLAUSES = {one.id: one for one in MACHINE.clauses if isinstance(one, StateClause)}


@pytest.mark.parametrize(("clause", "state", "row"), BAD_STATES)
def test_a_bad_state_breaks_its_clause_at_its_row(clause: str, state: State, row: str) -> None:
    witness = STATE_CLAUSES[clause].breaks(state)
    assert witness is not None
    assert row in witness.row
    assert witness.found
    assert str(witness) == f"{witness.row}: {witness.found}"


def test_every_clause_about_states_has_a_bad_state() -> None:
    assert {clause for clause, _, _ in BAD_STATES} == STATE_CLAUSES.keys()


@pytest.mark.parametrize("clause", STATE_CLAUSES.values(), ids=lambda clause: clause.id)
def test_good_states_break_no_clause(clause: StateClause[State]) -> None:
    for state in (State(), GOOD, HERE, after(pruning(), forgetting("m5"), appending("m8"))):
        assert clause.breaks(state) is None


def test_a_loss_of_a_message_that_is_gone_is_no_dangling_reference() -> None:
    """ORD-6: the record of a loss may name what is not stored any more."""
    assert STATE_CLAUSES["ORD-6"].breaks(after(forgetting("m4"))) is None


# Clauses about steps

STEP_CLAUSES = {one.id: one for one in MACHINE.clauses if isinstance(one, StepClause)}
RAW = taken(MACHINE, opening(), appending("m1 m2 m3"), opening("d"))[0]
TO_S1 = replacing("m1 m2", "s1")
REPLACED = MACHINE.step(RAW, TO_S1)[0]
GONE = State(conversations=RAW.conversations[1:])


def bent_c(state: State, change: Callable[[Conversation], Conversation]) -> State:
    """Return a state with a change to its first conversation."""
    return State(conversations=(change(state.conversations[0]), *state.conversations[1:]))


def told(name: str, text: str) -> Callable[[Conversation], Conversation]:
    """Return the change that gives a message another text."""

    def change(at: Conversation) -> Conversation:
        messages = (replace(one, text=text) if one.id == name else one for one in at.messages)
        return replace(at, messages=tuple(messages))

    return change


def without(name: str) -> Callable[[Conversation], Conversation]:
    """Return the change that takes a message out of store and context."""

    def change(at: Conversation) -> Conversation:
        kept = (entry.item for entry in at.context if entry.item != item(name))
        messages = tuple(one for one in at.messages if one.id != name)
        return replace(at, messages=messages, context=ranked(kept))

    return change


def losing(*losses: Loss) -> Callable[[Conversation], Conversation]:
    return lambda at: replace(at, losses=losses)


FORGOT = MACHINE.step(RAW, forgetting("m3"))[0]
CONDENSED = taken(
    MACHINE, opening(), appending("m1 m2 m3"), TO_S1, replacing("m3", "s2"), opening("d")
)[0]

BAD_STEPS: tuple[tuple[str, State, Event, Outcome, State, str], ...] = (
    (
        "ORD-10",
        RAW,
        TO_S1,
        Replaced(depth=Depth(0)),
        bent_c(REPLACED, without("m1")),
        "conversation c, search for 'text of m1'",
    ),
    (
        "ORD-10",
        REPLACED,
        rolling_back("s1"),
        RolledBack(restored=items("m1 m2")),
        bent_c(RAW, told("m2", "other")),
        "conversation c, search for 'text of m2'",
    ),
    (
        "ORD-11",
        RAW,
        TO_S1,
        Replaced(depth=Depth(0)),
        bent_c(REPLACED, with_summaries(summary("s1", "m2 m1"))),
        "conversation c, summary s1",
    ),
    (
        "ORD-11",
        RAW,
        TO_S1,
        Replaced(depth=Depth(0)),
        bent_c(REPLACED, listing("m1 m2 m3")),
        "conversation c, summary s1",
    ),
    (
        "ORD-12",
        REPLACED,
        rolling_back("s1"),
        RolledBack(restored=items("m1 m2")),
        bent_c(RAW, listing("m2 m1 m3")),
        "conversation c, summary s1",
    ),
    (
        "ORD-12",
        REPLACED,
        rolling_back("s9"),
        RolledBack(restored=items("m1 m2")),
        RAW,
        "conversation c, summary s9",
    ),
    (
        "ORD-13",
        RAW,
        TO_S1,
        Replaced(depth=Depth(0)),
        bent_c(REPLACED, listing("s1")),
        "conversation c, items outside the range",
    ),
    (
        "ORD-13",
        RAW,
        replacing("m2", "s1"),
        Replaced(depth=Depth(0)),
        bent_c(RAW, listing("m3 s1 m1")),
        "conversation c, message m1",
    ),
    (
        "ORD-13",
        CONDENSED,
        rolling_back("s2"),
        RolledBack(restored=items("m3")),
        bent_c(REPLACED, with_summaries(replace(summary("s1", "m1 m2"), text="other"))),
        "conversation c, summary s1",
    ),
    ("ORD-13", RAW, TO_S1, Replaced(depth=Depth(0)), GONE, "conversation c"),
    ("ORD-14", RAW, pruning(at="d"), Pruned(removed=()), REPLACED, "conversation c, as a whole"),
    ("ORD-14", RAW, pruning(at="d"), Pruned(removed=()), GONE, "other conversations"),
    (
        "ORD-15",
        RAW,
        rolling_back("s1"),
        Refused(reason=Reason.UNKNOWN_ITEM),
        REPLACED,
        "conversation c",
    ),
    ("ORD-16", RAW, TO_S1, Failed(constraint=CONSTRAINT), RAW, "conversation c"),
    (
        "ORD-17",
        RAW,
        appending("m4"),
        Appended(ordinal=Ordinal(3), sequence=Sequence(4)),
        bent_c(RAW, losing(lost("m1"))),
        "conversation c, loss of message m1",
    ),
    (
        "ORD-17",
        RAW,
        pruning(),
        Pruned(removed=()),
        bent_c(RAW, losing(lost("m1", Cause.FORGOTTEN))),
        "conversation c, loss of message m1",
    ),
    (
        "ORD-17",
        RAW,
        forgetting("m3"),
        Forgotten(removed=(MessageId("m3"),)),
        bent_c(FORGOT, losing(lost("m2", Cause.FORGOTTEN))),
        "conversation c, loss of message m2",
    ),
    (
        "ORD-17",
        FORGOT,
        pruning(),
        Pruned(removed=()),
        bent_c(FORGOT, losing()),
        "conversation c, loss of message m3",
    ),
    (
        "ORD-22",
        RAW,
        pruning(),
        Pruned(removed=()),
        bent_c(RAW, without("m2")),
        "conversation c, message m2",
    ),
    (
        "ORD-22",
        RAW,
        appending("m4"),
        Appended(ordinal=Ordinal(3), sequence=Sequence(4)),
        bent_c(RAW, told("m2", "other")),
        "conversation c, message m2",
    ),
    (
        "ORD-22",
        RAW,
        forgetting("m3"),
        Forgotten(removed=(MessageId("m3"),)),
        bent_c(RAW, without("m3")),
        "conversation c, message m3",
    ),
    (
        "ORD-22",
        RAW,
        forgetting("m3"),
        Forgotten(removed=(MessageId("m3"),)),
        bent_c(RAW, losing(lost("m3", Cause.FORGOTTEN, 3))),
        "conversation c, message m3",
    ),
    (
        "ORD-23",
        RAW,
        forgetting("m3"),
        Forgotten(removed=(MessageId("m3"),)),
        bent_c(FORGOT, lambda at: replace(at, next_sequence=Sequence(3))),
        "conversation c, next sequence 3",
    ),
    (
        "ORD-24",
        RAW,
        appending("m4 m5"),
        Appended(ordinal=Ordinal(3), sequence=Sequence(4)),
        bent_c(RAW, listing("m1 m2 m3 m5 m4")),
        "conversation c, item 3",
    ),
    (
        "ORD-24",
        RAW,
        appending("m4"),
        Appended(ordinal=Ordinal(3), sequence=Sequence(4)),
        bent_c(RAW, listing("m2 m3 m4")),
        "conversation c, item 0",
    ),
    (
        "ORD-24",
        RAW,
        appending("m4"),
        Appended(ordinal=Ordinal(3), sequence=Sequence(4)),
        RAW,
        "conversation c, item 3",
    ),
    (
        "ORD-24",
        RAW,
        appending("m4"),
        Appended(ordinal=Ordinal(3), sequence=Sequence(4)),
        GONE,
        "conversation c",
    ),
    (
        "ORD-25",
        REPLACED,
        pruning(0),
        Pruned(removed=()),
        bent_c(REPLACED, listing("")),
        "conversation c, item 0",
    ),
    (
        "ORD-25",
        REPLACED,
        pruning(1),
        Pruned(removed=()),
        bent_c(REPLACED, listing("s1")),
        "conversation c, item 0",
    ),
    ("ORD-25", RAW, pruning(), Pruned(removed=()), GONE, "conversation c"),
    (
        "ORD-26",
        RAW,
        appending("m4"),
        Appended(ordinal=Ordinal(3), sequence=Sequence(4)),
        RAW,
        "conversation c, message m4",
    ),
    (
        "ORD-26",
        RAW,
        TO_S1,
        Replaced(depth=Depth(0)),
        bent_c(REPLACED, with_summaries(replace(summary("s1", "m1 m2"), text="other"))),
        "conversation c, summary s1",
    ),
    ("ORD-26", RAW, TO_S1, Replaced(depth=Depth(0)), GONE, "conversation c"),
    (
        "ORD-27",
        REPLACED,
        appending("m4"),
        Appended(ordinal=Ordinal(2), sequence=Sequence(4)),
        bent_c(REPLACED, with_summaries()),
        "conversation c, summary s1",
    ),
    (
        "ORD-27",
        bent_c(REPLACED, losing(lost("s1"))),
        forgetting("m3"),
        Forgotten(removed=(MessageId("m3"),)),
        bent_c(REPLACED, with_summaries(summary("s1", "m1"))),
        "conversation c, summary s1",
    ),
    (
        "ORD-28",
        RAW,
        appending("m4"),
        Appended(ordinal=Ordinal(2), sequence=Sequence(4)),
        MACHINE.step(RAW, appending("m4"))[0],
        "conversation c, outcome Appended",
    ),
    (
        "ORD-28",
        RAW,
        appending("m4"),
        Appended(ordinal=Ordinal(3), sequence=Sequence(4)),
        RAW,
        "conversation c, outcome Appended",
    ),
    (
        "ORD-28",
        RAW,
        TO_S1,
        Replaced(depth=Depth(1)),
        REPLACED,
        "conversation c, outcome Replaced",
    ),
    (
        "ORD-28",
        REPLACED,
        rolling_back("s1"),
        RolledBack(restored=items("m2 m1")),
        RAW,
        "conversation c, outcome RolledBack",
    ),
    (
        "ORD-28",
        RAW,
        pruning(),
        Pruned(removed=()),
        MACHINE.step(RAW, pruning())[0],
        "conversation c, outcome Pruned",
    ),
    (
        "ORD-28",
        RAW,
        forgetting("m3"),
        Forgotten(removed=()),
        FORGOT,
        "conversation c, outcome Forgotten",
    ),
    ("ORD-28", RAW, pruning(), Pruned(removed=()), GONE, "conversation c"),
)


@pytest.mark.parametrize(("clause", "before", "event", "outcome", "then", "row"), BAD_STEPS)
def test_a_bad_step_breaks_its_clause_at_its_row(
    clause: str, before: State, event: Event, outcome: Outcome, then: State, row: str
) -> None:
    assert STEP_CLAUSES[clause].applies(type(event), type(outcome))
    witness = STEP_CLAUSES[clause].breaks(before, event, outcome, then)
    assert witness is not None
    assert witness.row == row
    assert witness.found


def test_every_clause_about_steps_has_a_bad_step() -> None:
    assert {clause for clause, *_ in BAD_STEPS} == STEP_CLAUSES.keys()


def broken_by(before: State, event: Event) -> list[Witness]:
    state, outcome = MACHINE.step(before, event)
    found = (
        clause.breaks(before, event, outcome, state)
        for clause in STEP_CLAUSES.values()
        if clause.applies(type(event), type(outcome))
    )
    return [witness for witness in found if witness is not None]


def test_right_steps_break_no_clause() -> None:
    """ORD-10 to ORD-17 and ORD-22 to ORD-28."""
    accepted = (replacing("m4 m5", "s"), rolling_back("s3"), pruning(1), forgetting("m5"))
    for event in (*accepted, appending("m8"), opening("f"), *(event for event, _ in REFUSED)):
        assert broken_by(HERE, event) == []


# Clauses about reach


@pytest.mark.parametrize(
    ("clause", "before", "event", "reached"),
    [
        ("ORD-18", HERE, replacing("s3", "s"), True),
        ("ORD-18", HERE, replacing("m4", "s"), False),
        ("ORD-18", HERE, rolling_back("s3"), False),
        ("ORD-19", HERE, replacing("m4", "s"), True),
        ("ORD-19", HERE, replacing("m4 m5", "s"), True),
        ("ORD-19", HERE, replacing("m6", "s"), False),
        ("ORD-19", HERE, replacing("s3", "s"), False),
        ("ORD-19", HERE, replacing("m4 m6", "s"), False),
        ("ORD-20", HERE, replacing("m4", "s"), True),
        ("ORD-20", RAW, TO_S1, False),
        ("ORD-20", HERE, appending("m8"), False),
        ("ORD-21", HERE, appending("m8"), True),
        ("ORD-21", HERE, appending("y3", "e"), True),
        ("ORD-21", RAW, appending("m4"), False),
    ],
)
def test_a_clause_about_reach_is_reached_by_what_it_says(
    clause: str, before: State, event: Event, *, reached: bool
) -> None:
    (sought,) = [one for one in MACHINE.clauses if one.id == clause]
    assert isinstance(sought, SometimesClause)
    state, outcome = MACHINE.step(before, event)
    assert sought.reached(before, event, outcome, state) is reached


# Parts


def in_parts(state: State) -> dict[str, State]:
    assert MACHINE.partition is not None
    return dict(MACHINE.partition(state))


def test_a_state_is_the_sum_of_its_parts() -> None:
    parts = in_parts(HERE)
    assert list(parts) == ["c", "d", "e"]
    together = tuple(one for part in parts.values() for one in part.conversations)
    assert State(conversations=together) == HERE


@pytest.mark.parametrize("clause", STATE_CLAUSES.values(), ids=lambda clause: clause.id)
def test_a_clause_agrees_on_the_whole_and_part_by_part(clause: StateClause[State]) -> None:
    bad = [state for _, state, _ in BAD_STATES]
    beside = [State(conversations=(*state.conversations, *HERE.conversations[2:])) for state in bad]
    for state in (*bad, *beside, GOOD, HERE, State()):
        whole = clause.breaks(state)
        parts = [clause.breaks(part) for part in in_parts(state).values()]
        if clause.between_parts:
            assert whole is not None or not any(parts)
        else:
            assert whole == next((one for one in parts if one is not None), None)


def test_only_identity_compares_parts() -> None:
    """ORD-8."""
    assert [one.id for one in STATE_CLAUSES.values() if one.between_parts] == ["ORD-8"]


# What released systems were recorded to answer

released = pytest.mark.parametrize("released", [BEFORE_295, PR295], ids=["BEFORE_295", "PR295"])


def seeded(*ordinals: int) -> State:
    """Return a conversation whose messages m1, m2, … stand at these ordinals."""
    messages = tuple(
        Message(id=MessageId(f"m{number}"), sequence=Sequence(number), text="")
        for number in range(1, len(ordinals) + 1)
    )
    context = tuple(
        Placed(ordinal=Ordinal(ordinal), item=item(message.id))
        for ordinal, message in zip(ordinals, messages, strict=True)
    )
    at = Conversation(
        id=ConversationId("c"),
        messages=messages,
        context=context,
        next_sequence=Sequence(len(messages) + 1),
    )
    return State(conversations=(at,))


@released
def test_three_of_ten_are_replaced_in_the_middle(released: ordinals.Machine) -> None:
    event = replacing("m3 m4 m5", "s", first=3, last=5)
    state, outcomes = taken(released, opening(), TEN, event)
    assert outcomes[-1] == Replaced(depth=Depth(0))
    assert shown(state) == "m0 m1 m2 s m6 m7 m8 m9"
    assert state == taken(MACHINE, opening(), TEN, event)[0]


@released
def test_a_prune_leaves_a_gap_and_the_next_replacement_heals_it_before_the_range_too(
    released: ordinals.Machine,
) -> None:
    events = (opening(), TEN, replacing("m4", "s1"), replacing("m7", "s2"), pruning(0))
    assert shown(taken(released, *events)[0]) == "4:s1 7:s2"
    healed = taken(released, *events, replacing("s2", "s3", first=7, last=7))[0]
    assert shown(healed) == "s1 s3"


@released
def test_an_append_after_a_gap_goes_behind_the_greatest_ordinal(
    released: ordinals.Machine,
) -> None:
    gap = (opening(), TEN, forgetting("m4"), appending("m10"))
    assert shown(taken(released, *gap)[0]) == "m0 m1 m2 m3 5:m5 m6 m7 m8 m9 m10"
    again = (opening(), TEN, forgetting("m9"), appending("m10"))
    assert taken(released, *again)[1][-1] == Appended(ordinal=Ordinal(9), sequence=Sequence(11))


@released
def test_an_append_begins_at_0_when_everything_was_pruned(released: ordinals.Machine) -> None:
    _, outcomes = taken(released, opening(), TEN, pruning(), appending("m10"))
    assert outcomes[-1] == Appended(ordinal=Ordinal(0), sequence=Sequence(11))


@released
def test_one_negative_ordinal_heals(released: ordinals.Machine) -> None:
    state, outcome = released.step(seeded(-1, 0, 3), replacing("m2", "s", first=0, last=0))
    assert outcome == Replaced(depth=Depth(0))
    assert shown(state) == "m1 s m3"


@released
@pytest.mark.parametrize("ordinals_before", [(-3, -1, 0), (-2, -1, 0), (-3, -1)])
def test_two_negative_ordinals_fail_and_nothing_is_changed(
    released: ordinals.Machine, ordinals_before: tuple[int, ...]
) -> None:
    """ORD-16 forbids it; the constraint is named as SQLite does."""
    before = seeded(*ordinals_before)
    last = ordinals_before[-1]
    state, outcome = released.step(
        before, replacing(f"m{len(ordinals_before)}", "s", first=last, last=last)
    )
    assert outcome == Failed(constraint=CONSTRAINT)
    assert state is before


@released
def test_a_stale_range_takes_a_message_that_no_summary_covers(released: ordinals.Machine) -> None:
    """ORD-5, and the refusal that prevents it: m4 was summarised by nobody."""
    events = (
        opening(),
        appending("m1 m2 m3 m4 m5"),
        replacing("m1 m2", "s1", first=0, last=1),
        replacing("m1 m2 m3", "s2", first=0, last=2),
    )
    state, outcomes = taken(released, *events)
    assert outcomes[-1] == Replaced(depth=Depth(0))
    assert shown(state) == "s2 m5"
    witness = STATE_CLAUSES["ORD-5"].breaks(state)
    assert witness == Witness(
        table="messages", row="conversation c, expanded message 3", found="m5 found, m4 expected"
    )
    assert taken(MACHINE, *events)[1][-1] == Refused(reason=Reason.STALE_RANGE)


@released
def test_a_range_beyond_the_end_takes_what_there_is_of_it(released: ordinals.Machine) -> None:
    state, outcomes = taken(released, opening(), TEN, replacing("m9", "s", first=9, last=12))
    assert outcomes[-1] == Replaced(depth=Depth(0))
    assert shown(state) == "m0 m1 m2 m3 m4 m5 m6 m7 m8 s"


@released
def test_a_prune_records_nothing_under_a_released_rule_set(released: ordinals.Machine) -> None:
    """ORD-5: nobody can tell what was pruned from what a bug removed."""
    state, outcomes = taken(released, opening(), appending("m1"), pruning())
    assert outcomes[-1] == Pruned(removed=items("m1"))
    assert here(state).losses == ()
    assert STATE_CLAUSES["ORD-5"].breaks(state) is not None


# Scope


def offered(state: State, scope: ordinals.Scope) -> set[str]:
    return {type(event).__name__ for event in MACHINE.events(state, scope)}


def test_a_scope_bounds_what_is_offered() -> None:
    none = ordinals.Scope(conversations=0, messages=0, summaries=0, refusals=False)
    assert list(MACHINE.events(State(), none)) == []
    full = ordinals.Scope(conversations=3, messages=12, summaries=3, refusals=False)
    assert offered(HERE, full) == {"Prune", "RollBack", "Forget"}
    more = ordinals.Scope(conversations=4, messages=13, summaries=4, refusals=False)
    assert offered(HERE, more) >= {"Open", "Append", "Replace"}


def test_a_scope_offers_about_one_event_for_each_refusal() -> None:
    scope = ordinals.Scope(conversations=3, messages=12, summaries=5)
    met = {
        (type(event).__name__, MACHINE.outcome_name(MACHINE.step(state, event)[1]))
        for state in (HERE, State(), RAW)
        for event in MACHINE.events(state, scope)
    }
    assert {pair for pair in MACHINE.pairs if pair[1].startswith("Refused")} <= met


def test_choices_occur_in_the_state_and_go_together() -> None:
    groups = MACHINE.choices(HERE).groups
    assert {group["conversation"] for group in groups} == {("c",), ("d",), ("e",)}
    assert MACHINE.choices(State()).groups == ({"conversation": ("c1",)},)
    for group in groups:
        (at,) = [one for one in HERE.conversations if (one.id,) == group["conversation"]]
        context = [entry.item for entry in at.context]
        for ordinal in {*group.get("first", ())} - {None}:
            assert isinstance(ordinal, int)
            runs = {tuple(context[ordinal : ordinal + size]) for size in range(1, 9)}
            assert group["items"]
            assert {*group["items"]} <= runs


def test_choices_hold_what_is_no_run() -> None:
    offered = {run for group in MACHINE.choices(HERE).groups for run in group["items"]}
    named = {name: items(name) in offered for name in ("m4", "m4 m5 m6", "s3", "m4 s3", "m2")}
    assert named == {"m4": True, "m4 m5 m6": True, "s3": True, "m4 s3": True, "m2": False}


def test_append_names_its_drafts_in_order() -> None:
    event = appending("m1 m2")
    assert isinstance(event, Append)
    assert [draft.text for draft in event.messages] == ["text of m1", "text of m2"]
