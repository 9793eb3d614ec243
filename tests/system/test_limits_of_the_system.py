"""A daemon at the limits that the system sets to it: file descriptors and threads."""

import contextlib
import json
import socket
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ramsterd.client.nbd import NbdError
from tests.system.conftest import NewCluster
from tests.system.daemons import Cluster, Node, free_ports, wait_until

PAGE = 4096
FEW_DESCRIPTORS = 256
# `ulimit` sets both limits, so the daemon can't raise the one to the other.
FEW = ("sh", "-c", f'ulimit -n {FEW_DESCRIPTORS}; exec "$0" "$@"')
SOFT_ONLY = ("sh", "-c", f'ulimit -S -n {FEW_DESCRIPTORS}; exec "$0" "$@"')
# A system that starts no thread once a file is there: as CPython says it, for no limit on processes binds root.
NO_THREADS = """
import os, sys, threading
from ramsterd.cli.ramsterd import main
from ramsterd.host import threads
start = threading.Thread.start
def refuse(thread):
    if os.path.exists(sys.argv[-1] + ".full"):
        raise RuntimeError("can't start new thread")
    start(thread)
class NobodyIdle(list):
    def append(self, worker):  # the thread of the work before
        pass
threading.Thread.start = refuse
threads._idle = NobodyIdle()
main()
"""


@contextmanager
def strangers(address: Path | int, count: int) -> Iterator[list[socket.socket]]:
    """Connect and say nothing."""
    with contextlib.ExitStack() as stack:
        made = []
        for _ in range(count):
            family = socket.AF_INET if isinstance(address, int) else socket.AF_UNIX
            stranger = stack.enter_context(socket.socket(family))
            # Blocking: a Unix socket with a timeout does not wait for room in the backlog.
            where = ("127.0.0.1", address) if isinstance(address, int) else str(address)
            with contextlib.suppress(OSError):
                stranger.connect(where)
            made.append(stranger)
        yield made


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
    return text


@pytest.fixture
def port() -> int:
    return free_ports(1)[0]


@pytest.fixture
def cluster(new_cluster: NewCluster, port: int) -> Cluster:
    """Two nodes, of which the first has a metrics port."""
    cluster = new_cluster(budgets=["8MiB", "8MiB"], nbd="connections_max = 1000")
    config = cluster[1].config
    config.write_text(config.read_text() + f'[metrics]\nlisten = "127.0.0.1:{port}"\n')
    return cluster


def check_works(node: Node) -> None:
    with node.client() as client:
        client.write(0, b"x" * PAGE)
        assert client.read(0, PAGE) == b"x" * PAGE


def test_idle_clients_of_the_metrics_port_take_nothing_from_anybody(
    cluster: Cluster, port: int
) -> None:
    node = cluster[1]
    node.prefix = FEW
    cluster.start()
    with strangers(port, 2 * FEW_DESCRIPTORS):
        check_works(node)
        cluster[2].kill()
        cluster[2].start()
        cluster[2].wait_ready()
        wait_until(lambda: node.links() == {2}, "a peer that was restarted is linked")
        assert "ramster_metrics_answers_total" in scrape(port)
    assert node.status()["metrics"]["endpoint"]["displaced_connections_total"] >= 400


def test_a_burst_at_the_metrics_port_delays_no_scrape(cluster: Cluster, port: int) -> None:
    cluster.start()
    for _ in range(500):
        socket.create_connection(("127.0.0.1", port)).close()
    assert "ramster_rows" in scrape(port)
    check_works(cluster[1])


def test_nbd_clients_at_the_descriptor_limit_leave_the_rest_to_links_and_control(
    cluster: Cluster, port: int
) -> None:
    node = cluster[1]
    node.prefix = FEW
    cluster.start()
    with node.client() as early, strangers(node.nbd, 2 * FEW_DESCRIPTORS):
        wait_until(
            lambda: node.status()["nbd"]["refused_connections_total"] >= FEW_DESCRIPTORS,
            "those for whom no descriptor is left are refused",
        )
        descriptors = node.status()["descriptors"]
        assert descriptors == {
            "limit": FEW_DESCRIPTORS,
            "reserved": FEW_DESCRIPTORS // 2,
            "lowest_free": descriptors["lowest_free"],
        }
        assert FEW_DESCRIPTORS // 2 <= descriptors["lowest_free"] < FEW_DESCRIPTORS
        with pytest.raises((NbdError, OSError)):
            node.client()
        cluster[2].kill()
        cluster[2].start()
        cluster[2].wait_ready()
        wait_until(lambda: node.links() == {2}, "a peer that was restarted is linked")
        assert f"ramster_descriptors_limit {FEW_DESCRIPTORS}.0\n" in scrape(port)
        early.write(0, b"x" * PAGE)
        assert early.read(0, PAGE) == b"x" * PAGE
    wait_until(lambda: not node.status()["nbd"]["connections"], "their descriptors are free")
    check_works(node)
    refusals = node.log.count(
        "NBD client refused: all 128 file descriptors for clients are in use (of 256"
    )
    assert 1 <= refusals <= 20
    assert "nbd.connections_max, tmem.connections_max: found 1000 clients of NBD" in node.log


def test_silent_control_clients_keep_no_operator_out(cluster: Cluster) -> None:
    cluster.start()
    node = cluster[1]
    with strangers(node.control, 100):
        assert node.status()["control"]["connections"] <= 32
        assert node.ask("nodes")


def test_the_soft_limit_is_raised_to_the_hard_one(cluster: Cluster) -> None:
    node = cluster[1]
    node.prefix = SOFT_ONLY
    cluster.start()
    assert node.status()["descriptors"]["limit"] > FEW_DESCRIPTORS
    assert node.process is not None
    limits = Path(f"/proc/{node.process.pid}/limits").read_text()
    (line,) = (line for line in limits.splitlines() if line.startswith("Max open files"))
    _, soft, hard, _ = line.rsplit(maxsplit=3)
    assert soft == hard


def test_a_command_that_needs_a_thread_that_can_not_be_started_ends_no_daemon(
    cluster: Cluster,
) -> None:
    node = cluster[1]
    node.program = [sys.executable, "-c", NO_THREADS]
    cluster.start()
    check_works(node)
    node.config.with_suffix(".toml.full").touch()
    node.ask("node-cordon", name="n2")
    wait_until(lambda: node.status()["membership"]["problem"], "the problem is told")
    assert "no thread can be started" in node.status()["membership"]["problem"]
    assert json.dumps(node.ask("nodes"))
    check_works(node)
