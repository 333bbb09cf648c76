"""The peer of the explorer is the same machine, and its clauses are not idle."""

import pytest

from plumbline_models import ordinals
from plumbline_models.ordinals import Scope
from tests.benchmarks import bare_ordinals as bare

SCOPE = Scope(conversations=2, messages=2, summaries=2)

M1, M2, S1 = ("message", "m1"), ("message", "m2"), ("summary", "s1")
MESSAGES = (("m1", 1, "text of m1"), ("m2", 2, "text of m2"))
COVERING = (("s1", 0, "text of s1", (M1, M2)),)

RAW: bare.Conversation = ("c1", 3, MESSAGES, (), ((0, M1), (1, M2)), ())
REPLACED: bare.Conversation = ("c1", 3, MESSAGES, COVERING, ((0, S1),), ())
REPLACE: bare.Event = ("replace", "c1", "s1", "text of s1", (M1, M2), None, None)
ROLL_BACK: bare.Event = ("roll_back", "c1", "s1")
EMPTY: bare.Conversation = ("c2", 1, (), (), (), ())

BAD_STATES: dict[str, bare.State] = {
    "ORD-1": (("c1", 3, MESSAGES, (), ((0, M1), (2, M2)), ()),),
    "ORD-2": (("c1", 2, MESSAGES, (), ((0, M1), (1, M2)), ()),),
    "ORD-3": (("c1", 3, MESSAGES, COVERING, ((0, S1), (1, M2)), ()),),
    "ORD-4": (
        (
            "c1",
            3,
            MESSAGES,
            (*COVERING, ("s2", 0, "", (M2,))),
            ((0, S1), (1, ("summary", "s2"))),
            (),
        ),
    ),
    "ORD-5": (("c1", 3, MESSAGES, (), ((0, M2), (1, M1)), ()),),
    "ORD-6": (("c1", 1, (), (("s1", 0, "", (M1,)),), (), ((0, "pruned", M1),)),),
    "ORD-7": (("c1", 3, MESSAGES, (("s1", 1, "", (M1, M2)),), ((0, S1),), ()),),
    "ORD-8": (RAW, ("c2", 3, MESSAGES, (), ((0, M1), (1, M2)), ())),
    "ORD-9": (("c1", 1, (), (("s1", 0, "", ()),), ((0, S1),), ()),),
}
"""A state for each clause, which breaks that one first."""

BAD_STEPS: dict[str, tuple[bare.State, bare.Event, bare.Outcome, bare.State]] = {
    "ORD-10": ((RAW,), REPLACE, ("replaced", 0), ((*REPLACED[:2], MESSAGES[1:], *REPLACED[3:]),)),
    "ORD-11": (
        (RAW,),
        REPLACE,
        ("replaced", 0),
        (("c1", 3, MESSAGES, (("s1", 0, "", (M2, M1)),), ((0, S1),), ()),),
    ),
    "ORD-12": (
        (REPLACED,),
        ROLL_BACK,
        ("rolled_back", (M1, M2)),
        (("c1", 3, MESSAGES, (), ((0, M2), (1, M1)), ()),),
    ),
    "ORD-13": (
        (RAW,),
        ("replace", "c1", "s1", "", (M1,), None, None),
        ("replaced", 0),
        (("c1", 3, MESSAGES, (("s1", 0, "", (M1,)),), ((0, S1),), ()),),
    ),
    "ORD-14": ((RAW, EMPTY), ("prune", "c2", None), ("pruned", ()), (REPLACED, EMPTY)),
    "ORD-15": ((RAW,), ROLL_BACK, ("refused", "unknown_item"), (REPLACED,)),
    "ORD-16": ((RAW,), REPLACE, ("failed", "context.conversation, context.ordinal"), (RAW,)),
    "ORD-17": (
        (RAW,),
        ("prune", "c1", None),
        ("pruned", (M1, M2)),
        ((*RAW[:4], (), ((1, "forgotten", M1), (2, "pruned", M2))),),
    ),
    "ORD-22": (
        (RAW,),
        ("forget", "c1", ("m2",)),
        ("forgotten", ("m2",)),
        (("c1", 3, (("m1", 1, "other text"),), (), ((0, M1),), ((2, "forgotten", M2),)),),
    ),
    "ORD-22, unrecorded": (
        (RAW,),
        ("forget", "c1", ("m2",)),
        ("forgotten", ("m2",)),
        (("c1", 3, MESSAGES[:1], (), ((0, M1),), ()),),
    ),
    "ORD-22, kept": (
        (RAW,),
        ("forget", "c1", ("m2",)),
        ("forgotten", ("m2",)),
        (("c1", 3, MESSAGES[:1] + MESSAGES[1:], (), ((0, M1),), ((2, "forgotten", M2),)),),
    ),
    "ORD-23": (
        (("c1", 9, (), (), (), ()),),
        ("append", "c1", (("m1", "text of m1"),)),
        ("appended", 0, 1),
        (("c1", 2, MESSAGES[:1], (), ((0, M1),), ()),),
    ),
    "ORD-24": (
        (("c1", 2, MESSAGES[:1], (), ((0, M1),), ()),),
        ("append", "c1", (("m2", "text of m2"),)),
        ("appended", 1, 2),
        (("c1", 3, MESSAGES, (), ((0, M2), (1, M1)), ()),),
    ),
    "ORD-24, gone": ((EMPTY,), ("append", "c2", ()), ("appended", 0, 1), ()),
    "ORD-25": (
        (REPLACED,),
        ("prune", "c1", 0),
        ("pruned", (S1,)),
        ((*REPLACED[:4], (), ((1, "pruned", S1),)),),
    ),
    "ORD-25, too shallow": ((REPLACED,), ("prune", "c1", 1), ("pruned", ()), ((*REPLACED,),)),
    "ORD-25, gone": ((EMPTY,), ("prune", "c2", None), ("pruned", ()), ()),
    "ORD-26": (
        (("c1", 2, MESSAGES[:1], (), ((0, M1),), ()),),
        ("append", "c1", (("m2", "a longer text"),)),
        ("appended", 1, 2),
        (("c1", 3, MESSAGES, (), ((0, M1), (1, M2)), ()),),
    ),
    "ORD-26, replaced": (
        (RAW,),
        ("replace", "c1", "s1", "another text", (M1, M2), None, None),
        ("replaced", 0),
        (REPLACED,),
    ),
    "ORD-26, gone": ((EMPTY,), ("append", "c2", ()), ("appended", 0, 1), ()),
    "ORD-27": (
        (REPLACED,),
        ("append", "c1", (("m3", "text of m3"),)),
        ("appended", 1, 3),
        ((*REPLACED[:3], (("s1", 0, "repaired", (M1, M2)),), *REPLACED[4:]),),
    ),
    "ORD-28": (
        (("c1", 2, MESSAGES[:1], (), ((0, M1),), ()),),
        ("append", "c1", (("m2", "text of m2"),)),
        ("appended", 2, 2),
        (("c1", 3, MESSAGES, (), ((0, M1), (1, M2)), ()),),
    ),
    "ORD-28, depth": (
        (RAW,),
        ("replace", "c1", "s1", "text of s1", (M1, M2), None, None),
        ("replaced", 1),
        (REPLACED,),
    ),
    "ORD-28, restored": ((REPLACED,), ("roll_back", "c1", "s1"), ("rolled_back", ()), (RAW,)),
    "ORD-28, removed": ((RAW,), ("forget", "c1", ("m2",)), ("forgotten", ("m2",)), (RAW,)),
    "ORD-28, gone": ((EMPTY,), ("prune", "c2", None), ("pruned", ()), ()),
}
"""Steps for each clause, which break it, and others besides where one implies the other."""


def counted(scope: Scope) -> tuple[int, int, int]:
    """Return states, transitions and depth of the model: the plainest search there is."""
    model = ordinals.machine()
    seen, level = {model.initial}, [model.initial]
    transitions, depth = 0, 0
    while level:
        steps = [
            model.step(state, event)[0] for state in level for event in model.events(state, scope)
        ]
        level = list(dict.fromkeys(after for after in steps if after not in seen))
        seen.update(level)
        transitions += len(steps)
        depth += bool(level)
    return len(seen), transitions, depth


@pytest.mark.parametrize("refusals", [True, False])
def test_the_peer_visits_as_much_as_the_model(refusals: bool) -> None:  # noqa: FBT001 - a parameter
    scope = Scope(conversations=2, messages=2, summaries=2, refusals=refusals)
    assert bare.explore(scope) == counted(scope)


def test_every_reachability_clause_is_reached() -> None:
    """ORD-18 to ORD-21."""
    scope = Scope(conversations=2, messages=3, summaries=2, refusals=False)
    assert bare.walk(scope).reached == set(bare.SOMETIMES_CLAUSES)


def test_a_trace_leads_to_its_state() -> None:
    parents = bare.walk(SCOPE).parents
    for state in parents:
        reached = bare.INITIAL
        for event in bare.trace_to(state, parents):
            reached, _ = bare.step(reached, event)
        assert reached == state


@pytest.mark.parametrize("clause", BAD_STATES)
def test_a_bad_state_breaks_its_clause(clause: str) -> None:
    broken = bare.broken_by_state(BAD_STATES[clause])
    assert broken is not None
    assert broken[0] == clause


@pytest.mark.parametrize("clause", BAD_STEPS)
def test_a_bad_step_breaks_its_clause(clause: str) -> None:
    before, event, outcome, after = BAD_STEPS[clause]
    broken = [
        name
        for name, events, outcomes, breaks in bare.STEP_CLAUSES
        if event[0] in events and outcome[0] in outcomes
        if breaks(before, event, outcome, after) is not None
    ]
    assert clause.partition(",")[0] in broken
    assert bare.broken_by_step(before, event, outcome, after) is not None


def test_a_good_replacement_breaks_nothing() -> None:
    """ORD-10 to ORD-17."""
    after, outcome = bare.step((RAW, EMPTY), REPLACE)
    assert after == (REPLACED, EMPTY)
    assert bare.broken_by_step((RAW, EMPTY), REPLACE, outcome, after) is None
    assert bare.broken_by_state(after) is None


def test_the_search_stops_at_a_broken_clause(monkeypatch: pytest.MonkeyPatch) -> None:
    """ORD-1, asked for too much: the shortest trace to an item has two events."""
    monkeypatch.setitem(bare.STATE_CLAUSES, "ORD-1", lambda at: "occupied" if at[4] else None)
    with pytest.raises(bare.BrokenError, match="ORD-1 is broken after 2 events") as raised:
        bare.explore(SCOPE)
    assert [event[0] for event in raised.value.trace] == ["open", "append"]
