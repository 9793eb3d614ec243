"""Pages that have lost a copy: which are at risk, and how they come home to leave again."""

import pytest

from ramsterd.core.page import PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.core.rows import FIRST_ROW
from ramsterd.core.table_words import FIRST_NODE
from ramsterd.remote.home import rebuild
from ramsterd.remote.home.leaf_fetch import UNDER_WAY_PAGES_MAX
from ramsterd.remote.home.rebuild import RATE_SECONDS, Rebuilder
from ramsterd.remote.limits.page_rate import PageRate
from tests.helpers.dropping import drop_pool, drop_run
from tests.helpers.made_owner import BLOCK_PAGES, LEAF_PAGES, ONE, OTHER, Owner
from tests.helpers.made_pages import MIB, joined, make_fill

TICK_SECONDS = 0.05


class Rebuilding(Owner):
    """An owner that wants two copies of each page, and its machine."""

    def __init__(self, *, rate: int = 100_000, budget_bytes: int = 2 * MIB) -> None:
        super().__init__(copies=2, budget_bytes=budget_bytes)
        self.now = 0.0
        self.rebuilder = Rebuilder(
            self.store,
            self.leaf_fetch(),
            self.surroundings(),
            PageRate(rate),
        )
        self.rebuilder.on_tick(self.now)

    def put_at_risk(self, *, blocks: int = 1) -> list[int]:
        """Have blocks at one of two holders that they should have; return their rows, which are noted."""
        rows = self.put_and_send(ONE, blocks=blocks)
        self.note(rows)
        return rows

    def note(self, rows: list[int]) -> None:
        for row in rows:
            self.rebuilder.note_if_at_risk(row)

    def tick(self, seconds: float = TICK_SECONDS) -> None:
        self.now += seconds
        self.rebuilder.on_tick(self.now)

    def arrive(self) -> None:
        for pending in self.answer(self.now):
            assert self.rebuilder.on_done(pending)

    def at_risk(self) -> int:
        return self.rebuilder.statistics(0).pages_at_risk

    def rebuilt(self) -> int:
        return self.rebuilder.statistics(0).rebuilt_pages_total

    def seconds_left(self) -> float | None:
        return self.rebuilder.statistics(0).seconds_left

    def is_waiting_for_room(self) -> bool:
        return self.rebuilder.statistics(0).is_waiting_for_room

    def is_busy(self) -> bool:
        return self.rebuilder.is_busy


# What is at risk.


def test_a_page_with_too_few_holders_is_at_risk() -> None:
    owner = Rebuilding()
    [row, *_] = owner.put_and_send(ONE)
    assert owner.rebuilder.is_at_risk(row)


def test_a_page_is_at_risk_as_long_as_a_holder_is_out_of_reach() -> None:
    owner = Rebuilding()
    [row, *_] = owner.put_and_send(ONE, OTHER)
    assert not owner.rebuilder.is_at_risk(row)
    owner.linked.discard(OTHER)
    assert owner.rebuilder.is_at_risk(row)
    owner.linked.add(OTHER)
    assert not owner.rebuilder.is_at_risk(row)


def test_a_page_that_is_here_too_is_not_at_risk() -> None:
    owner = Rebuilding()
    [row, *_] = owner.put_and_send(ONE, stays=True)
    assert not owner.rebuilder.is_at_risk(row)


def test_a_page_that_was_flushed_is_not_at_risk() -> None:
    owner = Rebuilding()
    [row, *_] = owner.put_and_send(ONE)
    drop_run(owner.store, owner.pool, b"", 0, 1)
    assert not owner.rebuilder.is_at_risk(row)


def test_a_page_of_one_word_is_nowhere_else() -> None:
    owner = Rebuilding()
    assert owner.store.put(owner.pool, b"", 0, joined([make_fill(7)])) == 1
    assert owner.store.rows.serial(FIRST_ROW)
    assert not owner.rebuilder.is_at_risk(FIRST_ROW)


def test_an_ephemeral_page_is_not_at_risk() -> None:
    owner = Rebuilding()
    cache = owner.store.new_pool(PoolKind.EPHEMERAL, program_pool("cache"), copies=2)
    owner.put(BLOCK_PAGES, pool=cache)
    [row, *_] = owner.send(ONE, kind=PoolKind.EPHEMERAL)
    assert not owner.rebuilder.is_at_risk(row)


def test_a_page_without_any_holder_is_lost_and_not_at_risk() -> None:
    owner = Rebuilding()
    [row, *_] = owner.put_and_send(ONE)
    owner.store.versions.give_up_copy(row, owner.holder(ONE).id)
    assert not owner.rebuilder.is_at_risk(row)


# The queue.


def test_a_row_stands_in_the_queue_once() -> None:
    owner = Rebuilding()
    rows = owner.put_at_risk()
    owner.note(rows)
    owner.rebuilder.note(rows[0])
    assert owner.at_risk() == BLOCK_PAGES


def test_only_what_is_at_risk_is_noted_after_a_look() -> None:
    owner = Rebuilding()
    rows = owner.put_and_send(ONE, OTHER)
    owner.note(rows)
    assert owner.at_risk() == 0
    owner.rebuilder.note(rows[0])
    assert owner.at_risk() == 1


def test_a_row_is_judged_anew_when_its_turn_comes() -> None:
    owner = Rebuilding()
    rows = owner.put_and_send(ONE, OTHER)
    owner.linked.discard(OTHER)
    owner.note(rows)
    owner.linked.add(OTHER)
    owner.tick()
    assert owner.at_risk() == 0
    assert owner.asked() == 0


def test_a_row_that_left_the_queue_may_stand_there_again() -> None:
    owner = Rebuilding()
    rows = owner.put_and_send(ONE, OTHER)
    owner.rebuilder.note(rows[-1])
    owner.tick()
    owner.linked.discard(OTHER)
    owner.note(rows)
    assert owner.at_risk() == BLOCK_PAGES


def test_pages_that_no_sweep_has_looked_at_count_too() -> None:
    owner = Rebuilding()
    owner.put_at_risk()
    assert owner.rebuilder.statistics(500).pages_at_risk == 500
    assert owner.rebuilder.statistics(3).pages_at_risk == BLOCK_PAGES


def test_few_rows_are_judged_in_a_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuild, "ROWS_JUDGED_MAX", 10)
    owner = Rebuilding()
    for row in owner.put_and_send(ONE, OTHER):
        owner.rebuilder.note(row)
    owner.tick()
    assert owner.at_risk() == BLOCK_PAGES - 10
    assert owner.is_busy(), "the queue gets shorter"
    owner.tick()
    assert owner.at_risk() == 0
    assert not owner.is_busy()


def test_it_rests_when_only_what_stays_is_left_in_the_queue() -> None:
    owner = Rebuilding()
    [row, *_] = owner.put_and_send(ONE, OTHER)
    owner.rebuilder.note(row)
    owner.placeable = 0
    owner.put_at_risk()
    owner.tick()
    assert owner.is_busy(), "one row was settled, so others may be"
    owner.tick()
    assert not owner.is_busy()


# Coming home.


def test_a_page_at_risk_comes_home_and_is_adopted_as_it_arrives() -> None:
    owner = Rebuilding()
    rows = owner.put_at_risk()
    owner.tick()
    assert owner.asked() == BLOCK_PAGES
    assert owner.is_busy()
    owner.arrive()
    assert all(owner.is_ours_alone(row) for row in rows)
    assert owner.flush() == {ONE: BLOCK_PAGES}
    assert owner.rebuilt() == BLOCK_PAGES


def test_a_row_is_at_risk_until_it_is_here() -> None:
    owner = Rebuilding()
    owner.put_at_risk()
    owner.tick()
    assert owner.at_risk() == BLOCK_PAGES
    owner.arrive()
    owner.tick()
    assert owner.at_risk() == 0
    assert not owner.is_busy()


def test_a_page_on_its_way_is_not_asked_for_again() -> None:
    owner = Rebuilding()
    owner.put_at_risk()
    owner.tick()
    owner.tick()
    assert owner.asked() == BLOCK_PAGES
    assert len(owner.answer(owner.now)) == 1


def test_one_row_asks_for_all_of_its_leaf_that_are_at_risk() -> None:
    owner = Rebuilding()
    owner.put_and_send(ONE, OTHER)
    rows = owner.put_and_send(ONE)
    owner.rebuilder.note(rows[0])
    owner.tick()
    assert owner.asked() == BLOCK_PAGES


def test_what_got_its_copies_back_on_the_way_stays_a_clean_copy() -> None:
    owner = Rebuilding()
    rows = owner.put_and_send(ONE, OTHER)
    owner.linked.discard(OTHER)
    owner.note(rows)
    owner.tick()
    owner.linked.add(OTHER)
    owner.arrive()
    assert owner.rebuilt() == 0
    assert owner.flush() == {}
    assert not any(owner.is_ours_alone(row) for row in rows)


def test_what_nobody_can_be_asked_for_stays_in_the_queue() -> None:
    owner = Rebuilding()
    rows = owner.put_and_send(ONE, OTHER)
    owner.linked.clear()
    owner.note(rows)
    owner.tick()
    assert owner.asked() == 0
    assert owner.at_risk() == BLOCK_PAGES
    assert not owner.is_busy(), "there is nothing to do before somebody comes back"


def test_what_could_not_leave_again_stays_where_it_is() -> None:
    owner = Rebuilding()
    owner.put_at_risk()
    owner.placeable = 1
    owner.tick()
    assert owner.asked() == 0
    owner.placeable = 2
    owner.tick()
    assert owner.asked() == BLOCK_PAGES


def test_a_get_of_another_is_none_of_ours() -> None:
    owner = Rebuilding()
    owner.put_and_send(ONE)
    owner.leaf_fetch().fetch_leaf(FIRST_NODE, lambda _: True, 0.0, bytes_max=1 << 30)
    [pending] = owner.answer()
    assert not owner.rebuilder.on_done(pending)
    assert owner.rebuilt() == 0


def test_of_a_pool_that_was_destroyed_on_the_way_nothing_is_adopted() -> None:
    owner = Rebuilding()
    owner.put_at_risk()
    owner.tick()
    drop_pool(owner.store, owner.pool)
    owner.arrive()
    assert owner.rebuilt() == 0
    owner.tick()
    assert owner.at_risk() == 0


def test_what_nobody_can_be_asked_for_takes_no_turn_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rebuild, "LEAVES_ASKED_MAX", 1)
    owner = Rebuilding()
    owner.note(owner.put_and_send(OTHER, blocks=4))
    owner.put_at_risk()
    owner.linked.discard(OTHER)
    owner.tick()
    assert owner.asked() == BLOCK_PAGES


# Rate and room.


def test_the_rate_is_kept() -> None:
    owner = Rebuilding(rate=400)
    owner.put_at_risk(blocks=8)
    asked = []
    for _ in range(4):
        owner.tick()
        asked.append(owner.asked() // LEAF_PAGES)
    assert asked == [1, 1, 1, 2], "what was too much is made good first"


def test_few_pages_are_under_way_at_once() -> None:
    owner = Rebuilding(budget_bytes=8 * MIB)
    owner.put_at_risk(blocks=(UNDER_WAY_PAGES_MAX + 2 * LEAF_PAGES) // BLOCK_PAGES)
    for _ in range(3):
        owner.tick()
    assert owner.asked() == UNDER_WAY_PAGES_MAX


def test_few_leaves_are_asked_for_in_a_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuild, "LEAVES_ASKED_MAX", 1)
    owner = Rebuilding()
    owner.put_at_risk(blocks=8)
    owner.tick()
    assert owner.asked() == LEAF_PAGES
    assert owner.at_risk() == 2 * LEAF_PAGES


def test_no_more_is_fetched_than_finds_room_and_older_pages_are_to_leave() -> None:
    owner = Rebuilding()
    owner.put_at_risk(blocks=8)
    owner.put(400)
    owner.tick()
    # 92 % of 512 pages are 471, 400 of these are taken: one leaf, and 7 pages of the next.
    assert owner.asked() == 471 - 400
    assert owner.room_asked == 1


def test_where_all_finds_room_nothing_is_to_leave() -> None:
    owner = Rebuilding()
    owner.put_at_risk(blocks=8)
    owner.tick()
    assert owner.room_asked == 0


# The estimate.


def test_without_pages_at_risk_it_is_done() -> None:
    owner = Rebuilding()
    assert owner.seconds_left() == 0.0


def test_as_long_as_nothing_moves_there_is_no_estimate() -> None:
    owner = Rebuilding()
    owner.put_at_risk()
    owner.placeable = 0
    owner.tick()
    assert owner.seconds_left() is None


def test_the_rate_of_the_last_ticks_says_when_it_ends() -> None:
    owner = Rebuilding()
    owner.put_at_risk(blocks=4)
    owner.tick()
    owner.arrive()
    owner.put_at_risk(blocks=2)
    owner.tick(RATE_SECONDS)
    # 64 pages in that time, and 32 are left.
    assert owner.seconds_left() == pytest.approx(RATE_SECONDS / 2)


def test_the_estimate_ends_some_time_after_the_last_page_moved() -> None:
    owner = Rebuilding()
    owner.put_at_risk(blocks=4)
    owner.tick()
    owner.arrive()
    owner.put_at_risk()
    owner.tick(RATE_SECONDS / 2)
    assert owner.seconds_left() is not None
    owner.tick(RATE_SECONDS)
    assert owner.seconds_left() is None


def test_what_waits_for_room_says_so_at_once_and_has_no_estimate() -> None:
    owner = Rebuilding()
    owner.put_at_risk(blocks=4)
    owner.tick()
    owner.arrive()
    owner.placeable = 0
    owner.put_at_risk(blocks=2)
    owner.tick()
    assert owner.is_waiting_for_room()
    assert owner.seconds_left() is None
    owner.placeable = 2
    owner.tick()
    assert not owner.is_waiting_for_room()
    assert owner.seconds_left() is not None
    owner.arrive()
    owner.tick()
    assert not owner.is_waiting_for_room(), "nothing is at risk"


def test_what_is_on_its_way_has_room() -> None:
    owner = Rebuilding()
    owner.put_at_risk()
    owner.tick()
    owner.placeable = 0
    owner.put_at_risk()
    owner.tick()
    assert not owner.is_waiting_for_room()
    owner.arrive()
    owner.tick()
    assert owner.is_waiting_for_room()


def test_without_room_here_in_between_it_waits_for_room_too() -> None:
    owner = Rebuilding()
    owner.put_at_risk()
    owner.put(480)
    owner.tick()
    assert owner.asked() == 0
    assert owner.is_waiting_for_room()


def test_what_waits_for_its_holder_or_its_turn_does_not_wait_for_room() -> None:
    owner = Rebuilding()
    owner.put_at_risk()
    owner.tick(0.0)
    assert not owner.is_waiting_for_room(), "the rate allows nothing yet"
    owner.linked.clear()
    owner.tick()
    assert not owner.is_waiting_for_room(), "there is nobody to copy from"


def test_pages_that_only_the_rate_holds_back_do_not_wait_for_room() -> None:
    owner = Rebuilding()
    owner.placeable = 1
    owner.note(owner.put_and_send(OTHER))
    owner.put_at_risk()  # has its copy where there is room
    owner.tick(0.0)
    assert owner.asked() == 0
    assert not owner.is_waiting_for_room()


def test_a_second_tick_at_the_same_time_allows_nothing() -> None:
    owner = Rebuilding()
    owner.put_at_risk()
    owner.tick(0.0)
    assert owner.asked() == 0
    assert owner.seconds_left() is None
