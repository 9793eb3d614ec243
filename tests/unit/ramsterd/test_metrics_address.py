import socket

import pytest
import trio

from ramsterd.metrics import serve_metrics
from ramsterd.snapshot import DaemonStatistics


def no_statistics() -> DaemonStatistics:
    raise AssertionError("nobody scrapes")


async def test_an_address_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"in use: '127.0.0.1 port {port}'"):
            await serve_metrics(
                "127.0.0.1", port, no_statistics, task_status=trio.TASK_STATUS_IGNORED
            )
