"""Every machine with its SQLite host, variants and scopes: what ``plumbline check`` checks."""

from collections.abc import Callable

from plumbline import ordinals as sqlite_ordinals
from plumbline.sqlite_host import judged
from plumbline_models import ordinals
from plumbline_models.history.ordinals import VARIANTS as ORDINALS_VARIANTS
from plumbline_spec.case import Case, Scopes
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
            "ci": Scopes(explore=(medium, deep, wide), descend=(medium, deep), diff=medium),
            "nightly": Scopes(
                explore=(medium, deep, wide, vast), descend=(medium, deep, wide), diff=wide
            ),
        },
        vectors_scope=medium,
        host=lambda: judged(sqlite_ordinals.PROGRAM),
        durable=lambda: judged(sqlite_ordinals.PROGRAM, durable=True),
        variants=ORDINALS_VARIANTS,
    )


def _machine(rules: ordinals.Rules) -> Callable[[], ordinals.Machine]:
    return lambda: ordinals.machine(rules)


def subjects() -> tuple[Subject, ...]:
    """Return every machine, in the order of the chapters."""
    return (subject(ordinals_case()),)


def chosen(names: tuple[str, ...]) -> tuple[Subject, ...]:
    """Return the machines of these names, all of them for (); raises ``UnusableInput``."""
    every = subjects()
    known = {one.name: one for one in every}
    for name in names:
        if name not in known:
            raise UnusableInput(f"there is no machine {name!r}; there is {', '.join(known)}")
    return tuple(known[name] for name in known if not names or name in names)
