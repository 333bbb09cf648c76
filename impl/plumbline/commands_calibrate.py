"""The command ``plumbline calibrate``."""

# ruff: noqa: PLC0415 - a command imports what it needs, and help needs nothing

import sys
from pathlib import Path

import click

FILE = click.Path(path_type=Path)
RELEASE_NAMES = ("before", "pr295", "head")


@click.group()
def calibrate() -> None:
    """Hold the models of released systems to what these systems answered."""


@calibrate.command("lossless-claw")
@click.option("--operations", type=FILE, required=True, help="What was asked (JSON Lines).")
@click.option("--answers", type=FILE, required=True, help="What was answered, line by line.")
@click.option(
    "--release",
    type=click.Choice(RELEASE_NAMES),
    required=True,
    help="The release that answered: before pull request 295, with it, or the 0.15 line.",
)
@click.option("--json", "json", is_flag=True, help="One JSON document on standard output.")
def lossless_claw(operations: Path, answers: Path, release: str, *, json: bool) -> None:
    """Run recorded operations on the model of a release, and compare every answer.

    Compared are result or error, context with stored ordinals and counts, total, and summariser
    calls; not the texts of summaries, which hold times and random names.
    """
    from plumbline.calibration import calibrate as run
    from plumbline.command import BROKEN, HOLDS
    from plumbline.screen import following, write_json
    from plumbline.screen_calibration import show_calibration

    with following() as told:
        found = run(operations, answers, release, lambda said: told("lossless-claw", release, said))
    if json:
        write_json(found)
    else:
        show_calibration(found)
    sys.exit(HOLDS if found.holds else BROKEN)
