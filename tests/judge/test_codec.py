"""The codec: canonical bytes, digests, and schemas that refuse what the decoders refuse."""

import json
from collections.abc import Callable

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plumbline_spec.codec import canonical, digest, digest_of, plain, schema
from plumbline_spec.strict import JsonValue
from plumbline_spec.toy import (
    Clear,
    Cleared,
    Deposit,
    Event,
    Record,
    Refused,
    State,
    Withdraw,
    events,
    machine,
)
from plumbline_spec.toy import Scope as ToyScope

json_values: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(json_values)
def test_canonical_bytes_are_sorted_compact_and_plain_utf8(value: JsonValue) -> None:
    wanted = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert canonical(value) == wanted.encode()
    assert plain(value) == value


def test_canonical_bytes_of_a_struct_have_every_field_in_order() -> None:
    assert canonical(Withdraw(coins=2)) == b'{"coins":2,"type":"toy.Withdraw"}'
    assert canonical(State()) == b'{"held":0}'


def test_values_that_python_calls_equal_have_other_bytes() -> None:
    assert State(held=1) == State(held=True)
    assert canonical(State(held=1)) != canonical(State(held=True))
    assert digest(State(held=1)) != digest(State(held=True))


def test_a_lone_surrogate_has_no_bytes() -> None:
    with pytest.raises(UnicodeEncodeError):
        canonical("\ud800")


def test_a_digest_is_the_same_on_every_machine_and_in_every_release() -> None:
    assert digest_of(b"") == "cae66941d9efbd404e4d88758ea67670"
    assert digest(State(held=2)) == digest_of(b'{"held":2}')
    assert digest(State(held=2)) == "94914dc4c3a95202c1cf43821220d0d7"


SCHEMA = json.loads(schema(Record, "toy: event, outcome and state"))


def allows(document: object) -> bool:
    try:
        jsonschema.validate(document, SCHEMA, jsonschema.Draft202012Validator)
    except jsonschema.ValidationError:
        return False
    return True


def record(**changes: object) -> dict[str, object]:
    usual: dict[str, object] = {
        "event": {"type": "toy.Deposit", "coins": 1},
        "outcome": {"type": "toy.Deposited", "held": 1},
        "state": {"held": 1},
    }
    return {**usual, **changes}


def test_the_schema_is_a_schema_with_units_and_bounds() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["title"] == "toy: event, outcome and state"
    assert SCHEMA["$defs"]["Deposit"]["properties"]["coins"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 2**53 - 1,
        "description": "coins put in or taken out",
    }


def test_every_step_of_the_toy_is_allowed() -> None:
    toy = machine()
    for held in range(4):
        for event in events(State(held=held), ToyScope(coins=4)):
            state, outcome = toy.step(State(held=held), event)
            assert allows(plain(Record(event=event, outcome=outcome, state=state)))


REFUSED = {
    "an unknown field of the record": record(note=""),
    "an unknown field of an event": record(event={"type": "toy.Clear", "coins": 1}),
    "an unknown field of the state": record(state={"held": 1, "locked": False}),
    "an unknown event": record(event={"type": "toy.Burn"}),
    "an event without its name": record(event={"coins": 1}),
    "an outcome for an event": record(event={"type": "toy.Cleared", "coins": 1}),
    "too few coins": record(event={"type": "toy.Deposit", "coins": 0}),
    "too many coins": record(event={"type": "toy.Deposit", "coins": 2**53}),
    "a number that is no integer": record(state={"held": 1.5}),
    "a number in words": record(state={"held": "1"}),
    "no number": record(state={"held": None}),
    "an unknown reason": record(outcome={"type": "toy.Refused", "reason": "tired"}),
    "no state": {name: one for name, one in record().items() if name != "state"},
}


@pytest.mark.parametrize("kind", REFUSED)
def test_the_schema_refuses(kind: str) -> None:
    assert allows(record())
    assert not allows(REFUSED[kind])


@pytest.mark.parametrize(
    ("decode", "text"),
    [
        (machine().decode, b'{"type":"toy.Deposit","coins":0}'),
        (machine().decode, b'{"type":"toy.Clear","coins":1}'),
        (machine().decode_outcome, b'{"type":"toy.Refused","reason":"tired"}'),
        (machine().decode_state, b'{"held":-1}'),
    ],
    ids=["event bounds", "event field", "outcome", "state"],
)
def test_the_decoders_refuse_it_too(decode: Callable[[bytes], object], text: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(text)


def test_events_and_outcomes_are_told_apart_by_their_types() -> None:
    seen: list[Event | Cleared | Refused] = [Clear(), Deposit(coins=1), Cleared(coins=1)]
    assert len({canonical(one) for one in seen}) == 3
