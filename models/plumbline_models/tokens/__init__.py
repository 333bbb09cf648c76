"""Tokens: the ledger of what stands in a context, on which every decision to compact rests.

Chapter ``spec/tokens.md``.

Theory of operation. Every stored message and summary has one count, made or checked when it is
stored and never changed. The total of a conversation is the sum of the counts of what stands in its
context. Whatever changes the context moves the total by those same counts, so before, removed,
added and after are one sum in one measure. Decisions read the total and nothing else.

States    ``State``: a state of ordinals, and a ``Ledger`` for each of its conversations
Events    ``Open`` ``Append`` ``Replace`` ``RollBack`` ``Prune`` ``Forget`` ``Weigh``
Outcomes  ``Posted`` with the outcome of ordinals, ``Weighed``, ``Refused``
Clauses   TOK-1 to TOK-6 about states, TOK-7 to TOK-17 about steps, TOK-18 to TOK-22 about what is
          reached, and those of ordinals, inherited; their predicates are in ``clauses``

How a text is counted and where thresholds lie is decided without state: ``decisions.counting`` and
``decisions.limits``.
"""

from collections.abc import Callable, Iterator
from typing import TypeAlias

import msgspec
from msgspec import Struct

from plumbline_models import contract, ordinals
from plumbline_models.decisions.counting import Door, Doubt, Measure
from plumbline_models.decisions.limits import Limits, Regime
from plumbline_models.ordinals import PAIRS as PAIRS_OF_ORDINALS
from plumbline_models.tokens.clauses import clauses
from plumbline_models.tokens.scope import Scope, choices, in_scope
from plumbline_models.tokens.transitions import step
from plumbline_models.tokens.values import (
    SPEC,
    Append,
    Count,
    Draft,
    Event,
    Ledger,
    Listed,
    Outcome,
    Posted,
    Posting,
    Refused,
    Replace,
    Rules,
    State,
    Weigh,
    Weighed,
)

__all__ = [
    "PAIRS",
    "RULE_SETS",
    "SPEC",
    "Append",
    "Count",
    "Door",
    "Doubt",
    "Draft",
    "Event",
    "Ledger",
    "Limits",
    "Listed",
    "Machine",
    "Measure",
    "Outcome",
    "Posted",
    "Posting",
    "Record",
    "Refused",
    "Regime",
    "Replace",
    "Rules",
    "Scope",
    "State",
    "Step",
    "Weigh",
    "Weighed",
    "assembled",
    "machine",
]

Machine: TypeAlias = contract.Machine[State, Event, Outcome, Scope]
Step: TypeAlias = Callable[[State, Event], tuple[State, Outcome]]

RULE_SETS = (
    SPEC,
    Rules(name="DELTAS", posting=Posting.FALLBACK),
    Rules(name="CLAMPED_DELTAS", posting=Posting.CLAMPED),
    Rules(name="BEFORE_295", door=Door.OPEN, measure=Measure.UTF16),
    Rules(name="PR295", door=Door.OPEN, measure=Measure.UTF16, posting=Posting.FALLBACK),
    Rules(name="CLAMPED", door=Door.OPEN, posting=Posting.CLAMPED),
    Rules(name="UTF16", measure=Measure.UTF16),
)
"""The specification; the released ways to follow a total behind its door; released systems."""


class Record(Struct, frozen=True, kw_only=True):
    """An event, its outcome and the state after it; the JSON Schema is made from this."""

    event: Event
    outcome: Outcome
    state: State


_events: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_outcomes: msgspec.json.Decoder[Outcome] = msgspec.json.Decoder(Outcome)
_states: msgspec.json.Decoder[State] = msgspec.json.Decoder(State)


def machine(rules: Rules = SPEC) -> Machine:
    """Return tokens under a rule set."""
    return assembled(rules.name, lambda state, event: step(rules, state, event))


def assembled(
    rules_name: str,
    one_step: Step,
    initial: State = State(),  # noqa: B008 - immutable
    measured: Callable[[str], int] | None = None,
) -> Machine:
    """Return tokens with another step, initial state or estimate: how variants are made."""
    return contract.Machine(
        name="tokens",
        rules_name=rules_name,
        initial=initial,
        kinds=(
            ordinals.Open,
            Append,
            Replace,
            ordinals.RollBack,
            ordinals.Prune,
            ordinals.Forget,
            Weigh,
        ),
        reading=(Weigh,),
        decode=_events.decode,
        decode_outcome=_outcomes.decode,
        decode_state=_states.decode,
        record=Record,
        step=one_step,
        events=in_scope,
        choices=choices,
        clauses=clauses() if measured is None else clauses(measured),
        outcome_name=outcome_name,
        pairs=PAIRS,
        partition=partition,
    )


def partition(state: State) -> dict[str, State]:
    """Return a state of one conversation for each conversation."""
    return {
        one.id: State(
            lists=ordinals.State(conversations=(one,)),
            ledgers=tuple(ledger for ledger in state.ledgers if ledger.conversation == one.id),
        )
        for one in state.lists.conversations
    }


def outcome_name(outcome: Outcome) -> str:
    """Name an outcome in tables: ``Posted(Replaced)``, ``Weighed(soft)``, ``Refused(...)``."""
    match outcome:
        case Posted(outcome=listed):
            return f"Posted({type(listed).__name__})"
        case Weighed(regime=regime):
            return f"Weighed({regime.value})"
        case Refused(reason=reason):
            return f"Refused({reason.value})"
        case _:
            return ordinals.outcome_name(outcome)


def _pairs() -> Iterator[tuple[str, str]]:
    for event, outcome in PAIRS_OF_ORDINALS:
        if not outcome.startswith("Refused"):
            yield event, f"Posted({outcome})"
            if event in {"Append", "Replace"}:
                yield from ((event, f"Refused({doubt.value})") for doubt in Doubt)
        else:
            yield event, outcome
    yield from (("Weigh", f"Weighed({regime.value})") for regime in Regime)
    yield "Weigh", "Refused(unknown_conversation)"


PAIRS = tuple(_pairs())
"""Every (event, outcome) that can occur: the rows of the chapter's event table."""
