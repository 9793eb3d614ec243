"""What an attach tells its caller: which pools wait, which are lost and why, and how far the tables reach.

That each page is right is shown by tests/crash and the tests of the verdicts.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import islice

from nodemanager.ids import Incarnation
from ramsterd.core.page import PoolKind
from ramsterd.core.pool_identity import export_pool, owner_pool, program_pool
from ramsterd.core.rows import ROW_BYTES
from ramsterd.core.store import Store
from ramsterd.core.table_words import NODE_BYTES, OBJECT_BYTES
from ramsterd.core.versions import StoreLimits
from ramsterd.kept.attach import Attached, fit_limits
from tests.helpers.made_pages import joined, make_page
from tests.helpers.node_memories import make_memory
from tests.helpers.recorded_memory import Image, RecordedKeeper, count_states, states

# As small as can be: what is recorded is compared with all of it.
LIMITS = StoreLimits(budget_bytes=16 * 4096, budget_bytes_max=16 * 4096, pages_max=256)


def image_of_pools() -> Image:
    """Return what a process with an export, a cache, and pages of another node has left."""
    keeper = RecordedKeeper()
    with closing(make_memory(keeper)) as memory:
        store = memory.make_store(LIMITS, Incarnation(7))
        for kind, identity in (
            (PoolKind.PERSISTENT, export_pool("disk")),
            (PoolKind.EPHEMERAL, program_pool("cache", 1000)),
        ):
            pool = store.new_pool(kind, identity)
            store.put(pool, b"", 0, joined([make_page(200, seed) for seed in range(3)]))
        store.new_pool(PoolKind.PERSISTENT, owner_pool(3, 77))
        return keeper.image()


def with_a_flip(image: Image, root: int) -> Image:
    """Damage the root of an object."""
    objects = image["objects"]
    return {**image, "objects": objects.stored(root, bytes([objects.whole()[root] ^ 0x40]))}


@contextmanager
def attached(image: Image, limits: StoreLimits = LIMITS) -> Iterator[Attached]:
    with closing(make_memory(RecordedKeeper(image))) as memory:
        memory.make_store(limits, Incarnation(7))
        assert memory.attached is not None
        yield memory.attached


def labels(store: Store) -> list[str]:
    return [pool.identity.label for pool in store.pools.left]


def test_pools_of_ours_wait_for_who_takes_them_and_those_of_others_do_not() -> None:
    with attached(image_of_pools()) as found:
        assert labels(found.store) == ["disk", "1000/cache"]
        assert [pool.identity.label for pool in found.store.pools] == [
            "disk",
            "1000/cache",
            "node 3",
        ]
        assert (found.pages, found.ended_pools, found.damaged) == (6, [], {})
        found.store.check_invariants()


def test_a_pool_whose_tables_are_damaged_is_lost_by_its_name_and_stays_gone() -> None:
    image = image_of_pools()
    objects = image["objects"].whole()
    roots = range(OBJECT_BYTES, 3 * OBJECT_BYTES, OBJECT_BYTES)
    (disk,) = [root for root in roots if objects[root + 8] == 1]
    with attached(with_a_flip(image, disk)) as found:
        assert labels(found.store) == ["1000/cache"]
        (said,) = found.damaged.values()
        assert said.startswith("export disk: object ")
        assert (list(found.ended_pools), found.pages) == ([1], 3)


def test_a_pool_that_is_lost_stays_so_wherever_the_attach_that_finds_it_ends() -> None:
    """Else the next attach, which finds nothing of the pool, would take it for a blank one."""
    keeper = RecordedKeeper(with_a_flip(image_of_pools(), OBJECT_BYTES))

    def attach() -> None:
        make_memory(keeper).make_store(LIMITS, Incarnation(7))

    before, stored = keeper.image(), keeper.record(attach)
    assert count_states(stored) > 100
    for where, left in islice(states(before, stored), None, None, 7):
        with attached(left) as found:
            assert labels(found.store) == ["1000/cache"], where
            assert found.pages == 3


def test_the_number_of_a_lost_pool_is_free_for_the_process_after() -> None:
    keeper = RecordedKeeper(with_a_flip(image_of_pools(), OBJECT_BYTES))
    with closing(make_memory(keeper)) as memory:
        memory.make_store(LIMITS, Incarnation(7))
    with attached(keeper.image()) as found:
        assert (found.ended_pools, found.damaged) == ([], {})


def test_limits_never_fall_below_what_is_there() -> None:
    """A smaller budget stays one; only how far the tables may reach stays."""
    lengths = {"rows": 4096 * ROW_BYTES, "entries": 0, "arena": 0}
    small = replace(LIMITS, pages_max=100)
    assert fit_limits(small, lengths).pages_max > 4000
    assert fit_limits(small, {**lengths, "entries": 9000 * NODE_BYTES}).pages_max == 4 * 9000
    assert fit_limits(small, lengths).budget_bytes == small.budget_bytes
    large = replace(LIMITS, pages_max=1 << 20, budget_bytes_max=1 << 30)
    assert fit_limits(large, lengths) == large


def test_a_smaller_table_finds_all_pages() -> None:
    with attached(image_of_pools(), replace(LIMITS, pages_max=4)) as found:
        assert found.pages == 6
        (disk, _) = found.store.pools.left
        assert found.store.pages_of(disk.pool) == 3
