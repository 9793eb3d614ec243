"""What a root reaches, what a crash leaves unreached, and what no crash explains."""

from typing import Final

import pytest

from ramsterd.core.family import Family
from ramsterd.core.page import OBJECT_ID_BYTES_MAX, PoolKind
from ramsterd.core.pool_identity import PoolIdentity, PoolUse
from ramsterd.core.table_words import (
    LEAF_PAGES,
    LEAF_SHIFT,
    LEVELS,
    NODE_OBJECT,
    NODE_PLACE,
    NODE_WORDS,
    OBJECT,
    OBJECT_BYTES,
    ZERO,
    pack_place,
    pack_root_of_zeros,
)
from ramsterd.kept.names import KeptPool
from ramsterd.kept.trees import DIRECTORY, NOT_REACHED, Trees, walk_trees

DISK: Final = KeptPool(pool=1, identity=PoolIdentity(use=PoolUse.EXPORT), kind=PoolKind.PERSISTENT)
CACHE: Final = KeptPool(pool=2, identity=PoolIdentity(use=PoolUse.NAMED), kind=PoolKind.EPHEMERAL)
DISK_OBJECT, CACHE_OBJECT, OTHER = 1, 2, 3
# Of the disk: a directory with two leaves and zeros between them.  The cache has one leaf.
ROOT, FIRST, LAST, CACHED, FREE = 2, 3, 4, 5, 6
NODES: Final = 8


class Kept:
    def __init__(self) -> None:
        self.objects = memoryview(bytearray(4 * OBJECT_BYTES))
        self.nodes = memoryview(bytearray(NODES * NODE_WORDS * 8)).cast("Q")
        self.entries = memoryview(bytearray(NODES * LEAF_PAGES * 4)).cast("I")
        self.pools = {1: DISK, 2: CACHE}
        self.make_object(DISK_OBJECT, 1, b"", ROOT)
        self.make_object(CACHE_OBJECT, 2, b"key", CACHED)
        for node, owner, level, base in (
            (ROOT, DISK_OBJECT, 1, 5),
            (FIRST, DISK_OBJECT, 0, 5 * 64),
            (LAST, DISK_OBJECT, 0, 5 * 64 + 63),
            (CACHED, CACHE_OBJECT, 0, 77),
        ):
            self.make_node(node, owner, level, base)
        for place, child in ((0, FIRST), (1, ZERO), (2, ZERO), (63, LAST)):
            self.entries[ROOT << LEAF_SHIFT | place] = child

    def make_object(self, number: int, pool: int, name: bytes, root: int) -> None:
        OBJECT.pack_into(self.objects, number * OBJECT_BYTES, root, pool, len(name), name, 0)

    def make_node(self, node: int, owner: int, level: int, base: int) -> None:
        self.nodes[node * NODE_WORDS + NODE_PLACE] = pack_place(level, base)
        self.nodes[node * NODE_WORDS + NODE_OBJECT] = owner

    def walk(self) -> Trees:
        return walk_trees(
            self.objects,
            self.nodes,
            self.entries,
            self.pools,
            object_spans=[(1, 4)],
            nodes_count=NODES,
        )


def test_leaves_and_directories_are_reached_from_their_roots() -> None:
    found = Kept().walk()
    persistent, ephemeral = int(Family.OWN_PERSISTENT), int(Family.OWN_EPHEMERAL)
    assert list(found.kinds)[ROOT:] == [
        DIRECTORY, persistent, persistent, ephemeral, NOT_REACHED, NOT_REACHED,
    ]  # fmt: skip
    assert found.leaves() == [FIRST, LAST, CACHED]
    assert found.used_entries[ROOT] == 4
    assert [found.first_index[leaf] for leaf in found.leaves()] == [
        5 * 4096, 5 * 4096 + 63 * 64, 77 * 64,
    ]  # fmt: skip
    disk, cache = found.objects
    assert (disk.root, disk.level, disk.base, disk.zeros) == (ROOT, 1, 5, 128)
    assert (cache.object_id, cache.root, cache.zeros) == (b"key", CACHED, 0)


def test_an_object_of_zeros_needs_no_node() -> None:
    kept = Kept()
    kept.make_object(OTHER, 1, b"zeros", pack_root_of_zeros(3, 2))
    other = kept.walk().objects[-1]
    assert (other.root, other.level, other.base, other.zeros) == (ZERO, 3, 2, 1 << 24)


def test_what_was_being_made_or_dropped_is_not_reached() -> None:
    kept = Kept()
    kept.make_object(OTHER, 1, b"new", 0)  # no root yet, or no more
    kept.make_node(FREE, DISK_OBJECT, 0, 5 * 64 + 9)  # its directory does not name it
    kept.entries[ROOT << LEAF_SHIFT] = (
        ZERO  # as when a leaf of zeros is folded: FIRST is still to be freed
    )
    found = kept.walk()
    assert not found.damaged
    assert found.kinds[FREE] == found.kinds[FIRST] == NOT_REACHED
    assert found.objects[0].zeros == 192
    assert len(found.objects) == 2


def test_nothing_is_reached_of_a_pool_that_ended() -> None:
    kept = Kept()
    kept.pools = {
        1: DISK,
        2: KeptPool(
            pool=2, identity=PoolIdentity(use=PoolUse.NAMED), kind=PoolKind.EPHEMERAL, is_ended=True
        ),
    }
    found = kept.walk()
    assert not found.damaged
    assert found.kinds[CACHED] == NOT_REACHED
    assert [each.pool for each in found.objects] == [1]


def test_an_object_whose_pool_nobody_made_may_be_any_pools() -> None:
    """A flipped bit took it from its pool, which would be blank now: no pool can be vouched for."""
    kept = Kept()
    kept.make_object(DISK_OBJECT, 17, b"", ROOT)
    found = kept.walk()
    assert found.damaged == dict.fromkeys(
        (1, 2), f"object {DISK_OBJECT}: of pool 17, which was never made"
    )
    assert not found.objects
    assert not found.leaves()


def spoil_entry(kept: Kept, child: int) -> None:
    kept.entries[ROOT << LEAF_SHIFT | 9] = child


@pytest.mark.parametrize(
    "spoil",
    [
        lambda kept: spoil_entry(kept, FIRST),  # a second time
        lambda kept: spoil_entry(kept, ROOT),  # a circle
        lambda kept: spoil_entry(kept, CACHED),  # another object's
        lambda kept: spoil_entry(kept, FREE),  # nobody's
        lambda kept: spoil_entry(kept, NODES),  # none
        lambda kept: kept.make_node(FIRST, DISK_OBJECT, 0, 5 * 64 + 1),  # elsewhere
        lambda kept: kept.make_node(FIRST, DISK_OBJECT, 1, 5 * 64),  # a directory
        lambda kept: kept.make_node(ROOT, DISK_OBJECT, LEVELS, 0),
        lambda kept: kept.make_node(ROOT, DISK_OBJECT, 1, 1 << 42),
        lambda kept: kept.make_object(DISK_OBJECT, 1, b"", CACHED),
        lambda kept: kept.make_object(DISK_OBJECT, 1, b"", 1 << 40),
        lambda kept: kept.make_object(OTHER, 1, b"", pack_root_of_zeros(0, 0)),  # the same id
        lambda kept: kept.make_object(OTHER, 1, b"x", pack_root_of_zeros(LEVELS, 0)),
        lambda kept: OBJECT.pack_into(
            kept.objects, OBJECT_BYTES, ROOT, 1, OBJECT_ID_BYTES_MAX + 1, b"", 0
        ),
        lambda kept: OBJECT.pack_into(kept.objects, OBJECT_BYTES, ROOT, 1, 1, b"key", 0),
    ],
)
def test_a_tree_that_contradicts_itself_costs_its_pool_and_no_other(spoil) -> None:  # type: ignore[no-untyped-def]
    kept = Kept()
    spoil(kept)
    found = kept.walk()
    assert list(found.damaged) == [1]
    assert len(found.damaged[1].splitlines()) == 1
    assert [each.pool for each in found.objects] == [2]
    assert found.leaves() == [CACHED]


def test_zeros_without_entries_are_for_disks() -> None:
    kept = Kept()
    kept.make_object(CACHE_OBJECT, 2, b"key", pack_root_of_zeros(0, 0))
    assert list(kept.walk().damaged) == [2]
    kept.make_object(CACHE_OBJECT, 2, b"key", CACHED)
    kept.make_node(CACHED, CACHE_OBJECT, 1, 1)
    kept.entries[CACHED << LEAF_SHIFT] = ZERO
    assert list(kept.walk().damaged) == [2]
