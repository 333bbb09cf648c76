"""Machines in which a hard case never occurs."""

from msgspec.structs import replace

from plumbline_models.anchoring import WINDOWS, Scope
from plumbline_models.anchoring.reaching import about_reach
from plumbline_models.anchoring.values import (
    Event,
    Loss,
    Outcome,
    Refusal,
    Refused,
    State,
)
from plumbline_models.decisions.refreshing import Mode
from plumbline_models.history import CONSTRUCTED, Variant
from plumbline_models.history.anchoring.making import (
    COUNTED,
    MERGED,
    AnchoringVariant,
    right,
    stepping,
)


def _never(name: str, clause: str, scope: Scope, story: str) -> AnchoringVariant:
    """Return a machine that refuses whatever reaches a clause."""
    reached = {one.id: one for one in about_reach()}[clause].reached

    def one_step(state: State, event: Event) -> tuple[State, Outcome]:
        after, outcome = right(state, event)
        if reached(state, event, outcome, after):
            return state, Refused(reason=Refusal.UNKNOWN_SNAPSHOT)
        return after, outcome

    return Variant(
        name=name,
        machine=stepping(name, one_step),
        breaks=clause,
        source=CONSTRUCTED,
        story=story,
        scope=scope,
        sole=True,
    )


VARIANTS: tuple[AnchoringVariant, ...] = (
    _never(
        "NOTHING_LATE",
        "ANC-29",
        replace(MERGED, modes=(Mode.FULL,), late=True),
        "No outcome comes in of a decision under an earlier snapshot.",
    ),
    _never(
        "NEVER_OLD_AND_FRESH",
        "ANC-30",
        replace(MERGED, snapshots=3, times=(0, 15, 22)),
        "Exactness is never too old while the snapshot is fresh.",
    ),
    _never(
        "ALWAYS_SOME_MERGE",
        "ANC-31",
        replace(MERGED, windows=(replace(WINDOWS, merges=0),)),
        "Windows that allow no merge never make a rebuild.",
    ),
    _never(
        "NEVER_SEEN_BY_THE_CHAIN",
        "ANC-32",
        replace(MERGED, backfills=True),
        "No refresh sees by a chain that the log is another one.",
    ),
    _never(
        "NO_VERDICT_DOUBTED",
        "ANC-33",
        replace(MERGED, outcomes=0, gates=1, drift=True),
        "No drift is ever detected in the lineage of a verdict's snapshot.",
    ),
    _never(
        "NO_FOUNDATION",
        "ANC-34",
        replace(MERGED, outcomes=2, modes=(Mode.FULL,), truncations=True),
        "No rebuild begins with the statistics of rows that are gone.",
    ),
    _never(
        "GONE_AND_UNASKED",
        "ANC-35",
        replace(COUNTED, truncations=True),
        "No outcome is handed again whose row is gone.",
    ),
    _never(
        "NO_GATE_MERGES",
        "ANC-36",
        replace(MERGED, gates=1),
        "No gate opens with a merge.",
    ),
    _never(
        "NEVER_MOVED_ON",
        "ANC-37",
        replace(MERGED, gates=1),
        "No gate closes after somebody published.",
    ),
    _never(
        "NOTHING_SPARED",
        "ANC-38",
        replace(MERGED, collections=(0,)),
        "No collection comes while only a merge needs its base.",
    ),
    _never(
        "NEVER_LEFT_ALONE",
        "ANC-39",
        replace(COUNTED, outcomes=2, losses=(Loss.LIVE_STALE,)),
        "No outcome is logged while the live delta ends elsewhere.",
    ),
)
"""Variants that break ANC-29 to ANC-39; none of them is caught by any other clause."""
