"""Eight nodes, uneven owners: nobody holds much more for others than the middle one."""

import statistics
from dataclasses import replace
from typing import Any

import pytest
from trio.testing import MockClock

from tests.simulation.checkers import check_books, held
from tests.simulation.checking_clients import REST_SECONDS, Client
from tests.simulation.cluster import MIB, Cluster
from tests.simulation.pages import OBJECT

NODES = 8
RUN = 16
SHARES = (1, 2, 4, 8, 1, 2, 4, 8)
FULLEST_TO_MEDIAN_MAX = 1.3
KNOBS: dict[str, Any] = {"repatriate_pages_per_second": 0, "put_wait_seconds_max": 20.0}


def foreign_bytes(cluster: Cluster, node: int) -> int:
    return cluster[node].engine.statistics().foreign_zpage_bytes


def assert_even(parts: list[float]) -> None:
    assert min(parts) > 0
    assert max(parts) <= FULLEST_TO_MEDIAN_MAX * statistics.median(parts), sorted(parts)


def write_in_turns(
    cluster: Cluster, owners: dict[int, int], pages: int, *, is_replicated: bool = False
) -> None:
    """Let owners put by their shares, `pages` for each share, all at the same time and in any order."""
    clients = {owner: Client(cluster, owner) for owner in owners}
    turns = [owner for owner, share in owners.items() for _ in range(share * pages // RUN)]
    cluster.rng.shuffle(turns)
    at = dict.fromkeys(owners, 0)
    for owner in turns:
        client = clients[owner]
        client.wait_put(client.put(at[owner], RUN))
        if is_replicated:
            replicate(cluster, client, at[owner])
        at[owner] += RUN
        cluster.run(cluster.rng.uniform(0, 0.02))
    cluster.run(REST_SECONDS)


def replicate(cluster: Cluster, client: Client, index: int) -> None:
    """Flush a run to peers, as FUA does."""
    answers: list[bool] = []
    client.node.client.replicate(client.pool, OBJECT, index, RUN, answers.append)
    client.node.pager.settle()
    assert cluster.run_until(lambda: answers == [True], 20)


@pytest.mark.parametrize("copies", [1, 2])
async def test_what_all_eight_replicate_is_spread_evenly(
    seed: int, mock_clock: MockClock, copies: int
) -> None:
    """Each is an owner and a holder; what it has written stays here, too, as clean pages."""
    cluster = Cluster(
        seed, mock_clock, nodes=NODES, budget=16 * MIB, copies=copies, **KNOBS,
    )  # fmt: skip
    cluster.link_all()
    cluster.run(1)
    write_in_turns(cluster, dict(enumerate(SHARES)), 128, is_replicated=True)
    assert_even([foreign_bytes(cluster, node) for node in range(NODES)])
    check_books(cluster)


@pytest.mark.parametrize(("copies", "budgets"), [(1, (16, 16, 16, 16)), (2, (8, 8, 16, 32))])
async def test_what_four_remotify_is_spread_evenly_over_the_other_four(
    seed: int, mock_clock: MockClock, copies: int, budgets: tuple[int, ...]
) -> None:
    """By the part of the budget, so that it holds for unequal ones too."""
    cluster = Cluster(
        seed, mock_clock, nodes=NODES, copies=copies, **KNOBS,
        knobs={4 + place: {"budget": budget * MIB} for place, budget in enumerate(budgets)},
    )  # fmt: skip
    cluster.link_all()
    cluster.run(1)
    write_in_turns(cluster, dict(enumerate(SHARES[:4])), 900 // copies)
    assert_even([foreign_bytes(cluster, 4 + n) / budgets[n] for n in range(4)])
    check_books(cluster)


def give_zones(cluster: Cluster, zones: str) -> None:
    rows = [replace(node, zone=zones[node.number]) for node in cluster.config.node]
    cluster.config = replace(cluster.config, node=tuple(rows))
    for node in cluster.nodes.values():
        node.engine.nodes.on_members(cluster.config)


async def test_zones_come_first_and_are_spread_evenly(seed: int, mock_clock: MockClock) -> None:
    """Owners in zone a; two copies go to two of the zones b, c and d."""
    cluster = Cluster(
        seed, mock_clock, nodes=NODES, copies=2, **KNOBS,
        knobs={n: {"budget": 16 * MIB} for n in range(2, NODES)},
    )  # fmt: skip
    give_zones(cluster, "aabbccdd")
    cluster.link_all()
    cluster.run(1)
    write_in_turns(cluster, {0: 2, 1: 3}, 1600)
    for owner in (0, 1):
        zones = [
            set().union(*(held(cluster[owner], cluster[node]) for node in pair))
            for pair in ((2, 3), (4, 5), (6, 7))
        ]
        assert not held(cluster[owner], cluster[1 - owner])
        copies_of = [sum(serial in zone for zone in zones) for serial in set().union(*zones)]
        assert copies_of
        assert set(copies_of) == {2}
    assert_even([foreign_bytes(cluster, node) for node in range(2, NODES)])
    check_books(cluster)
