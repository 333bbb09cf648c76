"""A plan that does little, for tests that run whole engines."""

from pathlib import Path

from plumbline_spec.case import Plan
from plumbline_spec.profiles import Profile

ROOT = Path(__file__).parents[1]
SPEC = ROOT / "spec"

TINY = Profile(
    name="quick",
    seconds=60,
    patience=5,
    examples=12,
    steps=30,
    durable_examples=1,
    afresh=False,
    histories_floor=0,
)

PLAN = Plan(profile=TINY, seed=7, spec=SPEC, versions={})
