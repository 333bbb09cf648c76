"""The command ``plumbline audit``."""

# ruff: noqa: PLC0415 - a command imports what it needs, and help needs nothing

import sys
from pathlib import Path

import click

from plumbline_spec.errors import UnusableInput

DATABASE = click.Path(path_type=Path)


@click.command()
@click.argument("file", type=DATABASE, required=False)
@click.option("--before", type=DATABASE, help="An earlier copy of a database.")
@click.option("--after", type=DATABASE, help="A later copy, said to follow from the earlier one.")
@click.option(
    "--limit-witnesses",
    "keep",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    help="Witnesses to show of each clause; all are counted.",
)
@click.option("--json", "json", is_flag=True, help="One JSON document on standard output.")
def audit(
    file: Path | None, before: Path | None, after: Path | None, keep: int, *, json: bool
) -> None:
    """Hold a database to every clause that needs no history, and change nothing.

    With --before and --after, say which conditions fail that are necessary for the one to have
    become the other; that none fails does not prove it.

    A database with a log beside it is copied into a private folder below TMPDIR and read there.
    """
    if file is not None and before is None and after is None:
        _audit(file, keep, json=json)
    elif file is None and before is not None and after is not None:
        _compare(before, after, keep, json=json)
    else:
        raise UnusableInput("name one FILE, or both --before and --after")


def _audit(file: Path, keep: int, *, json: bool) -> None:
    from plumbline.audit import audit_file
    from plumbline.command import code_of
    from plumbline.screen import following, write_json
    from plumbline.screen_audit import show_audit

    with following() as told:
        found = audit_file(file, keep=keep, progress=lambda said: told(str(file), "audit", said))
    if json:
        write_json(found)
    else:
        show_audit(found)
    sys.exit(code_of(found.audit.verdict))


def _compare(before: Path, after: Path, keep: int, *, json: bool) -> None:
    from plumbline.audit import compare_files
    from plumbline.command import code_of
    from plumbline.screen import following, write_json
    from plumbline.screen_audit import show_comparison

    with following() as told:
        found = compare_files(
            before, after, keep=keep, progress=lambda said: told(str(after), "audit", said)
        )
    if json:
        write_json(found)
    else:
        show_comparison(found)
    sys.exit(code_of(found.comparison.verdict))
