"""The status page and its feed on real sockets: one picture for all, bounded viewers, nothing from elsewhere."""

import json
import re

import pytest
import trio
import trio.testing

from ramsterd.host.loop_clock import LoopClock
from ramsterd.observe.live_feed import FEED_SECONDS, VIEWERS_MAX, LiveFeed
from ramsterd.observe.metrics_server import REPLY_SECONDS_MAX
from ramsterd.observe.overview import Overview, of_itself, overview_of
from ramsterd.observe.status_page import StatusPage
from tests.helpers.made_statistics import made_statistics
from tests.helpers.running_metrics import receive, receive_all, running

PAGE = b"GET / HTTP/1.1\r\nHost: n1\r\n\r\n"
FEED = b"GET /feed HTTP/1.1\r\nHost: n1\r\nAccept: text/event-stream\r\n\r\n"
PICTURE_END = b"\n\n\r\n"


async def test_the_page_is_one_document_that_may_load_nothing_else() -> None:
    async with running() as server, await server.dial(PAGE) as stream:
        answer = await receive(stream, b"</html>\n")
    head, _, document = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"default-src 'none'" in head
    assert document == StatusPage().document
    # Nor does it name anything to load.
    assert not re.findall(rb"(?:src|href)=\"(?!data:,)", document)
    assert not re.findall(rb"\b(?:on\w+|style)=\"", document)


async def test_a_viewer_gets_pictures_until_he_leaves() -> None:
    async with running() as server:
        async with await server.dial(FEED) as stream:
            answer = await receive(stream, PICTURE_END)
            assert b"Content-Type: text/event-stream" in answer
            _, _, event = answer.partition(b"data: ")
            assert json.loads(event.partition(b"\n")[0])["cluster"] == made_statistics().cluster
            assert server.server.statistics().viewers == 1
            await receive(stream, PICTURE_END)
        await server.wait_quiet()
        assert server.server.statistics().viewers == 0


async def test_one_more_viewer_than_there_may_be_is_told_so() -> None:
    async with running() as server:
        viewers = [await server.dial(FEED) for _ in range(VIEWERS_MAX)]
        for each in viewers:
            await receive(each, PICTURE_END)
        async with await server.dial(FEED) as stream:
            assert (await receive_all(stream)).startswith(b"HTTP/1.1 503 ")
        # Who only asks what there is gets that.
        async with await server.dial(FEED.replace(b"GET", b"HEAD")) as stream:
            assert (await receive(stream, b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        # Scrapers still have places.
        async with await server.dial(PAGE) as stream:
            await receive(stream, b"</html>\n")
        assert server.server.statistics().viewers == VIEWERS_MAX
        for each in viewers:
            await each.aclose()


async def test_many_viewers_share_a_picture_that_is_made_as_often_as_for_one(
    autojump_clock: trio.testing.MockClock,
) -> None:
    made: list[float] = []

    def picture() -> Overview:
        made.append(trio.current_time())
        return overview_of(made_statistics(), at=0.0)

    feed = LiveFeed(picture)

    async def view() -> None:
        for _ in range(5):
            assert feed.text().endswith(b"\n\n")
            await feed.wait_next()

    async with trio.open_nursery() as nursery:
        for _ in range(VIEWERS_MAX):
            nursery.start_soon(view)
    begin = made[0]
    assert [at - begin for at in made] == pytest.approx([turn * FEED_SECONDS for turn in range(5)])
    assert autojump_clock.current_time() - begin < REPLY_SECONDS_MAX + FEED_SECONDS


def test_the_picture_has_what_is_at_each_node() -> None:
    now = made_statistics()
    picture = overview_of(now, at=5.0)
    [node] = picture.nodes
    [remote], [foreign] = now.engine.remote, now.engine.foreign
    assert node.pages_there == remote.pages
    assert node.pages_here == foreign.pages
    assert picture.memory.remote_pages == remote.pages
    assert picture.totals.put_pages == now.engine.store.put_pages_total
    assert picture.clients == now.nbd.connections + now.tmem.connections
    assert picture.events_total == sum(now.events.events_total.values())
    reads = [each.request_latency.read_peer.counts for each in (now.nbd, now.tmem)]
    assert picture.latency.read_peer.counts == tuple(map(sum, zip(*reads, strict=True)))


def test_what_a_node_shows_of_itself_is_small_however_many_nodes_there_are() -> None:
    picture = of_itself(overview_of(made_statistics(), at=5.0))
    assert (picture.nodes, picture.exports) == ((), ())
    assert picture.memory == overview_of(made_statistics(), at=5.0).memory


def test_a_daemon_that_is_hardly_run_shows_a_picture_with_each_pause() -> None:
    world = [1000.0]
    made: list[float] = []

    def picture() -> Overview:
        made.append(world[0])
        return overview_of(made_statistics(), at=world[0])

    async def story() -> None:
        feed = LiveFeed(picture)
        for _ in range(3):
            feed.text()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(feed.wait_next)
                await trio.lowlevel.checkpoint()
                # The loop has nothing to do until the pause is over.
                world[0] += 3.0

    trio.run(story, clock=LoopClock(lambda: world[0]))
    assert made == [1000.0, 1003.0, 1006.0]
