import os
import resource
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ramsterd.host.sd_notify import Notifier, watchdog_seconds_from


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """Yield a real datagram socket as systemd has it, and its name for NOTIFY_SOCKET."""
    path = str(tmp_path / "notify")
    bound, name = (path, path) if request.param == "path" else ("\0" + path, "@" + path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(bound)
        receiver.setblocking(False)
        yield receiver, name


def test_states_reach_the_manager(manager: tuple[socket.socket, str]) -> None:
    receiver, name = manager
    with closing(Notifier({"NOTIFY_SOCKET": name})) as notifier:
        assert notifier.ready()
        assert notifier.watchdog()
        assert notifier.stopping()
        assert notifier.status("nbd0: attached,\nREADY=1 is only text")
    assert not notifier.ready()
    assert [receiver.recv(100) for _ in range(4)] == [
        b"READY=1",
        b"WATCHDOG=1",
        b"STOPPING=1",
        b"STATUS=nbd0: attached, READY=1 is only text",
    ]


def test_a_manager_that_does_not_read_never_blocks_us(manager: tuple[socket.socket, str]) -> None:
    _, name = manager
    with closing(Notifier({"NOTIFY_SOCKET": name})) as notifier:
        assert notifier.watchdog()
        while notifier.watchdog():
            pass
        assert not notifier.watchdog()


def test_without_a_free_descriptor_the_watchdog_is_fed(manager: tuple[socket.socket, str]) -> None:
    receiver, name = manager
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with closing(Notifier({"NOTIFY_SOCKET": name})) as notifier:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            is_fed = notifier.watchdog()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert is_fed
        assert receiver.recv(100) == b"WATCHDOG=1"


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}])
def test_without_a_manager_nothing_happens(environ: dict[str, str]) -> None:
    assert not Notifier(environ).ready()


@pytest.mark.parametrize("name", ["/nowhere/gone", "/" + "x" * 200, "/a\0b"])
def test_a_manager_that_is_gone_is_no_error(name: str) -> None:
    with closing(Notifier({"NOTIFY_SOCKET": name})) as notifier:
        assert not notifier.ready()


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid() + 1)}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "9" * 30}, None),
        ({}, None),
    ],
)
def test_the_watchdog_interval_comes_from_the_environment(
    environ: dict[str, str], seconds: float | None
) -> None:
    assert watchdog_seconds_from(environ) == seconds
