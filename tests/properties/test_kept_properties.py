"""What a store leaves is vouched for page by page; whatever else stands there costs pages, and is stable when repaired."""

import random
from functools import cache
from typing import Final

import hypothesis.strategies as st
from hypothesis import given, settings
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from ramsterd.core.arena import Mapping
from ramsterd.core.page import PoolKind
from ramsterd.kept.judge import judge
from ramsterd.kept.repair import repair
from tests.helpers.adopted_store import adopted
from tests.helpers.kept_image import KeptImage
from tests.helpers.kept_memory import KeptMemory
from tests.helpers.made_pages import MIB, make_fill, make_page, make_run, make_store
from tests.properties.store_machine import StoreMachine, settings_of_machines
from tests.properties.store_model import StoreModel

TABLES: Final = ("rows", "entries", "slot_rows", "blocks", "nodes", "objects")


class KeptMachine(StoreMachine):
    """The same steps; after each of them the process may end, and sometimes does."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = KeptMemory()

    def map_memory(self, name: str, length: int) -> Mapping:
        return self.memory(name, length)

    def known_holders(self) -> set[int]:
        return set(range(1, max(self.holders) + 1))

    @rule()
    def restart(self) -> None:
        self.model.take_owed()
        self.model.restart(adopted(self.model.store, self.memory, holders=self.known_holders()))

    @invariant()
    def agrees(self) -> None:
        super().agrees()  # it notes what was evicted
        if hasattr(self, "model"):
            KeptImage(self.model.store, holders=self.known_holders()).check()


def test_all_that_a_store_has_is_vouched_for() -> None:
    run_state_machine_as_test(KeptMachine, settings=settings_of_machines())


@cache
def full_model() -> StoreModel:
    """A store with some of everything."""
    model = StoreModel(make_store(2 * MIB))
    disk = model.new_pool(PoolKind.PERSISTENT, is_disk=True)
    cache_pool = model.new_pool(PoolKind.EPHEMERAL)
    foreign = [model.new_pool(kind, is_foreign=True) for kind in PoolKind]
    model.put_zeros((disk, b"", 8192), 8192)
    for number in range(6):
        model.put((disk, b"", number * 200), make_run(300 + 400 * number, 40, number))
        model.put((cache_pool, b"cached", number * 50), make_run(700, 20, number))
    model.put((disk, b"", 60), [make_fill(7), bytes(4096), make_page(4096)])
    for holder in (1, 2, 1):
        assert model.begin_leaving()
        model.end_leaving(-1, holder)
    assert model.send_ephemeral(2)
    for handle in list(model.held)[::3]:
        model.fetch(handle, 1)
    for pool in foreign:
        model.put_foreign(pool, {serial: make_page(900, serial) for serial in range(5, 90)})
    return model


@cache
def used_bytes(table: str) -> list[int]:
    """Return the places of the bytes of a table that are not zero."""
    column = getattr(KeptImage(full_model().store, holders={1, 2}), table)
    return [at for at, byte in enumerate(column.cast("B")) if byte]


def test_the_store_that_is_damaged_here_has_some_of_everything() -> None:
    store = full_model().store
    assert all(store.versions.zpages)
    KeptImage(store, holders={1, 2}).check()


@given(seed=st.integers(0, 1 << 30), table=st.sampled_from(TABLES), flips=st.integers(1, 30))
@settings(max_examples=200, deadline=None)
def test_whatever_stands_there_is_judged_and_stable_once_repaired(
    seed: int, table: str, flips: int
) -> None:
    image, rng = KeptImage(full_model().store, holders={1, 2}), random.Random(seed)
    column = getattr(image, table)
    for _ in range(flips):
        column.cast("B")[rng.choice(used_bytes(table))] ^= 1 << rng.randrange(8)
    tables = image.tables()
    found = judge(tables)
    repair(tables, found)
    again = judge(tables)
    assert not again.faults
    assert not again.repairs
    for name in (
        "rows_used", "slot_zbytes", "leaf_used", "family_of_block", "free_slots", "zpages", "zpage_bytes",
    ):  # fmt: skip
        assert getattr(again, name) == getattr(found, name), name
    assert +again.holder_pages == +found.holder_pages
