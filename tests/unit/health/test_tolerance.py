from dataclasses import replace

import pytest

from ramsterd.health.facts import Facts
from ramsterd.health.tolerance import failure_tolerance
from tests.helpers.health_facts import FACTS, down, peer, with_pages, with_peers


@pytest.mark.parametrize(
    ("facts", "nodes"),
    [
        (FACTS, 1),
        (with_pages(copies=1), 0),
        (with_pages(copies=3), 1),
        (replace(with_pages(copies=3), peers=tuple(peer(f"n{each}") for each in range(5))), 2),
        (with_pages(at_risk=1), 0),
        (with_pages(is_counting_risk=True), 0),
        (with_peers(peer("beta"), down("gamma")), 0),
        (with_peers(peer("beta"), peer("gamma"), down("delta")), 1),
        (with_peers(), 0),
    ],
    ids=[
        "two copies at two peers", "one copy", "three copies at two peers", "three copies at five",
        "pages at risk", "risk that is being counted", "one peer is left", "two peers are left",
        "no peer",
    ],
)  # fmt: skip
def test_it_is_how_many_nodes_may_end_without_a_lost_page(facts: Facts, nodes: int) -> None:
    assert failure_tolerance(facts) == nodes
