"""One client's socket: the trio shell around the requests of one connection.

Two tasks.  The receiver takes what the socket has, serves it in one pass, settles the pager and
sends the replies at once without waiting.  What completes later is sent by `push`, at the end of
the pass that completed it, of any connection, or by the sender when `send_soon` wakes it.  The
sender sends what the socket did not take; it sleeps until there is some.  All of them only ever
call `_send_now`, which does not await: pieces leave whole and in order.

Sockets are tried first and waited for only when they would block, since a wait costs more than a
request.

Why a connection ended is a value.  An exception that is kept keeps the frames that it passed, and
they keep it: such a cycle holds buffers and replies until the collector looks for it, which it
seldom does.
"""

import math
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final, Generic, NamedTuple, NoReturn, TypeAlias

import trio

from config.limits import PAGE_BYTES
from net.errors import RemoteProtocolError
from ramsterd.endpoints.hangups import Hangups, OnHangup
from ramsterd.frontends.clients.counters import Counters, EndT
from ramsterd.frontends.clients.replies import ReplyQueue
from ramsterd.frontends.clients.requests import Requests
from ramsterd.handover.document import UNSENT_BYTES_MAX

# Pages served without a wait before other tasks get their turn, about a millisecond; after a pass
# that met a limit they get it at once.  A pass counts as some pages, however short it was.
_TURN_PAGES_MAX: Final = 128
_PASS_PAGES_MIN: Final = 4
# Pieces of one sendmsg (IOV_MAX of limits.h).
_PIECES_MAX: Final = 1024
# No count that a receive returns.
_NOTHING_YET: Final = -1

# See `host.poller`.
LingeringAt: TypeAlias = Callable[[int], Callable[[], None] | None]


def never_linger(_: int) -> None:
    """The loop does not poll."""


class Ended(NamedTuple, Generic[EndT]):
    """The connection is over; the reason is told apart and told in words."""

    end: EndT
    detail: str = ""


class Ends(NamedTuple, Generic[EndT]):
    """The ends that every connection may have, by the names of a front end."""

    # Its client left without a goodbye.
    closed: EndT
    # An error of the network.
    broken: EndT
    # Its client broke the protocol.
    garbage: EndT


class Exchange(Generic[EndT]):
    """Receives, serves and answers until the connection ends."""

    def __init__(
        self,
        sock: socket.socket,
        counters: Counters[EndT, Any],
        ends: Ends[EndT],
        *,
        settle: Callable[[], object],
        lingering_at: LingeringAt = never_linger,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Wire it.

        Args:
            sock: The client's.
            counters: Of all connections of the front end.
            ends: Its ends.
            settle: Called after each pass; sends what the pager has to send.
            lingering_at: See `host.poller`.
            clock: Returns seconds.
        """
        self._sock = sock
        self._counters = counters
        self._latency = counters.latency
        self._clock = clock
        self._ends = ends
        self._settle = settle
        self._lingering_at = lingering_at
        # What the last pass answered.
        self._answered = 0
        # None before and after `run`: they may know this exchange, and must not be kept by it.
        self._requests: Requests | None = None
        # Why it ended; from then on nothing of it has an effect.
        self._ended: Ended[EndT] | None = None
        # The client has closed its side: it may read, but sends no more.
        self._is_hung_up = False
        self._scope = trio.CancelScope()
        # Cancelled before a handover; then the receiver is at a wait, and no pass is under way.
        self._receiving = trio.CancelScope()
        self._has_stopped = False
        # Who waits for an edge.
        self._edge = trio.lowlevel.ParkingLot()
        # Where the sender sleeps, and where the receiver waits for room.
        self._sender = trio.lowlevel.ParkingLot()
        self._receiver = trio.lowlevel.ParkingLot()

    async def run(
        self,
        requests: Requests,
        hangups: Hangups,
        on_hangup: OnHangup,
        *tasks: Callable[[], Awaitable[Ended[EndT] | None]],
    ) -> Ended[EndT]:
        """Serve until the connection ends, and return why.

        Args:
            requests: What is served; closed at the end.
            hangups: Tell when the client is gone.
            on_hangup: Is told then, and may `end` the connection.
            tasks: Run beside the sender; one that returns a reason ends the connection.  One of
                them is, or calls, `receive`.
        """
        self._requests = requests
        on_gone = partial(self._on_hangup, on_hangup)
        try:
            with self._scope, hangups.watching(self._sock, on_gone):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._end_with, self._send_late)
                    for task in tasks:
                        nursery.start_soon(self._end_with, task)
        finally:
            self._requests = None
            self._edge.unpark(count=math.inf)
            requests.close()
            self._settle()
        assert self._ended is not None, "nothing else ends it"
        return self._ended

    async def _end_with(self, task: Callable[[], Awaitable[Ended[EndT] | None]]) -> None:
        """Run a task; unless it returns None, the connection ends with it."""
        ended: Ended[EndT] | None
        try:
            ended = await task()
        except RemoteProtocolError as error:
            ended = Ended(self._ends.garbage, str(error))
        except OSError as error:
            ended = Ended(self._ends.broken, why_broken(error))
        if ended is not None:
            self.end(ended)

    def end(self, ended: Ended[EndT]) -> None:
        """The connection is over: in this very step, whatever its tasks still have to do."""
        if self._ended is None and self._requests is not None:
            self._ended = ended
            self._requests.close()
            self._settle()
            self._scope.cancel()

    def _on_hangup(self, on_hangup: OnHangup, is_dead: bool) -> None:
        self._is_hung_up = True
        on_hangup(is_dead)

    def send_soon(self) -> None:
        """Have the sender send what completed late, once the present pass is over."""
        self._sender.unpark()

    def push(self) -> None:
        """Send what completed late."""
        if self._requests is None:
            return
        # The sender meets an error again, in the task that is to end by it.
        with suppress(OSError):
            self._send_now(self._requests.replies)
        self._count_late()
        if self._requests.replies.queued_bytes or self._receiver:
            self._sender.unpark()

    async def wait_progress(self) -> None:
        """Wait until replies have left, or a wait has ended."""
        await self._receiver.park()

    # From one process to the next.

    def stop_receiving(self) -> None:
        """Begin no request any more; those that are begun go on to their end."""
        self._receiving.cancel()

    @property
    def is_at_edge(self) -> bool:
        """Whether another process may go on from here."""
        requests = self._requests
        return (
            requests is not None
            and self._ended is None
            and self._has_stopped
            and requests.is_at_edge
            and requests.replies.queued_bytes <= UNSENT_BYTES_MAX
        )

    async def wait_at_edge(self) -> None:
        """Wait until it is at an edge, or over, after `stop_receiving`."""
        while self._requests is not None and not self.is_at_edge:
            await self._edge.park()

    def leave(self) -> None:
        """Another process goes on, at an edge: nothing of this one has an effect any more."""
        assert self.is_at_edge
        self._requests = None

    async def receive(self) -> Ended[EndT] | None:
        """Receive and serve until the client says goodbye; return why, if it did not."""
        with self._receiving:
            # Stopped before it began, it is at an edge with all that its client has said.
            if not self._receiving.cancel_called:
                return await self._receive()
        return await self._come_to_edge()

    async def _come_to_edge(self) -> Ended[EndT] | None:
        """End what is begun, without receiving.

        Then wait to be cancelled by the caller that stopped us.
        """
        requests = self._requests
        assert requests is not None, "called by `run`"
        self._has_stopped = True
        while self._ended is None:
            if requests.has_begun and not requests.is_full:
                self._pass(requests, requests.go_on)
                await trio.lowlevel.checkpoint()
            else:
                self._edge.unpark(count=math.inf)
                await self._receiver.park()
        return self._ended

    async def _receive(self) -> Ended[EndT] | None:
        requests = self._requests
        assert requests is not None, "called by `run`"
        received = requests.received
        turn_pages = 0
        linger = self._lingering_at(self._sock.fileno())
        # What came with a handshake may have brought requests.
        self._pass(requests, requests.serve)
        while self._ended is None and not requests.is_disconnecting:
            if self._is_hung_up and requests.is_waiting:
                return Ended(self._ends.closed)
            if requests.is_full:
                await self._receiver.park()
                turn_pages = 0
                continue
            if not requests.has_unserved:
                # A client that asks for one thing at a time sends the next when it has this.  From
                # others more comes together if it is given time.
                if linger is not None and self._answered <= 1 and not requests.is_waiting:
                    linger()
                try:
                    count = self._sock.recv_into(received.space())
                except BlockingIOError:
                    count = _NOTHING_YET
                if count == _NOTHING_YET:
                    received.on_idle()
                    await trio.lowlevel.wait_readable(self._sock)
                    turn_pages = 0
                    continue
                if not count:
                    return Ended(self._ends.closed)
                self._counters.received_bytes += count
                received.on_received(count)
                turn_pages += 1 + count // PAGE_BYTES
            # A kernel sends a WRITE page by page: a pass for each would find nothing to do.
            if requests.has_unserved or not requests.lacks_bytes:
                self._pass(requests, requests.serve)
                turn_pages += _PASS_PAGES_MIN + requests.pages_of_pass
            if turn_pages >= _TURN_PAGES_MAX or requests.has_unserved:
                turn_pages = 0
                await trio.lowlevel.checkpoint()
        return self._ended

    def _pass(self, requests: Requests, serve: Callable[[], None]) -> None:
        self._latency.began_at = self._clock()
        try:
            serve()
        finally:
            # Also what was served before garbage was met has effects and replies to send.
            if not requests.has_only_read:
                self._settle()
            self._send_now(requests.replies)
            self._answered = self._latency.end_pass(self._clock())
        if requests.replies.queued_bytes:
            self._sender.unpark()

    def _count_late(self) -> None:
        if self._latency.ended:
            self._latency.on_sent(self._clock())

    def _send_now(self, replies: ReplyQueue) -> None:
        """Send what the socket takes without waiting."""
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
        """Send what the socket did not take at once, for ever."""
        requests = self._requests
        assert requests is not None, "called by `run`"
        replies = requests.replies
        while True:
            if replies.queued_bytes:
                self._send_now(replies)
            self._count_late()
            if self._has_stopped or not requests.is_full:
                self._receiver.unpark(count=math.inf)
            if replies.queued_bytes:
                await trio.lowlevel.wait_writable(self._sock)
            else:
                await self._sender.park()


def why_broken(error: OSError) -> str:
    """Return why a connection broke, in words."""
    # Of one cause: the kernel of a client that is gone takes no reply, or resets the connection
    # because there are replies that nobody has read.
    if isinstance(error, BrokenPipeError | ConnectionResetError):
        return "the client was gone before it had all replies"
    return error.strerror or str(error)
