"""A process that ends between any two stores: the next one has every page as it was before the operation, or after it."""

import random
from collections.abc import Callable

import pytest

from ramsterd.core.family import Family
from ramsterd.core.page import PoolId, PoolKind
from tests.crash.crash_model import CrashModel
from tests.crash.crash_operations import OBJECT, make_pools, page_of
from tests.crash.crash_runs import run_seed
from tests.properties.store_model import Handle, StoreModel

Operation = Callable[[StoreModel], object]


def steps(*operations: Operation) -> Operation:
    def do_all(model: StoreModel) -> None:
        for operation in operations:
            operation(model)

    return do_all


def pool(model: StoreModel, kind: PoolKind, *, is_disk: bool = False) -> PoolId:
    return next(
        each
        for each, its_kind in model.kinds.items()
        if its_kind is kind and (each in model.disks) == is_disk
    )


def persistent(model: StoreModel, index: int = 0) -> Handle:
    return pool(model, PoolKind.PERSISTENT), OBJECT, index


def disk(model: StoreModel, index: int = 0) -> Handle:
    return pool(model, PoolKind.PERSISTENT, is_disk=True), OBJECT, index


def ephemeral(model: StoreModel, index: int = 0) -> Handle:
    return pool(model, PoolKind.EPHEMERAL), OBJECT, index


def pages(size: int, count: int, seed: int = 0) -> list[bytes]:
    return [page_of(size, seed + each) for each in range(count)]


def nothing(model: StoreModel) -> None:
    del model


def three_pages(model: StoreModel) -> None:
    model.put(persistent(model), pages(200, 3, 100))


def three_at_a_peer(model: StoreModel) -> None:
    three_pages(model)
    model.begin_leaving()
    model.end_leaving(-1, 1)


def three_clean(model: StoreModel) -> None:
    three_at_a_peer(model)
    model.fetch(persistent(model), 3)


def zeros_on_a_disk(model: StoreModel) -> None:
    model.put_zeros(disk(model), 8192)


def put_foreign(model: StoreModel, *serials: int) -> None:
    pages = {serial: page_of(200, serial) for serial in serials}
    model.put_foreign(next(iter(model.foreign_kinds)), pages)


def evict(model: StoreModel, family: Family) -> None:
    block = model.store.zbud.oldest(family)
    assert block is not None
    model.store.room.evict_block(block)


def sparse_blocks(model: StoreModel) -> None:
    for index in range(0, 60, 2):
        model.put(persistent(model, index), pages(1000, 2, index))
    for index in range(0, 60, 3):
        model.flush(persistent(model, index), 2)


# What was done before, and what the process ends in.
CASES: dict[str, tuple[Operation, Operation]] = {
    "put on holes": (nothing, three_pages),
    "put in place": (three_pages, lambda m: m.put(persistent(m), pages(200, 3, 200))),
    "put into other slots": (three_pages, lambda m: m.put(persistent(m), pages(1000, 3, 200))),
    "put same-filled pages": (three_pages, lambda m: m.put(persistent(m), pages(-1, 3, 200))),
    "put over same-filled pages": (
        lambda m: m.put(persistent(m), pages(-1, 3, 200)), three_pages,
    ),
    "put zeros over pages": (three_pages, lambda m: m.put(persistent(m), pages(0, 3))),
    "put over zeros": (lambda m: m.put(persistent(m), pages(0, 3)), three_pages),
    "put over pages at a peer": (three_at_a_peer, lambda m: m.put(persistent(m), pages(200, 3, 9))),
    "put over clean pages": (three_clean, lambda m: m.put(persistent(m), pages(200, 3, 9))),
    "fill over clean pages": (three_clean, lambda m: m.put(persistent(m), pages(-1, 3, 9))),
    "put far away": (three_pages, lambda m: m.put(persistent(m, 5000), pages(200, 2, 9))),
    "put zeros on a disk": (nothing, zeros_on_a_disk),
    "put zeros beside pages of a disk": (
        lambda m: m.put(disk(m, 70), pages(200, 3)), zeros_on_a_disk,
    ),
    "put into zeros of a disk": (zeros_on_a_disk, lambda m: m.put(disk(m, 70), pages(200, 2))),
    "drop zeros of a disk": (zeros_on_a_disk, lambda m: m.flush(disk(m, 60), 4200)),
    "drop some": (three_pages, lambda m: m.flush(persistent(m, 1), 1)),
    "drop all": (three_pages, lambda m: m.flush_object(*persistent(m)[:2])),
    "drop what is at a peer": (three_at_a_peer, lambda m: m.flush_object(*persistent(m)[:2])),
    "destroy a pool": (three_pages, lambda m: m.destroy_pool(persistent(m)[0])),
    "make a pool": (nothing, lambda m: m.new_pool(PoolKind.PERSISTENT)),
    "refuse": (three_pages, lambda m: m.refuse(persistent(m), 3)),
    "remotify": (
        steps(three_pages, lambda m: m.begin_leaving()), lambda m: m.end_leaving(-1, 1),
    ),
    "remotify what was overwritten": (
        steps(three_pages, lambda m: m.begin_leaving(), lambda m: m.put(persistent(m), pages(200, 1, 9))),
        lambda m: m.end_leaving(-1, 1),
    ),
    "copy": (
        steps(three_pages, lambda m: m.begin_leaving()), lambda m: m.end_leaving(-1, 1, is_kept=True),
    ),
    "a peer refuses": (
        steps(three_pages, lambda m: m.begin_leaving()), lambda m: m.return_leaving(-1),
    ),
    "fetch home": (three_at_a_peer, lambda m: m.fetch(persistent(m), 3)),
    "fetch ephemeral pages home": (
        steps(lambda m: m.put(ephemeral(m), pages(200, 3)), lambda m: m.send_ephemeral(1)),
        lambda m: m.fetch(ephemeral(m), 3),
    ),
    "lose a holder": (three_at_a_peer, lambda m: m.lose_holder(1, 100)),
    "lose a holder of clean pages": (three_clean, lambda m: m.lose_holder(1, 100)),
    "compact": (sparse_blocks, lambda m: m.compact(100)),
    "evict for a put": (
        lambda m: m.put(ephemeral(m), pages(4096, 16)),
        lambda m: m.put(persistent(m), pages(4096, 2, 50)),
    ),
    "evict clean pages": (three_clean, lambda m: evict(m, Family.OWN_CLEAN)),
    "keep clean pages": (three_clean, lambda m: m.store.room.adopt_oldest()),
    "put foreign pages": (
        nothing,
        lambda m: put_foreign(m, 5, 6, 70),
    ),
    "put foreign pages beside others": (
        lambda m: put_foreign(m, 5, 70), lambda m: put_foreign(m, 6, 5, 71),
    ),
    "drop foreign pages": (
        lambda m: put_foreign(m, 5, 6, 70),
        lambda m: m.flush_foreign(next(iter(m.foreign_kinds)), (6, 106)),
    ),
    "drop some foreign pages": (
        lambda m: put_foreign(m, 5, 6, 7, 70),
        lambda m: m.flush_foreign(next(iter(m.foreign_kinds)), (6, 6), (60, 80)),
    ),
}  # fmt: skip

# One for each order of stores that the compiled loops have, too.
OF_BOTH_LOOPS = [
    "put on holes", "put in place", "put into other slots", "put same-filled pages",
    "remotify", "remotify what was overwritten", "copy", "fetch home", "evict clean pages",
    "put foreign pages beside others", "drop some foreign pages",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in CASES if case not in OF_BOTH_LOOPS])
def test_a_process_that_ends_in(case: str) -> None:
    end_in(case)


@pytest.mark.slow
@pytest.mark.usefixtures("each_loops")
@pytest.mark.parametrize("case", OF_BOTH_LOOPS)
def test_a_process_that_ends_in_a(case: str) -> None:
    end_in(case)


def end_in(case: str) -> None:
    before, operation = CASES[case]
    crash = CrashModel()
    make_pools(crash.model)
    before(crash.model)
    assert crash.crash_everywhere(operation) or case == "a peer refuses"


@pytest.mark.slow
@pytest.mark.parametrize("case", ["put in place", "drop zeros of a disk"])
def test_a_process_that_ends_as_it_attaches_what_was_left_by_one_that_ended_in(case: str) -> None:
    before, operation = CASES[case]
    crash = CrashModel()
    make_pools(crash.model)
    before(crash.model)
    assert crash.crash_in_attaches(operation, rng=random.Random(case))


@pytest.mark.slow
@pytest.mark.parametrize("crash_seed", range(8))
def test_a_process_that_ends_at_any_time(crash_seed: int) -> None:
    run_seed(crash_seed)
