"""A trial: one trace on a machine, and on a host beside it, all compared after each step.

Lockstep, shrinking and the walk over savepoints all judge a step by ``Trial.take``, so that a
failure has one meaning and one identity everywhere. The identity (what is broken, not where) is
what shrinking keeps.
"""

from collections.abc import Iterable
from typing import Generic, Literal, TypeVar

from msgspec import Struct

from plumbline_models.contract import Machine
from plumbline_spec.clause_table import ClauseBroken, ClauseTable
from plumbline_spec.codec import canonical, plain
from plumbline_spec.coverage import Coverage
from plumbline_spec.errors import CouldNotFinish
from plumbline_spec.host import Judged
from plumbline_spec.strict import JsonValue

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
    """Why a step failed: ``kind`` and ``name`` are its identity, the rest tells where to look."""

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
    """A machine, a host or none, and the state that both are in.

    A host cannot follow a trace beyond an event that it lacks; from there on only the machine is
    judged. Whatever a host raises is its failure, but for ``CouldNotFinish``, which is raised.
    """

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
        self._follows = judged is not None
        self._wanted: tuple[S, bytes] | None = None

    def begin(self) -> Failure | None:
        """Bring machine and host to the initial state and judge it."""
        self.state = self.machine.initial
        self._follows = self.judged is not None
        if self.judged is not None:
            try:
                self.judged.host.reset()
            except CouldNotFinish:
                raise
            except Exception as error:  # noqa: BLE001 - a host's failure, to be reported
                return _raised("reset", error)
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
        if judged is None or not self._follows:
            return None
        if type(event).__name__ in judged.lacks:
            self._follows = False
            return None
        try:
            answered = judged.host.step(event)
            said = canonical(answered)
        except CouldNotFinish:
            raise
        except ClauseBroken as breach:
            broken = breach.broken
            return Failure(kind="clause", name=broken.clause, detail=str(broken.witness))
        except Exception as error:  # noqa: BLE001 - a host's failure, to be reported and shrunk
            return _raised(type(event).__name__, error)
        if said != canonical(outcome):
            return self._outcomes_differ(event, outcome, answered)
        return self._compare_states()

    def _outcomes_differ(self, event: E, outcome: O, answered: O) -> Failure:
        named = self.machine.outcome_name
        wanted, got = named(outcome), named(answered)
        differences = tuple(differ(plain(outcome), plain(answered), "outcome"))
        return Failure(
            kind="outcome",
            name=f"{type(event).__name__}: {wanted}, host {got}",
            detail=_told(wanted, got, differences),
            differences=differences,
        )

    def _compare_states(self) -> Failure | None:
        judged = self.judged
        if judged is None or judged.observable is None:
            return None
        view = _all if judged.view is None else judged.view
        try:
            got = view(judged.observable.observe())
            seen = canonical(got)
        except CouldNotFinish:
            raise
        except Exception as error:  # noqa: BLE001 - a host's failure, to be reported and shrunk
            return _raised("observe", error)
        if self._wanted is None or self._wanted[0] is not self.state:
            self._wanted = (self.state, canonical(view(self.state)))
        return None if seen == self._wanted[1] else self._states_differ(view(self.state), got)

    def _states_differ(self, wanted: S, got: S) -> Failure:
        differences = tuple(differ(plain(wanted), plain(got), "state"))
        return Failure(
            kind="state",
            name=field_of(differences[0].path),
            detail=f"{differences[0].path}: {differences[0].machine}, host {differences[0].host}",
            differences=differences,
        )


def _told(wanted: str, got: str, differences: tuple[Difference, ...]) -> str:
    """Say how two outcomes differ: by name, or in their first field that does."""
    if wanted != got or not differences:
        return f"the machine answers {wanted} and the host {got}"
    first = differences[0]
    return f"{wanted}: {first.path} is {first.machine}, host {first.host}"


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


def _all(state: S) -> S:
    return state


def _raised(where: str, error: Exception) -> Failure:
    name = f"{where}: {type(error).__name__}"
    return Failure(kind="raised", name=name, detail=str(error)[:MAX_SHOWN])


class _Absent:
    """Stands for a place that one side does not have."""


_ABSENT = _Absent()


def differ(wanted: JsonValue | _Absent, got: JsonValue | _Absent, path: str) -> list[Difference]:
    """Return every place at which two plain values differ, outermost and first place first."""
    if isinstance(wanted, dict) and isinstance(got, dict):
        keys = [*wanted, *(key for key in got if key not in wanted)]
        pairs = [(f"{path}.{key}", wanted.get(key, _ABSENT), got.get(key, _ABSENT)) for key in keys]
    elif isinstance(wanted, list) and isinstance(got, list):
        width = max(len(wanted), len(got))
        pairs = [(f"{path}[{at}]", _at(wanted, at), _at(got, at)) for at in range(width)]
    else:
        left, right = _text(wanted), _text(got)
        differs = left != right
        return [Difference(path=path, machine=_shown(left), host=_shown(right))] * differs
    return [one for place, left, right in pairs for one in differ(left, right, place)]


def _at(values: list[JsonValue], index: int) -> JsonValue | _Absent:
    return values[index] if index < len(values) else _ABSENT


def _text(value: JsonValue | _Absent) -> str:
    return "(nothing)" if isinstance(value, _Absent) else canonical(value).decode()


def _shown(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


def field_of(path: str) -> str:
    """Return a path without its indices: the identity of a difference."""
    return "".join(part.partition("]")[2] if "]" in part else part for part in path.split("["))
