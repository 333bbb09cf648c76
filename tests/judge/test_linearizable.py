"""Linearizability: an order that explains a history is found when there is one, and never else."""

import pickle
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plumbline_spec.errors import CouldNotFinish
from plumbline_spec.linearizable import NEVER, NodesExhausted, Operation, linearization

ADD, READ = "add", "read"
Asked = str
Counter = Operation[Asked]


def step(state: int, asked: Asked) -> tuple[int, bytes]:
    """Take one step of a counter; adding answers what it was before."""
    return state + (asked == ADD), b"%d" % state


def at(called: int, returned: int, asked: Asked, answer: int | None) -> Counter:
    """Return an operation; without an answer it is unknown and never returned."""
    if answer is None:
        return Operation(asked=asked, called=called)
    return Operation(asked=asked, called=called, returned=returned, answer=b"%d" % answer)


def order(*history: Counter) -> tuple[int, ...] | None:
    return linearization(history, 0, step)


def test_a_history_of_one_client_is_in_its_own_order() -> None:
    assert order(at(1, 2, ADD, 0), at(3, 4, ADD, 1), at(5, 6, READ, 2)) == (0, 1, 2)


def test_the_empty_history_is_linearizable() -> None:
    assert order() == ()


def test_operations_that_overlap_may_come_in_either_order() -> None:
    assert order(at(1, 4, ADD, 1), at(2, 3, ADD, 0)) == (1, 0)


def test_an_update_that_was_lost_has_no_order() -> None:
    assert order(at(1, 4, ADD, 0), at(2, 3, ADD, 0)) is None


def test_an_operation_that_returned_before_another_was_called_comes_first() -> None:
    """Both orders explain the answers; only one explains the moments."""
    assert order(at(1, 2, READ, 1), at(3, 4, ADD, 0)) is None
    assert order(at(1, 3, READ, 1), at(2, 4, ADD, 0)) == (1, 0)


def test_an_unknown_operation_may_have_happened() -> None:
    assert order(at(1, 0, ADD, None), at(2, 3, READ, 1)) == (0, 1)


def test_an_unknown_operation_may_never_have_happened() -> None:
    assert order(at(1, 0, ADD, None), at(2, 3, READ, 0)) == (1,)


def test_an_unknown_operation_may_happen_long_after_its_call() -> None:
    history = (at(1, 0, ADD, None), at(2, 3, READ, 0), at(4, 5, READ, 1))
    assert order(*history) == (1, 0, 2)


def test_an_unknown_operation_does_not_happen_before_its_call() -> None:
    assert order(at(1, 2, READ, 1), at(3, 0, ADD, None)) is None


def test_an_unknown_operation_happens_once_at_most() -> None:
    assert order(at(1, 0, ADD, None), at(2, 3, READ, 2)) is None


def test_a_last_operation_holds_a_history_to_what_is_left() -> None:
    one, other = at(1, 3, ADD, 0), at(2, 4, ADD, 1)
    assert order(one, other, at(NEVER - 2, NEVER - 1, READ, 2)) is not None
    assert order(one, other, at(NEVER - 2, NEVER - 1, READ, 1)) is None


def test_the_memo_keeps_states_apart() -> None:
    """The same operations lead to other states in another order, and only one of them goes on."""

    def append(state: str, asked: Asked) -> tuple[str, bytes]:
        return (state, state.encode()) if asked == READ else (state + asked, b"")

    letters = [
        Operation(asked=one, called=place, returned=10 + place, answer=b"")
        for place, one in enumerate("abc")
    ]
    for wanted in permutations("abc"):
        read = Operation(asked=READ, called=20, returned=21, answer="".join(wanted).encode())
        found = linearization([*letters, read], "", append)
        assert found is not None
        assert [letters[place].asked for place in found[:-1]] == [*wanted]


def test_a_search_that_reaches_its_bound_is_not_a_pass() -> None:
    history = [at(place, 0, ADD, None) for place in range(8)]
    wrong = [*history, at(200, 201, READ, 9)]
    with pytest.raises(NodesExhausted, match="in 20 nodes"):
        linearization(wrong, 0, step, max_nodes=20)
    assert linearization(wrong, 0, step) is None
    assert issubclass(NodesExhausted, CouldNotFinish)


def test_a_bound_that_was_reached_travels_between_processes() -> None:
    error = NodesExhausted(7)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301 - made above


@given(st.data())
def test_a_history_made_from_an_order_is_linearizable_and_a_wrong_answer_is_found(
    data: st.DataObject,
) -> None:
    """Moments are drawn around the point at which an operation happens."""
    asked = data.draw(st.lists(st.sampled_from([ADD, READ]), min_size=1, max_size=8))
    state, history = 0, list[Counter]()
    for place, one in enumerate(asked):
        before = data.draw(st.integers(1, 35))
        after = data.draw(st.integers(1, 35))
        state, answer = step(state, one)
        history.append(
            Operation(
                asked=one,
                called=100 + 20 * place - before,
                returned=100 + 20 * place + after,
                answer=answer,
            )
        )
    assert linearization(history, 0, step) is not None
    impossible = at(1_000, 1_001, READ, state + 1)
    assert linearization([*history, impossible], 0, step) is None
