"""Ordinals over bare tuples: the peer that the judge's explorer is timed against.

Theory of operation. The machine of ``spec/ordinals.md`` under the rules of the specification,
written apart from ``plumbline_models.ordinals`` and without a struct: a state is a tuple of
conversations, an event and an outcome are tuples that begin with their name. Events, their order,
outcomes, clauses and the search are those of the model, so states, transitions and depth are
equal, and what differs in time is the cost of structs and of a judge that fits every machine.

================  =============================================================
value             fields
================  =============================================================
``Conversation``  id, next sequence, messages, summaries, context, losses
``Message``       id, sequence, text
``Summary``       id, depth, text, sources
``Placed``        ordinal, item
``Item``          ``"message"`` or ``"summary"``, id
``Loss``          position, ``"forgotten"`` or ``"pruned"``, item
================  =============================================================

Clauses  ORD-1 to ORD-9 once a new state, ORD-10 to ORD-17 and ORD-22 to ORD-28 once a transition
         that they are about, ORD-18 to ORD-21 until they are reached
"""

import gc
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple, TypeAlias, assert_never

from plumbline_models.ordinals import Scope

Item: TypeAlias = tuple[str, str]
Message: TypeAlias = tuple[str, int, str]
Summary: TypeAlias = tuple[str, int, str, tuple[Item, ...]]
Placed: TypeAlias = tuple[int, Item]
Loss: TypeAlias = tuple[int, str, Item]
Conversation: TypeAlias = tuple[
    str, int, tuple[Message, ...], tuple[Summary, ...], tuple[Placed, ...], tuple[Loss, ...]
]
State: TypeAlias = tuple[Conversation, ...]

Draft: TypeAlias = tuple[str, str]
Open: TypeAlias = tuple[Literal["open"], str]
Append: TypeAlias = tuple[Literal["append"], str, tuple[Draft, ...]]
Replace: TypeAlias = tuple[
    Literal["replace"], str, str, str, tuple[Item, ...], int | None, int | None
]
RollBack: TypeAlias = tuple[Literal["roll_back"], str, str]
Prune: TypeAlias = tuple[Literal["prune"], str, int | None]
Forget: TypeAlias = tuple[Literal["forget"], str, tuple[str, ...]]
Event: TypeAlias = Open | Append | Replace | RollBack | Prune | Forget

Refused: TypeAlias = tuple[Literal["refused"], str]
Outcome: TypeAlias = (
    tuple[Literal["opened"]]
    | tuple[Literal["appended"], int, int]
    | tuple[Literal["replaced"], int]
    | tuple[Literal["rolled_back"], tuple[Item, ...]]
    | tuple[Literal["pruned"], tuple[Item, ...]]
    | tuple[Literal["forgotten"], tuple[str, ...]]
    | Refused
    | tuple[Literal["failed"], str]
)

Parents: TypeAlias = dict[State, tuple[State, Event] | None]
StateClause: TypeAlias = Callable[[Conversation], str | None]
StepClause: TypeAlias = Callable[[State, Event, Outcome, State], str | None]
SometimesClause: TypeAlias = Callable[[State, Event, Outcome, State], bool]

INITIAL: State = ()

EVENTS = ("open", "append", "replace", "roll_back", "prune", "forget")
OUTCOMES = (
    "opened",
    "appended",
    "replaced",
    "rolled_back",
    "pruned",
    "forgotten",
    "refused",
    "failed",
)


class Walk(NamedTuple):
    """What a completed search found."""

    parents: Parents
    """Every state, with the state and the event that first led to it; None for the initial one."""
    transitions: int
    depth: int
    """Events in the longest of the shortest traces."""
    reached: frozenset[str]
    """The sometimes-clauses that some step reached."""


class BrokenError(Exception):
    """A clause does not hold; ``trace`` are the fewest events that lead to where it breaks."""

    def __init__(self, clause: str, witness: str, trace: list[Event]) -> None:
        super().__init__(f"{clause} is broken after {len(trace)} events: {witness}")
        self.clause = clause
        self.witness = witness
        self.trace = trace


def explore(scope: Scope) -> tuple[int, int, int]:
    """Return distinct states, transitions and depth; raise ``BrokenError`` at a broken clause."""
    found = walk(scope)
    return len(found.parents), found.transitions, found.depth


def walk(scope: Scope) -> Walk:
    """Visit every state of a scope, breadth first, while cyclic garbage collection is suspended."""
    was = gc.isenabled()
    gc.disable()
    try:
        return _walk(scope)
    finally:
        if was:
            gc.enable()


def _walk(scope: Scope) -> Walk:
    parents: Parents = {INITIAL: None}
    pending = dict(SOMETIMES_CLAUSES)
    transitions, depth = 0, 0
    frontier = [INITIAL]
    while frontier:
        found: list[State] = []
        for before in frontier:
            for event in in_scope(before, scope):
                after, outcome = step(before, event)
                transitions += 1
                broken = broken_by_step(before, event, outcome, after)
                if pending:
                    _note_reached(before, event, outcome, after, pending)
                if after is not before and after not in parents:
                    parents[after] = before, event
                    found.append(after)
                    broken = broken_by_state(after) if broken is None else broken
                if broken is not None:
                    raise BrokenError(*broken, [*trace_to(before, parents), event])
        frontier = found
        depth += bool(found)
    return Walk(parents, transitions, depth, frozenset(SOMETIMES_CLAUSES.keys() - pending.keys()))


def trace_to(state: State, parents: Parents) -> list[Event]:
    """Return the events of a shortest trace from the initial state."""
    events: list[Event] = []
    came = parents[state]
    while came is not None:
        state, event = came
        events.append(event)
        came = parents[state]
    return events[::-1]


def broken_by_state(state: State) -> tuple[str, str] | None:
    """Return the first clause that a state breaks, with its witness, or None."""
    for at in state:
        for clause, breaks in STATE_CLAUSES.items():
            witness = breaks(at)
            if witness is not None:
                return clause, f"conversation {at[0]}: {witness}"
    witness = _identity(state)
    return None if witness is None else ("ORD-8", witness)


def broken_by_step(
    before: State, event: Event, outcome: Outcome, after: State
) -> tuple[str, str] | None:
    """Return the first clause that a step breaks, with its witness, or None."""
    applies = _INERT if after is before else _APPLIES
    for clause, breaks in applies[event[0], outcome[0]]:
        witness = breaks(before, event, outcome, after)
        if witness is not None:
            return clause, f"conversation {event[1]}: {witness}"
    return None


def _note_reached(
    before: State,
    event: Event,
    outcome: Outcome,
    after: State,
    pending: dict[str, SometimesClause],
) -> None:
    for clause, reached in list(pending.items()):
        if reached(before, event, outcome, after):
            del pending[clause]


def step(state: State, event: Event) -> tuple[State, Outcome]:
    """Apply one event (chapter, "Events"); a refusal returns ``state`` itself."""
    if event[0] == "open":
        return _open(state, event)
    at = _find(state, event[1])
    if at is None:
        return state, _refused("unknown_conversation")
    if event[0] == "append":
        return _append(state, at, event)
    if event[0] == "replace":
        return _replace(state, at, event)
    if event[0] == "roll_back":
        return _roll_back(state, at, event)
    if event[0] == "prune":
        return _prune(state, at, event)
    if event[0] == "forget":
        return _forget(state, at, event)
    assert_never(event)


def _refused(reason: str) -> Refused:
    return "refused", reason


def _find(state: State, conversation: str) -> Conversation | None:
    for at in state:
        if at[0] == conversation:
            return at
    return None


def _settle(state: State, changed: Conversation) -> State:
    return tuple([changed if at[0] == changed[0] else at for at in state])


def _ranked(items: Iterable[Item]) -> tuple[Placed, ...]:
    return tuple(enumerate(items))


def _open(state: State, event: Open) -> tuple[State, Outcome]:
    conversation = event[1]
    if _find(state, conversation) is not None:
        return state, _refused("conversation_exists")
    opened: Conversation = (conversation, 1, (), (), (), ())
    return tuple(sorted((*state, opened))), ("opened",)


def _append(state: State, at: Conversation, event: Append) -> tuple[State, Outcome]:
    _, conversation, drafts = event
    reason = _append_refusal(state, at, drafts)
    if reason is not None:
        return state, _refused(reason)
    _, sequence, messages, summaries, context, losses = at
    ordinal = context[-1][0] + 1 if context else 0
    stored = [(name, sequence + index, text) for index, (name, text) in enumerate(drafts)]
    placed = [(ordinal + index, ("message", name)) for index, (name, _) in enumerate(drafts)]
    after = (
        conversation,
        sequence + len(drafts),
        (*messages, *stored),
        summaries,
        (*context, *placed),
        losses,
    )
    return _settle(state, after), ("appended", ordinal, sequence)


def _append_refusal(state: State, at: Conversation, drafts: tuple[Draft, ...]) -> str | None:
    if not drafts:
        return "empty_batch"
    if len({name for name, _ in drafts}) < len(drafts):
        return "duplicate_item"
    for name, _ in drafts:
        reason = _message_standing(state, at, name)
        if reason != "unknown_item":
            return "already_placed" if reason is None else reason
    return None


def _replace(state: State, at: Conversation, event: Replace) -> tuple[State, Outcome]:
    reason = _replace_refusal(state, at, event)
    if reason is not None:
        return state, _refused(reason)
    _, conversation, name, text, items, _, _ = event
    _, sequence, messages, summaries, context, losses = at
    depth = 1 + max([_depth_of(at, item) for item in items])
    first = next(rank for rank, (_, item) in enumerate(context) if item == items[0])
    standing = [item for _, item in context]
    standing[first : first + len(items)] = [("summary", name)]
    after = (
        conversation,
        sequence,
        messages,
        tuple(sorted((*summaries, (name, depth, text, items)))),
        _ranked(standing),
        losses,
    )
    return _settle(state, after), ("replaced", depth)


def _depth_of(at: Conversation, item: Item) -> int:
    kind, name = item
    if kind == "summary":
        for summary in at[3]:
            if summary[0] == name:
                return summary[1]
    return -1


def _replace_refusal(state: State, at: Conversation, event: Replace) -> str | None:
    _, _, name, _, items, first, last = event
    if not items:
        return "empty_range"
    if len(set(items)) < len(items):
        return "duplicate_item"
    if len({kind for kind, _ in items}) > 1:
        return "mixed_items"
    reason = _summary_standing(state, at, name)
    if reason != "unknown_item":
        return "already_placed" if reason is None else reason
    for kind, item in items:
        standing = _message_standing if kind == "message" else _summary_standing
        reason = standing(state, at, item)
        if reason is not None and reason != "forgotten_item":
            return reason
    return _range_refusal(at, items, first, last)


def _range_refusal(
    at: Conversation, items: tuple[Item, ...], first: int | None, last: int | None
) -> str | None:
    context = at[4]
    ordinals = {item: ordinal for ordinal, item in context}
    found = [ordinals[item] for item in items if item in ordinals]
    if len(found) < len(items) or found != sorted(found):
        return "stale_range"
    if sum([found[0] <= ordinal <= found[-1] for ordinal, _ in context]) != len(items):
        return "not_adjacent"
    if first not in (None, found[0]) or last not in (None, found[-1]):
        return "stale_range"
    return None


def _message_standing(state: State, at: Conversation, name: str) -> str | None:
    for one in state:
        for stored in one[2]:
            if stored[0] == name:
                return None if one is at else "foreign_item"
        for _, cause, item in one[5]:
            if cause == "forgotten" and item == ("message", name):
                return "forgotten_item" if one is at else "foreign_item"
    return "unknown_item"


def _summary_standing(state: State, at: Conversation, name: str) -> str | None:
    for one in state:
        for stored in one[3]:
            if stored[0] == name:
                return None if one is at else "foreign_item"
    return "unknown_item"


def _roll_back(state: State, at: Conversation, event: RollBack) -> tuple[State, Outcome]:
    _, conversation, name = event
    reason = _summary_standing(state, at, name)
    if reason is not None:
        return state, _refused(reason)
    _, sequence, messages, summaries, context, losses = at
    standing = [item for _, item in context]
    if ("summary", name) not in standing:
        return state, _refused("not_in_context")
    (sources,) = [summary[3] for summary in summaries if summary[0] == name]
    rank = standing.index(("summary", name))
    standing[rank : rank + 1] = sources
    kept = tuple([summary for summary in summaries if summary[0] != name])
    after = (conversation, sequence, messages, kept, _ranked(standing), losses)
    return _settle(state, after), ("rolled_back", sources)


def _prune(state: State, at: Conversation, event: Prune) -> tuple[State, Outcome]:
    _, conversation, retain_depth = event
    _, sequence, messages, summaries, context, _ = at
    kept: list[Item] = []
    removed: list[Item] = []
    for _, item in context:
        stays = (
            item[0] == "summary"
            and retain_depth is not None
            and _depth_of(at, item) >= retain_depth
        )
        (kept if stays else removed).append(item)
    losses = _lose(at, "pruned", removed)
    after = (conversation, sequence, messages, summaries, _ranked(kept), losses)
    return _settle(state, after), ("pruned", tuple(removed))


def _forget(state: State, at: Conversation, event: Forget) -> tuple[State, Outcome]:
    _, conversation, names = event
    reason = _forget_refusal(state, at, names)
    if reason is not None:
        return state, _refused(reason)
    _, sequence, messages, summaries, context, _ = at
    named = [("message", name) for name in names]
    removed = tuple([item[1] for _, item in context if item in named])
    after = (
        conversation,
        sequence,
        tuple([stored for stored in messages if stored[0] not in names]),
        summaries,
        _ranked([item for _, item in context if item not in named]),
        _lose(at, "forgotten", named),
    )
    return _settle(state, after), ("forgotten", removed)


def _forget_refusal(state: State, at: Conversation, names: tuple[str, ...]) -> str | None:
    if not names:
        return "empty_batch"
    if len(set(names)) < len(names):
        return "duplicate_item"
    for name in names:
        reason = _message_standing(state, at, name)
        if reason is None and ("message", name) in _coverers(at):
            reason = "covered_item"
        if reason is not None:
            return reason
    return None


def _lose(at: Conversation, cause: str, items: list[Item]) -> tuple[Loss, ...]:
    recorded = [(_position(at, item), cause, item) for item in items]
    return tuple(sorted([*at[5], *recorded], key=lambda loss: loss[:2]))


def _position(at: Conversation, item: Item) -> int:
    for name in _expand(at, item)[:1]:
        for stored in at[2]:
            if stored[0] == name:
                return stored[1]
    return 0


def _expand(at: Conversation, item: Item) -> list[str]:
    """Return the messages that an item stands for; a lineage in a circle is followed once."""
    if item[0] == "message":
        return [item[1]]
    sources = {summary[0]: summary[3] for summary in at[3]}
    found: list[str] = []
    waiting = [item]
    while waiting:
        kind, name = waiting.pop()
        if kind == "message":
            found.append(name)
        else:
            waiting.extend(reversed(sources.pop(name, ())))
    return found


def _summary(at: Conversation, name: str) -> Summary | None:
    for summary in at[3]:
        if summary[0] == name:
            return summary
    return None


def _coverers(at: Conversation) -> dict[Item, list[str]]:
    """Return, for each item that is a source, the summaries that name it."""
    found: dict[Item, list[str]] = {}
    for name, _, _, sources in at[3]:
        for item in sources:
            found.setdefault(item, []).append(name)
    return found


def in_scope(state: State, scope: Scope) -> list[Event]:
    """Return every event worth trying in ``state``: the model's, in the model's order."""
    events: list[Event] = []
    if len(state) < scope.conversations:
        events.append(("open", f"c{len(state) + 1}"))
    summary = _fresh_summary(state, scope.summaries)
    batches = _batches(state, scope)
    for at in state:
        events.extend([("append", at[0], drafts) for drafts in batches])
        if summary is not None:
            _offer_replaces(events, at, summary)
        _offer_departures(events, at)
    if scope.refusals:
        _offer_refusals(events, state)
    return events


def _draft(number: int) -> Draft:
    return f"m{number}", f"text of m{number}"


def _fresh_summary(state: State, limit: int) -> str | None:
    used = {summary[0] for at in state for summary in at[3]}
    for number in range(1, limit + 1):
        name = f"s{number}"
        if name not in used:
            return name
    return None


def _batches(state: State, scope: Scope) -> list[tuple[Draft, ...]]:
    issued = 0
    for at in state:
        issued += len(at[2]) + sum([cause == "forgotten" for _, cause, _ in at[5]])
    most = min(scope.batch, scope.messages - issued)
    drafts = [_draft(issued + number) for number in range(1, most + 1)]
    return [tuple(drafts[:size]) for size in range(1, most + 1)]


def _offer_replaces(events: list[Event], at: Conversation, summary: str) -> None:
    items = tuple([item for _, item in at[4]])
    text = f"text of {summary}"
    for start, (kind, _) in enumerate(items):
        for stop in range(start + 1, len(items) + 1):
            if items[stop - 1][0] != kind:
                break
            events.append(("replace", at[0], summary, text, items[start:stop], None, None))
            ends = (at[4][start][0], at[4][stop - 1][0])
            events.append(("replace", at[0], summary, text, items[start:stop], *ends))


def _offer_departures(events: list[Event], at: Conversation) -> None:
    conversation, context = at[0], at[4]
    for _, (kind, name) in context:
        if kind == "summary":
            events.append(("roll_back", conversation, name))
        else:
            events.append(("forget", conversation, (name,)))
    stored = {message[0] for message in at[2]}
    for _, _, (kind, name) in at[5]:
        if kind == "message" and name in stored:
            events.append(("forget", conversation, (name,)))
    if context:
        events.append(("prune", conversation, None))
        events.append(("prune", conversation, 0))
        events.append(("prune", conversation, 1))


_UNKNOWN: Item = ("message", "unknown")
_FIRST = _draft(0)


def _offer_refusals(events: list[Event], state: State) -> None:
    if not state:
        events.append(("append", "nowhere", (_FIRST,)))
        events.append(("replace", "nowhere", "refused", "", (_UNKNOWN,), None, None))
        events.append(("roll_back", "nowhere", "refused"))
        events.append(("prune", "nowhere", None))
        events.append(("forget", "nowhere", ("unknown",)))
    for at in state:
        here = at[0]
        events.append(("open", here))
        events.append(("append", here, ()))
        events.append(("append", here, (_FIRST, _FIRST)))
        events.append(("replace", here, "refused", "", (), None, None))
        events.append(("replace", here, "refused", "", (_UNKNOWN, _UNKNOWN), None, None))
        events.append(("replace", here, "refused", "", (_UNKNOWN,), None, None))
        events.append(("roll_back", here, "refused"))
        events.append(("forget", here, ()))
        events.append(("forget", here, ("unknown", "unknown")))
        events.append(("forget", here, ("unknown",)))
        _offer_misplaced(events, at)
        for other in state:
            _offer_known(events, here, other)


def _offer_misplaced(events: list[Event], at: Conversation) -> None:
    here, context = at[0], at[4]
    items = tuple([item for _, item in context])
    if not items:
        return
    if len({kind for kind, _ in items}) > 1:
        events.append(("replace", here, "refused", "", items, None, None))
        return
    first, last = context[0][0], context[-1][0]
    events.append(("replace", here, "refused", "", items, first + 1, None))
    events.append(("replace", here, "refused", "", items, None, last + 1))
    if len(items) > 1:
        events.append(("replace", here, "refused", "", items[::-1], None, None))
    if len(items) > 2:
        events.append(("replace", here, "refused", "", (items[0], items[-1]), None, None))


def _offer_known(events: list[Event], here: str, at: Conversation) -> None:
    """Offer events of ``here`` that name what is, or was, stored in ``at``."""
    other, _, messages, summaries, context, losses = at
    if messages:
        events.append(("append", here, ((messages[0][0], "again"),)))
    for _, cause, item in losses[:1]:
        if cause == "forgotten" and item[0] == "message":
            events.append(("append", here, ((item[1], "again"),)))
            events.append(("forget", here, (item[1],)))
        events.append(("replace", here, "refused", "", (item,), None, None))
    for summary in summaries:
        _offer_naming(events, here, summary)
    if here != other:
        for _, item in context[:1]:
            events.append(("replace", here, "refused", "", (item,), None, None))
            if item[0] == "message":
                events.append(("forget", here, (item[1],)))


def _offer_naming(events: list[Event], here: str, summary: Summary) -> None:
    """Offer events that name a stored summary, or what it covers, where they must not."""
    name, _, _, sources = summary
    events.append(("roll_back", here, name))
    events.append(("replace", here, name, "", sources, None, None))
    events.append(("replace", here, "refused", "", sources, None, None))
    for kind, source in sources[:1]:
        if kind == "message":
            events.append(("forget", here, (source,)))


def _label(item: Item) -> str:
    return f"{item[0]} {item[1]}"


def _rank(at: Conversation) -> str | None:
    for rank, (ordinal, item) in enumerate(at[4]):
        if ordinal != rank:
            return f"ordinal {ordinal}: {_label(item)} is item number {rank}"
    return None


def _sequence(at: Conversation) -> str | None:
    least = 1
    for name, sequence, _ in at[2]:
        if sequence < least:
            return f"message {name}: sequence {sequence}, at least {least} expected"
        least = sequence + 1
    if at[1] < least:
        return f"next sequence {at[1]}: at least {least} expected"
    return None


def _one_place(at: Conversation) -> str | None:
    standing = [item for _, item in at[4]]
    if len(set(standing)) < len(standing):
        item, times = Counter(standing).most_common(1)[0]
        return f"{_label(item)}: stands in the context {times} times"
    covered = _coverers(at)
    for item in standing:
        if item in covered:
            return (
                f"{_label(item)}: stands in the context, and summary {covered[item][0]} covers it"
            )
    return None


def _one_cover(at: Conversation) -> str | None:
    standing = {item for _, item in at[4]}
    for item, summaries in _coverers(at).items():
        if len(summaries) > 1 and item not in standing:
            return f"{_label(item)}: is a source of summaries {', '.join(summaries)}"
    return None


def _lossless(at: Conversation) -> str | None:
    pruned: set[str] = set()
    for _, cause, item in at[5]:
        if cause == "pruned":
            pruned.update(_expand(at, item))
    expected = [stored[0] for stored in at[2] if stored[0] not in pruned]
    found: list[str] = []
    for _, item in at[4]:
        found.extend(_expand(at, item))
    if found == expected:
        return None
    return f"expanded messages: {_list(found)} found, {_list(expected)} expected"


def _list(names: list[str]) -> str:
    return ", ".join(names) if names else "nothing"


def _reference(at: Conversation) -> str | None:
    stored = set(_items_stored(at))
    for ordinal, item in at[4]:
        if item not in stored:
            return f"ordinal {ordinal}: {_label(item)} is not stored here"
    for name, _, _, sources in at[3]:
        for item in sources:
            if item not in stored:
                return f"summary {name}: source {_label(item)} is not stored here"
    return None


def _items_stored(at: Conversation) -> list[Item]:
    messages = [("message", stored[0]) for stored in at[2]]
    return messages + [("summary", stored[0]) for stored in at[3]]


def _depth(at: Conversation) -> str | None:
    depths = {("summary", summary[0]): summary[1] for summary in at[3]}
    for name, depth, _, sources in at[3]:
        expected = 1 + max([depths.get(item, -1) for item in sources], default=-1)
        if depth != expected:
            return f"summary {name}: depth {depth}, {expected} expected"
    return None


def _sources(at: Conversation) -> str | None:
    for name, _, _, sources in at[3]:
        if not sources:
            return f"summary {name}: has no source"
    return None


def _identity(state: State) -> str | None:
    seen: set[Item] = set()
    for at in state:
        lost = [item for _, cause, item in at[5] if cause == "forgotten"]
        for item in _items_stored(at) + lost:
            if item in seen:
                return f"conversation {at[0]}: {_label(item)}: the id names another item as well"
            seen.add(item)
    return None


def _search(before: State, event: Event, _outcome: Outcome, after: State) -> str | None:
    at, then = _find(before, event[1]), _find(after, event[1])
    if at is None or then is None or at[2] is then[2]:
        return None
    for _, _, text in at[2] + then[2]:
        was, now = _found_by(before, text), _found_by(after, text)
        if was != now:
            return f"search for {text[:40]!r}: {_list(now)} after, {_list(was)} before"
    return None


def _found_by(state: State, term: str) -> list[str]:
    return [name for at in state for name, _, text in at[2] if term in text]


def _inverse(before: State, event: Event, _outcome: Outcome, after: State) -> str | None:
    assert event[0] == "replace"
    restored, outcome = step(after, ("roll_back", event[1], event[2]))
    return _same(before, restored, f"summary {event[2]}: rolled back: {outcome[0]}")


def _revert(before: State, event: Event, _outcome: Outcome, after: State) -> str | None:
    assert event[0] == "roll_back"
    _, conversation, name = event
    at = _find(before, conversation)
    for stored, _, text, sources in () if at is None else at[3]:
        if stored == name:
            again: Event = ("replace", conversation, name, text, sources, None, None)
            restored, outcome = step(after, again)
            return _same(before, restored, f"summary {name}: replaced again: {outcome[0]}")
    return f"summary {name}: was not stored"


def _same(before: State, restored: State, said: str) -> str | None:
    return None if restored == before else f"{said}, and the state is not the one before"


def _neighbours(before: State, event: Event, outcome: Outcome, after: State) -> str | None:
    assert event[0] in ("replace", "roll_back")
    at, then = _find(before, event[1]), _find(after, event[1])
    if at is None or then is None:
        return "is gone"
    inside = _inside(event, outcome)
    was, now = _outside(at, inside), _outside(then, inside)
    if was != now:
        return f"items outside the range: {now} after, {was} before"
    return None


def _inside(event: Event, outcome: Outcome) -> set[Item]:
    if event[0] == "replace":
        return {("summary", event[2]), *event[4]}
    assert event[0] == "roll_back"
    assert outcome[0] == "rolled_back"
    return {("summary", event[2]), *outcome[1]}


def _outside(at: Conversation, inside: set[Item]) -> list[tuple[Item, str | None]]:
    texts = {("summary", summary[0]): summary[2] for summary in at[3]}
    return [(item, texts.get(item)) for _, item in at[4] if item not in inside]


def _isolation(before: State, event: Event, _outcome: Outcome, after: State) -> str | None:
    conversation = event[1]
    was = [at for at in before if at[0] != conversation]
    now = [at for at in after if at[0] != conversation]
    if was != now:
        return "its event changed another conversation"
    return None


def _refusal(before: State, _event: Event, outcome: Outcome, after: State) -> str | None:
    if after is before or after == before:
        return None
    return f"changed although the event was {outcome[0]}"


def _no_failure(_before: State, _event: Event, outcome: Outcome, _after: State) -> str | None:
    return f"UNIQUE constraint failed: {outcome[1]}" if outcome[0] == "failed" else None


def _loss(before: State, event: Event, _outcome: Outcome, after: State) -> str | None:
    at, then = _find(before, event[1]), _find(after, event[1])
    if at is None or then is None or at[5] is then[5]:
        return None
    for _, _, item in sorted(set(at[5]) - set(then[5])):
        return f"loss of {_label(item)}: the record is gone"
    allowed = _may_lose(event, at)
    for _, cause, item in sorted(set(then[5]) - set(at[5])):
        if (cause, item) not in allowed:
            return f"loss of {_label(item)}: recorded by {event[0]}"
    return None


def _verbatim(before: State, event: Event, outcome: Outcome, after: State) -> str | None:
    at, then = _find(before, event[1]), _find(after, event[1])
    named = event[2] if event[0] == "forget" and outcome[0] == "forgotten" else ()
    if at is None or then is None or (at[2] is then[2] and not named):
        return None
    kept = {stored[0]: stored for stored in then[2]}
    for stored in at[2]:
        name, sequence, _ = stored
        if name in named:
            if name in kept or (sequence, "forgotten", ("message", name)) not in then[5]:
                return f"message {name}: was forgotten without a record"
        elif kept.get(name) != stored:
            return f"message {name}: is not what was stored"
    return None


def _counter(before: State, event: Event, _outcome: Outcome, after: State) -> str | None:
    at, then = _find(before, event[1]), _find(after, event[1])
    if at is None or then is None or then[1] >= at[1]:
        return None
    return f"next sequence {then[1]}: {at[1]} before"


def _appended(before: State, event: Event, _outcome: Outcome, after: State) -> str | None:
    assert event[0] == "append"
    at, then = _find(before, event[1]), _find(after, event[1])
    if at is None or then is None:
        return "is gone"
    standing = [item for _, item in at[4]]
    return _expect(standing + [("message", name) for name, _ in event[2]], then)


def _pruned(before: State, event: Event, _outcome: Outcome, after: State) -> str | None:
    assert event[0] == "prune"
    at, then = _find(before, event[1]), _find(after, event[1])
    if at is None or then is None:
        return "is gone"
    least = event[2]
    deep = {
        ("summary", name) for name, depth, _, _ in at[3] if least is not None and depth >= least
    }
    return _expect([item for _, item in at[4] if item in deep], then)


def _as_given(_before: State, event: Event, _outcome: Outcome, after: State) -> str | None:
    then = _find(after, event[1])
    if then is None:
        return "is gone"
    if event[0] == "append":
        texts = {name: text for name, _, text in then[2]}
        for name, text in event[2]:
            if texts.get(name) != text:
                return f"message {name}: is not stored with its text"
    elif event[0] == "replace":
        stored = _summary(then, event[2])
        if stored is None or stored[2] != event[3]:
            return f"summary {event[2]}: is not stored with its text"
    return None


def _kept(before: State, event: Event, _outcome: Outcome, after: State) -> str | None:
    at, then = _find(before, event[1]), _find(after, event[1])
    if at is None or then is None or at[3] is then[3]:
        return None
    placed = {item for _, item in at[4]} | {item for _, _, item in at[5]} | _coverers(at).keys()
    stored = {summary[0]: summary for summary in then[3]}
    for summary in at[3]:
        if ("summary", summary[0]) in placed and stored.get(summary[0]) != summary:
            return f"summary {summary[0]}: is not what was stored"
    return None


def _report(before: State, event: Event, outcome: Outcome, after: State) -> str | None:
    at, then = _find(before, event[1]), _find(after, event[1])
    if at is None or then is None:
        return "is gone"
    done = _done(at, event, outcome, then)
    return None if done == outcome else f"{outcome} reported, {done} done"


def _done(at: Conversation, event: Event, outcome: Outcome, then: Conversation) -> Outcome | None:
    if event[0] == "append" and outcome[0] == "appended":
        names = {name for name, _ in event[2]}
        ordinals = [
            ordinal for ordinal, (kind, name) in then[4] if kind == "message" and name in names
        ]
        numbers = [sequence for name, sequence, _ in then[2] if name in names]
        return ("appended", min(ordinals), min(numbers)) if ordinals and numbers else None
    if event[0] == "replace" and outcome[0] == "replaced":
        stored = _summary(then, event[2])
        return None if stored is None else ("replaced", stored[1])
    if event[0] == "roll_back" and outcome[0] == "rolled_back":
        return "rolled_back", _left(then, at)
    if event[0] == "prune" and outcome[0] == "pruned":
        return "pruned", _left(at, then)
    if event[0] == "forget" and outcome[0] == "forgotten":
        return "forgotten", tuple([name for kind, name in _left(at, then) if kind == "message"])
    return outcome


def _left(at: Conversation, then: Conversation) -> tuple[Item, ...]:
    standing = {item for _, item in then[4]}
    return tuple([item for _, item in at[4] if item not in standing])


def _expect(wanted: list[Item], then: Conversation) -> str | None:
    found = [item for _, item in then[4]]
    return None if found == wanted else f"context: {found} found, {wanted} expected"


def _may_lose(event: Event, at: Conversation) -> set[tuple[str, Item]]:
    if event[0] == "prune":
        return {("pruned", item) for _, item in at[4]}
    if event[0] == "forget":
        return {("forgotten", ("message", name)) for name in event[2]}
    return set()


def _condensation(_before: State, event: Event, outcome: Outcome, _after: State) -> bool:
    return event[0] == "replace" and outcome[0] == "replaced" and outcome[1] > 0


def _middle(_before: State, event: Event, outcome: Outcome, after: State) -> bool:
    if event[0] != "replace" or outcome[0] != "replaced":
        return False
    then = _find(after, event[1])
    return then is not None and any(item == ("summary", event[2]) for _, item in then[4][1:-1])


def _after_a_loss(before: State, event: Event, outcome: Outcome, _after: State) -> bool:
    at = _find(before, event[1])
    return outcome[0] == "replaced" and at is not None and bool(at[5])


def _two_conversations(before: State, event: Event, outcome: Outcome, _after: State) -> bool:
    return outcome[0] == "appended" and any(at[4] for at in before if at[0] != event[1])


STATE_CLAUSES: dict[str, StateClause] = {
    "ORD-1": _rank,
    "ORD-2": _sequence,
    "ORD-3": _one_place,
    "ORD-4": _one_cover,
    "ORD-5": _lossless,
    "ORD-6": _reference,
    "ORD-7": _depth,
    "ORD-9": _sources,
}
"""The clauses about each conversation of a state; ORD-8 is about all of them together."""

STEP_CLAUSES: tuple[tuple[str, tuple[str, ...], tuple[str, ...], StepClause], ...] = (
    ("ORD-10", ("replace", "roll_back"), ("replaced", "rolled_back"), _search),
    ("ORD-11", ("replace",), ("replaced",), _inverse),
    ("ORD-12", ("roll_back",), ("rolled_back",), _revert),
    ("ORD-13", ("replace", "roll_back"), ("replaced", "rolled_back"), _neighbours),
    ("ORD-14", EVENTS, OUTCOMES, _isolation),
    ("ORD-15", EVENTS, ("refused",), _refusal),
    ("ORD-16", EVENTS, OUTCOMES, _no_failure),
    ("ORD-17", EVENTS, OUTCOMES, _loss),
    ("ORD-22", EVENTS, OUTCOMES, _verbatim),
    ("ORD-23", EVENTS, OUTCOMES, _counter),
    ("ORD-24", ("append",), ("appended",), _appended),
    ("ORD-25", ("prune",), ("pruned",), _pruned),
    ("ORD-26", ("append", "replace"), ("appended", "replaced"), _as_given),
    ("ORD-27", ("append", "prune", "forget"), OUTCOMES, _kept),
    ("ORD-28", EVENTS, ("appended", "replaced", "rolled_back", "pruned", "forgotten"), _report),
)
"""The clauses about a step, with the events and the outcomes that they are about."""

SOMETIMES_CLAUSES: dict[str, SometimesClause] = {
    "ORD-18": _condensation,
    "ORD-19": _middle,
    "ORD-20": _after_a_loss,
    "ORD-21": _two_conversations,
}
"""The clauses that some step must reach."""

_APPLIES = {
    (event, outcome): [
        (clause, breaks)
        for clause, events, outcomes, breaks in STEP_CLAUSES
        if event in events and outcome in outcomes
    ]
    for event in EVENTS
    for outcome in OUTCOMES
}

_INERT = {
    pair: [(clause, breaks) for clause, breaks in clauses if clause in ("ORD-15", "ORD-16")]
    for pair, clauses in _APPLIES.items()
}
"""What is judged of a step that returned the very state it got, as in the judge's explorer."""
