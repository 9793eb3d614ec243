"""One client's socket: the trio shell around `Negotiation` and `Transmission`.

Two tasks.  The receiver takes what the socket has, serves it in one pass, settles the pager and sends the
replies at once without waiting.  What completes later is sent by `push`, at the end of the pass that completed
it, whoever began that.  The sender sends what the socket did not take; it sleeps until there is some.  All of them
only ever call `_send_now`, which does not await: pieces leave whole and in order.

Sockets are tried first and waited for only when they would block, since a wait costs more than a request.
"""

import math
import socket
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import trio

from config.limits import PAGE_BYTES
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


class Ended(Exception):
    """The connection is over; the reason is told apart and told in words."""

    def __init__(self, end: End, detail: str = "") -> None:
        super().__init__(detail)
        self.end = end
        self.detail = detail


class Clients:
    """What the connections of a server share."""

    def __init__(self, connections_max: int, counters: Counters) -> None:
        self._connections_max = connections_max
        self._connected: dict[str, int] = {}
        self._late: dict[Connection, None] = {}
        self.counters = counters

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
        # Where the sender sleeps, and where the receiver waits for room.
        self._sender = trio.lowlevel.ParkingLot()
        self._receiver = trio.lowlevel.ParkingLot()

    async def serve(self) -> Ended:
        """Serve until the connection ends, and return why.  The socket is the caller's to close.

        Errors: what the client or the network does wrong is returned; an exception is a bug of ours.
        """
        try:
            session, rest = await self._negotiate()
            await self._transmit(session, rest)
        except Ended as ended:
            return ended
        except RemoteProtocolError as error:
            return Ended(End.GARBAGE, str(error))
        except OSError as error:
            return Ended(End.BROKEN, str(error))
        finally:
            if self._opened is not None:
                self._clients.close_export(self._opened)
        return Ended(End.DISCONNECTED)

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

    async def _negotiate(self) -> tuple[Session, bytes]:
        negotiation = Negotiation(self._exports, self._open_export)
        with trio.move_on_after(HANDSHAKE_SECONDS_MAX):
            await self._send_all(negotiation.greeting())
            while negotiation.state in {State.CLIENT_FLAGS, State.OPTIONS}:
                data = await self._receive(_HANDSHAKE_RECEIVE_BYTES)
                if not data:
                    raise Ended(End.CLOSED_EARLY, "in the handshake")
                for answer in negotiation.receive_data(data):
                    await self._send_all(answer)
            if negotiation.state is State.ABORTED:
                raise Ended(End.ABORTED)
            return negotiation.session, negotiation.rest
        raise Ended(End.TOO_SLOW, f"no export after {HANDSHAKE_SECONDS_MAX:.0f} s")

    async def _receive(self, count: int) -> bytes:
        while True:
            try:
                return self._sock.recv(count)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self._sock)

    async def _send_all(self, data: bytes) -> None:
        while data:
            try:
                data = data[self._sock.send(data) :]
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self._sock)

    async def _transmit(self, session: Session, rest: bytes) -> None:
        on_late_reply = partial(self._clients.on_late_reply, self)
        transmission = Transmission(session, self._pager, self._counters, on_late_reply)
        self._transmission = transmission
        transmission.received.feed(rest)
        ended: list[Exception] = []
        try:
            async with trio.open_nursery() as nursery:

                async def send() -> None:
                    try:
                        await self._send_late(transmission)
                    except OSError as error:
                        ended.append(error)
                        nursery.cancel_scope.cancel()

                nursery.start_soon(send)
                try:
                    await self._receive_requests(transmission)
                    await self._drain(transmission)
                except (Ended, RemoteProtocolError, OSError) as error:
                    ended.append(error)
                nursery.cancel_scope.cancel()
        finally:
            self._transmission = None
            transmission.close()
        if ended:
            raise ended[0]

    async def _receive_requests(self, transmission: Transmission) -> None:
        """Receive and serve until the client disconnects."""
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
                    await trio.lowlevel.wait_readable(self._sock)
                    turn_pages = 0
                    continue
                if not count:
                    raise Ended(End.CLOSED_EARLY)
                self._counters.received_bytes += count
                received.on_received(count)
                turn_pages += count // PAGE_BYTES
            self._pass(transmission)
            turn_pages += _PASS_PAGES_MIN + transmission.pages_of_pass
            if turn_pages >= _TURN_PAGES_MAX or transmission.has_unserved:
                turn_pages = 0
                await trio.lowlevel.checkpoint()

    def _pass(self, transmission: Transmission) -> None:
        try:
            transmission.serve()
        finally:
            # Also what was served before garbage was met has effects and replies to send.
            self._pager.settle()
            self._send_now(transmission)
        if transmission.replies.queued_bytes:
            self._sender.unpark()

    async def _drain(self, transmission: Transmission) -> None:
        """Wait until every request of a client that said goodbye is answered."""
        with trio.move_on_after(DISCONNECT_SECONDS_MAX) as scope:
            while not transmission.is_finished:
                await self._receiver.park()
        if scope.cancelled_caught:
            raise Ended(End.TOO_SLOW, "replies not taken after the disconnect")

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
