"""A node is drained and removed, and a holder gets its memory back, while a client reads and writes: real daemons."""

import json
import random
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.helpers.programs import RAMSTERCTL, environment, run_program
from tests.system.conftest import NewCluster
from tests.system.daemons import MIB, Cluster, Node, wait_until
from tests.system.membership import ctl, members, separate, start, wait_members

PLACES = 24
RUN_BYTES = MIB // 4


class Load(threading.Thread):
    """Overwrites and reads runs of a disk, and keeps what must be there."""

    def __init__(self, node: Node) -> None:
        super().__init__(name="load", daemon=True)
        self._node = node
        self._rng = random.Random(1)
        self.runs = [self._run() for _ in range(4 * PLACES)]
        self.is_over = threading.Event()
        self.error: BaseException | None = None
        self.rounds = 0

    def _run(self) -> bytes:
        return self._rng.randbytes(RUN_BYTES // 2) + bytes(RUN_BYTES // 2)

    def fill(self) -> None:
        with self._node.client() as client:
            for place, run in enumerate(self.runs):
                client.write(place * RUN_BYTES, run)

    def run(self) -> None:
        try:
            with self._node.client() as client:
                while not self.is_over.is_set():
                    place = self._rng.randrange(len(self.runs))
                    assert client.read(place * RUN_BYTES, RUN_BYTES) == self.runs[place]
                    place = self._rng.randrange(len(self.runs))
                    self.runs[place] = self._run()
                    client.write(place * RUN_BYTES, self.runs[place])
                    self.rounds += 1
        except BaseException as error:
            self.error = error

    def check_all(self) -> None:
        with self._node.client() as client:
            for place, run in enumerate(self.runs):
                assert client.read(place * RUN_BYTES, RUN_BYTES) == run


@contextmanager
def load(cluster: Cluster) -> Iterator[Load]:
    """Yield a load on node 1 that is under way; at the end all must have gone well, and is read once more."""
    under_way = Load(cluster[1])
    under_way.fill()
    wait_until(lambda: cluster[1].engine()["remote"], "pages of node 1 leave")
    under_way.start()
    try:
        yield under_way
    finally:
        under_way.is_over.set()
        under_way.join(30)
    assert under_way.error is None, under_way.error
    assert not under_way.is_alive()
    assert under_way.rounds > 0
    under_way.check_all()
    assert cluster[1].engine()["store"]["lost_pages_total"] == 0


def drain(at: Node, name: str) -> subprocess.CompletedProcess[str]:
    return run_program(
        [
            *RAMSTERCTL,
            "--socket",
            str(at.control),
            "node",
            "drain",
            name,
            "--deadline",
            "40s",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(),
        check=False,
    )


def test_a_node_is_drained_and_removed_under_load(new_cluster: NewCluster) -> None:
    cluster = new_cluster(budgets=["6MiB", "32MiB", "32MiB", "32MiB"])
    separate(cluster, 4)
    start(cluster, [1, 2, 3, 4])
    with load(cluster):
        wait_until(lambda: cluster[2].foreign_pages() > 100, "node 2 keeps pages")
        done = drain(cluster[3], "n2")
        assert done.returncode == 0, done
        assert " of node n2: done, " in done.stdout
        assert cluster[2].foreign_pages() == 0
        assert cluster[1].states()[2] == cluster[2].states()[2] == "draining"
        answer = json.loads(ctl(cluster[4], "node", "remove", "n2", "-o", "json"))
        assert answer["lost"] == []
        wait_members([cluster[1], cluster[3], cluster[4]], {1, 3, 4})
    assert members(cluster[1]) == {1, 3, 4}


def test_a_drain_outlives_a_restart_and_uncordon_ends_it(new_cluster: NewCluster) -> None:
    cluster = new_cluster(budgets=["6MiB", "32MiB", "32MiB"])
    separate(cluster, 3)
    start(cluster, [1, 2, 3])
    assert drain(cluster[2], "n2").returncode == 0
    cluster[2].stop()
    start(cluster, [2])
    wait_until(lambda: cluster[1].states()[2] == "draining", "node 1 knows")
    with load(cluster) as under_way:
        assert cluster[2].foreign_pages() == 0
        assert cluster[3].foreign_pages() > 0
        ctl(cluster[1], "node", "uncordon", "n2")
        wait_until(lambda: cluster[2].foreign_pages() > 0, "it takes pages again")
        assert under_way.error is None


def test_a_holder_gets_its_memory_back_under_load(new_cluster: NewCluster) -> None:
    cluster = new_cluster(budgets=["6MiB", "32MiB", "32MiB"])
    separate(cluster, 3)
    start(cluster, [1, 2, 3])
    with load(cluster):
        # 6 MiB of random pages and more leave: one of the two has half of them.
        holder = wait_until(
            lambda: next((each for each in (cluster[2], cluster[3]) if each.foreign_pages() > 640), None),
            "a node keeps 2.5 MiB",
        )  # fmt: skip
        assert holder is not None
        ctl(holder, "memory", "set", "--budget", "2MiB")
        wait_until(
            lambda: holder.engine()["resize"]["state"] == "done",
            "the memory is given back",
            seconds_max=30,
        )
        zbud = holder.engine()["store"]["zbud"]
        assert zbud["resident_bytes"] <= zbud["budget_bytes"] == 2 * MIB


def test_where_other_copies_are_enough_a_drain_needs_no_room(new_cluster: NewCluster) -> None:
    """Of three nodes two keep pages after the drain: one copy of each is wanted, and is there."""
    cluster = new_cluster(budgets=["6MiB", "10MiB", "10MiB"], copies=0)
    separate(cluster, 3)
    start(cluster, [1, 2, 3])
    Load(cluster[1]).fill()
    wait_until(lambda: cluster[3].foreign_pages() > 500, "pages of node 1 leave")
    wait_until(lambda: not cluster[1].engine()["rebuild"]["pages_at_risk"], "all have two copies")

    def planned() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            ctl(cluster[2], "node", "drain", "n3", "--dry-run", "-o", "json")
        )
        return found if found["bytes_max"] > found["room_bytes"] else {}

    # By the last STATUS of the others, which may be half a second old.
    plan = wait_until(planned, "there is less room elsewhere than pages are here")
    assert (plan["copies_after"], plan["is_enough_elsewhere"], plan["has_room"]) == (1, True, True)
    done = drain(cluster[1], "n3")
    assert done.returncode == 0, done
    assert cluster[3].foreign_pages() == 0
