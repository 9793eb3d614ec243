"""`ramsterctl node` at a node whose cluster.toml can't be written: said on standard error, with exit status 1."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helpers.programs import RAMSTERCTL, environment, run_program
from tests.helpers.requirements import require_mounts
from tests.system.conftest import NewCluster
from tests.system.daemons import Cluster, Node, wait_until

# The daemon's own view of the file system: nothing to unmount, whatever happens.
ONE_FILE = 'mount --bind "$0" "$0"; exec "$@"'
FULL_DISK = """\
cp "$0/cluster.toml" "$0/../kept.toml"
mount -t tmpfs -o size=8k none "$0"
cp "$0/../kept.toml" "$0/cluster.toml"
dd if=/dev/zero of="$0/full" bs=4k 2>/dev/null
exec "$@"
"""


def ctl(node: Node, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_program(
        [*RAMSTERCTL, "--socket", str(node.control), *arguments],
        capture_output=True, check=False, env=environment(), text=True, timeout=30,
    )  # fmt: skip


def two_nodes(new_cluster: NewCluster) -> tuple[Cluster, Node, Path]:
    """Return a cluster whose first node has a cluster file in a folder of its own."""
    require_mounts()
    cluster = new_cluster(budgets=["8MiB", "8MiB"])
    folder = cluster[1].config.parent / "etc"
    folder.mkdir()
    shutil.copy(cluster[1].config.parent / "cluster.toml", folder)
    config = cluster[1].config.read_text()
    cluster[1].config.write_text(config.replace("cluster.toml", "etc/cluster.toml"))
    return cluster, cluster[1], folder


def start_in(cluster: Cluster, node: Node, script: str, path: Path) -> None:
    node.prefix = ("unshare", "-m", "sh", "-c", script, str(path))
    cluster.start()


def test_a_change_on_a_full_disk_is_said_to_be_unwritten(new_cluster: NewCluster) -> None:
    cluster, node, folder = two_nodes(new_cluster)
    start_in(cluster, node, FULL_DISK, folder)
    done = ctl(node, "node", "cordon", "n2")
    assert done.returncode == 1
    assert "node n2 (2) at" in done.stdout
    assert "is cordoned" in done.stdout
    assert done.stderr == (
        "ramsterctl: the change is in force, but cluster.toml of this node does not have it:"
        f" {folder}/cluster.toml: found no space left on device, expected a file that can be replaced in its folder;"
        " remove the cause, then run `ramsterctl config reload` or repeat the command\n"
    )
    wait_until(lambda: cluster[2].ask("nodes")[1]["config"]["cordoned"], "the other one knows")
    # To say it again is to try again.
    again = ctl(node, "node", "cordon", "n2")
    assert again.returncode == 1
    assert "is cordoned already" in again.stdout
    assert "no space left on device" in again.stderr
    assert ctl(cluster[2], "node", "cordon", "n2").returncode == 0, "that one has room"


def test_a_file_that_is_a_mount_of_its_own_is_refused_before_anything_changes(
    new_cluster: NewCluster,
) -> None:
    cluster, node, folder = two_nodes(new_cluster)
    start_in(cluster, node, ONE_FILE, folder / "cluster.toml")
    done = ctl(node, "node", "cordon", "n2")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"ramsterctl: {folder}/cluster.toml: found a mount of one file, expected a file that can be replaced in its"
        " folder: mount the whole folder instead\n"
    )
    assert not node.ask("nodes")[1]["config"]["cordoned"]
    assert f"{folder}/cluster.toml: found {folder}/cluster.toml, a mount of one file" in node.log


LAST_HOLDER = (
    "warning: only node n1 will hold pages of others: pages of n1 can go to no other node\n"
)


@pytest.mark.parametrize("command", ["cordon", "uncordon", "drain"])
def test_to_say_it_twice_is_no_error(new_cluster: NewCluster, command: str) -> None:
    cluster = new_cluster(budgets=["8MiB", "8MiB"])
    cluster.start()
    node = cluster[1]
    arguments = ["node", command, "n2"] + ["--detach"] * (command == "drain")
    if command != "uncordon":
        assert ctl(node, *arguments).returncode == 0
    done = ctl(node, *arguments)
    assert done.returncode == 0
    assert done.stderr == (LAST_HOLDER if command == "drain" else "")
    version = node.status()["membership"]["version"]
    assert version == (0 if command == "uncordon" else 1), "nothing has changed"
    if command != "drain":
        assert f"is {command}ed already" in done.stdout
