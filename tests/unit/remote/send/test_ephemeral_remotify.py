"""Ephemeral blocks at peers: gone as they are sent, missed at worst, and forgotten in time."""

from collections.abc import Iterator

import pytest

from nodemanager.ids import Incarnation
from ramsterd.core.page import PAGE_BYTES
from ramsterd.remote.send import ephemeral_remotify
from ramsterd.remote.wire import PutResult
from tests.helpers.made_sender import FULL, INCARNATION, ONE, OTHER, Sender


@pytest.fixture
def sender() -> Iterator[Sender]:
    """A node whose memory is full of cached pages, of which two frames must leave."""
    sender = Sender(sends_ephemeral=True)
    sender.store.room.set_watermarks(high=0.92, low=0.5)
    sender.put(FULL, pool=sender.cache)
    yield sender
    sender.check()


def test_a_block_is_freed_as_it_is_sent_and_its_rows_name_the_holder(sender: Sender) -> None:
    puts = sender.send()
    assert len(puts) == 2, "one window each"
    sent = sum(len(put.shipment.serials) for put in puts.values())
    assert sender.count_elsewhere(sender.cache) == sent
    assert sender.holders[1].pages + sender.holders[2].pages == sent


def test_no_more_leaves_than_is_above_the_low_watermark() -> None:
    """What the first blocks freed is room, though it stays resident for a while."""
    sender = Sender(sends_ephemeral=True)
    sender.put(30 * 16, pool=sender.cache)
    sender.send()
    assert sender.count_elsewhere(sender.cache) == 3 * 16
    sender.check()


def test_one_frame_at_a_time_is_on_its_way_to_a_peer(sender: Sender) -> None:
    first = sender.send()
    assert {put.holder.node for put in first.values()} == {ONE, OTHER}
    sender.store.room.set_watermarks(high=0.4, low=0.2)
    assert sender.send() == {}
    sender.answer(next(iter(first)))
    assert len(sender.send()) == 1


def test_what_is_refused_is_a_hole_and_nobody_is_owed_a_flush(sender: Sender) -> None:
    puts = sender.send()
    sender.answer_all(puts, PutResult.NO_ROOM)
    assert sender.count_elsewhere(sender.cache) == 0
    assert sender.holders[1].pages == sender.holders[2].pages == 0
    assert sender.owed() == {}


def test_of_what_nobody_knows_the_rows_stay(sender: Sender) -> None:
    puts = sender.send()
    sent = sender.count_elsewhere(sender.cache)
    for request_id in puts:
        sender.remotifier.on_unknown(request_id, 1.0)
    assert sender.count_elsewhere(sender.cache) == sent
    assert sender.owed() == {}


def test_a_refused_page_that_was_put_again_meanwhile_is_none_of_its_business(
    sender: Sender,
) -> None:
    puts = sender.send()
    sender.put(1, pool=sender.cache)
    assert sum(sender.owed().values()) == 1
    sender.answer_all(puts, PutResult.NO_ROOM)
    assert sender.look(0, pool=sender.cache).pages[0] is not None


def test_who_refuses_gets_no_cached_page_for_a_while_and_persistent_ones_all_the_same(
    sender: Sender,
) -> None:
    sender.answer_all(sender.send(), PutResult.NO_ROOM)
    assert not sender.remotifier.ephemeral.has_taker(1.5)
    assert sender.remotifier.room(1.5).keys() == {ONE, OTHER}
    assert sender.remotifier.ephemeral.has_taker(2.0)


def test_a_peer_is_a_taker_though_its_window_is_full(sender: Sender) -> None:
    """What waits for it is not dropped: the window is open again with the next answer."""
    sender.send()
    assert sender.remotifier.ephemeral.has_taker(1.0)


def test_a_peer_without_room_for_the_next_block_is_no_taker(sender: Sender) -> None:
    for node in (ONE, OTHER):
        sender.hear(node, free_bytes=16 * PAGE_BYTES - 1)
    assert not sender.remotifier.ephemeral.has_taker(1.0)
    sender.hear(ONE, free_bytes=16 * PAGE_BYTES)
    assert sender.remotifier.ephemeral.has_taker(1.0)


def test_more_room_does_not_end_the_wait_after_a_refusal_of_cached_pages(sender: Sender) -> None:
    sender.answer_all(sender.send(), PutResult.NO_ROOM)
    for node in (ONE, OTHER):
        sender.remotifier.candidates.on_more_room(node)
    assert not sender.remotifier.ephemeral.has_taker(1.5)


def test_an_answer_of_an_incarnation_that_ended_changes_no_row(sender: Sender) -> None:
    """Its sweep makes holes of what it had."""
    puts = sender.send()
    sent = sender.count_elsewhere(sender.cache)
    for node in (ONE, OTHER):
        ended = sender.holders.bury(node, Incarnation(INCARNATION + 1))
        assert ended is not None
        sender.remotifier.on_holder_dead(ended.id)
    sender.answer_all(puts, PutResult.NO_ROOM)
    assert sender.count_elsewhere(sender.cache) == sent


def test_rows_of_pages_that_a_holder_dropped_are_forgotten_the_oldest_first(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ephemeral_remotify, "GHOSTS_MAX", 4)
    puts = sender.send()
    sender.answer_all(puts)
    before = sender.count_elsewhere(sender.cache)
    for node in (ONE, OTHER):
        sender.hear(node, held=1)
    assert sender.count_elsewhere(sender.cache) < before
    forgotten = sender.remotifier.statistics().ephemeral.forgotten_pages_total
    assert forgotten == before - sender.count_elsewhere(sender.cache)


def test_a_holder_that_keeps_all_makes_nothing_be_forgotten(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ephemeral_remotify, "GHOSTS_MAX", 4)
    sender.answer_all(sender.send())
    for holder in sender.holders:
        sender.hear(holder.node, held=holder.pages)
    assert sender.remotifier.statistics().ephemeral.forgotten_pages_total == 0


def test_what_an_earlier_process_sent_is_forgotten_in_time(sender: Sender) -> None:
    """It is known which rows name which holder; the oldest go first, as ever."""
    sender.answer_all(sender.send())
    rows = sender.store.rows
    sent = [row for row in rows.live() if rows.first_holder(row)]
    ephemeral = sender.remotifier.ephemeral
    ephemeral._sent.clear()
    ephemeral.adopt(sent)
    sender.check()
    holder = sender.holders[1]
    known = [serial for some in ephemeral.sent_serials(holder.id) for serial in some]
    assert len(known) == holder.pages
    assert known == sorted(known)


def test_what_a_dead_holder_had_of_an_earlier_process_is_for_the_sweep(sender: Sender) -> None:
    sender.answer_all(sender.send())
    rows = sender.store.rows
    sent = [row for row in rows.live() if rows.first_holder(row)]
    dead = sender.holders.end(ONE)
    sender.remotifier.ephemeral._sent.clear()
    sender.remotifier.ephemeral.adopt(sent)
    assert sender.remotifier.sent_serials(dead.id) == []
    sender.check()
