"""The portable vectors: valid by the schema, current, complete, and none of them superfluous."""

import json
from pathlib import Path

import pytest
from jsonschema import ValidationError
from jsonschema import validate as validate_json

from plumbline.registry import ordinals_case
from plumbline_models.ordinals import Event, Outcome, Record, Scope, State
from plumbline_spec.case import Case
from plumbline_spec.codec import canonical
from plumbline_spec.data import spec_folder
from plumbline_spec.traces import Trace, read, validate
from plumbline_spec.vectors import Goal, goals_of, reached_by, tellable, verify

SPEC = spec_folder()
CASE: Case[State, Event, Outcome, Scope] = ordinals_case()
WRONG = tellable(CASE.machine, CASE.variants)
VECTORS: list[Trace[State, Event, Outcome]] = read(
    SPEC / "vectors" / "ordinals.jsonl", lambda header: CASE.rules(header.rules)
)


def check(record: object) -> None:
    """Raise ``ValidationError`` unless a record is valid by the schema."""
    validate_json(record, json.loads((SPEC / "schemas" / "ordinals.schema.json").read_text()))


def test_every_step_of_every_vector_is_valid_by_the_schema() -> None:
    for trace in VECTORS:
        for step in trace.steps:
            assert step.state is not None
            record = Record(event=step.event, outcome=step.outcome, state=step.state)
            check(json.loads(canonical(record)))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event", {"type": "ordinals.Open"}),
        ("event", {"type": "ordinals.Open", "conversation": ""}),
        ("event", {"type": "ordinals.Open", "conversation": "c1", "more": 1}),
        ("outcome", {"type": "ordinals.Replaced", "depth": -1}),
        ("outcome", {"type": "ordinals.Replaced", "depth": 2**53}),
        ("outcome", {"type": "ordinals.Refused", "reason": "because"}),
    ],
)
def test_the_schema_refuses_what_the_types_do(field: str, value: object) -> None:
    good = VECTORS[0].steps[0]
    assert good.state is not None
    record = Record(event=good.event, outcome=good.outcome, state=good.state)
    plain = json.loads(canonical(record))
    check(plain)
    plain[field] = value
    with pytest.raises(ValidationError):
        check(plain)


def test_the_schema_carries_units_and_bounds() -> None:
    text = (SPEC / "schemas" / "ordinals.schema.json").read_text()
    assert "place in the context, in items; 0 is the oldest" in text
    assert str(2**53 - 1) in text


def test_vectors_reach_every_pair_clause_and_variant() -> None:
    found = verify(CASE.machine, CASE.host, CASE.variants, VECTORS)
    assert found.holds, (found.mismatches, found.unreached)


def test_no_vector_can_be_left_out() -> None:
    goals = goals_of(CASE.machine, CASE.variants)
    reached = [reached_by(CASE.machine, WRONG, trace.events) & goals for trace in VECTORS]
    for index in range(len(VECTORS)):
        others = frozenset[Goal]().union(*(one for at, one in enumerate(reached) if at != index))
        assert reached[index] - others, f"vector {index + 1} is not needed"


def test_a_header_says_what_its_vector_reaches() -> None:
    for trace in VECTORS:
        goals = reached_by(CASE.machine, WRONG, trace.events)
        assert {("clause", clause) for clause in trace.header.clauses} <= goals
        assert {("pair", *pair) for pair in trace.header.pairs} <= goals
        assert {("variant", name) for name in trace.header.variants} <= goals


def test_a_vector_with_a_wrong_outcome_or_digest_is_found(tmp_path: Path) -> None:
    lines = (SPEC / "vectors" / "ordinals.jsonl").read_text().splitlines()
    at = next(number for number, line in enumerate(lines) if '"ordinals.Appended"' in line)
    path = tmp_path / "ordinals.jsonl"
    path.write_text(
        "\n".join(
            [
                *lines[:at],
                lines[at].replace('"sequence":1,"type"', '"sequence":9,"type"'),
                *lines[at + 1 :],
            ]
        )
    )
    traces = read(path, lambda header: CASE.rules(header.rules))
    found = [one for trace in traces for one in validate(CASE.machine, trace)]
    assert [one.what for one in found] == ["outcome"]
