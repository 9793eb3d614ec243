"""Which pages of a kept memory can be vouched for.  Pure.

An entry of a reached leaf is the only thing that makes a version count, and rows and slots prove
themselves: a row names its entry (`address`), a slot names its row (`slot_rows`).  Each is one
number, so nothing is reached twice; and if as many rows are named by their own entry as there are
entries that name rows, then each of these is.

One loop goes through the rows in the order in which they stand and looks for what is not as rows
mostly are; that is judged one by one (`kept.suspects`).  Nothing is changed here: `Judgement` says
what is to be repaired, and what stands where after that.
"""

from array import array
from collections import Counter
from collections.abc import Sequence, Set as AbstractSet
from dataclasses import dataclass, field
from itertools import compress
from typing import Final

from ramsterd.core.codec import PACKED_FILL, ZPAGE_BYTES_MASK
from ramsterd.core.family import Family
from ramsterd.core.rows import FIRST_ROW, ROW, ROW_BYTES
from ramsterd.core.size_classes import SLOT_SHIFT, SLOTS_MAX, SLOTS_OF_CLASS
from ramsterd.core.table_words import HOLE, LEAF_PAGES, LEAF_SHIFT, LOST, ZERO
from ramsterd.kept.block_words import Blocks
from ramsterd.kept.layout import Span
from ramsterd.kept.suspects import (
    FILLED,
    GOOD_SHAPES,
    NO_HOLDERS,
    NO_SLOT,
    NOT_HERE,
    VALID_PACKED,
    Fault,
    FoundRow,
    Holders,
    are_holders_normal,
    judge_row,
    normal_holders,
)
from ramsterd.kept.trees import DIRECTORY, Trees

_CLEAN: Final = int(Family.OWN_CLEAN)
_PERSISTENT: Final = int(Family.OWN_PERSISTENT)
_EPHEMERAL: Final = int(Family.OWN_EPHEMERAL)
_FOREIGN_FIRST: Final = int(Family.FOREIGN_PERSISTENT)
_PLACE_MASK: Final = LEAF_PAGES - 1

assert max(Family.OWN_PERSISTENT, Family.OWN_EPHEMERAL, Family.OWN_CLEAN) < _FOREIGN_FIRST
assert 1 + max(HOLE, ZERO, LOST) == FIRST_ROW


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The mappings of a kept memory, as far as pages are judged by them."""

    rows: memoryview
    # The rows whose memory is there: to read a hole would make it resident.
    row_spans: Sequence[Span]
    # 32-bit words.
    entries: memoryview
    slot_rows: memoryview
    # 64-bit words, one for each block that was ever used, block 0 too.
    blocks: memoryview
    trees: Trees
    # No serial of ours beyond it was ever used.
    serial_limit: int
    # Whom rows may name.
    holders: AbstractSet[int]


@dataclass(slots=True, kw_only=True)
class Judgement:
    """What is to be repaired, and what stands where after that."""

    # By row: location and holders; by address: LOST or HOLE; by block: its family.
    rows_to_repair: dict[int, tuple[int, Holders]] = field(default_factory=dict)
    entries_to_repair: dict[int, int] = field(default_factory=dict)
    blocks_to_repair: dict[int, Family] = field(default_factory=dict)
    # By fault and family of the pool; and those pages of them that are not to be had any more.
    faults: "Counter[tuple[Fault, Family]]" = field(default_factory=Counter)
    broken: "Counter[Family]" = field(default_factory=Counter)
    # By row: 1 if it is in use.
    rows_used: bytearray
    # By location: the bytes of the zpage, 0 if the slot is free.
    slot_zbytes: "array[int]"
    # By node: how many entries of a leaf are not HOLE.
    leaf_used: bytearray
    # By block: its class (0: it is none), its family, and a bit for each free slot; without a zpage
    # the block is free.
    chunks_of_block: bytearray
    family_of_block: bytearray
    free_slots: "array[int]"
    zpages: list[int]
    zpage_bytes: list[int]
    # By holder id.
    holder_pages: "Counter[int]" = field(default_factory=Counter)

    @property
    def repairs(self) -> int:
        """How many rows, entries and blocks are to be repaired."""
        return len(self.rows_to_repair) + len(self.entries_to_repair) + len(self.blocks_to_repair)


def judge(tables: Tables) -> Judgement:
    """Judge each page that a leaf names."""
    return _Judge(tables).judge()


class _Judge:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._blocks = Blocks(tables.blocks)
        # Rows that are named by their own entry.
        self._named = 0
        # How many rows have these holders, all of whom are known.
        self._pages_at: dict[Holders, int] = {}
        # Clean blocks with a page that no holder has.
        self._alone: set[int] = set()
        self._found = Judgement(
            rows_used=bytearray(len(tables.rows) // ROW_BYTES),
            slot_zbytes=array("H", bytes(2 * len(self._blocks.family_of_slot))),
            leaf_used=bytearray(len(tables.trees.kinds)),
            chunks_of_block=self._blocks.chunks,
            family_of_block=self._blocks.families,
            free_slots=array("I"),
            zpages=[0] * len(Family),
            zpage_bytes=[0] * len(Family),
        )

    def judge(self) -> Judgement:
        for first, stop in self._tables.row_spans:
            for row in self._judge_rows(first, stop):
                self._judge_suspect(row)
        self._judge_leaves()
        for holders, pages in self._pages_at.items():
            self._count_holders(holders, pages)
        for block in sorted(self._alone):
            self._make_ours_alone(block)
        for block, chunks in enumerate(self._found.chunks_of_block):
            self._count_block(block, chunks)
        return self._found

    # Rows.

    def _judge_rows(self, first: int, stop: int) -> list[int]:
        """Note the rows that are named and as they should be.

        Return those that are named and are not.

        A loop over millions: all that it touches is a local name.
        """
        tables, found, blocks = self._tables, self._found, self._blocks
        entries, slot_rows, serial_limit = tables.entries, tables.slot_rows, tables.serial_limit
        kinds, first_index = tables.trees.kinds, tables.trees.first_index
        families, room, slots_count = (
            blocks.family_of_slot, blocks.bytes_of_slot, len(blocks.family_of_slot),
        )  # fmt: skip
        rows_used, slot_zbytes, pages_at = found.rows_used, found.slot_zbytes, self._pages_at
        entries_count, named, suspects = len(kinds) << LEAF_SHIFT, 0, list[int]()
        rows = ROW.iter_unpack(tables.rows[first * ROW_BYTES : stop * ROW_BYTES])
        for row, (serial, _, address, location, packed, one, two, three) in enumerate(rows, first):
            if not serial or address >= entries_count or entries[address] != row:
                continue  # free
            leaf = address >> LEAF_SHIFT
            family = kinds[leaf]
            if family >= DIRECTORY:
                continue  # free: no root leads to what names it
            named += 1
            zbytes = packed & ZPAGE_BYTES_MASK
            if not location:
                where = FILLED if packed == PACKED_FILL else NOT_HERE
            elif (
                location < slots_count
                and slot_rows[location] == row
                and 0 < zbytes <= room[location]
            ):
                where = families[location]
            else:
                where = NO_SLOT
            holders = (one, two, three)
            if (
                (family, where, holders != NO_HOLDERS) not in GOOD_SHAPES
                or packed not in VALID_PACKED
                or (
                    serial > serial_limit
                    if family < _FOREIGN_FIRST
                    else serial != first_index[leaf] | address & _PLACE_MASK
                )
                or (holders not in pages_at and not self._are_known(holders))
            ):
                suspects.append(row)
                continue
            rows_used[row] = 1
            if location:
                slot_zbytes[location] = zbytes
            pages_at[holders] += 1
        self._named += named
        return suspects

    def _are_known(self, holders: Holders) -> bool:
        """Whether rows may have these holders; if so, that is kept in mind."""
        is_good = are_holders_normal(holders) and self._tables.holders >= {*holders} - {0}
        if is_good:
            self._pages_at[holders] = 0
        return is_good

    def _judge_suspect(self, row: int) -> None:
        """Judge a row that its own entry names."""
        serial, _, address, location, packed, *holders = self._read(row)
        trees, leaf = self._tables.trees, address >> LEAF_SHIFT
        family = trees.kinds[leaf]
        slot = self._blocks.slot(location, packed & ZPAGE_BYTES_MASK)
        verdict = judge_row(
            FoundRow(
                family=family,
                is_serial_used=(
                    serial <= self._tables.serial_limit
                    if family < _FOREIGN_FIRST
                    else serial == trees.first_index[leaf] | address & _PLACE_MASK
                ),
                packed=packed,
                location=location,
                slot=slot
                if slot == NO_SLOT or self._tables.slot_rows[location] == row
                else NO_SLOT,
                holders=tuple(holders),
            ),
            self._tables.holders,
        )
        if verdict.is_broken:
            assert verdict.fault is not None
            self._break(address, family, verdict.fault)
            return
        if verdict.fault is not None:
            self._found.faults[verdict.fault, Family(family)] += 1
        if verdict.location and slot == _CLEAN and not verdict.holders:
            self._alone.add(location >> SLOT_SHIFT)
        self._repair_row(row, verdict.location, verdict.holders)
        self._found.rows_used[row] = 1
        if verdict.location:
            self._found.slot_zbytes[location] = packed & ZPAGE_BYTES_MASK
        self._count_holders(verdict.holders, 1)

    def _read(self, row: int) -> tuple[int, ...]:
        return ROW.unpack_from(self._tables.rows, row * ROW_BYTES)

    def _repair_row(self, row: int, location: int, holders: Holders) -> None:
        _, _, _, before, _, *holders_before = self._read(row)
        if (location, *normal_holders(holders)) != (before, *holders_before):
            self._found.rows_to_repair[row] = location, holders

    def _count_holders(self, holders: Holders, pages: int) -> None:
        for holder in filter(None, holders):
            self._found.holder_pages[holder] += pages

    def _break(self, address: int, family: int, fault: Fault) -> None:
        """A page is not to be had any more."""
        found, is_lost = self._found, family == _PERSISTENT
        found.faults[fault, Family(family)] += 1
        if (fault, family) != (Fault.NOWHERE, _EPHEMERAL):
            # Else its last copy was given up, and a miss is what was to come.
            found.broken[Family(family)] += 1
        found.entries_to_repair[address] = LOST if is_lost else HOLE

    # Leaves.

    def _judge_leaves(self) -> None:
        """Count what leaves have.

        If their entries name more rows than there are that name them, some are broken.
        """
        trees, named = self._tables.trees, 0
        leaves = trees.leaves()
        for leaf in leaves:
            entries = self._entries_of(leaf)
            used = self._found.leaf_used[leaf] = LEAF_PAGES - entries.count(HOLE)
            named += used - entries.count(ZERO) - entries.count(LOST)
        if named != self._named:
            for leaf in leaves:
                for address, row in enumerate(self._entries_of(leaf), leaf << LEAF_SHIFT):
                    if row >= FIRST_ROW and not self._is_its(row, address):
                        self._break(address, trees.kinds[leaf], Fault.NO_ROW)
        for address, entry in self._found.entries_to_repair.items():
            self._found.leaf_used[address >> LEAF_SHIFT] -= entry == HOLE

    def _entries_of(self, leaf: int) -> list[int]:
        start = leaf << LEAF_SHIFT
        entries: list[int] = self._tables.entries[start : start + LEAF_PAGES].tolist()
        return entries

    def _is_its(self, row: int, address: int) -> bool:
        """Whether a row that an entry names, names the entry."""
        if row >= len(self._found.rows_used):
            return False
        serial, _, its_address, *_ = self._read(row)
        return serial > 0 and its_address == address

    # Blocks.

    def _make_ours_alone(self, block: int) -> None:
        """A clean block of which some page has no holder is not clean any more: none of its pages has one."""
        found, first = self._found, block << SLOT_SHIFT
        rows = self._tables.slot_rows[first : first + SLOTS_MAX].tolist()
        for row in compress(rows, found.slot_zbytes[first : first + SLOTS_MAX]):
            _, _, _, location, _, *holders = self._read(row)
            repaired = found.rows_to_repair.get(row)
            self._count_holders(tuple(holders) if repaired is None else repaired[1], -1)
            self._repair_row(row, location, ())
        found.family_of_block[block] = _PERSISTENT
        found.blocks_to_repair[block] = Family.OWN_PERSISTENT

    def _count_block(self, block: int, chunks: int) -> None:
        found, first, slots = self._found, block << SLOT_SHIFT, SLOTS_OF_CLASS[chunks]
        zbytes = found.slot_zbytes[first : first + slots].tolist()
        free = zbytes.count(0)
        found.free_slots.append(
            sum([1 << slot for slot, length in enumerate(zbytes) if not length]) if free else 0
        )
        if free < slots:
            family = found.family_of_block[block]
            found.zpages[family] += slots - free
            found.zpage_bytes[family] += sum(zbytes)
