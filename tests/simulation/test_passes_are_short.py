"""What brings pages home asks for each leaf once in a tick, for looking through a leaf is what costs time."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from trio.testing import MockClock

from nodemanager.states import NodeState
from ramsterd.admin.node_commands import drain_node
from ramsterd.remote.home.leaf_fetch import LeafFetch
from tests.simulation.four_nodes import four_nodes


def count_leaves(monkeypatch: pytest.MonkeyPatch, now: Callable[[], float]) -> Counter[Any]:
    """Return how often each leaf is looked through in each tick of each machine."""
    seen: Counter[Any] = Counter()
    fetch_leaf = LeafFetch.fetch_leaf

    def count(self: LeafFetch, leaf: int, *args: Any, **kwargs: Any) -> Any:
        seen[id(self), now(), leaf] += 1
        return fetch_leaf(self, leaf, *args, **kwargs)

    monkeypatch.setattr(LeafFetch, "fetch_leaf", count)
    return seen


async def test_a_leaf_is_asked_for_once_in_a_tick(
    seed: int, mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, _ = four_nodes(seed, mock_clock)
    seen = count_leaves(monkeypatch, lambda: cluster.now)
    cluster.crash(1)
    cluster.judge(0, 1, NodeState.DOWN)
    cluster.run(2)
    drain_node(cluster[0].peers.members, {"name": "node2"})
    cluster.run(2)
    assert len(seen) > 10
    assert set(seen.values()) == {1}
