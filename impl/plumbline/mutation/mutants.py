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
ENVELOPE = frozenset(
    {"transaction", "_savepoint", "_take_back", "snapshot", "answered", "_once", "integer"}
)
"""The functions of ``plumbline.database`` that an event runs through."""
UNCHANGED_PART = 10
"""The shipped build has to do with one of so many parts of a mutant's steps."""


class Part(Struct, frozen=True):
    """A module that mutants are made of, or some of its functions, or of its constants."""

    module: str
    names: frozenset[str] | None = None


PARTS: Mapping[str, tuple[Part, ...]] = {
    "ordinals": (Part("plumbline.ordinals"), Part(SCHEMA, frozenset({"ORDINALS"}))),
    "tokens": (Part("plumbline.tokens"), Part(SCHEMA, frozenset({"TOKENS"}))),
    "intake": (
        Part("plumbline.intake"),
        Part("plumbline.database", ENVELOPE),
        Part(SCHEMA, frozenset({"ENVELOPE", "INTAKE"})),
    ),
}
"""What is judged on which machine; what all of them stand on, on the uppermost."""


def mutants(
    machine: str, case_of: Callable[[ModuleType], Case[S, E, O, C]], scopes: tuple[C, ...]
) -> Mutants[S, E, O, C]:
    """Return the mutants of a machine; ``case_of`` takes its case from a registry made anew."""
    parts = PARTS[machine]
    return Mutants(
        every=lambda: tuple(_mutant(one, case_of) for part in parts for one in made_of(part)),
        unchanged=lambda: case_of(World({}, FUEL_STEPS // UNCHANGED_PART).module(REGISTRY)),
        equivalents=lambda: _equivalents_of(parts),
        scopes=scopes,
    )


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
        if part.names is None or change.scope.partition(".")[0] in part.names:
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


def _equivalents_of(parts: tuple[Part, ...]) -> tuple[Equivalent, ...]:
    """Return the kept proofs about these parts, those of mutants that are no more as well."""
    return tuple(one for one in equivalents() if any(_is_in(one.id, part) for part in parts))


def _is_in(mutant: str, part: Part) -> bool:
    module, scope = mutant.partition(" ")[0].split(".")[:2]
    return part.module == f"plumbline.{module}" and (part.names is None or scope in part.names)


@cache
def equivalents() -> tuple[Equivalent, ...]:
    """Return the kept proofs that some mutants are no mistakes."""
    return tuple(_lines.decode_lines(_KEPT.read_bytes()))
