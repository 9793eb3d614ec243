"""Ends a process between any two stores of an operation, and looks at what the next one makes of it.

The operation is done by `StoreModel`, which knows every page before and after.  What the next process attaches must
be, page by page, what was there before the operation or what is there after it; anything else is a page that was lost,
mixed up, or has come back.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from nodemanager.ids import Incarnation, NodeId
from ramsterd.core.codec import decode_page
from ramsterd.core.foreign_pages import get_zpages
from ramsterd.core.page import INDEX_MAX, PAGE_BYTES, PoolId, PoolKind
from ramsterd.core.store import Store
from ramsterd.core.table import HOLE, LOST, ZERO
from ramsterd.core.table_words import LEAF_PAGES
from ramsterd.core.versions import StoreLimits
from ramsterd.kept.memory import KeptMemory
from ramsterd.kept.opening import Identity
from ramsterd.kept.suspects import LEFT_BY_CRASH
from tests.helpers.dropping import drop_pool
from tests.helpers.made_pages import make_page
from tests.helpers.recorded_memory import (
    Image,
    RecordedKeeper,
    Stored,
    count_states,
    states,
)
from tests.properties.store_model import Handle, StoreModel, Zpage

MEMORY_ID: Final = b"m" * 16
IDENTITY: Final = Identity(
    cluster="lab", node=1, node_name="one", boot_id=b"b" * 16, memory_id=MEMORY_ID
)
INCARNATION: Final = Incarnation(77)
LIMITS: Final = StoreLimits(
    budget_bytes=16 * PAGE_BYTES, budget_bytes_max=16 * PAGE_BYTES, pages_max=512
)


def open_memory(keeper: RecordedKeeper) -> KeptMemory:
    return KeptMemory(keeper, IDENTITY, new_memory_id=lambda: MEMORY_ID, now_seconds=5)


class NotingModel(StoreModel):
    """A model that notes what puts try: such a page may be there for a moment, and be evicted by the next one."""

    tried: dict[Handle, list[bytes]]

    def put(self, handle: Handle, pages: list[bytes], *, takes_slots: bool = True) -> int:
        pool, name, index = handle
        for each, page in enumerate(pages):
            self.tried.setdefault((pool, name, index + each), []).append(page)
        return super().put(handle, pages, takes_slots=takes_slots)


@dataclass(frozen=True, slots=True)
class Known:
    """What a model knew at one moment."""

    pages: Mapping[Handle, bytes | None]
    foreign: Mapping[tuple[PoolId, int], Zpage]
    contents: Mapping[tuple[int, int], Zpage]
    kinds: Mapping[PoolId, PoolKind]
    foreign_kinds: Mapping[PoolId, PoolKind]
    tried: Mapping[Handle, list[bytes]]
    # How many pages were ever evicted.
    evicted: int

    @classmethod
    def of(cls, model: NotingModel) -> "Known":
        return cls(
            dict(model.pages),
            dict(model.foreign),
            dict(model.contents),
            dict(model.kinds),
            dict(model.foreign_kinds),
            {handle: list(pages) for handle, pages in model.tried.items()},
            model.store.counters.evicted,
        )

    def page(self, handle: Handle) -> bytes | int | None:
        """Return a page, LOST, or None for a hole."""
        return self.pages[handle] or LOST if handle in self.pages else None


@dataclass(frozen=True, slots=True)
class Run:
    """Pages of one leaf side by side, and what each was before and after: a hole is None."""

    handle: Handle
    before: list[bytes | int | None]
    after: list[bytes | int | None]


@dataclass(frozen=True, slots=True)
class Operation:
    """What was known before an operation and after it, and the same by runs: disks have thousands of zeros."""

    before: Known
    after: Known
    runs: list[Run]
    # Of each object, the indexes of all pages that the one moment or the other had, or that puts tried.
    indexes: Mapping[tuple[PoolId, bytes], set[int]]

    @classmethod
    def of(cls, before: Known, after: Known) -> "Operation":
        runs: list[Run] = []
        expected: Handle | None = None
        for handle in sorted(before.pages.keys() | after.pages.keys()):
            pool, name, index = handle
            if handle != expected or index % LEAF_PAGES == 0:
                runs.append(Run(handle, [], []))
            runs[-1].before.append(before.page(handle))
            runs[-1].after.append(after.page(handle))
            expected = pool, name, index + 1
        indexes: defaultdict[tuple[PoolId, bytes], set[int]] = defaultdict(set)
        for pool, name, index in before.pages.keys() | after.pages.keys() | after.tried.keys():
            indexes[pool, name].add(index)
        return cls(before, after, runs, indexes)


class CrashModel:
    """A store in kept memory, its model, and the holders that rows may name."""

    def __init__(self, limits: StoreLimits = LIMITS) -> None:
        self.keeper = RecordedKeeper()
        self.memory = open_memory(self.keeper)
        self.limits = limits
        self.model = NotingModel(self.memory.make_store(limits, INCARNATION))
        self.model.tried = {}
        for holder in (1, 2):
            self.memory.journal.on_holder_known(holder, NodeId(holder), Incarnation(1))

    def crash_everywhere(
        self,
        operation: Callable[[StoreModel], object],
        *,
        rng: random.Random | None = None,
        states_max: int = 1 << 32,
    ) -> int:
        """Do it; check what is left of each process that ended on the way, or of some.  Return how many these were."""
        self.model.check()
        self.model.tried.clear()
        before, known = self.keeper.image(), Known.of(self.model)
        stored = self.keeper.record(lambda: operation(self.model))
        self.model.check()
        done, count = Operation.of(known, Known.of(self.model)), 0
        chosen = None
        if rng is not None:
            chosen = choose(rng, stored, states_max)
        for number, (where, image) in enumerate(states(before, stored)):
            if chosen is None or number in chosen:
                check_state(where, image, done, self.limits)
                count += 1
        return count

    def crash_in_attaches(
        self, operation: Callable[[StoreModel], object], *, rng: random.Random
    ) -> int:
        """Do it; end some process on the way, and the next one as it attaches what is left.  Return how often."""
        self.model.tried.clear()
        before, known = self.keeper.image(), Known.of(self.model)
        stored = self.keeper.record(lambda: operation(self.model))
        done, count = Operation.of(known, Known.of(self.model)), 0
        chosen = choose(rng, stored, 2)
        for number, (where, image) in enumerate(states(before, stored)):
            if number not in chosen:
                continue
            keeper = RecordedKeeper(image)
            memories: list[KeptMemory] = []

            def attach(keeper: RecordedKeeper = keeper, made: list[KeptMemory] = memories) -> None:
                made.append(open_memory(keeper))
                made[0].make_store(self.limits, INCARNATION)

            left, stored_then = keeper.image(), keeper.record(attach)
            memories[0].close()
            chosen_then = choose(rng, stored_then, 5)
            for number_then, (where_then, image_then) in enumerate(states(left, stored_then)):
                if number_then in chosen_then:
                    place = f"{where}; then {where_then}"
                    check_state(place, image_then, done, self.limits)
                    count += 1
        return count


def choose(rng: random.Random, stored: list[Stored], count: int) -> set[int]:
    """Return the numbers of some of `states`: all of them at once would take gigabytes."""
    all_states = count_states(stored)
    return set(rng.sample(range(all_states), min(count, all_states)))


def check_state(where: str, image: Image, done: Operation, limits: StoreLimits) -> None:
    """Attach what a process has left, and compare all of it."""
    try:
        _check_state(image, done, limits)
    except BaseException as error:
        error.add_note(f"the process ended at: {where}")
        raise


def _check_state(image: Image, done: Operation, limits: StoreLimits) -> None:
    before, after = done.before, done.after
    memory = open_memory(RecordedKeeper(image))
    assert not memory.given_up
    store = memory.make_store(limits, INCARNATION)
    found = memory.attached
    assert found is not None
    assert not found.damaged
    assert {fault for fault, _ in found.judgement.faults} <= LEFT_BY_CRASH
    store.check_invariants()
    _check_pools(store, before, after)
    for run in done.runs:
        if run.handle[0] in store.pools:
            _check_run(store, run, before, after)
    _check_nothing_more(store, done)
    _check_foreign(store, before, after)
    _go_on(store, before, after)
    memory.close()


def _check_pools(store: Store, before: Known, after: Known) -> None:
    """A pool is there unless it was made or destroyed just then."""
    lasting = before.kinds.keys() & after.kinds.keys()
    lasting |= before.foreign_kinds.keys() & after.foreign_kinds.keys()
    found = {pool.pool for pool in store.pools}
    assert lasting <= found
    assert found <= {*before.kinds, *after.kinds, *before.foreign_kinds, *after.foreign_kinds}


def _check_run(store: Store, run: Run, before: Known, after: Known) -> None:
    """Read all at once; if that is not what was there at the one moment or the other, look at each page."""
    pool, name, first = run.handle
    found = store.get(*run.handle, len(run.before))
    is_plain = not found.elsewhere and not found.lost_count
    if not (is_plain and found.pages in (run.before, run.after)):
        for index in range(first, first + len(run.before)):
            _check_page(store, (pool, name, index), before, after)


def _check_page(store: Store, handle: Handle, before: Known, after: Known) -> None:
    allowed = [known.pages[handle] for known in (before, after) if handle in known.pages]
    # An operation that evicts may evict what it stores again later.
    is_evicted = after.evicted > before.evicted and handle in after.tried
    is_ephemeral = before.kinds.get(handle[0]) is PoolKind.EPHEMERAL
    may_be_hole = len(allowed) < 2 or (is_ephemeral and is_evicted)
    allowed += after.tried.get(handle, [])
    found = store.get(*handle, 1)
    if found.elsewhere:
        ((_, row),) = found.elsewhere
        serial, holders = store.rows.serial(row), store.rows.holders(row)
        assert holders
        for holder in holders:
            packed, zpage, checksum = {**before.contents, **after.contents}[holder, serial]
            assert (packed, checksum) == (store.rows.packed(row), store.rows.checksum(row))
            assert decode_page(packed, zpage, checksum) in allowed
    elif found.lost_count:
        assert None in allowed, f"{handle} is lost"
    elif found.pages[0] is None:
        assert may_be_hole, f"{handle} is a hole"
    else:
        assert found.pages[0] in allowed, f"{handle} is another page"


def _check_nothing_more(store: Store, done: Operation) -> None:
    """No page is there that neither the one moment nor the other had."""
    for pool in store.pools:
        if pool.identity.is_foreign:
            continue
        for page_object in pool.objects.values():
            known = done.indexes.get((pool.pool, page_object.object_id), set())
            for index, count, leaf in store.table.pieces(page_object, 0, INDEX_MAX + 1):
                if leaf == ZERO:
                    found = set(range(index, index + count))
                else:
                    entries = store.table.entries_of(leaf, index, count).tolist()
                    found = {each for each, entry in enumerate(entries, index) if entry != HOLE}
                assert found <= known, f"{pool.pool}: {sorted(found - known)[:9]}"


def _check_foreign(store: Store, before: Known, after: Known) -> None:
    for pool, serial in before.foreign.keys() | after.foreign.keys():
        if pool not in store.pools:
            continue
        (code,), pieces = get_zpages(store.versions, pool, [serial])
        known = [each.foreign.get((pool, serial)) for each in (before, after)]
        if not code:
            assert None in known, f"foreign page {serial} of pool {pool} is gone"
        else:
            assert (code, bytes(pieces[0])) in [each[:2] for each in known if each is not None]


def _go_on(store: Store, before: Known, after: Known) -> None:
    """The next process serves: no serial comes twice, and all can be put and dropped again."""
    used = {serial for known in (before, after) for _, serial in known.contents}
    assert store.versions.serial_last >= max(used, default=0)
    pages = [make_page(300, seed) for seed in range(3)]
    for pool in list(store.pools):
        if not pool.identity.is_foreign:
            store.put(pool.pool, b"an object", 62, memoryview(b"".join(pages)))
            store.check_invariants()
    for pool in list(store.pools):
        drop_pool(store, pool.pool)
    store.check_invariants()
    assert not store.rows.used
    assert not store.table.nodes.used
    assert not any(store.versions.zpages)
