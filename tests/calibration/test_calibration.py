"""Recorded answers of released systems, held to the models of these systems."""

import json
import lzma
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct

from plumbline.calibration import Answered, Driver, calibrate, read_operations
from plumbline.command import cli, guarded
from plumbline_spec.errors import UnusableInput
from tests.plans import ROOT

RECORDED = ROOT / "tests" / "data" / "lossless-claw"
ANSWERS = 3_372
RELEASES = ("before", "pr295", "head")

every_release = pytest.mark.parametrize("release", RELEASES)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack the recordings."""
    folder = tmp_path_factory.mktemp("lossless-claw")
    for file in RECORDED.glob("*.xz"):
        (folder / file.stem).write_bytes(lzma.decompress(file.read_bytes()))
    return folder


def answers_of(folder: Path, release: str) -> Path:
    return folder / f"answers.{release}.jsonl"


class Ran(Struct, frozen=True, kw_only=True):
    """What a command did."""

    exit_code: int
    stdout: str
    stderr: str


Run = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs the command."""

    def runs(*words: object) -> Ran:
        capsys.readouterr()
        code = guarded(cli, ["calibrate", "lossless-claw", *map(str, words)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return Ran(exit_code=code, stdout=captured.out, stderr=captured.err)

    return runs


def written(folder: Path, name: str, *lines: object) -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def taken(folder: Path, release: str, *operations: object) -> list[Answered]:
    """Return what the model of a release answers to operations."""
    driver = Driver(release)
    read = read_operations(written(folder, "operations.jsonl", *operations))
    return [driver.take(one) for one in read]


OPEN = {"op": "conv", "session": "s", "conv": 1}
SMALL = {
    "op": "config",
    "conv": 1,
    "reset": True,
    "set": {"freshTailCount": 1, "leafChunkTokens": 100, "leafTargetTokens": 30},
}


def mode(**behaviour: object) -> dict[str, object]:
    return {"op": "summarizer", "conv": 1, "set": behaviour}


def append(chars: int, count: int, repeat: int = 1) -> dict[str, object]:
    return {
        "op": "append",
        "conv": 1,
        "repeat": repeat,
        "chars": chars,
        "role": "user",
        "tokenCount": count,
    }


SWEEP = {"op": "compact", "conv": 1, "budget": 0, "force": True, "hard": True}


@every_release
def test_every_recorded_answer_is_that_of_the_model(recorded: Path, release: str) -> None:
    found = calibrate(recorded / "operations.jsonl", answers_of(recorded, release), release)
    assert (found.compared, found.equal, found.differences) == (ANSWERS, ANSWERS, ())


@pytest.mark.parametrize(("answered", "release"), [("head", "pr295"), ("pr295", "head")])
def test_the_answers_of_another_release_differ(recorded: Path, answered: str, release: str) -> None:
    found = calibrate(recorded / "operations.jsonl", answers_of(recorded, answered), release)
    assert found.differing > ANSWERS // 10
    assert found.equal + found.differing == ANSWERS
    assert not found.holds


def test_the_answers_of_before_and_295_differ_where_a_count_is_not_positive(
    tmp_path: Path,
) -> None:
    """The recorded messages have positive counts, where both agree; these have none."""
    asked = (OPEN, SMALL, mode(mode="fixed", chars=40), append(4000, 0), append(40, 10), SWEEP)
    before, since = (taken(tmp_path, release, *asked)[-1] for release in ("before", "pr295"))
    assert before["context"] == since["context"]
    assert before["total"] == since["total"]
    told, said = before["result"], since["result"]
    assert isinstance(told, dict)
    assert isinstance(said, dict)
    assert told["tokensAfter"] == before["total"]
    assert said["tokensAfter"] != since["total"]


@every_release
@pytest.mark.parametrize(
    "behaviour",
    [
        {"mode": "auth"},
        {"mode": "error"},
        {"mode": "empty"},
        {"mode": "grow"},
        {"mode": "lens", "lens": [10, 4000]},
        {"mode": "ratio", "ratio": 0.5},
    ],
    ids=lambda behaviour: behaviour["mode"],
)
@pytest.mark.parametrize("count", [0, -7, 10])
def test_every_summariser_and_every_count_is_answered(
    tmp_path: Path, release: str, behaviour: dict[str, object], count: int
) -> None:
    until = {"op": "until", "conv": 1, "budget": 100, "target": 1, "current": 0}
    leaf = {"op": "compactLeaf", "conv": 1, "budget": 0, "force": True}
    dump = {"op": "dump", "conv": 1}
    asked = (OPEN, SMALL, mode(**behaviour), append(400, count, 6), leaf, SWEEP, until, dump)
    answers = taken(tmp_path, release, *asked)
    assert [one["op"] for one in answers] == [one["op"] for one in asked]
    failed = [one for one in answers if "error" in one]
    assert bool(failed) == (behaviour["mode"] == "error")


@every_release
def test_odd_configurations_are_answered(tmp_path: Path, release: str) -> None:
    odd = {"freshTailCount": -3, "leafChunkTokens": 0, "incrementalMaxDepth": -1, "maxRounds": 0.5}
    config = {"op": "config", "conv": 1, "reset": False, "set": odd}
    *_, answer, swept = taken(tmp_path, release, OPEN, config, append(40, 10, 3), SWEEP)
    assert answer["total"] == 30
    assert "result" in swept


# The command


@every_release
def test_the_command_says_how_many_answers_agree(recorded: Path, run: Run, release: str) -> None:
    files = ("--operations", recorded / "operations.jsonl")
    ran = run(*files, "--answers", answers_of(recorded, release), "--release", release)
    assert ran.exit_code == 0
    assert "3,372 of 3,372 answers compared, 3,372 equal, 0 different" in ran.stdout


def test_the_command_shows_the_first_differences(recorded: Path, run: Run) -> None:
    files = ("--operations", recorded / "operations.jsonl")
    words = (*files, "--answers", answers_of(recorded, "head"), "--release", "pr295")
    ran = run(*words)
    assert ran.exit_code == 1
    assert "compactLeaf" in ran.stdout
    assert "DIFFERENT" in ran.stdout
    document = msgspec.json.decode(run(*words, "--json").stdout)
    assert document["holds"] is False
    assert document["differing"] == ANSWERS - document["equal"]
    assert {"number", "op", "field", "recorded", "modelled"} == document["differences"][0].keys()


@pytest.mark.parametrize(
    ("operations", "said"),
    [
        ([{"op": "dance", "conv": 1}], "line 1"),
        ([OPEN, {"op": "dump", "conv": 2}], "conversation 2 was not opened"),
        ([OPEN, {**append(1, 1), "chars": "many"}], "line 2"),
        ([OPEN, mode(mode="sing")], "line 2"),
        ([OPEN, {"op": "config", "conv": 1, "set": {"freshTailCount": "x"}}], "configuration"),
    ],
)
def test_operations_that_cannot_be_used_are_named(
    tmp_path: Path, run: Run, operations: list[object], said: str
) -> None:
    path = written(tmp_path, "operations.jsonl", *operations)
    answers = written(tmp_path, "answers.jsonl", *({"op": "conv"} for _ in operations))
    ran = run("--operations", path, "--answers", answers, "--release", "pr295")
    assert ran.exit_code == 2
    assert said in ran.stderr


def test_answers_that_do_not_belong_to_the_operations_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "operations.jsonl", OPEN)
    for lines, said in (
        ([], "0 answers"),
        ([{"op": "conv"}, {"driver": "late"}], "line 2"),
        ([["conv"]], "line 1 is no answer"),
    ):
        answers = written(tmp_path, "answers.jsonl", *lines)
        with pytest.raises(UnusableInput, match=said):
            calibrate(path, answers, "pr295")
    with pytest.raises(UnusableInput, match="cannot be read"):
        calibrate(path, tmp_path / "missing", "pr295")
    broken = tmp_path / "broken.jsonl"
    broken.write_bytes(b"{\n")
    with pytest.raises(UnusableInput, match="line 1"):
        calibrate(path, broken, "pr295")
