"""Whole meshes over the simulated network in virtual time."""

import logging
import random
from collections.abc import Callable
from functools import partial

import pytest
import trio
import trio.lowlevel
import trio.testing

from config.model import TimersConfig
from net.backoff import RECONNECT_SECONDS_FIRST, RECONNECT_SECONDS_MAX
from net.errors import LocalProtocolError
from net.frame import Frame, LinkType
from net.hello import Hello, encode_reject
from net.judgement import PROBE_SECONDS
from net.link import Failure, Link
from net.mesh import Mesh
from net.moves import Address
from nodemanager.ids import Incarnation, NodeId
from nodemanager.states import LinkState
from tests.helpers.links import (
    ASK,
    LIMITS,
    TELL,
    Diary,
    PlayedPeer,
    make_frame,
    make_hello,
)
from tests.simulation.network import SimNetwork

Members = dict[NodeId, Address]


def members_of(*numbers: int) -> Members:
    return {NodeId(number): ("127.0.0.1", 7700 + number) for number in numbers}


class Node:
    """One mesh that can be stopped and started in a new incarnation."""

    def __init__(
        self, number: int, network: SimNetwork, members: Members, hello: Hello | None = None
    ) -> None:
        self.number = NodeId(number)
        self.diary = Diary()
        self.network = network
        self.members = members
        self.hello = hello or make_hello(number)
        self.scope = trio.CancelScope()
        # Why there is no link, as last told.
        self.no_link: dict[NodeId, tuple[LinkState, str]] = {}
        # What is known of the incarnations of others, and what others say of ours.
        self.newest: dict[int, Incarnation] = {}
        self.outdated: list[tuple[int, int]] = []
        self.mesh = self._make_mesh(self.hello)

    def _make_mesh(self, hello: Hello) -> Mesh:
        return Mesh(
            hello,
            members=lambda: self.members,
            handler=self.diary,
            transport=self.network,
            limits=LIMITS,
            rng=random.Random(self.number),
            newest=self._newest_of,
            on_outdated=lambda node, newest: self.outdated.append((node, newest)),
            greetings_max=4,
            on_no_link=self._on_no_link,
        )

    def _on_no_link(self, node: NodeId, why: LinkState, reason: str) -> None:
        self.no_link[node] = (why, reason)

    def _newest_of(self, node: NodeId) -> Incarnation | None:
        return self.newest.get(node)

    async def start(self, nursery: trio.Nursery) -> None:
        await nursery.start(self._serve)

    async def _serve(self, *, task_status: trio.TaskStatus[int]) -> None:
        with self.scope:
            await self.mesh.serve(task_status=task_status)

    def links(self) -> list[int]:
        return sorted(self.mesh.links)


async def start_all(nursery: trio.Nursery, nodes: list[Node]) -> None:
    for node in nodes:
        await node.start(nursery)
    await trio.sleep(2)


def make_nodes(count: int) -> list[Node]:
    network = SimNetwork()
    numbers = range(1, count + 1)
    return [Node(number, network, members_of(*numbers)) for number in numbers]


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]])
async def test_nodes_that_start_in_any_order_have_one_link_a_pair(
    autojump_clock: trio.testing.MockClock, order: list[int]
) -> None:
    nodes = make_nodes(4)
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [nodes[place] for place in order])
        assert [node.links() for node in nodes] == [[2, 3, 4], [1, 3, 4], [1, 2, 4], [1, 2, 3]]
        assert all(sorted(node.diary.up) == node.links() for node in nodes)
        nursery.cancel_scope.cancel()


async def test_a_stopped_node_says_goodbye_and_is_dialled_again_when_it_is_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    one, two = make_nodes(2)
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [one, two])
        one.scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert two.diary.lost == [(1, "closed by the peer: node node1 stops")]
        assert two.links() == []
        await trio.sleep(60)
        again = Node(1, one.network, one.members, make_hello(1, incarnation=5000))
        await again.start(nursery)
        await trio.sleep(RECONNECT_SECONDS_MAX)
        assert two.links() == [1]
        assert two.mesh.links[NodeId(1)].incarnation == 5000
        nursery.cancel_scope.cancel()


async def test_a_node_that_was_away_for_long_is_dialled_as_soon_as_it_is_heard(
    autojump_clock: trio.testing.MockClock,
) -> None:
    one, two = make_nodes(2)
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [one, two])
        one.scope.cancel()
        for _ in range(10):  # so the pauses are long, and this is early in one
            await trio.sleep(RECONNECT_SECONDS_MAX)
        tries = len(one.network.connections)
        again = Node(1, one.network, one.members, make_hello(1, incarnation=5000))
        await again.start(nursery)
        two.mesh.on_process_begun(NodeId(1))
        again.mesh.on_process_begun(NodeId(2))  # nobody that it dials
        await trio.sleep(RECONNECT_SECONDS_FIRST)
        assert two.links() == [1]
        assert len(one.network.connections) == tries + 1
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("knows_first", [1, 2])
async def test_both_sides_of_a_removed_node_say_who_was_removed(
    autojump_clock: trio.testing.MockClock, knows_first: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Node 2 is removed; one that was removed has no members any more."""
    caplog.set_level(logging.INFO)
    one, two = make_nodes(2)
    one.members, two.members = dict(one.members), dict(two.members)
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [one, two])
        if knows_first == 1:
            del one.members[NodeId(2)]
            one.mesh.on_members_changed()
        else:
            two.members.clear()
            two.mesh.on_members_changed()
        await trio.testing.wait_all_tasks_blocked()
        reasons = {
            f"closed by {side}: node node2 was removed from the cluster"
            for side in ("the peer", "this node")
        }
        assert {reason for _, reason in (*one.diary.lost, *two.diary.lost)} == reasons
        closed = [record for record in caplog.records if "removed" in record.getMessage()]
        assert {record.getMessage().partition(": link ")[2] for record in closed} == reasons
        assert {record.levelno for record in closed} == {logging.INFO}
        nursery.cancel_scope.cancel()


async def test_a_cut_link_is_back_within_a_second(autojump_clock: trio.testing.MockClock) -> None:
    one, two = make_nodes(2)
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [one, two])
        await trio.sleep(60)
        one.network.connections[-1].cut()
        await trio.sleep(1)
        assert one.diary.calls == two.diary.calls == ["up", "lost", "up"]
        nursery.cancel_scope.cancel()


async def test_reconnecting_slows_down_but_never_stops(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    _, two = make_nodes(2)
    async with trio.open_nursery() as nursery:
        await two.start(nursery)
        with caplog.at_level("DEBUG", logger="ramster.net"):
            await trio.sleep(300)
        tries = [record for record in caplog.records if "next attempt in" in record.getMessage()]
        assert 30 <= len(tries) <= 75
        # The same sentence again and again is for debugging.
        assert [record.levelname for record in tries] == ["WARNING"] + ["DEBUG"] * (len(tries) - 1)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"cluster": "other"}, "cluster 'other', ours is 'lab'"),
        ({"unit_bytes": 8192}, "unit of 8192 bytes, ours has 4096"),
        ({"codecs": ("zstd",)}, "no codec in common"),
    ],
)
async def test_a_handshake_mismatch_is_logged_on_both_sides(
    autojump_clock: trio.testing.MockClock,
    caplog: pytest.LogCaptureFixture,
    changes: dict[str, object],
    reason: str,
) -> None:
    network = SimNetwork()
    one = Node(1, network, members_of(1, 2))
    two = Node(2, network, members_of(1, 2), make_hello(2, **changes))
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [one, two])
        assert one.links() == two.links() == []
        messages = [record.getMessage() for record in caplog.records]
        assert any(m.startswith("refused node node2 (2): ") and reason in m for m in messages)
        assert any("the peer refused this node: " in m and reason in m for m in messages)
        [(why, told)] = one.no_link.values()
        assert why is LinkState.REFUSED_HERE
        assert reason in told
        assert two.no_link == {NodeId(1): (LinkState.REFUSED_THERE, told)}
        nursery.cancel_scope.cancel()


async def dial(network: SimNetwork, hello: Hello) -> bytes:
    """Dial node 1 by hand as somebody else; return what comes first."""
    stream = await network.dial("127.0.0.1", 7701)
    stream.send_nowait([make_frame(LinkType.HELLO, table=hello.encode())])
    target = bytearray(4096)
    count = await stream.receive_into(memoryview(target))
    return bytes(target[:count])


async def test_a_second_link_is_refused_as_long_as_the_first_lives(
    autojump_clock: trio.testing.MockClock,
) -> None:
    one, two = make_nodes(2)
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [one, two])
        answer = await dial(one.network, two.hello)
        assert answer[3] == LinkType.REJECT
        assert b"a second link of this node: the first one is open" in answer
        older = await dial(one.network, make_hello(2, incarnation=3))
        assert older[3] == LinkType.REJECT
        assert one.diary.calls == two.diary.calls == ["up"]
        nursery.cancel_scope.cancel()


async def test_a_half_open_link_gives_way_to_the_same_incarnation_within_a_second(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Their end was reset, and a firewall dropped the RST: nothing tells us but that they dial again."""
    one, two = make_nodes(2)
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [one, two])
        link = one.mesh.links[NodeId(2)]
        link.request(ASK, request_id=7, deadline=trio.current_time() + 100)
        link.push()
        one.network.connections[-1].break_dialed_end()
        await trio.sleep(PROBE_SECONDS + RECONNECT_SECONDS_FIRST + 0.1)
        assert one.diary.calls == ["up", "failed", "lost", "up"]
        assert one.diary.failures == [(7, Failure.LOST)]
        assert one.diary.lost == [
            (
                2,
                "replaced by a new link: the peer connected again and did not answer on this link within 1 s",
            )
        ]
        assert one.links() == [2]
        assert two.links() == [1]
        nursery.cancel_scope.cancel()


async def test_a_link_that_ends_while_it_is_probed_gives_way_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    one, two = make_nodes(2)
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [one, two])
        wire = one.network.connections[-1]
        wire.clog()
        nursery.start_soon(dial, one.network, two.hello)
        await trio.testing.wait_all_tasks_blocked()
        assert one.diary.calls == ["up"]
        wire.cut()
        await trio.testing.wait_all_tasks_blocked()
        assert one.diary.calls[:3] == ["up", "lost", "up"]
        nursery.cancel_scope.cancel()


async def test_one_who_goes_away_while_the_first_link_is_probed_changes_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    one, two = make_nodes(2)
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [one, two])
        one.network.connections[-1].clog()
        stream = await one.network.dial("127.0.0.1", 7701)
        stream.send_nowait([make_frame(LinkType.HELLO, table=two.hello.encode())])
        await trio.sleep(PROBE_SECONDS / 2)
        stream.close()
        await trio.sleep(PROBE_SECONDS)
        assert one.diary.calls == ["up"]
        nursery.cancel_scope.cancel()


async def test_of_several_that_dial_while_the_link_hangs_one_stays(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Each wins over what was probed for it alone: the first over the link, the second only over a dead first."""
    one, two = make_nodes(2)
    answers: list[int] = []

    async def dial_and_live() -> None:
        stream = await one.network.dial("127.0.0.1", 7701)
        peer = PlayedPeer(stream)
        peer.say(make_frame(LinkType.HELLO, table=two.hello.encode()))
        while frames := await peer.hear():
            answers.extend(frame.type for frame in frames)
            if frames[-1].type == LinkType.PROBE:
                peer.say(make_frame(LinkType.KEEPALIVE))

    async with trio.open_nursery() as nursery:
        await start_all(nursery, [one, two])
        one.network.connections[-1].clog()
        nursery.start_soon(dial_and_live)
        nursery.start_soon(dial_and_live)
        await trio.sleep(3 * PROBE_SECONDS)
        assert one.diary.calls == ["up", "lost", "up"]
        assert sorted(kind for kind in answers if kind in {LinkType.HELLO, LinkType.REJECT}) == [
            LinkType.HELLO,
            LinkType.REJECT,
        ]
        nursery.cancel_scope.cancel()


async def test_no_other_node_can_push_a_link_out(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Who fails a check is refused before anybody is probed."""
    one, two = make_nodes(2)
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [one, two])
        one.network.connections[-1].clog()
        await trio.sleep(0.1)
        sent = one.mesh.links[NodeId(2)].statistics().frames_sent_total
        for hello in (
            make_hello(2, cluster="other"),
            make_hello(2, unit_bytes=8192),
            make_hello(7),
        ):
            answer = await dial(one.network, hello)
            assert answer[3] == LinkType.REJECT
        assert one.mesh.links[NodeId(2)].statistics().frames_sent_total == sent
        assert one.diary.calls == ["up"]
        nursery.cancel_scope.cancel()


async def test_the_dialling_side_dials_again_beside_a_link_that_fell_silent(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The accepting side lost its end and can't dial: the other need not wait until the link is idle."""
    one, two = make_nodes(2)
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [one, two])
        one.network.connections[-1].break_accepted_end()
        silent_seconds = two.mesh.silent_seconds
        assert silent_seconds < TimersConfig().idle_seconds / 3
        await trio.sleep(silent_seconds + RECONNECT_SECONDS_FIRST + 1)
        assert one.diary.calls == two.diary.calls == ["up", "lost", "up"]
        assert one.links() == [2]
        assert two.links() == [1]
        assert "replaced" in two.diary.lost[0][1]
        nursery.cancel_scope.cancel()


async def test_a_link_that_is_silent_for_a_while_outlives_the_dials_beside_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A cut path, not a dead end: what it holds arrives when it is whole again."""
    one, two = make_nodes(2)
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [one, two])
        wire = one.network.connections[-1]
        wire.clog()
        one.network.dark.add("127.0.0.1")
        await trio.sleep(two.mesh.silent_seconds + 5)
        wire.clog(there=False, back=False)
        await trio.sleep(60)
        assert one.diary.calls == two.diary.calls == ["up"]
        nursery.cancel_scope.cancel()


async def test_a_new_incarnation_of_a_node_replaces_its_silent_link(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A machine that lost power sends no FIN; it must not be kept out until its old link is idle."""
    one, two = make_nodes(2)
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [one, two])
        one.network.connections[-1].clog()
        answer = await dial(one.network, make_hello(2, incarnation=9999))
        assert answer[3] == LinkType.HELLO
        assert one.diary.calls[:3] == ["up", "lost", "up"]
        assert "new incarnation" in one.diary.lost[0][1]
        nursery.cancel_scope.cancel()


async def test_a_process_that_kept_its_memory_replaces_the_silent_link_of_the_one_before(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The same incarnation; it is let in at once, for no probe is needed to know that the other is gone."""
    one, two = make_nodes(2)
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [one, two])
        one.network.connections[-1].clog()
        answer = await dial(one.network, make_hello(2, attach_count=1))
        assert answer[3] == LinkType.HELLO
        assert one.diary.calls[:3] == ["up", "lost", "up"]
        assert "was restarted with its memory kept" in one.diary.lost[0][1]
        nursery.cancel_scope.cancel()


async def test_a_process_that_ended_does_not_replace_the_link_of_the_one_after(
    autojump_clock: trio.testing.MockClock,
) -> None:
    network = SimNetwork()
    one = Node(1, network, members_of(1, 2))
    two = Node(2, network, members_of(1, 2), make_hello(2, attach_count=2))
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [one, two])
        assert one.mesh.links[NodeId(2)].attach_count == 2
        answer = await dial(network, make_hello(2, attach_count=1))
        assert b"node 2 was restarted since, with its memory kept" in answer
        assert one.diary.calls == ["up"]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("earlier", [1, 2], ids=["the dialled side", "the dialling side"])
async def test_an_earlier_incarnation_is_refused_and_told_which_one_is_known(
    autojump_clock: trio.testing.MockClock, earlier: int
) -> None:
    one, two = make_nodes(2)
    refusing, refused = (two, one) if earlier == 1 else (one, two)
    refusing.newest[earlier] = Incarnation(5000)
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [one, two])
        assert refused.outdated
        assert set(refused.outdated) == {(refusing.number, 5000)}
        assert refusing.outdated == []
        assert refusing.links() == []
        refused.mesh.begin_incarnation(Incarnation(5001))
        await trio.sleep(RECONNECT_SECONDS_MAX)
        assert refusing.mesh.links[refused.number].incarnation == 5001
        assert refused.links() == [refusing.number]
        nursery.cancel_scope.cancel()


async def test_a_new_incarnation_of_ours_replaces_every_link_and_all_that_are_about_to_be(
    autojump_clock: trio.testing.MockClock,
) -> None:
    one, two, three = make_nodes(3)
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [one, two])
        # Its HELLO is on the way when the incarnation that it greets is over.
        one.network.delay_seconds = 0.3
        await three.start(nursery)
        await trio.sleep(0.5)
        two.mesh.begin_incarnation(Incarnation(5000))
        await trio.sleep(RECONNECT_SECONDS_MAX)
        assert one.mesh.links[two.number].incarnation == 5000
        assert three.mesh.links[two.number].incarnation == 5000
        assert two.links() == [1, 3]
        nursery.cancel_scope.cancel()


async def test_what_a_stranger_says_of_our_incarnation_is_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Who connects and says REJECT has not said who it is."""
    (one,) = make_nodes(1)
    async with trio.open_nursery() as nursery:
        await one.start(nursery)
        stream = await one.network.dial("127.0.0.1", 7701)
        reject = encode_reject("earlier", Incarnation(1 << 50))
        stream.send_nowait([make_frame(LinkType.REJECT, table=reject)])
        await trio.sleep(1)
        assert one.outdated == []
        nursery.cancel_scope.cancel()


async def test_connections_that_never_greet_are_bounded_and_expire(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = make_nodes(2)
    async with trio.open_nursery() as nursery:
        await one.start(nursery)
        streams = [await one.network.dial("127.0.0.1", 7701) for _ in range(5)]
        with trio.fail_after(1):
            while await streams[0].receive_into(memoryview(bytearray(64))):
                pass
        assert "too many connections without a greeting" in caplog.text
        # All places are taken, and yet a member gets in.
        await two.start(nursery)
        await trio.sleep(1)
        assert one.links() == [2]
        assert "no HELLO within 5 s" not in caplog.text
        await trio.sleep(6)
        assert caplog.text.count("no HELLO within 5 s") == 3
        nursery.cancel_scope.cancel()


async def test_open_links_do_not_count_as_greetings(autojump_clock: trio.testing.MockClock) -> None:
    nodes = make_nodes(7)
    async with trio.open_nursery() as nursery:
        await start_all(nursery, nodes)
        assert nodes[0].links() == [2, 3, 4, 5, 6, 7]
        nursery.cancel_scope.cancel()


async def test_members_that_come_and_go_gain_and_lose_their_links(
    autojump_clock: trio.testing.MockClock,
) -> None:
    nodes = make_nodes(3)
    one, _, three = nodes
    three.members = members_of(2, 3)
    async with trio.open_nursery() as nursery:
        await start_all(nursery, nodes)
        assert three.links() == [2]
        three.members = members_of(1, 2, 3)
        three.mesh.on_members_changed()
        await trio.sleep(1)
        assert three.links() == [1, 2]
        three.members = members_of(1, 3)
        one.members = members_of(1, 2)
        three.mesh.on_members_changed()
        one.mesh.on_members_changed()
        await trio.sleep(60)
        assert [node.links() for node in nodes] == [[2], [1], []]
        nursery.cancel_scope.cancel()


async def test_a_member_that_does_not_answer_at_all_delays_nobody(
    autojump_clock: trio.testing.MockClock,
) -> None:
    network = SimNetwork()
    members = members_of(1, 2, 3) | {NodeId(1): ("10.0.0.1", 7700)}
    network.dark.add("10.0.0.1")
    two, three = Node(2, network, members), Node(3, network, members)
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [two, three])
        assert three.links() == [2]
        nursery.cancel_scope.cancel()


async def test_plaintext_beyond_loopback_needs_a_word(
    autojump_clock: trio.testing.MockClock,
) -> None:
    node = Node(1, SimNetwork(), {NodeId(1): ("10.0.0.1", 7700)})
    with pytest.raises(LocalProtocolError, match="insecure_plaintext = true"):
        await node.mesh.serve(task_status=trio.TASK_STATUS_IGNORED)


@pytest.mark.parametrize("buggy", [0, 1], ids=["the accepting side", "the dialling side"])
async def test_a_bug_of_ours_ends_the_mesh_on_either_side(
    autojump_clock: trio.testing.MockClock, buggy: int
) -> None:
    def fail(link: Link, frame: Frame) -> None:
        raise ZeroDivisionError

    nodes = make_nodes(2)
    nodes[buggy].diary._answer = fail
    other = nodes[1 - buggy]
    with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            await start_all(nursery, nodes)
            (link,) = other.mesh.links.values()
            link.post(TELL)
            link.push()
            await trio.sleep(1)


async def test_the_same_story_over_and_over_ends_every_request_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Requests while links break: as many ends as beginnings."""

    def answer(link: Link, frame: Frame) -> None:
        if not frame.is_reply:
            link.post(ASK, request_id=frame.request_id, is_reply=True)

    one, two = make_nodes(2)
    one.diary._answer = answer
    begun = 0

    async def ask(link: Link) -> None:
        nonlocal begun
        begun += 1
        link.request(ASK, request_id=begun, deadline=trio.current_time() + 0.3)
        link.push()

    async with trio.open_nursery() as nursery:
        await start_all(nursery, [one, two])
        rng = random.Random(5)
        for _ in range(200):
            wire = one.network.connections[-1]
            heal = partial(wire.clog, there=False, back=False)
            acts: list[Callable[[], None]] = [wire.cut, wire.clog, heal]
            act = rng.choice(acts)
            if rng.randrange(10) == 0:
                act()
            for link in list(two.mesh.links.values()):
                await ask(link)
            await trio.sleep(rng.uniform(0, 0.5))
        await trio.sleep(60)
        replies = [frame.request_id for frame in two.diary.frames]
        failures = [request_id for request_id, _ in two.diary.failures]
        assert sorted(replies + failures) == list(range(1, begun + 1))
        assert {failure for _, failure in two.diary.failures} == set(Failure)
        nursery.cancel_scope.cancel()


async def test_a_link_that_is_lost_is_said_once_by_each_side(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="ramster.net")
    one, two = make_nodes(2)
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [one, two])
        caplog.clear()
        one.mesh.links[NodeId(2)].close("tired of it")
        await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked()
        said = [message for message in caplog.messages if "tired of it" in message]
        assert len(said) == 2, said
        await trio.sleep(2)
        assert one.links() == [2]
        nursery.cancel_scope.cancel()


# Members that move.


def moved(members: Members, number: int, port: int) -> Members:
    return {**members, NodeId(number): ("127.0.0.1", port)}


def tell_members(nodes: list[Node], members: Members) -> None:
    for node in nodes:
        node.members = members
        node.mesh.on_members_changed()


def lost(node: Node) -> list[str]:
    return [reason for _, reason in node.diary.lost]


async def test_a_node_that_moves_is_linked_at_its_new_address_and_nothing_is_interrupted(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The new link takes the place of the old one in one step: there is no moment without."""
    caplog.set_level(logging.INFO)
    one, two, three = nodes = make_nodes(3)
    async with trio.open_nursery() as nursery:
        await start_all(nursery, nodes)
        made = len(one.network.connections)
        tell_members(nodes, moved(one.members, 1, 7801))
        await one.mesh.listen_at(["127.0.0.1"], 7801)
        await trio.sleep(1)
        assert [node.links() for node in nodes] == [[2, 3], [1, 3], [1, 2]]
        assert len(one.network.connections) == made + 2, "those between the others stay"
        dialled = "replaced by a new link: the peer moved"
        assert lost(two) == lost(three) == [dialled]
        assert (
            lost(one)
            == ["replaced by a new link: the peer dialled this node where it has moved to"] * 2
        )
        assert one.diary.calls == ["up", "up", "lost", "up", "lost", "up"]
        await trio.sleep(60)
        assert len(one.network.connections) == made + 2
        nursery.cancel_scope.cancel()
    assert "node number 1 has moved to 127.0.0.1:7801: it is dialled there" in caplog.messages


async def test_a_wrong_new_address_costs_no_link(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = nodes = make_nodes(2)
    async with trio.open_nursery() as nursery:
        await start_all(nursery, nodes)
        made = len(one.network.connections)
        right = one.members
        tell_members(nodes, moved(right, 1, 7801))
        await trio.sleep(120)
        assert one.links() == [2]
        assert two.links() == [1]
        assert not one.diary.lost
        assert not two.no_link, "there is one"
        assert any(
            "node number 1: the old link stays: no link at the new address: nobody listens at 127.0.0.1 port 7801"
            in each
            for each in caplog.messages
        )
        # Back to what it was: also that is a move, to where the node is.
        tell_members(nodes, right)
        await trio.sleep(1)
        assert len(one.network.connections) == made + 1
        assert one.links() == [2]
        nursery.cancel_scope.cancel()


async def test_another_node_at_the_new_address_takes_no_link_away(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Two members are mixed up: the one that answers there says that it is not the one that was meant."""
    one, two, three = nodes = make_nodes(3)
    async with trio.open_nursery() as nursery:
        await start_all(nursery, nodes)
        tell_members([three], {**three.members, NodeId(1): three.members[NodeId(2)]})
        await trio.sleep(60)
        assert [node.links() for node in nodes] == [[2, 3], [1, 3], [1, 2]]
        assert not one.diary.lost
        assert not two.diary.lost
        nursery.cancel_scope.cancel()


async def test_a_move_of_the_dialling_side_leaves_its_links_alone(
    autojump_clock: trio.testing.MockClock,
) -> None:
    one, two = nodes = make_nodes(2)
    async with trio.open_nursery() as nursery:
        await start_all(nursery, nodes)
        made = len(one.network.connections)
        tell_members(nodes, moved(one.members, 2, 7802))
        await two.mesh.listen_at(["127.0.0.1"], 7802)
        await trio.sleep(60)
        assert len(one.network.connections) == made
        assert not one.diary.lost
        assert two.mesh.places() == [("127.0.0.1", 7802)]
        nursery.cancel_scope.cancel()


async def test_a_node_that_moved_is_found_there_after_its_restart(
    autojump_clock: trio.testing.MockClock,
) -> None:
    network = SimNetwork()
    before = members_of(1, 2)
    one, two = Node(1, network, before), Node(2, network, before)
    async with trio.open_nursery() as nursery:
        await start_all(nursery, [one, two])
        one.scope.cancel()
        await trio.sleep(5)
        after = moved(before, 1, 7801)
        tell_members([two], after)
        again = Node(1, network, after)
        await again.start(nursery)
        await trio.sleep(1)
        assert two.links() == [1]
        nursery.cancel_scope.cancel()


async def test_a_name_is_resolved_for_each_new_link(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """What it means may change while there is no link."""
    network = SimNetwork()
    members: Members = {NodeId(1): ("127.0.0.1", 7701), NodeId(2): ("two.example", 7702)}
    asked: list[str] = []

    async def resolve(host: str) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if host == "127.0.0.1" else ["127.0.0.9", "127.0.0.2"]

    one = Node(1, network, {**members, NodeId(1): ("one.example", 7701)})
    two = Node(2, network, {**members, NodeId(1): ("one.example", 7701)})
    for node in (one, two):
        node.mesh._resolve = resolve
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(one.mesh.serve, addresses=["127.0.0.2"]))
        await two.start(nursery)
        await trio.sleep(1)
        assert two.mesh.places() == [("127.0.0.9", 7702), ("127.0.0.2", 7702)]
        assert two.links() == [1]
        assert asked.count("one.example") == 1
        one.network.connections[-1].cut()
        await trio.sleep(1)
        assert two.links() == [1]
        assert asked.count("one.example") == 2
        nursery.cancel_scope.cancel()
