"""The envelope: one transaction an event, answers kept by id, nothing lost (``spec/README.md``).

Each trace is taken on a host with a request id for every event. ENV-1 is judged on the statements
that the host ran, ENV-2 by sending each event twice and its id with another event, ENV-3 by opening
the host again, after a crash as well. A trace ends before an event that the host lacks.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

from msgspec import Struct

from plumbline_models.contract import Machine
from plumbline_spec.clause_table import Broken, ClauseBroken, Progress, silent
from plumbline_spec.codec import canonical
from plumbline_spec.errors import CouldNotFinish, RequestReused
from plumbline_spec.host import Judged, RequestId
from plumbline_spec.traces import Trace

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")

CLAUSES = {
    "ENV-1": (
        "one transaction",
        (
            "An event that writes MUST run in one transaction: one BEGIN IMMEDIATE before its first"
            " statement, one COMMIT after its last, and nothing outside."
        ),
    ),
    "ENV-2": (
        "request",
        (
            "An event with a request id MUST store its outcome in its own transaction, and the same"
            " id with the same event MUST answer the same bytes and change nothing."
        ),
    ),
    "ENV-3": (
        "reopen",
        "What was answered MUST still be there after the host is reopened, request ids included.",
    ),
}


class Envelope(Struct, Generic[E], frozen=True, kw_only=True):
    """What the envelope of a host showed."""

    steps: int
    statements: int
    clauses: tuple[str, ...]
    """The clauses judged; the others were not applicable to this host."""
    broken: Broken | None = None
    events: tuple[E, ...] = ()
    """The events up to the broken clause."""


@contextmanager
def _raises_nothing(clause: str, row: str) -> Generator[None]:
    """Hold a host to answering: what it raises breaks the clause, but for ``CouldNotFinish``."""
    try:
        yield
    except (ClauseBroken, CouldNotFinish):
        raise
    except Exception as error:
        raise ClauseBroken(clause, row, f"raised {type(error).__name__}: {error}") from error


def envelope(
    machine: Machine[S, E, O, C],
    host: Callable[[], Judged[S, E, O]],
    traces: Sequence[Trace[S, E, O]],
    *,
    progress: Progress = silent,
) -> Envelope[E]:
    """Take every trace on a host and judge ENV-1 to ENV-3, as far as the host allows."""
    judged = host()
    walk = _Walk(machine, judged)
    broken = None
    try:
        for number, trace in enumerate(traces, 1):
            progress(f"{number} of {len(traces)} traces")
            walk.take(trace.events)
    except ClauseBroken as found:
        broken = found.broken
    finally:
        judged.host.close()
    return Envelope(
        steps=walk.steps,
        statements=walk.statements,
        clauses=tuple(walk.clauses()),
        broken=broken,
        events=tuple(walk.taken) if broken is not None else (),
    )


class _Walk(Generic[S, E, O, C]):
    """The traces taken so far."""

    def __init__(self, machine: Machine[S, E, O, C], judged: Judged[S, E, O]) -> None:
        self.machine, self.judged = machine, judged
        self.steps = self.statements = 0
        self.taken: list[E] = []

    def clauses(self) -> Iterable[str]:
        """Yield the clauses that this host can be judged by."""
        if self.judged.traced is not None:
            yield "ENV-1"
        yield "ENV-2"
        if self.judged.crashable is not None:
            yield "ENV-3"

    def take(self, events: Sequence[E]) -> None:
        """Take one trace, each event in its envelope."""
        self.judged.host.reset()
        self.taken = []
        state = self.machine.initial
        answers: list[_Answer[E]] = []
        for number, event in enumerate(events):
            if type(event).__name__ in self.judged.lacks:
                break
            request = RequestId(f"request-{number}")
            self.taken.append(event)
            self.steps += 1
            state, outcome = self.machine.step(state, event)
            answers.append(self._first(request, event, outcome))
            self._again(answers[-1])
            if number:
                self._reused(answers[-1], answers[-2].event)
        self._reopened(answers)

    def _first(self, request: RequestId, event: E, wanted: O) -> "_Answer[E]":
        """Send an event for the first time; it answers what the machine does."""
        row = _row(event, request)
        with _raises_nothing("ENV-2", row):
            answer = canonical(self._step_traced(event, request))
        if answer != canonical(wanted):
            found = f"answered {answer.decode()}, the machine {canonical(wanted).decode()}"
            raise ClauseBroken("ENV-2", row, found)
        return _Answer(request=request, event=event, answer=answer)

    def _step_traced(self, event: E, request: RequestId) -> O:
        traced = self.judged.traced
        if traced is None:
            return self.judged.host.step(event, request)
        with traced.statements() as ran:
            outcome = self.judged.host.step(event, request)
        self.statements += len(ran)
        _one_transaction(type(event).__name__, ran)
        return outcome

    def _observed(self) -> bytes:
        observable = self.judged.observable
        return b"" if observable is None else canonical(observable.observe())

    def _again(self, first: "_Answer[E]") -> None:
        """Send an event once more: the same answer, and nothing changes."""
        row = _row(first.event, first.request)
        with _raises_nothing("ENV-2", row):
            before = self._observed()
            repeated = canonical(self.judged.host.step(first.event, first.request))
            if repeated != first.answer:
                found = f"answered {first.answer.decode()}, then {repeated.decode()}"
                raise ClauseBroken("ENV-2", row, found)
            if self._observed() != before:
                raise ClauseBroken("ENV-2", row, "the state changed when the event came again")

    def _reused(self, first: "_Answer[E]", other: E) -> None:
        """Send another event with an id that is taken: refused, and nothing changes."""
        if canonical(other) == canonical(first.event):
            return
        row = _row(other, first.request)
        with _raises_nothing("ENV-2", row):
            before = self._observed()
            outcome = self._refused(other, first.request)
            if outcome is not None:
                named = self.machine.outcome_name(outcome)
                found = f"answered {named} although the id belongs to another event"
                raise ClauseBroken("ENV-2", row, found)
            if self._observed() != before:
                raise ClauseBroken("ENV-2", row, "the state changed although the id was refused")

    def _refused(self, event: E, request: RequestId) -> O | None:
        """Return what the host answers, or None when it refuses the id."""
        try:
            return self.judged.host.step(event, request)
        except RequestReused:
            return None

    def _reopened(self, answers: Sequence["_Answer[E]"]) -> None:
        crashable = self.judged.crashable
        if crashable is None:
            return
        with _raises_nothing("ENV-3", "opening the host again"):
            before = self._observed()
            crashable.reopen()
            self._kept(before, answers, "reopened")
            crashable.crash()
            crashable.reopen()
            self._kept(before, answers, "reopened after a crash")

    def _kept(self, before: bytes, answers: Sequence["_Answer[E]"], how: str) -> None:
        """Hold the host to the state that it had and to every answer that it gave."""
        if self._observed() != before:
            raise ClauseBroken("ENV-3", "observed state", f"is another one when {how}")
        for one in answers:
            if canonical(self.judged.host.step(one.event, one.request)) != one.answer:
                raise ClauseBroken(
                    "ENV-3", f"id {one.request}", f"is answered otherwise when {how}"
                )
        if self._observed() != before:
            found = f"changed when stored answers were asked for, {how}"
            raise ClauseBroken("ENV-3", "observed state", found)


class _Answer(Struct, Generic[E], frozen=True, kw_only=True):
    """What an event with a request id was answered."""

    request: RequestId
    event: E
    answer: bytes


def _row(event: object, request: RequestId) -> str:
    return f"event {type(event).__name__}, id {request}"


def _one_transaction(event: str, ran: Sequence[str]) -> None:
    """Judge ENV-1 on the statements of one event."""
    control = [_control(sql) for sql in ran]
    row = f"event {event}"
    if not control or control[0] != "BEGIN IMMEDIATE":
        found = ran[0] if ran else "nothing"
        raise ClauseBroken("ENV-1", row, f"begins with {found!r} and not with BEGIN IMMEDIATE")
    if control[-1] != "COMMIT":
        raise ClauseBroken("ENV-1", row, f"ends with {ran[-1]!r} and not with COMMIT")
    for sql in control[1:-1]:
        if sql in ("COMMIT", "ROLLBACK") or sql.startswith("BEGIN"):
            raise ClauseBroken("ENV-1", row, f"has {sql} between BEGIN IMMEDIATE and COMMIT")


def _control(sql: str) -> str:
    """Return a statement that begins or ends a transaction in its shortest form, else its words."""
    words = [word for word in sql.upper().replace(";", " ").split() if word != "TRANSACTION"]
    return "COMMIT" if words == ["END"] else " ".join(words)
