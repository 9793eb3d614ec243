"""The metrics port: /metrics and the status page over HTTP, on the event loop, for all who reach it.

Anybody may connect to it, so everything has a bound: connections (the oldest of the address with
the most gives way), bytes of a request, and the time for each.  All readers share one text, so a
slow one keeps nothing but its socket.  And whatever goes wrong here, pages are served on.
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
from ramsterd.observe.live_feed import EVENT_STREAM, VIEWERS_MAX, LiveFeed
from ramsterd.observe.scrape import PLAIN_TEXT, BadRequest, ScrapeProtocol
from ramsterd.observe.status_page import HTML, StatusPage

logger = logging.getLogger("ramster.metrics")

NOT_FOUND: Final = b"metrics are at /metrics, and the status page is at /\n"
FAULT: Final = "the metrics port can't show this node, by a fault of ramsterd; pages and clients are served on; report these lines"
TOO_MANY_VIEWERS: Final = (
    f"{VIEWERS_MAX} viewers look already, and more there may not be\n".encode()
)
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
    """Serves the metrics and the status page at one address."""

    def __init__(self, address: str, port: int, exposition: Exposition, feed: LiveFeed) -> None:
        self._address = address
        self._port = port
        self._exposition = exposition
        self._feed = feed
        self._page = StatusPage()
        self._answers: Counter[HTTPStatus] = Counter()
        self._connections = Connections(
            "metrics client", connections_max=CONNECTIONS_MAX, logger=logger
        )

    def statistics(self) -> MetricsStatistics:
        """Return a snapshot."""
        return MetricsStatistics(
            endpoint=self._connections.statistics(),
            answers_total={str(status.value): count for status, count in self._answers.items()},
            viewers=self._feed.viewers,
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
        """Answer one client; a fault of ours in what is shown ends its connection, and not the daemon."""
        try:
            await self._answer_requests(sock, renew)
        except OSError:
            raise
        except Exception:
            logger.exception(FAULT)

    async def _answer_requests(self, sock: socket.socket, renew: Callable[[], None]) -> None:
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
            if not await _send(sock, pieces):
                return
            if protocol.is_streaming:
                await self._show(sock, protocol, renew)
                return
            seconds = IDLE_SECONDS_MAX

    async def _show(
        self, sock: socket.socket, protocol: ScrapeProtocol, renew: Callable[[], None]
    ) -> None:
        """Send each picture until the viewer leaves, or takes too long for one: then he gets none that is old."""
        self._feed.viewers += 1
        try:
            while await _send(sock, [protocol.part(self._feed.text())]):
                renew()
                await self._feed.wait_next()
        finally:
            self._feed.viewers -= 1

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
        match request.path:
            case "/metrics":
                content_type, text = await self._exposition.text(request.accept)
                return self._answer(protocol, HTTPStatus.OK, text, content_type=content_type)
            case "/":
                return self._answer_with_page(protocol)
            case "/feed":
                return self._begin_feed(protocol)
            case _:
                return self._answer(protocol, HTTPStatus.NOT_FOUND, NOT_FOUND)

    def _answer_with_page(self, protocol: ScrapeProtocol) -> list[bytes]:
        self._answers[HTTPStatus.OK] += 1
        page = self._page
        return protocol.answer(
            HTTPStatus.OK, page.document, content_type=HTML, more_fields=page.fields
        )

    def _begin_feed(self, protocol: ScrapeProtocol) -> list[bytes]:
        if protocol.is_head:
            return self._answer(protocol, HTTPStatus.OK, b"", content_type=EVENT_STREAM)
        if self._feed.is_full:
            return self._answer(protocol, HTTPStatus.SERVICE_UNAVAILABLE, TOO_MANY_VIEWERS)
        self._answers[HTTPStatus.OK] += 1
        return [protocol.begin_stream(EVENT_STREAM)]

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


async def _send(sock: socket.socket, pieces: list[bytes]) -> bool:
    """Whether a client took all of it in time."""
    with trio.move_on_after(REPLY_SECONDS_MAX) as reply:
        for piece in pieces:
            await send_all(sock, piece)
    return not reply.cancelled_caught
