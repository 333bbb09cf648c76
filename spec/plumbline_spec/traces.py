"""Traces: a history as JSON Lines, to be kept, sent, validated and replayed.

A file holds one trace or several. Each begins with a header line (which machine, under which rules,
what for) and goes on with a line a step: the event, the outcome that the machine gave, the digest
of the state after it, and the state itself when it was asked for. ``validate`` shares no code with
``explore`` or with ``Trial``: it is a second reading of what a clause and a step mean.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Generic, Literal, TypeVar

import msgspec
from msgspec import Struct

from plumbline_models.contract import Machine, StateClause, StepClause
from plumbline_spec.atomic import write_atomically
from plumbline_spec.codec import canonical, digest, plain
from plumbline_spec.errors import CouldNotFinish, UnusableInput
from plumbline_spec.host import Fault, Judged, Threat
from plumbline_spec.strict import JsonValue, UnreadableJson
from plumbline_spec.strict import read as read_strictly

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")

FORMAT = 1
MAX_LINE_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 64


class Concurrent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What several clients did at once after the first events of a trace (``spec/faults.md``)."""

    mode: str
    """How the store kept them apart: a journal mode."""
    clients: tuple[tuple[str, ...], ...]
    """What each asked: ``(open)``, ``(observe)``, or the request id of the trace's next event."""
    schedule: tuple[int, ...]
    """Whose turn it was: a client's number, or ``~number`` when it gave up waiting."""
    new: bool = False
    """Whether no client had opened the store before."""


class Environment(
    Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """What was done to the environment of a trace's last event, or with ``threat`` of each."""

    setting: str
    """How what is stored was kept; "" for a file outside the database."""
    fault: Fault | None = None
    """The error that struck; None for a power loss."""
    threat: Threat | None = None
    """What happened to every event of a history that was drawn; None for one that was not."""


class Header(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The first line of a trace."""

    plumbline: Literal["trace", "vector", "variant", "regression"]
    format: int = 1
    """The version of this file format; it is written always, and the first one when absent."""
    machine: str
    rules: str
    name: str = ""
    """What the trace is called: a vector's number, a variant's name."""
    about: str = ""
    """What it shows, in a sentence."""
    scope: str = ""
    """The scope or the seed that it was found with."""
    versions: dict[str, str] = {}
    clauses: tuple[str, ...] = ()
    """The clauses that it exercises or breaks."""
    pairs: tuple[tuple[str, str], ...] = ()
    """The events and outcomes that it reaches."""
    variants: tuple[str, ...] = ()
    """The variants that it tells from the specification."""
    environment: Environment | None = None
    """The environment of the last event failed; None: nothing failed."""
    concurrent: Concurrent | None = None
    """The last events were sent by clients at once, under this schedule; None: one by one."""


class Step(Struct, Generic[S, E, O], frozen=True, kw_only=True):
    """One step of a trace."""

    event: E
    outcome: O
    digest: str
    """Of the state after the step."""
    state: S | None = None


class Trace(Struct, Generic[S, E, O], frozen=True, kw_only=True):
    """A header and its steps."""

    header: Header
    steps: tuple[Step[S, E, O], ...]

    @property
    def events(self) -> tuple[E, ...]:
        """The events alone."""
        return tuple(step.event for step in self.steps)


class _Line(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A step as it stands in a file; its parts are read by the machine's decoders."""

    event: msgspec.Raw
    outcome: msgspec.Raw
    digest: str
    state: msgspec.Raw = msgspec.Raw(b"")


class _Format(Struct, frozen=True, kw_only=True):
    """What of a header stays readable in every format."""

    format: int = 1


_formats = msgspec.json.Decoder(_Format)
_headers = msgspec.json.Decoder(Header)
_lines = msgspec.json.Decoder(_Line)


def record(
    machine: Machine[S, E, O, C], events: Iterable[E], header: Header, *, states: bool = False
) -> Trace[S, E, O]:
    """Take events on a machine and keep what it answered."""
    state, steps = machine.initial, list[Step[S, E, O]]()
    for event in events:
        state, outcome = machine.step(state, event)
        kept = state if states else None
        steps.append(Step(event=event, outcome=outcome, digest=digest(state), state=kept))
    return Trace(header=header, steps=tuple(steps))


def encode(trace: Trace[S, E, O]) -> bytes:
    """Return a trace as JSON Lines."""
    lines = [canonical({**_plain_header(trace.header), "format": trace.header.format})]
    for step in trace.steps:
        fields: dict[str, object] = {
            "event": step.event,
            "outcome": step.outcome,
            "digest": step.digest,
        }
        if step.state is not None:
            fields["state"] = step.state
        lines.append(canonical(fields))
    return b"".join(line + b"\n" for line in lines)


def _plain_header(header: Header) -> dict[str, JsonValue]:
    fields = plain(header)
    assert isinstance(fields, dict)
    return fields


def write(path: Path, traces: Iterable[Trace[S, E, O]]) -> None:
    """Write traces to one file, whole or not at all. Raises ``OSError``."""
    write_atomically(path, b"".join(encode(trace) for trace in traces))


def headers(path: Path) -> list[Header]:
    """Read the headers of a file alone: which machine it is for. Raises ``UnusableInput``."""
    return [_decode_header(path, number, line) for number, line in _split(path) if _is_header(line)]


def read(path: Path, machine_of: Callable[[Header], Machine[S, E, O, C]]) -> list[Trace[S, E, O]]:
    """Read the traces of a file; ``machine_of`` returns the machine that a header names.

    Raises ``UnusableInput`` with the line that is no part of a trace of this machine, and why.
    """
    found: list[tuple[Header, Machine[S, E, O, C], list[Step[S, E, O]]]] = []
    for number, line in _split(path):
        if _is_header(line):
            header = _decode_header(path, number, line)
            found.append((header, _machine_of(path, number, header, machine_of), []))
        elif not found:
            raise _unusable(path, number, "a step stands before the first header")
        else:
            _, machine, steps = found[-1]
            steps.append(_decode_step(path, number, line, machine))
    return [Trace(header=header, steps=tuple(steps)) for header, _, steps in found]


def _machine_of(
    path: Path,
    number: int,
    header: Header,
    machine_of: Callable[[Header], Machine[S, E, O, C]],
) -> Machine[S, E, O, C]:
    try:
        machine = machine_of(header)
    except UnusableInput as error:
        raise _unusable(path, number, str(error)) from error
    if machine.name != header.machine:
        what = f"a trace of the machine {header.machine!r} and not of {machine.name}"
        raise _unusable(path, number, what)
    return machine


def _split(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnusableInput(f"{path} cannot be read: {error.strerror}") from error
    numbered = [
        (number, line) for number, line in enumerate(content.split(b"\n"), 1) if line.strip()
    ]
    if not numbered:
        raise UnusableInput(f"{path} holds no trace: it is empty")
    for number, line in numbered:
        try:
            read_strictly(line, max_bytes=MAX_LINE_BYTES, max_depth=MAX_DEPTH)
        except UnreadableJson as error:
            raise _unusable(path, number, str(error)) from error
    yield from numbered


def _is_header(line: bytes) -> bool:
    try:
        return "plumbline" in msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        return False


def _decode_header(path: Path, number: int, line: bytes) -> Header:
    try:
        version = _formats.decode(line).format
        if version != FORMAT:
            what = f"format {version} is not the format {FORMAT} that this Plumbline reads"
            raise _unusable(path, number, what)
        return _headers.decode(line)
    except msgspec.DecodeError as error:
        raise _unusable(path, number, str(error)) from error


def _decode_step(
    path: Path, number: int, line: bytes, machine: Machine[S, E, O, C]
) -> Step[S, E, O]:
    try:
        fields = _lines.decode(line)
        return Step(
            event=machine.decode(bytes(fields.event)),
            outcome=machine.decode_outcome(bytes(fields.outcome)),
            digest=fields.digest,
            state=machine.decode_state(bytes(fields.state)) if bytes(fields.state) else None,
        )
    except msgspec.DecodeError as error:
        raise _unusable(path, number, str(error)) from error


def _unusable(path: Path, number: int, what: str) -> UnusableInput:
    return UnusableInput(f"{path}, line {number}: {what}")


class Mismatch(Struct, frozen=True, kw_only=True):
    """One thing that a trace says and that is not so."""

    step: int
    """Counted from 1; 0 for the initial state."""
    what: str
    recorded: str
    found: str


def validate(machine: Machine[S, E, O, C], trace: Trace[S, E, O]) -> list[Mismatch]:
    """Take a trace on a machine; return what it records wrongly and which clauses it breaks."""
    found = list[Mismatch](_broken_states(machine, machine.initial, 0))
    before = machine.initial
    for number, step in enumerate(trace.steps, 1):
        after, outcome = machine.step(before, step.event)
        found += _compare(number, "outcome", step.outcome, outcome)
        if digest(after) != step.digest:
            found.append(
                Mismatch(step=number, what="digest", recorded=step.digest, found=digest(after))
            )
        if step.state is not None:
            found += _compare(number, "state", step.state, after)
        found += _broken_steps(machine, number, before, step.event, outcome, after)
        found += _broken_states(machine, after, number)
        before = after
    return found


def _compare(number: int, what: str, recorded: object, found: object) -> list[Mismatch]:
    was, now = canonical(recorded), canonical(found)
    if was == now:
        return []
    return [Mismatch(step=number, what=what, recorded=was.decode(), found=now.decode())]


def _broken_states(machine: Machine[S, E, O, C], state: S, number: int) -> Iterator[Mismatch]:
    for clause in machine.clauses:
        if isinstance(clause, StateClause):
            witness = clause.breaks(state)
            if witness is not None:
                yield Mismatch(step=number, what=clause.id, recorded="holds", found=str(witness))


def _broken_steps(
    machine: Machine[S, E, O, C], number: int, before: S, event: E, outcome: O, after: S
) -> Iterator[Mismatch]:
    for clause in machine.clauses:
        if not isinstance(clause, StepClause):
            continue
        concerns = (not clause.events or isinstance(event, clause.events)) and (
            not clause.outcomes or isinstance(outcome, clause.outcomes)
        )
        witness = clause.breaks(before, event, outcome, after) if concerns else None
        if witness is not None:
            yield Mismatch(step=number, what=clause.id, recorded="holds", found=str(witness))


def replay(
    machine: Machine[S, E, O, C], judged: Judged[S, E, O], trace: Trace[S, E, O]
) -> list[Mismatch]:
    """Take a trace on a host; return where it first answers or observes otherwise.

    At its end the host's parts are held to the machine's as well. A host cannot follow a trace
    beyond an event that it lacks: nothing is judged from there on.
    """
    state = machine.initial
    found = _on_host(0, "host reset", None, judged.host.reset) or _observed(judged, 0, state)
    for number, step in enumerate(trace.steps, 1):
        if found or type(step.event).__name__ in judged.lacks:
            break
        state, outcome = machine.step(state, step.event)
        answer = partial(judged.host.step, step.event)
        found = _on_host(number, "host outcome", outcome, answer)
        found += _observed(judged, number, state)
    return found or _parted(machine, judged, len(trace.steps), state)


def _observed(judged: Judged[S, E, O], number: int, state: S) -> list[Mismatch]:
    observable = judged.observable
    if observable is None:
        return []
    view = judged.view
    if view is None:
        return _on_host(number, "host state", state, observable.observe)
    return _on_host(number, "host state", view(state), lambda: view(observable.observe()))


def _parted(
    machine: Machine[S, E, O, C], judged: Judged[S, E, O], number: int, state: S
) -> list[Mismatch]:
    """Compare the parts of what a host holds with those of the machine's state."""
    observable, split = judged.observable, machine.partition
    if observable is None or split is None:
        return []
    view = judged.view

    def seen(parts: Iterable[tuple[str, S]]) -> list[tuple[str, S]]:
        shown = parts if view is None else ((key, view(part)) for key, part in parts)
        return sorted(shown, key=lambda one: one[0])

    wanted = seen(split(state).items())
    return _on_host(number, "host parts", wanted, lambda: seen(observable.parts()))


def _on_host(number: int, what: str, wanted: object, ask: Callable[[], object]) -> list[Mismatch]:
    """Compare what a host gives with what is wanted; whatever it raises is a mismatch as well."""
    try:
        return _compare(number, what, wanted, ask())
    except CouldNotFinish:
        raise
    except Exception as error:  # noqa: BLE001 - a host's failure, to be reported
        raised = f"raised {type(error).__name__}: {error}"
        recorded = canonical(wanted).decode()
        return [Mismatch(step=number, what=what, recorded=recorded, found=raised)]
