"""What is judged: a host, and the capabilities that it may have beside ``step``.

A host lacks what it lacks. Each capability is a protocol of its own, handed to the judge in a
``Judged`` record; an engine that needs a capability which is missing reports *not applicable*,
never *broken*.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Generic, NewType, Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from plumbline_models.contract import Machine

RequestId = NewType("RequestId", str)

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")
S_co = TypeVar("S_co", covariant=True)
E_contra = TypeVar("E_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)


class Host(Protocol[E_contra, O_co]):
    """Whatever takes events and answers outcomes."""

    def reset(self) -> None:
        """Return to the machine's initial state."""
        ...

    def step(self, event: E_contra, request: RequestId | None = None) -> O_co:
        """Apply one event whole or not at all.

        With a request id the outcome is stored with the event's effect, and the same id answers it
        again; raises ``RequestReused`` when the id comes with another event.
        """
        ...

    def close(self) -> None:
        """Release what the host holds."""
        ...


class Observable(Protocol[S_co]):
    """A host whose state can be read: the abstraction function."""

    def observe(self) -> S_co:
        """Return the abstract state."""
        ...

    def parts(self) -> Iterator[tuple[str, S_co]]:
        """Yield the abstract state part by part (``Machine.partition``): memory stays bounded."""
        ...


class Reversible(Protocol):
    """A host that can mark a state and return to it: savepoints."""

    def mark(self) -> None:
        """Open a savepoint."""
        ...

    def back(self) -> None:
        """Return to the latest savepoint and close it."""
        ...


class Crashable(Protocol):
    """A host that can stop without warning and be opened again."""

    def crash(self) -> None:
        """Lose all that is not durable."""
        ...

    def reopen(self) -> None:
        """Open what is durable."""
        ...


class Traced(Protocol):
    """A host that can tell which statements it runs."""

    def statements(self) -> AbstractContextManager[list[str]]:
        """Return a list that grows by each statement while the context is open."""
        ...


class Gate(Protocol):
    """What holds a client of a shared store back until it is its turn."""

    def enter(self, statement: str) -> None:
        """Return when the client may run this statement; called in the client's own thread."""
        ...

    def wait(self) -> bool:
        """Give way because another client holds a lock; return whether to try again."""
        ...


class Client(Protocol[S_co, E_contra, O_co]):
    """One user of a shared store, with a connection of its own, in a thread of its own."""

    def step(self, event: E_contra, request: RequestId | None = None) -> O_co:
        """Apply one event whole or not at all, as ``Host.step``."""
        ...

    def observe(self) -> S_co:
        """Return the abstract state, all of it as of one moment."""
        ...

    def close(self) -> None:
        """Release what the client holds."""
        ...


class Shared(Protocol[S_co, E_contra, O_co]):
    """A store that several clients use at once."""

    @property
    def modes(self) -> tuple[str, ...]:
        """The ways in which the store keeps clients apart, by name: journal modes."""
        ...

    def begin(self, mode: str, events: Sequence[E_contra]) -> None:
        """Make the store what these events make of an empty one; cheap for the same ones again."""
        ...

    def client(self, gate: Gate | None) -> Client[S_co, E_contra, O_co]:
        """Open a client that passes the gate before every statement, those of opening included."""
        ...

    def close(self) -> None:
        """Release the store."""
        ...


class Judged(Struct, Generic[S, E, O], frozen=True, kw_only=True):
    """A host with the capabilities that it has; what is None is not applicable."""

    host: Host[E, O]
    observable: Observable[S] | None = None
    reversible: Reversible | None = None
    crashable: Crashable | None = None
    traced: Traced | None = None
    lacks: frozenset[str] = frozenset()
    """Names of the events that the host does not have."""
    view: Callable[[S], S] | None = None
    """What of a state the host observes, applied to both sides; None for all of it."""


def offered(machine: Machine[S, E, O, C], lacks: frozenset[str]) -> Machine[S, E, O, C]:
    """Return the machine without the offers of events that a host lacks."""
    if not lacks:
        return machine

    def events(state: S, scope: C) -> Iterator[E]:
        offers = machine.events(state, scope)
        return (event for event in offers if type(event).__name__ not in lacks)

    return replace(machine, events=events)
