"""Which pages of a run only peers have: the same by both kinds of loops."""

import random

from ramsterd.core.elsewhere import Elsewhere, find_elsewhere
from ramsterd.core.page import PAGE_BYTES
from ramsterd.core.table import LEAF_PAGES
from tests.helpers.disk import OBJECT
from tests.helpers.made_pages import make_fill, make_run
from tests.helpers.requirements import require_compiled
from tests.helpers.sending_node import A, B, SendingNode

PAGES = 3 * LEAF_PAGES


def find(node: SendingNode, index: int, count: int) -> Elsewhere:
    page_object = node.store.pools[node.pool].find_object(OBJECT)
    assert page_object is not None
    return find_elsewhere(node.store.versions, page_object, index, count)


def test_both_kinds_of_loops_find_the_same(node: SendingNode) -> None:
    require_compiled()
    rng = random.Random(1)
    for holders in ((A,), (A, B), (B,)):
        for _ in range(8):
            node.put(rng.randrange(PAGES), make_run(1000, rng.randrange(1, 20)))
        node.remotify(*holders)
    node.put(5, make_run(700, 3))
    node.put(70, [make_fill(3), bytes(PAGE_BYTES)])
    runs = [(0, PAGES + 9), (PAGES + 100, 9), (0, 0)]
    runs += [(rng.randrange(PAGES), rng.randrange(PAGES)) for _ in range(50)]
    versions = node.store.versions
    loops = versions.loops
    found = [find(node, *run) for run in runs]
    versions.loops = None
    assert found == [find(node, *run) for run in runs]
    versions.loops = loops
    everywhere = found[0]
    assert {*everywhere.firsts} == {A, B}
    assert any(everywhere.seconds)
    assert everywhere.rows == node.elsewhere(0, PAGES)
