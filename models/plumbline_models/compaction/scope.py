"""What is worth trying in a state of compaction: events of a scope, values for strategies."""

from collections.abc import Iterator
from itertools import pairwise, permutations, product
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from plumbline_models import intake, ordinals, tokens
from plumbline_models.compaction.passes import commit, items_of, select
from plumbline_models.compaction.selection import LEAST, Chunk, entries_of
from plumbline_models.compaction.values import (
    SPEC,
    Commit,
    CompactLeaf,
    Evaluate,
    Event,
    Interference,
    Meanwhile,
    Refused,
    Select,
    Selected,
    Settings,
    State,
    Sweep,
    SweepUntil,
)
from plumbline_models.contract import Choices
from plumbline_models.decisions.escalation import Answer, Failed, Text, Unauthenticated
from plumbline_models.intake import Digest, EntryId, Place, Row, SourceId, Take
from plumbline_models.intake.queries import log_of
from plumbline_models.intake.scope import choices as choices_of_intake
from plumbline_models.ordinals import ConversationId, Item, MessageId, MessageItem, SummaryId
from plumbline_models.ordinals.queries import find
from plumbline_models.tokens.queries import ledger_of

CHAT = SourceId("chat")
SHORT = Text(text="in short", took=5)
LONG = Text(text="a summary that is far longer than all that it stands for, " * 4, took=7)
MIDDLE = Text(text="a summary of middle length: short for much, and too long for little", took=9)
EMPTY = Text(text=" \n", took=1)
SCRIPTS: tuple[tuple[Answer, ...], ...] = (
    (SHORT,),
    (LONG, SHORT),
    (LONG,),
    (MIDDLE,),
    (EMPTY,),
    (Unauthenticated(took=2),),
    (SHORT, Failed(took=3)),
    (),
)
"""Answers in turn: short, long at first, never short, of middle length, empty, and in vain."""

SMALL = Settings(
    fresh_tail=1,
    leaf_fanout=2,
    condensed_fanout=2,
    leaf_chunk=9,
    leaf_target=2,
    condensed_target=1,
    fallback_cap=4,
    passes=2,
    rounds=2,
    calls=6,
    stale=2,
)
"""Settings under which a few short messages make every kind of pass."""
NO_TAIL = replace(SMALL, fresh_tail=0)


class Scope(Struct, frozen=True, kw_only=True):
    """How far ``events`` reaches; every field bounds what can exist at once."""

    conversations: int = 1
    rows: str = ""
    """What is said, row by row: ``u`` by a user, ``a`` by the assistant, ``l`` at length, ``o`` in
    a token, ``z`` nothing, ``e`` nothing that counts, ``E`` nothing that counts as much as a chunk,
    ``c`` in CJK and at no known time, ``f`` naming a file, ``0`` with a count of zero and ``n``
    with a negative one."""
    whole: bool = False
    """Whether they all come at once, or one by one as well."""
    appends: int = 0
    """Messages that are appended and that no row brings."""
    summaries: int = 2
    settings: tuple[Settings, ...] = (SMALL,)
    scripts: tuple[tuple[Answer, ...], ...] = SCRIPTS
    sweeps: bool = True
    """Whether to offer events of several passes."""
    meanwhile: int = 0
    """During how many of the first calls others change the context."""
    host: bool = True
    """Whether a host replaces, rolls back, prunes and forgets by itself."""
    refusals: bool = True
    """Whether to offer events that are refused: about one for each reason."""


def in_scope(state: State, scope: Scope) -> Iterator[Event]:
    """Yield every event worth trying in ``state``."""
    lists = state.taken.ledger.lists.conversations
    if scope.refusals and not lists:
        yield from _nowhere()
    for at in lists:
        yield from _takes(state, at.id, scope)
        yield from _appends(state, at, scope)
        if len(state.extents) < scope.summaries:
            yield from _commits(state, at.id, scope)
            if scope.sweeps:
                yield from _sweeps(state, at.id, scope)
            if scope.meanwhile:
                yield from _interfered(state, at, scope)
        if scope.host:
            yield from _by_host(state, at, scope)
        yield from _readings(state, at.id, scope)
        if scope.refusals:
            yield from _refused(state, at.id, scope.settings)
    if len(lists) < scope.conversations:
        yield ordinals.Open(conversation=ConversationId(f"c{len(lists) + 1}"))


def row(here: ConversationId, number: int, kind: str) -> Row:
    """Return row ``number`` of a chat; ``Scope.rows`` says what kinds there are."""
    text = {
        "z": "",
        "e": "",
        "E": "",
        "o": "ok",
        "c": "漢字とかな 😀",
        "f": f"see file_{number:016x} for all of it",
        "l": f"row {number} goes on " * 6,
    }.get(kind, f"words of row {number}")
    return Row(
        message=MessageId(f"{here}/{number}"),
        entry=EntryId(f"e{number}"),
        parent=EntryId(f"e{number - 1}") if number > 1 else None,
        digest=Digest(f"d{number}{kind}"),
        role={"u": "user", "e": "tool", "E": "tool"}.get(kind, "assistant"),
        text=text,
        tokens={"e": 3, "E": 9, "0": 0, "n": -3}.get(kind),
        time=None if kind == "c" else f"2025-01-01T00:00:{number:02}Z",
    )


def _takes(state: State, here: ConversationId, scope: Scope) -> Iterator[Event]:
    """Yield the next row of the chat, and all the rest of it."""
    taken = len(log_of(state.taken, here).entries)
    rest = tuple(
        row(here, number, kind) for number, kind in enumerate(scope.rows, 1) if number > taken
    )
    for rows in dict.fromkeys((rest,) if scope.whole else (rest, rest[:1])):
        if rows:
            yield Take(conversation=here, source=CHAT, rows=rows, first=Place(taken + 1))


def _appends(state: State, at: ordinals.Conversation, scope: Scope) -> Iterator[Event]:
    """Yield a message of which nobody knows who said it."""
    brought = len(log_of(state.taken, at.id).entries)
    number = len(at.messages) + sum(loss.cause.value == "forgotten" for loss in at.losses) - brought
    if number < scope.appends:
        draft = tokens.Draft(id=MessageId(f"{at.id}/m{number + 1}"), text="said by nobody known")
        yield tokens.Append(conversation=at.id, messages=(draft,))


def _readings(state: State, here: ConversationId, scope: Scope) -> Iterator[Event]:
    total = ledger_of(state.taken.ledger, here).total
    for settings in scope.settings:
        yield Evaluate(conversation=here, settings=settings, budget=total)
        yield Evaluate(conversation=here, settings=settings, budget=2 * total, observed=total + 1)
        yield Select(conversation=here, settings=settings)
        yield Select(conversation=here, settings=settings, condense=True)
    for settings in scope.settings[:1]:
        exact = replace(settings, threshold_percent=50)
        yield Evaluate(conversation=here, settings=exact, budget=2 * total, observed=total)


def _selected(state: State, here: ConversationId, settings: Settings) -> Iterator[tuple[Item, ...]]:
    """Yield what can be selected here."""
    for condense in (False, True):
        event = Select(conversation=here, settings=settings, condense=condense, hard=True)
        found = select(SPEC, state, event)
        if isinstance(found, Selected):
            yield found.items


def _fresh(state: State, name: str) -> SummaryId:
    """Return the least unused name of a summary."""
    used = {one.summary for one in state.extents}
    numbers = range(1, len(used) + 2)
    return next(SummaryId(f"{name}{one}") for one in numbers if f"{name}{one}" not in used)


def _commits(state: State, here: ConversationId, scope: Scope) -> Iterator[Event]:
    """Yield commits of what is selected, with every script, and of what no longer stands so."""
    summary = _fresh(state, "s")
    for settings in scope.settings:
        for items in _selected(state, here, settings):
            made = Commit(
                conversation=here, settings=settings, items=items, summary=summary, answers=()
            )
            for script in scope.scripts:
                yield replace(made, answers=script[:2] * (2 if len(script) == 1 else 1))


def _refused(state: State, here: ConversationId, settings: tuple[Settings, ...]) -> Iterator[Event]:
    """Yield commits that are refused, under the first settings."""
    for one in settings[:1]:
        for event in _misnaming(state, here, one):
            if isinstance(commit(SPEC, state, event)[1], Refused | ordinals.Refused):
                yield event


def _misnaming(state: State, here: ConversationId, settings: Settings) -> Iterator[Commit]:
    """Yield commits that name other items than a selection does; most are refused."""
    entries = entries_of(state, here)
    made = Commit(
        conversation=here,
        settings=settings,
        items=(),
        summary=SummaryId("refused"),
        answers=(SHORT, SHORT),
    )
    yield made
    yield replace(made, items=(MessageItem(id=MessageId("unknown")),))
    items = items_of(entries)
    if items:
        yield replace(made, items=items)
        yield replace(made, items=items[:1])
        yield replace(made, items=items[-1:])
        yield replace(made, items=items[:2])
        yield replace(made, items=items[1::-1])
    if len(items) > 2:  # noqa: PLR2004 - the least list that has a hole
        yield replace(made, items=(items[0], items[2]))
    for one in (one for one in entries if not one.says):
        yield replace(made, items=(one.item,))
    for at in state.taken.ledger.lists.conversations:
        for stored in at.summaries[:1]:
            yield replace(made, items=stored.sources)
            yield replace(made, items=items[:1], summary=stored.id)


def _sweeps(state: State, here: ConversationId, scope: Scope) -> Iterator[Event]:
    """Yield sweeps with every script, and with the first also at the edges of their targets."""
    total = ledger_of(state.taken.ledger, here).total
    name = _fresh(state, "t")
    if not entries_of(state, here):
        yield Sweep(conversation=here, settings=SMALL, budget=0, summary=name, script=())
        return
    for settings in scope.settings:
        hurried = replace(settings, deadline=5)
        sweep = Sweep(conversation=here, settings=settings, budget=0, summary=name, script=())
        until = SweepUntil(conversation=here, settings=settings, target=0, summary=name, script=())
        leaf = CompactLeaf(conversation=here, settings=settings, budget=0, summary=name, script=())
        for script in scope.scripts:
            yield replace(sweep, script=script, budget=total, force=True, hard=True)
            yield replace(until, script=script, target=total // 2)
            yield replace(until, script=script)
            yield replace(leaf, script=script)
        for script in scope.scripts[:1]:
            edges = sorted({total - 1, total} - {-1})
            yield from (replace(until, script=script, target=target) for target in edges)
            yield from (
                replace(sweep, script=script, budget=budget) for budget in (total, 2 * total)
            )
            exact = replace(settings, threshold_percent=50)
            yield replace(leaf, script=script, budget=2 * total, settings=exact)
            yield replace(sweep, script=script, budget=2 * total, settings=exact)
            yield replace(leaf, script=script, budget=2 * total)
            yield replace(leaf, script=script, budget=2 * total, force=True)
            yield replace(sweep, script=script, settings=hurried)
            yield replace(until, script=script, settings=hurried)
            yield replace(leaf, script=script, settings=hurried)


def _interfered(state: State, at: ordinals.Conversation, scope: Scope) -> Iterator[Event]:
    """Yield sweeps while others change the context, once and again, during the first calls."""
    here, name = at.id, _fresh(state, "t")
    others = _interferences(state, at)
    for settings, script in product(scope.settings, scope.scripts):
        leaf = CompactLeaf(
            conversation=here, settings=settings, budget=0, summary=name, script=script
        )
        until = SweepUntil(
            conversation=here, settings=settings, target=0, summary=name, script=script
        )
        total = ledger_of(state.taken.ledger, here).total
        sweep = Sweep(
            conversation=here,
            settings=settings,
            budget=total,
            force=True,
            hard=True,
            summary=name,
            script=script,
        )
        halved = replace(sweep, force=False, settings=replace(settings, threshold_percent=50))
        for one in (leaf, until, sweep, halved):
            for call, other in product(range(1, scope.meanwhile + 1), others):
                yield replace(one, meanwhile=(Meanwhile(call=call, event=other),))
            for pair in permutations(others, 2):
                both = tuple(Meanwhile(call=call, event=one) for call, one in enumerate(pair, 1))
                yield replace(one, meanwhile=both)


def _interferences(state: State, at: ordinals.Conversation) -> tuple[Interference, ...]:
    """Return what others may do to a context at any moment: one event of each kind."""
    entries = entries_of(state, at.id)
    name = MessageId(f"{at.id}/w")
    found: list[Interference] = []
    if name not in {one.id for one in at.messages}:
        draft = tokens.Draft(id=name, text="said while a summariser was asked")
        found.append(tokens.Append(conversation=at.id, messages=(draft,)))
    if entries:
        found.append(ordinals.Prune(conversation=at.id, retain_depth=None))
    summaries = [one.item.id for one in entries if one.depth is not None]
    raw = [one.item.id for one in entries if one.depth is None]
    found += [
        ordinals.RollBack(conversation=at.id, summary=SummaryId(one)) for one in summaries[:1]
    ]
    found += [ordinals.Forget(conversation=at.id, messages=(MessageId(one),)) for one in raw[:1]]
    pair, name_of = _pair(entries), _fresh(state, "h")
    if pair:
        found.append(
            tokens.Replace(conversation=at.id, summary=name_of, text="by another", items=pair)
        )
    return tuple(found)


def _by_host(state: State, at: ordinals.Conversation, scope: Scope) -> Iterator[Event]:
    """Yield what a host does to a context by itself, while somebody compacts perhaps."""
    entries = entries_of(state, at.id)
    total = ledger_of(state.taken.ledger, at.id).total
    for window, percent in ((0, 0), (2 * total, 50), (2 * total, 25)):
        limits = tokens.Limits(window=window, soft_percent=percent)
        yield tokens.Weigh(conversation=at.id, limits=limits)
    yield intake.Reopen()
    for one in entries:
        if one.depth is not None:
            yield ordinals.RollBack(conversation=at.id, summary=SummaryId(one.item.id))
    raw = [one.item.id for one in entries if isinstance(one.item, MessageItem)]
    for message in raw[:1]:
        yield ordinals.Forget(conversation=at.id, messages=(MessageId(message),))
    if entries:
        yield ordinals.Prune(conversation=at.id, retain_depth=None)
        yield ordinals.Prune(conversation=at.id, retain_depth=0)
    pair = _pair(entries)
    if pair and len(state.extents) < scope.summaries:
        yield tokens.Replace(
            conversation=at.id, summary=_fresh(state, "h"), text="by the host", items=pair
        )


def _pair(entries: Chunk) -> tuple[Item, ...]:
    """Return the first two messages that stand side by side."""
    for one, other in pairwise(entries):
        if one.depth is None and other.depth is None:
            return one.item, other.item
    return ()


def _nowhere() -> Iterator[Event]:
    """Yield the events of compaction for a conversation that does not exist."""
    nowhere, name = ConversationId("nowhere"), SummaryId("s")
    yield Evaluate(conversation=nowhere, settings=SMALL, budget=0)
    yield Select(conversation=nowhere, settings=SMALL)
    yield Commit(conversation=nowhere, settings=SMALL, items=(), summary=name, answers=())
    yield CompactLeaf(conversation=nowhere, settings=SMALL, budget=0, summary=name, script=())
    yield Sweep(conversation=nowhere, settings=SMALL, budget=0, summary=name, script=())
    yield SweepUntil(conversation=nowhere, settings=SMALL, target=0, summary=name, script=())


Values: TypeAlias = dict[str, tuple[object, ...]]
"""Candidates for the fields of an event, by field, or by field and event."""


OWN = ("Evaluate", "Select", "Commit", "CompactLeaf", "Sweep", "SweepUntil")


def choices(state: State) -> Choices:
    """Return values that occur here and near misses: groups for each conversation.

    Most of what is compacted is the longest context.
    """
    groups = choices_of_intake(state.taken).groups
    lists = state.taken.ledger.lists.conversations
    if not lists:
        return Choices(groups=groups)
    longest = max(lists, key=lambda one: len(one.context)).id
    own = _compacting(state, longest)
    for event in OWN:
        own[f"conversation:{event}"] = (longest, longest, longest, *(one.id for one in lists))
    return Choices(groups=tuple({**group, **own} for group in groups))


def _names_taken(state: State) -> Iterator[SummaryId]:
    """Yield the name of a summary of each conversation that has one."""
    for at in state.taken.ledger.lists.conversations:
        yield from (one.id for one in at.summaries[:1])


def _meanwhile(state: State, here: ConversationId) -> tuple[tuple[Meanwhile, ...], ...]:
    """Return nothing, most often, and what others may do during the first calls."""
    at = find(state.taken.ledger.lists, here)
    assert at is not None
    others = _interferences(state, at)
    some = [(Meanwhile(call=1, event=one),) for one in others]
    return ((), *some, tuple(one for pair in some[1:3] for one in pair))


def _compacting(state: State, at: ConversationId) -> Values:
    """Return settings, scripts and selections for a conversation."""
    total = max(0, ledger_of(state.taken.ledger, at).total)
    settings = (
        SMALL,
        replace(NO_TAIL, stale=1, deadline=5),
        replace(SMALL, leaf_chunk=40, fresh_tail=3, stale=1, passes=1),
        replace(SMALL, depth=None, deadline=12, fallback_cap=1, passes=1),
        replace(SMALL, stale=1, deadline=5),
        replace(SMALL, fresh_tail=4, fresh_tail_tokens=9, condensed_target=6),
        Settings(),
    )
    named = [items for one in settings[:3] for items in _selected(state, at, one)]
    entries = entries_of(state, at)
    items = items_of(entries)
    least = [(one.item,) for one in entries if one.says and one.tokens < LEAST][:2]
    least += [(one.item,) for one in entries if not one.says][:2]
    names = (SummaryId("s"), SummaryId("t"))
    return {
        "settings": settings,
        "script": (*SCRIPTS, (Unauthenticated(took=2),), ()),
        "meanwhile": _meanwhile(state, at),
        "answers": (*((script * 2)[:2] for script in SCRIPTS), (Failed(took=3),)),
        "items:Commit": (*named, *named, *named, *least, items[:2], items[1:3], items[1::-1], ()),
        "summary:Commit": (_fresh(state, "s"), *_names_taken(state)),
        "summary:CompactLeaf": names,
        "summary:Sweep": names,
        "summary:SweepUntil": names,
        "budget": (total, 2 * total, 0),
        "target": (total // 2, total, max(0, total - 1), 3 * total // 4, 0),
        **dict.fromkeys(("force", "hard", "condense"), (True, False)),
    }
