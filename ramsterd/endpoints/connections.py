"""The connections of an endpoint whose clients come, ask and leave: the control socket and the metrics port.

Nobody is turned away for want of a place: the client with the most connections loses its oldest
(`net.places`).  So clients that say nothing keep nobody out, however long they stay; and since that
is a bound too, they may have descriptors that are kept back from other clients.
"""

import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

import trio

from net.places import Place, Places
from ramsterd.endpoints.accept import Acceptor
from ramsterd.endpoints.descriptors import NO_LIMIT
from ramsterd.endpoints.statistics import EndpointStatistics


class Connections:
    """All connections of one endpoint."""

    def __init__(self, clients: str, *, connections_max: int, logger: logging.Logger) -> None:
        """Wire it; `clients` and `logger` are those of `Acceptor`."""
        self._acceptor = Acceptor(clients, logger=logger, descriptors=NO_LIMIT)
        self._places = Places(connections_max)
        self._scopes: dict[Place, trio.CancelScope] = {}
        self._total = 0

    def statistics(self) -> EndpointStatistics:
        """Return a snapshot."""
        return EndpointStatistics(
            connections=len(self._places),
            accepted_connections_total=self._total,
            displaced_connections_total=self._places.displaced_total,
        )

    async def serve(
        self,
        listener: socket.socket,
        source_of: Callable[[socket.socket], str],
        answer: Callable[[socket.socket, Callable[[], None]], Awaitable[None]],
    ) -> None:
        """Serve until cancelled.

        `answer` serves one client until it leaves, and calls what it is given whenever that client
        has asked for something sensible.  The socket is closed for it, and what the network does to
        it is no error.
        """
        async with trio.open_nursery() as nursery:

            def take(sock: socket.socket) -> None:
                place, displaced = self._places.begin(source_of(sock))
                if displaced is not None:
                    self._scopes[displaced].cancel()
                scope = self._scopes[place] = trio.CancelScope()
                self._total += 1
                nursery.start_soon(self._run, sock, place, scope, answer)

            await self._acceptor.run(listener, take)

    async def _run(
        self,
        sock: socket.socket,
        place: Place,
        scope: trio.CancelScope,
        answer: Callable[[socket.socket, Callable[[], None]], Awaitable[None]],
    ) -> None:
        try:
            with sock, scope, suppress(OSError):
                await answer(sock, lambda: self._places.renew(place))
        finally:
            self._places.end(place)
            del self._scopes[place]


async def receive_some(sock: socket.socket, count: int) -> bytes:
    """Return what has come, at most `count` bytes; nothing when the client closed."""
    while True:
        await trio.lowlevel.wait_readable(sock)
        with suppress(BlockingIOError):
            return sock.recv(count)


async def send_all(sock: socket.socket, data: bytes) -> None:
    """Send all of it; cancelled, an unknown part of it is sent."""
    rest = memoryview(data)
    while True:
        with suppress(BlockingIOError):
            rest = rest[sock.send(rest) :]
        if not rest:
            return
        await trio.lowlevel.wait_writable(sock)
