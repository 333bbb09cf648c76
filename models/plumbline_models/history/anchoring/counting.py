"""Snapshots and deltas that count something else than the log, logs out of order, lost lineage."""

from collections.abc import Iterator

from msgspec.structs import replace

from plumbline_models.anchoring import queries
from plumbline_models.anchoring.scope import KEYS
from plumbline_models.anchoring.transitions import rechained
from plumbline_models.anchoring.values import (
    Draft,
    Event,
    Lease,
    Live,
    Logged,
    Loss,
    Outcome,
    OutcomeId,
    Pin,
    Pinned,
    Placed,
    Position,
    Record,
    Recorded,
    Refresh,
    Refreshed,
    Refusal,
    Refused,
    Rewrite,
    Snapshot,
    State,
    Table,
)
from plumbline_models.decisions.chaining import START
from plumbline_models.decisions.refreshing import Reason, Way
from plumbline_models.decisions.statistics import Statistics, of_one
from plumbline_models.history import CONSTRUCTED, Variant
from plumbline_models.history.anchoring.making import (
    BARE,
    COUNTED,
    LOGGED,
    MERGED,
    AnchoringVariant,
    cut_short,
    merges,
    offered,
    publishing,
    right,
    stepping,
    tampered,
    told_of,
    with_made,
)

_CARRYING = 2
"""Outcomes, the squares of whose rewards carry when they are added."""

# Snapshots


def _merged_over_a_gap(state: State, event: Event) -> tuple[State, Outcome]:
    """Merge a delta that ends too early, with the end of the log as the watermark."""
    after, outcome = right(state, event)
    current, live = queries.current_of(state), state.live
    if not isinstance(outcome, Refreshed) or outcome.reason is not Reason.COVERAGE_GAP:
        return after, outcome
    assert current is not None
    assert isinstance(live, Live)
    made = replace(
        after.snapshots[-1],
        way=Way.DELTA_MERGE,
        reason=Reason.LIVE_DELTA,
        statistics=queries.merged(current.statistics, live.statistics),
        exact=current.exact,
        merged=current.merged + 1,
        exact_at=current.exact_at,
    )
    said = replace(outcome, way=made.way, reason=made.reason)
    return with_made(state, made), told_of(made, said)


def _without_carry(state: State, made: Snapshot) -> Snapshot:
    """Return a merge in which the low limbs are added, and what they carry is dropped."""
    current, live = queries.current_of(state), state.live
    assert current is not None
    assert isinstance(live, Live)
    high = dict.fromkeys((one.key for one in made.statistics), 0)
    for one in (*current.statistics, *live.statistics):
        high[one.key] += one.statistics.squares_high
    counted = tuple(
        replace(one, statistics=replace(one.statistics, squares_high=high[one.key]))
        for one in made.statistics
    )
    return replace(made, statistics=counted)


def _squares_that_carry(state: State) -> Iterator[Event]:
    number = queries.end_of(state) + 1
    if number <= _CARRYING:
        draft = Draft(outcome=OutcomeId(f"o{number}"), key=KEYS[0], reward=999)
        yield Record(drafts=(draft,))


# The live delta


def _uncounted(state: State, after: State, event: Record) -> State:
    """Move the end of the live delta over a new row, and leave what it counts."""
    del event
    was, now = state.live, after.live
    if not isinstance(was, Live) or not isinstance(now, Live):
        return after
    return replace(after, live=replace(now, statistics=was.statistics))


def _counted_again(state: State, event: Event) -> tuple[State, Outcome]:
    """Count an outcome that is handed again once more in the live delta."""
    after, outcome = right(state, event)
    live = after.live
    if not isinstance(outcome, Recorded) or not isinstance(live, Live):
        return after, outcome
    covered = [row for row in after.log if live.lo < row.position <= live.hi]
    again = [one.position for one in outcome.answers if isinstance(one, Placed) and one.repeated]
    repeated = [row for row in covered if row.position in again]
    if not repeated:
        return after, outcome
    counted = queries.fold((*covered, *repeated))
    return replace(after, live=replace(live, statistics=counted)), outcome


def _taken_back(state: State, after: State, event: Rewrite) -> State:
    """Take retracted outcomes out of the live delta again, but for its least and greatest."""
    live = after.live
    if not isinstance(live, Live) or live.chain != queries.chain_at(state, live.hi):
        return after
    if any(one.reward is not None for one in event.corrections):
        return after
    gone = {one.outcome for one in event.corrections}
    counted = live.statistics
    for row in state.log:
        if row.outcome in gone and row.reward is not None and live.lo < row.position <= live.hi:
            counted = _less(counted, row, row.reward)
    chain = queries.chain_at(after, live.hi)
    assert chain is not None
    left = replace(live, epoch=after.epoch, chain=chain, statistics=counted)
    return replace(after, live=left)


def _less(table: Table, row: Logged, reward: int) -> Table:
    found = (
        replace(one, statistics=_without(one.statistics, reward)) if one.key == row.key else one
        for one in table
    )
    return tuple(one for one in found if one.statistics.count)


def _without(of: Statistics, reward: int) -> Statistics:
    one = of_one(reward)
    return replace(
        of,
        count=of.count - 1,
        total=of.total - reward,
        squares_high=of.squares_high - one.squares_high,
        squares_low=of.squares_low - one.squares_low,
    )


# The log


def _position_spent(state: State, event: Event) -> tuple[State, Outcome]:
    """Give an outcome that is handed again a position, and then find that it was there."""
    after, outcome = right(state, event)
    if not isinstance(outcome, Recorded):
        return after, outcome
    spent, rows = 0, dict[Position, Position]()
    for one in outcome.answers:
        if isinstance(one, Placed) and one.repeated:
            spent += 1
        elif isinstance(one, Placed):
            rows[one.position] = Position(one.position + spent)
    moved = (replace(row, position=rows.get(row.position, row.position)) for row in after.log)
    answers = tuple(
        replace(one, position=rows.get(one.position, one.position))
        if isinstance(one, Placed) and not one.repeated
        else one
        for one in outcome.answers
    )
    log = rechained(after, moved)
    return (replace(after, log=log) if spent and rows else after), Recorded(answers=answers)


def _logged_again(state: State, event: Event) -> tuple[State, Outcome]:
    """Log an outcome that is handed again behind the others."""
    after, outcome = right(state, event)
    if not isinstance(event, Record) or after is not state or not event.drafts:
        return after, outcome
    name = event.drafts[0].outcome
    blind = replace(state, log=tuple(_renamed(row, name) for row in state.log))
    logged, said = right(blind, event)
    rows = logged.log[len(state.log) :]
    return replace(logged, log=(*state.log, *rows)), said


def _renamed(row: Logged, name: OutcomeId) -> Logged:
    return replace(row, outcome=OutcomeId("another")) if row.outcome == name else row


def _forgotten(state: State, event: Event) -> tuple[State, Outcome]:
    """Look for an outcome among the rows alone."""
    if not isinstance(event, Record) or not state.truncated:
        return right(state, event)
    after, outcome = right(replace(state, truncated=()), event)
    return replace(after, truncated=state.truncated), outcome


def _chained_alone(state: State, after: State, event: Record) -> State:
    """Make the chain of each row of the row alone."""
    del state, event
    log = tuple(replace(row, chain=queries.chain_of(row, START)) for row in after.log)
    return replace(after, log=log)


def _unchained(state: State, after: State, event: Rewrite) -> State:
    """Rewrite rows and leave their chains."""
    del event
    log = tuple(
        replace(now, chain=was.chain) for was, now in zip(state.log, after.log, strict=True)
    )
    return replace(after, log=log)


# What is needed, and lineage


def _last_alone(state: State, after: State, event: Refresh) -> State:
    """Store the snapshot that is published in the place of all others."""
    del event
    return after if after.issued == state.issued else replace(after, snapshots=after.snapshots[-1:])


def _pinned_unseen(state: State, event: Event) -> tuple[State, Outcome]:
    """Pin whatever snapshot is named."""
    after, outcome = right(state, event)
    if not isinstance(event, Pin) or outcome != Refused(reason=Refusal.UNKNOWN_SNAPSHOT):
        return after, outcome
    if event.snapshot is None:
        return after, outcome
    pin = Lease(id=event.pin, snapshot=event.snapshot, owner=event.owner, expires=event.expires)
    pins = sorted((*state.pins, pin), key=lambda one: one.id)
    return replace(state, pins=tuple(pins)), Pinned(snapshot=event.snapshot)


def _exact_now(state: State, made: Snapshot) -> Snapshot:
    del state
    return replace(made, exact_at=made.generated_at)


def _not_one_more(state: State, made: Snapshot) -> Snapshot:
    del state
    return replace(made, merged=made.merged - 1)


def _base_of_itself(state: State, made: Snapshot) -> Snapshot:
    del state
    return replace(made, exact=made.id)


VARIANTS: tuple[AnchoringVariant, ...] = (
    Variant(
        name="TWO_CUTS",
        machine=stepping("TWO_CUTS", publishing(cut_short)),
        breaks="ANC-1",
        source="openclaw-intelligence-core issue #10",
        story="Statistics and watermark are of two cuts of the log: what came between them is"
        " counted by the snapshot, and lies behind its watermark.",
        scope=MERGED,
        sole=True,
    ),
    Variant(
        name="CAUGHT_UP",
        machine=stepping("CAUGHT_UP", _merged_over_a_gap),
        breaks="ANC-1",
        source="Marten issue #4964",
        story="The watermark of a merge is the end of the log, though the delta ended before it:"
        " an outcome is passed over, and all looks caught up.",
        scope=replace(MERGED, losses=(Loss.LIVE_STALE,)),
    ),
    Variant(
        name="CARRY_LOST",
        machine=offered(stepping("CARRY_LOST", merges(_without_carry)), _squares_that_carry),
        breaks="ANC-1",
        source=CONSTRUCTED,
        story="The squares are added limb by limb, and what the low ones carry is dropped.",
        scope=replace(MERGED, outcomes=0),
    ),
    Variant(
        name="LOGGED_NOT_COUNTED",
        machine=stepping("LOGGED_NOT_COUNTED", tampered(Record, _uncounted)),
        breaks="ANC-2",
        source="openclaw-intelligence-core issue #12",
        story="An outcome is logged in one step and counted in another, which does not come. The"
        " delta says that it has it.",
        scope=COUNTED,
        sole=True,
    ),
    Variant(
        name="COUNTED_AGAIN",
        machine=stepping("COUNTED_AGAIN", _counted_again),
        breaks="ANC-2",
        source=CONSTRUCTED,
        story="An outcome that is handed again is logged once and counted twice.",
        scope=replace(COUNTED, refusals=True),
        sole=True,
    ),
    Variant(
        name="LEAST_STAYS",
        machine=stepping("LEAST_STAYS", tampered(Rewrite, _taken_back)),
        breaks="ANC-41",
        source=CONSTRUCTED,
        story="A retracted outcome is subtracted from what was counted. Count and sum are right;"
        " the least and the greatest are still its own.",
        scope=replace(COUNTED, outcomes=2, epochs=2),
    ),
    Variant(
        name="POSITION_SPENT",
        machine=stepping("POSITION_SPENT", _position_spent),
        breaks="ANC-3",
        source=CONSTRUCTED,
        story="A position is taken before it is seen that the outcome is there already, and the"
        " positions have a gap.",
        scope=replace(LOGGED, outcomes=2, batches=True),
        sole=True,
    ),
    Variant(
        name="LOGGED_TWICE",
        machine=stepping("LOGGED_TWICE", _logged_again),
        breaks="ANC-3",
        source=CONSTRUCTED,
        story="An outcome that is handed again, as a retry hands it, is logged again.",
        scope=replace(LOGGED, refusals=True),
    ),
    Variant(
        name="FORGOTTEN_WITH_ITS_ROW",
        machine=stepping("FORGOTTEN_WITH_ITS_ROW", _forgotten),
        breaks="ANC-3",
        source=CONSTRUCTED,
        story="Whether an outcome is known is asked of the rows, and after a truncation a retry"
        " counts it again.",
        scope=replace(COUNTED, truncations=True),
    ),
    Variant(
        name="CHAINED_ALONE",
        machine=stepping("CHAINED_ALONE", tampered(Record, _chained_alone)),
        breaks="ANC-4",
        source=CONSTRUCTED,
        story="The hash of a row is of the row alone, so its chain says nothing of those before.",
        scope=replace(LOGGED, outcomes=2),
        sole=True,
    ),
    Variant(
        name="REWRITTEN_UNCHAINED",
        machine=stepping("REWRITTEN_UNCHAINED", tampered(Rewrite, _unchained)),
        breaks="ANC-4",
        source=CONSTRUCTED,
        story="Rows are rewritten and their chains are not, so the chain is that of a log that is"
        " there no more.",
        scope=replace(LOGGED, epochs=2),
        sole=True,
    ),
    Variant(
        name="LAST_ALONE",
        machine=stepping("LAST_ALONE", tampered(Refresh, _last_alone)),
        breaks="ANC-5",
        source=CONSTRUCTED,
        story="A publication lets go all snapshots before it, that which it was merged from too.",
        scope=MERGED,
    ),
    Variant(
        name="PINNED_UNSEEN",
        machine=stepping("PINNED_UNSEEN", _pinned_unseen),
        breaks="ANC-5",
        source=CONSTRUCTED,
        story="A pin is given for a snapshot that is not stored, and its reader finds nothing.",
        scope=replace(BARE, pins=True, refusals=True),
        sole=True,
    ),
    Variant(
        name="EXACT_MOVES",
        machine=stepping("EXACT_MOVES", merges(_exact_now)),
        breaks="ANC-6",
        source="openclaw-intelligence-core issue #15",
        story="A merge says that it is exact as of its own moment, and exactness never ages.",
        scope=replace(MERGED, times=(0, 5)),
        sole=True,
    ),
    Variant(
        name="MERGES_NOT_COUNTED",
        machine=stepping("MERGES_NOT_COUNTED", merges(_not_one_more)),
        breaks="ANC-6",
        source=CONSTRUCTED,
        story="A merge has as many merges as its parent, so there are never too many.",
        scope=MERGED,
        sole=True,
    ),
    Variant(
        name="BASE_OF_ITSELF",
        machine=stepping("BASE_OF_ITSELF", merges(_base_of_itself)),
        breaks="ANC-6",
        source=CONSTRUCTED,
        story="A merge names itself as the exact snapshot of its lineage, and the base goes with"
        " the next collection.",
        scope=MERGED,
        sole=True,
    ),
)
"""Variants that break ANC-1 to ANC-6, and one that changes what it is not about (ANC-41)."""
