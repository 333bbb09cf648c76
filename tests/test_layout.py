"""The source itself: floors, purity, what an implementation may share with its model, columns.

Every rule is a function from sources to complaints, and each is tried on a bad example first, so
that a rule which sees nothing does not pass for a source that is clean.
"""

import ast
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest
from msgspec import Struct

from plumbline.registry import subjects
from plumbline_spec.clause_table import silent
from plumbline_spec.profiles import PROFILES
from plumbline_spec.report import Verdict
from plumbline_spec.subject import Subject
from tests.plans import PLAN, ROOT

FLOORS = {"plumbline_models": "models", "plumbline_spec": "spec", "plumbline": "impl"}
"""Every package and the folder it lies in, lowest floor first; an import never goes up."""

PURE = frozenset(
    {
        "bisect",
        "collections",
        "enum",
        "functools",
        "hashlib",
        "itertools",
        "operator",
        "re",
        "typing",
    }
)
"""Modules of the standard library that models use: no clock, no chance, no file, no process."""
MODELS_STAND_ON = PURE | {"msgspec", "typing_extensions", "plumbline_models"}
IMPURE_NAMES = frozenset({"__import__", "breakpoint", "eval", "exec", "input", "open", "print"})

NEUTRAL = frozenset({"plumbline_models.contract", "plumbline_models.history"})
"""What the judge knows of the models: the contract, and what a variant is."""

DECISIONS = "plumbline_models.decisions"
"""The decisions that exist once and are called by models and implementations alike."""
MAY_IMPORT_MACHINES = frozenset(
    f"plumbline.{name}"
    for name in (
        "audit",
        "calibration",
        "check",
        "command",
        "drive",
        "generate",
        "registry",
        "scripted",
    )
)
"""Modules that know machines as well as implementations; no host is made of them."""
TYPE_NAME = re.compile(r"[A-Z][A-Za-z0-9]*[a-z][A-Za-z0-9]*")

COLUMNS: tuple[tuple[str, ...], ...] = (
    ("spec/{}.md",),
    ("models/plumbline_models/{}.py", "models/plumbline_models/{}/__init__.py"),
    ("models/plumbline_models/history/{}.py", "models/plumbline_models/history/{}/__init__.py"),
    ("impl/plumbline/{}.py",),
    ("spec/schemas/{}.schema.json",),
    ("spec/vectors/{}.jsonl",),
    ("spec/variants/{}.jsonl",),
    ("tests/models/test_{}.py",),
    ("tests/conformance/test_{}.py",),
)
"""Where a machine has a file; one of the places of each column."""
WITHOUT_A_STORE = frozenset({"anchoring_steps", "context_cache"})
"""Machines whose hosts keep nothing that faults or other clients could reach."""
BESIDE_CHAPTERS = frozenset({"README", "clauses", "faults", "tables"})

MAX_MODULE_LINES = 600
MAX_FUNCTION_LINES = 60


class Import(Struct, frozen=True, kw_only=True):
    """One name that a module imports."""

    module: str
    name: str
    """"" when the module itself is imported."""
    line: int

    @property
    def root(self) -> str:
        """The package."""
        return self.module.partition(".")[0]


class Module(Struct, frozen=True, kw_only=True):
    """A module and its source."""

    name: str
    source: str

    @property
    def floor(self) -> str:
        """The package."""
        return self.name.partition(".")[0]


def imports_of(module: Module) -> Iterator[Import]:
    """Yield what a module imports, wherever it does so, for type checkers alone as well."""
    for node in ast.walk(ast.parse(module.source)):
        match node:
            case ast.Import(names=names):
                for one in names:
                    yield Import(module=one.name, name="", line=node.lineno)
            case ast.ImportFrom(module=origin, names=names, level=level):
                for one in names:
                    origin_name = "." * level + (origin or "")
                    yield Import(module=origin_name, name=one.name, line=node.lineno)
            case _:
                pass


@cache
def modules(package: str) -> tuple[Module, ...]:
    """Return every module of a package of this project."""
    root = ROOT / FLOORS[package]
    files = sorted((root / package).rglob("*.py"))
    return tuple(
        Module(
            name=".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__"),
            source=file.read_text(encoding="utf-8"),
        )
        for file in files
    )


def complain(module: Module, one: Import, what: str) -> str:
    """Return a complaint that names module, line and import."""
    return f"{module.name}:{one.line} imports {one.module} {one.name}: {what}"


def climbing(module: Module) -> list[str]:
    """Complain of imports of a higher floor, and of those whose floor cannot be told."""
    floors = list(FLOORS)
    higher = floors[floors.index(module.floor) + 1 :]
    return [
        complain(module, one, "a higher floor" if one.root in higher else "name it in full")
        for one in imports_of(module)
        if one.root in {*higher, ""}
    ]


def partial(module: Module) -> list[str]:
    """Complain of what the judge imports of models that is more than the contract."""
    return [
        complain(module, one, "the judge names no machine")
        for one in imports_of(module)
        if one.root == "plumbline_models" and not {one.module, f"{one.module}.{one.name}"} & NEUTRAL
    ]


def impure(module: Module) -> list[str]:
    """Complain of what a model must not use."""
    imported = [one for one in imports_of(module) if one.root not in MODELS_STAND_ON]
    names = [one for one in ast.walk(ast.parse(module.source)) if isinstance(one, ast.Name)]
    return [
        *(complain(module, one, "models are pure") for one in imported),
        *(f"{module.name}:{one.lineno} uses {one.id}" for one in names if one.id in IMPURE_NAMES),
    ]


def copying(module: Module) -> list[str]:
    """Complain of what an implementation takes from models beside types and shared decisions."""
    return [
        complain(module, one, "only types and shared decisions may be taken from models")
        for one in imports_of(module)
        if one.root == "plumbline_models"
        and not f"{one.module}.".startswith(f"{DECISIONS}.")
        and not TYPE_NAME.fullmatch(one.name)
    ]


def reached_from(starts: Iterable[str], known: Mapping[str, Module]) -> set[str]:
    """Return the names of the known modules that these import, and those import, and so on."""
    waiting, found = list(starts), set[str]()
    while waiting:
        name = waiting.pop()
        if name in known and name not in found:
            found.add(name)
            for one in imports_of(known[name]):
                waiting += [one.module, f"{one.module}.{one.name}"]
    return found


def host_modules() -> set[str]:
    """Return the modules of the implementation that the host of some machine is made of."""
    known = {module.name: module for module in modules("plumbline")}
    starts = (f"plumbline.{one.name}" for one in subjects())
    return reached_from((*starts, "plumbline.sqlite_host"), known)


def columns_without(root: Path, machine: str) -> list[str]:
    """Return the columns in which a machine has no file."""
    return [
        " or ".join(column).format(*[machine] * len(column))
        for column in COLUMNS
        if not any((root / place.format(machine)).is_file() for place in column)
    ]


def strangers(root: Path, machines: Iterable[str]) -> list[str]:
    """Return chapters and data of the specification that belong to no machine."""
    known = {*machines}
    found = [file for file in (root / "spec").glob("*.md") if file.stem not in BESIDE_CHAPTERS]
    for folder in ("schemas", "vectors", "variants"):
        found += (root / "spec" / folder).iterdir()
    return sorted(file.name for file in found if file.name.partition(".")[0] not in known)


def too_long(module: Module) -> list[str]:
    """Complain of long modules and functions; blank lines, comments and docstrings do not count.

    A definition inside a function counts for itself, and a function that only returns is a table.
    """
    tree = ast.parse(module.source)
    lines = len(code_lines(tree))
    found = [f"{module.name} has {lines} lines"] if lines > MAX_MODULE_LINES else []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = [one for one in node.body if not is_docstring(one)]
            lines = len(code_lines(node) | {node.lineno})
            if lines > MAX_FUNCTION_LINES and not all(isinstance(one, ast.Return) for one in body):
                found.append(f"{module.name}.{node.name} has {lines} lines")
    return found


def code_lines(outer: ast.AST) -> set[int]:
    """Return the numbers of the lines on which something stands, inner definitions left out."""
    found = set[int]()
    for node in ast.iter_child_nodes(outer):
        inner = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        if is_docstring(node) or (inner and not isinstance(outer, ast.Module | ast.ClassDef)):
            continue
        if isinstance(node, ast.expr | ast.stmt | ast.arg | ast.keyword):
            found |= {node.lineno, node.end_lineno or node.lineno}
        found |= code_lines(node)
    return found


def is_docstring(node: ast.AST) -> bool:
    """Tell whether a node is a text that stands by itself."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def gate_command(script: str) -> str:
    """Return the command of the function ``gate`` in the script that passes the tests."""
    found = re.search(r"^gate\(\) \{\n +(.+)\n\}$", script, re.MULTILINE)
    assert found is not None
    return found[1]


def every_module() -> list[Module]:
    return [module for package in FLOORS for module in modules(package)]


def bad(source: str, name: str = "plumbline_spec.bad") -> Module:
    return Module(name=name, source=source)


# Floors


def test_no_import_goes_up() -> None:
    assert [one for module in every_module() for one in climbing(module)] == []


@pytest.mark.parametrize(
    "source",
    [
        "import plumbline",
        "from plumbline.ordinals import apply",
        "def late() -> None:\n    from plumbline import registry",
        "if TYPE_CHECKING:\n    import plumbline.check",
        "from . import explore",
    ],
)
def test_an_import_that_goes_up_is_seen(source: str) -> None:
    assert len(climbing(bad(source))) == 1
    assert climbing(bad("import plumbline_models\nimport json")) == []


def test_the_judge_names_no_machine() -> None:
    assert [one for module in modules("plumbline_spec") for one in partial(module)] == []


@pytest.mark.parametrize(
    "source",
    [
        "import plumbline_models",
        "import plumbline_models.ordinals",
        "from plumbline_models import ordinals",
        "from plumbline_models.ordinals import State",
        "from plumbline_models.history.ordinals import VARIANTS",
    ],
)
def test_a_judge_that_names_a_machine_is_seen(source: str) -> None:
    assert len(partial(bad(source))) == 1
    assert partial(bad("from plumbline_models.history import Variant")) == []


# Purity


def test_models_are_pure() -> None:
    assert [one for module in modules("plumbline_models") for one in impure(module)] == []


@pytest.mark.parametrize(
    "source",
    [
        "import random",
        "from time import monotonic",
        "import apsw",
        "from pathlib import Path",
        "from plumbline_spec import codec",
        "text = open('state').read()",
        "print('a state')",
    ],
)
def test_an_impure_model_is_seen(source: str) -> None:
    assert len(impure(bad(source, "plumbline_models.bad"))) == 1


# What an implementation shares with its model


def test_hosts_take_only_types_and_shared_decisions_from_models() -> None:
    """What exists twice is written twice: a host that calls its model always agrees with it."""
    implementation = {module.name: module for module in modules("plumbline")}
    assert not host_modules() & MAY_IMPORT_MACHINES
    assert implementation.keys() >= MAY_IMPORT_MACHINES
    others = implementation.keys() - MAY_IMPORT_MACHINES
    assert [one for name in sorted(others) for one in copying(implementation[name])] == []


def test_a_host_is_made_of_what_its_machine_imports() -> None:
    reached = host_modules()
    assert reached >= {f"plumbline.{name}" for name in ("ordinals", "database", "schema")}
    assert "plumbline.command" not in reached
    known = {
        name: bad(source, name)
        for name, source in {
            "plumbline.one": "from plumbline.two import apply",
            "plumbline.two": "from plumbline import three",
            "plumbline.three": "import plumbline.one",
            "plumbline.four": "",
        }.items()
    }
    assert reached_from(["plumbline.one"], known) == known.keys() - {"plumbline.four"}


@pytest.mark.parametrize(
    ("source", "complaints"),
    [
        ("from plumbline_models.ordinals import State, Event", 0),
        ("from plumbline_models.decisions.tokens import estimate", 0),
        ("from plumbline_models.ordinals.transitions import step", 1),
        ("from plumbline_models.ordinals import SPEC, machine", 2),
        ("from plumbline_models import ordinals", 1),
        ("import plumbline_models.ordinals", 1),
        ("from plumbline_models.decisions_of_its_own import decide", 1),
    ],
)
def test_a_host_that_calls_its_model_is_seen(source: str, complaints: int) -> None:
    assert len(copying(bad(source, "plumbline.bad"))) == complaints


# Columns


@pytest.mark.parametrize("one", subjects(), ids=lambda one: one.name)
def test_every_machine_has_its_file_in_every_column(one: Subject) -> None:
    assert columns_without(ROOT, one.name) == []


def test_every_chapter_and_every_file_of_data_belongs_to_a_machine() -> None:
    assert strangers(ROOT, [one.name for one in subjects()]) == []


def test_a_column_without_a_file_and_a_file_without_a_machine_are_seen(tmp_path: Path) -> None:
    for column in COLUMNS[1:]:
        file = tmp_path / column[-1].format("ledger")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert columns_without(tmp_path, "ledger") == ["spec/ledger.md"]
    assert strangers(tmp_path, ["ledger"]) == []
    (tmp_path / "spec" / "vectors" / "lodger.jsonl").touch()
    assert strangers(tmp_path, ["ledger"]) == ["lodger.jsonl"]


@pytest.mark.parametrize("one", subjects(), ids=lambda one: one.name)
@pytest.mark.parametrize("engine", ["explore", "lockstep", "faults", "interleave"])
def test_every_event_of_every_machine_is_taken(one: Subject, engine: str) -> None:
    report = one.run(engine, PLAN, silent)
    assert report.holds, report.details
    if report.verdict is Verdict.NOT_APPLICABLE:
        assert one.name in WITHOUT_A_STORE
        return
    assert {pair.event for pair in report.pairs} == set(one.events)


def test_profiles_have_the_names_that_the_command_offers() -> None:
    from plumbline.command import ENGINE_NAMES, PROFILE_NAMES
    from plumbline_spec.engines import ENGINES

    assert tuple(PROFILES) == PROFILE_NAMES
    assert tuple(ENGINES) == ENGINE_NAMES


# The house


@pytest.mark.parametrize("file", ["README.md", "CONTRIBUTING.md"])
def test_the_tests_are_passed_by_one_command(file: str) -> None:
    command = gate_command((ROOT / ".ci" / "run").read_text(encoding="utf-8"))
    assert "tox" in command
    assert command in (ROOT / file).read_text(encoding="utf-8").splitlines()


def test_every_package_says_that_it_is_typed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert packages == [f"{folder}/{package}" for package, folder in FLOORS.items()]
    assert [one for one in packages if not (ROOT / one / "py.typed").is_file()] == []


def test_modules_and_functions_are_short() -> None:
    assert [one for module in every_module() for one in too_long(module)] == []


def statements(count: int, indent: str = "    ") -> str:
    return "\n".join(f"{indent}x = {number}" for number in range(count))


def test_long_modules_and_functions_are_seen() -> None:
    most = statements(MAX_FUNCTION_LINES)
    long = bad(f"def f():\n{most}\n")
    assert too_long(long) == ["plumbline_spec.bad.f has 61 lines"]
    inner = bad(f"def f():\n    def g():\n{statements(MAX_FUNCTION_LINES, ' ' * 8)}\n    return g")
    assert too_long(inner) == ["plumbline_spec.bad.g has 61 lines"]
    fewer = statements(MAX_FUNCTION_LINES - 1)
    assert too_long(bad(f"def f():\n    'Say what.'\n\n    # Say why.\n{fewer}")) == []
    rows = most.replace("x = ", "    ").replace("\n", ",\n")
    assert too_long(bad(f"def f():\n    return (\n{rows}\n    )")) == []
    module = bad(statements(MAX_MODULE_LINES + 1, ""))
    assert too_long(module) == ["plumbline_spec.bad has 601 lines"]
