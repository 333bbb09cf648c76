"""What people see of a context: a table, a lineage as a tree, what a rollback put back.

The lines are laid out here, in the cells that ``rich`` counts, and not by its tables and trees. A
table takes more than a millisecond for each row, which is long for a context of thousands. A tree
leaves out what is deeper than the width of the screen allows, and a lineage may be deeper.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice, zip_longest
from typing import Final

import msgspec
from rich.cells import cell_len, chop_cells, set_cell_size
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from plumbline.context import (
    ContextItem,
    ContextReport,
    LineageItem,
    LineageReport,
    RollBackReport,
    Size,
    Totals,
    Trouble,
)
from plumbline.screen import console, printable
from plumbline_models.ordinals import Item, MessageItem

PAGE_LINES: Final = 200
"""Lines that are printed at once."""
LEAST_ID: Final = 12
LEAST_WORDS: Final = 24
"""Cells that the first words keep before an id is folded."""
NARROW: Final = 120
"""On fewer columns a time span takes two lines."""
MOST_ROLE: Final = len("bashExecution")
MOMENT: Final = len("2026-01-31 12:00:00")
SHORTENED: Final = 8
"""Ids of conversations from this length on are left out of the ids of their messages."""
MOST_TIME: Final = 2 * MOMENT
"""A time that is not RFC 3339 may be longer."""

HEADINGS: Final = ("ordinal", "kind", "role", "depth", "tokens", "time (UTC)", "id", "first words")
NUMBERS: Final = {"ordinal", "depth", "tokens"}
ROLE, TIME, ID, WORDS = 2, 5, 6, 7
TO: Final = " to "
"""Between the ends of a time span."""

TROUBLES: Final = {
    Trouble.CYCLE: "a cycle: it is among its own sources",
    Trouble.REPEATED: "listed above: it is a source twice",
    Trouble.MISSING: "not stored",
}


def show_context(found: ContextReport) -> None:
    """Show the items of a context and its totals, or the list of conversations."""
    out = console()
    if found.context is None:
        _show_conversations(out, found.file, found.conversations, "show")
        return
    (totals,) = found.conversations
    _show_items(out, f"context of {totals.conversation}", totals.conversation, found.context)
    shown = len(found.context)
    if shown < totals.items:
        out.print(f"the newest {shown:,} of {totals.items:,} items")
    for line in _totals(totals):
        out.print(line, soft_wrap=True)


def show_lineage(found: LineageReport) -> None:
    """Show the lineage of a context as a tree, or the list of conversations."""
    out = console()
    if found.lineage is None:
        _show_conversations(out, found.file, found.conversations, "tree")
        return
    (totals,) = found.conversations
    out.print(_line(f"context of {totals.conversation}", "bold"), soft_wrap=True)
    ascii_only = out.options.ascii_only
    lines = _branches(found.lineage, totals.conversation, out.width, ascii_only=ascii_only)
    _print(out, lines)
    _explain_ids(out, (one.item for one in found.lineage), totals.conversation)
    for summed in _totals(totals):
        out.print(summed, soft_wrap=True)


def show_rollback(found: RollBackReport) -> None:
    """Show what stands in the context again, or why nothing was done."""
    out = console()
    if found.refused is not None:
        said = f": {found.refused.value}: {found.because}; nothing was changed"
        out.print(Text("refused", style="yellow") + _line(said), soft_wrap=True)
        return
    title = f"restored by the rollback of {found.summary}"
    _show_items(out, title, found.conversation, found.restored)
    before, after = _size(found.before), _size(found.after)
    out.print(Text("rolled back", style="green") + f": from {before}{TO}{after}")


def write_lineage(found: LineageReport) -> None:
    """Write a lineage as one JSON document: each item holds its sources, however deep."""
    known = {"file": found.file, "conversations": found.conversations}
    head = msgspec.json.encode(known).decode()
    sys.stdout.write(head[:-1] + ',"lineage":')
    if found.lineage is None:
        sys.stdout.write("null}\n")
        return
    sys.stdout.write("[")
    open_levels = 0
    for one in found.lineage:
        closes = open_levels - one.level
        sys.stdout.write("]}" * closes + ("," if closes else "") + "\n" + _opened(one))
        open_levels = one.level + 1
    sys.stdout.write("]}" * open_levels + "\n]}\n")


def _opened(one: LineageItem) -> str:
    """Return an item as a JSON object whose list of sources is still open."""
    fields = {
        "ordinal": one.ordinal,
        "item": one.item,
        "role": one.role,
        "depth": one.depth,
        "tokens": one.tokens,
        "time": one.time,
        "words": one.words,
        "not_listed": one.not_listed,
        "trouble": one.trouble,
    }
    return msgspec.json.encode(fields).decode()[:-1] + ',"sources":['


# Texts


def _line(stored: str, style: str = "") -> Text:
    return Text(printable(stored), style=style)


def _print(out: Console, lines: Iterable[Text]) -> None:
    """Print lines that fit the screen; a page at once, for each call costs much."""
    rest = iter(lines)
    while page := [*islice(rest, PAGE_LINES)]:
        out.print(Text("\n").join(page), soft_wrap=True)


def _count(number: int | None, what: str) -> str:
    if number is None:
        return f"unknown {what}s"
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _size(size: Size | None) -> str:
    return "nothing" if size is None else f"{_count(size.items, 'item')}, {size.tokens:,} tokens"


def span(first: str | None, last: str | None) -> str:
    """Return when something was said, in UTC; a time that is not RFC 3339 is shown as it is."""
    if first is None or last is None:
        return ""
    a, b = _moment(first), _moment(last)
    if a is None or b is None:
        return printable(first if first == last else f"{first}{TO}{last}")
    if a == b:
        return f"{a:%Y-%m-%d %H:%M:%S}"
    if a.date() == b.date():
        return f"{a:%Y-%m-%d %H:%M:%S}{TO}{b:%H:%M:%S}"
    if a.year == b.year:
        return f"{a:%Y-%m-%d %H:%M}{TO}{b:%m-%d %H:%M}"
    return f"{a:%Y-%m-%d}{TO}{b:%Y-%m-%d}"


def _moment(time: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(time)
        return None if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


# Conversations


def _show_conversations(out: Console, file: str, found: Sequence[Totals], command: str) -> None:
    if not found:
        out.print(_line(f"{file} holds no conversation"), soft_wrap=True)
        return
    table = Table(title=_line(f"conversations of {file}"))
    table.add_column("conversation", overflow="fold")
    for heading in ("items", "tokens", "messages", "covered", "lost", "entries"):
        table.add_column(heading, justify="right")
    for one in found:
        figures = (one.items, one.tokens, one.messages, one.covered, one.lost, one.entries)
        cells = ("" if figure is None else f"{figure:,}" for figure in figures)
        table.add_row(_line(one.conversation), *cells)
    out.print(table)
    out.print(_line(f"name one: plumbline context {command} {file} CONVERSATION"), soft_wrap=True)


def _totals(totals: Totals) -> tuple[str, str]:
    size = f"{_count(totals.items, 'item')}, {_count(totals.tokens, 'token')} as stored"
    lost = f"{totals.lost:,} lost"
    if totals.lost:
        lost += f" ({totals.pruned:,} pruned, {totals.forgotten:,} forgotten)"
    stored = f"{_count(totals.messages, 'message')} stored, {totals.covered:,} covered"
    return size, f"{stored}, {lost}; {totals.entries:,} entries"


# A table of items


def _show_items(out: Console, title: str, conversation: str, items: Sequence[ContextItem]) -> None:
    out.print(_line(title, "bold"), soft_wrap=True)
    if not items:
        out.print("nothing stands in it")
        return
    rows = [_cells(one, conversation) for one in items]
    widths = _widths(rows, out.width)
    heading = (Text(line, style="bold") for line in _row_lines(HEADINGS, widths))
    _print(out, heading)
    _print(out, (Text(line) for row in rows for line in _row_lines(row, widths)))
    _explain_ids(out, (one.item for one in items), conversation)


def _explain_ids(out: Console, items: Iterable[Item], conversation: str) -> None:
    if any(_short(one, conversation) != printable(one.id) for one in items):
        out.print("… in an id stands for the id of the conversation")


def _cells(one: ContextItem, conversation: str) -> tuple[str, ...]:
    return (
        f"{one.ordinal:,}",
        _kind(one.item),
        printable(one.role or ""),
        "" if one.depth is None else f"{one.depth:,}",
        "" if one.tokens is None else f"{one.tokens:,}",
        span(one.first_time, one.last_time),
        _short(one.item, conversation),
        printable(one.words),
    )


def _kind(item: Item) -> str:
    return "message" if isinstance(item, MessageItem) else "summary"


def _short(item: Item, conversation: str) -> str:
    """Return an id without the conversation's; a summary's stays whole, for it is typed again."""
    named = item.id
    begins = len(conversation) >= SHORTENED and named.startswith(conversation)
    if isinstance(item, MessageItem) and begins and named != conversation:
        return "…" + printable(named[len(conversation) :])
    return printable(named)


def _widths(rows: Sequence[tuple[str, ...]], screen: int) -> dict[int, int]:
    """Return the width of each column that holds something; all fit on the screen if they can."""
    widths: dict[int, int] = {}
    for at, heading in enumerate(HEADINGS):
        widest = max(cell_len(row[at]) for row in rows)
        if widest or at == WORDS:
            widths[at] = max(widest, cell_len(heading))
    for at, most in ((ROLE, MOST_ROLE), (TIME, MOMENT if screen < NARROW else MOST_TIME)):
        if at in widths:
            widths[at] = min(widths[at], most)
    gaps = len(widths) - 1
    rest = screen - gaps - sum(width for at, width in widths.items() if at < ID)
    widths[ID] = min(widths[ID], max(LEAST_ID, rest - LEAST_WORDS))
    widths[WORDS] = max(1, min(widths[WORDS], rest - widths[ID]))
    return widths


def _row_lines(row: Sequence[str], widths: dict[int, int]) -> Iterator[str]:
    """Yield the lines of a row; a long id and a long time take several."""
    columns = [_cell_lines(at, row[at], width) for at, width in widths.items()]
    for cells in zip_longest(*columns, fillvalue=""):
        line = " ".join(
            " " * (width - cell_len(cell)) + cell
            if HEADINGS[at] in NUMBERS
            else set_cell_size(cell, width)
            for (at, width), cell in zip(widths.items(), cells, strict=True)
        )
        yield line.rstrip()


def _cell_lines(at: int, cell: str, width: int) -> list[str]:
    if cell_len(cell) <= width:
        return [cell]
    if at == ID:
        return chop_cells(cell, width)
    first, to, last = cell.partition(TO)
    if at == TIME and to:
        return [_cut(first, width), _cut(TO.lstrip() + last, width)]
    return [_cut(cell, width)]


def _cut(cell: str, width: int) -> str:
    """Return a text of so many cells at most, with an ellipsis where it was cut."""
    return cell if cell_len(cell) <= width else set_cell_size(cell, width - 1).rstrip() + "…"


# A tree of items


def _branches(
    items: Sequence[LineageItem], conversation: str, width: int, *, ascii_only: bool
) -> Iterator[Text]:
    """Yield a line for each item, behind the guides that lead to it."""
    space, fork_on, fork, end = Tree.ASCII_GUIDES if ascii_only else Tree.TREE_GUIDES[0]
    most = max(1, width // 2 // len(space))
    bars = list[str]()
    for one, last in zip(items, _lasts(items), strict=True):
        del bars[one.level :]
        guides = "".join([*bars, end if last else fork][-most:])
        deeper = f"{one.level} " if one.level >= most else ""
        line = Text.assemble((deeper + guides, "dim"), *_label(one, conversation))
        line.truncate(width, overflow="ellipsis")
        yield line
        bars.append(space if last else fork_on)


def _lasts(items: Sequence[LineageItem]) -> list[bool]:
    """Tell of each item whether no other follows below the same one."""
    lasts, follows = list[bool](), list[bool]()
    for one in reversed(items):
        del follows[one.level + 1 :]
        follows += [False] * (one.level + 1 - len(follows))
        lasts.append(not follows[one.level])
        follows[one.level] = True
    lasts.reverse()
    return lasts


def _label(one: LineageItem, conversation: str) -> Iterator[str | tuple[str, str]]:
    """Yield the parts of a line: what an item is called, its figures, and how it begins."""
    place = "" if one.ordinal is None else f"{one.ordinal:,} "
    facts = [
        "" if one.depth is None else f"depth {one.depth:,}",
        printable(one.role or ""),
        "" if one.tokens is None else _count(one.tokens, "token"),
        span(one.time, one.time),
        f"{_count(one.not_listed, 'source')} not listed" if one.not_listed else "",
    ]
    yield f"{place}{_kind(one.item)} "
    yield _short(one.item, conversation), "bold"
    yield "".join(f", {fact}" for fact in facts if fact)
    if one.trouble is not None:
        yield f", {TROUBLES[one.trouble]}", "bold red"
    yield f": {printable(one.words)}" if one.words else ""
