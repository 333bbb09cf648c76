"""Descend: the scope depth first over savepoints, on a host as well."""

import pytest

from plumbline_spec.descend import descend
from plumbline_spec.explore import explore
from plumbline_spec.host import Judged, offered
from plumbline_spec.model_host import model_host
from plumbline_spec.toy import (
    ONE_TOO_MANY,
    PARTLY,
    Clear,
    Deposit,
    Event,
    Scope,
    State,
    Withdraw,
    host,
    machine,
)
from tests.judge.hosts import (
    SCOPE,
    HidesOne,
    Jammed,
    Locker,
    MisAnswers,
    NoClear,
    Raises,
    ToyFactory,
    unseen,
    viewed,
    without_clear,
)


@pytest.mark.parametrize("coins", [0, 1, 2, 3, 4])
def test_depth_first_reaches_the_states_of_breadth_first(coins: int) -> None:
    scope = Scope(coins=coins)
    deep, wide = descend(machine(), scope, host), explore(machine(), scope, fingerprint=True)
    assert deep is not None
    assert deep.complete
    assert (deep.states, deep.transitions, deep.fingerprint) == (
        wide.states,
        wide.transitions,
        wide.fingerprint,
    )


@pytest.mark.parametrize(
    ("make", "identity", "last"),
    [
        (lambda: model_host(machine(ONE_TOO_MANY)), "outcome Deposit: Refused(full)", Deposit),
        (lambda: model_host(machine(PARTLY)), "outcome Withdraw: Refused(short)", Withdraw),
        (MisAnswers.make, "outcome Clear: Cleared, host Cleared", Clear),
        (HidesOne.make, "state state.held", Deposit),
        (Raises.make, "raised Clear: RuntimeError", Clear),
    ],
    ids=["one too many", "partly", "mis-answers", "hides", "raises"],
)
def test_a_wrong_host_is_caught_on_the_way(
    make: ToyFactory, identity: str, last: type[Event]
) -> None:
    found = descend(machine(), SCOPE, make)
    assert found is not None
    assert str(found.failure).startswith(identity)
    assert isinstance(found.events[-1], last)
    assert not found.complete
    assert found.bound is None


def test_a_host_that_begins_wrong_is_caught_before_any_event() -> None:
    found = descend(machine(), SCOPE, Jammed.make)
    assert found is not None
    assert found.failure is not None
    assert found.failure.identity == ("raised", "reset: OSError")
    assert (found.events, found.transitions) == ((), 0)


@pytest.mark.parametrize("most", [1, 7, 19])
def test_a_bound_on_transitions_is_reported_and_never_as_complete(most: int) -> None:
    found = descend(machine(), SCOPE, host, max_transitions=most)
    assert found is not None
    assert (found.transitions, found.bound) == (most, f"{most} transitions")
    assert not found.complete
    assert found.events == ()


def test_the_walk_keeps_its_own_stack_and_tells_its_greatest_depth() -> None:
    found = descend(machine(), Scope(coins=1), host)
    assert found is not None
    assert found.deepest == 3


def test_the_host_is_back_where_it_began_when_the_walk_is_done() -> None:
    kept = Locker()
    descend(machine(), SCOPE, lambda: Judged(host=kept, observable=kept, reversible=kept))
    assert kept.observe() == State()
    with pytest.raises(IndexError):
        kept.back()


def test_an_irreversible_host_is_not_applicable() -> None:
    assert descend(machine(), SCOPE, unseen) is None


def test_events_that_a_host_lacks_are_not_offered_to_it() -> None:
    found = descend(machine(), SCOPE, without_clear)
    assert found is not None
    assert found.complete
    assert found.lacks == {"Clear"}
    rest = explore(offered(machine(), found.lacks), SCOPE, fingerprint=True)
    assert (found.transitions, found.fingerprint) == (rest.transitions, rest.fingerprint)
    assert found.transitions == 16


def test_a_host_that_lacks_an_event_and_does_not_say_so_is_caught() -> None:
    found = descend(machine(), SCOPE, NoClear.make)
    assert found is not None
    assert str(found.failure) == "raised Clear: NotImplementedError: Clear"


def test_a_host_with_a_view_is_compared_by_it_alone() -> None:
    right = descend(machine(), SCOPE, lambda: viewed(Locker()))
    wrong = descend(machine(), SCOPE, lambda: viewed(HidesOne()))
    assert right is not None
    assert right.complete
    assert wrong is not None
    assert wrong.failure is not None
    assert wrong.failure.detail == "state.held: 1, host 0"


def test_progress_is_told_before_anything_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plumbline_spec.descend.PROGRESS_TRANSITIONS", 10)
    told: list[str] = []
    descend(machine(), SCOPE, host, progress=told.append)
    assert told[-1] == "4 states, 20 transitions on the host"
