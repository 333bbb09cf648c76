"""The step of intake: which rows are stored already, and the append of those that are not.

Chapter ``spec/intake.md``, "Events".
"""

from msgspec.structs import replace

from plumbline_models import ordinals, tokens
from plumbline_models.decisions.spans import in_order
from plumbline_models.intake.queries import (
    at_place,
    draft_of,
    entry_of,
    has,
    is_doubtful,
    is_same,
    log_of,
    place_of,
    tip_of,
    with_log,
)
from plumbline_models.intake.values import (
    Entry,
    Event,
    Fate,
    Outcome,
    Place,
    Reason,
    Refused,
    Reopen,
    Reopened,
    Row,
    Rules,
    Standing,
    State,
    Take,
    Taken,
)
from plumbline_models.ordinals.queries import find
from plumbline_models.tokens.transitions import step as step_of_tokens


def step(rules: Rules, state: State, event: Event) -> tuple[State, Outcome]:
    """Apply one event (chapter, "Events").

    Total: every event in every state has an outcome. A refusal returns ``state`` itself.
    """
    if isinstance(event, Reopen):
        return state, Reopened()
    if isinstance(event, Take):
        return _take(rules, state, event)
    after, outcome = step_of_tokens(rules.ledger, state.ledger, event)
    return (state if after is state.ledger else replace(state, ledger=after)), outcome


def _take(rules: Rules, state: State, event: Take) -> tuple[State, Outcome]:
    if find(state.ledger.lists, event.conversation) is None:
        return state, ordinals.Refused(reason=ordinals.Reason.UNKNOWN_CONVERSATION)
    lost = [
        index
        for index, row in enumerate(event.rows)
        if row.entry is None and (event.first is None or not rules.places)
    ]
    if lost:
        return state, Refused(reason=Reason.UNDECIDABLE, rows=tuple(lost))
    log = log_of(state, event.conversation)
    entries, fates = log.entries, list[Fate]()
    for index, row in enumerate(event.rows):
        place = place_of(event, index)
        stored = entry_of(entries, event.source, row, place)
        reason = _reason(entries, event, index, stored)
        if reason is not None:
            fork = row.parent if reason is Reason.FORKED else None
            return state, Refused(reason=reason, rows=(index,), fork=fork)
        fates.append(Fate.ADDED if stored is None else Fate.KNOWN)
        if stored is None:
            entries = (*entries, _entry(event, row, place))
    placed = [
        index
        for index, row in enumerate(event.rows)
        if fates[index] is Fate.ADDED and row.standing is Standing.PLACED
    ]
    after, posted = _append(rules, state.ledger, event, placed)
    if not isinstance(posted, tokens.Posted | None):
        return state, posted
    taken = Taken(fates=tuple(fates), posted=posted)
    if Fate.ADDED not in fates:
        return state, taken
    logs = with_log(state.logs, replace(log, entries=entries))
    return State(ledger=after, logs=logs), taken


def _reason(
    entries: tuple[Entry, ...], event: Take, index: int, stored: Entry | None
) -> Reason | None:
    """Return the first reason of the chapter's list that holds for a row, or None."""
    row, place = event.rows[index], place_of(event, index)
    if stored is not None:
        if not is_same(stored, event.source, row, place):
            return Reason.CHANGED_ROW
        return Reason.FORKED if stored.standing is not row.standing else None
    if at_place(entries, event.source, place) is not None:
        return Reason.CHANGED_ROW
    if is_doubtful(entries, event.source, row, place):
        return Reason.UNDECIDABLE
    if index == 0 and place is not None and place > 1:
        before = at_place(entries, event.source, Place(place - 1))
        if before is None:
            return Reason.MISSING_ROWS
    if row.parent is not None and not has(entries, row.parent):
        return Reason.MISSING_ROWS
    if not in_order(((part.start, part.length) for part in row.parts), len(row.text)):
        return Reason.MISPLACED_PARTS
    if row.standing is Standing.ASIDE or row.parent is None:
        return None
    return None if tip_of(entries) == row.parent else Reason.FORKED


def _entry(event: Take, row: Row, place: Place | None) -> Entry:
    placed = row.standing is Standing.PLACED
    return Entry(
        source=event.source,
        entry=row.entry,
        place=place,
        standing=row.standing,
        digest=row.digest,
        role=row.role,
        message=row.message if placed else None,
        text=None if placed else row.text,
        time=row.time,
        parts=row.parts,
    )


def _append(
    rules: Rules, ledger: tokens.State, event: Take, placed: list[int]
) -> tuple[tokens.State, tokens.Outcome | None]:
    """Append the messages of new rows; None when there are none."""
    if not placed:
        return ledger, None
    drafts = tuple(draft_of(event.rows[index]) for index in placed)
    append = tokens.Append(conversation=event.conversation, messages=drafts)
    after, outcome = step_of_tokens(rules.ledger, ledger, append)
    if isinstance(outcome, tokens.Refused):
        outcome = replace(outcome, index=placed[outcome.index])
    return after, outcome
