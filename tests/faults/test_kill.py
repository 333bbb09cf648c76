"""A real process, really killed: what it had answered is there, and nothing half done.

A sanity check of the simulation, which is stronger: a kill leaves everything that was written.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from plumbline.database import answered, open_database, snapshot
from plumbline.ordinals import PROGRAM
from plumbline_models.ordinals import Event, machine
from plumbline_spec.codec import canonical
from plumbline_spec.host import RequestId
from tests.ordinals import appending, opening

CHILD = """
import sys
from plumbline.database import answered, open_database
from plumbline.ordinals import PROGRAM
from plumbline_spec.host import RequestId
from tests.faults.test_kill import event

db = open_database(sys.argv[1])
print("open", flush=True)
for number in range(int(sys.argv[2]), 1_000_000):
    answered(db, RequestId(str(number)), event(number), PROGRAM.apply, PROGRAM.decode_outcome)
    print(number, flush=True)
"""
ROOT = Path(__file__).parents[2]
KILLS = 6
LINES = (1, 2, 3, 5, 8, 13)
"""How many lines are read of a process before it is killed."""


def event(number: int) -> Event:
    """Return the event of a number; none of them is refused."""
    return opening() if number == 0 else appending(f"m{number}")


def killed_after(file: Path, first: int, lines: int) -> int:
    """Run a process that takes events; kill it and return the number after the last answered."""
    with subprocess.Popen(  # noqa: S603 - this interpreter
        [sys.executable, "-c", CHILD, str(file), str(first)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as child:
        assert child.stdout is not None
        told = [child.stdout.readline().strip() for _ in range(lines)]
        child.kill()
        told += [line.strip() for line in child.stdout]
    numbers = [int(line) for line in told if line.isdigit()]
    return 1 + max(numbers) if numbers else first


@pytest.mark.skipif(sys.platform == "win32", reason="a kill is another thing there")
def test_what_a_killed_process_had_answered_is_there(tmp_path: Path) -> None:
    """FLT-1, FLT-2, FLT-6."""
    file, answers = tmp_path / "killed.db", 0
    for lines in LINES[:KILLS]:
        answers = killed_after(file, answers, lines)
        db = open_database(str(file))
        assert db.pragma("integrity_check") == "ok"
        state = machine().initial
        for number in range(answers):
            state, _ = machine().step(state, event(number))
        after, outcome = machine().step(state, event(answers))
        with snapshot(db):
            left = canonical(PROGRAM.observe(db))
        assert left in (canonical(state), canonical(after))
        request = RequestId(str(answers))
        found = answered(db, request, event(answers), PROGRAM.apply, PROGRAM.decode_outcome)
        assert found == outcome
        assert canonical(PROGRAM.observe(db)) == canonical(after)
        answers += 1
        db.close()
    assert answers > KILLS
