"""What the log of kept memory says of pools and holders: records, and the state that they lead to.  Pure.

Pools have numbers in kept objects, holders have ids in kept rows.  What these numbers mean is noted
here, before the first object or row has one.  A pool that *ended* is being dropped, or its owner's
pages are: none of them is read again.  One that is *gone* has no object any more, and its number
may be used again; the same for holders.
"""

import enum
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from config.limits import NAME_BYTES_MAX, NODE_NUMBER_MAX
from config.model import PoolCodec
from ramsterd.core.family import Family
from ramsterd.core.page import PoolKind
from ramsterd.core.pool_identity import PoolIdentity, PoolUse
from ramsterd.core.pools import POOLS_MAX, family_of
from ramsterd.kept.record_log import RECORD_BYTES_MAX

GENERATION_BYTES: Final = 16
NO_GENERATION: Final = bytes(GENERATION_BYTES)
# As a row names it (core.rows).
HOLDER_ID_MAX: Final = 0xFFFF


class DamagedNames(Exception):
    """Records that contradict each other or mean nothing; the message says what is wrong."""


class _Kind(enum.IntEnum):
    """What a record says.  Numbers are kept: append only."""

    POOL = 1
    POOL_FILLED = 2
    POOL_ENDED = 3
    POOL_GONE = 4
    HOLDER = 5
    HOLDER_ENDED = 6
    HOLDER_GONE = 7


_POOL: Final = struct.Struct("<BIBBBIHQ")
_POOL_FILLED: Final = struct.Struct(f"<BI{GENERATION_BYTES}s")
_POOL_ONLY: Final = struct.Struct("<BI")
_HOLDER: Final = struct.Struct("<BHHQ")
_HOLDER_ONLY: Final = struct.Struct("<BH")
# Numbers are kept: append only.
_POOL_KINDS: Final = (PoolKind.PERSISTENT, PoolKind.EPHEMERAL)
_CODECS: Final = (PoolCodec.LZ4, PoolCodec.ZSTD, PoolCodec.NONE)
# A snapshot of all that may be known at once, with the frame of each record (record_log).
_FRAME_BYTES: Final = 12
SNAPSHOT_BYTES_MAX: Final = POOLS_MAX * (
    _POOL.size + NAME_BYTES_MAX + _POOL_FILLED.size + _POOL_ONLY.size + 3 * _FRAME_BYTES
) + HOLDER_ID_MAX * (_HOLDER.size + _HOLDER_ONLY.size + 2 * _FRAME_BYTES)

assert _POOL.size + NAME_BYTES_MAX <= RECORD_BYTES_MAX
assert set(_CODECS) == set(PoolCodec)
assert set(_POOL_KINDS) == set(PoolKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPool:
    """A pool as the log has it.

    How many copies its pages have, and the like, the config says at each start.
    """

    pool: int
    identity: PoolIdentity
    kind: PoolKind
    codec: PoolCodec = PoolCodec.LZ4
    # That of the mark (statefile.marks), while it is set.
    generation: bytes = NO_GENERATION
    is_ended: bool = False

    @property
    def family(self) -> Family:
        """Return what its zpages are as long as they are not clean."""
        return family_of(self.kind, is_foreign=self.identity.is_foreign)

    @property
    def is_disk(self) -> bool:
        """Whether a hole reads as zeros."""
        return self.identity.is_disk


@dataclass(frozen=True, slots=True)
class KeptHolder:
    """One incarnation of a peer, as rows name it; one that ended is to be swept for."""

    holder: int
    node: int
    incarnation: int
    is_ended: bool = False


def pool_made(pool: KeptPool) -> bytes:
    """Return the record of a new pool."""
    identity = pool.identity
    name = identity.name.encode()
    assert len(name) <= NAME_BYTES_MAX
    return name.join((
        _POOL.pack(
            _Kind.POOL, pool.pool, identity.use, _POOL_KINDS.index(pool.kind), _CODECS.index(pool.codec),
            identity.user, identity.node, identity.incarnation,
        ),
        b"",
    ))  # fmt: skip


def pool_filled(pool: int, generation: bytes) -> bytes:
    """Return the record of a mark that was set; `NO_GENERATION`: it was cleared."""
    assert len(generation) == GENERATION_BYTES
    return _POOL_FILLED.pack(_Kind.POOL_FILLED, pool, generation)


def pool_ended(pool: int) -> bytes:
    """Return the record of a pool whose pages are dropped from now on."""
    return _POOL_ONLY.pack(_Kind.POOL_ENDED, pool)


def pool_gone(pool: int) -> bytes:
    """Return the record of a pool that has no object any more."""
    return _POOL_ONLY.pack(_Kind.POOL_GONE, pool)


def holder_known(holder: int, node: int, incarnation: int) -> bytes:
    """Return the record of a holder id."""
    return _HOLDER.pack(_Kind.HOLDER, holder, node, incarnation)


def holder_ended(holder: int) -> bytes:
    """Return the record of a holder whose copies are gone."""
    return _HOLDER_ONLY.pack(_Kind.HOLDER_ENDED, holder)


def holder_gone(holder: int) -> bytes:
    """Return the record of a holder that no row names any more."""
    return _HOLDER_ONLY.pack(_Kind.HOLDER_GONE, holder)


class Names:
    """What all records together say."""

    def __init__(self) -> None:
        self.pools: dict[int, KeptPool] = {}
        self.holders: dict[int, KeptHolder] = {}

    def apply(self, record: bytes) -> None:
        """Add what a record says.

        Raises:
            DamagedNames: It is no record, or can't be true after those before it.
        """
        try:
            kind = _Kind(record[0])
            match kind:
                case _Kind.POOL:
                    self._add_pool(record)
                case _Kind.POOL_FILLED:
                    _, pool, generation = _POOL_FILLED.unpack(record)
                    self.pools[pool] = replace(self.pools[pool], generation=generation)
                case _Kind.POOL_ENDED:
                    _, pool = _POOL_ONLY.unpack(record)
                    self.pools[pool] = replace(self.pools[pool], is_ended=True)
                case _Kind.POOL_GONE:
                    del self.pools[_POOL_ONLY.unpack(record)[1]]
                case _Kind.HOLDER:
                    self._add_holder(record)
                case _Kind.HOLDER_ENDED:
                    _, holder = _HOLDER_ONLY.unpack(record)
                    self.holders[holder] = replace(self.holders[holder], is_ended=True)
                case _Kind.HOLDER_GONE:
                    del self.holders[_HOLDER_ONLY.unpack(record)[1]]
        except (struct.error, ValueError, IndexError) as error:
            raise DamagedNames(f"no record: {error}") from None
        except KeyError as error:
            raise DamagedNames(f"a record of {error}, which was never made") from None

    def _add_pool(self, record: bytes) -> None:
        _, pool, use, kind, codec, user, node, incarnation = _POOL.unpack_from(record)
        name = record[_POOL.size :].decode()
        if not pool or pool in self.pools or len(self.pools) >= POOLS_MAX:
            raise DamagedNames(f"pool {pool} can't be made among {len(self.pools)}")
        if len(name.encode()) > NAME_BYTES_MAX or node > NODE_NUMBER_MAX:
            raise DamagedNames(f"pool {pool} of node {node} with a name of {len(name)} characters")
        self.pools[pool] = KeptPool(
            pool=pool,
            identity=PoolIdentity(
                use=PoolUse(use), name=name, user=user, node=node, incarnation=incarnation
            ),
            kind=_POOL_KINDS[kind],
            codec=_CODECS[codec],
        )

    def _add_holder(self, record: bytes) -> None:
        _, holder, node, incarnation = _HOLDER.unpack(record)
        if not holder or holder in self.holders or node > NODE_NUMBER_MAX:
            raise DamagedNames(f"holder {holder} of node {node} can't be made")
        self.holders[holder] = KeptHolder(holder, node, incarnation)

    def records(self) -> Iterator[bytes]:
        """Yield the fewest records that say the same."""
        for pool in self.pools.values():
            yield pool_made(pool)
            if pool.generation != NO_GENERATION:
                yield pool_filled(pool.pool, pool.generation)
            if pool.is_ended:
                yield pool_ended(pool.pool)
        for holder in self.holders.values():
            yield holder_known(holder.holder, holder.node, holder.incarnation)
            if holder.is_ended:
                yield holder_ended(holder.holder)
