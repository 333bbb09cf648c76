"""Anchoring step by step: recorders and refreshers over plain files, killed wherever they are.

Chapter ``spec/anchoring_steps.md``.

Theory of operation. A host that has files and no transactions logs an outcome in three steps and
publishes a snapshot in four, and others run in between, or nobody goes on. Nothing here excludes
anybody. What makes it right is that the live delta says what it covers: whoever merges asks whether
that is all, and whoever extends it whether it ends right before his outcome. What is published is
compared and swapped.

States    ``State``: the log, the live delta, the manifest, and the processes with their memory
Events    ``Record`` ``Refresh`` ``Advance`` ``Kill`` ``Rewrite``
Outcomes  ``Begun`` ``Appended`` ``LiveRead`` ``LiveWritten`` ``LiveLeft`` ``Seen`` ``Computed``
          ``Published`` ``Superseded`` ``LiveReset`` ``Killed`` ``Rewritten`` ``Refused``
Clauses   ANS-1 to ANS-3 and ANS-5 to ANS-11 about steps, ANS-4 about states, ANS-12 to ANS-18 about
          what is reached
"""

from collections.abc import Callable
from typing import TypeAlias

import msgspec
from msgspec import Struct

from plumbline_models import contract
from plumbline_models.anchoring.values import Epoch, OutcomeId, Position, SnapshotId
from plumbline_models.anchoring_steps.clauses import clauses
from plumbline_models.anchoring_steps.scope import Scope, choices, in_scope
from plumbline_models.anchoring_steps.transitions import step
from plumbline_models.anchoring_steps.values import (
    SPEC,
    Advance,
    Appended,
    Begun,
    Computed,
    Event,
    Kill,
    Killed,
    Live,
    LiveLeft,
    LiveRead,
    LiveReset,
    LiveWritten,
    Manifest,
    Outcome,
    Process,
    ProcessId,
    Published,
    Reason,
    Record,
    Recorder,
    Recording,
    Refresh,
    Refresher,
    Refreshing,
    Refused,
    Rewrite,
    Rewritten,
    Row,
    Rules,
    Seen,
    State,
    Superseded,
    Torn,
    Way,
)

__all__ = [
    "PAIRS",
    "RULE_SETS",
    "SPEC",
    "Advance",
    "Appended",
    "Begun",
    "Computed",
    "Epoch",
    "Event",
    "Kill",
    "Killed",
    "Line",
    "Live",
    "LiveLeft",
    "LiveRead",
    "LiveReset",
    "LiveWritten",
    "Machine",
    "Manifest",
    "Outcome",
    "OutcomeId",
    "Position",
    "Process",
    "ProcessId",
    "Published",
    "Reason",
    "Record",
    "Recorder",
    "Recording",
    "Refresh",
    "Refresher",
    "Refreshing",
    "Refused",
    "Rewrite",
    "Rewritten",
    "Row",
    "Rules",
    "Scope",
    "Seen",
    "SnapshotId",
    "State",
    "Step",
    "Superseded",
    "Torn",
    "Way",
    "assembled",
    "machine",
]

Machine: TypeAlias = contract.Machine[State, Event, Outcome, Scope]
Step: TypeAlias = Callable[[State, Event], tuple[State, Outcome]]

RULE_SETS = (
    SPEC,
    Rules(name="TRANSACTIONS", one_record=True, one_publication=True),
    Rules(name="ISSUE_12", coverage=False, epochs=False, swap=False),
)
"""The specification over two files, the same with a transaction for each of the two writes, and
openclaw-intelligence-core after its issue 12."""


class Line(Struct, frozen=True, kw_only=True):
    """An event, its outcome and the state after it; the JSON Schema is made from this."""

    event: Event
    outcome: Outcome
    state: State


_events: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_outcomes: msgspec.json.Decoder[Outcome] = msgspec.json.Decoder(Outcome)
_states: msgspec.json.Decoder[State] = msgspec.json.Decoder(State)


def machine(rules: Rules = SPEC) -> Machine:
    """Return anchoring step by step under a rule set."""
    return assembled(rules.name, lambda state, event: step(rules, state, event))


def assembled(rules_name: str, one_step: Step, initial: State = State()) -> Machine:  # noqa: B008 - immutable
    """Return the machine with another step or initial state: how variants are made."""
    return contract.Machine(
        name="anchoring_steps",
        rules_name=rules_name,
        initial=initial,
        kinds=(Record, Refresh, Advance, Kill, Rewrite),
        decode=_events.decode,
        decode_outcome=_outcomes.decode,
        decode_state=_states.decode,
        record=Line,
        step=one_step,
        events=in_scope,
        choices=choices,
        clauses=clauses(),
        outcome_name=outcome_name,
        pairs=PAIRS,
    )


def outcome_name(outcome: Outcome) -> str:
    """Name an outcome in tables: ``Computed(delta_merge)``, ``Refused(process_runs)``."""
    match outcome:
        case Computed(way=way):
            return f"Computed({way.value})"
        case Refused(reason=reason):
            return f"Refused({reason.value})"
        case _:
            return type(outcome).__name__


PAIRS = (
    ("Record", "Begun"),
    ("Record", "Refused(process_runs)"),
    ("Record", "Refused(known_outcome)"),
    ("Refresh", "Begun"),
    ("Refresh", "Refused(process_runs)"),
    ("Advance", "Appended"),
    ("Advance", "LiveRead"),
    ("Advance", "LiveWritten"),
    ("Advance", "LiveLeft"),
    ("Advance", "Seen"),
    ("Advance", "Computed(full_rebuild)"),
    ("Advance", "Computed(delta_merge)"),
    ("Advance", "Published"),
    ("Advance", "Superseded"),
    ("Advance", "LiveReset"),
    ("Advance", "Refused(unknown_process)"),
    ("Kill", "Killed"),
    ("Kill", "Refused(unknown_process)"),
    ("Kill", "Refused(not_writing)"),
    ("Rewrite", "Rewritten"),
    ("Rewrite", "Refused(somebody_runs)"),
    ("Rewrite", "Refused(unknown_outcome)"),
)
"""Every (event, outcome) that can occur under the specification."""
