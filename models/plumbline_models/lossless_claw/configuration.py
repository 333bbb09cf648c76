"""How the released engine is configured, and what it makes of odd values.

Theory of operation. A host gives any of the fields; the rest have defaults. What is not a finite
number above zero becomes the default, but for the fresh tail, which becomes 0: nothing is protected
then. Fractions are cut off.
"""

from typing import TypeVar

from msgspec import Struct

Given = int | float | None
D = TypeVar("D", int, None)

UNBOUNDED = 2**53


class Configuration(Struct, frozen=True, kw_only=True):
    """As a host gives it; field names are those of lossless-claw."""

    contextThreshold: float = 0.75  # noqa: N815 - the released name
    freshTailCount: Given = 64  # noqa: N815
    freshTailMaxTokens: Given = None  # noqa: N815
    leafMinFanout: Given = 8  # noqa: N815
    condensedMinFanout: Given = 4  # noqa: N815
    condensedMinFanoutHard: Given = 2  # noqa: N815
    incrementalMaxDepth: Given = 1  # noqa: N815
    sweepMaxDepth: Given = None  # noqa: N815
    leafChunkTokens: Given = 20_000  # noqa: N815
    leafTargetTokens: Given = 2_400  # noqa: N815
    condensedTargetTokens: Given = 2_000  # noqa: N815
    maxRounds: Given = 10  # noqa: N815
    summaryMaxOverageFactor: float = 3.0  # noqa: N815
    fallbackMaxTokens: Given = 512  # noqa: N815
    maxSweepIterations: Given = 12  # noqa: N815
    summaryPrefixTargetTokens: Given = None  # noqa: N815
    timezone: str = "UTC"


class Resolved(Struct, frozen=True, kw_only=True):
    """What the engine goes by."""

    threshold: float
    fresh_tail: int
    fresh_tail_tokens: int | None
    leaf_fanout: int
    condensed_fanout: int
    hard_fanout: int
    depth: int
    leaf_chunk: int
    leaf_target: int
    condensed_target: int
    rounds: int
    overage: float
    fallback_cap: int
    passes: int
    prefix_target: int | None
    sweep_depth: int

    @property
    def least_condensed(self) -> int:
        """Tokens that the sources of a condensed pass have at least."""
        return max(self.condensed_target, int(self.leaf_chunk * 0.1 // 1))

    def limit(self, budget: int) -> int:
        """Return the size above which a context is compacted."""
        return int(self.threshold * budget // 1)


def resolved(given: Configuration) -> Resolved:
    """Return what the engine makes of a configuration."""
    depth = given.incrementalMaxDepth
    sweep = depth if given.sweepMaxDepth is None else given.sweepMaxDepth
    return Resolved(
        threshold=given.contextThreshold,
        fresh_tail=_positive(given.freshTailCount, 0),
        fresh_tail_tokens=_positive(given.freshTailMaxTokens, None),
        leaf_fanout=_positive(given.leafMinFanout, 8),
        condensed_fanout=_positive(given.condensedMinFanout, 4),
        hard_fanout=_positive(given.condensedMinFanoutHard, 2),
        depth=_depth(depth),
        leaf_chunk=_positive(given.leafChunkTokens, 20_000),
        leaf_target=_positive(given.leafTargetTokens, 2_400),
        condensed_target=_positive(given.condensedTargetTokens, 2_000),
        rounds=_positive(given.maxRounds, 10),
        overage=given.summaryMaxOverageFactor,
        fallback_cap=max(64, _positive(given.fallbackMaxTokens, 512)),
        passes=_positive(given.maxSweepIterations, 12),
        prefix_target=_positive(given.summaryPrefixTargetTokens, None),
        sweep_depth=_depth(sweep),
    )


def _positive(given: Given, default: D) -> int | D:
    """Return a number above zero without its fraction, and the default for anything else."""
    if given is None or not 0 < given < UNBOUNDED:
        return default
    return int(given) or default


def _depth(given: Given) -> int:
    """Return how deep to condense; below zero is without a bound."""
    if given is None or not -UNBOUNDED < given < UNBOUNDED:
        return 0
    return UNBOUNDED if given < 0 else int(given)
