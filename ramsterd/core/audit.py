"""What must be true of all versions between calls: tables, rows, slots and counts tell the same story.

Tests ask after each step, and the daemon when an operator says `verify`.
"""

from ramsterd.core.codec import PACKED_FILL, ZPAGE_BYTES_MASK
from ramsterd.core.rows import ADDRESS, FIRST_ROW, HALVES_PER_ROW
from ramsterd.core.table import HOLE, LEAF_PAGES, LEAF_SHIFT
from ramsterd.core.tmem import Pool
from ramsterd.core.versions import Versions
from ramsterd.core.zbud import SLOT_SHIFT, Family


def audit(versions: Versions) -> None:
    """Assert what must be true between calls.  Walks everything."""
    versions.zbud.check_invariants()
    rows_seen = 0
    zpages = [0] * len(Family)
    zbytes = [0] * len(Family)
    for pool in versions.pools:
        for page_object in pool.objects.values():
            assert page_object.leaves, "an object without pages"
            for base, leaf in page_object.leaves.items():
                first = leaf << LEAF_SHIFT
                entries = versions.table.entries[first : first + LEAF_PAGES].tolist()
                assert LEAF_PAGES - entries.count(HOLE) == versions.table.leaf_used[leaf] > 0
                assert versions.table.handle(first) == (page_object, base << LEAF_SHIFT)
                for address, row in enumerate(entries, first):
                    if row < FIRST_ROW:
                        continue
                    rows_seen += 1
                    family = _check_row(versions, pool, address, row)
                    if family is not None:
                        zpages[family] += 1
                        zbytes[family] += versions.packed(row) & ZPAGE_BYTES_MASK
    assert rows_seen == versions.rows.used
    assert zpages == versions.zpages
    assert zbytes == versions.zpage_bytes
    assert sum(zpages) == versions.zbud.slots_used(), "a slot that no row knows of"


def _check_row(versions: Versions, pool: Pool, address: int, row: int) -> Family | None:
    """Assert that row, entry and slot agree; return the family of the zpage, None if it is not here."""
    assert versions.rows.serial(row) > 0
    assert versions.rows.halves[row * HALVES_PER_ROW + ADDRESS] == address
    location = versions.rows.location(row)
    holders = versions.rows.holders(row)
    if not location:
        assert holders or versions.packed(row) == PACKED_FILL, "a page that is nowhere"
        return None
    assert versions.zbud.slot_rows[location] == row
    family = Family(versions.zbud.family_of_block[location >> SLOT_SHIFT])
    assert family is (Family.OWN_CLEAN if holders else pool.family)
    return family
