"""What people see: tables, failures, and progress; and what programs see: one JSON document."""

import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager

import msgspec
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from plumbline.check import CheckReport, Told
from plumbline_spec.report import EngineReport, Fate, Finding, Verdict
from plumbline_spec.subject import Replayed, RuleDiff, ScopeDiff, Subject

COLOURS = {
    Verdict.HOLDS: "green",
    Verdict.BROKEN: "bold red",
    Verdict.UNFINISHED: "yellow",
    Verdict.NOT_APPLICABLE: "dim",
}
MAX_DIFFERENCES = 10
MAX_DIFFERENCES_OF_SEVERAL = 3
PLAIN_WIDTH = 140
JOINERS = "\u200c\u200d"
"""They have no width, and words and emoji need them."""


class _Console(Console):
    """A console on which the command decides how it ends when nobody reads any more."""

    @override
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console(*, stderr: bool = False) -> Console:
    """Return a console for standard output, or standard error; a pipe gets a fixed width."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else PLAIN_WIDTH
    return _Console(stderr=stderr, width=width, highlight=False, soft_wrap=False)


def printable(stored: str) -> str:
    """Return what a database says as it can be printed: no escape sequence reaches a terminal."""
    if stored.isprintable():
        return stored
    return "".join(
        one if one.isprintable() or one in JOINERS else ascii(one)[1:-1] for one in stored
    )


def write_json(document: object) -> None:
    """Write one JSON document to standard output."""
    text = msgspec.json.format(msgspec.json.encode(document, enc_hook=_plain), indent=2)
    sys.stdout.write(text.decode() + "\n")


def _plain(value: object) -> object:
    return str(value)


@contextmanager
def following() -> Generator[Told]:
    """Show on standard error what each engine has done so far: live on a terminal, else by line."""
    err = console(stderr=True)
    now: dict[tuple[str, str], str] = {}
    if not err.is_terminal:
        yield _plain_progress(err)
        return
    with Live(console=err, transient=True, refresh_per_second=8) as live:

        def told(machine: str, engine: str, message: str) -> None:
            if message:
                now[machine, engine] = message
            else:
                now.pop((machine, engine), None)
            lines = [f"{machine} {engine}: {said}" for (machine, engine), said in now.items()]
            live.update(Text("\n".join(lines)))

        yield told


def _plain_progress(err: Console) -> Told:
    started: set[tuple[str, str]] = set()

    def told(machine: str, engine: str, message: str) -> None:
        if not message:
            err.print(f"{machine} {engine}: done")
        elif (machine, engine) not in started:
            started.add((machine, engine))
            err.print(f"{machine} {engine}: {message}")

    return told


def show_check(report: CheckReport, *, tables: bool) -> None:
    """Show a whole run: failures first, then one table."""
    out = console()
    for engine in report.engines:
        if tables and engine.table:
            out.print(_rows_table(f"{engine.engine} of {engine.machine}", engine.table))
        if tables and engine.mutants:
            out.print(_rows_table(f"mutants of {engine.machine}", mutants_table(engine.mutants)))
        _show_trouble(out, report, engine)
    out.print(_check_table(report))
    for path in report.kept:
        out.print(
            f"kept [bold]{escape(path)}[/]; repeat it with: plumbline replay {escape(path)}",
            soft_wrap=True,
        )
    word = {Verdict.HOLDS: "holds", Verdict.BROKEN: "BROKEN"}.get(report.verdict, "UNFINISHED")
    colour = COLOURS[report.verdict]
    out.print(
        f"[{colour}]{word}[/]: profile {report.profile}, seed {report.seed}, {report.seconds:.1f} s"
    )


def _show_trouble(out: Console, report: CheckReport, engine: EngineReport) -> None:
    colour = "yellow" if engine.holds else "red"  # a mutant may survive where most are killed
    for detail in engine.details:
        out.print(
            f"[{colour}]{engine.machine} {engine.engine}[/]: {escape(detail)}", soft_wrap=True
        )
    for finding in engine.findings:
        show_finding(out, finding, f"{engine.machine} {engine.engine}")
    if engine.findings:
        out.print(
            f"find it again with: plumbline check {engine.machine} --engine {engine.engine}"
            f" --profile {report.profile} --seed {report.seed}\n"
        )


def show_finding(out: Console, finding: Finding, where: str) -> None:
    """Show a failure: what is broken and its witness, the trace, and where the two sides differ."""
    out.print(f"[bold red]{where}: {escape(finding.name)}[/]", soft_wrap=True)
    out.print(Text(f"  {finding.detail}"), soft_wrap=True)
    if finding.rows:
        rows = [(str(row.step), row.event, row.outcome) for row in finding.rows]
        out.print(_trace_table(rows, "the shortest trace found"))
    if finding.differences:
        table = Table("place", "machine", "host", title="differences after the last step")
        for one in finding.differences[:MAX_DIFFERENCES]:
            table.add_row(Text(one.path), Text(one.machine), Text(one.host))
        out.print(table)


def _trace_table(rows: Sequence[tuple[str, str, str]], title: str) -> Table:
    table = Table("step", "event", "outcome", title=title)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _rows_table(title: str, rows: Sequence[tuple[str, ...]]) -> Table:
    heading, *body = rows
    table = Table(*heading, title=title)
    for row in body:
        table.add_row(*(Text(cell) for cell in row))
    return table


def mutants_table(fates: Sequence[Fate]) -> list[tuple[str, ...]]:
    """Return the table of what killed which mutant; one that survived is shown with its diff."""
    heading = ("mutant", "operator", "place", "killed by", "what broke, or the proof and the diff")
    rows = [
        (
            one.id,
            one.operator,
            one.place,
            one.killed_by or ("SURVIVED" if one.proof is None else "equivalent"),
            one.witness if one.killed_by else "\n".join(filter(None, (one.proof, one.diff))),
        )
        for one in sorted(fates, key=lambda one: (one.killed_by is not None, one.place, one.id))
    ]
    return [heading, *rows]


def _check_table(report: CheckReport) -> Table:
    table = Table("machine", "engine", "verdict", "figures", title="plumbline check")
    table.add_column("share s", justify="right")
    table.add_column("took s", justify="right")
    for one in report.engines:
        word = Text(one.verdict.value, style=COLOURS[one.verdict])
        share, took = f"{one.share_seconds:.1f}", f"{one.seconds:.1f}"
        table.add_row(one.machine, one.engine, word, Text(one.summary), share, took)
    for machine in report.machines:
        table.add_section()
        verdict = Verdict.HOLDS if machine.holds else report.verdict
        ran = {one.engine for one in report.engines if one.machine == machine.name}
        figures = [f"{machine.clauses} clauses"]
        if any(one.pairs for one in report.engines if one.machine == machine.name):
            figures.append(f"{machine.pairs_covered} of {machine.pairs} pairs of event and outcome")
        if "quality" in ran:
            figures.append(f"{machine.variants_caught} of {machine.variants} variants caught")
        if machine.mutants:
            wrong = machine.mutants - machine.mutants_equivalent
            figures.append(f"{machine.mutants_killed} of {wrong} mutants killed")
        said = ", ".join(figures)
        word = Text(verdict.value, style=COLOURS[verdict])
        table.add_row(machine.name, "all", word, said, "", f"{machine.seconds:.1f}")
    return table


def show_engine(report: EngineReport) -> None:
    """Show one engine's report."""
    out = console()
    colour = COLOURS[report.verdict]
    out.print(f"[{colour}]{report.verdict.value}[/]: {report.machine}, {escape(report.summary)}")
    for detail in report.details:
        out.print(Text(f"  {detail}"), soft_wrap=True)
    for finding in report.findings:
        show_finding(out, finding, f"{report.machine} {report.engine}")


def show_diff(found: RuleDiff) -> None:
    """Show whether two rule sets are equal, scope by scope, and what tells them apart."""
    out, several = console(), len(found.scopes) > 1
    names = f"{found.left} and {found.right} of {found.machine}"
    if several:
        out.print(_scopes_table(found, names))
    for one in found.scopes:
        if one.bound:
            out.print(f"{_verdict_of(one)}: stopped at {one.bound}, no difference so far")
        elif not several:
            size = f"{one.states:,} pairs of states, {one.transitions:,} transitions"
            out.print(f"{_verdict_of(one)}: {names}, {size}")
        if one.differences:
            most = MAX_DIFFERENCES_OF_SEVERAL if several else MAX_DIFFERENCES
            _show_differences(out, found, one, most)


def _scopes_table(found: RuleDiff, names: str) -> Table:
    table = Table("where", "", "pairs of states", "transitions", "told apart after", title=names)
    for one in found.scopes:
        after = f"{len(one.rows)} events" if one.differences else ""
        sizes = f"{one.states:,}", f"{one.transitions:,}"
        table.add_row(Text(one.where), _verdict_of(one), *sizes, after)
    return table


def _verdict_of(found: ScopeDiff) -> str:
    if found.equal:
        return "[green]equal[/]"
    return "[yellow]unfinished[/]" if found.bound else "[bold red]different[/]"


def _show_differences(out: Console, found: RuleDiff, one: ScopeDiff, most: int) -> None:
    """Show the trace that tells two rule sets apart, and what stands there after it."""
    table = Table("step", "event", found.left, found.right, title=one.where)
    for step, event, left, right in one.rows:
        table.add_row(str(step), Text(event), left, right)
    out.print(table)
    places = Table("place", found.left, found.right, title="after the last step")
    for row in one.differences[:most]:
        places.add_row(*(Text(cell) for cell in row))
    out.print(places)


def show_replays(found: Sequence[Replayed]) -> None:
    """Show each trace with what it records wrongly."""
    out = console()
    for one in found:
        out.print(Text(f"trace {one.name or '-'} under {one.rules}", style="bold"))
        rows = [(str(row.step), row.event, row.outcome) for row in one.rows]
        if one.mismatches or len(found) == 1:
            out.print(_trace_table(rows, "the trace"))
        if not one.mismatches:
            out.print("[green]agrees[/]: model, SQLite and every clause")
            continue
        table = Table("step", "what", "recorded or machine", "found", title="differences")
        for at in one.mismatches[:MAX_DIFFERENCES]:
            table.add_row(str(at.step), at.what, Text(at.recorded), Text(at.found))
        out.print(table)


def show_machines(found: Sequence[Subject]) -> None:
    """Show machines with their events, outcomes and clauses."""
    out = console()
    for one in found:
        events = Table("event", "outcomes", title=f"{one.name}: events")
        for event in one.events:
            outcomes = [outcome for name, outcome in one.pairs if name == event]
            events.add_row(event, Text(", ".join(outcomes)))
        out.print(events)
        clauses = Table("clause", "title", "about", "sentence", title=f"{one.name}: clauses")
        for clause in one.clauses:
            clauses.add_row(clause.id, clause.title, clause.about, Text(clause.sentence))
        out.print(clauses)
        out.print(f"rule sets: {', '.join(one.rule_sets)}; {len(one.variants)} variants")
