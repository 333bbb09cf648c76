"""The command ``plumbline compact``."""

# ruff: noqa: PLC0415 - a command imports what it needs, and help needs nothing

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from plumbline.compact import Asked, CompactReport

FILE = click.Path(path_type=Path)


def _finite(_context: click.Context, _option: click.Parameter, seconds: float) -> float:
    """Refuse what is no number, which no range refuses."""
    if seconds != seconds:  # noqa: PLR0124 - it alone is not itself
        raise click.BadParameter("nan is no number of seconds; give one, such as 60")
    return seconds


_PARAMETERS = (
    click.argument("database", metavar="DB", type=FILE),
    click.argument("conversation"),
    click.option("--leaf", is_flag=True, help="One leaf pass, and what follows from it."),
    click.option("--sweep", is_flag=True, help="Passes until the context is within its threshold."),
    click.option(
        "--until-under",
        "target",
        type=click.IntRange(min=0),
        metavar="TOKENS",
        help="Rounds of sweeps until the context has at most so many tokens.",
    ),
    click.option(
        "--budget",
        type=click.IntRange(min=0),
        metavar="TOKENS",
        help="What the model takes; the threshold is a share of it.",
    ),
    click.option("--force", is_flag=True, help="Compact below the threshold too."),
    click.option(
        "--config", type=FILE, metavar="FILE.toml", help="Settings of spec/compaction.md."
    ),
    click.option(
        "--summarizer",
        metavar="COMMAND",
        help="Gets the source on stdin, PLUMBLINE_TARGET in its environment, and writes a summary."
        " [default: one that only cuts, and says so]",
    ),
    click.option(
        "--time-limit",
        type=click.FloatRange(min=0.01, max=86_400),
        callback=_finite,
        default=60.0,
        show_default=True,
        metavar="SECONDS",
        help="What the command has for one answer.",
    ),
    click.option("--json", "json", is_flag=True, help="One JSON document on standard output."),
)


def _with_parameters(command: Callable[..., None]) -> Callable[..., None]:
    """Give a function the arguments and options of the command, in the order of the table."""
    for add in reversed(_PARAMETERS):
        command = add(command)
    return command


@click.command()
@_with_parameters
def compact(  # noqa: PLR0913 - one parameter for each option
    database: Path,
    conversation: str,
    *,
    leaf: bool,
    sweep: bool,
    target: int | None,
    budget: int | None,
    force: bool,
    config: Path | None,
    summarizer: str | None,
    time_limit: float,
    json: bool,
) -> None:
    """Put summaries in the place of what was said in CONVERSATION.

    Nothing is lost: plumbline context rollback puts back what a summary replaced. A run that is
    interrupted leaves whole passes; run it again.
    """
    from plumbline.command import HOLDS, UNFINISHED
    from plumbline.compact import compact as run
    from plumbline.compact import read_settings
    from plumbline.screen import console, following, write_json
    from plumbline.summarisers import Command, cutting

    asked = _asked(target, budget, leaf=leaf, sweep=sweep, force=force)
    summariser = cutting if summarizer is None else Command(summarizer, time_limit)
    settings = read_settings(config)
    with following() as told:
        found = run(
            database,
            conversation,
            asked,
            settings,
            summariser,
            lambda said: told("compact", conversation, said),
        )
    if json:
        write_json(found)
    else:
        console().print(_sentence(found), soft_wrap=True, markup=False)
    sys.exit(HOLDS if found.done else UNFINISHED)


def _sentence(found: "CompactReport") -> str:
    floor = "" if found.floor is None else f", {found.floor:,} of which are protected"
    trouble = f" ({found.trouble})" if found.trouble else ""
    return (
        f"{found.stop_reason.value}{trouble}: {found.passes:,} passes in {found.rounds:,} rounds"
        f" with {found.calls:,} calls, {found.tokens_before:,} to {found.tokens_after:,}"
        f" tokens{floor}; {found.statements.reads:,} reads and {found.statements.writes:,} writes"
    )


def _asked(
    target: int | None, budget: int | None, *, leaf: bool, sweep: bool, force: bool
) -> "Asked":
    """Return what is asked for. Raises ``click.UsageError`` for what does not go together."""
    from plumbline.compact import Asked

    if leaf + sweep + (target is not None) > 1:
        raise click.UsageError("--leaf, --sweep and --until-under exclude each other")
    if target is not None and (force or budget is not None):
        raise click.UsageError("--until-under has its own bound; leave --budget and --force out")
    if target is not None:
        return Asked(way="until", target=target)
    if budget is None and not force:
        raise click.UsageError("give --budget TOKENS, or --force to compact whatever the size is")
    return Asked(way="leaf" if leaf else "sweep", budget=budget or 0, force=force)
