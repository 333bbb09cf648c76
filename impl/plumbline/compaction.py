"""Compaction over SQLite; must match ``plumbline_models.compaction`` (``spec/compaction.md``).

Theory of operation. An event reads the conversation and its list once (``plumbline.window``) and,
for each pass, the rows of the chunk that it replaces: their texts for the summariser, their extents
for the new one. A pass writes a constant number of statements, whatever the list or the chunk has:
its lineage is inserted by set. A sweep keeps the list as its own passes change it and reads nothing
again.
"""

from collections.abc import Iterator
from typing import assert_never

import apsw
import msgspec

from plumbline import intake as logs
from plumbline import ordinals as lists
from plumbline.chunk import extent_of, lengths, put, put_extent, read_chunk, read_lineage
from plumbline.damaged import as_number, as_text, every_row
from plumbline.sqlite_host import Program
from plumbline.sweeps import Run, begin, compact_leaf, sweep, sweep_until
from plumbline.window import Window, read
from plumbline_models.compaction import (
    Commit,
    Committed,
    CompactLeaf,
    Evaluate,
    Evaluated,
    Event,
    Extent,
    Idle,
    Kind,
    Outcome,
    Reason,
    Refused,
    Select,
    Selected,
    State,
    Sweep,
    SweepUntil,
)
from plumbline_models.decisions.escalation import Abandoned, Failure, conducted
from plumbline_models.intake import Reopen
from plumbline_models.ordinals import ConversationId, SummaryId
from plumbline_models.ordinals import Reason as ListReason
from plumbline_models.ordinals import Refused as RefusedByList
from plumbline_models.tokens import Posted, Replace


def apply(db: apsw.Connection, event: Event) -> Outcome:
    """Apply one event inside an open transaction; a refused event has written nothing."""
    match event:
        case Evaluate():
            return _evaluate(db, event)
        case Select():
            return _select(db, event)
        case Commit():
            return _commit(db, event)
        case CompactLeaf() | Sweep() | SweepUntil():
            return _sweep(db, event)
        case Replace():
            return _replace(db, event)
        case _:
            return logs.apply(db, event)


_UNKNOWN = RefusedByList(reason=ListReason.UNKNOWN_CONVERSATION)


def _total(db: apsw.Connection, conversation: ConversationId) -> int | None:
    total = db.execute(
        "SELECT tokens FROM conversations WHERE conversation = ?", (conversation,)
    ).get
    assert total is None or isinstance(total, int)
    return total


def _evaluate(db: apsw.Connection, event: Evaluate) -> Outcome:
    total = _total(db, event.conversation)
    if total is None:
        return _UNKNOWN
    size = total if event.observed is None else max(total, event.observed)
    threshold = _threshold(event)
    raw = Window(read(db, event.conversation), event.settings).raw
    return Evaluated(
        total=total,
        size=size,
        threshold=threshold,
        compact=size > threshold,
        raw=raw,
        leaf=raw >= event.settings.leaf_chunk,
    )


def _threshold(event: Evaluate | CompactLeaf | Sweep) -> int:
    return event.budget * event.settings.threshold_percent // 100


def _select(db: apsw.Connection, event: Select) -> Outcome:
    if not lists.exists(db, event.conversation):
        return _UNKNOWN
    window = Window(read(db, event.conversation), event.settings)
    span = window.condensed(hard=event.hard) if event.condense else window.leaf()
    if span is None:
        return Idle()
    return Selected(items=window.items(span), removed=span.tokens, prior=window.prior(span))


def _commit(db: apsw.Connection, event: Commit) -> Outcome:
    if not lists.exists(db, event.conversation):
        return _UNKNOWN
    if not event.items:
        return RefusedByList(reason=ListReason.EMPTY_RANGE)
    window = Window(read(db, event.conversation), event.settings)
    span = window.found(event.items)
    if span is None:
        return Refused(reason=Reason.STALE)
    reason = window.refusal(span)
    if reason is not None:
        return Refused(reason=reason)
    condense = window.rows[span.first].depth is not None
    chunk = read_chunk(db, event.conversation, window, span)
    budget = lengths(event.settings, condense=condense)
    made, _ = conducted(chunk.text, span.tokens, budget, iter(event.answers))
    if isinstance(made, Abandoned):
        return Refused(reason=_REASONS[made.failure])
    owner = db.execute("SELECT conversation FROM summaries WHERE summary = ?", (event.summary,)).get
    if owner is not None:
        here = owner == event.conversation
        return RefusedByList(reason=ListReason.ALREADY_PLACED if here else ListReason.FOREIGN_ITEM)
    kind = Kind.CONDENSED if condense else Kind.LEAF
    return Committed(record=put(db, event.conversation, window, chunk, kind, event.summary, made))


_REASONS = {
    Failure.AUTHENTICATION: Reason.AUTHENTICATION,
    Failure.SUMMARISER_ERROR: Reason.SUMMARISER_ERROR,
}


def _sweep(db: apsw.Connection, event: CompactLeaf | Sweep | SweepUntil) -> Outcome:
    found = begin(db, event.conversation, event.summary)
    if found is None:
        return _UNKNOWN
    window = Window(read(db, event.conversation), event.settings)
    run = Run(db, event, found.total, found.names, window, lambda other: apply(db, other))
    match event:
        case CompactLeaf():
            return compact_leaf(run, event, _threshold(event))
        case Sweep():
            return sweep(run, event, _threshold(event))
        case SweepUntil():
            return sweep_until(run, event)
        case _:
            assert_never(event)


_names: msgspec.json.Decoder[list[str]] = msgspec.json.Decoder(list[str])


def _replace(db: apsw.Connection, event: Replace) -> Outcome:
    """Apply a replacement of the host's own; its summary gets an extent as any other."""
    outcome = logs.apply(db, event)
    if isinstance(outcome, Posted):
        put_extent(db, extent_of(event.summary, read_lineage(db, event.summary)))
    return outcome


# Abstraction: from tables to the state of the model.
# It shows what it can of rows that break a constraint; see ``plumbline.damaged``.


def observe(db: apsw.Connection) -> State:
    """Return the abstract state of the whole database."""
    query = f"SELECT {_EXTENT} FROM extents AS x ORDER BY x.summary"  # noqa: S608 - columns
    return State(taken=logs.observe(db), extents=tuple(_extents(db, query)))


def parts(db: apsw.Connection) -> Iterator[tuple[str, State]]:
    """Yield the abstract state of one conversation after the other, by id."""
    query = (
        f"SELECT {_EXTENT} FROM summaries AS s JOIN extents AS x ON x.summary = s.summary"  # noqa: S608 - columns
        " WHERE s.conversation = ? ORDER BY s.summary"
    )
    for key, taken in logs.parts(db):
        yield key, State(taken=taken, extents=tuple(_extents(db, query, (key,))))


_EXTENT = (
    "x.summary, x.earliest, x.latest, x.descendants, x.descendant_tokens, x.source_tokens, x.files"
)


def _extents(db: apsw.Connection, query: str, bindings: tuple[str, ...] = ()) -> Iterator[Extent]:
    for summary, earliest, latest, count, tokens, source, files in every_row(db, query, bindings):
        yield Extent(
            summary=SummaryId(as_text(summary)),
            earliest=None if earliest is None else as_text(earliest),
            latest=None if latest is None else as_text(latest),
            descendants=as_number(count),
            descendant_tokens=as_number(tokens),
            source_tokens=as_number(source),
            files=_files(as_text(files)),
        )


def _files(stored: str) -> tuple[str, ...]:
    try:
        return tuple(_names.decode(stored))
    except (msgspec.DecodeError, msgspec.ValidationError):
        return (stored,)


_outcomes: msgspec.json.Decoder[Outcome] = msgspec.json.Decoder(Outcome)

PROGRAM: Program[State, Event, Outcome] = Program(
    apply=apply,
    observe=observe,
    parts=parts,
    decode_outcome=_outcomes.decode,
    reopens=lambda event: logs.reopens(event) if isinstance(event, Reopen) else None,
)
