"""Three members, of whom some have host names."""

from dataclasses import replace

from config.model import ClusterConfig
from nodemanager.ids import NodeId
from tests.helpers.clusters import cluster_of

US, ONE, TWO = NodeId(0), NodeId(1), NodeId(2)


def with_addresses(**addresses: str) -> ClusterConfig:
    """Return three members; `node1="alpha"` gives one of them an address."""
    cluster = cluster_of(3)
    nodes = [replace(node, address=addresses.get(node.name, node.address)) for node in cluster.node]
    return replace(cluster, node=tuple(nodes))


NAMED = with_addresses(node1="one.example", node2="two.example")
