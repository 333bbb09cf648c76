"""What the released engine keeps of one conversation, and the rules in which its releases differ.

Chapter ``spec/compaction.md``, "The released engine".
"""

from enum import Enum
from typing import TypeAlias

from msgspec import Struct

from plumbline_models.closing import Closing
from plumbline_models.decisions.counting import Measure


class Message(Struct, frozen=True, kw_only=True):
    """A stored message."""

    id: int
    role: str
    content: str
    tokens: int
    """As its host counted; releases store any number, negative ones too."""
    at: str = "2026-01-01 00:00 UTC"
    """As the engine writes it into a source."""


class Summary(Struct, frozen=True, kw_only=True):
    """A stored summary, and what it was made of."""

    id: str
    leaf: bool
    depth: int
    content: str
    tokens: int
    descendants: int = 0
    descendant_tokens: int = 0
    source_tokens: int = 0
    files: tuple[str, ...] = ()
    messages: tuple[int, ...] = ()
    sources: tuple[str, ...] = ()
    earliest: str = "2026-01-01 00:00 UTC"
    latest: str = "2026-01-01 00:00 UTC"
    level: str = ""
    """How its text came about; releases log this and do not store it."""


class Row(Struct, frozen=True, kw_only=True):
    """One row of the context, at an ordinal that need not be its rank."""

    ordinal: int
    message: int | None = None
    summary: str | None = None


class Store(Struct, frozen=True, kw_only=True):
    """One conversation."""

    messages: tuple[Message, ...] = ()
    summaries: tuple[Summary, ...] = ()
    """In the order of their making."""
    rows: tuple[Row, ...] = ()
    """By ordinal."""

    def message(self, row: Row) -> Message | None:
        """Return the message of a row, None for a summary."""
        return next((one for one in self.messages if one.id == row.message), None)

    def summary(self, row: Row) -> Summary | None:
        """Return the summary of a row, None for a message."""
        return next((one for one in self.summaries if one.id == row.summary), None)


class ConstraintError(Exception):
    """A constraint of the database that an operation ran into; the operation left nothing."""


class Failure(Exception):  # noqa: N818 - what the summariser raised, passed on
    """An error of the summariser that is none of authentication: it leaves the engine."""


class Text(Struct, frozen=True):
    """What a summariser answered."""

    text: str


class Denied(Struct, frozen=True):
    """The caller was not authenticated."""


class Raised(Struct, frozen=True):
    """The call failed otherwise."""

    message: str = "the summariser failed"


Answer: TypeAlias = Text | Denied | Raised


class Call(Struct, frozen=True, kw_only=True):
    """What the engine asks of a summariser."""

    source: str
    aggressive: bool
    condensed: bool
    depth: int | None
    """Of the summary that is to be made; None for a leaf."""
    previous: str
    """The text of earlier summaries that it is told."""
    target: int
    """How many tokens are asked for."""
    store: Store = Store()
    """The conversation as it is when this is asked."""


class Totals(Enum):
    """Where the engine takes the size of the context from while it compacts."""

    READ = "read"
    """It is read anew after every pass."""
    DELTAS = "deltas"
    """The size at the beginning, less what each pass removed, plus what it added (PR #295)."""
    CLAMPED = "clamped"
    """The same, and never below zero (#1011)."""


class Rules(Struct, frozen=True, kw_only=True):
    """The decision points at which the releases differ."""

    name: str
    closing: Closing
    """How the ordinals are closed up after a replacement (PR #295)."""
    totals: Totals
    measure: Measure
    """How a text is counted (#344)."""
    current: bool = False
    """Whether it is the 0.15 line: sources name roles, empty chunks are skipped, sweeps drain what
    is raw and are bounded, the newest user message is protected, ids are random, and a fallback
    keeps within its cap. Those changes came with many pull requests (#681, #711, #1008, #1011)."""


BEFORE_295 = Rules(
    name="BEFORE_295",
    closing=Closing.RESEQUENCE,
    totals=Totals.READ,
    measure=Measure.UTF16,
)
PR295 = Rules(
    name="PR295",
    closing=Closing.UNLESS_CONTIGUOUS,
    totals=Totals.DELTAS,
    measure=Measure.UTF16,
)
HEAD = Rules(
    name="HEAD",
    closing=Closing.UNLESS_CONTIGUOUS,
    totals=Totals.CLAMPED,
    measure=Measure.CODE_POINTS,
    current=True,
)
RELEASES = {"before": BEFORE_295, "pr295": PR295, "head": HEAD}
"""By the name under which their answers were recorded."""
