"""Members come, go and are cordoned while pages move; the file is a store in memory."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from trio.testing import MockClock

from config.errors import ConfigError
from config.limits import MEMBERSHIP_VERSION_MAX
from config.model import ClusterConfig, NodeConfig
from nodemanager.changes import VERSIONS_AHEAD_MAX, Add, ChangeRefused, Cordon, Remove
from nodemanager.ids import NodeId
from nodemanager.membership import StoreCheck
from nodemanager.states import NodeState
from ramsterd.admin.node_commands import add_node, cordon_node, remove_node
from ramsterd.admin.socket import CommandRefused
from tests.simulation.checking_clients import finish, stage
from tests.simulation.cluster import Cluster
from tests.simulation.removal import held, remove


def numbers(cluster: Cluster, node: int) -> set[int]:
    return {each.number for each in cluster[node].peers.members.cluster.node}


async def test_a_cordoned_node_keeps_its_pages_and_gets_no_more(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, client = stage(seed, mock_clock, nodes=3)
    client.fill(800)
    cluster.run(2)
    cordon_node(cluster[2].peers.members, {"name": "node1"}, is_cordoned=True)
    cluster.run(0.5)
    for node in range(3):
        assert cluster[node].peers.members.cluster.node[1].cordoned
    before = held(cluster, 0, 1)
    client.fill(1600)
    cluster.run(3)
    assert held(cluster, 0, 1) <= before
    assert held(cluster, 0, 2) > 0
    # A number is as good as a name.
    cordon_node(cluster[1].peers.members, {"name": "1"}, is_cordoned=False)
    cluster.run(1)
    assert not cluster[0].peers.members.cluster.node[1].cordoned
    finish(cluster, client)


async def test_a_node_that_holds_pages_stays_until_it_is_forced_out(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, client = stage(seed, mock_clock)
    client.fill(1600)
    cluster.run(2)
    pages = held(cluster, 0, 1)
    assert pages > 100
    with pytest.raises(
        CommandRefused, match=r"only cordoned: node1 has the last copy of \d+ pages of node0"
    ):
        remove(cluster, 0, 1)
    cluster.run(1)
    assert numbers(cluster, 0) == numbers(cluster, 1) == {0, 1}
    assert cluster[1].peers.members.cluster.node[1].cordoned
    result = remove(cluster, 0, 1, force=True)
    assert any("node1 has the last copy of" in each for each in result["lost"])
    assert cluster.run_until(lambda: NodeId(1) not in cluster[0].engine.nodes)
    cluster.run(1)
    assert not cluster.is_wired(0, 1)
    assert held(cluster, 0, 1) == 0
    assert cluster[0].engine.store.statistics().lost_pages_total > 0, "said, not hidden"
    assert cluster[1].peers.members.is_removed
    assert cluster[1].engine.statistics().foreign == ()
    assert cluster[1].engine.nodes.nodes() == ()
    for node in (0, 1):
        cluster[node].engine.check_invariants()
    assert not cluster.link(0, 1), "refused from now on"


async def test_a_third_node_is_asked_too(seed: int, mock_clock: MockClock) -> None:
    cluster, client = stage(seed, mock_clock, nodes=3)
    client.fill(1600)
    cluster.run(2)
    # 0 has pages at 1 or 2; the one that asks is the other one.
    holder = 1 if held(cluster, 0, 1) else 2
    with pytest.raises(CommandRefused, match=rf"node{holder} has the last .* pages of node0"):
        remove(cluster, 3 - holder, holder)
    # The owner of pages elsewhere is needed as well.
    with pytest.raises(CommandRefused, match="pages of node0 itself are only at its peers"):
        remove(cluster, holder, 0)
    # It does not know of the cordons yet, or is not there to say what it has at home.
    cluster.cut(0, holder)
    with pytest.raises(CommandRefused, match=rf"\d+ pages of node0 are at node{holder}"):
        remove(cluster, holder, 0)
    cluster.link(0, holder)
    finish(cluster, client)


async def test_a_node_that_does_not_answer_stands_in_the_way(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, client = stage(seed, mock_clock, nodes=3)
    client.fill(1600)
    cluster.run(2)
    cluster.hold(2, 0)
    with pytest.raises(CommandRefused, match="no link to node2, which may have pages there"):
        remove(cluster, 0, 1)
    assert not cluster.is_linked(0, 2), "it was waited for as long as its link lived"
    client.flush(0, 1600)
    cluster.run(1)
    assert held(cluster, 0, 1) == 0
    # A node that keeps nothing needs nobody's word.
    assert remove(cluster, 0, 1)["state"] == "removed"
    cluster.link_all()
    cluster.run(1)
    assert numbers(cluster, 2) == {0, 2}


async def test_two_changes_at_the_same_time_are_both_kept(seed: int, mock_clock: MockClock) -> None:
    cluster, client = stage(seed, mock_clock, nodes=3)
    for at, number in ((0, 7), (2, 8)):
        new = {"number": number, "name": f"new{number}", "address": "127.0.0.1", "port": 9000 + at}
        add_node(cluster[at].peers.members, {"node": new})
    cluster.run(1)
    clusters = {cluster[node].peers.members.cluster for node in range(3)}
    assert len(clusters) == 1
    assert numbers(cluster, 1) == {0, 1, 2, 7, 8}
    finish(cluster, client)


async def test_a_node_that_was_cut_off_learns_when_its_link_is_back(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, client = stage(seed, mock_clock, nodes=3)
    cluster.cut(0, 2)
    cluster.cut(1, 2)
    cordon_node(cluster[0].peers.members, {"name": "node2"}, is_cordoned=True)
    # Meanwhile the lonely one is changed too.
    cordon_node(cluster[2].peers.members, {"name": "node1"}, is_cordoned=True)
    cluster.run(1)
    cluster.link_all()
    cluster.run(1)
    clusters = {cluster[node].peers.members.cluster for node in range(3)}
    assert len(clusters) == 1
    assert [node.cordoned for node in clusters.pop().node] == [False, True, True]
    finish(cluster, client)


async def test_a_node_that_is_added_links_and_takes_pages(seed: int, mock_clock: MockClock) -> None:
    cluster, client = stage(seed, mock_clock, nodes=3)
    assert remove(cluster, 0, 2)["state"] == "removed"
    cluster.run(1)
    assert not cluster.link(1, 2)
    assert numbers(cluster, 0) == numbers(cluster, 1) == numbers(cluster, 2) == {0, 1}
    back = {"number": 2, "name": "node2", "address": "127.0.0.1", "port": 7702}
    add_node(cluster[1].peers.members, {"node": back})
    cluster.run(1)
    cluster.crash(2)
    cluster.copy_file(1, 2)
    cluster.start_again(2, 2)
    cluster.link_all()
    client.fill(1600)
    cluster.run(3)
    assert numbers(cluster, 2) == {0, 1, 2}
    assert held(cluster, 0, 2) > 0
    finish(cluster, client)


async def test_who_stops_in_order_has_left(seed: int, mock_clock: MockClock) -> None:
    cluster, _ = stage(seed, mock_clock, nodes=3)
    cluster[2].engine.farewell()
    cluster[2].peers.settle()
    cluster.run(0.1)
    assert cluster[0].engine.nodes.state(NodeId(2)) is NodeState.UP, "not before its link has ended"
    cluster.crash(2)
    cluster.run(0.1)
    assert cluster[0].engine.nodes.state(NodeId(2)) is NodeState.LEFT
    cluster.judge(0, 2, NodeState.DOWN)
    assert cluster[0].engine.nodes.state(NodeId(2)) is NodeState.LEFT
    cluster.start_again(2, 2)
    cluster.link_all()
    assert cluster[0].engine.nodes.state(NodeId(2)) is NodeState.UP


class BadStore:
    """Keeps nothing, as a full disk."""

    def load(self) -> ClusterConfig:
        raise NotImplementedError

    def save(self, cluster: ClusterConfig, *, known: ClusterConfig) -> None:
        raise ConfigError("cluster.toml", "", "no space left on device", "room")


async def test_what_can_not_be_written_is_refused_here_and_followed_when_others_did_it(
    mock_clock: MockClock,
) -> None:
    cluster, _ = stage(1, mock_clock, nodes=2)
    cluster[0].peers.members._store = BadStore()
    with pytest.raises(CommandRefused, match="no space left on device"):
        cordon_node(cluster[0].peers.members, {"name": "node1"}, is_cordoned=True)
    cluster.run(0.5)
    for node in (0, 1):
        assert not cluster[node].peers.members.cluster.node[1].cordoned
    cordon_node(cluster[1].peers.members, {"name": "node1"}, is_cordoned=True)
    cluster.run(0.5)
    assert cluster[0].peers.members.cluster.node[1].cordoned
    assert "no space left" in cluster[0].peers.members.statistics().problem


class HandStore:
    """A file that somebody changes by hand, and may put back."""

    def __init__(self, cluster: ClusterConfig) -> None:
        self.held = cluster

    def load(self) -> ClusterConfig:
        return self.held

    def save(self, cluster: ClusterConfig, *, known: ClusterConfig) -> None:
        if self.held not in (known, cluster):
            raise ConfigError("cluster.toml", "", "a change made by hand", "the file as it was")
        self.held = cluster


@pytest.mark.parametrize("at", [0, 1], ids=["a change of ours", "a change of a peer"])
async def test_a_file_that_was_put_back_is_no_problem_any_more(
    at: int, mock_clock: MockClock
) -> None:
    cluster, _ = stage(1, mock_clock, nodes=2)
    members = cluster[0].peers.members
    store = HandStore(cluster.config)
    members._store = store
    store.held = replace(cluster.config, insecure_plaintext=True)
    request: dict[str, object] = {"name": "node1"}
    if at == 0:
        with pytest.raises(CommandRefused, match="by hand"):
            cordon_node(members, request, is_cordoned=True)
    else:
        cordon_node(cluster[1].peers.members, request, is_cordoned=True)
    cluster.run(0.5)
    assert "by hand" in members.check_store().problem
    assert "by hand" in members.statistics().problem, "it is there yet"
    store.held = cluster.config
    members.check_store()
    assert members.statistics().problem == ""
    assert store.held == members.cluster, "written, if the file was behind"
    assert members.cluster.node[1].cordoned == (at == 1)
    cordon_node(members, {"name": "node0"}, is_cordoned=True)


async def test_what_differs_in_an_edited_file_is_told(mock_clock: MockClock) -> None:
    cluster, _ = stage(1, mock_clock, nodes=2)
    members = cluster[0].peers.members
    members._store = store = HandStore(cluster.config)
    assert members.check_store() == StoreCheck()
    first, second = cluster.config.node
    store.held = replace(cluster.config, node=(first, replace(second, cordoned=True)))
    check = members.check_store()
    assert check.problem == ""
    assert check.edited.endswith("In the file: node1 (1) is cordoned")


async def test_a_version_from_far_ahead_ends_no_changes(
    mock_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A member that lies about the version would otherwise make its list the last one there is."""
    cluster, _ = stage(1, mock_clock, nodes=3)
    cluster.cut(0, 1)
    history = cluster[1].peers.members._history
    for ahead, is_taken in ((MEMBERSHIP_VERSION_MAX, False), (VERSIONS_AHEAD_MAX, True)):
        claimed = replace(cluster.config, node=cluster.config.node[:2], membership_version=ahead)
        history.cluster = claimed
        cluster.link(0, 1)
        cluster.run(0.5)
        assert numbers(cluster, 0) == ({0, 1} if is_taken else {0, 1, 2})
        refusal = f"version {ahead} is more than 65536 ahead of version "
        problem = cluster[0].peers.members.statistics().problem
        assert (refusal in problem) == (not is_taken)
        assert (refusal in caplog.text) == (not is_taken)
        cordon_node(cluster[0].peers.members, {"name": "node0"}, is_cordoned=not is_taken)
        assert cluster[0].peers.members.statistics().problem == ""
        cluster.cut(0, 1)


@pytest.mark.parametrize(
    ("command", "request_", "says"),
    [
        (add_node, {}, "the new member: "),
        (add_node, {"node": {"number": 5}}, "the new member: name: found nothing"),
        (
            add_node,
            {"node": {"number": 5, "name": "node1", "address": "127.0.0.1"}},
            "the change: node 3: name: found 'node1' for number 5, which is the name of number 1 too",
        ),
        (
            add_node,
            {"node": {"number": 5, "name": "e", "address": "10.0.0.1"}},
            "node 3: address: found '10.0.0.1', expected a loopback address",
        ),
        (
            remove_node,
            {"name": "nobody"},
            "found 'nobody', expected the name or the number of a member: node0",
        ),
        (remove_node, {}, "found '', expected the name or the number of a member"),
    ],
)
async def test_what_is_wrong_is_named(
    command: Callable[[Any, dict[str, object]], object],
    request_: dict[str, object],
    says: str,
    mock_clock: MockClock,
) -> None:
    cluster, _ = stage(1, mock_clock, nodes=2)
    with pytest.raises(CommandRefused) as caught:
        command(cluster[0].peers.members, request_)
    assert says in str(caught.value)
    assert cluster[0].peers.members.cluster == cluster.config


async def test_changes_that_change_nothing_are_refused(mock_clock: MockClock) -> None:
    cluster, _ = stage(1, mock_clock, nodes=2)
    members = cluster[0].peers.members
    node = cluster.config.node[1]
    for change, says in (
        (Add(node), "is a member already"),
        (Cordon(NodeId(1), is_cordoned=False), "is not cordoned"),
        (Remove(NodeId(9)), "node number 9 is not a member"),
    ):
        with pytest.raises(ChangeRefused, match=says):
            members.change(change)


async def test_files_that_differ_under_one_version_are_told(
    mock_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    cluster, _ = stage(1, mock_clock, nodes=2)
    cluster.cut(0, 1)
    extra = NodeConfig(number=9, name="extra", address="127.0.0.1", port=9000)
    history = cluster[1].peers.members._history
    history.cluster = ClusterConfig(name="sim", node=(*cluster.config.node, extra))
    cluster.link(0, 1)
    cluster.run(0.5)
    assert "other members for the same membership version 0" in caplog.text
    assert numbers(cluster, 0) == {0, 1}
    members = cluster[0].peers.members
    other = cluster.config.node[1].name
    assert members.statistics().differs_from == (other,)
    members.change(Cordon(NodeId(1), is_cordoned=True))
    assert members.statistics().differs_from == (), "a change makes them equal"
    cluster.run(0.5)
    assert members.statistics().differs_from == cluster[1].peers.members.statistics().differs_from


async def test_two_removals_at_once_do_not_disturb_each_other(
    seed: int, mock_clock: MockClock
) -> None:
    cluster, _ = stage(seed, mock_clock, nodes=4)
    members = cluster[0].peers.members
    states: dict[str, Any] = {"node1": "", "node2": ""}
    for _ in range(10):
        for name in [name for name, state in states.items() if state != "removed"]:
            result: Any = remove_node(members, {"name": name})
            states[name] = result["state"]
        cluster.run(0.1)
    assert set(states.values()) == {"removed"}
    assert numbers(cluster, 3) == {0, 3}
    assert members.inquiries.removals == {}


async def test_a_node_may_remove_itself(seed: int, mock_clock: MockClock) -> None:
    cluster, client = stage(seed, mock_clock, nodes=3)
    client.fill(1600)
    cluster.run(2)
    with pytest.raises(CommandRefused, match="pages of node0 itself are only at its peers"):
        remove(cluster, 0, 0)
    cordon_node(cluster[0].peers.members, {"name": "node0"}, is_cordoned=False)
    holder = 1 if held(cluster, 0, 1) else 2
    with pytest.raises(CommandRefused, match=f"node{holder} has the last copy"):
        remove(cluster, holder, holder)
    assert remove(cluster, 0, 0, force=True)["lost"]
    cluster.run(1)
    assert cluster[0].peers.members.is_removed
    for node in (1, 2):
        assert numbers(cluster, node) == {1, 2}
        assert cluster[node].engine.statistics().foreign == ()
        cluster[node].engine.check_invariants()
    with pytest.raises(CommandRefused, match="this node was removed"):
        cordon_node(cluster[0].peers.members, {"name": "node1"}, is_cordoned=True)


@pytest.mark.parametrize("is_uncordoned", [True, False])
async def test_an_answer_that_came_too_late_is_not_used(
    is_uncordoned: bool, mock_clock: MockClock
) -> None:
    """Who gave up asking and comes back later asks anew."""
    cluster, client = stage(1, mock_clock, nodes=3)
    members = cluster[1].peers.members
    result: Any = remove_node(members, {"name": "node2"})
    assert result["state"] == "asking"
    cluster.run(0.1)
    if is_uncordoned:
        # It is filled meanwhile; the answers of then would let it go.
        cordon_node(members, {"name": "node2"}, is_cordoned=False)
        client.fill(1600)
        cluster.run(3)
        assert held(cluster, 0, 2) > 0
        with pytest.raises(CommandRefused, match="node2 has the last copy"):
            remove(cluster, 1, 2)
    else:
        cluster.run(11)
        result = remove_node(members, {"name": "node2"})
        assert result["state"] == "asking", "again"
    finish(cluster, client)
