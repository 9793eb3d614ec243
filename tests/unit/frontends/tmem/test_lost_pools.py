"""Named persistent pools over a restart: their loss is told until they are destroyed or reset, and never a miss."""

import pytest

from ramsterd.client.errors import NotStored, PageLost, PoolLost
from ramsterd.client.protocol import Request
from ramsterd.client.requests import (
    destroy_request,
    dropped_pages,
    error_of,
    flush_object_request,
    flush_request,
    get_requests,
    new_pool_request,
    pages_of,
    put_requests,
    stored_pages,
)
from ramsterd.core.page import PoolId
from ramsterd.frontends.tmem.messages import PAGE_BYTES, ErrorCode, PoolKind
from ramsterd.frontends.tmem.pool_records import Refused
from ramsterd.frontends.tmem.pools import PoolBook
from ramsterd.statefile.content import PoolKey
from ramsterd.statefile.marks import Mark
from tests.fakes.fake_pool_pager import FakePoolPager
from tests.fakes.state_disk import StateDisk
from tests.fakes.tmem_pair import QUOTAS, USER, Pair, serve

KEY = PoolKey(USER, "spill")
PAGE = b"p" * PAGE_BYTES


def begin(disk: StateDisk) -> Pair:
    """Return a client of a node that has just started."""
    pager = FakePoolPager()
    return Pair(pager=pager, book=PoolBook(pager, QUOTAS, marks=disk.marks))


def put_request(pool: int) -> Request:
    (request,) = put_requests(pool, b"o", 7, PAGE)
    return request


def get(pair: Pair, pool: int, count: int = 1) -> list[bytes | None]:
    return pages_of(pair.run_all(get_requests(pool, b"o", 7, bytearray(count * PAGE_BYTES))))


def restarted_after_a_put() -> StateDisk:
    disk = StateDisk()
    pair = begin(disk)
    pool = pair.new_pool(name="spill")
    pair.send(put_request(pool))
    disk.write()
    serve(pair.session)
    disk.start()
    disk.write()
    return disk


def test_a_first_put_waits_with_all_behind_it_until_the_file_names_the_pool() -> None:
    disk = StateDisk()
    disk.write()
    pair = begin(disk)
    pool = pair.new_pool(name="spill")
    put, (later,) = put_request(pool), get_requests(pool, b"o", 7, bytearray(PAGE_BYTES))
    pair.send(put, later)
    pair.receive()
    assert not put.is_done
    assert not later.is_done
    assert not pair.pager.pages
    disk.write()
    assert pair.late_replies == 1
    serve(pair.session)
    pair.receive()
    assert stored_pages([put]) == 1
    assert pages_of([later]) == [PAGE]
    pair.run(put_request(pool))  # waits for nothing


@pytest.mark.parametrize(
    ("kind", "name"), [(PoolKind.EPHEMERAL, "cache"), (PoolKind.PERSISTENT, "")]
)
def test_what_nobody_misses_after_a_restart_waits_for_nothing(kind: PoolKind, name: str) -> None:
    disk = StateDisk()
    pair = begin(disk)
    pair.run(put_request(pair.new_pool(kind, name)))
    assert not disk.marks.losses()


def test_a_pool_that_had_pages_is_lost_after_a_restart_and_no_get_is_a_miss() -> None:
    pair = begin(restarted_after_a_put())
    pool = pair.new_pool(name="spill")
    with pytest.raises(PageLost) as lost:
        get(pair, pool, 3)
    assert lost.value.indexes == (7, 8, 9)
    for request in (
        put_request(pool),
        flush_request(pool, b"o", 0, 10),
        flush_object_request(pool, b"o"),
    ):
        pair.run(request)
        assert request.error is not None
        error = error_of(request.error)
        assert isinstance(error, PoolLost)
        assert "destroy it and make it again" in str(error)
    assert pair.book.pool_snapshots()[0].is_lost
    assert not pair.pager.pages


def test_a_pool_ends_before_its_mark_is_cleared() -> None:
    """A process that is killed in between leaves no pages that no mark tells of."""
    disk, pager = StateDisk(), FakePoolPager()
    ended_at: list[int] = []

    def follow(mark: Mark, _: PoolId) -> None:
        mark.on_filling = lambda generation: (
            None if generation else ended_at.append(pager.calls["end_pool"])
        )

    pair = Pair(pager=pager, book=PoolBook(pager, QUOTAS, marks=disk.marks, follow=follow))
    pool = pair.new_pool(name="spill")
    pair.send(put_request(pool))
    disk.write()
    serve(pair.session)
    pair.send(destroy_request(pool))
    serve(pair.session)
    assert ended_at == [1]


def test_a_lost_pool_that_is_destroyed_can_be_made_again() -> None:
    disk = restarted_after_a_put()
    pair = begin(disk)
    (request,) = pair.run(destroy_request(pair.new_pool(name="spill")), is_swept=True)
    assert dropped_pages(request) == 0
    pool = pair.new_pool(name="spill")
    assert get(pair, pool) == [None]
    pair.send(put_request(pool))
    disk.write()
    serve(pair.session)
    assert get(pair, pool) == [PAGE]


def test_a_reset_opens_a_pool_that_a_program_has_open() -> None:
    disk = restarted_after_a_put()
    pair = begin(disk)
    pool = pair.new_pool(name="spill")
    assert disk.marks.reset(KEY)
    assert get(pair, pool) == [None]


def test_a_put_stores_nothing_while_the_file_cant_be_written() -> None:
    disk = StateDisk()
    disk.write()
    pair = begin(disk)
    pool = pair.new_pool(name="spill")
    put = put_request(pool)
    pair.send(put)
    disk.write(problem="no space left on device")
    serve(pair.session)
    pair.receive()
    assert put.error is not None
    assert isinstance(error_of(put.error), NotStored)
    assert not pair.pager.pages
    assert get(pair, pool) == [None]


def test_a_pool_destroyed_while_another_program_waits_to_put_is_gone_for_it() -> None:
    disk = StateDisk()
    disk.write()
    pair = begin(disk)
    other = Pair(pager=pair.pager, book=pair.book)
    pool = pair.new_pool(name="spill")
    put = put_request(pool)
    pair.send(put)
    other.run(destroy_request(other.new_pool(name="spill")), is_swept=True)
    assert pair.late_replies == 1
    serve(pair.session)
    pair.receive()
    assert put.error is not None
    assert put.error[0] is ErrorCode.NO_SUCH_POOL
    disk.write()
    assert not disk.start().losses()


def test_a_program_that_goes_while_it_waits_is_forgotten() -> None:
    disk = StateDisk()
    disk.write()
    pair = begin(disk)
    pair.send(put_request(pair.new_pool(name="spill")))
    pair.session.close()
    disk.write()
    assert pair.late_replies == 0
    assert not pair.pager.pages


def test_a_lost_pool_counts_as_one_of_its_user_and_keeps_its_kind() -> None:
    disk = restarted_after_a_put()
    book = PoolBook(FakePoolPager(), QUOTAS, marks=disk.marks)
    with pytest.raises(Refused, match="'spill' is persistent, and lost"):
        book.open(USER, PoolKind.EPHEMERAL, "spill")
    for _ in range(QUOTAS.pools_per_user_max - 1):
        book.open(USER, PoolKind.PERSISTENT, "")
    with pytest.raises(Refused, match="4 pools already"):
        book.open(USER, PoolKind.PERSISTENT, "more")
    book.open(USER, PoolKind.PERSISTENT, "spill")
    book.open(USER + 1, PoolKind.EPHEMERAL, "spill")


def test_a_pool_that_was_emptied_is_blank_after_a_restart() -> None:
    disk = StateDisk()
    pair = begin(disk)
    pool = pair.new_pool(name="spill")
    pair.send(put_request(pool))
    disk.write()
    serve(pair.session)
    pair.book.clear_emptied()
    assert disk.marks.of(KEY).is_set, "it has a page"
    pair.run(flush_request(pool, b"o", 0, 10))
    pair.book.clear_emptied()
    disk.write()
    assert not disk.start().losses()


def test_a_pool_whose_put_waits_for_room_is_not_called_empty() -> None:
    disk = StateDisk()
    pair = begin(disk)
    pool = pair.new_pool(name="spill")
    pair.pager.is_delaying = True
    pair.send(put_request(pool))
    disk.write()
    serve(pair.session)
    pair.book.clear_emptied()
    assert disk.marks.of(KEY).is_set


def test_opening_a_pool_notes_nothing() -> None:
    disk = StateDisk()
    disk.write()
    begin(disk).run(new_pool_request(PoolKind.PERSISTENT, "spill", is_exclusive=False))
    assert disk.marks.is_written
