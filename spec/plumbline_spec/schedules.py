"""Schedules: several clients, a thread each, of which exactly one runs at any moment.

Theory of operation. A client runs in a thread of its own and passes a gate before every statement.
A *turn* leads from one gate to the next: one statement and what the client does until its next
one. At a gate the client that has just moved decides who is next, hands its turn over and sleeps.
There is no thread that supervises, so a client that goes on costs no switch of threads.

A client that finds the store held *waits*: its busy handler calls ``Gate.wait``, which hands over
in the middle of the statement. It is not eligible again before another client has moved. A new
attempt that fails like the one before has changed nothing; it is *vain* and no part of the
schedule. When every client waits, nobody can go on: the last one to wait is told that waiting is
over, and the busy answer reaches its caller.

A *schedule* is the list of decisions: the number of the client that has the turn, or ``~number``
when a client that waits *gives up*, as if its patience were over. The same schedule of the same
clients gives the same run, because nothing else decides. A run whose schedule is over goes on with
the client that was named last whenever it is eligible, else with the next one.

``Search`` takes every schedule, fewest switches first: a run is repeated up to a decision, and
there another client is chosen. Two runs with the same turns are one.
"""

import heapq
import os
import random
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from msgspec import Struct

from plumbline_spec.errors import CouldNotFinish
from plumbline_spec.host import Gate

MAX_TURNS = 4_000
"""Turns of one run; a client that never comes to an end is *unfinished*."""
MAX_SECONDS = 60.0
"""How long a thread waits for its turn, and the judge for a run."""
MAX_GIVEN_UP = 1
"""Clients that give up waiting in one schedule of a search."""

STAT = Path("/proc/thread-self/stat")
CORE = 36
"""The place of the core among the fields of ``STAT`` that follow the name."""

DRAWN_BITS = 32
SPARE = 4
"""How many times more schedules wait in a search than it may still run, before some are dropped."""

Schedule = tuple[int, ...]
_Waiting = tuple[int, int, Schedule]
"""How many switches a schedule is given by, a number drawn for it, and the schedule."""
Play = Callable[[Gate], None]
"""What one client does, from its first statement to its last; called in the client's thread."""


class Turn(Struct, frozen=True):
    """One turn of a run."""

    client: int
    statement: str
    outcome: str = ""
    """"" when the statement ran, ``WAITS`` when the client found the store held in it, ``GOES_ON``
    when it had waited and then ran, ``GIVES_UP`` when it no longer waits."""


WAITS: Final = "waits"
GOES_ON: Final = "goes on"
GIVES_UP: Final = "gives up"
STUCK: Final = "everyone waits"


class Decision(Struct, frozen=True):
    """One decision of a run: what was chosen, and what could have been."""

    chosen: int
    open: tuple[int, ...]


class Run(Struct, frozen=True, kw_only=True):
    """One run of all clients to their end."""

    decisions: tuple[Decision, ...]
    turns: tuple[Turn, ...]
    vain: frozenset[Schedule]
    """Schedules that name a client whose attempt would be vain; each is equal to a shorter one."""
    told: Counter[str]
    """What clients told the gate, and how often; ``WAITS`` counts every attempt that failed."""
    stuck: bool
    """Whether every client waited at some moment."""

    @property
    def schedule(self) -> Schedule:
        """The decisions alone: what repeats the run."""
        return tuple(one.chosen for one in self.decisions)


class _Abandoned(BaseException):
    """Ends a client in the middle; raised by its gate and caught by its thread."""


class _Seat(Gate):
    """One client's place: its thread, its lock, and its gate."""

    def __init__(self, stage: "Stage", number: int) -> None:
        self.number = number
        self.turn = threading.Lock()
        self.turn.acquire()
        self.play: Play | None = None
        self.reset()
        self._stage = stage
        self.thread = threading.Thread(target=self._serve, name=f"client {number}", daemon=True)

    def reset(self) -> None:
        """Stand before the first statement of a play."""
        self.done = self.waits = self.stirred = self.gives_up = self.may_give_up = False
        self._fresh = True
        self.statement = ""

    def _serve(self) -> None:
        while self.turn.acquire(timeout=-1) and self.play is not None:
            error: BaseException | None = None
            try:
                if not self._stage.abandoned:
                    self.play(self)
            except _Abandoned:
                pass
            except BaseException as raised:  # noqa: BLE001 - it is raised again by the judge
                error = raised
            self._stage.finish(self, error)

    def enter(self, statement: str) -> None:
        """Return when the client may run this statement."""
        stage = self._stage
        if self._fresh:
            self._fresh = False
        else:
            stage.moved(self)
            stage.hand_over(self)
        self.waits = False
        self.statement = statement
        stage.turns.append(Turn(self.number, statement))

    def wait(self) -> bool:
        """Give way because the store is held; return whether to try again."""
        stage = self._stage
        stage.told[WAITS] += 1
        if self.waits:
            stage.take_back(self)
        else:
            self.waits = self.may_give_up = True
            stage.turns[-1] = Turn(self.number, self.statement, WAITS)
            stage.stir(self)
        self.stirred = False
        stage.hand_over(self)
        if self.gives_up:
            self.gives_up = self.waits = False
            return False
        return True

    def tell(self, what: str) -> None:
        """Count something that is worth a figure."""
        self._stage.told[what] += 1


Chooser = Callable[[Sequence[int], int | None], int]
"""Chooses one of the open decisions, given the client that moved last."""


def following(schedule: Sequence[int]) -> Chooser:
    """Follow a schedule as long as it names what is open, then prefer the client named last."""
    left = iter(schedule)
    preferred = client_of(schedule[-1]) if schedule else 0

    def choose(open_: Sequence[int], _last: int | None) -> int:
        named = next(left, None)
        if named is not None and named in open_:
            return named
        eligible = [one for one in open_ if one >= 0]
        return preferred if preferred in eligible else eligible[0]

    return choose


def drawn(numbers: Sequence[int]) -> Chooser:
    """Take numbers as they come, each for one of the open decisions; then go on without switch."""
    left = iter(numbers)

    def choose(open_: Sequence[int], last: int | None) -> int:
        number = next(left, None)
        if number is not None:
            return open_[number % len(open_)]
        eligible = [one for one in open_ if one >= 0]
        return last if last is not None and last in eligible else eligible[0]

    return choose


def client_of(decision: int) -> int:
    """Return the number of the client that a decision names."""
    return decision if decision >= 0 else ~decision


class Stage:
    """The threads of several clients, for many runs; a context manager that ends them."""

    def __init__(
        self,
        clients: int,
        *,
        may_give_up: int = MAX_GIVEN_UP,
        max_turns: int = MAX_TURNS,
        max_seconds: float = MAX_SECONDS,
    ) -> None:
        self._seats = [_Seat(self, number) for number in range(clients)]
        self._may_give_up, self._max_turns, self._max_seconds = may_give_up, max_turns, max_seconds
        self._over = threading.Lock()
        self._over.acquire()
        self._begin()

    def _begin(self) -> None:
        self.turns: list[Turn] = []
        self.told = Counter[str]()
        self.abandoned = False
        self._why: BaseException | None = None
        self._decisions: list[Decision] = []
        self._vain = set[Schedule]()
        self._last: int | None = None
        self._given_up = 0
        self._stuck = False
        self._choose: Chooser = following(())
        for seat in self._seats:
            seat.reset()

    def __enter__(self) -> Self:
        for seat in self._seats:
            seat.thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        for seat in self._seats:
            seat.play = None
            with suppress(RuntimeError):
                seat.turn.release()
        for seat in self._seats:
            seat.thread.join(self._max_seconds)

    def run(self, plays: Sequence[Play], choose: Chooser) -> Run:
        """Run a play for each client to its end, in the order that ``choose`` decides.

        Raises ``CouldNotFinish`` when the run has more turns than the bound or takes too long, and
        what a play raised that it should have kept to itself. All clients have ended then.
        """
        self._begin()
        self._choose = choose
        for seat, play in zip(self._seats, plays, strict=True):
            seat.play = play
        self._wake(self._decide())
        self._until_over()
        if self._why is not None:
            raise self._why
        return Run(
            decisions=tuple(self._decisions),
            turns=tuple(self.turns),
            vain=frozenset(self._vain),
            told=self.told,
            stuck=self._stuck,
        )

    def _until_over(self) -> None:
        try:
            over = self._over.acquire(timeout=self._max_seconds)
        except BaseException as error:  # noqa: BLE001 - an interrupt; it is raised again below
            self.abandon(error)
            over = self._over.acquire(timeout=self._max_seconds)
        if not over:
            self.abandon(CouldNotFinish("unheard of"))
            raise CouldNotFinish(
                f"a client did not come back to its gate for {self._max_seconds:.0f} s; it waits"
                " for another without telling, or never ends"
            )

    # What follows is called by the client that has the turn, in its own thread.

    def moved(self, seat: _Seat) -> None:
        """Take note that a statement of a client is over."""
        if seat.waits:
            self.turns.append(Turn(seat.number, seat.statement, GOES_ON))
        self.stir(seat)

    def stir(self, mover: _Seat) -> None:
        """Let the others that wait try again: something may have changed for them."""
        for seat in self._seats:
            if seat is not mover:
                seat.stirred = True

    def take_back(self, seat: _Seat) -> None:
        """Strike the last decision: the attempt was vain."""
        self._decisions.pop()
        taken = tuple(one.chosen for one in self._decisions)
        self._vain.add((*taken, seat.number))

    def hand_over(self, seat: _Seat) -> None:
        """Decide who is next; sleep until it is this client's turn, if it is not now."""
        if not self.abandoned:
            chosen = self._decide()
            if chosen is not seat:
                self._wake(chosen)
                if not seat.turn.acquire(timeout=self._max_seconds):
                    self.abandon(CouldNotFinish(f"client {seat.number} never had its turn"))
        if self.abandoned:
            raise _Abandoned

    def finish(self, seat: _Seat, error: BaseException | None) -> None:
        """Take note that a client has ended; hand over, or end the run."""
        seat.done = True
        if error is not None:
            self.abandon(error)
        self.moved(seat)
        if all(one.done for one in self._seats):
            self._over.release()
        elif self.abandoned:
            self._wake(next(one for one in self._seats if not one.done))
        else:
            self._wake(self._decide())

    def abandon(self, why: BaseException) -> None:
        """End every client at its gate; the run raises the first reason."""
        self.abandoned = True
        if self._why is None:
            self._why = why

    def _wake(self, seat: _Seat) -> None:
        with suppress(RuntimeError):  # it was woken already, by the end of the stage
            seat.turn.release()

    def _decide(self) -> _Seat:
        going = [seat for seat in self._seats if not seat.done]
        if len(self.turns) >= self._max_turns:
            self.abandon(
                CouldNotFinish(f"a schedule did not end within {self._max_turns:,} statements")
            )
            return going[0]
        eligible = [seat.number for seat in going if not seat.waits or seat.stirred]
        if not eligible:
            return self._nobody_can(going)
        options = (*eligible, *self._impatient(going))
        chosen = options[0] if len(options) == 1 else self._choose(options, self._last)
        self._decisions.append(Decision(chosen, options))
        self._last = client_of(chosen)
        seat = self._seats[self._last]
        if chosen < 0:
            self._given_up += 1
            seat.gives_up = True
            self.turns.append(Turn(seat.number, seat.statement, GIVES_UP))
        return seat

    def _impatient(self, going: Sequence[_Seat]) -> list[int]:
        """Return the clients that may give up: at once or never, because waiting changes nothing.

        The number of those that give up in one run has a bound.
        """
        found = [~seat.number for seat in going if seat.may_give_up]
        for seat in going:
            seat.may_give_up = False
        return found if self._given_up < self._may_give_up else []

    def _nobody_can(self, going: Sequence[_Seat]) -> _Seat:
        """Tell the client that waited last that waiting is over: without it none could go on."""
        self._stuck = True
        seat = next((one for one in going if one.number == self._last), going[0])
        seat.gives_up = True
        self.turns.append(Turn(seat.number, seat.statement, STUCK))
        return seat


class Search:
    """Every schedule of some clients, fewest switches first, up to a bound.

    Iterate over it to run them; each run has other turns than those before it. Those of as many
    switches come in an order that the seed draws, so that a small bound is spread over them.
    """

    def __init__(self, run: Callable[[Chooser], Run], *, most: int, seed: int = 0) -> None:
        self._run, self._most, self._dropped = run, most, False
        self._chance = random.Random(seed)  # noqa: S311 - an order that a seed repeats
        self.runs = 0
        """Runs so far, those included whose turns were known."""
        self.complete = False
        """Whether every schedule was taken."""
        self.switches = -1
        """Every schedule that is given by so many switches was taken; -1 for none."""

    def __iter__(self) -> Iterator[Run]:
        waiting: list[_Waiting] = [(0, 0, ())]
        known = set[tuple[Turn, ...]]()
        vain = set[Schedule]()
        while waiting and self.runs < self._most:
            given, _, schedule = heapq.heappop(waiting)
            self.switches = given - 1
            if schedule in vain:
                continue
            run = self._run(following(schedule))
            self.runs += 1
            vain |= run.vain
            if schedule in vain:  # the run went another way, which is taken for its own sake
                continue
            for other in _others(run, len(schedule)):
                number = self._chance.getrandbits(DRAWN_BITS)
                heapq.heappush(waiting, (switches(other), number, other))
            waiting = self._reachable(waiting)
            if run.turns not in known:
                known.add(run.turns)
                yield run
        self.complete = not self._dropped and all(one[-1] in vain for one in waiting)

    def _reachable(self, waiting: list[_Waiting]) -> list[_Waiting]:
        """Drop what the bound leaves no room for, now and then, so that memory is bounded too."""
        room = max(1, self._most - self.runs)
        if len(waiting) <= SPARE * room:
            return waiting
        self._dropped = True
        return heapq.nsmallest(room, waiting)


def _others(run: Run, start: int) -> Iterator[Schedule]:
    """Yield the schedules that leave a run at one of its decisions."""
    schedule = run.schedule
    for place in range(start, len(schedule)):
        for one in run.decisions[place].open:
            if one != schedule[place]:
                yield (*schedule[:place], one)


def switches(schedule: Schedule) -> int:
    """Return how often a schedule goes from one client to another."""
    clients = [client_of(one) for one in schedule]
    return sum(one != other for one, other in pairwise(clients))


@contextmanager
def on_one_core() -> Generator[None]:
    """Keep this thread, and those that it starts, on the core that it runs on.

    Exactly one of them runs at a time, and a turn is handed over within a core in a sixth of the
    time that it takes between two. Where a system cannot do this nothing happens.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    try:
        core = int(STAT.read_text().rpartition(")")[2].split()[CORE])
        os.sched_setaffinity(0, {core} & allowed or allowed)
    except (OSError, ValueError, IndexError):
        yield
        return
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
