import socket
from collections.abc import Iterator

import pytest
from prometheus_client.core import Metric

from ramsterd.observe.exposition import Exposition
from ramsterd.observe.metrics_server import MetricsServer


def no_metrics() -> Iterator[Metric]:
    raise AssertionError("nobody scrapes")


async def test_an_address_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = MetricsServer("127.0.0.1", port, Exposition(no_metrics))
        with pytest.raises(OSError, match=f"in use: '127.0.0.1:{port}'"):
            await server.serve()
