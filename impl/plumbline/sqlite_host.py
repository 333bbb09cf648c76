"""A machine over SQLite as the judge's host: one class for every machine."""

import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, Literal, TypeVar

import apsw
from msgspec import Struct

from plumbline.database import MEMORY, USUAL, Answer, Opening, answered, open_database, snapshot
from plumbline_spec.host import Judged, RequestId

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract

FILE = "plumbline.db"


class Program(Struct, Generic[S, E, O], frozen=True, kw_only=True):
    """What a machine's module offers: pure functions of a connection."""

    apply: Callable[[apsw.Connection, E], O]
    """Apply one event inside an open transaction."""
    observe: Callable[[apsw.Connection], S]
    parts: Callable[[apsw.Connection], Iterator[tuple[str, S]]]
    decode_outcome: Callable[[bytes], O]
    reopens: Callable[[E], Literal["reopen", "crash"] | None] = lambda _event: None
    """Whether an event is about the process, and which way it stops."""


class SqliteHost(Generic[S, E, O]):
    """A database of its own, in memory or in a temporary folder, driven event by event."""

    def __init__(
        self,
        program: Program[S, E, O],
        *,
        durable: bool = False,
        answer: Answer = answered,
        opening: Opening = USUAL,
    ) -> None:
        self._program, self._answer, self._opening = program, answer, opening
        self._durable = durable
        self._folder: Path | None = None
        self._ran: list[str] | None = None
        self._db = self._open()

    def _open(self) -> apsw.Connection:
        if not self._durable:
            return open_database(MEMORY, opening=self._opening)
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="plumbline-"))
        return open_database(str(self._folder / FILE), opening=self._opening)

    @property
    def connection(self) -> apsw.Connection:
        """The connection in use, for those who measure it."""
        return self._db

    def reset(self) -> None:
        """Begin again with an empty database."""
        self.close()
        self._db = self._open()

    def step(self, event: E, request: RequestId | None = None) -> O:
        """Apply one event in one transaction; see ``plumbline.database.answered``.

        An event about the process stops and starts what is durable first.
        """
        stops = self._program.reopens(event)
        if stops is not None and self._durable:
            if stops == "crash":
                self.crash()
            self.reopen()
        program = self._program
        return self._answer(self._db, request, event, program.apply, program.decode_outcome)

    def observe(self) -> S:
        """Return the abstract state of the tables, all of it as of one moment."""
        with snapshot(self._db):
            return self._program.observe(self._db)

    def parts(self) -> Iterator[tuple[str, S]]:
        """Yield the abstract state of the tables part by part, all of it as of one moment."""
        with snapshot(self._db):
            yield from self._program.parts(self._db)

    def mark(self) -> None:
        """Open a savepoint."""
        self._db.execute("SAVEPOINT mark")

    def back(self) -> None:
        """Return to the latest savepoint and close it."""
        self._db.execute("ROLLBACK TO mark; RELEASE mark")

    def crash(self) -> None:
        """Go on with a copy of the files as they are now, as if the process had been killed."""
        assert self._folder is not None, "a database in memory does not survive a crash"
        left = Path(tempfile.mkdtemp(prefix="plumbline-"))
        for file in self._folder.iterdir():
            if not file.name.endswith("-shm"):
                shutil.copyfile(file, left / file.name)
        self.close()
        self._folder = left

    def reopen(self) -> None:
        """Open the files again."""
        self._db.close()
        self._db = self._open()
        self._trace(self._ran)

    @contextmanager
    def statements(self) -> Generator[list[str]]:
        """Return a list that grows by each statement, BEGIN and COMMIT included."""
        self._ran = []
        self._trace(self._ran)
        try:
            yield self._ran
        finally:
            self._ran = None
            self._trace(None)

    def _trace(self, ran: list[str] | None) -> None:
        def told(_cursor: apsw.Cursor, sql: str, _bindings: object) -> bool:
            if ran is not None:
                ran.append(sql)
            return True

        self._db.exec_trace = None if ran is None else told

    def close(self) -> None:
        """Close the database and delete its folder."""
        self._db.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def judged(
    program: Program[S, E, O], *, durable: bool = False, answer: Answer = answered
) -> Judged[S, E, O]:
    """Return a fresh host of a program with its capabilities; only a durable one can crash."""
    host = SqliteHost(program, durable=durable, answer=answer)
    return Judged(
        host=host,
        observable=host,
        reversible=host,
        traced=host,
        crashable=host if durable else None,
    )
