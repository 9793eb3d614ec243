"""One client's socket: the trio shell around `Session`.

Two tasks, as in `ramsterd.frontends.nbd.connection`: the receiver takes what the socket has, serves it in one pass, settles
the pager and sends the replies without waiting; the sender sends what did not fit and what completed later.  And as
there, why a connection ended is a value: a kept exception would keep buffers.
"""

import math
import socket
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, NoReturn

import trio

from net.buffers import BufferPool
from net.errors import RemoteProtocolError
from ramsterd.endpoints.hangups import Hangups
from ramsterd.frontends.tmem.counters import Counters, End
from ramsterd.frontends.tmem.messages import HELLO_SECONDS_MAX
from ramsterd.frontends.tmem.pools import PoolBook, PoolPager
from ramsterd.frontends.tmem.session import Session

# Passes served without a wait before other tasks get their turn.
_PASSES_MAX: Final = 2
# Pieces of one sendmsg (IOV_MAX of limits.h).
_PIECES_MAX: Final = 1024
# No count that a receive returns.
_NOTHING_YET: Final = -1


class Ended(NamedTuple):
    """The connection is over; the reason is told apart and told in words."""

    end: End
    detail: str = ""


class Connection:
    """Serves one client until it leaves."""

    def __init__(
        self,
        sock: socket.socket,
        pager: PoolPager,
        book: PoolBook,
        user: int,
        counters: Counters,
        buffers: BufferPool,
        hangups: Hangups,
    ) -> None:
        self._sock = sock
        self._pager = pager
        self._counters = counters
        self._hangups = hangups
        # Why it ended; from then on nothing of it has an effect.
        self._ended: Ended | None = None
        # The client has closed its side: it may read, but sends no more.
        self._is_hung_up = False
        self._scope = trio.CancelScope()
        # Where the sender sleeps, and where the receiver waits for room.
        self._sender = trio.lowlevel.ParkingLot()
        self._receiver = trio.lowlevel.ParkingLot()
        # A request that waited is answered: the sender runs once the present pass is over.
        self._session = Session(
            pager.open_client(), book, user, counters, self._sender.unpark, pool=buffers
        )

    @property
    def client_name(self) -> str:
        """What the client called itself."""
        return self._session.client_name

    async def serve(self) -> Ended:
        """Serve until the connection ends, and return why.  The socket is the caller's to close.

        Errors: what the client or the network does wrong is returned; an exception is a bug of ours.
        """
        try:
            with self._scope, self._hangups.watching(self._sock, self._on_hangup):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._end_with, self._send_late)
                    nursery.start_soon(self._end_with, self._receive_requests)
                    nursery.start_soon(self._end_with, self._await_hello)
        finally:
            self._session.close()
            self._pager.settle()
        assert self._ended is not None, "nothing else ends it"
        return self._ended

    async def _end_with(self, task: Callable[[], Awaitable[Ended | None]]) -> None:
        """Run a task; unless it returns None, the connection ends with it."""
        ended: Ended | None
        try:
            ended = await task()
        except RemoteProtocolError as error:
            ended = Ended(End.GARBAGE, str(error))
        except OSError as error:
            ended = Ended(End.BROKEN, str(error))
        if ended is not None:
            self._end(ended)

    def _end(self, ended: Ended) -> None:
        """The connection is over: in this very step, whatever its tasks still have to do."""
        if self._ended is None:
            self._ended = ended
            self._session.close()
            self._pager.settle()
            self._scope.cancel()

    def _on_hangup(self, is_dead: bool) -> None:
        """The client closed the connection, or its side of it: nothing that waits is for anybody."""
        self._is_hung_up = True
        if is_dead or self._session.is_waiting:
            self._end(Ended(End.CLOSED))

    async def _await_hello(self) -> Ended | None:
        await trio.sleep(HELLO_SECONDS_MAX)
        if self._session.is_greeted:
            return None
        return Ended(End.TOO_SLOW, f"{HELLO_SECONDS_MAX:.0f} s")

    async def _receive_requests(self) -> Ended:
        session = self._session
        passes = 0
        while self._ended is None:
            if self._is_hung_up and session.is_waiting:
                return Ended(End.CLOSED)
            if session.is_full:
                await self._receiver.park()
                passes = 0
                continue
            if not session.has_unserved:
                try:
                    count = self._sock.recv_into(session.received.space())
                except BlockingIOError:
                    count = _NOTHING_YET
                if count == _NOTHING_YET:
                    session.received.on_idle()
                    await trio.lowlevel.wait_readable(self._sock)
                    passes = 0
                    continue
                if not count:
                    return Ended(End.CLOSED)
                self._counters.received_bytes += count
                session.received.on_received(count)
            self._pass()
            passes += 1
            if passes >= _PASSES_MAX:
                passes = 0
                await trio.lowlevel.checkpoint()
        return self._ended

    def _pass(self) -> None:
        try:
            self._session.serve()
        finally:
            # Also what was served before garbage was met has effects to send.
            self._pager.settle()
        self._send_now()
        if self._session.replies.queued_bytes:
            self._sender.unpark()

    def _send_now(self) -> None:
        """Send what the socket takes without waiting."""
        replies = self._session.replies
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

    async def _send_late(self) -> NoReturn:
        """Send what the receiver could not, for ever."""
        while True:
            self._send_now()
            if not self._session.is_full:
                self._receiver.unpark(count=math.inf)
            if self._session.replies.queued_bytes:
                await trio.lowlevel.wait_writable(self._sock)
            else:
                await self._sender.park()
