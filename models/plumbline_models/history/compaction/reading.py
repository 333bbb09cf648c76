"""Evaluations that count twice, and selections that miss or begin at the wrong place."""

from msgspec.structs import replace

from plumbline_models.compaction.selection import boundary, entries_of
from plumbline_models.compaction.transitions import step
from plumbline_models.compaction.values import (
    SPEC,
    Evaluated,
    Event,
    Outcome,
    Rules,
    Select,
    Selected,
    State,
)
from plumbline_models.history import CONSTRUCTED, Variant
from plumbline_models.history.compaction.making import (
    CompactionVariant,
    commits,
    right,
    stepping,
)


def _projected(state: State, event: Event) -> tuple[State, Outcome]:
    """Add what is raw to a total that has it already."""
    after, outcome = right(state, event)
    if not isinstance(outcome, Evaluated):
        return after, outcome
    size = outcome.size + outcome.raw
    return after, replace(outcome, size=size, compact=size > outcome.threshold)


def _at_the_edge(state: State, event: Event) -> tuple[State, Outcome]:
    after, outcome = right(state, event)
    if not isinstance(outcome, Evaluated):
        return after, outcome
    return after, replace(outcome, compact=outcome.size >= outcome.threshold)


def _first_run(state: State, event: Event) -> tuple[State, Outcome]:
    rules = Rules(name="FIRST_RUN", later_runs=False)
    return step(rules, state, event) if isinstance(event, Select) else right(state, event)


def _empty_too(state: State, event: Event) -> tuple[State, Outcome]:
    rules = Rules(name="EMPTY_TOO", skips_empty=False)
    return step(rules, state, event) if isinstance(event, Select) else right(state, event)


def _newest(state: State, event: Event) -> tuple[State, Outcome]:
    """Select the newest message that is not protected, where the oldest is due."""
    after, outcome = right(state, event)
    if not isinstance(event, Select) or event.condense or not isinstance(outcome, Selected):
        return after, outcome
    entries = entries_of(state, event.conversation)
    last = entries[boundary(SPEC, entries, event.settings) - 1]
    return after, replace(outcome, items=(last.item,), removed=last.tokens)


VARIANTS: tuple[CompactionVariant, ...] = (
    Variant(
        name="PROJECTED_TWICE",
        machine=stepping("PROJECTED_TWICE", _projected),
        breaks="CMP-16",
        source="lossless-claw #772, until #1072",
        story="What is raw outside the tail is added to a total that has it already, and a context"
        " is compacted that is far below its threshold.",
        scope=commits("au"),
        sole=True,
    ),
    Variant(
        name="EQ1_GE",
        machine=stepping("EQ1_GE", _at_the_edge),
        breaks="CMP-16",
        source="LCM paper, equation 1",
        story="A context of exactly the threshold is compacted; figure 2 of the same paper says"
        " that it is not.",
        scope=commits("au"),
        sole=True,
    ),
    Variant(
        name="FIRST_RUN_HIDES",
        machine=stepping("FIRST_RUN_HIDES", _first_run),
        breaks="CMP-17",
        source="lossless-claw, all releases",
        story="The oldest run of a depth is too short, and nothing of that depth is ever condensed"
        " again, however long the later runs grow.",
        scope=commits("lEllu", summaries=3),
    ),
    Variant(
        name="EMPTY_BLOCKS",
        machine=stepping("EMPTY_BLOCKS", _empty_too),
        breaks="CMP-17",
        source="lossless-claw before #1011",
        story="Messages that say nothing are selected; a summary of nothing is longer than they"
        " are, or every later call selects them again.",
        scope=commits("Eau"),
    ),
    Variant(
        name="NEWEST_CHUNK",
        machine=stepping("NEWEST_CHUNK", _newest),
        breaks="CMP-17",
        source=CONSTRUCTED,
        story="The newest chunk is selected first, so the oldest messages stay raw for ever.",
        scope=commits("llu"),
        sole=True,
    ),
)
