"""The released engine as a machine of compaction: the same events, on the same states.

Chapter ``spec/compaction.md``, "The released engine".

Theory of operation. ``lossless_claw`` is a model of that engine over what it stores itself. Here a
conversation of ``State`` is written as such a store, the engine runs, and what it stored is read
back: rows with their ordinals, counts as the engine makes them, lineage as it links it. Between a
call and its answer the store is read back too, so that others may change the conversation. What a
summary covers is taken from its lineage, as everywhere else.

The engine gives no reason for stopping, so it is given one that holds of what it believed.
"""

from collections.abc import Callable, Generator
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from plumbline_models import intake, ordinals, tokens
from plumbline_models import lossless_claw as lcm
from plumbline_models.closing import CONSTRAINT
from plumbline_models.compaction.extents import with_extents
from plumbline_models.compaction.passes import exists, host_step, total, unknown
from plumbline_models.compaction.selection import PRIOR, entries_of, said_of
from plumbline_models.compaction.sweeps import during, either
from plumbline_models.compaction.values import (
    SPEC,
    Commit,
    Committed,
    CompactLeaf,
    Evaluate,
    Evaluated,
    Event,
    Idle,
    Kind,
    Outcome,
    Pass,
    Reason,
    Refused,
    Rules,
    Select,
    Selected,
    Settings,
    State,
    Stop,
    Sweep,
    SweepUntil,
    Swept,
)
from plumbline_models.decisions.counting import Door
from plumbline_models.decisions.escalation import Answer, Failed, Level, Text, Unauthenticated
from plumbline_models.lossless_claw import engine as engines
from plumbline_models.lossless_claw import selection
from plumbline_models.lossless_claw.configuration import UNBOUNDED, Resolved
from plumbline_models.ordinals.queries import find, settle
from plumbline_models.ordinals.values import (
    Conversation,
    ConversationId,
    Depth,
    Item,
    MessageItem,
    Ordinal,
    Placed,
    Summary,
    SummaryId,
    SummaryItem,
)
from plumbline_models.tokens.queries import counts_of, ledger_of, standing, texts_of, with_ledger

Told = TypeVar("Told")
Talk = Generator[lcm.Call, tuple[lcm.Store, lcm.Answer], Told]
_Sweep = CompactLeaf | Sweep | SweepUntil

LEVELS = {
    "normal": Level.NORMAL,
    "aggressive": Level.AGGRESSIVE,
    "capped": Level.NORMAL,
    "fallback": Level.FALLBACK,
}


def rules_of(name: str, release: lcm.Rules) -> Rules:
    """Return the rules under which a release compacts over the lists and counts of its host."""
    lists = ordinals.Rules(
        name=name,
        closing=release.closing,
        stale_check=False,
        prune_closes=False,
        prune_records=False,
    )
    ledger = tokens.Rules(name=name, lists=lists, door=Door.OPEN, measure=release.measure)
    return Rules(
        name=name,
        log=intake.Rules(name=name, ledger=ledger),
        release=release,
        stale_check=False,
        tested=False,
        newest_user=release.current,
        skips_empty=release.current,
        later_runs=False,
        last_resort=False,
    )


def step(rules: Rules, release: lcm.Rules, state: State, event: Event) -> tuple[State, Outcome]:
    """Apply one event as the release does."""
    match event:
        case Evaluate() | Select() | Commit() | CompactLeaf() | Sweep() | SweepUntil():
            if not exists(state, event.conversation):
                return state, unknown()
        case _:
            return host_step(rules, state, event)
    engine = lcm.Engine(rules=release, settings=resolved(event.settings))
    store = written(state, event.conversation)
    match event:
        case Evaluate():
            return state, _evaluated(engine, store, event)
        case Select():
            return state, _selected(engine, store, state, event)
        case Commit():
            return _commit(rules, engine, state, event)
        case CompactLeaf() | Sweep() | SweepUntil():
            return _sweep(rules, engine, state, event)


def resolved(settings: Settings) -> Resolved:
    """Return settings as the engine goes by them."""
    depth = UNBOUNDED if settings.depth is None else settings.depth
    return Resolved(
        threshold=settings.threshold_percent / 100,
        fresh_tail=settings.fresh_tail,
        fresh_tail_tokens=settings.fresh_tail_tokens,
        leaf_fanout=settings.leaf_fanout,
        condensed_fanout=settings.condensed_fanout,
        hard_fanout=settings.hard_fanout,
        depth=depth,
        leaf_chunk=settings.leaf_chunk,
        leaf_target=settings.leaf_target,
        condensed_target=settings.condensed_target,
        rounds=settings.rounds,
        overage=settings.overage_percent / 100,
        fallback_cap=settings.fallback_cap,
        passes=settings.passes,
        prefix_target=None,
        sweep_depth=depth,
    )


# States and stores


def written(state: State, here: ConversationId) -> lcm.Store:
    """Return a conversation as the engine stores it."""
    at = find(state.taken.ledger.lists, here)
    assert at is not None
    counts, said = counts_of(ledger_of(state.taken.ledger, here)), said_of(state, here)
    numbers = {one.id: int(one.sequence) for one in at.messages}
    extents = {one.summary: one for one in state.extents}
    messages = tuple(
        lcm.Message(
            id=int(one.sequence),
            role=said[one.id].role if one.id in said else "assistant",
            content=one.text,
            tokens=counts[MessageItem(id=one.id)],
            at=(said[one.id].time if one.id in said else None) or "",
        )
        for one in at.messages
    )
    summaries = tuple(
        lcm.Summary(
            id=one.id,
            leaf=one.depth == 0,
            depth=int(one.depth),
            content=one.text,
            tokens=counts[SummaryItem(id=one.id)],
            descendants=extents[one.id].descendants,
            descendant_tokens=extents[one.id].descendant_tokens,
            source_tokens=extents[one.id].source_tokens,
            files=extents[one.id].files,
            messages=tuple(
                numbers[item.id]
                for item in one.sources
                if isinstance(item, MessageItem) and item.id in numbers
            ),
            sources=tuple(item.id for item in one.sources if isinstance(item, SummaryItem)),
            earliest=extents[one.id].earliest or "",
            latest=extents[one.id].latest or "",
        )
        for one in at.summaries
    )
    rows = tuple(
        lcm.Row(ordinal=int(one.ordinal), message=numbers[one.item.id])
        if isinstance(one.item, MessageItem)
        else lcm.Row(ordinal=int(one.ordinal), summary=one.item.id)
        for one in at.context
    )
    return lcm.Store(messages=messages, summaries=summaries, rows=rows)


def read_back(state: State, here: ConversationId, store: lcm.Store) -> State:
    """Return the state whose conversation is as the engine stored it."""
    at = find(state.taken.ledger.lists, here)
    assert at is not None
    ids = {int(one.sequence): one.id for one in at.messages}
    known = {one.id for one in at.summaries}
    fresh = [one for one in store.summaries if one.id not in known]
    counts = counts_of(ledger_of(state.taken.ledger, here))
    counts |= {SummaryItem(id=SummaryId(one.id)): one.tokens for one in fresh}

    def item(row: lcm.Row) -> Item:
        if row.message is not None:
            return MessageItem(id=ids[row.message])
        assert row.summary is not None
        return SummaryItem(id=SummaryId(row.summary))

    made = [
        Summary(
            id=SummaryId(one.id),
            depth=Depth(one.depth),
            text=one.content,
            sources=(
                *(MessageItem(id=ids[number]) for number in one.messages if number in ids),
                *(SummaryItem(id=SummaryId(source)) for source in one.sources),
            ),
        )
        for one in fresh
    ]
    after = replace(
        at,
        summaries=tuple(sorted((*at.summaries, *made), key=lambda one: one.id)),
        context=tuple(Placed(ordinal=Ordinal(one.ordinal), item=item(one)) for one in store.rows),
    )
    ledger = _ledger(after, counts)
    moved = tokens.State(
        lists=settle(state.taken.ledger.lists, after),
        ledgers=with_ledger(state.taken.ledger.ledgers, ledger),
    )
    return with_extents(state, replace(state.taken, ledger=moved))


def _ledger(at: Conversation, counts: dict[Item, int]) -> tokens.Ledger:
    """Return the counts of what is stored, and the sum of what stands in the context."""
    return tokens.Ledger(
        conversation=at.id,
        total=sum(counts[item] for item in standing(at)),
        counts=tuple(tokens.Count(item=item, tokens=counts[item]) for item in texts_of(at)),
    )


# Readings


def _evaluated(engine: lcm.Engine, store: lcm.Store, event: Evaluate) -> Outcome:
    stored, limit = lcm.total(store), engine.settings.limit(event.budget)
    size = max(stored, event.observed or 0)
    raw = lcm.raw_outside(engine.rules, store, store.rows, engine.settings)
    return Evaluated(
        total=stored,
        size=size,
        threshold=limit,
        compact=size > limit,
        raw=raw,
        leaf=raw >= engine.settings.leaf_chunk,
    )


def _selected(engine: lcm.Engine, store: lcm.Store, state: State, event: Select) -> Outcome:
    if event.condense:
        found = _condensable(engine, store, hard=event.hard)
        chunk = selection.Chunk() if found is None else found[1]
    else:
        chunk = selection.leaf_chunk(engine.rules, store, store.rows, engine.settings)
    if not chunk.rows:
        return Idle()
    at = find(state.taken.ledger.lists, event.conversation)
    assert at is not None
    items = {int(one.ordinal): one.item for one in at.context}
    before = [items[one.ordinal] for one in store.rows if one.ordinal < chunk.rows[0].ordinal]
    return Selected(
        items=tuple(items[one.ordinal] for one in chunk.rows),
        removed=chunk.tokens,
        prior=tuple(one for one in before if isinstance(one, SummaryItem))[-PRIOR:],
    )


def _condensable(
    engine: lcm.Engine, store: lcm.Store, *, hard: bool
) -> tuple[int, selection.Chunk] | None:
    settings = engine.settings

    def fanout(depth: int) -> int:
        if hard:
            return settings.hard_fanout
        return settings.condensed_fanout if depth else settings.leaf_fanout

    return selection.condensable(engine.rules, store, store.rows, settings, fanout)


# Running the engine


class _Running:
    """The engine between calls: the state, what it told of its passes, and the clock."""

    def __init__(
        self,
        rules: Rules,
        engine: lcm.Engine,
        state: State,
        here: ConversationId,
        named: Callable[[set[str]], str],
    ) -> None:
        self.rules, self.engine, self.state, self.here = rules, engine, state, here
        self.named = named
        self.size = total(state, here)
        """As the engine follows it."""
        self.passes = list[Pass]()
        self.calls = self.took = self._asked = 0
        """``_asked`` are the calls before those of the pass that is made now."""
        self._names = dict[tuple[str, int], str]()

    def naming(self, store: lcm.Store, text: str) -> str:
        """Name a summary; releases before the 0.15 line make the name of its text and the time."""
        known = {one.id for one in store.summaries} | {one.summary for one in self.state.extents}
        if self.engine.rules.current:
            return self.named(known)
        return self._names.setdefault((text, self.took), self.named(known))

    def run(
        self,
        begin: Callable[[lcm.Engine, lcm.Store], Talk[Told]],
        answer: Callable[[int], Answer],
        ended: Callable[[Told], lcm.Store],
        others: Callable[[int], list[intake.Event]],
    ) -> Told:
        """Run an operation to its end. Raises ``Failure`` and ``ConstraintError``."""
        engine = replace(self.engine, naming=self.naming)
        talk = begin(engine, written(self.state, self.here))
        try:
            call = next(talk)
            while True:
                self._follow(call.store)
                self.calls += 1
                given = answer(self.calls)
                self.took += given.took
                if not isinstance(given, Text):
                    self._asked = self.calls  # the pass ends here
                for one in others(self.calls):
                    self.state, _ = host_step(self.rules, self.state, one)
                call = talk.send((written(self.state, self.here), _as_told(given)))
        except StopIteration as done:
            told: Told = done.value
            self._follow(ended(told))
            return told

    def _follow(self, store: lcm.Store) -> None:
        """Read the store back, and record the passes that it has and the state has not."""
        known = {one.summary for one in self.state.extents}
        for one in store.summaries:
            if one.id not in known:
                self.passes.append(self._record(one, store, self.calls - self._asked))
                self._asked = self.calls
        self.state = read_back(self.state, self.here, store)

    def _record(self, made: lcm.Summary, store: lcm.Store, calls: int) -> Pass:
        ids = {int(one.sequence): one.id for one in self._conversation().messages}
        messages = [one for one in store.messages if one.id in made.messages]
        summaries = [one for one in store.summaries if one.id in made.sources]
        before = self.size
        if self.engine.rules.totals is lcm.Totals.READ:
            before = total(self.state, self.here)
            removed = sum(one.tokens for one in messages) + sum(one.tokens for one in summaries)
            self.size = lcm.total(store)
        else:
            taken = [selection.message_tokens(self.engine.rules, one) for one in messages]
            taken += [one.tokens for one in summaries]
            removed = sum(max(0, one) for one in taken)
            self.size += made.tokens - removed
            if self.engine.rules.totals is lcm.Totals.CLAMPED:
                self.size = max(0, self.size)
        return Pass(
            kind=Kind.LEAF if made.leaf else Kind.CONDENSED,
            summary=SummaryId(made.id),
            sources=(
                *(MessageItem(id=ids[number]) for number in made.messages),
                *(SummaryItem(id=SummaryId(one)) for one in made.sources),
            ),
            level=_level(made, calls),
            capped=made.level == "capped",
            calls=calls,
            before=before,
            removed=removed,
            added=made.tokens,
            after=self.size,
        )

    def _conversation(self) -> Conversation:
        at = find(self.state.taken.ledger.lists, self.here)
        assert at is not None
        return at


def _level(made: lcm.Summary, calls: int) -> Level:
    level = LEVELS[made.level]
    return Level.AGGRESSIVE if level is Level.NORMAL and calls > 1 else level


def _as_told(answer: Answer) -> lcm.Answer:
    match answer:
        case Text(text=text):
            return lcm.Text(text)
        case Unauthenticated():
            return lcm.Denied()
        case Failed():
            return lcm.Raised()


def _commit(rules: Rules, engine: lcm.Engine, state: State, event: Commit) -> tuple[State, Outcome]:
    """Make one pass over items that were selected; what stands between them goes with them."""
    if not event.items:
        return state, ordinals.Refused(reason=ordinals.Reason.EMPTY_RANGE)
    store, here = written(state, event.conversation), event.conversation
    at = find(state.taken.ledger.lists, here)
    assert at is not None
    places = {one.item: int(one.ordinal) for one in at.context}
    if event.items[0] not in places or event.items[-1] not in places:
        return state, Refused(reason=Reason.STALE)
    rows = {one.ordinal: one for one in store.rows}
    chunk = selection.Chunk(rows=tuple(rows[places[one]] for one in event.items if one in places))
    found = [store.summary(row) for row in chunk.rows]
    if len({one is None for one in found}) > 1:
        return state, Refused(reason=Reason.UNEVEN)
    depth = None if found[0] is None else found[0].depth
    running = _Running(rules, engine, state, here, lambda _known: event.summary)
    try:
        passed = running.run(
            lambda engine, store: _pass(engine, store, chunk, depth),
            lambda call: (*event.answers, Failed(), Failed())[call - 1],
            lambda told: told.store,
            lambda _call: [],
        )
    except lcm.Failure:
        return state, Refused(reason=Reason.SUMMARISER_ERROR)
    except lcm.ConstraintError as error:
        return state, _failed(error)
    if passed.summary is None:
        empty = Reason.EMPTY_SOURCE if passed.skipped else Reason.AUTHENTICATION
        return state, Refused(reason=empty)
    if not running.passes:  # another conversation has a summary of that id
        return state, _failed(lcm.ConstraintError(engines.NAMED_ALREADY))
    return running.state, Committed(record=running.passes[0])


def _pass(
    engine: lcm.Engine, store: lcm.Store, chunk: selection.Chunk, depth: int | None
) -> Talk[engines.Passed]:
    if depth is None:
        return engines.leaf_pass(engine, store, chunk, "")
    return engines.condensed_pass(engine, store, chunk, depth, "")


CONSTRAINTS = {
    engines.COLLIDED: CONSTRAINT,
    engines.NAMED_ALREADY: "summaries.summary",
    engines.GONE: "lineage.source",
}
"""Constraints of the released database, as this one names them."""


def _failed(error: lcm.ConstraintError) -> ordinals.Failed:
    return ordinals.Failed(constraint=CONSTRAINTS[str(error)])


class _Said(Struct, frozen=True, kw_only=True):
    """What a caller is told, in one shape for leaf, sweep and rounds."""

    store: lcm.Store
    acted: bool
    after: int
    rounds: int
    stop: Stop | None
    """None when it is neither what was asked for nor a failure nor a bound."""


def _sweep(rules: Rules, engine: lcm.Engine, state: State, event: _Sweep) -> tuple[State, Outcome]:
    here = event.conversation

    def named(known: set[str]) -> str:
        number = 1
        while f"{event.summary}-{number}" in known:
            number += 1
        return f"{event.summary}-{number}"

    running = _Running(rules, engine, state, here, named)

    def answer(call: int) -> Answer:
        return event.script[(call - 1) % len(event.script)] if event.script else Failed()

    said: _Said | None = None
    try:
        said = running.run(
            lambda engine, store: _talk(engine, store, event),
            answer,
            lambda told: told.store,
            lambda call: [*during(event, call - 1, call)],
        )
    except lcm.Failure:
        pass
    except lcm.ConstraintError as error:
        return running.state, _failed(error)
    return running.state, Swept(
        compacted=bool(running.passes) if said is None else said.acted,
        before=total(state, here),
        after=running.size if said is None else said.after,
        passes=tuple(running.passes),
        rounds=min(1, len(running.passes)) if said is None else said.rounds,
        calls=running.calls,
        stop=Stop.SUMMARISER_ERROR if said is None else said.stop or _stuck(running, event),
        floor=None,
    )


def _talk(engine: lcm.Engine, store: lcm.Store, event: _Sweep) -> Talk[_Said]:
    """Run the operation of an event, and say of it what the engine tells or believes."""
    settings = engine.settings
    stop: Stop | None = None
    if isinstance(event, SweepUntil):
        store, told = yield from lcm.compact_until(engine, store, event.target, event.target, 0)
        if told.denied:
            stop = Stop.AUTHENTICATION
        elif told.success:
            stop = Stop.UNDER_TARGET
        elif told.rounds >= settings.rounds:
            stop = Stop.BOUND_REACHED
        acted, after, rounds = told.rounds > 0, told.final, told.rounds
    else:
        if isinstance(event, Sweep):
            talk = lcm.sweep(engine, store, event.budget, force=event.force, hard=event.hard)
        else:
            talk = lcm.compact_leaf(engine, store, event.budget, force=event.force)
        store, one = yield from talk
        if one.denied:
            stop = Stop.AUTHENTICATION
        elif one.after <= settings.limit(event.budget):
            stop = Stop.UNDER_TARGET
        elif one.stopped:
            stop = Stop.BOUND_REACHED
        acted, after, rounds = one.acted, one.after, int(one.acted)
    return _Said(store=store, acted=acted, after=after, rounds=rounds, stop=stop)


def _stuck(running: _Running, event: _Sweep) -> Stop:
    """Return why the engine stopped above its target: nothing to select, or no progress."""
    engine, store = running.engine, written(running.state, event.conversation)
    hard = isinstance(event, SweepUntil) or (isinstance(event, Sweep) and event.hard)
    leaf = selection.leaf_chunk(engine.rules, store, store.rows, engine.settings)
    own = leaf.rows or _condensable(engine, store, hard=hard) is not None
    entries = entries_of(running.state, event.conversation)
    if not own or not either(SPEC, event.settings, hard=hard)(entries):
        return Stop.NOTHING_TO_COMPACT
    return Stop.BOUND_REACHED if isinstance(event, CompactLeaf) else Stop.NO_PROGRESS
