"""The clauses of intake, each as a predicate that names its witness.

Chapter ``spec/intake.md``, "Clauses".
"""

from collections import Counter
from collections.abc import Callable, Iterator

from plumbline_models import ordinals, tokens
from plumbline_models.contract import Clause, StateClause, StepClause, Witness
from plumbline_models.decisions.counting import Door, Measure, admitted
from plumbline_models.intake.queries import (
    added,
    draft_of,
    entry_of,
    is_same,
    log_of,
    place_of,
    tip_of,
)
from plumbline_models.intake.reaching import about_reach
from plumbline_models.intake.values import (
    Entry,
    Event,
    Fate,
    Log,
    Outcome,
    Part,
    Place,
    Reason,
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
from plumbline_models.ordinals.values import Cause, Conversation, MessageId, MessageItem
from plumbline_models.tokens.clauses import clauses as clauses_of_tokens


def clauses() -> tuple[Clause[State, Event, Outcome], ...]:
    """Return the clauses of intake, and those of tokens and ordinals."""
    own: tuple[Clause[State, Event, Outcome], ...] = (
        *_about_states(),
        *_about_steps(),
        *about_reach(),
    )
    return (*own, *lifted(clauses_of_tokens(), AS_TOKENS))


def _about_states() -> tuple[StateClause[State], ...]:
    return (
        StateClause(
            id="INT-1",
            title="once",
            sentence="An id of a host MUST name at most one entry of a conversation, and a place at"
            " most one entry of its source.",
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
            sentence="The message of an added row that is placed MUST have its text, an added row"
            " that is not placed MUST be stored with its text, and both with their role, their time"
            " and their parts.",
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
            id="INT-10",
            title="undecidable",
            sentence="Rows that have neither an id nor a place MUST be refused and named; so MUST,"
            " unless an earlier row is refused, a row that seems new, has an id or a place alone,"
            " and whose source has an entry that lacks just that.",
            events=(Take,),
            breaks=_undecidable,
            inert=True,
        ),
        StepClause(
            id="INT-11",
            title="changed row",
            sentence="A row that is stored with another digest, or with an id where it has none, or"
            " without one where it has, MUST be refused and named, unless an earlier row is"
            " refused.",
            events=(Take,),
            breaks=_changed_row,
            inert=True,
        ),
        StepClause(
            id="INT-12",
            title="missing rows",
            sentence="A new row before which one is missing, at the place before the first row of"
            " the event or as the parent that it names, MUST be refused and named, unless an"
            " earlier row is refused.",
            events=(Take,),
            breaks=_missing_rows,
            inert=True,
        ),
        StepClause(
            id="INT-13",
            title="branch",
            sentence="A new row on the branch whose parent is stored and is not the last entry of"
            " the branch, and a row whose standing is not the stored one, MUST be refused, and its"
            " parent named as the fork, unless an earlier row is refused.",
            events=(Take,),
            breaks=_branch,
            inert=True,
        ),
        StepClause(
            id="INT-14",
            title="progress",
            sentence="Rows of which none is undecidable, changed, behind a missing one, on another"
            " branch or with misplaced parts, and whose new messages are fresh and believed, MUST"
            " be taken.",
            events=(Take,),
            breaks=_progress,
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
    before: State, event: Event, outcome: Outcome
) -> tuple[tokens.Event, tokens.Outcome] | None:
    """Return the event of tokens in a step of intake, and what came of it; None without one."""
    del before
    if isinstance(event, Reopen) or isinstance(outcome, Refused | Reopened):
        return None
    if not isinstance(event, Take):
        return None if isinstance(outcome, Taken) else (event, outcome)
    if not isinstance(outcome, Taken) or outcome.posted is None:
        return None
    drafts = tuple(draft_of(row) for row in added(event, outcome) if _is_placed(row))
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


def _is_placed(row: Row) -> bool:
    return row.standing is Standing.PLACED


def _each(
    about: Callable[[Conversation, Log], Iterator[Witness]],
) -> Callable[[State], Iterator[Witness]]:
    """Lift a predicate about one conversation and its log to states."""

    def over(state: State) -> Iterator[Witness]:
        for at in state.ledger.lists.conversations:
            yield from about(at, log_of(state, at.id))

    return over


def _witness(log: Log, row: str, found: str) -> Witness:
    return Witness(table="entries", row=f"conversation {log.conversation}, {row}", found=found)


def _label(entry: Entry) -> str:
    if entry.entry is not None:
        return f"entry {entry.entry}"
    return f"source {entry.source}, place {entry.place}"


def _once(at: Conversation, log: Log) -> Iterator[Witness]:
    del at
    ids = Counter(one.entry for one in log.entries if one.entry is not None)
    places = Counter((one.source, one.place) for one in log.entries if one.place is not None)
    for entry, times in ids.items():
        if times > 1:
            yield _witness(log, f"entry {entry}", f"is stored {times} times")
    for (source, place), times in places.items():
        if times > 1:
            yield _witness(log, f"source {source}, place {place}", f"holds {times} entries")


def _message(at: Conversation, log: Log) -> Iterator[Witness]:
    known = {one.id for one in at.messages} | _forgotten(at)
    seen: set[MessageId] = set()
    for one in log.entries:
        if one.standing is not Standing.PLACED:
            if one.message is not None or one.text is None:
                yield _witness(log, _label(one), "is not placed, and has a message or no text")
        elif one.message is None or one.text is not None:
            yield _witness(log, _label(one), "is placed, and has no message or a text of its own")
        elif one.message in seen:
            yield _witness(log, _label(one), f"message {one.message} is another entry's as well")
        elif one.message not in known:
            yield _witness(log, _label(one), f"message {one.message} was never stored here")
        if one.message is not None:
            seen.add(one.message)


def _forgotten(at: Conversation) -> set[MessageId]:
    return {
        loss.item.id
        for loss in at.losses
        if loss.cause is Cause.FORGOTTEN and isinstance(loss.item, MessageItem)
    }


def _parts(at: Conversation, log: Log) -> Iterator[Witness]:
    texts = {one.id: one.text for one in at.messages}
    for one in log.entries:
        text = one.text if one.message is None else texts.get(one.message)
        fault = None if text is None else _misfit(one.parts, len(text))
        if fault is not None:
            yield _witness(log, _label(one), fault)


def _misfit(parts: tuple[Part, ...], length: int) -> str | None:
    reached = 0
    for number, part in enumerate(parts):
        if part.start < reached:
            return f"part {number} begins at {part.start}, inside the one before"
        reached = part.start + part.length
    return f"its parts reach to {reached} of {length} code points" if reached > length else None


def _order(at: Conversation, log: Log) -> Iterator[Witness]:
    sequences = {one.id: one.sequence for one in at.messages}
    reached = 0
    for one in log.entries:
        sequence = None if one.message is None else sequences.get(one.message)
        if sequence is not None and sequence < reached:
            yield _witness(log, _label(one), f"message number {sequence} follows number {reached}")
        reached = reached if sequence is None else max(reached, sequence)


def _stored(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del before, outcome
    assert isinstance(event, Take)
    log = log_of(after, event.conversation)
    for index, row in enumerate(event.rows):
        place = place_of(event, index)
        agreeing = sum(_agrees(one, event, row, place) for one in log.entries)
        if agreeing != 1:
            return _witness(log, _named(row, index), f"has {agreeing} entries that agree with it")
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
        if fate is Fate.KNOWN:
            continue
        one = entry_of(log.entries, event.source, row, place_of(event, index))
        if one is None:
            continue
        said = one.text if one.message is None else texts.get(one.message)
        as_handed = (row.role, row.text, row.time, row.parts)
        if (one.role, said, one.time, one.parts) != as_handed:
            return _witness(log, _named(row, index), "is not stored as it was handed over")
    return None


def _placed(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    assert isinstance(event, Take)
    assert isinstance(outcome, Taken)
    log = log_of(after, event.conversation)
    at = find(before.ledger.lists, event.conversation)
    then = find(after.ledger.lists, event.conversation)
    was = [] if at is None else [entry.item for entry in at.context]
    now = [] if then is None else [entry.item for entry in then.context]
    new = [MessageItem(id=row.message) for row in added(event, outcome) if _is_placed(row)]
    if now != [*was, *new]:
        return _witness(log, "context", f"{len(now)} items, {len(was)} and {len(new)} expected")
    if (outcome.posted is None) == bool(new):
        return _witness(log, "posted", f"{len(new)} messages, and the append is not reported")
    if Fate.ADDED in outcome.fates and not new and before.ledger != after.ledger:
        return _witness(log, "ledger", "was changed by rows that are not placed")
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
    return _witness(log, "as a whole", f"{len(event.rows)} known rows changed the state")


def _fates(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    assert isinstance(event, Take)
    assert isinstance(outcome, Taken)
    log, then = log_of(before, event.conversation), log_of(after, event.conversation)
    if len(outcome.fates) != len(event.rows):
        return _witness(log, "fates", f"{len(outcome.fates)} for {len(event.rows)} rows")
    told, new = outcome.fates.count(Fate.ADDED), len(then.entries) - len(log.entries)
    if new != told:
        return _witness(log, "fates", f"{told} rows added, {new} entries new")
    for index, (found, fate) in enumerate(zip(_expected(log, event), outcome.fates, strict=True)):
        if found is not fate:
            row = _named(event.rows[index], index)
            return _witness(log, row, f"is reported as {fate.value} and was not")
    return None


def _expected(log: Log, event: Take) -> Iterator[Fate]:
    """Yield the fate of each row: a row that is added is known to the rows behind it."""
    entries = list(log.entries)
    for index, row in enumerate(event.rows):
        place = place_of(event, index)
        stored = entry_of(entries, event.source, row, place)
        yield Fate.ADDED if stored is None else Fate.KNOWN
        if stored is None:
            entries.append(_as_entry(entries, event, row, place))


def _lost(event: Take) -> tuple[int, ...]:
    return tuple(
        index for index, row in enumerate(event.rows) if row.entry is None and event.first is None
    )


def _undecidable(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del after
    assert isinstance(event, Take)
    lost = _lost(event)
    if find(before.ledger.lists, event.conversation) is None:
        return None
    if not lost:
        return _refused_for(Reason.UNDECIDABLE, before, event, outcome)
    named = outcome.rows if isinstance(outcome, Refused) else ()
    if named == lost and isinstance(outcome, Refused) and outcome.reason is Reason.UNDECIDABLE:
        return None
    log = log_of(before, event.conversation)
    return _witness(log, "undecidable rows", f"{list(lost)}, named {list(named)}")


def _first_fault(before: State, event: Take) -> tuple[Reason, int, Entry | None] | None:
    """Return the first row that cannot be taken: rows go naively into a growing list."""
    entries = list(log_of(before, event.conversation).entries)
    for index, row in enumerate(event.rows):
        place = place_of(event, index)
        stored = entry_of(entries, event.source, row, place)
        if stored is not None:
            if not is_same(stored, row):
                return Reason.CHANGED_ROW, index, stored
            if stored.standing is not row.standing:
                return Reason.FORKED, index, stored
            continue
        reason = _fault_of_new(entries, event, index)
        if reason is not None:
            return reason, index, None
        entries.append(_as_entry(entries, event, row, place))
    return None


def _fault_of_new(entries: list[Entry], event: Take, index: int) -> Reason | None:
    row, place = event.rows[index], place_of(event, index)
    listed = [one for one in entries if one.source == event.source]
    if row.entry is None and None in {one.place for one in listed}:
        return Reason.UNDECIDABLE
    if row.entry is not None and place is None and None in {one.entry for one in listed}:
        return Reason.UNDECIDABLE
    follows = place is None or place == 1 or place - 1 in {one.place for one in listed}
    if index == 0 and not follows:
        return Reason.MISSING_ROWS
    if row.parent is not None and row.parent not in {one.entry for one in entries}:
        return Reason.MISSING_ROWS
    if _misfit(row.parts, len(row.text)) is not None:
        return Reason.MISPLACED_PARTS
    on_branch = row.standing is not Standing.ASIDE and row.parent is not None
    return Reason.FORKED if on_branch and tip_of(entries) != row.parent else None


def _as_entry(entries: list[Entry], event: Take, row: Row, place: Place | None) -> Entry:
    held = {one.place for one in entries if one.source == event.source}
    return Entry(
        source=event.source,
        entry=row.entry,
        place=None if place in held else place,
        standing=row.standing,
        digest=row.digest,
        role=row.role,
        message=None,
        text=None,
        parts=(),
    )


def _refused_for(reason: Reason, before: State, event: Take, outcome: Outcome) -> Witness | None:
    """Return a witness unless the outcome refuses for ``reason`` exactly when it must."""
    if _lost(event) or find(before.ledger.lists, event.conversation) is None:
        return None
    fault = _first_fault(before, event)
    expected = (fault[1],) if fault is not None and fault[0] is reason else ()
    named = outcome.rows if isinstance(outcome, Refused) and outcome.reason is reason else ()
    if named == expected:
        return None
    log = log_of(before, event.conversation)
    return _witness(log, f"{reason.value} rows", f"{list(expected)}, named {list(named)}")


def _changed_row(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del after
    assert isinstance(event, Take)
    return _refused_for(Reason.CHANGED_ROW, before, event, outcome)


def _missing_rows(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del after
    assert isinstance(event, Take)
    return _refused_for(Reason.MISSING_ROWS, before, event, outcome)


def _branch(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del after
    assert isinstance(event, Take)
    witness = _refused_for(Reason.FORKED, before, event, outcome)
    if witness is not None or not isinstance(outcome, Refused):
        return witness
    if outcome.reason is Reason.FORKED and outcome.fork != event.rows[outcome.rows[0]].parent:
        log = log_of(before, event.conversation)
        return _witness(log, f"row {outcome.rows[0]}", f"fork {outcome.fork} named")
    return None


def _progress(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del after
    assert isinstance(event, Take)
    at = find(before.ledger.lists, event.conversation)
    if isinstance(outcome, Taken) or at is None:
        return None
    if _lost(event) or _first_fault(before, event) is not None or not _fresh(before, event):
        return None
    log = log_of(before, event.conversation)
    return _witness(log, "as a whole", f"{len(event.rows)} rows were not taken")


def _fresh(before: State, event: Take) -> bool:
    """Tell whether the messages that the event would add have fresh ids and believed counts."""
    log = log_of(before, event.conversation)
    new: dict[object, Row] = {}
    for index, row in enumerate(event.rows):
        place = place_of(event, index)
        if _is_placed(row) and entry_of(log.entries, event.source, row, place) is None:
            new.setdefault(row.entry if row.entry is not None else place, row)
    used = {
        message
        for one in before.ledger.lists.conversations
        for message in ({stored.id for stored in one.messages} | _forgotten(one))
    }
    ids = [row.message for row in new.values()]
    believed = all(
        admitted(Door.GUARDED, Measure.CODE_POINTS, row.text, row.tokens).doubt is None
        for row in new.values()
    )
    return believed and len(set(ids)) == len(ids) and not used & set(ids)


def _entries_stay(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del event, outcome
    if before.logs is after.logs:
        return None
    for log in before.logs:
        kept = log_of(after, log.conversation).entries
        for number, one in enumerate(log.entries):
            if number >= len(kept) or kept[number] != one:
                return _witness(log, _label(one), "is not what was stored")
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
