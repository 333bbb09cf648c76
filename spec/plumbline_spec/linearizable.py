"""Is a history linearizable? The search of Wing and Gong with the memo of Lowe.

A history is what several clients asked and were answered, each operation with the moments of its
call and of its return. It is linearizable when there is one order of the operations that a machine
answers in the same way, one after another, and in which an operation that had returned before
another was called comes first.

An operation whose answer is *unknown* may have happened, at any moment after its call, or never:
the order has it or leaves it out. One that has certainly *failed* is no part of a history. To hold
a history to the state that is left at its end, let its last operation observe it.

The search takes operations in every order that the moments allow and remembers, for each set of
operations taken, the states that it has been in: a second way to the same set and state is not
walked again. The number of such nodes has a bound, and a search that ends there is *unfinished*:
``NodesExhausted`` is raised, because it is neither a pass nor a failure.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Generic, TypeVar

from msgspec import Struct

from plumbline_spec.errors import CouldNotFinish

A = TypeVar("A")
"""What is asked."""
T = TypeVar("T", bound=Hashable)
"""A state of the machine; equal ones are the same node of the search."""

MAX_NODES = 100_000
NEVER = 2**62
"""The moment of return of an operation whose answer is unknown: it stays open for ever."""


class Operation(Struct, Generic[A], frozen=True, kw_only=True):
    """What one client asked, when, and what it was answered."""

    asked: A
    called: int
    """The moment of the call; no two calls or returns have the same one."""
    returned: int = NEVER
    answer: bytes | None = None
    """None when the answer is unknown: the operation happened, will happen, or never does."""


class NodesExhausted(CouldNotFinish):
    """The search for an order reached its bound."""

    def __init__(self, nodes: int) -> None:
        super().__init__(
            f"no order was found for a history in {nodes:,} nodes, and none was excluded"
        )
        self.nodes = nodes

    def __reduce__(self) -> tuple[type["NodesExhausted"], tuple[int]]:
        return NodesExhausted, (self.nodes,)


def linearization(
    history: Sequence[Operation[A]],
    initial: T,
    step: Callable[[T, A], tuple[T, bytes]],
    *,
    max_nodes: int = MAX_NODES,
) -> tuple[int, ...] | None:
    """Return an order of a history that the machine answers in the same way, or None.

    The order is given by places in ``history``; unknown operations that never happened are not in
    it. ``step`` says what the machine answers and which state follows. Raises ``NodesExhausted``.
    """
    wanted = sum(1 << place for place, one in enumerate(history) if one.answer is not None)
    seen = set[tuple[int, T]]()
    waiting: list[tuple[int, T, tuple[int, ...]]] = [(0, initial, ())]
    while waiting:
        done, state, order = waiting.pop()
        if done & wanted == wanted:
            return order
        if (done, state) in seen:
            continue
        seen.add((done, state))
        if len(seen) > max_nodes:
            raise NodesExhausted(max_nodes)
        for place in reversed([*_next(history, done)]):
            one = history[place]
            after, answer = step(state, one.asked)
            if one.answer is None or one.answer == answer:
                waiting.append((done | 1 << place, after, (*order, place)))
    return None


def _next(history: Sequence[Operation[A]], done: int) -> Iterator[int]:
    """Yield the operations that may come next: those called before any other had returned."""
    left = [place for place in range(len(history)) if not done >> place & 1]
    first_return = min((history[place].returned for place in left), default=NEVER)
    for place in left:
        if history[place].called < first_return:
            yield place
