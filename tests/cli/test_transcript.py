"""Transcripts: what they say, how they are refused, and the histories that they become."""

import errno
import json
import os
import tracemalloc
from collections import Counter, deque
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from typing_extensions import override

from plumbline import transcript
from plumbline.scripted import CONVERSATION, RETAIN_DEPTH, history
from plumbline.transcript import (
    Transcript,
    TranscriptEntry,
    TranscriptMessage,
    UnusableTranscript,
)
from plumbline_models.contract import StateClause, StepClause
from plumbline_models.intake import Standing
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
from plumbline_spec.errors import CouldNotFinish, UnusableInput
from tests.benchmarks.big_transcript import write_big

T = TypeVar("T")

SMALL = Path(__file__).parents[1] / "data" / "small-session.jsonl"
SESSION = '{"type":"session","id":"s"}'
MACHINE = machine()

CARRIED_KINDS = (
    "branch_summary",
    "compaction",
    "custom",
    "custom_message",
    "label",
    "model_change",
    "session_info",
    "thinking_level_change",
)
"""Every type of the small transcript beside the session and messages; it has one of each."""


def written(folder: Path, *lines: str | bytes) -> Path:
    file = folder / "session.jsonl"
    file.write_bytes(b"".join(_encoded(line) + b"\n" for line in lines))
    return file


def _encoded(line: str | bytes) -> bytes:
    return line if isinstance(line, bytes) else line.encode()


def said(content: object, **entry: object) -> str:
    return json.dumps({"type": "message", **entry, "message": {"role": "user", "content": content}})


def messages(folder: Path, *lines: str | bytes) -> list[TranscriptMessage]:
    return list(Transcript(written(folder, *lines)).messages())


def entries(folder: Path, *lines: str | bytes) -> list[TranscriptEntry]:
    return list(Transcript(written(folder, *lines)).entries())


def spans_of(entry: TranscriptEntry) -> list[tuple[str, str]]:
    """Return the kind of each part and what it says."""
    return [(part.kind, entry.text[part.start : part.start + part.length]) for part in entry.parts]


def refusals(folder: Path, *lines: str | bytes) -> list[UnusableTranscript]:
    """Return how messages and a survey refuse a file, which is the same."""
    read = Transcript(written(folder, *lines))
    with pytest.raises(UnusableTranscript) as one:
        list(read.messages())
    with pytest.raises(UnusableTranscript) as other:
        read.survey()
    assert str(one.value) == str(other.value)
    return [one.value, other.value]


# What it says


def test_a_transcript_gives_its_messages_in_order_and_counts_the_rest() -> None:
    read = Transcript(SMALL)
    found = list(read.messages())
    assert read.session == "seed-packets"
    assert read.skipped == dict.fromkeys(CARRIED_KINDS, 1)
    assert len(found) == 39
    assert [message.line for message in found] == sorted(message.line for message in found)
    assert len({message.id for message in found}) == 39
    roles = {"user": 11, "assistant": 17, "toolResult": 10, "bashExecution": 1}
    assert Counter(message.role for message in found) == roles


def test_reading_twice_gives_the_same_messages_and_counts() -> None:
    read = Transcript(SMALL)
    assert list(read.messages()) == list(read.messages())
    assert read.skipped.total() == len(CARRIED_KINDS)


def test_the_small_transcript_has_what_transcripts_have() -> None:
    """It has an abandoned branch, a call id that came twice, silence, and a big result."""
    read = Transcript(SMALL)
    survey, found = read.survey(), list(read.entries())
    assert (survey.entries, survey.messages) == (48, 39)
    assert dict(survey.kinds) == {"message": 39, "session": 1} | dict.fromkeys(CARRIED_KINDS, 1)
    aside = [one.line for one in found if one.standing is Standing.ASIDE]
    assert aside == [24, 25, 26, 27]
    assert found[27].parent == found[22].entry == found[23].parent
    calls = Counter(part.call for one in found for part in one.parts if part.kind == "toolCall")
    assert calls["call-4"] == 2
    assert [one.line for one in found if one.text == ""] == [30]
    assert [part.kind for part in found[31].parts] == ["toolCall"]
    assert max(len(one.text) for one in found) > 30_000
    said = "".join(one.text for one in found)
    assert {"大", "種", "🥕", "🌱"} <= {*said}


def test_every_entry_has_its_line_and_the_digest_of_its_bytes() -> None:
    lines = SMALL.read_bytes().splitlines()
    found = list(Transcript(SMALL).entries())
    assert [one.line for one in found] == list(range(1, len(lines) + 1))
    assert [one.digest for one in found] == [sha256(line).hexdigest() for line in lines]


def test_a_survey_has_size_and_digest_of_the_file_and_the_ids_of_the_branch() -> None:
    survey = Transcript(SMALL).survey()
    content = SMALL.read_bytes()
    assert (survey.session, survey.size_bytes) == ("seed-packets", len(content))
    assert survey.digest == sha256(content).hexdigest()
    on_branch = [one for one in Transcript(SMALL).entries() if one.standing is not Standing.ASIDE]
    assert survey.branch == tuple(one.entry for one in on_branch if one.entry is not None)
    assert [line for line, mark in enumerate(survey.on_branch, 1) if not mark] == [24, 25, 26, 27]


def test_a_transcript_is_read_as_its_messages_are_asked_for(tmp_path: Path) -> None:
    found = Transcript(written(tmp_path, SESSION, said("first"), "not JSON")).messages()
    assert next(found).text == "first"
    with pytest.raises(UnusableTranscript):
        next(found)


def test_nothing_of_a_file_is_yielded_when_a_line_of_it_is_malformed(tmp_path: Path) -> None:
    found = Transcript(written(tmp_path, SESSION, said("first"), "not JSON")).entries()
    with pytest.raises(UnusableTranscript, match="line 3: "):
        next(found)


def test_an_entry_without_an_id_gets_one_of_the_session_and_the_line(tmp_path: Path) -> None:
    lines = (SESSION, said("a"), "", said("b", id="own"), " \t\r", said("c"))
    assert [message.id for message in messages(tmp_path, *lines)] == ["s#2", "own", "s#6"]
    assert [(one.line, one.entry) for one in entries(tmp_path, *lines)] == [
        *((1, None), (2, None), (4, "own"), (6, None))
    ]


@pytest.mark.parametrize(
    ("content", "spans"),
    [
        ("", [("text", "")]),
        ([], []),
        ("大根 🥕", [("text", "大根 🥕")]),
        (
            [{"type": "text", "text": "a\n"}, {"type": "text", "text": "b"}],
            [("text", "a\n"), ("text", "b")],
        ),
        (
            [{"type": "thinking", "thinking": "幅"}],
            [("thinking", '[thinking] {"thinking":"幅"}')],
        ),
        (
            [{"type": "toolCall", "name": "n", "id": "i"}],
            [("toolCall", '[toolCall] {"id":"i","name":"n"}')],
        ),
        (
            [{"type": "text", "text": "🥕", "cost": 0.25}, {"type": "text", "text": "b"}],
            [("text", "🥕"), ("textFields", '[textFields] {"cost":0.25}'), ("text", "b")],
        ),
        (
            [{"type": "text", "text": ""}, {"type": "other"}],
            [("text", ""), ("other", "[other] {}")],
        ),
    ],
)
def test_every_part_of_a_content_is_a_span_of_the_text(
    tmp_path: Path, content: object, spans: list[tuple[str, str]]
) -> None:
    entry = entries(tmp_path, SESSION, said(content))[1]
    assert spans_of(entry) == spans
    assert entry.text == "\n".join(span for _, span in spans)
    assert messages(tmp_path, SESSION, said(content))[0].text == entry.text


@pytest.mark.parametrize(
    ("fields", "spans"),
    [
        ({"command": "ls", "output": "a\n"}, [("text", "$ ls\na\n")]),
        (
            {"command": "ls", "output": "", "exitCode": 1},
            [("text", "$ ls\n"), ("bashExecution", '[bashExecution] {"exitCode":1}')],
        ),
        ({"content": "as it was"}, [("text", "as it was")]),
    ],
)
def test_an_execution_says_its_command_and_output(
    tmp_path: Path, fields: dict[str, object], spans: list[tuple[str, str]]
) -> None:
    message = {"role": "bashExecution", "timestamp": 1, **fields}
    entry = json.dumps({"type": "message", "message": message})
    assert spans_of(entries(tmp_path, SESSION, entry)[1]) == spans


@pytest.mark.parametrize(
    ("line", "kind", "span"),
    [
        ({"type": "label", "id": "l", "parentId": None, "label": "z"}, "label", '{"label":"z"}'),
        ({"type": "custom", "data": {"b": 1, "a": [2.5]}}, "custom", '{"data":{"a":[2.5],"b":1}}'),
        ({"type": "text", "text": "not as it is"}, "textFields", '{"text":"not as it is"}'),
    ],
)
def test_an_entry_that_is_no_message_says_its_fields(
    tmp_path: Path, line: dict[str, object], kind: str, span: str
) -> None:
    entry = entries(tmp_path, SESSION, json.dumps(line))[1]
    assert (entry.kind, entry.role) == (line["type"], line["type"])
    assert spans_of(entry) == [(kind, f"[{kind}] {span}")]
    assert entry.standing is Standing.CARRIED


def test_the_session_is_the_first_entry_and_has_no_id_among_them(tmp_path: Path) -> None:
    header = '{"type":"session","id":"s","parentId":"of no meaning","cwd":"/home"}'
    (entry,) = entries(tmp_path, header)
    assert (entry.line, entry.entry, entry.parent, entry.kind) == (1, None, None, "session")
    assert (entry.text, entry.standing) == ('[session] {"cwd":"/home"}', Standing.CARRIED)


RESULT = {"role": "toolResult", "toolCallId": "call-1", "toolName": "bash"}


@pytest.mark.parametrize(
    ("content", "kinds"),
    [
        ("", ["text"]),
        ([], ["text"]),
        (
            [{"type": "text", "text": "a", "b": 1}, {"type": "image"}],
            ["text", "textFields", "image"],
        ),
    ],
)
def test_every_part_of_a_result_names_the_call_even_when_it_is_empty(
    tmp_path: Path, content: object, kinds: list[str]
) -> None:
    line = json.dumps({"type": "message", "message": {**RESULT, "content": content}})
    parts = entries(tmp_path, SESSION, line)[1].parts
    assert [part.kind for part in parts] == kinds
    assert {(part.call, part.name) for part in parts} == {("call-1", "bash")}


def test_a_call_has_its_own_id_and_tool_and_other_parts_have_none(tmp_path: Path) -> None:
    content = [
        {"type": "text", "text": "a"},
        {"type": "toolCall", "id": "one", "name": "read"},
        {"type": "toolCall", "id": None},
        {"type": "image", "id": "no call", "name": "no tool"},
    ]
    parts = entries(tmp_path, SESSION, said(content))[1].parts
    found = [(part.call, part.name) for part in parts]
    assert found == [(None, None), ("one", "read"), (None, None), (None, None)]


# Branches


def test_without_parents_every_entry_is_on_the_branch(tmp_path: Path) -> None:
    lines = (SESSION, said("a"), '{"type":"label"}', said("b", id="b"), said("c"))
    found = entries(tmp_path, *lines)
    carried, placed = Standing.CARRIED, Standing.PLACED
    assert [one.standing for one in found] == [carried, placed, carried, placed, placed]
    assert [one.parent for one in found] == [None, None, None, None, "b"]


def test_an_entry_without_a_parent_follows_the_one_before_it(tmp_path: Path) -> None:
    lines = (
        said("a", id="a", parentId=None),
        said("abandoned", id="b", parentId="a"),
        said("abandoned too"),
        said("c", id="c", parentId="a"),
        said("d"),
    )
    found = entries(tmp_path, SESSION, *lines)
    aside = [one.text for one in found if one.standing is Standing.ASIDE]
    assert aside == ["abandoned", "abandoned too"]
    assert [one.parent for one in found[1:]] == [None, "a", "b", "a", "c"]


def test_a_second_root_abandons_everything_before_it(tmp_path: Path) -> None:
    lines = (said("a", id="a", parentId=None), said("b", id="b", parentId=None))
    found = entries(tmp_path, SESSION, *lines)
    standings = [Standing.CARRIED, Standing.ASIDE, Standing.PLACED]
    assert [one.standing for one in found] == standings


def test_the_leaf_is_the_last_entry_and_not_the_last_message(tmp_path: Path) -> None:
    lines = (
        said("a", id="a", parentId=None),
        said("b", id="b", parentId="a"),
        '{"type":"label","id":"l","parentId":"a"}',
    )
    transcript = Transcript(written(tmp_path, SESSION, *lines))
    assert transcript.survey().branch == ("a", "l")


class Tree(Struct, frozen=True, kw_only=True):
    """A transcript, and of each entry after the session the one that it follows."""

    lines: list[str]
    follows: list[int | None]

    def branch(self) -> set[int]:
        """Return the places of the entries on the branch of the last."""
        found = set[int]()
        at = len(self.lines) - 1 if self.lines else None
        while at is not None:
            found.add(at)
            at = self.follows[at]
        return found


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Draw entries of the newer and the older form, mixed."""
    lines, follows = list[str](), list[int | None]()
    named: dict[str, int] = {}
    for place in range(draw(st.integers(0, 12))):
        fields: dict[str, str | None] = {}
        follows.append(place - 1 if place else None)
        if draw(st.booleans()):
            fields["parentId"] = draw(st.sampled_from([None, *named]))
            follows[-1] = None if fields["parentId"] is None else named[fields["parentId"]]
        if draw(st.integers(0, 3)):
            fields["id"] = f"entry {place}"
            named[f"entry {place}"] = place
        message = draw(st.booleans())
        lines.append(said("a", **fields) if message else json.dumps({"type": "label", **fields}))
    return Tree(lines=lines, follows=follows)


@given(trees())
def test_the_branch_is_the_path_from_the_last_entry_to_a_root(tree: Tree) -> None:
    with TemporaryDirectory() as folder:
        found = entries(Path(folder), SESSION, *tree.lines)
    branch = tree.branch()
    for place, entry in enumerate(found[1:]):
        on = Standing.PLACED if entry.kind == "message" else Standing.CARRIED
        assert entry.standing is (on if place in branch else Standing.ASIDE)
        follows = tree.follows[place]
        assert entry.parent == (None if follows is None else found[follows + 1].entry)


# Spans


names = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=9)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
fields_of_parts = st.dictionaries(names, values, max_size=3)


@st.composite
def parts_of_contents(draw: st.DrawFn) -> dict[str, object]:
    """Draw a part; calls and texts among them have what theirs have."""
    fields: dict[str, object] = {**draw(fields_of_parts)}
    kind = draw(st.sampled_from(["text", "toolCall", "image"]) | names)
    if kind == "text":
        fields["text"] = draw(st.text(st.characters(codec="utf-8")))
    if kind == "toolCall":
        fields |= {"id": draw(st.none() | names), "name": draw(names)}
    return {**fields, "type": kind}


@given(st.lists(parts_of_contents(), max_size=5))
def test_parts_are_spans_in_order_and_leave_out_only_the_line_feeds_between_them(
    content: list[dict[str, object]],
) -> None:
    with TemporaryDirectory() as folder:
        entry = entries(Path(folder), SESSION, said(content))[1]
    at = 0
    for part in entry.parts:
        assert part.start == at
        assert entry.text[part.start + part.length :][:1] in {"", "\n"}
        at += part.length + 1
    assert at == (len(entry.text) + 1 if entry.parts else 0)


@given(st.lists(parts_of_contents(), max_size=5))
def test_every_part_can_be_read_back_from_its_span(content: list[dict[str, object]]) -> None:
    with TemporaryDirectory() as folder:
        entry = entries(Path(folder), SESSION, said(content))[1]
    spans = iter(spans_of(entry))
    for part in content:
        rest = {name: value for name, value in part.items() if name != "type"}
        kind, span = next(spans)
        if part["type"] == "text":
            assert (kind, span) == ("text", rest.pop("text"))
            if not rest:
                continue
            kind, span = next(spans)
        assert kind == ("textFields" if part["type"] == "text" else part["type"])
        assert json.loads(span.removeprefix(f"[{kind}] ")) == rest
    assert list(spans) == []


@given(st.lists(parts_of_contents(), max_size=3))
def test_the_second_reading_says_what_the_strict_one_says(
    content: list[dict[str, object]],
) -> None:
    with TemporaryDirectory() as folder:
        file = written(Path(folder), SESSION, said(content))
        (message,) = Transcript(file).messages()
        _, entry = Transcript(file).entries()
    assert entry.text == message.text


# Refusals


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{", "not readable as JSON: Expecting property name"),
        ('{"type":"label",}', "at byte 16 of the line"),
        (b'"\xff"', "invalid UTF-8"),
        (b'{"type":"\x00"}', "not readable as JSON: Invalid control character at"),
        (b"\x00", "not readable as JSON: Expecting value at byte 0 of the line"),
        (b"\xef\xbb\xbf{}", "a byte order mark where a value is expected"),
        ('{"type":"label"}\r{"type":"label"}', "Extra data"),
        ('{"type":"message","type":"message"}', "the key 'type' stands twice"),
        (r'{"type":"message","message":"\ud83d"}', "has no message"),
        ("[" * 65 + "]" * 65, "nested deeper than 64"),
        (f'{{"type":"label","n":{"9" * 401}}}', "has more than 400 digits"),
        ('{"type":"label","n":NaN}', "NaN is not JSON"),
        ("[]", "not an object"),
        ("{}", "has no type"),
        ('{"type":1}', "has no type"),
        ('{"type":""}', "the type '' is not 1 to 120 characters"),
        (f'{{"type":"{"x" * 121}"}}', "is not 1 to 120 characters"),
        (r'{"type":"\u001b[2J"}', r"the type '\x1b[2J' is not 1 to 120 characters"),
        (SESSION, "a second session begins"),
        ('{"type":"message"}', "an entry of type message has no message"),
        ('{"type":"message","message":{"content":""}}', "the role None is none of user, "),
        (f'{{"type":"message","message":{{"role":"{"x" * 50}"}}}}', f"the role '{'x' * 39}… is"),
        (said(None), "the content is neither a text nor a list of parts"),
        (said(1), "the content is neither a text nor a list of parts"),
        (said(["a"]), "a part of the content is not an object"),
        (said([{"text": "a"}]), "a part of the content has no type"),
        (said([{"type": "text"}]), "a text part has no text"),
        (said([{"type": "\x7f"}]), "of a part is not 1 to 120 characters"),
        (said([{"type": "toolCall", "id": 1}]), "the id 1 is not a text of at most 1024"),
        (said([{"type": "toolCall", "name": 2}]), "the name 2 is not a text of at most 1024"),
        (said([{"type": "toolCall", "id": "i" * 1025}]), "is not a text of at most 1024"),
        (
            '{"type":"message","message":{"role":"toolResult","toolCallId":1,"content":""}}',
            "the toolCallId 1 is not a text of at most 1024",
        ),
        (said("a", id=""), "the id '' is not a text of 1 to 120 characters"),
        (said("a", id=None), "the id None is not a text of 1 to 120 characters"),
        (said("a", id="i" * 121), "is not a text of 1 to 120 characters"),
        (said("a", id="a/b"), "the id 'a/b' is not a text"),
        (said("a", id="a#1"), "the id 'a#1' is not a text"),
        (said("a", id="a\n"), r"the id 'a\n' is not a text"),
        (said("a", id="a\x00"), r"the id 'a\x00' is not a text"),
        (said("a", id="\x85"), r"the id '\x85' is not a text"),
        (said("a", id="twice"), "the id 'twice' is that of line 3"),
        (said("a", id="b", parentId="nowhere"), "the parentId 'nowhere' is the id of no entry"),
        (said("a", id="b", parentId="b"), "the parentId 'b' is the id of no entry before it"),
        (said("a", id="b", parentId="s"), "the parentId 's' is the id of no entry before it"),
        (said("a", id="b", parentId=1), "the parentId 1 is the id of no entry before it"),
        (
            '{"type":"message","message":{"role":"bashExecution","command":"ls"}}',
            "a bashExecution has neither content nor a command with its output",
        ),
    ],
)
def test_a_line_that_is_malformed_is_refused_with_its_number(
    tmp_path: Path, line: str | bytes, what: str
) -> None:
    for error in refusals(tmp_path, SESSION, "", said("a", id="twice"), line, said("after it")):
        assert what in error.what
        assert str(error).startswith(f"{tmp_path / 'session.jsonl'}, line 4: ")
        assert str(error).endswith(f"; {error.advice}")


def test_a_cycle_is_refused_where_it_would_close(tmp_path: Path) -> None:
    lines = (said("a", id="a", parentId="b"), said("b", id="b", parentId="a"))
    for error in refusals(tmp_path, SESSION, *lines):
        assert (error.line, error.advice) == (
            2,
            "repair the line, or take it out of a copy of the file",
        )
        assert error.what == "the parentId 'b' is the id of no entry before it"


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        ((), "the file is empty"),
        (("", " "), "the file is empty"),
        ((said("a"),), "the first entry is of type 'message'"),
        (("SQLite format 3",), "not readable as JSON"),
        ((SESSION.encode("utf-16"),), "invalid UTF-8"),
        ((b"\xef\xbb\xbf" + SESSION.encode(),), "a byte order mark"),
        (('{"type":"session"}',), "the id None is not a text of 1 to 120 characters"),
        ((f'{{"type":"session","id":"{"s" * 121}"}}',), "is not a text of 1 to 120 characters"),
        (('{"type":"session","id":"a/b"}',), "the id 'a/b' is not a text of 1 to 120"),
    ],
)
def test_a_file_that_does_not_begin_with_a_session_is_refused(
    tmp_path: Path, lines: tuple[str | bytes, ...], what: str
) -> None:
    for error in refusals(tmp_path, *lines):
        assert what in error.what
        assert error.line == 1


def test_a_file_that_cannot_be_opened_is_refused_as_a_whole(tmp_path: Path) -> None:
    for file in (tmp_path / "missing.jsonl", tmp_path):
        with pytest.raises(UnusableInput, match=r"cannot be read \(.*; name a readable file"):
            list(Transcript(file).messages())
        with pytest.raises(UnusableInput, match=r"cannot be read \(.*; name a readable file"):
            Transcript(file).survey()


def test_a_file_that_cannot_be_read_to_its_end_is_refused_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Transcript(written(tmp_path, SESSION, said("a")))
    content = read.file.read_bytes()

    def opened(_file: Path) -> BytesIO:
        return Broken(content)

    monkeypatch.setattr(transcript, "_opened", opened)
    with pytest.raises(UnusableTranscript, match=r"cannot be read \(Input/output error\)"):
        list(read.messages())


class Broken(BytesIO):
    """A file of which one line can be read."""

    @override
    def readline(self, size: int | None = -1, /) -> bytes:
        if self.tell():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().readline(size)


def test_what_cannot_be_read_twice_is_not_surveyed() -> None:
    with pytest.raises(UnusableTranscript, match="not a regular file, and it has to be read twice"):
        Transcript(Path(os.devnull)).survey()


def test_a_last_line_that_is_unfinished_is_refused_as_such(tmp_path: Path) -> None:
    whole = b"\n".join(line.encode() for line in (SESSION, said("a"), said("大根")))
    file = tmp_path / "growing.jsonl"
    start = whole.rindex(b"\n") + 1
    for length in range(start + 1, len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(UnusableTranscript) as caught:
            Transcript(file).survey()
        assert caught.value.line == 3
        assert caught.value.what.startswith("the last line is unfinished: it has no line end (")
        assert caught.value.advice.startswith("try again when its writer is done")


def test_a_last_line_that_is_whole_needs_no_line_end(tmp_path: Path) -> None:
    file = written(tmp_path, SESSION, said("a"), said("b"))
    before = list(Transcript(file).entries())
    file.write_bytes(file.read_bytes().removesuffix(b"\n"))
    assert list(Transcript(file).entries()) == before
    file.write_bytes(file.read_bytes() + b"\r")
    assert list(Transcript(file).entries()) == before


def test_line_ends_of_either_kind_are_read_alike(tmp_path: Path) -> None:
    file = written(tmp_path, SESSION, said("a"), said("b"))
    before = list(Transcript(file).entries())
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert list(Transcript(file).entries()) == before


def test_a_nul_that_is_escaped_is_part_of_the_text(tmp_path: Path) -> None:
    assert entries(tmp_path, SESSION, said("a\x00b"))[1].text == "a\x00b"


# Bounds

TEXT = {"type": "text", "text": ""}


def test_a_line_is_read_to_the_bound_and_refused_beyond_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = said("大根", id="long")
    monkeypatch.setattr(transcript, "MAX_LINE_BYTES", len(line))
    for end in ("", "\r"):
        assert messages(tmp_path, SESSION, f"{line}{end}")[0].text == "大根"
        assert entries(tmp_path, SESSION, f"{line}{end}")[1].text == "大根"
    for beyond in (f"{line} ", f"{line}  ", f"{line} \r", f"{line}{line}"):
        for error in refusals(tmp_path, SESSION, beyond):
            assert (error.line, error.what[:11]) == (2, "longer than")


@pytest.mark.parametrize(
    ("bound", "content", "what"),
    [
        ("MAX_TEXT", ["大" * 31, "大" * 32], "32 characters of text, at most 31 are read"),
        ("MAX_PARTS", [[TEXT] * 31, [TEXT] * 32], "32 parts of content, at most 31 are read"),
    ],
)
def test_a_content_is_read_to_the_bound_and_refused_beyond_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    bound: str,
    content: list[object],
    what: str,
) -> None:
    monkeypatch.setattr(transcript, bound, 31)
    assert len(entries(tmp_path, SESSION, said(content[0]))) == 2
    for error in refusals(tmp_path, SESSION, said(content[1])):
        assert (error.line, error.what) == (2, what)


def test_entries_are_read_to_the_bound_and_refused_beyond_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcript, "MAX_ENTRIES", 3)
    lines = [SESSION, said("a"), said("b")]
    assert len(entries(tmp_path, *lines)) == 3
    for error in refusals(tmp_path, *lines, said("c")):
        assert (error.line, error.what) == (4, "more than 3 entries, the most that are read")


def test_ids_and_types_are_read_to_the_bound(tmp_path: Path) -> None:
    line = json.dumps({"type": "t" * 120, "id": "é" * 120})
    found = entries(tmp_path, f'{{"type":"session","id":"{"s" * 120}"}}', line)
    assert (found[1].kind, found[1].entry) == ("t" * 120, "é" * 120)


def test_the_id_of_a_call_is_read_to_the_bound(tmp_path: Path) -> None:
    content = [{"type": "toolCall", "id": "i" * 1024, "name": "n" * 1024}]
    (part,) = entries(tmp_path, SESSION, said(content))[1].parts
    assert (part.call, part.name) == ("i" * 1024, "n" * 1024)


# Files that change


def changed_after(
    file: Path, content: bytes
) -> tuple[list[TranscriptEntry], CouldNotFinish | None]:
    """Survey a file, give it another content, and return what is yielded of it then."""
    read, found = Transcript(file), list[TranscriptEntry]()
    read.survey()
    file.write_bytes(content)
    try:
        found += read.entries()
    except CouldNotFinish as error:
        return found, error
    return found, None


LINES = (SESSION, said("a", id="a"), "", said("b", id="b"), said("c", id="c"))


@pytest.mark.parametrize("tail", [said("d"), "{", "", "not JSON"])
def test_what_was_added_since_the_survey_is_left_for_another(tmp_path: Path, tail: str) -> None:
    file = written(tmp_path, *LINES)
    before = list(Transcript(file).entries())
    found, error = changed_after(file, file.read_bytes() + tail.encode())
    assert (found, error) == (before, None)


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_survey_ends_where_the_file_ended_when_it_began(tmp_path: Path, end: str) -> None:
    file = written(tmp_path, *LINES)
    size = file.stat().st_size
    grown = False

    def grow(_taken: int, _size: int) -> None:
        nonlocal grown
        if not grown:
            grown = True
            file.write_bytes(file.read_bytes() + said("d").encode() + end.encode())

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(transcript, "PROGRESS_BYTES", 1)
        survey = Transcript(file).survey(grow)
    assert grown
    assert (survey.size_bytes, survey.entries) == (size, 4)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (b'"content": "b"', b'"content": "x"', 4),
        (b'"content": "c"', b'"content": "c', 5),
        (b'"content": "c"', b'"content": "\xff"', 5),
        (b'"id": "c"', b'"id": "d"', 5),
        (b"\n\n", b"\n", 3),
        (b"\n\n", b"\n\n\n", 5),
        (b"\n\n", b"\r\n\n", None),
        (b"\n\n", b"\n \n", None),
        (b'"content": "c"}}\n', b'"content": "c"}} ', 5),
    ],
)
def test_a_file_that_changed_since_the_survey_is_noticed(
    tmp_path: Path, old: bytes, new: bytes, line: int | None
) -> None:
    """No changed line is yielded; what changed between two lines is noticed at the end."""
    file = written(tmp_path, *LINES)
    before = list(Transcript(file).entries())
    content = file.read_bytes()
    assert content.count(old) == 1
    found, error = changed_after(file, content.replace(old, new))
    assert found == before[: len(found)]
    place = f"{file}" if line is None else f"{file}, line {line}"
    assert str(error) == f"{place}: changed while it was read; try again"


def test_an_entry_where_a_blank_line_was_is_noticed(tmp_path: Path) -> None:
    file = written(tmp_path, *LINES, " " * len(said("d")))
    before = list(Transcript(file).entries())
    spaces = b" " * len(said("d"))
    found, error = changed_after(file, file.read_bytes().replace(spaces, said("d").encode()))
    assert found == before
    assert str(error) == f"{file}, line 6: changed while it was read; try again"


def test_a_file_that_shrank_since_the_survey_is_noticed(tmp_path: Path) -> None:
    file = written(tmp_path, *LINES)
    before, content = list(Transcript(file).entries()), file.read_bytes()
    for length in range(len(content)):
        found, error = changed_after(written(tmp_path, *LINES), content[:length])
        assert error is not None
        assert found == before[: len(found)]
        assert len(found) < len(before) or length == len(content) - 1


def test_a_file_that_is_gone_since_the_survey_is_refused(tmp_path: Path) -> None:
    read = Transcript(written(tmp_path, *LINES))
    read.survey()
    read.file.unlink()
    with pytest.raises(UnusableTranscript, match="cannot be read"):
        list(read.entries())


def test_a_second_survey_is_the_one_that_counts(tmp_path: Path) -> None:
    read = Transcript(written(tmp_path, *LINES))
    first = read.survey()
    written(tmp_path, *LINES, said("d"))
    assert len(list(read.entries())) == first.entries
    assert read.survey().entries == first.entries + 1
    assert len(list(read.entries())) == first.entries + 1


# Damage


CONTENT = SMALL.read_bytes()
ENDS = [place + 1 for place, byte in enumerate(CONTENT) if byte == ord("\n")]


def but_standing(entry: TranscriptEntry) -> tuple[object, ...]:
    """Return all of an entry that does not depend on lines after it."""
    placed = (entry.line, entry.entry, entry.parent, entry.kind, entry.role)
    return (*placed, entry.text, entry.parts, entry.digest)


@cache
def undamaged() -> list[tuple[object, ...]]:
    return [but_standing(one) for one in Transcript(SMALL).entries()]


@cache
def undamaged_messages() -> list[TranscriptMessage]:
    return list(Transcript(SMALL).messages())


@st.composite
def damages(draw: st.DrawFn) -> tuple[int, bytes]:
    """Draw a place in the small transcript and its bytes with one replaced, left out or added."""
    line = draw(st.integers(0, len(ENDS) - 1))
    place = draw(st.integers(ENDS[line - 1] if line else 0, ENDS[line] - 1))
    byte = draw(st.just(b"") | st.binary(min_size=1, max_size=1))
    after = place if byte and draw(st.booleans()) else place + 1
    return line + 1, CONTENT[:place] + byte + CONTENT[after:]


@given(damages())
@settings(max_examples=300)
def test_a_damaged_byte_is_refused_or_leaves_what_is_before_it_as_it_was(
    damage: tuple[int, bytes],
) -> None:
    """Only the branch that an entry is on may follow from a line after it."""
    line, content = damage
    with TemporaryDirectory() as folder:
        file = Path(folder) / "damaged.jsonl"
        file.write_bytes(content)
        told, error = until_refused(Transcript(file).messages())
        found, same = until_refused(Transcript(file).entries())
    before = [one for one in undamaged_messages() if one.line < line]
    assert told[: len(before)] == before
    assert str(error) == str(same)
    if error is None:
        assert [but_standing(one) for one in found[: line - 1]] == undamaged()[: line - 1]
    else:
        assert error.line is not None
        assert error.line >= line


def until_refused(found: Iterator[T]) -> tuple[list[T], UnusableTranscript | None]:
    """Return what is yielded before a refusal, and the refusal."""
    told = list[T]()
    try:
        told.extend(found)
    except UnusableTranscript as error:
        return told, error
    return told, None


# Progress and memory


def test_progress_is_told_in_bytes_and_ends_with_all_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transcript, "PROGRESS_BYTES", 10_000)
    size, told = SMALL.stat().st_size, list[tuple[int, int]]()
    read = Transcript(SMALL)
    read.survey(lambda taken, of: told.append((taken, of)))
    surveyed = told.copy()
    assert [of for _, of in surveyed] == [size] * len(surveyed)
    steps = [after - before for (before, _), (after, _) in pairwise([(0, size), *surveyed])]
    assert min(steps[:-1]) >= 10_000
    assert (min(steps) > 0, surveyed[-1]) == (True, (size, size))
    told.clear()
    list(read.entries(lambda taken, of: told.append((taken, of))))
    assert told == surveyed


def peak(file: Path) -> int:
    """Return the most memory that a survey and the reading of every entry take, in bytes."""
    read = Transcript(file)
    tracemalloc.start()
    try:
        read.survey()
        deque(read.entries(), maxlen=0)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_is_bounded_by_the_longest_line_and_the_ids(tmp_path: Path) -> None:
    """A file of 20 MB: 10 times the longest line, and 200 bytes for each of its entries."""
    file = tmp_path / "big.jsonl"
    write_big(SMALL, file, 20_000_000)
    lines = [len(line) for line in file.read_bytes().splitlines()]
    bound = 10 * max(lines) + 200 * len(lines)
    assert bound < sum(lines) / 3
    assert peak(file) < bound


@pytest.mark.parametrize("text", ["a", "\n", "大", "a🥕"])
@pytest.mark.parametrize("escaped", [True, False])
def test_a_long_line_is_held_less_than_ten_times(
    tmp_path: Path, text: str, *, escaped: bool
) -> None:
    content = json.dumps(text * 100_000, ensure_ascii=escaped)
    line = f'{{"type":"message","message":{{"role":"user","content":{content}}}}}'
    assert peak(written(tmp_path, SESSION, *[line] * 4)) < 10 * len(line.encode())


@pytest.mark.parametrize("value", ["[]", "{}", '{"a":0}', "0", '""'])
def test_a_line_of_brackets_is_held_less_than_sixty_times(tmp_path: Path, value: str) -> None:
    line = f'{{"type":"custom","data":[{",".join([value] * 30_000)}]}}'
    assert peak(written(tmp_path, SESSION, *[line] * 4)) < 60 * len(line)


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


def test_what_other_programs_write_is_carried_along(tmp_path: Path) -> None:
    """Integers of any size keep their digits, and half a surrogate pair is read as its escape."""
    file = tmp_path / "t.jsonl"
    message = r'{"role":"user","content":"cut \ud83d, whole \ud83d\ude00"}'
    label = '{"type":"label","channel":1152921504606846976}'
    header = '{"type":"session","id":"s"}'
    file.write_text(f'{header}\n{{"type":"message","message":{message}}}\n{label}\n')
    transcript = Transcript(file)
    transcript.survey()
    said = [entry.text for entry in transcript.entries()]
    assert said[1] == "cut \\ud83d, whole \U0001f600"
    assert '"channel":1152921504606846976' in said[2]


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(UnusableTranscript, match="not a regular file"):
        Transcript(pipe).survey()
