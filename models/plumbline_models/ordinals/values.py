"""The values of ordinals: its state, events, outcomes and rules (chapter ``spec/ordinals.md``)."""

from enum import Enum
from typing import Annotated, NewType, TypeAlias

from msgspec import Meta, Struct

from plumbline_models.closing import Closing
from plumbline_models.contract import MAX_INTEGER

ConversationId = NewType("ConversationId", str)
MessageId = NewType("MessageId", str)
SummaryId = NewType("SummaryId", str)
Ordinal = NewType("Ordinal", int)
Sequence = NewType("Sequence", int)
Depth = NewType("Depth", int)

_ID = Meta(min_length=1, max_length=256)
ConversationField = Annotated[ConversationId, _ID, Meta(description="names one conversation")]
MessageField = Annotated[MessageId, _ID, Meta(description="names one message of all conversations")]
SummaryField = Annotated[SummaryId, _ID, Meta(description="names one summary of all conversations")]
OrdinalField = Annotated[
    Ordinal,
    Meta(
        ge=-MAX_INTEGER,
        le=MAX_INTEGER,
        description="place in the context, in items; 0 is the oldest",
    ),
]
_Sequence = Annotated[
    Sequence,
    Meta(
        ge=0, le=MAX_INTEGER, description="number of a message in its conversation; the first is 1"
    ),
]
_Depth = Annotated[
    Depth,
    Meta(
        ge=0, le=MAX_INTEGER, description="0 for a summary of messages, else 1 + its deepest source"
    ),
]
TextField = Annotated[str, Meta(max_length=16_777_216, description="what was said, in code points")]


class MessageItem(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="message"
):
    """A message, named as an item of a context, a lineage or a loss."""

    id: MessageField


class SummaryItem(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="summary"
):
    """A summary, named as an item of a context, a lineage or a loss."""

    id: SummaryField


Item: TypeAlias = MessageItem | SummaryItem


class Message(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stored message; it never changes while it is stored."""

    id: MessageField
    sequence: _Sequence
    text: TextField


class Summary(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stored summary and its lineage: the items it replaced, oldest first."""

    id: SummaryField
    depth: _Depth
    text: TextField
    sources: tuple[Item, ...]


class Placed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of a context."""

    ordinal: OrdinalField
    item: Item


class Cause(Enum):
    """Why an item left the context without a summary of it."""

    FORGOTTEN = "forgotten"
    PRUNED = "pruned"


class Loss(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The record of one item that was pruned or forgotten; it is never changed or removed."""

    position: Annotated[
        Sequence,
        Meta(
            ge=0,
            le=MAX_INTEGER,
            description="sequence number of the first message that the item covers",
        ),
    ]
    cause: Cause
    item: Item


class Conversation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One conversation: all that was said, and what of it stands in the context."""

    id: ConversationField
    next_sequence: Annotated[
        Sequence,
        Meta(
            ge=1, le=MAX_INTEGER, description="number that the next message gets; never goes back"
        ),
    ] = Sequence(1)
    messages: tuple[Message, ...] = ()
    """Every stored message, oldest first."""
    summaries: tuple[Summary, ...] = ()
    """Every stored summary, by id."""
    context: tuple[Placed, ...] = ()
    """The active context, by ordinal."""
    losses: tuple[Loss, ...] = ()
    """What was pruned or forgotten, by position, then cause."""


class State(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every conversation, by id."""

    conversations: tuple[Conversation, ...] = ()


class Draft(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A message to append."""

    id: MessageField
    text: TextField


class Open(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ordinals.Open"):
    """Begin a conversation."""

    conversation: ConversationField


class Append(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ordinals.Append"):
    """Store messages and place them at the end of the context, in the order given."""

    conversation: ConversationField
    messages: tuple[Draft, ...]


class Replace(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ordinals.Replace"
):
    """Put one summary in the place of the named, adjacent items."""

    conversation: ConversationField
    summary: SummaryField
    text: TextField
    items: tuple[Item, ...]
    """The items as the caller read them, oldest first."""
    first: OrdinalField | None = None
    """Where the caller expects the first of them; None for no expectation."""
    last: OrdinalField | None = None
    """Where the caller expects the last of them; None for no expectation."""


class RollBack(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ordinals.RollBack"
):
    """Delete a summary with its lineage and put its sources back in its place."""

    conversation: ConversationField
    summary: SummaryField


class Prune(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ordinals.Prune"):
    """Start a new session: every message leaves the context, and every shallow summary."""

    conversation: ConversationField
    retain_depth: (
        Annotated[
            int,
            Meta(
                ge=0, le=MAX_INTEGER, description="least depth of a summary that stays; 0 keeps all"
            ),
        ]
        | None
    )
    """None keeps no summary."""


class Forget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ordinals.Forget"):
    """Delete messages that no summary covers; only the record of the loss stays."""

    conversation: ConversationField
    messages: tuple[MessageField, ...]


Event: TypeAlias = Open | Append | Replace | RollBack | Prune | Forget


class Opened(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ordinals.Opened"):
    """The conversation exists and is empty."""


class Appended(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ordinals.Appended"
):
    """The messages stand at consecutive ordinals and sequence numbers from these on."""

    ordinal: OrdinalField
    sequence: _Sequence


class Replaced(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ordinals.Replaced"
):
    """The summary stands where the first of its sources stood."""

    depth: _Depth


class RolledBack(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ordinals.RolledBack"
):
    """These items stand in the context again, oldest first."""

    restored: tuple[Item, ...]


class Pruned(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ordinals.Pruned"):
    """These items left the context and are recorded, oldest first."""

    removed: tuple[Item, ...]


class Forgotten(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ordinals.Forgotten"
):
    """The messages are gone; these of them stood in the context, oldest first."""

    removed: tuple[MessageField, ...]


class Reason(Enum):
    """Why an event was refused. The values are stable: vectors name them."""

    CONVERSATION_EXISTS = "conversation_exists"
    UNKNOWN_CONVERSATION = "unknown_conversation"
    EMPTY_BATCH = "empty_batch"
    EMPTY_RANGE = "empty_range"
    DUPLICATE_ITEM = "duplicate_item"
    MIXED_ITEMS = "mixed_items"
    UNKNOWN_ITEM = "unknown_item"
    FOREIGN_ITEM = "foreign_item"
    ALREADY_PLACED = "already_placed"
    FORGOTTEN_ITEM = "forgotten_item"
    COVERED_ITEM = "covered_item"
    STALE_RANGE = "stale_range"
    NOT_ADJACENT = "not_adjacent"
    NOT_IN_CONTEXT = "not_in_context"


class Refused(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ordinals.Refused"
):
    """The state is as it was."""

    reason: Reason


class Failed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ordinals.Failed"):
    """A database constraint stopped the event; the state is as it was."""

    constraint: Annotated[str, Meta(description="the columns of the constraint")]


Outcome: TypeAlias = (
    Opened | Appended | Replaced | RolledBack | Pruned | Forgotten | Refused | Failed
)


class Numbering(Enum):
    """Where an appended message gets its sequence number."""

    COUNTER = "counter"
    """From a stored counter that never goes back."""
    MAX_PLUS_ONE = "max_plus_one"
    """One more than the last position in the context; a replaced tail lowers it."""


class Rules(Struct, frozen=True, kw_only=True):
    """The decision points at which released systems differ; ``SPEC`` is the specification's."""

    name: str
    closing: Closing = Closing.RANKS
    numbering: Numbering = Numbering.COUNTER
    stale_check: bool = True
    """False: a replacement removes what stands at its ordinals (lossless-claw, all releases)."""
    prune_closes: bool = True
    """False: pruning and forgetting leave gaps (lossless-claw, all releases)."""
    prune_records: bool = True
    """False: what is pruned is not recorded (lossless-claw, all releases)."""


SPEC = Rules(name="SPEC")
