"""The metrics port: /metrics over HTTP, on the event loop, for all who reach it.

Anybody may connect to it, so everything has a bound: connections (the oldest of the address with
the most gives way), bytes of a request, and the time for each.  All readers share one text, so a
slow one keeps nothing but its socket.
"""

import logging
import socket
from collections import Counter
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

import trio

from net.tcp import peer_text
from ramsterd.endpoints.connections import Connections, receive_some, send_all
from ramsterd.endpoints.sockets import listen_at
from ramsterd.endpoints.statistics import MetricsStatistics
from ramsterd.observe.exposition import Exposition
from ramsterd.observe.scrape import PLAIN_TEXT, BadRequest, ScrapeProtocol

logger = logging.getLogger("ramster.metrics")

PATH: Final = "/metrics"
# A handful of scrapers, each with one; the oldest of the address with the most of them gives way to
# the next.
CONNECTIONS_MAX: Final = 16
# For the first request, for the next on the same connection (scrape intervals are up to a minute),
# and for a client to take its answer.
REQUEST_SECONDS_MAX: Final = 5.0
IDLE_SECONDS_MAX: Final = 75.0
REPLY_SECONDS_MAX: Final = 10.0
RECEIVE_BYTES: Final = 4096


class MetricsServer:
    """Serves `/metrics` at one address."""

    def __init__(self, address: str, port: int, exposition: Exposition) -> None:
        self._address = address
        self._port = port
        self._exposition = exposition
        self._answers: Counter[HTTPStatus] = Counter()
        self._connections = Connections(
            "metrics client", connections_max=CONNECTIONS_MAX, logger=logger
        )

    def statistics(self) -> MetricsStatistics:
        """Return a snapshot."""
        return MetricsStatistics(
            endpoint=self._connections.statistics(),
            answers_total={str(status.value): count for status, count in self._answers.items()},
        )

    async def serve(self, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; `task_status` is told the port.

        Raises:
            OSError: The address can't be bound.
        """
        with listen_at(self._address, self._port) as listener:
            task_status.started(listener.getsockname()[1])
            await self._connections.serve(listener, peer_text, self._answer_client)

    async def _answer_client(self, sock: socket.socket, renew: Callable[[], None]) -> None:
        """Answer requests until the client leaves, or takes too long for one."""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        protocol = ScrapeProtocol()
        seconds = REQUEST_SECONDS_MAX
        while not protocol.is_over:
            pieces: list[bytes] = []
            with trio.move_on_after(seconds):
                pieces = await self._receive_and_answer(sock, protocol)
            if not pieces:
                return
            renew()
            with trio.move_on_after(REPLY_SECONDS_MAX) as reply:
                for piece in pieces:
                    await send_all(sock, piece)
            if reply.cancelled_caught:
                return
            seconds = IDLE_SECONDS_MAX

    async def _receive_and_answer(
        self, sock: socket.socket, protocol: ScrapeProtocol
    ) -> list[bytes]:
        """Return the answer to the next request; nothing if the client has closed."""
        try:
            while (request := protocol.next_request()) is None:
                if protocol.has_closed:
                    return []
                protocol.receive_data(await receive_some(sock, RECEIVE_BYTES))
        except BadRequest as error:
            return self._answer(protocol, error.status, f"{error}\n".encode())
        if request.path != PATH:
            return self._answer(protocol, HTTPStatus.NOT_FOUND, f"metrics are at {PATH}\n".encode())
        content_type, text = await self._exposition.text(request.accept)
        return self._answer(protocol, HTTPStatus.OK, text, content_type=content_type)

    def _answer(
        self,
        protocol: ScrapeProtocol,
        status: HTTPStatus,
        body: bytes,
        *,
        content_type: str = PLAIN_TEXT,
    ) -> list[bytes]:
        self._answers[status] += 1
        date = formatdate(usegmt=True)
        return protocol.answer(status, body, content_type=content_type, date=date)
