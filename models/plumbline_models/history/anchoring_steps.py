"""How real systems got anchoring wrong, step by step (chapter ``spec/anchoring_steps.md``)."""

from collections.abc import Callable
from typing import TypeAlias

from msgspec.structs import replace

from plumbline_models.anchoring.values import Position
from plumbline_models.anchoring_steps import Machine, Scope, Step, assembled
from plumbline_models.anchoring_steps.clauses import clauses
from plumbline_models.anchoring_steps.transitions import (
    counted,
    process_of,
    step,
    with_process,
    without,
)
from plumbline_models.anchoring_steps.values import (
    SPEC,
    Advance,
    Computed,
    Event,
    Kill,
    Killed,
    LiveLeft,
    LiveWritten,
    Manifest,
    Outcome,
    Reason,
    Refresh,
    Refresher,
    Refused,
    Rules,
    Seen,
    State,
    Superseded,
    Torn,
    Way,
)
from plumbline_models.contract import SometimesClause
from plumbline_models.history import CONSTRUCTED, Variant

StepsVariant: TypeAlias = Variant[State, Event, Outcome, Scope]

ISSUE_12 = "openclaw-intelligence-core issue #12"
ISSUE_10 = "openclaw-intelligence-core issue #10"
USUAL = Scope(refusals=False)
"""Three outcomes, two publications, kills."""
ONE = replace(USUAL, outcomes=1)
ALONE = replace(ONE, kills=False)
AT_ONCE = replace(ALONE, outcomes=0, refreshers=2)


def right(state: State, event: Event) -> tuple[State, Outcome]:
    """Take the specification's step."""
    return step(SPEC, state, event)


def under(name: str, rules: Rules) -> Callable[[], Machine]:
    """Return the maker of a machine under other rules."""
    return lambda: assembled(name, lambda state, event: step(rules, state, event))


def stepping(name: str, one_step: Step) -> Callable[[], Machine]:
    """Return the maker of a machine with another step."""
    return lambda: assembled(name, one_step)


def computing(change: Callable[[State, Manifest], Manifest]) -> Step:
    """Return a step whose refreshers compute something else."""

    def one_step(state: State, event: Event) -> tuple[State, Outcome]:
        after, outcome = right(state, event)
        if not isinstance(outcome, Computed) or not isinstance(event, Advance):
            return after, outcome
        at = process_of(after, event.process)
        assert isinstance(at, Refresher)
        assert at.made is not None
        made = change(state, at.made)
        running = tuple(replace(one, made=made) if one == at else one for one in after.running)
        return replace(after, running=running), Computed(way=made.way, watermark=made.watermark)

    return one_step


def _cut_short(state: State, made: Manifest) -> Manifest:
    """Count one thing and name the end of another: two readings of the log."""
    del state
    return replace(made, watermark=Position(max(0, made.watermark - 1)))


def _last_left_out(state: State, made: Manifest) -> Manifest:
    """Take the position of the last outcome for the number of all."""
    rows = state.log[:-1] if state.manifest is None else state.log
    return replace(made, watermark=Position(len(rows)), statistics=counted(rows))


def _last_twice(state: State, made: Manifest) -> Manifest:
    """Count the outcome that came last once more, as if it had come meanwhile."""
    rows = (*state.log, *state.log[-1:])
    return replace(made, watermark=Position(len(rows)), statistics=counted(rows))


def _nothing_is_nothing(state: State, made: Manifest) -> Manifest:
    """Count the log where the delta is empty."""
    at = state.manifest
    empty = at is not None and made.watermark == at.watermark
    return replace(made, way=Way.FULL_REBUILD) if empty else made


def _every_second(state: State, event: Event) -> tuple[State, Outcome]:
    """Leave the live delta to others now and then, as if it were no harm."""
    after, outcome = right(state, event)
    if isinstance(outcome, LiveWritten) and not len(state.log) % 2:
        return replace(after, live=state.live), LiveLeft()
    return after, outcome


def _mended(state: State, event: Event) -> tuple[State, Outcome]:
    """Remove a live delta that cannot be read, by whoever sees it."""
    after, outcome = right(state, event)
    if isinstance(outcome, Seen) and isinstance(state.live, Torn):
        return replace(after, live=None), outcome
    return after, outcome


def _taken_along(state: State, event: Event) -> tuple[State, Outcome]:
    """Drop the live delta with a process that is killed."""
    after, outcome = right(state, event)
    if isinstance(event, Kill) and isinstance(outcome, Killed) and not event.torn:
        return replace(after, live=None), outcome
    return after, outcome


def _ended_when_refused(state: State, event: Event) -> tuple[State, Outcome]:
    """End the process whose name somebody else asks for."""
    after, outcome = right(state, event)
    if isinstance(event, Refresh) and isinstance(outcome, Refused):
        at = process_of(state, event.process)
        return (after if at is None else without(after, at)), outcome
    return after, outcome


def _seen_again(state: State, event: Event) -> tuple[State, Outcome]:
    """Look at the manifest once more when it is another one, and publish what was computed."""
    after, outcome = right(state, event)
    if not isinstance(outcome, Superseded) or not isinstance(event, Advance):
        return after, outcome
    at = process_of(state, event.process)
    assert isinstance(at, Refresher)
    return with_process(state, replace(at, seen=state.manifest)), outcome


def _by_the_watermark(state: State, event: Event) -> tuple[State, Outcome]:
    """Compare how much of the log was counted and not who counted it."""
    after, outcome = right(state, event)
    if not isinstance(outcome, Superseded) or not isinstance(event, Advance):
        return after, outcome
    at = process_of(state, event.process)
    assert isinstance(at, Refresher)
    if state.manifest is None or at.made is None or at.made.watermark != state.manifest.watermark:
        return after, outcome
    return step(replace(SPEC, swap=False), state, event)


def _never(name: str, clause: str, scope: Scope, story: str) -> StepsVariant:
    """Return a machine that refuses whatever reaches a clause."""
    reached = {one.id: one for one in clauses() if isinstance(one, SometimesClause)}[clause].reached

    def one_step(state: State, event: Event) -> tuple[State, Outcome]:
        after, outcome = right(state, event)
        if reached(state, event, outcome, after):
            return state, Refused(reason=Reason.UNKNOWN_PROCESS)
        return after, outcome

    return Variant(
        name=name,
        machine=stepping(name, one_step),
        breaks=clause,
        source=CONSTRUCTED,
        story=story,
        scope=scope,
        sole=True,
    )


_ANCHOR = Rules(name="ANCHOR_ALONE", coverage=False, epochs=False)
_BOTH = Rules(name="BOTH", coverage=False, one_record=True, one_publication=True)

VARIANTS: tuple[StepsVariant, ...] = (
    Variant(
        name="ANCHOR_ALONE",
        machine=under("ANCHOR_ALONE", _ANCHOR),
        breaks="ANS-1",
        source=ISSUE_12,
        story="A delta is right when it is anchored to the published snapshot. Nobody crashes: a"
        " recorder writes between what a refresher reads and what it resets, and the outcome is"
        " gone.",
        scope=ALONE,
    ),
    Variant(
        name="LOCKED_AND_KILLED",
        machine=under("LOCKED_AND_KILLED", replace(_ANCHOR, lock=True)),
        breaks="ANS-1",
        source=ISSUE_12,
        story="One at a time, and one is killed between the log and the live delta: the anchor is"
        " still right.",
        scope=ONE,
    ),
    Variant(
        name="PUBLISHED_AT_ONCE",
        machine=under("PUBLISHED_AT_ONCE", replace(_ANCHOR, one_publication=True)),
        breaks="ANS-1",
        source=CONSTRUCTED,
        story="Manifest and live delta are written in one transaction, log and live delta not.",
        scope=ONE,
    ),
    Variant(
        name="RECORDED_AT_ONCE",
        machine=under("RECORDED_AT_ONCE", replace(_ANCHOR, one_record=True)),
        breaks="ANS-1",
        source=CONSTRUCTED,
        story="Log and live delta are written in one transaction, manifest and live delta not.",
        scope=ONE,
    ),
    Variant(
        name="BOTH_AT_ONCE_BY_THE_ANCHOR",
        machine=under("BOTH_AT_ONCE_BY_THE_ANCHOR", _BOTH),
        breaks="ANS-1",
        source=CONSTRUCTED,
        story="Each write is a transaction, and what a refresher read before it is not asked for:"
        " an outcome between reading and publishing is lost.",
        scope=ALONE,
    ),
    Variant(
        name="TORN_IS_EMPTY",
        machine=under("TORN_IS_EMPTY", Rules(name="TORN_IS_EMPTY", readable=False)),
        breaks="ANS-1",
        source=ISSUE_12,
        story="A live delta that cannot be read is taken for an empty one at the current anchor.",
        scope=ONE,
    ),
    Variant(
        name="LAST_LEFT_OUT",
        machine=stepping("LAST_LEFT_OUT", computing(_last_left_out)),
        breaks="ANS-1",
        source=CONSTRUCTED,
        story="The position of the last outcome is taken for how many there are, one too few.",
        scope=replace(ALONE, publications=1),
        sole=True,
    ),
    Variant(
        name="LAST_TWICE",
        machine=stepping("LAST_TWICE", computing(_last_twice)),
        breaks="ANS-2",
        source=CONSTRUCTED,
        story="The outcome that came last is counted with the log and once more behind it.",
        scope=replace(ALONE, publications=1),
        sole=True,
    ),
    Variant(
        name="NO_EPOCH",
        machine=under("NO_EPOCH", Rules(name="NO_EPOCH", epochs=False)),
        breaks="ANS-3",
        source=ISSUE_10,
        story="Rows are rewritten in place, and a delta is merged into what they were.",
        scope=replace(ALONE, epochs=2),
        sole=True,
    ),
    Variant(
        name="TWO_CUTS",
        machine=stepping("TWO_CUTS", computing(_cut_short)),
        breaks="ANS-4",
        source=ISSUE_10,
        story="Statistics and watermark are of two readings of the log: 18 outcomes by the one, 15"
        " by the other.",
        scope=replace(ALONE, publications=1),
        sole=True,
    ),
    Variant(
        name="SEEN_AGAIN",
        machine=stepping("SEEN_AGAIN", _seen_again),
        breaks="ANS-5",
        source=CONSTRUCTED,
        story="A refresher that is superseded looks at the manifest again and tries once more, with"
        " what it had computed before.",
        scope=replace(AT_ONCE, outcomes=1),
        sole=True,
    ),
    Variant(
        name="NO_SWAP",
        machine=under("NO_SWAP", Rules(name="NO_SWAP", swap=False)),
        breaks="ANS-6",
        source=ISSUE_12,
        story="Two refreshers publish, and the slower one is the last.",
        scope=AT_ONCE,
    ),
    Variant(
        name="NO_SWAP_GOES_BACK",
        machine=under("NO_SWAP_GOES_BACK", Rules(name="NO_SWAP_GOES_BACK", swap=False)),
        breaks="ANS-6",
        source=ISSUE_12,
        story="The slower one read less of the log, and the watermark goes back.",
        scope=replace(AT_ONCE, outcomes=1),
    ),
    Variant(
        name="SWAPPED_BY_THE_WATERMARK",
        machine=stepping("SWAPPED_BY_THE_WATERMARK", _by_the_watermark),
        breaks="ANS-6",
        source=CONSTRUCTED,
        story="What is compared is how much of the log was counted, and not who counted it.",
        scope=replace(AT_ONCE, outcomes=1),
        sole=True,
    ),
    Variant(
        name="BY_THE_SECOND",
        machine=under(
            "BY_THE_SECOND",
            Rules(name="BY_THE_SECOND", unique=False, lock=True, coverage=False, one_record=True),
        ),
        breaks="ANS-7",
        source=ISSUE_12,
        story="Ids are seconds of the clock. A refresher is killed between manifest and live delta,"
        " the next one publishes within the second, and the old delta fits its anchor.",
        scope=ONE,
    ),
    Variant(
        name="BY_THE_SECOND_ALONE",
        machine=under("BY_THE_SECOND_ALONE", Rules(name="BY_THE_SECOND_ALONE", unique=False)),
        breaks="ANS-7",
        source=CONSTRUCTED,
        story="Ids are seconds of the clock, and two snapshots have one.",
        scope=replace(ALONE, outcomes=0),
        sole=True,
    ),
    Variant(
        name="NOTHING_IS_REBUILT",
        machine=stepping("NOTHING_IS_REBUILT", computing(_nothing_is_nothing)),
        breaks="ANS-8",
        source=CONSTRUCTED,
        story="A delta with nothing in it is taken for none, and the log is counted once more.",
        scope=ALONE,
        sole=True,
    ),
    Variant(
        name="EVERY_SECOND",
        machine=stepping("EVERY_SECOND", _every_second),
        breaks="ANS-9",
        source=CONSTRUCTED,
        story="A recorder leaves a delta that it could extend, and the next refresh is a rebuild.",
        scope=replace(ALONE, outcomes=2),
        sole=True,
    ),
    Variant(
        name="TAKEN_ALONG",
        machine=stepping("TAKEN_ALONG", _taken_along),
        breaks="ANS-10",
        source=CONSTRUCTED,
        story="Whoever is killed takes the live delta along.",
        scope=ONE,
        sole=True,
    ),
    Variant(
        name="MENDED_BY_A_READER",
        machine=stepping("MENDED_BY_A_READER", _mended),
        breaks="ANS-10",
        source=CONSTRUCTED,
        story="A refresher removes what it cannot read, while a recorder has it open.",
        scope=ONE,
    ),
    Variant(
        name="ENDED_WHEN_REFUSED",
        machine=stepping("ENDED_WHEN_REFUSED", _ended_when_refused),
        breaks="ANS-11",
        source=CONSTRUCTED,
        story="A second process of one name is refused, and the first one is gone.",
        scope=replace(ALONE, refusals=True),
        sole=True,
    ),
    _never("NEVER_MERGED", "ANS-12", ALONE, "No delta with outcomes in it is merged."),
    _never("NO_GAP", "ANS-13", ALONE, "Nobody appends while a refresher has seen."),
    _never("NEVER_WRITTEN_OVER", "ANS-14", ALONE, "Nobody writes over a live delta."),
    _never("NEVER_IN_BETWEEN", "ANS-15", ONE, "Nobody is killed before the live delta is reset."),
    _never("NEVER_TORN", "ANS-16", ONE, "Nobody sees a live delta that was written half."),
    _never("NEVER_OVERTAKEN", "ANS-17", AT_ONCE, "No refresher is superseded."),
    _never(
        "NO_OLD_EPOCH",
        "ANS-18",
        replace(ALONE, epochs=2),
        "No delta is of an old epoch when a refresher computes.",
    ),
)
"""Every variant of the steps; each clause has one that no other clause catches."""
