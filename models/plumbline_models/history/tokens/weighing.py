"""Decisions by another number, against other thresholds, or wrong at the edge."""

from collections.abc import Callable, Iterator

from msgspec.structs import replace

from plumbline_models.decisions.limits import Limits, Regime, Thresholds, regime, thresholds
from plumbline_models.history import CONSTRUCTED, Variant
from plumbline_models.history.tokens.making import (
    ONE,
    WHOLE,
    TokensVariant,
    decided,
    offered,
    stepping,
    total_of,
    weighing,
)
from plumbline_models.ordinals import MessageItem
from plumbline_models.ordinals.queries import find
from plumbline_models.tokens import Step
from plumbline_models.tokens.clauses import by_code_points
from plumbline_models.tokens.queries import counts_of, ledger_of, standing
from plumbline_models.tokens.values import Event, State, Weigh, Weighed

_USUAL_WINDOW = 200_000


def _estimated(state: State, event: Weigh) -> Weighed:
    """Decide by a fresh estimate of every message of the session."""
    at = find(state.lists, event.conversation)
    messages = () if at is None else at.messages
    return decided(event, sum(by_code_points(one.text) for one in messages))


def _first_of_all(state: State, event: Weigh) -> Weighed:
    """Decide by the total that was read first, whosever it is."""
    return decided(event, state.ledgers[0].total)


def _with_overhead(state: State, event: Weigh) -> Weighed:
    """Decide by the total and what the host sends beside the context."""
    return decided(event, total_of(state, event) + event.limits.overhead)


def _observed_and_raw(state: State, event: Weigh) -> Weighed:
    """Decide by what was observed and, once more, the messages that it contains."""
    total = total_of(state, event)
    if event.observed is None:
        return decided(event, total)
    counts = counts_of(ledger_of(state, event.conversation))
    items = standing(find(state.lists, event.conversation))
    raw = sum(counts[item] for item in items if isinstance(item, MessageItem))
    return decided(event, total, max(total, event.observed + raw))


def _observed_alone(state: State, event: Weigh) -> Weighed:
    return decided(event, total_of(state, event), event.observed)


def _stored_alone(state: State, event: Weigh) -> Weighed:
    total = total_of(state, event)
    return decided(event, total, total)


def _against(limit: Callable[[Limits], Thresholds]) -> Step:
    """Return a step that decides against other thresholds."""
    return weighing(
        lambda state, event: decided(event, total_of(state, event), at=limit(event.limits))
    )


def _without_reserve(limits: Limits) -> Thresholds:
    return thresholds(replace(limits, reserve=0))


def _share_of_the_window(limits: Limits) -> Thresholds:
    """Return shares of the window, whatever is sent beside the context."""
    return thresholds(replace(limits, overhead=0))


def _below_zero(limits: Limits) -> Thresholds:
    hard = limits.window - limits.overhead - limits.reserve
    soft = limits.window * limits.soft_percent // 100 - limits.overhead
    return Thresholds(soft=min(soft, hard), hard=hard)


def _soft_above(limits: Limits) -> Thresholds:
    soft = limits.window * limits.soft_percent // 100 - limits.overhead
    return replace(thresholds(limits), soft=max(0, soft))


def _usual_window(limits: Limits) -> Thresholds:
    return thresholds(replace(limits, window=limits.window or _USUAL_WINDOW))


def _mostly_reserved(state: State) -> Iterator[Event]:
    """Yield weighings in a window of which most is kept free for the answer."""
    for ledger in state.ledgers:
        yield Weigh(conversation=ledger.conversation, limits=Limits(window=10, reserve=8))


def _judged(judge: Callable[[int, Thresholds], Regime]) -> Step:
    """Return a step that decides by the right numbers in another way."""

    def decide(state: State, event: Weigh) -> Weighed:
        usual = decided(event, total_of(state, event))
        return replace(usual, regime=judge(usual.size, thresholds(event.limits)))

    return weighing(decide)


def _soft_at_the_edge(size: int, at: Thresholds) -> Regime:
    usual = regime(size, at)
    return Regime.SOFT if usual is Regime.WITHIN and size == at.soft else usual


def _hard_at_the_edge(size: int, at: Thresholds) -> Regime:
    return Regime.HARD if size == at.hard else regime(size, at)


def _soft_at_zero(state: State, event: Weigh) -> Weighed:
    at = replace(thresholds(event.limits), soft=0)
    return decided(event, total_of(state, event), at=at)


def _one_threshold(state: State, event: Weigh) -> Weighed:
    """Decide with the soft threshold at the hard one wherever room is reserved."""
    at = thresholds(event.limits)
    if event.limits.reserve:
        at = replace(at, soft=at.hard)
    return decided(event, total_of(state, event), at=at)


VARIANTS: tuple[TokensVariant, ...] = (
    Variant(
        name="FRESH_ESTIMATE",
        machine=stepping("FRESH_ESTIMATE", weighing(_estimated)),
        breaks="TOK-14",
        source="lossless-claw #1014",
        story="After a turn all messages of the session are estimated anew, those that summaries"
        " cover included, and the context is compacted for what does not stand in it.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="SHARED_CACHE",
        machine=stepping("SHARED_CACHE", weighing(_first_of_all)),
        breaks="TOK-14",
        source="hermes-lcm #285, #289, #293 (state that cloned engines share)",
        story="A total is cached for an engine and not for a conversation: whoever asks next, in"
        " whatever conversation, is answered with it.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="OVERHEAD_AS_CONTENT",
        machine=stepping("OVERHEAD_AS_CONTENT", weighing(_with_overhead)),
        breaks="TOK-14",
        source="lossless-claw #1085",
        story="What the host sends beside the context is counted as if it could be compacted. The"
        " target falls to a token, and no pass ever reaches it.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="COUNTED_AGAIN",
        machine=stepping("COUNTED_AGAIN", weighing(_observed_and_raw)),
        breaks="TOK-15",
        source="lossless-claw #772, until f272fab9",
        story="The messages that are not summarised yet are added to what the host observed, which"
        " contains them: they weigh twice.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="OBSERVED_ALONE",
        machine=stepping("OBSERVED_ALONE", weighing(_observed_alone)),
        breaks="TOK-15",
        source="hermes-lcm",
        story="What the host counted last replaces the total even where it is less: what came"
        " since then is not seen.",
        scope=ONE,
        sole=True,
    ),
    Variant(
        name="OBSERVED_IGNORED",
        machine=stepping("OBSERVED_IGNORED", weighing(_stored_alone)),
        breaks="TOK-15",
        source="lossless-claw #270, #351",
        story="The provider has refused the context as too long, and the recovery finds that the"
        " stored total is within its limits and does nothing.",
        scope=ONE,
        sole=True,
    ),
    Variant(
        name="NO_ROOM_TO_ANSWER",
        machine=stepping("NO_ROOM_TO_ANSWER", _against(_without_reserve)),
        breaks="TOK-16",
        source="gents PR #999",
        story="A context may fill the window, with nothing kept free for the answer. The provider"
        " refuses it at 512,001 tokens of 512,000.",
        scope=WHOLE,
    ),
    Variant(
        name="SHARE_OF_THE_WINDOW",
        machine=stepping("SHARE_OF_THE_WINDOW", _against(_share_of_the_window)),
        breaks="TOK-16",
        source="lossless-claw, contextThreshold",
        story="The threshold is a share of the whole window. Instructions and tool descriptions"
        " take the rest and more, and a context below the threshold does not fit.",
        scope=ONE,
        sole=True,
    ),
    Variant(
        name="BELOW_ZERO",
        machine=stepping("BELOW_ZERO", _against(_below_zero)),
        breaks="TOK-16",
        source=CONSTRUCTED,
        story="What is sent beside the context fills more than the window. The thresholds are"
        " negative, and an empty context is over them.",
        scope=ONE,
        sole=True,
    ),
    Variant(
        name="SOFT_ABOVE_HARD",
        machine=offered(stepping("SOFT_ABOVE_HARD", _against(_soft_above)), _mostly_reserved),
        breaks="TOK-16",
        source=CONSTRUCTED,
        story="The soft threshold is a share of the window and knows nothing of the reserve. Where"
        " that is large, a context does not fit before there is a reason to compact it.",
        scope=ONE,
        sole=True,
    ),
    Variant(
        name="USUAL_WINDOW",
        machine=stepping("USUAL_WINDOW", _against(_usual_window)),
        breaks="TOK-16",
        source="lossless-claw #347",
        story="Where no window is known, 200,000 tokens are assumed, and a smaller model is sent"
        " what it cannot take.",
        scope=ONE,
        sole=True,
    ),
    Variant(
        name="SOFT_AT_THE_EDGE",
        machine=stepping("SOFT_AT_THE_EDGE", _judged(_soft_at_the_edge)),
        breaks="TOK-17",
        source="the LCM paper, equation 1",
        story="The context is to be compacted at the soft threshold already, where figure 2 of the"
        " same paper waits until it is above.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="HARD_AT_THE_EDGE",
        machine=stepping("HARD_AT_THE_EDGE", _judged(_hard_at_the_edge)),
        breaks="TOK-17",
        source="lossless-claw, all releases: compactUntilUnder",
        story="A context that fills its room exactly is taken for one that does not fit, by one of"
        " two comparisons of the same engine: the other one finds that it does.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="NEVER_WITHIN",
        machine=stepping("NEVER_WITHIN", weighing(_soft_at_zero)),
        breaks="TOK-16",
        source="lossless-claw PR #295: the leaf trigger acts below the threshold",
        story="There is always a reason to compact, however small the context is (there from 20,000"
        " raw tokens on), so it never shows what happens at the soft threshold.",
        scope=WHOLE,
    ),
    Variant(
        name="ONE_THRESHOLD",
        machine=stepping("ONE_THRESHOLD", weighing(_one_threshold)),
        breaks="TOK-16",
        source=CONSTRUCTED,
        story="Where room is kept free for the answer, both thresholds are one: the context is not"
        " compacted before it is too late, and a size never is at the hard one alone.",
        scope=WHOLE,
    ),
)
