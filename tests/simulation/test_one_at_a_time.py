"""The promise: with two copies any one node may die, hang, be cut off or be drained, under load, and no page is lost."""

import random
from collections.abc import Callable

from trio.testing import MockClock

from ramsterd.admin.node_commands import cordon_node, drain_node
from tests.simulation.cluster import MIB, Cluster
from tests.simulation.programs import Swap
from tests.simulation.storm import Storm
from tests.simulation.swarm import Mix, Program

PAGES = 1500
ROUNDS = 4
# Long enough for a verdict, and for rebuilding to be under way.
FAULT_SECONDS = (0.5, 5.0, 20.0)
SAFE_SECONDS_MAX = 120.0
OWNERS, HOLDERS = (0, 1), (2, 3, 4)


def make(seed: int, clock: MockClock) -> Storm:
    """Return two owners of 2 MiB that swap more than they can keep, and three holders of 6 MiB."""
    rng = random.Random(f"one at a time {seed}")
    budgets = (2 * MIB, 2 * MIB, 6 * MIB, 6 * MIB, 6 * MIB)
    mix = Mix(
        budgets=budgets,
        has_detector=True,
        knobs={"copies": 2},
        programs={owner: [Program(Swap, PAGES)] for owner in OWNERS},
        faults={},
        wait_weight=1.0,
    )
    cluster = Cluster(
        seed,
        clock,
        nodes=len(budgets),
        has_detector=True,
        knobs={number: {"budget": budget} for number, budget in enumerate(budgets)},
        copies=2,
        fetch_seconds_max=60.0,
        put_wait_seconds_max=60.0,
    )
    return Storm(cluster, mix, rng)


def work(storm: Storm, seconds: float) -> None:
    """Let the programs run for a while."""
    end_at = storm.cluster.now + seconds
    while storm.cluster.now < end_at:
        storm._act()
        storm.cluster.run(storm.rng.choice([0.01, 0.1, 0.3]))


def begin(storm: Storm, node: int) -> tuple[str, Callable[[], None]]:
    """Let one thing happen to a node; return what it is, and what ends it."""
    cluster, faults = storm.cluster, storm.faults
    members = cluster[0].peers.members

    def isolate() -> None:
        for other in (*OWNERS, *HOLDERS):
            if other != node:
                cluster.paths.block(node, other)

    def take_back() -> None:
        cordon_node(members, {"name": f"node{node}"}, is_cordoned=False)

    kinds: dict[str, tuple[Callable[[], object], Callable[[], None]]] = {
        "dies": (lambda: faults._die(node, is_silent=False), lambda: faults.start(node)),
        "loses power": (lambda: faults._die(node, is_silent=True), lambda: faults.start(node)),
        "hangs": (lambda: cluster.pause(node), lambda: cluster.resume(node)),
        "is cut off": (isolate, faults.heal),
        "is drained": (lambda: drain_node(members, {"name": f"node{node}"}), take_back),
    }
    name = storm.rng.choice(list(kinds))
    cluster.note(node, name)
    happens, ends = kinds[name]
    happens()
    return name, ends


async def test_one_at_a_time_loses_nothing(seed: int, mock_clock: MockClock) -> None:
    storm = make(seed, mock_clock)
    cluster = storm.cluster
    assert cluster.run_until(storm._is_agreed, SAFE_SECONDS_MAX)
    cluster.run(1)
    storm._load()
    work(storm, 5)
    assert cluster[0].engine.statistics().remotify.stored_pages_total > 300
    for _ in range(ROUNDS):
        name, ends = begin(storm, storm.rng.choice(HOLDERS))
        work(storm, storm.rng.choice(FAULT_SECONDS))
        ends()
        work(storm, 1)
        storm.check()
        assert cluster.run_until(
            lambda: storm._is_agreed() and not storm._at_risk(), SAFE_SECONDS_MAX
        ), f"after a node {name}: {storm._disagreement()} {storm._at_risk()}"
        cluster.run(2)
        assert storm.world.check(storm.clients()) == 0, name
    for client in storm.clients():
        assert not client.losable
        assert not client.seen["LOST"] + client.seen["UNREACHABLE"] + client.seen["REFUSED"]
        client.read_all()
