"""One client's socket: the trio shell around `Negotiation` and `Transmission`.

Two tasks.  The receiver takes what the socket has, serves it in one pass, settles the pager and sends the
replies at once without waiting.  The sender sends what did not fit, and what completed later; it sleeps until
one of these happens.  Both only ever call `_send_now`, which does not await: pieces leave whole and in order.

Sockets are tried first and waited for only when they would block, since a wait costs more than a request.
"""

import math
import socket
from collections.abc import Sequence
from typing import Final

import trio

from net.errors import RemoteProtocolError
from ramsterd.nbd.counters import Counters, End
from ramsterd.nbd.export import Export
from ramsterd.nbd.negotiation import Negotiation, State
from ramsterd.nbd.protocol import DISCONNECT_SECONDS_MAX, HANDSHAKE_SECONDS_MAX
from ramsterd.nbd.transmission import Transmission
from ramsterd.pager import PagerInterface

# Passes served without a wait before other tasks get their turn.
_PASSES_MAX: Final = 4
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


class Connection:
    """Serves one client until it leaves."""

    def __init__(
        self,
        sock: socket.socket,
        exports: Sequence[Export],
        pager: PagerInterface,
        counters: Counters,
    ) -> None:
        self._sock = sock
        self._exports = exports
        self._pager = pager
        self._counters = counters
        # Where the sender sleeps, and where the receiver waits for room.
        self._sender = trio.lowlevel.ParkingLot()
        self._receiver = trio.lowlevel.ParkingLot()

    async def serve(self) -> Ended:
        """Serve until the connection ends, and return why.  The socket is the caller's to close.

        Errors: what the client or the network does wrong is returned; an exception is a bug of ours.
        """
        try:
            export, rest = await self._negotiate()
            await self._transmit(export, rest)
        except Ended as ended:
            return ended
        except RemoteProtocolError as error:
            return Ended(End.GARBAGE, str(error))
        except OSError as error:
            return Ended(End.BROKEN, str(error))
        return Ended(End.DISCONNECTED)

    async def _negotiate(self) -> tuple[Export, bytes]:
        negotiation = Negotiation(self._exports)
        with trio.move_on_after(HANDSHAKE_SECONDS_MAX):
            await self._send_all(negotiation.greeting())
            while negotiation.state in {State.CLIENT_FLAGS, State.OPTIONS}:
                data = await self._receive(_HANDSHAKE_RECEIVE_BYTES)
                if not data:
                    raise Ended(End.CLOSED_EARLY, "in the handshake")
                await self._send_all(negotiation.receive_data(data))
            if negotiation.state is State.ABORTED:
                raise Ended(End.ABORTED)
            return negotiation.export, negotiation.rest
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

    async def _transmit(self, export: Export, rest: bytes) -> None:
        transmission = Transmission(export, self._pager, self._counters, self._wake)
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
            transmission.close()
        if ended:
            raise ended[0]

    async def _receive_requests(self, transmission: Transmission) -> None:
        """Receive and serve until the client disconnects."""
        received = transmission.received
        passes = 0
        # The handshake's last receive may have brought requests.
        self._pass(transmission)
        while not transmission.is_disconnecting:
            if transmission.is_full:
                await self._receiver.park()
                passes = 0
            elif not transmission.has_unserved:
                try:
                    count = self._sock.recv_into(received.target())
                except BlockingIOError:
                    await trio.lowlevel.wait_readable(self._sock)
                    passes = 0
                    continue
                if not count:
                    raise Ended(End.CLOSED_EARLY)
                self._counters.received_bytes += count
                received.on_received(count)
            self._pass(transmission)
            passes += 1
            if passes >= _PASSES_MAX:
                passes = 0
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

    def _wake(self) -> None:
        """A request that waited is answered: let the sender run once the present pass is over."""
        self._sender.unpark()

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
        """Send what the receiver could not, for ever."""
        while True:
            if transmission.replies.queued_bytes:
                self._send_now(transmission)
            if not transmission.is_full or transmission.is_finished:
                self._receiver.unpark(count=math.inf)
            if transmission.replies.queued_bytes:
                await trio.lowlevel.wait_writable(self._sock)
            else:
                await self._sender.park()
