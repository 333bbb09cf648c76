"""What is stored of a row, what else is changed with it, and what is said about it."""

from collections.abc import Iterator

from msgspec.structs import replace

from plumbline_models import ordinals, tokens
from plumbline_models.history import CONSTRUCTED, Variant
from plumbline_models.history.intake.making import (
    COVERED,
    IDS,
    PLACES,
    TWO,
    IntakeVariant,
    after_each,
    after_taking,
    answering,
    here,
    instead_of_refusing,
    logged,
    new_entries,
    offered,
    rewritten,
    right,
    standing,
    stepping,
    with_conversation,
)
from plumbline_models.intake.queries import log_of
from plumbline_models.intake.scope import ONE, row
from plumbline_models.intake.values import (
    Digest,
    Entry,
    Event,
    Fate,
    Outcome,
    Part,
    Place,
    Reason,
    Refused,
    Reopen,
    SourceId,
    Standing,
    State,
    Take,
    Taken,
)
from plumbline_models.ordinals import Conversation, ConversationId, Sequence, SummaryItem

_PREVIEW = 1
"""Code points that are kept of a text."""
_MOST = 4
"""The sequence number at which a burning variant stops burning, so that its scope has an end."""


def _place_kept(before: State, after: State, event: Take, outcome: Taken) -> State:
    """Give every new entry the place at which its row was handed over."""
    del outcome
    if event.first is None:
        return after
    places = {one.entry: event.first + index for index, one in enumerate(event.rows)}
    return new_entries(
        before, after, event, lambda one: replace(one, place=Place(places[one.entry]))
    )


def _beside(state: State, event: Take, refusal: Refused) -> tuple[State, Outcome]:
    """Take what is new at a place that holds another, and store it at that place too."""
    after, outcome = right(state, replace(event, first=None))
    if not isinstance(outcome, Taken) or outcome.fates != (Fate.ADDED,):
        return state, refusal
    return _place_kept(state, after, event, outcome), outcome


def _shifted(at: ConversationId) -> Iterator[Event]:
    """Yield the list of a host that has dropped its first row."""
    yield Take(conversation=at, source=ONE, rows=(row(at, 2, ids=True),), first=Place(1))


def _text_kept(before: State, after: State, event: Take, outcome: Taken) -> State:
    """Store the text of a placed row with its entry too."""
    del outcome
    texts = {one.message: one.text for one in event.rows}

    def kept(one: Entry) -> Entry:
        return one if one.message is None else replace(one, text=texts[one.message])

    return new_entries(before, after, event, kept)


def _code_units(before: State, after: State, event: Take, outcome: Taken) -> State:
    """Measure the parts of new entries in UTF-16 code units."""
    del outcome
    texts = {one.message: one.text for one in event.rows}

    def measured(one: Entry) -> Entry:
        text = one.text if one.message is None else texts[one.message]
        assert text is not None
        parts = tuple(_in_code_units(text, part) for part in one.parts)
        return replace(one, parts=parts)

    return new_entries(before, after, event, measured)


def _in_code_units(text: str, part: Part) -> Part:
    begin, end = text[: part.start], text[: part.start + part.length]
    start = len(begin.encode("utf-16-le")) // 2
    return replace(part, start=start, length=len(end.encode("utf-16-le")) // 2 - start)


def _parts_believed(state: State, event: Event) -> tuple[State, Outcome]:
    """Take the step without parts, and store them afterwards as they came."""
    if not isinstance(event, Take):
        return right(state, event)
    plain = replace(event, rows=tuple(replace(one, parts=()) for one in event.rows))
    after, outcome = right(state, plain)
    if not isinstance(outcome, Taken):
        return after, outcome
    parts = {one.digest: one.parts for one in event.rows}
    return (
        new_entries(state, after, event, lambda one: replace(one, parts=parts[one.digest])),
        outcome,
    )


def _turned(before: State, after: State, event: Take, outcome: Taken) -> State:
    """Store the entries of one event newest first."""
    del outcome
    old = len(log_of(before, event.conversation).entries)
    log = log_of(after, event.conversation)
    entries = (*log.entries[:old], *log.entries[old:][::-1])
    return logged(after, replace(log, entries=entries))


def _as_user(before: State, after: State, event: Take, outcome: Taken) -> State:
    del outcome
    return new_entries(before, after, event, lambda one: replace(one, role="user"))


def _without_parts(before: State, after: State, event: Take, outcome: Taken) -> State:
    del outcome
    return new_entries(before, after, event, lambda one: replace(one, parts=()))


def _old_without_parts(before: State, after: State, event: Take, outcome: Taken) -> State:
    """Drop the parts of the entries before those that an event added."""
    if Fate.ADDED not in outcome.fates:
        return after
    old = len(log_of(before, event.conversation).entries)
    return rewritten(
        after, event, lambda number, one: replace(one, parts=()) if number < old else one
    )


def _as_previews(state: State, event: Event) -> tuple[State, Outcome]:
    """Take the step with the beginnings of the texts."""
    if not isinstance(event, Take):
        return right(state, event)
    rows = (replace(one, text=one.text[:_PREVIEW], parts=()) for one in event.rows)
    return right(state, replace(event, rows=tuple(rows)))


def _pruning_for_others(before: State, after: State, event: Take, outcome: Taken) -> State:
    """Prune the context when rows are added of which none is placed."""
    if Fate.ADDED not in outcome.fates or outcome.posted is not None:
        return after
    del before
    prune = ordinals.Prune(conversation=event.conversation, retain_depth=None)
    return right(after, prune)[0]


def _numbering_others(before: State, after: State, event: Take, outcome: Taken) -> State:
    """Use up a sequence number when rows are added of which none is placed."""
    del before
    if Fate.ADDED not in outcome.fates or outcome.posted is not None:
        return after
    at = here(after, event)
    return with_conversation(after, replace(at, next_sequence=Sequence(at.next_sequence + 1)))


def _unposted(state: State, event: Take, outcome: Taken) -> Taken:
    """Say nothing of the append."""
    del state, event
    return replace(outcome, posted=None)


def _labels_off_the_branch(before: State, after: State, event: Take, outcome: Taken) -> State:
    """Store a new row that is carried as one that is aside."""
    del outcome

    def stored(one: Entry) -> Entry:
        carried = one.standing is Standing.CARRIED
        return replace(one, standing=Standing.ASIDE) if carried else one

    return new_entries(before, after, event, stored)


def _without_summaries(before: State, after: State, event: Take, outcome: Taken) -> State:
    """Roll every summary back when a whole list is handed over again."""
    if event.first != 1 or Fate.ADDED in outcome.fates:
        return after
    for item in standing(here(before, event)):
        if isinstance(item, SummaryItem):
            back = ordinals.RollBack(conversation=event.conversation, summary=item.id)
            after = right(after, back)[0]
    return after


def _burning(before: State, after: State, event: Take, outcome: Taken) -> State:
    """Use up a sequence number when every row was known."""
    del before
    at = here(after, event)
    if Fate.ADDED in outcome.fates or at.next_sequence >= _MOST:
        return after
    return with_conversation(after, replace(at, next_sequence=Sequence(at.next_sequence + 1)))


def _others_always_added(state: State, event: Take, outcome: Taken) -> Taken:
    """Say of every row that is not placed that it was added."""
    del state
    fates = (
        fate if one.standing is Standing.PLACED else Fate.ADDED
        for one, fate in zip(event.rows, outcome.fates, strict=True)
    )
    return replace(outcome, fates=tuple(fates))


def _placed_alone(state: State, event: Take, outcome: Taken) -> Taken:
    """Say nothing of the rows that are not placed."""
    del state
    pairs = zip(event.rows, outcome.fates, strict=True)
    fates = (fate for one, fate in pairs if one.standing is Standing.PLACED)
    return replace(outcome, fates=tuple(fates))


def _with_its_message(before: State, after: State, event: ordinals.Forget) -> State:
    """Forget the entry of a message with it."""
    del before
    log = log_of(after, event.conversation)
    kept = tuple(one for one in log.entries if one.message not in event.messages)
    return logged(after, replace(log, entries=kept))


def _without_the_empty(before: State, after: State, event: Reopen) -> State:
    """Lose the conversations in which there is nothing yet."""
    del before, event
    lists, ledgers = after.ledger.lists.conversations, after.ledger.ledgers
    empty = {at.id for at in lists if at == Conversation(id=at.id)}
    logged_here = {log.conversation for log in after.logs}
    gone = empty - logged_here
    kept = tuple(at for at in lists if at.id not in gone)
    ledger = tokens.State(
        lists=ordinals.State(conversations=kept),
        ledgers=tuple(one for one in ledgers if one.conversation not in gone),
    )
    return replace(after, ledger=ledger)


def _as_the_host_writes(before: State, after: State, event: tokens.Replace) -> State:
    """Store a summary as a row of the user, as a host does that writes down what it sent."""
    del before
    log = log_of(after, event.conversation)
    written = Entry(
        source=SourceId("host"),
        entry=None,
        place=None,
        standing=Standing.CARRIED,
        digest=Digest(f"of {event.summary}"),
        role="user",
        message=None,
        text=event.text,
        parts=(),
    )
    if written in log.entries:
        return after
    return logged(after, replace(log, entries=(*log.entries, written)))


def _in_every_log(before: State, after: State, event: Take, outcome: Taken) -> State:
    """Store what is not placed in the logs of all conversations."""
    del outcome
    old = len(log_of(before, event.conversation).entries)
    new = log_of(after, event.conversation).entries[old:]
    carried = [one for one in new if one.message is None]
    for at in after.ledger.lists.conversations:
        log = log_of(after, at.id)
        known_ids = {one.entry for one in log.entries}
        copies = tuple(one for one in carried if one.entry not in known_ids)
        after = logged(after, replace(log, entries=(*log.entries, *copies)))
    return after


VARIANTS: tuple[IntakeVariant, ...] = (
    Variant(
        name="PLACE_TWICE",
        machine=offered(
            stepping("PLACE_TWICE", instead_of_refusing(Reason.CHANGED_ROW, _beside)), _shifted
        ),
        breaks="INT-1",
        source=CONSTRUCTED,
        story="A host drops the first row of its list and all others move up. Each is stored at the"
        " place at which it came, beside the one that was there.",
        scope=IDS,
        sole=True,
    ),
    Variant(
        name="TEXT_TWICE",
        machine=stepping("TEXT_TWICE", after_taking(_text_kept)),
        breaks="INT-2",
        source="hermes-lcm #148, #158, #214",
        story="What a message says is kept inline as well, where nobody looks when it is"
        " forgotten.",
        scope=PLACES,
        sole=True,
    ),
    Variant(
        name="PARTS_BELIEVED",
        machine=stepping("PARTS_BELIEVED", _parts_believed),
        breaks="INT-3",
        source=CONSTRUCTED,
        story="Spans are stored as the host gives them, and nobody asks whether the text is as"
        " long as that.",
        scope=PLACES,
        sole=True,
    ),
    Variant(
        name="CODE_UNITS",
        machine=stepping("CODE_UNITS", after_taking(_code_units)),
        breaks="INT-3",
        source=CONSTRUCTED,
        story="Parts are measured in UTF-16 code units, and the last one ends behind a text that"
        " has emoji in it.",
        scope=replace(PLACES, rows=4, appends=0, departures=False),
    ),
    Variant(
        name="ENTRIES_TURNED",
        machine=stepping("ENTRIES_TURNED", after_taking(_turned)),
        breaks="INT-4",
        source="hermes-lcm #260; lossless-claw #908",
        story="The rows of a batch have one time, and what is ordered by it comes back in another"
        " order than the messages.",
        scope=PLACES,
        sole=True,
    ),
    Variant(
        name="LABELS_ASIDE",
        machine=stepping("LABELS_ASIDE", after_taking(_labels_off_the_branch)),
        breaks="INT-5",
        source=CONSTRUCTED,
        story="What is no message is stored as if it stood off the branch. The branch goes on"
        " from it, and every row from there on is refused as a fork.",
        scope=IDS,
        sole=True,
    ),
    Variant(
        name="AS_USER",
        machine=stepping("AS_USER", after_taking(_as_user)),
        breaks="INT-6",
        source="lossless-claw, all releases: messages.role",
        story="Only some roles can be stored, and every row gets one of them.",
        scope=PLACES,
        sole=True,
    ),
    Variant(
        name="PARTS_LOST",
        machine=stepping("PARTS_LOST", after_taking(_without_parts)),
        breaks="INT-6",
        source="hermes-lcm #281",
        story="The text of a row is stored and its parts are not: nobody knows any more which"
        " result answers which tool call.",
        scope=PLACES,
        sole=True,
    ),
    Variant(
        name="PREVIEWS",
        machine=stepping("PREVIEWS", _as_previews),
        breaks="INT-6",
        source="hermes-lcm #308",
        story="What a tool answered is stored as a preview, and the whole of it nowhere.",
        scope=PLACES,
    ),
    Variant(
        name="PRUNED_FOR_OTHERS",
        machine=stepping("PRUNED_FOR_OTHERS", after_taking(_pruning_for_others)),
        breaks="INT-7",
        source=CONSTRUCTED,
        story="A row that is not for the context, such as a mark of a new session, takes out of it"
        " what stood there; the records agree.",
        scope=IDS,
        sole=True,
    ),
    Variant(
        name="OTHERS_NUMBERED",
        machine=stepping("OTHERS_NUMBERED", after_taking(_numbering_others)),
        breaks="INT-7",
        source=CONSTRUCTED,
        story="A row that is not for the context uses up the number of a message.",
        scope=IDS,
        sole=True,
    ),
    Variant(
        name="UNPOSTED",
        machine=stepping("UNPOSTED", answering(_unposted)),
        breaks="INT-7",
        source=CONSTRUCTED,
        story="Messages are appended, and the outcome does not say so: whoever adds up what it"
        " reports has nothing to add.",
        scope=replace(PLACES, appends=0),
    ),
    Variant(
        name="SUMMARIES_WIPED",
        machine=stepping("SUMMARIES_WIPED", after_taking(_without_summaries)),
        breaks="INT-7",
        source="lossless-claude #302",
        story="A replay from the start begins by wiping the summaries that were there.",
        scope=COVERED,
    ),
    Variant(
        name="BURNT_NUMBERS",
        machine=stepping("BURNT_NUMBERS", after_taking(_burning)),
        breaks="INT-8",
        source=CONSTRUCTED,
        story="Known rows use up a sequence number before they are found to be known.",
        scope=replace(PLACES, departures=False),
        sole=True,
    ),
    Variant(
        name="ADDED_WITHOUT_ADDING",
        machine=stepping("ADDED_WITHOUT_ADDING", answering(_others_always_added)),
        breaks="INT-9",
        source="lossless-claw #1177",
        story="The outcome says what was asked for and not what happened.",
        scope=IDS,
        sole=True,
    ),
    Variant(
        name="OTHERS_UNREPORTED",
        machine=stepping("OTHERS_UNREPORTED", answering(_placed_alone)),
        breaks="INT-9",
        source="hermes-lcm #298",
        story="Rows that are not for the context are not counted in what is reported.",
        scope=IDS,
    ),
    Variant(
        name="OLD_PARTS_COLLECTED",
        machine=stepping("OLD_PARTS_COLLECTED", after_taking(_old_without_parts)),
        breaks="INT-15",
        source="hermes-lcm #298; lossless-claw PR #148",
        story="Once something newer is stored, the stored rows before it are rewritten and lose"
        " what is taken for garbage.",
        scope=PLACES,
        sole=True,
    ),
    Variant(
        name="FORGOTTEN_WITH_MESSAGE",
        machine=stepping("FORGOTTEN_WITH_MESSAGE", after_each(ordinals.Forget, _with_its_message)),
        breaks="INT-15",
        source="lossless-claw, current releases: messages.transcript_entry_id",
        story="The id of a row is a column of its message and goes when the message is forgotten:"
        " at the next replay nobody knows the row.",
        scope=PLACES,
    ),
    Variant(
        name="EMPTY_LOST",
        machine=stepping("EMPTY_LOST", after_each(Reopen, _without_the_empty)),
        breaks="INT-16",
        source="lossless-hermes #130",
        story="What was opened and holds nothing yet was never committed, and is gone after a"
        " restart.",
        scope=PLACES,
        sole=True,
    ),
    Variant(
        name="SUMMARY_AS_ROW",
        machine=stepping("SUMMARY_AS_ROW", after_each(tokens.Replace, _as_the_host_writes)),
        breaks="INT-18",
        source="hermes-lcm #512",
        story="The host writes down the summary that it was given as a row of the user.",
        scope=COVERED,
    ),
    Variant(
        name="IN_EVERY_LOG",
        machine=stepping("IN_EVERY_LOG", after_taking(_in_every_log)),
        breaks="INT-18",
        source="hermes-lcm #247, #285, #289, #293",
        story="Engines that were cloned share their state: what one session is handed is known to"
        " the others.",
        scope=TWO,
        sole=True,
    ),
)
"""Every variant about what is stored, changed and said."""
