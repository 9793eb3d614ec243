"""A daemon whose standard error nobody reads, and signals at awkward moments."""

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
from collections.abc import Iterator

import pytest

from ramsterd.signals import USELESS
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


def blocks_hangups(node: Node) -> bool:
    """Return whether its first lines have run: most of its start is still to come."""
    assert node.process is not None
    with open(f"/proc/{node.process.pid}/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    return bool(int(fields["SigBlk"], 16) >> (signal.SIGHUP - 1) & 1)


def test_a_hangup_while_the_daemon_starts_is_a_reload_and_no_end(new_cluster: NewCluster) -> None:
    node = new_cluster(budgets=["4MiB"])[1]
    node.start()
    wait_until(lambda: blocks_hangups(node), "it holds signals")
    for each in (*USELESS, signal.SIGHUP, signal.SIGPIPE):
        node.send_signal(each)
    node.wait_ready()
    wait_until(lambda: "SIGHUP" in node.log, "it reloads")
    assert node.log.index("serves") < node.log.index("SIGHUP")
