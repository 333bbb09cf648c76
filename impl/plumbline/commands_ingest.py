"""The command ``plumbline ingest``."""

# ruff: noqa: PLC0415 - a command imports what it needs, and help needs nothing

import sys
from pathlib import Path

import click

EXIT_CODES = {"unusable": 2, "refused": 3, "unfinished": 4}


@click.command()
@click.argument(
    "files", nargs=-1, required=True, metavar="TRANSCRIPT...", type=click.Path(path_type=Path)
)
@click.option(
    "--db",
    "database",
    required=True,
    type=click.Path(dir_okay=False),
    help="The database to store them in; it is created if there is none.",
)
@click.option("--json", "json", is_flag=True, help="One JSON document on standard output.")
def ingest(files: tuple[Path, ...], database: str, *, json: bool) -> None:
    """Store agent transcripts (JSON Lines, as OpenClaw and pi write them).

    A file is stored whole or not at all. The same file again adds nothing, and a grown one adds
    what is new; one whose stored lines changed, or whose leaf left the branch, is refused.
    """
    from plumbline.ingest import ingest as store
    from plumbline.screen import console, following, write_json

    with following() as told:
        found = store(database, files, lambda file, said: told("ingest", file, said))
    if json:
        write_json(found)
    else:
        console().print(
            f"{found.files} of {len(files)} files stored: {found.entries:,} entries,"
            f" {found.messages:,} messages, {found.added:,} added, {found.already:,} already there;"
            f" contexts of {found.tokens:,} tokens; {found.seconds:.1f} s",
            soft_wrap=True,
        )
    for one in found.failures:
        place = one.file if one.line is None else f"{one.file}, line {one.line}"
        sys.stderr.write(f"plumbline: nothing stored of {place}: {one.reason}\n")
    sys.exit(EXIT_CODES[found.failures[0].verdict] if found.failures else 0)
