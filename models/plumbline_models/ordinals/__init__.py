"""Ordinals: the ordered list of messages and summaries that stands for a conversation.

Chapter ``spec/ordinals.md``.

Theory of operation. A conversation stores messages, each with a sequence number that is never
reused. Its active context is an ordered list of items, each a message or a summary, each at an
ordinal. Replacing adjacent items by a summary shortens the list and loses nothing, because the
summary's lineage names exactly what it replaced; rolling the replacement back puts exactly that
back. What leaves the context otherwise (pruned, forgotten) is recorded item by item.

States    ``State`` of ``Conversation``s: messages, summaries, context, losses, next sequence number
Events    ``Open`` ``Append`` ``Replace`` ``RollBack`` ``Prune`` ``Forget``
Outcomes  ``Opened`` ``Appended`` ``Replaced`` ``RolledBack`` ``Pruned`` ``Forgotten`` ``Refused``
Clauses   ORD-1 to ORD-9 about states, ORD-10 to ORD-17 and ORD-22 to ORD-28 about steps,
          ORD-18 to ORD-21 about what is reached; their predicates are in ``clauses``

``Failed`` is the outcome of a database constraint that an event ran into. No event of the
specification has it; it is here so that rule sets which really failed can say so (ORD-16 forbids
it).
"""

from collections.abc import Callable, Iterator
from typing import TypeAlias

import msgspec
from msgspec import Struct

from plumbline_models import contract
from plumbline_models.closing import Closing
from plumbline_models.ordinals.clauses import clauses
from plumbline_models.ordinals.scope import Scope, choices, in_scope
from plumbline_models.ordinals.transitions import step
from plumbline_models.ordinals.values import (
    SPEC,
    Append,
    Appended,
    Cause,
    Conversation,
    ConversationId,
    Depth,
    Draft,
    Event,
    Failed,
    Forget,
    Forgotten,
    Item,
    Loss,
    Message,
    MessageId,
    MessageItem,
    Numbering,
    Open,
    Opened,
    Ordinal,
    Outcome,
    Placed,
    Prune,
    Pruned,
    Reason,
    Refused,
    Replace,
    Replaced,
    RollBack,
    RolledBack,
    Rules,
    Sequence,
    State,
    Summary,
    SummaryId,
    SummaryItem,
)

__all__ = [
    "RULE_SETS",
    "SPEC",
    "Append",
    "Appended",
    "Cause",
    "Conversation",
    "ConversationId",
    "Depth",
    "Draft",
    "Event",
    "Failed",
    "Forget",
    "Forgotten",
    "Item",
    "Loss",
    "Machine",
    "Message",
    "MessageId",
    "MessageItem",
    "Numbering",
    "Open",
    "Opened",
    "Ordinal",
    "Outcome",
    "Placed",
    "Prune",
    "Pruned",
    "Reason",
    "Record",
    "Refused",
    "Replace",
    "Replaced",
    "RollBack",
    "RolledBack",
    "Rules",
    "Scope",
    "Sequence",
    "State",
    "Summary",
    "SummaryId",
    "SummaryItem",
    "machine",
]

Machine: TypeAlias = contract.Machine[State, Event, Outcome, Scope]
Step: TypeAlias = Callable[[State, Event], tuple[State, Outcome]]

RULE_SETS = (
    SPEC,
    Rules(name="RESEQUENCE", closing=Closing.RESEQUENCE),
    Rules(name="UNLESS_CONTIGUOUS", closing=Closing.UNLESS_CONTIGUOUS),
    Rules(
        name="BEFORE_295",
        closing=Closing.RESEQUENCE,
        stale_check=False,
        prune_closes=False,
        prune_records=False,
    ),
    Rules(
        name="PR295",
        closing=Closing.UNLESS_CONTIGUOUS,
        stale_check=False,
        prune_closes=False,
        prune_records=False,
    ),
)
"""The specification, two ways of closing up that are equal to it, and two released systems."""


class Record(Struct, frozen=True, kw_only=True):
    """An event, its outcome and the state after it; the JSON Schema is made from this."""

    event: Event
    outcome: Outcome
    state: State


_events: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_outcomes: msgspec.json.Decoder[Outcome] = msgspec.json.Decoder(Outcome)
_states: msgspec.json.Decoder[State] = msgspec.json.Decoder(State)


def machine(rules: Rules = SPEC) -> Machine:
    """Return ordinals under a rule set."""
    return assembled(rules.name, lambda state, event: step(rules, state, event))


def assembled(rules_name: str, one_step: Step, initial: State = State()) -> Machine:  # noqa: B008 - immutable
    """Return ordinals with another step or initial state: how variants are made."""
    return contract.Machine(
        name="ordinals",
        rules_name=rules_name,
        initial=initial,
        kinds=(Open, Append, Replace, RollBack, Prune, Forget),
        decode=_events.decode,
        decode_outcome=_outcomes.decode,
        decode_state=_states.decode,
        record=Record,
        step=one_step,
        events=in_scope,
        choices=choices,
        clauses=clauses(one_step),
        outcome_name=outcome_name,
        pairs=PAIRS,
        partition=partition,
    )


def partition(state: State) -> dict[str, State]:
    """Return a state of one conversation for each conversation."""
    return {one.id: State(conversations=(one,)) for one in state.conversations}


def outcome_name(outcome: Outcome) -> str:
    """Name an outcome in tables: ``Replaced``, ``Refused(stale_range)``."""
    match outcome:
        case Refused(reason=reason):
            return f"Refused({reason.value})"
        case _:
            return type(outcome).__name__


def _rows(
    event: type[Event], outcome: type[Outcome], *reasons: Reason
) -> Iterator[tuple[str, str]]:
    yield event.__name__, outcome.__name__
    for reason in reasons:
        yield event.__name__, outcome_name(Refused(reason=reason))


PAIRS = (
    *_rows(Open, Opened, Reason.CONVERSATION_EXISTS),
    *_rows(
        Append,
        Appended,
        Reason.UNKNOWN_CONVERSATION,
        Reason.EMPTY_BATCH,
        Reason.DUPLICATE_ITEM,
        Reason.ALREADY_PLACED,
        Reason.FOREIGN_ITEM,
        Reason.FORGOTTEN_ITEM,
    ),
    *_rows(
        Replace,
        Replaced,
        Reason.UNKNOWN_CONVERSATION,
        Reason.EMPTY_RANGE,
        Reason.DUPLICATE_ITEM,
        Reason.MIXED_ITEMS,
        Reason.ALREADY_PLACED,
        Reason.UNKNOWN_ITEM,
        Reason.FOREIGN_ITEM,
        Reason.STALE_RANGE,
        Reason.NOT_ADJACENT,
    ),
    *_rows(
        RollBack,
        RolledBack,
        Reason.UNKNOWN_CONVERSATION,
        Reason.UNKNOWN_ITEM,
        Reason.FOREIGN_ITEM,
        Reason.NOT_IN_CONTEXT,
    ),
    *_rows(Prune, Pruned, Reason.UNKNOWN_CONVERSATION),
    *_rows(
        Forget,
        Forgotten,
        Reason.UNKNOWN_CONVERSATION,
        Reason.EMPTY_BATCH,
        Reason.DUPLICATE_ITEM,
        Reason.UNKNOWN_ITEM,
        Reason.FOREIGN_ITEM,
        Reason.FORGOTTEN_ITEM,
        Reason.COVERED_ITEM,
    ),
)
"""Every (event, outcome) that can occur: the rows of the chapter's event table."""
