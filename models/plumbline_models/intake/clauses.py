"""The clauses of intake, each as a predicate that names its witness.

Chapter ``spec/intake.md``, "Clauses".
"""

from collections import Counter
from collections.abc import Callable, Iterator

from plumbline_models import ordinals, tokens
from plumbline_models.contract import Clause, StateClause, StepClause, Witness
from plumbline_models.intake.queries import (
    added,
    draft_of,
    entry_of,
    log_of,
    place_of,
)
from plumbline_models.intake.reaching import about_reach
from plumbline_models.intake.refusals import (
    about_refusals,
    expected_fates,
    forgotten,
    is_placed,
    misfit,
    witness_of,
)
from plumbline_models.intake.values import (
    Entry,
    Event,
    Fate,
    Log,
    Outcome,
    Place,
    Refused,
    Reopen,
    Reopened,
    Row,
    Standing,
    State,
    Take,
    Taken,
)
from plumbline_models.lifting import Seen, lifted
from plumbline_models.ordinals.queries import find
from plumbline_models.ordinals.values import Conversation, MessageId, MessageItem
from plumbline_models.tokens.clauses import clauses as clauses_of_tokens


def clauses() -> tuple[Clause[State, Event, Outcome], ...]:
    """Return the clauses of intake, and those of tokens and ordinals."""
    own: tuple[Clause[State, Event, Outcome], ...] = (
        *_about_states(),
        *_about_steps(),
        *about_refusals(),
        *about_reach(),
    )
    return (*own, *lifted(clauses_of_tokens(), AS_TOKENS))


def _about_states() -> tuple[StateClause[State], ...]:
    return (
        StateClause(
            id="INT-1",
            title="once",
            sentence="An id of a host MUST name at most one entry of a conversation, a place at"
            " most one entry of its source, and every entry MUST have one of the two.",
            witnesses=_each(_once),
        ),
        StateClause(
            id="INT-2",
            title="message",
            sentence="A placed entry MUST have a message of its own that is stored in its"
            " conversation or was forgotten there; any other entry has its text and no message.",
            witnesses=_each(_message),
        ),
        StateClause(
            id="INT-3",
            title="parts",
            sentence="The parts of an entry MUST be spans of its text, in order and apart.",
            witnesses=_each(_parts),
        ),
        StateClause(
            id="INT-4",
            title="order",
            sentence="The messages of placed entries MUST be stored in the order of the entries.",
            witnesses=_each(_order),
        ),
    )


def _about_steps() -> tuple[StepClause[State, Event, Outcome], ...]:
    return (
        StepClause(
            id="INT-5",
            title="stored",
            sentence="After rows are taken, each of them MUST have exactly one entry that agrees"
            " with it in id or, where it has none, in place, and in digest and standing; rows that"
            " differ in id, or have none and differ in place, MUST have different ones.",
            events=(Take,),
            outcomes=(Taken,),
            breaks=_stored,
            inert=True,
        ),
        StepClause(
            id="INT-6",
            title="as handed over",
            sentence="The entry of an added row MUST have its source, its place, its role, its time"
            " and its parts, and its text, which its message has when it is placed.",
            events=(Take,),
            outcomes=(Taken,),
            breaks=_as_handed_over,
        ),
        StepClause(
            id="INT-7",
            title="placed",
            sentence="Taking rows MUST put the messages of the added rows that are placed behind"
            " the context, in the order of the rows, say how they were appended, and leave the rest"
            " as it was.",
            events=(Take,),
            outcomes=(Taken,),
            breaks=_placed,
        ),
        StepClause(
            id="INT-8",
            title="known",
            sentence="Taking rows that are all stored MUST change nothing.",
            events=(Take,),
            outcomes=(Taken,),
            breaks=_known,
            inert=True,
        ),
        StepClause(
            id="INT-9",
            title="fates",
            sentence="The outcome MUST say of each row whether it was added or known, and as many"
            " entries MUST be new as it says were added.",
            events=(Take,),
            outcomes=(Taken,),
            breaks=_fates,
            inert=True,
        ),
        StepClause(
            id="INT-15",
            title="entries stay",
            sentence="A stored entry MUST stay as it is, also when its message leaves the context"
            " or is forgotten.",
            breaks=_entries_stay,
        ),
        StepClause(
            id="INT-16",
            title="reopening",
            sentence="Reopening MUST leave the state as it was, after a crash too.",
            events=(Reopen,),
            breaks=_reopening,
            inert=True,
        ),
        StepClause(
            id="INT-17",
            title="refusal",
            sentence="A refusal MUST leave the state as it was: no row of the event is stored.",
            outcomes=(Refused, tokens.Refused, ordinals.Refused),
            breaks=_refusal,
            inert=True,
        ),
        StepClause(
            id="INT-18",
            title="isolation",
            sentence="Only taking rows MUST change entries, and only those of the conversation"
            " that the event names.",
            breaks=_isolation,
        ),
    )


def contained(
    before: State, event: Event, outcome: Outcome, after: State
) -> tuple[tokens.Event, tokens.Outcome] | None:
    """Return the event of tokens in a step of intake, and what came of it; None without one."""
    del before, after
    if isinstance(event, Reopen) or isinstance(outcome, Refused | Reopened):
        return None
    if not isinstance(event, Take):
        return None if isinstance(outcome, Taken) else (event, outcome)
    if not isinstance(outcome, Taken) or outcome.posted is None:
        return None
    drafts = tuple(draft_of(row) for row in added(event, outcome) if is_placed(row))
    return tokens.Append(conversation=event.conversation, messages=drafts), outcome.posted


_SAME = (
    ordinals.Open,
    tokens.Replace,
    ordinals.RollBack,
    ordinals.Prune,
    ordinals.Forget,
    tokens.Weigh,
)

AS_TOKENS: Seen[State, Event, Outcome, tokens.State, tokens.Event, tokens.Outcome] = Seen(
    state=lambda state: state.ledger,
    step=contained,
    events={tokens.Append: (tokens.Append, Take), **{kind: (kind,) for kind in _SAME}},
    outcomes={
        tokens.Posted: (tokens.Posted, Taken),
        tokens.Weighed: (tokens.Weighed,),
        tokens.Refused: (tokens.Refused,),
        ordinals.Refused: (ordinals.Refused,),
        ordinals.Failed: (ordinals.Failed,),
    },
)
"""How intake is seen as tokens."""


def _each(
    about: Callable[[Conversation, Log], Iterator[Witness]],
) -> Callable[[State], Iterator[Witness]]:
    """Lift a predicate about one conversation and its log to states."""

    def over(state: State) -> Iterator[Witness]:
        for at in state.ledger.lists.conversations:
            yield from about(at, log_of(state, at.id))

    return over


def _label(entry: Entry) -> str:
    if entry.entry is not None:
        return f"entry {entry.entry}"
    return f"source {entry.source}, place {entry.place}"


def _once(at: Conversation, log: Log) -> Iterator[Witness]:
    del at
    ids = Counter(one.entry for one in log.entries if one.entry is not None)
    places = Counter((one.source, one.place) for one in log.entries if one.place is not None)
    for number, one in enumerate(log.entries):
        if one.entry is None and one.place is None:
            yield witness_of(log, f"entry number {number}", "has neither an id nor a place")
    for entry, times in ids.items():
        if times > 1:
            yield witness_of(log, f"entry {entry}", f"is stored {times} times")
    for (source, place), times in places.items():
        if times > 1:
            yield witness_of(log, f"source {source}, place {place}", f"holds {times} entries")


def _message(at: Conversation, log: Log) -> Iterator[Witness]:
    known = {one.id for one in at.messages} | forgotten(at)
    seen: set[MessageId] = set()
    for one in log.entries:
        if one.standing is not Standing.PLACED:
            if one.message is not None or one.text is None:
                yield witness_of(log, _label(one), "is not placed, and has a message or no text")
        elif one.message is None or one.text is not None:
            yield witness_of(log, _label(one), "is placed, and has no message or a text of its own")
        elif one.message in seen:
            yield witness_of(log, _label(one), f"message {one.message} is another entry's as well")
        elif one.message not in known:
            yield witness_of(log, _label(one), f"message {one.message} was never stored here")
        if one.message is not None:
            seen.add(one.message)


def _parts(at: Conversation, log: Log) -> Iterator[Witness]:
    texts = {one.id: one.text for one in at.messages}
    for one in log.entries:
        text = one.text if one.message is None else texts.get(one.message)
        fault = None if text is None else misfit(one.parts, len(text))
        if fault is not None:
            yield witness_of(log, _label(one), fault)


def _order(at: Conversation, log: Log) -> Iterator[Witness]:
    sequences = {one.id: one.sequence for one in at.messages}
    reached = 0
    for one in log.entries:
        sequence = None if one.message is None else sequences.get(one.message)
        if sequence is not None and sequence < reached:
            yield witness_of(
                log, _label(one), f"message number {sequence} follows number {reached}"
            )
        reached = reached if sequence is None else max(reached, sequence)


def _stored(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del before, outcome
    assert isinstance(event, Take)
    log = log_of(after, event.conversation)
    for index, row in enumerate(event.rows):
        place = place_of(event, index)
        agreeing = sum(_agrees(one, event, row, place) for one in log.entries)
        if agreeing != 1:
            return witness_of(log, _named(row, index), f"has {agreeing} entries that agree with it")
    return None


def _agrees(one: Entry, event: Take, row: Row, place: Place | None) -> bool:
    if (one.digest, one.standing) != (row.digest, row.standing):
        return False
    if row.entry is not None:
        return one.entry == row.entry
    return (
        one.entry is None
        and place is not None
        and (one.source, one.place)
        == (
            event.source,
            place,
        )
    )


def _named(row: Row, index: int) -> str:
    return f"row {index}" if row.entry is None else f"row {index}, entry {row.entry}"


def _as_handed_over(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del before
    assert isinstance(event, Take)
    assert isinstance(outcome, Taken)
    log = log_of(after, event.conversation)
    at = find(after.ledger.lists, event.conversation)
    texts = {} if at is None else {one.id: one.text for one in at.messages}
    for index, (row, fate) in enumerate(zip(event.rows, outcome.fates, strict=False)):
        place = place_of(event, index)
        one = None if fate is Fate.KNOWN else entry_of(log.entries, event.source, row, place)
        if one is None:
            continue
        said = one.text if one.message is None else texts.get(one.message)
        stored = (one.source, one.place, one.role, said, one.time, one.parts)
        if stored != (event.source, place, row.role, row.text, row.time, row.parts):
            return witness_of(log, _named(row, index), "is not stored as it was handed over")
    return None


def _placed(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    assert isinstance(event, Take)
    assert isinstance(outcome, Taken)
    log = log_of(after, event.conversation)
    at = find(before.ledger.lists, event.conversation)
    then = find(after.ledger.lists, event.conversation)
    was = [] if at is None else [entry.item for entry in at.context]
    now = [] if then is None else [entry.item for entry in then.context]
    new = [MessageItem(id=row.message) for row in added(event, outcome) if is_placed(row)]
    if now != [*was, *new]:
        return witness_of(log, "context", f"{len(now)} items, {len(was)} and {len(new)} expected")
    if (outcome.posted is None) == bool(new):
        return witness_of(log, "posted", f"{len(new)} messages, and the append is not reported")
    if Fate.ADDED in outcome.fates and not new and before.ledger != after.ledger:
        return witness_of(log, "ledger", "was changed by rows that are not placed")
    return None


def _known(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    assert isinstance(event, Take)
    log = log_of(before, event.conversation)
    rows = enumerate(event.rows)
    if after is before or after == before:
        return None
    if any(
        entry_of(log.entries, event.source, row, place_of(event, at)) is None for at, row in rows
    ):
        return None
    del outcome
    return witness_of(log, "as a whole", f"{len(event.rows)} known rows changed the state")


def _fates(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    assert isinstance(event, Take)
    assert isinstance(outcome, Taken)
    log, then = log_of(before, event.conversation), log_of(after, event.conversation)
    if len(outcome.fates) != len(event.rows):
        return witness_of(log, "fates", f"{len(outcome.fates)} for {len(event.rows)} rows")
    told, new = outcome.fates.count(Fate.ADDED), len(then.entries) - len(log.entries)
    if new != told:
        return witness_of(log, "fates", f"{told} rows added, {new} entries new")
    for index, (found, fate) in enumerate(
        zip(expected_fates(log, event), outcome.fates, strict=True)
    ):
        if found is not fate:
            row = _named(event.rows[index], index)
            return witness_of(log, row, f"is reported as {fate.value} and was not")
    return None


def _entries_stay(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del event, outcome
    if before.logs is after.logs:
        return None
    for log in before.logs:
        kept = log_of(after, log.conversation).entries
        for number, one in enumerate(log.entries):
            if number >= len(kept) or kept[number] != one:
                return witness_of(log, _label(one), "is not what was stored")
    return None


def _reopening(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del event, outcome
    if after is before or after == before:
        return None
    return Witness(row="the state", found="is not the one before it was reopened")


def _refusal(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del event, outcome
    if after is before or after == before:
        return None
    return Witness(row="the state", found="changed although the event was refused")


def _isolation(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    here = event.conversation if isinstance(event, Take) else None
    del outcome
    was = [one for one in before.logs if one.conversation != here]
    now = [one for one in after.logs if one.conversation != here]
    if was == now:
        return None
    return Witness(table="entries", row="other conversations", found="their entries changed")
