"""Power loss: every durable state of recorded histories is recovered and judged.

Theory of operation. A history is taken once, on a session that records. Its log is cut into
segments, one for each event and one for closing. ``Disk`` replays it, and after every operation
each durable state is recovered and compared with what may be there: within an event the state
before it or the state after it, once it was answered the state after it alone. The stored answers
belong to a state. A recovered state is then asked again for the event in progress, and some are
recovered once more with a power loss on the way.
"""

import time
from collections.abc import Sequence
from random import Random
from typing import Generic, TypeVar

from msgspec import Struct

from plumbline_models.contract import Machine
from plumbline_spec.clause_table import ClauseBroken
from plumbline_spec.codec import canonical
from plumbline_spec.disk import (
    Disk,
    DurableState,
    Image,
    Operation,
    Reach,
    Sync,
    SyncFolder,
)
from plumbline_spec.host import Recovered, RequestId, Session, Setting, Storage

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")

CREATING, CLOSING = "(create)", "(close)"
"""The names of what is no event and writes all the same."""
ALL = 1_000_000
WITHIN_RECOVERY = Reach(subsets=3, drawn=2, torn=1)
"""How many durable states are derived at each moment of a recovery."""


class Stored(Struct, frozen=True):
    """What is stored: the canonical bytes of a state, and the answers that belong to it."""

    state: bytes
    answers: tuple[tuple[str, bytes], ...] = ()


class Step(Struct, Generic[E], frozen=True, kw_only=True):
    """One event of a history, as the machine takes it."""

    event: E
    request: RequestId
    outcome: bytes
    before: Stored
    after: Stored


def steps_of(machine: Machine[S, E, O, C], events: Sequence[E]) -> list[Step[E]]:
    """Return what a machine does with events that each travel with a request id."""
    state, stored = machine.initial, Stored(canonical(machine.initial))
    steps = list[Step[E]]()
    for number, event in enumerate(events):
        request = RequestId(f"request-{number:04}")
        state, outcome = machine.step(state, event)
        answers = (*stored.answers, (request, canonical(outcome)))
        after = Stored(canonical(state), answers)
        steps.append(
            Step(
                event=event,
                request=request,
                outcome=canonical(outcome),
                before=stored,
                after=after,
            )
        )
        stored = after
    return steps


class Segment(Struct, Generic[E], frozen=True, kw_only=True):
    """A stretch of a log, and what may be there if the power goes within it."""

    name: str
    operations: tuple[Operation, ...]
    allowed: tuple[Stored, ...]
    """What may be there after each operation; the last of them once the stretch is over."""
    step: Step[E] | None = None
    """The event in progress, which is asked again."""
    note: str = ""
    """What else happened, for the witness."""


class Tally:
    """What was done for one event or setting."""

    def __init__(self) -> None:
        self.operations = self.states = self.distinct = self.recoveries = self.errors = 0
        self.seconds = self.error_seconds = 0.0

    def add(self, other: "Tally") -> None:
        """Count what another one counted as well."""
        self.operations += other.operations
        self.states += other.states
        self.distinct += other.distinct
        self.recoveries += other.recoveries
        self.errors += other.errors
        self.seconds += other.seconds
        self.error_seconds += other.error_seconds


class PowerSweep(Generic[S, E, O, C]):
    """Histories of one storage in one setting."""

    def __init__(
        self,
        machine: Machine[S, E, O, C],
        storage: Storage[S, E, O],
        setting: Setting,
        reach: Reach,
        random: Random,
        *,
        recoveries: int = 0,
        closings: int = ALL,
        moments: int = ALL,
    ) -> None:
        self.machine, self.storage, self.setting = machine, storage, setting
        self.reach, self.random, self.recoveries = reach, random, recoveries
        self.closings = closings
        """How many closings are still judged."""
        self.moments = moments
        """How many moments are judged where an event is not undisturbed: of a creation, a closing,
        a recovery, and an event that met an error."""
        self.tallies: dict[str, Tally] = {}
        self._recovered: dict[bytes, Recovered[S]] = {}
        self._contents: dict[bytes, Stored] = {}
        self._settled: set[tuple[bytes, bytes, str]] = set()
        self._empty: Image | None = None

    def _disk(self, start: Image) -> Disk:
        setting = self.setting
        return Disk(
            start,
            lies=setting.lies,
            forgets=setting.survives_lost_writes,
            salt=self.random.getrandbits(32),
        )

    def empty(self) -> Image:
        """Return the files of a store that was created and closed."""
        if self._empty is None:
            session = self.storage.open(self.setting, {})
            session.close()
            self._empty = session.image()
        return self._empty

    def create(self) -> None:
        """Judge the creation of a store. Raises ``ClauseBroken``."""
        session = self.storage.open(self.setting, {})
        opened = len(session.log)
        session.close()
        initial = Stored(state=canonical(self.machine.initial))
        parts = ((CREATING, session.log[:opened]), (CLOSING, session.log[opened:]))
        self.judge(
            {},
            [
                Segment(name=name, operations=tuple(operations), allowed=(initial,))
                for name, operations in parts
            ],
        )

    def take(self, events: Sequence[E], *, last: bool = False) -> None:
        """Take a history and judge its every moment, or its last event. Raises ``ClauseBroken``."""
        start = self.empty()
        session = self.storage.open(self.setting, start)
        segments = list[Segment[E]]()
        opened, latest = 0, Stored(canonical(self.machine.initial))
        try:
            for step in steps_of(self.machine, events):
                answer = canonical(session.step(step.event, step.request))
                if answer != step.outcome:
                    row = f"event {type(step.event).__name__}, {self.setting.name}"
                    raise ClauseBroken("FLT-6", row, f"answered {answer.decode()} undisturbed")
                segments.append(
                    Segment(
                        name=type(step.event).__name__,
                        operations=tuple(session.log[opened:]),
                        allowed=(step.before, step.after),
                        step=step,
                    )
                )
                opened, latest = len(session.log), step.after
        finally:
            session.close()
        closing = Segment[E](
            name=CLOSING, operations=tuple(session.log[opened:]), allowed=(latest,)
        )
        skipped = max(0, len(segments) - 1) if last else 0
        if self.closings:
            self.closings -= 1
            segments.append(closing)
        self.judge(start, segments, skipped=skipped)

    def judge(
        self,
        start: Image,
        segments: Sequence[Segment[E]],
        *,
        skipped: int = 0,
    ) -> None:
        """Derive the durable states along a log that began with these files, and judge each.

        The first ``skipped`` segments are passed over. Raises ``ClauseBroken``.
        """
        disk = self._disk(start)
        earlier, done = list[Stored](), list[Operation]()
        for segment in segments[:skipped]:
            for operation in segment.operations:
                disk.apply(operation)
            earlier += segment.allowed[:-1]
            done += segment.operations
        for segment in segments[skipped:]:
            tally = self.tallies.setdefault(segment.name, Tally())
            began = time.perf_counter()
            try:
                self._judge_segment(disk, segment, earlier, tally)
                self._judge_kills(start, done, segment, tally)
            finally:
                tally.seconds += time.perf_counter() - began
            earlier += segment.allowed[:-1]
            done += segment.operations

    def _judge_segment(
        self, disk: Disk, segment: Segment[E], earlier: Sequence[Stored], tally: Tally
    ) -> None:
        again = 0 if segment.note else self.recoveries
        sampled = segment.step is None or segment.note
        judged = self._moments(len(segment.operations)) if sampled else None
        for number, operation in enumerate(segment.operations, 1):
            disk.apply(operation)
            tally.operations += 1
            if judged is not None and number not in judged:
                continue
            where = f"operation {number} of {len(segment.operations)} ({_brief(operation)})"
            new = judged is None and number > 1
            for state in disk.durable_states(self.reach, self.random, new=new):
                recovered = self._judge_state(
                    state, segment, segment.allowed, where, earlier, tally
                )
                if again and recovered is not None and len(state.arrival.kept) != number:
                    again -= 1
                    self._judge_recovery(state.image(), recovered, segment.name, where, tally)
        for state in disk.durable_states(self.reach, self.random):
            self._judge_state(
                state, segment, segment.allowed[-1:], "after the answer", earlier, tally
            )

    def _moments(self, operations: int) -> frozenset[int]:
        """Return the numbers of the operations after which the power goes."""
        if operations <= self.moments:
            return frozenset(range(1, operations + 1))
        return frozenset(self.random.sample(range(1, operations + 1), self.moments))

    def _judge_state(
        self,
        state: DurableState,
        segment: Segment[E],
        allowed: Sequence[Stored],
        where: str,
        earlier: Sequence[Stored],
        tally: Tally,
    ) -> Recovered[S] | None:
        """Judge one durable state; return what was recovered when it was not met before."""
        tally.states += 1
        recovered = self._recovered.get(state.digest)
        fresh = recovered is None
        if recovered is None:
            tally.distinct += 1
            recovered = self.storage.recover(self.setting, state.image())
            self._recovered[state.digest] = recovered
        stored = self._stored(recovered)
        if stored is None or stored not in allowed:
            row = self._row(state, segment, where)
            if stored is None:
                raise ClauseBroken("FLT-3", row, recovered.broken)
            lost = stored in earlier or stored in segment.allowed
            found = _told(stored, allowed, segment.allowed)
            raise ClauseBroken("FLT-2" if lost else "FLT-1", row, found)
        self._ask_again(state, recovered, segment, where)
        return recovered if fresh else None

    def _row(self, state: DurableState, segment: Segment[E], where: str) -> str:
        return (
            f"{segment.name} in {self.setting.name}{segment.note}, power lost at {where},"
            f" {state.arrival}"
        )

    def _stored(self, recovered: Recovered[S]) -> Stored | None:
        """Return what was recovered, or None when it is broken."""
        if recovered.broken:
            return None
        stored = self._contents.get(recovered.key)
        if stored is None:
            stored = Stored(canonical(recovered.state), recovered.answers)
            self._contents[recovered.key] = stored
        return stored

    def _ask_again(
        self, state: DurableState, recovered: Recovered[S], segment: Segment[E], where: str
    ) -> None:
        """Send the event in progress again to what was recovered, once for each content."""
        step = segment.step
        if step is None:
            return
        asked = (recovered.key, step.after.state, step.request)
        if asked in self._settled:
            return
        self._settled.add(asked)
        self._asked(self._again(state.image(), step)[1], step, self._row(state, segment, where))

    def _again(
        self, image: Image, step: Step[E]
    ) -> tuple[Session[S, E, O], tuple[bytes, bytes] | str, int]:
        """Open an image, send an event, observe, and close.

        Returns the session, the answer and the state or what was raised, and how long the log was.
        """
        session = self.storage.open(self.setting, image)
        told: tuple[bytes, bytes] | str
        try:
            told = canonical(session.step(step.event, step.request)), canonical(session.observe())
        except Exception as error:  # noqa: BLE001 - a host's failure, to be reported
            told = f"{type(error).__name__}: {error}"
        asked = len(session.log)
        session.close()
        return session, told, asked

    def _asked(self, told: tuple[bytes, bytes] | str, step: Step[E], row: str) -> None:
        """Hold the answer to an event that is sent again to the machine's."""
        if isinstance(told, str):
            raise ClauseBroken("FLT-6", row, f"asked again it raised {told}")
        answer, after = told
        if answer != step.outcome:
            found = f"asked again it answered {answer.decode()}, not {step.outcome.decode()}"
            raise ClauseBroken("FLT-6", row, found)
        if after != step.after.state:
            raise ClauseBroken("FLT-6", row, "asked again it led to another state")

    def _judge_recovery(
        self, image: Image, recovered: Recovered[S], name: str, where: str, tally: Tally
    ) -> None:
        """Lose power at every moment of a recovery as well: what is recovered stays the same."""
        session = self.storage.open(self.setting, image)
        session.close()
        disk = self._disk(image)
        judged = self._moments(len(session.log))
        for number, operation in enumerate(session.log, 1):
            disk.apply(operation)
            if number not in judged:
                continue
            for state in disk.durable_states(WITHIN_RECOVERY, self.random):
                tally.recoveries += 1
                found = self._recovered.get(state.digest)
                if found is None:
                    tally.distinct += 1
                    found = self.storage.recover(self.setting, state.image())
                    self._recovered[state.digest] = found
                if (found.broken, found.state, found.answers) != (
                    recovered.broken,
                    recovered.state,
                    recovered.answers,
                ):
                    row = (
                        f"{name} in {self.setting.name}, power lost at {where} and again at"
                        f" operation {number} of the recovery ({_brief(operation)})"
                    )
                    raise ClauseBroken("FLT-4", row, found.broken or "another state was recovered")

    def _judge_kills(
        self, start: Image, done: Sequence[Operation], segment: Segment[E], tally: Tally
    ) -> None:
        """Kill the process within an event, ask again in another one, and lose power then.

        What the first process wrote and did not sync is there for the second one to see.
        """
        step = segment.step
        if step is None or segment.note or self.setting.lies:
            return
        # Just before a sync most is written that is not durable.
        unsynced = {
            number
            for number, operation in enumerate(segment.operations)
            if number and isinstance(operation, Sync | SyncFolder)
        }
        for number in sorted(unsynced | self._moments(len(segment.operations))):
            disk = self._disk(start)
            for operation in (*done, *segment.operations[:number]):
                disk.apply(operation)
            session, told, asked = self._again(disk.now(), step)
            where = (
                f"operation {number} of {len(segment.operations)}, where the process was killed,"
                " and the event asked again"
            )
            self._asked(told, step, f"{segment.name} in {self.setting.name}, {where}")
            for operation in session.log[:asked]:
                disk.apply(operation)
            for state in disk.durable_states(self.reach, self.random):
                self._judge_state(state, segment, segment.allowed[-1:], where, (), tally)


def _brief(operation: Operation) -> str:
    fields = [
        f"{len(value)} bytes" if isinstance(value, bytes) else str(value)
        for value in (getattr(operation, name) for name in operation.__struct_fields__)
    ]
    return " ".join([type(operation).__name__, *fields])


def _told(stored: Stored, allowed: Sequence[Stored], both: Sequence[Stored]) -> str:
    """Say what was recovered in place of what may be there."""
    for name, one in (("before", both[0]), ("after", both[-1])):
        if stored == one:
            return f"the state {name} the event was recovered, and it was answered"
    if any(stored.state == one.state for one in allowed):
        return "a state was recovered without the answers that belong to it, or with others"
    return "a state was recovered that is neither the one before nor the one after"
