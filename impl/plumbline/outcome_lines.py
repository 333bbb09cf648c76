"""Outcomes of decisions as JSON Lines, read strictly and in bounded memory.

Theory of operation. A line is an object with the fields of ``OutcomeFields``; blank lines are
skipped. It goes through ``plumbline_spec.strict`` first, so that two equal keys, NaN and half a
surrogate pair are not read as something else, and then through the types of anchoring. What cannot
be read is an error with its line; what can be read and may not be logged is rejected, and is for
the machine to say. Only a reward that no event can hold is rejected here: rewards are whole numbers
of micro-units, and a fraction, a text or a truth value is none, however close it is to one.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, BinaryIO, Final

import msgspec
from msgspec import Meta, Struct

from plumbline_models.anchoring import Draft, Key, OutcomeId, Source
from plumbline_models.anchoring.values import OutcomeField, SnapshotField
from plumbline_spec.errors import UnusableInput
from plumbline_spec.strict import JsonValue, UnreadableJson, read

MAX_LINE_BYTES: Final = 64 * 1024
"""The longest line that is read; no outcome whose texts are as long as they may be is longer."""
BATCH_BYTES: Final = 4 * 1024 * 1024
"""A batch ends with the line that makes its lines this long together."""

_BLANK: Final = b" \t\r"
_Text = Annotated[str, Meta(max_length=256)]
_FORM: Final = (
    'a line is {"outcome": id, "family": text, "reward": whole micro-units}, with "plan", "mode",'
    ' "source" (live, backfill or gate) and "under" (a snapshot) if they apply'
)


class OutcomeFields(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line but for its reward: one outcome of a decision."""

    outcome: OutcomeField
    family: _Text
    plan: _Text = ""
    mode: _Text = ""
    source: Source = Source.LIVE
    under: SnapshotField | None = None
    """The snapshot that the decision was made under; None for none."""


class Handed(Struct, frozen=True, kw_only=True):
    """An outcome and where it was read."""

    line: int
    """Counted from 1."""
    outcome: OutcomeId
    draft: Draft | None
    """None when its reward is none that an event can hold."""
    size: int
    """Of its line, in bytes."""


class UnreadableOutcome(UnusableInput):
    """A line is no outcome."""

    def __init__(self, file: str, line: int, what: str, advice: str = _FORM) -> None:
        super().__init__(f"{file}, line {line}: {what}; {advice}")
        self.file = file
        self.line = line
        self.what = what
        self.advice = advice

    def __reduce__(self) -> tuple[type["UnreadableOutcome"], tuple[str, int, str, str]]:
        return UnreadableOutcome, (self.file, self.line, self.what, self.advice)


def outcomes(file: str, stream: BinaryIO) -> Iterator[Handed]:
    """Yield the outcome of every line that is not blank; ``file`` names the stream in errors.

    Raises ``UnreadableOutcome`` at the first line that is none, and ``OSError``.
    """
    most = MAX_LINE_BYTES + len(b"\r\n")
    for number, line in enumerate(iter(lambda: stream.readline(most), b""), start=1):
        body = line.removesuffix(b"\n").removesuffix(b"\r")
        if body.strip(_BLANK):
            fields, reward = _fields(file, number, body)
            draft = _draft(fields, reward)
            yield Handed(line=number, outcome=fields.outcome, draft=draft, size=len(line))


def batches(handed: Iterable[Handed], most: int) -> Iterator[list[Handed]]:
    """Yield outcomes in batches of ``most`` at most; the same ones are cut in the same way."""
    batch, size = list[Handed](), 0
    for one in handed:
        batch.append(one)
        size += one.size
        if len(batch) == most or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _draft(fields: OutcomeFields, reward: JsonValue) -> Draft | None:
    if not isinstance(reward, int) or isinstance(reward, bool):
        return None
    return Draft(
        outcome=fields.outcome,
        key=Key(family=fields.family, plan=fields.plan, mode=fields.mode),
        reward=reward,
        source=fields.source,
        under=fields.under,
    )


def _fields(file: str, number: int, body: bytes) -> tuple[OutcomeFields, JsonValue]:
    """Return what a line says, and its reward, which may be none."""
    if len(body) > MAX_LINE_BYTES:
        raise UnreadableOutcome(file, number, f"longer than {MAX_LINE_BYTES:,} bytes")
    try:
        value = read(body, max_bytes=MAX_LINE_BYTES, floats=True)
    except UnreadableJson as error:
        place = "" if error.offset is None else f" (byte {error.offset} of the line)"
        raise UnreadableOutcome(file, number, f"{error.what}{place}") from None
    if not isinstance(value, dict):
        raise UnreadableOutcome(file, number, "it is JSON, and no object")
    if "reward" not in value:
        raise UnreadableOutcome(file, number, "Object missing required field `reward`")
    reward = value.pop("reward")
    try:
        return msgspec.convert(value, OutcomeFields), reward
    except msgspec.ValidationError as error:
        raise UnreadableOutcome(file, number, str(error)) from None
