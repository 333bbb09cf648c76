"""The exceptions of Plumbline: what the environment or a caller does, never what a chapter foresees."""


class PlumblineError(Exception):
    """The root: catch it to catch everything that Plumbline raises on purpose."""


class UnusableInput(PlumblineError):
    """A file, a name or an option cannot be used; the message says what, where, and what to do."""


class RequestReused(PlumblineError):
    """A request id came again with another event; nothing was done. Use a fresh id for a fresh event."""

    def __init__(self, request: str) -> None:
        super().__init__(
            f"request id {request!r} was already used for another event; "
            "nothing was done: send the same event again, or use a fresh id"
        )
        self.request = request


class CouldNotFinish(PlumblineError):
    """Work ended before its minimum was done: a bound, a deadline or a fault of the environment."""
