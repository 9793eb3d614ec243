"""All front ends stop at an edge, and their sockets are collected, in one step of the loop."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import trio

from ramsterd.handover.names import Named
from ramsterd.handover.parting import Parting

# A shut connection is the end of a disk for clients that do not connect again, and a pause is not:
# so this is long.  What ends earlier is waited for no longer.
EDGE_SECONDS_MAX: Final = 5.0


class Leaving(Protocol):
    """What has clients."""

    async def come_to_edges(self) -> None:
        """Begin no request any more; return when none is under way.  May be cancelled."""
        ...

    def hand_over(self, parting: Parting) -> None:
        """Leave everything that is at an edge.

        The tasks of the others are to be cancelled in the same step.
        """
        ...


@dataclass(frozen=True, slots=True)
class Departure:
    """What is to be given once everything has ended."""

    parting: Parting
    # `ramsterctl restart`: this process becomes the next one.  Else a service manager starts it.
    is_replacing: bool
    # Kept memory that it inherits then.
    inherited: tuple[Named, ...] = ()


async def collect(front_ends: Sequence[Leaving], parting: Parting, *, seconds_max: float) -> None:
    """Stop all clients and collect their sockets.  After this nothing may be served: there is no way back."""
    with trio.move_on_after(min(seconds_max, EDGE_SECONDS_MAX)):
        async with trio.open_nursery() as nursery:
            for each in front_ends:
                nursery.start_soon(each.come_to_edges)
    for each in front_ends:
        each.hand_over(parting)
