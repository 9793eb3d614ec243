"""Answers of all peers share a histogram, and each peer has a mean."""

import pytest

from nodemanager.ids import NodeId
from ramsterd.remote.limits.round_trips import RoundTrips

BETA, GAMMA = NodeId(2), NodeId(3)


def test_requests_of_a_kind_share_a_histogram() -> None:
    trips = RoundTrips()
    trips.on_get(BETA, 0.001)
    trips.on_get(GAMMA, 0.001)
    trips.on_put(GAMMA, 0.2)
    now = trips.statistics()
    assert (sum(now.get.counts), sum(now.put.counts)) == (2, 1)
    assert now.get.seconds_total == pytest.approx(0.002)


def test_a_peer_that_becomes_slow_is_told_by_its_mean_and_no_other_peer_is() -> None:
    trips = RoundTrips()
    for _ in range(20):
        trips.on_get(BETA, 0.001)
        trips.on_put(GAMMA, 0.001)
    for _ in range(20):
        trips.on_get(BETA, 1.0)
    means = trips.statistics().node_mean_seconds
    assert means[BETA] > 0.9
    assert means[GAMMA] == pytest.approx(0.001)


def test_a_peer_that_has_not_answered_has_no_mean() -> None:
    assert RoundTrips().statistics().node_mean_seconds == {}
