"""What an engine reports: a verdict, figures, and for a failure all that it takes to repeat it."""

from collections.abc import Iterable
from enum import Enum

from msgspec import Struct

from plumbline_spec.trial import Difference


class Verdict(Enum):
    """How an engine ended."""

    HOLDS = "holds"
    BROKEN = "broken"
    """A clause is broken or answers differ."""
    UNFINISHED = "unfinished"
    """The minimum was not done: out of time, or a bound was reached."""
    NOT_APPLICABLE = "not applicable"
    """The host lacks a capability that the engine needs."""


class Row(Struct, frozen=True, kw_only=True):
    """One step of a failing trace."""

    step: int
    event: str
    outcome: str


class Finding(Struct, frozen=True, kw_only=True):
    """A failure: what is broken, where, and the shortest trace to it."""

    name: str
    """The clause, or what differs."""
    detail: str
    """The witness."""
    rows: tuple[Row, ...] = ()
    differences: tuple[Difference, ...] = ()
    trace: str = ""
    """The trace as JSON Lines, to be kept and replayed."""


class PairSteps(Struct, frozen=True, kw_only=True):
    """How many steps had an event with an outcome."""

    event: str
    outcome: str
    steps: int


class Fate(Struct, frozen=True, kw_only=True):
    """What became of one mutant."""

    id: str
    operator: str
    place: str
    """File and line."""
    killed_by: str | None
    """The engine that broke on it; None when it survived."""
    witness: str
    """What broke."""
    proof: str | None
    """Why no event can tell a survivor from the shipped build; None when there is no proof."""
    diff: str


class EngineReport(Struct, frozen=True, kw_only=True):
    """What one engine reports about one machine."""

    machine: str
    engine: str
    verdict: Verdict
    summary: str
    """The figures in a line."""
    figures: dict[str, int] = {}
    details: tuple[str, ...] = ()
    """What else a reader wants to know, a line each."""
    table: tuple[tuple[str, ...], ...] = ()
    """Rows to print in full when the engine is asked for by name; the first is the heading."""
    mutants: tuple[Fate, ...] = ()
    pairs: tuple[PairSteps, ...] = ()
    clauses: tuple[str, ...] = ()
    """Clauses that were exercised."""
    findings: tuple[Finding, ...] = ()
    share_seconds: float = 0.0
    """The part of the budget that was the engine's."""
    seconds: float = 0.0
    """The wall time that it took."""

    @property
    def holds(self) -> bool:
        """Whether nothing is broken and nothing was left undone."""
        return self.verdict in (Verdict.HOLDS, Verdict.NOT_APPLICABLE)


class ClauseInfo(Struct, frozen=True, kw_only=True):
    """A clause as the chapter has it."""

    id: str
    title: str
    sentence: str
    about: str
    """``state``, ``step`` or ``reach``."""


def worst(reports: Iterable[EngineReport]) -> Verdict:
    """Return the verdict of several reports: broken before unfinished before holds."""
    verdicts = {report.verdict for report in reports}
    for verdict in (Verdict.BROKEN, Verdict.UNFINISHED):
        if verdict in verdicts:
            return verdict
    return Verdict.HOLDS
