"""The values of the context cache: state, events, outcomes and rules.

Chapter ``spec/context_cache.md``.
"""

from enum import Enum
from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from plumbline_models.contract import MAX_INTEGER
from plumbline_models.ordinals.values import ConversationField

Revision = Annotated[
    int,
    Meta(ge=0, le=MAX_INTEGER, description="how often the list of a conversation was changed"),
]
Users = Annotated[int, Meta(ge=0, le=MAX_INTEGER, description="compactions that run")]
Items = tuple[str, ...]
"""Ids of what stands in a context, oldest first."""


class Conversation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is stored of a conversation."""

    id: ConversationField
    revision: Revision = 1
    """1 when it is opened."""
    summaries: Items = ()
    messages: Items = ()
    """Behind the summaries."""

    @property
    def items(self) -> Items:
        """Return the list."""
        return (*self.summaries, *self.messages)


class Kept(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A list that an engine keeps, and the revision of its conversation when it was read."""

    conversation: ConversationField
    revision: Revision
    items: Items


class State(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is stored, and what one engine keeps of it."""

    conversations: tuple[Conversation, ...] = ()
    """By id."""
    users: Users = 0
    kept: tuple[Kept, ...] = ()
    """By the conversation's id."""


class Open(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="context_cache.Open"):
    """Begin a conversation."""

    conversation: ConversationField


class Change(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="context_cache.Change"
):
    """Somebody who does not compact appends a message."""

    conversation: ConversationField


class Begin(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="context_cache.Begin"
):
    """A compaction begins, beside others or inside one."""


class End(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="context_cache.End"):
    """The compaction that began last ends."""

    raised: bool = False
    """Whether it ends in an error."""


class Read(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="context_cache.Read"):
    """Ask for a list."""

    conversation: ConversationField
    compacting: bool
    """Whether a compaction asks, or somebody outside."""


class Commit(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="context_cache.Commit"
):
    """A compaction puts a summary in the place of the messages of the list that is kept."""

    conversation: ConversationField
    fails: bool = False
    """Whether its transaction fails at its end."""


Event: TypeAlias = Open | Change | Begin | End | Read | Commit


class Opened(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="context_cache.Opened"
):
    """The conversation exists and is empty."""


class Changed(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="context_cache.Changed"
):
    """The message stands at the end of the list."""

    revision: Revision


class Begun(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="context_cache.Begun"
):
    """So many compactions run now."""

    users: Users


class Ended(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="context_cache.Ended"
):
    """So many compactions run still."""

    users: Users


class Listed(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="context_cache.Listed"
):
    """A list, of a revision."""

    revision: Revision
    items: Items
    read: bool
    """Whether it was read from what is stored, or was kept."""


class Committed(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="context_cache.Committed"
):
    """The summary stands in the place of the messages."""

    revision: Revision


class Stale(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="context_cache.Stale"
):
    """The list was changed after it was read; nothing was done."""

    revision: Revision
    """Of what is stored."""


class RolledBack(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="context_cache.RolledBack"
):
    """The transaction failed, and nothing was done."""


class Reason(Enum):
    """Why an event was refused. The values are stable: vectors name them."""

    CONVERSATION_EXISTS = "conversation_exists"
    UNKNOWN_CONVERSATION = "unknown_conversation"
    NOBODY_COMPACTS = "nobody_compacts"
    NOTHING_READ = "nothing_read"
    NOTHING_TO_REPLACE = "nothing_to_replace"


class Refused(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="context_cache.Refused"
):
    """The state is as it was."""

    reason: Reason


Outcome: TypeAlias = (
    Opened | Changed | Begun | Ended | Listed | Committed | Stale | RolledBack | Refused
)


class Rules(Struct, frozen=True, kw_only=True):
    """The decision points at which systems differ; ``SPEC`` is the specification's."""

    name: str
    counted: bool = True
    """False: one flag says whether somebody compacts (a revision of lossless-claw PR #295)."""
    revisions: bool = True
    """False: a list is used whatever was changed meanwhile (lossless-claw, all releases)."""
    compactors_alone: bool = True
    """False: whoever asks is given a kept list, and fills it (lossless-claw since PR #295)."""


SPEC = Rules(name="SPEC")
"""The decisions of the specification."""
