"""Whatever is asked for at once, a node does it in many short passes: `Cluster` bounds the work of each step.

Sixteen thousand small pages are enough: each of these things used to be one pass over all of them.
"""

from collections.abc import Callable

from trio.testing import MockClock

from config.limits import PAGE_BYTES
from ramsterd.core.family import Family
from ramsterd.core.pool_identity import program_pool
from ramsterd.core.slices import SLICE_UNITS
from ramsterd.remote.wire import SERIAL_MAX
from tests.helpers import columns
from tests.simulation.checkers import check_books, held
from tests.simulation.cluster import MIB, WORK_PER_STEP_MAX, Cluster
from tests.simulation.pages import OBJECT

PAGES = 16_384
RUN_PAGES = 64


def small_page(index: int) -> bytes:
    """Return a page of its own that packs into one chunk."""
    return index.to_bytes(8, "little") + bytes(PAGE_BYTES - 8)


def cluster_of(seed: int, clock: MockClock, *, nodes: int = 2) -> Cluster:
    """Return nodes of which the first has little room and the others have plenty."""
    cluster = Cluster(
        seed, clock, nodes=nodes, knobs={0: {"budget": MIB // 2}}, budget=8 * MIB,
        pages_max=1 << 17, copies=1, repatriate_pages_per_second=0,
    )  # fmt: skip
    cluster.link_all()
    cluster.run(1)
    return cluster


def fill(cluster: Cluster, first: int = 0, count: int = PAGES) -> None:
    """Put pages as clients do, a run in a pass."""
    node = cluster[0]
    client = node.pager.open_client()
    for index in range(first, first + count, RUN_PAGES):
        run = b"".join(small_page(each + 1) for each in range(index, index + RUN_PAGES))
        outcomes: list[object] = []
        if client.put(node.pool, OBJECT, index, memoryview(run), outcomes.append) is None:
            node.pager.settle()
            assert cluster.run_until(lambda: bool(outcomes), 5)  # noqa: B023  waited for here
        node.pager.settle()
    cluster.run(1)


def discard(cluster: Cluster) -> None:
    """Discard all pages, in slices, as the server of disks does."""
    node, index = cluster[0], 0
    client = node.pager.open_client()
    while index < PAGES:
        index += client.drop(node.pool, OBJECT, index, PAGES - index, pages_max=1024).reach
        node.pager.settle()


def most_of(cluster: Cluster, act: Callable[[], object]) -> int:
    """Return the most units of work in one step from here on."""
    cluster.most_work = 0
    act()
    return cluster.most_work


async def test_what_is_owed_after_a_lost_link_leaves_and_is_dropped_in_short_passes(
    seed: int, mock_clock: MockClock
) -> None:
    cluster = cluster_of(seed, mock_clock)
    fill(cluster)
    assert len(held(cluster[0], cluster[1])) > PAGES // 2
    cluster.cut(0, 1)
    discard(cluster)
    owed = cluster[0].engine.statistics().flushes_owed
    assert owed > PAGES // 2
    assert cluster.link(0, 1)
    most = most_of(cluster, lambda: cluster.run(2))
    assert SLICE_UNITS // 2 < most <= WORK_PER_STEP_MAX
    assert held(cluster[0], cluster[1]) == set()
    fill(cluster, 0, 4096)
    check_books(cluster)


async def test_pages_are_put_to_a_peer_while_it_drops_others(
    seed: int, mock_clock: MockClock
) -> None:
    """The flush names all serials there will ever be: those that are put after it stay."""
    cluster = cluster_of(seed, mock_clock)
    fill(cluster)
    before = held(cluster[0], cluster[1])
    holder = cluster[1].engine
    holder.machines.foreign.on_flush(cluster[0].number, *columns.of_ranges((1, SERIAL_MAX)))
    holder.settle(cluster.now)
    assert 0 < len(held(cluster[0], cluster[1])) < len(before)
    fill(cluster, PAGES, 4096)
    after = held(cluster[0], cluster[1])
    assert not after & before, "dropped to the last"
    assert len(after) > 2048, "and what came later is here"
    holder.check_invariants()


async def test_the_pages_of_an_owner_that_ended_go_in_short_passes(
    seed: int, mock_clock: MockClock
) -> None:
    cluster = cluster_of(seed, mock_clock)
    fill(cluster)
    cluster.restart(0)
    most = most_of(cluster, lambda: cluster.link(0, 1))
    most = max(most, most_of(cluster, lambda: cluster.run(2)))
    assert most <= WORK_PER_STEP_MAX
    assert cluster[1].engine.store.versions.zpages[Family.FOREIGN_PERSISTENT] == 0
    assert cluster[1].engine.statistics().foreign_purged_pages_total > PAGES // 2


async def test_a_flush_of_a_replicated_disk_looks_at_what_was_written_since(
    seed: int, mock_clock: MockClock
) -> None:
    """Whatever else is in memory: here the pages of another disk, which nobody asked to replicate."""
    cluster = Cluster(
        seed, mock_clock, nodes=2, budget=8 * MIB, pages_max=1 << 17, copies=1,
        repatriate_pages_per_second=0,
    )  # fmt: skip
    cluster.link_all()
    cluster.run(1)
    fill(cluster)
    node = cluster[0]
    pool = node.engine.new_pool(
        node.engine.store.pools[node.pool].kind, program_pool("disk"), is_replicated=True
    )
    answers: list[bool] = []
    client = node.pager.open_client()
    for index in range(20):
        page = memoryview(small_page(index + 1))
        assert node.engine.store.put(pool, OBJECT, index, page) == 1
        before = node.engine.store.work.snapshot()
        assert client.replicate(pool, OBJECT, 0, 1 << 20, answers.append) is None
        node.pager.settle()
        assert cluster.run_until(lambda: len(answers) == index + 1, 5)  # noqa: B023  waited for
        assert node.engine.store.work["replicate"] - before.get("replicate", 0) < 1000
        assert client.replicate(pool, OBJECT, 0, 1 << 20, answers.append) is True
    assert answers == [True] * 20
    node.engine.check_invariants()
