"""How wrong machines are made of the right one: other texts, other selections, other reports."""

from collections.abc import Callable
from typing import TypeAlias

from msgspec.structs import replace

from plumbline_models import ordinals
from plumbline_models.compaction import Machine, Scope, Step, assembled
from plumbline_models.compaction.passes import put
from plumbline_models.compaction.scope import SCRIPTS
from plumbline_models.compaction.selection import Chunk, entries_of, found_at
from plumbline_models.compaction.transitions import step
from plumbline_models.compaction.values import (
    SPEC,
    Commit,
    Committed,
    Event,
    Extent,
    Outcome,
    Pass,
    State,
    Swept,
)
from plumbline_models.decisions.escalation import Answer, Summarised
from plumbline_models.history import Variant
from plumbline_models.intake import Digest, Entry, EntryId, Log, SourceId, Standing
from plumbline_models.intake.queries import log_of, with_log
from plumbline_models.ordinals.queries import find, summary_of
from plumbline_models.ordinals.values import ConversationId

CompactionVariant: TypeAlias = Variant[State, Event, Outcome, Scope]

SHORT, LONG_FIRST, LONG, MIDDLE, EMPTY, DENIED, FAILING, SILENT = SCRIPTS


def commits(rows: str, *scripts: tuple[Answer, ...], summaries: int = 1) -> Scope:
    """Return a scope in which these rows are there and passes are committed one by one."""
    return Scope(
        rows=rows,
        whole=True,
        summaries=summaries,
        scripts=scripts or (SHORT,),
        sweeps=False,
        host=False,
    )


def sweeps(rows: str, *scripts: tuple[Answer, ...], summaries: int = 1) -> Scope:
    """Return a scope in which these rows are there and sweeps are made."""
    return replace(commits(rows, *scripts, summaries=summaries), sweeps=True, refusals=False)


def meanwhile(rows: str, *scripts: tuple[Answer, ...], calls: int = 1) -> Scope:
    """Return a scope in which others change the context while a summariser is asked."""
    return replace(sweeps(rows, *scripts), sweeps=False, meanwhile=calls)


def right(state: State, event: Event) -> tuple[State, Outcome]:
    """Take the specification's step."""
    return step(SPEC, state, event)


def stepping(name: str, one_step: Step) -> Callable[[], Machine]:
    """Return the maker of a machine with another step."""
    return lambda: assembled(name, one_step)


def extending(change: Callable[[State, Extent], Extent]) -> Step:
    """Return a step that stores other extents of new summaries."""

    def one_step(state: State, event: Event) -> tuple[State, Outcome]:
        after, outcome = right(state, event)
        known = {one.summary for one in state.extents}
        extents = tuple(
            one if one.summary in known else change(after, one) for one in after.extents
        )
        return (after if after is state else replace(after, extents=extents)), outcome

    return one_step


def chunk_of(state: State, event: Commit) -> Chunk:
    """Return the entries that a commit names; they stand there."""
    entries = entries_of(state, event.conversation)
    first = found_at(entries, event.items)
    assert first is not None
    return entries[first : first + len(event.items)]


def committing(change: Callable[[State, Commit, Summarised, Pass], Summarised]) -> Step:
    """Return a step that commits another text than the right one does."""

    def one_step(state: State, event: Event) -> tuple[State, Outcome]:
        after, outcome = right(state, event)
        if not isinstance(event, Commit) or not isinstance(outcome, Committed):
            return after, outcome
        record = outcome.record
        at = find(after.taken.ledger.lists, event.conversation)
        stored = None if at is None else summary_of(at, record.summary)
        assert stored is not None
        made = Summarised(
            text=stored.text,
            tokens=record.added,
            level=record.level,
            capped=record.capped,
            calls=record.calls,
        )
        made = change(state, event, made, record)
        chunk = chunk_of(state, event)
        moved, put_record = put(
            SPEC, state, event.conversation, record.kind, event.summary, chunk, made
        )
        assert isinstance(put_record, Pass)
        return moved, Committed(record=put_record)

    return one_step


def recording(change: Callable[[State, Commit, Pass], Pass]) -> Step:
    """Return a step that reports another record of a commit than the right one."""

    def one_step(state: State, event: Event) -> tuple[State, Outcome]:
        after, outcome = right(state, event)
        if isinstance(event, Commit) and isinstance(outcome, Committed):
            return after, Committed(record=change(state, event, outcome.record))
        return after, outcome

    return one_step


def sweeping(change: Callable[[State, Event, Swept], Swept]) -> Step:
    """Return a step that reports another outcome of a sweep than the right one."""

    def one_step(state: State, event: Event) -> tuple[State, Outcome]:
        after, outcome = right(state, event)
        return after, change(state, event, outcome) if isinstance(outcome, Swept) else outcome

    return one_step


def with_a_row(state: State, here: ConversationId, name: str) -> State:
    """Return the state with an entry in the log of a conversation that no host handed over."""
    log = log_of(state.taken, here)
    row = Entry(
        source=SourceId("compaction"),
        entry=EntryId(name),
        place=None,
        standing=Standing.CARRIED,
        digest=Digest(name),
        role="system",
        message=None,
        text=name,
        parts=(),
    )
    if any(one.entry == row.entry for one in log.entries):
        return state
    logs = with_log(state.taken.logs, Log(conversation=here, entries=(*log.entries, row)))
    return replace(state, taken=replace(state.taken, logs=logs))


def unknown() -> ordinals.Refused:
    """Return the refusal of what a machine does not do at all."""
    return ordinals.Refused(reason=ordinals.Reason.UNKNOWN_CONVERSATION)
