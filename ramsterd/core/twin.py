"""The compiled loops over the memory of one store (ramsterd.compiled), as the store calls them.

They serve what is everyday, or stop and say how far they came; what is not everyday is for core.hot,
which has the same loops in Python, and the policy: a page for which something is to be evicted, or
a row or a leaf to be found, what is elsewhere, what is damaged, and all codecs but lz4.  Where they
lack only a slot, and a block can be made for it, they go on with that.
"""

from types import ModuleType
from typing import TYPE_CHECKING, Final, NamedTuple

from ramsterd.core.block_columns import BlockState
from ramsterd.core.codec import LZ4, PACKED_FILL, PACKED_RAW, PACKED_ZSTD, ZPAGE_BYTES_MAX
from ramsterd.core.family import Family
from ramsterd.core.lru import UNLISTED
from ramsterd.core.page import PAGE_BYTES, ZERO_PAGE
from ramsterd.core.pools import Pool
from ramsterd.core.redo import REDO_ROW, REDO_ZPAGE
from ramsterd.core.rows import FIRST_ROW, FRAME_ROWS, ROW, ROW_BYTES
from ramsterd.core.size_classes import (
    BLOCK_SHIFT,
    CHUNK_BYTES,
    CLASSES,
    SLOT_SHIFT,
    SLOTS_OF_CLASS,
)
from ramsterd.core.table import FIRST_ADDRESS, LEAF_SHIFT, PageObject
from ramsterd.core.twin_hold import HoldTwin
from ramsterd.core.versions import Versions

if TYPE_CHECKING:
    from ramsterd.compiled._loops import Loops, Stored

# A library that was built from other sources would mix up pages.
LAYOUT: Final = {
    "PAGE_BYTES": PAGE_BYTES,
    "ROW_BYTES": ROW_BYTES,
    "FIRST_ROW": FIRST_ROW,
    "LEAF_SHIFT": LEAF_SHIFT,
    "FIRST_ADDRESS": FIRST_ADDRESS,
    "BLOCK_SHIFT": BLOCK_SHIFT,
    "SLOT_SHIFT": SLOT_SHIFT,
    "CHUNK_BYTES": CHUNK_BYTES,
    "CLASSES": CLASSES,
    "ZPAGE_BYTES_MAX": ZPAGE_BYTES_MAX,
    "PACKED_RAW": PACKED_RAW,
    "PACKED_FILL": PACKED_FILL,
    "REDO_ROW": REDO_ROW,
    "REDO_ZPAGE": REDO_ZPAGE,
    "OPEN": int(BlockState.OPEN),
    "CLOSED": int(BlockState.CLOSED),
    "LEAVING": int(BlockState.LEAVING),
    "FRAME_ROWS": FRAME_ROWS,
    "PACKED_ZSTD": PACKED_ZSTD,
    "UNLISTED": UNLISTED,
}


class Served(NamedTuple):
    """What became of requests, in order, up to the first that is not everyday."""

    replies: bytes | None
    # How long the requests are that were served.
    length: int
    reads: int
    writes: int
    pages_read: int
    # If what comes next is a WRITE, one of whose pages is for Python: the index of that page; else -1.
    next_index: int
    # How many pages of it are stored already.
    skip: int
    # The class of the slot that it lacks, and nothing else; 0: it lacks more.
    wanted_chunks: int


class Twin:
    """The compiled loops over the versions of a store."""

    def __init__(self, versions: Versions, loops: ModuleType) -> None:
        assert loops.LAYOUT == LAYOUT, "built of other sources"
        zbud = versions.zbud
        open_blocks, (room_next, room_previous, _) = zbud.lists_of_room
        self._versions = versions
        self._loops: Loops = loops.Loops(
            arena=zbud.arena,
            slot_rows=zbud.slot_rows,
            rows=versions.rows.view,
            redo=versions.redo.view,
            entries=versions.table.entries,
            slots_of_class=bytes(SLOTS_OF_CLASS),
            chunks_of_block=zbud.chunks_of_block,
            block_state=zbud.state,
            free_slots=zbud.free_masks,
            leaf_used=versions.table.leaf_used,
            free_rows=versions.rows.stack,
            stacks=[zbud.stacks(family) for family in Family],
            open_blocks=open_blocks,
            room_next=room_next,
            room_previous=room_previous,
        )
        self.hold = HoldTwin(versions, self._loops)

    def get(
        self,
        page_object: PageObject,
        index: int,
        count: int,
        pages: list[bytes | None],
        elsewhere: list[tuple[int, int]],
    ) -> int:
        """Append the pages of a run up to the first that is not everyday, and what is elsewhere; return how many are lost."""
        local, lost = self._loops.get(
            page_object.root, page_object.shift, page_object.prefix, index, count,
            ZERO_PAGE, pages, elsewhere,
        )  # fmt: skip
        self._versions.counters.get_local += local
        return lost

    def get_each(
        self,
        page_object: PageObject,
        indexes: list[int],
        pages: list[bytes | None],
        elsewhere: list[tuple[int, int]],
    ) -> int:
        """The same for pages anywhere in an object."""
        local, lost = self._loops.get_each(
            page_object.root, page_object.shift, page_object.prefix, indexes,
            ZERO_PAGE, pages, elsewhere,
        )  # fmt: skip
        self._versions.counters.get_local += local
        return lost

    def put(
        self, pool: Pool, page_object: PageObject, index: int, pages: memoryview, takes_slots: bool
    ) -> tuple[int, bool]:
        """Put a run up to the first page that is not everyday; return how many pages, and whether that one needs a slot and may take none."""
        if pool.compressor is not LZ4:
            return 0, False
        versions, unsaved = self._versions, pool.unsaved
        done = 0
        while page_object.root:
            some, stored, wanted_chunks = self._loops.put(
                page_object.root, page_object.shift, page_object.prefix,
                index + done, pages[done * PAGE_BYTES :],
                pool.family, None if unsaved is None else unsaved.blocks,
                versions.serial_last, versions.serial_limit, takes_slots,
            )  # fmt: skip
            done += some
            has_folded = stored is not None and self._note(pool, page_object, stored)
            if wanted_chunks < 0:
                return done, True
            if has_folded or not (wanted_chunks and self.find_slot(pool, wanted_chunks)):
                break
        return done, False

    @property
    def loops(self) -> "Loops":
        """The loops themselves, for who has the rest of a twin by himself (core.leaving, core.install)."""
        return self._loops

    def find_slot(self, pool: Pool, wanted_chunks: int) -> bool:
        """Have a slot of a class ready, if there is room for one without an eviction; it is taken next."""
        versions = self._versions
        # A page that lacks a row too would leave a block without zpages behind.
        return bool(versions.rows.stack) and versions.zbud.fill_stack(pool.family, wanted_chunks)

    def serve(
        self, pool: Pool, page_object: PageObject, requests: memoryview, size: int,
        is_structured: bool, is_writable: bool, pages_max: int, skip: int,
    ) -> Served:  # fmt: skip
        """Serve requests up to the first that is not everyday (see serve.c)."""
        versions, unsaved = self._versions, pool.unsaved
        replies, length, reads, writes, pages_read, local, holes, stored, index, skip, chunks = (
            self._loops.serve(
                page_object.root, page_object.shift, page_object.prefix, requests, size,
                is_structured, is_writable and pool.compressor is LZ4, pages_max, skip,
                pool.family, None if unsaved is None else unsaved.blocks,
                versions.serial_last, versions.serial_limit,
            )
        )  # fmt: skip
        counters = versions.counters
        counters.get_local += local
        counters.get_hole += holes
        if stored is not None:
            counters.put += stored[0] - versions.serial_last
            if self._note(pool, page_object, stored):
                chunks = 0
        return Served(replies, length, reads, writes, pages_read, index, skip, chunks)

    def _note(self, pool: Pool, page_object: PageObject, stored: "Stored") -> bool:
        """Count what was put, and end what it has replaced; return whether leaves were folded.

        The page that comes next may need such a leaf: to find one is for Python, and a slot for it
        had better wait until then.
        """
        (
            serial, zpages, zbytes, stored_bytes, raws, zeros, fills, holes, freed, ends, leaves, ended,
        ) = stored  # fmt: skip
        versions = self._versions
        versions.serial_last = serial
        versions.account(pool.family, zpages, zbytes)
        counters = versions.counters
        counters.put_zpage_bytes += stored_bytes
        counters.put_raw += raws
        counters.put_zero += zeros
        counters.put_same_filled += fills
        page_object.tally.pages += holes
        if pool.unsaved is not None:
            pool.unsaved.serial_last = serial
        if ended is not None:
            # As core.hot does, before slots are given back.
            versions.end_all(ROW.iter_unpack(ended))
        if freed:
            versions.zbud.room_made += 1
        for end in ends or ():
            if end > 0:
                versions.zbud.free(end)
            else:
                versions.drop_row(-end)
        if leaves is not None and pool.is_disk:
            # A pass may come to a leaf again and again: it is gone when it has been folded.
            for leaf in dict.fromkeys(leaves):
                versions.table.fold(leaf)
        return leaves is not None
