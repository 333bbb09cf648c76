"""Arguments and options that the commands about snapshots share."""

# ruff: noqa: PLC0415 - a command imports what it needs, and help needs nothing

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from msgspec import Struct

    from plumbline.policy_snapshot import Envelope, Lease, Terms
    from plumbline.snapshot_reasons import Refusing
    from plumbline_models.decisions.refreshing import Windows

MOST = 2**53 - 1
"""The greatest integer of an event."""
REUSE, MERGES, EXACT = 300, 32, 86_400
"""The windows of a refresh, if nothing is said; those of ``refreshing.Windows``."""

Command = Callable[..., None]
NUMBER = click.IntRange(0, MOST)


def named(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    """Return a text that names somebody or something, and so is not empty."""
    if not value:
        raise click.BadParameter("it is empty, and names nothing")
    return value


database = click.argument("database", type=click.Path(path_type=Path))
as_json = click.option("--json", "json", is_flag=True, help="One JSON document on standard output.")
moment = click.option(
    "--now",
    type=NUMBER,
    metavar="SECONDS",
    help="The moment, in seconds since 1970. [default: that of the clock]",
)
request = click.option(
    "--request",
    metavar="ID",
    help="Names what is asked for: the same again under this id is answered as it was, and is not"
    " done again.",
)
windows = (
    click.option(
        "--reuse",
        type=NUMBER,
        default=REUSE,
        show_default=True,
        metavar="SECONDS",
        help="Reuse a snapshot younger than this when nothing is new; 0 reuses none.",
    ),
    click.option(
        "--merges",
        type=NUMBER,
        default=MERGES,
        show_default=True,
        metavar="N",
        help="Merges between two exact rebuilds at most; 0 merges nothing.",
    ),
    click.option(
        "--exact",
        type=NUMBER,
        default=EXACT,
        show_default=True,
        metavar="SECONDS",
        help="Seconds between two exact rebuilds at most; 0 is a bound as well.",
    ),
)
terms = (
    click.option(
        "--mode",
        type=click.Choice(("auto", "delta", "full")),
        default="auto",
        show_default=True,
        help="delta is refused where no merge may be made; full always rebuilds.",
    ),
    *windows,
    click.option(
        "--config",
        default="",
        metavar="TEXT",
        help="Names how outcomes are counted; a snapshot of another is not merged into.",
    ),
    click.option("--drift", is_flag=True, help="An audit found the current snapshot to be wrong."),
)
lease = (
    click.option(
        "--for", "seconds", type=NUMBER, metavar="SECONDS", help="Hold it so long, from now on."
    ),
    click.option(
        "--expires",
        type=NUMBER,
        metavar="SECONDS",
        help="Hold it until this moment. [default: until it is let go]",
    ),
)


def given(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Give a command arguments and options, in this order."""

    def add_all(command: Command) -> Command:
        for add in reversed(options):
            command = add(command)
        return command

    return add_all


def envelope_of(now: int | None, request: str | None) -> "Envelope":
    """Return when something is asked, and under which id."""
    from plumbline.policy_snapshot import Envelope

    return Envelope(now=now, request=request)


def windows_of(reuse: int, merges: int, exact: int) -> "Windows":
    """Return how long a snapshot is good for; 0 is what it says."""
    from plumbline_models.decisions.refreshing import Windows

    return Windows(reuse=reuse, merges=merges, exact=exact)


def terms_of(mode: str, found: "Windows", config: str, *, drift: bool) -> "Terms":
    """Return how a snapshot is refreshed."""
    from plumbline.policy_snapshot import Terms
    from plumbline_models.decisions.refreshing import Mode

    return Terms(mode=Mode(mode), windows=found, config=config, drift=drift)


def lease_of(seconds: int | None, expires: int | None) -> "Lease":
    """Return how long a pin holds. Raises ``click.UsageError`` when it is said twice."""
    from plumbline.policy_snapshot import Lease

    if seconds is not None and expires is not None:
        raise click.UsageError("--for and --expires exclude each other")
    return Lease(seconds=seconds, moment=expires)


def end(found: "Struct | Refusing", *, json: bool, codes: Sequence[int] = (0, 3)) -> NoReturn:
    """Show a report, or why it was refused, and end with the code of either."""
    from plumbline.screen import write_json
    from plumbline.screen_snapshot import show_fields, show_refusing
    from plumbline.snapshot_reasons import Refusing

    done, refused = codes
    if json:
        write_json(found)
    elif isinstance(found, Refusing):
        show_refusing(found)
    else:
        show_fields(found)
    sys.exit(refused if isinstance(found, Refusing) else done)
