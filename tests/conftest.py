"""Settings of every test: Hypothesis has no deadline, because a slow machine is not a failure."""

from hypothesis import settings

settings.register_profile("plumbline", deadline=None)
settings.load_profile("plumbline")
