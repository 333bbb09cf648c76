"""What people see of a calibration: how many answers agree, and the first that do not."""

from rich.table import Table
from rich.text import Text

from plumbline.calibration import Calibration
from plumbline.screen import console, printable

MOST_CHARACTERS = 400
"""Of one side of a difference; ``--json`` has all of it."""


def show_calibration(found: Calibration) -> None:
    """Show the figures, and a table of the first differences if there are any."""
    out = console()
    if found.differences:
        table = Table("answer", "operation", "field", "recorded", "modelled")
        for one in found.differences:
            sides = (_cell(one.recorded), _cell(one.modelled))
            table.add_row(str(one.number), one.op, one.field, *sides)
        out.print(table)
    word = "equal" if found.holds else "DIFFERENT"
    out.print(
        Text(
            f"{word}: lossless-claw {found.release}: {found.compared:,} of {found.recorded:,}"
            f" answers compared, {found.equal:,} equal, {found.differing:,} different"
        ),
        soft_wrap=True,
    )


def _cell(said: str) -> Text:
    short = said if len(said) <= MOST_CHARACTERS else f"{said[:MOST_CHARACTERS]}…"
    return Text(printable(short))
