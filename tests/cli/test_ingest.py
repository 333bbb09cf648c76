"""Ingest: what a transcript leaves in a database, the same again, and files that are refused."""

import json
from collections.abc import Callable
from pathlib import Path

import apsw
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plumbline import ingest as storing
from plumbline import intake as sqlite_intake
from plumbline.command import cli, guarded
from plumbline.database import open_database
from plumbline.ingest import Ingested, ingest
from plumbline.transcript import Transcript
from plumbline_models import intake
from plumbline_models.contract import StateClause
from plumbline_models.intake import Standing, Take
from plumbline_models.ordinals import ConversationId, MessageItem
from plumbline_models.ordinals.queries import find
from plumbline_spec.codec import canonical
from plumbline_spec.errors import UnusableInput
from tests.plans import ROOT

SMALL = ROOT / "tests" / "data" / "small-session.jsonl"
SESSION = "seed-packets"
FIELDS = ("files", "entries", "messages", "added", "already", "tokens", "seconds", "failures")


def quiet(file: str, said: str) -> None:
    """Follow an ingest without a word."""
    del file, said


def stored(database: Path) -> intake.State:
    """Return the abstract state of a database, every state clause of which holds."""
    db = open_database(str(database))
    try:
        state = sqlite_intake.observe(db)
    finally:
        db.close()
    for clause in intake.machine().clauses:
        if isinstance(clause, StateClause):
            assert clause.breaks(state) is None, clause.id
    return state


def lines_of(file: Path) -> list[str]:
    return file.read_text().splitlines()


def written(file: Path, lines: list[str]) -> Path:
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


def changed(line: str, change: Callable[[dict[str, object]], None]) -> str:
    """Return a line of which something was changed."""
    fields = json.loads(line)
    change(fields)
    return json.dumps(fields, ensure_ascii=False)


def entry(own: str, parent: str | None, text: str) -> str:
    """Return a line with a message of a user."""
    message = {"role": "user", "content": text}
    fields = {"type": "message", "id": own, "parentId": parent, "message": message}
    return json.dumps(fields, ensure_ascii=False)


HEADER = json.dumps({"type": "session", "id": "s"})


def without_ids(*texts: str) -> list[str]:
    """Return the lines of a transcript in the older form."""
    messages = ({"role": "user", "content": text} for text in texts)
    return [HEADER, *(json.dumps({"type": "message", "message": one}) for one in messages)]


def test_the_small_transcript_is_stored_whole(tmp_path: Path) -> None:
    database = tmp_path / "x.db"
    found = ingest(str(database), [SMALL], quiet)
    transcript = Transcript(SMALL)
    survey = transcript.survey()
    assert (found.files, found.failures) == (1, ())
    assert (found.entries, found.added, found.already) == (survey.entries, survey.entries, 0)
    assert found.messages == survey.messages
    state = stored(database)
    (log,) = state.logs
    (ledger,) = state.ledger.ledgers
    assert found.tokens == ledger.total > 0
    at = find(state.ledger.lists, ConversationId(SESSION))
    assert at is not None
    texts = {one.id: one.text for one in at.messages}
    entries = list(transcript.entries())
    assert len(log.entries) == len(entries)
    for one, read in zip(log.entries, entries, strict=True):
        text = one.text if one.message is None else texts[one.message]
        assert (one.entry, one.standing, one.digest) == (read.entry, read.standing, read.digest)
        assert (one.role, one.time, text) == (read.role, read.time, read.text)
        assert one.parts == read.parts


def test_the_branch_of_the_leaf_is_placed_and_the_rest_is_not(tmp_path: Path) -> None:
    """INT-7."""
    ingest(str(tmp_path / "x.db"), [SMALL], quiet)
    state = stored(tmp_path / "x.db")
    (log,) = state.logs
    at = find(state.ledger.lists, ConversationId(SESSION))
    assert at is not None
    placed = [one.message for one in log.entries if one.standing is Standing.PLACED]
    assert [item.item for item in at.context] == [
        MessageItem(id=one) for one in placed if one is not None
    ]
    assert {one.standing for one in log.entries} == set(Standing)


def test_the_same_file_again_adds_nothing(tmp_path: Path) -> None:
    """INT-8."""
    database = tmp_path / "x.db"
    first = ingest(str(database), [SMALL], quiet)
    before = canonical(stored(database))
    again = ingest(str(database), [SMALL], quiet)
    assert (again.added, again.already, again.tokens) == (0, first.added, first.tokens)
    assert canonical(stored(database)) == before


@pytest.mark.parametrize("ids", [True, False])
def test_a_grown_file_adds_its_tail(tmp_path: Path, ids: bool) -> None:  # noqa: FBT001 - a case
    """INT-21; equal texts on two lines are two messages."""
    database, file = tmp_path / "x.db", tmp_path / "t.jsonl"
    texts = ("ok", "ok", "", "漢字 😀", "ok")
    parents = [None, *(f"e{number}" for number in range(len(texts)))]
    named = [entry(f"e{at}", parents[at], text) for at, text in enumerate(texts)]
    lines = [HEADER, *named] if ids else without_ids(*texts)
    for reached in range(2, len(lines) + 1):
        found = ingest(str(database), [written(file, lines[:reached])], quiet)
        assert (found.failures, found.already) == ((), reached - 1 if reached > 2 else 0)
    state = stored(database)
    assert [one.text for one in state.ledger.lists.conversations[0].messages] == list(texts)


@pytest.mark.parametrize("ids", [True, False])
def test_a_changed_line_refuses_the_file_with_its_number(tmp_path: Path, ids: bool) -> None:  # noqa: FBT001 - a case
    """INT-11; the first line that differs is named, and nothing of the file is stored."""
    database, file = tmp_path / "x.db", tmp_path / "t.jsonl"
    lines = [HEADER, entry("a", None, "one"), entry("b", "a", "two"), entry("c", "b", "three")]
    if not ids:
        lines = without_ids("one", "two", "three")
    ingest(str(database), [written(file, lines)], quiet)
    before = canonical(stored(database))
    other = [lines[0], lines[1], lines[2].replace("two", "2"), lines[3].replace("three", "3")]
    grown = entry("d", "c", "four") if ids else without_ids("four")[1]
    found = ingest(str(database), [written(file, [*other, grown])], quiet)
    (failure,) = found.failures
    assert (failure.line, failure.verdict) == (3, "refused")
    assert failure.reason.startswith("changed_row")
    assert canonical(stored(database)) == before


def test_a_leaf_that_left_the_branch_is_refused_at_the_fork(tmp_path: Path) -> None:
    """INT-13."""
    database, file = tmp_path / "x.db", tmp_path / "t.jsonl"
    lines = [HEADER, entry("a", None, "one"), entry("b", "a", "two"), entry("c", "b", "three")]
    ingest(str(database), [written(file, lines)], quiet)
    before = canonical(stored(database))
    found = ingest(str(database), [written(file, [*lines, entry("d", "a", "else")])], quiet)
    (failure,) = found.failures
    assert (failure.line, failure.verdict) == (3, "refused")
    assert failure.reason.startswith("forked at entry a")
    assert canonical(stored(database)) == before


def test_a_side_branch_beside_the_leaf_is_stored_aside(tmp_path: Path) -> None:
    database, file = tmp_path / "x.db", tmp_path / "t.jsonl"
    lines = [HEADER, entry("a", None, "one"), entry("b", "a", "two")]
    ingest(str(database), [written(file, lines)], quiet)
    more = [entry("x", "a", "aside"), entry("c", "b", "three")]
    found = ingest(str(database), [written(file, [*lines, *more])], quiet)
    assert (found.failures, found.added) == ((), 2)
    (log,) = stored(database).logs
    standings = {str(one.entry): one.standing for one in log.entries}
    assert standings["x"] is Standing.ASIDE
    assert standings["c"] is Standing.PLACED


@pytest.mark.parametrize("bad", ["{", "[]", '{"type": "message"}', '{"type":"message","id":""}'])
def test_a_malformed_line_anywhere_leaves_nothing_of_the_file(tmp_path: Path, bad: str) -> None:
    database, file = tmp_path / "x.db", tmp_path / "t.jsonl"
    lines = [*without_ids(*("text" for _ in range(600))), bad]
    found = ingest(str(database), [written(file, lines), SMALL], quiet)
    (failure,) = found.failures
    assert (failure.line, failure.verdict) == (602, "unusable")
    assert found.files == 1
    assert [one.conversation for one in stored(database).logs] == [SESSION]


def test_batches_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However entries are cut into events, the same is stored."""
    whole, cut = tmp_path / "whole.db", tmp_path / "cut.db"
    ingest(str(whole), [SMALL], quiet)
    monkeypatch.setattr(storing, "BATCH_ROWS", 3)
    ingest(str(cut), [SMALL], quiet)
    assert canonical(stored(cut)) == canonical(stored(whole))


def test_a_refusal_in_a_later_batch_takes_the_file_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is one transaction, however many events it takes."""
    database, file = tmp_path / "x.db", tmp_path / "t.jsonl"
    lines = without_ids(*(f"text {number}" for number in range(20)))
    ingest(str(database), [written(file, lines)], quiet)
    before = canonical(stored(database))
    monkeypatch.setattr(storing, "BATCH_ROWS", 4)
    lines[-1] = lines[-1].replace("text", "other")
    found = ingest(str(database), [written(file, [*lines, lines[1]])], quiet)
    assert found.failures[0].line == len(lines)
    assert canonical(stored(database)) == before


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    texts=st.lists(st.sampled_from(("ok", "", "漢", "long " * 40)), min_size=1, max_size=9),
    ends=st.lists(st.integers(1, 9), max_size=5),
    ids=st.booleans(),
)
def test_however_a_file_grows_each_line_is_stored_once(
    tmp_path: Path,
    texts: list[str],
    ends: list[int],
    ids: bool,  # noqa: FBT001 - drawn
) -> None:
    """INT-1, INT-5: prefixes in any order, shorter snapshots included, then all of it twice."""
    database, file = tmp_path / "x.db", tmp_path / "t.jsonl"
    database.unlink(missing_ok=True)
    lines = without_ids(*texts)
    if ids:
        parents = [None, *(f"e{number}" for number in range(len(texts)))]
        lines = [HEADER, *(entry(f"e{at}", parents[at], text) for at, text in enumerate(texts))]
    for end in (*ends, len(lines), len(lines)):
        found = ingest(str(database), [written(file, lines[: max(2, end)])], quiet)
        assert found.failures == ()
    (log,) = stored(database).logs
    assert len(log.entries) == len(lines)
    messages = stored(database).ledger.lists.conversations[0].messages
    assert [one.text for one in messages] == texts


def test_the_command_reports_one_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = tmp_path / "x.db"
    assert guarded(cli, ["ingest", str(SMALL), "--db", str(database), "--json"]) == 0
    out, _ = capsys.readouterr()
    found = msgspec.json.decode(out.encode(), type=Ingested)
    assert tuple(json.loads(out)) == FIELDS
    assert found.added == found.entries


@pytest.mark.parametrize(("line", "code"), [(entry("a", None, "2"), 3), ("{", 2)])
def test_exit_codes_tell_what_was_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, code: int
) -> None:
    database, file = tmp_path / "x.db", tmp_path / "t.jsonl"
    written(file, [HEADER, entry("a", None, "1")])
    assert guarded(cli, ["ingest", str(file), "--db", str(database)]) == 0
    written(file, [HEADER, line])
    assert guarded(cli, ["ingest", str(file), "--db", str(database)]) == code
    _, err = capsys.readouterr()
    assert f"nothing stored of {file}, line 2" in err


def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    database = tmp_path / "other.db"
    other = apsw.Connection(str(database))
    other.execute("CREATE TABLE t (x)")
    other.close()
    before = database.read_bytes()
    assert guarded(cli, ["ingest", str(SMALL), "--db", str(database)]) == 2
    assert database.read_bytes() == before


ROWS = (entry("a", None, "one"), entry("b", "a", "two"), entry("c", "b", "three"))
NEW_FORM = [HEADER, *ROWS]
OLD_FORM = without_ids("one", "two", "three")
REWRITTEN = {
    "a line is inserted": ([*NEW_FORM[:2], entry("x", "a", "new"), *NEW_FORM[2:]], 3),
    "a line is inserted at the front": ([HEADER, entry("x", None, "new"), *ROWS], 2),
    "a line is removed": ([HEADER, ROWS[0], entry("c", "a", "three")], 3),
    "lines change places": ([HEADER, entry("b", None, "two"), entry("a", "b", "one")], 2),
    "an id is changed": ([HEADER, ROWS[0], entry("y", "a", "two"), entry("c", "y", "three")], 3),
    "an old line is inserted": ([*OLD_FORM[:2], *without_ids("new")[1:], *OLD_FORM[2:]], 3),
    "an old line is removed": ([*OLD_FORM[:2], OLD_FORM[3]], 3),
}


@pytest.mark.parametrize("what", REWRITTEN)
def test_a_file_that_was_rewritten_is_refused_at_the_first_line(tmp_path: Path, what: str) -> None:
    """INT-11, INT-13: a row keeps its place, and the line that has another is named."""
    database, file = tmp_path / "x.db", tmp_path / "t.jsonl"
    lines, line = REWRITTEN[what]
    ingest(str(database), [written(file, OLD_FORM if "old" in what else NEW_FORM)], quiet)
    before = canonical(stored(database))
    (failure,) = ingest(str(database), [written(file, lines)], quiet).failures
    assert (failure.line, failure.verdict) == (line, "refused")
    assert canonical(stored(database)) == before


def test_a_second_root_is_a_fork(tmp_path: Path) -> None:
    database, file = tmp_path / "x.db", tmp_path / "t.jsonl"
    ingest(str(database), [written(file, NEW_FORM)], quiet)
    lines = [*NEW_FORM, entry("z", None, "from the beginning")]
    (failure,) = ingest(str(database), [written(file, lines)], quiet).failures
    assert failure.reason.startswith("forked at a new root")


def test_a_shorter_file_adds_nothing_and_takes_nothing_away(tmp_path: Path) -> None:
    """INT-22."""
    database, file = tmp_path / "x.db", tmp_path / "t.jsonl"
    ingest(str(database), [written(file, NEW_FORM)], quiet)
    before = canonical(stored(database))
    found = ingest(str(database), [written(file, NEW_FORM[:3])], quiet)
    assert (found.failures, found.added) == ((), 0)
    assert canonical(stored(database)) == before


def test_a_file_that_does_not_exist_makes_no_database(tmp_path: Path) -> None:
    database = tmp_path / "x.db"
    (failure,) = ingest(str(database), [tmp_path / "nothing.jsonl"], quiet).failures
    assert failure.verdict == "unusable"
    assert not database.exists()


@pytest.mark.parametrize("name", ["", ":memory:"])
def test_a_database_that_would_not_be_kept_is_refused(name: str) -> None:
    with pytest.raises(UnusableInput, match="names no file"):
        ingest(name, [SMALL], quiet)


def test_a_database_that_fails_half_way_is_reported_with_what_was_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first file is stored, the second is not, and there is one report of both."""
    database, file = tmp_path / "x.db", written(tmp_path / "t.jsonl", NEW_FORM)
    right = sqlite_intake.apply

    def failing(db: apsw.Connection, event: intake.Event) -> intake.Outcome:
        if isinstance(event, Take) and event.conversation == "s":
            raise apsw.FullError("database or disk is full")
        return right(db, event)

    monkeypatch.setattr("plumbline.ingest.apply", failing)
    found = ingest(str(database), [SMALL, file, SMALL], quiet)
    assert (found.files, [one.verdict for one in found.failures]) == (1, ["unfinished"])
    assert [one.conversation for one in stored(database).logs] == [SESSION]


def test_a_path_that_is_not_unicode_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    code = guarded(cli, ["ingest", "\udcff.jsonl", "--db", "x.db", "--json"])
    assert code == 2
    capsys.readouterr()
