"""Transcripts: what they say, how they are refused, and the histories that they become."""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from plumbline import transcript
from plumbline.history_of import CONVERSATION, RETAIN_DEPTH, history
from plumbline.transcript import Transcript, TranscriptMessage, UnusableTranscript
from plumbline_models.contract import StateClause, StepClause
from plumbline_models.ordinals import (
    Append,
    Event,
    Forget,
    Open,
    Prune,
    Refused,
    Replace,
    RollBack,
    State,
    machine,
)
from plumbline_spec.errors import UnusableInput

SMALL = Path(__file__).parents[1] / "data" / "small-session.jsonl"
SESSION = '{"type":"session","id":"s"}'
MACHINE = machine()


def written(folder: Path, *lines: str | bytes) -> Path:
    file = folder / "session.jsonl"
    file.write_bytes(b"".join(_encoded(line) + b"\n" for line in lines))
    return file


def _encoded(line: str | bytes) -> bytes:
    return line if isinstance(line, bytes) else line.encode()


def said(content: object, **entry: str) -> str:
    return json.dumps({"type": "message", **entry, "message": {"role": "user", "content": content}})


def messages(folder: Path, *lines: str | bytes) -> list[TranscriptMessage]:
    return list(Transcript(written(folder, *lines)).messages())


def refusal(folder: Path, *lines: str | bytes) -> UnusableTranscript:
    with pytest.raises(UnusableTranscript) as caught:
        messages(folder, *lines)
    return caught.value


def test_a_transcript_gives_its_messages_in_order_and_counts_the_rest() -> None:
    read = Transcript(SMALL)
    found = list(read.messages())
    assert read.session == "seed-packets"
    assert read.skipped == {"model_change": 1}
    assert len(found) == 27
    assert [message.line for message in found] == [*range(2, 14), *range(15, 30)]
    assert len({message.id for message in found}) == 27
    roles = {"user": 8, "assistant": 11, "toolResult": 7, "bashExecution": 1}
    assert Counter(message.role for message in found) == roles


def test_reading_twice_gives_the_same_messages_and_counts() -> None:
    read = Transcript(SMALL)
    assert list(read.messages()) == list(read.messages())
    assert read.skipped == {"model_change": 1}


def test_a_transcript_is_read_as_its_messages_are_asked_for(tmp_path: Path) -> None:
    found = Transcript(written(tmp_path, SESSION, said("first"), "not JSON")).messages()
    assert next(found).text == "first"
    with pytest.raises(UnusableTranscript):
        next(found)


def test_an_entry_without_an_id_gets_one_of_the_session_and_the_line(tmp_path: Path) -> None:
    found = messages(tmp_path, SESSION, said("a"), "", said("b", id="own"), " \t\r", said("c"))
    assert [message.id for message in found] == ["s-line-2", "own", "s-line-6"]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", ""),
        ([], ""),
        ("大根 🥕", "大根 🥕"),
        ([{"type": "text", "text": "a\n"}, {"type": "text", "text": "b"}], "a\n\nb"),
        ([{"type": "thinking", "thinking": "幅"}], '[thinking] {"thinking":"幅"}'),
        ([{"type": "toolCall", "name": "n", "id": "i"}], '[toolCall] {"id":"i","name":"n"}'),
        ([{"type": "text", "text": "a", "cost": 0.25}], 'a\n[text] {"cost":0.25}'),
        ([{"type": "text", "text": ""}, {"type": "other"}], "\n[other] {}"),
    ],
)
def test_every_part_of_a_content_is_in_the_text(tmp_path: Path, content: object, text: str) -> None:
    assert messages(tmp_path, SESSION, said(content))[0].text == text


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"command": "ls", "output": "a\n"}, "$ ls\na\n"),
        ({"command": "ls", "output": "", "exitCode": 1}, '$ ls\n\n[bashExecution] {"exitCode":1}'),
        ({"content": "as it was"}, "as it was"),
    ],
)
def test_an_execution_says_its_command_and_output(
    tmp_path: Path, fields: dict[str, object], text: str
) -> None:
    message = {"role": "bashExecution", "timestamp": 1, **fields}
    entry = json.dumps({"type": "message", "message": message})
    assert messages(tmp_path, SESSION, entry)[0].text == text


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{", "not readable as JSON"),
        (b'"\xff"', "invalid UTF-8"),
        ('{"type":"message","type":"message"}', "the key 'type' stands twice"),
        (r'{"type":"message","message":"\ud83d"}', "a lone surrogate"),
        ("[]", "not an object"),
        ("{}", "has no type"),
        ('{"type":1}', "has no type"),
        (SESSION, "a second session begins"),
        ('{"type":"message"}', "an entry of type message has no message"),
        ('{"type":"message","message":{"content":""}}', "the role None is none of user, "),
        (f'{{"type":"message","message":{{"role":"{"x" * 50}"}}}}', f"the role '{'x' * 39}… is"),
        (said(None), "the content is neither a text nor a list of parts"),
        (said(1), "the content is neither a text nor a list of parts"),
        (said(["a"]), "a part of the content is not an object"),
        (said([{"text": "a"}]), "a part of the content has no type"),
        (said([{"type": "text"}]), "a text part has no text"),
        (said("a", id=""), "the id is not a text of 1 to 256 characters"),
        (said("a", id="i" * 257), "the id is not a text of 1 to 256 characters"),
        (said("a", id="twice"), "the id 'twice' is that of line 2"),
        (
            '{"type":"message","message":{"role":"bashExecution","command":"ls"}}',
            "a bashExecution has neither content nor a command with its output",
        ),
    ],
)
def test_a_line_that_is_malformed_is_refused_with_its_number(
    tmp_path: Path, line: str | bytes, what: str
) -> None:
    error = refusal(tmp_path, SESSION, said("a", id="twice"), line)
    assert what in error.what
    assert str(error).startswith(f"{tmp_path / 'session.jsonl'}, line 3: ")
    assert str(error).endswith(f"; {error.advice}")


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        ((), "the file is empty"),
        (("", " "), "the file is empty"),
        ((said("a"),), "the first entry is of type 'message'"),
        (("SQLite format 3",), "not readable as JSON"),
        (('{"type":"session"}',), "the id is not a text of 1 to 200 characters"),
        ((f'{{"type":"session","id":"{"s" * 201}"}}',), "the id is not a text of 1 to 200"),
    ],
)
def test_a_file_that_does_not_begin_with_a_session_is_refused(
    tmp_path: Path, lines: tuple[str, ...], what: str
) -> None:
    error = refusal(tmp_path, *lines)
    assert what in error.what
    assert error.line == 1


def test_a_file_that_cannot_be_opened_is_refused_as_a_whole(tmp_path: Path) -> None:
    for file in (tmp_path / "missing.jsonl", tmp_path):
        with pytest.raises(UnusableInput, match=r"cannot be read \(.*; name a readable file"):
            list(Transcript(file).messages())


def test_a_line_is_read_to_the_bound_and_refused_beyond_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = said("大根")
    monkeypatch.setattr(transcript, "MAX_LINE_BYTES", len(line))
    assert messages(tmp_path, SESSION, line)[0].text == "大根"
    assert "bytes long, at most" in refusal(tmp_path, SESSION, f"{line} ").what


def test_a_text_is_read_to_the_bound_and_refused_beyond_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcript, "MAX_TEXT", 2)
    assert messages(tmp_path, SESSION, said("大根"))[0].text == "大根"
    assert "3 characters of text" in refusal(tmp_path, SESSION, said("abc")).what


# Histories


def conversation(turns: int) -> Iterator[TranscriptMessage]:
    """Yield turns of a question, two tool results and an answer."""
    roles = ("user", "toolResult", "toolResult", "assistant")
    for number in range(turns):
        for index, role in enumerate(roles):
            line = number * len(roles) + index
            yield TranscriptMessage(line=line, id=f"m{line}", role=role, text=f"line {line}")


def lived(said_in_it: list[TranscriptMessage], seed: int) -> list[tuple[State, Event, str, State]]:
    """Return the steps of a history under the specification; every clause holds at each."""
    steps: list[tuple[State, Event, str, State]] = []
    events = history(said_in_it, seed)
    before, event = MACHINE.initial, next(events)
    while True:
        after, outcome = MACHINE.step(before, event)
        for clause in MACHINE.clauses:
            if isinstance(clause, StateClause):
                assert clause.breaks(after) is None
            elif isinstance(clause, StepClause) and clause.applies(type(event), type(outcome)):
                assert clause.breaks(before, event, outcome, after) is None
        steps.append((before, event, MACHINE.outcome_name(outcome), after))
        try:
            before, event = after, events.send(after)
        except StopIteration:
            return steps


def test_a_history_appends_every_message_once_in_order() -> None:
    told = list(Transcript(SMALL).messages())
    events = [event for _, event, _, _ in lived(told, 0)]
    appended = [draft for event in events if isinstance(event, Append) for draft in event.messages]
    assert [(draft.id, draft.text) for draft in appended] == [(one.id, one.text) for one in told]
    assert events[0] == Open(conversation=CONVERSATION)
    assert {event.conversation for event in events} == {CONVERSATION}


@pytest.mark.parametrize("seed", [0, 7])
def test_a_history_depends_on_the_seed_and_on_nothing_else(seed: int) -> None:
    told = list(conversation(20))
    assert lived(told, seed) == lived(told, seed)
    assert lived(told, seed) != lived(told, seed + 1)


def test_a_history_without_a_message_opens_the_conversation_alone() -> None:
    assert [event for _, event, _, _ in lived([], 0)] == [Open(conversation=CONVERSATION)]


def test_a_history_may_begin_before_the_first_user_message() -> None:
    events = [event for _, event, _, _ in lived(list(conversation(1))[1:], 0)]
    assert [type(event) for event in events[:3]] == [Open, Append, Append]


@pytest.mark.parametrize("seed", range(3))
def test_a_long_history_reaches_every_event_and_its_refusals(seed: int) -> None:
    steps = lived(list(conversation(60)), seed)
    reached = {(type(event).__name__, outcome) for _, event, outcome, _ in steps}
    assert reached == {
        ("Open", "Opened"),
        ("Append", "Appended"),
        ("Replace", "Replaced"),
        ("Replace", "Refused(stale_range)"),
        ("Replace", "Refused(not_adjacent)"),
        ("RollBack", "RolledBack"),
        ("RollBack", "Refused(not_in_context)"),
        ("Prune", "Pruned"),
        ("Forget", "Forgotten"),
        ("Forget", "Refused(covered_item)"),
    }


def test_a_long_history_condenses_summaries_of_summaries() -> None:
    *_, (_, _, _, after) = lived(list(conversation(60)), 0)
    assert max(summary.depth for summary in after.conversations[0].summaries) > 1


def test_a_long_history_batches_and_expects_ordinals_now_and_then() -> None:
    events = [event for _, event, _, _ in lived(list(conversation(60)), 0)]
    replaces = [event for event in events if isinstance(event, Replace)]
    assert {event.first is None for event in replaces} == {True, False}
    assert {event.last is None for event in replaces} == {True, False}
    sizes = {len(event.messages) for event in events if isinstance(event, Append)}
    assert sizes == {1, 3}


def test_a_rolled_back_replacement_is_sometimes_made_again_and_sometimes_not() -> None:
    events = [event for _, event, _, _ in lived(list(conversation(60)), 0)]
    after = [
        isinstance(following, Replace) and following.summary == event.summary
        for event, following in pairwise(events)
        if isinstance(event, RollBack)
    ]
    assert set(after) == {True, False}


def test_a_prune_comes_once_near_the_end_and_keeps_deep_summaries() -> None:
    steps = lived(list(conversation(60)), 0)
    (place,) = [rank for rank, step in enumerate(steps) if isinstance(step[1], Prune)]
    event, after = steps[place][1], steps[place][3]
    assert isinstance(event, Prune)
    assert event.retain_depth == RETAIN_DEPTH
    assert after.conversations[0].context
    assert len(steps) - 30 < place < len(steps) - 6


def test_a_history_ends_on_a_host_that_refuses_everything() -> None:
    """A history names what it is sent, so a host at fault cannot make it stumble."""
    events = history(conversation(10), 0)
    told = [next(events)]
    while True:
        try:
            told.append(events.send(State()))
        except StopIteration:
            break
    assert {type(event) for event in told} == {Open, Append, Prune}


def test_a_history_ends_on_a_host_that_never_replaces() -> None:
    """Without a replacement there is nothing to roll back and nothing to condense."""
    events = history(conversation(30), 0)
    state, event = MACHINE.initial, next(events)
    kinds: Counter[type[Event]] = Counter()
    while True:
        kinds[type(event)] += 1
        after, outcome = MACHINE.step(state, event)
        assert isinstance(event, Replace | Forget) or not isinstance(outcome, Refused)
        state = state if isinstance(event, Replace) else after
        try:
            event = events.send(state)
        except StopIteration:
            break
    assert kinds[RollBack] == 0
    assert kinds[Replace] > 20
