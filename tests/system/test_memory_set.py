"""`ramsterctl memory set` on real daemons, and what it does to their resident memory."""

import json
import subprocess
import threading

import pytest

from tests.helpers.programs import RAMSTERCTL, environment, run_program
from tests.system.conftest import NewCluster
from tests.system.daemons import MIB, Cluster, Node, wait_until
from tests.system.fill import RUN_BYTES, check_runs, fill_runs


def memory_set(node: Node, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*RAMSTERCTL, "--socket", str(node.control), "memory", "set", *arguments]
    return run_program(
        command, capture_output=True, check=False, env=environment(), text=True, timeout=60
    )


def arena_bytes(node: Node) -> int:
    """Return what the kernel counts as resident of the arena's mapping."""
    assert node.process is not None
    found = 0
    with open(f"/proc/{node.process.pid}/smaps") as smaps:
        is_arena = False
        for line in smaps:
            if "-" in line.split()[0]:
                is_arena = "memfd:ramster-arena" in line
            elif is_arena and line.startswith("Rss:"):
                found += int(line.split()[1]) * 1024
    return found


@pytest.fixture
def cluster(new_cluster: NewCluster) -> Cluster:
    cluster = new_cluster(budgets=["32MiB", "64MiB"])
    cluster.start()
    return cluster


def test_a_smaller_budget_under_load_gives_memory_back(cluster: Cluster) -> None:
    node = cluster[1]
    runs = fill_runs(node, 100)  # 25 MiB
    assert arena_bytes(node) > 20 * MIB
    stop, writes = threading.Event(), 0

    def load() -> None:
        nonlocal writes
        with node.client() as client:
            while not stop.is_set():
                place = writes % 100
                client.write(place * RUN_BYTES, runs[place])
                writes += 1

    writer = threading.Thread(target=load)
    writer.start()
    try:
        wait_until(lambda: writes > 3, "writes before")
        done = memory_set(node, "--budget", "8MiB")
        before = writes
        wait_until(lambda: writes > before + 3, "writes after")
    finally:
        stop.set()
        writer.join(30)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith("the budget is 8 MiB: ")
    assert arena_bytes(node) <= 8 * MIB
    check_runs(node, runs)
    assert node.status()["engine"]["store"]["lost_pages_total"] == 0


def test_a_budget_that_nobody_can_make_true_stops_short(new_cluster: NewCluster) -> None:
    cluster = new_cluster(budgets=["32MiB"])
    cluster.start()
    node = cluster[1]
    runs = fill_runs(node, 40)
    done = memory_set(node, "--budget", "4MiB", "-o", "json")
    assert done.returncode == 1
    said = json.loads(done.stdout)
    assert said["state"] == "stopped"
    assert 10 * MIB <= said["resident_bytes"] < 0.9 * said["budget_bytes"]
    fill_runs(node, 2)  # there is room for writes
    assert "shrinking stopped at" in node.log
    text = memory_set(node, "--budget", "32MiB")
    assert (text.returncode, text.stdout[:23]) == (0, "the budget is 32 MiB: 1")
    check_runs(node, runs)


def test_nobody_has_to_wait(cluster: Cluster) -> None:
    done = memory_set(cluster[1], "--budget", "16MiB", "--no-wait", "-o", "json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["target_bytes"] == 16 * MIB


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        ("1KiB", "expected at least 2MiB"),
        ("lots", "expected a size such as"),
        ("4097KiB", "expected a multiple of 4096 bytes"),
        ("1TiB", "expected at most 128MiB"),
    ],
)
def test_a_budget_that_can_not_be_is_refused(cluster: Cluster, budget: str, expected: str) -> None:
    done = memory_set(cluster[1], "--budget", budget)
    assert done.returncode == 1
    assert done.stderr.startswith(f"ramsterctl: budget: found {budget!r}, ")
    assert expected in done.stderr
    assert cluster[1].status()["engine"]["store"]["zbud"]["budget_bytes"] == 32 * MIB


def test_verify_checks_every_zpage_and_all_tables(cluster: Cluster) -> None:
    node = cluster[1]
    fill_runs(node, 20)
    command = [*RAMSTERCTL, "--socket", str(node.control), "verify", "--invariants", "-o", "json"]
    done = run_program(
        command, capture_output=True, check=False, env=environment(), text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert said["zpages_checked"] == 20 * 64
    assert said["corrupt"] == 0
    assert said["tables"]["leaves_checked"] >= 20
    assert said["tables"]["problem"] == ""
