"""Pairing: which events of a machine meet, and in which state.

For every two types of events, a type with itself included, one state and two concrete events are
chosen: the first found, breadth first, in which both change the state, in either order, and the
order matters to an answer or to what is left; else the best that there is. The second event may be
one that is offered only after the first. The walk is the explorer's, so
the state is one that a shortest trace leads to. Two types that read only do not meet.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations_with_replacement, islice
from typing import Generic, TypeVar

from msgspec import Struct

from plumbline_models.contract import Machine
from plumbline_spec.codec import canonical
from plumbline_spec.explore import Walk
from plumbline_spec.host import RequestId
from plumbline_spec.meetings import OBSERVE, OPEN, Meeting, Send

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")

MAX_STATES = 200
"""States of a scope that are looked at for pairs."""
MAX_BRANCHES = 2
"""States that are followed from one state by events of one type: the walk is narrow and deep."""
MAX_OFFERS = 3
"""Events of one type that are tried in one state: those that change it first."""
BOTH_SUCCEED, BOTH_CHANGE, ORDER_MATTERS = 4, 2, 1
CONFLICT = BOTH_CHANGE + ORDER_MATTERS
BEST = BOTH_SUCCEED + CONFLICT

FIRST, SECOND, THIRD = (RequestId(f"request-{number}") for number in (1, 2, 3))


class Pair(Struct, Generic[E], frozen=True, kw_only=True):
    """Two events that meet, and the trace to the state in which they do."""

    start: tuple[E, ...]
    first: E
    second: E
    rank: int
    """``BOTH_SUCCEED`` (each changes the state after the other as well), ``BOTH_CHANGE`` and
    ``ORDER_MATTERS``, added."""


class Pairing(Struct, Generic[E], frozen=True, kw_only=True):
    """The meetings of a machine."""

    meetings: tuple[Meeting[E], ...]
    """Of two clients."""
    crowds: tuple[Meeting[E], ...]
    """Of three."""
    missing: tuple[str, ...]
    """Types of events that are in no meeting."""


def pair_up(machine: Machine[S, E, O, C], scopes: Iterable[C]) -> Pairing[E]:
    """Choose the meetings of a machine within some scopes; the same ones for the same scopes."""
    kinds = machine.kinds
    wanted = [
        (one, other)
        for one, other in combinations_with_replacement(kinds, 2)
        if one not in machine.reading or other not in machine.reading
    ]
    search = _Search(machine, wanted)
    for scope in scopes:
        search.walk(scope)
    pairs = search.best
    meetings = (
        *_events(search),
        *_with_itself(machine, pairs),
        *_reused(pairs, wanted),
        *_opening(pairs),
        *_opening_beside(pairs),
    )
    met = {type(event) for meeting in meetings for event in meeting.events}
    return Pairing(
        meetings=meetings,
        crowds=tuple(_crowds(pairs, wanted)),
        missing=tuple(kind.__name__ for kind in kinds if kind not in met),
    )


class _Offer(Struct, Generic[S, E, O], frozen=True, kw_only=True):
    """An event in a state, and what it does there."""

    event: E
    after: S
    outcome: bytes
    changes: bool


class _Search(Generic[S, E, O, C]):
    """The best pairs found so far."""

    def __init__(
        self, machine: Machine[S, E, O, C], wanted: Sequence[tuple[type[E], type[E]]]
    ) -> None:
        reading = frozenset(machine.reading)
        self._machine = machine
        self._wanted = {
            kinds: BEST if reading.isdisjoint(kinds) else ORDER_MATTERS for kinds in wanted
        }
        self.best: dict[tuple[type[E], type[E]], Pair[E]] = {}
        self.conflicts: dict[tuple[type[E], type[E]], Pair[E]] = {}
        """Those found first of which the order matters, whether both succeed or not."""

    def walk(self, scope: C) -> None:
        """Look at the states of a scope, nearest first, as long as a pair could be better."""
        walk: Walk[S, E, O, C] = Walk(self._machine)
        waiting = [self._machine.initial]
        for state in waiting:
            if not self._sought() or len(waiting) > MAX_STATES:
                break
            offers: dict[type[E], list[_Offer[S, E, O]]] = {}
            followed = Counter[type[E]]()
            for event, outcome, after, new in walk.expand(state, scope):
                changes = after is not state
                offer = _Offer[S, E, O](
                    event=event, after=after, outcome=canonical(outcome), changes=changes
                )
                offers.setdefault(type(event), []).append(offer)
                if new and followed[type(event)] < MAX_BRANCHES:
                    followed[type(event)] += 1
                    waiting.append(after)
            self._look(state, scope, walk.trace_to(walk.seen[state]), offers)

    def _sought(self) -> list[tuple[type[E], type[E]]]:
        return [
            kinds
            for kinds, rank in self._wanted.items()
            if kinds not in self.best or self.best[kinds].rank < rank
        ]

    def _look(
        self,
        state: S,
        scope: C,
        start: tuple[E, ...],
        offers: dict[type[E], list[_Offer[S, E, O]]],
    ) -> None:
        few = {
            kind: sorted(found, key=lambda one: not one.changes)[:MAX_OFFERS]
            for kind, found in offers.items()
        }
        for kinds in self._sought():
            for one in few.get(kinds[0], ()):
                later = self._offered_later(state, scope, one, kinds[1])
                for other in (*few.get(kinds[1], ()), *later):
                    pair = Pair(
                        start=start,
                        first=one.event,
                        second=other.event,
                        rank=self._rank(one, other),
                    )
                    if kinds not in self.best or pair.rank > self.best[kinds].rank:
                        self.best[kinds] = pair
                    if pair.rank & CONFLICT == CONFLICT:
                        self.conflicts.setdefault(kinds, pair)

    def _offered_later(
        self, state: S, scope: C, one: _Offer[S, E, O], kind: type[E]
    ) -> Iterator[_Offer[S, E, O]]:
        """Yield events that are offered after one, and what they do where it is not there yet.

        Names are offered in their order, so the second name only when the first is taken.
        """
        if one.after is state:
            return
        found = (event for event in self._machine.events(one.after, scope) if type(event) is kind)
        for event in islice(found, MAX_OFFERS):
            after, outcome = self._machine.step(state, event)
            yield _Offer(
                event=event,
                after=after,
                outcome=canonical(outcome),
                changes=after is not state,
            )

    def _rank(self, one: _Offer[S, E, O], other: _Offer[S, E, O]) -> int:
        end, later = self._machine.step(one.after, other.event)
        tail, earlier = self._machine.step(other.after, one.event)
        matters = (
            canonical(later) != other.outcome
            or canonical(earlier) != one.outcome
            or canonical(end) != canonical(tail)
        )
        both = one.changes and other.changes
        succeed = both and end is not one.after and tail is not other.after
        return BOTH_SUCCEED * succeed + BOTH_CHANGE * both + ORDER_MATTERS * matters


_Pairs = dict[tuple[type[E], type[E]], Pair[E]]


def _events(search: _Search[S, E, O, C]) -> Iterable[Meeting[E]]:
    """Yield a meeting for every two types of events, and another one where they only conflict.

    Those of a type with itself come first.
    """
    for kinds, pair in sorted(search.best.items(), key=lambda one: one[0][0] is not one[0][1]):
        name = " · ".join(kind.__name__ for kind in kinds)
        yield _meeting(name, pair)
        conflict = search.conflicts.get(kinds)
        if conflict is not None and pair.rank < BEST and conflict != pair:
            yield _meeting(f"{name}, in conflict", conflict)
        if kinds[0] is kinds[1] and pair.first != pair.second:
            same = Pair(start=pair.start, first=pair.first, second=pair.first, rank=0)
            yield _meeting(f"{name}, the same event", same, "same")


def _meeting(name: str, pair: Pair[E], form: str = "events") -> Meeting[E]:
    return Meeting(
        name=name,
        form=form,
        start=pair.start,
        clients=(_sending(pair.first, FIRST), _sending(pair.second, SECOND)),
    )


def _with_itself(machine: Machine[S, E, O, C], pairs: _Pairs[E]) -> Iterable[Meeting[E]]:
    """Yield what every type of event does with an observer, and twice in one request."""
    for kind in machine.kinds:
        found = [pairs[kinds] for kinds in pairs if kind in kinds]
        if not found:
            continue
        pair = pairs.get((kind, kind), found[0])
        event = pair.first if type(pair.first) is kind else pair.second
        sending = _sending(event, FIRST)
        if kind not in machine.reading:
            yield Meeting(
                name=f"{kind.__name__} · {OBSERVE}",
                form="observe",
                start=pair.start,
                clients=(sending, (OBSERVE,)),
            )
            # Whoever was told that the store is busy asks again, on the same connection.
            yield Meeting(
                name=f"{kind.__name__} and again · {OBSERVE}",
                form="again",
                start=pair.start,
                clients=((*sending, *sending), (OBSERVE,)),
            )
        yield Meeting(
            name=f"{kind.__name__}, one request twice",
            form="request",
            start=pair.start,
            clients=(sending, sending),
        )


def _reused(pairs: _Pairs[E], wanted: Sequence[tuple[type[E], type[E]]]) -> Iterable[Meeting[E]]:
    """Yield two events with one request id: every type once, with the first of another type."""
    done = set[type[E]]()
    for kinds in wanted:
        if kinds[0] is not kinds[1] and kinds in pairs and not done.issuperset(kinds):
            done.update(kinds)
            pair = pairs[kinds]
            yield Meeting(
                name=f"{kinds[0].__name__} · {kinds[1].__name__}, one request",
                form="reuse",
                start=pair.start,
                clients=(_sending(pair.first, FIRST), _sending(pair.second, FIRST)),
            )


def _opening(pairs: _Pairs[E]) -> Iterable[Meeting[E]]:
    """Yield the opening of a new store by two clients, and what they ask first."""
    yield Meeting(
        name=f"{OPEN} · {OPEN}",
        form="open",
        start=None,
        clients=((OPEN, OBSERVE), (OPEN, OBSERVE)),
    )
    at_once = [pair for pair in pairs.values() if not pair.start]
    for pair in sorted(at_once, key=lambda one: -one.rank)[:1]:
        yield Meeting(
            name=f"{OPEN} · {OPEN}, then {type(pair.first).__name__}",
            form="open",
            start=None,
            clients=((OPEN, *_sending(pair.first, FIRST)), (OPEN, *_sending(pair.second, SECOND))),
        )


def _opening_beside(pairs: _Pairs[E]) -> Iterable[Meeting[E]]:
    """Yield the opening of a store while another client writes: the pair with most before it."""
    for pair in sorted(pairs.values(), key=lambda one: (one.rank, len(one.start)))[-1:]:
        yield Meeting(
            name=f"{type(pair.first).__name__} · {OPEN}, then {type(pair.second).__name__}",
            form="open beside",
            start=pair.start,
            clients=(_sending(pair.first, FIRST), (OPEN, *_sending(pair.second, SECOND), OBSERVE)),
        )


def _crowds(pairs: _Pairs[E], wanted: Sequence[tuple[type[E], type[E]]]) -> Iterable[Meeting[E]]:
    """Yield meetings of three: two events and one who observes twice, and three events."""
    for kinds in wanted:
        if kinds not in pairs or pairs[kinds].rank & CONFLICT != CONFLICT:
            continue
        pair, name = pairs[kinds], " · ".join(kind.__name__ for kind in kinds)
        two = (_sending(pair.first, FIRST), _sending(pair.second, SECOND))
        yield Meeting(
            name=f"{name} · {OBSERVE} twice",
            form="crowd",
            start=pair.start,
            clients=(*two, (OBSERVE, OBSERVE)),
        )
        yield Meeting(
            name=f"{name} · {kinds[0].__name__}",
            form="crowd",
            start=pair.start,
            clients=(*two, _sending(pair.first, THIRD)),
        )


def _sending(event: E, request: RequestId) -> tuple[Send[E], ...]:
    return (Send(event=event, request=request),)
