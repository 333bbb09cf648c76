"""What an event of compaction made, read off its outcome: the passes, one after the other.

Theory of operation. An outcome records its passes, and the event says what others did during which
call, but not between which passes that fell. So the passes and what others did are made again, in
every order that keeps the order of each, until one leads to the state that was left.
"""

from collections.abc import Iterator

from msgspec import Struct

from plumbline_models import tokens
from plumbline_models.compaction.passes import host_step, total
from plumbline_models.compaction.sweeps import during
from plumbline_models.compaction.values import (
    SPEC,
    Commit,
    Committed,
    CompactLeaf,
    Evaluate,
    Event,
    Interference,
    Outcome,
    Pass,
    Select,
    State,
    Sweep,
    SweepUntil,
    Swept,
)
from plumbline_models.ordinals.queries import find, summary_of
from plumbline_models.ordinals.values import ConversationId


class Made(Struct, frozen=True, kw_only=True):
    """One recorded pass between two states."""

    before: State
    record: Pass
    after: State


def passes_of(outcome: Outcome) -> tuple[Pass, ...]:
    """Return the records of an outcome, in the order of the passes."""
    match outcome:
        case Committed(record=record):
            return (record,)
        case Swept(passes=passes):
            return passes
        case _:
            return ()


def here_of(event: Event) -> ConversationId:
    """Return the conversation that an event of compaction names."""
    assert isinstance(event, Evaluate | Select | Commit | CompactLeaf | Sweep | SweepUntil)
    return event.conversation


def interference_of(event: Event, outcome: Outcome) -> tuple[Interference, ...]:
    """Return what others did during the calls of an event, in order."""
    if isinstance(event, CompactLeaf | Sweep | SweepUntil) and isinstance(outcome, Swept):
        return tuple(during(event, 0, outcome.calls))
    return ()


def replacements(event: Event, outcome: Outcome, after: State) -> Iterator[tokens.Replace]:
    """Yield the replacements of tokens that the recorded passes of an outcome are."""
    here = here_of(event)
    at = find(after.taken.ledger.lists, here)
    for one in passes_of(outcome):
        stored = None if at is None else summary_of(at, one.summary)
        yield tokens.Replace(
            conversation=here,
            summary=one.summary,
            text="" if stored is None else stored.text,
            items=one.sources,
            tokens=one.added,
        )


def replayed(
    before: State, event: Event, outcome: Outcome, after: State
) -> tuple[Made, ...] | None:
    """Return the recorded passes as they lead from one state to the other; None if they do not.

    Of several orders, one in which the recorded totals are those of the ledger.
    """
    passes = tuple(zip(passes_of(outcome), replacements(event, outcome, after), strict=True))
    orders = [*_orders(before, passes, interference_of(event, outcome), after)]
    return next((one for one in orders if _is_as_recorded(event, one)), *orders[:1] or (None,))


def _is_as_recorded(event: Event, order: tuple[Made, ...]) -> bool:
    here = here_of(event)
    return all(total(one.before, here) == one.record.before for one in order)


def _orders(
    state: State,
    passes: tuple[tuple[Pass, tokens.Replace], ...],
    others: tuple[Interference, ...],
    after: State,
) -> Iterator[tuple[Made, ...]]:
    """Yield every way in which these lead from a state to another one."""
    if not passes and not others:
        if state.taken == after.taken:
            yield ()
        return
    if others:
        moved, _ = host_step(SPEC, state, others[0])
        yield from _orders(moved, passes, others[1:], after)
    if passes:
        (record, event), *rest = passes
        moved, posted = host_step(SPEC, state, event)
        if isinstance(posted, tokens.Posted):
            made = Made(before=state, record=record, after=moved)
            for found in _orders(moved, tuple(rest), others, after):
                yield (made, *found)
