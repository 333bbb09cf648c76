"""Chapters: what they say is read, and the index of all clauses is written."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from plumbline_spec import toy
from plumbline_spec.chapters import (
    BESIDE,
    SHOWN_VECTORS,
    clause_index,
    clauses_in,
    table_rows,
)
from plumbline_spec.errors import UnusableInput
from plumbline_spec.subject import subject
from plumbline_spec.traces import write
from tests.judge.hosts import trace_of

CHAPTER = """# Toy

| event | outcome |
|---|---|
| `Clear` | `Cleared` |

> **TOY-1 (limit).** The locker MUST NOT hold more than 3 coins.

A note on TOY-1.

> **TOY-12 (two words).** A refusal MUST leave the locker as it was.
> A quotation that is no clause.
"""


@pytest.fixture(name="chapter")
def written(tmp_path: Path) -> Path:
    path = tmp_path / "toy.md"
    path.write_text(CHAPTER, encoding="utf-8")
    return path


def test_the_clauses_of_a_chapter_are_read_in_its_order(chapter: Path) -> None:
    assert [(one.id, one.title, one.sentence) for one in clauses_in(chapter)] == [
        ("TOY-1", "limit", "The locker MUST NOT hold more than 3 coins."),
        ("TOY-12", "two words", "A refusal MUST leave the locker as it was."),
    ]


def test_the_rows_of_a_chapters_tables_are_read(chapter: Path) -> None:
    assert list(table_rows(chapter)) == [
        ["event", "outcome"],
        ["---", "---"],
        ["`Clear`", "`Cleared`"],
    ]


def test_the_index_names_every_clause_with_its_vectors_and_variants(toy_spec: Path) -> None:
    """TOY-1 to TOY-4, ENV-1 to ENV-3."""
    rows = [line for line in clause_index([subject(toy.case())], toy_spec).splitlines() if line]
    cells = {row.split("|")[1].strip(): row for row in rows if row.startswith("| [")}
    ids = [f"[{clause.id}](toy.md)" for clause in toy.CLAUSES]
    hosts = [f"[{name}]({page})" for _, page, clauses in BESIDE for name in clauses]
    assert list(cells) == [*ids, *hosts]
    for clause, variant in zip(toy.CLAUSES, toy.VARIANTS, strict=True):
        row = cells[f"[{clause.id}](toy.md)"]
        assert clause.sentence in row
        assert row.endswith(f"`{variant.name}` |")
    abouts = [row.split("|")[4].strip() for row in cells.values()]
    assert abouts[:4] == ["state", "step", "step", "reach"]
    assert abouts[4:] == [about for about, _, clauses in BESIDE for _ in clauses]


def test_the_index_shows_a_few_vectors_of_a_clause(tmp_path: Path) -> None:
    many = [trace_of(name=str(number)) for number in range(SHOWN_VECTORS + 3)]
    named = [
        replace(one, header=replace(one.header, clauses=("TOY-1",) if at else ("TOY-2",)))
        for at, one in enumerate(many)
    ]
    write(tmp_path / "vectors" / "toy.jsonl", named)
    write(tmp_path / "variants" / "toy.jsonl", many[:1])
    rows = clause_index([subject(toy.case())], tmp_path).splitlines()
    assert rows[7].endswith("| state | 1, 2, 3, 4, 5, 6 and 2 more |  |")
    assert rows[8].endswith("| step | 0 |  |")


def test_an_index_without_vectors_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(UnusableInput, match=r"vectors.toy\.jsonl cannot be read"):
        clause_index([subject(toy.case())], tmp_path)
