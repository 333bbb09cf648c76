"""A plan that does little, for tests that run whole engines."""

from pathlib import Path

from plumbline_spec.case import Plan
from plumbline_spec.profiles import FaultEffort, Profile

ROOT = Path(__file__).parents[1]
SPEC = ROOT / "spec"

TINY = Profile(
    name="quick",
    seconds=5,
    patience=100,
    examples=12,
    steps=30,
    durable_examples=1,
    faults=FaultEffort(
        every_pair=False,
        settings=1,
        subsets=2,
        drawn=1,
        omitted=1,
        recoveries=0,
        closings=1,
        moments=2,
        strikes=2,
        histories=1,
    ),
    afresh=False,
    histories_floor=0,
)

PLAN = Plan(profile=TINY, seed=7, spec=SPEC, versions={})
