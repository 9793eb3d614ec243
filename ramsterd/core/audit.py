"""What must be true of all versions between calls: tables, rows, slots and counts tell the same story.

Tests ask for all of it after each step.  A daemon that serves is asked a slice at a time
(`Auditor`): then pages come and go between two slices, so what is compared is each page, leaf and
block with what stands around it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ramsterd.core.codec import PACKED_FILL
from ramsterd.core.family import Family
from ramsterd.core.objects import PageObject
from ramsterd.core.pools import Pool
from ramsterd.core.rows import FIRST_ROW
from ramsterd.core.size_classes import SLOT_SHIFT
from ramsterd.core.slices import Steps
from ramsterd.core.table_words import (
    FIRST_NODE,
    HOLE,
    LEAF_PAGES,
    LEAF_SHIFT,
    ZERO,
    pack_place,
)
from ramsterd.core.versions import Versions
from ramsterd.core.zbud import Zbud

# About what it costs to check a block, in units of work.
_BLOCK_UNITS: Final = 32


def audit(versions: Versions) -> None:
    """Assert what must be true between calls.  Walks everything."""
    versions.zbud.check_invariants()
    versions.rows.check_invariants()
    versions.table.check_invariants()
    rows_seen = nodes_seen = objects_seen = 0
    zpages = [0] * len(Family)
    zbytes = [0] * len(Family)
    for pool in versions.pools:
        pages = lost = 0
        for page_object in pool.objects.values():
            assert page_object.root, "an object without pages"
            record = page_object.root_word, page_object.pool, page_object.object_id
            assert versions.table.objects.record(page_object.number) == record
            objects_seen += 1
            nodes, leaves, its_pages = _walk_tree(versions, page_object)
            nodes_seen += nodes
            pages += its_pages
            for leaf in leaves:
                lost += versions.table.count_lost(leaf)
                for row in audit_leaf(versions, leaf):
                    rows_seen += 1
                    family = _check_row(versions, pool, row)
                    if family is not None:
                        zpages[family] += 1
                        zbytes[family] += versions.zbytes(row)
        assert pages == pool.tally.pages
        assert lost <= pool.tally.lost
    assert rows_seen == versions.rows.used
    assert nodes_seen == versions.table.nodes.used
    assert objects_seen == versions.table.objects.used
    assert zpages == versions.zpages
    assert zbytes == versions.zpage_bytes
    assert sum(zpages) == slots_used(versions.zbud), "a slot that no row knows of"
    assert versions.tables.used_bytes == versions.tables_resident_bytes()


def slots_used(zbud: Zbud) -> int:
    """Count the slots that hold a zpage.  Walks all blocks."""
    used = [block for block in range(zbud.blocks_count) if not zbud.is_free(block)]
    return sum(len(zbud.rows(block)) for block in used)


def _walk_tree(versions: Versions, page_object: PageObject) -> tuple[int, list[int], int]:
    """Check the directories of an object.

    Return how many nodes it has, its leaves, and how many pages.
    """
    nodes, leaves, pages = 0, [], 0
    # Node, the bits of an index that it covers, and those above.
    found = [(page_object.root, page_object.shift + LEAF_SHIFT, page_object.prefix)]
    while found:
        node, bits, prefix = found.pop()
        if node == ZERO:
            assert versions.pools[page_object.pool].is_disk, "zeros that a flush may leave"
            pages += 1 << bits
            continue
        assert node >= FIRST_NODE
        nodes += 1
        place = pack_place(bits // LEAF_SHIFT - 1, prefix)
        assert versions.table.nodes.places[node] == place, "a node that stands elsewhere"
        assert versions.table.nodes.objects[node] == page_object.number
        if bits == LEAF_SHIFT:
            leaves.append(node)
            pages += versions.table.leaf_used[node]
            first = node << LEAF_SHIFT
            assert versions.table.handle(first) == (page_object, prefix << LEAF_SHIFT)
            continue
        assert versions.table.nodes.page_object[node] is None, "a directory that looks like a leaf"
        start = node << LEAF_SHIFT
        below = versions.table.entries[start : start + LEAF_PAGES].tolist()
        assert LEAF_PAGES - below.count(HOLE) == versions.table.leaf_used[node] > 0
        found += [
            (child, bits - LEAF_SHIFT, prefix << LEAF_SHIFT | place)
            for place, child in enumerate(below)
            if child
        ]
    return nodes, leaves, pages


def audit_leaf(versions: Versions, leaf: int) -> list[int]:
    """Assert that a leaf and its rows agree; return the rows."""
    first = leaf << LEAF_SHIFT
    entries = versions.table.entries[first : first + LEAF_PAGES].tolist()
    assert LEAF_PAGES - entries.count(HOLE) == versions.table.leaf_used[leaf] > 0
    page_object, index = versions.table.handle(first)
    assert versions.table.find(page_object, index, 1)[0] == first, "a leaf that nobody finds"
    for address, row in enumerate(entries, first):
        if row >= FIRST_ROW:
            assert versions.rows.address(row) == address
    return [row for row in entries if row >= FIRST_ROW]


def _check_row(versions: Versions, pool: Pool, row: int) -> Family | None:
    """Assert that row and slot agree; return the family of the zpage, None if it is not here."""
    assert versions.rows.serial(row) > 0
    location = versions.rows.location(row)
    holders = versions.rows.holders(row)
    if not location:
        assert holders or versions.rows.packed(row) == PACKED_FILL, "a page that is nowhere"
        return None
    assert versions.zbud.slot_rows[location] == row
    family = Family(versions.zbud.family_of_block[location >> SLOT_SHIFT])
    assert family is (Family.OWN_CLEAN if holders else pool.family)
    return family


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditStatistics:
    """The audit that runs or ran last; `problem` is what did not agree, or empty."""

    is_running: bool
    # Its number: how many have begun; and whether it was ended before its time.
    audits_total: int
    is_cancelled: bool
    leaves_checked: int
    blocks_checked: int
    problem: str


class Auditor:
    """Checks all leaves and blocks, in the order of their numbers, as slices.

    What it finds of lost pages on the way is what there are: no other place counts those that were
    put anew.
    """

    def __init__(self, versions: Versions) -> None:
        self._versions = versions
        self._is_running = self._is_cancelled = False
        self._audits = 0
        self._leaves = self._blocks = 0
        self._problem = ""

    def begin(self, run: Callable[[Steps], None]) -> None:
        """Have `run` do it (`core.slices`); one that runs goes on."""
        if not self._is_running:
            self._is_running, self._is_cancelled = True, False
            self._audits += 1
            self._leaves = self._blocks = 0
            self._problem = ""
            run(self._steps())

    def cancel(self) -> None:
        """End one that runs, at its next slice."""
        self._is_cancelled = self._is_running

    def _steps(self) -> Steps:
        try:
            yield from self._check_leaves()
            yield from self._check_blocks()
        except AssertionError as error:
            self._problem = (
                str(error) or f"leaf {self._leaves} or block {self._blocks} of those checked"
            )
        self._is_running = False

    def _check_leaves(self) -> Steps:
        leaf, table, pools = 0, self._versions.table, self._versions.pools
        # Of pools with lost pages: those that were lost before, and those of them that are found.
        before = {pool.pool: pool.tally.lost_total for pool in pools if pool.tally.lost}
        found = dict.fromkeys(before, 0)
        while leaf < len(table.leaf_used) and not self._is_cancelled:
            rows: list[int] = []
            if table.is_leaf_used(leaf):
                page_object, _ = table.handle(leaf << LEAF_SHIFT)
                rows = audit_leaf(self._versions, leaf)
                for row in rows:
                    _check_row(self._versions, pools[page_object.pool], row)
                if page_object.pool in found:
                    found[page_object.pool] += table.count_lost(leaf)
                self._leaves += 1
            leaf += 1
            self._versions.work["audit"] += 1 + 2 * len(rows)
            yield 1 + 2 * len(rows)
        for pool_id, lost_total in before.items():
            if pool_id in pools and not self._is_cancelled:
                tally = pools[pool_id].tally
                # What was lost meanwhile counts on: whether it was found depends on the leaf.
                tally.settled_total = max(tally.settled_total, lost_total - found[pool_id])

    def _check_blocks(self) -> Steps:
        block, zbud, rows = 1, self._versions.zbud, self._versions.rows
        while block < zbud.blocks_count and not self._is_cancelled:
            zbud.check_block(block)
            for row in [] if zbud.is_free(block) else zbud.rows(block):
                assert rows.location(row) >> SLOT_SHIFT == block, "a slot that no row knows of"
                address = rows.address(row)
                assert self._versions.table.entries[address] == row, "a row that no entry names"
            self._blocks += 1
            block += 1
            self._versions.work["audit"] += _BLOCK_UNITS
            yield _BLOCK_UNITS

    def statistics(self) -> AuditStatistics:
        """Return a snapshot."""
        return AuditStatistics(
            is_running=self._is_running,
            audits_total=self._audits,
            is_cancelled=self._is_cancelled,
            leaves_checked=self._leaves,
            blocks_checked=self._blocks,
            problem=self._problem,
        )
