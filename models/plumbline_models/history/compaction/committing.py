"""Commits that are taken when they are stale, refused when they are not, or leave something."""

from msgspec.structs import replace

from plumbline_models.compaction.passes import budget_of
from plumbline_models.compaction.transitions import step
from plumbline_models.compaction.values import (
    Commit,
    Committed,
    Event,
    Outcome,
    Pass,
    Reason,
    Refused,
    Rules,
    State,
)
from plumbline_models.decisions.escalation import Level, Summarised, Text, cut, measured
from plumbline_models.history import CONSTRUCTED, Variant
from plumbline_models.history.compaction.making import (
    DENIED,
    FAILING,
    SHORT,
    CompactionVariant,
    chunk_of,
    commits,
    committing,
    right,
    stepping,
    with_a_row,
)


def _between(state: State, event: Event) -> tuple[State, Outcome]:
    return step(Rules(name="BETWEEN", stale_check=False), state, event)


def _for_ever(state: State, event: Event) -> tuple[State, Outcome]:
    """Refuse every commit beside a summary that stands already."""
    if isinstance(event, Commit) and state.extents and event.items:
        after, outcome = right(state, event)
        if isinstance(outcome, Committed):
            return state, Refused(reason=Reason.STALE)
        return after, outcome
    return right(state, event)


def _the_last(state: State, event: Commit, made: Summarised, record: Pass) -> Summarised:
    """Take the second answer although the first is short enough."""
    del record
    texts = [one.text.strip() for one in event.answers if isinstance(one, Text)]
    if made.level is not Level.NORMAL or len(texts) < len(event.answers):
        return made
    condense = chunk_of(state, event)[0].depth is not None
    text = cut(texts[-1], budget_of(event.settings, condense=condense).limit)
    return replace(made, text=text, tokens=measured(text), level=Level.AGGRESSIVE, calls=2)


def _any_failure(state: State, event: Event) -> tuple[State, Outcome]:
    """Take every call that fails for one whose caller is not authenticated."""
    after, outcome = right(state, event)
    if outcome == Refused(reason=Reason.SUMMARISER_ERROR):
        return after, Refused(reason=Reason.AUTHENTICATION)
    return after, outcome


def _rows_first(state: State, event: Event) -> tuple[State, Outcome]:
    """Store what a summariser answered before anybody knows whether it is taken."""
    after, outcome = right(state, event)
    if isinstance(event, Commit) and outcome == Refused(reason=Reason.AUTHENTICATION):
        return with_a_row(after, event.conversation, "rejected"), outcome
    return after, outcome


VARIANTS: tuple[CompactionVariant, ...] = (
    Variant(
        name="VOLT_POSITIONS_AFTER_AWAIT",
        machine=stepping("VOLT_POSITIONS_AFTER_AWAIT", _between),
        breaks="CMP-13",
        source="lossless-claw, all releases; Volt, at 944c7943",
        story="The range is read before the call and used after it. What came into it meanwhile is"
        " replaced as well: a message left the context that no summary covers.",
        scope=commits("eaau"),
        sole=True,
    ),
    Variant(
        name="STALE_FOR_EVER",
        machine=stepping("STALE_FOR_EVER", _for_ever),
        breaks="CMP-13",
        source="lcm-x 0.23",
        story="The check that refuses a stale commit refuses every later one too; nothing is lost"
        " and nothing is compacted again.",
        scope=commits("llu", summaries=2),
        sole=True,
    ),
    Variant(
        name="THE_LAST_ANSWER",
        machine=stepping("THE_LAST_ANSWER", committing(_the_last)),
        breaks="CMP-14",
        source=CONSTRUCTED,
        story="A second answer is asked for and taken although the first was short enough.",
        scope=commits("lu", SHORT),
        sole=True,
    ),
    Variant(
        name="ANY_FAILURE_IS_AUTHENTICATION",
        machine=stepping("ANY_FAILURE_IS_AUTHENTICATION", _any_failure),
        breaks="CMP-14",
        source=CONSTRUCTED,
        story="Every call that fails is reported as one whose caller is not authenticated.",
        scope=commits("lu", FAILING[1:]),
        sole=True,
    ),
    Variant(
        name="VOLT_ROWS_BEFORE_TEST",
        machine=stepping("VOLT_ROWS_BEFORE_TEST", _rows_first),
        breaks="CMP-15",
        source="Volt, at 944c7943",
        story="What a summariser answers is stored before it is tested, so a rejected attempt"
        " leaves a row behind, and a message has two summaries.",
        scope=commits("lu", DENIED),
        sole=True,
    ),
)
