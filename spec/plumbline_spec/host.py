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
from plumbline_spec.disk import Image, Operation

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

    def tell(self, what: str) -> None:
        """Count something that is worth a figure, such as a statement that was refused at once."""
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

    def begin(self, mode: str, events: Sequence[E_contra] | None) -> None:
        """Make the store what these events make of an empty one; cheap for the same ones again.

        None makes it one that no client has opened yet. No client is open when this is called.
        """
        ...

    def client(self, gate: Gate | None) -> Client[S_co, E_contra, O_co]:
        """Return a client that passes the gate, or none; it is open before anything is gated."""
        ...

    def opening(self, gate: Gate) -> Client[S_co, E_contra, O_co]:
        """Open a client that passes the gate before every statement, those of opening included."""
        ...

    def close(self) -> None:
        """Release the store."""
        ...


class Setting(Struct, frozen=True, kw_only=True):
    """A way to keep what is stored: a journal, when it is synced, and whether the disk obeys."""

    name: str
    ships: bool
    """Whether durability is promised with it; one that does not ship is a control and must fail."""
    lies: bool = False
    """Whether the disk says that it synced and did not."""
    survives_lost_writes: bool = True
    """Whether it survives a sync that failed and threw away what was pending."""


class FaultKind(Struct, frozen=True, kw_only=True):
    """A kind of error of the environment."""

    name: str
    lasting: tuple[bool, ...] = (False, True)
    """Whether it may strike once, from then on, or either."""


class Fault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An error to strike: its kind, the number of the call, counted from 0, and for how long."""

    kind: str
    at: int
    lasting: bool = False

    def __str__(self) -> str:
        return f"{self.kind} at call {self.at}{' and from then on' if self.lasting else ''}"


class Strikes(Struct, frozen=True, kw_only=True):
    """What a fault met while it was armed."""

    calls: int
    """Calls of its kind."""
    struck: bool


class Attempt(Struct, frozen=True, kw_only=True):
    """What came of opening a store and closing it while a fault was armed."""

    error: Exception | None
    """What it ended in; None when the store was opened and closed."""
    met: Strikes
    log: tuple[Operation, ...]
    image: Image
    """The files that are left."""


class Recovered(Struct, Generic[S], frozen=True, kw_only=True):
    """What was found in an image."""

    key: bytes
    """Names what is stored: two images with equal keys hold the same."""
    state: S | None = None
    answers: tuple[tuple[str, bytes], ...] = ()
    """The stored answers by request id, in the order of the ids."""
    broken: str = ""
    """Why it cannot be used or is not intact; "" when it is."""


class Session(Protocol[S_co, E_contra, O_co]):
    """A host on a store whose operations are recorded, and can be made to fail."""

    @property
    def log(self) -> list[Operation]:
        """The operations so far, since the store was opened; it grows."""
        ...

    def step(self, event: E_contra, request: RequestId | None = None) -> O_co:
        """Apply one event whole or not at all, as ``Host.step``."""
        ...

    def observe(self) -> S_co:
        """Return the abstract state."""
        ...

    def arm(self, fault: Fault) -> None:
        """Let a fault strike from now on; calls are counted from here."""
        ...

    def disarm(self) -> "Strikes":
        """Let nothing fail any more; return what the fault met."""
        ...

    def image(self) -> Image:
        """Return the files as the program sees them, as if its process were killed now."""
        ...

    def close(self) -> None:
        """Close the store as a program does that ends."""
        ...


class Storage(Protocol[S, E_contra, O_co]):
    """A store whose storage operations can be seen, made to fail, and survived."""

    @property
    def settings(self) -> tuple[Setting, ...]:
        """The ways to keep what is stored, those that ship first."""
        ...

    @property
    def kinds(self) -> tuple[FaultKind, ...]:
        """The kinds of error that can strike."""
        ...

    @property
    def errors(self) -> tuple[type[BaseException], ...]:
        """What a session may raise when its environment fails."""
        ...

    def open(self, setting: Setting, image: Image) -> Session[S, E_contra, O_co]:
        """Open what an image holds, which may be nothing; one session is open at a time."""
        ...

    def attempt(self, setting: Setting, image: Image, fault: Fault) -> Attempt:
        """Open what an image holds and close it, the fault armed from the first call on."""
        ...

    def recover(self, setting: Setting, image: Image) -> Recovered[S]:
        """Open an image as after a power loss, undisturbed; return what it holds."""
        ...

    def close(self) -> None:
        """Release the store."""
        ...


class Threat(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to happen to an event: a power loss or an error, in numbers that can be drawn."""

    kind: int
    """Which kind of fault, counted through; a power loss is one of them."""
    at: int
    """At which of its operations or calls."""
    lasting: bool
    draw: int
    """Which of the durable states of that moment."""


class Threatened(Protocol):
    """A host whose environment fails when it is told to, and which goes on."""

    def threaten(self, threat: Threat, *, always: bool = False) -> None:
        """Let this happen to the next event, or to every one that follows."""
        ...


class Judged(Struct, Generic[S, E, O], frozen=True, kw_only=True):
    """A host with the capabilities that it has; what is None is not applicable."""

    host: Host[E, O]
    observable: Observable[S] | None = None
    reversible: Reversible | None = None
    crashable: Crashable | None = None
    traced: Traced | None = None
    threatened: Threatened | None = None
    lacks: frozenset[str] = frozenset()
    """Names of the events that the host does not have."""
    view: Callable[[S], S] | None = None
    """What of a state the host observes, applied to both sides; None for all of it."""


def threatening(
    host: Callable[[], Judged[S, E, O]], threat: Threat
) -> Callable[[], Judged[S, E, O]]:
    """Return a factory of hosts to whose every event the same happens, so any can be left out."""

    def make() -> Judged[S, E, O]:
        judged = host()
        assert judged.threatened is not None
        judged.threatened.threaten(threat, always=True)
        return judged

    return make


def offered(machine: Machine[S, E, O, C], lacks: frozenset[str]) -> Machine[S, E, O, C]:
    """Return the machine without the offers of events that a host lacks."""
    if not lacks:
        return machine

    def events(state: S, scope: C) -> Iterator[E]:
        offers = machine.events(state, scope)
        return (event for event in offers if type(event).__name__ not in lacks)

    return replace(machine, events=events)
