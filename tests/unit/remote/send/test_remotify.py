"""What leaves next, of both kinds, and what else is asked of all that is on its way."""

from ramsterd.remote.wire import PutResult
from tests.helpers.made_sender import FULL, ONE, OTHER, Sender


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
