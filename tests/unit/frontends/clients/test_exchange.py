import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import trio

from net.errors import RemoteProtocolError
from ramsterd.endpoints.hangups import Hangups
from ramsterd.frontends.clients.counters import Counters
from ramsterd.frontends.clients.exchange import Ended, Ends, Exchange, why_broken
from ramsterd.frontends.clients.replies import ReplyQueue
from ramsterd.frontends.nbd.buffers import ReceiveBuffer
from ramsterd.frontends.nbd.counters import End
from ramsterd.frontends.nbd.protocol import Command, Errno
from ramsterd.handover.document import UNSENT_BYTES_MAX

ENDS = Ends(closed=End.CLOSED_EARLY, broken=End.BROKEN, garbage=End.GARBAGE)


class Echo:
    """Answers each byte with itself; `(` begins what ends with `)`, `!` is garbage, `?` is answered by nobody, `+` neither, and is all that fits, `.` is a goodbye."""

    def __init__(self) -> None:
        self.received = ReceiveBuffer()
        self.replies = ReplyQueue()
        self.has_unserved = False
        self.has_only_read = False
        self.is_full = False
        self.is_waiting = False
        self.is_disconnecting = False
        self.pages_of_pass = 0
        self.passes = 0
        self.on_serve: Callable[[], None] = lambda: None
        self.is_closed = False
        # Slices of a request that is begun: each answers with "s".
        self.slices = 0

    @property
    def lacks_bytes(self) -> bool:
        unserved = self.received.unserved()
        return unserved.startswith(b"(") and not unserved.endswith(b")")

    def serve(self) -> None:
        self.passes += 1
        self.on_serve()
        for word in self.received.unserved():
            self.received.start += 1
            match chr(word):
                case "!":
                    raise RemoteProtocolError("garbage")
                case "?":
                    self.is_waiting = True
                case "+":
                    self.is_waiting = self.is_full = True
                case ".":
                    self.is_disconnecting = True
                case _:
                    self.answer(bytes([word]))

    @property
    def has_begun(self) -> bool:
        return self.slices > 0

    @property
    def is_at_edge(self) -> bool:
        return not self.slices and not self.is_waiting

    def go_on(self) -> None:
        self.slices -= 1
        self.answer(b"s")

    def answer(self, reply: bytes) -> None:
        self.replies.pieces.append(reply)
        self.replies.queued_bytes += len(reply)

    def close(self) -> None:
        self.is_closed = True


class Story:
    """An exchange, and the client's end of its socket."""

    def __init__(self, ours: socket.socket, client: socket.socket, hangups: Hangups) -> None:
        self.ours = ours
        self.client = client
        self.echo = Echo()
        self.ended: Ended[End] | None = None
        self.settled = 0
        self.counters = Counters(End, tuple(Command), Errno)
        self.exchange = Exchange(ours, self.counters, ENDS, settle=self._on_settled)
        self._hangups = hangups

    def _on_settled(self) -> None:
        self.settled += 1

    def has_edge(self) -> bool:
        return self.exchange.is_at_edge

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._hangups.serve)
            self.ended = await self.exchange.run(
                self.echo, self._hangups, lambda _: None, self.exchange.receive
            )
            nursery.cancel_scope.cancel()


@pytest.fixture
def story() -> Iterator[Story]:
    with made_story() as made:
        yield made


@contextmanager
def made_story() -> Iterator[Story]:
    ours, client = socket.socketpair()
    hangups = Hangups()
    with ours, client:
        ours.setblocking(False)
        client.setblocking(False)
        yield Story(ours, client, hangups)
    hangups.close()


async def test_what_was_asked_before_garbage_is_answered(story: Story) -> None:
    story.client.send(b"ab!c")
    await story.run()
    assert story.ended == Ended(End.GARBAGE, "garbage")
    assert story.client.recv(9) == b"ab"
    assert story.echo.is_closed


async def test_a_request_that_comes_in_pieces_is_one_pass(story: Story) -> None:
    """A kernel sends a WRITE page by page, and a pass costs more than a page does."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(story.run)
        await trio.testing.wait_all_tasks_blocked()
        before = story.echo.passes, story.settled
        for piece in (b"(", b"a", b"b", b")"):
            story.client.send(piece)
            await trio.testing.wait_all_tasks_blocked()
        assert story.client.recv(9) == b"(ab)"
        assert (story.echo.passes, story.settled) == (before[0] + 1, before[1] + 1)
        nursery.cancel_scope.cancel()


async def test_a_pass_that_only_read_is_not_settled(story: Story) -> None:
    """But its answer leaves all the same; and a slice of a request that is begun is settled."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(story.run)
        await trio.testing.wait_all_tasks_blocked()
        before = story.settled
        for has_only_read in (True, False):
            story.echo.has_only_read = has_only_read
            story.client.send(b"a")
            await trio.testing.wait_all_tasks_blocked()
            assert story.client.recv(9) == b"a"
        assert story.settled == before + 1
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("asked", "waits", "lingers"), [(1, False, True), (2, False, False), (0, True, False)]
)
async def test_it_lingers_for_a_client_that_asks_for_one_thing_at_a_time(
    story: Story, asked: int, *, waits: bool, lingers: bool
) -> None:
    lingered = list[int]()
    story.exchange = Exchange(
        story.ours,
        story.counters,
        ENDS,
        settle=lambda: None,
        lingering_at=lambda descriptor: lambda: lingered.append(descriptor),
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(story.run)
        await trio.testing.wait_all_tasks_blocked()
        before = len(lingered)
        # As a front end counts what it answers.
        story.echo.on_serve = lambda: setattr(story.counters.latency, "reads", asked)
        story.client.send(b"?" if waits else b"a")
        await trio.testing.wait_all_tasks_blocked()
        # In front of what it received, and of what it looked for then.
        assert lingered[before:] == [story.ours.fileno()] * (1 + lingers)
        nursery.cancel_scope.cancel()


async def test_a_client_that_sends_no_more_has_its_answer_and_ends(story: Story) -> None:
    story.client.send(b"a")
    story.client.shutdown(socket.SHUT_WR)
    await story.run()
    assert story.ended == Ended(End.CLOSED_EARLY)
    assert story.client.recv(9) == b"a"


async def test_receiving_ends_with_the_goodbye(story: Story) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(story.run)
        story.client.send(b"a.")
        await trio.testing.wait_all_tasks_blocked()
        assert story.client.recv(9) == b"a"
        story.client.send(b"c")
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(BlockingIOError):
            story.client.recv(9)
        story.exchange.end(Ended(End.DISCONNECTED))
    assert story.ended == Ended(End.DISCONNECTED)


async def test_who_waits_for_an_answer_and_hangs_up_is_gone_at_once(story: Story) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(story.run)
        story.client.send(b"?")
        await trio.testing.wait_all_tasks_blocked()
        story.client.shutdown(socket.SHUT_WR)
    assert story.ended == Ended(End.CLOSED_EARLY)


async def test_who_had_hung_up_before_its_request_was_served_is_gone_when_that_waits(
    story: Story,
) -> None:
    """Nobody would tell again that it hung up, and what it would be told by the socket is not read while it waits."""
    story.echo.is_full = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(story.run)
        story.client.send(b"+")
        story.client.shutdown(socket.SHUT_WR)
        await trio.testing.wait_all_tasks_blocked()
        assert not story.echo.is_closed
        story.echo.is_full = False
        story.exchange.send_soon()
        with trio.fail_after(5):
            await trio.testing.wait_all_tasks_blocked()
        assert story.ended == Ended(End.CLOSED_EARLY)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("is_pushed", [True, False])
async def test_a_late_answer_leaves_by_either_way(story: Story, *, is_pushed: bool) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(story.run)
        await trio.testing.wait_all_tasks_blocked()
        story.echo.answer(b"late")
        latency = story.counters.latency
        latency.on_read(0.0, is_in_pass=False)
        if is_pushed:
            story.exchange.push()
        else:
            story.exchange.send_soon()
            await trio.testing.wait_all_tasks_blocked()
        assert story.client.recv(9) == b"late"
        assert sum(latency.statistics().read_peer.counts) == 1
        assert not latency.ended
        story.client.close()


async def test_a_push_before_and_after_does_nothing(story: Story) -> None:
    story.exchange.push()
    story.client.close()
    await story.run()
    story.exchange.push()


class TestEdge:
    """Before a handover: what is begun ends, nothing more is begun, and nothing of the client is waited for."""

    async def test_a_connection_that_waits_for_its_client_is_at_an_edge_at_once(
        self, story: Story
    ) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(story.run)
            await trio.testing.wait_all_tasks_blocked()
            assert not story.has_edge(), "it would go on receiving"
            story.exchange.stop_receiving()
            await story.exchange.wait_at_edge()
            story.client.send(b"abc")
            await trio.testing.wait_all_tasks_blocked()
            assert story.has_edge()
            assert story.echo.received.unserved() == b""
            story.exchange.leave()
            nursery.cancel_scope.cancel()
        assert story.ours.recv(9) == b"abc", "left for the next process"

    async def test_what_is_begun_ends_first(self, story: Story) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(story.run)
            await trio.testing.wait_all_tasks_blocked()
            story.echo.slices = 3
            story.exchange.stop_receiving()
            await story.exchange.wait_at_edge()
            assert story.client.recv(9) == b"sss"
            nursery.cancel_scope.cancel()

    async def test_what_waits_is_waited_for(self, story: Story) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(story.run)
            story.client.send(b"?")
            await trio.testing.wait_all_tasks_blocked()
            story.exchange.stop_receiving()
            await trio.testing.wait_all_tasks_blocked()
            assert not story.has_edge()
            story.echo.is_waiting = False
            story.echo.answer(b"late")
            story.exchange.push()
            await story.exchange.wait_at_edge()
            assert story.client.recv(9) == b"late"
            nursery.cancel_scope.cancel()

    async def test_replies_beyond_the_limit_are_waited_for(self, story: Story) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(story.run)
            await trio.testing.wait_all_tasks_blocked()
            story.exchange.stop_receiving()
            # More than fit into a socket and into a record.
            story.echo.answer(bytes(2 * UNSENT_BYTES_MAX))
            story.exchange.push()
            await trio.testing.wait_all_tasks_blocked()
            assert not story.has_edge()
            taken = 0
            while not story.has_edge():
                taken += len(story.client.recv(1 << 16))
                await trio.testing.wait_all_tasks_blocked()
            unsent = story.echo.replies.take()
            assert 0 < len(unsent) <= UNSENT_BYTES_MAX
            nursery.cancel_scope.cancel()

    async def test_who_waits_for_the_edge_of_one_that_ends_waits_no_longer(
        self, story: Story
    ) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(story.run)
            story.client.send(b"?")
            await trio.testing.wait_all_tasks_blocked()
            story.exchange.stop_receiving()
            nursery.start_soon(story.exchange.wait_at_edge)
            await trio.testing.wait_all_tasks_blocked()
            story.exchange.end(Ended(End.BROKEN))
        assert not story.has_edge()

    async def test_a_client_that_said_goodbye_comes_to_no_edge(self, story: Story) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(story.run)
            story.client.send(b".")
            await trio.testing.wait_all_tasks_blocked()
            story.exchange.stop_receiving()
            await trio.testing.wait_all_tasks_blocked()
            assert not story.has_edge()
            story.exchange.end(Ended(End.DISCONNECTED))


def test_why_a_connection_broke_is_told_in_words() -> None:
    gone = "the client was gone before it had all replies"
    assert why_broken(BrokenPipeError(errno.EPIPE, "Broken pipe")) == gone
    assert why_broken(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")) == gone
    assert (
        why_broken(TimeoutError(errno.ETIMEDOUT, "Connection timed out")) == "Connection timed out"
    )
