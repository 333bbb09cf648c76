"""How wrong machines are made of the right one: disguised, tampered with, too strict, too lax."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias, TypeVar

from msgspec.structs import replace

from plumbline_models.history import Variant
from plumbline_models.ordinals import Machine, Scope, Step, assembled, machine
from plumbline_models.ordinals.queries import find, position, ranked, settle
from plumbline_models.ordinals.scope import in_scope
from plumbline_models.ordinals.transitions import step
from plumbline_models.ordinals.values import (
    SPEC,
    Append,
    Cause,
    Conversation,
    Depth,
    Event,
    Failed,
    Forget,
    Item,
    Loss,
    Open,
    Outcome,
    Prune,
    Reason,
    Refused,
    Replace,
    RollBack,
    Rules,
    State,
    Summary,
    SummaryItem,
)

OrdinalsVariant: TypeAlias = Variant[State, Event, Outcome, Scope]

WHOLE = Scope(conversations=2, messages=3, summaries=2, refusals=False)
"""The least scope that reaches every clause about reachability; sole variants are explored here."""
ONE = Scope(conversations=1, messages=3, summaries=2)
"""One conversation; enough for most."""
TWO = Scope(conversations=2, messages=2, summaries=1)
"""Two conversations with little in them."""

K = TypeVar("K", Open, Append, Replace, RollBack, Prune, Forget)


def right(state: State, event: Event) -> tuple[State, Outcome]:
    """Take the specification's step."""
    return step(SPEC, state, event)


def stepping(name: str, one_step: Step, initial: State | None = None) -> Callable[[], Machine]:
    """Return the maker of a machine with another step, from ``initial`` if one is given."""
    return lambda: assembled(name, one_step, State() if initial is None else initial)


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


def each(state: State, change: Callable[[Conversation], Conversation]) -> State:
    """Return the state in which every conversation is changed."""
    return State(conversations=tuple(change(at) for at in state.conversations))


def disguised(
    show: Callable[[Conversation], Conversation],
    hide: Callable[[Conversation], Conversation],
    heard: Callable[[State, Event], Event] = lambda _state, event: event,
    said: Callable[[Outcome], Outcome] = lambda outcome: outcome,
) -> Step:
    """Return the right step seen through ``show``; ``hide`` undoes it.

    What one step does and another undoes stays so in the disguise, so only clauses about what is
    shown can break. ``heard`` is given the hidden state and an event about the shown one, and
    returns the event about the hidden one; ``said`` turns the outcome into the one to show.
    """

    def one_step(state: State, event: Event) -> tuple[State, Outcome]:
        hidden = each(state, hide)
        after, outcome = right(hidden, heard(hidden, event))
        return each(after, show), said(outcome)

    return one_step


def tampered(
    kind: type[K],
    change: Callable[[Conversation, Conversation, K], Conversation],
    base: Step = right,
) -> Step:
    """Return a step that changes the conversation once more after an accepted event of ``kind``.

    ``change`` is given the conversation before the step, the one after it, and the event.
    """

    def one_step(state: State, event: Event) -> tuple[State, Outcome]:
        after, outcome = base(state, event)
        at, then = find(state, event.conversation), find(after, event.conversation)
        if isinstance(outcome, Refused | Failed) or at is None or then is None:
            return after, outcome
        if not isinstance(event, kind):
            return after, outcome
        return settle(after, change(at, then, event)), outcome

    return one_step


def refusing(
    kind: type[K], reason: Reason, when: Callable[[Conversation, K], bool], base: Step = right
) -> Step:
    """Return a step that refuses also the events of ``kind`` for which ``when`` holds."""

    def one_step(state: State, event: Event) -> tuple[State, Outcome]:
        after, outcome = base(state, event)
        at = find(state, event.conversation)
        if isinstance(outcome, Refused) or at is None or not isinstance(event, kind):
            return after, outcome
        return (state, Refused(reason=reason)) if when(at, event) else (after, outcome)

    return one_step


def accepting(
    kind: type[K],
    reason: Reason,
    effect: Callable[[Conversation, K], tuple[Conversation, Outcome] | None],
) -> Step:
    """Return a step that lets ``effect`` happen where the right one refuses for ``reason``.

    ``effect`` returns None where the event stays refused.
    """

    def one_step(state: State, event: Event) -> tuple[State, Outcome]:
        at = find(state, event.conversation)
        after, outcome = right(state, event)
        if at is None or not isinstance(event, kind) or outcome != Refused(reason=reason):
            return after, outcome
        happened = effect(at, event)
        return (state, outcome) if happened is None else (settle(state, happened[0]), happened[1])

    return one_step


def items_of(at: Conversation) -> tuple[Item, ...]:
    """Return the items of the context, oldest first."""
    return tuple(entry.item for entry in at.context)


def listed(at: Conversation, items: Iterable[Item]) -> Conversation:
    """Return the conversation with these items as its context, at their ranks."""
    return replace(at, context=ranked(items))


def standing(at: Conversation) -> tuple[Summary, ...]:
    """Return the summaries that stand in the context, by id."""
    there = items_of(at)
    return tuple(one for one in at.summaries if SummaryItem(id=one.id) in there)


def summarised(at: Conversation, event: Replace) -> Conversation:
    """Return the conversation with the summary of a replacement stored; the context stays."""
    named = [one.depth for one in at.summaries if SummaryItem(id=one.id) in event.items]
    depth = Depth(1 + max(named, default=-1))
    summary = Summary(id=event.summary, depth=depth, text=event.text, sources=event.items)
    return with_summaries(at, (*at.summaries, summary))


def with_summaries(at: Conversation, summaries: Iterable[Summary]) -> Conversation:
    """Return the conversation with these summaries stored, by id."""
    return replace(at, summaries=tuple(sorted(summaries, key=lambda one: one.id)))


def recorded(at: Conversation, cause: Cause, item: Item) -> Conversation:
    """Return the conversation with the loss of one item recorded."""
    losses = (*at.losses, Loss(position=position(at, item), cause=cause, item=item))
    order = sorted(losses, key=lambda loss: (loss.position, loss.cause.value))
    return replace(at, losses=tuple(order))
