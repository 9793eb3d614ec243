"""`ramsterctl stop`: pages end only where that was asked for; peers drop what is forgotten, and keep what is kept."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ramsterd.client.nbd import HandshakeFailed
from tests.helpers.kept_folders import kept_folder
from tests.helpers.programs import RAMSTERCTL, environment, run_program
from tests.system.arena import marked_page
from tests.system.conftest import NewCluster
from tests.system.daemons import Cluster, Node, wait_until
from tests.system.fill import fill_marked

pytestmark = pytest.mark.slow
PAGES = 1500
PAGE_BYTES = 4096


@pytest.fixture
def memory() -> Iterator[Path]:
    with kept_folder() as folder:
        yield folder


def start(new_cluster: NewCluster, memory: Path | None) -> Cluster:
    """Two nodes; most pages of the first are at the second.  A folder may keep the memory of the first."""
    cluster = new_cluster(budgets=["2MiB", "32MiB"], export="8MiB")
    keep = "no" if memory is None else str(memory)
    config = cluster[1].config
    text = config.read_text().replace(
        "[memory]", f'[memory]\nkeep = "{keep}"\ntables_max = "64MiB"'
    )
    config.write_text(text)
    cluster.start()
    fill_marked(cluster[1], PAGES)
    return cluster


def ctl(node: Node, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_program(
        [*RAMSTERCTL, "--socket", str(node.control), *arguments],
        capture_output=True, text=True, env=environment(), timeout=60, check=False,
    )  # fmt: skip


def read_all(node: Node) -> None:
    with node.client() as client:
        for index in range(PAGES):
            assert client.read(index * PAGE_BYTES, PAGE_BYTES) == marked_page(index)


def test_pages_that_nobody_keeps_are_not_stopped_away(new_cluster: NewCluster) -> None:
    cluster = start(new_cluster, None)
    refused = ctl(cluster[1], "stop")
    assert refused.returncode == 1
    assert refused.stderr.startswith(
        "ramsterctl: nothing was stopped: node n1 still owns 1,500 pages (0 clients connected): these pages are lost when ramsterd stops."
    )
    assert refused.stderr.rstrip().endswith("type `ramsterctl stop --forget`")
    assert "\nNOT KEPT " in ctl(cluster[1], "status").stdout
    read_all(cluster[1])
    held = ctl(cluster[2], "stop")
    assert (
        "pages of other nodes end with this stop: pages without another copy are lost"
        in held.stderr
    )
    # All the same it can be restarted.
    done = ctl(cluster[1], "restart")
    assert done.returncode == 0, done.stderr
    cluster.wait_linked()
    read_all(cluster[1])


def test_a_folder_keeps_pages_over_a_stop_and_peers_keep_theirs(
    new_cluster: NewCluster, memory: Path
) -> None:
    cluster = start(new_cluster, memory)
    done = ctl(cluster[1], "stop")
    assert (done.returncode, done.stdout, done.stderr) == (0, "the daemon has stopped\n", "")
    assert cluster[1].wait_end() == 0
    wait_until(lambda: cluster[2].states()[1] == "down", "n1 is down, and has not left")
    assert cluster[2].foreign_pages() > PAGES // 2
    cluster[1].start()
    cluster[1].wait_ready()
    cluster.wait_linked()
    assert "of the last run, which ended in order, are here again" in cluster[1].log
    read_all(cluster[1])
    status = ctl(cluster[1], "status").stdout
    assert f"kept           by {memory} since " in status
    assert "outlived 1 restart\n" in status
    assert "this start took over 1,500 pages in " in status


def test_what_is_forgotten_is_gone_here_and_at_peers(new_cluster: NewCluster, memory: Path) -> None:
    cluster = start(new_cluster, memory)
    assert any(memory.iterdir())
    done = ctl(cluster[1], "stop", "--forget")
    assert (done.returncode, done.stdout) == (0, "the daemon has stopped\n")
    assert done.stderr == (
        "warning: node n1 still owns 1,500 pages (0 clients connected): these pages are lost when ramsterd stops\n"
    )
    assert cluster[1].wait_end() == 0
    assert not any(memory.iterdir())
    wait_until(lambda: not cluster[2].foreign_pages(), "n2 has dropped all pages of n1")
    assert cluster[2].states()[1] == "left"
    cluster[1].start()
    cluster[1].wait_ready()
    with pytest.raises(HandshakeFailed, match="ended with the last run of ramsterd"):
        cluster[1].client()
    cluster[1].reset_export()
    with cluster[1].client() as client:
        assert client.read(0, PAGE_BYTES) == bytes(PAGE_BYTES)
