"""Sweeping: one course through every power loss and every error, in one setting (FLT-1 to FLT-6).

A course is a history whose last event is judged. ``Sweeps`` is what ``faults`` takes courses
through, and what a kept trace is taken through again.
"""

from collections.abc import Sequence
from random import Random
from typing import Generic, TypeVar

from plumbline_models.contract import Machine
from plumbline_spec.case import Case
from plumbline_spec.clause_table import ClauseBroken
from plumbline_spec.disk import Reach
from plumbline_spec.failing import FailingSweep
from plumbline_spec.host import Fault, Setting, Storage, Threat, threatening
from plumbline_spec.power import PowerSweep, Tally
from plumbline_spec.profiles import FaultEffort
from plumbline_spec.publishing import publish
from plumbline_spec.traces import Trace
from plumbline_spec.trial import Trial, judge
from plumbline_spec.unreliable import unreliable

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")

CLAUSES = {
    "FLT-1": (
        "whole",
        (
            "After a power loss at any moment of an event, what is recovered MUST be the state"
            " before the event or the state after it, with the stored answers of that state."
        ),
    ),
    "FLT-2": (
        "durable",
        "What was answered MUST still be there after a power loss at any later moment.",
    ),
    "FLT-3": (
        "intact",
        "What is left after a power loss or an error MUST open, and MUST pass every check of it.",
    ),
    "FLT-4": (
        "recovery",
        (
            "A power loss at any moment of a recovery MUST lead to the state that the recovery"
            " leads to when it is not disturbed."
        ),
    ),
    "FLT-5": (
        "true answer",
        (
            "An event whose environment fails MUST be answered as the machine answers it, or end in"
            " an error of the environment; unless that error says that the outcome is unknown,"
            " nothing MUST have been done."
        ),
    ),
    "FLT-6": (
        "again",
        (
            "After a power loss or an error, the same event with the same request id MUST be"
            " answered as if nothing had happened, and MUST be done once."
        ),
    ),
    "FLT-7": (
        "published file",
        (
            "A file that is written outside the database MUST be the old one or the new one after"
            " a power loss at any moment, and the new one once its writer returned."
        ),
    ),
}

AGAIN = FaultEffort(every_pair=True, subsets=5, drawn=12, recoveries=2, strikes=200, histories=0)
"""How much is done for a trace that was kept."""
SEED = 1


class Sweeps(Generic[S, E, O, C]):
    """What happens to courses in one setting."""

    def __init__(
        self,
        machine: Machine[S, E, O, C],
        storage: Storage[S, E, O],
        setting: Setting,
        effort: FaultEffort,
        random: Random,
    ) -> None:
        reach = Reach(subsets=effort.subsets, drawn=effort.drawn, omitted=effort.omitted)
        self.setting = setting
        self.power = PowerSweep(
            machine,
            storage,
            setting,
            reach,
            random,
            recoveries=effort.recoveries,
            closings=effort.closings,
            moments=effort.moments,
        )
        self.failing = FailingSweep(self.power, effort.strikes, random)

    def create(self) -> None:
        """Lose power while the store is made, and let that fail. Raises ``ClauseBroken``."""
        self.power.create()
        self.failing.open(())

    def take(self, events: Sequence[E]) -> None:
        """Lose power within the last of these events, and let it fail. Raises ``ClauseBroken``."""
        self.power.take(events, last=True)
        self.failing.take(events)

    def open(self, events: Sequence[E]) -> None:
        """Let opening fail after a kill that followed these events. Raises ``ClauseBroken``."""
        self.failing.open(events)

    @property
    def tallies(self) -> dict[str, Tally]:
        """What was done, by the name of the event."""
        found = dict[str, Tally]()
        for sweep in (self.power, self.failing):
            for name, tally in sweep.tallies.items():
                found.setdefault(name, Tally()).add(tally)
        return found


def swept_again(case: Case[S, E, O, C], trace: Trace[S, E, O]) -> ClauseBroken | None:
    """Let happen to a kept trace what had happened to it; return what it breaks still.

    Without a word about its environment it goes through every fault in every setting that ships.
    """
    if case.storage is None:
        return None
    about, storage = trace.header.environment, case.storage()
    random = Random(SEED)  # noqa: S311 - repeats with its seed, no secret
    try:
        publish(Reach(subsets=AGAIN.subsets, drawn=AGAIN.drawn), random, Tally())
        for setting in storage.settings:
            if setting.name == about.setting if about is not None else setting.ships:
                if about is not None and about.threat is not None:
                    _threaten(case, setting, trace.events, about.threat)
                sweeps = Sweeps(case.machine, storage, setting, AGAIN, random)
                _take_again(sweeps, trace.events, None if about is None else about.fault)
    except ClauseBroken as breach:
        return breach
    finally:
        storage.close()
    return None


def _threaten(
    case: Case[S, E, O, C], setting: Setting, events: tuple[E, ...], threat: Threat
) -> None:
    """Let the same happen to every event of a history that was drawn. Raises ``ClauseBroken``."""
    assert case.storage is not None
    judged = threatening(unreliable(case.storage, setting), threat)()
    try:
        found = judge(Trial(case.machine, judged), events)
    finally:
        judged.host.close()
    if found is not None:
        _, failure = found
        raise ClauseBroken(failure.name, setting.name, failure.detail)


def _take_again(sweeps: Sweeps[S, E, O, C], events: tuple[E, ...], fault: Fault | None) -> None:
    if fault is not None:
        if events:
            sweeps.failing.take(events, fault)
        sweeps.failing.open(events, fault)
    elif not events:
        sweeps.create()
    else:
        sweeps.take(events)
        sweeps.open(events)
