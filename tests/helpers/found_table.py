"""The page table that a process leaves: looked at, read, and adopted by another one."""

from ramsterd.core.arena import HeapMapping, MapMemory
from ramsterd.core.frames import TableMemory
from ramsterd.core.nodes import Nodes
from ramsterd.core.objects import PageObject, Tally
from ramsterd.core.page import PoolId, PoolKind
from ramsterd.core.pool_identity import PoolIdentity, PoolUse
from ramsterd.core.table import PageTable
from ramsterd.core.table_words import HOLE, LEAF_PAGES, LEAF_SHIFT, OBJECT_BYTES, ZERO
from ramsterd.kept.names import KeptPool
from ramsterd.kept.trees import Trees, walk_trees
from tests.helpers.recorded_memory import Image

POOL = PoolId(1)
DISK = KeptPool(pool=POOL, identity=PoolIdentity(use=PoolUse.EXPORT), kind=PoolKind.PERSISTENT)
# By object id and index: the entries of all pages that are no holes.
Entries = dict[tuple[bytes, int], int]


def maps_of(image: Image) -> MapMemory:
    """Return what maps copies of an image; what it has no bytes of is empty."""

    def map_memory(name: str, length: int) -> HeapMapping:
        mapping = HeapMapping(name, length)
        if name in image:
            image[name].fill(mapping.view)
        return mapping

    return map_memory


def walk(image: Image) -> Trees:
    """Return what roots lead to."""
    entries = memoryview(image["entries"].whole()).cast("I")
    return walk_trees(
        memoryview(image["objects"].whole()),
        memoryview(image["nodes"].whole()).cast("Q"),
        entries,
        {int(POOL): DISK},
        object_spans=[(1, image["objects"].length // OBJECT_BYTES)],
        nodes_count=len(entries) // LEAF_PAGES,
    )


def adopt(image: Image, nodes_max: int) -> tuple[PageTable, dict[bytes, PageObject]]:
    """Return a page table that goes on with an image, and its objects by id."""
    found, memory = walk(image), TableMemory(1 << 30)
    assert not found.damaged
    entries = memoryview(image["entries"].whole()).cast("I")
    leaf_used = bytearray(len(found.kinds))
    for leaf in found.leaves():
        start = leaf << LEAF_SHIFT
        leaf_used[leaf] = LEAF_PAGES - entries[start : start + LEAF_PAGES].tolist().count(HOLE)
    found_table, tally = found.table(leaf_used), Tally(sum(each.zeros for each in found.objects))
    page_objects = {
        each.object_id: PageObject(
            POOL, each.object_id, tally, each.root, LEAF_SHIFT * each.level, each.base, each.number
        )
        for each in found.objects
    }
    table = PageTable(maps_of(image), memory, nodes_max)
    table.adopt(
        list(page_objects.values()),
        nodes_used=found_table.nodes_used,
        used_entries=found_table.used_entries,
        leaves=found_table.leaves,
    )
    return table, {name: each for name, each in page_objects.items() if each.root}


def check_table(table: PageTable, page_objects: dict[bytes, PageObject]) -> None:
    """Assert that counts and records are those of a table that was never ended."""
    table.check_invariants()
    nodes = _count_nodes(table.nodes, page_objects)
    assert table.nodes.used == nodes
    assert table.nodes.empty() == []
    assert table.objects.used == len(page_objects)
    assert table.objects._memory.used_bytes == table.resident_bytes()
    for each in page_objects.values():
        assert table.objects.record(each.number) == (each.root_word, POOL, each.object_id)
        assert each.tally.pages == len(entries_of(table, page_objects))


def _count_nodes(nodes: Nodes, page_objects: dict[bytes, PageObject]) -> int:
    to_do, count = [(each.root, each.shift) for each in page_objects.values()], 0
    while to_do:
        node, shift = to_do.pop()
        if node in {HOLE, ZERO}:
            continue
        count += 1
        if shift:
            start = node << LEAF_SHIFT
            below = nodes.entries[start : start + LEAF_PAGES].tolist()
            to_do += [(child, shift - LEAF_SHIFT) for child in below]
    return count


def entries_of(table: PageTable, page_objects: dict[bytes, PageObject]) -> Entries:
    """Return all pages."""
    found: Entries = {}
    for name, page_object in page_objects.items():
        for start, run, leaf in table.pieces(page_object, 0, 1 << 48):
            if leaf == ZERO:
                found.update({(name, index): ZERO for index in range(start, start + run)})
                continue
            for index, entry in enumerate(table.entries_of(leaf, start, run).tolist(), start):
                if entry != HOLE:
                    found[name, index] = entry
    return found
