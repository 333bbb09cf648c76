"""The step of anchoring (chapter ``spec/anchoring.md``, "Events")."""

from collections.abc import Iterable
from typing import assert_never

from msgspec.structs import replace

from plumbline_models.anchoring import queries
from plumbline_models.anchoring.choosing import chosen
from plumbline_models.anchoring.values import (
    Answer,
    Audit,
    Audited,
    Backfill,
    Backfilled,
    CloseGate,
    Collect,
    Collected,
    Correction,
    Credit,
    Credited,
    Draft,
    Drift,
    Epoch,
    Event,
    GateClosed,
    GateId,
    GateOpened,
    Ineligible,
    Known,
    Lease,
    Live,
    Logged,
    Lose,
    Loss,
    Lost,
    OpenGate,
    Outcome,
    OutcomeId,
    Pin,
    PinId,
    Pinned,
    Placed,
    Position,
    Record,
    Recorded,
    Refresh,
    Refreshed,
    Refusal,
    Refused,
    Rejected,
    Renew,
    Rewrite,
    Rewritten,
    Rules,
    Snapshot,
    SnapshotId,
    Source,
    State,
    Torn,
    Truncate,
    Truncated,
    Unpin,
    Unpinned,
    Verdict,
)
from plumbline_models.decisions.chaining import START, digest
from plumbline_models.decisions.refreshing import Choice, Way
from plumbline_models.decisions.statistics import is_reward


def step(rules: Rules, state: State, event: Event) -> tuple[State, Outcome]:
    """Apply one event.

    Total: every event in every state has an outcome. A refusal returns ``state`` itself.
    """
    match event:
        case Record():
            return _record(state, event)
        case Refresh():
            return _refresh(rules, state, event)
        case OpenGate():
            return _open_gate(rules, state, event)
        case Rewrite() | Backfill() | Truncate():
            return _about_the_log(state, event)
        case Pin() | Renew() | Unpin() | CloseGate() | Collect():
            return _about_pins(state, event)
        case Audit():
            return state, _audit(state)
        case Credit():
            return _credit(state, event)
        case Lose():
            return _lose(state, event)
        case _:
            assert_never(event)


def _about_the_log(state: State, event: Rewrite | Backfill | Truncate) -> tuple[State, Outcome]:
    match event:
        case Rewrite():
            return _rewrite(state, event)
        case Backfill():
            return _backfill(state, event)
        case Truncate():
            return _truncate(state, event)


def _about_pins(
    state: State, event: Pin | Renew | Unpin | CloseGate | Collect
) -> tuple[State, Outcome]:
    match event:
        case Pin():
            return _pin(state, event)
        case Renew():
            return _renew(state, event)
        case Unpin():
            return _unpin(state, event)
        case CloseGate():
            return _close_gate(state, event)
        case Collect():
            return _collect(state, event)


def _refused(state: State, reason: Refusal) -> tuple[State, Outcome]:
    return state, Refused(reason=reason)


# The log


def _record(state: State, event: Record) -> tuple[State, Outcome]:
    if not event.drafts:
        return _refused(state, Refusal.EMPTY_BATCH)
    answers: list[Answer] = []
    for draft in event.drafts:
        state, answer = _log(state, draft)
        answers.append(answer)
    return state, Recorded(answers=tuple(answers))


def _log(state: State, draft: Draft) -> tuple[State, Answer]:
    """Log one outcome, and count it in the live delta if that ends where the log does."""
    known = queries.known_of(state, draft.outcome)
    if known is not None and known.digest == digest(draft):
        return state, Placed(position=known.position, repeated=True)
    if known is not None:
        return state, Rejected(reason=Refusal.OUTCOME_CONFLICT)
    if draft.source is Source.GATE:
        return state, Rejected(reason=Refusal.GATE_OUTCOME)
    if not is_reward(draft.reward):
        return state, Rejected(reason=Refusal.REWARD_OUT_OF_RANGE)
    if draft.under is not None and not 0 < draft.under <= state.issued:
        return state, Rejected(reason=Refusal.UNKNOWN_SNAPSHOT)
    row = _row(state, draft)
    return replace(state, log=(*state.log, row), live=extended(state, row)), Placed(
        position=row.position
    )


def _row(state: State, draft: Draft) -> Logged:
    end = queries.end_of(state)
    row = Logged(
        position=Position(end + 1),
        outcome=draft.outcome,
        key=draft.key,
        reward=draft.reward,
        source=draft.source,
        under=draft.under,
        epoch=state.epoch,
        digest=digest(draft),
        chain="",
    )
    before = queries.chain_at(state, end)
    assert before is not None
    return replace(row, chain=queries.chain_of(row, before))


def extended(state: State, row: Logged) -> Live | Torn | None:
    """Return the live delta with a row, if it covers the log up to there; else as it is."""
    live = state.live
    if not isinstance(live, Live) or live.hi != row.position - 1:
        return live
    if live.chain != queries.chain_at(state, live.hi):
        return live
    counted = queries.merged(live.statistics, queries.fold((row,)))
    return replace(live, hi=row.position, chain=row.chain, statistics=counted)


def _rewrite(state: State, event: Rewrite) -> tuple[State, Outcome]:
    names = [one.outcome for one in event.corrections]
    if not names:
        return _refused(state, Refusal.EMPTY_BATCH)
    if len(set(names)) < len(names):
        return _refused(state, Refusal.REPEATED_OUTCOME)
    for one in event.corrections:
        reason = _uncorrectable(state, one)
        if reason is not None:
            return _refused(state, reason)
    by_outcome = {one.outcome: one for one in event.corrections}
    changed = sum(_corrected(row, by_outcome, row.epoch) != row for row in state.log)
    if not changed:
        return state, Rewritten(epoch=state.epoch, changed=0)
    epoch = Epoch(state.epoch + 1)
    rows = tuple(_corrected(row, by_outcome, epoch) for row in state.log)
    after = replace(state, epoch=epoch, log=rechained(state, rows))
    return after, Rewritten(epoch=epoch, changed=changed)


def _uncorrectable(state: State, one: Correction) -> Refusal | None:
    known = queries.known_of(state, one.outcome)
    if known is None:
        return Refusal.UNKNOWN_OUTCOME
    if isinstance(known, Known):
        return Refusal.TRUNCATED_OUTCOME
    if one.reward is not None and not is_reward(one.reward):
        return Refusal.REWARD_OUT_OF_RANGE
    return None


def _corrected(row: Logged, corrections: dict[OutcomeId, Correction], epoch: Epoch) -> Logged:
    one = corrections.get(row.outcome)
    if one is None or (row.key, row.reward) == (one.key, one.reward):
        return row
    return replace(row, key=one.key, reward=one.reward, epoch=epoch)


def rechained(state: State, rows: Iterable[Logged]) -> tuple[Logged, ...]:
    """Return rows with the chain that they make behind the foundation."""
    chain = queries.chain_at(state, queries.beginning_of(state))
    assert chain is not None
    found: list[Logged] = []
    for row in rows:
        chain = queries.chain_of(row, chain)
        found.append(replace(row, chain=chain))
    return tuple(found)


def _backfill(state: State, event: Backfill) -> tuple[State, Outcome]:
    known = queries.known_of(state, event.outcome)
    if known is None:
        return _refused(state, Refusal.UNKNOWN_OUTCOME)
    if isinstance(known, Known):
        return _refused(state, Refusal.TRUNCATED_OUTCOME)
    rows = (
        replace(row, reward=event.reward) if row.outcome == event.outcome else row
        for row in state.log
    )
    return replace(state, log=rechained(state, rows)), Backfilled()


def _truncate(state: State, event: Truncate) -> tuple[State, Outcome]:
    at = queries.snapshot_of(state, event.snapshot)
    if at is None:
        return _refused(state, Refusal.UNKNOWN_SNAPSHOT)
    reason = _untruncatable(state, at)
    if reason is not None:
        return _refused(state, reason)
    gone = tuple(row for row in state.log if row.position <= at.watermark)
    left = tuple(row for row in state.log if row.position > at.watermark)
    names = tuple(
        Known(position=row.position, outcome=row.outcome, digest=row.digest) for row in gone
    )
    after = replace(
        state, log=left, truncated=(*state.truncated, *names), foundation=event.snapshot
    )
    return after, Truncated(removed=len(gone))


def _untruncatable(state: State, at: Snapshot) -> Refusal | None:
    guards = (
        (Refusal.MANIFEST_INVALID, state.current is None),
        (Refusal.NOT_EXACT, at.way is not Way.FULL_REBUILD),
        (Refusal.OLD_EPOCH, at.epoch != state.epoch),
        (Refusal.BELOW_FOUNDATION, at.watermark < queries.beginning_of(state)),
        (Refusal.DRIFTED, queries.chain_at(state, at.watermark) != at.chain),
    )
    return next((reason for reason, holds in guards if holds), None)


# Refreshing


def _refresh(rules: Rules, state: State, event: Refresh) -> tuple[State, Outcome]:
    if event.expects is not None and event.expects != (state.current or 0):
        return _refused(state, Refusal.SUPERSEDED)
    return refreshed(rules, state, event)


def refreshed(
    rules: Rules, state: State, event: Refresh | OpenGate
) -> tuple[State, Refreshed | Ineligible]:
    """Return the state after a refresh, and what it did."""
    choice = chosen(rules, state, event)
    if not isinstance(choice, Choice):
        return state, Ineligible(reason=choice.reason)
    current = queries.current_of(state)
    if choice.way is Way.REUSED_SNAPSHOT:
        assert current is not None
        return replace(state, reused=True), Refreshed(
            way=choice.way,
            reason=choice.reason,
            snapshot=current.id,
            previous=current.id,
            watermark=current.watermark,
            rows_read=0,
            rows_written=0,
        )
    made = _made(state, event, choice, current)
    doubted = rules.chains and made.way is Way.FULL_REBUILD and queries.doubtful(state, event)
    gates = _judged_by_lineage(state) if doubted else ()
    return _published(state, made), _said(state, made, gates)


def _made(
    state: State, event: Refresh | OpenGate, choice: Choice, current: Snapshot | None
) -> Snapshot:
    """Return the snapshot that is published: the live delta merged into the current, or all anew.

    A merge ends where the live delta does.
    """
    name, full = SnapshotId(state.issued + 1), choice.way is Way.FULL_REBUILD
    live, end = state.live, queries.end_of(state)
    watermark, statistics = end, queries.recounted(state, end)
    if not full:
        assert current is not None
        assert isinstance(live, Live)
        watermark, statistics = live.hi, queries.merged(current.statistics, live.statistics)
    chain = queries.chain_at(state, watermark)
    return Snapshot(
        id=name,
        epoch=state.epoch,
        watermark=watermark,
        chain=START if chain is None else chain,
        statistics=statistics,
        way=choice.way,
        reason=choice.reason,
        parent=state.current,
        exact=name if full or current is None else current.exact,
        merged=0 if full or current is None else current.merged + 1,
        generated_at=event.now,
        exact_at=event.now if full or current is None else current.exact_at,
        config=event.config,
    )


def _published(state: State, made: Snapshot) -> State:
    """Return the state with a new current snapshot and an empty delta that is anchored to it."""
    live = Live(
        anchor=made.id,
        epoch=made.epoch,
        lo=made.watermark,
        hi=made.watermark,
        chain=made.chain,
    )
    snapshots = (*state.snapshots, made)
    return replace(
        state, snapshots=snapshots, current=made.id, issued=made.id, reused=False, live=live
    )


def _said(state: State, made: Snapshot, doubted: tuple[GateId, ...]) -> Refreshed:
    full, live = made.way is Way.FULL_REBUILD, state.live
    delta = live.statistics if isinstance(live, Live) else ()
    return Refreshed(
        way=made.way,
        reason=made.reason,
        snapshot=made.id,
        previous=state.current,
        watermark=made.watermark,
        rows_read=len(state.log) if full else len(delta),
        rows_written=len(made.statistics) if full else len(delta),
        foundation=state.foundation if full else None,
        doubted=doubted,
    )


def _judged_by_lineage(state: State) -> tuple[GateId, ...]:
    """Return the gates with a verdict about a snapshot of the current lineage."""
    current = queries.current_of(state)
    assert current is not None
    lineage = {one.id for one in state.snapshots if one.exact == current.exact}
    return tuple(one.gate for one in state.verdicts if one.snapshot in lineage)


# Pins and gates


def _with_pin(state: State, pin: Lease) -> State:
    pins = sorted((*_others(state, pin.id), pin), key=lambda one: one.id)
    return replace(state, pins=tuple(pins))


def _others(state: State, pin: PinId) -> tuple[Lease, ...]:
    return tuple(one for one in state.pins if one.id != pin)


def _over(expires: int | None, now: int) -> bool:
    return expires is not None and expires <= now


def _pin(state: State, event: Pin) -> tuple[State, Outcome]:
    if queries.pin_of(state, event.pin) is not None:
        return _refused(state, Refusal.PIN_EXISTS)
    if _over(event.expires, event.now):
        return _refused(state, Refusal.LEASE_OVER)
    wanted = state.current if event.snapshot is None else event.snapshot
    at = queries.snapshot_of(state, wanted)
    if at is None:
        return _refused(state, Refusal.UNKNOWN_SNAPSHOT)
    pin = Lease(id=event.pin, snapshot=at.id, owner=event.owner, expires=event.expires)
    return _with_pin(state, pin), Pinned(snapshot=at.id)


def _renew(state: State, event: Renew) -> tuple[State, Outcome]:
    pin = queries.pin_of(state, event.pin)
    if pin is None:
        return _refused(state, Refusal.UNKNOWN_PIN)
    if _over(event.expires, event.now):
        return _refused(state, Refusal.LEASE_OVER)
    return _with_pin(state, replace(pin, expires=event.expires)), Pinned(snapshot=pin.snapshot)


def _unpin(state: State, event: Unpin) -> tuple[State, Outcome]:
    pin = queries.pin_of(state, event.pin)
    if pin is None:
        return _refused(state, Refusal.UNKNOWN_PIN)
    return replace(state, pins=_others(state, pin.id)), Unpinned(snapshot=pin.snapshot)


def _open_gate(rules: Rules, state: State, event: OpenGate) -> tuple[State, Outcome]:
    pin = PinId(event.gate)
    judged = any(one.gate == event.gate for one in state.verdicts)
    if judged or queries.pin_of(state, pin) is not None:
        return _refused(state, Refusal.GATE_EXISTS)
    if _over(event.expires, event.now):
        return _refused(state, Refusal.LEASE_OVER)
    after, done = refreshed(rules, state, event)
    if isinstance(done, Ineligible):
        return state, done
    lease = Lease(
        id=pin, snapshot=done.snapshot, owner=event.owner, expires=event.expires, gate=True
    )
    return _with_pin(after, lease), GateOpened(
        snapshot=done.snapshot, way=done.way, reason=done.reason, doubted=done.doubted
    )


def _close_gate(state: State, event: CloseGate) -> tuple[State, Outcome]:
    if any(one.gate == event.gate for one in state.verdicts):
        return _refused(state, Refusal.GATE_EXISTS)
    pin = queries.pin_of(state, PinId(event.gate))
    if pin is None or not pin.gate or pin.snapshot != event.snapshot:
        return _refused(state, Refusal.NOT_PINNED)
    verdict = Verdict(
        gate=event.gate,
        snapshot=pin.snapshot,
        candidate=event.candidate,
        result=event.result,
        promoted=event.promoted,
    )
    verdicts = sorted((*state.verdicts, verdict), key=lambda one: one.gate)
    after = replace(state, pins=_others(state, pin.id), verdicts=tuple(verdicts))
    return after, GateClosed(snapshot=pin.snapshot)


def _collect(state: State, event: Collect) -> tuple[State, Outcome]:
    pins = tuple(one for one in state.pins if not _over(one.expires, event.now))
    expired = tuple(one.id for one in state.pins if one not in pins)
    needed = spared(replace(state, pins=pins), event.keep)
    left = tuple(one for one in state.snapshots if one.id in needed)
    gone = tuple(one.id for one in state.snapshots if one.id not in needed)
    if not gone and not expired:
        return state, Collected(snapshots=(), pins=())
    return replace(state, pins=pins, snapshots=left), Collected(snapshots=gone, pins=expired)


def spared(state: State, keep: int) -> frozenset[SnapshotId]:
    """Return the snapshots that somebody needs, and those that they are built on."""
    newest = state.snapshots[len(state.snapshots) - min(keep, len(state.snapshots)) :]
    needed = {
        state.current,
        state.foundation,
        *(one.id for one in newest),
        *(one.snapshot for one in state.pins),
        *(one.snapshot for one in state.verdicts),
    }
    built_on = {
        one.id
        for one in state.snapshots
        for other in state.snapshots
        if other.id in needed and other.exact == one.exact and one.id <= other.id
    }
    return frozenset(built_on)


# Questions, and what the environment does


def _audit(state: State) -> Audited:
    judged = [one for one in state.snapshots if queries.comparable(state, one)]
    return Audited(
        judged=len(judged),
        drifted=tuple(_drift(state, one) for one in judged if queries.drifted(state, one)),
        live_drifted=queries.live_drifted(state),
    )


def _drift(state: State, one: Snapshot) -> Drift:
    return Drift(
        snapshot=one.id,
        superseded_by=queries.superseding(state, one),
        gates=tuple(each.gate for each in state.verdicts if each.snapshot == one.id),
        pins=tuple(each.id for each in state.pins if each.snapshot == one.id),
    )


def _credit(state: State, event: Credit) -> tuple[State, Outcome]:
    if not 0 < event.snapshot <= state.issued:
        return _refused(state, Refusal.UNKNOWN_SNAPSHOT)
    rows = (row for row in state.log if row.under == event.snapshot)
    return state, Credited(statistics=queries.fold(rows))


def _lose(state: State, event: Lose) -> tuple[State, Outcome]:
    if event.what is Loss.MANIFEST:
        if state.current is None:
            return _refused(state, Refusal.NOTHING_TO_LOSE)
        return replace(state, current=None), Lost()
    live = state.live
    if not isinstance(live, Live):
        if live is None or event.what is not Loss.LIVE_ABSENT:
            return _refused(state, Refusal.NOTHING_TO_LOSE)
        return replace(state, live=None), Lost()
    left = damaged(state, live, event.what)
    if left == live:
        return _refused(state, Refusal.NOTHING_TO_LOSE)
    return replace(state, live=left), Lost()


def damaged(state: State, live: Live, what: Loss) -> Live | Torn | None:
    """Return what is left of a live delta."""
    match what:
        case Loss.LIVE_ABSENT | Loss.MANIFEST:
            return None
        case Loss.LIVE_TORN:
            return Torn()
        case Loss.LIVE_STALE:
            at = queries.snapshot_of(state, live.anchor)
            if at is None or at.watermark != live.lo:
                return live
            return replace(live, hi=live.lo, chain=at.chain, statistics=())
        case Loss.LIVE_FOREIGN:
            at = queries.snapshot_of(state, live.anchor)
            other = None if at is None else at.parent
            return replace(live, anchor=SnapshotId(0) if other is None else other)
