"""Rows that are taken on a guess, and rows that are refused wrongly, in part, or for ever."""

from collections.abc import Iterator

from msgspec.structs import replace

from plumbline_models import ordinals, tokens
from plumbline_models.history import CONSTRUCTED, Variant
from plumbline_models.history.intake.making import (
    IDS,
    PLACES,
    IntakeVariant,
    carried,
    here,
    instead_of_refusing,
    known,
    logged,
    offered,
    refusing,
    rewritten,
    right,
    row_by_row,
    single,
    standing,
    stepping,
)
from plumbline_models.intake.queries import entry_of, has, log_of, place_of
from plumbline_models.intake.scope import ONE, row
from plumbline_models.intake.values import (
    Entry,
    EntryId,
    Event,
    Fate,
    Outcome,
    Place,
    Reason,
    Refused,
    Standing,
    State,
    Take,
    Taken,
)
from plumbline_models.ordinals import ConversationId, MessageId, MessageItem
from plumbline_models.ordinals.queries import find

_MOST = 2
"""New rows that are believed at once."""
_FAR = 10**6
"""A place behind all those of a scope."""


def _first_named(state: State, event: Take, refused: Refused) -> tuple[State, Outcome]:
    del event
    return state, replace(refused, rows=refused.rows[:1])


def _by_text(state: State, event: Take, refused: Refused) -> tuple[State, Outcome]:
    """Take rows for known whose texts are all stored."""
    stored = {one.text for one in here(state, event).messages}
    if any(one.text not in stored for one in event.rows):
        return state, refused
    return state, Taken(fates=(Fate.KNOWN,) * len(event.rows), posted=None)


def _as_duplicate(state: State, event: Take, refused: Refused) -> tuple[State, Outcome]:
    del event, refused
    return state, ordinals.Refused(reason=ordinals.Reason.ALREADY_PLACED)


def _overwritten(state: State, event: Take, refused: Refused) -> tuple[State, Outcome]:
    """Give the entry of a changed row its new digest."""
    (index,) = refused.rows
    changed, stored = event.rows[index], known(state, event, index)
    after = rewritten(
        state,
        event,
        lambda _number, one: replace(one, digest=changed.digest) if one == stored else one,
    )
    return after, Taken(fates=(Fate.KNOWN,) * len(event.rows), posted=None)


def _all_known(state: State, event: Take, refused: Refused) -> tuple[State, Outcome]:
    """Look no further than the id."""
    del refused
    if any(known(state, event, index) is None for index in range(len(event.rows))):
        return right(state, replace(event, rows=()))
    return state, Taken(fates=(Fate.KNOWN,) * len(event.rows), posted=None)


def _changed_as_new(state: State, event: Take, index: int) -> Take | None:
    """Hear a row whose bytes are not those that are stored as another row."""
    taken, stored = single(event, index), known(state, event, index)
    if stored is None or stored.digest == event.rows[index].digest:
        return taken
    fresh = replace(
        event.rows[index],
        entry=EntryId(f"retried {event.rows[index].digest}"),
        message=MessageId(f"{event.rows[index].message} retried"),
        parent=None,
    )
    return replace(taken, rows=(fresh,), first=None)


def _beginning_supposed(state: State, event: Event) -> tuple[State, Outcome]:
    """Take the step; a list whose beginning is missing is taken as if it were stored."""
    after, outcome = right(state, event)
    if not isinstance(event, Take) or not isinstance(outcome, Refused):
        return after, outcome
    if outcome.reason is not Reason.MISSING_ROWS or outcome.rows != (0,):
        return after, outcome
    log = log_of(state, event.conversation)
    entries = (*log.entries, _supposed(log.entries, event))
    told, taken = right(logged(state, replace(log, entries=entries)), event)
    if not isinstance(taken, Taken):
        return after, outcome
    stored, at = log_of(told, event.conversation).entries, len(log.entries)
    return logged(told, replace(log, entries=(*stored[:at], *stored[at + 1 :]))), taken


def _supposed(entries: tuple[Entry, ...], event: Take) -> Entry:
    """Return the entry that would have to be stored before the first row of an event."""
    parent, place = event.rows[0].parent, None if event.first is None else event.first - 1
    held = {one.place for one in entries if one.source == event.source}
    supposed = carried("supposed", "", None if place in held else place, event.source)
    return replace(supposed, entry=None if parent is None or has(entries, parent) else parent)


def _as_new(state: State, event: Take, refused: Refused) -> tuple[State, Outcome]:
    """Take a doubtful row for a new one: what the stored entries lack is made up meanwhile."""
    old = log_of(state, event.conversation).entries

    def made_up(number: int, one: Entry) -> Entry:
        if one.source != event.source:
            return one
        if event.first is None:
            return replace(one, entry=EntryId(f"made up {number}")) if one.entry is None else one
        return replace(one, place=Place(_FAR + number)) if one.place is None else one

    after, outcome = right(rewritten(state, event, made_up), event)
    if not isinstance(outcome, Taken):
        return state, refused
    lacking = rewritten(after, event, lambda at, one: old[at] if at < len(old) else one)
    return lacking, outcome


def _again_with_id(at: ConversationId) -> Iterator[Event]:
    """Yield the first row of a host that has begun to give ids and to say no places."""
    named = replace(row(at, 1, ids=True), message=MessageId(f"{at}/1 with an id"))
    yield Take(conversation=at, source=ONE, rows=(named,))


def _from_anywhere(state: State, event: Take, index: int) -> Take | None:
    """Hear a new row whose parent is stored as one that follows no other."""
    taken, parent = single(event, index), event.rows[index].parent
    stored = log_of(state, event.conversation).entries
    if known(state, event, index) is not None or parent is None or not has(stored, parent):
        return taken
    return replace(taken, rows=(replace(event.rows[index], parent=None),))


def _fork_unnamed(state: State, event: Take, refused: Refused) -> tuple[State, Outcome]:
    del event
    return state, replace(refused, fork=None)


def _too_many(state: State, event: Take) -> bool:
    new = [index for index in range(len(event.rows)) if known(state, event, index) is None]
    acceptable = isinstance(right(state, event)[1], Taken)
    return acceptable and len(new) > _MOST


def _anchor_gone(state: State, event: Take) -> bool:
    """Tell whether the last row that is stored does not stand in the context any more."""
    at = find(state.ledger.lists, event.conversation)
    placed = [
        one.message
        for one in log_of(state, event.conversation).entries
        if one.standing is Standing.PLACED and one.message is not None
    ]
    if at is None or not placed or not isinstance(right(state, event)[1], Taken):
        return False
    return MessageItem(id=placed[-1]) not in standing(at)


def _kept_before(state: State, event: Event) -> tuple[State, Outcome]:
    """Take the step; the rows before the first refused one are stored."""
    after, outcome = right(state, event)
    if not isinstance(event, Take) or not isinstance(outcome, Refused):
        return after, outcome
    return right(state, replace(event, rows=event.rows[: outcome.rows[0]]))[0], outcome


def _counting_messages(state: State, event: Event) -> tuple[State, Outcome]:
    """Name a count by its place among the messages that are appended, and not among the rows."""
    after, outcome = right(state, event)
    if not isinstance(event, Take) or not isinstance(outcome, tokens.Refused):
        return after, outcome
    entries = log_of(state, event.conversation).entries
    before = [
        row
        for index, row in enumerate(event.rows[: outcome.index])
        if entry_of(entries, event.source, row, place_of(event, index)) is None
    ]
    return after, replace(outcome, index=sum(row.standing is Standing.PLACED for row in before))


VARIANTS: tuple[IntakeVariant, ...] = (
    Variant(
        name="FIRST_NAMED",
        machine=stepping("FIRST_NAMED", instead_of_refusing(Reason.UNDECIDABLE, _first_named)),
        breaks="INT-10",
        source=CONSTRUCTED,
        story="Of the rows that cannot be decided only the first is named, and whoever mends it is"
        " refused again.",
        scope=PLACES,
        sole=True,
    ),
    Variant(
        name="GUESSED_BY_TEXT",
        machine=stepping("GUESSED_BY_TEXT", instead_of_refusing(Reason.UNDECIDABLE, _by_text)),
        breaks="INT-10",
        source="lossless-claw PR #295; hermes-lcm 0.21.0-rc2",
        story="Rows without ids are matched by what they say against what is stored.",
        scope=PLACES,
    ),
    Variant(
        name="DOUBTFUL_AS_NEW",
        machine=offered(
            stepping("DOUBTFUL_AS_NEW", instead_of_refusing(Reason.UNDECIDABLE, _as_new)),
            _again_with_id,
        ),
        breaks="INT-10",
        source=CONSTRUCTED,
        story="A row that was stored by its place comes back with an id and without a place. No"
        " entry has that id, so it is taken for a new row and stored a second time.",
        scope=PLACES,
        sole=True,
    ),
    Variant(
        name="CHANGED_AS_DUPLICATE",
        machine=stepping(
            "CHANGED_AS_DUPLICATE", instead_of_refusing(Reason.CHANGED_ROW, _as_duplicate)
        ),
        breaks="INT-11",
        source=CONSTRUCTED,
        story="A changed row runs into the key of the stored one and is refused as a duplicate;"
        " that it changed, and which row it is, is not said.",
        scope=IDS,
        sole=True,
    ),
    Variant(
        name="CHANGED_OVERWRITES",
        machine=stepping(
            "CHANGED_OVERWRITES", instead_of_refusing(Reason.CHANGED_ROW, _overwritten)
        ),
        breaks="INT-11",
        source=CONSTRUCTED,
        story="A changed row takes the place of the stored one without a word.",
        scope=IDS,
    ),
    Variant(
        name="CHANGED_IGNORED",
        machine=stepping("CHANGED_IGNORED", instead_of_refusing(Reason.CHANGED_ROW, _all_known)),
        breaks="INT-11",
        source="lossless-claw #854, #866",
        story="A row is judged by its id alone: what it says now is neither stored nor reported.",
        scope=IDS,
    ),
    Variant(
        name="CHANGED_AS_NEW",
        machine=stepping("CHANGED_AS_NEW", row_by_row(_changed_as_new)),
        breaks="INT-11",
        source="lcm-x #436, #488, #516; lossless-claw, current releases: stable_event_key",
        story="A row that was merged with its neighbour, or redacted, is not the stored one any"
        " more, and is stored beside it without its key.",
        scope=IDS,
    ),
    Variant(
        name="GAP_CLOSED",
        machine=stepping("GAP_CLOSED", _beginning_supposed),
        breaks="INT-12",
        source="lossless-claw #591",
        story="A batch that does not touch what is stored is taken as what follows it; the rows in"
        " between are missing, and nobody was told.",
        scope=replace(PLACES, appends=0, departures=False),
        sole=True,
    ),
    Variant(
        name="TAIL_ALONE",
        machine=stepping("TAIL_ALONE", _beginning_supposed),
        breaks="INT-12",
        source=CONSTRUCTED,
        story="A tail is taken although the row that it follows was never handed over. When the"
        " whole list comes after all, its beginning is stored behind its end.",
        scope=replace(IDS, appends=0),
        sole=True,
    ),
    Variant(
        name="FORK_FOLLOWED",
        machine=stepping("FORK_FOLLOWED", row_by_row(_from_anywhere)),
        breaks="INT-13",
        source="lcm-x #891",
        story="The host has gone on from an earlier row. The new branch is appended behind the"
        " old one, and both stand in the context.",
        scope=IDS,
        sole=True,
    ),
    Variant(
        name="FORK_UNNAMED",
        machine=stepping("FORK_UNNAMED", instead_of_refusing(Reason.FORKED, _fork_unnamed)),
        breaks="INT-13",
        source=CONSTRUCTED,
        story="A fork is refused, and from which entry it goes off is not said.",
        scope=IDS,
        sole=True,
    ),
    Variant(
        name="IMPORT_CAP",
        machine=stepping("IMPORT_CAP", refusing(Take, ordinals.Reason.DUPLICATE_ITEM, _too_many)),
        breaks="INT-14",
        source="lossless-claw #280, #860",
        story="Against floods of replayed rows no more than a few new ones are taken at once. A"
        " backlog that is longer is refused for ever.",
        scope=IDS,
        sole=True,
    ),
    Variant(
        name="ANCHOR_GONE",
        machine=stepping(
            "ANCHOR_GONE", refusing(Take, ordinals.Reason.FORGOTTEN_ITEM, _anchor_gone)
        ),
        breaks="INT-14",
        source="lossless-claw #685, #687, #822; lcm-x (probed)",
        story="The row at which intake would go on is not found in the context, and from then on"
        " every list is refused.",
        scope=PLACES,
    ),
    Variant(
        name="KEPT_BEFORE_REFUSED",
        machine=stepping("KEPT_BEFORE_REFUSED", _kept_before),
        breaks="INT-17",
        source="lossless-claw PR #295",
        story="Every row is committed by itself. The rows before the one that is refused stay"
        " stored, and the caller is told that the list was not taken.",
        scope=IDS,
        sole=True,
    ),
    Variant(
        name="MESSAGE_NAMED",
        machine=stepping("MESSAGE_NAMED", _counting_messages),
        breaks="INT-26",
        source=CONSTRUCTED,
        story="The refusal of a count is passed on as the append said it, so it names another row"
        " wherever rows before it are known.",
        scope=IDS,
        sole=True,
    ),
)
"""Every variant about what is refused."""
