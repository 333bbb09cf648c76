"""The command: what it prints, the code that it exits with, and what it leaves on disk."""

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import apsw
import click
import msgspec
import pytest
from msgspec import Struct
from msgspec.structs import replace
from rich.console import Console

from plumbline import __version__, drive, generate, registry, screen
from plumbline.command import cli, guarded, main
from plumbline_models.history.ordinals import VARIANTS
from plumbline_models.ordinals import Scope
from plumbline_spec import profiles
from plumbline_spec.case import Scopes
from plumbline_spec.errors import CouldNotFinish
from plumbline_spec.explore import explore
from plumbline_spec.subject import Generated, RuleDiff, ScopeDiff
from tests.mutants import MUTANTS, plant
from tests.plans import ROOT, SPEC, TINY

SMALL_SESSION = ROOT / "tests" / "data" / "small-session.jsonl"
VECTORS = SPEC / "vectors" / "ordinals.jsonl"
FULL = Scope(conversations=2, messages=3, summaries=2)
LITTLE = Scope(conversations=2, messages=2, summaries=1)
(UNCOUNTED,) = [one for one in MUTANTS if one.name == "the length of the context is not kept"]

REPORT_KEYS = {"holds", "profile", "seed", "seconds", "machines"}
MACHINE_KEYS = {
    "name",
    "states",
    "transitions",
    "complete",
    "examples",
    "steps",
    "clauses",
    "variants",
    "variants_caught",
    "mutants",
    "mutants_killed",
    "mutants_equivalent",
    "pairs",
    "pairs_covered",
    "seconds",
    "holds",
}


class Ran(Struct, frozen=True, kw_only=True):
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, object]:
        """The one JSON object on standard output."""
        return msgspec.convert(json.loads(self.out), dict[str, object])


Run = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Return a function that runs the command in an empty folder; every profile does little."""
    case = registry.ordinals_case()
    little = {name: Scopes(explore=(FULL,), descend=(LITTLE,), diff=LITTLE) for name in case.scopes}
    monkeypatch.setattr(registry, "ordinals_case", lambda: replace(case, scopes=little))
    monkeypatch.setattr(profiles, "PROFILES", dict.fromkeys(profiles.PROFILES, TINY))
    monkeypatch.setattr("plumbline_spec.lockstep.MAX_BATCHES", 1)  # the minimum and no more
    monkeypatch.chdir(tmp_path)

    def runs(*args: str | Path) -> Ran:
        capsys.readouterr()
        code = guarded(cli, [str(one) for one in args])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return Ran(code=code, out=captured.out, err=captured.err)

    return runs


def check(run: Run, *args: str | Path) -> Ran:
    """Run ``plumbline check`` in this process, keeping failing traces in ``kept``."""
    return run("check", "--jobs", "1", "--out", "kept", *args)


# Help


def test_help_names_every_command(run: Run) -> None:
    for flag in ("--help", "-h"):
        ran = run(flag)
        assert (ran.code, ran.err) == (0, "")
        assert [name for name in cli.commands if f"\n  {name} " not in ran.out] == []


@pytest.mark.parametrize("name", cli.commands)
def test_every_command_has_help(run: Run, name: str) -> None:
    ran = run(name, "--help")
    assert ran.code == 0
    assert f"Usage: plumbline {name}" in ran.out


def test_the_version_is_that_of_the_package(run: Run) -> None:
    assert run("--version").out == f"plumbline, version {__version__}\n"


def test_help_loads_neither_a_database_nor_hypothesis_nor_tables() -> None:
    program = (
        "import sys; from plumbline.command import cli, guarded;"
        "code = guarded(cli, ['--help']);"
        "slow = {'apsw', 'hypothesis', 'rich', 'plumbline_models'} & set(sys.modules);"
        "sys.exit(code or ', '.join(sorted(slow)) or 0)"
    )
    ended = subprocess.run(  # noqa: S603 - this interpreter, and the text above
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    "args",
    [
        ("chekc",),
        ("check", "--quick"),
        ("check", "ledger"),
        ("check", "ordinals", "ledger"),
        ("check", "--engine", "steam"),
        ("check", "--profile", "weekly"),
        ("check", "--seed", "-1"),
        ("check", "--jobs", "3"),
        ("check", "--transcript"),
        ("machines", "ledger"),
        ("explore",),
        ("explore", "ledger"),
        ("explore", "ordinals", "--rules", "NEVER"),
        ("explore", "ordinals", "--max-states", "0"),
        ("explore", "ordinals", "--jobs", "0"),
        ("diff", "ordinals", "SPEC"),
        ("diff", "ordinals", "SPEC", "NEVER"),
        ("diff", "ledger", "SPEC", "SPEC"),
        ("replay", "missing.jsonl"),
        ("vectors", "empty"),
        ("vectors", "verify", "ledger"),
        ("quality", "ledger"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_used_is_refused_with_a_reason(run: Run, args: tuple[str, ...]) -> None:
    ran = run(*args)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err
    assert list(Path.cwd().iterdir()) == []


# Machines


def test_machines_lists_events_outcomes_and_clauses(run: Run) -> None:
    ran = run("machines")
    assert ran.code == 0
    for word in ("Replace", "Refused(stale_range)", "ORD-5", "lossless", "BEFORE_295", "variants"):
        assert word in ran.out


def test_machines_as_json_has_every_name(run: Run) -> None:
    (one,) = json.loads(run("machines", "ordinals", "--json").out)
    assert one["name"] == "ordinals"
    assert ["Open", "Opened"] in one["pairs"]
    assert one["variants"] == [variant.name for variant in VARIANTS]
    assert {clause["about"] for clause in one["clauses"]} == {"state", "step", "reach"}


# Explore and diff


def test_explore_completes_a_scope_in_which_everything_holds(run: Run) -> None:
    ran = run("explore", "ordinals")
    assert ran.code == 0
    assert "complete" in ran.out
    assert "ordinals explore: depth 0" in ran.err


def test_explore_of_a_variant_shows_the_clause_its_witness_and_the_trace(run: Run) -> None:
    ran = run("explore", "ordinals", "--rules", "NEVER_REMOVED")
    assert ran.code == 1
    assert "ORD-3" in ran.out
    assert "conversation c1, message m1: stands in the context and is covered" in ran.out
    assert "Append" in ran.out
    assert "Replaced" in ran.out


def test_check_of_a_rule_set_shows_every_clause_that_it_breaks(run: Run) -> None:
    ran = run("check", "ordinals", "--rules", "pr295")
    assert ran.code == 1
    assert "clauses broken by PR295" in ran.out
    document = msgspec.json.decode(run("check", "ordinals", "--rules", "PR295", "--json").out)
    named = {name for one in document["findings"] for name in one["name"].split(", ")}
    assert named == set(document["clauses"])
    assert len(named) > 3
    assert all(one["rows"] for one in document["findings"])


def test_check_of_the_specification_breaks_nothing(run: Run) -> None:
    ran = run("check", "tokens", "--rules", "SPEC")
    assert (ran.code, "0 clauses broken by SPEC" in ran.out) == (0, True)
    ran = run("check", "--rules", "SPEC")
    assert (ran.code, "name one" in ran.err) == (2, True)


def test_explore_on_two_processes_reports_what_it_does_on_one(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plumbline_spec.engines.explore", partial(explore, together_from=20))
    alone, together = (
        run("explore", "context_cache", "--jobs", jobs, "--json") for jobs in ("1", "2")
    )
    assert alone.code == together.code == 0
    assert untimed(together.document) == untimed(alone.document)


def test_explore_that_reaches_its_bound_could_not_finish(run: Run) -> None:
    ran = run("explore", "ordinals", "--max-states", "10", "--json")
    assert ran.code == 4
    assert ran.document["verdict"] == "unfinished"


def test_rule_sets_that_are_equal_are_said_to_be(run: Run) -> None:
    ran = run("diff", "ordinals", "SPEC", "RESEQUENCE")
    assert (ran.code, ran.out.startswith("equal: SPEC and RESEQUENCE")) == (0, True)
    assert run("diff", "ordinals", "BEFORE_295", "PR295", "--json").document["equal"] is True


def test_rule_sets_that_differ_are_told_apart_by_a_trace(run: Run) -> None:
    ran = run("diff", "ordinals", "SPEC", "PR295")
    assert ran.code == 1
    assert "different: SPEC and PR295" in ran.out
    assert "state.conversations" in ran.out
    document = run("diff", "ordinals", "SPEC", "PR295", "--json").document
    assert document["equal"] is False
    (scope,) = msgspec.convert(document["scopes"], list[ScopeDiff])
    assert scope.rows


def test_no_change_of_behaviour_is_told_from_one_scope_by_scope(run: Run) -> None:
    """What a pull request said of itself is true in two scopes and false in three."""
    ran = run("diff", "compaction", "before", "pr295")
    assert ran.code == 1
    for where in (
        "whatever is answered",
        "a stored count of zero",
        "a stored count below zero",
        "others change the context during a call",
    ):
        assert where in ran.out
    document = run("diff", "compaction", "BEFORE_295", "PR295", "--json").document
    assert (document["left"], document["right"]) == ("BEFORE_295", "PR295")
    scopes = msgspec.convert(document["scopes"], list[ScopeDiff])
    assert [one.equal for one in scopes] == [True, True, False, False, False]
    assert all(len(one.rows) == 3 for one in scopes if not one.equal)


def test_a_comparison_that_reaches_its_bound_could_not_finish(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, *_ = registry.subjects()

    def bounded(left: str, right: str, *_: object) -> RuleDiff:
        return RuleDiff(
            machine=one.name,
            left=left,
            right=right,
            equal=False,
            scopes=(
                ScopeDiff(
                    where="",
                    equal=False,
                    states=7,
                    transitions=9,
                    bound="7 pairs of states",
                    rows=(),
                    differences=(),
                ),
            ),
        )

    monkeypatch.setattr(registry, "subjects", lambda: (replace(one, diff=bounded),))
    ran = run("diff", "ordinals", "SPEC", "PR295")
    assert ran.code == 4
    assert "unfinished: stopped at 7 pairs of states, no difference so far" in ran.out


# Replay


def traces_of(file: Path) -> list[list[bytes]]:
    """Return the lines of a file, trace by trace."""
    found: list[list[bytes]] = []
    for line in file.read_bytes().splitlines(keepends=True):
        if b'"plumbline"' in line:
            found.append([])
        found[-1].append(line)
    return found


def longest_vector() -> list[bytes]:
    return max(traces_of(VECTORS), key=len)


def test_a_stored_trace_is_replayed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "good.jsonl").write_bytes(b"".join(longest_vector()))
    ran = run("replay", "good.jsonl")
    assert ran.code == 0
    assert "agrees: model, SQLite and every clause" in ran.out
    assert "Opened" in ran.out


def test_every_vector_is_replayed(run: Run) -> None:
    found = json.loads(run("replay", VECTORS, "--json").out)
    assert len(found) == len(traces_of(VECTORS))
    assert [one for one in found if one["mismatches"]] == []


def test_a_trace_that_records_something_else_is_shown_beside_what_was_found(
    run: Run, tmp_path: Path
) -> None:
    lines = longest_vector()
    wrong = (
        lines[1]
        .replace(b"ordinals.Opened", b"ordinals.Pruned")
        .replace(b'"outcome":{', b'"outcome":{"removed":[],')
    )
    assert wrong != lines[1]
    (tmp_path / "bad.jsonl").write_bytes(b"".join([lines[0], wrong, *lines[2:]]))
    ran = run("replay", "bad.jsonl")
    assert ran.code == 1
    assert "differences" in ran.out
    assert "ordinals.Pruned" in ran.out


def test_a_trace_of_a_variant_breaks_its_clause(run: Run, tmp_path: Path) -> None:
    (trace,) = [
        one
        for one in traces_of(SPEC / "variants" / "ordinals.jsonl")
        if b'"name":"NEVER_REMOVED"' in one[0]
    ]
    (tmp_path / "variant.jsonl").write_bytes(b"".join(trace))
    ran = run("replay", "variant.jsonl")
    assert ran.code == 1
    assert "ORD-3" in ran.out


def headed(machine: str, rules: str = "SPEC") -> bytes:
    header = {"plumbline": "trace", "format": 1, "machine": machine, "rules": rules}
    return json.dumps(header).encode() + b"\n"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "it is empty"),
        (b"garbage\n", "line 1: "),
        (b"\xff\xfe", "line 1: invalid UTF-8"),
        (b'{"plumbline":"trace"}\n', "line 1: "),
        (b'{"plumbline":"trace","format":99,"machine":"ordinals","rules":"SPEC"}', "format 99"),
        (headed("ledger"), "no machine"),
        (headed("ordinals", "NEVER"), "no rule set"),
        (headed("ordinals") + headed("ledger"), "traces of ledger and of ordinals"),
        (headed("ordinals") + b'{"event":{},"outcome":{},"digest":""}', "line 2: "),
        (longest_vector()[1], "it has no header"),
    ],
)
def test_a_file_that_is_no_trace_is_refused_with_its_line(
    run: Run, tmp_path: Path, content: bytes, what: str
) -> None:
    (tmp_path / "bad.jsonl").write_bytes(content)
    ran = run("replay", "bad.jsonl")
    assert (ran.code, ran.out) == (2, "")
    assert "bad.jsonl" in ran.err or "ledger" in ran.err
    assert what in ran.err


# Vectors and quality


def test_vectors_are_verified(run: Run) -> None:
    ran = run("vectors", "verify")
    assert ran.code == 0
    assert f"{len(traces_of(VECTORS))} vectors" in ran.out


def test_vectors_find_an_implementation_that_differs(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, UNCOUNTED)
    ran = run("vectors", "verify", "ordinals", "--json")
    assert ran.code == 1
    (report,) = json.loads(ran.out)
    assert report["verdict"] == "broken"
    assert report["findings"]


def test_vectors_are_filled_in_a_checkout_alone(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "checkout", lambda: None)
    ran = run("vectors", "fill")
    assert (ran.code, ran.out) == (2, "")
    assert "written into a checkout" in ran.err


def test_filled_vectors_are_written_with_the_index_of_clauses(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(SPEC, tmp_path / "spec", ignore=shutil.ignore_patterns("plumbline_spec"))
    (tmp_path / "spec" / "clauses.md").unlink()
    made = [Generated(path="schemas/ordinals.schema.json", content=b"{}")]
    monkeypatch.setattr(generate, "checkout", lambda: tmp_path)

    def generated(*_: object) -> list[Generated]:
        return made

    monkeypatch.setattr(generate, "generated", generated)
    ran = run("vectors", "fill", "ordinals")
    assert ran.code == 0
    assert (tmp_path / "spec" / made[0].path).read_bytes() == b"{}"
    assert (tmp_path / "spec" / "clauses.md").read_bytes() == (SPEC / "clauses.md").read_bytes()
    written = json.loads(run("vectors", "fill", "ordinals", "--json").out)["written"]
    assert [Path(one).name for one in written] == ["ordinals.schema.json", "clauses.md"]


def test_quality_shows_what_catches_every_variant(run: Run) -> None:
    ran = run("quality")
    assert ran.code == 0
    assert [one.name for one in VARIANTS if one.name not in ran.out] == []
    (report,) = json.loads(run("quality", "ordinals", "--json").out)
    assert report["figures"] == {"variants": len(VARIANTS), "variants_caught": len(VARIANTS)}


# Check


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--rules", "PR295", "--engine", "explore"), "--rules makes no use of --engine"),
        (("--rules", "PR295", "--seed", "1"), "--rules makes no use of --seed"),
        (("--rules", "PR295", "--out", "x"), "--rules makes no use of --out"),
        (("--transcript", "x", "--rules", "y"), "--transcript makes no use of --rules"),
        (("--transcript", "x", "--profile", "ci"), "--transcript makes no use of --profile"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_options_that_do_nothing_together_are_refused(
    run: Run, words: tuple[str, ...], said: str
) -> None:
    ran = run("check", "ordinals", *words)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


def test_check_runs_every_engine_and_ends_with_one_table(run: Run) -> None:
    ran = check(run, "ordinals")
    assert ran.code == 0
    for engine in ("regressions", "explore", "descend", "lockstep", "durable", "envelope"):
        assert f"ordinals │ {engine} " in ran.out
    assert ran.out.rstrip().splitlines()[-1].startswith("holds: profile quick, seed 2026, ")
    assert f"{len(VARIANTS)} of {len(VARIANTS)} variants" in ran.out
    assert not (Path.cwd() / ".plumbline").exists()


def test_check_as_json_is_one_document_and_nothing_else(run: Run) -> None:
    ran = check(run, "ordinals", "--engine", "vectors", "--engine", "quality", "--json")
    assert ran.code == 0
    assert ran.document.keys() >= REPORT_KEYS
    assert (ran.document["holds"], ran.document["profile"]) == (True, "quick")
    (machine,) = msgspec.convert(ran.document["machines"], list[dict[str, object]])
    assert machine.keys() == MACHINE_KEYS
    assert (machine["name"], machine["holds"]) == ("ordinals", True)
    assert machine["variants_caught"] == machine["variants"] == len(VARIANTS)


def test_check_runs_the_engines_that_are_named(run: Run) -> None:
    ran = check(run, "--engine", "diff", "--engine", "envelope", "--seed", "5")
    assert ran.code == 0
    assert "SPEC = RESEQUENCE" in ran.out
    assert "explore" not in ran.out
    assert "seed 5" in ran.out


def kept() -> list[Path]:
    return sorted((Path.cwd() / "kept").glob("*.jsonl"))


def test_a_failure_is_kept_and_the_next_check_replays_it_first(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        plant(patch, UNCOUNTED)
        ran = check(run, "ordinals", "--engine", "descend", "--engine", "regressions")
        assert ran.code == 1
        assert "BROKEN: profile quick" in ran.out
        (file,) = kept()
        assert f"repeat it with: plumbline replay kept/{file.name}" in ran.out
        assert "plumbline check ordinals --engine descend --profile quick --seed 2026" in ran.out
        assert "differences after the last step" in ran.out
        again = check(run, "ordinals", "--engine", "diff", "--engine", "regressions")
        assert again.code == 1
        assert again.out.index(file.name) < again.out.index("plumbline check")
        assert kept() == [file]
        assert run("replay", file).code == 1
    assert run("replay", file).code == 0
    assert check(run, "ordinals", "--engine", "regressions").code == 0


def test_a_failure_in_json_names_where_its_trace_is(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, UNCOUNTED)
    ran = check(run, "ordinals", "--engine", "descend", "--json")
    assert ran.code == 1
    assert ran.document["holds"] is False
    assert ran.document["kept"] == [f"kept/{file.name}" for file in kept()]


def test_names_with_brackets_are_printed_as_they_are(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, UNCOUNTED)
    ran = run("check", "--jobs", "1", "--engine", "descend", "--out", "kept [red]")
    assert "repeat it with: plumbline replay kept [red]/ordinals-" in ran.out


def test_what_was_not_done_in_time_is_not_a_pass(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "PROFILES", {"quick": replace(TINY, seconds=0)})
    ran = check(run, "--engine", "explore")
    assert ran.code == 4
    assert "0 s are over" in ran.out
    assert "UNFINISHED" in ran.out


def test_progress_on_a_terminal_is_a_line_for_each_engine_at_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = io.StringIO()
    terminal = Console(file=written, force_terminal=True, width=80)

    def console(*, stderr: bool = False) -> Console:
        assert stderr
        return terminal

    monkeypatch.setattr(screen, "console", console)
    with screen.following() as told:
        told("ordinals", "explore", "7 states")
        told("ordinals", "diff", "9 pairs")
        told("ordinals", "explore", "")
    assert "ordinals diff: 9 pairs" in written.getvalue()
    assert "7 states" not in written.getvalue().splitlines()[-1]


# Whatever happens


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (RuntimeError("of steam"), 70, "internal error, InternalError: diff on ordinals ended by"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (CouldNotFinish("a bound was reached"), 4, ""),
    ],
)
def test_what_an_engine_raises_ends_in_an_exit_code(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, said: str
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("plumbline_spec.engines.diff", broken)
    ran = check(run, "--engine", "diff")
    assert ran.code == code
    assert said in ran.err
    assert ("a bound was reached" in ran.out) == (code == 4)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (OSError(28, "No space left on device"), 4, "No space left on device"),
        (BrokenPipeError(), 130, ""),
        (apsw.CorruptError("torn"), 4, "SQLite could not go on with the database (torn)"),
        (ZeroDivisionError("by zero"), 70, "please report it"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (click.Abort(), 130, "interrupted"),
    ],
)
def test_what_a_command_raises_ends_in_an_exit_code(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, said: str
) -> None:
    def broken(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("plumbline.registry.chosen", broken)
        ran = run("machines")
    assert ran.code == code
    assert said in ran.err


def test_two_processes_run_what_one_does(run: Run) -> None:
    engines = ("--engine", "vectors", "--engine", "quality")
    alone = check(run, *engines, "--json").document
    ran = run("check", "--jobs", "2", "--out", "kept", *engines, "--json")
    assert ran.code == 0
    assert untimed(ran.document) == untimed(alone)
    assert "ordinals vectors: done" in ran.err


def untimed(value: object) -> object:
    """Return a document without its timings."""
    match value:
        case dict():
            fields = msgspec.convert(value, dict[str, object])
            return {name: untimed(one) for name, one in fields.items() if "seconds" not in name}
        case list():
            return [untimed(one) for one in msgspec.convert(value, list[object])]
        case _:
            return value


def test_the_command_is_a_program_as_well(tmp_path: Path) -> None:
    """Two workers, two quick engines, an interpreter of its own."""
    command = [sys.executable, "-m", "plumbline", "check", "ordinals", "--engine", "vectors"]
    ended = subprocess.run(  # noqa: S603 - this interpreter, and this package
        [*command, "--engine", "quality", "--jobs", "2", "--out", "kept", "--json"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert ended.returncode == 0, ended.stderr
    document = json.loads(ended.stdout)
    assert document["holds"] is True
    assert [one["engine"] for one in document["engines"]] == ["quality", "vectors"]
    assert "ordinals vectors: done" in ended.stderr


def test_two_processes_are_given_up_when_the_first_is_interrupted(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def interrupting() -> Generator[Callable[[str, str, str], None]]:
        def told(*_: str) -> None:
            raise KeyboardInterrupt

        yield told

    monkeypatch.setattr(screen, "following", interrupting)
    ran = run("check", "--jobs", "2", "--engine", "explore", "--out", "kept")
    assert (ran.code, ran.out, ran.err.strip()) == (130, "", "plumbline: interrupted")


def test_the_command_exits_with_its_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for args, code in ((["--version"], 0), (["machines", "ledger"], 2)):
        monkeypatch.setattr(sys, "argv", ["plumbline", *args])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == code
    captured = capsys.readouterr()
    assert captured.out.startswith("plumbline, version ")
    assert "there is no machine 'ledger'" in captured.err


def test_output_that_nobody_reads_ends_quietly() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "plumbline", "machines"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 130


# Transcripts


def test_a_transcript_is_held_to_model_and_sqlite(run: Run) -> None:
    for args in (("ordinals",), ()):
        ran = check(run, *args, "--transcript", SMALL_SESSION)
        assert ran.code == 0
        assert "every clause at every step" in ran.out
        assert "Replace Replaced: " in ran.out
    document = check(run, "--transcript", SMALL_SESSION, "--json").document
    assert document["engine"] == "transcript"
    assert not (Path.cwd() / "kept").exists()


def test_a_long_transcript_reports_how_far_it_is(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drive, "PROGRESS_EVENTS", 5)
    assert "ordinals transcript: 5 events" in check(run, "--transcript", SMALL_SESSION).err


def test_a_bad_transcript_is_refused_with_its_line(run: Run, tmp_path: Path) -> None:
    lines = SMALL_SESSION.read_bytes().splitlines(keepends=True)
    (tmp_path / "bad.jsonl").write_bytes(b"".join([*lines[:3], b"{]\n", *lines[3:]]))
    ran = check(run, "--transcript", "bad.jsonl")
    assert (ran.code, ran.out) == (2, "")
    assert "bad.jsonl, line 4: " in ran.err


def test_a_transcript_is_for_ordinals_alone(run: Run) -> None:
    ran = check(run, "ordinals", "ordinals", "--transcript", SMALL_SESSION)
    assert (ran.code, ran.out) == (2, "")
    assert "--transcript drives the machine ordinals" in ran.err


def test_a_failure_along_a_transcript_is_shrunk_and_kept(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, UNCOUNTED)
    ran = check(run, "--transcript", SMALL_SESSION)
    assert ran.code == 1
    (file,) = kept()
    assert f"repeat it with: plumbline replay kept/{file.name}" in ran.out
    assert run("replay", file).code == 1
    assert len(file.read_bytes().splitlines()) < 10
