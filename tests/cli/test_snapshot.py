"""The commands ``snapshot``: what they do, what they print, the codes that they exit with."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import msgspec
import pytest
from msgspec import Struct
from typing_extensions import override

from plumbline import (
    options_snapshot,
    outcome_lines,
    outcome_log,
    policy_gate,
    policy_snapshot,
    snapshot_status,
)
from plumbline.anchoring import PROGRAM
from plumbline.command import cli, guarded, main_refresh
from plumbline.database import answered, open_database
from plumbline.outcome_lines import Handed, UnreadableOutcome, batches
from plumbline.policy_gate import GateReport, Judgement, Run, judge
from plumbline.policy_snapshot import Envelope, Terms, refresh
from plumbline.reading import WrittenMeanwhile, reading
from plumbline.schema import COMPACTION, MIGRATIONS
from plumbline.snapshot_reasons import INELIGIBLE, REFUSED, Refusing
from plumbline.snapshot_status import rounded, status
from plumbline_models.anchoring import (
    Backfill,
    Event,
    GateId,
    Lose,
    Loss,
    OpenGate,
    Outcome,
    OutcomeId,
    Refresh,
    Refusal,
    SnapshotId,
    State,
    Truncate,
)
from plumbline_models.decisions.refreshing import Mode, Reason, Windows
from plumbline_models.decisions.statistics import Ratio
from plumbline_spec.codec import canonical
from plumbline_spec.errors import CouldNotFinish, OutcomeUnknown, RequestReused, UnusableInput
from tests.anchoring import draft, drop_triggers

REFRESH_KEYS = [
    "mode",
    "reason",
    "snapshot_id",
    "previous_snapshot_id",
    "watermark",
    "rows_read",
    "rows_written",
]
GATE_KEYS = [
    "policy_snapshot_id",
    "gate",
    "mode",
    "reason",
    "candidate",
    "result",
    "promoted",
    "exit_code",
    "repeated",
]
JUDGED = ("--owner", "judge", "--candidate", "c1")


class Ran(Struct, frozen=True, kw_only=True):
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, object]:
        """The one JSON object on standard output."""
        return msgspec.convert(json.loads(self.out), dict[str, object])


Runs = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Runs:
    """Return a function that runs ``plumbline snapshot``."""

    def runs(*args: object) -> Ran:
        capsys.readouterr()
        code = guarded(cli, ["snapshot", *(str(one) for one in args)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        assert code != 70, captured.err
        return Ran(code=code, out=captured.out, err=captured.err)

    return runs


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Return a database with two outcomes of one key in its log, of which nothing is published."""
    file = tmp_path / "policy.db"
    record(file, line("o1", 5), line("o2", -2))
    return file


def line(outcome: str, reward: int, **more: object) -> str:
    return json.dumps({"outcome": outcome, "family": "recall", "reward": reward, **more})


def written(file: Path, *lines: str) -> Path:
    file.write_text("".join(f"{one}\n" for one in lines), encoding="utf-8")
    return file


def record(file: Path, *lines: str) -> outcome_log.RecordReport:
    """Log outcomes without a command."""
    return outcome_log.record(file, io.BytesIO("\n".join(lines).encode()))


def take(file: Path, *events: Event) -> None:
    """Take events that no command has."""
    db = open_database(str(file))
    for event in events:
        answered(db, None, event, PROGRAM.apply, PROGRAM.decode_outcome)
    db.close()


def observed(file: Path) -> State:
    with reading(file) as db:
        return PROGRAM.observe(db)


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def python(program: str) -> tuple[str, ...]:
    """Return the words of a small command."""
    return "--", sys.executable, "-c", program


# The story of the request


def test_a_refresh_merges_what_is_new_and_a_gate_keeps_the_snapshot_that_it_pinned(
    run: Runs, tmp_path: Path
) -> None:
    """ANC-14, ANC-21, ANC-22: rebuilt first, merged when an outcome is fresh, then pinned."""
    file = tmp_path / "policy.db"
    old = written(tmp_path / "old.jsonl", line("o1", 10), line("o2", 20, plan="deep"))
    assert run("record", file, old).code == 0
    first = run("refresh", file, "--now", 100, "--json").document
    assert (first["mode"], first["snapshot_id"], first["rows_read"]) == ("full_rebuild", 1, 2)

    assert run("record", file, written(tmp_path / "new.jsonl", line("o3", 30))).code == 0
    live = run("status", file, "--now", 101, "--json").document["live"]
    assert live == {"anchor": 1, "epoch": 1, "lo": 2, "hi": 3, "outcomes": 1, "keys": 1}
    second = run("refresh", file, "--now", 102, "--json").document
    assert (second["mode"], second["reason"]) == ("delta_merge", "live_delta")
    assert (second["snapshot_id"], second["previous_snapshot_id"]) == (2, 1)

    live = run("status", file, "--now", 103, "--json").document["live"]
    assert live == {"anchor": 2, "epoch": 1, "lo": 3, "hi": 3, "outcomes": 0, "keys": 0}

    program = (
        "import io, os\n"
        "from pathlib import Path\n"
        "from plumbline.outcome_log import record\n"
        "from plumbline.policy_snapshot import refresh\n"
        f"file = Path({str(file)!r})\n"
        f"record(file, io.BytesIO({line('o4', 40).encode()!r}))\n"
        "print('published', refresh(file).snapshot_id)\n"
        "print('judged by', os.environ['POLICY_SNAPSHOT_ID'])\n"
        "print('100/100/0')\n"
    )
    ran = run("gate", file, "sacred", *JUDGED, "--now", 104, *python(program))
    assert ran.code == 0
    assert ran.out.startswith("published 3\njudged by 2\n100/100/0\npolicy_snapshot_id: 2\n")
    assert "promoted: yes" in ran.out
    state = observed(file)
    assert (state.current, state.pins) == (3, ())
    (verdict,) = state.verdicts
    assert (verdict.snapshot, verdict.result, verdict.promoted) == (2, "100/100/0", True)
    assert run("audit", file).code == 0


# Recording


def test_the_lines_of_a_file_are_logged_once_each(run: Runs, tmp_path: Path) -> None:
    """ANC-17; the first time they are new, the second time repeated."""
    file = tmp_path / "policy.db"
    lines = written(
        tmp_path / "outcomes.jsonl",
        line("o1", 1_000_000, plan="p", mode="m", source="backfill"),
        "",
        line("o2", 0),
    )
    ran = run("record", file, lines)
    assert ran.code == 0
    assert ran.out == (
        "2 new, 0 repeated, 0 rejected of 2 outcomes; the log ends at 2\n"
        "line 1 is new: it is logged at 1\n"
        "line 3 is new: it is logged at 2\n"
    )
    one, other = observed(file).log
    assert (one.key.plan, one.key.mode, one.source.value) == ("p", "m", "backfill")
    assert (other.key.plan, other.key.mode, other.source.value) == ("", "", "live")
    before = canonical(observed(file))
    again = run("record", file, lines)
    assert again.code == 0
    assert "0 new, 2 repeated, 0 rejected of 2 outcomes" in again.out
    assert "line 3: o2 is repeated: it is logged at 2" in again.out
    assert canonical(observed(file)) == before


def test_a_rejected_line_is_named_with_the_reason_and_leaves_the_others(
    run: Runs, database: Path, tmp_path: Path
) -> None:
    """ANC-17, ANC-18."""
    lines = written(
        tmp_path / "outcomes.jsonl",
        line("o1", 6),
        line("o3", 1_000_001),
        line("o4", 1, source="gate"),
        line("o5", 1, under=7),
        line("o6", 1),
        line("o2", -2),
    )
    ran = run("record", database, lines)
    assert ran.code == 3
    assert "1 new, 1 repeated, 4 rejected of 6 outcomes" in ran.out
    for said in (
        "line 1: o1 is rejected: outcome_conflict: ",
        "line 2: o3 is rejected: reward_out_of_range: ",
        "line 3: o4 is rejected: gate_outcome: ",
        "line 4: o5 is rejected: unknown_snapshot: ",
        "line 6: o2 is repeated: it is logged at 2",
        "line 5 is new: it is logged at 3",
    ):
        assert said in ran.out
    assert [one.outcome for one in observed(database).log] == ["o1", "o2", "o6"]


def test_new_lines_are_told_by_runs(run: Runs, tmp_path: Path) -> None:
    """A run ends at a line that is blank, repeated or rejected."""
    new = [line(f"n{number}", number) for number in range(6)]
    lines = written(
        tmp_path / "x.jsonl", *new[:2], "", new[2], line("o1", 5), *new[3:5], new[0], new[5]
    )
    for batch in (1, 9):
        file = tmp_path / f"{batch}.db"
        record(file, line("o1", 5))
        ran = run("record", file, lines, "--batch", batch, "--json")
        assert ran.document["new_lines"] == [
            {"first": 1, "last": 2, "position": 2},
            {"first": 4, "last": 4, "position": 4},
            {"first": 6, "last": 7, "position": 5},
            {"first": 9, "last": 9, "position": 7},
        ]


def test_the_first_runs_are_shown(run: Runs, tmp_path: Path) -> None:
    pieces = [one for number in range(30) for one in (line(f"n{number}", number), "")]
    lines = written(tmp_path / "x.jsonl", line("a", 1), *pieces)
    shown = run("record", tmp_path / "policy.db", lines).out
    assert "lines 1 to 2 are new: they are logged at 1 to 2\n" in shown
    assert "line 40 is new: it is logged at 21\nand 10 more are new; --json names them" in shown


def test_one_document_lists_every_line_that_is_not_new(
    run: Runs, database: Path, tmp_path: Path
) -> None:
    many = [line(f"r{number}", 2_000_000) for number in range(30)]
    lines = written(tmp_path / "outcomes.jsonl", line("o1", 5), *many)
    ran = run("record", database, lines, "--json")
    assert ran.code == 3
    document = ran.document
    assert list(document) == [
        "database",
        "file",
        "lines",
        "batches",
        "new",
        "repeated",
        "rejected",
        "log_ends_at",
        "new_lines",
        "repeated_lines",
        "rejected_lines",
    ]
    assert document["new_lines"] == []
    assert document["repeated_lines"] == [{"line": 1, "outcome": "o1", "position": 1}]
    rejected = msgspec.convert(document["rejected_lines"], list[dict[str, object]])
    assert [one["line"] for one in rejected] == [*range(2, 32)]
    assert rejected[0].keys() == {"line", "outcome", "reason", "because"}
    shown = run("record", database, lines).out
    assert shown.count("is rejected") == 20
    assert "and 10 more are rejected; --json names them all" in shown


@pytest.mark.parametrize("size", [1, 2, 5, 9])
def test_batches_do_not_show(run: Runs, tmp_path: Path, size: int) -> None:
    file, lines = tmp_path / "policy.db", [line(f"o{number}", number) for number in range(9)]
    whole = tmp_path / "whole.db"
    record(whole, *lines)
    ran = run("record", file, written(tmp_path / "x.jsonl", *lines), "--batch", size, "--json")
    assert ran.document["batches"] == -(-9 // size)
    assert "record" in ran.err
    assert canonical(observed(file)) == canonical(observed(whole))


def test_a_batch_is_bounded_by_the_bytes_of_its_lines_as_well() -> None:
    size = outcome_lines.BATCH_BYTES // 2
    handed = [
        Handed(line=number, outcome=draft(number).outcome, draft=draft(number), size=size)
        for number in range(5)
    ]
    assert [len(batch) for batch in batches(handed, 1_000)] == [2, 2, 1]


class Pipe(io.BytesIO):
    """A stream that can be read once."""

    def seekable(self) -> bool:
        return False


def stdin(monkeypatch: pytest.MonkeyPatch, stream: io.BytesIO) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream))


@pytest.mark.parametrize("named", [True, False])
def test_standard_input_is_read_if_no_file_is_named(
    run: Runs, database: Path, monkeypatch: pytest.MonkeyPatch, *, named: bool
) -> None:
    stdin(monkeypatch, Pipe(line("o3", 1).encode()))
    ran = run("record", database, *(["-"] if named else []), "--json")
    assert (ran.code, ran.document["file"], ran.document["new"]) == (0, "standard input", 1)


BAD_LINES = [
    ("{", "Expecting property name"),
    ("[]", "no object"),
    ("7", "no object"),
    ('{"outcome": "o", "outcome": "p", "family": "f", "reward": 1}', "stands twice"),
    ('{"outcome": "o", "family": "f", "reward": NaN}', "NaN is not JSON"),
    ('{"outcome": "\\ud800", "family": "f", "reward": 1}', "a lone surrogate"),
    ('{"outcome": "o", "family": "f"}', "missing required field `reward`"),
    ('{"outcome": "o", "reward": 1}', "missing required field `family`"),
    ('{"outcome": "", "family": "f", "reward": 1}', "`$.outcome`"),
    ('{"outcome": "o", "family": "f", "reward": 1, "rewards": 1}', "unknown field `rewards`"),
    ('{"outcome": "o", "family": "f", "reward": 1, "source": "dead"}', "`$.source`"),
    ('{"outcome": "o", "family": "f", "reward": 1, "under": -1}', "`$.under`"),
    ('{"outcome": "o", "family": "f", "reward": 9007199254740992}', "beyond"),
    (json.dumps({"outcome": "o", "family": "f" * 257, "reward": 1}), "`$.family`"),
    (json.dumps({"outcome": "o" * 70_000, "family": "f", "reward": 1}), "longer than 65,536 bytes"),
]


@pytest.mark.parametrize(("bad", "said"), BAD_LINES)
def test_a_file_with_a_line_that_is_no_outcome_records_nothing(
    run: Runs, tmp_path: Path, bad: str, said: str
) -> None:
    lines = written(tmp_path / "x.jsonl", line("o1", 1), line("o2", 1), bad, line("o3", 1))
    ran = run("record", tmp_path / "policy.db", lines, "--batch", 1)
    assert (ran.code, ran.out) == (2, "")
    assert f"{lines}, line 3: " in ran.err
    assert said in ran.err
    assert "nothing was recorded" in ran.err
    assert not (tmp_path / "policy.db").exists()


@pytest.mark.parametrize("reward", ["0.5", "1.0", "1e6", "-0.0", "true", "null", '"1"', "[1]"])
@pytest.mark.parametrize("batch", [1, 9])
def test_a_reward_that_is_no_whole_number_is_rejected_by_itself(
    run: Runs, tmp_path: Path, reward: str, batch: int
) -> None:
    file, bad = tmp_path / "policy.db", f'{{"outcome": "o2", "family": "f", "reward": {reward}}}'
    lines = written(tmp_path / "x.jsonl", line("o1", 1), bad, line("o1", 1), line("o3", 1))
    ran = run("record", file, lines, "--batch", batch, "--json")
    assert ran.code == 3
    found = ran.document
    assert (found["lines"], found["new"], found["repeated"], found["rejected"]) == (4, 2, 1, 1)
    (rejected,) = msgspec.convert(found["rejected_lines"], list[dict[str, object]])
    assert rejected.pop("because")
    assert rejected == {"line": 2, "outcome": "o2", "reason": "reward_not_whole"}
    assert [one.outcome for one in observed(file).log] == ["o1", "o3"]
    shown = run("record", file, lines, "--batch", batch).out
    assert "line 2: o2 is rejected: reward_not_whole: a reward is a whole number of micro-" in shown


def test_bytes_that_are_no_text_are_named_with_their_line(run: Runs, tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_bytes(line("o1", 1).encode() + b'\n{"outcome": "\xff"}\n')
    ran = run("record", tmp_path / "policy.db", file)
    assert (ran.code, f"{file}, line 2: invalid UTF-8" in ran.err) == (2, True)


def test_of_a_stream_the_batches_before_a_bad_line_are_recorded_and_counted(
    run: Runs, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = [line(f"n{number}", number) for number in range(5)]
    stdin(monkeypatch, Pipe("\n".join([*good, "{"]).encode()))
    ran = run("record", database, "--batch", 2)
    assert (ran.code, ran.out) == (2, "")
    assert "standard input, line 6: " in ran.err
    said = "up to line 4 and not further, 4 outcomes: 4 new, 0 repeated, 0 rejected"
    assert said in ran.err
    assert len(observed(database).log) == 6
    stdin(monkeypatch, Pipe("\n".join(good).encode()))
    again = run("record", database, "--batch", 2, "--json").document
    assert (again["new"], again["repeated"]) == (1, 4)


def test_a_stream_that_begins_with_a_bad_line_makes_no_database(
    run: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin(monkeypatch, Pipe(b"{"))
    ran = run("record", tmp_path / "policy.db")
    assert (ran.code, "nothing was recorded" in ran.err) == (2, True)
    assert not (tmp_path / "policy.db").exists()


def test_nothing_to_record_is_done(run: Runs, tmp_path: Path) -> None:
    ran = run("record", tmp_path / "policy.db", written(tmp_path / "x.jsonl", "", " "))
    assert ran.code == 0
    assert ran.out == "0 new, 0 repeated, 0 rejected of 0 outcomes; the log ends at 0\n"


def test_a_long_file_reports_how_far_its_survey_is(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcome_log, "SURVEYED", 2)
    said: list[str] = []
    stream = io.BytesIO("\n".join(line(f"n{number}", 0) for number in range(5)).encode())
    outcome_log.record(database, stream, told=said.append)
    recorded = "5 outcomes: 5 new, 0 repeated, 0 rejected"
    assert said == ["2 lines read", "4 lines read", recorded]
    assert not stream.closed


@pytest.mark.parametrize(
    "error",
    [OutcomeUnknown("disk"), CouldNotFinish("busy"), apsw.FullError("full"), KeyboardInterrupt()],
    ids=lambda error: type(error).__name__,
)
def test_whoever_is_stopped_half_way_says_what_was_recorded(
    run: Runs,
    database: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
) -> None:
    calls = iter([False, True])

    def failing(db: apsw.Connection, at: Callable[[int], Event], envelope: Envelope) -> Outcome:
        if next(calls):
            raise error
        return policy_snapshot.ask(db, at, envelope)

    monkeypatch.setattr(outcome_log, "ask", failing)
    lines = written(tmp_path / "x.jsonl", line("o3", 1), line("o4", 1))
    ran = run("record", database, lines, "--batch", 1)
    assert ran.code == (130 if isinstance(error, KeyboardInterrupt) else 4)
    assert "up to line 1 and not further, 1 outcome: 1 new, 0 repeated, 0 rejected" in ran.err


def test_the_same_request_records_nothing_more_and_answers_the_same(
    run: Runs, database: Path, tmp_path: Path
) -> None:
    """ENV-1."""
    lines = written(tmp_path / "x.jsonl", *(line(f"n{number}", number) for number in range(5)))
    words = ("record", database, lines, "--batch", 2, "--request", "r1", "--json")
    first = run(*words)
    assert run(*words).out == first.out
    assert first.document["new"] == 5
    other = run("record", database, lines, "--batch", 3, "--request", "r1")
    assert (other.code, "was already used for another event" in other.err) == (2, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("record", "", "x.jsonl"), "is a folder; name a file in it"),
        (("record", ":memory:", "x.jsonl"), "names no file; name one that keeps what is stored"),
        (("record", "policy.db", "missing.jsonl"), "missing.jsonl cannot be read"),
        (("record", "policy.db", "."), "cannot be read"),
        (("record", "x.jsonl", "x.jsonl"), "is not a Plumbline database"),
        (("record", "policy.db", "x.jsonl", "--batch", "0"), "--batch"),
        (("record", "policy.db", "x.jsonl", "--request", ""), "from 1 to 256 characters"),
        (("refresh", "missing.db"), "missing.db does not exist"),
        (("status", "missing.db"), "there is no file missing.db"),
        (("pin", "policy.db", "p"), "--owner"),
    ],
)
def test_what_cannot_be_used_is_said(
    run: Runs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "x.jsonl", line("o1", 1))
    ran = run(*words)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert not (tmp_path / "missing.db").exists()


# Refreshing


def test_a_refresh_prints_its_keys_and_no_others(run: Runs, database: Path) -> None:
    """ANC-15."""
    document = run("refresh", database, "--now", 0, "--json").document
    assert list(document) == REFRESH_KEYS
    assert document == {
        "mode": "full_rebuild",
        "reason": "no_snapshot",
        "snapshot_id": 1,
        "previous_snapshot_id": None,
        "watermark": 2,
        "rows_read": 2,
        "rows_written": 1,
    }
    shown = run("refresh", database, "--now", 0).out.splitlines()
    assert [one.partition(":")[0] for one in shown] == REFRESH_KEYS
    assert shown[0] == "mode: reused_snapshot"


def test_what_a_rebuild_began_with_and_what_is_doubted_is_said_where_there_is_any(
    run: Runs, database: Path
) -> None:
    """ANC-15."""
    run("gate", database, "g1", *JUDGED, "--rejected", "--now", 0)
    take(database, Truncate(snapshot=SnapshotId(1)))
    record(database, line("o3", 1), line("o4", 2))
    ran = run("refresh", database, "--now", 1, "--drift", "--json")
    assert list(ran.document) == [*REFRESH_KEYS, "foundation", "doubted"]
    assert (ran.document["reason"], ran.document["doubted"]) == ("drift_detected", ["g1"])
    shown = run("refresh", database, "--now", 1, "--drift").out
    assert shown.endswith("rows_written: 1\nfoundation: 1\n")


@pytest.mark.parametrize(
    ("words", "mode", "reason"),
    [
        ((), "reused_snapshot", "within_reuse_window"),
        (("--now", "1299"), "reused_snapshot", "within_reuse_window"),
        (("--now", "1300"), "full_rebuild", "compaction_due_to_snapshot_age"),
        (("--reuse", "0"), "full_rebuild", "compaction_due_to_snapshot_age"),
        (("--reuse", "1"), "reused_snapshot", "within_reuse_window"),
        (("--mode", "full"), "full_rebuild", "forced"),
        (("--mode", "delta"), "reused_snapshot", "within_reuse_window"),
        (("--config", "2"), "full_rebuild", "config_mismatch"),
        (("--drift",), "full_rebuild", "drift_detected"),
        (("--expects", "1"), "reused_snapshot", "within_reuse_window"),
        (("--exact", "0"), "reused_snapshot", "within_reuse_window"),
        (("--exact", "0", "--now", "1001"), "full_rebuild", "compaction_due_to_exact_lineage_age"),
        (("--merges", "0"), "reused_snapshot", "within_reuse_window"),
    ],
)
def test_every_option_of_a_refresh_is_heard(
    run: Runs, database: Path, words: tuple[str, ...], mode: str, reason: str
) -> None:
    """ANC-7; 0 is a value of every window (ANC-9)."""
    assert run("refresh", database, "--now", 1_000).code == 0
    ran = run("refresh", database, "--json", "--now", 1_000, *words)
    assert (ran.code, ran.document["mode"], ran.document["reason"]) == (0, mode, reason)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--merges", "0"), "compaction_due_to_delta_count"),
        (("--merges", "1"), None),
        (("--exact", "0", "--now", "1001"), "compaction_due_to_exact_lineage_age"),
        (("--exact", "0"), None),
        (("--config", "2"), "config_mismatch"),
        (("--drift",), "drift_detected"),
    ],
)
def test_a_merge_that_may_not_be_made_is_refused_with_the_reason(
    run: Runs, database: Path, words: tuple[str, ...], reason: str | None
) -> None:
    """ANC-7, ANC-28."""
    run("refresh", database, "--now", 1_000)
    record(database, line("o3", 1))
    before = canonical(observed(database))
    ran = run("refresh", database, "--mode", "delta", "--now", 1_000, *words)
    if reason is None:
        assert (ran.code, ran.out.partition("\n")[0]) == (0, "mode: delta_merge")
        return
    assert ran.code == 3
    assert ran.out.startswith(f"refused: {reason}: no merge may be made: ")
    assert "nothing was changed" in ran.out
    document = run(
        "refresh", database, "--mode", "delta", "--now", 1_000, *words, "--json"
    ).document
    assert list(document) == ["refused", "because"]
    assert document["refused"] == reason
    assert canonical(observed(database)) == before


@pytest.mark.parametrize("expected", [0, 7])
def test_a_refresh_that_expects_another_snapshot_is_refused(
    run: Runs, database: Path, expected: int
) -> None:
    """ANC-11."""
    run("refresh", database)
    ran = run("refresh", database, "--expects", expected)
    assert (ran.code, ran.out.startswith("refused: superseded: ")) == (3, True)


def test_a_refresh_may_expect_that_there_is_no_snapshot(run: Runs, database: Path) -> None:
    assert run("refresh", database, "--expects", 0).code == 0


def test_a_request_without_a_moment_is_the_same_one_later(
    run: Runs, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ENV-1; what is done is done at the moment of the first time."""
    monkeypatch.setattr(policy_snapshot, "clock", lambda: 5_000)
    first = run("refresh", database, "--request", "r1", "--json")
    monkeypatch.setattr(policy_snapshot, "clock", lambda: 9_000)
    record(database, line("o3", 1))
    assert run("refresh", database, "--request", "r1", "--json").out == first.out
    (only,) = observed(database).snapshots
    assert only.generated_at == 5_000
    other = run("refresh", database, "--request", "r1", "--mode", "full")
    assert (other.code, "was already used for another event" in other.err) == (2, True)


def test_the_clock_is_in_seconds(run: Runs, database: Path) -> None:
    before = policy_snapshot.clock()
    run("refresh", database)
    (only,) = observed(database).snapshots
    assert before <= only.generated_at <= policy_snapshot.clock()


def test_the_older_name_of_the_command_does_the_same(
    database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(cli, ["refresh-policy-snapshot", str(database), "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == REFRESH_KEYS
    monkeypatch.setattr(sys, "argv", ["refresh-policy-snapshot", str(database), "--mode", "full"])
    with pytest.raises(SystemExit) as ended:
        main_refresh()
    assert ended.value.code == 0
    assert "reason: forced" in capsys.readouterr().out
    assert policy_snapshot.clock() > 0


def test_the_windows_that_are_offered_are_those_of_the_machine() -> None:
    assert (
        options_snapshot.windows_of(
            options_snapshot.REUSE, options_snapshot.MERGES, options_snapshot.EXACT
        )
        == Windows()
    )
    assert options_snapshot.windows_of(0, 0, 0) == Windows(reuse=0, merges=0, exact=0)


def test_every_reason_has_a_sentence() -> None:
    assert {*REFUSED} == {*Refusal}
    assert {*INELIGIBLE} == {*Reason}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--config", "x" * 257), "length <= 256 - at `$.config`"),
        (("--config", "\udcff"), "is not UTF-8"),
        (("--request", "\udcff"), "is not UTF-8"),
        (("--request", "x" * 257), "from 1 to 256 characters"),
        (("--now", "-1"), "--now"),
        (("--reuse", "-1"), "--reuse"),
        (("--now", str(2**53)), "--now"),
        (("--mode", "half"), "--mode"),
    ],
)
def test_what_no_event_may_have_is_refused(
    run: Runs, database: Path, words: tuple[str, ...], said: str
) -> None:
    before = canonical(observed(database))
    ran = run("refresh", database, *words)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert canonical(observed(database)) == before


def test_a_database_that_stays_busy_is_left_for_later(
    run: Runs, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plumbline.database.BUSY_TIMEOUT_MS", 10)
    other = open_database(str(database))
    other.execute("BEGIN IMMEDIATE")
    try:
        ran = run("refresh", database)
    finally:
        other.execute("ROLLBACK")
        other.close()
    assert (ran.code, ran.out, "try again" in ran.err) == (4, "", True)


# Status and audit


def test_the_status_of_a_database_without_a_snapshot(run: Runs, database: Path) -> None:
    document = run("status", database, "--now", 5, "--json").document
    assert document["current"] is None
    assert document["last"] is None
    assert document["live"] is None
    assert document["live_trouble"] == "no_snapshot"
    assert document["next"] == {"mode": "full_rebuild", "reason": "no_snapshot"}
    shown = run("status", database).out
    assert "current    none\n" in shown
    assert "live       none (no_snapshot: no snapshot was ever published)" in shown


def test_the_status_says_what_is_current_new_and_next(run: Runs, database: Path) -> None:
    run("refresh", database, "--now", 1_000)
    record(database, line("o3", 4), line("p1", 9, plan="deep"))
    run("refresh", database, "--now", 1_060)
    record(database, line("o4", 4))
    run("pin", database, "reader", "--owner", "me", "--for", 30, "--now", 1_060)
    document = run("status", database, "--now", 1_100, "--json").document
    current = msgspec.convert(document["current"], dict[str, object])
    assert document["last"] == current
    assert {name: current[name] for name in ("snapshot_id", "mode", "reason", "parent")} == {
        "snapshot_id": 2,
        "mode": "delta_merge",
        "reason": "live_delta",
        "parent": 1,
    }
    assert (current["watermark"], current["exact"], current["merges"]) == (4, 1, 1)
    assert (current["age_seconds"], current["exact_age_seconds"]) == (40, 100)
    assert document["log"] == {
        "outcomes": 5,
        "begins_behind": 0,
        "ends_at": 5,
        "epoch": 1,
        "foundation": None,
    }
    assert document["live_trouble"] is None
    assert document["next"] == {"mode": "delta_merge", "reason": "live_delta"}
    assert document["pins"] == [
        {
            "pin": "reader",
            "snapshot_id": 2,
            "owner": "me",
            "expires": 1_090,
            "over": True,
            "gate": False,
        }
    ]
    assert (document["snapshots"], document["verdicts"], document["snapshot"]) == (2, 0, None)
    shown = run("status", database, "--now", 1_100).out
    for said in (
        "current    2, delta_merge (live_delta), watermark 4, 1970-01-01 00:17:40, 40 s ago",
        "exact      snapshot 1, 100 s ago, 1 merge since",
        "log        5 outcomes, ends at 5, epoch 1",
        "live       1 outcome of 1 key behind 4 up to 5, anchored to 2: usable",
        "next       delta_merge (live_delta)",
        "stored     2 snapshots, 0 verdicts, 1 pin",
        "over",
    ):
        assert said in shown


@pytest.mark.parametrize(
    ("words", "mode", "reason"),
    [
        (("--merges", "0"), "full_rebuild", "compaction_due_to_delta_count"),
        (("--exact", "0"), "full_rebuild", "compaction_due_to_exact_lineage_age"),
        (("--config", "b"), "full_rebuild", "config_mismatch"),
        (("--reuse", "0"), "delta_merge", "live_delta"),
    ],
)
def test_the_status_foretells_a_refresh_with_the_same_options(
    run: Runs, database: Path, words: tuple[str, ...], mode: str, reason: str
) -> None:
    run("refresh", database, "--now", 0, "--config", "a")
    record(database, line("o3", 4))
    foretold = run("status", database, "--now", 10, *words, "--json").document
    assert foretold["next"] == {"mode": mode, "reason": reason}
    config = () if "--config" in words else ("--config", "a")
    done = run("refresh", database, "--now", 10, *words, *config, "--json").document
    assert {name: done[name] for name in ("mode", "reason")} == foretold["next"]


@pytest.mark.parametrize(
    ("loss", "trouble"),
    [
        (Loss.LIVE_ABSENT, "live_absent"),
        (Loss.LIVE_TORN, "live_corrupt"),
        (Loss.LIVE_STALE, "coverage_gap"),
        (Loss.LIVE_FOREIGN, "anchor_mismatch"),
        (Loss.MANIFEST, "manifest_invalid"),
    ],
)
def test_what_is_wrong_with_the_live_delta_is_said(
    run: Runs, database: Path, loss: Loss, trouble: str
) -> None:
    run("refresh", database, "--mode", "full")
    run("refresh", database, "--mode", "full")
    record(database, line("o3", 4))
    take(database, Lose(what=loss))
    document = run("status", database, "--json").document
    assert document["live_trouble"] == trouble
    assert document["next"] == {"mode": "full_rebuild", "reason": trouble}
    shown = run("status", database).out
    assert trouble in shown
    if loss is Loss.MANIFEST:
        assert "none: the manifest names no stored snapshot" in shown
        assert "last       2, full_rebuild (forced)" in shown


def test_a_snapshot_is_shown_with_its_keys_and_its_credit(run: Runs, database: Path) -> None:
    """ANC-27."""
    run("refresh", database, "--now", 0)
    record(database, line("o3", 4, under=1), line("o4", 7))
    ran = run("status", database, "--snapshot", 1, "--json")
    one = msgspec.convert(ran.document["snapshot"], dict[str, object])
    assert one.keys() == {"published", "statistics", "credit", "verdicts"}
    assert one["statistics"] == [
        {
            "key": {"family": "recall", "plan": "", "mode": ""},
            "statistics": {
                "count": 2,
                "total": 3,
                "least": -2,
                "greatest": 5,
                "squares_high": 0,
                "squares_low": 29,
            },
            "mean": "1.500",
            "variance": "12.250",
        }
    ]
    (credit,) = msgspec.convert(one["credit"], list[dict[str, object]])
    assert msgspec.convert(credit["statistics"], dict[str, object])["total"] == 4
    shown = run("status", database, "--snapshot", 1).out
    assert "statistics of snapshot 1" in shown
    assert "outcomes decided under snapshot 1" in shown
    assert "12.250" in shown


def test_a_foundation_is_shown(run: Runs, database: Path) -> None:
    run("refresh", database)
    take(database, Truncate(snapshot=SnapshotId(1)))
    record(database, line("o3", 4))
    shown = run("status", database).out
    assert "log        1 outcome, ends at 3, epoch 1; snapshot 1 stands for those up to 2" in shown


@pytest.mark.parametrize(
    ("ratio", "shown"),
    [
        (None, ""),
        (Ratio(numerator=0, denominator=3), "0.000"),
        (Ratio(numerator=1, denominator=3), "0.333"),
        (Ratio(numerator=-1, denominator=3), "-0.333"),
        (Ratio(numerator=-5, denominator=2), "-2.500"),
        (Ratio(numerator=1, denominator=2_000), "0.000"),
        (Ratio(numerator=3, denominator=2_000), "0.002"),
        (Ratio(numerator=10**30 + 1, denominator=1), f"{10**30 + 1}.000"),
    ],
)
def test_quotients_are_rounded_when_they_are_shown(ratio: Ratio | None, shown: str) -> None:
    assert rounded(ratio) == shown


def test_a_snapshot_that_is_not_stored_is_said(run: Runs, database: Path) -> None:
    ran = run("status", database, "--snapshot", 1)
    assert (ran.code, "has no snapshot 1; none was published yet" in ran.err) == (2, True)
    run("refresh", database)
    ran = run("status", database, "--snapshot", 0)
    assert (ran.code, "has no snapshot 0; the newest is 1" in ran.err) == (2, True)


def test_a_moment_that_no_calendar_has_is_shown(run: Runs, database: Path) -> None:
    assert run("refresh", database, "--now", 2**53 - 1).code == 0
    assert "moment 9,007,199,254,740,991" in run("status", database).out


def test_an_older_database_holds_no_log(run: Runs, tmp_path: Path) -> None:
    file = tmp_path / "old.db"
    open_database(str(file), MIGRATIONS[: MIGRATIONS.index(COMPACTION) + 1]).close()
    before = content(tmp_path)
    for words in (("status",), ("audit",)):
        ran = run(*words, file)
        assert (ran.code, "holds no log of outcomes" in ran.err) == (2, True)
    assert content(tmp_path) == before


def test_an_audit_finds_what_a_script_rewrote(run: Runs, database: Path) -> None:
    """ANC-26."""
    run("refresh", database)
    record(database, line("o3", 4))
    ran = run("audit", database, "--json")
    assert (ran.code, ran.document) == (
        0,
        {"database": str(database), "judged": 1, "drifted": [], "live_drifted": False},
    )
    take(database, Backfill(outcome=OutcomeId("o1"), reward=9))
    take(database, Backfill(outcome=OutcomeId("o3"), reward=9))
    ran = run("audit", database, "--json")
    first: dict[str, object] = {"snapshot": 1, "superseded_by": None, "gates": [], "pins": []}
    assert (ran.code, ran.document["drifted"], ran.document["live_drifted"]) == (1, [first], True)
    shown = run("audit", database)
    assert shown.code == 1
    assert shown.out == (
        "1 snapshot of this epoch recounted\n"
        "snapshot 1 is not what the log makes; it is superseded by nothing yet\n"
        "the live delta is not what the log makes of what it covers\n"
        "plumbline snapshot refresh --drift publishes what the log makes\n"
    )
    assert run("refresh", database, "--drift").code == 0


def test_what_drifted_and_was_superseded_is_no_trouble_unless_somebody_reads_it(
    run: Runs, database: Path
) -> None:
    """ANC-26: a verdict keeps a snapshot that is wrong, and an audit does not stay red for it."""
    run("refresh", database)
    assert run("gate", database, "g1", *JUDGED, "--rejected").code == 0
    run("pin", database, "p1", "--owner", "me")
    take(database, Backfill(outcome=OutcomeId("o1"), reward=9))
    assert run("refresh", database, "--drift").code == 0
    told = "snapshot 1 is not what the log makes; it is superseded by snapshot 2; judged by g1"
    held = run("audit", database)
    assert (held.code, f"{told}; held by p1\n" in held.out) == (1, True)
    run("unpin", database, "p1")
    free = run("audit", database)
    assert (free.code, free.out) == (0, f"2 snapshots of this epoch recounted\n{told}\n")
    fine = run("audit", database, "--json").document["drifted"]
    assert fine == [{"snapshot": 1, "superseded_by": 2, "gates": ["g1"], "pins": []}]


def test_a_lease_that_is_over_holds_what_drifted_until_it_is_collected(
    run: Runs, database: Path
) -> None:
    """A gate may close until then."""
    run("refresh", database)
    assert run("gate", database, "g1", *JUDGED, "--rejected").code == 0
    assert run("pin", database, "p1", "--owner", "me", "--expires", 9, "--now", 8).code == 0
    take(database, Backfill(outcome=OutcomeId("o1"), reward=9))
    run("refresh", database, "--drift")
    ran = run("audit", database)
    assert (ran.code, ran.out.splitlines()[1:]) == (
        1,
        [
            (
                "snapshot 1 is not what the log makes; it is superseded by snapshot 2;"
                " judged by g1; held by p1"
            ),
            (
                "whoever holds it can let it go: plumbline snapshot unpin DATABASE PIN, or gc where"
                " leases are over"
            ),
        ],
    )
    run("gc", database)
    assert run("audit", database).code == 0


def test_a_gate_names_the_verdicts_that_its_refresh_doubts(run: Runs, database: Path) -> None:
    """ANC-15."""
    assert run("gate", database, "g1", *JUDGED, "--rejected").code == 0
    take(database, Backfill(outcome=OutcomeId("o1"), reward=9))
    ran = run("gate", database, "g2", *JUDGED, "--rejected", "--json")
    assert (ran.document["reason"], ran.document["doubted"]) == ("drift_detected", ["g1"])
    take(database, Backfill(outcome=OutcomeId("o1"), reward=8))
    assert "doubted: g2\n" in run("gate", database, "g3", *JUDGED, "--rejected").out


def test_nothing_to_compare_is_said(run: Runs, database: Path) -> None:
    said = "0 snapshots of this epoch recounted\nthere is nothing to compare\n"
    assert run("audit", database).out == said


def test_a_moment_that_is_still_to_come_is_shown_as_such(run: Runs, database: Path) -> None:
    run("refresh", database, "--now", 50)
    found = run("status", database, "--now", 20, "--json").document
    current = msgspec.convert(found["current"], dict[str, object])
    assert (current["age_seconds"], current["exact_age_seconds"]) == (-30, -30)
    shown = run("status", database, "--now", 20).out
    assert "exact      snapshot 1, 30 s ahead of this moment, 0 merges since\n" in shown


def test_whoever_is_kept_out_is_told_to_try_again(
    run: Runs, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plumbline.reading.WAIT_MS", 1)

    def changed(*_args: object) -> None:
        raise WrittenMeanwhile("it was written")

    monkeypatch.setattr("plumbline.reading._unchanged", changed)
    db = apsw.Connection(str(database))
    db.pragma("locking_mode", "exclusive")
    with db:
        db.execute("UPDATE manifest SET issued = issued + 1")
    for command in (("status",), ("audit",), ("export", tmp_path / "out")):
        ran = run(command[0], database, *command[1:])
        assert (ran.code, "is held by somebody else" in ran.err) == (4, True), ran.err
    db.close()


def test_a_text_that_is_none_is_for_an_audit_to_find(run: Runs, database: Path) -> None:
    run("refresh", database)
    db = apsw.Connection(str(database))
    drop_triggers(db)
    db.execute("UPDATE keys SET mode = CAST(x'fffe' AS TEXT)")
    db.close()
    for command in (("status", "--snapshot", "1"), ("export", "out")):
        ran = run(command[0], database, *command[1:])
        assert (ran.code, "plumbline audit says what is wrong" in ran.err) == (4, True), ran.err


def test_a_manifest_that_names_what_no_number_can_be_costs_a_rebuild(
    run: Runs, database: Path
) -> None:
    run("refresh", database)
    db = apsw.Connection(str(database))
    db.execute("UPDATE manifest SET current = 9223372036854775807")
    db.close()
    ran = run("refresh", database, "--json")
    assert (ran.code, ran.document["reason"]) == (0, "manifest_invalid")


def test_a_healthy_database_is_said_to_be_one(run: Runs, database: Path) -> None:
    run("refresh", database)
    said = "1 snapshot of this epoch recounted\neverything is what the log makes\n"
    assert run("audit", database).out == said


def test_the_verdicts_of_a_snapshot_are_shown_with_it(run: Runs, database: Path) -> None:
    run("gate", database, "g1", *JUDGED, "--promoted", "--result", "100/100/0")
    found = run("status", database, "--snapshot", 1, "--json").document["snapshot"]
    verdicts = msgspec.convert(found, dict[str, object])["verdicts"]
    assert verdicts == [{"gate": "g1", "candidate": "c1", "result": "100/100/0", "promoted": True}]
    shown = run("status", database, "--snapshot", 1).out
    assert ("verdicts by snapshot 1" in shown, "promoted" in shown) == (True, True)


def test_what_the_last_refresh_did_is_shown(run: Runs, database: Path) -> None:
    """ANC-42."""
    assert run("status", database, "--json").document["last_refresh"] is None
    for arguments, mode, reason in (
        ((), "full_rebuild", "no_snapshot"),
        ((), "reused_snapshot", "within_reuse_window"),
        (("--mode", "full"), "full_rebuild", "forced"),
    ):
        run("refresh", database, "--now", 0, *arguments)
        last = run("status", database, "--json").document["last_refresh"]
        assert last == {"mode": mode, "reason": reason}
        assert f"refreshed  {mode} ({reason})\n" in run("status", database).out


@pytest.mark.parametrize("command", ["status", "audit"])
def test_somebody_who_records_meanwhile_is_in_nobodys_way(
    run: Runs, database: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """What is reported is one state, the one from before."""
    run("refresh", database)
    module, name = {"status": (snapshot_status, "end_of"), "audit": (snapshot_status, "recount")}[
        command
    ]
    usual = getattr(module, name)
    written = iter(range(9))

    def meanwhile(db: apsw.Connection, *more: object) -> object:
        db.execute("SELECT 1 FROM manifest").fetchall()
        record(database, line(f"late{next(written)}", 1))
        return usual(db, *more)

    monkeypatch.setattr(module, name, meanwhile)
    ran = run(command, database, "--json")
    assert ran.code == 0
    if command == "status":
        assert msgspec.convert(ran.document["log"], dict[str, object])["ends_at"] == 3
    assert next(written) == 2


def test_a_database_that_cannot_be_read_to_its_end_is_left_alone(
    run: Runs, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def torn(_db: apsw.Connection) -> None:
        raise apsw.CorruptError("torn")

    monkeypatch.setattr("plumbline.snapshot_status.recount", torn)
    ran = run("audit", database)
    assert (ran.code, "cannot be read to its end (torn)" in ran.err) == (4, True)


# Pins


def test_a_pin_is_held_renewed_and_let_go(run: Runs, database: Path) -> None:
    """ANC-25."""
    run("refresh", database, "--now", 0)
    held = run("pin", database, "p1", "--owner", "me", "--json")
    assert held.document == {"pin": "p1", "snapshot_id": 1, "held": True, "expires": None}
    run("refresh", database, "--mode", "full", "--now", 1)
    other = run("pin", database, "p2", "--owner", "me", "--expires", 50, "--now", 49, "--json")
    assert (other.document["snapshot_id"], other.document["expires"]) == (2, 50)
    older = run("pin", database, "p3", "--owner", "me", "--snapshot", 1, "--for", 9, "--now", 1)
    assert older.out == "pin: p3\nsnapshot_id: 1\nheld: yes\nexpires: 10\n"
    renewed = run("renew", database, "p3", "--for", 5, "--now", 20, "--json").document
    assert renewed["expires"] == 25
    assert run("renew", database, "p3", "--json").document["expires"] is None
    gone = run("unpin", database, "p3", "--json")
    assert gone.document == {"pin": "p3", "snapshot_id": 1, "held": False, "expires": None}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("pin", "p1", "--owner", "me"), "pin_exists"),
        (("pin", "p2", "--owner", "me", "--for", "0"), "lease_over"),
        (("pin", "p2", "--owner", "me", "--expires", "7", "--now", "7"), "lease_over"),
        (("pin", "p2", "--owner", "me", "--snapshot", "0"), "unknown_snapshot"),
        (("renew", "p2"), "unknown_pin"),
        (("renew", "p1", "--for", "0"), "lease_over"),
        (("unpin", "p2"), "unknown_pin"),
    ],
)
def test_a_pin_is_refused_with_the_reason(
    run: Runs, database: Path, words: tuple[str, ...], reason: str
) -> None:
    run("refresh", database)
    run("pin", database, "p1", "--owner", "me")
    before = canonical(observed(database))
    ran = run(words[0], database, *words[1:], "--json")
    assert (ran.code, ran.document["refused"]) == (3, reason)
    assert run(words[0], database, *words[1:]).out.startswith(f"refused: {reason}: ")
    assert canonical(observed(database)) == before


def test_a_lease_is_said_once(run: Runs, database: Path) -> None:
    ran = run("pin", database, "p1", "--owner", "me", "--for", 1, "--expires", 2)
    assert (ran.code, "exclude each other" in ran.err) == (2, True)


def test_a_lease_ends_at_the_last_moment_at_most(run: Runs, database: Path) -> None:
    run("refresh", database)
    last = 2**53 - 1
    ran = run("pin", database, "p1", "--owner", "me", "--for", last, "--now", 9, "--json")
    assert ran.document["expires"] == last


def test_a_request_about_a_pin_is_answered_again(
    run: Runs, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ENV-1; that the pin went since is said."""
    run("refresh", database)
    words = ("pin", database, "p1", "--owner", "me", "--for", 60, "--request", "r1", "--json")
    monkeypatch.setattr(policy_snapshot, "clock", lambda: 1_000)
    first = run(*words)
    assert first.document["expires"] == 1_060
    monkeypatch.setattr(policy_snapshot, "clock", lambda: 2_000)
    assert run(*words).out == first.out
    run("unpin", database, "p1", "--request", "r2")
    assert run("unpin", database, "p1", "--request", "r2").code == 0
    assert run(*words).document == {
        "pin": "p1",
        "snapshot_id": 1,
        "held": False,
        "expires": None,
    }


# Collecting


def test_what_nobody_needs_goes_and_is_listed(run: Runs, database: Path) -> None:
    """ANC-24."""
    for moment in range(4):
        run("refresh", database, "--mode", "full", "--now", moment)
    run("pin", database, "p1", "--owner", "me", "--snapshot", 1)
    run("pin", database, "p2", "--owner", "me", "--snapshot", 2, "--expires", 9, "--now", 0)
    kept = run("gc", database, "--keep", 2, "--now", 8, "--json")
    assert (kept.code, kept.document) == (0, {"snapshots": [], "pins": []})
    gone = run("gc", database, "--keep", 0, "--now", 9)
    assert (gone.code, gone.out) == (0, "snapshots: 2, 3\npins: p2\n")
    assert run("gc", database, "--request", "r").out == "snapshots: none\npins: none\n"
    assert [one.id for one in observed(database).snapshots] == [1, 4]


# Gates


def test_a_given_verdict_is_recorded_at_once(run: Runs, database: Path) -> None:
    """ANC-22."""
    words = (*JUDGED, "--result", "100/100/0", "--promoted", "--now", 5, "--json")
    ran = run("gate", database, "g1", *words)
    assert (ran.code, list(ran.document)) == (0, GATE_KEYS)
    assert ran.document == {
        "policy_snapshot_id": 1,
        "gate": "g1",
        "mode": "full_rebuild",
        "reason": "no_snapshot",
        "candidate": "c1",
        "result": "100/100/0",
        "promoted": True,
        "exit_code": None,
        "repeated": False,
    }
    ran = run("gate", database, "g2", *JUDGED, "--rejected", "--now", 5)
    assert (ran.code, "promoted: no" in ran.out) == (0, True)
    state = observed(database)
    assert [(one.gate, one.promoted, one.result) for one in state.verdicts] == [
        ("g1", True, "100/100/0"),
        ("g2", False, ""),
    ]
    assert state.pins == ()


def test_a_gate_hears_the_options_of_a_refresh(run: Runs, database: Path) -> None:
    words = (*JUDGED, "--rejected", "--now", 5, "--json")
    run("refresh", database, "--now", 5)
    for gate, options, reason in (
        ("g1", (), "within_reuse_window"),
        ("g2", ("--reuse", 0), "compaction_due_to_snapshot_age"),
        ("g3", ("--mode", "full"), "forced"),
        ("g4", ("--config", "x"), "config_mismatch"),
        ("g5", ("--config", "x", "--drift"), "drift_detected"),
    ):
        ran = run("gate", database, gate, *words, *options)
        assert (ran.code, ran.document["reason"]) == (0, reason)


@pytest.mark.parametrize(
    ("gate", "words", "reason"),
    [
        ("g1", (), "gate_exists"),
        ("p1", (), "gate_exists"),
        ("g2", ("--for", "0"), "lease_over"),
        ("g2", ("--mode", "delta", "--drift"), "drift_detected"),
    ],
)
@pytest.mark.parametrize("command", [True, False])
def test_a_gate_is_refused_with_the_reason_and_nothing_is_run(
    run: Runs, database: Path, gate: str, words: tuple[str, ...], reason: str, *, command: bool
) -> None:
    run("gate", database, "g1", *JUDGED, "--promoted")
    run("pin", database, "p1", "--owner", "me")
    before = canonical(observed(database))
    ends = python("print('run')") if command else ("--promoted",)
    ran = run("gate", database, gate, *JUDGED, "--json", *words, *ends)
    assert (ran.code, ran.document["refused"], "run\n" in ran.err) == (3, reason, False)
    assert canonical(observed(database)) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*JUDGED,), "give --promoted or --rejected, or -- COMMAND"),
        ((*JUDGED, "--promoted", "--", "true"), "a COMMAND comes to the verdict"),
        ((*JUDGED, "--result", "1/2/3", "--", "true"), "a COMMAND comes to the verdict"),
        ((*JUDGED, "--promoted", "--result", "1/2"), "is not three numbers such as 100/100/0"),
        ((*JUDGED, "--promoted", "--export", "out"), "--export is for a COMMAND to read"),
        (("--owner", "me", "--promoted"), "--candidate"),
        (("--candidate", "c", "--promoted"), "--owner"),
        ((*JUDGED, "--promoted", "--for", "1", "--expires", "2"), "exclude each other"),
        (("--owner", "x" * 257, "--candidate", "c", "--promoted"), "`$.owner`"),
        (("--owner", "o", "--candidate", "x" * 257, "--promoted"), "`$.candidate`"),
    ],
)
def test_what_a_gate_cannot_use_is_said(
    run: Runs, database: Path, words: tuple[str, ...], said: str
) -> None:
    before = canonical(observed(database))
    ran = run("gate", database, "g1", *words)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert canonical(observed(database)) == before


def test_a_command_that_fails_rejects_the_candidate(run: Runs, database: Path) -> None:
    """ANC-22; the exit code says it, so that nothing is deployed behind ``&&``."""
    program = "print('1/1/0'); print(' 90.5/100/3 '); print('1/2/3/4'); raise SystemExit(9)"
    ran = run("gate", database, "g1", *JUDGED, *python(program))
    assert ran.code == 1
    assert "result: 90.5/100/3\npromoted: no\nexit_code: 9\n" in ran.out
    (verdict,) = observed(database).verdicts
    assert (verdict.result, verdict.promoted) == ("90.5/100/3", False)


def test_beside_a_document_a_command_writes_to_standard_error(run: Runs, database: Path) -> None:
    program = "import sys; sys.stdout.buffer.write(b'caf\\xc3\\xa9 \\xff')"
    ran = run("gate", database, "g1", *JUDGED, "--json", *python(program))
    assert (ran.code, list(ran.document)) == (0, GATE_KEYS)
    assert ran.err == "café \\xff\n"
    assert (ran.document["result"], ran.document["exit_code"]) == ("", 0)


def test_a_piece_of_a_long_line_is_no_result(run: Runs, database: Path) -> None:
    program = f"print('x' * {policy_gate.READ_BYTES} + '1/2/3')"
    ran = run("gate", database, "g1", *JUDGED, "--json", *python(program))
    assert (ran.code, ran.document["result"]) == (0, "")


def test_a_command_reads_the_snapshot_that_was_exported_for_it(
    run: Runs, database: Path, tmp_path: Path
) -> None:
    program = (
        "import json, os, pathlib\n"
        "folder = pathlib.Path(os.environ['POLICY_SNAPSHOT_DIR'])\n"
        "found = json.loads((folder / 'snapshot.json').read_text())\n"
        "print(found['id'] == int(os.environ['POLICY_SNAPSHOT_ID']), found['watermark'])\n"
    )
    words = ("--export", tmp_path / "out", *python(program))
    ran = run("gate", database, "g1", *JUDGED, *words)
    assert (ran.code, ran.out.partition("\n")[0]) == (0, "True 2")
    assert (tmp_path / "out" / "policy_snapshot.json").exists()


def test_without_an_export_there_is_no_folder_in_the_environment(
    run: Runs, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLICY_SNAPSHOT_DIR", "an older one")
    program = "import os; raise SystemExit('POLICY_SNAPSHOT_DIR' in os.environ)"
    assert run("gate", database, "g1", *JUDGED, *python(program)).code == 0


def unjudged(file: Path) -> bool:
    """Tell whether there is neither a verdict nor a pin."""
    state = observed(file)
    return state.verdicts == () and state.pins == ()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--", "./nobody-has-it"), "'./nobody-has-it' cannot be run (No such file or directory)"),
        (("--", "/"), "cannot be run (Permission denied)"),
        (python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"), "ended by SIGKILL"),
    ],
)
def test_a_command_that_cannot_judge_leaves_no_verdict_and_no_pin(
    run: Runs, database: Path, words: tuple[str, ...], said: str
) -> None:
    ran = run("gate", database, "g1", *JUDGED, *words)
    assert (ran.code, ran.out) == (4, "")
    assert said in ran.err
    assert "the run g1 has no verdict, and its snapshot was let go" in ran.err
    assert unjudged(database)
    assert run("gate", database, "g1", *JUDGED, "--promoted").code == 0


def test_an_export_that_fails_leaves_no_verdict_and_no_pin(
    run: Runs, database: Path, tmp_path: Path
) -> None:
    (tmp_path / "policy_snapshots").write_text("in the way")
    ran = run("gate", database, "g1", *JUDGED, "--export", tmp_path, *python("print('run')"))
    assert (ran.code, ran.out) == (2, "")
    assert "is not a folder" in ran.err
    assert unjudged(database)


def test_what_a_command_left_running_is_not_waited_for(run: Runs, database: Path) -> None:
    """It holds the output of the command open."""
    program = (
        "import subprocess, sys\n"
        "quiet = {'stdin': subprocess.DEVNULL, 'stderr': subprocess.DEVNULL}\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], **quiet)\n"
        "print('7/8/9', end='')\n"
    )
    begun = time.monotonic()
    ran = run("gate", database, "g1", *JUDGED, "--json", *python(program))
    assert (ran.code, ran.document["result"]) == (0, "7/8/9")
    assert time.monotonic() - begun < 50


def test_whoever_writes_on_behind_a_command_is_not_heard_for_ever(
    run: Runs, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy_gate, "GRACE_SECONDS", 0.2)
    talker = "import time\nwhile True: print('5/5/5', flush=True); time.sleep(0.001)"
    program = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {talker!r}])\n"
    assert run("gate", database, "g1", *JUDGED, "--json", *python(program)).code == 0


def test_an_interrupted_gate_ends_its_command_and_lets_the_snapshot_go(database: Path) -> None:
    """The command interrupts the one that runs it, and would go on for a minute."""
    program = (
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from plumbline.command import main\n"
        "main()\n"
    )
    told = "import os, signal, time; os.kill(os.getppid(), signal.SIGINT); time.sleep(60)"
    ended = subprocess.run(  # noqa: S603 - this interpreter, and the text above
        [sys.executable, "-c", program, "snapshot", "gate", database, "g1", *JUDGED, *python(told)],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert (ended.returncode, ended.stdout) == (130, "")
    assert [one for one in ended.stderr.splitlines() if one] == [
        "plumbline: the run g1 has no verdict, and its snapshot was let go",
        "plumbline: interrupted",
    ]
    assert unjudged(database)


def test_a_command_that_does_not_end_when_it_is_told_is_ended(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy_gate, "GRACE_SECONDS", 0.05)
    program = (
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('deaf', flush=True)\n"
        "time.sleep(60)\n"
    )

    class Told(io.StringIO):
        def write(self, _text: str) -> int:
            raise policy_gate.NotJudged("told")

    by = policy_gate.GateCommand(python(program)[1:], Told())
    with pytest.raises(policy_gate.NotJudged):
        judge(database, Run(gate="g1", owner="me", candidate="c1"), by)
    assert unjudged(database)


def test_whoever_is_told_twice_has_no_more_patience(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command does not outlive the run, though what waits for it is broken off."""
    ended = list[int]()

    class Impatient(subprocess.Popen[bytes]):
        @override
        def wait(self, timeout: float | None = None) -> int:
            if timeout is not None:
                raise KeyboardInterrupt
            ended.append(super().wait(30))
            return ended[-1]

    monkeypatch.setattr(subprocess, "Popen", Impatient)

    class Told(io.StringIO):
        def write(self, _text: str) -> int:
            raise policy_gate.NotJudged("told")

    deaf = (
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('deaf', flush=True)\n"
        "time.sleep(60)\n"
    )
    by = policy_gate.GateCommand(python(deaf)[1:], Told())
    with pytest.raises(KeyboardInterrupt):
        judge(database, Run(gate="g1", owner="me", candidate="c1"), by)
    assert (ended, unjudged(database)) == ([-signal.SIGKILL], True)


def test_whoever_reads_no_more_stops_no_judge(database: Path) -> None:
    class Closed(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    by = policy_gate.GateCommand(python("print('1/2/3')")[1:], Closed())
    found = judge(database, Run(gate="g1", owner="me", candidate="c1"), by)
    assert isinstance(found, GateReport)
    assert (found.promoted, found.result) == (True, "1/2/3")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", ""])
def test_what_is_said_ends_in_a_line_of_its_own(run: Runs, database: Path, end: str) -> None:
    said = python(f"import os; os.write(1, {f'working{chr(13)}4/5/6{end}'.encode()!r})")
    ran = run("gate", database, "g1", *JUDGED, *said)
    assert (ran.code, "result: 4/5/6\n" in ran.out) == (0, True)
    assert "\npolicy_snapshot_id: 1\n" in ran.out


def test_a_judge_may_be_a_function(database: Path) -> None:
    """ANC-37: the snapshot is pinned while others publish."""
    seen: list[tuple[int, Path | None]] = []

    def by(snapshot: int, folder: Path | None) -> Judgement:
        seen.append((snapshot, folder))
        record(database, line("o9", 1))
        assert not isinstance(refresh(database, Terms(mode=Mode.FULL)), Refusing)
        (held,) = observed(database).pins
        assert (held.id, held.snapshot, held.gate) == ("g1", snapshot, True)
        return Judgement(promoted=True, result="1/1/1")

    found = judge(database, Run(gate="g1", owner="me", candidate="c1"), by)
    assert isinstance(found, GateReport)
    assert (found.policy_snapshot_id, seen) == (1, [(1, None)])
    assert status(database).verdicts == 1


def test_a_gate_whose_pin_went_meanwhile_has_no_verdict(run: Runs, database: Path) -> None:
    """ANC-22."""
    program = (
        "from pathlib import Path\n"
        "from plumbline.policy_snapshot import unpin\n"
        f"unpin(Path({str(database)!r}), 'g1')\n"
    )
    ran = run("gate", database, "g1", *JUDGED, "--json", *python(program))
    assert (ran.code, ran.document["refused"]) == (3, "not_pinned")
    assert unjudged(database)


def test_the_request_of_a_gate_is_judged_once(run: Runs, database: Path) -> None:
    """ENV-1."""
    words = (
        "gate",
        database,
        "g1",
        *JUDGED,
        "--request",
        "r1",
        "--json",
        *python("print('1/1/1')"),
    )
    first, again = run(*words), run(*words)
    assert (first.err, again.err) == ("1/1/1\n", "")
    assert (first.document["repeated"], again.document["repeated"]) == (False, True)
    same = ("policy_snapshot_id", "mode", "reason", "candidate", "result", "promoted")
    assert [first.document[name] for name in same] == [again.document[name] for name in same]
    given = ("gate", database, "g2", *JUDGED, "--request", "r2", "--rejected", "--json")
    assert run(*given).out == run(*given).out


def test_the_request_of_a_gate_that_was_given_up_is_not_judged_again(
    run: Runs, database: Path
) -> None:
    assert run("gate", database, "g1", *JUDGED, "--request", "r1", "--", "./none").code == 4
    words = ("gate", database, "g1", *JUDGED, "--request", "r1", "--json")
    ran = run(*words, *python("print('run')"))
    assert (ran.code, ran.document["refused"], ran.err) == (3, "not_pinned", "")
    ran = run(*words, "--promoted")
    assert (ran.code, ran.document["refused"]) == (3, "not_pinned")


def test_a_run_that_was_killed_can_be_judged_by_the_same_request(run: Runs, database: Path) -> None:
    """ENV-1: what is left of it is its pin."""
    words = ("gate", database, "g1", *JUDGED, "--request", "r1")

    def opening(now: int) -> OpenGate:
        return OpenGate(gate=GateId("g1"), owner="judge", now=now)

    with policy_snapshot.opened(database) as db:
        policy_snapshot.ask(db, opening, Envelope(request="r1").of("open"))
    assert run("gate", database, "g1", *JUDGED, "--promoted").code == 3
    assert run(*words, *python("pass")).code == 0


def test_a_request_with_another_candidate_is_not_answered_with_the_verdict_on_the_first(
    run: Runs, database: Path
) -> None:
    words = ("gate", database, "g1", "--owner", "judge", "--request", "r1")
    assert run(*words, "--candidate", "good", *python("print('1/1/1')")).code == 0
    ran = run(*words, "--candidate", "bad", *python("raise SystemExit(4)"))
    assert (ran.code, ran.out) == (2, "")
    assert observed(database).verdicts[0].candidate == "good"


def test_a_candidate_that_no_verdict_can_hold_is_refused_before_anything_runs(
    run: Runs, database: Path, tmp_path: Path
) -> None:
    ran = run(
        "gate",
        database,
        "g1",
        "--owner",
        "judge",
        "--candidate",
        "x" * 300,
        *python(f"open({str(tmp_path / 'ran')!r}, 'w')"),
    )
    assert ran.code == 2
    assert not (tmp_path / "ran").exists()
    assert observed(database).pins == ()


def test_a_run_that_lost_its_lease_takes_no_pin_of_another_run(
    database: Path,
) -> None:
    """ANC-22: neither with a verdict nor without one."""
    for raises in (False, True):
        name = f"g{raises}"
        mine = Run(gate=name, owner="A", candidate="a", lease=policy_snapshot.Lease(seconds=1))
        theirs = Run(gate=name, owner="B", candidate="b")

        def meanwhile(snapshot: int, folder: Path | None, other: Run = theirs) -> Judgement:
            del snapshot, folder
            far = Envelope(now=2**40)
            policy_snapshot.collect(database, envelope=far, keep=99)
            with policy_snapshot.opened(database) as db:
                policy_snapshot.ask(db, full, far)
                policy_snapshot.ask(db, opening_of(other), far)
            if other.gate == "gTrue":
                raise CouldNotFinish("killed")
            return Judgement(promoted=True)

        if raises:
            with pytest.raises(CouldNotFinish, match="killed"):
                policy_gate.judge(database, mine, meanwhile)
        else:
            found = policy_gate.judge(database, mine, meanwhile)
            assert isinstance(found, Refusing)
        assert [one.owner for one in observed(database).pins if one.id == name] == ["B"]
    assert observed(database).verdicts == ()


def full(now: int) -> Refresh:
    return Refresh(now=now, mode=Mode.FULL)


def opening_of(run: Run) -> Callable[[int], OpenGate]:
    return lambda now: OpenGate(gate=GateId(run.gate), owner=run.owner, now=now)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_gate_that_is_told_to_end_ends_its_command_and_lets_its_snapshot_go(
    run: Runs, database: Path, number: signal.Signals
) -> None:
    ends = f"import os, time; os.kill({os.getpid()}, {int(number)}); time.sleep(60)"
    ran = run("gate", database, "g1", *JUDGED, *python(ends))
    assert ran.code == 4
    assert f"the run was ended by {number.name}" in ran.err
    assert (observed(database).pins, observed(database).verdicts) == ((), ())


def test_what_is_ignored_stays_so(run: Runs, database: Path) -> None:
    """As under ``nohup``."""
    usual = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        told = python(f"import os; os.kill({os.getpid()}, {int(signal.SIGHUP)}); print('1/1/1')")
        assert run("gate", database, "g1", *JUDGED, *told).code == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, usual)


def test_a_gate_that_is_told_to_end_while_it_exports_lets_its_snapshot_go(
    run: Runs, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def waiting(*_args: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)

    monkeypatch.setattr(policy_gate, "export_from", waiting)
    ran = run("gate", database, "g1", *JUDGED, "--export", tmp_path / "out", "--", "true")
    assert (ran.code, "the run was ended by SIGTERM" in ran.err) == (4, True)
    assert (observed(database).pins, observed(database).verdicts) == ((), ())


def test_a_gate_that_is_told_to_end_while_it_opens_lets_its_snapshot_go(
    run: Runs, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hears of it when it knows what it has pinned, whichever thread the system tells."""
    over = threading.Event()
    other = threading.Thread(target=over.wait)
    usual = policy_gate._begin  # pyright: ignore[reportPrivateUsage] - the moment of its commit

    def begin(db: apsw.Connection, opening: Run, envelope: Envelope) -> object:
        begun = usual(db, opening, envelope)
        os.kill(os.getpid(), signal.SIGTERM)
        return begun

    monkeypatch.setattr(policy_gate, "_begin", begin)
    other.start()
    try:
        ran = run("gate", database, "g1", *JUDGED, "--", "true")
    finally:
        over.set()
        other.join()
    assert (ran.code, "the run was ended by SIGTERM" in ran.err) == (4, True)
    assert "its snapshot was let go" in ran.err
    assert (observed(database).pins, observed(database).verdicts) == ((), ())


def in_a_shell(words: str, **named: object) -> subprocess.CompletedProcess[str]:
    """Run words in a shell that knows the command and the database by name."""
    program = f"{sys.executable} -c 'from plumbline.command import main; main()' snapshot"
    names = {"plumbline": program, **{name: str(one) for name, one in named.items()}}
    return subprocess.run(  # noqa: S603 - the words of this file
        ["/bin/bash", "-c", words],
        env={**os.environ, **names},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_report_that_nobody_reads_says_nothing_of_the_candidate(
    database: Path,
) -> None:
    """The exit code is that of a pipe that was closed, and the verdict is recorded."""
    ran = in_a_shell(
        "eval $plumbline gate $db g1 --owner o --candidate c --"
        " sh -c '\"yes | head -c 1000000; echo 1/1/1\"' | head -n 1 >/dev/null;"
        " echo ${PIPESTATUS[0]}",
        db=database,
    )
    assert ran.stdout == "130\n"
    (verdict,) = observed(database).verdicts
    assert (verdict.promoted, verdict.result) == (True, "1/1/1")


def test_another_alphabet_on_standard_output_stops_no_judge(database: Path) -> None:
    ran = in_a_shell(
        "eval PYTHONIOENCODING=ascii $plumbline gate $db g1 --owner o --candidate c --"
        " printf \"'caf\\303\\251\\n1/1/1\\n'\"",
        db=database,
    )
    assert (ran.returncode, ran.stdout[:8]) == (0, "caf\\xe9\n")


@pytest.mark.parametrize(
    ("closed", "code"), [("<&-", 0), (">&-", 0), ("2>&-", 0), ("<&- >&- 2>&-", 0)]
)
def test_streams_that_are_closed_are_in_nobodys_way(database: Path, closed: str, code: int) -> None:
    ran = in_a_shell(f"eval $plumbline status $db {closed}", db=database)
    assert (ran.returncode, ran.stderr) == (code, "")
    gate = f"eval $plumbline gate $db g1 --owner o --candidate c -- echo 1/1/1 {closed}"
    ran = in_a_shell(gate, db=database)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert len(observed(database).verdicts) == 1


def test_standard_input_that_is_closed_is_said(database: Path) -> None:
    ran = in_a_shell("eval $plumbline record $db '<&-'", db=database)
    assert (ran.returncode, "standard input is closed; name a file" in ran.stderr) == (2, True)


@pytest.mark.parametrize(
    "command", [("pin", "p1", "--owner", ""), ("gate", "g1", "--owner", "", "--candidate", "c")]
)
def test_a_name_is_not_empty(run: Runs, database: Path, command: tuple[str, ...]) -> None:
    ran = run(command[0], database, *command[1:])
    assert (ran.code, "it is empty, and names nothing" in ran.err) == (2, True)


def failing_after(monkeypatch: pytest.MonkeyPatch, name: str, errors: Iterator[Exception]) -> None:
    def failing(*_args: object, **_named: object) -> None:
        raise next(errors)

    monkeypatch.setattr(policy_gate, name, failing)


def test_a_pin_that_cannot_be_let_go_is_said(
    run: Runs, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_after(monkeypatch, "_let_go", iter([CouldNotFinish("busy")]))
    ran = run("gate", database, "g1", *JUDGED, "--", "./none")
    assert ran.code == 4
    assert "its snapshot is still pinned (busy); let it go with" in ran.err
    assert f"plumbline snapshot unpin {database} g1" in ran.err
    assert run("unpin", database, "g1").code == 0


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (CouldNotFinish("busy"), 4, "the run g1 came to promoted 1/2/3; if plumbline snapshot"),
        (KeyboardInterrupt(), 130, "the run g1 has no verdict, and its snapshot was let go"),
    ],
)
def test_a_verdict_that_cannot_be_recorded_is_said(
    run: Runs,
    database: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    said: str,
) -> None:
    def closing(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(policy_gate, "_closing", closing)
        ran = run("gate", database, "g1", *JUDGED, *python("print('1/2/3')"))
    assert (ran.code, said in ran.err) == (code, True)
    assert observed(database).verdicts == ()


# The errors themselves


def test_an_unreadable_outcome_survives_a_process_boundary() -> None:
    error = UnreadableOutcome("x.jsonl", 3, "what", "advice")
    kind, args = error.__reduce__()
    assert str(kind(*args)) == str(error) == "x.jsonl, line 3: what; advice"


def test_a_request_that_was_used_is_raised_as_it_is_in_python(database: Path) -> None:
    refresh(database, envelope=Envelope(now=1, request="r"))
    with pytest.raises(RequestReused):
        refresh(database, envelope=Envelope(now=2, request="r"))
    with pytest.raises(UnusableInput):
        refresh(database.with_name("missing.db"))
