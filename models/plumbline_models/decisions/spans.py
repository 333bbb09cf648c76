"""Whether spans lie in a text, in order and apart.

Chapter ``spec/intake.md``, "State".
"""

from collections.abc import Iterable


def in_order(spans: Iterable[tuple[int, int]], length: int) -> bool:
    """Tell whether spans (start, length) follow each other within ``length`` code points."""
    reached = 0
    for start, extent in spans:
        if start < reached:
            return False
        reached = start + extent
    return reached <= length
