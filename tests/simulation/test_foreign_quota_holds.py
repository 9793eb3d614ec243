"""What others have here never takes more of our memory than they may have."""

from trio.testing import MockClock

from ramsterd.core.page import PoolKind
from tests.simulation.checkers import check_step
from tests.simulation.checking_clients import Client, finish
from tests.simulation.cluster import BUDGET_BYTES, Cluster

FRACTION = 0.25


async def test_foreign_quota_holds(seed: int, mock_clock: MockClock) -> None:
    """Three owners press on one holder, persistent and ephemeral alike: the quota holds at each step, no page is lost."""
    cluster = Cluster(
        seed,
        mock_clock,
        nodes=4,
        knobs={3: {"foreign_fraction_max": FRACTION}},
        copies=1,
        ephemeral=True,
        put_wait_seconds_max=1.0,
    )
    cluster.checks.append(lambda: check_step(cluster))  # with the quota of each node
    cluster.link_all()
    cluster.run(0.1)
    clients = [Client(cluster, number) for number in (0, 1, 2)]
    clients.append(Client(cluster, 0, kind=PoolKind.EPHEMERAL))
    foreign = cluster[3].engine.machines.foreign
    highest = 0
    for start in range(0, 1600, 32):
        for client in cluster.rng.sample(clients, len(clients)):
            client.put(start, 32)
        cluster.run(0.02)
        highest = max(highest, foreign.zpage_bytes)
        assert foreign.zpage_bytes <= FRACTION * BUDGET_BYTES
    assert highest > 0.8 * FRACTION * BUDGET_BYTES, "nobody came near the quota"
    cluster.run(5)
    # It still has room for its own.
    ours = Client(cluster, 3)
    ours.fill(400)
    assert not ours.seen["REFUSED"]
    finish(cluster, ours, *clients)
    assert foreign.zpage_bytes <= FRACTION * BUDGET_BYTES
