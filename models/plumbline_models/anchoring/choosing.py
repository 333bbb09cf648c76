"""What a refresh does, under a rule set: the table of ``decisions.refreshing``, or less of it."""

from msgspec.structs import replace

from plumbline_models.anchoring.queries import sight
from plumbline_models.anchoring.values import OpenGate, Refresh, Rules, State
from plumbline_models.contract import MAX_INTEGER
from plumbline_models.decisions.refreshing import (
    Choice,
    Ineligible,
    Reason,
    Sight,
    Way,
    Windows,
    choose,
)


def chosen(rules: Rules, state: State, event: Refresh | OpenGate) -> Choice | Ineligible:
    """Return the way of a refresh and the reason, or why it may not be made."""
    seen = _seen(rules, sight(state, event))
    choice = choose(event.mode, seen, _windows(rules, event.windows))
    reused = isinstance(choice, Choice) and choice.way is Way.REUSED_SNAPSHOT
    if reused and not rules.reuse:
        return Choice(way=Way.DELTA_MERGE, reason=Reason.LIVE_DELTA)
    return choice


def _seen(rules: Rules, seen: Sight) -> Sight:
    """Return a sight without what a rule set does not ask for."""
    if not rules.coverage:
        seen = replace(seen, covered=True)
    if not rules.epochs:
        seen = replace(seen, epoch=True)
    if not rules.chains:
        seen = replace(seen, drift=False)
    if not rules.lineage:
        seen = replace(seen, exact_age=seen.age)
    return seen


def _windows(rules: Rules, windows: Windows) -> Windows:
    if not rules.zeros:
        usual = Windows()
        windows = Windows(
            reuse=windows.reuse or usual.reuse,
            merges=windows.merges or usual.merges,
            exact=windows.exact or usual.exact,
        )
    if not rules.rebuilds:
        windows = Windows(reuse=MAX_INTEGER, merges=MAX_INTEGER, exact=MAX_INTEGER)
    if not rules.reuse:
        windows = replace(windows, reuse=MAX_INTEGER)
    return windows
