"""What `ramsterctl node` is told, call by call: the members are real, what the other nodes say is made up."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from trio.testing import MockClock

from config.model import ClusterConfig
from net.frame import Frame
from nodemanager.ids import NodeId
from nodemanager.states import NodeState, Verdict
from nodemanager.table import NodeTable
from ramsterd.admin.node_commands import (
    ANSWERS_SECONDS_MAX,
    POLL_SECONDS_MAX,
    add_node,
    cordon_node,
    drain_node,
    node_commands,
    remove_node,
    set_node,
)
from ramsterd.admin.socket import CommandRefused
from ramsterd.membership.members import Members
from ramsterd.membership.messages import Holdings, MemberMessage, holdings_message
from ramsterd.remote.home.last_copies import Counted
from tests.helpers.clusters import cluster_of

LOCAL, PEER, LEAVING = NodeId(0), NodeId(1), NodeId(2)
NAME = "node2"


class Peer:
    """A link whose other end says what a test has it say."""

    def __init__(self, node: NodeId) -> None:
        self.node = node
        self.asked = 0

    def post(self, frame_type: int, **_: object) -> None:
        self.asked += frame_type == MemberMessage.ASK

    def push(self) -> None:
        """Nothing is kept back."""


class Cluster:
    """Node 0 is asked; nodes 1 and 2 are linked with it."""

    def __init__(self, nodes: int = 3) -> None:
        self.applied: list[ClusterConfig] = []
        self.last_copies = 0
        self.pages_there = 0
        self.links: dict[NodeId, Any] = {node: Peer(node) for node in (PEER, LEAVING)}
        cluster = cluster_of(nodes)
        engine: Any = SimpleNamespace(
            nodes=NodeTable(cluster, LOCAL),
            begin_last_copies_count=lambda node, **_: self._counting.append(node),
            pages_there=lambda _: self.pages_there,
            pages_here=lambda _: 0,
            pages_owned=lambda: 0,
        )
        self.table = engine.nodes
        self._counting: list[NodeId] = []
        self.members = Members(engine, cluster, links=self.links, apply=self.applied.append)

    def count(self) -> None:
        """This node has counted its pages."""
        counting, self._counting = self._counting, []
        for node in counting:
            self.members.inquiries.on_counted(Counted(node, last_copies=self.last_copies))

    def say(self, source: NodeId, *, last_copies: int = 0, pages_here: int = 0) -> None:
        """Have a peer answer what it has to do with the node that is to go."""
        table = holdings_message(Holdings(LEAVING, last_copies, last_copies, pages_here))
        frame = Frame(MemberMessage.HOLDINGS, False, 0, 1, memoryview(table), memoryview(b""))
        self.members.on_frame(self.links[source], frame)

    def say_all(self) -> None:
        """All answer that there is nothing."""
        self.count()
        self.say(PEER)
        self.say(LEAVING)

    def kill(self) -> None:
        """The node that is to go is given up."""
        del self.links[LEAVING]
        self.members.on_link_lost(LEAVING)
        self.table.on_verdict(Verdict(LEAVING, NodeState.DOWN, None, "no answer"), now=0.0)

    def names(self) -> list[str]:
        return [node.name for node in self.members.cluster.node]

    def remove(self, **more: object) -> Any:
        return remove_node(self.members, {"name": NAME, **more})

    def drain(self) -> Any:
        return drain_node(self.members, {"name": NAME})


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def new_node(**changes: object) -> dict[str, object]:
    node = {"number": 7, "name": "node7", "address": "127.0.0.1", "port": 7777}
    return {"node": {**node, **changes}}


def is_cordoned(cluster: Cluster) -> bool:
    return cluster.members.find(NAME).cordoned


def test_each_command_has_its_name() -> None:
    assert sorted(node_commands(Cluster().members)) == [
        "node-add",
        "node-cordon",
        "node-remove",
        "node-set",
        "node-uncordon",
    ]


# Add and cordon.


async def test_a_node_that_is_added_is_a_member_everywhere(cluster: Cluster) -> None:
    result: Any = add_node(cluster.members, new_node())
    assert (result["state"], result["is_changed"]) == ("added", True)
    assert (result["membership_version"], result["membership_origin"]) == (1, "node0")
    assert cluster.names()[-1] == "node7"
    assert cluster.applied == [cluster.members.cluster]


@pytest.mark.parametrize(
    "request_", [{}, new_node(port=0), new_node(number=1), new_node(name="node1")]
)
async def test_a_node_that_breaks_a_rule_is_refused_and_nothing_changes(
    cluster: Cluster, request_: dict[str, object]
) -> None:
    before = cluster.members.cluster
    with pytest.raises(CommandRefused):
        add_node(cluster.members, request_)
    assert cluster.members.cluster == before
    assert not cluster.applied


async def test_to_say_a_thing_twice_changes_nothing(cluster: Cluster) -> None:
    result: Any = None
    for is_changed in (True, False):
        result = cordon_node(cluster.members, {"name": NAME}, is_cordoned=True)
        assert (result["state"], result["is_changed"]) == ("cordoned", is_changed)
        assert result["node"]["cordoned"]
    assert result["membership_version"] == 1


async def test_an_uncordoned_node_gets_pages_again(cluster: Cluster) -> None:
    cordon_node(cluster.members, {"name": NAME}, is_cordoned=True)
    result: Any = cordon_node(cluster.members, {"name": "2"}, is_cordoned=False)
    assert result["state"] == "uncordoned"
    assert not is_cordoned(cluster)


def test_a_member_is_moved_and_all_follow() -> None:
    cluster = Cluster()
    result: Any = set_node(cluster.members, {"name": NAME, "address": "127.0.0.9", "port": None})
    assert (result["state"], result["is_changed"], result["warnings"]) == ("moved", True, [])
    assert (result["node"]["address"], result["node"]["port"]) == ("127.0.0.9", 7702)
    (applied,) = cluster.applied
    assert applied.node[2].address == "127.0.0.9"
    assert applied.membership_version == 1
    again: Any = set_node(cluster.members, {"name": NAME, "address": "127.0.0.9"})
    assert (again["is_changed"], again["membership_version"]) == (False, 1)
    assert len(cluster.applied) == 1


def test_a_member_that_is_away_needs_the_file() -> None:
    cluster = Cluster()
    del cluster.links[LEAVING]
    result: Any = set_node(cluster.members, {"name": NAME, "port": 7712})
    (warning,) = result["warnings"]
    assert warning.startswith("node2 has no link to this node. Before it starts again, copy")
    ours: Any = set_node(cluster.members, {"name": "node0", "port": 7710})
    assert ours["warnings"] == []


@pytest.mark.parametrize(
    ("wanted", "refusal"),
    [
        ({}, "expected --address, --port or both"),
        ({"address": "0.0.0.0"}, "node node2: address: found '0.0.0.0', expected the address of"),  # noqa: S104
        ({"address": "::"}, "node node2: address: found '::', expected the address of one machine"),
        ({"address": "fe80::1"}, "expected the interface behind a link-local address"),
        ({"address": "10.0.0.1:7700"}, "the port is a value of its own (`--port`)"),
        ({"address": 7}, "expected a text in quotes"),
        ({"port": 0}, "port: found 0, expected 1 to 65535"),
        ({"port": 7701}, "127.0.0.1:7701 for node2, which is the address and port of node1 too"),
        ({"address": "192.0.2.1"}, "expected a loopback address"),
    ],
)
def test_a_wrong_place_is_refused_and_nothing_has_changed(
    wanted: dict[str, object], refusal: str
) -> None:
    cluster = Cluster()
    with pytest.raises(CommandRefused) as caught:
        set_node(cluster.members, {"name": NAME, **wanted})
    assert refusal in str(caught.value)
    assert not cluster.applied


@pytest.mark.parametrize("command", [cordon_node, drain_node, remove_node, set_node])
async def test_a_name_that_is_no_members_is_refused_with_those_that_are(
    cluster: Cluster, command: Callable[..., object]
) -> None:
    more = {"is_cordoned": True} if command is cordon_node else {}
    with pytest.raises(CommandRefused, match=r"'nobody'.*node0 \(0\), node1 \(1\), node2 \(2\)"):
        command(cluster.members, {"name": "nobody"}, **more)


# Remove.


async def test_a_removal_cordons_first_and_waits_for_answers(cluster: Cluster) -> None:
    result = cluster.remove()
    assert result["state"] == "asking"
    assert result["waits_for"] == ["node0", "node1", "node2"]
    assert is_cordoned(cluster)
    cluster.count()
    cluster.say(PEER)
    assert cluster.remove()["waits_for"] == ["node2"]
    assert [link.asked for link in cluster.links.values()] == [1, 1]


async def test_a_node_that_nobody_needs_is_removed(cluster: Cluster) -> None:
    cluster.remove()
    cluster.say_all()
    result = cluster.remove()
    assert (result["state"], result["lost"], result["not_asked"]) == ("removed", [], [])
    assert cluster.names() == ["node0", "node1"]


@pytest.mark.parametrize(
    ("source", "last_copies", "told"),
    [
        (LOCAL, 5, "5 pages of node0"),
        (PEER, 6, "6 pages of node1"),
        (LEAVING, 7, "7 pages of node2"),
    ],
)
async def test_who_would_lose_pages_keeps_it_until_it_is_forced(
    cluster: Cluster, source: NodeId, last_copies: int, told: str
) -> None:
    cluster.last_copies = last_copies if source == LOCAL else 0
    cluster.remove()
    cluster.count()
    for node in cluster.links:
        cluster.say(node, last_copies=last_copies if source == node else 0)
    with pytest.raises(CommandRefused, match=told):
        cluster.remove()
    assert is_cordoned(cluster)
    assert cluster.remove()["state"] == "asking", "each try asks anew"
    cluster.count()
    for node in cluster.links:
        cluster.say(node, last_copies=last_copies if source == node else 0)
    result = cluster.remove(force=True)
    assert result["state"] == "removed"
    assert len(result["lost"]) == 1


async def test_who_does_not_answer_keeps_it_after_a_time(
    cluster: Cluster, mock_clock: MockClock
) -> None:
    cluster.remove()
    cluster.count()
    cluster.say(LEAVING)
    waited = 0.0
    while waited < ANSWERS_SECONDS_MAX - POLL_SECONDS_MAX:
        mock_clock.jump(POLL_SECONDS_MAX / 2)
        waited += POLL_SECONDS_MAX / 2
        assert cluster.remove()["waits_for"] == ["node1"]
    mock_clock.jump(POLL_SECONDS_MAX - 1)
    cluster.remove()
    mock_clock.jump(2)
    with pytest.raises(CommandRefused, match="no answer from node1"):
        cluster.remove()


async def test_answers_to_somebody_who_went_away_count_no_more(
    cluster: Cluster, mock_clock: MockClock
) -> None:
    cluster.remove()
    cluster.say_all()
    mock_clock.jump(POLL_SECONDS_MAX)
    assert cluster.remove()["state"] == "asking"
    assert "node2" in cluster.names()


async def test_answers_from_before_an_uncordon_count_no_more(cluster: Cluster) -> None:
    """Since then it may have got pages."""
    cluster.remove()
    cluster.say_all()
    cordon_node(cluster.members, {"name": NAME}, is_cordoned=False)
    assert cluster.remove()["state"] == "asking"
    assert is_cordoned(cluster)


async def test_who_loses_its_link_is_waited_for_no_more(cluster: Cluster) -> None:
    cluster.remove()
    cluster.count()
    cluster.say(PEER)
    del cluster.links[LEAVING]
    cluster.members.on_link_lost(LEAVING)
    assert cluster.remove()["state"] == "removed"


async def test_a_node_that_is_down_can_not_be_emptied_and_that_is_said(cluster: Cluster) -> None:
    cluster.kill()
    cluster.remove()
    cluster.count()
    cluster.say(PEER, last_copies=6)
    with pytest.raises(CommandRefused, match="6 pages of node1") as caught:
        cluster.remove()
    told = str(caught.value)
    assert "node drain" not in told
    assert "node2 is down: pages can't be moved from it" in told
    assert told.endswith("It stays cordoned: `ramsterctl node uncordon node2` ends that")


async def test_with_one_node_less_pages_have_fewer_copies_and_that_is_said(
    cluster: Cluster,
) -> None:
    cluster.remove()
    cluster.say_all()
    assert len(cluster.remove()["warnings"]) == 1


async def test_where_enough_nodes_stay_there_is_no_warning() -> None:
    cluster = Cluster(nodes=4)
    cluster.remove()
    cluster.say_all()
    assert cluster.remove()["warnings"] == []


# Drain.


async def test_a_drain_is_an_order_with_a_name_for_all_nodes(cluster: Cluster) -> None:
    more = {"deadline_seconds": 7200, "reason": "a new kernel"}
    result: Any = drain_node(cluster.members, {"name": NAME, **more}, wall=1000.0)
    assert (result["state"], result["is_changed"]) == ("draining", True)
    node = cluster.members.find(NAME)
    assert (node.draining, node.cordoned) == (True, True)
    assert (node.drain_number, node.drain_began_at, node.drain_deadline_at) == (1, 1000, 8200)
    assert (node.drain_origin, node.drain_reason) == (LOCAL, "a new kernel")
    cordon_node(cluster.members, {"name": NAME}, is_cordoned=False)
    assert cluster.members.find(NAME) == cluster_of(3).node[LEAVING], "nothing of it is left"


async def test_a_drain_that_goes_on_can_get_another_deadline_and_reason(cluster: Cluster) -> None:
    drain_node(cluster.members, {"name": NAME, "reason": "why"}, wall=1000.0)
    again: Any = drain_node(cluster.members, {"name": NAME, "deadline_seconds": 60}, wall=2000.0)
    assert again["is_changed"]
    node = cluster.members.find(NAME)
    assert (node.drain_number, node.drain_began_at) == (1, 1000), "it is the same drain"
    assert (node.drain_deadline_at, node.drain_reason) == (2060, "why")
    assert not drain_node(cluster.members, {"name": NAME}, wall=3000.0)["is_changed"]


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"reason": "x" * 201}, "reason: .* expected at most 200 bytes"),
        ({"reason": "a\nb"}, "expected one line of printable text"),
        ({"reason": 7}, "reason: found 7, expected a text in quotes"),
        ({"deadline_seconds": 0}, "deadline: found 0, expected a time of more than 0 s"),
        ({"deadline_seconds": True}, "deadline: found true"),
        ({"deadline_seconds": 1e12}, "366d at most"),
    ],
)
async def test_an_order_that_is_wrong_changes_nothing(
    cluster: Cluster, more: dict[str, object], match: str
) -> None:
    with pytest.raises(CommandRefused, match=match):
        drain_node(cluster.members, {"name": NAME, **more}, wall=1000.0)
    assert not cluster.members.find(NAME).draining


async def test_each_call_of_a_drain_tells_of_fewer_copies(cluster: Cluster) -> None:
    assert cluster.drain()["warnings"] == cluster.drain()["warnings"] != []


async def test_a_drain_of_a_node_that_is_down_says_when_it_begins(cluster: Cluster) -> None:
    told = "node2 is down: the drain begins when it is back"
    assert told not in cluster.drain()["warnings"]
    cluster.kill()
    assert cluster.drain()["warnings"][0] == told
    assert cluster.members.find(NAME).draining
