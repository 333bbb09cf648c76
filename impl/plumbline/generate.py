"""Generate: the files of ``spec/`` that are made from the machines, written in a checkout."""

from pathlib import Path

from plumbline.check import DEFAULT_SEED, VERSIONS, Told
from plumbline.registry import chosen
from plumbline_spec.atomic import write_atomically
from plumbline_spec.case import Plan
from plumbline_spec.chapters import clause_index
from plumbline_spec.data import checkout
from plumbline_spec.errors import UnusableInput
from plumbline_spec.profiles import PROFILES
from plumbline_spec.subject import Generated, Subject


def generated(one: Subject, spec: Path, told: Told) -> list[Generated]:
    """Return the generated files of one machine. Raises ``UnusableInput``."""
    plan = Plan(profile=PROFILES["ci"], seed=DEFAULT_SEED, spec=spec, versions=VERSIONS)
    return one.generate(plan, lambda said: told(one.name, "vectors", said))


def generate(machines: tuple[str, ...], told: Told) -> list[Path]:
    """Write the generated files of machines, and the index of all clauses; return their paths.

    Raises ``UnusableInput`` outside a checkout.
    """
    root = checkout()
    if root is None:
        raise UnusableInput(
            "vectors are written into a checkout, and this Plumbline is installed; "
            "clone the repository and install it with `pip install --editable .`"
        )
    written: list[Path] = []
    for one in chosen(machines):
        for file in generated(one, root / "spec", told):
            write_atomically(root / "spec" / file.path, file.content)
            written.append(root / "spec" / file.path)
    index = root / "spec" / "clauses.md"
    write_atomically(index, clause_index(chosen(()), root / "spec").encode())
    return [*written, index]
