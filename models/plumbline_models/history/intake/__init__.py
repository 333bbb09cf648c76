"""How real systems got intake wrong (chapter ``spec/intake.md``).

=============  ====================================================================================
module         what is wrong in it
=============  ====================================================================================
``making``     nothing: how wrong machines are made of the right one
``identity``   known rows that are stored again, and new ones that are taken for known
``storing``    what is stored of a row, what else changes with it, and what is said about it
``refusing``   guesses, and refusals that are wrong, partial or final
``reaching``   what never happens, so that nothing shows whether it would go right
=============  ====================================================================================

Numbers of issues and pull requests are those of the system named with them; "probed" means that the
released code was run and answered so.
"""

from plumbline_models.history.intake import identity, reaching, refusing, storing
from plumbline_models.history.intake.making import IntakeVariant

VARIANTS: tuple[IntakeVariant, ...] = (
    *identity.VARIANTS,
    *storing.VARIANTS,
    *refusing.VARIANTS,
    *reaching.VARIANTS,
)
"""Every variant of intake; each clause has one that no other clause catches."""
