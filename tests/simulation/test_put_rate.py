"""A holder says how fast it takes pages, and nobody sends it more: not even all at once, when it has just joined empty."""

from typing import Any

from trio.testing import MockClock

from nodemanager.ids import NodeId
from nodemanager.states import NodeState
from ramsterd.core.page import PAGE_BYTES
from ramsterd.remote.limits.put_rate import BURST_SECONDS
from ramsterd.remote.wire import PAGES_PER_FRAME_MAX
from tests.simulation.checkers import check_step, held
from tests.simulation.checking_clients import Client, RunningPut, finish, stage
from tests.simulation.cluster import MIB, Cluster

RATE = 4 * MIB
OWNERS = (0, 1, 2)
NEWCOMER = 4
# Of the whole cluster while 4000 pages leave: some 50 frames, each with what it brings about.
PASSES_MAX = 5000
FRAME_BYTES_MAX = PAGES_PER_FRAME_MAX * PAGE_BYTES
KNOBS: dict[str, Any] = {"repatriate_pages_per_second": 0, "put_wait_seconds_max": 30.0}


def foreign_bytes(cluster: Cluster, node: int) -> int:
    return cluster[node].engine.statistics().foreign_zpage_bytes


def capped(cluster: Cluster, owner: int, holder: int) -> tuple[int, float]:
    put_rate = cluster[owner].engine.statistics().remotify.put_rate[NodeId(holder)]
    return put_rate.throttled_total, put_rate.throttled_seconds_total


def fill_up(cluster: Cluster, clients: list[Client]) -> list[RunningPut]:
    """Put until nobody has room any more; return what waits, some of each client."""
    for index in range(0, 4000, 64):
        for client in clients:
            for start in range(index, index + 64, 16):
                client.put(start, 16)
        cluster.run(0.2)
        if all(len(client.puts) >= 32 for client in clients):
            return [put for client in clients for put in client.puts]
    raise AssertionError("there is always room")


async def test_a_newcomer_to_a_busy_cluster_is_not_flooded(
    seed: int, mock_clock: MockClock
) -> None:
    """The others are full, so that all owners have nobody else; each of them writes as fast as it can."""
    cluster = Cluster(
        seed, mock_clock, nodes=5, knobs={NEWCOMER: {"budget": 32 * MIB}},
        foreign_bytes_per_second=RATE, **KNOBS,
    )  # fmt: skip
    cluster.checks.append(lambda: check_step(cluster))
    for one in range(4):
        for other in range(one):
            cluster.link(one, other)
    clients = [Client(cluster, owner) for owner in OWNERS]
    waiting = fill_up(cluster, clients)
    joined_at, before = cluster.now, 0
    for owner in range(4):
        cluster.link(owner, NEWCOMER)
    while any(put.is_waiting for put in waiting):
        assert cluster.now < joined_at + 30
        cluster.run(0.05)
        now = foreign_bytes(cluster, NEWCOMER)
        most = RATE * (cluster.now - joined_at + BURST_SECONDS) + len(OWNERS) * FRAME_BYTES_MAX
        assert before <= now <= most
        before = now
    assert all(put.is_stored for put in waiting)
    assert before > 2 * MIB
    assert all(capped(cluster, owner, NEWCOMER)[0] > 0 for owner in OWNERS)
    finish(cluster, *clients)


def at_risk(cluster: Cluster) -> int:
    return cluster[0].engine.statistics().rebuild.pages_at_risk


async def test_where_all_are_at_their_cap_work_waits_for_a_time_and_goes_on(
    seed: int, mock_clock: MockClock
) -> None:
    """One owner, one slow holder: it is asked again just when it is open, and nothing spins meanwhile."""
    cluster, client = stage(
        seed, mock_clock, knobs={1: {"budget": 16 * MIB}}, foreign_bytes_per_second=RATE, **KNOBS
    )
    started = cluster.now
    for index in range(0, 4000, 16):
        client.put(index, 16)
    engine = cluster[0].engine
    assert cluster.run_until(lambda: capped(cluster, 0, 1)[0] > 0, 1)
    passes = 0
    while client.puts:
        assert cluster.step(cluster.now + 1)
        deadline = engine.next_deadline()
        assert deadline > cluster.now or deadline == engine._clock._tick_at
        # Who waits for a cap is not stuck, so nobody's foreign pages are recalled for that.
        assert not engine.machines.remotifier.is_stuck()
        passes += 1
        assert passes < PASSES_MAX, "it spins"
    seconds = cluster.now - started
    sent = engine.statistics().remotify.stored_zpage_bytes_total
    _, capped_seconds = capped(cluster, 0, 1)
    assert capped_seconds <= seconds + FRAME_BYTES_MAX / RATE
    assert capped_seconds > seconds / 2
    assert sent <= RATE * (seconds + BURST_SECONDS) + 5 * FRAME_BYTES_MAX
    finish(cluster, client)


async def test_while_one_peer_is_at_its_cap_another_takes_the_pages(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, client = stage(
        seed, mock_clock, nodes=3, **KNOBS,
        knobs={1: {"budget": 32 * MIB, "foreign_bytes_per_second": RATE}, 2: {"budget": 16 * MIB, "foreign_bytes_per_second": 0}},
    )  # fmt: skip
    started = cluster.now
    client.fill(4000)
    cluster.run(0.1)
    assert capped(cluster, 0, 1)[0] > 0
    assert capped(cluster, 0, 2)[0] == 0
    assert foreign_bytes(cluster, 1) <= RATE * (cluster.now - started + 0.1) + FRAME_BYTES_MAX
    assert foreign_bytes(cluster, 2) > foreign_bytes(cluster, 1)
    finish(cluster, client)


async def test_a_rebuild_keeps_to_the_cap_and_ends(seed: int, mock_clock: MockClock) -> None:
    """A holder dies, and its pages are copied again to one that takes only so much."""
    cluster, client = stage(
        seed, mock_clock, nodes=4, copies=2, rebuild_pages_per_second=10_000, **KNOBS,
        knobs={1: {"budget": 8 * MIB}, 2: {"budget": 8 * MIB},
               3: {"budget": 8 * MIB, "foreign_bytes_per_second": RATE}},
    )  # fmt: skip
    cluster.judge(0, 3, NodeState.SUSPECT)
    client.fill(2000)
    cluster.run(2)
    assert not held(cluster[0], cluster[3]), "a suspect was given pages"
    cluster.judge(0, 3, NodeState.UP)
    cluster.crash(2)
    cluster.judge(0, 2, NodeState.DOWN)
    started = cluster.now
    assert cluster.run_until(lambda: at_risk(cluster) > 0, 1)
    while at_risk(cluster):
        cluster.run(0.05)
        assert cluster.now < started + 60
        assert foreign_bytes(cluster, 3) <= RATE * (cluster.now - started + 0.1) + FRAME_BYTES_MAX
    assert capped(cluster, 0, 3)[0] > 0
    client.read_all()
    assert cluster[0].engine.statistics().store.lost_pages_total == 0
