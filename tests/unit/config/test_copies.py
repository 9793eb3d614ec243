"""How many copies a page has by default."""

from dataclasses import replace

import pytest

from config.copies import default_copies
from config.model import ClusterConfig
from tests.helpers.clusters import cluster_of


def draining(cluster: ClusterConfig) -> ClusterConfig:
    first, *others = cluster.node
    return replace(cluster, node=(replace(first, draining=True), *others))


@pytest.mark.parametrize(("nodes", "copies"), [(1, 1), (2, 1), (3, 2), (4, 2)])
def test_the_default_needs_two_peers(nodes: int, copies: int) -> None:
    assert default_copies(cluster_of(nodes)) == copies


def test_a_node_that_drains_is_none_to_keep_copies() -> None:
    assert default_copies(draining(cluster_of(3))) == 1
    assert default_copies(draining(cluster_of(4))) == 2
