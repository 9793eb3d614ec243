"""What becomes of pages when a link, a verdict, a member or an incarnation changes."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from nodemanager.events import NodeDown, NodeUp
from nodemanager.ids import Incarnation
from nodemanager.states import NodeState
from ramsterd.core.page import PoolKind
from ramsterd.pagepath.effects import CloseLink
from ramsterd.remote import wire
from ramsterd.remote.fetch.pending import GetOutcome
from ramsterd.remote.holders.row_sweeps import GRACE_SECONDS
from ramsterd.remote.wire import MessageType
from tests.helpers.clusters import cluster_of
from tests.helpers.foreign_puts import put
from tests.helpers.made_engine import INCARNATION, OBJECT, ONE, OTHER, MadeEngine, sends


@pytest.fixture
def made() -> Iterator[MadeEngine]:
    made = MadeEngine(orphan_seconds=60.0)
    made.link(ONE)
    made.settle()
    made.engine.take_node_events()
    yield made
    made.engine.check_invariants()


def keep_foreign(made: MadeEngine) -> None:
    """Keep 16 pages of node 1."""
    put(made.engine.machines.foreign, PoolKind.PERSISTENT, range(1, 17), owner=ONE)
    assert made.engine.pages_here(ONE) == 16


def test_a_holder_that_lost_its_link_counts_until_it_is_judged_down(made: MadeEngine) -> None:
    made.store_at(ONE)
    holder = made.engine.machines.holders.living(ONE)
    assert holder is not None
    row = next(
        row for row in made.engine.store.rows.live() if made.engine.store.rows.first_holder(row)
    )
    reach = made.engine.machines.reach
    made.engine.on_link_lost(ONE, INCARNATION, now=made.now)
    assert (reach.reachable_holders(row), reach.counted_holders(row)) == (0, 1)
    assert made.engine.statistics().rebuild.pages_at_risk == holder.pages
    made.judge(ONE, NodeState.DOWN)
    assert reach.counted_holders(row) == 0
    made.engine.on_link_up(ONE, INCARNATION, now=made.now)
    assert reach.counted_holders(row) == 1
    made.engine.on_link_lost(ONE, INCARNATION, now=made.now)
    made.wait(GRACE_SECONDS)
    assert reach.counted_holders(row) == 0


def test_a_holder_that_lost_its_link_after_it_was_judged_down_does_not_count(
    made: MadeEngine,
) -> None:
    made.store_at(ONE)
    holder = made.engine.machines.holders.living(ONE)
    assert holder is not None
    made.judge(ONE, NodeState.DOWN)
    made.engine.on_link_lost(ONE, INCARNATION, now=made.now)
    assert not holder.is_awaited


def test_a_peer_that_is_linked_hears_how_we_are_at_once(made: MadeEngine) -> None:
    made.engine.on_link_up(OTHER, INCARNATION, now=made.now)
    (status,) = sends(made.settle(), MessageType.STATUS)
    assert status.node == OTHER


def test_a_link_of_an_incarnation_that_has_ended_is_closed(made: MadeEngine) -> None:
    made.link(ONE, Incarnation(5))
    made.engine.on_link_up(ONE, INCARNATION, now=made.now)
    assert [each for each in made.settle() if isinstance(each, CloseLink)] == [
        CloseLink(ONE, "node node1 has a later start than 1970-01-01 00:00:00.001 UTC")
    ]


def test_a_holder_without_a_link_keeps_what_it_has(made: MadeEngine) -> None:
    stored = made.store_at(ONE)
    made.engine.on_link_lost(ONE, INCARNATION, now=made.now)
    assert made.engine.pages_there(ONE) == stored
    assert made.engine.look(made.disk, OBJECT, 0, 1) is not GetOutcome.LOST
    assert made.engine.store.copies.unreachable_holders == {1}
    made.link(ONE)
    assert made.engine.store.copies.unreachable_holders == set()


def test_a_new_incarnation_of_an_owner_ends_its_pages_here(made: MadeEngine) -> None:
    keep_foreign(made)
    made.judge(ONE, NodeState.UP, Incarnation(2))
    assert made.engine.pages_here(ONE) == 0


def test_an_owner_that_is_down_keeps_its_pages_for_a_while(made: MadeEngine) -> None:
    keep_foreign(made)
    made.engine.on_link_lost(ONE, INCARNATION, now=made.now)
    made.judge(ONE, NodeState.DOWN)
    made.wait(59)
    assert made.engine.pages_here(ONE) == 16
    made.wait(2)
    assert made.engine.pages_here(ONE) == 0


def test_an_owner_that_is_back_in_time_keeps_them(made: MadeEngine) -> None:
    keep_foreign(made)
    made.engine.on_link_lost(ONE, INCARNATION, now=made.now)
    made.judge(ONE, NodeState.DOWN)
    made.wait(30)
    made.link(ONE)
    made.wait(60)
    assert made.engine.pages_here(ONE) == 16


def test_a_peer_that_gave_up_its_pages_has_left_when_its_link_ends(made: MadeEngine) -> None:
    keep_foreign(made)
    made.frame(ONE, MessageType.FLUSH_OWNER, 1, wire.owner_table(INCARNATION))
    made.engine.on_link_lost(ONE, INCARNATION, now=made.now)
    assert made.engine.nodes.state(ONE) is NodeState.LEFT
    assert made.engine.pages_here(ONE) == 0


def test_a_peer_that_has_purged_us_holds_nothing_any_more(made: MadeEngine) -> None:
    made.store_at(ONE)
    made.engine.on_link_lost(ONE, INCARNATION, now=made.now)
    made.link(ONE)
    made.hear(ONE, held=0)
    assert made.engine.pages_there(ONE) == 0
    assert made.get_outcome(0) is GetOutcome.LOST


def test_what_a_removed_node_held_is_lost_and_what_it_owned_goes(made: MadeEngine) -> None:
    keep_foreign(made)
    made.store_at(ONE)
    cluster = cluster_of(3)
    left = replace(cluster, node=tuple(each for each in cluster.node if each.number != ONE))
    assert made.engine.on_members(left, now=made.now) == [ONE]
    made.engine.on_link_lost(ONE, INCARNATION, now=made.now)
    made.engine.on_member_removed(ONE)
    assert made.get_outcome(0) is GetOutcome.LOST
    assert made.engine.pages_here(ONE) == 0
    assert ONE not in made.engine.nodes


def test_events_are_told_once(made: MadeEngine) -> None:
    made.link(OTHER)
    assert made.engine.take_node_events() == [NodeUp(OTHER, INCARNATION)]
    assert made.engine.take_node_events() == []
    made.judge(OTHER, NodeState.SUSPECT)
    made.judge(OTHER, NodeState.DOWN)
    assert any(isinstance(each, NodeDown) for each in made.engine.take_node_events())
