import trio
from trio.testing import MockClock

from config.limits import BUDGET_BYTES_MIN
from nodemanager.states import NodeState, Verdict
from ramsterd.core.page import PoolKind
from ramsterd.core.pool_identity import export_pool
from ramsterd.frontends.pager import EachCame, PutOutcome
from tests.helpers.disk import OBJECT
from tests.helpers.sim_nodes import PAGE, SimNode, eventually, noise, run_nodes

SMALL = BUDGET_BYTES_MIN
LARGE = 4 * BUDGET_BYTES_MIN


async def fill_beyond_memory(node: SimNode) -> None:
    """Write so much that the first pages are at the peer."""
    for index in range(1000):
        assert node.put(index, noise(index)) is not PutOutcome.REFUSED
        await trio.lowlevel.checkpoint()
    await eventually(lambda: node.pager.statistics().waiting_puts == 0)


async def test_local_page_is_answered_at_once(autojump_clock: MockClock) -> None:
    async with run_nodes(SMALL) as [node]:
        assert node.put(7, noise(7) + noise(8)) is PutOutcome.STORED
        assert node.get(6, 4) == [None, noise(7), noise(8), None]
        assert node.patch(7, 100, b"abc") is PutOutcome.STORED
        assert node.get(7) == [noise(7)[:100] + b"abc" + noise(7)[103:]]
        assert node.patch(6, 0, b"abc") is PutOutcome.STORED
        assert node.get(6) == [b"abc".ljust(PAGE, b"\0")]
        node.flush(7, 1)
        assert node.get(7) == [None]
        assert node.done == []


async def test_page_at_a_peer_is_called_back(autojump_clock: MockClock) -> None:
    async with run_nodes(SMALL, LARGE) as [node, peer]:
        await fill_beyond_memory(node)
        assert peer.pages_here()
        node.done.clear()
        assert node.get(0, 3) is None
        assert node.pager.statistics().waiting_gets == 1
        await eventually(lambda: node.done)
        assert [result for _, result in node.done] == [[noise(0), noise(1), noise(2)]]
        assert node.pager.statistics().waiting_gets == 0


async def test_pages_anywhere_are_told_each_as_it_comes_and_what_is_here_at_once(
    autojump_clock: MockClock,
) -> None:
    async with run_nodes(SMALL, LARGE) as [node, _]:
        await fill_beyond_memory(node)
        told: list[EachCame] = []
        indexes = [999, 1, 2000, 0, 2, 1, 3]

        def note(came: EachCame) -> None:
            told.append(came._replace(pages=[*came.pages]))  # they are there for this call only

        got = node.client.get_each(node.pool, OBJECT, indexes, note)
        assert got == ([noise(999), None, None, None, None], [1, 3, 4], [])
        assert node.pager.statistics().waiting_gets == 3
        await eventually(lambda: sum(len(each.positions) for each in told) == 3)
        found = {position: each.pages[position] for each in told for position in each.positions}
        assert found == {1: noise(1), 3: noise(0), 4: noise(2)}
        assert not any(each.failed for each in told)
        assert node.pager.statistics().waiting_gets == 0
        node.pager.check_invariants()


async def test_pages_anywhere_whose_client_is_gone_are_told_to_nobody(
    autojump_clock: MockClock,
) -> None:
    async with run_nodes(SMALL, LARGE) as [node, _]:
        await fill_beyond_memory(node)
        told: list[EachCame] = []
        client = node.pager.open_client()
        assert client.get_each(node.pool, OBJECT, [0, 1], told.append).follow == [0, 1]
        node.pager.settle()
        client.close()
        assert node.pager.statistics().waiting_gets == 0
        assert node.get(0) is None
        await eventually(lambda: node.done)
        assert told == []
        node.pager.check_invariants()


async def test_patch_of_a_page_at_a_peer(autojump_clock: MockClock) -> None:
    """The second patch is asked for while the first waits for the page: both are in it at the end."""
    async with run_nodes(SMALL, LARGE) as [node, _]:
        await fill_beyond_memory(node)
        node.done.clear()
        assert node.patch(0, 0, b"abc") is None
        assert node.patch(0, 512, b"def") is None
        await eventually(lambda: len(node.done) == 2)
        assert [result for _, result in node.done] == [PutOutcome.STORED] * 2
        assert node.get(0) == [b"abc" + noise(0)[3:512] + b"def" + noise(0)[515:]]


async def test_put_without_room_is_refused_at_once_when_nobody_is_linked(
    autojump_clock: MockClock,
) -> None:
    async with run_nodes(SMALL) as [node]:
        assert node.put(0, noise(0)[:1000].ljust(PAGE, b"\0")) is PutOutcome.STORED
        full = node.put_until_full(1)
        assert node.put(full, noise(full)) is PutOutcome.REFUSED
        assert node.get(full) == [None]
        # What a refused put would have replaced was acknowledged, and stays.
        assert node.put(0, noise(0, 1)) is PutOutcome.REFUSED
        assert node.get(0) == [noise(0)[:1000].ljust(PAGE, b"\0")]
        assert node.get(1) == [noise(1)]
        node.flush(0, 1)
        assert node.get(0) == [None]


async def test_put_without_room_waits_and_is_refused_in_time(autojump_clock: MockClock) -> None:
    async with run_nodes(SMALL, SMALL, foreign_fraction_max=0.0) as [node, _]:
        started_at = trio.current_time()
        full = node.put_until_full()
        assert node.pager.statistics().waiting_puts == 1
        await eventually(lambda: node.done)
        [(at, outcome)] = node.done
        assert outcome is PutOutcome.REFUSED
        assert 5.0 <= at - started_at < 5.1
        assert node.get(full) == [None]
        assert node.pager.statistics().refused_puts_total == 1


async def test_waiting_puts_are_served_in_order_when_a_flush_makes_room(
    autojump_clock: MockClock,
) -> None:
    """Nothing comes from a peer here: the flush itself must wake them."""
    async with run_nodes(SMALL, SMALL, foreign_fraction_max=0.0) as [node, _]:
        started_at = trio.current_time()
        full = node.put_until_full()
        assert node.put(full, noise(full, 1)) is None
        assert node.put(full + 1, noise(full + 1)) is None
        node.flush(0, 64)
        assert [outcome for _, outcome in node.done] == [PutOutcome.STORED] * 3
        assert trio.current_time() == started_at
        assert node.get(full, 2) == [noise(full, 1), noise(full + 1)]


async def test_waiting_put_is_served_when_an_owner_flushes_its_pages_here(
    autojump_clock: MockClock,
) -> None:
    async with run_nodes(SMALL, 2 * SMALL) as [owner, node]:
        # Else pages could go there as soon as it has room, which makes room too.
        owner.engine.machines.foreign._bytes_fraction_max = 0.0
        index = 0
        while node.pages_here() < 100:
            owner.put(index, noise(index))
            index += 1
            await trio.sleep(0.001)
        full = node.put_until_full()
        owner.flush(0, index)
        await eventually(lambda: node.done, seconds_max=1.0)
        assert [outcome for _, outcome in node.done] == [PutOutcome.STORED]
        assert node.get(full) == [noise(full)]


async def test_refused_patch_leaves_its_page(autojump_clock: MockClock) -> None:
    async with run_nodes(SMALL) as [node]:
        node.put(0, b"A" * PAGE)
        full = node.put_until_full(1)
        assert full > 400
        assert node.patch(0, 1, noise(0)[:4000]) is PutOutcome.REFUSED
        assert node.get(0) == [b"A" * PAGE]


async def test_patch_without_room_waits_and_is_refused_in_time(autojump_clock: MockClock) -> None:
    async with run_nodes(SMALL, SMALL, foreign_fraction_max=0.0) as [node, _]:
        node.put(0, b"A" * PAGE)
        node.put_until_full(1)
        await eventually(lambda: node.done)
        node.done.clear()
        started_at = trio.current_time()
        assert node.patch(0, 1, noise(0)[:4000]) is None
        await trio.sleep(2.0)
        assert node.put(5000 - 1 - 2000, noise(1)) is None
        # Wakes the patch, which finds no room again: its deadline stays.
        node.engine.store.zbud.room_made += 1
        node.pager.settle()
        await eventually(lambda: node.done)
        [(at, outcome)] = node.done
        assert outcome is PutOutcome.REFUSED
        assert 5.0 <= at - started_at < 5.1
        assert node.get(0) == [b"A" * PAGE]


async def test_zeros_and_destroyed_pools(autojump_clock: MockClock) -> None:
    async with run_nodes(SMALL) as [node]:
        node.put(0, noise(0))
        assert node.client.put_zeros(node.pool, b"disk", 0, 2) == 2
        assert node.get(0, 2) == [bytes(PAGE)] * 2
        node.pager.end_pool(node.pool)
        assert node.engine.store.pools[node.pool].is_ended, "before the first slice is dropped"
        assert node.pager.destroy_some(node.pool, 16) == (2, True)


async def test_a_put_behind_others_waits_to_be_refused(autojump_clock: MockClock) -> None:
    """Refused at once, it would hide what an older put of the same pages has stored meanwhile."""
    async with run_nodes(SMALL, SMALL, foreign_fraction_max=0.01) as [node, _]:
        index = node.put_until_full()
        for link in list(node.peers.mesh.links.values()):
            link.close("the only peer goes away")
        for peer in node.engine.nodes.nodes():
            down = Verdict(peer, NodeState.DOWN, node.engine.nodes.incarnation(peer), "silent")
            node.engine.on_verdict(down, now=trio.current_time())
        await eventually(lambda: not node.engine.may_make_room(node.pool), seconds_max=1)
        assert node.put(index, noise(index, 1)) is None
        await eventually(lambda: len(node.done) == 2, seconds_max=20)
        assert [outcome for _, outcome in node.done] == [PutOutcome.REFUSED] * 2


async def test_a_pool_that_is_given_back_is_as_it_was_before_with_all_its_pages(
    autojump_clock: MockClock,
) -> None:
    """What an earlier process has left waits again; what is new is gone."""
    async with run_nodes(SMALL) as [node]:
        pager, store = node.pager, node.engine.store
        pool = pager.new_pool(PoolKind.PERSISTENT, export_pool("left"))
        client = pager.open_client()
        assert client.put(pool, b"", 3, memoryview(noise(3)), lambda _: None) is PutOutcome.STORED
        client.close()
        store.pools.leave(store.pools[pool])
        before = set(map(int, (each.pool for each in store.pools)))
        assert pager.new_pool(PoolKind.PERSISTENT, export_pool("left")) == pool
        new = pager.new_pool(PoolKind.PERSISTENT, export_pool("new"))
        for each in (pool, new):
            pager.give_back(each)
        assert set(map(int, (each.pool for each in store.pools))) == before
        assert [each.pool for each in pager.left_exports()] == [pool]
        assert pager.pages_of(pool) == 1
