"""Install: zpages that were fetched from a holder are judged, and kept here too, or again.

Between the request and the answer, a page may have been flushed or put again.
So an answer is judged by the serial that the row has now.
Nothing that a peer says is trusted: length and checksum are those of our own row.
"""

from collections.abc import Sequence
from typing import Final

from ramsterd.core.codec import ZPAGE_BYTES_MASK, decode_same
from ramsterd.core.family import Family
from ramsterd.core.room import Room
from ramsterd.core.rows import ROW, ROW_BYTES
from ramsterd.core.size_classes import CHUNK_BYTES

# In place of a page whose row has another version by now, or serves another page.
OVERTAKEN: Final = b""


def come_home(
    room: Room,
    rows: Sequence[int],
    serials: Sequence[int],
    packed: Sequence[int],
    zpages: memoryview,
    families: Sequence[Family | None],
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
    zbud, unpack, view = versions.zbud, ROW.unpack_from, versions.rows.view
    set_location = versions.rows.set_location
    pages: list[bytes | None] = []
    start, installed, is_short = 0, 0, room.is_short()
    for row, serial, code, family in zip(rows, serials, packed, families, strict=True):
        end = start + (code & ZPAGE_BYTES_MASK)
        zpage, start = zpages[start:end], end
        if family is None:
            pages.append(None)
            continue
        now, checksum, _, location, ours, holder, _, _ = unpack(view, row * ROW_BYTES)
        # A row that was freed may serve a foreign page with the same serial, which has no holder.
        if now != serial or not holder:
            pages.append(OVERTAKEN)
            continue
        page = decode_same(ours, code, zpage, checksum)
        pages.append(page)
        # What came meanwhile, by another fetch, is left as it is.
        if page is None or location or is_short:
            continue
        chunks = -(-len(zpage) // CHUNK_BYTES)
        stack = zbud.stacks(family)[chunks]
        if stack:
            location = stack.pop()
        else:
            # Nothing is evicted for a page that is safe where it is.
            location = zbud.refill(family, chunks)
            is_short = room.is_short()
        if not location:
            continue
        zbud.fill(location, row, zpage)
        set_location(row, location)
        versions.account(family, 1, len(zpage))
        installed += 1
        if family is Family.OWN_EPHEMERAL:
            for each in versions.rows.holders(row):
                versions.give_up_copy(row, each)
    versions.work["install"] += 2 * installed
    return pages, installed
