"""What leaves next, of both kinds, and what else is asked of all that is on its way."""

import pytest

from ramsterd.core.family import Family
from ramsterd.core.page import PAGE_BYTES, PoolKind
from ramsterd.remote.send import remotify
from ramsterd.remote.wire import PutResult
from tests.helpers.made_sender import FULL, ONE, OTHER, Sender

# A block of raw pages, and how many of these are above the high watermark, and below the low one.
BLOCK = 16
SHORT_BLOCKS, LOW_BLOCKS = 30, 27


def blocks_here(sender: Sender, family: Family) -> int:
    return sender.store.versions.zpages[family] // BLOCK


def test_cached_pages_are_dropped_before_anything_travels() -> None:
    sender = Sender()
    sender.put(FULL // 2)
    sender.put(FULL - FULL // 2, pool=sender.cache)
    assert sender.remotifier.drop_first(1.0)
    assert sender.send() == {}
    assert sender.store.room.evicted_blocks
    sender.check()


def test_cached_pages_leave_first_where_a_peer_takes_them() -> None:
    sender = Sender(sends_ephemeral=True)
    sender.put(FULL // 2)
    sender.put(FULL - FULL // 2, pool=sender.cache)
    assert not sender.remotifier.drop_first(1.0)
    assert {put.shipment.kind for put in sender.send().values()} == {
        sender.store.pools[sender.cache].kind
    }
    assert sender.count_elsewhere() == 0
    sender.check()


def test_cached_pages_that_no_peer_takes_are_dropped() -> None:
    sender = Sender(sends_ephemeral=True)
    for node in (ONE, OTHER):
        sender.hear(node, free_bytes=0)
    sender.put(FULL, pool=sender.cache)
    assert sender.remotifier.drop_first(1.0)
    assert not sender.store.room.is_above(sender.store.room.limits.high_watermark)
    sender.check()


def test_it_is_stuck_when_pages_must_leave_and_nobody_takes_them() -> None:
    sender = Sender()
    sender.put(FULL)
    assert sender.remotifier.is_stuck(), "nothing has left yet"
    puts = sender.send()
    assert not sender.remotifier.is_stuck()
    sender.answer_all(puts, PutResult.NO_ROOM)
    sender.answer_all(sender.send(now=1.0), PutResult.NO_ROOM)
    assert sender.send(now=1.5) == {}
    assert sender.remotifier.is_stuck()


def test_room_that_is_asked_for_is_made_below_the_high_watermark() -> None:
    sender = Sender()
    sender.put(FULL - FULL // 20)
    assert not sender.store.room.is_above(sender.store.room.limits.high_watermark)
    assert sender.send() == {}
    sender.remotifier.make_room()
    assert sender.send()
    sender.check()


def test_a_put_of_either_kind_is_under_way_until_it_is_answered_or_may_not_arrive_any_more() -> (
    None
):
    sender = Sender(peers=1, sends_ephemeral=True)
    sender.put(FULL, pool=sender.cache)
    puts = sender.send()
    assert sender.remotifier.has_put_to(ONE)
    assert not sender.remotifier.is_sending_to(ONE), "cached pages are nobody's only copy"
    for request_id in puts:
        sender.remotifier.on_unknown(request_id, 1.0)
    assert sender.remotifier.has_put_to(ONE), "it may still arrive"
    sender.remotifier.on_link_lost(ONE)
    assert not sender.remotifier.has_put_to(ONE)
    sender.check()


def test_requests_of_both_kinds_are_known_by_their_ids() -> None:
    for sends_ephemeral in (False, True):
        sender = Sender(sends_ephemeral=sends_ephemeral)
        sender.put(FULL, pool=sender.cache if sends_ephemeral else sender.disk)
        for request_id, put in sender.send().items():
            assert sender.remotifier.is_in_flight(request_id)
            assert sender.remotifier.pages_in_flight(request_id) == len(put.shipment.serials)
            sender.answer(request_id)
            assert not sender.remotifier.is_in_flight(request_id)
        sender.check()


# What is dropped, exactly.


def test_cached_pages_are_dropped_to_just_below_the_low_watermark() -> None:
    sender = Sender()
    sender.put(SHORT_BLOCKS * BLOCK, pool=sender.cache)
    assert sender.remotifier.drop_first(1.0)
    assert blocks_here(sender, Family.OWN_EPHEMERAL) == LOW_BLOCKS
    sender.check()


def test_for_what_is_on_its_way_already_nothing_is_dropped() -> None:
    sender = Sender()
    sender.put(2 * BLOCK, pool=sender.cache)
    sender.put((SHORT_BLOCKS - 2) * BLOCK)
    assert sender.send()
    assert not sender.remotifier.drop_first(1.0)
    assert blocks_here(sender, Family.OWN_EPHEMERAL) == 2
    sender.check()


def test_cached_pages_whose_only_taker_refused_a_moment_ago_are_dropped() -> None:
    sender = Sender(peers=1, sends_ephemeral=True)
    sender.put(SHORT_BLOCKS * BLOCK, pool=sender.cache)
    sender.answer_all(sender.send(), PutResult.NO_ROOM)
    sender.put((SHORT_BLOCKS - LOW_BLOCKS) * BLOCK, pool=sender.cache)
    assert sender.remotifier.drop_first(1.5)
    assert blocks_here(sender, Family.OWN_EPHEMERAL) == LOW_BLOCKS
    sender.check()


def test_over_a_budget_that_shrinks_cached_pages_wait_for_no_peer() -> None:
    sender = Sender(sends_ephemeral=True)
    sender.put(SHORT_BLOCKS * BLOCK, pool=sender.cache)
    sender.store.room.set_budget(16 * BLOCK * PAGE_BYTES)
    assert sender.remotifier.drop_first(1.0)
    assert blocks_here(sender, Family.OWN_EPHEMERAL) == 16
    sender.check()


def test_so_much_is_dropped_in_one_pass_and_the_caller_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remotify, "DROPPED_BLOCKS_MAX", 2)
    sender = Sender()
    sender.put((SHORT_BLOCKS + 1) * BLOCK, pool=sender.cache)
    sender.remotifier.drop_first(1.0)
    assert blocks_here(sender, Family.OWN_EPHEMERAL) == SHORT_BLOCKS - 1
    assert sender.remotifier.has_more_to_drop
    assert not sender.remotifier.drop_first(1.0)
    assert not sender.remotifier.may_drop(), "else the caller comes back for ever"


# Which kind leaves next.


def test_while_a_cached_block_waits_for_a_window_nothing_persistent_leaves() -> None:
    """No put waits for room as long as there is one: it would evict it."""
    sender = Sender(peers=1, sends_ephemeral=True)
    sender.put(SHORT_BLOCKS * BLOCK, pool=sender.cache)
    assert sender.send()
    sender.put((SHORT_BLOCKS - LOW_BLOCKS) * BLOCK)
    assert sender.send() == {}


def test_what_cached_pages_filled_persistent_ones_do_not_pay_for() -> None:
    """The cache has left, memory is between the marks, and that is enough."""
    sender = Sender(peers=1, sends_ephemeral=True)
    sender.put((SHORT_BLOCKS - 1) * BLOCK)
    sender.put(BLOCK, pool=sender.cache)
    sender.answer_all(sender.send())
    assert sender.send() == {}
    assert blocks_here(sender, Family.OWN_PERSISTENT) == SHORT_BLOCKS - 1
    sender.check()


# No member any more.


def is_taker(sender: Sender, kind: PoolKind) -> bool:
    return any(each.has_room(1, now=1.0) for each in sender.remotifier.candidates.all(kind))


@pytest.mark.parametrize("kind", PoolKind)
@pytest.mark.parametrize("is_answered", [True, False])
def test_of_a_removed_node_neither_kind_keeps_a_backoff_or_placed_bytes(
    *, kind: PoolKind, is_answered: bool
) -> None:
    sender = Sender(peers=1, sends_ephemeral=True)
    free = [each.free_bytes for each in sender.remotifier.candidates.all(kind)]
    sender.put(FULL, pool=sender.cache if kind is PoolKind.EPHEMERAL else sender.disk)
    for request_id in sender.send():
        if is_answered:
            sender.answer(request_id, PutResult.NO_ROOM)
        else:
            sender.remotifier.on_unknown(request_id, 1.0)
    assert not is_taker(sender, kind)
    assert [each.free_bytes for each in sender.remotifier.candidates.all(kind)] != free
    sender.remotifier.forget(ONE)
    assert is_taker(sender, kind)
    assert [each.free_bytes for each in sender.remotifier.candidates.all(kind)] == free
    assert not sender.remotifier.has_put_to(ONE)
