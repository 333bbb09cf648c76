"""Refreshes that go by the wrong row, lose outcomes, last too long, or overtake each other."""

from collections.abc import Callable

from msgspec.structs import replace

from plumbline_models.anchoring import WINDOWS, Step, queries
from plumbline_models.anchoring.values import (
    Event,
    GateOpened,
    Ineligible,
    Live,
    Logged,
    Loss,
    OpenGate,
    Outcome,
    Position,
    Record,
    Refresh,
    Refreshed,
    Refusal,
    Rewrite,
    Rules,
    Snapshot,
    SnapshotId,
    State,
    Torn,
)
from plumbline_models.decisions.chaining import START
from plumbline_models.decisions.refreshing import Mode, Reason, Way
from plumbline_models.history import CONSTRUCTED, Variant
from plumbline_models.history.anchoring.making import (
    BARE,
    COUNTED,
    MERGED,
    AnchoringVariant,
    accepting,
    anchored,
    cut_short,
    merges,
    publishing,
    retold,
    right,
    ruled,
    stepping,
    tampered,
    with_made,
    with_row,
    with_snapshots,
)

# The table


def _forced_first(state: State, event: Event) -> tuple[State, Outcome]:
    """Ask whether a rebuild was asked for before all else."""
    after, outcome = right(state, event)
    if not isinstance(event, Refresh) or not isinstance(outcome, Refreshed):
        return after, outcome
    if event.mode is not Mode.FULL:
        return after, outcome
    made = replace(after.snapshots[-1], reason=Reason.FORCED)
    return with_made(state, made), replace(outcome, reason=Reason.FORCED)


def _silent_rebuild(state: State, event: Event) -> tuple[State, Outcome]:
    """Rebuild where a merge was asked for that may not be made."""
    after, outcome = right(state, event)
    if isinstance(event, Refresh) and isinstance(outcome, Ineligible):
        return right(state, replace(event, mode=Mode.AUTO))
    return after, outcome


def _as_a_merge(state: State, outcome: Refreshed) -> Outcome:
    del state
    full = outcome.way is Way.FULL_REBUILD
    return replace(outcome, way=Way.DELTA_MERGE) if full else outcome


def _torn_is_empty(state: State, event: Event) -> tuple[State, Outcome]:
    """Take a live delta that cannot be read for one in which there is nothing."""
    current, end = queries.current_of(state), queries.end_of(state)
    chain = queries.chain_at(state, end)
    if not isinstance(event, Refresh) or not isinstance(state.live, Torn) or current is None:
        return right(state, event)
    assert chain is not None
    empty = replace(anchored(current), hi=end, chain=chain)
    after, outcome = right(replace(state, live=empty), event)
    reused = replace(state, reused=after.reused)
    return (after if after.issued > state.issued else reused), outcome


# The whole log


def _cut_with_its_watermark(state: State, made: Snapshot) -> Snapshot:
    """Return the snapshot of a log that was read before the last outcome came."""
    short = cut_short(state, made)
    return replace(short, statistics=queries.recounted(state, short.watermark))


def _beginning_alone(state: State, event: Event) -> tuple[State, Outcome]:
    """Ask whether a delta begins where the snapshot ends, and not where it ends itself."""
    live, end = state.live, queries.end_of(state)
    chain = queries.chain_at(state, end)
    if not isinstance(event, Refresh) or not isinstance(live, Live) or live.hi == end:
        return right(state, event)
    assert chain is not None
    after, outcome = right(replace(state, live=replace(live, hi=end, chain=chain)), event)
    return (after if after.issued > state.issued else state), outcome


# In time


def _not_rebuilt(state: State, event: Event) -> tuple[State, Outcome]:
    """Leave the rebuild of a gate to somebody else, and go by what is current."""
    after, outcome = right(state, event)
    current = queries.current_of(state)
    if not isinstance(event, OpenGate) or not isinstance(outcome, GateOpened) or current is None:
        return after, outcome
    if outcome.reason is not Reason.COMPACTION_DUE_TO_EXACT_LINEAGE_AGE:
        return after, outcome
    pins = tuple(replace(one, snapshot=current.id) for one in after.pins)
    return replace(state, pins=pins, reused=False), replace(outcome, snapshot=current.id)


# Reused


def _reusing(change: Callable[[State, int], State]) -> Step:
    """Return a step that changes the state when a snapshot is reused, given the moment."""

    def one_step(state: State, event: Event) -> tuple[State, Outcome]:
        after, outcome = right(state, event)
        if not isinstance(event, Refresh) or not isinstance(outcome, Refreshed):
            return after, outcome
        reused = outcome.way is Way.REUSED_SNAPSHOT
        return (change(after, event.now) if reused else after), outcome

    return one_step


def _id_spent(after: State, now: int) -> State:
    del now
    return replace(after, issued=SnapshotId(after.issued + 1))


def _not_remembered(after: State, now: int) -> State:
    del now
    return replace(after, reused=False)


def _made_young(after: State, now: int) -> State:
    """Give the current snapshot the moment at which it was reused."""
    return with_snapshots(
        after,
        lambda one: replace(one, generated_at=now) if one.id == after.current else one,
    )


def _ahead_for_ever(state: State, event: Event) -> tuple[State, Outcome]:
    """Take a moment before the current snapshot's for that of the snapshot."""
    at = queries.current_of(state)
    if not isinstance(event, Refresh) or at is None or event.now >= at.generated_at:
        return right(state, event)
    return right(state, replace(event, now=at.generated_at))


# Who publishes what, and under which id


def _last_one_wins(state: State, event: Refresh) -> tuple[State, Outcome]:
    return right(state, replace(event, expects=None))


def _old_cut(state: State, event: Refresh) -> tuple[State, Outcome]:
    """Publish a rebuild that was counted while the log was empty, over one that counts more."""
    current = queries.current_of(state)
    after, outcome = right(state, replace(event, expects=None, mode=Mode.FULL))
    if not isinstance(outcome, Refreshed) or current is None or not current.watermark:
        return right(state, event)
    made = replace(after.snapshots[-1], watermark=Position(0), chain=START, statistics=())
    return with_made(state, made), replace(outcome, watermark=made.watermark, rows_written=0)


def _named(made: Snapshot, name: SnapshotId) -> Snapshot:
    return replace(made, id=name, exact=name if made.way is Way.FULL_REBUILD else made.exact)


def _one_above_the_stored(state: State, made: Snapshot) -> Snapshot:
    highest = max((one.id for one in state.snapshots), default=0)
    return _named(made, SnapshotId(highest + 1))


def _by_the_second(state: State, made: Snapshot) -> Snapshot:
    del state
    return _named(made, SnapshotId(made.generated_at))


def _corrected_in_place(state: State, after: State, event: Rewrite) -> State:
    """Recount every snapshot when the log is rewritten."""
    del state, event
    chains = {one.id: queries.chain_at(after, one.watermark) for one in after.snapshots}
    return with_snapshots(
        after,
        lambda one: replace(
            one,
            epoch=after.epoch,
            chain=chains[one.id] or START,
            statistics=queries.recounted(after, one.watermark),
        ),
    )


def _parent_edited(state: State, after: State, event: Refresh) -> State:
    """Write into the snapshot that was current that another one is."""
    del event
    if after.issued == state.issued:
        return after
    return with_snapshots(
        after, lambda one: replace(one, config="superseded") if one.id == state.current else one
    )


def _of_its_parent(state: State, made: Snapshot) -> Snapshot:
    parent = queries.current_of(state)
    return made if parent is None else replace(made, generated_at=parent.generated_at)


def _unconfigured(state: State, made: Snapshot) -> Snapshot:
    del state
    return replace(made, config="")


# The live delta


def _not_reset(state: State, after: State, event: Refresh) -> State:
    del event
    return after if state.live is None else replace(after, live=state.live)


def _unemptied(state: State, after: State, event: Refresh) -> State:
    """Anchor the live delta anew, and leave what it counts."""
    del event
    was, now = state.live, after.live
    if not isinstance(was, Live) or not isinstance(now, Live):
        return after
    return replace(after, live=replace(now, statistics=was.statistics))


def _read_all(state: State, outcome: Refreshed) -> Outcome:
    merged = outcome.way is Way.DELTA_MERGE
    return replace(outcome, rows_read=len(state.log)) if merged else outcome


def _none_doubted(state: State, outcome: Refreshed) -> Outcome:
    del state
    return replace(outcome, doubted=())


def _extending(asks: Callable[[Live, Logged], bool]) -> Step:
    """Return a step that counts a new row in the live delta wherever ``asks`` says so."""

    def change(state: State, after: State, event: Record) -> State:
        del event
        live = state.live
        for row in after.log[len(state.log) :]:
            if isinstance(live, Live) and asks(live, row):
                live = with_row(live, row)
        return replace(after, live=live)

    return tampered(Record, change)


_NO_MERGES = replace(WINDOWS, merges=0)
_LONG = replace(WINDOWS, reuse=50)
"""Exactness is over before the snapshot is too old to be reused."""
_NO_SECONDS = replace(WINDOWS, exact=0)
_NO_REUSE = replace(WINDOWS, reuse=0)

_BY_THE_TABLE: tuple[AnchoringVariant, ...] = (
    Variant(
        name="FORCED_FIRST",
        machine=stepping("FORCED_FIRST", _forced_first),
        breaks="ANC-7",
        source=CONSTRUCTED,
        story="A rebuild that was asked for says so and nothing else, and nobody learns that one"
        " was due for a worse reason.",
        scope=replace(BARE, modes=(Mode.FULL,)),
        sole=True,
    ),
    Variant(
        name="SILENT_REBUILD",
        machine=stepping("SILENT_REBUILD", _silent_rebuild),
        breaks="ANC-7",
        source=CONSTRUCTED,
        story="Whoever asks for a merge that may not be made is given a rebuild in its place.",
        scope=replace(BARE, modes=(Mode.DELTA,)),
        sole=True,
    ),
    Variant(
        name="SAID_TO_BE_A_MERGE",
        machine=stepping("SAID_TO_BE_A_MERGE", retold(Refreshed, _as_a_merge)),
        breaks="ANC-7",
        source=CONSTRUCTED,
        story="A rebuild is said to have been a merge.",
        scope=COUNTED,
    ),
    Variant(
        name="EMPTY_MERGE",
        machine=ruled(Rules(name="EMPTY_MERGE", reuse=False)),
        breaks="ANC-7",
        source="openclaw-intelligence-core issue #12",
        story="A delta in which there is nothing is merged too, and each refresh makes a snapshot.",
        scope=replace(MERGED, outcomes=0),
        sole=True,
    ),
    Variant(
        name="REUSED_FOR_EVER",
        machine=ruled(Rules(name="REUSED_FOR_EVER", rebuilds=False)),
        breaks="ANC-7",
        source="openclaw-intelligence-core issue #13",
        story="While nothing is new the snapshot is reused, however old it is.",
        scope=replace(MERGED, outcomes=0, times=(0, 15)),
        sole=True,
    ),
    Variant(
        name="NO_REUSE_IS_ANY",
        machine=ruled(Rules(name="NO_REUSE_IS_ANY", zeros=False)),
        breaks="ANC-7",
        source="openclaw-intelligence-core issue #14",
        story="A reuse window of 0 is taken for a missing one, and the default put in its place.",
        scope=replace(MERGED, outcomes=0, windows=(_NO_REUSE,)),
        sole=True,
    ),
    Variant(
        name="TORN_IS_EMPTY",
        machine=stepping("TORN_IS_EMPTY", _torn_is_empty),
        breaks="ANC-7",
        source=CONSTRUCTED,
        story="A live delta that cannot be read is taken for one in which there is nothing, and"
        " nobody counts again what it had counted.",
        scope=replace(MERGED, losses=(Loss.LIVE_TORN,)),
    ),
)

_THE_WHOLE_LOG: tuple[AnchoringVariant, ...] = (
    Variant(
        name="READ_BEFORE",
        machine=stepping("READ_BEFORE", publishing(_cut_with_its_watermark)),
        breaks="ANC-8",
        source=CONSTRUCTED,
        story="A refresh reads the log, and publishes when there is more of it: a snapshot in"
        " which nothing is wrong but that it is not of the whole log.",
        scope=COUNTED,
        sole=True,
    ),
    Variant(
        name="ID_ALONE",
        machine=ruled(Rules(name="ID_ALONE", coverage=False)),
        breaks="ANC-8",
        source="openclaw-intelligence-core issue #12",
        story="A delta is right when it is anchored to the current snapshot. A crash between log"
        " and delta leaves one that is, and an outcome is lost.",
        scope=replace(MERGED, losses=(Loss.LIVE_STALE,)),
    ),
    Variant(
        name="BEGINNING_ALONE",
        machine=stepping("BEGINNING_ALONE", _beginning_alone),
        breaks="ANC-8",
        source=CONSTRUCTED,
        story="A delta that came back from an old copy begins where the snapshot ends, and is"
        " merged; where it ends itself is not asked.",
        scope=replace(MERGED, losses=(Loss.LIVE_STALE,)),
    ),
    Variant(
        name="EPOCHS_NOT_ASKED",
        machine=ruled(Rules(name="EPOCHS_NOT_ASKED", epochs=False, chains=False)),
        breaks="ANC-8",
        source="openclaw-intelligence-core issue #10",
        story="Old rows are rewritten, and what was counted before stands for them.",
        scope=replace(MERGED, epochs=2),
    ),
    Variant(
        name="CHAINS_NOT_ASKED",
        machine=ruled(Rules(name="CHAINS_NOT_ASKED", chains=False)),
        breaks="ANC-8",
        source="openclaw-intelligence-core issue #10",
        story="A script rewrites rows in place and tells nobody, and no refresh sees it.",
        scope=replace(MERGED, backfills=True),
    ),
)

_IN_TIME: tuple[AnchoringVariant, ...] = (
    Variant(
        name="SAID_TO_BE_REBUILT",
        machine=stepping("SAID_TO_BE_REBUILT", _not_rebuilt),
        breaks="ANC-9",
        source=CONSTRUCTED,
        story="A gate says that it went by a rebuild, which was due, and went by what there was.",
        scope=replace(BARE, snapshots=2, times=(0, 30), windows=(_LONG,), gates=1),
        sole=True,
    ),
    Variant(
        name="NO_MERGES_ARE_MANY",
        machine=ruled(Rules(name="NO_MERGES_ARE_MANY", zeros=False)),
        breaks="ANC-9",
        source="openclaw-intelligence-core issue #14",
        story="A window of no merge is taken for a missing one, and 32 are made.",
        scope=replace(MERGED, windows=(_NO_MERGES,)),
    ),
    Variant(
        name="NO_SECONDS_ARE_A_DAY",
        machine=ruled(Rules(name="NO_SECONDS_ARE_A_DAY", zeros=False)),
        breaks="ANC-9",
        source="openclaw-intelligence-core issue #14",
        story="Exactness that may be of this second alone may be of yesterday.",
        scope=replace(MERGED, times=(0, 5), windows=(_NO_SECONDS,)),
    ),
    Variant(
        name="AGE_OF_THE_LAST",
        machine=ruled(Rules(name="AGE_OF_THE_LAST", lineage=False)),
        breaks="ANC-9",
        source="openclaw-intelligence-core issue #15",
        story="The age of exactness is that of the last snapshot, which every merge renews, so an"
        " exact rebuild is put off for ever.",
        scope=replace(MERGED, snapshots=3, times=(0, 15, 22)),
    ),
    Variant(
        name="MERGED_FOR_EVER",
        machine=ruled(Rules(name="MERGED_FOR_EVER", rebuilds=False)),
        breaks="ANC-9",
        source="openclaw-intelligence-core issue #12",
        story="While the anchor is right deltas are merged, however many were before.",
        scope=replace(MERGED, outcomes=2, snapshots=3),
    ),
    Variant(
        name="ID_SPENT",
        machine=stepping("ID_SPENT", _reusing(_id_spent)),
        breaks="ANC-10",
        source=CONSTRUCTED,
        story="A refresh takes the next id before it sees that nothing is new.",
        scope=replace(MERGED, outcomes=0),
        sole=True,
    ),
    Variant(
        name="YOUNG_AGAIN",
        machine=stepping("YOUNG_AGAIN", _reusing(_made_young)),
        breaks="ANC-10",
        source=CONSTRUCTED,
        story="A snapshot that is reused is given the moment, and is reused for ever.",
        scope=replace(MERGED, outcomes=0, times=(0, 5)),
    ),
    Variant(
        name="NOT_REMEMBERED",
        machine=stepping("NOT_REMEMBERED", _reusing(_not_remembered)),
        breaks="ANC-42",
        source=CONSTRUCTED,
        story="Whoever asks what the last refresh did is told of the last one that published.",
        scope=replace(MERGED, outcomes=0),
        sole=True,
    ),
    Variant(
        name="AHEAD_FOR_EVER",
        machine=stepping("AHEAD_FOR_EVER", _ahead_for_ever),
        breaks="ANC-9",
        source=CONSTRUCTED,
        story="A clock was once far ahead. What is younger than this moment has no age, so until"
        " then no exact rebuild is due.",
        scope=replace(MERGED, times=(50, 5)),
    ),
)

_WHO_PUBLISHES: tuple[AnchoringVariant, ...] = (
    Variant(
        name="LAST_ONE_WINS",
        machine=stepping("LAST_ONE_WINS", accepting(Refresh, Refusal.SUPERSEDED, _last_one_wins)),
        breaks="ANC-11",
        source=CONSTRUCTED,
        story="Two refreshers saw the same snapshot, and both replace it.",
        scope=replace(BARE, expects=True),
        sole=True,
    ),
    Variant(
        name="ONE_ABOVE_THE_STORED",
        machine=stepping("ONE_ABOVE_THE_STORED", publishing(_one_above_the_stored)),
        breaks="ANC-12",
        source=CONSTRUCTED,
        story="The next id is one above those that are stored, and what was collected has it too.",
        scope=replace(MERGED, outcomes=0, losses=(Loss.MANIFEST,), collections=(0,)),
        sole=True,
    ),
    Variant(
        name="WATERMARK_GOES_BACK",
        machine=stepping("WATERMARK_GOES_BACK", accepting(Refresh, Refusal.SUPERSEDED, _old_cut)),
        breaks="ANC-12",
        source="JasperFx release 2.86",
        story="Somebody else published while a rebuild was made. It publishes what it counted all"
        " the same, and the watermark goes back.",
        scope=replace(MERGED, expects=True),
    ),
    Variant(
        name="CORRECTED_IN_PLACE",
        machine=stepping("CORRECTED_IN_PLACE", tampered(Rewrite, _corrected_in_place)),
        breaks="ANC-13",
        source=CONSTRUCTED,
        story="When rows are rewritten the snapshots are corrected as well, and whoever pinned one"
        " reads another than it pinned.",
        scope=replace(COUNTED, epochs=2),
    ),
    Variant(
        name="PARENT_EDITED",
        machine=stepping("PARENT_EDITED", tampered(Refresh, _parent_edited)),
        breaks="ANC-13",
        source=CONSTRUCTED,
        story="A publication marks the snapshot before it as superseded, in the snapshot itself.",
        scope=MERGED,
        sole=True,
    ),
    Variant(
        name="WITHIN_A_SECOND",
        machine=stepping("WITHIN_A_SECOND", publishing(_by_the_second)),
        breaks="ANC-13",
        source=CONSTRUCTED,
        story="Ids are seconds of the clock; two snapshots within one have the same id, and the"
        " second is written over the first.",
        scope=replace(MERGED, times=(1,)),
    ),
    Variant(
        name="NOT_RESET",
        machine=stepping("NOT_RESET", tampered(Refresh, _not_reset)),
        breaks="ANC-14",
        source="openclaw-intelligence-core issue #12",
        story="Publishing is one step and anchoring the live delta anew another, which does not"
        " come.",
        scope=MERGED,
        sole=True,
    ),
    Variant(
        name="NOT_EMPTIED",
        machine=stepping("NOT_EMPTIED", tampered(Refresh, _unemptied)),
        breaks="ANC-14",
        source=CONSTRUCTED,
        story="The live delta is anchored anew and not emptied, and the next merge counts it"
        " twice.",
        scope=MERGED,
    ),
    Variant(
        name="READ_ALL",
        machine=stepping("READ_ALL", retold(Refreshed, _read_all)),
        breaks="ANC-15",
        source=CONSTRUCTED,
        story="A merge says that it read the whole log.",
        scope=replace(MERGED, outcomes=2),
        sole=True,
    ),
    Variant(
        name="NONE_DOUBTED",
        machine=stepping("NONE_DOUBTED", retold(Refreshed, _none_doubted)),
        breaks="ANC-15",
        source=CONSTRUCTED,
        story="Drift is detected and repaired, and the verdicts about it stand as they were.",
        scope=replace(MERGED, outcomes=0, gates=1, drift=True),
    ),
    Variant(
        name="NEVER_EXTENDED",
        machine=stepping("NEVER_EXTENDED", _extending(lambda _live, _row: False)),
        breaks="ANC-16",
        source=CONSTRUCTED,
        story="Outcomes are logged and no delta counts them: nothing is lost, and each refresh is a"
        " rebuild.",
        scope=MERGED,
        sole=True,
    ),
    Variant(
        name="EXTENDED_BY_POSITION",
        machine=stepping(
            "EXTENDED_BY_POSITION", _extending(lambda live, row: live.hi == row.position - 1)
        ),
        breaks="ANC-16",
        source=CONSTRUCTED,
        story="A delta ends at the position where the log does, and is extended. It is of the log"
        " before a script rewrote it, and its chain is now that of the log after.",
        scope=replace(COUNTED, outcomes=2, backfills=True),
    ),
    Variant(
        name="EXTENDED_OVER_A_GAP",
        machine=stepping("EXTENDED_OVER_A_GAP", _extending(lambda _live, _row: True)),
        breaks="ANC-16",
        source="Marten release 9.16.1",
        story="The end of a delta is moved to the new outcome, over one that it never counted.",
        scope=replace(COUNTED, outcomes=2, losses=(Loss.LIVE_STALE,)),
    ),
    Variant(
        name="MOMENT_OF_THE_PARENT",
        machine=stepping("MOMENT_OF_THE_PARENT", merges(_of_its_parent)),
        breaks="ANC-40",
        source=CONSTRUCTED,
        story="A merge keeps the moment of the snapshot that it was merged from, and is too old to"
        " be reused from the first second on.",
        scope=replace(MERGED, times=(0, 15)),
        sole=True,
    ),
    Variant(
        name="CONFIGURATION_NOT_KEPT",
        machine=stepping("CONFIGURATION_NOT_KEPT", publishing(_unconfigured)),
        breaks="ANC-40",
        source=CONSTRUCTED,
        story="A snapshot does not say how its outcomes were counted, and one that is counted"
        " otherwise is merged into it.",
        scope=replace(MERGED, configs=("", "other")),
    ),
)

VARIANTS: tuple[AnchoringVariant, ...] = (
    *_BY_THE_TABLE,
    *_THE_WHOLE_LOG,
    *_IN_TIME,
    *_WHO_PUBLISHES,
)
"""Variants that break ANC-7 to ANC-16, and ANC-40."""
