"""Whether there is a metrics port."""

import pytest
import trio

from ramsterd.observe.metrics_port import new_metrics_server
from tests.helpers.made_statistics import made_statistics
from tests.system.daemons import free_ports


def test_without_an_endpoint_there_is_none() -> None:
    assert new_metrics_server("", made_statistics, float) is None


@pytest.mark.slow
async def test_an_endpoint_serves_what_the_daemon_counts(nursery: trio.Nursery) -> None:
    (port,) = free_ports(1)
    server = new_metrics_server(f"127.0.0.1:{port}", made_statistics, float)
    assert server is not None
    await nursery.start(server.serve)
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(b"GET /metrics HTTP/1.1\r\nHost: n1\r\nConnection: close\r\n\r\n")
        text = b"".join([data async for data in stream])
    assert b"200 OK" in text
    assert b"ramster_zpages" in text
