"""Five incidents on real daemons: within ten seconds all that an operator looks at says so.

That is health, the events, the alert and the status page, each with the command to type.
docs/incidents.md is the page for the operator on call; tests/docs/test_incidents.py holds it to
what is seen here.
"""

import errno
import os
import random
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from ramsterd.client.nbd import NbdClient, RequestFailed
from ramsterd.host.certificate import wall_clock
from tests.helpers.authority import Authority
from tests.helpers.incidents import (
    CERTIFICATE_ENDS,
    CERTIFICATE_ENDS_SOON,
    CHANGE_UNWRITTEN,
    CLUSTER_FILLS_UP,
    DISK_FILLS,
    NODE_DIES,
    NODE_STARVES,
    PENDING,
)
from tests.helpers.requirements import require_mounts, require_tool
from tests.system.conftest import NewCluster
from tests.system.daemons import Cluster, Node, wait_until
from tests.system.fill import RUN_BYTES, fill_marked
from tests.system.secured import use_tls
from tests.system.stage import (
    WAIT_SECONDS_MAX,
    Stage,
    give_operators_settings,
    staged,
    typed,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

DAY_SECONDS: Final = 86_400
# The daemon's own view of its folder of configuration: nothing to unmount, whatever happens.
OWN_DISK: Final = """\
cp "$0/cluster.toml" "$0/../kept.toml"
mount -t tmpfs -o size=64k none "$0"
cp "$0/../kept.toml" "$0/cluster.toml"
exec "$@"
"""
# Of each second and a half a starved node runs for so long: enough to answer, and late.
STOPPED_SECONDS: Final = 1.4
RUNNING_SECONDS: Final = 0.2

Opened = Callable[[Cluster], Stage]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """Yield what opens the stage for a cluster that is ready to start."""
    require_tool("prometheus")
    with ExitStack() as stack:

        def open_stage(cluster: Cluster) -> Stage:
            ports = give_operators_settings(cluster)
            return stack.enter_context(staged(cluster, ports, tmp_path / "prometheus"))

        yield open_stage


def test_a_node_that_dies_is_told_by_those_that_live(
    new_cluster: NewCluster, opened: Opened
) -> None:
    cluster = new_cluster(budgets=["4MiB", "32MiB", "32MiB"], copies=2)
    stage = opened(cluster)
    fill_marked(cluster[1], 1200)
    assert cluster[1].pages_at(3)
    began_at = wall_clock()
    cluster[3].kill()
    stage.check_all_say(cluster[1], NODE_DIES, began_at=began_at)
    # Of a node that is gone Prometheus knows by itself.
    [name] = NODE_DIES.more_alerts
    alert = stage.wait_alert_named(name, "n3", PENDING)
    assert alert["annotations"]["description"].endswith(
        "On node n3 type: systemctl status ramsterd"
    )
    told = typed(cluster[1], "events", "--kind", "node_down")
    # Who finds it first tells the others.
    assert re.search(r"node n3 is down: (?:no sign of life for [\d.]+ s|reported by node n2)", told)


def test_a_disk_that_is_full_under_the_cluster_file_is_told_before_a_change_is_lost(
    new_cluster: NewCluster, opened: Opened
) -> None:
    require_mounts()
    cluster = new_cluster(budgets=["8MiB", "8MiB"])
    node = cluster[1]
    folder = give_own_disk(node)
    stage = opened(cluster)
    inside = Path(f"/proc/{node.pid}/root{folder}")
    began_at = wall_clock()
    fill_disk(inside)
    shown = replace(DISK_FILLS, command=f"df {folder}/cluster.toml")
    stage.check_all_say(node, shown, began_at=began_at)

    # A change that was made elsewhere is in force here, and not in the file.
    assert "is cordoned" in typed(cluster[2], "node", "cordon", "n2")
    wait_until(
        lambda: f"type: {CHANGE_UNWRITTEN}" in typed(node, "health"),
        "the change is not in the file",
        seconds_max=WAIT_SECONDS_MAX,
    )
    told = typed(node, "events", "--kind", "members_unwritten").splitlines()[-1]
    assert "found no space left on device" in told
    assert told.endswith("type `ramsterctl config reload`")

    (inside / "full").unlink()
    wait_until(
        lambda: not node.status()["membership"]["unwritable"],
        "the disk has room again",
        seconds_max=WAIT_SECONDS_MAX,
    )
    typed(node, "config", "reload")
    assert "UNWRITTEN" not in typed(node, "health")
    wait_until(lambda: "cordoned" in (inside / "cluster.toml").read_text(), "it is in the file")


def give_own_disk(node: Node) -> Path:
    """Have a node start with its cluster file in a folder on a small disk; return the folder."""
    folder = node.config.parent / "etc"
    folder.mkdir()
    (folder / "cluster.toml").symlink_to(node.config.with_name("cluster.toml"))
    node.config.write_text(node.config.read_text().replace("cluster.toml", "etc/cluster.toml"))
    node.prefix = ("unshare", "-m", "sh", "-c", OWN_DISK, str(folder))
    return folder


def fill_disk(folder: Path) -> None:
    found = os.statvfs(folder)
    (folder / "full").write_bytes(bytes(found.f_bavail * found.f_frsize))


def test_a_certificate_is_told_to_end_and_to_have_ended(
    new_cluster: NewCluster, opened: Opened, tmp_path: Path
) -> None:
    cluster = new_cluster(budgets=["8MiB", "8MiB"])
    node, ours = cluster[1], Authority(tmp_path / "ca")
    for each in cluster:
        use_tls(each, ours.issue(each.name, days=300))
    stage = opened(cluster)
    began_at = wall_clock()
    assert replace_certificate(node, ours, days=1.5)
    stage.check_all_say(node, CERTIFICATE_ENDS_SOON, began_at=began_at)

    # Of a machine that is busy the first may end before it is loaded.
    assert any(
        replace_certificate(node, ours, days=seconds / DAY_SECONDS) for seconds in (4, 10, 30)
    )
    ends_at = wall_clock() + node.status()["certificate_expiry_seconds"]
    stage.check_all_say(node, CERTIFICATE_ENDS, began_at=ends_at)
    assert node.links() == {2}, "open links stay"

    # And a link that is lost stays lost.
    cluster[2].kill()
    cluster[2].start()
    cluster[2].wait_ready()
    wait_until(
        lambda: "certificate has expired" in typed(cluster[2], "nodes"),
        "there is no new link, and why",
        seconds_max=WAIT_SECONDS_MAX,
    )
    assert not node.links()

    assert replace_certificate(node, ours, days=300)
    assert "CERT_" not in typed(node, "health")
    wait_until(lambda: node.links() == {2}, "the link is back", seconds_max=WAIT_SECONDS_MAX)


def replace_certificate(node: Node, ours: Authority, *, days: float) -> bool:
    """Do what `ramsterctl cluster renew` and a copy of the files do; return whether the node takes them."""
    ours.issue(node.name, days=days)
    return "the new certificate is loaded" in typed(node, "config", "reload")


def test_a_node_that_gets_no_processor_says_so_while_it_starves(
    new_cluster: NewCluster, opened: Opened
) -> None:
    cluster = new_cluster(budgets=["8MiB"] * 3)
    stage = opened(cluster)
    began_at = wall_clock()
    with starved(cluster[2]):
        stage.check_all_say(cluster[2], NODE_STARVES, began_at=began_at)
    wait_until(lambda: cluster[1].states()[2] == "up", "n2 is back", seconds_max=WAIT_SECONDS_MAX)


@contextmanager
def starved(node: Node) -> Iterator[None]:
    """Let a process run for a fraction of the time, as a machine does that has too much to do."""
    is_over = threading.Event()

    def starve() -> None:
        while not is_over.is_set():
            node.send_signal(signal.SIGSTOP)
            is_over.wait(STOPPED_SECONDS)
            node.send_signal(signal.SIGCONT)
            is_over.wait(RUNNING_SECONDS)

    thread = threading.Thread(target=starve)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def test_a_cluster_that_is_full_says_what_to_type_and_that_helps(
    new_cluster: NewCluster, opened: Opened
) -> None:
    cluster = new_cluster(budgets=["4MiB"] * 3)
    node = cluster[1]
    stage = opened(cluster)
    place, refused_at = fill_up(node)
    stage.check_all_say(node, CLUSTER_FILLS_UP, began_at=refused_at)

    typed(node, *CLUSTER_FILLS_UP.command.split()[1:])
    with node.client() as client:
        client.write(place, page_run(place))


def fill_up(node: Node) -> tuple[int, float]:
    """Write until there is no room; return the place of the write that found none, and when it began."""
    begun: list[tuple[int, float]] = []

    def write_all(client: NbdClient) -> None:
        for place in range(0, client.size, RUN_BYTES):
            begun.append((place, wall_clock()))
            client.write(place, page_run(place))

    with node.client() as client, pytest.raises(RequestFailed) as refused:
        write_all(client)
    assert refused.value.errno == errno.ENOSPC
    return begun[-1]


def page_run(place: int) -> bytes:
    """Return bytes that do not shrink."""
    return random.Random(place).randbytes(RUN_BYTES)
