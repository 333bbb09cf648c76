"""How real systems got anchoring wrong (chapter ``spec/anchoring.md``).

==============  ==================================================================================
module          what is wrong in it
==============  ==================================================================================
``making``      nothing: how wrong machines are made of the right one
``counting``    what snapshots and the live delta count, the log's order and chain, lineage
``publishing``  why a refresh is made, what it publishes, says and leaves to the live delta
``reading``     what is logged, rewritten and truncated; pins, gates, collections, answers
``reaching``    nothing but that a hard case never occurs
==============  ==================================================================================

Issues of openclaw-intelligence-core are those that tell of the mistake, or of what was there before
it was repaired; its code is not public. Releases and issues of Marten, and of JasperFx on which it
stands, are those with which the mistake became known; it is one of projections there, which have a
watermark and a row of progress as snapshots and deltas have here.
"""

from plumbline_models.history.anchoring import counting, publishing, reaching, reading
from plumbline_models.history.anchoring.making import AnchoringVariant

__all__ = ["VARIANTS", "AnchoringVariant"]

VARIANTS: tuple[AnchoringVariant, ...] = (
    *counting.VARIANTS,
    *publishing.VARIANTS,
    *reading.VARIANTS,
    *reaching.VARIANTS,
)
"""Every variant of anchoring; each clause has at least one that no other clause catches."""
