"""The clauses of intake about refusals: which rows are refused, for what, and that others are not.

Chapter ``spec/intake.md``, "Clauses".
"""

from collections.abc import Iterator

from plumbline_models import ordinals, tokens
from plumbline_models.contract import StepClause, Witness
from plumbline_models.decisions.counting import Door, Measure, admitted
from plumbline_models.intake.queries import draft_of, entry_of, is_same, log_of, place_of, tip_of
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
    Row,
    Standing,
    State,
    Take,
    Taken,
)
from plumbline_models.ordinals.queries import find
from plumbline_models.ordinals.values import Cause, Conversation, MessageId, MessageItem
from plumbline_models.tokens.transitions import step as step_of_tokens


def about_refusals() -> tuple[StepClause[State, Event, Outcome], ...]:
    """Return the clauses about refusals: INT-10 to INT-14 and INT-26."""
    return (
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
            sentence="A row that is stored with another digest, with an id where it has none or"
            " without one where it has, or at another place of its source, MUST be refused and"
            " named, unless an earlier row is refused.",
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
            id="INT-26",
            title="append refused",
            sentence="Rows whose conversation does not exist MUST be refused for that, and a count"
            " that is not believed MUST be refused as its append is, naming the row.",
            events=(Take,),
            breaks=_append_refused,
            inert=True,
        ),
    )


def witness_of(log: Log, row: str, found: str) -> Witness:
    """Name a row of a log in a witness."""
    return Witness(table="entries", row=f"conversation {log.conversation}, {row}", found=found)


def misfit(parts: tuple[Part, ...], length: int) -> str | None:
    """Return what is wrong with spans in a text of some length, or None."""
    reached = 0
    for number, part in enumerate(parts):
        if part.start < reached:
            return f"part {number} begins at {part.start}, inside the one before"
        reached = part.start + part.length
    return f"its parts reach to {reached} of {length} code points" if reached > length else None


def expected_fates(log: Log, event: Take) -> Iterator[Fate]:
    """Yield the fate of each row: a row that is added is known to the rows behind it."""
    entries = list(log.entries)
    for index, row in enumerate(event.rows):
        place = place_of(event, index)
        stored = entry_of(entries, event.source, row, place)
        yield Fate.ADDED if stored is None else Fate.KNOWN
        if stored is None:
            entries.append(_as_entry(event, row, place))


def _as_entry(event: Take, row: Row, place: Place | None) -> Entry:
    return Entry(
        source=event.source,
        entry=row.entry,
        place=place,
        standing=row.standing,
        digest=row.digest,
        role=row.role,
        message=None,
        text=None,
        parts=(),
    )


def is_placed(row: Row) -> bool:
    """Tell whether a row is a message on the branch."""
    return row.standing is Standing.PLACED


def forgotten(at: Conversation) -> set[MessageId]:
    """Return the messages that were forgotten in a conversation."""
    return {
        loss.item.id
        for loss in at.losses
        if loss.cause is Cause.FORGOTTEN and isinstance(loss.item, MessageItem)
    }


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
    return witness_of(log, "undecidable rows", f"{list(lost)}, named {list(named)}")


def _first_fault(before: State, event: Take) -> tuple[Reason, int, Entry | None] | None:
    """Return the first row that cannot be taken: rows go naively into a growing list."""
    entries = list(log_of(before, event.conversation).entries)
    for index, row in enumerate(event.rows):
        place = place_of(event, index)
        stored = entry_of(entries, event.source, row, place)
        if stored is not None:
            if not is_same(stored, event.source, row, place):
                return Reason.CHANGED_ROW, index, stored
            if stored.standing is not row.standing:
                return Reason.FORKED, index, stored
            continue
        reason = _fault_of_new(entries, event, index)
        if reason is not None:
            return reason, index, None
        entries.append(_as_entry(event, row, place))
    return None


def _fault_of_new(entries: list[Entry], event: Take, index: int) -> Reason | None:
    row, place = event.rows[index], place_of(event, index)
    listed = [one for one in entries if one.source == event.source]
    if place is not None and place in {one.place for one in listed}:
        return Reason.CHANGED_ROW
    if row.entry is None and None in {one.place for one in listed}:
        return Reason.UNDECIDABLE
    if row.entry is not None and place is None and None in {one.entry for one in listed}:
        return Reason.UNDECIDABLE
    follows = place is None or place == 1 or place - 1 in {one.place for one in listed}
    if index == 0 and not follows:
        return Reason.MISSING_ROWS
    if row.parent is not None and row.parent not in {one.entry for one in entries}:
        return Reason.MISSING_ROWS
    if misfit(row.parts, len(row.text)) is not None:
        return Reason.MISPLACED_PARTS
    on_branch = row.standing is not Standing.ASIDE and row.parent is not None
    return Reason.FORKED if on_branch and tip_of(entries) != row.parent else None


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
    return witness_of(log, f"{reason.value} rows", f"{list(expected)}, named {list(named)}")


def _changed_row(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del after
    assert isinstance(event, Take)
    fault = _first_fault(before, event)
    if fault is not None and fault[2] is None and isinstance(outcome, Taken):
        # A new row at a place that holds another is INT-1's, once it is stored there.
        return None
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
    forked = outcome.reason is Reason.FORKED
    fork = event.rows[outcome.rows[0]].parent if forked else None
    if outcome.fork == fork:
        return None
    log = log_of(before, event.conversation)
    return witness_of(log, f"rows {list(outcome.rows)}", f"fork {outcome.fork} named, not {fork}")


def _append_refused(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del after
    assert isinstance(event, Take)
    known = find(before.ledger.lists, event.conversation) is not None
    if known and not isinstance(outcome, tokens.Refused):
        return None
    expected = _of_append(before, event)
    if outcome == expected:
        return None
    log = log_of(before, event.conversation)
    return witness_of(log, "as a whole", f"answered {outcome}, the append {expected}")


def _of_append(before: State, event: Take) -> Outcome:
    """Return what an append of the new messages is answered, an index counting rows."""
    log = log_of(before, event.conversation)
    fates = expected_fates(log, event)
    new = [
        index
        for index, (row, fate) in enumerate(zip(event.rows, fates, strict=True))
        if fate is Fate.ADDED and is_placed(row)
    ]
    drafts = tuple(draft_of(event.rows[index]) for index in new)
    append = tokens.Append(conversation=event.conversation, messages=drafts)
    _, outcome = step_of_tokens(tokens.SPEC, before.ledger, append)
    if find(before.ledger.lists, event.conversation) is None:
        return ordinals.Refused(reason=ordinals.Reason.UNKNOWN_CONVERSATION)
    if isinstance(outcome, tokens.Refused):
        return tokens.Refused(reason=outcome.reason, index=new[outcome.index])
    return outcome


def _progress(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del after
    assert isinstance(event, Take)
    at = find(before.ledger.lists, event.conversation)
    if isinstance(outcome, Taken) or at is None:
        return None
    if _lost(event) or _first_fault(before, event) is not None or not _fresh(before, event):
        return None
    log = log_of(before, event.conversation)
    return witness_of(log, "as a whole", f"{len(event.rows)} rows were not taken")


def _fresh(before: State, event: Take) -> bool:
    """Tell whether the messages that the event would add have fresh ids and believed counts."""
    log = log_of(before, event.conversation)
    new: dict[object, Row] = {}
    for index, row in enumerate(event.rows):
        place = place_of(event, index)
        if is_placed(row) and entry_of(log.entries, event.source, row, place) is None:
            new.setdefault(row.entry if row.entry is not None else place, row)
    used = {
        message
        for one in before.ledger.lists.conversations
        for message in ({stored.id for stored in one.messages} | forgotten(one))
    }
    ids = [row.message for row in new.values()]
    believed = all(
        admitted(Door.GUARDED, Measure.CODE_POINTS, row.text, row.tokens).doubt is None
        for row in new.values()
    )
    return believed and len(set(ids)) == len(ids) and not used & set(ids)
