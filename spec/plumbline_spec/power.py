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
    Unlink,
    Write,
    brief,
)
from plumbline_spec.host import Recovered, RequestId, Session, Setting, Storage

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")

CREATING, OPENING, CLOSING = "(create)", "(open)", "(close)"
"""The names of what is no event and writes all the same."""
ALL = 1_000_000
TRIED = 8
"""How many recoveries are looked at for each that is judged."""
WITHIN_RECOVERY = Reach(subsets=3, drawn=2, torn=1)
"""How many durable states are derived at each moment of a recovery."""


class Stored(Struct, frozen=True):
    """What is stored: the canonical bytes of a state, and the answers that belong to it."""

    state: bytes
    answers: tuple[tuple[str, bytes], ...] = ()


class ModelStep(Struct, Generic[E], frozen=True, kw_only=True):
    """One event of a history, as the machine takes it."""

    event: E
    request: RequestId
    outcome: bytes
    before: Stored
    after: Stored


def model_steps(machine: Machine[S, E, O, C], events: Sequence[E]) -> list[ModelStep[E]]:
    """Return what a machine does with events that each travel with a request id."""
    state, stored = machine.initial, Stored(canonical(machine.initial))
    steps = list[ModelStep[E]]()
    for number, event in enumerate(events):
        request = RequestId(f"request-{number:04}")
        state, outcome = machine.step(state, event)
        answers = (*stored.answers, (request, canonical(outcome)))
        after = Stored(canonical(state), answers)
        steps.append(
            ModelStep(
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
    step: ModelStep[E] | None = None
    """The event in progress, which is asked again."""
    note: str = ""
    """What else happened, for the witness."""


class Moment(Struct, frozen=True):
    """When the power goes, and what may be there then."""

    disk: Disk
    allowed: Sequence[Stored]
    where: str
    earlier: Sequence[Stored]
    """What was there before the event in progress."""


class Tally:
    """What was done for one event or setting."""

    def __init__(self) -> None:
        self.operations = self.states = self.distinct = self.errors = 0
        self.recoveries = 0
        """Durable states within a recovery."""
        self.repairs = 0
        """Recoveries that wrote, and within which the power was lost."""
        self.seconds = 0.0

    def add(self, other: "Tally") -> None:
        """Count what another one counted as well."""
        self.operations += other.operations
        self.states += other.states
        self.distinct += other.distinct
        self.recoveries += other.recoveries
        self.errors += other.errors
        self.repairs += other.repairs
        self.seconds += other.seconds


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
            session = self.opened({}, CREATING)
            session.close()
            self._empty = session.image()
        return self._empty

    def opened(self, image: Image, row: str) -> Session[S, E, O]:
        """Open an image by the shipped code. Raises ``ClauseBroken`` when that fails."""
        try:
            return self.storage.open(self.setting, image)
        except Exception as error:
            found = f"it does not open: {type(error).__name__}: {error}"
            raise ClauseBroken("FLT-3", f"{row} in {self.setting.name}", found) from error

    def create(self) -> None:
        """Judge the creation of a store. Raises ``ClauseBroken``."""
        session = self.opened({}, CREATING)
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
        session = self.opened(start, OPENING)
        segments = list[Segment[E]]()
        opened, latest = 0, Stored(canonical(self.machine.initial))
        try:
            for step in model_steps(self.machine, events):
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
        sampled = segment.step is None or segment.note
        judged = self._moments(len(segment.operations)) if sampled else None
        recoveries = _Reservoir[S](0 if segment.note else self.recoveries * TRIED, self.random)
        for number, operation in enumerate(segment.operations, 1):
            disk.apply(operation)
            tally.operations += 1
            if judged is not None and number not in judged:
                continue
            where = f"after operation {number} of {len(segment.operations)} ({brief(operation)})"
            moment = Moment(disk, segment.allowed, where, earlier)
            new = judged is None and number > 1
            for state in disk.durable_states(self.reach, self.random, new=new):
                recovered = self._judge_state(state, segment, moment, tally)
                if recovered is not None:
                    recoveries.offer(state, recovered, where)
        moment = Moment(disk, segment.allowed[-1:], "after the answer", earlier)
        for state in disk.durable_states(self.reach, self.random):
            self._judge_state(state, segment, moment, tally)
        self._judge_recoveries(recoveries, segment.name, tally)

    def _moments(self, operations: int) -> frozenset[int]:
        """Return the numbers of the operations after which the power goes."""
        if operations <= self.moments:
            return frozenset(range(1, operations + 1))
        return frozenset(self.random.sample(range(1, operations + 1), self.moments))

    def _judge_state(
        self, state: DurableState, segment: Segment[E], moment: Moment, tally: Tally
    ) -> Recovered[S] | None:
        """Judge one durable state; return what was recovered when it was not met before."""
        tally.states += 1
        recovered = self._recovered.get(state.digest)
        fresh = recovered is None
        if recovered is None:
            tally.distinct += 1
            recovered = self.storage.recover(self.setting, state.image())
            self._recovered[state.digest] = recovered
        try:
            self._hold(recovered, segment, moment)
            self._ask_again(state, recovered, segment, moment)
        except ClauseBroken as broken:
            broken.arrived = tuple(
                (brief(operation), fate) for operation, fate in moment.disk.fates(state.arrival)
            )
            raise
        return recovered if fresh else None

    def _hold(self, recovered: Recovered[S], segment: Segment[E], moment: Moment) -> None:
        """Hold what was recovered to what may be there."""
        stored = self._stored(recovered)
        if stored is None:
            raise ClauseBroken("FLT-3", self._row(segment, moment), recovered.broken)
        if stored not in moment.allowed:
            lost = stored in moment.earlier or stored in segment.allowed
            found = _told(stored, moment.allowed, segment.allowed)
            raise ClauseBroken("FLT-2" if lost else "FLT-1", self._row(segment, moment), found)

    def _row(self, segment: Segment[E], moment: Moment) -> str:
        return f"{segment.name} in {self.setting.name}{segment.note}, power lost {moment.where}"

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
        self, state: DurableState, recovered: Recovered[S], segment: Segment[E], moment: Moment
    ) -> None:
        """Send the event in progress again to what was recovered, once for each content."""
        step = segment.step
        if step is None:
            return
        asked = (recovered.key, step.after.state, step.request)
        if asked in self._settled:
            return
        self._settled.add(asked)
        row = self._row(segment, moment)
        self._asked(self._again(state.image(), step, row)[1], step, row)

    def _again(
        self, image: Image, step: ModelStep[E], row: str
    ) -> tuple[Session[S, E, O], tuple[bytes, bytes] | str, int]:
        """Open an image, send an event, observe, and close.

        Returns the session, the answer and the state or what was raised, and how long the log was.
        """
        session = self.opened(image, row)
        told: tuple[bytes, bytes] | str
        try:
            told = canonical(session.step(step.event, step.request)), canonical(session.observe())
        except Exception as error:  # noqa: BLE001 - a host's failure, to be reported
            told = f"{type(error).__name__}: {error}"
        asked = len(session.log)
        session.close()
        return session, told, asked

    def _asked(self, told: tuple[bytes, bytes] | str, step: ModelStep[E], row: str) -> None:
        """Hold the answer to an event that is sent again to the machine's."""
        if isinstance(told, str):
            raise ClauseBroken("FLT-6", row, f"asked again it raised {told}")
        answer, after = told
        if answer != step.outcome:
            found = f"asked again it answered {answer.decode()}, not {step.outcome.decode()}"
            raise ClauseBroken("FLT-6", row, found)
        if after != step.after.state:
            raise ClauseBroken("FLT-6", row, "asked again it led to another state")

    def _judge_recoveries(self, tried: "_Reservoir[S]", name: str, tally: Tally) -> None:
        """Judge some recoveries, rather those that write than those that find nothing to do."""
        logged = list[tuple[bool, DurableState, Image, Recovered[S], str, list[Operation]]]()
        for state, image, recovered, where in tried.kept:
            session = self.opened(image, f"{name}, power lost {where},")
            opened = any(isinstance(one, Write | Unlink) for one in session.log)
            session.close()
            logged.append((opened, state, image, recovered, where, list(session.log)))
        logged.sort(key=lambda one: not one[0])
        for opened, _, image, recovered, where, log in logged[: self.recoveries]:
            tally.repairs += opened
            self._judge_recovery(image, log, recovered, f"{name}, power lost {where}", tally)

    def _judge_recovery(
        self,
        image: Image,
        log: Sequence[Operation],
        recovered: Recovered[S],
        row: str,
        tally: Tally,
    ) -> None:
        """Lose power at moments of a recovery as well: what is recovered stays the same."""
        disk = self._disk(image)
        judged = self._moments(len(log))
        for number, operation in enumerate(log, 1):
            disk.apply(operation)
            if number not in judged:
                continue
            for state in disk.durable_states(WITHIN_RECOVERY, self.random):
                tally.recoveries += 1
                tally.states += 1
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
                    said = (
                        f"{row}, in {self.setting.name}, and again after operation {number} of"
                        f" {len(log)} of the recovery ({brief(operation)})"
                    )
                    broken = found.broken or "another state was recovered"
                    raise ClauseBroken("FLT-4", said, broken)

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
            where = (
                f"when the process had been killed after operation {number} of"
                f" {len(segment.operations)} and another one had answered the event"
            )
            moment = Moment(disk, segment.allowed[-1:], where, ())
            row = self._row(segment, moment)
            session, told, asked = self._again(disk.now(), step, row)
            self._asked(told, step, row)
            for operation in session.log[:asked]:
                disk.apply(operation)
            for state in disk.durable_states(self.reach, self.random):
                self._judge_state(state, segment, moment, tally)


class _Reservoir(Generic[S]):
    """Some of the durable states of an event, each as likely as any other."""

    def __init__(self, size: int, random: Random) -> None:
        self._size, self._random = size, random
        self._met = 0
        self.kept: list[tuple[DurableState, Image, Recovered[S], str]] = []

    def offer(self, state: DurableState, recovered: Recovered[S], where: str) -> None:
        """Keep a state, or not."""
        if not self._size:
            return
        self._met += 1
        if len(self.kept) < self._size:
            self.kept.append((state, state.image(), recovered, where))
            return
        place = self._random.randrange(self._met)
        if place < self._size:
            self.kept[place] = (state, state.image(), recovered, where)


def _told(stored: Stored, allowed: Sequence[Stored], both: Sequence[Stored]) -> str:
    """Say what was recovered in place of what may be there."""
    for name, one in (("before", both[0]), ("after", both[-1])):
        if stored == one:
            return f"the state {name} the event was recovered, and it was answered"
    if any(stored.state == one.state for one in allowed):
        return "a state was recovered without the answers that belong to it, or with others"
    return "a state was recovered that is neither the one before nor the one after"
