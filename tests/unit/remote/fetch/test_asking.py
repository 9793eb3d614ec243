"""Which holder is asked: once for each page, linked ones first, late ones last."""

import pytest

from nodemanager.ids import Incarnation, NodeId
from ramsterd.core.family import Family
from ramsterd.core.leaving import begin_leaving, end_leaving
from ramsterd.core.page import PAGE_BYTES, PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.core.store import Store
from ramsterd.remote.fetch.asking import Asked, Asking, FetchRequest
from ramsterd.remote.holders.holders import Holder, Holders
from ramsterd.remote.limits.hedge_delay import HEDGE_SECONDS_FIRST
from ramsterd.remote.wire import PAGES_PER_FRAME_MAX
from tests.helpers.made_pages import joined, make_run, make_store

ONE, OTHER = NodeId(1), NodeId(2)
BLOCK_PAGES = 16


class Owner:
    """A store whose pages are at peers, and who is asked for them."""

    def __init__(self) -> None:
        self.store: Store = make_store()
        self.holders = Holders()
        self.one = self.holders.of(ONE, Incarnation(1)).id
        self.other = self.holders.of(OTHER, Incarnation(1)).id
        self.linked = {ONE, OTHER}
        self.wanted: set[int] = set()
        self.asking = Asking(
            self.store.versions,
            self.holders,
            in_flight_max=2,
            is_reachable=self.is_reachable,
            wanted=self.wanted,
        )
        self.pool = self.store.new_pool(PoolKind.PERSISTENT, program_pool("disk"))
        self.index = 0

    def is_reachable(self, holder: Holder) -> bool:
        return holder.node in self.linked

    def send_block(self, *holders: int) -> list[Asked]:
        """Have a block leave for these holders, and want its pages; return them."""
        pages = make_run(PAGE_BYTES, BLOCK_PAGES)
        assert self.store.put(self.pool, b"", self.index, joined(pages)) == BLOCK_PAGES
        self.index += BLOCK_PAGES
        block = self.store.zbud.oldest(Family.OWN_PERSISTENT)
        assert block is not None
        leaving = begin_leaving(self.store.versions, block)
        end_leaving(self.store.versions, leaving, *holders)
        self.wanted.update(leaving.serials)
        return list(zip(leaving.serials, leaving.rows, strict=True))

    def queue(self, pages: list[Asked], holder: int) -> None:
        for serial, row in pages:
            self.asking.queue(holder, serial, row)
        self.asking.check_invariants()

    def send(self, holder: int, *, request_id: int = 1, now: float = 0) -> list[FetchRequest]:
        requests = self.asking.take_requests(holder)
        for place, request in enumerate(requests):
            self.asking.begin(request_id + place, request, now)
        self.asking.check_invariants()
        return requests


@pytest.fixture
def owner() -> Owner:
    return Owner()


# Choosing.


def test_the_only_holder_is_chosen_unless_it_is_dead(owner: Owner) -> None:
    [(_, row), *_] = owner.send_block(owner.one)
    owner.linked.clear()
    assert owner.asking.choose(row) == owner.one
    assert not owner.asking.choose(row, besides=owner.one)
    owner.holders.end(ONE)
    assert not owner.asking.choose(row)


def test_a_linked_holder_is_chosen_before_one_that_is_not(owner: Owner) -> None:
    [(_, row), *_] = owner.send_block(owner.one, owner.other)
    for linked, holder in [(ONE, owner.one), (OTHER, owner.other)]:
        owner.linked = {linked}
        assert owner.asking.choose(row) == holder
    owner.holders.end(OTHER)
    assert owner.asking.choose(row) == owner.one
    assert not owner.asking.choose(row, besides=owner.one)


def test_neighbours_share_a_holder_and_both_holders_share_the_work(owner: Owner) -> None:
    blocks = [owner.send_block(owner.one, owner.other) for _ in range(8)]
    chosen = [{owner.asking.choose(row) for _, row in block[:-1]} for block in blocks]
    assert all(len(holders) == 1 for holders in chosen)
    assert set.union(*chosen) == {owner.one, owner.other}


@pytest.mark.usefixtures("each_loops")
def test_each_page_of_a_get_is_asked_for_where_it_is(owner: Owner) -> None:
    """At one holder, at another, at one of two, or nowhere any more."""
    first, second, both = (
        owner.send_block(*holders)[0]
        for holders in [(owner.one,), (owner.other,), (owner.one, owner.other)]
    )
    choose_each = owner.asking.choose_each
    assert choose_each([(0, first[1])]) == ({owner.one: [(0, *first)]}, [])
    assert choose_each([(4, first[1]), (2, second[1])]) == (
        {owner.one: [(4, *first)], owner.other: [(2, *second)]}, [],
    )  # fmt: skip
    chosen, lost = choose_each([(1, both[1])])
    assert list(chosen.values()) == [[(1, *both)]]
    assert not lost
    owner.holders.end(OTHER)
    assert choose_each([(0, both[1]), (1, second[1]), (2, first[1])]) == (
        {owner.one: [(0, *both), (2, *first)]}, [(1, second[1])],
    )  # fmt: skip
    assert choose_each([(1, second[1])]) == ({}, [(1, second[1])])
    owner.store.rows.set_holders(first[1], ())
    assert choose_each([(0, first[1]), (2, both[1])]) == (
        {owner.one: [(2, *both)]},
        [(0, first[1])],
    )
    assert choose_each([]) == ({}, [])


# Asking.


def test_pages_that_are_asked_for_together_are_asked_for_once(owner: Owner) -> None:
    pages = owner.send_block(owner.one, owner.other)
    places = [(position, serial, row) for position, (serial, row) in enumerate(pages)]
    owner.queue(pages[1:2], owner.one)
    owner.queue(pages[2:3], owner.other)
    for _ in range(2):
        owner.asking.queue_all(owner.one, places[:4])
    [request] = owner.send(owner.one)
    expected = [pages[1], pages[0], pages[3], pages[2]]
    assert list(zip(request.serials, request.rows, strict=True)) == expected
    assert [owner.asking.asked_count(serial) for serial, _ in pages[:4]] == [1, 1, 2, 1]


def test_a_page_is_asked_for_once_at_a_holder(owner: Owner) -> None:
    pages = owner.send_block(owner.one)
    owner.queue(pages, owner.one)
    owner.queue(pages, owner.one)
    [request] = owner.send(owner.one)
    assert request.serials == [serial for serial, _ in pages]
    assert request.rows == [row for _, row in pages]
    owner.queue(pages, owner.one)
    assert owner.asking.queued_holders() == []
    owner.asking.end(1, answered_at=None)
    owner.queue(pages, owner.one)
    assert owner.asking.queued_holders() == [owner.one]


def test_a_window_bounds_what_is_under_way_and_a_frame_what_is_asked_at_once(owner: Owner) -> None:
    for _ in range(2 * PAGES_PER_FRAME_MAX // BLOCK_PAGES + 1):
        owner.queue(owner.send_block(owner.one), owner.one)
    requests = owner.send(owner.one)
    assert [len(request.serials) for request in requests] == [PAGES_PER_FRAME_MAX] * 2
    assert owner.send(owner.one) == []
    assert owner.asking.queued_holders() == [owner.one]
    owner.asking.end(1, answered_at=1)
    [rest] = owner.send(owner.one, request_id=3)
    assert len(rest.serials) == BLOCK_PAGES
    assert owner.asking.in_flight == 2


def test_what_nobody_wants_any_more_is_not_asked_for(owner: Owner) -> None:
    pages = owner.send_block(owner.one)
    owner.queue(pages, owner.one)
    owner.wanted.remove(pages[0][0])
    owner.asking.forget_what_nobody_wants()
    assert owner.asking.check_invariants() == owner.wanted
    owner.wanted.clear()
    assert owner.send(owner.one) == []
    assert owner.asking.check_invariants() == set()


def test_another_holder_is_asked_if_it_is_linked(owner: Owner) -> None:
    [(serial, row), *_] = owner.send_block(owner.one, owner.other)
    assert owner.asking.queue_elsewhere(owner.one, serial, row)
    assert owner.asking.queued_holders() == [owner.other]
    assert owner.asking.asked_count(serial) == 1
    owner.linked.clear()
    assert not owner.asking.queue_elsewhere(owner.other, serial, row)


# Being late.


def test_a_late_request_is_told_once_and_frees_its_place_in_the_window(owner: Owner) -> None:
    for _ in range(2):
        owner.queue(owner.send_block(owner.one, owner.other), owner.one)
        owner.send(owner.one, request_id=1 + owner.asking.in_flight)
    owner.queue(owner.send_block(owner.one, owner.other), owner.one)
    assert owner.send(owner.one) == []
    assert owner.asking.next_deadline() == HEDGE_SECONDS_FIRST
    assert owner.asking.take_late(HEDGE_SECONDS_FIRST / 2) is None
    late = owner.asking.take_late(HEDGE_SECONDS_FIRST)
    assert late is owner.asking[1]
    assert len(owner.send(owner.one, request_id=3)) == 1
    assert owner.asking.take_late(HEDGE_SECONDS_FIRST) is owner.asking[2]
    assert owner.asking.take_late(HEDGE_SECONDS_FIRST / 2) is None


def test_a_holder_that_owes_late_answers_is_asked_last(owner: Owner) -> None:
    pages = owner.send_block(owner.one, owner.other)
    row = pages[0][1]
    first = owner.asking.choose(row)
    owner.queue(pages, first)
    owner.send(first)
    assert owner.asking.take_late(100) is not None
    assert owner.asking.choose(row) not in {first, 0}
    owner.asking.end(1, answered_at=None)
    assert owner.asking.choose(row) == first


def test_a_late_holder_is_asked_before_one_without_a_link(owner: Owner) -> None:
    blocks = [owner.send_block(owner.one, owner.other) for _ in range(8)]
    owner.queue(blocks[0], owner.one)
    owner.send(owner.one)
    assert owner.asking.take_late(100) is not None
    owner.linked = {ONE}
    assert {owner.asking.choose(row) for block in blocks for _, row in block} == {owner.one}


def test_pages_of_one_holder_are_never_late(owner: Owner) -> None:
    owner.queue(owner.send_block(owner.one), owner.one)
    owner.send(owner.one)
    assert owner.asking.next_deadline() is None
    assert owner.asking.take_late(100) is None


def test_only_answers_tell_how_long_answers_take(owner: Owner) -> None:
    for seconds, answered_at in [(HEDGE_SECONDS_FIRST, None), (0.3, 0.1)]:
        owner.queue(owner.send_block(owner.one), owner.one)
        owner.send(owner.one)
        owner.asking.end(1, answered_at=answered_at)
        assert owner.asking.hedge_seconds == pytest.approx(seconds)


def test_what_is_parked_is_left_alone_and_found_again() -> None:
    owner = Owner()
    pages = owner.send_block(owner.one)
    owner.queue(pages[:4], owner.one)
    owner.asking.park(owner.one)
    assert owner.asking.queued_holders() == []
    owner.queue(pages[4:8], owner.one)
    owner.asking.park(owner.one)
    owner.queue(pages[:8], owner.one)
    assert owner.asking.queued_holders() == [], "each is asked for once"
    owner.asking.check_invariants()
    owner.queue(pages[8:], owner.one)
    owner.asking.unpark()
    assert owner.asking.queued_holders() == [owner.one]
    [request] = owner.asking.take_requests(owner.one)
    assert sorted(request.serials) == sorted(serial for serial, _ in pages)


def test_what_nobody_wants_is_not_parked_any_longer() -> None:
    owner = Owner()
    pages = owner.send_block(owner.one)
    owner.queue(pages, owner.one)
    owner.asking.park(owner.one)
    owner.wanted.clear()
    owner.asking.forget_what_nobody_wants()
    assert owner.asking.check_invariants() == set()
    assert owner.asking.asked_count(pages[0][0]) == 0


def test_out_of_reach_is_what_is_asked_for_only_where_nobody_can_be_asked() -> None:
    owner = Owner()
    pages = owner.send_block(owner.one, owner.other)
    owner.queue(pages, owner.one)
    assert list(owner.asking.out_of_reach()) == []
    owner.linked.discard(ONE)
    owner.asking.park(owner.one)
    assert set(owner.asking.out_of_reach()) == {(serial, owner.one) for serial, _ in pages}
    owner.queue(pages[:1], owner.other)
    assert len(list(owner.asking.out_of_reach())) == len(pages) - 1
