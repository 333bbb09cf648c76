"""Passes that lengthen, that take what is protected, and that say what they did not do."""

from msgspec.structs import replace

from plumbline_models.compaction.extents import source
from plumbline_models.compaction.passes import items_of
from plumbline_models.compaction.selection import entries_of, tokens_in
from plumbline_models.compaction.transitions import step
from plumbline_models.compaction.values import (
    SPEC,
    Commit,
    Event,
    Outcome,
    Pass,
    Rules,
    State,
    Swept,
)
from plumbline_models.decisions.escalation import Level, Summarised, Text, cut, measured
from plumbline_models.history import CONSTRUCTED, Variant
from plumbline_models.history.compaction.making import (
    EMPTY,
    FAILING,
    LONG,
    MIDDLE,
    CompactionVariant,
    chunk_of,
    commits,
    committing,
    recording,
    right,
    stepping,
    sweeping,
    sweeps,
    with_a_row,
)
from plumbline_models.ordinals.queries import find

_FEW_WORDS = "[Truncated from {} tokens]"


def _untested(state: State, event: Event) -> tuple[State, Outcome]:
    """Take the first answer, whatever its length."""
    if isinstance(event, Commit):
        return step(Rules(name="UNTESTED", tested=False), state, event)
    return right(state, event)


def _with_a_note(state: State, event: Commit, made: Summarised, record: Pass) -> Summarised:
    """Say behind a fallback how much was cut, and do not look at its length again."""
    del state, event
    if made.level is not Level.FALLBACK:
        return made
    text = f"{made.text}\n{_FEW_WORDS.format(record.removed)}"
    return replace(made, text=text, tokens=measured(text))


def _to_the_cap(state: State, event: Commit, made: Summarised, record: Pass) -> Summarised:
    """Cut the source to the cap of a fallback, although it may be shorter than that."""
    del record
    if made.level is not Level.FALLBACK:
        return made
    at = find(state.taken.ledger.lists, event.conversation)
    assert at is not None
    text = cut(source(state, at, items_of(chunk_of(state, event))), event.settings.fallback_cap)
    return replace(made, text=text, tokens=measured(text))


def _without_what_came(state: State, event: Event, said: Swept) -> Swept:
    """Leave the newest entry out of the totals of all passes: it came during the first call."""
    del event
    (here,) = {one.id for one in state.taken.ledger.lists.conversations}
    unseen = tokens_in(entries_of(state, here)[-1:])
    passes = [
        replace(one, before=one.before - unseen, after=one.after - unseen) for one in said.passes
    ]
    return replace(said, passes=tuple(passes))


def _event_rows(state: State, event: Event) -> tuple[State, Outcome]:
    """Store a row for each sweep that changed something, among what hosts hand over."""
    after, outcome = right(state, event)
    if not isinstance(outcome, Swept) or not outcome.compacted:
        return after, outcome
    (here,) = {one.id for one in after.taken.ledger.lists.conversations}
    return with_a_row(after, here, "compaction"), outcome


def _tail_alone(state: State, event: Event) -> tuple[State, Outcome]:
    """Commit what the fresh tail does not protect, the newest message of a user included."""
    rules = Rules(name="TAIL_ALONE", newest_user=False)
    return step(rules if isinstance(event, Commit) else SPEC, state, event)


def _without_a_tail(state: State, event: Event) -> tuple[State, Outcome]:
    """Commit as if the settings of the call had no fresh tail."""
    if isinstance(event, Commit):
        return right(state, replace(event, settings=replace(event.settings, fresh_tail=0)))
    return right(state, event)


def _retried(state: State, event: Commit, record: Pass) -> Pass:
    del state, event
    return replace(record, calls=record.calls + 1)


def _of_the_answer(state: State, event: Commit, made: Summarised, record: Pass) -> Summarised:
    """Cut the rejected answer instead of the source."""
    del state
    answers = [one.text for one in event.answers if isinstance(one, Text)]
    if made.level is not Level.FALLBACK or not answers:
        return made
    text = cut(answers[-1], min(event.settings.fallback_cap, record.removed - 1))
    return replace(made, text=text, tokens=measured(text))


def _whole_answer(state: State, event: Commit, made: Summarised, record: Pass) -> Summarised:
    """Store an answer that is longer than its limit as it is."""
    del state, record
    if not made.capped:
        return made
    (text,) = {one.text for one in event.answers if isinstance(one, Text)}
    return replace(made, text=text, tokens=measured(text))


def _cap_and_note(state: State, event: Commit, made: Summarised, record: Pass) -> Summarised:
    """Write behind a text that was cut to its limit that it was cut."""
    del state, event
    if not made.capped:
        return made
    text = f"{made.text}\n[Capped from {record.removed} tokens]"
    return replace(made, text=text, tokens=measured(text))


VARIANTS: tuple[CompactionVariant, ...] = (
    Variant(
        name="UNTESTED",
        machine=stepping("UNTESTED", _untested),
        breaks="CMP-5",
        source="lossless-claw, all releases",
        story="A pass is committed before anybody asks whether it shortened anything; the next one"
        " condenses two long summaries into a longer one. Measured there: 99 tokens became 166.",
        scope=commits("au", (*LONG, *FAILING[1:])),
        sole=True,
    ),
    Variant(
        name="FIGURE_3",
        machine=stepping("FIGURE_3", committing(_to_the_cap)),
        breaks="CMP-5",
        source="LCM paper, figure 3, line 14",
        story="The third level cuts the source to the cap and returns it without the test of the"
        " other two. A source that is shorter than the cap stays as long as it was, with its"
        " headers longer, and the paper's loop does not end.",
        scope=commits("au", EMPTY),
    ),
    Variant(
        name="NOTE_BEHIND_FALLBACK",
        machine=stepping("NOTE_BEHIND_FALLBACK", committing(_with_a_note)),
        breaks="CMP-5",
        source="lossless-claw, up to #344",
        story="A note behind a fallback says how much was cut and is longer than that: 40 tokens"
        " became 72.",
        scope=commits("au", EMPTY),
    ),
    Variant(
        name="OWN_BASELINE",
        machine=stepping("OWN_BASELINE", sweeping(_without_what_came)),
        breaks="CMP-6",
        source="lossless-claw PR #295",
        story="The total is followed by deltas from the moment at which the sweep began, so what is"
        " appended meanwhile is in the context and in no report: 640 tokens instead of 1,640.",
        scope=sweeps("aau"),
        sole=True,
    ),
    Variant(
        name="EVENT_ROWS",
        machine=stepping("EVENT_ROWS", _event_rows),
        breaks="CMP-7",
        source="lossless-claude/lcm 0.9",
        story="Each sweep leaves a row about itself among the rows that hosts hand over.",
        scope=sweeps("aau"),
        sole=True,
    ),
    Variant(
        name="TAIL_ALONE_IS_PROTECTED",
        machine=stepping("TAIL_ALONE_IS_PROTECTED", _tail_alone),
        breaks="CMP-8",
        source="lossless-claw before #1008",
        story="A fresh tail of few messages ends behind the question that is being answered, and"
        " the question is summarised.",
        scope=commits("ua"),
        sole=True,
    ),
    Variant(
        name="OVERRIDE_IGNORED",
        machine=stepping("OVERRIDE_IGNORED", _without_a_tail),
        breaks="CMP-9",
        source="lossless-claw, all releases",
        story="A call asks for another fresh tail; one of the two kinds of pass does not look at"
        " it.",
        scope=commits("aa"),
        sole=True,
    ),
    Variant(
        name="RETRIED",
        machine=stepping("RETRIED", recording(_retried)),
        breaks="CMP-10",
        source=CONSTRUCTED,
        story="A call is made once more than its level needs, and paid for.",
        scope=commits("au"),
        sole=True,
    ),
    Variant(
        name="VOLT_FALLBACK_OF_SUMMARY",
        machine=stepping("VOLT_FALLBACK_OF_SUMMARY", committing(_of_the_answer)),
        breaks="CMP-11",
        source="Volt, at 944c7943",
        story="The last level cuts the answer that was just rejected instead of the source; what a"
        " model made up stands for what was said.",
        scope=commits("au", LONG),
        sole=True,
    ),
    Variant(
        name="UNCAPPED",
        machine=stepping("UNCAPPED", committing(_whole_answer)),
        breaks="CMP-12",
        source=CONSTRUCTED,
        story="An answer of many times its target is stored because it is shorter than its source.",
        scope=commits("lu", MIDDLE),
        sole=True,
    ),
    Variant(
        name="NOTE_BEHIND_CAP",
        machine=stepping("NOTE_BEHIND_CAP", committing(_cap_and_note)),
        breaks="CMP-12",
        source="lossless-claw #211",
        story="The note that a text was cut to its limit takes it beyond its limit.",
        scope=commits("lu", MIDDLE),
    ),
)
"""What a pass puts into a context, and what it takes out."""
