"""The chapters, the generated files and the shown commands against the code."""

import re
import shlex
from collections.abc import Iterator, Mapping
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import click
import pytest
from msgspec import Struct

from plumbline.command import cli
from plumbline.generate import generated
from plumbline.registry import (
    anchoring_case,
    anchoring_steps_case,
    compaction_case,
    context_cache_case,
    intake_case,
    ordinals_case,
    subjects,
    tokens_case,
)
from plumbline.tables import plan, table_clauses
from plumbline_models import (
    anchoring,
    anchoring_steps,
    compaction,
    context_cache,
    intake,
    lossless_claw,
    ordinals,
    tokens,
)
from plumbline_models.decisions.counting import Door, Measure, admitted, estimate, most
from plumbline_models.decisions.limits import Limits, regime, thresholds
from plumbline_models.decisions.statistics import Statistics
from plumbline_spec.case import Case
from plumbline_spec.chapters import ChapterClause, clause_index, clauses_in, table_rows
from plumbline_spec.clause_table import silent
from plumbline_spec.envelope import CLAUSES as ENVELOPE
from plumbline_spec.meetings import CLAUSES as SCHEDULES
from plumbline_spec.profiles import PROFILES
from plumbline_spec.subject import Subject, subject
from plumbline_spec.sweeping import CLAUSES as FAULTS
from tests.plans import ROOT, SPEC

S = TypeVar("S")
E = TypeVar("E")
O = TypeVar("O")  # noqa: E741 - the letters of the contract
C = TypeVar("C")

PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "ARCHITECTURE.md",
    "spec/README.md",
    "spec/ordinals.md",
    "spec/tokens.md",
    "spec/intake.md",
    "spec/compaction.md",
    "spec/context_cache.md",
    "spec/anchoring.md",
    "spec/anchoring_steps.md",
    "spec/tables.md",
    "spec/faults.md",
)

every_machine = pytest.mark.parametrize("one", subjects(), ids=lambda one: one.name)


class Chapter(Struct, frozen=True, kw_only=True):
    """A machine as its chapter should describe it."""

    name: str
    below: str | None
    """The machine that it stands on."""
    clauses: list[ChapterClause]
    """Its own; those that it inherits stand in the chapter below."""
    events: Mapping[str, tuple[str, ...]]
    """The fields of every event, by its name."""
    pairs: frozenset[tuple[str, str]]
    """Every pair of event and outcome."""
    new: frozenset[tuple[str, str]]
    """Those that the machine below does not have."""
    fields: Mapping[str, type[Struct]]
    """What the field tables describe, by the first column's heading."""
    rules: tuple[Struct, ...]
    equal: tuple[tuple[str, str], ...]
    different: tuple[tuple[str, str], ...]
    subject: Subject

    @property
    def path(self) -> Path:
        """Where it is."""
        return SPEC / f"{self.name}.md"

    @property
    def tabled(self) -> list[str]:
        """The events that have a row of their own, in the machine's order."""
        return [event for event in self.events if any(pair[0] == event for pair in self.new)]


def chapter(
    case: Case[S, E, O, C],
    rules: tuple[Struct, ...],
    fields: Mapping[str, type[Struct]],
    below: Chapter | None = None,
) -> Chapter:
    """Close over a case's types."""
    machine = case.machine
    kinds = [kind for kind in machine.kinds if issubclass(kind, Struct)]
    return Chapter(
        name=machine.name,
        below=None if below is None else below.name,
        clauses=[
            ChapterClause(id=clause.id, title=clause.title, sentence=clause.sentence)
            for clause in machine.own_clauses
        ],
        events={kind.__name__: kind.__struct_fields__ for kind in kinds},
        pairs=frozenset(machine.pairs),
        new=frozenset(machine.pairs) - (frozenset() if below is None else below.pairs),
        fields=fields,
        rules=rules,
        equal=case.equal_rule_sets,
        different=case.different_rule_sets,
        subject=subject(case),
    )


def of_structs(*structs: type[Struct]) -> dict[str, type[Struct]]:
    """Return the headings under which a chapter describes the fields of structs."""
    return {f"Field of `{one.__name__}`": one for one in structs}


ORDINALS = chapter(ordinals_case(), ordinals.RULE_SETS, {"Field": ordinals.Conversation})
TOKENS = chapter(
    tokens_case(),
    tokens.RULE_SETS,
    of_structs(tokens.Ledger, tokens.Posted, tokens.Weighed, Limits),
    ORDINALS,
)
INTAKE = chapter(
    intake_case(),
    intake.RULE_SETS,
    of_structs(intake.Row, intake.Entry, intake.Part, intake.Taken, intake.Refused),
    TOKENS,
)
COMPACTION = chapter(
    compaction_case(),
    compaction.RULE_SETS,
    of_structs(
        compaction.Extent,
        compaction.Settings,
        compaction.Evaluated,
        compaction.Selected,
        compaction.Pass,
        compaction.Swept,
    ),
    INTAKE,
)
CONTEXT_CACHE = chapter(
    context_cache_case(),
    context_cache.RULE_SETS,
    of_structs(context_cache.Conversation, context_cache.Kept, context_cache.Listed),
)
ANCHORING = chapter(
    anchoring_case(),
    anchoring.RULE_SETS,
    of_structs(
        anchoring.State,
        anchoring.Logged,
        Statistics,
        anchoring.Snapshot,
        anchoring.Live,
        anchoring.Lease,
        anchoring.Verdict,
    ),
)
STEPS = chapter(
    anchoring_steps_case(),
    anchoring_steps.RULE_SETS,
    of_structs(
        anchoring_steps.State,
        anchoring_steps.Live,
        anchoring_steps.Manifest,
        anchoring_steps.Recorder,
        anchoring_steps.Refresher,
    ),
)
CHAPTERS = (ORDINALS, TOKENS, INTAKE, COMPACTION, CONTEXT_CACHE, ANCHORING, STEPS)

every_chapter = pytest.mark.parametrize("one", CHAPTERS, ids=lambda one: one.name)


def coded(cell: str) -> str | None:
    """Return what stands in code font at the beginning of a cell, or None."""
    found = re.match(r"`([^`]+)`", cell)
    return found[1] if found else None


def is_ruler(row: list[str]) -> bool:
    """Tell whether a row is the line under a heading."""
    return set("".join(row)) <= set("-: ")


def table(page: Path, *heading: str) -> list[list[str]]:
    """Return the rows of the tables of a page that begin with these columns."""
    found: list[list[str]] = []
    inside = False
    for row, following in pairwise((*table_rows(page), [""])):
        if any(following) and is_ruler(following):
            inside = tuple(row[: len(heading)]) == heading
        elif inside and not is_ruler(row):
            found.append(row)
    return found


def event_table(page: Path) -> list[list[str]]:
    """Return the rows of the event tables of a page."""
    return table(page, "Event", "Guard", "Effect", "Outcome")


def event_rows(page: Path) -> list[tuple[str, str]]:
    """Return event and outcome of each row of the event tables that has an outcome of its own."""
    rows = ((coded(row[0]) or "", coded(row[3])) for row in event_table(page))
    return [(event, outcome) for event, outcome in rows if outcome is not None]


def section(page: Path, title: str) -> str:
    """Return what stands below a heading of the second level, up to the next."""
    text = page.read_text(encoding="utf-8")
    (found,) = re.findall(rf"^## {title}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert isinstance(found, str)
    return found


def as_choice(value: object) -> str:
    """Return a choice of a rule set as a chapter writes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Enum):
        return f"`{value.value}`"
    if value is None:
        return "none"
    assert isinstance(value, ordinals.Rules | tokens.Rules | intake.Rules | lossless_claw.Rules)
    return f"`{value.name}`"


def decision_points(one: Chapter) -> list[str]:
    """Return the decision points of a machine: the fields of its rules, without their name."""
    return [name for name in one.rules[0].__struct_fields__ if name != "name"]


def ids_of(page: Path) -> set[str]:
    """Return the ids of clauses that a page states."""
    return {clause.id for clause in clauses_in(page)}


def anchors_of(page: Path) -> set[str]:
    """Return the names by which the headings of a page are linked."""
    text = page.read_text(encoding="utf-8")
    return {
        re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }


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
    """Return the command or the options that a command line has and the command has not.

    What stands behind ``--`` is another command's.
    """
    words = words[: words.index("--")] if "--" in words else words
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


def test_every_machine_has_a_chapter() -> None:
    assert [one.name for one in CHAPTERS] == [one.name for one in subjects()]


@every_chapter
def test_a_chapter_states_the_clauses_of_its_machine(one: Chapter) -> None:
    def by_id(clauses: list[ChapterClause]) -> list[ChapterClause]:
        return sorted(clauses, key=lambda clause: clause.id)

    assert by_id(clauses_in(one.path)) == by_id(one.clauses)


def test_the_envelope_is_stated_in_the_first_chapter() -> None:
    """ENV-1, ENV-2, ENV-3."""
    found = clauses_in(SPEC / "README.md")
    assert {one.id: (one.title, one.sentence) for one in found} == ENVELOPE


def test_the_page_of_faults_states_the_clauses_of_faults_and_schedules() -> None:
    stated = {one.id: (one.title, one.sentence) for one in clauses_in(SPEC / "faults.md")}
    assert stated == {**FAULTS, **SCHEDULES}
    assert list(stated) == [*FAULTS, *SCHEDULES]


def test_the_page_of_faults_says_how_much_every_profile_does() -> None:
    rows = {row[0]: row[1:] for row in table_rows(SPEC / "faults.md")}
    efforts = [PROFILES[name].faults for name in ("quick", "ci", "nightly")]
    for name, field in (
        ("subsets of pending operations", "subsets"),
        ("recoveries of each event within which the power is lost again", "recoveries"),
        ("histories with faults that Hypothesis draws, in each setting", "histories"),
    ):
        shown = [re.findall(r"[0-9,]+", cell)[-1] if cell else "" for cell in rows[name]]
        assert shown == [f"{getattr(effort, field):,}" for effort in efforts]


def test_the_page_of_the_tables_states_their_clauses() -> None:
    """TAB-1 to TAB-12."""
    assert clauses_in(SPEC / "tables.md") == [
        ChapterClause(id=clause.id, title=clause.title, sentence=clause.sentence)
        for clause in table_clauses()
    ]
    text = (SPEC / "README.md").read_text(encoding="utf-8")
    assert "(tables.md)" in text
    assert re.search(r"^\| TAB \|", text, re.MULTILINE)


def test_the_page_of_the_tables_names_those_of_ordinals() -> None:
    said = [coded(row[0]) for row in table(SPEC / "tables.md", "Table", "A row is", "Columns")]
    assert said == [one.name for one in plan(2).tables]


def test_clause_ids_have_the_prefix_of_one_chapter_and_are_not_used_twice() -> None:
    pages = [SPEC / "README.md", SPEC / "tables.md", *(one.path for one in CHAPTERS)]
    ids = [[clause.id for clause in clauses_in(page)] for page in (*pages, SPEC / "faults.md")]
    prefixes_of = [len({clause.partition("-")[0] for clause in page}) for page in ids]
    assert prefixes_of == [*[1] * len(pages), 2]  # the page of faults has two models
    every = [clause for page in ids for clause in page]
    assert len(set(every)) == len(every)


@pytest.mark.parametrize("page", PAGES)
def test_every_clause_that_a_page_names_exists(page: str) -> None:
    pages = [SPEC / "README.md", SPEC / "tables.md", *(one.path for one in CHAPTERS)]
    every = {clause for known in pages for clause in ids_of(known)}
    prefixes = "|".join(sorted({clause.partition("-")[0] for clause in every}))
    named = re.findall(rf"\b(?:{prefixes})-[0-9]+\b", (ROOT / page).read_text(encoding="utf-8"))
    assert set(named) <= every


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_somewhere(page: str) -> None:
    here = ROOT / page
    links = re.findall(r"\]\(([^)#:\s]+)(?:#([^)]*))?\)", here.read_text(encoding="utf-8"))
    lost = [
        f"{target}#{anchor}"
        for target, anchor in links
        if not (here.parent / target).exists()
        or (anchor and anchor not in anchors_of(here.parent / target))
    ]
    assert lost == []


@every_chapter
def test_the_event_tables_have_every_new_pair_and_no_other(one: Chapter) -> None:
    """Every pair, where a machine stands on no other."""
    assert set(event_rows(one.path)) == one.new


@every_chapter
def test_the_event_tables_come_in_the_order_of_the_events(one: Chapter) -> None:
    rows = event_table(one.path)
    assert list(dict.fromkeys(coded(row[0]) for row in rows)) == one.tabled


@every_chapter
def test_what_an_event_shares_with_the_machine_below_is_left_to_its_chapter(one: Chapter) -> None:
    """One row of its table refers there; an event that has no table is named with a link."""
    referring = [coded(row[0]) for row in event_table(one.path) if coded(row[3]) is None]
    guards = [row[1] for row in event_table(one.path) if coded(row[3]) is None]
    shared = [name for name in one.events if any(pair[0] == name for pair in one.pairs - one.new)]
    assert referring == [name for name in shared if name in one.tabled]
    assert all(
        f"({one.below}.md#{name.lower()})" in guard
        for name, guard in zip(referring, guards, strict=True)
        if name is not None
    )
    untabled = [name for name in shared if name not in one.tabled]
    lines = section(one.path, "Events").splitlines()
    assert not untabled or any(
        f"({one.below}.md)" in line and all(f"`{name}`" in line for name in untabled)
        for line in lines
    )


@every_chapter
def test_an_event_is_introduced_with_its_fields(one: Chapter) -> None:
    said = re.findall(r"^`(\w+)\(([^)]*)\)`", section(one.path, "Events"), re.MULTILINE)
    found: dict[str, tuple[str, ...]] = {
        name: tuple(str(fields).split(", ")) if fields else ()
        for name, fields in said
        if name in one.events
    }
    assert found == {name: one.events[name] for name in one.tabled}


@every_chapter
def test_the_field_tables_name_the_fields_of_their_structs(one: Chapter) -> None:
    text = one.path.read_text(encoding="utf-8")
    assert set(re.findall(r"^\| (Field[^|]*) \|", text, re.MULTILINE)) == set(one.fields)
    found = {heading: [coded(row[0]) for row in table(one.path, heading)] for heading in one.fields}
    assert found == {
        heading: list(struct.__struct_fields__) for heading, struct in one.fields.items()
    }


@every_chapter
def test_the_rule_sets_are_listed_with_their_choices(one: Chapter) -> None:
    points = decision_points(one)
    rows = table(one.path, "Rule set", *(f"`{name}`" for name in points))
    wanted: list[list[str]] = []
    for rules in one.rules:
        values: list[object] = [getattr(rules, name) for name in ("name", *points)]
        wanted.append([f"`{values[0]}`", *map(as_choice, values[1:])])
    assert [row[: 1 + len(points)] for row in rows] == wanted


@every_chapter
def test_the_decision_points_are_the_fields_of_a_rule_set(one: Chapter) -> None:
    rows = table(one.path, "Decision point", "Question")
    assert [coded(row[0]) for row in rows] == decision_points(one)


@every_chapter
def test_compared_rule_sets_are_equal_or_part_after_as_many_steps_as_stated(one: Chapter) -> None:
    claims: list[tuple[str, str, str, str]] = []
    for names, verdict, steps, *_ in table(one.path, "Rule sets", "Compared", "Steps"):
        left, right = re.findall(r"`([^`]+)`", names)
        claims.append((left, right, verdict, steps))
    assert {(left, right) for left, right, said, _ in claims if said == "differ"} == {
        *one.different
    }
    assert {(left, right) for left, right, said, _ in claims if said == "equal"} <= {*one.equal}
    for left, right, verdict, steps in claims:
        compared = one.subject.diff(left, right, "quick", silent)
        (scope,) = compared.scopes
        assert verdict == ("equal" if compared.equal else "differ")
        assert steps == (str(len(scope.rows)) if scope.rows else "")


@every_chapter
def test_a_chapter_has_its_parts_in_order(one: Chapter) -> None:
    text = one.path.read_text(encoding="utf-8")
    parts = re.findall(r"^## (.+)$", text, re.MULTILINE)
    usual = ["State", "Events", "Clauses", "Rule sets", "Notes"]
    assert [part for part in parts if part in usual] == usual


@every_chapter
def test_the_first_page_leads_to_every_chapter(one: Chapter) -> None:
    text = (SPEC / "README.md").read_text(encoding="utf-8")
    assert f"({one.name}.md)" in text
    (prefix,) = {clause.id.partition("-")[0] for clause in one.clauses}
    assert re.search(rf"^\| {prefix} \|", text, re.MULTILINE)


def test_the_first_page_says_which_machine_stands_on_which() -> None:
    rows = table(SPEC / "README.md", "Machine", "Stands on")
    assert [row[:2] for row in rows] == [[one.name, one.below or "nothing"] for one in CHAPTERS]


# What the chapter of tokens says in numbers


def test_the_weights_of_code_points_are_those_that_estimates_have() -> None:
    """Both ends of every range, and what lies beside them."""
    ranges: list[tuple[int, int, int]] = []
    for points, _what, weight in table(TOKENS.path, "Code points"):
        ends = [int(one, 16) for one in re.findall(r"U\+([0-9A-F]+)", points)]
        ranges.append((ends[0] if len(ends) > 1 else 0, ends[-1], int(weight)))
    beside = {one + step for low, high, _ in ranges for one in (low, high) for step in (-1, 0, 1)}
    for point in sorted(one for one in beside if 0 <= one <= 0x10FFFF):
        said = next(quarters for low, high, quarters in ranges if low <= point <= high)
        assert (hex(point), estimate(Measure.CODE_POINTS, 4 * chr(point))) == (hex(point), said)


def test_the_shown_estimates_are_right() -> None:
    """TOK-9."""
    rows = table(TOKENS.path, "Text", "Quarters", "Estimate")
    for cell, quarters, tokens_said, older in rows:
        text = coded(cell)
        assert text is not None
        assert int(quarters) == estimate(Measure.CODE_POINTS, 4 * text)
        assert int(tokens_said) == estimate(Measure.CODE_POINTS, text)
        assert int(older) == estimate(Measure.UTF16, text)
    assert rows


def at_the_door(given: int | None, text: str) -> str:
    """Return what the door does, in the words of the chapter."""
    counted = admitted(Door.GUARDED, Measure.CODE_POINTS, text, given)
    if counted.doubt is not None:
        return f"`Refused({counted.doubt.value})`"
    return "stored" if given else "estimated"


def test_the_table_of_the_door_says_what_the_door_does() -> None:
    """TOK-8, TOK-9, TOK-10."""
    content = 129 * "a"
    said = {row[0]: row[1:] for row in table(TOKENS.path, "Given", "For a text with content")}
    given = {
        "nothing": (None, None),
        "zero": (0, 0),
        "negative": (-1, -1),
        "too small": (1, None),
        "too great": (most(content) + 1, most("") + 1),
        "anything else": (2, most("")),
    }
    assert list(said) == list(given)
    for name, (with_content, without) in given.items():
        assert said[name][0] == at_the_door(with_content, content)
        if name == "too small":
            assert said[name][1].startswith("cannot be")
        else:
            assert said[name][1].partition(",")[0] == at_the_door(without, "")


def test_the_example_of_thresholds_is_right_at_both_edges() -> None:
    """TOK-16, TOK-17."""
    text = section(TOKENS.path, "Thresholds")
    pattern = (
        r"window of ([\d,]+) tokens, an overhead of ([\d,]+), a reserve of ([\d,]+)"
        r" and (\d+) percent, `hard` is ([\d,]+) and `soft` is ([\d,]+)"
    )
    ((window, overhead, reserve, percent, hard, soft),) = (
        [int(one.replace(",", "")) for one in found] for found in re.findall(pattern, text)
    )
    limits = Limits(window=window, overhead=overhead, reserve=reserve, soft_percent=percent)
    at = thresholds(limits)
    assert (at.hard, at.soft) == (hard, soft)
    rows = [(int(row[0].replace(",", "")), coded(row[1])) for row in table(TOKENS.path, "Size")]
    assert [size for size, _ in rows] == [0, soft, soft + 1, hard, hard + 1]
    assert [said for _, said in rows] == [regime(size, at).value for size, _ in rows]


def test_a_row_that_is_missing_or_wrong_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "chapter.md"
    page.write_text(
        "| Event | Guard | Effect | Outcome |\n|---|---|---|---|\n"
        "| `Open` | it exists | none | `Refused(known)` |\n"
        "| `Open` | otherwise | it exists | `Opened` with a name |\n\n"
        "| Field | Holds |\n|---|---|\n| `id` | the name |\n\n"
        "> **ABC-1 (title).** A sentence MUST end.\n",
        encoding="utf-8",
    )
    assert event_rows(page) == [("Open", "Refused(known)"), ("Open", "Opened")]
    assert clauses_in(page) == [
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
    assert unknown_to(cli, ["check", "--quik", "--", "true", "--quick"]) == ["--quik"]
