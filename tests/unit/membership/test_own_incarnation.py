"""A node whose incarnation is earlier than one that its peers know."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from config.limits import BUDGET_BYTES_MIN
from config.model import ClusterConfig, DaemonConfig, MemoryConfig, NodeConfig, RemoteConfig
from nodemanager.ids import Incarnation, NodeId
from nodemanager.states import NodeState
from tests.helpers.sim_nodes import SimNets, SimNode, eventually, noise

ALPHA, BETA, GAMMA = 1, 2, 3
CLUSTER = ClusterConfig(
    name="sim",
    node=tuple(
        NodeConfig(number=number, name=f"n{number}", address="127.0.0.1", port=7700 + number)
        for number in (ALPHA, BETA, GAMMA)
    ),
)


class Keeper:
    """What a state file says, and how far the disk is."""

    def __init__(self) -> None:
        self.noted: list[int] = []
        self.is_full = False

    async def note_incarnation(self, incarnation: int) -> None:
        await trio.sleep(0.01)
        if self.is_full:
            raise OSError(28, "No space left on device")
        self.noted.append(incarnation)


class World:
    """Nodes that start and end while the others go on."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.net = SimNets(capacity_bytes=256 * 1024)
        self._nursery = nursery
        self._scopes: dict[int, trio.CancelScope] = {}

    async def start(self, number: int, incarnation: int, keeper: Keeper | None = None) -> SimNode:
        daemon = DaemonConfig(
            node=f"n{number}",
            cluster=Path("cluster.toml"),
            memory=MemoryConfig(
                budget=BUDGET_BYTES_MIN, budget_max=2 * BUDGET_BYTES_MIN, pages_max=4096
            ),
            remote=RemoteConfig(copies=1),
        )
        node = SimNode(number, CLUSTER, daemon, self.net, incarnation, keeper)

        async def serve(*, task_status: trio.TaskStatus[None]) -> None:
            with trio.CancelScope() as self._scopes[number]:
                await node.peers.serve(task_status=task_status)

        await self._nursery.start(serve)
        return node

    async def stop(self, number: int) -> None:
        self._scopes.pop(number).cancel()
        await trio.testing.wait_all_tasks_blocked()


@asynccontextmanager
async def running() -> AsyncIterator[World]:
    async with trio.open_nursery() as nursery:
        yield World(nursery)
        nursery.cancel_scope.cancel()


def link_of(node: SimNode, other: int) -> Incarnation | None:
    link = node.peers.mesh.links.get(NodeId(other))
    return None if link is None else link.incarnation


@pytest.mark.slow
@pytest.mark.parametrize("number", [ALPHA, BETA], ids=["it is dialled", "it dials"])
async def test_a_node_whose_clock_was_set_back_is_taken_in_at_once(
    autojump_clock: MockClock, number: int
) -> None:
    async with running() as world:
        other = await world.start(ALPHA + BETA - number, 50)
        await world.start(number, 900)
        await eventually(lambda: link_of(other, number) == 900)
        await world.stop(number)
        keeper = Keeper()
        again = await world.start(number, 100, keeper)
        await eventually(lambda: link_of(other, number) == 901)
        assert again.engine.incarnation == 901
        # It was on disk before anybody heard of it.
        assert keeper.noted == [901]
        await eventually(
            lambda: again.engine.nodes.state(other.number) is NodeState.UP, seconds_max=30
        )
        assert other.engine.nodes.state(again.number) is NodeState.UP
        # Its heartbeats speak of the same incarnation.
        await trio.sleep(60)
        assert other.engine.nodes.state(again.number) is NodeState.UP
        assert link_of(other, number) == 901
        assert again.peers.own_incarnation.statistics().newest == 0


@pytest.mark.slow
async def test_a_node_with_pages_at_a_peer_goes_on_and_notes_what_it_heard(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Gamma knows nothing of an earlier incarnation, and keeps pages by the time that alpha refuses."""
    async with running() as world:
        alpha = await world.start(ALPHA, 50)
        await world.start(BETA, 900)
        await eventually(lambda: link_of(alpha, BETA) == 900)
        await world.stop(BETA)
        await world.stop(ALPHA)
        gamma = await world.start(GAMMA, 70)
        keeper = Keeper()
        beta = await world.start(BETA, 100, keeper)
        await eventually(lambda: link_of(gamma, BETA) == 100)
        await eventually(lambda: beta.engine.nodes.candidates()[1].is_accepting)
        full = beta.put_until_full()
        await eventually(gamma.pages_here)
        alpha_again = await world.start(ALPHA, 60)
        alpha_again.engine.nodes._peers[NodeId(BETA)].incarnation = Incarnation(900)
        await eventually(lambda: 900 in keeper.noted)
        await trio.sleep(5)
        assert beta.engine.incarnation == 100
        assert link_of(gamma, BETA) == 100
        assert gamma.pages_here()
        assert beta.peers.own_incarnation.statistics().newest == 900
        assert "node n1 refuses this node until ramsterd is restarted" in caplog.text
        assert beta.get(full - 1) is not None


async def test_a_node_that_was_linked_with_a_peer_does_not_outbid_the_one_that_came_after(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Two machines run with the files of one node: they would end each other's pages for ever."""
    async with running() as world:
        alpha = await world.start(ALPHA, 50)
        beta = await world.start(BETA, 100)
        await eventually(lambda: link_of(alpha, BETA) == 100)
        alpha.engine.nodes._peers[NodeId(BETA)].incarnation = Incarnation(900)
        alpha.peers.mesh.links[NodeId(BETA)].close("as if the other machine had come")
        await trio.sleep(30)
        assert beta.engine.incarnation == 100
        assert "another machine uses the files of this node" in caplog.text


async def test_an_incarnation_that_cannot_be_noted_is_not_taken(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with running() as world:
        alpha = await world.start(ALPHA, 50)
        await world.start(BETA, 900)
        await eventually(lambda: link_of(alpha, BETA) == 900)
        await world.stop(BETA)
        keeper = Keeper()
        keeper.is_full = True
        beta = await world.start(BETA, 100, keeper)
        await trio.sleep(10)
        assert beta.engine.incarnation == 100
        assert "to the state file: No space left on device" in caplog.text


async def test_pages_that_are_here_stay_when_a_node_goes_on_as_another_incarnation(
    autojump_clock: MockClock,
) -> None:
    async with running() as world:
        alpha = await world.start(ALPHA, 50)
        await world.start(BETA, 900)
        await eventually(lambda: link_of(alpha, BETA) == 900)
        await world.stop(BETA)
        beta = await world.start(BETA, 100)
        beta.put(3, noise(3))
        await eventually(lambda: link_of(alpha, BETA) == 901)
        assert beta.get(3) == [noise(3)]
