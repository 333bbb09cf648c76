"""Traces: written and read back, refused where they are malformed, validated and replayed."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace
from typing_extensions import override

from plumbline_spec.codec import digest
from plumbline_spec.errors import CouldNotFinish, UnusableInput
from plumbline_spec.model_host import model_host
from plumbline_spec.toy import (
    LOSES,
    ONE_TOO_MANY,
    PARTLY,
    Clear,
    Cleared,
    Deposit,
    Machine,
    State,
    Withdraw,
    case,
    host,
    machine,
)
from plumbline_spec.traces import (
    FORMAT,
    MAX_DEPTH,
    Header,
    Mismatch,
    Trace,
    encode,
    headers,
    read,
    record,
    replay,
    validate,
    write,
)
from tests.judge.hosts import (
    FULL_DAY,
    AnswersTrue,
    Blind,
    Busy,
    BusyToReset,
    BusyToSee,
    HidesOne,
    Jammed,
    Locker,
    MisAnswers,
    ObservesTrue,
    Raises,
    ToyFactory,
    ToyTrace,
    trace_of,
    unseen,
    viewed,
    without_clear,
)

DAY = trace_of(*FULL_DAY)
FULL_HEADER = Header(
    format=FORMAT,
    plumbline="vector",
    machine="toy",
    rules="PARTLY",
    name="7",
    about="Everything that a header can say: ä.",
    scope="coins=2",
    versions={"plumbline": "0", "toy": "1"},
    clauses=("TOY-1", "TOY-2"),
    pairs=(("Deposit", "Deposited"),),
    variants=("LOSES",),
)


def of_rules(header: Header) -> Machine:
    return case().rules(header.rules)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "some" / "folder" / "toy.jsonl"
    events = (Withdraw(coins=2), Deposit(coins=3))
    full = record(machine(PARTLY), events, FULL_HEADER, states=True)
    write(path, [DAY, full, trace_of()])
    assert read(path, of_rules) == [DAY, full, trace_of()]
    assert headers(path) == [DAY.header, FULL_HEADER, DAY.header]
    assert [step.state for step in full.steps] == [State(), State(held=3)]


def test_a_trace_is_lines_of_json_with_sorted_keys() -> None:
    lines = encode(trace_of(Clear())).decode().splitlines()
    assert lines == [
        '{"format":1,"machine":"toy","name":"a trace","plumbline":"trace","rules":"SPEC"}',
        (
            f'{{"digest":"{digest(State())}","event":{{"type":"toy.Clear"}},'
            '"outcome":{"reason":"empty","type":"toy.Refused"}}'
        ),
    ]


def test_a_header_without_a_format_is_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "old.jsonl"
    path.write_bytes(encode(DAY).replace(b'"format":1,', b"", 1))
    assert read(path, of_rules) == [DAY]


def test_blank_lines_and_returns_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "dos.jsonl"
    path.write_bytes(encode(DAY).replace(b"\n", b"\r\n\n"))
    assert read(path, of_rules) == [DAY]


HEAD = json.dumps({"plumbline": "trace", "format": 1, "machine": "toy", "rules": "SPEC"})


def header(**changes: object) -> str:
    return json.dumps({**json.loads(HEAD), **changes})


def step(**changes: object) -> str:
    fields: dict[str, object] = {
        "event": {"type": "toy.Deposit", "coins": 1},
        "outcome": {"type": "toy.Deposited", "held": 1},
        "digest": digest(State(held=1)),
        "state": {"held": 1},
    }
    return json.dumps({name: one for name, one in {**fields, **changes}.items() if one != "drop"})


MALFORMED = {
    "not JSON": ([HEAD, "{"], 2, "property name"),
    "two values": ([HEAD, step() + "{}"], 2, "Extra data"),
    "a key twice": ([HEAD, '{"digest":"","digest":""}'], 2, "stands twice"),
    "a float": ([HEAD, step(state={"held": 1.0})], 2, "not an integer"),
    "not a number": ([HEAD, step(state={"held": float("nan")})], 2, "NaN is not JSON"),
    "an integer too great": ([HEAD, step(state={"held": 2**53})], 2, "beyond"),
    "a lone surrogate": ([HEAD, step(digest="\ud800")], 2, "lone surrogate"),
    "too deep": ([HEAD, "[" * (MAX_DEPTH + 1)], 2, "nested deeper"),
    "a step first": ([step()], 1, "before the first header"),
    "a list": ([HEAD, "[]"], 2, "object"),
    "a number first": (["1"], 1, "before the first header"),
    "header: a kind that is none": ([header(plumbline="poem")], 1, "plumbline"),
    "header: an unknown field": ([header(author="me")], 1, "author"),
    "header: a missing field": (['{"plumbline":"trace","machine":"toy"}'], 1, "rules"),
    "header: another type": ([header(name=1)], 1, "name"),
    "header: a newer format": ([HEAD, header(format=2, author="me")], 2, "format 2"),
    "header: a format in words": ([header(format="one")], 1, "format"),
    "header: another machine": ([header(machine="safe")], 1, "'safe' and not of toy"),
    "header: unknown rules": ([HEAD, step(), header(rules="NONE")], 3, "no rule set 'NONE'"),
    "step: an unknown field": ([HEAD, step(note="")], 2, "note"),
    "step: a missing digest": ([HEAD, step(digest="drop")], 2, "digest"),
    "step: a missing event": ([HEAD, step(event="drop")], 2, "event"),
    "event: unknown": ([HEAD, step(event={"type": "toy.Burn"})], 2, "toy.Burn"),
    "event: not tagged": ([HEAD, step(event={"coins": 1})], 2, "type"),
    "event: an unknown field": ([HEAD, step(event={"type": "toy.Clear", "now": 1})], 2, "now"),
    "event: out of bounds": ([HEAD, step(event={"type": "toy.Deposit", "coins": 0})], 2, ">= 1"),
    "event: another type": ([HEAD, step(event={"type": "toy.Deposit", "coins": "1"})], 2, "int"),
    "outcome: unknown": ([HEAD, step(outcome={"type": "toy.Lost"})], 2, "toy.Lost"),
    "state: out of bounds": ([HEAD, step(state={"held": -1})], 2, ">= 0"),
    "state: null": ([HEAD, step(state=None)], 2, "object"),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_file_is_refused_with_its_name_and_line(kind: str, tmp_path: Path) -> None:
    lines, number, what = MALFORMED[kind]
    path = tmp_path / "bad.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(UnusableInput) as caught:
        read(path, of_rules)
    assert str(caught.value).startswith(f"{path}, line {number}: ")
    assert what in str(caught.value)


def test_a_well_formed_file_is_read(tmp_path: Path) -> None:
    """The control of the malformed ones."""
    path = tmp_path / "good.jsonl"
    path.write_text("\n".join([HEAD, step(), step(state="drop")]), encoding="utf-8")
    (trace,) = read(path, of_rules)
    assert [one.state for one in trace.steps] == [State(held=1), None]


def test_bytes_that_are_no_text_are_refused_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(HEAD.encode() + b'\n{"digest":"\xff"}')
    with pytest.raises(UnusableInput, match="line 2: invalid UTF-8"):
        read(path, of_rules)


@pytest.mark.parametrize("content", ["", "\n", " \r\n\n"], ids=["empty", "line", "space"])
def test_an_empty_file_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "empty.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UnusableInput, match="holds no trace: it is empty"):
        read(path, of_rules)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.jsonl", tmp_path):
        with pytest.raises(UnusableInput, match="cannot be read"):
            headers(path)


# Validation.


def test_a_true_trace_is_valid() -> None:
    assert validate(machine(), DAY) == []
    assert validate(machine(), record(machine(), FULL_DAY, DAY.header, states=True)) == []


def changed(at: int, **fields: object) -> ToyTrace:
    """Return the day with one step that records something else."""
    kept = record(machine(), FULL_DAY, DAY.header, states=True)
    steps = list(kept.steps)
    steps[at] = replace(steps[at], **fields)
    return replace(kept, steps=tuple(steps))


def test_a_recorded_outcome_that_is_untrue_is_found() -> None:
    assert validate(machine(), changed(2, outcome=Cleared(coins=4))) == [
        Mismatch(
            step=3,
            what="outcome",
            recorded='{"coins":4,"type":"toy.Cleared"}',
            found='{"coins":3,"type":"toy.Cleared"}',
        )
    ]


def test_a_recorded_digest_or_state_that_is_untrue_is_found() -> None:
    (wrong,) = validate(machine(), changed(0, digest="0" * 32))
    assert (wrong.step, wrong.what, wrong.found) == (1, "digest", digest(State(held=2)))
    (other,) = validate(machine(), changed(0, state=State(held=True)))
    assert (other.what, other.recorded, other.found) == ("state", '{"held":true}', '{"held":2}')


def test_another_event_makes_all_that_follows_untrue() -> None:
    steps = {one.step for one in validate(machine(), changed(0, event=Deposit(coins=1)))}
    assert steps == {1, 2, 3}


@pytest.mark.parametrize(
    ("wrong", "events", "step", "clause"),
    [
        (machine(ONE_TOO_MANY), (Deposit(coins=4),), 1, "TOY-1"),
        (machine(LOSES), (Deposit(coins=1), Withdraw(coins=2)), 2, "TOY-2"),
        (machine(PARTLY), (Withdraw(coins=1),), 1, "TOY-3"),
        (replace(machine(), initial=State(held=9)), (), 0, "TOY-1"),
    ],
    ids=["state", "refusal", "step", "initial"],
)
def test_a_clause_that_a_trace_breaks_is_found_by_a_second_reading(
    wrong: Machine, events: tuple[Deposit | Withdraw, ...], step: int, clause: str
) -> None:
    """TOY-1, TOY-2, TOY-3."""
    (found,) = validate(wrong, record(wrong, events, DAY.header))
    assert (found.step, found.what, found.recorded) == (step, clause, "holds")
    assert found.found.startswith("the locker: holds")


# Replay.


@pytest.mark.parametrize(
    "make",
    [host, unseen, without_clear, lambda: viewed(Locker())],
    ids=["whole", "unseen", "without an event", "viewed"],
)
def test_a_right_host_agrees_with_a_trace(make: ToyFactory) -> None:
    assert replay(machine(), make(), DAY) == []


def test_a_trace_is_taken_from_the_beginning_each_time() -> None:
    judged = host()
    judged.host.step(Deposit(coins=3))
    assert replay(machine(), judged, DAY) == replay(machine(), judged, DAY) == []


@pytest.mark.parametrize(
    ("kind", "step", "what", "found"),
    [
        (MisAnswers, 3, "host outcome", '{"coins":4,"type":"toy.Cleared"}'),
        (AnswersTrue, 5, "host outcome", '{"held":true,"type":"toy.Deposited"}'),
        (HidesOne, 2, "host state", '{"held":2}'),
        (ObservesTrue, 5, "host state", '{"held":true}'),
        (Raises, 3, "host outcome", "raised RuntimeError: the door is stuck"),
        (Blind, 1, "host state", "raised OSError: no light"),
        (Jammed, 0, "host reset", "raised OSError: jammed"),
    ],
)
def test_a_wrong_host_is_caught_at_its_first_mistake(
    kind: type[Locker], step: int, what: str, found: str
) -> None:
    first = replay(machine(), kind.make(), DAY)[0]
    assert (first.step, first.what, first.found) == (step, what, found)


def test_nothing_is_compared_beyond_the_first_mistake() -> None:
    wrong = replay(machine(), model_host(machine(PARTLY)), trace_of(Withdraw(coins=1), *FULL_DAY))
    assert {one.step for one in wrong} == {1}


class Filled(Locker):
    """Begins with a coin in it."""

    @override
    def observe(self) -> State:
        return State(held=super().observe().held + 1)


def test_a_host_that_begins_wrong_is_caught_by_a_trace_without_events() -> None:
    (found,) = replay(machine(), Filled.make(), trace_of())
    assert (found.step, found.what) == (0, "host state")


def test_a_host_is_viewed_before_it_is_compared() -> None:
    (found,) = replay(machine(), viewed(HidesOne()), DAY)
    assert (found.recorded, found.found) == ('{"held":1}', '{"held":0}')


@pytest.mark.parametrize("kind", [Busy, BusyToSee, BusyToReset])
def test_what_the_environment_does_is_no_mistake_of_the_host(kind: type[Locker]) -> None:
    with pytest.raises(CouldNotFinish):
        replay(machine(), kind.make(), DAY)


def test_a_trace_knows_its_events() -> None:
    assert Trace(header=DAY.header, steps=DAY.steps).events == FULL_DAY
