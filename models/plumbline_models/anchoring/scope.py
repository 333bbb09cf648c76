"""What is worth trying in a state of anchoring: events of a scope, values for strategies."""

from collections.abc import Iterator
from itertools import product

from msgspec import Struct
from msgspec.structs import replace

from plumbline_models.anchoring.queries import end_of, pin_of
from plumbline_models.anchoring.values import (
    Audit,
    Backfill,
    CloseGate,
    Collect,
    Correction,
    Credit,
    Draft,
    Event,
    GateId,
    Key,
    Lose,
    Loss,
    OpenGate,
    OutcomeId,
    Pin,
    PinId,
    Record,
    Refresh,
    Renew,
    Rewrite,
    SnapshotId,
    Source,
    State,
    Truncate,
    Unpin,
)
from plumbline_models.contract import Choices
from plumbline_models.decisions.refreshing import Mode, Windows
from plumbline_models.decisions.statistics import MOST

REWARDS = (999, -998, MOST, -MOST)
"""Of the outcomes in their order, and then from the beginning. The squares of the first two add up
to more than a limb holds."""
KEYS = (
    Key(family="recall", plan="short"),
    Key(family="recall", plan="short", mode="canary"),
    Key(family="recall", plan="deep"),
    Key(family="plan", plan="short"),
)
"""Each differs from the first in one thing."""
WINDOWS = Windows(reuse=10, merges=1, exact=20)
"""Within a scope's times, all of them are sometimes over and sometimes not."""
GATE = GateId("g1")
PIN = PinId("p1")


class Scope(Struct, frozen=True, kw_only=True):
    """How far ``events`` reaches; every field bounds what can exist at once."""

    outcomes: int = 2
    keys: int = 1
    """Keys that they are of, by turns."""
    late: bool = False
    """Whether outcomes are of decisions under snapshots, and are asked for by them."""
    batches: bool = False
    """Whether two outcomes are logged at once."""
    snapshots: int = 2
    """Publications."""
    times: tuple[int, ...] = (0,)
    windows: tuple[Windows, ...] = (WINDOWS,)
    modes: tuple[Mode, ...] = (Mode.AUTO,)
    configs: tuple[str, ...] = ("",)
    drift: bool = False
    """Whether audits are made and what they found comes in with a refresh."""
    expects: bool = False
    """Whether refreshers say what they saw."""
    losses: tuple[Loss, ...] = ()
    epochs: int = 1
    backfills: bool = False
    truncations: bool = False
    pins: bool = False
    gates: int = 0
    collections: tuple[int, ...] = ()
    """How many of the newest snapshots each keeps."""
    refusals: bool = True
    """Whether to offer events that are refused because of what they name."""


def in_scope(state: State, scope: Scope) -> Iterator[Event]:
    """Yield every event worth trying in ``state``."""
    yield from _records(state, scope)
    yield from _refreshes(state, scope)
    yield from _changes(state, scope)
    if scope.pins:
        yield from _pins(state, scope)
    if scope.gates:
        yield from _gates(state, scope)
    yield from (
        Collect(now=now, keep=keep) for keep in scope.collections for now in scope.times[-2:]
    )
    if scope.drift:
        yield Audit()
    if scope.late:
        asked = (*range(1, state.issued + 1), *((99,) if scope.refusals else ()))
        yield from (Credit(snapshot=SnapshotId(one)) for one in asked)
    yield from (Lose(what=what) for what in scope.losses)


def draft(number: int, scope: Scope, under: SnapshotId | None = None) -> Draft:
    """Return the outcome of a number, counted from 1."""
    return Draft(
        outcome=OutcomeId(f"o{number}"),
        key=KEYS[number % scope.keys],
        reward=REWARDS[(number - 1) % len(REWARDS)],
        source=Source.LIVE if number % 2 else Source.BACKFILL,
        under=under,
    )


def _records(state: State, scope: Scope) -> Iterator[Event]:
    following = end_of(state) + 1
    if following <= scope.outcomes:
        yield Record(drafts=(draft(following, scope),))
        if scope.late:
            for snapshot in range(1, state.issued + 1):
                yield Record(drafts=(draft(following, scope, SnapshotId(snapshot)),))
        if scope.batches and following < scope.outcomes:
            first, second = draft(following, scope), draft(following + 1, scope)
            yield Record(drafts=(first, first, second))
    if state.truncated:
        yield Record(drafts=(draft(1, scope),))
    if scope.refusals:
        yield from _records_refused(scope)


def _records_refused(scope: Scope) -> Iterator[Event]:
    first = draft(1, scope)
    yield Record(drafts=(first,)) if scope.outcomes else Record(drafts=())
    yield Record(drafts=(Draft(outcome=OutcomeId("o1"), key=KEYS[0], reward=7),))
    yield Record(drafts=(Draft(outcome=OutcomeId("far"), key=KEYS[0], reward=MOST + 1),))
    seen = Draft(outcome=OutcomeId("seen"), key=KEYS[0], reward=1, source=Source.GATE)
    yield Record(drafts=(seen,))
    never = Draft(outcome=OutcomeId("never"), key=KEYS[0], reward=1, under=SnapshotId(99))
    yield Record(drafts=(never,))
    yield Record(drafts=())


def _refreshes(state: State, scope: Scope) -> Iterator[Event]:
    """Yield refreshes; none where no further snapshot may be published."""
    if state.issued >= scope.snapshots:
        return
    current = SnapshotId(0) if state.current is None else state.current
    asked = product(
        scope.modes,
        scope.times,
        scope.windows,
        scope.configs,
        (False, True) if scope.drift else (False,),
        (None, current, SnapshotId(99)) if scope.expects else (None,),
    )
    for mode, now, windows, config, drift, expects in asked:
        yield Refresh(
            mode=mode, now=now, windows=windows, config=config, drift=drift, expects=expects
        )


def _changes(state: State, scope: Scope) -> Iterator[Event]:
    """Yield rewritings of the log, retractions, scripts that tell nobody, and truncations."""
    first = state.log[0] if state.log else None
    if first is not None and scope.backfills:
        yield Backfill(outcome=first.outcome, reward=REWARDS[1])
        yield Backfill(outcome=state.log[-1].outcome, reward=REWARDS[2])
    if first is not None and state.epoch < scope.epochs:
        yield from (Rewrite(corrections=(one,)) for one in _corrections(first.outcome, scope))
    if scope.truncations:
        yield from (Truncate(snapshot=one.id) for one in state.snapshots)
    if scope.refusals and scope.epochs > 1:
        yield from _changes_refused(state)
    if scope.refusals and scope.truncations:
        yield Truncate(snapshot=SnapshotId(99))
    if scope.refusals and scope.backfills:
        yield Backfill(outcome=OutcomeId("nobody"), reward=0)
        yield from (Backfill(outcome=one.outcome, reward=0) for one in state.truncated[:1])


def _corrections(outcome: OutcomeId, scope: Scope) -> Iterator[Correction]:
    yield Correction(outcome=outcome, key=KEYS[-1], reward=MOST)
    yield Correction(outcome=outcome, key=KEYS[1 % scope.keys], reward=None)
    yield Correction(outcome=outcome, key=KEYS[2], reward=MOST)


def _changes_refused(state: State) -> Iterator[Event]:
    yield Rewrite(corrections=())
    nobody = Correction(outcome=OutcomeId("nobody"), key=KEYS[0], reward=0)
    yield Rewrite(corrections=(nobody,))
    yield Rewrite(corrections=(nobody, nobody))
    for gone in state.truncated[:1]:
        yield Rewrite(corrections=(Correction(outcome=gone.outcome, key=KEYS[0], reward=0),))
    for row in state.log[:1]:
        same = Correction(outcome=row.outcome, key=row.key, reward=row.reward)
        yield Rewrite(corrections=(same,))
        far = Correction(outcome=row.outcome, key=row.key, reward=MOST + 1)
        yield Rewrite(corrections=(far,))


def _pins(state: State, scope: Scope) -> Iterator[Event]:
    now, later = scope.times[0], scope.times[-1]
    if pin_of(state, PIN) is None:
        yield Pin(pin=PIN, owner="reader", now=now)
        yield Pin(pin=PIN, owner="reader", now=now, expires=later)
        yield from (
            Pin(pin=PIN, owner="reader", now=now, snapshot=one.id) for one in state.snapshots[:1]
        )
    yield Unpin(pin=PIN)
    yield Renew(pin=PIN, now=now, expires=later)
    if scope.refusals:
        yield Pin(pin=PIN, owner="other", now=later)
        yield Pin(pin=PinId("p2"), owner="late", now=later, expires=later)
        yield Pin(pin=PinId("p2"), owner="lost", now=now, snapshot=SnapshotId(99))
        yield Renew(pin=PIN, now=later, expires=later)


def _gates(state: State, scope: Scope) -> Iterator[Event]:
    """Yield openings and closings; none opens where no further snapshot may be published."""
    for number in range(1, scope.gates + 1):
        gate = GateId(f"g{number}")
        pin = pin_of(state, PinId(gate))
        for snapshot in (SnapshotId(1), *(() if pin is None else (pin.snapshot,))):
            yield CloseGate(
                gate=gate, snapshot=snapshot, candidate="c1", result="100/100/0", promoted=True
            )
        if state.issued >= scope.snapshots:
            continue
        asked = product(
            scope.modes,
            scope.times,
            scope.windows,
            scope.configs,
            (False, True) if scope.drift else (False,),
            (None, scope.times[-1]) if scope.collections else (None,),
        )
        for mode, now, windows, config, drift, expires in asked:
            yield OpenGate(
                gate=gate,
                owner="judge",
                mode=mode,
                now=now,
                windows=windows,
                config=config,
                drift=drift,
                expires=expires,
            )


def choices(state: State) -> Choices:
    """Return values that occur here and near misses: a group for each snapshot and one for none."""
    logged = tuple(row.outcome for row in state.log)
    gone = tuple(one.outcome for one in state.truncated)
    current = SnapshotId(0) if state.current is None else state.current
    held = tuple(one.id for one in state.pins)
    gates = tuple(GateId(one.id) for one in state.pins if one.gate)
    fresh = GateId(f"g{3 + len(state.pins) + len(state.verdicts)}")
    usual: dict[str, tuple[object, ...]] = {
        "corrections": tuple(_corrected(logged, gone)),
        "outcome": (*logged, *gone[:1], OutcomeId("nobody")),
        "reward": REWARDS,
        "expects": (*(None,) * 8, current, SnapshotId(99)),
        "now": (0, 0, 5, 15, 40),
        "expires": (None, None, None, 10, 200),
        "windows": (_LONG, WINDOWS, WINDOWS, replace(_LONG, merges=0), replace(_LONG, reuse=0)),
        "config": (*("",) * 9, "other"),
        "drift": (*(False,) * 9, True),
        "keep": (0, 1, 2),
        "owner": ("reader",),
        "pin": (PIN, PinId("p2"), *held),
        "gate": (GATE, GateId("g2"), *gates),
        "gate:OpenGate": (fresh, fresh, fresh, GATE),
        "gate:CloseGate": (*gates, *gates, GATE),
        "mode": (Mode.AUTO.value, Mode.AUTO.value, Mode.DELTA.value, Mode.DELTA.value, "full"),
    }
    groups = [*(one.id for one in state.snapshots), SnapshotId(state.issued + 1)]
    return Choices(
        groups=tuple(
            {
                **usual,
                "drafts": tuple(_drafts(state, snapshot)),
                "snapshot": (snapshot,),
                "snapshot:Pin": (snapshot, None),
                "snapshot:CloseGate": tuple(one.snapshot for one in state.pins) or (snapshot,),
            }
            for snapshot in groups
        )
    )


_LONG = Windows(reuse=50, merges=5, exact=500)


def _drafts(state: State, snapshot: SnapshotId) -> Iterator[tuple[Draft, ...]]:
    """Yield batches that are logged, mostly, and batches of what is not."""
    scope, following = Scope(keys=len(KEYS)), end_of(state) + 1
    fresh, beside = draft(following, scope), draft(following + 1, scope)
    yield from ((fresh,), (fresh,), (draft(following, scope, snapshot),), (fresh, beside))
    yield (draft(1, scope),)
    yield (replace(draft(1, scope), reward=7),)
    yield (replace(fresh, source=Source.GATE),)
    yield (replace(fresh, reward=MOST + 1),)


def _corrected(
    logged: tuple[OutcomeId, ...], gone: tuple[OutcomeId, ...]
) -> Iterator[tuple[Correction, ...]]:
    """Yield corrections of what was logged last, mostly, and some that are refused."""
    nobody = Correction(outcome=OutcomeId("nobody"), key=KEYS[0], reward=-7)
    for name in (*logged[-2:], *logged[-2:], *gone[:1], nobody.outcome):
        one = replace(nobody, outcome=name)
        yield from ((one,), (replace(one, key=KEYS[1], reward=None),))
    yield (nobody, nobody)
    yield from ((replace(nobody, outcome=name, reward=MOST + 1),) for name in logged[-1:])
