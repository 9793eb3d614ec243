"""From above the high watermark to below the low one, and no further."""

from ramsterd.core.page import PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.remote.send.reclaim import Reclaim
from tests.helpers.dropping import drop_run
from tests.helpers.made_pages import MIB, joined, make_run, make_store

HIGH, LOW = 480, 440  # pages of 512, near the watermarks


class Filled(Reclaim):
    """Of a store with so many pages."""

    def __init__(self, pages: int) -> None:
        self.store = make_store(2 * MIB)
        super().__init__(self.store)
        self.pool = self.store.new_pool(PoolKind.PERSISTENT, program_pool("disk"))
        assert self.store.put(self.pool, b"", 0, joined(make_run(4096, pages))) == pages

    def drop(self, pages: int) -> None:
        drop_run(self.store, self.pool, b"", 0, pages)
        self.store.zbud.trim()


def test_between_the_watermarks_it_does_not_begin() -> None:
    reclaim = Filled(LOW + 16)
    assert reclaim.must_shrink()
    assert not reclaim.is_short
    assert not reclaim.is_active()


def test_above_the_high_watermark_it_begins_and_goes_on_below() -> None:
    reclaim = Filled(HIGH)
    assert reclaim.is_active()
    reclaim.drop(32)
    assert not reclaim.is_short
    assert reclaim.is_active()


def test_what_is_on_its_way_counts_as_gone() -> None:
    reclaim = Filled(HIGH)
    reclaim.leaving_bytes = 1 * MIB
    assert not reclaim.must_shrink()
    assert not reclaim.is_active()


def test_it_begins_when_it_is_told_to() -> None:
    reclaim = Filled(LOW + 16)
    reclaim.begin()
    assert reclaim.is_active()


def test_what_ephemeral_pages_filled_they_alone_pay_for() -> None:
    reclaim = Filled(HIGH)
    assert reclaim.is_active()
    reclaim.on_ephemeral_next()
    reclaim.drop(32)
    assert not reclaim.is_active(), "no ephemeral page is left, and it is not short any more"


def test_what_was_freed_a_moment_ago_is_room_though_it_is_resident() -> None:
    """Warm blocks are used again first: on both sides of the watermarks they are no use of memory."""
    reclaim = Filled(HIGH)
    assert reclaim.is_active()
    drop_run(reclaim.store, reclaim.pool, b"", 0, HIGH - LOW + 16)
    assert reclaim.store.zbud.resident_bytes > reclaim.target_bytes
    assert not reclaim.must_shrink()
