"""What is worth trying in a state of anchoring step by step."""

from collections.abc import Iterator

from msgspec import Struct

from plumbline_models.anchoring.values import OutcomeId
from plumbline_models.anchoring_steps.values import (
    Advance,
    Event,
    Kill,
    ProcessId,
    Record,
    Recorder,
    Recording,
    Refresh,
    Refresher,
    Refreshing,
    Rewrite,
    State,
)
from plumbline_models.contract import Choices

RECORDERS = (ProcessId("w1"), ProcessId("w2"))
REFRESHERS = (ProcessId("p1"), ProcessId("p2"))


class Scope(Struct, frozen=True, kw_only=True):
    """How far ``events`` reaches; every field bounds what can exist at once."""

    outcomes: int = 3
    publications: int = 2
    """Those made, and those that a refresher may still make."""
    recorders: int = 1
    """At once; 2 at most."""
    refreshers: int = 1
    """At once; 2 at most."""
    kills: bool = True
    """Whether processes are killed, and torn in their writes, as often as one likes."""
    epochs: int = 1
    refusals: bool = True
    """Whether to offer events that are refused because of what they name."""


def in_scope(state: State, scope: Scope) -> Iterator[Event]:
    """Yield every event worth trying in ``state``."""
    yield from _beginnings(state, scope)
    for at in state.running:
        yield Advance(process=at.process)
        if scope.kills:
            yield Kill(process=at.process)
            if scope.refusals or at.following in (Recording.WRITE, Refreshing.RESET):
                yield Kill(process=at.process, torn=True)
    if state.log and state.epoch < scope.epochs:
        yield Rewrite(outcome=state.log[0].outcome, reward=1_000)
    if scope.refusals:
        yield from _refused(state)


def _beginnings(state: State, scope: Scope) -> Iterator[Event]:
    """Yield a recorder of the next outcome and a refresher, by the first names that are free."""
    recorders = [one for one in state.running if isinstance(one, Recorder)]
    coming = sum(one.following is Recording.APPEND for one in recorders)
    number = len(state.log) + coming + 1
    if number <= scope.outcomes and len(recorders) < scope.recorders:
        name = _free(state, RECORDERS)
        yield Record(process=name, outcome=OutcomeId(f"o{number}"), reward=1 << number)
    refreshers = [one for one in state.running if isinstance(one, Refresher)]
    making = sum(one.following is not Refreshing.RESET for one in refreshers)
    if state.issued + making < scope.publications and len(refreshers) < scope.refreshers:
        yield Refresh(process=_free(state, REFRESHERS))


def _free(state: State, names: tuple[ProcessId, ...]) -> ProcessId:
    taken = {one.process for one in state.running}
    return next(name for name in names if name not in taken)


def _refused(state: State) -> Iterator[Event]:
    nobody = ProcessId("nobody")
    yield Advance(process=nobody)
    for at in state.running[:1]:
        yield Refresh(process=at.process)
        yield Rewrite(outcome=OutcomeId("o1"), reward=1)
    for at in state.running[:1]:
        yield Record(process=at.process, outcome=OutcomeId("other"), reward=1)
        yield Kill(process=nobody)
    for row in state.log[:1]:
        yield Record(process=nobody, outcome=row.outcome, reward=1)
    if not state.log and not state.running:
        yield Rewrite(outcome=OutcomeId("o1"), reward=1)


def choices(state: State) -> Choices:
    """Return values that occur here and near misses: a group for each process."""
    number = len(state.log) + 1
    known = tuple(row.outcome for row in state.log)
    names = [*(at.process for at in state.running), *RECORDERS[:1], *REFRESHERS]
    return Choices(
        groups=tuple(
            {
                "process": (name,),
                "process:Record": (ProcessId("w1"), ProcessId("w2")),
                "process:Refresh": REFRESHERS,
                "outcome": (OutcomeId(f"o{number}"), OutcomeId(f"o{number + 1}")),
                "outcome:Rewrite": known or (OutcomeId("o1"),),
                "reward": (1 << min(number, 19), 0, -5),
                "torn": (False, False, False, True),
            }
            for name in names
        )
    )
