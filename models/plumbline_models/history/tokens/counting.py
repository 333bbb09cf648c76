"""Counts that come past the door, estimates of less than the text, and doubts about good counts."""

from collections.abc import Callable, Iterator

from msgspec.structs import replace

from plumbline_models.decisions.counting import QUARTERS, Door, Doubt, Measure
from plumbline_models.history import CONSTRUCTED, Variant
from plumbline_models.history.tokens.making import (
    DOUBTED,
    LONGER,
    ONE,
    WHOLE,
    Counting,
    TokensVariant,
    beginning,
    counting,
    given_again,
    offered,
    right,
    ruled,
    stepping,
)
from plumbline_models.ordinals import MessageId
from plumbline_models.tokens import Scope, Step
from plumbline_models.tokens.clauses import by_code_points
from plumbline_models.tokens.transitions import step
from plumbline_models.tokens.values import (
    Append,
    Draft,
    Event,
    Outcome,
    Posted,
    Refused,
    Replace,
    Rules,
    State,
)

_OPEN = Rules(name="OPEN", door=Door.OPEN)
_COUNTED = Scope(conversations=1, messages=2, summaries=0, batch=1, refusals=False, counts=(5,))
"""Hosts count every message, so that nothing is ever estimated."""
_HEADER = "text of "
_SUFFIX = len(" s1")
_NOT_YET = -1
"""What stands for "not counted yet" in a column that knows no null."""
_PARENTS = 50_000
"""The total of the conversation from which another is forked."""


def _floor(text: str) -> int:
    return len(text) // QUARTERS


def _short_words(state: State) -> Iterator[Event]:
    """Yield two messages too short for a token each, counted by the host."""
    for at in state.lists.conversations:
        if not at.messages:
            names = (MessageId("ab"), MessageId("cd"))
            drafts = tuple(Draft(id=name, text=name, tokens=1) for name in names)
            yield Append(conversation=at.id, messages=drafts)


def _estimating(measured: Callable[[str], int]) -> Counting:
    """Return a counting that estimates otherwise where the host does not count."""
    return lambda text, given: given or measured(text)


def _words(text: str) -> int:
    return len(text.split())


def _without_header(text: str) -> int:
    return by_code_points(text.removeprefix(_HEADER))


def _without_suffix(state: State, event: Event) -> tuple[State, Outcome]:
    """Take the step with a summary's estimate made before its suffix is appended."""
    if not isinstance(event, Replace) or event.tokens:
        return right(state, event)
    capped = by_code_points(event.text[:-_SUFFIX])
    return step(_OPEN, state, given_again(event, lambda _text, _given: capped))


def _own_estimate(text: str, given: int | None) -> int:
    del given
    return by_code_points(text)


def _believing(doubt: Doubt, instead: Counting = lambda _text, given: given) -> Step:
    """Return a step that accepts what the right one refuses for ``doubt`` and nothing else."""

    def one_step(state: State, event: Event) -> tuple[State, Outcome]:
        after, outcome = right(state, event)
        if not isinstance(outcome, Refused) or outcome.reason is not doubt:
            return after, outcome
        wrong, happened = step(_OPEN, state, given_again(event, instead))
        return (wrong, happened) if isinstance(happened, Posted) else (after, outcome)

    return one_step


def _positive_or_none(text: str, given: int | None) -> int | None:
    del text
    return given if given is not None and given > 0 else None


def _own_alone(state: State, event: Event) -> tuple[State, Outcome]:
    """Take the step; a count that is not the estimate is refused."""
    after, outcome = right(state, event)
    if isinstance(outcome, Posted) and given_again(event, _checked) != event:
        return state, Refused(reason=Doubt.ABSURD_COUNT, index=0)
    return after, outcome


def _first_named(state: State, event: Event) -> tuple[State, Outcome]:
    """Take the step; whatever count is refused, the first message is said to have it."""
    after, outcome = right(state, event)
    return after, replace(outcome, index=0) if isinstance(outcome, Refused) else outcome


def _checked(text: str, given: int | None) -> int | None:
    return by_code_points(text) if given else given


VARIANTS: tuple[TokensVariant, ...] = (
    Variant(
        name="ZERO_STORED",
        machine=ruled(Rules(name="ZERO_STORED", door=Door.OPEN)),
        breaks="TOK-4",
        source="lossless-claw, all releases (imported rows)",
        story="What is given as a count is stored, and a host that did not count gives zero: a"
        " message of any length stands in the context for nothing.",
        scope=ONE,
    ),
    Variant(
        name="NEGATIVE_STORED",
        machine=stepping("NEGATIVE_STORED", _believing(Doubt.NEGATIVE_COUNT)),
        breaks="TOK-3",
        source="lossless-claw, all releases",
        story="Nothing asks whether a count is negative: the sum of the context takes it off"
        " instead of adding it.",
        scope=DOUBTED,
    ),
    Variant(
        name="ABSURD_STORED",
        machine=stepping("ABSURD_STORED", _believing(Doubt.ABSURD_COUNT)),
        breaks="TOK-5",
        source="lcm-x #627",
        story="An image is counted by the characters of its encoding, which no model is sent: one"
        " message outweighs everything else that was said.",
        scope=DOUBTED,
    ),
    Variant(
        name="IMPORTED_AT_ZERO",
        machine=stepping("IMPORTED_AT_ZERO", beginning("what was said before", 0)),
        breaks="TOK-4",
        source="lossless-claw, all releases",
        story="A conversation begins with rows from elsewhere, which are written without passing"
        " the door: their counts are zero, and they have content.",
        scope=LONGER,
        sole=True,
    ),
    Variant(
        name="NOT_COUNTED_YET",
        machine=stepping("NOT_COUNTED_YET", beginning("a notice of the engine", _NOT_YET)),
        breaks="TOK-3",
        source=CONSTRUCTED,
        story="A conversation begins with a notice of the engine's own. Its count is -1, to be"
        " filled in later, and is added up with the others until then.",
        scope=LONGER,
        sole=True,
    ),
    Variant(
        name="FORKED_WITH_TOTAL",
        machine=stepping("FORKED_WITH_TOTAL", beginning("forked from another", _PARENTS)),
        breaks="TOK-5",
        source=CONSTRUCTED,
        story="A forked conversation begins with a reference to its parent, and that one line has"
        " the parent's whole total for a count.",
        scope=LONGER,
        sole=True,
    ),
    Variant(
        name="FLOORED",
        machine=offered(
            stepping("FLOORED", counting(_estimating(_floor), _OPEN), measured=_floor), _short_words
        ),
        breaks="TOK-6",
        source=CONSTRUCTED,
        story="An estimate rounds down. Short texts weigh nothing one by one and something"
        " together, so what was planned by its parts does not fit as a whole.",
        scope=_COUNTED,
        sole=True,
    ),
    Variant(
        name="CODE_UNITS",
        machine=ruled(Rules(name="CODE_UNITS", measure=Measure.UTF16)),
        breaks="TOK-9",
        source="lossless-claw before PR #344",
        story="Four UTF-16 code units are taken for a token. Chinese, Japanese and Korean text is"
        " counted for a sixth of what it is, and every budget is exceeded by as much.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="WORDS",
        machine=stepping("WORDS", counting(_estimating(_words), _OPEN)),
        breaks="TOK-9",
        source="dddabtc/lcm-prototype",
        story="Words are counted for tokens; a language that puts no blanks between them has"
        " hardly any.",
        scope=ONE,
    ),
    Variant(
        name="HEADER_LEFT_OUT",
        machine=stepping("HEADER_LEFT_OUT", counting(_estimating(_without_header), _OPEN)),
        breaks="TOK-9",
        source="lossless-claw, all releases: headers of time around sources",
        story="What a summariser is sent has headers, and what is counted is the text between"
        " them: a summary can be larger than what it replaces and pass for smaller.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="SUFFIX_LEFT_OUT",
        machine=stepping("SUFFIX_LEFT_OUT", _without_suffix),
        breaks="TOK-9",
        source="lossless-claw #211; Volt, level 3",
        story="A summary is cut to its cap and counted, and then a note about the cut, or the ids"
        " that it covers, are appended: what is stored is over the cap.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="GIVEN_IGNORED",
        machine=stepping("GIVEN_IGNORED", counting(_own_estimate, _OPEN)),
        breaks="TOK-8",
        source="lossless-claw, all releases",
        story="At ingest every count is the engine's own estimate, whatever a tokenizer of the"
        " host has counted.",
        scope=replace(LONGER, refusals=True),
        sole=True,
    ),
    Variant(
        name="NEGATIVE_ESTIMATED",
        machine=stepping("NEGATIVE_ESTIMATED", _believing(Doubt.NEGATIVE_COUNT, _positive_or_none)),
        breaks="TOK-10",
        source="lossless-claw, all releases",
        story="A count that is not positive is taken for a missing one, so a host that subtracts"
        " where it should add never hears of it.",
        scope=DOUBTED,
        sole=True,
    ),
    Variant(
        name="OWN_COUNT_ALONE",
        machine=stepping("OWN_COUNT_ALONE", _own_alone),
        breaks="TOK-10",
        source=CONSTRUCTED,
        story="A count is believed when it is the engine's own estimate and refused otherwise: a"
        " host with a real tokenizer can store nothing any more.",
        scope=LONGER,
        sole=True,
    ),
    Variant(
        name="FIRST_NAMED",
        machine=stepping("FIRST_NAMED", _first_named),
        breaks="TOK-10",
        source=CONSTRUCTED,
        story="A batch is refused for one count, and the refusal names another: the host corrects"
        " what was right and hands over the same batch again.",
        scope=DOUBTED,
        sole=True,
    ),
)
