"""The clauses of anchoring about the log, pins and gates (chapter ``spec/anchoring.md``)."""

from collections.abc import Mapping

from msgspec.structs import replace

from plumbline_models.anchoring import queries
from plumbline_models.anchoring.values import (
    Audit,
    Audited,
    Backfill,
    CloseGate,
    Collect,
    Collected,
    Credit,
    Credited,
    Draft,
    Drift,
    Event,
    GateClosed,
    GateOpened,
    Ineligible,
    Known,
    Lease,
    Logged,
    Lose,
    OpenGate,
    Outcome,
    Pin,
    PinId,
    Pinned,
    Placed,
    Record,
    Recorded,
    Refresh,
    Refused,
    Rejected,
    Renew,
    Rewrite,
    Rewritten,
    SnapshotId,
    Source,
    State,
    Truncate,
    Truncated,
    Unpin,
    Unpinned,
    Verdict,
)
from plumbline_models.contract import StepClause, Witness
from plumbline_models.decisions.chaining import digest
from plumbline_models.decisions.refreshing import Way
from plumbline_models.decisions.statistics import MOST

Clauses = tuple[StepClause[State, Event, Outcome], ...]


def about_reading() -> Clauses:
    """Return the clauses about the log, and about those who read snapshots."""
    return (*_about_the_log(), *_about_readers(), *_about_answers())


def _about_the_log() -> Clauses:
    return (
        StepClause(
            id="ANC-17",
            title="as it was handed",
            sentence="A new outcome MUST be logged behind all others, in this epoch, as it was"
            " handed, however late it comes, unless it is of a gate's run, its reward is out of"
            " range, or its snapshot never was; the same one again MUST be answered with its"
            " position, and the id with anything else MUST be rejected.",
            events=(Record,),
            outcomes=(Recorded,),
            breaks=_as_it_was_handed,
            inert=True,
        ),
        StepClause(
            id="ANC-18",
            title="neutral",
            sentence="What reads snapshots or publishes them, a gate too, MUST leave the log and"
            " its epoch.",
            breaks=_neutral,
        ),
        StepClause(
            id="ANC-19",
            title="rewritten",
            sentence="A rewriting MUST change the key and the reward of the rows that it names and"
            " nothing else, and MUST begin an epoch if any of them is changed.",
            events=(Rewrite,),
            outcomes=(Rewritten,),
            breaks=_rewritten,
            inert=True,
        ),
        StepClause(
            id="ANC-20",
            title="truncated",
            sentence="A truncation MUST drop the rows that an exact snapshot counts, of this epoch"
            " and of this log, and no others, and what is left MUST know their outcomes.",
            events=(Truncate,),
            outcomes=(Truncated,),
            breaks=_truncated,
            inert=True,
        ),
    )


def _about_readers() -> Clauses:
    return (
        StepClause(
            id="ANC-21",
            title="pinned in one step",
            sentence="A gate that opens MUST go by the snapshot that is current when it has"
            " refreshed, and that one MUST be pinned for it.",
            events=(OpenGate,),
            outcomes=(GateOpened,),
            breaks=_pinned_in_one_step,
            inert=True,
        ),
        StepClause(
            id="ANC-22",
            title="judged",
            sentence="A verdict MUST name the snapshot that its gate went by, which is pinned for"
            " it still, with what the gate said of the candidate, and the pin MUST go.",
            events=(CloseGate,),
            outcomes=(GateClosed,),
            breaks=_judged,
            inert=True,
        ),
        StepClause(
            id="ANC-23",
            title="verdicts stay",
            sentence="A verdict MUST NOT be changed or go.",
            breaks=_verdicts_stay,
        ),
        StepClause(
            id="ANC-24",
            title="collected",
            sentence="A collection MUST let pins go whose lease is over, and every snapshot but"
            " those that are current, among the newest that stay, pinned, judged, the foundation of"
            " the log, or what one of these was merged from.",
            events=(Collect,),
            outcomes=(Collected,),
            breaks=_collected,
            inert=True,
        ),
        StepClause(
            id="ANC-25",
            title="held",
            sentence="A pin MUST hold the snapshot that was asked for until its lease is over or it"
            " is let go, and MUST be changed by nobody who does not name it.",
            events=(Pin, Renew, Unpin),
            outcomes=(Pinned, Unpinned),
            breaks=_held,
            inert=True,
        ),
    )


def _about_answers() -> Clauses:
    return (
        StepClause(
            id="ANC-26",
            title="audited",
            sentence="An audit MUST name the snapshots of this epoch, and the live delta, that are"
            " not what the log makes, and no others, and of each such snapshot the next exact one"
            " that is, the gates that judged by it and the pins that hold it.",
            events=(Audit,),
            outcomes=(Audited,),
            breaks=_audited,
            inert=True,
        ),
        StepClause(
            id="ANC-27",
            title="credited",
            sentence="An outcome MUST be credited to the snapshot that it was decided under, and to"
            " no other.",
            events=(Credit,),
            outcomes=(Credited,),
            breaks=_credited,
            inert=True,
        ),
        StepClause(
            id="ANC-41",
            title="the rest",
            sentence="An event MUST leave what it is not about: each has its parts of the state,"
            " and what reads and publishes leaves the log besides.",
            breaks=_the_rest,
        ),
        StepClause(
            id="ANC-28",
            title="nothing is done",
            sentence="A refusal, a merge that may not be made, an audit and a question MUST leave"
            " everything.",
            outcomes=(Refused, Ineligible, Audited, Credited),
            breaks=_nothing_done,
            inert=True,
        ),
    )


THE_LOG = ("log", "truncated", "foundation", "epoch")
PARTS: Mapping[type, tuple[str, ...]] = {
    Record: ("log", "live"),
    Rewrite: ("log", "epoch"),
    Truncate: ("log", "truncated", "foundation"),
    Backfill: ("log",),
    Refresh: ("snapshots", "current", "issued", "reused", "live", *THE_LOG),
    OpenGate: ("snapshots", "current", "issued", "reused", "live", "pins", *THE_LOG),
    CloseGate: ("pins", "verdicts", *THE_LOG),
    Collect: ("pins", "snapshots", *THE_LOG),
    Pin: ("pins", *THE_LOG),
    Renew: ("pins", *THE_LOG),
    Unpin: ("pins", *THE_LOG),
    Lose: ("live", "current", *THE_LOG),
    Audit: THE_LOG,
    Credit: THE_LOG,
}
"""What ANC-41 leaves to other clauses: the parts that an event is about, and of those that are not
about the log, the log, of which ANC-18 speaks."""


def _witness(row: str, found: str, table: str = "log") -> Witness:
    return Witness(table=table, row=row, found=found)


def _as_it_was_handed(
    before: State, event: Event, outcome: Outcome, after: State
) -> Witness | None:
    assert isinstance(event, Record)
    assert isinstance(outcome, Recorded)
    stored: tuple[Known | Logged, ...] = (*before.truncated, *before.log)
    known = {one.outcome: one for one in stored}
    rows: list[Logged] = []
    for draft, answer in zip(event.drafts, outcome.answers, strict=True):
        at = known.get(draft.outcome)
        placed = isinstance(answer, Placed)
        if at is not None and placed is not (at.digest == digest(draft)):
            return _witness(f"outcome {draft.outcome}", "is answered as another one than it is")
        if at is not None and isinstance(answer, Placed) and answer.position != at.position:
            found = f"is answered with {answer.position}, and is at {at.position}"
            return _witness(f"outcome {draft.outcome}", found)
        if at is None and (isinstance(answer, Rejected) is not _unfit(draft, before)):
            return _witness(f"outcome {draft.outcome}", f"is new, and is answered with {answer}")
        if at is None and isinstance(answer, Placed):
            row = next((one for one in after.log if one.position == answer.position), None)
            wrong = _unlike(draft, row, before)
            if wrong or row is None:
                return _witness(f"outcome {draft.outcome}", wrong)
            known[draft.outcome] = row
            rows.append(row)
    if after.log != (*before.log, *rows) or after.epoch != before.epoch:
        return _witness("the log", "is not what it was with the new outcomes behind it")
    return None


def _unfit(draft: Draft, before: State) -> bool:
    """Tell whether a new outcome is one that is not logged."""
    never = draft.under is not None and not 1 <= draft.under <= before.issued
    return draft.source is Source.GATE or abs(draft.reward) > MOST or never


def _unlike(draft: Draft, row: Logged | None, before: State) -> str:
    """Say what of a row is not as it was handed; "" when all is."""
    if row is None:
        return "is answered as logged, and is not there"
    handed = (draft.outcome, draft.key, draft.reward, draft.source, draft.under, before.epoch)
    logged = (row.outcome, row.key, row.reward, row.source, row.under, row.epoch)
    return "" if handed == logged else f"{logged} is logged, {handed} was handed"


def _neutral(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del outcome
    if isinstance(event, Record | Rewrite | Truncate | Backfill):
        return None
    was = (before.log, before.truncated, before.foundation, before.epoch)
    if was != (after.log, after.truncated, after.foundation, after.epoch):
        return _witness("the log", f"is changed by {type(event).__name__}")
    return None


def _rewritten(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    assert isinstance(event, Rewrite)
    assert isinstance(outcome, Rewritten)
    wanted = {one.outcome: (one.key, one.reward) for one in event.corrections}
    changed = 0
    for was, now in zip(before.log, after.log, strict=True):
        right = wanted.get(was.outcome, (was.key, was.reward))
        changed += right != (was.key, was.reward)
        if (now.key, now.reward) != right or _fixed(was) != _fixed(now):
            return _witness(f"outcome {was.outcome}", "is not as the rewriting says")
    epoch = before.epoch + (1 if changed else 0)
    if (outcome.epoch, outcome.changed, after.epoch) != (epoch, changed, epoch):
        found = f"{outcome.changed} changed and epoch {after.epoch}, expected {changed} and {epoch}"
        return _witness("the log", found)
    return None


def _fixed(row: Logged) -> tuple[object, ...]:
    return row.position, row.outcome, row.source, row.under, row.digest


def _truncated(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    assert isinstance(event, Truncate)
    assert isinstance(outcome, Truncated)
    row = f"snapshot {event.snapshot}"
    at = queries.snapshot_of(before, event.snapshot)
    if at is None or at.way is not Way.FULL_REBUILD or at.epoch != before.epoch:
        return _witness(row, "is not exact, or not of this epoch", "snapshots")
    if queries.chain_at(before, at.watermark) != at.chain:
        return _witness(row, "is of another log", "snapshots")
    if after.log != tuple(one for one in before.log if one.position > at.watermark):
        return _witness(row, f"counts up to {at.watermark}, and other rows are left")
    gone = [one for one in before.log if one.position <= at.watermark]
    known = [(one.position, one.outcome, one.digest) for one in after.truncated]
    if known[len(before.truncated) :] != [
        (one.position, one.outcome, one.digest) for one in gone
    ] or outcome.removed != len(gone):
        return _witness(row, "the outcomes that it counts are not known any more", "truncated")
    return None


def _pinned_in_one_step(
    before: State, event: Event, outcome: Outcome, after: State
) -> Witness | None:
    assert isinstance(event, OpenGate)
    assert isinstance(outcome, GateOpened)
    row, pin = f"gate {event.gate}", queries.pin_of(after, PinId(event.gate))
    if outcome.snapshot != after.current:
        return _witness(row, f"goes by {outcome.snapshot}, current is {after.current}", "pins")
    right = Lease(
        id=PinId(event.gate),
        snapshot=outcome.snapshot,
        owner=event.owner,
        expires=event.expires,
        gate=True,
    )
    if pin != right or len(after.pins) != len(before.pins) + 1:
        return _witness(row, f"snapshot {outcome.snapshot} is not pinned for it", "pins")
    return None


def _judged(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    assert isinstance(event, CloseGate)
    assert isinstance(outcome, GateClosed)
    row, pin = f"gate {event.gate}", queries.pin_of(before, PinId(event.gate))
    if pin is None or not pin.gate or queries.pin_of(after, pin.id) is not None:
        return _witness(row, "was not pinned, or is so still", "pins")
    right = Verdict(
        gate=event.gate,
        snapshot=pin.snapshot,
        candidate=event.candidate,
        result=event.result,
        promoted=event.promoted,
    )
    if pin.snapshot != event.snapshot:
        return _witness(row, f"went by {event.snapshot}, pinned is {pin.snapshot}", "pins")
    if right not in after.verdicts or outcome.snapshot != pin.snapshot:
        return _witness(row, f"its verdict is not about snapshot {pin.snapshot}", "verdicts")
    return None


def _verdicts_stay(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del event, outcome
    for one in before.verdicts:
        if one not in after.verdicts:
            return _witness(f"gate {one.gate}", "its verdict is another one or gone", "verdicts")
    return None


def _collected(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    assert isinstance(event, Collect)
    assert isinstance(outcome, Collected)
    held = [one for one in before.pins if one.expires is None or one.expires > event.now]
    if list(after.pins) != held:
        return _witness("the pins", "are not those whose lease is not over", "pins")
    needed = _needed(before, held, event.keep)
    for one in before.snapshots:
        there = queries.snapshot_of(after, one.id) is not None
        if there is not (one.id in needed) or there is (one.id in outcome.snapshots):
            found = "is needed, and is gone" if one.id in needed else "is needed by nobody"
            return _witness(f"snapshot {one.id}", found, "snapshots")
    return None


def _needed(before: State, held: list[Lease], keep: int) -> set[int | None]:
    """Return what is needed, each with all that it was merged from, one parent after the other."""
    ids = [one.id for one in before.snapshots]
    asked: list[int | None] = [
        before.current,
        before.foundation,
        *(ids[-keep:] if keep else ()),
        *(one.snapshot for one in held),
        *(one.snapshot for one in before.verdicts),
    ]
    needed = set[int | None]()
    while asked:
        name = asked.pop()
        at = next((one for one in before.snapshots if one.id == name), None)
        if at is not None:
            needed.add(name)
            asked += [at.parent] if at.way is Way.DELTA_MERGE else []
    return needed


def _held(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    assert isinstance(event, Pin | Renew | Unpin)
    assert isinstance(outcome, Pinned | Unpinned)
    others = [one for one in before.pins if one.id != event.pin]
    if [one for one in after.pins if one.id != event.pin] != others:
        return _witness(f"pin {event.pin}", "others are changed with it", "pins")
    was, now = queries.pin_of(before, event.pin), queries.pin_of(after, event.pin)
    right = _asked(before, event, was)
    holding = was if right is None else right
    if now != right or holding is None or outcome.snapshot != holding.snapshot:
        return _witness(f"pin {event.pin}", "does not hold what was asked for", "pins")
    return None


def _asked(before: State, event: Pin | Renew | Unpin, was: Lease | None) -> Lease | None:
    """Return the pin that an event asks for; None when it asks for none."""
    match event:
        case Unpin():
            return None
        case Renew():
            return None if was is None else replace(was, expires=event.expires)
        case Pin():
            snapshot = before.current if event.snapshot is None else event.snapshot
            if snapshot is None:
                return None
            return Lease(id=event.pin, snapshot=snapshot, owner=event.owner, expires=event.expires)


def _audited(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del event, after
    assert isinstance(outcome, Audited)
    judged = [one for one in before.snapshots if queries.comparable(before, one)]
    wrong = {one.id for one in judged if queries.drifted(before, one)}
    named = [one.snapshot for one in outcome.drifted]
    if (outcome.judged, named) != (len(judged), sorted(wrong)):
        found = f"{outcome.judged} judged and {named} drifted"
        right = f"{len(judged)} and {sorted(wrong)}"
        return _witness("the audit", f"{found}, expected {right}", "snapshots")
    exact = {one.exact for one in judged} - wrong
    for one in outcome.drifted:
        concerned = _concerned(before, one, exact)
        if one != concerned:
            row = f"snapshot {one.snapshot}"
            return _witness(row, f"{one} is said, {concerned} is so", "snapshots")
    if outcome.live_drifted is not queries.live_drifted(before):
        return _witness("the audit", "says the opposite of the live delta", "live")
    return None


def _concerned(before: State, one: Drift, exact: set[SnapshotId]) -> Drift:
    """Return what is to be said of a snapshot that has drifted, given the exact ones that hold."""
    holders = [(each.snapshot, each.id) for each in before.pins]
    judges = [(each.snapshot, each.gate) for each in before.verdicts]
    return Drift(
        snapshot=one.snapshot,
        superseded_by=min((each for each in exact if each > one.snapshot), default=None),
        gates=tuple(gate for at, gate in judges if at == one.snapshot),
        pins=tuple(pin for at, pin in holders if at == one.snapshot),
    )


def _credited(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del after
    assert isinstance(event, Credit)
    assert isinstance(outcome, Credited)
    right = queries.fold(one for one in before.log if one.under == event.snapshot)
    if outcome.statistics != right:
        row = f"snapshot {event.snapshot}"
        return _witness(row, "is credited with other outcomes than its own")
    return None


def _the_rest(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del outcome
    for part in State.__struct_fields__:
        if part not in PARTS[type(event)] and getattr(before, part) != getattr(after, part):
            return _witness(part, f"is changed by {type(event).__name__}", part)
    return None


def _nothing_done(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del event
    if after != before:
        return _witness("the state", f"is changed by {type(outcome).__name__}", "")
    return None
