"""The disk model: what may be on a disk after the power went, derived from what was asked of it.

Theory of operation. A program's storage operations are recorded once, in order. ``Disk`` replays
them on files that have a durable content and operations that are still pending, and on folders
whose entries are durable or pending in the same way. After any operation ``durable_states`` yields
what the disk may hold if the power goes then: every pending operation may have arrived or not, on
its own and in any order, a write also in part. Chapter ``spec/faults.md`` says what is modelled and
what is not.

==================  =========================================================================
operation           becomes durable
==================  =========================================================================
``Create``          with the next ``SyncFolder`` of its folder: the entry of a new, empty file
``MakeFolder``      with the next ``SyncFolder`` of the folder that it is in
``Write``           with the next ``Sync`` of its file; sector by sector until then
``Truncate``        with the next ``Sync`` of its file
``Rename``          with the next ``SyncFolder``, in one piece
``Unlink``          with the next ``SyncFolder``
``Sync``            itself: all that is pending of one file
``SyncFolder``      itself: all entries of one folder that are pending
``SyncFailed``      never: what was pending of the file is lost although nobody wrote it
==================  =========================================================================

A disk that lies does neither ``Sync`` nor ``SyncFolder``. One that does not forget leaves pending
what was pending when a sync failed.
"""

import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, pairwise
from random import Random
from typing import TypeAlias

from msgspec import Struct

SECTOR_BYTES = 512
"""The unit that a disk writes whole or not at all."""
KEPT_SHARES = (0.2, 0.5, 0.8)
"""How likely an operation is kept in a subset that is drawn."""
TORN_WAYS = 4
"""The ways in which one write is torn: its head, its tail, some sectors, some sectors garbage."""

Image: TypeAlias = Mapping[str, bytes]
"""The files below one folder: the content of each by its path from there."""


class Create(Struct, frozen=True):
    """Make an entry for a new, empty file."""

    file: str


class MakeFolder(Struct, frozen=True):
    """Make a folder."""

    folder: str


class Write(Struct, frozen=True):
    """Put bytes at an offset; a gap before them is filled with zeros."""

    file: str
    offset: int
    content: bytes


class Truncate(Struct, frozen=True):
    """Cut a file to a size in bytes, or fill it up with zeros."""

    file: str
    size: int


class Sync(Struct, frozen=True):
    """Make durable what is pending of a file."""

    file: str


class SyncFailed(Struct, frozen=True):
    """A sync that ended in an error: what was pending is thrown away and reads as if written."""

    file: str


class Rename(Struct, frozen=True):
    """Put a file under another name, in the place of what was there."""

    source: str
    target: str


class Unlink(Struct, frozen=True):
    """Remove an entry."""

    file: str


class SyncFolder(Struct, frozen=True):
    """Make the entries of a folder durable; without a name those of the outermost one."""

    folder: str = ""


_Change: TypeAlias = Create | MakeFolder | Rename | Unlink
Operation: TypeAlias = _Change | Write | Truncate | Sync | SyncFailed | SyncFolder


class Torn(Struct, frozen=True):
    """How one write arrived in part: which of its sectors, and what the others hold."""

    index: int
    """Which of the pending operations it is."""
    sectors: frozenset[int]
    garbage: bytes = b""
    """What the other sectors hold, from the offset on; empty for what they held before."""


class Arrival(Struct, frozen=True):
    """Which pending operations arrived."""

    kept: frozenset[int]
    torn: Torn | None = None


class DurableState(Struct, frozen=True):
    """What a disk may hold, and how it came to that."""

    arrival: Arrival
    digest: bytes
    """Of the names and contents; equal for equal images alone."""
    image: Callable[[], Image]
    """Makes the files."""


class Reach(Struct, frozen=True, kw_only=True):
    """How many durable states are derived at one moment."""

    subsets: int
    """Up to so many pending operations every subset of them is tried; beyond, some."""
    drawn: int
    """Subsets drawn at random where not every one is tried, beside the systematic ones."""
    omitted: int = 1_000_000
    """Of the systematic ones, how many leave out just one operation; all when there are fewer."""
    torn: int = TORN_WAYS
    """How many ways of tearing are tried for each write."""


class _File:
    """A file by itself, whatever it is called: its durable content and what is pending."""

    def __init__(self, content: bytes = b"", *, is_folder: bool = False) -> None:
        self.durable = content
        self.pending: list[tuple[int, Write | Truncate]] = []
        self.is_folder = is_folder
        self._digest = b""

    @property
    def digest(self) -> bytes:
        """The digest of the durable content, made once."""
        if not self._digest:
            self._digest = digest_of(self.durable)
        return self._digest

    def settle(self, content: bytes) -> None:
        """Make a content durable; nothing is pending then."""
        self.durable, self._digest = content, b""
        self.pending.clear()


class _Entry(Struct, frozen=True):
    """A pending change of a folder."""

    operation: _Change
    file: _File | None


_Pending: TypeAlias = tuple[_File, Write | Truncate] | _Entry


class Disk:
    """Files with what is durable of them and what is pending."""

    def __init__(
        self, start: Image, *, lies: bool = False, forgets: bool = True, salt: int = 0
    ) -> None:
        self._lies, self._forgets, self._salt = lies, forgets, salt
        self._names = {name: _File(content) for name, content in start.items()}
        for name in start:
            for folder in _folders_to(name):
                self._names[folder] = _File(is_folder=True)
        self._durable_names = dict(self._names)
        self._entries: list[tuple[int, _Entry]] = []
        self._clock = 0
        self._settled = 0
        self._digests: dict[object, bytes] = {}

    def apply(self, operation: Operation) -> None:
        """Take one operation."""
        self._clock += 1
        if isinstance(operation, Sync | SyncFailed | SyncFolder):
            self._settled = self._clock
        match operation:
            case Write() | Truncate():
                self._names[operation.file].pending.append((self._clock, operation))
            case Sync(file=name):
                self._sync(self._names[name])
            case SyncFailed(file=name):
                if self._forgets:
                    self._names[name].pending.clear()
            case SyncFolder(folder=folder):
                self._sync_folder(folder)
            case _:
                self._change(operation)

    def _change(self, operation: _Change) -> None:
        file: _File | None = None
        match operation:
            case Create():
                file = _File()
            case MakeFolder():
                file = _File(is_folder=True)
            case Rename(source=source):
                file = self._names[source]
            case Unlink():
                pass
        entry = _Entry(operation, file)
        _enter(self._names, entry)
        self._entries.append((self._clock, entry))

    def _sync(self, file: _File) -> None:
        if self._lies:
            return
        if file.pending:
            file.settle(_with(file.durable, (operation for _, operation in file.pending)))

    def _sync_folder(self, folder: str) -> None:
        if self._lies:
            return
        for _, entry in self._entries:
            if _folder_of(entry.operation) == folder:
                _enter(self._durable_names, entry)
        self._entries = [one for one in self._entries if _folder_of(one[1].operation) != folder]

    def pending(self) -> list[_Pending]:
        """Return what is pending, oldest first."""
        return [pending for _, pending in self._numbered()]

    def _numbered(self) -> list[tuple[int, _Pending]]:
        files = dict.fromkeys(
            chain(
                self._names.values(),
                self._durable_names.values(),
                (entry.file for _, entry in self._entries if entry.file is not None),
            )
        )
        found: list[tuple[int, _Pending]] = list(self._entries)
        for file in files:
            found += [(clock, (file, operation)) for clock, operation in file.pending]
        return sorted(found, key=lambda one: one[0])

    def durable_states(
        self, reach: Reach, random: Random, *, new: bool = False
    ) -> Iterator[DurableState]:
        """Yield what the disk may hold if the power goes now, and what of it had arrived.

        ``new`` leaves out what was yielded before the latest operation, unless that was a sync.
        """
        numbered = self._numbered()
        pending = [one for _, one in numbered]
        first = len(pending) - 1 if new and pending and self._settled != self._clock else 0
        for arrival in arrivals(pending, reach, random, self._salt, first):
            yield self._durable_state(numbered, pending, arrival)

    def _durable_state(
        self,
        numbered: Sequence[tuple[int, _Pending]],
        pending: Sequence[_Pending],
        arrival: Arrival,
    ) -> DurableState:
        """Return a durable state; the digest of one that was met before is not made again."""
        torn = arrival.torn
        met = (
            self._settled,
            frozenset(numbered[index][0] for index in arrival.kept),
            None if torn is None else (numbered[torn.index][0], torn.sectors, torn.garbage),
        )
        digest = self._digests.get(met)
        if digest is None:
            files = self._files(pending, arrival)
            digest = b"\0".join(part for name, file, _ in files for part in (name.encode(), file))
            self._digests[met] = digest
            image: Image = {name: content for name, _, content in files}
            return DurableState(arrival, digest, lambda: image)
        return DurableState(arrival, digest, partial(self._image, pending, arrival))

    def _image(self, pending: Sequence[_Pending], arrival: Arrival) -> Image:
        return {name: content for name, _, content in self._files(pending, arrival)}

    def _files(
        self, pending: Sequence[_Pending], arrival: Arrival
    ) -> list[tuple[str, bytes, bytes]]:
        """Return name, digest and content of each file if just these operations arrived."""
        names = dict(self._durable_names)
        arrived: dict[_File, list[Write | Truncate | tuple[Write, Torn]]] = {}
        torn = arrival.torn
        for index, one in enumerate(pending):
            if isinstance(one, _Entry):
                if index in arrival.kept:
                    _enter(names, one)
                continue
            file, operation = one
            if torn is not None and torn.index == index and isinstance(operation, Write):
                arrived.setdefault(file, []).append((operation, torn))
            elif index in arrival.kept:
                arrived.setdefault(file, []).append(operation)
        found = list[tuple[str, bytes, bytes]]()
        for name, file in sorted(names.items()):
            if file.is_folder or not _is_reached(name, names):
                continue
            if file in arrived:
                content = _with(file.durable, arrived[file])
                found.append((name, digest_of(content), content))
            else:
                found.append((name, file.digest, file.durable))
        return found

    def fates(self, arrival: Arrival) -> Iterator[tuple[Operation, str]]:
        """Yield what is pending, oldest first, and what became of each if the power goes now."""
        for index, one in enumerate(self.pending()):
            operation = one.operation if isinstance(one, _Entry) else one[1]
            if arrival.torn is not None and arrival.torn.index == index:
                rest = "garbage" if arrival.torn.garbage else "what was there"
                sectors = ", ".join(map(str, sorted(arrival.torn.sectors))) or "none"
                yield operation, f"torn: sectors {sectors}, in the others {rest}"
            else:
                yield operation, "arrived" if index in arrival.kept else "lost"

    def now(self) -> Image:
        """Return the files as the running program sees them."""
        pending = self.pending()
        return self._image(pending, Arrival(frozenset(range(len(pending)))))


def _enter(names: dict[str, _File], entry: _Entry) -> None:
    match entry.operation:
        case Create(file=left) | MakeFolder(folder=left) | Rename(target=left):
            assert entry.file is not None
            if isinstance(entry.operation, Rename):
                names.pop(entry.operation.source, None)
            names[left] = entry.file
        case Unlink(file=left):
            names.pop(left, None)


def _folder_of(change: _Change) -> str:
    """Return the folder whose entry changes; a file is never moved from one to another."""
    match change:
        case Create(file=name) | MakeFolder(folder=name) | Rename(target=name) | Unlink(file=name):
            return name.rpartition("/")[0]


def _is_reached(name: str, names: Mapping[str, _File]) -> bool:
    """Tell whether every folder on the way to a file is there."""
    return all(folder in names for folder in _folders_to(name))


def _folders_to(name: str) -> Iterator[str]:
    folder = name.rpartition("/")[0]
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]


def _with(content: bytes, operations: Iterable[Write | Truncate | tuple[Write, Torn]]) -> bytes:
    """Return a content with operations done to it."""
    changed = bytearray(content)
    for operation in operations:
        match operation:
            case Write(offset=offset, content=written):
                _put(changed, offset, written)
            case Truncate(size=size):
                del changed[size:]
                changed.extend(bytes(size - len(changed)))
            case (write, torn):
                _put_torn(changed, write, torn)
    return bytes(changed)


def _put(changed: bytearray, offset: int, written: bytes) -> None:
    if offset > len(changed):
        changed.extend(bytes(offset - len(changed)))
    changed[offset : offset + len(written)] = written


def _put_torn(changed: bytearray, write: Write, torn: Torn) -> None:
    end = write.offset + len(write.content)
    changed.extend(bytes(max(0, end - len(changed))))
    for sector, (start, stop) in enumerate(_sectors(write)):
        if sector in torn.sectors:
            changed[write.offset + start : write.offset + stop] = write.content[start:stop]
        elif torn.garbage:
            changed[write.offset + start : write.offset + stop] = torn.garbage[start:stop]


def _sectors(write: Write) -> list[tuple[int, int]]:
    """Return where a content is cut by the sectors of the disk, counted from its beginning."""
    first = SECTOR_BYTES - write.offset % SECTOR_BYTES
    cuts = [0, *range(first, len(write.content), SECTOR_BYTES), len(write.content)]
    return list(pairwise(cuts)) if write.content else []


def arrivals(
    pending: Sequence[_Pending], reach: Reach, random: Random, salt: int, first: int = 0
) -> Iterator[Arrival]:
    """Yield which of the pending operations arrive: all subsets, or beyond a bound some of them.

    Which sectors of a write arrive, when it is torn, is the same at every moment for one ``salt``.
    Those before ``first`` had their turn: only subsets with a later one are yielded.
    """
    count = len(pending)
    every = frozenset(range(count))
    yield Arrival(every)
    if count <= reach.subsets:
        for mask in range(1 << first if first else 0, (1 << count) - 1):
            yield Arrival(frozenset(index for index in range(count) if mask >> index & 1))
    else:
        yield from map(Arrival, _systematic(count, reach.omitted, random, first))
        for number in range(reach.drawn):
            share = KEPT_SHARES[number % len(KEPT_SHARES)]
            yield Arrival(frozenset(index for index in range(count) if random.random() < share))
    for index, one in enumerate(pending[first:], first):
        if not isinstance(one, _Entry) and isinstance(one[1], Write):
            for torn in _tearings(index, one[1], salt, reach.torn):
                yield Arrival(frozenset(range(index)), torn)
    earlier = [index for index, one in enumerate(pending[:-1]) if _is_write(one)]
    if earlier and reach.torn:
        index = random.choice(earlier)
        write = pending[index]
        assert not isinstance(write, _Entry)
        assert isinstance(write[1], Write)
        # What is torn may be followed by what arrived whole: a marker, an entry of a folder.
        yield Arrival(every - {index}, next(_tearings(index, write[1], salt, 1)))


def _is_write(one: _Pending) -> bool:
    return not isinstance(one, _Entry) and isinstance(one[1], Write)


def _systematic(count: int, omitted: int, random: Random, first: int) -> Iterator[frozenset[int]]:
    """Yield none, every beginning, all but one, and one alone."""
    every = frozenset(range(count))
    if not first:
        yield frozenset()
    yield from (frozenset(range(length)) for length in range(max(1, first + 1), count))
    left_out = range(count - 1)
    chosen = left_out if count - 1 <= omitted else random.sample(left_out, omitted)
    yield from (every - {index} for index in chosen)
    yield from (frozenset({index}) for index in range(max(1, first), count))


def _tearings(index: int, write: Write, salt: int, ways: int) -> Iterator[Torn]:
    """Yield ways in which a write arrives in part; one of a single sector has none but garbage."""
    random = Random(salt ^ zlib.crc32(write.content, write.offset & 0xFFFFFFFF))  # noqa: S311
    sectors = max(1, len(_sectors(write)))
    half = sectors // 2
    missing = random.randrange(sectors)
    drawn = frozenset(
        sector
        for sector in range(sectors)
        if random.random() < KEPT_SHARES[1] and sector != missing
    )
    garbage = Torn(index, drawn, random.randbytes(len(write.content)))
    whole = [
        Torn(index, frozenset(range(half))),
        Torn(index, frozenset(range(half, sectors))),
        Torn(index, drawn),
    ]
    yield from ([garbage, *whole] if sectors > 1 else [garbage])[:ways]


def digest_of(content: bytes) -> bytes:
    """Return a digest that tells contents apart; nobody makes two with the same one on purpose."""
    return hashlib.sha1(content, usedforsecurity=False).digest()


def brief(operation: Operation) -> str:
    """Return an operation as one line: what, of which file, where, how much."""
    fields = [
        f"{len(value)} bytes" if isinstance(value, bytes) else str(value)
        for value in (getattr(operation, name) for name in operation.__struct_fields__)
    ]
    return " ".join([type(operation).__name__, *fields])
