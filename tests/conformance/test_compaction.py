"""Compaction over SQLite: what a sweep costs, revisions, planted bugs, and a live summariser."""

import random
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

import apsw
import pytest
from msgspec.structs import replace

from plumbline import compaction as sqlite_compaction
from plumbline.compacting import Engine, Summariser
from plumbline.context_cache import ContextCache
from plumbline.database import MEMORY, answered, open_database
from plumbline.registry import compaction_case
from plumbline.sqlite_host import SqliteHost
from plumbline_models import compaction, ordinals, tokens
from plumbline_models.compaction import (
    Commit,
    CompactLeaf,
    Event,
    Kind,
    Meanwhile,
    Outcome,
    Pass,
    Settings,
    State,
    Stop,
    Sweep,
    SweepUntil,
    Swept,
)
from plumbline_models.compaction.scope import SCRIPTS, SMALL, row
from plumbline_models.compaction.selection import entries_of
from plumbline_models.decisions.escalation import (
    Answer,
    Call,
    Failed,
    Level,
    Text,
    Unauthenticated,
)
from plumbline_models.intake import Digest, EntryId, Place, Row, SourceId, Take
from plumbline_models.ordinals import ConversationId, MessageId, SummaryId
from plumbline_spec.case import Scopes
from plumbline_spec.clause_table import silent
from plumbline_spec.codec import canonical
from plumbline_spec.engines import run_descend, run_lockstep
from plumbline_spec.host import RequestId
from plumbline_spec.report import EngineReport, Verdict
from tests.mutants import Mutant, plant
from tests.plans import PLAN

MACHINE = compaction.machine()
C = ConversationId("c")
CHAT = SourceId("chat")
Host = SqliteHost[State, Event, Outcome]
READS, WRITES = ("SELECT", "WITH"), ("INSERT", "UPDATE", "DELETE")
MOST_WRITES = 12


@contextmanager
def hosting(*events: Event, durable: bool = False) -> Generator[Host]:
    host = Host(sqlite_compaction.PROGRAM, durable=durable)
    try:
        for event in events:
            host.step(event)
        yield host
    finally:
        host.close()


def taking(kinds: str, *, already: int = 0) -> Take:
    rows = tuple(row(C, number, kind) for number, kind in enumerate(kinds, 1) if number > already)
    return Take(conversation=C, source=CHAT, rows=rows, first=Place(already + 1))


def chat(count: int, size: int = 400) -> tuple[Event, ...]:
    """Return the events by which so many messages of a size come into a conversation."""
    rows = tuple(
        Row(
            message=MessageId(f"m{number}"),
            entry=EntryId(f"e{number}"),
            digest=Digest(f"d{number}"),
            role="assistant" if number % 2 else "tool",
            text=f"{number:05} ".ljust(size, "x"),
        )
        for number in range(1, count + 1)
    )
    return (
        ordinals.Open(conversation=C),
        Take(conversation=C, source=CHAT, rows=rows, first=Place(1)),
    )


def reads_of(ran: list[str]) -> int:
    return sum(sql.lstrip().startswith(READS) for sql in ran)


def writes_of(ran: list[str]) -> int:
    return sum(sql.lstrip().startswith(WRITES) for sql in ran)


# What a sweep costs

BOUNDLESS = Settings(passes=10_000, calls=100_000)
SMALLER = replace(BOUNDLESS, leaf_chunk=2_000, leaf_target=240, condensed_target=200)


@pytest.mark.parametrize("settings", [BOUNDLESS, SMALLER], ids=["default", "chunks of 2000"])
@pytest.mark.parametrize("count", [200, 1_000])
def test_a_sweep_reads_the_list_once_and_each_chunk_once(settings: Settings, count: int) -> None:
    """Without interference: 2 reads, one for each pass, and no more than 12 writes for each."""
    event = Sweep(
        conversation=C,
        settings=settings,
        budget=0,
        force=True,
        summary=SummaryId("s"),
        script=(Text(text="x" * 400),),
    )
    with hosting(*chat(count)) as host:
        with host.statements() as ran:
            found = host.step(event)
        assert isinstance(found, Swept)
        assert found.stop is Stop.NOTHING_TO_COMPACT
        condensed = sum(one.kind is Kind.CONDENSED for one in found.passes)
        assert reads_of(ran) <= 2 + len(found.passes) + 2 * condensed
        assert reads_of(ran) == 2 + len(found.passes)
        assert writes_of(ran) <= MOST_WRITES * len(found.passes)
        print(  # noqa: T201 - a figure
            f"{count} messages, chunks of {settings.leaf_chunk}: {len(found.passes)} passes,"
            f" {reads_of(ran)} reads, {writes_of(ran)} writes"
        )


def test_a_live_sweep_costs_no_more() -> None:
    """The same, with the summariser outside of every transaction."""
    with hosting(*chat(1_000)) as host:
        engine = Engine(host.connection, lambda _source, _call, _prior: Text(text="x" * 400))
        event = Sweep(
            conversation=C,
            settings=SMALLER,
            budget=0,
            force=True,
            summary=SummaryId("s"),
            script=(),
        )
        with host.statements() as ran:
            found = engine.compact(event)
        assert found is not None
        assert reads_of(ran) == 2 + len(found.passes)
        assert writes_of(ran) <= MOST_WRITES * len(found.passes)


def test_the_length_of_a_list_does_not_make_a_pass_write_more() -> None:
    def written(count: int) -> int:
        items = tuple(ordinals.MessageItem(id=MessageId(f"m{one}")) for one in range(1, 21))
        event = Commit(
            conversation=C,
            settings=SMALLER,
            items=items,
            summary=SummaryId("s"),
            answers=(Text(text="in short"),),
        )
        with hosting(*chat(count)) as host:
            before = host.connection.total_changes()
            host.step(event)
            return host.connection.total_changes() - before

    assert written(100) == written(2_000)


def test_more_than_a_thousand_summaries_are_all_seen() -> None:
    """Released ports lose sight of what is beyond the first hundred or thousand."""
    count = 1_100
    with hosting(*chat(count + 1, size=16)) as host:
        for number in range(1, count + 1):
            host.step(
                tokens.Replace(
                    conversation=C,
                    summary=SummaryId(f"s{number:04}"),
                    text="xx",
                    items=(ordinals.MessageItem(id=MessageId(f"m{number}")),),
                )
            )
        settings = replace(SMALL, leaf_chunk=8_000, fresh_tail=1, passes=9, calls=40)
        found = host.step(compaction.Select(conversation=C, settings=settings, condense=True))
        assert isinstance(found, compaction.Selected)
        assert len(found.items) == count
        swept = host.step(replace(sweeping(settings), script=(Text(text="in short"),)))
        assert isinstance(swept, Swept)
        assert [len(one.sources) for one in swept.passes] == [count]
        assert host.observe().extents[0].descendants == count


# Revisions and requests


def test_every_event_that_changes_a_context_moves_its_revision() -> None:
    """What the list of an engine is used by, and what its cache is asked with."""
    case = compaction_case()
    scope = compaction.Scope(rows="aau", summaries=2, scripts=SCRIPTS[:1], appends=1)
    randomly = random.Random(7)
    moved = stayed = 0
    for _ in range(12):
        state = MACHINE.initial
        with hosting() as host:
            for _ in range(25):
                offers = [*case.machine.events(state, scope)]
                event = randomly.choice(offers)
                was = dict(_revisions(host.connection))
                host.step(event)
                after, _ = MACHINE.step(state, event)
                lists = {one.id: one.context for one in state.taken.ledger.lists.conversations}
                for one in after.taken.ledger.lists.conversations:
                    changed = lists.get(one.id, ()) != one.context
                    grew = dict(_revisions(host.connection))[one.id] > was.get(one.id, 0)
                    assert grew or not changed, event
                    moved, stayed = moved + grew, stayed + (not grew)
                state = after
    assert moved
    assert stayed


def _revisions(db: apsw.Connection) -> Iterator[tuple[str, int]]:
    for conversation, revision in db.execute("SELECT conversation, revision FROM conversations"):
        assert isinstance(conversation, str)
        assert isinstance(revision, int)
        yield conversation, revision


def test_a_repeated_commit_answers_as_the_first_did() -> None:
    """ENV-2."""
    event = Commit(
        conversation=C,
        settings=SMALL,
        items=(ordinals.MessageItem(id=MessageId("c/1")),),
        summary=SummaryId("s"),
        answers=(Text(text="in short"),),
    )
    with hosting(ordinals.Open(conversation=C), taking("lau")) as host:
        first = host.step(event, RequestId("r"))
        state = canonical(host.observe())
        assert host.step(event, RequestId("r")) == first
        assert canonical(host.observe()) == state


# A live summariser, held to the model


class World:
    """A database, its model, and what others do while a summariser works."""

    def __init__(self, kinds: str) -> None:
        self.db = open_database(MEMORY)
        self.state = MACHINE.initial
        self.take(ordinals.Open(conversation=C))
        self.take(taking(kinds))
        self.passes = list[Pass]()

    def take(self, event: Event) -> Outcome:
        """Take an event on both sides, as another client does."""
        program = sqlite_compaction.PROGRAM
        here = answered(self.db, None, event, program.apply, program.decode_outcome)
        self.state, outcome = MACHINE.step(self.state, event)
        assert here == outcome
        return outcome

    def committed(self, one: Pass) -> None:
        """Make on the model the pass that was made here, and compare."""
        self.passes.append(one)
        at = self.state.taken.ledger.lists
        text = self.db.execute("SELECT text FROM summaries WHERE summary = ?", (one.summary,)).get
        assert isinstance(text, str)
        made = tokens.Replace(
            conversation=C, summary=one.summary, text=text, items=one.sources, tokens=one.added
        )
        self.state, outcome = MACHINE.step(self.state, made)
        assert isinstance(outcome, tokens.Posted), (outcome, at)
        said = (one.before, one.removed, one.added, one.after)
        assert said == (outcome.before, outcome.removed, outcome.added, outcome.after)
        assert canonical(sqlite_compaction.observe(self.db)) == canonical(self.state)

    def compact(self, event: Event, summariser: Summariser) -> Swept:
        engine = Engine(self.db, summariser)
        assert isinstance(event, CompactLeaf | Sweep | SweepUntil)
        found = engine.compact(event, self.committed)
        assert found is not None
        assert found.passes == tuple(self.passes)
        assert not engine.cache.users
        return found


def sweeping(settings: Settings = SMALL) -> Sweep:
    return Sweep(
        conversation=C,
        settings=settings,
        budget=0,
        force=True,
        hard=True,
        summary=SummaryId("mine"),
        script=(),
    )


def until(target: int, settings: Settings = SMALL) -> SweepUntil:
    return SweepUntil(
        conversation=C, settings=settings, target=target, summary=SummaryId("mine"), script=()
    )


def scripted(*script: Answer) -> Summariser:
    """Return a summariser that answers in turn, over and over."""
    calls = iter(range(10_000))

    def summariser(source: str, call: Call, prior: tuple[str, ...]) -> Answer:
        del source, call, prior
        return script[next(calls) % len(script)] if script else Failed()

    return summariser


@pytest.mark.parametrize("kinds", ["llllu", "laElofclu", "EEu", ""])
@pytest.mark.parametrize("script", SCRIPTS, ids=range(len(SCRIPTS)))
@pytest.mark.parametrize(
    "event",
    [
        sweeping(),
        sweeping(replace(SMALL, passes=20, calls=60)),
        until(8),
        until(0),
        CompactLeaf(conversation=C, settings=SMALL, budget=0, summary=SummaryId("mine"), script=()),
    ],
    ids=["sweep", "long sweep", "until 8", "until 0", "leaf"],
)
def test_without_interference_a_live_sweep_is_the_event(
    kinds: str, script: tuple[Answer, ...], event: CompactLeaf | Sweep | SweepUntil
) -> None:
    world = World(kinds)
    expected = MACHINE.step(world.state, replace(event, script=script))[1]
    assert isinstance(expected, Swept)
    found = world.compact(event, scripted(*script))
    assert replace(found, passes=expected.passes) == expected
    assert found.passes == expected.passes


def interfering(db: apsw.Connection, event: CompactLeaf | Sweep | SweepUntil) -> Summariser:
    """Return a summariser that answers by the script while others do what the event says."""
    program, calls = sqlite_compaction.PROGRAM, iter(range(1, 10_000))

    def summariser(source: str, call: Call, prior: tuple[str, ...]) -> Answer:
        del source, call, prior
        number = next(calls)
        for one in event.meanwhile:
            if one.call == number:
                answered(db, None, one.event, program.apply, program.decode_outcome)
        return event.script[(number - 1) % len(event.script)]

    return summariser


@pytest.mark.parametrize("kinds", ["lau", "lllu", "llolaEu", "aal"])
@pytest.mark.parametrize("script", [SCRIPTS[0], SCRIPTS[1], SCRIPTS[6]], ids=["0", "1", "6"])
@pytest.mark.parametrize("passes", [0, 1])
def test_a_live_sweep_is_the_event_whatever_others_do_meanwhile(
    kinds: str, script: tuple[Answer, ...], passes: int
) -> None:
    """Every sweep with interference that the scope offers, against the model."""
    scope = compaction.Scope(rows=kinds, whole=True, summaries=9, scripts=(script,), meanwhile=1)
    before = replace(sweeping(replace(SMALL, passes=passes or 1)), script=SCRIPTS[0])
    started = World(kinds)
    if passes:
        started.take(before)
    taken = 0
    for event in MACHINE.events(started.state, scope):
        if isinstance(event, CompactLeaf | Sweep | SweepUntil) and event.meanwhile:
            world = World(kinds)
            if passes:
                world.take(before)
            state, expected = MACHINE.step(world.state, event)
            found = Engine(world.db, interfering(world.db, event)).compact(event)
            assert found == expected, event
            assert canonical(sqlite_compaction.observe(world.db)) == canonical(state), event
            world.db.close()
            taken += 1
    assert taken


def _other(world: World, number: int) -> Event | None:
    """Return the commit of what the first compactor has just selected."""
    if number > 1:
        return None
    select = compaction.Select(conversation=C, settings=SMALL)
    found = MACHINE.step(world.state, select)[1]
    if not isinstance(found, compaction.Selected):
        return None
    return Commit(
        conversation=C,
        settings=SMALL,
        items=found.items,
        summary=SummaryId(f"other{number}"),
        answers=(Text(text="by another"),),
    )


PATIENT = replace(SMALL, stale=8)
MEANWHILE: dict[str, Callable[[World, int], Event | None]] = {
    "an append": lambda _world, number: tokens.Append(
        conversation=C, messages=(tokens.Draft(id=MessageId(f"late{number}"), text="x" * 40),)
    ),
    "a second compactor": _other,
    "a prune": lambda _world, number: (
        ordinals.Prune(conversation=C, retain_depth=0) if number == 0 else None
    ),
    "a rollback": lambda world, _number: (
        ordinals.RollBack(conversation=C, summary=world.passes[-1].summary)
        if len(world.passes) == 1
        else None
    ),
    "a forgotten message": lambda _world, number: (
        ordinals.Forget(conversation=C, messages=(MessageId("c/1"),)) if number == 0 else None
    ),
}


@pytest.mark.parametrize("what", MEANWHILE)
@pytest.mark.parametrize("event", [sweeping(PATIENT), until(8, PATIENT)], ids=["sweep", "until"])
def test_what_comes_while_a_summariser_works_is_seen_and_nothing_is_covered_twice(
    what: str, event: CompactLeaf | Sweep | SweepUntil
) -> None:
    """CMP-13: every state of the database is the model's after the same steps in the same order."""
    world = World("lllalu")
    number = 0

    def summariser(source: str, call: Call, prior: tuple[str, ...]) -> Answer:
        nonlocal number
        del source, prior
        if call.level is Level.NORMAL:
            meanwhile = MEANWHILE[what](world, number)
            if meanwhile is not None:
                world.take(meanwhile)
        number += 1
        return Text(text="in short")

    found = world.compact(event, summariser)
    assert number
    assert found.stop is not Stop.STALE
    assert canonical(sqlite_compaction.observe(world.db)) == canonical(world.state)


def test_each_interference_costs_at_most_one_more_reading() -> None:
    with hosting(*chat(200)) as host:
        number = 0

        def summariser(source: str, call: Call, prior: tuple[str, ...]) -> Answer:
            nonlocal number
            del source, call, prior
            number += 1
            late = tokens.Draft(id=MessageId(f"late{number}"), text="x" * 40)
            with host.statements():
                host.step(tokens.Append(conversation=C, messages=(late,)))
            ran.append("meanwhile")
            host.connection.exec_trace = note
            return Text(text="x" * 40)

        ran: list[str] = []

        def note(_cursor: apsw.Cursor, sql: str, _bindings: object) -> bool:
            ran.append(sql)
            return True

        host.connection.exec_trace = note
        found = Engine(host.connection, summariser).compact(sweeping(replace(SMALLER, passes=12)))
        host.connection.exec_trace = None
        assert found is not None
        lists = sum(
            "FROM context AS c" in sql and "e.role, e.time, coalesce(octet" in sql for sql in ran
        )
        assert lists <= 1 + ran.count("meanwhile")
        assert len(found.passes) > 1


def test_a_sweep_that_is_overtaken_again_and_again_says_so() -> None:
    """The list of reasons to stop: stale."""
    world = World("l" * 20 + "u")
    number = 0

    def summariser(source: str, call: Call, prior: tuple[str, ...]) -> Answer:
        nonlocal number
        del source, call, prior
        select = compaction.Select(conversation=C, settings=SMALL)
        found = MACHINE.step(world.state, select)[1]
        assert isinstance(found, compaction.Selected)
        number += 1
        name = SummaryId(f"other{number}")
        world.take(
            Commit(
                conversation=C,
                settings=SMALL,
                items=found.items,
                summary=name,
                answers=(Text(text="by another"),),
            )
        )
        return Text(text="in short")

    settings = replace(SMALL, passes=50, calls=200, stale=8)
    found = world.compact(sweeping(settings), summariser)
    assert (found.stop, found.compacted, found.calls) == (Stop.STALE, False, settings.stale)


def test_a_summariser_is_told_what_this_sweep_wrote_before() -> None:
    world = World("llllu")
    told: list[tuple[str, ...]] = []

    def summariser(source: str, call: Call, prior: tuple[str, ...]) -> Answer:
        del source, call
        told.append(prior)
        return Text(text=f"number {len(told)}")

    world.compact(sweeping(replace(SMALL, passes=3)), summariser)
    assert told == [(), ("number 1",), ("number 1", "number 2")]


def test_a_conversation_that_is_not_there_is_none() -> None:
    with hosting() as host:
        assert Engine(host.connection, scripted()).compact(sweeping()) is None


def test_a_summariser_that_raises_leaves_what_was_committed() -> None:
    world = World("lllu")
    calls = iter([Text(text="in short")])

    def summariser(source: str, call: Call, prior: tuple[str, ...]) -> Answer:
        del source, call, prior
        return next(calls)

    engine = Engine(world.db, summariser)
    with pytest.raises(StopIteration):
        engine.compact(sweeping(), world.committed)
    assert len(world.passes) == 1
    assert not engine.cache.users


@pytest.mark.parametrize("answer", [Unauthenticated(), Failed()])
def test_the_last_resort_needs_no_summariser(answer: Answer) -> None:
    """CMP-22, CMP-28."""
    world = World("lalEu")
    found = world.compact(until(8), scripted(answer))
    assert found.stop is Stop.UNDER_TARGET
    assert found.passes[-1].kind is Kind.PREFIX


def test_a_last_resort_that_is_overtaken_is_planned_anew() -> None:
    world = World("llau")
    engine = Engine(world.db, scripted(Unauthenticated()))
    begun = False

    def denying(source: str, call: Call, prior: tuple[str, ...]) -> Answer:
        nonlocal begun
        del source, call, prior
        if not begun:
            begun = True
            late = tokens.Draft(id=MessageId("late"), text="x" * 40)
            world.take(tokens.Append(conversation=C, messages=(late,)))
        return Unauthenticated()

    engine.summariser = denying
    found = engine.compact(until(18), world.committed)
    assert found is not None
    assert found.stop is Stop.UNDER_TARGET


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "in another conversation"])
def test_a_name_that_somebody_takes_during_a_call_is_passed_over(*, elsewhere: bool) -> None:
    """CMP-38: the name that comes next is taken while the summariser is asked."""
    world = World("lllu")
    other = ConversationId("d")
    world.take(ordinals.Open(conversation=other))
    draft = tokens.Draft(id=MessageId("d/1"), text="x" * 40)
    world.take(tokens.Append(conversation=other, messages=(draft,)))
    taking_it = tokens.Replace(
        conversation=other if elsewhere else C,
        summary=SummaryId("mine-1"),
        text="by another",
        items=(ordinals.MessageItem(id=MessageId("d/1" if elsewhere else "c/3")),),
    )
    event = replace(sweeping(), script=SCRIPTS[0], meanwhile=(Meanwhile(call=1, event=taking_it),))
    state, expected = MACHINE.step(world.state, event)
    assert isinstance(expected, Swept)
    assert "mine-1" not in {one.summary for one in expected.passes}
    assert Engine(world.db, interfering(world.db, event)).compact(event) == expected
    assert canonical(sqlite_compaction.observe(world.db)) == canonical(state)


def test_a_summary_made_again_under_its_name_is_another_one() -> None:
    """CMP-5: what was selected says something else now, so it is stale."""
    world = World("llu")
    world.take(replace(sweeping(replace(SMALL, passes=2)), script=SCRIPTS[0]))
    first, second = (one.item.id for one in entries_of(world.state, C)[:2])
    again = tokens.Replace(
        conversation=C,
        summary=SummaryId(first),
        text="q file_0123456789abcdef",
        items=(ordinals.MessageItem(id=MessageId("c/1")),),
    )
    event = replace(
        sweeping(PATIENT),
        summary=SummaryId("t"),
        script=SCRIPTS[0],
        meanwhile=(
            Meanwhile(call=1, event=ordinals.RollBack(conversation=C, summary=SummaryId(first))),
            Meanwhile(call=1, event=again),
        ),
    )
    state, expected = MACHINE.step(world.state, event)
    assert isinstance(expected, Swept)
    assert second
    assert all(one.added < one.removed for one in expected.passes)
    assert expected.calls > len(expected.passes)
    assert Engine(world.db, interfering(world.db, event)).compact(event) == expected
    assert canonical(sqlite_compaction.observe(world.db)) == canonical(state)


def test_a_compaction_inside_another_reads_what_is_stored_then() -> None:
    """CMP-18: the list that the outer one keeps is older than the append."""
    world = World("lllu")
    inner = list[Swept]()

    def summariser(source: str, call: Call, prior: tuple[str, ...]) -> Answer:
        del source, call, prior
        if not inner:
            late = tokens.Draft(id=MessageId("late"), text="x" * 400)
            world.take(tokens.Append(conversation=C, messages=(late,)))
            total = world.state.taken.ledger.ledgers[0].total
            event = replace(sweeping(), force=False, budget=2 * total, summary=SummaryId("inner"))
            found = engine.compact(event)
            assert found is not None
            inner.append(found)
            assert (found.before, found.after) == (total, total)
        return Text(text="in short")

    engine = Engine(world.db, summariser)
    engine.compact(sweeping(PATIENT), world.committed)
    assert inner
    assert not engine.cache.users


def test_a_last_resort_that_is_overtaken_again_and_again_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World("llau")
    engine, real = Engine(world.db, scripted(Unauthenticated())), ContextCache.committing
    number = iter(range(100))

    @contextmanager
    def overtaken(
        self: ContextCache, db: apsw.Connection, conversation: ConversationId
    ) -> Generator[None]:
        late = tokens.Draft(id=MessageId(f"late{next(number)}"), text="x" * 40)
        world.take(tokens.Append(conversation=C, messages=(late,)))
        with real(self, db, conversation):
            yield

    monkeypatch.setattr(ContextCache, "committing", overtaken)
    found = engine.compact(until(8))
    assert found is not None
    assert (found.stop, found.passes) == (Stop.STALE, ())


# Bugs planted in the implementation

MUTANTS = (
    Mutant(
        name="nobody is a user",
        part="e.role, e.time, coalesce",
        wrong="'nobody', e.time, coalesce",
        found_by=("descend", "lockstep"),
    ),
    Mutant(
        name="what is empty says something",
        part="coalesce(octet_length(m.text), octet_length(s.text), 0) > 0",
        wrong="1",
        found_by=("descend",),
    ),
    Mutant(
        name="summaries weigh nothing in a list",
        part="c.summary, coalesce(m.tokens, s.tokens, 0)",
        wrong="c.summary, coalesce(m.tokens, 0)",
        found_by=("descend",),
    ),
    Mutant(
        name="the files of sources are not passed on",
        part="coalesce(x.files, '[]')",
        wrong="'[]'",
        found_by=("descend",),
    ),
    Mutant(
        name="what is below a source is not counted",
        part="coalesce(x.descendants, 0)",
        wrong="0",
        found_by=("descend",),
    ),
    Mutant(
        name="names that are taken are not seen",
        part="WHERE summary > ?2 || '-' AND summary < ?2 || '.'",
        wrong="WHERE summary = ?2",
        found_by=(),
    ),
)
DEEP = compaction.Scope(
    rows="lllfu", whole=True, summaries=7, scripts=(SCRIPTS[0],), host=False, sweeps=False
)
KINDS = compaction.Scope(rows="oeEluf", whole=True, summaries=3, scripts=(SCRIPTS[0],), host=False)
CASE = replace(
    compaction_case(),
    scopes={"quick": Scopes(explore=(DEEP,), descend=(DEEP, KINDS), diff=DEEP)},
)
LONG = replace(PLAN, profile=replace(PLAN.profile, examples=40, steps=30))
ENGINES: dict[str, Callable[[], EngineReport]] = {
    "descend": lambda: run_descend(CASE, PLAN, silent),
    "lockstep": lambda: run_lockstep(CASE, LONG, silent),
}


@pytest.mark.parametrize(
    ("mutant", "engine"),
    [(mutant, engine) for mutant in MUTANTS for engine in mutant.found_by],
    ids=lambda one: one.name if isinstance(one, Mutant) else one,
)
def test_a_planted_bug_is_found(
    mutant: Mutant, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = plant(monkeypatch, mutant)
    found = ENGINES[engine]()
    assert planted.met
    assert found.verdict is Verdict.BROKEN
    assert found.findings


def test_names_of_other_sweeps_are_passed_over() -> None:
    """A sweep names its summaries by a prefix and a number."""
    world = World("lllu")
    items = (ordinals.MessageItem(id=MessageId("c/1")),)
    world.take(
        Commit(
            conversation=C,
            settings=SMALL,
            items=items,
            summary=SummaryId("mine-1"),
            answers=(Text(text="in short"),),
        )
    )
    world.take(replace(sweeping(), script=(Text(text="in short"),)))
    found = world.compact(sweeping(), scripted(Text(text="x")))
    assert found.stop is Stop.NOTHING_TO_COMPACT
