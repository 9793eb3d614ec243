"""What placement knows of a peer beside its last STATUS: what was placed since, refusals, and silence."""

from nodemanager.placement import Candidate
from nodemanager.table import PeerStatus
from ramsterd.core.page import PoolKind
from ramsterd.remote.holders.trust import BadCopy
from ramsterd.remote.send.candidates import Candidates
from ramsterd.remote.send.shipment import Put, Shipment
from tests.helpers.made_leaving import make_leaving
from tests.helpers.made_sender import ONE, Sender

PERSISTENT, EPHEMERAL = PoolKind.PERSISTENT, PoolKind.EPHEMERAL


def peers() -> Candidates:
    return Sender().remotifier.candidates


def one(peers: Candidates, kind: PoolKind) -> Candidate:
    return next(each for each in peers.all(kind) if each.node == ONE)


def status(free_bytes: int) -> PeerStatus:
    return PeerStatus(
        budget_bytes=1 << 30, free_bytes=free_bytes, is_accepting=True, pressure=0.0,
        pages_held_for_us=1,
    )  # fmt: skip


def put_of(peers: Candidates, kind: PoolKind, zpage_bytes: int) -> Put:
    leaving = make_leaving(1, [2], [3], [0], [zpage_bytes], bytes(zpage_bytes))
    holder = peers.holder(ONE)
    return Put(Shipment(kind, [leaving], (holder,)), holder)


def test_what_was_placed_is_taken_off_until_the_next_status() -> None:
    candidates = peers()
    free_bytes = one(candidates, PERSISTENT).free_bytes
    candidates.on_sent(put_of(candidates, PERSISTENT, 1000), 1.0)
    assert one(candidates, PERSISTENT).free_bytes == free_bytes - 1000
    assert one(candidates, EPHEMERAL).free_bytes == free_bytes, "those would give way"
    candidates.on_status(ONE, status(0), under_way_bytes={PERSISTENT: 300, EPHEMERAL: 0})
    assert one(candidates, PERSISTENT).free_bytes == free_bytes - 300


def test_who_refuses_persistent_pages_has_no_room_for_cached_ones_either() -> None:
    candidates = peers()
    candidates.on_refused(PERSISTENT, ONE, 1.0)
    for kind in PoolKind:
        assert not one(candidates, kind).has_room(1, now=1.5)
        assert one(candidates, kind).has_room(1, now=2.0)
    assert candidates.refusals() == {ONE: 2.0}


def test_who_refuses_cached_pages_may_have_room_for_persistent_ones() -> None:
    candidates = peers()
    candidates.on_refused(EPHEMERAL, ONE, 1.0)
    assert not one(candidates, EPHEMERAL).has_room(1, now=1.5)
    assert one(candidates, PERSISTENT).has_room(1, now=1.5)
    assert candidates.refusals() == {}


def test_more_room_ends_the_wait_after_a_refusal_of_persistent_pages() -> None:
    candidates = peers()
    for kind in PoolKind:
        candidates.on_refused(kind, ONE, 1.0)
    candidates.on_more_room(ONE)
    assert one(candidates, PERSISTENT).has_room(1, now=1.5)
    assert not one(candidates, EPHEMERAL).has_room(1, now=1.5)


def test_who_left_a_put_unanswered_gets_nothing_of_that_kind_until_it_is_heard() -> None:
    candidates = peers()
    candidates.on_unanswered(PERSISTENT, ONE, 1.0)
    assert one(candidates, PERSISTENT).is_doubtful
    assert not one(candidates, EPHEMERAL).is_doubtful
    candidates.on_status(ONE, status(0), under_way_bytes={PERSISTENT: 0, EPHEMERAL: 0})
    assert not one(candidates, PERSISTENT).is_doubtful


def test_nothing_is_left_of_a_node_that_is_no_member_any_more() -> None:
    candidates = peers()
    before = {kind: one(candidates, kind) for kind in PoolKind}
    for kind in PoolKind:
        candidates.on_sent(put_of(candidates, kind, 1000), 1.0)
        candidates.on_refused(kind, ONE, 1.0)
        candidates.on_unanswered(kind, ONE, 1.0)
    candidates.trust.on_bad(ONE, BadCopy.MISSING, 1, 1.0)
    candidates.forget(ONE)
    assert {kind: one(candidates, kind) for kind in PoolKind} == before
    assert not any(candidates.is_unsettled(kind, ONE) for kind in PoolKind)
