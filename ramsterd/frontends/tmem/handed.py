"""One tmem connection in the words of a handover: its record, and what a record says.  Pure.

Who the client is, the socket still knows.  Pools with a name are found again by it; a private one
by its number, if it was kept.
"""

from dataclasses import dataclass
from typing import Final, cast

from config.model import PoolCodec
from ramsterd.core.page import PoolId, PoolKind
from ramsterd.handover.document import ConnectionRecord, DamagedRecord, FrontEnd, fields_of

# Pools that one connection may have open; one opened again is the same, unless its gets are to be
# exclusive.
OPEN_POOLS_MAX: Final = 1024
# Numbers are kept: append only.
_KINDS: Final = (PoolKind.PERSISTENT, PoolKind.EPHEMERAL)
_CODECS: Final = (PoolCodec.LZ4, PoolCodec.ZSTD, PoolCodec.NONE)

assert set(_KINDS) == set(PoolKind)
assert set(_CODECS) == set(PoolCodec)


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedPool:
    """A pool that a connection has open."""

    # By which its client knows it.
    number: int
    pool: PoolId
    kind: PoolKind
    codec: PoolCodec
    # Empty: it is private.
    name: str
    is_exclusive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedPools:
    """All of them, and the last number that was given out."""

    last: int = 0
    pools: tuple[HandedPool, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """Where a connection goes on."""

    client_name: str = ""
    is_greeted: bool = False
    pools: HandedPools
    unread: bytes = b""
    unsent: bytes = b""


def record_of(handed: Handed) -> ConnectionRecord:
    """Return the record of a connection."""
    pools = [
        [
            each.number, each.pool, _KINDS.index(each.kind), _CODECS.index(each.codec), each.name, each.is_exclusive,
        ]
        for each in handed.pools.pools
    ]  # fmt: skip
    return ConnectionRecord(
        front_end=FrontEnd.TMEM,
        state=[handed.client_name, handed.is_greeted, handed.pools.last, pools],
        unread=handed.unread,
        unsent=handed.unsent,
    )


def handed_from(record: ConnectionRecord) -> Handed:
    """Return where a connection goes on.

    Raises:
        DamagedRecord: Nobody knows.
    """
    name, is_greeted, last, pools = cast(
        "tuple[str, bool, int, list[object]]", fields_of(record.state, str, bool, int, list)
    )
    if len(pools) > OPEN_POOLS_MAX:
        raise DamagedRecord(f"{len(pools)} open pools, at most {OPEN_POOLS_MAX}")
    found = tuple(_pool(each, last) for each in pools)
    if len({each.number for each in found}) < len(found):
        raise DamagedRecord("two pools of one number")
    return Handed(
        client_name=name,
        is_greeted=is_greeted,
        pools=HandedPools(last=last, pools=found),
        unread=record.unread,
        unsent=record.unsent,
    )


def _pool(value: object, last: int) -> HandedPool:
    number, pool, kind, codec, name, is_exclusive = cast(
        "tuple[int, int, int, int, str, bool]",
        fields_of(value, int, int, int, int, str, bool),
    )
    is_known = 0 <= kind < len(_KINDS) and 0 <= codec < len(_CODECS)
    if not is_known or not 0 < number <= last:
        raise DamagedRecord("a pool that is none")
    return HandedPool(
        number=number,
        pool=PoolId(pool),
        kind=_KINDS[kind],
        codec=_CODECS[codec],
        name=name,
        is_exclusive=is_exclusive,
    )
