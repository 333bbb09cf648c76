"""The clauses of compaction about what is reached, so that no other is kept by nothing happening.

Chapter ``spec/compaction.md``, "Clauses".
"""

from collections.abc import Callable

from plumbline_models import tokens
from plumbline_models.compaction import selection
from plumbline_models.compaction.replaying import interference_of, passes_of
from plumbline_models.compaction.selection import Chunk, entries_of
from plumbline_models.compaction.values import (
    SPEC,
    Commit,
    Committed,
    Event,
    Kind,
    Outcome,
    Pass,
    Reason,
    Refused,
    Select,
    Selected,
    State,
    Stop,
    SweepUntil,
    Swept,
)
from plumbline_models.contract import SometimesClause
from plumbline_models.decisions.escalation import Level, Text
from plumbline_models.ordinals.queries import find

Reached = Callable[[State, Event, Outcome, State], bool]


def about_reach() -> tuple[SometimesClause[State, Event, Outcome], ...]:
    """Return the clauses about what is reached."""
    return (
        _sometimes(
            "CMP-24",
            "second answer",
            "Sometimes the first answer is no shorter than its source, and the second is taken.",
            _recorded(lambda one: one.level is Level.AGGRESSIVE),
        ),
        _sometimes(
            "CMP-25",
            "no answer",
            "Sometimes neither of two answers is shorter than what it stands for, and the source is"
            " cut.",
            _recorded(lambda one: one.level is Level.FALLBACK and one.calls > 1),
        ),
        _sometimes(
            "CMP-26",
            "cut",
            "Sometimes an answer is taken that is longer than its limit, and cut.",
            _recorded(lambda one: one.capped),
        ),
        _sometimes(
            "CMP-27",
            "meanwhile",
            "Sometimes the items of a commit stood in the context once and do not any more.",
            _meanwhile,
        ),
        _sometimes(
            "CMP-28",
            "without a summariser",
            "Sometimes a target is reached although no call is answered.",
            _without_a_summariser,
        ),
        _sometimes(
            "CMP-29",
            "wrap",
            "Sometimes the last resort wraps messages that stand among summaries.",
            _recorded(lambda one: one.kind is Kind.WRAP),
        ),
        _sometimes(
            "CMP-30",
            "missed",
            "Sometimes a target is missed that is more than what is protected.",
            lambda _before, event, outcome, _after: (
                isinstance(outcome, Swept)
                and isinstance(event, SweepUntil)
                and outcome.floor is not None
                and outcome.stop is Stop.NOTHING_TO_COMPACT
                and outcome.floor < event.target
            ),
        ),
        _sometimes(
            "CMP-31",
            "behind nothing",
            "Sometimes messages are selected behind others that say nothing and stay.",
            _behind(lambda entries: any(not one.says and one.depth is None for one in entries)),
        ),
        _sometimes(
            "CMP-32",
            "later run",
            "Sometimes summaries are selected behind a run of their depth that is too short.",
            _later_run,
        ),
        _sometimes(
            "CMP-33",
            "beyond the tail",
            "Sometimes the newest message of a user protects what the fresh tail does not.",
            _beyond_the_tail,
        ),
        _sometimes(
            "CMP-34",
            "deeper",
            "Sometimes summaries of summaries are condensed.",
            _deeper,
        ),
        _sometimes(
            "CMP-35",
            "several at once",
            "Sometimes one sweep makes a leaf and condenses it.",
            lambda _before, _event, outcome, _after: (
                isinstance(outcome, Swept)
                and {Kind.LEAF, Kind.CONDENSED} <= {one.kind for one in outcome.passes}
            ),
        ),
        _sometimes(
            "CMP-36",
            "said meanwhile",
            "Sometimes a message is appended while a summariser is asked, and the pass is made.",
            _said_meanwhile,
        ),
        _sometimes(
            "CMP-37",
            "selected anew",
            "Sometimes others make a selection stale while a summariser is asked, and what is"
            " selected then is summarised.",
            _selected_anew,
        ),
    )


def _sometimes(
    name: str, title: str, sentence: str, reached: Reached
) -> SometimesClause[State, Event, Outcome]:
    return SometimesClause(id=name, title=title, sentence=sentence, reached=reached)


def _recorded(wanted: Callable[[Pass], bool]) -> Reached:
    def reached(before: State, event: Event, outcome: Outcome, after: State) -> bool:
        del before, event, after
        match outcome:
            case Committed(record=record):
                return wanted(record)
            case Swept(passes=passes):
                return any(map(wanted, passes))
            case _:
                return False

    return reached


def _meanwhile(before: State, event: Event, outcome: Outcome, after: State) -> bool:
    del after
    if not isinstance(event, Commit) or outcome != Refused(reason=Reason.STALE):
        return False
    at = find(before.taken.ledger.lists, event.conversation)
    assert at is not None
    sources = [one.sources for one in at.summaries]
    return event.items in sources or any(loss.item == event.items[0] for loss in at.losses)


def _without_a_summariser(before: State, event: Event, outcome: Outcome, after: State) -> bool:
    del before, after
    return (
        isinstance(event, SweepUntil)
        and isinstance(outcome, Swept)
        and outcome.compacted
        and outcome.stop is Stop.UNDER_TARGET
        and not any(isinstance(one, Text) for one in event.script)
    )


def _behind(wanted: Callable[[Chunk], bool]) -> Reached:
    def reached(before: State, event: Event, outcome: Outcome, after: State) -> bool:
        del after
        if not isinstance(event, Select) or not isinstance(outcome, Selected):
            return False
        entries = entries_of(before, event.conversation)
        first = selection.found_at(entries, outcome.items)
        return not event.condense and wanted(entries[:first])

    return reached


def _later_run(before: State, event: Event, outcome: Outcome, after: State) -> bool:
    del after
    if not isinstance(event, Select) or not isinstance(outcome, Selected) or not event.condense:
        return False
    entries = entries_of(before, event.conversation)
    first = selection.found_at(entries, outcome.items)
    assert first is not None
    depth = entries[first].depth
    earlier = [one.depth for one in entries[:first]]
    return depth in earlier and earlier[-1] != depth


def _beyond_the_tail(before: State, event: Event, outcome: Outcome, after: State) -> bool:
    del after
    if not isinstance(event, Select) or not isinstance(outcome, Selected):
        return False
    entries = entries_of(before, event.conversation)
    users = [index for index, one in enumerate(entries) if one.user]
    if not users:
        return False
    anyone = selection.boundary(SPEC, _by_nobody(entries), event.settings)
    return users[-1] < anyone


def _by_nobody(entries: Chunk) -> Chunk:
    return tuple(
        selection.Entry(
            item=one.item, tokens=one.tokens, depth=one.depth, user=False, says=one.says
        )
        for one in entries
    )


def _said_meanwhile(before: State, event: Event, outcome: Outcome, after: State) -> bool:
    del before, after
    others = interference_of(event, outcome)
    return any(isinstance(one, tokens.Append) for one in others) and bool(passes_of(outcome))


def _selected_anew(before: State, event: Event, outcome: Outcome, after: State) -> bool:
    del before, after
    if not isinstance(outcome, Swept) or not interference_of(event, outcome):
        return False
    failed = outcome.stop in {Stop.AUTHENTICATION, Stop.SUMMARISER_ERROR, Stop.STALE}
    made = [one.calls for one in outcome.passes]
    return bool(made) and sum(made) < outcome.calls and not failed


def _deeper(before: State, event: Event, outcome: Outcome, after: State) -> bool:
    del before
    if not isinstance(event, Commit) or not isinstance(outcome, Committed):
        return False
    return any((one.depth or 0) > 1 for one in entries_of(after, event.conversation))
