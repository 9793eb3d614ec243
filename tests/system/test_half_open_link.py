"""One end of a link is reset and the RST is lost: both nodes live, and are linked again before the old link is idle."""

from pathlib import Path

import pytest

from tests.helpers.requirements import require_tool
from tests.system.arena import PAGE, marked_page
from tests.system.conftest import NewCluster
from tests.system.daemons import TIMERS, Cluster, wait_until
from tests.system.hosts import move_in
from tests.system.namespaces import Network

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]

# Far beyond every wait of these tests: no link ends by being idle.
IDLE_SECONDS = 120.0
PAGES = 4096


@pytest.fixture
def pair(hosts: Network, new_cluster: NewCluster, tmp_path: Path) -> Cluster:
    """Two nodes; most pages of the first are at the second."""
    require_tool("nft", "ss")
    budgets = ["4MiB", "40MiB"]
    cluster = new_cluster(budgets=budgets)
    timers = TIMERS | {"idle_seconds": IDLE_SECONDS}
    move_in(
        cluster, hosts, tmp_path / "pair", budgets=budgets, export="32MiB", remote="copies = 1",
        timers=timers,
    )  # fmt: skip
    cluster.start()
    with cluster[1].client() as client:
        client.write_stream(0, (marked_page(index) for index in range(PAGES)))
    return cluster


@pytest.mark.parametrize("reset", [1, 2], ids=["the accepting end", "the dialling end"])
def test_a_half_open_link_is_replaced(pair: Cluster, hosts: Network, reset: int) -> None:
    other = 3 - reset
    hosts.reset_quietly(reset, other)
    wait_until(
        lambda: "link lost" in pair[reset].log, f"{pair[reset].name} notices", seconds_max=30
    )
    wait_until(
        lambda: "link lost: replaced" in pair[other].log,
        f"{pair[other].name} gives its end up",
        seconds_max=30,
    )
    pair.wait_linked()
    with pair[1].client() as client:
        for index in range(0, PAGES, 64):
            assert client.read(index * PAGE, PAGE) == marked_page(index)
    assert pair[1].engine()["store"]["lost_pages_total"] == 0
