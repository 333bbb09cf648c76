"""How real systems got the ledger wrong (chapter ``spec/tokens.md``).

============  ====================================================================================
module        what is wrong in it
============  ====================================================================================
``making``    nothing: how wrong machines are made of the right one
``totals``    the total after an event, and what an outcome reports of it
``counting``  which count is stored for a text, estimated, believed or refused
``keeping``   counts that change or stay behind, and readings that write
``weighing``  which number a decision reads, where thresholds lie, and the edges
``reaching``  nothing but that a hard case never occurs
============  ====================================================================================

Numbers of issues and pull requests are those of the system named with them. "All releases" are
those up to August 2026.
"""

from plumbline_models.history.tokens import counting, keeping, reaching, totals, weighing
from plumbline_models.history.tokens.making import TokensVariant

__all__ = ["VARIANTS", "TokensVariant"]

VARIANTS: tuple[TokensVariant, ...] = (
    *totals.VARIANTS,
    *counting.VARIANTS,
    *keeping.VARIANTS,
    *weighing.VARIANTS,
    *reaching.VARIANTS,
)
"""Every variant of tokens; each clause of its own has at least one that no other clause catches."""
