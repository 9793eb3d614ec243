"""One client's socket: the trio shell around `Negotiation` and `Transmission`.

Two tasks.  The receiver takes what the socket has, serves it in one pass, settles the pager and sends the
replies at once without waiting.  What completes later is sent by `push`, at the end of the pass that completed
it, whoever began that.  The sender sends what the socket did not take; it sleeps until there is some.  All of them
only ever call `_send_now`, which does not await: pieces leave whole and in order.

Sockets are tried first and waited for only when they would block, since a wait costs more than a request.

Why a connection ended is a value.  An exception that is kept keeps the frames that it passed, and they keep it: such a
cycle holds buffers and replies until the collector looks for it, which it seldom does.
"""

import math
import socket
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple

import trio

from config.limits import PAGE_BYTES
from net.buffers import BufferPool
from net.errors import RemoteProtocolError
from ramsterd.nbd.counters import Counters, End
from ramsterd.nbd.export import Export
from ramsterd.nbd.negotiation import Negotiation, State
from ramsterd.nbd.protocol import DISCONNECT_SECONDS_MAX, HANDSHAKE_SECONDS_MAX
from ramsterd.nbd.session import Session
from ramsterd.nbd.transmission import Transmission
from ramsterd.pager import DiskPagerInterface

# Pages served without a wait before other tasks get their turn, about a millisecond; after a pass that met a limit
# they get it at once.  A pass counts as some pages, however short it was.
_TURN_PAGES_MAX: Final = 128
_PASS_PAGES_MIN: Final = 4
# Options are short; requests that follow them in the same receive are few.
_HANDSHAKE_RECEIVE_BYTES: Final = 4096
# Pieces of one sendmsg (IOV_MAX of limits.h).
_PIECES_MAX: Final = 1024
# No count that a receive returns.
_NOTHING_YET: Final = -1


class Ended(NamedTuple):
    """The connection is over; the reason is told apart and told in words."""

    end: End
    detail: str = ""


class Clients:
    """What the connections of a server share."""

    def __init__(self, connections_max: int, counters: Counters) -> None:
        self._connections_max = connections_max
        self._connected: dict[str, int] = {}
        self._late: dict[Connection, None] = {}
        self.counters = counters
        self.buffers = BufferPool()

    def set_connections_max(self, connections_max: int) -> None:
        """Let in more or fewer clients of one export from now on."""
        self._connections_max = connections_max

    def open_export(self, export: Export) -> bool:
        """Count one more client of an export, unless it has as many as it may have; `close_export` ends that."""
        count = self._connected.get(export.name, 0)
        if count >= self._connections_max:
            return False
        self._connected[export.name] = count + 1
        return True

    def close_export(self, export: Export) -> None:
        """A client for whom `open_export` was true is gone."""
        self._connected[export.name] -= 1

    def on_late_reply(self, connection: "Connection") -> None:
        """A request that waited is answered: the reply is sent when the present pass of the pager ends."""
        self._late[connection] = None

    def on_settled(self) -> None:
        """The pass is over."""
        if self._late:
            late, self._late = self._late, {}
            for connection in late:
                connection.push()


class Connection:
    """Serves one client until it leaves."""

    def __init__(
        self,
        sock: socket.socket,
        exports: Sequence[Export],
        pager: DiskPagerInterface,
        clients: Clients,
    ) -> None:
        self._sock = sock
        self._exports = exports
        self._pager = pager
        self._clients = clients
        self._counters = clients.counters
        # What counts us as a client since the handshake said that we are.
        self._opened: Export | None = None
        # What `push` sends; None before and after the transmission.
        self._transmission: Transmission | None = None
        # Why the sender could not go on.
        self._broken: Ended | None = None
        # Where the sender sleeps, and where the receiver waits for room.
        self._sender = trio.lowlevel.ParkingLot()
        self._receiver = trio.lowlevel.ParkingLot()

    async def serve(self) -> Ended:
        """Serve until the connection ends, and return why.  The socket is the caller's to close.

        Errors: what the client or the network does wrong is returned; an exception is a bug of ours.
        """
        try:
            agreed = await self._negotiate()
            return agreed if isinstance(agreed, Ended) else await self._transmit(*agreed)
        except RemoteProtocolError as error:
            return Ended(End.GARBAGE, str(error))
        except OSError as error:
            return Ended(End.BROKEN, str(error))
        finally:
            if self._opened is not None:
                self._clients.close_export(self._opened)

    def push(self) -> None:
        """Send what completed late."""
        if self._transmission is None:
            return
        # The sender meets an error again, in the task that is to end by it.
        with suppress(OSError):
            self._send_now(self._transmission)
        if self._transmission.replies.queued_bytes or self._receiver:
            self._sender.unpark()

    def _open_export(self, export: Export) -> bool:
        if not self._clients.open_export(export):
            return False
        self._opened = export
        return True

    async def _negotiate(self) -> tuple[Session, bytes] | Ended:
        negotiation = Negotiation(self._exports, self._open_export)
        with trio.move_on_after(HANDSHAKE_SECONDS_MAX):
            await self._send_all(negotiation.greeting())
            while negotiation.state in {State.CLIENT_FLAGS, State.OPTIONS}:
                data = await self._receive(_HANDSHAKE_RECEIVE_BYTES)
                if not data:
                    return Ended(End.CLOSED_EARLY, "in the handshake")
                for answer in negotiation.receive_data(data):
                    await self._send_all(answer)
            if negotiation.state is State.ABORTED:
                return Ended(End.ABORTED)
            return negotiation.session, negotiation.rest
        return Ended(End.TOO_SLOW, f"no export after {HANDSHAKE_SECONDS_MAX:.0f} s")

    async def _receive(self, count: int) -> bytes:
        while True:
            with suppress(BlockingIOError):
                return self._sock.recv(count)
            await trio.lowlevel.wait_readable(self._sock)

    async def _send_all(self, data: bytes) -> None:
        while True:
            with suppress(BlockingIOError):
                data = data[self._sock.send(data) :]
            if not data:
                return
            await trio.lowlevel.wait_writable(self._sock)

    async def _transmit(self, session: Session, rest: bytes) -> Ended:
        on_late_reply = partial(self._clients.on_late_reply, self)
        transmission = Transmission(
            session, self._pager, self._counters, on_late_reply, pool=self._clients.buffers
        )
        self._transmission = transmission
        transmission.received.feed(rest)
        ended: Ended | None = None
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._send_until_broken, transmission, nursery.cancel_scope)
                ended = await self._receive_until_ended(transmission)
                nursery.cancel_scope.cancel()
        finally:
            self._transmission = None
            transmission.close()
        ended = self._broken or ended
        assert ended is not None, "one of both tasks has ended the other"
        return ended

    async def _send_until_broken(
        self, transmission: Transmission, connection_scope: trio.CancelScope
    ) -> None:
        try:
            await self._send_late(transmission)
        except OSError as error:
            self._broken = Ended(End.BROKEN, str(error))
        connection_scope.cancel()

    async def _receive_until_ended(self, transmission: Transmission) -> Ended:
        try:
            return await self._receive_requests(transmission) or await self._drain(transmission)
        except RemoteProtocolError as error:
            return Ended(End.GARBAGE, str(error))
        except OSError as error:
            return Ended(End.BROKEN, str(error))

    async def _receive_requests(self, transmission: Transmission) -> Ended | None:
        """Receive and serve until the client disconnects; return why, if it did not say goodbye."""
        received = transmission.received
        turn_pages = 0
        # The handshake's last receive may have brought requests.
        self._pass(transmission)
        while not transmission.is_disconnecting:
            if transmission.is_full:
                await self._receiver.park()
                turn_pages = 0
            elif not transmission.has_unserved:
                try:
                    count = self._sock.recv_into(received.target())
                except BlockingIOError:
                    count = _NOTHING_YET
                if count == _NOTHING_YET:
                    received.on_idle()
                    await trio.lowlevel.wait_readable(self._sock)
                    turn_pages = 0
                    continue
                if not count:
                    return Ended(End.CLOSED_EARLY)
                self._counters.received_bytes += count
                received.on_received(count)
                turn_pages += count // PAGE_BYTES
            self._pass(transmission)
            turn_pages += _PASS_PAGES_MIN + transmission.pages_of_pass
            if turn_pages >= _TURN_PAGES_MAX or transmission.has_unserved:
                turn_pages = 0
                await trio.lowlevel.checkpoint()
        return None

    def _pass(self, transmission: Transmission) -> None:
        try:
            transmission.serve()
        finally:
            # Also what was served before garbage was met has effects and replies to send.
            self._pager.settle()
            self._send_now(transmission)
        if transmission.replies.queued_bytes:
            self._sender.unpark()

    async def _drain(self, transmission: Transmission) -> Ended:
        """Wait until every request of a client that said goodbye is answered."""
        with trio.move_on_after(DISCONNECT_SECONDS_MAX):
            while not transmission.is_finished:
                await self._receiver.park()
            return Ended(End.DISCONNECTED)
        return Ended(End.TOO_SLOW, "replies not taken after the disconnect")

    def _send_now(self, transmission: Transmission) -> None:
        """Send what the socket takes without waiting."""
        replies = transmission.replies
        while replies.queued_bytes:
            pieces = replies.pieces
            if len(pieces) > _PIECES_MAX:
                pieces = pieces[:_PIECES_MAX]
            try:
                count = self._sock.sendmsg(pieces)
            except BlockingIOError:
                return
            self._counters.sent_bytes += count
            replies.on_sent(count)

    async def _send_late(self, transmission: Transmission) -> None:
        """Send what the socket did not take at once, for ever."""
        while True:
            if transmission.replies.queued_bytes:
                self._send_now(transmission)
            if not transmission.is_full or transmission.is_finished:
                self._receiver.unpark(count=math.inf)
            if transmission.replies.queued_bytes:
                await trio.lowlevel.wait_writable(self._sock)
            else:
                await self._sender.park()
