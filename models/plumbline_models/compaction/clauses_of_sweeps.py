"""The clauses of compaction about sweeps: bounds, truth, and progress.

Chapter ``spec/compaction.md``, "Clauses".
"""

from collections.abc import Callable

from msgspec.structs import replace

from plumbline_models import ordinals
from plumbline_models.compaction import selection
from plumbline_models.compaction.passes import threshold
from plumbline_models.compaction.replaying import replayed
from plumbline_models.compaction.selection import entries_of
from plumbline_models.compaction.sweeps import CALLS_OF_A_PASS, during, either
from plumbline_models.compaction.values import (
    SPEC,
    CompactLeaf,
    Event,
    Kind,
    Outcome,
    State,
    Stop,
    Sweep,
    SweepUntil,
    Swept,
)
from plumbline_models.contract import StepClause, Witness
from plumbline_models.decisions.escalation import Failed, Unauthenticated
from plumbline_models.ordinals.queries import find
from plumbline_models.ordinals.values import SummaryId
from plumbline_models.tokens.queries import ledger_of

Step = Callable[[State, Event], tuple[State, Outcome]]
_Sweep = CompactLeaf | Sweep | SweepUntil


def about_sweeps(one_step: Step) -> tuple[StepClause[State, Event, Outcome], ...]:
    """Return the clauses about sweeps, for a machine that steps so."""
    return (
        StepClause(
            id="CMP-18",
            title="truth",
            sentence="A sweep MUST say that it compacted if and only if the context is another one"
            " by it, the totals before and after as they are stored, and every call that it made.",
            outcomes=(Swept,),
            breaks=_truth,
            inert=True,
        ),
        StepClause(
            id="CMP-19",
            title="bounds",
            sentence="A sweep MUST NOT make more passes, rounds or calls than the settings allow,"
            " nor begin a pass that calls after the deadline.",
            outcomes=(Swept,),
            breaks=_bounds,
            inert=True,
        ),
        StepClause(
            id="CMP-20",
            title="stop",
            sentence="The reason for which a sweep stops MUST hold of the state that it leaves and"
            " of the answers that it got.",
            outcomes=(Swept,),
            breaks=_stop,
            inert=True,
        ),
        StepClause(
            id="CMP-21",
            title="within",
            sentence="A sweep that is not forced MUST NOT change or ask anything while the total is"
            " within the threshold.",
            events=(Sweep,),
            outcomes=(Swept,),
            breaks=_within,
            inert=True,
        ),
        StepClause(
            id="CMP-22",
            title="floor",
            sentence="When the protected tokens and the cap of a fallback are together at most the"
            " target, and something else is said before them, a sweep until a target with which"
            " nobody interferes MUST reach it, whatever is answered; when it misses the target it"
            " MUST name the protected tokens.",
            events=(SweepUntil,),
            outcomes=(Swept,),
            breaks=_floor,
            inert=True,
        ),
        StepClause(
            id="CMP-23",
            title="again",
            sentence="A sweep after one that left nothing to compact or reached its target MUST"
            " change nothing and say the same.",
            events=(Sweep, SweepUntil),
            outcomes=(Swept,),
            breaks=lambda before, event, outcome, after: _again(
                one_step, before, event, outcome, after
            ),
            inert=True,
        ),
    )


def about_names() -> tuple[StepClause[State, Event, Outcome], ...]:
    """Return the clause about the names of new summaries."""
    return (
        StepClause(
            id="CMP-38",
            title="names",
            sentence="A sweep MUST give each new summary a name that no summary has, whatever its"
            " text is and whenever it is made, and MUST NOT end in a constraint of the database.",
            events=(CompactLeaf, Sweep, SweepUntil),
            outcomes=(Swept, ordinals.Failed),
            breaks=_names,
        ),
    )


def _taken(event: Event, outcome: Outcome) -> tuple[_Sweep, Swept]:
    assert isinstance(event, CompactLeaf | Sweep | SweepUntil)
    assert isinstance(outcome, Swept)
    return event, outcome


def _witness(event: _Sweep, found: str) -> Witness:
    return Witness(row=f"conversation {event.conversation}, {type(event).__name__}", found=found)


def _truth(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    event, said = _taken(event, outcome)
    was = find(before.taken.ledger.lists, event.conversation)
    now = find(after.taken.ledger.lists, event.conversation)
    assert was is not None
    assert now is not None
    others = tuple(during(event, 0, said.calls))
    changed = bool(said.passes) if others else was.context != now.context
    if said.compacted != changed:
        return _witness(event, f"compacted is {said.compacted}, and the context says otherwise")
    totals = tuple(
        ledger_of(state.taken.ledger, event.conversation).total for state in (before, after)
    )
    if (said.before, said.after) != totals:
        return _witness(event, f"says {said.before} to {said.after}, the totals are {totals}")
    made = sum(one.calls for one in said.passes)
    vain = said.calls - made
    # Each interference may make one selection stale, and the last resort may reach a target after
    # a call that failed.
    failed = said.stop in {Stop.AUTHENTICATION, Stop.SUMMARISER_ERROR}
    most = CALLS_OF_A_PASS * (len(others) + (failed or isinstance(event, SweepUntil)))
    if not failed <= vain <= most:
        return _witness(event, f"says {said.calls} calls, and its passes made {made}")
    return None


def _names(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    assert isinstance(event, CompactLeaf | Sweep | SweepUntil)
    if isinstance(outcome, ordinals.Failed):
        return _witness(event, f"failed in the constraint on {outcome.constraint}")
    for one in replayed(before, event, outcome, after) or ():
        name = one.record.summary
        if any(extent.summary == name for extent in one.before.extents):
            return _witness(event, f"gave a summary the name {name}, which another has")
    return None


def _bounds(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del before, after
    event, said = _taken(event, outcome)
    settings = event.settings
    asked = [one for one in said.passes if one.kind in {Kind.LEAF, Kind.CONDENSED}]
    rounds = settings.rounds if isinstance(event, SweepUntil) else 1
    if said.rounds > rounds or len(asked) > said.rounds * settings.passes:
        return _witness(event, f"made {len(asked)} passes in {said.rounds} rounds")
    if said.calls > settings.calls:
        return _witness(event, f"made {said.calls} calls")
    if settings.deadline is not None and asked:
        calls = sum(one.calls for one in asked[:-1])
        took = sum(event.script[number % len(event.script)].took for number in range(calls))
        if calls and took >= settings.deadline:
            return _witness(event, f"began a pass {took} ms after it began itself")
    return None


def _stop(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    event, said = _taken(event, outcome)
    settings = event.settings
    total = ledger_of(after.taken.ledger, event.conversation).total
    target = event.target if isinstance(event, SweepUntil) else threshold(settings, event.budget)
    left = either(SPEC, settings, hard=_is_hard(event))(entries_of(after, event.conversation))
    names = (
        {type(event.script[number % len(event.script)]) for number in range(said.calls)}
        if (event.script)
        else {Failed}
    )
    took = _took(event, said.calls)
    holds = {
        Stop.UNDER_TARGET: total <= target,
        Stop.NOTHING_TO_COMPACT: not left,
        Stop.BOUND_REACHED: bool(left) or isinstance(event, SweepUntil),
        Stop.DEADLINE: settings.deadline is not None and took >= settings.deadline,
        Stop.AUTHENTICATION: Unauthenticated in names,
        Stop.SUMMARISER_ERROR: Failed in names,
        Stop.NO_PROGRESS: False,
        Stop.STALE: len(tuple(during(event, 0, said.calls))) >= settings.stale,
    }
    if not holds[said.stop]:
        return _witness(event, f"stopped ({said.stop.value}), and that does not hold")
    if isinstance(event, SweepUntil) and (total <= target) != (said.stop is Stop.UNDER_TARGET):
        return _witness(event, f"stopped ({said.stop.value}) at {total} of {target} tokens")
    del before
    return None


def _is_hard(event: _Sweep) -> bool:
    return isinstance(event, SweepUntil) or (isinstance(event, Sweep) and event.hard)


def _took(event: _Sweep, calls: int) -> int:
    if not event.script:
        return 0
    return sum(event.script[number % len(event.script)].took for number in range(calls))


def _within(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    event, said = _taken(event, outcome)
    assert isinstance(event, Sweep)
    total = ledger_of(before.taken.ledger, event.conversation).total
    within = total <= threshold(event.settings, event.budget)
    if within and not event.force and (said.calls or before != after):
        return _witness(event, f"made {said.calls} calls at {total} tokens")
    return None


def _floor(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    event, said = _taken(event, outcome)
    assert isinstance(event, SweepUntil)
    entries = entries_of(before, event.conversation)
    first = selection.boundary(SPEC, entries, event.settings)
    left = entries_of(after, event.conversation)
    protected = selection.tokens_in(left[selection.boundary(SPEC, left, event.settings) :])
    total = ledger_of(after.taken.ledger, event.conversation).total
    says = any(one.says for one in entries[:first]) and not any(during(event, 0, said.calls))
    if says and protected + event.settings.fallback_cap <= event.target < total:
        return _witness(event, f"left {total} tokens, {protected} of which are protected")
    expected = protected if total > event.target else None
    if said.floor != expected:
        return _witness(event, f"names the floor {said.floor}, expected {expected}")
    return None


def _again(
    one_step: Step, before: State, event: Event, outcome: Outcome, after: State
) -> Witness | None:
    del before
    event, said = _taken(event, outcome)
    if said.stop not in {Stop.NOTHING_TO_COMPACT, Stop.UNDER_TARGET}:
        return None
    second, repeated = one_step(after, replace(event, summary=SummaryId("again"), meanwhile=()))
    if not isinstance(repeated, Swept) or second != after or repeated.stop is not said.stop:
        return _witness(event, f"stopped ({said.stop.value}), and the same sweep went on")
    return None
