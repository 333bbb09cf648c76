"""Stored counts that change, stay behind or go astray, and readings that write."""

from collections.abc import Callable

from msgspec.structs import replace

from plumbline_models import ordinals
from plumbline_models.decisions.counting import Doubt, least
from plumbline_models.history import CONSTRUCTED, Variant
from plumbline_models.history.tokens.making import (
    DOUBTED,
    ONE,
    WHOLE,
    TokensVariant,
    keeping,
    recounted,
    right,
    settled,
    stepping,
)
from plumbline_models.ordinals import Conversation, Item, MessageItem, SummaryItem
from plumbline_models.ordinals.queries import coverers, find
from plumbline_models.tokens import Step
from plumbline_models.tokens.clauses import by_code_points
from plumbline_models.tokens.queries import counts_of, ledger_of, standing
from plumbline_models.tokens.values import (
    Append,
    Event,
    Ledger,
    Outcome,
    Refused,
    State,
    Weigh,
    Weighed,
)


def _kept(state: State, after: State, event: Event) -> State:
    """Keep the count of every message that was ever stored."""
    ledger = ledger_of(after, event.conversation)
    counted = counts_of(ledger)
    gone = tuple(
        one
        for one in ledger_of(state, event.conversation).counts
        if isinstance(one.item, MessageItem) and one.item not in counted
    )
    return settled(after, replace(ledger, counts=(*ledger.counts, *gone)))


def _twice(state: State, after: State, event: Event) -> State:
    """Store the counts of a batch once more."""
    ledger = ledger_of(after, event.conversation)
    if not isinstance(event, Append):
        return after
    old = counts_of(ledger_of(state, event.conversation))
    new = tuple(one for one in ledger.counts if one.item not in old)
    return settled(after, replace(ledger, counts=(*ledger.counts, *new)))


def _recounting(which: Callable[[Conversation, bool], set[Item]]) -> Step:
    """Return a step that counts stored items again whenever something is appended anywhere.

    ``which`` is given a conversation and whether it is the one in which that happens.
    """

    def change(state: State, after: State, event: Event) -> State:
        del state
        if not isinstance(event, Append):
            return after
        for at in after.lists.conversations:
            after = recounted(after, at, which(at, at.id == event.conversation), least)
        return after

    return keeping(change)


def _covered_here(at: Conversation, here: bool) -> set[Item]:  # noqa: FBT001 - called by position
    return set(coverers(at)) if here else set()


def _covered_elsewhere(at: Conversation, here: bool) -> set[Item]:  # noqa: FBT001 - likewise
    return set() if here else set(coverers(at))


def _summaries_here(at: Conversation, here: bool) -> set[Item]:  # noqa: FBT001 - likewise
    return {item for item in standing(at) if here and isinstance(item, SummaryItem)}


def _in_every_ledger(state: State, after: State, event: Event) -> State:
    """Move the totals of all other conversations along."""
    moved = ledger_of(after, event.conversation).total - ledger_of(state, event.conversation).total
    for ledger in state.ledgers:
        if ledger.conversation != event.conversation:
            after = settled(after, replace(ledger, total=ledger.total + moved))
    return after


def _half(state: State, event: Event) -> tuple[State, Outcome]:
    """Take the step; a refused batch keeps what was added before the doubt arose."""
    after, outcome = right(state, event)
    if not isinstance(outcome, Refused) or not isinstance(event, Append):
        return after, outcome
    if find(state.lists, event.conversation) is None:
        return after, outcome
    ledger = ledger_of(state, event.conversation)
    added = sum(by_code_points(one.text) for one in event.messages[: outcome.index])
    return settled(state, replace(ledger, total=ledger.total + added)), outcome


def _opened(state: State, event: Event) -> tuple[State, Outcome]:
    """Take the step; a refusal for a count leaves the conversation behind that it named."""
    after, outcome = right(state, event)
    known = find(state.lists, event.conversation)
    if not isinstance(outcome, Refused) or outcome.reason is not Doubt.NEGATIVE_COUNT or known:
        return after, outcome
    conversations = (*state.lists.conversations, Conversation(id=event.conversation))
    lists = ordinals.State(conversations=tuple(sorted(conversations, key=lambda one: one.id)))
    begun = Ledger(conversation=event.conversation)
    return settled(replace(state, lists=lists), begun), outcome


def _observed_stored(state: State, event: Event) -> tuple[State, Outcome]:
    """Take the step; what the host observed becomes the total."""
    after, outcome = right(state, event)
    if not isinstance(event, Weigh) or not isinstance(outcome, Weighed) or event.observed is None:
        return after, outcome
    ledger = ledger_of(state, event.conversation)
    return settled(state, replace(ledger, total=event.observed)), outcome


VARIANTS: tuple[TokensVariant, ...] = (
    Variant(
        name="FORGOTTEN_COUNTED",
        machine=stepping("FORGOTTEN_COUNTED", keeping(_kept)),
        breaks="TOK-2",
        source=CONSTRUCTED,
        story="Counts are kept beside the messages, and forgetting deletes the messages alone.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="COUNTED_BY_BOTH",
        machine=stepping("COUNTED_BY_BOTH", keeping(_twice)),
        breaks="TOK-2",
        source="hermes-lcm #253, #441 (there whole rows)",
        story="Two agents ingest the same session, and each stores a count of its own: who adds"
        " the rows up gets twice the total.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="REPAIRED_COUNTS",
        machine=stepping("REPAIRED_COUNTS", _recounting(_covered_here)),
        breaks="TOK-11",
        source="lossless-claw, all releases: doctor apply",
        story="A repair writes new counts over the stored ones of what is covered. What is rolled"
        " back later weighs otherwise than when it was replaced.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="REWRITTEN_IN_CONTEXT",
        machine=stepping("REWRITTEN_IN_CONTEXT", _recounting(_summaries_here)),
        breaks="TOK-11",
        source="lossless-claw TUI, rewrite",
        story="A summary of the context is rewritten with another count, and nothing tells the"
        " engine, which holds a total.",
        scope=ONE,
    ),
    Variant(
        name="REPAIRED_ELSEWHERE",
        machine=stepping("REPAIRED_ELSEWHERE", _recounting(_covered_elsewhere)),
        breaks="TOK-12",
        source=CONSTRUCTED,
        story="A repair that is started for one conversation goes through the rows of all.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="ONE_TOTAL",
        machine=stepping("ONE_TOTAL", keeping(_in_every_ledger)),
        breaks="TOK-12",
        source="hermes-lcm PR #247",
        story="One engine with its counters serves several agents: what is said in one"
        " conversation weighs in the others.",
        scope=WHOLE,
    ),
    Variant(
        name="HALF_REFUSED",
        machine=stepping("HALF_REFUSED", _half),
        breaks="TOK-13",
        source=CONSTRUCTED,
        story="A batch is added up message by message. When a later count is not believed the"
        " batch is refused, and the total keeps the earlier ones.",
        scope=DOUBTED,
    ),
    Variant(
        name="OPENED_BY_REFUSAL",
        machine=stepping("OPENED_BY_REFUSAL", _opened),
        breaks="TOK-13",
        source=CONSTRUCTED,
        story="A conversation is made before the counts are looked at, and stays when they are"
        " refused.",
        scope=DOUBTED,
        sole=True,
    ),
    Variant(
        name="OBSERVED_STORED",
        machine=stepping("OBSERVED_STORED", _observed_stored),
        breaks="TOK-13",
        source="lossless-claw #1007",
        story="What a host observed once is recorded as the size of the context. It stays when the"
        " context has become small, and an emergency never ends.",
        scope=ONE,
    ),
)
