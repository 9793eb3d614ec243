"""Real UDP on loopback, in real time: nothing here asserts how long something took."""

import random

import pytest
import trio

from config.model import ClusterConfig, NodeConfig, TimersConfig
from heartbeat.routes import Endpoint
from heartbeat.seal import DATAGRAM_BYTES_MAX
from heartbeat.service import HeartbeatService
from heartbeat.swim import Swim
from heartbeat.udp import PlaintextRefused, UdpSocket
from nodemanager.ids import Incarnation, NodeId
from nodemanager.states import NodeState
from tests.fakes.datagram_network import Verdicts

pytestmark = pytest.mark.system

FAST = TimersConfig(probe_seconds=0.1, probe_timeout_seconds=0.05)


def bound(address: str = "127.0.0.1", port: int = 0) -> UdpSocket:
    return UdpSocket([address], port, allow_remote=False)


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
    with pytest.raises(PlaintextRefused, match="needs heartbeat_key, or insecure_plaintext = true"):
        bound("0.0.0.0")  # noqa: S104 - the point


async def test_a_key_or_insecure_plaintext_opens_other_addresses() -> None:
    # 198.51.100.1 is nobody's (RFC 5737): the check lets it pass and the kernel does not.
    with pytest.raises(OSError, match="Cannot assign"):
        UdpSocket(["198.51.100.1"], 0, allow_remote=True)


async def test_a_socket_at_several_addresses_sends_from_that_of_the_family() -> None:
    here = UdpSocket(["::1", "127.0.0.1"], 0, allow_remote=False)
    four, six = bound("127.0.0.1"), bound("::1")
    for peer in (four, six):
        here.send_to(b"x", peer.endpoint)
        _, source = await receive(peer)
        assert source[0] == peer.endpoint[0]
        peer.send_to(b"y", source)
        assert await receive(here) == (b"y", peer.endpoint)
    for each in (here, four, six):
        each.close()


async def test_addresses_of_other_machines_are_left_out_as_long_as_there_is_one_of_ours() -> None:
    here = UdpSocket(["198.51.100.1", "127.0.0.1"], 0, allow_remote=True)
    assert here.endpoint[0] == "127.0.0.1"
    with pytest.raises(OSError, match="no IPv6 address"):
        here.send_to(b"x", ("::1", 9))
    here.close()


async def test_a_move_that_fails_changes_nothing() -> None:
    here, there = bound(), bound()
    before = here.endpoint
    with pytest.raises(OSError, match=f"127.0.0.1:{there.endpoint[1]}"):
        here.listen_at(["127.0.0.2", "127.0.0.1"], there.endpoint[1])
    assert here.endpoint == before
    there.send_to(b"x", before)
    assert await receive(here) == (b"x", there.endpoint)
    here.close()
    there.close()


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
            start(
                nursery,
                cluster,
                bound(port=cluster.node[1].port),
                1,
                2,
            )
            await verdicts.wait_last(1, NodeState.UP, Incarnation(2))
            nursery.cancel_scope.cancel()
