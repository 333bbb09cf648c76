"""What any two states of one history of ordinals have in common: conditions of an audit.

Chapter ``spec/ordinals.md``. Between the two lie events that nobody recorded, so the clauses about
steps cannot be judged; what is judged is what each of them leaves behind after any number of steps.
A condition is necessary and not sufficient: that all of them hold does not prove that the later
state was reached from the earlier one.

A summary is *settled* once it was pruned, or once a summary that was pruned covers it: nothing
brings it back into the context, so no rollback can delete it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from plumbline_models.contract import Condition, Discrepancy
from plumbline_models.ordinals.clauses import label
from plumbline_models.ordinals.queries import expansion, find
from plumbline_models.ordinals.values import (
    Cause,
    Conversation,
    Item,
    Loss,
    Message,
    MessageId,
    MessageItem,
    State,
    Summary,
    SummaryItem,
)

SHOWN = 40
"""Code points of a text that a discrepancy shows."""

Between = Callable[[Conversation, Conversation], Iterator[Discrepancy]]


def conditions() -> tuple[Condition[State], ...]:
    """Return the conditions that an earlier and a later state of one history keep."""
    return (
        Condition(
            title="conversation",
            sentence="A conversation stays.",
            clauses=("ORD-14",),
            discrepancies=_gone,
        ),
        Condition(
            title="messages",
            sentence="A message stays stored until its loss is recorded, a forgotten one does not"
            " come back, and every number that was issued is the number of a message.",
            clauses=("ORD-8", "ORD-22", "ORD-24"),
            discrepancies=_each(_lost),
        ),
        Condition(
            title="order",
            sentence="A message keeps its sequence number and its place among the others, and a new"
            " one stands behind them.",
            clauses=("ORD-13", "ORD-22", "ORD-24"),
            discrepancies=_each(_reordered),
        ),
        Condition(
            title="one place",
            sentence="No item comes to be stored twice, to stand in the context twice, to have two"
            " summaries that cover it, or to stand beside the one that does.",
            clauses=("ORD-3", "ORD-4", "ORD-8"),
            discrepancies=_each(_doubled),
        ),
        Condition(
            title="texts",
            sentence="A message keeps its text, and a settled summary its text, its depth and its"
            " sources.",
            clauses=("ORD-22", "ORD-27"),
            discrepancies=_each(_rewritten),
        ),
        Condition(
            title="sources",
            sentence="A summary that is new or changed has a source, and its sources are stored.",
            clauses=("ORD-6", "ORD-9"),
            discrepancies=_each(_bare),
        ),
        Condition(
            title="losses",
            sentence="The record of a loss stays as it is, and a new one is of a message or summary"
            " that could still be lost.",
            clauses=("ORD-17",),
            discrepancies=_each(_losses),
        ),
        Condition(
            title="counter",
            sentence="The next sequence number does not go back.",
            clauses=("ORD-23",),
            discrepancies=_each(_counter),
        ),
        Condition(
            title="context",
            sentence="A stored message that the context does not reach was pruned, and one that was"
            " pruned does not come back.",
            clauses=("ORD-5", "ORD-17", "ORD-25"),
            discrepancies=_each(_left),
        ),
    )


def _each(between: Between) -> Callable[[State, State], Iterator[Discrepancy]]:
    """Lift a condition on one conversation; one that is new was empty before."""

    def over(before: State, after: State) -> Iterator[Discrepancy]:
        for then in after.conversations:
            at = find(before, then.id)
            yield from between(Conversation(id=then.id) if at is None else at, then)

    return over


def _differ(at: Conversation, table: str, row: str, before: str, after: str) -> Discrepancy:
    return Discrepancy(table=table, row=f"conversation {at.id}, {row}", before=before, after=after)


def _gone(before: State, after: State) -> Iterator[Discrepancy]:
    kept = {one.id for one in after.conversations}
    for at in before.conversations:
        if at.id not in kept:
            stored = f"{len(at.messages)} messages, {len(at.context)} items in the context"
            yield Discrepancy(
                table="conversations", row=f"conversation {at.id}", before=stored, after="gone"
            )


def _lost(at: Conversation, then: Conversation) -> Iterator[Discrepancy]:
    kept = {one.id: one for one in then.messages}
    forgotten = _forgotten(then)
    for message in at.messages:
        if message.id not in kept and message.id not in forgotten:
            after = "neither stored nor forgotten"
            yield _differ(at, "messages", f"message {message.id}", _said(message), after)
    for name in sorted(_forgotten(at).keys() & kept):
        yield _differ(at, "messages", f"message {name}", "forgotten", _said(kept[name]))
    numbers = {*(one.sequence for one in then.messages), *forgotten.values()}
    for first, last in _gaps(numbers, at.next_sequence, then.next_sequence):
        row = f"sequence {first}" if first == last else f"sequences {first} to {last}"
        yield _differ(at, "messages", row, "not issued", "issued, neither stored nor forgotten")


def _forgotten(at: Conversation) -> dict[MessageId, int]:
    """Return the forgotten messages with the sequence numbers that they had."""
    return {
        loss.item.id: loss.position
        for loss in at.losses
        if loss.cause is Cause.FORGOTTEN and isinstance(loss.item, MessageItem)
    }


def _gaps(numbers: Iterable[int], start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yield the first and the last of each run of numbers from start to stop that is not there."""
    expected = start
    for number in sorted([one for one in numbers if start <= one < stop]):
        if number > expected:
            yield expected, number - 1
        expected = number + 1
    if expected < stop:
        yield expected, stop - 1


def _said(message: Message) -> str:
    return f"sequence {message.sequence}, {_short(message.text)}"


def _short(text: str) -> str:
    return repr(text if len(text) <= SHOWN else text[: SHOWN - 1] + "…")


def _reordered(at: Conversation, then: Conversation) -> Iterator[Discrepancy]:
    stored = {one.id: one.sequence for one in at.messages}
    for message in then.messages:
        row, after = f"message {message.id}", f"sequence {message.sequence}"
        was = stored.get(message.id)
        if was is None and message.sequence < at.next_sequence:
            before = f"not stored, next sequence {at.next_sequence}"
            yield _differ(at, "messages", row, before, after)
        elif was is not None and was != message.sequence:
            yield _differ(at, "messages", row, f"sequence {was}", after)
    was_order, now_order = _reached(at), _reached(then)
    common = was_order.keys() & now_order.keys()
    was_common = [one for one in was_order if one in common]
    now_common = [one for one in now_order if one in common]
    for rank, (one, other) in enumerate(zip(was_common, now_common, strict=True)):
        if one != other:
            row = f"message {rank} of those reached before and after"
            yield _differ(at, "context", row, f"message {one}", f"message {other}")


def _reached(at: Conversation) -> dict[MessageId, None]:
    """Return the messages that the context expands to, in its order."""
    expanded = expansion(at)
    return dict.fromkeys(
        [message for entry in at.context for message in expanded(entry.item)],
    )


def _doubled(at: Conversation, then: Conversation) -> Iterator[Discrepancy]:
    for table, count in (("messages", _stored), ("summaries", _summarised), ("context", _places)):
        was = count(at)
        for item, times in count(then).items():
            if times > max(1, was[item]):
                word = {"context": "places"}.get(table, "rows")
                before, after = f"{was[item]} {word}", f"{times} {word}"
                yield _differ(at, table, label(item), before, after)


def _stored(at: Conversation) -> Counter[Item]:
    return Counter([MessageItem(id=one.id) for one in at.messages])


def _summarised(at: Conversation) -> Counter[Item]:
    return Counter([SummaryItem(id=one.id) for one in at.summaries])


def _places(at: Conversation) -> Counter[Item]:
    """Count where each item stands: in the context, and in a lineage."""
    standing = [entry.item for entry in at.context]
    return Counter([*standing, *(item for one in at.summaries for item in one.sources)])


def _rewritten(at: Conversation, then: Conversation) -> Iterator[Discrepancy]:
    texts = {one.id: one.text for one in then.messages}
    for message in at.messages:
        text = texts.get(message.id, message.text)
        if text != message.text:
            row = f"message {message.id}"
            yield _differ(at, "messages", row, _short(message.text), _short(text))
    summaries = {one.id: one for one in then.summaries}
    for summary in settled(at):
        now = summaries.get(summary.id)
        if now != summary:
            after = "gone" if now is None else _made(now)
            yield _differ(at, "summaries", f"summary {summary.id}", _made(summary), after)


def settled(at: Conversation) -> list[Summary]:
    """Return the stored summaries that were pruned, and those that these cover, by id."""
    by_id = {one.id: one for one in at.summaries}
    waiting = [loss.item for loss in at.losses if loss.cause is Cause.PRUNED]
    found: dict[Item, Summary] = {}
    while waiting:
        item = waiting.pop()
        if isinstance(item, SummaryItem) and item.id in by_id and item not in found:
            found[item] = by_id[item.id]
            waiting.extend(by_id[item.id].sources)
    return sorted(found.values(), key=lambda one: one.id)


def _made(summary: Summary) -> str:
    sources = ", ".join(label(item) for item in summary.sources)
    return f"depth {summary.depth}, {_short(summary.text)}, of {sources or 'nothing'}"


def _bare(at: Conversation, then: Conversation) -> Iterator[Discrepancy]:
    was = {one.id: one.sources for one in at.summaries}
    stored = _stored(then).keys() | _summarised(then).keys()
    for summary in then.summaries:
        before = was.get(summary.id)
        if before == summary.sources:
            continue
        said = "not stored" if before is None else f"{len(before)} sources"
        if not summary.sources:
            yield _differ(at, "summaries", f"summary {summary.id}", said, "no source")
        for item in summary.sources:
            if item not in stored:
                after = f"source {label(item)} is not stored"
                yield _differ(at, "lineage", f"summary {summary.id}", said, after)


def _losses(at: Conversation, then: Conversation) -> Iterator[Discrepancy]:
    was, now = set(at.losses), set(then.losses)
    kept = {(loss.cause, loss.item) for loss in was}
    altered = {(loss.cause, loss.item): loss for loss in now - was}
    for loss in sorted(was - now, key=_place):
        other = altered.get((loss.cause, loss.item))
        after = "not recorded" if other is None else _recorded(other)
        yield _differ(at, "losses", f"loss of {label(loss.item)}", _recorded(loss), after)
    why = _why_not_lost(at)
    for loss in sorted(now - was, key=_place):
        before = None if (loss.cause, loss.item) in kept else why(loss)
        if before is not None:
            yield _differ(at, "losses", f"loss of {label(loss.item)}", before, _recorded(loss))


def _place(loss: Loss) -> tuple[int, str]:
    return loss.position, loss.cause.value


def _recorded(loss: Loss) -> str:
    return f"{loss.cause.value} at {loss.position}"


def _why_not_lost(at: Conversation) -> Callable[[Loss], str | None]:
    """Return a function that says why no history from here on can record a loss, or None."""
    sequences = {one.id: one.sequence for one in at.messages}
    for_good = {one.id for one in settled(at)}
    covered = {item for one in settled(at) for item in one.sources}

    def why(loss: Loss) -> str | None:
        if isinstance(loss.item, SummaryItem):
            return "settled" if loss.item.id in for_good else None
        if loss.item in covered:
            return "covered for good"
        sequence = sequences.get(loss.item.id)
        if sequence is None:
            issued = loss.position < at.next_sequence
            return f"not stored, next sequence {at.next_sequence}" if issued else None
        return None if sequence == loss.position else f"sequence {sequence}"

    return why


def _counter(at: Conversation, then: Conversation) -> Iterator[Discrepancy]:
    if then.next_sequence < at.next_sequence:
        was, now = str(at.next_sequence), str(then.next_sequence)
        yield _differ(at, "conversations", "next sequence", was, now)


def _left(at: Conversation, then: Conversation) -> Iterator[Discrepancy]:
    adrift_before = _adrift(at)
    stored = {one.id for one in at.messages}
    for message in _adrift(then):
        if message not in adrift_before:
            before = "reached by the context or pruned" if message in stored else "not stored"
            after = "neither reached by the context nor pruned"
            yield _differ(at, "context", f"message {message}", before, after)
    reached_before, reached = _reached(at), _reached(then)
    for message in _pruned(at):
        if message in reached and message not in reached_before:
            yield _differ(at, "context", f"message {message}", "pruned", "reached by the context")


def _adrift(at: Conversation) -> dict[MessageId, None]:
    """Return the stored messages that the context does not reach and that were not pruned."""
    known = _reached(at).keys() | _pruned(at).keys()
    return dict.fromkeys([one.id for one in at.messages if one.id not in known])


def _pruned(at: Conversation) -> dict[MessageId, None]:
    """Return the messages that were pruned, by themselves or in a summary."""
    expanded = expansion(at)
    pruned = [loss.item for loss in at.losses if loss.cause is Cause.PRUNED]
    return dict.fromkeys([message for item in pruned for message in expanded(item)])
