"""Pages at peers are asked for before their readers come to them: seldom waited for, never older than they may be."""

import random

import pytest
from trio.testing import MockClock

from ramsterd.remote.fetch.read_ahead import KEPT_SECONDS_MAX, ReadAheadStatistics
from ramsterd.remote.limits.hedge_delay import HEDGE_SECONDS_MAX
from tests.simulation.checking_clients import Client, finish, stage
from tests.simulation.cluster import Cluster

PAGES = 2400
RUN = 8
# Each way, at least; twice as much at most.
DELAY_SECONDS = 0.0125
KNOBS = {"repatriate_pages_per_second": 0}


def far(
    seed: int, clock: MockClock, nodes: int = 2, **knobs: float
) -> tuple[Cluster, Client, list[int]]:
    """Return a cluster whose node 1 is far away, and the first pages of runs that only it has."""
    large: dict[str, float] = {"budget": 8 << 20}
    cluster, client = stage(
        seed,
        clock,
        nodes,
        knobs={1: large, 2: large} if nodes > 2 else {1: large},
        **KNOBS,
        **knobs,
    )
    client.fill(PAGES)
    cluster.run(2)
    cluster.paths.slow_nodes[1] = DELAY_SECONDS
    location = cluster[0].engine.store.rows.location
    runs = [
        start
        for start in range(0, PAGES, RUN)
        if not any(map(location, client.rows(range(start, start + RUN))))
    ]
    assert len(runs) > 50
    return cluster, client, runs


def statistics(cluster: Cluster) -> ReadAheadStatistics:
    return cluster[0].engine.statistics().read_ahead


def read(cluster: Cluster, client: Client, runs: list[int]) -> int:
    """Read runs one after another; return how many had to be waited for."""
    waits = 0
    for start in runs:
        get = client.get(start, RUN)
        waits += get.result is None
        client.wait(get)
    return waits


@pytest.mark.parametrize("step", [1, 2])
async def test_a_reader_in_order_or_in_steps_seldom_waits(
    seed: int, mock_clock: MockClock, step: int
) -> None:
    cluster, client, runs = far(seed, mock_clock)
    runs = runs[::step]
    began_at = cluster.now
    assert read(cluster, client, runs) < len(runs) / 3
    assert cluster.now - began_at < len(runs) * 2 * DELAY_SECONDS / 3
    now = statistics(cluster)
    assert now.used_pages_total > RUN * len(runs) / 2
    finish(cluster, client)


async def test_without_read_ahead_each_read_is_waited_for(seed: int, mock_clock: MockClock) -> None:
    cluster, client, runs = far(seed, mock_clock, read_ahead_bytes_max=0)
    assert read(cluster, client, runs) == len(runs)
    assert statistics(cluster).asked_pages_total == 0
    finish(cluster, client)


async def test_two_readers_in_turns_seldom_wait(seed: int, mock_clock: MockClock) -> None:
    cluster, client, runs = far(seed, mock_clock)
    half = len(runs) // 2
    in_turns = [run for pair in zip(runs[:half], runs[half:], strict=False) for run in pair]
    assert read(cluster, client, in_turns) < len(in_turns) / 2
    finish(cluster, client)


async def test_who_reads_anywhere_has_nothing_asked_for(seed: int, mock_clock: MockClock) -> None:
    cluster, client, runs = far(seed, mock_clock)
    cluster.rng.shuffle(runs)
    read(cluster, client, runs)
    assert statistics(cluster).asked_pages_total < RUN * len(runs) / 20
    finish(cluster, client)


async def test_what_is_written_or_discarded_in_front_of_a_reader(
    seed: int, mock_clock: MockClock
) -> None:
    """Each get is judged by what it may see: never an older version."""
    cluster, client, runs = far(seed, mock_clock)
    rng = cluster.rng
    for place, start in enumerate(runs):
        get = client.get(start, RUN)
        for _ in range(2):
            index = rng.choice(runs[place : place + 12]) + rng.randrange(RUN)
            client.flush(index) if rng.random() < 0.3 else client.put(index)
        client.wait(get)
    assert statistics(cluster).used_pages_total
    assert statistics(cluster).outdated_pages_total or statistics(cluster).kept_waiting_pages
    cluster.run(2 * KEPT_SECONDS_MAX)
    assert statistics(cluster).outdated_pages_total
    finish(cluster, client)


async def test_what_nobody_reads_is_dropped(seed: int, mock_clock: MockClock) -> None:
    cluster, client, runs = far(seed, mock_clock)
    read(cluster, client, runs[: len(runs) // 2])
    cluster.run(1)
    before = statistics(cluster)
    assert before.kept_waiting_pages
    assert before.zpage_bytes
    cluster.run(KEPT_SECONDS_MAX + 1)
    now = statistics(cluster)
    assert (now.kept_waiting_pages, now.zpage_bytes) == (0, 0)
    assert now.unused_pages_total == before.unused_pages_total + before.kept_waiting_pages
    finish(cluster, client)


async def test_what_came_for_a_reader_that_stopped_makes_way_for_another(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, client, runs = far(seed, mock_clock)
    half = len(runs) // 2
    read(cluster, client, runs[: half // 2])
    cluster.run(1)
    before = statistics(cluster)
    assert before.kept_waiting_pages
    cluster[0].engine.machines.read_ahead.set_bytes_max(before.zpage_bytes)
    assert read(cluster, client, runs[half:]) < half * 2 / 3
    assert statistics(cluster).asked_pages_total > before.asked_pages_total + RUN * half / 3
    finish(cluster, client)


async def test_it_stays_within_its_bound(seed: int, mock_clock: MockClock) -> None:
    bytes_max = 256 * 1024
    cluster, client, runs = far(seed, mock_clock, read_ahead_bytes_max=bytes_max)
    seen = []
    cluster.checks.append(lambda: seen.append(statistics(cluster).zpage_bytes))
    read(cluster, client, runs)
    assert 0 < max(seen) <= bytes_max
    finish(cluster, client)


async def test_a_link_that_ends_takes_no_read_with_it(seed: int, mock_clock: MockClock) -> None:
    """Reads that wait for what was asked for ahead of them ask again."""
    cluster, client, runs = far(seed, mock_clock)
    read(cluster, client, runs[:20])
    gets = [client.get(start, RUN) for start in runs[20:40]]
    assert statistics(cluster).in_flight_waiting_pages
    cluster.cut(0, 1)
    assert statistics(cluster).in_flight_waiting_pages == 0
    cluster.link(0, 1)
    cluster.run(1)
    assert all(get.result is not None for get in gets)
    assert statistics(cluster).failed_pages_total
    finish(cluster, client)


async def test_a_read_that_waits_for_what_is_late_is_hedged(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, client, runs = far(seed, mock_clock, 3, copies=2)
    read(cluster, client, runs[:20])
    cluster.run(1)
    gets = [client.get(start, RUN) for start in runs[20:24]]
    cluster.hold(1, 0)
    gets += [client.get(start, RUN) for start in runs[24:40]]
    cluster.run(4 * HEDGE_SECONDS_MAX)
    assert all(get.result is not None for get in gets)
    cluster.let_go(1, 0)
    finish(cluster, client)


async def test_runs_of_any_length_in_steps_fit_into_frames(
    seed: int, mock_clock: MockClock
) -> None:
    """What is asked for ahead is by whole runs, and a frame takes 128 pages."""
    cluster, client, runs = far(seed, mock_clock)
    # Of each length that this needs at once: the remainder of what is asked for is what matters.
    rng, start = random.Random(seed), runs[0]
    while start + 127 < PAGES:
        count = rng.randrange(65, 127)
        client.wait(client.get(start, count))
        start += count + 28
    assert statistics(cluster).asked_pages_total
    finish(cluster, client)
