"""Zbud against plain lists: who has which slot, in which family, and how much memory that may take."""

from collections import defaultdict
from collections.abc import Container

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ramsterd.core.arena import FRAME_BYTES
from ramsterd.core.audit import slots_used
from ramsterd.core.block_memory import WARM_BYTES_MAX
from ramsterd.core.family import Family
from ramsterd.core.size_classes import (
    BLOCK_SHIFT,
    CHUNK_BYTES,
    FRAMES_OF_CLASS,
    SLOT_SHIFT,
    SLOTS_OF_CLASS,
)
from ramsterd.core.zbud import Zbud
from tests.helpers.kept_memory import KeptMemory

BUDGET_BYTES = 1 << 20
# Mostly few classes, or no block would ever fill.
CLASSES = st.sampled_from([1, 4, 16, 64]) | st.integers(1, 64)
FAMILIES = st.sampled_from(list(Family))
NUMBERS = st.integers(0, 1 << 20)


class ZbudMachine(RuleBasedStateMachine):
    """The model is a list of slots in use, and the list of blocks of each family, oldest first."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = KeptMemory()
        self.zbud = Zbud(self.memory, budget_bytes=BUDGET_BYTES, budget_bytes_max=BUDGET_BYTES)
        # What each slot in use says: location to row, and how many chunks were asked for.
        self.rows: dict[int, int] = {}
        self.chunks: dict[int, int] = {}
        self.family: dict[int, Family] = {}
        self.order: dict[Family, list[int]] = {family: [] for family in Family}
        self.leaving: list[int] = []
        # When each block was made or changed its family: a count.
        self.age: dict[int, int] = {}
        self.events = 0
        self.resident_bytes_max = 0

    @rule(family=FAMILIES, chunks=CLASSES, count=st.integers(1, 80))
    def take(self, family: Family, chunks: int, count: int) -> None:
        for _ in range(count):
            stack = self.zbud.stacks(family)[chunks]
            location = stack.pop() if stack else self.zbud.refill(family, chunks)
            if not location:
                # Then a block of this class would not fit beside those that are there.
                wanted = FRAMES_OF_CLASS[chunks] * FRAME_BYTES
                assert self.zbud.used_bytes + wanted > self.zbud.budget_bytes
                break
            assert location not in self.rows, "a slot given out twice"
            self.rows[location] = self.zbud.slot_rows[location] = len(self.rows) + 1
            self.chunks[location] = chunks
            self.zbud.arena[self.zbud.offset(location)] = 1
            block = location >> SLOT_SHIFT
            assert block not in self.leaving
            if self.family.setdefault(block, family) is not family:
                raise AssertionError("two families share a block")
            if block not in self.order[family]:
                self.order[family].append(block)
                self.note_age(block)

    @precondition(lambda self: self.rows)
    @rule(which=NUMBERS, count=st.integers(1, 80), step=st.integers(1, 7))
    def free(self, which: int, count: int, step: int) -> None:
        locations = list(self.rows)
        for location in locations[which % len(locations) :: step][:count]:
            self.zbud.free(location)
            self.forget(location)

    @rule(family=FAMILIES)
    def begin_leaving(self, family: Family) -> None:
        block = self.zbud.oldest(family)
        if block is not None:
            self.zbud.begin_leaving(block)
            self.order[family].remove(block)
            self.leaving.append(block)

    @precondition(lambda self: self.leaving)
    @rule(which=NUMBERS)
    def end_leaving(self, which: int) -> None:
        block = self.leaving[which % len(self.leaving)]
        for location in [each for each in self.rows if each >> SLOT_SHIFT == block]:
            self.zbud.free(location)
            self.forget(location)
        self.zbud.end_leaving(block)
        self.leaving.remove(block)
        del self.family[block]

    @precondition(lambda self: self.leaving)
    @rule(which=NUMBERS)
    def return_leaving(self, which: int) -> None:
        block = self.leaving.pop(which % len(self.leaving))
        self.zbud.return_leaving(block)
        if block in self.blocks_in_use():
            self.order[self.family[block]].insert(0, block)
        else:
            del self.family[block]

    @rule(family=FAMILIES, other=FAMILIES)
    def change_family(self, family: Family, other: Family) -> None:
        block = self.zbud.oldest(family)
        if block is not None and family is not other:
            self.zbud.change_family(block, other)
            self.order[family].remove(block)
            self.order[other].append(block)
            self.family[block] = other
            self.note_age(block)

    @precondition(lambda self: self.rows)
    @rule()
    def adopt(self) -> None:
        """The process ends, and the next one goes on with its memory."""
        before, in_use = self.zbud, self.blocks_in_use()
        chunks, family = bytes(before.chunks_of_block), bytes(before.family_of_block)
        free_slots = [
            sum(
                1 << slot
                for slot in range(SLOTS_OF_CLASS[chunks[block]])
                if block << SLOT_SHIFT | slot not in self.rows
            )
            for block in range(before.blocks_count)
        ]
        self.zbud = Zbud(
            self.memory, budget_bytes=before.budget_bytes, budget_bytes_max=BUDGET_BYTES
        )
        self.zbud.adopt(chunks, family, free_slots)
        self.leaving.clear()
        self.family = {block: self.family[block] for block in in_use}
        for each in Family:
            blocks = (block for block in in_use if self.family[block] is each)
            self.order[each] = sorted(blocks, key=self.age.__getitem__)
        self.check_free_memory(in_use)

    def check_free_memory(self, in_use: Container[int]) -> None:
        arena = self.memory.mappings["arena"].view
        for block in range(len(arena) >> BLOCK_SHIFT):
            if block not in in_use:
                start = block << BLOCK_SHIFT
                assert not any(arena[start : start + FRAME_BYTES : CHUNK_BYTES])

    def note_age(self, block: int) -> None:
        self.events += 1
        self.age[block] = self.events

    @rule(budget_bytes=st.integers(FRAME_BYTES, BUDGET_BYTES) | st.just(BUDGET_BYTES))
    def change_budget(self, budget_bytes: int) -> None:
        self.zbud.set_budget(budget_bytes)
        self.zbud.trim()

    @invariant()
    def agrees(self) -> None:
        self.zbud.check_invariants()
        in_use = self.blocks_in_use()
        for family in Family:
            assert list(self.zbud.blocks(family)) == self.order[family]
            leaving = sum(self.family[block] is family for block in self.leaving)
            assert self.zbud.blocks_of_family[family] == len(self.order[family]) + leaving
        for block in [*in_use, *self.leaving]:
            assert sorted(self.zbud.rows(block)) == sorted(in_use.get(block, []))
        assert slots_used(self.zbud) == len(self.rows)
        self.check_places()
        frames = sum(
            FRAMES_OF_CLASS[self.zbud.chunks_of_block[block]]
            for block in in_use.keys() | self.leaving
        )
        assert self.zbud.used_bytes == frames * FRAME_BYTES
        resident_bytes = self.zbud.resident_bytes
        assert resident_bytes <= max(self.zbud.budget_bytes, self.resident_bytes_max)
        assert resident_bytes <= self.zbud.used_bytes + WARM_BYTES_MAX
        self.resident_bytes_max = resident_bytes

    def check_places(self) -> None:
        """Slots are large enough and lie side by side."""
        end = 0
        for location in sorted(self.rows):
            block = location >> SLOT_SHIFT
            slot_chunks = self.zbud.chunks_of_block[block]
            assert self.chunks[location] <= slot_chunks
            assert location & 31 < SLOTS_OF_CLASS[slot_chunks]
            start = self.zbud.offset(location)
            assert start >= end
            end = start + slot_chunks * CHUNK_BYTES
        assert end <= len(self.zbud.arena)

    def blocks_in_use(self) -> dict[int, list[int]]:
        blocks = defaultdict(list)
        for location, row in self.rows.items():
            blocks[location >> SLOT_SHIFT].append(row)
        return blocks

    def forget(self, location: int) -> None:
        del self.rows[location]
        del self.chunks[location]
        block = location >> SLOT_SHIFT
        if block not in self.leaving and not any(each >> SLOT_SHIFT == block for each in self.rows):
            self.order[self.family.pop(block)].remove(block)


def test_zbud_does_as_a_list_does() -> None:
    run_state_machine_as_test(
        ZbudMachine, settings=settings(max_examples=25, stateful_step_count=40)
    )
