"""Peers that are suspect, silent, full or untruthful are left alone, and asked again when there is reason to."""

from itertools import pairwise
from typing import Any

import pytest
from trio.testing import MockClock

from nodemanager.ids import Incarnation, NodeId
from nodemanager.states import NodeState
from ramsterd.remote.wire import PutPages, PutResult
from tests.simulation.checkers import held
from tests.simulation.checking_clients import Client, finish, stage
from tests.simulation.cluster import MIB, Cluster

KNOBS: dict[str, Any] = {"repatriate_pages_per_second": 0}


def refuse_all(cluster: Cluster, node: int, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let a node refuse whatever comes, though its STATUS offers room; return when that was."""
    times: list[float] = []

    def on_put(owner: NodeId, incarnation: Incarnation, put: PutPages) -> bytes:
        times.append(cluster.now)
        return bytes([PutResult.NO_ROOM]) * len(put.serials)

    monkeypatch.setattr(cluster[node].engine.machines.foreign, "on_put", on_put)
    return times


def rounds(times: list[float]) -> list[float]:
    """Return the first of all times that are close together."""
    return [at for before, at in zip([-1.0, *times], times, strict=False) if at - before > 0.5]


def refused_until(cluster: Cluster, node: int) -> float:
    return cluster[0].engine.statistics().remotify.refused_until.get(cluster[node].number, 0.0)


def unknown(cluster: Cluster) -> int:
    return cluster[0].engine.statistics().remotify.unknown_pages_total


async def test_who_refuses_again_and_again_is_asked_less_and_less_until_it_stores(
    seed: int, mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, client = stage(seed, mock_clock, put_wait_seconds_max=200.0, **KNOBS)
    with monkeypatch.context() as untruthful:
        times = refuse_all(cluster, 1, untruthful)
        client.put_until_one_waits()
        cluster.run(60)
        assert client.puts, "nobody had room"
        asked_at = rounds(times)
        pauses = [later - earlier for earlier, later in pairwise(asked_at)]
        # A try waits for the pass that follows, which the next STATUS brings at the latest.
        for pause, doubled in zip(pauses, (1, 2, 4, 8, 16), strict=False):
            assert doubled <= pause <= doubled + 0.6
        assert len(asked_at) >= 5
    assert cluster.run_until(lambda: not client.puts, 20)
    finish(cluster, client)
    # The row is over: the next refusal counts as the first.
    times = refuse_all(cluster, 1, monkeypatch)
    index = 3000
    while not times:
        client.put(index, 16)
        cluster.run(0.01)
        index += 16
    assert cluster.run_until(lambda: refused_until(cluster, 1) > cluster.now, 1)
    assert refused_until(cluster, 1) <= cluster.now + 1


async def test_a_status_with_more_room_ends_the_wait_after_a_refusal(
    seed: int, mock_clock: MockClock
) -> None:
    """The peer was full when it was asked; its user makes room, and it is asked long before the wait is over."""
    cluster, client = stage(
        seed, mock_clock, refusal_seconds=1000.0, put_wait_seconds_max=60.0, **KNOBS
    )
    theirs = Client(cluster, 1)
    cluster.hold(1, 0)  # node 0 goes on believing that node 1 is empty
    theirs.fill(1000)
    client.put_until_one_waits()
    cluster.let_go(1, 0)
    cluster.run(2)
    assert refused_until(cluster, 1) > cluster.now + 900
    assert client.puts
    theirs.flush(0, 1000)
    assert cluster.run_until(lambda: not client.puts, 3)
    finish(cluster, client)


async def test_who_leaves_a_put_unanswered_gets_no_more_until_it_is_heard(
    seed: int, mock_clock: MockClock
) -> None:
    """It hangs and nobody has suspected it yet: one window of frames finds out, and the rest goes elsewhere."""
    cluster, client = stage(
        seed, mock_clock, nodes=3, request_seconds_max=1.0, put_wait_seconds_max=30.0, **KNOBS,
        knobs={1: {"budget": 64 * MIB}, 2: {"budget": 16 * MIB}},
    )  # fmt: skip
    cluster.pause(1)
    client.fill(1600)
    assert cluster.run_until(lambda: unknown(cluster) > 0, 5)
    cluster.run(1.2)
    before = unknown(cluster)
    client.fill(1600, start=2000)
    cluster.run(3)
    assert unknown(cluster) == before
    assert len(held(cluster[0], cluster[2])) > 1600
    cluster.resume(1)
    cluster.run(1)
    client.fill(1600, start=4000)
    cluster.run(1)
    assert held(cluster[0], cluster[1])
    finish(cluster, client)


async def test_a_suspect_gets_nothing_until_it_is_cleared(seed: int, mock_clock: MockClock) -> None:
    cluster, client = stage(
        seed, mock_clock, nodes=3, **KNOBS,
        knobs={1: {"budget": 64 * MIB}, 2: {"budget": 16 * MIB}},
    )  # fmt: skip
    cluster.judge(0, 1, NodeState.SUSPECT)
    client.fill(1600)
    cluster.run(1)
    assert not held(cluster[0], cluster[1])
    assert held(cluster[0], cluster[2])
    cluster.judge(0, 1, NodeState.UP)
    client.fill(1600, start=2000)
    cluster.run(1)
    assert held(cluster[0], cluster[1])
    finish(cluster, client)
