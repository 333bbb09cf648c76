"""Shrink: the one way to make a failing trace short, shared by every engine.

Because ``step`` is total, every subsequence of a trace is a trace. So events are deleted, in ever
smaller blocks, as long as the same failure remains; then single events are exchanged for simpler
ones that a machine offers at that place. The identity of the failure (clause, field, pair of
outcomes) is kept, so that shrinking cannot slip from one bug to another.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from plumbline_models.contract import Machine
from plumbline_spec.codec import canonical
from plumbline_spec.host import Judged
from plumbline_spec.trial import Failure, Trial, judge

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")

MAX_REPLAYS = 2_000
"""How often a trace is tried while it is shrunk; what is left then still fails."""

Fails = Callable[[tuple[E, ...]], bool]


class _Spent(Exception):  # noqa: N818 - it never leaves this module
    """The bound on replays was reached."""


def shrink(
    fails: Fails[E],
    trace: tuple[E, ...],
    simpler: Callable[[tuple[E, ...], int], Iterable[E]] | None = None,
    *,
    max_replays: int = MAX_REPLAYS,
) -> tuple[E, ...]:
    """Return a short trace that still ``fails``; ``trace`` itself must.

    ``simpler(trace, index)`` offers events to put at ``index`` instead, simplest first.
    """
    best, replays = trace, 0

    def accept(candidate: tuple[E, ...]) -> bool:
        nonlocal best, replays
        if replays >= max_replays:
            raise _Spent
        replays += 1
        if not fails(candidate):
            return False
        best = candidate
        return True

    try:
        while True:
            size = _cost(best)
            _delete(lambda: best, accept)
            if simpler is not None:
                _exchange(lambda: best, accept, simpler)
            if _cost(best) >= size:
                return best
    except _Spent:
        return best


def _cost(trace: tuple[E, ...]) -> tuple[int, int]:
    return len(trace), sum(len(canonical(event)) for event in trace)


def _delete(best: Callable[[], tuple[E, ...]], accept: Fails[E]) -> None:
    """Delete blocks of events, halving the block until single events were tried."""
    block = max(1, len(best()) // 2)
    while True:
        start = 0
        while start < len(best()):
            trace = best()
            if not accept(trace[:start] + trace[start + block :]):
                start += block
        if block == 1:
            return
        block //= 2


def _exchange(
    best: Callable[[], tuple[E, ...]],
    accept: Fails[E],
    simpler: Callable[[tuple[E, ...], int], Iterable[E]],
) -> None:
    """Exchange events for shorter ones, from the first to the last."""
    for index in range(len(best())):
        size = len(canonical(best()[index]))
        for event in simpler(best(), index):
            trace = best()
            if len(canonical(event)) < size and accept(
                (*trace[:index], event, *trace[index + 1 :])
            ):
                break


def shrink_failure(
    machine: Machine[S, E, O, C],
    host: Callable[[], Judged[S, E, O]] | None,
    trace: tuple[E, ...],
    failure: Failure,
    scope: C,
    *,
    without: frozenset[str] = frozenset(),
) -> tuple[tuple[E, ...], Failure]:
    """Shrink a trace that fails on a machine, and on a fresh host when one is given.

    Returns the short trace and its failure: the same kind and name, with that trace's witness.
    """
    judged = host() if host is not None else None
    latest = failure

    def fails(events: tuple[E, ...]) -> bool:
        nonlocal latest
        found = judge(Trial(machine, judged, without=without), events)
        if found is None or found[1].identity != failure.identity:
            return False
        latest = found[1]
        return True

    def simpler(events: tuple[E, ...], index: int) -> Iterator[E]:
        state = machine.initial
        for event in events[:index]:
            state, _ = machine.step(state, event)
        kind = type(events[index])
        return (offer for offer in machine.events(state, scope) if type(offer) is kind)

    try:
        short = shrink(fails, trace, simpler)
        fails(short)
    finally:
        if judged is not None:
            judged.host.close()
    return short, latest
