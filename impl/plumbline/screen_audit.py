"""What people see of an audit: a table of clauses, then the witnesses of those that are broken."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from plumbline.audit import FileAudit, FileComparison
from plumbline.screen import COLOURS, console, printable
from plumbline_models.contract import Discrepancy, Witness
from plumbline_spec.audit import ClauseResult, Part
from plumbline_spec.report import Verdict

ENDS = {
    Verdict.HOLDS: "holds",
    Verdict.BROKEN: "BROKEN",
    Verdict.UNFINISHED: "UNFINISHED",
}


def show_audit(found: FileAudit) -> None:
    """Show one line for each clause that was judged, its witnesses, and why others were not."""
    out, results = console(), found.audit.clauses
    judged = [one for one in results if one.verdict is not Verdict.NOT_APPLICABLE]
    table = Table("clause", "title", "verdict", title=_text(f"audit of {found.file}"))
    table.add_column("how often", justify="right")
    for heading in ("table", "first witness", "what is there"):
        table.add_column(heading)
    for one in judged:
        table.add_row(one.clause, one.title, _word(one.verdict), _often(one.count), *_first(one))
    out.print(table)
    for one in judged:
        _show_witnesses(out, f"{one.clause} {one.title}", one.witnesses, one.count, one.why)
    for why, clauses in _by_reason(results).items():
        out.print(Text(f"not applicable: {', '.join(clauses)}: {why}"), soft_wrap=True)
    broken = sum(one.verdict is Verdict.BROKEN for one in judged)
    said = f"{broken} of {len(judged)} clauses broken"
    _end(out, found.audit.verdict, f"{found.audit.machine}, version {found.version}", said)
    _show_largest(out, found.audit.parts, found.audit.largest)


def show_comparison(found: FileComparison) -> None:
    """Show one line for each condition, and what stands on either side where one fails."""
    out, results = console(), found.comparison.conditions
    table = Table(
        "condition", "from", "verdict", title=_text(f"{found.before} before {found.after}")
    )
    table.add_column("how often", justify="right")
    for heading in ("table", "first witness", "before", "after"):
        table.add_column(heading)
    for one in results:
        first = one.discrepancies[:1]
        cells = [(it.table, it.row, it.before, it.after) for it in first] or [("", "", "", "")]
        table.add_row(
            one.condition,
            _named(one.clauses),
            _word(one.verdict),
            _often(one.count),
            *map(_text, cells[0]),
        )
    out.print(table)
    for one in results:
        _show_witnesses(out, one.condition, one.discrepancies, one.count, one.why)
    failed = sum(one.verdict is Verdict.BROKEN for one in results)
    said = f"{failed} of {len(results)} necessary conditions failed"
    _end(out, found.comparison.verdict, found.comparison.machine, said)
    _show_largest(out, found.comparison.parts, found.comparison.largest)


def _word(verdict: Verdict) -> Text:
    return Text(verdict.value, style=COLOURS[verdict])


def _often(count: int) -> str:
    return f"{count:,}" if count else ""


def _first(one: ClauseResult) -> tuple[Text, Text, Text]:
    for witness in one.witnesses[:1]:
        return _text(witness.table), _text(witness.row), _text(witness.found)
    return Text(), Text(), _text(one.why)


def _text(stored: str) -> Text:
    return Text(printable(stored))


def _named(clauses: Sequence[str]) -> str:
    """Shorten a list of clauses to the first two and how many more there are."""
    more = f" and {len(clauses) - 2} more" if len(clauses) > 2 else ""  # noqa: PLR2004 - said above
    return ", ".join(clauses[:2]) + more


def _show_witnesses(
    out: Console, name: str, found: Iterable[Witness | Discrepancy], count: int, why: str
) -> None:
    shown = [f"{one.table}, {one}" if one.table else str(one) for one in found]
    if count:
        out.print(Text(f"{name}: {count:,}", style="bold"))
    for line in shown:
        out.print(_text(f"  {line}"), soft_wrap=True)
    if len(shown) < count:
        out.print(f"  and {count - len(shown):,} more")
    if why:
        out.print(_text(f"{name} was not judged to the end: {why}"), soft_wrap=True)


def _by_reason(results: Sequence[ClauseResult]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in results:
        if one.verdict is Verdict.NOT_APPLICABLE:
            found.setdefault(one.why, []).append(one.clause)
    return found


def _end(out: Console, verdict: Verdict, what: str, said: str) -> None:
    out.print(Text.assemble((ENDS[verdict], COLOURS[verdict]), f": {what}, {said}"), soft_wrap=True)


def _show_largest(out: Console, parts: int, largest: Part | None) -> None:
    if largest is not None:
        counted = "1 part" if parts == 1 else f"{parts:,} parts"
        line = f"{counted}; the largest is {largest.key}, {largest.size_bytes:,} bytes"
        out.print(_text(line), soft_wrap=True)
