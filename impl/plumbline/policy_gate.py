"""Gates: what judges a candidate by one snapshot, whatever is published meanwhile.

Theory of operation. A run is opened in one step, which refreshes and pins; nothing is held while
the candidate is judged; then the verdict is recorded with the snapshot that was pinned, and the pin
goes (ANC-21, ANC-22). Whoever cannot judge gives no verdict: the snapshot is let go, and the error
goes on. A judge is a function, so a host may judge in Python; ``GateCommand`` is one that runs a
command.
"""

import os
import re
import signal
import subprocess
import threading
import time
from codecs import getincrementaldecoder
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from types import FrameType
from typing import Final, TextIO

import apsw
from msgspec import Struct

from plumbline.damaged import as_text, every_row
from plumbline.database import transaction
from plumbline.export import SNAPSHOTS, export_from
from plumbline.policy_snapshot import (
    FOR_EVER,
    ONCE,
    USUAL_TERMS,
    Envelope,
    Lease,
    Terms,
    ask,
    opened,
    refuse_odd,
)
from plumbline.snapshot_reasons import Refusing, refusing
from plumbline_models.anchoring import (
    CloseGate,
    GateClosed,
    GateId,
    GateOpened,
    Ineligible,
    OpenGate,
    Outcome,
    PinId,
    Refusal,
    Refused,
    SnapshotId,
    Unpin,
)
from plumbline_models.decisions.refreshing import Reason, Way
from plumbline_spec.errors import CouldNotFinish, PlumblineError, RequestReused

SNAPSHOT_ID, SNAPSHOT_DIR = "POLICY_SNAPSHOT_ID", "POLICY_SNAPSHOT_DIR"
"""What a command finds in its environment: the id of the snapshot that it is to go by, and where
it was exported."""
RESULT: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:/[0-9]+(?:\.[0-9]+)?){2}", re.ASCII)
"""Three numbers, such as ``100/100/0``."""
MAX_RESULT: Final = 256
READ_BYTES: Final = 64 * 1024
"""The most of a command's output that is read at once."""
POLL_SECONDS: Final = 0.05
"""Between two looks whether a command has ended whose output something else holds open."""
ENDING: Final = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""What tells this process to end, beside an interrupt."""
GRACE_SECONDS: Final = 5.0
"""What a command has to end in when it is told to, before it is ended."""


class Run(Struct, frozen=True, kw_only=True):
    """One run of a gate."""

    gate: str
    """Names the run, and its pin."""
    owner: str
    candidate: str
    """Hash of what is judged."""
    lease: Lease = FOR_EVER
    terms: Terms = USUAL_TERMS


class Judgement(Struct, frozen=True, kw_only=True):
    """What a judge comes to."""

    promoted: bool
    result: str = ""
    """Three numbers such as ``100/100/0``, of which nothing is made here; "" for none."""
    exit_code: int | None = None
    """That of a command; None where none was run."""


Judge = Callable[[int, Path | None], Judgement]
"""Judges by a snapshot of this id, which was exported into this folder, if it was."""


class GateReport(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a run came to; the last is left out when there is nothing in it."""

    policy_snapshot_id: int
    """The snapshot that it went by."""
    gate: str
    mode: Way
    """What the refresh did that opened it."""
    reason: Reason
    candidate: str
    result: str
    promoted: bool
    exit_code: int | None
    repeated: bool
    """Whether the verdict was there before, and nothing was judged again."""
    doubted: tuple[GateId, ...] = ()
    """Gates that judged by what the refresh found to be wrong."""


class NotJudged(CouldNotFinish):
    """A command cannot be started, or did not end by itself: nothing is known of the candidate."""


def record_verdict(
    database: Path, run: Run, judgement: Judgement, *, envelope: Envelope = ONCE
) -> GateReport | Refusing:
    """Open a run and record its verdict, both or nothing.

    Raises ``UnusableInput``, ``RequestReused`` and ``CouldNotFinish``.
    """
    with opened(database) as db, transaction(db):
        begun = ask(db, _opening(run), envelope.of("open"))
        if not isinstance(begun, GateOpened):
            return _refused(begun)
        ended = ask(db, _closing(run, begun, judgement), envelope.of("close"))
    if not isinstance(ended, GateClosed):
        return _refused(ended)
    return _report(run, begun, judgement)


def judge(
    database: Path,
    run: Run,
    by: Judge,
    *,
    export: Path | None = None,
    envelope: Envelope = ONCE,
) -> GateReport | Refusing:
    """Open a run, judge by its snapshot while nothing is held, and record the verdict.

    With ``export`` the snapshot is written there first. With a request id that came before, a
    verdict that is there is answered, and nothing is judged again. Whatever is raised meanwhile is
    raised when the snapshot was let go; ``PlumblineError`` as for ``record_verdict``.
    """
    _refuse_what_no_verdict_can_hold(run)
    begun: GateOpened | GateReport | Refusing | None = None
    try:
        with _told_later(), opened(database) as db:
            begun = _begin(db, run, envelope)
        if not isinstance(begun, GateOpened):
            return begun
        folder = None if export is None else _exported(database, export, begun.snapshot)
        judgement = by(begun.snapshot, folder)
    except BaseException as error:
        if isinstance(begun, GateOpened):
            _give_up(database, run, begun, error)
        raise
    ended = _closed(database, run, begun, judgement)
    if not isinstance(ended, GateClosed):
        return _refused(ended)
    return _report(run, begun, judgement)


def _opening(run: Run) -> Callable[[int], OpenGate]:
    def at(now: int) -> OpenGate:
        return OpenGate(
            gate=GateId(run.gate),
            owner=run.owner,
            now=now,
            expires=run.lease.expires(now),
            mode=run.terms.mode,
            windows=run.terms.windows,
            config=run.terms.config,
            drift=run.terms.drift,
        )

    return at


def _refuse_what_no_verdict_can_hold(run: Run) -> None:
    """Raise ``UnusableInput`` before anything is opened that could not be closed."""
    refuse_odd(_verdict(run, SnapshotId(1), Judgement(promoted=False)))


def _closing(run: Run, begun: GateOpened, judgement: Judgement) -> Callable[[int], CloseGate]:
    event = _verdict(run, begun.snapshot, judgement)
    return lambda _now: event


def _verdict(run: Run, snapshot: SnapshotId, judgement: Judgement) -> CloseGate:
    return CloseGate(
        gate=GateId(run.gate),
        snapshot=snapshot,
        candidate=run.candidate,
        result=judgement.result,
        promoted=judgement.promoted,
    )


def _begin(db: apsw.Connection, run: Run, envelope: Envelope) -> GateOpened | GateReport | Refusing:
    """Open a run; say what it came to, if its request came before."""
    with transaction(db):
        begun = ask(db, _opening(run), envelope.of("open"))
        if not isinstance(begun, GateOpened):
            return _refused(begun)
        query = "SELECT candidate, result, promoted FROM verdicts WHERE gate = ?"
        for candidate, result, promoted in every_row(db, query, (run.gate,)):
            if as_text(candidate) != run.candidate:
                raise RequestReused(str(envelope.request))
            was = Judgement(promoted=bool(promoted), result=as_text(result))
            judged = Run(gate=run.gate, owner=run.owner, candidate=as_text(candidate))
            return _report(judged, begun, was, repeated=True)
        held = db.execute("SELECT 1 FROM pins WHERE pin = ? AND gate = 1", (run.gate,)).get
    return _refused(Refused(reason=Refusal.NOT_PINNED)) if held is None else begun


def _closed(database: Path, run: Run, begun: GateOpened, judgement: Judgement) -> Outcome:
    try:
        with opened(database) as db:
            return ask(db, _closing(run, begun, judgement), ONCE)
    except CouldNotFinish as error:
        verdict = "promoted" if judgement.promoted else "rejected"
        raise CouldNotFinish(
            f"{error}\nthe run {run.gate} came to {verdict} {judgement.result}".rstrip()
            + f"; if plumbline snapshot status {database} shows its pin, that is not recorded"
        ) from error
    except BaseException as error:
        _give_up(database, run, begun, error)
        raise


def _exported(database: Path, directory: Path, snapshot: int) -> Path:
    with opened(database) as db:
        export_from(db, directory, snapshot)
    return (directory / SNAPSHOTS / str(snapshot)).resolve()


def _give_up(database: Path, run: Run, begun: GateOpened, error: BaseException) -> None:
    """Let the snapshot of a run go that comes to no verdict, and say so in the error."""
    try:
        let_go = _let_go(database, run, begun)
    except PlumblineError as failed:
        raise CouldNotFinish(
            f"the run {run.gate} has no verdict, and its snapshot is still pinned ({failed}); let"
            f" it go with: plumbline snapshot unpin {database} {run.gate}"
        ) from error
    if let_go:
        error.add_note(f"the run {run.gate} has no verdict, and its snapshot was let go")


def _let_go(database: Path, run: Run, begun: GateOpened) -> bool:
    """Unpin what this run pinned; a pin of its name that another one holds stays."""
    query = "SELECT 1 FROM pins WHERE pin = ? AND snapshot = ? AND owner = ? AND gate = 1"
    with opened(database) as db, transaction(db):
        if db.execute(query, (run.gate, begun.snapshot, run.owner)).get is None:
            return False
        ask(db, lambda _now: Unpin(pin=PinId(run.gate)), ONCE)
        return True


def _report(
    run: Run, begun: GateOpened, judgement: Judgement, *, repeated: bool = False
) -> GateReport:
    return GateReport(
        policy_snapshot_id=begun.snapshot,
        gate=run.gate,
        mode=begun.way,
        reason=begun.reason,
        candidate=run.candidate,
        result=judgement.result,
        promoted=judgement.promoted,
        exit_code=judgement.exit_code,
        repeated=repeated,
        doubted=begun.doubted,
    )


def _refused(outcome: Outcome) -> Refusing:
    assert isinstance(outcome, Refused | Ineligible), outcome
    return refusing(outcome)


# A command as a judge


class GateCommand:
    """A judge that runs a command and promotes the candidate if it exits with 0.

    The result is the last line of its output that is three numbers with slashes between them. What
    it writes is passed on to ``out`` as it comes, until it has ended; what it started and left
    running is not waited for. Signals are the caller's; within ``told_to_end`` they end the run.
    """

    def __init__(self, words: tuple[str, ...], out: TextIO) -> None:
        self.words = words
        self.out = out

    def __call__(self, snapshot: int, folder: Path | None) -> Judgement:
        """Run it. Raises ``NotJudged`` when it cannot be started or is ended by a signal."""
        environment = {**os.environ, SNAPSHOT_ID: str(snapshot)}
        environment.pop(SNAPSHOT_DIR, None)
        if folder is not None:
            environment[SNAPSHOT_DIR] = str(folder)
        try:
            process = subprocess.Popen(  # noqa: S603 - the user's own command, without a shell
                self.words, stdout=subprocess.PIPE, env=environment, start_new_session=True
            )
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise NotJudged(f"the command {self.words[0]!r} cannot be run ({why})") from error
        try:
            result = self._followed(process)
            code = process.wait()
        except BaseException:
            _end(process)
            raise
        finally:
            if process.stdout is not None:
                process.stdout.close()
        if code < 0:
            raise NotJudged(f"the command {self.words[0]!r} was ended by {_signal(-code)}")
        return Judgement(promoted=code == 0, result=result, exit_code=code)

    def _followed(self, process: subprocess.Popen[bytes]) -> str:
        """Pass on what a command writes; return the last line that is a result."""
        assert process.stdout is not None
        results, decoder = _Results(), getincrementaldecoder("utf-8")("backslashreplace")
        for piece in _pieces(process, process.stdout.fileno()):
            self._say(decoder.decode(piece))
            results.read(piece)
        rest = decoder.decode(b"", final=True)
        self._say(rest if results.line_is_over else f"{rest}\n")
        return results.last()

    def _say(self, text: str) -> None:
        """Pass text on; whoever reads no more, or reads another alphabet, stops no judge."""
        encoding = getattr(self.out, "encoding", None) or "utf-8"
        shown = text.encode(encoding, "backslashreplace").decode(encoding)
        with suppress(BrokenPipeError):
            self.out.write(shown)
            self.out.flush()


def _pieces(process: subprocess.Popen[bytes], output: int) -> Generator[bytes]:
    """Yield what a command writes until it has ended, whoever else holds its output open."""
    patience: float | None = None
    with DefaultSelector() as ready:
        ready.register(output, EVENT_READ)
        while patience is None or time.monotonic() < patience:
            over = process.poll() is not None
            if over and patience is None:
                patience = time.monotonic() + GRACE_SECONDS
            if ready.select(0 if over else POLL_SECONDS):
                piece = os.read(output, READ_BYTES)
                if not piece:
                    return
                yield piece
            elif over:
                return


class _Results:
    """Finds the last line that is three numbers in what comes piece by piece."""

    def __init__(self) -> None:
        self._line, self._result = b"", ""
        self.line_is_over = True
        """Whether nothing came behind the last end of a line."""

    def read(self, piece: bytes) -> None:
        """Read on."""
        self.line_is_over = piece.endswith(b"\n")
        *lines, behind = _LINE_ENDS.split(piece)
        for line in lines:
            self._look(self._line + line)
            self._line = b""
        self._line = (self._line + behind)[: MAX_RESULT + 1]

    def last(self) -> str:
        """Return the last result; "" when there was none."""
        self._look(self._line)
        return self._result

    def _look(self, line: bytes) -> None:
        if len(line) <= MAX_RESULT:
            said = line.decode("utf-8", "replace").strip()
            self._result = said if RESULT.fullmatch(said) else self._result


_LINE_ENDS: Final = re.compile(rb"[\r\n]")


@contextmanager
def told_to_end() -> Generator[None]:
    """Turn what tells this process to end into ``NotJudged``; in the main thread only.

    What is ignored, as under ``nohup``, stays so.
    """

    def ended(number: int, _frame: object) -> None:
        raise NotJudged(f"the run was ended by {_signal(number)}")

    with _hearing(ENDING, ended):
        yield


@contextmanager
def _told_later() -> Generator[None]:
    """Hear of signals when the block is over, so that nobody forgets what it has committed."""
    told = list[int]()
    try:
        with _hearing((signal.SIGINT, *ENDING), lambda number, _frame: told.append(number)):
            yield
    finally:
        for number in told[:1]:
            signal.raise_signal(number)


@contextmanager
def _hearing(
    numbers: Iterable[signal.Signals], handler: Callable[[int, FrameType | None], object]
) -> Generator[None]:
    """Handle signals that are not ignored while a block runs; in the main thread only.

    Whichever thread the system tells, Python calls the handler in that one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = [one for one in numbers if signal.getsignal(one) not in (signal.SIG_IGN, None)]
    usual = {one: signal.signal(one, handler) for one in heard}
    try:
        yield
    finally:
        for one, handled in usual.items():
            signal.signal(one, handled)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """Tell a command and what it started to end, and end them when they do not."""
    for each, patience in ((signal.SIGTERM, GRACE_SECONDS), (signal.SIGKILL, None)):
        if process.poll() is not None:
            return
        try:
            os.killpg(process.pid, each)
            process.wait(patience)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
        except BaseException:
            # Told once more: there is no more patience.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
