"""The two loops that run for each page of a put and of a get.

They take the pages of one leaf of the page table.  A page costs some microseconds here, most of
them the codec's, so that each call, attribute and object would show: all that a loop touches is a
local name, rows are packed and unpacked in one go, and what is seldom needed is a function.
`benchmarks/store.py` measures both beside the bare codec.
"""

from collections.abc import Sequence
from typing import Final

from ramsterd.core.codec import (
    PACKED_FILL,
    PACKED_RAW,
    WORD_BYTES,
    WORDS_PER_PAGE,
    ZPAGE_BYTES_MASK,
    ZPAGE_BYTES_MAX,
    checksum_of,
    decode_page,
    is_same_filled,
)
from ramsterd.core.family import Family
from ramsterd.core.page import PAGE_BYTES, ZERO_PAGE, CorruptPage
from ramsterd.core.pools import Pool
from ramsterd.core.redo import REDO_COMMIT, REDO_ROW, REDO_ZBYTES
from ramsterd.core.room import Room
from ramsterd.core.rows import FIRST_ROW, ROW, ROW_BYTES
from ramsterd.core.size_classes import BLOCK_SHIFT, CHUNK_BYTES, SLOT_MASK, SLOT_SHIFT
from ramsterd.core.table import HOLE, LEAF_SHIFT, LOST, ZERO
from ramsterd.core.versions import Versions
from ramsterd.core.zbud import LEAVING, Zbud

# Bytes to chunks, rounded up, as a shift.
_CHUNK_SHIFT: Final = CHUNK_BYTES.bit_length() - 1
_CHUNK_ROUND: Final = CHUNK_BYTES - 1
_WORD_SHIFT: Final = WORD_BYTES.bit_length() - 1
_LAST_WORD: Final = WORDS_PER_PAGE - 1


def put_extent(  # noqa: PLR0912, PLR0915  one loop: each page would pay for each call
    room: Room, pool: Pool, address: int, run: int, pages: memoryview, takes_slots: bool
) -> int:
    """Put the pages of one leaf, as far as there is room for them; return how many.

    A page that is overwritten keeps its row, whose serial is new: all that knows the old version
    compares serials.  It keeps its slot too if the new zpage is of the same class, unless the block
    is on its way to a peer.  Without `takes_slots` the first page that needs another slot is where
    this ends.

    The process may end between any two stores.  So what was there is not touched before the commit:
    that is the entry of a page that had no row, and else the word of the redo record, which has the
    new row, and the zpage if it takes the place of the old one.  What the old version had is given
    back behind it.
    """
    family, compress, tag = pool.family, pool.compressor.compress, pool.compressor.tag
    versions = room.versions
    zbud, rows, counters, entries = (
        versions.zbud, versions.rows, versions.counters, versions.table.entries,
    )  # fmt: skip
    arena, slot_rows, free_rows, pack_row, unpack_row, row_view = (
        zbud.arena, zbud.slot_rows, rows.stack, ROW.pack_into, ROW.unpack_from, rows.view,
    )  # fmt: skip
    redo_view, redo_words, redo_row, redo_zpage = (
        versions.redo.view, versions.redo.words, versions.redo.row, versions.redo.zpage,
    )  # fmt: skip
    # Slots of versions that were replaced: given back in one go, and before anything looks for
    # room.
    freed: list[int] = []
    stacks, chunks_of_block, block_state = (
        zbud.stacks(family), zbud.chunks_of_block, zbud.state,
    )  # fmt: skip
    if versions.serial_last + run > versions.serial_limit:
        versions.reserve_serials(run)
    words = pages[: run * PAGE_BYTES].cast("Q")
    serial, zbytes_stored, zpages_stored, start = versions.serial_last, 0, 0, 0
    zpages_freed, zbytes_freed, holes_filled, raws = 0, 0, 0, 0
    done = run
    for place in range(address, address + run):
        page = pages[start : start + PAGE_BYTES]
        word = start >> _WORD_SHIFT
        start += PAGE_BYTES
        if words[word] == words[word + _LAST_WORD] and is_same_filled(page):
            if freed:
                _give_back(zbud, freed)  # to find a row may evict
            was_hole = not entries[place]
            if not _put_filled(room, family, place, words[word], serial + 1):
                done = place - address
                break
            holes_filled += was_hole
            serial += 1
            continue
        if not takes_slots and not _keeps_slot(versions, entries[place]):
            done = place - address
            break
        zpage = compress(page)
        zbytes = len(zpage)
        packed = tag | zbytes
        if zbytes > ZPAGE_BYTES_MAX:
            zpage, zbytes, packed = page, PAGE_BYTES, PACKED_RAW
            raws += 1
        chunks = (zbytes + _CHUNK_ROUND) >> _CHUNK_SHIFT
        row = before = entries[place]
        location = old_location = old_packed = holder = 0
        if before >= FIRST_ROW:
            _, _, _, old_location, old_packed, holder, _, _ = unpack_row(row_view, row * ROW_BYTES)
            old_block = old_location >> SLOT_SHIFT
            if (
                chunks_of_block[old_block] == chunks
                and not holder
                and block_state[old_block] != LEAVING
            ):
                location = old_location
        if not location:
            if not takes_slots:
                done, raws = place - address, raws - (packed == PACKED_RAW)
                break
            if before < FIRST_ROW:
                if free_rows:
                    row = free_rows.pop()
                else:
                    _give_back(zbud, freed)
                    row = room.find_row(family)
            stack = stacks[chunks]
            if stack:
                location = stack.pop()
            else:
                _give_back(zbud, freed)
                location = room.find_slot(family, chunks)
                if entries[place] != before:  # evicted for the slot, so at least its row is free
                    row, before, old_location, holder = rows.alloc(), HOLE, 0, 0
                elif holder:
                    # Its copy here may have been dropped for the slot, or have become ours alone.
                    _, _, _, old_location, old_packed, holder, _, _ = unpack_row(
                        row_view, row * ROW_BYTES
                    )
            if not (row and location):
                room.undo_put(row if before < FIRST_ROW else 0, location)
                done, raws = place - address, raws - (packed == PACKED_RAW)
                break
        block = location >> SLOT_SHIFT
        offset = (block << BLOCK_SHIFT) + (location & SLOT_MASK) * (
            chunks_of_block[block] << _CHUNK_SHIFT
        )
        serial += 1
        if before < FIRST_ROW:
            arena[offset : offset + zbytes] = zpage
            slot_rows[location] = row
            pack_row(
                row_view, row * ROW_BYTES, serial, checksum_of(page), place, location, packed, 0, 0, 0
            )  # fmt: skip
            entries[place] = row
            holes_filled += not before
            zbytes_stored += zbytes
            zpages_stored += 1
            continue
        pack_row(redo_view, REDO_ROW, serial, checksum_of(page), place, location, packed, 0, 0, 0)
        row_start = row * ROW_BYTES
        row_end = row_start + ROW_BYTES
        if location == old_location:
            redo_zpage[:zbytes] = zpage
            redo_words[REDO_ZBYTES] = zbytes
            redo_words[REDO_COMMIT] = row
            arena[offset : offset + zbytes] = zpage
            row_view[row_start:row_end] = redo_row
            redo_words[REDO_COMMIT] = 0
            zbytes_freed += old_packed & ZPAGE_BYTES_MASK
            zpages_freed += 1
        else:
            arena[offset : offset + zbytes] = zpage
            slot_rows[location] = row
            old = versions.version(row) if holder else ()
            redo_words[REDO_ZBYTES] = 0
            redo_words[REDO_COMMIT] = row
            row_view[row_start:row_end] = redo_row
            redo_words[REDO_COMMIT] = 0
            if holder:
                versions.end_version(old)
            elif old_location:
                zbytes_freed += old_packed & ZPAGE_BYTES_MASK
                zpages_freed += 1
                freed.append(old_location)
        zbytes_stored += zbytes
        zpages_stored += 1
    _give_back(zbud, freed)
    if holes_filled:
        versions.table.count_pages(address >> LEAF_SHIFT, holes_filled)
    versions.serial_last = serial
    # Without a holder, the old versions were of the same family.
    versions.account(family, zpages_stored - zpages_freed, zbytes_stored - zbytes_freed)
    counters.put_zpage_bytes += zbytes_stored
    counters.put_raw += raws
    return done


def _keeps_slot(versions: Versions, row: int) -> bool:
    """Whether a page may stay in the slot that it has, if its new zpage is of the same class: else none need be made."""
    if row < FIRST_ROW:
        return False
    block = versions.block_of(row)
    return (
        bool(block)
        and versions.zbud.state[block] != LEAVING
        and not versions.rows.first_holder(row)
    )


def _give_back(zbud: Zbud, freed: list[int]) -> None:
    if freed:
        zbud.free_many(freed)
        freed.clear()


def _put_filled(room: Room, family: Family, place: int, word: int, serial: int) -> bool:
    """Put a page all of whose words are equal; return whether there was room to note it."""
    versions = room.versions
    entries = versions.table.entries
    before = entries[place]
    if not word:
        entries[place] = ZERO
        if before >= FIRST_ROW:
            versions.drop_row(before)
        versions.counters.put_zero += 1
        return True
    view = versions.rows.view
    if before >= FIRST_ROW:
        redo, start = versions.redo, before * ROW_BYTES
        _, _, _, location, _, holder, _, _ = old = ROW.unpack_from(view, start)
        words = redo.words
        ROW.pack_into(redo.view, REDO_ROW, serial, word, place, 0, PACKED_FILL, 0, 0, 0)
        words[REDO_ZBYTES] = 0
        words[REDO_COMMIT] = before
        view[start : start + ROW_BYTES] = redo.row
        words[REDO_COMMIT] = 0
        if location or holder:
            versions.end_version(old)
    else:
        row = room.find_row(family)
        if not row:
            return False
        ROW.pack_into(view, row * ROW_BYTES, serial, word, place, 0, PACKED_FILL, 0, 0, 0)
        entries[place] = row
    versions.counters.put_same_filled += 1
    return True


def get_pages(
    versions: Versions,
    addresses: Sequence[int],
    rows: list[int],
    pages: list[bytes | None],
    elsewhere: list[tuple[int, int]],
) -> int:
    """Get the pages of entries, of one leaf or of many; return how many are lost.  `rows` is what stands in them."""
    arena, chunks_of_block, row_view = (
        versions.zbud.arena,
        versions.zbud.chunks_of_block,
        versions.rows.view,
    )
    pages_before, lost, local = len(pages), 0, 0
    for row in rows:
        page: bytes | None = None
        if row >= FIRST_ROW:
            _, checksum, _, location, packed, _, _, _ = ROW.unpack_from(row_view, row * ROW_BYTES)
            if location or packed == PACKED_FILL:
                block = location >> SLOT_SHIFT
                offset = (block << BLOCK_SHIFT) + (location & SLOT_MASK) * (
                    chunks_of_block[block] << _CHUNK_SHIFT
                )
                zpage = arena[offset : offset + (packed & ZPAGE_BYTES_MASK)]
                try:
                    page = decode_page(packed, zpage, checksum)
                    local += 1
                except CorruptPage:
                    if versions.on_corrupt(row):
                        elsewhere.append((len(pages), row))
                    elif versions.table.entries[addresses[len(pages) - pages_before]] == LOST:
                        lost += 1
            else:
                elsewhere.append((len(pages), row))
        elif row == ZERO:
            page = ZERO_PAGE
            local += 1
        elif row == LOST:
            lost += 1
        pages.append(page)
    versions.counters.get_local += local
    return lost
