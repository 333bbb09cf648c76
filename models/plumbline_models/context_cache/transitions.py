"""The step of the context cache (chapter ``spec/context_cache.md``, "Events")."""

from msgspec.structs import replace

from plumbline_models.context_cache.values import (
    Begin,
    Begun,
    Change,
    Changed,
    Commit,
    Committed,
    Conversation,
    End,
    Ended,
    Event,
    Kept,
    Listed,
    Open,
    Opened,
    Outcome,
    Read,
    Reason,
    Refused,
    RolledBack,
    Rules,
    Stale,
    State,
)
from plumbline_models.ordinals.values import ConversationId


def step(rules: Rules, state: State, event: Event) -> tuple[State, Outcome]:
    """Apply one event.

    Total: every event in every state has an outcome. A refusal returns ``state`` itself.
    """
    match event:
        case Open():
            return _open(state, event)
        case Begin():
            users = state.users + 1 if rules.counted else 1
            return replace(state, users=users), Begun(users=users)
        case End():
            return _end(rules, state)
        case Change() | Read() | Commit():
            at = find(state, event.conversation)
            if at is None:
                return state, Refused(reason=Reason.UNKNOWN_CONVERSATION)
            match event:
                case Change():
                    return _change(state, at)
                case Read():
                    return _read(rules, state, at, compacting=event.compacting)
                case Commit():
                    return _commit(rules, state, at, fails=event.fails)


def find(state: State, conversation: ConversationId) -> Conversation | None:
    """Return what is stored of a conversation, or None."""
    return next((one for one in state.conversations if one.id == conversation), None)


def kept_of(state: State, conversation: ConversationId) -> Kept | None:
    """Return the list that is kept of a conversation, or None."""
    return next((one for one in state.kept if one.conversation == conversation), None)


def keeping(state: State, kept: Kept) -> State:
    """Return the state in which a list is kept, in the place of another one if there is one."""
    others = without(state, kept.conversation).kept
    return replace(state, kept=tuple(sorted((*others, kept), key=lambda one: one.conversation)))


def without(state: State, conversation: ConversationId) -> State:
    """Return the state in which no list of a conversation is kept."""
    return replace(state, kept=tuple(one for one in state.kept if one.conversation != conversation))


def storing(state: State, changed: Conversation) -> State:
    """Return the state in which a conversation is stored so."""
    stored = tuple(changed if one.id == changed.id else one for one in state.conversations)
    return replace(state, conversations=stored)


def listed(at: Conversation) -> Kept:
    """Return the list of a conversation as it is read now."""
    return Kept(conversation=at.id, revision=at.revision, items=at.items)


def _open(state: State, event: Open) -> tuple[State, Outcome]:
    if find(state, event.conversation) is not None:
        return state, Refused(reason=Reason.CONVERSATION_EXISTS)
    every = (*state.conversations, Conversation(id=event.conversation))
    after = replace(state, conversations=tuple(sorted(every, key=lambda one: one.id)))
    return after, Opened()


def _end(rules: Rules, state: State) -> tuple[State, Outcome]:
    if state.users == 0:
        return state, Refused(reason=Reason.NOBODY_COMPACTS)
    users = state.users - 1 if rules.counted else 0
    return replace(state, users=users, kept=state.kept if users else ()), Ended(users=users)


def _change(state: State, at: Conversation) -> tuple[State, Outcome]:
    revision = at.revision + 1
    messages = (*at.messages, f"{at.id}/m{revision}")
    changed = replace(at, revision=revision, messages=messages)
    return storing(state, changed), Changed(revision=revision)


def _read(
    rules: Rules, state: State, at: Conversation, *, compacting: bool
) -> tuple[State, Outcome]:
    kept = kept_of(state, at.id)
    seen = compacting or not rules.compactors_alone
    if kept is not None and seen:
        return state, Listed(revision=kept.revision, items=kept.items, read=False)
    fresh = listed(at)
    after = keeping(state, fresh) if state.users and seen else state
    return after, Listed(revision=fresh.revision, items=fresh.items, read=True)


def _commit(rules: Rules, state: State, at: Conversation, *, fails: bool) -> tuple[State, Outcome]:
    """Replace the messages of the list that is kept, if it is what stands there still."""
    if not state.users:
        return state, Refused(reason=Reason.NOBODY_COMPACTS)
    kept = kept_of(state, at.id)
    if kept is None:
        return state, Refused(reason=Reason.NOTHING_READ)
    if rules.revisions and kept.revision != at.revision:
        return without(state, at.id), Stale(revision=at.revision)
    if not at.messages:
        return state, Refused(reason=Reason.NOTHING_TO_REPLACE)
    if fails:
        return without(state, at.id), RolledBack()
    after = summarised(at)
    return keeping(storing(state, after), listed(after)), Committed(revision=after.revision)


def summarised(at: Conversation) -> Conversation:
    """Return a conversation with a summary in the place of its messages."""
    revision = at.revision + 1
    summaries = (*at.summaries, f"{at.id}/s{revision}")
    return replace(at, revision=revision, summaries=summaries, messages=())
