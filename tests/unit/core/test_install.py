"""What is kept of pages that come home."""

from dataclasses import replace

import pytest

from ramsterd.core.family import Family
from ramsterd.core.install import OVERTAKEN, come_home
from ramsterd.core.page import PAGE_BYTES
from ramsterd.core.rows import FIRST_ROW
from tests.helpers.disk import OBJECT
from tests.helpers.dropping import drop_run
from tests.helpers.made_pages import make_page, make_run
from tests.helpers.sending_node import A, B, SendingNode

pytestmark = pytest.mark.usefixtures("each_loops")


def test_a_page_comes_home_once(node: SendingNode) -> None:
    """Two fetches of one page may be answered."""
    node.put(0, make_run(1000, 1))
    node.remotify(A)
    [row] = node.elsewhere(0)
    assert node.fetch(row)
    assert not node.fetch(row)
    assert node.store.statistics().zpages[Family.OWN_CLEAN] == 1


def test_nothing_comes_home_above_the_watermark(node: SendingNode) -> None:
    node.put(0, make_run(1000, 1))
    node.remotify(A)
    [row] = node.elsewhere(0)
    node.put(1, make_run(PAGE_BYTES, 480))
    assert not node.fetch(row)
    drop_run(node.store, node.pool, OBJECT, 1, 480)
    assert node.fetch(row)


def test_nothing_comes_home_when_no_block_can_be_made(node: SendingNode) -> None:
    node.put(0, make_run(PAGE_BYTES, 1))
    node.remotify(A)
    [row] = node.elsewhere(0)
    node.store.room.set_budget(8192)
    assert not node.fetch(row)


def test_an_ephemeral_page_that_comes_home_is_no_copy(cache_node: SendingNode) -> None:
    """Its holder is owed a flush, and it may leave again."""
    run = make_run(1000, 4)
    cache_node.put(0, run)
    cache_node.send_ephemeral(A)
    first, *others = cache_node.elsewhere(0, 4)
    assert cache_node.fetch(first)
    assert cache_node.store.get(cache_node.pool, OBJECT, 0, 1).pages == run[:1]
    zpages = cache_node.store.statistics().zpages
    assert (zpages[Family.OWN_EPHEMERAL], zpages[Family.OWN_CLEAN]) == (1, 0)
    assert cache_node.store.versions.take_owed() == {A: [1]}
    cache_node.send_ephemeral(B)
    assert cache_node.elsewhere(0, 4) == [first, *others]
    assert cache_node.lose(A) == 3
    assert cache_node.elsewhere(0, 4) == [first]


def test_nothing_is_evicted_for_an_ephemeral_page_that_could_come_home(
    cache_node: SendingNode,
) -> None:
    cache_node.put(0, make_run(PAGE_BYTES, 16))
    cache_node.send_ephemeral(A)
    rows = cache_node.elsewhere(0, 16)
    cache_node.put(100, make_run(1000, 14))
    cache_node.store.zbud.set_budget(cache_node.store.zbud.used_bytes)
    cache_node.store.zbud.trim()
    cache_node.store.room.limits = replace(cache_node.store.room.limits, high_watermark=1.0)
    assert not cache_node.fetch(rows[0])
    assert cache_node.store.statistics().evicted_pages_total == 0


# Several at once.


def test_of_many_pages_each_is_judged_by_its_own_row(node: SendingNode) -> None:
    """One is missing, one damaged, one put again, one flushed, and one nobody waits for; the others are what they were."""
    run = make_run(1000, 7)
    node.put(0, run)
    node.remotify(A)
    rows = node.elsewhere(0, 7)
    serials = [node.store.rows.serial(row) for row in rows]
    packed = [node.store.rows.packed(row) for row in rows]
    zpages = [node.zpages[serial] for serial in serials]
    node.put(3, make_run(1000, 1, 50))
    drop_run(node.store, node.pool, OBJECT, 4, 1)
    packed[1], zpages[1] = 0, b""
    zpages[2] = bytes(len(zpages[2]))
    families: list[Family | None] = [Family.OWN_CLEAN] * 7
    families[5] = None
    pages, installed = come_home(
        node.store.room, rows, serials, packed, memoryview(b"".join(zpages)), families
    )
    assert pages == [run[0], None, None, OVERTAKEN, OVERTAKEN, None, run[6]]
    assert installed == node.store.versions.zpages[Family.OWN_CLEAN] == 2
    node.store.check_invariants()
    assert len(node.elsewhere(0, 7)) == 3


def test_a_row_that_no_peer_holds_is_not_the_one_that_was_asked_for(node: SendingNode) -> None:
    """It serves a foreign page by now: serials of others may be those of ours."""
    run = make_run(1000, 1)
    node.put(0, run)
    rows = node.store.rows
    serials, packed = [rows.serial(FIRST_ROW)], [rows.packed(FIRST_ROW)]
    zpage = memoryview(bytes(node.store.versions.zpage(FIRST_ROW)))
    families: list[Family | None] = [Family.OWN_CLEAN]
    asked = (node.store.room, [FIRST_ROW], serials, packed, zpage, families)
    assert come_home(*asked) == ([OVERTAKEN], 0)
    node.remotify(A)
    assert come_home(*asked) == (run, 1)


def test_what_comes_twice_in_one_answer_is_kept_once(node: SendingNode) -> None:
    node.put(0, make_run(1000, 1))
    node.remotify(A)
    [row] = node.elsewhere(0)
    rows = node.store.rows
    zpage = node.zpages[rows.serial(row)]
    pages, installed = come_home(
        node.store.room, [row] * 2, [rows.serial(row)] * 2, [rows.packed(row)] * 2,
        memoryview(zpage * 2), [Family.OWN_CLEAN] * 2,
    )  # fmt: skip
    assert (pages, installed) == (make_run(1000, 1) * 2, 1)
    node.store.check_invariants()


def test_pages_of_all_kinds_come_home_together(node: SendingNode) -> None:
    """Of many classes, each of which has its blocks to be made."""
    run = [make_page(zbytes, zbytes) for zbytes in (PAGE_BYTES, 100, 3000, 100, 2000, PAGE_BYTES)]
    node.put(0, run)
    while node.store.zbud.oldest(Family.OWN_PERSISTENT):
        node.remotify(A)
    rows, table = node.elsewhere(0, 6), node.store.rows
    serials = list(map(table.serial, rows))
    pages, installed = come_home(
        node.store.room, rows, serials, list(map(table.packed, rows)),
        memoryview(b"".join(map(node.zpages.__getitem__, serials))), [Family.OWN_CLEAN] * 6,
    )  # fmt: skip
    assert (pages, installed) == (run, 6)
    node.store.check_invariants()
    assert node.store.get(node.pool, OBJECT, 0, 6).pages == run
