"""Intake: which rows of a host's list are stored already, and the storing of those that are not.

Chapter ``spec/intake.md``.

Theory of operation. A host hands over what it has: its whole list, a tail of it, the same list
again. Which of these rows is which stored one is decided by the host's own id of a row, else by the
row's place in its source; what says neither is refused and named, and nothing is ever decided by
what a row says. A row that is stored is known and changes nothing; if its bytes are not those that
were stored, it is refused. The others become entries, and those on the branch of the leaf become
messages at the end of the context, in one append.

States    ``State``: a state of tokens, and a ``Log`` of entries for each conversation
Events    those of tokens, ``Take`` and ``Reopen``
Outcomes  those of tokens, ``Taken``, ``Reopened``, ``Refused``
Clauses   INT-1 to INT-4 about states, INT-5 to INT-18 and INT-26 about steps, INT-19 to
          INT-25 about what is reached, and those of tokens and ordinals, inherited; their
          predicates are in ``clauses``, ``refusals`` and ``reaching``
"""

from collections.abc import Callable
from typing import TypeAlias

import msgspec
from msgspec import Struct

from plumbline_models import contract, ordinals, tokens
from plumbline_models.intake.clauses import clauses
from plumbline_models.intake.scope import Scope, choices, in_scope, in_scope_with_odd_rows
from plumbline_models.intake.transitions import step
from plumbline_models.intake.values import (
    SPEC,
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
    Rules,
    SourceId,
    Standing,
    State,
    Take,
    Taken,
)

__all__ = [
    "PAIRS",
    "RULE_SETS",
    "SPEC",
    "Digest",
    "Entry",
    "EntryId",
    "Event",
    "Fate",
    "Log",
    "Machine",
    "Outcome",
    "Part",
    "Place",
    "Reason",
    "Record",
    "Refused",
    "Reopen",
    "Reopened",
    "Row",
    "Rules",
    "Scope",
    "SourceId",
    "Standing",
    "State",
    "Step",
    "Take",
    "Taken",
    "assembled",
    "in_scope_with_odd_rows",
    "machine",
]

Machine: TypeAlias = contract.Machine[State, Event, Outcome, Scope]
Step: TypeAlias = Callable[[State, Event], tuple[State, Outcome]]

RULE_SETS = (SPEC, Rules(name="IDS_ONLY", places=False))
"""The specification, and a host that believes no place."""


class Record(Struct, frozen=True, kw_only=True):
    """An event, its outcome and the state after it; the JSON Schema is made from this."""

    event: Event
    outcome: Outcome
    state: State


_events: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_outcomes: msgspec.json.Decoder[Outcome] = msgspec.json.Decoder(Outcome)
_states: msgspec.json.Decoder[State] = msgspec.json.Decoder(State)


def machine(rules: Rules = SPEC) -> Machine:
    """Return intake under a rule set."""
    return assembled(rules.name, lambda state, event: step(rules, state, event))


def assembled(rules_name: str, one_step: Step, initial: State = State()) -> Machine:  # noqa: B008 - immutable
    """Return intake with another step or initial state: how variants are made."""
    return contract.Machine(
        name="intake",
        rules_name=rules_name,
        initial=initial,
        kinds=(*tokens.machine().kinds, Take, Reopen),
        reading=(tokens.Weigh, Reopen),
        decode=_events.decode,
        decode_outcome=_outcomes.decode,
        decode_state=_states.decode,
        record=Record,
        step=one_step,
        events=in_scope,
        choices=choices,
        clauses=clauses(),
        outcome_name=outcome_name,
        pairs=PAIRS,
        partition=partition,
    )


def partition(state: State) -> dict[str, State]:
    """Return a state of one conversation for each conversation."""
    return {
        key: State(ledger=part, logs=tuple(log for log in state.logs if log.conversation == key))
        for key, part in tokens.partition(state.ledger).items()
    }


def outcome_name(outcome: Outcome) -> str:
    """Name an outcome in tables: ``Taken``, ``Refused(changed_row)``, or as in tokens."""
    match outcome:
        case Taken() | Reopened():
            return type(outcome).__name__
        case Refused(reason=reason):
            return f"Refused({reason.value})"
        case _:
            return tokens.outcome_name(outcome)


PAIRS = (
    *tokens.PAIRS,
    ("Take", "Taken"),
    ("Take", "Refused(unknown_conversation)"),
    *(("Take", f"Refused({reason.value})") for reason in Reason),
    *(("Take", f"Refused({doubt.value})") for doubt in tokens.Doubt),
    *(
        ("Take", f"Refused({reason.value})")
        for reason in (
            ordinals.Reason.DUPLICATE_ITEM,
            ordinals.Reason.ALREADY_PLACED,
            ordinals.Reason.FOREIGN_ITEM,
            ordinals.Reason.FORGOTTEN_ITEM,
        )
    ),
    ("Reopen", "Reopened"),
)
"""Every (event, outcome) that can occur."""
