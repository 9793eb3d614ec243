"""A member is asked to be removed, as ramsterctl does."""

from typing import Any

from nodemanager.ids import NodeId
from ramsterd.admin.node_commands import remove_node
from tests.simulation.cluster import Cluster


def held(cluster: Cluster, owner: int, holder: int) -> int:
    return cluster[owner].engine.pages_there(NodeId(holder))


def remove(cluster: Cluster, at: int, node: int, **more: object) -> Any:
    """Ask as `ramsterctl` does, until there is an answer."""
    result: Any = {"state": "asking"}
    for _ in range(1000):
        request = {"name": f"node{node}", **more}
        result = remove_node(cluster[at].peers.members, request)
        if result["state"] != "asking":
            return result
        cluster.run(0.1)
    raise AssertionError(result)
