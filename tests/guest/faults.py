"""What happens to a cluster while a guest swaps on its node 1; each returns once it is over.

Node 2 holds pages of the guest.
"""

import signal
import time
from dataclasses import dataclass

from tests.guest.restarts import How, restart
from tests.system.daemons import MIB, Cluster, Node
from tests.system.hosts import ramsterctl
from tests.system.namespaces import Network

OWNER, HOLDER = 1, 2
# Longer than `fetch_seconds_max` (10 s), and than it takes to call a silent node down.
SILENT_SECONDS = 12.0
DRAIN_SECONDS_MAX = 50


@dataclass(frozen=True, slots=True)
class Scene:
    """Whom it happens to."""

    cluster: Cluster
    network: Network

    @property
    def owner(self) -> Node:
        return self.cluster[OWNER]

    @property
    def holder(self) -> Node:
        return self.cluster[HOLDER]


def holder_killed(scene: Scene) -> None:
    scene.holder.kill()


def holder_stopped(scene: Scene) -> None:
    scene.holder.send_signal(signal.SIGSTOP)
    time.sleep(SILENT_SECONDS)
    scene.holder.send_signal(signal.SIGCONT)


def holder_cut_off(scene: Scene) -> None:
    scene.network.cut(HOLDER)
    time.sleep(SILENT_SECONDS)
    scene.network.heal(HOLDER)


def holder_drained(scene: Scene) -> None:
    _ctl(scene.owner, "node", "drain", "n2", "--deadline", f"{DRAIN_SECONDS_MAX}s")
    assert scene.holder.foreign_pages() == 0


def holder_restarted(scene: Scene) -> None:
    restart(scene.holder, How.REPLACED)


def holder_killed_and_started(scene: Scene) -> None:
    restart(scene.holder, How.KILLED)


def holder_killed_and_started_without_its_pages(scene: Scene) -> None:
    restart(scene.holder, How.KILLED)


def owner_restarted(scene: Scene) -> None:
    restart(scene.owner, How.REPLACED)


def owner_killed_and_started(scene: Scene) -> None:
    restart(scene.owner, How.KILLED)


def budgets_halved_and_doubled(scene: Scene) -> None:
    """Halve what the owner and a holder have in use, one behind the other, and give both twice as much as before."""
    nodes = (scene.owner, scene.holder)
    before = {node.name: _used_mebibytes(node) for node in nodes}
    for factor in (0.5, 2.0):
        for node in nodes:
            _ctl(node, "memory", "set", "--budget", f"{max(int(factor * before[node.name]), 1)}MiB")


def _used_mebibytes(node: Node) -> float:
    return float(node.engine()["store"]["zbud"]["resident_bytes"]) / MIB


def _ctl(node: Node, *arguments: str) -> None:
    ramsterctl("--socket", str(node.control), *arguments)
