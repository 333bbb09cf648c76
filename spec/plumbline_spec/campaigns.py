"""Campaigns: one meeting in one mode, schedule by schedule, and what was seen on the way.

A campaign takes schedules from a search, fewest switches first, or lets Hypothesis draw them. The
numbers that Hypothesis draws each choose one of the clients that may go on; what it finds is shrunk
elsewhere (``plumbline_spec.repeating``). A bench holds what many campaigns share: the store, and
one thread for each client.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final, Generic, Self, TypeVar

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st
from msgspec import Struct

from plumbline_models.contract import Machine
from plumbline_spec.errors import CouldNotFinish
from plumbline_spec.host import Shared
from plumbline_spec.meetings import Breach, Meeting, Seen, Send, Together
from plumbline_spec.schedules import (
    GIVES_UP,
    WAITS,
    Chooser,
    Run,
    Schedule,
    Search,
    Stage,
    drawn,
    following,
)

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")

MAX_SCHEDULES = 20_000
"""Schedules of one meeting in one mode, however much time there is."""
MAX_DRAWN = 60
"""Numbers of a drawn schedule; the run goes on without a switch when they are used up."""
MAX_NUMBER = 5
HEADING: Final = (
    "clients",
    "mode",
    "start",
    "schedules",
    "of them",
    "histories",
    "waits",
    "gave up",
    "refused at once",
    "verdict",
)


class _Stopped(BaseException):
    """Carries ``CouldNotFinish`` past Hypothesis, which takes exceptions for failing examples."""

    def __init__(self, error: CouldNotFinish) -> None:
        super().__init__(str(error))
        self.error = error


class Found(Struct, Generic[E], frozen=True, kw_only=True):
    """A run that breaks a clause, and what repeats it."""

    meeting: Meeting[E]
    mode: str
    schedule: Schedule
    breach: Breach


class Campaign(Generic[S, E, O, C]):
    """One meeting in one mode: its search, and what was seen so far."""

    def __init__(self, together: Together[S, E, O, C], most: int, with_seed: int) -> None:
        self.together = together
        self.seen: Seen[O] | None = None
        self.schedules = self.gave_up = 0
        self.broken = ""
        """The clause that a run broke."""
        self.told = Counter[str]()
        self.pairs = Counter[tuple[str, str]]()
        self._search = Search(self._run, most=most, seed=with_seed)
        self._runs = iter(self._search)
        self.goes_on = True
        """Whether the search has schedules left, below its bound."""
        self._drawn = set[tuple[object, ...]]()

    @property
    def complete(self) -> bool:
        """Whether every schedule was taken."""
        return self._search.complete

    def _run(self, choose: Chooser) -> Run:
        self.seen = self.together.run(choose)
        return self.seen.run

    def go_on(self, schedules: int) -> Found[E] | None:
        """Take so many more schedules; stop at the first that breaks a clause."""
        for _ in range(schedules):
            if next(self._runs, None) is None:
                self.goes_on = False
                return None
            if (found := self._count()) is not None:
                return found
        return None

    def draw(self, examples: int, with_seed: int) -> Found[E] | None:
        """Let Hypothesis draw schedules; stop at the first that breaks a clause."""
        found: list[Found[E]] = []

        @seed(with_seed)
        @_settings(examples)
        @given(st.lists(st.integers(0, MAX_NUMBER), max_size=MAX_DRAWN))
        def example(numbers: Sequence[int]) -> None:
            if found:
                return
            try:
                run = self._run(drawn(numbers))
            except CouldNotFinish as error:
                raise _Stopped(error) from error
            if run.turns not in self._drawn:
                self._drawn.add(run.turns)
                found.extend(filter(None, [self._count()]))

        try:
            example()
        except _Stopped as stopped:
            raise stopped.error from None
        return found[0] if found else None

    def _count(self) -> Found[E] | None:
        seen = self.seen
        assert seen is not None
        self.schedules += 1
        self.told.update(seen.run.told)
        self.gave_up += sum(turn.outcome == GIVES_UP for turn in seen.run.turns)
        events = self.together.machine
        asks = [ask for client in self.together.meeting.clients for ask in client]
        for call in seen.calls:
            ask = asks[call.ask]
            if isinstance(ask, Send) and call.outcome is not None:
                self.pairs[type(ask.event).__name__, events.outcome_name(call.outcome)] += 1
        found = self.found(seen)
        if found is not None:
            self.broken = found.breach.clause
        return found

    def found(self, seen: Seen[O]) -> Found[E] | None:
        """Return a run that breaks a clause with what repeats it."""
        if seen.breach is None:
            return None
        return Found(
            meeting=self.together.meeting,
            mode=self.together.mode,
            schedule=seen.run.schedule,
            breach=seen.breach,
        )

    def _extent(self) -> str:
        if self.complete:
            return "all"
        done = self._search.switches
        return f"up to {done} switches" if done >= 0 else "some"

    def row(self) -> tuple[str, ...]:
        """Return the figures as a row below ``HEADING``."""
        start = self.together.meeting.start
        refused = [f"{code} {times:,}" for code, times in self.told.items() if code != WAITS]
        return (
            self.together.meeting.name,
            self.together.mode,
            "nothing" if start is None else f"{len(start)} events",
            f"{self.schedules:,}",
            self._extent(),
            f"{self.together.histories:,}",
            f"{self.told[WAITS]:,}",
            f"{self.gave_up:,}",
            ", ".join(refused),
            f"BROKEN: {self.broken}" if self.broken else "holds",
        )


def _settings(examples: int) -> settings:
    return settings(
        max_examples=examples,
        phases=(Phase.generate,),
        database=None,
        deadline=None,
        suppress_health_check=(HealthCheck.too_slow, HealthCheck.filter_too_much),
        verbosity=Verbosity.quiet,
        print_blob=False,
    )


class Bench(Generic[S, E, O, C]):
    """A shared store and the threads of its clients, for one run of the engine."""

    def __init__(self, machine: Machine[S, E, O, C], shared: Shared[S, E, O]) -> None:
        self.machine, self.shared = machine, shared
        self._stages: dict[int, Stage] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for stage in self._stages.values():
            stage.__exit__(None, None, None)
        self.shared.close()

    def stage(self, clients: int) -> Stage:
        """Return the threads of so many clients."""
        if clients not in self._stages:
            self._stages[clients] = Stage(clients).__enter__()
        return self._stages[clients]

    def campaign(
        self, meeting: Meeting[E], mode: str, most: int = MAX_SCHEDULES, with_seed: int = 0
    ) -> Campaign[S, E, O, C]:
        """Return the search of one meeting in one mode."""
        stage = self.stage(len(meeting.clients))
        together = Together(self.machine, self.shared, stage, mode, meeting)
        return Campaign(together, most, with_seed)

    def once(self, meeting: Meeting[E], mode: str, schedule: Schedule) -> Seen[O]:
        """Run one schedule."""
        stage = self.stage(len(meeting.clients))
        return Together(self.machine, self.shared, stage, mode, meeting).run(following(schedule))


def first_breach(campaign: Campaign[S, E, O, C], clause: str, most: int) -> Found[E] | None:
    """Return the first run that breaks a clause, whatever else is broken before."""
    while campaign.schedules < most:
        before = campaign.schedules
        found = campaign.go_on(most - before)
        if found is not None and clause in ("", found.breach.clause):
            return found
        if campaign.schedules == before:
            break
    return None
