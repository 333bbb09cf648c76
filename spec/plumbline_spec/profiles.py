"""Profiles: how much every engine does at least, and how long all of them may take together."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

ProfileName = Literal["quick", "ci", "nightly"]


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
    afresh: bool
    """Whether variants are searched for again, or judged on their stored traces."""
    histories_floor: int
    """Per cent of the events and outcomes that the host can have; lockstep's minimum reaches it."""


PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile(
            name="quick",
            seconds=60,
            patience=5,
            examples=120,
            steps=40,
            durable_examples=8,
            afresh=False,
            histories_floor=75,
        ),
        Profile(
            name="ci",
            seconds=600,
            patience=4,
            examples=1_500,
            steps=60,
            durable_examples=60,
            afresh=True,
            histories_floor=95,
        ),
        Profile(
            name="nightly",
            seconds=4 * 3600,
            patience=2,
            examples=20_000,
            steps=100,
            durable_examples=1_000,
            afresh=True,
            histories_floor=100,
        ),
    )
}
