"""An operator at one node asks and changes others: plain links show, TLS changes, and nothing ends pages."""

import json
import signal
import subprocess
from pathlib import Path

import pytest

from ramsterd.cli.health import EXIT_STATUS
from tests.helpers.authority import Authority
from tests.helpers.programs import RAMSTERCTL, environment, run_program
from tests.system.conftest import NewCluster
from tests.system.daemons import Cluster, Node, wait_until
from tests.system.secured import secure


def ctl(node: Node, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_program(
        [*RAMSTERCTL, "--socket", str(node.control), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment(),
    )


@pytest.fixture
def plain(new_cluster: NewCluster) -> Cluster:
    cluster = new_cluster(budgets=["8MiB", "8MiB", "8MiB"])
    cluster.start()
    return cluster


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


def test_every_member_says_what_it_runs_through_one_of_them(plain: Cluster) -> None:
    told = json.loads(ctl(plain[1], "version", "-o", "json").stdout)
    assert list(told["nodes"]) == ["n1", "n2", "n3"]
    assert {each["version"] for each in told["nodes"].values()} == {told["program"]["version"]}
    found = ctl(plain[1], "status", "--node", "n3", "-o", "json")
    assert json.loads(found.stdout)["node"] == "n3"
    table = ctl(plain[1], "nodes", "--cluster").stdout.splitlines()
    assert table[0].split()[:2] == ["NODE", "NUMBER"]
    assert [line.split()[0] for line in table[1:]] == ["n1"] * 3 + ["n2"] * 3 + ["n3"] * 3


def test_on_plain_links_nobody_is_changed_and_nobody_stopped(plain: Cluster) -> None:
    done = ctl(plain[1], "memory", "set", "--budget", "9MiB", "--node", "n2")
    assert done.returncode == 1
    assert done.stderr.startswith("ramsterctl: node n2 does memory-set for no other node, because")
    done = ctl(plain[1], "--node", "n2", "stop")
    assert done.returncode == 1
    assert "type the command on the machine of n2" in done.stderr
    assert plain[2].engine()["store"]["zbud"]["budget_bytes"] == 8 << 20


def test_a_member_that_does_not_answer_is_down_for_the_health_of_the_cluster(
    plain: Cluster,
) -> None:
    plain[3].send_signal(signal.SIGSTOP)
    try:
        done = ctl(plain[1], "health", "--cluster", "-o", "json")
        assert done.returncode == EXIT_STATUS[max(EXIT_STATUS, key=lambda each: each.value)]
        worst, *others = json.loads(done.stdout)["nodes"]
        assert (worst["node"], worst["codes"][0]["code"]) == ("n3", "NODE_DOWN")
        assert {each["node"] for each in others} == {"n1", "n2"}
        done = ctl(plain[1], "pools", "--cluster")
        assert done.returncode == 1
        assert done.stderr.startswith("ramsterctl: n3: ")
    finally:
        plain[3].send_signal(signal.SIGCONT)


def test_events_of_all_members_come_by_time_and_a_stopped_one_is_named(plain: Cluster) -> None:
    done = ctl(plain[1], "events", "--cluster", "-o", "json")
    assert (done.returncode, done.stderr) == (0, "")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert {each["reported_by"] for each in found} == {"n1", "n2", "n3"}
    # The clocks are one.
    assert [each["time"] for each in found] == sorted(each["time"] for each in found)
    for name in ("n1", "n2", "n3"):
        numbers = [each["number"] for each in found if each["reported_by"] == name]
        assert numbers == [*range(1, len(numbers) + 1)]
    plain[3].kill()
    wait_until(lambda: 3 not in plain[1].links(), "n3 has no link")
    done = ctl(plain[1], "events", "--cluster", "--kind", "link_lost", "--since", "1h")
    assert done.returncode == 1
    assert done.stderr.startswith("ramsterctl: n3: node n3 has no link to node n1: ")
    head, *lines = done.stdout.splitlines()
    assert head.split()[:4] == ["TIME", "(UTC)", "NODE", "SEVERITY"]
    assert {line.split()[2] for line in lines} >= {"n1"}
    assert all("link_lost" in line for line in lines)


def test_top_shows_each_member_and_names_one_that_is_down(plain: Cluster) -> None:
    done = ctl(plain[1], "top", "--cluster", "--once")
    assert (done.returncode, done.stderr) == (0, "")
    shown = done.stdout.splitlines()
    assert shown[0].startswith("cluster test   3 members, asked through n1")
    [head] = [place for place, line in enumerate(shown) if line.startswith("MEMBER")]
    assert {line.split()[0] for line in shown[head + 1 : head + 4]} == {"n1", "n2", "n3"}
    assert len(shown) <= 24
    assert max(map(len, shown)) <= 80
    plain[3].kill()
    wait_until(lambda: 3 not in plain[1].links(), "n3 has no link")
    done = ctl(plain[1], "--cluster", "top", "--once")
    assert done.returncode == 1
    assert done.stderr.startswith("ramsterctl: n3: ")
    assert any(line.startswith("n3           silent ") for line in done.stdout.splitlines())


def test_over_tls_an_operator_at_one_node_changes_another(
    new_cluster: NewCluster, ours: Authority
) -> None:
    cluster = new_cluster(budgets=["8MiB", "8MiB"])
    secure(cluster, ours)
    cluster.start()
    done = ctl(cluster[1], "memory", "set", "--budget", "7MiB", "--node", "n2")
    assert (done.returncode, done.stderr) == (0, "")
    assert cluster[2].engine()["store"]["zbud"]["budget_bytes"] == 7 << 20
    cluster[2].wait_said("an operator at node n1 asks this node for memory-set")
    done = ctl(cluster[1], "export", "add", "disk1", "--size", "1MiB", "--node", "n2")
    assert (done.returncode, done.stdout) == (0, "export disk1 is there: 1 MiB, blank\n")
    assert '"disk1"' in cluster[2].config.read_text()
    for arguments in (["remove", "disk1"], ["resize", "disk1", "--size", "2MiB"]):
        done = ctl(cluster[1], "--node", "n2", "export", *arguments)
        assert done.returncode == 1
        assert "type the command on the machine of n2" in done.stderr
    done = ctl(cluster[1], "--node", "n2", "export", "reset", "swap0")
    assert done.returncode == 1
    assert "because pages can end with it" in done.stderr
    # Its own process is replaced, and so are its links.
    done = ctl(cluster[1], "restart", "--node", "n2")
    assert done.returncode == 0, done
    wait_until(lambda: 2 in cluster[1].links(), "linked again")
