"""How many copies a page has where nothing says so."""

from typing import Final

from config.limits import COPIES_DEFAULT
from config.model import ClusterConfig

# With fewer nodes there are not two peers.
NODES_FOR_TWO_COPIES: Final = 3


def default_copies(cluster: ClusterConfig) -> int:
    """Return the copies of pools that are not configured.  A node that drains keeps nothing, so it does not count."""
    nodes = sum(not node.draining for node in cluster.node)
    return COPIES_DEFAULT if nodes >= NODES_FOR_TWO_COPIES else 1
