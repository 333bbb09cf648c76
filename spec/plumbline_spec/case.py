"""A case: one machine with everything that the engines need to judge a host by it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from msgspec import Struct

from plumbline_models.contract import Machine
from plumbline_models.history import Variant
from plumbline_spec.errors import UnusableInput
from plumbline_spec.host import Judged, Shared
from plumbline_spec.profiles import Profile

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")


class Scopes(Struct, Generic[C], frozen=True, kw_only=True):
    """The scopes of one profile."""

    explore: tuple[C, ...]
    """Walked breadth first on the machine."""
    descend: tuple[C, ...]
    """Walked depth first on the host as well."""
    diff: C


class Build(Struct, Generic[S, E, O, C], frozen=True, kw_only=True):
    """A build of the implementation with a fault in it, which an engine must find."""

    name: str
    engine: str
    """The engine that finds it; controls of that engine are taken in each of its runs."""
    story: str
    """What is wrong with it, in a sentence."""
    case: "Callable[[], Case[S, E, O, C]]"
    """The case with the hosts of this build."""


class Case(Struct, Generic[S, E, O, C], frozen=True, kw_only=True):
    """A machine, its rule sets, its variants, its scopes, and the hosts to judge."""

    machine: Machine[S, E, O, C]
    rule_sets: Mapping[str, Callable[[], Machine[S, E, O, C]]]
    """Every rule set by name, the specification's first."""
    equal_rule_sets: tuple[tuple[str, str], ...] = ()
    """Pairs of rule sets that the chapter claims to be equal."""
    different_rule_sets: tuple[tuple[str, str], ...] = ()
    """Pairs of rule sets that it claims to differ; a shortest trace shows where."""
    scopes: Mapping[str, Scopes[C]]
    """By the name of the profile."""
    vectors_scopes: tuple[C, ...]
    """Together they reach every pair and every clause."""
    host: Callable[[], Judged[S, E, O]]
    durable: Callable[[], Judged[S, E, O]]
    """A host on storage that outlives it."""
    shared: Callable[[], Shared[S, E, O]] | None = None
    """A store that several clients use at once; None where the host has but one."""
    builds: Sequence[Build[S, E, O, C]] = ()
    """Builds with a fault, each of which its engine must find."""
    variants: Sequence[Variant[S, E, O, C]]
    weight: int = 1
    """Its part of a profile's budget beside the other machines."""

    def rules(self, name: str) -> Machine[S, E, O, C]:
        """Return the machine under a rule set or a variant. Raises ``UnusableInput``."""
        if name in self.rule_sets:
            return self.rule_sets[name]()
        for variant in self.variants:
            if variant.name == name:
                return variant.machine()
        known = ", ".join(self.rule_sets)
        raise UnusableInput(
            f"{self.machine.name} has no rule set {name!r}; it has {known}, "
            f"and the variants that `plumbline quality {self.machine.name}` lists"
        )


class Plan(Struct, frozen=True, kw_only=True):
    """What a run asks of an engine."""

    profile: Profile
    seed: int
    share_seconds: float = 0.0
    until: float | None = None
    """A reading of ``time.monotonic`` until which more is done; None for the minimum alone."""
    regressions: tuple[Path, ...] = ()
    """Folders of traces to replay first."""
    database: Path | None = None
    """Where Hypothesis keeps examples that failed."""
    spec: Path
    """The folder of chapters, vectors and variant traces."""
    versions: dict[str, str]
