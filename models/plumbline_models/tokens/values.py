"""The values of tokens: its state, events, outcomes and rules (chapter ``spec/tokens.md``)."""

from enum import Enum
from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from plumbline_models import ordinals
from plumbline_models.contract import MAX_INTEGER
from plumbline_models.decisions.counting import Door, Doubt, Measure
from plumbline_models.decisions.limits import Limits, Regime
from plumbline_models.ordinals.values import (
    ConversationField,
    Item,
    MessageField,
    OrdinalField,
    SummaryField,
    TextField,
)

Tokens = Annotated[
    int,
    Meta(ge=-MAX_INTEGER, le=MAX_INTEGER, description="in tokens, of the ledger's one measure"),
]
Amount = Annotated[
    int, Meta(ge=0, le=MAX_INTEGER, description="in tokens, of the ledger's one measure")
]
Given = Annotated[
    int, Meta(ge=-MAX_INTEGER, le=MAX_INTEGER, description="in tokens, as the host counted them")
]


class Count(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The stored count of one stored message or summary; it never changes while it is stored."""

    item: Item
    tokens: Tokens


class Ledger(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one conversation weighs."""

    conversation: ConversationField
    total: Tokens = 0
    """What every decision reads: the size of the context."""
    counts: tuple[Count, ...] = ()
    """A count for each stored message, oldest first, then for each stored summary, by id."""


class State(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The conversations of ordinals and, for each of them, a ledger."""

    lists: ordinals.State = ordinals.State()
    ledgers: tuple[Ledger, ...] = ()
    """By the conversation's id."""


class Draft(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A message to append."""

    id: MessageField
    text: TextField
    tokens: Given | None = None
    """None when the host did not count."""


class Append(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="tokens.Append"):
    """Append messages (``ordinals.Append``) and store a count for each."""

    conversation: ConversationField
    messages: tuple[Draft, ...]


class Replace(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="tokens.Replace"):
    """Put one summary in the place of items (``ordinals.Replace``) and store its count."""

    conversation: ConversationField
    summary: SummaryField
    text: TextField
    items: tuple[Item, ...]
    first: OrdinalField | None = None
    last: OrdinalField | None = None
    tokens: Given | None = None
    """None when the host did not count."""


class Weigh(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="tokens.Weigh"):
    """Ask in which regime the context is; nothing changes."""

    conversation: ConversationField
    limits: Limits
    observed: Amount | None = None
    """What the host's model counted for this context; None when it did not."""


Event: TypeAlias = (
    ordinals.Open | Append | Replace | ordinals.RollBack | ordinals.Prune | ordinals.Forget | Weigh
)

Listed: TypeAlias = (
    ordinals.Opened
    | ordinals.Appended
    | ordinals.Replaced
    | ordinals.RolledBack
    | ordinals.Pruned
    | ordinals.Forgotten
)
"""What ordinals answers when it accepts an event."""


class Posted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="tokens.Posted"):
    """The event happened, and the ledger has it."""

    outcome: Listed
    before: Tokens
    """The total before."""
    removed: Tokens
    """The counts of the items that left the context."""
    added: Tokens
    """The counts of the items that came into the context."""
    after: Tokens
    """The total after."""


class Weighed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="tokens.Weighed"):
    """What was read, and what follows from it."""

    total: Tokens
    """The total of the ledger."""
    size: Tokens
    """What was compared: the total, or what the host observed if that is more."""
    soft: Tokens
    hard: Tokens
    regime: Regime


class Refused(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="tokens.Refused"):
    """A count is not believed; the state is as it was."""

    reason: Doubt
    index: Annotated[
        int,
        Meta(ge=0, le=MAX_INTEGER, description="which message of the event, counted from 0"),
    ]


Outcome: TypeAlias = Posted | Weighed | Refused | ordinals.Refused | ordinals.Failed


class Posting(Enum):
    """Where the total after an event comes from."""

    COUNTS = "counts"
    """The stored counts of what stands in the context."""
    FALLBACK = "fallback"
    """After a replacement: the total before, less counts of which those that are not positive were
    estimated, plus the summary's (lossless-claw PR #295); otherwise as ``COUNTS``."""
    CLAMPED = "clamped"
    """The same, and never below zero (lossless-claw #1011)."""


class Rules(Struct, frozen=True, kw_only=True):
    """The decision points at which released systems differ; ``SPEC`` is the specification's."""

    name: str
    lists: ordinals.Rules = ordinals.SPEC
    door: Door = Door.GUARDED
    measure: Measure = Measure.CODE_POINTS
    posting: Posting = Posting.COUNTS


SPEC = Rules(name="SPEC")
