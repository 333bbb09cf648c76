"""The clauses of compaction about states and about commits, and those of intake.

Chapter ``spec/compaction.md``, "Clauses". Those about sweeps are in ``clauses_of_sweeps``, those
about what is reached in ``reaching``.
"""

from collections import Counter
from collections.abc import Callable, Iterator

from plumbline_models import intake, ordinals, tokens
from plumbline_models.compaction import selection
from plumbline_models.compaction.clauses_of_sweeps import about_names, about_sweeps
from plumbline_models.compaction.extents import extent_of, source
from plumbline_models.compaction.passes import budget_of, threshold
from plumbline_models.compaction.reaching import about_reach
from plumbline_models.compaction.replaying import (
    here_of,
    interference_of,
    passes_of,
    replacements,
    replayed,
)
from plumbline_models.compaction.selection import Chunk, entries_of
from plumbline_models.compaction.values import (
    SPEC,
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
    Pass,
    Reason,
    Refused,
    Select,
    Selected,
    Settings,
    State,
    Sweep,
    SweepUntil,
    Swept,
)
from plumbline_models.contract import Clause, StateClause, StepClause, Witness
from plumbline_models.decisions.escalation import Level, Text, Unauthenticated, fallback, measured
from plumbline_models.decisions.sources import files_in
from plumbline_models.intake.clauses import clauses as clauses_of_intake
from plumbline_models.lifting import Seen, lifted
from plumbline_models.ordinals.clauses import label
from plumbline_models.ordinals.queries import find, summary_of
from plumbline_models.ordinals.values import (
    Conversation,
    ConversationId,
    Item,
    Summary,
    SummaryItem,
)
from plumbline_models.tokens.queries import counts_of, ledger_of, texts_of

Step = Callable[[State, Event], tuple[State, Outcome]]
Made = Committed | Swept


def clauses(one_step: Step) -> tuple[Clause[State, Event, Outcome], ...]:
    """Return the clauses of compaction and of what it stands on, for a machine that steps so."""
    own: tuple[Clause[State, Event, Outcome], ...] = (
        *_about_states(),
        *_about_passes(),
        *_about_commits(),
        *_about_readings(),
        *about_sweeps(one_step),
        *about_reach(),
        *about_names(),
    )
    return (*own, *lifted(clauses_of_intake(), AS_INTAKE))


def _about_states() -> tuple[StateClause[State], ...]:
    return (
        StateClause(
            id="CMP-1",
            title="one extent",
            sentence="Every stored summary MUST have exactly one extent, and nothing else MUST"
            " have one.",
            witnesses=_one_extent,
        ),
        StateClause(
            id="CMP-2",
            title="below",
            sentence="The extent of a summary MUST say how many summaries it covers at every depth,"
            " and what these and the messages that it covers count.",
            witnesses=_each(_counted_below),
        ),
        StateClause(
            id="CMP-3",
            title="times",
            sentence="The extent of a summary MUST say the first and the last time that a message"
            " has which it covers.",
            witnesses=_each(_times),
        ),
        StateClause(
            id="CMP-4",
            title="files",
            sentence="The extent of a summary MUST name the files that its sources name and those"
            " of the extents of its sources, each once, in order.",
            witnesses=_each(_files),
        ),
    )


def _about_passes() -> tuple[StepClause[State, Event, Outcome], ...]:
    return (
        StepClause(
            id="CMP-5",
            title="shorter",
            sentence="A pass MUST put fewer tokens into the context than it takes out of it, and a"
            " wrap MUST NOT put in more.",
            outcomes=(Committed, Swept),
            breaks=_shorter,
        ),
        StepClause(
            id="CMP-6",
            title="record",
            sentence="The record of a pass MUST say what stands in its place, what it replaced, and"
            " the stored counts and totals.",
            outcomes=(Committed, Swept),
            breaks=_recorded,
        ),
        StepClause(
            id="CMP-7",
            title="exactly its passes",
            sentence="Compaction MUST leave the state that its recorded passes leave when they are"
            " made one after the other as replacements of tokens, with what others did between"
            " them, and change nothing else.",
            outcomes=(Committed, Swept),
            breaks=_exactly,
        ),
        StepClause(
            id="CMP-8",
            title="newest user",
            sentence="Compaction MUST NOT replace the newest message of a user, nor anything behind"
            " it, whatever the settings are.",
            outcomes=(Committed, Swept),
            breaks=_newest_user,
        ),
        StepClause(
            id="CMP-9",
            title="fresh tail",
            sentence="Compaction MUST NOT replace an entry of the fresh tail that the settings of"
            " the event ask for.",
            outcomes=(Committed, Swept),
            breaks=_fresh_tail,
        ),
        StepClause(
            id="CMP-10",
            title="calls",
            sentence="A pass MUST make one call for a summary of the normal level, two for one of"
            " the aggressive level, at most two before a fallback, and none for a wrap or a last"
            " resort.",
            outcomes=(Committed, Swept),
            breaks=_calls,
        ),
        StepClause(
            id="CMP-11",
            title="fallback",
            sentence="The text of a fallback MUST be what follows from the stored sources alone,"
            " and not from an answer.",
            outcomes=(Committed, Swept),
            breaks=_fallback,
        ),
        StepClause(
            id="CMP-12",
            title="limit",
            sentence="A text that a summariser answered MUST NOT count more than the limit that"
            " follows from its target.",
            outcomes=(Committed, Swept),
            breaks=_limit,
        ),
    )


def _about_commits() -> tuple[StepClause[State, Event, Outcome], ...]:
    return (
        StepClause(
            id="CMP-13",
            title="stale",
            sentence="A commit whose items do not stand in the context in that order and side by"
            " side MUST be refused as stale, and no other commit is.",
            events=(Commit,),
            breaks=_stale,
            inert=True,
        ),
        StepClause(
            id="CMP-14",
            title="as answered",
            sentence="A commit that is refused for an answer MUST have been answered so, and one"
            " that takes an answer MUST take the first that is shorter than what it stands for.",
            events=(Commit,),
            breaks=_as_answered,
            inert=True,
        ),
        StepClause(
            id="CMP-15",
            title="nothing is left",
            sentence="A refusal and a reading MUST leave the state as it was: what was not"
            " committed leaves no row.",
            outcomes=(
                Refused,
                Evaluated,
                Selected,
                Idle,
                intake.Refused,
                tokens.Refused,
                ordinals.Refused,
            ),
            breaks=_nothing_left,
            inert=True,
        ),
    )


def _about_readings() -> tuple[StepClause[State, Event, Outcome], ...]:
    return (
        StepClause(
            id="CMP-16",
            title="evaluation",
            sentence="An evaluation MUST compare the greater of the stored total and what the host"
            " observed with the threshold, and compacting is due above it.",
            events=(Evaluate,),
            outcomes=(Evaluated,),
            breaks=_evaluated,
            inert=True,
        ),
        StepClause(
            id="CMP-17",
            title="selection",
            sentence="A selection MUST be the oldest chunk that is fit: of messages, or of the"
            " shallowest depth that has one; and there is none only when no run has one.",
            events=(Select,),
            outcomes=(Selected, Idle),
            breaks=_selection,
            inert=True,
        ),
    )


def _witness(conversation: ConversationId, row: str, found: str, table: str = "") -> Witness:
    return Witness(table=table, row=f"conversation {conversation}, {row}", found=found)


def _one_extent(state: State) -> Iterator[Witness]:
    stored = [
        (at.id, one.id) for at in state.taken.ledger.lists.conversations for one in at.summaries
    ]
    known = Counter(one.summary for one in state.extents)
    for conversation, summary in stored:
        if known[summary] != 1:
            yield _witness(
                conversation, f"summary {summary}", f"has {known[summary]} extents", "summaries"
            )
    for summary in known.keys() - {one for _, one in stored}:
        yield Witness(
            table="extents", row=f"summary {summary}", found="has an extent and is not stored"
        )


def _each(
    about: Callable[[State, Conversation, Summary, Extent], Iterator[tuple[str, object, object]]],
) -> Callable[[State], Iterator[Witness]]:
    """Lift a predicate about one extent to states; it yields fields that are not as expected."""

    def over(state: State) -> Iterator[Witness]:
        extents = {one.summary: one for one in state.extents}
        for at in state.taken.ledger.lists.conversations:
            for summary in at.summaries:
                if summary.id in extents:
                    for field, said, expected in about(state, at, summary, extents[summary.id]):
                        yield _witness(
                            at.id,
                            f"summary {summary.id}",
                            f"{field} {said}, expected {expected}",
                            "extents",
                        )

    return over


def _counted_below(
    state: State, at: Conversation, summary: Summary, extent: Extent
) -> Iterator[tuple[str, object, object]]:
    expected = extent_of(state, at, summary)
    for field in ("descendants", "descendant_tokens", "source_tokens"):
        said, right = getattr(extent, field), getattr(expected, field)
        if said != right:
            yield field, said, right


def _times(
    state: State, at: Conversation, summary: Summary, extent: Extent
) -> Iterator[tuple[str, object, object]]:
    expected = extent_of(state, at, summary)
    if extent.earliest != expected.earliest:
        yield "earliest", extent.earliest, expected.earliest
    if extent.latest != expected.latest:
        yield "latest", extent.latest, expected.latest


def _files(
    state: State, at: Conversation, summary: Summary, extent: Extent
) -> Iterator[tuple[str, object, object]]:
    texts = texts_of(at)
    extents = {one.summary: one for one in state.extents}
    expected: list[str] = []
    for item in summary.sources:
        if isinstance(item, SummaryItem) and item.id in extents:
            expected += extents[item.id].files
        expected += files_in(texts.get(item, ""))
    if extent.files != tuple(dict.fromkeys(expected)):
        yield "files", ", ".join(extent.files) or "none", ", ".join(dict.fromkeys(expected))


# Passes


def settings_of(event: Event) -> Settings:
    """Return the settings that came with an event of compaction."""
    assert isinstance(event, Commit | CompactLeaf | Sweep | SweepUntil)
    return event.settings


def _shorter(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del before, after
    for one in passes_of(outcome):
        allowed = one.removed if one.kind is Kind.WRAP else one.removed - 1
        if one.added > allowed:
            return _witness(
                here_of(event),
                f"summary {one.summary}",
                f"counts {one.added} tokens in the place of {one.removed}",
            )
    return None


def _recorded(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    if interference_of(event, outcome):
        made = replayed(before, event, outcome, after) or ()
        for one in made:
            total = ledger_of(one.before.taken.ledger, here_of(event)).total
            if found := _recorded_as(event, one.record, one.after, total):
                return found
        return None
    total = ledger_of(before.taken.ledger, here_of(event)).total
    for record in passes_of(outcome):
        if found := _recorded_as(event, record, after, total):
            return found
        total = record.after
    if total != ledger_of(after.taken.ledger, here_of(event)).total:
        return _witness(here_of(event), "total", f"is not {total}, as the last record says")
    return None


def _recorded_as(event: Event, one: Pass, after: State, total: int) -> Witness | None:
    """Compare a record with what is stored, and with the total before it."""
    here, row = here_of(event), f"summary {one.summary}"
    at = find(after.taken.ledger.lists, here)
    assert at is not None
    stored = summary_of(at, one.summary)
    if stored is None or stored.sources != one.sources:
        return _witness(here, row, "is not stored with the sources that its record names")
    counts = counts_of(ledger_of(after.taken.ledger, here))
    removed = sum(counts.get(item, 0) for item in one.sources)
    added = counts.get(SummaryItem(id=one.summary), 0)
    said = (one.before, one.removed, one.added, one.after)
    expected = (total, removed, added, total - removed + added)
    if said != expected:
        return _witness(here, row, f"recorded as {said}, the ledger makes {expected}")
    return None


def _exactly(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    if replayed(before, event, outcome, after) is None:
        return _witness(here_of(event), "context", "is not what the recorded passes leave")
    return None


def _replacing(
    before: State, event: Event, outcome: Outcome, after: State
) -> Iterator[tuple[State, set[Item]]]:
    """Yield states and what was replaced of them.

    One is enough while nobody interferes and the tail is so many messages: no pass moves it then.
    """
    if interference_of(event, outcome) or settings_of(event).fresh_tail_tokens is not None:
        for one in replayed(before, event, outcome, after) or ():
            yield one.before, set(one.record.sources)
    else:
        yield before, {item for one in passes_of(outcome) for item in one.sources}


def _newest_user(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    for state, replaced in _replacing(before, event, outcome, after):
        entries = entries_of(state, here_of(event))
        users = [index for index, one in enumerate(entries) if one.user]
        behind = entries[users[-1] :] if users else ()
        why = "stands at or behind the newest message of a user"
        if found := _taken(event, replaced, behind, why):
            return found
    return None


def _fresh_tail(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    for state, replaced in _replacing(before, event, outcome, after):
        entries = entries_of(state, here_of(event))
        tail = _tail(entries, settings_of(event))
        behind = entries[entries.index(tail[-1]) :] if tail else ()
        if found := _taken(event, replaced, behind, "belongs to the fresh tail"):
            return found
    return None


def _tail(entries: Chunk, settings: Settings) -> list[selection.Entry]:
    """Return the messages of the fresh tail, the newest first."""
    messages = [one for one in entries if one.depth is None]
    tail: list[selection.Entry] = []
    for one in reversed(messages):
        room = settings.fresh_tail_tokens
        many = len(tail) >= settings.fresh_tail
        much = room is not None and tail and selection.tokens_in([*tail, one]) > room
        if many or much:
            break
        tail.append(one)
    return tail


def _taken(event: Event, replaced: set[Item], protected: Chunk, why: str) -> Witness | None:
    for one in protected:
        if one.item in replaced:
            return _witness(here_of(event), label(one.item), f"was replaced and {why}")
    return None


def _calls(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del before, after
    for one in passes_of(outcome):
        if one.kind in {Kind.WRAP, Kind.PREFIX}:
            allowed = {0}
        else:
            allowed = {Level.NORMAL: {1}, Level.AGGRESSIVE: {2}, Level.FALLBACK: {1, 2}}[one.level]
        if one.calls not in allowed:
            return _witness(
                here_of(event),
                f"summary {one.summary}",
                f"of the level {one.level.value} took {one.calls} calls",
            )
    return None


def _fallback(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del before
    here = here_of(event)
    at = find(after.taken.ledger.lists, here)
    assert at is not None
    for one in passes_of(outcome):
        if one.level is not Level.FALLBACK:
            continue
        room = one.removed + 1 if one.kind is Kind.WRAP else one.removed
        budget = budget_of(settings_of(event), condense=False)
        expected = fallback(source(after, at, one.sources), room, budget)
        stored = summary_of(at, one.summary)
        if stored is not None and stored.text != expected:
            return _witness(here, f"summary {one.summary}", "is not its sources, cut", "summaries")
    return None


def _limit(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del before, after
    for one in passes_of(outcome):
        budget = budget_of(settings_of(event), condense=one.kind is Kind.CONDENSED)
        if one.level is not Level.FALLBACK and one.added > budget.limit:
            return _witness(
                here_of(event),
                f"summary {one.summary}",
                f"counts {one.added} tokens and its limit is {budget.limit}",
            )
    return None


# Commits


def _stale(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del after
    assert isinstance(event, Commit)
    at = find(before.taken.ledger.lists, event.conversation)
    if at is None or not event.items:
        return None
    every = [entry.item for entry in at.context]
    stands = any(
        tuple(every[first : first + len(event.items)]) == event.items for first in range(len(every))
    )
    refused = outcome == Refused(reason=Reason.STALE)
    if stands == refused:
        found = "refused as stale" if refused else "not refused"
        says = "stand there" if stands else "do not stand there so"
        return _witness(event.conversation, "items", f"{says}, and the commit was {found}")
    return None


def _as_answered(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del before
    assert isinstance(event, Commit)
    here = event.conversation
    if isinstance(outcome, Refused) and outcome.reason in _FOR_AN_ANSWER:
        wanted = outcome.reason is Reason.AUTHENTICATION
        answered = any(isinstance(one, Unauthenticated) for one in event.answers)
        if wanted and not answered:
            return _witness(here, "commit", f"refused ({outcome.reason.value}) without such")
        return None
    if not isinstance(outcome, Committed) or outcome.record.level is Level.FALLBACK:
        return None
    record = outcome.record
    number = 0 if record.level is Level.NORMAL else 1
    at = find(after.taken.ledger.lists, here)
    stored = None if at is None else summary_of(at, record.summary)
    texts = [one.text.strip() if isinstance(one, Text) else "" for one in event.answers]
    if len(texts) <= number or stored is None:
        return _witness(here, f"summary {record.summary}", "takes an answer that was not given")
    if not texts[number].startswith(stored.text.removesuffix("…")) or not texts[number]:
        return _witness(here, f"summary {record.summary}", "is not what was answered")
    earlier = [text for text in texts[:number] if text and measured(text) < record.removed]
    if earlier:
        return _witness(here, f"summary {record.summary}", "passes over an answer that is shorter")
    return None


_FOR_AN_ANSWER = {Reason.AUTHENTICATION, Reason.SUMMARISER_ERROR}


def _nothing_left(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    if before != after:
        return Witness(
            row=type(event).__name__, found=f"{type(outcome).__name__}, and the state is another"
        )
    return None


# Readings


def _evaluated(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del after
    assert isinstance(event, Evaluate)
    assert isinstance(outcome, Evaluated)
    total = ledger_of(before.taken.ledger, event.conversation).total
    size = max(total, event.observed or 0)
    limit = threshold(event.settings, event.budget)
    said = (outcome.total, outcome.size, outcome.threshold, outcome.compact)
    expected = (total, size, limit, size > limit)
    if said != expected:
        return _witness(event.conversation, "evaluation", f"{said}, expected {expected}")
    return None


def _selection(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del after
    assert isinstance(event, Select)
    fit = next(_every_fit(entries_of(before, event.conversation), event), ())
    expected = tuple(one.item for one in fit)
    items = outcome.items if isinstance(outcome, Selected) else ()
    if items != expected:
        said, right = (", ".join(map(label, one)) or "nothing" for one in (items, expected))
        return _witness(event.conversation, "selection", f"{said}, expected {right}")
    return None


def _every_fit(entries: Chunk, event: Select) -> Iterator[Chunk]:
    """Yield every chunk that is fit, the one to select first."""
    settings = event.settings
    before = entries[: selection.boundary(SPEC, entries, settings)]
    known = sorted({one.depth for one in before if one.depth is not None})
    for depth in known if event.condense else (None,):
        for run in selection.runs(before, depth):
            for chunk in selection.chunks(run, settings.leaf_chunk):
                if selection.is_fit(SPEC, chunk) and _is_enough(event, chunk, depth):
                    yield chunk


def _is_enough(event: Select, chunk: Chunk, depth: int | None) -> bool:
    if depth is None:
        return True
    usual = selection.usual_fanout(event.settings, depth)
    fanout = event.settings.hard_fanout if event.hard else usual
    least = selection.least_condensed(event.settings)
    return len(chunk) >= fanout and selection.tokens_in(chunk) >= least


# What it stands on


def contained(
    before: State, event: Event, outcome: Outcome, after: State
) -> tuple[intake.Event, intake.Outcome] | None:
    """Return the one event of intake in a step of compaction, and its outcome; None otherwise."""
    del before
    if isinstance(event, Evaluate | Select | CompactLeaf | Sweep | SweepUntil):
        return None
    if not isinstance(event, Commit):
        return None if isinstance(outcome, _OWN) else (event, outcome)
    if not isinstance(outcome, Committed):
        return None
    record = outcome.record
    (made,) = replacements(event, outcome, after)
    at = find(after.taken.ledger.lists, event.conversation)
    stored = None if at is None else summary_of(at, record.summary)
    posted = tokens.Posted(
        outcome=ordinals.Replaced(depth=ordinals.Depth(0) if stored is None else stored.depth),
        before=record.before,
        removed=record.removed,
        added=record.added,
        after=record.after,
    )
    return made, posted


_OWN = (Evaluated, Selected, Idle, Committed, Swept, Refused)
_SAME = (
    ordinals.Open,
    tokens.Append,
    ordinals.RollBack,
    ordinals.Prune,
    ordinals.Forget,
    tokens.Weigh,
    intake.Take,
    intake.Reopen,
)

AS_INTAKE: Seen[State, Event, Outcome, intake.State, intake.Event, intake.Outcome] = Seen(
    state=lambda state: state.taken,
    step=contained,
    events={tokens.Replace: (tokens.Replace, Commit), **{kind: (kind,) for kind in _SAME}},
    outcomes={
        tokens.Posted: (tokens.Posted, Committed),
        **{
            kind: (kind,)
            for kind in (
                intake.Taken,
                intake.Reopened,
                intake.Refused,
                tokens.Weighed,
                tokens.Refused,
                ordinals.Refused,
                ordinals.Failed,
            )
        },
    },
)
"""How compaction is seen as intake."""
