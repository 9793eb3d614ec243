"""A holder that needs its memory gets it back, and no page of a living owner is dropped for it."""

from typing import Any

from trio.testing import MockClock

from nodemanager.ids import NodeId
from ramsterd.core.resize import ResizeState
from ramsterd.remote.hold.recall_holder import HolderRecallStatistics
from ramsterd.remote.home.recall_owner import OwnerRecallStatistics
from tests.simulation.checkers import held
from tests.simulation.checking_clients import Client, finish
from tests.simulation.cluster import MIB, Cluster

PAGES = 2000
KNOBS: dict[str, Any] = {
    "copies": 1,
    "repatriate_pages_per_second": 0,
    "rebuild_pages_per_second": 4000,
}


def filled(seed: int, clock: MockClock, *, nodes: int, **knobs_of_0: Any) -> tuple[Cluster, Client]:
    """Return a cluster whose node 0 keeps up to 2 MiB at home and the rest at the others, of 8 MiB each."""
    copies = knobs_of_0.pop("copies", 1)
    cluster = Cluster(
        seed,
        clock,
        nodes=nodes,
        knobs={0: knobs_of_0},
        **{**KNOBS, "copies": copies, "budget": 8 * MIB},
    )
    cluster.link_all()
    shrink(cluster, 0, 2 * MIB)
    client = Client(cluster, 0)
    client.fill(PAGES)
    cluster.run(2)
    assert cluster[0].engine.statistics().remotify.stored_pages_total > 400
    return cluster, client


def recall(cluster: Cluster, node: int) -> HolderRecallStatistics:
    return cluster[node].engine.statistics().holder_recall


def owner_recall(cluster: Cluster, node: int) -> OwnerRecallStatistics:
    return cluster[node].engine.statistics().owner_recall


def pages_at(cluster: Cluster, holder: int) -> int:
    return len(held(cluster[0], cluster[holder]))


def shrink(cluster: Cluster, node: int, budget_bytes: int) -> None:
    cluster[node].engine.set_budget(budget_bytes, now=cluster.now)


def is_shrunk(cluster: Cluster, node: int) -> bool:
    return cluster[node].engine.statistics().resize.state is ResizeState.DONE


async def test_a_holder_short_of_memory_gets_it_back(seed: int, mock_clock: MockClock) -> None:
    """Its budget shrinks below what it keeps: the owner places its pages elsewhere."""
    cluster, client = filled(seed, mock_clock, nodes=3)
    holder = 1 if pages_at(cluster, 1) > pages_at(cluster, 2) else 2
    other = 3 - holder
    before = pages_at(cluster, other)
    shrink(cluster, holder, 2 * MIB // 4)
    assert cluster.run_until(lambda: is_shrunk(cluster, holder), 20), recall(cluster, holder)
    zbud = cluster[holder].engine.store.zbud
    assert zbud.resident_bytes <= zbud.budget_bytes == 2 * MIB // 4
    assert pages_at(cluster, other) > before, "placed elsewhere"
    assert cluster[0].engine.statistics().store.lost_pages_total == 0
    client.read_all()
    finish(cluster, client)


async def test_it_ends_when_there_is_memory_again(seed: int, mock_clock: MockClock) -> None:
    cluster, client = filled(seed, mock_clock, nodes=3)
    shrink(cluster, 1, MIB // 2)
    assert cluster.run_until(lambda: recall(cluster, 1).is_active, 20)
    shrink(cluster, 1, 8 * MIB)
    assert cluster.run_until(lambda: not recall(cluster, 1).is_active, 5)
    cluster.run(1)
    assert owner_recall(cluster, 0).recall_pages == 0
    before = pages_at(cluster, 1)
    client.fill(2 * PAGES)
    cluster.run(3)
    assert pages_at(cluster, 1) > before, "it takes pages again"
    finish(cluster, client)


async def test_nothing_is_dropped_when_nobody_has_room(seed: int, mock_clock: MockClock) -> None:
    cluster, client = filled(seed, mock_clock, nodes=2)
    before = held(cluster[0], cluster[1])
    shrink(cluster, 1, MIB // 2)
    cluster.run(30)
    state = cluster[1].engine.statistics().resize.state
    assert state is ResizeState.STOPPED, "it says so"
    # What found room at home is there; all the rest stayed.
    assert cluster[0].engine.statistics().store.lost_pages_total == 0
    assert len(held(cluster[0], cluster[1])) > len(before) // 2
    client.read_all()
    finish(cluster, client)


async def test_a_holders_own_pages_come_first(seed: int, mock_clock: MockClock) -> None:
    """No peer takes what it puts itself, and it is full of what others put: these take theirs back."""
    cluster, client = filled(seed, mock_clock, nodes=2, foreign_fraction_max=0.01)
    assert pages_at(cluster, 1) > 400
    shrink(cluster, 0, 6 * MIB)
    own = Client(cluster, 1)
    own.fill(3600)
    assert cluster.run_until(lambda: recall(cluster, 1).recalls_total > 0, 20)
    cluster.run(10)
    assert owner_recall(cluster, 0).recalled_pages_total > 0
    own.read_all()
    client.read_all()
    finish(cluster, client, own)


async def test_clean_copies_are_given_up_without_a_byte_moved(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, client = filled(seed, mock_clock, nodes=2)
    shrink(cluster, 0, 8 * MIB)
    client.read_all()  # all is here again, and there too
    fetched = cluster[0].engine.statistics().fetch.fetched_pages_total
    shrink(cluster, 1, MIB // 2)
    assert cluster.run_until(lambda: is_shrunk(cluster, 1), 20)
    assert cluster[0].engine.statistics().fetch.fetched_pages_total == fetched
    assert owner_recall(cluster, 0).recalled_pages_total > 0
    client.read_all()
    finish(cluster, client)


async def test_two_copies_stay_two(seed: int, mock_clock: MockClock) -> None:
    cluster, client = filled(seed, mock_clock, nodes=4, copies=2)
    shrink(cluster, 1, MIB // 2)
    assert cluster.run_until(lambda: is_shrunk(cluster, 1), 20)
    cluster.run(2)
    serials = set().union(*(held(cluster[0], cluster[n]) for n in (1, 2, 3)))
    copies = {sum(s in held(cluster[0], cluster[n]) for n in (1, 2, 3)) for s in serials}
    assert copies == {2}
    client.read_all()
    finish(cluster, client)


async def test_a_recall_is_void_with_its_link(seed: int, mock_clock: MockClock) -> None:
    cluster, client = filled(seed, mock_clock, nodes=2)
    shrink(cluster, 1, MIB // 2)
    assert cluster.run_until(lambda: owner_recall(cluster, 0).recall_pages > 0, 20)
    cluster.cut(0, 1)
    assert owner_recall(cluster, 0).recall_pages == 0
    cluster.link(0, 1)
    assert cluster.run_until(lambda: owner_recall(cluster, 0).recall_pages > 0, 20), "said again"
    finish(cluster, client)


async def test_foreign_quota_holds(seed: int, mock_clock: MockClock) -> None:
    """Two owners, one holder: neither has more than its own part, nor both more than theirs."""
    owner_bytes_max = 400 * 4096
    cluster = Cluster(
        seed,
        mock_clock,
        nodes=3,
        knobs={2: {"budget": 8 * MIB, "foreign_owner_bytes_max": owner_bytes_max}},
        **{**KNOBS, "puts_in_flight_max": 1},
    )
    cluster.link(0, 2)
    cluster.link(1, 2)
    holder = cluster[2].engine
    clients = [Client(cluster, n) for n in (0, 1)]

    def check() -> None:
        for owner in (0, 1):
            assert holder.pages_here(NodeId(owner)) <= 400
        quota = holder.store.zbud.budget_bytes * 0.75
        assert holder.statistics().foreign_zpage_bytes <= quota

    cluster.checks.append(check)
    for client in clients:
        for start in range(0, 1600, 32):
            client.put(start, 32)
            cluster.run(0.02)
    cluster.run(5)
    for owner in (0, 1):
        assert holder.pages_here(NodeId(owner)) > 300, "it was used"
    refused = [each.refused_pages_total for each in holder.statistics().foreign]
    assert max(refused) > 0 or holder.pages_here(NodeId(0)) <= 400
    cluster.checks.clear()
    finish(cluster, *clients)
