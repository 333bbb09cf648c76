"""Machines that break nothing because what would be hard never happens in them."""

from collections.abc import Callable

from plumbline_models import ordinals
from plumbline_models.history import CONSTRUCTED, Variant
from plumbline_models.history.tokens.making import (
    WHOLE,
    TokensVariant,
    refusing,
    right,
    stepping,
)
from plumbline_models.ordinals import Reason
from plumbline_models.tokens import Step
from plumbline_models.tokens.values import (
    Append,
    Event,
    Outcome,
    Posted,
    Replace,
    State,
    Weighed,
)


def _silent(at_edge: Callable[[Weighed], bool]) -> Step:
    """Return a step that answers no weighing of a size that lies exactly where ``at_edge`` says."""

    def one_step(state: State, event: Event) -> tuple[State, Outcome]:
        after, outcome = right(state, event)
        if isinstance(outcome, Weighed) and outcome.size and at_edge(outcome):
            return state, ordinals.Refused(reason=Reason.UNKNOWN_CONVERSATION)
        return after, outcome

    return one_step


def _grows(state: State, event: Event, posted: Posted) -> bool:
    del state
    return isinstance(event, Replace) and posted.after > posted.before


def _foreign(state: State, event: Event, posted: Posted) -> bool:
    """Tell whether an event brings a text beyond ASCII that nobody has counted."""
    del state, posted
    match event:
        case Append():
            return any(not one.text.isascii() and not one.tokens for one in event.messages)
        case Replace():
            return not event.text.isascii() and not event.tokens
        case _:
            return False


def _second(state: State, event: Event, posted: Posted) -> bool:
    del posted
    return isinstance(event, ordinals.Open) and bool(state.lists.conversations)


VARIANTS: tuple[TokensVariant, ...] = (
    Variant(
        name="SILENT_AT_SOFT",
        machine=stepping(
            "SILENT_AT_SOFT", _silent(lambda found: found.size == found.soft < found.hard)
        ),
        breaks="TOK-18",
        source=CONSTRUCTED,
        story="A size that equals the soft threshold gets no answer, so nobody learns in which"
        " regime it is.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="SILENT_AT_HARD",
        machine=stepping(
            "SILENT_AT_HARD", _silent(lambda found: found.soft < found.size == found.hard)
        ),
        breaks="TOK-19",
        source=CONSTRUCTED,
        story="A size that equals the hard threshold gets no answer, so nobody learns whether it"
        " still fits.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="NEVER_GROWS",
        machine=stepping("NEVER_GROWS", refusing(Reason.STALE_RANGE, _grows)),
        breaks="TOK-20",
        source=CONSTRUCTED,
        story="A replacement by something larger is refused. That is wise, and it belongs to"
        " whoever compacts: here it hides whether a total can follow upwards.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="ASCII_ONLY",
        machine=stepping("ASCII_ONLY", refusing(Reason.EMPTY_BATCH, _foreign)),
        breaks="TOK-21",
        source=CONSTRUCTED,
        story="What is not ASCII is filtered out before it is counted, and a message of which"
        " nothing is left is refused as empty.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="NO_SECOND_LEDGER",
        machine=stepping("NO_SECOND_LEDGER", refusing(Reason.CONVERSATION_EXISTS, _second)),
        breaks="TOK-22",
        source=CONSTRUCTED,
        story="A second conversation cannot be opened, so nothing ever shows whose total an event"
        " moves.",
        scope=WHOLE,
        sole=True,
    ),
)
