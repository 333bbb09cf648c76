"""A machine on a disk that is simulated: the shortest storage that ``faults`` can judge.

Theory of operation. The state and the answers stand in one file, which each event replaces: a
temporary file is written, synced and renamed over it, and the folder is synced. Nothing touches a
real disk. Each of these calls is recorded, and fails when a fault names it. An error before the
rename means that nothing was done; one after it that nobody knows.
"""

from typing import Final, Generic, TypeVar

import msgspec
from msgspec import Struct

from plumbline_models.contract import Machine
from plumbline_spec.codec import canonical, digest
from plumbline_spec.disk import Create, Image, Operation, Rename, Sync, SyncFolder, Unlink, Write
from plumbline_spec.errors import OutcomeUnknown, RequestReused
from plumbline_spec.host import Attempt, Fault, FaultKind, Recovered, RequestId, Setting, Strikes

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")

FILE, TEMPORARY = "state.json", "state.json.new"
SETTINGS: Final = (
    Setting(name="synced", ships=True),
    Setting(name="file not synced", ships=False),
    Setting(name="folder not synced", ships=False),
    Setting(name="syncs lie", ships=False, lies=True),
)
KINDS: Final = (FaultKind(name="input/output"), FaultKind(name="sync"))


class _Answer(Struct, frozen=True):
    """What a request id was answered."""

    request: str
    event: str
    outcome: msgspec.Raw


class Content(Struct, frozen=True):
    """What the file holds."""

    state: msgspec.Raw
    answers: tuple[_Answer, ...] = ()


class ModelSession(Generic[S, E, O, C]):
    """A process with the file open."""

    def __init__(
        self, machine: Machine[S, E, O, C], setting: Setting, image: Image, *, honest: bool
    ) -> None:
        self._machine, self._setting, self._honest = machine, setting, honest
        self._files = dict(image)
        self.log: list[Operation] = []
        self._fault: Fault | None = None
        self._calls, self._struck = 0, False
        if TEMPORARY in self._files:
            self._remove()
        self.content = _content_of(machine, self._files)

    def step(self, event: E, request: RequestId | None = None) -> O:
        """Apply one event and replace the file, or answer its request id again."""
        for answer in self.content.answers:
            if answer.request == request:
                if answer.event != digest(event):
                    raise RequestReused(answer.request)
                self.put(self.content)  # it may be the unsynced work of a killed process
                return self._machine.decode_outcome(bytes(answer.outcome))
        state, outcome = self._machine.step(self.observe(), event)
        answers = self.content.answers
        if request is not None:
            stored = _Answer(request, digest(event), msgspec.Raw(canonical(outcome)))
            answers = tuple(sorted((*answers, stored), key=lambda one: one.request))
        self.put(Content(msgspec.Raw(canonical(state)), answers))
        return outcome

    def put(self, content: Content) -> None:
        """Replace the file. Raises ``OSError`` when nothing was done, or ``OutcomeUnknown``."""
        try:
            self._call("input/output", Create(TEMPORARY))
            self._files[TEMPORARY] = canonical(content)
            self._call("input/output", Write(TEMPORARY, 0, self._files[TEMPORARY]))
            if self._setting.name != "file not synced":
                self._call("sync", Sync(TEMPORARY))
            self._call("input/output", Rename(TEMPORARY, FILE))
        except OSError:
            self._remove()
            raise
        self._files[FILE] = self._files.pop(TEMPORARY)
        self.content = content
        if self._setting.name != "folder not synced":
            try:
                self._call("sync", SyncFolder())
            except OSError as error:
                if self._honest:
                    raise OutcomeUnknown(str(error)) from error
                raise

    def _remove(self) -> None:
        if any(one == Create(TEMPORARY) for one in self.log) or TEMPORARY in self._files:
            self.log.append(Unlink(TEMPORARY))
        self._files.pop(TEMPORARY, None)

    def _call(self, kind: str, operation: Operation) -> None:
        """Ask the disk for something, unless a fault strikes."""
        fault = self._fault
        if fault is not None and fault.kind in (kind, "input/output"):
            number = self._calls
            self._calls += 1
            if number == fault.at or (fault.lasting and 0 <= fault.at < number):
                self._struck = True
                raise OSError(f"the disk refused {type(operation).__name__}")
        self.log.append(operation)

    def observe(self) -> S:
        """Return the state."""
        return self._machine.decode_state(bytes(self.content.state))

    def arm(self, fault: Fault) -> None:
        """Let a fault strike from now on."""
        self._fault, self._calls, self._struck = fault, 0, False

    def disarm(self) -> Strikes:
        """Let nothing fail any more."""
        self._fault = None
        return Strikes(calls=self._calls, struck=self._struck)

    def image(self) -> Image:
        """Return the files."""
        return dict(self._files)

    def close(self) -> None:
        """Write nothing: every event did."""


class ModelStorage(Generic[S, E, O, C]):
    """The file of a machine; one that is not honest says that nothing was done when it may be."""

    settings: tuple[Setting, ...] = SETTINGS
    kinds: tuple[FaultKind, ...] = KINDS
    errors: tuple[type[BaseException], ...] = (OSError, OutcomeUnknown)

    def __init__(self, machine: Machine[S, E, O, C], *, honest: bool = True) -> None:
        self._machine, self._honest = machine, honest

    def open(self, setting: Setting, image: Image) -> ModelSession[S, E, O, C]:
        """Open what an image holds."""
        return ModelSession(self._machine, setting, image, honest=self._honest)

    def attempt(self, setting: Setting, image: Image, fault: Fault) -> Attempt:
        """Open what an image holds and close it: that asks nothing of the disk that can fail."""
        session = self.open(setting, image)
        session.arm(fault)
        session.close()
        return Attempt(
            error=None, met=session.disarm(), log=tuple(session.log), image=session.image()
        )

    def recover(self, setting: Setting, image: Image) -> Recovered[S]:
        """Read what an image holds."""
        del setting
        key = image.get(FILE, b"")
        try:
            content = _content_of(self._machine, image)
            state = self._machine.decode_state(bytes(content.state))
        except msgspec.DecodeError as error:
            return Recovered(key=key, broken=str(error))
        answers = tuple((one.request, bytes(one.outcome)) for one in content.answers)
        return Recovered(key=key, state=state, answers=answers)

    def close(self) -> None:
        """Release nothing."""


def _content_of(machine: Machine[S, E, O, C], image: Image) -> Content:
    if FILE not in image:
        return Content(msgspec.Raw(canonical(machine.initial)))
    return msgspec.json.decode(image[FILE], type=Content)
