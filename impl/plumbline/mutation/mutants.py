"""The mutants of a machine's implementation, and their hosts."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import msgspec
from msgspec import Struct

from plumbline.mutation import python, statements, tables
from plumbline.mutation.edits import Change, Source
from plumbline.mutation.loading import FUEL_STEPS, World, text_of
from plumbline_spec.case import Case, Equivalent, Mutant, Mutants

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")

REGISTRY = "plumbline.registry"
SCHEMA = "plumbline.schema"
OPENING = frozenset(
    {
        "wait_for_others",
        "SettingNotKept",
        "open_database",
        "_busy",
        "_settle",
        "_kept_by",
        "_set",
        "version_of",
        "_recognise",
        "_migrate",
    }
)
"""What of ``plumbline.database`` runs before the first event; the rest is the envelope."""
UNCHANGED_PART = 10
"""The shipped build has to do with one of so many parts of a mutant's steps."""


class Part(Struct, frozen=True):
    """A module that mutants are made of, or some of its functions and constants."""

    module: str
    only: frozenset[str] | None = None
    """None for all of them."""
    without: frozenset[str] = frozenset()

    def has(self, scope: str) -> bool:
        """Tell whether a function or a constant belongs to this part."""
        name = scope.partition(".")[0]
        return name not in self.without and (self.only is None or name in self.only)


STORES = frozenset({"_Lockable", "MemoryStore", "FolderStore"})
"""Files, which the judge does not look at; tests of their own do."""
HANDED_AGAIN = frozenset({"logged_at"})
"""What a process finds that asks again; the machine refuses it before it takes a step."""


PARTS: Mapping[str, tuple[Part, ...]] = {
    "ordinals": (Part("plumbline.ordinals"), Part(SCHEMA, frozenset({"ORDINALS"}))),
    "tokens": (Part("plumbline.tokens"), Part(SCHEMA, frozenset({"TOKENS"}))),
    "intake": (
        Part("plumbline.intake"),
        Part("plumbline.database", without=OPENING),
        Part(SCHEMA, frozenset({"ENVELOPE", "INTAKE"})),
    ),
    "compaction": (
        Part("plumbline.compaction"),
        Part("plumbline.window"),
        Part("plumbline.chunk"),
        Part("plumbline.sweeps"),
        Part(SCHEMA, frozenset({"COMPACTION"})),
    ),
    "context_cache": (Part("plumbline.context_cache"),),
    "anchoring": (
        Part("plumbline.anchoring"),
        Part("plumbline.replay_log"),
        Part("plumbline.snapshots"),
        Part("plumbline.recounting"),
        Part("plumbline.pins"),
        Part("plumbline.misfortunes"),
        Part(SCHEMA, frozenset({"ANCHORING"})),
    ),
    "anchoring_steps": (Part("plumbline.anchoring_steps", without=STORES | HANDED_AGAIN),),
}
"""What is judged on which machine; what all of them stand on, on the uppermost."""
FELT_ELSEWHERE: Mapping[str, str] = {
    "ordinals.exists python compare 1": "intake",
    "ordinals.exists sql compare 1": "intake",
    "ordinals.exists sql term 1": "intake",
    "ordinals._append python term 1": "tokens",
    "schema.TOKENS table null 1": "ordinals",
    "schema.TOKENS table null 2": "ordinals",
}
"""Mutants of what a module has for another machine, which alone uses it: a list for the intake and
the ledger, a column for lists without one."""


def mutants(
    machine: str,
    case_of: Callable[[ModuleType], Case[S, E, O, C]],
    scopes: tuple[C, ...],
    offers: Callable[[S, C], Iterator[E]] | None = None,
) -> Mutants[S, E, O, C]:
    """Return the mutants of a machine; ``case_of`` takes its case from a registry made anew."""
    return Mutants(
        every=lambda: tuple(_mutant(one, case_of) for one in _made_for(machine)),
        unchanged=lambda: case_of(World({}, FUEL_STEPS // UNCHANGED_PART).module(REGISTRY)),
        equivalents=lambda: tuple(one for one in equivalents() if machine_of(one.id) == machine),
        scopes=scopes,
        offers=offers,
    )


def machine_of(mutant: str) -> str | None:
    """Return the machine on which a mutant is judged, by its id; None when nothing makes it."""
    module, scope = mutant.partition(" ")[0].split(".")[:2]
    for machine, parts in PARTS.items():
        for part in parts:
            if part.module == f"plumbline.{module}" and part.has(scope):
                return FELT_ELSEWHERE.get(mutant, machine)
    return None


def _made_for(machine: str) -> "Iterator[Made]":
    for parts in PARTS.values():
        for part in parts:
            yield from (one for one in made_of(part) if machine_of(one.id) == machine)


class Made(Struct, frozen=True, kw_only=True):
    """A change of a module, by name."""

    id: str
    source: Source
    change: Change


@cache
def made_of(part: Part) -> tuple[Made, ...]:
    """Return every mistake in a module, in the order of its source."""
    path, text = text_of(part.module)
    source = Source(part.module, "/".join(Path(path).parts[-2:]), text)
    found = sorted(_changes(source, part), key=lambda one: (one.edits, one.operator))
    counted: Counter[tuple[str, str]] = Counter()
    made: list[Made] = []
    for change in found:
        counted[change.scope, change.operator] += 1
        number = counted[change.scope, change.operator]
        module = part.module.partition(".")[2]
        name = f"{module}.{change.scope} {change.operator} {number}"
        made.append(Made(id=name, source=source, change=change))
    return tuple(made)


def _changes(source: Source, part: Part) -> Iterator[Change]:
    if part.module == SCHEMA:
        found = tables.mistakes_of(source)
    else:
        prepares = statements.Prepares()
        found = chain(python.mistakes_of(source), statements.mistakes_of(source, prepares=prepares))
    for change in found:
        if part.has(change.scope):
            yield change


def _mutant(made: Made, case_of: Callable[[ModuleType], Case[S, E, O, C]]) -> Mutant[S, E, O, C]:
    source, change = made.source, made.change
    return Mutant(
        id=made.id,
        operator=change.operator,
        place=f"{source.path}:{source.line(change)}",
        diff=source.diff(change),
        case=partial(_case, made, case_of),
    )


def _case(made: Made, case_of: Callable[[ModuleType], Case[S, E, O, C]]) -> Case[S, E, O, C]:
    changed = {made.source.name: made.source.changed(made.change)}
    return case_of(World(changed).module(REGISTRY))


_KEPT = Path(__file__).parent / "equivalents.jsonl"
_lines = msgspec.json.Decoder(Equivalent)


@cache
def equivalents() -> tuple[Equivalent, ...]:
    """Return the kept proofs that some mutants are no mistakes."""
    return tuple(_lines.decode_lines(_KEPT.read_bytes()))
