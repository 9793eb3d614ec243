"""Going on with the page table that an earlier process left in its mappings.

The judge of kept memory (ramsterd.kept) says which nodes roots lead to, and what these have.  Pools
are there again before.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ramsterd.core.frames import Flags
from ramsterd.core.page import PoolId
from ramsterd.core.table import LEAF_SHIFT, PageObject
from ramsterd.core.versions import Versions


@dataclass(frozen=True, slots=True)
class FoundObject:
    """An object with pages, and where its tree begins."""

    number: int
    pool: int
    object_id: bytes
    # A node, or ZERO.
    root: int
    level: int
    base: int
    # Pages that directories say are zeros, which no leaf has.
    zeros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundTable:
    """All trees; all else in their mappings is free."""

    objects: Sequence[FoundObject]
    # By node: 1 if a root leads to it; and how many entries are not HOLE.
    nodes_used: Flags
    used_entries: Flags
    leaves: Sequence[int]


def adopt_table(versions: Versions, found: FoundTable) -> None:
    """Have objects, nodes and the counts of pages as they are found.

    Of rows and zpages nothing is done here.

    No object of a pool that ended is among them: their records are free from now on, and so is the
    pool's number.
    """
    page_objects: list[PageObject] = []
    for each in found.objects:
        pool = versions.pools[PoolId(each.pool)]
        page_object = PageObject(
            pool.pool,
            each.object_id,
            pool.tally,
            each.root,
            LEAF_SHIFT * each.level,
            each.base,
            each.number,
        )
        pool.objects[each.object_id] = page_object
        pool.tally.pages += each.zeros
        page_objects.append(page_object)
    versions.table.adopt(
        page_objects,
        nodes_used=found.nodes_used,
        used_entries=found.used_entries,
        leaves=found.leaves,
    )
    for page_object in page_objects:
        versions.forget_if_empty(versions.pools[page_object.pool], page_object)
