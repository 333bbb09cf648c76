"""What any two states of one history of tokens have in common: conditions of an audit.

Chapter ``spec/tokens.md``. They stand beside the conditions of ordinals, which say what becomes of
the items; these say what becomes of their counts and of the total.

A total moves by the counts of what moves and by nothing else (TOK-7), and a count stays while its
item is stored (TOK-11). So what a total is off by, which is nothing in a state that keeps TOK-1,
stays the same along every history, and a total that follows is one that is off by as much.

The count of a summary may differ when the summary was rolled back in between and its id used again.
One that is *settled* (``ordinals.conditions``) cannot be rolled back.
"""

from collections.abc import Callable, Iterator

from plumbline_models.contract import Condition, Discrepancy
from plumbline_models.ordinals import Conversation, Item, MessageItem, SummaryItem
from plumbline_models.ordinals.clauses import label
from plumbline_models.ordinals.conditions import settled
from plumbline_models.ordinals.queries import find
from plumbline_models.tokens.queries import counts_of, ledger_of, standing, texts_of
from plumbline_models.tokens.values import Ledger, State

Between = Callable[[Conversation, Ledger, Conversation, Ledger], Iterator[Discrepancy]]


def conditions() -> tuple[Condition[State], ...]:
    """Return the conditions that an earlier and a later state of one history keep."""
    return (
        Condition(
            title="counts",
            sentence="A message and a settled summary that are stored before and after have the"
            " same count.",
            clauses=("TOK-11",),
            discrepancies=_each(_recounted),
        ),
        Condition(
            title="total",
            sentence="The total moves by the counts of what left the context and of what came into"
            " it.",
            clauses=("TOK-7", "TOK-12"),
            discrepancies=_each(_off),
        ),
    )


def _each(between: Between) -> Callable[[State, State], Iterator[Discrepancy]]:
    """Lift a condition on one conversation and its ledger; one that is new was empty before."""

    def over(before: State, after: State) -> Iterator[Discrepancy]:
        for then in after.lists.conversations:
            at = find(before.lists, then.id)
            was, now = ledger_of(before, then.id), ledger_of(after, then.id)
            yield from between(Conversation(id=then.id) if at is None else at, was, then, now)

    return over


def _recounted(
    at: Conversation, was: Ledger, then: Conversation, now: Ledger
) -> Iterator[Discrepancy]:
    old, new = counts_of(was), counts_of(now)
    kept = texts_of(then).keys()
    for item in _lasting(at):
        if item in kept and old.get(item) != new.get(item):
            table = "messages" if isinstance(item, MessageItem) else "summaries"
            row = f"conversation {at.id}, {label(item)}"
            before, after = _counted(old.get(item)), _counted(new.get(item))
            yield Discrepancy(table=table, row=row, before=before, after=after)


def _lasting(at: Conversation) -> Iterator[Item]:
    """Yield the stored items whose ids nothing can free for another item."""
    yield from dict.fromkeys([MessageItem(id=one.id) for one in at.messages])
    yield from [SummaryItem(id=one.id) for one in settled(at)]


def _counted(tokens: int | None) -> str:
    return "no count" if tokens is None else f"count {tokens}"


def _off(at: Conversation, was: Ledger, then: Conversation, now: Ledger) -> Iterator[Discrepancy]:
    before, after = _sum(at, was), _sum(then, now)
    if was.total - before != now.total - after:
        yield Discrepancy(
            table="conversations",
            row=f"conversation {at.id}, total",
            before=f"{was.total} stored, the counts make {before}",
            after=f"{now.total} stored, the counts make {after}",
        )


def _sum(at: Conversation, ledger: Ledger) -> int:
    counts = counts_of(ledger)
    return sum(counts.get(item, 0) for item in standing(at))
