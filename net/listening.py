"""Where a node listens for links: opens listeners at its addresses, and closes those at former ones.

A node may have several addresses, and it may move while it runs.  The new listeners are there before
the old ones go, and connections that were accepted stay: a listener is only where new ones come in.
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

import trio

from config.lookup import NOT_OURS
from net.listener import Listener
from net.transport import PortStatus

# An address and a port.
Place: TypeAlias = tuple[str, int]


class Listening:
    """The open listeners.  `nursery` runs them."""

    def __init__(self, listener: Listener, nursery: trio.Nursery) -> None:
        self._listener = listener
        self._nursery = nursery
        # With the port that each got (for port 0).
        self._open: dict[Place, tuple[int, trio.Event]] = {}
        self._changing: Final = trio.Lock()

    def places(self) -> list[Place]:
        """Return where there are listeners."""
        return [(address, port) for (address, _), (port, _) in self._open.items()]

    async def listen_at(self, addresses: Sequence[str], port: int) -> None:
        """Listen at these addresses, those of them that this machine has, and at no others.

        Raises:
            OSError: It has none of them, or one can't be had for another reason: nothing has
                changed.
        """
        async with self._changing:
            wanted = dict.fromkeys((address, port) for address in addresses)
            opened: list[Place] = []
            missing: OSError | None = None
            try:
                for place in [place for place in wanted if place not in self._open]:
                    try:
                        await self._begin(place)
                    except OSError as error:
                        if error.errno not in NOT_OURS:
                            raise
                        missing = missing or error
                    else:
                        opened.append(place)
            except BaseException:
                self._end(opened)
                raise
            if missing is not None and not wanted.keys() & self._open.keys():
                raise missing
            self._end([place for place in self._open if place not in wanted])

    async def _begin(self, place: Place) -> None:
        closing = trio.Event()
        self._open[place] = await self._nursery.start(self._serve, place, closing), closing

    async def _serve(self, place: Place, closing: trio.Event, *, task_status: PortStatus) -> None:
        await self._listener.serve(*place, task_status=task_status, closing=closing)

    def _end(self, places: Sequence[Place]) -> None:
        for place in places:
            _, closing = self._open.pop(place)
            closing.set()
