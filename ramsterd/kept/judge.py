"""Which pages of a kept memory can be vouched for.  Pure.

An entry of a reached leaf is the only thing that makes a version count, and rows and slots prove themselves: a row
names its entry (`address`), a slot names its row (`slot_rows`).  Each is one number, so nothing is reached twice.

It goes through neighbouring leaves, a piece at a time, and compares whole columns of their rows, because a loop over
rows would cost more than all comparisons.  What differs is looked at one by one (`kept.suspects`).  Nothing is changed
here: `Judgement` says what is to be repaired, and what stands where after that.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set as AbstractSet
from dataclasses import dataclass, field
from itertools import compress, repeat
from typing import Final

from config.limits import COPIES_MAX
from ramsterd.core.codec import PACKED_FILL, ZPAGE_BYTES_MASK, ZPAGE_BYTES_MAX
from ramsterd.core.family import Family
from ramsterd.core.nodes import HOLE, LEAF_PAGES, LEAF_SHIFT, LOST
from ramsterd.core.rows import (
    ADDRESS,
    FIRST_ROW,
    HALVES_PER_ROW,
    HOLDERS,
    LOCATION,
    PACKED,
    QUARTERS_PER_ROW,
    SERIAL,
    WORDS_PER_ROW,
)
from ramsterd.core.size_classes import CHUNK_BYTES, SLOT_SHIFT, SLOTS_MAX, SLOTS_OF_CLASS
from ramsterd.kept.block_words import read_blocks, slots_of_blocks
from ramsterd.kept.columns import Column, differing, gatherer, outside
from ramsterd.kept.suspects import (
    FILLED,
    FOREIGN,
    GOOD_SHAPES,
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

# Leaves in one piece: what is compared at once fits a processor's cache.
PIECE_LEAVES: Final = 64
# Slots of block 0, which is none: of what is not here, and of what is nowhere.
_SLOT_NOT_HERE: Final = 0
_SLOT_NOWHERE: Final = 1
_CLEAN: Final = int(Family.OWN_CLEAN)
_PERSISTENT: Final = int(Family.OWN_PERSISTENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The mappings of a kept memory, as far as pages are judged by them."""

    rows: memoryview
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
    # By block: its class (0: it is none), its family, and a bit for each free slot; without a zpage the block is free.
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
        words, halves, quarters = (tables.rows.cast(code) for code in ("Q", "I", "H"))
        self._tables = tables
        self._rows_count = len(words) // WORDS_PER_ROW
        self._serials = words[SERIAL::WORDS_PER_ROW]
        self._addresses = halves[ADDRESS::HALVES_PER_ROW]
        self._locations = halves[LOCATION::HALVES_PER_ROW]
        self._packed = quarters[PACKED::QUARTERS_PER_ROW]
        self._holders = [
            quarters[HOLDERS + place :: QUARTERS_PER_ROW] for place in range(COPIES_MAX)
        ]
        chunks, families = read_blocks(tables.blocks)
        # By location: the family of its block, or NO_SLOT.
        self._slots = slots_of_blocks(families, chunks)
        # Clean blocks with a page that no holder has.
        self._alone: set[int] = set()
        self._found = Judgement(
            rows_used=bytearray(self._rows_count),
            slot_zbytes=array("H", bytes(2 * len(self._slots))),
            leaf_used=bytearray(len(tables.trees.kinds)),
            chunks_of_block=chunks,
            family_of_block=families,
            free_slots=array("I"),
            zpages=[0] * len(Family),
            zpage_bytes=[0] * len(Family),
        )

    def judge(self) -> Judgement:
        for first, stop, family in _pieces(self._tables.trees.kinds):
            self._judge_leaves(first, stop, family)
        for block in sorted(self._alone):
            self._make_ours_alone(block)
        for block, chunks in enumerate(self._found.chunks_of_block):
            self._judge_block(block, chunks)
        return self._found

    # Leaves and their rows.

    def _judge_leaves(self, first: int, stop: int, family: int) -> None:
        """Judge the pages of neighbouring leaves of one family."""
        start, end = first << LEAF_SHIFT, stop << LEAF_SHIFT
        rows = self._tables.entries[start:end].tolist()
        self._count_used(rows, first, stop)
        addresses: Sequence[int] = range(start, end)
        if min(rows) < FIRST_ROW:
            is_row = [row >= FIRST_ROW for row in rows]
            rows, addresses = list(compress(rows, is_row)), list(compress(addresses, is_row))
        if rows and max(rows) >= self._rows_count:
            is_row = [row < self._rows_count for row in rows]
            for row, address in zip(rows, addresses, strict=True):
                if row >= self._rows_count:
                    self._break(address, family, Fault.NO_ROW)
            rows, addresses = list(compress(rows, is_row)), list(compress(addresses, is_row))
        if rows:
            self._judge_rows(rows, addresses, family)

    def _count_used(self, entries: list[int], first: int, stop: int) -> None:
        used = self._found.leaf_used
        if min(entries) > HOLE:
            used[first:stop] = bytes([LEAF_PAGES]) * (stop - first)
            return
        for leaf in range(first, stop):
            start = leaf - first << LEAF_SHIFT
            used[leaf] = LEAF_PAGES - entries[start : start + LEAF_PAGES].count(HOLE)

    def _judge_rows(self, rows: list[int], addresses: Sequence[int], family: int) -> None:
        gather = gatherer(rows)
        packed, locations = gather(self._packed), gather(self._locations)
        first_holders = gather(self._holders[0])
        triples: list[Holders] = []
        if any(first_holders):
            triples = list(
                zip(first_holders, *(gather(each) for each in self._holders[1:]), strict=True)
            )
        where = self._where(rows, packed, locations)
        suspects = {
            *differing(gather(self._addresses), addresses),
            *self._wrong_serials(gather(self._serials), addresses, family),
            *outside(packed, VALID_PACKED),
            *self._wrong_holders(triples),
            *outside(list(zip(repeat(family), where, map(bool, first_holders))), GOOD_SHAPES),
        }
        if suspects:
            is_good = [True] * len(rows)
            for at in suspects:
                is_good[at] = False
                self._judge_suspect(rows[at], addresses[at], family)
            rows, triples = list(compress(rows, is_good)), list(compress(triples, is_good))
            packed, locations = list(compress(packed, is_good)), list(compress(locations, is_good))
        self._note(rows, packed, locations)
        for triple, pages in Counter(triples).items():
            self._count_holders(triple, pages)

    def _where(
        self, rows: list[int], packed: Sequence[int], locations: Sequence[int]
    ) -> Sequence[int]:
        """Return where each zpage is: the family of a block, FILLED, NOT_HERE, or NO_SLOT."""
        where: list[int] = [NOT_HERE] * len(rows)
        if any(locations):
            if max(locations) >= len(self._slots):
                inside = range(len(self._slots))
                locations = [each if each in inside else _SLOT_NOWHERE for each in locations]
            gather = gatherer(locations)
            where = list(gather(self._slots))
            for at in differing(gather(self._tables.slot_rows), rows):
                if locations[at] != _SLOT_NOT_HERE:
                    where[at] = NO_SLOT
        if PACKED_FILL in packed:
            for at, code in enumerate(packed):
                if code == PACKED_FILL:
                    where[at] = NO_SLOT if locations[at] else FILLED
        return where

    def _wrong_serials(
        self, serials: Sequence[int], addresses: Sequence[int], family: int
    ) -> Iterable[int]:
        if family in FOREIGN:  # whose serial is its index
            first_index = self._tables.trees.first_index
            indexes = [
                first_index[address >> LEAF_SHIFT] | address & LEAF_PAGES - 1
                for address in addresses
            ]
            return differing(serials, indexes)
        limit = self._tables.serial_limit
        if min(serials) > 0 and max(serials) <= limit:
            return ()
        return [at for at, serial in enumerate(serials) if not 0 < serial <= limit]

    def _wrong_holders(self, triples: list[Holders]) -> Iterable[int]:
        """Return the positions of rows whose holders are not known, or not noted as they should be."""
        good = frozenset(
            triple
            for triple in set(triples)
            if are_holders_normal(triple) and self._tables.holders >= set(filter(None, triple))
        )
        return outside(triples, good)

    def _note(self, rows: Sequence[int], packed: Sequence[int], locations: Sequence[int]) -> None:
        """These rows are in use, and their slots."""
        used, slots = self._found.rows_used, self._found.slot_zbytes
        for row in rows:
            used[row] = 1
        if packed and max(packed) > ZPAGE_BYTES_MAX:
            packed = [code & ZPAGE_BYTES_MASK for code in packed]
        for location, zbytes in zip(locations, packed, strict=True):
            slots[location] = zbytes
        slots[_SLOT_NOT_HERE] = 0

    def _count_holders(self, holders: Holders, pages: int) -> None:
        for holder in filter(None, holders):
            self._found.holder_pages[holder] += pages

    # One row.

    def _judge_suspect(
        self, row: int, address: int, family: int, *, is_too_long: bool = False
    ) -> None:
        location, packed = self._locations[row], self._packed[row]
        wrong_serials = self._wrong_serials([self._serials[row]], [address], family)
        (slot,) = self._where([row], [packed], [location])
        verdict = judge_row(
            FoundRow(
                family=family,
                is_its_entry=self._addresses[row] == address,
                is_serial_used=not list(wrong_serials),
                packed=packed,
                location=location,
                slot=NO_SLOT if is_too_long else slot,
                holders=self._holders_of(row),
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
        self._note([row], [packed], [verdict.location])
        self._count_holders(verdict.holders, 1)

    def _holders_of(self, row: int) -> Holders:
        return tuple(column[row] for column in self._holders)

    def _repair_row(self, row: int, location: int, holders: Holders) -> None:
        if (location, normal_holders(holders)) != (self._locations[row], self._holders_of(row)):
            self._found.rows_to_repair[row] = location, holders

    def _break(self, address: int, family: int, fault: Fault) -> None:
        """A page is not to be had any more."""
        found, is_lost = self._found, family == _PERSISTENT
        found.faults[fault, Family(family)] += 1
        found.broken[Family(family)] += 1
        found.entries_to_repair[address] = LOST if is_lost else HOLE
        found.leaf_used[address >> LEAF_SHIFT] -= not is_lost

    # Blocks.

    def _zbytes_of(self, block: int) -> list[int]:
        first = block << SLOT_SHIFT
        return self._found.slot_zbytes[first : first + SLOTS_MAX].tolist()

    def _make_ours_alone(self, block: int) -> None:
        """A clean block of which some page has no holder is not clean any more: none of its pages has one."""
        found, first = self._found, block << SLOT_SHIFT
        rows = self._tables.slot_rows[first : first + SLOTS_MAX].tolist()
        for row in compress(rows, self._zbytes_of(block)):
            self._count_holders(self._noted_holders(row), -1)
            self._repair_row(row, self._locations[row], ())
        found.family_of_block[block] = _PERSISTENT
        found.blocks_to_repair[block] = Family.OWN_PERSISTENT

    def _noted_holders(self, row: int) -> Holders:
        repaired = self._found.rows_to_repair.get(row)
        return self._holders_of(row) if repaired is None else repaired[1]

    def _judge_block(self, block: int, chunks: int) -> None:
        found, slots = self._found, SLOTS_OF_CLASS[chunks]
        zbytes = self._zbytes_of(block)
        if max(zbytes) > chunks * CHUNK_BYTES:
            for location, length in enumerate(zbytes, block << SLOT_SHIFT):
                if length > chunks * CHUNK_BYTES:
                    self._reject(location)
            zbytes = self._zbytes_of(block)
        del zbytes[slots:]
        free = zbytes.count(0)
        mask = sum([1 << slot for slot, length in enumerate(zbytes) if not length]) if free else 0
        found.free_slots.append(mask)
        if free < slots:
            family = found.family_of_block[block]
            found.zpages[family] += slots - free
            found.zpage_bytes[family] += sum(zbytes)

    def _reject(self, location: int) -> None:
        """A zpage that is longer than its slot is not what was stored there."""
        found, row = self._found, self._tables.slot_rows[location]
        self._count_holders(self._noted_holders(row), -1)
        found.rows_to_repair.pop(row, None)
        found.rows_used[row] = 0
        found.slot_zbytes[location] = 0
        address = self._addresses[row]
        family = self._tables.trees.kinds[address >> LEAF_SHIFT]
        self._judge_suspect(row, address, family, is_too_long=True)


def _pieces(kinds: Column) -> Iterator[tuple[int, int, int]]:
    """Yield (first, stop, family) of neighbouring leaves of one family."""
    node, count = 0, len(kinds)
    while node < count:
        kind = kinds[node]
        stop = node + 1
        while stop < count and stop - node < PIECE_LEAVES and kinds[stop] == kind:
            stop += 1
        if kind < DIRECTORY:
            yield node, stop, kind
        node = stop
