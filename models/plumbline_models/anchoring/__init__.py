"""Anchoring: a log of outcomes, snapshots of its statistics, and a live delta between them.

Chapter ``spec/anchoring.md``.

Theory of operation. Outcomes of decisions are logged as they come, and now and then their
statistics are published as a snapshot that everybody reads. To count the whole log each time costs
more as it grows, so what comes behind the current snapshot is counted beside the log, and a refresh
merges that delta into a further snapshot. A merge is right when the delta is all that the log has
behind the snapshot and nothing else: its coverage says so, and chain hashes say that it is still
the same log. Whatever is missing, damaged or old costs a rebuild, and never an outcome.

States    ``State``: the log, snapshots, the manifest, the live delta, pins, verdicts
Events    ``Record`` ``Refresh`` ``Rewrite`` ``Truncate`` ``Pin`` ``Renew`` ``Unpin`` ``OpenGate``
          ``CloseGate`` ``Collect`` by hosts; ``Audit`` ``Credit`` ask; ``Lose`` ``Backfill`` happen
Outcomes  ``Recorded`` ``Refreshed`` ``Ineligible`` ``Rewritten`` ``Truncated`` ``Pinned``
          ``Unpinned`` ``GateOpened`` ``GateClosed`` ``Collected`` ``Audited`` ``Credited`` ``Lost``
          ``Backfilled`` ``Refused``
Clauses   ANC-1 to ANC-6 about states, ANC-7 to ANC-28 and ANC-40 to ANC-42 about steps, ANC-29 to
          ANC-39 about what is reached
"""

from collections.abc import Callable
from typing import TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from plumbline_models import contract
from plumbline_models.anchoring.clauses import clauses
from plumbline_models.anchoring.scope import WINDOWS, Scope, choices, in_scope
from plumbline_models.anchoring.transitions import step
from plumbline_models.anchoring.values import (
    SPEC,
    Answer,
    Audit,
    Audited,
    Backfill,
    Backfilled,
    CloseGate,
    Collect,
    Collected,
    Correction,
    Credit,
    Credited,
    Draft,
    Drift,
    Epoch,
    Event,
    GateClosed,
    GateId,
    GateOpened,
    Ineligible,
    Key,
    KeyStatistics,
    Known,
    Lease,
    Link,
    Live,
    Logged,
    Lose,
    Loss,
    Lost,
    OpenGate,
    Outcome,
    OutcomeId,
    Pin,
    PinId,
    Pinned,
    Placed,
    Position,
    Record,
    Recorded,
    Refresh,
    Refreshed,
    Refusal,
    Refused,
    Rejected,
    Renew,
    Rewrite,
    Rewritten,
    Rules,
    Snapshot,
    SnapshotId,
    Source,
    State,
    Table,
    Torn,
    Truncate,
    Truncated,
    Unpin,
    Unpinned,
    Verdict,
)
from plumbline_models.decisions.refreshing import Reason

__all__ = [
    "PAIRS",
    "RULE_SETS",
    "SPEC",
    "WINDOWS",
    "Answer",
    "Audit",
    "Audited",
    "Backfill",
    "Backfilled",
    "CloseGate",
    "Collect",
    "Collected",
    "Correction",
    "Credit",
    "Credited",
    "Draft",
    "Drift",
    "Epoch",
    "Event",
    "GateClosed",
    "GateId",
    "GateOpened",
    "Ineligible",
    "Key",
    "KeyStatistics",
    "Known",
    "Lease",
    "Line",
    "Link",
    "Live",
    "Logged",
    "Lose",
    "Loss",
    "Lost",
    "Machine",
    "OpenGate",
    "Outcome",
    "OutcomeId",
    "Pin",
    "PinId",
    "Pinned",
    "Placed",
    "Position",
    "Record",
    "Recorded",
    "Refresh",
    "Refreshed",
    "Refusal",
    "Refused",
    "Rejected",
    "Renew",
    "Rewrite",
    "Rewritten",
    "Rules",
    "Scope",
    "Snapshot",
    "SnapshotId",
    "Source",
    "State",
    "Step",
    "Table",
    "Torn",
    "Truncate",
    "Truncated",
    "Unpin",
    "Unpinned",
    "Verdict",
    "assembled",
    "machine",
]

Machine: TypeAlias = contract.Machine[State, Event, Outcome, Scope]
Step: TypeAlias = Callable[[State, Event], tuple[State, Outcome]]

RULE_SETS = (
    SPEC,
    Rules(
        name="ISSUE_12",
        coverage=False,
        epochs=False,
        chains=False,
        reuse=False,
        rebuilds=False,
    ),
    Rules(name="ISSUE_13", coverage=False, epochs=False, chains=False, rebuilds=False),
    Rules(name="ISSUE_14", coverage=False, epochs=False, chains=False, zeros=False, lineage=False),
    Rules(name="ISSUE_15", coverage=False, epochs=False, chains=False),
)
"""The specification, and openclaw-intelligence-core after its issues 12, 13, 14 and 15."""


class Line(Struct, frozen=True, kw_only=True):
    """An event, its outcome and the state after it; the JSON Schema is made from this."""

    event: Event
    outcome: Outcome
    state: State


_events: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_outcomes: msgspec.json.Decoder[Outcome] = msgspec.json.Decoder(Outcome)
_states: msgspec.json.Decoder[State] = msgspec.json.Decoder(State)


def machine(rules: Rules = SPEC) -> Machine:
    """Return anchoring under a rule set."""
    return assembled(rules.name, lambda state, event: step(rules, state, event))


def assembled(rules_name: str, one_step: Step, initial: State = State()) -> Machine:  # noqa: B008 - immutable
    """Return anchoring with another step or initial state: how variants are made."""
    return contract.Machine(
        name="anchoring",
        rules_name=rules_name,
        initial=initial,
        kinds=(
            Record,
            Refresh,
            Rewrite,
            Truncate,
            Pin,
            Renew,
            Unpin,
            OpenGate,
            CloseGate,
            Collect,
            Audit,
            Credit,
            Lose,
            Backfill,
        ),
        reading=(Audit, Credit),
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
        partition=partition,
    )


def partition(state: State) -> dict[str, State]:
    """Return what was published of the log; the log itself is compared with it by rows."""
    return {"snapshots": replace(state, log=(), truncated=())}


def outcome_name(outcome: Outcome) -> str:
    """Name an outcome in tables: ``Refreshed(forced)``, ``Recorded(placed)``, ``Refused(…)``."""
    match outcome:
        case Recorded(answers=answers):
            return f"Recorded({_answers_name(answers)})"
        case Refreshed(reason=why) | GateOpened(reason=why) | Ineligible(reason=why):
            return f"{type(outcome).__name__}({why.value})"
        case Audited(drifted=drifted, live_drifted=live):
            return "Audited(drift)" if drifted or live else "Audited(no_drift)"
        case Refused(reason=reason):
            return f"Refused({reason.value})"
        case _:
            return type(outcome).__name__


def _answers_name(answers: tuple[Answer, ...]) -> str:
    names = dict.fromkeys(
        one.reason.value if isinstance(one, Rejected) else "repeated" if one.repeated else "placed"
        for one in answers
    )
    return next(iter(names)) if len(names) == 1 else "mixed"


_REBUILDS = tuple(
    why.value for why in Reason if why not in (Reason.WITHIN_REUSE_WINDOW, Reason.LIVE_DELTA)
)
"""The reasons of rebuilds; whoever asks for a merge is refused with any of them but one."""
_STAYS = (Reason.WITHIN_REUSE_WINDOW.value, Reason.LIVE_DELTA.value)

PAIRS = (
    ("Record", "Recorded(placed)"),
    ("Record", "Recorded(repeated)"),
    ("Record", "Recorded(mixed)"),
    ("Record", "Recorded(outcome_conflict)"),
    ("Record", "Recorded(gate_outcome)"),
    ("Record", "Recorded(reward_out_of_range)"),
    ("Record", "Recorded(unknown_snapshot)"),
    ("Record", "Refused(empty_batch)"),
    *(("Refresh", f"Refreshed({why})") for why in (*_REBUILDS, *_STAYS)),
    *(("Refresh", f"Ineligible({why})") for why in _REBUILDS if why != Reason.FORCED.value),
    ("Refresh", "Refused(superseded)"),
    *(("OpenGate", f"GateOpened({why})") for why in (*_REBUILDS, *_STAYS)),
    *(("OpenGate", f"Ineligible({why})") for why in _REBUILDS if why != Reason.FORCED.value),
    ("OpenGate", "Refused(gate_exists)"),
    ("OpenGate", "Refused(lease_over)"),
    ("CloseGate", "GateClosed"),
    ("CloseGate", "Refused(gate_exists)"),
    ("CloseGate", "Refused(not_pinned)"),
    ("Rewrite", "Rewritten"),
    ("Rewrite", "Refused(empty_batch)"),
    ("Rewrite", "Refused(repeated_outcome)"),
    ("Rewrite", "Refused(unknown_outcome)"),
    ("Rewrite", "Refused(truncated_outcome)"),
    ("Rewrite", "Refused(reward_out_of_range)"),
    ("Truncate", "Truncated"),
    ("Truncate", "Refused(unknown_snapshot)"),
    ("Truncate", "Refused(manifest_invalid)"),
    ("Truncate", "Refused(not_exact)"),
    ("Truncate", "Refused(old_epoch)"),
    ("Truncate", "Refused(below_foundation)"),
    ("Truncate", "Refused(drifted)"),
    ("Pin", "Pinned"),
    ("Pin", "Refused(pin_exists)"),
    ("Pin", "Refused(lease_over)"),
    ("Pin", "Refused(unknown_snapshot)"),
    ("Renew", "Pinned"),
    ("Renew", "Refused(unknown_pin)"),
    ("Renew", "Refused(lease_over)"),
    ("Unpin", "Unpinned"),
    ("Unpin", "Refused(unknown_pin)"),
    ("Collect", "Collected"),
    ("Audit", "Audited(no_drift)"),
    ("Audit", "Audited(drift)"),
    ("Credit", "Credited"),
    ("Credit", "Refused(unknown_snapshot)"),
    ("Lose", "Lost"),
    ("Lose", "Refused(nothing_to_lose)"),
    ("Backfill", "Backfilled"),
    ("Backfill", "Refused(unknown_outcome)"),
    ("Backfill", "Refused(truncated_outcome)"),
)
"""Every (event, outcome) that can occur."""
