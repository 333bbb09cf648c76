"""What people see of snapshots: reports as lines, the status of a database, lines of outcomes."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table
from rich.text import Text

from plumbline.outcome_log import NewLines, RecordReport
from plumbline.screen import console, printable
from plumbline.snapshot_reasons import INELIGIBLE, Refusing
from plumbline.snapshot_status import (
    AuditReport,
    KeyStatus,
    PinStatus,
    Published,
    StatusReport,
    VerdictStatus,
)
from plumbline_models.anchoring import Drift

MAX_LINES: Final = 20
"""Lines that are named of those repeated, and of those rejected, and runs of new ones."""


def show_fields(report: Struct) -> None:
    """Show a report, one field a line, under the names that its JSON has."""
    out = console()
    fields: dict[str, object] = msgspec.to_builtins(report)
    for name, value in fields.items():
        out.print(Text(f"{name}: {_said(value)}"), soft_wrap=True)


def show_audit(found: AuditReport) -> None:
    """Show what a recount found, and whom it concerns."""
    out = console()
    out.print(f"{_count(found.judged, 'snapshot')} of this epoch recounted", soft_wrap=True)
    for one in found.drifted:
        out.print(Text(f"snapshot {one.snapshot} {_drifted(one)}"), soft_wrap=True)
    if found.live_drifted:
        out.print("the live delta is not what the log makes of what it covers", soft_wrap=True)
    if found.repairable:
        out.print("plumbline snapshot refresh --drift publishes what the log makes", soft_wrap=True)
    elif not found.holds:
        out.print(_LET_GO, soft_wrap=True)
    elif not found.judged:
        out.print("there is nothing to compare", soft_wrap=True)
    elif not found.drifted:
        out.print("everything is what the log makes", soft_wrap=True)


def _drifted(one: Drift) -> str:
    by = "by nothing yet" if one.superseded_by is None else f"by snapshot {one.superseded_by}"
    said = f"is not what the log makes; it is superseded {by}"
    for who, names in (("judged by", one.gates), ("held by", one.pins)):
        said += f"; {who} {', '.join(map(printable, names))}" if names else ""
    return said


_LET_GO: Final = (
    "whoever holds it can let it go: plumbline snapshot unpin DATABASE PIN, or gc where leases are"
    " over"
)


def show_refusing(found: Refusing) -> None:
    """Show why something was refused."""
    said = f": {found.refused}: {found.because}; nothing was changed"
    console().print(Text("refused", style="yellow") + Text(said), soft_wrap=True)


def show_record(found: RecordReport) -> None:
    """Show what became of the lines, the first ones of each list by name."""
    out = console()
    out.print(
        f"{found.new:,} new, {found.repeated:,} repeated, {found.rejected:,} rejected of"
        f" {_count(found.lines, 'outcome')}; the log ends at {found.log_ends_at:,}",
        soft_wrap=True,
    )
    _print_lines(
        out,
        "new",
        found.new - sum(one.last - one.first + 1 for one in found.new_lines[:MAX_LINES]),
        [_new(one) for one in found.new_lines[:MAX_LINES]],
    )
    _print_lines(
        out,
        "rejected",
        found.rejected - len(found.rejected_lines[:MAX_LINES]),
        [
            f"line {one.line:,}: {one.outcome} is rejected: {one.reason}: {one.because}"
            for one in found.rejected_lines[:MAX_LINES]
        ],
    )
    _print_lines(
        out,
        "repeated",
        found.repeated - len(found.repeated_lines[:MAX_LINES]),
        [
            f"line {one.line:,}: {one.outcome} is repeated: it is logged at {one.position:,}"
            for one in found.repeated_lines[:MAX_LINES]
        ],
    )


def _new(one: NewLines) -> str:
    if one.first == one.last:
        return f"line {one.first:,} is new: it is logged at {one.position:,}"
    last = one.position + one.last - one.first
    return (
        f"lines {one.first:,} to {one.last:,} are new: they are logged at {one.position:,} to"
        f" {last:,}"
    )


def _print_lines(out: Console, what: str, left: int, lines: Sequence[str]) -> None:
    for line in lines:
        out.print(Text(printable(line)), soft_wrap=True)
    if left:
        more = f"and {left:,} more are {what}; --json names them all"
        out.print(more, soft_wrap=True)


def show_status(found: StatusReport) -> None:
    """Show how it stands with the snapshots of a database."""
    out = console()
    for name, said in _standing(found):
        out.print(Text.assemble((f"{name:<10} ", "bold"), printable(said)), soft_wrap=True)
    if found.pins:
        out.print(_pins_table(found.pins))
    if found.snapshot is not None:
        one = found.snapshot
        out.print(Text(f"snapshot {_described(one.published)}", style="bold"), soft_wrap=True)
        out.print(
            _keys_table(f"statistics of snapshot {one.published.snapshot_id}", one.statistics)
        )
        credit = f"outcomes decided under snapshot {one.published.snapshot_id}"
        out.print(_keys_table(credit, one.credit))
        if one.verdicts:
            out.print(_verdicts_table(one.published.snapshot_id, one.verdicts))


def _standing(found: StatusReport) -> Iterable[tuple[str, str]]:
    current, last = found.current, found.last
    if current is None:
        yield "current", "none" if last is None else "none: the manifest names no stored snapshot"
    else:
        yield "current", _described(current)
    if last is not None and (current is None or last.snapshot_id != current.snapshot_id):
        yield "last", _described(last)
    if found.last_refresh is not None:
        yield "refreshed", f"{found.last_refresh.mode.value} ({found.last_refresh.reason.value})"
    if current is not None:
        merges, age = _count(current.merges, "merge"), _age(current.exact_age_seconds)
        yield "exact", f"snapshot {current.exact}, {age}, {merges} since"
    yield "log", _log(found)
    yield "live", _live(found)
    yield "next", f"{found.next.mode.value} ({found.next.reason.value})"
    stored = _count(found.snapshots, "snapshot"), _count(found.verdicts, "verdict")
    yield "stored", f"{', '.join(stored)}, {_count(len(found.pins), 'pin')}"


def _described(one: Published) -> str:
    config = f", configuration {one.config}" if one.config else ""
    return (
        f"{one.snapshot_id}, {one.mode.value} ({one.reason.value}), watermark {one.watermark:,},"
        f" {_moment(one.generated_at)}, {_age(one.age_seconds)}{config}"
    )


def _age(seconds: int) -> str:
    return f"{seconds:,} s ago" if seconds >= 0 else f"{-seconds:,} s ahead of this moment"


def _log(found: StatusReport) -> str:
    log = found.log
    said = f"{_count(log.outcomes, 'outcome')}, ends at {log.ends_at:,}, epoch {log.epoch:,}"
    if log.foundation is None:
        return said
    return f"{said}; snapshot {log.foundation} stands for those up to {log.begins_behind:,}"


def _live(found: StatusReport) -> str:
    live, trouble = found.live, found.live_trouble
    why = "" if trouble is None else f"{trouble.value}: {INELIGIBLE[trouble]}"
    if live is None:
        return f"none ({why})"
    size = f"{_count(live.outcomes, 'outcome')} of {_count(live.keys, 'key')}"
    where = f"behind {live.lo:,} up to {live.hi:,}, anchored to {live.anchor}"
    return f"{size} {where}: {f'not usable ({why})' if why else 'usable'}"


def _pins_table(pins: Sequence[PinStatus]) -> Table:
    table = Table("pin", "snapshot", "owner", "expires (UTC)", "", title="pins")
    for one in pins:
        until = "never" if one.expires is None else _moment(one.expires)
        notes = [note for note, holds in (("a gate's", one.gate), ("over", one.over)) if holds]
        cells = printable(one.pin), str(one.snapshot_id), printable(one.owner), until
        table.add_row(*map(Text, cells), ", ".join(notes))
    return table


def _verdicts_table(snapshot: int, verdicts: Sequence[VerdictStatus]) -> Table:
    table = Table(
        "gate", "candidate", "result", "verdict", title=f"verdicts by snapshot {snapshot}"
    )
    for one in verdicts:
        cells = map(printable, (one.gate, one.candidate, one.result))
        table.add_row(*map(Text, cells), "promoted" if one.promoted else "rejected")
    return table


def _keys_table(title: str, keys: Sequence[KeyStatus]) -> Table:
    table = Table("family", "plan", "mode", title=title)
    for heading in ("count", "total", "least", "greatest", "mean", "variance"):
        table.add_column(heading, justify="right")
    for one in keys:
        names = (Text(printable(each)) for each in (one.key.family, one.key.plan, one.key.mode))
        of = one.statistics
        ends = ("" if each is None else f"{each:,}" for each in (of.least, of.greatest))
        table.add_row(*names, f"{of.count:,}", f"{of.total:,}", *ends, one.mean, one.variance)
    return table


def _said(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            each = [_said(one) for one in msgspec.convert(value, list[object])]
            return ", ".join(each) if each else "none"
        case _:
            return printable(str(value))


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _moment(seconds: int) -> str:
    """Return a moment in UTC; one that no calendar has is shown as it is."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return f"moment {seconds:,}"
