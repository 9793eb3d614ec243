"""Streams over TCP: raw non-blocking sockets, `recv_into` and `sendmsg`, trio only to wait.

`trio.socket` makes a checkpoint of each call; here a call that succeeds at once costs the system
call alone.  So that one busy peer can't starve the others, a receiver that never had to wait makes
a checkpoint every few receives.
"""

import errno
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import trio

from config.lookup import SocketAddress, address_text, named_after, socket_address
from net.errors import PeerLost
from net.transport import Closing, Piece, PortStatus, Stream

log = logging.getLogger("ramster.net")

# How many receives in a row may succeed without waiting before others get their turn.
IMMEDIATE_RECEIVES_MAX: Final = 4
# sendmsg takes at most IOV_MAX pieces, 1024 on Linux; fewer keep one call short.
PIECES_PER_SEND_MAX: Final = 512
LISTEN_BACKLOG: Final = 128
# After a failed accept for want of descriptors or memory: long enough for some to come free.
ACCEPT_PAUSE_SECONDS: Final = 0.2
ACCEPT_PAUSE_ERRORS: Final = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EPERM}
)


class TcpStream:
    """One connected socket."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        # We batch frames ourselves; Nagle would hold the last piece of each batch back.
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connected
        self._is_closed = False
        self._immediate_receives = 0
        # Where the other side is, for the log.
        self.peer = peer_text(connected)

    async def receive_into(self, target: memoryview) -> int:
        """Receive at least one byte into `target` and return how many.

        0 when the other side closed.
        """
        # Before the receive, so that a cancellation never loses bytes that were already taken.
        if self._immediate_receives >= IMMEDIATE_RECEIVES_MAX:
            self._immediate_receives = 0
            await trio.lowlevel.checkpoint()
        while not self._is_closed:
            try:
                count = self._socket.recv_into(target)
            except BlockingIOError:
                self._immediate_receives = 0
                await self._wait(trio.lowlevel.wait_readable)
            except OSError as error:
                raise PeerLost(f"receiving failed: {error}") from error
            else:
                self._immediate_receives += 1
                return count
        raise PeerLost("the stream is closed")

    def send_nowait(self, pieces: Sequence[Piece]) -> int:
        """Send what fits now of the pieces, in order, and return how many bytes went."""
        if self._is_closed:
            raise PeerLost("the stream is closed")
        try:
            if len(pieces) <= PIECES_PER_SEND_MAX:
                return self._socket.sendmsg(pieces)
            return self._send_many(pieces)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise PeerLost(f"sending failed: {error}") from error

    def _send_many(self, pieces: Sequence[Piece]) -> int:
        total = 0
        for first in range(0, len(pieces), PIECES_PER_SEND_MAX):
            some = pieces[first : first + PIECES_PER_SEND_MAX]
            try:
                sent = self._socket.sendmsg(some)
            except BlockingIOError:
                break
            total += sent
            if sent < sum(map(len, some)):
                break
        return total

    async def wait_sendable(self) -> None:
        """Wait until `send_nowait` may take something, or the connection broke."""
        await self._wait(trio.lowlevel.wait_writable)

    async def _wait(self, wait: Callable[[socket.socket], Awaitable[None]]) -> None:
        if self._is_closed:
            raise PeerLost("the stream is closed")
        try:
            await wait(self._socket)
        except trio.ClosedResourceError as error:
            raise PeerLost("the stream was closed") from error

    def detach(self) -> socket.socket:
        """Hand the socket over: this stream is closed from here on, and no task may wait in it."""
        assert not self._is_closed, "still ours to give"
        self._is_closed = True
        return self._socket

    def close(self) -> None:
        """Close at once; a task that waits gets PeerLost.  May be called twice."""
        if not self._is_closed:
            self._is_closed = True
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()


class TcpTransport:
    """Real connections."""

    async def dial(self, address: str, port: int) -> TcpStream:
        """Connect, or raise PeerLost."""
        try:
            family, where = socket_address(address, port)
            return TcpStream(await connect(family, where))
        except OSError as error:
            # Its words only: an error that is kept would keep this very frame.
            reason = error.strerror or str(error)
        raise PeerLost(f"can't connect to {address} port {port}: {reason}")

    async def listen(
        self,
        address: str,
        port: int,
        accept: Callable[[Stream], Awaitable[None]],
        *,
        task_status: PortStatus,
        closing: Closing | None = None,
    ) -> None:
        """Listen until cancelled or closing; see `Transport`."""
        with bound_socket(address, port) as listener:
            listener.listen(LISTEN_BACKLOG)
            async with trio.open_nursery() as streams, trio.open_nursery() as accepting:
                task_status.started(listener.getsockname()[1])
                accepting.start_soon(
                    accept_all, listener, lambda each: streams.start_soon(serve_one, accept, each)
                )
                if closing is not None:
                    await closing.wait()
                    accepting.cancel_scope.cancel()
                    listener.close()


def bound_socket(address: str, port: int) -> socket.socket:
    """Return a non-blocking socket at an address of ours, or raise OSError with its name."""
    with named_after(address, port):
        family, where = socket_address(address, port)
        bound = socket.socket(family, socket.SOCK_STREAM)
        try:
            bound.setblocking(False)
            # A restarted daemon must not wait for the old connections' TIME_WAIT.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(where)
        except OSError:
            bound.close()
            raise
        return bound


def peer_text(connected: socket.socket) -> str:
    """Return `ADDRESS port PORT` of the other side."""
    try:
        where = connected.getpeername()
        return f"{address_text(where)} port {where[1]}"
    except (OSError, ValueError, IndexError):  # reset already, or no IP socket
        return "an unknown address"


async def connect(family: int, where: SocketAddress) -> socket.socket:
    """Return a connected non-blocking socket, or raise OSError."""
    connecting = socket.socket(family, socket.SOCK_STREAM)
    try:
        connecting.setblocking(False)
        try:
            connecting.connect(where)
        except BlockingIOError:
            await trio.lowlevel.wait_writable(connecting)
        check_connected(connecting)
    except BaseException:
        connecting.close()
        raise
    return connecting


def check_connected(connecting: socket.socket) -> None:
    """Raise OSError if a connect that went on in the background has failed."""
    failed = connecting.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if failed:
        raise OSError(failed, os.strerror(failed))


async def accept_all(listener: socket.socket, begin: Callable[[socket.socket], None]) -> None:
    """Accept connections until cancelled, and begin to serve each."""
    while True:
        connected = await accept_one(listener)
        if connected is not None:
            begin(connected)


async def accept_one(listener: socket.socket) -> socket.socket | None:
    """Return a new connection, or None after a failure that concerns this one only."""
    await trio.lowlevel.wait_readable(listener)
    try:
        connected, _ = listener.accept()
    except BlockingIOError:
        return None
    except OSError as error:
        # A connection that broke before we took it is no fault of the listener's.
        if error.errno in ACCEPT_PAUSE_ERRORS:
            log.warning(
                "can't accept connections of peers: %s; next attempt in %g s",
                error.strerror, ACCEPT_PAUSE_SECONDS,
            )  # fmt: skip
            await trio.sleep(ACCEPT_PAUSE_SECONDS)
        return None
    return connected


async def serve_one(accept: Callable[[Stream], Awaitable[None]], connected: socket.socket) -> None:
    """Run `accept` for one connection; whatever it raises must not end the listener."""
    try:
        stream = TcpStream(connected)
    except OSError:
        # The peer is gone already: Linux refuses options on such a socket.
        connected.close()
        return
    try:
        await accept(stream)
    except Exception:
        log.exception("a connection's handler failed")
    finally:
        stream.close()
