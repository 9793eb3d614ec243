"""Two copies on real daemons: a holder is killed, and replicated flushes wait for peers."""

import random

from tests.system.conftest import NewCluster
from tests.system.daemons import Cluster, Node, wait_until
from tests.system.fill import check_runs, fill_runs

RUNS = 60
DURABLE = '[[export]]\nname = "durable"\nsize = "8MiB"\ndurability = "replicated"\n'


def rebuild(node: Node) -> int:
    return int(node.status()["engine"]["rebuild"]["pages_at_risk"])


def four(new_cluster: NewCluster) -> Cluster:
    cluster = new_cluster(budgets=["4MiB", "24MiB", "24MiB", "24MiB"], copies=2, more=DURABLE)
    cluster.start()
    return cluster


def test_a_killed_holder_costs_no_page(new_cluster: NewCluster) -> None:
    cluster = four(new_cluster)
    node = cluster[1]
    runs = fill_runs(node, RUNS)
    cluster[2].kill()
    check_runs(node, runs)
    wait_until(lambda: "node n2 is down" in node.log, "node 2 is down", seconds_max=20)
    wait_until(lambda: rebuild(node) == 0, "no page at risk", seconds_max=40)
    cluster[3].kill()
    check_runs(node, runs)
    assert node.status()["engine"]["store"]["lost_pages_total"] == 0


def test_a_flush_of_a_replicated_export_waits_for_peers(new_cluster: NewCluster) -> None:
    cluster = four(new_cluster)
    node = cluster[1]
    page = random.Random(0).randbytes(4096)
    with node.client("durable") as client:
        client.write(0, page * 16)
        assert not any(cluster[n].foreign_pages() for n in (2, 3, 4))
        client.nbd_flush()
        assert sum(cluster[n].foreign_pages() for n in (2, 3, 4)) == 2 * 16


def test_one_of_three_down_refuses_no_write(new_cluster: NewCluster) -> None:
    """What leaves has one copy and is at risk, until the third is back."""
    cluster = new_cluster(budgets=["4MiB", "24MiB", "24MiB"], copies=2)
    cluster.start()
    node = cluster[1]
    cluster[3].kill()
    runs = fill_runs(node, RUNS)
    assert rebuild(node) > 2000
    assert node.status()["pager"]["refused_puts_total"] == 0
    check_runs(node, runs)
    cluster[3].start()
    wait_until(lambda: rebuild(node) == 0, "no page at risk", seconds_max=40)
    wait_until(lambda: cluster[3].foreign_pages() > 2000, "each page has two copies")
    check_runs(node, runs)
    assert node.status()["engine"]["store"]["lost_pages_total"] == 0
