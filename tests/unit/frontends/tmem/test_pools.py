"""Whose pools there are, how many pages they are charged for, and how they end."""

import pytest

from config.model import PoolCodec
from ramsterd.core.page import PAGE_BYTES
from ramsterd.core.pool_identity import program_pool
from ramsterd.core.pools import Pools
from ramsterd.frontends.tmem.messages import ErrorCode, PoolKind
from ramsterd.frontends.tmem.pool_records import Quotas, Refused, TmemPool
from ramsterd.frontends.tmem.pools import PoolBook
from tests.fakes.fake_pool_pager import FakePoolPager

QUOTAS = Quotas(pool_pages_max=10, user_pages_max=15, user_objects_max=3, pools_per_user_max=2)


def book_of(pager: FakePoolPager | None = None) -> tuple[PoolBook, FakePoolPager]:
    pager = pager or FakePoolPager()
    return PoolBook(pager, QUOTAS), pager


def put(book: PoolBook, pager: FakePoolPager, pool: TmemPool, index: int, count: int) -> None:
    put_object(book, pager, pool, b"o", index, count)


def put_object(
    book: PoolBook, pager: FakePoolPager, pool: TmemPool, object_id: bytes, index: int, count: int
) -> None:
    book.charge(pool, object_id, index, count)
    pager.put_now(pool.pool, object_id, index, memoryview(bytes(count * PAGE_BYTES)))
    book.check_invariants()


def test_a_user_has_a_bounded_number_of_pools_and_another_user_has_its_own() -> None:
    book, _ = book_of()
    book.open(1, PoolKind.PERSISTENT, "")
    book.open(1, PoolKind.PERSISTENT, "a")
    with pytest.raises(Refused) as refused:
        book.open(1, PoolKind.PERSISTENT, "b")
    assert refused.value.code is ErrorCode.TOO_MANY_POOLS
    book.open(1, PoolKind.PERSISTENT, "a")
    book.open(2, PoolKind.PERSISTENT, "b")
    book.check_invariants()


def test_a_store_without_room_for_a_pool_refuses_and_no_user_is_left_behind() -> None:
    book, _ = book_of(FakePoolPager(pools_max=0))
    with pytest.raises(Refused) as refused:
        book.open(1, PoolKind.PERSISTENT, "")
    assert refused.value.code is ErrorCode.TOO_MANY_POOLS
    assert not list(book.users())


def test_a_named_pool_is_opened_as_the_kind_it_is() -> None:
    book, _ = book_of()
    book.open(1, PoolKind.PERSISTENT, "a")
    with pytest.raises(Refused) as refused:
        book.open(1, PoolKind.EPHEMERAL, "a")
    assert refused.value.code is ErrorCode.KIND_DIFFERS


def test_both_quotas_are_reached_and_given_back_by_flushes() -> None:
    book, pager = book_of()
    first, second = (book.open(1, PoolKind.PERSISTENT, name) for name in "ab")
    put(book, pager, first, 0, 10)
    with pytest.raises(Refused) as refused:
        put(book, pager, first, 10, 1)
    assert refused.value.code is ErrorCode.POOL_QUOTA
    put(book, pager, second, 0, 5)
    with pytest.raises(Refused) as refused:
        put(book, pager, second, 5, 1)
    assert refused.value.code is ErrorCode.USER_QUOTA
    book.on_dropped(first, pager.drop(first.pool, b"o", 0, 2, pages_max=2).pages)
    put(book, pager, second, 5, 2)
    other = book.open(2, PoolKind.PERSISTENT, "a")
    put(book, pager, other, 0, 10)


def test_pages_that_are_there_are_not_charged_again() -> None:
    book, pager = book_of()
    pool = book.open(1, PoolKind.PERSISTENT, "")
    put(book, pager, pool, 0, 8)
    assert book.charge(pool, b"o", 6, 4) == (2, 2)
    assert pool.pages == 10


def test_objects_are_bounded_for_they_cost_memory_outside_the_budget() -> None:
    book, pager = book_of()
    pool = book.open(1, PoolKind.PERSISTENT, "")
    for name in (b"a", b"b", b"c"):
        put_object(book, pager, pool, name, 0, 1)
    with pytest.raises(Refused) as refused:
        put_object(book, pager, pool, b"d", 0, 1)
    assert refused.value.code is ErrorCode.USER_QUOTA
    put_object(book, pager, pool, b"a", 1, 1)


def test_what_the_store_evicted_is_noticed_when_a_quota_is_reached() -> None:
    book, pager = book_of()
    pool = book.open(1, PoolKind.EPHEMERAL, "")
    put(book, pager, pool, 0, 10)
    pager.pages.clear()
    put(book, pager, pool, 20, 3)
    assert pool.pages == 3


def test_counting_anew_keeps_puts_that_wait() -> None:
    book, _ = book_of()
    pool = book.open(1, PoolKind.PERSISTENT, "")
    book.charge(pool, b"o", 0, 4)
    pool.waiting_pages += 4
    book.recount(pool.owner)
    assert pool.pages == 4


def test_a_put_that_stored_a_part_is_charged_for_it() -> None:
    book, pager = book_of()
    pool = book.open(1, PoolKind.EPHEMERAL, "")
    before, charged = book.charge(pool, b"o", 0, 6)
    pager.put_now(pool.pool, b"o", 0, memoryview(bytes(2 * PAGE_BYTES)))
    book.correct(pool, b"o", 0, 6, before=before, charged=charged)
    assert pool.pages == pool.owner.pages == 2


def test_a_destroyed_pool_frees_its_name_at_once_and_its_pages_in_slices() -> None:
    book, pager = book_of()
    dropped: list[int] = []
    pool = book.open(1, PoolKind.PERSISTENT, "a")
    for index in range(0, 640, 64):
        put(book, pager, pool, index, 1)
    book.destroy(pool, dropped.append)
    again = book.open(1, PoolKind.PERSISTENT, "a")
    assert again is not pool
    assert again.owner.pages == 10, "they count until they are gone"
    for _ in range(9):
        book.sweep(1)
        book.check_invariants()
    while book.is_sweeping:
        book.sweep(1)
    assert dropped == [10]
    assert again.owner.pages == 0
    assert len(pager.pools) == 1
    book.sweep(1)


def test_the_last_pool_of_a_user_takes_the_user_with_it() -> None:
    book, _ = book_of()
    pool = book.open(1, PoolKind.PERSISTENT, "")
    book.close(pool)
    assert book.doomed_pools == 1
    assert not book.pool_snapshots()
    book.sweep(1)
    assert not book.user_snapshots()


def test_a_named_pool_keeps_its_codec() -> None:
    book, _ = book_of()
    book.open(1, PoolKind.PERSISTENT, "a", PoolCodec.ZSTD)
    assert book.open(1, PoolKind.PERSISTENT, "a", PoolCodec.ZSTD).codec is PoolCodec.ZSTD
    with pytest.raises(Refused, match="'a' has codec zstd") as refused:
        book.open(1, PoolKind.PERSISTENT, "a")
    assert refused.value.code is ErrorCode.CODEC_DIFFERS


def test_a_codec_that_is_not_installed_is_refused_and_no_user_is_left_behind() -> None:
    book, pager = book_of()
    pager.missing_codec = PoolCodec.ZSTD
    with pytest.raises(Refused, match="not installed") as refused:
        book.open(1, PoolKind.PERSISTENT, "a", PoolCodec.ZSTD)
    assert refused.value.code is ErrorCode.CODEC_MISSING
    assert not list(book.users())


class TestLeftByTheLastRun:
    """What `take_up` makes of it."""

    def book(self, *names: str) -> tuple[PoolBook, FakePoolPager]:
        """Take up pools of user 1, of which each has two pages."""
        kept, pager = Pools(), FakePoolPager()
        left = [kept.new(PoolKind.PERSISTENT, program_pool(name, 1)) for name in names]
        for pool in left:
            pager.put_now(pool.pool, b"o", 0, memoryview(bytes(2 * PAGE_BYTES)))
        book = PoolBook(pager, QUOTAS)
        book.take_up(left)
        book.check_invariants()
        return book, pager

    def test_named_pools_are_there_beyond_all_quotas_and_count_for_them(self) -> None:
        book, _ = self.book("a", "b", "c")
        (user,) = book.users()
        assert (len(user.pools), user.pages) == (3, 6)
        assert book.open(1, PoolKind.PERSISTENT, "b").pages == 2
        with pytest.raises(Refused) as refused:
            book.open(1, PoolKind.PERSISTENT, "d")
        assert refused.value.code is ErrorCode.TOO_MANY_POOLS

    def test_a_private_pool_is_claimed_once_by_its_connection(self) -> None:
        book, _ = self.book("")
        ((pool,),) = [user.pools for user in book.users()]
        with pytest.raises(Refused):
            book.claim_private(2, pool.pool)
        assert book.claim_private(1, pool.pool) is pool
        with pytest.raises(Refused) as refused:
            book.claim_private(1, pool.pool)
        assert refused.value.code is ErrorCode.NO_SUCH_POOL

    def test_a_private_pool_whose_connection_did_not_come_ends(self) -> None:
        book, pager = self.book("", "a")
        book.drop_unclaimed()
        assert book.doomed_pools == 1
        assert pager.calls["end_pool"] == 1
        book.drop_unclaimed()
        assert book.doomed_pools == 1
