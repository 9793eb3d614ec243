"""Datagrams between nodes: the seam where tests put their own network.

Sending and receiving never wait, so that a service can drain what has arrived and act on it in one
go.
"""

import socket
from typing import Protocol

import trio

from config.endpoint import join_endpoint
from heartbeat.datagram_filter import Endpoint, is_loopback, normal_endpoint
from heartbeat.seal import DATAGRAM_BYTES_MAX


class PlaintextRefused(Exception):
    """Datagrams without a MAC would leave this machine, and the configuration does not allow that."""


class DatagramSocket(Protocol):
    """A bound datagram socket."""

    def send_to(self, datagram: bytes, target: Endpoint) -> None:
        """Send, or raise OSError when it can't be sent now.  Arrival is never known."""
        ...

    async def wait_readable(self) -> None:
        """Wait until `receive_from` may return something."""
        ...

    def receive_from(self) -> tuple[bytes, Endpoint] | None:
        """Return the next datagram that has arrived and its source, None when there is none.

        Raises:
            OSError: The network reports an error; the socket stays usable.
        """
        ...

    def close(self) -> None:
        """Close at once.  May be called twice."""
        ...


class UdpSocket:
    """The real one: non-blocking UDP."""

    def __init__(self, address: str, port: int, *, allow_remote: bool) -> None:
        """Bind.

        Raises:
            PlaintextRefused: The address is not loopback and `allow_remote` is not set.
            ValueError: `address` is not an IP address.
            OSError: The address can't be bound.
        """
        if not is_loopback(address) and not allow_remote:
            raise PlaintextRefused(
                f"heartbeat on {address} needs heartbeat_key, or insecure_plaintext = true"
            )
        host, _ = normal_endpoint(address, port)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.bind((host, port))
        except OSError as error:
            self._socket.close()
            error.filename = join_endpoint(
                address, port
            )  # the error itself does not name the port that is taken
            raise

    @property
    def endpoint(self) -> Endpoint:
        """The address and port where this socket is bound (for port 0)."""
        name = self._socket.getsockname()
        return normal_endpoint(name[0], name[1])

    def send_to(self, datagram: bytes, target: Endpoint) -> None:
        """Send, or raise OSError; a full send buffer is one (BlockingIOError)."""
        self._socket.sendto(datagram, target)

    async def wait_readable(self) -> None:
        """Wait until something arrived."""
        await trio.lowlevel.wait_readable(self._socket)

    def receive_from(self) -> tuple[bytes, Endpoint] | None:
        """Return one datagram, cut one byte over the length of a good one, which shows that it is too long."""
        try:
            datagram, source = self._socket.recvfrom(DATAGRAM_BYTES_MAX + 1)
        except BlockingIOError:
            return None
        return datagram, normal_endpoint(source[0], source[1])

    def close(self) -> None:
        """Close at once; a task in `wait_readable` gets trio.ClosedResourceError."""
        if self._socket.fileno() != -1:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()
