"""The model of anchoring step by step: what is known to go wrong, and what a few rules mend."""

import pytest
from msgspec.structs import replace

from plumbline_models import anchoring_steps
from plumbline_models.anchoring import Epoch, OutcomeId, Position, SnapshotId
from plumbline_models.anchoring_steps import (
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
    ProcessId,
    Published,
    Reason,
    Record,
    Refresh,
    Refused,
    Rewrite,
    Rewritten,
    Rules,
    Scope,
    Seen,
    State,
    Superseded,
    Torn,
    Way,
)
from plumbline_models.contract import StateClause
from plumbline_models.decisions.statistics import fold
from plumbline_spec.explore import Exploration, explore

MACHINE = anchoring_steps.machine()
SPEC = anchoring_steps.SPEC
W1, W2, P1, P2 = (ProcessId(name) for name in ("w1", "w2", "p1", "p2"))
GO = {name: Advance(process=name) for name in (W1, W2, P1, P2)}
USUAL = Scope(refusals=False)
"""The scope of the published check: three outcomes, two publications, kills; here any number."""
FULL: tuple[Event, ...] = (Refresh(process=P1), *[GO[P1]] * 4)


def record(number: int, process: ProcessId = W1) -> Record:
    return Record(process=process, outcome=OutcomeId(f"o{number}"), reward=number)


def logging(number: int) -> tuple[Event, ...]:
    """Return all that it takes to log an outcome."""
    return (record(number), GO[W1], GO[W1], GO[W1])


def taken(*events: Event) -> tuple[State, list[Outcome]]:
    state, outcomes = MACHINE.initial, list[Outcome]()
    for event in events:
        state, outcome = MACHINE.step(state, event)
        outcomes.append(outcome)
    return state, outcomes


def walk(rules: Rules, scope: Scope) -> Exploration[State, Event, Outcome, Scope]:
    return explore(anchoring_steps.machine(rules), scope)


# The table of what is right and what is wrong

ANCHOR = replace(SPEC, coverage=False, epochs=False)
ONCE = replace(SPEC, one_record=True, one_publication=True)


@pytest.mark.parametrize(
    ("rules", "scope"),
    [
        (SPEC, USUAL),
        (replace(SPEC, lock=True), USUAL),
        (ONCE, USUAL),
        (ONCE, replace(USUAL, epochs=2)),
        (SPEC, replace(USUAL, outcomes=2, epochs=2)),
        (SPEC, replace(USUAL, outcomes=2, refreshers=2)),
        (ONCE, replace(USUAL, outcomes=2, refreshers=2)),
        (replace(ANCHOR, one_record=True, one_publication=True, lock=True), USUAL),
    ],
    ids=[
        "two files, no lock, coverage",
        "two files, lock, coverage",
        "both at once, no lock, coverage",
        "the same, rewritten",
        "two files, rewritten",
        "two files, two refreshers",
        "both at once, two refreshers",
        "the anchor alone, both at once, lock",
    ],
)
def test_what_is_right(rules: Rules, scope: Scope) -> None:
    found = walk(rules, scope)
    assert found.complete
    assert found.counterexample is None


@pytest.mark.parametrize(
    ("rules", "scope", "breaks", "steps"),
    [
        (ANCHOR, replace(USUAL, kills=False), "ANS-1", 10),
        (replace(ANCHOR, lock=True), USUAL, "ANS-1", 11),
        (replace(ANCHOR, one_publication=True), USUAL, "ANS-1", 9),
        (replace(ANCHOR, one_record=True), USUAL, "ANS-1", 10),
        (replace(ANCHOR, one_record=True, one_publication=True), USUAL, "ANS-1", 9),
        (replace(ANCHOR, one_record=True, lock=True, unique=False), USUAL, "ANS-7", 9),
        (replace(SPEC, epochs=False), replace(USUAL, epochs=2), "ANS-3", 12),
        (replace(SPEC, swap=False), replace(USUAL, refreshers=2), "ANS-6", 8),
        (replace(ONCE, swap=False), replace(USUAL, refreshers=2), "ANS-6", 8),
        (replace(SPEC, readable=False), USUAL, "ANS-1", 10),
    ],
    ids=[
        "the anchor alone, nobody is killed",
        "the anchor alone, lock",
        "the anchor alone, publishing at once",
        "the anchor alone, logging at once",
        "the anchor alone, both at once",
        "ids of the clock",
        "no epoch",
        "no swap",
        "no swap, both at once",
        "torn is empty",
    ],
)
def test_what_is_wrong(rules: Rules, scope: Scope, breaks: str, steps: int) -> None:
    """In as many steps; the variants show what comes of it."""
    found = walk(rules, scope).counterexample
    assert found is not None
    assert ([one.clause for one in found.broken], len(found.events)) == ([breaks], steps)


@pytest.mark.parametrize(
    ("rules", "scope", "unseen", "then"),
    [
        (ANCHOR, replace(USUAL, kills=False), {"ANS-1"}, "ANS-2"),
        (replace(ANCHOR, one_publication=True), replace(USUAL, epochs=2), {"ANS-1"}, "ANS-2"),
        (
            replace(ANCHOR, one_record=True, lock=True, unique=False),
            replace(USUAL, publications=3),
            {"ANS-7"},
            "ANS-2",
        ),
        (replace(SPEC, swap=False), replace(USUAL, refreshers=2), {"ANS-6"}, "ANS-5"),
        (replace(ONCE, swap=False), replace(USUAL, refreshers=2), {"ANS-6"}, "ANS-5"),
    ],
    ids=[
        "the anchor alone doubles",
        "publishing at once doubles",
        "ids of the clock double",
        "no swap goes back",
        "no swap, both at once, goes back",
    ],
)
def test_what_comes_of_it_when_nobody_sees_it_at_once(
    rules: Rules, scope: Scope, unseen: set[str], then: str
) -> None:
    found = explore(anchoring_steps.machine(rules), scope, without=frozenset(unseen)).counterexample
    assert found is not None
    assert [one.clause for one in found.broken] == [then]


# Step by step


def test_an_outcome_is_logged_in_three_steps_and_published_in_four() -> None:
    state, outcomes = taken(*FULL, *logging(1), *FULL)
    assert outcomes == [
        Begun(),
        Seen(),
        Computed(way=Way.FULL_REBUILD, watermark=Position(0)),
        Published(snapshot=SnapshotId(1)),
        LiveReset(),
        Begun(),
        Appended(position=Position(1)),
        LiveRead(),
        LiveWritten(),
        Begun(),
        Seen(),
        Computed(way=Way.DELTA_MERGE, watermark=Position(1)),
        Published(snapshot=SnapshotId(2)),
        LiveReset(),
    ]
    assert state.manifest == Manifest(
        id=SnapshotId(2),
        epoch=Epoch(1),
        watermark=Position(1),
        statistics=fold([1]),
        way=Way.DELTA_MERGE,
    )
    assert state.live == Live(anchor=SnapshotId(2), epoch=Epoch(1), lo=Position(1), hi=Position(1))


def test_a_recorder_that_is_killed_in_between_costs_a_rebuild() -> None:
    events = (*FULL, record(1), GO[W1], Kill(process=W1), *logging(2), *FULL)
    _, outcomes = taken(*events)
    assert outcomes[7] == Killed()
    assert LiveLeft() in outcomes
    assert outcomes[-3] == Computed(way=Way.FULL_REBUILD, watermark=Position(2))


def test_a_refresher_that_is_killed_before_the_reset_costs_a_rebuild() -> None:
    _, outcomes = taken(*FULL, *FULL[:4], Kill(process=P1), *logging(1), *FULL)
    assert outcomes[-3] == Computed(way=Way.FULL_REBUILD, watermark=Position(1))


@pytest.mark.parametrize("before", [(record(1), GO[W1], GO[W1]), FULL[:4]], ids=["w1", "p1"])
def test_a_write_that_is_cut_off_is_seen_to_be(before: tuple[Event, ...]) -> None:
    who = P1 if before == FULL[:4] else W1
    state, _ = taken(*FULL, *before, Kill(process=who, torn=True))
    assert state.live == Torn()
    state, outcomes = taken(*FULL, *before, Kill(process=who, torn=True), *FULL)
    assert isinstance(outcomes[-3], Computed)
    assert outcomes[-3].way is Way.FULL_REBUILD
    assert isinstance(state.live, Live)


def test_the_slower_of_two_refreshers_gives_up() -> None:
    events = (Refresh(process=P2), GO[P2], GO[P2], *FULL, GO[P2])
    state, outcomes = taken(*events)
    assert outcomes[-1] == Superseded()
    assert state.running == ()


def test_a_rewriting_waits_for_nobody_and_costs_a_rebuild() -> None:
    rewrite = Rewrite(outcome=OutcomeId("o1"), reward=9)
    state, outcomes = taken(*logging(1), *FULL, rewrite, *FULL)
    assert outcomes[-6] == Rewritten(epoch=Epoch(2))
    assert outcomes[-3] == Computed(way=Way.FULL_REBUILD, watermark=Position(1))
    assert state.manifest is not None
    assert state.manifest.statistics == fold([9])


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ((record(1), record(2)), Reason.PROCESS_RUNS),
        ((record(1), Refresh(process=W1)), Reason.PROCESS_RUNS),
        ((record(1), record(1, W2)), Reason.KNOWN_OUTCOME),
        ((*logging(1), record(1)), Reason.KNOWN_OUTCOME),
        ((GO[W1],), Reason.UNKNOWN_PROCESS),
        ((Kill(process=W1),), Reason.UNKNOWN_PROCESS),
        ((record(1), Kill(process=W1, torn=True)), Reason.NOT_WRITING),
        ((Refresh(process=P1), Kill(process=P1, torn=True)), Reason.NOT_WRITING),
        ((record(1), Rewrite(outcome=OutcomeId("o1"), reward=1)), Reason.SOMEBODY_RUNS),
        ((Rewrite(outcome=OutcomeId("o1"), reward=1),), Reason.UNKNOWN_OUTCOME),
    ],
)
def test_what_cannot_be_done_is_refused(events: tuple[Event, ...], reason: Reason) -> None:
    """ANS-11."""
    before = taken(*events[:-1])[0]
    after, outcomes = taken(*events)
    assert (outcomes[-1], after) == (Refused(reason=reason), before)


def test_a_snapshot_of_two_cuts_is_seen() -> None:
    """ANS-4."""
    (clause,) = [one for one in MACHINE.clauses if isinstance(one, StateClause)]
    state = taken(*logging(1), *FULL)[0]
    assert state.manifest is not None
    assert clause.breaks(state) is None
    wrong = replace(state, manifest=replace(state.manifest, watermark=Position(0)))
    assert str(clause.breaks(wrong)) == "snapshot 1: counts 1, its watermark is 0"
