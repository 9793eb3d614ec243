"""Four nodes, of which one has put more pages than it can keep, with two copies of each that left."""

from typing import Any

from trio.testing import MockClock

from tests.simulation.checkers import held
from tests.simulation.checking_clients import Client
from tests.simulation.cluster import MIB, Cluster

PAGES = 2000
KNOBS: dict[str, Any] = {
    "copies": 2,
    "rebuild_pages_per_second": 2000,
    "repatriate_pages_per_second": 0,
}


def four_nodes(seed: int, clock: MockClock) -> tuple[Cluster, Client]:
    """Return a cluster in which node 0 has put more than it can keep, and all that had to leave has left."""
    cluster = Cluster(
        seed, clock, nodes=4, knobs={n: {"budget": 8 * MIB} for n in (1, 2, 3)}, **KNOBS
    )
    cluster.link_all()
    client = Client(cluster, 0)
    client.fill(PAGES)
    cluster.run(2)
    assert cluster[0].engine.statistics().remotify.stored_pages_total > 400
    return cluster, client


def at_risk(cluster: Cluster) -> int:
    return cluster[0].engine.statistics().rebuild.pages_at_risk


def copies_of(cluster: Cluster, serial: int) -> int:
    return sum(serial in held(cluster[0], cluster[n]) for n in cluster.nodes if n != 0)
