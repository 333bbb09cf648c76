"""One pass: what it would replace, what its summariser is asked, and how it is committed.

Chapter ``spec/compaction.md``, "Events".
"""

from collections.abc import Iterator

from plumbline_models import intake, ordinals, tokens
from plumbline_models.compaction import selection
from plumbline_models.compaction.extents import source, with_extents
from plumbline_models.compaction.selection import Chunk, entries_of
from plumbline_models.compaction.values import (
    Commit,
    Committed,
    Evaluate,
    Evaluated,
    Idle,
    Kind,
    Outcome,
    Pass,
    Reason,
    Refused,
    Rules,
    Select,
    Selected,
    Settings,
    State,
)
from plumbline_models.decisions.escalation import (
    Abandoned,
    Answer,
    Budget,
    Failure,
    Summarised,
    budget,
    conducted,
)
from plumbline_models.intake.transitions import step as step_of_intake
from plumbline_models.ordinals.queries import find
from plumbline_models.ordinals.values import ConversationId, Item, SummaryId
from plumbline_models.tokens.queries import ledger_of


def exists(state: State, conversation: ConversationId) -> bool:
    """Tell whether a conversation was opened."""
    return find(state.taken.ledger.lists, conversation) is not None


def unknown() -> ordinals.Refused:
    """Return the refusal of an event that names no conversation."""
    return ordinals.Refused(reason=ordinals.Reason.UNKNOWN_CONVERSATION)


def total(state: State, conversation: ConversationId) -> int:
    """Return the stored total of a conversation, in tokens."""
    return ledger_of(state.taken.ledger, conversation).total


def host_step(rules: Rules, state: State, event: intake.Event) -> tuple[State, intake.Outcome]:
    """Apply an event of intake; a new summary gets its extent."""
    after, outcome = step_of_intake(rules.log, state.taken, event)
    return (state if after is state.taken else with_extents(state, after)), outcome


def evaluate(rules: Rules, state: State, event: Evaluate) -> Outcome:
    """Answer whether to compact."""
    if not exists(state, event.conversation):
        return unknown()
    entries = entries_of(state, event.conversation)
    stored = total(state, event.conversation)
    size = stored if event.observed is None else max(stored, event.observed)
    limit = threshold(event.settings, event.budget)
    unprotected = entries[: selection.boundary(rules, entries, event.settings)]
    raw = selection.raw(unprotected)
    return Evaluated(
        total=stored,
        size=size,
        threshold=limit,
        compact=size > limit,
        raw=raw,
        leaf=raw >= event.settings.leaf_chunk,
    )


def threshold(settings: Settings, budget: int) -> int:
    """Return the size above which a context is compacted, in tokens."""
    return budget * settings.threshold_percent // 100


def select(rules: Rules, state: State, event: Select) -> Outcome:
    """Answer what the next pass of a kind replaces."""
    if not exists(state, event.conversation):
        return unknown()
    entries = entries_of(state, event.conversation)
    if event.condense:
        chunk = selection.condensed(rules, entries, event.settings, hard=event.hard)
    else:
        chunk = selection.leaf(rules, entries, event.settings)
    if not chunk:
        return Idle()
    return Selected(
        items=items_of(chunk),
        removed=selection.tokens_in(chunk),
        prior=selection.prior(entries, chunk),
    )


def items_of(chunk: Chunk) -> tuple[Item, ...]:
    """Return the items of a chunk."""
    return tuple(one.item for one in chunk)


def commit(rules: Rules, state: State, event: Commit) -> tuple[State, Outcome]:
    """Put a summary in the place of the items that the event names, or refuse (CMP-13)."""
    if not exists(state, event.conversation):
        return state, unknown()
    if not event.items:
        return state, ordinals.Refused(reason=ordinals.Reason.EMPTY_RANGE)
    entries = entries_of(state, event.conversation)
    at = selection.found_at(entries, event.items)
    if at is None and not rules.stale_check:
        return _commit_between(rules, state, event)
    if at is None:
        return state, Refused(reason=Reason.STALE)
    chunk = entries[at : at + len(event.items)]
    if not selection.is_even(chunk):
        return state, Refused(reason=Reason.UNEVEN)
    if at + len(chunk) > selection.boundary(rules, entries, event.settings):
        return state, Refused(reason=Reason.PROTECTED)
    if rules.skips_empty and not any(one.says for one in chunk):
        return state, Refused(reason=Reason.EMPTY_SOURCE)
    if rules.tested and selection.tokens_in(chunk) < selection.LEAST:
        return state, Refused(reason=Reason.NO_PROGRESS)
    answers = iter(event.answers)
    made, _ = summarised(rules, state, event.conversation, event.settings, chunk, answers)
    if isinstance(made, Abandoned):
        return state, Refused(reason=REASONS[made.failure])
    kind = Kind.LEAF if chunk[0].depth is None else Kind.CONDENSED
    after, record = put(rules, state, event.conversation, kind, event.summary, chunk, made)
    return after, Committed(record=record) if isinstance(record, Pass) else record


REASONS = {
    Failure.AUTHENTICATION: Reason.AUTHENTICATION,
    Failure.SUMMARISER_ERROR: Reason.SUMMARISER_ERROR,
}


def _commit_between(rules: Rules, state: State, event: Commit) -> tuple[State, Outcome]:
    """Replace what stands between the first and the last item now, as releases do."""
    entries = entries_of(state, event.conversation)
    every = items_of(entries)
    if event.items[0] not in every or event.items[-1] not in every:
        return state, Refused(reason=Reason.STALE)
    first, last = every.index(event.items[0]), every.index(event.items[-1])
    if first > last:
        return state, Refused(reason=Reason.STALE)
    return commit(rules, state, _naming(event, every[first : last + 1]))


def _naming(event: Commit, items: tuple[Item, ...]) -> Commit:
    return Commit(
        conversation=event.conversation,
        settings=event.settings,
        items=items,
        summary=event.summary,
        answers=event.answers,
    )


def budget_of(settings: Settings, *, condense: bool) -> Budget:
    """Return how long the text of a pass may be."""
    target = settings.condensed_target if condense else settings.leaf_target
    return budget(target, settings.overage_percent, settings.fallback_cap)


def summarised(
    rules: Rules,
    state: State,
    conversation: ConversationId,
    settings: Settings,
    chunk: Chunk,
    answers: Iterator[Answer],
) -> tuple[Summarised | Abandoned, int]:
    """Return the text for a chunk, or why there is none, and how long the calls took."""
    at = find(state.taken.ledger.lists, conversation)
    assert at is not None
    text = source(state, at, items_of(chunk))
    lengths = budget_of(settings, condense=chunk[0].depth is not None)
    removed = selection.tokens_in(chunk) if rules.tested else UNTESTED
    return conducted(text, removed, lengths, answers)


UNTESTED = 2**40
"""Tokens that no text has: what an answer is compared with where it is not tested."""


def put(
    rules: Rules,
    state: State,
    conversation: ConversationId,
    kind: Kind,
    summary: SummaryId,
    chunk: Chunk,
    made: Summarised,
) -> tuple[State, Pass | intake.Outcome]:
    """Replace a chunk by a summary, and return the record, or the refusal of what lies below."""
    event = tokens.Replace(
        conversation=conversation,
        summary=summary,
        text=made.text,
        items=items_of(chunk),
        tokens=made.tokens,
    )
    after, outcome = host_step(rules, state, event)
    if not isinstance(outcome, tokens.Posted):
        return state, outcome
    return after, Pass(
        kind=kind,
        summary=summary,
        sources=event.items,
        level=made.level,
        capped=made.capped,
        calls=made.calls,
        before=outcome.before,
        removed=outcome.removed,
        added=outcome.added,
        after=outcome.after,
    )
