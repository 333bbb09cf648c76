"""The clauses of anchoring (chapter ``spec/anchoring.md``, "Clauses")."""

from plumbline_models.anchoring.clauses_of_publishing import about_publishing
from plumbline_models.anchoring.clauses_of_reading import about_reading
from plumbline_models.anchoring.clauses_of_states import about_states
from plumbline_models.anchoring.reaching import about_reach
from plumbline_models.anchoring.values import Event, Outcome, State
from plumbline_models.contract import Clause


def clauses() -> tuple[Clause[State, Event, Outcome], ...]:
    """Return the clauses of anchoring."""
    return (*about_states(), *about_publishing(), *about_reading(), *about_reach())
