"""The model of anchoring by itself: guards, refreshes, damage, readers, clauses broken by hand."""

import re

import msgspec
import pytest
from msgspec.structs import replace

from plumbline_models import anchoring
from plumbline_models.anchoring import (
    Audit,
    Audited,
    Backfill,
    CloseGate,
    Collect,
    Collected,
    Correction,
    Credit,
    Credited,
    Drift,
    Event,
    GateClosed,
    GateId,
    GateOpened,
    Ineligible,
    Key,
    Known,
    Live,
    Lose,
    Loss,
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
    SnapshotId,
    Source,
    State,
    Torn,
    Truncate,
    Truncated,
    Unpin,
    Verdict,
)
from plumbline_models.contract import StateClause, StepClause
from plumbline_models.decisions.refreshing import Mode, Reason, Way, Windows
from plumbline_models.decisions.statistics import fold, merge
from plumbline_spec.codec import canonical, digest_of
from tests.anchoring import draft, key, recording
from tests.plans import SPEC

MACHINE = anchoring.machine()
RULES = {one.name: anchoring.machine(one) for one in anchoring.RULE_SETS}
FULL = Refresh(now=0, mode=Mode.FULL)
AUTO = Refresh(now=0)
DELTA = Refresh(now=0, mode=Mode.DELTA)
GATE, PIN = GateId("g"), PinId("p")
CLOSE = CloseGate(
    gate=GATE, snapshot=SnapshotId(1), candidate="c", result="100/100/0", promoted=True
)
ONE, TWO, THREE = (recording([number]) for number in (1, 2, 3))


def open_gate(now: int = 0, mode: Mode = Mode.AUTO) -> OpenGate:
    return OpenGate(gate=GATE, owner="judge", now=now, mode=mode)


def taken(*events: Event, rules: str = "SPEC") -> tuple[State, list[Outcome]]:
    """Return the state after events, and what each came to."""
    state, outcomes = MACHINE.initial, list[Outcome]()
    for event in events:
        state, outcome = RULES[rules].step(state, event)
        outcomes.append(outcome)
    return state, outcomes


def last(*events: Event, rules: str = "SPEC") -> Outcome:
    return taken(*events, rules=rules)[1][-1]


def refreshed(*events: Event, rules: str = "SPEC") -> Refreshed:
    found = last(*events, rules=rules)
    assert isinstance(found, Refreshed), found
    return found


def totals(state: State) -> dict[Key, tuple[int, int]]:
    """Return count and total of each key in the current snapshot."""
    (current,) = (one for one in state.snapshots if one.id == state.current)
    return {one.key: (one.statistics.count, one.statistics.total) for one in current.statistics}


# Logging


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"reward": 10**6 + 1}, Refusal.REWARD_OUT_OF_RANGE),
        ({"reward": -(10**6) - 1}, Refusal.REWARD_OUT_OF_RANGE),
        ({"source": Source.GATE}, Refusal.GATE_OUTCOME),
        ({"under": SnapshotId(1)}, Refusal.UNKNOWN_SNAPSHOT),
        ({"under": SnapshotId(0)}, Refusal.UNKNOWN_SNAPSHOT),
    ],
    ids=["above", "below", "gate", "never issued", "zero"],
)
def test_what_is_no_outcome_is_rejected_and_leaves_the_others(
    change: dict[str, object], reason: Refusal
) -> None:
    """ANC-17."""
    state, (found,) = taken(Record(drafts=(draft(1), replace(draft(2), **change), draft(3))))
    assert found == Recorded(
        answers=(
            Placed(position=Position(1)),
            Rejected(reason=reason),
            Placed(position=Position(2)),
        )
    )
    assert [row.outcome for row in state.log] == ["o1", "o3"]


@pytest.mark.parametrize("reward", [-(10**6), 0, 10**6])
def test_rewards_at_the_edges_are_logged(reward: int) -> None:
    state, _ = taken(Record(drafts=(draft(1, reward=reward),)))
    assert [row.reward for row in state.log] == [reward]


def test_the_same_outcome_again_has_the_same_position_and_another_one_is_rejected() -> None:
    """ANC-17."""
    again = Record(drafts=(draft(1), replace(draft(1), reward=0), replace(draft(1), key=key(9))))
    state, outcomes = taken(TWO, ONE, again)
    conflict = Rejected(reason=Refusal.OUTCOME_CONFLICT)
    assert outcomes[-1] == Recorded(
        answers=(Placed(position=Position(2), repeated=True), conflict, conflict)
    )
    assert len(state.log) == 2


def test_a_late_outcome_is_credited_to_the_snapshot_that_it_was_decided_under() -> None:
    """ANC-27."""
    late = recording([2], under=1)
    state, outcomes = taken(ONE, FULL, FULL, late, Credit(snapshot=SnapshotId(1)))
    assert state.log[-1].under == 1
    assert state.current == 2
    assert isinstance(outcomes[-1], Credited)
    assert [one.statistics.count for one in outcomes[-1].statistics] == [1]
    assert last(ONE, FULL, FULL, late, Credit(snapshot=SnapshotId(2))) == Credited(statistics=())


def test_nothing_at_all_is_refused() -> None:
    assert last(Record(drafts=())) == Refused(reason=Refusal.EMPTY_BATCH)
    assert last(Rewrite(corrections=())) == Refused(reason=Refusal.EMPTY_BATCH)


# Refreshing


def test_a_merge_and_a_rebuild_come_to_the_same() -> None:
    """ANC-1, ANC-8."""
    events = (recording(range(10), keys=3), AUTO, recording(range(10, 17), keys=4))
    merged, rebuilt = taken(*events, AUTO)[0], taken(*events, FULL)[0]
    assert totals(merged) == totals(rebuilt)
    assert [one.way for one in merged.snapshots] == [Way.FULL_REBUILD, Way.DELTA_MERGE]
    assert merged.snapshots[-1].statistics == rebuilt.snapshots[-1].statistics


def test_the_story_of_the_request() -> None:
    """First a rebuild, one fresh outcome, then a merge; the live delta is empty and re-anchored."""
    state, outcomes = taken(ONE, AUTO, TWO, AUTO)
    assert outcomes[1] == Refreshed(
        way=Way.FULL_REBUILD,
        reason=Reason.NO_SNAPSHOT,
        snapshot=SnapshotId(1),
        previous=None,
        watermark=Position(1),
        rows_read=1,
        rows_written=1,
    )
    assert outcomes[3] == Refreshed(
        way=Way.DELTA_MERGE,
        reason=Reason.LIVE_DELTA,
        snapshot=SnapshotId(2),
        previous=SnapshotId(1),
        watermark=Position(2),
        rows_read=1,
        rows_written=1,
    )
    assert isinstance(state.live, Live)
    assert (state.live.anchor, state.live.lo, state.live.hi) == (2, 2, 2)
    assert state.live.statistics == ()


@pytest.mark.parametrize(
    ("before", "event", "reason"),
    [
        ((ONE,), AUTO, Reason.NO_SNAPSHOT),
        ((ONE, AUTO, Lose(what=Loss.MANIFEST)), AUTO, Reason.MANIFEST_INVALID),
        ((ONE, AUTO, Lose(what=Loss.LIVE_ABSENT)), AUTO, Reason.LIVE_ABSENT),
        ((ONE, AUTO, Lose(what=Loss.LIVE_TORN)), AUTO, Reason.LIVE_CORRUPT),
        ((ONE, AUTO, Lose(what=Loss.LIVE_FOREIGN)), AUTO, Reason.ANCHOR_MISMATCH),
        ((ONE, AUTO, TWO, Lose(what=Loss.LIVE_STALE)), AUTO, Reason.COVERAGE_GAP),
        ((ONE, AUTO), replace(AUTO, config="other"), Reason.CONFIG_MISMATCH),
        ((ONE, AUTO), replace(AUTO, drift=True), Reason.DRIFT_DETECTED),
        (
            (ONE, AUTO, Backfill(outcome=OutcomeId("o1"), reward=5)),
            AUTO,
            Reason.DRIFT_DETECTED,
        ),
        (
            (ONE, AUTO, TWO, Backfill(outcome=OutcomeId("o2"), reward=5)),
            AUTO,
            Reason.DRIFT_DETECTED,
        ),
        ((ONE, AUTO), FULL, Reason.FORCED),
    ],
    ids=[
        "none published",
        "manifest lost",
        "live absent",
        "live torn",
        "live foreign",
        "live stale",
        "another configuration",
        "an audit",
        "a script below the watermark",
        "a script behind it",
        "forced",
    ],
)
def test_whatever_is_wrong_costs_a_rebuild_and_nothing_else(
    before: tuple[Event, ...], event: Refresh, reason: Reason
) -> None:
    """ANC-7, ANC-8."""
    state, outcomes = taken(*before, event)
    found = outcomes[-1]
    assert isinstance(found, Refreshed)
    assert (found.way, found.reason) == (Way.FULL_REBUILD, reason)
    assert sum(count for count, _ in totals(state).values()) == len(state.log)
    if event.mode is not Mode.FULL:
        forced = replace(event, mode=Mode.DELTA)
        kept, answers = taken(*before, forced)
        assert answers[-1] == Ineligible(reason=reason)
        assert kept == taken(*before)[0]


def test_a_torn_delta_stays_torn_until_it_is_anchored_anew() -> None:
    torn, _ = taken(ONE, AUTO, Lose(what=Loss.LIVE_TORN), TWO)
    assert torn.live == Torn()
    assert isinstance(taken(ONE, AUTO, Lose(what=Loss.LIVE_TORN), TWO, AUTO)[0].live, Live)


def test_a_delta_of_a_log_that_was_rewritten_is_not_extended() -> None:
    """ANC-16: else its chain would be the log's again, and the rewriting seen by nobody."""
    events = (ONE, AUTO, TWO, Backfill(outcome=OutcomeId("o2"), reward=5), THREE)
    before, after = taken(*events[:-1])[0], taken(*events)[0]
    assert after.live == before.live
    assert refreshed(*events, AUTO).way is Way.FULL_REBUILD


def test_a_window_of_zero_is_what_it_says() -> None:
    """ANC-9."""
    none = Windows(reuse=0, merges=0, exact=0)
    again = replace(AUTO, windows=none)
    assert refreshed(ONE, AUTO, again).reason is Reason.COMPACTION_DUE_TO_SNAPSHOT_AGE
    assert refreshed(ONE, AUTO, TWO, again).reason is Reason.COMPACTION_DUE_TO_DELTA_COUNT
    assert refreshed(ONE, AUTO, again, rules="ISSUE_14").way is Way.REUSED_SNAPSHOT
    later = replace(again, now=1, windows=replace(none, merges=9))
    assert refreshed(ONE, AUTO, TWO, later).reason is Reason.COMPACTION_DUE_TO_EXACT_LINEAGE_AGE


def test_merges_do_not_renew_the_age_of_exactness() -> None:
    """ANC-6, ANC-9: issue 14 took it from the last publication."""
    windows = Windows(reuse=0, merges=99, exact=20)
    events: list[Event] = [ONE, AUTO]
    for moment in range(10, 40, 10):
        number = moment // 10 + 1
        events += [recording([number]), Refresh(now=moment, windows=windows)]
    ways = [one.way for one in taken(*events)[1] if isinstance(one, Refreshed)]
    assert ways == [Way.FULL_REBUILD, Way.DELTA_MERGE, Way.DELTA_MERGE, Way.FULL_REBUILD]
    ways = [one.way for one in taken(*events, rules="ISSUE_14")[1] if isinstance(one, Refreshed)]
    assert ways == [Way.FULL_REBUILD, *[Way.DELTA_MERGE] * 3]


@pytest.mark.parametrize(
    ("back", "reason"),
    [
        (0, Reason.WITHIN_REUSE_WINDOW),
        (9, Reason.WITHIN_REUSE_WINDOW),
        (10, Reason.COMPACTION_DUE_TO_SNAPSHOT_AGE),
        (20, Reason.COMPACTION_DUE_TO_SNAPSHOT_AGE),
        (21, Reason.COMPACTION_DUE_TO_EXACT_LINEAGE_AGE),
    ],
)
def test_a_clock_that_was_ahead_keeps_nothing_fresh(back: int, reason: Reason) -> None:
    """ANC-9: an age is the distance of two moments, whichever is later."""
    windows = Windows(reuse=10, merges=1, exact=20)
    for first, now in ((100, 100 - back), (100, 100 + back)):
        assert (
            refreshed(ONE, Refresh(now=first), Refresh(now=now, windows=windows)).reason is reason
        )


def test_what_the_last_refresh_did_is_known() -> None:
    """ANC-42."""
    refreshes = (FULL, AUTO, TWO, AUTO, AUTO)
    states = [taken(ONE, *refreshes[: number + 1])[0] for number in range(len(refreshes))]
    assert [state.reused for state in states] == [False, True, True, False, True]


def test_a_gate_may_reuse_as_well() -> None:
    """ANC-42."""
    assert taken(ONE, FULL, open_gate())[0].reused


def test_who_expects_another_snapshot_is_refused() -> None:
    """ANC-11."""
    superseded = Refused(reason=Refusal.SUPERSEDED)
    assert last(ONE, replace(FULL, expects=SnapshotId(1))) == superseded
    assert isinstance(last(ONE, replace(FULL, expects=SnapshotId(0))), Refreshed)
    assert last(ONE, FULL, replace(FULL, expects=SnapshotId(0))) == superseded
    assert isinstance(last(ONE, FULL, replace(FULL, expects=SnapshotId(1))), Refreshed)


def test_a_stale_copy_loses_outcomes_where_coverage_is_not_asked() -> None:
    """The request asked for the anchor alone."""
    events = (ONE, AUTO, TWO, Lose(what=Loss.LIVE_STALE), AUTO)
    assert sum(count for count, _ in totals(taken(*events)[0]).values()) == 2
    assert sum(count for count, _ in totals(taken(*events, rules="ISSUE_12")[0]).values()) == 1


def test_drift_doubts_the_verdicts_of_its_lineage() -> None:
    """ANC-15."""
    events = (ONE, AUTO, open_gate(), CLOSE, TWO, AUTO, replace(AUTO, drift=True))
    assert refreshed(*events).doubted == (GATE,)
    assert refreshed(*events[:-1], FULL, replace(AUTO, drift=True)).doubted == ()
    assert refreshed(*events[:-1], FULL).doubted == ()
    assert refreshed(*events[:-1], replace(FULL, drift=True)).doubted == (GATE,)


def test_verdicts_are_doubted_whatever_the_reason_of_the_rebuild_is() -> None:
    """ANC-15: of what drifted it matters that it did; a lawful rewriting is no drift."""
    read = (ONE, AUTO, open_gate(), CLOSE)
    script = Backfill(outcome=OutcomeId("o1"), reward=5)
    found = refreshed(*read, script, FULL)
    assert (found.reason, found.doubted) == (Reason.FORCED, (GATE,))
    found = refreshed(*read, script, Lose(what=Loss.LIVE_ABSENT), AUTO)
    assert (found.reason, found.doubted) == (Reason.LIVE_ABSENT, (GATE,))
    rewrite = Rewrite(corrections=(Correction(outcome=OutcomeId("o1"), key=key(1), reward=5),))
    found = refreshed(*read, rewrite, AUTO)
    assert (found.reason, found.doubted) == (Reason.EPOCH_MISMATCH, ())
    behind = Backfill(outcome=OutcomeId("o2"), reward=5)
    found = refreshed(*read, TWO, behind, AUTO)
    assert (found.reason, found.doubted) == (Reason.DRIFT_DETECTED, ())


# The log


def test_a_retracted_outcome_counts_nothing_and_begins_an_epoch() -> None:
    """ANC-19."""
    retract = Rewrite(corrections=(Correction(outcome=OutcomeId("o1"), key=key(1), reward=None),))
    state, outcomes = taken(ONE, TWO, AUTO, retract, AUTO)
    assert outcomes[-2] == Rewritten(epoch=anchoring.Epoch(2), changed=1)
    assert totals(state) == {key(0): (1, draft(2).reward)}
    assert state.snapshots[-1].reason is Reason.EPOCH_MISMATCH
    assert last(ONE, TWO, AUTO, retract, ONE) == Recorded(
        answers=(Placed(position=Position(1), repeated=True),)
    )


def test_a_rewriting_that_changes_nothing_begins_no_epoch() -> None:
    same = Correction(outcome=OutcomeId("o1"), key=draft(1).key, reward=draft(1).reward)
    assert last(ONE, Rewrite(corrections=(same,))) == Rewritten(epoch=anchoring.Epoch(1), changed=0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"outcome": OutcomeId("nobody")}, Refusal.UNKNOWN_OUTCOME),
        ({"outcome": OutcomeId("o1")}, Refusal.TRUNCATED_OUTCOME),
        ({"reward": 10**6 + 1}, Refusal.REWARD_OUT_OF_RANGE),
    ],
)
def test_a_rewriting_is_done_whole_or_not_at_all(
    change: dict[str, object], reason: Refusal
) -> None:
    right = Correction(outcome=OutcomeId("o2"), key=key(0), reward=5)
    wrong = replace(right, outcome=OutcomeId("o3"))
    wrong = replace(wrong, **change)
    events = (ONE, FULL, Truncate(snapshot=SnapshotId(1)), TWO, THREE)
    before = taken(*events)[0]
    after, outcomes = taken(*events, Rewrite(corrections=(right, wrong)))
    assert (outcomes[-1], after) == (Refused(reason=reason), before)
    twice = Rewrite(corrections=(right, right))
    assert last(*events, twice) == Refused(reason=Refusal.REPEATED_OUTCOME)


def test_a_rebuild_begins_with_the_foundation_and_an_outcome_stays_known() -> None:
    """ANC-20."""
    events = (ONE, TWO, FULL, THREE, Truncate(snapshot=SnapshotId(1)), FULL)
    state, outcomes = taken(*events)
    assert outcomes[-2] == Truncated(removed=2)
    found = outcomes[-1]
    assert isinstance(found, Refreshed)
    assert (found.foundation, found.rows_read, found.watermark) == (1, 1, 3)
    assert state.snapshots[-1].statistics == taken(ONE, TWO, THREE, FULL)[0].snapshots[0].statistics
    assert [type(one) for one in state.truncated] == [Known, Known]
    assert last(*events, TWO) == Recorded(answers=(Placed(position=Position(2), repeated=True),))
    conflict = Record(drafts=(replace(draft(2), reward=0),))
    assert last(*events, conflict) == Recorded(answers=(Rejected(reason=Refusal.OUTCOME_CONFLICT),))


@pytest.mark.parametrize(
    ("events", "snapshot", "reason"),
    [
        ((ONE, FULL), 9, Refusal.UNKNOWN_SNAPSHOT),
        ((ONE, FULL, Lose(what=Loss.MANIFEST)), 1, Refusal.MANIFEST_INVALID),
        ((ONE, FULL, TWO, DELTA), 2, Refusal.NOT_EXACT),
        (
            (
                ONE,
                FULL,
                Rewrite(corrections=(Correction(outcome=OutcomeId("o1"), key=key(1), reward=5),)),
            ),
            1,
            Refusal.OLD_EPOCH,
        ),
        (
            (ONE, FULL, TWO, FULL, Truncate(snapshot=SnapshotId(2))),
            1,
            Refusal.BELOW_FOUNDATION,
        ),
        ((ONE, FULL, Backfill(outcome=OutcomeId("o1"), reward=5)), 1, Refusal.DRIFTED),
    ],
)
def test_only_an_exact_snapshot_of_this_log_stands_for_its_rows(
    events: tuple[Event, ...], snapshot: int, reason: Refusal
) -> None:
    """ANC-20."""
    before = taken(*events)[0]
    after, outcomes = taken(*events, Truncate(snapshot=SnapshotId(snapshot)))
    assert (outcomes[-1], after) == (Refused(reason=reason), before)


def test_an_audit_names_what_drifted_and_nothing_of_other_epochs() -> None:
    """ANC-26."""
    script = Backfill(outcome=OutcomeId("o1"), reward=5)
    rewrite = Rewrite(corrections=(Correction(outcome=OutcomeId("o1"), key=key(1), reward=5),))
    assert last(ONE, FULL, Audit()) == Audited(judged=1, drifted=(), live_drifted=False)
    assert last(ONE, FULL, script, FULL, Audit()) == Audited(
        judged=2, drifted=(drift(superseded_by=2),), live_drifted=False
    )
    assert last(ONE, FULL, TWO, Backfill(outcome=OutcomeId("o2"), reward=5), Audit()) == Audited(
        judged=1, drifted=(), live_drifted=True
    )
    assert last(ONE, FULL, rewrite, FULL, Audit()) == Audited(
        judged=1, drifted=(), live_drifted=False
    )


def test_an_audit_says_whom_it_concerns_and_what_came_after() -> None:
    """ANC-26."""
    script = Backfill(outcome=OutcomeId("o1"), reward=5)
    close = replace(CLOSE, snapshot=SnapshotId(1))
    pin = Pin(pin=PinId("p1"), owner="reader", now=0, snapshot=SnapshotId(1))
    read = (ONE, FULL, open_gate(), close, pin, script)
    told = drift(superseded_by=None, gates=(GATE,), pins=(PinId("p1"),))
    assert last(*read, Audit()) == Audited(judged=1, drifted=(told,), live_drifted=False)
    assert last(*read, FULL, FULL, Audit()) == Audited(
        judged=3, drifted=(replace(told, superseded_by=SnapshotId(2)),), live_drifted=False
    )
    again = Backfill(outcome=OutcomeId("o1"), reward=7)
    found = last(*read, FULL, again, FULL, Audit())
    assert isinstance(found, Audited)
    third = SnapshotId(3)
    assert [(one.snapshot, one.superseded_by) for one in found.drifted] == [(1, third), (2, third)]


def drift(
    superseded_by: int | None, gates: tuple[GateId, ...] = (), pins: tuple[PinId, ...] = ()
) -> Drift:
    by = None if superseded_by is None else SnapshotId(superseded_by)
    return Drift(snapshot=SnapshotId(1), superseded_by=by, gates=gates, pins=pins)


# Readers


def test_a_gate_goes_by_its_snapshot_while_others_publish() -> None:
    """ANC-21, ANC-22."""
    close = replace(CLOSE, snapshot=SnapshotId(2))
    state, outcomes = taken(ONE, AUTO, TWO, open_gate(), THREE, FULL, Collect(now=0), close)
    assert outcomes[3] == GateOpened(
        snapshot=SnapshotId(2), way=Way.DELTA_MERGE, reason=Reason.LIVE_DELTA
    )
    assert outcomes[-2] == Collected(snapshots=(), pins=())
    assert outcomes[-1] == GateClosed(snapshot=SnapshotId(2))
    assert state.verdicts == (
        Verdict(
            gate=GATE, snapshot=SnapshotId(2), candidate="c", result="100/100/0", promoted=True
        ),
    )
    assert (state.current, state.pins) == (3, ())


def test_a_run_that_lost_its_pin_has_no_verdict_by_that_of_another_run() -> None:
    """ANC-22: its lease was over, and somebody else opened a gate of its name."""
    mine = replace(open_gate(), expires=5)
    later = (Collect(now=5, keep=9), ONE, FULL, open_gate(6), CLOSE)
    assert last(FULL, mine, *later) == Refused(reason=Refusal.NOT_PINNED)
    theirs = replace(CLOSE, snapshot=SnapshotId(2))
    assert last(FULL, mine, *later, theirs) == GateClosed(snapshot=SnapshotId(2))


def test_a_gate_leaves_log_and_epoch() -> None:
    """ANC-18."""
    before, after = taken(ONE, TWO)[0], taken(ONE, TWO, open_gate(), CLOSE)[0]
    assert (after.log, after.epoch) == (before.log, before.epoch)


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ((ONE, open_gate(), open_gate()), Refusal.GATE_EXISTS),
        ((ONE, open_gate(), CLOSE, open_gate()), Refusal.GATE_EXISTS),
        ((ONE, open_gate(), CLOSE, CLOSE), Refusal.GATE_EXISTS),
        ((ONE, replace(open_gate(5), expires=5)), Refusal.LEASE_OVER),
        ((ONE, CLOSE), Refusal.NOT_PINNED),
        ((ONE, FULL, Pin(pin=PinId(GATE), owner="r", now=0), CLOSE), Refusal.NOT_PINNED),
        (
            (ONE, replace(open_gate(), expires=5), Collect(now=5, keep=9), CLOSE),
            Refusal.NOT_PINNED,
        ),
        ((Pin(pin=PIN, owner="r", now=0),), Refusal.UNKNOWN_SNAPSHOT),
        (
            (ONE, FULL, Pin(pin=PIN, owner="r", now=0), Pin(pin=PIN, owner="r", now=0)),
            Refusal.PIN_EXISTS,
        ),
        ((ONE, FULL, Pin(pin=PIN, owner="r", now=5, expires=5)), Refusal.LEASE_OVER),
        (
            (ONE, FULL, Pin(pin=PIN, owner="r", now=0), Renew(pin=PIN, now=5, expires=5)),
            Refusal.LEASE_OVER,
        ),
        ((Renew(pin=PIN, now=0),), Refusal.UNKNOWN_PIN),
        ((Unpin(pin=PIN),), Refusal.UNKNOWN_PIN),
        ((Credit(snapshot=SnapshotId(1)),), Refusal.UNKNOWN_SNAPSHOT),
        ((Backfill(outcome=OutcomeId("o1"), reward=0),), Refusal.UNKNOWN_OUTCOME),
        ((Lose(what=Loss.MANIFEST),), Refusal.NOTHING_TO_LOSE),
        ((Lose(what=Loss.LIVE_TORN),), Refusal.NOTHING_TO_LOSE),
        ((ONE, FULL, Lose(what=Loss.LIVE_STALE)), Refusal.NOTHING_TO_LOSE),
    ],
)
def test_what_cannot_be_done_is_refused(events: tuple[Event, ...], reason: Refusal) -> None:
    """ANC-28."""
    before = taken(*events[:-1])[0]
    after, outcomes = taken(*events)
    assert (outcomes[-1], after) == (Refused(reason=reason), before)


def test_a_lease_holds_until_it_is_over_and_can_be_renewed() -> None:
    """ANC-24, ANC-25."""
    pinned = (ONE, FULL, Pin(pin=PIN, owner="r", now=0, expires=10), FULL)
    assert last(*pinned, Collect(now=9)) == Collected(snapshots=(), pins=())
    assert last(*pinned, Collect(now=10)) == Collected(snapshots=(SnapshotId(1),), pins=(PIN,))
    renewed = (*pinned, Renew(pin=PIN, now=9, expires=20))
    assert last(*renewed) == Pinned(snapshot=SnapshotId(1))
    assert last(*renewed, Collect(now=10)) == Collected(snapshots=(), pins=())


def test_a_collection_spares_what_is_needed_and_what_it_was_merged_from() -> None:
    """ANC-24."""
    merging = (ONE, FULL, TWO, DELTA, THREE, DELTA)
    assert last(*merging, Collect(now=0)) == Collected(snapshots=(), pins=())
    pinned = Pin(pin=PIN, owner="r", now=0, snapshot=SnapshotId(2))
    gone = Collected(snapshots=(SnapshotId(3),), pins=())
    assert last(*merging, pinned, FULL, Collect(now=0)) == gone
    every = Collected(snapshots=(SnapshotId(1), SnapshotId(2), SnapshotId(3)), pins=())
    assert last(*merging, FULL, Collect(now=0)) == every
    assert last(*merging, FULL, Collect(now=0, keep=1)) == every
    assert last(*merging, FULL, Collect(now=0, keep=2)) == Collected(snapshots=(), pins=())


def test_the_foundation_is_not_collected() -> None:
    events = (ONE, FULL, TWO, FULL, Truncate(snapshot=SnapshotId(1)), FULL, Collect(now=0))
    assert last(*events) == Collected(snapshots=(SnapshotId(2),), pins=())


# Clauses, broken by hand


def whole() -> State:
    """Return a state with something in every part."""
    events = (ONE, FULL, TWO, DELTA, open_gate(), CLOSE, Pin(pin=PIN, owner="r", now=0), THREE)
    return taken(*events)[0]


def broken(state: State) -> set[str]:
    return {
        one.id
        for one in MACHINE.clauses
        if isinstance(one, StateClause) and one.breaks(state) is not None
    }


def edited(state: State, number: int, **changes: object) -> State:
    """Return a state with a snapshot that is another one."""
    snapshots = list(state.snapshots)
    snapshots[number] = replace(snapshots[number], **changes)
    return replace(state, snapshots=tuple(snapshots))


def test_a_whole_state_breaks_no_clause() -> None:
    assert broken(whole()) == set()


def test_each_clause_about_states_sees_what_it_is_about() -> None:
    state = whole()
    assert isinstance(state.live, Live)
    (counted,) = state.live.statistics
    more = replace(counted, statistics=merge(counted.statistics, fold([1])))
    row = state.log[1]
    known = Known(position=Position(1), outcome=row.outcome, digest=row.digest)
    for clause, changed in (
        ("ANC-1", edited(state, 1, statistics=())),
        ("ANC-2", replace(state, live=replace(state.live, statistics=(more,)))),
        ("ANC-3", replace(state, truncated=(known,))),
        ("ANC-4", replace(state, log=(state.log[0], replace(row, reward=5), state.log[2]))),
        ("ANC-5", replace(state, current=SnapshotId(9))),
        ("ANC-5", replace(state, foundation=SnapshotId(9))),
        ("ANC-6", edited(state, 1, merged=2)),
        ("ANC-6", edited(state, 0, exact_at=7)),
    ):
        assert clause in broken(changed), clause


def test_each_witness_names_its_row_and_both_sides() -> None:
    clauses = {one.id: one for one in MACHINE.clauses if isinstance(one, StateClause)}
    found = clauses["ANC-1"].breaks(edited(whole(), 0, statistics=()))
    assert str(found) == ("snapshot 1, key family 0/plan 1/auto: nothing, logged is 1 outcomes")
    found = clauses["ANC-5"].breaks(replace(whole(), current=SnapshotId(9)))
    assert str(found) == "the manifest: names snapshot 9, which is gone"


def test_clauses_about_steps_see_a_step_that_did_something_else() -> None:
    """Each event's right outcome, after which everything is as it was: somebody notices."""
    clauses = [one for one in MACHINE.clauses if isinstance(one, StepClause)]
    state = whole()
    for event in (recording([4]), FULL, Unpin(pin=PIN), replace(open_gate(), gate=GateId("h"))):
        after, outcome = MACHINE.step(state, event)
        assert after != state
        noticed = [
            one.id
            for one in clauses
            if one.applies(type(event), type(outcome))
            and one.breaks(state, event, outcome, state) is not None
        ]
        assert noticed, event


def test_the_example_of_digests_and_chains_in_the_chapter_is_right() -> None:
    page = (SPEC / "anchoring.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"^\| ([^|`]+) \| `([^`]+)` \|$", section_of(page), re.MULTILINE))
    drafts = [msgspec.json.decode(shown["a draft"], type=anchoring.Draft)]
    drafts.append(replace(drafts[0], outcome=OutcomeId("o2"), reward=-998))
    state, _ = taken(Record(drafts=tuple(drafts)))
    assert canonical(drafts[0]).decode() == shown["a draft"]
    row = shown["its row in the chain"].encode()
    assert state.log[0].digest == shown["its digest"]
    assert state.log[0].chain == shown["the chain there"] == digest_of(row)
    behind = "the chain behind it, of `o2` with a reward of -998 and else the same"
    assert f"| {behind} | `{state.log[1].chain}` |" in page


def section_of(page: str) -> str:
    return page.partition("### Digests and chains")[2].partition("\n### ")[0]
