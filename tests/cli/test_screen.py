"""What a report shows beside its tables."""

import pytest

from plumbline.check import CheckReport
from plumbline.screen import show_check
from plumbline_spec.report import EngineReport, Verdict


@pytest.mark.parametrize("verdict", [Verdict.HOLDS, Verdict.BROKEN])
def test_a_detail_is_shown_whether_the_engine_holds_or_not(
    capsys: pytest.CaptureFixture[str], verdict: Verdict
) -> None:
    """A mutant may survive where most are killed; its diff is shown all the same."""
    survived = "mutant survived: ordinals.step.drop#1 (ordinals.py:1)\n-    gone\n+    pass"
    engine = EngineReport(
        machine="ordinals", engine="quality", verdict=verdict, summary="", details=(survived,)
    )
    report = CheckReport(
        holds=verdict is Verdict.HOLDS,
        profile="ci",
        seed=1,
        seconds=0.0,
        machines=(),
        engines=(engine,),
        verdict=verdict,
    )
    show_check(report, tables=False)
    assert f"ordinals quality: {survived}" in capsys.readouterr().out
