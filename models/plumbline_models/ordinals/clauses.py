"""The clauses of ordinals, each as a predicate that names its witnesses.

Chapter ``spec/ordinals.md``, "Clauses".
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, zip_longest
from typing import TypeAlias

from plumbline_models.contract import Clause, SometimesClause, StateClause, StepClause, Witness
from plumbline_models.ordinals.queries import coverers, expansion, find, summary_of
from plumbline_models.ordinals.values import (
    Append,
    Appended,
    Cause,
    Conversation,
    Event,
    Failed,
    Forget,
    Forgotten,
    Item,
    Loss,
    MessageId,
    MessageItem,
    Outcome,
    Placed,
    Prune,
    Pruned,
    Refused,
    Replace,
    Replaced,
    RollBack,
    RolledBack,
    State,
    SummaryItem,
)

Step: TypeAlias = Callable[[State, Event], tuple[State, Outcome]]


def clauses(step: Step) -> tuple[Clause[State, Event, Outcome], ...]:
    """Return the clauses of a machine whose step is ``step`` (ORD-11 and ORD-12 take it again)."""
    return (*_about_states(), *_about_steps(step), *_about_reach())


def _about_states() -> tuple[StateClause[State], ...]:
    return (
        StateClause(
            id="ORD-1",
            title="rank",
            sentence="The ordinal of an item MUST be its rank in the context, counted from 0.",
            witnesses=_each(_rank),
        ),
        StateClause(
            id="ORD-2",
            title="sequence",
            sentence="Sequence numbers MUST increase in the order of appending and stay below the"
            " conversation's next sequence number.",
            witnesses=_each(_sequence),
        ),
        StateClause(
            id="ORD-3",
            title="one place",
            sentence="An item MUST stand in the context at most once, and not at all while a"
            " summary covers it.",
            witnesses=_each(_one_place),
        ),
        StateClause(
            id="ORD-4",
            title="one cover",
            sentence="An item that does not stand in the context and is a source of a summary MUST"
            " be a source of exactly one.",
            witnesses=_each(_one_cover),
        ),
        StateClause(
            id="ORD-5",
            title="lossless",
            sentence="Expanding every item of the context through its lineage MUST yield the stored"
            " messages, in order, once each, less those that were pruned.",
            witnesses=_each(_lossless),
        ),
        StateClause(
            id="ORD-6",
            title="reference",
            sentence="Every item that a context or a lineage names MUST be stored in the same"
            " conversation.",
            witnesses=_each(_reference),
        ),
        StateClause(
            id="ORD-7",
            title="depth",
            sentence="The depth of a summary MUST be one more than the greatest depth of its"
            " sources, a message counting as -1; hence lineage is acyclic.",
            witnesses=_each(_depth),
        ),
        StateClause(
            id="ORD-8",
            title="identity",
            sentence="An id MUST name at most one message and at most one summary of all"
            " conversations.",
            witnesses=_identity,
            between_parts=True,
        ),
        StateClause(
            id="ORD-9",
            title="sources",
            sentence="A summary MUST have at least one source.",
            witnesses=_each(_sources),
        ),
    )


def _about_steps(step: Step) -> tuple[StepClause[State, Event, Outcome], ...]:
    return (
        StepClause(
            id="ORD-10",
            title="search",
            sentence="A search over all messages MUST answer the same before and after a"
            " replacement and a rollback.",
            events=(Replace, RollBack),
            outcomes=(Replaced, RolledBack),
            breaks=_search,
        ),
        StepClause(
            id="ORD-11",
            title="inverse",
            sentence="Rolling a replacement back MUST restore the whole state before it.",
            events=(Replace,),
            outcomes=(Replaced,),
            breaks=lambda before, event, _outcome, after: _inverse(step, before, event, after),
        ),
        StepClause(
            id="ORD-12",
            title="revert",
            sentence="Replacing again what a rollback restored, by the same summary, MUST restore"
            " the whole state before the rollback.",
            events=(RollBack,),
            outcomes=(RolledBack,),
            breaks=lambda before, event, _outcome, after: _revert(step, before, event, after),
        ),
        StepClause(
            id="ORD-13",
            title="neighbours",
            sentence="Items outside a replaced or restored range MUST keep their identity, their"
            " text and their order.",
            events=(Replace, RollBack),
            outcomes=(Replaced, RolledBack),
            breaks=_neighbours,
        ),
        StepClause(
            id="ORD-14",
            title="isolation",
            sentence="An event MUST NOT change any conversation but the one it names.",
            breaks=_isolation,
        ),
        StepClause(
            id="ORD-15",
            title="refusal",
            sentence="A refusal MUST leave the state as it was.",
            outcomes=(Refused,),
            breaks=_refusal,
            inert=True,
        ),
        StepClause(
            id="ORD-16",
            title="no failure",
            sentence="An event MUST NOT run into a constraint of the database.",
            breaks=_no_failure,
            inert=True,
        ),
        StepClause(
            id="ORD-17",
            title="loss",
            sentence="A loss MUST be recorded only by the prune or the forget that takes the item,"
            " and the record MUST stay.",
            breaks=_loss,
        ),
        StepClause(
            id="ORD-22",
            title="verbatim",
            sentence="A stored message MUST stay as it is until a forget names it, and that forget"
            " MUST record it.",
            breaks=_verbatim,
        ),
        StepClause(
            id="ORD-23",
            title="counter",
            sentence="The next sequence number of a conversation MUST NOT go back.",
            breaks=_counter,
        ),
        StepClause(
            id="ORD-24",
            title="append",
            sentence="An append MUST leave the context as it was and put its messages behind it, in"
            " the order given.",
            events=(Append,),
            outcomes=(Appended,),
            breaks=_appended,
        ),
        StepClause(
            id="ORD-25",
            title="prune",
            sentence="A prune MUST leave in the context the summaries of at least the retained"
            " depth, and nothing else.",
            events=(Prune,),
            outcomes=(Pruned,),
            breaks=_pruned,
        ),
        StepClause(
            id="ORD-26",
            title="as given",
            sentence="An append and a replacement MUST store the texts that they were given.",
            events=(Append, Replace),
            outcomes=(Appended, Replaced),
            breaks=_as_given,
        ),
        StepClause(
            id="ORD-27",
            title="kept",
            sentence="An append, a prune and a forget MUST leave as it is every summary that stands"
            " in the context, is a source, or was pruned.",
            events=(Append, Prune, Forget),
            breaks=_kept,
        ),
        StepClause(
            id="ORD-28",
            title="report",
            sentence="An outcome MUST report what the step did: where messages stand, which depth a"
            " summary has, which items came back or left.",
            outcomes=(Appended, Replaced, RolledBack, Pruned, Forgotten),
            breaks=_report,
        ),
    )


def _about_reach() -> tuple[SometimesClause[State, Event, Outcome], ...]:
    return (
        SometimesClause(
            id="ORD-18",
            title="condensation",
            sentence="Sometimes a summary replaces summaries.",
            reached=lambda _before, event, outcome, _after: (
                isinstance(event, Replace) and isinstance(outcome, Replaced) and outcome.depth > 0
            ),
        ),
        SometimesClause(
            id="ORD-19",
            title="middle",
            sentence="Sometimes a replacement leaves items on both sides.",
            reached=_middle,
        ),
        SometimesClause(
            id="ORD-20",
            title="after a loss",
            sentence="Sometimes a replacement happens in a conversation that has lost items.",
            reached=_after_a_loss,
        ),
        SometimesClause(
            id="ORD-21",
            title="two conversations",
            sentence="Sometimes a message is appended beside another conversation that has a"
            " context.",
            reached=_two_conversations,
        ),
    )


def _each(
    about: Callable[[Conversation], Iterable[Witness]],
) -> Callable[[State], Iterable[Witness]]:
    """Lift a predicate about one conversation to states."""
    return lambda state: chain.from_iterable(map(about, state.conversations))


def _witness(at: Conversation, row: str, found: str, table: str = "") -> Witness:
    return Witness(table=table, row=f"conversation {at.id}, {row}", found=found)


def label(item: Item) -> str:
    """Name an item in a witness: ``message m1``, ``summary s1``."""
    return f"{'message' if isinstance(item, MessageItem) else 'summary'} {item.id}"


def _rank(at: Conversation) -> Iterator[Witness]:
    for rank, entry in enumerate(at.context):
        if entry.ordinal != rank:
            found = f"{label(entry.item)} is item number {rank}"
            yield _witness(at, f"ordinal {entry.ordinal}", found, "context")


def _sequence(at: Conversation) -> Iterator[Witness]:
    least = 1
    for message in at.messages:
        if message.sequence < least:
            found = f"sequence {message.sequence}, at least {least} expected"
            yield _witness(at, f"message {message.id}", found, "messages")
        else:
            least = message.sequence + 1
    if at.next_sequence < least:
        row, found = f"next sequence {at.next_sequence}", f"at least {least} expected"
        yield _witness(at, row, found, "conversations")


def _one_place(at: Conversation) -> Iterator[Witness]:
    context = [entry.item for entry in at.context]
    standing = set(context)
    if len(standing) < len(context):
        for item, times in Counter(context).items():
            if times > 1:
                yield _witness(at, label(item), f"stands in the context {times} times", "context")
    covered = coverers(at)
    if not standing.isdisjoint(covered):
        for item in dict.fromkeys(context):
            if item in covered:
                found = f"stands in the context and is covered by summary {covered[item][0]}"
                yield _witness(at, label(item), found, "context")


def _one_cover(at: Conversation) -> Iterator[Witness]:
    standing = {entry.item for entry in at.context}
    for item, summaries in coverers(at).items():
        if item not in standing and len(summaries) > 1:
            found = f"is a source of summaries {', '.join(summaries)}"
            yield _witness(at, label(item), found, "lineage")


def _lossless(at: Conversation) -> Iterator[Witness]:
    expanded = expansion(at)
    pruned = {
        message
        for loss in at.losses
        if loss.cause is Cause.PRUNED
        for message in expanded(loss.item)
    }
    expected = [message.id for message in at.messages if message.id not in pruned]
    found = [message for entry in at.context for message in expanded(entry.item)]
    if found != expected:
        yield from _mismatches(at, expected, found)


def _mismatches(
    at: Conversation, expected: list[MessageId], found: list[MessageId]
) -> Iterator[Witness]:
    """Yield each message that is missing, stands too often, or stands elsewhere.

    Both lists are read side by side, and what one of them has alone is stepped over: one message
    that is missing is one witness, however many stand behind it.
    """
    to_find, to_come = Counter(expected), Counter(found)
    rank = place = 0
    while rank < len(expected) or place < len(found):
        wanted = expected[rank] if rank < len(expected) else None
        there = found[place] if place < len(found) else None
        text = f"{_name(there)} found, {_name(wanted)} expected"
        alone = wanted is not None and (there is None or not to_come[wanted] or to_find[there] > 0)
        if wanted != there:
            row = f"expanded message {rank if alone else place}"
            yield _witness(at, row, text, "messages" if alone else "context")
        if wanted is not None and (alone or wanted == there):
            to_find[wanted] -= 1
            rank += 1
        if there is not None and (not alone or wanted == there):
            to_come[there] -= 1
            place += 1


def _name(message: MessageId | None) -> str:
    return "nothing" if message is None else message


def _stored(at: Conversation) -> set[Item]:
    messages: set[Item] = {MessageItem(id=one.id) for one in at.messages}
    return messages | {SummaryItem(id=one.id) for one in at.summaries}


def _reference(at: Conversation) -> Iterator[Witness]:
    stored = _stored(at)
    for entry in at.context:
        if entry.item not in stored:
            row, found = f"ordinal {entry.ordinal}", f"{label(entry.item)} is not stored here"
            yield _witness(at, row, found, "context")
    for summary in at.summaries:
        for item in summary.sources:
            if item not in stored:
                row, found = f"summary {summary.id}", f"source {label(item)} is not stored here"
                yield _witness(at, row, found, "lineage")


def _depth(at: Conversation) -> Iterator[Witness]:
    depths: dict[Item, int] = {SummaryItem(id=one.id): one.depth for one in at.summaries}
    for summary in at.summaries:
        expected = 1 + max([depths.get(item, -1) for item in summary.sources], default=-1)
        if summary.depth != expected:
            row, found = f"summary {summary.id}", f"depth {summary.depth}, {expected} expected"
            yield _witness(at, row, found, "summaries")


def _identity(state: State) -> Iterator[Witness]:
    seen: set[Item] = set()
    for at in state.conversations:
        for table, item in _items_known(at):
            if item in seen:
                yield _witness(at, label(item), "the id names another item as well", table)
            seen.add(item)


def _items_known(at: Conversation) -> Iterator[tuple[str, Item]]:
    """Yield the stored items with their repetitions, then the forgotten messages."""
    for message in at.messages:
        yield "messages", MessageItem(id=message.id)
    for summary in at.summaries:
        yield "summaries", SummaryItem(id=summary.id)
    for loss in at.losses:
        if loss.cause is Cause.FORGOTTEN:
            yield "losses", loss.item


def _sources(at: Conversation) -> Iterator[Witness]:
    for summary in at.summaries:
        if not summary.sources:
            yield _witness(at, f"summary {summary.id}", "has no source", "summaries")


def search(state: State, term: str) -> tuple[MessageId, ...]:
    """Return the messages of all conversations whose text contains ``term``."""
    return tuple(one.id for at in state.conversations for one in at.messages if term in one.text)


def _search(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    """Compare every search at once: all of them answer the same when ids and texts are the same."""
    del outcome
    at, then = find(before, event.conversation), find(after, event.conversation)
    if at is None or then is None or at.messages == then.messages:
        return None
    for message in (*at.messages, *then.messages):
        was, now = search(before, message.text), search(after, message.text)
        if was != now:
            return _witness(
                at, f"search for {message.text[:40]!r}", f"{_list(now)} after, {_list(was)} before"
            )
    return None


def _list(messages: tuple[MessageId, ...]) -> str:
    return ", ".join(messages) if messages else "nothing"


def _inverse(step: Step, before: State, event: Event, after: State) -> Witness | None:
    assert isinstance(event, Replace)
    restored, outcome = step(
        after, RollBack(conversation=event.conversation, summary=event.summary)
    )
    return _same(before, restored, event, f"rolled back: {_said(outcome)}")


def _revert(step: Step, before: State, event: Event, after: State) -> Witness | None:
    assert isinstance(event, RollBack)
    at = find(before, event.conversation)
    summary = None if at is None else summary_of(at, event.summary)
    if summary is None:
        return Witness(
            row=f"conversation {event.conversation}, summary {event.summary}",
            found="was not stored",
        )
    again = Replace(
        conversation=event.conversation,
        summary=event.summary,
        text=summary.text,
        items=summary.sources,
    )
    restored, outcome = step(after, again)
    return _same(before, restored, event, f"replaced again: {_said(outcome)}")


def _said(outcome: Outcome) -> str:
    return outcome.reason.value if isinstance(outcome, Refused) else type(outcome).__name__


def _same(before: State, restored: State, event: Replace | RollBack, said: str) -> Witness | None:
    if restored == before:
        return None
    row = f"conversation {event.conversation}, summary {event.summary}"
    return Witness(row=row, found=f"{said}, and the state is not the one before")


def _neighbours(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    assert isinstance(event, (Replace, RollBack))
    at, then = find(before, event.conversation), find(after, event.conversation)
    if at is None or then is None:
        return Witness(row=f"conversation {event.conversation}", found="is gone")
    summary: Item = SummaryItem(id=event.summary)
    inside = {summary, *(event.items if isinstance(event, Replace) else _restored(outcome))}
    was, now = _outside(at, inside), _outside(then, inside)
    if was == now:
        return None
    for one, other in zip(was, now, strict=False):
        if one != other:
            return _witness(at, label(one[0]), "is not the same item with the same text afterwards")
    return _witness(at, "items outside the range", f"{len(was)} before, {len(now)} after")


def _restored(outcome: Outcome) -> tuple[Item, ...]:
    assert isinstance(outcome, RolledBack)
    return outcome.restored


def _outside(at: Conversation, inside: set[Item]) -> list[tuple[Item, str | None]]:
    texts = {one.id: one.text for one in at.summaries}
    return [
        (entry.item, texts.get(entry.item.id) if isinstance(entry.item, SummaryItem) else None)
        for entry in at.context
        if entry.item not in inside
    ]


def _isolation(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del outcome
    was = [one for one in before.conversations if one.id != event.conversation]
    now = [one for one in after.conversations if one.id != event.conversation]
    if was == now:
        return None
    if len(was) != len(now):
        return Witness(row="other conversations", found=f"{len(was)} before, {len(now)} after")
    changed = next(one for one, then in zip(was, now, strict=True) if one != then)
    return _witness(changed, "as a whole", "was changed by an event of another conversation")


def _refusal(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    if after is before or after == before:
        return None
    row = f"conversation {event.conversation}"
    return Witness(row=row, found=f"changed although the event was {_said(outcome)}")


def _no_failure(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del before, after
    if not isinstance(outcome, Failed):
        return None
    return Witness(
        row=f"conversation {event.conversation}",
        found=f"UNIQUE constraint failed: {outcome.constraint}",
    )


def _loss(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del outcome
    at, then = find(before, event.conversation), find(after, event.conversation)
    if at is None or then is None or at.losses is then.losses:
        return None
    was, now = set(at.losses), set(then.losses)
    for gone in sorted(was - now, key=_by_position):
        return _witness(at, f"loss of {label(gone.item)}", "the record is gone")
    allowed = _may_lose(event, at)
    for new in sorted(now - was, key=_by_position):
        if (new.cause, new.item) not in allowed:
            return _witness(at, f"loss of {label(new.item)}", f"recorded by {type(event).__name__}")
    return None


def _by_position(loss: Loss) -> int:
    return loss.position


def _verbatim(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    at, then = find(before, event.conversation), find(after, event.conversation)
    named = event.messages if isinstance(outcome, Forgotten) and isinstance(event, Forget) else ()
    if at is None or then is None or (at.messages is then.messages and not named):
        return None
    kept = {message.id: message for message in then.messages}
    for message in at.messages:
        if message.id in named:
            loss = Loss(
                position=message.sequence, cause=Cause.FORGOTTEN, item=MessageItem(id=message.id)
            )
            if message.id in kept or loss not in then.losses:
                return _witness(at, f"message {message.id}", "was forgotten without a record")
        elif kept.get(message.id) != message:
            return _witness(at, f"message {message.id}", "is not what was stored")
    return None


def _counter(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del outcome
    at, then = find(before, event.conversation), find(after, event.conversation)
    if at is None or then is None or then.next_sequence >= at.next_sequence:
        return None
    return _witness(at, f"next sequence {then.next_sequence}", f"{at.next_sequence} before")


def _appended(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del outcome
    assert isinstance(event, Append)
    at, then = find(before, event.conversation), find(after, event.conversation)
    if at is None or then is None:
        return Witness(row=f"conversation {event.conversation}", found="is gone")
    drafts: list[Item] = [MessageItem(id=draft.id) for draft in event.messages]
    return _expect(at, [entry.item for entry in at.context] + drafts, then)


def _pruned(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del outcome
    assert isinstance(event, Prune)
    at, then = find(before, event.conversation), find(after, event.conversation)
    if at is None or then is None:
        return Witness(row=f"conversation {event.conversation}", found="is gone")
    least = event.retain_depth
    deep: set[Item] = {
        SummaryItem(id=one.id) for one in at.summaries if least is not None and one.depth >= least
    }
    return _expect(at, [entry.item for entry in at.context if entry.item in deep], then)


def _as_given(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del before, outcome
    then = find(after, event.conversation)
    if then is None:
        return Witness(row=f"conversation {event.conversation}", found="is gone")
    match event:
        case Append(messages=drafts):
            texts = {message.id: message.text for message in then.messages}
            for draft in drafts:
                if texts.get(draft.id) != draft.text:
                    return _witness(then, f"message {draft.id}", "is not stored with its text")
        case Replace(summary=summary, text=text):
            stored = summary_of(then, summary)
            if stored is None or stored.text != text:
                return _witness(then, f"summary {summary}", "is not stored with its text")
        case _:
            pass
    return None


def _kept(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del outcome
    at, then = find(before, event.conversation), find(after, event.conversation)
    if at is None or then is None or at.summaries is then.summaries:
        return None
    stored = {one.id: one for one in then.summaries}
    placed = _placed(at)
    for summary in at.summaries:
        if SummaryItem(id=summary.id) in placed and stored.get(summary.id) != summary:
            return _witness(at, f"summary {summary.id}", "is not what was stored")
    return None


def _placed(at: Conversation) -> set[Item]:
    """Return the items that stand in the context, are a source, or are a loss."""
    return (
        {entry.item for entry in at.context}
        | {loss.item for loss in at.losses}
        | coverers(at).keys()
    )


def _report(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    at, then = find(before, event.conversation), find(after, event.conversation)
    if at is None or then is None:
        return Witness(row=f"conversation {event.conversation}", found="is gone")
    done = _done(at, event, outcome, then)
    if done == outcome:
        return None
    return _witness(at, f"outcome {type(outcome).__name__}", f"{outcome} reported, {done} done")


def _done(at: Conversation, event: Event, outcome: Outcome, then: Conversation) -> Outcome | None:
    """Return the outcome that a step shows, from the conversation before and after it."""
    match event, outcome:
        case Append(messages=drafts), Appended():
            return _where(then, {draft.id for draft in drafts})
        case Replace(summary=name), Replaced():
            summary = summary_of(then, name)
            return None if summary is None else Replaced(depth=summary.depth)
        case RollBack(), RolledBack():
            return RolledBack(restored=_left(then, at))
        case Prune(), Pruned():
            return Pruned(removed=_left(at, then))
        case Forget(), Forgotten():
            left = _left(at, then)
            return Forgotten(removed=tuple(one.id for one in left if isinstance(one, MessageItem)))
        case _:
            return outcome


def _where(then: Conversation, messages: set[MessageId]) -> Outcome | None:
    ordinals = [
        entry.ordinal
        for entry in then.context
        if entry.item.id in messages and isinstance(entry.item, MessageItem)
    ]
    sequences = [stored.sequence for stored in then.messages if stored.id in messages]
    if not ordinals or not sequences:
        return None
    return Appended(ordinal=min(ordinals), sequence=min(sequences))


def _left(at: Conversation, then: Conversation) -> tuple[Item, ...]:
    """Return the items that stand in the context of ``at`` and not in that of ``then``."""
    standing = {entry.item for entry in then.context}
    return tuple([entry.item for entry in at.context if entry.item not in standing])


def _expect(at: Conversation, wanted: list[Item], then: Conversation) -> Witness | None:
    """Return the first place at which a context does not hold the items that it should."""
    found = [entry.item for entry in then.context]
    for rank, (one, other) in enumerate(zip_longest(wanted, found)):
        if one != other:
            return _witness(
                at,
                f"item {rank}",
                f"{'nothing' if other is None else label(other)} found,"
                f" {'nothing' if one is None else label(one)} expected",
            )
    return None


def _may_lose(event: Event, at: Conversation) -> set[tuple[Cause, Item]]:
    match event:
        case Prune():
            return {(Cause.PRUNED, entry.item) for entry in at.context}
        case Forget(messages=messages):
            return {(Cause.FORGOTTEN, MessageItem(id=message)) for message in messages}
        case _:
            return set()


def _middle(before: State, event: Event, outcome: Outcome, after: State) -> bool:
    del before
    if not isinstance(event, Replace) or not isinstance(outcome, Replaced):
        return False
    then = find(after, event.conversation)
    return then is not None and _stands_between(then.context, event)


def _stands_between(context: tuple[Placed, ...], event: Replace) -> bool:
    return any(entry.item == SummaryItem(id=event.summary) for entry in context[1:-1])


def _after_a_loss(before: State, event: Event, outcome: Outcome, after: State) -> bool:
    del after
    at = find(before, event.conversation)
    return isinstance(outcome, Replaced) and at is not None and bool(at.losses)


def _two_conversations(before: State, event: Event, outcome: Outcome, after: State) -> bool:
    del after
    return isinstance(outcome, Appended) and any(
        one.context for one in before.conversations if one.id != event.conversation
    )
