"""Foreign pages: theirs, over here.

Each incarnation of an owner has two pools, persistent and ephemeral, whose index is the owner's
serial.  The owner of a message is who the link says it is, so no owner can name another's pages.
Seeing a newer incarnation of an owner drops all that its earlier incarnations left here.  To drop
many is long work, which is done in slices.

Persistent pages displace ephemeral ones, of any owner; ephemeral ones displace older ephemeral ones
of other owners and of their own, and nothing else.  None is told: the owner of a page that has gone
misses it, or sees in our next STATUS that we keep fewer.

There is a quota for all together, in bytes of zpages, and one for each owner, in pages: these are
counted exactly.  While pages are recalled (`remote.recall`) none are accepted.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from nodemanager.ids import Incarnation, NodeId
from ramsterd.core import extents
from ramsterd.core.family import Family
from ramsterd.core.foreign_pages import answer_get, get_zpages, put_zpages
from ramsterd.core.page import PAGE_BYTES, PoolId, PoolKind
from ramsterd.core.pool_identity import owner_pool
from ramsterd.core.pools import PoolsExhausted
from ramsterd.core.slices import Steps
from ramsterd.core.store import Store
from ramsterd.core.twin_hold import Column
from ramsterd.remote.hold.foreign_flushes import ForeignFlushes
from ramsterd.remote.hold.kept_owners import kept_owners
from ramsterd.remote.wire import PutPages, PutResult, get_reply_table

# Blocks of ephemeral pages that give way to one PUT; if that is not enough, it finds no room.
DISPLACED_BLOCKS_MAX: Final = 64


@dataclass(slots=True)
class ForeignOwner:
    """One incarnation of an owner, and what it has here."""

    node: NodeId
    incarnation: Incarnation
    pools: dict[PoolKind, PoolId]
    flushes: ForeignFlushes
    put_pages_total: int = 0
    get_pages_total: int = 0
    refused_pages_total: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignStatistics:
    """What one owner has here, in pages, and what it asked for."""

    node: NodeId
    incarnation: Incarnation
    pages: int
    put_pages_total: int
    get_pages_total: int
    refused_pages_total: int


class ForeignPages:
    """All foreign pages of this node."""

    def __init__(
        self,
        store: Store,
        *,
        run: Callable[[Steps], None],
        bytes_fraction_max: float,
        owner_pages_max: int = 0,
    ) -> None:
        """Begin with none.

        Args:
            store: Keeps them.
            run: Has long work done, a slice now and then.
            bytes_fraction_max: The part of the budget that all of them may use; and of the tables,
                ours included.
            owner_pages_max: What one owner may have; 0: as much as all together.
        """
        self._store = store
        self._run = run
        self._bytes_fraction_max = bytes_fraction_max
        self._owner_pages_max = owner_pages_max
        # No page is accepted from anybody.
        self.is_closed = False
        self._owners: dict[NodeId, ForeignOwner] = {}
        self.purged_total = 0

    def set_quotas(self, *, bytes_fraction_max: float, owner_pages_max: int) -> None:
        """Change both quotas; see `__init__`.  What is over them stays, or is recalled."""
        self._bytes_fraction_max = bytes_fraction_max
        self._owner_pages_max = owner_pages_max

    @property
    def zpage_bytes(self) -> int:
        """Bytes of foreign zpages here."""
        zbytes = self._store.versions.zpage_bytes
        return zbytes[Family.FOREIGN_PERSISTENT] + zbytes[Family.FOREIGN_EPHEMERAL]

    def room_for(self, node: NodeId) -> int:
        """Return how many bytes of persistent zpages would be accepted from an owner now."""
        room = self.room_bytes()
        if not self._owner_pages_max:
            return room
        return min(room, PAGE_BYTES * max(0, self._owner_pages_max - self.pages_of(node)))

    def room_bytes(self, kind: PoolKind = PoolKind.PERSISTENT) -> int:
        """Return how many bytes of foreign zpages of a kind would be accepted now, as far as all together may."""
        if self.is_closed or self._store.versions.tables.is_above(self._bytes_fraction_max):
            return 0
        zbytes = self._store.versions.zpage_bytes
        below_watermark, below_quota = self._free_bytes()
        # Foreign ephemeral pages give way to any foreign page, clean copies to persistent ones:
        # that is free.
        below_watermark += zbytes[Family.FOREIGN_EPHEMERAL]
        below_quota += zbytes[Family.FOREIGN_EPHEMERAL]
        if kind is PoolKind.PERSISTENT:
            below_watermark += zbytes[Family.OWN_CLEAN]
        return max(0, min(below_watermark, below_quota))

    def _free_bytes(self) -> tuple[int, int]:
        """Return what is free below the low watermark, and below the quota, when nothing is dropped."""
        store = self._store
        budget = store.zbud.budget_bytes
        below_watermark = int(budget * store.room.limits.low_watermark) - store.zbud.used_bytes
        return below_watermark, int(budget * self._bytes_fraction_max) - self.zpage_bytes

    def over_quota_bytes(self, budget_bytes: int | None = None) -> int:
        """Return how many bytes of persistent zpages are here beyond what all together may use of a budget.

        Without one it is that of the store, which may have shrunk.
        """
        if budget_bytes is None:
            budget_bytes = self._store.zbud.budget_bytes
        quota_bytes = int(budget_bytes * self._bytes_fraction_max)
        return max(0, self._store.versions.zpage_bytes[Family.FOREIGN_PERSISTENT] - quota_bytes)

    def adopt(self) -> None:
        """Go on with the pages of owners that the store has from an earlier process."""
        owners, to_drop = kept_owners(self._store.pools)
        for each in owners:
            flushes = ForeignFlushes(self._store, each.pools.values(), run=self._run)
            self._owners[each.node] = ForeignOwner(each.node, each.incarnation, each.pools, flushes)
        self._drop(to_drop)

    def incarnations(self) -> dict[NodeId, Incarnation]:
        """Return the incarnation of each owner that has pages here, or had some."""
        return {node: owner.incarnation for node, owner in self._owners.items()}

    def owners(self) -> list[NodeId]:
        """Return who has pages here, or had some."""
        return list(self._owners)

    def _displace_ephemeral(self, bytes_wanted: int) -> bool:
        """Drop the oldest foreign ephemeral pages, until so much is free or none is left.

        False: that takes longer.
        """
        zbud, displaced = self._store.zbud, 0
        while (
            min(self._free_bytes()) < bytes_wanted
            and displaced < DISPLACED_BLOCKS_MAX
            and (block := zbud.oldest(Family.FOREIGN_EPHEMERAL)) is not None
        ):
            self._store.room.evict_block(block)
            displaced += 1
        return displaced < DISPLACED_BLOCKS_MAX

    def on_owner_seen(self, node: NodeId, incarnation: Incarnation) -> None:
        """Drop what earlier incarnations of a node left here."""
        owner = self._owners.get(node)
        if owner is not None and owner.incarnation < incarnation:
            self.purge(node)

    def purge(self, node: NodeId) -> None:
        """Nobody can name what a node has here any more; it is dropped in slices."""
        owner = self._owners.pop(node, None)
        if owner is not None:
            owner.flushes.end()
            self._drop(owner.pools.values())

    def _drop(self, pools: Iterable[PoolId]) -> None:
        """End pools, and have their pages dropped."""
        for pool in pools:
            self._run(extents.drop_pool(self._store, pool, self._on_purged))

    def _on_purged(self, pages: int) -> None:
        self.purged_total += pages

    def on_put(self, node: NodeId, incarnation: Incarnation, put: PutPages) -> bytes:
        """Keep the pages that find room; return one `PutResult` for each."""
        count = len(put.serials)
        try:
            owner = self._owner(node, incarnation)
        except PoolsExhausted:  # by programs of this node, or by owners that come and go
            return bytes([PutResult.NOT_ACCEPTING]) * count
        if (
            len(put.body) > self.room_bytes(put.kind)
            or not self._is_within_quota(owner, count)
            or not owner.flushes.has_room
            or not self._displace_ephemeral(len(put.body))
        ):
            owner.refused_pages_total += count
            return bytes([PutResult.NOT_ACCEPTING]) * count
        pool = owner.pools[put.kind]
        stored = put_zpages(self._store, pool, put.serials, put.checksums, put.packed, put.body)
        owner.flushes.on_put(put.serials[:stored])
        owner.put_pages_total += stored
        owner.refused_pages_total += count - stored
        return bytes([PutResult.STORED]) * stored + bytes([PutResult.NO_ROOM]) * (count - stored)

    def on_get(self, node: NodeId, serials: Column) -> tuple[bytes, bytes]:
        """Return the table and the body of the answer: the zpages back to back, copied."""
        owner = self._owners.get(node)
        if owner is None:
            return get_reply_table([0] * len(serials)), b""
        owner.get_pages_total += len(serials)
        pools = owner.pools[PoolKind.PERSISTENT], owner.pools[PoolKind.EPHEMERAL]
        answer = answer_get(self._store, pools, serials)
        return self._get_each(pools, serials) if answer is None else answer

    def _get_each(self, pools: tuple[PoolId, PoolId], serials: Column) -> tuple[bytes, bytes]:
        packed, pieces = get_zpages(self._store.versions, pools[0], serials)
        if 0 not in packed:
            return get_reply_table(packed), b"".join(pieces)
        others, other_pieces = get_zpages(self._store.versions, pools[1], serials)
        first, second = iter(pieces), iter(other_pieces)
        merged = [
            next(first) if code else next(second)
            for code, other in zip(packed, others, strict=True)
            if code or other
        ]
        both = [code or other for code, other in zip(packed, others, strict=True)]
        return get_reply_table(both), b"".join(merged)

    def on_flush(self, node: NodeId, firsts: Column, lasts: Column) -> None:
        """Drop the pages in these ranges of serials, in slices: what is put from now on stays.

        Raises:
            RemoteProtocolError: Too much waits to be dropped.
        """
        owner = self._owners.get(node)
        if owner is not None:
            owner.flushes.add(firsts, lasts)

    def on_flush_owner(self, node: NodeId, last: Incarnation) -> None:
        """Drop all that incarnations of a node up to `last` own here."""
        owner = self._owners.get(node)
        if owner is not None and owner.incarnation <= last:
            self.purge(node)

    def pools_of(self, node: NodeId) -> tuple[PoolId, ...]:
        """Return the pools that what a node has here is in; none if it has nothing."""
        owner = self._owners.get(node)
        return () if owner is None else tuple(owner.pools.values())

    def pages_of(self, node: NodeId) -> int:
        """Return how many pages a node has here."""
        owner = self._owners.get(node)
        return 0 if owner is None else self._count(owner)

    def _is_within_quota(self, owner: ForeignOwner, pages: int) -> bool:
        return not self._owner_pages_max or self._count(owner) + pages <= self._owner_pages_max

    def statistics(self) -> tuple[ForeignStatistics, ...]:
        """Return a snapshot, one entry an owner."""
        return tuple(
            ForeignStatistics(
                node=owner.node,
                incarnation=owner.incarnation,
                pages=self._count(owner),
                put_pages_total=owner.put_pages_total,
                get_pages_total=owner.get_pages_total,
                refused_pages_total=owner.refused_pages_total,
            )
            for owner in self._owners.values()
        )

    def _count(self, owner: ForeignOwner) -> int:
        return sum(self._store.pages_of(pool) for pool in owner.pools.values())

    def _owner(self, node: NodeId, incarnation: Incarnation) -> ForeignOwner:
        """Return what an incarnation of an owner has here, with pools for it.

        Raises:
            PoolsExhausted: There are no more; nothing was made.
        """
        owner = self._owners.get(node)
        if owner is None:
            identity = owner_pool(node, incarnation)
            persistent = self._store.new_pool(PoolKind.PERSISTENT, identity)
            try:
                ephemeral = self._store.new_pool(PoolKind.EPHEMERAL, identity)
            except PoolsExhausted:
                self._store.destroy_pool(persistent)
                raise
            pools = {PoolKind.PERSISTENT: persistent, PoolKind.EPHEMERAL: ephemeral}
            flushes = ForeignFlushes(self._store, pools.values(), run=self._run)
            owner = self._owners[node] = ForeignOwner(node, incarnation, pools, flushes)
        assert owner.incarnation == incarnation, "earlier incarnations are purged first"
        return owner
