"""The clauses of anchoring step by step (chapter ``spec/anchoring_steps.md``, "Clauses")."""

from collections.abc import Callable, Iterator, Mapping

from plumbline_models.anchoring_steps.transitions import counted, covered, process_of
from plumbline_models.anchoring_steps.values import (
    SPEC,
    Advance,
    Appended,
    Computed,
    Event,
    Kill,
    Killed,
    Live,
    LiveLeft,
    LiveReset,
    LiveWritten,
    Manifest,
    Outcome,
    Published,
    Recorder,
    Refresher,
    Refused,
    Rewritten,
    Seen,
    State,
    Superseded,
    Torn,
    Way,
)
from plumbline_models.contract import Clause, SometimesClause, StateClause, StepClause, Witness
from plumbline_models.decisions.statistics import Statistics, difference, merge, of_one

Reached = Callable[[State, Event, Outcome, State], bool]


def clauses() -> tuple[Clause[State, Event, Outcome], ...]:
    """Return the clauses of anchoring step by step."""
    return (*_about_counts(), *_about_publishing(), *_about_files(), *_about_reach())


def _about_counts() -> tuple[Clause[State, Event, Outcome], ...]:
    return (
        StepClause(
            id="ANS-1",
            title="nothing lost",
            sentence="What a refresher computes MUST NOT count fewer outcomes than are logged.",
            outcomes=(Computed,),
            breaks=_lost,
        ),
        StepClause(
            id="ANS-2",
            title="nothing doubled",
            sentence="What a refresher computes MUST NOT count more outcomes than are logged.",
            outcomes=(Computed,),
            breaks=_doubled,
        ),
        StepClause(
            id="ANS-3",
            title="nothing stale",
            sentence="What a refresher computes that counts as many outcomes as are logged MUST"
            " count what they are.",
            outcomes=(Computed,),
            breaks=_stale,
        ),
        StateClause(
            id="ANS-4",
            title="one cut",
            sentence="What is published MUST count as many outcomes as its watermark says.",
            witnesses=_two_cuts,
        ),
    )


def _about_publishing() -> tuple[StepClause[State, Event, Outcome], ...]:
    return (
        StepClause(
            id="ANS-5",
            title="forward",
            sentence="A publication MUST NOT count less of the log than what it replaces.",
            outcomes=(Published,),
            breaks=_forward,
        ),
        StepClause(
            id="ANS-6",
            title="compare and swap",
            sentence="A manifest MUST be replaced by those alone who saw it.",
            outcomes=(Published, Superseded),
            breaks=_compare_and_swap,
        ),
        StepClause(
            id="ANS-7",
            title="an id of its own",
            sentence="A snapshot MUST have an id that none before it had.",
            outcomes=(Published,),
            breaks=_own_id,
        ),
        StepClause(
            id="ANS-8",
            title="merged when covered",
            sentence="A refresher MUST merge the delta that it saw if that covers all that the log"
            " has behind what it saw published, an empty one too.",
            outcomes=(Computed,),
            breaks=_merged_when_covered,
        ),
    )


def _about_files() -> tuple[StepClause[State, Event, Outcome], ...]:
    return (
        StepClause(
            id="ANS-9",
            title="extended",
            sentence="A recorder MUST count its outcome, and nothing else, in a live delta that"
            " ended right before it when it was read.",
            outcomes=(LiveWritten, LiveLeft),
            breaks=_extended,
        ),
        StepClause(
            id="ANS-10",
            title="one file",
            sentence="A step MUST change the file that it is about and no other, a killed process"
            " none but the live delta that it was writing, and what is read and computed none.",
            breaks=_one_file,
        ),
        StepClause(
            id="ANS-11",
            title="nothing is done",
            sentence="A refusal MUST leave everything.",
            outcomes=(Refused,),
            breaks=_nothing_done,
            inert=True,
        ),
    )


def _about_reach() -> tuple[SometimesClause[State, Event, Outcome], ...]:
    def sometimes(
        name: str, title: str, sentence: str, reached: Reached
    ) -> SometimesClause[State, Event, Outcome]:
        return SometimesClause(id=name, title=title, sentence=sentence, reached=reached)

    return (
        sometimes(
            "ANS-12",
            "merged",
            "Sometimes a delta with outcomes in it is merged.",
            lambda before, _event, outcome, _after: (
                isinstance(outcome, Computed)
                and outcome.way is Way.DELTA_MERGE
                and (before.manifest is None or outcome.watermark > before.manifest.watermark)
            ),
        ),
        sometimes(
            "ANS-13",
            "a gap",
            "Sometimes an outcome is appended between what a refresher saw and what it computes,"
            " and it counts the whole log.",
            _a_gap,
        ),
        sometimes(
            "ANS-14",
            "written over",
            "Sometimes a recorder writes a live delta that it read before a publication, and the"
            " one behind it is gone.",
            _written_over,
        ),
        sometimes(
            "ANS-15",
            "killed in between",
            "Sometimes a refresher is killed between the manifest and the live delta.",
            lambda before, event, outcome, _after: (
                isinstance(event, Kill)
                and isinstance(outcome, Killed)
                and isinstance(at := process_of(before, event.process), Refresher)
                and at.made is not None
                and at.made.id > 0
            ),
        ),
        sometimes(
            "ANS-16",
            "torn",
            "Sometimes a refresher sees a live delta that was written half.",
            lambda before, _event, outcome, _after: (
                isinstance(outcome, Seen) and isinstance(before.live, Torn)
            ),
        ),
        sometimes(
            "ANS-17",
            "overtaken",
            "Sometimes a refresher is superseded.",
            lambda _before, _event, outcome, _after: isinstance(outcome, Superseded),
        ),
        sometimes(
            "ANS-18",
            "an old epoch",
            "Sometimes a delta covers what the log has, but of an old epoch.",
            _an_old_epoch,
        ),
    )


def _witness(row: str, found: str, table: str = "") -> Witness:
    return Witness(table=table, row=row, found=found)


def _made(after: State, event: Event) -> Manifest:
    """Return what a refresher has computed."""
    assert isinstance(event, Advance)
    at = process_of(after, event.process)
    assert isinstance(at, Refresher)
    assert at.made is not None
    return at.made


def _lost(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del outcome
    count = _made(after, event).statistics.count
    if count < len(before.log):
        return _witness("the refresher", f"counts {count}, logged are {len(before.log)}", "live")
    return None


def _doubled(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del outcome
    count = _made(after, event).statistics.count
    if count > len(before.log):
        return _witness("the refresher", f"counts {count}, logged are {len(before.log)}", "live")
    return None


def _stale(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del outcome
    made, right = _made(after, event).statistics, counted(before.log)
    if made.count == right.count and made != right:
        return _witness("the refresher", difference(made, right), "live")
    return None


def _two_cuts(state: State) -> Iterator[Witness]:
    at = state.manifest
    if at is not None and at.statistics.count != at.watermark:
        found = f"counts {at.statistics.count}, its watermark is {at.watermark}"
        yield _witness(f"snapshot {at.id}", found, "manifest")


def _forward(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del event, outcome
    was, now = before.manifest, after.manifest
    if was is not None and now is not None and now.watermark < was.watermark:
        found = f"counts up to {now.watermark}, what it replaced up to {was.watermark}"
        return _witness(f"snapshot {now.id}", found, "manifest")
    return None


def _compare_and_swap(
    before: State, event: Event, outcome: Outcome, after: State
) -> Witness | None:
    del after
    assert isinstance(event, Advance)
    at = process_of(before, event.process)
    same = isinstance(at, Refresher) and at.seen == before.manifest
    if same is not isinstance(outcome, Published):
        found = f"saw {'this one' if same else 'another one'}: {type(outcome).__name__}"
        return _witness(f"process {event.process}", found, "manifest")
    return None


def _own_id(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del event, after
    assert isinstance(outcome, Published)
    if outcome.snapshot <= before.issued:
        found = f"has an id of the {before.issued} that were published before"
        return _witness(f"snapshot {outcome.snapshot}", found, "manifest")
    return None


def _merged_when_covered(
    before: State, event: Event, outcome: Outcome, after: State
) -> Witness | None:
    del after
    assert isinstance(event, Advance)
    assert isinstance(outcome, Computed)
    at = process_of(before, event.process)
    assert isinstance(at, Refresher)
    if covered(SPEC, before, at.seen, at.live) and outcome.way is not Way.DELTA_MERGE:
        return _witness(f"process {event.process}", "counts the log, and saw all of it counted")
    return None


def _extended(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    assert isinstance(event, Advance)
    at = process_of(before, event.process)
    assert isinstance(at, Recorder)
    read = at.read
    if not isinstance(read, Live) or read.hi != at.position - 1:
        return None
    counts = merge(read.statistics, of_one(at.row.reward))
    now = after.live
    right = isinstance(now, Live) and (now.lo, now.hi) == (read.lo, at.position)
    if isinstance(outcome, LiveLeft) or not right or _counts(now) != counts:
        return _witness(f"outcome {at.row.outcome}", "is not counted behind all before it", "live")
    return None


def _counts(live: Live | Torn | None) -> Statistics | None:
    return live.statistics if isinstance(live, Live) else None


FILES: Mapping[type, tuple[str, ...]] = {
    Appended: ("log", "live"),
    LiveWritten: ("live",),
    Published: ("manifest", "issued", "live"),
    LiveReset: ("live",),
    Rewritten: ("log", "epoch"),
}
"""What of the files each step is about; with log and manifest the live delta, where they are
written in one step."""


def _one_file(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    about = FILES.get(type(outcome), ())
    if isinstance(event, Kill) and isinstance(outcome, Killed) and event.torn:
        about = ("live",)
    for name in ("log", "epoch", "live", "manifest", "issued"):
        if name not in about and getattr(before, name) != getattr(after, name):
            return _witness(name, f"is changed by {type(outcome).__name__}", name)
    return None


def _nothing_done(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del event, outcome
    return None if after == before else _witness("the state", "is changed by a refusal")


def _a_gap(before: State, event: Event, outcome: Outcome, after: State) -> bool:
    del after
    if not isinstance(event, Advance) or not isinstance(outcome, Computed):
        return False
    at = process_of(before, event.process)
    return (
        isinstance(at, Refresher)
        and at.seen is not None
        and isinstance(at.live, Live)
        and at.live.anchor == at.seen.id
        and at.live.lo == at.seen.watermark
        and at.live.hi < len(before.log)
    )


def _written_over(before: State, event: Event, outcome: Outcome, after: State) -> bool:
    del event
    was, now = before.live, after.live
    return (
        isinstance(outcome, LiveWritten)
        and isinstance(was, Live)
        and isinstance(now, Live)
        and now.anchor < was.anchor
    )


def _an_old_epoch(before: State, event: Event, outcome: Outcome, after: State) -> bool:
    del after
    if not isinstance(event, Advance) or not isinstance(outcome, Computed):
        return False
    at = process_of(before, event.process)
    return (
        isinstance(at, Refresher)
        and at.seen is not None
        and at.seen.epoch < before.epoch
        and isinstance(at.live, Live)
        and at.live.hi == len(before.log)
    )
