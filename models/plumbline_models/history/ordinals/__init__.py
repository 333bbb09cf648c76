"""How real systems got the active context wrong (chapter ``spec/ordinals.md``).

==============  ==================================================================================
module          what is wrong in it
==============  ==================================================================================
``making``      nothing: how wrong machines are made of the right one
``closing_up``  the ordinals that a replacement, a prune or a reordering leaves behind
``lineage``     what a summary says that it stands for, its depth, and the rows of its messages
``replacing``   which items a replacement takes, where the summary is put, and rolling it back
``leaving``     pruning, forgetting, evicting, and the records of it
``identity``    ids, numbers, appending, opening, and conversations that touch each other
==============  ==================================================================================

Numbers of issues and pull requests are those of the system named with them. "All releases" are
those up to August 2026, and "probed" means that the released code was run and answered so.
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
"""Every variant of ordinals; each clause has at least one that no other clause catches."""
