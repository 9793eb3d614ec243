"""What is said of a page that finds no peer."""

import random

import pytest

from config.model import ClusterConfig, DaemonConfig, MemoryConfig, NodeConfig, RemoteConfig
from nodemanager.ids import Incarnation, NodeId
from ramsterd.core.page import PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.pagepath.engine import Engine
from ramsterd.remote.send.placing import Shortage
from tests.helpers.fresh_pages import fresh_pages

MIB = 1 << 20


def make_engine() -> Engine:
    nodes = tuple(
        NodeConfig(number=n, name=f"n{n}", address="127.0.0.1", port=7700 + n) for n in (1, 2)
    )
    return Engine(
        daemon=DaemonConfig(
            node="n1",
            cluster=None,  # type: ignore[arg-type]  # nothing is read
            memory=MemoryConfig(budget=8 * MIB),
            remote=RemoteConfig(copies=1),
        ),
        cluster=ClusterConfig(name="test", node=nodes),
        local=NodeId(1),
        incarnation=Incarnation(1),
        kept=fresh_pages(MemoryConfig(budget=8 * MIB)),
        rng=random.Random(1),
    )


def test_a_node_without_a_pool_of_its_own_can_be_short_too() -> None:
    """It keeps pages for others, or has only a cache: the question came from an ephemeral pool or a page that waits."""
    engine = make_engine()
    engine.new_pool(PoolKind.EPHEMERAL, program_pool("cache"))
    assert engine.shortage(0.0) == Shortage(
        peers=1, peers_up=0, peers_with_room=0, pool="", copies=0, fewest_copies=0
    )


def test_it_names_the_pool_that_asks_for_most_copies() -> None:
    engine = make_engine()
    engine.new_pool(PoolKind.PERSISTENT, program_pool("scratch"), copies=1)
    engine.new_pool(PoolKind.PERSISTENT, program_pool("safe"), copies=2, is_replicated=True)
    found = engine.shortage(0.0)
    assert (found.pool, found.copies, found.fewest_copies) == ("0/safe", 2, 2)


@pytest.mark.parametrize(
    ("peers_up", "fewest_copies", "told"),
    [
        (
            3, 1,
            ("peers: 3, up: 3, with room: 0; pages of swap0 leave only for 1 peer or more with room (copies = 2):"
            " type `ramsterctl memory set --budget SIZE` on a node with free memory, or add a node"),
        ),
        (
            2, 2,
            ("peers: 3, up: 2, with room: 0; pages of swap0 leave only for 2 peers or more with room (copies = 2):"
            " type `systemctl start ramsterd` on the nodes that are down"),
        ),
    ],
)  # fmt: skip
def test_it_says_what_to_type(peers_up: int, fewest_copies: int, told: str) -> None:
    shortage = Shortage(
        peers=3, peers_up=peers_up, peers_with_room=0, pool="swap0", copies=2, fewest_copies=fewest_copies
    )  # fmt: skip
    assert str(shortage) == told
