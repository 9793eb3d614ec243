"""Pools and their objects: the names by which a front end knows pages.

A handle is (pool, object id, index).  It never leaves the node: what travels is a serial.

Objects that are kept beyond the end of the process (kept memory) name their pool by its number.  So
a `PoolJournal` is told what a number means before the first object has it, that a pool ended before
the first of its pages is dropped, and that it is gone once it has no object any more.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from config.limits import COPIES_MAX
from config.model import PoolCodec
from ramsterd.core.codec import LZ4, Compressor, compressor_of
from ramsterd.core.family import Family
from ramsterd.core.page import INDEX_MAX, OBJECT_ID_BYTES_MAX, PoolId, PoolKind
from ramsterd.core.pool_identity import PoolIdentity, PoolUse
from ramsterd.core.table import PageObject, Tally

POOLS_MAX: Final = 4096
# So many are looked at for each block that leaves, to see whether they want alike.
ALIKE_MAX: Final = 16
# Kept objects name their pool in 32 bits, and 0 is none.
POOL_NUMBER_MAX: Final = (1 << 32) - 1


class NoSuchPool(LookupError):
    """A pool that was never made, or was destroyed."""


class PoolsExhausted(Exception):
    """`POOLS_MAX` pools exist."""


@dataclass(slots=True, eq=False)
class Unsaved:
    """The blocks of persistent pages that may have pages of a pool.

    A page that stands in none of them is at peers.

    A block stays here until somebody looks and finds that it has none.
    """

    blocks: set[int] = field(default_factory=set)
    # Those that were adopted, or that zpages were moved into, since somebody looked.
    moved: set[int] = field(default_factory=set)
    # The newest serial of the pool.
    serial_last: int = 0


@dataclass(slots=True, eq=False)
class Pool:
    """Pages of one client with one kind, or the pages of one incarnation of an owner."""

    pool: PoolId
    kind: PoolKind
    family: Family
    identity: PoolIdentity
    # On how many peers a page is kept that is not kept here.
    copies: int = 1
    # The same while fewer peers have room than that; no more than `copies` counts.
    copies_min: int = COPIES_MAX
    # Reads and writes outwait peers that can't be reached (`on_unreachable`).
    outwaits: bool = False
    codec: PoolCodec = PoolCodec.LZ4
    compressor: Compressor = LZ4
    # A hole reads as zeros here: leaves of zeros need no entries, and a flush may leave zeros.  A
    # put that is refused leaves what it would have replaced, which any other pool hides.
    is_disk: bool = False
    # Its pages are being dropped; none of them is read again.
    is_ended: bool = False
    # Only where it was asked for, as it has a price.
    unsaved: Unsaved | None = None
    tally: Tally = field(default_factory=Tally)
    objects: dict[bytes, PageObject] = field(default_factory=dict)

    @property
    def fewest_copies(self) -> int:
        """Return on how many peers a page is kept at least."""
        return min(self.copies, self.copies_min)

    def find_object(self, object_id: bytes) -> PageObject | None:
        """Return the object, or None if it has no pages."""
        return self.objects.get(object_id)

    def make_object(self, object_id: bytes) -> PageObject:
        """Return the object, made if it was not there."""
        page_object = self.objects.get(object_id)
        if page_object is None:
            assert len(object_id) <= OBJECT_ID_BYTES_MAX
            page_object = self.objects[object_id] = PageObject(self.pool, object_id, self.tally)
        return page_object


_FAMILY: Final = {
    (PoolKind.PERSISTENT, False): Family.OWN_PERSISTENT,
    (PoolKind.EPHEMERAL, False): Family.OWN_EPHEMERAL,
    (PoolKind.PERSISTENT, True): Family.FOREIGN_PERSISTENT,
    (PoolKind.EPHEMERAL, True): Family.FOREIGN_EPHEMERAL,
}


def family_of(kind: PoolKind, *, is_foreign: bool) -> Family:
    """Return what the zpages of a pool are as long as they are not clean."""
    return _FAMILY[kind, is_foreign]


class PoolJournal(Protocol):
    """Notes pools where they are found again after a restart."""

    def made(self, pool: Pool) -> None:
        """A pool has a number; none of its objects is there yet."""
        ...

    def ended(self, pool: Pool) -> None:
        """All pages of a pool are dropped from now on."""
        ...

    def gone(self, pool: Pool) -> None:
        """A pool that ended has no object any more; another may have its number."""
        ...


class NoJournal:
    """Nothing outlives this process."""

    def made(self, pool: Pool) -> None:
        """See `PoolJournal`."""

    def ended(self, pool: Pool) -> None:
        """See `PoolJournal`."""

    def gone(self, pool: Pool) -> None:
        """See `PoolJournal`."""


class Pools:
    """All pools of a node; a number is used again only when all others were."""

    def __init__(self) -> None:
        self.journal: PoolJournal = NoJournal()
        self._pools: dict[PoolId, Pool] = {}
        # Those of an earlier process, until the export or program with the same identity takes
        # them.
        self._left: dict[PoolIdentity, list[Pool]] = {}
        self._last = 0

    def new(
        self,
        kind: PoolKind,
        identity: PoolIdentity,
        *,
        copies: int = 1,
        copies_min: int = COPIES_MAX,
        codec: PoolCodec = PoolCodec.LZ4,
    ) -> Pool:
        """Make a pool.

        Raises:
            PoolsExhausted: There are `POOLS_MAX`.
            CodecMissing: The library of the codec is not installed.
        """
        if len(self._pools) >= POOLS_MAX:
            raise PoolsExhausted(f"{POOLS_MAX} pools exist")
        number = self._last % POOL_NUMBER_MAX + 1
        while number in self._pools:
            number = number % POOL_NUMBER_MAX + 1
        pool = self.adopt(number, kind, identity, codec)
        pool.copies, pool.copies_min = copies, copies_min
        self._last = number
        self.journal.made(pool)
        return pool

    def adopt(
        self, number: int, kind: PoolKind, identity: PoolIdentity, codec: PoolCodec = PoolCodec.LZ4
    ) -> Pool:
        """Make a pool that the journal knows, with the number that its objects name.

        On how many peers is not known yet.

        Raises:
            CodecMissing: The library of the codec is not installed.
        """
        assert 0 < number <= POOL_NUMBER_MAX
        assert number not in self._pools
        pool = Pool(
            PoolId(number),
            kind,
            family_of(kind, is_foreign=identity.is_foreign),
            identity,
            codec=codec,
            compressor=compressor_of(codec),
            is_disk=identity.is_disk,
        )
        self._pools[pool.pool] = pool
        self._last = max(self._last, number)
        return pool

    @property
    def left(self) -> list[Pool]:
        """Return the pools that an earlier process has left and nobody has taken yet, by number."""
        left = (pool for pools in self._left.values() for pool in pools)
        return sorted(left, key=lambda pool: pool.pool)

    @property
    def left_to_programs(self) -> list[Pool]:
        """Return those of programs."""
        return [pool for pool in self.left if pool.identity.use in {PoolUse.NAMED, PoolUse.PRIVATE}]

    def leave(self, pool: Pool) -> None:
        """A pool that was adopted waits until the export or program that it belongs to takes it."""
        self._left.setdefault(pool.identity, []).append(pool)

    def take_left(self, kind: PoolKind, identity: PoolIdentity, codec: PoolCodec) -> Pool | None:
        """Return a pool that was left for this identity, once.

        On a disk the codec may have changed.
        """
        for pool in self._left.get(identity, ()):
            if pool.kind is kind and (pool.codec is codec or pool.is_disk):
                self._not_left(pool)
                pool.codec, pool.compressor = codec, compressor_of(codec)
                return pool
        return None

    def _not_left(self, pool: Pool) -> None:
        """A pool was taken, or ended; it may have been left, or not."""
        pools = self._left.get(pool.identity, [])
        if pool in pools:
            pools.remove(pool)
        if not pools:
            self._left.pop(pool.identity, None)

    def __getitem__(self, pool_id: PoolId) -> Pool:
        """Return the pool.

        Raises:
            NoSuchPool: It does not exist.
        """
        try:
            return self._pools[pool_id]
        except KeyError:
            raise NoSuchPool(f"no pool {pool_id}") from None

    def __contains__(self, pool_id: PoolId) -> bool:
        return pool_id in self._pools

    def __iter__(self) -> Iterator[Pool]:
        return iter(self._pools.values())

    def alike(self) -> Pool | None:
        """Return one of our persistent pools, if all of them want as many copies; None: they do not, or there are many."""
        if len(self._pools) > ALIKE_MAX:
            return None
        ours = [pool for pool in self if pool.family is Family.OWN_PERSISTENT]
        wanted = {(pool.copies, pool.copies_min) for pool in ours}
        return ours[0] if len(wanted) == 1 else None

    def end(self, pool_id: PoolId) -> None:
        """None of a pool's pages is read again.

        They are dropped, and `remove` follows.  More than once is once.
        """
        pool = self[pool_id]
        if not pool.is_ended:
            self._not_left(pool)
            pool.is_ended = True
            self.journal.ended(pool)

    def remove(self, pool_id: PoolId) -> None:
        """Forget a pool that ended and whose pages are gone."""
        pool = self[pool_id]
        assert pool.is_ended
        assert not pool.objects
        del self._pools[pool_id]
        self.journal.gone(pool)


def check_run(index: int, count: int) -> None:
    """Assert that a run is one: front ends have checked what their clients asked for."""
    assert 0 <= index <= INDEX_MAX
    assert 0 < count <= INDEX_MAX - index + 1
