"""Notes what the numbers in kept memory mean, before anything there has them.  Pure.

Pools tell it of themselves (core.pools), holders of theirs (remote.holders), and marks of each
filling (statefile.marks).
"""

from nodemanager.ids import Incarnation, NodeId
from ramsterd.core.page import PoolId
from ramsterd.core.pools import Pool
from ramsterd.kept.name_log import NameLog
from ramsterd.kept.names import (
    NO_GENERATION,
    KeptPool,
    holder_ended,
    holder_gone,
    holder_known,
    pool_ended,
    pool_filled,
    pool_gone,
    pool_made,
)


class KeptJournal:
    """Writes the log of names."""

    def __init__(self, log: NameLog) -> None:
        self._log = log

    # Pools (core.pools.PoolJournal).

    def made(self, pool: Pool) -> None:
        """A pool has a number; none of its objects is there yet."""
        kept = KeptPool(pool=pool.pool, identity=pool.identity, kind=pool.kind, codec=pool.codec)
        self._log.note(pool_made(kept))

    def ended(self, pool: Pool) -> None:
        """All pages of a pool are dropped from now on."""
        self._log.note(pool_ended(pool.pool))

    def gone(self, pool: Pool) -> None:
        """A pool that ended has no object any more."""
        self._log.note(pool_gone(pool.pool))

    def filled(self, pool: PoolId, generation: str) -> None:
        """A pool's mark is set, with the generation of this filling; or cleared, without one."""
        found = bytes.fromhex(generation) or NO_GENERATION
        if self._log.names.pools[pool].generation != found:
            self._log.note(pool_filled(pool, found))

    # Holders (remote.holders.HolderJournal).

    def on_holder_known(self, holder: int, node: NodeId, incarnation: Incarnation) -> None:
        """Rows may name this id from now on."""
        self._log.note(holder_known(holder, node, incarnation))

    def on_holder_ended(self, holder: int) -> None:
        """It keeps nothing of ours any more."""
        self._log.note(holder_ended(holder))

    def on_holder_forgotten(self, holder: int) -> None:
        """No row names it any more."""
        self._log.note(holder_gone(holder))
