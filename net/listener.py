"""The accepting side: how many connections without a greeting there may be, and whose."""

import ipaddress
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import trio

from net.errors import LocalProtocolError
from net.places import Place, Places
from net.tls import is_certified, peer_of
from net.transport import Closing, PortStatus, Stream, Transport

# Members and strangers are logged apart: the log says only so many lines of one kind, and the noise
# of strangers must not hide why a member is refused.
log = logging.getLogger("ramster.net")
log_of_strangers = log.getChild("strangers")

# Connections that have not said who they are; each costs a decoder and a task.  A cluster that
# starts at once makes one connection a node, and those that gave way come back after a backoff.
GREETINGS_MAX: Final = 64


def check_plaintext(address: str, *, insecure_plaintext: bool) -> None:
    """Raise LocalProtocolError if pages would be readable on a network without anyone's having said so."""
    if not insecure_plaintext and not is_loopback(address):
        raise LocalProtocolError(
            f"listening at {address} without TLS: found insecure_plaintext = false, expected a loopback"
            " address or insecure_plaintext = true"
        )


def is_loopback(address: str) -> bool:
    """Return whether only this machine can reach the address."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerStatistics:
    """Counters of accepted connections, and of those that met a limit."""

    # Connections that have not greeted, now.
    greeting_connections: int
    accepted_connections_total: int
    # Ended without a link, for whatever reason, and of these for want of a place.
    failed_connections_total: int
    displaced_connections_total: int
    # Links, of both directions, that were made before their listening side moved.
    outdated_links: int = 0


class Listener:
    """Accepts streams and runs a link over each, with a bound on those that have not greeted yet.

    `run` runs one accepted link to its end, calls the function it is given once the greeting is
    over, and returns why the link ended.
    """

    def __init__(
        self,
        transport: Transport,
        run: Callable[[Stream, Callable[[], None]], Awaitable[str]],
        *,
        greetings_max: int = GREETINGS_MAX,
    ) -> None:
        self._transport = transport
        self._run = run
        self._scopes: dict[Place, trio.CancelScope] = {}
        self.greetings = Places(greetings_max)
        self._accepted_connections_total = self._failed_connections_total = 0

    async def serve(
        self,
        address: str,
        port: int,
        *,
        task_status: PortStatus,
        closing: Closing | None = None,
    ) -> None:
        """Listen until cancelled, or until `closing`; then return once the last link has ended."""
        await self._transport.listen(
            address, port, self._accept, task_status=task_status, closing=closing
        )

    async def _accept(self, stream: Stream) -> None:
        self._accepted_connections_total += 1
        greeting, displaced = self.greetings.begin(peer_of(stream))
        if displaced is not None:
            self._scopes[displaced].cancel()
        opened_at = trio.current_time()
        reason = "closed to make room: too many connections without a greeting, most of them from this address"
        with trio.CancelScope() as scope:
            self._scopes[greeting] = scope
            try:
                reason = await self._run(stream, lambda: self._on_greeted(greeting))
            finally:
                was_greeted = greeting not in self._scopes
                self._on_greeted(greeting)
        if not was_greeted:
            self._failed_connections_total += 1
            seconds = trio.current_time() - opened_at
            self.logger_of(stream).warning(
                "connection from %s ended after %.1f s without a link: %s",
                greeting.where, seconds, reason,
            )  # fmt: skip

    def _on_greeted(self, greeting: Place) -> None:
        """Give its place back; nobody displaces it from here on.  May be called twice."""
        self.greetings.end(greeting)
        self._scopes.pop(greeting, None)

    def statistics(self) -> ListenerStatistics:
        """Return a snapshot."""
        return ListenerStatistics(
            greeting_connections=len(self.greetings),
            accepted_connections_total=self._accepted_connections_total,
            failed_connections_total=self._failed_connections_total,
            displaced_connections_total=self.greetings.displaced_total,
        )

    @staticmethod
    def logger_of(stream: Stream) -> logging.Logger:
        """Return the logger for what the other side of a stream did."""
        return log if is_certified(stream) else log_of_strangers
