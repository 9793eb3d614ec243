"""A daemon whose standard error nobody reads, and signals at awkward moments."""

import contextlib
import fcntl
import json
import math
import os
import random
import re
import select
import signal
import socket
import subprocess
from collections.abc import Iterator

import pytest

from ramsterd.admin.socket import LINE_BYTES_MAX
from ramsterd.client.nbd import RequestFailed
from ramsterd.host.logs.limiter import LINES_MAX
from ramsterd.host.signals import USELESS
from tests.helpers.programs import RAMSTERD, Program, environment
from tests.system.conftest import NewCluster
from tests.system.daemons import Node, free_ports, wait_until
from tests.system.membership import ctl

# The smallest pipe of Linux: a page.
PIPE_BYTES = 4096
PAGES = 2048


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
    node.process = Program(
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
    assert not select.select([], [unread[1]], [], 0)[1], "the pipe is full"
    log = node.status()["log"]
    assert log["queued_bytes"] > 0
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
    assert node.log.index("is ready") < node.log.index("SIGHUP")


def count(node: Node, text: str) -> int:
    return sum(text in line for line in node.log.splitlines())


def test_the_first_and_the_last_line_say_what_ran(new_cluster: NewCluster) -> None:
    cluster = new_cluster(budgets=["4MiB"])
    cluster.start()
    node = cluster[1]
    node.stop()
    first, *_, last = node.log.splitlines()
    assert "starts as node n1 (1) of cluster test with 1 nodes" in first
    assert f"links and heartbeat at 127.0.0.1:{node.port}; NBD at {node.nbd}" in first
    assert "budget 4 MiB" in first
    assert "node n1 has stopped; it ran for " in last
    assert count(node, "node n1 stops: it received SIGTERM") == 1


def test_an_operator_changes_a_level_in_the_running_daemon(new_cluster: NewCluster) -> None:
    node = new_cluster(budgets=["4MiB"])[1]
    node.start()
    node.wait_ready()
    with node.client():
        pass
    assert count(node, "NBD client 1 connected") == 0
    shown = ctl(node, "log-level", "nbd", "debug", "--for", "10m")
    assert ["nbd", "debug", "info", "for", "10m", "more"] in [
        line.split() for line in shown.splitlines()
    ]
    with node.client():
        pass
    wait_until(lambda: count(node, "NBD client 2 connected") == 1, "it is said now")
    ctl(node, "log-level", "--reset")
    with node.client():
        pass
    node.stop()
    assert count(node, "NBD client 3 connected") == 0
    assert count(node, "an operator changes the log level of subsystem nbd to debug for 600 s") == 1
    assert count(node, "an operator resets the log level of all subsystems") == 1


def test_each_line_is_an_object_where_json_is_asked_for(new_cluster: NewCluster) -> None:
    node = new_cluster(budgets=["4MiB"], more='[log]\nformat = "json"')[1]
    node.start()
    node.wait_ready()
    connect_and_send_garbage(node)
    node.stop()
    lines = [json.loads(line) for line in node.log.splitlines()]
    assert {line["level"] for line in lines} <= {"info", "warning"}
    assert any(line["subsystem"] == "nbd" for line in lines)
    assert lines[-1]["message"].startswith("node n1 has stopped; it ran for ")


def test_clients_without_manners_cost_few_lines(new_cluster: NewCluster) -> None:
    (port,) = free_ports(1)
    more = f'[tmem]\nsocket = "tmem"\n[metrics]\nlisten = "127.0.0.1:{port}"'
    cluster = new_cluster(budgets=["4MiB"], more=more)
    cluster.start()
    node = cluster[1]
    for _ in range(3 * LINES_MAX):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(node.nbd))
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(node.config.parent / "tmem"))
            client.sendall(b"\xff" * 64)
            # One that is gone before it was read is no news: this one stays until it is judged.
            client.settimeout(30)
            while client.recv(4096):
                pass
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(node.control))
            client.sendall(b"\xff" * 64)
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"\xff\r\n\r\n")
    node.wait_ready()
    for name in ("nbd", "tmem"):
        wait_until(
            lambda name=name: node.status()[name]["accepted_connections_total"] >= 3 * LINES_MAX,  # type: ignore[misc]  # can't infer
            "all came",
        )
        wait_until(lambda name=name: not node.status()[name]["connections"], "all left")  # type: ignore[misc]  # can't infer
    node.stop()
    assert count(node, "ramster.nbd: NBD client") == LINES_MAX
    assert count(node, "ramster.nbd: left out") == 1
    assert count(node, "ramster.tmem: tmem client") == LINES_MAX
    assert count(node, "ramster.tmem: left out") == 1
    assert len(node.log.splitlines()) < 4 * LINES_MAX


def test_strangers_cost_few_lines(new_cluster: NewCluster) -> None:
    """Garbage at the port of links, by TCP and UDP, and lines without an end at the control socket."""
    node = new_cluster(budgets=["4MiB", "4MiB"])[1]
    node.start()
    node.wait_ready()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        for _ in range(3 * LINES_MAX):
            datagrams.sendto(b"\xff" * 64, ("127.0.0.1", node.port))
            with socket.create_connection(("127.0.0.1", node.port)) as client:
                client.sendall(b"\xff" * 64)
                client.settimeout(30)
                with contextlib.suppress(ConnectionError):
                    while client.recv(4096):
                        pass
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(node.control))
                client.settimeout(30)
                with contextlib.suppress(ConnectionError):
                    client.sendall(b"x" * 2 * LINE_BYTES_MAX)
                    while client.recv(4096):
                        pass
    wait_until(
        lambda: node.status()["listener"]["failed_connections_total"] >= 3 * LINES_MAX, "all failed"
    )
    node.stop()
    for text in ("connection from 127.0.0.1", "a client of the control socket sent a line of more"):
        said = [line for line in node.log.splitlines() if text in line]
        assert len(said) == LINES_MAX + 1
        assert f"left out {2 * LINES_MAX} lines like this" in said[-1]
    assert 1 <= count(node, "heartbeat dropped") <= math.log2(3 * LINES_MAX) + 1
    assert len(node.log.splitlines()) < 3 * LINES_MAX


def test_pages_that_are_lost_are_said(new_cluster: NewCluster) -> None:
    """Their only holder is killed and starts again: nobody has them, and their readers are told."""
    cluster = new_cluster(budgets=["2MiB", "32MiB"])
    cluster.start()
    owner, holder = cluster[1], cluster[2]
    pages = random.Random(0).randbytes(PAGES * 4096)
    with owner.client() as client:
        for offset in range(0, len(pages), 1 << 17):
            client.write(offset, pages[offset : offset + (1 << 17)])
        holder.kill()
        holder.start()
        holder.wait_ready()
        wait_until(lambda: "pages are lost with their last copy" in owner.log, "the loss is said")
        failed = 0
        for offset in range(0, len(pages), 4096):
            try:
                client.read(offset, 4096)
            except RequestFailed:
                failed += 1
    assert failed > 100
    wait_until(lambda: "NBD requests answered with EIO: " in owner.log, "errors are said")
    owner.stop()
    lines = [line for line in owner.log.splitlines() if " ERROR " in line]
    told = [int(n) for line in lines for n in re.findall(r"answered with EIO: (\d+)", line)]
    assert sum(told) == failed
    assert len(lines) <= 6
    assert count(owner, " UTC without the pages that it held: ") == 1
