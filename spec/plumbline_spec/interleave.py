"""Interleave: two and three clients at once, every schedule at the grain of statements.

Theory of operation. ``plumbline_spec.pairing`` chooses which events meet in which state,
``plumbline_spec.schedules`` runs the clients one statement at a time, and
``plumbline_spec.meetings`` holds each history to the machine (SCH-1 to SCH-6). This module spends a
budget on them. Every meeting of two is taken in every mode of the store, fewest switches first, up
to the profile's bound, and where the bound cuts a search off Hypothesis draws schedules beyond it.
Some meetings of three, which the seed draws, are searched a little and drawn as much. What is left
of the time goes on with the searches that were cut off, in an order that the seed decides too.

In the same run the engine is held to its own strength: the case's builds with a fault that names
this engine are taken through the same meetings, until the clause that each must break is broken. A
build that is not caught makes the verdict *broken*: then nothing that was seen means anything.

A finding is a trace: the events up to the start, then those of the clients, with the mode, what
each client asked and the schedule in its header. It was shrunk: the start by events, the schedule
to the fewest switches.
"""

import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Generic, TypeVar

from msgspec import Struct

from plumbline_spec.campaigns import HEADING, Bench, Campaign, Found, first_breach
from plumbline_spec.case import Build, Case, Plan
from plumbline_spec.clause_table import Progress
from plumbline_spec.engines import not_applicable
from plumbline_spec.meetings import CLAUSES, Meeting
from plumbline_spec.pairing import Pairing, pair_up
from plumbline_spec.repeating import finding, shrunk
from plumbline_spec.report import EngineReport, Finding, PairSteps, Verdict
from plumbline_spec.schedules import WAITS, on_one_core

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")

ENGINE = "interleave"
CHUNK = 64
"""Schedules that one meeting is given at a time; progress is told between two chunks."""
CROWD_PART = 4
"""How many searches of two clients go on for one of three, while there is time for more."""
LIKELY = {"SCH-3": "observe", "SCH-4": "request", "SCH-5": "observe", "SCH-6": "open"}
"""The form of meetings in which a clause is broken first, where that is not all of them."""
OPENING_COSTS = 4
"""How many times more a schedule costs in which a store is made; it gets so many times fewer."""
OPENING_LEAST = 16
CONTROL_ROUNDS = ((80, 1_000), (600, 8), (4_000, 8))
"""Schedules of a meeting in one mode in which a build with a fault is looked for, and in how many
of the likeliest: first a few of each, then more of some."""


def run_interleave(case: Case[S, E, O, C], plan: Plan, progress: Progress) -> EngineReport:
    """Take every meeting of the machine's events in every mode; hold the engine to its controls."""
    if case.shared is None:
        by_steps = "its events are steps of several processes already"
        why = by_steps if case.by_steps else "the host has one client at a time"
        return not_applicable(case, ENGINE, why)
    pairing = pair_up(case.machine, case.meeting_scopes or case.scopes[plan.profile.name].descend)
    progress(f"{len(pairing.meetings)} meetings")
    with on_one_core(), Bench(case.machine, case.shared()) as bench:
        effort = _Effort(bench, pairing, plan, progress)
        controls = [_control(build, pairing, progress) for build in _controls(case)]
        started = time.perf_counter()
        effort.minimum()
        effort.more()
        seconds = time.perf_counter() - started
        found = effort.found
        findings = [] if found is None else [finding(bench, shrunk(bench, found))]
    return effort.report(findings, controls, seconds)


class _Effort(Generic[S, E, O, C]):
    """What a run does: the profile's minimum, then more while there is time."""

    def __init__(
        self,
        bench: Bench[S, E, O, C],
        pairing: Pairing[E],
        plan: Plan,
        progress: Progress,
    ) -> None:
        self._bench, self._pairing, self._plan, self._progress = bench, pairing, plan, progress
        modes = bench.shared.modes
        self.campaigns, self.crowds = (
            [
                bench.campaign(meeting, mode, with_seed=plan.seed)
                for meeting in meetings
                for mode in modes
            ]
            for meetings in (pairing.meetings, pairing.crowds)
        )
        self.found: Found[E] | None = None
        self._chance = random.Random(plan.seed)  # noqa: S311 - an order that a seed repeats

    def minimum(self) -> None:
        """Take every meeting in every mode up to the bound, some crowds, and what is drawn."""
        profile = self._plan.profile
        for campaign in self.campaigns:
            self._search(campaign, _part(campaign, profile.schedules))
        for campaign in self.campaigns:
            if not campaign.complete:
                self._draw(campaign, _part(campaign, profile.drawn_beyond))
        for campaign in self._chance.sample(self.crowds, min(profile.crowds, len(self.crowds))):
            self._search(campaign, profile.drawn)
            if not campaign.complete:
                self._draw(campaign, profile.drawn)

    def more(self) -> None:
        """Go on where a bound cut a search off, three clients included, until time is up."""
        until = self._plan.until
        while until is not None and self.found is None:
            left = [one for one in self.campaigns if one.goes_on]
            crowds = [one for one in self.crowds if one.goes_on]
            left += self._chance.sample(crowds, min(1 + len(left) // CROWD_PART, len(crowds)))
            self._chance.shuffle(left)
            for campaign in left:
                if time.monotonic() >= until:
                    return
                self._search(campaign, campaign.schedules + _part(campaign, CHUNK))
            if not left:
                return

    def _search(self, campaign: Campaign[S, E, O, C], schedules: int) -> None:
        """Go on with a search until it has taken so many schedules."""
        while campaign.goes_on and campaign.schedules < schedules and self.found is None:
            self._tell(campaign)
            self.found = campaign.go_on(min(CHUNK, schedules - campaign.schedules))

    def _draw(self, campaign: Campaign[S, E, O, C], examples: int) -> None:
        for done in range(0, examples, CHUNK):
            if self.found is None:
                self._tell(campaign)
                with_seed = self._chance.getrandbits(32)
                self.found = campaign.draw(min(CHUNK, examples - done), with_seed)

    def _tell(self, campaign: Campaign[S, E, O, C]) -> None:
        """Report how far the run is; raises ``CouldNotFinish`` when its time is over."""
        done = sum(one.schedules for one in (*self.campaigns, *self.crowds))
        together = campaign.together
        self._progress(f"{done:,} schedules; {together.meeting.name}, {together.mode}")

    def report(
        self, findings: list[Finding], controls: Sequence["_Control"], seconds: float
    ) -> EngineReport:
        """Return what was seen."""
        taken = [one for one in (*self.campaigns, *self.crowds) if one.schedules]
        faults = [f"no meeting for the event {kind}" for kind in self._pairing.missing]
        faults += [f"control not caught: {one.name}" for one in controls if not one.clause]
        schedules = sum(one.schedules for one in taken)
        figures = {
            "meetings": len(self._pairing.meetings),
            "schedules": schedules,
            "concurrent_histories": sum(one.together.histories for one in taken),
            "complete_searches": sum(one.complete for one in self.campaigns),
            "searches": len(self.campaigns),
            "waits": sum(one.told[WAITS] for one in taken),
            "controls": len(controls),
            "controls_caught": sum(bool(one.clause) for one in controls),
        }
        return EngineReport(
            machine=self._bench.machine.name,
            engine=ENGINE,
            verdict=Verdict.BROKEN if findings or faults else Verdict.HOLDS,
            summary=_summary(figures, seconds),
            figures=figures,
            details=tuple(faults),
            table=(HEADING, *(one.row() for one in taken), *(one.row() for one in controls)),
            pairs=tuple(_pair_steps(taken)),
            clauses=tuple(CLAUSES),
            findings=tuple(findings),
        )


def _part(campaign: Campaign[S, E, O, C], schedules: int) -> int:
    """Return how many of so many schedules are a meeting's part: fewer where each makes a store."""
    opening = campaign.together.meeting.start is None
    part = max(schedules // OPENING_COSTS, OPENING_LEAST)
    return min(part, schedules) if opening else schedules


def _summary(figures: dict[str, int], seconds: float) -> str:
    rate = int(figures["schedules"] / max(seconds, 1e-9))
    return (
        f"{figures['schedules']:,} schedules, {figures['concurrent_histories']:,} histories,"
        f" {figures['complete_searches']} of {figures['searches']} searches complete,"
        f" {figures['controls_caught']} of {figures['controls']} controls caught, {rate:,}/s"
    )


def _pair_steps(campaigns: Iterable[Campaign[S, E, O, C]]) -> Iterator[PairSteps]:
    pairs = Counter[tuple[str, str]]()
    for campaign in campaigns:
        pairs.update(campaign.pairs)
    for (event, outcome), steps in sorted(pairs.items()):
        yield PairSteps(event=event, outcome=outcome, steps=steps)


# Controls: builds with a fault, taken through the same meetings.


class _Control(Struct, frozen=True, kw_only=True):
    """Whether a build with a fault was caught."""

    name: str
    schedules: int
    clause: str = ""
    """The clause by which it was caught; "" when it was not."""
    mode: str = ""
    meeting: str = ""

    def row(self) -> tuple[str, ...]:
        """Return the figures as a row below ``HEADING``."""
        where = f"control: {self.name}" + (f" · {self.meeting}" if self.meeting else "")
        said = f"caught by {self.clause}" if self.clause else "NOT CAUGHT"
        return (where, self.mode, "", f"{self.schedules:,}", *[""] * (len(HEADING) - 5), said)


def _controls(case: Case[S, E, O, C]) -> list[Build[S, E, O, C]]:
    return [build for build in case.builds if build.engine == ENGINE]


def _control(build: Build[S, E, O, C], pairing: Pairing[E], progress: Progress) -> _Control:
    """Look for the clause that a build must break, in one meeting after another."""
    case = build.case()
    assert case.shared is not None, "a control of this engine has a shared store"
    with Bench(case.machine, case.shared()) as bench:
        meetings = _by_turns(pairing.meetings, build.meeting or LIKELY.get(build.breaks, ""))
        modes = bench.shared.modes
        campaigns = [bench.campaign(meeting, mode) for meeting, mode in product(meetings, modes)]
        for most, likeliest in CONTROL_ROUNDS:
            for campaign in campaigns[:likeliest]:
                meeting, mode = campaign.together.meeting, campaign.together.mode
                progress(f"control: {build.name}; {meeting.name}")
                found = first_breach(campaign, build.breaks, most)
                if found is not None:
                    return _Control(
                        name=build.name,
                        schedules=sum(one.schedules for one in campaigns),
                        clause=found.breach.clause,
                        mode=mode,
                        meeting=meeting.name,
                    )
        taken = sum(one.schedules for one in campaigns)
    return _Control(name=build.name, schedules=taken)


def _by_turns(meetings: Sequence[Meeting[E]], likely: str) -> list[Meeting[E]]:
    """Return a meeting of every form, then another of every form: those with most before first.

    Two of the form that is most likely to break a clause come before all others.
    """
    places = Counter[str]({likely: -2})
    keyed: list[tuple[int, Meeting[E]]] = []
    for meeting in sorted(meetings, key=lambda one: -len(one.start or ())):
        keyed.append((places[meeting.form], meeting))
        places[meeting.form] += 1
    return [meeting for _, meeting in sorted(keyed, key=lambda one: one[0])]
