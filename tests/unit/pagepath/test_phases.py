"""Each phase at the end of a pass: what is not done without it, and what goes wrong behind its neighbour."""

from collections.abc import Iterator

import pytest

from nodemanager.ids import NodeId
from nodemanager.states import NodeState
from ramsterd.core.family import Family
from ramsterd.core.page import PAGE_BYTES, PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.pagepath.effects import Effect, Send
from ramsterd.remote import wire
from ramsterd.remote.fetch.pending import PendingGet
from ramsterd.remote.holders.trust import CREDIT_PAGES_FIRST, Distrusted
from ramsterd.remote.wire import MessageType, PutPages
from tests.helpers import columns
from tests.helpers.dropping import drop_run
from tests.helpers.made_engine import (
    FULL,
    INCARNATION,
    OBJECT,
    ONE,
    OTHER,
    MadeEngine,
    as_frame,
    sends,
)
from tests.helpers.made_pages import joined, make_run

# Raw pages: the most below the high watermark of a node of 2 MiB, and the fewest above it.
MOST, SHORT = 464, 480


@pytest.fixture
def made() -> Iterator[MadeEngine]:
    made = MadeEngine()
    made.link(ONE)
    made.settle()
    yield made
    made.engine.check_invariants()


def types_to(effects: list[Effect], node: NodeId) -> list[int]:
    """Return the frames to a peer, its STATUS apart."""
    return [
        each.type
        for each in sends(effects)
        if each.node == node and each.type != MessageType.STATUS
    ]


def serials_of(send: Send) -> set[int]:
    """Return the serials that a PUT or a flush names."""
    if send.type == MessageType.PUT_PAGES:
        return set(PutPages.parse(as_frame(send)).serials)
    ranges = columns.ranges_of(*wire.parse_flush(as_frame(send)))
    return {serial for first, last in ranges for serial in range(first, last + 1)}


# Long work.


def test_long_work_goes_on_in_each_pass(made: MadeEngine) -> None:
    made.put(MOST)
    made.engine.begin_audit()
    for _ in range(100):
        made.now += 0.01
        made.engine.settle(made.now)
    assert not made.engine.statistics().audit.is_running


def test_a_pass_makes_room_in_the_tables_for_a_put_that_waits(made: MadeEngine) -> None:
    cache = made.engine.new_pool(PoolKind.EPHEMERAL, program_pool("cache"))
    pages = joined(make_run(PAGE_BYTES, 16, 1))
    assert made.engine.store.put(cache, OBJECT, 0, pages) == 16
    made.engine.store.room.wants_tables = Family.OWN_PERSISTENT
    made.settle()
    assert made.engine.store.versions.zpages[Family.OWN_EPHEMERAL] == 0


def test_room_that_long_work_makes_is_there_for_what_follows(made: MadeEngine) -> None:
    """The cache goes for the tables; so the memory is not short any more, and the disk stays."""
    cache = made.engine.new_pool(PoolKind.EPHEMERAL, program_pool("cache"))
    made.put(FULL - 32)
    pages = joined(make_run(PAGE_BYTES, 16, 1))
    assert made.engine.store.put(cache, OBJECT, 0, pages) == 16
    made.engine.store.room.wants_tables = Family.OWN_PERSISTENT
    assert types_to(made.settle(), ONE) == []


# What is owed.


def test_what_is_adopted_as_it_would_be_dropped_is_flushed_before_it_is_sent_again(
    made: MadeEngine,
) -> None:
    """Else the flush would come behind the PUT of the same version, and destroy it."""
    made.replicate(MOST)
    made.link(OTHER)
    made.engine.store.set_copies(made.disk, 2)
    made.wait(1.0)
    # Fewer than must leave: so adopted ones leave too.
    made.put(SHORT - MOST, index=1000)
    sent: set[int] = set()
    flushed: set[int] = set()
    for send in sends(made.settle() + made.wait(1.0)):
        if send.node == ONE and send.type == MessageType.FLUSH_PAGES:
            flushed |= serials_of(send)
            assert not flushed & sent
        elif send.node == ONE and send.type == MessageType.PUT_PAGES:
            sent |= serials_of(send)
    assert flushed & sent


def test_what_is_owed_leaves_when_it_is_due(made: MadeEngine) -> None:
    made.store_at(ONE)
    drop_run(made.engine.store, made.disk, OBJECT, 0, 8)
    made.settle()
    made.now += 1.0
    assert types_to(made.engine.settle(made.now), ONE) == [MessageType.FLUSH_PAGES]


# What is replicated.


def test_what_was_adopted_meanwhile_is_sent_in_the_same_pass(made: MadeEngine) -> None:
    """A client waits for that; and no other event may follow."""
    made.replicate(32)
    made.link(OTHER)
    made.engine.on_link_lost(ONE, INCARNATION, now=made.now)
    made.settle()
    made.now += 1.0
    assert made.engine.replicate(made.disk, OBJECT, 0, 1 << 20, now=made.now) is not None
    puts = sends(made.engine.settle(made.now), MessageType.PUT_PAGES)
    assert {each.node for each in puts} == {OTHER}


# Checks.


def test_a_peer_with_much_that_is_unproven_is_asked_for_one_page(made: MadeEngine) -> None:
    made.store_at(ONE)
    made.engine.machines.trust.on_stored(ONE, CREDIT_PAGES_FIRST // 2)
    (get,) = sends(made.engine.settle(made.now), MessageType.GET_PAGES)
    assert (get.node, get.count) == (ONE, 1)


def test_a_peer_that_is_sent_pages_in_this_pass_is_to_be_checked_still(made: MadeEngine) -> None:
    """It has nothing to prove yet, and will have soon."""
    trust = made.engine.machines.trust
    made.store_at(ONE)
    drop_run(made.engine.store, made.disk, OBJECT, 0, FULL)
    made.settle()
    trust.on_stored(ONE, CREDIT_PAGES_FIRST // 2)
    made.put(16)
    assert made.engine.replicate(made.disk, OBJECT, 0, 16, now=made.now) is not None
    assert MessageType.PUT_PAGES in types_to(made.engine.settle(made.now), ONE)
    assert trust.to_check == {ONE}


# Gets.


def test_a_get_whose_holder_has_lost_its_link_goes_to_another_in_this_pass(
    made: MadeEngine,
) -> None:
    made.link(OTHER)
    made.engine.store.set_copies(made.disk, 2)
    made.wait(1.0)
    made.put(FULL)
    made.store_all(made.settle())
    pending = made.engine.get(made.disk, OBJECT, 0, 1, now=made.now)
    assert isinstance(pending, PendingGet)
    fetches = made.engine.machines.fetches
    (queued,) = fetches.queued_holders()
    lost = made.engine.machines.holders[queued].node
    made.engine.on_link_lost(lost, INCARNATION, now=made.now)
    (get,) = sends(made.engine.settle(made.now), MessageType.GET_PAGES)
    assert {get.node, lost} == {ONE, OTHER}


# Lists.


def test_a_holder_is_told_what_may_go_before_it_is_asked_what_it_keeps(made: MadeEngine) -> None:
    made.store_at(ONE)
    made.engine.on_link_lost(ONE, INCARNATION, now=made.now)
    drop_run(made.engine.store, made.disk, OBJECT, 0, 8)
    made.settle()
    made.engine.on_link_up(ONE, INCARNATION, attach_count=1, now=made.now)
    types = types_to(made.engine.settle(made.now), ONE)
    assert types == [MessageType.FLUSH_PAGES, MessageType.LIST_PAGES]


# What is found out.


def test_pages_that_left_for_too_few_peers_are_at_risk(made: MadeEngine) -> None:
    made.engine.store.set_copies(made.disk, 2)
    made.put(FULL)
    made.store_all(made.wait(10.0))
    made.settle()
    assert made.engine.pages_there(ONE)
    assert made.engine.statistics().rebuild.pages_at_risk == made.engine.pages_there(ONE)


def test_rows_of_a_holder_that_is_down_are_swept(made: MadeEngine) -> None:
    made.store_at(ONE)
    holder = made.engine.machines.holders.living(ONE)
    assert holder is not None
    made.engine.on_link_lost(ONE, INCARNATION, now=made.now)
    made.judge(ONE, NodeState.DOWN)
    made.settle()
    assert holder.is_unswept
    made.wait(1.0)
    assert not holder.is_unswept


def test_a_bad_copy_is_told_in_the_pass_in_which_it_is_found(made: MadeEngine) -> None:
    made.store_at(ONE)
    made.engine.get(made.disk, OBJECT, 0, 1, now=made.now)
    (get,) = sends(made.settle(), MessageType.GET_PAGES)
    told = made.frame(
        ONE, MessageType.GET_PAGES, 1, wire.get_reply_table([0]),
        request_id=get.request_id, is_reply=True,
    )  # fmt: skip
    assert [each.node for each in told if isinstance(each, Distrusted)] == [ONE]
