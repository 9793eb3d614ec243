"""A store that goes on with the mappings that an earlier one left, as a restart would."""

from ramsterd.core.adoption import adopt_table
from ramsterd.core.arena import MapMemory
from ramsterd.core.store import Store
from tests.helpers.kept_image import KeptImage


def adopted(before: Store, map_memory: MapMemory, *, holders: set[int]) -> Store:
    """Return a new store over the mappings of one whose process ended, of which only pools are asked."""
    image = KeptImage(before, holders=holders)
    found, trees = image.judge(), image.walk()
    assert not found.repairs
    assert not trees.damaged
    after = Store(map_memory, before.room.limits)
    for pool in before.pools:
        adopted_pool = after.pools.adopt(pool.pool, pool.kind, pool.identity, pool.codec)
        adopted_pool.copies, adopted_pool.copies_min = pool.copies, pool.copies_min
        after.copies.on_wanted(pool.copies)
    after.rows.adopt(found.rows_used)
    adopt_table(after.versions, trees.table(found.leaf_used))
    after.zbud.adopt(found.chunks_of_block, found.family_of_block, found.free_slots)
    after.versions.adopt(found.zpages, found.zpage_bytes, serial_last=before.versions.serial_last)
    return after
