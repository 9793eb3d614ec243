"""Ephemeral pages at peers: sent when asked for, the first to go, and never worth a wait."""

import pytest
from trio.testing import MockClock

from nodemanager.states import NodeState
from ramsterd.core.family import Family
from ramsterd.core.page import PoolKind
from ramsterd.frontends.pager import PutOutcome
from ramsterd.remote.send import ephemeral_remotify
from tests.simulation.checking_clients import Client, finish, stage
from tests.simulation.cluster import Cluster, Node

MIB = 1 << 20
# Some 1100 pages fill a node, 850 of them the quota of a holder.
MANY = 2400


def cache_of(cluster: Cluster, number: int = 0) -> Client:
    return Client(cluster, number, kind=PoolKind.EPHEMERAL)


def stage_cache(
    seed: int, clock: MockClock, nodes: int = 2, **knobs: float
) -> tuple[Cluster, Client, Client]:
    """Return a cluster that sends ephemeral pages, node 0's client, and the one of its cache."""
    cluster, client = stage(seed, clock, nodes, knobs=None, ephemeral=True, **knobs)
    return cluster, client, cache_of(cluster)


def zpages(node: Node, family: Family) -> int:
    return node.engine.store.versions.zpages[family]


def foreign(node: Node) -> int:
    return zpages(node, Family.FOREIGN_EPHEMERAL)


async def test_ephemeral_pages_leave_when_asked(seed: int, mock_clock: MockClock) -> None:
    """Three nodes keep more than one, no persistent page is concerned, and all that comes back is right."""
    cluster, _, cache = stage_cache(seed, mock_clock, nodes=3)
    cache.fill(MANY)
    cluster.run(1)
    remote = len(cache.remote(1)) + len(cache.remote(2))
    assert remote > 1000
    cache.read_all()
    assert cache.seen["hits"] > zpages(cluster[0], Family.OWN_EPHEMERAL) + 800
    statistics = cluster[0].engine.statistics()
    assert statistics.remotify.ephemeral.stored_pages_total >= remote
    assert statistics.remotify.stored_pages_total == 0
    finish(cluster, cache)


async def test_ephemeral_is_not_sent_by_default(seed: int, mock_clock: MockClock) -> None:
    """The node keeps what it has room for, and drops the oldest."""
    cluster, _ = stage(seed, mock_clock)
    cache = cache_of(cluster)
    cache.fill(MANY)
    cluster.run(1)
    assert cluster[0].engine.statistics().store.evicted_pages_total > 1000
    assert not foreign(cluster[1])
    cache.read_all()
    assert cache.seen["hits"] < 1200
    finish(cluster, cache)


async def test_without_a_peer_the_oldest_are_dropped(seed: int, mock_clock: MockClock) -> None:
    cluster, _, cache = stage_cache(seed, mock_clock)
    cluster.cut(0, 1)
    cache.fill(MANY)
    cluster.run(1)
    store = cluster[0].engine.store
    assert not store.room.is_above(store.room.limits.high_watermark)
    assert zpages(cluster[0], Family.OWN_EPHEMERAL) > 500
    cluster.link_all()
    finish(cluster, cache)


# Who displaces whom.


async def test_holder_drops_ephemeral_first(seed: int, mock_clock: MockClock) -> None:
    """For its own persistent and ephemeral pages alike, before any of them leaves or is dropped."""
    kind = PoolKind.PERSISTENT if seed % 2 else PoolKind.EPHEMERAL
    cluster, _, cache = stage_cache(seed, mock_clock)
    cache.fill(MANY)
    cluster.run(1)
    before = foreign(cluster[1])
    assert before > 300
    theirs = Client(cluster, 1, kind=kind)
    theirs.fill(704)
    cluster.run(1)
    assert foreign(cluster[1]) < before
    statistics = cluster[1].engine.statistics()
    assert statistics.store.evicted_pages_total == statistics.store.evicted_foreign_pages_total > 0
    assert statistics.remotify.stored_pages_total == 0
    assert statistics.remotify.ephemeral.stored_pages_total == 0
    finish(cluster, cache, theirs)
    assert theirs.seen["misses"] == 0, kind


async def test_a_smaller_budget_costs_foreign_ephemeral_pages_first(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, _, cache = stage_cache(seed, mock_clock)
    theirs = cache_of(cluster, 1)
    theirs.fill(200)
    cache.fill(MANY)
    cluster.run(1)
    assert foreign(cluster[1]) > 300
    cluster[1].engine.store.room.set_budget(MIB)
    cluster[1].pager.settle()
    cluster.run(1)
    statistics = cluster[1].engine.statistics().store
    assert statistics.evicted_pages_total == statistics.evicted_foreign_pages_total > 100
    finish(cluster, cache, theirs)


async def test_persistent_displaces_ephemeral_never_the_reverse(
    seed: int, mock_clock: MockClock
) -> None:
    """At the owner and at a holder."""
    cluster, client, cache = stage_cache(seed, mock_clock)
    client.fill(500)
    cluster.run(1)
    cache.fill(MANY, start=5000)
    cluster.run(1)
    # Here: the flood of ephemeral pages made no persistent one leave.
    assert cluster[0].engine.statistics().remotify.stored_pages_total == 0
    assert zpages(cluster[0], Family.OWN_PERSISTENT) == 500
    before = foreign(cluster[1])
    assert before > 300
    # There: persistent pages get the room that ephemeral ones have, all of it.
    client.fill(1200, start=1000)
    cluster.run(1)
    kept = zpages(cluster[1], Family.FOREIGN_PERSISTENT)
    assert kept > 500
    assert foreign(cluster[1]) < before
    # And keep it.
    cache.fill(MANY, start=10000)
    cluster.run(1)
    assert zpages(cluster[1], Family.FOREIGN_PERSISTENT) == kept
    finish(cluster, client, cache)


async def test_a_refused_cache_does_not_keep_persistent_pages_away(
    seed: int, mock_clock: MockClock
) -> None:
    """The peer has clean copies to give up, but for persistent pages only."""
    cluster, client, cache = stage_cache(seed, mock_clock, refusal_seconds=1000.0)
    store = cluster[1].engine.store
    # What a holder with its memory full of clean copies would say.
    room = cluster[1].engine.machines.foreign.room_bytes
    cluster[1].engine.machines.foreign.room_bytes = lambda kind=PoolKind.PERSISTENT: (  # type: ignore[method-assign]
        room(kind) if kind is PoolKind.PERSISTENT else 0
    )
    cache.fill(MANY)
    cluster.run(1)
    refused = cluster[0].engine.statistics().remotify.ephemeral.refused_pages_total
    assert 0 < refused <= 128, "refused once, and then dropped without asking"
    client.fill(1500)
    cluster.run(1)
    assert store.versions.zpages[Family.FOREIGN_PERSISTENT] > 300
    assert not client.seen["REFUSED"]
    finish(cluster, client, cache)


async def test_persistent_puts_never_wait_for_ephemeral_pages(
    seed: int, mock_clock: MockClock
) -> None:
    """The peer has stopped to answer; ephemeral pages that it was offered are in nobody's way."""
    cluster, client, cache = stage_cache(seed, mock_clock)
    cluster.hold(1, 0)
    cache.fill(MANY)
    assert cluster[0].engine.statistics().remotify.ephemeral.requests_in_flight == 1
    for index in range(0, 700, 10):
        assert client.put(index, 10).outcome is PutOutcome.STORED
    cluster.let_go(1, 0)
    finish(cluster, client, cache)


# Misses.


@pytest.mark.parametrize("why", ["dropped", "silent", "down", "link lost", "restarted"])
async def test_a_miss_is_cheap(seed: int, mock_clock: MockClock, why: str) -> None:
    """No error, no wait for a node that does not answer, and nothing is lost."""
    cluster, _, cache = stage_cache(seed, mock_clock, request_seconds_max=1.0)
    cache.fill(MANY)
    cluster.run(1)
    indexes = cache.kept(1)[:20]
    assert len(indexes) == 20
    seconds_max = 0.0
    match why:
        case "dropped":
            store = cluster[1].engine.store
            while (block := store.zbud.oldest(Family.FOREIGN_EPHEMERAL)) is not None:
                store.room.evict_block(block)
            seconds_max = 0.2
        case "silent":
            cluster.hold(1, 0)
            seconds_max = 1.5
        case "down":
            cluster.hold(1, 0)
            cluster.judge(0, 1, NodeState.DOWN)
        case "link lost":
            cluster.cut(0, 1)
        case _:
            cluster.restart(1)
            cluster.judge(0, 1, NodeState.UP, incarnation=2)
    began = cluster.now
    gets = [cache.get(index) for index in indexes]
    assert cluster.run_until(lambda: all(get.result == [None] for get in gets), 5.0)
    assert cluster.now - began <= seconds_max
    statistics = cluster[0].engine.statistics()
    assert statistics.fetch.ephemeral_miss_pages_total >= 20
    assert statistics.fetch.missing_pages_total == statistics.fetch.unreachable_pages_total == 0
    assert statistics.store.lost_pages_total == 0
    cluster[0].engine.check_invariants()
    if why in {"silent", "down"}:
        cluster.let_go(1, 0)
    if why == "down":
        cluster.judge(0, 1, NodeState.UP)
    cluster.link_all()
    # Where the holder still has them they are found again.
    cluster.run(1)
    hits = cache.seen["hits"]
    for index in indexes:
        cache.wait(cache.get(index))
    assert cache.seen["hits"] - hits == (20 if why in {"silent", "down", "link lost"} else 0)
    finish(cluster, cache)


async def test_gets_under_way_miss_when_the_link_is_lost(seed: int, mock_clock: MockClock) -> None:
    """Those of persistent pages wait for the next link, as ever."""
    cluster, client, cache = stage_cache(seed, mock_clock, nodes=2)
    cache.fill(600)
    client.fill(1400)
    cluster.run(1)
    cache.fill(200, start=3000)
    cluster.run(1)
    cluster.hold(1, 0)
    waiting = [client.get(index) for index in client.remote(1)[:5]]
    missing = [cache.get(index) for index in cache.remote(1)[:5]]
    cluster.run(0.1)
    assert all(get.result is None for get in [*waiting, *missing])
    assert waiting
    cluster.cut(0, 1)
    assert all(get.result == [None] for get in missing)
    assert all(get.result is None for get in waiting)
    cluster.link(0, 1)
    for get in waiting:
        client.wait(get)
    finish(cluster, client, cache)


async def test_gets_under_way_miss_when_the_holder_is_suspect(
    seed: int, mock_clock: MockClock
) -> None:
    """An answer that comes all the same is for nobody."""
    cluster, _, cache = stage_cache(seed, mock_clock)
    cache.fill(MANY)
    cluster.run(1)
    cluster.hold(1, 0)
    gets = [cache.get(index) for index in cache.kept(1)[:5]]
    cluster.run(0.1)
    assert all(get.result is None for get in gets)
    cluster.judge(0, 1, NodeState.SUSPECT)
    assert [get.result for get in gets] == [[None]] * 5
    cluster.let_go(1, 0)
    cluster.judge(0, 1, NodeState.UP)
    finish(cluster, cache)


async def test_a_get_misses_only_what_the_lost_holder_has(seed: int, mock_clock: MockClock) -> None:
    """The rest of its run comes from another."""
    cluster, _, cache = stage_cache(seed, mock_clock, nodes=3)
    cache.fill(MANY)
    cluster.run(1)
    ones, others = set(cache.kept(1)), set(cache.kept(2))
    index = next(each for each in sorted(ones) if each + 1 in others)
    cluster.hold(1, 0)
    cluster.hold(2, 0)
    get = cache.get(index, 2)
    cluster.run(0.1)
    cluster.judge(0, 1, NodeState.DOWN)
    assert get.result is None
    cluster.let_go(2, 0)
    result = cache.wait(get)
    assert isinstance(result, list)
    assert result[0] is None
    assert result[1] is not None
    cluster.let_go(1, 0)
    cluster.judge(0, 1, NodeState.UP)
    finish(cluster, cache)


# On the way.


async def test_a_page_put_again_or_flushed_on_the_way_is_judged_by_its_serial(
    seed: int, mock_clock: MockClock
) -> None:
    """Whether the peer stores or refuses it, or nobody knows."""
    cluster, _, cache = stage_cache(seed, mock_clock, request_seconds_max=1.0)
    how = cluster.rng.choice(["stored", "unknown", "cut"])
    cluster.hold(1, 0)
    cache.fill(1600)
    indexes = cache.remote(1)
    assert indexes
    for index in indexes[::3]:
        cache.put(index)
    for index in indexes[1::3]:
        cache.flush(index)
    gets = [cache.get(index) for index in indexes]
    if how == "cut":
        cluster.cut(0, 1)
    elif how == "unknown":
        cluster.run(1.5)
    if how != "cut":
        cluster.let_go(1, 0)
    cluster.run(2)
    assert all(get.result is not None for get in gets)
    cluster.link_all()
    finish(cluster, cache)


async def test_a_page_that_comes_home_is_ours_alone(seed: int, mock_clock: MockClock) -> None:
    """Its holder is told to forget it; it may leave again, under the same serial."""
    cluster, _, cache = stage_cache(seed, mock_clock)
    cache.fill(1600)
    cluster.run(1)
    indexes = cache.remote(1)[:100]
    cache.flush(1200, 400)
    for index in indexes:
        cache.wait(cache.get(index))
    assert not set(indexes) & set(cache.remote(1))
    assert zpages(cluster[0], Family.OWN_CLEAN) == 0
    cluster.run(1)
    finish(cluster, cache)
    cache.fill(MANY, start=5000)
    cluster.run(1)
    finish(cluster, cache)


async def test_rows_of_pages_that_a_holder_dropped_do_not_pile_up(
    seed: int, mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The holder says how many it keeps: what is known to be gone costs a bounded number of rows."""
    monkeypatch.setattr(ephemeral_remotify, "GHOSTS_MAX", 50)
    cluster, _, cache = stage_cache(seed, mock_clock)
    for start in range(0, 12_000, 1200):
        cache.fill(1200, start=start)
        cluster.run(0.6)
    kept = foreign(cluster[1])
    assert kept > 700, "hardly any that was kept was forgotten"
    assert kept <= len(cache.remote(1)) <= 2 * kept + 50
    assert cluster[0].engine.statistics().remotify.ephemeral.forgotten_pages_total > 3000
    finish(cluster, cache)


async def test_rows_at_peers_make_room_for_new_pages(seed: int, mock_clock: MockClock) -> None:
    """Ephemeral pages at peers never fill the row table."""
    cluster, client, cache = stage_cache(seed, mock_clock, nodes=3, pages_max=1280)
    cache.fill(MANY)
    cluster.run(1)
    assert cluster[0].engine.statistics().remotify.ephemeral.forgotten_pages_total > 0
    client.fill(300)
    assert not client.seen["REFUSED"]
    finish(cluster, client, cache)


async def test_leaves_of_pages_at_peers_make_room_too(seed: int, mock_clock: MockClock) -> None:
    """A sparse cache has a leaf for each page; the records of nodes and objects count, and there is memory for some 350."""
    cluster, client, cache = stage_cache(seed, mock_clock, tables_max=172_000)
    for number in range(290):
        cache.put(number * 64)
    client.fill(1000)
    cluster.run(1)
    assert len(cache.remote(1)) > 200
    for number in range(100):
        assert client.put((1000 + number) * 64).outcome is PutOutcome.STORED
    assert cluster[0].engine.statistics().remotify.ephemeral.forgotten_pages_total > 0
    finish(cluster, client, cache)


async def test_pages_that_never_arrived_cost_no_others(
    seed: int, mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peer keeps fewer than we count, for good; those that it keeps are not forgotten for that."""
    monkeypatch.setattr(ephemeral_remotify, "GHOSTS_MAX", 50)
    cluster, _ = stage(seed, mock_clock, knobs={1: {"budget": 8 * MIB}}, ephemeral=True)
    cache = cache_of(cluster)
    cache.fill(1600)
    cluster.run(1)
    kept = cache.kept(1)
    assert len(kept) > 300
    cluster.hold(0, 1)
    cache.fill(200, start=3000)
    cluster.cut(0, 1)
    assert len(cache.remote(1)) > len(cache.kept(1))
    cluster.link(0, 1)
    cluster.run(10)
    assert set(kept) <= set(cache.kept(1))
    finish(cluster, cache)


async def test_what_was_forgotten_was_that_page(seed: int, mock_clock: MockClock) -> None:
    """A row that had an ephemeral page at a holder may have a persistent one at the same holder by now."""
    cluster, client, cache = stage_cache(seed, mock_clock)
    cache.fill(1600)
    cluster.run(1)
    assert len(cache.remote(1)) > 300
    for index in reversed(range(0, 1600, 16)):  # the rows of the oldest are used again first
        cache.flush(index, 16)
    cluster.run(1)
    client.fill(1600)
    cluster.run(1)
    assert len(client.remote(1)) > 300
    ours = cluster[0].engine
    holder = ours.machines.holders.living(cluster[1].number)
    assert holder is not None
    assert ours.machines.remotifier.ephemeral._forget_oldest(holder, 1000) == 0
    finish(cluster, client, cache)
    assert not client.seen["LOST"]


async def test_a_put_may_arrive_after_its_holder_said_that_it_keeps_nothing(
    seed: int, mock_clock: MockClock
) -> None:
    """The holder slept: its STATUS overtakes a PUT that was given up.  What it then keeps is flushed, not forgotten."""
    cluster, client, cache = stage_cache(seed, mock_clock, request_seconds_max=1.0)
    cluster.hold(0, 1)
    cache.fill(MANY)
    client.fill(600)
    cluster.run(4)
    assert cluster[0].engine.statistics().remotify.ephemeral.unknown_pages_total > 0
    cluster.let_go(0, 1)
    finish(cluster, client, cache)
