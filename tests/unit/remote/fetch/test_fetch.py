"""What becomes of a get that waits for pages at peers: each way in which it ends."""

import pytest

from net.errors import RemoteProtocolError
from net.frame import Frame
from nodemanager.ids import NodeId
from ramsterd.core.page import PAGE_BYTES, PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.remote import wire
from ramsterd.remote.fetch.pending import GetOutcome, PendingGet
from ramsterd.remote.fetch.statistics import FetchStatistics
from ramsterd.remote.limits.hedge_delay import HEDGE_SECONDS_FIRST
from ramsterd.remote.wire import MessageType
from tests.helpers.dropping import drop_pool, drop_run
from tests.helpers.made_owner import BLOCK_PAGES, ONE, OTHER, Owner
from tests.helpers.made_pages import joined, make_run

pytestmark = pytest.mark.usefixtures("each_loops")

DEADLINE = 10.0
# As `Owner.put` makes the pages of its first block.
PAGES = make_run(PAGE_BYTES, BLOCK_PAGES, 1)


def owner_of_a_block(*nodes: NodeId) -> Owner:
    """Return the owner of a block whose pages are at these nodes only, from index 0 on."""
    owner = Owner(copies=len(nodes))
    owner.put_and_send(*nodes)
    return owner


def get(owner: Owner, index: int = 0, count: int = 1, *, deadline: float = DEADLINE) -> PendingGet:
    """Have a get wait for what is elsewhere."""
    run = owner.store.get(owner.pool, b"", index, count)
    pending = PendingGet(owner.pool, b"", range(index, index + count), list(run.pages), deadline)
    owner.fetches.wait(pending, run)
    owner.fetches.check_invariants()
    return pending


def put_again(owner: Owner, index: int) -> bytes:
    page = make_run(PAGE_BYTES, 1, seed=99)[0]
    assert owner.store.put(owner.pool, b"", index, joined([page])) == 1
    return page


def at(owner: Owner, node: NodeId) -> int:
    return owner.holder(node).id


def statistics(owner: Owner) -> FetchStatistics:
    return owner.fetches.statistics()


def asked_node(owner: Owner) -> NodeId:
    """Return the one node that is about to be asked."""
    [holder] = owner.fetches.queued_holders()
    return owner.holders[holder].node


# Answers.


def test_pages_that_come_are_served_and_kept() -> None:
    owner = owner_of_a_block(ONE)
    pending = get(owner, 0, 4)
    assert owner.answer() == [pending]
    assert (pending.pages, pending.outcome) == (PAGES[:4], None)
    assert owner.store.get(owner.pool, b"", 0, 4).pages == PAGES[:4]
    now = statistics(owner)
    assert (now.fetched_pages_total, now.localified_pages_total, now.wanted_pages) == (4, 4, 0)


def test_a_page_that_two_gets_want_is_asked_for_once() -> None:
    owner = owner_of_a_block(ONE)
    first, second = get(owner, 0, 2), get(owner, 1, 2)
    assert set(owner.answer()) == {first, second}
    assert (first.pages, second.pages) == (PAGES[:2], PAGES[1:3])
    assert statistics(owner).fetched_pages_total == 3


def test_an_answer_that_does_not_fit_is_the_peers_fault_and_its_request_goes_on() -> None:
    owner = owner_of_a_block(ONE)
    pending = get(owner, 0, 2)
    [request_id] = owner.begin_requests()
    empty = memoryview(b"")
    frame = Frame(MessageType.GET_PAGES, True, request_id, 0, empty, empty)
    with pytest.raises(RemoteProtocolError):
        owner.fetches.on_reply(request_id, frame, 0.0)
    assert statistics(owner).requests_in_flight == 1
    assert owner.reply(request_id) == [pending]


def test_a_damaged_copy_is_not_served_and_the_other_holder_is_asked() -> None:
    owner = owner_of_a_block(ONE, OTHER)
    pending = get(owner)
    bad_node = asked_node(owner)
    [request_id] = owner.begin_requests()
    assert owner.reply(request_id, flip=0x55) == []
    assert asked_node(owner) != bad_node
    assert owner.answer() == [pending]
    assert pending.pages == PAGES[:1]
    assert len(owner.thinned) == statistics(owner).corrupt_pages_total == 1


# What happens while a page is on its way.


def test_a_page_that_was_put_again_is_the_newer_one() -> None:
    owner = owner_of_a_block(ONE)
    pending = get(owner)
    [request_id] = owner.begin_requests()
    newer = put_again(owner, 0)
    assert owner.reply(request_id) == [pending]
    assert pending.pages == [newer]
    assert statistics(owner).overtaken_pages_total == 1


def test_a_page_that_was_dropped_is_a_hole() -> None:
    owner = owner_of_a_block(ONE)
    pending = get(owner)
    [request_id] = owner.begin_requests()
    assert drop_run(owner.store, owner.pool, b"", 0, 1) == 1
    assert owner.reply(request_id) == [pending]
    assert (pending.pages, pending.outcome) == ([None], None)


def test_a_page_of_a_pool_that_was_destroyed_is_nothing() -> None:
    owner = owner_of_a_block(ONE)
    pending = get(owner)
    [request_id] = owner.begin_requests()
    drop_pool(owner.store, owner.pool)
    assert owner.reply(request_id) == [pending]
    assert (pending.pages, pending.outcome) == ([None], None)


# No answer.


def test_a_request_that_fails_goes_to_another_holder() -> None:
    owner = owner_of_a_block(ONE, OTHER)
    pending = get(owner)
    first = asked_node(owner)
    [request_id] = owner.begin_requests()
    owner.fetches.on_request_failed(request_id)
    assert asked_node(owner) != first
    assert owner.answer() == [pending]
    assert pending.pages == PAGES[:1]


def test_a_request_that_fails_at_the_only_holder_waits_for_it() -> None:
    owner = owner_of_a_block(ONE)
    pending = get(owner)
    [request_id] = owner.begin_requests()
    owner.linked.clear()
    owner.fetches.on_request_failed(request_id)
    assert not pending.is_over
    assert asked_node(owner) == ONE
    owner.linked.add(ONE)
    assert owner.answer() == [pending]


def test_what_is_queued_for_a_holder_without_a_link_goes_to_another() -> None:
    owner = owner_of_a_block(ONE, OTHER)
    pending = get(owner)
    first = asked_node(owner)
    owner.linked.remove(first)
    owner.fetches.redirect(at(owner, first))
    assert asked_node(owner) != first
    assert owner.answer() == [pending]


def test_a_late_answer_is_hedged_once_and_the_first_good_one_serves() -> None:
    owner = owner_of_a_block(ONE, OTHER)
    pending = get(owner)
    [late] = owner.begin_requests()
    assert HEDGE_SECONDS_FIRST in [deadline() for deadline in owner.fetches.deadlines]
    owner.fetches.on_deadline(HEDGE_SECONDS_FIRST)
    [hedge] = owner.begin_requests(HEDGE_SECONDS_FIRST)
    owner.fetches.on_deadline(3 * HEDGE_SECONDS_FIRST)
    assert owner.begin_requests(3 * HEDGE_SECONDS_FIRST) == []
    assert owner.reply(hedge, 4 * HEDGE_SECONDS_FIRST) == [pending]
    assert owner.reply(late, 5 * HEDGE_SECONDS_FIRST) == []
    now = statistics(owner)
    assert (now.hedged_pages_total, now.fetched_pages_total, now.requests_in_flight) == (1, 1, 0)


def test_a_get_gives_up_at_its_deadline_and_nothing_of_it_stays() -> None:
    owner = owner_of_a_block(ONE)
    pending = get(owner)
    [request_id] = owner.begin_requests()
    owner.fetches.on_deadline(DEADLINE)
    assert owner.fetches.take_done() == [pending]
    assert pending.outcome is GetOutcome.UNREACHABLE
    assert statistics(owner).wanted_pages == 0
    assert owner.reply(request_id, DEADLINE) == []
    assert statistics(owner).fetched_pages_total == 0


def test_a_get_that_nobody_waits_for_any_more_is_not_asked_for() -> None:
    owner = owner_of_a_block(ONE)
    owner.fetches.cancel([get(owner)])
    assert owner.begin_requests() == []
    assert owner.fetches.take_done() == []
    owner.fetches.check_invariants()


# Holders that are gone.


def test_a_get_whose_only_holder_is_down_fails_at_once_and_its_page_is_not_lost() -> None:
    owner = owner_of_a_block(ONE)
    pending = get(owner)
    owner.begin_requests()
    owner.fetches.on_holder_unreachable(at(owner, ONE))
    assert owner.fetches.take_done() == [pending]
    assert pending.outcome is GetOutcome.UNREACHABLE
    assert owner.store.statistics().lost_pages_total == 0


def test_a_get_whose_holder_is_down_is_served_by_the_other() -> None:
    owner = owner_of_a_block(ONE, OTHER)
    pending = get(owner)
    down = asked_node(owner)
    owner.begin_requests()
    owner.linked.remove(down)
    owner.fetches.on_holder_unreachable(at(owner, down))
    assert owner.answer() == [pending]
    assert (pending.pages, pending.outcome) == (PAGES[:1], None)


def test_a_get_whose_only_holder_started_again_is_a_loss() -> None:
    owner = owner_of_a_block(ONE)
    pending = get(owner)
    owner.begin_requests()
    holder = at(owner, ONE)
    owner.holders.end(ONE)
    owner.fetches.on_holder_dead(holder)
    assert owner.fetches.take_done() == [pending]
    assert pending.outcome is GetOutcome.LOST
    assert owner.store.statistics().lost_pages_total == 1


# Ephemeral pages are worth no wait.


def cache_at_a_peer() -> tuple[Owner, PendingGet]:
    """Return an owner whose ephemeral pages are at a peer, and a get that waits for one."""
    owner = Owner()
    owner.pool = owner.store.new_pool(PoolKind.EPHEMERAL, program_pool("cache"))
    owner.put(BLOCK_PAGES)
    owner.send(ONE, kind=PoolKind.EPHEMERAL)
    return owner, get(owner)


def check_missed(owner: Owner, pending: PendingGet) -> None:
    """The get is a miss, and the row stays: the page may be found when the holder is back."""
    assert owner.fetches.take_done() == [pending]
    assert (pending.pages, pending.outcome) == ([None], None)
    assert statistics(owner).ephemeral_miss_pages_total == 1
    assert owner.store.get(owner.pool, b"", 0, 1).elsewhere


def test_an_ephemeral_page_whose_request_fails_is_a_miss() -> None:
    owner, pending = cache_at_a_peer()
    [request_id] = owner.begin_requests()
    owner.fetches.on_request_failed(request_id)
    check_missed(owner, pending)


def test_an_ephemeral_page_of_a_silent_holder_is_a_miss() -> None:
    owner, pending = cache_at_a_peer()
    owner.begin_requests()
    owner.fetches.on_holder_suspect(at(owner, ONE))
    check_missed(owner, pending)


def test_an_ephemeral_page_of_a_holder_without_a_link_is_a_miss() -> None:
    owner, pending = cache_at_a_peer()
    owner.fetches.miss_queued(at(owner, ONE))
    check_missed(owner, pending)
    assert owner.begin_requests() == []


def test_an_ephemeral_page_that_its_holder_dropped_is_a_miss() -> None:
    owner, pending = cache_at_a_peer()
    [request_id] = owner.begin_requests()
    owner.reply_missing(request_id)
    assert owner.fetches.take_done() == [pending]
    assert (pending.pages, pending.outcome) == ([None], None)
    assert not owner.store.get(owner.pool, b"", 0, 1).elsewhere


# Who outwaits holders that can't be reached.


def patient(owner: Owner, index: int = 0) -> PendingGet:
    run = owner.store.get(owner.pool, b"", index, 1)
    pending = PendingGet(
        owner.pool, b"", [index], list(run.pages), DEADLINE, outwaits=True, asked_at=1
    )
    owner.fetches.wait(pending, run)
    return pending


def test_who_outwaits_a_holder_that_is_down_stays_queued_for_it() -> None:
    owner = owner_of_a_block(ONE)
    other, pending = get(owner), patient(owner)
    owner.linked.discard(ONE)
    owner.fetches.on_holder_unreachable(at(owner, ONE))
    assert owner.fetches.take_done() == [other]
    assert other.outcome is GetOutcome.UNREACHABLE
    assert not pending.is_over
    assert asked_node(owner) == ONE
    owner.fetches.park(at(owner, ONE))
    owner.fetches.check_invariants()
    [reads] = owner.fetches.unreachable_reads().values()
    assert (reads.gets, reads.nodes, reads.asked_at) == ({(pending, 0)}, {ONE}, 1)
    owner.linked.add(ONE)
    owner.fetches.unpark()
    assert asked_node(owner) == ONE
    assert owner.fetches.unreachable_reads() == {}


def test_nobody_outwaits_holders_that_left_in_order() -> None:
    owner = owner_of_a_block(ONE)
    pending = patient(owner)
    owner.linked.discard(ONE)
    owner.left.add(ONE)
    owner.fetches.on_holder_unreachable(at(owner, ONE))
    assert pending.outcome is GetOutcome.UNREACHABLE


def test_of_two_holders_the_one_that_may_come_back_is_waited_for() -> None:
    owner = owner_of_a_block(ONE, OTHER)
    pending = patient(owner)
    owner.linked.clear()
    asked = asked_node(owner)
    owner.left.add(asked)
    owner.fetches.on_holder_unreachable(at(owner, asked))
    assert not pending.is_over
    assert {asked_node(owner), asked} == {ONE, OTHER}


def test_what_is_fetched_in_the_background_is_nobodys_wait() -> None:
    owner = owner_of_a_block(ONE)
    get(owner)
    owner.linked.discard(ONE)
    assert owner.fetches.unreachable_reads() == {}


def test_who_is_overtaken_waits_with_those_for_the_newer_version_in_the_same_answer() -> None:
    owner = Owner(copies=2)
    owner.put_and_send(ONE, OTHER)
    first = get(owner, 0)
    for index in range(BLOCK_PAGES):
        put_again(owner, index)
    owner.flush()
    owner.send(ONE, OTHER)
    second = get(owner, 0)
    # One holder is asked for both versions at once, and has neither.
    [request_id] = owner.begin_requests()
    table = memoryview(wire.get_reply_table([0, 0]))
    owner.fetches.on_reply(
        request_id, Frame(MessageType.GET_PAGES, True, request_id, 2, table, memoryview(b"")), 0.0
    )
    owner.fetches.check_invariants()
    owner.answer()
    for each in (first, second):
        assert (each.is_over, each.outcome) == (True, None)
