"""A plain model of a store and its peers: a dict of pages, and a dict of what the holders keep.

`StoreModel` does each operation to a real store and to the dicts, and compares what can be seen from outside:
pages, counts, refusals, which pages are elsewhere, and which flushes are owed to whom.
"""

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ramsterd.core import extents
from ramsterd.core.codec import ZPAGE_BYTES_MASK, decode_page, encode_page, is_packed_valid
from ramsterd.core.compact import Compactor
from ramsterd.core.family import Family
from ramsterd.core.foreign_pages import (
    FOREIGN_OBJECT,
    answer_get,
    drop_ranges,
    get_zpages,
    put_zpages,
)
from ramsterd.core.install import OVERTAKEN, come_home
from ramsterd.core.leaving import (
    Leaving,
    begin_leaving,
    end_leaving,
    keep_leaving,
    return_leaving,
)
from ramsterd.core.page import INDEX_MAX, PAGE_BYTES, PoolId, PoolKind
from ramsterd.core.pool_identity import export_pool, owner_pool, program_pool
from ramsterd.core.row_sweep import lose_held_by
from ramsterd.core.store import RunOfPages, Store
from ramsterd.remote.wire import get_reply_table
from tests.helpers import columns
from tests.helpers.dropping import drop_object, drop_pool, drop_run
from tests.helpers.installing import install

Handle = tuple[PoolId, bytes, int]
Zpage = tuple[int, bytes, int]  # packed, zpage, checksum
LOST: Final = None
EVICTABLE: Final = (Family.OWN_CLEAN, Family.OWN_EPHEMERAL, Family.FOREIGN_EPHEMERAL)


class Lie(enum.Enum):
    """What is wrong with a page of an answer."""

    NONE = enum.auto()
    MISSING = enum.auto()
    DAMAGED = enum.auto()
    SHORT = enum.auto()
    UNWANTED = enum.auto()
    TWICE = enum.auto()
    # It was asked for as another version.
    OVERTAKEN = enum.auto()


@dataclass(slots=True, eq=False)
class SentEphemeral:
    """A block on its way, and which of its serials are still the version that the store has."""

    leaving: Leaving
    current: dict[int, Handle]


class StoreModel:
    """Does and compares; every difference is an AssertionError."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.compactor = Compactor(store.versions)
        self.kinds: dict[PoolId, PoolKind] = {}
        self.disks: set[PoolId] = set()
        self.pages: dict[Handle, bytes | None] = {}
        # Which version of a page a peer keeps, and what all peers keep.
        self.held: dict[Handle, tuple[int, int]] = {}
        self.contents: dict[tuple[int, int], Zpage] = {}
        self.dead: set[int] = set()
        self.owed: list[tuple[int, int]] = []
        self.sent: list[SentEphemeral] = []
        self.foreign_kinds: dict[PoolId, PoolKind] = {}
        self.foreign: dict[tuple[PoolId, int], Zpage] = {}
        self._resident_bytes_max = store.room.limits.budget_bytes

    def restart(self, store: Store) -> None:
        """Go on with a store that has what this one has left; what was under way to peers is not."""
        self.store = store
        self.compactor = Compactor(store.versions)
        self.sent.clear()

    # What front ends do.

    def new_pool(
        self, kind: PoolKind, *, is_foreign: bool = False, is_disk: bool = False
    ) -> PoolId:
        if is_foreign:
            identity = owner_pool(2, 1)
        else:
            identity = export_pool("a disk") if is_disk else program_pool("a pool")
        pool = self.store.new_pool(kind, identity)
        if is_disk:
            self.disks.add(pool)
        (self.foreign_kinds if is_foreign else self.kinds)[pool] = kind
        return pool

    def put(self, handle: Handle, pages: list[bytes], *, takes_slots: bool = True) -> int:
        used_bytes = self.store.zbud.used_bytes
        stored = self.store.put(*handle, memoryview(b"".join(pages)), takes_slots=takes_slots)
        assert takes_slots or self.store.zbud.used_bytes <= used_bytes
        for (pool, name, index), page in zip(_run(handle, stored), pages, strict=False):
            self._drop((pool, name, index))
            self.pages[pool, name, index] = page
        return stored

    def put_zeros(self, handle: Handle, count: int) -> None:
        done = extents.put_zeros(self.store, *handle, count)
        for each in _run(handle, done):
            self._drop(each)
            self.pages[each] = bytes(PAGE_BYTES)

    def refuse(self, handle: Handle, count: int) -> None:
        # Room for the refused put may have been made before it was given up.
        self.check_reads()
        if not self.store.refuse(*handle, count):
            assert handle[0] in self.disks
            return
        for each in _run(handle, count):
            if self._drop(each) and self.kinds[handle[0]] is PoolKind.PERSISTENT:
                self.pages[each] = LOST

    def flush(self, handle: Handle, count: int) -> None:
        has_nodes = self._has_nodes()
        dropped = drop_run(self.store, *handle, count)
        still_zeros = self._still_zeros(handle, count, has_nodes=has_nodes)
        gone = [each for each in _run(handle, count) if each not in still_zeros]
        assert dropped == sum(self._drop(each) for each in gone)

    def _still_zeros(self, handle: Handle, count: int, *, has_nodes: bool) -> set[Handle]:
        """Pages of a disk that were dropped and read as zeros still: there was no room to say that they are holes."""
        if handle[0] not in self.disks:
            return set()
        pages = self.store.get(*handle, count).pages
        found = {each for each, page in zip(_run(handle, count), pages, strict=True) if page}
        assert not found or not has_nodes
        assert all(self.pages[each] == bytes(PAGE_BYTES) for each in found)
        return found

    def _has_nodes(self) -> bool:
        """Whether there is surely room for all nodes on the way to a page, twice."""
        nodes = self.store.table.nodes.take(16)
        for node in nodes or ():
            self.store.table.nodes.free(node)
        return nodes is not None

    def flush_object(self, pool: PoolId, name: bytes) -> None:
        dropped = drop_object(self.store, pool, name)
        mine = [each for each in self.pages if each[:2] == (pool, name)]
        assert dropped == sum(self._drop(each) for each in mine)

    def destroy_pool(self, pool: PoolId) -> None:
        dropped = drop_pool(self.store, pool)
        mine = [each for each in self.pages if each[0] == pool]
        theirs = [each for each in self.foreign if each[0] == pool]
        assert dropped == sum(self._drop(each) for each in mine) + len(theirs)
        for each in theirs:
            del self.foreign[each]
        self.kinds.pop(pool, None)
        self.disks.discard(pool)
        self.foreign_kinds.pop(pool, None)

    def set_budget(self, budget_bytes: int) -> None:
        self.store.room.set_budget(budget_bytes)
        self.store.room.evict_some(EVICTABLE, budget_bytes, 1000)
        if self.store.zbud.resident_bytes > budget_bytes:
            assert not any(self.store.zbud.oldest(family) for family in EVICTABLE)

    def compact(self, zpages_max: int) -> None:
        """Moves zpages, changes none, and takes no memory."""
        resident_bytes = self.store.zbud.resident_bytes
        self.compactor.compact(zpages_max)
        assert self.store.zbud.resident_bytes <= resident_bytes

    # What an engine does.

    def begin_leaving(self) -> bool:
        block = self.store.zbud.oldest(Family.OWN_PERSISTENT)
        if block is None:
            return False
        leaving = begin_leaving(self.store.versions, block)
        assert leaving.rows, "a block without pages was chosen"
        current = {
            serial: self._handle_of_row(row)
            for row, serial in zip(leaving.rows, leaving.serials, strict=True)
        }
        for serial, (packed, zpage, checksum) in _zpages_of(leaving).items():
            assert decode_page(packed, zpage, checksum) == self.pages[current[serial]]
        self.sent.append(SentEphemeral(leaving, current))
        return True

    def end_leaving(self, which: int, holder: int, *, is_kept: bool = False) -> None:
        sent = self.sent.pop(which)
        for serial, zpage in _zpages_of(sent.leaving).items():
            self.contents[holder, serial] = zpage
        end = keep_leaving if is_kept else end_leaving
        overtaken = end(self.store.versions, sent.leaving, holder)
        assert set(overtaken) == set(sent.leaving.serials) - set(sent.current)
        for serial in overtaken:
            del self.contents[holder, serial]
        for serial, handle in sent.current.items():
            self.held[handle] = holder, serial

    def return_leaving(self, which: int) -> None:
        return_leaving(self.store.versions, self.sent.pop(which).leaving)

    def send_ephemeral(self, holder: int) -> bool:
        """Give the oldest ephemeral block away, as an engine does: what is owed leaves before it."""
        block = self.store.zbud.oldest(Family.OWN_EPHEMERAL)
        if block is None:
            return False
        self.take_owed()
        leaving = begin_leaving(self.store.versions, block)
        handles = [self._handle_of_row(row) for row in leaving.rows]
        for handle, (serial, zpage) in zip(handles, _zpages_of(leaving).items(), strict=True):
            assert decode_page(*zpage) == self.pages[handle]
            self.contents[holder, serial] = zpage
            self.held[handle] = holder, serial
        assert end_leaving(self.store.versions, leaving, holder) == []
        return True

    def fetch(self, handle: Handle, count: int) -> int:
        """Install what is elsewhere, as far as there is room; return how many pages came home."""
        installed = 0
        for position, row in self.read(handle, count).elsewhere:
            pool, name, index = handle
            packed, zpage, checksum = self.contents[self.held[pool, name, index + position]]
            assert (self.store.rows.packed(row), self.store.rows.checksum(row)) == (
                packed,
                checksum,
            )
            if install(self.store.room, row, zpage):
                installed += 1
                if self.kinds[pool] is PoolKind.EPHEMERAL:
                    self.owed.append(self.held.pop((pool, name, index + position)))
        return installed

    def fetch_together(self, handle: Handle, count: int, lies: list[Lie]) -> int:
        """Judge one answer about all of a run that is elsewhere; return how many pages came home."""
        pool, name, index = handle
        is_ephemeral = self.kinds[pool] is PoolKind.EPHEMERAL
        family = Family.OWN_EPHEMERAL if is_ephemeral else Family.OWN_CLEAN
        asked: list[tuple[int, int, int, Family | None, bytes, bytes | None]] = []
        for position, row in self.read(handle, count).elsewhere:
            each, lie = (pool, name, index + position), lies[position % len(lies)]
            holder, serial = self.held[each]
            packed, zpage, _ = self.contents[holder, serial]
            packed, zpage = _told(lie, packed, zpage)
            page = self.pages[each] if lie in {Lie.NONE, Lie.TWICE} else None
            page = OVERTAKEN if lie is Lie.OVERTAKEN else page
            wanted = None if lie is Lie.UNWANTED else family
            one = row, serial + (lie is Lie.OVERTAKEN), packed, wanted, zpage, page
            # An ephemeral page that has come home has no holder any more.
            asked += [one] * (2 if lie is Lie.TWICE and not is_ephemeral else 1)
        handles = {row: self._handle_of_row(row) for row, *_ in asked}
        pages, installed = come_home(
            self.store.room,
            [row for row, *_ in asked],
            [serial for _, serial, *_ in asked],
            [packed for _, _, packed, *_ in asked],
            memoryview(b"".join(zpage for *_, zpage, _ in asked)),
            [family for _, _, _, family, *_ in asked],
        )
        assert pages == [page for *_, page in asked]
        here = [row for row in handles if self.store.rows.location(row)]
        assert installed == len(here)
        if is_ephemeral:
            self.owed += [self.held.pop(handles[row]) for row in here]
        return installed

    def lose_holder(self, holder: int, slice_rows: int) -> int:
        """A holder dies: what only it had is lost, what is here too is kept.  Return the lost count."""
        self.dead.add(holder)
        first_row, lost = 0, 0
        while True:
            swept = lose_held_by(
                self.store.room, holder, first_row, slice_rows, pages_max=slice_rows
            )
            first_row = swept.next_row
            lost += swept.lost
            if not first_row:
                break
        self._take_adopted(holder)
        gone = [handle for handle, (where, _) in self.held.items() if where == holder]
        for handle in gone:
            del self.held[handle]
            if self.kinds[handle[0]] is PoolKind.PERSISTENT:
                self.pages[handle] = LOST
            else:
                del self.pages[handle]
        self.contents = {key: zpage for key, zpage in self.contents.items() if key[0] != holder}
        assert lost == len(gone)
        return lost

    def take_owed(self) -> None:
        owed = [
            (holder, serial)
            for holder, serials in self.store.versions.take_owed().items()
            for serial in serials
        ]
        assert sorted(owed) == sorted(self.owed)
        for key in owed:
            kept = self.contents.pop(key, None)
            assert kept or key[0] in self.dead, "a flush of what was never there, or twice"
        self.owed = []

    def flip_a_bit(self, handle: Handle, bit: int) -> None:
        """Damage a page in the arena: it must come back from its holder, or be lost, never be wrong."""
        row = self._row(handle)
        location = self.store.rows.location(row) if row else 0
        if not location:
            return
        bit %= 8 * (self.store.rows.packed(row) & ZPAGE_BYTES_MASK)
        self.store.zbud.arena[self.store.zbud.offset(location) + bit // 8] ^= 1 << bit % 8
        found = self.store.get(*handle, 1)
        if found.pages[0] is not None:
            # lz4 has bits that change nothing; then it is the page.
            assert found.pages[0] == self.pages[handle]
        elif handle in self.held:
            assert len(found.elsewhere) == 1
        else:
            self._drop(handle)
            if self.kinds[handle[0]] is PoolKind.PERSISTENT:
                self.pages[handle] = LOST
            assert found.lost_count == (handle in self.pages), "an ephemeral page is a miss"

    # What holders do for others.

    def put_foreign(self, pool: PoolId, versions: dict[int, bytes]) -> None:
        encoded = {serial: encode_page(page) for serial, page in versions.items()}
        encoded = {serial: each for serial, each in encoded.items() if is_packed_valid(each[0])}
        stored = put_zpages(
            self.store,
            pool,
            *columns.of_zpages(
                encoded,
                [checksum for _, _, checksum in encoded.values()],
                [packed for packed, _, _ in encoded.values()],
            ),
            memoryview(b"".join(zpage for _, zpage, _ in encoded.values())),
        )
        for serial in list(encoded)[:stored]:
            packed, zpage, checksum = encoded[serial]
            self.foreign[pool, serial] = packed, zpage, checksum

    def flush_foreign(self, pool: PoolId, *ranges: tuple[int, int]) -> None:
        """Drop (first, last) ranges, those that are not everyday one by one."""
        flushed, done = self.store.counters.flushed, 0
        firsts, lasts = columns.of_ranges(*ranges)
        while done < len(ranges):
            some = drop_ranges(
                self.store, pool, firsts, lasts, done, below=INDEX_MAX + 1, units_max=1 << 20
            )
            if not some:
                first, last = ranges[done]
                drop_run(self.store, pool, FOREIGN_OBJECT, first, last + 1 - first)
            done += some or 1
        mine = [
            (each, serial)
            for each, serial in self.foreign
            if each == pool and any(first <= serial <= last for first, last in ranges)
        ]
        assert self.store.counters.flushed - flushed == len(mine)
        for gone in mine:
            del self.foreign[gone]

    # What must be true.

    def read(self, handle: Handle, count: int) -> RunOfPages:
        """Get a run and compare; forget the ephemeral pages that have gone."""
        found = self.store.get(*handle, count)
        if None not in found.pages:  # such as runs of zeros, which are long
            assert found.pages == [self.pages.get(each) for each in _run(handle, count)]
            assert not found.elsewhere
            assert not found.lost_count
            return found
        elsewhere = dict(found.elsewhere)
        lost_count = 0
        for position, each in enumerate(_run(handle, count)):
            page = found.pages[position]
            if position in elsewhere:
                assert page is None
                assert self.store.rows.serial(elsewhere[position]) == self.held[each][1]
            elif page is not None:
                assert page == self.pages[each]
            elif self.kinds[handle[0]] is PoolKind.EPHEMERAL:
                self.pages.pop(each, None)
            else:
                assert self.pages.get(each, LOST) is LOST, "a persistent page has gone"
                lost_count += each in self.pages
        assert found.lost_count == lost_count
        return found

    def check_reads(self) -> None:
        for pool, name, leaf in {(pool, name, index >> 6) for pool, name, index in self.pages}:
            self.read((pool, name, leaf << 6), 64)
        for pool, kind in self.foreign_kinds.items():
            serials = [serial for each, serial in self.foreign if each == pool]
            packed, pieces = get_zpages(self.store.versions, pool, serials)
            self._check_answer(pool, serials[:128])
            waiting = iter(pieces)
            for serial, code in zip(serials, packed, strict=True):
                if code:
                    zpage = bytes(next(waiting))
                    assert (code, zpage) == self.foreign[pool, serial][:2]
                else:
                    assert kind is PoolKind.EPHEMERAL
                    del self.foreign[pool, serial]
            assert next(waiting, None) is None

    def _check_answer(self, pool: PoolId, serials: list[int]) -> None:
        """The compiled loops get what Python does."""
        packed, pieces = get_zpages(self.store.versions, pool, serials)
        answer = answer_get(self.store, (pool, pool), columns.words(serials))
        assert answer in (None, (get_reply_table(packed), b"".join(pieces)))

    def check(self) -> None:
        self.store.check_invariants()
        self.check_reads()
        zbud = self.store.zbud
        # A budget that shrank may be exceeded, but never by more than it was then.
        assert zbud.resident_bytes <= max(zbud.budget_bytes, self._resident_bytes_max)
        self._resident_bytes_max = zbud.resident_bytes

    # Inside.

    def _drop(self, handle: Handle) -> bool:
        """Forget the version of a page that is there; return whether there was one."""
        if handle in self.held:
            self.owed.append(self.held.pop(handle))
        for sent in self.sent:
            for serial, each in list(sent.current.items()):
                if each == handle:
                    del sent.current[serial]
        if handle not in self.pages:
            return False
        del self.pages[handle]
        return True

    def _take_adopted(self, holder: int) -> None:
        """After a sweep: pages that are here and were at the holder, or share a block with such, are ours.

        Which pages share a block is the store's business: the flushes that it owes tell.
        """
        ours = {each: where for each, where in self.held.items() if self._is_local(each)}
        released = {
            (owed_to, serial)
            for owed_to, serials in self.store.versions._owed.items()
            for serial in serials
        } - set(self.owed)
        assert released <= set(ours.values()), "a page was released that is not here"
        for handle, where in ours.items():
            if where in released:
                self.owed.append(self.held.pop(handle))
            elif where[0] == holder:
                del self.held[handle]

    def _row(self, handle: Handle) -> int:
        pool, name, index = handle
        page_object = self.store.pools[pool].find_object(name)
        if page_object is None:
            return 0
        address, _ = self.store.table.find(page_object, index, 1)
        row = self.store.table.entries[address]
        return row if row > 2 else 0

    def _is_local(self, handle: Handle) -> bool:
        return bool(self.store.rows.location(self._row(handle)))

    def _handle_of_row(self, row: int) -> Handle:
        address = self.store.rows.address(row)
        page_object, index = self.store.table.handle(address)
        return page_object.pool, page_object.object_id, index


def _run(handle: Handle, count: int) -> Iterable[Handle]:
    pool, name, index = handle
    return ((pool, name, index + position) for position in range(count))


def _zpages_of(leaving: Leaving) -> dict[int, Zpage]:
    zpages, start = {}, 0
    for serial, checksum, packed in zip(
        leaving.serials, leaving.checksums, leaving.packed, strict=True
    ):
        end = start + (packed & ZPAGE_BYTES_MASK)
        zpages[serial] = packed, leaving.body[start:end], checksum
        start = end
    assert start == len(leaving.body)
    return zpages


def _told(lie: Lie, packed: int, zpage: bytes) -> tuple[int, bytes]:
    """Return what a holder gives for a zpage."""
    if lie in {Lie.DAMAGED, Lie.SHORT}:
        # Zeros: some bits of lz4 change nothing.
        zpage = bytes(len(zpage) - (lie is Lie.SHORT))
    elif lie is Lie.MISSING:
        zpage = b""
    return (packed & ~ZPAGE_BYTES_MASK | len(zpage) if zpage else 0), zpage
