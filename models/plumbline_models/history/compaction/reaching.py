"""Machines that break nothing because what would be hard never happens in them."""

from msgspec.structs import replace

from plumbline_models.compaction import Scope, Step
from plumbline_models.compaction.reaching import about_reach
from plumbline_models.compaction.values import Commit, Committed, Event, Outcome, State
from plumbline_models.decisions.escalation import Answer
from plumbline_models.history import CONSTRUCTED, Variant
from plumbline_models.history.compaction.making import (
    DENIED,
    LONG,
    LONG_FIRST,
    MIDDLE,
    SHORT,
    CompactionVariant,
    commits,
    meanwhile,
    right,
    stepping,
    sweeps,
    unknown,
)

_REACHED = {one.id: one.reached for one in about_reach()}


def _without(clause: str) -> Step:
    """Return a step that refuses whatever reaches a clause."""

    def one_step(state: State, event: Event) -> tuple[State, Outcome]:
        after, outcome = right(state, event)
        if _REACHED[clause](state, event, outcome, after):
            return state, unknown()
        return after, outcome

    return one_step


def _no_commit(state: State, event: Event) -> tuple[State, Outcome]:
    after, outcome = right(state, event)
    if isinstance(event, Commit) and isinstance(outcome, Committed):
        return state, unknown()
    return after, outcome


def alone(rows: str, script: tuple[Answer, ...]) -> Scope:
    """Return a scope of commits of what is selected and of nothing else."""
    return replace(commits(rows, script), refusals=False)


def _never(name: str, clause: str, scope: Scope, story: str) -> CompactionVariant:
    return Variant(
        name=name,
        machine=stepping(name, _without(clause)),
        breaks=clause,
        source=CONSTRUCTED,
        story=story,
        scope=scope,
        sole=True,
    )


VARIANTS: tuple[CompactionVariant, ...] = (
    _never(
        "NO_SECOND_ANSWER",
        "CMP-24",
        alone("au", LONG_FIRST),
        "No second answer is ever taken, so nobody learns whether it would be.",
    ),
    _never(
        "NO_FALLBACK",
        "CMP-25",
        alone("au", LONG),
        "A pass whose answers are all too long is not made, so no source is ever cut.",
    ),
    _never(
        "NO_CUT_ANSWER",
        "CMP-26",
        alone("lu", MIDDLE),
        "An answer beyond its limit is refused, so none is ever cut.",
    ),
    Variant(
        name="NO_COMMIT",
        machine=stepping("NO_COMMIT", _no_commit),
        breaks="CMP-27",
        source=CONSTRUCTED,
        story="Nothing is ever committed, so nothing is ever stale that once stood.",
        scope=commits("au"),
        sole=True,
    ),
    _never(
        "NO_UNANSWERED_SWEEP",
        "CMP-28",
        sweeps("lu", DENIED),
        "A sweep to which nobody answers is refused before it takes its last resort.",
    ),
    _never(
        "NO_WRAP",
        "CMP-29",
        sweeps("lEu", SHORT),
        "A last resort among summaries and messages is refused.",
    ),
    _never(
        "NO_MISSED_TARGET",
        "CMP-30",
        sweeps("aau", LONG),
        "A sweep whose target is out of reach is refused before it says so.",
    ),
    _never(
        "NOTHING_BEHIND_NOTHING",
        "CMP-31",
        commits("Elu"),
        "What stands behind messages that say nothing is not offered.",
    ),
    _never(
        "NO_LATER_RUN",
        "CMP-32",
        commits("lEllu", summaries=3),
        "A later run of a depth is not offered.",
    ),
    _never(
        "NO_EARLIER_USER",
        "CMP-33",
        commits("lua"),
        "No selection is offered while the newest message of a user is older than the tail.",
    ),
    _never(
        "NO_DEEPER",
        "CMP-34",
        commits("llllu", summaries=7),
        "Summaries of summaries are never condensed.",
    ),
    _never(
        "ONE_KIND_AT_ONCE",
        "CMP-35",
        sweeps("llu", SHORT),
        "A sweep makes leaves or condenses, and never both.",
    ),
    _never(
        "NOTHING_SAID_MEANWHILE",
        "CMP-36",
        meanwhile("lu", SHORT),
        "Nobody says anything while a summariser is asked.",
    ),
    _never(
        "NOTHING_SELECTED_ANEW",
        "CMP-37",
        meanwhile("lllu", SHORT),
        "What others made stale is not selected anew.",
    ),
)
