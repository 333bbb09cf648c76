"""Machines in which something never happens, so that nothing shows whether it would go right.

What is right must be taken (INT-14), so most of these take the right step from an initial state in
which some rows were handed over before with other bytes: they are refused for good.
"""

from msgspec.structs import replace

from plumbline_models import ordinals, tokens
from plumbline_models.history import CONSTRUCTED, Variant
from plumbline_models.history.intake.making import (
    COVERED,
    IDS,
    IntakeVariant,
    beginning,
    carried,
    refusing,
    right,
    stepping,
)
from plumbline_models.intake.values import Digest, Entry, Log, Standing, State
from plumbline_models.ordinals import ConversationId

_HERE = ConversationId("c1")
_ROWS = replace(IDS, refusals=False)
"""Three rows with ids and a message beside them; nothing in it is refused by itself."""


def _handed(*entries: Entry) -> State:
    """Return the state in which a conversation is open and has these entries, with no message."""
    opened = right(State(), ordinals.Open(conversation=_HERE))[0]
    return replace(opened, logs=(Log(conversation=_HERE, entries=entries),))


def _aside(one: Entry) -> Entry:
    return replace(one, standing=Standing.ASIDE)


_FROM_OTHER = replace(
    _aside(carried("e9", "abandoned", None, "other")), digest=Digest("d9"), role="user"
)
"""The abandoned row of a scope, as another source handed it over."""


def _always(state: State, event: tokens.Append) -> bool:
    del state, event
    return True


def _names_messages(state: State, event: tokens.Replace) -> bool:
    del state
    return any(isinstance(one, ordinals.MessageItem) for one in event.items)


VARIANTS: tuple[IntakeVariant, ...] = (
    Variant(
        name="NEVER_EQUAL",
        machine=beginning("NEVER_EQUAL", _handed(carried("e1", "first", 1))),
        breaks="INT-19",
        source=CONSTRUCTED,
        story="Of two rows that say the same one is refused, so nothing shows that they stay"
        " apart.",
        scope=_ROWS,
        sole=True,
    ),
    Variant(
        name="NEVER_EMPTY",
        machine=beginning(
            "NEVER_EMPTY", _handed(_aside(carried("e3", "no text", None)), _FROM_OTHER)
        ),
        breaks="INT-20",
        source=CONSTRUCTED,
        story="No row without text is ever taken, so nothing shows that it would not be dropped.",
        scope=_ROWS,
        sole=True,
    ),
    Variant(
        name="NEVER_TAIL",
        machine=beginning("NEVER_TAIL", _handed(carried("e1", "ok", 1, "other"))),
        breaks="INT-21",
        source=CONSTRUCTED,
        story="Lists are taken row by row and never with known rows in front of new ones.",
        scope=replace(_ROWS, rows=2),
        sole=True,
    ),
    Variant(
        name="NEVER_SHORTER",
        machine=beginning(
            "NEVER_SHORTER",
            _handed(*(carried(f"e{number}", "old", number) for number in (1, 8, 9))),
        ),
        breaks="INT-22",
        source=CONSTRUCTED,
        story="The host wrote every row anew: no list is known any more, hence none that is"
        " shorter than what is stored.",
        scope=replace(IDS, rows=1, appends=0),
        sole=True,
    ),
    Variant(
        name="NEVER_ANOTHER_WRITER",
        machine=beginning("NEVER_ANOTHER_WRITER", _handed(_aside(carried("e4", "the last", None)))),
        breaks="INT-23",
        source=CONSTRUCTED,
        story="What a second writer hands over is always refused, so nothing shows that it would"
        " not be stored twice.",
        scope=replace(_ROWS, rows=4, appends=0),
        sole=True,
    ),
    Variant(
        name="NEVER_COVERED",
        machine=stepping(
            "NEVER_COVERED",
            refusing(tokens.Replace, ordinals.Reason.STALE_RANGE, _names_messages),
        ),
        breaks="INT-24",
        source=CONSTRUCTED,
        story="No message ever leaves the context, so nothing shows that its row is still known"
        " then.",
        scope=COVERED,
        sole=True,
    ),
    Variant(
        name="NEVER_BETWEEN",
        machine=stepping(
            "NEVER_BETWEEN", refusing(tokens.Append, ordinals.Reason.EMPTY_BATCH, _always)
        ),
        breaks="INT-25",
        source=CONSTRUCTED,
        story="Nothing but rows is ever appended, so nothing shows that it would not move a"
        " cursor.",
        scope=_ROWS,
        sole=True,
    ),
)
"""Every variant about what never happens."""
