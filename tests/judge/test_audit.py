"""Audits of any machine: the toy's, with clauses that compare parts and rows that nothing shows."""

from collections.abc import Iterator

from msgspec.structs import replace

from plumbline_models.contract import Condition, Discrepancy, StateClause, Witness
from plumbline_spec.audit import (
    NEEDS_QUERY,
    NEEDS_RUN,
    NEEDS_STEPS,
    Audit,
    Comparison,
    RowClause,
    RowCondition,
    audit,
    compare,
    through,
)
from plumbline_spec.codec import canonical
from plumbline_spec.errors import CouldNotFinish
from plumbline_spec.report import Verdict
from plumbline_spec.toy import State, machine


def lockers(**held: int) -> Iterator[tuple[str, State]]:
    """Yield a part for each locker."""
    for name, coins in held.items():
        yield name, State(held=coins)


def halting(*parts: tuple[str, State]) -> Iterator[tuple[str, State]]:
    yield from parts
    raise CouldNotFinish("the disk is gone")


def verdicts(found: Audit) -> dict[str, str]:
    return {one.clause: one.verdict.value for one in found.clauses}


def reasons(found: Audit) -> dict[str, str]:
    return {one.clause: one.why for one in found.clauses}


ALONE: StateClause[State] = StateClause(
    id="TOY-5",
    title="alone",
    sentence="One locker MUST be empty.",
    witnesses=lambda _state: (),
    between_parts=True,
)
TOY = machine()
WITH_ALONE = replace(TOY, clauses=(*TOY.clauses, ALONE))


def witness(number: int) -> Witness:
    return Witness(table="lockers", row=f"row {number}", found="is wrong")


# Clauses


def test_lockers_that_hold_few_coins_keep_every_clause() -> None:
    """TOY-1."""
    found = audit(TOY, lockers(a=1, b=3))
    assert verdicts(found) == {
        "TOY-1": "holds",
        "TOY-2": "not applicable",
        "TOY-3": "not applicable",
        "TOY-4": "not applicable",
    }
    assert found.verdict is Verdict.HOLDS
    assert reasons(found) == {
        "TOY-1": "",
        "TOY-2": NEEDS_STEPS,
        "TOY-3": NEEDS_STEPS,
        "TOY-4": NEEDS_RUN,
    }


def test_every_witness_is_counted_and_the_first_are_kept() -> None:
    """TOY-1."""
    found = audit(TOY, lockers(a=4, b=1, c=5, d=6), keep=2)
    first = found.clauses[0]
    assert (first.verdict, first.count) == (Verdict.BROKEN, 3)
    assert [str(one) for one in first.witnesses] == [
        "the locker: holds 4 coins, the limit is 3",
        "the locker: holds 5 coins, the limit is 3",
    ]
    assert found.verdict is Verdict.BROKEN


def test_the_largest_part_is_named_with_its_size() -> None:
    found = audit(TOY, lockers(a=1, b=1000, c=10))
    assert found.largest is not None
    assert (found.parts, found.largest.key) == (3, "b")
    assert found.largest.size_bytes == len(canonical(State(held=1000)))
    assert audit(TOY, lockers()).largest is None


def test_a_clause_between_parts_takes_a_query() -> None:
    without = audit(WITH_ALONE, lockers(a=1))
    assert verdicts(without)["TOY-5"] == "not applicable"
    assert reasons(without)["TOY-5"] == NEEDS_QUERY
    asked = audit(WITH_ALONE, lockers(a=1), queries={"TOY-5": lambda: [witness(1), witness(2)]})
    assert (asked.clauses[-1].count, asked.verdict) == (2, Verdict.BROKEN)
    clean = audit(WITH_ALONE, lockers(a=1), queries={"TOY-5": lambda: ()})
    assert verdicts(clean)["TOY-5"] == "holds"


def test_a_clause_whose_rows_a_host_lacks_is_not_applicable() -> None:
    found = audit(TOY, lockers(a=9), lacks={"TOY-1": "it has no lockers"})
    assert (verdicts(found)["TOY-1"], reasons(found)["TOY-1"]) == (
        "not applicable",
        "it has no lockers",
    )
    assert found.verdict is Verdict.HOLDS


def test_rows_have_clauses_of_their_own() -> None:
    rows = (
        RowClause(id="ROW-1", title="one", sentence="", query=lambda: [witness(1)]),
        RowClause(id="ROW-2", title="two", sentence="", query=lambda: ()),
        RowClause(id="ROW-3", title="three", sentence="", query=None, lacks="no such table"),
    )
    found = audit(TOY, lockers(a=1), rows=rows)
    assert list(verdicts(found).items())[-3:] == [
        ("ROW-1", "broken"),
        ("ROW-2", "holds"),
        ("ROW-3", "not applicable"),
    ]
    assert reasons(found)["ROW-3"] == "no such table"


# Hosts that cannot go on


def test_parts_that_end_early_leave_their_clauses_unfinished_and_the_rest_goes_on() -> None:
    queries = {"TOY-5": lambda: [witness(1)]}
    found = audit(WITH_ALONE, halting(("a", State(held=1))), queries=queries)
    assert verdicts(found)["TOY-1"] == "unfinished"
    assert reasons(found)["TOY-1"] == "the disk is gone"
    assert verdicts(found)["TOY-5"] == "broken"
    alone = audit(TOY, halting(("a", State(held=1))))
    assert alone.verdict is Verdict.UNFINISHED


def test_what_was_found_before_the_end_stays_found() -> None:
    found = audit(TOY, halting(("a", State(held=7))))
    first = found.clauses[0]
    assert (first.verdict, first.count, first.why) == (Verdict.BROKEN, 1, "the disk is gone")


def test_a_query_that_ends_early_is_unfinished_unless_it_found_something() -> None:
    def ends(*found: Witness) -> Iterator[Witness]:
        yield from found
        raise CouldNotFinish("the page is bad")

    rows = (
        RowClause(id="ROW-1", title="one", sentence="", query=ends),
        RowClause(id="ROW-2", title="two", sentence="", query=lambda: ends(witness(1))),
    )
    found = audit(TOY, lockers(a=1), rows=rows)
    assert verdicts(found)["ROW-1"] == "unfinished"
    assert (verdicts(found)["ROW-2"], reasons(found)["ROW-2"]) == ("broken", "the page is bad")


# Two hosts


def fewer(before: State, after: State) -> Iterator[Discrepancy]:
    if after.held < before.held:
        yield Discrepancy(
            table="lockers", row="the locker", before=str(before.held), after=str(after.held)
        )


KEPT: Condition[State] = Condition(
    title="kept", sentence="Coins stay.", clauses=("TOY-3",), discrepancies=fewer
)


def results(found: Comparison) -> dict[str, tuple[str, int]]:
    return {one.condition: (one.verdict.value, one.count) for one in found.conditions}


def test_conditions_are_judged_on_the_parts_of_one_key() -> None:
    found = compare(TOY, lockers(a=1, b=2, c=3), lockers(a=2, b=1, c=0), [KEPT])
    assert results(found) == {"kept": ("broken", 2), "clauses": ("holds", 0)}
    assert [str(one) for one in found.conditions[0].discrepancies] == [
        "the locker: 2 before, 1 after",
        "the locker: 3 before, 0 after",
    ]
    assert (found.parts, found.verdict) == (3, Verdict.BROKEN)


def test_a_part_that_one_side_lacks_is_the_initial_state_there() -> None:
    gone = compare(TOY, lockers(a=1, b=2), lockers(a=1), [KEPT])
    assert results(gone)["kept"] == ("broken", 1)
    assert gone.conditions[0].discrepancies[0].after == "0"
    new = compare(TOY, lockers(b=2), lockers(a=1, b=2, c=3), [KEPT])
    assert (results(new)["kept"], new.parts) == (("holds", 0), 3)
    assert compare(TOY, lockers(), lockers(), [KEPT]).largest is None


def test_a_clause_that_held_before_holds_after() -> None:
    """TOY-1."""
    found = compare(TOY, lockers(a=1, b=4), lockers(a=5, b=6), [])
    assert results(found) == {"clauses": ("broken", 1)}
    (one,) = found.conditions[0].discrepancies
    assert (one.row, one.before) == ("TOY-1, the locker", "the clause holds")
    assert one.after == "holds 5 coins, the limit is 3"


def test_a_comparison_that_ends_early_is_unfinished() -> None:
    rows = RowCondition(
        title="rows", sentence="", clauses=(), discrepancies=lambda: fewer(State(held=1), State())
    )
    whole = lockers(a=1)
    found = compare(TOY, whole, halting(("a", State(held=1))), [KEPT], rows=[rows])
    assert results(found) == {
        "kept": ("unfinished", 0),
        "clauses": ("unfinished", 0),
        "rows": ("broken", 1),
    }
    assert found.conditions[0].why == "the disk is gone"


def test_a_condition_is_seen_through_another_state() -> None:
    def counted(coins: str) -> State:
        return State(held=len(coins))

    (seen,) = through([KEPT], counted)
    assert [str(one) for one in seen.discrepancies("ab", "a")] == ["the locker: 2 before, 1 after"]
    assert list(seen.discrepancies("a", "ab")) == []


def test_progress_is_told_now_and_then() -> None:
    said: list[str] = []
    parts = {f"{number:04}": 1 for number in range(250)}
    audit(TOY, lockers(**parts), progress=said.append)
    assert said == ["100 parts", "200 parts"]
