"""The envelope: one transaction an event, answers kept by request id, nothing lost by reopening (``spec/README.md``).

Each trace is taken on a host with a request id for every event. ENV-1 is judged on the statements that the host ran,
ENV-2 by sending each event twice and its id with another event, ENV-3 by opening the host again, after a crash as well.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from msgspec import Struct

from plumbline_models.contract import Machine, Witness
from plumbline_spec.clause_table import Broken, Progress, silent
from plumbline_spec.codec import canonical
from plumbline_spec.errors import RequestReused
from plumbline_spec.host import Judged, RequestId
from plumbline_spec.traces import Trace

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")

CLAUSES = {
    "ENV-1": (
        "one transaction",
        "An event that writes MUST run in one transaction: one BEGIN IMMEDIATE before its first statement,"
        " one COMMIT after its last, and nothing outside.",
    ),
    "ENV-2": (
        "request",
        "An event with a request id MUST store its outcome in its own transaction, and the same id with the"
        " same event MUST answer the same bytes and change nothing.",
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


class _Breaks(Exception):
    """A clause is broken; carries it out of the walk."""

    def __init__(self, clause: str, row: str, found: str) -> None:
        super().__init__(clause)
        self.broken = Broken(clause=clause, witness=Witness(row=row, found=found))


def envelope(
    machine: Machine[S, E, O, C],
    host: Callable[[], Judged[S, E, O]],
    traces: Sequence[Trace[S, E, O]],
    *,
    progress: Progress = silent,
) -> Envelope[E]:
    """Take every trace on a host and judge ENV-1 to ENV-3, as far as the host's capabilities allow."""
    judged = host()
    walk = _Walk(machine, judged)
    broken = None
    try:
        for number, trace in enumerate(traces, 1):
            progress(f"{number} of {len(traces)} traces")
            walk.take(trace.events)
    except _Breaks as found:
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
        host = self.judged.host
        host.reset()
        self.taken = []
        answers: list[tuple[RequestId, E, bytes]] = []
        for number, event in enumerate(events):
            if type(event).__name__ in self.judged.lacks:
                return
            request = RequestId(f"request-{number}")
            self.taken.append(event)
            self.steps += 1
            answers.append((request, event, self._first(event, request)))
            self._again(*answers[-1])
            if number:
                self._reused(answers[-1][0], answers[-2][1], event)
        self._reopened(answers)

    def _first(self, event: E, request: RequestId) -> bytes:
        traced = self.judged.traced
        if traced is None:
            return canonical(self.judged.host.step(event, request))
        with traced.statements() as ran:
            outcome = self.judged.host.step(event, request)
        self.statements += len(ran)
        _one_transaction(type(event).__name__, ran)
        return canonical(outcome)

    def _observed(self) -> bytes:
        observable = self.judged.observable
        return b"" if observable is None else canonical(observable.observe())

    def _again(self, request: RequestId, event: E, answer: bytes) -> None:
        before = self._observed()
        repeated = canonical(self.judged.host.step(event, request))
        row = f"event {type(event).__name__}, id {request}"
        if repeated != answer:
            raise _Breaks("ENV-2", row, f"answered {answer.decode()}, then {repeated.decode()}")
        if self._observed() != before:
            raise _Breaks("ENV-2", row, "the state changed when the event came again")

    def _reused(self, request: RequestId, other: E, event: E) -> None:
        if canonical(other) == canonical(event):
            return
        before = self._observed()
        row = f"event {type(other).__name__}, id {request}"
        try:
            outcome = self.judged.host.step(other, request)
        except RequestReused:
            if self._observed() != before:
                raise _Breaks(
                    "ENV-2", row, "the state changed although the id was refused"
                ) from None
        else:
            named = self.machine.outcome_name(outcome)
            raise _Breaks(
                "ENV-2", row, f"answered {named} although the id belongs to another event"
            )

    def _reopened(self, answers: Sequence[tuple[RequestId, E, bytes]]) -> None:
        crashable = self.judged.crashable
        if crashable is None:
            return
        before = self._observed()
        for how in ("reopened", "reopened after a crash"):
            if how != "reopened":
                crashable.crash()
            crashable.reopen()
            if self._observed() != before:
                raise _Breaks("ENV-3", "observed state", f"is another one when {how}")
            for request, event, answer in answers:
                if canonical(self.judged.host.step(event, request)) != answer:
                    raise _Breaks("ENV-3", f"id {request}", f"is answered otherwise when {how}")
        if self._observed() != before:
            raise _Breaks("ENV-3", "observed state", "changed when stored answers were asked for")


def _one_transaction(event: str, ran: Sequence[str]) -> None:
    """Judge ENV-1 on the statements of one event."""
    control = [sql.strip().rstrip(";").upper() for sql in ran]
    row = f"event {event}"
    if not control or control[0] != "BEGIN IMMEDIATE":
        found = ran[0] if ran else "nothing"
        raise _Breaks("ENV-1", row, f"begins with {found!r} and not with BEGIN IMMEDIATE")
    if control[-1] != "COMMIT":
        raise _Breaks("ENV-1", row, f"ends with {ran[-1]!r} and not with COMMIT")
    words = [sql.split(None, 1)[0] for sql in control[1:-1]]
    for word in ("BEGIN", "COMMIT", "END", "ROLLBACK"):
        if word in words:
            raise _Breaks("ENV-1", row, f"has {word} between BEGIN IMMEDIATE and COMMIT")
