"""Known rows that are stored again, and new rows that are taken for known ones."""

from collections.abc import Iterator

from msgspec.structs import replace

from plumbline_models.history import CONSTRUCTED, Variant
from plumbline_models.history.intake.making import (
    COVERED,
    IDS,
    PLACES,
    TWO,
    IntakeVariant,
    after_each,
    after_taking,
    here,
    known,
    logged,
    new_entries,
    offered,
    right,
    row_by_row,
    said_again,
    single,
    standing,
    stepping,
)
from plumbline_models.intake.queries import log_of
from plumbline_models.intake.scope import ONE, row
from plumbline_models.intake.values import (
    EntryId,
    Event,
    Fate,
    Outcome,
    Place,
    Reopen,
    Standing,
    State,
    Take,
    Taken,
)
from plumbline_models.ordinals import ConversationId, MessageId, SummaryItem

_SECOND = "of another source"


def _texts(state: State, event: Take) -> list[str]:
    return [one.text for one in here(state, event).messages]


def _unless_said(state: State, event: Take, index: int) -> Take | None:
    """Drop a new row that says what some stored message says."""
    said = event.rows[index].text in _texts(state, event)
    return None if said and known(state, event, index) is None else single(event, index)


def _unless_repeated(state: State, event: Take, index: int) -> Take | None:
    """Drop a new row that comes alone and says what the last stored message says."""
    new = len(event.rows) == 1 and known(state, event, index) is None
    last = _texts(state, event)[-1:]
    return None if new and last == [event.rows[index].text] else single(event, index)


def _beyond_the_count(state: State, event: Take, index: int) -> Take | None:
    """Drop as many rows of a whole list as messages are stored."""
    whole = event.first == 1
    return None if whole and index < len(_texts(state, event)) else single(event, index)


def _before_a_summary(state: State, event: Take, index: int) -> Take | None:
    """Drop every row once a summary stands in the context."""
    items = standing(here(state, event))
    return None if any(isinstance(one, SummaryItem) for one in items) else single(event, index)


def _unless_empty(state: State, event: Take, index: int) -> Take | None:
    del state
    return single(event, index) if event.rows[index].text else None


def _behind_placed(state: State, event: Take, index: int) -> Take | None:
    """Drop every row behind a first one that is not placed."""
    del state
    first = event.rows[0].standing is Standing.PLACED
    return single(event, index) if first or index == 0 else None


def _unless_known_anywhere(state: State, event: Take, index: int) -> Take | None:
    """Drop a row whose id is stored in any conversation."""
    entry = event.rows[index].entry
    stored = any(one.entry == entry for log in state.logs for one in log.entries)
    return None if entry is not None and stored else single(event, index)


def _all_known(outcome: Taken) -> bool:
    return Fate.ADDED not in outcome.fates


def _shorter_again(before: State, after: State, event: Take, outcome: Taken) -> State:
    """Store the messages of a known list once more when it is shorter than what is stored."""
    log = log_of(before, event.conversation)
    if not _all_known(outcome) or len(event.rows) >= len(log.entries):
        return after
    return said_again(after, event.conversation, (one.message for one in event.rows))


def _last_again(before: State, after: State, event: Take, outcome: Taken) -> State:
    """Store the last row of a known list once more when a message stands behind the known ones."""
    brought = {one.message for one in log_of(before, event.conversation).entries}
    behind = [one for one in here(before, event).messages[-1:] if one.id not in brought]
    if not event.rows or not _all_known(outcome) or not behind:
        return after
    return said_again(after, event.conversation, (event.rows[-1].message,))


def _tail_again(before: State, after: State, event: Reopen) -> State:
    """Store the newest row of each conversation once more."""
    del before, event
    for log in after.logs:
        placed = [one.message for one in log.entries if one.message is not None]
        after = said_again(after, log.conversation, placed[-1:])
    return after


def _twice(before: State, after: State, event: Take, outcome: Taken) -> State:
    """Store the entries that an event added a second time, with messages of their own."""
    del outcome
    old = len(log_of(before, event.conversation).entries)
    log = log_of(after, event.conversation)
    placed = [one for one in log.entries[old:] if one.message is not None]
    after = said_again(after, event.conversation, (one.message for one in placed if one.message))
    copies = tuple(replace(one, message=MessageId(f"{one.message} again")) for one in placed)
    return logged(after, replace(log, entries=(*log.entries, *copies)))


def _of_this_source(state: State, event: Take, index: int) -> Take | None:
    """Hear a row that another source handed over, and those behind it, as new ones."""
    taken = single(event, index)
    stored = (known(state, event, number) for number in range(index + 1))
    if all(one is None or one.source == event.source for one in stored):
        return taken
    heard = replace(event.rows[index], parent=None)
    if known(state, event, index) is not None:
        heard = replace(
            heard,
            entry=EntryId(f"{heard.entry} {_SECOND}"),
            message=MessageId(f"{heard.message} {_SECOND}"),
        )
    return replace(taken, rows=(heard,))


def _by_source(state: State, event: Event) -> tuple[State, Outcome]:
    """Take the step by source; an entry shows the id that the host gave it."""
    after, outcome = row_by_row(_of_this_source)(state, event)
    if not isinstance(event, Take) or not isinstance(outcome, Taken):
        return after, outcome
    shown = new_entries(
        state,
        after,
        event,
        lambda one: (
            one
            if one.entry is None
            else replace(one, entry=EntryId(one.entry.removesuffix(f" {_SECOND}")))
        ),
    )
    return shown, outcome


def _only_by_id(state: State, event: Take, index: int) -> Take | None:
    """Hear a row without an id, at a place where an entry has one, as a new row with another."""
    taken, stored = single(event, index), known(state, event, index)
    if stored is None or stored.entry is None or event.rows[index].entry is not None:
        return taken
    fresh = replace(
        event.rows[index], entry=EntryId(f"{stored.entry} bare"), message=MessageId("bare")
    )
    return replace(taken, rows=(fresh,), first=None)


def _at_once_or_not(state: State, event: Event) -> tuple[State, Outcome]:
    """Do nothing, and call every row known, where some are known and some are new."""
    after, outcome = right(state, event)
    if not isinstance(event, Take) or not isinstance(outcome, Taken):
        return after, outcome
    if len(set(outcome.fates)) < 2:  # noqa: PLR2004 - one fate
        return after, outcome
    return state, Taken(fates=(Fate.KNOWN,) * len(event.rows), posted=None)


def _label_and_next(at: ConversationId) -> Iterator[Event]:
    """Yield a list whose first row is not placed."""
    label = replace(row(at, 2, ids=True), standing=Standing.CARRIED, role="label")
    yield Take(conversation=at, source=ONE, rows=(label, row(at, 3, ids=True)))


def _first_without_id(at: ConversationId) -> Iterator[Event]:
    yield Take(conversation=at, source=ONE, rows=(row(at, 1, ids=False),), first=Place(1))


VARIANTS: tuple[IntakeVariant, ...] = (
    Variant(
        name="EQUAL_MERGED",
        machine=stepping("EQUAL_MERGED", row_by_row(_unless_said)),
        breaks="INT-5",
        source="lossless-claw #1090",
        story="A row is what it says. Two turns that say the same are one, and the second is"
        " discarded as if it had been there.",
        scope=PLACES,
    ),
    Variant(
        name="TAIL_AS_REPLAY",
        machine=stepping("TAIL_AS_REPLAY", row_by_row(_unless_repeated)),
        breaks="INT-5",
        source="hermes-lcm #113; lossless-claw #755",
        story="A tail that says what was said last is taken for a replay of it: the user who says"
        " the same twice was heard once.",
        scope=replace(IDS, refusals=False),
    ),
    Variant(
        name="TURN_DROPPED",
        machine=stepping("TURN_DROPPED", _at_once_or_not),
        breaks="INT-5",
        source=CONSTRUCTED,
        story="A list that begins with a known row is taken for one that is known as a whole, and"
        " nothing at all is done about it: its new rows are gone, and the state is the very same.",
        scope=PLACES,
    ),
    Variant(
        name="ROW_COUNT",
        machine=stepping("ROW_COUNT", row_by_row(_beyond_the_count)),
        breaks="INT-5",
        source="lossless-claude 0.9 (probed)",
        story="As many rows of the list are skipped as messages are stored. Each compaction stores"
        " a row of its own beside them, and the next row of the host is never stored.",
        scope=PLACES,
    ),
    Variant(
        name="NOTHING_AFTER_SUMMARY",
        machine=stepping("NOTHING_AFTER_SUMMARY", row_by_row(_before_a_summary)),
        breaks="INT-5",
        source="hermes-lcm #1; lossless-hermes #130",
        story="After the first compaction the cursor points behind the end of the list, and"
        " nothing is stored any more.",
        scope=COVERED,
    ),
    Variant(
        name="EMPTY_DROPPED",
        machine=stepping("EMPTY_DROPPED", row_by_row(_unless_empty)),
        breaks="INT-5",
        source="hermes-lcm #466 (probed)",
        story="A row without text is passed over without a word, and the frontier moves on behind"
        " it.",
        scope=PLACES,
    ),
    Variant(
        name="PREFIX_SKIPPED",
        machine=offered(stepping("PREFIX_SKIPPED", row_by_row(_behind_placed)), _label_and_next),
        breaks="INT-5",
        source="hermes-lcm #363",
        story="A list begins with rows that are not for the context, and the cursor moves behind"
        " the first that is.",
        scope=IDS,
    ),
    Variant(
        name="KNOWN_ELSEWHERE",
        machine=stepping("KNOWN_ELSEWHERE", row_by_row(_unless_known_anywhere)),
        breaks="INT-5",
        source="hermes-lcm #55, #127; lossless-claw #706",
        story="A row of one session counts as known because another session has one of that id.",
        scope=TWO,
    ),
    Variant(
        name="SHORTER_AGAIN",
        machine=stepping("SHORTER_AGAIN", after_taking(_shorter_again)),
        breaks="INT-8",
        source="hermes-lcm #141, #150",
        story="A stale snapshot that is shorter than what is stored is appended to it.",
        scope=PLACES,
    ),
    Variant(
        name="LAST_AGAIN",
        machine=stepping("LAST_AGAIN", after_taking(_last_again)),
        breaks="INT-8",
        source="hermes-lcm 0.7.0 to 0.21.0-rc2; lcm-x (probed)",
        story="Something is appended while a pass runs. The pass ends by setting the cursor to"
        " where it began, and the row before is stored a second time.",
        scope=PLACES,
    ),
    Variant(
        name="ONLY_BY_ID",
        machine=offered(stepping("ONLY_BY_ID", row_by_row(_only_by_id)), _first_without_id),
        breaks="INT-11",
        source="hermes-lcm #226, #255, #313",
        story="What the host kept without its id is not recognised when it comes back, although"
        " it stands where it stood: it is stored again instead of being refused.",
        scope=IDS,
    ),
    Variant(
        name="TAIL_AGAIN",
        machine=stepping("TAIL_AGAIN", after_each(Reopen, _tail_again)),
        breaks="INT-16",
        source="hermes-lcm #109, #111; lossless-hermes #130",
        story="The cursor lives in the process. After a restart it is gone, and the tail is stored"
        " again.",
        scope=PLACES,
    ),
    Variant(
        name="TAKEN_TWICE",
        machine=stepping("TAKEN_TWICE", after_taking(_twice)),
        breaks="INT-1",
        source="lossless-claw #611",
        story="The hook behind a turn is called twice, and what it brings is stored twice.",
        scope=PLACES,
    ),
    Variant(
        name="BY_SOURCE",
        machine=stepping("BY_SOURCE", _by_source),
        breaks="INT-1",
        source="hermes-lcm #253, #441; lossless-claw #1040, #1158",
        story="A second writer hands over the same session by another path, and everything is"
        " stored once more for it.",
        scope=IDS,
    ),
)
"""Every variant about which row is which."""
