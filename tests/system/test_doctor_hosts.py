"""The doctor on hosts of their own: what a firewall blocks in one direction is named with its side, port and protocol."""

import subprocess
from collections.abc import Callable

import pytest

from tests.helpers.requirements import require_tool
from tests.system.conftest import NewCluster
from tests.system.daemons import Cluster, Node, wait_until
from tests.system.doctors import Checks, doctor, not_ok
from tests.system.namespaces import Network, ip

pytestmark = [pytest.mark.root, pytest.mark.timeout(400)]

PORT = 7700
# A doctor takes seconds, and what it is about is given up after ten.
FOUND_SECONDS_MAX = 120.0
AROUND = ("ports", "links", "heartbeats", "path-mtu", "cluster", "clocks", "versions", "cluster-file", "members", "certificate")  # fmt: skip


def nft(node: Node, *commands: str) -> None:
    for command in commands:
        subprocess.run([*node.prefix, "nft", *command.split()], check=True)


def drop(node: Node, source: str, protocol: str) -> None:
    """Have the host of a node drop what comes from another one to the port of ramster."""
    nft(
        node,
        "add table inet blocked",
        "add chain inet blocked in { type filter hook input priority 0; }",
        f"add rule inet blocked in ip saddr {source} {protocol} dport {PORT} drop",
    )


def pass_all(node: Node) -> None:
    nft(node, "delete table inet blocked")


def wait_said(node: Node, check: str, words: str) -> Checks:
    """Ask until the line of a check has these words."""
    found: Checks = {}

    def is_said() -> bool:
        nonlocal found
        found = doctor(node)
        return words in str(found[check]["found"])

    wait_until(is_said, f"{node.name}: {check}: {words}", seconds_max=FOUND_SECONDS_MAX)
    return found


def until_linked(cluster: Cluster) -> Callable[[], bool]:
    return lambda: cluster[1].links() == {2} and cluster[2].links() == {1}


def test_what_is_blocked_one_way_is_told_at_both_ends(new_rack: NewCluster, hosts: Network) -> None:
    require_tool("nft")
    cluster = new_rack(budgets=["8MiB"] * 2, export="4MiB")
    first, second = cluster[1], cluster[2]
    before = doctor(second)
    assert before["ports"]["state"] == "ok"
    assert before["certificate"]["state"] == "ok"
    assert before["links"]["found"].startswith(f"connection refused by n1 ({hosts.address(1)}")
    hosts.cut(1)
    away = doctor(second)
    assert "n1" in away["links"]["found"]
    assert "refused" not in away["links"]["found"]
    hosts.heal(1)

    cluster.start()
    wait_until(until_linked(cluster), "both are linked", seconds_max=30.0)
    for node in cluster:
        checks = doctor(node)
        assert not_ok(checks, *AROUND) == [], checks

    # The link keeps both alive: nobody else notices.
    drop(first, hosts.address(2), "udp")
    here = wait_said(first, "heartbeats", "no heartbeat of n2 by UDP")
    assert here["heartbeats"]["fix"].startswith(
        f"here: nft insert rule inet filter input ip saddr {hosts.address(2)} udp dport {PORT} accept"
    )
    there = wait_said(second, "heartbeats", "no heartbeat of this node at n1 by UDP")
    assert there["heartbeats"]["fix"].startswith(
        f"on n1: nft insert rule inet filter input ip saddr {hosts.address(2)} udp dport {PORT} accept"
    )
    assert not_ok(there, *AROUND) == ["heartbeats"]
    assert first.states()[2] == "up"
    pass_all(first)

    # Node 2 connects to node 1.
    drop(first, hosts.address(2), "tcp")
    wait_until(lambda: 1 not in second.links(), "the link ends", seconds_max=60.0)
    there = wait_said(second, "links", "no answer by TCP from n1")
    assert there["links"]["fix"].startswith(
        f"on n1: nft insert rule inet filter input ip saddr {hosts.address(2)} tcp dport {PORT} accept"
    )
    here = wait_said(first, "links", "of n2 answers, and no connection came from there")
    assert here["links"]["fix"].startswith(
        f"here: nft insert rule inet filter input ip saddr {hosts.address(2)} tcp dport {PORT} accept"
    )
    pass_all(first)
    wait_until(until_linked(cluster), "both are linked again", seconds_max=60.0)

    # A switch that takes less than the hosts think drops what is larger, and tells nobody.
    _, (switch, port) = hosts.ends(1)
    ip("-n", switch, "link", "set", port, "mtu", "1300")
    cut = doctor(second)
    assert cut["path-mtu"]["found"] == (
        "packets of 1,500 bytes to n1 vanish on the way, and small ones arrive"
    )
