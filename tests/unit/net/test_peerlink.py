"""A link over the simulated network in virtual time: two PeerLinks, or one and a test that plays the peer."""

from collections.abc import Callable

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from net.connection import HELLO_SECONDS_MAX, Connection
from net.errors import LocalProtocolError, RemoteProtocolError
from net.frame import Frame, LinkType, encode_header
from net.hello import Hello, encode_reason, parse_reason
from net.judgement import Judgement, Refused, Undecided
from net.link import Failure, Link
from net.peerlink import SEND_QUEUE_BYTES_MAX, PeerLink
from net.transport import Stream
from nodemanager.ids import NodeId
from tests.helpers.links import (
    ASK,
    CONNECTION_LIMITS,
    LIMITS,
    TELL,
    Diary,
    PlayedPeer,
    Seen,
    accept,
    make_frame,
    make_hello,
)
from tests.simulation.network import SimConnection


def make_link(
    stream: Stream,
    diary: Diary,
    *,
    hello: Hello | None = None,
    is_dialer: bool = False,
    judge: Callable[[Hello, Undecided | None], Judgement] = accept,
    links: dict[NodeId, Link] | None = None,
    send_queue_bytes_max: int = SEND_QUEUE_BYTES_MAX,
) -> PeerLink:
    connection = Connection(
        hello or make_hello(1),
        is_dialer=is_dialer,
        judge=judge,
        limits=CONNECTION_LIMITS,
        now=trio.current_time(),
    )
    return PeerLink(
        stream,
        connection,
        handler=diary,
        limits=LIMITS,
        links={} if links is None else links,
        on_outdated=lambda _, __: None,
        send_queue_bytes_max=send_queue_bytes_max,
    )


class Pair:
    """Two links over one simulated connection; node 2 dialled node 1."""

    def __init__(self, one: Diary, two: Diary) -> None:
        self.wire = SimConnection()
        self.one = make_link(self.wire.accepted, one)
        self.two = make_link(self.wire.dialed, two, hello=make_hello(2), is_dialer=True)

    async def open(self, nursery: trio.Nursery) -> None:
        nursery.start_soon(self.one.run)
        nursery.start_soon(self.two.run)
        await trio.testing.wait_all_tasks_blocked()


async def open_played(
    nursery: trio.Nursery, diary: Diary, **options: object
) -> tuple[PeerLink, PlayedPeer]:
    wire = SimConnection()
    link = make_link(wire.accepted, diary, **options)  # type: ignore[arg-type]  # passed through
    peer = PlayedPeer(wire.dialed)
    peer.say(make_frame(LinkType.HELLO, table=make_hello(2).encode()))
    nursery.start_soon(link.run)
    assert [frame.type for frame in await peer.hear()] == [LinkType.HELLO]
    return link, peer


async def test_both_sides_open_and_know_each_other(autojump_clock: trio.testing.MockClock) -> None:
    one, two = Diary(), Diary()
    async with trio.open_nursery() as nursery:
        pair = Pair(one, two)
        await pair.open(nursery)
        assert (one.up, two.up) == ([2], [1])
        assert (pair.one.incarnation, pair.two.incarnation) == (1002, 1001)
        nursery.cancel_scope.cancel()


async def test_a_request_gets_its_reply(autojump_clock: trio.testing.MockClock) -> None:
    def answer(link: Link, frame: Frame) -> None:
        body = [bytes(frame.body).upper()]
        link.post(ASK, request_id=frame.request_id, is_reply=True, count=frame.count, body=body)

    one, two = Diary(answer), Diary()
    async with trio.open_nursery() as nursery:
        pair = Pair(one, two)
        await pair.open(nursery)
        deadline = trio.current_time() + 1
        pair.two.request(ASK, request_id=5, deadline=deadline, count=2, body=[b"ab", b"cd"])
        pair.two.push()
        await trio.testing.wait_all_tasks_blocked()
        assert two.frames == [Seen(ASK, True, 5, 2, b"", b"ABCD")]
        statistics = pair.two.statistics()
        assert statistics.requests_in_flight == 0
        assert statistics.send_queue_bytes == 0
        assert statistics.frames_sent_total == statistics.frames_received_total == 2
        assert statistics.bytes_sent_total == pair.one.statistics().bytes_received_total
        nursery.cancel_scope.cancel()


async def test_a_link_that_is_asked_answers_at_once_and_the_handler_learns_of_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    one, two = Diary(), Diary()
    async with trio.open_nursery() as nursery:
        pair = Pair(one, two)
        await pair.open(nursery)
        began, heard = trio.current_time(), two.signs_of_life
        pair.two.ask()
        await trio.testing.wait_all_tasks_blocked()
        assert trio.current_time() == began
        assert two.signs_of_life == heard + 1
        assert (one.frames, two.frames) == ([], [])
        nursery.cancel_scope.cancel()


async def test_idle_links_stay_up_by_keepalives(autojump_clock: trio.testing.MockClock) -> None:
    one, two = Diary(), Diary()
    async with trio.open_nursery() as nursery:
        pair = Pair(one, two)
        await pair.open(nursery)
        await trio.sleep(10 * CONNECTION_LIMITS.idle_seconds)
        assert one.lost == two.lost == []
        assert pair.one.statistics().frames_received_total > 100
        nursery.cancel_scope.cancel()


async def test_a_silent_peer_is_given_up_after_idle_seconds(
    autojump_clock: trio.testing.MockClock,
) -> None:
    one, two = Diary(), Diary()
    async with trio.open_nursery() as nursery:
        pair = Pair(one, two)
        await pair.open(nursery)
        pair.two.request(ASK, request_id=1, deadline=trio.current_time() + 1000)
        pair.wire.clog()
        await trio.sleep(CONNECTION_LIMITS.idle_seconds - 0.5)
        assert two.lost == []
        await trio.sleep(1)
        assert two.lost == [(1, "no data for 30 s (idle_seconds)")]
        assert two.failures == [(1, Failure.LOST)]
        assert two.calls == ["up", "failed", "lost"]


async def test_a_request_without_answer_fails_in_time_and_the_link_stays(
    autojump_clock: trio.testing.MockClock,
) -> None:
    one, two = Diary(), Diary()
    async with trio.open_nursery() as nursery:
        pair = Pair(one, two)
        await pair.open(nursery)
        pair.two.request(ASK, request_id=1, deadline=trio.current_time() + 0.5)
        pair.two.push()
        await trio.sleep(0.6)
        assert two.failures == [(1, Failure.TIMED_OUT)]
        pair.one.post(ASK, request_id=1, is_reply=True)
        pair.one.push()
        await trio.testing.wait_all_tasks_blocked()
        assert two.frames == []
        assert pair.two.statistics().late_replies_total == 1
        assert pair.two.statistics().timeouts_total == 1
        assert two.lost == []
        nursery.cancel_scope.cancel()


async def test_a_cut_wire_fails_all_requests_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    one, two = Diary(), Diary()
    async with trio.open_nursery() as nursery:
        pair = Pair(one, two)
        await pair.open(nursery)
        for request_id in (1, 2, 3):
            pair.two.request(ASK, request_id=request_id, deadline=trio.current_time() + 1000)
        began_at = trio.current_time()
        pair.wire.cut()
        await trio.testing.wait_all_tasks_blocked()
        assert trio.current_time() == began_at
        assert [failure for _, failure in two.failures] == [Failure.LOST] * 3
        assert two.lost == [(1, "the connection was cut")]
        assert one.lost == [(2, "the connection was cut")]


async def test_a_closed_link_says_goodbye_after_all_that_was_posted(
    autojump_clock: trio.testing.MockClock,
) -> None:
    one, two = Diary(), Diary()
    async with trio.open_nursery() as nursery:
        pair = Pair(one, two)
        await pair.open(nursery)
        pair.one.post(TELL, body=[b"last words"])
        pair.one.close("maintenance")
        pair.one.post(TELL, body=[b"too late"])
    assert two.lost == [(1, "closed by the peer: maintenance")]
    assert one.lost == [(2, "closed by this node: maintenance")]
    assert [frame.body for frame in two.frames] == [b"last words"]


async def test_a_cancelled_link_says_goodbye(autojump_clock: trio.testing.MockClock) -> None:
    one, two = Diary(), Diary()
    async with trio.open_nursery() as nursery:
        pair = Pair(one, two)
        nursery.start_soon(pair.two.run)
        async with trio.open_nursery() as stopped:
            stopped.start_soon(pair.one.run)
            await trio.testing.wait_all_tasks_blocked()
            stopped.cancel_scope.cancel()
    assert two.lost == [(1, "closed by the peer: node node1 stops")]
    assert one.calls == ["up", "lost"]


async def test_a_refusal_is_known_to_both_sides_and_opens_neither(
    autojump_clock: trio.testing.MockClock,
) -> None:
    one, two = Diary(), Diary()
    wire = SimConnection()
    accepting = make_link(wire.accepted, one, judge=lambda *_: Refused("cluster 'b', ours is 'a'"))
    dialing = make_link(wire.dialed, two, hello=make_hello(2), is_dialer=True)
    reasons: dict[str, str] = {}

    async def run(name: str, link: PeerLink) -> None:
        reasons[name] = await link.run()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, "accepting", accepting)
        nursery.start_soon(run, "dialing", dialing)
    assert reasons == {
        "accepting": "refused: cluster 'b', ours is 'a'",
        "dialing": "the peer refused this node: cluster 'b', ours is 'a'",
    }
    assert one.calls == two.calls == []


async def test_a_peer_that_says_nothing_is_dropped_after_the_greeting_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    link = make_link(SimConnection().accepted, Diary())
    began_at = trio.current_time()
    assert await link.run() == "no HELLO within 5 s"
    assert trio.current_time() == began_at + HELLO_SECONDS_MAX


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n....", "magic 0x4547, expected 0x3252"),
        (make_frame(99), "frame type 99"),
        (encode_header(ASK, body_bytes=1 << 31), "body bytes 2147483648"),
        (make_frame(LinkType.HELLO, table=b"\xc1"), "a second HELLO"),
    ],
)
async def test_garbage_closes_the_link_and_tells_why(
    autojump_clock: trio.testing.MockClock, bad: bytes, reason: str
) -> None:
    diary = Diary()
    async with trio.open_nursery() as nursery:
        _, peer = await open_played(nursery, diary)
        peer.say(make_frame(TELL, table=b"good"), bad)
        (reject,) = await peer.hear()
        assert reject.type == LinkType.REJECT
        assert reason in parse_reason(reject.table)
        assert await peer.stream.receive_into(memoryview(bytearray(8))) == 0
    assert [frame.table for frame in diary.frames] == [b"good"]
    assert diary.calls == ["up", "frames", "lost"]


async def test_garbage_before_hello_opens_nothing(autojump_clock: trio.testing.MockClock) -> None:
    diary = Diary()
    wire = SimConnection()
    link = make_link(wire.accepted, diary)
    PlayedPeer(wire.dialed).say(make_frame(TELL))
    reason = await link.run()
    assert reason == "protocol error: frame type 17, which is unknown or not allowed yet"
    assert diary.calls == []


async def test_frames_right_behind_the_hello_are_welcome(
    autojump_clock: trio.testing.MockClock,
) -> None:
    diary = Diary()
    wire = SimConnection()
    link = make_link(wire.accepted, diary)
    hello = make_frame(LinkType.HELLO, table=make_hello(2).encode())
    async with trio.open_nursery() as nursery:
        PlayedPeer(wire.dialed).say(hello + make_frame(TELL, table=b"at once"))
        nursery.start_soon(link.run)
        await trio.testing.wait_all_tasks_blocked()
        assert [frame.table for frame in diary.frames] == [b"at once"]
        nursery.cancel_scope.cancel()


async def test_contents_that_the_application_refuses_close_the_link(
    autojump_clock: trio.testing.MockClock,
) -> None:
    def refuse(link: Link, frame: Frame) -> None:
        raise RemoteProtocolError("serial 0")

    diary = Diary(refuse)
    async with trio.open_nursery() as nursery:
        _, peer = await open_played(nursery, diary)
        peer.say(make_frame(TELL))
        (reject,) = await peer.hear()
        assert parse_reason(reject.table) == "serial 0"
    assert diary.lost == [(2, "protocol error: serial 0")]


async def test_frames_refused_together_with_a_goodbye_still_end_the_link_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    def refuse(link: Link, frame: Frame) -> None:
        raise RemoteProtocolError("serial 0")

    diary = Diary(refuse)
    async with trio.open_nursery() as nursery:
        link, peer = await open_played(nursery, diary)
        link.request(ASK, request_id=1, deadline=trio.current_time() + 1)
        peer.say(make_frame(TELL), make_frame(LinkType.GOODBYE, table=encode_reason("stop")))
    assert diary.calls == ["up", "frames", "failed", "lost"]
    assert diary.lost == [(2, "closed by the peer: stop")]


async def test_the_handler_may_close_a_link_as_it_opens(
    autojump_clock: trio.testing.MockClock,
) -> None:
    class Unwilling(Diary):
        def on_link_up(self, link: Link) -> None:
            super().on_link_up(link)
            link.close("not now")

    diary = Unwilling()
    wire = SimConnection()
    peer = PlayedPeer(wire.dialed)
    peer.say(make_frame(LinkType.HELLO, table=make_hello(2).encode()), make_frame(TELL))
    assert await make_link(wire.accepted, diary).run() == "closed by this node: not now"
    heard = [*await peer.hear(), *await peer.hear()]
    assert [frame.type for frame in heard] == [LinkType.HELLO, LinkType.GOODBYE]
    assert diary.calls == ["up", "lost"]


async def test_a_hello_may_come_in_pieces(autojump_clock: trio.testing.MockClock) -> None:
    diary = Diary()
    wire = SimConnection()
    hello = make_frame(LinkType.HELLO, table=make_hello(2).encode())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(make_link(wire.accepted, diary).run)
        for byte in hello:
            assert diary.up == []
            PlayedPeer(wire.dialed).say(bytes([byte]))
            await trio.testing.wait_all_tasks_blocked()
        assert diary.up == [2]
        nursery.cancel_scope.cancel()


async def test_a_peer_that_closes_without_a_word_is_lost(
    autojump_clock: trio.testing.MockClock,
) -> None:
    diary = Diary()
    async with trio.open_nursery() as nursery:
        _, peer = await open_played(nursery, diary)
        peer.stream.close()
    assert diary.lost == [(2, "the peer closed the connection")]


async def test_a_cut_while_the_writer_waits_ends_the_link(
    autojump_clock: trio.testing.MockClock,
) -> None:
    one, two = Diary(), Diary()
    async with trio.open_nursery() as nursery:
        pair = Pair(one, two)
        await pair.open(nursery)
        pair.wire.clog()
        for _ in range(3):
            pair.two.post(TELL, body=[bytes(200_000)])
        pair.two.push()
        await trio.testing.wait_all_tasks_blocked()
        assert pair.two.send_queue_bytes > 300_000
        pair.wire.cut()
    assert two.lost == [(1, "the connection was cut")]
    assert pair.two.send_queue_bytes == 0


async def test_a_push_into_a_broken_stream_ends_the_link_later_not_in_the_caller(
    autojump_clock: trio.testing.MockClock,
) -> None:
    one, two = Diary(), Diary()
    async with trio.open_nursery() as nursery:
        pair = Pair(one, two)
        await pair.open(nursery)
        pair.wire.cut()
        pair.two.request(ASK, request_id=1, deadline=trio.current_time() + 1)
        pair.two.push()
        assert two.calls == ["up"]
    assert two.calls == ["up", "failed", "lost"]
    assert two.lost == [(1, "the connection was cut")]


async def test_a_bug_of_the_handlers_ends_the_task_and_the_link(
    autojump_clock: trio.testing.MockClock,
) -> None:
    def fail(link: Link, frame: Frame) -> None:
        raise ZeroDivisionError

    diary = Diary(fail)
    with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            _, peer = await open_played(nursery, diary)
            peer.say(make_frame(TELL))
    assert diary.calls == ["up", "frames", "lost"]


async def test_what_does_not_fit_is_copied_and_sent_in_order(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A caller may change its buffers after `push`, though the peer reads them much later."""
    one, two = Diary(), Diary()
    async with trio.open_nursery() as nursery:
        pair = Pair(one, two)
        await pair.open(nursery)
        pair.wire.clog()
        buffer = bytearray(100_000)
        for number in range(10):
            buffer[:] = bytes([number]) * len(buffer)
            pair.two.post(TELL, count=number, body=[memoryview(buffer)[:50_000], buffer[50_000:]])
            pair.two.push()
        buffer[:] = bytes([99]) * len(buffer)
        assert pair.two.send_queue_bytes > 500_000
        pair.wire.clog(there=False, back=False)
        await trio.sleep(1)
        assert [frame.count for frame in one.frames] == list(range(10))
        assert all(frame.body == bytes([frame.count]) * 100_000 for frame in one.frames)
        assert pair.two.send_queue_bytes == 0
        nursery.cancel_scope.cancel()


async def test_a_peer_that_does_not_read_is_dropped_at_the_bound(
    autojump_clock: trio.testing.MockClock,
) -> None:
    diary = Diary()
    async with trio.open_nursery() as nursery:
        link, _ = await open_played(nursery, diary, send_queue_bytes_max=1_000_000)
        for _ in range(20):
            link.post(TELL, body=[bytes(100_000)])
        await trio.testing.wait_all_tasks_blocked()
    ((node, reason),) = diary.lost
    assert node == 2
    assert reason.startswith("the peer does not read: 10")
    assert link.send_queue_bytes == 0


async def test_a_burst_over_the_bound_is_sent_not_dropped(
    autojump_clock: trio.testing.MockClock,
) -> None:
    diary = Diary()
    async with trio.open_nursery() as nursery:
        link, peer = await open_played(nursery, diary, send_queue_bytes_max=100_000)
        link.post(TELL, body=[bytes(150_000)])
        assert link.send_queue_bytes == 0
        assert [len(frame.body) for frame in await peer.hear()] == [150_000]
        nursery.cancel_scope.cancel()


async def test_a_frame_over_its_own_limits_is_a_bug_of_ours(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        link, _ = await open_played(nursery, Diary())
        refused = pytest.raises(LocalProtocolError, match="a peer would refuse this")
        with refused:
            link.post(99)
        with refused:
            link.post(TELL, count=65)
        with refused:
            link.post(TELL, table=bytes(1025))
        with refused:
            link.post(TELL, body=[bytes(300_001)])
        assert link.send_queue_bytes == 0
        nursery.cancel_scope.cancel()


async def test_after_the_end_a_post_does_nothing_and_a_request_is_a_bug(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        link, _ = await open_played(nursery, Diary())
        link.close("over")
        link.request(ASK, request_id=1, deadline=trio.current_time() + 1)
        await trio.testing.wait_all_tasks_blocked()
        link.post(TELL)
        link.push()
        with pytest.raises(LocalProtocolError):
            link.request(ASK, request_id=1, deadline=trio.current_time() + 1)


async def test_a_request_between_close_and_the_end_fails_like_the_others(
    autojump_clock: trio.testing.MockClock,
) -> None:
    diary = Diary()
    async with trio.open_nursery() as nursery:
        link, _ = await open_played(nursery, diary)
        link.close("over")
        assert diary.calls == ["up"]
        link.request(ASK, request_id=1, deadline=trio.current_time() + 1)
    assert diary.failures == [(1, Failure.LOST)]
    assert diary.calls == ["up", "failed", "lost"]


async def test_a_new_incarnation_of_the_peer_replaces_its_old_link(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The old link's end is told before the new link's beginning."""
    diary = Diary()
    links: dict[NodeId, Link] = {}
    async with trio.open_nursery() as nursery:
        old, _ = await open_played(nursery, diary, links=links)
        assert links == {2: old}
        new, _ = await open_played(nursery, diary, links=links)
        assert links == {2: new}
        assert diary.calls == ["up", "lost", "up"]
        nursery.cancel_scope.cancel()
    assert links == {}


@pytest.mark.parametrize(
    "kinds",
    [[LinkType.KEEPALIVE], [LinkType.PROBE], [LinkType.PROBE, LinkType.KEEPALIVE]],
    ids=lambda kinds: " ".join(kind.name for kind in kinds),
)
async def test_whatever_a_receive_brings_shows_that_the_peer_is_alive(
    kinds: list[LinkType], autojump_clock: MockClock
) -> None:
    diary = Diary()
    async with trio.open_nursery() as nursery:
        _, peer = await open_played(nursery, diary)
        before = diary.signs_of_life
        peer.say(b"".join(bytes(make_frame(kind)) for kind in kinds))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert diary.signs_of_life == before + 1
