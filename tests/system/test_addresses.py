"""Real daemons at IPv6 addresses, at names, at link-local addresses, and on the move."""

import json
import random
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.endpoint import join_endpoint
from tests.helpers.requirements import require_namespaces
from tests.system.conftest import NewCluster
from tests.system.daemons import MIB, Cluster, Node, free_ports, wait_until
from tests.system.hosts import move_in
from tests.system.membership import ctl, file_of, separate, wait_linked
from tests.system.namespaces import HARDWARE_ADDRESS, Network, ip, network


def write_addresses(cluster: Cluster, *addresses: str) -> None:
    """Give the nodes these addresses, in their order."""
    path = cluster[1].config.with_name("cluster.toml")
    head, *tables = path.read_text().split("[[node]]")
    tables = [
        table.replace('"127.0.0.1"', f'"{address}"')
        for table, address in zip(tables, addresses, strict=True)
    ]
    path.write_text("[[node]]".join([head, *tables]))


def write_pages(node: Node, count_mib: int = 16) -> list[bytes]:
    """Write more than the node has room for, so that pages leave."""
    runs = [random.Random(place).randbytes(MIB) for place in range(count_mib)]
    with node.client() as client:
        for place, run in enumerate(runs):
            client.write(place * MIB, run)
    wait_until(lambda: node.engine()["remote"], "pages are at peers")
    return runs


def read_pages(node: Node, runs: list[bytes]) -> bool:
    with node.client() as client:
        return all(client.read(place * MIB, MIB) == run for place, run in enumerate(runs))


def wait_up(cluster: Cluster) -> None:
    """Wait until each hears the heartbeats of each."""
    for node in cluster:
        wait_until(
            lambda node=node: set(node.states().values()) == {"up"},  # type: ignore[misc]  # can't infer
            f"{node.name} hears all others",
        )


def addresses(node: Node) -> Any:
    return node.status()["addresses"]


@pytest.mark.parametrize("hosts", [("::1",) * 3, ("localhost", "LocalHost.", "localhost")])
def test_nodes_at_ipv6_addresses_and_at_names_share_their_memory(
    new_cluster: NewCluster, hosts: tuple[str, ...]
) -> None:
    cluster = new_cluster(budgets=["4MiB", "32MiB", "32MiB"])
    write_addresses(cluster, *hosts)
    cluster.start()
    wait_up(cluster)
    assert read_pages(cluster[1], write_pages(cluster[1]))
    assert cluster[1].pages_at(2) or cluster[1].pages_at(3)
    now = addresses(cluster[2])
    found = {row["host"]: row["addresses"] for row in now["names"]}
    assert set(found) == {host for host in hosts if host != "::1"}
    listens_at = [join_endpoint(each, cluster[2].port) for each in found.get(hosts[1], ["::1"])]
    assert now["listens_at"] == listens_at
    heartbeat = cluster[1].status()["heartbeat"]
    dropped = heartbeat["dropped_datagrams_total"]
    # A peer may be the quicker one to look names up.
    assert {reason for reason, count in dropped.items() if count} <= {"unresolved_source"}
    assert join_endpoint(hosts[0], cluster[1].port) in ctl(cluster[3], "nodes")


def test_a_name_that_nobody_knows_is_like_a_node_that_is_away(new_cluster: NewCluster) -> None:
    cluster = new_cluster(budgets=["8MiB", "8MiB", "8MiB"], more="")
    write_addresses(cluster, "127.0.0.1", "127.0.0.1", "nobody.invalid")
    path = cluster[1].config.with_name("cluster.toml")
    path.write_text("insecure_plaintext = true\n" + path.read_text())
    for number in (1, 2):
        cluster[number].start()
    for number in (1, 2):
        cluster[number].wait_ready()
    wait_linked(cluster, [1, 2])
    cluster[1].wait_said("the name nobody.invalid has no address here")
    wait_until(lambda: cluster[1].states() == {1: "up", 2: "up", 3: "down"}, "n3 is down")
    assert "ADDRESS" in ctl(cluster[1], "status")
    # It can't even start itself; a start may find a name server that answers, so it is tried again.
    cluster[3].start()
    assert cluster[3].wait_end() == 1
    assert "can't serve links and heartbeat at nobody.invalid:" in cluster[3].log
    assert "`getent ahosts nobody.invalid` shows what this machine finds" in cluster[3].log


@pytest.mark.parametrize("moved", [1, 3], ids=["it is dialled", "it dials"])
def test_a_member_that_is_moved_listens_anew_and_all_pages_stay(
    new_cluster: NewCluster, moved: int
) -> None:
    cluster = new_cluster(budgets=["4MiB", "32MiB", "32MiB"])
    separate(cluster, 3)
    cluster.start()
    wait_up(cluster)
    runs = write_pages(cluster[1])
    (port,) = free_ports(1)
    node, old_port = cluster[moved], cluster[moved].port
    said = ctl(
        cluster[2], "node", "set", f"n{moved}", "--address", "127.0.0.2", "--port", str(port)
    )
    assert said.startswith(f"node n{moved} ({moved}) at 127.0.0.2:{port} is moved\n")
    wait_until(
        lambda: addresses(node)["listens_at"] == [f"127.0.0.2:{port}"],
        "it listens at its new place",
    )
    assert read_pages(cluster[1], runs)
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(type=kind) as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind(("127.0.0.1", old_port))
    if moved == 1:  # else it dials them, from wherever it is
        for other in (2, 3):
            cluster[other].wait_said(f"node n1 has moved to 127.0.0.2:{port}: it is dialled there")
    cluster.wait_linked()
    wait_up(cluster)
    assert cluster[1].engine()["store"]["lost_pages_total"] == 0
    for each in cluster:
        wait_until(lambda: f"port = {port}" in file_of(each).read_text(), "written")  # noqa: B023  called at once
    # It says so itself, to a check of the next start, and to a second one who looks.
    again = json.loads(
        ctl(cluster[2], "node", "set", f"n{moved}", "--port", str(port), "-o", "json")
    )
    assert (again["is_changed"], again["warnings"]) == (False, [])
    assert read_pages(cluster[1], runs)


def test_a_node_that_was_moved_starts_at_its_new_place(new_cluster: NewCluster) -> None:
    cluster = new_cluster(budgets=["8MiB", "8MiB"])
    separate(cluster, 2)
    cluster.start()
    (port,) = free_ports(1)
    ctl(cluster[1], "node", "set", "n1", "--port", str(port))
    wait_until(lambda: f"port = {port}" in file_of(cluster[1]).read_text(), "written")
    cluster[1].stop()
    cluster[1].start()
    cluster[1].wait_ready()
    cluster.wait_linked()
    assert addresses(cluster[1])["listens_at"] == [f"127.0.0.1:{port}"]


class LinkLocal(Network):
    """Hosts that know each other by link-local addresses alone."""

    def address(self, host: int) -> str:
        return f"fe80::ff:fe00:{host:x}"

    def _add(self, host: int) -> None:
        name, port = self._name(host), f"port{host}"
        ip("netns", "add", name)
        ip(
            "-n", self._switch, "link", "add", port, "type", "veth",
            "peer", "eth0", "address", HARDWARE_ADDRESS.format(host), "netns", name,
        )  # fmt: skip
        ip("-n", self._switch, "link", "set", port, "master", "bridge0", "up")
        ip("-n", name, "link", "set", "lo", "up")
        ip("-n", name, "link", "set", "eth0", "addrgenmode", "none", "up")
        address = f"{self.address(host)}/64"
        ip("-n", name, "address", "add", address, "dev", "eth0", "nodad")


@pytest.fixture
def link() -> Iterator[LinkLocal]:
    require_namespaces()
    with network(2, LinkLocal) as made:
        assert isinstance(made, LinkLocal)
        yield made


@pytest.mark.root
def test_nodes_on_one_cable_need_no_address_but_the_link_local_one(
    link: LinkLocal, new_cluster: NewCluster, tmp_path: Path
) -> None:
    """With TLS and the key of heartbeats, as `cluster init` sets it up."""
    budgets = ["4MiB", "32MiB"]
    cluster = new_cluster(budgets=budgets)
    where = "[{}%eth0]".format
    move_in(
        cluster, link, tmp_path / "rack", budgets=budgets, export="32MiB",
        address=lambda host: where(link.address(host)),
    )  # fmt: skip
    cluster.start()
    wait_up(cluster)
    assert read_pages(cluster[1], write_pages(cluster[1]))
    assert addresses(cluster[1])["listens_at"] == ["[fe80::ff:fe00:1%eth0]:7700"]
    assert "[fe80::ff:fe00:2%eth0]:7700" in ctl(cluster[1], "nodes")


@pytest.mark.root
@pytest.mark.timeout(180)
def test_an_address_that_comes_later_is_taken_when_it_is_there(
    hosts: Network, new_cluster: NewCluster, tmp_path: Path
) -> None:
    """First the command, then the network; and before that a command with a mistyped address."""
    budgets = ["4MiB", "32MiB", "32MiB"]
    cluster = new_cluster(budgets=budgets)
    move_in(cluster, hosts, tmp_path / "rack", budgets=budgets, export="32MiB")
    cluster.start()
    wait_up(cluster)
    runs = write_pages(cluster[1])
    for wrong in ("192.0.2.77", "192.0.2.78"):
        ctl(cluster[2], "node", "set", "n1", "--address", wrong)
        wait_until(lambda: wrong in addresses(cluster[1])["problem"], "it can't listen there")  # noqa: B023  called at once
    wait_until(
        lambda: "LINK_DOWN" in json.dumps(cluster[1].status()["health"]),
        "health says that it is not where the others look for it",
    )
    assert read_pages(cluster[1], runs)
    assert cluster[2].links() == {1, 3}
    ctl(cluster[2], "node", "set", "n1", "--address", "192.0.2.101")
    ip("-n", hosts.ends(1)[0][0], "address", "add", "192.0.2.101/24", "dev", "eth0")
    wait_until(
        lambda: addresses(cluster[1])["listens_at"] == ["192.0.2.101:7700"],
        "it listens at its new address", seconds_max=20.0,
    )  # fmt: skip
    for node in cluster:
        wait_until(lambda: not node.status()["listener"]["outdated_links"], "links are there")  # noqa: B023  called at once
    promote = "net.ipv4.conf.all.promote_secondaries=1"
    subprocess.run([*hosts.inside(1), "sysctl", "-q", "-w", promote], check=True)
    ip("-n", hosts.ends(1)[0][0], "address", "delete", hosts.address(1) + "/24", "dev", "eth0")
    cluster.wait_linked()
    wait_up(cluster)
    assert read_pages(cluster[1], runs)
    assert cluster[1].engine()["store"]["lost_pages_total"] == 0
