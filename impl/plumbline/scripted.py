"""Turns the messages of a transcript into a history of ordinals events.

Theory of operation. ``history`` is a generator of events that is sent the state after each of them,
so that it names what really stands in the context. It plays an agent's memory keeper over one
conversation, and now and then a careless caller:

========================  ======================================================================
step                      when
========================  ======================================================================
append                    every message in order; some with their tool results, as one batch
replace a turn            when ``FRESH_TURNS`` later turns have begun
condense                  when ``CONDENSED`` summaries of one depth stand side by side
roll back                 after some replacements: that one or another; some are replaced again
try a stale event         after some turns: an event whose caller read the context too early
forget                    after some turns: a message of the context, or one that is covered
prune                     once, when ``TURNS_AFTER_PRUNE`` turns are left, with a retain depth
========================  ======================================================================

How often *some* is, is drawn from the seed: a step is due again after a number of chances between
two bounds. The same messages, seed and states give the same events.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from itertools import count, groupby
from random import Random
from typing import Final, TypeAlias

from msgspec.structs import replace

from plumbline.transcript import TranscriptMessage
from plumbline_models.ordinals import (
    Append,
    Conversation,
    ConversationId,
    Draft,
    Event,
    Forget,
    Item,
    MessageId,
    MessageItem,
    Open,
    Ordinal,
    Placed,
    Prune,
    Replace,
    RollBack,
    State,
    Summary,
    SummaryId,
    SummaryItem,
)

CONVERSATION: Final = ConversationId("transcript")
"""The conversation that a history is about."""

FRESH_TURNS: Final = 2
"""How many turns stay as they are at the end of the context."""

CONDENSED: Final = 3
"""How many summaries of one depth are condensed into one."""

TURNS_AFTER_PRUNE: Final = 2
"""How many turns are appended after the prune."""

RETAIN_DEPTH: Final = 1
"""The least depth of a summary that outlives the prune."""

Steps: TypeAlias = Generator[Event, State, State]
"""Some events; it is sent the state after each and returns the last one."""


def history(messages: Iterable[TranscriptMessage], seed: int) -> Generator[Event, State, None]:
    """Yield the events of a history; send it the state after each.

    It ends after the last message was appended and seen to. What is sent may come from the model or
    from an observed host; nothing else is read.
    """
    keeper = _Keeper(Random(seed))  # noqa: S311 - a reproducible history, not a secret
    turns = list(_split(messages, _begins_turn))
    state = yield Open(conversation=CONVERSATION)
    for left, turn in zip(reversed(range(len(turns))), turns, strict=True):
        state = yield from keeper.append(state, turn)
        state = yield from keeper.tidy(state)
        state = yield from keeper.blunder(state)
        if left == TURNS_AFTER_PRUNE:
            state = yield Prune(conversation=CONVERSATION, retain_depth=RETAIN_DEPTH)


def _split(
    messages: Iterable[TranscriptMessage], begins: Callable[[TranscriptMessage], bool]
) -> Iterator[list[TranscriptMessage]]:
    """Yield the messages in groups; a group ends where another begins."""
    group: list[TranscriptMessage] = []
    for message in messages:
        if group and begins(message):
            yield group
            group = []
        group.append(message)
    if group:
        yield group


def _begins_turn(message: TranscriptMessage) -> bool:
    return message.role == "user"


def _begins_exchange(message: TranscriptMessage) -> bool:
    return message.role != "toolResult"


class _Due:
    """A step that is due after a number of chances, drawn anew each time."""

    def __init__(self, random: Random, least: int, most: int) -> None:
        self._random = random
        self._bounds = (least, most)
        self._left = random.randint(least, most)

    def now(self) -> bool:
        """Take one chance; tell whether the step is due."""
        self._left -= 1
        if self._left > 0:
            return False
        self._left = self._random.randint(*self._bounds)
        return True


class _Keeper:
    """What the keeper of one context remembers between events."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._waiting: deque[list[TranscriptMessage]] = deque()
        """The turns whose replacement was not tried yet, oldest first."""
        self._ids = (SummaryId(f"summary-{number}") for number in count(1))
        self._batch_due = _Due(random, 1, 3)
        self._roll_back_due = _Due(random, 2, 5)
        self._again_due = _Due(random, 1, 2)
        self._stale_due = _Due(random, 1, 3)
        self._forget_due = _Due(random, 2, 6)

    def append(self, state: State, turn: list[TranscriptMessage]) -> Steps:
        """Append a turn and remember it."""
        self._waiting.append(turn)
        for exchange in _split(turn, _begins_exchange):
            for batch in self._batches(exchange):
                drafts = tuple(Draft(id=MessageId(one.id), text=one.text) for one in batch)
                state = yield Append(conversation=CONVERSATION, messages=drafts)
        return state

    def _batches(self, exchange: list[TranscriptMessage]) -> list[list[TranscriptMessage]]:
        if len(exchange) > 1 and self._batch_due.now():
            return [exchange]
        return [[message] for message in exchange]

    def tidy(self, state: State) -> Steps:
        """Replace the turn that is no longer fresh, and condense what can be condensed."""
        if len(self._waiting) > FRESH_TURNS:
            turn = self._waiting.popleft()
            items: set[Item] = {MessageItem(id=MessageId(message.id)) for message in turn}
            state = yield from self._replace(state, _standing(state, items))
        return (yield from self._replace(state, _condensable(_here(state))))

    def _replace(self, state: State, run: Sequence[Placed]) -> Steps:
        """Replace what stands side by side; sometimes roll a replacement back."""
        if run:
            state = yield self._replacement(run, next(self._ids))
            standing = _summaries_standing(_here(state))
            if standing and self._roll_back_due.now():
                return (yield from self._roll_back(state, self._random.choice(standing)))
        return state

    def _roll_back(self, state: State, summary: Summary) -> Steps:
        """Roll a summary back; sometimes put the same one, or another, in its place again."""
        state = yield RollBack(conversation=CONVERSATION, summary=summary.id)
        run = _standing(state, set(summary.sources))
        if run and self._again_due.now():
            again = self._random.choice((summary.id, next(self._ids)))
            state = yield self._replacement(run, again)
        return state

    def _replacement(self, run: Sequence[Placed], summary: SummaryId) -> Replace:
        """Return the replacement of a run; some name ordinals, some do not."""
        items = tuple(entry.item for entry in run)
        return Replace(
            conversation=CONVERSATION,
            summary=summary,
            text=f"{summary}: {len(items)} items from {items[0].id} to {items[-1].id}",
            items=items,
            first=self._random.choice((run[0].ordinal, None)),
            last=self._random.choice((run[-1].ordinal, None)),
        )

    def blunder(self, state: State) -> Steps:
        """Try a stale event, or forget a message, when it is due."""
        if self._stale_due.now():
            state = yield from self._one_of(state, _stale(_here(state), next(self._ids)))
        if self._forget_due.now():
            events = self._random.choice((_forgets_standing, _forgets_covered))
            state = yield from self._one_of(state, events(_here(state)))
        return state

    def _one_of(self, state: State, events: Iterable[Event]) -> Steps:
        offered = list(events)
        if offered:
            state = yield self._random.choice(offered)
        return state


def _here(state: State) -> Conversation:
    """Return the conversation; an empty one when a host has lost it."""
    here = (one for one in state.conversations if one.id == CONVERSATION)
    return next(here, Conversation(id=CONVERSATION))


def _standing(state: State, items: set[Item]) -> list[Placed]:
    """Return the entries of the context that hold one of the items, oldest first."""
    return [entry for entry in _here(state).context if entry.item in items]


def _summaries_standing(at: Conversation) -> list[Summary]:
    items = {entry.item for entry in at.context}
    return [one for one in at.summaries if SummaryItem(id=one.id) in items]


def _condensable(at: Conversation) -> list[Placed]:
    """Return the oldest summaries of one depth that stand side by side and are enough, or none."""
    depths: dict[Item, int] = {SummaryItem(id=one.id): one.depth for one in at.summaries}
    for depth, group in groupby(at.context, key=lambda entry: depths.get(entry.item)):
        run = list(group)
        if depth is not None and len(run) >= CONDENSED:
            return run[:CONDENSED]
    return []


def _stale(at: Conversation, summary: SummaryId) -> Iterator[Event]:
    """Yield events of a caller whose reading of the context is out of date."""
    raw = [entry for entry in at.context if isinstance(entry.item, MessageItem)]
    named = Replace(conversation=CONVERSATION, summary=summary, text="out of date", items=())
    for covering in at.summaries[-1:]:
        yield replace(named, items=covering.sources)
    for entry in raw[-1:]:
        yield replace(named, items=(entry.item,), first=Ordinal(entry.ordinal + 1))
    if len(raw) > 2:  # noqa: PLR2004 - the least list that has a hole
        yield replace(named, items=(raw[0].item, raw[-1].item))
    covered = {item for one in at.summaries for item in one.sources}
    for one in [one for one in at.summaries if SummaryItem(id=one.id) in covered][-1:]:
        yield RollBack(conversation=CONVERSATION, summary=one.id)


def _forgets_standing(at: Conversation) -> Iterator[Event]:
    yield from _forgets(entry.item for entry in at.context)


def _forgets_covered(at: Conversation) -> Iterator[Event]:
    yield from _forgets(item for one in at.summaries for item in one.sources)


def _forgets(items: Iterable[Item]) -> Iterator[Event]:
    for item in items:
        if isinstance(item, MessageItem):
            yield Forget(conversation=CONVERSATION, messages=(item.id,))
