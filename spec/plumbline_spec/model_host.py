"""A machine as a host: what the judge is tried on before anything real is judged."""

from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from plumbline_models.contract import Machine
from plumbline_spec.codec import canonical
from plumbline_spec.errors import CouldNotFinish, RequestReused
from plumbline_spec.host import Client, Gate, Judged, RequestId

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")


class ModelHost(Generic[S, E, O, C]):
    """Answers as a machine does, keeps its answers by request id, and returns to marks."""

    def __init__(self, machine: Machine[S, E, O, C]) -> None:
        self._machine = machine
        self._state = machine.initial
        self._marks: list[S] = []
        self._answers: dict[RequestId, tuple[bytes, O]] = {}

    def reset(self) -> None:
        """Return to the machine's initial state."""
        self._state = self._machine.initial
        self._marks.clear()
        self._answers.clear()

    def step(self, event: E, request: RequestId | None = None) -> O:
        """Apply one event, or answer its request id again."""
        name = canonical(event)
        if request is not None and request in self._answers:
            stored, outcome = self._answers[request]
            if stored != name:
                raise RequestReused(request)
            return outcome
        self._state, outcome = self._machine.step(self._state, event)
        if request is not None:
            self._answers[request] = (name, outcome)
        return outcome

    def observe(self) -> S:
        """Return the state."""
        return self._state

    def parts(self) -> Iterator[tuple[str, S]]:
        """Yield the parts of the state, or the whole when the machine has none."""
        if self._machine.partition is None:
            yield "", self._state
        else:
            yield from self._machine.partition(self._state).items()

    def mark(self) -> None:
        """Remember the state."""
        self._marks.append(self._state)

    def back(self) -> None:
        """Return to the latest state remembered."""
        self._state = self._marks.pop()

    def crash(self) -> None:
        """Lose nothing: every step was durable."""

    def reopen(self) -> None:
        """Go on."""

    def close(self) -> None:
        """Release nothing."""


def model_host(machine: Machine[S, E, O, C]) -> Judged[S, E, O]:
    """Return a machine as a host with every capability but that of being traced."""
    host = ModelHost(machine)
    return Judged(host=host, observable=host, reversible=host, crashable=host)


class ModelShared(Generic[S, E, O, C]):
    """A machine as a store that several clients use at once, under one lock."""

    modes = ("one lock",)

    def __init__(self, machine: Machine[S, E, O, C]) -> None:
        self._machine = machine
        self.host = ModelHost(machine)
        self.held_by: ModelClient[S, E, O, C] | None = None

    def begin(self, mode: str, events: Sequence[E] | None) -> None:
        """Return to the initial state and take the events."""
        del mode
        self.host, self.held_by = ModelHost(self._machine), None
        for event in events or ():
            self.host.step(event)

    def client(self, gate: Gate | None) -> Client[S, E, O]:
        """Return another client."""
        return ModelClient(self, gate)

    def opening(self, gate: Gate) -> Client[S, E, O]:
        """Return another client, which looks for the store first."""
        gate.enter("open")
        return self.client(gate)

    def close(self) -> None:
        """Release nothing."""


class ModelClient(Generic[S, E, O, C]):
    """A client that takes the lock, reads, writes, and lets the lock go: a statement each."""

    def __init__(self, shared: ModelShared[S, E, O, C], gate: Gate | None) -> None:
        self.shared, self._gate = shared, gate

    def pass_gate(self, statement: str) -> None:
        """Run a statement that does nothing by itself."""
        if self._gate is not None:
            self._gate.enter(statement)

    def lock(self) -> None:
        """Take the lock, however long another has it."""
        self.pass_gate("lock")
        while self.shared.held_by not in (None, self):
            if self._gate is None or not self._gate.wait():
                raise CouldNotFinish("another client holds the store; nothing was done")
        self.shared.held_by = self

    def unlock(self) -> None:
        """Let the lock go."""
        self.pass_gate("unlock")
        self.shared.held_by = None

    def step(self, event: E, request: RequestId | None = None) -> O:
        """Apply one event under the lock."""
        self.lock()
        try:
            self.pass_gate("write")
            return self.shared.host.step(event, request)
        finally:
            self.unlock()

    def observe(self) -> S:
        """Return the state, read under the lock."""
        self.lock()
        try:
            self.pass_gate("read")
            return self.shared.host.observe()
        finally:
            self.unlock()

    def close(self) -> None:
        """Let go what is held."""
        if self.shared.held_by is self:
            self.shared.held_by = None
