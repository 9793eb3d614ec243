"""A zpage that came home is what we sent away, or it is nothing."""

import pytest

from ramsterd.core.codec import LZ4, PACKED_RAW
from ramsterd.core.family import Family
from ramsterd.core.leaving import begin_leaving, end_leaving
from ramsterd.core.page import PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.core.rows import FIRST_ROW
from ramsterd.core.store import Store
from ramsterd.remote.fetch.arrival import serial_elsewhere, verified
from tests.helpers.made_pages import joined, make_page, make_store

HOLDER = 7
PAGE = make_page(1000)


@pytest.fixture
def store() -> Store:
    store = make_store()
    store.put(store.new_pool(PoolKind.PERSISTENT, program_pool("disk")), b"", 0, joined([PAGE]))
    return store


def send_away(store: Store) -> tuple[int, int, bytes]:
    """Have the page leave; return its row, its packed number and its zpage."""
    block = store.zbud.oldest(Family.OWN_PERSISTENT)
    assert block is not None
    leaving = begin_leaving(store.versions, block)
    end_leaving(store.versions, leaving, HOLDER)
    return leaving.rows[0], leaving.packed[0], leaving.body


def test_a_row_that_no_peer_holds_is_not_the_one_that_was_asked_for(store: Store) -> None:
    assert store.rows.serial(FIRST_ROW) > 0
    assert serial_elsewhere(store.rows, FIRST_ROW) == 0
    assert send_away(store)[0] == FIRST_ROW
    assert serial_elsewhere(store.rows, FIRST_ROW) == store.rows.serial(FIRST_ROW)


def test_the_zpage_that_was_sent_away_is_the_page(store: Store) -> None:
    row, packed, zpage = send_away(store)
    assert verified(store.rows, row, packed, memoryview(zpage)) == PAGE


def test_any_other_zpage_is_refused(store: Store) -> None:
    row, packed, zpage = send_away(store)
    damaged = bytearray(zpage)
    damaged[len(zpage) // 2] ^= 0x10
    other = LZ4.compress(memoryview(make_page(1000, seed=1)))
    assert len(other) == len(zpage), "so that only the checksum can tell"
    assert verified(store.rows, row, packed, memoryview(damaged)) is None
    assert verified(store.rows, row, packed, memoryview(other)) is None
    assert verified(store.rows, row, packed - 1, memoryview(zpage)[:-1]) is None
    assert verified(store.rows, row, PACKED_RAW, memoryview(PAGE)) is None
    assert verified(store.rows, row, 0, memoryview(b"")) is None
