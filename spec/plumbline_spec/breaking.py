"""What a rule set breaks: every clause, each with a shortest trace.

Theory of operation. An exploration ends at the first step that breaks anything. So it is begun
again without the clauses that were broken, until a scope is completed; what breaks later is then
found behind what breaks first. A trace is a shortest one in the first scope that breaks its clause.
"""

from collections.abc import Sequence
from typing import TypeVar

from msgspec.structs import replace

from plumbline_models.contract import Machine
from plumbline_spec.clause_table import Progress, silent
from plumbline_spec.engines import findings_of
from plumbline_spec.explore import MAX_STATES, Counterexample, explore
from plumbline_spec.report import EngineReport, Finding, Verdict

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")


def every_broken(
    machine: Machine[S, E, O, C],
    scopes: Sequence[C],
    *,
    max_states: int = MAX_STATES,
    without: frozenset[str] = frozenset(),
    progress: Progress = silent,
) -> EngineReport:
    """Explore a machine until nothing more breaks; one finding for each step that breaks more."""
    findings: list[Finding] = []
    broken: set[str] = set()
    bounds: list[str] = []
    states = 0
    for scope in scopes:
        while True:
            left_out = without | broken
            walk = explore(
                machine, scope, max_states=max_states, without=left_out, progress=progress
            )
            if walk.counterexample is None:
                bounds += [walk.bound] if walk.bound is not None else []
                states += walk.states
                break
            (found,) = findings_of(machine, walk.counterexample)
            findings.append(replace(found, detail=_said(machine, walk.counterexample)))
            broken |= {one.clause for one in walk.counterexample.broken}
    held = [one.id for one in machine.clauses if one.id not in broken | without]
    said = f"{len(broken)} clauses broken by {machine.rules_name}, {len(held)} hold or are not met"
    verdict = Verdict.UNFINISHED if bounds else Verdict.HOLDS
    return EngineReport(
        machine=machine.name,
        engine="rules",
        verdict=Verdict.BROKEN if broken else verdict,
        summary=f"{said} in {states:,} states",
        figures={"broken": len(broken), "states": states},
        details=tuple(f"stopped at {bound}" for bound in bounds),
        findings=tuple(findings),
        clauses=tuple(sorted(broken)),
    )


def _said(machine: Machine[S, E, O, C], found: Counterexample[E]) -> str:
    """Return what was promised and what was found, a pair of lines for each clause."""
    sentences = {one.id: f"{one.id} ({one.title}). {one.sentence}" for one in machine.clauses}
    return "\n  ".join(f"{sentences[one.clause]}\n  Found: {one.witness}." for one in found.broken)
