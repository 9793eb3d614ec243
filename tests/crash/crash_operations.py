"""Operations of a store, each on a state in which it does something: what `test_crash_states` ends a process in."""

import random
from collections.abc import Callable
from typing import Final

from ramsterd.core.family import Family
from ramsterd.core.page import PAGE_BYTES, PoolId, PoolKind
from tests.helpers.made_pages import make_fill, make_page
from tests.properties.store_model import Lie, StoreModel

OBJECT: Final = b"an object"
HOLDERS: Final = (1, 2)
# Index of the page, all on one model: persistent, disk, ephemeral, two foreign pools.
INDEXES: Final = (0, 1, 30, 62, 64, 100, 4095, 5000)
SIZES: Final = (-1, 0, 200, 200, 1000, 4096)


def make_pools(model: StoreModel) -> None:
    """Make one pool of each kind."""
    model.new_pool(PoolKind.PERSISTENT)
    model.new_pool(PoolKind.PERSISTENT, is_disk=True)
    model.new_pool(PoolKind.EPHEMERAL)
    for kind in PoolKind:
        model.new_pool(kind, is_foreign=True)


def page_of(zbytes: int, seed: int) -> bytes:
    """Return a page; -1 is same-filled, 0 is zeros."""
    if zbytes < 0:
        return make_fill(seed + 1)
    return make_page(zbytes, seed) if zbytes else bytes(PAGE_BYTES)


class RandomOperations:
    """Whatever callers and peers do, a few pages at a time."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._seed = 0

    def choose(self, model: StoreModel) -> Callable[[StoreModel], object]:
        """Return an operation that `model` can do now."""
        del model
        weights = {
            self.put: 8, self.put_zeros: 2, self.flush: 3, self.flush_object: 1, self.refuse: 1,
            self.destroy: 1, self.leave: 4, self.begin: 1, self.return_one: 1, self.fetch: 3,
            self.send_ephemeral: 1, self.compact: 2, self.lose_holder: 1, self.owed: 1,
            self.put_foreign: 2, self.flush_foreign: 1, self.put_many: 1, self.set_budget: 1,
        }  # fmt: skip
        (name,) = self._rng.choices(list(weights), list(weights.values()))
        return name

    def _pool(self, model: StoreModel) -> PoolId:
        return self._rng.choice(list(model.kinds))

    def _pages(self, count: int) -> list[bytes]:
        self._seed += count
        size = self._rng.choice(SIZES)
        return [page_of(size, self._seed + each) for each in range(count)]

    def put(self, model: StoreModel) -> None:
        name, index = self._rng.choice([OBJECT, b""]), self._rng.choice(INDEXES)
        model.put((self._pool(model), name, index), self._pages(self._rng.randint(1, 4)))

    def put_many(self, model: StoreModel) -> None:
        for index in range(0, 40, 8):
            model.put((self._pool(model), OBJECT, index), self._pages(8))

    def put_zeros(self, model: StoreModel) -> None:
        count = self._rng.choice([1, 5, 64, 130, 4200])
        handle = self._pool(model), OBJECT, self._rng.choice(INDEXES)
        model.put_zeros(handle, count if handle[0] in model.disks else min(count, 5))

    def _known(self, model: StoreModel) -> tuple[PoolId, bytes, int] | None:
        handles = list(model.pages)
        return self._rng.choice(handles) if handles else None

    def flush(self, model: StoreModel) -> None:
        if (handle := self._known(model)) is not None:
            model.flush(handle, self._rng.choice([1, 3, 64, 200, 5000]))

    def flush_object(self, model: StoreModel) -> None:
        model.flush_object(self._pool(model), self._rng.choice([OBJECT, b""]))

    def refuse(self, model: StoreModel) -> None:
        if (handle := self._known(model)) is not None:
            model.refuse(handle, 2)

    def destroy(self, model: StoreModel) -> None:
        pool = self._pool(model)
        kind, is_disk = model.kinds[pool], pool in model.disks
        model.destroy_pool(pool)
        model.new_pool(kind, is_disk=is_disk)

    def leave(self, model: StoreModel) -> None:
        if not model.sent:
            self.begin(model)
        if not model.sent:
            return
        is_kept = self._rng.random() < 0.3
        model.end_leaving(-1, self._rng.choice(HOLDERS), is_kept=is_kept)

    def begin(self, model: StoreModel) -> None:
        # What is owed leaves before any put.
        model.take_owed()
        model.begin_leaving()

    def return_one(self, model: StoreModel) -> None:
        if model.sent:
            model.return_leaving(-1)

    def fetch(self, model: StoreModel) -> None:
        if model.held:
            lies = [Lie.NONE, Lie.NONE, *self._rng.choices(list(Lie), k=3)]
            model.fetch_together(self._rng.choice(list(model.held)), 5, lies)

    def send_ephemeral(self, model: StoreModel) -> None:
        model.send_ephemeral(self._rng.choice(HOLDERS))

    def compact(self, model: StoreModel) -> None:
        model.compact(100)

    def lose_holder(self, model: StoreModel) -> None:
        # The model never asks it again; ids are not used again here.
        if model.dead != set(HOLDERS[1:]):
            model.lose_holder(HOLDERS[1], 100)

    def owed(self, model: StoreModel) -> None:
        model.take_owed()

    def put_foreign(self, model: StoreModel) -> None:
        pool = self._rng.choice(list(model.foreign_kinds))
        serial = self._rng.randint(1, 200)
        serials = range(serial, serial + self._rng.randint(1, 5))
        model.put_foreign(pool, {each: make_page(each * 37 % 4500, each) for each in serials})

    def flush_foreign(self, model: StoreModel) -> None:
        pool = self._rng.choice(list(model.foreign_kinds))
        first = self._rng.randint(1, 200)
        last = first + self._rng.choice([0, 39])
        model.flush_foreign(pool, (first, last), (last + 2, last + 2), (last + 5, last + 30))

    def set_budget(self, model: StoreModel) -> None:
        budget_max = model.store.room.limits.budget_bytes_max
        model.set_budget(self._rng.choice([budget_max, budget_max, budget_max // 2]))


def fill(model: StoreModel, family: Family, pages: int) -> None:
    """Put pages of one pool, as many as there is room for."""
    pool = next(each.pool for each in model.store.pools if each.family is family)
    for index in range(pages):
        model.put((pool, OBJECT, index), [make_page(1000, index)])
