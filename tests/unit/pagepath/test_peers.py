import pytest
import trio
from trio.testing import MockClock

from config.limits import BUDGET_BYTES_MIN
from net.frame import Frame
from net.link import Link
from nodemanager.ids import NodeId
from nodemanager.states import NodeState
from ramsterd.frontends.pager import GetOutcome
from ramsterd.pagepath.peers import HEARD_SECONDS
from ramsterd.remote.holders.trust import BadCopy, Distrusted
from tests.helpers.sim_nodes import SimNode, eventually, noise, run_nodes

pytestmark = pytest.mark.slow

SMALL = BUDGET_BYTES_MIN
LARGE = 8 * BUDGET_BYTES_MIN
PAGES = 1000


async def fill_beyond_memory(node: SimNode) -> None:
    for index in range(PAGES):
        node.put(index, noise(index))
        await trio.lowlevel.checkpoint()
    await eventually(
        lambda: (
            not node.pager.statistics().waiting_puts
            and not node.engine.statistics().remotify.requests_in_flight
        )
    )
    node.done.clear()


async def test_linked_nodes_are_up(autojump_clock: MockClock) -> None:
    async with run_nodes(SMALL, SMALL, SMALL) as nodes:
        for node in nodes:
            others = [each.number for each in nodes if each is not node]
            assert sorted(node.peers.mesh.links) == others
            assert {node.engine.nodes.state(each) for each in others} == {NodeState.UP}


async def test_what_a_link_answers_is_heard_however_lately_it_brought_something(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with run_nodes(SMALL, SMALL) as [node, other]:
        assert node.peers.heartbeat is not None
        heard: list[NodeId] = []
        monkeypatch.setattr(node.peers.heartbeat, "heard", lambda each, _: heard.append(each))
        link = node.peers.mesh.links[other.number]
        node.peers._heard_at[other.number] = trio.current_time()
        link.ask()
        await eventually(lambda: bool(heard), seconds_max=HEARD_SECONDS / 2)
    assert heard[0] == other.number


async def test_peers_that_say_the_same_again_end_no_pass(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among many nodes at rest that is most of what comes."""
    async with run_nodes(*[SMALL] * 6) as [node, *_]:
        await trio.sleep(30)
        frames: list[int] = []
        passes: list[float] = []
        on_frames, settle = node.peers.on_frames, node.peers.settle

        def count_frames(link: Link, some: list[Frame]) -> None:
            frames.append(len(some))
            on_frames(link, some)

        def count_pass() -> None:
            passes.append(trio.current_time())
            settle()

        monkeypatch.setattr(node.peers, "on_frames", count_frames)
        monkeypatch.setattr(node.peers, "settle", count_pass)
        await trio.sleep(30)
    assert len(frames) > 30
    assert len(passes) < len(frames)


async def test_a_starved_node_says_so_and_is_given_nothing_until_that_is_over(
    autojump_clock: MockClock,
) -> None:
    async with run_nodes(SMALL, LARGE) as [node, starved]:

        def is_accepting() -> bool:
            [candidate] = node.engine.nodes.candidates()
            return candidate.is_accepting

        assert is_accepting()
        assert starved.peers.heartbeat is not None
        starved.peers.heartbeat._detector._awareness.on_bad(100)
        await eventually(lambda: not is_accepting())
        assert not starved.engine.statistics().is_accepting
        index = node.put_until_full()
        assert not starved.pages_here()
        # One answered probe is enough for it to trust itself again.
        await eventually(is_accepting, seconds_max=20)
        await eventually(starved.pages_here)
        assert node.put(index + 1, noise(index + 1)) is not None


async def test_a_peer_that_is_no_member_any_more_stands_in_the_log_by_its_number(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with run_nodes(SMALL) as [node]:
        caplog.clear()
        node.engine.machines.outbox.add(Distrusted(NodeId(7), {BadCopy.MISSING: 1}, 30.0))
        node.peers.settle()
    assert caplog.messages[0].startswith("node number 7 gets no new pages for 30 s")


async def test_link_that_breaks_under_a_get_does_not_end_us(autojump_clock: MockClock) -> None:
    """The get is asked for again on the next link."""
    async with run_nodes(SMALL, LARGE) as [node, peer]:
        await fill_beyond_memory(node)
        [connection] = [each for each in node.net.streams.connections if not each.dialed.is_closed]
        connection.clog()
        assert node.get(0) is None
        connection.cut()
        await eventually(lambda: node.done)
        assert [result for _, result in node.done] == [[noise(0)]]
        assert peer.number in node.peers.mesh.links


async def test_get_from_a_silent_holder_gives_up_in_time(autojump_clock: MockClock) -> None:
    async with run_nodes(SMALL, LARGE) as [node, _]:
        await fill_beyond_memory(node)
        for connection in node.net.streams.connections:
            connection.clog()
        node.net.streams.dark.add("127.0.0.1")  # nor does it answer on another connection
        started_at = trio.current_time()
        assert node.get(0) is None
        await eventually(lambda: node.done, seconds_max=20.0)
        [(at, outcome)] = node.done
        assert outcome is GetOutcome.UNREACHABLE
        assert at - started_at <= 10.1


async def test_farewell_leaves_no_foreign_pages(autojump_clock: MockClock) -> None:
    """However slow the link, and though more pages are due to leave when it is said."""
    async with run_nodes(SMALL, LARGE, capacity_bytes=16 * 1024) as [node, peer]:
        await fill_beyond_memory(node)
        assert peer.pages_here()
        for index in range(PAGES, PAGES + 200):
            node.put(index, noise(index))
        assert node.peers.mesh.links[peer.number].send_queue_bytes
        await node.peers.say_farewell()
        assert not node.peers.mesh.links[peer.number].send_queue_bytes
        await trio.sleep(1.0)
        assert not peer.pages_here()


async def test_farewell_does_not_wait_for_a_peer_that_reads_nothing(
    autojump_clock: MockClock,
) -> None:
    async with run_nodes(SMALL, LARGE, capacity_bytes=16 * 1024) as [node, _]:
        await fill_beyond_memory(node)
        for connection in node.net.streams.connections:
            connection.clog()
        for index in range(PAGES, PAGES + 200):
            node.put(index, noise(index))
        started_at = trio.current_time()
        await node.peers.say_farewell()
        assert 1.9 < trio.current_time() - started_at < 2.1
