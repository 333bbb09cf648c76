"""Sweeps that go on, stop too early, or say what is not so."""

from msgspec.structs import replace

from plumbline_models import ordinals, tokens
from plumbline_models.compaction import selection
from plumbline_models.compaction.extents import source
from plumbline_models.compaction.passes import items_of, put, threshold, total
from plumbline_models.compaction.replaying import replacements, replayed
from plumbline_models.compaction.scope import SMALL
from plumbline_models.compaction.selection import Chunk, entries_of
from plumbline_models.compaction.sweeps import either, interfered, sweep
from plumbline_models.compaction.transitions import step
from plumbline_models.compaction.values import (
    SPEC,
    CompactLeaf,
    Event,
    Kind,
    Outcome,
    Pass,
    Rules,
    Settings,
    State,
    Stop,
    Sweep,
    SweepUntil,
    Swept,
)
from plumbline_models.decisions.escalation import Level, Summarised, Text, cut, measured
from plumbline_models.history import Variant
from plumbline_models.history.compaction.making import (
    DENIED,
    FAILING,
    SHORT,
    CompactionVariant,
    meanwhile,
    right,
    stepping,
    sweeping,
    sweeps,
)
from plumbline_models.ordinals.queries import find
from plumbline_models.ordinals.values import SummaryId

_MANY = 1_000


def _rounds_mean_compacted(state: State, event: Event, said: Swept) -> Swept:
    del state
    return replace(said, compacted=True) if isinstance(event, SweepUntil) else said


def _unbounded(state: State, event: Event) -> tuple[State, Outcome]:
    if isinstance(event, Sweep):
        return right(state, replace(event, settings=replace(event.settings, passes=_MANY)))
    return right(state, event)


def _another_failure(state: State, event: Event, said: Swept) -> Swept:
    del state, event
    if said.stop is not Stop.AUTHENTICATION:
        return said
    return replace(said, stop=Stop.SUMMARISER_ERROR)


def _proceeding(state: State, event: Event, said: Swept) -> Swept:
    """Say that the target was reached, whatever the total is."""
    del state
    if not isinstance(event, SweepUntil) or said.stop is not Stop.BOUND_REACHED:
        return said
    return replace(said, stop=Stop.UNDER_TARGET)


def _leaf_trigger(state: State, event: Event) -> tuple[State, Outcome]:
    """Begin below the threshold when a chunk of messages is full."""
    after, outcome = right(state, event)
    if not isinstance(event, Sweep) or event.force or not isinstance(outcome, Swept):
        return after, outcome
    entries = entries_of(state, event.conversation)
    raw = selection.raw(entries[: selection.boundary(SPEC, entries, event.settings)])
    within = total(state, event.conversation) <= threshold(event.settings, event.budget)
    if not within or raw < event.settings.leaf_chunk:
        return after, outcome
    forced = replace(event, force=True, settings=replace(event.settings, passes=1))
    after, outcome = right(state, forced)
    assert isinstance(outcome, Swept)
    return after, replace(outcome, stop=Stop.UNDER_TARGET)


def _no_last_resort(state: State, event: Event) -> tuple[State, Outcome]:
    return step(Rules(name="NO_LAST_RESORT", last_resort=False), state, event)


def _unnamed(state: State, event: Event, said: Swept) -> Swept:
    del state, event
    return replace(said, floor=None)


def _another_reason(state: State, event: Event, said: Swept) -> Swept:
    """Say of a sweep that found its target reached whether anything was left."""
    if not isinstance(event, Sweep) or said.compacted or said.stop is not Stop.UNDER_TARGET:
        return said
    left = either(SPEC, event.settings, hard=event.hard)(entries_of(state, event.conversation))
    return said if left else replace(said, stop=Stop.NOTHING_TO_COMPACT)


def _deltas_alone(state: State, event: Event) -> tuple[State, Outcome]:
    """Follow the total by what the passes move, and see nothing that is appended meanwhile."""
    if not isinstance(event, CompactLeaf | Sweep | SweepUntil):
        return right(state, event)
    if not all(isinstance(one.event, tokens.Append) for one in event.meanwhile):
        return right(state, event)
    after, outcome = right(state, replace(event, meanwhile=()))
    calls = outcome.calls if isinstance(outcome, Swept) else 0
    return interfered(SPEC, after, event, 0, calls), outcome


def _gives_up(state: State, event: Event) -> tuple[State, Outcome]:
    """Stop at the first selection that somebody else made stale."""
    if not isinstance(event, CompactLeaf | Sweep | SweepUntil):
        return right(state, event)
    return right(state, replace(event, settings=replace(event.settings, stale=1)))


def _named_by_text(state: State, event: Event) -> tuple[State, Outcome]:
    """Name a summary by its text and the millisecond in which it is made."""
    after, outcome = right(state, event)
    if not isinstance(event, Sweep) or not isinstance(outcome, Swept):
        return after, outcome
    made = replayed(state, event, outcome, after) or ()
    texts = [one.text for one in replacements(event, outcome, after)]
    for number, one in enumerate(made):
        if texts[number] in texts[:number] and not any(said.took for said in event.script):
            return one.before, ordinals.Failed(constraint="summaries.summary")
    return after, outcome


class _Cursor:
    """A plan that begins to look for messages behind the last that said nothing."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.behind = 0
        """An index, kept although what stands before it becomes shorter."""

    def __call__(self, entries: Chunk) -> Chunk:
        before = entries[: selection.boundary(SPEC, entries, self.settings)]
        for run in selection.runs(before[self.behind :], None):
            for chunk in selection.chunks(run, self.settings.leaf_chunk):
                if selection.is_fit(SPEC, chunk):
                    return chunk
                self.behind = entries.index(chunk[-1]) + 1
        return selection.condensed(SPEC, entries, self.settings, hard=True)


def _scan_cursor(state: State, event: Event) -> tuple[State, Outcome]:
    if not isinstance(event, Sweep) or not find(state.taken.ledger.lists, event.conversation):
        return right(state, event)
    return sweep(SPEC, state, event, _Cursor(event.settings))


def _figure_2(state: State, event: Event) -> tuple[State, Outcome]:
    """Replace the oldest item, a block of its own, by its text cut to the cap, again and again."""
    after, outcome = right(state, event)
    if not isinstance(event, SweepUntil) or not isinstance(outcome, Swept):
        return after, outcome
    here, settings = event.conversation, event.settings
    made, passes = state, list[Pass]()
    while total(made, here) > event.target and len(passes) < settings.passes * settings.rounds:
        (oldest, *_) = entries_of(made, here)
        at = find(made.taken.ledger.lists, here)
        assert at is not None
        text = cut(source(made, at, items_of((oldest,))), settings.fallback_cap)
        summary = Summarised(
            text=text, tokens=measured(text), level=Level.FALLBACK, capped=False, calls=0
        )
        kind = Kind.LEAF if oldest.depth is None else Kind.CONDENSED
        name = SummaryId(f"{event.summary}-{len(passes) + 1}")
        made, record = put(SPEC, made, here, kind, name, (oldest,), summary)
        if not isinstance(record, Pass):
            return after, outcome
        passes.append(record)
    reached = total(made, here) <= event.target
    return made, Swept(
        compacted=bool(passes),
        before=total(state, here),
        after=total(made, here),
        passes=tuple(passes),
        rounds=-(-len(passes) // settings.passes),
        calls=0,
        stop=Stop.UNDER_TARGET if reached else Stop.BOUND_REACHED,
        floor=None if reached else outcome.floor,
    )


VARIANTS: tuple[CompactionVariant, ...] = (
    Variant(
        name="DELTAS_ALONE",
        machine=stepping("DELTAS_ALONE", _deltas_alone),
        breaks="CMP-18",
        source="lossless-claw PR #295",
        story="The total is read once and then followed by what the passes move. A message that"
        " comes while the summariser is asked is in the context and not in the total, so the sweep"
        " stops too early and says a size that is not so.",
        scope=meanwhile("lu", SHORT),
    ),
    Variant(
        name="STALE_AT_ONCE",
        machine=stepping("STALE_AT_ONCE", _gives_up),
        breaks="CMP-20",
        source="lcm-x 0.23",
        story="A sweep whose selection somebody else made stale gives up at once, and nothing is"
        " compacted for as long as somebody else is quicker.",
        scope=meanwhile("lllu", SHORT),
        sole=True,
    ),
    Variant(
        name="SCAN_CURSOR",
        machine=stepping("SCAN_CURSOR", _scan_cursor),
        breaks="CMP-20",
        source="lossless-claw 0.15",
        story="The place behind messages that say nothing is kept while passes make the list"
        " shorter. What moves before that place is never looked at again, and the sweep says that"
        " nothing is left.",
        scope=replace(
            meanwhile("lllEla", SHORT, calls=5),
            settings=(replace(SMALL, leaf_chunk=22, passes=9, calls=40),),
        ),
    ),
    Variant(
        name="FIGURE_2",
        machine=stepping("FIGURE_2", _figure_2),
        breaks="CMP-5",
        source="LCM paper, figures 2 and 3",
        story="The loop takes the oldest block while the context is too large. When a block is one"
        " item, the first summary is the oldest block for ever, and it is as long as the cap:"
        " nothing shortens and the loop does not end.",
        scope=sweeps("llu", SHORT),
    ),
    Variant(
        name="ROUNDS_MEAN_COMPACTED",
        machine=stepping("ROUNDS_MEAN_COMPACTED", sweeping(_rounds_mean_compacted)),
        breaks="CMP-18",
        source="lossless-claw #1177",
        story="A round that did nothing counts as a round, and a sweep with rounds says that it"
        " compacted.",
        scope=sweeps("u", SHORT),
        sole=True,
    ),
    Variant(
        name="UNBOUNDED",
        machine=stepping("UNBOUNDED", _unbounded),
        breaks="CMP-19",
        source="lossless-claw before #711",
        story="A sweep goes on as long as there is anything to replace: 202 passes in 50 minutes,"
        " in which nobody else was served.",
        scope=sweeps("lllu", SHORT),
        sole=True,
    ),
    Variant(
        name="ANOTHER_FAILURE",
        machine=stepping("ANOTHER_FAILURE", sweeping(_another_failure)),
        breaks="CMP-20",
        source="lossless-claw #230",
        story="A sweep whose caller is not authenticated reports something else, so nobody stops"
        " calling.",
        scope=sweeps("lu", DENIED),
        sole=True,
    ),
    Variant(
        name="VOLT_PROCEED_OVER_LIMIT",
        machine=stepping("VOLT_PROCEED_OVER_LIMIT", sweeping(_proceeding)),
        breaks="CMP-20",
        source="Volt, at 944c7943",
        story="After ten rounds the sweep gives up, logs that it goes on anyway, and the model is"
        " called with a context that does not fit.",
        scope=sweeps("lllllllu", SHORT),
    ),
    Variant(
        name="LEAF_TRIGGER",
        machine=stepping("LEAF_TRIGGER", _leaf_trigger),
        breaks="CMP-21",
        source="lossless-claw PR #295",
        story="A sweep begins below its threshold because enough messages are raw; a short"
        " conversation pays for a summary that it does not need.",
        scope=sweeps("lu", SHORT),
        sole=True,
    ),
    Variant(
        name="NO_LAST_RESORT",
        machine=stepping("NO_LAST_RESORT", _no_last_resort),
        breaks="CMP-22",
        source="lossless-claw, all releases",
        story="When no chunk is long enough or no summariser answers, a target is missed that could"
        " be reached, and the host goes on without room.",
        scope=sweeps("lu", (*FAILING[1:], *SHORT)),
        sole=True,
    ),
    Variant(
        name="FLOOR_UNNAMED",
        machine=stepping("FLOOR_UNNAMED", sweeping(_unnamed)),
        breaks="CMP-22",
        source="lossless-claw #1085",
        story="What is protected is larger than the target; the sweep fails without saying so, and"
        " its host tries again for ever.",
        scope=sweeps("u", SHORT),
        sole=True,
    ),
    Variant(
        name="NAMED_BY_TEXT",
        machine=stepping("NAMED_BY_TEXT", _named_by_text),
        breaks="CMP-38",
        source="lossless-claw PR #295",
        story="The id of a summary is a hash of its text and of the clock. Two passes with the same"
        " text in the same millisecond make one id, and the sweep dies in a constraint after the"
        " first of them.",
        scope=sweeps("lllu", (Text(text="in short"),), summaries=2),
        sole=True,
    ),
    Variant(
        name="ANOTHER_REASON",
        machine=stepping("ANOTHER_REASON", sweeping(_another_reason)),
        breaks="CMP-23",
        source="lossless-claw #418",
        story="A sweep that has nothing to do gives another reason than the one before it, and its"
        " host takes that for a failure.",
        scope=sweeps("lu", SHORT),
        sole=True,
    ),
)
