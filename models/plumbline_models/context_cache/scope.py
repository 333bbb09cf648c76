"""What is worth trying in a state of the context cache."""

from collections.abc import Iterator

from msgspec import Struct

from plumbline_models.context_cache.values import (
    Begin,
    Change,
    Commit,
    End,
    Event,
    Open,
    Read,
    State,
)
from plumbline_models.contract import Choices
from plumbline_models.ordinals.values import ConversationId


class Scope(Struct, frozen=True, kw_only=True):
    """How far ``events`` reaches; every field bounds what can exist at once."""

    conversations: int = 2
    revisions: int = 2
    """How often each conversation is changed."""
    users: int = 2
    refusals: bool = True
    """Whether to offer events that are refused because something does not exist."""


def in_scope(state: State, scope: Scope) -> Iterator[Event]:
    """Yield every event worth trying in ``state``."""
    if len(state.conversations) < scope.conversations:
        yield Open(conversation=ConversationId(f"c{len(state.conversations) + 1}"))
    if state.users < scope.users:
        yield Begin()
    yield End()
    yield End(raised=True)
    for at in state.conversations:
        yield Read(conversation=at.id, compacting=True)
        yield Read(conversation=at.id, compacting=False)
        yield Commit(conversation=at.id, fails=True)
        if at.revision <= scope.revisions:
            yield Change(conversation=at.id)
            yield Commit(conversation=at.id)
    if scope.refusals:
        nowhere = ConversationId("nowhere")
        yield Change(conversation=nowhere)
        yield Read(conversation=nowhere, compacting=True)
        yield Commit(conversation=nowhere)
        yield from (Open(conversation=at.id) for at in state.conversations[:1])


def choices(state: State) -> Choices:
    """Return values that occur here and near misses: a group for each conversation."""
    names = [*(at.id for at in state.conversations), ConversationId("c1"), ConversationId("c2")]
    flags: dict[str, tuple[object, ...]] = {
        "compacting": (True, True, False),
        "fails": (False, False, True),
        "raised": (False, True),
    }
    return Choices(groups=tuple({"conversation": (name,), **flags} for name in names))
