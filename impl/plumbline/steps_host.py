"""Anchoring step by step as the judge's host: the shipped steps, taken by processes that it keeps.

Chapter ``spec/anchoring_steps.md``. A process is what it has in memory; to kill it is to forget it,
and in the middle of its write, to leave half a file behind.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from plumbline import anchoring_steps as steps
from plumbline.anchoring_steps import FolderStore, MemoryStore, Store
from plumbline_models.anchoring_steps import (
    Advance,
    Appended,
    Begun,
    Computed,
    Event,
    Kill,
    Killed,
    LiveLeft,
    LiveRead,
    LiveReset,
    LiveWritten,
    Outcome,
    Process,
    ProcessId,
    Published,
    Reason,
    Record,
    Recorder,
    Recording,
    Refresh,
    Refresher,
    Refreshing,
    Refused,
    Rewrite,
    Rewritten,
    Row,
    Seen,
    SnapshotId,
    State,
    Superseded,
)
from plumbline_spec.codec import digest
from plumbline_spec.errors import RequestReused
from plumbline_spec.host import Judged, RequestId

HALF = b'{"kind":"li'
"""What a write leaves that was cut off."""


class StepsHost:
    """Files, and the processes that use them."""

    def __init__(self, *, durable: bool = False) -> None:
        self._durable = durable
        self._folder: Path | None = None
        self._store = self._fresh()
        self._running: dict[ProcessId, Process] = {}
        self._answers: dict[RequestId, tuple[str, Outcome]] = {}
        self._marks: list[
            tuple[
                dict[str, bytes],
                dict[ProcessId, Process],
                dict[RequestId, tuple[str, Outcome]],
            ]
        ] = []

    def _fresh(self) -> Store:
        if not self._durable:
            return MemoryStore()
        self._folder = Path(tempfile.mkdtemp(prefix="plumbline-"))
        return FolderStore(self._folder)

    def reset(self) -> None:
        """Begin again without files and processes."""
        self.close()
        self._store = self._fresh()
        self._running, self._answers, self._marks = {}, {}, []

    def close(self) -> None:
        """Remove the folder, if there is one."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def mark(self) -> None:
        """Remember files and processes."""
        assert isinstance(self._store, MemoryStore), "files in a folder do not go back"
        self._marks.append((dict(self._store.files), dict(self._running), dict(self._answers)))

    def back(self) -> None:
        """Return to what was remembered last."""
        files, self._running, self._answers = self._marks.pop()
        self._store = MemoryStore(files)

    def step(self, event: Event, request: RequestId | None = None) -> Outcome:
        """Take one event; the same request id has the same answer. Raises ``RequestReused``."""
        if request is None:
            return self._take(event)
        name = digest(event)
        known = self._answers.get(request)
        if known is None:
            known = self._answers[request] = (name, self._take(event))
        if known[0] != name:
            raise RequestReused(request)
        return known[1]

    def _take(self, event: Event) -> Outcome:
        match event:
            case Record() | Refresh():
                return self._begin(event)
            case Rewrite():
                return self._rewrite(event)
            case Advance() | Kill():
                at = self._running.get(event.process)
                if at is None:
                    return Refused(reason=Reason.UNKNOWN_PROCESS)
                return self._kill(at, event) if isinstance(event, Kill) else self._advance(at)

    def _begin(self, event: Record | Refresh) -> Outcome:
        if event.process in self._running:
            return Refused(reason=Reason.PROCESS_RUNS)
        if isinstance(event, Refresh):
            self._running[event.process] = Refresher(process=event.process)
            return Begun()
        logged = {row.outcome for row in steps.read_log(self._store)}
        coming = {at.row.outcome for at in self._running.values() if isinstance(at, Recorder)}
        if event.outcome in logged | coming:
            return Refused(reason=Reason.KNOWN_OUTCOME)
        row = Row(outcome=event.outcome, reward=event.reward)
        self._running[event.process] = Recorder(process=event.process, row=row)
        return Begun()

    def _rewrite(self, event: Rewrite) -> Outcome:
        if self._running:
            return Refused(reason=Reason.SOMEBODY_RUNS)
        rows = steps.read_log(self._store)
        changed = tuple(
            replace(row, reward=event.reward) if row.outcome == event.outcome else row
            for row in rows
        )
        if event.outcome not in {row.outcome for row in rows}:
            return Refused(reason=Reason.UNKNOWN_OUTCOME)
        return Rewritten(epoch=steps.rewrite(self._store, changed))

    def _kill(self, at: Process, event: Kill) -> Outcome:
        if event.torn and at.following not in (Recording.WRITE, Refreshing.RESET):
            return Refused(reason=Reason.NOT_WRITING)
        if event.torn:
            self._store.write(steps.LIVE, HALF)
        del self._running[at.process]
        return Killed()

    def _advance(self, at: Process) -> Outcome:
        return self._record(at) if isinstance(at, Recorder) else self._refresh(at)

    def _record(self, at: Recorder) -> Outcome:
        match at.following:
            case Recording.APPEND:
                position = steps.append(self._store, at.row)
                self._goes_on(replace(at, following=Recording.READ, position=position))
                return Appended(position=position)
            case Recording.READ:
                live = steps.read_live(self._store)
                self._goes_on(replace(at, following=Recording.WRITE, read=live))
                return LiveRead()
            case Recording.WRITE:
                del self._running[at.process]
                written = steps.extend(self._store, at.read, at.row, at.position)
                return LiveWritten() if written else LiveLeft()

    def _refresh(self, at: Refresher) -> Outcome:
        match at.following:
            case Refreshing.SEE:
                seen, live = steps.read_manifest(self._store), steps.read_live(self._store)
                self._goes_on(replace(at, following=Refreshing.COMPUTE, seen=seen, live=live))
                return Seen()
            case Refreshing.COMPUTE:
                made = steps.compute(self._store, at.seen, at.live)
                self._goes_on(replace(at, following=Refreshing.PUBLISH, live=None, made=made))
                return Computed(way=made.way, watermark=made.watermark)
            case Refreshing.PUBLISH:
                return self._publish(at)
            case Refreshing.RESET:
                assert at.made is not None
                del self._running[at.process]
                steps.reset(self._store, at.made)
                return LiveReset()

    def _publish(self, at: Refresher) -> Outcome:
        assert at.made is not None
        published = steps.publish(self._store, at.seen, at.made)
        if published is None:
            del self._running[at.process]
            return Superseded()
        self._goes_on(replace(at, following=Refreshing.RESET, seen=None, made=published))
        return Published(snapshot=published.id)

    def _goes_on(self, at: Process) -> None:
        self._running[at.process] = at

    def observe(self) -> State:
        """Return the abstract state of files and processes."""
        manifest = steps.read_manifest(self._store)
        with self._store.locked():
            rows, epoch = steps.read_log(self._store), steps.read_epoch(self._store)
        return State(
            log=rows,
            epoch=epoch,
            live=steps.read_live(self._store),
            manifest=manifest,
            issued=SnapshotId(0) if manifest is None else manifest.id,
            running=tuple(self._running[name] for name in sorted(self._running)),
        )

    def parts(self) -> Iterator[tuple[str, State]]:
        """Yield the abstract state: it is one part."""
        yield "", self.observe()


def judged_steps(*, durable: bool = False) -> Judged[State, Event, Outcome]:
    """Return a fresh host; only one in memory can go back."""
    host = StepsHost(durable=durable)
    return Judged(host=host, observable=host, reversible=None if durable else host)
