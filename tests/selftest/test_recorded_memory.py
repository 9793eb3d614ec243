"""The recorder of stores: whatever core stores is found, in order, and torn where it may be torn."""

from ramsterd.core.page import PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.core.store import Store
from ramsterd.core.versions import StoreLimits
from tests.helpers.made_pages import make_page
from tests.helpers.recorded_memory import RecordedKeeper, Stored, states
from tests.helpers.sparse_content import Content

BUDGET_BYTES = 20 * 4096


def test_every_store_of_a_put_is_found_in_order() -> None:
    memory = RecordedKeeper()
    limits = StoreLimits(budget_bytes=BUDGET_BYTES, budget_bytes_max=BUDGET_BYTES, pages_max=256)
    store = Store(memory.map_memory, limits)
    pool = store.new_pool(PoolKind.PERSISTENT, program_pool("a pool"))
    page = make_page(200, 1)
    before = memory.image()
    stored = memory.record(lambda: store.put(pool, b"", 0, memoryview(page)))
    assert {each.name for each in stored} >= {"arena", "slots", "rows", "entries"}
    *_, (_, image) = states(before, stored)
    assert image == memory.image()
    assert memory.record(lambda: store.get(pool, b"", 0, 1)) == []


def test_a_long_store_is_torn_at_each_word() -> None:
    stored = Stored("rows", 32, bytes(24), b"a" * 8 + b"b" * 8 + b"c" * 8, "here")
    assert list(stored.torn()) == [
        b"a" * 8 + bytes(16),
        bytes(8) + b"b" * 8 + b"c" * 8,
        b"a" * 8 + b"b" * 8 + bytes(8),
        bytes(16) + b"c" * 8,
    ]
    before = {"rows": Content.of(bytes(64))}
    found = [image["rows"].whole() for _, image in states(before, [stored])]
    assert found == [bytes(32) + part + bytes(8) for part in (*stored.torn(), stored.after)]


def test_a_word_is_not_torn() -> None:
    assert list(Stored("entries", 8, bytes(8), b"12345678", "here").torn()) == []
