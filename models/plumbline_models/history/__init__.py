"""How real systems got this wrong, one by one: wrong machines and the clauses that catch them.

Theory of operation. A judge that finds nothing may be blind. So each variant is a machine that is
wrong in one way, with the system that was wrong so, or ``constructed`` where none is known.
Exploring it within its scope must break the clause that it is said to break, and the unchanged
machine in the same scope must break none. A variant is ``sole`` when no other clause of its machine
notices it: a clause that has one is not idle, because without it the wrong machine would pass.

Every machine has a module here of its own name, with its ``VARIANTS``.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from msgspec import Struct

from plumbline_models.contract import Machine

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - S, E, O, C are the four letters of the contract
C = TypeVar("C")

CONSTRUCTED = "constructed"
"""The source of a variant that no known system is wrong by."""


class Variant(Struct, Generic[S, E, O, C], frozen=True, kw_only=True):
    """A wrong machine, where it comes from, and the clause that catches it."""

    name: str
    """In capitals; the machine's rules have the same name."""
    machine: Callable[[], Machine[S, E, O, C]]
    breaks: str
    """The clause that breaks at the first broken step of an exploration, maybe with others."""
    source: str
    """The system with its pull request, release or issue; ``CONSTRUCTED`` when there is none."""
    story: str
    """What goes wrong, in a sentence or two."""
    scope: C
    """A small scope in which exploring finds it."""
    sole: bool = False
    """Whether the whole scope is clean once the clause that it breaks is left out."""
    grants: tuple[str, ...] = ()
    """Clauses not judged, because the seeded initial state breaks them under the right step too."""
