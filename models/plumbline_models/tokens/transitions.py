"""The step of tokens: counts at the door, the step of ordinals, and the posting of what moved.

Chapter ``spec/tokens.md``, "Events".
"""

from plumbline_models import ordinals
from plumbline_models.decisions.counting import admitted, estimate
from plumbline_models.decisions.limits import regime, thresholds
from plumbline_models.ordinals.queries import find
from plumbline_models.ordinals.transitions import step as step_of_ordinals
from plumbline_models.ordinals.values import Item, MessageItem, Reason, SummaryItem
from plumbline_models.tokens.queries import (
    counts_of,
    ledger_of,
    plain,
    standing,
    texts_of,
    with_ledger,
)
from plumbline_models.tokens.values import (
    Append,
    Count,
    Event,
    Ledger,
    Outcome,
    Posted,
    Posting,
    Refused,
    Replace,
    Rules,
    State,
    Weigh,
    Weighed,
)


def step(rules: Rules, state: State, event: Event) -> tuple[State, Outcome]:
    """Apply one event (chapter, "Events").

    Total: every event in every state has an outcome. A refusal returns ``state`` itself.
    """
    if isinstance(event, Weigh):
        return state, _weigh(state, event)
    fresh = _at_the_door(rules, event)
    if isinstance(fresh, Refused):
        return state, fresh
    listed = plain(event)
    assert listed is not None
    lists, outcome = step_of_ordinals(rules.lists, state.lists, listed)
    if isinstance(outcome, ordinals.Refused | ordinals.Failed):
        return state, outcome
    before = ledger_of(state, event.conversation)
    was, then = find(state.lists, event.conversation), find(lists, event.conversation)
    assert then is not None
    counts, texts = counts_of(before) | fresh, texts_of(then)
    left = [item for item in standing(was) if item not in standing(then)]
    came = [item for item in standing(then) if item not in standing(was)]
    added = sum(counts[item] for item in came)
    if rules.posting is not Posting.COUNTS and isinstance(event, Replace):
        removed = sum(_resolved(rules, texts[item], counts[item], item) for item in left)
        total = before.total - removed + added
    else:
        removed = sum(counts[item] for item in left)
        total = sum(counts[item] for item in standing(then))
    if rules.posting is Posting.CLAMPED:
        total = max(0, total)
    stored = tuple(Count(item=item, tokens=counts[item]) for item in texts)
    after = Ledger(conversation=event.conversation, total=total, counts=stored)
    posted = Posted(outcome=outcome, before=before.total, removed=removed, added=added, after=total)
    return State(lists=lists, ledgers=with_ledger(state.ledgers, after)), posted


def _weigh(state: State, event: Weigh) -> Outcome:
    if find(state.lists, event.conversation) is None:
        return ordinals.Refused(reason=Reason.UNKNOWN_CONVERSATION)
    total = ledger_of(state, event.conversation).total
    size = total if event.observed is None else max(total, event.observed)
    at = thresholds(event.limits)
    return Weighed(total=total, size=size, soft=at.soft, hard=at.hard, regime=regime(size, at))


def _at_the_door(rules: Rules, event: Event) -> dict[Item, int] | Refused:
    """Return the counts to store for what an event brings, or the first doubt about one."""
    brought: list[tuple[Item, str, int | None]] = []
    if isinstance(event, Append):
        brought = [(MessageItem(id=one.id), one.text, one.tokens) for one in event.messages]
    elif isinstance(event, Replace):
        brought = [(SummaryItem(id=event.summary), event.text, event.tokens)]
    counts: dict[Item, int] = {}
    for index, (item, text, given) in enumerate(brought):
        counted = admitted(rules.door, rules.measure, text, given)
        if counted.doubt is not None:
            return Refused(reason=counted.doubt, index=index)
        counts[item] = counted.tokens
    return counts


def _resolved(rules: Rules, text: str, tokens: int, item: Item) -> int:
    """Return what a released system takes an item's count for when it computes a delta."""
    if isinstance(item, SummaryItem):
        return max(0, tokens)
    return tokens if tokens > 0 else estimate(rules.measure, text)
