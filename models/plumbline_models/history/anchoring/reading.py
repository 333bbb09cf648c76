"""Logs that are not what was handed, pins that do not hold, verdicts and answers that are wrong."""

from collections.abc import Callable

from msgspec.structs import replace

from plumbline_models.anchoring import Step, queries
from plumbline_models.anchoring.scope import KEYS
from plumbline_models.anchoring.transitions import rechained
from plumbline_models.anchoring.values import (
    Answer,
    Audit,
    Audited,
    CloseGate,
    Collect,
    Collected,
    Credit,
    Credited,
    Draft,
    Drift,
    Event,
    GateOpened,
    Ineligible,
    Known,
    Loss,
    OpenGate,
    Outcome,
    OutcomeId,
    PinId,
    Placed,
    Position,
    Record,
    Recorded,
    Refusal,
    Refused,
    Rejected,
    Renew,
    Rewrite,
    Rewritten,
    Snapshot,
    SnapshotId,
    State,
    Truncate,
    Truncated,
)
from plumbline_models.decisions.chaining import digest
from plumbline_models.decisions.refreshing import Mode
from plumbline_models.decisions.statistics import MOST
from plumbline_models.history import CONSTRUCTED, Variant
from plumbline_models.history.anchoring.making import (
    BARE,
    COUNTED,
    LOGGED,
    MERGED,
    AnchoringVariant,
    accepting,
    retold,
    right,
    stepping,
    tampered,
    with_snapshots,
)

# Logging


def _handed_otherwise(change: Callable[[State, Draft], Draft]) -> Step:
    """Return a step that logs other drafts than were handed."""

    def one_step(state: State, event: Event) -> tuple[State, Outcome]:
        if not isinstance(event, Record):
            return right(state, event)
        return right(state, Record(drafts=tuple(change(state, one) for one in event.drafts)))

    return one_step


def _clamped(state: State, draft: Draft) -> Draft:
    del state
    return replace(draft, reward=max(-MOST, min(MOST, draft.reward)))


def _under_the_current(state: State, draft: Draft) -> Draft:
    return draft if draft.under is None else replace(draft, under=state.current)


def _overwritten(state: State, event: Event) -> tuple[State, Outcome]:
    """Put what is handed under a known id in the place of what was."""
    after, outcome = right(state, event)
    if not isinstance(event, Record) or not isinstance(outcome, Recorded):
        return after, outcome
    answers = list(outcome.answers)
    for number, (draft, answer) in enumerate(zip(event.drafts, answers, strict=True)):
        if answer == Rejected(reason=Refusal.OUTCOME_CONFLICT):
            after, answers[number] = _over(after, draft)
    return after, Recorded(answers=tuple(answers))


def _over(state: State, draft: Draft) -> tuple[State, Answer]:
    known = queries.known_of(state, draft.outcome)
    assert known is not None
    rows = (
        replace(row, key=draft.key, reward=draft.reward, digest=digest(draft))
        if row.outcome == draft.outcome
        else row
        for row in state.log
    )
    return replace(state, log=rechained(state, rows)), Placed(position=known.position)


def _run_logged(state: State, after: State, event: CloseGate) -> State:
    """Log what a gate's run came to as if a decision had come to it."""
    del state
    seen = Draft(outcome=OutcomeId(f"run {event.gate}"), key=KEYS[0], reward=MOST)
    return replace(right(after, Record(drafts=(seen,)))[0], live=after.live)


def _unpinned(state: State, after: State, event: Record) -> State:
    del state, event
    return replace(after, pins=())


def _promoted_in_place(state: State, after: State, event: CloseGate) -> State:
    """Make the snapshot current that a verdict names."""
    del state
    (verdict,) = (one for one in after.verdicts if one.gate == event.gate)
    return replace(after, current=verdict.snapshot)


# Rewriting and truncating


def _same_epoch(state: State, event: Event) -> tuple[State, Outcome]:
    after, outcome = right(state, event)
    if not isinstance(outcome, Rewritten):
        return after, outcome
    return replace(after, epoch=state.epoch), replace(outcome, epoch=state.epoch)


def _digest_of_the_new(state: State, after: State, event: Rewrite) -> State:
    """Make the digest of a row that is rewritten anew, as if it had been handed so."""
    del event
    rows = (
        replace(now, digest=digest(now)) if now.epoch != was.epoch else now
        for was, now in zip(state.log, after.log, strict=True)
    )
    return replace(after, log=tuple(rows))


def _dropped(state: State, upto: Position, foundation: SnapshotId) -> tuple[State, Outcome]:
    """Drop the rows up to a position, and keep their names."""
    gone = tuple(row for row in state.log if row.position <= upto)
    names = (Known(position=row.position, outcome=row.outcome, digest=row.digest) for row in gone)
    after = replace(
        state,
        log=tuple(row for row in state.log if row.position > upto),
        truncated=(*state.truncated, *names),
        foundation=foundation,
    )
    return after, Truncated(removed=len(gone))


def _although_refused(state: State, event: Truncate) -> tuple[State, Outcome]:
    at = queries.snapshot_of(state, event.snapshot)
    assert at is not None
    return _dropped(state, at.watermark, at.id)


def _all_dropped(state: State, event: Event) -> tuple[State, Outcome]:
    """Drop the rows behind the snapshot as well."""
    after, outcome = right(state, event)
    if not isinstance(event, Truncate) or not isinstance(outcome, Truncated):
        return after, outcome
    return _dropped(state, queries.end_of(state), event.snapshot)


def _names_dropped(state: State, after: State, event: Truncate) -> State:
    del event
    return replace(after, truncated=state.truncated)


# Gates and verdicts


def _pinned_before(state: State, after: State, event: OpenGate) -> State:
    """Pin for a gate what was current before it refreshed."""
    was = state.current
    pins = (
        replace(one, snapshot=was) if one.id == PinId(event.gate) and was is not None else one
        for one in after.pins
    )
    return replace(after, pins=tuple(pins))


def _about_the_current(state: State, after: State, event: CloseGate) -> State:
    """Name what is current in a verdict."""
    current = state.current
    verdicts = (
        replace(one, snapshot=current) if one.gate == event.gate and current is not None else one
        for one in after.verdicts
    )
    return replace(after, verdicts=tuple(verdicts))


def _run_again(state: State, event: Event) -> tuple[State, Outcome]:
    """Let a run that was judged open again, and close with another verdict."""
    if not isinstance(event, OpenGate | CloseGate):
        return right(state, event)
    others = tuple(one for one in state.verdicts if one.gate != event.gate)
    after, outcome = right(replace(state, verdicts=others), event)
    if isinstance(outcome, Refused | Ineligible):
        return state, outcome
    if isinstance(outcome, GateOpened):
        return replace(after, verdicts=state.verdicts), outcome
    return after, outcome


# Collecting


def _verdicts_let_go(state: State, after: State, event: Collect) -> State:
    del state, event
    return replace(after, verdicts=())


def _never_over(state: State, event: Event) -> tuple[State, Outcome]:
    """Collect as if no time went by."""
    return right(state, replace(event, now=0) if isinstance(event, Collect) else event)


def _blind_to(hide: Callable[[State], State]) -> Step:
    """Return a step whose collections see no more than ``hide`` leaves when they let snapshots go.

    ``hide`` leaves every snapshot; what else it hides stays in the state.
    """

    def one_step(state: State, event: Event) -> tuple[State, Outcome]:
        after, outcome = right(state, event)
        if not isinstance(event, Collect) or not isinstance(outcome, Collected):
            return after, outcome
        needed = {one.id for one in right(hide(state), event)[0].snapshots}
        left = tuple(one for one in state.snapshots if one.id in needed)
        gone = tuple(one.id for one in state.snapshots if one.id not in needed)
        return replace(after, snapshots=left), replace(outcome, snapshots=gone)

    return one_step


def _without_pins(state: State) -> State:
    return replace(state, pins=())


def _without_verdicts(state: State) -> State:
    return replace(state, verdicts=())


def _without_foundation(state: State) -> State:
    return replace(state, foundation=None)


def _without_lineage(state: State) -> State:
    return with_snapshots(state, lambda one: replace(one, exact=one.id))


def _to_the_current(state: State, event: Event) -> tuple[State, Outcome]:
    """Move a pin that is renewed to the current snapshot."""
    after, outcome = right(state, event)
    if not isinstance(event, Renew) or isinstance(outcome, Refused) or state.current is None:
        return after, outcome
    pins = tuple(
        replace(one, snapshot=state.current) if one.id == event.pin else one for one in after.pins
    )
    return replace(after, pins=pins), outcome


# Answers


def _of_all_epochs(state: State, outcome: Audited) -> Outcome:
    del outcome
    judged = [one for one in state.snapshots if one.watermark >= queries.beginning_of(state)]
    return Audited(
        judged=len(judged),
        drifted=tuple(_unconcerned(one) for one in judged if queries.drifted(state, one)),
        live_drifted=queries.live_drifted(state),
    )


def _unconcerned(one: Snapshot) -> Drift:
    return Drift(snapshot=one.id, superseded_by=None, gates=(), pins=())


def _red_for_ever(state: State, outcome: Audited) -> Outcome:
    del state
    return replace(
        outcome, drifted=tuple(replace(one, superseded_by=None) for one in outcome.drifted)
    )


def _nobody_told(state: State, outcome: Audited) -> Outcome:
    del state
    return replace(
        outcome, drifted=tuple(replace(one, gates=(), pins=()) for one in outcome.drifted)
    )


def _since_it_was_published(state: State, event: Event) -> tuple[State, Outcome]:
    """Credit a snapshot with what was logged behind it."""
    after, outcome = right(state, event)
    if not isinstance(event, Credit) or isinstance(outcome, Refused):
        return after, outcome
    at = queries.snapshot_of(state, event.snapshot)
    assert at is not None
    behind = (row for row in state.log if row.position > at.watermark)
    return after, Credited(statistics=queries.fold(behind))


def _reset_when_refused(state: State, event: Event) -> tuple[State, Outcome]:
    """Drop the live delta when a merge may not be made."""
    after, outcome = right(state, event)
    return (replace(after, live=None) if isinstance(outcome, Ineligible) else after), outcome


def _repaired(state: State, event: Event) -> tuple[State, Outcome]:
    """Recount every snapshot that an audit found to have drifted."""
    after, outcome = right(state, event)
    if not isinstance(event, Audit) or not isinstance(outcome, Audited):
        return after, outcome
    drifted = {one.snapshot for one in outcome.drifted}
    return with_snapshots(
        after,
        lambda one: (
            replace(one, statistics=queries.recounted(state, one.watermark))
            if one.id in drifted
            else one
        ),
    ), outcome


_ABOUT_THE_LOG: tuple[AnchoringVariant, ...] = (
    Variant(
        name="CLAMPED",
        machine=stepping("CLAMPED", _handed_otherwise(_clamped)),
        breaks="ANC-17",
        source=CONSTRUCTED,
        story="A reward out of range is logged as the greatest, and nobody learns that it was"
        " none.",
        scope=replace(LOGGED, outcomes=0, refusals=True),
        sole=True,
    ),
    Variant(
        name="OVERWRITTEN",
        machine=stepping("OVERWRITTEN", _overwritten),
        breaks="ANC-17",
        source=CONSTRUCTED,
        story="Something else is handed under a known id, and replaces what was logged.",
        scope=replace(LOGGED, refusals=True),
        sole=True,
    ),
    Variant(
        name="UNDER_THE_CURRENT",
        machine=stepping("UNDER_THE_CURRENT", _handed_otherwise(_under_the_current)),
        breaks="ANC-17",
        source=CONSTRUCTED,
        story="An outcome that comes late is logged as one of the current snapshot, under which"
        " nobody decided so.",
        scope=replace(MERGED, modes=(Mode.FULL,), late=True),
    ),
    Variant(
        name="RUN_LOGGED",
        machine=stepping("RUN_LOGGED", tampered(CloseGate, _run_logged)),
        breaks="ANC-18",
        source="openclaw-intelligence-core issue #11",
        story="What a gate tries out is logged as an outcome, and the next snapshot counts it.",
        scope=replace(BARE, gates=1),
        sole=True,
    ),
    Variant(
        name="SAME_EPOCH",
        machine=stepping("SAME_EPOCH", _same_epoch),
        breaks="ANC-19",
        source="openclaw-intelligence-core issue #10",
        story="Rows are rewritten, and no epoch begins.",
        scope=replace(MERGED, epochs=2),
        sole=True,
    ),
    Variant(
        name="DIGEST_OF_THE_NEW",
        machine=stepping("DIGEST_OF_THE_NEW", tampered(Rewrite, _digest_of_the_new)),
        breaks="ANC-19",
        source=CONSTRUCTED,
        story="The digest of a row is made anew when it is rewritten, and an honest retry is"
        " rejected as a conflict.",
        scope=replace(LOGGED, epochs=2, refusals=True),
        sole=True,
    ),
    Variant(
        name="MERGE_TRUNCATED",
        machine=stepping(
            "MERGE_TRUNCATED", accepting(Truncate, Refusal.NOT_EXACT, _although_refused)
        ),
        breaks="ANC-20",
        source=CONSTRUCTED,
        story="The rows that a merge counts are dropped, and no exact snapshot stands for them.",
        scope=replace(MERGED, truncations=True),
        sole=True,
    ),
    Variant(
        name="DRIFT_TRUNCATED",
        machine=stepping(
            "DRIFT_TRUNCATED", accepting(Truncate, Refusal.DRIFTED, _although_refused)
        ),
        breaks="ANC-20",
        source=CONSTRUCTED,
        story="Rows are dropped that a snapshot stands for which is not what they make.",
        scope=replace(COUNTED, truncations=True, backfills=True),
        sole=True,
    ),
    Variant(
        name="ALL_TRUNCATED",
        machine=stepping("ALL_TRUNCATED", _all_dropped),
        breaks="ANC-20",
        source=CONSTRUCTED,
        story="Rows behind the watermark are dropped as well, and nothing counts them.",
        scope=replace(COUNTED, truncations=True),
        sole=True,
    ),
    Variant(
        name="NAMES_TRUNCATED",
        machine=stepping("NAMES_TRUNCATED", tampered(Truncate, _names_dropped)),
        breaks="ANC-20",
        source=CONSTRUCTED,
        story="The ids of outcomes go with their rows, so a retry is a new outcome.",
        scope=replace(COUNTED, truncations=True),
    ),
)

_READERS: tuple[AnchoringVariant, ...] = (
    Variant(
        name="PINNED_BEFORE",
        machine=stepping("PINNED_BEFORE", tampered(OpenGate, _pinned_before)),
        breaks="ANC-21",
        source=CONSTRUCTED,
        story="A gate refreshes in one step and pins in another: it goes by one snapshot, and has"
        " pinned the one before.",
        scope=replace(MERGED, gates=1),
        sole=True,
    ),
    Variant(
        name="ABOUT_THE_CURRENT",
        machine=stepping("ABOUT_THE_CURRENT", tampered(CloseGate, _about_the_current)),
        breaks="ANC-22",
        source=CONSTRUCTED,
        story="A verdict names the snapshot that is current when the run is over.",
        scope=replace(MERGED, gates=1),
        sole=True,
    ),
    Variant(
        name="RUN_AGAIN",
        machine=stepping("RUN_AGAIN", _run_again),
        breaks="ANC-23",
        source=CONSTRUCTED,
        story="A run of the same name opens again, and its verdict is written over the first.",
        scope=replace(MERGED, gates=1),
        sole=True,
    ),
    Variant(
        name="VERDICTS_COLLECTED",
        machine=stepping("VERDICTS_COLLECTED", tampered(Collect, _verdicts_let_go)),
        breaks="ANC-23",
        source=CONSTRUCTED,
        story="A collection lets verdicts go, as if somebody held them until then.",
        scope=replace(BARE, gates=1, collections=(0,)),
    ),
    Variant(
        name="NEVER_OVER",
        machine=stepping("NEVER_OVER", _never_over),
        breaks="ANC-24",
        source=CONSTRUCTED,
        story="A pin holds its snapshot when its lease is over, for a reader that is gone.",
        scope=replace(BARE, times=(0, 5), pins=True, collections=(0,)),
        sole=True,
    ),
    Variant(
        name="PINNED_COLLECTED",
        machine=stepping("PINNED_COLLECTED", _blind_to(_without_pins)),
        breaks="ANC-24",
        source=CONSTRUCTED,
        story="A collection takes the snapshot that somebody reads.",
        scope=replace(BARE, losses=(Loss.MANIFEST,), pins=True, collections=(0,)),
    ),
    Variant(
        name="BASE_COLLECTED",
        machine=stepping("BASE_COLLECTED", _blind_to(_without_lineage)),
        breaks="ANC-24",
        source=CONSTRUCTED,
        story="A collection takes what the current snapshot was merged from.",
        scope=replace(MERGED, collections=(0,)),
    ),
    Variant(
        name="FOUNDATION_COLLECTED",
        machine=stepping("FOUNDATION_COLLECTED", _blind_to(_without_foundation)),
        breaks="ANC-24",
        source=CONSTRUCTED,
        story="A collection takes the snapshot that stands for rows that are gone.",
        scope=replace(MERGED, modes=(Mode.FULL,), truncations=True, collections=(0,)),
    ),
    Variant(
        name="JUDGED_COLLECTED",
        machine=stepping("JUDGED_COLLECTED", _blind_to(_without_verdicts)),
        breaks="ANC-24",
        source=CONSTRUCTED,
        story="A collection takes a snapshot that a verdict is about.",
        scope=replace(BARE, losses=(Loss.MANIFEST,), gates=1, collections=(0,)),
    ),
    Variant(
        name="RENEWED_TO_THE_CURRENT",
        machine=stepping("RENEWED_TO_THE_CURRENT", _to_the_current),
        breaks="ANC-25",
        source=CONSTRUCTED,
        story="A pin that is renewed moves to the current snapshot under its reader.",
        scope=replace(MERGED, times=(0, 5), pins=True),
        sole=True,
    ),
)

_ANSWERS: tuple[AnchoringVariant, ...] = (
    Variant(
        name="ALL_EPOCHS_AUDITED",
        machine=stepping("ALL_EPOCHS_AUDITED", retold(Audited, _of_all_epochs)),
        breaks="ANC-26",
        source=CONSTRUCTED,
        story="An audit holds snapshots of an old epoch to the log of this one, and each rewriting"
        " is reported as drift.",
        scope=replace(COUNTED, epochs=2, drift=True),
        sole=True,
    ),
    Variant(
        name="RED_FOR_EVER",
        machine=stepping("RED_FOR_EVER", retold(Audited, _red_for_ever)),
        breaks="ANC-26",
        source=CONSTRUCTED,
        story="A snapshot that drifted was replaced by a rebuild and is kept for its verdict; every"
        " audit reports it as if nobody had mended anything.",
        scope=replace(MERGED, backfills=True, drift=True),
    ),
    Variant(
        name="NOBODY_TOLD",
        machine=stepping("NOBODY_TOLD", retold(Audited, _nobody_told)),
        breaks="ANC-26",
        source=CONSTRUCTED,
        story="An audit finds a snapshot that is wrong and does not say who reads it.",
        scope=replace(COUNTED, backfills=True, drift=True, pins=True),
    ),
    Variant(
        name="CREDITED_BY_PLACE",
        machine=stepping("CREDITED_BY_PLACE", _since_it_was_published),
        breaks="ANC-27",
        source=CONSTRUCTED,
        story="A snapshot is credited with what was logged behind it, whoever decided it.",
        scope=replace(COUNTED, late=True),
        sole=True,
    ),
    Variant(
        name="RESET_WHEN_REFUSED",
        machine=stepping("RESET_WHEN_REFUSED", _reset_when_refused),
        breaks="ANC-28",
        source=CONSTRUCTED,
        story="A merge is refused, and the live delta that could not be merged is dropped.",
        scope=replace(MERGED, outcomes=0, modes=(Mode.AUTO, Mode.DELTA), configs=("", "other")),
        sole=True,
    ),
    Variant(
        name="AUDIT_REPAIRS",
        machine=stepping("AUDIT_REPAIRS", _repaired),
        breaks="ANC-28",
        source=CONSTRUCTED,
        story="An audit repairs what it finds, and whoever pinned it reads something else now.",
        scope=replace(MERGED, backfills=True, drift=True),
    ),
    Variant(
        name="UNPINNED_BY_AN_OUTCOME",
        machine=stepping("UNPINNED_BY_AN_OUTCOME", tampered(Record, _unpinned)),
        breaks="ANC-41",
        source=CONSTRUCTED,
        story="An outcome that is logged lets every pin go.",
        scope=replace(COUNTED, pins=True),
        sole=True,
    ),
    Variant(
        name="PROMOTED_IN_PLACE",
        machine=stepping("PROMOTED_IN_PLACE", tampered(CloseGate, _promoted_in_place)),
        breaks="ANC-41",
        source=CONSTRUCTED,
        story="A gate that promotes makes the snapshot current that it went by, over a newer one.",
        scope=replace(MERGED, gates=1),
    ),
)

VARIANTS: tuple[AnchoringVariant, ...] = (*_ABOUT_THE_LOG, *_READERS, *_ANSWERS)
"""Variants that break ANC-17 to ANC-28, and ANC-41."""
