"""Elsewhere: which pages of a run only peers have, without a look at any other."""

from typing import NamedTuple

from ramsterd.core.codec import ZPAGE_BYTES_MASK
from ramsterd.core.rows import FIRST_ROW, ROW, ROW_BYTES
from ramsterd.core.table import PageObject
from ramsterd.core.versions import Versions


class Elsewhere(NamedTuple):
    """Pages that only peers have: of each its row, serial, zpage's length and first two holders; parallel lists."""

    rows: list[int]
    serials: list[int]
    zbytes: list[int]
    firsts: list[int]
    seconds: list[int]


def find_elsewhere(
    versions: Versions, page_object: PageObject, index: int, count: int
) -> Elsewhere:
    """Return what only peers have of a run."""
    found = Elsewhere([], [], [], [], [])
    versions.work["find"] += count
    if versions.loops is not None:
        versions.loops.find_elsewhere(
            page_object.root, page_object.shift, page_object.prefix, index, count, *found
        )
        return found
    table, view, unpack = versions.table, versions.rows.view, ROW.unpack_from
    done = 0
    while done < count:
        address, run = table.find(page_object, index + done, count - done)
        done += run
        if not address:
            continue
        for row in table.entries[address : address + run].tolist():
            if row < FIRST_ROW:
                continue
            serial, _, _, location, packed, first, second, _ = unpack(view, row * ROW_BYTES)
            if not location and first:
                found.rows.append(row)
                found.serials.append(serial)
                found.zbytes.append(packed & ZPAGE_BYTES_MASK)
                found.firsts.append(first)
                found.seconds.append(second)
    return found
