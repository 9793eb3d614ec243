"""Nodes are killed inside operations, again and again, while others go on and links are cut: no page is lost, older or back."""

import random
from collections.abc import Callable

import pytest
from trio.testing import MockClock

from ramsterd.core.page import PoolKind
from tests.simulation.checkers import check_trust, wait_reconciled
from tests.simulation.checking_clients import HOLE, REST_SECONDS, Client, finish, stage
from tests.simulation.kills import Kills

NODES = range(3)
SPANS = range(0, 1400, 16)
STEPS = 50


class Scenario:
    """Two disks and a cache on three nodes."""

    def __init__(self, seed: int, clock: MockClock) -> None:
        self.rng = random.Random(seed)
        self.cluster, disk = stage(seed, clock, nodes=3, copies=seed % 2 + 1, ephemeral=True)
        self.clients = [disk, Client(self.cluster, 1)]
        self.clients.append(Client(self.cluster, 0, kind=PoolKind.EPHEMERAL))
        for client in self.clients:
            client.expects_unreachable = True
        self.kills = Kills(self.cluster, self.rng)

    def do(self, operation: Callable[[], object]) -> None:
        """Do it; clients of a node that was killed know that the outcome of what they asked is open."""
        if (victim := self.kills.run(operation)) is not None:
            self.go_on(victim)

    def go_on(self, number: int) -> None:
        for client in self.clients:
            if client.number == number:
                client.go_on()

    def flush(self, client: Client, index: int, count: int) -> None:
        """Flush; if the node is killed meanwhile, each page may be there or not."""
        before = {each: client.values(each) for each in range(index, index + count)}
        kills_before = self.kills.total
        self.do(lambda: client.flush_unless_put(index, count))
        if self.kills.total > kills_before:
            for each, values in before.items():
                client.possible[each] = client.possible.get(each, {HOLE}) | values | {HOLE}

    def step(self) -> None:
        rng, cluster = self.rng, self.cluster
        if rng.random() < 0.5:
            self.kills.aim(rng.choice([0, *NODES]))
        client = rng.choice(self.clients)
        match rng.choice(["put", "put", "put", "flush", "get", "restart", "cut", "link", "run"]):
            case "put":
                for start in rng.sample(SPANS, 8):
                    self.do(lambda start=start: client.put(start, 16, is_raw=rng.random() < 0.3))  # type: ignore[misc]
            case "flush":
                for start in rng.sample(SPANS, 4):
                    self.flush(client, start, rng.randrange(1, 16))
            case "get":
                for start in rng.sample(SPANS, 4):
                    self.do(lambda start=start: client.get(start, rng.randrange(1, 16)))  # type: ignore[misc]
            case "restart":
                number = rng.choice(NODES)
                self.kills.call_off()
                self.kills.restart(number)
                self.go_on(number)
            case "cut":
                self.do(lambda: cluster.cut(*rng.sample(NODES, 2)))
            case "link":
                self.do(cluster.link_all)
            case _:
                self.do(lambda: cluster.run(rng.choice([0.001, 0.05, 1.0])))
        self.do(lambda: cluster.run(rng.choice([0.0, 0.002, 0.1])))

    def end(self) -> None:
        cluster = self.cluster
        self.kills.call_off()
        cluster.link_all()
        for number in NODES:
            wait_reconciled(cluster, number)
        cluster.run(REST_SECONDS)
        for client in self.clients:
            client.expects_unreachable = False
        finish(cluster, *self.clients)
        check_trust(cluster)
        for number in NODES:
            assert cluster[number].engine.store.statistics().lost_pages_total == 0


@pytest.mark.slow
async def test_nodes_that_are_killed_inside_operations_lose_nothing(
    seed: int, mock_clock: MockClock
) -> None:
    scenario = Scenario(seed, mock_clock)
    for _ in range(STEPS):
        scenario.step()
    scenario.end()
    assert scenario.kills.total
