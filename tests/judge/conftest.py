"""The toy's generated files, made once for all tests of the judge."""

from pathlib import Path

import pytest

from plumbline_spec import toy
from plumbline_spec.atomic import write_atomically
from plumbline_spec.clause_table import silent
from plumbline_spec.subject import subject
from tests.judge.hosts import plan_in


@pytest.fixture(scope="session")
def toy_spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the toy's schema, vectors and variant traces."""
    folder = tmp_path_factory.mktemp("spec")
    for file in subject(toy.case()).generate(plan_in(folder), silent):
        write_atomically(folder / file.path, file.content)
    return folder
