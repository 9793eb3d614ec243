import pytest

from nodemanager.ids import NodeId
from nodemanager.placement import Candidate
from nodemanager.states import NodeState
from ramsterd.remote.limits.put_rate import BURST_SECONDS, PutRate

PEER, OTHER = NodeId(1), NodeId(2)
RATE = 1000
BURST_BYTES = int(RATE * BURST_SECONDS)


def put_rate_of(*nodes: NodeId, rate: int = RATE) -> PutRate:
    put_rate = PutRate()
    for node in nodes:
        put_rate.on_status(node, rate)
    return put_rate


def candidate(put_rate: PutRate, node: NodeId, *, free_bytes: int = 1 << 20) -> Candidate:
    return Candidate(
        node=node,
        state=NodeState.UP,
        is_linked=True,
        is_accepting=True,
        free_bytes=free_bytes,
        budget_bytes=1 << 20,
        rate_limited_until=put_rate.open_at(node),
    )


def test_what_was_saved_up_goes_at_once_and_then_the_rate_counts() -> None:
    put_rate = put_rate_of(PEER)
    put_rate.on_put(PEER, BURST_BYTES, 10.0)
    assert put_rate.open_at(PEER) <= 10
    put_rate.on_put(PEER, 500, 10.0)
    assert put_rate.open_at(PEER) == pytest.approx(10.5)


def test_a_long_pause_saves_up_no_more_than_the_burst() -> None:
    put_rate = put_rate_of(PEER)
    put_rate.on_put(PEER, BURST_BYTES + 500, 10.0)
    put_rate.on_put(PEER, BURST_BYTES + 500, 1000.0)
    assert put_rate.open_at(PEER) == pytest.approx(1000.5)


def test_over_any_time_no_more_than_the_rate_the_burst_and_one_frame_leave() -> None:
    put_rate, now, sent = put_rate_of(PEER), 10.0, 0
    while now < 20:
        if put_rate.open_at(PEER) <= now:
            put_rate.on_put(PEER, 77, now)
            sent += 77
        now += 0.003
    assert sent <= RATE * 10 + BURST_BYTES + 77
    assert sent >= RATE * 10 - 77


def test_one_peer_at_its_cap_says_nothing_of_another() -> None:
    put_rate = put_rate_of(PEER, OTHER)
    put_rate.on_put(PEER, 5000, 10.0)
    assert put_rate.open_at(OTHER) <= 10


def test_a_put_to_a_peer_at_its_cap_is_a_mistake_of_ours() -> None:
    put_rate = put_rate_of(PEER)
    put_rate.on_put(PEER, 5000, 10.0)
    with pytest.raises(AssertionError, match="at its cap"):
        put_rate.on_put(PEER, 1, 10.0)


def test_without_a_cap_a_peer_takes_all_that_comes() -> None:
    put_rate = put_rate_of(PEER)
    put_rate.on_put(PEER, 1 << 30, 10.0)
    put_rate.on_status(PEER, 0)
    for _ in range(3):
        put_rate.on_put(PEER, 1 << 30, 10.0)
        assert put_rate.open_at(PEER) <= 10


def test_who_waits_is_woken_when_the_first_peer_with_room_opens() -> None:
    put_rate = put_rate_of(PEER, OTHER, NodeId(3))
    put_rate.on_put(PEER, 5000, 10.0)
    put_rate.on_put(OTHER, 2000, 10.0)
    put_rate.on_put(NodeId(3), 1000, 10.0)
    candidates = [
        candidate(put_rate, PEER),
        candidate(put_rate, OTHER),
        candidate(put_rate, NodeId(3), free_bytes=10),
    ]
    put_rate.wait(candidates, 100, 10.0)
    deadline = put_rate.next_deadline()
    assert deadline == put_rate.open_at(OTHER)
    put_rate.on_deadline(10.1)  # of something else
    assert put_rate.next_deadline() == deadline
    assert deadline is not None
    put_rate.on_deadline(deadline)
    assert put_rate.next_deadline() is None
    # The two are one number: a sender that is woken finds the peer open, whatever the rounding.
    assert put_rate.open_at(OTHER) <= deadline


def test_nobody_is_woken_for_peers_that_are_full_for_other_reasons() -> None:
    put_rate = put_rate_of(PEER)
    put_rate.wait([candidate(put_rate, PEER, free_bytes=10)], 100, 10.0)
    assert put_rate.next_deadline() is None


def test_a_wait_for_less_is_not_put_off_by_one_for_more() -> None:
    put_rate = put_rate_of(PEER, OTHER)
    put_rate.on_put(PEER, 5000, 10.0)
    put_rate.on_put(OTHER, 2000, 10.0)
    put_rate.wait([candidate(put_rate, OTHER)], 100, 10.0)
    put_rate.wait([candidate(put_rate, PEER)], 100, 10.0)
    assert put_rate.next_deadline() == put_rate.open_at(OTHER)


def test_it_counts_how_often_and_how_long_each_peer_was_at_its_cap() -> None:
    put_rate = put_rate_of(PEER, OTHER)
    put_rate.on_put(PEER, BURST_BYTES + 500, 10.0)
    put_rate.on_put(PEER, 250, 10.5)
    put_rate.on_put(OTHER, 1, 10.0)
    ours, theirs = put_rate.statistics()[PEER], put_rate.statistics()[OTHER]
    assert (ours.bytes_per_second, ours.throttled_total) == (RATE, 2)
    assert ours.throttled_seconds_total == pytest.approx(0.75)
    assert (theirs.throttled_total, theirs.throttled_seconds_total) == (0, 0.0)
