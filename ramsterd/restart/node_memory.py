"""The kept memory of a node as its daemon uses it: taken up at the start, and left in order at the end.

It is opened before anything else is made, as it says which incarnation goes on; how long that took
is logged.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Final

import trio

from config.event_kinds import EventKind, about
from nodemanager.ids import Incarnation
from ramsterd.core.family import Family
from ramsterd.core.page import PoolId
from ramsterd.core.pool_identity import PoolUse
from ramsterd.core.pools import Pool
from ramsterd.core.store import Store
from ramsterd.core.versions import StoreLimits
from ramsterd.handover.names import Named
from ramsterd.kept.attach import Attached
from ramsterd.kept.memory import KeptMemory, MemoryStatistics
from ramsterd.kept.names import NO_GENERATION, KeptPool
from ramsterd.kept.super_page import Owner
from ramsterd.pagepath.engine import Engine
from ramsterd.pagepath.kept_pages import KeptPages
from ramsterd.reconfigure.exports import EXPORT_OBJECT
from ramsterd.statefile.content import Key, PoolKey
from ramsterd.statefile.marks import Mark, Marks

logger = logging.getLogger("ramster.memory")

# A start that has served for so long was not ended by its memory, even if the check of all pages
# takes longer.
SERVED_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.1


class NodeMemory:
    """See the module's text; what clients ask of it is `handover.keeping.Keeping`."""

    def __init__(
        self,
        memory: KeptMemory,
        limits: StoreLimits,
        incarnation: Incarnation,
        *,
        clock: Callable[[], float],
    ) -> None:
        """Attach what was kept, or begin with nothing; `clock` is a monotonic one, in seconds."""
        self._memory = memory
        began_at = clock()
        store = memory.make_store(limits, incarnation)
        # Which incarnation this node is, and what it begins with.
        self.incarnation = incarnation
        self.pages = _pages_of(memory, store)
        self._seconds = clock() - began_at
        # The pages end with this process, by an operator's wish.
        self.is_forgotten = False

    # What clients ask.

    @property
    def memory_id(self) -> bytes:
        """Which memory this process has."""
        return self._memory.memory_id

    @property
    def owner(self) -> Owner:
        """Which node it belongs to."""
        return self._memory.owner

    @property
    def outlives_process(self) -> bool:
        """Whether the pages stay when this process ends."""
        return self._memory.outlives_process and not self.is_forgotten

    @property
    def outlives_stop(self) -> bool:
        """Whether the pages are there again when a daemon that was stopped is started."""
        return self._memory.outlives_stop and not self.is_forgotten

    @property
    def descriptors(self) -> Sequence[Named]:
        """Mappings that are found by no path."""
        return self._memory.descriptors

    # The start.

    def fault_in(self) -> None:
        """Have this process map all that is in memory, so that it is locked as its own is."""
        self._memory.fault_in()

    @property
    def is_attached(self) -> bool:
        """Whether there are pages of an earlier process."""
        return self._memory.attached is not None

    def take_up(self, marks: Marks, engine: Engine) -> None:
        """Open what was kept and the state file knows, and drop all else.

        It comes before exports and pools are made.
        """
        attached = self._memory.attached
        marks.note_memory(self.memory_id.hex(), self._memory.folder)
        if attached is None:
            return
        pools = engine.store.pools
        keys = {
            pool.pool: key
            for pool in attached.pools
            if (key := _key_of(pool)) is not None and _is_whole(pools[PoolId(pool.pool)])
        }
        fillings = {
            keys[pool.pool]: "" if pool.generation == NO_GENERATION else pool.generation.hex()
            for pool in attached.pools
            if pool.pool in keys
        }
        adopted = marks.adopt(fillings)
        for pool in pools.left:
            key = keys.get(pool.pool)
            if key not in adopted and (key is not None or not _is_whole(pool)):
                engine.drop_pool(pool.pool)

    def follow(self, mark: Mark, pool: PoolId) -> None:
        """Note each filling of a pool, before its first page."""
        mark.on_filling = lambda generation: self._memory.journal.filled(pool, generation)

    def resume(self, engine: Engine) -> None:
        """Go on with the pages of the process before; all of them are read again, in slices.

        It comes before any link is open.
        """
        now, zbud = trio.current_time(), engine.store.zbud
        if self.is_attached:
            engine.resume(now=now)
            engine.begin_scrub(now=now)
        if zbud.resident_bytes > zbud.budget_bytes:
            # The config has a smaller budget than the last run had.
            engine.set_budget(zbud.budget_bytes, now=now)
        self._say_what_was_kept()

    def _say_what_was_kept(self) -> None:
        """Tell the log, in one line."""
        memory, attached = self._memory, self._memory.attached
        if memory.warning:
            logger.warning("[memory] keep: %s", memory.warning)
        if memory.given_up:
            extra = about(EventKind.PAGES_GIVEN_UP)
            logger.warning(
                "the pages of the last run are given up: %s", memory.given_up, extra=extra
            )
        if attached is None:
            who = f"kept by {keeper}" if (keeper := memory.keeper) else "kept by nobody"
            logger.info("the pages of this node are %s ([memory] keep)", who)
            return
        found = self.statistics()
        logger.log(
            logging.WARNING if found.broken_pages or attached.damaged else logging.INFO,
            "%s pages of the last run, which %s, are here again after %.2f s: %s are damaged, %s of them lost",
            f"{found.adopted_pages:,}", "ended in order" if memory.was_clean else "was killed or crashed",
            found.attach_seconds, f"{found.broken_pages:,}", f"{found.lost_pages:,}",
            extra=about(EventKind.PAGES_ATTACHED, pages=found.adopted_pages, lost_pages=found.lost_pages),
        )  # fmt: skip
        for lost in attached.damaged.values():
            logger.warning(
                "all these pages are lost, because their tables are damaged: %s", lost,
                extra=about(EventKind.PAGES_LOST),
            )  # fmt: skip

    async def vouch(self, is_scrubbing: Callable[[], bool]) -> None:
        """Note when the daemon serves and all pages here were read again: what ends it then is not its memory.

        Else a node that is killed again and again, by others, would start empty in the end.
        """
        with trio.move_on_after(SERVED_SECONDS):
            while is_scrubbing():  # noqa: ASYNC110  once in a run: no event for it in the scrub
                await trio.sleep(_LOOK_SECONDS)
        self._memory.on_served()

    # The end.

    def end(self) -> None:
        """Nothing is stored any more: leave the memory to the next process, or to nobody."""
        if self.is_forgotten:
            self._memory.discard()
        else:
            self._memory.end()
        self._memory.close()

    def statistics(self) -> MemoryStatistics:
        """Return a snapshot."""
        return self._memory.statistics(self._seconds if self.is_attached else 0.0)


def _is_whole(pool: Pool) -> bool:
    """Return whether a pool has the objects that it may have: an export has one, and its pages in another are damage."""
    return not pool.is_disk or pool.objects.keys() <= {EXPORT_OBJECT}


def _key_of(pool: KeptPool) -> Key | None:
    """Return what the state file calls a pool whose pages it has a mark for."""
    identity = pool.identity
    if identity.use is PoolUse.EXPORT:
        return identity.name
    is_marked = identity.use is PoolUse.NAMED and pool.family is Family.OWN_PERSISTENT
    return PoolKey(identity.user, identity.name) if is_marked else None


def _pages_of(memory: KeptMemory, store: Store) -> KeptPages:
    attached = memory.attached
    return KeptPages(
        store=store,
        attach_count=0 if attached is None else memory.attaches,
        holders=() if attached is None else attached.holders,
        holder_pages={} if attached is None else attached.judgement.holder_pages,
        ephemeral_rows=() if attached is None else _ephemeral_rows(attached),
        holder_journal=memory.journal,
        note_incarnation=memory.note_incarnation,
    )


def _ephemeral_rows(attached: Attached) -> list[int]:
    """Return the rows of our ephemeral pages that only a holder has."""
    store = attached.store
    pools = {
        pool.pool
        for pool in store.pools
        if pool.family is Family.OWN_EPHEMERAL and pool.tally.pages
    }
    if not pools:
        return []
    holders = [each.holder for each in attached.holders]
    rows = store.rows.held_by(holders, 0, store.rows.high)
    return [
        row
        for row in rows
        if not store.rows.location(row) and store.versions.pool_of(row).pool in pools
    ]
