"""One connection's requests: what is asked, what is refused, and what is bounded."""

from dataclasses import replace

import pytest

from net.errors import RemoteProtocolError
from net.frame import encode_header
from ramsterd.client.errors import PageLost, PageUnreachable, PoolFull, PoolGone, RamsterError
from ramsterd.client.protocol import Request
from ramsterd.client.requests import (
    destroy_request,
    dropped_pages,
    error_of,
    flush_object_request,
    flush_request,
    get_requests,
    hello_request,
    missing_indexes,
    new_pool_request,
    pages_of,
    put_requests,
    status_of,
    status_request,
    stored_pages,
)
from ramsterd.frontends.tmem import flushing
from ramsterd.frontends.tmem.handed import OPEN_POOLS_MAX
from ramsterd.frontends.tmem.messages import (
    IN_FLIGHT_BYTES_MAX,
    INDEX_MAX,
    PAGE_BYTES,
    PAGES_PER_FRAME_MAX,
    REPLY_BYTES_MAX,
    ErrorCode,
    PoolKind,
    TmemType,
    encode_frame,
    page_range,
    place,
)
from tests.fakes.fake_pool_pager import FakePoolPager
from tests.fakes.tmem_pair import QUOTAS, Pair, feed, serve, take_replies

OBJECT = b"object"


def page(number: int) -> bytes:
    return bytes([number % 251 + 1]) * PAGE_BYTES


def run_of(count: int, start: int = 0) -> bytes:
    return b"".join(page(start + number) for number in range(count))


def put(pair: Pair, pool: int, index: int, data: bytes) -> int:
    return stored_pages(pair.run_all(put_requests(pool, OBJECT, index, data)))


def get(pair: Pair, pool: int, index: int, count: int) -> list[bytes | None]:
    return pages_of(pair.run_all(get_requests(pool, OBJECT, index, bytearray(count * PAGE_BYTES))))


def error_code(request: Request) -> ErrorCode:
    assert request.error is not None
    return request.error[0]


def test_what_was_put_comes_back_and_holes_are_misses() -> None:
    pair = Pair()
    pool = pair.new_pool()
    assert put(pair, pool, 3, run_of(100)) == 100
    got = get(pair, pool, 2, 102)
    assert got == [None, *(page(number) for number in range(100)), None]


def test_the_second_put_of_a_page_is_what_a_get_returns() -> None:
    pair = Pair()
    pool = pair.new_pool()
    put(pair, pool, 0, page(1))
    put(pair, pool, 0, page(2))
    assert get(pair, pool, 0, 1) == [page(2)]


def test_after_a_flush_every_get_misses() -> None:
    pair = Pair()
    pool = pair.new_pool()
    put(pair, pool, 0, run_of(10))
    (flush,) = pair.run(flush_request(pool, OBJECT, 2, 3))
    assert dropped_pages(flush) == 3
    assert [each is None for each in get(pair, pool, 0, 10)] == [False] * 2 + [True] * 3 + [
        False
    ] * 5
    (flush,) = pair.run(flush_object_request(pool, OBJECT))
    assert dropped_pages(flush) == 7
    assert get(pair, pool, 0, 10) == [None] * 10


def test_an_exclusive_get_takes_the_pages_with_it() -> None:
    pair = Pair()
    pool = pair.new_pool(PoolKind.EPHEMERAL, is_exclusive=True)
    put(pair, pool, 0, run_of(3))
    assert get(pair, pool, 0, 4) == [page(0), page(1), page(2), None]
    assert get(pair, pool, 0, 4) == [None] * 4
    assert pair.book.pool_snapshots()[0].pages == 0


def test_a_lost_page_does_not_hide_its_neighbours() -> None:
    pair = Pair()
    pool = pair.new_pool()
    put(pair, pool, 0, run_of(8))
    pair.pager.lost.add(5)
    buffer = bytearray(8 * PAGE_BYTES)
    requests = pair.run_all(get_requests(pool, OBJECT, 0, buffer))
    with pytest.raises(PageLost) as caught:
        missing_indexes(requests)
    assert caught.value.indexes == (5,)
    assert buffer == run_of(5) + bytes(PAGE_BYTES) + run_of(2, 6)


def test_a_lost_page_is_told_also_when_its_neighbours_come_late() -> None:
    pair = Pair()
    pool = pair.new_pool()
    put(pair, pool, 0, run_of(4))
    pair.pager.lost.add(0)
    pair.pager.is_delaying = True
    requests = list(get_requests(pool, OBJECT, 0, bytearray(4 * PAGE_BYTES)))
    pair.send(*requests)
    pair.pager.release()  # the run: lost
    assert not pair.receive()
    pair.pager.release()  # its pages
    assert pair.receive() == requests
    with pytest.raises(PageLost):
        missing_indexes(requests)
    assert pair.session.in_flight.count == pair.session.in_flight.bytes == 0


def test_an_unreachable_page_is_told_apart_from_a_lost_one() -> None:
    pair = Pair()
    pool = pair.new_pool()
    put(pair, pool, 0, page(0))
    pair.pager.unreachable.add(0)
    with pytest.raises(PageUnreachable):
        get(pair, pool, 0, 1)


def test_replies_may_come_late_and_in_any_order() -> None:
    pair = Pair()
    pool = pair.new_pool()
    put(pair, pool, 0, run_of(2))
    pair.pager.is_delaying = True
    (late,) = get_requests(pool, OBJECT, 0, bytearray(2 * PAGE_BYTES))
    pair.send(late)
    pair.pager.is_delaying = False
    assert get(pair, pool, 1, 1) == [page(1)]
    assert not late.is_done
    assert pair.late_replies == 0
    pair.pager.release()
    assert pair.late_replies == 1
    pair.receive()
    assert pages_of([late]) == [page(0), page(1)]


def test_gets_and_puts_are_counted_by_what_they_needed() -> None:
    """A run with a lost page is one get, whatever it takes."""
    pair = Pair()
    latency = pair.counters.latency
    pools = [pair.new_pool(), pair.new_pool(PoolKind.EPHEMERAL)]
    latency.began_at = 0.0
    for pool in pools:
        put(pair, pool, 0, run_of(3))
        get(pair, pool, 0, 3)
    pair.pager.lost.add(1)
    get_with_lost_page(pair, pools[0])
    latency.end_pass(0.5)
    latency.began_at = 1.0
    pair.pager.is_delaying = True
    get_with_lost_page(pair, pools[0])
    pair.send(*put_requests(pools[0], OBJECT, 4, page(4)))
    pair.pager.is_delaying = False
    pair.pager.release()
    pair.receive()
    latency.on_sent(2.0)
    now = latency.statistics()
    assert (sum(now.read_local.counts), sum(now.read_peer.counts)) == (3, 1)
    assert (sum(now.write_local.counts), sum(now.write_peer.counts)) == (2, 1)


def get_with_lost_page(pair: Pair, pool: int) -> None:
    pair.send(*get_requests(pool, OBJECT, 0, bytearray(3 * PAGE_BYTES)))
    pair.receive()


def test_a_put_that_is_refused_says_pool_full() -> None:
    pair = Pair()
    pool = pair.new_pool()
    pair.pager.is_refusing = True
    with pytest.raises(PoolFull):
        put(pair, pool, 0, page(0))
    assert pair.book.pool_snapshots()[0].pages == 0, "what is not stored is not charged"
    pair.pager.is_delaying = True
    (request,) = put_requests(pool, OBJECT, 0, page(0))
    pair.send(request)
    pair.pager.release()
    pair.receive()
    assert error_code(request) is ErrorCode.NO_ROOM


def test_a_put_whose_connection_ends_while_it_waits_has_no_effect_and_is_not_counted() -> None:
    pair = Pair()
    pool = pair.new_pool(name="kept")
    pair.pager.is_delaying = True
    pair.send(*put_requests(pool, OBJECT, 0, run_of(3)))
    (kept,) = (pool for user in pair.book.users() for pool in user.pools)
    assert kept.waiting_pages == 3
    pair.session.close()
    pair.session.close()
    pair.pager.release()
    assert not pair.pager.pages
    assert kept.waiting_pages == 0
    assert pair.late_replies == 0
    for user in pair.book.users():
        pair.book.recount(user)
    assert kept.pages == 0
    pair.book.check_invariants()


def test_a_put_that_waits_in_a_pool_that_another_connection_destroys_says_so() -> None:
    ours = Pair()
    theirs = Pair(pager=ours.pager, book=ours.book)
    first, second = ours.new_pool(name="shared"), theirs.new_pool(name="shared")
    ours.pager.is_delaying = ours.pager.is_refusing = True
    (request,) = put_requests(first, OBJECT, 0, page(0))
    ours.send(request)
    theirs.send(destroy_request(second))
    assert ours.pager.calls["end_pool"] == 1
    ours.pager.release()
    ours.receive()
    assert error_code(request) is ErrorCode.NO_SUCH_POOL


def test_an_exclusive_get_whose_connection_ends_takes_nothing() -> None:
    pair = Pair()
    pool = pair.new_pool(PoolKind.EPHEMERAL, "kept", is_exclusive=True)
    put(pair, pool, 0, run_of(2))
    pair.pager.is_delaying = True
    pair.send(*get_requests(pool, OBJECT, 0, bytearray(2 * PAGE_BYTES)))
    pair.session.close()
    pair.pager.release()
    assert len(pair.pager.pages) == 2


def test_an_ephemeral_put_stores_what_there_is_room_for() -> None:
    pair = Pair()
    pool = pair.new_pool(PoolKind.EPHEMERAL)
    put(pair, pool, 3, page(9))
    pair.pager.room_pages = 2
    assert put(pair, pool, 0, run_of(4)) == 2
    assert get(pair, pool, 0, 4) == [page(0), page(1), None, None]
    assert pair.book.pool_snapshots()[0].pages == 2


def test_a_pool_number_of_another_connection_names_nothing() -> None:
    ours, theirs = Pair(), Pair()
    pool = ours.new_pool()
    put(ours, pool, 0, page(0))
    with pytest.raises(PoolGone):
        get(theirs, pool, 0, 1)
    with pytest.raises(PoolGone):
        put(theirs, pool, 0, page(1))
    (request,) = theirs.run(destroy_request(pool))
    assert error_code(request) is ErrorCode.NO_SUCH_POOL
    assert get(ours, pool, 0, 1) == [page(0)]


def test_a_named_pool_is_shared_by_connections_of_its_user_only() -> None:
    ours = Pair()
    also_ours = Pair(pager=ours.pager, book=ours.book)
    theirs = Pair(pager=ours.pager, book=ours.book, user=7)
    first, second = ours.new_pool(name="shared"), also_ours.new_pool(name="shared")
    put(ours, first, 0, page(0))
    assert get(also_ours, second, 0, 1) == [page(0)]
    assert get(theirs, theirs.new_pool(name="shared"), 0, 1) == [None]


def test_a_pool_destroyed_by_another_connection_is_gone() -> None:
    ours = Pair()
    also_ours = Pair(pager=ours.pager, book=ours.book)
    first, second = ours.new_pool(name="shared"), also_ours.new_pool(name="shared")
    put(ours, first, 0, run_of(2))
    destroy = destroy_request(second)
    also_ours.send(destroy)
    for attempt in (
        lambda: get(ours, first, 0, 1),
        lambda: put(ours, first, 0, page(1)),
        lambda: dropped_pages(ours.run(flush_object_request(first, OBJECT))[0]),
    ):
        with pytest.raises(PoolGone):
            attempt()
    assert not destroy.is_done
    ours.sweep()
    also_ours.receive()
    assert dropped_pages(destroy) == 2
    ours.session.close()
    ours.book.check_invariants()


def test_a_private_pool_ends_with_its_connection_and_a_named_one_stays() -> None:
    pair = Pair()
    put(pair, pair.new_pool(), 0, run_of(3))
    put(pair, pair.new_pool(name="kept"), 0, run_of(2))
    pair.session.close()
    pair.sweep()
    assert [(each.name, each.pages) for each in pair.book.pool_snapshots()] == [("kept", 2)]
    assert len(pair.pager.pages) == 2
    again = Pair(pager=pair.pager, book=pair.book)
    assert get(again, again.new_pool(name="kept"), 0, 2) == [page(0), page(1)]


def test_the_quota_of_a_pool_is_reached_and_overwriting_goes_on() -> None:
    pair = Pair()
    pool = pair.new_pool()
    put(pair, pool, 0, run_of(QUOTAS.pool_pages_max))
    with pytest.raises(PoolFull):
        put(pair, pool, QUOTAS.pool_pages_max, page(0))
    assert put(pair, pool, 0, run_of(10, 5)) == 10
    pair.run(flush_request(pool, OBJECT, 0, 1))
    assert put(pair, pool, QUOTAS.pool_pages_max, page(0)) == 1
    pair.book.check_invariants()


def test_status_tells_what_the_connection_has() -> None:
    pair = Pair()
    put(pair, pair.new_pool(), 0, run_of(3))
    (request,) = pair.run(status_request())
    assert status_of(request) == {"user": 1000, "pools": 1, "pages": 3, "in_flight": 0}


# Bounds.


def test_a_client_that_takes_no_replies_is_served_no_further() -> None:
    pair = Pair()
    pool = pair.new_pool()
    put(pair, pool, 0, run_of(PAGES_PER_FRAME_MAX))
    get_bytes = encode_frame(TmemType.GET, 1, place(pool, OBJECT), count=PAGES_PER_FRAME_MAX)
    calls_before = pair.pager.calls["get"]
    feed(pair.session, get_bytes * 1000)
    frame_bytes = PAGES_PER_FRAME_MAX * PAGE_BYTES
    assert pair.session.is_full
    assert pair.session.has_unserved
    assert pair.session.replies.queued_bytes < REPLY_BYTES_MAX + 2 * frame_bytes
    assert pair.pager.calls["get"] - calls_before <= REPLY_BYTES_MAX // frame_bytes + 1


def test_gets_that_wait_are_bounded_in_bytes() -> None:
    pair = Pair()
    pool = pair.new_pool()
    pair.pager.is_delaying = True
    get_bytes = encode_frame(TmemType.GET, 1, place(pool, OBJECT), count=PAGES_PER_FRAME_MAX)
    feed(pair.session, get_bytes * 1000)
    assert pair.session.is_full
    assert pair.session.in_flight.bytes == IN_FLIGHT_BYTES_MAX
    assert pair.counters.in_flight_count == pair.session.in_flight.count
    pair.session.close()
    pair.pager.release()
    assert pair.counters.in_flight_count == 0
    assert not pair.session.replies.queued_bytes


def test_a_pass_ends_before_others_have_waited_long() -> None:
    pair = Pair()
    pool = pair.new_pool()
    get_bytes = encode_frame(TmemType.GET, 1, place(pool, OBJECT), count=PAGES_PER_FRAME_MAX)
    space = pair.session.received.space()
    data = get_bytes * (len(space) // len(get_bytes))
    space[: len(data)] = data
    pair.session.received.on_received(len(data))
    pair.session.serve()
    assert pair.session.has_unserved
    assert pair.pager.calls["get"] < 10


def test_a_long_flush_takes_several_passes_and_later_puts_survive_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(flushing, "FLUSH_PAGES_MAX", 16)
    pair = Pair(quotas=QUOTAS)
    pool = pair.new_pool()
    spread_out = 64
    for leaf in range(50):
        put(pair, pool, leaf * spread_out, page(leaf))
    flush = flush_object_request(pool, OBJECT)
    (later,) = put_requests(pool, OBJECT, 0, page(7))
    data = pair.client.begin(flush) + pair.client.begin(later) + page(7)
    space = pair.session.received.space()
    space[: len(data)] = data
    pair.session.received.on_received(len(data))
    assert serve(pair.session) > 3
    pair.receive()
    assert dropped_pages(flush) == 50
    assert stored_pages([later]) == 1
    assert get(pair, pool, 0, 1) == [page(7)]
    pair.book.check_invariants()


def test_requests_behind_a_long_flush_are_served_though_its_answer_fills_the_replies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody sends more: the client waits for their answers."""
    monkeypatch.setattr(flushing, "FLUSH_PAGES_MAX", 16)
    pair = Pair(quotas=QUOTAS)
    pool = pair.new_pool()
    for leaf in range(50):
        put(pair, pool, leaf * 64, page(leaf))
    (later,) = put_requests(pool, OBJECT, 0, page(7))
    data = (
        pair.client.begin(flush_object_request(pool, OBJECT)) + pair.client.begin(later) + page(7)
    )
    pair.session.received.space()[: len(data)] = data
    pair.session.received.on_received(len(data))
    pair.session.serve()
    assert pair.session.has_begun
    pair.session.replies.append(bytes(REPLY_BYTES_MAX - 1))
    serve(pair.session)
    assert pair.session.is_full
    assert pair.session.has_unserved
    take_replies(pair.session)
    serve(pair.session)
    pair.receive()
    assert stored_pages([later]) == 1


def test_a_flush_under_way_ends_when_the_pool_is_destroyed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(flushing, "FLUSH_PAGES_MAX", 16)
    pair = Pair()
    other = Pair(pager=pair.pager, book=pair.book)
    pool, theirs = pair.new_pool(name="shared"), other.new_pool(name="shared")
    for leaf in range(50):
        put(pair, pool, leaf * 64, page(leaf))
    flush = flush_object_request(pool, OBJECT)
    data = pair.client.begin(flush)
    pair.session.received.space()[: len(data)] = data
    pair.session.received.on_received(len(data))
    pair.session.serve()
    other.send(destroy_request(theirs))
    serve(pair.session)
    pair.receive()
    assert error_code(flush) is ErrorCode.NO_SUCH_POOL


def test_a_connection_opens_a_bounded_number_of_pools() -> None:
    quotas = replace(QUOTAS, pools_per_user_max=2 * OPEN_POOLS_MAX)
    pair = Pair(pager=FakePoolPager(pools_max=2 * OPEN_POOLS_MAX), quotas=quotas)
    for number in range(OPEN_POOLS_MAX):
        pair.new_pool(name=str(number))
    (request,) = pair.run(new_pool_request(PoolKind.PERSISTENT, "more", is_exclusive=False))
    assert error_code(request) is ErrorCode.TOO_MANY_POOLS


def test_a_named_pool_opened_again_has_the_same_number() -> None:
    pair = Pair()
    number = pair.new_pool(PoolKind.EPHEMERAL, "same")
    for _ in range(OPEN_POOLS_MAX):
        assert pair.new_pool(PoolKind.EPHEMERAL, "same") == number
    assert pair.new_pool(PoolKind.EPHEMERAL, "same", is_exclusive=True) != number
    assert pair.new_pool() != pair.new_pool()
    assert [each.connections for each in pair.book.pool_snapshots()] == [2, 1, 1]
    pair.session.close()
    assert [each.connections for each in pair.book.pool_snapshots()] == [0]
    pair.book.check_invariants()


def test_pools_destroyed_by_others_hold_no_place_of_a_connection() -> None:
    ours = Pair()
    others = Pair(pager=ours.pager, book=ours.book)
    number = 0
    for _ in range(OPEN_POOLS_MAX + 1):
        number = ours.new_pool(name="shared")
        others.run(destroy_request(others.new_pool(name="shared")), is_swept=True)
    with pytest.raises(PoolGone, match="another connection destroyed"):
        get(ours, number, 0, 1)
    ours.session.close()
    ours.book.check_invariants()


# What a client does wrong.


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        encode_header(TmemType.PUT, request_id=1, count=1, table_bytes=37, body_bytes=0xFFFF_FFFF),
        encode_header(TmemType.PUT, request_id=1, count=0xFFFF, table_bytes=37, body_bytes=4096),
        encode_header(TmemType.STATUS, request_id=0),
        encode_header(TmemType.STATUS, request_id=5, is_reply=True),
        encode_header(TmemType.ERROR, request_id=5),
        encode_header(3),  # a KEEPALIVE of links between nodes
        encode_header(99, request_id=5),
        encode_frame(TmemType.GET, 1, place(1)[:-1], count=1),
        encode_frame(TmemType.FLUSH_PAGES, 1, place(1)),
        encode_frame(TmemType.PUT, 1, place(1), count=2, body_bytes=4096) + bytes(4096),
        encode_frame(TmemType.NEW_POOL, 1, b"\xc1"),
        encode_frame(TmemType.HELLO, 1, b"\x92\x01\xa1a"),
    ],
)  # fmt: skip
def test_what_breaks_the_protocol_ends_the_connection(data: bytes) -> None:
    pair = Pair()
    with pytest.raises(RemoteProtocolError):
        feed(pair.session, data)


def test_nothing_is_served_before_hello() -> None:
    pair = Pair()
    pair.session.is_greeted = False
    with pytest.raises(RemoteProtocolError, match="before HELLO"):
        feed(pair.session, encode_frame(TmemType.STATUS, 1))


def test_another_version_is_told_which_one_is_spoken() -> None:
    pair = Pair()
    pair.session.is_greeted = False
    request = hello_request("new")
    request.table = b"\x92\x02\xa3new"
    pair.run(request)
    assert error_code(request) is ErrorCode.WRONG_VERSION
    assert not pair.session.is_greeted


@pytest.mark.parametrize(
    ("frame_type", "table", "count"),
    [
        (TmemType.GET, place(1, b"", INDEX_MAX), 2),
        (TmemType.GET, place(1), 0),
        (TmemType.GET, place(1, bytes(24))[:12] + b"\x19" + bytes(24), 1),
        (TmemType.FLUSH_PAGES, page_range(1, b"", 0, 0), 0),
        (TmemType.FLUSH_PAGES, page_range(1, b"", 1, INDEX_MAX + 1), 0),
        (TmemType.FLUSH_PAGES, page_range(1, b"", (1 << 64) - 1, (1 << 64) - 1), 0),
        (TmemType.NEW_POOL, b"\x94\xa4warm\xa0\xa3lz4\xc2", 0),
        (TmemType.NEW_POOL, b"\x94\xaapersistent\xa0\xa3lz4\xc3", 0),
        (TmemType.NEW_POOL, b"\x94\xaapersistent\xa0\xa3gif\xc2", 0),
    ],
)
def test_what_cannot_be_is_refused_and_the_connection_goes_on(
    frame_type: TmemType, table: bytes, count: int
) -> None:
    pair = Pair()
    pool = pair.new_pool()
    request = Request(frame_type, table, count, target=memoryview(bytearray(count * PAGE_BYTES)))
    pair.run(request)
    assert error_code(request) is ErrorCode.BAD_REQUEST
    assert isinstance(error_of(request.error), RamsterError) if request.error else False
    assert put(pair, pool, 0, page(1)) == 1
    assert pair.counters.errors[ErrorCode.BAD_REQUEST] == 1
    assert not take_replies(pair.session)


def test_pages_that_came_over_the_socket_are_not_counted_as_work_again() -> None:
    pair = Pair()
    pool = pair.new_pool()
    put(pair, pool, 0, run_of(16))
    request_work = pair.session.pages_of_pass
    assert 0 < request_work < 16
    get(pair, pool, 0, 16)
    assert pair.session.pages_of_pass == request_work + 16
