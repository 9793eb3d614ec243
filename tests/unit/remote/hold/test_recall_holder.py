"""When a holder recalls pages, and how many each owner may keep there."""

import pytest

from ramsterd.core.page import PAGE_BYTES, PoolKind
from ramsterd.core.store import Store
from ramsterd.remote.hold.foreign import ForeignPages
from ramsterd.remote.hold.recall_holder import STUCK_TICKS, HolderRecall
from tests.helpers import columns
from tests.helpers.foreign_puts import ONE, OTHER, put, run_all
from tests.helpers.made_pages import make_store

# Raw pages, of which 2 MiB have 512.
PAGES = 320


@pytest.fixture
def store() -> Store:
    return make_store()


@pytest.fixture
def foreign(store: Store) -> ForeignPages:
    foreign = ForeignPages(store, run=run_all, bytes_fraction_max=0.95)
    put(foreign, PoolKind.PERSISTENT, range(1, 241))
    put(foreign, PoolKind.PERSISTENT, range(1, 81), owner=OTHER)
    return foreign


@pytest.fixture
def recall(store: Store, foreign: ForeignPages) -> HolderRecall:
    return HolderRecall(store, foreign)


def tick(recall: HolderRecall, *, is_draining: bool = False, must_leave: bool = False) -> None:
    recall.on_tick(is_draining=is_draining, must_leave=must_leave, left_total=0)


def stick(recall: HolderRecall) -> None:
    for _ in range(STUCK_TICKS + 1):
        tick(recall, must_leave=True)


def test_nothing_is_recalled_while_there_is_room(recall: HolderRecall) -> None:
    tick(recall)
    assert not recall.is_active
    assert recall.bound(ONE) is None
    assert recall.statistics().recall_pages == 0


def test_a_node_that_drains_recalls_everything(recall: HolderRecall) -> None:
    tick(recall, is_draining=True)
    assert (recall.bound(ONE), recall.bound(OTHER)) == (0, 0)
    assert recall.statistics().recall_pages == PAGES
    tick(recall)
    assert not recall.is_active, "it was called off"


def test_memory_that_is_short_for_a_moment_recalls_nothing(recall: HolderRecall) -> None:
    for _ in range(STUCK_TICKS):
        tick(recall, must_leave=True)
    tick(recall)
    tick(recall, must_leave=True)
    assert not recall.is_active


def test_what_still_leaves_is_waited_for(recall: HolderRecall) -> None:
    for left in range(2 * STUCK_TICKS):
        recall.on_tick(is_draining=False, must_leave=True, left_total=left)
    assert not recall.is_active


def test_each_owner_gives_the_same_part(recall: HolderRecall, store: Store) -> None:
    # 85 % of it are 297 pages, so 23 are too many, and some slack.
    store.room.set_budget(1400 * 1024)
    stick(recall)
    one, other = recall.bound(ONE), recall.bound(OTHER)
    assert one is not None
    assert other is not None
    assert 280 <= one + other <= 297
    assert one == pytest.approx(3 * other, abs=3)


def test_bounds_stay_until_they_are_met(
    recall: HolderRecall, store: Store, foreign: ForeignPages
) -> None:
    store.room.set_budget(1400 * 1024)
    stick(recall)
    bound = recall.bound(ONE)
    assert bound is not None
    foreign.on_flush(ONE, *columns.of_ranges((1, 5)))
    stick(recall)
    assert recall.bound(ONE) == bound, "freed slots are no free memory yet"
    assert recall.statistics().recalls_total == 1


def test_it_ends_when_memory_is_short_no_more(recall: HolderRecall, store: Store) -> None:
    store.room.set_budget(1400 * 1024)
    stick(recall)
    assert recall.statistics().recall_pages > 0
    store.room.set_budget(2 * 1024 * 1024)
    tick(recall)
    assert recall.bound(ONE) is None
    assert recall.statistics().recall_pages == 0


def test_what_is_over_the_quota_is_recalled_at_once(recall: HolderRecall, store: Store) -> None:
    store.room.set_budget(PAGES * PAGE_BYTES)
    tick(recall)
    assert recall.is_active
    assert PAGES // 20 <= recall.statistics().recall_pages <= PAGES // 16


def test_what_a_smaller_budget_would_recall_is_known_before(
    recall: HolderRecall, store: Store
) -> None:
    assert recall.over_quota_at(2 * 1024 * 1024) == {}
    told = recall.over_quota_at(PAGES * PAGE_BYTES // 2)
    assert told[ONE] == pytest.approx(3 * told[OTHER], abs=3)
    store.room.set_budget(PAGES * PAGE_BYTES // 2)
    tick(recall)
    assert recall.statistics().recall_pages == sum(told.values())


def test_without_foreign_pages_there_is_nothing_to_recall() -> None:
    store = make_store()
    recall = HolderRecall(store, ForeignPages(store, run=run_all, bytes_fraction_max=0.75))
    stick(recall)
    assert not recall.is_active


def test_an_owner_that_came_later_keeps_nothing(
    recall: HolderRecall, foreign: ForeignPages
) -> None:
    tick(recall, is_draining=True)
    assert recall.bound(ONE) == 0
    foreign.purge(ONE)
    assert recall.bound(ONE) == 0
