"""An unreliable host: its environment fails when it is told to, and it goes on as a caller would.

Theory of operation. Lockstep draws a ``Threat`` beside an event. The host takes the event, loses
power at some moment of it or meets an error, checks what is left, opens what survived, and sends
the event again with the same request id. So to lockstep it is a host like any other: its outcomes
and states must be those of the machine, crash or no crash. What may not be left is a broken clause
of ``spec/faults.md``.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from random import Random
from typing import Generic, TypeVar

from plumbline_spec.clause_table import ClauseBroken
from plumbline_spec.codec import canonical
from plumbline_spec.disk import Disk, DurableState, Image, Reach
from plumbline_spec.errors import OutcomeUnknown
from plumbline_spec.host import Fault, Judged, RequestId, Session, Setting, Storage, Threat

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract

SHIFTS = 10
DRAWN = Reach(subsets=3, drawn=6)
"""From so many durable states of a moment one is drawn."""


class Unreliable(Generic[S, E, O]):
    """A host over a storage, in one setting."""

    def __init__(self, storage: Storage[S, E, O], setting: Setting) -> None:
        self._storage, self._setting = storage, setting
        session = storage.open(setting, {})
        session.close()
        self._empty = session.image()
        self._requests = 0
        self._threat: Threat | None = None
        self._always = False
        self._session: Session[S, E, O] | None = None
        self._disk = self._disk_of(self._empty)
        self._replayed = 0

    def _disk_of(self, image: Image) -> Disk:
        setting = self._setting
        return Disk(image, lies=setting.lies, forgets=setting.survives_lost_writes)

    def threaten(self, threat: Threat, *, always: bool = False) -> None:
        """Let this happen to the next event, or to every one that follows."""
        self._threat, self._always = threat, always

    def reset(self) -> None:
        """Begin again with an empty store."""
        self._open(self._empty)
        if not self._always:
            self._threat = None

    def _open(self, image: Image) -> None:
        self._leave()
        self._session = self._storage.open(self._setting, image)
        self._disk, self._replayed = self._disk_of(image), 0

    def _leave(self) -> None:
        if self._session is not None:
            with suppress(*self._storage.errors):
                self._session.close()
            self._session = None

    @property
    def _now(self) -> Session[S, E, O]:
        assert self._session is not None, "reset opens a session"
        return self._session

    def step(self, event: E, request: RequestId | None = None) -> O:
        """Apply one event, whatever happens to it; ``request`` is the host's own affair here."""
        del request
        self._requests += 1
        named = RequestId(f"request-{self._requests:08}")
        threat = self._threat
        if not self._always:
            self._threat = None
        if threat is None:
            return self._now.step(event, named)
        kinds = self._storage.kinds
        number = threat.kind % (len(kinds) + 1)
        if number == len(kinds):
            return self._without_power(event, named, threat)
        lasting = threat.lasting if threat.lasting in kinds[number].lasting else not threat.lasting
        # Events of few calls and of many are both struck: the range of the number is drawn too.
        at = threat.at >> threat.draw % SHIFTS
        fault = Fault(kind=kinds[number].name, at=at, lasting=lasting)
        return self._with_error(event, named, fault)

    def _without_power(self, event: E, request: RequestId, threat: Threat) -> O:
        """Lose power at one moment of the event, and go on with what survived."""
        session, before = self._now, canonical(self._now.observe())
        self._replay(len(session.log))
        session.step(event, request)
        after, asked = canonical(session.observe()), len(session.log)
        moments = asked - self._replayed
        moment = threat.at % (moments + 1)
        self._replay(self._replayed + moment)
        survived = self._drawn(threat.draw)
        row = (
            f"{type(event).__name__} in {self._setting.name}, power lost after operation {moment}"
            f" of {moments}, {survived.arrival}"
        )
        image = survived.image()
        recovered = self._storage.recover(self._setting, image)
        if recovered.broken:
            raise ClauseBroken("FLT-3", row, recovered.broken)
        state = canonical(recovered.state)
        if state not in (before, after):
            found = "a state was recovered that is neither the one before nor the one after"
            raise ClauseBroken("FLT-1", row, found)
        if moment == moments and state != after:
            raise ClauseBroken("FLT-2", row, "the state before was recovered, and it was answered")
        self._open(image)
        return self._now.step(event, request)

    def _replay(self, end: int) -> None:
        """Take the operations of the log up to this one on the disk."""
        for operation in self._now.log[self._replayed : end]:
            self._disk.apply(operation)
        self._replayed = end

    def _drawn(self, draw: int) -> DurableState:
        """Return one of the durable states of this moment."""
        random = Random(draw)  # noqa: S311 - a choice that repeats, not a secret
        states = list(self._disk.durable_states(DRAWN, random))
        return states[draw % len(states)]

    def _with_error(self, event: E, request: RequestId, fault: Fault) -> O:
        """Meet an error, and send the event again."""
        session, before = self._now, canonical(self._now.observe())
        session.arm(fault)
        try:
            return session.step(event, request)
        except self._storage.errors as error:
            session.disarm()
            if not isinstance(error, OutcomeUnknown) and canonical(session.observe()) != before:
                row = f"{type(event).__name__} in {self._setting.name}, {fault}"
                found = f"raised {type(error).__name__}: {error}, and a change was observed"
                raise ClauseBroken("FLT-5", row, found) from error
        finally:
            session.disarm()
        return session.step(event, request)

    def observe(self) -> S:
        """Return the abstract state."""
        return self._now.observe()

    def parts(self) -> Iterator[tuple[str, S]]:
        """Yield the abstract state as one part."""
        yield "", self.observe()

    def close(self) -> None:
        """Release the storage."""
        self._leave()
        self._storage.close()


def unreliable(
    storage: Callable[[], Storage[S, E, O]], setting: Setting
) -> Callable[[], Judged[S, E, O]]:
    """Return a factory of unreliable hosts over fresh storages."""

    def make() -> Judged[S, E, O]:
        host = Unreliable(storage(), setting)
        return Judged(host=host, observable=host, threatened=host)

    return make
