"""A holder dies or hangs under a client that swaps: the longest that one of its requests takes.

On virtual time, so this is what timers cost, and nothing of what a busy machine does.  The real thing:
`python -m benchmarks.stalls`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import pytest
from trio.testing import MockClock

from nodemanager.ids import NodeId
from nodemanager.states import NodeState
from ramsterd.remote.limits.hedge_delay import HEDGE_SECONDS_MAX
from tests.simulation.checking_clients import Client, RunningGet, RunningPut
from tests.simulation.cluster import MIB, Cluster

# A budget that holds a third of what the client uses, and a client that writes as much in half a second.
BUDGET, PEER_BUDGET = 4 * MIB, 64 * MIB
RUN_PAGES: Final = 8
RUNS: Final = 384
STEP_SECONDS = 0.004
READS = 0.5
IN_FLIGHT_MAX = 64
# Who is dead or hangs is suspected after two seconds, and given up after six.
WARM_SECONDS, FAULT_SECONDS = 2.0, 8.0
DEAD_SECONDS_MAX, STOPPED_SECONDS_MAX = 1.0, 2.0


@dataclass
class Swapper:
    """A client that writes and reads all the time, and how long it waited at most."""

    cluster: Cluster
    client: Client
    begun: dict[RunningGet | RunningPut, float] = field(default_factory=dict)
    longest_put: float = 0.0
    longest_get: float = 0.0
    refused: int = 0

    def run(self, seconds: float) -> None:
        """Ask, and look what was answered, for some time; what is under way then is waited for."""
        self.longest_put = self.longest_get = 0.0
        end = self.cluster.now + seconds
        while self.cluster.now < end or self.begun:
            if self.cluster.now < end:
                self._ask()
            self.cluster.run(STEP_SECONDS)
            self._look()

    def _ask(self) -> None:
        rng = self.cluster.rng
        index = rng.randrange(RUNS) * RUN_PAGES
        if len(self.begun) < IN_FLIGHT_MAX:
            ask = self.client.get if rng.random() < READS else self.client.put
            self.begun[ask(index, RUN_PAGES)] = self.cluster.now

    def _look(self) -> None:
        for request in list(self.begun):
            took = self.cluster.now - self.begun[request]
            if isinstance(request, RunningPut):
                self.longest_put = max(self.longest_put, took)
                self.refused += request.is_refused
                is_over = not request.is_waiting
            else:
                self.longest_get = max(self.longest_get, took)
                is_over = request.result is not None
            if is_over:
                del self.begun[request]


def swapping(
    seed: int, clock: MockClock, peers: int, *, budget: int = BUDGET, peer_budget: int = PEER_BUDGET
) -> Swapper:
    """Return a client whose node sends pages to its peers all the time."""
    budgets: dict[int, dict[str, float]] = {n: {"budget": peer_budget} for n in range(1, peers + 1)}
    budgets[0] = {"budget": budget}
    cluster = Cluster(seed, clock, nodes=peers + 1, has_detector=True, knobs=budgets, copies=2)
    cluster.run(3)
    swapper = Swapper(cluster, Client(cluster, 0))
    swapper.run(WARM_SECONDS)
    return swapper


def kill(cluster: Cluster) -> None:
    cluster.crash(1)


def stop(cluster: Cluster) -> None:
    cluster.pause(1)


def is_given_up(cluster: Cluster) -> bool:
    return cluster[0].engine.nodes.state(NodeId(1)) is NodeState.DOWN


@pytest.mark.parametrize("peers", [3, 2])
@pytest.mark.parametrize(("fault", "bar"), [(kill, DEAD_SECONDS_MAX), (stop, STOPPED_SECONDS_MAX)])
async def test_a_request_is_held_up_for_a_moment(
    seed: int, mock_clock: MockClock, peers: int, fault: Callable[[Cluster], None], bar: float
) -> None:
    """Reads have the other copy, and writes as many peers as there are."""
    swapper = swapping(seed, mock_clock, peers)
    fault(swapper.cluster)
    swapper.run(FAULT_SECONDS)
    assert is_given_up(swapper.cluster), "what follows from that is a part of the fault"
    assert swapper.longest_put < bar
    assert swapper.longest_get < HEDGE_SECONDS_MAX + 0.1
    assert swapper.refused == 0
    assert swapper.cluster[0].engine.statistics().store.lost_pages_total == 0


@pytest.mark.parametrize("fault", [kill, stop])
async def test_writes_go_on_while_the_others_have_little_room(
    seed: int, mock_clock: MockClock, fault: Callable[[Cluster], None]
) -> None:
    """Two peers don't hold two copies of all, and have room for a moment after each STATUS: one copy must do."""
    swapper = swapping(seed, mock_clock, 3, budget=2 * MIB, peer_budget=4 * MIB)
    fault(swapper.cluster)
    swapper.run(FAULT_SECONDS)
    assert is_given_up(swapper.cluster)
    assert swapper.refused == 0
    assert swapper.longest_put < STOPPED_SECONDS_MAX
    assert swapper.cluster[0].engine.statistics().rebuild.pages_at_risk > 0
