"""What a kept memory would hold if this store's process ended now: copies of its mappings, and the columns that live in its heap, written out."""

from array import array
from collections import Counter

from ramsterd.core.page import PoolId
from ramsterd.core.rows import FIRST_ROW
from ramsterd.core.size_classes import SLOT_SHIFT, SLOTS_MAX, SLOTS_OF_CLASS
from ramsterd.core.store import Store
from ramsterd.core.table_words import (
    FIRST_OBJECT,
    LEAF_SHIFT,
    NODE_OBJECT,
    NODE_PLACE,
    NODE_WORDS,
)
from ramsterd.kept.judge import Judgement, Tables, judge
from ramsterd.kept.names import KeptPool
from ramsterd.kept.trees import DIRECTORY, NOT_REACHED, Trees, walk_trees


class KeptImage:
    """Buffers as an attach finds them; tests may change them before they are judged."""

    def __init__(self, store: Store, *, holders: set[int]) -> None:
        nodes, nodes_count = store.table.nodes, len(store.table.leaf_used)
        self.store = store
        self.holders = set(holders)
        self.serial_limit = store.versions.serial_last
        self.rows = memoryview(bytearray(store.rows.view))
        self.entries = memoryview(bytearray(store.table.entries)).cast("I")
        self.slot_rows = memoryview(bytearray(store.zbud.slot_rows)).cast("I")
        self.nodes = memoryview(array("Q", bytes(8 * NODE_WORDS * nodes_count)))
        for column, words in ((NODE_PLACE, nodes.places), (NODE_OBJECT, nodes.objects)):
            self.nodes[column::NODE_WORDS] = words[:nodes_count]
        objects = store.table.objects
        self.objects = memoryview(bytearray(objects._view))
        self.object_spans = list(objects._items.live_spans(FIRST_OBJECT, objects._items.high))
        blocks = store.zbud.words[: store.zbud.blocks_count]
        self.blocks = memoryview(array("Q", blocks.tolist()))
        self.pools = {
            int(pool.pool): KeptPool(
                pool=pool.pool,
                identity=pool.identity,
                kind=pool.kind,
            )
            for pool in store.pools
        }

    def walk(self) -> Trees:
        return walk_trees(
            self.objects,
            self.nodes,
            self.entries,
            self.pools,
            object_spans=self.object_spans,
            nodes_count=len(self.nodes) // NODE_WORDS,
        )

    def tables(self) -> Tables:
        return Tables(
            rows=self.rows,
            row_spans=list(self.store.rows.live_spans(FIRST_ROW, self.store.rows.high)),
            entries=self.entries,
            slot_rows=self.slot_rows,
            blocks=self.blocks,
            trees=self.walk(),
            serial_limit=self.serial_limit,
            holders=self.holders,
        )

    def judge(self) -> Judgement:
        return judge(self.tables())

    def check(self) -> None:
        """A judgement vouches for all that the store has, and finds it where it is."""
        trees, found, store = self.walk(), self.judge(), self.store
        assert not trees.damaged
        assert not found.faults
        assert not found.repairs
        assert (found.zpages, found.zpage_bytes) == (
            store.versions.zpages,
            store.versions.zpage_bytes,
        )
        for node, kind in enumerate(trees.kinds):
            used = trees.used_entries if kind == DIRECTORY else found.leaf_used
            assert used[node] == (store.table.leaf_used[node] if kind != NOT_REACHED else 0)
        assert sum(kind != NOT_REACHED for kind in trees.kinds) == store.table.nodes.used
        assert sum(found.rows_used) == store.rows.used
        for block in range(1, store.zbud.blocks_count):
            if store.zbud.is_free(block):
                continue
            first, mask = block << SLOT_SHIFT, found.free_slots[block]
            rows = store.zbud.slot_rows[first : first + SLOTS_MAX].tolist()
            slots = SLOTS_OF_CLASS[store.zbud.chunks_of_block[block]]
            used_rows = [row for slot, row in enumerate(rows[:slots]) if not mask >> slot & 1]
            assert used_rows == store.zbud.rows(block)
        assert {(each.pool, each.object_id) for each in trees.objects} == {
            (pool.pool, object_id) for pool in store.pools for object_id in pool.objects
        }
        for each in trees.objects:
            page_object = store.pools[PoolId(each.pool)].objects[each.object_id]
            assert (each.root, each.level * LEAF_SHIFT, each.base) == (
                page_object.root, page_object.shift, page_object.prefix,
            )  # fmt: skip
        pages = Counter({each.pool: 0 for each in trees.objects})
        for each in trees.objects:
            pages[each.pool] += each.zeros
        for leaf in trees.leaves():
            pages[store.table.first_of_leaf(leaf)[0].pool] += found.leaf_used[leaf]
        assert +pages == +Counter({pool.pool: pool.tally.pages for pool in store.pools})
        named = Counter(
            holder
            for row, used in enumerate(found.rows_used)
            if used
            for holder in store.rows.holders(row)
        )
        assert named == found.holder_pages
