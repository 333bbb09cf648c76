"""The exceptions of Plumbline: what the environment or a caller does; no chapter foresees it."""


class PlumblineError(Exception):
    """The root: catch it to catch everything that Plumbline raises on purpose."""


class UnusableInput(PlumblineError):  # noqa: N818 - the name says what happened
    """A file, a name or an option cannot be used; the message says what, where, and what to do."""


class RequestReused(PlumblineError):  # noqa: N818 - the name says what happened
    """A request id came again with another event; nothing was done. Use a fresh id."""

    def __init__(self, request: str) -> None:
        super().__init__(
            f"request id {request!r} was already used for another event; "
            "nothing was done: send the same event again, or use a fresh id"
        )
        self.request = request


class CouldNotFinish(PlumblineError):  # noqa: N818 - the name says what happened
    """Work ended before its minimum was done: a bound, a deadline or a fault of the environment."""


class OutcomeUnknown(CouldNotFinish):
    """A COMMIT ended in an error: the event was done whole or not at all, and nobody knows which.

    The request id decides: the same event with the same id answers what was stored, or is done now.
    """

    def __init__(self, why: str) -> None:
        super().__init__(
            f"the commit ended in an error ({why}), so what was asked for is done whole or not at "
            "all: ask again with the same request id, or look what is stored"
        )
        self.why = why

    def __reduce__(self) -> tuple[type["OutcomeUnknown"], tuple[str]]:
        return OutcomeUnknown, (self.why,)


class OutOfSteps(PlumblineError):  # noqa: N818 - the name says what happened
    """A build that is judged with a bound of steps reached it: it may never have ended."""
