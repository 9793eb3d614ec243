"""Any bytes of a log of names are a state whose own records lead to it again, or DamagedNames in one line."""

import random
import struct
from collections.abc import Mapping

from ramsterd.core.page import PoolKind
from ramsterd.core.pool_identity import PoolIdentity, PoolUse
from ramsterd.kept.names import (
    DamagedNames,
    KeptPool,
    Names,
    holder_ended,
    holder_gone,
    holder_known,
    pool_ended,
    pool_filled,
    pool_gone,
    pool_made,
)
from ramsterd.kept.record_log import RecordLog, _checksum, read_records
from tests.fuzz.target import Target

EPOCH = 3
FRAME = struct.Struct("<IQ")


def check(data: bytes) -> set[str]:
    records, end = read_records(memoryview(data), EPOCH)
    outcomes = {"torn"} if any(data[end:]) else set()
    names, again = Names(), Names()
    try:
        for record in records:
            names.apply(record)
    except DamagedNames as error:
        assert len(str(error).splitlines()) == 1
        return outcomes | {"damaged"}
    for record in names.records():
        again.apply(record)
    assert (again.pools, again.holders) == (names.pools, names.holders)
    return outcomes | {"pool"} if names.pools else outcomes | {"empty"}


def log_of(*records: bytes) -> bytes:
    memory = memoryview(bytearray(1024))
    log = RecordLog(memory, EPOCH)
    assert all(map(log.append, records))
    return bytes(memory[: log.end])


def seeds() -> Mapping[str, bytes]:
    swap = pool_made(
        KeptPool(
            pool=1,
            identity=PoolIdentity(use=PoolUse.EXPORT, name="swap0"),
            kind=PoolKind.PERSISTENT,
        )
    )
    foreign = KeptPool(
        pool=2,
        identity=PoolIdentity(use=PoolUse.FOREIGN, node=5, incarnation=99),
        kind=PoolKind.EPHEMERAL,
    )
    return {
        "pools": log_of(swap, pool_filled(1, b"g" * 16), pool_made(foreign), pool_ended(2)),
        "holders": log_of(
            holder_known(1, 2, 3), holder_ended(1), holder_gone(1), swap, pool_gone(1)
        ),
        "twice": log_of(swap, swap),
        "torn": log_of(swap, swap)[:-1],
        "unknown": log_of(b"\x63"),
    }


def repair(data: bytes, rng: random.Random) -> bytes:
    """Give each record its checksum."""
    repaired, at = bytearray(data), 0
    while at + FRAME.size < len(repaired):
        length = min(repaired[at] or 1, len(repaired) - at - FRAME.size)
        start = at + FRAME.size
        record = bytes(repaired[start : start + length])
        FRAME.pack_into(repaired, at, length, _checksum(EPOCH, record))
        at = start + length
    return bytes(repaired)


TARGET = Target(
    check=check,
    seeds=seeds,
    outcomes=frozenset({"pool", "empty", "torn", "damaged"}),
    repair=repair,
    tokens=tuple(bytes([kind]) for kind in range(1, 8)),
)
