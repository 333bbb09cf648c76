"""Reads the messages of an agent transcript, line by line.

Theory of operation. A transcript is JSON Lines. The first line is the ``session`` entry; of the
entries after it, those of type ``message`` are yielded and the others are counted by type. An entry
of the newer form has an ``id``; one of the older form gets an id from the session's and its line
number. Blank lines hold nothing and are passed over.

What a message says becomes one text, and no part of it is dropped: the text parts as they are, and
what else there is (a tool call, thinking, an image) as its type in brackets and its fields as
compact JSON with sorted keys. Each part begins on a new line. A ``bashExecution`` has no content;
its text is the command after ``$``, the output, and the other fields.

Input is untrusted: every line is bounded, goes through ``plumbline_spec.strict``, and is refused
with its number. Branches are not told apart: messages come in the order of the file.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final

from msgspec import Struct

from plumbline_spec.errors import UnusableInput
from plumbline_spec.strict import JsonValue, UnreadableJson, read

MAX_LINE_BYTES: Final = 16 * 1024 * 1024
"""The longest line that is read, in bytes; the line feed is not counted."""

MAX_TEXT: Final = 16_777_216
"""The longest text of a message, in code points."""

MAX_ID: Final = 256
"""The longest id of a message, in code points."""

MAX_SESSION_ID: Final = 200
"""The longest id of a session, in code points; a line number is added to it."""

ROLES: Final = ("user", "assistant", "toolResult", "bashExecution")
"""Who says something in a transcript."""


class UnusableTranscript(UnusableInput):
    """A file cannot be read as a transcript."""

    def __init__(self, file: Path, line: int | None, what: str, advice: str) -> None:
        self.file = file
        self.line = line
        """The line at fault, counted from 1; None when the file cannot be read at all."""
        self.what = what
        """What is wrong."""
        self.advice = advice
        """What to do about it."""
        place = f"{file}" if line is None else f"{file}, line {line}"
        super().__init__(f"{place}: {what}; {advice}")


class TranscriptMessage(Struct, frozen=True, kw_only=True):
    """One message of a transcript."""

    line: int
    """The line it stands on, counted from 1."""
    id: str
    """Its id; no other message of the transcript has it."""
    role: str
    """One of ``ROLES``."""
    text: str
    """What it says; "" when it says nothing."""


class Transcript:
    """A transcript in a file; ``messages`` reads it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.session = ""
        """The id of the session, known once the first message was asked for."""
        self.skipped: Counter[str] = Counter()
        """How many entries of each other type were passed over so far."""

    def messages(self) -> Iterator[TranscriptMessage]:
        """Yield the messages in the order of the file, reading it as they are asked for.

        Raises ``UnusableTranscript`` at the first line that is not as the module says.
        """
        self.skipped.clear()
        entries = _entries(self.file)
        self.session = _session(self.file, next(entries, None))
        seen: dict[str, int] = {}
        for entry in entries:
            if entry.kind == "message":
                message = _message(entry, self.session)
                _refuse_second(entry, message.id, seen)
                yield message
            elif entry.kind == "session":
                raise entry.wrong("a second session begins", "give each session a file of its own")
            else:
                self.skipped[entry.kind] += 1


class _Entry(Struct, frozen=True, kw_only=True):
    """One line that is an object with a type."""

    file: Path
    line: int
    kind: str
    fields: dict[str, JsonValue]

    def wrong(self, what: str, advice: str = "") -> UnusableTranscript:
        return UnusableTranscript(self.file, self.line, what, advice or _REPAIR)


_EXPECTED: Final = "an agent transcript in JSON Lines is expected, whose first line is its session"
_REPAIR: Final = "repair the line, or take it out of a copy of the file"


def _entries(file: Path) -> Iterator[_Entry]:
    try:
        with file.open("rb") as stream:
            for number, line in enumerate(_lines(stream), start=1):
                if line.strip():
                    yield _entry(file, number, line)
    except OSError as error:
        what = f"cannot be read ({error.strerror})"
        raise UnusableTranscript(file, None, what, "name a readable file") from error


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield lines; one that is too long is cut just beyond the bound, and the reader refuses it."""
    while line := stream.readline(MAX_LINE_BYTES + 1):
        yield line.removesuffix(b"\n")


def _entry(file: Path, number: int, line: bytes) -> _Entry:
    try:
        value = read(line, max_bytes=MAX_LINE_BYTES, floats=True)
    except UnreadableJson as error:
        advice = _EXPECTED if number == 1 else _REPAIR
        raise UnusableTranscript(file, number, f"not readable as JSON: {error}", advice) from None
    if not isinstance(value, dict):
        raise UnusableTranscript(file, number, "not an object", _EXPECTED)
    kind = value.get("type")
    if not isinstance(kind, str):
        raise UnusableTranscript(file, number, "has no type", _EXPECTED)
    return _Entry(file=file, line=number, kind=kind, fields=value)


def _session(file: Path, first: _Entry | None) -> str:
    if first is None:
        raise UnusableTranscript(file, 1, "the file is empty", _EXPECTED)
    if first.kind != "session":
        raise first.wrong(f"the first entry is of type {_short(first.kind)}", _EXPECTED)
    return _id(first, first.fields.get("id"), MAX_SESSION_ID)


def _id(entry: _Entry, value: JsonValue, longest: int) -> str:
    if isinstance(value, str) and 1 <= len(value) <= longest:
        return value
    raise entry.wrong(f"the id is not a text of 1 to {longest} characters")


def _refuse_second(entry: _Entry, message: str, seen: dict[str, int]) -> None:
    line = seen.setdefault(message, entry.line)
    if line != entry.line:
        raise entry.wrong(f"the id {_short(message)} is that of line {line}")


def _message(entry: _Entry, session: str) -> TranscriptMessage:
    made = f"{session}-line-{entry.line}"
    message = entry.fields.get("message")
    if not isinstance(message, dict):
        raise entry.wrong("an entry of type message has no message")
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise entry.wrong(f"the role {_short(role)} is none of {', '.join(ROLES)}")
    text = _text(entry, role, message)
    if len(text) > MAX_TEXT:
        raise entry.wrong(f"{len(text)} characters of text, at most {MAX_TEXT} are read")
    identity = _id(entry, entry.fields.get("id", made), MAX_ID)
    return TranscriptMessage(line=entry.line, id=identity, role=role, text=text)


def _text(entry: _Entry, role: str, message: Mapping[str, JsonValue]) -> str:
    match message.get("content"):
        case str(content):
            return content
        case list(parts):
            return "\n".join(_part(entry, part) for part in parts)
        case None if role == "bashExecution":
            return _execution(entry, message)
        case _:
            raise entry.wrong("the content is neither a text nor a list of parts")


def _part(entry: _Entry, part: JsonValue) -> str:
    if not isinstance(part, dict):
        raise entry.wrong("a part of the content is not an object")
    match part:
        case {"type": "text", "text": str(said)}:
            return _with_rest(said, "text", part, "type", "text")
        case {"type": "text"}:
            raise entry.wrong("a text part has no text")
        case {"type": str(kind)}:
            return _rendered(kind, _without(part, "type"))
        case _:
            raise entry.wrong("a part of the content has no type")


def _execution(entry: _Entry, message: Mapping[str, JsonValue]) -> str:
    match message:
        case {"command": str(command), "output": str(output)}:
            said = f"$ {command}\n{output}"
            return _with_rest(said, "bashExecution", message, *_ENVELOPE, "command", "output")
        case _:
            raise entry.wrong("a bashExecution has neither content nor a command with its output")


_ENVELOPE: Final = ("role", "content", "timestamp")


def _with_rest(said: str, kind: str, fields: Mapping[str, JsonValue], *names: str) -> str:
    rest = _without(fields, *names)
    return f"{said}\n{_rendered(kind, rest)}" if rest else said


def _without(fields: Mapping[str, JsonValue], *names: str) -> dict[str, JsonValue]:
    return {name: value for name, value in fields.items() if name not in names}


def _rendered(kind: str, fields: Mapping[str, JsonValue]) -> str:
    compact = json.dumps(fields, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return f"[{kind}] {compact}"


_SHOWN: Final = 40


def _short(value: JsonValue) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
