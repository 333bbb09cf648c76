"""Reads agent transcripts: JSON Lines that grow at the end, as agents write them while they work.

Theory of operation. The first line is the ``session``; every line after it is one entry, and the
session counts as one too. An entry of the newer form has an ``id`` and a ``parentId``, which names
an earlier entry, or is null at a root; so the entries are trees. One without ``parentId`` follows
the entry before it, and in the older form, which has neither, all follow one another. The last
entry is the leaf. The *branch* is the path from the leaf to its root; what lies off it was
abandoned, by going back to an earlier entry and on from there.

A file is read twice. ``survey`` reads every line strictly, so that a malformed one is found before
anything of the file is used, and keeps counts, digests and ids. ``entries`` reads as many bytes
again and yields what they say; a line that differs from the one surveyed is not yielded. What was
yielded is known to be the surveyed file only when the iteration has ended, so a caller keeps
nothing of it before. Bytes that were added meanwhile are left for another survey.

What an entry says becomes one text made of parts, and no part is dropped. A part of kind ``text``
stands as it is. Every other (a tool call, thinking, an image, all of an entry that is not a
message) is its kind in brackets and its fields as compact JSON with sorted keys; what a text has
beside itself is a part of kind ``textFields``. Each part begins on a new line. A ``bashExecution``
has no content; its text is the command after ``$`` and the output, and its other fields are a part.
The envelope of a message (time, usage, model) is not said and is left out.

Memory. ``survey`` keeps about 100 bytes for each entry, and its id; of that it holds on to 9 bytes
for each entry, for ``entries``, and to the ids on the branch. Beside that, a pass holds one line
and what was read from it, and what was read from the line before: less than 10 times the bytes of
the longest line if it says texts, and less than 60 times if it is brackets and nothing else.

Input is untrusted. What a file may be like, and what it must not:

=============================================  =====================================================
a blank line                                   is passed over; it counts as a line, not as an entry
a line end of CR LF                            is read as LF; the digest of a line is without either
a last line without a line end                 is read when it is whole, else refused as unfinished
more than ``MAX_LINE_BYTES`` on one line       refused
what ``plumbline_spec.strict`` refuses of a    refused: a byte order mark, a NUL or other control
foreign text                                   byte, a key twice, NaN, ...
half a surrogate pair                          is read as the six characters of its escape
an integer beyond 2**53                        is read, with all of its digits
the escape of a NUL in a text                  is read; tools do print it
an id or type too long, or with a control      refused, as is an id with ``/`` or ``#``: names are
character                                      joined with these
an id twice, a second session                  refused
a ``parentId`` that is not an earlier entry's  refused; so no cycle can be written down
=============================================  =====================================================

A refusal is an ``UnusableTranscript`` with the number of the line, what is wrong, and what to do.
"""

import contextlib
import hashlib
import json
import os
import re
import stat
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

import msgspec
from msgspec import Struct

from plumbline_models.intake import Part, Standing
from plumbline_spec.errors import CouldNotFinish, UnusableInput
from plumbline_spec.strict import JsonValue, UnreadableJson, read

MAX_LINE_BYTES: Final = 16 * 1024 * 1024
"""The longest line that is read, in bytes; its end is not counted."""

MAX_TEXT: Final = 16_777_216
"""The longest text of an entry, in code points."""

MAX_PARTS: Final = 10_000
"""The most parts of one content."""

MAX_ENTRIES: Final = 4_000_000
"""The most entries of one transcript; what a survey keeps of each bounds its memory."""

MAX_ID: Final = 120
"""The longest id of a session or an entry, and the longest type, in code points."""

MAX_CALL: Final = 1024
"""The longest id of a tool call and the longest name of a tool, in code points."""

PROGRESS_BYTES: Final = 1024 * 1024
"""How much is read between two calls of a progress callback, at least, in bytes."""

MAX_TIME: Final = 64
"""The longest time of an entry, in code points; a longer one is taken for none."""

ROLES: Final = ("user", "assistant", "toolResult", "bashExecution")
"""Who says something in a transcript."""

ReadProgress: TypeAlias = Callable[[int, int], None]
"""Called now and then with how many bytes were read so far, and of how many."""


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
    """Its own id, else ``session#line``; no other message of the transcript has it."""
    role: str
    """One of ``ROLES``."""
    text: str
    """What it says; "" when it says nothing."""


class TranscriptEntry(Struct, frozen=True, kw_only=True):
    """One line of a transcript that is not blank."""

    line: int
    """The line it stands on, counted from 1."""
    entry: str | None
    """Its own id; None when it has none. The session has none: its id is the transcript's."""
    parent: str | None
    """The id of the entry that it follows; None at a root, and when that entry has no id."""
    kind: str
    """The type of the entry."""
    role: str
    """Who says it, one of ``ROLES``; the type, when it is not a message."""
    standing: Standing
    """``PLACED``, ``CARRIED`` or ``ASIDE``; the session is carried on every branch."""
    text: str
    """What it says: its parts, with a line feed between two of them."""
    parts: tuple[Part, ...]
    """The spans of the text, in its order; only the line feeds between them are of no part."""
    time: str | None
    """When it was said, as the line says it; None when it says nothing of up to 64 characters."""
    digest: str
    """The SHA-256 of the line's bytes without the line end, in hexadecimal digits."""


class Survey(Struct, frozen=True, kw_only=True):
    """What a whole transcript is like; none of its texts."""

    session: str
    """The id of the session."""
    entries: int
    """How many entries there are, the session included."""
    kinds: tuple[tuple[str, int], ...]
    """How many of each type, by type."""
    messages: int
    """How many of them are messages."""
    size_bytes: int
    """How many bytes were surveyed."""
    digest: str
    """The SHA-256 of these bytes, in hexadecimal digits."""
    branch: tuple[str, ...]
    """The ids on the branch, from the root to the leaf; entries without an id are left out."""
    on_branch: bytes
    """For each entry in the order of the file, 1 when it is on the branch and 0 when it is not."""


class Transcript:
    """A transcript in a file.

    ``messages`` reads every message in one pass; ``survey`` and then ``entries`` read everything.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.session = ""
        """The id of the session, known once something was read."""
        self.skipped: Counter[str] = Counter()
        """How many entries of each other type ``messages`` passed over so far."""
        self._surveyed: _Surveyed | None = None

    def messages(self) -> Iterator[TranscriptMessage]:
        """Yield the messages in the order of the file, on the branch or not, as they are asked for.

        Raises ``UnusableTranscript`` at the first line that is not as the module says.
        """
        self.skipped.clear()
        with _opened(self.file) as stream:
            for entry in self._checked(_Pass(self.file, stream, None, None), _Tree()):
                if entry.kind == "message":
                    role, said = _said(entry)
                    yield TranscriptMessage(
                        line=entry.line,
                        id=f"{self.session}#{entry.line}" if entry.own is None else entry.own,
                        role=role,
                        text=said.text(),
                    )
                elif entry.kind != "session":
                    self.skipped[entry.kind] += 1

    def survey(self, progress: ReadProgress | None = None) -> Survey:
        """Read the whole file, as long as it is now, and return what it is like.

        Raises ``UnusableTranscript`` at the first line that is not as the module says.
        """
        self._surveyed = self._survey(progress)
        return self._surveyed.survey

    def _survey(self, progress: ReadProgress | None) -> "_Surveyed":
        tree = _Tree()
        kinds = Counter[str]()
        with _opened(self.file) as stream:
            over = _Pass(self.file, stream, _size(self.file, stream), progress)
            for entry in self._checked(over, tree):
                kinds[entry.kind] += 1
                _said(entry)
        on_branch = tree.on_branch()
        survey = Survey(
            session=self.session,
            entries=len(on_branch),
            kinds=tuple(sorted(kinds.items())),
            messages=kinds["message"],
            size_bytes=over.taken,
            digest=over.digest.hexdigest(),
            branch=tree.ids_of(on_branch),
            on_branch=bytes(on_branch),
        )
        return _Surveyed(survey=survey, checks=tree.checks)

    def entries(self, progress: ReadProgress | None = None) -> Iterator[TranscriptEntry]:
        """Yield every entry of the file as surveyed last, reading it as they are asked for.

        The file is surveyed first when it was not yet. Raises ``UnusableTranscript`` as ``survey``
        does, and ``CouldNotFinish`` when the file is no longer the one that was surveyed; that may
        be known only at the end, so nothing that was yielded counts before.
        """
        if self._surveyed is None:
            self._surveyed = self._survey(None)
        survey, checks = self._surveyed.survey, self._surveyed.checks
        before: str | None = None
        with _opened(self.file) as stream:
            over = _Pass(self.file, stream, survey.size_bytes, progress)
            for index, line in enumerate(over.lines()):
                entry = self._again(line, checks, index)
                yield _entry_of(entry, before, on_branch=survey.on_branch[index] == 1)
                before = entry.own
            if over.digest.hexdigest() != survey.digest:
                raise self._changed()

    def _checked(self, over: "_Pass", tree: "_Tree") -> Iterator["_Entry"]:
        """Yield the entries of a pass, read strictly; each has its place in the tree."""
        for line in over.lines():
            entry = _read(self.file, line)
            if not len(tree):
                self.session = _session(entry)
            elif entry.kind == "session":
                raise entry.wrong("a second session begins", "give each session a file of its own")
            tree.add(entry)
            yield entry
        if not len(tree):
            raise UnusableTranscript(self.file, 1, "the file is empty", _EXPECTED)

    def _again(self, line: "_Line", checks: "array[int]", index: int) -> "_Entry":
        """Read a line that was read strictly before, provided that it is the same."""
        digest = hashlib.sha256(line.body).digest()
        if index >= len(checks) or checks[index] != _check(line.number, digest):
            raise self._changed(line.number)
        value = _read_again(line.body)
        return _entry(self.file, line, value, digest)

    def _changed(self, line: int | None = None) -> CouldNotFinish:
        place = f"{self.file}" if line is None else f"{self.file}, line {line}"
        return CouldNotFinish(f"{place}: changed while it was read; try again")


_EXPECTED: Final = "an agent transcript in JSON Lines is expected, whose first line is its session"
_REPAIR: Final = "repair the line, or take it out of a copy of the file"
_WAIT: Final = "try again when its writer is done, or take the line out of a copy of the file"


class _Surveyed(Struct, frozen=True, kw_only=True):
    """A survey, and what tells whether a line is the one surveyed."""

    survey: Survey
    checks: "array[int]"
    """For each entry what its line and the number of it are checked by."""


# Lines


_MANY_DIGITS: Final = re.compile(rb"[0-9]{19}")
"""Digits of an integer that a faster reader may not keep."""


def _read_again(body: bytes) -> JsonValue:
    """Read what the strict reader took before: a faster one reads the same value of most lines."""
    if _MANY_DIGITS.search(body) is None:
        with contextlib.suppress(msgspec.DecodeError):
            value: JsonValue = msgspec.json.decode(body)
            return value
    return read(body, max_bytes=MAX_LINE_BYTES, foreign=True)


def _opened(file: Path) -> BinaryIO:
    try:
        # A pipe without a writer would be waited for until there is one.
        return os.fdopen(os.open(file, os.O_RDONLY | os.O_NONBLOCK), "rb")
    except OSError as error:
        raise _not_read(file, error) from error


def _not_read(file: Path, error: OSError) -> UnusableTranscript:
    what = f"cannot be read ({error.strerror})"
    return UnusableTranscript(file, None, what, "name a readable file")


def _size(file: Path, stream: BinaryIO) -> int:
    """Return the size of what must be a file, because it is read twice."""
    status = os.fstat(stream.fileno())
    if not stat.S_ISREG(status.st_mode):
        what = "not a regular file, and it has to be read twice"
        raise UnusableTranscript(file, None, what, "store it in a file and name that")
    return status.st_size


class _Line(Struct, frozen=True, kw_only=True):
    """One line that is not blank."""

    number: int
    body: bytes
    """Its bytes without the line end; more than ``MAX_LINE_BYTES`` when it is too long."""
    ended: bool
    """False when the file ends, or the line is cut, before a line feed."""


class _Pass:
    """One pass over the first bytes of a file, or over all of them: lines, and their digest."""

    def __init__(
        self, file: Path, stream: BinaryIO, size: int | None, progress: ReadProgress | None
    ) -> None:
        self._file = file
        self._stream = stream
        self._size = size
        self._progress = progress
        self._told = 0
        self.taken = 0
        """How many bytes were read so far."""
        self.digest = hashlib.sha256()
        """Of these bytes."""

    def lines(self) -> Iterator[_Line]:
        """Yield the lines that are not blank; one that is too long is cut beyond the bound."""
        for number, line in enumerate(iter(self._next, b""), start=1):
            body = line.removesuffix(b"\n").removesuffix(b"\r")
            if body.strip(_BLANK):
                yield _Line(number=number, body=body, ended=line.endswith(b"\n"))
            self._tell(PROGRESS_BYTES)
        self._tell(1)

    def _next(self) -> bytes:
        most = MAX_LINE_BYTES + len(b"\r\n")
        if self._size is not None:
            most = min(most, self._size - self.taken)
        try:
            line = self._stream.readline(most)
        except OSError as error:
            raise _not_read(self._file, error) from error
        self.taken += len(line)
        self.digest.update(line)
        return line

    def _tell(self, least: int) -> None:
        if self._progress is None or self._size is None or self.taken - self._told < least:
            return
        self._told = self.taken
        self._progress(self.taken, self._size)


_BLANK: Final = b" \t\r"


# Entries


class _Entry(Struct, frozen=True, kw_only=True):
    """One line that is an object with a type."""

    file: Path
    line: int
    kind: str
    fields: dict[str, JsonValue]
    own: str | None
    """Its id among the entries; the session has none."""
    digest: bytes
    """The SHA-256 of the line."""

    def wrong(self, what: str, advice: str = "") -> UnusableTranscript:
        return UnusableTranscript(self.file, self.line, what, advice or _REPAIR)


def _read(file: Path, line: _Line) -> _Entry:
    """Read a line strictly."""
    if len(line.body) > MAX_LINE_BYTES:
        what = f"longer than {MAX_LINE_BYTES} bytes, the most that is read of one line"
        raise UnusableTranscript(file, line.number, what, _REPAIR)
    try:
        value = read(line.body, max_bytes=MAX_LINE_BYTES, foreign=True)
    except UnreadableJson as error:
        raise _unreadable(file, line, error) from None
    return _entry(file, line, value, hashlib.sha256(line.body).digest())


def _unreadable(file: Path, line: _Line, error: UnreadableJson) -> UnusableTranscript:
    place = "" if error.offset is None else f" at byte {error.offset} of the line"
    if not line.ended:
        what = f"the last line is unfinished: it has no line end ({error.what}{place})"
        return UnusableTranscript(file, line.number, what, _WAIT)
    advice = _EXPECTED if line.number == 1 else _REPAIR
    return UnusableTranscript(
        file, line.number, f"not readable as JSON: {error.what}{place}", advice
    )


def _entry(file: Path, line: _Line, value: JsonValue, digest: bytes) -> _Entry:
    if not isinstance(value, dict):
        raise UnusableTranscript(file, line.number, "not an object", _EXPECTED)
    kind = value.get("type")
    if not isinstance(kind, str):
        raise UnusableTranscript(file, line.number, "has no type", _EXPECTED)
    own: str | None = None
    if kind != "session" and "id" in value:
        own = _id(file, line.number, value["id"])
    if not _TYPE.fullmatch(kind):
        what = f"the type {_short(kind)} {_RULE_OF_TYPES}"
        raise UnusableTranscript(file, line.number, what, _REPAIR)
    return _Entry(file=file, line=line.number, kind=kind, fields=value, own=own, digest=digest)


def _session(first: _Entry) -> str:
    if first.kind != "session":
        raise first.wrong(f"the first entry is of type {_short(first.kind)}", _EXPECTED)
    return _id(first.file, first.line, first.fields.get("id"))


_TYPE: Final = re.compile(rf"[^\x00-\x1f\x7f-\x9f]{{1,{MAX_ID}}}")
_RULE_OF_TYPES: Final = f"is not 1 to {MAX_ID} characters without control characters"
_ID: Final = re.compile(rf"[^/#\x00-\x1f\x7f-\x9f]{{1,{MAX_ID}}}")
_RULE_OF_IDS: Final = f"is not a text of 1 to {MAX_ID} characters without / and # and controls"


def _id(file: Path, line: int, value: JsonValue) -> str:
    if isinstance(value, str) and _ID.fullmatch(value):
        return value
    raise UnusableTranscript(file, line, f"the id {_short(value)} {_RULE_OF_IDS}", _REPAIR)


# The tree


class _Tree:
    """Who follows whom, by index: the session is 0, the entry after it 1, and so on."""

    def __init__(self) -> None:
        self._indexes: dict[str, int] = {}
        self._lines = array("q")
        self._parents = array("q")
        """For each entry the index of the one that it follows; -1 at a root."""
        self.checks = array("Q")
        """For each entry what its line and the number of it are checked by."""

    def __len__(self) -> int:
        return len(self._parents)

    def add(self, entry: _Entry) -> None:
        """Give an entry its place; refuse an id that was used, and a parent that is not there."""
        index = len(self)
        if index >= MAX_ENTRIES:
            raise entry.wrong(
                f"more than {MAX_ENTRIES} entries, the most that are read", "split the session"
            )
        self._parents.append(self._parent(entry, index))
        self._lines.append(entry.line)
        self.checks.append(_check(entry.line, entry.digest))
        if entry.own is None:
            return
        first = self._indexes.setdefault(entry.own, index)
        if first != index:
            raise entry.wrong(f"the id {_short(entry.own)} is that of line {self._lines[first]}")

    def _parent(self, entry: _Entry, index: int) -> int:
        if index == 0 or "parentId" not in entry.fields:
            return index - 1
        parent = entry.fields["parentId"]
        if parent is None:
            return -1
        found = self._indexes.get(parent) if isinstance(parent, str) else None
        if found is None:
            raise entry.wrong(f"the parentId {_short(parent)} is the id of no entry before it")
        return found

    def on_branch(self) -> bytearray:
        """Return 1 for each entry on the branch of the last one, and 0 for each other."""
        marks = bytearray(len(self))
        at = len(self) - 1
        while at > 0:
            marks[at] = 1
            at = self._parents[at]
        marks[0] = 1
        return marks

    def ids_of(self, marks: bytearray) -> tuple[str, ...]:
        """Return the ids of the entries that are marked, in the order of the file."""
        return tuple(own for own, index in self._indexes.items() if marks[index])


_CHECK_BYTES: Final = 8


def _check(line: int, digest: bytes) -> int:
    """Return a number that another line, or the same one elsewhere, hardly ever has."""
    return int.from_bytes(digest[:_CHECK_BYTES], "big") ^ line


# What an entry says


class _Said:
    """A text that is made of parts."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._length = 0
        self.parts: list[Part] = []

    def add(self, kind: str, text: str, call: str | None = None, name: str | None = None) -> None:
        """Add a part on a new line."""
        start = self._length + 1 if self._texts else 0
        self.parts.append(Part(kind=kind, start=start, length=len(text), call=call, name=name))
        self._texts.append(text)
        self._length = start + len(text)

    def text(self) -> str:
        """Return the whole text."""
        return "\n".join(self._texts)

    def __len__(self) -> int:
        return self._length


def _entry_of(entry: _Entry, before: str | None, *, on_branch: bool) -> TranscriptEntry:
    """Return an entry; ``before`` is the id of the one before it."""
    message = entry.kind == "message"
    role, said = _said(entry)
    parent = None if entry.kind == "session" else entry.fields.get("parentId", before)
    placed = Standing.PLACED if message else Standing.CARRIED
    return TranscriptEntry(
        line=entry.line,
        entry=entry.own,
        parent=parent if isinstance(parent, str) else None,
        kind=entry.kind,
        role=role,
        standing=placed if on_branch else Standing.ASIDE,
        text=said.text(),
        parts=tuple(said.parts),
        time=_time(entry.fields.get("timestamp")),
        digest=entry.digest.hex(),
    )


def _time(value: JsonValue) -> str | None:
    return value if isinstance(value, str) and len(value) <= MAX_TIME else None


def _said(entry: _Entry) -> tuple[str, _Said]:
    """Return who says something, and what."""
    said = _Said()
    if entry.kind == "message":
        role = _say_message(entry, said)
    else:
        role = entry.kind
        _say_fields(said, role, entry.fields, "type", "id", "parentId")
    if len(said) > MAX_TEXT:
        raise entry.wrong(f"{len(said)} characters of text, at most {MAX_TEXT} are read")
    return role, said


def _say_message(entry: _Entry, said: _Said) -> str:
    message = entry.fields.get("message")
    if not isinstance(message, dict):
        raise entry.wrong("an entry of type message has no message")
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise entry.wrong(f"the role {_short(role)} is none of {', '.join(ROLES)}")
    call, name = None, None
    if role == "toolResult":
        call, name = _label(entry, message, "toolCallId"), _label(entry, message, "toolName")
    content = message.get("content")
    if isinstance(content, list):
        _say_parts(entry, said, content, call, name)
    elif isinstance(content, str):
        said.add("text", content, call, name)
    elif content is None and role == "bashExecution":
        _say_execution(entry, said, message)
    else:
        raise entry.wrong("the content is neither a text nor a list of parts")
    return role


def _say_parts(
    entry: _Entry, said: _Said, parts: list[JsonValue], call: str | None, name: str | None
) -> None:
    """Say each part; a tool's result that is empty has an empty part, which names the call."""
    if len(parts) > MAX_PARTS:
        raise entry.wrong(f"{len(parts)} parts of content, at most {MAX_PARTS} are read")
    for part in parts:
        _say_part(entry, said, part, call, name)
    if not parts and (call is not None or name is not None):
        said.add("text", "", call, name)


def _say_part(
    entry: _Entry, said: _Said, part: JsonValue, call: str | None, name: str | None
) -> None:
    if not isinstance(part, dict):
        raise entry.wrong("a part of the content is not an object")
    kind = part.get("type")
    if not isinstance(kind, str):
        raise entry.wrong("a part of the content has no type")
    if kind == "text":
        text = part.get("text")
        if not isinstance(text, str):
            raise entry.wrong("a text part has no text")
        said.add(kind, text, call, name)
        if len(part) > len(_TEXT_PART):
            _say_fields(said, "text", part, *_TEXT_PART, call=call, name=name)
        return
    if not _TYPE.fullmatch(kind):
        raise entry.wrong(f"the type {_short(kind)} of a part {_RULE_OF_TYPES}")
    if kind == "toolCall":
        call, name = _label(entry, part, "id"), _label(entry, part, "name")
    _say_fields(said, kind, part, "type", call=call, name=name)


def _say_execution(entry: _Entry, said: _Said, message: Mapping[str, JsonValue]) -> None:
    command, output = message.get("command"), message.get("output")
    if not isinstance(command, str) or not isinstance(output, str):
        raise entry.wrong("a bashExecution has neither content nor a command with its output")
    said.add("text", f"$ {command}\n{output}")
    if message.keys() - {*_EXECUTION}:
        _say_fields(said, "bashExecution", message, *_EXECUTION)


_TEXT_PART: Final = ("type", "text")
_EXECUTION: Final = ("role", "content", "timestamp", "command", "output")


def _label(entry: _Entry, fields: Mapping[str, JsonValue], field: str) -> str | None:
    """Return the id of a call or the name of a tool; None when there is none."""
    label = fields.get(field)
    if label is None or (isinstance(label, str) and len(label) <= MAX_CALL):
        return label
    raise entry.wrong(f"the {field} {_short(label)} is not a text of at most {MAX_CALL} characters")


def _say_fields(
    said: _Said,
    kind: str,
    fields: Mapping[str, JsonValue],
    *without: str,
    call: str | None = None,
    name: str | None = None,
) -> None:
    kind = "textFields" if kind == "text" else kind
    rest = {field: value for field, value in fields.items() if field not in without}
    said.add(kind, f"[{kind}] {_COMPACT.encode(rest)}", call, name)


_COMPACT: Final = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))
_SHOWN: Final = 40


def _short(value: JsonValue) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
