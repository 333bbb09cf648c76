"""The commands ``plumbline snapshot ...``, and ``plumbline refresh-policy-snapshot``."""

# ruff: noqa: PLC0415 - a command imports what it needs, and help needs nothing

import sys
from pathlib import Path

import click

from plumbline.commands_gate import gate
from plumbline.options_snapshot import (
    NUMBER,
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
    windows,
    windows_of,
)

STANDARD_INPUT = Path("-")


@click.group()
def snapshot() -> None:
    """Log outcomes of decisions, and publish statistics of them that are never merged wrongly."""


snapshot.add_command(gate)


@snapshot.command()
@database
@click.argument("file", type=click.Path(path_type=Path), default=STANDARD_INPUT)
@click.option(
    "--batch",
    type=click.IntRange(1, 100_000),
    default=1_000,
    show_default=True,
    metavar="N",
    help="Lines that are recorded at once.",
)
@request
@as_json
def record(database: Path, file: Path, batch: int, request: str | None, *, json: bool) -> None:
    """Log the outcomes of FILE, or of standard input.

    A line is a JSON object: outcome (its id), family, reward (whole micro-units), and if they
    apply plan, mode, source (live, backfill or gate) and under (the snapshot that the decision was
    made under, once it is published). The database is created if there is none. An outcome that is
    logged already is repeated and not logged twice. The exit code is 3 if a line is rejected, and 2
    if one cannot be read: of a file nothing is logged then, of standard input the batches before.
    """
    from plumbline.command import HOLDS, REFUSED, standard_input
    from plumbline.outcome_log import record as log
    from plumbline.screen import following, write_json
    from plumbline.screen_snapshot import MAX_LINES, show_record

    with following() as told:
        found = log(
            database,
            standard_input() if file == STANDARD_INPUT else file,
            batch=batch,
            keep=None if json else MAX_LINES,
            envelope=envelope_of(None, request),
            told=lambda said: told("record", str(file), said),
        )
    if json:
        write_json(found)
    else:
        show_record(found)
    sys.exit(REFUSED if found.rejected else HOLDS)


_REFRESH = given(
    database,
    *terms,
    click.option(
        "--expects",
        type=NUMBER,
        metavar="ID",
        help="Only if this snapshot is current, or none if it is 0.",
    ),
    moment,
    request,
    as_json,
)


def _refresh(  # noqa: PLR0913 - one parameter for each option
    database: Path,
    *,
    mode: str,
    reuse: int,
    merges: int,
    exact: int,
    config: str,
    drift: bool,
    expects: int | None,
    now: int | None,
    request: str | None,
    json: bool,
) -> None:
    """Publish a snapshot of the whole log, or stay with the current one."""
    from plumbline.policy_snapshot import refresh

    found = refresh(
        database,
        terms_of(mode, windows_of(reuse, merges, exact), config, drift=drift),
        expects=expects,
        envelope=envelope_of(now, request),
    )
    end(found, json=json)


refresh = snapshot.command("refresh")(_REFRESH(_refresh))
refresh_policy_snapshot = click.command(
    "refresh-policy-snapshot", short_help="The same as plumbline snapshot refresh."
)(_REFRESH(_refresh))


@snapshot.command()
@given(database, *windows)
@click.option("--config", metavar="TEXT", help="[default: that of the current snapshot]")
@click.option(
    "--snapshot", "one", type=NUMBER, metavar="ID", help="Show the statistics of this one as well."
)
@moment
@as_json
def status(
    database: Path,
    *,
    reuse: int,
    merges: int,
    exact: int,
    config: str | None,
    one: int | None,
    now: int | None,
    json: bool,
) -> None:
    """Show what is current, what is new, and what the next refresh would do; change nothing."""
    from plumbline.screen import write_json
    from plumbline.screen_snapshot import show_status
    from plumbline.snapshot_status import status as standing

    found = standing(
        database,
        now=now,
        windows=windows_of(reuse, merges, exact),
        config=config,
        snapshot=one,
    )
    if json:
        write_json(found)
    else:
        show_status(found)


@snapshot.command()
@database
@as_json
def audit(database: Path, *, json: bool) -> None:
    """Count the log once more and compare; change nothing.

    A refresh with --drift publishes what the log makes in the place of what is wrong. The exit code
    is 1 while the live delta is wrong, or a snapshot that nothing superseded or that a pin holds.
    """
    from plumbline.command import BROKEN, HOLDS
    from plumbline.screen import write_json
    from plumbline.screen_snapshot import show_audit
    from plumbline.snapshot_status import audit as recount

    found = recount(database)
    if json:
        write_json(found)
    else:
        show_audit(found)
    sys.exit(HOLDS if found.holds else BROKEN)


@snapshot.command()
@database
@click.argument("pin")
@click.option("--owner", required=True, callback=named, metavar="NAME", help="Who reads.")
@click.option(
    "--snapshot", "one", type=NUMBER, metavar="ID", help="Hold this one. [default: the current]"
)
@given(*lease, moment, request, as_json)
def pin(  # noqa: PLR0913 - one parameter for each option
    database: Path,
    pin: str,
    *,
    owner: str,
    one: int | None,
    seconds: int | None,
    expires: int | None,
    now: int | None,
    request: str | None,
    json: bool,
) -> None:
    """Hold a snapshot under the name PIN, so that nobody lets it go."""
    from plumbline.policy_snapshot import pin as hold

    found = hold(
        database,
        pin,
        owner,
        snapshot=one,
        lease=lease_of(seconds, expires),
        envelope=envelope_of(now, request),
    )
    end(found, json=json)


@snapshot.command()
@database
@click.argument("pin")
@given(*lease, moment, request, as_json)
def renew(
    database: Path,
    pin: str,
    *,
    seconds: int | None,
    expires: int | None,
    now: int | None,
    request: str | None,
    json: bool,
) -> None:
    """Give PIN another lease."""
    from plumbline.policy_snapshot import renew as hold

    found = hold(
        database, pin, lease=lease_of(seconds, expires), envelope=envelope_of(now, request)
    )
    end(found, json=json)


@snapshot.command()
@database
@click.argument("pin")
@request
@as_json
def unpin(database: Path, pin: str, request: str | None, *, json: bool) -> None:
    """Let the snapshot go that PIN holds."""
    from plumbline.policy_snapshot import unpin as let_go

    end(let_go(database, pin, envelope=envelope_of(None, request)), json=json)


@snapshot.command()
@database
@click.option(
    "--keep",
    type=NUMBER,
    default=0,
    show_default=True,
    metavar="N",
    help="Newest snapshots that stay, needed or not.",
)
@given(moment, request, as_json)
def gc(database: Path, *, keep: int, now: int | None, request: str | None, json: bool) -> None:
    """Let pins go whose lease is over, and snapshots that nobody needs."""
    from plumbline.policy_snapshot import collect

    end(collect(database, keep=keep, envelope=envelope_of(now, request)), json=json)


@snapshot.command()
@database
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--snapshot",
    "one",
    type=NUMBER,
    metavar="ID",
    help="Write this one; unless it is current, its folder alone. [default: the current]",
)
@as_json
def export(database: Path, directory: Path, one: int | None, *, json: bool) -> None:
    """Write a snapshot, the live delta and the manifest as JSON files into DIRECTORY.

    Nothing of the database changes. A reader begins with policy_snapshot.json, which names the
    rest.
    """
    from plumbline.export import export as write

    end(write(database, directory, snapshot=one), json=json)
