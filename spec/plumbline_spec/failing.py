"""Errors of the environment: each call of an event fails, once or from then on (FLT-5, FLT-6).

Theory of operation. An event is taken from the same files again and again, each time with one fault
armed that strikes at one call. Whatever is answered then must be true: an outcome is the machine's,
an error says that nothing was done, or that nobody knows. The event is sent once more with the same
request id, on the connection that met the error, and must be answered as if nothing had happened.
The log of a run whose sync failed goes through the power losses of ``plumbline_spec.power`` too,
because what a failed sync leaves on the disk shows only then. Opening a store, which may make it
or recover it, and closing it fail in the same ways, and lose nothing.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from random import Random
from typing import Generic, TypeVar

from plumbline_spec.clause_table import ClauseBroken
from plumbline_spec.codec import canonical
from plumbline_spec.disk import Image, Operation, SyncFailed
from plumbline_spec.errors import OutcomeUnknown
from plumbline_spec.host import Attempt, Fault, FaultKind, Session
from plumbline_spec.power import (
    CLOSING,
    CREATING,
    OPENING,
    ModelStep,
    PowerSweep,
    Segment,
    Stored,
    Tally,
    model_steps,
)

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")

NEVER = -1
"""The number of no call: a fault at it only counts the calls."""


class FailingSweep(Generic[S, E, O, C]):
    """Events whose environment fails, on the storage and in the setting of a sweep."""

    def __init__(self, sweep: PowerSweep[S, E, O, C], strikes: int, random: Random) -> None:
        self.sweep = sweep
        self.strikes = strikes
        """How many calls of each kind are struck in one event; all of them when there are fewer."""
        self.tallies: dict[str, Tally] = {}
        self.struck = Counter[str]()
        """How often an error of each kind struck."""
        self._random = random

    def take(self, events: Sequence[E], first: Fault | None = None) -> None:
        """Let the last of these events fail in every way. Raises ``ClauseBroken``.

        With ``first`` it fails in that way, and then in others of the same kind.
        """
        *earlier, step = model_steps(self.sweep.machine, events)
        before = self._files(earlier)
        self._strike_all(
            type(step.event).__name__,
            lambda kind: self._calls(kind, before, step),
            lambda fault: self._strike(fault, before, step),
            first,
        )

    def open(self, events: Sequence[E], first: Fault | None = None) -> None:
        """Let opening and closing fail, of what a process left that was killed after these events.

        Without events that is nothing, and a store is made. Raises ``ClauseBroken``.
        """
        steps = model_steps(self.sweep.machine, events)
        image: Image = self._files(steps) if steps else {}
        stored = steps[-1].after if steps else Stored(canonical(self.sweep.machine.initial))
        name = OPENING if steps else CREATING
        self._strike_all(
            name,
            lambda kind: self._attempt(Fault(kind=kind.name, at=NEVER), image).met.calls,
            lambda fault: self._opens(name, fault, image, stored),
            first,
        )

    def _strike_all(
        self,
        name: str,
        calls: Callable[[FaultKind], int],
        strike: Callable[[Fault], bool],
        first: Fault | None,
    ) -> None:
        """Strike calls of every kind, or ``first`` and then calls of its kind."""
        tally = self.tallies.setdefault(name, Tally())
        kinds = self.sweep.storage.kinds
        faults = (
            fault
            for kind in kinds
            if first is None or kind.name == first.kind
            for fault in self._faults(kind, calls(kind))
        )
        for fault in chain(() if first is None else (first,), faults):
            try:
                struck = strike(fault)
            except ClauseBroken as breach:
                breach.fault = fault
                raise
            tally.errors += struck
            self.struck[fault.kind] += struck

    def _files(self, earlier: Sequence[ModelStep[E]]) -> Image:
        """Return what a process leaves that took these events and was killed."""
        session = self.sweep.opened(self.sweep.empty(), OPENING)
        try:
            for step in earlier:
                session.step(step.event, step.request)
            return session.image()
        finally:
            session.close()

    def _faults(self, kind: FaultKind, calls: int) -> Iterator[Fault]:
        """Yield faults at so many calls of one kind, spread evenly where there are too many."""
        numbers: Sequence[int] = range(calls)
        if calls > self.strikes:
            start = self._random.random()
            spread = (int((start + at) * calls / self.strikes) for at in range(self.strikes))
            # What begins an event and what ends it is struck whatever is drawn.
            numbers = sorted({0, calls - 1, *(min(number, calls - 1) for number in spread)})
        for number in numbers:
            for lasting in kind.lasting:
                yield Fault(kind=kind.name, at=number, lasting=lasting)

    def _calls(self, kind: FaultKind, before: Image, step: ModelStep[E]) -> int:
        session = self.sweep.opened(before, OPENING)
        try:
            session.arm(Fault(kind=kind.name, at=NEVER))
            session.step(step.event, step.request)
            return session.disarm().calls
        finally:
            session.close()

    def _attempt(self, fault: Fault, image: Image) -> Attempt:
        return self.sweep.storage.attempt(self.sweep.setting, image, fault)

    def _opens(self, name: str, fault: Fault, image: Image, stored: Stored) -> bool:
        """Open and close with a fault, and look at what is left; tell whether the fault struck."""
        storage, setting = self.sweep.storage, self.sweep.setting
        attempt = self._attempt(fault, image)
        row = f"opened and closed in {setting.name}, {fault}"
        if attempt.error is not None:
            row = f"{row}, which raised {_told(attempt.error)}"
            if not isinstance(attempt.error, storage.errors):
                found = "that is no error of the environment"
                raise ClauseBroken("FLT-5", row, found) from attempt.error
        self._holds(attempt.image, (stored,), row)
        if any(isinstance(one, SyncFailed) for one in attempt.log):
            segment = Segment[E](
                name=name, operations=attempt.log, allowed=(stored,), note=f", {fault}"
            )
            self.sweep.judge(image, [segment])
        return attempt.met.struck or attempt.error is not None

    def _strike(self, fault: Fault, before: Image, step: ModelStep[E]) -> bool:
        """Take the event with a fault and once more without; tell whether the fault struck."""
        storage, setting = self.sweep.storage, self.sweep.setting
        row = f"{type(step.event).__name__} in {setting.name}, {fault}"
        session = self.sweep.opened(before, row)
        try:
            session.arm(fault)
            error = self._first(session, step, row)
            struck = session.disarm().struck or error is not None
            answered = len(session.log) if error is None else None
            if error is not None:
                self._left(session, error, fault, step, f"{row}, which raised {_told(error)}")
            else:
                self._answered(session, step, f"{row}, which was answered")
            self._again(session, step, row)
            asked = len(session.log)
        finally:
            session.disarm()
            with suppress(*storage.errors):
                session.close()
        self._holds(session.image(), (step.after,), f"{row}, asked again and closed")
        if any(isinstance(one, SyncFailed) for one in session.log[:asked]):
            self._without_power(session.log, (answered, asked), before, step, fault)
        return struck

    def _first(
        self, session: Session[S, E, O], step: ModelStep[E], row: str
    ) -> BaseException | None:
        """Take the event with the fault armed; return what it raised."""
        try:
            answer = canonical(session.step(step.event, step.request))
        except self.sweep.storage.errors as error:
            return error
        except Exception as error:
            found = f"raised {_told(error)}, which is no error of the environment"
            raise ClauseBroken("FLT-5", row, found) from error
        if answer != step.outcome:
            found = f"answered {answer.decode()}, the machine {step.outcome.decode()}"
            raise ClauseBroken("FLT-5", row, found)
        return None

    def _left(
        self,
        session: Session[S, E, O],
        error: BaseException,
        fault: Fault,
        step: ModelStep[E],
        row: str,
    ) -> None:
        """Judge what an error left: what was there before, unless it says that nobody knows."""
        unknown = isinstance(error, OutcomeUnknown)
        allowed = (step.before, step.after) if unknown else (step.before,)
        # A look at the state may mend what the error left; so every other time nobody looks.
        if fault.at % 2 == 0:
            seen = self._asked(lambda: canonical(session.observe()), row)
            if seen not in [one.state for one in allowed]:
                found = f"{'another state' if unknown else 'a change'} was observed"
                raise ClauseBroken("FLT-5", row, found)
        self._holds(session.image(), allowed, row)

    def _answered(self, session: Session[S, E, O], step: ModelStep[E], row: str) -> None:
        """Judge what an event left that was answered in spite of a fault: it is done."""
        if self._asked(lambda: canonical(session.observe()), row) != step.after.state:
            raise ClauseBroken("FLT-5", row, "another state than the one after it was observed")
        self._holds(session.image(), (step.after,), row)

    def _holds(self, image: Image, allowed: tuple[Stored, ...], row: str) -> None:
        """Judge the files that are left."""
        recovered = self.sweep.storage.recover(self.sweep.setting, image)
        if recovered.broken:
            raise ClauseBroken("FLT-3", row, recovered.broken)
        if Stored(canonical(recovered.state), recovered.answers) not in allowed:
            raise ClauseBroken(
                "FLT-5", row, "the files hold another state, or answers of another one"
            )

    def _again(self, session: Session[S, E, O], step: ModelStep[E], row: str) -> None:
        """Send the event once more with the same request id."""
        answer = self._asked(lambda: canonical(session.step(step.event, step.request)), row)
        if answer != step.outcome:
            found = f"asked again it answered {answer.decode()}, not {step.outcome.decode()}"
            raise ClauseBroken("FLT-6", row, found)
        if self._asked(lambda: canonical(session.observe()), row) != step.after.state:
            raise ClauseBroken("FLT-6", row, "asked again it led to another state")

    def _asked(self, ask: Callable[[], bytes], row: str) -> bytes:
        try:
            return ask()
        except Exception as error:
            found = f"afterwards, with nothing failing, it raised {_told(error)}"
            raise ClauseBroken("FLT-6", row, found) from error

    def _without_power(
        self,
        log: Sequence[Operation],
        ends: tuple[int | None, int],
        before: Image,
        step: ModelStep[E],
        fault: Fault,
    ) -> None:
        """Lose power after a failed sync: what it threw away shows in no file that is open.

        ``ends`` says how long the log was at the first answer, None for an error, and at the
        second one.
        """
        answered, asked = ends
        first = asked if answered is None else answered
        name, both = type(step.event).__name__, (step.before, step.after)
        stretches = (
            (name, log[:first], both, step),
            (name, log[first:asked], both[1:], step),
            (CLOSING, log[asked:], both[1:], None),
        )
        segments = [
            Segment(
                name=name, operations=tuple(done), allowed=allowed, step=asking, note=f", {fault}"
            )
            for name, done, allowed, asking in stretches
        ]
        self.sweep.judge(before, segments)


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
