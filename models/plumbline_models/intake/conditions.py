"""What any two states of one history of intake have in common: conditions of an audit.

Chapter ``spec/intake.md``. They stand beside the conditions of tokens and of ordinals. An entry
never changes and never leaves (INT-15), and new ones are stored behind those that are there, so the
log of the earlier state is the beginning of the later one's.
"""

from collections import Counter
from collections.abc import Callable, Iterator

from plumbline_models.contract import Condition, Discrepancy
from plumbline_models.intake.queries import log_of
from plumbline_models.intake.values import Entry, Log, State
from plumbline_models.ordinals import Cause, Conversation, MessageId, MessageItem
from plumbline_models.ordinals.queries import find

Between = Callable[[Conversation, Log, Log], Iterator[Discrepancy]]


def conditions() -> tuple[Condition[State], ...]:
    """Return the conditions that an earlier and a later state of one history keep."""
    return (
        Condition(
            title="entries",
            sentence="Every entry of the earlier state is stored in the later one, as it was.",
            clauses=("INT-15",),
            discrepancies=_each(_altered),
        ),
        Condition(
            title="entry order",
            sentence="Entries keep their order, and a new one stands behind those that were there.",
            clauses=("INT-15", "INT-18"),
            discrepancies=_each(_moved),
        ),
        Condition(
            title="entry message",
            sentence="A new entry that is placed brings a message that was neither stored nor"
            " forgotten.",
            clauses=("INT-2", "INT-7"),
            discrepancies=_each(_brought),
        ),
    )


def _each(between: Between) -> Callable[[State, State], Iterator[Discrepancy]]:
    """Lift a condition on the log of one conversation; one that is new was handed nothing."""

    def over(before: State, after: State) -> Iterator[Discrepancy]:
        for then in after.ledger.lists.conversations:
            at = find(before.ledger.lists, then.id)
            was, now = log_of(before, then.id), log_of(after, then.id)
            if now.entries != was.entries:
                yield from between(Conversation(id=then.id) if at is None else at, was, now)

    return over


def _differ(log: Log, row: str, before: str, after: str) -> Discrepancy:
    row = f"conversation {log.conversation}, {row}"
    return Discrepancy(table="entries", row=row, before=before, after=after)


def _named(entry: Entry) -> str:
    """Name an entry as rows are found: by its id; else by its place."""
    if entry.entry is not None:
        return f"entry {entry.entry}"
    return f"source {entry.source}, place {entry.place}"


def _altered(_at: Conversation, was: Log, now: Log) -> Iterator[Discrepancy]:
    new = list((Counter(now.entries) - Counter(was.entries)).elements())
    namesakes = {_named(entry): entry for entry in reversed(new)}
    for entry in (Counter(was.entries) - Counter(now.entries)).elements():
        other = namesakes.get(_named(entry))
        if other is None:
            yield _differ(was, _named(entry), _said(entry), "gone")
        else:
            yield _differ(was, _named(entry), *_sides(entry, other))


def _said(entry: Entry) -> str:
    says = entry.text if entry.message is None else f"message {entry.message}"
    return f"{entry.standing.value}, {entry.role}, {says}"


def _sides(entry: Entry, other: Entry) -> tuple[str, str]:
    """Say the first field in which two entries differ, as each of them has it."""
    pairs = zip(_fields(entry), _fields(other), strict=True)
    return next((one, another) for one, another in pairs if one != another)


def _fields(entry: Entry) -> tuple[str, ...]:
    parts = [
        f"{one.kind} at {one.start}, {one.length} long, call {one.call}, name {one.name}"
        for one in entry.parts
    ]
    return (
        f"standing {entry.standing.value}",
        f"message {entry.message}",
        f"digest {entry.digest}",
        f"role {entry.role}",
        f"text {entry.text!r}",
        f"time {entry.time}",
        f"source {entry.source}",
        f"place {entry.place}",
        f"parts {'; '.join(parts)}",
    )


def _moved(_at: Conversation, was: Log, now: Log) -> Iterator[Discrepancy]:
    before, after = Counter(map(_named, was.entries)), Counter(map(_named, now.entries))
    old = [name for name in map(_named, was.entries) if name in after]
    common = [name for name in map(_named, now.entries) if name in before]
    for rank, (one, other) in enumerate(zip(old, common, strict=False)):
        if one != other:
            yield _differ(was, f"entry {rank} of those stored before and after", one, other)
    left = len(common)
    for name in map(_named, now.entries):
        if name in before:
            left -= 1
        elif left > 0:
            yield _differ(was, name, "not stored", f"stored before {left} older ones")


def _brought(at: Conversation, was: Log, now: Log) -> Iterator[Discrepancy]:
    names, known = set(map(_named, was.entries)), _known(at)
    for entry in now.entries:
        standing = None if entry.message is None else known.get(entry.message)
        if standing is not None and _named(entry) not in names:
            message = f"message {entry.message}"
            yield _differ(was, _named(entry), f"{message} {standing}", f"brings {message}")


def _known(at: Conversation) -> dict[MessageId, str]:
    """Return how each message stands that was ever said in a conversation."""
    lost = [loss.item for loss in at.losses if loss.cause is Cause.FORGOTTEN]
    forgotten = {item.id: "forgotten" for item in lost if isinstance(item, MessageItem)}
    return forgotten | {one.id: "stored" for one in at.messages}
