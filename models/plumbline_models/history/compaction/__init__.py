"""How real systems got compaction wrong (chapter ``spec/compaction.md``).

==============  ==================================================================================
module          what is wrong in it
==============  ==================================================================================
``making``      nothing: how wrong machines are made of the right one
``extents``     what is stored of the messages that a summary covers
``passes``      texts that are no shorter, what is protected, records, calls, fallbacks, limits
``committing``  which commits are refused, which answers are taken, what a refusal leaves
``reading``     evaluations and selections
``sweeping``    truth, bounds and progress of sweeps
``reaching``    nothing but that a hard case never occurs
==============  ==================================================================================

Numbers of issues and pull requests are those of the system named with them. "All releases" are
those up to August 2026. The paper is "LCM: Lossless Context Management" (arXiv 2605.04050), Volt
its authors' implementation.
"""

from plumbline_models.history.compaction import (
    committing,
    extents,
    passes,
    reaching,
    reading,
    sweeping,
)
from plumbline_models.history.compaction.making import CompactionVariant

__all__ = ["VARIANTS", "CompactionVariant"]

VARIANTS: tuple[CompactionVariant, ...] = (
    *extents.VARIANTS,
    *passes.VARIANTS,
    *committing.VARIANTS,
    *reading.VARIANTS,
    *sweeping.VARIANTS,
    *reaching.VARIANTS,
)
"""Every variant of compaction; each clause of its own has one that no other clause catches."""
