"""Compaction: passes that put summaries in the place of what was said, and sweeps of passes.

Chapter ``spec/compaction.md``.

Theory of operation. A pass is select, summarise, commit. ``Select`` reads and holds nothing; what a
summariser answers comes in with ``Commit``, which names the selected items and is refused when they
do not stand there any more. Anything may happen between the two. A pass is a ``tokens.Replace``
whose summary counts less than its sources, so the stored total falls with every pass and the passes
come to an end. A whole sweep is one event with a script of answers.

States    ``State``: a state of intake, and the extent of each stored summary
Events    those of intake; ``Evaluate`` ``Select`` ``Commit`` and ``CompactLeaf`` ``Sweep``
          ``SweepUntil``
Outcomes  those of intake; ``Evaluated`` ``Selected`` ``Idle`` ``Committed`` ``Swept`` ``Refused``
Clauses   CMP-1 to CMP-4 about states, CMP-5 to CMP-23 and CMP-38 about steps, CMP-24 to CMP-37
          about what is reached; those of intake, tokens and ordinals
"""

from collections.abc import Callable
from typing import TypeAlias

import msgspec
from msgspec import Struct

from plumbline_models import contract, intake, lossless_claw, ordinals
from plumbline_models.compaction.clauses import clauses
from plumbline_models.compaction.released import rules_of
from plumbline_models.compaction.scope import SCRIPTS, SMALL, Scope, choices, in_scope
from plumbline_models.compaction.transitions import step
from plumbline_models.compaction.values import (
    SPEC,
    Commit,
    Committed,
    CompactLeaf,
    Evaluate,
    Evaluated,
    Event,
    Extent,
    Idle,
    Interference,
    Kind,
    Meanwhile,
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
)

__all__ = [
    "PAIRS",
    "RULE_SETS",
    "SCRIPTS",
    "SMALL",
    "SPEC",
    "Commit",
    "Committed",
    "CompactLeaf",
    "Evaluate",
    "Evaluated",
    "Event",
    "Extent",
    "Idle",
    "Interference",
    "Kind",
    "Machine",
    "Meanwhile",
    "Outcome",
    "Pass",
    "Reason",
    "Record",
    "Refused",
    "Rules",
    "Scope",
    "Select",
    "Selected",
    "Settings",
    "State",
    "Step",
    "Stop",
    "Sweep",
    "SweepUntil",
    "Swept",
    "assembled",
    "machine",
]

Machine: TypeAlias = contract.Machine[State, Event, Outcome, Scope]
Step: TypeAlias = Callable[[State, Event], tuple[State, Outcome]]

RULE_SETS = (
    SPEC,
    Rules(name="TAIL_ALONE", newest_user=False),
    Rules(name="FIRST_RUN_ONLY", later_runs=False),
    rules_of("BEFORE_295", lossless_claw.BEFORE_295),
    rules_of("PR295", lossless_claw.PR295),
    rules_of("HEAD", lossless_claw.HEAD),
)
"""The specification, two decisions that releases do not share, and three released engines."""


class Record(Struct, frozen=True, kw_only=True):
    """An event, its outcome and the state after it; the JSON Schema is made from this."""

    event: Event
    outcome: Outcome
    state: State


_events: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_outcomes: msgspec.json.Decoder[Outcome] = msgspec.json.Decoder(Outcome)
_states: msgspec.json.Decoder[State] = msgspec.json.Decoder(State)


def machine(rules: Rules = SPEC) -> Machine:
    """Return compaction under a rule set."""
    return assembled(rules.name, lambda state, event: step(rules, state, event))


def assembled(rules_name: str, one_step: Step, initial: State = State()) -> Machine:  # noqa: B008 - immutable
    """Return compaction with another step or initial state: how variants are made."""
    return contract.Machine(
        name="compaction",
        rules_name=rules_name,
        initial=initial,
        kinds=(
            *intake.machine().kinds,
            Evaluate,
            Select,
            Commit,
            CompactLeaf,
            Sweep,
            SweepUntil,
        ),
        reading=(*intake.machine().reading, Evaluate, Select),
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
        inherited_pairs=tuple(pair for pair in intake.PAIRS if pair[1].startswith("Refused")),
        partition=partition,
    )


def partition(state: State) -> dict[str, State]:
    """Return a state of one conversation for each conversation."""
    parts: dict[str, State] = {}
    for key, part in intake.partition(state.taken).items():
        here = {one.id for at in part.ledger.lists.conversations for one in at.summaries}
        extents = tuple(one for one in state.extents if one.summary in here)
        parts[key] = State(taken=part, extents=extents)
    return parts


def outcome_name(outcome: Outcome) -> str:
    """Name an outcome in tables: ``Committed(leaf)``, ``Swept(under_target)``, or as in intake."""
    match outcome:
        case Evaluated(compact=compact):
            return "Evaluated(compact)" if compact else "Evaluated(within)"
        case Selected() | Idle():
            return type(outcome).__name__
        case Committed(record=record):
            return f"Committed({record.kind.value})"
        case Swept(stop=stop):
            return f"Swept({stop.value})"
        case Refused(reason=reason):
            return f"Refused({reason.value})"
        case _:
            return intake.outcome_name(outcome)


_STOPS = (
    Stop.UNDER_TARGET,
    Stop.NOTHING_TO_COMPACT,
    Stop.BOUND_REACHED,
    Stop.DEADLINE,
    Stop.AUTHENTICATION,
    Stop.SUMMARISER_ERROR,
    Stop.STALE,
)
"""Why a sweep stops: its passes make progress, so never for the want of it."""

PAIRS = (
    *intake.PAIRS,
    ("Evaluate", "Evaluated(compact)"),
    ("Evaluate", "Evaluated(within)"),
    ("Select", "Selected"),
    ("Select", "Idle"),
    ("Commit", "Committed(leaf)"),
    ("Commit", "Committed(condensed)"),
    *(("Commit", f"Refused({reason.value})") for reason in Reason),
    *(
        ("Commit", f"Refused({reason.value})")
        for reason in (
            ordinals.Reason.EMPTY_RANGE,
            ordinals.Reason.ALREADY_PLACED,
            ordinals.Reason.FOREIGN_ITEM,
        )
    ),
    *(("CompactLeaf", f"Swept({stop.value})") for stop in _STOPS),
    *(("Sweep", f"Swept({stop.value})") for stop in _STOPS),
    *(("SweepUntil", f"Swept({stop.value})") for stop in _STOPS),
    *(
        (event, "Refused(unknown_conversation)")
        for event in ("Evaluate", "Select", "Commit", "CompactLeaf", "Sweep", "SweepUntil")
    ),
)
"""Every (event, outcome) that can occur."""
