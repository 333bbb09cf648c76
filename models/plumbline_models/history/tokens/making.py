"""How wrong machines are made of the right one: other counts, other totals, other decisions."""

from collections.abc import Callable, Iterator
from typing import TypeAlias

from msgspec.structs import replace

from plumbline_models import ordinals
from plumbline_models.decisions.limits import Thresholds, regime, thresholds
from plumbline_models.history import Variant
from plumbline_models.ordinals import (
    Conversation,
    ConversationId,
    Item,
    Message,
    MessageId,
    MessageItem,
    Reason,
    Sequence,
)
from plumbline_models.ordinals.queries import ranked
from plumbline_models.tokens import Machine, Scope, Step, assembled, machine
from plumbline_models.tokens.queries import ledger_of, texts_of, with_ledger
from plumbline_models.tokens.scope import in_scope
from plumbline_models.tokens.transitions import step
from plumbline_models.tokens.values import (
    SPEC,
    Append,
    Count,
    Event,
    Ledger,
    Outcome,
    Posted,
    Refused,
    Replace,
    Rules,
    State,
    Weigh,
    Weighed,
)

TokensVariant: TypeAlias = Variant[State, Event, Outcome, Scope]

WHOLE = Scope(conversations=2, messages=2, summaries=1, refusals=False)
"""The least scope that reaches every clause about reachability."""
ONE = Scope(conversations=1, messages=2, summaries=1, refusals=False)
"""One conversation; enough for most."""
LONGER = Scope(conversations=1, messages=3, summaries=1, refusals=False)
"""One conversation with an empty message in it, so that an estimated summary can weigh more."""
DOUBTED = Scope(conversations=1, messages=2, summaries=1)
"""One conversation, and counts that are not believed."""

Counting: TypeAlias = Callable[[str, int | None], int | None]
"""Given a text and what the host gives as its count, what is given in its place."""


def right(state: State, event: Event) -> tuple[State, Outcome]:
    """Take the specification's step."""
    return step(SPEC, state, event)


def stepping(
    name: str,
    one_step: Step,
    initial: State | None = None,
    measured: Callable[[str], int] | None = None,
) -> Callable[[], Machine]:
    """Return the maker of a machine with another step, initial state or estimate."""
    return lambda: assembled(name, one_step, State() if initial is None else initial, measured)


def ruled(rules: Rules, initial: State | None = None) -> Callable[[], Machine]:
    """Return the maker of the machine under other rules, from ``initial`` if one is given."""
    if initial is None:
        return lambda: machine(rules)
    return stepping(rules.name, lambda state, event: step(rules, state, event), initial)


def offered(
    maker: Callable[[], Machine], also: Callable[[State], Iterator[Event]]
) -> Callable[[], Machine]:
    """Return the maker of a machine that offers ``also`` beside the events of the scope."""

    def events(state: State, scope: Scope) -> Iterator[Event]:
        yield from in_scope(state, scope)
        yield from also(state)

    return lambda: replace(maker(), events=events)


# Counts


def given_again(event: Event, count: Counting) -> Event:
    """Return the event with other counts than the host gave."""
    match event:
        case Append():
            drafts = (replace(one, tokens=count(one.text, one.tokens)) for one in event.messages)
            return replace(event, messages=tuple(drafts))
        case Replace():
            return replace(event, tokens=count(event.text, event.tokens))
        case _:
            return event


def counting(count: Counting, rules: Rules) -> Step:
    """Return a step that stores ``count`` wherever the right one believes what the host gives."""

    def one_step(state: State, event: Event) -> tuple[State, Outcome]:
        after, outcome = right(state, event)
        if isinstance(outcome, Refused):
            return after, outcome
        return step(rules, state, given_again(event, count))

    return one_step


# Totals


def settled(state: State, ledger: Ledger) -> State:
    """Return the state with ``ledger`` for the one of its conversation."""
    return replace(state, ledgers=with_ledger(state.ledgers, ledger))


def following(change: Callable[[State, Event, Posted], Posted]) -> Step:
    """Return a step that moves the total by what it reports and never adds counts up.

    ``change`` is given the state before the step, the event and the right report, which goes on
    from whatever total is stored; it returns what happens instead.
    """

    def one_step(state: State, event: Event) -> tuple[State, Outcome]:
        after, outcome = right(state, event)
        if not isinstance(outcome, Posted):
            return after, outcome
        total = outcome.before - outcome.removed + outcome.added
        posted = change(state, event, replace(outcome, after=total))
        ledger = ledger_of(after, event.conversation)
        return settled(after, replace(ledger, total=posted.after)), posted

    return one_step


def reporting(change: Callable[[State, Event, Posted], Posted]) -> Step:
    """Return the right step with another report of it."""

    def one_step(state: State, event: Event) -> tuple[State, Outcome]:
        after, outcome = right(state, event)
        if not isinstance(outcome, Posted):
            return after, outcome
        return after, change(state, event, outcome)

    return one_step


def as_it_was(posted: Posted) -> Posted:
    """Return a report that nothing moved."""
    return replace(posted, removed=0, added=0, after=posted.before)


def lessened(posted: Posted, by: int) -> Posted:
    """Return a report by which so much more was removed."""
    return replace(posted, removed=posted.removed + by, after=posted.after - by)


# What is stored


def keeping(change: Callable[[State, State, Event], State]) -> Step:
    """Return a step that changes the state once more after an accepted event.

    ``change`` is given the states before and after the step, and the event.
    """

    def one_step(state: State, event: Event) -> tuple[State, Outcome]:
        after, outcome = right(state, event)
        if not isinstance(outcome, Posted):
            return after, outcome
        return change(state, after, event), outcome

    return one_step


def beginning(text: str, tokens: int) -> Step:
    """Return a step by which a conversation begins with a message that passed no door."""

    def one_step(state: State, event: Event) -> tuple[State, Outcome]:
        after, outcome = right(state, event)
        if not isinstance(event, ordinals.Open) or not isinstance(outcome, Posted):
            return after, outcome
        began = _begun(event.conversation, text)
        others = [one for one in after.lists.conversations if one.id != event.conversation]
        lists = ordinals.State(
            conversations=tuple(sorted((*others, began), key=lambda one: one.id))
        )
        counts = tuple(Count(item=entry.item, tokens=tokens) for entry in began.context)
        ledger = Ledger(conversation=event.conversation, total=tokens, counts=counts)
        posted = replace(outcome, added=tokens, after=tokens)
        return settled(replace(after, lists=lists), ledger), posted

    return one_step


def seeded(text: str, tokens: int) -> State:
    """Return a conversation with one message of that text and that stored count."""
    began = _begun(ConversationId("c1"), text)
    counts = tuple(Count(item=entry.item, tokens=tokens) for entry in began.context)
    ledger = Ledger(conversation=began.id, total=tokens, counts=counts)
    return State(lists=ordinals.State(conversations=(began,)), ledgers=(ledger,))


def _begun(conversation: ConversationId, text: str) -> Conversation:
    first = Message(id=MessageId(f"first of {conversation}"), sequence=Sequence(1), text=text)
    return Conversation(
        id=conversation,
        next_sequence=Sequence(2),
        messages=(first,),
        context=ranked([MessageItem(id=first.id)]),
    )


def recounted(
    state: State, at: Conversation, items: set[Item], count: Callable[[str], int]
) -> State:
    """Return the state with the counts of some items made again; the total stays."""
    ledger, texts = ledger_of(state, at.id), texts_of(at)
    counts = tuple(
        replace(one, tokens=count(texts[one.item])) if one.item in items else one
        for one in ledger.counts
    )
    return settled(state, replace(ledger, counts=counts))


# Decisions


def weighing(decide: Callable[[State, Weigh], Weighed]) -> Step:
    """Return a step that decides otherwise."""

    def one_step(state: State, event: Event) -> tuple[State, Outcome]:
        after, outcome = right(state, event)
        if not isinstance(event, Weigh) or not isinstance(outcome, Weighed):
            return after, outcome
        return after, decide(state, event)

    return one_step


def decided(
    event: Weigh, total: int, size: int | None = None, at: Thresholds | None = None
) -> Weighed:
    """Decide by a total as the right step does, or by another size or other thresholds."""
    observed = total if event.observed is None else event.observed
    size = max(total, observed) if size is None else size
    at = thresholds(event.limits) if at is None else at
    return Weighed(total=total, size=size, soft=at.soft, hard=at.hard, regime=regime(size, at))


def total_of(state: State, event: Event) -> int:
    """Return the stored total of the conversation that an event names."""
    return ledger_of(state, event.conversation).total


# Guards


def refusing(reason: Reason, when: Callable[[State, Event, Posted], bool]) -> Step:
    """Return a step that refuses also the events for which ``when`` holds."""

    def one_step(state: State, event: Event) -> tuple[State, Outcome]:
        after, outcome = right(state, event)
        if isinstance(outcome, Posted) and when(state, event, outcome):
            return state, ordinals.Refused(reason=reason)
        return after, outcome

    return one_step
