"""Where the thresholds of a context lie, and in which regime a size is.

Chapter ``spec/tokens.md``, "Thresholds".

Theory of operation. A model is sent the context and other things beside it: instructions and tool
descriptions (``overhead``), and it needs room to answer (``reserve``). So a context fits when it is
at most ``hard = window - overhead - reserve``. Above ``soft`` there is time to compact before it
does not fit. Both are in tokens of the same measure as the ledger, and neither is ever negative.

At exactly a threshold a size is still below it: a context of ``hard`` tokens fits. The paper of the
field says both (its equation 1 has >=, its figure 2 has >); lossless-claw compares with >.
"""

from enum import Enum
from typing import Annotated

from msgspec import Meta, Struct

from plumbline_models.contract import MAX_INTEGER

_Tokens = Annotated[int, Meta(ge=0, le=MAX_INTEGER, description="in tokens")]


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model can take, and what of it is not for the context."""

    window: _Tokens
    """What the model takes in one call, its answer included."""
    overhead: _Tokens = 0
    """What is sent beside the context."""
    reserve: _Tokens = 0
    """What is kept free for the answer."""
    soft_percent: Annotated[
        int, Meta(ge=0, le=100, description="share of the window above which to compact")
    ] = 75


class Regime(Enum):
    """How urgent it is to make a context smaller."""

    WITHIN = "within"
    """At most the soft threshold: nothing to do."""
    SOFT = "soft"
    """Above the soft threshold and at most the hard one: it fits, and should become smaller."""
    HARD = "hard"
    """Above the hard threshold: it does not fit."""


class Thresholds(Struct, frozen=True, kw_only=True):
    """Two sizes of a context, in tokens; ``soft`` is at most ``hard``."""

    soft: int
    hard: int


def thresholds(limits: Limits) -> Thresholds:
    """Return the thresholds; each is 0 where nothing is left for the context."""
    hard = max(0, limits.window - limits.overhead - limits.reserve)
    soft = max(0, limits.window * limits.soft_percent // 100 - limits.overhead)
    return Thresholds(soft=min(soft, hard), hard=hard)


def regime(size: int, at: Thresholds) -> Regime:
    """Return the regime of a context of ``size`` tokens."""
    if size > at.hard:
        return Regime.HARD
    return Regime.SOFT if size > at.soft else Regime.WITHIN
