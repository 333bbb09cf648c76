"""Anchoring over plain files: held to the model, in memory and in a folder; planted bugs."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from plumbline import anchoring_steps as steps
from plumbline.anchoring_steps import (
    FolderStore,
    MemoryStore,
    Store,
    compute,
    extend,
    publish,
)
from plumbline.registry import anchoring_steps_case
from plumbline.steps_host import StepsHost
from plumbline_models import anchoring_steps
from plumbline_models.anchoring import OutcomeId, Position
from plumbline_models.anchoring_steps import (
    Begun,
    Live,
    Manifest,
    ProcessId,
    Record,
    Row,
    Torn,
    Way,
)
from plumbline_models.decisions.statistics import fold
from plumbline_spec.clause_table import silent
from plumbline_spec.codec import canonical
from plumbline_spec.descend import descend
from plumbline_spec.engines import run_descend, run_lockstep
from plumbline_spec.errors import RequestReused
from plumbline_spec.explore import explore
from plumbline_spec.host import RequestId
from plumbline_spec.report import EngineReport, Verdict
from tests.plans import PLAN

Engine = Callable[..., EngineReport]
CASE = anchoring_steps_case()
LONG = replace(PLAN, profile=replace(PLAN.profile, examples=150))
RECORDERS = 4
OUTCOMES_EACH = 12


def row(number: int) -> Row:
    return Row(outcome=OutcomeId(f"o{number}"), reward=number)


@pytest.fixture(params=["memory", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else FolderStore(tmp_path)


def log(store: Store, number: int) -> bool:
    """Take all steps of a recorder; return whether the live delta counts the outcome."""
    position = steps.append(store, row(number))
    return steps.extend(store, steps.read_live(store), row(number), position)


def refresh(store: Store) -> Way | None:
    """Take all steps of a refresher; return what it did, None when it was superseded."""
    seen, live = steps.read_manifest(store), steps.read_live(store)
    made = steps.compute(store, seen, live)
    published = steps.publish(store, seen, made)
    if published is None:
        return None
    steps.reset(store, published)
    return published.way


def test_every_transition_of_small_scopes_is_the_same_over_files() -> None:
    for scope in CASE.scopes["quick"].descend:
        found = descend(CASE.machine, scope, CASE.host)
        usual = explore(CASE.machine, scope, fingerprint=True)
        assert found is not None
        assert found.failure is None
        assert (found.states, found.fingerprint) == (usual.states, usual.fingerprint)


def test_outcomes_are_logged_and_published_without_interference(store: Store) -> None:
    assert not log(store, 1)
    assert refresh(store) is Way.FULL_REBUILD
    assert log(store, 2)
    assert refresh(store) is Way.DELTA_MERGE
    assert refresh(store) is Way.DELTA_MERGE
    manifest = steps.read_manifest(store)
    assert manifest is not None
    assert (manifest.id, manifest.watermark, manifest.statistics) == (3, 2, fold([1, 2]))


def test_what_needs_the_lock_is_not_written_without_it(store: Store) -> None:
    with pytest.raises(RuntimeError, match="is used without the lock"):
        store.append(steps.LOG, canonical(row(1)))
    with pytest.raises(RuntimeError, match="is used without the lock"):
        store.write(steps.MANIFEST, b"{}")
    assert (store.read(steps.LOG), store.read(steps.MANIFEST)) == (None, None)
    with pytest.raises(RuntimeError, match="is used without the lock"):
        steps.read_epoch(store)
    with store.locked():
        store.append(steps.LOG, canonical(row(1)))
    with pytest.raises(RuntimeError):
        store.append(steps.LOG, canonical(row(2)))


def test_a_line_that_was_written_half_is_none_and_is_cut_off(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    log(store, 1)
    whole = store.read(steps.LOG)
    assert whole is not None
    (tmp_path / steps.LOG).write_bytes(whole + canonical(row(2))[:9])
    assert steps.read_log(store) == (row(1),)
    log(store, 3)
    assert steps.read_log(store) == (row(1), row(3))


def test_an_outcome_is_logged_once_however_often_it_is_handed(store: Store) -> None:
    """Whoever was killed before it knew asks again, and counts it if nobody did."""
    assert log(store, 1) is False
    refresh(store)
    position = steps.append(store, row(2))
    assert log(store, 2)
    assert (position, len(steps.read_log(store))) == (2, 2)
    assert refresh(store) is Way.DELTA_MERGE
    with pytest.raises(ValueError, match="another outcome is logged under the id 'o2'"):
        steps.append(store, replace(row(2), reward=7))
    assert len(steps.read_log(store)) == 2


def test_a_delta_that_counts_other_outcomes_than_it_covers_is_torn(store: Store) -> None:
    log(store, 1)
    refresh(store)
    log(store, 2)
    live = steps.read_live(store)
    assert isinstance(live, Live)
    store.write(steps.LIVE, canonical(replace(live, statistics=fold([]))))
    assert steps.read_live(store) == Torn()
    assert refresh(store) is Way.FULL_REBUILD


def test_an_epoch_that_was_lost_does_not_come_back(store: Store) -> None:
    log(store, 1)
    assert steps.rewrite(store, (row(5),)) == 2
    refresh(store)
    if isinstance(store, FolderStore):
        (store.folder / steps.EPOCH).unlink()
    else:
        assert isinstance(store, MemoryStore)
        del store.files[steps.EPOCH]
    assert steps.rewrite(store, (row(6),)) == 3
    assert refresh(store) is Way.FULL_REBUILD


BAD_DELTAS = (b"", b"{", b'{"kind":"live"}', b"null", b"\xff", b'{"kind":"\xff"}')


@pytest.mark.parametrize("content", BAD_DELTAS)
def test_a_live_delta_that_is_none_costs_a_rebuild(store: Store, content: bytes) -> None:
    log(store, 1)
    refresh(store)
    store.write(steps.LIVE, content)
    assert steps.read_live(store) == Torn()
    assert not log(store, 2)
    assert refresh(store) is Way.FULL_REBUILD
    assert isinstance(steps.read_live(store), Live)


def test_a_rewriting_that_ends_in_the_middle_costs_a_rebuild(store: Store) -> None:
    """The epoch is there before the rows are."""
    log(store, 1)
    refresh(store)
    with store.locked():
        store.write(steps.EPOCH, canonical(2))
    assert refresh(store) is Way.FULL_REBUILD
    assert steps.rewrite(store, (row(5),)) == 3
    assert refresh(store) is Way.FULL_REBUILD


def test_a_link_in_the_place_of_the_log_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"")
    (tmp_path / steps.LOG).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        log(FolderStore(tmp_path), 1)
    assert (tmp_path / "elsewhere").read_bytes() == b""


def _recording(task: tuple[str, int]) -> None:
    """Log outcomes beside others."""
    folder, first = task
    for number in range(first, first + OUTCOMES_EACH):
        log(FolderStore(Path(folder)), number)


def test_processes_that_log_at_once_lose_nothing(tmp_path: Path) -> None:
    """ANS-1: an append looks where the log ends and writes there, and nobody comes between."""
    tasks = [(str(tmp_path), OUTCOMES_EACH * one) for one in range(RECORDERS)]
    with multiprocessing.get_context("spawn").Pool(RECORDERS) as pool:
        pool.map(_recording, tasks)
    store = FolderStore(tmp_path)
    logged = {one.outcome for one in steps.read_log(store)}
    assert len(logged) == len(steps.read_log(store)) == RECORDERS * OUTCOMES_EACH
    assert refresh(store) is Way.FULL_REBUILD
    manifest = steps.read_manifest(store)
    assert manifest is not None
    assert manifest.statistics == fold(range(RECORDERS * OUTCOMES_EACH))


def _refreshing(folder: str) -> int:
    """Refresh again and again beside others; return how often it was superseded."""
    return sum(refresh(FolderStore(Path(folder))) is None for _ in range(OUTCOMES_EACH))


def test_processes_that_publish_at_once_swap_one_manifest(tmp_path: Path) -> None:
    """ANS-6, ANS-7: as many snapshots as were not superseded."""
    for number in range(1, OUTCOMES_EACH):
        log(FolderStore(tmp_path), number)
    with multiprocessing.get_context("spawn").Pool(RECORDERS) as pool:
        superseded = pool.map(_refreshing, [str(tmp_path)] * RECORDERS)
    manifest = steps.read_manifest(FolderStore(tmp_path))
    assert manifest is not None
    assert manifest.id == RECORDERS * OUTCOMES_EACH - sum(superseded)
    assert manifest.statistics == fold(range(1, OUTCOMES_EACH))


def test_an_event_that_is_asked_again_is_done_once() -> None:
    """ENV-2."""
    host = StepsHost()
    begin = Record(process=ProcessId("w"), outcome=OutcomeId("o1"), reward=1)
    for _ in range(2):
        assert host.step(begin, RequestId("r")) == Begun()
    with pytest.raises(RequestReused):
        host.step(replace(begin, reward=2), RequestId("r"))
    host.reset()
    assert host.observe() == anchoring_steps.State()


# Bugs planted in the steps


def _whenever(store: Store, read: Live | Torn | None, one: Row, position: Position) -> bool:
    """Extend a delta wherever it ends."""
    behind = Position(read.hi + 1) if isinstance(read, Live) else position
    return extend(store, read, one, behind)


def _by_the_anchor(store: Store, seen: Manifest | None, live: Live | Torn | None) -> Manifest:
    """Merge whatever is anchored to what is published."""
    end = Position(len(steps.read_log(store)))
    return compute(store, seen, replace(live, hi=end) if isinstance(live, Live) else live)


def _without_the_swap(store: Store, seen: Manifest | None, made: Manifest) -> Manifest | None:
    """Publish over whatever is there."""
    del seen
    return publish(store, steps.read_manifest(store), made)


def _not_reset(store: Store, published: Manifest) -> None:
    """Leave the live delta to others."""


WRONG = {
    "extend": _whenever,
    "compute": _by_the_anchor,
    "publish": _without_the_swap,
    "reset": _not_reset,
}


@pytest.mark.parametrize("engine", [run_descend, run_lockstep])
@pytest.mark.parametrize("name", WRONG)
def test_a_planted_bug_is_found(name: str, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, name, WRONG[name])
    found = engine(CASE, LONG, silent)
    assert found.verdict is Verdict.BROKEN
    assert found.findings
