"""The values of compaction: state, events, outcomes and rules (chapter ``spec/compaction.md``)."""

from enum import Enum
from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from plumbline_models import intake, lossless_claw, ordinals, tokens
from plumbline_models.contract import MAX_INTEGER
from plumbline_models.decisions.escalation import Answer, Level
from plumbline_models.ordinals.values import (
    ConversationField,
    Item,
    SummaryField,
    SummaryId,
    SummaryItem,
)
from plumbline_models.tokens.values import Amount, Tokens

Number = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]
_AtLeastOne = Meta(ge=1, le=MAX_INTEGER)
_AtLeastTwo = Meta(ge=2, le=MAX_INTEGER)
_Time = Annotated[
    str, Meta(max_length=64, description="when it was said, as its host wrote it (RFC 3339)")
]
NamesField = Annotated[
    SummaryId,
    Meta(min_length=1, max_length=200, description="new summaries are named by this and a number"),
]


class Extent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a stored summary covers; it never changes while the summary is stored."""

    summary: SummaryField
    earliest: _Time | None
    """The first time that a message has which it covers; None when none has one."""
    latest: _Time | None
    """The last such time."""
    descendants: Annotated[Number, Meta(description="summaries that it covers, at every depth")]
    descendant_tokens: Annotated[Number, Meta(description="their stored counts, in tokens")]
    source_tokens: Annotated[
        Number, Meta(description="the stored counts of the messages that it covers, in tokens")
    ]
    files: tuple[str, ...]
    """Ids of files that its messages and the summaries below it name, in order of mention."""


class State(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Lists, ledgers and logs of intake, and what each stored summary covers."""

    taken: intake.State = intake.State()
    extents: tuple[Extent, ...] = ()
    """By the summary's id."""


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to compact. Every selection of an event goes by the settings that came with it."""

    threshold_percent: Annotated[
        int, Meta(ge=0, le=100, description="share of the budget above which to compact")
    ] = 75
    fresh_tail: Annotated[Number, Meta(description="newest messages that are protected")] = 64
    fresh_tail_tokens: (
        Annotated[Number, Meta(description="of these, at most so many tokens")] | None
    ) = None
    """The newest message alone may be more."""
    leaf_fanout: Annotated[int, _AtLeastTwo, Meta(description="summaries of depth 0 in a pass")] = 8
    condensed_fanout: Annotated[int, _AtLeastTwo, Meta(description="deeper ones in a pass")] = 4
    hard_fanout: Annotated[
        int, _AtLeastTwo, Meta(description="summaries in a pass when it is urgent")
    ] = 2
    depth: (
        Annotated[Number, Meta(description="after a leaf, summaries below it are condensed")] | None
    ) = 1
    """None for every depth."""
    leaf_chunk: Annotated[int, _AtLeastOne, Meta(description="sources of a pass, in tokens")] = (
        20_000
    )
    leaf_target: Annotated[int, _AtLeastOne, Meta(description="of a leaf, in tokens")] = 2_400
    condensed_target: Annotated[
        int, _AtLeastOne, Meta(description="of a condensed summary, in tokens")
    ] = 2_000
    overage_percent: Annotated[
        int, Meta(ge=100, le=10_000, description="of its target: a longer answer is cut to this")
    ] = 300
    fallback_cap: Annotated[
        int, _AtLeastOne, Meta(description="of a text made without a model, in tokens")
    ] = 512
    passes: Annotated[int, _AtLeastOne, Meta(description="in a round, at most")] = 12
    rounds: Annotated[int, _AtLeastOne, Meta(description="at most")] = 10
    calls: Annotated[int, _AtLeastTwo, Meta(description="of the summariser, at most")] = 240
    deadline: (
        Annotated[Number, Meta(description="no pass begins later, in milliseconds")] | None
    ) = None
    stale: Annotated[
        int, _AtLeastOne, Meta(description="selections in a row that others may make stale")
    ] = 8


class Kind(Enum):
    """What a pass replaces. The values are stable: vectors name them."""

    LEAF = "leaf"
    """Messages that stand next to each other."""
    CONDENSED = "condensed"
    """Summaries of one depth that stand next to each other."""
    WRAP = "wrap"
    """Messages that stand among summaries, so that the last resort can take them in."""
    PREFIX = "prefix"
    """All that is not protected: the last resort."""


Interference: TypeAlias = (
    tokens.Append | tokens.Replace | ordinals.RollBack | ordinals.Prune | ordinals.Forget
)


class Meanwhile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody else does while a summariser is asked."""

    call: Annotated[int, _AtLeastOne, Meta(description="of the sweep, counted from 1")]
    """It happens during this call, or never when the sweep makes fewer."""
    event: Interference


class Evaluate(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="compaction.Evaluate"
):
    """Ask whether to compact; nothing changes."""

    conversation: ConversationField
    settings: Settings
    budget: Amount
    observed: Amount | None = None
    """What the host's model counted for this context; None when it did not."""


class Select(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="compaction.Select"
):
    """Ask for the items of the next leaf or condensed pass; nothing changes, nothing is held."""

    conversation: ConversationField
    settings: Settings
    condense: bool = False
    """Whether summaries are condensed, or messages are summarised."""
    hard: bool = False
    """Whether it is urgent, so that few summaries are enough."""


class Commit(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="compaction.Commit"
):
    """Put a summary in the place of selected items, with what the summariser answered."""

    conversation: ConversationField
    settings: Settings
    items: tuple[Item, ...]
    """As they were selected, oldest first."""
    summary: SummaryField
    answers: Annotated[tuple[Answer, ...], Meta(max_length=2)]
    """Of the first call and, where there was one, of the second."""


class CompactLeaf(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="compaction.CompactLeaf"
):
    """One leaf pass, and the condensed passes that it makes possible."""

    conversation: ConversationField
    settings: Settings
    budget: Amount
    force: bool = False
    """Whether to compact below the threshold too."""
    summary: NamesField
    script: tuple[Answer, ...]
    """What the summariser answers, call by call, over and over; with none, each call fails."""
    meanwhile: tuple[Meanwhile, ...] = ()
    """What others do during the calls."""


class Sweep(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="compaction.Sweep"):
    """Leaf passes, then condensed passes, until the context is within its threshold."""

    conversation: ConversationField
    settings: Settings
    budget: Amount
    force: bool = False
    """Whether to go on until nothing is left to compact."""
    hard: bool = False
    summary: NamesField
    script: tuple[Answer, ...]
    meanwhile: tuple[Meanwhile, ...] = ()


class SweepUntil(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="compaction.SweepUntil"
):
    """Sweeps, round by round, and then the last resort, until the context is within a target."""

    conversation: ConversationField
    settings: Settings
    target: Amount
    summary: NamesField
    script: tuple[Answer, ...]
    meanwhile: tuple[Meanwhile, ...] = ()


Event: TypeAlias = intake.Event | Evaluate | Select | Commit | CompactLeaf | Sweep | SweepUntil


class Stop(Enum):
    """Why a sweep did nothing more. The values are stable: vectors name them."""

    UNDER_TARGET = "under_target"
    NOTHING_TO_COMPACT = "nothing_to_compact"
    NO_PROGRESS = "no_progress"
    BOUND_REACHED = "bound_reached"
    DEADLINE = "deadline"
    AUTHENTICATION = "authentication"
    STALE = "stale"
    SUMMARISER_ERROR = "summariser_error"


class Pass(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The record of one replacement that compaction made."""

    kind: Kind
    summary: SummaryField
    sources: tuple[Item, ...]
    level: Level
    capped: bool
    """Whether the answer was longer than its limit, and was cut."""
    calls: Annotated[Number, Meta(description="of the summariser, 0 to 2")]
    before: Tokens
    """The total before."""
    removed: Tokens
    """The counts of the sources."""
    added: Tokens
    """The count of the summary."""
    after: Tokens
    """The total after."""


class Evaluated(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="compaction.Evaluated"
):
    """What was read, and what follows from it."""

    total: Tokens
    size: Tokens
    """What was compared: the total, or what the host observed if that is more."""
    threshold: Tokens
    compact: bool
    """Whether the size is above the threshold."""
    raw: Tokens
    """The counts of the messages that are not protected."""
    leaf: bool
    """Whether these fill a chunk."""


class Selected(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="compaction.Selected"
):
    """The items of the next pass, oldest first."""

    items: tuple[Item, ...]
    removed: Tokens
    """Their stored counts."""
    prior: tuple[SummaryItem, ...]
    """The nearest summaries before them, two at most: what a summariser may be told."""


class Idle(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="compaction.Idle"):
    """There is no such pass to make."""


class Committed(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="compaction.Committed"
):
    """The summary stands in the place of its sources."""

    record: Pass


class Swept(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="compaction.Swept"):
    """What a sweep did, and why it did nothing more."""

    compacted: bool
    """Whether the context is another one than before."""
    before: Tokens
    after: Tokens
    passes: tuple[Pass, ...]
    rounds: Annotated[Number, Meta(description="rounds that made a pass")]
    calls: Annotated[Number, Meta(description="of the summariser, those in vain included")]
    stop: Stop
    floor: Tokens | None
    """When a target was missed: the counts of what is protected."""


class Reason(Enum):
    """Why a commit was refused. The values are stable: vectors name them."""

    STALE = "stale"
    """The items do not stand in the context, in that order and next to each other."""
    UNEVEN = "uneven"
    """The items are neither messages alone nor summaries of one depth."""
    PROTECTED = "protected"
    """An item belongs to the fresh tail, or stands at the newest user message or behind it."""
    EMPTY_SOURCE = "empty_source"
    """The items say nothing."""
    NO_PROGRESS = "no_progress"
    """The items count less than two tokens: nothing is shorter and says something."""
    AUTHENTICATION = "authentication"
    SUMMARISER_ERROR = "summariser_error"


class Refused(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="compaction.Refused"
):
    """No pass was made; the state is as it was."""

    reason: Reason


Outcome: TypeAlias = intake.Outcome | Evaluated | Selected | Idle | Committed | Swept | Refused


class Rules(Struct, frozen=True, kw_only=True):
    """The decision points at which systems differ; ``SPEC`` is the specification's."""

    name: str
    log: intake.Rules = intake.SPEC
    release: lossless_claw.Rules | None = None
    """Whether a released engine compacts, and which; the other decisions are its own then."""
    stale_check: bool = True
    """False: a commit replaces what stands between the first and the last item now."""
    tested: bool = True
    """False: the text of the last level is committed however long it is (all releases)."""
    newest_user: bool = True
    """False: the fresh tail alone is protected (lossless-claw before #1008)."""
    skips_empty: bool = True
    """False: items that say nothing are selected like others (lossless-claw before #1011)."""
    later_runs: bool = True
    """False: a run that is too short hides those behind it (lossless-claw, all releases)."""
    last_resort: bool = True
    """False: a target that rounds do not reach is missed (lossless-claw, all releases)."""


SPEC = Rules(name="SPEC")
"""The decisions of the specification."""
