"""A metrics server on a real socket, and clients of it."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress

import trio
import trio.testing
from prometheus_client.core import Metric

from ramsterd.observe.exposition import Exposition
from ramsterd.observe.live_feed import LiveFeed
from ramsterd.observe.metric import gauge, one
from ramsterd.observe.metrics_server import MetricsServer
from ramsterd.observe.overview import overview_of
from tests.helpers.made_statistics import made_statistics

LOOPBACK = "127.0.0.1"
GET = b"GET /metrics HTTP/1.1\r\nHost: n1\r\n\r\n"
TEXT = b"# HELP ramster_rows Rows.\n# TYPE ramster_rows gauge\nramster_rows 7.0\n"


def collect() -> Iterator[Metric]:
    yield gauge("rows", "Rows.", [], one(7))


def made_feed() -> LiveFeed:
    return LiveFeed(lambda: overview_of(made_statistics(), at=0.0))


class Running:
    def __init__(self, server: MetricsServer, port: int) -> None:
        self.server = server
        self.port = port

    async def dial(self, said: bytes = b"") -> trio.SocketStream:
        stream = await trio.open_tcp_stream(LOOPBACK, self.port)
        await stream.send_all(said)
        return stream

    async def wait_quiet(self) -> None:
        while self.server.statistics().endpoint.connections:  # noqa: ASYNC110  # the server tells nobody
            await trio.sleep(0.002)  # that a viewer has left is seen at the next picture
        await trio.testing.wait_all_tasks_blocked()


@asynccontextmanager
async def running(
    collected: Callable[[], Iterator[Metric]] = collect,
) -> AsyncIterator[Running]:
    server = MetricsServer(LOOPBACK, 0, Exposition(collected), made_feed())
    async with trio.open_nursery() as nursery:
        port = await nursery.start(server.serve)
        with trio.fail_after(20):
            yield Running(server, port)
        nursery.cancel_scope.cancel()


async def receive(stream: trio.SocketStream, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        some = await stream.receive_some()
        assert some, data
        data += some
    return data


async def receive_all(stream: trio.SocketStream) -> bytes:
    data = b""
    with suppress(trio.BrokenResourceError):
        while some := await stream.receive_some():
            data += some
    return data
