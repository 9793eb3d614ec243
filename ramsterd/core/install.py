"""Install: a zpage that was fetched from its holder is kept here too, or again."""

from ramsterd.core.family import Family
from ramsterd.core.page import PoolKind
from ramsterd.core.room import Room
from ramsterd.core.size_classes import CHUNK_BYTES


def install(room: Room, row: int, zpage: bytes | memoryview) -> bool:
    """Localify: keep a fetched zpage, if there is room below the high watermark.

    A persistent page becomes a clean copy of what its holder keeps.  An ephemeral one is ours alone
    again, and its holder is owed a flush: a copy there would be a promise that nobody gives.

    The caller has verified the zpage against the row and the serial against the one that it asked
    for.  A page that arrived meanwhile, by another fetch, is left as it is.
    """
    versions = room.versions
    zbud, rows = versions.zbud, versions.rows
    if rows.location(row) or room.is_short():
        return False
    is_ephemeral = versions.kind_of(row) is PoolKind.EPHEMERAL
    family, zbytes = Family.OWN_EPHEMERAL if is_ephemeral else Family.OWN_CLEAN, len(zpage)
    chunks = -(-zbytes // CHUNK_BYTES)
    stack = zbud.stacks(family)[chunks]
    # Nothing is evicted for a page that is safe where it is.
    location = stack.pop() if stack else zbud.refill(family, chunks)
    if not location:
        return False
    versions.work["install"] += 2
    zbud.fill(location, row, zpage)
    rows.set_location(row, location)
    versions.account(family, 1, zbytes)
    if is_ephemeral:
        for holder in rows.holders(row):
            versions.give_up_copy(row, holder)
    return True
