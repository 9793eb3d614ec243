"""What comes home because there is room for it."""

from itertools import pairwise

import pytest

from ramsterd.core.page import PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.core.table_words import FIRST_NODE
from ramsterd.remote.home import repatriate
from ramsterd.remote.home.leaf_fetch import STAY_BELOW, UNDER_WAY_PAGES_MAX
from ramsterd.remote.home.repatriate import Repatriator
from tests.helpers.dropping import drop_run
from tests.helpers.made_owner import BLOCK_PAGES, LEAF_PAGES, ONE, OTHER, Owner
from tests.helpers.made_pages import MIB

QUIET_SECONDS = 10.0
TICK_SECONDS = 0.5
# Pages are fetched back up to half of the budget.
LOW_WATERMARK = 0.5 / STAY_BELOW


class Repatriating(Owner):
    """An owner, and its machine, which has ticked once at 0."""

    def __init__(
        self, *, rate: int = 100_000, eager_rate: int = 100_000, budget_bytes: int = 2 * MIB
    ) -> None:
        super().__init__(budget_bytes=budget_bytes)
        self.store.room.set_watermarks(high=0.92, low=LOW_WATERMARK)
        self.now = 0.0
        self.repatriator = Repatriator(
            self.store,
            self.leaf_fetch(),
            is_reachable=lambda row: self.reachable_holders(row) > 0,
            quiet_seconds=QUIET_SECONDS,
            pages_per_second_max=rate,
            eager_pages_per_second=eager_rate,
        )
        self.left_total = 0
        self.is_draining = False
        self.tick(0.0)

    def tick(self, seconds: float = TICK_SECONDS, *, is_remote: bool = True) -> None:
        self.now += seconds
        self.repatriator.on_tick(
            now=self.now,
            left_total=self.left_total,
            is_remote=is_remote,
            is_eager=self.is_draining,
        )

    def arrive(self) -> None:
        for pending in self.answer(self.now):
            assert self.repatriator.on_done(pending)

    def repatriated(self) -> int:
        return self.repatriator.statistics().repatriated_pages_total

    def is_active(self) -> bool:
        return self.repatriator.statistics().is_active

    def is_busy(self) -> bool:
        return self.repatriator.is_busy


# When.


def test_nothing_comes_home_before_it_was_quiet_for_a_while() -> None:
    owner = Repatriating()
    owner.put_and_send(ONE)
    owner.tick(QUIET_SECONDS - 0.1)
    assert not owner.is_active()
    assert owner.asked() == 0
    owner.tick(0.1)
    assert owner.is_active()
    assert owner.asked() == BLOCK_PAGES


def test_a_page_that_leaves_is_no_quiet() -> None:
    owner = Repatriating()
    owner.put_and_send(ONE)
    owner.left_total = BLOCK_PAGES
    owner.tick(QUIET_SECONDS / 2)
    owner.tick(QUIET_SECONDS / 2)
    assert owner.asked() == 0
    owner.tick(QUIET_SECONDS / 2)
    assert owner.asked() == BLOCK_PAGES


def test_use_above_the_watermark_is_no_quiet() -> None:
    owner = Repatriating()
    owner.put_and_send(ONE)
    first = owner.put(300)
    owner.tick(QUIET_SECONDS / 2)
    drop_run(owner.store, owner.pool, b"", first, 300)
    owner.tick(QUIET_SECONDS / 2)
    assert owner.asked() == 0
    owner.tick(QUIET_SECONDS / 2)
    assert owner.asked() == BLOCK_PAGES


def test_without_pages_at_peers_it_rests() -> None:
    owner = Repatriating()
    owner.tick(QUIET_SECONDS, is_remote=False)
    assert not owner.is_active()
    assert not owner.is_busy()


def test_a_table_without_leaves_has_nothing_to_fetch() -> None:
    owner = Repatriating()
    owner.tick(QUIET_SECONDS)
    assert owner.is_active()
    assert not owner.is_busy()


# What.


def test_clean_copies_are_adopted_without_a_fetch() -> None:
    owner = Repatriating()
    rows = owner.put_and_send(ONE, blocks=2, stays=True)
    owner.tick(QUIET_SECONDS)
    assert owner.asked() == 0
    assert all(owner.is_ours_alone(row) for row in rows)
    assert owner.flush() == {ONE: 2 * BLOCK_PAGES}
    assert owner.repatriated() == 2 * BLOCK_PAGES
    assert owner.is_busy()


def test_what_is_fetched_is_a_clean_copy_at_first_and_adopted_then() -> None:
    owner = Repatriating()
    rows = owner.put_and_send(ONE)
    owner.tick(QUIET_SECONDS)
    assert owner.repatriator.statistics().pages_in_flight == BLOCK_PAGES
    owner.arrive()
    assert owner.repatriator.statistics().pages_in_flight == 0
    assert all(owner.store.rows.location(row) for row in rows)
    assert owner.flush() == {}, "it is freed at its holder only after it is here for good"
    owner.tick()
    assert owner.flush() == {ONE: BLOCK_PAGES}
    assert owner.repatriated() == BLOCK_PAGES


def test_it_rests_when_all_is_home() -> None:
    owner = Repatriating()
    owner.put_and_send(ONE)
    owner.tick(QUIET_SECONDS)
    owner.arrive()
    owner.tick()
    assert owner.is_busy()
    owner.tick()
    assert not owner.is_busy()


def test_an_ephemeral_page_is_not_worth_the_way() -> None:
    owner = Repatriating()
    cache = owner.store.new_pool(PoolKind.EPHEMERAL, program_pool("cache"))
    owner.put(BLOCK_PAGES, pool=cache)
    owner.send(ONE, kind=PoolKind.EPHEMERAL)
    owner.tick(QUIET_SECONDS)
    assert owner.asked() == 0
    assert owner.flush() == {}


def test_what_nobody_can_be_asked_for_stays_away() -> None:
    owner = Repatriating()
    owner.put_and_send(ONE)
    owner.put_and_send(OTHER)
    owner.linked.discard(ONE)
    owner.tick(QUIET_SECONDS)
    assert owner.asked() == BLOCK_PAGES
    owner.arrive()
    assert owner.fetches.statistics().localified_pages_total == BLOCK_PAGES


def test_a_get_of_another_is_none_of_ours() -> None:
    owner = Repatriating()
    owner.put_and_send(ONE)
    owner.leaf_fetch().fetch_leaf(FIRST_NODE, lambda _: True, 0.0, bytes_max=1 << 30)
    [pending] = owner.answer()
    assert not owner.repatriator.on_done(pending)


# How much.


def test_what_would_lift_the_use_above_the_watermark_stays_away() -> None:
    owner = Repatriating()
    owner.put_and_send(ONE, blocks=4)
    owner.put(240)
    owner.tick(QUIET_SECONDS)
    assert owner.asked() == 256 - 240
    owner.arrive()
    assert not owner.store.room.is_above(0.5)
    owner.tick()
    assert owner.asked() == 0


def test_room_is_counted_over_all_leaves_of_a_tick() -> None:
    owner = Repatriating()
    owner.put_and_send(ONE, blocks=12)
    owner.put(176)
    owner.tick(QUIET_SECONDS)
    assert owner.asked() == 256 - 176


def test_the_rate_is_kept() -> None:
    owner = Repatriating(rate=40)
    owner.put_and_send(ONE, blocks=12)
    owner.tick(QUIET_SECONDS)
    asked = [owner.asked() // LEAF_PAGES]
    for _ in range(3):
        owner.tick()
        asked.append(owner.asked() // LEAF_PAGES)
    # 4 pages are saved up, and 64 are taken: three ticks of 20 pages each make that good.
    assert asked == [1, 1, 1, 1]
    owner.tick()
    assert owner.asked() == 2 * LEAF_PAGES


def test_what_is_adopted_counts_against_the_rate() -> None:
    owner = Repatriating(rate=40)
    owner.put_and_send(ONE, blocks=4, stays=True)
    owner.tick(QUIET_SECONDS)
    assert owner.repatriated() == BLOCK_PAGES


def test_at_rate_0_nothing_comes_home() -> None:
    owner = Repatriating(rate=0)
    owner.put_and_send(ONE, stays=True)
    owner.put_and_send(ONE)
    for _ in range(3):
        owner.tick(QUIET_SECONDS)
    assert owner.asked() == 0
    assert owner.repatriated() == 0
    assert not owner.is_busy()


def test_few_pages_are_under_way_at_once() -> None:
    owner = Repatriating(budget_bytes=16 * MIB)
    owner.put_and_send(ONE, blocks=(UNDER_WAY_PAGES_MAX + 2 * LEAF_PAGES) // BLOCK_PAGES)
    owner.tick(QUIET_SECONDS)
    owner.tick()
    assert owner.asked() == UNDER_WAY_PAGES_MAX


def test_few_leaves_are_looked_at_in_a_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repatriate, "LEAVES_LOOKED_AT_MAX", 1)
    owner = Repatriating()
    owner.put_and_send(ONE, blocks=12)
    owner.tick(QUIET_SECONDS)
    asked = [owner.asked() // LEAF_PAGES]
    for _ in range(len(owner.store.table.leaf_used)):
        owner.tick()
        asked.append(owner.asked() // LEAF_PAGES)
    assert asked[-1] == 3, "each of the three leaves in its turn, from wherever"
    assert all(after - before <= 1 for before, after in pairwise(asked))


# A node that drains.


def test_a_node_that_drains_does_not_wait() -> None:
    owner = Repatriating(rate=0)
    owner.put_and_send(ONE)
    owner.is_draining = True
    owner.tick()
    assert owner.asked() == BLOCK_PAGES
    assert owner.is_busy()


def test_a_node_that_drains_has_a_rate_of_its_own() -> None:
    owner = Repatriating(rate=0, eager_rate=40)
    owner.put_and_send(ONE, blocks=12)
    owner.is_draining = True
    owner.tick()
    owner.tick()
    assert owner.asked() == LEAF_PAGES


def test_a_node_that_drains_adopts_nothing() -> None:
    owner = Repatriating()
    owner.put_and_send(ONE, stays=True)
    owner.is_draining = True
    owner.tick(QUIET_SECONDS)
    assert owner.flush() == {}
    assert owner.repatriated() == 0
    assert not owner.is_busy()


def test_a_node_that_drains_fills_its_budget_to_the_low_watermark_and_rests() -> None:
    owner = Repatriating()
    owner.store.room.set_watermarks(high=0.92, low=0.85)
    owner.put_and_send(ONE, blocks=24)
    owner.put(208)
    owner.is_draining = True
    for _ in range(8):
        owner.tick()
        owner.arrive()
    assert not owner.is_busy()
    # 85 % of 512 pages are 435; their last block is not full.
    assert owner.fetches.statistics().fetched_pages_total == 435 - 208
    assert not owner.store.room.is_above(owner.store.room.limits.high_watermark)


def test_above_the_low_watermark_nothing_comes_home_though_a_node_drains() -> None:
    owner = Repatriating()
    owner.put_and_send(ONE)
    owner.put(440)
    owner.is_draining = True
    owner.tick()
    assert owner.asked() == 0
    assert not owner.is_busy()


def test_a_drain_that_is_called_off_waits_for_quiet_again() -> None:
    owner = Repatriating()
    owner.put_and_send(ONE)
    owner.left_total = 1
    owner.is_draining = True
    owner.tick(is_remote=False)
    owner.is_draining = False
    owner.tick()
    assert not owner.is_active()
