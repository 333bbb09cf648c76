"""A trial: one trace taken on a machine, and on a host beside it, everything compared after each step.

Lockstep, replay, shrinking and the walk over savepoints all judge a step by ``Trial.take``, so that a failure has one
meaning and one identity everywhere. The identity (what is broken, not where) is what shrinking keeps.
"""

from collections.abc import Iterable
from typing import Generic, Literal, TypeVar

from msgspec import Struct

from plumbline_models.contract import Machine
from plumbline_spec.clause_table import ClauseTable
from plumbline_spec.codec import canonical, plain
from plumbline_spec.coverage import Coverage
from plumbline_spec.host import Judged

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")

MAX_SHOWN = 120


class Difference(Struct, frozen=True, kw_only=True):
    """One place at which machine and host differ."""

    path: str
    machine: str
    host: str


class Failure(Struct, frozen=True, kw_only=True):
    """Why a step failed. ``kind`` and ``name`` are its identity; the rest tells a reader where to look."""

    kind: Literal["clause", "outcome", "state", "raised"]
    name: str
    """The clause, the event and both outcomes, the field of the state, or the exception."""
    detail: str
    differences: tuple[Difference, ...] = ()

    @property
    def identity(self) -> tuple[str, str]:
        """What stays the same while a trace is shrunk."""
        return self.kind, self.name

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.detail}"


class Trial(Generic[S, E, O, C]):
    """A machine, a host or none, and the state that both are in."""

    def __init__(
        self,
        machine: Machine[S, E, O, C],
        judged: Judged[S, E, O] | None = None,
        *,
        without: frozenset[str] = frozenset(),
        coverage: Coverage[S, E, O, C] | None = None,
    ) -> None:
        self.machine = machine
        self.judged = judged
        self.coverage = coverage
        self.table: ClauseTable[S, E, O] = ClauseTable(machine.clauses, without=without)
        self.state = machine.initial
        self.outcome: O | None = None
        self._wanted: tuple[S, bytes] | None = None

    def begin(self) -> Failure | None:
        """Bring machine and host to the initial state and judge it."""
        self.state = self.machine.initial
        if self.judged is not None:
            self.judged.host.reset()
        return self._judge_state() or self._compare_states()

    def take(self, event: E) -> Failure | None:
        """Take one event on both sides; return the first failure, or None."""
        before = self.state
        self.state, outcome = self.machine.step(before, event)
        self.outcome = outcome
        if self.coverage is not None:
            self.coverage.step(before, event, outcome, self.state)
        broken = self.table.broken_by_step(before, event, outcome, self.state)
        if broken:
            return Failure(kind="clause", name=broken[0].clause, detail=str(broken[0].witness))
        failure = None if self.state is before else self._judge_state()
        return failure or self._take_on_host(event, outcome)

    def _judge_state(self) -> Failure | None:
        for broken in self.table.broken_by_state(self.state):
            return Failure(kind="clause", name=broken.clause, detail=str(broken.witness))
        return None

    def _take_on_host(self, event: E, outcome: O) -> Failure | None:
        judged = self.judged
        if judged is None or type(event).__name__ in judged.lacks:
            return None
        try:
            answered = judged.host.step(event)
        except Exception as error:  # noqa: BLE001 - whatever a host raises is its failure, and is shrunk
            name = f"{type(event).__name__}: {type(error).__name__}"
            return Failure(kind="raised", name=name, detail=str(error)[:MAX_SHOWN])
        if canonical(answered) != canonical(outcome):
            return self._outcomes_differ(event, outcome, answered)
        return self._compare_states()

    def _outcomes_differ(self, event: E, outcome: O, answered: O) -> Failure:
        named = self.machine.outcome_name
        wanted, got = named(outcome), named(answered)
        differences = tuple(differ(plain(outcome), plain(answered), "outcome"))
        return Failure(
            kind="outcome",
            name=f"{type(event).__name__}: {wanted}, host {got}",
            detail=f"the machine answers {wanted} and the host {got}",
            differences=differences,
        )

    def _compare_states(self) -> Failure | None:
        judged = self.judged
        if judged is None or judged.observable is None:
            return None
        wanted, got = self.state, judged.observable.observe()
        if judged.view is not None:
            wanted, got = judged.view(wanted), judged.view(got)
        if self._wanted is None or self._wanted[0] is not self.state:
            self._wanted = (self.state, canonical(wanted))
        if self._wanted[1] == canonical(got):
            return None
        differences = tuple(differ(plain(wanted), plain(got), "state"))
        return Failure(
            kind="state",
            name=_field(differences[0].path),
            detail=f"{differences[0].path}: {differences[0].machine}, host {differences[0].host}",
            differences=differences,
        )


def judge(trial: Trial[S, E, O, C], events: Iterable[E]) -> tuple[tuple[E, ...], Failure] | None:
    """Take events until one fails; return the events up to it and the failure, or None."""
    failure = trial.begin()
    if failure is not None:
        return (), failure
    taken: list[E] = []
    for event in events:
        taken.append(event)
        failure = trial.take(event)
        if failure is not None:
            return tuple(taken), failure
    return None


def differ(wanted: object, got: object, path: str) -> list[Difference]:
    """Return every place at which two plain values differ, outermost and first place first."""
    if isinstance(wanted, dict) and isinstance(got, dict):
        keys: list[object] = [*wanted, *(key for key in got if key not in wanted)]
        pairs = [(f"{path}.{key}", wanted.get(key, _ABSENT), got.get(key, _ABSENT)) for key in keys]
    elif isinstance(wanted, list) and isinstance(got, list):
        width = max(len(wanted), len(got))
        pairs = [(f"{path}[{at}]", _at(wanted, at), _at(got, at)) for at in range(width)]
    elif wanted == got and type(wanted) is type(got):
        return []
    else:
        return [Difference(path=path, machine=_shown(wanted), host=_shown(got))]
    return [one for place, left, right in pairs for one in differ(left, right, place)]


class _Absent:
    """Stands for a place that one side does not have."""


_ABSENT = _Absent()


def _at(values: list[object], index: int) -> object:
    return values[index] if index < len(values) else _ABSENT


def _shown(value: object) -> str:
    if isinstance(value, _Absent):
        return "(nothing)"
    text = canonical(value).decode()
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


def _field(path: str) -> str:
    """Return a path without its indices: the identity of a difference."""
    return "".join(part.partition("]")[2] if "]" in part else part for part in path.split("["))
