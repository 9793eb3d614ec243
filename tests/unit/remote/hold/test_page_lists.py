"""What an owner is told of its pages here: all of them, in slices, on the link that it asked on."""

import random

import pytest

from nodemanager.ids import Incarnation, NodeId
from ramsterd.core.codec import encode_page
from ramsterd.core.page import PoolKind
from ramsterd.core.slices import SLICE_UNITS, Slices
from ramsterd.core.table import LEAF_PAGES
from ramsterd.remote.hold.foreign import ForeignPages
from ramsterd.remote.hold.page_lists import PageLists, append_ranges
from ramsterd.remote.wire import (
    LISTED_PAGES_MAX,
    RANGES_PER_FRAME_MAX,
    SERIAL_MAX,
    PageList,
    PutPages,
    PutResult,
)
from tests.helpers import columns
from tests.helpers.made_pages import MIB, make_page, make_store

ONE, OTHER = NodeId(1), NodeId(2)
INCARNATION = Incarnation(1)
PACKED, ZPAGE, CHECKSUM = encode_page(make_page(20, 1))


class Holder:
    """A store with pages of others; lists are made when `do_slice` is called."""

    def __init__(self) -> None:
        self.store = make_store(64 * MIB, pages_max=1 << 18)
        self.slices = Slices()
        self.foreign = ForeignPages(self.store, run=self.slices.add, bytes_fraction_max=1.0)
        self.answers: list[tuple[NodeId, int, PageList]] = []
        self.lists = PageLists(
            self.store,
            self.foreign,
            run=self.slices.add,
            answer=lambda node, request_id, listed: self.answers.append((node, request_id, listed)),
        )

    def put(
        self, serials: list[int], kind: PoolKind = PoolKind.PERSISTENT, owner: NodeId = ONE
    ) -> None:
        for start in range(0, len(serials), 128):
            some = serials[start : start + 128]
            count = len(some)
            put = PutPages(
                kind,
                *columns.of_zpages(some, [CHECKSUM] * count, [PACKED] * count),
                memoryview(ZPAGE * count),
            )
            assert set(self.foreign.on_put(owner, INCARNATION, put)) == {PutResult.STORED}

    def do_slice(self, units_max: int = SLICE_UNITS) -> None:
        self.slices.on_deadline(self.slices.next_deadline() or 0.0, units_max)

    def finish(self) -> None:
        while self.slices.next_deadline() is not None:
            self.do_slice()

    def ask(self, first: int = 1, *, node: NodeId = ONE) -> PageList:
        """Ask, and return the answer."""
        self.lists.on_request(node, 7, first)
        self.finish()
        (answer,) = self.answers
        self.answers.clear()
        assert answer[:2] == (node, 7)
        return answer[2]

    def ask_for_all(self) -> tuple[list[int], int]:
        """Ask for one piece after the other; return the serials, and how many pieces that took."""
        serials, first, pieces = list[int](), 1, 0
        while first <= SERIAL_MAX:
            listed = self.ask(first)
            assert len(listed.ranges) <= RANGES_PER_FRAME_MAX
            serials += [each for a, b in listed.ranges for each in range(a, b + 1)]
            first = listed.up_to + 1
            pieces += 1
        return serials, pieces


def test_an_owner_without_pages_is_told_that_there_are_none() -> None:
    assert Holder().ask() == PageList([], SERIAL_MAX)


def test_pages_of_both_kinds_are_named_in_ranges_that_ascend() -> None:
    holder = Holder()
    holder.put([1, 2, 3, 64, 65, 200])
    holder.put([4, 66, 199, SERIAL_MAX], PoolKind.EPHEMERAL)
    assert holder.ask() == PageList(
        [(1, 4), (64, 66), (199, 200), (SERIAL_MAX, SERIAL_MAX)], SERIAL_MAX
    )


def test_a_list_begins_with_the_serial_that_was_asked_for() -> None:
    holder = Holder()
    holder.put(list(range(1, 100)))
    assert holder.ask(50) == PageList([(50, 99)], SERIAL_MAX)
    assert holder.ask(SERIAL_MAX) == PageList([], SERIAL_MAX)


def test_nobody_is_told_of_pages_of_others() -> None:
    holder = Holder()
    holder.put([1, 2])
    holder.put([5, 6], owner=OTHER)
    assert holder.ask(node=OTHER) == PageList([(5, 6)], SERIAL_MAX)


def test_more_ranges_than_a_frame_has_take_several_answers() -> None:
    holder = Holder()
    serials = list(range(1, 2 * 3 * RANGES_PER_FRAME_MAX, 2))
    holder.put(serials)
    assert holder.ask_for_all() == (serials, 4)


def test_more_pages_than_an_answer_names_take_several_answers() -> None:
    holder = Holder()
    serials = list(range(1, LISTED_PAGES_MAX + LEAF_PAGES))
    holder.put(serials)
    first = holder.ask()
    assert LISTED_PAGES_MAX - LEAF_PAGES < first.up_to < LISTED_PAGES_MAX
    assert first.ranges == [(1, first.up_to)]
    assert holder.ask_for_all() == (serials, 2)


def test_what_is_listed_is_what_is_there(seed: int) -> None:
    holder, rng = Holder(), random.Random(seed)
    places = [*range(1, 300), *range(5000, 5100), *range(1 << 30, (1 << 30) + 200)]
    there = sorted(rng.sample(places, 300))
    kinds = [rng.choice(list(PoolKind)) for _ in there]
    for kind in PoolKind:
        holder.put(
            [serial for serial, each in zip(there, kinds, strict=True) if each is kind], kind
        )
    assert holder.ask_for_all() == (there, 1)


def test_a_slice_of_a_list_is_short_and_others_have_their_turn() -> None:
    holder = Holder()
    holder.put(list(range(1, 64 * 4000, 64)))  # one page in each leaf: as much work as there can be
    holder.lists.on_request(ONE, 7, 1)
    before, slices = holder.store.work.total(), 0
    while not holder.answers:
        holder.do_slice()
        units = holder.store.work.total() - before
        assert units <= SLICE_UNITS + 512
        before += units
        slices += 1
    assert slices > 5


def test_an_answer_is_not_sent_on_another_link_than_it_was_asked_on() -> None:
    holder = Holder()
    holder.put(list(range(1, 64 * 2000, 64)))
    holder.lists.on_request(ONE, 7, 1)
    holder.do_slice()
    holder.lists.on_link_lost(ONE)
    holder.finish()
    assert not holder.answers
    assert holder.ask(64 * 1999) == PageList([(64 * 1999 + 1, 64 * 1999 + 1)], SERIAL_MAX)


def test_the_newest_request_of_an_owner_is_the_one_that_is_answered() -> None:
    holder = Holder()
    holder.put(list(range(1, 64 * 2000, 64)))
    holder.lists.on_request(ONE, 7, 1)
    holder.do_slice()
    for request_id in range(8, 1000):
        holder.lists.on_request(ONE, request_id, 64 * 1999)
    assert len(holder.slices) == 1, "one at a time for an owner, however often it asks"
    holder.finish()
    assert [(node, request_id) for node, request_id, _ in holder.answers] == [(ONE, 999)]
    assert holder.lists.answered_total == 1


def test_pages_that_are_given_up_while_they_are_listed_are_not_named() -> None:
    holder = Holder()
    holder.put(list(range(1, 64 * 2000, 64)))
    holder.lists.on_request(ONE, 7, 1)
    holder.do_slice()
    holder.foreign.purge(ONE)
    holder.finish()
    assert holder.answers == [(ONE, 7, PageList([], SERIAL_MAX))]


@pytest.mark.parametrize(
    ("serials", "expected"),
    [([], [(1, 5)]), ([6, 7, 9], [(1, 7), (9, 9)]), ([7], [(1, 5), (7, 7)])],
)
def test_ranges_grow_into_each_other(serials: list[int], expected: list[tuple[int, int]]) -> None:
    ranges = [(1, 5)]
    append_ranges(ranges, serials)
    assert ranges == expected
