"""The clauses of tokens, each as a predicate that names its witness.

Chapter ``spec/tokens.md``, "Clauses".
"""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise

from plumbline_models import ordinals
from plumbline_models.contract import Clause, SometimesClause, StateClause, StepClause, Witness
from plumbline_models.decisions.counting import Doubt, Measure, estimate, least, most
from plumbline_models.decisions.limits import Regime
from plumbline_models.lifting import Seen, lifted
from plumbline_models.ordinals.clauses import clauses as clauses_of_ordinals
from plumbline_models.ordinals.clauses import label
from plumbline_models.ordinals.queries import find
from plumbline_models.ordinals.transitions import step as step_of_ordinals
from plumbline_models.ordinals.values import (
    Conversation,
    Item,
    MessageItem,
    SummaryItem,
)
from plumbline_models.tokens.queries import counts_of, ledger_of, plain, standing, texts_of
from plumbline_models.tokens.values import (
    Append,
    Event,
    Ledger,
    Outcome,
    Posted,
    Refused,
    Replace,
    State,
    Weigh,
    Weighed,
)

Estimate = Callable[[str], int]


def by_code_points(text: str) -> int:
    """Return the specification's estimate of a text, in tokens."""
    return estimate(Measure.CODE_POINTS, text)


def clauses(measured: Estimate = by_code_points) -> tuple[Clause[State, Event, Outcome], ...]:
    """Return the clauses of tokens and those of ordinals, for a machine that estimates so."""
    own: tuple[Clause[State, Event, Outcome], ...] = (
        *_about_states(measured),
        *_about_steps(),
        *_about_reach(),
    )
    return (*own, *lifted(_OF_ORDINALS, AS_ORDINALS))


def _about_states(measured: Estimate) -> tuple[StateClause[State], ...]:
    return (
        StateClause(
            id="TOK-1",
            title="total",
            sentence="The total of a conversation MUST be the sum of the stored counts of the items"
            " in its context.",
            witnesses=_each(_total),
        ),
        StateClause(
            id="TOK-2",
            title="one count",
            sentence="Every conversation MUST have a ledger, every stored message and every stored"
            " summary exactly one count in it, and nothing else MUST have one.",
            witnesses=_counted_once,
        ),
        StateClause(
            id="TOK-3",
            title="not negative",
            sentence="A count and a total MUST NOT be negative.",
            witnesses=_each(_not_negative),
        ),
        StateClause(
            id="TOK-4",
            title="content counts",
            sentence="The count of a text that is not empty MUST NOT be zero.",
            witnesses=_each(_content_counts),
        ),
        StateClause(
            id="TOK-5",
            title="plausible",
            sentence="A positive count MUST be at least a token for every 128 code points begun of"
            " its text, and at most four for each code point and 64 more.",
            witnesses=_each(_plausible),
        ),
        StateClause(
            id="TOK-6",
            title="parts",
            sentence="The estimate of two texts joined MUST NOT be more than the estimates of both"
            " together.",
            witnesses=_each(lambda at, ledger: _parts(measured, at, ledger)),
        ),
    )


def _about_steps() -> tuple[StepClause[State, Event, Outcome], ...]:
    return (
        StepClause(
            id="TOK-7",
            title="delta",
            sentence="The total after an event MUST be the total before it, less the stored counts"
            " of the items that left the context, plus those of the items that came into it, and"
            " the outcome MUST say these four numbers.",
            outcomes=(Posted,),
            breaks=_delta,
        ),
        StepClause(
            id="TOK-8",
            title="as given",
            sentence="A count that is believed MUST be stored as it was given.",
            events=(Append, Replace),
            outcomes=(Posted,),
            breaks=_as_given,
        ),
        StepClause(
            id="TOK-9",
            title="whole",
            sentence="Where no count is given, or zero is given for content, the stored count MUST"
            " be the estimate of the whole stored text, headers, ids and notes included.",
            events=(Append, Replace),
            outcomes=(Posted,),
            breaks=_whole,
        ),
        StepClause(
            id="TOK-10",
            title="doubt",
            sentence="A count that is negative, or absurd for its text, MUST be refused as such,"
            " naming the first such text, and no other count is.",
            events=(Append, Replace),
            breaks=_doubt,
            inert=True,
        ),
        StepClause(
            id="TOK-11",
            title="counts stay",
            sentence="A stored count MUST stay as it is while its item is stored.",
            breaks=_counts_stay,
        ),
        StepClause(
            id="TOK-12",
            title="isolation",
            sentence="An event MUST NOT change the ledger of any conversation but the one it"
            " names.",
            breaks=_isolation,
        ),
        StepClause(
            id="TOK-13",
            title="reading",
            sentence="Weighing and a refusal MUST leave the state as it was.",
            outcomes=(Weighed, Refused, ordinals.Refused),
            breaks=_reading,
            inert=True,
        ),
        StepClause(
            id="TOK-14",
            title="read total",
            sentence="The total that a decision reads MUST be the total that is stored.",
            outcomes=(Weighed,),
            breaks=_read_total,
            inert=True,
        ),
        StepClause(
            id="TOK-15",
            title="observed",
            sentence="The size that is compared MUST be the greater of the total and what the host"
            " observed, and never their sum.",
            outcomes=(Weighed,),
            breaks=_observed,
            inert=True,
        ),
        StepClause(
            id="TOK-16",
            title="room",
            sentence="The hard threshold MUST be the window less the overhead and the reserve, and"
            " the soft one the soft share of the window less the overhead and not above the hard"
            " one; neither is negative.",
            outcomes=(Weighed,),
            breaks=_room,
            inert=True,
        ),
        StepClause(
            id="TOK-17",
            title="edge",
            sentence="A size that equals a threshold MUST be in the regime below it.",
            outcomes=(Weighed,),
            breaks=_edge,
            inert=True,
        ),
    )


def _about_reach() -> tuple[SometimesClause[State, Event, Outcome], ...]:
    return (
        SometimesClause(
            id="TOK-18",
            title="soft edge",
            sentence="Sometimes a size that is not zero equals the soft threshold and not the hard"
            " one.",
            reached=lambda _before, _event, outcome, _after: (
                isinstance(outcome, Weighed) and 0 < outcome.size == outcome.soft < outcome.hard
            ),
        ),
        SometimesClause(
            id="TOK-19",
            title="hard edge",
            sentence="Sometimes a size that is not zero equals the hard threshold and not the soft"
            " one.",
            reached=lambda _before, _event, outcome, _after: (
                isinstance(outcome, Weighed) and outcome.soft < outcome.size == outcome.hard
            ),
        ),
        SometimesClause(
            id="TOK-20",
            title="growth",
            sentence="Sometimes a replacement makes the total greater.",
            reached=lambda _before, event, outcome, _after: (
                isinstance(event, Replace)
                and isinstance(outcome, Posted)
                and outcome.after > outcome.before
            ),
        ),
        SometimesClause(
            id="TOK-21",
            title="beyond ASCII",
            sentence="Sometimes a count is estimated for a text that is not ASCII.",
            reached=_beyond_ascii,
        ),
        SometimesClause(
            id="TOK-22",
            title="other ledger",
            sentence="Sometimes an event moves a total beside another that is not zero.",
            reached=_other_ledger,
        ),
    )


def _stepped(
    state: ordinals.State, event: ordinals.Event
) -> tuple[ordinals.State, ordinals.Outcome]:
    return step_of_ordinals(ordinals.SPEC, state, event)


_OF_ORDINALS = clauses_of_ordinals(_stepped)


def contained(
    before: State, event: Event, outcome: Outcome, after: State
) -> tuple[ordinals.Event, ordinals.Outcome] | None:
    """Return the event of ordinals in a step of tokens, and what came of it; None without one."""
    del before, after
    listed = plain(event)
    if listed is None or isinstance(outcome, Weighed | Refused):
        return None
    return listed, outcome.outcome if isinstance(outcome, Posted) else outcome


AS_ORDINALS: Seen[State, Event, Outcome, ordinals.State, ordinals.Event, ordinals.Outcome] = Seen(
    state=lambda state: state.lists,
    step=contained,
    events={
        ordinals.Open: (ordinals.Open,),
        ordinals.Append: (Append,),
        ordinals.Replace: (Replace,),
        ordinals.RollBack: (ordinals.RollBack,),
        ordinals.Prune: (ordinals.Prune,),
        ordinals.Forget: (ordinals.Forget,),
    },
    outcomes={
        ordinals.Refused: (ordinals.Refused,),
        ordinals.Failed: (ordinals.Failed,),
        ordinals.Opened: (Posted,),
        ordinals.Appended: (Posted,),
        ordinals.Replaced: (Posted,),
        ordinals.RolledBack: (Posted,),
        ordinals.Pruned: (Posted,),
        ordinals.Forgotten: (Posted,),
    },
)
"""How tokens is seen as ordinals."""


def _each(
    about: Callable[[Conversation, Ledger], Iterator[Witness]],
) -> Callable[[State], Iterator[Witness]]:
    """Lift a predicate about one conversation and its ledger to states."""

    def over(state: State) -> Iterator[Witness]:
        for at in state.lists.conversations:
            yield from about(at, ledger_of(state, at.id))

    return over


def _witness(ledger: Ledger, table: str, row: str, found: str) -> Witness:
    return Witness(table=table, row=f"conversation {ledger.conversation}, {row}", found=found)


def _table(item: Item) -> str:
    return "messages" if isinstance(item, MessageItem) else "summaries"


def _total(at: Conversation, ledger: Ledger) -> Iterator[Witness]:
    counts = counts_of(ledger)
    found = sum(counts.get(item, 0) for item in standing(at))
    if ledger.total != found:
        yield _witness(
            ledger, "conversations", "total", f"{ledger.total} stored, the counts make {found}"
        )


def _counted_once(state: State) -> Iterator[Witness]:
    kept = {ledger.conversation for ledger in state.ledgers}
    for at in state.lists.conversations:
        if at.id not in kept:
            yield Witness(table="conversations", row=f"conversation {at.id}", found="has no ledger")
    yield from _each(_one_count)(state)


def _one_count(at: Conversation, ledger: Ledger) -> Iterator[Witness]:
    stored = texts_of(at)
    counted = Counter(count.item for count in ledger.counts)
    for item in stored:
        if item not in counted:
            yield _witness(ledger, _table(item), label(item), "has no count")
    for item, times in counted.items():
        if item not in stored:
            yield _witness(ledger, _table(item), label(item), "has a count and is not stored")
        elif times > 1:
            yield _witness(ledger, _table(item), label(item), f"has {times} counts")


def _not_negative(at: Conversation, ledger: Ledger) -> Iterator[Witness]:
    del at
    if ledger.total < 0:
        yield _witness(ledger, "conversations", "total", f"is {ledger.total}")
    for count in ledger.counts:
        if count.tokens < 0:
            yield _witness(ledger, _table(count.item), label(count.item), f"count {count.tokens}")


def _content_counts(at: Conversation, ledger: Ledger) -> Iterator[Witness]:
    texts = texts_of(at)
    for count in ledger.counts:
        if count.tokens == 0 and texts.get(count.item):
            length = len(texts[count.item])
            yield _witness(
                ledger,
                _table(count.item),
                label(count.item),
                f"count 0 for {length} code points",
            )


def _plausible(at: Conversation, ledger: Ledger) -> Iterator[Witness]:
    texts = texts_of(at)
    for count in ledger.counts:
        text = texts.get(count.item)
        if text is not None and count.tokens > 0 and not least(text) <= count.tokens <= most(text):
            yield _witness(
                ledger,
                _table(count.item),
                label(count.item),
                f"count {count.tokens} for {len(text)} code points,"
                f" {least(text)} to {most(text)} believed",
            )


def _parts(measured: Estimate, at: Conversation, ledger: Ledger) -> Iterator[Witness]:
    """Compare for neighbours in the context: every pair of texts becomes neighbours somewhere."""
    texts = texts_of(at)
    for one, other in pairwise(standing(at)):
        first, second = texts.get(one, ""), texts.get(other, "")
        whole, parts = measured(first + second), measured(first) + measured(second)
        if whole > parts:
            yield _witness(
                ledger,
                "context",
                f"{label(one)} and {label(other)}",
                f"estimated {whole} together and {parts} apart",
            )


def _delta(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    assert isinstance(outcome, Posted)
    was, now = ledger_of(before, event.conversation), ledger_of(after, event.conversation)
    counts = counts_of(was) | counts_of(now)
    old = standing(find(before.lists, event.conversation))
    new = standing(find(after.lists, event.conversation))
    removed = sum(counts.get(item, 0) for item in old if item not in new)
    added = sum(counts.get(item, 0) for item in new if item not in old)
    expected = (was.total, removed, added, was.total - removed + added)
    said = (outcome.before, outcome.removed, outcome.added, outcome.after)
    if said != expected:
        return _witness(now, "conversations", "total", f"{_sum(*said)}, expected {_sum(*expected)}")
    if now.total != outcome.after:
        return _witness(
            now, "conversations", "total", f"{now.total} stored, {outcome.after} reported"
        )
    return None


def _sum(before: int, removed: int, added: int, after: int) -> str:
    return f"{before} - {removed} + {added} = {after}"


def _brought(event: Event) -> list[tuple[Item, str, int | None]]:
    """Return what an event brings: items, their texts, and the counts given."""
    if isinstance(event, Append):
        return [(MessageItem(id=one.id), one.text, one.tokens) for one in event.messages]
    assert isinstance(event, Replace)
    return [(SummaryItem(id=event.summary), event.text, event.tokens)]


def _believed(text: str, given: int) -> bool:
    if not text:
        return 0 <= given <= most(text)
    return least(text) <= given <= most(text)


def _as_given(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del before, outcome
    ledger = ledger_of(after, event.conversation)
    counts = counts_of(ledger)
    for item, text, given in _brought(event):
        stored = counts.get(item)
        if given and _believed(text, given) and stored != given:
            return _witness(ledger, _table(item), label(item), f"count {stored}, {given} given")
    return None


def _whole(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del before, outcome
    ledger = ledger_of(after, event.conversation)
    counts = counts_of(ledger)
    for item, text, given in _brought(event):
        stored, whole = counts.get(item), by_code_points(text)
        if not given and stored != whole:
            return _witness(ledger, _table(item), label(item), f"count {stored}, estimated {whole}")
    return None


def _doubt(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del after
    ledger = ledger_of(before, event.conversation)
    doubted = [
        (index, item, given)
        for index, (item, text, given) in enumerate(_brought(event))
        if given and not _believed(text, given)
    ]
    index, item, given = doubted[0] if doubted else (None, None, 0)
    named = (outcome.index, outcome.reason) if isinstance(outcome, Refused) else (None, None)
    reason = Doubt.NEGATIVE_COUNT if given < 0 else Doubt.ABSURD_COUNT
    if named == (index, None if index is None else reason):
        return None
    row = "counts" if item is None else label(item)
    return _witness(ledger, "", row, f"{given} given, {_said(outcome)}, not number {index}")


def _said(outcome: Outcome) -> str:
    if not isinstance(outcome, Refused):
        return "not refused"
    return f"number {outcome.index} refused as {outcome.reason.value}"


def _counts_stay(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del outcome
    was, now = ledger_of(before, event.conversation), ledger_of(after, event.conversation)
    if was.counts is now.counts:
        return None
    then = find(after.lists, event.conversation)
    kept = counts_of(now)
    stored = {} if then is None else texts_of(then)
    for count in was.counts:
        if count.item in stored and kept.get(count.item) != count.tokens:
            return _witness(
                now,
                _table(count.item),
                label(count.item),
                f"count {kept.get(count.item)}, {count.tokens} before",
            )
    return None


def _isolation(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del outcome
    was = [one for one in before.ledgers if one.conversation != event.conversation]
    now = [one for one in after.ledgers if one.conversation != event.conversation]
    if was == now:
        return None
    for one, other in zip(was, now, strict=False):
        if one != other:
            return _witness(
                one,
                "conversations",
                "ledger",
                "was changed by an event of another conversation",
            )
    return Witness(row="other ledgers", found=f"{len(was)} before, {len(now)} after")


def _reading(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    if after is before or after == before:
        return None
    said = "weighed" if isinstance(event, Weigh) else "refused"
    del outcome
    return Witness(
        row=f"conversation {event.conversation}", found=f"changed although it was {said}"
    )


def _decided(event: Event, found: str) -> Witness:
    return Witness(
        table="conversations", row=f"conversation {event.conversation}, total", found=found
    )


def _read_total(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del after
    assert isinstance(outcome, Weighed)
    stored = ledger_of(before, event.conversation).total
    if outcome.total == stored:
        return None
    return _decided(event, f"{outcome.total} read, {stored} stored")


def _observed(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del before, after
    assert isinstance(outcome, Weighed)
    assert isinstance(event, Weigh)
    sizes = [outcome.total] if event.observed is None else [outcome.total, event.observed]
    if outcome.size == max(sizes):
        return None
    return _decided(event, f"{outcome.size} compared, of {' and '.join(map(str, sizes))}")


def _room(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del before, after
    assert isinstance(outcome, Weighed)
    assert isinstance(event, Weigh)
    limits = event.limits
    left = limits.window - limits.overhead - limits.reserve
    share = limits.window * limits.soft_percent // 100 - limits.overhead
    if outcome.hard == max(0, left) and outcome.soft == min(max(0, share), outcome.hard):
        return None
    return _decided(
        event,
        f"thresholds {outcome.soft} and {outcome.hard}, a share of {share} and room for {left}",
    )


def _edge(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del before, after
    assert isinstance(outcome, Weighed)
    expected = Regime.WITHIN
    if outcome.size > outcome.soft:
        expected = Regime.SOFT
    if outcome.size > outcome.hard:
        expected = Regime.HARD
    if outcome.regime is expected:
        return None
    return _decided(
        event,
        f"{outcome.size} with thresholds {outcome.soft} and {outcome.hard}"
        f" is {outcome.regime.value} and not {expected.value}",
    )


def _beyond_ascii(before: State, event: Event, outcome: Outcome, after: State) -> bool:
    del before, after
    if not isinstance(outcome, Posted) or not isinstance(event, Append | Replace):
        return False
    return any(given is None and not text.isascii() for _, text, given in _brought(event))


def _other_ledger(before: State, event: Event, outcome: Outcome, after: State) -> bool:
    del after
    if not isinstance(outcome, Posted) or outcome.before == outcome.after:
        return False
    return any(one.total and one.conversation != event.conversation for one in before.ledgers)
