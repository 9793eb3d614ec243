"""When holders are told what nobody will ask for again: together, before a PUT, and to all that are linked."""

from dataclasses import dataclass
from typing import Final

import pytest

from net.frame import Frame
from nodemanager.ids import Incarnation, NodeId
from nodemanager.table import NodeTable
from ramsterd.pagepath.effects import Send
from ramsterd.pagepath.flush_sending import (
    FLUSH_PIECES_MAX,
    FLUSH_PIECES_SECONDS,
    FLUSH_SECONDS,
    FLUSH_SERIALS_MIN,
    FlushSending,
)
from ramsterd.pagepath.outbox import Outbox
from ramsterd.remote import wire
from ramsterd.remote.holders.holders import Holder, Holders
from ramsterd.remote.holders.owed_flushes import PIECE_SERIALS
from ramsterd.remote.wire import MessageType
from tests.helpers import columns
from tests.helpers.clusters import cluster_of
from tests.helpers.made_pages import make_store

ONE, OTHER, STRANGER = NodeId(1), NodeId(2), NodeId(3)
INCARNATION, LATER_INCARNATION = Incarnation(1), Incarnation(2)
NOW: Final = 10.0


@dataclass(frozen=True)
class Flush:
    node: NodeId
    serials: range


class Sending:
    """A node that owes its peers flushes; two of three are linked and have pages of ours."""

    def __init__(self) -> None:
        self.store = make_store()
        self.holders = Holders()
        self.nodes = NodeTable(cluster_of(4), NodeId(0), incarnation=Incarnation(9))
        self.outbox = Outbox(request_seconds_max=1.0)
        self.flushes = FlushSending(self.store, self.holders, self.nodes, self.outbox)
        self.serial = 1
        for node in (ONE, OTHER):
            self.nodes.on_link_up(node, INCARNATION, now=NOW)
        self.one, self.other = (self.holders.of(node, INCARNATION) for node in (ONE, OTHER))

    def drop(self, count: int, *holders: Holder) -> range:
        """Drop so many pages that these have, all to be told in one range; return their serials."""
        serials = range(self.serial, self.serial + count)
        self.serial += count + 1
        for holder in holders:
            holder.on_pages_kept(count)
            for serial in serials:
                self.store.versions.owe(holder.id, serial)
        return serials

    def owe(self, count: int, *holders: Holder, now: float = NOW) -> range:
        serials = self.drop(count, *holders)
        self.flushes.collect(now)
        return serials

    def sent(self) -> list[Flush]:
        """Return what peers are told."""
        found: list[Flush] = []
        for effect in self.outbox.take():
            assert isinstance(effect, Send)
            assert effect.type == MessageType.FLUSH_PAGES
            table = memoryview(effect.table)
            frame = Frame(effect.type, False, 0, effect.count, table, memoryview(b""))
            found += [
                Flush(effect.node, range(first, last + 1))
                for first, last in columns.ranges_of(*wire.parse_flush(frame))
            ]
        return found

    def send_due(self, now: float = NOW) -> list[Flush]:
        self.flushes.send_due(now)
        return self.sent()


@pytest.fixture
def sending() -> Sending:
    return Sending()


# When.


def test_where_nothing_was_dropped_nothing_is_due(sending: Sending) -> None:
    sending.flushes.collect(NOW)
    assert sending.flushes.next_deadline() is None
    assert sending.send_due(NOW + 1000) == []


def test_few_wait_a_moment_for_company(sending: Sending) -> None:
    first = sending.owe(3, sending.one)
    at = NOW + FLUSH_SECONDS
    assert sending.flushes.next_deadline() == at
    second = sending.owe(2, sending.one, now=NOW + FLUSH_SECONDS / 2)
    assert sending.flushes.next_deadline() == at, "the first has waited long enough then"
    assert sending.send_due(at - FLUSH_SECONDS / 4) == []
    assert sending.send_due(at) == [Flush(ONE, first), Flush(ONE, second)]
    assert sending.flushes.next_deadline() is None
    assert sending.send_due(at) == [], "each is told once"


def test_enough_for_a_frame_wait_for_nobody(sending: Sending) -> None:
    sending.owe(FLUSH_SERIALS_MIN - 1, sending.one)
    assert sending.flushes.next_deadline() == NOW + FLUSH_SECONDS
    later = NOW + FLUSH_SECONDS / 2
    sending.owe(1, sending.one, now=later)
    assert sending.flushes.next_deadline() == later
    assert sum(len(each.serials) for each in sending.send_due(later)) == FLUSH_SERIALS_MIN


def test_what_could_not_leave_is_no_hurry_for_what_comes_later(sending: Sending) -> None:
    sending.nodes.on_link_lost(ONE, INCARNATION, now=NOW)
    sending.owe(FLUSH_SERIALS_MIN, sending.one)
    assert sending.send_due() == []
    assert sending.flushes.next_deadline() is None, "its link is what it waits for"
    sending.owe(FLUSH_SERIALS_MIN, sending.one)
    assert sending.flushes.next_deadline() == NOW + FLUSH_SECONDS


# To whom.


def test_each_holder_of_a_page_is_told_and_counts_it_no_more(sending: Sending) -> None:
    serials = sending.drop(5, sending.one, sending.other)
    sending.one.on_pages_kept(7)
    sending.flushes.collect(NOW)
    assert (sending.one.pages, sending.other.pages) == (7, 0)
    assert sending.send_due(NOW + FLUSH_SECONDS) == [Flush(ONE, serials), Flush(OTHER, serials)]


def test_what_a_holder_had_that_is_dead_or_forgotten_is_nobodys_business(sending: Sending) -> None:
    sending.drop(5, sending.one, sending.other)
    sending.holders.end(ONE)
    sending.holders.forget(sending.holders.end(OTHER))
    sending.flushes.collect(NOW)
    assert not sending.flushes.owed
    assert sending.one.pages == 5, "of a dead one nothing is counted"
    assert sending.flushes.next_deadline() is None


def test_a_dead_holder_does_not_hide_the_next(sending: Sending) -> None:
    sending.holders.end(ONE)
    serials = sending.owe(5, sending.one, sending.other)
    assert sending.send_due(NOW + FLUSH_SECONDS) == [Flush(OTHER, serials)]


def test_a_peer_without_a_link_is_told_when_there_is_one(sending: Sending) -> None:
    sending.nodes.on_link_lost(ONE, INCARNATION, now=NOW)
    serials = sending.owe(5, sending.one)
    assert sending.send_due(NOW + FLUSH_SECONDS) == []
    sending.flushes.send_all(sending.one)
    assert sending.sent() == []
    assert sending.flushes.owed.owed_to(sending.one.id) == 5
    sending.nodes.on_link_up(ONE, INCARNATION, now=NOW + 5)
    sending.flushes.on_link_up(NOW + 5)
    assert sending.flushes.next_deadline() == NOW + 5
    assert sending.send_due(NOW + 5) == [Flush(ONE, serials)]


def test_a_link_of_a_peer_that_is_owed_nothing_makes_nothing_due(sending: Sending) -> None:
    sending.flushes.on_link_up(NOW)
    assert sending.flushes.next_deadline() is None


def test_a_node_under_another_id_is_owed_all_that_it_was_and_what_is_unsure(
    sending: Sending,
) -> None:
    proven, owed = sending.owe(2, sending.one), sending.owe(3, sending.one)
    sending.flushes.owed.send(sending.one.id, 1)  # all five; whether they arrived nobody knows
    ended = sending.holders.end(ONE)
    anew = sending.holders.of(ONE, LATER_INCARNATION)
    sending.flushes.move(ended, anew, [[100, 101], [201]], NOW + 1)
    assert sending.flushes.next_deadline() == NOW + 1
    sending.nodes.on_link_up(ONE, LATER_INCARNATION, now=NOW + 1)
    assert sending.send_due(NOW + 1) == [
        Flush(ONE, proven),
        Flush(ONE, owed),
        Flush(ONE, range(100, 102)),
        Flush(ONE, range(201, 202)),
    ]
    assert not sending.flushes.owed.has_any_for(ended.id)


# How much.


def test_one_pass_sends_some_pieces_and_the_next_goes_on_after_a_pause(sending: Sending) -> None:
    pieces = FLUSH_PIECES_MAX + 2
    sending.owe(pieces * PIECE_SERIALS, sending.one)
    before = sending.store.work["owed"]
    assert [len(each.serials) for each in sending.send_due()] == [PIECE_SERIALS] * FLUSH_PIECES_MAX
    assert sending.store.work["owed"] - before == FLUSH_PIECES_MAX * PIECE_SERIALS // 4
    again = NOW + FLUSH_PIECES_SECONDS
    assert sending.flushes.next_deadline() == again
    assert len(sending.send_due(again)) == 2
    assert sending.flushes.next_deadline() is None
    assert not sending.flushes.owed


def test_holders_take_turns(sending: Sending) -> None:
    sending.owe(3 * PIECE_SERIALS, sending.one, sending.other)
    assert [each.node for each in sending.send_due()] == [ONE, OTHER, ONE, OTHER]
    assert [each.node for each in sending.send_due(NOW + FLUSH_PIECES_SECONDS)] == [ONE, OTHER]
    assert sending.flushes.next_deadline() is None


def test_who_has_got_all_leaves_its_turns_to_the_others(sending: Sending) -> None:
    sending.owe(5, sending.other)
    sending.owe(3 * PIECE_SERIALS, sending.one)
    sent = sending.send_due()
    assert [each.node for each in sent] == [OTHER, ONE, ONE, ONE]
    assert sending.flushes.next_deadline() is None


def test_who_is_without_a_link_takes_no_turns(sending: Sending) -> None:
    sending.nodes.on_link_lost(OTHER, INCARNATION, now=NOW)
    sending.owe(FLUSH_PIECES_MAX * PIECE_SERIALS, sending.one, sending.other)
    assert [each.node for each in sending.send_due()] == [ONE] * FLUSH_PIECES_MAX
    assert sending.flushes.next_deadline() is None, "there is nobody to go on with"


# Before a PUT.


def test_before_a_put_all_leaves_that_its_peer_is_owed(sending: Sending) -> None:
    sending.owe(PIECE_SERIALS + 1, sending.one, sending.other)
    sending.flushes.send_all(sending.one)
    assert [(each.node, len(each.serials)) for each in sending.sent()] == [
        (ONE, PIECE_SERIALS),
        (ONE, 1),
    ]
    assert sending.flushes.owed.holders() == [sending.other.id]


def test_what_is_sent_is_proven_by_the_answer_to_a_later_request(sending: Sending) -> None:
    sending.outbox.last_request_id = 41
    sending.owe(5, sending.one)
    sending.flushes.send_all(sending.one)
    sending.flushes.owed.on_answer(sending.one.id, 41)
    assert sending.flushes.owed.has_any_for(sending.one.id)
    sending.flushes.owed.on_answer(sending.one.id, 42)
    assert not sending.flushes.owed.has_any_for(sending.one.id)


def test_who_is_owed_more_than_a_piece_is_behind(sending: Sending) -> None:
    assert not sending.flushes.is_behind(STRANGER), "it has nothing of ours"
    sending.owe(PIECE_SERIALS, sending.one)
    assert not sending.flushes.is_behind(ONE)
    sending.owe(1, sending.one)
    assert sending.flushes.is_behind(ONE)
    assert not sending.flushes.is_behind(OTHER)
    sending.flushes.owed.send(sending.one.id, 1)
    assert not sending.flushes.is_behind(ONE)
