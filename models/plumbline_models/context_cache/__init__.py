"""The context cache: lists that an engine keeps between the passes of its compactions.

Chapter ``spec/context_cache.md``.

Theory of operation. A list is worth keeping while somebody compacts and dangerous at any other
time. So the engine counts the compactions that run, keeps lists for those alone, and keeps none
when none runs. Every change of a list raises the revision of its conversation. A kept list may be
an old one, and that is no harm: whether it still is what stands there is asked where it is used.

States    ``State``: revisions and lists as they are stored, the compactions that run, kept lists
Events    ``Open`` ``Change`` by a host; ``Begin`` ``End`` ``Read`` ``Commit`` by compactions
Outcomes  ``Opened`` ``Changed`` ``Begun`` ``Ended`` ``Listed`` ``Committed`` ``Stale``
          ``RolledBack`` ``Refused``
Clauses   CCH-1 and CCH-2 about states, CCH-3 to CCH-10 about steps, CCH-11 to CCH-14 about what is
          reached
"""

from collections.abc import Callable
from typing import TypeAlias

import msgspec
from msgspec import Struct

from plumbline_models import contract
from plumbline_models.context_cache.clauses import clauses
from plumbline_models.context_cache.scope import Scope, choices, in_scope
from plumbline_models.context_cache.transitions import step
from plumbline_models.context_cache.values import (
    SPEC,
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
    Opened,
    Outcome,
    Read,
    Reason,
    Refused,
    RolledBack,
    Rules,
    Stale,
    State,
)

__all__ = [
    "PAIRS",
    "RULE_SETS",
    "SPEC",
    "Begin",
    "Begun",
    "Change",
    "Changed",
    "Commit",
    "Committed",
    "Conversation",
    "End",
    "Ended",
    "Event",
    "Kept",
    "Listed",
    "Machine",
    "Open",
    "Opened",
    "Outcome",
    "Read",
    "Reason",
    "Record",
    "Refused",
    "RolledBack",
    "Rules",
    "Scope",
    "Stale",
    "State",
    "Step",
    "assembled",
    "machine",
]

Machine: TypeAlias = contract.Machine[State, Event, Outcome, Scope]
Step: TypeAlias = Callable[[State, Event], tuple[State, Outcome]]

RULE_SETS = (
    SPEC,
    Rules(name="FLAG", counted=False, revisions=False, compactors_alone=False),
    Rules(name="RELEASED", revisions=False, compactors_alone=False),
)
"""The specification, a revision of lossless-claw PR #295, and its releases since then."""


class Record(Struct, frozen=True, kw_only=True):
    """An event, its outcome and the state after it; the JSON Schema is made from this."""

    event: Event
    outcome: Outcome
    state: State


_events: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_outcomes: msgspec.json.Decoder[Outcome] = msgspec.json.Decoder(Outcome)
_states: msgspec.json.Decoder[State] = msgspec.json.Decoder(State)


def machine(rules: Rules = SPEC) -> Machine:
    """Return the context cache under a rule set."""
    return assembled(rules.name, lambda state, event: step(rules, state, event))


def assembled(rules_name: str, one_step: Step, initial: State = State()) -> Machine:  # noqa: B008 - immutable
    """Return the context cache with another step or initial state: how variants are made."""
    return contract.Machine(
        name="context_cache",
        rules_name=rules_name,
        initial=initial,
        kinds=(Open, Change, Begin, End, Read, Commit),
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
    )


def outcome_name(outcome: Outcome) -> str:
    """Name an outcome in tables: ``Listed(read)``, ``Refused(nothing_read)``."""
    match outcome:
        case Listed(read=read):
            return "Listed(read)" if read else "Listed(kept)"
        case Refused(reason=reason):
            return f"Refused({reason.value})"
        case _:
            return type(outcome).__name__


PAIRS = (
    ("Open", "Opened"),
    ("Open", "Refused(conversation_exists)"),
    ("Change", "Changed"),
    ("Change", "Refused(unknown_conversation)"),
    ("Begin", "Begun"),
    ("End", "Ended"),
    ("End", "Refused(nobody_compacts)"),
    ("Read", "Listed(read)"),
    ("Read", "Listed(kept)"),
    ("Read", "Refused(unknown_conversation)"),
    ("Commit", "Committed"),
    ("Commit", "Stale"),
    ("Commit", "RolledBack"),
    ("Commit", "Refused(unknown_conversation)"),
    ("Commit", "Refused(nobody_compacts)"),
    ("Commit", "Refused(nothing_read)"),
    ("Commit", "Refused(nothing_to_replace)"),
)
"""Every (event, outcome) that can occur."""
