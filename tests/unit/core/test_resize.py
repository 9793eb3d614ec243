import pytest

from ramsterd.core.family import Family
from ramsterd.core.leaving import begin_leaving, end_leaving
from ramsterd.core.page import PAGE_BYTES, PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.core.resize import STALL_SECONDS, STALL_SECONDS_MAX, Resize, ResizeState
from ramsterd.core.store import Store
from tests.helpers.made_pages import MIB, joined, make_run, make_store

OBJECT = b"disk"
PAGES = 256


@pytest.fixture
def store() -> Store:
    """1 MiB of persistent pages under a budget of 2 MiB."""
    store = make_store(2 * MIB, budget_bytes_max=4 * MIB)
    pool = store.new_pool(PoolKind.PERSISTENT, program_pool("disk"))
    store.put(pool, OBJECT, 0, joined(make_run(PAGE_BYTES, PAGES)))
    return store


def remotify_one(store: Store) -> None:
    block = store.zbud.oldest(Family.OWN_PERSISTENT)
    assert block is not None
    end_leaving(store.versions, begin_leaving(store.versions, block), 7)


def test_growing_is_done_at_once(store: Store) -> None:
    resize = Resize(store.room)
    resize.begin(4 * MIB, now=1)
    assert resize.on_progress(now=1, is_under_way=False) is ResizeState.DONE
    assert store.zbud.budget_bytes == 4 * MIB
    assert resize.on_progress(now=2, is_under_way=False) is None


def test_shrinking_is_done_when_memory_is_below(store: Store) -> None:
    resize = Resize(store.room)
    resize.begin(MIB // 2, now=1)
    assert store.zbud.budget_bytes == MIB // 2
    now = 1.0
    while store.zbud.resident_bytes > MIB // 2:
        assert resize.on_progress(now=now, is_under_way=True) is None
        assert resize.is_shrinking
        remotify_one(store)
        now += STALL_SECONDS - 0.1
    assert resize.on_progress(now=now, is_under_way=True) is ResizeState.DONE
    assert resize.statistics().target_bytes == MIB // 2


@pytest.mark.parametrize(
    ("is_under_way", "seconds"), [(False, STALL_SECONDS), (True, STALL_SECONDS_MAX)]
)
def test_shrinking_that_comes_to_a_halt_stops_with_room_for_writes(
    store: Store, is_under_way: bool, seconds: float
) -> None:
    resize = Resize(store.room)
    resize.begin(MIB // 2, now=0)
    remotify_one(store)
    assert resize.on_progress(now=2, is_under_way=is_under_way) is None
    assert resize.on_progress(now=1.9 + seconds, is_under_way=is_under_way) is None
    ended = resize.on_progress(now=2 + seconds, is_under_way=is_under_way)
    assert ended is ResizeState.STOPPED
    # What is resident is at the low watermark: nothing must leave.
    assert store.zbud.resident_bytes > MIB // 2
    assert store.zbud.resident_bytes == pytest.approx(
        0.85 * store.zbud.budget_bytes, abs=PAGE_BYTES
    )
    assert not store.room.is_above(store.room.limits.low_watermark)
    assert resize.statistics().target_bytes == MIB // 2
    store.check_invariants()


@pytest.mark.parametrize("again", [False, True])
def test_a_node_that_was_full_gets_no_more_than_it_had(store: Store, again: bool) -> None:
    """Also when a second smaller budget replaces the first on the way."""
    resident_bytes = store.zbud.resident_bytes
    store.room.set_budget(resident_bytes + PAGE_BYTES)
    resize = Resize(store.room)
    resize.begin(MIB // 2, now=0)
    if again:
        resize.begin(MIB // 4, now=1)
    ended = resize.on_progress(now=1 + STALL_SECONDS, is_under_way=False)
    assert ended is ResizeState.STOPPED
    assert store.zbud.budget_bytes == resident_bytes + PAGE_BYTES


def test_a_new_budget_replaces_one_that_is_under_way(store: Store) -> None:
    resize = Resize(store.room)
    resize.begin(MIB // 2, now=0)
    resize.begin(2 * MIB, now=1)
    assert resize.on_progress(now=1, is_under_way=True) is ResizeState.DONE
    assert store.zbud.budget_bytes == 2 * MIB
