"""The service over a simulated network, in virtual time."""

import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from config.model import ClusterConfig
from heartbeat.datagram import DatagramKind
from heartbeat.datagram_filter import DatagramFilter, DropReason
from heartbeat.routes import Endpoint, Routes, written_endpoints
from heartbeat.service import DATAGRAMS_PER_WAKE_MAX, KEY_OVERLAP_SECONDS, HeartbeatService
from heartbeat.swim import Swim
from nodemanager.ids import Incarnation, NodeId
from nodemanager.states import NodeState
from tests.fakes.datagram_network import SimDatagramNetwork, SimDatagramSocket, Verdicts
from tests.helpers.clusters import cluster_of
from tests.helpers.heartbeat_messages import message

UP, SUSPECT, DOWN = NodeState.UP, NodeState.SUSPECT, NodeState.DOWN


def endpoint(node: int) -> Endpoint:
    return ("127.0.0.1", 7700 + node)


class Speaker:
    """A member that says what a test wants, through a socket of its own."""

    def __init__(self, node: int, key: bytes | None = None) -> None:
        self._node = node
        routes = Routes(written_endpoints(cluster_of(3), NodeId(node)))
        self._filter = DatagramFilter("test", NodeId(node), routes, key)

    def ping(self) -> bytes:
        return self._filter.close(message(self._node, 0, DatagramKind.PING, probe=7))


class Member:
    """One simulated node: a service that runs in a scope of its own."""

    def __init__(
        self,
        cluster: ClusterConfig,
        network: SimDatagramNetwork,
        node: int,
        incarnation: int,
        key: bytes | None,
    ) -> None:
        self.verdicts = Verdicts()
        self.begun: list[NodeId] = []
        self.socket: SimDatagramSocket = network.bind(endpoint(node))
        others = [NodeId(each.number) for each in cluster.node if each.number != node]
        self.detector = Swim(
            others,
            NodeId(node),
            Incarnation(incarnation),
            cluster.timers,
            now=trio.current_time(),
            rng=random.Random(node),
        )
        self.service = HeartbeatService(
            cluster,
            NodeId(node),
            detector=self.detector,
            datagram_socket=self.socket,
            on_verdicts=self.verdicts,
            on_begun=self.begun.append,
            key=key,
        )
        self._scope = trio.CancelScope()

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        with self._scope:
            await self.service.run(task_status=task_status)

    def crash(self) -> None:
        self._scope.cancel()


class Members:
    """Simulated nodes on one network."""

    def __init__(
        self, nodes: int, loss_fraction: float, key: bytes | None, nursery: trio.Nursery
    ) -> None:
        self._key = key
        self.cluster = cluster_of(nodes)
        self.network = SimDatagramNetwork(rng=random.Random(0), loss_fraction=loss_fraction)
        self._nursery = nursery
        self._members: dict[int, Member] = {}

    def __getitem__(self, node: int) -> Member:
        return self._members[node]

    async def start(self, node: int, *, incarnation: int = 1) -> Member:
        member = Member(self.cluster, self.network, node, incarnation, self._key)
        self._members[node] = member
        await self._nursery.start(member.run)
        return member

    def check_invariants(self) -> None:
        for member in self._members.values():
            member.detector.check_invariants()


@asynccontextmanager
async def running(
    nodes: int,
    *,
    start: int | None = None,
    loss_fraction: float = 0.0,
    key: bytes | None = None,
) -> AsyncIterator[Members]:
    """Run the first `start` (default: all) of a cluster of so many nodes."""
    async with trio.open_nursery() as nursery:
        members = Members(nodes, loss_fraction, key, nursery)
        for node in range(nodes if start is None else start):
            await members.start(node)
        with trio.fail_after(3600):
            yield members
        members.check_invariants()
        nursery.cancel_scope.cancel()


async def test_nodes_that_run_find_each_other_up(autojump_clock: MockClock) -> None:
    async with running(3) as members:
        await trio.sleep(60)
        for node in range(3):
            others = {0, 1, 2} - {node}
            assert {v.node: v.state for v in members[node].verdicts.all} == dict.fromkeys(
                others, UP
            )
            assert len(members[node].verdicts.all) == 2


async def test_a_node_that_crashed_is_suspect_and_then_down(autojump_clock: MockClock) -> None:
    async with running(3) as members:
        await members[0].verdicts.wait_last(2, UP)
        members[2].crash()
        await members[0].verdicts.wait_last(2, DOWN)
        assert members[0].verdicts.of(2) == [UP, SUSPECT, DOWN]
        assert members[0].verdicts.of(1) == [UP]


async def test_a_node_that_never_came_is_down(autojump_clock: MockClock) -> None:
    async with running(3, start=2) as members:
        await members[0].verdicts.wait_last(2, DOWN)
        assert members[0].verdicts.of(2) == [DOWN]


async def test_a_node_that_started_again_is_up_in_its_new_incarnation(
    autojump_clock: MockClock,
) -> None:
    async with running(2) as members:
        await members[0].verdicts.wait_last(1, UP)
        members[1].crash()
        await trio.sleep(1)
        await members.start(1, incarnation=2)
        await members[0].verdicts.wait_last(1, UP, Incarnation(2))
        assert members[0].verdicts.of(1) == [UP, UP], "it was quicker than suspicion"
        assert members[0].begun == [1, 1], "its link can be made again at once"


async def test_a_healed_partition_brings_back_the_same_incarnation(
    autojump_clock: MockClock,
) -> None:
    async with running(2) as members:
        sides = [(members[0].verdicts, 1), (members[1].verdicts, 0)]
        for verdicts, other in sides:
            await verdicts.wait_last(other, UP)
        members.network.cut(endpoint(1))
        for verdicts, other in sides:
            await verdicts.wait_last(other, DOWN)
        members.network.heal(endpoint(1))
        for verdicts, other in sides:
            await verdicts.wait_last(other, UP, Incarnation(1))
            assert verdicts.of(other) == [UP, SUSPECT, DOWN, UP]


async def test_link_traffic_is_a_sign_of_life_when_beats_are_lost(
    autojump_clock: MockClock,
) -> None:
    async with running(2) as members:
        await members[0].verdicts.wait_last(1, UP)
        members.network.cut(endpoint(1))
        for _ in range(80):
            members[0].service.heard(NodeId(1), Incarnation(1))
            await trio.sleep(0.5)
        assert members[0].verdicts.of(1) == [UP]


async def test_what_comes_over_links_is_no_heartbeat(autojump_clock: MockClock) -> None:
    """The doctor tells by that whether UDP is blocked while links keep a node alive."""
    async with running(2) as members:
        service = members[0].service
        assert service.heartbeat_seconds(NodeId(1)) is None
        await members[0].verdicts.wait_last(1, UP)
        assert (service.heartbeat_seconds(NodeId(1)) or 0.0) < 5
        members.network.cut(endpoint(1))
        for _ in range(80):
            service.heard(NodeId(1), Incarnation(1))
            await trio.sleep(0.5)
        silent = service.heartbeat_seconds(NodeId(1))
        assert silent is not None
        assert silent > 35
        service.on_members_changed(cluster_of(1))
        assert service.heartbeat_seconds(NodeId(1)) is None


async def test_a_sign_of_life_on_a_link_wakes_a_watch_that_waited_for_nobody(
    autojump_clock: MockClock,
) -> None:
    async with running(2, start=1) as members:
        verdicts = members[0].verdicts
        await verdicts.wait_last(1, DOWN)
        await trio.sleep(100)
        members[0].service.heard(NodeId(1), Incarnation(1))
        await verdicts.wait_last(1, SUSPECT)
        assert verdicts.of(1) == [DOWN, UP, SUSPECT]


async def test_some_lost_beats_put_nobody_down(autojump_clock: MockClock) -> None:
    async with running(3, loss_fraction=0.05) as members:
        await trio.sleep(120)
        for node in range(3):
            assert DOWN not in {verdict.state for verdict in members[node].verdicts.all}


async def test_nobody_is_down_because_we_all_slept(autojump_clock: MockClock) -> None:
    async with running(3) as members:
        await members[0].verdicts.wait_last(2, UP)
        await trio.sleep(10)
        autojump_clock.jump(30)
        await trio.sleep(30)
        for node in range(3):
            assert {verdict.state for verdict in members[node].verdicts.all} == {UP}


async def test_a_sign_of_life_heard_after_the_service_ended_is_still_reported(
    autojump_clock: MockClock,
) -> None:
    async with running(2, start=1) as members:
        await trio.sleep(1)
        members[0].crash()
        await trio.sleep(1)
        members[0].service.heard(NodeId(1), Incarnation(1))
        assert members[0].verdicts.of(1) == [UP]


async def test_a_node_that_can_not_be_reached_is_counted_and_ends_nothing(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(3, start=2) as members:
        members.network.unreachable.add(endpoint(2))
        await trio.sleep(30)
        assert members[0].verdicts.of(1) == [UP]
        counted = members[0].service.statistics()
        assert counted.send_errors_total > 20
        assert counted.sent_datagrams_total > 20
        told = [
            record
            for record in caplog.messages
            if record.startswith("node node2: heartbeats can't be sent")
        ]
        assert len(told) == 2, "once by each sender, not once a second"


async def test_an_error_on_receive_is_counted_and_ends_nothing(autojump_clock: MockClock) -> None:
    async with running(2) as members:
        members[0].socket.report(OSError("connection refused"))
        await trio.sleep(10)
        assert members[0].service.statistics().receive_errors_total == 1
        assert members[0].verdicts.of(1) == [UP]


async def test_garbage_is_dropped_counted_and_logged_ever_less_often(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(2) as members:
        for _ in range(100):
            members[0].socket.accept(b"garbage", endpoint(1))
        members[0].socket.accept(Speaker(1).ping(), ("127.0.0.1", 9))
        await trio.sleep(10)
        dropped = members[0].service.statistics().dropped_datagrams_total
        assert dropped[DropReason.MALFORMED] == 100
        assert dropped[DropReason.UNKNOWN_SOURCE] == 1
        assert len([m for m in caplog.messages if "heartbeat dropped, malformed" in m]) == 7
        assert members[0].verdicts.of(1) == [UP]


async def test_a_repeated_datagram_is_no_sign_of_life(autojump_clock: MockClock) -> None:
    async with running(2, start=1) as members:
        replayed = Speaker(1).ping()
        for _ in range(20):
            members[0].socket.accept(replayed, endpoint(1))
            await trio.sleep(1)
        assert members[0].verdicts.of(1) == [UP, SUSPECT, DOWN]
        assert members[0].service.statistics().dropped_datagrams_total[DropReason.REPLAYED] == 19


async def test_bytes_are_counted_whether_they_count_or_not(autojump_clock: MockClock) -> None:
    async with running(2, start=1, key=bytes(32)) as members:
        other = members.network.bind(endpoint(1))
        before = members[0].service.statistics()  # what left already went nowhere
        arrived = [Speaker(1, bytes(32)).ping(), b"garbage"]
        for datagram in arrived:
            members[0].socket.accept(datagram, endpoint(1))
        await trio.sleep(10.1)
        counted = members[0].service.statistics()
        assert counted.received_bytes_total == sum(map(len, arrived))
        sent = []
        while received := other.receive_from():
            sent.append(len(received[0]))
        assert counted.sent_datagrams_total - before.sent_datagrams_total == len(sent)
        assert counted.sent_bytes_total - before.sent_bytes_total == sum(sent)
        assert len(sent) > 5


@pytest.mark.slow
async def test_the_key_changes_at_one_node_after_the_other_and_nobody_is_down(
    autojump_clock: MockClock,
) -> None:
    """Links keep those alive whose datagrams can't be read yet."""

    async def beat_on_links(members: Members) -> None:
        for _ in range(40):
            for node in range(3):
                for other in {0, 1, 2} - {node}:
                    members[node].service.heard(NodeId(other), Incarnation(1))
            await trio.sleep(0.5)

    old, new = bytes(32), bytes([1]) * 32
    async with running(3, key=old) as members:
        for node in range(3):
            await members[node].verdicts.wait_last((node + 1) % 3, UP)
        for node in range(3):
            assert members[node].service.on_key_changed(new)
            assert not members[node].service.on_key_changed(new)
            await beat_on_links(members)
        assert members[2].service.statistics().dropped_datagrams_total[DropReason.BAD_MAC]
        await trio.sleep(KEY_OVERLAP_SECONDS + 1)
        for node in range(3):
            assert {verdict.state for verdict in members[node].verdicts.all} == {UP}
        before = members[0].service.statistics().dropped_datagrams_total[DropReason.BAD_MAC]
        members[0].socket.accept(Speaker(1, old).ping(), endpoint(1))
        await trio.sleep(1)
        assert (
            members[0].service.statistics().dropped_datagrams_total[DropReason.BAD_MAC]
            == before + 1
        )


async def test_a_service_follows_its_members(autojump_clock: MockClock) -> None:
    async with running(3) as members:
        await members[0].verdicts.wait_last(1, UP)
        cluster = members.cluster
        without_2 = replace(cluster, node=tuple(each for each in cluster.node if each.number != 2))
        members[0].service.on_members_changed(without_2)
        members[1].service.on_members_changed(without_2)
        members[2].crash()
        await trio.sleep(30)
        assert DOWN not in members[0].verdicts.of(2)
        assert not members[0].service.is_starved
        members[0].service.on_members_changed(cluster)
        await members[0].verdicts.wait_last(2, DOWN)


async def test_one_wake_up_reads_no_more_than_its_limit(autojump_clock: MockClock) -> None:
    async with running(2, start=1) as members:
        speaker = Speaker(1)
        for _ in range(DATAGRAMS_PER_WAKE_MAX + 44):
            members[0].socket.accept(speaker.ping(), endpoint(1))
        members[0].service._receive(trio.current_time())
        assert members[0].service.statistics().received_datagrams_total == DATAGRAMS_PER_WAKE_MAX
        await trio.sleep(0.01)
        assert (
            members[0].service.statistics().received_datagrams_total == DATAGRAMS_PER_WAKE_MAX + 44
        )


async def test_verdicts_are_logged_with_their_reason(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="ramster.heartbeat")
    async with running(2, start=1) as members:
        await members[0].verdicts.wait_last(1, DOWN)
    assert "node node1 is down: it never answered" in caplog.messages


async def test_an_exception_of_the_subscriber_ends_the_service_and_closes_the_socket(
    autojump_clock: MockClock,
) -> None:
    def fail(verdicts: object) -> None:
        raise RuntimeError("a bug")

    cluster, network = cluster_of(2), SimDatagramNetwork(rng=random.Random(0))
    service = HeartbeatService(
        cluster,
        NodeId(0),
        detector=Swim(
            [NodeId(1)],
            NodeId(0),
            Incarnation(1),
            cluster.timers,
            now=trio.current_time(),
            rng=random.Random(0),
        ),
        datagram_socket=network.bind(endpoint(0)),
        on_verdicts=fail,
    )
    with pytest.raises(RuntimeError, match="a bug"):
        await service.run()
    network.bind(endpoint(0))
