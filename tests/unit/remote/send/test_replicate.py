"""What a flush of a replicated pool waits for, and how little it looks at."""

import pytest

from ramsterd.core.compact import Compactor
from ramsterd.core.family import Family
from ramsterd.core.leaving import begin_leaving, keep_leaving
from ramsterd.core.page import PAGE_BYTES, PoolId, PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.core.slices import Slices
from ramsterd.remote.send import replicate
from ramsterd.remote.send.replicate import Replication, Replicator
from tests.helpers.dropping import drop_pool, drop_run
from tests.helpers.made_pages import MIB, joined, make_page, make_run, make_store

OBJECT = b"disk"
A, B = 1, 2
ALL = 1 << 20
BLOCK_PAGES = 16


class Disk:
    """A replicated pool; what is offered goes to holder A."""

    def __init__(self) -> None:
        self.store = make_store(16 * MIB, pages_max=1 << 14)
        self.pool = self.store.new_pool(PoolKind.PERSISTENT, program_pool("safe"))
        self.slices = Slices()
        self.replicator = Replicator(self.store, run=self.slices.add)
        self.store.track_unsaved(self.pool)

    def put(self, index: int, count: int, *, pool: PoolId | None = None) -> None:
        run = joined(make_run(PAGE_BYTES, count, index))
        assert self.store.put(pool or self.pool, OBJECT, index, run) == count

    def flush(self) -> Replication | None:
        return self.replicator.begin(self.pool, OBJECT, 0, ALL, deadline=5.0)

    def send(self) -> int:
        """Send what is offered, once; return how many blocks."""
        blocks = self.replicator.blocks_to_send()
        for block in blocks:
            keep_leaving(self.store.versions, begin_leaving(self.store.versions, block), A)
        return len(blocks)

    def finish(self) -> list[Replication]:
        """Send until nothing is offered any more, and do all slices."""
        done: list[Replication] = []
        for turn in range(100):
            self.slices.on_deadline(float(turn))
            done += self.replicator.take_done()
            sent = self.send()
            if not sent and not len(self.slices) and self.replicator.next_deadline() != 0.0:
                return done
        raise AssertionError("it never ends")


def test_nothing_written_is_safe_at_once() -> None:
    disk = Disk()
    assert disk.flush() is None
    assert disk.replicator.take_done() == []


def test_what_was_written_is_waited_for_and_what_comes_later_is_not() -> None:
    disk = Disk()
    disk.put(0, 3 * BLOCK_PAGES)
    request = disk.flush()
    assert request is not None
    assert disk.replicator.take_done() == []
    disk.put(1000, BLOCK_PAGES)
    assert disk.finish() == [request]
    assert request.is_stored
    assert disk.store.versions.zpages[Family.OWN_CLEAN] >= 3 * BLOCK_PAGES
    assert disk.flush() is not None, "what came later has a flush of its own"
    disk.finish()
    assert disk.flush() is None


def test_flushes_of_the_same_pages_are_one() -> None:
    disk = Disk()
    disk.put(0, BLOCK_PAGES)
    request = disk.flush()
    assert disk.flush() is request
    other = disk.store.new_pool(PoolKind.PERSISTENT, program_pool("other"))
    disk.put(0, BLOCK_PAGES, pool=other)
    assert disk.flush() is request, "what another pool writes is nothing to it"
    disk.put(500, 1)
    assert disk.flush() is not request


def test_the_pages_of_other_pools_are_not_looked_at() -> None:
    disk = Disk()
    other = disk.store.new_pool(PoolKind.PERSISTENT, program_pool("other"))
    for index in range(0, 2000, 100):
        disk.put(index, 100, pool=other)
    disk.put(0, 1)
    before = disk.store.work["replicate"]
    assert disk.flush() is not None
    assert len(disk.finish()) == 1
    assert disk.store.work["replicate"] - before < 200


def test_pages_that_are_flushed_or_put_again_are_waited_for_no_more() -> None:
    disk = Disk()
    disk.put(0, 2 * BLOCK_PAGES)
    request = disk.flush()
    drop_run(disk.store, disk.pool, OBJECT, 0, BLOCK_PAGES)
    assert disk.replicator.take_done() == []
    disk.put(BLOCK_PAGES, BLOCK_PAGES)
    assert disk.replicator.take_done() == [request]


def test_blocks_are_judged_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicate, "BLOCKS_JUDGED_MAX", 4)
    disk = Disk()
    disk.put(0, 20 * BLOCK_PAGES)
    request = disk.flush()
    drop_run(disk.store, disk.pool, OBJECT, 0, 20 * BLOCK_PAGES)
    passes = 0
    while not (done := disk.replicator.take_done()):
        assert disk.replicator.next_deadline() == 0.0, "there is more to judge, at once"
        passes += 1
    assert done == [request]
    assert passes >= 3
    assert disk.replicator.next_deadline() is None


def test_all_that_wait_have_their_turn_to_be_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicate, "BLOCKS_JUDGED_MAX", 2)
    disk = Disk()
    requests = []
    for index in range(0, 6 * BLOCK_PAGES, BLOCK_PAGES):
        disk.put(index, BLOCK_PAGES)
        requests.append(disk.replicator.begin(disk.pool, OBJECT, index, 1, deadline=5.0))
    drop_run(disk.store, disk.pool, OBJECT, 5 * BLOCK_PAGES, BLOCK_PAGES)
    done = [each for _ in range(6) for each in disk.replicator.take_done()]
    assert done == [requests[-1]], "though five before it go on waiting"


def test_a_block_that_is_adopted_counts_again_and_is_offered_once() -> None:
    disk = Disk()
    disk.put(0, 2 * BLOCK_PAGES)
    disk.flush()
    disk.finish()
    disk.put(1000, BLOCK_PAGES)
    request = disk.flush()
    assert request is not None
    for _ in range(2):
        block = disk.store.zbud.oldest(Family.OWN_CLEAN)
        assert block is not None
        disk.store.room.adopt_block(block)
        assert disk.replicator.take_done() == []
    request.blocks += request.blocks  # adopted, sent and adopted again
    offered = disk.replicator.blocks_to_send()
    assert len(offered) == len(set(offered)) == 3
    assert disk.finish() == [request]
    assert disk.store.versions.zpages[Family.OWN_PERSISTENT] == 0


def test_pages_that_compaction_moves_are_still_known() -> None:
    disk = Disk()
    disk.put(0, 8 * BLOCK_PAGES)
    for index in range(0, 8 * BLOCK_PAGES, 2):
        drop_run(disk.store, disk.pool, OBJECT, index, 1)
    assert Compactor(disk.store.versions).compact(1000) > 0
    unsaved = disk.store.pools[disk.pool].unsaved
    assert unsaved is not None
    assert set(disk.store.zbud.blocks(Family.OWN_PERSISTENT)) <= unsaved.blocks
    request = disk.flush()
    assert disk.finish() == [request]
    assert disk.store.versions.zpages[Family.OWN_PERSISTENT] == 0


def test_clean_copies_that_count_on_an_absent_holder_are_sent_again() -> None:
    disk = Disk()
    disk.put(0, 4 * BLOCK_PAGES)
    disk.flush()
    disk.finish()
    assert disk.flush() is None
    disk.store.copies.on_unreachable(A)
    request = disk.flush()
    assert request is not None, "all clean blocks are to be looked through"
    disk.slices.on_deadline(0.0)
    assert disk.store.room.adopted_blocks == 4
    disk.store.copies.on_reachable(A)
    disk.replicator.on_reachable(A)
    assert disk.finish() == [request]
    disk.store.copies.on_unreachable(A)
    assert disk.flush() is not None, "it went once more"


def test_what_takes_too_long_fails() -> None:
    disk = Disk()
    disk.put(0, 1)
    request = disk.flush()
    assert disk.replicator.next_deadline() == 5.0
    assert disk.replicator.on_deadline(4.9) == []
    assert disk.replicator.on_deadline(5.0) == [request]
    assert request is not None
    assert request.is_stored is False
    assert not disk.replicator.is_waiting


def test_a_pool_that_had_pages_before_it_was_asked_for_is_known_whole() -> None:
    store = make_store(16 * MIB)
    pool = store.new_pool(PoolKind.PERSISTENT, program_pool("late"))
    assert store.put(pool, OBJECT, 0, joined([make_page(PAGE_BYTES)])) == 1
    replicator = Replicator(store, run=Slices().add)
    assert replicator.begin(pool, OBJECT, 0, ALL, deadline=1.0) is not None
    drop_pool(store, pool)
    assert not replicator.is_any_replicated
    replicator.replicate_again(2.0)
    assert [each.is_stored for each in replicator.take_done()] == [True]
