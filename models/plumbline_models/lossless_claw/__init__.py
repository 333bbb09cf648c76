"""The engine of lossless-claw as its releases behave: what the model of compaction is measured by.

Chapter ``spec/compaction.md``, "The released engine".

Theory of operation. This is no specification. It answers what three releases answered, mistakes
included, so that what is said of them can be shown: before its pull request 295, with it, and the
0.15 line at its tip of August 2026. Names of fields that a host configures are the released ones.
"""

from plumbline_models.lossless_claw.configuration import Configuration, Resolved, resolved
from plumbline_models.lossless_claw.engine import (
    Engine,
    Rounds,
    Told,
    append_row,
    compact_leaf,
    prune,
    replace_range,
)
from plumbline_models.lossless_claw.selection import boundary, raw_outside, total
from plumbline_models.lossless_claw.sweeps import compact_until, sweep
from plumbline_models.lossless_claw.values import (
    BEFORE_295,
    HEAD,
    PR295,
    RELEASES,
    Answer,
    Call,
    ConstraintError,
    Denied,
    Failure,
    Message,
    Raised,
    Row,
    Rules,
    Store,
    Summary,
    Text,
    Totals,
)

__all__ = [
    "BEFORE_295",
    "HEAD",
    "PR295",
    "RELEASES",
    "Answer",
    "Call",
    "Configuration",
    "ConstraintError",
    "Denied",
    "Engine",
    "Failure",
    "Message",
    "Raised",
    "Resolved",
    "Rounds",
    "Row",
    "Rules",
    "Store",
    "Summary",
    "Text",
    "Told",
    "Totals",
    "append_row",
    "boundary",
    "compact_leaf",
    "compact_until",
    "prune",
    "raw_outside",
    "replace_range",
    "resolved",
    "sweep",
    "total",
]
