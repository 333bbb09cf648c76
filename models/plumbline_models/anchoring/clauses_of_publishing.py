"""The clauses of anchoring about refreshes (chapter ``spec/anchoring.md``, "About refreshes")."""

from plumbline_models.anchoring import queries
from plumbline_models.anchoring.choosing import chosen
from plumbline_models.anchoring.values import (
    SPEC,
    Collect,
    Event,
    GateOpened,
    Ineligible,
    Live,
    OpenGate,
    Outcome,
    Record,
    Refresh,
    Refreshed,
    Refusal,
    Refused,
    Snapshot,
    State,
)
from plumbline_models.contract import StepClause, Witness
from plumbline_models.decisions.refreshing import Choice, Way

Clauses = tuple[StepClause[State, Event, Outcome], ...]


def about_publishing() -> Clauses:
    """Return the clauses about refreshes and what they publish."""
    return (*_about_choices(), *_about_snapshots())


def _about_choices() -> Clauses:
    return (
        StepClause(
            id="ANC-7",
            title="by the table",
            sentence="What a refresh does and why MUST be the first row of the table that holds,"
            " and a merge that may not be made MUST be refused with that row.",
            events=(Refresh, OpenGate),
            outcomes=(Refreshed, GateOpened, Ineligible),
            breaks=_by_the_table,
            inert=True,
        ),
        StepClause(
            id="ANC-8",
            title="the whole log",
            sentence="The current snapshot that a refresh leaves MUST hold the statistics of the"
            " whole log, whatever became of the live delta, the manifest or the log.",
            events=(Refresh, OpenGate),
            outcomes=(Refreshed, GateOpened),
            breaks=_the_whole_log,
            inert=True,
        ),
        StepClause(
            id="ANC-9",
            title="in time",
            sentence="When a refresh returns, there MUST NOT be more merges since the last exact"
            " rebuild than its windows allow, nor more seconds between its moment and that of the"
            " rebuild, whichever is later; 0 is a number of either.",
            events=(Refresh, OpenGate),
            outcomes=(Refreshed, GateOpened),
            breaks=_in_time,
            inert=True,
        ),
        StepClause(
            id="ANC-10",
            title="reused",
            sentence="A refresh that reuses the snapshot MUST leave everything as it is but for a"
            " pin, and that it reused it.",
            events=(Refresh, OpenGate),
            outcomes=(Refreshed, GateOpened),
            breaks=_reused,
        ),
        StepClause(
            id="ANC-42",
            title="remembered",
            sentence="Whether the last refresh reused the snapshot MUST be known until the next.",
            events=(Refresh, OpenGate),
            outcomes=(Refreshed, GateOpened),
            breaks=_remembered,
            inert=True,
        ),
        StepClause(
            id="ANC-11",
            title="compare and swap",
            sentence="A refresh that expects a snapshot MUST be refused if another one is current,"
            " and only then.",
            events=(Refresh,),
            breaks=_compare_and_swap,
            inert=True,
        ),
    )


def _about_snapshots() -> Clauses:
    return (
        StepClause(
            id="ANC-12",
            title="ascending",
            sentence="A snapshot that is published MUST have a greater id than every one before it,"
            " and MUST NOT count less of the log than the current one.",
            breaks=_ascending,
        ),
        StepClause(
            id="ANC-13",
            title="immutable",
            sentence="A snapshot that is stored MUST stay as it is until it is collected.",
            breaks=_immutable,
        ),
        StepClause(
            id="ANC-14",
            title="anchored anew",
            sentence="With a snapshot the live delta MUST be anchored to it, and MUST cover nothing"
            " behind its watermark.",
            events=(Refresh, OpenGate),
            outcomes=(Refreshed, GateOpened),
            breaks=_anchored_anew,
        ),
        StepClause(
            id="ANC-15",
            title="told truly",
            sentence="A refresh MUST say the snapshot that is current, the one before, the"
            " watermark, the rows that it read and wrote, what a rebuild began with, and, as a gate"
            " MUST too, which verdicts are doubted: whatever the reason is, those about the lineage"
            " of a snapshot that is known to be wrong.",
            events=(Refresh, OpenGate),
            outcomes=(Refreshed, GateOpened),
            breaks=_told_truly,
            inert=True,
        ),
        StepClause(
            id="ANC-40",
            title="says of itself",
            sentence="A snapshot that is published MUST say the chain of the log at its watermark,"
            " the epoch, the moment, the configuration and the current snapshot before it, and the"
            " way and the reason that the refresh says.",
            events=(Refresh, OpenGate),
            outcomes=(Refreshed, GateOpened),
            breaks=_says_of_itself,
        ),
        StepClause(
            id="ANC-16",
            title="extended",
            sentence="A logged outcome MUST be counted in a live delta that ends where the log did,"
            " and MUST leave any other as it is.",
            events=(Record,),
            breaks=_extended,
        ),
    )


def _witness(row: str, found: str, table: str = "snapshots") -> Witness:
    return Witness(table=table, row=row, found=found)


def _by_the_table(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del after
    assert isinstance(event, Refresh | OpenGate)
    assert isinstance(outcome, Refreshed | GateOpened | Ineligible)
    choice = chosen(SPEC, before, event)
    right = (choice.way if isinstance(choice, Choice) else None, choice.reason)
    said = (None if isinstance(outcome, Ineligible) else outcome.way, outcome.reason)
    if said != right:
        named = [
            f"{'refused' if way is None else way.value}: {reason.value}"
            for way, reason in (said, right)
        ]
        return _witness("the refresh", f"{named[0]}, by the table {named[1]}")
    return None


def _the_whole_log(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del before, event, outcome
    at = queries.current_of(after)
    if at is None:
        return _witness("the manifest", "names no snapshot", "manifest")
    if at.statistics != queries.recounted(after, queries.end_of(after)):
        return _witness(f"snapshot {at.id}", "does not hold the statistics of the whole log")
    return None


def _in_time(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del before, outcome
    assert isinstance(event, Refresh | OpenGate)
    at = queries.current_of(after)
    if at is None:
        return None
    windows, age = event.windows, abs(event.now - at.exact_at)
    if at.merged > windows.merges:
        found = f"{at.merged} merges since snapshot {at.exact}, at most {windows.merges}"
        return _witness(f"snapshot {at.id}", found)
    if age > windows.exact:
        found = f"{age} s from snapshot {at.exact}, at most {windows.exact}"
        return _witness(f"snapshot {at.id}", found)
    return None


def _reused(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    assert isinstance(outcome, Refreshed | GateOpened)
    if outcome.way is not Way.REUSED_SNAPSHOT:
        return None
    pins = before.pins == after.pins or isinstance(event, OpenGate)
    if not pins or _without_pins(before) != _without_pins(after):
        return _witness(f"snapshot {outcome.snapshot}", "is reused, and something is changed")
    return None


def _without_pins(state: State) -> tuple[object, ...]:
    return (
        state.log,
        state.truncated,
        state.epoch,
        state.snapshots,
        state.current,
        state.issued,
        state.live,
        state.verdicts,
    )


def _remembered(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del before, event
    assert isinstance(outcome, Refreshed | GateOpened)
    if after.reused is not (outcome.way is Way.REUSED_SNAPSHOT):
        found = "says" if after.reused else "does not say"
        return _witness("the manifest", f"{found} that the snapshot was reused", "manifest")
    return None


def _compare_and_swap(
    before: State, event: Event, outcome: Outcome, after: State
) -> Witness | None:
    del after
    assert isinstance(event, Refresh)
    other = event.expects is not None and event.expects != (before.current or 0)
    refused = outcome == Refused(reason=Refusal.SUPERSEDED)
    if other is not refused:
        found = (
            f"snapshot {event.expects} is expected, and it is {'refused' if refused else 'made'}"
        )
        return _witness("the manifest", f"names {before.current}; {found}", "manifest")
    return None


def _ascending(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del event, outcome
    old = {one.id for one in before.snapshots}
    highest, current = before.issued, queries.current_of(before)
    for one in after.snapshots:
        if one.id not in old and one.id <= highest:
            return _witness(f"snapshot {one.id}", f"is new, {highest} was issued before")
        if one.id not in old and current is not None and one.watermark < current.watermark:
            found = f"counts up to {one.watermark}, snapshot {current.id} to {current.watermark}"
            return _witness(f"snapshot {one.id}", found)
    return None


def _immutable(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del outcome
    now = {one.id: one for one in after.snapshots}
    for one in before.snapshots:
        if one.id in now and now[one.id] != one:
            return _witness(f"snapshot {one.id}", "is another one than it was")
        if one.id not in now and not isinstance(event, Collect):
            return _witness(f"snapshot {one.id}", f"is gone with {type(event).__name__}")
    return None


def _anchored_anew(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del event, outcome
    at = queries.current_of(after)
    if at is None or at.id == before.current:
        return None
    right = Live(anchor=at.id, epoch=after.epoch, lo=at.watermark, hi=at.watermark, chain=at.chain)
    if after.live != right:
        return _witness("the live delta", f"is not anchored to snapshot {at.id} and empty", "live")
    return None


def _told_truly(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    assert isinstance(event, Refresh | OpenGate)
    assert isinstance(outcome, Refreshed | GateOpened)
    at = queries.current_of(after)
    if at is None:
        return None
    doubted = _doubted(before, event) if outcome.way is Way.FULL_REBUILD else ()
    if outcome.doubted != doubted:
        found = f"doubted {outcome.doubted}, expected {doubted}"
        return _witness(f"snapshot {at.id}", found)
    return None if isinstance(outcome, GateOpened) else _told_of_rows(before, outcome, at)


def _told_of_rows(before: State, outcome: Refreshed, at: Snapshot) -> Witness | None:
    right = (at.id, before.current, at.watermark, *_rows(before, outcome.way, at))
    said = (
        outcome.snapshot,
        outcome.previous,
        outcome.watermark,
        outcome.rows_read,
        outcome.rows_written,
    )
    if said != right:
        return _witness(f"snapshot {at.id}", f"{said} is said, {right} is so")
    foundation = before.foundation if outcome.way is Way.FULL_REBUILD else None
    if outcome.foundation != foundation:
        found = f"foundation {outcome.foundation}, expected {foundation}"
        return _witness(f"snapshot {at.id}", found)
    return None


def _says_of_itself(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    assert isinstance(event, Refresh | OpenGate)
    assert isinstance(outcome, Refreshed | GateOpened)
    at = queries.current_of(after)
    if at is None or at.id == before.current:
        return None
    chain = queries.chain_at(before, at.watermark)
    said = (at.chain, at.epoch, at.generated_at, at.config, at.parent, at.way, at.reason)
    right = (
        chain,
        before.epoch,
        event.now,
        event.config,
        before.current,
        outcome.way,
        outcome.reason,
    )
    if said != right:
        return _witness(f"snapshot {at.id}", f"says {said} of itself, {right} is so")
    return None


def _rows(before: State, way: Way, made: Snapshot) -> tuple[int, int]:
    """Return the rows that are read and those that are written."""
    if way is Way.REUSED_SNAPSHOT:
        return 0, 0
    if way is Way.FULL_REBUILD:
        return len(before.log), len(made.statistics)
    delta = len(before.live.statistics) if isinstance(before.live, Live) else 0
    return delta, delta


def _doubted(before: State, event: Refresh | OpenGate) -> tuple[str, ...]:
    current = queries.current_of(before)
    if current is None or not queries.doubtful(before, event):
        return ()
    lineage = {one.id for one in before.snapshots if one.exact == current.exact}
    return tuple(one.gate for one in before.verdicts if one.snapshot in lineage)


def _extended(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del event, outcome
    live, end = before.live, queries.end_of(before)
    if not isinstance(live, Live) or live.chain != queries.chain_at(before, end):
        if after.live != live:
            return _witness("the live delta", "ends elsewhere, and is changed", "live")
        return None
    now = after.live
    same = isinstance(now, Live) and _beginning(now) == _beginning(live)
    if not isinstance(now, Live) or not same or now.hi != queries.end_of(after):
        return _witness("the live delta", "does not cover what was logged", "live")
    return None


def _beginning(live: Live) -> tuple[object, ...]:
    return live.anchor, live.epoch, live.lo
