"""Hosts of the toy machine: right ones that lack something, and wrong ones that must be caught."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from msgspec.structs import replace
from typing_extensions import override

from plumbline_models.history import Variant
from plumbline_spec.case import Plan
from plumbline_spec.errors import CouldNotFinish, RequestReused
from plumbline_spec.host import Judged, RequestId
from plumbline_spec.model_host import ModelHost
from plumbline_spec.profiles import PROFILES
from plumbline_spec.toy import (
    SPEC,
    VARIANTS,
    Clear,
    Cleared,
    Deposit,
    Deposited,
    Event,
    Outcome,
    Rules,
    Scope,
    State,
    machine,
)
from plumbline_spec.traces import FORMAT, Header, Trace, record

ToyJudged: TypeAlias = Judged[State, Event, Outcome]
ToyFactory: TypeAlias = Callable[[], ToyJudged]
ToyTrace: TypeAlias = Trace[State, Event, Outcome]
ToyVariant: TypeAlias = Variant[State, Event, Outcome, Scope]

SCOPE = Scope(coins=2)
FULL_DAY = (Deposit(coins=2), Deposit(coins=1), Clear(), Clear(), Deposit(coins=1))
"""A trace whose third event clears three coins."""


def variant_of(clause: str) -> ToyVariant:
    """Return the toy's variant that breaks a clause."""
    (found,) = [one for one in VARIANTS if one.breaks == clause]
    return found


def trace_of(*events: Event, name: str = "a trace") -> ToyTrace:
    """Return events as the right machine answers them."""
    header = Header(format=FORMAT, plumbline="trace", machine="toy", rules="SPEC", name=name)
    return record(machine(), events, header)


class Locker(ModelHost[State, Event, Outcome, Scope]):
    """A right host; the others differ from it in one thing."""

    def __init__(self, rules: Rules = SPEC) -> None:
        super().__init__(machine(rules))

    @classmethod
    def make(cls) -> ToyJudged:
        """Return a fresh host with all that a host in memory can do."""
        host = cls()
        return Judged(host=host, observable=host, reversible=host, crashable=host)


class MisAnswers(Locker):
    """Answers the clearing of three coins as that of four."""

    @override
    def step(self, event: Event, request: RequestId | None = None) -> Outcome:
        outcome = super().step(event, request)
        return Cleared(coins=4) if outcome == Cleared(coins=3) else outcome


class AnswersTrue(Locker):
    """Answers ``True`` where one coin is held."""

    @override
    def step(self, event: Event, request: RequestId | None = None) -> Outcome:
        outcome = super().step(event, request)
        return Deposited(held=True) if outcome == Deposited(held=1) else outcome


class ObservesTrue(Locker):
    """Shows ``True`` where one coin is held."""

    @override
    def observe(self) -> State:
        state = super().observe()
        return State(held=True) if state == State(held=1) else state


class HidesOne(Locker):
    """Shows two coins where three are held."""

    @override
    def observe(self) -> State:
        return State(held=min(2, super().observe().held))


class Raises(Locker):
    """Fails when a full locker is cleared."""

    @override
    def step(self, event: Event, request: RequestId | None = None) -> Outcome:
        if isinstance(event, Clear) and super().observe().held == 3:
            raise RuntimeError("the door is stuck")
        return super().step(event, request)


class Blind(Locker):
    """Fails when it is looked at with two coins in it."""

    @override
    def observe(self) -> State:
        state = super().observe()
        if state.held == 2:
            raise OSError("no light")
        return state


class Jammed(Locker):
    """Fails when it is reset."""

    @override
    def reset(self) -> None:
        raise OSError("jammed")


class Weight(int):
    """A kind of integer that the codec does not know."""


class Babbles(Locker):
    """Answers something that cannot be written as JSON."""

    @override
    def step(self, event: Event, request: RequestId | None = None) -> Outcome:
        super().step(event, request)
        return Deposited(held=Weight(1))


class Busy(Locker):
    """Is kept from clearing by its environment."""

    @override
    def step(self, event: Event, request: RequestId | None = None) -> Outcome:
        if isinstance(event, Clear):
            raise CouldNotFinish("the database is busy")
        return super().step(event, request)


class BusyToSee(Locker):
    """Is kept from being observed by its environment."""

    @override
    def observe(self) -> State:
        raise CouldNotFinish("the database is busy")


class BusyToReset(Locker):
    """Is kept from being reset by its environment."""

    @override
    def reset(self) -> None:
        raise CouldNotFinish("the database is busy")


class Moody(Locker):
    """Mis-answers the first clearing of its life and no other: a failure that is gone."""

    def __init__(self) -> None:
        super().__init__()
        self._cleared = False

    @override
    def step(self, event: Event, request: RequestId | None = None) -> Outcome:
        outcome = super().step(event, request)
        if isinstance(outcome, Cleared) and not self._cleared:
            self._cleared = True
            return Cleared(coins=outcome.coins + 1)
        return outcome


class Forgetful(Locker):
    """Keeps no request id."""

    @override
    def step(self, event: Event, request: RequestId | None = None) -> Outcome:
        return super().step(event)


class Obliging(Locker):
    """Answers a request id whatever event it comes with."""

    @override
    def step(self, event: Event, request: RequestId | None = None) -> Outcome:
        try:
            return super().step(event, request)
        except RequestReused:
            assert request is not None
            return self._answers[request][1]


class Repeats(Locker):
    """Answers a request id again and applies the event again."""

    @override
    def step(self, event: Event, request: RequestId | None = None) -> Outcome:
        known = request in self._answers
        outcome = super().step(event, request)
        if known:
            super().step(event)
        return outcome


class Leaks(Locker):
    """Refuses a reused request id and applies the event all the same."""

    @override
    def step(self, event: Event, request: RequestId | None = None) -> Outcome:
        try:
            return super().step(event, request)
        except RequestReused:
            super().step(event)
            raise


class Touchy(Locker):
    """Refuses a request id that comes again with its own event."""

    @override
    def step(self, event: Event, request: RequestId | None = None) -> Outcome:
        if request is not None and request in self._answers:
            raise RequestReused(request)
        return super().step(event, request)


class Crumbles(Locker):
    """Fails by an error of its own when a request id is reused."""

    @override
    def step(self, event: Event, request: RequestId | None = None) -> Outcome:
        try:
            return super().step(event, request)
        except RequestReused as error:
            raise KeyError(error.request) from error


class AnswersIdsOtherwise(Locker):
    """Answers a clearing otherwise when it comes with a request id."""

    @override
    def step(self, event: Event, request: RequestId | None = None) -> Outcome:
        outcome = super().step(event, request)
        if request is not None and isinstance(outcome, Cleared):
            return Cleared(coins=outcome.coins + 1)
        return outcome


class LosesOnReopen(Locker):
    """Loses everything when it is opened again."""

    @override
    def reopen(self) -> None:
        self.reset()


class LosesOnCrash(Locker):
    """Loses everything in a crash."""

    @override
    def crash(self) -> None:
        self.reset()


class ForgetsOnReopen(Locker):
    """Keeps the coins and loses the answers when it is opened again."""

    @override
    def reopen(self) -> None:
        self._answers.clear()


class WearsOut(Locker):
    """Once it was opened again, answers a request id again and loses its coins."""

    def __init__(self) -> None:
        super().__init__()
        self._worn = False

    @override
    def reopen(self) -> None:
        self._worn = True

    @override
    def step(self, event: Event, request: RequestId | None = None) -> Outcome:
        known = request in self._answers
        outcome = super().step(event, request)
        if known and self._worn:
            super().step(Clear())
        return outcome


class CannotReopen(Locker):
    """Cannot be opened again."""

    @override
    def reopen(self) -> None:
        raise OSError("malformed")


class Traced(Locker):
    """Tells that each event ran the statements that it was made with."""

    def __init__(self, *script: str) -> None:
        super().__init__()
        self._script = script
        self._ran: list[str] | None = None

    @contextmanager
    def statements(self) -> Generator[list[str]]:
        """Return a list that grows by the script with each event."""
        self._ran = []
        yield self._ran
        self._ran = None

    @override
    def step(self, event: Event, request: RequestId | None = None) -> Outcome:
        if self._ran is not None:
            self._ran.extend(self._script)
        return super().step(event, request)


def traced(*script: str) -> ToyFactory:
    """Return a factory of hosts that run these statements for an event."""

    def make() -> ToyJudged:
        host = Traced(*script)
        return Judged(host=host, observable=host, traced=host)

    return make


def without_clear() -> ToyJudged:
    """Return a right host that has no ``Clear`` and raises when it gets one all the same."""
    host = NoClear()
    lacks = frozenset({"Clear"})
    return Judged(host=host, observable=host, reversible=host, crashable=host, lacks=lacks)


class NoClear(Locker):
    """Does not know ``Clear``."""

    @override
    def step(self, event: Event, request: RequestId | None = None) -> Outcome:
        if isinstance(event, Clear):
            raise NotImplementedError("Clear")
        return super().step(event, request)


def unseen() -> ToyJudged:
    """Return a right host that cannot be observed, marked, crashed or traced."""
    return Judged(host=Locker())


def full_or_not(state: State) -> State:
    """Return what a host sees that can tell a full locker from the others and no more."""
    return State(held=int(state.held == 3))


def viewed(host: Locker) -> ToyJudged:
    """Return a host that is observed through ``full_or_not`` alone."""
    return Judged(host=host, observable=host, reversible=host, view=full_or_not)


def plan_in(spec: Path, profile: str = "quick", **changes: int) -> Plan:
    """Return a plan with few histories, reading vectors and variants below ``spec``."""
    few = replace(PROFILES[profile], examples=12, steps=20, durable_examples=4, mutants=0)
    versions = {"plumbline": "test"}
    return Plan(profile=replace(few, **changes), seed=1, spec=spec, versions=versions)
