"""The clauses of the context cache (chapter ``spec/context_cache.md``, "Clauses")."""

from collections.abc import Callable, Iterator

from plumbline_models.context_cache.transitions import find, kept_of
from plumbline_models.context_cache.values import (
    Begin,
    Begun,
    Change,
    Commit,
    Committed,
    End,
    Ended,
    Event,
    Listed,
    Open,
    Outcome,
    Read,
    Refused,
    RolledBack,
    Stale,
    State,
)
from plumbline_models.contract import Clause, SometimesClause, StateClause, StepClause, Witness

Reached = Callable[[State, Event, Outcome, State], bool]


def clauses() -> tuple[Clause[State, Event, Outcome], ...]:
    """Return the clauses of the context cache."""
    return (*_about_states(), *_about_compactions(), *_about_lists(), *_about_reach())


def _about_states() -> tuple[StateClause[State], ...]:
    return (
        StateClause(
            id="CCH-1",
            title="nothing outlives",
            sentence="While no compaction runs, no list MUST be kept.",
            witnesses=_outlives,
        ),
        StateClause(
            id="CCH-2",
            title="as it stood",
            sentence="A list that is kept MUST NOT be of a later revision than what is stored, and"
            " one of the same revision MUST be what is stored.",
            witnesses=_not_as_stored,
        ),
    )


def _about_compactions() -> tuple[StepClause[State, Event, Outcome], ...]:
    return (
        StepClause(
            id="CCH-3",
            title="counted",
            sentence="Each compaction that begins MUST add one to those that run, inside another"
            " one too, and each that ends MUST take one off, in an error too.",
            outcomes=(Begun, Ended),
            breaks=_counted,
            inert=True,
        ),
        StepClause(
            id="CCH-4",
            title="not of others",
            sentence="A compaction that begins or ends while another runs MUST leave every list"
            " that is kept.",
            events=(Begin, End),
            breaks=_not_of_others,
        ),
    )


def _about_lists() -> tuple[StepClause[State, Event, Outcome], ...]:
    return (
        StepClause(
            id="CCH-5",
            title="for compactions alone",
            sentence="Who asks for a list and does not compact MUST get what is stored, and MUST"
            " leave what is kept as it is.",
            events=(Read,),
            outcomes=(Listed,),
            breaks=_outside,
            inert=True,
        ),
        StepClause(
            id="CCH-6",
            title="read once",
            sentence="A compaction that asks for a list MUST get the one that is kept, an empty one"
            " too, and only when there is none MUST it be read, and be kept from then on.",
            events=(Read,),
            outcomes=(Listed,),
            breaks=_read_once,
            inert=True,
        ),
        StepClause(
            id="CCH-7",
            title="at its revision",
            sentence="A commit MUST be made if its list is of the revision that is stored, and MUST"
            " be stale if it is not.",
            events=(Commit,),
            outcomes=(Committed, Stale),
            breaks=_at_its_revision,
            inert=True,
        ),
        StepClause(
            id="CCH-8",
            title="after the commit",
            sentence="The list that a commit leaves MUST be kept after it, and none of that"
            " conversation after one that was stale or failed.",
            outcomes=(Committed, Stale, RolledBack),
            breaks=_after_the_commit,
            inert=True,
        ),
        StepClause(
            id="CCH-9",
            title="by conversation",
            sentence="An event about a conversation MUST leave the lists of all others as they"
            " are.",
            events=(Open, Change, Read, Commit),
            breaks=_by_conversation,
        ),
        StepClause(
            id="CCH-10",
            title="nothing is done",
            sentence="A refusal MUST leave everything, and what was stale or failed MUST leave what"
            " is stored.",
            outcomes=(Refused, Stale, RolledBack),
            breaks=_nothing_done,
            inert=True,
        ),
    )


def _about_reach() -> tuple[SometimesClause[State, Event, Outcome], ...]:
    def sometimes(
        name: str, title: str, sentence: str, reached: Reached
    ) -> SometimesClause[State, Event, Outcome]:
        return SometimesClause(id=name, title=title, sentence=sentence, reached=reached)

    return (
        sometimes(
            "CCH-11",
            "another goes on",
            "Sometimes a compaction ends in an error while another one has a list.",
            lambda _before, event, outcome, after: (
                event == End(raised=True) and isinstance(outcome, Ended) and bool(after.kept)
            ),
        ),
        sometimes(
            "CCH-12",
            "empty",
            "Sometimes an empty list is kept and asked for again.",
            lambda _before, _event, outcome, _after: (
                isinstance(outcome, Listed) and not outcome.read and not outcome.items
            ),
        ),
        sometimes(
            "CCH-13",
            "changed meanwhile",
            "Sometimes a list is kept that others have changed, somebody outside asks for it, and"
            " gets what is stored.",
            _changed_meanwhile,
        ),
        sometimes(
            "CCH-14",
            "used again",
            "Sometimes a list is used that a commit left, without a reading.",
            lambda _before, _event, outcome, _after: (
                isinstance(outcome, Listed)
                and not outcome.read
                and any("/s" in one for one in outcome.items)
            ),
        ),
    )


def _witness(row: str, found: str, table: str = "") -> Witness:
    return Witness(table=table, row=row, found=found)


def _outlives(state: State) -> Iterator[Witness]:
    if not state.users:
        for one in state.kept:
            row = f"list of conversation {one.conversation}"
            yield _witness(row, "is kept and no compaction runs", "kept")


def _not_as_stored(state: State) -> Iterator[Witness]:
    for one in state.kept:
        at, row = find(state, one.conversation), f"list of conversation {one.conversation}"
        if at is None or one.revision > at.revision:
            stored = "nothing" if at is None else f"revision {at.revision}"
            yield _witness(row, f"is of revision {one.revision}, stored is {stored}", "kept")
        elif one.revision == at.revision and one.items != at.items:
            said, right = (", ".join(items) or "nothing" for items in (one.items, at.items))
            yield _witness(row, f"has {said}, stored is {right}", "kept")


def _counted(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    assert isinstance(outcome, Begun | Ended)
    expected = before.users + (1 if isinstance(event, Begin) else -1)
    if (outcome.users, after.users) != (expected, expected):
        found = f"{outcome.users} said and {after.users} counted, expected {expected}"
        return _witness("compactions that run", found)
    return None


def _not_of_others(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del outcome
    others = before.users if isinstance(event, Begin) else before.users - 1
    if others > 0 and after.kept != before.kept:
        return _witness("lists", f"{len(before.kept)} before and {len(after.kept)} after", "kept")
    return None


def _outside(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    assert isinstance(event, Read)
    assert isinstance(outcome, Listed)
    at = find(before, event.conversation)
    if event.compacting or at is None:
        return None
    row = f"list of conversation {event.conversation}"
    if (outcome.revision, outcome.items) != (at.revision, at.items):
        found = f"revision {outcome.revision} was given, stored is {at.revision}"
        return _witness(row, found)
    if after.kept != before.kept:
        return _witness(row, "is kept for somebody who does not compact", "kept")
    return None


def _read_once(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    assert isinstance(event, Read)
    assert isinstance(outcome, Listed)
    if not event.compacting:
        return None
    row, kept = f"list of conversation {event.conversation}", kept_of(before, event.conversation)
    if outcome.read is not (kept is None):
        return _witness(row, "is read although it is kept" if kept else "is not read")
    if kept is not None and (outcome.revision, outcome.items) != (kept.revision, kept.items):
        return _witness(row, "is given otherwise than it is kept")
    if before.users and kept_of(after, event.conversation) is None:
        return _witness(row, "is not kept", "kept")
    return None


def _at_its_revision(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del after
    assert isinstance(event, Commit)
    at, kept = find(before, event.conversation), kept_of(before, event.conversation)
    current = at is not None and kept is not None and at.revision == kept.revision
    if current is not isinstance(outcome, Committed):
        found = f"is {'' if current else 'not '}of the stored revision: {type(outcome).__name__}"
        return _witness(f"list of conversation {event.conversation}", found)
    return None


def _after_the_commit(
    before: State, event: Event, outcome: Outcome, after: State
) -> Witness | None:
    del before
    assert isinstance(event, Commit)
    kept = kept_of(after, event.conversation)
    row = f"list of conversation {event.conversation}"
    if isinstance(outcome, Committed):
        if kept is None or kept.revision != outcome.revision:
            return _witness(row, "is not the one that the commit left", "kept")
    elif kept is not None:
        return _witness(row, f"is kept after {type(outcome).__name__}", "kept")
    return None


def _by_conversation(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del outcome
    assert isinstance(event, Open | Change | Read | Commit)
    was, now = (
        [one for one in state.kept if one.conversation != event.conversation]
        for state in (before, after)
    )
    if was != now:
        row = f"lists of others than conversation {event.conversation}"
        return _witness(row, f"{len(was)} before and {len(now)} after", "kept")
    return None


def _nothing_done(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del event
    whole = isinstance(outcome, Refused)
    if before.conversations != after.conversations or (whole and before != after):
        return _witness("state", f"is another one after {type(outcome).__name__}")
    return None


def _changed_meanwhile(before: State, event: Event, outcome: Outcome, after: State) -> bool:
    del after
    if not isinstance(event, Read) or event.compacting or not isinstance(outcome, Listed):
        return False
    kept = kept_of(before, event.conversation)
    return kept is not None and kept.revision < outcome.revision
