"""Calibration: recorded operations through the released engine's model, answer by answer.

Theory of operation. A file of operations was run on releases of lossless-claw by a driver that
wrote one answer for each. The same operations run here on ``plumbline_models.lossless_claw`` under
the rules of one release, with the same fake summariser, and each answer is compared: the result or
the error, the context with its stored ordinals and counts, its total, and the calls that were made.
What a summary says is not compared, because the recorded texts hold times and random names; its
length and its counts are.
"""

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, TypeVar, assert_never

import msgspec
from msgspec import Meta, Struct

from plumbline_models import lossless_claw
from plumbline_models.lossless_claw import (
    RELEASES,
    Answer,
    Call,
    Configuration,
    ConstraintError,
    Denied,
    Engine,
    Failure,
    Message,
    Raised,
    Rounds,
    Store,
    Summary,
    Text,
    Told,
)
from plumbline_models.lossless_claw.engine import Asking
from plumbline_models.lossless_claw.texts import length16
from plumbline_spec import strict
from plumbline_spec.errors import UnusableInput
from plumbline_spec.strict import JsonValue

R = TypeVar("R")

SHOWN = 20
"""Differences that a report lists; all are counted."""
MOST_REPEATED = 100_000


class _Op(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="op"):
    conv: int


_Chars = Annotated[int, Meta(ge=0, le=10_000_000)]


class Conv(_Op, frozen=True, kw_only=True, tag="conv"):
    """A new conversation."""

    session: str = ""


class Config(_Op, frozen=True, kw_only=True, tag="config"):
    """The configuration of the engine for this conversation."""

    reset: bool = False
    set: dict[str, float | int | str | None] = {}


class Summarizer(_Op, frozen=True, kw_only=True, tag="summarizer"):
    """How the fake summariser behaves from here."""

    set: "Mode"


class Mode(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A behaviour of the fake summariser: how long its next answers are, or that it fails."""

    mode: Literal["fixed", "ratio", "lens", "grow", "empty", "auth", "error"]
    chars: _Chars = 0
    ratio: float = 1.0
    lens: tuple[_Chars, ...] = ()


class Append(_Op, frozen=True, kw_only=True, tag="append"):
    """Messages of one length and one stored count."""

    repeat: Annotated[int, Meta(ge=0, le=MOST_REPEATED)] = 1
    chars: _Chars
    role: str
    tokenCount: int  # noqa: N815 - the recorded name


class AppendSummary(_Op, frozen=True, kw_only=True, tag="summary"):
    """A summary behind the context."""

    tokens: int
    depth: int = 0
    kind: str = "leaf"


class ReplaceRange(_Op, frozen=True, kw_only=True, tag="replace"):
    """The same, in the place of ordinals ``start`` to ``end``."""

    start: int
    end: int
    tokens: int
    depth: int = 0
    kind: str = "leaf"


class Prune(_Op, frozen=True, kw_only=True, tag="prune"):
    """A new session."""

    retainDepth: float | None = None  # noqa: N815 - the recorded name


class Evaluate(_Op, frozen=True, kw_only=True, tag="evaluate"):
    """Whether to compact."""

    budget: int
    observed: float | None = None


class CompactLeaf(_Op, frozen=True, kw_only=True, tag="compactLeaf"):
    """One leaf pass, and what follows from it."""

    budget: int
    force: bool = False


class Compact(_Op, frozen=True, kw_only=True, tag="compact"):
    """The full sweep."""

    budget: int
    force: bool = False
    hard: bool = False


class Until(_Op, frozen=True, kw_only=True, tag="until"):
    """Rounds of sweeps."""

    budget: int
    target: float | None = None
    current: float | None = None


class Dump(_Op, frozen=True, kw_only=True, tag="dump"):
    """The summaries of the conversation."""


Operation: TypeAlias = (
    Conv
    | Config
    | Summarizer
    | Append
    | AppendSummary
    | ReplaceRange
    | Prune
    | Evaluate
    | CompactLeaf
    | Compact
    | Until
    | Dump
)

Answered = dict[str, JsonValue]
"""An answer: ``op``, ``result`` or ``error``, ``context``, ``total`` and ``calls``."""


class Difference(Struct, frozen=True, kw_only=True):
    """Where the model answers otherwise than the release did."""

    number: int
    """Which operation, counted from 1."""
    op: str
    field: str
    recorded: str
    modelled: str


class Calibration(Struct, frozen=True, kw_only=True):
    """How the answers of a model compare with those of a release."""

    holds: bool
    """Whether every answer is equal."""
    operations: str
    answers: str
    release: str
    recorded: int
    compared: int
    equal: int
    differing: int
    differences: tuple[Difference, ...]
    """The first of them."""


def calibrate(
    operations: Path,
    answers: Path,
    release: str,
    progress: Callable[[str], None] = lambda _said: None,
) -> Calibration:
    """Run recorded operations and compare every answer.

    Raises ``UnusableInput`` for files that cannot be read, are of another format, or do not belong
    together.
    """
    asked = read_operations(operations)
    recorded = read_answers(answers)
    if len(asked) != len(recorded):
        raise UnusableInput(
            f"{answers} has {len(recorded)} answers and {operations} {len(asked)} operations;"
            " name the answers to these operations"
        )
    differing, found = 0, list[Difference]()
    driver = Driver(release)
    for number, (operation, answer) in enumerate(zip(asked, recorded, strict=True), 1):
        if number % 500 == 0:
            progress(f"{number:,} of {len(asked):,} answers")
        said = driver.take(operation)
        differences = list(_differences(number, answer, said))
        differing += bool(differences)
        found += differences[: SHOWN - len(found)]
    return Calibration(
        holds=not differing,
        operations=str(operations),
        answers=str(answers),
        release=release,
        recorded=len(recorded),
        compared=len(recorded),
        equal=len(recorded) - differing,
        differing=differing,
        differences=tuple(found),
    )


# Reading


def read_operations(path: Path) -> list[Operation]:
    """Return the operations of a file. Raises ``UnusableInput`` naming file and line."""
    found: list[Operation] = []
    opened = set[int]()
    for line, text in _lines(path):
        try:
            operation = msgspec.convert(_plain(text), Operation, strict=False)
        except (msgspec.ValidationError, UnusableInput) as error:
            raise UnusableInput(f"{path}, line {line}: {error}; no such operation") from error
        if isinstance(operation, Conv):
            opened.add(operation.conv)
        elif operation.conv not in opened:
            raise UnusableInput(
                f"{path}, line {line}: conversation {operation.conv} was not opened before"
            )
        found.append(operation)
    return found


def read_answers(path: Path) -> list[Answered]:
    """Return the answers of a file behind its header. Raises ``UnusableInput``."""
    found: list[Answered] = []
    for line, text in _lines(path):
        try:
            answer = _plain(text)
        except UnusableInput as error:
            raise UnusableInput(f"{path}, line {line}: {error}") from error
        if not isinstance(answer, dict) or not ({"op", "driver"} & answer.keys()):
            raise UnusableInput(f"{path}, line {line} is no answer; each names its op")
        if "op" in answer:
            found.append(answer)
        elif found:
            raise UnusableInput(f"{path}, line {line}: a header stands on the first line alone")
    return found


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnusableInput(f"{path} cannot be read ({error.strerror}); name a file") from error
    for number, line in enumerate(content.splitlines(), 1):
        if line.strip():
            yield number, line


def _plain(line: bytes) -> JsonValue:
    return strict.read(line, floats=True)


# Running


class _Conversation:
    """One conversation of the driver: its store, its configuration, its summariser."""

    def __init__(self) -> None:
        self.store = Store()
        self.given: dict[str, float | int | str | None] = {}
        self.mode = Mode(mode="fixed", chars=1)
        self.count = 0
        self.calls: list[JsonValue] = []


class Driver:
    """Takes recorded operations, as the driver of the recording did."""

    def __init__(self, release: str) -> None:
        self.rules = RELEASES[release]
        self.conversations: dict[int, _Conversation] = {}
        self.last_message = 0

    def take(self, operation: Operation) -> Answered:
        """Take one operation and return its answer."""
        if isinstance(operation, Conv):
            self.conversations[operation.conv] = _Conversation()
        here = self.conversations[operation.conv]
        here.calls = []
        answer: Answered = {"op": _name_of(operation)}
        try:
            answer["result"] = self._result(here, operation)
        except (ConstraintError, Failure) as error:
            answer["error"] = str(error)
        if here.calls:
            answer["calls"] = here.calls
        answer["context"] = _context(here.store)
        answer["total"] = lossless_claw.total(here.store)
        return answer

    def _result(self, here: _Conversation, operation: Operation) -> JsonValue:
        match operation:
            case Conv(conv=number):
                return number
            case Config():
                return self._configure(here, operation)
            case Summarizer(set=mode):
                here.mode, here.count = mode, 0
                return _said(mode)
            case Append():
                return self._append(here, operation)
            case AppendSummary():
                name = self._summary(here, operation)
                here.store = lossless_claw.append_row(here.store, summary=name)
                return name
            case ReplaceRange(start=first, end=last):
                name = self._summary(here, operation)
                here.store = lossless_claw.replace_range(self.rules, here.store, first, last, name)
                return name
            case Prune(retainDepth=depth):
                here.store = lossless_claw.prune(here.store, depth)
                return None
            case Dump():
                return {"summaries": [_dumped(one) for one in here.store.summaries]}
            case _:
                return self._compacted(here, operation)

    def _configure(self, here: _Conversation, operation: Config) -> JsonValue:
        here.given = {**({} if operation.reset else here.given), **operation.set}
        configuration = self._configuration(here)
        names = [*_USUAL, *(name for name in here.given if name not in _USUAL)]
        fields: dict[str, object] = msgspec.to_builtins(configuration)
        return {name: _value(fields[name]) for name in names}

    def _configuration(self, here: _Conversation) -> Configuration:
        try:
            return msgspec.convert(here.given, Configuration)
        except msgspec.ValidationError as error:
            raise UnusableInput(f"a configuration cannot be used: {error}") from error

    def _append(self, here: _Conversation, operation: Append) -> JsonValue:
        first = self.last_message + 1
        for _ in range(operation.repeat):
            self.last_message += 1
            message = Message(
                id=self.last_message,
                role=operation.role,
                content=_words("m", operation.chars),
                tokens=operation.tokenCount,
            )
            store = msgspec.structs.replace(here.store, messages=(*here.store.messages, message))
            here.store = lossless_claw.append_row(store, message=message.id)
        return {"first": first, "last": self.last_message}

    def _summary(self, here: _Conversation, operation: AppendSummary | ReplaceRange) -> str:
        summary = Summary(
            id=f"S{len(here.store.summaries) + 1}",
            leaf=operation.kind == "leaf",
            depth=operation.depth,
            content=_words("s", 4 * operation.tokens),
            tokens=operation.tokens,
        )
        here.store = msgspec.structs.replace(here.store, summaries=(*here.store.summaries, summary))
        return summary.id

    def _compacted(self, here: _Conversation, operation: Operation) -> JsonValue:
        engine = Engine(
            rules=self.rules, settings=lossless_claw.resolved(self._configuration(here))
        )
        match operation:
            case Evaluate():
                return _evaluated(engine, here.store, operation)
            case CompactLeaf(budget=budget, force=force):
                leaf = lossless_claw.compact_leaf(engine, here.store, budget, force=force)
                return _told(_converse(here, leaf), leaf=True)
            case Compact(budget=budget, force=force, hard=hard):
                sweep = lossless_claw.sweep(engine, here.store, budget, force=force, hard=hard)
                return _told(_converse(here, sweep), leaf=False)
            case Until():
                until = lossless_claw.compact_until(
                    engine,
                    here.store,
                    operation.budget,
                    _floored(operation.target),
                    _floored(operation.current),
                )
                return _rounds(_converse(here, until))
            case _:
                raise AssertionError(operation)


_USUAL = (
    "contextThreshold",
    "freshTailCount",
    "leafMinFanout",
    "condensedMinFanout",
    "condensedMinFanoutHard",
    "incrementalMaxDepth",
    "leafChunkTokens",
    "leafTargetTokens",
    "condensedTargetTokens",
    "maxRounds",
    "timezone",
    "summaryMaxOverageFactor",
)
"""The fields that an answer to ``config`` names, whether they were given or not."""


def _value(value: object) -> JsonValue:
    assert value is None or isinstance(value, int | float | str)
    return value


def _floored(value: float | None) -> int:
    return 0 if value is None or not abs(value) < 2**53 else int(value // 1)


def _name_of(operation: Operation) -> str:
    name = operation.__struct_config__.tag
    assert isinstance(name, str)
    return name


def _said(mode: Mode) -> dict[str, JsonValue]:
    """Return a behaviour with the fields that it has."""
    fields: dict[str, JsonValue] = {"mode": mode.mode}
    match mode.mode:
        case "fixed":
            fields["chars"] = mode.chars
        case "ratio":
            fields["ratio"] = mode.ratio
        case "lens":
            fields["lens"] = list(mode.lens)
        case _:
            pass
    return fields


def _converse(here: _Conversation, talk: Generator[Call, Asking, tuple[Store, R]]) -> R:
    """Answer what the engine asks with the fake summariser; return what a caller is told."""
    try:
        call = next(talk)
        while True:
            here.store = call.store
            call = talk.send((here.store, _answer(here, call)))
    except StopIteration as done:
        told: R
        here.store, told = done.value
        return told


def _answer(here: _Conversation, call: Call) -> Answer:
    here.count += 1
    length = length16(call.source)
    here.calls.append(
        {
            "n": here.count,
            "inChars": length,
            "aggressive": call.aggressive,
            "condensed": call.condensed,
            "depth": call.depth,
            "prevChars": length16(call.previous),
        }
    )
    mode = here.mode
    match mode.mode:
        case "fixed":
            return _text(mode.chars)
        case "ratio":
            return _text(max(1, int(length * mode.ratio // 1)))
        case "lens":
            return _text(mode.lens[(here.count - 1) % len(mode.lens)] if mode.lens else 0)
        case "grow":
            return _text(length + 4)
        case "empty":
            return Text("")
        case "auth":
            return Denied()
        case "error":
            return Raised()
        case _:
            assert_never(mode.mode)


def _text(chars: int) -> Answer:
    return Text(_words("s", chars))


def _words(letter: str, chars: int) -> str:
    """Return a text of so many characters, as the driver of the recording made it."""
    if chars <= 0:
        return ""
    return (f"{letter * 3} " * (chars // 4 + 1))[: chars - 1] + letter


def _context(store: Store) -> JsonValue:
    """Return the context as it is recorded: ordinal, kind, id and stored count of each row."""
    rows: list[JsonValue] = []
    for row in store.rows:
        message, summary = store.message(row), store.summary(row)
        if message is not None:
            rows.append([row.ordinal, "m", message.id, message.tokens])
        elif summary is not None:
            rows.append([row.ordinal, "s", summary.id, summary.tokens])
    return rows


def _evaluated(engine: Engine, store: Store, operation: Evaluate) -> JsonValue:
    stored, observed = lossless_claw.total(store), max(0, _floored(operation.observed))
    current, limit = max(stored, observed), engine.settings.limit(operation.budget)
    due = current > limit
    answer: dict[str, JsonValue] = {
        "shouldCompact": due,
        "reason": "threshold" if due else "none",
        "currentTokens": current,
        "threshold": limit,
    }
    if engine.rules.current:
        answer["storedTokens"] = stored
        if observed:
            raw = lossless_claw.raw_outside(engine.rules, store, store.rows, engine.settings)
            answer |= {
                "observedTokens": observed,
                "rawTokensOutsideTail": raw,
                "projectedTokens": current,
            }
    return answer


def _told(told: Told, *, leaf: bool) -> JsonValue:
    answer: dict[str, JsonValue] = {
        "actionTaken": told.acted,
        "tokensBefore": told.before,
        "tokensAfter": told.after,
        "condensed": told.condensed,
    }
    if told.summary is not None:
        answer |= {"createdSummaryId": told.summary, "level": told.level}
    if told.denied:
        answer["authFailure"] = True
    if told.stopped and not leaf:
        answer["stoppedAtBudget"] = True
    return answer


def _rounds(told: Rounds) -> JsonValue:
    answer: dict[str, JsonValue] = {
        "success": told.success,
        "rounds": told.rounds,
        "finalTokens": told.final,
    }
    if told.denied:
        answer["authFailure"] = True
    return answer


def _dumped(summary: Summary) -> JsonValue:
    return {
        "id": summary.id,
        "kind": "leaf" if summary.leaf else "condensed",
        "depth": summary.depth,
        "tokens": summary.tokens,
        "chars": length16(summary.content),
        "descendantCount": summary.descendants,
        "descendantTokens": summary.descendant_tokens,
        "sourceTokens": summary.source_tokens,
        "fileIds": msgspec.json.encode(summary.files).decode(),
        "messages": list(summary.messages),
        "sources": list(summary.sources),
    }


# Comparing

_NOT_COMPARED = ("head", "tail")
"""What is recorded of the texts of summaries."""
_COMPARED = ("op", "result", "error", "context", "total", "calls")


def _differences(number: int, recorded: Answered, modelled: Answered) -> Iterator[Difference]:
    for field in _COMPARED:
        was, now = _without_texts(recorded.get(field)), modelled.get(field)
        if field == "calls":
            was, now = was or [], now or []
        if was != now:
            yield Difference(
                number=number,
                op=str(recorded.get("op")),
                field=field,
                recorded=_shown(was),
                modelled=_shown(now),
            )


def _without_texts(value: JsonValue) -> JsonValue:
    """Leave out the texts of a dump."""
    if isinstance(value, dict) and isinstance(value.get("summaries"), list):
        summaries = value["summaries"]
        assert isinstance(summaries, list)
        kept: list[JsonValue] = [
            {name: said for name, said in one.items() if name not in _NOT_COMPARED}
            if isinstance(one, dict)
            else one
            for one in summaries
        ]
        return {**value, "summaries": kept}
    return value


def _shown(value: JsonValue) -> str:
    return "nothing" if value is None else msgspec.json.encode(value).decode()
