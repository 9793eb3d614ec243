"""The doctor among real daemons: all is well, then one thing after the other is not."""

import sys

import pytest

from tests.system.conftest import NewCluster
from tests.system.daemons import Cluster, Node, wait_until
from tests.system.doctors import doctor, not_ok

AROUND = (
    "ports", "links", "heartbeats", "path-mtu", "cluster", "clocks", "versions", "cluster-file",
    "members", "certificate", "program",
)  # fmt: skip
HOUR = 3600
# Two answers, ten seconds apart at most, on a machine that has other things to do.
SKEW_SECONDS_MAX = 60.0


def wait_linked(cluster: Cluster) -> None:
    numbers = {node.number for node in cluster}
    for node in cluster:
        wait_until(
            lambda node=node: node.links() == numbers - {node.number},  # type: ignore[misc]
            f"{node.name} is linked", seconds_max=30.0,
        )  # fmt: skip


def changed_before_start(change: str) -> list[str]:
    """Return a daemon that differs in something that it says of itself."""
    start = f"{change}\nfrom ramsterd.cli.ramsterd import main\nmain()"
    return [sys.executable, "-c", start]


def with_clock(seconds: int) -> list[str]:
    """Return a daemon whose clock is so much ahead."""
    return changed_before_start(
        f"import time\nreal = time.time\ntime.time = lambda: real() + {seconds}"
    )


def codes(node: Node) -> set[str]:
    return {each["code"] for each in node.ask("health")["codes"]}


def test_each_check_says_what_is_so(new_cluster: NewCluster) -> None:
    cluster = new_cluster(budgets=["8MiB"] * 3)
    first, last = cluster[1], cluster[3]
    before = doctor(first)
    assert before["ports"]["found"].startswith("free for a start: ")
    assert before["links"]["found"].startswith("connection refused by n2 (127.0.0.1 port")
    assert "once ramsterd runs" in before["cluster"]["found"]
    cluster.start()
    wait_linked(cluster)
    for node in cluster:
        checks = doctor(node)
        assert not_ok(checks, *AROUND) == [], checks
        assert checks["members"]["found"].startswith("2 other nodes with the same members")

    members = first.config.with_name("cluster.toml")
    text = members.read_text()
    members.write_text(text.replace('name = "n3"', 'name = "n3"\nzone = "rack7"'))
    edited = doctor(first)
    assert edited["cluster-file"]["found"].endswith("zone of n3 (3) is 'rack7', was ''")
    assert not_ok(edited, *AROUND) == ["cluster-file"]
    members.write_text(text)

    last.stop()
    wait_until(lambda: 3 not in first.links(), "the link is gone", seconds_max=30.0)
    stopped = doctor(first)
    assert stopped["links"]["found"].startswith("connection refused by n3 (127.0.0.1 port")
    assert stopped["links"]["fix"] == "on n3: systemctl start ramsterd"
    assert stopped["cluster"]["found"] == "no answer of n3"
    assert not_ok(stopped, *AROUND) == ["links", "cluster"]


@pytest.mark.timeout(180)
def test_clocks_and_versions_that_differ_are_told_at_both_ends(new_cluster: NewCluster) -> None:
    cluster = new_cluster(budgets=["8MiB"] * 3)
    cluster[2].program = with_clock(HOUR)
    cluster[3].program = changed_before_start('import ramsterd\nramsterd.__version__ = "9.9.9"')
    cluster.start()
    wait_linked(cluster)
    checks = doctor(cluster[1])
    assert not_ok(checks, *AROUND) == ["clocks", "versions"]
    assert checks["clocks"]["found"].startswith("n2: its clock is 3,")
    assert checks["clocks"]["fix"] == "on node n2: timedatectl set-ntp true"
    assert checks["versions"]["found"] == "n3 of version 9.9.9"
    assert "program" in not_ok(doctor(cluster[3]), *AROUND)
    for node in (cluster[1], cluster[2]):
        wait_until(
            lambda node=node: "CLOCK_SKEW" in codes(node),  # type: ignore[misc]
            "health says it, too", seconds_max=SKEW_SECONDS_MAX,
        )  # fmt: skip
    reports = cluster[1].status()["peer_reports"]
    assert reports["n3"]["version"] == "9.9.9"
    assert abs(reports["n2"]["clock_skew_seconds"] - HOUR) < 60
