"""Nothing is imported once a daemon is ready: a module comes from a disk, and takes memory, when there may be none."""

import sys
import urllib.request
from pathlib import Path
from typing import Final

import pytest

from ramsterd.client import Client, PoolKind
from ramsterd.client.nbd import RequestFailed
from tests.helpers.authority import Authority
from tests.helpers.programs import RAMSTERCTL, RAMSTERD, environment, run_program
from tests.system.conftest import NewCluster
from tests.system.daemons import MIB, Cluster, Node, free_ports, wait_until
from tests.system.secured import secure

# Each module that is imported is a line of standard error, beside the log.
TOLD: Final = [sys.executable, "-X", "importtime", *RAMSTERD[1:]]


def ctl(node: Node, *arguments: str) -> None:
    """Type a command; whether it succeeds matters to nobody here."""
    run_program(
        [*RAMSTERCTL, "--socket", str(node.control), *arguments],
        capture_output=True, check=False, env=environment(), timeout=60,
    )  # fmt: skip


def imported_late(log: str) -> list[str]:
    """Return what was imported after the last start was ready."""
    _, is_ready, after = log.rpartition("is ready")
    assert is_ready
    return [line.split("|")[-1].strip() for line in after.splitlines() if "import time:" in line]


@pytest.fixture
def cluster(new_cluster: NewCluster, sockets: Path, tmp_path: Path) -> Cluster:
    """Three nodes with TLS, of which the first has all endpoints."""
    cluster = new_cluster(budgets=["6MiB", "32MiB", "32MiB"], copies=2)
    secure(cluster, Authority(tmp_path / "authority"))
    return cluster


@pytest.mark.slow
def test_a_daemon_that_is_ready_imports_nothing(cluster: Cluster, sockets: Path) -> None:
    """On any of its ways: pages that leave and come back, links that end, programs, commands, scrapes, a bad file."""
    node, (port,) = cluster[1], free_ports(1)
    tmem = sockets.parent / f"{sockets.name}-tmem"
    with node.config.open("a") as config:
        config.write(f'[metrics]\nlisten = "127.0.0.1:{port}"\n[tmem]\nsocket = "{tmem}"\n')
    node.program = TOLD
    cluster.start()
    use_disk(node)
    use_pools(tmem)
    cluster[2].kill()
    wait_until(lambda: node.states()[2] == "down", "a holder is down", seconds_max=30)
    use_disk(node)
    cluster[2].start()
    cluster[2].wait_ready()
    wait_until(lambda: node.links() == {2, 3}, "it is linked again", seconds_max=30)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        assert b"ramster_protection" in answer.read()
    for command in (
        ["status"], ["nodes"], ["exports"], ["pools"], ["verify"], ["config", "reload"], ["memory", "set", "8MiB"],
        ["node", "cordon", "n2"], ["node", "uncordon", "n2"], ["export", "reset", "swap0"],
        ["export", "add", "x", "--size", "1MiB"], ["export", "resize", "x", "--size", "2MiB"], ["export", "remove", "x"],
    ):  # fmt: skip
        ctl(node, *command)
    node.config.write_text(f"{node.config.read_text()}\nnonsense")
    ctl(node, "config", "reload")
    node.wait_said("bad TOML")
    assert imported_late(node.log) == []


def use_disk(node: Node) -> None:
    """Write more than fits here, and read it."""
    page = bytes(range(256)) * 8
    with node.client() as client:
        for start in range(0, 16 * MIB, 65536):
            body = b"".join(
                start.to_bytes(8) + at.to_bytes(8) + page + bytes(2032) for at in range(16)
            )
            client.write(start, body)
        for start in range(0, 16 * MIB, 65536):
            client.read(start, 65536)
        client.trim(0, MIB)
        client.write_zeroes(MIB, MIB)
        with pytest.raises(RequestFailed):
            client.read(1 << 40, 4096)


def use_pools(socket: Path) -> None:
    """Pools of all kinds, compressed in each way."""
    with Client(socket, name="late") as client:
        for kind in PoolKind:
            for codec in ("lz4", "zstd", "none"):
                pool = client.new_pool(kind, codec=codec)
                pool.put(b"o", 0, bytes(range(256)) * 16)
                pool.get(b"o", 0, 1)
                pool.flush(b"o", 0, 1)
