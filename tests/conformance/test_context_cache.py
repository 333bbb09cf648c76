"""The context cache of an engine over SQLite: its host, its cache by itself, planted bugs."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace
from typing_extensions import override

from plumbline import cache_host
from plumbline import tokens as sqlite_tokens
from plumbline.cache_host import CacheHost
from plumbline.context_cache import ContextCache, Kept, is_at, read_kept
from plumbline.database import MEMORY, open_database
from plumbline.registry import context_cache_case
from plumbline_models import context_cache, ordinals, tokens
from plumbline_models.context_cache import (
    Begin,
    Begun,
    Change,
    Commit,
    Committed,
    End,
    Ended,
    Event,
    Listed,
    Open,
    Outcome,
    Read,
    RolledBack,
    Stale,
    State,
)
from plumbline_models.ordinals import ConversationId, MessageId
from plumbline_spec.case import Scopes
from plumbline_spec.clause_table import silent
from plumbline_spec.engines import run_descend, run_lockstep
from plumbline_spec.host import RequestId
from plumbline_spec.report import EngineReport, Verdict
from tests.plans import PLAN

Engine = Callable[..., EngineReport]
C = ConversationId("c")
READ = Read(conversation=C, compacting=True)


def taken(host: CacheHost, *events: Event) -> list[Outcome]:
    return [host.step(event) for event in events]


@pytest.fixture
def host() -> CacheHost:
    return CacheHost()


def test_a_list_is_read_once_and_after_each_interference(host: CacheHost) -> None:
    """CCH-6, CCH-8: what each question costs, in readings."""
    events = (
        Open(conversation=C),
        Begin(),
        Change(conversation=C),
        READ,
        READ,
        Commit(conversation=C),
        READ,
        Change(conversation=C),
        Commit(conversation=C),
        READ,
        Commit(conversation=C),
        READ,
    )
    outcomes = taken(host, *events)
    read = [one.read for one in outcomes if isinstance(one, Listed)]
    assert read == [True, False, False, True, False]
    assert [type(one) for one in outcomes if isinstance(one, Committed | Stale)] == [
        Committed,
        Stale,
        Committed,
    ]


def test_a_transaction_that_fails_leaves_the_database_and_no_list(host: CacheHost) -> None:
    taken(host, Open(conversation=C), Begin(), Change(conversation=C), READ)
    before = host.observe()
    assert host.step(Commit(conversation=C, fails=True)) == RolledBack()
    after = host.observe()
    assert (after.conversations, after.kept) == (before.conversations, ())


def test_a_host_that_goes_back_has_the_cache_of_then(host: CacheHost) -> None:
    taken(host, Open(conversation=C), Begin(), READ)
    before = host.observe()
    host.mark()
    assert host.step(End(raised=True)) == Ended(users=0)
    assert host.observe().kept == ()
    host.back()
    assert host.observe() == before


def test_a_host_that_begins_again_has_nothing(host: CacheHost) -> None:
    taken(host, Open(conversation=C), Begin(), READ)
    host.reset()
    assert host.observe() == State()


def test_an_event_that_is_asked_again_is_done_once(host: CacheHost) -> None:
    """ENV-2."""
    assert host.step(Begin(), RequestId("r")) == Begun(users=1)
    assert host.step(Begin(), RequestId("r")) == Begun(users=1)
    assert host.observe().users == 1


def test_a_revision_is_asked_for_and_not_moved() -> None:
    db = open_database(MEMORY)
    sqlite_tokens.apply(db, ordinals.Open(conversation=C))
    assert [is_at(db, C, number) for number in (0, 1, 2)] == [False, True, False]
    draft = tokens.Draft(id=MessageId("m"), text="said")
    sqlite_tokens.apply(db, tokens.Append(conversation=C, messages=(draft,)))
    assert not is_at(db, C, 1)
    assert (read_kept(db, C).revision, read_kept(db, C).total) == (2, 1)
    db.close()


# The cache by itself


def kept(revision: int) -> Kept:
    return Kept(revision, 0, [])


def test_a_cache_keeps_empty_lists_while_it_is_used_and_nothing_else() -> None:
    cache = ContextCache()
    read = iter(range(100))

    def reading() -> Kept:
        return kept(next(read))

    assert [cache.get(C, reading).revision for _ in range(2)] == [0, 1]
    with cache.using():
        assert [cache.get(C, reading).revision for _ in range(2)] == [2, 2]
        with cache.using():
            assert cache.get(C, reading).revision == 2
        assert cache.get(C, reading).revision == 2
        assert cache.get(ConversationId("d"), reading).revision == 3
        cache.stale(C)
        assert cache.get(C, reading).revision == 4
        cache.committed(C, kept(50))
        assert cache.get(C, reading).revision == 50
    assert cache.get(C, reading).revision == 5


def test_a_cache_is_empty_after_an_exception_and_after_the_last_user_alone() -> None:
    cache = ContextCache()
    with cache.using():
        cache.get(C, lambda: kept(1))
        with pytest.raises(ValueError, match="within"), cache.using():
            raise ValueError("within")
        assert cache.get(C, lambda: kept(2)).revision == 1
    assert cache.users == 0
    cache.committed(C, kept(3))
    with cache.using():
        assert cache.get(C, lambda: kept(4)).revision == 4


def test_the_compaction_of_another_conversation_leaves_a_list_alone() -> None:
    """The boolean of PR #295 before its review destroyed the cache of another session."""
    cache = ContextCache()
    first, second = cache.using(), cache.using()
    with first:
        cache.get(C, lambda: kept(1))
        with second:
            cache.get(ConversationId("d"), lambda: kept(1))
        assert cache.get(C, lambda: kept(2)).revision == 1


# Bugs planted in the implementation


class Flag(ContextCache):
    @override
    def begin(self) -> None:
        self._users = 1


class Leaving(ContextCache):
    @override
    def end(self) -> None:
        self._users -= 1


class ByLength(ContextCache):
    @override
    def get(self, conversation: ConversationId, read: Callable[[], Kept]) -> Kept:
        kept = self.kept.get(conversation)
        found = kept if kept is not None and kept.rows else read()
        if self.users:
            self._kept[conversation] = found
        return found


class NeverForgetting(ContextCache):
    @override
    def stale(self, conversation: ConversationId) -> None:
        pass


class NeverTold(ContextCache):
    @override
    def committed(self, conversation: ConversationId, kept: Kept) -> None:
        pass


SCOPE = context_cache.Scope(conversations=1)
CASE = replace(
    context_cache_case(),
    scopes={"quick": Scopes(explore=(SCOPE,), descend=(SCOPE,), diff=SCOPE)},
)


LONG = replace(PLAN, profile=replace(PLAN.profile, examples=100))


@pytest.mark.parametrize("engine", [run_descend, run_lockstep])
def test_the_shipped_cache_holds(engine: Engine) -> None:
    assert engine(CASE, PLAN, silent).verdict is Verdict.HOLDS


@pytest.mark.parametrize("engine", [run_descend, run_lockstep])
@pytest.mark.parametrize("bug", [Flag, Leaving, ByLength, NeverForgetting, NeverTold])
def test_a_planted_bug_is_found(
    bug: type[ContextCache], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_host, "ContextCache", bug)
    found = engine(CASE, LONG, silent)
    assert found.verdict is Verdict.BROKEN
    assert found.findings
