"""How wrong machines are made of the right one: tampered with, retold, too lax, too strict."""

from collections.abc import Callable, Iterator
from typing import TypeAlias, TypeVar

from msgspec.structs import replace

from plumbline_models.anchoring import Machine, Scope, Step, assembled, machine, queries
from plumbline_models.anchoring.scope import in_scope
from plumbline_models.anchoring.transitions import step
from plumbline_models.anchoring.values import (
    SPEC,
    Audited,
    CloseGate,
    Collect,
    Credited,
    Event,
    GateClosed,
    Ineligible,
    Live,
    Logged,
    OpenGate,
    Outcome,
    Position,
    Record,
    Refresh,
    Refreshed,
    Refusal,
    Refused,
    Renew,
    Rewrite,
    Rules,
    Snapshot,
    State,
    Truncate,
)
from plumbline_models.decisions.refreshing import Way
from plumbline_models.history import Variant

AnchoringVariant: TypeAlias = Variant[State, Event, Outcome, Scope]

BARE = Scope(outcomes=0, snapshots=1, refusals=False)
"""One publication of an empty log."""
LOGGED = Scope(outcomes=1, snapshots=0, refusals=False)
"""One outcome and no publication."""
COUNTED = Scope(outcomes=1, snapshots=1, refusals=False)
"""One outcome, and one publication before it or behind it."""
MERGED = Scope(outcomes=1, snapshots=2, refusals=False)
"""One outcome and two publications: enough for a merge."""

K = TypeVar("K", Record, Refresh, Rewrite, Truncate, OpenGate, CloseGate, Collect, Renew)
R = TypeVar("R", Refreshed, Audited, Credited, GateClosed)


def right(state: State, event: Event) -> tuple[State, Outcome]:
    """Take the specification's step."""
    return step(SPEC, state, event)


def stepping(name: str, one_step: Step) -> Callable[[], Machine]:
    """Return the maker of a machine with another step."""
    return lambda: assembled(name, one_step)


def ruled(rules: Rules) -> Callable[[], Machine]:
    """Return the maker of the machine under other rules."""
    return lambda: machine(rules)


def offered(
    maker: Callable[[], Machine], also: Callable[[State], Iterator[Event]]
) -> Callable[[], Machine]:
    """Return the maker of a machine that offers ``also`` beside the events of the scope."""

    def events(state: State, scope: Scope) -> Iterator[Event]:
        yield from in_scope(state, scope)
        yield from also(state)

    return lambda: replace(maker(), events=events)


def tampered(kind: type[K], change: Callable[[State, State, K], State]) -> Step:
    """Return a step that changes the state once more after an event of ``kind`` that was accepted.

    ``change`` is given the state before the step, the one after it, and the event.
    """

    def one_step(state: State, event: Event) -> tuple[State, Outcome]:
        after, outcome = right(state, event)
        if isinstance(outcome, Refused | Ineligible) or not isinstance(event, kind):
            return after, outcome
        return change(state, after, event), outcome

    return one_step


def retold(kind: type[R], say: Callable[[State, R], Outcome]) -> Step:
    """Return a step that does what is right and says something else, given the state before it."""

    def one_step(state: State, event: Event) -> tuple[State, Outcome]:
        after, outcome = right(state, event)
        return after, say(state, outcome) if isinstance(outcome, kind) else outcome

    return one_step


def accepting(
    kind: type[K], reason: Refusal, effect: Callable[[State, K], tuple[State, Outcome]]
) -> Step:
    """Return a step that lets ``effect`` happen where the right one refuses for ``reason``."""

    def one_step(state: State, event: Event) -> tuple[State, Outcome]:
        after, outcome = right(state, event)
        if not isinstance(event, kind) or outcome != Refused(reason=reason):
            return after, outcome
        return effect(state, event)

    return one_step


def publishing(change: Callable[[State, Snapshot], Snapshot]) -> Step:
    """Return a step whose refreshes publish another snapshot than the right one.

    ``change`` is given the state before the refresh, and the snapshot that would be right.
    """

    def one_step(state: State, event: Event) -> tuple[State, Outcome]:
        after, outcome = right(state, event)
        if not isinstance(outcome, Refreshed) or after.issued == state.issued:
            return after, outcome
        made = change(state, after.snapshots[-1])
        return with_made(state, made), told_of(made, outcome)

    return one_step


def merges(change: Callable[[State, Snapshot], Snapshot]) -> Step:
    """Return a step whose merges publish another snapshot than the right one."""
    return publishing(
        lambda state, made: change(state, made) if made.way is Way.DELTA_MERGE else made
    )


def with_made(state: State, made: Snapshot) -> State:
    """Return the state with a new current snapshot, and a live delta that is anchored to it."""
    others = (one for one in state.snapshots if one.id != made.id)
    return replace(
        state,
        snapshots=tuple(sorted((*others, made), key=lambda one: one.id)),
        current=made.id,
        issued=max(state.issued, made.id),
        reused=False,
        live=anchored(made),
    )


def anchored(made: Snapshot) -> Live:
    """Return the live delta behind a snapshot, with nothing in it."""
    end = made.watermark
    return Live(anchor=made.id, epoch=made.epoch, lo=end, hi=end, chain=made.chain)


def told_of(made: Snapshot, outcome: Refreshed) -> Refreshed:
    """Return what a refresh says when it published this snapshot."""
    full = outcome.way is Way.FULL_REBUILD
    return replace(
        outcome,
        snapshot=made.id,
        watermark=made.watermark,
        rows_written=len(made.statistics) if full else outcome.rows_written,
    )


def cut_short(state: State, made: Snapshot) -> Snapshot:
    """Return a snapshot with the watermark and the chain of one outcome before, where it can be.

    Its watermark stays as high as that of the current snapshot; its statistics stay.
    """
    current = queries.current_of(state)
    lowest = queries.beginning_of(state) if current is None else current.watermark
    watermark = max(lowest, Position(made.watermark - 1))
    chain = queries.chain_at(state, watermark)
    assert chain is not None
    return replace(made, watermark=watermark, chain=chain)


def with_row(live: Live, row: Logged) -> Live:
    """Return the live delta up to a row, which it counts."""
    counted = queries.merged(live.statistics, queries.fold((row,)))
    return replace(live, hi=row.position, chain=row.chain, statistics=counted)


def with_snapshots(state: State, change: Callable[[Snapshot], Snapshot]) -> State:
    """Return the state in which every stored snapshot is changed."""
    return replace(state, snapshots=tuple(change(one) for one in state.snapshots))
