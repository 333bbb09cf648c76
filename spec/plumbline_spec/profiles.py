"""Profiles: how much every engine does at least, and how long all of them may take together."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

ProfileName = Literal["quick", "ci", "nightly"]


class FaultEffort(Struct, frozen=True, kw_only=True):
    """How much ``faults`` does at least."""

    every_pair: bool
    """Whether an event is taken with each of its outcomes, or once."""
    settings: int = 1_000
    """In how many of the settings that ship each event is taken; all when there are fewer. The
    others follow when there is time."""
    subsets: int
    """Up to so many pending operations every subset of them is tried."""
    drawn: int
    """Subsets drawn beyond that at each moment."""
    omitted: int = 1_000_000
    """Subsets at each moment in which one operation is missing; all when there are fewer."""
    recoveries: int
    """Recoveries in each event during which the power is lost again."""
    closings: int = 1_000_000
    """Closings of a store that are judged in each setting; all when there are fewer."""
    moments: int = 1_000_000
    """Moments of a creation, a closing, a recovery and an event that met an error; all of them
    when there are fewer. Of an event that met none every moment is taken."""
    strikes: int
    """Calls of each kind that fail in an event; all of them when there are fewer."""
    histories: int
    """Histories with power losses and errors, in each setting that ships."""


class Profile(Struct, frozen=True, kw_only=True):
    """A fixed seeded minimum for each engine, and a budget; more histories use up what is left."""

    name: str
    seconds: int
    """Wall time for all machines and engines on two cores; more is done until it is over."""
    patience: int
    """How many times that time the minimum may take on a slow or busy machine."""
    examples: int
    """Histories of lockstep in memory."""
    steps: int
    """Steps in a history."""
    durable_examples: int
    """Histories of lockstep on a file."""
    processes: int = 1
    """Processes of one walk of ``explore``, where there are as many cores."""
    faults: FaultEffort = FaultEffort(
        every_pair=False,
        settings=1,
        subsets=2,
        drawn=2,
        omitted=3,
        recoveries=1,
        closings=1,
        moments=4,
        strikes=4,
        histories=1,
    )
    schedules: int = 8
    """Schedules of two clients for each meeting and mode, fewest switches first."""
    drawn_beyond: int = 0
    """Schedules that Hypothesis draws for a meeting where that bound cut the search off."""
    crowds: int = 0
    """Meetings of three clients, in one mode each."""
    drawn: int = 0
    """Schedules of each of those: so many are searched, and so many drawn by Hypothesis."""
    afresh: bool
    """Whether variants are searched for again, or judged on their stored traces."""
    mutants: int = 0
    """Mutants of each machine judged at least, or all when there are fewer; 0 for none at all."""
    histories_floor: int
    """Per cent of the events and outcomes that the host can have; lockstep's minimum reaches it."""


PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile(
            name="quick",
            seconds=60,
            patience=5,
            examples=60,
            steps=40,
            durable_examples=8,
            schedules=8,
            crowds=2,
            drawn=20,
            afresh=False,
            mutants=0,
            histories_floor=70,
        ),
        Profile(
            name="ci",
            seconds=600,
            patience=4,
            examples=600,
            steps=60,
            durable_examples=60,
            processes=2,
            faults=FaultEffort(
                every_pair=True,
                settings=1,
                subsets=4,
                drawn=6,
                omitted=8,
                recoveries=1,
                closings=3,
                moments=6,
                strikes=10,
                histories=20,
            ),
            schedules=400,
            drawn_beyond=100,
            crowds=24,
            drawn=100,
            afresh=True,
            mutants=60,
            histories_floor=95,
        ),
        Profile(
            name="nightly",
            seconds=4 * 3600,
            patience=2,
            examples=20_000,
            steps=100,
            durable_examples=1_000,
            processes=2,
            faults=FaultEffort(
                every_pair=True,
                subsets=11,
                drawn=48,
                recoveries=20,
                strikes=100_000,
                histories=1_000,
            ),
            schedules=8_000,
            drawn_beyond=500,
            crowds=1_000,
            drawn=500,
            afresh=True,
            mutants=100_000,
            histories_floor=100,
        ),
    )
}
