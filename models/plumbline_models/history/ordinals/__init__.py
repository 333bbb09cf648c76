"""How real systems got the active context wrong (chapter ``spec/ordinals.md``), by what they got wrong.

=================  ==================================================================================
module             what is wrong in it
=================  ==================================================================================
``making``         nothing: how wrong machines are made
``closing_up``     the ordinals that a replacement, a prune or a reordering leaves behind
``lineage``        what a summary says that it stands for, its depth, and the rows of its messages
``replacing``      which items a replacement takes and where it puts the summary; rolling it back
``leaving``        pruning, forgetting, evicting, and the records of it
``identity``       ids, sequence numbers, opening, and conversations that touch each other
=================  ==================================================================================

A pull request, issue or release is that of the system named. "All releases" means those up to August 2026.
"""

from plumbline_models.history.ordinals import closing_up, identity, leaving, lineage, replacing
from plumbline_models.history.ordinals.making import OrdinalsVariant

VARIANTS: tuple[OrdinalsVariant, ...] = (
    *closing_up.VARIANTS,
    *lineage.VARIANTS,
    *replacing.VARIANTS,
    *leaving.VARIANTS,
    *identity.VARIANTS,
)
"""Every variant of ordinals; each clause of the machine has at least one that no other clause catches."""
