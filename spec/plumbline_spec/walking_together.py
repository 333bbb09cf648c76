"""Walking together: one walk of ``explore`` on several processes, with the result of one.

Theory of operation. Every process has the whole walk: the states seen, their numbers, the level.
A level is taken in rounds. A round is a run of its states in many parts; whoever is free judges
every event of the next part, until none is left. Then all tell each other what they found: for each
new state, the number of the state before it and the event. Every process takes the steps of the
others again, which is cheap beside the rest: nothing is judged, and nothing is tried that leads to
no new state. It adds all finds in the order of the states before them, which is the order in which
one process comes upon them; so each state gets the number and the trace that it gets there.

The calling process alone reports. Where anything else is met than new states (a broken clause, an
exception, the bound on states), the round counts for nothing: the caller goes back to where it
began, takes the rest of the walk by itself, and meets whatever one process would have met.

Helpers are forked, because a machine is made of closures. They end when their pipes do, which is
when the caller ends in whatever way.
"""

import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from multiprocessing.process import BaseProcess
from operator import itemgetter
from types import TracebackType
from typing import TYPE_CHECKING, Generic, TypeVar

from msgspec import Struct

from plumbline_spec.clause_table import Progress
from plumbline_spec.errors import CouldNotFinish

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from plumbline_spec.explore import Counterexample, Mark, Walk

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")

TOGETHER_FROM = 2_000
"""States in the first level for which helpers are started: work of about a second."""
ROUND_STATES = 256
"""States of a round for each process."""
PARTS = 64
"""Parts of a round; the number of a part is a byte."""
NO_PART = b"\xff"
POLL_SECONDS = 0.1
GRACE_SECONDS = 10.0
"""How long a helper may take to end by itself: the rest of a round."""


class Share(Struct, Generic[E, O], frozen=True, kw_only=True):
    """What a process found in a round."""

    finds: tuple[tuple[int, E], ...]
    """For each new state the number of the state before it, and the event."""
    tally: dict[tuple[type, O, bool], int]
    """Steps by type of event, outcome and whether it changed the state."""
    unreached: frozenset[str]
    """Reachability clauses that this process does not know to be reached."""


class Turns:
    """The parts of a round that nobody has begun: a pipe of their numbers that all processes read.

    A process that is ended from outside holds no lock there.
    """

    def __init__(self) -> None:
        reader, writer = os.pipe()
        self._reader = os.fdopen(reader, "rb", buffering=0)
        self._writer = os.fdopen(writer, "wb", buffering=0)

    def deal(self, parts: int, processes: int) -> None:
        """Lay out the numbers of a round, and for each process that there are no more."""
        self._writer.write(bytes(range(parts)) + NO_PART * processes)

    def taken(self) -> Iterator[int]:
        """Yield the parts that this process gets. Raises ``EOFError`` when no more are dealt."""
        while (number := self._reader.read(1)) != NO_PART:
            if not number:
                raise EOFError
            yield number[0]

    def close_writer(self) -> None:
        """Leave it to others to deal."""
        self._writer.close()

    def close(self) -> None:
        """Take part no more."""
        self._writer.close()
        self._reader.close()


class Member(Generic[S, E, O, C]):
    """A process that takes part in a walk, whether it is the calling one or a helper."""

    def __init__(self, walk: "Walk[S, E, O, C]", scope: C) -> None:
        self.walk = walk
        self.scope = scope
        self._fresh: list[S] = []
        """The states that its finds of this round lead to."""

    def judge(
        self, mark: "Mark[S, E, O]", parts: Sequence[list[S]], turns: Turns
    ) -> Share[E, O] | None:
        """Judge the parts that it gets; return None where a clause is broken."""
        walk, self._fresh = self.walk, []
        for number in turns.taken():
            if walk.take(parts[number], self.scope, self._fresh, sys.maxsize) is not None:
                return None
        steps = {key: kind.steps - mark.tally.get(key, 0) for key, kind in walk.kinds.items()}
        return Share(
            finds=tuple(step for step in walk.parents[mark.states :] if step is not None),
            tally={key: number for key, number in steps.items() if number},
            unreached=frozenset(clause.id for clause in walk.unreached),
        )

    def add(
        self,
        mark: "Mark[S, E, O]",
        own: Share[E, O],
        others: Sequence[Share[E, O]],
        level: list[S],
        following: list[S],
    ) -> None:
        """Add what all found since ``mark``; states of a level have their numbers in a row."""
        walk = self.walk
        walk.back_to(mark)
        finds: list[tuple[int, E, S | None]] = [
            (*step, state) for step, state in zip(own.finds, self._fresh, strict=True)
        ]
        finds += [(*step, None) for share in others for step in share.finds]
        finds.sort(key=itemgetter(0))
        first = walk.seen[level[0]]
        for number, event, found in finds:
            state = walk.machine.step(level[number - first], event)[0] if found is None else found
            walk.add(state, number, event, following)
        for share in (own, *others):
            walk.count(share.tally, share.unreached)


class Helper(Struct, Generic[E, O], frozen=True, kw_only=True):
    """Another process that takes part in a walk, as the calling one sees it."""

    process: BaseProcess
    connection: "Connection[list[Share[E, O]], Share[E, O] | None]"
    """In each round a helper sends its share, or None when it gives up, and gets the others."""


class Team(Generic[S, E, O, C]):
    """The processes that take a walk: the calling one, and helpers once a level is large."""

    def __init__(
        self, walk: "Walk[S, E, O, C]", scope: C, processes: int, together_from: int
    ) -> None:
        self.walk = walk
        self.member = Member(walk, scope)
        self.wanted = min(processes, cores()) if may_fork() else 1
        self.together_from = together_from
        self.turns: Turns | None = None
        self.helpers: list[Helper[E, O]] = []

    def __enter__(self) -> "Team[S, E, O, C]":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._dismiss(at_once=error is not None)

    def next_level(
        self, level: list[S], max_states: int, progress: Progress
    ) -> tuple[list[S], "Counterexample[E] | None"]:
        """Judge every event in each state of a level; return the new states, and what broke.

        Ends early at a broken clause, and when more than ``max_states`` were seen. Raises
        ``CouldNotFinish`` when a helper was ended from outside.
        """
        if self.wanted > 1 and len(level) >= self.together_from:
            self._start(level)
        following: list[S] = []
        taken = 0
        while self.turns is not None and taken < len(level):
            parts = _parts(level, taken, 1 + len(self.helpers))
            if self._round(self.turns, level, parts, following, max_states, progress):
                taken += sum(map(len, parts))
        rest = level[taken:]
        return following, self.walk.take(rest, self.member.scope, following, max_states, progress)

    def _round(
        self,
        turns: Turns,
        level: list[S],
        parts: Sequence[list[S]],
        following: list[S],
        max_states: int,
        progress: Progress,
    ) -> bool:
        """Add what all find in a round; or go back to its beginning and dismiss the helpers."""
        self._say(progress)
        mark = self.walk.mark()
        turns.deal(len(parts), 1 + len(self.helpers))
        try:
            own = self.member.judge(mark, parts, turns)
        except Exception:  # noqa: BLE001 - whatever it is, it is met again without helpers
            own = None
        shares = [] if own is None else list(self._gather(progress))
        most = len(self.walk.seen) + sum(len(share.finds) for share in shares)
        if own is None or len(shares) < len(self.helpers) or most > max_states:
            self.walk.back_to(mark)
            self._dismiss(at_once=False)
            return False
        for number, helper in enumerate(self.helpers):
            with _not_ended_from_outside():
                helper.connection.send([own, *shares[:number], *shares[number + 1 :]])
        self.member.add(mark, own, shares, level, following)
        return True

    def _gather(self, progress: Progress) -> Iterator[Share[E, O]]:
        """Yield the share of each helper, up to the first that gave up."""
        for helper in self.helpers:
            while not helper.connection.poll(POLL_SECONDS):
                self._say(progress)
            with _not_ended_from_outside():
                share = helper.connection.recv()
            if share is None:
                return
            yield share

    def _say(self, progress: Progress) -> None:
        progress(f"{len(self.walk.seen):,} states, {self.walk.transitions:,} transitions")

    def _start(self, level: list[S]) -> None:
        """Fork the helpers, each of which has the walk as it stands before ``level``."""
        context = multiprocessing.get_context("fork")
        processes, self.wanted = self.wanted, 1
        self.turns = Turns()
        for _ in range(processes - 1):
            ours, theirs = context.Pipe()
            inherited = [ours, *(helper.connection for helper in self.helpers)]
            process = context.Process(
                target=_help,
                args=(self.member, level, processes, self.turns, theirs, inherited),
                daemon=True,
            )
            with theirs, _quietly():
                process.start()
                self.helpers.append(Helper(process=process, connection=ours))

    def _dismiss(self, *, at_once: bool) -> None:
        if self.turns is not None:
            self.turns.close()
            self.turns = None
        for helper in self.helpers:
            helper.connection.close()
            if at_once:
                helper.process.kill()
        while self.helpers:
            process = self.helpers.pop().process
            process.join(GRACE_SECONDS)
            process.kill()
            process.join()
            process.close()


def _help(
    member: Member[S, E, O, C],
    level: list[S],
    processes: int,
    turns: Turns,
    connection: "Connection[Share[E, O] | None, list[Share[E, O]]]",
    inherited: Sequence["Connection[list[Share[E, O]], Share[E, O] | None]"],
) -> None:
    """Help until the walk is complete, the caller is gone, or this process gives up."""
    turns.close_writer()
    for other in inherited:
        other.close()
    with connection, suppress(EOFError, OSError):
        try:
            while level:
                level = _helped_level(member, level, processes, turns, connection)
        except Exception:  # noqa: BLE001 - whatever it is, the caller meets it
            connection.send(None)


def _helped_level(
    member: Member[S, E, O, C],
    level: list[S],
    processes: int,
    turns: Turns,
    connection: "Connection[Share[E, O] | None, list[Share[E, O]]]",
) -> list[S]:
    """Take part in every round of a level; return the next one, or [] when giving up."""
    following: list[S] = []
    taken = 0
    while taken < len(level):
        parts = _parts(level, taken, processes)
        mark = member.walk.mark()
        share = member.judge(mark, parts, turns)
        connection.send(share)
        if share is None:
            return []
        member.add(mark, share, connection.recv(), level, following)
        taken += sum(map(len, parts))
    return following


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def may_fork() -> bool:
    """Tell whether there is ``fork`` here, and this process may have children."""
    forks = "fork" in multiprocessing.get_all_start_methods()
    return forks and not multiprocessing.current_process().daemon


@contextmanager
def _quietly() -> Generator[None]:
    """Fork a process that no interrupt reaches, because the calling one ends it.

    Nor are other threads worth a warning: what they hold (a display) no helper ever takes.
    """
    usual = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, usual)


@contextmanager
def _not_ended_from_outside() -> Generator[None]:
    try:
        yield
    except (EOFError, OSError) as error:
        raise CouldNotFinish("a process of the walk was ended from outside") from error


def _parts(level: list[S], taken: int, processes: int) -> list[list[S]]:
    """Cut the next round of a level into parts."""
    size = min(ROUND_STATES * processes, len(level) - taken)
    parts = min(PARTS, size)
    cuts = [taken + size * number // parts for number in range(parts + 1)]
    return [level[start:stop] for start, stop in pairwise(cuts)]
