"""``plumbline context``: what it shows of a context, and what a rollback leaves."""

import hashlib
import json
import shutil
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import apsw
import apsw.ext
import msgspec
import pytest
from msgspec import Struct
from rich.cells import cell_len

from plumbline import context, reading
from plumbline.command import cli, guarded
from plumbline.compaction import PROGRAM
from plumbline.database import SettingNotKept, answered, open_database
from plumbline.schema import MIGRATIONS
from plumbline.screen import PLAIN_WIDTH, printable
from plumbline.screen_context import span
from plumbline_models.intake import (
    Digest,
    Event,
    Place,
    Row,
    SourceId,
    Standing,
    State,
    Take,
    Taken,
)
from plumbline_models.ordinals import ConversationId, MessageId, MessageItem, SummaryId
from plumbline_models.tokens import Append, Draft, Posted, Replace
from tests.audit.planting import tampering
from tests.cli.test_reading import refusing
from tests.ordinals import forgetting, items, opening, pruning

REDDENED = "\x1b[31mred\x1b[0m\tand\r\nnew\u202e"
MARKUP = "[bold]not bold[/] [/red] \\[x]"
MIXED = "你好、世界 🙂 e\u0301 👩\u200d💻"
LONG_ID = "conversation-of-a-session"


class Ran(Struct, frozen=True, kw_only=True):
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def document(self) -> dict[str, object]:
        """The one JSON object on standard output."""
        return msgspec.convert(json.loads(self.out), dict[str, object])


Run = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def runs(*args: str | Path) -> Ran:
        capsys.readouterr()
        code = guarded(cli, ["context", *(str(one) for one in args)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return Ran(code=code, out=captured.out, err=captured.err)

    return runs


# Databases


def drive(file: Path, events: Iterable[Event], migrations: tuple[str, ...] = MIGRATIONS) -> Path:
    """Take events on a file, every one of which is accepted."""
    db = open_database(str(file), migrations)
    for event in events:
        outcome = answered(db, None, event, PROGRAM.apply, PROGRAM.decode_outcome)
        assert isinstance(outcome, Taken | Posted), outcome
    db.close()
    return file


def observed(file: Path) -> State:
    with reading.reading(file) as db:
        return PROGRAM.observe(db).taken


def row(
    message: str,
    text: str,
    role: str = "user",
    time: str | None = None,
    standing: Standing = Standing.PLACED,
) -> Row:
    digest = Digest(hashlib.sha256(message.encode()).hexdigest())
    named = MessageId(message)
    return Row(message=named, digest=digest, role=role, text=text, time=time, standing=standing)


def taking(*rows: Row, at: str = "c", first: int = 1) -> Take:
    return Take(
        conversation=ConversationId(at), source=SourceId("file"), rows=rows, first=Place(first)
    )


def adding(*texts: tuple[str, str], at: str = "c") -> Append:
    drafts = tuple(Draft(id=MessageId(name), text=text) for name, text in texts)
    return Append(conversation=ConversationId(at), messages=drafts)


def summing(names: str, summary: str, text: str | None = None, at: str = "c") -> Replace:
    return Replace(
        conversation=ConversationId(at),
        summary=SummaryId(summary),
        text=f"about {names}" if text is None else text,
        items=items(names),
        tokens=3,
    )


ONE: tuple[Event, ...] = (
    opening(),
    taking(
        row("m1", MIXED, time="2026-01-31T10:00:03Z"),
        row("m2", MARKUP, "assistant"),
        row("m3", REDDENED, "toolResult", time="2026-01-31T12:05:59.250+02:00"),
        row("e4", "a change of model", "model_change", standing=Standing.CARRIED),
        row("m4", "", "assistant", time="2026-02-01T00:00:00Z"),
        row("m5", "  \n\t the last\n words  ", time="yesterday, about noon"),
    ),
    adding(("m6", "typed"), ("m7", "gone")),
    forgetting("m7"),
    summing("m1 m2", "s1"),
    summing("m3", "s2"),
    summing("s1 s2", "s3", f"{MARKUP} {REDDENED}"),
)
"""Leads to ``s3 m4 m5 m6``: s3 of s1 and s2, s1 of m1 and m2, s2 of m3; m7 is forgotten."""

SEVERAL: tuple[Event, ...] = (
    *ONE,
    opening(LONG_ID),
    taking(
        row(f"{LONG_ID}/1", "one", time="2025-12-31T23:00:00Z"),
        row(f"{LONG_ID}/2", "two", time="2026-01-01T01:00:00Z"),
        row(f"{LONG_ID}/3", "three"),
        at=LONG_ID,
    ),
    summing(f"{LONG_ID}/1 {LONG_ID}/2", f"s-{LONG_ID}", "both", LONG_ID),
    opening("p"),
    adding(("p1", "one"), ("p2", "two"), ("p3", "three"), at="p"),
    summing("p1", "sp", at="p"),
    forgetting("p3", "p"),
    pruning(at="p"),
    opening("z [bold]"),
)
"""With a conversation all of whose items were pruned, and an empty one."""


@pytest.fixture
def one(tmp_path: Path) -> Path:
    return drive(tmp_path / "one.db", ONE)


@pytest.fixture
def several(tmp_path: Path) -> Path:
    return drive(tmp_path / "several.db", SEVERAL)


def many(count: int) -> tuple[Event, ...]:
    """Return events that lead to a context of so many messages behind ten summaries of ten."""
    rows = [
        row(f"m{number}", f"text {number}", time=f"2026-01-31T10:{number // 60 % 60:02}:00Z")
        for number in range(count + 100)
    ]
    taken = (
        taking(*rows[first : first + 500], first=first + 1) for first in range(0, len(rows), 500)
    )
    tens = (" ".join(f"m{10 * ten + one}" for one in range(10)) for ten in range(10))
    summed = (summing(names, f"s{number}") for number, names in enumerate(tens))
    return (opening(), *taken, *summed)


def chain(length: int) -> tuple[Event, ...]:
    """Return events that lead to one summary over a chain of summaries."""
    names = ["m1", *(f"s{number}" for number in range(length))]
    links = pairwise(names)
    brought = taking(row("m1", "the only one", time="2026-01-31T10:00:00Z"))
    return (opening(), brought, *(summing(below, above) for below, above in links))


def everything(folder: Path) -> dict[str, tuple[int, str]]:
    """Return every file of a folder as it is."""
    return {
        file.name: (file.stat().st_mtime_ns, hashlib.sha256(file.read_bytes()).hexdigest())
        for file in folder.iterdir()
        if file.is_file()
    }


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Generator[list[str]]:
    """Return a list that grows by each statement that a reading command runs."""
    ran: list[str] = []

    @contextmanager
    def traced(path: Path) -> Generator[apsw.Connection]:
        def told(_cursor: apsw.Cursor, sql: str, _bindings: object) -> bool:
            ran.append(sql)
            return True

        with reading.reading(path) as db:
            db.exec_trace = told
            yield db

    with monkeypatch.context() as patch:
        patch.setattr("plumbline.context.reading", traced)
        yield ran


# Help


@pytest.mark.parametrize("command", ["show", "tree", "rollback"])
def test_every_command_has_help(run: Run, command: str) -> None:
    ran = run(command, "--help")
    assert ran.code == 0
    assert f"Usage: plumbline context {command} [OPTIONS] DB" in ran.out


# Show


def test_a_context_is_shown_as_a_table_and_its_totals(run: Run, one: Path) -> None:
    ran = run("show", one)
    assert (ran.code, ran.err) == (0, "")
    first = "[bold]not bold[/] [/red] \\[x] \\x1b[31mred\\x1b[0m and new\\u202e"
    assert ran.lines == [
        "context of c",
        "ordinal kind    role      depth tokens time (UTC)                      id first words",
        f"      0 summary               1      3 2026-01-31 10:00:03 to 10:05:59 s3 {first}",
        "      1 message assistant            0 2026-02-01 00:00:00             m4",
        "      2 message user                 6 yesterday, about noon           m5 the last words",
        "      3 message                      2                                 m6 typed",
        "4 items, 11 tokens as stored",
        "6 messages stored, 3 covered, 1 lost (0 pruned, 1 forgotten); 6 entries",
    ]


def test_a_context_is_one_document(run: Run, one: Path) -> None:
    ran = run("show", one, "c", "--json", "--limit", "3")
    assert (ran.code, ran.err) == (0, "")
    message = {"role": None, "depth": None, "first_time": None, "last_time": None}
    assert ran.document == {
        "file": str(one),
        "conversations": [
            {
                "conversation": "c",
                "items": 4,
                "tokens": 11,
                "messages": 6,
                "covered": 3,
                "lost": 1,
                "pruned": 0,
                "forgotten": 1,
                "entries": 6,
            }
        ],
        "context": [
            {
                **message,
                "ordinal": 1,
                "item": {"kind": "message", "id": "m4"},
                "role": "assistant",
                "tokens": 0,
                "first_time": "2026-02-01T00:00:00Z",
                "last_time": "2026-02-01T00:00:00Z",
                "words": "",
            },
            {
                **message,
                "ordinal": 2,
                "item": {"kind": "message", "id": "m5"},
                "role": "user",
                "tokens": 6,
                "first_time": "yesterday, about noon",
                "last_time": "yesterday, about noon",
                "words": "the last words",
            },
            {
                **message,
                "ordinal": 3,
                "item": {"kind": "message", "id": "m6"},
                "tokens": 2,
                "words": "typed",
            },
        ],
    }


def test_a_summary_spans_the_first_and_the_last_time_below_it(one: Path) -> None:
    """m2 has no time and is passed over; the times are given as the host wrote them."""
    rows = context.show(one).context
    assert rows is not None
    assert (rows[0].first_time, rows[0].last_time) == (
        "2026-01-31T10:00:03Z",
        "2026-01-31T12:05:59.250+02:00",
    )
    assert rows[0].words == "[bold]not bold[/] [/red] \\[x] \x1b[31mred\x1b[0m and new\u202e"


def test_several_conversations_are_listed(run: Run, several: Path) -> None:
    ran = run("show", several)
    assert (ran.code, ran.err) == (0, "")
    figures = [
        [cell.strip() for cell in line.split("│")[1:-1]] for line in ran.lines if line[0] == "│"
    ]
    assert figures == [
        ["c", "4", "11", "6", "3", "1", "6"],
        [LONG_ID, "2", "5", "3", "2", "0", "3"],
        ["p", "0", "0", "2", "1", "3", "0"],
        ["z [bold]", "0", "0", "0", "0", "0", "0"],
    ]
    assert ran.lines[-1] == f"name one: plumbline context show {several} CONVERSATION"
    listed = run("show", several, "--json").document
    assert listed["context"] is None
    assert len(msgspec.convert(listed["conversations"], list[object])) == 4


def test_an_item_that_was_pruned_and_then_forgotten_is_lost_once(tmp_path: Path) -> None:
    events = (opening(), adding(("m1", "one"), ("m2", "two")), pruning(), forgetting("m1"))
    (totals,) = context.show(drive(tmp_path / "lost.db", events)).conversations
    assert (totals.lost, totals.pruned, totals.forgotten) == (2, 2, 1)


def test_the_ids_of_messages_are_shown_without_a_long_id_of_their_conversation(
    run: Run, several: Path
) -> None:
    ran = run("show", several, LONG_ID)
    assert ran.lines[2].endswith(f" 2025-12-31 to 2026-01-01 s-{LONG_ID} both")
    assert ran.lines[3].split() == ["1", "message", "user", "2", "…/3", "three"]
    assert ran.lines[4] == "… in an id stands for the id of the conversation"
    tree = run("tree", several, LONG_ID).lines
    assert tree[1] == f"├── 0 summary s-{LONG_ID}, depth 0, 3 tokens: both"
    assert tree[3] == "│   └── message …/2, user, 1 token, 2026-01-01 01:00:00: two"
    assert tree[5] == ran.lines[4]


@pytest.mark.parametrize("conversation", ["p", "z [bold]"])
def test_an_empty_context_is_shown_as_one(run: Run, several: Path, conversation: str) -> None:
    shown, tree = run("show", several, conversation), run("tree", several, conversation)
    assert (shown.code, tree.code) == (0, 0)
    assert shown.lines[:2] == [f"context of {conversation}", "nothing stands in it"]
    assert tree.lines[:2] == [f"context of {conversation}", "0 items, 0 tokens as stored"]
    assert run("show", several, conversation, "--json").document["context"] == []
    assert run("tree", several, conversation, "--json").document["lineage"] == []


def test_a_database_without_a_conversation_is_shown_as_one(run: Run, tmp_path: Path) -> None:
    nothing = drive(tmp_path / "nothing.db", ())
    for command, rows in (("show", "context"), ("tree", "lineage")):
        assert run(command, nothing).out == f"{nothing} holds no conversation\n"
        document = run(command, nothing, "--json").document
        assert document == {"file": str(nothing), "conversations": [], rows: None}


def test_what_is_shown_is_what_the_machine_observes(several: Path) -> None:
    state = observed(several)
    for here, ledger in zip(state.ledger.lists.conversations, state.ledger.ledgers, strict=True):
        found = context.show(several, here.id)
        ((totals,), rows) = found.conversations, found.context
        assert rows is not None
        assert [(one.ordinal, one.item) for one in rows] == [
            (entry.ordinal, entry.item) for entry in here.context
        ]
        assert totals.tokens == ledger.total == sum(one.tokens or 0 for one in rows)
        assert totals.messages == len(here.messages)


@pytest.mark.parametrize("limit", [1, 2, 4, 5, 9_999])
def test_a_limit_shows_the_newest_items_with_their_ordinals(
    run: Run, one: Path, limit: int
) -> None:
    rows, limited = context.show(one).context, context.show(one, limit=limit).context
    assert rows is not None
    assert limited == rows[-limit:]
    assert (f"the newest {limit} of 4 items" in run("show", one, "--limit", str(limit)).out) == (
        limit < 4
    )


# Texts


def test_no_control_character_and_no_markup_of_a_text_has_an_effect(run: Run, one: Path) -> None:
    for command in ("show", "tree"):
        out = run(command, one).out
        assert MARKUP in out
        assert "\\x1b[31mred" in out
        assert "\\u202e" in out
        assert [char for char in out if not char.isprintable() and char not in "\n\u200d"] == []


def test_a_name_with_control_characters_is_shown_and_can_be_typed(run: Run, tmp_path: Path) -> None:
    name = "a\nb\x1b[31m"
    file = drive(tmp_path / "odd.db", (opening(name), adding((name, name), at=name)))
    for command in ("show", "tree"):
        ran = run(command, file, name)
        assert ran.code == 0
        assert "\x1b" not in ran.out
        assert "a\\nb\\x1b[31m" in ran.out


def test_words_are_cut_between_characters(tmp_path: Path) -> None:
    texts = {"long": "字" * 5_000, "ascii": "x" * 5_000, "shifted": "a" + "🙂" * 5_000}
    events = (opening(), adding(*texts.items()), adding(("void", "\0after"), ("end", "z" * 800)))
    rows = context.show(drive(tmp_path / "long.db", events)).context
    assert rows is not None
    words = {one.item.id: one.words for one in rows}
    assert words == {
        **{name: text[: context.MAX_WORDS] for name, text in texts.items()},
        "void": "\0after",
        "end": "z" * context.MAX_WORDS,
    }


def wide(tmp_path: Path) -> Path:
    """Return a database whose ids and texts are wider than a screen."""
    name = "long-" * 51
    events = (
        opening("c"),
        taking(
            row(name, "字" * 500, "assistant-of-the-user", "2026-01-31T10:00:00Z"),
            row("m2", "🙂👩\u200d💻" * 100, time="2026-01-31T11:00:00Z"),
            row("m3", f"{REDDENED * 20}", time="some day"),
            row("m4", "a"),
        ),
        summing("m2", "s題"),
        summing("m3", "s" + "題" * 100),
    )
    return drive(tmp_path / "wide.db", events)


@pytest.mark.parametrize("width", [80, PLAIN_WIDTH, 250])
def test_no_line_is_wider_than_the_screen(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setattr("plumbline.screen.PLAIN_WIDTH", width)
    file = wide(tmp_path)
    for command in ("show", "tree"):
        lines = run(command, file).lines
        assert [line for line in lines if cell_len(line) > width] == []
        assert max(map(cell_len, lines)) > width // 2


def test_a_long_id_is_folded_and_not_cut(run: Run, tmp_path: Path) -> None:
    assert run("show", wide(tmp_path)).out.count("題") == 1 + 100


def test_a_span_of_time_takes_two_lines_on_a_narrow_screen(
    run: Run, one: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plumbline.screen.PLAIN_WIDTH", 80)
    lines = run("show", one).lines
    assert "2026-01-31 10:00:03" in lines[2]
    assert lines[3].strip() == "to 10:05:59"


@pytest.mark.parametrize(
    ("first", "last", "shown"),
    [
        (None, None, ""),
        ("2026-01-31T10:00:00Z", "2026-01-31T10:00:00+00:00", "2026-01-31 10:00:00"),
        ("2026-01-31T23:30:00-01:00", "2026-02-01T01:00:00Z", "2026-02-01 00:30:00 to 01:00:00"),
        ("2026-01-31T10:00:00Z", "2026-02-01T09:00:00Z", "2026-01-31 10:00 to 02-01 09:00"),
        ("2025-12-31T10:00:00Z", "2026-02-01T09:00:00Z", "2025-12-31 to 2026-02-01"),
        (
            "2026-01-31T10:00:00",
            "2026-02-01T09:00:00Z",
            "2026-01-31T10:00:00 to 2026-02-01T09:00:00Z",
        ),
        ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+14:00"),
        ("\x1b[1m", "\x1b[1m", "\\x1b[1m"),
    ],
)
def test_times_are_shown_in_utc_or_as_they_are(
    first: str | None, last: str | None, shown: str
) -> None:
    assert span(first, last) == shown


def test_what_joins_characters_is_printable() -> None:
    joined = "👩\u200d💻 नमस्\u200cते"
    assert printable(joined) == joined
    assert printable("\x00\x7f\x9b\u2028\u2066") == "\\x00\\x7f\\x9b\\u2028\\u2066"


# Tree


def test_a_lineage_is_shown_as_a_tree(run: Run, one: Path) -> None:
    ran = run("tree", one)
    assert (ran.code, ran.err) == (0, "")
    red = "\\x1b[31mred\\x1b[0m and new\\u202e"
    assert ran.lines == [
        "context of c",
        f"├── 0 summary s3, depth 1, 3 tokens: {MARKUP} {red}",
        "│   ├── summary s1, depth 0, 3 tokens: about m1 m2",
        f"│   │   ├── message m1, user, 15 tokens, 2026-01-31 10:00:03: {MIXED}",
        f"│   │   └── message m2, assistant, 8 tokens: {MARKUP}",
        "│   └── summary s2, depth 0, 3 tokens: about m3",
        f"│       └── message m3, toolResult, 6 tokens, 2026-01-31 10:05:59: {red}",
        "├── 1 message m4, assistant, 0 tokens, 2026-02-01 00:00:00",
        "├── 2 message m5, user, 6 tokens, yesterday, about noon: the last words",
        "└── 3 message m6, 2 tokens: typed",
        "4 items, 11 tokens as stored",
        "6 messages stored, 3 covered, 1 lost (0 pruned, 1 forgotten); 6 entries",
    ]


def node(name: str, **fields: object) -> dict[str, object]:
    """Return an item of a lineage as it is written, with what is usual."""
    usual: dict[str, object] = {
        "ordinal": None,
        "item": msgspec.to_builtins(items(name)[0]),
        "role": None,
        "depth": None,
        "time": None,
        "not_listed": 0,
        "trouble": None,
        "sources": list[object](),
    }
    return {**usual, **fields}


def test_a_lineage_is_one_document_of_nested_items(run: Run, tmp_path: Path) -> None:
    events = (
        opening(),
        taking(row("m1", "one", time="now"), row("m2", "two")),
        summing("m1", "s1"),
        summing("s1", "s2"),
    )
    file = drive(tmp_path / "small.db", events)
    ran = run("tree", file, "c", "--json")
    assert (ran.code, ran.err) == (0, "")
    m1 = node("m1", role="user", tokens=1, time="now", words="one")
    s1 = node("s1", depth=0, tokens=3, words="about m1", sources=[m1])
    s2 = node("s2", ordinal=0, depth=1, tokens=3, words="about s1", sources=[s1])
    m2 = node("m2", ordinal=1, role="user", tokens=1, words="two")
    assert ran.document["lineage"] == [s2, m2]
    assert ran.document["conversations"] == run("show", file, "--json").document["conversations"]


def test_a_tree_is_the_lineage_that_the_machine_observes(several: Path) -> None:
    for here in observed(several).ledger.lists.conversations:
        rows = context.tree(several, here.id).lineage
        assert rows is not None
        stored = {str(one.id): one.sources for one in here.summaries}
        expected = list[tuple[int, object]]()
        waiting = [(0, entry.item) for entry in reversed(here.context)]
        while waiting:
            level, item = waiting.pop()
            expected.append((level, item))
            waiting += [(level + 1, one) for one in reversed(stored.get(item.id, ()))]
        assert [(one.level, one.item) for one in rows] == expected


@pytest.mark.parametrize(
    ("depth", "ids", "not_listed"),
    [
        (0, "s3 m4 m5 m6", 2),
        (1, "s3 s1 s2 m4 m5 m6", 3),
        (2, "s3 s1 m1 m2 s2 m3 m4 m5 m6", 0),
        (3, "s3 s1 m1 m2 s2 m3 m4 m5 m6", 0),
    ],
)
def test_a_tree_ends_at_the_level_that_is_asked_for(
    run: Run, one: Path, depth: int, ids: str, not_listed: int
) -> None:
    rows = context.tree(one, levels=depth).lineage
    assert rows is not None
    assert [found.item.id for found in rows] == ids.split()
    assert sum(found.not_listed for found in rows) == not_listed
    ran = run("tree", one, "--depth", str(depth))
    assert ("sources not listed" in ran.out) == (not_listed > 0)
    assert len(ran.lines) == len(rows) + 3


def test_several_conversations_are_listed_before_a_tree_as_well(run: Run, several: Path) -> None:
    ran = run("tree", several)
    assert ran.lines[-1] == f"name one: plumbline context tree {several} CONVERSATION"
    assert run("tree", several, "--json").document["lineage"] is None


DEEP = 2_000
"""More levels than Python may call functions within functions."""


def test_a_lineage_may_be_deeper_than_a_stack_of_calls(run: Run, tmp_path: Path) -> None:
    file = drive(tmp_path / "deep.db", chain(DEEP))
    lines = run("tree", file).lines
    assert len(lines) == DEEP + 1 + 3
    assert lines[DEEP + 1].startswith(f"{DEEP} ")
    assert "└── message m1, user, 3 tokens, 2026-01-31 10:00:00: the only one" in lines[DEEP + 1]
    out = run("tree", file, "--json").out
    assert out.count('"sources":[') == out.count("]}") - 1 == DEEP + 1
    shown = context.show(file).context
    assert shown is not None
    assert [one.first_time for one in shown] == ["2026-01-31T10:00:00Z"]


# Damage

DAMAGES = {
    "cycle": ("INSERT INTO lineage VALUES ('s1', 9, NULL, 's3')",),
    "repeated": ("INSERT INTO lineage VALUES ('s2', 9, NULL, 's1')",),
    "missing": ("DELETE FROM messages WHERE message = 'm2'",),
}


@pytest.mark.parametrize("trouble", DAMAGES)
def test_a_damaged_lineage_is_said_to_be_one(run: Run, one: Path, trouble: str) -> None:
    with tampering(one) as db:
        for statement in DAMAGES[trouble]:
            db.execute(statement)
    rows = context.tree(one).lineage
    assert rows is not None
    (found,) = [row for row in rows if row.trouble is not None]
    assert found.trouble is not None
    assert found.trouble.value == trouble
    said = {"cycle": "a cycle", "repeated": "listed above", "missing": "not stored"}[trouble]
    assert len([line for line in run("tree", one).lines if said in line]) == 1
    assert run("tree", one, "--json").out.count(f'"trouble":"{trouble}"') == 1
    assert run("show", one).code == 0


def test_a_summary_that_is_its_own_source_ends_a_walk(run: Run, one: Path) -> None:
    with tampering(one) as db:
        db.execute("INSERT INTO lineage VALUES ('s3', 9, NULL, 's3')")
    assert "summary s3, depth 1, 3 tokens, 3 sources not listed, a cycle" in run("tree", one).out
    rows = context.show(one).context
    assert rows is not None
    assert rows[0].first_time == "2026-01-31T10:00:03Z"


def test_what_is_not_stored_is_shown_by_its_id(run: Run, one: Path) -> None:
    with tampering(one) as db:
        db.execute("DELETE FROM summaries WHERE summary = 's3'")
    assert run("show", one).lines[2].split() == [
        *("0", "summary", "2026-01-31", "10:00:03", "to", "10:05:59", "s3"),
    ]
    tree = run("tree", one).lines
    assert tree[1] == "├── 0 summary s3, not stored"
    assert tree[2].startswith("│   ├── summary s1")


def test_a_text_that_is_not_utf_8_is_shown_escaped(run: Run, one: Path) -> None:
    with tampering(one) as db:
        db.execute("UPDATE messages SET text = CAST(x'ff4100' AS TEXT) WHERE message = 'm4'")
        db.execute("UPDATE entries SET role = CAST(x'fe' AS TEXT) WHERE message = 'm6'")
    assert "\\\\xffA\\x00" not in run("show", one).out
    assert "\\xffA\\x00" in run("show", one).out
    assert "\\xffA\\x00" in run("tree", one).out


def test_a_page_that_is_damaged_ends_with_a_reason(run: Run, one: Path) -> None:
    db = apsw.Connection(str(one))
    root = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'context'").get
    size = db.pragma("page_size")
    db.close()
    assert isinstance(root, int)
    assert isinstance(size, int)
    content = bytearray(one.read_bytes())
    content[(root - 1) * size : root * size] = b"\xff" * size
    one.write_bytes(content)
    for command in ("show", "tree"):
        ran = run(command, one)
        assert (ran.code, ran.out) == (4, "")
        assert "cannot be read to its end" in ran.err
    ran = run("rollback", one, "c", "s3")
    assert (ran.code, ran.out) == (4, "")
    assert "could not be written" in ran.err


# What it costs


@pytest.mark.parametrize("count", [5, 5_000])
def test_the_statements_of_a_context_do_not_grow_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Tables, version, totals, rows before, rows; and where to begin if there is a limit."""
    file = drive(tmp_path / "many.db", many(count))
    with counted(monkeypatch) as ran:
        rows = context.show(file).context
    assert rows is not None
    assert (len(rows), len(ran)) == (count + 10, 6)
    with counted(monkeypatch) as ran:
        assert context.show(file, limit=3).context == rows[-3:]
    assert len(ran) == 7


@pytest.mark.parametrize("count", [5, 5_000])
def test_a_tree_runs_a_statement_for_each_summary_that_it_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    file = drive(tmp_path / "many.db", many(count))
    with counted(monkeypatch) as ran:
        rows = context.tree(file).lineage
    assert rows is not None
    assert (len(rows), len(ran)) == (count + 110, 5 + 10)
    with counted(monkeypatch) as ran:
        context.tree(file, levels=0)
    assert len(ran) == 5


def plan(file: Path, sql: str) -> Generator[str]:
    """Yield each step of how SQLite runs a query."""
    db = apsw.Connection(str(file))
    found = apsw.ext.query_info(db, sql, explain_query_plan=True).query_plan
    db.close()
    waiting = [found]
    while waiting:
        step = waiting.pop()
        if step is not None:
            yield step.detail
            waiting += step.sub or []


def test_no_query_reads_a_table_from_end_to_end(
    several: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with counted(monkeypatch) as ran:
        context.show(several, LONG_ID, 2)
        context.tree(several, LONG_ID)
    steps = [
        step for sql in ran if sql.lstrip().startswith("SELECT") for step in plan(several, sql)
    ]
    assert len([step for step in steps if step.startswith("SEARCH")]) > 20
    scanned = {step for step in steps if step.startswith("SCAN")}
    assert scanned == {"SCAN below", "SCAN CONSTANT ROW", "SCAN sqlite_schema"}


def test_no_temporary_file_is_made_for_a_long_span(tmp_path: Path, run: Run) -> None:
    folder, count = tmp_path / "folder", 30_000
    folder.mkdir()
    rows = (row(f"a message that has a long name {number}", "x") for number in range(count))
    brought = taking(*rows)
    summed = Replace(
        conversation=ConversationId("c"),
        summary=SummaryId("s"),
        text="all",
        items=tuple(MessageItem(id=one.message) for one in brought.rows),
    )
    file = drive(folder / "long.db", (opening(), brought, summed))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with refusing(scratch) as vfs:
        assert run("show", file).code == 0
    assert vfs.refused == []


# Rollback


def test_a_rollback_prints_what_came_back_and_the_totals(run: Run, one: Path) -> None:
    ran = run("rollback", one, "c", "s3")
    assert (ran.code, ran.err) == (0, "")
    assert ran.lines == [
        "restored by the rollback of s3",
        "ordinal kind    depth tokens time (UTC)          id first words",
        "      0 summary     0      3 2026-01-31 10:00:03 s1 about m1 m2",
        "      1 summary     0      3 2026-01-31 10:05:59 s2 about m3",
        "rolled back: from 4 items, 11 tokens to 5 items, 14 tokens",
    ]
    assert run("rollback", one, "c", "s3").code == 3


def test_a_rollback_is_one_document(run: Run, one: Path) -> None:
    ran = run("rollback", one, "c", "s3", "--json")
    assert (ran.code, ran.err) == (0, "")
    restored = {"role": None, "depth": 0, "tokens": 3}
    assert ran.document == {
        "file": str(one),
        "conversation": "c",
        "summary": "s3",
        "refused": None,
        "because": None,
        "restored": [
            {
                **restored,
                "ordinal": 0,
                "item": {"kind": "summary", "id": "s1"},
                "first_time": "2026-01-31T10:00:03Z",
                "last_time": "2026-01-31T10:00:03Z",
                "words": "about m1 m2",
            },
            {
                **restored,
                "ordinal": 1,
                "item": {"kind": "summary", "id": "s2"},
                "first_time": "2026-01-31T12:05:59.250+02:00",
                "last_time": "2026-01-31T12:05:59.250+02:00",
                "words": "about m3",
            },
        ],
        "before": {"items": 4, "tokens": 11},
        "after": {"items": 5, "tokens": 14},
    }


def test_a_rollback_leaves_what_there_was_before_the_summary(tmp_path: Path) -> None:
    before = observed(drive(tmp_path / "before.db", SEVERAL))
    summed = drive(tmp_path / "after.db", (*SEVERAL, summing("m4 m5", "s4")))
    assert observed(summed) != before
    report = context.roll_back(summed, "c", "s4")
    assert [(one.ordinal, one.item.id) for one in report.restored] == [(1, "m4"), (2, "m5")]
    assert observed(summed) == before


REFUSED: dict[str, tuple[str, str, str, str]] = {
    "no such conversation": ("nowhere", "s3", "unknown_conversation", "no conversation nowhere"),
    "no such summary": ("c", "s9", "unknown_item", "there is no summary s9"),
    "a message": ("c", "m4", "unknown_item", "there is no summary m4"),
    "nothing": ("c", "", "unknown_item", "there is no summary"),
    "a covered summary": ("c", "s1", "not_in_context", "s3 covers s1; roll it back first"),
    "a pruned summary": ("p", "sp", "not_in_context", "it was pruned"),
    "another conversation's": ("p", "s3", "foreign_item", "belongs to another conversation"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_refused_rollback_says_why_and_changes_nothing(
    run: Run, several: Path, what: str
) -> None:
    conversation, summary, reason, because = REFUSED[what]
    before = everything(several.parent)
    ran = run("rollback", several, conversation, summary)
    assert (ran.code, ran.err) == (3, "")
    assert ran.lines[0].startswith(f"refused: {reason}: ")
    assert because in ran.out
    assert len(ran.lines) == 1
    told = run("rollback", several, conversation, summary, "--json")
    assert told.code == 3
    document = told.document
    assert (document["refused"], document["restored"]) == (reason, [])
    assert document["before"] == document["after"]
    assert (document["before"] is None) == (reason == "unknown_conversation")
    assert everything(several.parent) == before


def test_a_rollback_is_done_in_a_database_beside_its_log(run: Run, tmp_path: Path) -> None:
    file = drive(tmp_path / "open.db", ONE[:2])
    db = open_database(str(file))
    for event in ONE[2:]:
        answered(db, None, event, PROGRAM.apply, PROGRAM.decode_outcome)
    copy = tmp_path / "copy.db"
    for suffix in ("", "-wal"):
        shutil.copyfile(f"{file}{suffix}", f"{copy}{suffix}")
    db.close()
    assert run("rollback", copy, "c", "s3").code == 0
    rows = context.show(copy).context
    assert rows is not None
    assert [found.item.id for found in rows] == ["s1", "s2", "m4", "m5", "m6"]


def unusable(folder: Path) -> dict[str, Path]:
    """Make files that are no Plumbline databases."""
    empty, text, other = (folder / name for name in ("empty.db", "text.db", "other.db"))
    empty.touch()
    text.write_text("Dear diary, " * 500)
    db = apsw.Connection(str(other))
    db.execute("CREATE TABLE notes (text)")
    db.close()
    void = folder / "void.db"
    db = apsw.Connection(str(void))
    db.execute("PRAGMA user_version = 7")
    db.close()
    left = folder / "left.db"
    Path(f"{left}-wal").write_bytes(b"a log without its database")
    newer = drive(folder / "newer.db", ONE, (*MIGRATIONS, "CREATE TABLE more (x INTEGER) STRICT"))
    return {
        "there is no file": folder / "typo.db",
        "there is no file ": left,
        "is a folder": folder,
        "is empty": empty,
        "is empty; ": void,
        "is not a Plumbline database": text,
        "not Plumbline's": other,
        "install a newer Plumbline": newer,
    }


@pytest.mark.parametrize("command", ["show", "tree", "rollback"])
def test_what_is_no_database_is_left_as_it_was_and_none_is_made(
    run: Run, tmp_path: Path, command: str
) -> None:
    files = unusable(tmp_path)
    before = everything(tmp_path)
    for reason, file in files.items():
        ran = run(command, file, "c", *(["s3"] if command == "rollback" else []))
        assert (ran.code, ran.out) == (2, "")
        assert reason in ran.err
    assert everything(tmp_path) == before


def test_a_name_that_no_database_can_hold_is_unusable(run: Run, one: Path) -> None:
    for call in (
        ("show", one, "\udcff"),
        ("tree", one, "\udcff"),
        ("rollback", one, "c", "\udcff"),
    ):
        ran = run(*call)
        assert (ran.code, ran.out) == (2, "")
        assert "'\\udcff' is not a name" in ran.err


def test_a_conversation_that_is_not_there_is_unusable(run: Run, one: Path) -> None:
    for command in ("show", "tree"):
        ran = run(command, one, "see")
        assert (ran.code, ran.out) == (2, "")
        assert "has no conversation 'see'" in ran.err


@pytest.mark.parametrize(
    "call",
    [
        ("show",),
        ("show", "{one}", "--limit", "0"),
        ("tree", "{one}", "--depth", "-1"),
        ("rollback", "{one}", "c"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_told(run: Run, one: Path, call: tuple[str, ...]) -> None:
    ran = run(*(str(one) if word == "{one}" else word for word in call))
    assert (ran.code, ran.out) == (2, "")
    assert "Usage: plumbline context" in ran.err


def test_a_rollback_of_a_busy_database_did_nothing(
    run: Run, one: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plumbline.database.BUSY_TIMEOUT_MS", 1)
    other = apsw.Connection(str(one))
    other.execute("BEGIN IMMEDIATE")
    ran = run("rollback", one, "c", "s3")
    other.execute("ROLLBACK")
    other.close()
    assert (ran.code, ran.out) == (4, "")
    assert run("rollback", one, "c", "s3").code == 0


@pytest.mark.parametrize(
    "error", [apsw.ReadOnlyError("read-only"), SettingNotKept("journal_mode", "wal", "delete")]
)
def test_a_rollback_that_cannot_be_written_did_not_finish(
    run: Run, one: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refused(_path: str, *, create: bool) -> apsw.Connection:
        assert not create
        raise error

    before = everything(one.parent)
    monkeypatch.setattr("plumbline.context.open_database", refused)
    ran = run("rollback", one, "c", "s3", "--json")
    assert (ran.code, ran.out) == (4, "")
    assert "could not be written" in ran.err
    assert everything(one.parent) == before


def test_a_rollback_that_a_constraint_stops_is_taken_back(run: Run, one: Path) -> None:
    """The position of a source is taken, as it can be in a damaged database alone."""
    with tampering(one) as db:
        db.execute("UPDATE context SET position = 3 WHERE message = 'm4'")
    before = context.show(one)
    ran = run("rollback", one, "c", "s3")
    assert (ran.code, ran.out) == (4, "")
    assert "could not be written" in ran.err
    assert context.show(one) == before


# Earlier versions


def earlier(file: Path, version: int) -> Path:
    """Return a database of an earlier version with a context of two items."""
    db = open_database(str(file), MIGRATIONS[:version])
    db.execute(
        "INSERT INTO conversations (conversation, next_sequence, items) VALUES ('c', 3, 2);"
        "INSERT INTO messages (message, conversation, sequence, text)"
        " VALUES ('m1', 'c', 1, 'one'), ('m2', 'c', 2, 'two');"
        "INSERT INTO summaries (summary, conversation, depth, text) VALUES ('s1', 'c', 0, 'sum');"
        "INSERT INTO lineage VALUES ('s1', 1, 'm1', NULL);"
        "INSERT INTO context VALUES ('c', 1, NULL, 's1'), ('c', 2, 'm2', NULL)"
    )
    db.close()
    return file


@pytest.mark.parametrize("version", [2, 3, 4])
def test_an_earlier_version_is_shown_without_what_it_does_not_have(
    run: Run, tmp_path: Path, version: int
) -> None:
    file = earlier(tmp_path / "earlier.db", version)
    before = everything(tmp_path)
    tokens = "unknown" if version == 2 else "0"
    assert run("show", file).lines[1:] == [
        "ordinal kind    depth id first words",
        "      0 summary     0 s1 sum",
        "      1 message       m2 two",
        f"2 items, {tokens} tokens as stored",
        "2 messages stored, 1 covered, 0 lost; 0 entries",
    ]
    assert run("tree", file).lines[1:4] == [
        "├── 0 summary s1, depth 0: sum",
        "│   └── message m1: one",
        "└── 1 message m2: two",
    ]
    assert everything(tmp_path) == before
    assert run("rollback", file, "c", "s1").code == 0
    assert [row.item.id for row in context.show(file).context or ()] == ["m1", "m2"]


def test_a_version_without_contexts_is_unusable(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "first.db"
    open_database(str(file), MIGRATIONS[:1]).close()
    for command in ("show", "tree"):
        ran = run(command, file)
        assert (ran.code, ran.out) == (2, "")
        assert "has version 1, which holds no context" in ran.err
