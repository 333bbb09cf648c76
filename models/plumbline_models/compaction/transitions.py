"""The step of compaction: which function applies an event.

Chapter ``spec/compaction.md``, "Events".
"""

from plumbline_models.compaction.passes import commit, evaluate, host_step, select
from plumbline_models.compaction.released import step as step_of_release
from plumbline_models.compaction.sweeps import compact_leaf, sweep, sweep_until
from plumbline_models.compaction.values import (
    Commit,
    CompactLeaf,
    Evaluate,
    Event,
    Outcome,
    Rules,
    Select,
    State,
    Sweep,
    SweepUntil,
)


def step(rules: Rules, state: State, event: Event) -> tuple[State, Outcome]:
    """Apply one event (chapter, "Events").

    Total: every event in every state has an outcome. A refusal returns ``state`` itself.
    """
    if rules.release is not None:
        return step_of_release(rules, rules.release, state, event)
    match event:
        case Evaluate():
            return state, evaluate(rules, state, event)
        case Select():
            return state, select(rules, state, event)
        case Commit():
            return commit(rules, state, event)
        case CompactLeaf():
            return compact_leaf(rules, state, event)
        case Sweep():
            return sweep(rules, state, event)
        case SweepUntil():
            return sweep_until(rules, state, event)
        case _:
            return host_step(rules, state, event)
