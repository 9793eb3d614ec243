"""The budget changes while nodes run, and pages come home: engines, links and pagers in virtual time."""

import pytest
import trio

from config.limits import PAGE_BYTES
from config.model import MemoryConfig, RemoteConfig
from ramsterd.core.family import Family
from ramsterd.core.resize import ResizeState
from ramsterd.frontends.pager import PutOutcome
from tests.helpers.sim_nodes import MIB, SimNode, eventually, noise, run_nodes

pytestmark = pytest.mark.slow

QUIET_SECONDS = 5.0
LOW_WATERMARK = MemoryConfig().low_watermark
PAGES_PER_SECOND = 200
REMOTE = RemoteConfig(
    repatriate_seconds=QUIET_SECONDS, repatriate_pages_per_second=PAGES_PER_SECOND
)


def set_budget(node: SimNode, budget_bytes: int) -> None:
    node.engine.set_budget(budget_bytes, now=trio.current_time())
    node.peers.settle()


def state(node: SimNode) -> ResizeState:
    return node.engine.statistics().resize.state


def resident(node: SimNode) -> int:
    return node.engine.store.zbud.resident_bytes


def away(node: SimNode) -> int:
    """Return how many pages of a node its peers keep."""
    return sum(holder.pages for holder in node.engine.statistics().remote)


async def read_all(node: SimNode, count: int) -> None:
    """Each page of the disk is what was put last."""
    for index in range(count):
        node.done.clear()
        pages = node.get(index)
        if pages is None:
            await eventually(lambda: node.done)
            pages = node.done[0][1]  # type: ignore[assignment]  # a get
        assert pages == [noise(index)], index


async def fill(node: SimNode, count: int) -> None:
    for index in range(count):
        node.done.clear()
        if node.put(index, noise(index)) is None:
            await eventually(lambda: node.done)
            assert node.done[0][1] is PutOutcome.STORED


async def test_a_smaller_budget_sends_persistent_pages_to_peers(autojump_clock: object) -> None:
    async with run_nodes(4 * MIB, 8 * MIB) as (one, two):
        await fill(one, 800)
        set_budget(one, 2 * MIB)
        assert state(one) is ResizeState.SHRINKING
        await eventually(lambda: state(one) is ResizeState.DONE)
        assert resident(one) <= 2 * MIB == one.engine.store.zbud.budget_bytes
        assert two.pages_here() > 300
        await read_all(one, 800)


async def test_puts_go_on_while_the_budget_shrinks(autojump_clock: object) -> None:
    async with run_nodes(4 * MIB, 16 * MIB) as (one, _):
        await fill(one, 800)
        set_budget(one, 2 * MIB)
        await fill(one, 1200)
        await eventually(lambda: state(one) is ResizeState.DONE)
        await read_all(one, 1200)


async def test_shrinking_stops_where_the_cluster_has_no_room_and_loses_nothing(
    autojump_clock: object,
) -> None:
    async with run_nodes(4 * MIB, 2 * MIB) as (one, _):
        await fill(one, 800)
        set_budget(one, MIB)
        await eventually(lambda: state(one) is not ResizeState.SHRINKING, seconds_max=60)
        assert state(one) is ResizeState.STOPPED
        zbud = one.engine.store.zbud
        assert MIB < zbud.resident_bytes <= LOW_WATERMARK * zbud.budget_bytes + 1
        assert one.engine.statistics().store.lost_pages_total == 0
        await read_all(one, 800)


async def test_a_node_that_stopped_short_has_room_for_what_is_written(
    autojump_clock: object,
) -> None:
    """Peers are full and clients write all the while: each page again, and new ones, without a wait."""
    async with run_nodes(8 * MIB, 2 * MIB) as (one, _):
        await fill(one, 1600)
        set_budget(one, MIB)
        while state(one) is ResizeState.SHRINKING:
            one.put(0, noise(0))
            await trio.sleep(0.1)
        assert state(one) is ResizeState.STOPPED
        zbud = one.engine.store.zbud
        new = int((zbud.budget_bytes - zbud.resident_bytes) / PAGE_BYTES) - 16
        assert new > 100
        await trio.sleep(1)
        one.done.clear()
        for index in [*range(0, 1600, 16), *range(2000, 2000 + new)]:
            assert one.put(index, noise(index)) is PutOutcome.STORED
        assert one.pager.statistics().refused_puts_total == 0


async def test_a_node_that_was_full_before_stops_where_it_was(autojump_clock: object) -> None:
    """There was no room for writes before, and the budget never grows by shrinking."""
    async with run_nodes(2 * MIB) as (one,):
        one.put_until_full()
        set_budget(one, MIB)
        await eventually(lambda: state(one) is ResizeState.STOPPED, seconds_max=60)
        zbud = one.engine.store.zbud
        assert zbud.resident_bytes <= zbud.budget_bytes <= 2 * MIB


async def test_shrinking_without_peers_drops_what_may_vanish_and_stops(
    autojump_clock: object,
) -> None:
    async with run_nodes(4 * MIB) as (one,):
        await fill(one, 500)
        set_budget(one, MIB)
        await eventually(lambda: state(one) is ResizeState.STOPPED, seconds_max=60)
        await read_all(one, 500)


async def test_a_larger_budget_serves_waiting_puts_at_once(autojump_clock: object) -> None:
    async with run_nodes(2 * MIB, 2 * MIB, foreign_fraction_max=0.01) as (one, _):
        index = one.put_until_full()
        assert not one.done
        set_budget(one, 4 * MIB)
        assert [outcome for _, outcome in one.done] == [PutOutcome.STORED]
        await read_all(one, index + 1)


async def test_pages_come_home_when_there_has_been_room_for_a_while(
    autojump_clock: object,
) -> None:
    async with run_nodes(4 * MIB, 8 * MIB, remote=REMOTE) as (one, two):
        await fill(one, 1600)
        one.flush(400, 1200)
        await eventually(lambda: away(one) == two.pages_here())
        assert away(one) > 300
        left = one.engine.statistics().remotify.stored_pages_total
        started = trio.current_time()
        await eventually(lambda: not two.pages_here(), seconds_max=60)
        assert trio.current_time() - started >= QUIET_SECONDS
        now = one.engine.statistics()
        assert now.repatriate.repatriated_pages_total > 300
        assert now.store.zpages[Family.OWN_PERSISTENT] == 400
        await trio.sleep(60)
        assert one.engine.statistics().remotify.stored_pages_total == left, "sent out again"
        await read_all(one, 400)


async def test_pages_come_home_at_a_bounded_rate(autojump_clock: object) -> None:
    async with run_nodes(4 * MIB, 8 * MIB, remote=REMOTE) as (one, _):
        await fill(one, 1600)
        one.flush(800, 800)
        await eventually(lambda: one.engine.statistics().repatriate.is_active, seconds_max=30)
        for _ in range(4):
            before = one.engine.statistics().repatriate.repatriated_pages_total
            await trio.sleep(1)
            came = one.engine.statistics().repatriate.repatriated_pages_total - before
            # A leaf or a block may be begun with the last page that the rate allows.
            assert came <= PAGES_PER_SECOND + 128


async def test_what_would_not_fit_stays_away(autojump_clock: object) -> None:
    async with run_nodes(4 * MIB, 8 * MIB, remote=REMOTE) as (one, two):
        await fill(one, 1800)
        one.flush(0, 600)
        await trio.sleep(60)
        store = one.engine.store
        assert two.pages_here() > 100
        assert not store.room.is_above(store.room.limits.low_watermark)
        for index in range(600, 1800):
            assert one.engine.store.serial_of(one.pool, b"disk", index)


async def test_nothing_comes_home_at_a_rate_of_0(autojump_clock: object) -> None:
    still = RemoteConfig(repatriate_pages_per_second=0)
    async with run_nodes(4 * MIB, 8 * MIB, remote=still) as (one, two):
        await fill(one, 1600)
        one.flush(400, 1200)
        await trio.sleep(60)
        assert two.pages_here() > 300


async def test_sparse_blocks_are_compacted_in_the_background(autojump_clock: object) -> None:
    async with run_nodes(4 * MIB, 2 * MIB) as (one, _):
        await fill(one, 800)
        for index in range(0, 800, 2):
            one.flush(index, 1)
        before = one.engine.store.zbud.used_bytes
        await trio.sleep(5)
        assert one.engine.store.zbud.used_bytes < 0.6 * before
        assert one.engine.statistics().compacted_zpages_total > 100
