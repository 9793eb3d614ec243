"""Owners and holders whose process ends and is followed by another, with the memory kept: nothing is lost or left behind."""

import random

import pytest
from trio.testing import MockClock

from heartbeat.datagram_filter import DropReason
from nodemanager.states import NodeState
from ramsterd.core.page import PoolKind
from ramsterd.remote import wire
from ramsterd.remote.holders.row_sweeps import GRACE_SECONDS
from ramsterd.remote.wire import MessageType, PageList
from tests.helpers.dropping import drop_run
from tests.simulation.checkers import (
    check_books,
    check_trust,
    held,
    named,
    rows_of,
    wait_reconciled,
)
from tests.simulation.checking_clients import REST_SECONDS, Client, finish, stage
from tests.simulation.cluster import Cluster

OWNER, HOLDER = 0, 1


def reconciled(cluster: Cluster, number: int = OWNER) -> tuple[int, int, int]:
    """Return how many holders a node was reconciled with, and the copies that were unknown and missing."""
    now = cluster[number].engine.statistics().reconcile
    return now.reconciled_holders_total, now.unknown_copies_total, now.missing_copies_total


def go_on(cluster: Cluster, client: Client, number: int) -> None:
    cluster.restart_kept(number)
    if number == client.number:
        client.go_on()


async def test_an_owner_that_was_attached_pays_the_flushes_that_died_with_its_process(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, client = stage(seed, mock_clock)
    client.fill(1600)
    cluster.run(2)
    remote = client.remote(HOLDER)
    assert len(remote) > 200
    cluster.cut(OWNER, HOLDER)
    for index in remote[:100]:
        client.flush(index)
    go_on(cluster, client, OWNER)
    assert (
        len(held(cluster[OWNER], cluster[HOLDER]) - named(cluster[OWNER], cluster[HOLDER])) == 100
    )
    cluster.link(OWNER, HOLDER)
    wait_reconciled(cluster)
    assert reconciled(cluster) == (1, 100, 0)
    finish(cluster, client)


async def test_flushes_that_were_on_their_way_are_paid_again(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, client = stage(seed, mock_clock)
    client.fill(1600)
    cluster.run(2)
    cluster.hold(OWNER, HOLDER)
    for index in client.remote(HOLDER)[:100]:
        client.flush(index)
    cluster.run(0.2)
    assert MessageType.FLUSH_PAGES in {kind for kind, _, _ in cluster.on_its_way(OWNER, HOLDER)}
    cluster.cut(OWNER, HOLDER)
    go_on(cluster, client, OWNER)
    cluster.link(OWNER, HOLDER)
    wait_reconciled(cluster)
    assert reconciled(cluster)[1:] == (100, 0)
    finish(cluster, client)


async def test_pages_of_a_put_whose_answer_nobody_heard_are_dropped_there(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, client = stage(seed, mock_clock)
    cluster.hold(HOLDER, OWNER)
    client.fill_beyond_memory(start=0)
    cluster.run(0.3)
    stored = len(held(cluster[OWNER], cluster[HOLDER]))
    assert stored > 0
    assert not named(cluster[OWNER], cluster[HOLDER])
    go_on(cluster, client, OWNER)
    cluster.link(OWNER, HOLDER)
    wait_reconciled(cluster)
    assert reconciled(cluster) == (1, stored, 0)
    finish(cluster, client)


async def test_a_put_that_arrives_late_is_not_behind_the_list(
    seed: int, mock_clock: MockClock
) -> None:
    """The old link has ended at the holder before the new one is open: whatever it held is gone with it."""
    cluster, client = stage(seed, mock_clock)
    cluster.hold(OWNER, HOLDER)
    client.fill_beyond_memory(start=0)
    assert MessageType.PUT_PAGES in {kind for kind, _, _ in cluster.on_its_way(OWNER, HOLDER)}
    late = cluster.end_of(OWNER, HOLDER).outgoing
    cluster.start_kept(OWNER, cluster.end_kept(OWNER, is_silent=True))
    client.go_on()
    assert cluster.link(OWNER, HOLDER), "at once, though the holder has the old link still"
    late.is_held = False
    wait_reconciled(cluster)
    assert not held(cluster[OWNER], cluster[HOLDER]) - named(cluster[OWNER], cluster[HOLDER])
    finish(cluster, client)


async def test_a_holder_that_was_attached_loses_nothing_and_nothing_is_copied_again(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, client = stage(seed, mock_clock, nodes=4, copies=2)
    client.fill(1600)
    cluster.run(2)
    kept = cluster.end_kept(HOLDER)
    cluster.run(3)
    cluster.start_kept(HOLDER, kept)
    cluster.link_all()
    wait_reconciled(cluster)
    cluster.run(2 * GRACE_SECONDS)
    assert reconciled(cluster) == (1, 0, 0)
    now = cluster[OWNER].engine.statistics()
    assert now.rebuild.rebuilt_pages_total == 0
    assert now.rebuild.pages_at_risk == 0
    assert now.store.lost_pages_total == 0
    finish(cluster, client)


async def test_a_holder_that_does_not_come_back_is_replaced_after_the_grace(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, client = stage(seed, mock_clock, nodes=4, copies=2)
    client.fill(1600)
    cluster.run(2)
    cluster.end_kept(HOLDER)
    cluster.run(GRACE_SECONDS - 1)
    assert cluster[OWNER].engine.statistics().rebuild.rebuilt_pages_total == 0
    assert cluster[OWNER].engine.statistics().rebuild.pages_at_risk > 0
    cluster.judge(OWNER, HOLDER, NodeState.DOWN)
    cluster.run(5)
    assert cluster[OWNER].engine.statistics().rebuild.rebuilt_pages_total > 0


async def test_flushes_that_a_holder_had_not_done_are_told_again(
    seed: int, mock_clock: MockClock
) -> None:
    """The owner heard an answer after them, so it owes them no more; the holder forgot them with its process."""
    cluster, client = stage(seed, mock_clock)
    client.fill(1600)
    cluster.run(2)
    foreign = cluster[HOLDER].engine.machines.foreign
    foreign.on_flush = lambda *_: None  # type: ignore[method-assign]  # it waits, until the process ends
    for index in client.remote(HOLDER)[:50]:
        client.flush(index)
    cluster.run(1)
    client.wait(client.get(client.remote(HOLDER)[0]))
    holder = cluster[OWNER].engine.machines.holders.living(cluster[HOLDER].number)
    assert holder is not None
    assert not cluster[OWNER].engine.machines.flushes.owed.has_any_for(holder.id)
    go_on(cluster, client, HOLDER)
    cluster.link(OWNER, HOLDER)
    wait_reconciled(cluster)
    assert reconciled(cluster) == (1, 50, 0)
    finish(cluster, client)


async def test_both_are_attached_and_compare_in_both_directions(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, client = stage(seed, mock_clock)
    other = Client(cluster, HOLDER)
    other.fill(1400)
    cluster.run(2)
    for index in set(other.indexes) - set(other.remote(OWNER)):
        other.flush(index)  # room for pages of the other
    client.fill(1200)
    cluster.run(2)
    cluster.cut(OWNER, HOLDER)
    for each, holder in ((client, HOLDER), (other, OWNER)):
        assert len(each.remote(holder)) > 20
        for index in each.remote(holder)[:20]:
            each.flush(index)
    for number in (OWNER, HOLDER):
        cluster.restart_kept(number)
    client.go_on()
    other.go_on()
    cluster.link(OWNER, HOLDER)
    for number in (OWNER, HOLDER):
        wait_reconciled(cluster, number)
        assert reconciled(cluster, number)[0] == 1
        assert reconciled(cluster, number)[2] == 0
    finish(cluster, client, other)


async def test_a_list_goes_on_when_the_network_is_parted_in_the_middle_of_it(
    seed: int, mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ramsterd.remote.hold.page_lists._PAGES_ENOUGH", 60)
    cluster, client = stage(seed, mock_clock)
    client.fill(1600)
    cluster.run(2)
    cluster.cut(OWNER, HOLDER)
    for index in client.remote(HOLDER)[::2]:
        client.flush(index)
    go_on(cluster, client, OWNER)
    cluster.link(OWNER, HOLDER)
    reconciler = cluster[OWNER].engine.machines.reconciler
    for _ in range(3):
        comparison = next(iter(reconciler._comparisons.values()))
        before = comparison.first
        assert cluster.run_until(lambda c=comparison, b=before: c.first > b)  # type: ignore[misc]
        cluster.cut(OWNER, HOLDER)
        cluster.run(1)
        assert next(iter(reconciler._comparisons.values())) is comparison
        assert not cluster[OWNER].engine.machines.holders.is_agreed(cluster[HOLDER].number)
        cluster.link(OWNER, HOLDER)
    wait_reconciled(cluster)
    assert reconciled(cluster)[0] == 1
    assert reconciled(cluster)[2] == 0
    finish(cluster, client)


async def test_nothing_is_put_to_a_holder_before_it_is_known_what_it_keeps(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, client = stage(seed, mock_clock)
    client.fill(1200)
    cluster.run(2)
    stored = cluster[HOLDER].engine.statistics().foreign[0].put_pages_total
    go_on(cluster, client, OWNER)
    cluster[HOLDER].engine.machines.page_lists.on_request = lambda *_: None  # type: ignore[method-assign]
    cluster.link(OWNER, HOLDER)
    client.put_until_one_waits()
    cluster.run(1)
    assert cluster[HOLDER].engine.statistics().foreign[0].put_pages_total == stored
    client.wait(client.get(client.remote(HOLDER)[0]))
    del cluster[HOLDER].engine.machines.page_lists.on_request
    finish(cluster, client)
    assert cluster[HOLDER].engine.statistics().foreign[0].put_pages_total > stored


@pytest.mark.parametrize("copies", [1, 2])
async def test_what_a_holder_found_damaged_is_lost_or_copied_again(
    seed: int, mock_clock: MockClock, copies: int
) -> None:
    cluster, client = stage(seed, mock_clock, nodes=2 + copies, copies=copies)
    cluster.checks.clear()  # until it is known, the owner counts on what is gone
    client.fill(1600)
    cluster.run(2)
    kept = cluster.end_kept(HOLDER)
    (pool, *_) = (
        each
        for each in kept.store.pools
        if each.identity.is_foreign and each.identity.node == OWNER and each.objects
    )
    serials = sorted(index for _, index in rows_of(kept.store, pool.pool))[:40]
    for serial in serials:
        drop_run(kept.store, pool.pool, b"", serial, 1)
    if copies == 1:
        rows = cluster[OWNER].engine.store.rows
        client.expect_loss(
            {
                index
                for index, row in zip(client.indexes, client.rows(client.indexes), strict=True)
                if rows.serial(row) in set(serials)
            }
        )
    cluster.start_kept(HOLDER, kept)
    cluster.link_all()
    wait_reconciled(cluster)
    assert reconciled(cluster) == (1, 0, 40)
    assert cluster[OWNER].engine.store.statistics().lost_pages_total == (40 if copies == 1 else 0)
    trust = cluster[OWNER].engine.statistics().trust[cluster[HOLDER].number]
    assert sum(trust.bad_copies_total.values()) == 40
    finish(cluster, client)
    if copies > 1:
        assert cluster.run_until(
            lambda: not cluster[OWNER].engine.statistics().rebuild.pages_at_risk
        )


@pytest.mark.parametrize(
    "listed",
    [
        PageList([(9, 9), (3, 4)], wire.SERIAL_MAX),
        PageList([(1, 5), (5, 9)], wire.SERIAL_MAX),
        PageList([(1, 1 << 16), (1 << 40, 1 << 41)], wire.SERIAL_MAX),
        PageList([((1 << 40), (1 << 40) + 9)], wire.SERIAL_MAX),
        PageList([(1, 9)], 5),
    ],
    ids=["descends", "overlaps", "is too long", "is of serials that were never used", "ends early"],
)
async def test_a_list_that_can_not_be_true_ends_the_link_and_changes_nothing(
    seed: int, mock_clock: MockClock, listed: PageList
) -> None:
    cluster, client = stage(seed, mock_clock)
    client.fill(1600)
    cluster.run(2)
    go_on(cluster, client, OWNER)
    before = named(cluster[OWNER], cluster[HOLDER])
    lists = cluster[HOLDER].engine.machines.page_lists
    honest = lists._answer
    lists._answer = lambda node, request_id, _: honest(node, request_id, listed)
    cluster.link(OWNER, HOLDER)
    assert cluster.run_until(lambda: not cluster.is_wired(OWNER, HOLDER))
    assert named(cluster[OWNER], cluster[HOLDER]) == before
    assert reconciled(cluster) == (0, 0, 0)
    assert not cluster[OWNER].engine.machines.flushes.owed.count()
    lists._answer = honest
    cluster.link(OWNER, HOLDER)
    wait_reconciled(cluster)
    assert reconciled(cluster) == (1, 0, 0)
    finish(cluster, client)


async def test_a_holder_whose_memory_was_gone_lost_all_and_is_not_compared(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, client = stage(seed, mock_clock)
    client.fill(1600)
    cluster.run(2)
    cluster.cut(OWNER, HOLDER)
    client.on_holder_lost(HOLDER)
    go_on(cluster, client, OWNER)
    cluster.restart(HOLDER)
    cluster.link(OWNER, HOLDER)
    cluster.run(2)
    assert reconciled(cluster) == (0, 0, 0)
    finish(cluster, client)


async def test_ephemeral_pages_at_a_peer_are_found_again(seed: int, mock_clock: MockClock) -> None:
    cluster, _ = stage(seed, mock_clock, ephemeral=True)
    cache = Client(cluster, OWNER, kind=PoolKind.EPHEMERAL)
    cache.fill(1600)
    cluster.run(2)
    there = cache.kept(HOLDER)
    assert len(there) > 100
    go_on(cluster, cache, OWNER)
    cluster.link(OWNER, HOLDER)
    wait_reconciled(cluster)
    cluster[OWNER].engine.check_invariants()
    assert cache.kept(HOLDER) == there
    misses = cache.seen["misses"]
    for index in there[:50]:
        cache.wait(cache.get(index))
    assert cache.seen["misses"] == misses
    cluster.run(8)
    check_books(cluster)


async def test_any_order_of_restarts_and_cuts_leaves_each_page_where_it_should_be(
    seed: int, mock_clock: MockClock
) -> None:
    """Owners and holders are attached again and again, while pages are put, flushed and read, and links are cut."""
    cluster, client = stage(seed, mock_clock, nodes=3, copies=seed % 2 + 1)
    rng = random.Random(seed)
    client.expects_unreachable = True
    spans = range(0, 1600, 16)
    for _ in range(60):
        match rng.choice(["put", "put", "flush", "get", "restart", "cut", "link", "run"]):
            case "put":
                for start in rng.sample(spans, 12):
                    client.put(start, 16)
            case "flush":
                for start in rng.sample(spans, 4):
                    client.flush_unless_put(start, rng.randrange(1, 16))
            case "get":
                for start in rng.sample(spans, 4):
                    client.get(start, rng.randrange(1, 16))
            case "restart":
                go_on(cluster, client, rng.randrange(3))
            case "cut":
                cluster.cut(*rng.sample(range(3), 2))
            case "link":
                cluster.link_all()
            case _:
                cluster.run(rng.choice([0.001, 0.05, 1.0]))
        cluster.run(rng.choice([0.0, 0.002, 0.1]))
    cluster.link_all()
    wait_reconciled(cluster)
    cluster.run(REST_SECONDS)
    client.expects_unreachable = False
    finish(cluster, client)
    check_trust(cluster)
    assert cluster[OWNER].engine.statistics().reconcile.missing_copies_total == 0


@pytest.mark.parametrize(
    "seconds", [0.0, 2.0, 30.0], ids=["at once", "soon", "after it was given up"]
)
async def test_a_node_that_is_attached_is_heard_by_the_detectors_of_its_peers(
    seed: int, mock_clock: MockClock, seconds: float
) -> None:
    """Its heartbeats are no replays, and it denies what was said of the process before it."""
    cluster = Cluster(seed, mock_clock, nodes=4, has_detector=True)
    cluster.run(20)
    kept = cluster.end_kept(HOLDER)
    cluster.run(seconds)
    cluster.start_kept(HOLDER, kept)
    began = cluster.now
    cluster.run(60)
    for number, node in cluster.nodes.items():
        dropped = node.peers.heartbeat.statistics().dropped_datagrams_total  # type: ignore[union-attr]
        assert not dropped[DropReason.REPLAYED]
        for peer in set(cluster.nodes) - {number}:
            assert node.engine.nodes.state(peer) is NodeState.UP, (number, peer)
            assert node.engine.nodes.incarnation(peer) == 1
            assert cluster.is_linked(number, peer)
    late = [each for each in cluster.verdicts if each[0] > began + 20]
    assert not [each for each in late if each[2].state is not NodeState.UP]
