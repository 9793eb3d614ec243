"""What waits, what a later operation does to it, and what a client that is gone leaves behind."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from config.limits import BUDGET_BYTES_MIN
from ramsterd.core import extents
from ramsterd.core.page import ZERO_PAGE, PoolId, PoolKind
from ramsterd.core.pool_identity import export_pool, program_pool
from ramsterd.core.store import RunOfPages
from ramsterd.frontends.pager import Dropped, GetOutcome, PagerClient, PutOutcome, Taken
from ramsterd.frontends.pager.pager import LOG_REFUSALS_SECONDS
from ramsterd.frontends.pager.queues import PASSED_BYTES_MAX
from tests.helpers.sim_nodes import OBJECT, PAGE, SimNode, eventually, noise, run_nodes

SMALL = BUDGET_BYTES_MIN
STORED, REFUSED = PutOutcome.STORED, PutOutcome.REFUSED


class User:
    """One client of a node's pager, and what it was called back with."""

    def __init__(self, node: SimNode, pool: PoolId | None = None) -> None:
        self.node = node
        self.client: PagerClient = node.pager.open_client()
        self.pool = node.pool if pool is None else pool
        self.done: list[object] = []

    def put(self, index: int, *pages: bytes) -> PutOutcome | None:
        view = memoryview(b"".join(pages))
        outcome = self.client.put(self.pool, OBJECT, index, view, self.done.append)
        self.node.pager.settle()
        return outcome

    def patch(self, index: int, offset: int, data: bytes) -> object:
        outcome = self.client.patch(self.pool, OBJECT, index, offset, data, self.done.append)
        self.node.pager.settle()
        return outcome

    def drop(self, index: int, count: int = 1) -> Dropped:
        dropped = self.client.drop(self.pool, OBJECT, index, count, pages_max=count)
        self.node.pager.settle()
        return dropped

    def get(self, index: int, count: int = 1) -> object:
        return self.client.get(self.pool, OBJECT, index, count, self.done.append)

    def close(self) -> None:
        self.client.close()
        self.node.pager.settle()


@asynccontextmanager
async def full_node() -> AsyncIterator[tuple[SimNode, int]]:
    """Yield a full node whose peer takes nothing, and the page for which a put of it waits."""
    async with run_nodes(SMALL, SMALL, foreign_fraction_max=0.0) as [node, _]:
        yield node, node.put_until_full()


async def test_nothing_of_a_client_that_is_gone_takes_effect(autojump_clock: MockClock) -> None:
    async with full_node() as (node, full):
        gone, other = User(node), User(node)
        assert gone.put(full + 1, noise(full + 1)) is None
        assert gone.patch(full + 2, 5, noise(1)[:3000]) is None
        gone.close()
        gone.client.close()
        assert other.drop(0, 64) == (64, 64)
        assert [outcome for _, outcome in node.done] == [STORED]
        assert other.get(full, 3) == [noise(full), None, None]
        assert gone.done == []
        statistics = node.pager.statistics()
        assert (statistics.waiting_puts, statistics.cancelled_puts_total) == (0, 2)
        assert statistics.clients == 2


async def test_gets_of_a_client_that_is_gone_are_not_called_back(autojump_clock: MockClock) -> None:
    async with run_nodes(SMALL, 4 * SMALL) as [node, _]:
        for index in range(1000):
            node.put(index, noise(index))
            await trio.lowlevel.checkpoint()
        await eventually(lambda: not node.pager.statistics().waiting_puts)
        gone, other = User(node), User(node)
        assert gone.get(0, 3) is None
        assert gone.patch(1, 0, b"x") is None
        assert other.get(1, 3) is None
        gone.close()
        assert node.pager.statistics().waiting_gets == 1
        await eventually(lambda: other.done)
        assert other.done == [[noise(1), noise(2), noise(3)]]
        assert gone.done == []
        assert other.get(1) == [noise(1)]


async def test_a_later_write_of_a_whole_page_ends_what_waits_there(
    autojump_clock: MockClock,
) -> None:
    """Zeros, same-filled pages and drops wait for nothing; what waited counts as done just before."""
    async with full_node() as (node, full):
        first, other = User(node), User(node)
        assert first.put(full + 1, *(noise(full + each) for each in range(1, 4))) is None
        assert first.patch(full + 4, 0, noise(4)[:3000]) is None
        assert other.client.put_zeros(other.pool, OBJECT, full + 1, 1) == 1
        assert other.put(full + 2, b"A" * PAGE) is STORED
        assert first.done == []
        assert other.drop(full + 4) == (1, 0)
        assert first.done == [STORED]
        assert other.drop(full + 3) == (1, 0)
        assert first.done == [STORED, STORED]
        assert other.drop(0, 64) == (64, 64)
        assert other.get(full, 5) == [noise(full), ZERO_PAGE, b"A" * PAGE, None, None]
        assert node.pager.statistics().superseded_puts_total == 2


async def test_a_flush_of_a_long_range_ends_what_waits_where_no_page_stands_yet(
    autojump_clock: MockClock,
) -> None:
    """It visits only what is there; before, between and behind that it drops all as it passes."""
    async with full_node() as (node, full):
        user = User(node)
        waiting = [full + 64, full + 640, full + 6400]
        assert user.put(full + 320, b"A" * PAGE) is STORED
        for index in waiting:
            assert user.put(index, noise(index)) is None
        count = 1 << 40
        assert user.client.drop(node.pool, OBJECT, full + 64, count, pages_max=64) == (count, 1)
        node.pager.settle()
        assert user.done == [STORED] * 3
        user.drop(0, 64)
        assert user.get(full + 64) == user.get(full + 640) == user.get(full + 6400) == [None]
        assert user.get(full + 320) == [None]


def drop(user: User) -> None:
    assert user.client.drop(user.pool, OBJECT, 0, 64, pages_max=64) == (64, 64)


def put_zeros(user: User) -> None:
    assert user.client.put_zeros(user.pool, OBJECT, 0, 64) == 64


def put_same_filled(user: User) -> None:
    view = memoryview(b"A" * PAGE * 64)
    assert user.client.put(user.pool, OBJECT, 0, view, user.done.append) is STORED


def take(user: User) -> None:
    taken = user.client.take(user.pool, OBJECT, 0, 64, user.done.append)
    assert taken is not None
    assert taken.pages == 64


def end_pool(user: User) -> None:
    user.node.pager.end_pool(user.pool)
    while not user.node.pager.destroy_some(user.pool, 64)[1]:
        pass


@pytest.mark.parametrize("go", [drop, put_zeros, put_same_filled, take, end_pool])
async def test_whatever_makes_pages_go_serves_who_waits_for_room_in_the_same_pass(
    go: Callable[[User], None], autojump_clock: MockClock
) -> None:
    async with run_nodes(SMALL, SMALL, foreign_fraction_max=0.0) as [node, _]:
        other = User(node, node.pager.new_pool(PoolKind.PERSISTENT, program_pool("spill")))
        for index in range(64):
            assert other.put(index, noise(index, 1)) is STORED
        full = node.put_until_full()
        assert node.done == []
        go(other)
        node.pager.settle()
        assert [outcome for _, outcome in node.done] == [STORED]
        assert node.get(full) == [noise(full)]


async def test_two_puts_of_a_page_wait_in_their_order(autojump_clock: MockClock) -> None:
    async with full_node() as (node, full):
        first, second = User(node), User(node)
        assert first.put(full + 1, noise(1, 1)) is None
        assert second.put(full + 1, noise(1, 2)) is None
        first.drop(0, 64)
        assert first.done == second.done == [STORED]
        assert first.get(full + 1) == [noise(1, 2)]


async def test_the_second_of_two_puts_vanishes(autojump_clock: MockClock) -> None:
    async with full_node() as (node, full):
        first, second = User(node), User(node)
        assert first.put(full + 1, noise(1, 1)) is None
        assert second.put(full + 1, noise(1, 2)) is None
        second.close()
        first.drop(0, 64)
        assert first.done == [STORED]
        assert first.get(full + 1) == [noise(1, 1)]


async def test_a_patch_waits_behind_a_put_of_its_page(autojump_clock: MockClock) -> None:
    async with full_node() as (node, full):
        first, second = User(node), User(node)
        assert first.put(full + 1, noise(1)) is None
        assert second.patch(full + 1, 100, b"abc") is None
        assert node.pager.statistics().waiting_puts == 2  # with the one that made the node full
        first.drop(0, 64)
        await eventually(lambda: second.done)
        assert first.done == second.done == [STORED]
        assert first.get(full + 1) == [noise(1)[:100] + b"abc" + noise(1)[103:]]


async def test_a_patch_is_tried_on_what_stands_there_when_the_put_before_it_vanishes(
    autojump_clock: MockClock,
) -> None:
    async with full_node() as (node, full):
        first, second, third = User(node), User(node), User(node)
        assert third.put(full + 1, b"A" * PAGE) is STORED
        assert first.put(full + 1, noise(1)) is None
        assert second.patch(full + 1, 0, b"BBBB") is None
        assert third.patch(full + 1, 0, b"A" * 8) is None
        first.close()
        second.close()
        assert third.done == [STORED]
        assert third.get(full + 1) == [b"A" * PAGE]


async def test_what_needs_no_slot_does_not_queue(autojump_clock: MockClock) -> None:
    """Overwrites in place and same-filled pages, of the same pool and of another."""
    async with full_node() as (node, full):
        pool = node.pager.new_pool(PoolKind.PERSISTENT, export_pool("other"))
        other = User(node, pool)
        node.flush(0, 16)
        assert node.done.pop()[1] is STORED
        assert other.put(0, *(noise(each, 1) for each in range(4))) is STORED
        node.put_until_full(full + 1)
        assert node.pager.statistics().waiting_puts == 1
        for user in (other, User(node)):
            assert user.put(9000, b"B" * PAGE) is STORED
        assert other.put(0, *(noise(each, 2) for each in range(4))) is STORED
        assert other.get(0, 4) == [noise(each, 2) for each in range(4)]
        # What needs one waits with it, from the first page on that does.
        assert other.put(2, noise(2, 3), noise(3, 3), noise(4, 3), noise(3, 3)) is None
        assert other.get(2, 3) == [noise(2, 3), noise(3, 3), None]
        assert node.pager.statistics().waiting_pools == 2


async def test_a_refusal_leaves_the_page_of_a_disk_and_hides_that_of_a_program(
    autojump_clock: MockClock,
) -> None:
    async with full_node() as (node, _):
        spill = node.pager.new_pool(PoolKind.PERSISTENT, program_pool("spill"))
        disk, program = User(node), User(node, spill)
        for user in (disk, program):
            assert user.put(9000, b"A" * PAGE, b"B" * PAGE, b"C" * PAGE) is STORED
            assert user.put(9000, noise(1), noise(2), noise(3)) is None
            # Superseded meanwhile, so not to be hidden.
            assert user.put(9001, b"D" * PAGE) is STORED
        await eventually(lambda: program.done and disk.done)
        assert disk.done == program.done == [REFUSED]
        assert disk.get(9000, 3) == [b"A" * PAGE, b"D" * PAGE, b"C" * PAGE]
        assert program.get(9000) is program.get(9002) is GetOutcome.LOST
        assert program.get(9001) == [b"D" * PAGE]


async def test_a_refusal_at_once_ends_what_waits_for_the_page_it_hides(
    autojump_clock: MockClock,
) -> None:
    """A program that keeps elsewhere what was refused must not get the version before it, in whatever way."""
    async with full_node() as (node, _):
        cache = node.pager.new_pool(PoolKind.PERSISTENT, program_pool("cache"))
        first, second = User(node, cache), User(node, cache)
        assert first.put(1, noise(1, 1)) is None
        view = memoryview(noise(1, 2))
        assert second.client.put_now(cache, OBJECT, 1, view) == 0
        node.pager.settle()
        assert first.done == [STORED]
        first.drop(1)
        assert first.get(1) == [None]


async def test_ephemeral_pages_take_no_slot_from_persistent_ones_that_wait(
    autojump_clock: MockClock,
) -> None:
    async with full_node() as (node, _):
        cache = node.pager.new_pool(PoolKind.EPHEMERAL, program_pool("cache"))
        user = User(node, cache)
        node.client.drop(node.pool, OBJECT, 0, 1, pages_max=1)  # in the same pass
        assert user.client.put_now(cache, OBJECT, 0, memoryview(noise(0))) == 0
        node.pager.settle()
        assert [outcome for _, outcome in node.done] == [STORED]
        assert user.get(0) == [None]


async def test_a_put_of_an_ephemeral_page_that_finds_no_room_is_no_news(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """It may be dropped at any time; the log would blame the export that asks for the most peers."""
    async with full_node() as (node, _):
        cache = node.pager.new_pool(PoolKind.EPHEMERAL, program_pool("cache"))
        before = node.pager.statistics().refused_puts_total
        assert User(node, cache).client.put_now(cache, OBJECT, 0, memoryview(noise(0))) == 0
        node.pager.settle()
        now = node.pager.statistics()
        assert (now.refused_puts_total - before, now.refused_ephemeral_puts_total) == (1, 1)
        assert "writes get no room" not in caplog.text


async def test_pools_take_turns_when_there_is_room(autojump_clock: MockClock) -> None:
    """However much one of them waits for, each has its share of what becomes free."""
    async with full_node() as (node, _):
        users = [
            User(node, node.pager.new_pool(PoolKind.PERSISTENT, export_pool(f"pool {number}")))
            for number in range(3)
        ]
        for index in range(0, 4096, 16):
            assert users[0].put(index, *(noise(index + each) for each in range(16))) is None
        for user in users[1:]:
            assert user.put(0, *(noise(each) for each in range(16))) is None
        node.flush(0, 112)
        assert [len(user.done) for user in users] == [4, 1, 1]


async def test_a_big_page_is_not_passed_by_small_ones_for_ever(autojump_clock: MockClock) -> None:
    """Frames become free a few at a time; small blocks would take them all, and the large one never find enough."""
    async with run_nodes(SMALL, SMALL, foreign_fraction_max=0.0) as [node, _]:
        small = noise(0)[:250].ljust(PAGE, b"\0")
        index = 0
        while node.put(index, small[:-4] + index.to_bytes(4, "big")) is STORED:
            index += 1
        node.client.close()
        large, user = (
            User(node),
            User(node, node.pager.new_pool(PoolKind.PERSISTENT, export_pool("small"))),
        )
        assert large.put(90_000, noise(1)) is None
        freed = number = 0
        while not large.done:
            for _ in range(32):
                number += 1
                user.put(number, small[:-4] + number.to_bytes(4, "big"))
            freed += 32
            large.drop(freed - 32, 32)
            assert freed < index, "the large one starves"
        assert large.done == [STORED]
        taken = sum(outcome is STORED for outcome in user.done)
        assert taken * 250 <= 2 * PASSED_BYTES_MAX


async def test_an_exclusive_get_takes_no_page_that_is_put_while_it_waits(
    autojump_clock: MockClock,
) -> None:
    async with run_nodes(SMALL, 4 * SMALL) as [node, _]:
        for index in range(1000):
            node.put(index, noise(index))
            await trio.lowlevel.checkpoint()
        await eventually(lambda: not node.pager.statistics().waiting_puts)
        taker, writer = User(node), User(node)
        assert taker.client.take(node.pool, OBJECT, 0, 3, taker.done.append) is None
        node.pager.settle()
        assert writer.put(1, b"new!" * 1024) is STORED
        await eventually(lambda: taker.done)
        [taken] = taker.done
        assert isinstance(taken, Taken)
        assert taken.pages == 2
        assert writer.get(0, 3) == [None, b"new!" * 1024, None]
        assert taker.client.take(node.pool, OBJECT, 1, 1, taker.done.append) == (
            [b"new!" * 1024],
            1,
        )
        assert writer.get(1) == [None]


async def test_a_write_that_waits_in_a_pool_that_ends_is_refused(autojump_clock: MockClock) -> None:
    async with full_node() as (node, _):
        pool = node.pager.new_pool(PoolKind.PERSISTENT, export_pool("doomed"))
        user = User(node, pool)
        assert user.put(0, noise(0)) is None
        assert user.patch(0, 5, b"x") is None
        node.pager.end_pool(pool)
        node.pager.settle()
        assert user.done == [REFUSED, REFUSED]
        assert node.pager.destroy_some(pool, 16) == (0, True)
        assert node.pager.statistics().waiting_puts == 1


async def test_room_is_served_a_bounded_piece_at_a_time(autojump_clock: MockClock) -> None:
    """And the rest without a wait, once others have had their turn."""
    async with full_node() as (node, full):
        user = User(node)
        for index in range(0, 128, 16):
            user.put(20_000 + index, *(noise(index + each) for each in range(16)))
        extents.put_zeros(node.engine.store, node.pool, OBJECT, 0, full)  # makes room, and tells
        node.pager.settle()
        await eventually(lambda: len(user.done) == 8, seconds_max=0.1)
        assert user.get(20_000, 2) == [noise(0), noise(1)]


async def test_refusals_without_a_pool_of_our_own_end_no_daemon(autojump_clock: MockClock) -> None:
    """The log is told of them later, when the pool that they were in may be gone."""
    async with run_nodes(SMALL) as [node]:
        pager = node.pager
        pools = node.pool, pager.new_pool(PoolKind.PERSISTENT, program_pool("spill"))
        user = User(node, pools[1])
        index = 0
        while user.put(index, noise(index)) is STORED:
            index += 1
        await trio.sleep(LOG_REFUSALS_SECONDS / 5)
        assert user.put(index, noise(index)) is REFUSED
        user.close()
        for pool in pools:
            pager.end_pool(pool)
            while not pager.destroy_some(pool, 1000)[1]:
                pass
        pager.settle()
        await trio.sleep(2 * LOG_REFUSALS_SECONDS)
        cache = pager.new_pool(PoolKind.EPHEMERAL, program_pool("cache"))
        assert User(node, cache).put(0, noise(0)) is STORED


@pytest.mark.slow
async def test_a_patch_of_a_page_at_a_peer_gets_its_turn_beside_others_that_wait(
    autojump_clock: MockClock,
) -> None:
    """The page is fetched once, and kept until there is room for it: memory is full, so nobody else keeps it."""
    async with run_nodes(SMALL, 2 * SMALL) as [node, _]:
        filler = User(node)
        count = 0
        while REFUSED not in filler.done:
            filler.put(count, noise(count))
            count += 1
            await trio.sleep(6 if node.pager.statistics().waiting_puts > 3 else 0.001)
        where = {
            index: isinstance(node.engine.look(node.pool, OBJECT, index, 1), RunOfPages)
            for index in range(count)
        }
        remote = [index for index, is_remote in where.items() if is_remote]
        local = [index for index, is_remote in where.items() if not is_remote]
        other, patcher = (
            User(node, node.pager.new_pool(PoolKind.PERSISTENT, export_pool("b"))),
            User(node),
        )
        for index in range(60):
            other.put(index, noise(index, 3))
        assert node.pager.statistics().waiting_puts
        fetched = node.engine.statistics().fetch.fetched_pages_total
        assert patcher.patch(remote[0], 0, b"x" * 512) is None
        while not patcher.done:
            for index in local[-4:]:
                filler.drop(index)
            del local[-4:]
            await trio.sleep(0.1)
        assert patcher.done == [STORED]
        assert node.engine.statistics().fetch.fetched_pages_total - fetched <= 2
        assert REFUSED not in other.done
