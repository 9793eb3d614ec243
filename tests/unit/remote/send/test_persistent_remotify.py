"""Which persistent blocks leave, and what becomes of them by what their peers answer."""

from collections.abc import Iterator

import pytest

from nodemanager.ids import Incarnation
from ramsterd.core.page import PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.remote.send.degrade import GRACE_PART
from ramsterd.remote.send.shipment import Put, Shipment
from ramsterd.remote.wire import PutResult
from tests.helpers.dropping import drop_run
from tests.helpers.made_sender import (
    FULL,
    IN_FLIGHT_MAX,
    INCARNATION,
    ONE,
    OTHER,
    PAGES,
    PUT_WAIT_SECONDS,
    Sender,
)

NO_ROOM = PutResult.NO_ROOM


@pytest.fixture
def sender() -> Iterator[Sender]:
    sender = Sender()
    yield sender
    sender.check()


@pytest.fixture
def twice() -> Iterator[Sender]:
    """A node whose pages want two copies."""
    sender = Sender(copies=2)
    yield sender
    sender.check()


def serials_of(puts: object) -> list[int]:
    assert isinstance(puts, dict)
    return [serial for put in puts.values() for serial in put.shipment.serials]


def test_below_the_high_watermark_nothing_leaves(sender: Sender) -> None:
    sender.put(PAGES // 2)
    assert sender.send() == {}


def test_the_oldest_leave_until_what_stays_is_below_the_low_watermark(sender: Sender) -> None:
    sender.put(FULL)
    puts = sender.send()
    oldest = [sender.store.serial_of(sender.disk, b"", index) for index in range(FULL // 10)]
    assert set(oldest) & set(serials_of(puts))
    sender.answer_all(puts)
    assert not sender.store.room.is_above(sender.store.room.limits.low_watermark)
    assert sender.count_elsewhere() == len(serials_of(puts))


def test_nobody_is_chosen_while_all_have_as_many_puts_under_way_as_they_may_have(
    sender: Sender,
) -> None:
    persistent = sender.remotifier.persistent
    sender.put(FULL)
    holders = [sender.holders.of(node, INCARNATION) for node in (ONE, OTHER)]
    for request_id in range(2 * IN_FLIGHT_MAX):
        assert not persistent.placing.are_all_busy()
        holder = holders[request_id % 2]
        nothing = Shipment(PoolKind.PERSISTENT, [], (holder,))
        persistent.puts.begin(request_id, Put(nothing, holder), 1.0)
    assert persistent.placing.are_all_busy()
    assert sender.send() == {}
    persistent.puts.end(1)
    assert not persistent.placing.are_all_busy()
    assert [put.holder for put in sender.send().values()] == [holders[1]]


def test_who_is_not_linked_is_not_busy(sender: Sender) -> None:
    """Nobody is waited for: how long there have been too few peers is to be noted."""
    for node in (ONE, OTHER):
        sender.nodes.on_link_lost(node, INCARNATION, now=1.0)
    assert not sender.remotifier.persistent.placing.are_all_busy()


def test_until_the_answer_comes_the_pages_are_here(sender: Sender) -> None:
    sender.put(FULL)
    puts = sender.send()
    assert puts
    assert sender.count_elsewhere() == 0
    assert not sender.look(0, FULL).lost_count


def test_what_all_have_stored_is_theirs(twice: Sender) -> None:
    twice.put(FULL)
    puts = twice.send()
    first, second = list(puts)[:2]
    twice.answer(first)
    assert twice.count_elsewhere() == 0, "one copy is not enough"
    twice.answer(second)
    rows = puts[first].shipment.rows
    assert {len(twice.store.rows.holders(row)) for row in rows} == {2}
    for request_id in list(puts)[2:]:
        twice.answer(request_id)
    assert twice.owed() == {}


def test_what_one_has_refused_stays_and_the_peer_that_stored_it_is_owed_a_flush(
    twice: Sender,
) -> None:
    twice.put(FULL)
    puts = twice.send()
    first, second = list(puts)[:2]
    twice.answer(first)
    twice.answer(second, NO_ROOM)
    assert twice.count_elsewhere() == 0
    assert twice.owed() == {puts[first].holder.node: len(puts[first].shipment.serials)}
    for request_id in list(puts)[2:]:
        twice.answer(request_id)


def test_one_refused_page_is_a_refused_block(sender: Sender) -> None:
    sender.put(FULL)
    puts = sender.send()
    request_id, put = next(iter(puts.items()))
    count = len(put.shipment.serials)
    in_block = len(put.shipment.blocks[0].serials)
    results = bytes([NO_ROOM]) + bytes([PutResult.STORED]) * (count - 1)
    sender.remotifier.on_results(request_id, results, 1.0)
    assert sender.count_elsewhere() == count - in_block
    assert sender.owed() == {put.holder.node: in_block - 1}


def test_of_what_nobody_knows_a_flush_is_owed(sender: Sender) -> None:
    sender.put(FULL)
    puts = sender.send()
    request_id, put = next(iter(puts.items()))
    sender.remotifier.on_unknown(request_id, 1.0)
    assert sender.count_elsewhere() == 0
    assert sender.owed() == {put.holder.node: len(put.shipment.serials)}


def test_a_page_that_was_put_again_on_the_way_is_not_theirs(sender: Sender) -> None:
    sender.put(FULL)
    puts = sender.send()
    sender.put(1)
    sender.answer_all(puts)
    assert not sender.look(0).elsewhere
    assert sum(sender.owed().values()) == 1
    assert sender.remotifier.statistics().overtaken_pages_total == 1


def test_who_refuses_is_left_alone_for_a_while(sender: Sender) -> None:
    sender.put(FULL)
    puts = sender.send()
    refused = {put.holder.node for put in puts.values()}
    sender.answer_all(puts, NO_ROOM)
    again = {put.holder.node for put in sender.send(now=1.5).values()}
    assert not again & refused
    later = sender.send(now=2.0)
    assert {put.holder.node for put in later.values()} <= {ONE, OTHER}


def test_the_blocks_of_a_silent_peer_go_to_another(sender: Sender) -> None:
    sender.put(FULL)
    puts = sender.send()
    silent = {put.holder.node for put in puts.values()}
    late = 1.0 + PUT_WAIT_SECONDS / 4
    sender.remotifier.on_deadline(late)
    given_up = serials_of(puts)
    assert set(sender.owed()) == silent
    again = sender.send(now=late)
    assert set(serials_of(again)) & set(given_up)
    assert not {put.holder.node for put in again.values()} & silent


def test_what_a_peer_says_too_late_counts_for_nothing() -> None:
    sender = Sender()
    sender.put(FULL)
    puts = sender.send()
    sender.remotifier.on_deadline(1.0 + PUT_WAIT_SECONDS / 4)
    stored = sender.remotifier.statistics().stored_pages_total
    sender.answer_all(puts)
    assert sender.remotifier.statistics().stored_pages_total == stored
    assert sender.count_elsewhere() == 0
    sender.check()


def test_without_another_peer_a_silent_one_is_waited_for() -> None:
    sender = Sender(peers=1)
    sender.put(FULL)
    puts = sender.send()
    sender.remotifier.on_deadline(100.0)
    assert sender.owed() == {}
    sender.answer_all(puts)
    assert sender.count_elsewhere() == len(serials_of(puts))
    sender.check()


def test_kept_blocks_stay_here_as_clean_ones(sender: Sender) -> None:
    sender.put(64)
    block = sender.store.blocks_of(sender.disk, b"", 0, 1)[0]
    (put,) = sender.remotifier.puts_of_kept([block], 1.0)
    sender.remotifier.begin(1, put, 1.0)
    sender.answer(1)
    row = put.shipment.rows[0]
    assert sender.store.rows.holders(row)
    assert sender.count_elsewhere() == 0


def test_a_shipment_goes_to_as_many_peers_as_all_its_pages_want(sender: Sender) -> None:
    safe = sender.store.new_pool(PoolKind.PERSISTENT, program_pool("safe"), copies=2)
    sender.put(FULL // 2, pool=safe)
    sender.put(FULL - FULL // 2)
    for put in sender.send().values():
        wanted = {sender.store.versions.pool_of(row).copies for row in put.shipment.rows}
        assert wanted == {len(put.shipment.holders)}


# What changes while a block is on its way.


def test_a_page_that_was_flushed_on_the_way_is_owed_a_flush(sender: Sender) -> None:
    sender.put(FULL)
    puts = sender.send()
    drop_run(sender.store, sender.disk, b"", 0, 1)
    sender.answer_all(puts)
    assert not any(sender.look(0).pages)
    assert sum(sender.owed().values()) == 1


def test_what_one_of_two_stored_before_its_incarnation_ended_is_not_stored(twice: Sender) -> None:
    twice.put(FULL)
    puts = twice.send()
    first, *others = puts
    twice.answer(first)
    ended = twice.holders.bury(puts[first].holder.node, Incarnation(INCARNATION + 1))
    assert ended is not None
    twice.remotifier.on_holder_dead(ended.id)
    for request_id in others:
        twice.answer(request_id)
    assert twice.count_elsewhere() == 0
    assert ended.node not in twice.owed(), "it has nothing any more"


def test_what_one_of_two_stored_before_its_link_was_lost_is_not_stored(twice: Sender) -> None:
    twice.put(FULL)
    puts = twice.send()
    twice.store.copies.on_unreachable(puts[1].holder.id)
    twice.answer_all(puts)
    assert twice.count_elsewhere() == 0
    assert twice.owed().keys() == {ONE, OTHER}


# Too few peers.


def make_short_of_a_peer(copies_min: int) -> Sender:
    """Return a full node whose pages want two copies, with one peer that has room."""
    sender = Sender()
    sender.hear(OTHER, free_bytes=0)
    pool = sender.store.new_pool(
        PoolKind.PERSISTENT, program_pool("two"), copies=2, copies_min=copies_min
    )
    sender.put(FULL, pool=pool)
    return sender


def test_a_block_waits_a_while_for_its_second_peer_and_is_at_risk_if_it_leaves_without() -> None:
    sender = make_short_of_a_peer(copies_min=1)
    assert sender.send(now=1.0) == {}
    at = sender.remotifier.next_deadline()
    assert at == 1.0 + GRACE_PART * PUT_WAIT_SECONDS
    sender.remotifier.on_deadline(at)
    puts = sender.send(now=at)
    assert {put.holder.node for put in puts.values()} == {ONE}
    sender.answer_all(puts)
    rows = [row for put in puts.values() for row in put.shipment.rows]
    assert sorted(sender.store.versions.take_thinned()) == sorted(rows)
    sender.check()


def test_a_block_that_must_be_on_two_peers_never_leaves_for_one() -> None:
    sender = make_short_of_a_peer(copies_min=2)
    assert sender.send(now=1.0) == {}
    assert sender.send(now=1000.0) == {}
    assert sender.remotifier.next_deadline() is None


def test_a_silent_peer_is_given_up_in_time_and_was_absent_all_the_while() -> None:
    """Its blocks leave for the other one at once: what they waited for it counts."""
    sender = Sender()
    pool = sender.store.new_pool(PoolKind.PERSISTENT, program_pool("two"), copies=2, copies_min=1)
    sender.put(FULL, pool=pool)
    puts = sender.send(now=1.0)
    answered = {each: put for each, put in puts.items() if put.holder.node == OTHER}
    sender.answer_all(answered)
    assert sender.count_elsewhere(pool=pool) == 0
    late = 1.0 + PUT_WAIT_SECONDS / 4
    assert sender.remotifier.next_deadline() == late
    sender.remotifier.on_deadline(late)
    assert set(sender.owed()) >= {ONE}
    again = sender.send(now=late)
    assert {put.holder.node for put in again.values()} == {OTHER}
    sender.answer_all(again)
    assert sender.count_elsewhere(pool=pool) > 0
    sender.check()


def test_who_is_overdue_and_needed_asks_for_no_time_again_and_again() -> None:
    sender = Sender(peers=1)
    sender.put(FULL)
    sender.send(now=1.0)
    late = 1.0 + PUT_WAIT_SECONDS / 4
    assert sender.remotifier.next_deadline() == late
    sender.remotifier.on_deadline(late)
    assert sender.remotifier.next_deadline() is None
