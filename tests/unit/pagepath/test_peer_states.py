"""What becomes of pages when a link, a verdict, a member or an incarnation changes."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from nodemanager.events import NodeDown, NodeUp
from nodemanager.ids import Incarnation
from nodemanager.states import NodeState
from ramsterd.core.page import PAGE_BYTES, PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.pagepath.effects import CloseLink
from ramsterd.remote import wire
from ramsterd.remote.fetch.pending import GetOutcome, PendingGet
from ramsterd.remote.holders.reach import ReachableCopies
from ramsterd.remote.holders.row_sweeps import GRACE_SECONDS
from ramsterd.remote.holders.trust import CREDIT_PAGES_FIRST, BadCopy
from ramsterd.remote.wire import MessageType, PutResult
from tests.helpers.clusters import cluster_of
from tests.helpers.dropping import drop_run
from tests.helpers.foreign_puts import put
from tests.helpers.made_engine import FULL, INCARNATION, OBJECT, ONE, OTHER, MadeEngine, sends
from tests.helpers.made_pages import MIB, joined, make_run


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
    rows, reach = made.engine.store.rows, made.engine.machines.reach
    holders = next(filter(None, map(rows.holders, rows.live())))
    made.engine.on_link_lost(ONE, INCARNATION, now=made.now)
    assert reach.copies_at(holders) == ReachableCopies(0, 1, frozenset())
    assert made.engine.statistics().rebuild.pages_at_risk == holder.pages
    made.judge(ONE, NodeState.DOWN)
    assert reach.copies_at(holders).counted == 0
    made.engine.on_link_up(ONE, INCARNATION, now=made.now)
    assert reach.copies_at(holders).counted == 1
    made.engine.on_link_lost(ONE, INCARNATION, now=made.now)
    made.wait(GRACE_SECONDS)
    assert reach.copies_at(holders).counted == 0


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


# What becomes of machines.


def recall_all(made: MadeEngine) -> None:
    """Have node 1 recall the pages that it keeps."""
    made.store_at(ONE)
    made.frame(ONE, MessageType.RECALL, 1, wire.recall_table(0))
    assert made.engine.statistics().owner_recall.recall_pages


def test_what_a_holder_recalls_is_void_when_its_link_is_lost(made: MadeEngine) -> None:
    recall_all(made)
    made.engine.on_link_lost(ONE, INCARNATION, now=made.now)
    assert not made.engine.statistics().owner_recall.recall_pages


def test_what_an_incarnation_recalls_is_void_when_it_is_over(made: MadeEngine) -> None:
    recall_all(made)
    made.judge(ONE, NodeState.UP, Incarnation(2))
    assert not made.engine.statistics().owner_recall.recall_pages


def test_a_holder_that_is_lost_again_is_no_copy_for_a_client_that_waits_for_one(
    made: MadeEngine,
) -> None:
    """Clean blocks were looked through when it was lost first, and are again: what it stored since is nowhere else."""

    def replicate(index: int) -> bool:
        """Have 16 more pages replicated by who is linked, and the whole disk; return whether it waits for peers."""
        made.put(16, index)
        made.engine.replicate(made.disk, OBJECT, 0, 1 << 20, now=made.now)
        for sent in sends(made.wait(0.1), MessageType.PUT_PAGES):
            made.answer_put(sent)
        made.wait(0.1)
        return made.engine.replicate(made.disk, OBJECT, 0, 1 << 20, now=made.now) is not None

    assert not replicate(0)
    made.link(OTHER)
    made.engine.on_link_lost(ONE, INCARNATION, now=made.now)
    assert not replicate(16), "the other has all by now"
    made.engine.on_link_lost(OTHER, INCARNATION, now=made.now)
    made.link(ONE)
    assert not replicate(32)
    made.engine.on_link_lost(ONE, INCARNATION, now=made.now)
    made.link(OTHER)
    assert made.engine.replicate(made.disk, OBJECT, 0, 1 << 20, now=made.now) is not None


def test_an_incarnation_that_is_over_is_owed_nothing(made: MadeEngine) -> None:
    made.store_at(ONE)
    made.engine.on_link_lost(ONE, INCARNATION, now=made.now)
    drop_run(made.engine.store, made.disk, OBJECT, 0, 8)
    made.settle()
    made.engine.on_link_up(ONE, Incarnation(2), now=made.now)
    assert not sends(made.settle() + made.wait(1.0), MessageType.FLUSH_PAGES)


def test_cached_pages_that_an_incarnation_was_sent_are_forgotten_with_it() -> None:
    made = MadeEngine(ephemeral=True)
    made.link(ONE)
    cache = made.engine.new_pool(PoolKind.EPHEMERAL, program_pool("cache"))
    pages = joined(make_run(PAGE_BYTES, FULL))
    assert made.engine.store.put(cache, OBJECT, 0, pages) == FULL
    for sent in sends(made.settle(), MessageType.PUT_PAGES):
        made.answer_put(sent)
    holder = made.engine.machines.holders.living(ONE)
    assert holder is not None
    assert made.engine.machines.remotifier.sent_serials(holder.id)
    made.judge(ONE, NodeState.UP, Incarnation(2))
    assert not made.engine.machines.remotifier.sent_serials(holder.id)


def test_a_peer_that_holds_nothing_is_believed_only_when_no_put_may_arrive(
    made: MadeEngine,
) -> None:
    stored = made.store_at(ONE)
    made.put(64, index=1000)
    (sent, *_) = sends(made.settle(), MessageType.PUT_PAGES)
    made.hear(ONE, held=0)
    assert made.engine.pages_there(ONE) == stored
    made.answer_put(sent)
    made.hear(ONE, held=0)
    assert made.engine.pages_there(ONE) == 0


def test_a_peer_without_a_link_leaves_no_put_in_doubt(made: MadeEngine) -> None:
    made.put(FULL)
    for sent in sends(made.settle(), MessageType.PUT_PAGES):
        made.engine.on_request_failed(sent.request_id)
    assert made.engine.machines.remotifier.has_put_to(ONE), "it may still arrive"
    made.engine.on_link_lost(ONE, INCARNATION, now=made.now)
    assert not made.engine.machines.remotifier.has_put_to(ONE)


def test_a_flush_that_was_sent_and_may_not_have_arrived_is_sent_again(made: MadeEngine) -> None:
    made.store_at(ONE)
    drop_run(made.engine.store, made.disk, OBJECT, 0, 8)
    assert sends(made.wait(0.1), MessageType.FLUSH_PAGES)
    made.engine.on_link_lost(ONE, INCARNATION, now=made.now)
    made.engine.on_link_up(ONE, INCARNATION, now=made.now)
    assert sends(made.settle(), MessageType.FLUSH_PAGES)


def test_an_owner_without_a_link_is_told_no_list(made: MadeEngine) -> None:
    keep_foreign(made)
    lists = made.engine.machines.page_lists
    lists.on_request(ONE, 5, 1)
    made.engine.on_link_lost(ONE, INCARNATION, now=made.now)
    made.wait(1.0)
    assert lists.answered_total == 0


def test_an_incarnation_that_is_over_has_nothing_to_prove_and_nothing_to_compare(
    made: MadeEngine,
) -> None:
    made.store_at(ONE)
    made.engine.on_link_lost(ONE, INCARNATION, now=made.now)
    made.engine.on_link_up(ONE, INCARNATION, attach_count=1, now=made.now)
    made.engine.machines.trust.on_stored(ONE, CREDIT_PAGES_FIRST)
    made.judge(ONE, NodeState.UP, Incarnation(2))
    assert not made.engine.machines.trust.to_check
    assert not made.engine.statistics().reconcile.reconciling_holders


def test_what_only_an_incarnation_had_that_is_over_is_lost_to_who_waits_for_it(
    made: MadeEngine,
) -> None:
    made.store_at(ONE)
    pending = made.get()
    made.settle()
    made.judge(ONE, NodeState.UP, Incarnation(2))
    made.engine.settle(made.now)
    assert pending.outcome is GetOutcome.LOST


def test_what_is_here_of_an_incarnation_that_is_over_stays_before_the_sweep_has_come_to_it(
    made: MadeEngine,
) -> None:
    made.replicate(464)
    made.judge(ONE, NodeState.UP, Incarnation(2))
    made.put(32, index=1000)
    made.engine.settle(made.now)
    assert made.engine.store.pages_of(made.disk) == 496
    assert made.engine.look(made.disk, OBJECT, 0, 1) is not GetOutcome.LOST
    made.wait(1.0)
    assert made.engine.store.versions.counters.lost == 0


def test_who_waits_for_a_holder_that_is_down_waits_no_more(made: MadeEngine) -> None:
    made.store_at(ONE)
    pending = made.get()
    made.settle()
    made.judge(ONE, NodeState.DOWN)
    assert pending.outcome is GetOutcome.UNREACHABLE


def test_who_waits_for_a_cached_page_does_not_wait_for_a_suspect() -> None:
    made = MadeEngine(ephemeral=True)
    made.link(ONE)
    cache = made.engine.new_pool(PoolKind.EPHEMERAL, program_pool("cache"))
    made.engine.store.put(cache, OBJECT, 0, joined(make_run(PAGE_BYTES, FULL)))
    made.store_all(made.settle())
    pending = made.engine.get(cache, OBJECT, 0, 1, now=made.now)
    assert isinstance(pending, PendingGet)
    assert sends(made.settle(), MessageType.GET_PAGES)
    made.judge(ONE, NodeState.SUSPECT)
    assert pending.is_over
    assert pending.pages == [None]


def test_a_peer_that_gave_a_page_back_has_proved_itself_once_it_says_that_it_holds_some(
    made: MadeEngine,
) -> None:
    trust = made.engine.machines.trust
    made.store_at(ONE)
    trust.on_bad(ONE, BadCopy.MISSING, 1, made.now)
    trust.on_stored(ONE, 1)
    trust.on_proof(ONE, made.now)
    before = trust.statistics(made.now)[ONE]
    made.hear(ONE)
    after = trust.statistics(made.now)[ONE]
    assert (before.unproven_pages, after.unproven_pages) == (1, 0)
    assert after.credit_pages > before.credit_pages


def test_nothing_is_remembered_against_a_node_that_was_removed(made: MadeEngine) -> None:
    refuse_all(made)
    assert made.engine.machines.remotifier.candidates.refusals()
    cluster = cluster_of(3)
    left = replace(cluster, node=tuple(each for each in cluster.node if each.number != ONE))
    made.engine.on_members(left, now=made.now)
    made.engine.on_link_lost(ONE, INCARNATION, now=made.now)
    made.engine.on_member_removed(ONE)
    assert not made.engine.machines.remotifier.candidates.refusals()


def refuse_all(made: MadeEngine) -> None:
    """Have node 1, which has room for some, refuse all pages, and be left alone for it."""
    made.hear(ONE, free_bytes=32 * MIB)
    made.put(FULL)
    for sent in sends(made.settle(), MessageType.PUT_PAGES):
        made.answer_put(sent, PutResult.NO_ROOM)
    assert not sends(made.hear(ONE, free_bytes=32 * MIB), MessageType.PUT_PAGES)


def test_a_peer_with_more_room_than_before_gets_what_it_has_refused(made: MadeEngine) -> None:
    refuse_all(made)
    assert sends(made.hear(ONE, free_bytes=33 * MIB), MessageType.PUT_PAGES)


def test_a_new_incarnation_has_refused_nothing(made: MadeEngine) -> None:
    refuse_all(made)
    made.engine.on_link_lost(ONE, INCARNATION, now=made.now)
    made.engine.on_link_up(ONE, Incarnation(2), now=made.now)
    assert sends(made.hear(ONE, Incarnation(2), free_bytes=32 * MIB), MessageType.PUT_PAGES)
