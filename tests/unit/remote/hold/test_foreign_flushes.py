"""Flushes that wait: what is put after one arrived stays, and what was put before goes."""

import random

import pytest

from net.errors import RemoteProtocolError
from nodemanager.ids import Incarnation, NodeId
from ramsterd.core.codec import encode_page
from ramsterd.core.foreign_pages import FOREIGN_OBJECT, put_zpages
from ramsterd.core.page import PoolKind
from ramsterd.core.pool_identity import owner_pool
from ramsterd.core.slices import SLICE_UNITS, Slices
from ramsterd.remote.hold import foreign_flushes
from ramsterd.remote.hold.foreign import ForeignPages
from ramsterd.remote.hold.foreign_flushes import ForeignFlushes
from ramsterd.remote.wire import SERIAL_MAX, PutPages, PutResult, get_reply_table
from tests.helpers import columns
from tests.helpers.made_pages import MIB, make_page, make_store

pytestmark = pytest.mark.usefixtures("each_loops")

SMALL = encode_page(make_page(20, 1))


class Holder:
    """A store with the pages of one owner, whose flushes wait for `do_slice`."""

    def __init__(self) -> None:
        self.store = make_store(8 * MIB, pages_max=1 << 17)
        self.pools = {kind: self.store.new_pool(kind, owner_pool(2, 1)) for kind in PoolKind}
        self.slices = Slices()
        self.flushes = ForeignFlushes(self.store, self.pools.values(), run=self.slices.add)

    def put(self, serials: list[int], kind: PoolKind = PoolKind.PERSISTENT) -> None:
        packed, zpage, checksum = SMALL
        count = len(serials)
        stored = put_zpages(
            self.store,
            self.pools[kind],
            *columns.of_zpages(serials, [checksum] * count, [packed] * count),
            memoryview(zpage * count),
        )
        assert stored == count
        self.flushes.on_put(serials)

    def do_slice(self, units_max: int = SLICE_UNITS) -> None:
        self.slices.on_deadline(self.slices.next_deadline() or 0.0, units_max)

    def finish(self) -> None:
        while self.slices.next_deadline() is not None:
            self.do_slice()

    def held(self) -> set[int]:
        found = set()
        for pool in self.pools.values():
            page_object = self.store.pools[pool].find_object(FOREIGN_OBJECT)
            if page_object is None:
                continue
            for start, run, leaf in self.store.table.pieces(page_object, 0, SERIAL_MAX):
                entries = self.store.table.entries_of(leaf, start, run).tolist()
                found |= {start + place for place, entry in enumerate(entries) if entry}
        return found


def test_ranges_are_dropped_in_both_pools() -> None:
    holder = Holder()
    holder.put([1, 3, 63, 64, 70, 71, 129, 5000, 1 << 41])
    holder.put([2, 65, 6000], PoolKind.EPHEMERAL)
    holder.flushes.add(*columns.of_ranges((3, 3), (65, 70), (130, 1 << 40)))
    holder.finish()
    assert holder.held() == {1, 2, 63, 64, 71, 129, 1 << 41}
    holder.store.check_invariants()


def test_one_frame_that_names_all_serials_takes_many_short_slices() -> None:
    """A hostile member: sparse serials, and the range of all."""
    holder = Holder()
    holder.put([4096 * each for each in range(1, 3001)])
    holder.flushes.add(*columns.of_ranges((1, SERIAL_MAX)))
    slices = 0
    while holder.slices.next_deadline() is not None:
        before = holder.store.work.total()
        holder.do_slice()
        slices += 1
        assert holder.store.work.total() - before < SLICE_UNITS + 1000
    assert slices >= 3
    assert holder.held() == set()
    holder.store.check_invariants()


def test_ranges_of_what_is_not_here_take_slices_too() -> None:
    """An owner may name a million serials of which its holder has none."""
    holder = Holder()
    ranges = [(2 * each, 2 * each) for each in range(1, 2 * SLICE_UNITS)]
    holder.flushes.add(*columns.of_ranges(*ranges))
    slices = 0
    while holder.slices.next_deadline() is not None:
        holder.do_slice()
        slices += 1
    assert slices >= 2


def test_what_is_put_again_while_a_flush_waits_is_not_hit_by_it() -> None:
    holder = Holder()
    holder.put(list(range(1, 2001)))
    holder.flushes.add(*columns.of_ranges((1, 3000)))
    holder.do_slice(units_max=500)
    assert 0 < len(holder.held()) < 2000
    holder.put([5, 1999, 2500])
    holder.finish()
    assert holder.held() == {5, 1999, 2500}


def test_a_flush_that_arrives_after_the_put_hits_it() -> None:
    holder = Holder()
    holder.put(list(range(1, 1001)))
    holder.flushes.add(*columns.of_ranges((1, 1000)))
    holder.put([7, 8, 9])
    holder.flushes.add(*columns.of_ranges((8, 8)))
    holder.put([9])
    holder.finish()
    assert holder.held() == {7, 9}


def test_what_is_dropped_in_one_pool_before_the_other_may_be_put_again() -> None:
    """The pool with fewer pages in a range comes further at a time."""
    holder, tens = Holder(), range(10, 2010, 10)
    many = [ten + place for ten in tens for place in range(8)]
    few = [ten + 8 for ten in tens]
    holder.put(many)
    holder.put(few, PoolKind.EPHEMERAL)
    holder.flushes.add(*columns.of_ranges(*((ten, ten + 8) for ten in tens)))
    holder.do_slice(units_max=1)
    assert 0 < len(holder.held() & set(few)) < len(few)
    holder.put([300, 2005])
    holder.put([208, 308, 2008], PoolKind.EPHEMERAL)
    holder.finish()
    assert holder.held() == {300, 2005, 208, 308, 2008}
    holder.store.check_invariants()


def test_flushes_and_puts_in_any_order_are_what_a_model_says(seed: int) -> None:
    """The model drops at once; here slices come in between."""
    rng = random.Random(seed)
    holder, model = Holder(), set[int]()
    for _ in range(60):
        if rng.random() < 0.5:
            serials = sorted(rng.sample(range(1, 600), rng.randrange(1, 60)))
            # A serial is that of a page of one kind.
            for kind, place in zip(PoolKind, (0, 1), strict=True):
                if mine := [each for each in serials if each // 3 % 2 == place]:
                    holder.put(mine, kind)
            model |= set(serials)
        elif rng.random() < 0.7:
            # Long ones, or many.
            edges = sorted(rng.sample(range(1, 700), 2 * rng.choice([1, 3, 60])))
            ranges = list(zip(edges[::2], edges[1::2], strict=True))
            holder.flushes.add(*columns.of_ranges(*ranges))
            model -= {each for a, b in ranges for each in range(a, b + 1)}
        else:
            holder.do_slice(rng.choice([1, 300]))
        assert holder.held() >= model
    holder.finish()
    assert holder.held() == model
    assert holder.flushes.has_room
    holder.store.check_invariants()


def test_too_many_ranges_that_wait_end_the_link(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign_flushes, "RANGES_WAITING_MAX", 10)
    holder = Holder()
    holder.put(list(range(1, 8)))
    for first in range(1, 15):
        holder.flushes.add(*columns.of_ranges((first, first)))
    with pytest.raises(RemoteProtocolError, match="14 ranges wait"):
        holder.flushes.add(*columns.of_ranges((1, 1)))
    holder.finish()
    holder.flushes.add(*columns.of_ranges((1, 1)))


def test_while_too_many_puts_would_have_to_be_noted_pages_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(foreign_flushes, "PUTS_NOTED_MAX", 4)
    store, slices = make_store(), Slices()
    foreign = ForeignPages(store, run=slices.add, bytes_fraction_max=0.9)
    packed, zpage, checksum = encode_page(make_page(50, 3))

    def put(*serials: int) -> set[int]:
        count = len(serials)
        body = memoryview(zpage * count)
        message = PutPages(
            PoolKind.PERSISTENT,
            *columns.of_zpages(serials, [checksum] * count, [packed] * count),
            body,
        )
        return set(foreign.on_put(NodeId(1), Incarnation(1), message))

    assert put(1, 2) == {PutResult.STORED}
    foreign.on_flush(NodeId(1), *columns.of_ranges((1, 1 << 20)))
    assert put(3, 4, 5, 6) == {PutResult.STORED}
    assert put(7) == {PutResult.NOT_ACCEPTING}
    slices.on_deadline(0.0)
    assert put(7) == {PutResult.STORED}
    table, _ = foreign.on_get(NodeId(1), columns.words([1, 3, 7]))
    assert table == get_reply_table([0, packed, packed])


def test_an_owner_whose_pages_all_go_has_no_flushes_left() -> None:
    store, slices = make_store(), Slices()
    foreign = ForeignPages(store, run=slices.add, bytes_fraction_max=0.9)
    packed, zpage, checksum = encode_page(make_page(50, 3))
    message = PutPages(
        PoolKind.PERSISTENT, *columns.of_zpages([1], [checksum], [packed]), memoryview(zpage)
    )
    foreign.on_put(NodeId(1), Incarnation(1), message)
    foreign.on_flush(NodeId(1), *columns.of_ranges((1, 5)))
    foreign.purge(NodeId(1))
    foreign.on_put(NodeId(1), Incarnation(2), message)
    now = 0.0
    while (due := slices.next_deadline()) is not None:
        now = max(due, now)
        slices.on_deadline(now)
    assert foreign.pages_of(NodeId(1)) == 1
    store.check_invariants()
