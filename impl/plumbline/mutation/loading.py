"""Building the implementation anew from sources that were changed, beside the shipped one.

Theory of operation. A ``World`` makes every module of the implementation that it is asked for, and
those that they import, afresh: each is executed in a namespace of its own, whose ``import``
statement asks the world. So a mutant is imported by the modules that stand on it, nothing that is
shipped is touched, and ``sys.modules`` stays as it is. What the implementation stands on (models,
judge, other packages) is shared.

A mutant must not hang. Each turn of a loop and some thousand steps of SQLite's virtual machine use
up the world's ``Fuel``; whatever runs when there is none left ends in ``OutOfSteps``. And a mutant
must not be right by chance: some of its connections turn round the order of rows that no
ORDER BY asks for (``PRAGMA reverse_unordered_selects``).
"""

import ast
import builtins
import importlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.abc import InspectLoader
from importlib.util import find_spec
from itertools import cycle
from types import CodeType, ModuleType

import apsw

from plumbline_spec.errors import OutOfSteps

PACKAGE = "plumbline"
SHARED = "plumbline.mutation"
"""What a world takes as it is: the modules that make worlds."""
FUEL_STEPS = 40_000_000
"""Steps of a world: turns of loops, and thousands of steps of SQLite's virtual machine."""
VM_STEPS = 1_000
"""Steps of SQLite's virtual machine that use up one step."""
REVERSED = (1, 1, 0)
"""Which connections turn round the order of rows, again and again: a host opens two to begin."""
_SPEND = "__spend__"


class Fuel:
    """A number of steps that is used up once."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def spend(self) -> bool:
        """Use up one step; the answer lets SQLite go on. Raises ``OutOfSteps`` without one."""
        self.left -= 1
        if self.left < 0:
            raise OutOfSteps
        return False


class World:
    """The implementation, made anew with changed sources."""

    def __init__(self, changed: Mapping[str, str], steps: int = FUEL_STEPS) -> None:
        self.fuel = Fuel(steps)
        self._changed = changed
        self._modules: dict[str, ModuleType] = {}
        self._builtins = {**vars(builtins), "__import__": self._import}
        self._apsw = ModuleType("apsw")
        vars(self._apsw).update(vars(apsw), Connection=_connection(self.fuel, cycle(REVERSED)))

    def module(self, name: str) -> ModuleType:
        """Return a module of this world. Raises what the module raises when it is executed."""
        if name not in self._modules:
            made = ModuleType(name)
            self._modules[name] = made
            vars(made).update({"__builtins__": self._builtins, _SPEND: self.fuel.spend})
            text = self._changed.get(name)
            code = _shipped(name) if text is None else _compiled(name, text)
            exec(code, vars(made))  # noqa: S102 - sources of this package, with an edit
        return self._modules[name]

    def _import(
        self,
        name: str,
        into: Mapping[str, object] | None = None,
        scope: Mapping[str, object] | None = None,
        names: Sequence[str] = (),
        level: int = 0,
    ) -> ModuleType:
        """Import as the ``import`` statement does, but the implementation from this world."""
        usual = builtins.__import__(name, into, scope, names, level)
        if usual is apsw:
            return self._apsw
        if not names or name.partition(".")[0] != PACKAGE or f"{name}.".startswith(f"{SHARED}."):
            return usual
        found = self.module(name)
        for one in names:
            if not hasattr(found, one):
                setattr(found, one, self.module(f"{name}.{one}"))
        return found


def _connection(fuel: Fuel, reverse: Iterator[int]) -> type[apsw.Connection]:
    class Bounded(apsw.Connection):
        """A connection that uses up fuel, and may turn round an order that nobody asked for."""

        def __init__(
            self,
            filename: str,
            flags: int = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE,
            vfs: str | None = None,
            statementcachesize: int = 100,
        ) -> None:
            super().__init__(filename, flags, vfs, statementcachesize)
            self.set_progress_handler(fuel.spend, VM_STEPS, id=fuel)
            self.pragma("reverse_unordered_selects", next(reverse))

    return Bounded


@cache
def text_of(name: str) -> tuple[str, str]:
    """Return the path and the source of a shipped module."""
    spec = find_spec(name)
    assert spec is not None
    assert isinstance(spec.loader, InspectLoader)
    text = spec.loader.get_source(name)
    assert text is not None
    assert spec.origin is not None
    return spec.origin, text


@cache
def _shipped(name: str) -> CodeType:
    importlib.import_module(name)
    return _compiled(name, text_of(name)[1])


def _compiled(name: str, text: str) -> CodeType:
    tree = _Spending().visit(ast.parse(text))
    return compile(ast.fix_missing_locations(tree), f"<{name}, made anew>", "exec")


class _Spending(ast.NodeTransformer):
    """Lets each turn of a loop use up fuel."""

    def visit_For(self, node: ast.For) -> ast.AST:
        """Begin the body with a step."""
        node.body.insert(0, ast.Expr(ast.Call(ast.Name(_SPEND, ast.Load()), [], [])))
        return self.generic_visit(node)

    def visit_While(self, node: ast.While) -> ast.AST:
        """Begin the body with a step."""
        node.body.insert(0, ast.Expr(ast.Call(ast.Name(_SPEND, ast.Load()), [], [])))
        return self.generic_visit(node)
