"""A store that goes on with the mappings that an earlier one left, as a restart would."""

from ramsterd.core.arena import MapMemory
from ramsterd.core.store import Store
from ramsterd.kept.attach import attach_store
from ramsterd.kept.names import KeptPool, Names, holder_known, pool_made


def adopted(before: Store, map_memory: MapMemory, *, holders: set[int]) -> Store:
    """Return a new store over the mappings of one whose process ended, of which only pools are asked."""
    names = Names()
    for pool in before.pools:
        names.apply(
            pool_made(
                KeptPool(pool=pool.pool, identity=pool.identity, kind=pool.kind, codec=pool.codec)
            )
        )
    for holder in holders:
        names.apply(holder_known(holder, holder, 1))
    attached = attach_store(
        map_memory,
        before.room.limits,
        names=names,
        serial_limit=before.versions.serial_last,
        on_damaged=lambda _: None,
    )
    assert not attached.judgement.repairs
    assert not attached.damaged
    for pool in before.pools:
        after = attached.store.pools[pool.pool]
        after.copies, after.copies_min = pool.copies, pool.copies_min
        attached.store.copies.on_wanted(pool.copies)
    return attached.store
