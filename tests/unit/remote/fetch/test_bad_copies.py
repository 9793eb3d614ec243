"""What is made of copies that a holder has not, or not intact, and of requests that outlast a holder's incarnation."""

import pytest

from ramsterd.core.page import PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.core.store import RunOfPages
from ramsterd.remote.fetch.asking import LATE_REQUESTS_MAX
from ramsterd.remote.fetch.pending import GetOutcome, PendingGet
from ramsterd.remote.holders.trust import BadCopy
from tests.helpers.made_owner import BLOCK_PAGES, ONE, OTHER, Owner

pytestmark = pytest.mark.usefixtures("each_loops")


def want(owner: Owner, row: int) -> PendingGet:
    """Have a get wait for one page that is elsewhere."""
    pending = PendingGet(owner.pool, b"", [0], [None], 100.0)
    owner.fetches.wait(pending, RunOfPages([], [(0, row)], 0))
    return pending


def bad(owner: Owner, row: int, kind: BadCopy, *, holder_of: int = 0) -> None:
    holder = owner.store.rows.holders(row)[holder_of]
    owner.fetches.on_bad_copy(holder, row, kind, 1.0)
    owner.store.check_invariants()


def test_the_last_copy_that_is_missing_is_a_loss_and_told_of_its_holder() -> None:
    owner = Owner()
    [row, *_] = owner.put_and_send(ONE)
    bad(owner, row, BadCopy.MISSING)
    assert owner.store.statistics().lost_pages_total == 1
    assert owner.bad == [(ONE, BadCopy.MISSING)]


def test_a_damaged_copy_of_two_is_given_up_and_its_holder_owed_a_flush() -> None:
    owner = Owner(copies=2)
    [row, *_] = owner.put_and_send(ONE, OTHER)
    bad(owner, row, BadCopy.DAMAGED)
    assert owner.store.rows.holders(row) == [owner.holder(OTHER).id]
    assert owner.thinned == [row]
    assert owner.flush() == {ONE: 1}
    assert owner.bad == [(ONE, BadCopy.DAMAGED)]


def test_a_page_that_is_here_too_is_ours_alone_when_the_copy_is_bad() -> None:
    owner = Owner()
    [row, *others] = owner.put_and_send(ONE, stays=True)
    bad(owner, row, BadCopy.MISSING)
    assert all(owner.is_ours_alone(each) for each in [row, *others])
    assert owner.store.statistics().lost_pages_total == 0


def test_an_ephemeral_page_may_be_missing() -> None:
    owner = Owner()
    cache = owner.store.new_pool(PoolKind.EPHEMERAL, program_pool("cache"))
    owner.put(BLOCK_PAGES, pool=cache)
    [row, *_] = owner.send(ONE, kind=PoolKind.EPHEMERAL)
    bad(owner, row, BadCopy.MISSING)
    assert owner.bad == []
    assert owner.fetches.statistics().ephemeral_miss_pages_total == 1


def test_a_request_that_outlasts_its_holder_is_asked_for_nowhere_else() -> None:
    """Its holder's id is forgotten, and the other holder has no link: the get waits for that one."""
    owner = Owner(copies=2)
    [row, *_] = owner.put_and_send(ONE, OTHER)
    pending = want(owner, row)
    [first] = owner.fetches.queued_holders()
    [request] = owner.fetches.take_requests(first)
    owner.fetches.begin(1, request, 0.0)
    # Its incarnation is over, but not its link: the request is under way.
    dead = owner.holders[first]
    other = next(each for each in owner.holders if each is not dead)
    owner.holders.end(dead.node)
    owner.fetches.on_holder_dead(first)
    [request] = owner.fetches.take_requests(other.id)
    owner.fetches.begin(2, request, 0.0)
    owner.linked.clear()
    owner.fetches.on_request_failed(2)
    owner.store.rows.remove_holder(row, first)
    owner.holders.forget(dead)
    owner.fetches.on_request_failed(1)
    assert owner.fetches.queued_holders() == [other.id]
    owner.fetches.check_invariants()
    owner.linked.add(other.node)
    owner.answer()
    assert pending.is_over
    assert pending.outcome is None


@pytest.mark.slow
def test_holders_that_answer_nothing_are_asked_for_no_more_than_a_link_carries() -> None:
    """Each request becomes late, and late ones make room for others."""
    owner, request_id, now = Owner(copies=2, budget_bytes=64 << 20), 0, 0.0
    for _ in range(2 * LATE_REQUESTS_MAX // BLOCK_PAGES + 20):
        for row in owner.put_and_send(ONE, OTHER):
            want(owner, row)
            for holder in owner.fetches.queued_holders():
                for request in owner.fetches.take_requests(holder):
                    request_id += 1
                    owner.fetches.begin(request_id, request, now)
            now += 1.0
            owner.fetches._asking.take_late(now)
    asking = owner.fetches._asking
    for node in (ONE, OTHER):
        assert len(asking.under_way(owner.holder(node).id)) <= LATE_REQUESTS_MAX
    assert len(asking.under_way(owner.holder(ONE).id)) > LATE_REQUESTS_MAX // 2


def test_a_get_whose_last_copy_is_missing_is_lost() -> None:
    owner = Owner()
    [row, *_] = owner.put_and_send(ONE)
    pending = want(owner, row)
    [request_id] = owner.begin_requests()
    owner.reply_missing(request_id)
    assert pending.outcome is GetOutcome.LOST
    assert owner.bad == [(ONE, BadCopy.MISSING)]
