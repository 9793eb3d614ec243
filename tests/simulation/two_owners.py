"""Four nodes, of which two have put more than they can keep: what a drain has to move."""

from typing import Any

from trio.testing import MockClock

from tests.simulation.checking_clients import Client
from tests.simulation.cluster import MIB, Cluster

KNOBS: dict[str, Any] = {
    "copies": 1,
    "budget": 4 * MIB,
    "repatriate_pages_per_second": 0,
    "rebuild_pages_per_second": 4000,
}


def four_nodes(seed: int, clock: MockClock, **knobs: Any) -> tuple[Cluster, list[Client]]:
    """Return a cluster in which nodes 0 and 1 put more than they can keep, and one of the others could keep it all."""
    cluster = Cluster(seed, clock, **{"nodes": 4, **KNOBS, **knobs})
    cluster.link_all()
    for node in (0, 1):
        cluster[node].engine.set_budget(2 * MIB, now=cluster.now)
    clients = [Client(cluster, node) for node in (0, 1)]
    for client in clients:
        client.fill(1500)
    cluster.run(3)
    return cluster, clients
