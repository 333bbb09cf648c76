"""The commands ``plumbline context show``, ``context tree`` and ``context rollback``."""

# ruff: noqa: PLC0415 - a command imports what it needs, and help needs nothing

import sys
from pathlib import Path

import click

database = click.argument("database", metavar="DB", type=click.Path(path_type=Path))
conversation_if_any = click.argument("conversation", required=False)
as_json = click.option("--json", "json", is_flag=True, help="One JSON document on standard output.")


@click.group()
def context() -> None:
    """Look at the contexts of a database, and put back what a summary replaced."""


@context.command()
@database
@conversation_if_any
@click.option("--limit", type=click.IntRange(min=1), help="Show so many of the newest items.")
@as_json
def show(database: Path, conversation: str | None, limit: int | None, *, json: bool) -> None:
    """Show what stands in the context of a conversation.

    If there are several conversations and none is named, they are listed.
    """
    from plumbline.context import show as shown
    from plumbline.screen import write_json
    from plumbline.screen_context import show_context

    found = shown(database, conversation, limit)
    if json:
        write_json(found)
    else:
        show_context(found)


@context.command()
@database
@conversation_if_any
@click.option(
    "--depth",
    type=click.IntRange(min=0),
    help="Show so many levels below the context. [default: all]",
)
@as_json
def tree(database: Path, conversation: str | None, depth: int | None, *, json: bool) -> None:
    """Show the lineage of a context, down to messages.

    If there are several conversations and none is named, they are listed.
    """
    from plumbline.context import tree as lineage
    from plumbline.screen_context import show_lineage, write_lineage

    found = lineage(database, conversation, depth)
    if json:
        write_lineage(found)
    else:
        show_lineage(found)


@context.command()
@database
@click.argument("conversation")
@click.argument("summary")
@as_json
def rollback(database: Path, conversation: str, summary: str, *, json: bool) -> None:
    """Delete SUMMARY and put the items that it replaced back in its place."""
    from plumbline.command import HOLDS, REFUSED
    from plumbline.context import roll_back
    from plumbline.screen import write_json
    from plumbline.screen_context import show_rollback

    found = roll_back(database, conversation, summary)
    if json:
        write_json(found)
    else:
        show_rollback(found)
    sys.exit(HOLDS if found.refused is None else REFUSED)
