"""The toy machine: a locker that holds up to three coins; the shortest example of every engine.

Theory of operation. ``step`` decides, four clauses judge, and ``machine`` puts both into the record
that every engine takes. What follows is what a case has beside a machine: rule sets of which two
are equal and one is not, a wrong machine for each clause, a scope, a host, and mutants of it.

States    ``State``: how many coins the locker holds
Events    ``Deposit`` ``Withdraw`` ``Clear``
Outcomes  ``Deposited`` ``Withdrawn`` ``Cleared`` ``Refused``

======  =======  ====================================================
clause  about    says
======  =======  ====================================================
TOY-1   a state  the locker does not hold more than three coins
TOY-2   a step   a refusal leaves the locker as it was
TOY-3   a step   what is put in or taken out is what was asked for
TOY-4   reach    the locker is full now and then
======  =======  ====================================================

To explore a machine, say how much to try:

>>> from plumbline_spec.explore import explore
>>> walk = explore(machine(), Scope(coins=2))
>>> walk.states, walk.transitions, walk.holds
(4, 20, True)

A wrong machine breaks a clause, and the trace to it is a shortest one:

>>> found = explore(machine(ONE_TOO_MANY), Scope(coins=2)).counterexample
>>> for line in (*found.broken, *found.events): print(line)
TOY-1 the locker: holds 4 coins, the limit is 3
Deposit(coins=2)
Deposit(coins=2)

To judge a host, give an engine the machine and a factory of the host. Here a machine in memory is
the host, and a wrong one; the trace was shrunk:

>>> from plumbline_spec.lockstep import Effort, lockstep
>>> effort = Effort(examples=20, steps=10, seed=1)
>>> run = lockstep(machine(), lambda: model_host(machine(PARTLY)), Scope(coins=2), effort)
>>> for line in (run.failure.name, *run.events): print(line)
Withdraw: Refused(short), host Withdrawn
Withdraw(coins=1)

``case`` is what a registry holds: ``plumbline_spec.subject.subject(case())`` runs any engine on it.
"""

from collections.abc import Iterator
from enum import Enum
from functools import partial
from typing import Annotated, TypeAlias, assert_never

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace
from typing_extensions import override

from plumbline_models import contract
from plumbline_models.contract import (
    MAX_INTEGER,
    Choices,
    SometimesClause,
    StateClause,
    StepClause,
    Witness,
)
from plumbline_models.history import CONSTRUCTED, Variant
from plumbline_spec.case import Build, Case, Equivalent, Mutant, Mutants, Scopes
from plumbline_spec.host import Client, Gate, Judged, RequestId
from plumbline_spec.model_host import ModelClient, ModelShared, model_host
from plumbline_spec.model_storage import ModelStorage
from plumbline_spec.profiles import PROFILES

LIMIT = 3
"""Coins that the locker holds at most."""

_Held = Annotated[int, Meta(ge=0, le=MAX_INTEGER, description="coins in the locker")]
_Coins = Annotated[int, Meta(ge=1, le=MAX_INTEGER, description="coins put in or taken out")]


class State(Struct, frozen=True, kw_only=True):
    """The locker."""

    held: _Held = 0


class Deposit(Struct, frozen=True, kw_only=True, tag="toy.Deposit", forbid_unknown_fields=True):
    """Put coins in; refused when they do not all fit."""

    coins: _Coins


class Withdraw(Struct, frozen=True, kw_only=True, tag="toy.Withdraw", forbid_unknown_fields=True):
    """Take coins out; refused when there are fewer."""

    coins: _Coins


class Clear(Struct, frozen=True, kw_only=True, tag="toy.Clear", forbid_unknown_fields=True):
    """Take every coin out; refused when there is none."""


class Deposited(Struct, frozen=True, kw_only=True, tag="toy.Deposited"):
    """The coins are in."""

    held: _Held


class Withdrawn(Struct, frozen=True, kw_only=True, tag="toy.Withdrawn"):
    """The coins are out."""

    held: _Held


class Cleared(Struct, frozen=True, kw_only=True, tag="toy.Cleared"):
    """Every coin is out."""

    coins: _Coins


class Reason(Enum):
    """Why an event is refused."""

    FULL = "full"
    SHORT = "short"
    EMPTY = "empty"


class Refused(Struct, frozen=True, kw_only=True, tag="toy.Refused"):
    """Nothing was done."""

    reason: Reason


Event: TypeAlias = Deposit | Withdraw | Clear
Outcome: TypeAlias = Deposited | Withdrawn | Cleared | Refused


class Record(Struct, frozen=True, kw_only=True):
    """An event, its outcome and the state after it."""

    event: Event
    outcome: Outcome
    state: State


class Scope(Struct, frozen=True, kw_only=True):
    """How much is tried."""

    coins: int
    """The greatest number of coins that an event names."""


class Rules(Struct, frozen=True, kw_only=True):
    """The decision points."""

    name: str
    limit: int = LIMIT
    by_room: bool = False
    """Whether a deposit is held against the room that is left, and not against the limit."""
    partly: bool = False
    """Whether a withdrawal of more than there is takes what there is."""
    loses: bool = False
    """Whether a withdrawal of more than there is is refused and the coins are gone."""


SPEC = Rules(name="SPEC")
BY_ROOM = Rules(name="BY_ROOM", by_room=True)
PARTLY = Rules(name="PARTLY", partly=True)
RULE_SETS = (SPEC, BY_ROOM, PARTLY)
"""The specification, one that is equal to it, and one that is not."""

ONE_TOO_MANY = Rules(name="ONE_TOO_MANY", limit=LIMIT + 1)
LOSES = Rules(name="LOSES", loses=True)
NEVER_FULL = Rules(name="NEVER_FULL", limit=LIMIT - 1)

Machine: TypeAlias = contract.Machine[State, Event, Outcome, Scope]


def step(rules: Rules, state: State, event: Event) -> tuple[State, Outcome]:
    """Take one event."""
    held = state.held
    match event:
        case Deposit(coins=coins):
            fit = coins <= rules.limit - held if rules.by_room else held + coins <= rules.limit
            if not fit:
                return state, Refused(reason=Reason.FULL)
            return State(held=held + coins), Deposited(held=held + coins)
        case Withdraw(coins=coins):
            if coins > held and not rules.partly:
                return State() if rules.loses else state, Refused(reason=Reason.SHORT)
            left = max(0, held - coins)
            return State(held=left), Withdrawn(held=left)
        case Clear():
            if held == 0:
                return state, Refused(reason=Reason.EMPTY)
            return State(), Cleared(coins=held)
        case _:
            assert_never(event)


def _overfull(state: State) -> Iterator[Witness]:
    if state.held > LIMIT:
        found = f"holds {state.held} coins, the limit is {LIMIT}"
        yield Witness(row="the locker", found=found)


def _changed(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del event, outcome
    return None if after == before else _holds(after, before.held)


def _inexact(before: State, event: Event, outcome: Outcome, after: State) -> Witness | None:
    del outcome
    match event:
        case Deposit(coins=coins):
            left = before.held + coins
        case Withdraw(coins=coins):
            left = before.held - coins
        case Clear():
            left = 0
        case _:
            assert_never(event)
    return None if after.held == left else _holds(after, left)


def _holds(state: State, wanted: int) -> Witness:
    return Witness(row="the locker", found=f"holds {state.held} coins and not {wanted}")


def _full(before: State, event: Event, outcome: Outcome, after: State) -> bool:
    del before, event, outcome
    return after.held == LIMIT


CLAUSES: tuple[contract.Clause[State, Event, Outcome], ...] = (
    StateClause(
        id="TOY-1",
        title="limit",
        sentence=f"The locker MUST NOT hold more than {LIMIT} coins.",
        witnesses=_overfull,
    ),
    StepClause(
        id="TOY-2",
        title="refusal",
        sentence="A refusal MUST leave the locker as it was.",
        breaks=_changed,
        outcomes=(Refused,),
        inert=True,
    ),
    StepClause(
        id="TOY-3",
        title="exact",
        sentence="An event that is not refused MUST move exactly the coins that it names.",
        breaks=_inexact,
        outcomes=(Deposited, Withdrawn, Cleared),
    ),
    SometimesClause(
        id="TOY-4",
        title="full",
        sentence="Some step MUST fill the locker.",
        reached=_full,
    ),
)


def events(state: State, scope: Scope) -> Iterator[Event]:
    """Yield every event within the scope; the same ones in every state."""
    del state
    for coins in range(1, scope.coins + 1):
        yield Deposit(coins=coins)
        yield Withdraw(coins=coins)
    yield Clear()


def choices(state: State) -> Choices:
    """Return what just fits and just does not, to put in and to take out."""
    room = LIMIT - state.held
    return Choices(
        groups=({"coins:Deposit": _near(room), "coins:Withdraw": _near(state.held)},),
    )


def _near(coins: int) -> tuple[int, ...]:
    return tuple(one for one in (1, coins, coins + 1) if one > 0)


def outcome_name(outcome: Outcome) -> str:
    """Name an outcome in tables: ``Deposited``, ``Refused(full)``."""
    if isinstance(outcome, Refused):
        return f"Refused({outcome.reason.value})"
    return type(outcome).__name__


PAIRS = (
    ("Deposit", "Deposited"),
    ("Deposit", "Refused(full)"),
    ("Withdraw", "Withdrawn"),
    ("Withdraw", "Refused(short)"),
    ("Clear", "Cleared"),
    ("Clear", "Refused(empty)"),
)
"""Every (event, outcome) that can occur."""

_events: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_outcomes: msgspec.json.Decoder[Outcome] = msgspec.json.Decoder(Outcome)
_states: msgspec.json.Decoder[State] = msgspec.json.Decoder(State)


def machine(rules: Rules = SPEC) -> Machine:
    """Return the locker under a rule set."""
    return contract.Machine(
        name="toy",
        rules_name=rules.name,
        initial=State(),
        kinds=(Deposit, Withdraw, Clear),
        decode=_events.decode,
        decode_outcome=_outcomes.decode,
        decode_state=_states.decode,
        record=Record,
        step=partial(step, rules),
        events=events,
        choices=choices,
        clauses=CLAUSES,
        outcome_name=outcome_name,
        pairs=PAIRS,
    )


def _variant(rules: Rules, breaks: str, story: str) -> Variant[State, Event, Outcome, Scope]:
    return Variant(
        name=rules.name,
        machine=partial(machine, rules),
        breaks=breaks,
        source=CONSTRUCTED,
        story=story,
        scope=Scope(coins=2),
        sole=True,
    )


VARIANTS = (
    _variant(ONE_TOO_MANY, "TOY-1", "A fourth coin is taken."),
    _variant(LOSES, "TOY-2", "A withdrawal is refused and the coins are gone."),
    _variant(PARTLY, "TOY-3", "A withdrawal of more than there is takes what there is."),
    _variant(NEVER_FULL, "TOY-4", "The third coin is refused."),
)
"""A wrong machine for each clause; no other clause notices it."""


def host(rules: Rules = SPEC) -> Judged[State, Event, Outcome]:
    """Return a host that is right: the machine itself; under other rules it may be wrong."""
    return model_host(machine(rules))


def _mutant(rules: Rules, change: str) -> Mutant[State, Event, Outcome, Scope]:
    """Return a build with a change of ``step``: a host under rules that answer as it would."""
    before, after = change.split(" -> ")
    return Mutant(
        id=f"toy.step {rules.name}",
        operator="by hand",
        place="toy.py",
        diff=f"--- toy.py\n+++ toy.py\n-{before}\n+{after}",
        case=partial(_case_of_build, rules),
    )


def mutants() -> Mutants[State, Event, Outcome, Scope]:
    """Return three mutants of the host: two are mistakes, and one is proven to be none."""
    made = (
        _mutant(ONE_TOO_MANY, "held + coins <= 3 -> held + coins <= 3 + 1"),
        _mutant(LOSES, "return state, Refused(SHORT) -> return State(), Refused(SHORT)"),
        _mutant(BY_ROOM, "held + coins <= 3 -> coins <= 3 - held"),
    )
    equal = Equivalent(
        id=made[2].id,
        change=made[2].change,
        proof="Both sides less the coins that are held; integers do not overflow.",
    )
    return Mutants(
        every=lambda: made,
        unchanged=case,
        equivalents=lambda: (equal,),
        scopes=(Scope(coins=2),),
    )


class Careless(ModelClient[State, Event, Outcome, Scope]):
    """A client that looks what the locker holds, and writes what it made of that later."""

    @override
    def step(self, event: Event, request: RequestId | None = None) -> Outcome:
        self.pass_gate("read")
        before = self.shared.host.observe()
        after, outcome = step(SPEC, before, event)
        self.pass_gate("write")
        self.shared.host.reset()
        if after.held:
            self.shared.host.step(Deposit(coins=after.held))
        return outcome


class Unlocked(ModelShared[State, Event, Outcome, Scope]):
    """A locker that careless clients share."""

    @override
    def client(self, gate: Gate | None) -> Client[State, Event, Outcome]:
        return Careless(self, gate)


def careless_case() -> Case[State, Event, Outcome, Scope]:
    """Return the locker shared by careless clients: what ``interleave`` must catch."""
    return replace(case(), shared=lambda: Unlocked(machine()), builds=())


CARELESS = Build(
    name="read, then write",
    engine="interleave",
    breaks="SCH-1",
    story="Nothing is locked between what a client reads and what it writes.",
    case=careless_case,
)


def dishonest_case() -> Case[State, Event, Outcome, Scope]:
    """Return the locker on a disk whose errors are told wrongly: what ``faults`` must catch."""
    return replace(case(), storage=lambda: ModelStorage(machine(), honest=False), builds=())


DISHONEST = Build(
    name="unknown told as undone",
    engine="faults",
    breaks="FLT-5",
    story="When the folder cannot be synced it says that nothing was done.",
    case=dishonest_case,
)


def case() -> Case[State, Event, Outcome, Scope]:
    """Return the locker with all that the engines need."""
    return _case_of_build(SPEC)


def _case_of_build(rules: Rules) -> Case[State, Event, Outcome, Scope]:
    """Return the locker with hosts under these rules; the machine stays what it is."""
    scope = Scope(coins=2)
    scopes = Scopes(explore=(scope,), descend=(scope,), diff=scope)
    return Case(
        machine=machine(),
        rule_sets={rules.name: partial(machine, rules) for rules in RULE_SETS},
        equal_rule_sets=(("SPEC", "BY_ROOM"),),
        scopes=dict.fromkeys(PROFILES, scopes),
        vectors_scopes=(scope,),
        host=partial(host, rules),
        durable=partial(host, rules),
        shared=lambda: ModelShared(machine(rules)),
        storage=lambda: ModelStorage(machine(rules)),
        builds=(CARELESS, DISHONEST),
        mutants=mutants(),
        variants=VARIANTS,
    )
