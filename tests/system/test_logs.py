"""A daemon whose standard error nobody reads, and signals at awkward moments."""

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
from collections.abc import Iterator

import pytest

from tests.system.conftest import NewCluster
from tests.system.daemons import RAMSTERD, Node, environment, wait_until

# The smallest pipe of Linux: a page.
PIPE_BYTES = 4096


@pytest.fixture
def unread() -> Iterator[tuple[int, int]]:
    """A small pipe: who writes to it writes to nobody."""
    read_end, write_end = os.pipe()
    fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    yield read_end, write_end
    for end in (read_end, write_end):
        with contextlib.suppress(OSError):
            os.close(end)


def start_with_stderr(node: Node, stderr: int) -> None:
    node.process = subprocess.Popen(
        [*RAMSTERD, "run", "--config", str(node.config)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        env=environment(),
    )
    node.wait_ready()


def connect_and_send_garbage(node: Node) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(node.nbd))
        client.sendall(b"\xff" * 64)
        while client.recv(4096):
            pass


def test_a_standard_error_that_nobody_reads_stops_nothing(
    new_cluster: NewCluster, unread: tuple[int, int]
) -> None:
    cluster = new_cluster(budgets=["4MiB"])
    node = cluster[1]
    start_with_stderr(node, unread[1])
    for _ in range(100):
        connect_and_send_garbage(node)
    assert node.status()["node"] == "n1"
    with node.client() as client:
        client.write(0, b"x" * 4096)
    node.send_signal(signal.SIGTERM)
    assert node.wait_end() == 0


def test_a_hangup_while_the_daemon_starts_is_a_reload_and_no_end(new_cluster: NewCluster) -> None:
    cluster = new_cluster(budgets=["4MiB"])
    node = cluster[1]
    node.start()
    assert node.process is not None
    path = f"/proc/{node.process.pid}/status"

    def handles_hangups() -> bool:
        with open(path) as status:
            fields = dict(line.split(":", 1) for line in status)
        return bool(int(fields["SigCgt"], 16) >> (signal.SIGHUP - 1) & 1)

    wait_until(handles_hangups, "it handles SIGHUP")
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGPIPE):
        node.send_signal(number)
    node.wait_ready()
    assert "SIGHUP" in node.log
