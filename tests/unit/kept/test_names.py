"""Names: what is noted is what a later start finds, also after the log was written anew."""

from typing import Final

import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from config.limits import NAME_BYTES_MAX, USER_ID_MAX
from config.model import PoolCodec
from ramsterd.core.arena import FRAME_BYTES, HeapMapping
from ramsterd.core.family import Family
from ramsterd.core.page import PoolKind
from ramsterd.core.pool_identity import PoolIdentity, PoolUse
from ramsterd.core.pools import POOLS_MAX
from ramsterd.kept.name_log import NameLog
from ramsterd.kept.names import (
    HOLDER_ID_MAX,
    NO_GENERATION,
    SNAPSHOT_BYTES_MAX,
    DamagedNames,
    KeptHolder,
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
from ramsterd.kept.record_log import RecordLog
from tests.helpers.kept_memory import ScarceMemory

HALF_BYTES: Final = 8192
WORDS: Final = st.integers(0, (1 << 64) - 1)
TEXTS: Final = st.text(st.characters(codec="utf-8"), max_size=15)
POOLS: Final = st.builds(
    KeptPool,
    pool=st.integers(1, 8),
    identity=st.builds(
        PoolIdentity,
        use=st.sampled_from(PoolUse),
        name=TEXTS,
        user=st.integers(0, USER_ID_MAX),
        node=st.integers(0, 1023),
        incarnation=WORDS,
    ),
    kind=st.sampled_from(PoolKind),
    codec=st.sampled_from(PoolCodec),
)


class LogMachine(RuleBasedStateMachine):
    """A log in small halves, so that it is written anew now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.mapping = HeapMapping("names", 2 * HALF_BYTES)
        self.epoch = 0
        self.start()
        self.pools: dict[int, KeptPool] = {}
        self.holders: dict[int, KeptHolder] = {}

    def start(self) -> None:
        self.log = NameLog(self.mapping, self.epoch, turn_to=self.turn_to, half_bytes=HALF_BYTES)

    def turn_to(self, epoch: int) -> None:
        """What `super` says from now on: a start that comes now finds all of it."""
        self.epoch = epoch
        self.log_now()

    def log_now(self) -> Names:
        return NameLog(self.mapping, self.epoch, turn_to=self.turn_to, half_bytes=HALF_BYTES).names

    @rule(pool=POOLS)
    def make_pool(self, pool: KeptPool) -> None:
        if pool.pool not in self.pools:
            self.log.note(pool_made(pool))
            self.pools[pool.pool] = pool

    @rule(pool=st.integers(1, 8), generation=st.sampled_from([NO_GENERATION, b"g" * 16]))
    def fill_pool(self, pool: int, generation: bytes) -> None:
        for _ in range(20 if pool in self.pools else 0):
            self.log.note(pool_filled(pool, generation))

    @rule(pool=st.integers(1, 8), is_gone=st.booleans())
    def end_pool(self, pool: int, *, is_gone: bool) -> None:
        if pool in self.pools:
            self.log.note(pool_ended(pool))
            if is_gone:
                self.log.note(pool_gone(pool))
                del self.pools[pool]

    @rule(holder=st.integers(1, 8), node=st.integers(0, 1023), incarnation=WORDS)
    def know_holder(self, holder: int, node: int, incarnation: int) -> None:
        if holder not in self.holders:
            self.log.note(holder_known(holder, node, incarnation))
            self.holders[holder] = KeptHolder(holder, node, incarnation)

    @rule(holder=st.integers(1, 8), is_gone=st.booleans())
    def end_holder(self, holder: int, *, is_gone: bool) -> None:
        if holder in self.holders:
            self.log.note(holder_ended(holder))
            if is_gone:
                self.log.note(holder_gone(holder))
                del self.holders[holder]

    @rule()
    def restart(self) -> None:
        self.start()

    @invariant()
    def check(self) -> None:
        found = self.log_now()
        assert found.pools == self.log.names.pools
        assert found.holders == self.log.names.holders
        assert found.pools.keys() == self.pools.keys()
        assert found.holders.keys() == self.holders.keys()
        for number, pool in self.pools.items():
            assert found.pools[number].identity == pool.identity


TestLog = pytest.mark.slow(LogMachine.TestCase)
TestLog.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)


@pytest.mark.parametrize("use", PoolUse)
@pytest.mark.parametrize("kind", PoolKind)
def test_a_pool_knows_its_family(use: PoolUse, kind: PoolKind) -> None:
    family = KeptPool(pool=1, identity=PoolIdentity(use=use), kind=kind).family
    assert family.name.startswith("FOREIGN_" if use is PoolUse.FOREIGN else "OWN_")
    assert family.name.endswith(kind.name)
    assert family is not Family.OWN_CLEAN


@pytest.mark.parametrize(
    "records",
    [
        [b"\x63"],
        [b"\x01short"],
        [pool_filled(1, NO_GENERATION)],
        [pool_ended(1)],
        [pool_gone(1)],
        [holder_ended(1)],
        [holder_gone(1)],
        [holder_known(0, 1, 1)],
        [holder_known(1, 1024, 1)],
        [holder_known(1, 1, 1), holder_known(1, 2, 2)],
        [
            pool_made(
                KeptPool(
                    pool=0, identity=PoolIdentity(use=PoolUse.EXPORT), kind=PoolKind.PERSISTENT
                )
            )
        ],
        [
            pool_made(
                KeptPool(
                    pool=1, identity=PoolIdentity(use=PoolUse.EXPORT), kind=PoolKind.PERSISTENT
                )
            )
        ]
        * 2,
        [
            pool_made(
                KeptPool(
                    pool=1, identity=PoolIdentity(use=PoolUse.EXPORT), kind=PoolKind.PERSISTENT
                )
            )
            + b"\xff"
        ],
        [
            pool_made(
                KeptPool(
                    pool=1, identity=PoolIdentity(use=PoolUse.EXPORT), kind=PoolKind.PERSISTENT
                )
            )
            + b"x" * 64
        ],
    ],
)
def test_records_that_can_not_be_true_are_damage(records: list[bytes]) -> None:
    with pytest.raises(DamagedNames):
        apply_all(records)


def apply_all(records: list[bytes]) -> Names:
    names = Names()
    for record in records:
        names.apply(record)
    return names


def test_more_pools_than_there_may_be_are_damage() -> None:
    names = Names()
    for pool in range(1, POOLS_MAX + 2):
        record = pool_made(
            KeptPool(pool=pool, identity=PoolIdentity(use=PoolUse.PRIVATE), kind=PoolKind.EPHEMERAL)
        )
        if pool <= POOLS_MAX:
            names.apply(record)
            continue
        with pytest.raises(DamagedNames, match="4096"):
            names.apply(record)


@given(records=st.lists(st.binary(max_size=100), max_size=5))
def test_any_records_are_true_or_damage(records: list[bytes]) -> None:
    try:
        apply_all(records)
    except DamagedNames as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017


def test_a_snapshot_is_no_longer_than_its_bound_says() -> None:
    """The bound is what a half of the log must have room for."""
    names = Names()
    pool = KeptPool(
        pool=1,
        identity=PoolIdentity(use=PoolUse.NAMED, name="x" * NAME_BYTES_MAX),
        kind=PoolKind.PERSISTENT,
    )
    for record in (pool_made(pool), pool_filled(1, b"g" * 16), pool_ended(1)):
        names.apply(record)
    pool_bytes = framed_bytes(names)
    for record in (holder_known(1, 1, 1), holder_ended(1)):
        names.apply(record)
    holder_bytes = framed_bytes(names) - pool_bytes
    assert POOLS_MAX * pool_bytes + HOLDER_ID_MAX * holder_bytes == SNAPSHOT_BYTES_MAX


def test_a_record_has_room_whatever_others_fill() -> None:
    """A store into a hole of a full tmpfs ends the process (SIGBUS)."""
    epochs = [0]
    memory = ScarceMemory(2 * HALF_BYTES // FRAME_BYTES)
    mapping = memory("names", 2 * HALF_BYTES)
    log = NameLog(mapping, 0, turn_to=epochs.append, half_bytes=HALF_BYTES)
    assert memory.frames_free == 0
    while len(epochs) < 4:
        log.note(holder_known(1, 1, 1))
        log.note(holder_gone(1))
    assert memory.frames_free == 0
    assert not NameLog(
        mapping, epochs[-1], turn_to=epochs.append, half_bytes=HALF_BYTES
    ).names.holders


def test_a_log_without_room_is_not_begun() -> None:
    mapping = ScarceMemory(3)("names", 2 * HALF_BYTES)
    with pytest.raises(OSError, match="no room for the names of pools and holders"):
        NameLog(mapping, 0, turn_to=lambda _: None, half_bytes=HALF_BYTES)


def framed_bytes(names: Names) -> int:
    records = list(names.records())
    log = RecordLog(memoryview(bytearray(4096)), 0)
    assert all(map(log.append, records))
    return log.end
