"""Why something about snapshots was refused, in a sentence that says what can be done."""

from typing import Final

from msgspec import Struct

from plumbline_models.anchoring import Ineligible, Refusal, Refused
from plumbline_models.decisions.refreshing import Reason


class Refusing(Struct, frozen=True, kw_only=True):
    """The specification refuses it, and nothing was changed."""

    refused: str
    """The reason, as the chapter names it."""
    because: str
    """The same in a sentence."""


def refusing(outcome: Refused | Ineligible) -> Refusing:
    """Return a refusal with its sentence."""
    if isinstance(outcome, Refused):
        return Refusing(refused=outcome.reason.value, because=REFUSED[outcome.reason])
    said = f"no merge may be made: {INELIGIBLE[outcome.reason]}; --mode auto rebuilds instead"
    return Refusing(refused=outcome.reason.value, because=said)


REFUSED: Final = {
    Refusal.EMPTY_BATCH: "there is nothing in it",
    Refusal.OUTCOME_CONFLICT: "something else was logged under this id; give what is new an id of"
    " its own",
    Refusal.GATE_OUTCOME: "what a gate tries out is no outcome of a decision and is not logged",
    Refusal.REWARD_OUT_OF_RANGE: "a reward is from -1,000,000 to 1,000,000 micro-units",
    Refusal.UNKNOWN_SNAPSHOT: "there is no such snapshot, or none was published yet; plumbline"
    " snapshot status shows what there is",
    Refusal.SUPERSEDED: "another snapshot than the expected one is current; look at it, and expect"
    " that one",
    Refusal.REPEATED_OUTCOME: "an outcome is named twice",
    Refusal.UNKNOWN_OUTCOME: "there is no such outcome in the log",
    Refusal.TRUNCATED_OUTCOME: "the row of the outcome was truncated",
    Refusal.MANIFEST_INVALID: "the manifest names no stored snapshot; plumbline snapshot refresh"
    " publishes one",
    Refusal.NOT_EXACT: "the snapshot was merged; --mode full publishes an exact one",
    Refusal.OLD_EPOCH: "the snapshot is of an earlier epoch of the log",
    Refusal.BELOW_FOUNDATION: "the snapshot counts less than what was truncated already",
    Refusal.DRIFTED: "the snapshot is not what the log makes",
    Refusal.PIN_EXISTS: "there is a pin of that name; renew it, or take another name",
    Refusal.UNKNOWN_PIN: "there is no pin of that name; plumbline snapshot status lists them",
    Refusal.LEASE_OVER: "the lease would be over at once; give a later moment, or none",
    Refusal.GATE_EXISTS: "the run has a verdict, or a pin has its name; take another name, or let"
    " a run that was left open go with plumbline snapshot unpin",
    Refusal.NOT_PINNED: "no snapshot is pinned for the run any more, so there is no verdict; open"
    " another run",
    Refusal.NOTHING_TO_LOSE: "there is nothing that could be damaged so",
}

INELIGIBLE: Final = {
    Reason.NO_SNAPSHOT: "no snapshot was ever published",
    Reason.MANIFEST_INVALID: "the manifest names no stored snapshot",
    Reason.LIVE_ABSENT: "there is no live delta",
    Reason.LIVE_CORRUPT: "the live delta counts other outcomes than it covers",
    Reason.ANCHOR_MISMATCH: "the live delta is anchored to another snapshot than the current one",
    Reason.EPOCH_MISMATCH: "snapshot, live delta and log are not of one epoch",
    Reason.CONFIG_MISMATCH: "the current snapshot is of another configuration",
    Reason.COVERAGE_GAP: "the live delta does not reach from the snapshot to the end of the log",
    Reason.FORCED: "a rebuild was asked for",
    Reason.COMPACTION_DUE_TO_DELTA_COUNT: "there would be more merges since the last exact rebuild"
    " than are allowed",
    Reason.COMPACTION_DUE_TO_EXACT_LINEAGE_AGE: "the last exact rebuild is too long ago",
    Reason.DRIFT_DETECTED: "the log is not what it was when the snapshot was made of it, or an"
    " audit said so",
    Reason.COMPACTION_DUE_TO_SNAPSHOT_AGE: "nothing is new, and the snapshot is too old to be"
    " reused",
    Reason.WITHIN_REUSE_WINDOW: "nothing is new",
    Reason.LIVE_DELTA: "the live delta can be merged",
}
"""Every row of the table of a refresh, in words."""
