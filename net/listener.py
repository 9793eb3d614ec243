"""The accepting side: who may knock, and how many at a time."""

import ipaddress
import logging
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from net.errors import LocalProtocolError
from net.transport import PortStatus, Stream, Transport

log = logging.getLogger("ramster.net")

# Connections that have not said who they are; each costs a decoder and a task.  A cluster that starts at
# once knocks with one connection a node, and those that are turned away come back after a backoff.
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


class Listener:
    """Accepts streams and runs a link over each, with a bound on those that have not greeted yet.

    `run` runs one accepted link to its end, calls the function it is given once the greeting is over, and
    returns why the link ended.
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
        self._greetings_max = greetings_max
        self.greetings = 0
        self.turned_away_total = 0

    async def serve(self, address: str, port: int, *, task_status: PortStatus) -> None:
        """Listen until cancelled."""
        await self._transport.listen(address, port, self._accept, task_status=task_status)

    async def _accept(self, stream: Stream) -> None:
        if self.greetings >= self._greetings_max:
            self.turned_away_total += 1
            log.warning("turned a connection away: %d have not greeted yet", self.greetings)
            return
        greeting = Greeting(self)
        opened_at = trio.current_time()
        try:
            reason = await self._run(stream, greeting.end)
        finally:
            was_greeted = greeting.is_over
            greeting.end()
        if not was_greeted:
            seconds = trio.current_time() - opened_at
            log.warning("a connection ended after %.1f s without a link: %s", seconds, reason)


class Greeting:
    """One place among the connections that have not greeted; given back once."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.is_over = False
        listener.greetings += 1

    def end(self) -> None:
        """Give the place back."""
        if not self.is_over:
            self.is_over = True
            self._listener.greetings -= 1
            assert self._listener.greetings >= 0
