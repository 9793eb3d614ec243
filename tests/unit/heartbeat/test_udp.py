"""Real UDP on loopback, in real time: nothing here asserts how long something took."""

import random
from dataclasses import replace

import pytest
import trio

from config.model import ClusterConfig, NodeConfig, TimersConfig
from heartbeat.datagram_filter import Endpoint
from heartbeat.seal import DATAGRAM_BYTES_MAX
from heartbeat.service import HeartbeatService, open_socket
from heartbeat.swim import Swim
from heartbeat.udp import PlaintextRefused, UdpSocket
from nodemanager.ids import Incarnation, NodeId
from nodemanager.states import NodeState
from tests.fakes.datagram_network import Verdicts
from tests.helpers.clusters import cluster_of

pytestmark = pytest.mark.system

FAST = TimersConfig(probe_seconds=0.1, probe_timeout_seconds=0.05)


def bound(address: str = "127.0.0.1", port: int = 0) -> UdpSocket:
    return UdpSocket(address, port, allow_remote=False)


def cluster_at(*endpoints: Endpoint) -> ClusterConfig:
    nodes = tuple(
        NodeConfig(number=number, name=f"node{number}", address=address, port=port)
        for number, (address, port) in enumerate(endpoints)
    )
    return ClusterConfig(name="test", timers=FAST, node=nodes)


async def receive(source: UdpSocket) -> tuple[bytes, Endpoint]:
    with trio.fail_after(20):
        await source.wait_readable()
        received = source.receive_from()
    assert received is not None
    return received


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
async def test_a_datagram_arrives_with_its_source(address: str) -> None:
    try:
        here, there = bound(address), bound(address)
    except OSError as error:
        pytest.skip(f"no {address} here: {error}")
    assert here.receive_from() is None
    here.send_to(b"x" * DATAGRAM_BYTES_MAX, there.endpoint)
    assert await receive(there) == (b"x" * DATAGRAM_BYTES_MAX, here.endpoint)
    here.close()
    there.close()


async def test_a_datagram_that_is_too_long_is_seen_to_be() -> None:
    here, there = bound(), bound()
    here.send_to(b"x" * (DATAGRAM_BYTES_MAX + 100), there.endpoint)
    datagram, _ = await receive(there)
    assert len(datagram) == DATAGRAM_BYTES_MAX + 1
    here.close()
    there.close()


async def test_a_taken_port_is_told_and_leaks_nothing() -> None:
    here = bound()
    with pytest.raises(OSError, match=f"in use: '127.0.0.1:{here.endpoint[1]}'"):
        bound(*here.endpoint)
    here.close()


def test_beats_do_not_leave_this_machine_unless_the_configuration_says_so() -> None:
    cluster = cluster_of(2)
    reachable = replace(cluster, node=(replace(cluster.node[0], address="0.0.0.0", port=0),))  # noqa: S104 - the point
    with pytest.raises(PlaintextRefused, match="needs heartbeat_key, or insecure_plaintext = true"):
        open_socket(reachable, NodeId(0))


@pytest.mark.parametrize("has_key", [True, False])
async def test_a_key_or_insecure_plaintext_opens_other_addresses(has_key: bool) -> None:
    # 192.0.2.1 is nobody's (RFC 5737): the check lets it pass and the kernel does not.
    cluster = cluster_of(1, insecure_plaintext=not has_key)
    elsewhere = replace(cluster, node=(replace(cluster.node[0], address="192.0.2.1"),))
    with pytest.raises(OSError, match="Cannot assign"):
        open_socket(elsewhere, NodeId(0), has_key=has_key)


def start(
    nursery: trio.Nursery, cluster: ClusterConfig, here: UdpSocket, node: int, incarnation: int
) -> Verdicts:
    verdicts = Verdicts()
    others = [NodeId(each.number) for each in cluster.node if each.number != node]
    service = HeartbeatService(
        cluster,
        NodeId(node),
        detector=Swim(
            others,
            NodeId(node),
            Incarnation(incarnation),
            cluster.timers,
            now=trio.current_time(),
            rng=random.Random(node),
        ),
        datagram_socket=here,
        key=bytes(range(32)),
        on_verdicts=verdicts,
    )
    nursery.start_soon(service.run)
    return verdicts


@pytest.mark.slow
async def test_two_nodes_meet_lose_and_find_each_other_over_udp() -> None:
    here, there = bound(), bound()
    cluster = cluster_at(here.endpoint, there.endpoint)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            verdicts = start(nursery, cluster, here, 0, 1)
            async with trio.open_nursery() as other:
                start(other, cluster, there, 1, 1)
                await verdicts.wait_last(1, NodeState.UP, Incarnation(1))
                other.cancel_scope.cancel()
            await verdicts.wait_last(1, NodeState.DOWN, Incarnation(1))
            assert NodeState.SUSPECT in verdicts.of(1)
            start(nursery, cluster, open_socket(cluster, NodeId(1)), 1, 2)
            await verdicts.wait_last(1, NodeState.UP, Incarnation(2))
            nursery.cancel_scope.cancel()
