"""The two numbers that name a node and one of its incarnations, and what a node is called that has only a number."""

from typing import NewType

# A member's number in cluster.toml, 0 to config.limits.NODE_NUMBER_MAX.
NodeId = NewType("NodeId", int)

# Which incarnation of a node this is: a 64-bit number that rises from one start of the daemon to
# the next (see `nodemanager.incarnations`).  A new one means that all the node held is gone.
Incarnation = NewType("Incarnation", int)


def nameless(node: NodeId) -> str:
    """Return what a node is called whose number no member has (any more), behind the word node: "number 7"."""
    return f"number {node}"
