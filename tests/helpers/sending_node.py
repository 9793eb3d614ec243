"""A store whose pages leave, and what its made-up peers keep of them."""

from ramsterd.core.codec import encode_page
from ramsterd.core.family import Family
from ramsterd.core.foreign_pages import put_zpages
from ramsterd.core.leaving import Leaving, begin_leaving, end_leaving
from ramsterd.core.page import PoolId, PoolKind
from ramsterd.core.pool_identity import owner_pool, program_pool
from ramsterd.core.row_sweep import lose_held_by
from ramsterd.core.store import Store
from tests.helpers import columns
from tests.helpers.disk import OBJECT
from tests.helpers.installing import install
from tests.helpers.made_pages import joined, make_store

A, B, C = 11, 12, 13


class SendingNode:
    """A store with one persistent pool, and the zpages that its peers keep, by serial."""

    def __init__(self) -> None:
        self.store = make_store()
        self.pool = self.store.new_pool(PoolKind.PERSISTENT, program_pool("disk"))
        self.zpages: dict[int, bytes] = {}

    def put(self, index: int, pages: list[bytes]) -> None:
        assert self.store.put(self.pool, OBJECT, index, joined(pages)) == len(pages)

    def begin(self) -> Leaving:
        block = self.store.zbud.oldest(Family.OWN_PERSISTENT)
        assert block is not None
        leaving = begin_leaving(self.store.versions, block)
        start = 0
        for serial, packed in zip(leaving.serials, leaving.packed, strict=True):
            end = start + (packed & 0x1FFF)
            self.zpages[serial] = leaving.body[start:end]
            start = end
        self.store.check_invariants()
        return leaving

    def remotify(self, *holders: int) -> None:
        """Move the oldest block to its holders."""
        leaving = self.begin()
        assert end_leaving(self.store.versions, leaving, holders[0]) == []
        for row in leaving.rows:
            self.store.rows.set_holders(row, holders)
        self.store.check_invariants()

    def send_ephemeral(self, holder: int) -> None:
        """Move the oldest block of ephemeral pages to a holder."""
        block = self.store.zbud.oldest(Family.OWN_EPHEMERAL)
        assert block is not None
        leaving = begin_leaving(self.store.versions, block)
        for serial, row in zip(leaving.serials, leaving.rows, strict=True):
            self.zpages[serial] = bytes(self.store.versions.zpage(row))
        assert end_leaving(self.store.versions, leaving, holder) == []
        self.store.check_invariants()

    def elsewhere(self, index: int, count: int = 1) -> list[int]:
        """Return the rows of the pages of a run that only peers have."""
        return [row for _, row in self.store.get(self.pool, OBJECT, index, count).elsewhere]

    def fetch(self, row: int) -> bool:
        installed = install(self.store.room, row, self.zpages[self.store.rows.serial(row)])
        self.store.check_invariants()
        return installed

    def lose(self, holder: int) -> int:
        """Sweep for a dead holder in small slices."""
        row, lost = 0, 0
        for _ in range(self.store.rows.high):
            swept = lose_held_by(self.store.room, holder, row, 3)
            row, lost_here = swept.next_row, swept.lost
            self.store.check_invariants()
            lost += lost_here
            if not row:
                return lost
        raise AssertionError("the sweep does not end")


def put_foreign(store: Store, pool: PoolId, versions: dict[int, bytes]) -> int:
    encoded = [encode_page(page) for page in versions.values()]
    stored = put_zpages(
        store,
        pool,
        *columns.of_zpages(
            versions,
            [checksum for _, _, checksum in encoded],
            [packed for packed, _, _ in encoded],
        ),
        memoryview(b"".join(zpage for _, zpage, _ in encoded)),
    )
    store.check_invariants()
    return stored


def foreign_pool(node: SendingNode, kind: PoolKind) -> PoolId:
    return node.store.new_pool(kind, owner_pool(2, 1))
