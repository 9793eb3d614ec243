"""What `ramsterctl memory set` takes, is refused, and is warned of."""

from types import SimpleNamespace
from typing import Any

import pytest
from trio.testing import MockClock

from config.limits import BUDGET_BYTES_MIN
from config.memory import MemoryBound
from config.model import ClusterConfig
from ramsterd.admin.commands import nodes, set_budget
from ramsterd.admin.socket import CommandRefused
from tests.helpers.clusters import cluster_of
from tests.helpers.sim_nodes import eventually, run_nodes

MIB = 1 << 20
MACHINE = MemoryBound(limit_bytes=100 * MIB, name="the memory of this machine")
THREE_NODES = cluster_of(3)
CGROUP = MemoryBound(limit_bytes=50 * MIB, name="memory.max of cgroup /a", is_fatal=True)


async def ask(
    budget: str,
    *bounds: MemoryBound,
    cluster: ClusterConfig = THREE_NODES,
    recalled: dict[int, int] | None = None,
) -> tuple[int, list[str]]:
    """Return the budget that was set, and the warnings; `recalled` is how many pages leave, before it is set."""
    asked: list[int] = []

    def note(budget_bytes: int, **_: object) -> dict[str, str]:
        asked.append(budget_bytes)
        return {"state": "done"}

    engine: Any = SimpleNamespace(
        store=SimpleNamespace(
            room=SimpleNamespace(limits=SimpleNamespace(budget_bytes_max=200 * MIB))
        ),
        set_budget=note,
        recalled_at=lambda _: {} if asked else recalled or {},
    )
    peers: Any = SimpleNamespace(settle=lambda: None, members=SimpleNamespace(cluster=cluster))
    result: Any = set_budget(engine, peers, {"budget": budget}, memory=lambda: bounds)
    assert type(asked[0]) is int
    return asked[0], result["warnings"]


async def test_a_budget_is_a_size_or_a_part_of_the_memory() -> None:
    assert await ask("8MiB", MACHINE) == (8 * MIB, [])
    assert await ask("50%", MACHINE) == (50 * MIB, [])
    assert await ask("50%", MACHINE, CGROUP) == (25 * MIB, [])


async def test_a_budget_that_would_end_the_daemon_is_refused() -> None:
    with pytest.raises(CommandRefused, match=r"found 50MiB, expected less than 50 MiB together"):
        await ask("50MiB", MACHINE, CGROUP)


async def test_a_budget_beyond_the_memory_of_the_machine_is_warned_of() -> None:
    budget, (warning,) = await ask("128MiB", MACHINE)
    assert budget == 128 * MIB
    assert "less than 100 MiB together (the memory of this machine)" in warning


async def test_a_part_of_memory_that_is_not_known_is_refused() -> None:
    with pytest.raises(CommandRefused, match=r"is not known here; \[memory\] budget_max is 200MiB"):
        await ask("50%")


async def test_fewer_copies_are_warned_of_with_whose_pages_and_how_many() -> None:
    assert await ask("8MiB", MACHINE, recalled={1: 2368, 2: 1}) == (
        8 * MIB,
        [
            (
                "about 2,368 pages of node node1 may drop from 2 copies to 1: this node gives them back, and they have 2 copies"
                " again only if 2 other nodes have room (unless ramsterd.toml sets copies)"
            ),
            (
                "about 1 page of node node2 may drop from 2 copies to 1: this node gives them back, and they have 2 copies"
                " again only if 2 other nodes have room (unless ramsterd.toml sets copies)"
            ),
        ],
    )


async def test_where_pages_have_one_copy_none_is_lost_by_a_smaller_budget() -> None:
    assert await ask("8MiB", MACHINE, recalled={1: 2368}, cluster=cluster_of(2)) == (8 * MIB, [])


# `ramsterctl nodes`.


async def test_each_node_has_its_budget_this_one_too(autojump_clock: MockClock) -> None:
    async with run_nodes(BUDGET_BYTES_MIN, 2 * BUDGET_BYTES_MIN) as [node, _]:

        def budgets() -> list[int | None]:
            rows: Any = nodes(node.engine, node.peers, {})
            return [row["budget_bytes"] for row in rows]

        await eventually(lambda: None not in budgets())
        assert budgets() == [BUDGET_BYTES_MIN, 2 * BUDGET_BYTES_MIN]


async def test_without_a_link_the_budget_of_a_node_is_not_known(autojump_clock: MockClock) -> None:
    async with run_nodes(BUDGET_BYTES_MIN, BUDGET_BYTES_MIN) as [node, other]:
        await eventually(lambda: node.engine.nodes.is_linked(other.number))
        other.peers.mesh.links[node.number].close("the test ends it")
        await eventually(lambda: not node.engine.nodes.is_linked(other.number))
        rows: Any = nodes(node.engine, node.peers, {})
        assert [row["budget_bytes"] for row in rows] == [BUDGET_BYTES_MIN, None]
