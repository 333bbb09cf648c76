"""Extents that do not say what a summary covers."""

from msgspec.structs import replace

from plumbline_models import ordinals
from plumbline_models.compaction.scope import Scope
from plumbline_models.compaction.values import Event, Extent, Outcome, State
from plumbline_models.history import CONSTRUCTED, Variant
from plumbline_models.history.compaction.making import (
    LONG,
    SHORT,
    CompactionVariant,
    commits,
    extending,
    right,
    stepping,
)
from plumbline_models.ordinals.queries import summary_of
from plumbline_models.ordinals.values import Summary


def _kept(state: State, event: Event) -> tuple[State, Outcome]:
    """Roll a summary back and leave its extent."""
    after, outcome = right(state, event)
    if isinstance(event, ordinals.RollBack) and after is not state:
        return replace(after, extents=state.extents), outcome
    return after, outcome


def _stored(state: State, extent: Extent) -> Summary:
    for at in state.taken.ledger.lists.conversations:
        found = summary_of(at, extent.summary)
        if found is not None:
            return found
    raise AssertionError(extent.summary)


def _direct(state: State, extent: Extent) -> Extent:
    """Count what the summary replaced and nothing below that."""
    return replace(extent, descendants=len(_stored(state, extent).sources))


def _of_the_ends(state: State, extent: Extent) -> Extent:
    """Take the first time for the last one as well."""
    del state
    return replace(extent, latest=extent.earliest)


def _in_the_text(state: State, extent: Extent) -> Extent:
    del state
    return replace(extent, files=())


VARIANTS: tuple[CompactionVariant, ...] = (
    Variant(
        name="EXTENT_STAYS",
        machine=stepping("EXTENT_STAYS", _kept),
        breaks="CMP-1",
        source=CONSTRUCTED,
        story="Rolling a summary back deletes it and leaves its extent, which the next summary of"
        " that name inherits.",
        scope=Scope(rows="au", whole=True, summaries=1, scripts=(SHORT,), sweeps=False),
        sole=True,
    ),
    Variant(
        name="DIRECT_SOURCES",
        machine=stepping("DIRECT_SOURCES", extending(_direct)),
        breaks="CMP-2",
        source=CONSTRUCTED,
        story="The summaries below are counted as the sources are, so a leaf covers as many"
        " summaries as it has messages.",
        scope=commits("au"),
        sole=True,
    ),
    Variant(
        name="ONE_TIME",
        machine=stepping("ONE_TIME", extending(_of_the_ends)),
        breaks="CMP-3",
        source=CONSTRUCTED,
        story="The summary of an hour says that all of it was said in its first second.",
        scope=commits("aau"),
        sole=True,
    ),
    Variant(
        name="FILES_IN_TEXT_ONLY",
        machine=stepping("FILES_IN_TEXT_ONLY", extending(_in_the_text)),
        breaks="CMP-4",
        source="Volt, at 944c7943",
        story="The ids of files are written into the text of a fallback and not beside it; the next"
        " summary says it in other words, and the files cannot be found any more.",
        scope=commits("fu", LONG),
        sole=True,
    ),
)
