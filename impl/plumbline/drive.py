"""Drive: a history made of a real transcript, every step of it taken on model and SQLite."""

import time
from pathlib import Path

from plumbline.check import keep, kept_folder
from plumbline.registry import ordinals_case
from plumbline.scripted import history
from plumbline.transcript import Transcript
from plumbline_models.ordinals import Event
from plumbline_spec.clause_table import Progress
from plumbline_spec.coverage import Coverage
from plumbline_spec.engines import finding_of
from plumbline_spec.report import EngineReport, Finding, PairSteps, Verdict
from plumbline_spec.shrink import shrink_failure
from plumbline_spec.trial import Failure, Trial

PROGRESS_EVENTS = 50


def drive(transcript: Path, seed: int, out: Path | None, progress: Progress) -> EngineReport:
    """Take the history of a transcript on model and SQLite; store the shrunk trace of a failure.

    Raises ``UnusableTranscript`` with the line at fault.
    """
    started = time.perf_counter()
    case = ordinals_case()
    source = Transcript(transcript)
    messages = tuple(source.messages())
    coverage = Coverage(case.machine)
    judged = case.durable()
    trial = Trial(case.machine, judged, coverage=coverage)
    taken: list[Event] = []
    try:
        failure = trial.begin()
        events = history(messages, seed)
        event = next(events, None)
        while event is not None and failure is None:
            taken.append(event)
            failure = trial.take(event)
            if len(taken) % PROGRESS_EVENTS == 0:
                progress(f"{len(taken):,} events")
            try:
                event = events.send(trial.state)
            except StopIteration:
                event = None
    finally:
        judged.host.close()
    findings: tuple[Finding, ...] = ()
    kept: tuple[str, ...] = ()
    if failure is not None:
        findings = (_shrunk(tuple(taken), failure),)
        path = keep(kept_folder(out), case.machine.name, findings[0])
        kept = (f"kept {path}; repeat it with: plumbline replay {path}",)
    covered = coverage.result()
    context = max((len(one.context) for one in trial.state.conversations), default=0)
    return EngineReport(
        machine=case.machine.name,
        engine="transcript",
        verdict=Verdict.HOLDS if failure is None else Verdict.BROKEN,
        summary=f"{len(messages):,} messages, {len(taken):,} events, "
        f"context of {context} items at the end, every clause at every step, "
        f"{time.perf_counter() - started:.1f} s",
        figures={"messages": len(messages), "steps": len(taken)},
        details=(*(f"{one.event} {one.outcome}: {one.steps:,}" for one in covered.pairs), *kept),
        pairs=tuple(
            PairSteps(event=one.event, outcome=one.outcome, steps=one.steps)
            for one in covered.pairs
        ),
        clauses=tuple(one.clause for one in covered.clauses if one.steps),
        findings=findings,
        seconds=time.perf_counter() - started,
    )


def _shrunk(events: tuple[Event, ...], failure: Failure) -> Finding:
    case = ordinals_case()
    scope = case.scopes["quick"].descend[0]
    short, shown = shrink_failure(case.machine, case.host, events, failure, scope)
    return finding_of(case.machine, shown, short, "transcript")
