"""Every machine with its SQLite host, variants and scopes: what ``plumbline check`` checks."""

from collections.abc import Callable
from types import ModuleType

from msgspec.structs import replace

from plumbline import anchoring as sqlite_anchoring
from plumbline import compaction as sqlite_compaction
from plumbline import intake as sqlite_intake
from plumbline import ordinals as sqlite_ordinals
from plumbline import tokens as sqlite_tokens
from plumbline.builds import faulted_builds, interleaved_builds, live_apart, totals_apart
from plumbline.cache_host import judged_cache
from plumbline.mutation.mutants import mutants
from plumbline.sqlite_host import judged
from plumbline.sqlite_shared import SqliteShared
from plumbline.sqlite_storage import SqliteStorage
from plumbline.steps_host import judged_steps
from plumbline_models import (
    anchoring,
    anchoring_steps,
    compaction,
    context_cache,
    intake,
    ordinals,
    tokens,
)
from plumbline_models.decisions.refreshing import Mode, Windows
from plumbline_models.history.anchoring import VARIANTS as ANCHORING_VARIANTS
from plumbline_models.history.anchoring_steps import VARIANTS as ANCHORING_STEPS_VARIANTS
from plumbline_models.history.compaction import VARIANTS as COMPACTION_VARIANTS
from plumbline_models.history.context_cache import VARIANTS as CONTEXT_CACHE_VARIANTS
from plumbline_models.history.intake import VARIANTS as INTAKE_VARIANTS
from plumbline_models.history.ordinals import VARIANTS as ORDINALS_VARIANTS
from plumbline_models.history.tokens import VARIANTS as TOKENS_VARIANTS
from plumbline_spec.case import Case, Compared, Scopes
from plumbline_spec.errors import UnusableInput
from plumbline_spec.subject import Subject, subject


def ordinals_case() -> Case[ordinals.State, ordinals.Event, ordinals.Outcome, ordinals.Scope]:
    """Return ordinals over SQLite, with the scopes of every profile."""
    scope = ordinals.Scope
    small = scope(conversations=2, messages=2, summaries=2)
    medium = scope(conversations=2, messages=3, summaries=2)
    accepted = scope(conversations=2, messages=3, summaries=2, refusals=False)
    deep = scope(conversations=1, messages=3, summaries=4)
    wide = scope(conversations=2, messages=4, summaries=2, refusals=False)
    vast = scope(conversations=2, messages=4, summaries=3, refusals=False)
    strangers = scope(conversations=2, messages=1, summaries=1)
    two = scope(conversations=2, messages=2, summaries=1, refusals=False)
    beside = scope(conversations=2, messages=3, summaries=1, refusals=False)
    three = scope(conversations=1, messages=3, summaries=1)
    meeting = scope(conversations=2, messages=3, summaries=2)
    return Case(
        machine=ordinals.machine(),
        rule_sets={rules.name: _machine(rules) for rules in ordinals.RULE_SETS},
        equal_rule_sets=(
            ("SPEC", "RESEQUENCE"),
            ("SPEC", "UNLESS_CONTIGUOUS"),
            ("BEFORE_295", "PR295"),
        ),
        scopes={
            "quick": Scopes(explore=(medium, deep), descend=(accepted, small), diff=small),
            "ci": Scopes(explore=(medium, deep, wide), descend=(medium,), diff=medium),
            "nightly": Scopes(
                explore=(medium, deep, wide, vast), descend=(medium, deep, wide), diff=wide
            ),
        },
        vectors_scopes=(medium,),
        host=lambda: judged(sqlite_ordinals.PROGRAM),
        durable=lambda: judged(sqlite_ordinals.PROGRAM, durable=True),
        shared=lambda: SqliteShared(sqlite_ordinals.PROGRAM),
        storage=lambda: SqliteStorage(sqlite_ordinals.PROGRAM),
        meeting_scopes=(meeting,),
        builds=(
            *interleaved_builds(ordinals_case, sqlite_ordinals.PROGRAM),
            *faulted_builds(ordinals_case, sqlite_ordinals.PROGRAM),
        ),
        mutants=mutants("ordinals", _ordinals_case_of, (strangers, two, three, beside)),
        variants=ORDINALS_VARIANTS,
    )


def _ordinals_case_of(
    registry: ModuleType,
) -> Case[ordinals.State, ordinals.Event, ordinals.Outcome, ordinals.Scope]:
    made: Callable[[], Case[ordinals.State, ordinals.Event, ordinals.Outcome, ordinals.Scope]]
    made = registry.ordinals_case
    return made()


def _machine(rules: ordinals.Rules) -> Callable[[], ordinals.Machine]:
    return lambda: ordinals.machine(rules)


def tokens_case() -> Case[tokens.State, tokens.Event, tokens.Outcome, tokens.Scope]:
    """Return tokens over SQLite, with the scopes of every profile."""
    scope = tokens.Scope
    small = scope(conversations=1, messages=2, summaries=1)
    medium = scope(conversations=2, messages=2, summaries=1, counts=(None, 5))
    deep = scope(conversations=1, messages=3, summaries=2, counts=(None,))
    counted = scope(conversations=1, messages=3, summaries=2)
    wide = scope(conversations=2, messages=3, summaries=2, refusals=False, weighings=False)
    least = scope(conversations=1, messages=2, summaries=1, counts=(None,))
    given = scope(conversations=1, messages=2, summaries=1, counts=(5,), refusals=False)
    shallow = scope(conversations=2, messages=2, summaries=1, counts=(None,))
    meeting = scope(conversations=2, messages=2, summaries=2, counts=(None,))
    return Case(
        machine=tokens.machine(),
        rule_sets={rules.name: _tokens_machine(rules) for rules in tokens.RULE_SETS},
        equal_rule_sets=(("SPEC", "DELTAS"), ("SPEC", "CLAMPED_DELTAS")),
        different_rule_sets=(
            ("BEFORE_295", "PR295"),
            ("PR295", "CLAMPED"),
            ("SPEC", "UTF16"),
            ("SPEC", "BEFORE_295"),
        ),
        scopes={
            "quick": Scopes(explore=(medium, deep), descend=(shallow, small, deep), diff=small),
            "ci": Scopes(explore=(medium, counted), descend=(medium, counted), diff=counted),
            "nightly": Scopes(
                explore=(medium, counted, wide), descend=(medium, counted, wide), diff=wide
            ),
        },
        vectors_scopes=(medium, deep),
        host=lambda: judged(sqlite_tokens.PROGRAM),
        durable=lambda: judged(sqlite_tokens.PROGRAM, durable=True),
        shared=lambda: SqliteShared(sqlite_tokens.PROGRAM),
        storage=lambda: SqliteStorage(sqlite_tokens.PROGRAM),
        meeting_scopes=(meeting,),
        builds=(
            *interleaved_builds(tokens_case, sqlite_tokens.PROGRAM),
            *faulted_builds(tokens_case, sqlite_tokens.PROGRAM, totals_apart),
        ),
        mutants=mutants("tokens", _tokens_case_of, (least, given)),
        variants=TOKENS_VARIANTS,
    )


def _tokens_case_of(
    registry: ModuleType,
) -> Case[tokens.State, tokens.Event, tokens.Outcome, tokens.Scope]:
    made: Callable[[], Case[tokens.State, tokens.Event, tokens.Outcome, tokens.Scope]]
    made = registry.tokens_case
    return made()


def _tokens_machine(rules: tokens.Rules) -> Callable[[], tokens.Machine]:
    return lambda: tokens.machine(rules)


def intake_case() -> Case[intake.State, intake.Event, intake.Outcome, intake.Scope]:
    """Return intake over SQLite, with the scopes of every profile."""
    scope = intake.Scope
    alone = tokens.Scope(
        conversations=1,
        messages=0,
        summaries=0,
        refusals=False,
        weighings=False,
        counts=(None,),
    )
    two, covered = replace(alone, conversations=2), replace(alone, summaries=1)
    lists = tokens.Scope(conversations=2, messages=3, summaries=1, weighings=False, counts=(None,))
    by_id = scope(ledger=alone, rows=3, appends=1, departures=False)
    leaving = scope(ledger=covered, rows=1)
    covering = scope(ledger=covered, rows=2, refusals=False)
    by_place = scope(ledger=covered, rows=2, ids=False, appends=1)
    beside = scope(ledger=two, rows=1, departures=False)
    no_rows = scope(ledger=lists)
    weighed = scope(ledger=replace(lists, messages=1, weighings=True))
    together = tokens.Scope(conversations=2, messages=2, summaries=2, counts=(None,))
    meeting = scope(ledger=together, rows=1)
    rows = scope(ledger=alone, rows=2, departures=False)
    apart = scope(ledger=two, rows=1, departures=False, refusals=False)
    by_turns = scope(ledger=two, rows=2, departures=False, refusals=False)
    places = scope(ledger=covered, rows=1, ids=False)
    usual = (by_id, leaving, covering, by_place, no_rows, weighed)
    fewer_lists = scope(ledger=replace(lists, messages=2))
    shallow = (by_id, leaving, covering, by_place, fewer_lists, weighed)
    long = (scope(ledger=covered, rows=2), scope(ledger=covered, rows=3, ids=False, appends=1))
    return Case(
        machine=intake.machine(),
        rule_sets={rules.name: _intake_machine(rules) for rules in intake.RULE_SETS},
        different_rule_sets=(("SPEC", "IDS_ONLY"),),
        scopes={
            "quick": Scopes(explore=(*usual, beside), descend=shallow, diff=by_place),
            "ci": Scopes(explore=(*usual, beside, *long), descend=(*usual, beside), diff=by_place),
            "nightly": Scopes(
                explore=(*usual, beside, *long), descend=(*usual, beside, *long), diff=by_place
            ),
        },
        vectors_scopes=(*usual, beside),
        host=lambda: judged(sqlite_intake.PROGRAM),
        durable=lambda: judged(sqlite_intake.PROGRAM, durable=True),
        shared=lambda: SqliteShared(sqlite_intake.PROGRAM),
        storage=lambda: SqliteStorage(sqlite_intake.PROGRAM),
        meeting_scopes=(meeting,),
        builds=(
            *interleaved_builds(intake_case, sqlite_intake.PROGRAM),
            *faulted_builds(intake_case, sqlite_intake.PROGRAM, totals_apart),
        ),
        mutants=mutants(
            "intake",
            _intake_case_of,
            (rows, apart, places, by_turns),
            intake.in_scope_with_odd_rows,
        ),
        variants=INTAKE_VARIANTS,
    )


def _intake_case_of(
    registry: ModuleType,
) -> Case[intake.State, intake.Event, intake.Outcome, intake.Scope]:
    made: Callable[[], Case[intake.State, intake.Event, intake.Outcome, intake.Scope]]
    made = registry.intake_case
    return made()


def _intake_machine(rules: intake.Rules) -> Callable[[], intake.Machine]:
    return lambda: intake.machine(rules)


def compaction_case() -> Case[
    compaction.State, compaction.Event, compaction.Outcome, compaction.Scope
]:
    """Return compaction over SQLite, with the scopes of every profile."""
    scope, scripts = compaction.Scope, compaction.SCRIPTS
    short, long_first, long, vain = scripts[0], scripts[1], scripts[2], scripts[5]
    mixed = scope(
        rows="lafcu", whole=True, summaries=1, scripts=(short, long, vain), refusals=False
    )
    three = scope(rows="aau", summaries=2)
    apart = scope(
        rows="lEllua", whole=True, summaries=3, scripts=(short,), host=False, sweeps=False
    )
    meeting = scope(rows="aau", conversations=2, summaries=2, appends=1, scripts=(short,))
    least = scope(rows="aau", whole=True, summaries=2, scripts=(short, long_first), refusals=False)
    usual, odd = _usual_scopes(), _odd_scopes()
    own = (*usual, *odd)
    return Case(
        machine=compaction.machine(),
        rule_sets={rules.name: _compaction_machine(rules) for rules in compaction.RULE_SETS},
        different_rule_sets=(("SPEC", "TAIL_ALONE"), ("SPEC", "FIRST_RUN_ONLY"), ("SPEC", "PR295")),
        compared=_releases_compared(),
        scopes={
            "quick": Scopes(
                explore=(*own, mixed), descend=(*usual[:2], *usual[3:], *odd), diff=apart
            ),
            "ci": Scopes(explore=(*own, mixed, three), descend=(*own, mixed), diff=apart),
            "nightly": Scopes(
                explore=(*own, mixed, three), descend=(*own, mixed, three), diff=apart
            ),
        },
        opening=scope(rows="lalElolfcluala", conversations=2, summaries=9, refusals=False),
        vectors_scopes=(*own, mixed),
        host=lambda: judged(sqlite_compaction.PROGRAM),
        durable=lambda: judged(sqlite_compaction.PROGRAM, durable=True),
        shared=lambda: SqliteShared(sqlite_compaction.PROGRAM),
        storage=lambda: SqliteStorage(sqlite_compaction.PROGRAM),
        meeting_scopes=(meeting,),
        builds=(
            *interleaved_builds(compaction_case, sqlite_compaction.PROGRAM),
            *faulted_builds(compaction_case, sqlite_compaction.PROGRAM, totals_apart),
        ),
        mutants=mutants("compaction", _compaction_case_of, (*usual[3:], *odd, least)),
        variants=COMPACTION_VARIANTS,
    )


def _releases_compared() -> tuple[Compared[compaction.Scope], ...]:
    """Return where the release before a pull request of no behavioural changes is as that with it.

    Commits are of what was just selected: a range that became stale is a change during a call.
    """
    usual = compaction.Scope(rows="lau", summaries=2, refusals=False)
    apart = replace(usual, rows="lclEu", whole=True, host=False)
    few = replace(usual, rows="lau", scripts=compaction.SCRIPTS[:1])
    scopes = (
        ("whatever is answered, and a host that replaces, rolls back and prunes", usual, True),
        ("more is said, some of it in CJK and some with calls to tools alone", apart, True),
        ("a stored count of zero", replace(few, rows="0au"), False),
        ("a stored count below zero", replace(few, rows="nau"), False),
        ("others change the context during a call", replace(few, meanwhile=1), False),
    )
    return tuple(
        Compared(left="BEFORE_295", right="PR295", where=where, scope=scope, equal=equal)
        for where, scope, equal in scopes
    )


def _usual_scopes() -> tuple[compaction.Scope, ...]:
    """Return scopes of compaction under settings that make every kind of pass."""
    scope, scripts = compaction.Scope, compaction.SCRIPTS
    short, long_first, long = scripts[:3]
    alone = scope(rows="au", summaries=2)
    return (
        alone,
        scope(rows="lua", summaries=1),
        scope(rows="au", conversations=2, summaries=1, scripts=(short,), sweeps=False),
        scope(rows="oeElu", whole=True, summaries=3, scripts=(short, long), host=False),
        scope(rows="lEllu", whole=True, summaries=3, scripts=(short,), host=False, sweeps=False),
        scope(
            rows="llllu",
            whole=True,
            summaries=7,
            scripts=(short,),
            host=False,
            sweeps=False,
            refusals=False,
        ),
        scope(rows="llllu", whole=True, summaries=1, host=False, refusals=False),
        scope(rows="llu", whole=True, summaries=2, scripts=(short,), host=False, refusals=False),
        scope(rows="a", appends=2, summaries=1, scripts=(short, long_first)),
        scope(
            rows="lau",
            whole=True,
            summaries=2,
            scripts=(short,),
            sweeps=False,
            host=False,
            refusals=False,
            meanwhile=1,
        ),
    )


def _odd_scopes() -> tuple[compaction.Scope, ...]:
    """Return scopes under settings in which one bound or another decides."""
    scripts = compaction.SCRIPTS
    short, long, vain = scripts[0], scripts[2], scripts[5]
    small = compaction.SMALL
    empty = compaction.Scope(whole=True, host=False, refusals=False, scripts=(short,), summaries=1)
    tails = (
        replace(small, fresh_tail=3, fresh_tail_tokens=9),
        replace(small, fresh_tail=3, fresh_tail_tokens=8),
        replace(small, fresh_tail=2),
        replace(small, fresh_tail=9),
        replace(small, fresh_tail=0),
    )
    one_pass = replace(small, passes=1)
    return (
        replace(empty, rows="aalaa", settings=tails),
        replace(empty, rows="alau", settings=tails),
        replace(empty, rows="aal", settings=tails),
        replace(empty, rows="oou", scripts=(long,)),
        replace(empty, rows="lu", conversations=2, summaries=2),
        replace(
            empty,
            rows="llllu",
            summaries=5,
            settings=(replace(small, depth=None, passes=9, calls=40),),
        ),
        replace(
            empty, rows="llllu", summaries=4, settings=(replace(small, depth=0, leaf_fanout=3),)
        ),
        replace(
            empty,
            rows="llllu",
            summaries=3,
            settings=(replace(small, leaf_chunk=50), replace(small, leaf_chunk=40)),
        ),
        replace(empty, rows="aazau", settings=(replace(small, leaf_chunk=8),)),
        replace(
            empty,
            rows="lllu",
            scripts=(short, long),
            settings=(one_pass, replace(one_pass, rounds=3)),
        ),
        replace(
            empty,
            rows="Elau",
            summaries=2,
            scripts=(short, long, vain),
            settings=(small, replace(small, fallback_cap=1)),
        ),
        replace(empty, rows="zlEu", summaries=2, scripts=(long, vain)),
        replace(empty, rows="Eu"),
        replace(
            empty,
            rows="olo",
            summaries=3,
            settings=(replace(small, fresh_tail=2, fresh_tail_tokens=21, passes=5, leaf_target=8),),
        ),
    )


def _compaction_case_of(
    registry: ModuleType,
) -> Case[compaction.State, compaction.Event, compaction.Outcome, compaction.Scope]:
    made: Callable[
        [], Case[compaction.State, compaction.Event, compaction.Outcome, compaction.Scope]
    ]
    made = registry.compaction_case
    return made()


def _compaction_machine(rules: compaction.Rules) -> Callable[[], compaction.Machine]:
    return lambda: compaction.machine(rules)


def context_cache_case() -> Case[
    context_cache.State, context_cache.Event, context_cache.Outcome, context_cache.Scope
]:
    """Return the context cache over SQLite, with the scopes of every profile."""
    small = context_cache.Scope()
    medium = context_cache.Scope(revisions=3)
    large = context_cache.Scope(conversations=3, revisions=3, users=3)
    return Case(
        machine=context_cache.machine(),
        rule_sets={rules.name: _cache_machine(rules) for rules in context_cache.RULE_SETS},
        different_rule_sets=(("SPEC", "FLAG"), ("SPEC", "RELEASED"), ("FLAG", "RELEASED")),
        scopes={
            "quick": Scopes(explore=(medium,), descend=(small,), diff=small),
            "ci": Scopes(explore=(medium,), descend=(medium,), diff=medium),
            "nightly": Scopes(explore=(medium, large), descend=(medium,), diff=medium),
        },
        vectors_scopes=(small,),
        host=judged_cache,
        durable=judged_cache,
        mutants=mutants("context_cache", _context_cache_case_of, (small,)),
        variants=CONTEXT_CACHE_VARIANTS,
    )


def _context_cache_case_of(
    registry: ModuleType,
) -> Case[context_cache.State, context_cache.Event, context_cache.Outcome, context_cache.Scope]:
    made: Callable[
        [],
        Case[context_cache.State, context_cache.Event, context_cache.Outcome, context_cache.Scope],
    ]
    made = registry.context_cache_case
    return made()


def _cache_machine(rules: context_cache.Rules) -> Callable[[], context_cache.Machine]:
    return lambda: context_cache.machine(rules)


def anchoring_case() -> Case[anchoring.State, anchoring.Event, anchoring.Outcome, anchoring.Scope]:
    """Return anchoring over SQLite, with the scopes of every profile."""
    scope = anchoring.Scope
    usual, few = _anchoring_scopes(), _small_anchoring_scopes()
    wide = scope(
        outcomes=3,
        snapshots=3,
        modes=tuple(Mode),
        losses=tuple(anchoring.Loss),
        epochs=2,
        refusals=False,
    )
    meeting = scope(
        outcomes=3,
        snapshots=3,
        late=True,
        drift=True,
        losses=(anchoring.Loss.LIVE_ABSENT,),
        epochs=2,
        backfills=True,
        truncations=True,
        pins=True,
        gates=1,
        collections=(0,),
    )
    apart = replace(usual[1], losses=(anchoring.Loss.LIVE_STALE,))
    return Case(
        machine=anchoring.machine(),
        rule_sets={rules.name: _anchoring_machine(rules) for rules in anchoring.RULE_SETS},
        different_rule_sets=(
            ("SPEC", "ISSUE_12"),
            ("ISSUE_12", "ISSUE_13"),
            ("ISSUE_13", "ISSUE_14"),
            ("ISSUE_14", "ISSUE_15"),
            ("SPEC", "ISSUE_15"),
        ),
        scopes={
            "quick": Scopes(explore=usual, descend=few, diff=apart),
            "ci": Scopes(explore=(*usual, wide), descend=usual, diff=apart),
            "nightly": Scopes(explore=(*usual, wide), descend=(*usual, wide), diff=apart),
        },
        opening=scope(outcomes=9, keys=2, snapshots=9, windows=(FEW_MERGES,), refusals=False),
        vectors_scopes=usual,
        host=lambda: judged(sqlite_anchoring.PROGRAM),
        durable=lambda: judged(sqlite_anchoring.PROGRAM, durable=True),
        shared=lambda: SqliteShared(sqlite_anchoring.PROGRAM),
        storage=lambda: SqliteStorage(sqlite_anchoring.PROGRAM),
        meeting_scopes=(meeting,),
        builds=(
            *interleaved_builds(anchoring_case, sqlite_anchoring.PROGRAM),
            *faulted_builds(anchoring_case, sqlite_anchoring.PROGRAM, live_apart),
        ),
        mutants=mutants("anchoring", _anchoring_case_of, few),
        variants=ANCHORING_VARIANTS,
    )


AUTO_MODE, DELTA_MODE, FULL_MODE = Mode
NO_WINDOW = Windows(reuse=0, merges=0, exact=0)
TWO_MERGES = replace(anchoring.WINDOWS, merges=2)
STALE, FOREIGN = anchoring.Loss.LIVE_STALE, anchoring.Loss.LIVE_FOREIGN
FEW_MERGES = replace(anchoring.WINDOWS, merges=5)


def _anchoring_scopes() -> tuple[anchoring.Scope, ...]:
    """Return scopes of anchoring that together reach every row of its table."""
    return (*_scopes_of_refreshes(), *_scopes_of_logs(), *_scopes_of_readers())


def _scopes_of_refreshes() -> tuple[anchoring.Scope, ...]:
    """Return scopes in which the live delta is damaged, windows are over, and gates refresh."""
    scope, windows = anchoring.Scope, (anchoring.WINDOWS, NO_WINDOW)
    either = (AUTO_MODE, DELTA_MODE)
    return (
        scope(
            outcomes=2,
            keys=2,
            snapshots=2,
            modes=(*either, FULL_MODE),
            losses=tuple(anchoring.Loss),
            gates=1,
        ),
        scope(times=(0, 15, 22), snapshots=3, modes=either, windows=windows, refusals=False),
        scope(
            outcomes=1,
            times=(0, 30),
            modes=either,
            windows=windows,
            configs=("", "other"),
            gates=1,
            refusals=False,
        ),
        scope(outcomes=3, keys=2, snapshots=3, windows=(TWO_MERGES,), refusals=False),
    )


def _scopes_of_logs() -> tuple[anchoring.Scope, ...]:
    """Return scopes in which the log is rewritten, by hosts and by scripts, and truncated."""
    scope, either = anchoring.Scope, (AUTO_MODE, DELTA_MODE)
    anew = (AUTO_MODE, FULL_MODE)
    return (
        scope(snapshots=3, modes=either, drift=True, backfills=True, gates=1, refusals=False),
        scope(keys=2, snapshots=3, modes=either, epochs=2, batches=True, gates=1, refusals=False),
        scope(outcomes=1, modes=anew, drift=True, epochs=2, truncations=True, backfills=True),
        scope(
            snapshots=3,
            modes=anew,
            epochs=2,
            truncations=True,
            losses=(anchoring.Loss.MANIFEST,),
            refusals=False,
        ),
    )


def _scopes_of_readers() -> tuple[anchoring.Scope, ...]:
    """Return scopes with pins, gates and collections, and with outcomes that come late."""
    scope, times = anchoring.Scope, (0, 15)
    return (
        scope(
            snapshots=3,
            times=times,
            windows=(TWO_MERGES,),
            pins=True,
            gates=1,
            collections=(0, 1),
            refusals=False,
        ),
        scope(outcomes=1, snapshots=1, times=times, pins=True, gates=1, collections=(0,)),
        scope(late=True, expects=True),
    )


def _small_anchoring_scopes() -> tuple[anchoring.Scope, ...]:
    """Return scopes of anchoring that are small enough to be walked on a host in seconds."""
    damage, aging, gates, deep = _scopes_of_refreshes()
    drift, epochs, once, foundations = _scopes_of_logs()
    pins, refused, late = _scopes_of_readers()
    return (
        replace(damage, outcomes=1, modes=damage.modes[:2], gates=0),
        aging,
        gates,
        deep,
        replace(deep, keys=1),
        replace(drift, snapshots=2, gates=0),
        epochs,
        replace(once, refusals=False),
        replace(foundations, epochs=1),
        replace(epochs, outcomes=1, keys=1, gates=0, losses=(STALE, FOREIGN)),
        replace(pins, outcomes=1, snapshots=2, collections=(0,)),
        refused,
        late,
    )


def _anchoring_case_of(
    registry: ModuleType,
) -> Case[anchoring.State, anchoring.Event, anchoring.Outcome, anchoring.Scope]:
    made: Callable[[], Case[anchoring.State, anchoring.Event, anchoring.Outcome, anchoring.Scope]]
    made = registry.anchoring_case
    return made()


def _anchoring_machine(rules: anchoring.Rules) -> Callable[[], anchoring.Machine]:
    return lambda: anchoring.machine(rules)


def anchoring_steps_case() -> Case[
    anchoring_steps.State, anchoring_steps.Event, anchoring_steps.Outcome, anchoring_steps.Scope
]:
    """Return anchoring step by step over files, with the scopes of every profile."""
    scope = anchoring_steps.Scope
    usual, epochs = scope(), scope(outcomes=2, kills=False, epochs=2)
    at_once = scope(outcomes=2, refreshers=2, refusals=False)
    older = scope(outcomes=2, publications=3, refusals=False)
    again = scope(outcomes=1, publications=3, kills=False, epochs=3)
    crowd = scope(outcomes=2, recorders=2, refreshers=2, epochs=2, refusals=False)
    near = (usual, at_once, older, crowd)
    larger = scope(outcomes=4, publications=3, recorders=2, refusals=False)
    million = scope(outcomes=3, publications=3, recorders=2, refreshers=2, refusals=False)
    return Case(
        machine=anchoring_steps.machine(),
        rule_sets={rules.name: _steps_machine(rules) for rules in anchoring_steps.RULE_SETS},
        different_rule_sets=(
            ("SPEC", "TRANSACTIONS"),
            ("SPEC", "ISSUE_12"),
            ("TRANSACTIONS", "ISSUE_12"),
        ),
        scopes={
            "quick": Scopes(explore=near, descend=near[:-1], diff=usual),
            "ci": Scopes(explore=(*near, larger, million), descend=near, diff=usual),
            "nightly": Scopes(explore=(*near, larger, million), descend=near, diff=usual),
        },
        vectors_scopes=(usual, at_once, epochs),
        host=judged_steps,
        durable=lambda: judged_steps(durable=True),
        by_steps=True,
        mutants=mutants(
            "anchoring_steps", _anchoring_steps_case_of, (epochs, at_once, older, again)
        ),
        variants=ANCHORING_STEPS_VARIANTS,
    )


def _anchoring_steps_case_of(
    registry: ModuleType,
) -> Case[
    anchoring_steps.State, anchoring_steps.Event, anchoring_steps.Outcome, anchoring_steps.Scope
]:
    made: Callable[
        [],
        Case[
            anchoring_steps.State,
            anchoring_steps.Event,
            anchoring_steps.Outcome,
            anchoring_steps.Scope,
        ],
    ]
    made = registry.anchoring_steps_case
    return made()


def _steps_machine(rules: anchoring_steps.Rules) -> Callable[[], anchoring_steps.Machine]:
    return lambda: anchoring_steps.machine(rules)


def subjects() -> tuple[Subject, ...]:
    """Return every machine, in the order of the chapters."""
    return (
        subject(ordinals_case()),
        subject(tokens_case()),
        subject(intake_case()),
        subject(compaction_case()),
        subject(context_cache_case()),
        subject(anchoring_case()),
        subject(anchoring_steps_case()),
    )


def chosen(names: tuple[str, ...]) -> tuple[Subject, ...]:
    """Return the machines of these names, all of them for (); raises ``UnusableInput``."""
    every = subjects()
    known = {one.name: one for one in every}
    for name in names:
        if name not in known:
            raise UnusableInput(f"there is no machine {name!r}; there is {', '.join(known)}")
    return tuple(known[name] for name in known if not names or name in names)
