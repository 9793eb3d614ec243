"""Install: zpages that were fetched from a holder are judged, and kept here too, or again.

Between the request and the answer, a page may have been flushed or put again.
So an answer is judged by the serial that the row has now.
Nothing that a peer says is trusted: length and checksum are those of our own row.
"""

from typing import Final

from ramsterd.core.codec import ZPAGE_BYTES_MASK, decode_same
from ramsterd.core.family import Family
from ramsterd.core.room import Room
from ramsterd.core.rows import ROW, ROW_BYTES
from ramsterd.core.size_classes import CHUNK_BYTES
from ramsterd.core.versions import Versions

# In place of a page whose row has another version by now, or serves another page.
OVERTAKEN: Final = b""


def come_home(
    room: Room,
    rows: list[int],
    serials: list[int],
    packed: list[int],
    zpages: memoryview,
    families: list[Family | None],
) -> tuple[list[bytes | None], int]:
    """Return what a holder gave, and how many pages of it are kept from now on, as there was room below the high watermark.

    A persistent page becomes a clean copy of what its holder keeps.  An ephemeral one is ours alone
    again, and its holder is owed a flush: a copy there would be a promise that nobody gives.

    Args:
        room: Whose rows these are.
        rows: Of the pages that the holder was asked for.
        serials: What they had then.
        packed: What the holder says of each, 0 if it has none; lengths were checked by the parser.
        zpages: Back to back.
        families: What each becomes if it is kept: OWN_CLEAN or OWN_EPHEMERAL; None: nobody waits
            for it, and nobody looks at it.

    Returns:
        For each the page, or None if the holder does not have what it was given (or nobody waits),
        or `OVERTAKEN`.
    """
    versions = room.versions
    loops, count = versions.loops, len(rows)
    pages: list[bytes | None] = []
    at = start = installed = 0
    # Python goes on with more pages each time that the compiled loop comes no further.
    each = count if loops is None else 1
    is_short = room.is_short()
    while at < count:
        if loops is not None:
            before = at
            at, start, kept, zbytes, wanted_chunks = loops.come_home(
                rows, serials, packed, zpages, families, pages, at, start,
                versions.zbud.stacks(Family.OWN_CLEAN), Family.OWN_CLEAN, not is_short,
            )  # fmt: skip
            versions.account(Family.OWN_CLEAN, kept, zbytes)
            installed += kept
            if wanted_chunks:
                zpage = zpages[start - (packed[at - 1] & ZPAGE_BYTES_MASK) : start]
                installed += _install(versions, Family.OWN_CLEAN, rows[at - 1], zpage)
                is_short = room.is_short()
            if wanted_chunks or at == count:
                continue
            each = 1 if at > before else 2 * each
        stop = min(at + each, count)
        start, kept = _come_home(room, rows, serials, packed, zpages, families, pages, stop, start)
        at, installed, is_short = stop, installed + kept, room.is_short()
    versions.work["install"] += 2 * installed
    return pages, installed


def _come_home(
    room: Room, rows: list[int], serials: list[int], packed: list[int], zpages: memoryview,
    families: list[Family | None], pages: list[bytes | None], stop: int, start: int,
) -> tuple[int, int]:  # fmt: skip
    """Append to `pages` up to `stop`, from the zpage at `start`; return where the last one ends, and how many are kept."""
    versions, installed = room.versions, 0
    unpack, view = ROW.unpack_from, versions.rows.view
    is_short = room.is_short()
    for at in range(len(pages), stop):
        row, code, family = rows[at], packed[at], families[at]
        end = start + (code & ZPAGE_BYTES_MASK)
        zpage, start = zpages[start:end], end
        if family is None:
            pages.append(None)
            continue
        now, checksum, _, location, ours, holder, _, _ = unpack(view, row * ROW_BYTES)
        # A row that was freed may serve a foreign page with the same serial, which has no holder.
        if now != serials[at] or not holder:
            pages.append(OVERTAKEN)
            continue
        page = decode_same(ours, code, zpage, checksum)
        pages.append(page)
        # What came meanwhile, by another fetch, is left as it is.
        if page is not None and not location and not is_short:
            installed += _install(versions, family, row, zpage)
            is_short = room.is_short()
    return start, installed


def _install(versions: Versions, family: Family, row: int, zpage: memoryview) -> bool:
    """Keep a zpage that is what its row says, if there is room; nothing is evicted for a page that is safe where it is."""
    zbud, chunks = versions.zbud, -(-len(zpage) // CHUNK_BYTES)
    stack = zbud.stacks(family)[chunks]
    location = stack.pop() if stack else zbud.refill(family, chunks)
    if not location:
        return False
    zbud.fill(location, row, zpage)
    versions.rows.set_location(row, location)
    versions.account(family, 1, len(zpage))
    if family is Family.OWN_EPHEMERAL:
        for each in versions.rows.holders(row):
            versions.give_up_copy(row, each)
    return True
