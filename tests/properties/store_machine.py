"""What callers and peers do to a store, in whatever order; `store_model` says what must come of it."""

from typing import Final

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from ramsterd.core.arena import HeapMapping, Mapping
from ramsterd.core.page import INDEX_MAX, PoolId, PoolKind
from tests.helpers.made_pages import MIB, make_fill, make_page, make_store
from tests.properties.store_model import Handle, Lie, StoreModel

NAMES = st.sampled_from([b"", b"an object"])
INDEXES = st.sampled_from([0, 1, 30, 60, 64, 100, 5000, INDEX_MAX - 39])
COUNTS = st.integers(1, 40)
# Length of a page compressed: -1 is same-filled; two classes that fill blocks, raw, or any at all.
SIZES = st.sampled_from([-1, 0, 200, 1000, 4096]) | st.integers(1, 4096)
SEEDS = st.integers(0, 1000)
NUMBERS = st.integers(0, 1 << 20)
# A holder that gives most of what it has.
LIES = st.lists(st.just(Lie.NONE) | st.sampled_from(Lie), min_size=1, max_size=9)
# An example of these machines costs as much as several of others.
EXAMPLES_FRACTION: Final = 0.2


def settings_of_machines() -> settings:
    """Return how long to look: 20 examples, and 400 with `--hypothesis-profile thorough`."""
    return settings(
        max_examples=int(settings().max_examples * EXAMPLES_FRACTION),
        stateful_step_count=40,
        # Explaining a failure traces every line, which costs minutes here.
        phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def make_mixed_run(sizes: list[int], count: int, seed: int) -> list[bytes]:
    """Return a run whose pages take their lengths in turn; -1 is a same-filled page, not of zeros."""
    sizes_in_turn = [sizes[position % len(sizes)] for position in range(count)]
    return [
        make_fill(seed + 1) if zbytes < 0 else make_page(zbytes, seed * 64 + position)
        for position, zbytes in enumerate(sizes_in_turn)
    ]


RUNS = st.builds(make_mixed_run, st.lists(SIZES, min_size=1, max_size=4), COUNTS, SEEDS)


class StoreMachine(RuleBasedStateMachine):
    """A persistent pool and a disk, one ephemeral, one foreign pool of each kind, two peers."""

    def map_memory(self, name: str, length: int) -> Mapping:
        """Map what the store is made of."""
        return HeapMapping(name, length)

    def make_model(self, pages_max: int) -> StoreModel:
        """Return what does each operation, and compares."""
        return StoreModel(make_store(2 * MIB, pages_max=pages_max, map_memory=self.map_memory))

    @initialize(pages_max=st.sampled_from([250, 4096]), pages=RUNS, runs=st.integers(0, 12))
    def start(self, pages_max: int, pages: list[bytes], runs: int) -> None:
        self.model = self.make_model(pages_max)
        self.model.new_pool(PoolKind.PERSISTENT)
        self.model.new_pool(PoolKind.PERSISTENT, is_disk=True)
        self.model.new_pool(PoolKind.EPHEMERAL)
        for kind in PoolKind:
            self.model.new_pool(kind, is_foreign=True)
        self.holders = [1, 2]
        # Begin with something, at a peer too: most bugs need many pages.
        for number in range(runs):
            self.model.put((self.pool(0), b"an object", number * 40), pages)
        self.remotify(runs // 3, 0)

    def pool(self, number: int) -> PoolId:
        return list(self.model.kinds)[number % len(self.model.kinds)]

    def foreign_pool(self, number: int) -> PoolId:
        return list(self.model.foreign_kinds)[number % len(self.model.foreign_kinds)]

    def known(self, number: int) -> Handle:
        handles = list(self.model.pages)
        return handles[number % len(handles)]

    @rule(pool=NUMBERS, name=NAMES, index=INDEXES, pages=RUNS, is_refused=st.booleans())
    def put(
        self, pool: int, name: bytes, index: int, pages: list[bytes], *, is_refused: bool
    ) -> None:
        """What finds no room is left as it was, or refused for good."""
        stored = self.model.put((self.pool(pool), name, index), pages)
        if stored < len(pages) and is_refused:
            self.model.refuse((self.pool(pool), name, index + stored), len(pages) - stored)

    @rule(pool=NUMBERS, name=NAMES, index=INDEXES, pages=RUNS)
    def put_in_place(self, pool: int, name: bytes, index: int, pages: list[bytes]) -> None:
        """Only what needs no slot."""
        self.model.put((self.pool(pool), name, index), pages, takes_slots=False)

    @rule(pool=NUMBERS, runs=st.integers(5, 25), zbytes=SIZES, seed=SEEDS)
    def put_much(self, pool: int, runs: int, zbytes: int, seed: int) -> None:
        """Most steps are small; this one reaches the budget."""
        for number in range(runs):
            handle = self.pool(pool), b"an object", number * 40
            if self.model.put(handle, make_mixed_run([zbytes], 40, seed + number)) < 40:
                break

    @rule(pool=NUMBERS, name=NAMES, index=INDEXES, count=COUNTS)
    def put_zeros(self, pool: int, name: bytes, index: int, count: int) -> None:
        self.model.put_zeros((self.pool(pool), name, index), count)

    @rule(name=NAMES, start=st.integers(0, 80), leaves=st.integers(1, 130), more=st.integers(0, 63))
    def put_many_zeros(self, name: bytes, start: int, leaves: int, more: int) -> None:
        """Most of them need no entries on a disk."""
        for pool in self.model.disks:
            self.model.put_zeros((pool, name, 32 * start), 64 * leaves + more)

    @precondition(lambda self: self.model.pages)
    @rule(which=NUMBERS, leaves=st.integers(1, 130), more=st.integers(0, 63))
    def flush_far(self, which: int, leaves: int, more: int) -> None:
        pool, name, index = self.known(which)
        self.model.flush((pool, name, index), min(64 * leaves + more, INDEX_MAX + 1 - index))

    @precondition(lambda self: self.model.pages)
    @rule(which=NUMBERS, back=st.integers(0, 10), count=COUNTS, is_refused=st.booleans())
    def flush_or_refuse(self, which: int, back: int, count: int, *, is_refused: bool) -> None:
        """A run that meets at least one page."""
        pool, name, index = self.known(which)
        drop = self.model.refuse if is_refused else self.model.flush
        drop((pool, name, max(0, index - back)), min(count, INDEX_MAX + 1 - index))

    @rule(pool=NUMBERS, every=st.integers(2, 5))
    def flush_scattered(self, pool: int, every: int) -> None:
        """Holes in every block."""
        for handle in list(self.model.pages)[::every]:
            if handle[0] == self.pool(pool):
                self.model.flush(handle, 1)

    @rule(pool=NUMBERS, name=NAMES, is_whole_pool=st.booleans())
    def flush_many(self, pool: int, name: bytes, *, is_whole_pool: bool) -> None:
        pool_id = self.pool(pool)
        if not is_whole_pool:
            self.model.flush_object(pool_id, name)
            return
        kind, is_disk = self.model.kinds[pool_id], pool_id in self.model.disks
        self.model.destroy_pool(pool_id)
        self.model.new_pool(kind, is_disk=is_disk)

    @rule(budget_bytes=st.integers(4096, 2 * MIB) | st.just(2 * MIB))
    def set_budget(self, budget_bytes: int) -> None:
        self.model.set_budget(budget_bytes)

    @rule(zpages_max=st.integers(1, 400))
    def compact(self, zpages_max: int) -> None:
        self.model.compact(zpages_max)

    @rule(blocks=st.integers(1, 8), holder=st.integers(0, 1))
    def remotify(self, blocks: int, holder: int) -> None:
        """Nothing happens while these blocks are on their way."""
        for _ in range(blocks):
            if not self.model.begin_leaving():
                break
            self.model.end_leaving(-1, self.holders[holder])

    @rule(blocks=st.integers(1, 8), holder=st.integers(0, 1))
    def send_ephemeral(self, blocks: int, holder: int) -> None:
        for _ in range(blocks):
            if not self.model.send_ephemeral(self.holders[holder]):
                break

    @rule(blocks=st.integers(1, 8))
    def begin_leaving(self, blocks: int) -> None:
        for _ in range(blocks):
            if not self.model.begin_leaving():
                break

    @precondition(lambda self: self.model.sent)
    @rule(which=NUMBERS, holder=st.integers(0, 1), is_kept=st.booleans())
    def end_leaving(self, which: int, holder: int, *, is_kept: bool) -> None:
        which %= len(self.model.sent)
        self.model.end_leaving(which, self.holders[holder], is_kept=is_kept)

    @precondition(lambda self: self.model.sent)
    @rule(which=NUMBERS)
    def return_leaving(self, which: int) -> None:
        self.model.return_leaving(which % len(self.model.sent))

    @precondition(lambda self: self.model.held)
    @rule(which=NUMBERS, count=COUNTS)
    def fetch(self, which: int, count: int) -> None:
        handle = list(self.model.held)[which % len(self.model.held)]
        self.model.fetch(handle, min(count, INDEX_MAX + 1 - handle[2]))

    @precondition(lambda self: self.model.held)
    @rule(which=NUMBERS, count=COUNTS, lies=LIES)
    def fetch_together(self, which: int, count: int, lies: list[Lie]) -> None:
        handle = list(self.model.held)[which % len(self.model.held)]
        self.model.fetch_together(handle, min(count, INDEX_MAX + 1 - handle[2]), lies)

    @precondition(lambda self: self.model.held)
    @rule(which=st.integers(0, 1), slice_rows=st.integers(1, 500))
    def holder_dies(self, which: int, slice_rows: int) -> None:
        self.model.lose_holder(self.holders[which], slice_rows)
        # It comes back as another incarnation.
        self.holders[which] = max(self.holders) + 1

    @rule()
    def take_owed(self) -> None:
        self.model.take_owed()

    @precondition(lambda self: self.model.pages)
    @rule(which=NUMBERS, bit=NUMBERS)
    def flip_a_bit(self, which: int, bit: int) -> None:
        self.model.flip_a_bit(self.known(which), bit)

    @rule(pool=NUMBERS, serial=st.integers(1, 400), count=COUNTS)
    def put_foreign(self, pool: int, serial: int, count: int) -> None:
        # The same serial is always the same bytes; ours are as small, so that they meet.
        serials = range(serial, serial + count)
        pages = {each: make_page(each * 37 % 4500, each) for each in serials}
        self.model.put_foreign(self.foreign_pool(pool), pages)

    @rule(pool=NUMBERS, serial=st.integers(1, 400), counts=st.lists(st.integers(1, 80), min_size=1))
    def flush_foreign(self, pool: int, serial: int, counts: list[int]) -> None:
        ranges = []
        for place, count in enumerate(counts):
            ranges.append((serial, serial + count // (1 + place)))
            serial += count + 1
        self.model.flush_foreign(self.foreign_pool(pool), *ranges)

    @rule(pool=NUMBERS)
    def owner_dies(self, pool: int) -> None:
        pool_id = self.foreign_pool(pool)
        kind = self.model.foreign_kinds[pool_id]
        self.model.destroy_pool(pool_id)
        self.model.new_pool(kind, is_foreign=True)

    @invariant()
    def agrees(self) -> None:
        if hasattr(self, "model"):
            self.model.check()
