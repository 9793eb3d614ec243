"""What comes home because its holder wants the memory back."""

from dataclasses import replace

import pytest

from nodemanager.ids import NodeId
from ramsterd.core.page import PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.core.table_words import FIRST_NODE
from ramsterd.remote.home import recall_owner
from ramsterd.remote.home.leaf_fetch import UNDER_WAY_PAGES_MAX
from ramsterd.remote.home.recall_owner import OwnerRecall
from ramsterd.remote.limits.page_rate import PageRate
from tests.helpers.made_owner import BLOCK_PAGES, LEAF_PAGES, ONE, OTHER, THIRD, Owner
from tests.helpers.made_pages import MIB

TICK_SECONDS = 0.05


class Retaking(Owner):
    """An owner, and its machine."""

    def __init__(
        self, *, copies: int = 1, rate: int = 100_000, budget_bytes: int = 2 * MIB
    ) -> None:
        super().__init__(copies=copies, budget_bytes=budget_bytes)
        self.now = 0.0
        self.owner_recall = OwnerRecall(
            self.store,
            self.leaf_fetch(),
            self.surroundings(),
            PageRate(rate),
        )
        self.owner_recall.on_tick(self.now)

    def leave_no_room(self) -> None:
        """Nothing is to come here, though the rows are few."""
        self.store.room.limits = replace(
            self.store.room.limits, high_watermark=0.0, low_watermark=0.0
        )

    def recall(self, node: NodeId, pages_max: int = 0) -> None:
        self.owner_recall.on_recall(self.holder(node), pages_max)

    def tick(self) -> None:
        self.now += TICK_SECONDS
        self.owner_recall.on_tick(self.now)

    def arrive(self) -> None:
        """What was asked for comes, and what is owed is paid."""
        for pending in self.answer(self.now):
            assert self.owner_recall.on_done(pending)
        self.flush()

    def is_busy(self) -> bool:
        return self.owner_recall.is_busy

    def retaken(self) -> int:
        return self.owner_recall.statistics().recalled_pages_total


def test_without_a_recall_all_stays_where_it_is() -> None:
    owner = Retaking()
    owner.put_and_send(ONE)
    owner.tick()
    assert owner.asked() == 0
    assert not owner.is_busy()


def test_a_clean_copy_is_adopted_without_a_fetch() -> None:
    owner = Retaking()
    rows = owner.put_and_send(ONE, stays=True)
    owner.recall(ONE)
    owner.tick()
    assert owner.asked() == 0
    assert all(owner.is_ours_alone(row) for row in rows)
    assert owner.flush() == {ONE: BLOCK_PAGES}
    assert owner.retaken() == BLOCK_PAGES


def test_a_damaged_clean_copy_is_fetched_instead() -> None:
    owner = Retaking()
    first, *others = owner.put_and_send(ONE, stays=True)
    owner.store.zbud.arena[owner.store.zbud.offset(owner.store.rows.location(first))] ^= 1
    owner.recall(ONE)
    owner.tick()
    assert owner.retaken() == len(others)
    owner.tick()
    assert owner.asked() == 1
    owner.arrive()
    assert owner.is_ours_alone(first)


def test_a_page_elsewhere_is_fetched_and_ours_alone_as_it_arrives() -> None:
    owner = Retaking()
    rows = owner.put_and_send(ONE)
    owner.recall(ONE)
    owner.tick()
    assert owner.asked() == BLOCK_PAGES
    assert owner.retaken() == 0
    [pending] = owner.answer(owner.now)
    assert owner.owner_recall.on_done(pending)
    assert all(owner.is_ours_alone(row) for row in rows)
    assert owner.flush() == {ONE: BLOCK_PAGES}
    assert owner.retaken() == BLOCK_PAGES


def test_of_a_leaf_only_what_is_recalled_is_fetched() -> None:
    owner = Retaking()
    owner.put_and_send(ONE)
    theirs = owner.put_and_send(OTHER)
    owner.recall(ONE)
    owner.tick()
    assert owner.asked() == BLOCK_PAGES
    owner.arrive()
    assert owner.holder(OTHER).pages == len(theirs)


def test_a_get_of_another_is_none_of_ours() -> None:
    owner = Retaking()
    owner.put_and_send(ONE)
    other = owner.leaf_fetch()
    assert other.fetch_leaf(FIRST_NODE, lambda _: True, 0.0, bytes_max=1 << 30).pages == BLOCK_PAGES
    [pending] = owner.answer()
    assert not owner.owner_recall.on_done(pending)
    assert owner.retaken() == 0


def test_a_copy_that_is_one_more_than_wanted_is_given_up() -> None:
    owner = Retaking(copies=1)
    rows = owner.put_and_send(ONE, OTHER)
    owner.recall(OTHER)
    owner.tick()
    assert owner.asked() == 0
    assert owner.flush() == {OTHER: BLOCK_PAGES}
    assert {tuple(owner.store.rows.holders(row)) for row in rows} == {(owner.holder(ONE).id,)}
    assert owner.retaken() == BLOCK_PAGES


def test_a_copy_is_not_given_up_when_another_holder_is_out_of_reach() -> None:
    owner = Retaking(copies=1)
    owner.put_and_send(ONE, OTHER)
    owner.linked.discard(ONE)
    owner.recall(OTHER)
    owner.tick()
    assert owner.flush() == {}
    assert owner.asked() == BLOCK_PAGES


def test_what_nobody_can_be_asked_for_is_left_alone() -> None:
    owner = Retaking()
    owner.put_and_send(ONE)
    owner.recall(ONE)
    owner.linked.clear()
    owner.tick()
    assert owner.asked() == 0
    assert owner.owner_recall.statistics().recall_pages == BLOCK_PAGES


def test_an_ephemeral_page_is_dropped() -> None:
    owner = Retaking()
    cache = owner.store.new_pool(PoolKind.EPHEMERAL, program_pool("cache"))
    owner.put(BLOCK_PAGES, pool=cache)
    owner.send(ONE, kind=PoolKind.EPHEMERAL)
    owner.recall(ONE)
    owner.tick()
    assert owner.asked() == 0
    assert owner.flush() == {ONE: BLOCK_PAGES}
    assert owner.store.pages_of(cache) == 0


def test_no_more_ephemeral_pages_are_dropped_than_the_holder_has_too_many() -> None:
    owner = Retaking()
    cache = owner.store.new_pool(PoolKind.EPHEMERAL, program_pool("cache"))
    owner.put(BLOCK_PAGES, pool=cache)
    owner.send(ONE, kind=PoolKind.EPHEMERAL)
    owner.recall(ONE, BLOCK_PAGES - 1)
    owner.tick()
    owner.flush()
    assert owner.holder(ONE).pages == BLOCK_PAGES - 1


def test_no_more_is_taken_than_the_holder_has_too_many() -> None:
    owner = Retaking()
    owner.put_and_send(ONE, blocks=4)
    owner.put_and_send(ONE, blocks=4)
    owner.recall(ONE, 5 * BLOCK_PAGES)
    owner.tick()
    assert owner.asked() == LEAF_PAGES, "the leaf that the first of them is in"
    owner.tick()
    assert owner.asked() == LEAF_PAGES, "these are on their way already"


def test_it_ends_when_the_bound_is_met() -> None:
    owner = Retaking()
    owner.put_and_send(ONE, blocks=8)
    owner.recall(ONE, LEAF_PAGES)
    owner.tick()
    owner.arrive()
    assert owner.holder(ONE).pages == LEAF_PAGES
    assert owner.owner_recall.statistics().recall_pages == 0
    owner.tick()
    assert owner.asked() == 0
    assert not owner.is_busy()


def test_a_bound_that_is_met_as_it_is_said_is_none() -> None:
    owner = Retaking()
    owner.put_and_send(ONE, stays=True)
    owner.recall(ONE, 0)
    owner.recall(ONE, BLOCK_PAGES)
    owner.recall(OTHER, 0)
    assert not owner.is_busy()
    owner.tick()
    assert owner.retaken() == 0


def test_what_a_holder_without_a_link_wanted_is_void() -> None:
    owner = Retaking()
    owner.put_and_send(ONE, stays=True)
    owner.recall(ONE)
    owner.owner_recall.on_holder_unreachable(owner.holder(ONE).id)
    owner.owner_recall.on_holder_unreachable(owner.holder(OTHER).id)
    owner.tick()
    assert owner.retaken() == 0
    assert owner.owner_recall.statistics().recall_pages == 0


def test_what_comes_after_the_recall_is_void_stays_a_copy() -> None:
    owner = Retaking()
    rows = owner.put_and_send(ONE)
    owner.recall(ONE)
    owner.tick()
    owner.owner_recall.on_holder_unreachable(owner.holder(ONE).id)
    owner.arrive()
    assert owner.retaken() == 0
    assert all(owner.store.rows.location(row) for row in rows)
    assert owner.holder(ONE).pages == BLOCK_PAGES


# Room.


def test_the_rate_is_kept() -> None:
    owner = Retaking(rate=400)
    owner.put_and_send(ONE, blocks=8)
    owner.recall(ONE)
    asked = []
    for _ in range(4):
        owner.tick()
        asked.append(owner.asked() // LEAF_PAGES)
    assert asked == [1, 1, 1, 2], "what was too much is made good first"
    assert owner.is_busy()


def test_few_pages_are_under_way_at_once() -> None:
    owner = Retaking(budget_bytes=8 * MIB)
    owner.put_and_send(ONE, blocks=(UNDER_WAY_PAGES_MAX + 2 * LEAF_PAGES) // BLOCK_PAGES)
    owner.recall(ONE)
    for _ in range(3):
        owner.tick()
    under_way = owner.owner_recall.statistics().pages_in_flight
    assert UNDER_WAY_PAGES_MAX <= under_way < UNDER_WAY_PAGES_MAX + LEAF_PAGES
    assert owner.asked() == under_way


def test_no_more_is_fetched_than_finds_room_and_older_pages_are_to_leave() -> None:
    owner = Retaking()
    owner.put_and_send(ONE, blocks=4)
    owner.put(460)
    owner.recall(ONE)
    owner.tick()
    # 92 % of 512 pages are 471.
    assert owner.asked() == 471 - 464
    assert owner.room_asked == 1


def test_without_any_room_older_pages_are_to_leave() -> None:
    owner = Retaking()
    owner.put_and_send(ONE, blocks=4)
    owner.put(480)
    owner.recall(ONE)
    owner.tick()
    assert owner.asked() == 0
    assert owner.room_asked > 0


def test_what_could_not_leave_again_comes_where_there_is_plenty_of_room() -> None:
    owner = Retaking(copies=2)
    owner.put_and_send(ONE, OTHER)
    owner.placeable = 1
    owner.recall(ONE)
    owner.tick()
    assert owner.asked() == BLOCK_PAGES


def test_what_could_not_leave_again_stays_where_room_is_short() -> None:
    """Below the high watermark, but not below what is kept free for what is written."""
    owner = Retaking(copies=2)
    owner.put_and_send(ONE, OTHER)
    owner.put(400)
    owner.placeable = 1
    owner.recall(ONE)
    owner.tick()
    assert owner.asked() == 0
    assert owner.room_asked == 0, "nobody would take it"
    owner.placeable = 2
    owner.tick()
    assert owner.asked() == BLOCK_PAGES


def test_what_could_not_leave_again_fills_no_more_than_its_part() -> None:
    owner = Retaking(copies=2)
    owner.put_and_send(ONE, OTHER, blocks=8)
    low = owner.store.room.limits.low_watermark
    owner.store.room.limits = replace(owner.store.room.limits, low_watermark=low / 4)
    owner.placeable = 1
    owner.recall(ONE)
    owner.tick()
    # 80 % of a quarter of 85 % of 512 pages, by leaves.
    assert owner.asked() == 87
    assert owner.room_asked == 0


# The pass over the table.


def test_it_rests_after_a_pass_in_vain_and_wakes_when_asked_again() -> None:
    owner = Retaking()
    owner.put_and_send(ONE)
    owner.put(496)
    owner.recall(ONE)
    assert owner.is_busy()
    owner.tick()
    assert not owner.is_busy()
    owner.recall(ONE)
    assert owner.is_busy()


def test_after_a_pass_that_found_something_there_is_another() -> None:
    owner = Retaking()
    owner.put_and_send(ONE, stays=True)
    owner.put_and_send(ONE)
    owner.put(480)
    owner.recall(ONE)
    owner.tick()
    owner.flush()
    assert owner.retaken() == BLOCK_PAGES
    assert owner.is_busy()
    owner.tick()
    assert not owner.is_busy()


def test_it_rests_after_a_pass_of_several_ticks_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall_owner, "ROWS_LOOKED_AT_MAX", 24)
    owner = Retaking()
    owner.put_and_send(ONE, blocks=2)
    owner.leave_no_room()
    owner.recall(ONE)
    for _ in range(6):
        owner.tick()
    assert owner.asked() == 0
    assert not owner.is_busy()


def test_what_the_first_tick_of_a_pass_found_counts_at_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recall_owner, "ROWS_LOOKED_AT_MAX", 24)
    owner = Retaking()
    owner.put_and_send(ONE, stays=True)
    owner.put_and_send(ONE)
    owner.leave_no_room()
    owner.recall(ONE)
    for _ in range(2):
        owner.tick()
        owner.flush()
    assert owner.retaken() == BLOCK_PAGES
    assert owner.is_busy()


def test_it_is_busy_while_pages_are_under_way() -> None:
    owner = Retaking()
    owner.put_and_send(ONE)
    owner.recall(ONE)
    for _ in range(3):
        owner.tick()
    assert owner.is_busy()


def test_a_long_table_is_looked_through_in_several_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall_owner, "ROWS_LOOKED_AT_MAX", 24)
    owner = Retaking()
    owner.put_and_send(OTHER, blocks=2)
    owner.put_and_send(ONE, stays=True)
    owner.recall(ONE)
    owner.tick()
    assert owner.retaken() == 0
    assert owner.is_busy(), "the pass is not over"
    owner.tick()
    assert owner.retaken() == BLOCK_PAGES


def test_few_rows_are_judged_in_a_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall_owner, "ROWS_JUDGED_MAX", 20)
    owner = Retaking()
    owner.put_and_send(ONE, stays=True)
    owner.put_and_send(ONE, stays=True)
    owner.put_and_send(ONE, stays=True)
    owner.recall(ONE)
    retaken = []
    for _ in range(3):
        owner.tick()
        owner.flush()
        retaken.append(owner.retaken() // BLOCK_PAGES)
    assert retaken == [2, 3, 3]


def test_few_leaves_are_asked_for_in_a_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall_owner, "LEAVES_ASKED_MAX", 2)
    owner = Retaking()
    owner.put_and_send(ONE, blocks=16)
    owner.recall(ONE)
    owner.tick()
    assert owner.asked() == 2 * LEAF_PAGES
    owner.tick()
    assert owner.asked() == 3 * LEAF_PAGES, "the last one is looked at once more"


def test_of_several_that_recall_each_gets_its_own_back() -> None:
    owner = Retaking(copies=1)
    owner.put_and_send(ONE, stays=True)
    owner.put_and_send(OTHER)
    owner.put_and_send(THIRD, stays=True)
    owner.recall(ONE)
    owner.recall(OTHER)
    owner.tick()
    owner.arrive()
    pages = [owner.holder(node).pages for node in (ONE, OTHER, THIRD)]
    assert pages == [0, 0, BLOCK_PAGES]


def test_of_several_that_recall_each_gives_about_what_it_has_too_many() -> None:
    owner = Retaking()
    owner.put_and_send(ONE, blocks=8)
    owner.put_and_send(OTHER, blocks=8)
    owner.recall(ONE, 2 * LEAF_PAGES - 1)
    owner.recall(OTHER, 0)
    for _ in range(3):
        owner.tick()
        owner.arrive()
    assert owner.holder(OTHER).pages == 0
    assert owner.holder(ONE).pages >= LEAF_PAGES, "the leaf that its one page is in"
