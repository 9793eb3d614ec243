"""Watermarks, quotas and rates that change while the engine runs."""

import random
from pathlib import Path

from config.model import ClusterConfig, DaemonConfig, MemoryConfig, NodeConfig, RemoteConfig
from nodemanager.ids import Incarnation, NodeId
from ramsterd.core.page import PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.pagepath.engine import Engine
from tests.helpers.fresh_pages import fresh_pages

MIB = 1 << 20
CLUSTER = ClusterConfig(
    name="c",
    node=tuple(
        NodeConfig(number=number, name=f"n{number}", address="127.0.0.1", port=7700 + number)
        for number in (1, 2)
    ),
)


BUDGET = 8 * MIB


def daemon_of(memory: MemoryConfig, remote: RemoteConfig) -> DaemonConfig:
    return DaemonConfig(node="n1", cluster=Path("c"), memory=memory, remote=remote)


def engine_of(memory: MemoryConfig, remote: RemoteConfig) -> Engine:
    return Engine(
        daemon=daemon_of(memory, remote),
        cluster=CLUSTER,
        local=NodeId(1),
        incarnation=Incarnation(1),
        kept=fresh_pages(memory),
        rng=random.Random(0),
    )


def test_new_limits_bound_what_comes_from_then_on() -> None:
    engine = engine_of(MemoryConfig(budget=BUDGET), RemoteConfig())
    room = engine.machines.foreign.room_bytes()
    assert engine.machines.foreign.room_for(NodeId(2)) == room
    memory = MemoryConfig(
        budget=BUDGET,
        high_watermark=0.5,
        low_watermark=0.4,
        foreign_fraction_max=0.25,
        foreign_owner_bytes_max=MIB,
    )
    remote = RemoteConfig(
        foreign_bytes_per_second=4 * MIB,
        repatriate_pages_per_second=0,
        rebuild_pages_per_second=1,
    )
    engine.set_limits(daemon_of(memory, remote), now=5.0)
    limits = engine.store.room.limits
    assert (limits.high_watermark, limits.low_watermark) == (0.5, 0.4)
    assert (limits.budget_bytes, limits.pages_max) == (8 * MIB, memory.pages_max)
    assert engine.machines.foreign.room_bytes() == 2 * MIB < room
    assert engine.machines.foreign.room_for(NodeId(2)) == MIB
    assert engine.machines.receive_shares.share(NodeId(2), 1, 5.0) == 2 * MIB
    for machine in (
        engine.machines.background_fetch.rebuilder,
        engine.machines.background_fetch.owner_recall,
    ):
        machine._page_rate.on_tick(0.0)
        machine._page_rate.on_tick(10.0)
        assert machine._page_rate.pages == 2, "the least that is saved up"
    assert engine.machines.background_fetch.repatriator._watermark < 0.4
    assert engine.next_deadline() <= 5.0, "peers are told at once"


def test_what_is_here_already_stays() -> None:
    engine = engine_of(MemoryConfig(budget=BUDGET), RemoteConfig())
    pool = engine.new_pool(PoolKind.PERSISTENT, program_pool("disk"))
    pages = random.Random(1).randbytes(4 * MIB)
    assert engine.store.put(pool, b"", 0, memoryview(pages)) == 1024
    lower = MemoryConfig(budget=BUDGET, high_watermark=0.2, low_watermark=0.1)
    engine.set_limits(daemon_of(lower, RemoteConfig()), now=0.0)
    engine.settle(0.0)
    assert engine.store.pages_of(pool) == 1024
    engine.check_invariants()
