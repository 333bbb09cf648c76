"""Meetings: what several clients ask of one store at once, and whether one order explains it.

Theory of operation. A meeting begins in a state that a trace leads to, or with no store at all, and
gives each client a list of things to ask: events with or without a request id, observations, and
the opening of the store. One run of it under a schedule (``plumbline_spec.schedules``) is a
history; when all clients have ended, one that nobody disturbs observes what is left. The history
with that last observation is held to the machine in its envelope: a state and the answers by
request id (``plumbline_spec.linearizable``).

What a client is answered is one of four things. An answer is in the history. *Unknown* is in it
too, with any effect or none. *Busy* means that nothing was done, so the operation is not in it. Any
other exception is no answer at all and breaks a clause by itself.
"""

from collections.abc import Sequence
from typing import Final, Generic, Literal, TypeAlias, TypeVar

from msgspec import Struct

from plumbline_models.contract import Machine
from plumbline_spec.brief import brief
from plumbline_spec.codec import canonical, digest
from plumbline_spec.errors import CouldNotFinish, OutcomeUnknown, RequestReused
from plumbline_spec.host import Client, Gate, RequestId, Shared
from plumbline_spec.linearizable import NEVER, Operation, linearization
from plumbline_spec.schedules import GIVES_UP, WAITS, Chooser, Run, Stage
from plumbline_spec.trial import MAX_SHOWN

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")

CLAUSES = {
    "SCH-1": (
        "one order",
        (
            "Whatever the schedule, what clients are answered MUST be what the machine answers in"
            " one order of their events, in which an event that was answered before another was"
            " sent comes first, and what is left MUST be the state after that order."
        ),
    ),
    "SCH-2": (
        "waiting",
        (
            "A client that finds the store held MUST wait, and MUST be served when the others have"
            " moved on: no schedule may end in a busy answer for a client whose patience did not"
            " end, nor in clients that wait for each other."
        ),
    ),
    "SCH-3": (
        "busy",
        "An event that is answered busy when patience ends MUST have done nothing.",
    ),
    "SCH-4": (
        "one request",
        (
            "A request id that several clients send at once MUST be applied once: the same event"
            " MUST be answered the same bytes, and another event MUST be refused."
        ),
    ),
    "SCH-5": (
        "one moment",
        "An observation MUST show the state of one moment, whoever writes meanwhile.",
    ),
    "SCH-6": (
        "one store",
        "Clients that open a new store at once MUST all succeed, and find one store, made once.",
    ),
}

OPEN: Final = "(open)"
OBSERVE: Final = "(observe)"
REUSED = b"request reused"
OPENED = b"opened"


class Send(Struct, Generic[E], frozen=True, kw_only=True):
    """An event to send, in its envelope."""

    event: E
    request: RequestId | None = None


Ask: TypeAlias = Send[E] | Literal["(open)", "(observe)"]


class Meeting(Struct, Generic[E], frozen=True, kw_only=True):
    """What the clients of one run begin with and ask."""

    name: str
    form: str
    """What it is about: ``events``, ``observe``, ``request``, ``reuse``, ``open``, and others."""
    start: tuple[E, ...] | None
    """The events that lead to the state at the beginning; None: no client has opened the store."""
    clients: tuple[tuple[Ask[E], ...], ...]

    @property
    def events(self) -> tuple[E, ...]:
        """The events of the clients, client by client."""
        asked = (ask for client in self.clients for ask in client)
        return tuple(ask.event for ask in asked if isinstance(ask, Send))


class Call(Struct, Generic[O], frozen=True, kw_only=True):
    """What one client asked, and how it ended."""

    client: int
    ask: int
    """Its place among what all clients ask, client by client."""
    called: int
    returned: int
    kind: Literal["answered", "unknown", "busy", "raised"]
    answer: bytes
    said: str
    """What the client was told, in words."""
    turn: int
    """The place of its last turn in the run."""
    outcome: O | None = None


class Breach(Struct, frozen=True, kw_only=True):
    """A clause that a run breaks."""

    clause: str
    detail: str


class Seen(Struct, Generic[O], frozen=True, kw_only=True):
    """One run, what the clients were told in it, and the clause that it breaks, if one."""

    run: Run
    calls: tuple[Call[O], ...]
    left: bytes
    """The state at the end."""
    breach: Breach | None


class Reference(Generic[S, E, O, C]):
    """The machine in its envelope, with numbers for states: every step is computed once."""

    def __init__(self, machine: Machine[S, E, O, C], meeting: Meeting[E]) -> None:
        self._machine = machine
        self.asks: list[Ask[E]] = [ask for client in meeting.clients for ask in client]
        self._numbers: dict[tuple[str, tuple[tuple[str, str, bytes], ...]], int] = {}
        self._states: list[tuple[S, tuple[tuple[str, str, bytes], ...]]] = []
        self._steps: dict[tuple[int, int], tuple[int, bytes]] = {}
        state = machine.initial
        for event in meeting.start or ():
            state, _ = machine.step(state, event)
        self.initial = self._number(state, ())

    def _number(self, state: S, answers: tuple[tuple[str, str, bytes], ...]) -> int:
        key = (digest(state), answers)
        if key not in self._numbers:
            self._numbers[key] = len(self._states)
            self._states.append((state, answers))
        return self._numbers[key]

    def step(self, number: int, ask: int) -> tuple[int, bytes]:
        """Return what the machine answers and the number of the state after it."""
        if (number, ask) not in self._steps:
            observing = ask == len(self.asks)
            asked: Ask[E] = OBSERVE if observing else self.asks[ask]
            self._steps[number, ask] = self._step(number, asked)
        return self._steps[number, ask]

    def _step(self, number: int, ask: Ask[E]) -> tuple[int, bytes]:
        state, answers = self._states[number]
        if ask == OPEN:
            return number, OPENED
        if not isinstance(ask, Send):
            return number, canonical(state)
        name = digest(ask.event)
        for request, event, answer in answers:
            if request == ask.request:
                return number, answer if event == name else REUSED
        after, outcome = self._machine.step(state, ask.event)
        answer = canonical(outcome)
        if ask.request is not None:
            answers = tuple(sorted([*answers, (str(ask.request), name, answer)]))
        return self._number(after, answers), answer


class _Door(Gate):
    """A client's gate, which notes the moment at which the client's next call begins."""

    def __init__(self, clock: "_Clock") -> None:
        self._clock = clock
        self.inner: Gate | None = None
        self.called: int | None = None

    def enter(self, statement: str) -> None:
        """Pass the gate; the first statement of a call begins it."""
        if self.inner is not None:
            self.inner.enter(statement)
        self.begin()

    def begin(self) -> int:
        """Return the moment at which the call began: now, if it has not."""
        if self.called is None:
            self.called = self._clock.next()
        return self.called

    def end(self) -> int:
        """Return the moment at which the call ends: now."""
        return self._clock.next()

    def wait(self) -> bool:
        """Give way."""
        return self.inner is not None and self.inner.wait()

    def tell(self, what: str) -> None:
        """Count something."""
        if self.inner is not None:
            self.inner.tell(what)


class _Clock:
    """Moments, each another one; read by one client at a time."""

    def __init__(self) -> None:
        self._now = 0

    def next(self) -> int:
        """Return the next moment."""
        self._now += 1
        return self._now


class Together(Generic[S, E, O, C]):
    """Runs one meeting in one mode, schedule by schedule, and judges each run."""

    def __init__(
        self,
        machine: Machine[S, E, O, C],
        shared: Shared[S, E, O],
        stage: Stage,
        mode: str,
        meeting: Meeting[E],
    ) -> None:
        self.machine, self.mode, self.meeting = machine, mode, meeting
        self._shared, self._stage = shared, stage
        self._reference = Reference(machine, meeting)
        self._verdicts: dict[object, Breach | None] = {}

    @property
    def histories(self) -> int:
        """How many different histories there were."""
        return len(self._verdicts)

    def run(self, choose: Chooser) -> Seen[O]:
        """Run the meeting under a schedule. Raises ``CouldNotFinish``."""
        self._shared.begin(self.mode, self.meeting.start)
        clock, calls = _Clock(), list[Call[O]]()
        plays, ask = list[_Play[S, E, O, C]](), 0
        for number, asks in enumerate(self.meeting.clients):
            door = _Door(clock)
            client = None if OPEN in asks else self._shared.client(door)
            plays.append(_Play(self, number, ask, asks, door, client, calls))
            ask += len(asks)
        run = self._stage.run(plays, choose)
        left = self._observed()
        key = (*((one.ask, one.called, one.returned, one.kind, one.answer) for one in calls), left)
        patient = _patient(run, calls)
        if patient is not None or run.stuck:
            return Seen(run=run, calls=tuple(calls), left=left, breach=_not_served(run, patient))
        if key not in self._verdicts:
            self._verdicts[key] = self._judge(calls, left)
        return Seen(run=run, calls=tuple(calls), left=left, breach=self._verdicts[key])

    def open(self, gate: Gate) -> Client[S, E, O]:
        """Open the store as one of the clients."""
        return self._shared.opening(gate)

    def turn(self) -> int:
        """Return the place of the latest turn."""
        return len(self._stage.turns) - 1

    def _observed(self) -> bytes:
        try:
            client = self._shared.client(None)
        except CouldNotFinish:
            raise
        except Exception as error:  # noqa: BLE001 - a host's failure, to be reported
            return f"raised {type(error).__name__}: {error}".encode()
        try:
            return canonical(client.observe())
        except Exception as error:  # noqa: BLE001 - a host's failure, to be reported
            return f"raised {type(error).__name__}: {error}".encode()
        finally:
            client.close()

    def _judge(self, calls: Sequence[Call[O]], left: bytes) -> Breach | None:
        opening = OPEN in self._reference.asks
        for one in calls:
            if one.kind == "raised":
                detail = f"client {one.client} was answered nothing: {one.said}"
                return Breach(clause="SCH-6" if opening else "SCH-1", detail=detail)
        if self._explained(calls, left):
            return None
        return Breach(clause=self._clause(calls, left), detail=self._told(calls, left))

    def _explained(
        self, calls: Sequence[Call[O]], left: bytes, *, busy_is_unknown: bool = False
    ) -> bool:
        """Tell whether one order of the calls explains what was answered and what is left."""
        history: list[Operation[int]] = []
        for one in calls:
            if one.kind == "answered":
                operation = Operation(
                    asked=one.ask, called=one.called, returned=one.returned, answer=one.answer
                )
                history.append(operation)
            elif one.kind == "unknown" or busy_is_unknown:
                history.append(Operation(asked=one.ask, called=one.called))
        end = len(self._reference.asks)
        history.append(Operation(asked=end, called=NEVER - 2, returned=NEVER - 1, answer=left))
        return linearization(history, self._reference.initial, self._reference.step) is not None

    def _clause(self, calls: Sequence[Call[O]], left: bytes) -> str:
        """Return the clause that is about what has no order: what is in order without it."""
        asks = self._reference.asks
        if self._explained(calls, left, busy_is_unknown=True):
            return "SCH-3"
        acting = [one for one in calls if asks[one.ask] != OBSERVE]
        if len(acting) < len(calls) and self._explained(acting, left):
            return "SCH-5"
        if OPEN in asks:
            return "SCH-6"
        requests = [ask.request for ask in asks if isinstance(ask, Send) and ask.request]
        return "SCH-4" if len(set(requests)) < len(requests) else "SCH-1"

    def _told(self, calls: Sequence[Call[O]], left: bytes) -> str:
        said = [
            f"client {one.client}: {named(self._reference.asks[one.ask])} → {one.said}"
            for one in calls
        ]
        return f"no order explains {'; '.join(said)}; what is left is {_shown(left)}"


class _Play(Generic[S, E, O, C]):
    """What one client does in one run."""

    def __init__(
        self,
        together: Together[S, E, O, C],
        number: int,
        ask: int,
        asks: Sequence[Ask[E]],
        door: _Door,
        client: Client[S, E, O] | None,
        calls: list[Call[O]],
    ) -> None:
        self._together, self._number, self._first = together, number, ask
        self._asks, self._door, self._client, self._calls = asks, door, client, calls

    def __call__(self, gate: Gate) -> None:
        """Ask everything in turn; stop when the store could not be opened."""
        self._door.inner = gate
        try:
            for place, ask in enumerate(self._asks, self._first):
                self._door.called = None
                call = self._ask(place, ask)
                self._calls.append(call)
                if self._client is None:
                    return
        finally:
            if self._client is not None:
                self._client.close()

    def _ask(self, place: int, ask: Ask[E]) -> Call[O]:
        try:
            answer, said, outcome = self._answered(ask)
        except RequestReused:
            return self._call(place, "answered", REUSED, "request reused")
        except OutcomeUnknown as error:
            return self._call(place, "unknown", b"", f"unknown: {error.why}")
        except CouldNotFinish as error:
            return self._call(place, "busy", b"", f"busy: {error}")
        except Exception as error:  # noqa: BLE001 - a host's failure, to be reported
            return self._call(place, "raised", b"", f"raised {type(error).__name__}: {error}")
        return self._call(place, "answered", answer, said, outcome)

    def _answered(self, ask: Ask[E]) -> tuple[bytes, str, O | None]:
        if ask == OPEN:
            self._client = self._together.open(self._door)
            return OPENED, "opened", None
        client = self._client
        assert client is not None
        if not isinstance(ask, Send):
            state = canonical(client.observe())
            return state, f"state {_shown(state)}", None
        outcome = client.step(ask.event, ask.request)
        return canonical(outcome), self._together.machine.outcome_name(outcome), outcome

    def _call(
        self,
        place: int,
        kind: Literal["answered", "unknown", "busy", "raised"],
        answer: bytes,
        said: str,
        outcome: O | None = None,
    ) -> Call[O]:
        return Call(
            client=self._number,
            ask=place,
            called=self._door.begin(),
            returned=self._door.end(),
            kind=kind,
            answer=answer,
            said=said,
            turn=self._together.turn(),
            outcome=outcome,
        )


def _shown(state: bytes) -> str:
    text = state.decode()
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


def named(ask: Ask[E]) -> str:
    """Return what is asked, on one line."""
    if not isinstance(ask, Send):
        return ask
    request = "" if ask.request is None else f" in request {ask.request}"
    return brief(ask.event) + request


def _patient(run: Run, calls: Sequence[Call[O]]) -> Call[O] | None:
    """Return a call that was answered busy although its client never gave up."""
    gave_up = {turn.client for turn in run.turns if turn.outcome == GIVES_UP}
    return next((one for one in calls if one.kind == "busy" and one.client not in gave_up), None)


def _not_served(run: Run, patient: Call[O] | None) -> Breach:
    codes = ", ".join(name for name in run.told if name != WAITS) or "no reason told"
    if run.stuck:
        return Breach(clause="SCH-2", detail=f"the clients wait for each other ({codes})")
    who = "a client" if patient is None else f"client {patient.client}"
    detail = f"{who} was answered busy ({codes}) although its patience had not ended"
    return Breach(clause="SCH-2", detail=detail)
