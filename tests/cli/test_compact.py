"""The command ``compact``: what it does, what it prints, the code that it exits with."""

import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct

from plumbline import compact as compacting
from plumbline.audit import audit_file
from plumbline.command import cli, guarded
from plumbline.compaction import observe
from plumbline.context import roll_back, show
from plumbline.database import open_database
from plumbline.ingest import ingest
from plumbline.reading import reading
from plumbline_models.compaction import State
from plumbline_models.ordinals import SummaryItem
from plumbline_models.ordinals.queries import expansion
from plumbline_models.tokens.queries import ledger_of
from plumbline_spec.codec import canonical
from plumbline_spec.errors import CouldNotFinish, OutcomeUnknown
from plumbline_spec.report import Verdict
from tests.plans import ROOT

SESSION = "seed-packets"
TRANSCRIPT = ROOT / "tests" / "data" / "small-session.jsonl"
CONFIG = """
fresh_tail = 4
leaf_chunk = 200
leaf_target = 40
condensed_target = 30
leaf_fanout = 2
condensed_fanout = 2
fallback_cap = 30
passes = 100
"""
KEYS = {
    "compacted",
    "passes",
    "rounds",
    "calls",
    "tokens_before",
    "tokens_after",
    "stop_reason",
    "statements",
}


class Ran(Struct, frozen=True, kw_only=True):
    """What a command did."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs the command."""

    def runs(*args: object) -> Ran:
        capsys.readouterr()
        code = guarded(cli, ["compact", *(str(one) for one in args)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return Ran(code=code, out=captured.out, err=captured.err)

    return runs


@pytest.fixture
def database(tmp_path: Path) -> Path:
    file = tmp_path / "session.db"
    assert not ingest(str(file), (TRANSCRIPT,), lambda _file, _said: None).failures
    return file


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "settings.toml"
    file.write_text(CONFIG, encoding="utf-8")
    return file


def observed(file: Path) -> State:
    with reading(file) as db:
        return observe(db)


def tokens_of(file: Path) -> int:
    (ledger,) = observed(file).taken.ledger.ledgers
    return ledger.total


def python(folder: Path, program: str) -> str:
    """Return the command line of a small summarizer."""
    file = folder / "summarizer.py"
    file.write_text(program, encoding="utf-8")
    return f"{sys.executable} {file}"


# A real transcript, there and back


def test_a_transcript_is_compacted_and_rolled_back_without_losing_a_word(
    run: Run, database: Path, config: Path
) -> None:
    before = observed(database)
    total = tokens_of(database)
    target = total // 3
    ran = run(database, SESSION, "--until-under", target, "--config", config)
    assert ran.code == 0
    assert ran.out.startswith("under_target: ")
    assert "pass of" in ran.err
    after = observed(database)
    assert (
        ledger_of(after.taken.ledger, before.taken.ledger.ledgers[0].conversation).total <= target
    )
    (was,) = before.taken.ledger.lists.conversations
    (now,) = after.taken.ledger.lists.conversations
    expanded = expansion(now)
    assert [one for entry in now.context for one in expanded(entry.item)] == [
        entry.item.id for entry in was.context
    ]
    assert audit_file(database).audit.verdict is Verdict.HOLDS
    while True:
        rows = show(database, SESSION).context
        assert rows is not None
        summaries = [row.item.id for row in rows if isinstance(row.item, SummaryItem)]
        if not summaries:
            break
        assert roll_back(database, SESSION, summaries[0]).refused is None
    assert canonical(observed(database)) == canonical(before)


def test_the_default_summarizer_cuts_and_says_so(run: Run, database: Path, config: Path) -> None:
    assert run(database, SESSION, "--leaf", "--force", "--config", config).code in {0, 4}
    texts = [one.text for one in observed(database).taken.ledger.lists.conversations[0].summaries]
    assert texts
    assert all(text.startswith("[cut by plumbline, not summarised]\n") for text in texts)


def test_one_document_says_what_was_done(run: Run, database: Path, config: Path) -> None:
    total = tokens_of(database)
    ran = run(database, SESSION, "--sweep", "--budget", total, "--config", config, "--json")
    document = msgspec.json.decode(ran.out)
    assert document.keys() >= KEYS
    assert document["statements"].keys() == {"reads", "writes"}
    assert document["compacted"] is True
    assert document["tokens_before"] == total
    assert document["tokens_after"] == tokens_of(database) <= total * 3 // 4
    assert document["statements"]["reads"] == 2 + document["passes"]
    assert ran.code == 0


def test_nothing_to_do_is_done(run: Run, database: Path, config: Path) -> None:
    ran = run(database, SESSION, "--budget", 10**9, "--config", config, "--json")
    document = msgspec.json.decode(ran.out)
    assert (ran.code, document["stop_reason"], document["compacted"]) == (0, "under_target", False)


def test_a_target_that_is_missed_names_its_floor(run: Run, database: Path, config: Path) -> None:
    ran = run(database, SESSION, "--until-under", 1, "--config", config)
    assert ran.code == 4
    assert "of which are protected" in ran.out


# A summarizer of the user


def test_a_command_gets_the_source_and_the_target(
    run: Run, database: Path, config: Path, tmp_path: Path
) -> None:
    command = python(
        tmp_path,
        "import os, sys\n"
        "source = sys.stdin.read()\n"
        "print(os.environ['PLUMBLINE_TARGET'], os.environ['PLUMBLINE_LEVEL'],"
        " len(os.environ['PLUMBLINE_PRIOR']) > 0, len(source))\n",
    )
    words = ("--force", "--config", config, "--summarizer", command)
    assert run(database, SESSION, *words).code == 0
    texts = {one.text for one in observed(database).taken.ledger.lists.conversations[0].summaries}
    assert any(text.startswith("40 normal False ") for text in texts)
    assert any(text.startswith("40 normal True ") for text in texts)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("raise SystemExit(77)", "authentication (exit code 77: not authenticated)"),
        ("raise SystemExit(5)", "summariser_error (exit code 5)"),
        ("import sys; sys.exit('no quota left')", "no quota left"),
        ("import sys; sys.stdout.buffer.write(b'\\xff')", "not UTF-8 at byte 0"),
        ("import time; time.sleep(60)", "no answer within 0.5 s"),
    ],
)
def test_the_failure_of_a_command_is_an_outcome(
    run: Run, database: Path, config: Path, tmp_path: Path, program: str, said: str
) -> None:
    before = canonical(observed(database))
    command = python(tmp_path, program)
    words = ("--force", "--config", config, "--summarizer", command, "--time-limit", 0.5)
    ran = run(database, SESSION, *words)
    assert ran.code == 4
    assert said in ran.out
    assert canonical(observed(database)) == before


def test_a_target_is_reached_without_a_summarizer_that_answers(
    run: Run, database: Path, config: Path, tmp_path: Path
) -> None:
    command = python(tmp_path, "raise SystemExit(77)")
    target = tokens_of(database) // 2
    words = ("--until-under", target, "--config", config, "--summarizer", command)
    assert run(database, SESSION, *words).code == 0
    assert tokens_of(database) <= target


# What cannot be used


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--sweep", "--leaf", "--force"), "exclude each other"),
        (("--leaf", "--until-under", "5"), "exclude each other"),
        (("--until-under", "5", "--force"), "leave --budget and --force out"),
        (("--until-under", "5", "--budget", "9"), "leave --budget and --force out"),
        ((), "give --budget TOKENS, or --force"),
        (("--until-under", "-1"), "--until-under"),
        (("--force", "--summarizer", ""), "the summarizer is empty"),
        (("--force", "--summarizer", "'"), "cannot be read"),
        (("--force", "--config", "nowhere.toml"), "nowhere.toml cannot be read"),
    ],
)
def test_what_does_not_go_together_is_said(
    run: Run, database: Path, words: tuple[str, ...], said: str
) -> None:
    before = database.read_bytes()
    ran = run(database, SESSION, *words)
    assert ran.code == 2
    assert said in ran.err
    assert database.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"fresh_tail = -1\n", "fresh_tail"),
        (b"fresh_tale = 1\n", "fresh_tale"),
        (b"fresh_tail = \n", "is not TOML"),
        (b"\xff", "is not TOML"),
        (b"leaf_fanout = 1\n", "leaf_fanout"),
    ],
)
def test_settings_that_cannot_be_used_are_named(
    run: Run, database: Path, config: Path, content: bytes, said: str
) -> None:
    config.write_bytes(content)
    ran = run(database, SESSION, "--force", "--config", config)
    assert ran.code == 2
    assert said in ran.err
    assert str(config) in ran.err


def test_a_summarizer_that_is_not_there_is_said(run: Run, database: Path, config: Path) -> None:
    ran = run(database, SESSION, "--force", "--config", config, "--summarizer", "./nobody-has-it")
    assert ran.code == 2
    assert "cannot be run" in ran.err


def test_a_conversation_or_a_database_that_is_not_there_is_said(
    run: Run, database: Path, tmp_path: Path
) -> None:
    ran = run(database, "another", "--force")
    assert (ran.code, "no conversation 'another'" in ran.err) == (2, True)
    missing = tmp_path / "missing.db"
    ran = run(missing, SESSION, "--force")
    assert (ran.code, "does not exist" in ran.err, missing.exists()) == (2, True, False)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OutcomeUnknown("disk"), "nobody knows whether the last pass was committed"),
        (CouldNotFinish("busy"), "busy"),
    ],
)
def test_a_database_that_fails_ends_with_4(
    run: Run,
    database: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    said: str,
) -> None:
    def failing(*_: object) -> None:
        raise error

    monkeypatch.setattr("plumbline.compacting.Engine.compact", failing)
    ran = run(database, SESSION, "--force")
    assert (ran.code, said in ran.err) == (4, True)


def test_a_database_that_stays_busy_is_left_for_later(
    run: Run, database: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plumbline.database.BUSY_TIMEOUT_MS", 10)
    other = open_database(str(database))
    other.execute("BEGIN IMMEDIATE")
    try:
        ran = run(database, SESSION, "--force", "--config", config)
    finally:
        other.execute("ROLLBACK")
        other.close()
    assert ran.code == 4
    assert "run it again" in ran.err
    assert compacting.read_settings(None).fresh_tail == 64


@pytest.mark.parametrize("seconds", ["nan", "inf", "1e300", "0"])
def test_a_time_limit_is_a_number_of_seconds(run: Run, seconds: str) -> None:
    ran = run("memory.db", "c", "--time-limit", seconds)
    assert ran.code == 2
    assert "--time-limit" in ran.err
