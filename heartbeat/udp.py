"""Datagrams between nodes: the seam where tests put their own network.

Sending and receiving never wait, so that a service can drain what has arrived and act on it in one
go.
"""

import select
import socket
from collections.abc import Sequence
from typing import Protocol

import trio

from config.lookup import NOT_OURS, address_text, named_after, socket_address
from heartbeat.routes import Endpoint, is_loopback, normal_endpoint
from heartbeat.seal import DATAGRAM_BYTES_MAX


class PlaintextRefused(Exception):
    """Datagrams without a MAC would leave this machine, and the configuration does not allow that."""


class DatagramSocket(Protocol):
    """A bound datagram socket, at one address or at several."""

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

    def listen_at(self, addresses: Sequence[str], port: int) -> None:
        """Be bound to these addresses, those of them that this machine has, and to no others.

        Raises:
            OSError: It has none of them, or one can't be bound for another reason: nothing has
                changed.
        """
        ...

    def close(self) -> None:
        """Close at once.  May be called twice."""
        ...


class UdpSocket:
    """The real one: a non-blocking UDP socket for each address of ours.

    A datagram leaves from an address of the family of its target, for peers know us by our
    addresses.
    """

    def __init__(self, addresses: Sequence[str], port: int, *, allow_remote: bool) -> None:
        """Bind.

        Raises:
            PlaintextRefused: An address is not loopback and `allow_remote` is not set.
            ValueError: One is not an IP address.
            OSError: As `listen_at` does.
        """
        self._allow_remote = allow_remote
        self._sockets: dict[Endpoint, socket.socket] = {}
        # One that is readable as soon as any of them is.
        self._any = select.epoll()
        try:
            self.listen_at(addresses, port)
        except BaseException:
            self._any.close()
            raise

    def listen_at(self, addresses: Sequence[str], port: int) -> None:
        """Be bound to these addresses; see `DatagramSocket`."""
        wanted = {normal_endpoint(address, port): address for address in addresses}
        opened: dict[Endpoint, socket.socket] = {}
        missing: OSError | None = None
        try:
            for endpoint in wanted.keys() - self._sockets.keys():
                try:
                    opened[endpoint] = self._bind(wanted[endpoint], port)
                except OSError as error:
                    if error.errno not in NOT_OURS:
                        raise
                    missing = missing or error
        except BaseException:
            for each in opened.values():
                each.close()
            raise
        has = {**self._sockets, **opened}
        if missing is not None and not wanted.keys() & has.keys():
            raise missing
        for endpoint in self._sockets.keys() - wanted.keys():
            self._any.unregister(self._sockets[endpoint])
            self._sockets[endpoint].close()
        for each in opened.values():
            self._any.register(each, select.EPOLLIN)
        self._sockets = {endpoint: has[endpoint] for endpoint in wanted if endpoint in has}

    def _bind(self, address: str, port: int) -> socket.socket:
        if not is_loopback(address) and not self._allow_remote:
            raise PlaintextRefused(
                f"heartbeat on {address} needs heartbeat_key, or insecure_plaintext = true"
            )
        host, _ = normal_endpoint(address, port)
        with named_after(address, port):
            family, where = socket_address(host, port)
            bound = socket.socket(family, socket.SOCK_DGRAM)
            try:
                bound.setblocking(False)
                bound.bind(where)
            except OSError:
                bound.close()
                raise
            return bound

    @property
    def endpoint(self) -> Endpoint:
        """The first address and port where this socket is bound (for port 0)."""
        where = next(iter(self._sockets.values())).getsockname()
        return normal_endpoint(address_text(where), where[1])

    def send_to(self, datagram: bytes, target: Endpoint) -> None:
        """Send, or raise OSError; a full send buffer is one (BlockingIOError)."""
        family, where = socket_address(*target)
        self._from(family, is_local=is_loopback(target[0])).sendto(datagram, where)

    def _from(self, family: socket.AddressFamily, *, is_local: bool) -> socket.socket:
        """Return the socket that a datagram leaves from: what leaves the machine does not from loopback."""
        found = [
            (is_loopback(address) is is_local, each)
            for (address, _), each in self._sockets.items()
            if each.family is family
        ]
        if not found:
            version = 6 if family is socket.AF_INET6 else 4
            raise OSError(None, f"this node has no IPv{version} address, and the other one has")
        return next((each for fits, each in found if fits), found[0][1])

    async def wait_readable(self) -> None:
        """Wait until something arrived."""
        await trio.lowlevel.wait_readable(self._any)

    def receive_from(self) -> tuple[bytes, Endpoint] | None:
        """Return one datagram, cut one byte over the length of a good one, which shows that it is too long."""
        for each in self._sockets.values():
            try:
                datagram, source = each.recvfrom(DATAGRAM_BYTES_MAX + 1)
            except BlockingIOError:
                continue
            return datagram, normal_endpoint(address_text(source), source[1])
        return None

    def close(self) -> None:
        """Close at once; a task in `wait_readable` gets trio.ClosedResourceError."""
        if not self._any.closed:
            trio.lowlevel.notify_closing(self._any)
            self._any.close()
            for each in self._sockets.values():
                each.close()
