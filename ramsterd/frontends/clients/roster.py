"""The connections of one front end, all of which another process could go on with.

`come_to_edges` stops all of them; `hand_over` then takes out, in one step of the loop, those that
are at an edge.  The others end with their tasks: their clients connect again.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from ramsterd.handover.document import ConnectionRecord
from ramsterd.handover.parting import Parting


class Stoppable(Protocol):
    """A handshake, or an exchange of requests."""

    def stop_receiving(self) -> None:
        """Begin nothing any more; what is begun goes on to its end."""
        ...

    @property
    def is_at_edge(self) -> bool:
        """Whether another process may go on from here."""
        ...

    async def wait_at_edge(self) -> None:
        """Wait until it is at an edge, or over, after `stop_receiving`."""
        ...

    def leave(self) -> None:
        """Another process goes on, at an edge: nothing of this one has an effect any more."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One connection; `leave` returns its record, at an edge, and gives up what the record says."""

    sock: socket.socket
    exchange: Stoppable
    leave: Callable[[], ConnectionRecord]


class Roster:
    """See the module's text."""

    def __init__(self) -> None:
        self._members: dict[Member, None] = {}
        self._is_stopping = False

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
