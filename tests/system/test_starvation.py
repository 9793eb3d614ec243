"""One of five daemons gets next to no CPU: whom it is wrongly called dead by takes that back, and no page is lost.

`RAMSTER_STARVE_SECONDS=60` makes it the minute that `benchmarks.starvation` measures.
"""

import os
import random
from typing import Final

import pytest

from benchmarks.starvation import beliefs_of
from benchmarks.starving import Recorder, starved
from benchmarks.verdicts import tally
from ramsterd.client.nbd import NbdClient
from tests.plugins.skips import SHOWS_NOTHING
from tests.system.conftest import NewCluster
from tests.system.daemons import Cluster, Node, wait_until

SECONDS: Final = float(os.environ.get("RAMSTER_STARVE_SECONDS", "6"))
LOOPS = 8
STARVED = 5
PAGE = 4096
PAGES = 2048  # 8 MiB: four times the budget of node 1

# How often it is tried to starve a node.
ATTEMPTS = 2

pytestmark = pytest.mark.alone


class Disk:
    """An export of which we know what every page must be."""

    def __init__(self, client: NbdClient) -> None:
        self._client = client
        self._versions = dict.fromkeys(range(PAGES), 0)
        client.write_stream(0, (self._content(index) for index in range(PAGES)))

    def _content(self, index: int) -> bytes:
        rng = random.Random(index * 1000 + self._versions[index])
        return rng.randbytes(PAGE - PAGE // 8) + bytes(PAGE // 8)

    def write_again(self, index: int) -> None:
        self._versions[index] += 1
        self._client.write(index * PAGE, self._content(index))

    def check(self, index: int) -> None:
        assert self._client.read(index * PAGE, PAGE) == self._content(index), index


def detector(node: Node) -> dict[str, int]:
    counted: dict[str, int] = node.status()["heartbeat"]["detector"]
    return counted


def work_while_starved(cluster: Cluster, disk: Disk) -> float:
    """Read and write all the time that one node is starved; return its longest wait."""
    rng = random.Random(1)
    process = cluster[STARVED].process
    assert process is not None
    recorder = Recorder(process.pid)
    with starved(process.pid, loops=LOOPS):
        while recorder.seconds < SECONDS:
            for index in rng.sample(range(PAGES), 8):
                disk.check(index)
            disk.write_again(rng.randrange(PAGES))
            recorder.sample()
    return max((wait.end - wait.begin for wait in recorder.waits()), default=0.0)


def test_a_starved_node_is_taken_back_and_no_page_is_lost(new_cluster: NewCluster) -> None:
    cluster = new_cluster(budgets=["2MiB", *["8MiB"] * 4], copies=2)
    cluster.start()
    with cluster[1].client() as client:
        disk = Disk(client)
        wait_until(
            lambda: not cluster[1].engine()["remotify"]["pages_in_flight"], "nothing is in flight"
        )
        assert cluster[STARVED].foreign_pages()
        # Whether a node can be starved depends on what else the machine does.
        if not any(work_while_starved(cluster, disk) > 1 for _ in range(ATTEMPTS)):
            pytest.skip(f"{SHOWS_NOTHING}the machine could not be starved")

        for node in cluster:
            others = set(cluster.nodes) - {node.number}
            wait_until(
                lambda node=node, others=others: (  # type: ignore[misc]  # can't infer
                    {each for each, state in node.states().items() if state == "up"} >= others
                ),
                f"all are up for {node.name}",
                seconds_max=40,
            )
        for index in range(PAGES):
            disk.check(index)
    wait_until(
        lambda: not cluster[1].engine()["rebuild"]["pages_at_risk"], "no page is at risk",
        seconds_max=20,
    )  # fmt: skip
    assert all(node.engine()["store"]["lost_pages_total"] == 0 for node in cluster)

    assert sum(detector(cluster[number])["suspicions_total"] for number in range(1, 5)) > 0
    for node in cluster:
        counted = detector(node)
        assert counted["downs_total"] == counted["cleared_downs_total"], node.name
        told = tally(beliefs_of(node.number, node.log), lambda _: True, end=0)
        assert told.downs == told.refuted, node.name
