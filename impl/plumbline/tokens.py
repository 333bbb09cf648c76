"""Tokens over SQLite; must match ``plumbline_models.tokens`` (chapter ``spec/tokens.md``).

A count is a column of the row that it is of, and the total is a column of the conversation. Every
function here runs inside the transaction of the event whose items it posts, so a total is never
apart from its context. What moved is read from the rows that moved: no path that reads a total adds
anything up.
"""

from collections.abc import Iterable, Iterator
from typing import assert_never

import apsw
import msgspec

from plumbline import ordinals as lists
from plumbline.damaged import MOST, Value, as_number, as_text, every_row
from plumbline.database import integer
from plumbline.sqlite_host import Program
from plumbline_models.decisions.counting import Door, Measure, admitted
from plumbline_models.decisions.limits import regime, thresholds
from plumbline_models.ordinals import Append as ListAppend
from plumbline_models.ordinals import (
    ConversationId,
    Failed,
    Forget,
    Item,
    MessageId,
    MessageItem,
    Open,
    Prune,
    Pruned,
    Reason,
    Replaced,
    RollBack,
    SummaryId,
    SummaryItem,
)
from plumbline_models.ordinals import Draft as ListDraft
from plumbline_models.ordinals import Outcome as ListOutcome
from plumbline_models.ordinals import Refused as RefusedByList
from plumbline_models.ordinals import Replace as ListReplace
from plumbline_models.tokens import (
    Append,
    Count,
    Event,
    Ledger,
    Outcome,
    Posted,
    Refused,
    Replace,
    State,
    Weigh,
    Weighed,
)


def apply(db: apsw.Connection, event: Event) -> Outcome:
    """Apply one event inside an open transaction; a refused event has written nothing."""
    match event:
        case Weigh():
            return _weigh(db, event)
        case Append():
            return _append(db, event)
        case Replace():
            return _replace(db, event)
        case RollBack():
            removed, added = _count(db, SummaryItem(id=event.summary)), _covered(db, event.summary)
            return _posted(db, event.conversation, lists.apply(db, event), removed, added)
        case Forget():
            removed = sum(_standing(db, message) for message in set(event.messages))
            return _posted(db, event.conversation, lists.apply(db, event), removed, 0)
        case Prune():
            outcome = lists.apply(db, event)
            left = outcome.removed if isinstance(outcome, Pruned) else ()
            removed = sum(_count(db, item) for item in left)
            return _posted(db, event.conversation, outcome, removed, 0)
        case Open():
            return _posted(db, event.conversation, lists.apply(db, event), 0, 0)
        case _:
            assert_never(event)


def _weigh(db: apsw.Connection, event: Weigh) -> Outcome:
    total = _total(db, event.conversation)
    if total is None:
        return RefusedByList(reason=Reason.UNKNOWN_CONVERSATION)
    size = total if event.observed is None else max(total, event.observed)
    at = thresholds(event.limits)
    return Weighed(total=total, size=size, soft=at.soft, hard=at.hard, regime=regime(size, at))


def _append(db: apsw.Connection, event: Append) -> Outcome:
    counts = _counted((draft.text, draft.tokens) for draft in event.messages)
    if isinstance(counts, Refused):
        return counts
    drafts = tuple(ListDraft(id=draft.id, text=draft.text) for draft in event.messages)
    append = ListAppend(conversation=event.conversation, messages=drafts)
    return _posted(db, event.conversation, lists.apply(db, append, counts), 0, sum(counts))


def _replace(db: apsw.Connection, event: Replace) -> Outcome:
    counts = _counted([(event.text, event.tokens)])
    if isinstance(counts, Refused):
        return counts
    listed = ListReplace(
        conversation=event.conversation,
        summary=event.summary,
        text=event.text,
        items=event.items,
        first=event.first,
        last=event.last,
    )
    outcome = lists.apply(db, listed, counts)
    removed = _covered(db, event.summary) if isinstance(outcome, Replaced) else 0
    return _posted(db, event.conversation, outcome, removed, sum(counts))


def _counted(brought: Iterable[tuple[str, int | None]]) -> tuple[int, ...] | Refused:
    """Return the counts to store for texts and what was given with them, or the first doubt."""
    counts: list[int] = []
    for index, (text, given) in enumerate(brought):
        counted = admitted(Door.GUARDED, Measure.CODE_POINTS, text, given)
        if counted.doubt is not None:
            return Refused(reason=counted.doubt, index=index)
        counts.append(counted.tokens)
    return tuple(counts)


def _posted(
    db: apsw.Connection,
    conversation: ConversationId,
    outcome: ListOutcome,
    removed: int,
    added: int,
) -> Outcome:
    """Move the total by what left the context and what came into it; pass a refusal on."""
    if isinstance(outcome, RefusedByList | Failed):
        return outcome
    before, after = move(db, conversation, removed, added)
    return Posted(outcome=outcome, before=before, removed=removed, added=added, after=after)


def move(
    db: apsw.Connection, conversation: ConversationId, removed: int, added: int
) -> tuple[int, int]:
    """Move the total by what left the context and what came into it; return it before and after.

    Every event that may change a context comes through here, so the revision counts them.
    """
    after = integer(
        db,
        "UPDATE conversations SET tokens = tokens + ?, revision = revision + 1"
        " WHERE conversation = ? RETURNING tokens",
        (added - removed, conversation),
    )
    return after - added + removed, after


def _total(db: apsw.Connection, conversation: ConversationId) -> int | None:
    total = db.execute(
        "SELECT tokens FROM conversations WHERE conversation = ?", (conversation,)
    ).get
    assert total is None or isinstance(total, int)
    return total


def _count(db: apsw.Connection, item: Item) -> int:
    """Return the count of a stored item; 0 when it is not stored."""
    match item:
        case MessageItem(id=message):
            return integer(
                db, "SELECT coalesce(sum(tokens), 0) FROM messages WHERE message = ?", (message,)
            )
        case SummaryItem(id=summary):
            return integer(
                db, "SELECT coalesce(sum(tokens), 0) FROM summaries WHERE summary = ?", (summary,)
            )
        case _:
            assert_never(item)


def _standing(db: apsw.Connection, message: MessageId) -> int:
    """Return the count of a message that stands in the context; 0 when it does not."""
    return integer(
        db,
        "SELECT coalesce(sum(m.tokens), 0) FROM context AS c"
        " JOIN messages AS m ON m.message = c.message WHERE c.message = ?",
        (message,),
    )


def _covered(db: apsw.Connection, summary: SummaryId) -> int:
    """Return the counts of the sources of a summary; 0 when it is not stored."""
    return integer(
        db,
        "SELECT coalesce(sum(coalesce(m.tokens, s.tokens)), 0) FROM lineage AS l"
        " LEFT JOIN messages AS m ON m.message = l.message"
        " LEFT JOIN summaries AS s ON s.summary = l.source WHERE l.summary = ?",
        (summary,),
    )


# Abstraction: from tables to the state of the model.
# It shows what it can of rows that break a constraint; see ``plumbline.damaged``.


def observe(db: apsw.Connection) -> State:
    """Return the abstract state of the whole database."""
    return State(lists=lists.observe(db), ledgers=tuple(_ledgers(db)))


def parts(db: apsw.Connection) -> Iterator[tuple[str, State]]:
    """Yield the abstract state of one conversation after the other, by id."""
    for (key, state), ledger in zip(lists.parts(db), _ledgers(db), strict=True):
        yield key, State(lists=state, ledgers=(ledger,))


def _ledgers(db: apsw.Connection) -> Iterator[Ledger]:
    """Yield the ledger of each conversation, as it is stored, in the order of their ids."""
    query = "SELECT conversation, tokens FROM conversations ORDER BY conversation"
    for conversation, total in every_row(db, query):
        yield Ledger(
            conversation=ConversationId(as_text(conversation)),
            total=as_number(total),
            counts=tuple(_counts(db, conversation)),
        )


def _counts(db: apsw.Connection, conversation: Value) -> Iterator[Count]:
    query = "SELECT message, tokens FROM messages WHERE conversation = ? ORDER BY sequence"
    for message, tokens in every_row(db, query, (conversation,)):
        if _is_count(tokens):
            yield Count(item=MessageItem(id=MessageId(as_text(message))), tokens=as_number(tokens))
    query = "SELECT summary, tokens FROM summaries WHERE conversation = ? ORDER BY summary"
    for summary, tokens in every_row(db, query, (conversation,)):
        if _is_count(tokens):
            yield Count(item=SummaryItem(id=SummaryId(as_text(summary))), tokens=as_number(tokens))


def _is_count(tokens: Value) -> bool:
    """Tell whether a state can hold it; a row without such a count has none."""
    return isinstance(tokens, int) and abs(tokens) <= MOST


_outcomes: msgspec.json.Decoder[Outcome] = msgspec.json.Decoder(Outcome)

PROGRAM: Program[State, Event, Outcome] = Program(
    apply=apply, observe=observe, parts=parts, decode_outcome=_outcomes.decode
)
