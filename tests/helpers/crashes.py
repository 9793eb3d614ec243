"""A process that ends between any two stores of an operation, and what an attach finds of its pages then.

Trees are taken from the store as it is behind the operation, so the operations here make and drop no leaf that they
are asked about.
"""

from collections.abc import Callable, Iterator
from typing import TypeAlias

from ramsterd.core.audit import slots_used
from ramsterd.core.codec import decode_page
from ramsterd.core.page import ZERO_PAGE, PoolId
from ramsterd.core.redo import REDO_COMMIT, replay
from ramsterd.core.rows import FIRST_ROW, ROW, ROW_BYTES
from ramsterd.core.size_classes import BLOCK_SHIFT, CHUNK_BYTES, SLOT_MASK, SLOT_SHIFT
from ramsterd.core.store import Store
from ramsterd.core.table import HOLE, LOST, ZERO
from ramsterd.core.versions import StoreLimits
from ramsterd.core.zbud import Zbud
from ramsterd.kept.repair import repair
from ramsterd.kept.suspects import LEFT_BY_CRASH
from tests.helpers.kept_image import KeptImage
from tests.helpers.kept_memory import KeptMemory
from tests.helpers.recorded_memory import Image, RecordedKeeper, states

BUDGET_BYTES = 36 * 4096
HOLDERS = {7, 8, 9}
# A page, HOLE or LOST; or the holders of a page that is not here.
FoundPage: TypeAlias = bytes | int | tuple[int, ...]


class CrashingStore:
    """A store whose every store is recorded."""

    def __init__(self, *, budget_bytes: int = BUDGET_BYTES) -> None:
        self.memory = RecordedKeeper()
        self.limits = StoreLimits(
            budget_bytes=budget_bytes, budget_bytes_max=budget_bytes, pages_max=256
        )
        self.store = Store(self.memory.map_memory, self.limits)

    def crashes(self, operation: Callable[[], object]) -> "Iterator[Attached]":
        """Run an operation; then yield what is found after each of its stores, and before the first."""
        before = self.memory.image()
        stored = self.memory.record(operation)
        self.store.check_invariants()
        for where, image in [("the start", before), *states(before, stored)]:
            yield Attached(self, image, where)


class Attached:
    """What an attach finds, once it has repaired what it had to."""

    def __init__(self, crashed: CrashingStore, left: Image, where: str) -> None:
        self.where = where
        image = {name: content.whole() for name, content in left.items()}
        self.store = crashed.store
        self.kept = kept = KeptImage(crashed.store, holders=HOLDERS)
        self.arena = memoryview(image["arena"])
        kept.rows = memoryview(image["rows"])
        kept.entries = memoryview(image["entries"]).cast("I")
        kept.slot_rows = memoryview(image["slots"]).cast("I")
        kept.blocks = memoryview(image["blocks"]).cast("Q")[: crashed.store.zbud.blocks_count]
        redo = memoryview(image["redo"])
        replay(redo, kept.rows, self.arena, kept.blocks)
        assert not redo.cast("Q")[REDO_COMMIT]
        found = kept.judge()
        assert {fault for fault, _ in found.faults} <= LEFT_BY_CRASH, where
        assert not found.broken, where
        repair(kept.tables(), found)
        self.judgement = kept.judge()
        assert not self.judgement.repairs, where
        self._adopt_blocks(crashed, image)

    def _adopt_blocks(self, crashed: CrashingStore, image: dict[str, bytearray]) -> None:
        memory, found = KeptMemory(), self.judgement
        for name in ("slots", "blocks"):
            memory(name, len(image[name])).view[:] = image[name]
        zbud = Zbud(
            memory,
            budget_bytes=crashed.limits.budget_bytes,
            budget_bytes_max=crashed.limits.budget_bytes_max,
        )
        zbud.adopt(found.chunks_of_block, found.family_of_block, found.free_slots)
        zbud.check_invariants()
        assert slots_used(zbud) == sum(found.zpages)
        for block in range(1, zbud.blocks_count):
            assert all(found.rows_used[row] for row in zbud.rows(block)), self.where

    def page(self, pool: PoolId, object_id: bytes, index: int) -> FoundPage:
        """Return what a get would."""
        page_object = self.store.pools[pool].find_object(object_id)
        assert page_object is not None
        address, _ = self.store.table.find(page_object, index, 1)
        row = self.kept.entries[address]
        if row < FIRST_ROW:
            assert row in {HOLE, ZERO, LOST}
            return ZERO_PAGE if row == ZERO else row
        _, checksum, its_address, location, packed, *holders = ROW.unpack_from(
            self.kept.rows, row * ROW_BYTES
        )
        assert its_address == address, self.where
        if not location and holders[0]:
            return tuple(filter(None, holders))
        block = location >> SLOT_SHIFT
        chunks = self.judgement.chunks_of_block[block]
        start = (block << BLOCK_SHIFT) + (location & SLOT_MASK) * chunks * CHUNK_BYTES
        return decode_page(packed, self.arena[start : start + (packed & 0x1FFF)], checksum)

    def holders(self, row: int) -> list[int]:
        """Return whom a row names."""
        *_, first, second, third = ROW.unpack_from(self.kept.rows, row * ROW_BYTES)
        return [each for each in (first, second, third) if each]
