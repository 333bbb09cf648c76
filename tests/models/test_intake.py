"""The model of intake by itself: guards, effects, its clauses broken by hand, whole scenarios."""

from collections.abc import Callable, Iterable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from plumbline_models import intake, ordinals, tokens
from plumbline_models.contract import SometimesClause, StateClause, StepClause, Witness
from plumbline_models.intake import (
    Digest,
    Entry,
    EntryId,
    Event,
    Fate,
    Log,
    Outcome,
    Part,
    Place,
    Reason,
    Refused,
    Reopen,
    Reopened,
    Row,
    SourceId,
    Standing,
    State,
    Take,
    Taken,
)
from plumbline_models.intake.queries import entry_of, log_of, tip_of
from plumbline_models.ordinals import Conversation, ConversationId, MessageId, SummaryId
from plumbline_models.ordinals.queries import find, ranked
from plumbline_models.tokens import Doubt
from plumbline_spec.clause_table import ClauseTable
from tests.ordinals import forgetting, items, opening, pruning, rolling_back, shown

MACHINE = intake.machine()
(IDS_ONLY,) = (intake.machine(rules) for rules in intake.RULE_SETS if rules.name == "IDS_ONLY")
JUDGED: ClauseTable[State, Event, Outcome] = ClauseTable(MACHINE.clauses)

ADDED, KNOWN = Fate.ADDED, Fate.KNOWN
PLACED, CARRIED, ASIDE = Standing.PLACED, Standing.CARRIED, Standing.ASIDE
TEXTS = {1: "ok", 2: "ok", 3: ""}


def named(number: int, parent: int | None = None) -> Row:
    """Return a row with an id: it follows the one before it unless another parent is given."""
    text = TEXTS.get(number, f"text of {number}")
    before = number - 1 if parent is None else parent
    return Row(
        message=MessageId(f"m{number}"),
        entry=EntryId(f"e{number}"),
        parent=EntryId(f"e{before}") if before else None,
        digest=Digest(f"d{number}"),
        role="user",
        text=text,
        time=f"12:00:{number:02}",
        parts=(Part(kind="text", start=0, length=len(text)),) if text else (),
    )


def bare(number: int) -> Row:
    """Return a row that the host gave no id."""
    return replace(named(number), entry=None, parent=None)


def label(number: int, parent: int | None = None) -> Row:
    """Return a row that is carried along."""
    return replace(named(number, parent), standing=CARRIED)


def aside(number: int, parent: int) -> Row:
    """Return a row of another branch."""
    return replace(named(number, parent), standing=ASIDE)


def spans(*bounds: tuple[int, int]) -> tuple[Part, ...]:
    return tuple(Part(kind="text", start=start, length=length) for start, length in bounds)


def parted(row: Row, *bounds: tuple[int, int]) -> Row:
    """Return a row whose parts have these starts and lengths."""
    return replace(row, parts=spans(*bounds))


def brought(row: Row, message: str) -> Row:
    """Return a row whose message gets this id."""
    return replace(row, message=MessageId(message))


def changed(row: Row) -> Row:
    """Return a row as a host writes it that has changed it."""
    return replace(row, digest=Digest(f"{row.digest} changed"), text="changed", parts=())


def taking(*rows: Row, first: int | None = None, source: str = "one", at: str = "c") -> Take:
    return Take(
        conversation=ConversationId(at),
        source=SourceId(source),
        rows=rows,
        first=None if first is None else Place(first),
    )


def beside(name: str, at: str = "c") -> tokens.Append:
    """Return an append of a message that no row brings."""
    draft = tokens.Draft(id=MessageId(name), text="beside")
    return tokens.Append(conversation=ConversationId(at), messages=(draft,))


def covering(names: str, summary: str) -> tokens.Replace:
    return tokens.Replace(
        conversation=ConversationId("c"),
        summary=SummaryId(summary),
        text=f"text of {summary}",
        items=items(names),
    )


def taken(machine: intake.Machine, *events: Event) -> tuple[State, tuple[Outcome, ...]]:
    """Take events from the initial state; return the last state and every outcome."""
    state, outcomes = machine.initial, list[Outcome]()
    for event in events:
        state, outcome = machine.step(state, event)
        outcomes.append(outcome)
    return state, tuple(outcomes)


def entries(state: State, at: str = "c") -> tuple[Entry, ...]:
    return log_of(state, ConversationId(at)).entries


def stored(state: State, at: str = "c") -> str:
    """Return the digests of the entries of a conversation, in the order of storing."""
    return " ".join(one.digest for one in entries(state, at))


def context(state: State, at: str = "c") -> str:
    return shown(state.ledger.lists, at)


def conversation(state: State, at: str = "c") -> Conversation:
    found = find(state.ledger.lists, ConversationId(at))
    assert found is not None
    return found


WORLD: tuple[Event, ...] = (
    opening("c"),
    taking(named(1), named(2), named(3), named(4), first=1),
    beside("b1"),
    taking(aside(9, 1)),
    taking(label(5)),
    covering("m1 m2", "s1"),
    forgetting("m4"),
    opening("d"),
    taking(bare(11), bare(12), named(13, 0), first=1, at="d"),
)
"""Leads to ``s1 m3 b1`` in c: s1 covers m1 and m2, m4 is forgotten, e5 is carried and the tip of
the branch, e9 stands aside; e9 and e5 have no place. In d the first two rows have no id, the third
has one, and all have a place."""
HERE = taken(MACHINE, *WORLD)[0]


def fates_of(event: Event, *events: Event) -> tuple[Fate, ...]:
    """Return the fates of the rows of an event in the world, after more of its events."""
    outcome = MACHINE.step(taken(MACHINE, *WORLD, *events)[0], event)[1]
    assert isinstance(outcome, Taken), outcome
    return outcome.fates


# Guards


def refused(reason: Reason, *rows: int, fork: str | None = None) -> Refused:
    return Refused(reason=reason, rows=rows, fork=None if fork is None else EntryId(fork))


def unlisted(reason: ordinals.Reason) -> ordinals.Refused:
    return ordinals.Refused(reason=reason)


ABSURD = replace(named(6), tokens=10_000)

REFUSED: tuple[tuple[Take, Outcome], ...] = (
    # Where several guards hold, the first of them decides.
    (
        taking(bare(1), changed(named(1)), at="nowhere"),
        unlisted(ordinals.Reason.UNKNOWN_CONVERSATION),
    ),
    (taking(at="nowhere"), unlisted(ordinals.Reason.UNKNOWN_CONVERSATION)),
    # Undecidable rows are named all at once, and before any other is looked at.
    (taking(bare(1)), refused(Reason.UNDECIDABLE, 0)),
    (taking(changed(named(1)), bare(2), ABSURD, bare(3)), refused(Reason.UNDECIDABLE, 1, 3)),
    # A row that is stored: its bytes, then its standing.
    (taking(changed(named(1))), refused(Reason.CHANGED_ROW, 0)),
    (taking(replace(changed(named(1)), standing=ASIDE)), refused(Reason.CHANGED_ROW, 0)),
    (taking(changed(named(1)), first=3), refused(Reason.CHANGED_ROW, 0)),
    (taking(changed(bare(1)), first=1), refused(Reason.CHANGED_ROW, 0)),
    (taking(named(1), named(2), changed(named(3)), first=1), refused(Reason.CHANGED_ROW, 2)),
    (taking(bare(1), first=2), refused(Reason.CHANGED_ROW, 0)),
    # A row that is stored is compared before anything is said of what others lack.
    (taking(changed(named(13)), at="d"), refused(Reason.CHANGED_ROW, 0)),
    (taking(replace(named(13, 0), standing=ASIDE), at="d"), refused(Reason.FORKED, 0)),
    # An id gained or lost is a change, whatever the bytes are.
    (taking(bare(1), first=1), refused(Reason.CHANGED_ROW, 0)),
    (taking(named(11, 0), first=1, at="d"), refused(Reason.CHANGED_ROW, 0)),
    (taking(named(6), first=1, at="d"), refused(Reason.CHANGED_ROW, 0)),
    (taking(replace(named(2), standing=ASIDE)), refused(Reason.FORKED, 0, fork="e1")),
    (taking(replace(named(9, 1), standing=PLACED)), refused(Reason.FORKED, 0, fork="e1")),
    (taking(replace(named(1), standing=CARRIED)), refused(Reason.FORKED, 0)),
    # A row that is new: whether it may be an entry that lacks what it has, that row alone.
    (taking(named(14), at="d"), refused(Reason.UNDECIDABLE, 0)),
    (taking(named(13, 0), named(14), named(15), at="d"), refused(Reason.UNDECIDABLE, 1)),
    (taking(named(30), at="d"), refused(Reason.UNDECIDABLE, 0)),
    (taking(bare(6), first=5), refused(Reason.UNDECIDABLE, 0)),
    (taking(named(4), bare(6), bare(7), first=4), refused(Reason.UNDECIDABLE, 1)),
    (taking(parted(bare(6), (9, 9)), first=9), refused(Reason.UNDECIDABLE, 0)),
    # What is missing before it: by the place of the first row, then by the parent of any.
    (taking(bare(14), first=5, at="d"), refused(Reason.MISSING_ROWS, 0)),
    (taking(bare(14), first=2**52, at="d"), refused(Reason.MISSING_ROWS, 0)),
    (taking(bare(2), first=2, source="other"), refused(Reason.MISSING_ROWS, 0)),
    (taking(named(6), first=6), refused(Reason.MISSING_ROWS, 0)),
    (taking(named(6), named(7), first=2, source="other"), refused(Reason.MISSING_ROWS, 0)),
    (taking(named(14), first=5, at="d"), refused(Reason.MISSING_ROWS, 0)),
    (taking(aside(10, 2), first=6), refused(Reason.MISSING_ROWS, 0)),
    (taking(named(6, 4), first=6), refused(Reason.MISSING_ROWS, 0)),
    (
        taking(replace(bare(14), parent=EntryId("e12")), first=4, at="d"),
        refused(Reason.MISSING_ROWS, 0),
    ),
    (taking(named(8)), refused(Reason.MISSING_ROWS, 0)),
    (taking(named(6), named(8)), refused(Reason.MISSING_ROWS, 1)),
    (taking(label(8)), refused(Reason.MISSING_ROWS, 0)),
    (taking(aside(10, 8)), refused(Reason.MISSING_ROWS, 0)),
    (taking(named(14), source="other"), refused(Reason.MISSING_ROWS, 0)),
    (taking(named(7), named(6)), refused(Reason.MISSING_ROWS, 0)),
    (taking(parted(named(8), (9, 9))), refused(Reason.MISSING_ROWS, 0)),
    (taking(parted(bare(14), (9, 9)), first=5, at="d"), refused(Reason.MISSING_ROWS, 0)),
    # Its parts, then the branch.
    (
        taking(replace(bare(6), parent=EntryId("e3")), first=1, source="other"),
        refused(Reason.FORKED, 0, fork="e3"),
    ),
    (taking(parted(named(6, 4), (9, 1))), refused(Reason.MISPLACED_PARTS, 0)),
    (taking(parted(named(6), (0, 5), (4, 1))), refused(Reason.MISPLACED_PARTS, 0)),
    (taking(named(6), parted(label(7), (10, 0))), refused(Reason.MISPLACED_PARTS, 1)),
    (taking(named(6, 4)), refused(Reason.FORKED, 0, fork="e4")),
    (taking(label(6, 9)), refused(Reason.FORKED, 0, fork="e9")),
    (taking(named(6), named(7, 5)), refused(Reason.FORKED, 1, fork="e5")),
    # Of the rows, the first that cannot be taken decides.
    (taking(named(6, 4), changed(named(1))), refused(Reason.FORKED, 0, fork="e4")),
    (taking(changed(named(1)), named(6, 4)), refused(Reason.CHANGED_ROW, 0)),
    (taking(named(6), changed(named(6))), refused(Reason.CHANGED_ROW, 1)),
    # What is new is appended last: its counts, then its ids.
    (taking(ABSURD, changed(named(1))), refused(Reason.CHANGED_ROW, 1)),
    (
        taking(named(1), brought(ABSURD, "m1")),
        tokens.Refused(reason=Doubt.ABSURD_COUNT, index=1),
    ),
    (
        taking(named(6), label(7), replace(named(8), tokens=-1)),
        tokens.Refused(reason=Doubt.NEGATIVE_COUNT, index=2),
    ),
    (
        taking(named(6), brought(named(7), "m6")),
        unlisted(ordinals.Reason.DUPLICATE_ITEM),
    ),
    (
        taking(brought(named(6), "m1")),
        unlisted(ordinals.Reason.ALREADY_PLACED),
    ),
    (
        taking(brought(named(6), "b1")),
        unlisted(ordinals.Reason.ALREADY_PLACED),
    ),
    (
        taking(brought(named(6), "m11")),
        unlisted(ordinals.Reason.FOREIGN_ITEM),
    ),
    (
        taking(brought(named(6), "m4")),
        unlisted(ordinals.Reason.FORGOTTEN_ITEM),
    ),
)


@pytest.mark.parametrize(("event", "expected"), REFUSED)
def test_the_first_guard_that_holds_decides(event: Take, expected: Outcome) -> None:
    """INT-10 to INT-14, INT-17: the refused state is the one before, itself."""
    state, outcome = MACHINE.step(HERE, event)
    assert outcome == expected
    assert state is HERE


def test_every_refusal_of_the_table_is_tried() -> None:
    tried = {("Take", MACHINE.outcome_name(outcome)) for _, outcome in REFUSED}
    assert tried == {pair for pair in intake.PAIRS if pair[0] == "Take" and "Refused" in pair[1]}


def test_under_other_rules_no_place_is_believed() -> None:
    """INT-10: a host that has only ids refuses what it would have to count."""
    opened = taken(IDS_ONLY, opening())[0]
    event = taking(named(1), bare(2), first=1)
    assert IDS_ONLY.step(opened, event)[1] == refused(Reason.UNDECIDABLE, 1)
    assert isinstance(MACHINE.step(opened, event)[1], Taken)


# Effects


def test_the_world_has_one_of_everything() -> None:
    assert (context(HERE), context(HERE, "d")) == ("s1 m3 b1", "m11 m12 m13")
    assert (stored(HERE), stored(HERE, "d")) == ("d1 d2 d3 d4 d9 d5", "d11 d12 d13")
    assert [one.place for one in entries(HERE)] == [1, 2, 3, 4, None, None]
    assert [one.message for one in entries(HERE)] == ["m1", "m2", "m3", "m4", None, None]


def test_a_whole_list_is_stored_and_appended_in_one_event() -> None:
    """INT-5, INT-6, INT-7, INT-9: equal rows stay apart, and an empty one is a row."""
    state, outcomes = taken(MACHINE, opening(), taking(named(1), named(2), named(3), first=1))
    assert context(state) == "m1 m2 m3"
    assert [one.text for one in conversation(state).messages] == ["ok", "ok", ""]
    appended = ordinals.Appended(ordinal=ordinals.Ordinal(0), sequence=ordinals.Sequence(1))
    posted = tokens.Posted(outcome=appended, before=0, removed=0, added=2, after=2)
    assert outcomes[-1] == Taken(fates=(ADDED, ADDED, ADDED), posted=posted)


def test_an_empty_list_is_taken_and_leaves_no_log() -> None:
    """INT-14."""
    state, outcomes = taken(MACHINE, opening(), taking(first=1))
    assert outcomes[-1] == Taken(fates=(), posted=None)
    assert state.logs == ()


@pytest.mark.parametrize(
    ("event", "fates"),
    [
        (taking(named(1), named(2), named(3), named(4), first=1), (KNOWN,) * 4),
        (taking(named(1)), (KNOWN,)),
        (taking(named(3), named(4), label(5), named(6), first=3), (KNOWN, KNOWN, KNOWN, ADDED)),
        (taking(named(6), named(6)), (ADDED, KNOWN)),
        (taking(named(2), named(1), named(2)), (KNOWN, KNOWN, KNOWN)),
        (taking(named(2), named(3), source="other"), (KNOWN, KNOWN)),
        (taking(named(2), named(6), first=7, source="other"), (KNOWN, ADDED)),
        (taking(label(5), named(6), first=9), (KNOWN, ADDED)),
        (taking(named(6), first=5), (ADDED,)),
        (taking(named(6), first=1, source="other"), (ADDED,)),
        (taking(aside(10, 2), first=5), (ADDED,)),
        (taking(named(14), first=4, at="d"), (ADDED,)),
        (taking(named(14), source="other", at="d"), (ADDED,)),
        (taking(named(13, 0), at="d"), (KNOWN,)),
        (taking(bare(14), first=4, at="d"), (ADDED,)),
        (taking(brought(bare(1), "n1"), first=1, source="other"), (ADDED,)),
        (taking(parted(named(6), (9, 0))), (ADDED,)),
        (taking(parted(named(1), (9, 9))), (KNOWN,)),
        (taking(aside(9, 1), aside(10, 9)), (KNOWN, ADDED)),
        (taking(aside(10, 2)), (ADDED,)),
        (taking(label(6), named(7)), (ADDED, ADDED)),
        (taking(replace(named(6), parent=None)), (ADDED,)),
        (
            taking(bare(11), bare(12), named(13, 0), bare(14), first=1, at="d"),
            (KNOWN,) * 3 + (ADDED,),
        ),
        (taking(brought(bare(11), "n1"), first=1, source="other", at="d"), (ADDED,)),
        (taking(brought(named(1), "n1"), first=4, at="d"), (ADDED,)),
    ],
)
def test_a_row_that_is_stored_is_known_and_any_other_is_added(
    event: Take, fates: tuple[Fate, ...]
) -> None:
    """INT-5, INT-8, INT-9: by its id, else by its place, and never by what it says."""
    assert fates_of(event) == fates


@pytest.mark.parametrize("crash", [False, True])
def test_reopening_changes_nothing_and_the_list_is_known_afterwards(*, crash: bool) -> None:
    """INT-16."""
    state, outcome = MACHINE.step(HERE, Reopen(crash=crash))
    assert outcome == Reopened()
    assert state is HERE
    assert fates_of(taking(named(1), named(2), first=1), Reopen(crash=crash)) == (KNOWN, KNOWN)


def test_a_row_is_known_whatever_became_of_its_message() -> None:
    """INT-15, INT-24: covered, forgotten, pruned, rolled back."""
    whole = taking(named(1), named(2), named(3), named(4), first=1)
    for events in ((), (pruning(),), (rolling_back("s1"), forgetting("m1 m2"))):
        state = taken(MACHINE, *WORLD, *events)[0]
        assert fates_of(whole, *events) == (KNOWN,) * 4
        assert MACHINE.step(state, whole)[0] is state


@pytest.mark.parametrize(
    "event", [taking(), taking(first=7), taking(named(1), aside(9, 1)), taking(bare(11), at="d")]
)
def test_rows_that_add_nothing_return_the_very_state(event: Take) -> None:
    """INT-8."""
    first = Place(1) if event.conversation == "d" else event.first
    after, outcome = MACHINE.step(HERE, replace(event, first=first))
    assert isinstance(outcome, Taken)
    assert after is HERE


def test_a_new_row_at_a_place_that_holds_another_is_refused() -> None:
    """INT-11: a line was inserted, and those behind it have moved."""
    state = taken(MACHINE, opening(), taking(named(1), named(2), first=1))[0]
    assert isinstance(MACHINE.step(state, taking(named(2), bare(4), first=2))[1], Taken)
    inserted = taking(named(1), named(3, 1), named(2), first=1)
    assert MACHINE.step(state, inserted)[1] == refused(Reason.CHANGED_ROW, 1)
    moved = taking(named(3), bare(4), first=2)
    assert MACHINE.step(state, moved)[1] == refused(Reason.CHANGED_ROW, 0)


def test_a_known_row_at_another_place_of_its_source_is_refused() -> None:
    """INT-11: a line was removed, or two have changed places; another source has other places."""
    state = taken(MACHINE, opening(), taking(named(1), named(2), named(3), first=1))[0]
    for first, rows in ((1, (named(2),)), (1, (named(1), named(3))), (2, (named(3), named(2)))):
        outcome = MACHINE.step(state, taking(*rows, first=first))[1]
        assert isinstance(outcome, Refused)
        assert outcome.reason is Reason.CHANGED_ROW
    elsewhere = taking(named(2), first=1, source="other")
    assert MACHINE.step(state, elsewhere)[1] == Taken(fates=(Fate.KNOWN,), posted=None)
    assert MACHINE.step(state, taking(named(3)))[1] == Taken(fates=(Fate.KNOWN,), posted=None)


def test_a_tail_is_refused_before_its_beginning_and_taken_after_it() -> None:
    """INT-12: by its place, or by its parent; a row that says neither follows what is there."""
    beginning = taking(named(1), named(2), first=1)
    for tail in (taking(bare(3), first=3), taking(named(3), first=3), taking(named(3))):
        missing = taken(MACHINE, opening(), tail, beginning, tail)[1]
        assert missing[1] == refused(Reason.MISSING_ROWS, 0)
        assert [isinstance(one, Taken) for one in missing[2:]] == [True, True]
    silent = taken(MACHINE, opening(), taking(named(3, 0)), beginning)[0]
    assert stored(silent) == "d3 d1 d2"


@pytest.mark.parametrize(("first", "accepted"), [(1, True), (2**52, True), (2**52 + 1, False)])
def test_the_place_of_a_first_row_is_bounded(first: int, *, accepted: bool) -> None:
    """So that the places of the rows behind it are integers that every reader can hold."""
    raw = msgspec.json.encode(taking(bare(1), first=first))
    if accepted:
        assert MACHINE.decode(raw) == taking(bare(1), first=first)
    else:
        with pytest.raises(msgspec.ValidationError):
            MACHINE.decode(raw)


def test_rows_go_behind_what_was_appended_in_between() -> None:
    """INT-7, INT-25."""
    state = taken(MACHINE, *WORLD, taking(named(6)), beside("b2"), taking(named(7)))[0]
    assert context(state) == "s1 m3 b1 m6 b2 m7"


def test_what_is_not_placed_is_stored_with_its_text_and_beside_the_context() -> None:
    """INT-2, INT-6: a label stands on the branch, a row aside does not."""
    state = taken(MACHINE, *WORLD, taking(label(6), aside(7, 2)))[0]
    assert context(state) == context(HERE)
    *_, carried, off = entries(state)
    assert (carried.text, carried.message) == ("text of 6", None)
    assert (off.text, off.message) == ("text of 7", None)
    assert tip_of(entries(state)) == "e6"


def test_every_row_with_a_place_keeps_it() -> None:
    """INT-1, INT-6."""
    state = taken(MACHINE, opening(), taking(named(1), named(2), first=1), taking(named(3)))[0]
    assert [one.place for one in entries(state)] == [1, 2, None]


def test_the_count_of_a_row_is_stored_as_it_was_given() -> None:
    state = taken(MACHINE, opening(), taking(replace(named(1), tokens=7), named(2)))[0]
    assert [count.tokens for count in state.ledger.ledgers[0].counts] == [7, 1]
    assert state.ledger.ledgers[0].total == 8


def test_logs_are_kept_by_conversation() -> None:
    events = (opening("b"), opening("a"), taking(named(1), at="b"), taking(named(2, 0), at="a"))
    assert [log.conversation for log in taken(MACHINE, *events)[0].logs] == ["a", "b"]


def test_a_place_decides_only_where_the_row_or_the_entry_has_no_id() -> None:
    there = entries(HERE)
    one, at = SourceId("one"), Place(1)
    assert entry_of(there, one, named(7), at) is None
    assert entry_of(there, one, bare(7), at) == there[0]
    assert entry_of(there, one, bare(7), None) is None
    assert entry_of(there, SourceId("other"), bare(7), at) is None
    assert entry_of(there, SourceId("other"), named(1), None) == there[0]


# Clauses about states

GOOD = taken(
    MACHINE,
    opening(),
    taking(named(1), named(2), named(4, 2), label(5), first=1),
    opening("d"),
)[0]


def kept(state: State, change: Callable[[list[Entry]], Iterable[Entry]]) -> State:
    """Return a state with a change to the entries of its first log."""
    (log, *others) = state.logs
    changed_log = Log(conversation=log.conversation, entries=tuple(change(list(log.entries))))
    return replace(state, logs=(changed_log, *others))


def fields(number: int, **values: object) -> Callable[[list[Entry]], Iterable[Entry]]:
    """Return the change that gives an entry other values."""

    def change(there: list[Entry]) -> Iterable[Entry]:
        return [
            replace(one, **values) if index == number else one for index, one in enumerate(there)
        ]

    return change


BAD_STATES: tuple[tuple[str, State, str, str], ...] = (
    ("INT-1", kept(GOOD, fields(1, entry="e1")), "entry e1", "is stored 2 times"),
    ("INT-1", kept(GOOD, fields(1, place=1)), "source one, place 1", "holds 2 entries"),
    ("INT-1", kept(GOOD, fields(1, entry=None, place=None)), "entry number 1", "neither an id"),
    ("INT-2", kept(GOOD, fields(3, message="m5")), "entry e5", "has a message or no text"),
    ("INT-2", kept(GOOD, fields(3, text=None)), "entry e5", "has a message or no text"),
    ("INT-2", kept(GOOD, fields(3, standing=ASIDE, text=None)), "entry e5", "or no text"),
    ("INT-2", kept(GOOD, fields(0, text="ok")), "entry e1", "a text of its own"),
    ("INT-2", kept(GOOD, fields(0, message=None)), "entry e1", "has no message"),
    ("INT-2", kept(GOOD, fields(1, message="m1")), "entry e2", "m1 is another entry's as well"),
    ("INT-2", kept(GOOD, fields(1, message="m7")), "entry e2", "m7 was never stored here"),
    (
        "INT-2",
        kept(GOOD, fields(1, message="m7", entry=None)),
        "source one, place 2",
        "m7 was never stored here",
    ),
    ("INT-3", kept(GOOD, fields(0, parts=spans((0, 3)))), "entry e1", "reach to 3 of 2"),
    ("INT-3", kept(GOOD, fields(0, parts=spans((2, 1)))), "entry e1", "reach to 3 of 2"),
    ("INT-3", kept(GOOD, fields(3, parts=spans((0, 10)))), "entry e5", "reach to 10 of 9"),
    (
        "INT-3",
        kept(GOOD, fields(2, parts=spans((0, 4), (3, 1)))),
        "entry e4",
        "part 1 begins at 3, inside the one before",
    ),
    (
        "INT-4",
        kept(GOOD, lambda there: [there[1], there[0], *there[2:]]),
        "entry e1",
        "message number 1 follows number 2",
    ),
)

STATE_CLAUSES = {one.id: one for one in MACHINE.own_clauses if isinstance(one, StateClause)}


@pytest.mark.parametrize(("clause", "state", "row", "found"), BAD_STATES)
def test_a_bad_state_breaks_its_clause_at_its_row(
    clause: str, state: State, row: str, found: str
) -> None:
    witness = STATE_CLAUSES[clause].breaks(state)
    assert witness is not None
    assert (witness.table, witness.row) == ("entries", f"conversation c, {row}")
    assert found in witness.found


def test_every_clause_about_states_has_a_bad_state() -> None:
    assert {clause for clause, *_ in BAD_STATES} == STATE_CLAUSES.keys()


@pytest.mark.parametrize(
    "state",
    [
        State(),
        GOOD,
        HERE,
        taken(MACHINE, *WORLD, pruning(), forgetting("m3"), taking(named(6)))[0],
        kept(GOOD, fields(0, parts=spans((0, 0), (0, 1), (1, 1), (2, 0)))),
        kept(GOOD, fields(0, place=None)),
    ],
)
def test_good_states_break_no_clause(state: State) -> None:
    """INT-3: parts may touch, be empty, and leave something out."""
    assert [clause.breaks(state) for clause in JUDGED.about_states] == [None] * len(
        JUDGED.about_states
    )


def test_parts_of_a_forgotten_message_are_measured_against_nothing() -> None:
    """INT-3: the text is gone, and the entry is as it was."""
    gone = MACHINE.step(GOOD, forgetting("m1"))[0]
    assert STATE_CLAUSES["INT-3"].breaks(kept(gone, fields(0, parts=spans((0, 99))))) is None


# Clauses about steps

STEP_CLAUSES = {one.id: one for one in MACHINE.own_clauses if isinstance(one, StepClause)}
RAW = taken(MACHINE, opening(), opening("d"))[0]
TWO_ROWS = taking(named(1), named(2), first=1)
TOOK, BOTH = MACHINE.step(RAW, TWO_ROWS)
MORE = taking(named(2), label(3), first=2)
THEN, MIXED = MACHINE.step(TOOK, MORE)
NOTHING = Taken(fates=(), posted=None)
FORKED_ROW = taking(named(4, 1))
BY_PLACE = taken(MACHINE, opening(), taking(bare(1), first=1))[0]
BY_ID = taken(MACHINE, opening(), taking(named(1)))[0]
NUMBERED = ordinals.State(
    conversations=tuple(
        replace(one, next_sequence=ordinals.Sequence(one.next_sequence + 1))
        for one in THEN.ledger.lists.conversations
    )
)
OTHER_LOG = Log(conversation=ConversationId("d"), entries=entries(TOOK))


def said(outcome: Outcome, *fates: Fate) -> Taken:
    """Return the outcome with other fates."""
    assert isinstance(outcome, Taken)
    return replace(outcome, fates=fates)


def listed(state: State, lists: ordinals.State) -> State:
    return replace(state, ledger=replace(state.ledger, lists=lists))


def told(state: State, text: str) -> State:
    """Return a state whose first conversation has another text in its last message."""
    at, *others = state.ledger.lists.conversations
    *before, last = at.messages
    bent = replace(at, messages=(*before, replace(last, text=text)))
    return listed(state, ordinals.State(conversations=(bent, *others)))


def standing(state: State, names: str) -> State:
    """Return a state in whose first conversation these items stand."""
    at, *others = state.ledger.lists.conversations
    bent = replace(at, context=ranked(items(names)))
    return listed(state, ordinals.State(conversations=(bent, *others)))


ONLY_D = listed(RAW, ordinals.State(conversations=RAW.ledger.lists.conversations[1:]))

BAD_STEPS: tuple[tuple[str, State, Event, Outcome, State, str, str], ...] = (
    # What is stored.
    ("INT-5", RAW, TWO_ROWS, BOTH, kept(TOOK, lambda e: e[:1]), "row 1, entry e2", "has 0 entries"),
    ("INT-5", RAW, TWO_ROWS, BOTH, kept(TOOK, fields(1, entry="e9")), "row 1, entry e2", "has 0"),
    ("INT-5", RAW, TWO_ROWS, BOTH, kept(TOOK, fields(0, digest="x")), "row 0, entry e1", "has 0"),
    ("INT-5", RAW, TWO_ROWS, BOTH, kept(TOOK, fields(0, standing=ASIDE)), "row 0, entry e1", "0"),
    ("INT-5", RAW, TWO_ROWS, BOTH, kept(TOOK, lambda e: e + e[:1]), "row 0, entry e1", "has 2"),
    ("INT-5", RAW, taking(bare(1), first=1), BOTH, RAW, "row 0", "has 0 entries"),
    (
        "INT-5",
        RAW,
        taking(bare(1), first=1),
        BOTH,
        kept(TOOK, fields(0, entry="e9")),
        "row 0",
        "has 0 entries",
    ),
    ("INT-5", RAW, taking(bare(1), first=2), BOTH, kept(TOOK, fields(0, entry=None)), "row 0", "0"),
    (
        "INT-5",
        RAW,
        taking(named(1)),
        BOTH,
        kept(TOOK, fields(0, entry=None)),
        "row 0, entry e1",
        "0",
    ),
    ("INT-5", RAW, TWO_ROWS, said(BOTH, KNOWN, KNOWN), RAW, "row 0, entry e1", "has 0 entries"),
    ("INT-6", RAW, TWO_ROWS, BOTH, kept(TOOK, fields(1, role="x")), "row 1, entry e2", "not"),
    ("INT-6", RAW, TWO_ROWS, BOTH, told(TOOK, "o"), "row 1, entry e2", "is not stored as"),
    ("INT-6", RAW, TWO_ROWS, BOTH, kept(TOOK, fields(0, parts=())), "row 0, entry e1", "not"),
    ("INT-6", RAW, TWO_ROWS, BOTH, kept(TOOK, fields(0, time=None)), "row 0, entry e1", "not"),
    ("INT-6", TOOK, MORE, MIXED, kept(THEN, fields(2, text="x")), "row 1, entry e3", "not"),
    ("INT-7", RAW, TWO_ROWS, BOTH, standing(TOOK, "m1"), "context", "1 items, 0 and 2"),
    ("INT-7", RAW, TWO_ROWS, BOTH, standing(TOOK, "m2 m1"), "context", "2 items, 0 and 2"),
    ("INT-7", TOOK, MORE, MIXED, standing(THEN, "m1"), "context", "1 items, 2 and 0"),
    ("INT-7", RAW, TWO_ROWS, replace(said(BOTH, ADDED, ADDED), posted=None), TOOK, "posted", "2"),
    ("INT-7", TOOK, MORE, said(BOTH, KNOWN, ADDED), THEN, "posted", "0 messages, and"),
    ("INT-7", TOOK, MORE, MIXED, listed(THEN, NUMBERED), "ledger", "rows that are not placed"),
    ("INT-8", TOOK, TWO_ROWS, said(BOTH, KNOWN, KNOWN), THEN, "as a whole", "2 known rows"),
    ("INT-8", RAW, taking(), NOTHING, TOOK, "as a whole", "0 known rows changed the state"),
    # What is said of it.
    ("INT-9", RAW, TWO_ROWS, said(BOTH, ADDED), TOOK, "fates", "1 for 2 rows"),
    ("INT-9", RAW, TWO_ROWS, said(BOTH, ADDED, KNOWN), TOOK, "fates", "1 rows added, 2 entries"),
    ("INT-9", RAW, TWO_ROWS, BOTH, RAW, "fates", "2 rows added, 0 entries new"),
    (
        "INT-9",
        TOOK,
        MORE,
        said(MIXED, ADDED, KNOWN),
        THEN,
        "row 0, entry e2",
        "is reported as added and was not",
    ),
    (
        "INT-9",
        RAW,
        taking(named(1), named(1), named(2)),
        said(BOTH, ADDED, ADDED, KNOWN),
        TOOK,
        "row 1, entry e1",
        "is reported as added and was not",
    ),
    (
        "INT-9",
        RAW,
        taking(named(1), named(1)),
        said(BOTH, KNOWN, ADDED),
        BY_ID,
        "row 0, entry e1",
        "is reported as known and was not",
    ),
    # What is refused.
    ("INT-10", RAW, taking(bare(1)), NOTHING, RAW, "undecidable rows", "[0], named []"),
    (
        "INT-10",
        RAW,
        taking(bare(1), named(1), bare(2)),
        refused(Reason.UNDECIDABLE, 0),
        RAW,
        "undecidable rows",
        "[0, 2], named [0]",
    ),
    (
        "INT-10",
        RAW,
        taking(bare(1), first=1),
        refused(Reason.UNDECIDABLE, 0),
        RAW,
        "undecidable rows",
        "[], named [0]",
    ),
    (
        "INT-10",
        BY_PLACE,
        taking(named(1)),
        said(BOTH, ADDED),
        BY_PLACE,
        "undecidable rows",
        "[0], named []",
    ),
    (
        "INT-10",
        BY_ID,
        taking(bare(2), first=2),
        refused(Reason.MISSING_ROWS, 0),
        BY_ID,
        "undecidable rows",
        "[0], named []",
    ),
    (
        "INT-10",
        BY_ID,
        taking(named(2)),
        refused(Reason.UNDECIDABLE, 0),
        BY_ID,
        "undecidable rows",
        "[], named [0]",
    ),
    (
        "INT-11",
        TOOK,
        taking(changed(named(1))),
        said(BOTH, KNOWN),
        TOOK,
        "changed_row rows",
        "[0], named []",
    ),
    (
        "INT-11",
        TOOK,
        taking(changed(named(1)), changed(named(2))),
        refused(Reason.CHANGED_ROW, 1),
        TOOK,
        "changed_row rows",
        "[0], named [1]",
    ),
    (
        "INT-11",
        TOOK,
        TWO_ROWS,
        refused(Reason.CHANGED_ROW, 1),
        TOOK,
        "changed_row rows",
        "[], named [1]",
    ),
    ("INT-12", RAW, taking(bare(2), first=2), BOTH, TOOK, "missing_rows rows", "[0], named []"),
    (
        "INT-12",
        RAW,
        taking(bare(1), bare(2), first=1),
        refused(Reason.MISSING_ROWS, 1),
        RAW,
        "missing_rows rows",
        "[], named [1]",
    ),
    ("INT-12", TOOK, taking(named(3), first=4), BOTH, TOOK, "missing_rows rows", "[0], named []"),
    ("INT-12", TOOK, taking(named(5)), said(BOTH, ADDED), TOOK, "missing_rows rows", "[0], named"),
    (
        "INT-12",
        TOOK,
        taking(named(3), named(5), first=3),
        refused(Reason.FORKED, 1, fork="e4"),
        TOOK,
        "missing_rows rows",
        "[1], named []",
    ),
    (
        "INT-12",
        TOOK,
        taking(named(3), first=3),
        refused(Reason.MISSING_ROWS, 0),
        TOOK,
        "missing_rows rows",
        "[], named [0]",
    ),
    ("INT-13", TOOK, FORKED_ROW, said(BOTH, ADDED), THEN, "forked rows", "[0], named []"),
    (
        "INT-13",
        TOOK,
        taking(named(5)),
        refused(Reason.FORKED, 0, fork="e4"),
        TOOK,
        "forked rows",
        "[], named [0]",
    ),
    (
        "INT-13",
        TOOK,
        taking(replace(named(2), standing=ASIDE)),
        said(BOTH, KNOWN),
        TOOK,
        "forked rows",
        "[0], named []",
    ),
    (
        "INT-13",
        TOOK,
        taking(named(3)),
        refused(Reason.FORKED, 0, fork="e2"),
        TOOK,
        "forked rows",
        "[], named [0]",
    ),
    ("INT-13", TOOK, FORKED_ROW, refused(Reason.FORKED, 0), TOOK, "rows [0]", "fork None named"),
    (
        "INT-13",
        TOOK,
        taking(bare(9)),
        refused(Reason.UNDECIDABLE, 0, fork="e1"),
        TOOK,
        "rows [0]",
        "fork e1 named, not None",
    ),
    (
        "INT-26",
        TOOK,
        taking(replace(named(3), tokens=-1)),
        tokens.Refused(reason=tokens.Doubt.NEGATIVE_COUNT, index=7),
        TOOK,
        "as a whole",
        "answered",
    ),
    (
        "INT-14",
        RAW,
        TWO_ROWS,
        unlisted(ordinals.Reason.ALREADY_PLACED),
        RAW,
        "as a whole",
        "2 rows were not taken",
    ),
    (
        "INT-14",
        TOOK,
        TWO_ROWS,
        tokens.Refused(reason=Doubt.ABSURD_COUNT, index=0),
        TOOK,
        "as a whole",
        "2 rows were not taken",
    ),
    # What stays.
    ("INT-15", TOOK, MORE, MIXED, kept(THEN, fields(0, parts=())), "entry e1", "is not what was"),
    ("INT-15", TOOK, MORE, MIXED, kept(THEN, lambda e: e[1:]), "entry e1", "is not what was"),
    (
        "INT-15",
        TOOK,
        forgetting("m2"),
        NOTHING,
        kept(TOOK, lambda e: e[:1]),
        "entry e2",
        "is not what was stored",
    ),
    ("INT-15", TOOK, pruning(), NOTHING, RAW, "entry e1", "is not what was stored"),
    ("INT-16", TOOK, Reopen(), Reopened(), RAW, "the state", "is not the one before"),
    ("INT-16", TOOK, Reopen(crash=True), Reopened(), THEN, "the state", "is not the one before"),
    ("INT-16", RAW, Reopen(), Reopened(), ONLY_D, "the state", "is not the one before"),
    (
        "INT-17",
        RAW,
        taking(named(1), bare(2)),
        refused(Reason.UNDECIDABLE, 1),
        TOOK,
        "the state",
        "changed although the event was refused",
    ),
    (
        "INT-17",
        RAW,
        taking(ABSURD),
        tokens.Refused(reason=Doubt.ABSURD_COUNT, index=0),
        TOOK,
        "the state",
        "changed although the event was refused",
    ),
    (
        "INT-17",
        RAW,
        taking(at="nowhere"),
        unlisted(ordinals.Reason.UNKNOWN_CONVERSATION),
        TOOK,
        "the state",
        "changed although the event was refused",
    ),
    (
        "INT-18",
        RAW,
        TWO_ROWS,
        BOTH,
        replace(TOOK, logs=(*TOOK.logs, OTHER_LOG)),
        "other conversations",
        "their entries changed",
    ),
    (
        "INT-18",
        RAW,
        beside("b1"),
        MACHINE.step(RAW, beside("b1"))[1],
        TOOK,
        "other conversations",
        "their entries changed",
    ),
)


@pytest.mark.parametrize(
    ("clause", "before", "event", "outcome", "after", "row", "found"), BAD_STEPS
)
def test_a_bad_step_breaks_its_clause_at_its_row(
    clause: str, before: State, event: Event, outcome: Outcome, after: State, row: str, found: str
) -> None:
    witness = STEP_CLAUSES[clause].breaks(before, event, outcome, after)
    assert witness is not None
    assert witness.row.removeprefix("conversation c, ") == row
    assert found in witness.found


@pytest.mark.parametrize(
    ("clause", "event", "outcome"), [(one[0], one[2], one[3]) for one in BAD_STEPS]
)
def test_a_bad_step_is_the_subject_of_its_clause(
    clause: str, event: Event, outcome: Outcome
) -> None:
    assert STEP_CLAUSES[clause].applies(type(event), type(outcome))


def test_every_clause_about_steps_has_a_bad_step() -> None:
    assert {clause for clause, *_ in BAD_STEPS} == STEP_CLAUSES.keys()


def broken_by(before: State, event: Event) -> list[Witness]:
    """Return what a right step breaks, of all clauses, those of tokens and ordinals included."""
    after, outcome = MACHINE.step(before, event)
    found = JUDGED.broken_by_step(before, event, outcome, after) + JUDGED.broken_by_state(after)
    return [one.witness for one in found]


@pytest.mark.parametrize(
    "event",
    [
        taking(named(1), named(2), named(3), named(4), first=1),
        taking(named(6), named(7)),
        taking(named(4), label(5), named(6), first=4),
        taking(label(6), aside(10, 1)),
        taking(replace(named(6), tokens=7), replace(named(7), tokens=0)),
        taking(bare(14), first=4, at="d"),
        taking(),
        Reopen(),
        Reopen(crash=True),
        beside("b2"),
        covering("m3", "s2"),
        rolling_back("s1"),
        forgetting("m3"),
        pruning(),
        *(event for event, _ in REFUSED),
    ],
)
def test_right_steps_break_no_clause(event: Event) -> None:
    assert broken_by(HERE, event) == []


# Clauses about reach


@pytest.mark.parametrize(
    ("clause", "before", "event", "reached"),
    [
        ("INT-19", RAW, taking(named(1), named(2)), True),
        ("INT-19", RAW, taking(named(1)), False),
        ("INT-19", RAW, taking(named(1), named(3, 1)), False),
        ("INT-19", HERE, taking(named(1)), True),
        ("INT-20", RAW, taking(named(3, 0)), True),
        ("INT-20", RAW, taking(named(1)), False),
        ("INT-20", RAW, taking(label(3, 0)), False),
        ("INT-20", HERE, taking(named(3)), False),
        ("INT-21", HERE, taking(label(5), named(6)), True),
        ("INT-21", HERE, taking(label(5)), False),
        ("INT-21", HERE, taking(named(6)), False),
        ("INT-22", HERE, taking(named(1)), True),
        ("INT-22", HERE, taking(), False),
        ("INT-22", HERE, taking(named(6)), False),
        ("INT-22", TOOK, TWO_ROWS, False),
        ("INT-23", HERE, taking(named(1), source="other"), True),
        ("INT-23", HERE, taking(named(1)), False),
        ("INT-23", HERE, taking(named(6), source="other"), False),
        ("INT-24", HERE, taking(named(1)), True),
        ("INT-24", HERE, taking(named(4)), True),
        ("INT-24", HERE, taking(named(3)), False),
        ("INT-24", HERE, taking(label(5)), False),
        ("INT-25", HERE, taking(named(6)), True),
        ("INT-25", HERE, taking(label(6)), False),
        ("INT-25", TOOK, taking(named(3)), False),
        ("INT-25", MACHINE.step(RAW, beside("b1"))[0], taking(named(1)), False),
    ],
)
def test_a_clause_about_reach_is_reached_by_what_it_says(
    clause: str, before: State, event: Take, *, reached: bool
) -> None:
    (sought,) = [one for one in MACHINE.clauses if one.id == clause]
    assert isinstance(sought, SometimesClause)
    after, outcome = MACHINE.step(before, event)
    assert isinstance(outcome, Taken)
    assert sought.reached(before, event, outcome, after) is reached
    assert not sought.reached(before, Reopen(), Reopened(), before)


# Parts


def test_a_state_is_the_sum_of_its_parts() -> None:
    assert MACHINE.partition is not None
    parts = MACHINE.partition(HERE)
    assert list(parts) == ["c", "d"]
    assert tuple(log for part in parts.values() for log in part.logs) == HERE.logs
    assert [part.ledger for part in parts.values()] == list(tokens.partition(HERE.ledger).values())


@pytest.mark.parametrize("clause", STATE_CLAUSES.values(), ids=lambda clause: clause.id)
def test_a_clause_agrees_on_the_whole_and_part_by_part(clause: StateClause[State]) -> None:
    assert MACHINE.partition is not None
    assert not clause.between_parts
    for state in (*(state for _, state, *_ in BAD_STATES), GOOD, HERE, State()):
        parts = [clause.breaks(part) for part in MACHINE.partition(state).values()]
        assert clause.breaks(state) == next((one for one in parts if one is not None), None)


# Scope

LISTS = tokens.Scope(
    conversations=2, messages=0, summaries=0, refusals=False, weighings=False, counts=(None,)
)


def test_a_scope_without_rows_offers_no_list() -> None:
    offered = {type(event) for event in MACHINE.events(HERE, intake.Scope(ledger=LISTS))}
    assert Reopen in offered
    assert Take not in offered
    kept_all = intake.Scope(ledger=LISTS, departures=False)
    assert {type(event) for event in MACHINE.events(HERE, kept_all)} == offered - {
        ordinals.Prune,
        ordinals.Forget,
    }


def test_a_scope_offers_a_list_for_each_reason_of_intake_to_refuse() -> None:
    met = set[Reason]()
    for ids in (True, False):
        scope = intake.Scope(ledger=LISTS, rows=2, ids=ids)
        for before in (RAW, taken(MACHINE, opening("c1"), *list(_taken_lists(scope)))[0]):
            for event in MACHINE.events(before, scope):
                outcome = MACHINE.step(before, event)[1]
                met |= {outcome.reason} if isinstance(outcome, Refused) else set()
    assert met == set(Reason)


def _taken_lists(scope: intake.Scope) -> Iterable[Event]:
    opened = MACHINE.step(State(), opening("c1"))[0]
    return [one for one in MACHINE.events(opened, scope) if isinstance(one, Take)]


def test_most_lists_among_the_choices_are_taken() -> None:
    groups = [group for group in MACHINE.choices(GOOD).groups if group["conversation"][-1] == "c"]
    assert len(groups) > 3
    for group in groups:
        assert group["rows"]
        assert {*group["source"]} <= {"one", "other"}


# Whole scenarios


class Host:
    """A host list, what of it was stored, and where from, held against the machine."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        self.order = list[int]()
        """The rows that are stored, counted from 0, in the order of storing."""
        self.stood = dict[int, tuple[str, bool]]()
        """For each of them the source that it came from, and whether its place was said."""
        self.state = taken(MACHINE, opening())[0]
        self.issued = 0

    def step(self, event: Event) -> Outcome:
        """Take an event; no clause may break."""
        before = self.state
        self.state, outcome = MACHINE.step(before, event)
        assert JUDGED.broken_by_step(before, event, outcome, self.state) == []
        assert JUDGED.broken_by_state(self.state) == []
        return outcome

    def hand_over(self, first: int, last: int, *, source: str, place: bool) -> None:
        """Hand over rows ``first`` to ``last``, counted from 0, the last one left out."""
        before = self.state
        event = taking(*self.rows[first:last], first=first + 1 if place else None, source=source)
        outcome = self.step(event)
        expected = self.refusal(first, last, source=source, place=place)
        if expected is not None:
            assert outcome == expected
            assert self.state is before
            return
        new = [index for index in range(first, last) if index not in self.order]
        assert isinstance(outcome, Taken), outcome
        assert outcome.fates == tuple(
            ADDED if index in new else KNOWN for index in range(first, last)
        )
        self.order += new
        self.stood |= dict.fromkeys(new, (source, place))

    def refusal(self, first: int, last: int, *, source: str, place: bool) -> Refused | None:
        """Return how a list is refused: it is undecidable, or its beginning is missing."""
        bare_ones = [i for i in range(first, last) if self.rows[i].entry is None]
        if bare_ones and not place:
            return refused(Reason.UNDECIDABLE, *(index - first for index in bare_ones))
        lacks_place, lacks_id = self.lacking(source)
        for index in range(first, last):
            if index in self.order:
                continue
            if lacks_place if self.rows[index].entry is None else lacks_id and not place:
                return refused(Reason.UNDECIDABLE, index - first)
            if index == first and self.lacks_beginning(first, source=source, place=place):
                return refused(Reason.MISSING_ROWS, 0)
        return None

    def lacking(self, source: str) -> tuple[bool, bool]:
        """Tell whether a source has rows that are stored without a place, or without an id."""
        there = [(index, place) for index, (of, place) in self.stood.items() if of == source]
        without_id = any(self.rows[index].entry is None for index, _ in there)
        return not all(place for _, place in there), without_id

    def lacks_beginning(self, first: int, *, source: str, place: bool) -> bool:
        """Tell whether a row is missing before a new one with which a list begins."""
        if first == 0:
            return False
        not_there = place and self.stood.get(first - 1) != (source, True)
        named_one = self.rows[first].parent is not None
        return not_there or (named_one and first - 1 not in self.order)

    def append(self) -> None:
        self.issued += 1
        self.step(beside(f"b{self.issued}"))

    def cover(self) -> None:
        """Put a summary in the place of the first message that stands in the context."""
        standing_raw = [name for name in context(self.state).split() if not name.startswith("s")]
        if standing_raw:
            self.issued += 1
            self.step(covering(standing_raw[0], f"s{self.issued}"))

    def forget(self) -> None:
        standing_raw = [name for name in context(self.state).split() if not name.startswith("s")]
        if standing_raw:
            self.step(forgetting(standing_raw[-1]))


HABITS = (("all", True), ("all", False), ("some", False), ("some", False), ("none", False))
"""Which rows of a host have ids, and whether they name their parents."""


@st.composite
def host_lists(draw: st.DrawFn) -> list[Row]:
    """Draw a list: equal and empty rows, rows that are not placed, with ids and parents or not."""
    ids, parents = draw(st.sampled_from(HABITS))
    rows = list[Row]()
    for number in range(1, draw(st.integers(2, 7)) + 1):
        text = draw(st.sampled_from(["ok", "ok", "", "漢字 😀", "a longer text"]))
        standing_of_it = draw(st.sampled_from([PLACED, PLACED, PLACED, CARRIED]))
        row = replace(
            named(number),
            text=text,
            parts=spans((0, len(text))) if text else (),
            role=draw(st.sampled_from(["user", "toolResult"])),
            standing=standing_of_it,
        )
        if not parents:
            row = replace(row, parent=None)
        has_id = ids == "all" or (ids == "some" and draw(st.booleans()))
        rows.append(row if has_id else replace(row, entry=None))
    return rows


DEEDS = ("list", "list", "tail", "tail", "tail", "beside", "cover", "forget", "prune")
"""What happens in a scenario, and how often."""


@settings(max_examples=300)
@given(host_lists(), st.data())
def test_whatever_is_handed_over_in_whatever_order_every_row_is_stored_once(
    rows: list[Row], data: st.DataObject
) -> None:
    """INT-5 to INT-12, INT-15 to INT-17: whole lists, tails, snapshots, two writers.

    Any of them may come before any other; what cannot be decided and a tail before its beginning
    are refused. A list of which a row has no id has one writer.
    """
    host = Host(rows)
    ids = all(row.entry is not None for row in rows)
    for _ in range(data.draw(st.integers(4, 12))):
        source = data.draw(st.sampled_from(["one", "other"] if ids else ["one"]))
        place = data.draw(st.booleans())
        match data.draw(st.sampled_from(DEEDS)):
            case "list":
                host.hand_over(0, data.draw(st.integers(1, len(rows))), source=source, place=place)
            case "tail":
                first = data.draw(st.integers(0, len(rows) - 1))
                last = min(len(rows), first + data.draw(st.integers(1, 3)))
                host.hand_over(first, last, source=source, place=place)
            case "beside":
                host.append()
            case "cover":
                host.cover()
            case "forget":
                host.forget()
            case _:
                host.step(pruning())
        if data.draw(st.booleans()):
            assert host.step(Reopen(crash=data.draw(st.booleans()))) == Reopened()
    _is_stored_once(host)


def _is_stored_once(host: Host) -> None:
    """Compare what is stored with what was taken, then hand the whole list over twice."""
    there = entries(host.state)
    assert [one.digest for one in there] == [host.rows[index].digest for index in host.order]
    known = {row.message for row in host.rows}
    sequence = [one.id for one in conversation(host.state).messages if one.id in known]
    placed = [host.rows[index].message for index in host.order]
    assert sequence == [message for message in placed if message in sequence]
    decidable = host.refusal(0, len(host.rows), source="one", place=True) is None
    host.hand_over(0, len(host.rows), source="one", place=True)
    assert not decidable or sorted(host.order) == list(range(len(host.rows)))
    before = host.state
    host.hand_over(0, len(host.rows), source="one", place=True)
    assert host.state is before
