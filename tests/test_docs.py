"""The chapters, the generated files and the shown commands against the code."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from plumbline.command import cli
from plumbline.generate import generated
from plumbline.registry import subjects
from plumbline_models import ordinals
from plumbline_spec.chapters import ChapterClause, clause_index, clauses_in, table_rows
from plumbline_spec.envelope import CLAUSES as ENVELOPE
from plumbline_spec.subject import Subject
from tests.plans import ROOT, SPEC

PAGES = ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "spec/README.md", "spec/ordinals.md")

every_machine = pytest.mark.parametrize("one", subjects(), ids=lambda one: one.name)


def stated(one: Subject) -> list[ChapterClause]:
    """Return the clauses of a machine as a chapter should state them."""
    return [
        ChapterClause(id=clause.id, title=clause.title, sentence=clause.sentence)
        for clause in one.clauses
    ]


def coded(cell: str) -> str | None:
    """Return what stands in code font at the beginning of a cell, or None."""
    found = re.match(r"`([^`]+)`", cell)
    return found[1] if found else None


def table(chapter: Path, *heading: str) -> list[list[str]]:
    """Return the rows of the tables of a chapter that begin with these columns."""
    found: list[list[str]] = []
    inside = False
    for row in table_rows(chapter):
        if set("".join(row)) <= set("-: "):
            continue
        if not row[0].startswith("`"):
            inside = tuple(row[: len(heading)]) == heading
        elif inside:
            found.append(row)
    return found


def event_rows(chapter: Path) -> list[tuple[str, str]]:
    """Return the rows of the event tables: event and outcome."""
    rows = table(chapter, "Event", "Guard", "Effect", "Outcome")
    return [(coded(row[0]) or "", coded(row[3]) or "") for row in rows]


def shown_commands(page: str) -> Iterator[list[str]]:
    """Yield the arguments of every ``plumbline`` that a page shows in code."""
    fenced = re.findall(r"^```\w*\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    lines = [part for block in fenced for line in block.splitlines() for part in line.split("&&")]
    prose = re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", prose)
    for line in (*lines, *spans):
        found = re.match(r"(?:\$ )?(?:\S*/bin/)?(?:python -m )?plumbline (?=[a-z-])", line.strip())
        if found:
            yield shlex.split(line.strip()[found.end() :])


def unknown_to(group: click.Group, words: list[str]) -> list[str]:
    """Return the command or the options that a command line has and the command has not."""
    command: click.Command = group
    for word in words:
        if isinstance(command, click.Group) and not word.startswith("-"):
            if word not in command.commands:
                return [word]
            command = command.commands[word]
    known = {"--help", *(name for one in command.params for name in one.opts)}
    options = [word.partition("=")[0] for word in words if word.startswith("--")]
    return [option for option in options if option not in known]


# Chapters


@every_machine
def test_a_chapter_states_the_clauses_of_its_machine(one: Subject) -> None:
    found = clauses_in(SPEC / f"{one.name}.md")
    assert sorted(found, key=lambda clause: clause.id) == sorted(
        stated(one), key=lambda clause: clause.id
    )


def test_the_envelope_is_stated_in_the_first_chapter() -> None:
    """ENV-1, ENV-2, ENV-3."""
    found = clauses_in(SPEC / "README.md")
    assert {one.id: (one.title, one.sentence) for one in found} == ENVELOPE


def test_clause_ids_have_the_prefix_of_one_chapter_and_are_not_used_twice() -> None:
    pages = [SPEC / "README.md", *(SPEC / f"{one.name}.md" for one in subjects())]
    ids = [[clause.id for clause in clauses_in(page)] for page in pages]
    assert [len({clause.partition("-")[0] for clause in page}) for page in ids] == [1] * len(pages)
    every = [clause for page in ids for clause in page]
    assert len(set(every)) == len(every)


@every_machine
def test_the_event_tables_have_every_pair_and_no_other(one: Subject) -> None:
    rows = event_rows(SPEC / f"{one.name}.md")
    assert set(rows) == set(one.pairs)


@every_machine
def test_the_event_tables_come_in_the_order_of_the_events(one: Subject) -> None:
    rows = event_rows(SPEC / f"{one.name}.md")
    assert list(dict.fromkeys(event for event, _ in rows)) == list(one.events)


def test_a_table_of_the_chapter_names_the_fields_of_a_conversation() -> None:
    rows = table(SPEC / "ordinals.md", "Field", "Holds", "Order")
    assert [coded(row[0]) for row in rows] == list(ordinals.Conversation.__struct_fields__)


def test_the_rule_sets_are_listed_with_their_choices() -> None:
    rows = table(SPEC / "ordinals.md", "Rule set", "`closing`")
    said = {True: "yes", False: "no"}
    wanted = [
        [
            f"`{rules.name}`",
            f"`{rules.closing.value}`",
            f"`{rules.numbering.value}`",
            *(said[one] for one in (rules.stale_check, rules.prune_closes, rules.prune_records)),
        ]
        for rules in ordinals.RULE_SETS
    ]
    assert [row[:6] for row in rows] == wanted


def test_the_decision_points_are_the_fields_of_a_rule_set() -> None:
    rows = table(SPEC / "ordinals.md", "Decision point", "Question")
    fields = [name for name in ordinals.Rules.__struct_fields__ if name != "name"]
    assert [coded(row[0]) for row in rows] == fields


@every_machine
def test_a_chapter_has_its_parts_in_order(one: Subject) -> None:
    text = (SPEC / f"{one.name}.md").read_text(encoding="utf-8")
    parts = re.findall(r"^## (.+)$", text, re.MULTILINE)
    usual = ["State", "Events", "Clauses", "Notes"]
    assert [part for part in parts if part in usual] == usual


@every_machine
def test_the_first_page_leads_to_every_chapter(one: Subject) -> None:
    text = (SPEC / "README.md").read_text(encoding="utf-8")
    assert f"({one.name}.md)" in text
    (prefix,) = {clause.id.partition("-")[0] for clause in one.clauses}
    assert re.search(rf"^\| {prefix} \|", text, re.MULTILINE)


def test_a_row_that_is_missing_or_wrong_is_seen(tmp_path: Path) -> None:
    chapter = tmp_path / "chapter.md"
    chapter.write_text(
        "| Event | Guard | Effect | Outcome |\n|---|---|---|---|\n"
        "| `Open` | it exists | none | `Refused(known)` |\n"
        "| `Open` | otherwise | it exists | `Opened` with a name |\n\n"
        "| Field | Holds |\n|---|---|\n| `id` | the name |\n\n"
        "> **ABC-1 (title).** A sentence MUST end.\n",
        encoding="utf-8",
    )
    assert event_rows(chapter) == [("Open", "Refused(known)"), ("Open", "Opened")]
    assert clauses_in(chapter) == [
        ChapterClause(id="ABC-1", title="title", sentence="A sentence MUST end.")
    ]


# Generated files


@every_machine
def test_the_schema_is_current(one: Subject) -> None:
    assert (SPEC / "schemas" / f"{one.name}.schema.json").read_bytes() == one.schema


def test_the_index_of_clauses_is_current() -> None:
    assert (SPEC / "clauses.md").read_text(encoding="utf-8") == clause_index(subjects(), SPEC)


@every_machine
def test_vectors_and_variant_traces_are_current(one: Subject) -> None:
    """Makes them all afresh, which takes longer than any other test."""
    files = generated(one, SPEC, lambda _machine, _engine, _said: None)
    assert [file.path for file in files if (SPEC / file.path).read_bytes() != file.content] == []


# Commands


@pytest.mark.parametrize("page", PAGES)
def test_every_command_that_a_page_shows_exists(page: str) -> None:
    shown = shown_commands((ROOT / page).read_text(encoding="utf-8"))
    assert [(words, unknown_to(cli, words)) for words in shown if unknown_to(cli, words)] == []


def test_a_command_that_does_not_exist_is_seen() -> None:
    page = (
        "Run `plumbline chekc` or `plumbline`.\n```sh\n. x && .venv/bin/plumbline check --quik\n"
        "plumbline vectors verify ordinals\nplumbline vectors empty\n```\n"
    )
    shown = list(shown_commands(page))
    assert [unknown_to(cli, words) for words in shown] == [["--quik"], [], ["empty"], ["chekc"]]
    assert unknown_to(cli, ["--version"]) == []
    assert unknown_to(cli, ["check", "--profile=ci", "--help"]) == []
