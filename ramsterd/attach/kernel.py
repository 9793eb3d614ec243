"""The kernel's nbd over generic netlink: orders that are answered, and the news of its multicast group.

A shell: it decides nothing.  Two sockets, so that news never stand between an order and its answer;
the news are asked for before the first order, so that none is missed.
"""

import contextlib
import errno
import os
import socket
from typing import Final, Protocol, Self

from ramsterd.attach.nbd_family import (
    DeviceStatus,
    Disk,
    Family,
    ask_family,
    ask_status,
    connect,
    disconnect,
    let_go,
    parse_dead_link,
    parse_family,
    parse_status,
    reconfigure,
)
from ramsterd.attach.netlink import (
    DATAGRAM_BYTES_MAX,
    Kind,
    MalformedNetlink,
    Message,
    parse_messages,
)

# From the kernel's headers; Python's socket module does not name them.
NETLINK_GENERIC: Final = 16
SOL_NETLINK: Final = 270
NETLINK_ADD_MEMBERSHIP: Final = 1
# An order is carried out before its answer comes: a CONNECT makes a disk, a DISCONNECT waits for
# requests to end.
ANSWER_SECONDS_MAX: Final = 20.0
# In one look at the news; what is left is seen at the next.
NEWS_MAX: Final = 256
_SEQUENCES: Final = 1 << 32


class KernelRefused(Exception):
    """The kernel answered an order with an errno."""

    def __init__(self, number: int) -> None:
        super().__init__(os.strerror(number))
        self.errno = number


class NoNbdModule(Exception):
    """The kernel has no nbd, or none that is loaded."""


class KernelSilent(Exception):
    """The kernel did not answer in time, or not with what is an answer."""


class Netlink(Protocol):
    """How sockets to the kernel are made; tests have another."""

    def open(self) -> socket.socket:
        """Return a bound datagram socket.

        Raises:
            OSError: There is no generic netlink here.
        """

    def join(self, sock: socket.socket, group: int) -> None:
        """Let the news of a multicast group come to this socket."""


class HostNetlink:
    """The kernel that we run on."""

    def open(self) -> socket.socket:
        """Return a bound datagram socket."""
        sock = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_GENERIC
        )
        try:
            sock.bind((0, 0))
        except BaseException:
            sock.close()
            raise
        return sock

    def join(self, sock: socket.socket, group: int) -> None:
        """Let the news of a multicast group come to this socket."""
        sock.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)


class NbdKernel:
    """Orders to the kernel's nbd.  Close it, or use it in a `with`."""

    def __init__(self, netlink: Netlink) -> None:
        """Open both sockets.

        Raises:
            NoNbdModule: No family is called nbd.
            KernelSilent: The kernel does not answer.
            OSError: There is no generic netlink here.
        """
        self._sequence = 0
        with contextlib.ExitStack() as opened:
            self._orders = opened.enter_context(netlink.open())
            self._orders.settimeout(ANSWER_SECONDS_MAX)
            self._family = self._find_family()
            self.news = opened.enter_context(netlink.open())
            netlink.join(self.news, self._family.group)
            self.news.setblocking(False)
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def connect(self, index: int, descriptor: int, disk: Disk) -> None:
        """Make a device of a connection; raises KernelRefused."""
        self._order(connect(self._family, index, descriptor, disk))

    def reconfigure(self, index: int, descriptor: int, disk: Disk) -> None:
        """Give the device another connection if its own is dead; raises KernelRefused."""
        self._order(reconfigure(self._family, index, descriptor, disk))

    def let_go(self, index: int, disk: Disk) -> None:
        """Take back what is in flight on a dead connection; raises KernelRefused."""
        self._order(let_go(self._family, index, disk))

    def disconnect(self, index: int) -> None:
        """End a device; raises KernelRefused."""
        self._order(disconnect(self._family, index))

    def devices(self) -> list[DeviceStatus]:
        """Return all devices of the module."""
        (payload,) = self._order(ask_status(self._family)) or [b""]
        try:
            return parse_status(payload)
        except MalformedNetlink as error:
            raise KernelSilent(f"a status that is none: {error}") from error

    def is_configured(self, index: int) -> bool:
        """Return whether a device is made of some connection, dead or alive."""
        return DeviceStatus(index, is_configured=True) in self.devices()

    def take_news(self) -> set[int] | None:
        """Return the devices whose connections died, without waiting.

        None: some news were lost, so it may be any.
        """
        dead: set[int] = set()
        for _ in range(NEWS_MAX):
            try:
                datagram = self.news.recv(DATAGRAM_BYTES_MAX)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    return None
                raise
            if not datagram:
                break
            try:
                for message in parse_messages(datagram):
                    if message.kind == self._family.number:
                        dead |= {parse_dead_link(message.payload)} - {None}  # type: ignore[arg-type]
            except MalformedNetlink:
                return None
        return dead

    def _find_family(self) -> Family:
        try:
            (payload,) = self._order(ask_family()) or [b""]
            return parse_family(payload)
        except KernelRefused as error:
            if error.errno == errno.ENOENT:
                raise NoNbdModule from error
            raise
        except MalformedNetlink as error:
            raise KernelSilent(f"a family that is none: {error}") from error

    def _order(self, message: Message) -> list[bytes]:
        """Send an order and wait for its acknowledgement; return what came before that."""
        self._sequence = (self._sequence + 1) % _SEQUENCES
        order = Message(
            kind=message.kind,
            flags=message.flags,
            sequence=self._sequence,
            payload=message.payload,
        )
        answers: list[bytes] = []
        try:
            self._orders.sendall(order.encode())
            while True:
                for answer in parse_messages(self._orders.recv(DATAGRAM_BYTES_MAX)):
                    # Of an order that was given up: its answer came too late.
                    if answer.sequence != self._sequence:
                        continue
                    if answer.kind != Kind.ERROR:
                        answers.append(answer.payload)
                    elif answer.error:
                        raise KernelRefused(answer.error)
                    else:
                        return answers
        except TimeoutError as error:
            raise KernelSilent(f"no answer for {ANSWER_SECONDS_MAX:g} s") from error
        except MalformedNetlink as error:
            raise KernelSilent(str(error)) from error
