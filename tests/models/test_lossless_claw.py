"""The released engine by itself: what separates its releases, and what each of them gets wrong.

The probes that docstrings name were made on the released code; figures here are of their kind.
"""

from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

import pytest
from msgspec.structs import replace

from plumbline_models.lossless_claw import (
    BEFORE_295,
    HEAD,
    PR295,
    Answer,
    Call,
    Configuration,
    ConstraintError,
    Denied,
    Engine,
    Failure,
    Message,
    Raised,
    Rules,
    Store,
    Summary,
    Text,
    Told,
    append_row,
    boundary,
    compact_leaf,
    compact_until,
    prune,
    replace_range,
    resolved,
    sweep,
    total,
)
from plumbline_models.lossless_claw.engine import Asking
from plumbline_models.lossless_claw.selection import NOWHERE
from plumbline_models.lossless_claw.texts import length16, slice16, trim

R = TypeVar("R")
EVERY = pytest.mark.parametrize("rules", [BEFORE_295, PR295, HEAD], ids=lambda rules: rules.name)
OLD = pytest.mark.parametrize("rules", [BEFORE_295, PR295], ids=lambda rules: rules.name)
Meanwhile = Callable[[Store], Store]


def engine(rules: Rules, **given: float | None) -> Engine:
    usual: dict[str, float | None] = {
        "freshTailCount": 1,
        "leafChunkTokens": 100,
        "leafTargetTokens": 40,
        "condensedTargetTokens": 10,
        "leafMinFanout": 2,
        "condensedMinFanout": 2,
    }
    fields = {**usual, **given}
    configuration = replace(Configuration(), **fields)
    return Engine(rules=rules, settings=resolved(configuration))


def said(*counts: tuple[int, int], role: str = "assistant") -> Store:
    """Return a conversation of messages with so many characters and such a stored count."""
    store = Store()
    for number, (chars, tokens) in enumerate(counts, 1):
        store = with_message(store, number, chars, tokens, role)
    return store


def with_message(store: Store, number: int, chars: int, tokens: int, role: str) -> Store:
    message = Message(id=number, role=role, content="m" * chars, tokens=tokens)
    return append_row(replace(store, messages=(*store.messages, message)), message=number)


def run(
    talk: Generator[Call, Asking, tuple[Store, R]],
    answers: Iterable[Answer],
    meanwhile: Meanwhile = lambda store: store,
) -> tuple[Store, R, list[Call]]:
    """Answer what an engine asks; ``meanwhile`` happens during the first call."""
    waiting, calls = iter(answers), list[Call]()
    try:
        call = next(talk)
        while True:
            calls.append(call)
            store = meanwhile(call.store) if len(calls) == 1 else call.store
            call = talk.send((store, next(waiting)))
    except StopIteration as done:
        after: Store
        told: R
        after, told = done.value
        return after, told, calls


def items(store: Store) -> list[int | str | None]:
    return [row.message or row.summary for row in store.rows]


SHORT = Text("s" * 40)


# What separates the releases


@EVERY
def test_a_count_of_zero_with_content_separates_the_totals(rules: Rules) -> None:
    """Probe 27: the running total of PR #295 falls below what stands there, and below zero."""
    store = said((4000, 0), (40, 10))
    after, told, _ = run(sweep(engine(rules), store, 0, force=True, hard=False), [SHORT] * 4)
    assert total(after) == 20
    assert told.after == {"BEFORE_295": 20, "PR295": 10 - 1000 + 10, "HEAD": 0}[rules.name]


@EVERY
def test_an_append_during_a_call_separates_the_totals(rules: Rules) -> None:
    """Probe 46: what comes during the call is in the context and, since PR #295, in no report."""
    store = said((400, 100), (40, 10))

    def meanwhile(then: Store) -> Store:
        return with_message(then, 9, 4000, 1000, "user")

    after, told, _ = run(compact_leaf(engine(rules), store, 0, force=True), [SHORT] * 4, meanwhile)
    assert total(after) == 1020
    assert told.after == (1020 if rules is BEFORE_295 else 20)


@OLD
def test_positive_counts_do_not_separate_before_and_295(rules: Rules) -> None:
    store = said(*[(400, 100)] * 4)
    after, told, _ = run(sweep(engine(rules), store, 0, force=True, hard=False), [SHORT] * 9)
    assert told == run(sweep(engine(PR295), store, 0, force=True, hard=False), [SHORT] * 9)[1]
    assert told.after == total(after)


def test_a_replacement_that_leaves_the_list_dense_renumbers_nothing_since_295() -> None:
    """Probes 2 and 3, for their outcome: both close up, and a gap is healed by both."""
    store = replace(
        said(*[(40, 10)] * 4),
        summaries=(Summary(id="S1", leaf=True, depth=0, content="s", tokens=1),),
    )
    gap = replace(store, rows=(store.rows[0], *store.rows[2:]))
    for rules in (BEFORE_295, PR295):
        assert items(replace_range(rules, store, 1, 2, "S1")) == [1, "S1", 4]
        closed = replace_range(rules, gap, 3, 3, "S1")
        assert [row.ordinal for row in closed.rows] == [0, 1, 2]


@EVERY
def test_two_negative_ordinals_cannot_be_closed_up(rules: Rules) -> None:
    """Probes 10 and 12."""
    store = said(*[(40, 10)] * 3)
    moved = tuple(
        replace(row, ordinal=ordinal) for row, ordinal in zip(store.rows, (-3, -1, 5), strict=True)
    )
    with pytest.raises(ConstraintError, match="UNIQUE constraint failed"):
        replace_range(rules, replace(store, rows=moved), 5, 5, "S1")
    one = replace(store, rows=moved[1:])
    assert [row.ordinal for row in replace_range(rules, one, 5, 5, "S1").rows] == [0, 1]


@EVERY
def test_a_range_over_a_taken_ordinal_fails(rules: Rules) -> None:
    with pytest.raises(ConstraintError):
        replace_range(rules, said((40, 10), (40, 10)), 0, -1, "S1")


# What they get wrong together


@EVERY
def test_a_summariser_that_does_not_shorten_makes_the_context_grow(rules: Rules) -> None:
    """Probes 32 and 35: the fallback of a short source is longer than the source."""
    store = said((40, 10), (40, 10))
    long = Text("s" * 4000)
    after, told, calls = run(compact_leaf(engine(rules), store, 0, force=True), [long, long])
    assert [call.aggressive for call in calls] == [False, True]
    assert (told.acted, told.level) == (True, "fallback")
    assert told.after > told.before
    assert total(after) == told.after


@EVERY
def test_a_caller_that_is_not_authenticated_writes_nothing(rules: Rules) -> None:
    """Probes 38 to 40."""
    store = said((400, 100), (40, 10))
    after, told, _ = run(compact_leaf(engine(rules), store, 0, force=True), [Denied()])
    assert after == store
    assert told == Told(acted=False, before=110, after=110, denied=True)


@EVERY
def test_an_error_of_the_summariser_leaves_the_engine(rules: Rules) -> None:
    """Probes 41 and 42."""
    store = said((400, 100), (40, 10))
    with pytest.raises(Failure, match="broken"):
        run(compact_leaf(engine(rules), store, 0, force=True), [Raised("broken")])


@EVERY
def test_a_stale_range_takes_a_message_that_no_summary_covers(rules: Rules) -> None:
    """Probe 56: a second replacement during the call; the range of ordinals 0 to 2 is another."""
    store = said(*[(120, 30)] * 5)
    other = Summary(id="OTHER", leaf=True, depth=0, content="other", tokens=2, messages=(1, 2))

    def meanwhile(then: Store) -> Store:
        known = replace(then, summaries=(*then.summaries, other))
        return replace_range(rules, known, 0, 1, "OTHER")

    after, _, _ = run(
        compact_leaf(engine(rules, incrementalMaxDepth=0), store, 0, force=True),
        [SHORT],
        meanwhile,
    )
    covered = {one for summary in after.summaries for one in summary.messages}
    assert after.summaries[-1].messages == (1, 2, 3)
    assert 4 not in items(after)
    assert 4 not in covered


@EVERY
def test_a_chunk_that_says_nothing(rules: Rules) -> None:
    """Probe 63: headers alone are summarised before 0.15, and what is behind is not seen since."""
    store = said((0, 100), (400, 100), (40, 10))
    after, told, calls = run(
        compact_leaf(engine(rules), store, 0, force=True), [Text(""), Text("")]
    )
    if rules is HEAD:
        assert (told.acted, calls, after) == (False, [], store)
    else:
        assert told.level == "fallback"
        assert after.summaries[0].content.startswith("[2026-01-01 00:00 UTC]\n[Truncated")


def test_the_cursor_of_a_sweep_does_not_survive_a_renumbering() -> None:
    """Probes 64 and 69: the same list, dense and with a gap before it."""
    dense = said((0, 100), *[(400, 100)] * 9)
    shifted = replace(
        dense, rows=tuple(replace(row, ordinal=row.ordinal + 10) for row in dense.rows)
    )
    ways = engine(HEAD, maxSweepIterations=20)
    left: list[int] = []
    for store in (dense, shifted):
        after, _, _ = run(sweep(ways, store, 0, force=True, hard=False), [SHORT] * 30)
        left.append(sum(row.message is not None for row in after.rows))
    assert left[0] == 2
    assert left[1] > left[0]


@EVERY
def test_a_short_run_hides_a_later_one(rules: Rules) -> None:
    """The oldest run of each depth is too short, and nothing of that depth is condensed."""
    store = Store()
    for name, depth in (("S1", 0), ("S2", 1), ("S3", 0), ("S4", 0)):
        one = Summary(id=name, leaf=not depth, depth=depth, content="s" * 400, tokens=100)
        store = append_row(replace(store, summaries=(*store.summaries, one)), summary=name)
    store = with_message(store, 1, 40, 10, "assistant")
    ways = engine(rules, leafChunkTokens=400, condensedMinFanoutHard=2)
    after, told, calls = run(sweep(ways, store, 0, force=True, hard=True), [SHORT] * 9)
    assert (after, told.acted, calls) == (store, False, [])


# The rest of the engine


@EVERY
def test_a_tail_of_none_protects_nothing(rules: Rules) -> None:
    store = said((40, 10))
    assert boundary(rules, store, store.rows, engine(rules, freshTailCount=0).settings) == NOWHERE
    assert (
        boundary(rules, store, store.rows, engine(rules, freshTailCount=None).settings) == NOWHERE
    )


def test_the_newest_message_of_a_user_is_protected_since_1008() -> None:
    store = with_message(said((40, 10), role="user"), 2, 40, 10, "assistant")
    ordinals = [
        boundary(rules, store, store.rows, engine(rules).settings) for rules in (PR295, HEAD)
    ]
    assert ordinals == [1, 0]


def test_a_tail_of_tokens_ends_before_the_message_that_is_too_much() -> None:
    store = said((40, 10), (400, 100), (40, 10), (40, 10))
    settings = engine(HEAD, freshTailCount=4, freshTailMaxTokens=50).settings
    assert boundary(HEAD, store, store.rows, settings) == 2


@pytest.mark.parametrize(
    ("given", "field", "value"),
    [
        ({"leafChunkTokens": -5}, "leaf_chunk", 20_000),
        ({"leafChunkTokens": float("nan")}, "leaf_chunk", 20_000),
        ({"leafMinFanout": 0}, "leaf_fanout", 8),
        ({"condensedMinFanout": 2.9}, "condensed_fanout", 2),
        ({"freshTailCount": -1}, "fresh_tail", 0),
        ({"incrementalMaxDepth": -1}, "depth", NOWHERE),
        ({"incrementalMaxDepth": 1.5}, "depth", 1),
        ({"incrementalMaxDepth": float("nan")}, "depth", 0),
        ({"fallbackMaxTokens": 5}, "fallback_cap", 64),
        ({"sweepMaxDepth": 3}, "sweep_depth", 3),
    ],
)
def test_odd_values_are_resolved(given: dict[str, float], field: str, value: int) -> None:
    assert getattr(engine(HEAD, **given).settings, field) == value


def test_texts_are_cut_as_javascript_cuts_them() -> None:
    assert length16("a😀") == 3
    assert slice16("a😀", 2) == "a\ud83d"
    assert slice16("abc", -1) == ""
    assert trim("\ufeff\u00a0 a \u2029") == "a"


@EVERY
def test_an_answer_far_beyond_its_target_is_capped(rules: Rules) -> None:
    store = said((4000, 1000), (40, 10))
    after, told, _ = run(compact_leaf(engine(rules), store, 0, force=True), [Text("s" * 2000)])
    assert told.level == "capped"
    assert after.summaries[0].tokens <= 120
    assert after.summaries[0].content.endswith("[Capped from 500 tokens to ~120]")


@EVERY
def test_a_source_of_nothing_asks_nobody(rules: Rules) -> None:
    empty = Summary(id="S1", leaf=True, depth=0, content="", tokens=50)
    store = Store()
    for number in (1, 2):
        named = replace(empty, id=f"S{number}", earliest="", latest="")
        store = append_row(replace(store, summaries=(*store.summaries, named)), summary=named.id)
    store = with_message(store, 1, 40, 10, "assistant")
    _, told, calls = run(sweep(engine(rules), store, 0, force=True, hard=True), [SHORT] * 9)
    assert told.acted == bool(calls)


@EVERY
def test_a_prune_keeps_deep_summaries(rules: Rules) -> None:
    del rules
    store = said((40, 10))
    for name, depth in (("S1", 0), ("S2", 1)):
        summary = Summary(id=name, leaf=not depth, depth=depth, content="s", tokens=1)
        store = append_row(replace(store, summaries=(*store.summaries, summary)), summary=name)
    assert items(prune(store, 1)) == ["S2"]
    assert items(prune(store, None)) == []
    assert prune(store, -1) == store


@EVERY
def test_rounds_end_when_the_target_is_reached_or_nothing_falls(rules: Rules) -> None:
    store = said(*[(400, 100)] * 4)
    ways = engine(rules)
    after, told, _ = run(compact_until(ways, store, 1000, 400, 0), [SHORT] * 20)
    assert (told.success, told.final) == (True, total(after))
    _, told, _ = run(compact_until(ways, store, 1000, 1, 0), [SHORT] * 20)
    assert not told.success
    _, told, calls = run(compact_until(ways, store, 1000, 0, 0), [])
    assert (told.success, told.rounds, calls) == (True, 0, [])
    _, told, _ = run(compact_until(ways, store, 1000, 1, 0), [Denied()] * 3)
    assert (told.success, told.denied) == (False, True)


def test_the_current_line_stops_after_so_many_passes() -> None:
    store = said(*[(400, 100)] * 9)
    ways = engine(HEAD, maxSweepIterations=2)
    _, told, calls = run(sweep(ways, store, 0, force=True, hard=False), [SHORT] * 20)
    assert (told.stopped, len(calls)) == (True, 2)
