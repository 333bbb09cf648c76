"""The command ``audit``: what it prints and the code that it exits with."""

from collections.abc import Callable
from pathlib import Path

import apsw
import msgspec
import pytest
from msgspec import Struct

from plumbline import audit
from plumbline.audit import FileAudit, FileComparison
from plumbline.command import cli, guarded
from plumbline.database import SettingNotKept
from plumbline.schema import MIGRATIONS
from plumbline_spec.errors import CouldNotFinish
from plumbline_spec.report import Verdict
from tests.audit.planting import copied, drive, drive_all, tampering
from tests.ordinals import appending


class Ran(Struct, frozen=True, kw_only=True):
    """What a command did."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs the command."""

    def runs(*args: str | Path) -> Ran:
        capsys.readouterr()
        code = guarded(cli, ["audit", *(str(one) for one in args)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return Ran(code=code, out=captured.out, err=captured.err)

    return runs


@pytest.fixture
def healthy(tmp_path: Path) -> Path:
    file = tmp_path / "healthy.db"
    drive_all(file)
    return file


@pytest.fixture
def damaged(healthy: Path) -> Path:
    file = copied(healthy, "damaged.db")
    with tampering(file) as db:
        db.execute("UPDATE context SET position = position + 100 WHERE conversation <> 'c'")
        db.execute("UPDATE conversations SET items = 9 WHERE conversation = 'c'")
    return file


# One file


def test_a_healthy_database_holds(run: Run, healthy: Path) -> None:
    ran = run(healthy)
    assert ran.code == 0
    assert "holds: compaction and anchoring, version" in ran.out
    assert "0 of 41 clauses broken" in ran.out
    assert "7 parts; the largest is c, " in ran.out
    assert "not applicable: CMP-5, " in ran.out
    assert "it is about steps; a stored state has no history" in ran.out


def test_a_broken_clause_is_shown_with_how_often_and_its_witnesses(run: Run, damaged: Path) -> None:
    """TAB-1, TAB-4."""
    ran = run(damaged, "--limit-witnesses", "2")
    assert ran.code == 1
    assert "BROKEN: compaction and anchoring, version" in ran.out
    assert "2 of 41 clauses broken" in ran.out
    lines = ran.out.splitlines()
    (row,) = [line for line in lines if line.startswith("│ TAB-1 ")]
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells[:5] == ["TAB-1", "position", "broken", "9", "context"]
    at = lines.index("TAB-1 position: 9")
    assert lines[at + 1].startswith("  context, conversation d, position 101: summary sx stands")
    assert lines[at + 3] == "  and 7 more"
    assert "  conversations, conversation c: items 9, the context has 4" in lines


def test_one_json_document_has_every_clause(run: Run, damaged: Path) -> None:
    ran = run(damaged, "--json", "--limit-witnesses", "1")
    assert ran.code == 1
    found = msgspec.json.decode(ran.out, type=FileAudit)
    assert (found.file, found.version) == (str(damaged), len(MIGRATIONS))
    assert (found.audit.verdict, found.audit.parts) == (Verdict.BROKEN, 7)
    assert found.audit.largest is not None
    assert found.audit.largest.key == "c"
    results = {one.clause: one for one in found.audit.clauses}
    assert (results["TAB-1"].verdict, results["TAB-1"].count) == (Verdict.BROKEN, 9)
    (witness,) = results["TAB-1"].witnesses
    assert (witness.table, witness.row) == ("context", "conversation d, position 101")
    assert results["ORD-10"].verdict is Verdict.NOT_APPLICABLE
    assert results["ORD-10"].why


def test_witnesses_may_be_left_out(run: Run, damaged: Path) -> None:
    ran = run(damaged, "--limit-witnesses", "0")
    assert ran.code == 1
    assert "  and 9 more" in ran.out


def test_what_a_database_says_does_not_reach_the_terminal_as_it_is(run: Run, healthy: Path) -> None:
    with tampering(healthy) as db:
        db.execute(
            "UPDATE context SET message = 'x' || char(27) || ']0;title' WHERE message = 'm4'"
        )
    ran = run(healthy)
    assert ran.code == 1
    assert "\x1b" not in ran.out
    assert "message x\\x1b]0;title is not stored here" in ran.out


def test_a_clause_that_could_not_be_judged_ends_with_4(
    run: Run, healthy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stops(*_nothing: object) -> None:
        raise CouldNotFinish("the disk is gone")

    monkeypatch.setattr(audit, "every_row", stops)
    ran = run(healthy)
    assert ran.code == 4
    assert "UNFINISHED: compaction" in ran.out
    assert "ORD-8 identity was not judged to the end: the disk is gone" in ran.out


def test_progress_is_told_on_standard_error(run: Run, healthy: Path) -> None:
    assert f"{healthy} audit: TAB-1 position" in run(healthy).err


# Two files


def test_a_copy_that_follows_fails_no_condition(run: Run, healthy: Path) -> None:
    later = copied(healthy, "later.db")
    drive(later, [appending("m8")])
    ran = run("--before", healthy, "--after", later)
    assert ran.code == 0
    assert "holds: compaction and anchoring, 0 of 22 necessary conditions failed" in ran.out


def test_a_copy_that_cannot_follow_is_shown_with_both_sides(run: Run, healthy: Path) -> None:
    later = copied(healthy, "later.db")
    with tampering(later) as db:
        db.execute("UPDATE messages SET text = 'another text' WHERE message = 'm1'")
        db.execute("DELETE FROM losses WHERE message = 'y2' AND cause = 'forgotten'")
    ran = run("--before", healthy, "--after", later)
    assert ran.code == 1
    assert "BROKEN: compaction and anchoring, 2 of 22 necessary conditions failed" in ran.out
    lines = ran.out.splitlines()
    said = "  messages, conversation c, message m1: 'text of m1' before, 'another text' after"
    assert said in lines
    assert (
        "  losses, conversation e, loss of message y2: forgotten at 2 before, not recorded after"
        in lines
    )
    as_json = run("--before", healthy, "--after", later, "--json")
    assert as_json.code == 1
    found = msgspec.json.decode(as_json.out, type=FileComparison)
    assert (found.before, found.after) == (str(healthy), str(later))
    assert found.comparison.verdict is Verdict.BROKEN
    (texts,) = [one for one in found.comparison.conditions if one.condition == "texts"]
    assert (texts.count, texts.clauses) == (1, ("ORD-22", "ORD-27"))
    assert texts.discrepancies[0].after == "'another text'"


# What the environment refuses


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (apsw.BusyError("database is locked"), "(database is locked); another holds it: try again"),
        (apsw.FullError("database or disk is full"), "make room and try again"),
        (apsw.IOError("disk I/O error"), "see to the disk"),
        (apsw.ReadOnlyError("attempt to write"), "see who may write there"),
        (apsw.CorruptError("malformed"), "plumbline audit says what is damaged"),
        (SettingNotKept("journal_mode", "wal", "delete"), "put the database on a local disk"),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, Exception) else "",
)
def test_what_the_environment_refuses_did_not_finish(
    capsys: pytest.CaptureFixture[str], error: Exception, said: str
) -> None:
    def command(**_options: object) -> None:
        raise error

    assert guarded(command) == 4
    err = capsys.readouterr().err
    assert said in err
    assert "fault of Plumbline" not in err


def test_what_sqlite_refuses_for_a_mistake_is_a_fault_of_plumbline(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def command(**_options: object) -> None:
        raise apsw.ConstraintError("UNIQUE constraint failed")

    assert guarded(command) == 70
    assert "fault of Plumbline" in capsys.readouterr().err


# Usage


@pytest.mark.parametrize(
    "args",
    [
        (),
        ("a.db", "b.db"),
        ("a.db", "--before", "b.db"),
        ("--before", "b.db"),
        ("--after", "b.db"),
        ("a.db", "--before", "b.db", "--after", "c.db"),
        ("a.db", "--limit-witnesses", "-1"),
        ("a.db",),
        ("--before", "a.db", "--after", "b.db"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_used_is_refused_with_a_reason(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run(*args)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err
    assert list(tmp_path.iterdir()) == []
