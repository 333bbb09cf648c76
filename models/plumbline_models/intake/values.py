"""The values of intake: its state, events, outcomes and rules (chapter ``spec/intake.md``)."""

from enum import Enum
from typing import Annotated, NewType, TypeAlias

from msgspec import Meta, Struct

from plumbline_models import ordinals, tokens
from plumbline_models.contract import MAX_INTEGER
from plumbline_models.ordinals.values import ConversationField, MessageField, TextField
from plumbline_models.tokens.values import Given

MAX_FIRST = 2**52
"""The greatest place of a first row; the places of the rows behind it stay below the bound."""

EntryId = NewType("EntryId", str)
SourceId = NewType("SourceId", str)
Digest = NewType("Digest", str)
Place = NewType("Place", int)

EntryField = Annotated[
    EntryId,
    Meta(min_length=1, max_length=256, description="names one entry of a conversation"),
]
SourceField = Annotated[
    SourceId,
    Meta(min_length=1, max_length=256, description="names one list of a host: a file, a session"),
]
DigestField = Annotated[
    Digest,
    Meta(
        min_length=1,
        max_length=64,
        description="of the bytes of a row as its host wrote it; equal for the same row alone",
    ),
]
PlaceField = Annotated[
    Place,
    Meta(ge=1, le=MAX_INTEGER, description="number of a row in all of its source; the first is 1"),
]
_Index = Annotated[
    int, Meta(ge=0, le=MAX_INTEGER, description="which row of the event, counted from 0")
]
_Offset = Annotated[int, Meta(ge=0, le=MAX_INTEGER, description="in code points of the text")]
_Name = Annotated[str, Meta(max_length=256)]
_Call = Annotated[str, Meta(max_length=1024)]
_Time = Annotated[
    str, Meta(max_length=64, description="when it was said, as its host wrote it (RFC 3339)")
]


class Standing(Enum):
    """What an entry is to the context. The values are stable: vectors name them."""

    PLACED = "placed"
    """A message on the branch of the leaf; it is appended to the context."""
    CARRIED = "carried"
    """Another entry on that branch: a change of model, a label; it is stored."""
    ASIDE = "aside"
    """An entry off that branch; it is stored."""


class Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A span of a text: one part of the message as its host wrote it."""

    kind: _Name
    """``text``, or what the host calls it: a tool call, thinking, an image."""
    start: _Offset
    length: _Offset
    call: _Call | None = None
    """The id of the tool call that it makes or answers."""
    name: _Name | None = None
    """The name of the tool."""


class Row(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row of a host's list."""

    message: MessageField
    """The id that its message gets if it is new and placed."""
    entry: EntryField | None = None
    """The host's own id of it; None when the host gives none."""
    parent: EntryField | None = None
    """The entry that it follows; None when the host does not say."""
    standing: Standing = Standing.PLACED
    digest: DigestField
    role: _Name
    text: TextField
    tokens: Given | None = None
    """None when the host did not count."""
    time: _Time | None = None
    parts: tuple[Part, ...] = ()


class Entry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row that is stored; it never changes, and it outlives its message."""

    source: SourceField
    """The source that handed it over first."""
    entry: EntryField | None
    place: PlaceField | None
    """Where it stands in its source; None when that was not said."""
    standing: Standing
    digest: DigestField
    role: _Name
    message: MessageField | None
    """Its message; None unless it is placed."""
    text: TextField | None
    """What it says; None when it is placed, because its message says it."""
    time: _Time | None = None
    parts: tuple[Part, ...]


class Log(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one conversation was handed."""

    conversation: ConversationField
    entries: tuple[Entry, ...] = ()
    """In the order of storing."""


class State(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The conversations and ledgers of tokens and, for each conversation, a log."""

    ledger: tokens.State = tokens.State()
    logs: tuple[Log, ...] = ()
    """By the conversation's id."""


class Take(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="intake.Take"):
    """Store those rows of a host's list that are not stored yet: all of it, a tail, or less."""

    conversation: ConversationField
    source: SourceField
    rows: tuple[Row, ...]
    first: (
        Annotated[Place, Meta(ge=1, le=MAX_FIRST, description="place of the first row")] | None
    ) = None
    """Where the first row stands in all of the source; None when the host does not know."""


class Reopen(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="intake.Reopen"):
    """Stop the process that stores and start it again; nothing changes."""

    crash: bool = False
    """Whether it stops without warning."""


Event: TypeAlias = (
    ordinals.Open
    | tokens.Append
    | tokens.Replace
    | ordinals.RollBack
    | ordinals.Prune
    | ordinals.Forget
    | tokens.Weigh
    | Take
    | Reopen
)


class Fate(Enum):
    """What became of a row. The values are stable: vectors name them."""

    ADDED = "added"
    """It was not known; it is stored, and a placed one stands at the end of the context."""
    KNOWN = "known"
    """It was stored before, and nothing happened."""


class Taken(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="intake.Taken"):
    """Every row is stored now, once."""

    fates: tuple[Fate, ...]
    """One for each row of the event, in its order."""
    posted: tokens.Posted | None
    """How the messages that were added were appended; None when there are none."""


class Reopened(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="intake.Reopened"
):
    """Everything is as it was."""


class Reason(Enum):
    """Why rows were refused. The values are stable: vectors name them."""

    UNDECIDABLE = "undecidable"
    """Nobody can tell whether the rows are stored: what would tell is missing on either side."""
    CHANGED_ROW = "changed_row"
    """The row is stored, and its bytes are others, or it gained or lost an id."""
    MISSING_ROWS = "missing_rows"
    """Rows before this one were never handed over."""
    MISPLACED_PARTS = "misplaced_parts"
    """The parts of the row are not spans of its text, in order and apart."""
    FORKED = "forked"
    """The row goes on from another entry than the last one of the branch in the context."""


class Refused(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="intake.Refused"):
    """The rows named cannot be taken; none of the event is, and the state is as it was."""

    reason: Reason
    rows: tuple[_Index, ...]
    fork: EntryField | None = None
    """For ``forked``: the entry that the row names as its parent; None when it names none."""


Outcome: TypeAlias = Taken | Reopened | Refused | tokens.Outcome


class Rules(Struct, frozen=True, kw_only=True):
    """The decision points at which systems differ; ``SPEC`` is the specification's."""

    name: str
    ledger: tokens.Rules = tokens.SPEC
    places: bool = True
    """False: a row without an id cannot be decided even where its place is known."""


SPEC = Rules(name="SPEC")
