"""The disk model: what may be there after the power went, and what may not."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plumbline_spec.disk import (
    SECTOR_BYTES,
    Create,
    Disk,
    Image,
    MakeFolder,
    Operation,
    Reach,
    Rename,
    Sync,
    SyncFailed,
    SyncFolder,
    Truncate,
    Unlink,
    Write,
)

EVERY = Reach(subsets=12, drawn=0)
WHOLE = Reach(subsets=12, drawn=0, torn=0)
SOME = Reach(subsets=0, drawn=5)
OLD: Image = {"file": b"old"}
LONG = bytes(range(256)) * 8


def disk_after(*operations: Operation, start: Image = OLD, lies: bool = False) -> Disk:
    disk = Disk(start, lies=lies)
    for operation in operations:
        disk.apply(operation)
    return disk


def images(disk: Disk, reach: Reach = WHOLE, seed: int = 1) -> list[Image]:
    return [state.image() for state in disk.durable_states(reach, Random(seed))]


def contents(disk: Disk, reach: Reach = WHOLE, name: str = "file") -> set[bytes | None]:
    return {image.get(name) for image in images(disk, reach)}


# Writes


def test_a_write_may_be_there_or_not_until_it_is_synced() -> None:
    written = (Write("file", 0, b"new"),)
    assert contents(disk_after(*written)) == {b"old", b"new"}
    assert contents(disk_after(*written, Sync("file"))) == {b"new"}


def test_every_subset_of_pending_writes_is_tried_up_to_the_bound() -> None:
    writes = [Write("file", place, bytes([65 + place])) for place in range(3)]
    found = images(disk_after(*writes))
    assert len(found) == 8
    assert {image["file"] for image in found} == {
        bytes(
            new if mask >> place & 1 else old
            for place, (old, new) in enumerate(zip(b"old", b"ABC", strict=True))
        )
        for mask in range(8)
    }


def test_beyond_the_bound_some_subsets_are_drawn() -> None:
    writes = [Write("file", place, b"x") for place in range(20)]
    found = {
        image["file"] for image in images(disk_after(*writes), Reach(subsets=4, drawn=30, torn=0))
    }
    beginnings = {(b"x" * length).ljust(3, b"\0") for length in range(4, 21)}
    assert beginnings <= found
    assert 80 < len(found) < 100


def test_a_truncation_is_pending_as_a_write_is() -> None:
    assert contents(disk_after(Truncate("file", 1))) == {b"old", b"o"}
    assert contents(disk_after(Truncate("file", 5), Sync("file"))) == {b"old\0\0"}


def test_a_gap_is_filled_with_zeros() -> None:
    assert contents(disk_after(Write("file", 5, b"x"), Sync("file"))) == {b"old\0\0x"}


def test_a_torn_write_arrives_sector_by_sector() -> None:
    disk = disk_after(Write("file", 0, LONG), start={"file": bytes(len(LONG))})
    found = contents(disk, EVERY)
    half = len(LONG) // 2
    assert LONG[:half] + bytes(half) in found
    assert bytes(half) + LONG[half:] in found
    for content in found:
        assert content is not None
        assert len(content) == len(LONG)


def test_a_write_is_torn_where_the_sectors_of_the_disk_end() -> None:
    start = {"file": bytes(1024)}
    found = contents(disk_after(Write("file", 500, b"x" * 20), start=start), EVERY)
    assert bytes(500) + b"x" * 12 + bytes(512) in found
    assert bytes(512) + b"x" * 8 + bytes(504) in found


def test_a_torn_write_may_be_followed_by_one_that_arrived() -> None:
    start = {"file": bytes(2048)}
    disk = disk_after(Write("file", 0, b"d" * 1024), Write("file", 1024, b"m"), start=start)
    found = contents(disk, EVERY)
    marked = [one for one in found if one is not None and one[1024:1025] == b"m"]
    assert any(0 < one.count(b"d") < 1024 for one in marked)


def test_garbage_stays_inside_the_range_that_was_written() -> None:
    start = {"file": b"a" * (4 * SECTOR_BYTES)}
    disk = disk_after(Write("file", SECTOR_BYTES, b"b" * SECTOR_BYTES), start=start)
    found = contents(disk, EVERY)
    assert len(found) == 3  # the old one, the new one, garbage
    for content in found:
        assert content is not None
        assert content[:SECTOR_BYTES] == b"a" * SECTOR_BYTES
        assert content[2 * SECTOR_BYTES :] == b"a" * (2 * SECTOR_BYTES)


def test_a_disk_that_lies_syncs_nothing() -> None:
    disk = disk_after(Write("file", 0, b"new"), Sync("file"), lies=True)
    assert contents(disk) == {b"old", b"new"}


@pytest.mark.parametrize(("forgets", "after"), [(True, {b"old"}), (False, {b"new"})])
def test_a_sync_that_failed_loses_what_was_pending_or_leaves_it_so(
    *, forgets: bool, after: set[bytes]
) -> None:
    disk = Disk(OLD, forgets=forgets)
    for operation in (Write("file", 0, b"new"), SyncFailed("file"), Sync("file")):
        disk.apply(operation)
    assert contents(disk) == after


# Entries


def test_a_new_file_is_lost_until_its_folder_is_synced() -> None:
    made = (Create("new"), Write("new", 0, b"x"), Sync("new"))
    assert contents(disk_after(*made), name="new") == {None, b"x"}
    assert contents(disk_after(*made, SyncFolder()), name="new") == {b"x"}


def test_a_file_that_was_removed_may_come_back() -> None:
    assert contents(disk_after(Unlink("file"))) == {None, b"old"}
    assert contents(disk_after(Unlink("file"), SyncFolder())) == {None}


def test_a_rename_happens_in_one_piece_and_may_come_before_the_content() -> None:
    made = (Create("new"), Write("new", 0, b"x"), Rename("new", "file"))
    found = images(disk_after(*made))
    assert {image.get("file") for image in found} == {b"old", b"", b"x"}
    synced = (Create("new"), Write("new", 0, b"x"), Sync("new"), Rename("new", "file"))
    assert contents(disk_after(*synced)) == {b"old", b"x"}
    assert images(disk_after(*synced, SyncFolder())) == [{"file": b"x"}]


def test_a_file_is_lost_with_its_folder() -> None:
    made = (MakeFolder("folder"), Create("folder/new"), Sync("folder/new"), SyncFolder("folder"))
    assert contents(disk_after(*made), name="folder/new") == {None, b""}
    assert contents(disk_after(*made, SyncFolder()), name="folder/new") == {b""}
    assert images(Disk({"folder/there": b"x"})) == [{"folder/there": b"x"}]


def test_a_file_that_is_made_again_is_another_one() -> None:
    again = (Unlink("file"), Create("file"), Write("file", 0, b"x"), Sync("file"))
    assert contents(disk_after(*again)) == {b"old", None, b"x"}


# States


def test_states_repeat_with_their_seed() -> None:
    writes = [Write("file", place * 7, LONG) for place in range(9)]
    once, again = (images(disk_after(*writes), SOME, seed=3) for _ in range(2))
    assert once == again
    assert once != images(disk_after(*writes), SOME, seed=4)


@pytest.mark.parametrize("reach", [EVERY, Reach(subsets=1, drawn=0)], ids=["every", "some"])
def test_what_is_new_after_an_operation_is_what_was_not_there_before(reach: Reach) -> None:
    """Moment after moment the new ones are, together, all that there are."""
    disk, new, every = Disk(OLD), set[bytes](), set[bytes]()
    for operation in (
        Write("file", 0, b"n"),
        Create("other"),
        Write("other", 0, LONG),
        Sync("file"),
        Write("file", 1, LONG),
        Unlink("other"),
        SyncFolder(),
    ):
        disk.apply(operation)
        new |= {state.digest for state in disk.durable_states(reach, Random(1), new=True)}
        every |= {state.digest for state in disk.durable_states(reach, Random(1))}
    assert new == every


def test_what_the_program_sees_is_all_of_it() -> None:
    disk = disk_after(Write("file", 1, b"N"), Create("new"), Truncate("file", 2))
    assert disk.now() == {"file": b"oN", "new": b""}


OPERATIONS = st.lists(
    st.one_of(
        st.builds(Write, st.just("file"), st.integers(0, 9), st.binary(max_size=4)),
        st.builds(Truncate, st.just("file"), st.integers(0, 9)),
        st.just(Sync("file")),
        st.just(SyncFolder()),
    ),
    max_size=12,
)


@given(OPERATIONS, st.integers(0, 9))
def test_equal_digests_are_equal_images(operations: list[Operation], seed: int) -> None:
    disk, random = disk_after(*operations), Random(seed)
    seen: dict[bytes, Image] = {}
    for _ in range(2):
        for state in disk.durable_states(SOME, random):
            assert seen.setdefault(state.digest, state.image()) == state.image()
    assert len({tuple(sorted(image.items())) for image in seen.values()}) == len(seen)


@given(OPERATIONS)
def test_after_a_sync_of_everything_one_image_is_left(operations: list[Operation]) -> None:
    disk = disk_after(*operations, Sync("file"), SyncFolder())
    assert images(disk, EVERY) == [disk.now()]
