"""Trial: what a failing step is called, where both sides differ, and what is not applicable."""

import pytest
from msgspec.structs import replace

from plumbline_spec.errors import CouldNotFinish
from plumbline_spec.host import Judged
from plumbline_spec.model_host import model_host
from plumbline_spec.strict import JsonValue
from plumbline_spec.toy import (
    LOSES,
    ONE_TOO_MANY,
    Clear,
    Deposit,
    Event,
    State,
    Withdraw,
    host,
    machine,
)
from plumbline_spec.trial import MAX_SHOWN, Difference, Failure, Trial, differ, field_of, judge
from tests.judge.hosts import (
    FULL_DAY,
    AnswersTrue,
    Babbles,
    Blind,
    Busy,
    BusyToReset,
    BusyToSee,
    HidesOne,
    Jammed,
    Locker,
    MisAnswers,
    NoClear,
    ObservesTrue,
    Raises,
    ToyFactory,
    unseen,
    viewed,
    without_clear,
)


def failing(make: ToyFactory, *events: Event) -> tuple[tuple[Event, ...], Failure]:
    found = judge(Trial(machine(), make()), events)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "make",
    [host, unseen, without_clear, lambda: viewed(Locker())],
    ids=["whole", "unseen", "without an event", "viewed"],
)
def test_a_right_host_fails_nowhere(make: ToyFactory) -> None:
    assert judge(Trial(machine(), make()), FULL_DAY) is None


def test_a_machine_is_judged_without_a_host_as_well() -> None:
    """TOY-1, TOY-2."""
    assert judge(Trial(machine()), FULL_DAY) is None
    found = judge(Trial(machine(LOSES)), (Deposit(coins=1), Withdraw(coins=2), Clear()))
    assert found is not None
    assert found[0] == (Deposit(coins=1), Withdraw(coins=2))
    assert found[1].identity == ("clause", "TOY-2")
    assert found[1].detail == "the locker: holds 0 coins and not 1"
    over = judge(Trial(machine(ONE_TOO_MANY)), (Deposit(coins=4),))
    assert over is not None
    assert over[1].identity == ("clause", "TOY-1")


def test_a_clause_that_is_left_out_is_not_judged() -> None:
    """TOY-1."""
    assert judge(Trial(machine(ONE_TOO_MANY), without=frozenset({"TOY-1"})), FULL_DAY) is None


def test_a_broken_initial_state_fails_before_any_event() -> None:
    """TOY-1."""
    found = judge(Trial(replace(machine(), initial=State(held=4))), FULL_DAY)
    assert found is not None
    assert (found[0], found[1].name) == ((), "TOY-1")


def test_an_outcome_that_differs_names_the_event_and_both_outcomes() -> None:
    events, failure = failing(
        lambda: model_host(machine(ONE_TOO_MANY)), *FULL_DAY, Deposit(coins=3)
    )
    assert events == (*FULL_DAY, Deposit(coins=3))
    assert failure.identity == ("outcome", "Deposit: Refused(full), host Deposited")
    assert failure.detail == "the machine answers Refused(full) and the host Deposited"
    assert [one.path for one in failure.differences] == [
        "outcome.reason",
        "outcome.type",
        "outcome.held",
    ]


def test_an_outcome_that_differs_in_one_field_shows_it() -> None:
    events, failure = failing(MisAnswers.make, *FULL_DAY)
    assert events == FULL_DAY[:3]
    assert failure.differences == (Difference(path="outcome.coins", machine="3", host="4"),)


def test_a_state_that_differs_names_the_field() -> None:
    events, failure = failing(HidesOne.make, *FULL_DAY)
    assert events == FULL_DAY[:2]
    assert str(failure) == "state state.held: state.held: 3, host 2"


def test_what_a_host_raises_is_its_failure() -> None:
    events, failure = failing(Raises.make, *FULL_DAY)
    assert events == FULL_DAY[:3]
    assert failure.identity == ("raised", "Clear: RuntimeError")
    assert failure.detail == "the door is stuck"


def test_what_a_host_raises_when_it_is_observed_is_its_failure() -> None:
    events, failure = failing(Blind.make, *FULL_DAY)
    assert events == FULL_DAY[:1]
    assert str(failure) == "raised observe: OSError: no light"


def test_what_a_host_raises_when_it_is_reset_is_its_failure() -> None:
    assert failing(Jammed.make, Clear())[1].identity == ("raised", "reset: OSError")


def test_an_answer_that_is_no_value_is_a_failure() -> None:
    assert failing(Babbles.make, Clear())[1].identity == ("raised", "Clear: TypeError")


@pytest.mark.parametrize("kind", [Busy, BusyToSee, BusyToReset])
def test_what_the_environment_does_is_no_failure_of_the_host(kind: type[Locker]) -> None:
    with pytest.raises(CouldNotFinish, match="busy"):
        judge(Trial(machine(), kind.make()), FULL_DAY)


def test_true_is_not_one_in_an_outcome() -> None:
    assert AnswersTrue().step(Deposit(coins=1)) == Locker().step(Deposit(coins=1))
    _, failure = failing(AnswersTrue.make, Deposit(coins=1))
    assert failure.differences == (Difference(path="outcome.held", machine="1", host="true"),)


def test_true_is_not_one_in_a_state() -> None:
    _, failure = failing(ObservesTrue.make, Deposit(coins=1))
    assert failure.differences == (Difference(path="state.held", machine="1", host="true"),)


def test_a_host_that_is_not_observed_is_judged_by_its_outcomes() -> None:
    assert judge(Trial(machine(), Judged(host=HidesOne())), FULL_DAY) is None
    assert judge(Trial(machine(), Judged(host=MisAnswers())), FULL_DAY) is not None


def test_a_host_cannot_be_judged_beyond_an_event_that_it_lacks() -> None:
    trial = Trial(machine(), without_clear())
    assert judge(trial, FULL_DAY) is None
    assert judge(trial, FULL_DAY) is None
    assert trial.state == State(held=1)
    _, failure = failing(NoClear.make, *FULL_DAY)
    assert failure.identity == ("raised", "Clear: NotImplementedError")


def test_a_host_follows_again_after_the_next_beginning() -> None:
    lacking = replace(without_clear(), observable=HidesOne())
    assert judge(Trial(machine(), lacking), (Clear(), Deposit(coins=1))) is None
    trial = Trial(machine(), lacking)
    assert judge(trial, (Clear(),)) is None
    assert judge(trial, (Deposit(coins=1),)) is not None


def test_differences_are_named_by_their_place() -> None:
    wanted: JsonValue = {"a": [1, {"b": 2}], "only": None, "same": "x"}
    got: JsonValue = {"a": [1, {"b": True}, 3], "same": "x", "more": []}
    assert [(one.path, one.machine, one.host) for one in differ(wanted, got, "state")] == [
        ("state.a[1].b", "2", "true"),
        ("state.a[2]", "(nothing)", "3"),
        ("state.only", "null", "(nothing)"),
        ("state.more", "(nothing)", "[]"),
    ]


@pytest.mark.parametrize(
    ("wanted", "got"), [([], {}), (1, True), (0, None), ("1", 1), (0.0, -0.0), ({}, [])]
)
def test_values_that_python_may_call_equal_differ_by_their_bytes(
    wanted: JsonValue, got: JsonValue
) -> None:
    assert len(differ(wanted, got, "state")) == 1
    assert differ(wanted, wanted, "state") == []


def test_a_long_value_is_cut_in_the_message() -> None:
    (one,) = differ("a" * 1_000, "a" * 999 + "b", "state")
    assert len(one.machine) == len(one.host) == MAX_SHOWN
    assert one.machine.endswith("a…")


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("state", "state"),
        ("state.held", "state.held"),
        ("state.items[3].sources[12].id", "state.items.sources.id"),
        ("state.items[3]", "state.items"),
    ],
)
def test_the_identity_of_a_difference_has_no_index(path: str, field: str) -> None:
    """A trace that is shrunk fails at another index, and is the same failure."""
    assert field_of(path) == field
