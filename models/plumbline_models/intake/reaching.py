"""The clauses of intake about what a run must reach: what is handed over where systems went wrong.

Chapter ``spec/intake.md``, "Clauses".
"""

from collections.abc import Callable

from plumbline_models.contract import SometimesClause
from plumbline_models.intake.queries import added, entry_of, log_of, place_of
from plumbline_models.intake.values import (
    Entry,
    Event,
    Fate,
    Log,
    Outcome,
    Standing,
    State,
    Take,
    Taken,
)
from plumbline_models.ordinals.queries import find


def about_reach() -> tuple[SometimesClause[State, Event, Outcome], ...]:
    """Return the clauses about reach, INT-19 to INT-25."""
    return (
        _sometimes("INT-19", "equal rows", "Sometimes two entries say the same.", _equal_rows),
        _sometimes("INT-20", "empty row", "Sometimes a row without text is added.", _empty_row),
        _sometimes(
            "INT-21",
            "tail",
            "Sometimes a list is taken of which some rows are known and some are not.",
            _tail,
        ),
        _sometimes(
            "INT-22",
            "shorter",
            "Sometimes fewer rows are handed over than are stored, and all are known.",
            _shorter,
        ),
        _sometimes(
            "INT-23",
            "second writer",
            "Sometimes a source hands over a row that another source handed over before.",
            _second_writer,
        ),
        _sometimes(
            "INT-24",
            "left the context",
            "Sometimes a row is known whose message has left the context.",
            _left_the_context,
        ),
        _sometimes(
            "INT-25",
            "interleaved",
            "Sometimes a row is added behind a message that no row brought.",
            _interleaved,
        ),
    )


def _sometimes(
    clause: str,
    title: str,
    sentence: str,
    reached: Callable[[State, Take, Taken, State], bool],
) -> SometimesClause[State, Event, Outcome]:
    return SometimesClause(
        id=clause,
        title=title,
        sentence=sentence,
        reached=lambda before, event, outcome, after: (
            isinstance(event, Take)
            and isinstance(outcome, Taken)
            and reached(before, event, outcome, after)
        ),
    )


def _says(state: State, log: Log, one: Entry) -> str | None:
    at = find(state.ledger.lists, log.conversation)
    texts = {} if at is None else {stored.id: stored.text for stored in at.messages}
    return one.text if one.message is None else texts.get(one.message)


def _equal_rows(before: State, event: Take, outcome: Taken, after: State) -> bool:
    del before, outcome
    log = log_of(after, event.conversation)
    said = [_says(after, log, one) for one in log.entries]
    return any(text is not None and said.count(text) > 1 for text in said)


def _empty_row(before: State, event: Take, outcome: Taken, after: State) -> bool:
    del before, after
    return any(row.standing is Standing.PLACED and not row.text for row in added(event, outcome))


def _tail(before: State, event: Take, outcome: Taken, after: State) -> bool:
    del before, event, after
    return len(set(outcome.fates)) > 1


def _shorter(before: State, event: Take, outcome: Taken, after: State) -> bool:
    del after
    stored = len(log_of(before, event.conversation).entries)
    return 0 < len(event.rows) < stored and set(outcome.fates) == {Fate.KNOWN}


def _second_writer(before: State, event: Take, outcome: Taken, after: State) -> bool:
    del outcome, after
    entries = log_of(before, event.conversation).entries
    ids = {row.entry for row in event.rows if row.entry is not None}
    return any(one.entry in ids and one.source != event.source for one in entries)


def _left_the_context(before: State, event: Take, outcome: Taken, after: State) -> bool:
    del after
    at = find(before.ledger.lists, event.conversation)
    standing: set[str] = set() if at is None else {entry.item.id for entry in at.context}
    log = log_of(before, event.conversation)
    found = (
        entry_of(log.entries, event.source, row, place_of(event, index))
        for index, row in enumerate(event.rows)
    )
    gone = any(one is not None and one.message not in {None, *standing} for one in found)
    return gone and Fate.KNOWN in outcome.fates


def _interleaved(before: State, event: Take, outcome: Taken, after: State) -> bool:
    del after
    at = find(before.ledger.lists, event.conversation)
    if at is None or not at.messages or outcome.posted is None:
        return False
    brought = {one.message for one in log_of(before, event.conversation).entries}
    return bool(brought) and at.messages[-1].id not in brought
