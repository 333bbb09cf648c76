"""Every witness of a clause about states, and not only the first: what an audit counts."""

import pytest
from msgspec.structs import replace

from plumbline_models import ordinals
from plumbline_models.contract import StateClause, Witness
from plumbline_models.ordinals import (
    Cause,
    Conversation,
    ConversationId,
    Depth,
    Loss,
    Message,
    MessageId,
    Ordinal,
    Placed,
    Sequence,
    State,
    Summary,
    SummaryId,
)
from tests.ordinals import item, items

CLAUSES = {one.id: one for one in ordinals.machine().clauses if isinstance(one, StateClause)}


def stored(*names: str) -> tuple[Message, ...]:
    return tuple(
        Message(id=MessageId(name), sequence=Sequence(number), text="")
        for number, name in enumerate(names, 1)
    )


def listed(names: str) -> tuple[Placed, ...]:
    return tuple(Placed(ordinal=Ordinal(rank), item=one) for rank, one in enumerate(items(names)))


def made(name: str, sources: str, depth: int = 0) -> Summary:
    return Summary(id=SummaryId(name), depth=Depth(depth), text="", sources=items(sources))


def talk(context: str, *summaries: Summary, name: str = "c") -> Conversation:
    """Return a conversation that stores m1 to m5."""
    return Conversation(
        id=ConversationId(name),
        next_sequence=Sequence(6),
        messages=stored("m1", "m2", "m3", "m4", "m5"),
        summaries=summaries,
        context=listed(context),
    )


def witnesses(clause: str, *conversations: Conversation) -> list[Witness]:
    return list(CLAUSES[clause].witnesses(State(conversations=conversations)))


def said(clause: str, *conversations: Conversation) -> list[tuple[str, str]]:
    """Return the table and the text of every witness, without its conversation."""
    return [(one.table, str(one).partition(", ")[2]) for one in witnesses(clause, *conversations)]


WHOLE = talk("m1 m2 m3 m4 m5")


@pytest.mark.parametrize("clause", CLAUSES.values(), ids=lambda clause: clause.id)
def test_a_state_that_keeps_a_clause_has_no_witness(clause: StateClause[State]) -> None:
    assert list(clause.witnesses(State(conversations=(WHOLE,)))) == []
    assert list(clause.witnesses(State())) == []


def test_the_first_witness_is_what_breaks_returns() -> None:
    state = State(conversations=(talk("m1 m1 m2 m2"),))
    for clause in CLAUSES.values():
        assert clause.breaks(state) == next(iter(clause.witnesses(state)), None)


def test_every_ordinal_that_is_no_rank_is_named() -> None:
    """ORD-1."""
    gaps = tuple(replace(one, ordinal=Ordinal(2 * one.ordinal)) for one in WHOLE.context)
    assert said("ORD-1", replace(WHOLE, context=gaps)) == [
        ("context", "ordinal 2: message m2 is item number 1"),
        ("context", "ordinal 4: message m3 is item number 2"),
        ("context", "ordinal 6: message m4 is item number 3"),
        ("context", "ordinal 8: message m5 is item number 4"),
    ]


def test_every_number_that_does_not_grow_is_named() -> None:
    """ORD-2: a number that is too small does not lower what is expected after it."""
    numbers = (1, 5, 2, 3, 6)
    messages = tuple(
        replace(one, sequence=Sequence(number))
        for one, number in zip(WHOLE.messages, numbers, strict=True)
    )
    assert said("ORD-2", replace(WHOLE, messages=messages)) == [
        ("messages", "message m3: sequence 2, at least 6 expected"),
        ("messages", "message m4: sequence 3, at least 6 expected"),
        ("conversations", "next sequence 6: at least 7 expected"),
    ]


def test_every_item_that_stands_twice_or_beside_its_summary_is_named() -> None:
    """ORD-3."""
    here = talk("s1 m1 m1 m2 m5 m5", made("s1", "m1 m2"))
    assert said("ORD-3", here) == [
        ("context", "message m1: stands in the context 2 times"),
        ("context", "message m5: stands in the context 2 times"),
        ("context", "message m1: stands in the context and is covered by summary s1"),
        ("context", "message m2: stands in the context and is covered by summary s1"),
    ]


def test_every_item_with_two_covers_is_named() -> None:
    """ORD-4."""
    here = talk("s1 s2 m4 m5", made("s1", "m1 m2"), made("s2", "m2 m3 m1"))
    assert said("ORD-4", here) == [
        ("lineage", "message m1: is a source of summaries s1, s2"),
        ("lineage", "message m2: is a source of summaries s1, s2"),
    ]


def test_one_message_that_is_missing_is_one_witness() -> None:
    """ORD-5: whatever stands behind it is where it should be."""
    assert said("ORD-5", talk("m2 m3 m5")) == [
        ("messages", "expanded message 0: m2 found, m1 expected"),
        ("messages", "expanded message 3: m5 found, m4 expected"),
    ]
    assert said("ORD-5", talk("")) == [
        ("messages", f"expanded message {rank}: nothing found, m{rank + 1} expected")
        for rank in range(5)
    ]


def test_one_message_that_stands_too_often_is_one_witness() -> None:
    """ORD-5."""
    assert said("ORD-5", talk("m1 m9 m2 m3 m1 m4 m5 m5")) == [
        ("context", "expanded message 1: m9 found, m2 expected"),
        ("context", "expanded message 4: m1 found, m4 expected"),
        ("context", "expanded message 7: m5 found, nothing expected"),
    ]


def test_one_message_that_moved_is_two_witnesses() -> None:
    """ORD-5: where it should stand, and where it does."""
    assert said("ORD-5", talk("m2 m3 m4 m1 m5")) == [
        ("messages", "expanded message 0: m2 found, m1 expected"),
        ("context", "expanded message 3: m1 found, m5 expected"),
    ]


def test_a_lineage_that_leads_back_to_itself_is_expanded_once() -> None:
    """ORD-5, ORD-7."""
    here = talk("s1 m4 m5", made("s1", "s2 m1", 1), made("s2", "s1 m2", 2))
    assert said("ORD-5", here) == [
        ("messages", "expanded message 0: m2 found, m1 expected"),
        ("messages", "expanded message 2: m1 found, m3 expected"),
        ("context", "expanded message 1: m1 found, m4 expected"),
    ]
    assert len(witnesses("ORD-7", here)) == 1


def test_every_reference_that_leads_nowhere_is_named() -> None:
    """ORD-6."""
    here = talk("m1 m8 s9 m2", made("s1", "m3 s7 m9"))
    assert said("ORD-6", here) == [
        ("context", "ordinal 1: message m8 is not stored here"),
        ("context", "ordinal 2: summary s9 is not stored here"),
        ("lineage", "summary s1: source summary s7 is not stored here"),
        ("lineage", "summary s1: source message m9 is not stored here"),
    ]


def test_every_wrong_depth_and_every_summary_without_sources_is_named() -> None:
    """ORD-7, ORD-9."""
    here = talk("s1 s2 s3", made("s1", "m1", 3), made("s2", "s1", 4), made("s3", "", 1))
    assert said("ORD-7", here) == [
        ("summaries", "summary s1: depth 3, 0 expected"),
        ("summaries", "summary s3: depth 1, 0 expected"),
    ]
    assert said("ORD-9", talk("", made("s1", ""), made("s2", "m1"), made("s3", ""))) == [
        ("summaries", "summary s1: has no source"),
        ("summaries", "summary s3: has no source"),
    ]


def test_every_further_row_of_an_id_is_named_where_it_is() -> None:
    """ORD-8."""
    loss = Loss(position=Sequence(9), cause=Cause.FORGOTTEN, item=item("m2"))
    other = replace(
        talk("", made("s1", "m1"), name="d"), messages=stored("m4", "n1"), losses=(loss,)
    )
    assert [
        (one.table, one.row) for one in witnesses("ORD-8", talk("", made("s1", "m1")), other)
    ] == [
        ("messages", "conversation d, message m4"),
        ("summaries", "conversation d, summary s1"),
        ("losses", "conversation d, message m2"),
    ]


def test_witnesses_of_every_conversation_are_named() -> None:
    found = witnesses("ORD-9", talk("", made("s1", "")), talk("", made("s2", ""), name="d"))
    assert [one.row for one in found] == [
        "conversation c, summary s1",
        "conversation d, summary s2",
    ]
