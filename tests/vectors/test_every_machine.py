"""What holds of the stored vectors and variant traces of every machine."""

import json
from collections.abc import Callable
from typing import TypeVar

import msgspec
import pytest
from jsonschema import ValidationError
from jsonschema import validate as validate_json

from plumbline.registry import intake_case, ordinals_case, tokens_case
from plumbline_spec.case import Case
from plumbline_spec.codec import canonical
from plumbline_spec.data import spec_folder
from plumbline_spec.quality import on_stored_traces
from plumbline_spec.traces import Trace, read
from plumbline_spec.vectors import Goal, goals_of, reached_by, tellable, verify

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")

SPEC = spec_folder()


def stored(case: Case[S, E, O, C], folder: str) -> list[Trace[S, E, O]]:
    """Return the traces of a machine in a folder of the specification."""
    file = SPEC / folder / f"{case.machine.name}.jsonl"
    return read(file, lambda header: case.rules(header.rules))


def valid(case: Case[S, E, O, C]) -> None:
    """Assert that every step of every vector is valid by the schema, which is read once."""
    schema = json.loads((SPEC / "schemas" / f"{case.machine.name}.schema.json").read_text())
    definitions = schema.pop("$defs", {})
    records: list[object] = []
    for trace in stored(case, "vectors"):
        for step in trace.steps:
            record = {"event": step.event, "outcome": step.outcome, "state": step.state}
            plain = {name: json.loads(canonical(value)) for name, value in record.items()}
            msgspec.convert(plain, case.machine.record)
            records.append(plain)
    validate_json(records, {"$defs": definitions, "type": "array", "items": schema})
    with pytest.raises(ValidationError):
        validate_json([None], {"$defs": definitions, "type": "array", "items": schema})


def complete(case: Case[S, E, O, C]) -> None:
    """Assert that the vectors reach every pair, clause and variant, on machine and host."""
    found = verify(case.machine, case.host, case.variants, stored(case, "vectors"))
    assert found.holds, (found.mismatches, found.unreached)


def needed(case: Case[S, E, O, C]) -> None:
    """Assert that no vector can be left out."""
    goals = goals_of(case.machine, case.variants)
    traces = stored(case, "vectors")
    wrong = tellable(case.machine, case.variants)
    reached = [reached_by(case.machine, wrong, trace.events) & goals for trace in traces]
    for index in range(len(traces)):
        others = frozenset[Goal]().union(*(one for at, one in enumerate(reached) if at != index))
        assert reached[index] - others, f"vector {index + 1} is not needed"


def caught(case: Case[S, E, O, C]) -> None:
    """Assert that every variant is caught on its stored trace, and no own clause is idle."""
    found = on_stored_traces(case.machine, case.variants, stored(case, "variants"))
    assert found.holds, (found.escaped, found.idle, found.unchanged, found.misplaced)
    assert len(found.verdicts) == len(case.variants)


CLAIMS: dict[str, Callable[[], None]] = {
    "ordinals vectors are valid": lambda: valid(ordinals_case()),
    "tokens vectors are valid": lambda: valid(tokens_case()),
    "intake vectors are valid": lambda: valid(intake_case()),
    "tokens vectors are complete": lambda: complete(tokens_case()),
    "intake vectors are complete": lambda: complete(intake_case()),
    "tokens vectors are needed": lambda: needed(tokens_case()),
    "intake vectors are needed": lambda: needed(intake_case()),
    "tokens variants are caught": lambda: caught(tokens_case()),
    "intake variants are caught": lambda: caught(intake_case()),
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_of_every_machine(claim: str) -> None:
    CLAIMS[claim]()
