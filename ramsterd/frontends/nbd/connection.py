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
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple, NoReturn

import trio

from config.limits import PAGE_BYTES
from net.buffers import BufferPool
from net.errors import RemoteProtocolError
from ramsterd.endpoints.hangups import Hangups
from ramsterd.frontends.nbd.counters import Counters, End
from ramsterd.frontends.nbd.export import Export
from ramsterd.frontends.nbd.negotiation import Negotiation, State
from ramsterd.frontends.nbd.protocol import (
    DISCONNECT_SECONDS_MAX,
    HANDSHAKE_SECONDS_MAX,
    REQUEST,
    REQUEST_BYTES,
    Command,
    request_word,
)
from ramsterd.frontends.nbd.session import Session
from ramsterd.frontends.nbd.transmission import Transmission
from ramsterd.frontends.pager import DiskPager

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
_LAST_WORDS_BYTES: Final = 64 * 1024


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
        self.hangups = Hangups()

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
        pager: DiskPager,
        clients: Clients,
    ) -> None:
        self._sock = sock
        self._exports = exports
        self._pager = pager
        self._clients = clients
        self._counters = clients.counters
        # Why the client got no export, if that is how the handshake ended.
        self._refusal = ""
        # What counts us as a client since the handshake said that we are.
        self._opened: Export | None = None
        # What `push` sends; None before and after the transmission.
        self._transmission: Transmission | None = None
        # Why it ended; from then on nothing of it has an effect.
        self._ended: Ended | None = None
        # The client has closed its side: it may read, but sends no more.
        self._is_hung_up = False
        # Cancels the transmission.
        self._scope = trio.CancelScope()
        # Where the sender sleeps, and where the receiver waits for room.
        self._sender = trio.lowlevel.ParkingLot()
        self._receiver = trio.lowlevel.ParkingLot()

    async def serve(self) -> Ended:
        """Serve until the connection ends, and return why.  The socket is the caller's to close.

        Errors: what the client or the network does wrong is returned; an exception is a bug of ours.
        """
        ended = await self._serve()
        return Ended(End.REFUSED, self._refusal) if self._refusal else ended

    async def _serve(self) -> Ended:
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
        try:
            with trio.move_on_after(HANDSHAKE_SECONDS_MAX):
                return await self._agree(negotiation)
            return Ended(End.TOO_SLOW, f"no export after {HANDSHAKE_SECONDS_MAX:.0f} s")
        finally:
            self._refusal = negotiation.refusal

    async def _agree(self, negotiation: Negotiation) -> tuple[Session, bytes] | Ended:
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
            session,
            self._pager.open_client(),
            self._counters,
            on_late_reply,
            pool=self._clients.buffers,
        )
        self._transmission = transmission
        transmission.received.feed(rest)
        try:
            with self._scope, self._clients.hangups.watching(self._sock, self._on_hangup):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._end_with, self._send_late, transmission)
                    await self._end_with(self._receive_until_ended, transmission)
        finally:
            self._transmission = None
            transmission.close()
        assert self._ended is not None, "nothing else ends it"
        return self._ended

    async def _end_with(
        self, task: Callable[[Transmission], Awaitable[Ended | None]], transmission: Transmission
    ) -> None:
        """Run a task; unless it returns None, the connection ends with it."""
        ended: Ended | None
        try:
            ended = await task(transmission)
        except RemoteProtocolError as error:
            ended = Ended(End.GARBAGE, str(error))
        except OSError as error:
            ended = Ended(End.BROKEN, str(error))
        if ended is not None:
            self._end(transmission, ended)

    def _end(self, transmission: Transmission, ended: Ended) -> None:
        """The connection is over: in this very step, whatever its tasks still have to do."""
        if self._ended is None:
            self._ended = ended
            transmission.close()
            self._pager.settle()
            self._scope.cancel()

    def _on_hangup(self, is_dead: bool) -> None:
        """The client closed the connection, or its side of it: nothing that waits is for anybody."""
        transmission = self._transmission
        assert transmission is not None
        self._is_hung_up = True
        if is_dead:
            self._end(transmission, self._last_words(transmission))
        elif transmission.in_flight_count and not transmission.is_disconnecting:
            self._end(transmission, Ended(End.CLOSED_EARLY))

    def _last_words(self, transmission: Transmission) -> Ended:
        """Return how a client that is gone took its leave: what it sent last may be unread."""
        words = transmission.received.unserved()
        try:
            while data := self._sock.recv(_LAST_WORDS_BYTES):
                words = words[-REQUEST_BYTES:] + data
        except OSError as error:
            return Ended(End.BROKEN, str(error))
        has_said_it = transmission.is_disconnecting
        if len(words) >= REQUEST_BYTES:
            word, *_ = REQUEST.unpack_from(words, len(words) - REQUEST_BYTES)
            has_said_it = has_said_it or word == request_word(Command.DISC)
        return Ended(End.DISCONNECTED if has_said_it else End.CLOSED_EARLY)

    async def _receive_until_ended(self, transmission: Transmission) -> Ended | None:
        return await self._receive_requests(transmission) or await self._drain(transmission)

    async def _receive_requests(self, transmission: Transmission) -> Ended | None:
        """Receive and serve until the client disconnects; return why, if it did not say goodbye."""
        received = transmission.received
        turn_pages = 0
        # The handshake's last receive may have brought requests.
        self._pass(transmission)
        while self._ended is None and not transmission.is_disconnecting:
            if self._is_hung_up and transmission.in_flight_count:
                return Ended(End.CLOSED_EARLY)
            if transmission.is_full:
                await self._receiver.park()
                turn_pages = 0
                continue
            if not transmission.has_unserved:
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
        return self._ended

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

    async def _send_late(self, transmission: Transmission) -> NoReturn:
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
