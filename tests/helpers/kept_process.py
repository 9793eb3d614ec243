"""What a node's memory has when its process ends, as an attach hands it to the next: rows, blocks, pools, holder ids.

All else that the process knew is forgotten: what it owed, what was under way, whom it waited for, whom it trusted.
"""

from collections import Counter
from typing import Final

from config.limits import COPIES_MAX
from ramsterd.core.block_columns import BlockState
from ramsterd.core.page import PoolKind
from ramsterd.core.pools import Pool
from ramsterd.core.store import Store
from ramsterd.kept.names import KeptHolder
from ramsterd.pagepath.engine import Engine
from ramsterd.pagepath.kept_pages import KeptPages

# Serials are reserved that far ahead, and nobody knows which of them were used (docs/design/0015).
SERIALS_RESERVED: Final = 1 << 20


def kept_pages(engine: Engine) -> KeptPages:
    """Return what outlives the process of an engine, which does nothing more."""
    store = engine.store
    _forget_heap(store)
    rows = store.rows
    live = list(rows.live())
    return KeptPages(
        store=store,
        attach_count=engine.attach_count + 1,
        holders=[
            KeptHolder(each.id, each.node, each.incarnation, each.is_dead)
            for each in engine.machines.holders
        ],
        holder_pages=Counter(holder for row in live for holder in rows.holders(row)),
        ephemeral_rows=[
            row
            for row in live
            if rows.first_holder(row)
            and not rows.location(row)
            and store.versions.kind_of(row) is PoolKind.EPHEMERAL
        ],
    )


def _forget_heap(store: Store) -> None:
    versions, zbud = store.versions, store.zbud
    versions.take_owed()
    versions.take_thinned()
    versions.serial_last += SERIALS_RESERVED
    for holder in store.copies.unreachable_holders:
        store.copies.on_reachable(holder)
    store.copies.on_attainable(COPIES_MAX)
    for block in range(1, len(zbud.state)):
        if zbud.state[block] == BlockState.LEAVING:
            zbud.return_leaving(block)
    for pool in store.pools:
        _track_anew(store, pool)


def _track_anew(store: Store, pool: Pool) -> None:
    if pool.unsaved is not None:
        pool.unsaved = None
        store.track_unsaved(pool.pool)
