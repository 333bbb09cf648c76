"""A case: one machine with everything that the engines need to judge a host by it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from msgspec import Struct

from plumbline_models.contract import Machine
from plumbline_models.history import Variant
from plumbline_spec.errors import UnusableInput
from plumbline_spec.host import Judged, Shared, Storage
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


class Compared(Struct, Generic[C], frozen=True, kw_only=True):
    """What a chapter claims of two rule sets in a scope of its own."""

    left: str
    right: str
    where: str
    """What can happen in this scope, in a few words."""
    scope: C
    equal: bool


class Build(Struct, Generic[S, E, O, C], frozen=True, kw_only=True):
    """A build of the implementation with a fault in it, which an engine must find."""

    name: str
    engine: str
    """The engine that finds it; controls of that engine are taken in each of its runs."""
    story: str
    """What is wrong with it, in a sentence."""
    breaks: str = ""
    """The clause that it must be seen to break; "" for any."""
    meeting: str = ""
    """The form of meetings of clients in which that is likely; "" where it is the clause's own."""
    case: "Callable[[], Case[S, E, O, C]]"
    """The case with the hosts of this build."""


class Mutant(Struct, Generic[S, E, O, C], frozen=True, kw_only=True):
    """A build that differs from the shipped one in one place, by rule and not by hand."""

    id: str
    """Module, function, operator, and its number among those of the same three."""
    operator: str
    place: str
    """File and line."""
    diff: str
    """What is changed, as a unified diff of the source."""
    case: "Callable[[], Case[S, E, O, C]]"
    """The case with the hosts of this build; they run out of steps rather than hang."""

    @property
    def change(self) -> str:
        """The lines of the diff that come and go: what is changed, wherever it stands."""
        return "\n".join(line for line in self.diff.split("\n")[2:] if line[:1] in "-+")


class Equivalent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a mutant cannot be told from the shipped build by any event."""

    id: str
    change: str
    """As ``Mutant.change``; an entry is stale when its mutant changes something else."""
    proof: str


class Mutants(Struct, Generic[S, E, O, C], frozen=True, kw_only=True):
    """The mutants of a build, and what it takes to judge them."""

    every: "Callable[[], Sequence[Mutant[S, E, O, C]]]"
    unchanged: "Callable[[], Case[S, E, O, C]]"
    """The shipped build, made in the way of a mutant and with a tenth of its steps."""
    equivalents: Callable[[], Sequence[Equivalent]]
    scopes: tuple[C, ...]
    """Small ones: they are walked for every mutant that stored traces do not kill."""
    offers: Callable[[S, C], Iterator[E]] | None = None
    """What the machine offers there, if it is more than ``Machine.events``."""


class Case(Struct, Generic[S, E, O, C], frozen=True, kw_only=True):
    """A machine, its rule sets, its variants, its scopes, and the hosts to judge."""

    machine: Machine[S, E, O, C]
    rule_sets: Mapping[str, Callable[[], Machine[S, E, O, C]]]
    """Every rule set by name, the specification's first."""
    equal_rule_sets: tuple[tuple[str, str], ...] = ()
    """Pairs of rule sets that the chapter claims to be equal."""
    different_rule_sets: tuple[tuple[str, str], ...] = ()
    """Pairs of rule sets that it claims to differ; a shortest trace shows where."""
    compared: tuple[Compared[C], ...] = ()
    """Pairs that it claims to be equal in one scope and to differ in another."""
    scopes: Mapping[str, Scopes[C]]
    """By the name of the profile."""
    opening: C | None = None
    """What drawn histories begin with; None for the first scope of ``descend``."""
    vectors_scopes: tuple[C, ...]
    """Together they reach every pair and every clause."""
    host: Callable[[], Judged[S, E, O]]
    durable: Callable[[], Judged[S, E, O]]
    """A host on storage that outlives it."""
    shared: Callable[[], Shared[S, E, O]] | None = None
    """A store that several clients use at once; None where the host has but one."""
    storage: Callable[[], Storage[S, E, O]] | None = None
    """A store whose operations can be seen and made to fail; None where nothing is stored."""
    by_steps: bool = False
    """Whether an event is one step of one of several processes, and to be killed another one."""
    meeting_scopes: tuple[C, ...] = ()
    """Where events are found that meet in a shared store; () for those of ``descend``."""
    builds: Sequence[Build[S, E, O, C]] = ()
    """Builds with a fault, each of which its engine must find."""
    mutants: Mutants[S, E, O, C] | None = None
    """Mutants of its host; None where there is nothing to make them from."""
    variants: Sequence[Variant[S, E, O, C]]
    weight: int = 1
    """Its part of a profile's budget beside the other machines."""

    def opening_of(self, profile: Profile) -> C:
        """Return the scope of the events that drawn histories begin with."""
        return self.scopes[profile.name].descend[0] if self.opening is None else self.opening

    def rule_sets_named(self, name: str) -> list[str]:
        """Return the rule set of a name, or all of which it is the beginning; letters may be small.

        One is meant where there is one; of several, a user has to say more.
        """
        asked = name.casefold()
        exact = [one for one in self.rule_sets if one.casefold() == asked]
        return exact or [one for one in self.rule_sets if one.casefold().startswith(asked)]

    def rules(self, name: str) -> Machine[S, E, O, C]:
        """Return the machine under a rule set or a variant. Raises ``UnusableInput``.

        Rule sets are found whatever the case of their letters is, and by their beginning where no
        other begins so.
        """
        named = self.rule_sets_named(name)
        if len(named) == 1:
            return self.rule_sets[named[0]]()
        for variant in self.variants:
            if variant.name == name:
                return variant.machine()
        machine = self.machine.name
        if named:
            raise UnusableInput(f"{machine} has {' and '.join(named)}; {name!r} may be either")
        raise UnusableInput(
            f"{machine} has no rule set {name!r}; it has {', '.join(self.rule_sets)}, "
            f"and the variants that `plumbline quality {machine}` lists"
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
