"""Summarisers: one that is always there and only cuts, and one that is a command.

Chapter ``spec/compaction.md``, "Escalation".
"""

import os
import shlex
import signal
import subprocess
from contextlib import suppress

from plumbline_models.decisions.escalation import (
    Answer,
    Call,
    Failed,
    Text,
    Unauthenticated,
    cut,
    measured,
)
from plumbline_spec.errors import UnusableInput

NOTE = "[cut by plumbline, not summarised]\n"
"""Stands before every text that the summariser without a model makes."""
NOT_AUTHENTICATED = 77
"""The exit code by which a command says that its provider did not accept the caller (EX_NOPERM)."""
TIME_LIMIT = 60.0
"""Seconds that a command has for an answer, if nothing else is said."""
TARGET, LEVEL, PRIOR = "PLUMBLINE_TARGET", "PLUMBLINE_LEVEL", "PLUMBLINE_PRIOR"
"""What a command finds in its environment: tokens, ``normal`` or ``aggressive``, and what came
before."""


def cutting(source: str, call: Call, prior: tuple[str, ...]) -> Answer:
    """Answer the beginning of the source, and say that it is no summary."""
    del prior
    room = max(1, call.target - measured(NOTE))
    return Text(text=NOTE + cut(source, room))


class Command:
    """A program that reads a source from standard input and writes a summary.

    Exit code 0 is an answer, and ``NOT_AUTHENTICATED`` says that the caller was not accepted. Any
    other, a time-out, and bytes that are no UTF-8 are a failed call.
    """

    def __init__(self, command: str, time_limit: float = TIME_LIMIT) -> None:
        try:
            self.words = shlex.split(command)
        except ValueError as error:
            raise UnusableInput(f"the summarizer {command!r} cannot be read: {error}") from error
        if not self.words:
            raise UnusableInput("the summarizer is empty; name a command")
        self.time_limit = time_limit
        self.trouble = ""
        """What the last call that failed said."""

    def __call__(self, source: str, call: Call, prior: tuple[str, ...]) -> Answer:
        """Ask once. Raises ``UnusableInput`` when there is no such command."""
        environment = {
            **os.environ,
            TARGET: str(call.target),
            LEVEL: call.level.value,
            PRIOR: "\n\n".join(prior),
        }
        try:
            process = subprocess.Popen(  # noqa: S603 - the user's own command, without a shell
                self.words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise UnusableInput(
                f"the summarizer {self.words[0]!r} cannot be run ({error.strerror}); "
                "nothing more was done: name a command that can"
            ) from error
        try:
            said, complained = process.communicate(source.encode(), timeout=self.time_limit)
        except subprocess.TimeoutExpired:
            return self._failed(f"no answer within {self.time_limit:g} s")
        finally:
            _end(process)
        return self._answer(process.returncode, said, complained)

    def _answer(self, code: int, said: bytes, complained: bytes) -> Answer:
        if code == NOT_AUTHENTICATED:
            self.trouble = f"exit code {code}: not authenticated"
            return Unauthenticated()
        if code != 0:
            words = complained.decode("utf-8", "backslashreplace").strip()[-200:]
            return self._failed(f"exit code {code}: {words}" if words else f"exit code {code}")
        try:
            return Text(text=said.decode())
        except UnicodeDecodeError as error:
            return self._failed(f"an answer that is not UTF-8 at byte {error.start}")

    def _failed(self, trouble: str) -> Failed:
        self.trouble = trouble
        return Failed()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Stop a command and what it started, if it is still there."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
