"""tmem connections handed over: stopped anywhere, they go on as if they had never been stopped."""

import random
from dataclasses import replace

import pytest

from config.model import PoolCodec
from net.frame import DECODER_BYTES_START
from ramsterd.core.page import PoolId
from ramsterd.frontends.tmem.counters import Counters
from ramsterd.frontends.tmem.handed import (
    OPEN_POOLS_MAX,
    Handed,
    HandedPool,
    HandedPools,
    handed_from,
    record_of,
)
from ramsterd.frontends.tmem.messages import (
    PAGE_BYTES,
    ErrorCode,
    NewPool,
    PoolKind,
    TmemType,
    encode_frame,
    hello,
    page_range,
    place,
)
from ramsterd.frontends.tmem.pool_records import Refused
from ramsterd.frontends.tmem.pools import PoolBook
from ramsterd.frontends.tmem.session import Session
from ramsterd.handover.document import ConnectionRecord, DamagedRecord, Document, decode, encode
from tests.fakes.fake_pool_pager import FakePoolPager
from tests.fakes.poisoned_pool import POISONED
from tests.fakes.tmem_pair import QUOTAS, USER, feed, serve, take_replies

POOL = HandedPool(
    number=2,
    pool=PoolId(7),
    kind=PoolKind.PERSISTENT,
    codec=PoolCodec.ZSTD,
    name="cache",
    is_exclusive=True,
)
HANDED = Handed(
    client_name="test",
    is_greeted=True,
    pools=HandedPools(last=3, pools=(POOL, replace(POOL, number=3, name=""))),
    unread=b"unread",
    unsent=b"unsent",
)


class World:
    """A pager and a book that outlive the sessions, as kept memory does."""

    def __init__(self) -> None:
        self.pager = FakePoolPager()
        self.book = PoolBook(self.pager, replace(QUOTAS, pool_pages_max=5000, user_pages_max=9000))

    def session(self) -> Session:
        return Session(
            self.pager.open_client(), self.book, USER, Counters(), lambda: None, pool=POISONED
        )

    def hand_over(self, session: Session) -> Session:
        """Bring a session to an edge, and take it up in another."""
        while session.has_begun:
            session.go_on()
        assert session.is_at_edge
        record = record_of(session.leave())
        # The session is over, and so is its process; only what is kept is there.
        session.close()
        assert not self.book.is_sweeping, "the pools are the next process's"
        for owner in list(self.book.users()):
            for pool in owner.pools:
                pool.connections = 0
                if not pool.name:
                    self.book.offer_private(owner.user, pool)
        after = self.session()
        after.take_up(handed_from(through(record)))
        serve(after)
        self.book.check_invariants()
        return after


def through(record: ConnectionRecord) -> ConnectionRecord:
    document = Document(
        memory_id=b"m", restart_id="", paused_at_nanoseconds=0, connections=(record,)
    )
    (found,) = decode(encode(document)).connections
    assert found is not None
    return found


def frames(rng: random.Random) -> bytes:
    """Requests of all kinds, to a pool with a name and a private one."""
    said = encode_frame(TmemType.HELLO, 1, hello("test"))
    kind, other = PoolKind.PERSISTENT, PoolKind.EPHEMERAL
    said += encode_frame(TmemType.NEW_POOL, 2, NewPool(kind, "n", PoolCodec.LZ4, False).encode())
    said += encode_frame(TmemType.NEW_POOL, 3, NewPool(other, "", PoolCodec.LZ4, True).encode())
    for request_id in range(4, rng.randint(5, 30)):
        where = place(rng.choice([1, 2, 2, 3]), b"o", rng.randrange(300))
        count = rng.choice([1, 2, 100, 128])
        match rng.randrange(6):
            case 0 | 1:
                body = rng.randbytes(PAGE_BYTES) * count
                said += (
                    encode_frame(TmemType.PUT, request_id, where, count=count, body_bytes=len(body))
                    + body
                )
            case 2 | 3:
                said += encode_frame(TmemType.GET, request_id, where, count=count)
            case 4:
                table = page_range(1, b"o", 0, 1 << 40)
                said += encode_frame(TmemType.FLUSH_PAGES, request_id, table)
            case _:
                said += encode_frame(TmemType.STATUS, request_id)
    return said


def test_stopped_anywhere_it_goes_on_as_if_it_had_never_been_stopped(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(15):
        said = frames(rng)
        whole, world = World().session(), World()
        # Nothing is left unsent for long, as by a client that reads.
        expected = b""
        for start in range(0, len(said), 10_000):
            feed(whole, said[start : start + 10_000])
            expected += take_replies(whole)
        session, sent, start = world.session(), b"", 0
        for end in sorted(rng.randrange(len(said) + 1) for _ in range(4)):
            for at in range(start, end, 10_000):
                feed(session, said[at : min(end, at + 10_000)])
                if rng.random() < 0.9 or session.replies.queued_bytes > 100_000:
                    sent += take_replies(session)
            session, start = world.hand_over(session), end
        for at in range(start, len(said), 10_000):
            sent += take_replies(session)
            feed(session, said[at : at + 10_000])
        assert sent + take_replies(session) == expected


def test_a_flush_ends_before_the_edge_and_waits_are_none() -> None:
    world = World()
    session = world.session()
    feed(session, opened())
    for start in range(0, 3000, 100):
        feed(session, put_of(start, 100))
    flush = encode_frame(TmemType.FLUSH_OBJECT, 90, place(1, b"o", 0))
    space = session.received.space()
    space[: len(flush)] = flush
    session.received.on_received(len(flush))
    session.serve()
    assert is_begun(session)
    assert not is_at_edge(session)
    after = world.hand_over(session)
    assert not world.book._named[USER, "n"].pages
    take_replies(after)
    world.pager.is_delaying = True
    feed(after, put_of(0, 1))
    assert not is_at_edge(after)
    world.pager.release()
    assert is_at_edge(after)


def test_a_private_pool_that_was_not_kept_is_refused_and_all_others_are_closed() -> None:
    world = World()
    session = world.session()
    feed(session, opened() + put_of(0, 1))
    new = encode_frame(
        TmemType.NEW_POOL, 91, NewPool(PoolKind.PERSISTENT, "", PoolCodec.LZ4, False).encode()
    )
    feed(session, new)
    handed = session.leave()
    session.close()
    world.book._named[USER, "n"].connections = 0
    after = world.session()
    with pytest.raises(Refused) as refused:
        after.take_up(handed)
    assert refused.value.code is ErrorCode.NO_SUCH_POOL
    after.close()
    assert world.book._named[USER, "n"].connections == 0


def test_private_pools_that_nobody_claims_are_dropped() -> None:
    world = World()
    session = world.session()
    private = NewPool(PoolKind.EPHEMERAL, "", PoolCodec.LZ4, False).encode()
    feed(session, encode_frame(TmemType.HELLO, 1, hello("t")))
    feed(session, encode_frame(TmemType.NEW_POOL, 2, private))
    handed = session.leave()
    (pool,) = world.book._users[USER].pools
    pool.connections = 0
    world.book.offer_private(USER, pool)
    world.book.offer_private(USER, pool)
    world.book.drop_unclaimed()
    world.book.drop_unclaimed()
    assert pool.is_gone
    with pytest.raises(Refused):
        world.session().take_up(handed)


def test_a_client_that_has_not_greeted_is_handed_over_too() -> None:
    world = World()
    session = world.session()
    greeting = encode_frame(TmemType.HELLO, 1, hello("late"))
    feed(session, greeting[:7])
    after = world.hand_over(session)
    assert after.client_name == ""
    feed(after, greeting[7:])
    assert after.is_greeted
    assert after.client_name == "late"


def test_a_frame_that_is_longer_than_a_buffer_is_taken_up_in_its_middle() -> None:
    world = World()
    session = world.session()
    said = opened() + put_of(0, 128)
    feed(session, said[:-10])
    assert len(session.received.unread()) > DECODER_BYTES_START
    after = world.hand_over(session)
    feed(after, said[-10:])
    assert world.book._named[USER, "n"].pages == 128


def is_at_edge(session: Session) -> bool:
    return session.is_at_edge


def is_begun(session: Session) -> bool:
    return session.has_begun


def opened() -> bytes:
    named = NewPool(PoolKind.PERSISTENT, "n", PoolCodec.LZ4, False).encode()
    return encode_frame(TmemType.HELLO, 1, hello("test")) + encode_frame(
        TmemType.NEW_POOL, 2, named
    )


def put_of(index: int, count: int) -> bytes:
    body = b"p" * PAGE_BYTES * count
    where = place(1, b"o", index)
    return encode_frame(TmemType.PUT, 5, where, count=count, body_bytes=len(body)) + body


class TestRecords:
    def test_a_record_leads_to_what_it_was_made_of(self) -> None:
        assert handed_from(through(record_of(HANDED))) == HANDED

    @pytest.mark.parametrize(
        "pool",
        [
            [0, 7, 0, 0, "", False],
            [4, 7, 0, 0, "", False],  # a number that was not given out
            [1, 7, 2, 0, "", False],
            [1, 7, 0, 3, "", False],
            [1, 7, -1, 0, "", False],
            [1, 7, 0, 0, "", 1],
            [1, 7, 0, 0, b"", True],
            [1],
            7,
        ],
    )
    def test_a_pool_that_means_nothing_is_none(self, pool: object) -> None:
        record = replace(record_of(HANDED), state=["test", True, 3, [pool]])
        with pytest.raises(DamagedRecord):
            handed_from(record)

    def test_two_pools_of_one_number_and_too_many_are_none(self) -> None:
        pool: list[object] = [1, 7, 0, 0, "", False]
        for pools in ([pool, pool], [pool] * (OPEN_POOLS_MAX + 1)):
            record = replace(record_of(HANDED), state=["test", True, 3, pools])
            with pytest.raises(DamagedRecord):
                handed_from(record)

    def test_a_state_that_is_another_is_none(self) -> None:
        states: list[list[object]] = [[], ["x"], [1, 2, 3, 4]]
        for state in states:
            with pytest.raises(DamagedRecord):
                handed_from(replace(record_of(HANDED), state=state))
