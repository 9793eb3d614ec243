"""The clients that are connected to one front end: admitted up to a limit, and counted until each has ended."""

import socket
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeAlias

import trio

from ramsterd.endpoints.accept import Acceptor
from ramsterd.frontends.clients.counters import Counters, EndT
from ramsterd.frontends.clients.exchange import Ended

# Serves a socket, whose client has a number, until the connection ends.
Serve: TypeAlias = Callable[[socket.socket, int], Awaitable[Ended[EndT]]]


class Attendance(Generic[EndT]):
    """The connections of one front end."""

    def __init__(
        self,
        acceptor: Acceptor,
        counters: Counters[EndT, Any],
        *,
        connections_max: int,
        stopped: EndT,
    ) -> None:
        """Wire it; `stopped` is the end of connections that end with the server."""
        self._acceptor = acceptor
        self._counters = counters
        self._stopped = stopped
        # From now on; connected clients stay.
        self.connections_max = connections_max

    def admit(self, nursery: trio.Nursery, sock: socket.socket, serve: Serve[EndT]) -> None:
        """Serve a client in a task of its own and close its socket, unless there are too many."""
        counters = self._counters
        if counters.connections >= self.connections_max:
            self._acceptor.refuse(sock, f"{self.connections_max} connections already")
            return
        self.take_up(nursery, sock, serve)

    def take_up(self, nursery: trio.Nursery, sock: socket.socket, serve: Serve[EndT]) -> None:
        """Serve one that is connected already, however many there are; it counts as accepted."""
        counters = self._counters
        counters.connections += 1
        counters.accepted_connections_total += 1
        nursery.start_soon(self._run, sock, counters.accepted_connections_total, serve)

    async def _run(self, sock: socket.socket, number: int, serve: Serve[EndT]) -> None:
        end = self._stopped
        try:
            with sock:
                end = (await serve(sock, number)).end
        finally:
            self._counters.connections -= 1
            self._counters.ended[end] += 1
