"""The command ``plumbline snapshot gate``."""

# ruff: noqa: PLC0415 - a command imports what it needs, and help needs nothing

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from plumbline.options_snapshot import (
    as_json,
    database,
    end,
    envelope_of,
    given,
    lease,
    lease_of,
    moment,
    named,
    request,
    terms,
    terms_of,
    windows_of,
)

if TYPE_CHECKING:
    from plumbline.policy_gate import GateReport, Run
    from plumbline.policy_snapshot import Envelope
    from plumbline.snapshot_reasons import Refusing


@click.command()
@database
@click.argument("run", metavar="RUN")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND...]")
@click.option("--owner", required=True, callback=named, metavar="NAME", help="Who judges.")
@click.option(
    "--candidate", required=True, callback=named, metavar="HASH", help="Names what is judged."
)
@click.option("--result", metavar="N/N/N", help="What it came to, such as 100/100/0.")
@click.option(
    "--promoted/--rejected", "promoted", default=None, help="The verdict, where no COMMAND judges."
)
@click.option(
    "--export",
    type=click.Path(path_type=Path),
    metavar="DIRECTORY",
    help="Write the snapshot there first, for COMMAND to read.",
)
@given(*lease, *terms, moment, request, as_json)
def gate(  # noqa: PLR0913 - one parameter for each option
    database: Path,
    run: str,
    command: tuple[str, ...],
    *,
    owner: str,
    candidate: str,
    result: str | None,
    promoted: bool | None,
    export: Path | None,
    seconds: int | None,
    expires: int | None,
    mode: str,
    reuse: int,
    merges: int,
    exact: int,
    config: str,
    drift: bool,
    now: int | None,
    request: str | None,
    json: bool,
) -> None:
    """Refresh, pin the snapshot for RUN, judge a candidate by it, record the verdict.

    COMMAND finds the id in POLICY_SNAPSHOT_ID, and with --export its folder in POLICY_SNAPSHOT_DIR;
    it promotes the candidate by exiting with 0, and the last line of its output like 100/100/0 is
    the result. The exit code is then 1 for a candidate that it rejects. If it cannot be run or is
    interrupted, the snapshot is let go and there is no verdict. A report that nobody reads ends
    with 130, and the verdict is recorded.
    """
    from plumbline.policy_gate import Run

    asked = Run(
        gate=run,
        owner=owner,
        candidate=candidate,
        lease=lease_of(seconds, expires),
        terms=terms_of(mode, windows_of(reuse, merges, exact), config, drift=drift),
    )
    envelope = envelope_of(now, request)
    if command:
        _refuse_beside_a_command(result, promoted)
        found = _judged(database, asked, command, export, envelope, json=json)
        end(found, json=json, codes=(_code(found), 3))
    if promoted is None:
        raise click.UsageError("give --promoted or --rejected, or -- COMMAND that judges")
    if export is not None:
        raise click.UsageError("--export is for a COMMAND to read; leave it out")
    end(_recorded(database, asked, result, envelope, promoted=promoted), json=json)


def _refuse_beside_a_command(result: str | None, promoted: bool | None) -> None:  # noqa: FBT001 - an option
    if result is not None or promoted is not None:
        raise click.UsageError(
            "a COMMAND comes to the verdict; leave --result, --promoted and --rejected out"
        )


def _recorded(
    database: Path, asked: "Run", result: str | None, envelope: "Envelope", *, promoted: bool
) -> "GateReport | Refusing":
    from plumbline.policy_gate import RESULT, Judgement, record_verdict

    said = "" if result is None else result
    if said and not RESULT.fullmatch(said):
        raise click.UsageError(f"--result {said!r} is not three numbers such as 100/100/0")
    judgement = Judgement(promoted=promoted, result=said)
    return record_verdict(database, asked, judgement, envelope=envelope)


def _judged(
    database: Path,
    asked: "Run",
    command: tuple[str, ...],
    export: Path | None,
    envelope: "Envelope",
    *,
    json: bool,
) -> "GateReport | Refusing":
    """Let a command judge; what it writes goes to standard error beside a document."""
    from plumbline.policy_gate import GateCommand, judge, told_to_end

    by = GateCommand(command, sys.stderr if json else sys.stdout)
    with told_to_end():
        return judge(database, asked, by, export=export, envelope=envelope)


def _code(found: "GateReport | Refusing") -> int:
    from plumbline.command import BROKEN, HOLDS
    from plumbline.policy_gate import GateReport

    rejected = isinstance(found, GateReport) and not found.promoted
    return BROKEN if rejected else HOLDS
