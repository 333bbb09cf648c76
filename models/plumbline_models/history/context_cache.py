"""How real systems got the context cache wrong (chapter ``spec/context_cache.md``)."""

from collections.abc import Callable
from typing import TypeAlias

from msgspec.structs import replace

from plumbline_models.context_cache import Machine, Scope, Step, assembled
from plumbline_models.context_cache.clauses import clauses
from plumbline_models.context_cache.transitions import (
    find,
    keeping,
    kept_of,
    listed,
    step,
    storing,
    summarised,
)
from plumbline_models.context_cache.values import (
    SPEC,
    Begin,
    Change,
    Changed,
    Commit,
    Committed,
    End,
    Event,
    Listed,
    Outcome,
    Read,
    Reason,
    Refused,
    RolledBack,
    Rules,
    Stale,
    State,
)
from plumbline_models.contract import SometimesClause
from plumbline_models.history import CONSTRUCTED, Variant

CacheVariant: TypeAlias = Variant[State, Event, Outcome, Scope]

ONE = Scope(conversations=1, revisions=2, users=1, refusals=False)
BESIDE = replace(ONE, users=2)
TWO = replace(ONE, conversations=2, revisions=1)


def right(state: State, event: Event) -> tuple[State, Outcome]:
    """Take the specification's step."""
    return step(SPEC, state, event)


def under(name: str, rules: Rules) -> Callable[[], Machine]:
    """Return the maker of a machine under other rules."""
    return lambda: assembled(name, lambda state, event: step(rules, state, event))


def stepping(name: str, one_step: Step) -> Callable[[], Machine]:
    """Return the maker of a machine with another step."""
    return lambda: assembled(name, one_step)


def _kept_after_an_error(state: State, event: Event) -> tuple[State, Outcome]:
    after, outcome = right(state, event)
    return (replace(after, kept=state.kept) if event == End(raised=True) else after), outcome


def _counted_once(state: State, event: Event) -> tuple[State, Outcome]:
    """Take a compaction that begins inside another for the same one."""
    if isinstance(event, Begin) and state.users:
        return state, right(replace(state, users=0), event)[1]
    return right(state, event)


def _torn(state: State, event: Event) -> tuple[State, Outcome]:
    """Keep the list of the reading before the last change, with the revision after it."""
    after, outcome = right(state, event)
    if not isinstance(event, Read) or not isinstance(outcome, Listed) or not outcome.read:
        return after, outcome
    kept = kept_of(after, event.conversation)
    if kept is None or kept_of(state, event.conversation) is not None or not kept.items:
        return after, outcome
    return keeping(after, replace(kept, items=kept.items[:-1])), outcome


def _cleared_beside(state: State, event: Event) -> tuple[State, Outcome]:
    """Empty the cache whenever a compaction ends well, and count right."""
    after, outcome = right(state, event)
    return (replace(after, kept=()) if event == End() else after), outcome


def _seen_from_outside(state: State, event: Event) -> tuple[State, Outcome]:
    """Give a kept list to whoever asks."""
    kept = kept_of(state, event.conversation) if isinstance(event, Read) else None
    if kept is not None:
        return state, Listed(revision=kept.revision, items=kept.items, read=False)
    return right(state, event)


def _filled_from_outside(state: State, event: Event) -> tuple[State, Outcome]:
    """Keep what somebody outside read."""
    after, outcome = right(state, event)
    if isinstance(event, Read) and not event.compacting and state.users:
        at = find(state, event.conversation)
        if at is not None and kept_of(state, at.id) is None:
            return keeping(after, listed(at)), outcome
    return after, outcome


def _empty_is_absent(state: State, event: Event) -> tuple[State, Outcome]:
    """Read an empty list again, because it is taken for none."""
    after, outcome = right(state, event)
    if isinstance(event, Read) and isinstance(outcome, Listed) and not outcome.items:
        at = find(state, event.conversation)
        if event.compacting and at is not None and not at.items:
            return after, replace(outcome, read=True)
    return after, outcome


def _never_again(state: State, event: Event) -> tuple[State, Outcome]:
    """Refuse a commit as stale although its list is of the stored revision."""
    after, outcome = right(state, event)
    if isinstance(event, Commit) and isinstance(outcome, Committed):
        at = find(state, event.conversation)
        assert at is not None
        kept = tuple(one for one in state.kept if one.conversation != event.conversation)
        return replace(state, kept=kept), Stale(revision=at.revision)
    return after, outcome


def _told_before(state: State, event: Event) -> tuple[State, Outcome]:
    """Keep the list that a commit would leave before it is made."""
    after, outcome = right(state, event)
    if isinstance(event, Commit) and isinstance(outcome, RolledBack):
        at = find(state, event.conversation)
        assert at is not None
        return keeping(after, listed(summarised(at))), outcome
    return after, outcome


def _kept_though_stale(state: State, event: Event) -> tuple[State, Outcome]:
    after, outcome = right(state, event)
    return (state if isinstance(outcome, Stale) else after), outcome


def _one_list(state: State, event: Event) -> tuple[State, Outcome]:
    """Keep one list for all conversations."""
    after, outcome = right(state, event)
    if isinstance(event, Read | Commit):
        kept = kept_of(after, event.conversation)
        if kept is not None:
            return replace(after, kept=(kept,)), outcome
    return after, outcome


def _summary_stays(state: State, event: Event) -> tuple[State, Outcome]:
    """Leave the summary of a commit that failed."""
    after, outcome = right(state, event)
    if isinstance(event, Commit) and isinstance(outcome, RolledBack):
        changed = summarised(
            next(one for one in after.conversations if one.id == event.conversation)
        )
        stored = tuple(changed if one.id == changed.id else one for one in after.conversations)
        return replace(after, conversations=stored), outcome
    return after, outcome


def _never(name: str, clause: str, scope: Scope, story: str) -> CacheVariant:
    """Return a machine that refuses whatever reaches a clause."""
    reached = {one.id: one for one in clauses() if isinstance(one, SometimesClause)}[clause].reached

    def one_step(state: State, event: Event) -> tuple[State, Outcome]:
        after, outcome = right(state, event)
        if reached(state, event, outcome, after):
            return state, Refused(reason=Reason.UNKNOWN_CONVERSATION)
        return after, outcome

    return Variant(
        name=name,
        machine=stepping(name, one_step),
        breaks=clause,
        source=CONSTRUCTED,
        story=story,
        scope=scope,
        sole=True,
    )


def _unmoved(state: State, event: Event) -> tuple[State, Outcome]:
    """Change a list and leave its revision."""
    after, outcome = right(state, event)
    if not isinstance(event, Change) or not isinstance(outcome, Changed):
        return after, outcome
    at, revision = find(after, event.conversation), outcome.revision - 1
    assert at is not None
    return storing(after, replace(at, revision=revision)), replace(outcome, revision=revision)


VARIANTS: tuple[CacheVariant, ...] = (
    Variant(
        name="KEPT_AFTER_AN_ERROR",
        machine=stepping("KEPT_AFTER_AN_ERROR", _kept_after_an_error),
        breaks="CCH-1",
        source=CONSTRUCTED,
        story="A compaction that ends in an error does not come to the line that empties the cache,"
        " and the next one begins with a list of long ago.",
        scope=ONE,
        sole=True,
    ),
    Variant(
        name="TORN",
        machine=stepping("TORN", _torn),
        breaks="CCH-2",
        source=CONSTRUCTED,
        story="List and revision are read one after the other and not as of one moment; a change"
        " between them is in the revision and not in the list, and nobody ever notices.",
        scope=ONE,
        sole=True,
    ),
    Variant(
        name="UNMOVED",
        machine=stepping("UNMOVED", _unmoved),
        breaks="CCH-2",
        source="lossless-claw, all releases",
        story="Appends, prunes and rollbacks change the list and nothing that a kept one could be"
        " compared with.",
        scope=ONE,
    ),
    Variant(
        name="COUNTED_ONCE",
        machine=stepping("COUNTED_ONCE", _counted_once),
        breaks="CCH-3",
        source=CONSTRUCTED,
        story="A compaction inside another is not counted, so its end empties the cache of the"
        " outer one, and its end is one too many.",
        scope=replace(BESIDE, conversations=0),
        sole=True,
    ),
    Variant(
        name="FLAG_IN_PLACE_OF_A_COUNT",
        machine=under("FLAG_IN_PLACE_OF_A_COUNT", Rules(name="FLAG", counted=False)),
        breaks="CCH-3",
        source="lossless-claw PR #295, before its review",
        story="One flag says whether somebody compacts. The compaction that ends first takes it"
        " down, and the cache of the other one is gone.",
        scope=BESIDE,
    ),
    Variant(
        name="CLEARED_BESIDE",
        machine=stepping("CLEARED_BESIDE", _cleared_beside),
        breaks="CCH-4",
        source="lossless-claw PR #295, before its review",
        story="Whoever ends empties the cache for all.",
        scope=BESIDE,
        sole=True,
    ),
    Variant(
        name="SEEN_FROM_OUTSIDE",
        machine=stepping("SEEN_FROM_OUTSIDE", _seen_from_outside),
        breaks="CCH-5",
        source="lossless-claw PR #295 and later",
        story="While one conversation is compacted, somebody asks whether another one needs it, and"
        " is answered with what stood there three appends ago.",
        scope=ONE,
    ),
    Variant(
        name="FILLED_FROM_OUTSIDE",
        machine=stepping("FILLED_FROM_OUTSIDE", _filled_from_outside),
        breaks="CCH-5",
        source="lossless-claw PR #295 and later",
        story="What somebody outside asks for is kept, for a conversation that nobody compacts, and"
        " nothing but the end of all compactions takes it away.",
        scope=ONE,
        sole=True,
    ),
    Variant(
        name="EMPTY_IS_ABSENT",
        machine=stepping("EMPTY_IS_ABSENT", _empty_is_absent),
        breaks="CCH-6",
        source="lossless-claw PR #295, before its review",
        story="Whether a list is kept is asked by its length, so an empty one is read every time.",
        scope=ONE,
        sole=True,
    ),
    Variant(
        name="USED_WHATEVER_CAME",
        machine=under("USED_WHATEVER_CAME", Rules(name="USED_WHATEVER_CAME", revisions=False)),
        breaks="CCH-7",
        source="lossless-claw, all releases",
        story="The list that was read before a call is used after it, whatever was changed"
        " meanwhile.",
        scope=ONE,
        sole=True,
    ),
    Variant(
        name="NEVER_AGAIN",
        machine=stepping("NEVER_AGAIN", _never_again),
        breaks="CCH-7",
        source=CONSTRUCTED,
        story="Every commit is refused as stale: nothing is lost, and nothing is compacted.",
        scope=ONE,
    ),
    Variant(
        name="TOLD_BEFORE",
        machine=stepping("TOLD_BEFORE", _told_before),
        breaks="CCH-2",
        source="lossless-claw PR #295, before its review",
        story="The cache is told of a commit before it is made. It fails, and the next pass goes by"
        " a list that never stood anywhere.",
        scope=ONE,
    ),
    Variant(
        name="KEPT_THOUGH_STALE",
        machine=stepping("KEPT_THOUGH_STALE", _kept_though_stale),
        breaks="CCH-8",
        source="lcm-x 0.23",
        story="A commit is refused as stale and its list is kept, so the next one is refused too,"
        " for ever.",
        scope=ONE,
        sole=True,
    ),
    Variant(
        name="ONE_LIST",
        machine=stepping("ONE_LIST", _one_list),
        breaks="CCH-9",
        source=CONSTRUCTED,
        story="One list is kept for all conversations; the reading of another one takes it away.",
        scope=TWO,
        sole=True,
    ),
    Variant(
        name="SUMMARY_STAYS",
        machine=stepping("SUMMARY_STAYS", _summary_stays),
        breaks="CCH-10",
        source="lossless-claude/lcm 0.9",
        story="Summary, lineage and list are three commits; when the last fails, the others stay.",
        scope=ONE,
        sole=True,
    ),
    _never(
        "NOBODY_GOES_ON",
        "CCH-11",
        BESIDE,
        "No compaction ends in an error while another one has a list.",
    ),
    _never("NOTHING_EMPTY", "CCH-12", ONE, "No empty list is asked for twice."),
    _never(
        "NOBODY_ELSE",
        "CCH-13",
        ONE,
        "Nobody outside asks for a list that was changed while it is kept.",
    ),
    _never("READ_AFTER_COMMIT", "CCH-14", ONE, "No list is used again after a commit."),
)
"""Every variant of the context cache; each clause has one that no other clause catches."""
