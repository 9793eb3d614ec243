"""One peer link in trio: a reader, a writer and a timer around the pure `net.connection`.

Bytes go out in two stages (`net.send_queue`).  `post` and `request` collect fresh pieces.  `push`
hands these to the socket at once, in the caller's task: synchronous code can't be cancelled half
way, so order is safe.  What the socket does not take belongs to the writer task; while there is
any, everything queues behind it.  A caller's buffer need only stay as it is until `push` returns.

Everything ends in `end`: requests fail, the handler hears of it, the stream closes, in one
synchronous step.
"""

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Final

import trio

from net.connection import (
    Closed,
    Connection,
    Contested,
    Effect,
    Opened,
    Outdated,
    RequestsFailed,
    Send,
    State,
)
from net.contest import Contest
from net.errors import PeerLost, RemoteProtocolError
from net.frame import FrameDecoder, FrameLimits, encode_header
from net.hello import Hello
from net.judgement import why_replaced
from net.link import Failure, Link, LinkHandler, LinkStatistics
from net.link_news import say_end, say_up, why_cancelled
from net.link_timer import LinkTimer
from net.pieces import check_limits
from net.send_queue import SendQueue
from net.tls import certified_names
from net.transport import Piece, Stream
from nodemanager.ids import Incarnation, NodeId

# A peer that asks for the largest frames its window allows may be owed tens of megabytes; one that
# reads nothing is dropped here.
SEND_QUEUE_BYTES_MAX: Final = 64 * 1024 * 1024


class PeerLink:
    """`net.link.Link` over a stream.  `node` and `incarnation` are known once the link is open."""

    def __init__(
        self,
        stream: Stream,
        connection: Connection,
        *,
        handler: LinkHandler,
        limits: Mapping[int, FrameLimits],
        links: MutableMapping[NodeId, Link],
        on_outdated: Callable[[Hello | None, Incarnation], None],
        send_queue_bytes_max: int = SEND_QUEUE_BYTES_MAX,
        moves: int = 0,
    ) -> None:
        self.moves = moves  # how often the listening side had moved when this was made
        self.node, self.incarnation = NodeId(-1), Incarnation(0)
        self.attach_count = self.features = 0
        self.theirs: Hello | None = None
        self._stream, self._connection = stream, connection
        self._handler, self._limits = handler, limits
        # Links that are open, by node: this one enters when it opens and leaves when it ends.
        self._links = links
        self._on_outdated = on_outdated
        self._decoder = FrameDecoder({})
        self._send_queue_bytes_max = send_queue_bytes_max
        self._queue = SendQueue()
        self._unsent_came, self._timer = trio.Event(), LinkTimer()
        self._scope, self._contest = trio.CancelScope(), Contest()
        self._settled = trio.Event()  # open, or over before that
        self._ended = trio.Event()
        # Set by `close`, by a lost stream, and by `end`: nothing is queued or handled from then on.
        self._reason: str | None = None
        self._leaves_in_order, self._is_end_untold = False, True
        # Requests that came after the end of the connection and before `on_link_lost`.
        self._stillborn: list[tuple[int, Failure]] = []
        self._bytes_sent_total = self._bytes_received_total = 0

    # What the application calls

    @property
    def reason(self) -> str | None:
        """The reason why the link is over, or about to be; None while it is open."""
        return self._reason

    @property
    def received_at(self) -> float:
        """The time of the last received byte, in monotonic seconds."""
        return self._connection.received_at

    @property
    def send_queue_bytes(self) -> int:
        """Bytes queued and not yet taken by the socket: who sends much keeps a window by this."""
        return self._queue.queued_bytes

    def post(
        self,
        frame_type: int,
        *,
        count: int = 0,
        table: Piece = b"",
        body: Sequence[Piece] = (),
        request_id: int = 0,
        is_reply: bool = False,
    ) -> None:
        """Queue a frame that expects no answer, or is one.  Nothing happens once the link is lost."""
        if self._reason is not None:
            return
        body_bytes = sum(map(len, body))
        check_limits(self._limits, frame_type, count, len(table), body_bytes)
        header = encode_header(
            frame_type,
            request_id=request_id,
            is_reply=is_reply,
            count=count,
            table_bytes=len(table),
            body_bytes=body_bytes,
        )
        # Tables are small: one piece less is worth the copy.
        self._queue.add(header + table, body, body_bytes)
        if self._queue.queued_bytes > self._send_queue_bytes_max:
            self._on_queue_full()

    def request(
        self,
        frame_type: int,
        *,
        request_id: int,
        deadline: float,
        count: int = 0,
        table: Piece = b"",
        body: Sequence[Piece] = (),
    ) -> None:
        """Queue a request; its reply comes to `on_frames`, or its failure to `on_requests_failed`.

        Raises:
            LocalProtocolError: The id is in use, the window is exceeded, or `on_link_lost` was told
                already.
        """
        if self._connection.state is State.CLOSED and self._is_end_untold:
            # They said goodbye in the receive that the handler is busy with: it can't know yet.
            self._stillborn.append((request_id, Failure.LOST))
            return
        self._connection.begin_request(request_id, deadline)
        if deadline < self._timer.ends_at:
            self._timer.end()
        self.post(frame_type, count=count, table=table, body=body, request_id=request_id)

    def push(self) -> None:
        """Send now what is queued; the writer task sends the rest.  Views may change after this."""
        if not self._queue.has_fresh:
            return
        pieces, count = self._queue.take_fresh()
        sent = 0
        if not self._queue.unsent:
            sent = self._send(pieces)
            if sent == count:
                return
        if self._reason is None:
            self._queue.keep(pieces, sent, count)
            self._unsent_came.set()

    def ask(self) -> None:
        """Have the peer say something at once."""
        self._perform(self._connection.ask())
        self.push()

    def close(self, reason: str) -> None:
        """Say goodbye and close the link; `on_link_lost` follows, from the link's own task."""
        self._leaves_in_order = True
        self._abandon(reason)

    def statistics(self) -> LinkStatistics:
        """Return a snapshot."""
        return LinkStatistics(
            frames_sent_total=self._queue.frames_total,
            frames_received_total=self._connection.frames_received_total,
            bytes_sent_total=self._bytes_sent_total,
            bytes_received_total=self._bytes_received_total,
            requests_in_flight=self._connection.requests_in_flight,
            send_queue_bytes=self.send_queue_bytes,
            late_replies_total=self._connection.late_replies_total,
            timeouts_total=self._connection.timeouts_total,
        )

    # Beginning and end.

    async def run(self) -> str:
        """Run the link to its end and return why it ended.  When cancelled, say goodbye."""
        try:
            with self._scope:
                self._perform(self._connection.start())
                self.push()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    nursery.start_soon(self._watch)
                    await self._read()
                    nursery.cancel_scope.cancel()
        except BaseException:
            # Cancelled from outside (a stop) or a bug of ours: the peer is told either way.
            self.close(why_cancelled(self._connection.our_name, is_open=self.theirs is not None))
            raise
        finally:
            self.end(self._reason or "the link ended")
        assert self._reason is not None
        return self._reason

    def end(self, reason: str) -> None:
        """End the link in this very step: all that must follow has happened when this returns."""
        if self._connection.state is State.CLOSED:
            return
        if self._leaves_in_order:
            self._perform(self._connection.on_leaving(reason))
        else:
            self._perform(self._connection.on_lost(reason))

    async def wait_silent(self, seconds: float) -> None:
        """Return when an open link was silent for so long, or when it is over."""
        await self._settled.wait()
        while not self._ended.is_set() and trio.current_time() < self.received_at + seconds:
            with trio.move_on_at(self.received_at + seconds):
                await self._ended.wait()
            await trio.lowlevel.checkpoint()  # as in `_watch`

    async def _read(self) -> None:
        while self._reason is None:
            try:
                count = await self._stream.receive_into(self._decoder.space())
            except PeerLost as lost:
                self._abandon(str(lost))
                return
            if not count:
                # A TLS listener closes on plaintext, and says first what is shorter than a frame.
                is_mute = self.theirs is None and certified_names(self._stream) is None
                hint = " before its HELLO (it may expect TLS)" if is_mute else ""
                self._abandon(f"the peer closed the connection{hint}")
                return
            if self._reason is None:
                self._on_received(count)

    async def _write(self) -> None:
        while True:
            await self._unsent_came.wait()
            try:
                await self._stream.wait_sendable()
            except PeerLost as lost:
                self._abandon(str(lost))
                return
            self._queue.on_sent(self._send(self._queue.unsent))
            if not self._queue.unsent:
                self._unsent_came = trio.Event()

    async def _watch(self) -> None:
        while (deadline := self._connection.next_deadline()) is not None:
            await self._timer.sleep(deadline)
            if (self._connection.next_deadline() or 0.0) > trio.current_time():
                continue  # something was sent meanwhile, as mostly
            # After a pause of the process, bytes wait in the socket and the reader was woken with
            # us: let it run first, so that a peer is not blamed for our own silence.
            await trio.lowlevel.checkpoint()
            self._perform(self._connection.on_deadline(now=trio.current_time()))
            self.push()

    # What came

    def _on_received(self, count: int) -> None:
        self._bytes_received_total += count
        self._connection.on_received(now=trio.current_time())
        self._decoder.on_received(count)
        frames = self._decoder.frames()
        try:
            while self._connection.is_greeting:
                frame = next(frames, None)
                if frame is None:
                    break
                self._perform(self._connection.on_greeting(frame))
            # `Opened` may have made the handler close the link again.
            if self._connection.state is State.OPEN and self._reason is None:
                passed, effects = self._connection.on_frames(frames)
                try:
                    if passed or self._connection.state is State.OPEN:
                        self._handler.on_frames(self, passed)
                finally:
                    # The machine has taken this step, whatever the application makes of its frames.
                    self._perform(effects)
        except RemoteProtocolError as error:
            self._on_broken(str(error))
        self.push()

    def _on_broken(self, reason: str) -> None:
        # The application may refuse what came together with a goodbye, or after it closed the link
        # itself.
        if self._connection.state is not State.CLOSED and self._reason is None:
            self._perform(self._connection.on_broken(reason))

    def _perform(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(frame_type, payload):
                    header = encode_header(frame_type, table_bytes=len(payload))
                    self._queue.add(header + payload)
                case Contested(present):
                    self._on_contested(present)
                case Opened(theirs):
                    self._on_opened(theirs)
                case Outdated(newest):
                    self._on_outdated(self.theirs, newest)
                case RequestsFailed(failures):
                    self._handler.on_requests_failed(self, list(failures))
                case Closed():
                    self._on_closed(effect)

    def _on_contested(self, present: Link) -> None:
        assert isinstance(present, PeerLink), "the links of a mesh are all of one kind"
        self._contest.enter(present._contest, self._on_present_ended)  # noqa: SLF001  of our own kind
        self._timer.end()
        # Somebody of the same incarnation wants its place.
        present.ask()

    def _on_present_ended(self) -> None:
        self._connection.on_present_ended(now=trio.current_time())
        self._timer.end()

    def _on_opened(self, theirs: Hello) -> None:
        self.theirs, self.node, self.incarnation = theirs, theirs.number, theirs.incarnation
        self.attach_count, self.features = theirs.attach_count, theirs.features
        self._contest.leave()
        present = self._links.get(self.node)
        if isinstance(present, PeerLink):
            # `judge` let a second link pass, so the old one is a ghost.
            why = why_replaced(
                is_newer=self.incarnation != present.incarnation,
                is_attached=self.attach_count > present.attach_count,
                has_moved=self.moves > present.moves,
                is_dialer=self._connection.is_dialer,
            )
            present.end(f"replaced by a new link: the peer {why}")
        self._decoder.allow(self._limits)
        self._links[self.node] = self
        say_up(theirs.name)
        # The timer task waits for the end of the greeting; from here on other deadlines count.
        self._timer.end()
        self._settled.set()
        self._handler.on_link_up(self)

    def _on_closed(self, closed: Closed) -> None:
        if not self._queue.unsent:
            # GOODBYE or REJECT, if the socket takes it now: nobody waits for a peer that leaves.
            self._send(self._queue.take_fresh()[0])
        self._queue.clear()
        self._reason = reason = closed.reason
        self._stream.close()
        self._scope.cancel()
        self._settled.set()
        self._ended.set()
        if self.theirs is not None:
            if self._links.get(self.node) is self:
                del self._links[self.node]
            say_end(self.theirs.name, closed)
            if self._stillborn:
                self._handler.on_requests_failed(self, self._stillborn)
            self._is_end_untold = False
            self._handler.on_link_lost(self, reason)
        self._contest.on_ended()

    # What goes

    def _send(self, pieces: Sequence[Piece]) -> int:
        """Hand pieces to the stream and return how many bytes it took."""
        if not pieces:
            return 0
        try:
            sent = self._stream.send_nowait(pieces)
        except PeerLost as lost:
            self._abandon(str(lost))
            return 0
        if sent:
            self._bytes_sent_total += sent
            now = trio.current_time()
            self._connection.on_sent(now=now)
            if self._timer.is_to_be_postponed(now):
                self._timer.postpone(self._connection.next_deadline() or now, now)
        return sent

    def _on_queue_full(self) -> None:
        self.push()
        if self.send_queue_bytes > self._send_queue_bytes_max:
            self._abandon(f"the peer does not read: {self.send_queue_bytes} bytes wait to be sent")

    def _abandon(self, reason: str) -> None:
        """End soon, from the link's own task: the caller may be the handler, in the middle of its work."""
        if self._reason is None:
            self._reason = reason
            self._scope.cancel()
