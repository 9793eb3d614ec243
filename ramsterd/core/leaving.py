"""Zpages that leave: a block at a time, still compressed.

A block that begins to leave is copied and stays readable; what is put again or flushed meanwhile is
found out when it ends, by serials.  Functions over `Versions`, each a transaction like the store's
own operations.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from config.limits import COPIES_MAX
from ramsterd.core.block_columns import BlockState
from ramsterd.core.codec import ZPAGE_BYTES_MASK
from ramsterd.core.family import Family
from ramsterd.core.rows import NO_HOLDER, ROW, ROW_BYTES
from ramsterd.core.size_classes import SLOTS_OF_CLASS
from ramsterd.core.versions import Versions
from ramsterd.core.zbud import Zbud


@dataclass(frozen=True, slots=True)
class Leaving:
    """The zpages of a block on its way to a peer: four parallel columns, and the bytes back to back."""

    block: int
    rows: "array[int]"
    serials: "array[int]"
    checksums: "array[int]"
    packed: "array[int]"
    body: bytes


def zpages_in(zbud: Zbud, block: int) -> int:
    """Return how many zpages a block has that may leave."""
    chunks, free = zbud.chunks_of_block[block], zbud.free_masks[block].bit_count()
    if zbud.state[block] == BlockState.OPEN:
        free += len(zbud.stacks(Family(zbud.family_of_block[block]))[chunks])
    return SLOTS_OF_CLASS[chunks] - free


def begin_leaving(versions: Versions, block: int) -> Leaving:
    """Take a block off the lists and copy what it holds; its pages stay readable."""
    versions.zbud.begin_leaving(block)
    gathered = None if versions.loops is None else versions.loops.gather(block)
    if gathered is None:
        leaving = _gather(versions, block)
    else:
        rows, serials, checksums, packed, body = gathered
        leaving = Leaving(
            block, array("I", rows), array("Q", serials), array("Q", checksums), array("H", packed), body
        )  # fmt: skip
    versions.work["send"] += 8 + len(leaving.rows)
    return leaving


def _gather(versions: Versions, block: int) -> Leaving:
    zbud, rows = versions.zbud, versions.zbud.rows(block)
    serials, checksums, packed_list, pieces = [], [], [], []
    for row in rows:
        serial, checksum, _, location, packed, _, _, _ = ROW.unpack_from(
            versions.rows.view, row * ROW_BYTES
        )
        serials.append(serial)
        checksums.append(checksum)
        packed_list.append(packed)
        start = zbud.offset(location)
        pieces.append(zbud.arena[start : start + (packed & ZPAGE_BYTES_MASK)])
    return Leaving(
        block, array("I", rows), array("Q", serials), array("Q", checksums),
        array("H", packed_list), b"".join(pieces),
    )  # fmt: skip


def return_leaving(versions: Versions, leaving: Leaving) -> None:
    """The peer did not take the block: it stays, as the oldest of its family."""
    versions.zbud.return_leaving(leaving.block)


def end_leaving(versions: Versions, leaving: Leaving, *holders: int) -> list[int]:
    """Peers hold the block: free it here.  Return the serials that were overtaken meanwhile.

    A page whose row still has the serial that was sent is now held by `holders` only.  One that was
    put again or flushed on the way is not: the holders keep a version that nobody will ask for.
    """
    zbud, block = versions.zbud, leaving.block
    pages, zbytes, overtaken = _hand_over(versions, leaving, holders, is_kept=False)
    versions.account(zbud.family_of_block[block], -pages, -zbytes)
    zbud.end_leaving(block)
    return overtaken


def keep_leaving(versions: Versions, leaving: Leaving, *holders: int) -> list[int]:
    """Peers hold the block, and it stays here too, as a clean one.  Return the serials that were overtaken."""
    pages, zbytes, overtaken = _hand_over(versions, leaving, holders, is_kept=True)
    versions.zbud.return_leaving(leaving.block)
    if pages:
        versions.change_family(leaving.block, Family.OWN_CLEAN, pages, zbytes)
    return overtaken


def _hand_over(
    versions: Versions, leaving: Leaving, holders: Sequence[int], *, is_kept: bool
) -> tuple[int, int, list[int]]:
    """Have holders named by the rows that are as they were sent; return how many, their bytes, and the serials of the others."""
    rows, serials = leaving.rows, leaving.serials
    versions.work["sent"] += len(rows)
    done = None
    if versions.loops is not None:
        none = (NO_HOLDER,) * (COPIES_MAX - len(holders))
        done = versions.loops.hand_over(leaving.block, rows, serials, *holders, *none, is_kept)
    if done is not None:
        return done[0], done[1], done[2] or []
    pages, zbytes, overtaken = 0, 0, []
    for row, serial in zip(rows, serials, strict=True):
        # The serial alone would not do: a row that was freed may serve a foreign page with the same
        # serial by now.  But nothing new is put into a block that is leaving.
        if versions.block_of(row) != leaving.block or versions.rows.serial(row) != serial:
            overtaken.append(serial)
            continue
        # This order: at any time the page is here, or somebody is said to have it.
        versions.rows.set_holders(row, holders)
        if not is_kept:
            versions.rows.set_location(row, 0)
        pages += 1
        zbytes += versions.zbytes(row)
    return pages, zbytes, overtaken
