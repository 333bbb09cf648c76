"""What is judged: a host, and the capabilities that it may have beside ``step``.

A host lacks what it lacks. Each capability is a protocol of its own, handed to the judge in a
``Judged`` record; an engine that needs a capability which is missing reports *not applicable*,
never *broken*.
"""

from collections.abc import Callable, Iterator
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
