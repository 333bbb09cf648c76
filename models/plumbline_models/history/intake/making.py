"""How wrong machines are made of the right one: rows heard otherwise, and states changed after.

Theory of operation. Almost every wrong machine takes the right step and differs in one place. It
takes rows one by one and hears some of them as others or not at all (``row_by_row``), changes once
more what a step left behind (``after_taking``, ``after_each``), answers otherwise where the right
one refuses (``instead_of_refusing``), or begins in a state in which the right step is kept from
something for good (``beginning``).
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias, TypeVar

from msgspec.structs import replace

from plumbline_models import ordinals, tokens
from plumbline_models.history import Variant
from plumbline_models.intake import Machine, Scope, Step, assembled
from plumbline_models.intake.queries import entry_of, log_of, place_of, with_log
from plumbline_models.intake.scope import in_scope
from plumbline_models.intake.transitions import step
from plumbline_models.intake.values import (
    SPEC,
    Digest,
    Entry,
    EntryId,
    Event,
    Fate,
    Log,
    Outcome,
    Place,
    Reason,
    Refused,
    SourceId,
    Standing,
    State,
    Take,
    Taken,
)
from plumbline_models.ordinals import Conversation, ConversationId, Item, MessageId
from plumbline_models.ordinals.queries import find, settle

IntakeVariant: TypeAlias = Variant[State, Event, Outcome, Scope]

ROWS_ALONE = tokens.Scope(
    conversations=1, messages=0, summaries=0, refusals=False, weighings=False, counts=(None,)
)
"""One conversation whose messages all come from rows."""
IDS = Scope(ledger=ROWS_ALONE, rows=3, appends=1, departures=False)
"""Three rows with ids, and a message beside them."""
PLACES = Scope(ledger=ROWS_ALONE, rows=3, ids=False, appends=1)
"""Three rows without ids, and a message beside them; what was taken can be pruned and forgotten."""
COVERED = Scope(
    ledger=replace(ROWS_ALONE, summaries=1), rows=2, ids=False, departures=False, refusals=False
)
"""Two rows without ids, which a summary can cover."""
TWO = Scope(ledger=replace(ROWS_ALONE, conversations=2), rows=2, departures=False, refusals=False)
"""Two conversations, and two rows with ids that both of them are handed."""

K = TypeVar("K", bound=Event)

Decide: TypeAlias = Callable[[State, Take, int], Take | None]
"""Given the state by now, an event and which of its rows: the event to take for that row alone;
None to drop it and say that it was known."""


def right(state: State, event: Event) -> tuple[State, Outcome]:
    """Take the specification's step."""
    return step(SPEC, state, event)


def stepping(name: str, one_step: Step) -> Callable[[], Machine]:
    """Return the maker of a machine with another step."""
    return lambda: assembled(name, one_step)


def beginning(name: str, initial: State) -> Callable[[], Machine]:
    """Return the maker of a machine that takes the right step from another initial state."""
    return lambda: assembled(name, right, initial)


def offered(
    maker: Callable[[], Machine], also: Callable[[ConversationId], Iterable[Event]]
) -> Callable[[], Machine]:
    """Return the maker of a machine that offers ``also`` for each conversation."""

    def events(state: State, scope: Scope) -> Iterator[Event]:
        yield from in_scope(state, scope)
        for at in state.ledger.lists.conversations:
            yield from also(at.id)

    return lambda: replace(maker(), events=events)


def single(event: Take, index: int) -> Take:
    """Return the event that hands over one row of an event alone."""
    return replace(event, rows=(event.rows[index],), first=place_of(event, index))


def known(state: State, event: Take, index: int) -> Entry | None:
    """Return the stored entry that a row of an event is."""
    entries = log_of(state, event.conversation).entries
    return entry_of(entries, event.source, event.rows[index], place_of(event, index))


def row_by_row(decide: Decide) -> Step:
    """Return a step that takes the rows of an event one after the other, as ``decide`` says."""

    def one_step(state: State, event: Event) -> tuple[State, Outcome]:
        if not isinstance(event, Take):
            return right(state, event)
        after, outcome = right(state, event)
        if isinstance(outcome, Refused) and outcome.reason is Reason.UNDECIDABLE:
            return after, outcome
        if find(state.ledger.lists, event.conversation) is None:
            return after, outcome
        return _one_by_one(decide, state, event)

    return one_step


def _one_by_one(decide: Decide, state: State, event: Take) -> tuple[State, Outcome]:
    # A copy: engines take a step that hands back the very state for one that did nothing.
    now, fates, posted = replace(state), list[Fate](), list[tokens.Posted]()
    for index in range(len(event.rows)):
        part = decide(now, event, index)
        if part is None:
            fates.append(Fate.KNOWN)
            continue
        now, outcome = right(now, part)
        match outcome:
            case Taken():
                fates += outcome.fates
                posted += [] if outcome.posted is None else [outcome.posted]
            case Refused():
                return state, replace(outcome, rows=(index,))
            case tokens.Refused():
                return state, replace(outcome, index=index)
            case _:
                return state, outcome
    return now, Taken(fates=tuple(fates), posted=_joined(posted))


def _joined(posted: list[tokens.Posted]) -> tokens.Posted | None:
    """Return how several appends were posted, as if they were one."""
    if not posted:
        return None
    added = sum(one.added for one in posted)
    return replace(posted[0], added=added, after=posted[-1].after)


def after_taking(change: Callable[[State, State, Take, Taken], State]) -> Step:
    """Return a step that changes the state once more after rows were taken.

    ``change`` is given the state before the step, the one after it, the event and the outcome.
    """

    def one_step(state: State, event: Event) -> tuple[State, Outcome]:
        after, outcome = right(state, event)
        if isinstance(event, Take) and isinstance(outcome, Taken):
            return change(state, after, event, outcome), outcome
        return after, outcome

    return one_step


def after_each(kind: type[K], change: Callable[[State, State, K], State]) -> Step:
    """Return a step that changes the state once more after an accepted event of ``kind``."""

    def one_step(state: State, event: Event) -> tuple[State, Outcome]:
        after, outcome = right(state, event)
        if isinstance(event, kind) and not isinstance(outcome, ordinals.Refused | tokens.Refused):
            return change(state, after, event), outcome
        return after, outcome

    return one_step


def answering(said: Callable[[State, Take, Taken], Taken]) -> Step:
    """Return a step that does what is right and says something else when rows were taken."""

    def one_step(state: State, event: Event) -> tuple[State, Outcome]:
        after, outcome = right(state, event)
        if isinstance(event, Take) and isinstance(outcome, Taken):
            return after, said(state, event, outcome)
        return after, outcome

    return one_step


def instead_of_refusing(
    reason: Reason, answer: Callable[[State, Take, Refused], tuple[State, Outcome]]
) -> Step:
    """Return a step that does ``answer`` where the right one refuses rows for ``reason``."""

    def one_step(state: State, event: Event) -> tuple[State, Outcome]:
        after, outcome = right(state, event)
        if isinstance(event, Take) and isinstance(outcome, Refused) and outcome.reason is reason:
            return answer(state, event, outcome)
        return after, outcome

    return one_step


def refusing(kind: type[K], reason: ordinals.Reason, when: Callable[[State, K], bool]) -> Step:
    """Return a step that refuses also the events of ``kind`` for which ``when`` holds."""

    def one_step(state: State, event: Event) -> tuple[State, Outcome]:
        if isinstance(event, kind) and when(state, event):
            return state, ordinals.Refused(reason=reason)
        return right(state, event)

    return one_step


def logged(state: State, log: Log) -> State:
    """Return the state with this log for the one of its conversation; none when it is empty."""
    if log.entries:
        return replace(state, logs=with_log(state.logs, log))
    others = tuple(one for one in state.logs if one.conversation != log.conversation)
    return replace(state, logs=others)


def rewritten(state: State, event: Take, change: Callable[[int, Entry], Entry]) -> State:
    """Return the state in which every entry of an event's conversation is changed.

    ``change`` is given the number of the entry, counted from 0, and the entry.
    """
    log = log_of(state, event.conversation)
    entries = tuple(change(number, one) for number, one in enumerate(log.entries))
    return logged(state, replace(log, entries=entries))


def new_entries(
    before: State, after: State, event: Take, change: Callable[[Entry], Entry]
) -> State:
    """Return the state after an event in which the entries that it added are changed."""
    old = len(log_of(before, event.conversation).entries)
    return rewritten(after, event, lambda number, one: one if number < old else change(one))


def said_again(state: State, here: ConversationId, messages: Iterable[MessageId]) -> State:
    """Return the state in which these messages are appended once more, each at most once."""
    at = find(state.ledger.lists, here)
    assert at is not None
    texts = {one.id: one.text for one in at.messages}
    copies = tuple(
        tokens.Draft(id=MessageId(f"{message} again"), text=texts[message])
        for message in messages
        if message in texts
    )
    return right(state, tokens.Append(conversation=here, messages=copies))[0]


def standing(at: Conversation | None) -> tuple[Item, ...]:
    """Return the items of a context, oldest first."""
    return () if at is None else tuple(entry.item for entry in at.context)


def here(state: State, event: Take) -> Conversation:
    """Return the conversation of an event of which rows were taken."""
    at = find(state.ledger.lists, event.conversation)
    assert at is not None
    return at


def with_conversation(state: State, at: Conversation) -> State:
    """Return the state with ``at`` for the conversation of its id."""
    return replace(state, ledger=replace(state.ledger, lists=settle(state.ledger.lists, at)))


def carried(entry: str, text: str, place: int | None, source: str = "one") -> Entry:
    """Return an entry that is not placed and whose bytes are those of no row of a scope."""
    return Entry(
        source=SourceId(source),
        entry=EntryId(entry),
        place=None if place is None else Place(place),
        standing=Standing.CARRIED,
        digest=Digest(f"other than {entry}"),
        role="label",
        message=None,
        text=text,
        parts=(),
    )
