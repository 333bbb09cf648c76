"""What anchoring sometimes reaches (chapter ``spec/anchoring.md``, "About reach")."""

from collections.abc import Callable

from plumbline_models.anchoring import queries
from plumbline_models.anchoring.values import (
    CloseGate,
    Collect,
    Collected,
    Event,
    GateClosed,
    GateOpened,
    Live,
    OpenGate,
    Outcome,
    Placed,
    Record,
    Recorded,
    Refresh,
    Refreshed,
    State,
)
from plumbline_models.contract import SometimesClause
from plumbline_models.decisions.refreshing import Reason, Way

Reached = Callable[[State, Event, Outcome, State], bool]


def about_reach() -> tuple[SometimesClause[State, Event, Outcome], ...]:
    """Return the clauses about what is reached."""
    return (
        _sometimes(
            "ANC-29",
            "late",
            "Sometimes an outcome is logged that was decided under an earlier snapshot than the"
            " current one.",
            _late,
        ),
        _sometimes(
            "ANC-30",
            "old, though fresh",
            "Sometimes exactness is too old, and the snapshot, which a merge made, is not.",
            _old_though_fresh,
        ),
        _sometimes(
            "ANC-31",
            "no merge at all",
            "Sometimes windows allow no merge, and an outcome that could be merged is counted by a"
            " rebuild.",
            lambda _before, event, outcome, _after: (
                isinstance(event, Refresh)
                and isinstance(outcome, Refreshed)
                and event.windows.merges == 0
                and outcome.reason is Reason.COMPACTION_DUE_TO_DELTA_COUNT
            ),
        ),
        _sometimes(
            "ANC-32",
            "seen by the chain",
            "Sometimes a script has rewritten what the current snapshot counts, nobody was told,"
            " and a refresh sees it.",
            lambda _before, event, outcome, _after: (
                isinstance(event, Refresh)
                and isinstance(outcome, Refreshed)
                and not event.drift
                and outcome.reason is Reason.DRIFT_DETECTED
            ),
        ),
        _sometimes(
            "ANC-33",
            "doubted",
            "Sometimes a verdict is doubted, because the current snapshot is known to be wrong.",
            lambda _before, _event, outcome, _after: (
                isinstance(outcome, Refreshed) and bool(outcome.doubted)
            ),
        ),
        _sometimes(
            "ANC-34",
            "from the foundation",
            "Sometimes a rebuild counts outcomes whose rows are gone.",
            lambda before, _event, outcome, _after: (
                isinstance(outcome, Refreshed)
                and outcome.foundation is not None
                and bool(before.truncated)
                and bool(before.log)
            ),
        ),
        _sometimes(
            "ANC-35",
            "known though gone",
            "Sometimes an outcome is handed again whose row is gone, and is not logged twice.",
            lambda before, event, outcome, _after: (
                isinstance(event, Record)
                and isinstance(outcome, Recorded)
                and any(
                    isinstance(answer, Placed)
                    and answer.repeated
                    and answer.position <= queries.beginning_of(before)
                    for answer in outcome.answers
                )
            ),
        ),
        _sometimes(
            "ANC-36",
            "a gate merges",
            "Sometimes the refresh of a gate is a merge.",
            lambda _before, event, outcome, _after: (
                isinstance(event, OpenGate)
                and isinstance(outcome, GateOpened)
                and outcome.way is Way.DELTA_MERGE
            ),
        ),
        _sometimes(
            "ANC-37",
            "moved on",
            "Sometimes a gate closes whose snapshot is not current any more.",
            lambda before, event, outcome, _after: (
                isinstance(event, CloseGate)
                and isinstance(outcome, GateClosed)
                and outcome.snapshot != before.current
            ),
        ),
        _sometimes(
            "ANC-38",
            "spared",
            "Sometimes a collection spares a snapshot for the one alone that was merged from it.",
            _spared,
        ),
        _sometimes(
            "ANC-39",
            "left alone",
            "Sometimes an outcome is logged and the live delta, which ends elsewhere, is left.",
            lambda before, event, _outcome, after: (
                isinstance(event, Record)
                and isinstance(before.live, Live)
                and after.live == before.live
                and after.log != before.log
            ),
        ),
    )


def _sometimes(
    name: str, title: str, sentence: str, reached: Reached
) -> SometimesClause[State, Event, Outcome]:
    return SometimesClause(id=name, title=title, sentence=sentence, reached=reached)


def _late(before: State, event: Event, outcome: Outcome, after: State) -> bool:
    del outcome
    if not isinstance(event, Record) or before.current is None:
        return False
    new = after.log[len(before.log) :]
    return any(one.under is not None and one.under < before.current for one in new)


def _old_though_fresh(before: State, event: Event, outcome: Outcome, after: State) -> bool:
    del after
    at = queries.current_of(before)
    return (
        at is not None
        and isinstance(event, Refresh)
        and isinstance(outcome, Refreshed)
        and outcome.reason is Reason.COMPACTION_DUE_TO_EXACT_LINEAGE_AGE
        and at.merged > 0
        and event.now - at.generated_at < event.windows.reuse
    )


def _spared(before: State, event: Event, outcome: Outcome, after: State) -> bool:
    if not isinstance(event, Collect) or not isinstance(outcome, Collected) or event.keep:
        return False
    held = {one.snapshot for one in after.pins} | {one.snapshot for one in before.verdicts}
    return any(
        one.id not in held and one.id not in (after.current, after.foundation)
        for one in after.snapshots
    )
