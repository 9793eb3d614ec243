"""What rebuild and recall ask of the rest of the node: who has copies, who would take more, and that pages leave.  Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from nodemanager.ids import NodeId
from ramsterd.remote.holders.reach import ReachableCopies

CopiesAt: TypeAlias = Callable[[tuple[int, ...]], ReachableCopies]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The questions, and the one request."""

    # What some holders are worth now.
    copies_at: CopiesAt
    # How many peers may be given pages now, if they have room; and which have room for a block, and
    # how much.
    placeable_nodes: Callable[[], int]
    room: Callable[[float], Mapping[NodeId, int]]
    # Has pages leave, though memory is not short yet.
    make_room: Callable[[], None]
