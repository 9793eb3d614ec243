"""Byte streams between nodes: the one seam where tests put their own network.

`net.tcp.TcpTransport` is the real one.  A simulated network implements the same protocols;
`tests/contract` holds both to the same promises.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeAlias

# What can be sent without a copy.  (`collections.abc.Buffer` needs Python 3.12.)
Piece: TypeAlias = bytes | bytearray | memoryview


class Stream(Protocol):
    """One connection.  One task receives.

    Sending is `send_nowait` or one task in `wait_sendable`.
    """

    async def receive_into(self, target: memoryview) -> int:
        """Receive at least one byte into `target` and return how many.

        0 when the other side closed.

        Raises:
            PeerLost: The connection broke.
        """
        ...

    def send_nowait(self, pieces: Sequence[Piece]) -> int:
        """Send what fits now of the pieces, in order, and return how many bytes went.

        0 when none fits.

        Raises:
            PeerLost: The connection broke.
        """
        ...

    async def wait_sendable(self) -> None:
        """Wait until `send_nowait` may take something, or the connection broke."""
        ...

    def close(self) -> None:
        """Close at once.

        A task in `receive_into` or `wait_sendable` gets PeerLost.  May be called twice.
        """
        ...


class PortStatus(Protocol):
    """The part of `trio.TaskStatus[int]` that `listen` needs, so that this module stays free of trio."""

    def started(self, value: int, /) -> None:
        """Tell that the listener is ready, and on which port."""
        ...


class Closing(Protocol):
    """The part of `trio.Event` that `listen` needs."""

    async def wait(self) -> None:
        """Return when the listener is to close."""
        ...


class Transport(Protocol):
    """The transport: it dials and accepts streams."""

    async def dial(self, address: str, port: int) -> Stream:
        """Connect to an IP address, or raise PeerLost.  Names are looked up before (`net.resolving`)."""
        ...

    async def listen(
        self,
        address: str,
        port: int,
        accept: Callable[[Stream], Awaitable[None]],
        *,
        task_status: PortStatus,
        closing: Closing | None = None,
    ) -> None:
        """Listen until cancelled, or until `closing`; then return once the last stream has ended.

        Run `accept` in a task of its own for each stream, and close it after.

        `task_status.started(port)` tells the bound port (for port 0).

        Raises:
            OSError: The address can't be bound.
        """
        ...
