"""Builds with a fault in them, and settings that are unsafe: each is caught by its engine."""

import pytest

from plumbline.registry import intake_case, ordinals_case, tokens_case
from plumbline_models import tokens
from plumbline_spec.case import Build
from plumbline_spec.clause_table import silent
from plumbline_spec.faults import run_faults
from plumbline_spec.interleave import run_interleave
from plumbline_spec.publishing import CARELESS
from plumbline_spec.report import EngineReport, Verdict
from tests.plans import PLAN

TokensBuild = Build[tokens.State, tokens.Event, tokens.Outcome, tokens.Scope]

BROKEN_BUILDS = {
    "no transaction": ("faults", "FLT-1"),
    "two transactions for one event": ("interleave", "SCH-4"),
    "no request id": ("faults", "FLT-1"),
    "deferred begin": ("interleave", "SCH-2"),
    "total outside the transaction": ("faults", "FLT-1"),
    "retry of a commit that had committed": ("faults", "FLT-5"),
    "a handler that swallows busy": ("interleave", "SCH-1"),
}
"""What a build gets wrong, the engine that must find it, and the clause that it breaks. The eighth,
a folder that is not synced, is about the writer of files and a control of ``faults`` itself."""


@pytest.fixture(scope="module")
def reports() -> dict[str, EngineReport]:
    """Return what the two engines report about tokens."""
    case = tokens_case()
    return {
        "faults": run_faults(case, PLAN, silent),
        "interleave": run_interleave(case, PLAN, silent),
    }


def verdicts(report: EngineReport) -> dict[str, str]:
    """Return the last cell of each row of a report's table by its first one."""
    return {row[0]: row[-1] for row in report.table}


def test_every_build_has_an_engine_that_is_named(reports: dict[str, EngineReport]) -> None:
    known = {(build.name, build.engine): build.breaks for build in tokens_case().builds}
    for name, (engine, clause) in BROKEN_BUILDS.items():
        assert known[name, engine] == clause
    assert {report.verdict for report in reports.values()} == {Verdict.HOLDS}


@pytest.mark.parametrize("name", BROKEN_BUILDS)
def test_a_broken_build_is_caught(reports: dict[str, EngineReport], name: str) -> None:
    engine, clause = BROKEN_BUILDS[name]
    shown = [row for row in reports[engine].table if name in row[0]]
    assert [clause in " ".join(row) for row in shown] == [True], shown


@pytest.mark.parametrize("careless", [one.name for one in CARELESS])
def test_a_careless_writer_is_caught(reports: dict[str, EngineReport], careless: str) -> None:
    """FLT-7."""
    assert verdicts(reports["faults"])[f"writer: {careless}"] == "caught by FLT-7"


@pytest.mark.parametrize(
    "setting",
    [
        "delete/full",
        "delete/normal",
        "delete/off",
        "wal/normal",
        "wal/off",
        "memory/extra",
        "wal/full, syncs lie",
        "delete/extra, syncs lie",
    ],
)
def test_an_unsafe_setting_is_caught(reports: dict[str, EngineReport], setting: str) -> None:
    """What ships never fails in the same run."""
    said = verdicts(reports["faults"])[f"setting: {setting}"]
    assert said in ("caught by FLT-1", "caught by FLT-2", "caught by FLT-3")


def test_only_a_machine_with_a_ledger_has_a_total_to_be_wrong() -> None:
    with_total = {
        case.machine.name
        for case in (ordinals_case(), tokens_case(), intake_case())
        if any(build.name == "total outside the transaction" for build in case.builds)
    }
    assert with_total == {"tokens", "intake"}
