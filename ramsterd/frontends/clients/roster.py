"""The connections of one front end that another process could go on with.

`come_to_edges` stops all of them; `hand_over` then takes out, in one step of the loop, those that
are at an edge.  The others end with their tasks: their clients connect again.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import trio

from ramsterd.frontends.clients.exchange import Exchange
from ramsterd.handover.document import ConnectionRecord
from ramsterd.handover.parting import Parting

# A handshake lasts some round trips of its client; one that is idle is of nobody who waits.
HANDSHAKE_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One connection; `leave` returns its record, at an edge, and gives up what the record says."""

    sock: socket.socket
    exchange: Exchange[Any]
    leave: Callable[[], ConnectionRecord]


class Roster:
    """See the module's text."""

    def __init__(self) -> None:
        self._members: dict[Member, None] = {}
        self._is_stopping = False
        # Handshakes, and who waits for them to end.
        self._arriving = 0
        self._arrived = trio.lowlevel.ParkingLot()

    @contextmanager
    def arriving(self) -> Iterator[None]:
        """A handshake is under way."""
        self._arriving += 1
        try:
            yield
        finally:
            self._arriving -= 1
            self._arrived.unpark_all()

    @contextmanager
    def present(self, member: Member) -> Iterator[None]:
        """A connection is served."""
        self._members[member] = None
        if self._is_stopping:
            member.exchange.stop_receiving()
        try:
            yield
        finally:
            del self._members[member]

    async def come_to_edges(self) -> None:
        """Stop all connections, and return when each is at an edge or over.  May be cancelled."""
        self._is_stopping = True
        for member in self._members:
            member.exchange.stop_receiving()
        with trio.move_on_after(HANDSHAKE_SECONDS):
            while self._arriving:
                await self._arrived.park()
        while pending := [each for each in self._members if not each.exchange.is_at_edge]:
            for member in pending:
                await member.exchange.wait_at_edge()

    def hand_over(self, parting: Parting) -> None:
        """Take out all connections that are at an edge.

        Nothing may be served between this and the end of all tasks.
        """
        for member in self._members:
            if member.exchange.is_at_edge:
                record = member.leave()
                member.exchange.leave()
                parting.add_connection(record, member.sock.detach())
            else:
                parting.on_dropped()
