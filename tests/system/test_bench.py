"""`ramsterctl bench` with real daemons, links and a real disk, for tenths of a second."""

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ramsterd.admin.bench import POLL_SECONDS_MAX
from ramsterd.cli.bench_disk import CannotMeasure, open_unnamed
from tests.helpers.programs import RAMSTERCTL, Program, environment, heed_interrupts
from tests.system.conftest import NewCluster
from tests.system.daemons import Cluster, Node, wait_until
from tests.system.membership import ctl

SHORT = ("--seconds", "0.2", "--bytes", "1MiB")
LONG = ("--seconds", "60", "--bytes", "1MiB")


def begin(node: Node, *arguments: str) -> "subprocess.Popen[str]":
    """Start a benchmark; return it once pages are at a peer."""
    return Program(
        [*RAMSTERCTL, "--socket", str(node.control), "bench", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), text=True,
        preexec_fn=heed_interrupts,
    )  # fmt: skip


def wait_for_pages(cluster: Cluster, *, are_there: bool) -> None:
    seconds_max = POLL_SECONDS_MAX + 20
    wait_until(
        lambda: bool(cluster[2].foreign_pages()) is are_there,
        f"pages of the benchmark are there: {are_there}",
        seconds_max=seconds_max,
    )


@pytest.fixture
def pair(new_cluster: NewCluster) -> Cluster:
    cluster = new_cluster(budgets=["32MiB", "32MiB"])
    cluster.start()
    return cluster


def test_all_is_measured_and_nothing_stays(pair: Cluster, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    arguments = [*SHORT, "-o", "json"]
    try:
        with open_unnamed(disk):
            arguments += ["--path", str(disk)]
    except CannotMeasure:
        pass  # the rest is measured where there is no disk
    page = b"kept" * 1024
    with pair[1].client() as client:
        client.write(0, page)
        found: Any = json.loads(ctl(pair[1], "bench", *arguments))
        assert client.read(0, len(page)) == page
    rows = {(row["kind"], row["target"], row["operation"]): row for row in found["rows"]}
    for operation in ("write", "read"):
        for target in (("local", "n1"), ("peer", "n2")):
            row = rows[*target, operation]
            assert row["problem"] == ""
            assert 0 < row["p50_seconds"] <= row["p99_seconds"] <= row["max_seconds"]
            assert row["pages_per_second"] > 0
    assert rows["socket", "socket", "read"]["p50_seconds"] > 0
    if "--path" in arguments:
        assert rows["path", str(disk), "read"]["p50_seconds"] > 0
        assert found["verdict"]["times_as_fast"] > 0
    assert not list(disk.iterdir())
    wait_for_pages(pair, are_there=False)
    assert pair[1].engine()["store"]["zpages"]["own_ephemeral"] == 0
    wait_until(lambda: "the benchmark is over" in pair[1].log, "said")


def test_the_table_ends_with_one_sentence(pair: Cluster) -> None:
    lines = ctl(pair[1], "bench", *SHORT).splitlines()
    assert lines[0].startswith("TARGET")
    assert [line.split()[0] for line in lines[1:6]] == ["n1", "n1", "n2", "n2", "a"]
    assert lines[-1] == "no verdict: name a folder on this machine's disk with --path"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_command_that_is_ended_leaves_nothing(pair: Cluster, number: signal.Signals) -> None:
    """With Ctrl-C it says so; killed, it is missed after a while."""
    # The local rows come first, and are not waited for here.
    pair[1].ask("bench-begin", ratio=0.5, seconds=0.2, bytes=1 << 20)
    wait_until(lambda: not pair[1].ask("bench")["is_running"], "the first one is over")
    bench = begin(pair[1], "--seconds", "1", "--bytes", "1MiB")
    wait_for_pages(pair, are_there=True)
    bench.send_signal(number)
    _, errors = bench.communicate(timeout=30)
    if number is signal.SIGINT:
        assert bench.returncode == 130
        assert "nothing of it stays" in errors
    wait_for_pages(pair, are_there=False)
    wait_until(lambda: not pair[1].ask("bench")["is_running"], "it is over", seconds_max=20)


def test_a_node_without_room_refuses(new_cluster: NewCluster) -> None:
    cluster = new_cluster(budgets=["4MiB"])
    cluster[1].start()
    cluster[1].wait_ready()
    error = ctl(cluster[1], "bench", *LONG, status=1)
    assert (
        "bytes: found 1048576, expected at most 512KiB (an eighth of the budget here is 512KiB)"
        in error
    )
