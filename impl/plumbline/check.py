"""Check: every engine on every machine, within one budget, on two cores.

Theory of operation. Each (machine, engine) is a task with a share of the budget by weight. Tasks
run in worker processes, the longest first, so two cores are used; each first does its fixed seeded
minimum, and lockstep then goes on until its share is used up. A minimum that is not done when a
few times the budget is over (``Profile.patience``) is *unfinished* and never a pass.
"""

import contextlib
import multiprocessing
import signal
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from plumbline import __version__
from plumbline.registry import chosen
from plumbline_spec.atomic import write_atomically
from plumbline_spec.case import Plan
from plumbline_spec.clause_table import Progress
from plumbline_spec.codec import digest_of
from plumbline_spec.data import checkout, spec_folder
from plumbline_spec.engines import ENGINES
from plumbline_spec.errors import CouldNotFinish, PlumblineError, UnusableInput
from plumbline_spec.profiles import PROFILES, Profile
from plumbline_spec.report import EngineReport, Finding, Verdict, worst

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue
    from multiprocessing.synchronize import Event

WORKERS = 2
DEFAULT_SEED = 2026
DEFAULT_OUT = Path(".plumbline")
POLL_SECONDS = 0.1
VERSIONS = {"plumbline": __version__}

Told = Callable[[str, str, str], None]
"""Called with a machine, an engine and what it has done so far."""


class OutOfTime(CouldNotFinish):
    """The budget was over before the minimum was done."""


class InternalError(PlumblineError):
    """A worker ended by a fault of Plumbline itself."""


class Options(Struct, frozen=True, kw_only=True):
    """What the user asked for."""

    machines: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()
    profile: Profile = PROFILES["quick"]
    seed: int = DEFAULT_SEED
    out: Path | None = None
    workers: int = WORKERS


class Task(Struct, frozen=True, kw_only=True):
    """One engine on one machine."""

    machine: str
    engine: str
    plan: Plan
    deadline: float
    """A reading of ``time.monotonic`` at which the whole budget is over."""
    kept: Path
    """Where a trace that fails is stored."""


class MachineReport(Struct, frozen=True, kw_only=True):
    """One machine, all engines."""

    name: str
    states: int
    transitions: int
    complete: bool
    examples: int
    steps: int
    clauses: int
    variants: int
    variants_caught: int
    mutants: int
    mutants_killed: int
    mutants_equivalent: int
    pairs: int
    pairs_covered: int
    seconds: float
    holds: bool


class CheckReport(Struct, frozen=True, kw_only=True):
    """The whole run."""

    holds: bool
    profile: str
    seed: int
    seconds: float
    machines: tuple[MachineReport, ...]
    engines: tuple[EngineReport, ...]
    verdict: Verdict
    kept: tuple[str, ...] = ()
    """Files of the failing traces that were stored."""


def check(options: Options, told: Told) -> CheckReport:
    """Run the engines and report; stores the trace of every failure. Raises ``UnusableInput``."""
    started = time.monotonic()
    tasks = list(_tasks(options, started))
    reports = list(_in_order(tasks, _run(tasks, options.workers, told)))
    kept = [
        path for task, report in zip(tasks, reports, strict=True) for path in _keep(task, report)
    ]
    verdict = worst(reports)
    names = tuple(dict.fromkeys(task.machine for task in tasks))
    return CheckReport(
        holds=verdict is Verdict.HOLDS,
        profile=options.profile.name,
        seed=options.seed,
        seconds=round(time.monotonic() - started, 2),
        machines=tuple(
            _machine_report(name, [one for one in reports if one.machine == name]) for name in names
        ),
        engines=tuple(reports),
        verdict=verdict,
        kept=tuple(dict.fromkeys(kept)),
    )


def regression_folders(out: Path | None) -> tuple[Path, ...]:
    """Return the folders whose traces are replayed first: the checkout's, then the one named."""
    root = checkout()
    stored = [] if root is None else [root / "tests" / "regressions"]
    return (*stored, DEFAULT_OUT if out is None else out)


def kept_folder(out: Path | None) -> Path:
    """Return where failing traces are stored: where the user says, else as ``--help`` tells."""
    root = checkout()
    return out or (DEFAULT_OUT if root is None else root / "tests" / "regressions")


def _tasks(options: Options, started: float) -> Iterator[Task]:
    """Yield the tasks with their shares of the budget, those of greatest weight first."""
    subjects = chosen(options.machines)
    for engine in options.engines:
        if engine not in ENGINES:
            raise UnusableInput(f"there is no engine {engine!r}; there are {', '.join(ENGINES)}")
    engines = {
        name: weight
        for name, weight in ENGINES.items()
        if not options.engines or name in options.engines
    }
    whole = sum(one.weight for one in subjects) * sum(engines.values())
    second_shares = options.profile.seconds * options.workers
    kept = kept_folder(options.out)
    for engine, weight in sorted(
        engines.items(), key=lambda one: (one[0] != "regressions", -one[1])
    ):
        for one in subjects:
            plan = Plan(
                profile=options.profile,
                seed=options.seed,
                share_seconds=round(
                    min(second_shares * weight * one.weight / whole, options.profile.seconds), 1
                ),
                regressions=regression_folders(options.out),
                database=(options.out or DEFAULT_OUT) / "examples",
                spec=spec_folder(),
                versions=VERSIONS,
            )
            deadline = started + options.profile.seconds * options.profile.patience
            yield Task(machine=one.name, engine=engine, plan=plan, deadline=deadline, kept=kept)


def _run(tasks: Sequence[Task], workers: int, told: Told) -> Iterator[tuple[Task, EngineReport]]:
    if workers == 1:
        for task in tasks:
            progress = _progress(task, told)
            yield task, run_task(task, progress)
            told(task.machine, task.engine, "")
        return
    context = multiprocessing.get_context("spawn")
    channel = Channel(context.SimpleQueue(), context.Event())
    with ProcessPoolExecutor(
        workers, context, initializer=_begin_worker, initargs=(channel,)
    ) as pool:
        try:
            yield from _collect(pool, tasks, channel, told)
        except BrokenProcessPool as error:
            raise CouldNotFinish("a worker process was ended from outside") from error
        except BaseException:
            _give_up(channel)
            raise
        finally:
            channel.stop.set()
            pool.shutdown(wait=False, cancel_futures=True)


def _give_up(channel: "Channel") -> None:
    """End the workers at once; a further interrupt must not disturb it."""
    with _uninterrupted():
        channel.stop.set()
        for child in multiprocessing.active_children():
            child.terminate()
            child.join()


@contextlib.contextmanager
def _uninterrupted() -> Generator[None]:
    """Ignore interrupts, in workers that are started meanwhile as well; in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)


def _collect(
    pool: ProcessPoolExecutor, tasks: Sequence[Task], channel: "Channel", told: Told
) -> Iterator[tuple[Task, EngineReport]]:
    with _uninterrupted():
        waiting: dict[Future[EngineReport], Task] = {
            pool.submit(_work, task): task for task in tasks
        }
    while waiting:
        done, _ = wait(waiting, timeout=POLL_SECONDS)
        while not channel.messages.empty():
            told(*channel.messages.get())
        for future in done:
            task = waiting.pop(future)
            yield task, future.result()
            told(task.machine, task.engine, "")


class Channel:
    """What the parent shares with its workers: their messages to it, and its word to stop."""

    def __init__(self, messages: "SimpleQueue[tuple[str, str, str]]", stop: "Event") -> None:
        self.messages = messages
        self.stop = stop


_channel: Channel | None = None


def _begin_worker(channel: Channel) -> None:
    """Remember the channel of this worker process; an interrupt is the parent's to handle."""
    global _channel  # noqa: PLW0603 - a worker process has one channel, given when it starts
    _channel = channel
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _work(task: Task) -> EngineReport:
    channel = _channel
    assert channel is not None

    def told(machine: str, engine: str, message: str) -> None:
        if channel.stop.is_set():
            raise OutOfTime("the run was given up")
        channel.messages.put((machine, engine, message))

    return run_task(task, _progress(task, told))


def _progress(task: Task, told: Told) -> Progress:
    """Return a progress that passes messages on, and stops the engine when the budget is over."""

    def progress(message: str) -> None:
        if time.monotonic() > task.deadline:
            seconds = task.plan.profile.seconds * task.plan.profile.patience
            raise OutOfTime(f"{seconds} s are over; last seen: {message}")
        told(task.machine, task.engine, message)

    return progress


def run_task(task: Task, progress: Progress) -> EngineReport:
    """Run one engine on one machine. Raises ``InternalError`` for a fault of Plumbline itself."""
    (one,) = chosen((task.machine,))
    started = time.monotonic()
    until = min(started + task.plan.share_seconds, task.deadline)
    try:
        return one.run(task.engine, replace(task.plan, until=until), progress)
    except CouldNotFinish as error:
        return EngineReport(
            machine=task.machine,
            engine=task.engine,
            verdict=Verdict.UNFINISHED,
            summary=str(error),
            share_seconds=task.plan.share_seconds,
            seconds=time.monotonic() - started,
        )
    except PlumblineError:
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise InternalError(
            f"{task.engine} on {task.machine} ended by {type(error).__name__}: {error}"
            f" ({place.name}, {Path(place.filename).name} line {place.lineno})"
        ) from error


def _in_order(
    tasks: Sequence[Task], done: Iterator[tuple[Task, EngineReport]]
) -> Iterator[EngineReport]:
    """Yield the reports in the order of the tasks."""
    reports = {(task.machine, task.engine): report for task, report in done}
    for task in tasks:
        yield reports[task.machine, task.engine]


def _machine_report(name: str, reports: Sequence[EngineReport]) -> MachineReport:
    (one,) = chosen((name,))
    figures: dict[str, int] = {}
    for report in reports:
        for figure, value in report.figures.items():
            figures[figure] = figures.get(figure, 0) + value
    covered = {(pair.event, pair.outcome) for report in reports for pair in report.pairs}
    return MachineReport(
        name=name,
        states=figures.get("states", 0),
        transitions=figures.get("transitions", 0),
        complete=bool(figures.get("complete", 0)),
        examples=figures.get("examples", 0),
        steps=figures.get("steps", 0),
        clauses=len(one.clauses),
        variants=len(one.variants),
        variants_caught=figures.get("variants_caught", 0),
        mutants=figures.get("mutants", 0),
        mutants_killed=figures.get("mutants_killed", 0),
        mutants_equivalent=figures.get("mutants_equivalent", 0),
        pairs=len(one.pairs),
        pairs_covered=len(covered & set(one.pairs)),
        seconds=round(sum(report.seconds for report in reports), 2),
        holds=worst(reports) is Verdict.HOLDS,
    )


def _keep(task: Task, report: EngineReport) -> Iterator[str]:
    """Store the trace of each finding, unless it was a stored one that failed again."""
    if report.engine in ("regressions", "vectors", "diff"):
        return
    for finding in report.findings:
        try:
            yield str(keep(task.kept, report.machine, finding))
        except OSError as error:
            yield f"nothing: {task.kept} cannot be written ({error.strerror})"


def keep(folder: Path, machine: str, finding: Finding) -> Path:
    """Store a finding's trace below ``folder``, named for what it shows. Raises ``OSError``."""
    slug = "".join(char if char.isalnum() else "-" for char in finding.name).strip("-").lower()
    path = folder / f"{machine}-{slug[:48]}-{digest_of(finding.trace.encode())[:8]}.jsonl"
    write_atomically(path, finding.trace.encode())
    return path
