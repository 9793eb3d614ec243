"""The metrics port on real sockets: scrapers are served, and an ill-meaning client keeps nobody out."""

import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
import trio
import trio.testing
from prometheus_client.core import Metric

from ramsterd.observe.exposition import Exposition
from ramsterd.observe.metric import gauge, one
from ramsterd.observe.metrics_server import (
    CONNECTIONS_MAX,
    FAULT,
    IDLE_SECONDS_MAX,
    REPLY_SECONDS_MAX,
    REQUEST_SECONDS_MAX,
    MetricsServer,
)
from tests.helpers.leftovers import watch_leftovers
from tests.helpers.running_metrics import (
    GET,
    LOOPBACK,
    TEXT,
    Running,
    collect,
    made_feed,
    receive,
    receive_all,
    running,
)


def collect_much() -> Iterator[Metric]:
    yield gauge("much", "x" * 20_000_000, [], one(1))


async def test_one_connection_is_scraped_again_and_again() -> None:
    async with running() as running_server, await running_server.dial() as stream:
        for _ in range(3):
            await stream.send_all(GET)
            answer = await receive(stream, TEXT)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        await stream.send_all(GET.replace(b"GET", b"HEAD"))
        assert (await receive(stream, b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        statistics = running_server.server.statistics()
        assert statistics.answers_total == {"200": 4}
        assert statistics.endpoint.accepted_connections_total == 1


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (GET.replace(b"/metrics", b"/etc"), b"404 Not Found"),
        (GET.replace(b"GET", b"POST"), b"405 Method Not Allowed"),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"400 Bad Request"),
    ],
)
async def test_whatever_else_is_asked_for_has_one_answer(said: bytes, status: bytes) -> None:
    async with running() as server, await server.dial(said) as stream:
        assert (await receive_all(stream)).startswith(b"HTTP/1.1 " + status)


async def test_a_fault_in_what_is_shown_ends_the_scrape_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    faults = iter([KeyError("a node without a name")])

    def collect_with_fault() -> Iterator[Metric]:
        for fault in faults:
            raise fault
        yield from collect()

    async with running(collect_with_fault) as server:
        async with await server.dial(GET) as stream:
            assert await receive_all(stream) == b""
        assert [record.getMessage() for record in caplog.records] == [FAULT]
        async with await server.dial(GET) as stream:
            await receive(stream, TEXT)


async def test_silent_clients_keep_no_scraper_out() -> None:
    """Nor do they take more than their part of the descriptors."""
    async with running() as server:
        silent = [await server.dial() for _ in range(3 * CONNECTIONS_MAX)]
        async with await server.dial(GET) as stream:
            await receive(stream, TEXT)
        statistics = server.server.statistics().endpoint
        assert statistics.connections <= CONNECTIONS_MAX
        assert statistics.displaced_connections_total >= 2 * CONNECTIONS_MAX
        for each in silent:
            await each.aclose()


async def test_a_burst_of_clients_that_close_at_once_delays_no_scrape() -> None:
    async with running() as server:
        for _ in range(500):
            await (await server.dial()).aclose()
        async with await server.dial(GET) as stream:
            await receive(stream, TEXT)
        await server.wait_quiet()
        assert server.server.statistics().endpoint.accepted_connections_total == 501


@pytest.mark.slow
async def test_slow_readers_share_one_text_and_keep_no_scraper_out() -> None:
    async with running(collect_much) as server:
        slow = [await server.dial(GET) for _ in range(2 * CONNECTIONS_MAX)]
        async with await server.dial(GET.replace(b"GET", b"HEAD")) as stream:
            await receive(stream, b"\r\n\r\n")
        for each in slow:
            await each.aclose()


# On a socket pair: virtual time would jump over a real connect.


async def answer_until_closed(server: MetricsServer, ours: socket.socket) -> float:
    """Return how long that took."""
    ours.setblocking(False)
    began = trio.current_time()
    with suppress(OSError):
        await server._answer_client(ours, lambda: None)
    return trio.current_time() - began


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (b"", REQUEST_SECONDS_MAX),
        (GET[:20], REQUEST_SECONDS_MAX),
        (GET, IDLE_SECONDS_MAX),
        (GET + GET[:20], IDLE_SECONDS_MAX),
        (GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), 0.0),
    ],
)
async def test_a_client_has_so_long_for_a_request(
    said: bytes, seconds: float, autojump_clock: trio.testing.MockClock
) -> None:
    server = MetricsServer(LOOPBACK, 0, Exposition(collect), made_feed())
    with tcp_pair() as (ours, theirs):
        theirs.send(said)
        assert await answer_until_closed(server, ours) == pytest.approx(seconds)


async def test_a_client_has_so_long_to_take_an_answer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    server = MetricsServer(LOOPBACK, 0, Exposition(collect_much), made_feed())
    with tcp_pair() as (ours, theirs):
        theirs.send(GET)
        assert await answer_until_closed(server, ours) == pytest.approx(REPLY_SECONDS_MAX)


@contextmanager
def tcp_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server((LOOPBACK, 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    with ours, theirs:
        yield ours, theirs


# Leftovers.


async def is_served(server: Running) -> None:
    async with await server.dial(GET) as stream:
        await receive(stream, TEXT)


async def closes_at_once(server: Running) -> None:
    await (await server.dial()).aclose()


async def sends_garbage(server: Running) -> None:
    async with await server.dial(b"\x00\r\n\r\n") as stream:
        await receive_all(stream)


async def closes_in_a_request(server: Running) -> None:
    await (await server.dial(GET[:20])).aclose()


async def are_too_many(server: Running) -> None:
    streams = [await server.dial(GET) for _ in range(CONNECTIONS_MAX + 4)]
    await receive_all(streams[0])
    for stream in streams:
        await stream.aclose()


async def takes_no_answer(server: Running) -> None:
    async with await server.dial(GET):
        await trio.testing.wait_all_tasks_blocked()


Ending = Callable[[Running], Awaitable[None]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ending", "collected"),
    [
        (is_served, collect),
        (closes_at_once, collect),
        (sends_garbage, collect),
        (closes_in_a_request, collect),
        (are_too_many, collect),
        (takes_no_answer, collect_much),
    ],
)
async def test_nothing_is_left_of_a_client_that(
    ending: Ending, collected: Callable[[], Iterator[Metric]]
) -> None:
    async def end_one() -> None:
        before = server.server.statistics().endpoint.accepted_connections_total
        await ending(server)
        while server.server.statistics().endpoint.accepted_connections_total == before:
            await trio.testing.wait_all_tasks_blocked()
        await server.wait_quiet()

    async with running(collected) as server:
        await end_one()
        with watch_leftovers() as left:
            for _ in range(10):
                await end_one()
    assert not left


async def test_an_address_in_use_is_named() -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        server = MetricsServer(LOOPBACK, port, Exposition(collect), made_feed())
        with pytest.raises(OSError, match=f"in use: '{LOOPBACK}:{port}'"):
            await server.serve()
