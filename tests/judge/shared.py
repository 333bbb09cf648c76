"""Shared stores of the toy machine: each has one fault that ``interleave`` must find."""

from collections.abc import Callable
from typing import TypeAlias

from msgspec.structs import replace
from typing_extensions import override

from plumbline_spec import toy
from plumbline_spec.case import Case
from plumbline_spec.errors import CouldNotFinish, OutcomeUnknown
from plumbline_spec.host import Client, Gate, RequestId
from plumbline_spec.model_host import ModelClient, ModelShared
from plumbline_spec.toy import Event, Outcome, Scope, State, machine

ToyCase: TypeAlias = Case[State, Event, Outcome, Scope]
ToyShared: TypeAlias = ModelShared[State, Event, Outcome, Scope]
ToyClient: TypeAlias = ModelClient[State, Event, Outcome, Scope]


def sharing(client: Callable[[ToyShared, Gate | None], ToyClient]) -> ToyCase:
    """Return the toy's case with clients of this kind, and no builds."""

    class Sharing(ModelShared[State, Event, Outcome, Scope]):
        @override
        def client(self, gate: Gate | None) -> Client[State, Event, Outcome]:
            return client(self, gate)

    return replace(toy.case(), shared=lambda: Sharing(machine()), builds=())


class Impatient(ModelClient[State, Event, Outcome, Scope]):
    """Answers busy as soon as another holds the store, and does not wait (SCH-2)."""

    @override
    def lock(self) -> None:
        self.pass_gate("lock")
        if self.shared.held_by is not None:
            raise CouldNotFinish("another client holds the store")
        self.shared.held_by = self


class Undecided(ModelClient[State, Event, Outcome, Scope]):
    """Answers busy when it gives up, and has done the event all the same (SCH-3)."""

    @override
    def step(self, event: Event, request: RequestId | None = None) -> Outcome:
        try:
            return super().step(event, request)
        except CouldNotFinish:
            self.shared.host.step(event)
            raise


class Confident(ModelClient[State, Event, Outcome, Scope]):
    """Takes what it gave up for done (SCH-1)."""

    @override
    def step(self, event: Event, request: RequestId | None = None) -> Outcome:
        try:
            return super().step(event, request)
        except CouldNotFinish:
            return machine().step(State(), event)[1]


class Forgets(ModelClient[State, Event, Outcome, Scope]):
    """Keeps no request id (SCH-4)."""

    @override
    def step(self, event: Event, request: RequestId | None = None) -> Outcome:
        return super().step(event)


class Peeks(ModelClient[State, Event, Outcome, Scope]):
    """Observes half of one moment and half of another (SCH-5)."""

    @override
    def observe(self) -> State:
        self.pass_gate("read")
        before = self.shared.host.observe().held
        self.pass_gate("read again")
        return State(held=before + 2 * (self.shared.host.observe().held - before))


class Stale(ModelClient[State, Event, Outcome, Scope]):
    """Observes what was there when it was opened: one moment, but not of its call (SCH-5)."""

    def __init__(self, shared: ToyShared, gate: Gate | None) -> None:
        super().__init__(shared, gate)
        self._seen = shared.host.observe()

    @override
    def observe(self) -> State:
        self.pass_gate("read")
        return self._seen


class Jams(ModelClient[State, Event, Outcome, Scope]):
    """Fails by an error of its own when another has written since it looked (SCH-1)."""

    @override
    def step(self, event: Event, request: RequestId | None = None) -> Outcome:
        self.pass_gate("look")
        seen = self.shared.host.observe()
        self.lock()
        try:
            if self.shared.host.observe() != seen:
                raise LookupError("another coin lies here")
            return self.shared.host.step(event, request)
        finally:
            self.unlock()


class Unsure(ModelClient[State, Event, Outcome, Scope]):
    """Does every event and does not know it: no fault, because nobody was told otherwise."""

    @override
    def step(self, event: Event, request: RequestId | None = None) -> Outcome:
        outcome = super().step(event, request)
        if request == "request-2":
            raise OutcomeUnknown("the line went dead")
        return outcome


class Crossed(ModelClient[State, Event, Outcome, Scope]):
    """Holds the store while it waits for a second lock that the other holds (SCH-2)."""

    @override
    def step(self, event: Event, request: RequestId | None = None) -> Outcome:
        shared = self.shared
        self.pass_gate("mark")
        marked = shared.host.observe()
        del marked
        waiting: set[ToyClient] = shared.__dict__.setdefault("waiting", set())
        waiting.add(self)
        self.pass_gate("look")
        while len(waiting) > 1:
            if self._gate is None or not self._gate.wait():
                waiting.discard(self)
                raise CouldNotFinish("the other marked it too")
        try:
            return super().step(event, request)
        finally:
            waiting.discard(self)


class Rhythmic(ModelClient[State, Event, Outcome, Scope]):
    """Writes twice when another client had a turn between its own, again and again (SCH-1)."""

    @override
    def step(self, event: Event, request: RequestId | None = None) -> Outcome:
        latest: list[ToyClient] = self.shared.__dict__.setdefault("latest", [])
        broken_in = 0
        for beat in range(6):
            self.pass_gate(f"beat {beat}")
            broken_in += bool(latest) and latest[-1] is not self and beat > 0
            latest.append(self)
        if broken_in >= 4:
            self.shared.host.step(event)
        return super().step(event, request)


class Endless(ModelClient[State, Event, Outcome, Scope]):
    """Tries for ever."""

    @override
    def step(self, event: Event, request: RequestId | None = None) -> Outcome:
        while True:
            self.pass_gate("again")


def opening_fails() -> ToyCase:
    """Return the toy's case with a store that the second client cannot open (SCH-6)."""

    class Exclusive(ModelShared[State, Event, Outcome, Scope]):
        def __init__(self) -> None:
            super().__init__(machine())
            self.being_opened = 0

        @override
        def opening(self, gate: Gate) -> Client[State, Event, Outcome]:
            self.being_opened += 1
            try:
                gate.enter("look")
                gate.enter("open")
                if self.being_opened > 1:
                    raise OSError("somebody else is opening it")
                return self.client(gate)
            finally:
                self.being_opened -= 1

    return replace(toy.case(), shared=Exclusive, builds=())
