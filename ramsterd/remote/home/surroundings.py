"""What rebuild and recall ask of the rest of the node: who has copies, who would take more, and that pages leave.  Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nodemanager.ids import NodeId


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The questions, and the one request."""

    # How many holders of a row can be asked now, how many can or are awaited, and which nodes can
    # be asked.
    reachable_holders: Callable[[int], int]
    counted_holders: Callable[[int], int]
    holder_nodes: Callable[[int], set[NodeId]]
    # How many peers may be given pages now, if they have room; and which have room for a block, and
    # how much.
    placeable_nodes: Callable[[], int]
    room: Callable[[float], Mapping[NodeId, int]]
    # Has pages leave, though memory is not short yet.
    make_room: Callable[[], None]
