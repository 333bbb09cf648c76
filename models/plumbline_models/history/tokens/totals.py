"""Totals that do not follow what leaves a context and comes into it, and wrong reports of it."""

from msgspec.structs import replace

from plumbline_models import ordinals
from plumbline_models.history import CONSTRUCTED, Variant
from plumbline_models.history.tokens.making import (
    ONE,
    WHOLE,
    TokensVariant,
    as_it_was,
    following,
    lessened,
    reporting,
    ruled,
    seeded,
    stepping,
)
from plumbline_models.ordinals import ConversationId, MessageItem
from plumbline_models.ordinals.queries import find
from plumbline_models.tokens.queries import counts_of, ledger_of, standing
from plumbline_models.tokens.values import (
    Append,
    Event,
    Ledger,
    Posted,
    Posting,
    Replace,
    Rules,
    State,
)

_SENDER = 1
"""Tokens that the shortest name of a sender is taken for."""
_FRAMING = 4
"""Tokens of the role and the separators around a message."""
_EARLIER = 7
"""The total that an earlier session left behind."""
_LONG = "words " * 100


def _unchanged(state: State, event: Event, posted: Posted) -> Posted:
    del state, event
    return posted


def _twice(state: State, event: Event, posted: Posted) -> Posted:
    """Add what is appended twice."""
    del state
    if not isinstance(event, Append):
        return posted
    return replace(posted, added=2 * posted.added, after=posted.after + posted.added)


def _framed(state: State, event: Event, posted: Posted) -> Posted:
    """Add the framing of each message when it comes; it is not removed when it leaves."""
    del state
    if not isinstance(event, Append):
        return posted
    framing = _FRAMING * len(event.messages)
    return replace(posted, added=posted.added + framing, after=posted.after + framing)


def _without_prune(state: State, event: Event, posted: Posted) -> Posted:
    del state
    return as_it_was(posted) if isinstance(event, ordinals.Prune) else posted


def _without_forget(state: State, event: Event, posted: Posted) -> Posted:
    del state
    return as_it_was(posted) if isinstance(event, ordinals.Forget) else posted


def _without_rollback(state: State, event: Event, posted: Posted) -> Posted:
    del state
    return as_it_was(posted) if isinstance(event, ordinals.RollBack) else posted


def _with_senders(state: State, event: Event, posted: Posted) -> Posted:
    """Weigh the sender of each message that leaves, which its stored count leaves out."""
    del state
    if not isinstance(event, Replace):
        return posted
    messages = [item for item in event.items if isinstance(item, MessageItem)]
    return lessened(posted, _SENDER * len(messages))


def _without_the_newest(state: State, event: Event, posted: Posted) -> Posted:
    """Leave out what stands behind the replaced range: it came while that was summarised."""
    at = find(state.lists, event.conversation)
    if not isinstance(event, Replace) or at is None:
        return posted
    items, counts = standing(at), counts_of(ledger_of(state, event.conversation))
    behind = sum(counts[item] for item in items[items.index(event.items[-1]) + 1 :])
    return replace(posted, before=posted.before - behind, after=posted.after - behind)


VARIANTS: tuple[TokensVariant, ...] = (
    Variant(
        name="ESTIMATED_DELTA",
        machine=ruled(
            Rules(name="ESTIMATED_DELTA", posting=Posting.FALLBACK), seeded(_LONG, tokens=0)
        ),
        breaks="TOK-7",
        source="lossless-claw PR #295, review",
        story="What leaves is taken off by its estimate where its stored count is zero, and the"
        " total that it is taken off is a sum of stored counts: the total falls below what stands"
        " there, and below zero.",
        scope=ONE,
        grants=("TOK-4",),
    ),
    Variant(
        name="CLAMPED_AT_ZERO",
        machine=ruled(
            Rules(name="CLAMPED_AT_ZERO", posting=Posting.CLAMPED), seeded(_LONG, tokens=0)
        ),
        breaks="TOK-7",
        source="lossless-claw #1011",
        story="The same difference, cut off at zero. It is no longer negative and is as wrong: the"
        " summary stands in the context and weighs nothing.",
        scope=ONE,
        grants=("TOK-4",),
    ),
    Variant(
        name="SENDER_ADDED",
        machine=stepping("SENDER_ADDED", reporting(_with_senders)),
        breaks="TOK-7",
        source="lossless-claw #1075",
        story="The name of a sender is weighed with a message that is summarised and was not part"
        " of its stored count. Every pass reports less than is stored and stops too early.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="NEWEST_MISSED",
        machine=stepping("NEWEST_MISSED", reporting(_without_the_newest)),
        breaks="TOK-7",
        source="lossless-claw PR #295",
        story="A running value is carried through a sweep. What was appended while a summary was"
        " written is in the stored total and not in the value that is reported.",
        scope=WHOLE,
        sole=True,
    ),
    Variant(
        name="FRAMING_ADDED",
        machine=stepping("FRAMING_ADDED", following(_framed)),
        breaks="TOK-1",
        source=CONSTRUCTED,
        story="The role and the separators of a message are added to the total when it comes and"
        " are not part of the count that is taken off when it leaves.",
        scope=ONE,
    ),
    Variant(
        name="ADDED_TWICE",
        machine=stepping("ADDED_TWICE", following(_twice)),
        breaks="TOK-1",
        source="lossless-claw #611 (there the rows are doubled too)",
        story="The hook after a turn is called twice, and what was appended once is added to the"
        " total twice.",
        scope=ONE,
    ),
    Variant(
        name="PRUNE_UNPOSTED",
        machine=stepping("PRUNE_UNPOSTED", following(_without_prune)),
        breaks="TOK-1",
        source="hermes-lcm #31 (there the debt)",
        story="A reset empties the context and leaves the number by which it is judged: an empty"
        " context is compacted.",
        scope=ONE,
    ),
    Variant(
        name="FORGET_UNPOSTED",
        machine=stepping("FORGET_UNPOSTED", following(_without_forget)),
        breaks="TOK-1",
        source=CONSTRUCTED,
        story="Deleted messages leave the context, and their counts stay in the total.",
        scope=ONE,
    ),
    Variant(
        name="ROLLBACK_UNPOSTED",
        machine=stepping("ROLLBACK_UNPOSTED", following(_without_rollback)),
        breaks="TOK-7",
        source=CONSTRUCTED,
        story="The sources stand in the context again, and the total still is that of the summary:"
        " a context that does not fit passes for one that does.",
        scope=ONE,
    ),
    Variant(
        name="STALE_AFTER_RESTART",
        machine=stepping(
            "STALE_AFTER_RESTART",
            following(_unchanged),
            State(ledgers=(Ledger(conversation=ConversationId("c1"), total=_EARLIER),)),
        ),
        breaks="TOK-1",
        source="lossless-claw #651",
        story="A conversation begins under the key of an earlier one, whose total is still there."
        " Every delta is right and is added to a number that was wrong at the start.",
        scope=WHOLE,
        sole=True,
    ),
)
