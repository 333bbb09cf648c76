"""The command ``plumbline``.

Everything but click is imported when a command runs, so that help is quick.

Exit codes: 0 holds or done; 1 a clause broken or answers differ; 2 usage or unusable input; 3
refused by the specification; 4 could not finish; 70 internal error; 130 interrupted.
"""

# ruff: noqa: PLC0415 - a command imports what it needs, and help needs nothing

import os
import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NoReturn

import click
from click.core import ParameterSource

from plumbline import __version__
from plumbline.commands_audit import audit
from plumbline.commands_calibrate import calibrate
from plumbline.commands_compact import compact
from plumbline.commands_context import context
from plumbline.commands_ingest import ingest
from plumbline.commands_snapshot import refresh_policy_snapshot, snapshot
from plumbline_spec.errors import CouldNotFinish, RequestReused, UnusableInput

if TYPE_CHECKING:
    from plumbline_spec.report import EngineReport, Verdict

HOLDS, BROKEN, UNUSABLE, REFUSED, UNFINISHED, INTERNAL, INTERRUPTED = 0, 1, 2, 3, 4, 70, 130


class Access(Enum):
    """What a command does to the folders of the files that it is given."""

    READING = "reading"
    """It changes nothing in them: no byte, and no file comes or goes."""
    WRITING = "writing"


COMMANDS = {
    "audit": Access.READING,
    "calibrate lossless-claw": Access.READING,
    "check": Access.WRITING,
    "compact": Access.WRITING,
    "context rollback": Access.WRITING,
    "context show": Access.READING,
    "context tree": Access.READING,
    "diff": Access.READING,
    "explore": Access.READING,
    "ingest": Access.WRITING,
    "machines": Access.READING,
    "quality": Access.WRITING,
    "refresh-policy-snapshot": Access.WRITING,
    "replay": Access.READING,
    "snapshot audit": Access.READING,
    "snapshot export": Access.READING,
    "snapshot gate": Access.WRITING,
    "snapshot gc": Access.WRITING,
    "snapshot pin": Access.WRITING,
    "snapshot record": Access.WRITING,
    "snapshot refresh": Access.WRITING,
    "snapshot renew": Access.WRITING,
    "snapshot status": Access.READING,
    "snapshot unpin": Access.WRITING,
    "vectors fill": Access.WRITING,
    "vectors verify": Access.WRITING,
}
"""Every command by its path; an engine that finds a failure keeps its trace, so it is writing.

An export writes into the folder that it is told to, and changes nothing in that of the database.
"""

PROFILE_NAMES = ("quick", "ci", "nightly")
ENGINE_NAMES = (
    "regressions",
    "explore",
    "descend",
    "lockstep",
    "durable",
    "diff",
    "vectors",
    "envelope",
    "interleave",
    "faults",
    "quality",
)

as_json = click.option("--json", "json", is_flag=True, help="One JSON document on standard output.")
profile_option = click.option(
    "--profile",
    type=click.Choice(PROFILE_NAMES),
    default="quick",
    show_default=True,
    help="How much every engine does at least, and how long.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="plumbline")
def cli() -> None:
    """Hold implementations of lossless context management to their executable specification."""


cli.add_command(audit)
cli.add_command(calibrate)
cli.add_command(compact)
cli.add_command(context)
cli.add_command(ingest)
cli.add_command(refresh_policy_snapshot)
cli.add_command(snapshot)


@cli.command()
@click.argument("machines", nargs=-1, metavar="[MACHINE]...")
@click.option(
    "--engine",
    "engines",
    multiple=True,
    type=click.Choice(ENGINE_NAMES),
    help="Run this one; again for more.",
)
@profile_option
@click.option("--seed", type=click.IntRange(min=0), default=2026, show_default=True)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep failing traces here. [default: tests/regressions in a checkout, else .plumbline]",
)
@click.option(
    "--transcript",
    type=click.Path(path_type=Path),
    help="Hold ordinals to a history made of this agent transcript (JSON Lines) instead.",
)
@click.option("--rules", help="Find every clause that this rule set or variant breaks instead.")
@click.option(
    "--jobs", type=click.IntRange(1, 2), default=2, show_default=True, help="Worker processes."
)
@as_json
def check(  # noqa: PLR0913 - one parameter for each option
    machines: tuple[str, ...],
    engines: tuple[str, ...],
    profile: str,
    seed: int,
    out: Path | None,
    transcript: Path | None,
    rules: str | None,
    jobs: int,
    *,
    json: bool,
) -> None:
    """Run every engine on every machine and end with one table."""
    from plumbline.check import Options
    from plumbline.check import check as run
    from plumbline.screen import following, show_check, write_json
    from plumbline_spec.profiles import PROFILES

    if transcript is not None:
        _check_transcript(machines, transcript, seed, out, json=json)
        return
    if rules is not None:
        _check_rules(machines, rules, profile, json=json)
    options = Options(
        machines=machines,
        engines=engines,
        profile=PROFILES[profile],
        seed=seed,
        out=out,
        workers=jobs,
    )
    with following() as told:
        report = run(options, told)
    if json:
        write_json(report)
    else:
        show_check(report, tables=bool(engines))
    sys.exit(code_of(report.verdict))


def goes_without(option: str, *others: str) -> None:
    """Raise ``click.UsageError`` when an option is given with others that it makes no use of."""
    context = click.get_current_context()
    names = {one.name: one.opts[0] for one in context.command.params}
    for other in others:
        if context.get_parameter_source(other) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{option} makes no use of {names[other]}; leave one out")


def _check_transcript(
    machines: tuple[str, ...], transcript: Path, seed: int, out: Path | None, *, json: bool
) -> None:
    from plumbline.drive import drive
    from plumbline.screen import following, show_engine, write_json

    goes_without("--transcript", "engines", "profile", "rules")
    if machines not in ((), ("ordinals",)):
        raise UnusableInput("--transcript drives the machine ordinals; name it alone, or none")
    with following() as told:
        report = drive(transcript, seed, out, lambda said: told("ordinals", "transcript", said))
    if json:
        write_json(report)
    else:
        show_engine(report)
    sys.exit(code_of(report.verdict))


def _check_rules(machines: tuple[str, ...], rules: str, profile: str, *, json: bool) -> None:
    """Report each clause that a rule set breaks, with its shortest trace, and end."""
    from plumbline.registry import chosen
    from plumbline.screen import following

    goes_without("--rules", "engines", "seed", "out")
    if len(machines) != 1:
        raise UnusableInput("--rules is about the rule sets of one machine; name one")
    (one,) = chosen(machines)
    with following() as told:
        report = one.broken_by(rules, profile, lambda said: told(one.name, "rules", said))
    _end(report, json=json)


@cli.command()
@click.argument("machine")
@click.option("--rules", default="SPEC", show_default=True, help="A rule set, or a variant.")
@profile_option
@click.option("--max-states", type=click.IntRange(min=1), default=4_000_000, show_default=True)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Processes of a large walk, where there are as many cores; the result is the same.",
)
@as_json
def explore(
    machine: str, rules: str, profile: str, max_states: int, jobs: int, *, json: bool
) -> None:
    """Visit every reachable state of a small scope, breadth first."""
    from plumbline.registry import chosen
    from plumbline.screen import following

    (one,) = chosen((machine,))
    with following() as told:
        report = one.explored(
            rules,
            profile,
            max_states,
            lambda said: told(machine, "explore", said),
            processes=jobs,
        )
    _end(report, json=json)


@cli.command()
@click.argument("machine")
@click.argument("left")
@click.argument("right")
@profile_option
@as_json
def diff(machine: str, left: str, right: str, profile: str, *, json: bool) -> None:
    """Compare two rule sets (or variants) of a machine in product."""
    from plumbline.registry import chosen
    from plumbline.screen import following, show_diff, write_json

    (one,) = chosen((machine,))
    with following() as told:
        found = one.diff(left, right, profile, lambda said: told(machine, "diff", said))
    if json:
        write_json(found)
    else:
        show_diff(found)
    sys.exit(HOLDS if found.equal else UNFINISHED if found.bound else BROKEN)


@cli.command()
@click.argument("file", type=click.Path(path_type=Path))
@as_json
def replay(file: Path, *, json: bool) -> None:
    """Take the traces of FILE on model and SQLite and print the table of differences."""
    from plumbline.registry import chosen
    from plumbline.screen import show_replays, write_json
    from plumbline_spec.traces import headers

    names = sorted({header.machine for header in headers(file)})
    if len(names) != 1:
        holds = f"traces of {' and of '.join(names)}" if names else "no trace: it has no header"
        raise UnusableInput(f"{file} holds {holds}; give a file that holds traces of one machine")
    (one,) = chosen(tuple(names))
    found = one.replay(file)
    if json:
        write_json(found)
    else:
        show_replays(found)
    sys.exit(BROKEN if any(trace.mismatches for trace in found) else HOLDS)


@cli.group()
def vectors() -> None:
    """Write or verify the portable vectors of the specification."""


@vectors.command("verify")
@click.argument("machines", nargs=-1, metavar="[MACHINE]...")
@as_json
def vectors_verify(machines: tuple[str, ...], *, json: bool) -> None:
    """Hold model and SQLite to the vectors, and the vectors to what they must reach."""
    _run_engine("vectors", machines, "quick", json=json)


@vectors.command("fill")
@click.argument("machines", nargs=-1, metavar="[MACHINE]...")
@as_json
def vectors_fill(machines: tuple[str, ...], *, json: bool) -> None:
    """Make vectors, variant traces, schemas and the clause index afresh, in a checkout."""
    from plumbline.generate import generate
    from plumbline.screen import console, following, write_json

    with following() as told:
        written = generate(machines, told)
    if json:
        write_json({"written": [str(path) for path in written]})
    else:
        for path in written:
            console().print(f"wrote {path}", soft_wrap=True)


@cli.command()
@click.argument("machines", nargs=-1, metavar="[MACHINE]...")
@profile_option
@as_json
def quality(machines: tuple[str, ...], profile: str, *, json: bool) -> None:
    """Show which clause catches which variant.

    Variants are taken along their stored traces (quick) or searched for afresh (ci, nightly).
    """
    _run_engine("quality", machines, profile, json=json)


def _run_engine(engine: str, machines: tuple[str, ...], profile: str, *, json: bool) -> None:
    from plumbline.check import Options
    from plumbline.check import check as run
    from plumbline.screen import following, show_check, write_json
    from plumbline_spec.profiles import PROFILES

    options = Options(machines=machines, engines=(engine,), profile=PROFILES[profile], workers=1)
    with following() as told:
        report = run(options, told)
    if json:
        write_json(report.engines)
    else:
        show_check(report, tables=True)
    sys.exit(code_of(report.verdict))


@cli.command()
@click.argument("names", nargs=-1, metavar="[MACHINE]...")
@as_json
def machines(names: tuple[str, ...], *, json: bool) -> None:
    """List machines with their events, outcomes and clauses."""
    from plumbline.registry import chosen
    from plumbline.screen import show_machines, write_json

    found = chosen(names)
    if not json:
        show_machines(found)
        return
    write_json(
        [
            {
                "name": one.name,
                "events": one.events,
                "pairs": one.pairs,
                "clauses": one.clauses,
                "rule_sets": one.rule_sets,
                "variants": one.variants,
            }
            for one in found
        ]
    )


def _end(report: "EngineReport", *, json: bool) -> None:
    from plumbline.screen import show_engine, write_json

    if json:
        write_json(report)
    else:
        show_engine(report)
    sys.exit(code_of(report.verdict))


def code_of(verdict: "Verdict") -> int:
    """Return the exit code of a verdict."""
    return {"broken": BROKEN, "unfinished": UNFINISHED}.get(verdict.value, HOLDS)


def main() -> None:
    """Run the command; whatever happens, a traceback does not reach the user."""
    _stand_in_for_closed_streams()
    _exit(guarded(cli))


def main_refresh() -> None:
    """Run ``plumbline refresh-policy-snapshot`` as a program of its own."""
    _stand_in_for_closed_streams()
    _exit(guarded(cli, ["refresh-policy-snapshot", *sys.argv[1:]]))


def _stand_in_for_closed_streams() -> None:
    """Let what is written to a closed stream go nowhere, and no other file take its number."""
    streams = sys.stdin, sys.stdout, sys.stderr
    for number, stream in enumerate(streams):
        if stream is None:
            _open_as(number)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8")


def _open_as(number: int) -> None:
    opened = os.open(os.devnull, os.O_RDWR)
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)


def standard_input() -> BinaryIO:
    """Return standard input, to be read as bytes. Raises ``UnusableInput`` when it is closed."""
    if sys.stdin is None:
        raise UnusableInput("standard input is closed; name a file")
    return sys.stdin.buffer


def _exit(code: int) -> NoReturn:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # Nobody reads the output any more, as under ``| head``: what is left of it goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = INTERRUPTED
    sys.exit(code)


def guarded(command: Callable[..., object], args: list[str] | None = None) -> int:
    """Run a click command and return its exit code."""
    try:
        command(args=args, prog_name="plumbline", standalone_mode=False)
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):
            return INTERRUPTED
        return ended.code if isinstance(ended.code, int) else HOLDS
    except BaseException as error:  # noqa: BLE001 - the last resort: an exit code and no traceback
        _say_notes(error)
        return _ended(error)
    return HOLDS


def _say_notes(error: BaseException) -> None:
    """Say what is known of work that was broken off; click puts its own error before ours."""
    for one in (error.__cause__, error):
        notes: list[str] = getattr(one, "__notes__", [])
        for note in notes:
            sys.stderr.write(f"plumbline: {note}\n")


def _ended(error: BaseException) -> int:
    """Say why a command ended, and return its exit code."""
    match error:
        case click.exceptions.Exit():
            return error.exit_code
        case click.ClickException():
            error.show()
            return UNUSABLE
        case click.Abort() | KeyboardInterrupt():
            return _say("interrupted", INTERRUPTED)
        case UnusableInput() | RequestReused():
            return _say(str(error), UNUSABLE)
        case UnicodeEncodeError():
            shown = repr(error.object)[:80]
            return _say(f"{shown} is not Unicode text; rename the file, or link to it", UNUSABLE)
        case CouldNotFinish():
            return _say(str(error), UNFINISHED)
        case BrokenPipeError():
            return INTERRUPTED
        case Exception():
            return _stopped(error)
        case _:
            raise error


def _stopped(error: Exception) -> int:
    """Say what stopped a command: its environment (4), or a fault of Plumbline (70)."""
    if isinstance(error, OSError):
        return _say(f"the system refused: {error}", UNFINISHED)
    refused = _refused_by_sqlite(error)
    if refused is not None:
        return _say(refused, UNFINISHED)
    return _say(
        f"internal error, {type(error).__name__}: {error}\n"
        "This is a fault of Plumbline; please report it with the command that you ran.",
        INTERNAL,
    )


def _refused_by_sqlite(error: Exception) -> str | None:
    """Return what to say where the disk, its file system or another process stopped SQLite."""
    import apsw

    from plumbline.database import SettingNotKept

    if isinstance(error, SettingNotKept):
        return str(error)
    advice: dict[tuple[type[Exception], ...], str] = {
        (apsw.BusyError, apsw.LockedError, apsw.ProtocolError): "another holds it: try again",
        (apsw.FullError, apsw.NoMemError): "make room and try again",
        (apsw.ReadOnlyError, apsw.PermissionsError, apsw.CantOpenError): "see who may write there",
        (apsw.IOError,): "see to the disk",
        (apsw.CorruptError, apsw.NotADBError): "plumbline audit says what is damaged",
    }
    for kinds, said in advice.items():
        if isinstance(error, kinds):
            return f"SQLite could not go on with the database ({error}); {said}"
    return None


def _say(message: str, code: int) -> int:
    sys.stderr.write(f"plumbline: {message}\n")
    return code
