"""Zpages that leave: a block at a time, still compressed.

A block that begins to leave is copied and stays readable; what is put again or flushed meanwhile is
found out when it ends, by serials.  Functions over `Versions`, each a transaction like the store's
own operations.
"""

from dataclasses import dataclass

from ramsterd.core.codec import ZPAGE_BYTES_MASK
from ramsterd.core.family import Family
from ramsterd.core.rows import ROW, ROW_BYTES
from ramsterd.core.versions import Versions


@dataclass(frozen=True, slots=True)
class Leaving:
    """The zpages of a block on its way to a peer: four parallel lists, and the bytes back to back."""

    block: int
    rows: list[int]
    serials: list[int]
    checksums: list[int]
    packed: list[int]
    body: bytes


def begin_leaving(versions: Versions, block: int) -> Leaving:
    """Take a block off the lists and copy what it holds; its pages stay readable."""
    zbud = versions.zbud
    zbud.begin_leaving(block)
    rows = zbud.rows(block)
    versions.work["send"] += 8 + len(rows)
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
    return Leaving(block, rows, serials, checksums, packed_list, b"".join(pieces))


def return_leaving(versions: Versions, leaving: Leaving) -> None:
    """The peer did not take the block: it stays, as the oldest of its family."""
    versions.zbud.return_leaving(leaving.block)


def end_leaving(versions: Versions, leaving: Leaving, *holders: int) -> list[int]:
    """Peers hold the block: free it here.  Return the serials that were overtaken meanwhile.

    A page whose row still has the serial that was sent is now held by `holders` only.  One that was
    put again or flushed on the way is not: the holders keep a version that nobody will ask for.
    """
    current, overtaken = _still_current(versions, leaving)
    for row in current:
        # This order: at any time the page is here, or somebody is said to have it.
        versions.rows.set_holders(row, holders)
        versions.forget_local(row)
    versions.zbud.end_leaving(leaving.block)
    return overtaken


def keep_leaving(versions: Versions, leaving: Leaving, *holders: int) -> list[int]:
    """Peers hold the block, and it stays here too, as a clean one.  Return the serials that were overtaken."""
    current, overtaken = _still_current(versions, leaving)
    zbytes = 0
    for row in current:
        versions.rows.set_holders(row, holders)
        zbytes += versions.zbytes(row)
    versions.zbud.return_leaving(leaving.block)
    if current:
        versions.change_family(leaving.block, Family.OWN_CLEAN, len(current), zbytes)
    return overtaken


def _still_current(versions: Versions, leaving: Leaving) -> tuple[list[int], list[int]]:
    """Return the rows that are as they were sent, and the serials of those that are not."""
    current, overtaken = [], []
    versions.work["sent"] += len(leaving.rows)
    for row, serial in zip(leaving.rows, leaving.serials, strict=True):
        # The serial alone would not do: a row that was freed may serve a foreign page with the same
        # serial by now.  But nothing new is put into a block that is leaving.
        is_here = versions.block_of(row) == leaving.block
        if is_here and versions.rows.serial(row) == serial:
            current.append(row)
        else:
            overtaken.append(serial)
    return current, overtaken
